# SPDX-License-Identifier: Apache-2.0
"""The mutation soak: damaged modules, sent to the chip one after the other.

``./bench trial mutation --count 1000 --seed 1`` damages modules of the conformance suite (bits, runs of
bytes, truncations, splices; in the kernels' ELF and before it), sends each over the UART to the chip on Spike, and runs
what was not refused. Each must be refused with a reason or run to an answer, and after each one the undamaged module
must still give the right answer. A chip that falls silent is reset, and the case is listed.

The kernels' machine code can't be verified: a damaged kernel may loop for ever, or write where it should not. Such
cases are told apart by where the core is found, and by which bytes were damaged.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from springbok.chips.description import load
from springbok.compiler.compiled import Target
from springbok.session import Session
from springbok.support.errors import BenchError, DeviceError, EngineError, LinkError, LinkTimeout
from springbok.trials import conformance

#: Small modules that have much between them: vector kernels in f32 and int8, loops, branches, lists, internal calls.
BASES = ("gru_f32", "mlp_i8", "collatz", "vm_lists", "internal_calls")
#: For a whole answer; the chip itself stops what takes too long.
LIMIT_SECONDS = 60.0
#: Of the chip's own time, for a request's computation: a damaged kernel may never end.
TIME_LIMIT_SECONDS = 0.02
_DATA_MEMORY = load().holding("data").base  # kernels are loaded into it; the firmware's own code lies below


class Verdict(Enum):
    """How one case ended."""

    REFUSED = "refused"
    ANSWERED = "ran to an answer"
    KERNEL_LOOP = "a damaged kernel ran for ever"
    KERNEL_DAMAGE = "a damaged kernel left the chip damaged"
    FAILURE = "failure"


@dataclass(frozen=True)
class Case:
    """One damaged module. ``reason`` is the name of the error, or what went wrong."""

    number: int
    base: str
    damage: str
    in_kernels: bool
    verdict: Verdict
    reason: str = ""

    def __str__(self) -> str:
        return f"case {self.number}: {self.base}, {self.damage}: {self.verdict.value}: {self.reason}"


@dataclass
class Summary:
    """All cases of a run."""

    seed: int
    cases: list[Case] = field(default_factory=list)

    def of(self, *verdicts: Verdict) -> list[Case]:
        """The cases that ended so."""
        return [case for case in self.cases if case.verdict in verdicts]

    @property
    def failures(self) -> list[Case]:
        """The cases that the firmware is to blame for."""
        return self.of(Verdict.FAILURE)

    def table(self) -> str:
        """Refusals by error and how the other cases ended; damage before the kernels' ELF and inside it."""
        counts: dict[str, Counter] = {}
        for case in self.cases:
            row = f"refused: {case.reason}" if case.verdict is Verdict.REFUSED else case.verdict.value
            counts.setdefault(row, Counter())[case.in_kernels] += 1
        rows = [("", "before ELF", "in ELF", "all")]
        for name in sorted(counts, key=lambda name: (not name.startswith("refused"), -counts[name].total(), name)):
            count = counts[name]
            rows.append((name, str(count[False]), str(count[True]), str(count.total())))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        bad = [str(case) for case in self.of(Verdict.FAILURE, Verdict.KERNEL_LOOP, Verdict.KERNEL_DAMAGE)]
        return "\n".join([f"{len(self.cases)} damaged modules, seed {self.seed}", *lines, *bad])


def damaged(data: bytes, random: np.random.Generator) -> tuple[bytes, str, bool]:
    """A damaged copy of a module, what was done to it, and whether that was inside the kernels' ELF.

    Half of the damage is before the ELF, where it is, as a rule, a small part of the file.
    """
    elf = data.find(b"\x7fELF")
    in_kernels = elf >= 0 and random.random() < 0.5
    first, last = (elf, len(data)) if in_kernels else (0, elf if elf >= 0 else len(data))
    at = int(random.integers(first, last))
    kind = random.choice(["bits", "run", "truncation", "splice"], p=[0.5, 0.25, 0.1, 0.15])
    if kind == "bits":
        places = [at, *random.integers(first, last, random.integers(0, 4))]
        changed = bytearray(data)
        for place in places:
            changed[place] ^= 1 << int(random.integers(0, 8))
        return bytes(changed), f"bits at {', '.join(map(str, places))}", in_kernels
    length = int(min(random.integers(1, 65), last - at))
    if kind == "run":
        run = random.bytes(length) if random.random() < 0.5 else bytes([int(random.choice([0, 0xFF]))]) * length
        return data[:at] + run + data[at + length :], f"{length} bytes at {at}", in_kernels
    if kind == "truncation":
        return data[:at], f"truncated to {at} of {len(data)}", in_kernels
    source = int(random.integers(0, len(data) - length + 1))
    kept = int(random.choice([0, length]))  # in place of as many bytes, or between them
    piece = data[source : source + length]
    return data[:at] + piece + data[at + kept :], f"{length} bytes of {source} put to {at}", in_kernels


