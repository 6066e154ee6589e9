# SPDX-License-Identifier: Apache-2.0
"""Reads descriptions of pipelines, and says what is wrong with one, and where.

Example::

    load("springbok_assumed").units[Unit.VECTOR_MULTIPLY].latency
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from springbok.chips.chip import Chip
from springbok.support.places import PLATFORMS, command, given_path
from springbok.support.small_files import TOMLDecodeError, parse_toml, read_text
from springbok.support.suggestions import did_you_mean
from springbok.timing.description import (
    LIKE,
    OF_CHIP,
    OPTIONAL,
    PREDICTIONS,
    TABLES,
    WORKS,
    Calibration,
    CodeCache,
    Region,
    Timing,
    TimingError,
    UnitTiming,
)
from springbok.timing.operands import Unit

_MOST_ADDRESS, _MOST_FIGURE = (1 << 64) - 1, 1 << 20
#: The most that there can be of what is simulated one by one.
_MOST = dict.fromkeys(("width", "ports", "queue", "count", "ways"), 64)


def timing_of(given: str | Path | Timing, chip: Chip, vlen: int | None = None) -> Timing:
    """The description that is ``given``: itself, as `load` takes it, or `OF_CHIP`. ``vlen`` is that of the chip's
    vector registers in bits, 0 without them; by default as the chip is built.

    Raises :class:`TimingError`, also for a region where the chip has no memory and for another VLEN than it is for.
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
        if not any(base < region.base + region.bytes and region.base < base + size for base, size in chip.ranges):
            memories = ", ".join(f"0x{base:x} to 0x{base + size - 1:x}" for base, size in chip.ranges)
            raise TimingError(
                f"{found.name}: the region '{region.name}' lies where {chip.name} has no memory, so nothing would wait "
                f"there: its memories are {memories}."
            )
    _check_vlen(found, chip, chip.vlen if vlen is None else vlen)
    return found


def _check_vlen(timing: Timing, chip: Chip, vlen: int) -> None:
    if vlen not in chip.vlens or timing.vlens is None or vlen in timing.vlens:
        return  # what the chip can't have is refused where it is started
    core = f"with VLEN {', '.join(map(str, timing.vlens))}" if timing.vlens else "without vectors"
    fitting = sorted(set(timing.vlens) & set(chip.vlens)) or [0]
    without = "" if fitting[0] else " and code without vectors"
    raise TimingError(
        f"The timing {timing.name} is of a core {core}, and {chip.name} runs with VLEN {vlen}: choose VLEN "
        f"{fitting[0]}{without}, or another timing ('{OF_CHIP}' is the chip's own)."
    )


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
                f"There is no timing '{name}'{did_you_mean(str(name), [*known, OF_CHIP])}: there are "
                f"{', '.join(known)}, '{OF_CHIP}' for the one that the chip names, and FILE.toml of your own."
            )
    try:
        document = parse_toml(read_text(path))
    except OSError as error:
        raise TimingError(f"The timing {path} can't be read: {error.strerror}.") from None
    except (UnicodeDecodeError, TOMLDecodeError) as error:
        raise TimingError(f"The timing {path} can't be read: {error}") from None
    return _timing(document, path)


def _timing(document: dict[str, Any], path: Path) -> Timing:
    names = ("title", "assumed", "vlens", "unit", "source", "calibration", "region", "code_cache", *TABLES)
    _check_names(path, "a timing", document, names)
    values = {}
    for table, names in TABLES.items():
        given = document.get(table)
        if not isinstance(given, dict):
            raise TimingError(f"{path}: the table [{table}] is missing, with {', '.join(names)}.")
        _check_names(path, f"[{table}]", given, names)
        for name in names:
            if name not in given and (table, name) not in OPTIONAL:
                raise TimingError(f"{path}: [{table}] lacks '{name}'.")
            values[table, name] = _value(path, table, name, given[name]) if name in given else None
    title, assumed = document.get("title", path.stem), document.get("assumed", True)
    return Timing(
        path.stem,
        _text(path, "title", title),
        _truth(path, "assumed", assumed),
        values["issue", "width"],
        _units(document.get("unit"), path),
        *(values["branch", name] for name in ("taken", "mispredicted", "jump", "prediction")),
        *(values["memory", name] for name in ("ports", "port_bits")),
        *(values["vector", name] for name in TABLES["vector"]),
        _sources(document.get("source"), path, [name for name in ("region", "code_cache") if document.get(name)]),
        _calibration(document.get("calibration"), path),
        _regions(document.get("region", []), path),
        _vlens(document.get("vlens"), path),
        *(values["branch", name] for name in ("passed", "indirect")),
        _code_cache(document.get("code_cache"), path),
    )


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
            if unit in LIKE:
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


