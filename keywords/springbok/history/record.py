# SPDX-License-Identifier: Apache-2.0
"""What a run leaves for the history: where and of what it was, how its tests ended, and every number by layer."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from springbok.chips.chip import DEFAULT
from springbok.gate import snapshots
from springbok.gate.gate import METRICS
from springbok.gate.verdicts import FILE_NAME as GATE_FILE
from springbok.history.facts import KEYS, METRICS_FILE, SWEEP_FILE, XUNIT_FILE, facts_of
from springbok.measuring.derived import RUNTIME
from springbok.measuring.platforms import configuration_title, platforms_in
from springbok.support import json_schema, run_record, strict_json
from springbok.support.errors import BenchError
from springbok.support.repository import Origin, origin_of

SCHEMA_VERSION = 1
#: What is kept of a run's results: the reports can be made again from it.
DOCUMENTS = (METRICS_FILE, GATE_FILE, XUNIT_FILE, SWEEP_FILE)
#: `METRICS_FILE` of a run that left none.
NOTHING = '{"models": []}'
PASSED, FAILED, MEASURED = "passed", "failed", "measured"
#: Digest of the data set's file: a number is one of its samples.
DATA = "dataset_sha256"
#: What is known of each layer.
LAYER_METRICS = ("instructions", "vector_instructions", "cycles")
MACHINE_VARIABLE = "SPRINGBOK_MACHINE"
# Each of their jobs has a computer of another name.
_SERVERS = {"GITHUB_ACTIONS": "github-actions", "GITLAB_CI": "gitlab-ci", "JENKINS_URL": "jenkins"}


class RecordError(BenchError):
    """A file does not hold what a run leaves for the history."""


class Failure(NamedTuple):
    """A test that failed, and what it said."""

    test: str
    message: str


@dataclass(frozen=True)
class Tests:
    """How many tests a run had; None where Robot's options left its results out."""

    count: int | None = None
    skipped: int | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def failed(self) -> int | None:
        """How many failed."""
        return None if self.count is None else len(self.failures)


class Measurement(NamedTuple):
    """One number (or digest) of a run; ``layer`` is empty for the whole inference."""

    metric: str
    layer: str
    value: float | str


@dataclass(frozen=True)
class Configuration:
    """What numbers of different runs can be compared of."""

    model: str
    variant: str
    optimize: str
    dataset: str
    engine: str
    chip: str
    vlen_bits: int

    @property
    def title(self) -> str:
        """``gestures (vector, standard) on springbok, spike, VLEN 512``"""
        names = (self.model, self.variant, self.optimize, self.chip, self.engine)
        return configuration_title(*names, self.vlen_bits)


@dataclass(frozen=True)
class Record:
    """A run, which took ``seconds``. ``uid`` tells it from all others; ``documents`` are texts by `DOCUMENTS`."""

    started: datetime
    origin: Origin
    machine: str
    engine: str
    engine_version: str
    chip: str
    vlen_bits: int | None
    suites: tuple[str, ...]
    verdict: str
    tests: Tests
    versions: Mapping[str, str]
    documents: Mapping[str, str] = field(repr=False)
    seconds: float | None = None
    uid: str = field(default_factory=lambda: uuid.uuid4().hex)

    def measurements(self) -> Iterator[tuple[Configuration, list[Measurement]]]:
        """Every number of every model of the run, those of the layers too."""
        for configuration, measured in snapshots_of(self.documents.get(METRICS_FILE)):
            yield configuration, numbers_of(measured)

    def as_json(self, documents: bool = True) -> str:
        """The record as a text; without its documents it is what stands beside them in the run's own folder."""
        if not documents:
            return self.beside_documents({name: digest_of(text) for name, text in self.documents.items()})
        return json.dumps(self._as_dict(), indent=1) + "\n"

    def beside_documents(self, digests: Mapping[str, str], doubts: Sequence[str] = ()) -> str:
        """The text that stands beside the run's documents, which had these digests; empty where nobody kept any.

        ``doubts`` are sentences on what is not as it was recorded: a report tells them.
        """
        kept = self._as_dict()
        facts = facts_of(kept.pop("documents"))
        known = {"digests": {**digests}, **facts, "doubts": [*doubts]}
        return json.dumps({**kept, **{name: each for name, each in known.items() if each}}, indent=1) + "\n"

    def _as_dict(self) -> dict[str, Any]:
        kept = {"schema": SCHEMA_VERSION, **asdict(self)}
        kept["started"] = self.started.astimezone().isoformat()
        kept["origin"]["committed"] = self.origin.committed.isoformat() if self.origin.committed else None
        return kept


