# SPDX-License-Identifier: Apache-2.0
"""The chip's own instructions and registers, as an extension of Spike's core.

Spike calls the functions here while the core executes; ``self._core`` and so on are set before it does.
"""

from __future__ import annotations

import ctypes
import functools
import operator
import os
import sys
import traceback
from collections.abc import Callable
from typing import Protocol

from riscv import isa
from riscv.csrs import csr_t
from riscv.processor import illegal_instruction, insn_desc_t, processor_t

from springbok.chips.chip import Chip, Instruction, Register, function_of, place_of
from springbok.chips.opcodes import SYSTEM
from springbok.devices.interface import Warn
from springbok.engines.spike_core import (
    CSRS,
    MACHINE_MODE,
    MCYCLE,
    MINSTRET,
    MSTATUS_VS,
    VECTOR_CSRS,
    SpikeCore,
    hidden_registers,
    spike_functions,
)
from springbok.engines.spike_histogram import PcHistogram
from springbok.engines.windows import Mark, WindowCounter

EXTENSION = "bench"

PRINT_LIMIT = 1000
OPERANDS_LIMIT = 1 << 16
PRINT_LEVELS = ("error", "warning", "info", "debug", "noisy")
CSR_FUNCT3 = (1, 2, 3, 5, 6, 7)

# Match, mask and Spike's own function: vsetvli, vsetivli, vsetvl.
VECTOR_CONFIGURATION_INSTRUCTIONS = (
    (0x00007057, 0x8000707F, "_Z18fast_rv{xlen}i_vsetvliP11processor_t6insn_tm"),
    (0xC0007057, 0xC000707F, "_Z19fast_rv{xlen}i_vsetivliP11processor_t6insn_tm"),
    (0x80007057, 0xFE00707F, "_Z17fast_rv{xlen}i_vsetvlP11processor_t6insn_tm"),
)

# What an instruction's function returns instead of the next PC to be called again with minstret up to date
# (PC_SERIALIZE_BEFORE in Spike's decode_macros.h).
SERIALIZE_BEFORE = 3
# What of the instructions here returns it.
_SERIALIZED = ("counter", "host", "finish", "mark")


class Stops(Protocol):
    """What an instruction may do to the machine; the functions return when the core goes on."""

    def on_host_request(self) -> None: ...

    def on_finish(self, code: int) -> None: ...

    def on_halt(self) -> None: ...


