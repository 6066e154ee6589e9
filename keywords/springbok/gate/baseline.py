# SPDX-License-Identifier: Apache-2.0
"""Baselines: what earlier evaluations came to, one small file each, kept in the repository beside the suites.

``results/baselines/<suite>/<model>-<variant>-<data set>-<engine>-<chip>-vlen<bits>.json`` (Springbok itself is not
named) holds a snapshot (see `springbok.gate.gate`) with its keys sorted and one number a line, so that a change is a
diff that people can read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from springbok.gate import gate, snapshots, sums
from springbok.support import json_schema, strict_json
from springbok.support.errors import BenchError
from springbok.support.files import write_in_one_step
from springbok.support.places import command

SCHEMA_FILE = Path(__file__).with_name("baseline.schema.json")
UPDATE = command("run", "SUITE", "--update-baselines")


class BaselineError(BenchError):
    """A baseline is missing or is not of the form that the gate reads."""


class NoBaseline(BaselineError):
    """There is no baseline of this configuration."""


def path_of(folder: Path, measured: snapshots.Snapshot) -> Path:
    """Where the baseline of this snapshot's configuration is, or would be.

    >>> subject = {"suite": "gestures", "model": "m", "variant": "vector", "dataset": "d/test", "engine": "spike"}
    >>> path_of(Path("b"), {"subject": {**subject, "vlen_bits": 512}}).as_posix()
    'b/gestures/m-vector-d_test-spike-vlen512.json'
    """
    subject = measured["subject"]
    parts = [subject[key] for key in ("model", "variant", "optimize", "dataset", "engine", "chip") if subject.get(key)]
    name = "-".join(_as_file_name(part) for part in [*parts, f"vlen{subject['vlen_bits']}"])
    return Path(folder) / _as_file_name(subject["suite"]) / f"{name}.json"


def read(folder: Path, measured: snapshots.Snapshot) -> dict[str, Any]:
    """Read the baseline of this snapshot's configuration. Raises `NoBaseline`, with what there is instead.

    Raises `BaselineError` for one that does not say what it is asked for: whatever is wrong with it, nothing passes.
    """
    path = path_of(folder, measured)
    if not Path(folder).is_dir():
        raise BaselineError(
            f"There is no folder {folder} with baselines, so nothing can be compared. '{UPDATE}' makes it from what is "
            "measured; --baselines FOLDER names another one."
        )
    try:
        if os.path.lexists(path) and not path.is_file():
            raise BaselineError(f"The baseline {path} is no file, nor leads to one. '{UPDATE}' makes it anew.")
        content = strict_json.parse(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        beside = sorted(each.stem for each in path.parent.glob(f"{_as_file_name(measured['subject']['model'])}-*.json"))
        instead = f" There are baselines of: {', '.join(beside)}." if beside else ""
        raise NoBaseline(
            f"{snapshots.title(measured)} has no baseline {path.parent.name}/{path.name}.{instead} "
            f"If this configuration is meant, '{UPDATE}' makes one from what was measured."
        ) from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"The baseline {path} can't be read: {error}. '{UPDATE}' makes it anew.") from error
    if not isinstance(content, dict) or content.get("schema") != snapshots.SCHEMA_VERSION:
        raise BaselineError(f"{path} is no baseline of form {snapshots.SCHEMA_VERSION}. '{UPDATE}' makes it anew.")
    problem = (
        json_schema.problem_of(content, SCHEMA_FILE)
        or _other_subject(content["subject"], measured["subject"])
        or sums.contradiction(content)
    )
    if problem:
        raise BaselineError(f"The baseline {path} is no good: {problem}. '{UPDATE}' makes it anew.")
    return content


def _other_subject(kept: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """What a baseline is of that this run did not measure, whatever its file is called; empty where it is the same."""
    for key in sorted({*kept, *measured}):
        if kept.get(key) != measured.get(key):
            return f"it is of {key} {json.dumps(kept.get(key)):.60}, and this run measured {measured.get(key)!r}"
    return ""


def write(folder: Path, measured: snapshots.Snapshot) -> list[str]:
    """Make the snapshot the baseline of its configuration; returns a line for each thing that changed.

    What is other on every machine is left out. Raises `BaselineError` where the numbers contradict each other.
    """
    if problem := sums.contradiction(measured):
        raise BaselineError(f"{snapshots.title(measured)} is no baseline, for its numbers disagree: {problem}.")
    kept = {name for name, metric in gate.METRICS.items() if not metric.is_recorded}
    metrics = {name: value for name, value in measured["metrics"].items() if name not in kept and value is not None}
    content = {**measured, "metrics": metrics}
    path = path_of(folder, measured)
    changes = ["new"]
    if path.exists():
        try:
            changes = _changes(content, read(folder, measured))
        except BaselineError as error:
            changes = [f"the old one was no good: {error}"]
    write_in_one_step(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return changes


def folder_name(suite: Path) -> str:
    """What the folder with a suite's baselines is called: as the suite's file.

    >>> folder_name(Path("suites/my pump.robot"))
    'my_pump'
    """
    return _as_file_name(suite.stem)


def prune(engine: str, written: Sequence[Path], kept: Collection[str] = ()) -> list[Path]:
    """Remove the engine's baselines that stand beside the written ones and were not written; returns their paths.

    Those of vector lengths that the run did not have are another run's, and so are those in folders called as in
    ``kept``: see `folder_name`.
    """

    removed = []
    lengths = {(subject.get("chip"), subject.get("vlen_bits")) for subject in map(_subject_of, written)}
    for suite in {path.parent for path in written if path.parent.name not in kept}:
        for path in sorted(set(suite.glob("*.json")) - set(written)):
            other = _subject_of(path)
            if other.get("engine") == engine and (other.get("chip"), other.get("vlen_bits")) in lengths:
                path.unlink()
                removed.append(path)
    return removed


def _subject_of(path: Path) -> Mapping[str, Any]:
    """What a file is a baseline of; nothing where it can't be told, which is no file to remove."""
    try:
        content = strict_json.parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    return content["subject"] if isinstance(content, dict) and not json_schema.problem_of(content, SCHEMA_FILE) else {}


def _changes(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    worse = {verdict.metric: "worse" for verdict in gate.compare(new, old) if verdict.has_failed}
    better = {verdict.metric: "better" for verdict in gate.compare(new, old) if verdict.outcome == "improved"}
    lines = []
    for name in sorted({*new["metrics"], *old["metrics"]}):
        before, after = old["metrics"].get(name), new["metrics"].get(name)
        if before != after:
            kind = {**worse, **better}.get(name, "")
            lines.append(f"{name}: {_short(before)} -> {_short(after)}{f' ({kind})' if kind else ''}")
    return lines + gate.causes(new, old)


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    return f"{value[:12]}…" if isinstance(value, str) else f"{value:,}"


def _as_file_name(name: object) -> str:
    return re.sub(r"[^\w.]+", "_", str(name))
