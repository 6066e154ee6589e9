# SPDX-License-Identifier: Apache-2.0
"""A model where the runtime does not fit: a host does the VM's part, the chip runs one kernel at a time.

For each dispatch the host puts the kernel's code, its constants and the bytes that it is bound to into the chip's
memories, starts the core, waits for its halt and reads the results back. What is executed is counted as always: the
same marks, one inference for each dispatch.

Example::

    model = compile_alone("conv1d_int8.mlirbc", load("coralnpu"))
    with KernelsAlone(model, load("coralnpu")) as chip:
        (scores,) = chip.infer(sample)
        print(chip.take_counts().dispatches)
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from springbok.chips.chip import CAUSES, KERNELS, Chip, Memory
from springbok.compiler import compiler_runtime
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.iree import tool
from springbok.engines.base import Counts
from springbok.engines.elf import read_executable
from springbok.engines.spike import SpikeEngine
from springbok.firmware import Firmware, build_program
from springbok.measuring.fit import Fit, MemoryUse
from springbok.modules.kernel_parts import KernelAlone, KernelParts
from springbok.modules.kernels_elf import BrokenFileError, KernelEntry, KernelsElf
from springbok.modules.references import Buffer
from springbok.modules.steps import Copy, Dispatch, Fill, InferenceSteps, Window, steps_of
from springbok.modules.vmfb import open_archive, read_vmfb
from springbok.support.errors import EngineError, ModelError
from springbok.support.files import build_folder
from springbok.support.places import FIRMWARE

PROGRAM = FIRMWARE / "alone" / "dispatch.c"
DISPATCH_LIMIT_SECONDS = 120
_ALIGNMENT = 64  # of tensors, as the runtime has it
_PAGE_BYTES = 4096  # of kernels' local memory
_TRAPPED = 0x100
_PAINT, _FENCE_BYTES = 0xA5, 32


def compile_alone(path: str | Path, chip: Chip, variant: str | None = None, **options: Any) -> CompiledModel:
    """Compile and check a model as `compile_and_check` does, its kernels so that each can be taken out alone."""
    variant = variant or ("vector" if chip.vector_extension else "scalar")
    flag = compiler_runtime.relocations_flag(tool("iree-lld"))
    return compile_and_check(path, Target.of(variant, chip=chip), extra_flags=[flag], **options)


@dataclass
class _Room:
    """A memory while it is filled: ``at`` is the next free byte, ``end`` one past the last one."""

    memory: Memory
    at: int
    end: int
    parts: dict[str, int] = field(default_factory=dict)

    def take(self, what: str, count: int, alignment: int = _ALIGNMENT) -> int:
        """Room for ``count`` bytes, which may be more than there are: their address."""
        address = self.at + -self.at % alignment
        self.parts[what] = self.parts.get(what, 0) + address + count - self.at
        self.at = address + count
        return address


@dataclass(frozen=True)
class Placed:
    """A dispatch in the chip's memories. ``ranges`` are the bytes of buffers, by their address; ``request`` is where
    the program reads what to do, of ``content`` (address, bytes)."""

    dispatch: Dispatch
    fit: Fit
    request: int
    content: tuple[tuple[int, bytes], ...]
    ranges: tuple[tuple[int, Window], ...]


class KernelsAlone:
    """A chip on Spike that runs a model's kernels, without the runtime. A context manager.

    Raises ModelError for a model whose calls depend on what it computes, or of which one dispatch does not fit the
    chip's memories: by name, with what takes how much. `fits` tells it of every dispatch, before any chip is started.
    """

    def __init__(self, model: CompiledModel, chip: Chip) -> None:
        if not (chip.doing("halt") or chip.doing("finish")):
            raise ModelError(f"{chip.title} has no instruction that ends a program: nobody would know of its end.")
        self._model, self._chip = model, chip
        content = model.vmfb.read_bytes()
        self._names = read_vmfb(content, model.name, model.entry).dispatches
        self._steps = steps_of(content, [spec.nbytes for spec in model.inputs], model.entry)
        self._kernels = dict(_kernels(content, model.name))
        elf = build_program(PROGRAM, build_folder() / "firmware" / f"{chip.name}_alone.elf", chip)
        self._program = read_executable(elf, chip)
        firmware = Firmware.from_elf(elf)
        self._elf, self._request, self._stack_bytes = elf, firmware.arena_begin, firmware.stack_bytes
        self._placed = [self._place(step) for step in self._steps.steps if isinstance(step, Dispatch)]
        self._engine: SpikeEngine | None = None
        #: Bytes of stack that the last inference took at most.
        self.stack_peak_bytes = 0

    @property
    def fits(self) -> tuple[Fit, ...]:
        """What each dispatch takes of the memories, in the order of the calls."""
        return tuple(placed.fit for placed in self._placed)

    def __enter__(self) -> KernelsAlone:
        for found in self.fits:
            if not found.fits:
                raise ModelError(found.describe())
        self._engine = SpikeEngine(self._elf, chip=self._chip, vlen=self._model.vlen_bits or None)
        self._engine.start()
        try:
            self._wait("the program")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def infer(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs for one sample: an array for each input, of its shape or without the batch."""
        buffers = _Buffers(self._steps, [np.asarray(array) for array in inputs], self._model)
        placed = iter(self._placed)
        self.stack_peak_bytes = 0
        for step in self._steps.steps:
            if isinstance(step, Copy):
                buffers.write(step.target, buffers.read(step.source))
            elif isinstance(step, Fill):
                buffers.write(step.target, step.pattern * (step.target.length // len(step.pattern)))
            else:
                self._run(next(placed), buffers)
        contents = map(buffers.read, self._steps.outputs)
        return [
            np.frombuffer(content, spec.dtype).reshape(spec.shape)
            for content, spec in zip(contents, self._model.outputs, strict=True)
        ]

    def take_counts(self) -> Counts:
        """What was executed since the last call; ``inferences`` has one for each dispatch."""
        return self._engine.take_counts()

    # ---- Placing

    def _place(self, dispatch: Dispatch) -> Placed:
        """Constants lie with the tensors, but for those that have room behind the code alone."""
        entry, alone = self._kernels[dispatch.kernel]
        placed = self._placed_so(dispatch, entry, alone)
        free = {memory.name: memory.free_bytes for memory in placed.fit.memories}
        code, data = (free[self._chip.holding(content).name] for content in (KERNELS, "models"))
        return self._placed_so(dispatch, entry, alone.moved(-data, code)) if data < 0 < code else placed

    def _placed_so(self, dispatch: Dispatch, entry: KernelEntry, alone: KernelAlone) -> Placed:
        rooms = self._rooms()
        code = rooms[self._chip.holding(KERNELS).name]
        data = rooms[self._chip.holding("models").name]
        word = "I" if self._chip.xlen == 32 else "Q"
        width = struct.calcsize(word)
        request = data.take("request", _request(self._chip.xlen, {})[1])
        code_at = code.take("kernel's code", 0)
        code_end, behind_end, _ = alone.ends(code_at, 0)
        code.take("kernel's code", code_end - code_at, 1)
        if alone.behind_code:
            code.take("kernel's constants", behind_end - code_end, 1)
        given = data.take("request", 4 * len(dispatch.constants), 8)
        pointers, lengths = (data.take("request", width * len(dispatch.bindings), width) for _ in range(2))
        local_bytes = _PAGE_BYTES * entry.local_memory_pages
        local = data.take("kernel's local memory", local_bytes) if local_bytes else 0
        constants_at = data.take("kernel's constants", 0)
        data.take("kernel's constants", alone.ends(0, constants_at)[2] - constants_at, 1)
        ranges = [(data.take("tensors", window.length), window) for window in _merged(dispatch.bindings)]
        addresses = [_address(window, ranges) for window in dispatch.bindings]
        pieces, function = alone.placed(code_at, constants_at)
        values = {
            "sizes": (entry.workgroup_x, entry.workgroup_y, entry.workgroup_z, len(dispatch.constants)),
            "counts": (*dispatch.workgroups, 1, len(dispatch.bindings)),
            "operands": (given, pointers, lengths),
            "local": (local, local_bytes),
            "call": (function, code_at, code_end, self._names.index(dispatch.kernel)),
        }
        content = [
            *pieces,
            (request, _request(self._chip.xlen, values)[0]),
            (given, struct.pack(f"<{len(dispatch.constants)}I", *dispatch.constants)),
            (pointers, struct.pack(f"<{len(addresses)}{word}", *addresses)),
            (lengths, struct.pack(f"<{len(addresses)}{word}", *(window.length for window in dispatch.bindings))),
        ]
        uses = tuple(
            MemoryUse(room.memory.name, room.memory.bytes, room.parts) for room in rooms.values() if room.parts
        )
        found = Fit(f"{self._model.name}, {dispatch.kernel} alone", self._chip.title, uses)
        return Placed(dispatch, found, request, tuple(each for each in content if each[1]), tuple(ranges))

    def _rooms(self) -> dict[str, _Room]:
        """The memories with what is in them in any case: the program, its stack, what lies below the first address."""
        rooms = {}
        for memory in self._chip.memories:
            room = rooms[memory.name] = _Room(memory, memory.base, memory.end)
            if memory.base < self._chip.start < memory.end:
                room.parts["below the first instruction"] = self._chip.start - memory.base
                room.at = self._chip.start
            inside = [at + len(content) for at, content in self._program.segments if memory.base <= at < memory.end]
            if inside:
                room.parts["program"] = max(inside) - room.at
                room.at = max(inside)
            if memory is self._chip.holding("data"):
                room.parts["stack"] = self._stack_bytes
                room.end -= self._stack_bytes
        data = rooms[self._chip.holding("models").name]
        if self._request > data.at:
            data.take("program", self._request - data.at, 1)
        return rooms

    # ---- Running

    def _run(self, placed: Placed, buffers: _Buffers) -> None:
        engine, kernel = self._engine, placed.dispatch.kernel
        stack = self._chip.holding("data").end - self._stack_bytes
        engine.write_memory(stack, bytes([_PAINT]) * self._stack_bytes)
        for address, content in placed.content:
            engine.write_memory(address, content)
        for address, window in placed.ranges:
            engine.write_memory(address, buffers.read(window))
        engine.release()
        self._wait(kernel)
        self._check(placed)
        left = engine.read_memory(stack, self._stack_bytes)
        untouched = len(left) - len(left.lstrip(bytes([_PAINT])))
        if untouched < _FENCE_BYTES:
            raise EngineError(f"{kernel} needs more than the {self._stack_bytes:,} bytes of stack that there are.")
        self.stack_peak_bytes = max(self.stack_peak_bytes, self._stack_bytes - untouched)
        for address, window in placed.ranges:
            if window.buffer.kind == "allocation":
                buffers.write(window, engine.read_memory(address, window.length))

    def _wait(self, what: str) -> None:
        """Until the core has halted. Raises EngineError when it does not, by the simulator's own processor time."""
        engine, pause = self._engine, 0.001
        limit = engine.processor_seconds() + DISPATCH_LIMIT_SECONDS
        while not engine.halted:
            if engine.processor_seconds() > limit:
                raise EngineError(f"{what} did not end. {engine.diagnose()}")
            time.sleep(pause)
            pause = min(2 * pause, 0.05)

    def _check(self, placed: Placed) -> None:
        """Raise EngineError for what the program says of a kernel that failed."""
        word = "I" if self._chip.xlen == 32 else "Q"
        tail = struct.Struct(f"<II{word * 3}")
        end = placed.request + _request(self._chip.xlen, {})[1]
        _, result, mcause, mepc, mtval = tail.unpack(self._engine.read_memory(end - tail.size, tail.size))
        if result == _TRAPPED:
            cause = CAUSES.get(mcause, f"cause {mcause}")
            raise EngineError(f"{placed.dispatch.kernel} trapped at 0x{mepc:x}: {cause} (0x{mtval:x}).")
        if result:
            raise EngineError(f"{placed.dispatch.kernel} reports the error {result}.")


class _Buffers:
    """Contents of a module's buffers, on this machine."""

    def __init__(self, steps: InferenceSteps, inputs: Sequence[np.ndarray], model: CompiledModel) -> None:
        if len(inputs) != len(model.inputs):
            raise ModelError(f"{model.name} has {len(model.inputs)} inputs, not {len(inputs)}.")
        self._constants = steps.constants
        self._inputs = []
        for array, spec in zip(inputs, model.inputs, strict=True):
            if array.dtype != spec.dtype or array.nbytes != spec.nbytes:
                raise ModelError(f"{model.name}: {spec} is wanted, not {array.dtype} of the shape {array.shape}.")
            self._inputs.append(bytearray(np.ascontiguousarray(array).tobytes()))
        self._allocations = {buffer: bytearray(size) for buffer, size in steps.sizes.items()}

    def _content(self, buffer: Buffer) -> bytes | bytearray:
        if buffer.kind == "allocation":
            return self._allocations[buffer]
        return (self._inputs if buffer.kind == "input" else self._constants)[buffer.place[0]]

    def read(self, window: Window) -> bytes:
        return bytes(self._content(window.buffer)[window.offset : window.offset + window.length])

    def write(self, window: Window, content: bytes) -> None:
        self._content(window.buffer)[window.offset : window.offset + window.length] = content


def _kernels(content: bytes, name: str) -> Iterator[tuple[str, tuple[KernelEntry, KernelAlone]]]:
    """Each kernel of a module, alone."""
    try:
        for segment in open_archive(content).rodata():
            if segment[:4] == b"\x7fELF":
                parts = KernelParts(KernelsElf(segment))
                yield from ((entry.name, (entry, parts.of(entry))) for entry in parts.entries.values())
    except BrokenFileError as error:
        raise ModelError(f"The kernels of {name} can't be run alone: {error}.") from None


def _merged(windows: Sequence[Window]) -> list[Window]:
    """The windows, those of a buffer that meet as one, from an address that suits every element."""
    found: list[Window] = []
    for window in sorted(each for each in windows if each.length):
        start = window.offset - window.offset % _ALIGNMENT
        end = window.offset + window.length
        last = found[-1] if found else None
        if last is not None and last.buffer == window.buffer and start <= last.offset + last.length:
            found[-1] = last._replace(length=max(end, last.offset + last.length) - last.offset)
        else:
            found.append(Window(window.buffer, start, end - start))
    return found


def _address(window: Window, ranges: Sequence[tuple[int, Window]]) -> int:
    """Where a window lies; 0 of one without bytes."""
    for address, whole in ranges:
        if whole.buffer == window.buffer and whole.offset <= window.offset < whole.offset + whole.length:
            return address + window.offset - whole.offset
    return 0


def _request(xlen: int, values: dict[str, tuple[int, ...]]) -> tuple[bytes, int]:
    """``request_t`` of `PROGRAM`, and its size: dispatch state, workgroup state, environment, what to call."""
    word = "I" if xlen == 32 else "Q"
    x, y, z, constants = values.get("sizes", (0,) * 4)
    counts, operands = values.get("counts", (0,) * 5), values.get("operands", (0,) * 3)
    state = struct.pack(f"<IIHHIIHBB{word * 3}", x, y, z, constants, *counts, *operands)
    workgroup = struct.pack(f"<IIHHI{word}I", 0, 0, 0, 0, 0, *values.get("local", (0, 0)))
    workgroup += bytes(-len(workgroup) % (xlen // 8))
    environment = bytes(-len(state + workgroup) % 8 + 4 * (xlen // 8) + 64)
    function, begin, end, number = values.get("call", (0,) * 4)
    call = struct.pack(f"<{word * 3}II{word * 3}", function, begin, end, number, 0, 0, 0, 0)
    content = state + workgroup + environment + call
    return content, len(content)
