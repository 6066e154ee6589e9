# SPDX-License-Identifier: Apache-2.0
"""Whether the files that a run left tell of one run: those of two in a folder don't, nor does one that was changed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from springbok.gate.metric import METRICS
from springbok.gate.snapshots import Snapshot, evaluation_of, title
from springbok.gate.verdict_consistency import GROWS, disagreement
from springbok.gate.verdicts import FILE_NAME as GATE_FILE
from springbok.history import facts
from springbok.history.record import (
    DOCUMENTS,
    FAILED,
    METRICS_FILE,
    PASSED,
    SWEEP_FILE,
    XUNIT_FILE,
    digest_of,
    platform_in_short,
    snapshots_in,
    versions_in,
)
from springbok.measuring.derived import QUALITY
from springbok.measuring.recorded import configuration_text
from springbok.report.summary import Tests
from springbok.support.escaping import visible
from springbok.support.run_record import FILE_NAME as RECORD_FILE

_PLATFORM = (("engine", "engine"), ("engine_version", "version of the engine"), ("chip", "chip"), ("vlen_bits", "VLEN"))
#: The optimizer's level that went without saying.
_USUAL_LEVEL = "standard"
#: Clocks of two machines may differ by as much.
_CLOCKS = timedelta(days=1)
_SECONDS = 1.0  # a record's seconds are rounded
#: What changes with the samples, and what tells that these were the same ones, as far as verdicts can.
_HOW_GOOD = {"outputs_sha256", "max_abs_error", *QUALITY}
_COMPARED = {"samples", "instructions", "outputs_sha256"}
_HEADS = (("count", "tests"), ("skipped", "skipped"), ("failed", "failed"))


def files_of(folder: Path, xunit: Path | None = None) -> dict[str, Path]:
    """Where what a run left is, as far as it is there, by the names of `springbok.history.record.DOCUMENTS`."""
    paths = {**{name: folder / name for name in (METRICS_FILE, GATE_FILE, SWEEP_FILE)}, XUNIT_FILE: xunit}
    return {name: path for name, path in paths.items() if path is not None and path.is_file()}


def disagreements(
    document: Mapping[str, Any] | None,
    tests: Tests | None,
    gate: Mapping[str, Any] | None,
    record: Mapping[str, Any],
    files: Mapping[str, Path],
) -> Iterator[str]:
    """What ``metrics.json``, ``xunit.xml``, ``gate.json`` and ``run.json`` say against each other, a sentence each.

    ``files`` are those that are there, by the names of `springbok.history.record.DOCUMENTS`; what is None, or lacks in
    the record, says nothing.
    """
    told = record.get("digests", {})
    texts = {name: path.read_text(encoding="utf-8", errors="replace") for name, path in files.items()}
    # Records of before have no digests; one that has some has those of all that its run left. A sweep may be another's.
    changed = [
        name
        for name in DOCUMENTS
        if "digests" in record
        and name in texts
        and (name in told or name != SWEEP_FILE)
        and told.get(name) != digest_of(texts[name])
    ]
    for name in changed:
        yield f"{name} is not the one that the run of {RECORD_FILE} left: another run's, or changed since"
    yield from facts.contradictions(record, {name: text for name, text in texts.items() if name not in changed})
    if document and document["models"]:
        measured = platform_in_short(document)
        for key, what in _PLATFORM:
            given, found = record.get(key), measured[key]
            if key in record and given != found and {given, found} != {None, ""}:
                yield f"{RECORD_FILE}: {what} {given or 'none'}, {METRICS_FILE}: {what} {found or 'none'}"
    yield from _of_record(record, document)
    yield from _of_tests(tests, record)
    yield from _of_verdict(tests, gate, record)
    are_of_one_run = not changed and {METRICS_FILE, GATE_FILE} <= {*told}
    if document and gate:
        by_number = () if are_of_one_run else _of_gate(document, gate)
        yield from dict.fromkeys((*_of_evaluations(document, gate), *by_number))
    yield from record.get("doubts", ())


def _of_record(record: Mapping[str, Any], document: Mapping[str, Any] | None) -> Iterator[str]:
    """What a record says of its time, its suites and its tools, against itself and against what was measured."""
    origin = record.get("origin") or {}
    times = {"started": record.get("started"), "committed": origin.get("committed")}
    try:
        started, committed = (datetime.fromisoformat(each) if each else None for each in times.values())
    except ValueError as error:
        yield f"{RECORD_FILE}: {error}"
        return
    if started and committed and committed - started > _CLOCKS:
        yield f"{RECORD_FILE}: the run started at {started}, before its commit was made, at {committed}"
    tests = (record.get("tests") or {}).get("count")
    if tests and record.get("suites") == []:
        yield f"{RECORD_FILE}: {tests} tests of no suite"
    if not document:
        return
    versions = record.get("versions") or {}
    for name, found in versions_in(document).items():
        if versions.get(name, found) != found:
            yield f"{RECORD_FILE}: {name} {versions[name] or 'none'}, {METRICS_FILE}: {name} {found}"
    seconds = record.get("seconds")
    for model in document["models"] if seconds is not None else ():
        clock = model.get("wall_clock") or {}
        took = math.fsum((clock.get("upload_seconds") or 0, *(clock.get("round_trip_seconds") or ())))
        if took > seconds + _SECONDS:
            yield f"{RECORD_FILE}: the run took {seconds:g} s, {METRICS_FILE}: {model['name']} alone {took:.6g} s"


def _of_evaluations(document: Mapping[str, Any], gate: Mapping[str, Any]) -> Iterator[str]:
    """What was judged and recorded is one evaluation where both say so: then it has the same numbers in both.

    Of one that was judged or recorded alone, the other may be the same as it was before somebody changed it.
    """
    measured = {evaluation_of(snapshot): snapshot for _, snapshot in snapshots_in(document)}
    judged: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in gate["verdicts"]:
        judged[each.get("evaluation") or ""].append(each)
    replaced = _replaced(document)
    for of, snapshot in measured.items():
        if of and of not in judged and title(snapshot) not in replaced:
            for other in judged.keys() - measured.keys() - {""}:
                yield from _of_changed(snapshot, judged[other], other)
    for each in gate["verdicts"]:
        snapshot = measured.get(each.get("evaluation") or None)
        if snapshot is None:
            continue
        if (subject := title(snapshot)) != each["subject"]:
            yield f"{GATE_FILE} judged {each['subject']}; {METRICS_FILE} is of {subject}"
            return
        if found := disagreement(each, snapshot["metrics"]):
            yield f"{subject}: {each['title']}: {each['value']} in {GATE_FILE}, {found} in {METRICS_FILE}"


def _replaced(document: Mapping[str, Any]) -> set[str]:
    """Configurations of which it is known that what was recorded before, and maybe judged, was another evaluation."""
    return {*map(configuration_text, document.get("replaced", ()))}


def _of_changed(snapshot: Snapshot, verdicts: Sequence[Mapping[str, Any]], evaluation: str) -> Iterator[str]:
    """What tells that ``verdicts`` on another evaluation were on this one: but for its name, or how good it was."""
    subject, other = title(snapshot), verdicts[0]["subject"]
    if subject != other:
        name = other.removesuffix(subject.removeprefix(visible(snapshot["subject"]["model"])))
        renamed = {**snapshot, "subject": {**snapshot["subject"], "model": name}}
        if evaluation_of(renamed) == evaluation:
            yield f"{GATE_FILE} judged {other}; {METRICS_FILE} is of {subject}"
        return
    differing = {each["metric"]: (each, disagreement(each, snapshot["metrics"])) for each in verdicts}
    told = {name for name, (_, found) in differing.items() if found}
    if differing.keys() >= _COMPARED and told <= _HOW_GOOD:  # as many samples at the same costs
        for name in sorted(told):
            each, found = differing[name]
            yield f"{subject}: {each['title']}: {each['value']} in {GATE_FILE}, {found} in {METRICS_FILE}"


def _of_tests(tests: Tests | None, record: Mapping[str, Any]) -> Iterator[str]:
    if tests is None or "tests" not in record or record["tests"]["count"] is None:
        return
    given = {**record["tests"], "failed": len(record["tests"]["failures"])}
    for key, what in _HEADS:
        if given[key] != (found := getattr(tests, key)):
            yield f"{RECORD_FILE}: {given[key]} {what}, {XUNIT_FILE}: {found} {what}"


def _of_verdict(tests: Tests | None, gate: Mapping[str, Any] | None, record: Mapping[str, Any]) -> Iterator[str]:
    """What the record says of the run's end, against its tests and what the gate said."""
    told = record.get("tests") or {"count": None, "failures": ()}
    own = len(told["failures"])
    source, count, failed = RECORD_FILE, told["count"], own
    if tests is not None:
        source, count, failed = XUNIT_FILE, tests.count, tests.failed
    if record.get("verdict") == PASSED and failed:
        yield f"{RECORD_FILE} says that the run has passed, {source} that {failed} of its tests have failed"
    judged = [each for each in (gate or {}).get("verdicts", ()) if each["outcome"] == "failed"]
    if record.get("verdict") == FAILED and count and not (failed or own or judged):
        yield (
            f"{RECORD_FILE} says that the run has failed, {source} that none of its {count} tests has, and "
            "nothing that the gate judged did"
        )


