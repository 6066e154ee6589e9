# SPDX-License-Identifier: Apache-2.0
"""Which flags a model is best with, and how that is known.

What was measured for the models of this project is recorded in ``models/choices.json``, so that compiling them needs
no search: `springbok.exploring.search` writes that file. An entry holds for one model file (its SHA-256), one VLEN and
one version of the compiler, and its counts for the kernels that were counted: it has their checksum, so that a change
of the optimizer outdates the entries of those models whose kernels it changes, and no others.

Example::

    choice = recorded(source_sha256, vlen=512, compiler="3.13.0", known=("fixed", "whole"))
    print(choice.flag_set, choice.describe())
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from springbok.support import strict_json
from springbok.support.errors import CompileError
from springbok.support.files import write_in_one_step
from springbok.support.places import MODELS

FILE = MODELS / "choices.json"
SCHEMA_VERSION = 2

#: How a choice is known: nothing is recorded of the model; what is recorded is of another compiler, or of other
#: kernels; it is recorded; it was searched for; a search ran out of time before every candidate was tried.
DEFAULT, OUTDATED, RECORDED, SEARCHED, INCOMPLETE = "default", "outdated", "recorded", "searched", "incomplete"
#: Recorded with another chip of the same VLEN: its flags are a good guess, its counts and kernels are its own.
BORROWED = "borrowed"
#: Where memory was counted too.
COUNTED = (RECORDED, BORROWED, SEARCHED)

#: The VLEN of entries for code without vectors.
NO_VECTORS = 0

_ANEW = "record it anew with './bench trial search --record'"
NOT_TRIED = "not tried: the budget of time ran out"


@dataclass(frozen=True)
class Candidate:
    """A set of flags, and what one warm inference costs with it on the simulator, runtime included.

    ``memory_bytes`` is the arena's peak, module included, and the stack's. ``outcome`` says why the set can't be
    taken, or is empty; counts are None where nothing was measured. ``estimated_cycles`` are there where a search took
    them for its objective: never in a record.
    """

    flag_set: str
    instructions: int | None = None
    memory_bytes: int | None = None
    outcome: str = ""
    estimated_cycles: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Its fields; cycles where they are known."""
        kept = asdict(self)
        if self.estimated_cycles is None:
            del kept["estimated_cycles"]
        return kept


@dataclass(frozen=True)
class Choice:
    """The set of flags to compile a model with. ``origin`` is how it is known, ``note`` a sentence about that.

    ``stock`` is what stock IREE needs, None where nothing was measured. ``kernels_sha256`` is the checksum of the
    kernels that were recorded, or empty.
    """

    flag_set: str
    origin: str
    candidates: tuple[Candidate, ...] = ()
    stock: Candidate | None = None
    note: str = ""
    kernels_sha256: str = ""

    def checked(self, kernels_sha256: str) -> Choice:
        """The choice, outdated if it was recorded of other kernels than those that were compiled now."""
        if self.origin != RECORDED or self.kernels_sha256 == kernels_sha256:
            return self
        note = f"chosen for kernels that the optimizer makes otherwise by now, so its counts are old: {_ANEW}"
        return replace(self, origin=OUTDATED, note=note)

    def borrowed(self, chip: str) -> Choice:
        """The choice for another chip than ``chip``, whose counts are recorded."""
        if self.origin != RECORDED:
            return self
        return Choice(self.flag_set, BORROWED, note=f"as recorded of {chip} with this VLEN, not counted on this chip")

    def measured(self) -> dict[str, Any]:
        """The counts, for JSON."""
        stock = self.stock.as_json() if self.stock else None
        return {"stock": stock, "candidates": [each.as_json() for each in self.candidates]}

    @classmethod
    def of_measured(cls, flag_set: str, origin: str, measured: Mapping[str, Any]) -> Choice:
        """The choice with counts that `measured` gave."""
        candidates = tuple(Candidate(**each) for each in measured["candidates"])
        return cls(flag_set, origin, candidates, Candidate(**measured["stock"]))

    def describe(self) -> str:
        """Such as ``chosen of 5 by count, recorded``."""
        measured = sum(each.instructions is not None for each in self.candidates)
        if self.origin in (RECORDED, SEARCHED, INCOMPLETE):
            counted = all(each.estimated_cycles is None for each in self.candidates)
            by = "count" if counted else "estimated cycles"
            return f"chosen of {measured} by {by}, {self.origin}" + (f"; {self.note}" if self.note else "")
        if self.origin == BORROWED:
            return self.note
        return f"{'recorded' if self.kernels_sha256 else 'the default'}; {self.note}"


