# SPDX-License-Identifier: Apache-2.0
"""``gate.json``: every verdict of a run, the baselines that it read, missed and wrote; what reports and CI show of it.

A run's keywords write it, one after the other, in Robot's output folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from springbok.gate.gate import FAILED, IGNORED, NOT_COMPARED, Verdict
from springbok.gate.verdict_consistency import contradictions
from springbok.support import json_schema, strict_json
from springbok.support.errors import ReportError
from springbok.support.files import write_in_one_step
from springbok.support.places import command

FILE_NAME = "gate.json"
SCHEMA_VERSION = 1
_SCHEMA_FILE = Path(__file__).with_name("gate.schema.json")
_KEYS = ("verdicts", "baselines", "updates")


@dataclass(frozen=True)
class VerdictFile:
    """The file in ``folder``; what is added is said to be of ``suite`` and ``test``.

    ``since`` is how many verdicts there were when these began: others of their name may have been before.
    """

    folder: Path
    suite: str = ""
    test: str = ""
    since: int = 0

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Keep verdicts on limits."""
        self._add(verdicts, compared=False)

    def add_comparison(self, path: Path, verdicts: Sequence[Verdict]) -> None:
        """Keep verdicts on numbers that were compared with the baseline ``path``."""
        self._add(verdicts, compared=True, baselines=[{"path": str(path), "read": True}])

    def add_missing(self, path: Path, subject: str) -> None:
        """Keep that ``subject`` has no baseline: there is no ``path``."""
        self._add([], compared=True, baselines=[{"path": str(path), "read": False, "subject": subject}])

    def add_update(self, path: Path, changes: Sequence[str]) -> None:
        """Keep that a baseline was written, with what changed in it."""
        content = read(self.folder)
        content["updates"].append({"suite": self.suite, "path": str(path), "changes": list(changes)})
        _write(self.folder, content)

    def not_kept(self, with_suites: bool) -> list[Verdict]:
        """What was not kept in the test, and ``with_suites`` outside of tests in the suites that it is in."""
        content = read(self.folder)
        around = filter(self._is_around, content["verdicts"]) if with_suites else ()
        return [_verdict_of(each) for each in (*self._own(content), *around) if _failed(each)]

    def _own(self, content: Mapping[str, Any]) -> list[dict[str, Any]]:
        own = (self.suite, self.test)
        return [each for each in content["verdicts"][self.since :] if (each["suite"], each["test"]) == own]

    def _is_around(self, kept: Mapping[str, Any]) -> bool:
        return not kept["test"] and f"{self.suite}.".startswith(f"{kept['suite']}.")

    def ignore(self) -> None:
        """Keep that the test, or without one the suite, passes although something was not kept: that is ignored."""
        content = read(self.folder)
        own = [each for each in self._own(content) if _failed(each)]
        for each in own:
            each["outcome"] = IGNORED
        if own:
            _write(self.folder, content)

    def _add(self, verdicts: Sequence[Verdict], compared: bool, baselines: Sequence[dict[str, Any]] = ()) -> None:
        content, place = read(self.folder), {"suite": self.suite, "test": self.test}
        content["verdicts"] += [{**place, "compared": compared, **asdict(verdict)} for verdict in verdicts]
        content["baselines"] += [{**place, **each} for each in baselines]
        _write(self.folder, content)


def _write(folder: Path, content: dict[str, Any]) -> None:
    write_in_one_step(folder / FILE_NAME, json.dumps(content, indent=1) + "\n")


def gather(folder: Path, since: float) -> None:
    """Put what suites kept in folders of their own below ``folder``, after the time ``since``, into its one file."""
    parts = [read(path.parent) for path in sorted(folder.glob(f"*/{FILE_NAME}")) if path.stat().st_mtime >= since]
    if parts:
        whole = {key: [each for part in parts for each in part[key]] for key in _KEYS}
        _write(folder, {"schema": SCHEMA_VERSION, **whole})


def end(folder: Path, is_dry: bool = False) -> list[Verdict]:
    """Say of a run that has ended what its suites did not: where none has asked the gate, nothing was judged, and in a
    dry run nothing could be. Returns what was not kept.
    """
    if not Path(folder).is_dir():
        return []
    if is_dry:
        _write(folder, {**_nothing(), "dry_run": True})
    elif not (Path(folder) / FILE_NAME).exists():
        _write(folder, _nothing())
    return [_verdict_of(each) for each in read(folder)["verdicts"] if _failed(each)]


def _nothing() -> dict[str, Any]:
    return {"schema": SCHEMA_VERSION, **{key: [] for key in _KEYS}}


