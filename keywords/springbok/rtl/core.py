# SPDX-License-Identifier: Apache-2.0
"""A core as a user supplies it: a folder with its wrapper, Verilator's file list, ``core.toml``, ``chip.toml``.

>>> core = load(PLATFORMS / "cores" / "ibex")      # doctest: +SKIP
>>> core.reference_isa                             # doctest: +SKIP
'rv32imc_zicsr_zifencei'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from springbok.chips import description
from springbok.chips.chip import Chip
from springbok.support.errors import CoreNeeded, RtlError
from springbok.support.places import command, given_path
from springbok.support.small_files import TOMLDecodeError, parse_toml, read_text
from springbok.support.suggestions import did_you_mean

CORE_FILE, CHIP_FILE = "core.toml", "chip.toml"
ALL = 0xFFFF_FFFF
#: Registers whose value is the RTL's own business: counters, pending interrupts, what identifies the core.
VOLATILE = (
    *range(0xB00, 0xB20), *range(0xB80, 0xBA0), *range(0xC00, 0xC20), *range(0xC80, 0xCA0),
    *(0x301, 0x344, 0xF11, 0xF12, 0xF13, 0xF14, 0xF15),
)  # fmt: skip
FS_VS_SD = 0x8000_6600
#: The privileged architecture's names of registers that a rule may be for: a rule's address must be its name's.
ADDRESSES = {
    "fflags": 0x001, "frm": 0x002, "fcsr": 0x003, "vstart": 0x008, "vxsat": 0x009, "vxrm": 0x00A, "vcsr": 0x00F,
    "vl": 0xC20, "vtype": 0xC21, "vlenb": 0xC22, "mvendorid": 0xF11, "marchid": 0xF12, "mimpid": 0xF13,
    "mhartid": 0xF14, "mconfigptr": 0xF15, "mstatus": 0x300, "misa": 0x301, "medeleg": 0x302, "mideleg": 0x303,
    "mie": 0x304, "mtvec": 0x305, "mcounteren": 0x306, "mstatush": 0x310, "mcountinhibit": 0x320, "mscratch": 0x340,
    "mepc": 0x341, "mcause": 0x342, "mtval": 0x343, "mip": 0x344, "mcycle": 0xB00, "minstret": 0xB02,
    "mcycleh": 0xB80, "minstreth": 0xB82, "sstatus": 0x100, "sie": 0x104, "stvec": 0x105, "scounteren": 0x106,
    "sscratch": 0x140, "sepc": 0x141, "scause": 0x142, "stval": 0x143, "sip": 0x144, "satp": 0x180,
}  # fmt: skip
_KEYS = {
    "": {"rtl": dict, "reference": dict, "csr": list},
    "rtl": {"wrapper": str, "files": str, "verilator": list, "retires": int, "fetch_waits": bool},
    "reference": {"isa": str, "privilege": str, "stores_on_bus": bool, "changes_code": bool},
    "csr": {
        "name": str, "address": int, "volatile": bool, "compared": int, "keep": int, "always": int, "reset": int,
        "absent": bool,
    },
}  # fmt: skip
_PRIVILEGES = ("m", "mu", "msu")
_CSRS = 0x1000  # addresses
_MISA, _READ_ONLY = 0x301, 3  # the two highest bits of an address
#: The base, letters of one-letter extensions, then words of those that begin with z, s or x.
_ISA = re.compile(r"rv32[ieg][mafdqcbvh]*(_?z\w+|_[sx]\w+)?(_[zsx]\w+)*", re.IGNORECASE)


@dataclass(frozen=True)
class CsrRule:
    """How a control and status register is held against the reference's.

    Of a value that is written the core keeps ``(value & keep) | always``; bits outside of ``compared`` are taken from
    the RTL when they are read; ``reset`` is its first value, where that is not the reference's: of a register that says
    what the core is, the one that it always has. An access of one that ``is_absent`` traps.
    """

    name: str
    address: int
    keep: int = ALL
    always: int = 0
    compared: int = ALL
    reset: int | None = None
    is_absent: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether it says what the core is: misa, and those that can only be read."""
        return self.address == _MISA or self.address >> 10 == _READ_ONLY


@dataclass(frozen=True)
class Core:
    """A core's folder, read. ``files`` and ``wrapper`` go to Verilator; ``retires`` is how many instructions may retire
    in one cycle. Without ``fetch_waits`` the core takes instructions for there a cycle after it asked, come what may.
    Without ``changes_code`` no random program changes its own code."""

    folder: Path
    chip_file: Path
    wrapper: Path
    files: Path
    verilator: tuple[str, ...] = ()
    retires: int = 1
    fetch_waits: bool = True
    reference_isa: str = ""
    privilege: str = "m"
    stores_on_bus: bool = True
    changes_code: bool = True
    rules: tuple[CsrRule, ...] = field(default=(), hash=False)

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    def chip(self) -> Chip:
        """Its description. Raises ChipError."""
        return description.load(self.chip_file)

    def arguments(self) -> list[str]:
        """The lines of the file list, with the places that they name: ``@core@`` is the folder, ``@package@`` that of a
        Python package. Raises `CoreNeeded` where a package is not installed, RtlError for what is missing."""
        lines = []
        for number, line in enumerate(_text(self.files).splitlines(), 1):
            lines += [_placed(part, self, number) for part in re.sub(r"\s*(//|#).*", "", line).split()]
        return lines