def _of_gate(document: Mapping[str, Any], gate: Mapping[str, Any]) -> Iterator[str]:
    """The gate judges what runs measure: the same models, on the same engine with the same VLEN, to the same numbers.

    A suite may judge a model more than once, and record another of its evaluations: this is for files of which nothing
    else tells that they are of one run.
    """
    replaced = _replaced(document)
    judged: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for each in gate["verdicts"]:
        judged[each["subject"]][each["title"]].add(each["value"])
    measured: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    called: dict[str, set[str]] = defaultdict(set)  # how verdicts on the model begin
    for _, snapshot in snapshots_in(document):
        titles = [title(snapshot), *_titles_of_before(snapshot["subject"])]
        subject = next((each for each in titles if each in judged), titles[0])
        measured[subject].append(snapshot["metrics"])
        called[subject] |= {f"{each.rpartition(' on ')[0]} on " for each in titles}
    for subject, candidates in measured.items():
        others = [each for each in judged if each.startswith(tuple(called[subject]))]
        if others and measured.keys().isdisjoint(others):
            yield f"{GATE_FILE} judged {', '.join(others)}; {METRICS_FILE} is of {subject}"
        for name, metric in METRICS.items():
            values = judged[subject][metric.title] if subject in judged else ()
            found = {metric.shown(each[name]) for each in candidates if each.get(name) is not None}
            if values and found and name != GROWS and subject not in replaced and found.isdisjoint(values):
                yield (
                    f"{subject}: {metric.title}: {' and '.join(sorted(values))} in {GATE_FILE}, "
                    f"{' and '.join(sorted(found))} in {METRICS_FILE}"
                )


def _titles_of_before(subject: Mapping[str, Any]) -> Iterator[str]:
    """As verdicts of before named a configuration: a usual level and chip not at all, and long before none."""
    level = subject.get("optimize") or _USUAL_LEVEL
    chip = f"{subject['chip']}, " if "chip" in subject else ""
    for of_level, of_chip in ((f", {level}" if level != _USUAL_LEVEL else "", chip), ("", chip), ("", "")):
        place = f"{of_chip}{subject['engine']}, VLEN {subject['vlen_bits']}"
        yield visible(f"{subject['model']} ({subject['variant']}{of_level}) on {place}")
