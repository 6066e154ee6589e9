# SPDX-License-Identifier: Apache-2.0
"""A core's pipeline as data: ``platforms/timing/<core>.toml``, each figure with its source.

Example::

    timing = load("springbok_assumed")
    timing.units[Unit.VECTOR_MULTIPLY].latency
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from springbok.chips.chip import Chip
from springbok.support.cache import digest
from springbok.support.errors import BenchError
from springbok.support.places import PLATFORMS, given_path
from springbok.support.small_files import TOMLDecodeError, parse_toml, read_text
from springbok.support.suggestions import did_you_mean
from springbok.timing.operands import Operation, Unit

_TABLES = {
    "issue": ("width",),
    "branch": ("taken", "mispredicted", "jump", "prediction"),
    "memory": ("ports", "port_bits"),
    "vector": ("queue", "queue_latency", "dispatch", "datapath_bits", "chaining", "work"),
}
#: Counts up when the same executions and figures come to other cycles: what was estimated before is another estimate.
VERSION = 2
#: Stands for the timing that the chip's own description names.
OF_CHIP = "chip"
#: What descriptions may leave out: the figures of another unit hold for it then.
_LIKE = {Unit.MULTIPLY_HIGH: Unit.MULTIPLY}
PREDICTIONS = ("none", "backward taken")
WORKS = ("elements", "registers")
_MOST_ADDRESS, _MOST_FIGURE = (1 << 64) - 1, 1 << 20
#: The most that there can be of what is simulated one by one.
_MOST = dict.fromkeys(("width", "ports", "queue", "count"), 64)


class TimingError(BenchError):
    """A description of a pipeline that can't be used."""


@dataclass(frozen=True)
class UnitTiming:
    """``count`` of a unit: ``latency`` cycles to the (first) result, ``interval`` cycles until it can begin again, and
    ``stall`` cycles in which no instruction at all is issued behind one that a scalar unit began."""

    latency: int
    interval: int = 1
    count: int = 1
    stall: int = 0


@dataclass(frozen=True)
class Region:
    """Memory that is slower than the pipeline's own: ``wait`` cycles more for an access, which a vector's first pass
    is, and ``wait_next`` for each further pass. Addresses from ``base`` on, ``bytes`` of them."""

    name: str
    base: int
    bytes: int
    wait: int
    wait_next: int


@dataclass(frozen=True)
class Calibration:
    """What a description was fitted to, and how far it is off: shares of the measured cycles, as absolute values.

    ``microbenchmark_error`` is their mean, ``error`` that of whole inferences at most, ``kernel_error`` that of kernels
    with 5 % of the cycles or more at most; None where no model was measured. ``models`` were not fitted to.
    """

    measured_on: str
    microbenchmarks: int
    microbenchmark_error: float
    models: tuple[str, ...] = ()
    error: float | None = None
    kernel_error: float | None = None


