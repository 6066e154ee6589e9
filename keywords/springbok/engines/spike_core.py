# SPDX-License-Identifier: Apache-2.0
"""Spike's core with the chip's memories, as the simulator's process uses it: registers, memory, privileges, traps.

With the helper in C++ (`springbok.engines.spike_native`) whatever the bindings lack is asked there; without it, Spike's
exported functions are called and a few members are found by their offsets, which hold for one version.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import riscv
from riscv.cfg import cfg_t, mem_cfg_t
from riscv.processor import processor_t
from riscv.sim import sim_t

from springbok.chips.chip import Chip, Memory
from springbok.engines.devicetree import chip_devicetree
from springbok.engines.spike_native import Helper

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
MINSTRET, MCYCLE = 0xB02, 0xB00
MIP_MSIP, MIP_MTIP = 1 << 3, 1 << 7
PMPCFG, PMPADDR, PMP_TOR, PMP_LOCKED = 0x3A0, 0x3B0, 1 << 3, 1 << 7
MSECCFG, MSECCFG_RLB = 0x747, 1 << 2
PRINT_BYTES = 256

# Spike's own timer is not used; its device tree names a frequency all the same.
TIMEBASE_HZ = 24_000_000

# Offsets in processor_t, for exactly SPIKE_VERSION.
_OFFSET_MMU, _OFFSET_MIP, _OFFSET_SERIALIZED = 160, 1280, 4040


class SpikeCore:
    """The core ``state`` of a chip, its memories on the bus, and devices that are registered as ``plugins``."""

    def __init__(
        self,
        chip: Chip,
        vlen: int,
        protection: bool,
        extension: str,
        plugins: Sequence[tuple[str, tuple[str, ...]]],
        helper: Helper | None,
    ) -> None:
        self.chip = chip
        self.mask = (1 << chip.xlen) - 1
        self._vlen = vlen
        self._limited = _limited(chip)
        self._released = False
        protection = protection and chip.user_mode and chip.pmp_entries > 0
        more = "_smepmp" if self._limited and not chip.has("smepmp") else ""
        isa_string = f"{chip.isa(vlen)}_x{extension}{more}"
        # Spike reads the device tree from a file: one in memory leaves nothing behind.
        tree = os.memfd_create("devicetree")
        entries = 16 if self._limited else chip.pmp_entries * protection
        os.write(tree, chip_devicetree(isa_string, chip.ranges, TIMEBASE_HZ, entries))
        # Spike keeps pointers to its configuration only: it has to live as long as the simulator.
        self._configuration = cfg_t(
            isa=isa_string,
            priv="mu" if protection else "m",
            mem_layout=[mem_cfg_t(*memory) for memory in chip.ranges],
            start_pc=chip.start,
        )
        self.simulator = sim_t(
            cfg=self._configuration,
            halted=False,
            plugin_device_factories=plugins,
            args=["none"],
            dtb_file=f"/proc/self/fd/{tree}",
        )
        self.core = self.simulator.get_core(0)
        self.address = processor_t.addressof(self.core)
        self._reach = _HelpersWay(helper, self) if helper else _PythonsWay(self)

    def run(self) -> None:
        """Does not return in good order."""
        self.simulator.run()

    # ---- Registers

    @property
    def state(self):
        """Spike's state of the core: pc, XPR, prv."""
        return self.core.state

    @property
    def instructions(self) -> int:
        """How many the core has executed."""
        return self.counter(MINSTRET)

    def counter(self, low: int) -> int:
        """A counter of 64 bits, by the address of its lower half."""
        if self.chip.xlen == 64:
            return self.core.get_csr(low)
        return (self.core.get_csr(low + 0x80) & 0xFFFFFFFF) << 32 | self.core.get_csr(low) & 0xFFFFFFFF

    def counters_are_current(self) -> bool:
        """Spike's own protocol for instructions that read its counters (``validate_csr``)."""
        return self._reach.take_serialized()

    def registers(self) -> dict[str, int]:
        """``pc``, ``x0`` to ``x31`` and machine CSRs; with vectors theirs too."""
        state = self.state
        registers = {"pc": state.pc & self.mask}
        registers.update((f"x{number}", state.XPR[number] & self.mask) for number in range(32))
        csrs = {**CSRS, **(VECTOR_CSRS if self._vlen else {})}
        registers.update((name, self.core.get_csr(address) & self.mask) for name, address in csrs.items())
        return registers

    def set_interrupts(self, level: int) -> None:
        """Raise and lower the lines of timer and software interrupt, as bits of mip."""
        self._reach.set_interrupts(level)

    def trap_registers(self) -> dict[str, int]:
        """``mtvec``, and what the last trap left in ``mcause``, ``mepc`` and ``mtval``."""
        return {name: self.core.get_csr(CSRS[name]) & self.mask for name in ("mtvec", "mcause", "mepc", "mtval")}

    def trap_illegal(self, word: int, pc: int) -> int:
        """Enter the trap handler as Spike does, and return its address.

        A C++ exception must not pass through a function in Python.
        """
        core = self.core
        status = core.get_csr(CSRS["mstatus"])
        interrupts = (status & MSTATUS_MIE) << 4  # MIE becomes MPIE
        previous = core.state.prv << 11
        core.put_csr(CSRS["mstatus"], status & ~(MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP) | interrupts | previous)
        core.put_csr(CSRS["mcause"], ILLEGAL_INSTRUCTION)
        core.put_csr(CSRS["mepc"], pc & self.mask)
        core.put_csr(CSRS["mtval"], word)
        self._reach.set_privilege(MACHINE_MODE)
        return core.get_csr(CSRS["mtvec"]) & ~3

    # ---- Memory

    def release(self) -> None:
        """The chip starts: from here on the core may do in each memory only what the chip allows."""
        self._released = True
        self._keep_rights(True)

    def _keep_rights(self, keep: bool) -> None:
        """Let the core do in each memory what it may: locked entries of memory protection hold in machine mode too.

        A chip with entries of its own has them for itself: its memories allow everything.
        """
        if not self._limited:
            return
        configuration = 0
        self.core.put_csr(MSECCFG, MSECCFG_RLB)  # what is locked can be changed again, by this simulator alone
        for number, memory in enumerate(self._limited):
            rights = sum(bit for letter, bit in (("r", 1), ("w", 2), ("x", 4)) if letter in memory.access)
            self.core.put_csr(PMPADDR + 2 * number, memory.base >> 2)
            self.core.put_csr(PMPADDR + 2 * number + 1, memory.end >> 2)
            configuration |= (PMP_LOCKED | PMP_TOR | rights) << 16 * number + 8
        for word in range(4):
            self.core.put_csr(PMPCFG + word, configuration >> 32 * word & 0xFFFFFFFF if keep else 0)

    @contextmanager
    def _machine_mode(self) -> Iterator[None]:
        """Memory is reached as machine mode reaches it, whatever the core is doing."""
        mode = self.state.prv
        if mode != MACHINE_MODE:
            self._reach.set_privilege(MACHINE_MODE)
        yield
        if mode != MACHINE_MODE:
            self._reach.set_privilege(mode)

    def in_memory(self, address: int, count: int) -> bool:
        return any(base <= address and address + count <= base + size for base, size in self.chip.ranges)

    def instruction_at(self, pc: int) -> int:
        """The word of an instruction, of 16 bits if it is compressed; 0 where there is none."""
        word = self._word_at(pc & ~3) >> 8 * (pc & 2)
        if word & 3 != 3:
            return word & 0xFFFF
        return word | self._word_at(pc + 2) << 16 & 0xFFFF0000 if pc & 2 else word

    def _word_at(self, address: int) -> int:
        """The 32-bit word, 0 where there is none."""
        return self._reach.word_at(address) if self.in_memory(address, 4) else 0

    def text_at(self, address: int) -> str:
        """The text that ends with a zero byte; of a long one, the beginning."""
        content = bytearray()
        while len(content) < PRINT_BYTES and self.in_memory(address, 1):
            byte = self._word_at(address & ~3) >> 8 * (address & 3) & 0xFF
            if byte == 0:
                break
            content.append(byte)
            address += 1
        return content.decode(errors="replace")

    def read(self, address: int, count: int) -> bytes:
        return self._reach.read(address, count)

    def write(self, address: int, content: bytes) -> None:
        """As a host writes, over the bus: also where the core may not."""
        self._reach.write(address, content)


