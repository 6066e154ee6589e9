# SPDX-License-Identifier: Apache-2.0
"""Units of random programs around privileges: registers of control and status, user mode, interrupts, changed code.

Each is a row of words. What they need beside random registers are `TEMPORARY` and `OTHER`; a handler
(`handler`) reads what a trap wrote, and brings user mode's environment calls back to machine mode.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from springbok.rtl.far_units import branch_bits
from springbok.rtl.program import (
    MEPC,
    MRET,
    MSTATUS,
    MSTATUS_MIE,
    MSTATUS_MPIE,
    MSTATUS_MPP,
    WAIT,
    csrw,
    load_constant,
)  # fmt: skip

MIE, MCOUNTEREN, MSCRATCH, MCAUSE, MTVAL, SATP = 0x304, 0x306, 0x340, 0x342, 0x343, 0x180
IDENTIFICATION = (0xF11, 0xF12, 0xF13, 0xF14)
#: Interrupts by the wrapper's port, with their bit in mie.
LINES = {"software": 3, "timer": 7, "external": 11}
ALL_LINES = sum(1 << bit for bit in LINES.values())
DATA, TEMPORARY, OTHER = 1, 5, 6  # registers: of the data's address, and those that units overwrite
CAUSE, VALUE, RETURN = 28, 29, 30  # registers of the handler
ECALL, FENCE_I, USER_ECALL = 0x0000_0073, 0x0000_100F, 8
WRITES = {"csrrw": 1, "csrrs": 2, "csrrc": 3, "csrrwi": 5, "csrrsi": 6, "csrrci": 7}
_CAUSES = (*range(8), 11, *(1 << 31 | bit for bit in LINES.values()))
_STATUS = (MSTATUS_MIE, MSTATUS_MPIE, MSTATUS_MPP, MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP)
_WHOLE = (MSCRATCH, MSCRATCH, MSCRATCH, MTVAL, MEPC)  # registers that any value may be written into


def csr_unit(name: str, chooser: random.Random, privilege: str, rd: int, rs1: int) -> list[int]:
    """A write by the instruction ``name``, then what is read of it; none that changes where a trap leads to.

    Values are those that each core has: legal causes, lines of `LINES`. A register of a mode that it has not traps.
    """
    of_modes = [MCOUNTEREN] if "u" in privilege else []
    of_modes += [] if "s" in privilege else [SATP]
    address = chooser.choice((*_WHOLE, MCAUSE, MIE, MSTATUS, *of_modes))
    if address in _WHOLE:
        return [_access(name, address, rd, rs1), _read(address, chooser.choice(range(5, 28)))]
    if address == SATP:
        return [_access(name, address, rd, rs1)]
    value = {
        MCAUSE: chooser.choice(_CAUSES),
        MIE: chooser.choice((ALL_LINES, ALL_LINES, *(1 << bit for bit in LINES.values()))),
        MSTATUS: chooser.choice(_STATUS),
        MCOUNTEREN: chooser.randrange(8),
    }[address]
    sets = {MCAUSE: "csrrw", MSTATUS: chooser.choice(("csrrs", "csrrc"))}.get(address, name)
    if sets.endswith("i"):  # what bits an immediate has: all but software interrupts stay
        words = [_access(sets if address == MCOUNTEREN else "csrrsi", address, rd, value & 0x1F)]
    else:
        words = [*load_constant(TEMPORARY, value), _access(sets, address, rd, TEMPORARY)]
    # Both leave interrupts as programs begin: they would come in none any more.
    back = [*load_constant(TEMPORARY, ALL_LINES), _access("csrrs", MIE, OTHER, TEMPORARY)] if address == MIE else []
    back += [_access("csrrsi", MSTATUS, OTHER, MSTATUS_MIE)] if address == MSTATUS else []
    return [*words, _read(address, chooser.choice(range(7, 28))), *back]


def return_unit(chooser: random.Random) -> list[int]:
    """`mret` to machine mode behind it, with interrupts on or off before the trap that it ends."""
    previous = _access(chooser.choice(("csrrs", "csrrc")), MSTATUS, 0, OTHER)
    status = [*load_constant(TEMPORARY, MSTATUS_MPP), _access("csrrs", MSTATUS, 0, TEMPORARY)]
    status += [*load_constant(OTHER, MSTATUS_MPIE), previous]
    return [*_leave(status), _read(MSTATUS, chooser.choice(range(7, 28))), _access("csrrsi", MSTATUS, 0, MSTATUS_MIE)]


def user_unit(
    chooser: random.Random, inside: Sequence[int], masked: bool = False, raising: Sequence[int] = ()
) -> list[int]:
    """User mode for some words; in it registers of machine mode and `mret` trap, and an environment call ends it.

    ``masked``: MIE is 0 meanwhile. Interrupts come in user mode all the same: one that ``raising`` raises before has a
    loop's time to do so.
    """
    cleared = MSTATUS_MPP | (MSTATUS_MPIE if masked else 0)
    status = [*load_constant(TEMPORARY, cleared), _access("csrrc", MSTATUS, 0, TEMPORARY)]
    forbidden = (_read(MSTATUS, 7), _access("csrrw", MSCRATCH, 8, 9), _access("csrrsi", MIE, 0, 8), MRET)
    back = [_access("csrrsi", MSTATUS, 0, MSTATUS_MIE)] if masked else []
    before, waits = [], []
    if raising:
        before = [_access("csrrci", MSTATUS, 0, MSTATUS_MIE), *raising]
        less, again = (-1 & 0xFFF) << 20 | TEMPORARY << 15 | TEMPORARY << 7 | 0x13, branch_bits(-4) | 0x63
        waits = [*load_constant(TEMPORARY, WAIT), less, again | TEMPORARY << 15 | 1 << 12]
    return [*before, *_leave(status), *waits, *inside, chooser.choice(forbidden), ECALL, *back]


def illegal(chooser: random.Random) -> int:
    """A word that is illegal on each core: all ones, all zeros, or a write of a register that can only be read."""
    return chooser.choice((0xFFFF_FFFF, 0, _access("csrrw", chooser.choice(IDENTIFICATION), 0, OTHER)))


def line_unit(line: str, clint: int) -> list[int]:
    """Raise a line: the CLINT's first word is all lines here, see `springbok.rtl.program.run`."""
    store = TEMPORARY << 15 | OTHER << 20 | 2 << 12 | 0x23
    return [*load_constant(OTHER, 1 << LINES[line]), *load_constant(TEMPORARY, clint), store]