def digest_of(text: str) -> str:
    """What tells a document of a run from those of all others."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def snapshots_in(document: Mapping[str, Any]) -> Iterator[tuple[Configuration, snapshots.Snapshot]]:
    """What each model of a document came to; nothing of results so old that they lack what is asked for."""
    for model in document["models"]:
        try:
            measured = snapshots.snapshot({**document, "models": [model]})
        except (KeyError, TypeError, ValueError):
            continue
        subject = measured["subject"]
        yield (
            Configuration(
                subject["model"],
                subject["variant"],
                subject["optimize"] or "",
                subject["dataset"] or "",
                subject["engine"],
                subject.get("chip", DEFAULT),
                subject["vlen_bits"] or 0,
            ),
            measured,
        )


def snapshots_of(text: str | None) -> Iterator[tuple[Configuration, snapshots.Snapshot]]:
    """The same of the text of ``metrics.json``; None has no models."""
    return snapshots_in(json.loads(text or NOTHING))


def numbers_of(measured: snapshots.Snapshot) -> list[Measurement]:
    """Every number of a model, those of its layers too."""
    return [*_whole(measured), *_of_layers(measured)]


def value_of(measured: snapshots.Snapshot, metric: str, layer: str = "") -> float | str | None:
    """One number of a model, of the whole inference or of a layer; None where it is not known."""
    return next((each.value for each in numbers_of(measured) if each[:2] == (metric, layer)), None)


def _whole(measured: snapshots.Snapshot) -> Iterator[Measurement]:
    for name, value in measured["metrics"].items():
        if name in METRICS and METRICS[name].obstacle:  # not every run's can be compared: no series
            continue
        if isinstance(value, str) or (value is not None and math.isfinite(value)):
            yield Measurement(name, "", value)
    if data := measured["made_with"].get(DATA):
        yield Measurement(DATA, "", data)


def _of_layers(measured: snapshots.Snapshot) -> Iterator[Measurement]:
    """Dispatches of one layer together: kernels are cut and named otherwise by each compilation."""
    for metric in LAYER_METRICS:
        sums: dict[str, float] = {}
        for name, part in measured["dispatches"].items():
            if part.get(metric) is not None:
                layer = RUNTIME if name == RUNTIME else part["layer"] or name
                sums[layer] = sums.get(layer, 0) + part[metric]
        yield from (Measurement(metric, layer, value) for layer, value in sums.items())


def read_json(text: str, documents: Mapping[str, str] | None = None) -> Record:
    """The record of `Record.as_json`; ``documents`` in place of its own. Raises `RecordError`."""
    try:
        given = strict_json.parse(text)
        if given.pop("schema") != SCHEMA_VERSION:
            raise RecordError(f"It is not of form {SCHEMA_VERSION}: springbok-bench of another version wrote it.")
        if problem := json_schema.problem_of(given, run_record.SCHEMA_FILE):
            raise RecordError(f"It is no record of a run: {problem}.")
        for name in ("digests", "doubts", *KEYS):  # of files beside it
            given.pop(name, None)
        given["started"] = datetime.fromisoformat(given["started"])
        origin = given["origin"]
        origin["committed"] = datetime.fromisoformat(origin["committed"]) if origin["committed"] else None
        given["origin"] = Origin(**origin)
        tests = given["tests"]
        given["tests"] = Tests(tests["count"], tests["skipped"], tuple(Failure(*each) for each in tests["failures"]))
        given["suites"] = tuple(given["suites"])
        return Record(**{**given, "documents": given.get("documents", {}) if documents is None else documents})
    except LookupError as error:
        raise RecordError(f"It is no record of a run: it lacks {error}.") from error
    except ValueError as error:
        raise RecordError(f"It is no record of a run: {error}.") from error
    except (TypeError, AttributeError) as error:
        raise RecordError("It is no record of a run: something in it is of another kind than it should be.") from error


def of_results(
    folder: Path,
    started: datetime,
    suites: Sequence[str],
    passed: bool,
    tests: Tests,
    sources: Sequence[Path] = (),
    xunit: Path | None = None,
) -> Record:
    """The record of the run whose results are in ``folder``, which ends now.

    ``sources`` are folders of what it tested: the first that is in a repository tells the commit. Results that are
    older than ``started`` are another run's.
    """
    begin = started.timestamp() - 1  # clocks of file systems are coarse
    paths = {name: folder / name for name in DOCUMENTS} | ({XUNIT_FILE: xunit} if xunit else {})
    documents = {
        name: path.read_text(encoding="utf-8")
        for name, path in paths.items()
        if path.is_file() and path.stat().st_mtime >= begin
    }
    content = json.loads(documents.get(METRICS_FILE, NOTHING))
    return Record(
        started=started,
        origin=_origin(sources or (folder,)),
        machine=machine(),
        **platform_in_short(content),
        suites=tuple(suites),
        verdict=PASSED if passed else FAILED,
        tests=tests,
        versions=_versions(content),
        documents=documents,
        seconds=round((now() - started).total_seconds(), 1),
    )


def _origin(sources: Sequence[Path]) -> Origin:
    found = [origin_of(source) for source in sources]
    return next((each for each in found if each.committed), found[0])


def unknown(documents: Mapping[str, str], written: datetime, tests: Tests, verdict: str) -> Record:
    """The record of results that say neither where they come from nor on which machine they were made.

    ``verdict`` is `PASSED`, `FAILED`, or `MEASURED` where nothing tells of tests. Its id is the content's: the same
    results are the same run.
    """
    content = json.loads(documents[METRICS_FILE])
    return Record(
        started=written,
        origin=Origin(),
        machine="",
        **platform_in_short(content),
        suites=(),
        verdict=verdict,
        tests=tests,
        versions=versions_in(content),
        documents=documents,
        uid=digest_of(documents[METRICS_FILE])[:32],
    )


def platform_in_short(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of the platforms of a document: several names with commas, and no VLEN of several.

    >>> platform_in_short({"engine": "spike", "engine_version": "1.1", "vlen_bits": 512, "models": []})
    {'engine': 'spike', 'engine_version': '1.1', 'chip': 'springbok', 'vlen_bits': 512}
    """
    found = platforms_in(content)
    names = {
        key: ", ".join(dict.fromkeys(each[key] for each in found if each.get(key)))
        for key in ("engine", "engine_version", "chip")
    }
    lengths = {each.get("vlen_bits") for each in found}
    return {**names, "vlen_bits": lengths.pop() if len(lengths) == 1 else None}