def read(folder: Path) -> dict[str, Any]:
    """The content of ``folder/gate.json``; without one, nothing was judged yet. Raises `ReportError` for another form.

    What is read of a run of before is `known`: a file that is gone says nothing of what was judged.
    """
    return known(folder) or _nothing()


def known(folder: Path) -> dict[str, Any] | None:
    """The content of ``folder/gate.json``; None where the file is not there, so that what was judged is not known."""
    path = Path(folder) / FILE_NAME
    if not path.exists():
        return None
    try:
        content = strict_json.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} can't be read: {error}. '{command('run')}' writes it anew.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA_VERSION:
        raise ReportError(f"{path} is not of form {SCHEMA_VERSION}. '{command('run')}' writes it anew.")
    if problem := json_schema.problem_of(content, _SCHEMA_FILE) or next(contradictions(content), ""):
        raise ReportError(f"{path} is no good: {problem}. '{command('run')}' writes it anew.")
    return _completed(content)


def _completed(content: dict[str, Any]) -> dict[str, Any]:
    """Files of before did not say what was compared with a baseline, but its value is there."""
    verdicts = [{"compared": bool(each["baseline"]), **each} for each in content["verdicts"]]
    subjects = dict.fromkeys(each["subject"] for each in verdicts if each["compared"])
    baselines = [{"path": subject, "read": True} for subject in subjects]
    return {"baselines": baselines, **content, "verdicts": verdicts}


def _failed(verdict: Mapping[str, Any]) -> bool:
    return verdict["outcome"] == FAILED


def _verdict_of(kept: Mapping[str, Any]) -> Verdict:
    return Verdict(**{field.name: kept[field.name] for field in fields(Verdict) if field.name in kept})


def headline(content: Mapping[str, Any]) -> str:
    """What the gate did, in numbers: above all whether it compared anything.

    >>> headline({"verdicts": [], "updates": [], "baselines": []})
    'no baseline was read: 0 limits checked, 0 numbers compared'
    """
    if content.get("dry_run"):
        return "a dry run: no keyword ran, so nothing was measured, compared or checked"
    compared = once(each for each in content["verdicts"] if each["compared"] and each["outcome"] != NOT_COMPARED)
    limits = [each for each in content["verdicts"] if not each["compared"]]
    read_ones = {each["path"] for each in content["baselines"] if each["read"]}
    missing = {each["path"] for each in content["baselines"] if not each["read"]}
    checked = f"{_number(len(limits), 'limit')} checked"
    if broken := _count(limits, "failed"):
        checked += f", {broken} not kept"
    if read_ones:
        told = f"{_number(len(read_ones), 'baseline')} read: {_number(len(compared), 'number')} compared"
        parts = [f"{told}, {_count(compared, 'failed')} worse, {_count(compared, 'improved')} better; {checked}"]
    else:
        parts = [f"no baseline was read: {checked}, 0 numbers compared"]
    ignored = _count([*limits, *compared], IGNORED)
    parts += [f"{ignored} not kept and ignored by the suite itself"] if ignored else []
    parts += [f"{_number(len(missing), 'configuration')} without a baseline"] if missing else []
    if updates := content["updates"]:
        changes = sum(len(each["changes"]) for each in updates)
        parts.append(f"{_number(len(updates), 'baseline')} written, {_number(changes, 'change')}")
    return "; ".join(parts)


def summary(folder: Path) -> list[str]:
    """A line on what the gate did, and one on each verdict that is not as its baseline, and each missing baseline."""
    content = read(folder)
    lines = [f"Gate:    {headline(content)}"]
    tests: dict[str, list[str]] = {}
    for each in content["verdicts"]:
        if each["outcome"] != "passed":
            change = f": {each['change']}" if each["change"] else ""
            line = f"  {each['outcome']}: {each['subject']}: {each['title']}: {each['value']}{change}"
            tests.setdefault(line, []).append(each.get("test", ""))
    lines += [line + _where(line, tests[line]) for line in tests]
    missing = {each["path"]: each["subject"] for each in content["baselines"] if not each["read"]}
    return lines + [f"  no baseline: {subject}: {path}" for path, subject in missing.items()]


def _where(line: str, tests: Sequence[str]) -> str:
    """In which tests something was not kept; of anything else it is not asked."""
    names = [name for name in dict.fromkeys(tests) if name] if line.startswith((f"  {FAILED}", f"  {IGNORED}")) else []
    return f" (in {', '.join(names)})" if names else ""


def once(verdicts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Verdicts without those that only another test says again: a suite may judge an evaluation more than once."""
    return list({json.dumps({**each, "test": ""}, sort_keys=True): each for each in verdicts}.values())


def _count(verdicts: Sequence[Mapping[str, Any]], outcome: str) -> int:
    return sum(each["outcome"] == outcome for each in verdicts)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
