# SPDX-License-Identifier: Apache-2.0
"""``./bench history``: the runs that were, the steps of their numbers, a page of them, and old results made again."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from springbok.cli.arguments import OUTPUT, add_history, results_here, whole
from springbok.cli.keeping import tests_of
from springbok.cli.report import write_reports
from springbok.cli.text import print_table, shown
from springbok.history import keeping, record, steps
from springbok.history.database import HistoryError
from springbok.history.record import METRICS_FILE, XUNIT_FILE
from springbok.history.store import Filter, Store, StoredRun, opened
from springbok.measuring import metrics
from springbok.measuring.recorded import left_out
from springbok.report.history import cause_text, history_page, value_text
from springbok.report.lead import read_lead
from springbok.support import repository, run_record
from springbok.support.errors import BenchError
from springbok.support.escaping import visible
from springbok.support.files import write_in_one_step
from springbok.support.places import command
from springbok.support.results_folder import claimed

#: The verdict of a run that is not as it was added.
UNCLEAR = "unclear"
ACTIONS = ("list", "show", "steps", "page", "add")
LAST = 20
_SHORT = 9
_LINE = 60
_AT_ONCE = 50  # runs that are added in one transaction: another writer waits for its end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "action",
        nargs="?",
        default="list",
        choices=ACTIONS,
        help="list the runs (default), show one, list the steps of all numbers, write a page, add results",
    )
    parser.add_argument("what", nargs="*", metavar="WHAT", help="of show: a run's number; of add: folders of results")
    add_history(parser)
    for name, text in (
        ("branch", "runs of this branch"),
        ("machine", "runs on this machine"),
        ("commit", "runs of this commit, or of those whose ids begin so"),
        ("chip", "runs that measured on this chip"),
        ("engine", "runs that measured on this engine"),
        ("model", "runs that measured this model"),
        ("metric", "of steps and page: this number"),
    ):
        parser.add_argument(f"--{name}", default="", metavar=name.upper(), help=text)
    parser.add_argument("--last", type=whole(), metavar="N", help=f"the newest runs (of list: {LAST}; else all)")
    parser.add_argument("--output", metavar="FOLDER", help="of page: where it goes; of show: where the results go")
    parser.add_argument("--json", action="store_true", help="of list, show and steps: as JSON")


def place_of(options: argparse.Namespace, folder: Path | None = None) -> str:
    """The store that the options mean. Raises `HistoryError` where there is to be none."""
    place = keeping.place_for(folder or results_here(), options.history)
    if place is None:
        raise HistoryError(f"The history is switched off: --history or {keeping.VARIABLE} says '{keeping.NONE}'.")
    return place


def run(options: argparse.Namespace) -> int:
    """Do what is asked for."""
    if options.action in ("list", "steps", "page") and options.what:
        raise HistoryError(f"'{command('history', options.action)}' takes no '{options.what[0]}'.")
    place = place_of(options)
    if options.action == "add":
        return _add(options, place)
    keeping.take_in(results_here(), place)
    with opened(place, create=False) as store:
        return {"list": _list, "show": _show, "steps": _steps, "page": _page}[options.action](store, options)


def _filter(options: argparse.Namespace, last: int | None = None) -> Filter:
    names = ("branch", "machine", "commit", "chip", "engine", "model", "metric")
    return Filter(**{name: getattr(options, name) for name in names}, last=options.last or last)


def _list(store: Store, options: argparse.Namespace) -> int:
    runs = store.runs(_filter(options, LAST))
    changed = store.changed(runs)
    runs = [replace(each, verdict=UNCLEAR) if each.number in changed else each for each in runs]
    if options.json:
        print(json.dumps([asdict(each) for each in runs], indent=1, default=_as_text))
        return _tell(changed.values())
    if not runs:
        print(f"No run in {_place(store.place)} is of this kind.")
        return 0
    header = ("run", "time", "commit", "branch", "machine", "engine", "chip", "verdict", "tests", "suites")
    print_table([header, *map(_row, runs)], left=len(header))
    print(f"\nHistory: {_place(store.place)}")
    return _tell(changed.values())


def _tell(sentences: Iterable[str]) -> int:
    """Tell of runs that are not as they were added; 1 where there are such."""
    told = list(sentences)
    for sentence in told:
        print(f"{visible(sentence)}.", file=sys.stderr)
    return int(bool(told))


def _row(run: StoredRun) -> tuple[str, ...]:
    tests = "unknown" if run.tests is None else f"{run.tests - run.failed - run.skipped}/{run.tests}"
    return (
        str(run.number),
        local(run.started),
        commit_text(run),
        run.branch or "-",
        run.machine,
        run.engine or "-",
        run.chip,
        run.verdict,
        tests,
        _cut(", ".join(run.suites)),
    )


def local(time: datetime) -> str:
    """A time as it is here."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def commit_text(run: StoredRun) -> str:
    """A commit's first digits; ``+`` says that files were changed since."""
    return f"{run.commit[:_SHORT]}{'+' if run.is_dirty else ''}" or "-"


