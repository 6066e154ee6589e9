# SPDX-License-Identifier: Apache-2.0
"""``gate.json``: every verdict of a run and every baseline that it wrote; what reports and CI summaries show of them.

A run's keywords write it, one after the other, in Robot's output folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from springbok.gate.gate import Verdict
from springbok.support.errors import ReportError
from springbok.support.files import write_in_one_step

FILE_NAME = "gate.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class VerdictFile:
    """The file in ``folder``; what is added is said to be of ``suite`` and ``test``."""

    folder: Path
    suite: str = ""
    test: str = ""

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Keep verdicts."""
        content = read(self.folder)
        content["verdicts"] += [{"suite": self.suite, "test": self.test, **asdict(verdict)} for verdict in verdicts]
        _write(self.folder, content)

    def add_update(self, path: Path, changes: Sequence[str]) -> None:
        """Keep that a baseline was written, with what changed in it."""
        content = read(self.folder)
        content["updates"].append({"suite": self.suite, "path": str(path), "changes": list(changes)})
        _write(self.folder, content)


def _write(folder: Path, content: dict[str, Any]) -> None:
    write_in_one_step(folder / FILE_NAME, json.dumps(content, indent=1) + "\n")


def gather(folder: Path, since: float) -> None:
    """Put what suites kept in folders of their own below ``folder``, after the time ``since``, into its one file."""
    parts = [read(path.parent) for path in sorted(folder.glob(f"*/{FILE_NAME}")) if path.stat().st_mtime >= since]
    if parts:
        keys = ("verdicts", "updates")
        whole = {key: [entry for part in parts for entry in part[key]] for key in keys}
        _write(folder, {"schema": SCHEMA_VERSION, **whole})


def read(folder: Path) -> dict[str, Any]:
    """The content of ``folder/gate.json``; without one, no verdicts. Raises `ReportError` for another form."""
    path = Path(folder) / FILE_NAME
    if not path.exists():
        return {"schema": SCHEMA_VERSION, "verdicts": [], "updates": []}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] == SCHEMA_VERSION and {"verdicts", "updates"} <= content.keys():
            return content
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ReportError(f"{path} can't be read: {error}. './bench run' writes it anew.") from error
    raise ReportError(f"{path} is not of form {SCHEMA_VERSION}. './bench run' writes it anew.")


def summary(folder: Path) -> list[str]:
    """A line on what the gate said, and one on each verdict that is not as its baseline; nothing without verdicts."""
    verdicts = read(folder)["verdicts"]
    if not verdicts:
        return []
    count = {outcome: sum(each["outcome"] == outcome for each in verdicts) for outcome in ("failed", "improved")}
    lines = [
        f"Gate:    {len(verdicts)} limits, {count['failed']} not kept, {count['improved']} better than the baseline"
    ]
    for each in verdicts:
        if each["outcome"] != "passed":
            change = f": {each['change']}" if each["change"] else ""
            lines.append(f"  {each['outcome']}: {each['subject']}: {each['title']}: {each['value']}{change}")
    return lines