class OwnInstructions:
    """The instructions and registers that a chip's description has beside the standard's.

    ``prints`` and ``operands`` are what the core said, and what it gave to instructions with a model. With
    ``follows_vectors`` the histogram is told of each new vector configuration.
    """

    def __init__(self, chip: Chip, warn: Warn, stops: Stops, follows_vectors: bool) -> None:
        self._chip = chip
        self._follows_vectors = follows_vectors
        self._warn = warn
        self._stops = stops
        self._mask = (1 << chip.xlen) - 1
        self.prints: list[str] = []
        self.operands: list[tuple[int, int, int]] = []
        self._core: SpikeCore | None = None
        self._windows: WindowCounter | None = None
        self._histogram: PcHistogram | None = None
        self._kept: list[csr_t] = []

    def register(self) -> None:
        """Let Spike know the extension, by the name `EXTENSION` in an ISA string."""
        own = self

        class Extension(isa.ISA):
            def get_instructions(self, core):
                return own._instructions()

            def get_csrs(self, core):
                own._kept = [_own_register(core, each) for each in own._chip.registers if not each.absent]
                return own._kept

            def get_disasms(self, core):
                return []

            def reset(self, core):
                pass

        isa.register(EXTENSION)(Extension)

    def connect(self, core: SpikeCore, windows: WindowCounter | None, histogram: PcHistogram | None) -> None:
        """What the instructions work on; ``histogram`` is that of counting without the helper."""
        self._core, self._windows, self._histogram = core, windows, histogram

    def times_counted(self, word: int) -> int:
        """How often Spike's histogram counts one execution of this word.

        Spike executes an instruction that accesses a CSR twice, the first time only to bring minstret up to date, and
        so do the functions here that return SERIALIZE_BEFORE.
        """
        if word & 0x7F == SYSTEM and word >> 12 & 7:
            return 2
        found = next((each for each in self._chip.instructions if each.is_(word)), None)
        return 2 if found is not None and found.does in _SERIALIZED else 1

    def _instructions(self) -> list[insn_desc_t]:
        absent = [register.address for register in self._chip.registers if register.absent]
        return [
            *map(self._own_instruction, self._chip.instructions),
            *(
                _instruction(address << 20 | funct3 << 12 | SYSTEM, 0xFFF0707F, self._do_illegal)
                for address in (*absent, *hidden_registers(self._chip))
                for funct3 in CSR_FUNCT3
            ),
            *(self._vector_configuration_instructions() if self._follows_vectors else ()),
        ]

    def _own_instruction(self, instruction: Instruction) -> insn_desc_t:
        if instruction.model:
            function = functools.partial(self._modelled, _named(instruction))
        else:
            function = getattr(self, f"_do_{instruction.does}")
        if instruction.privileged:
            function = self._privileged(function)
        return _instruction(instruction.match, instruction.mask, function)

    def _privileged(self, function: Callable[[processor_t, object, int], int]) -> Callable:
        """An instruction that is illegal in user mode."""

        def checked(core: processor_t, insn, pc: int) -> int:
            if core.state.prv != MACHINE_MODE:
                return self._core.trap_illegal(_word(insn), pc)
            return function(core, insn, pc)

        return checked

    # ---- What instructions do

    def _do_print(self, core: processor_t, insn, pc: int) -> int:
        text = self._core.text_at(core.state.XPR[insn.rs1] & self._mask)
        number = core.state.XPR[insn.rs2] & 0xFFFFFFFF
        level = PRINT_LEVELS[insn.rd] if insn.rd < len(PRINT_LEVELS) else f"level {insn.rd}"
        if len(self.prints) < PRINT_LIMIT:
            self.prints.append(f"{level}: {text} {number} (0x{number:x})")
        return pc + 4

    def _do_counter(self, core: processor_t, insn, pc: int) -> int:
        if not self._core.counters_are_current():
            return SERIALIZE_BEFORE
        if insn.rs1 > 1:
            self._warn(f"custom-3: xcount of unknown counter {insn.rs1}")
        value = core.get_csr(MCYCLE if insn.rs1 == 1 else MINSTRET) & self._mask
        core.state.XPR.write(insn.rd, _sign_extended(value, self._chip.xlen))
        return pc + 4

    def _do_host(self, core: processor_t, insn, pc: int) -> int:
        del core, insn
        if not self._core.counters_are_current():
            return SERIALIZE_BEFORE
        self._stops.on_host_request()
        return pc + 4

    def _do_finish(self, core: processor_t, insn, pc: int) -> int:
        if not self._core.counters_are_current():
            return SERIALIZE_BEFORE
        self._stops.on_finish(core.state.XPR[insn.rs1] & 0xFFFFFFFF)
        return pc + 4

    def _do_halt(self, core: processor_t, insn, pc: int) -> int:
        del core, insn
        self._stops.on_halt()
        return pc + 4

    def _do_illegal(self, core: processor_t, insn, pc: int) -> int:
        """An access to a register that the chip does not have."""
        del core
        return self._core.trap_illegal(_word(insn), pc)

    def _do_nothing(self, core: processor_t, insn, pc: int) -> int:
        del core, insn
        return pc + 4

    def _do_mark(self, core: processor_t, insn, pc: int) -> int:
        """A mark; with the helper it comes here by `WindowCounter.mark` alone."""
        if self._histogram is None:
            return pc + 4
        event = core.state.XPR[insn.rs1] & 0xFFFFFFFF
        if not self._core.counters_are_current():
            if event == Mark.INFERENCE_BEGIN:
                self._histogram.enable(True)  # the core chooses its counting loop before it comes back here
            return SERIALIZE_BEFORE
        self._windows.mark(event, core.state.XPR[insn.rs2] & 0xFFFFFFFF, self._core.instructions)
        return pc + 4

    def _modelled(self, model: Callable[[int, int, int], int], core: processor_t, insn, pc: int) -> int:
        registers = core.state.XPR
        operands = tuple(registers[number] & self._mask for number in (insn.rs1, insn.rs2, insn.rd))
        if len(self.operands) < OPERANDS_LIMIT:
            self.operands.append(operands)
        registers.write(insn.rd, _sign_extended(model(*operands), self._chip.xlen))
        return pc + 4

    # ---- Vector configurations

    def _vector_configuration_instructions(self) -> list[insn_desc_t]:
        """vset*, put before Spike's own: they call those, and then look at the new vl and vtype."""
        library = spike_functions()
        made = []
        for match, mask, symbol in VECTOR_CONFIGURATION_INSTRUCTIONS:
            function = getattr(library, symbol.format(xlen=self._chip.xlen))
            function.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
            function.restype = ctypes.c_uint64
            made.append(_instruction(match, mask, functools.partial(self._configure_vectors, function)))
        return made

    def _configure_vectors(self, function: Callable[[int, int, int], int], core: processor_t, insn, pc: int) -> int:
        word = _word(insn)
        if not core.get_csr(CSRS["mstatus"]) & MSTATUS_VS:
            return self._core.trap_illegal(word, pc)
        following = function(self._core.address, word, pc)
        vtype = core.get_csr(VECTOR_CSRS["vtype"]) & self._mask
        illegal = vtype >> (self._chip.xlen - 1) << 31  # the register's top bit, as a core of 32 bits has it
        self._histogram.configure(core.get_csr(VECTOR_CSRS["vl"]) & 0xFFFFFFFF, vtype & 0xFF | illegal)
        return following


