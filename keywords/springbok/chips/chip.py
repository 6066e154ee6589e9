# SPDX-License-Identifier: Apache-2.0
"""Springbok's memory map and clocks, as the simulated chip has them."""

from __future__ import annotations

from springbok.support.errors import EngineError

IMEM_BASE, IMEM_BYTES = 0x32000000, 0x100000
DMEM_BASE, DMEM_BYTES = 0x34000000, 0x1000000
CSR_RAM_BASE, CSR_RAM_BYTES = 0x38000000, 0x1000
MEMORIES = ((IMEM_BASE, IMEM_BYTES), (DMEM_BASE, DMEM_BYTES), (CSR_RAM_BASE, CSR_RAM_BYTES))

UART_BASE, CONTROL_BASE, CLINT_BASE = 0x40000000, 0x47000000, 0x02000000
I2C_BASE, ACCELEROMETER_ADDRESS = 0x40010000, 0x1D

# Entries of physical memory protection, where the chip has it.
PMP_REGIONS = 16

MTIME_HZ = 24_000_000
# How fast the chip's own clock passes while the core executes: Renode's default of 100 MIPS.
INSTRUCTIONS_PER_SECOND = 100_000_000

# Of a trap, by mcause; the RISC-V privileged specification names them.
CAUSES = {
    0: "instruction address misaligned",
    1: "instruction access fault",
    2: "illegal instruction",
    3: "breakpoint",
    4: "load address misaligned",
    5: "load access fault",
    6: "store address misaligned",
    7: "store access fault",
    8: "environment call",
    11: "environment call",
}

VLENS = (0, 128, 256, 512, 1024)

# The simulator's package, exactly: a few offsets into its objects hold for this build alone.
SPIKE_VERSION = "0.0.5.dev20"


def check_memory(address: int, count: int) -> None:
    """Raise EngineError unless the chip has memory at all of these addresses."""
    if not any(base <= address and count >= 0 and address + count <= base + size for base, size in MEMORIES):
        where = ", ".join(f"0x{base:x} to 0x{base + size - 1:x}" for base, size in MEMORIES)
        raise EngineError(f"The chip has no memory at 0x{address:x}, {count} bytes. Memories: {where}.")
