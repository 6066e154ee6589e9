# SPDX-License-Identifier: Apache-2.0
"""The machine-code soak: kernels with damaged instructions, which no verifier can refuse.

``./bench trial machine-code --count 1000 --seed 1`` damages the code of kernels, loads each module into the chip on
Spike and runs it: flipped bits, words that change places, and instructions that a kernel has no business with, such as
stores to the firmware's memory and to devices, jumps out of its code, accesses to CSRs, ``ecall``, ``mret``, ``wfi``,
endless loops. Each must run to an answer or end with a reason, in time; after each one the undamaged module must still
give the right answer, on a chip that was not reset.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from springbok.chips.description import load
from springbok.compiler.compiled import Target
from springbok.modules.vmfb import kernels_code
from springbok.session import Session
from springbok.support.errors import BenchError, DeviceError, LinkError
from springbok.trials import conformance
from springbok.trials.mutation import BASES, run, still_good, tensors_of

#: Of the chip's own time, for a request's computation; the undamaged modules need a hundredth of it.
TIME_LIMIT_SECONDS = 0.02
_A0 = 10
_DATA = load().holding("data")
_WILD_ADDRESSES = (
    *(
        0,
        4,
        load().start,
        load().start + 0x400,
        _DATA.base,
        _DATA.base + 0x1000,
        _DATA.end - 16,
        0x7FFFFFFC,
        0xFFFFFFFC,
    ),
    *(device.base for device in load().devices),
)
_CSRS = (0x300, 0x304, 0x305, 0x340, 0x341, 0x3A0, 0x3A1, 0x3B0, 0x3B5, 0x306, 0x7C0, 0xB00, 0x001, 0x008, 0xF14)
_SYSTEM = {"ecall": 0x73, "ebreak": 0x100073, "mret": 0x30200073, "sret": 0x10200073, "wfi": 0x10500073,
           "fence.i": 0x100F, "nothing": 0, "ones": 0xFFFFFFFF}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One damaged module: what was done to it, how it ended, and what went wrong (nothing: all is well)."""

    number: int
    base: str
    damage: str
    ending: str
    failure: str = ""

    def __str__(self) -> str:
        told = f"case {self.number}: {self.base}, {self.damage}: {self.ending}"
        return f"{told}: {self.failure}" if self.failure else told


@dataclass
class Summary:
    """All cases of a run."""

    seed: int
    cases: list[Case] = field(default_factory=list)

    @property
    def failures(self) -> list[Case]:
        """The cases that the firmware is to blame for."""
        return [case for case in self.cases if case.failure]

    def table(self) -> str:
        """How many cases ended in which way, and all failures."""
        endings = Counter(case.ending for case in self.cases)
        rows = [f"{count:6}  {ending}" for ending, count in endings.most_common()]
        return "\n".join([f"{len(self.cases)} modules with damaged machine code, seed {self.seed}", *rows,
                          f"{len(self.failures)} failures", *map(str, self.failures)])  # fmt: skip


def load_upper(register: int, address: int) -> int:
    """``lui``, for an instruction that adds the low bits."""
    return (address + 0x800) & 0xFFFFF000 | register << 7 | 0x37


def store(address_register: int, offset: int) -> int:
    """``sw zero, offset(register)``, where the offset is the low bits of an address."""
    offset &= 0xFFF
    return (offset >> 5) << 25 | address_register << 15 | 2 << 12 | (offset & 31) << 7 | 0x23


def _jump(register: int, offset: int) -> int:
    """``jalr zero, offset(register)``."""
    return (offset & 0xFFF) << 20 | register << 15 | 0x67


def _csr(number: int, funct3: int, register: int) -> int:
    return number << 20 | register << 15 | funct3 << 12 | register << 7 | 0x73


