# SPDX-License-Identifier: Apache-2.0
"""What a module does in one inference, step by step, as a host can do it in the VM's place.

The calls of a module are the same every time where no branch depends on data; then its bytecode, followed once, gives
a list: dispatches with their workgroups, constants and the bytes that they are bound to, copies and fills.

Example::

    found = steps_of(Path("model.vmfb").read_bytes(), [128])
    for step in found.steps:
        print(step)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from springbok.modules.disassembler import REF, Instruction, disassemble
from springbok.modules.lifetimes import ALLOCATE, DISPATCH, LOOK_UP, UnknownWayError, Walk
from springbok.modules.references import NOTHING, Buffer, Part, State, Value, forget_results
from springbok.modules.vmfb import open_archive
from springbok.support.errors import ModelError

_ALLOCATE_INITIALIZED = f"{ALLOCATE}.initialized"
_WINDOWS = ("hal_inline.buffer.wrap", "hal_inline.buffer.subspan", "hal_inline.buffer_view.create")
_WHOLE = ("hal_inline.buffer.storage", "hal_inline.buffer_view.buffer")
_LENGTH = "hal_inline.buffer.length"
_LOADING = ("hal_inline.buffer_view.assert", "hal_loader.executable.query_support", "hal_loader.executable.load")
_FILLS = {"buffer.fill.i8": 1, "buffer.fill.i16": 2, "buffer.fill.i32": 4, "buffer.fill.i64": 8}


class Window(NamedTuple):
    """Bytes of a buffer."""

    buffer: Buffer
    offset: int
    length: int


class Dispatch(NamedTuple):
    """A call of a kernel."""

    kernel: str
    workgroups: tuple[int, int, int]
    constants: tuple[int, ...]
    bindings: tuple[Window, ...]


class Copy(NamedTuple):
    """Bytes copied from one place to another."""

    source: Window
    target: Window


class Fill(NamedTuple):
    """Bytes filled with a pattern."""

    target: Window
    pattern: bytes


@dataclass
class InferenceSteps:
    """``sizes`` are the bytes of each allocation, ``constants`` the module's; ``outputs`` are what is returned."""

    sizes: dict[Buffer, int]
    constants: Sequence[bytes]
    steps: list[Dispatch | Copy | Fill] = field(default_factory=list)
    outputs: list[Window] = field(default_factory=list)


def steps_of(module: bytes, input_bytes: Sequence[int], entry: str = "main") -> InferenceSteps:
    """What the function ``entry`` of a VMFB file does with inputs of these sizes, start-up included.

    Raises :class:`ModelError` where that depends on what is computed, or is kept from one inference for the next.
    """
    code = disassemble(module)
    ordinals = dict(code.exports)
    walk = _Following(code, open_archive(module).rodata(), input_bytes)
    inputs = [frozenset({Part(Buffer("input", (number,)), 0, size)}) for number, size in enumerate(input_bytes)]
    returned: list[Value] = []
    try:
        for name in filter(ordinals.__contains__, ("__init", entry)):
            walk.keeps_state = name == "__init"
            returned = walk.call(code.functions[ordinals[name]], inputs if name == entry else ())
        walk.found.outputs = [walk.window(each) for each in returned]
    except (UnknownWayError, LookupError):
        raise ModelError(
            f"{code.name}: which kernels an inference calls, and with what, depends on what it computes or keeps: it "
            "needs the runtime on the chip"
        ) from None
    return walk.found


