# SPDX-License-Identifier: Apache-2.0
"""What random programs do not try of a core: instructions, registers, modes, lines, buses.

>>> beyond(core, chip)[-1]                                                                     # doctest: +SKIP
'illegal words but all ones, all zeros and writes of registers that can only be read'
"""

from __future__ import annotations

from springbok.chips.chip import Chip
from springbok.rtl import ports, system_units
from springbok.rtl.core import ALL, Core
from springbok.rtl.coverage import Coverage
from springbok.rtl.extensions import COMPRESSED_FLOATS, extensions_of, unknown
from springbok.rtl.random_program import NEVER_COMPRESSED, lines_of, menu_of

#: What no program has: `wfi` sleeps until what none can raise in time; of `ebreak`'s trap cores may tell two values.
NEVER = ("ebreak", "wfi")
UNCOUNTED = ("ecall", "illegal", "frflags")  # they trap, or have another name where they are counted
#: Registers of control and status that programs write and read: address, and the bits that count.
_REGISTERS = {
    **{"mscratch": (0x340, ALL), "mtvec": (0x305, 1), "mepc": (0x341, ALL & ~3), "mcause": (0x342, ALL)},
    **{"mtval": (0x343, ALL), "three bits of mie": (0x304, system_units.ALL_LINES)},
    **{"MIE and MPIE of mstatus": (0x300, 0x88), "MPP of mstatus": (0x300, 0x1800)},
}


def instructions(chip: Chip, isa: str, covered: Coverage) -> tuple[list[str], list[str]]:
    """What an ISA has and no program executed: instructions by name, and extensions of which programs know none."""
    has, met = extensions_of(isa), covered.executions
    names = {*menu_of(chip, isa), *NEVER} - {*UNCOUNTED}
    names |= {*NEVER_COMPRESSED} if "c" in has else set()
    names |= {*COMPRESSED_FLOATS} if "c" in has and "f" in has else set()
    floats = ["f"] if "f" in has and not chip.has("f") else []
    return sorted(each for each in names if not met.get(each)), [*floats, *unknown(isa)]


def beyond(core: Core, chip: Chip) -> list[str]:
    """What of a core no program tries, whatever instructions it has: modes, lines, buses, registers, its own code."""
    modes = ["supervisor mode"] if "s" in core.privilege else []
    lines = [name for name in system_units.LINES if name not in lines_of(core, chip)]
    compares_stores = core.stores_on_bus or "rvfi_mem_addr" in ports.of(core.wrapper)
    changed = core.changes_code and "zifencei" in extensions_of(core.reference_isa or chip.isa())
    return [
        *modes,
        *([f"interrupts of the lines {', '.join(lines)}"] if lines else []),
        "two lines at a time",
        *([] if core.fetch_waits else ["stalls of fetches"]),
        *([] if compares_stores else ["stores, which nothing compares"]),
        "errors on the bus",
        "counters",
        *([] if changed else ["code that is changed"]),
        "registers of control and status but for " + _registers(core, chip),
        "illegal words but all ones, all zeros and writes of registers that can only be read",
    ]


def _registers(core: Core, chip: Chip) -> str:
    names = {**_REGISTERS, **({"mcounteren": (0x306, 7)} if "u" in core.privilege else {})}
    names |= {"fflags": (0x001, 31)} if chip.has("f") else {}
    rules = {rule.address: rule for rule in core.rules}
    compared = [
        name
        for name, (address, bits) in names.items()
        if address not in rules or (rules[address].compared & bits == bits and not rules[address].is_absent)
    ]
    return ", ".join(compared) or "none"