def damaged(data: bytes, random: np.random.Generator) -> tuple[bytes, str]:
    """A copy of a module with other instructions, and what was done to it."""
    code = kernels_code(data)
    changed = bytearray(data)
    kind = random.choice(["bits", "words", "swap", "store", "jump", "csr", "system", "loop", "custom", "vtype"])
    at = code.start + 4 * int(random.integers(0, len(code) // 4 - 4))

    def put(*words: int) -> None:
        struct.pack_into(f"<{len(words)}I", changed, at, *words)

    if kind == "bits":
        for _ in range(int(random.integers(1, 9))):
            changed[int(random.integers(code.start, code.stop))] ^= 1 << int(random.integers(0, 8))
        return bytes(changed), "bits of its code"
    detail = ""
    if kind == "words":
        put(*map(int, random.integers(0, 1 << 32, int(random.integers(1, 5)))))
    elif kind == "swap":
        other = code.start + 4 * int(random.integers(0, len(code) // 4))
        changed[at : at + 4], changed[other : other + 4] = data[other : other + 4], data[at : at + 4]
        detail = f" with {other}"
    elif kind in ("store", "jump"):
        address = int(random.choice(_WILD_ADDRESSES))
        if random.random() < 0.5:
            address = int(random.integers(_DATA.base, _DATA.end)) & ~3
        last = (store if kind == "store" else _jump)(_A0, address)
        put(load_upper(_A0, address), last)
        detail = f" to 0x{address:x}"
    elif kind == "csr":
        number = int(random.choice(_CSRS)) if random.random() < 0.7 else int(random.integers(0, 4096))
        put(_csr(number, int(random.choice([1, 2, 3, 5, 6, 7])), int(random.integers(0, 32))))
        detail = f" 0x{number:x}"
    elif kind == "system":
        name = str(random.choice(list(_SYSTEM)))
        put(_SYSTEM[name])
        detail = f" {name}"
    elif kind == "loop":
        put(0x6F)  # j to itself
    elif kind == "custom":
        put(int(random.integers(0, 1 << 25)) << 7 | 0x7B)
    else:  # vsetvli with any vtype
        put(int(random.integers(0, 1 << 11)) << 20 | int(random.integers(0, 32)) << 15 | 0x7057)
    return bytes(changed), f"{kind}{detail} at {at}"


def soak(
    session: Session,
    count: int,
    seed: int,
    progress: Callable[[Case], None] | None = None,
    target: Target | None = None,
) -> Summary:
    """Runs ``count`` damaged modules on the session's chip, which must contain kernels.

    The same seed gives the same modules. Raises :class:`BenchError` when a chip no longer works at all.
    """
    random = np.random.default_rng(seed)
    good = [conformance.prepare(conformance.MODULES / f"{name}.mlir", target or Target()) for name in BASES]
    session.need_link().negotiate(time_limit=TIME_LIMIT_SECONDS)
    if not session.chip.contains_kernels:
        raise BenchError("This chip has no physical memory protection: nothing stops a damaged kernel.")
    good = [base for base in good if b"\x7fELF" in base.model.vmfb.read_bytes()]
    summary = Summary(seed)
    for number in range(count):
        base = good[number % len(good)]
        content, damage = damaged(base.model.vmfb.read_bytes(), random)
        ending, failure = _try(session, base, content)
        failure = failure or still_good(session, base)
        case = Case(number, base.model.name, damage, ending, failure)
        summary.cases.append(case)
        if progress:
            progress(case)
        if failure:
            session.reset()
            session.need_link().negotiate(time_limit=TIME_LIMIT_SECONDS)
    session.need_link().negotiate()
    return summary


def _try(session: Session, base: conformance.Case, content: bytes) -> tuple[str, str]:
    """How a damaged module ended, and what went wrong."""
    link = session.need_link()
    session.model = None
    try:
        link.unload()
        link.load_model(content)
        link.infer(tensors_of(base))
    except DeviceError as error:
        cause = re.search(r"mcause \d+ \([^)]*\)", error.message)
        return error.name + (f", {cause[0]}" if cause else ""), ""
    except LinkError as error:
        return "silence", str(error)
    return "ran to an answer", ""


def main(arguments: list[str] | None = None) -> int:
    """``./bench trial machine-code``: 0 when nothing failed."""
    return run("./bench trial machine-code", __doc__, soak, lambda case: bool(case.failure), arguments)