def machine() -> str:
    """What the computer of this run is called: ``SPRINGBOK_MACHINE``, the CI server, or the host's name."""
    server = next((title for name, title in _SERVERS.items() if os.environ.get(name)), "")
    return os.environ.get(MACHINE_VARIABLE) or server or socket.gethostname()


def on_branch(run: Record, branch: str) -> Record:
    """The run, said to be of a branch: a commit by itself is on none."""
    return replace(run, origin=replace(run.origin, branch=branch))


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(timezone.utc)


def _versions(content: Mapping[str, Any]) -> dict[str, str]:
    """Of what made the numbers, here and now."""
    found = {"python": platform.python_version()}
    for title, package in (("springbok-bench", "springbok-bench"), ("robotframework", "robotframework")):
        try:
            found[title] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | versions_in(content)


def versions_in(content: Mapping[str, Any]) -> dict[str, str]:
    """Of the compiler and the firmware that made a document's numbers, as it has them; what it lacks is not there."""
    found = {}
    compilers = {(model.get("compiler") or {}).get("version") for model in content.get("models", ())}
    found["compiler"] = ", ".join(sorted(filter(None, compilers)))
    firmware = dict.fromkeys(((each.get("firmware") or {}).get("sha256") or "")[:16] for each in platforms_in(content))
    found["firmware"] = ", ".join(filter(None, firmware))
    return {name: text for name, text in found.items() if text}