def soak(
    session: Session,
    count: int,
    seed: int,
    progress: Callable[[Case], None] | None = None,
    target: Target | None = None,
) -> Summary:
    """Sends ``count`` damaged modules to the session's chip, which must run. The same seed gives the same modules."""
    random = np.random.default_rng(seed)
    good = [conformance.prepare(conformance.MODULES / f"{name}.mlir", target or Target()) for name in BASES]
    session.need_link().negotiate(time_limit=TIME_LIMIT_SECONDS)
    summary = Summary(seed)
    for number in range(count):
        base = good[number % len(good)]
        content, damage, in_kernels = damaged(base.model.vmfb.read_bytes(), random)
        verdict, reason = _try(session, base, content)
        if verdict in (Verdict.REFUSED, Verdict.ANSWERED):
            wrong = still_good(session, base)
            if wrong:
                verdict, reason = (Verdict.KERNEL_DAMAGE if in_kernels else Verdict.FAILURE), wrong
        if verdict not in (Verdict.REFUSED, Verdict.ANSWERED):
            session.reset()
            session.need_link().negotiate(time_limit=TIME_LIMIT_SECONDS)
            wrong = still_good(session, base)
            if wrong:
                raise EngineError(f"After {damage} in {base.model.name}, even a reset chip does not work: {wrong}")
        case = Case(number, base.model.name, damage, in_kernels, verdict, reason)
        summary.cases.append(case)
        if progress:
            progress(case)
    session.need_link().negotiate()
    return summary


def _try(session: Session, base: conformance.Case, content: bytes) -> tuple[Verdict, str]:
    """Loads the damaged module and runs it if it was not refused."""
    link = session.need_link()
    session.model = None
    try:
        link.unload()  # with it goes the I/O specification: the module is judged by itself
        link.load_model(content, timeout=LIMIT_SECONDS)
        link.infer(tensors_of(base), timeout=LIMIT_SECONDS)
    except DeviceError as error:
        return Verdict.REFUSED, error.name
    except LinkTimeout as error:
        if _in_kernel(session):
            return Verdict.KERNEL_LOOP, str(error).splitlines()[-1]
        return Verdict.FAILURE, str(error)
    except LinkError as error:
        return Verdict.FAILURE, str(error)
    return Verdict.ANSWERED, ""


def tensors_of(base: conformance.Case) -> bytes:
    """The first sample of a case as the device takes it."""
    return b"".join(array[0].tobytes() for array in base.inputs)


def _in_kernel(session: Session) -> bool:
    """Whether the core is found in code that was loaded with a module."""
    engine = session.need_engine()
    try:
        return any(engine.registers()["pc"] >= _DATA_MEMORY for _ in range(5))
    except EngineError:
        return False


def still_good(session: Session, base: conformance.Case) -> str:
    """Runs the undamaged module; returns what is wrong, nothing if all is well."""
    try:
        session.load_model(base.model)
        outputs = session.infer(*(array[0] for array in base.inputs), timeout=LIMIT_SECONDS)
    except BenchError as error:
        return f"the undamaged module fails: {error}"
    for spec, got, wanted in zip(base.model.outputs, outputs, base.expected, strict=True):
        distance = conformance.difference(got, wanted[0])
        if distance > conformance.tolerance(spec):
            return f"the undamaged module's output {spec} differs by {distance:g}"
    return ""


def main(arguments: list[str] | None = None) -> int:
    """``./bench trial mutation``: 0 when nothing failed."""
    usual = (Verdict.REFUSED, Verdict.ANSWERED)
    return run("./bench trial mutation", __doc__, soak, lambda case: case.verdict not in usual, arguments)


def run(
    program: str, about: str, soak: Callable, is_told: Callable[[Any], bool], arguments: list[str] | None = None
) -> int:
    """Runs a soak of modules on a chip of its own, from the command line: 0 when nothing failed.

    ``soak`` is called as `soak` here; cases that ``is_told`` says yes to are printed as they come.
    """
    parser = argparse.ArgumentParser(prog=program, description=about.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=1000, help="damaged modules (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other damage (default: 1)")
    options = parser.parse_args(arguments)

    def progress(case: Any) -> None:
        if is_told(case):
            sys.stderr.write(f"{case}\n")
        elif (case.number + 1) % 100 == 0:
            sys.stderr.write(f"{case.number + 1} of {options.count}\n")

    session = Session()
    try:
        session.boot("spike")
        summary = soak(session, options.count, options.seed, progress)
    except BenchError as error:
        sys.stderr.write(f"springbok-bench: {error}\n")
        return 2
    finally:
        session.shut_down()
    sys.stdout.write(summary.table() + "\n")
    return int(bool(summary.failures))