class _Following(Walk):
    """An execution that keeps its steps."""

    keeps_state = True  # the start-up's globals

    def __init__(self, code, constants: Sequence[bytes], input_bytes: Sequence[int]) -> None:
        super().__init__(code, constants)
        self.found = InferenceSteps(self.sizes, constants)
        self._input_bytes = input_bytes

    def window(self, value: Value, offset: int | None = 0, length: int | None = None) -> Window:
        """The bytes that a reference refers to, or a part of them."""
        (part,) = value if len(value) == 1 else (None,)
        if part is None or part.buffer.kind == "unknown" or part.start is None or offset is None:
            raise UnknownWayError
        end = self._size(part.buffer) if part.end is None else part.end
        length = end - part.start - offset if length is None else length
        if min(offset, length) < 0 or part.start + offset + length > end:
            raise UnknownWayError
        return Window(part.buffer, part.start + offset, length)

    def _size(self, buffer: Buffer) -> int:
        if buffer.kind == "constant":
            return len(self.constants[buffer.place[0]])
        return self._input_bytes[buffer.place[0]] if buffer.kind == "input" else self.sizes[buffer]

    def step(self, step: Instruction, state: State) -> None:
        name = step.opcode.mnemonic
        values = [value for _, value in step.operands]
        if name.startswith("global.store") and not self.keeps_state:
            raise UnknownWayError
        if name == "buffer.copy":
            source, begin, target, at, count = values
            length = _known(state, count, 64)
            from_ = self.window(state.reference(source), state.number(begin, 64), length)
            self.found.steps.append(Copy(from_, self.window(state.reference(target), state.number(at, 64), length)))
        elif name in _FILLS:
            target, at, count, register = values
            width = _FILLS[name]
            number = _known(state, register, 64 if width == 8 else 32) & (1 << 8 * width) - 1
            window = self.window(state.reference(target), state.number(at, 64), _known(state, count, 64))
            self.found.steps.append(Fill(window, number.to_bytes(width, "little")))
        elif name.startswith(("buffer.store", "buffer.fill")):
            raise UnknownWayError
        super().step(step, state)

    def imported(self, name: str, step: Instruction, state: State) -> None:
        operands = dict(step.operands)
        arguments, results = operands["a"], operands["z"]
        given = [register for register in results if register & REF]
        before = state.copy()
        forget_results(step, state)
        if name == DISPATCH:
            self._dispatch(arguments, operands["k"][-2:], before)
        elif name == ALLOCATE:
            self.allocate(_known(before, arguments[1], 64), given, state)
        elif name == _ALLOCATE_INITIALIZED:
            length = _known(before, arguments[3], 64)
            source = self.window(before.reference(arguments[1]), before.number(arguments[2], 64), length)
            buffer = self.allocate(length, given, state)
            self.found.steps.append(Copy(source, Window(buffer, 0, length)))
        elif name in _WINDOWS:
            offset, length = (before.number(register, 64) for register in arguments[1:3])
            window = self.window(before.reference(arguments[0]), offset, length)
            part = Part(window.buffer, window.offset, window.offset + window.length)
            state.set_reference(given[0], frozenset({part}))
        elif name in _WHOLE:
            state.set_reference(given[0], before.reference(arguments[0]))
        elif name == _LENGTH:
            state.set_number(results[0], 64, self.window(before.reference(arguments[0])).length)
        elif name == LOOK_UP:
            state.set_number(results[0], 64, self.text(before.reference(arguments[1])))
        elif name in _LOADING:
            for register in given:
                state.set_reference(register, NOTHING)
        else:
            raise UnknownWayError

    def _dispatch(self, arguments: Sequence[int], counts: Sequence[int], state: State) -> None:
        """Operands: executable, kernel, workgroups (three), constants, bindings (three each)."""
        constants, bindings = counts
        kernel = _known(state, arguments[1], 64)
        numbers = [_known(state, register, 32) for register in arguments[2 : 5 + constants]]
        bound = arguments[len(arguments) - 3 * bindings :]
        windows = (
            self.window(state.reference(reference), state.number(offset, 64), _known(state, length, 64))
            for reference, offset, length in zip(bound[::3], bound[1::3], bound[2::3], strict=True)
        )
        constants_given = tuple(number & 0xFFFFFFFF for number in numbers[3:])
        self.found.steps.append(Dispatch(kernel, tuple(numbers[:3]), constants_given, tuple(windows)))


def _known(state: State, register: int, width: int):
    value = state.number(register, width)
    if value is None:
        raise UnknownWayError
    return value