def _cut(text: str) -> str:
    text = visible(text)
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"


def _place(place: str) -> str:
    return place if "://" in place else str(shown(Path(place)))


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _show(store: Store, options: argparse.Namespace) -> int:
    if len(options.what) != 1 or not re.fullmatch(r"\d{1,9}", options.what[0]):
        raise HistoryError(
            f"Name one run by its number: '{command('history', 'show', 'NUMBER')}'. '{command('history')}' lists them."
        )
    run = store.run(int(options.what[0]))
    numbers = [each for each in store.series([run], _filter(options)) if not each.layer]
    failures, documents = store.failures(run.number), store.documents(run.number)
    digests, doubts = store.digests(run.number), store.doubts(run, documents)
    if options.output:  # the record as it is there: its reports tell what contradicts it
        described = run.as_record(failures, documents).beside_documents(digests, doubts)
    run = replace(run, verdict=UNCLEAR) if doubts else run
    if options.json:
        values = [
            {**asdict(each.configuration), "metric": each.metric, "value": each.points[run.number]} for each in numbers
        ]
        content = {**asdict(run), "failures": [each._asdict() for each in failures], "metrics": values}
        print(json.dumps(content, indent=1, default=_as_text))
        _tell(doubts)
    else:
        _print_run(run)
        if not (digests or store.changed([run])):
            print("Digests: none, an earlier version has added it: what was changed since is known in part")
        for sentence in doubts:
            print(f"Unclear: {visible(sentence)}.")
        for failure in failures:
            print(f"Failed:  {visible(failure.test)}: {_cut(' '.join(failure.message.split()))}")
        for sentence in left_out(json.loads(documents.get(METRICS_FILE) or "{}")):
            print(f"Left out: {sentence}.")
        for configuration in dict.fromkeys(each.configuration for each in numbers):
            print(f"\n{configuration.title}")
            rows = [
                (each.metric, _exact(each.points[run.number]))
                for each in numbers
                if each.configuration == configuration
            ]
            print_table(rows)
    if options.output:
        _restore(run, {**documents, run_record.FILE_NAME: described}, Path(options.output))
    return int(bool(doubts))


def _print_run(run: StoredRun) -> None:
    versions = ", ".join(f"{name} {text}" for name, text in sorted(run.versions.items()))
    vlen = "" if run.vlen_bits is None else f", VLEN {run.vlen_bits}"
    for title, text in (
        ("Run", f"{run.number}, {local(run.started)}: {run.verdict}, tests: {run.tests_text}"),
        ("Commit", f"{commit_text(run)} {run.subject}" if run.commit else "none"),
        ("Branch", run.branch or "none"),
        ("Machine", run.machine),
        ("Chip", f"{run.chip} on {run.engine or 'no engine'} {run.engine_version}{vlen}"),
        ("Suites", ", ".join(run.suites)),
        ("With", versions),
    ):
        print(f"{title + ':':9}{visible(text)}")


def _exact(value: float | str) -> str:
    """A number with all its digits, the begin of a digest."""
    return f"{value[:16]}…" if isinstance(value, str) else f"{value:,.10g}"


def _restore(run: StoredRun, documents: dict[str, str], folder: Path) -> None:
    """The results of a run as they were, with its record, and its report."""
    if METRICS_FILE not in documents:
        raise HistoryError(f"Run {run.number} measured nothing, so there is no report of it to write.")
    if (folder / METRICS_FILE).exists():
        raise HistoryError(f"There are results in {folder} already, and they stay: --output names another folder.")
    with claimed(folder, OUTPUT):
        paths = [write_in_one_step(folder / name, text) for name, text in documents.items()]
        paths += write_reports(folder, folder, None)
    print()
    for path in paths:
        print(shown(path))


def _steps(store: Store, options: argparse.Namespace) -> int:
    runs, left_out = _as_added(store, options)
    found = steps.all_steps(runs, store.series(runs, _filter(options)), _ancestors)
    status = _tell(left_out)
    if options.json:
        print(json.dumps([step_json(each) for each in found], indent=1, default=_as_text))
        return status
    for each in found:
        print(visible(step_text(each)))
    told = f"{len(found)} step{'' if len(found) == 1 else 's'} in {len(runs)} run{'' if len(runs) == 1 else 's'}"
    print(f"{told} of {_place(store.place)}; what was changed since its commit is left out.")
    return status


def _as_added(store: Store, options: argparse.Namespace) -> tuple[list[StoredRun], list[str]]:
    """The runs that are as they were added, and a sentence on each that is not."""
    runs = store.runs(_filter(options))
    changed = store.changed(runs)
    sentences = [f"{each}; it is left out" for each in changed.values()]
    return [run for run in runs if run.number not in changed], sentences


def _ancestors(commit: str) -> list[str]:
    return repository.ancestors_of(results_here().parent, commit)


