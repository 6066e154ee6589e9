# SPDX-License-Identifier: Apache-2.0
"""What a report leads with: whether the run passed, what failed and why, and of what it tells."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from springbok.gate import verdicts
from springbok.history.record import FAILED
from springbok.measuring.derived import UNKNOWN
from springbok.measuring.platforms import platforms_in
from springbok.report import agreement
from springbok.report.summary import Tests, read_tests
from springbok.support import run_record
from springbok.support.results_folder import Outputs

#: Characters of a commit that people read.
_SHORT_COMMIT = 10
_TITLES = {
    "passed": "✓ Passed",
    "failed": "✗ Failed",
    "unclear": "✗ Unclear",
    "measured": "• Measured",
    "empty": "• Nothing measured",
}


@dataclass(frozen=True)
class Lead:
    """The top of a page. ``verdict`` is passed, failed, unclear where the run's files contradict each other, measured
    where nothing was judged, or empty.

    ``facts`` are (name, value), ``failures`` (what failed, why), of these ``wrong`` what the files say against each
    other; ``log`` is the address of Robot's log, as a page beside the results has it, or nothing where there is none.
    """

    verdict: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    failures: tuple[tuple[str, str], ...] = ()
    log: str = ""
    wrong: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The verdict as people read it."""
        return _TITLES[self.verdict]


def read_lead(folder: Path, document: Mapping[str, Any] | None, files: Outputs | None = None) -> Lead:
    """The lead of the results in ``folder``, from the files that a run left there; those that are missing say nothing.

    Raises `ReportError` for one that is damaged: nobody knows what it said.
    ``files`` is where Robot put its own, in the folder under their usual names unless it is given.
    """
    files = files or Outputs.usual(folder)
    xunit, log = files.xunit_there(), files.log_there()
    gate = verdicts.known(folder)
    tests = read_tests(xunit, "dry_run" in (gate or {})) if xunit else None
    record, damage = run_record.examine(folder)
    there = agreement.files_of(folder, xunit)
    wrong = (*([damage] if damage else ()), *agreement.disagreements(document, tests, gate, record, there))
    found = lead(document, tests, gate, record, wrong)
    return replace(found, log=quote(os.path.relpath(log, folder))) if log else found


def origin_text(folder: Path) -> str:
    """Of which commit and date the results in ``folder`` are, as far as that is known; else nothing."""
    record = run_record.read(folder)
    told = {"commit": _commit(record), "of": _date(record)}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value != UNKNOWN)


def lead(
    document: Mapping[str, Any] | None,
    tests: Tests | None = None,
    gate: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
    wrong: Sequence[str] = (),
) -> Lead:
    """What to lead with of a run's metrics, its ``tests``, what its ``gate`` said, and the ``record`` of the run.

    What is None is not known, and said to be so; ``wrong`` are sentences on what these say against each other. A run
    has failed where one of them says so.
    """
    record = record or {}
    tests = tests or _recorded(record)
    judged = (gate or {}).get("verdicts", [])
    failed = [each for each in judged if each["outcome"] == "failed"]
    failures = [*(tests.failures if tests else ())]
    told = "\n".join(message for _, message in failures)
    failures += [_failure(each) for each in failed if each["title"] not in told]
    sentences = [tests.headline if tests else "no tests are recorded here"]
    if gate is None:
        sentences.append(f"what the gate judged is unknown: there is no {verdicts.FILE_NAME}")
    else:
        sentences.append(verdicts.headline(gate))
        missing = sorted({each["subject"] for each in gate["baselines"] if not each["read"]})
        sentences += [f"without a baseline: {', '.join(missing)}"] if missing else []
    if record.get("verdict") == FAILED and not failures and not wrong:
        failures.append((run_record.FILE_NAME, "The run ended as failed; no test or number of it is told that did."))
    measured = "measured" if document and document["models"] else "empty"
    has_run = tests and tests.count and not tests.is_dry
    verdict = "failed" if failures else "unclear" if wrong else "passed" if has_run else measured
    failures += [("What this run left contradicts itself", "\n".join(wrong))] if wrong else []
    return Lead(
        verdict,
        " ".join(f"{each[0].upper()}{each[1:]}." for each in sentences),
        tuple(_facts(document, tests, record)),
        tuple(failures),
        wrong=tuple(wrong),
    )


def _recorded(record: Mapping[str, Any]) -> Tests | None:
    """The tests as the record tells them, for results without a file of them."""
    told = record.get("tests") or {"count": None}
    failures = tuple((test, message) for test, message in told.get("failures", ()))
    return None if told["count"] is None else Tests(told["count"], told["skipped"] or 0, failures)


def _failure(verdict: Mapping[str, Any]) -> tuple[str, str]:
    limit = f"; {verdict['limit']}" if verdict["limit"] else ""
    change = f" ({verdict['change']} since {verdict['baseline']})" if verdict["baseline"] else ""
    return (
        f"{verdict['subject']}: {verdict['title']}",
        "\n".join((f"{verdict['value']}{change}{limit}", *verdict["accounts"])),
    )


def _facts(document: Mapping | None, tests: Tests | None, record: Mapping) -> list[tuple[str, str]]:
    facts = [("Tests", tests.headline if tests else "none recorded"), ("Commit", _commit(record))]
    facts.append(("Date", _date(record)))
    if document:
        platforms = platforms_in(document)
        facts += [
            ("Chip", _each(each["chip"] for each in platforms)),
            ("VLEN", _each(_bits(each["vlen_bits"]) for each in platforms)),
            ("Engine", _each(" ".join(filter(None, (each["engine"], each["engine_version"]))) for each in platforms)),
            ("Compiler", _each(f"IREE {each['compiler']['version']}" for each in document["models"])),
        ]
    return [(name, value) for name, value in facts if value]


def _each(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _bits(vlen: int | None) -> str:
    return UNKNOWN if vlen is None else f"{vlen} bits" if vlen else "no vectors"


def _commit(record: Mapping) -> str:
    origin = record.get("origin") or {}
    if not origin.get("commit"):
        return UNKNOWN
    more = [origin.get("branch"), "with changes" if origin.get("is_dirty") else ""]
    around = ", ".join(filter(None, more))
    return origin["commit"][:_SHORT_COMMIT] + (f" ({around})" if around else "")


def _date(record: Mapping) -> str:
    try:
        started = datetime.fromisoformat(record["started"])
    except (LookupError, ValueError, TypeError):
        return UNKNOWN
    seconds = record.get("seconds")
    return f"{started:%Y-%m-%d %H:%M %z}" + (f", {seconds:.0f} s" if isinstance(seconds, int | float) else "")