def changed_code_unit(chooser: random.Random, loads: int) -> list[int]:
    """An instruction that is written into memory just before `fence.i`, over another one.

    What is under way may have come by then: the more so, the more ``loads`` stand before.
    """
    before, after = (0x13 | chooser.randrange(2, 31) << 7 | chooser.randrange(1, 2048) << 20 for _ in range(2))
    auipc, load = 0x17 | TEMPORARY << 7, DATA << 15 | 2 << 12 | 7 << 7 | 0x03
    return [auipc, *load_constant(OTHER, after), *[load] * loads, _store_at(20 + 4 * loads), FENCE_I, before]


def masking_unit(chooser: random.Random, line: str) -> list[int]:
    """Lines that are off from now on: the program's own, or all but that one, or any."""
    own = 1 << LINES[line]
    off = chooser.choice((own, own, ALL_LINES & ~own, ALL_LINES, 1 << chooser.choice([*LINES.values()])))
    return [*all_lines_unit(), *load_constant(TEMPORARY, off), _access("csrrc", MIE, OTHER, TEMPORARY), _read(MIE, 7)]


def all_lines_unit() -> list[int]:
    """All lines on."""
    return [*load_constant(TEMPORARY, ALL_LINES), _access("csrrs", MIE, OTHER, TEMPORARY)]


def enabling() -> list[int]:
    """All lines on, and interrupts."""
    words = [*load_constant(TEMPORARY, ALL_LINES), _access("csrrs", MIE, 0, TEMPORARY), _read(MIE, TEMPORARY)]
    return [*words, _access("csrrsi", MSTATUS, 0, MSTATUS_MIE)]


def handler(clint: int | None) -> list[int]:
    """Read what a trap wrote; of an interrupt take its line away, of another one go on behind its word."""
    words = [_read(MCAUSE, CAUSE)]
    if clint is not None:
        taken = [
            *load_constant(VALUE, clint), VALUE << 15 | 2 << 12 | 0x23, VALUE << 15 | 2 << 12 | 0x03,
            _read(MSTATUS, VALUE), _read(MEPC, VALUE), MRET,
        ]  # fmt: skip
        words += [_branch(5, CAUSE, 0, 4 + 4 * len(taken)), *taken]
    words += [_read(MTVAL, VALUE), _read(MEPC, RETURN), 4 << 20 | RETURN << 15 | RETURN << 7 | 0x13, csrw(MEPC, RETURN)]
    to_machine_mode = [*load_constant(VALUE, MSTATUS_MPP), _access("csrrs", MSTATUS, 0, VALUE)]
    words += [_read(MSTATUS, VALUE), (-USER_ECALL & 0xFFF) << 20 | CAUSE << 15 | VALUE << 7 | 0x13]
    return [*words, _branch(1, VALUE, 0, 4 + 4 * len(to_machine_mode)), *to_machine_mode, MRET]


def _leave(status: Sequence[int]) -> list[int]:
    """`mret` to what stands behind it: interrupts are off meanwhile, and ``status`` says how it goes on."""
    auipc, behind = 0x17 | TEMPORARY << 7, 4 * (5 + len(status))
    words = [_access("csrrci", MSTATUS, 0, MSTATUS_MIE), auipc]
    words += [behind - 4 << 20 | TEMPORARY << 15 | TEMPORARY << 7 | 0x13, csrw(MEPC, TEMPORARY)]
    return [*words, *status, MRET]


def _access(name: str, address: int, rd: int, source: int) -> int:
    return address << 20 | source << 15 | WRITES[name] << 12 | rd << 7 | 0x73


def _read(address: int, rd: int) -> int:
    return _access("csrrs", address, rd, 0)


def _branch(funct3: int, rs1: int, rs2: int, ahead: int) -> int:
    """A branch less than 2048 bytes ahead."""
    bits = (ahead >> 5 & 0x3F) << 25 | (ahead >> 1 & 0xF) << 8
    return bits | rs2 << 20 | rs1 << 15 | funct3 << 12 | 0x63


def _store_at(offset: int) -> int:
    return (offset >> 5) << 25 | OTHER << 20 | TEMPORARY << 15 | 2 << 12 | (offset & 31) << 7 | 0x23