def load(folder: str | Path) -> Core:
    """Reads a core's folder. Raises RtlError, which says what is wrong, where, and what to do."""
    folder = given_path(folder).resolve()
    if not folder.is_dir():
        raise RtlError(f"There is no core in {folder}: --core names a folder with {CORE_FILE} and {CHIP_FILE}.")
    file = folder / CORE_FILE
    try:
        content = parse_toml(_text(file))
    except TOMLDecodeError as error:
        raise RtlError(f"{file} is no TOML file: {error}.") from None
    _check_keys(file, "", content)
    for section in ("rtl", "reference"):
        _check_keys(file, section, content.get(section, {}))
    for each in content.get("csr", []):
        _check_keys(file, "csr", each)
    rtl, reference = content.get("rtl", {}), content.get("reference", {})
    core = Core(
        folder=folder,
        chip_file=folder / CHIP_FILE,
        wrapper=folder / rtl.get("wrapper", "core.sv"),
        files=folder / rtl.get("files", "files.f"),
        verilator=tuple(rtl.get("verilator", ())),
        retires=rtl.get("retires", 1),
        fetch_waits=rtl.get("fetch_waits", True),
        reference_isa=reference.get("isa", ""),
        privilege=reference.get("privilege", "m"),
        stores_on_bus=reference.get("stores_on_bus", True),
        changes_code=reference.get("changes_code", True),
        rules=_rules(file, content.get("csr", [])),
    )
    if core.privilege not in _PRIVILEGES:
        raise RtlError(f"{file}: privilege '{core.privilege}' is none of {', '.join(_PRIVILEGES)}.")
    if core.reference_isa and not _ISA.fullmatch(core.reference_isa):
        raise RtlError(
            f"{file}: isa '{core.reference_isa}' is no ISA string of 32 bits, such as rv32imc_zicsr_zifencei: behind "
            "the letters stand words that begin with z, s or x."
        )
    if not 1 <= core.retires <= 8:
        raise RtlError(f"{file}: retires = {core.retires} must be 1 to 8, instructions a cycle.")
    return core


def _rules(file: Path, given: list[Mapping[str, Any]]) -> tuple[CsrRule, ...]:
    rules = {address: CsrRule(f"0x{address:03x}", address, compared=0) for address in VOLATILE}
    given_at: set[int] = set()
    rules[0x300] = CsrRule("mstatus", 0x300, compared=ALL & ~FS_VS_SD)
    for each in given:
        if "address" not in each:
            raise RtlError(f"{file}: [[csr]] {each.get('name', '')} has no address.")
        address, who = each["address"], f"[[csr]] {each.get('name', '')}".strip()
        if not 0 <= address < _CSRS:
            raise RtlError(f"{file}: {who} has address {address:#x}: a register's is 0 to 0x{_CSRS - 1:x}.")
        named = ADDRESSES.get(str(each.get("name", "")).lower(), address)
        if named != address:
            raise RtlError(f"{file}: {who} has address 0x{address:03x}: that name's is 0x{named:03x}.")
        if address in given_at:
            raise RtlError(f"{file}: {who} is a second rule for 0x{address:03x}: put both into one.")
        given_at.add(address)
        for name in ("keep", "always", "compared", "reset"):
            if not 0 <= each.get(name, 0) <= ALL:
                raise RtlError(f"{file}: {who}: {name} = {each[name]:#x} does not fit into 32 bits.")
        keep, always, reset = each.get("keep", ALL), each.get("always", 0), each.get("reset")
        if reset is not None and reset != (reset & keep) | always:
            raise RtlError(
                f"{file}: {who}: reset = 0x{reset:08x} is no value that it keeps: by keep and always it is "
                f"0x{reset & keep | always:08x}."
            )
        known = rules.get(address, CsrRule("", address))
        values = {name: each[name] for name in ("keep", "always", "reset", "compared") if name in each}
        if each.get("volatile"):
            values["compared"] = 0
        elif reset is not None and known.is_fixed:
            values = {"compared": ALL, **values}
        if each.get("absent") and each.keys() - {"name", "address", "absent"}:
            raise RtlError(f"{file}: {who} is absent, so that nothing else can be said of it: leave the rest out.")
        merged = {**vars(known), "name": each.get("name", known.name), **values}
        merged["is_absent"] = bool(each.get("absent"))
        rules[address] = CsrRule(**merged)
    return tuple(rules[address] for address in sorted(rules))


def _check_keys(file: Path, section: str, content: Any) -> None:
    where = f"[{section}] of {file}" if section else str(file)
    known = _KEYS[section]
    for name, value in content.items():
        if name not in known:
            raise RtlError(f"{where} knows no '{name}'{did_you_mean(name, known)}. It knows {', '.join(known)}.")
        if not isinstance(value, known[name]) or (known[name] is int and isinstance(value, bool)):
            raise RtlError(f"{where}: {name} = {value!r} is no {known[name].__name__}.")


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise RtlError(
            f"Can't read {path}: {error.strerror}. '{command('core', 'init', 'FOLDER')}' writes one to fill in."
        ) from error
    except UnicodeDecodeError:
        raise RtlError(f"{path} is not text in UTF-8.") from None


def _placed(part: str, core: Core, number: int) -> str:
    def place(found: re.Match) -> str:
        name = found[1]
        if name == "core":
            return str(core.folder)
        package = find_spec(name)
        if package is None or not package.submodule_search_locations:
            raise CoreNeeded(
                f"{core.files}, line {number}: the Python package '{name}' is not installed, which brings the core's "
                f"RTL. Install it: pip install {name.replace('_', '-')}"
            )
        return str(Path(package.submodule_search_locations[0]).resolve())

    return re.sub(r"@(\w+)@", place, part)