def _named(instruction: Instruction) -> Callable[[int, int, int], int]:
    """An instruction's model, which says whose it is where it gives no integer or fails."""
    function = function_of(instruction.model)
    whose = f"The model {instruction.model} of the chip's instruction {instruction.name}"

    def model(*operands: int) -> int:
        given = ", ".join(map(hex, operands))
        try:
            value = operator.index(found := function(*operands))
        except Exception as error:
            if place := place_of(error):
                raise SystemExit(f"{whose} failed{place} with {given}: {type(error).__name__}: {error}.") from error
            raise SystemExit(f"{whose} gave {found!r:.60} for {given}: it gives the new rd, an integer.") from error
        return value

    return model


class _CounterCsr(csr_t):
    """A register of the chip's own: the low half of another counter, read-only."""

    def __init__(self, core: processor_t, address: int, counter: int) -> None:
        super().__init__(core, address)
        self._core = core
        self._counter = counter

    def read(self) -> int:
        return self._core.get_csr(self._counter) & 0xFFFFFFFF

    def unlogged_write(self, value: int) -> bool:
        return False


class _ConstantCsr(csr_t):
    """A register of the chip's own that reads as one value."""

    def __init__(self, core: processor_t, register: Register) -> None:
        super().__init__(core, register.address)
        self._value = register.value

    def read(self) -> int:
        return self._value

    def unlogged_write(self, value: int) -> bool:
        return False


def _word(insn) -> int:
    return int.from_bytes(insn.bits, "little")


def _sign_extended(value: int, xlen: int) -> int:
    """A register as Spike keeps it, in 64 bits."""
    sign = 1 << (xlen - 1)
    return (value ^ sign) - sign & (1 << 64) - 1


def _own_register(core: processor_t, register: Register) -> csr_t:
    if register.counter:
        return _CounterCsr(core, register.address, {"instructions": MINSTRET, "cycles": MCYCLE}[register.counter])
    return _ConstantCsr(core, register)


def _instruction(match: int, mask: int, function: Callable[[processor_t, object, int], int]) -> insn_desc_t:
    """An instruction of this machine. An exception must end the process: Spike would only print it and go on."""

    def guarded(core: processor_t, insn, pc: int) -> int:
        try:
            return function(core, insn, pc)
        except SystemExit as error:
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
            os._exit(1)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    # Functions for rv32i, rv64i, rv32e, rv64e; and the same again for Spike's logging loop.
    functions = (guarded, guarded, illegal_instruction, illegal_instruction)
    return insn_desc_t(match, mask, *functions, *functions)