def _vlens(given: Any, path: Path) -> tuple[int, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list):
        raise TimingError(
            f"{path}: vlens is a list of the bits of vector registers, such as [128, 256], not {given!r}."
        )
    return tuple(_whole(path, "each of", "vlens", each) for each in given)


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
            if found.name == other.name:
                raise TimingError(f"{path}: two regions have the name '{found.name}'.")
        regions.append(found)
    return tuple(regions)


def _code_cache(given: Any, path: Path) -> CodeCache | None:
    if given is None:
        return None
    names = [each.name for each in fields(CodeCache)]
    if not isinstance(given, dict):
        raise TimingError(f"{path}: [code_cache] is a table, with {', '.join(names)}.")
    _check_names(path, "[code_cache]", given, names)
    for name in ("bytes", "line_bytes", "wait"):
        if name not in given:
            raise TimingError(f"{path}: [code_cache] lacks '{name}'.")
    found = CodeCache(**{name: _whole(path, "[code_cache]", name, value) for name, value in given.items()})
    if found.bytes < found.line_bytes * found.ways:
        raise TimingError(
            f"{path}: [code_cache] of {found.bytes} bytes has no room for {found.ways} ways of lines of "
            f"{found.line_bytes} bytes."
        )
    return found


def _sources(given: Any, path: Path, more: Sequence[str] = ()) -> dict[str, str]:
    given = given if isinstance(given, dict) else {}
    known = (*TABLES, "unit", *more)
    _check_names(path, "[source]", given, (*known, "region", "code_cache"))
    for table in known:
        if not isinstance(given.get(table), str) or not given[table].strip():
            raise TimingError(f"{path}: [source] must say where the figures of '{table}' come from.")
    for table, source in given.items():
        _text(path, f"[source] {table}", source)
    for table, written in (("region", "[[region]]"), ("code_cache", "[code_cache]")):
        if table in given and table not in more:
            raise TimingError(
                f"{path}: [source] says where the figures of '{table}' come from, and there is no {written}."
            )
    return given


def _calibration(given: Any, path: Path) -> Calibration | None:
    if given is None:
        return None
    given, where = given if isinstance(given, dict) else {}, "[calibration]"
    names = [each.name for each in fields(Calibration)]
    _check_names(path, where, given, names)
    for name in names[:3]:
        if name not in given:
            raise TimingError(
                f"{path}: {where} lacks '{name}'. "
                f"'{command('calibrate', '--core', 'FOLDER', '--output', 'FILE')}' writes this table."
            )
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
    units = given.get("units", [])
    if not isinstance(units, list) or not all(each in list(Unit) for each in units):
        raise TimingError(f"{path}: {where} units is a list of names of [unit], not {units!r}.")
    if "seed" in given:
        _whole(path, where, "seed", given["seed"], _MOST_ADDRESS)
    if "figures" in given and not re.fullmatch("[0-9a-f]{64}", str(given["figures"])):
        raise TimingError(f"{path}: {where} figures is a digest of 64 hexadecimal digits, not {given['figures']!r}.")
    if not bool(models) == ("error" in given) == ("kernel_error" in given):
        raise TimingError(f"{path}: {where} has models, error and kernel_error together, or none of them.")
    return Calibration(**{**given, "models": tuple(models), "units": tuple(units)})


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
_LEAST |= {"port_bits": 8, "datapath_bits": 8, "vlens": 32, "line_bytes": 4, "ways": 1}


def _whole(path: Path, where: str, name: str, value: Any, most: int = _MOST_FIGURE) -> int:
    least, most = _LEAST.get(name, 0), _MOST.get(name, most)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise TimingError(f"{path}: {where} {name} is a whole number from {least:,} to {most:,}, not {value!r}.")
    if (name.endswith(("_bits", "line_bytes")) or name in ("vlens", "ways")) and value & (value - 1):
        raise TimingError(f"{path}: {where} {name} is a power of two, not {value}.")
    return value