def best(candidates: Sequence[Candidate], stock: Candidate, reference: str) -> tuple[Candidate, tuple[Candidate, ...]]:
    """The candidate with the fewest instructions, or cycles where these were estimated; and all of them with the reason
    of those that can't be taken.

    What needs more memory than ``stock`` (IREE without the optimizer), or than the candidate of the name
    ``reference``, is not taken; where all need more, the least is the limit. Among equals the earlier one wins, so that
    the same counts always give the same choice. Raises :class:`CompileError` when none can be taken.

    >>> found = [Candidate("a", 10, 100), Candidate("b", 5, 101), Candidate("c", 9, 100)]
    >>> best(found, Candidate("", 20, 200), reference="a")[0].flag_set
    'c'
    """
    right = [each for each in candidates if not each.outcome]
    if not right:
        reasons = "; ".join(f"'{each.flag_set}' {each.outcome}" for each in candidates)
        raise CompileError(f"No set of flags can be taken: {reasons}")
    limit = min([stock.memory_bytes, *(each.memory_bytes for each in right if each.flag_set == reference)])
    limit = max(limit, min(each.memory_bytes for each in right))
    judged = tuple(
        replace(each, outcome=f"needs {each.memory_bytes - limit:,} bytes of memory more than allowed")
        if not each.outcome and each.memory_bytes > limit
        else each
        for each in candidates
    )
    return min((each for each in judged if not each.outcome), key=_cost), judged


def _cost(candidate: Candidate) -> int:
    return candidate.instructions if candidate.estimated_cycles is None else candidate.estimated_cycles


def recorded(source_sha256: str, *, vlen: int, compiler: str, known: Sequence[str], file: Path = FILE) -> Choice:
    """What ``file`` says of a model, or the default (the first of the ``known`` sets) with the reason.

    ``compiler`` is the compiler's version. Raises :class:`CompileError` when the file is not of this form.
    """
    found = [entry for entry in _entries(file) if (entry["sha256"], entry["vlen"]) == (source_sha256, vlen)]
    if not found:
        note = (
            f"nothing is recorded of this model for VLEN {vlen}, so whether it needs more instructions or memory than "
            f"as stock IREE makes it was not counted (optimize=search counts it)"
        )
        return Choice(known[0], DEFAULT, note=note)
    (entry,) = found[:1]
    if entry["flag_set"] not in known:
        return Choice(known[0], OUTDATED, note=f"'{entry['flag_set']}', which is recorded, is no set of flags: {_ANEW}")
    if entry["compiler"] != compiler:
        note = (
            f"what is recorded in {file.name} is of iree-compile {entry['compiler']}, and this is {compiler}: {_ANEW}"
        )
        return Choice(known[0], OUTDATED, note=note)
    return replace(Choice.of_measured(entry["flag_set"], RECORDED, entry), kernels_sha256=entry["kernels_sha256"])


def record(
    choice: Choice, *, name: str, source_sha256: str, vlen: int, compiler: str, kernels_sha256: str, file: Path = FILE
) -> None:
    """Puts the choice for a model file called ``name`` into ``file``, in place of an earlier one for it or its name.

    ``kernels_sha256`` is the checksum of the kernels that the model has with these flags.
    """
    entry = {
        "model": name,
        "sha256": source_sha256,
        "vlen": vlen,
        "compiler": compiler,
        "kernels_sha256": kernels_sha256,
        "flag_set": choice.flag_set,
        **choice.measured(),
    }
    others = [each for each in _entries(file) if (each["model"], each["vlen"]) != (name, vlen)]
    entries = sorted([*others, entry], key=lambda each: (each["model"], each["vlen"]))
    lines = ",\n".join(json.dumps(each) for each in entries)
    write_in_one_step(file, f'{{"schema": {SCHEMA_VERSION}, "choices": [\n{lines}\n]}}\n')


_KEYS = {"model", "sha256", "vlen", "compiler", "kernels_sha256", "flag_set", "stock", "candidates"}


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        content = strict_json.parse(file.read_text(encoding="utf-8-sig"))
        if content["schema"] != SCHEMA_VERSION:
            raise ValueError(f"its schema is {content['schema']}, not {SCHEMA_VERSION}")
        for entry in content["choices"]:
            missing = _KEYS - entry.keys()
            if missing:
                raise ValueError(f"an entry lacks {', '.join(sorted(missing))}")
            keys = {field.name for field in fields(Candidate)} - {"estimated_cycles"}
            if any(set(each) != keys for each in (entry["stock"], *entry["candidates"])):
                raise ValueError(f"a candidate of {entry['model']} has other keys than it should")
    except FileNotFoundError:
        return []
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CompileError(
            f"{file} is not a record of chosen flags: {error}. Write it anew with "
            "'./bench trial search --record', after removing it."
        ) from None
    return content["choices"]