def _limited(chip: Chip) -> list[Memory]:
    """Memories where the core may not do everything."""
    return [memory for memory in chip.memories if set(memory.access) != set("rwx")]


def hidden_registers(chip: Chip) -> Sequence[int]:
    """Addresses of registers that the simulator keeps the memories' rights in, which the chip has not."""
    return (*range(PMPCFG, PMPADDR + 16), MSECCFG) if _limited(chip) else ()


class _HelpersWay:
    """What the bindings lack, in C++."""

    def __init__(self, helper: Helper, core: SpikeCore) -> None:
        self._helper = helper
        self._core = core
        helper.attach(core.address)
        self.take_serialized = helper.take_serialized
        self.set_interrupts = helper.set_interrupts
        self.set_privilege = helper.set_privilege
        self.read = helper.read
        self.write = helper.write

    def word_at(self, address: int) -> int:
        return int.from_bytes(self._helper.read(address, 4), "little")


class _PythonsWay:
    """What the bindings lack, through Spike's exported functions and at offsets into its objects."""

    def __init__(self, core: SpikeCore) -> None:
        self._core = core
        address = core.address
        self.library = spike_functions()
        self._serialized = ctypes.c_bool.from_address(address + _OFFSET_SERIALIZED)
        self._mip = ctypes.c_void_p.from_address(address + _OFFSET_MIP).value
        self._mmu = ctypes.c_void_p.from_address(address + _OFFSET_MMU)

    def take_serialized(self) -> bool:
        current = self._serialized.value
        self._serialized.value = False
        return current

    def set_interrupts(self, level: int) -> None:
        self.library._ZN9mip_csr_t24backdoor_write_with_maskEmm(self._mip, MIP_MSIP | MIP_MTIP, level)

    def set_privilege(self, mode: int) -> None:
        self.library._ZN11processor_t13set_privilegeEmb(self._core.address, mode, False)

    def word_at(self, address: int) -> int:
        with self._core._machine_mode():
            return self._core.core.mmu.load_reserved_32(address) & 0xFFFFFFFF

    def read(self, address: int, count: int) -> bytes:
        mmu = self._core.core.mmu
        start, end = address & ~7, address + count
        with self._core._machine_mode():
            words = [mmu.load_reserved_64(each) & (1 << 64) - 1 for each in range(start, end, 8)]
        content = b"".join(word.to_bytes(8, "little") for word in words)
        return content[address - start : end - start]

    def write(self, address: int, content: bytes) -> None:
        start, end = address & ~7, address + len(content)
        data = self.read(start, address - start) + content + self.read(end, -end % 8)
        core, mmu = self._core, self._core.core.mmu
        core._keep_rights(False)
        with core._machine_mode():
            for offset in range(0, len(data), 8):
                word = int.from_bytes(data[offset : offset + 8], "little")
                # The bindings store only what was reserved; most of a program's data is 0 already.
                if mmu.load_reserved_64(start + offset) & (1 << 64) - 1 != word:
                    mmu.store_conditional_64(start + offset, word)
        core._keep_rights(core._released)
        self.library._ZN5mmu_t12flush_icacheEv(self._mmu)


def spike_functions() -> ctypes.CDLL:
    """Spike's library, with the types of the functions that are called here."""
    library = ctypes.CDLL(str(riscv._utils.find_spike_library()))
    word = ctypes.c_uint64
    types: dict[str, tuple[Sequence[type], type | None]] = {
        "_ZN9mip_csr_t24backdoor_write_with_maskEmm": ((ctypes.c_void_p, word, word), None),
        "_ZN11processor_t13set_privilegeEmb": ((ctypes.c_void_p, word, ctypes.c_bool), None),
        "_ZN11processor_t13set_histogramEb": ((ctypes.c_void_p, ctypes.c_bool), None),
        "_ZN5mmu_t12flush_icacheEv": ((ctypes.c_void_p,), None),
    }
    for name, (arguments, result) in types.items():
        function: Callable = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library