def step_json(found: steps.Found) -> dict:
    """A step for programs."""
    return {
        **asdict(found.series.configuration),
        "metric": found.series.metric,
        "branch": found.branch,
        "machine": found.machine,
        "old": found.step.old,
        "new": found.step.new,
        "verdict": found.verdict,
        "before": {"run": found.before.number, "commit": found.before.commit},
        "after": {"run": found.after.number, "commit": found.after.commit, "subject": found.after.subject},
        "commits": found.commits,
        "layers": [asdict(cause) for cause in found.causes],
    }


def step_text(found: steps.Found) -> str:
    """A step for people: the number, the commit, and the layers."""
    metric = found.series.metric
    old, new = value_text(metric, found.step.old), value_text(metric, found.step.new)
    lines = [
        f"{found.after.commit[:_SHORT]}  {metric}: {old} -> {new} ({found.verdict})  "
        f"{found.series.configuration.title}",
        f"    {found.branch or 'no branch'}, {found.machine}, runs {found.before.number} and {found.after.number}: "
        f"{_cut(found.after.subject)}",
    ]
    if found.commits and found.commits > 1:
        lines.append(
            f"    One of {found.commits} commits since {found.before.commit[:_SHORT]}: "
            f"'{command('bisect', '--metric', found.series.metric, '--model', found.series.configuration.model)}' "
            "finds it."
        )
    lines += [f"    {cause_text(cause)}" for cause in found.causes[:4]]
    if len(found.causes) > 4:
        lines.append(f"    and {len(found.causes) - 4} layers more")
    return "\n".join(lines)


def _page(store: Store, options: argparse.Namespace) -> int:
    runs, left_out = _as_added(store, options)
    numbers = store.series(runs, _filter(options))
    folder = Path(options.output or results_here())
    page = history_page(runs, numbers, steps.all_steps(runs, numbers, _ancestors), left_out)
    print(shown(write_in_one_step(folder / "history.html", page)))
    return _tell(left_out)


def _add(options: argparse.Namespace, place: str) -> int:
    if not options.what:
        raise HistoryError(f"Name the results to add: '{command('history', 'add', 'FOLDER')}'")
    found, wrong, refused = [], [], []
    for path in options.what:  # one that is no run's results stops no other
        try:
            found.append((path, _record_of(Path(path))))
        except BenchError as error:
            wrong.append(str(error))
    with opened(place) if found else nullcontext() as store:
        for begin in range(0, len(found), _AT_ONCE):
            paths, added = zip(*found[begin : begin + _AT_ONCE], strict=True)
            known = [store.compared(each) for each in added]
            wanted = [each for each, there in zip(added, known, strict=True) if there is None]
            new = dict(zip((each.uid for each in wanted), store.add_all(wanted), strict=True))
            for path, run, there in zip(paths, added, known, strict=True):
                if there is None and (number := new.pop(run.uid, None)) is not None:
                    print(f"{path}: run {number} in {_place(store.place)}", flush=True)
                    continue
                number, differing = there or store.compared(run)  # or it came with these
                if differing:
                    refused.append(f"{path} has the id of run {number}, and is otherwise in {', '.join(differing)}")
                else:
                    print(f"{path}: is in {_place(store.place)} already, as run {number}", flush=True)
    if refused:
        wrong.append(f"Not added: {'; '.join(refused)}. What is in {_place(place)} stays as it is.")
    if wrong:
        raise HistoryError(" ".join(wrong))
    return 0


def _record_of(folder: Path) -> record.Record:
    """What a run has left in its folder; of one that was before histories, as much as can be known."""
    content = metrics.read(folder)
    with metrics.telling_of([(folder, content)]):
        return _record_with(folder, content)


def _record_with(folder: Path, content: dict[str, Any]) -> record.Record:
    home = folder if folder.is_dir() else folder.parent
    names = {name: home / name for name in record.DOCUMENTS}
    documents = {name: path.read_text(encoding="utf-8") for name, path in names.items() if path.is_file()}
    if record.SWEEP_FILE not in run_record.read(home).get("digests", {}):
        documents.pop(record.SWEEP_FILE, None)  # of another command
    documents[METRICS_FILE] = json.dumps(content, indent=2) + "\n"
    run = _described(home / run_record.FILE_NAME, documents)
    lead = read_lead(home, content)
    if lead.wrong:
        raise HistoryError(f"The results in {home} contradict themselves: {'; '.join(lead.wrong)}.")
    if run:
        return run
    file = home / METRICS_FILE if folder.is_dir() else folder
    written = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
    verdict = lead.verdict if lead.verdict in (record.PASSED, record.FAILED) else record.MEASURED
    return record.unknown(documents, written, tests_of(home / XUNIT_FILE), verdict)


def _described(path: Path, documents: dict[str, str]) -> record.Record | None:
    """What ``run.json`` tells of these documents; None without it."""
    if not path.is_file():
        return None
    try:
        return record.read_json(path.read_text(encoding="utf-8"), documents)
    except record.RecordError as error:
        raise HistoryError(f"{path}: {error}") from error