@dataclass(frozen=True)
class Timing:
    """A pipeline. ``is_assumed`` says that its figures are guesses; ``calibration`` is None where nobody held it
    against cycles of the core's own."""

    name: str
    title: str
    is_assumed: bool
    issue_width: int
    units: dict[Unit, UnitTiming]
    branch_taken: int
    branch_mispredicted: int
    jump: int
    prediction: str
    memory_ports: int
    port_bits: int
    queue: int
    queue_latency: int
    dispatch: int
    datapath_bits: int
    chaining: bool
    work: str
    sources: dict[str, str]
    calibration: Calibration | None = None
    regions: tuple[Region, ...] = ()

    @property
    def watched(self) -> tuple[tuple[int, int], ...]:
        """The addresses of the regions: begin and end."""
        return tuple((region.base, region.base + region.bytes) for region in self.regions)

    @property
    def standing(self) -> str:
        """How far its estimates can be trusted, for people."""
        found = self.calibration
        if found is None:
            return "an assumption, never calibrated" if self.is_assumed else "from its documents, never calibrated"
        told = f"calibrated on {found.measured_on} by {found.microbenchmarks} microbenchmarks"
        if found.error is None:
            return f"{told}; no model was measured"
        return (
            f"{told}; whole inferences of {', '.join(found.models)} are within {100 * found.error:.1f} %, kernels with "
            f"5 % of the cycles within {100 * found.kernel_error:.1f} %"
        )

    @property
    def sha256(self) -> str:
        """Of its figures, and of how cycles are reckoned from them: estimates of equal ones can be compared."""
        return digest(VERSION, text(replace(self, title="", is_assumed=False, sources={}, calibration=None)))

    def as_json(self) -> dict[str, Any]:
        """What every estimate says of the description that it was made by; errors are None where nobody measured."""
        found = self.calibration
        return {
            "name": self.name,
            "title": self.title,
            "sha256": self.sha256,
            "is_assumed": self.is_assumed,
            "standing": self.standing,
            "error": found and found.error,
            "kernel_error": found and found.kernel_error,
        }

    def named(self, unit: Unit) -> Unit:
        """The unit whose figures hold for what ``unit`` does: itself, if the description has them."""
        return unit if unit in self.units else _LIKE[unit]

    def passes(self, each: Operation) -> int:
        """How often a vector instruction goes through its unit."""
        if each.unit is Unit.VECTOR_MEMORY:
            return each.accesses if each.accesses > 1 else max(1, -(-each.elements * each.bits // self.port_bits))
        if self.work == "registers":
            return max(1, sum(register[0] == "v" for register in each.writes))
        return max(1, -(-each.elements * each.bits // self.datapath_bits))

    def way(self, jumps: bool, is_conditional: bool, backward: bool, taken: bool) -> int:
        """Cycles that the way out of a block costs beside the instruction."""
        if not jumps:
            return 0
        if not is_conditional:
            return self.jump
        predicted = self.prediction == "backward taken" and backward
        return (self.branch_taken if taken else 0) + (self.branch_mispredicted if predicted != taken else 0)


def timing_of(given: str | Path | Timing, chip: Chip) -> Timing:
    """The description that is ``given``: itself, as `load` takes it, or `OF_CHIP`.

    Raises :class:`TimingError`, for memory beyond the chip's addresses too.
    """
    if str(given) == OF_CHIP and not chip.timing:
        raise TimingError(
            f"The description of {chip.name} names no timing: give --timing with a name of platforms/timing/, or with "
            "a file of your own."
        )
    found = given if isinstance(given, Timing) else load(chip.timing if str(given) == OF_CHIP else given)
    for region in found.regions:
        if region.base + region.bytes > 1 << chip.xlen:
            raise TimingError(
                f"{found.name}: the region '{region.name}' ends beyond the addresses of {chip.name}, which have "
                f"{chip.xlen} bits."
            )
    return found


def load(name: str | Path) -> Timing:
    """The description of this name, or at this path.

    Raises :class:`TimingError` that says what is wrong with it, and where.
    """
    path = given_path(name)
    if path.suffix != ".toml":
        folder = PLATFORMS / "timing"
        path = folder / f"{name}.toml"
        if not path.is_file():
            known = sorted(each.stem for each in folder.glob("*.toml"))
            raise TimingError(
                f"There is no timing '{name}'{did_you_mean(str(name), known)}: there are {', '.join(known)}."
            )
    try:
        document = parse_toml(read_text(path))
    except OSError as error:
        raise TimingError(f"The timing {path} can't be read: {error.strerror}.") from None
    except (UnicodeDecodeError, TOMLDecodeError) as error:
        raise TimingError(f"The timing {path} can't be read: {error}") from None
    return _timing(document, path)


def _timing(document: dict[str, Any], path: Path) -> Timing:
    _check_names(path, "a timing", document, ("title", "assumed", "unit", "source", "calibration", "region", *_TABLES))
    values = {}
    for table, names in _TABLES.items():
        given = document.get(table)
        if not isinstance(given, dict):
            raise TimingError(f"{path}: the table [{table}] is missing, with {', '.join(names)}.")
        _check_names(path, f"[{table}]", given, names)
        for name in names:
            if name not in given:
                raise TimingError(f"{path}: [{table}] lacks '{name}'.")
            values[table, name] = _value(path, table, name, given[name])
    title, assumed = document.get("title", path.stem), document.get("assumed", True)
    return Timing(
        path.stem,
        _text(path, "title", title),
        _truth(path, "assumed", assumed),
        values["issue", "width"],
        _units(document.get("unit"), path),
        *(values["branch", name] for name in ("taken", "mispredicted", "jump", "prediction")),
        *(values["memory", name] for name in ("ports", "port_bits")),
        *(values["vector", name] for name in _TABLES["vector"]),
        _sources(document.get("source"), path, ("region",) if document.get("region") else ()),
        _calibration(document.get("calibration"), path),
        _regions(document.get("region", []), path),
    )


def text(timing: Timing) -> str:
    """The description as a file's text, from which `load` makes the same."""
    tables = {
        "issue": {"width": timing.issue_width},
        "branch": {
            "prediction": timing.prediction,
            "taken": timing.branch_taken,
            "mispredicted": timing.branch_mispredicted,
            "jump": timing.jump,
        },
        "memory": {"ports": timing.memory_ports, "port_bits": timing.port_bits},
        "vector": {name: getattr(timing, name) for name in _TABLES["vector"]},
        "source": timing.sources,
    }
    if timing.calibration:
        tables["calibration"] = {name: value for name, value in vars(timing.calibration).items() if value is not None}
    lines = ["# SPDX-License-Identifier: Apache-2.0", f"title = {_toml(timing.title)}"]
    lines.append(f"assumed = {_toml(timing.is_assumed)}")
    for table, values in tables.items():
        lines += ["", f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in values.items())]
        if table == "vector":
            lines += ["", "[unit]", *(_unit_line(unit, timing.units[unit]) for unit in Unit if unit in timing.units)]
    for region in timing.regions:
        lines += ["", "[[region]]", *(f"{name} = {_toml(value)}" for name, value in vars(region).items())]
    return "\n".join(lines) + "\n"


def _unit_line(unit: Unit, figures: UnitTiming) -> str:
    parts = [f"latency = {figures.latency}"]
    parts += [f"interval = {figures.interval}"] if figures.interval != 1 else []
    parts += [f"count = {figures.count}"] if figures.count != 1 else []
    parts += [f"stall = {figures.stall}"] if figures.stall else []
    return f"{unit.value} = {{ {', '.join(parts)} }}"


def _toml(value: Any) -> str:
    """Strings, truth values, numbers and lists of strings are in TOML as in JSON."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _check_names(path: Path, where: str, given: dict[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise TimingError(f"{path}: '{name}' is nothing that {where} has{did_you_mean(name, known)}.")


def _units(given: Any, path: Path) -> dict[Unit, UnitTiming]:
    given = given if isinstance(given, dict) else {}
    _check_names(path, "[unit]", given, [unit.value for unit in Unit])
    units = {}
    for unit in Unit:
        figures = given.get(unit.value)
        if unit.value not in given:
            if unit in _LIKE:
                continue
            raise TimingError(
                f"{path}: [unit] lacks '{unit.value}', with its latency, and interval and count if not 1."
            )
        where = f"[unit] {unit.value}"
        if not isinstance(figures, dict):
            raise TimingError(f"{path}: {where} is a table such as {{ latency = 1 }}, not {figures!r}.")
        _check_names(path, where, figures, ("latency", "interval", "count", *(() if unit.is_vector else ("stall",))))
        if "latency" not in figures:
            raise TimingError(f"{path}: {where} lacks 'latency'.")
        units[unit] = UnitTiming(**{name: _whole(path, where, name, value) for name, value in figures.items()})
    return units


def _regions(given: Any, path: Path) -> tuple[Region, ...]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise TimingError(f"{path}: regions are tables [[region]], each with name, base, bytes and wait.")
    regions: list[Region] = []
    for each in given:
        where = f"[[region]] {each.get('name', len(regions) + 1)}"
        _check_names(path, where, each, [one.name for one in fields(Region)])
        for name in ("name", "base", "bytes", "wait"):
            if name not in each:
                raise TimingError(f"{path}: {where} lacks '{name}'.")
        _text(path, f"{where} name", each["name"])
        for name in ("base", "bytes"):
            _whole(path, where, name, each[name], _MOST_ADDRESS)
        for name in ("wait", "wait_next"):
            _whole(path, where, name, each.get(name, 0))
        found = Region(**{"wait_next": each["wait"], **each})
        for other in regions:
            if found.base < other.base + other.bytes and other.base < found.base + found.bytes:
                raise TimingError(f"{path}: the regions '{other.name}' and '{found.name}' overlap.")
        regions.append(found)
    return tuple(regions)


def _sources(given: Any, path: Path, more: Sequence[str] = ()) -> dict[str, str]:
    given = given if isinstance(given, dict) else {}
    known = (*_TABLES, "unit", *more)
    _check_names(path, "[source]", given, (*known, "region"))
    for table in known:
        if not isinstance(given.get(table), str) or not given[table].strip():
            raise TimingError(f"{path}: [source] must say where the figures of '{table}' come from.")
    for table, source in given.items():
        _text(path, f"[source] {table}", source)
    return given


def _calibration(given: Any, path: Path) -> Calibration | None:
    if given is None:
        return None
    given, where = given if isinstance(given, dict) else {}, "[calibration]"
    names = [each.name for each in fields(Calibration)]
    _check_names(path, where, given, names)
    for name in names[:3]:
        if name not in given:
            raise TimingError(f"{path}: {where} lacks '{name}'. './bench calibrate' writes this table.")
    if not _text(path, f"{where} measured_on", given["measured_on"]).strip():
        raise TimingError(f"{path}: {where} measured_on is empty: it says what the cycles were measured on.")
    _whole(path, where, "microbenchmarks", given["microbenchmarks"])
    for name in {"microbenchmark_error", "error", "kernel_error"} & given.keys():
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST_FIGURE:
            raise TimingError(f"{path}: {where} {name} is a number from 0 to {_MOST_FIGURE:,}, not {value!r:.40}.")
    models = given.get("models", [])
    if not isinstance(models, list) or not all(isinstance(each, str) and each.strip() for each in models):
        raise TimingError(f"{path}: {where} models is a list of names, not {models!r}.")
    for model in models:
        _text(path, f"{where} models", model)
    if not bool(models) == ("error" in given) == ("kernel_error" in given):
        raise TimingError(f"{path}: {where} has models, error and kernel_error together, or none of them.")
    return Calibration(**{**given, "models": tuple(models)})


def _text(path: Path, where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TimingError(f"{path}: {where} is a text, not {value!r}.")
    if not all(each.isprintable() or each in "\n\t" for each in value):
        raise TimingError(f"{path}: {where} has characters that can't be shown: {value!r}.")
    return value


def _value(path: Path, table: str, name: str, value: Any) -> Any:
    choices = {"prediction": PREDICTIONS, "work": WORKS}.get(name)
    if choices:
        if value not in choices:
            raise TimingError(f"{path}: [{table}] {name} is one of {', '.join(map(repr, choices))}, not {value!r}.")
        return value
    if name == "chaining":
        return _truth(path, f"[{table}] chaining", value)
    return _whole(path, f"[{table}]", name, value)


def _truth(path: Path, where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TimingError(f"{path}: {where} is true or false, not {value!r}.")
    return value


#: The least that a figure can be, where that is not 0.
_LEAST = dict.fromkeys(("width", "ports", "queue", "dispatch", "interval", "count", "bytes", "microbenchmarks"), 1)
_LEAST |= dict.fromkeys(("port_bits", "datapath_bits"), 8)


def _whole(path: Path, where: str, name: str, value: Any, most: int = _MOST_FIGURE) -> int:
    least, most = _LEAST.get(name, 0), _MOST.get(name, most)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise TimingError(f"{path}: {where} {name} is a whole number from {least:,} to {most:,}, not {value!r}.")
    if name.endswith("_bits") and value & (value - 1):
        raise TimingError(f"{path}: {where} {name} is a power of two, not {value}.")
    return value
