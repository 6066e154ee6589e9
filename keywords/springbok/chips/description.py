# SPDX-License-Identifier: Apache-2.0
"""Reads the description of a chip: a TOML file, ``platforms/<chip>.toml`` or a user's own.

What may stand in it says ``chip.schema.json``; `docs/chips.md` explains it. Every error names the file and the line.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from springbok import devices
from springbok.chips import defects
from springbok.chips.chip import (
    CONTENTS,
    DEFAULT,
    KERNELS,
    Chip,
    Defect,
    Device,
    Instruction,
    Memory,
    Register,
    abi_of,
    extensions_of,
    is_of_vectors,
)
from springbok.chips.contradictions import problems, suits_timing
from springbok.support.errors import ChipError
from springbok.support.places import PLATFORMS, given_path
from springbok.support.small_files import TOMLDecodeError, parse_toml, read_text
from springbok.support.suggestions import did_you_mean

SCHEMA = Path(__file__).with_name("chip.schema.json")

#: Addresses that a module's numbers and the link's records can hold.
_ADDRESSES = 1 << 32
#: Memories whose rights a simulator holds the core to: each takes two of its 16 entries of memory protection.
_MOST_LIMITED = 8
#: What stands beside the settings of its kind in a device's table.
_OF_ALL_DEVICES = ("name", "kind", "base", "interrupt")
#: Descriptions that one is like, one after the other.
_MOST_ANCESTORS = 16
#: The environment variable that names another chip for a whole run, as ``--platform`` does.
VARIABLE = "SPRINGBOK_PLATFORM"


def load(chip: str | Path | None = None) -> Chip:
    """The chip of a name (a file of ``platforms/``) or of a description's path; by default that of the run.

    Raises ChipError, which says what is wrong, in which line, and what to do.

    >>> load("springbok").isa(512)
    'rv32imf_zicsr_zicntr_zifencei_zve32f_zvl512b'
    """
    return _find(chip or os.environ.get(VARIABLE) or DEFAULT)


@contextmanager
def run_with(chip: str | Path | None) -> Iterator[Chip]:
    """Within the context ``chip`` is the run's, of this process and of all that it starts; None leaves it as it is.

    >>> with run_with("rv64gcv") as chip:
    ...     load() == chip
    True
    """
    before = os.environ.get(VARIABLE)
    loaded = load(chip)
    os.environ[VARIABLE] = str(loaded.source)
    try:
        yield loaded
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def told_of(chip: Chip, *place: str | int) -> str:
    """Where a chip's description, or what it is like, says what a path of keys leads to: file and line.

    >>> told_of(load("springbok"), "core", "isa")                                                # doctest: +SKIP
    '/home/me/springbok-bench/platforms/springbok.toml, line 6'
    """
    if chip.source is None:
        return chip.title
    reading = _Reading(*_content(chip.source))
    reading._complete(reading._content)
    return reading._told(list(place))


def names() -> list[str]:
    """The chips of this project.

    >>> "springbok" in names()
    True
    """
    return sorted(path.stem for path in PLATFORMS.glob("*.toml"))


def _find(chip: str | Path) -> Chip:
    text = str(chip)
    if "/" not in text and not text.endswith(".toml"):
        if text not in names():
            raise ChipError(
                f"There is no chip '{text}'{did_you_mean(text, names())}. Chips: {', '.join(names())}; one of your own "
                "is named by its file, such as my_chip.toml."
            )
        return _read(PLATFORMS / f"{text}.toml", (PLATFORMS / f"{text}.toml").stat().st_mtime_ns)
    path = given_path(chip).resolve()
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise ChipError(f"Can't read the chip's description {path}: {error.strerror}.") from error
    return _read(path, changed)


@lru_cache(maxsize=32)
def _read(path: Path, changed: int) -> Chip:
    del changed
    return _Reading(*_content(path)).chip()


def _content(path: Path) -> tuple[Path, str, dict[str, Any]]:
    """A file: its path, its text, and what stands in it."""
    try:
        text = read_text(path)
        content = parse_toml(text)
    except OSError as error:
        raise ChipError(f"Can't read the chip's description {path}: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise ChipError(f"{path} is not text in UTF-8: a chip's description is a TOML file.") from None
    except TOMLDecodeError as error:
        raise ChipError(f"{path} is no TOML file: {error}.") from None
    return path, text, content


class _Reading:
    """One file."""

    def __init__(self, path: Path, text: str, content: dict[str, Any]) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._content = self._own = content
        self._parent: _Reading | None = None

    def chip(self) -> Chip:
        self._content = self._complete(self._content)
        for place, number in _floats(self._content):
            whole = f"write {int(number)}" if number.is_integer() else "no key has a number with a point"
            raise self._error(place, f"{place[-1]}: {number} is no whole number: {whole}")
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        problem = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(self._content))
        if problem is not None:
            raise self._error(list(problem.absolute_path), _sentence(problem))
        core = self._content["core"]
        memories = tuple(
            Memory(each["name"], each["base"], each["bytes"], each["access"], tuple(each.get("holds", ())))
            for each in self._content["memory"]
        )
        self._check_memories(memories)
        chip_devices = tuple(self._device(number, each) for number, each in enumerate(self._content["device"]))
        chip = Chip(
            name=self._path.parent.name if self._path.name == "chip.toml" else self._path.stem,
            title=self._content["title"],
            base_isa=core["isa"],
            abi=core["abi"],
            vlen=core.get("vlen", 0),
            vlens=tuple(core.get("vlens", [core["vlen"]] if core.get("vlen") else [])),
            start=core.get("start", next(memory.base for memory in memories if "code" in memory.holds)),
            instructions_per_second=core.get("instructions_per_second", 100_000_000),
            memories=memories,
            devices=chip_devices,
            user_mode=core.get("user_mode", False),
            pmp_entries=core.get("pmp_entries", 0),
            vectored=core.get("vectored", False),
            counters_stopped=core.get("counters_stopped", False),
            software_interrupts=core.get("software_interrupts", False),
            registers=tuple(Register(**each) for each in self._content.get("register", ())),
            instructions=tuple(
                self._instruction(number, each) for number, each in enumerate(self._content.get("instruction", ()))
            ),
            defects=tuple(
                Defect(**{name: tuple(value) if isinstance(value, list) else value for name, value in each.items()})
                for each in self._content.get("defect", ())
            ),
            timing=self._timing(core.get("timing", "")),
            source=self._path,
        )
        chip = self._without_what_was_the_others(chip)
        for place, sentence in problems(chip):
            raise self._error(place, sentence)
        self._check_core(chip)
        self._check_places(chip)
        return chip

    def _without_what_was_the_others(self, chip: Chip) -> Chip:
        """Inherited defects and timings of a core may be of what this one does not have."""
        if self._telling(["defect"]) is not self:
            chip = replace(chip, defects=defects.that_can_show(chip))
        if self._telling(["core", "timing"]) is not self and not suits_timing(chip):
            chip = replace(chip, timing="")
        return chip

    def _timing(self, written: str) -> str:
        """A file is told relative to the description."""
        return str(self._path.parent / written) if written.endswith(".toml") else written

    def _complete(self, content: dict[str, Any], heirs: tuple[Path, ...] = ()) -> dict[str, Any]:
        """With what stands in the description that this one is ``like``: its tables, and keys of its core."""
        if not isinstance(other := content.get("like"), str):
            return content
        own = other if "/" in other or other.endswith(".toml") else str(PLATFORMS / f"{other}.toml")
        path = (self._path.parent / own).resolve()
        if not path.exists():
            raise self._error(["like"], f"like: there is no chip '{other}'{did_you_mean(other, names())}")
        chain = (*heirs, self._path, path)
        if path in chain[:-1]:
            told = f"{' is like '.join(each.name for each in chain)}, in a circle"
            raise self._error(["like"], f"like: {told if len(chain) > 2 else f'{path.name} is like itself'}")
        if len(chain) > _MOST_ANCESTORS:
            raise self._error(["like"], f"like: more than {_MOST_ANCESTORS} descriptions are like one another in a row")
        self._parent = parent = _Reading(*_content(path))
        given = parent._complete(parent._content, (*heirs, self._path))
        for table, keys in (("instruction", ("model", "kernels")), ("device", ("kind",))):
            tables = given.get(table, ())
            for each, key in itertools.product(tables if isinstance(tables, list) else (), keys):
                if re.match(r"\.|.*\.py:", str(each.get(key, ""))):  # a path is relative to its own file
                    each[key] = str(path.parent / each[key])
        inherited = given.get("core", {})
        if isinstance(inherited, dict) and str(inherited.get("timing", "")).endswith(".toml"):
            inherited["timing"] = str(path.parent / inherited["timing"])
        core = content.get("core", {})
        both = isinstance(core, dict) and isinstance(inherited, dict)
        return {**given, **content, "core": {**_left_of(inherited, core), **core} if both else core or inherited}

    def _check_core(self, chip: Chip) -> None:
        if chip.vlens and chip.vector_extension is None:
            raise self._error(
                ["core", "isa"], f"'{chip.base_isa}' has no vectors: add zve32f or leave vlen and vlens out"
            )
        if chip.vector_extension and not chip.vlens:
            raise self._error(["core", "isa"], f"'{chip.vector_extension}' needs vlen, the bits of a vector register")
        if chip.vlens and not chip.vlen:
            raise self._error(["core", "vlens"], "vlens needs vlen, the one of them that the chip is built with")
        if chip.vlen and chip.vlen not in chip.vlens:
            raise self._error(["core", "vlen"], f"vlen {chip.vlen} is not one of vlens {list(chip.vlens)}")
        wanted = abi_of(chip.base_isa)
        if chip.abi != wanted:  # the compiler marks kernels for a core with floats so, whatever it is told
            raise self._error(["core", "abi"], f"abi '{chip.abi}' does not suit {chip.base_isa}: use '{wanted}'")
        if chip.software_interrupts and chip.user_mode and chip.pmp_entries:
            raise self._error(["core", "software_interrupts"], "software interrupts end kernels that are contained")

    def _check_memories(self, memories: tuple[Memory, ...]) -> None:
        for content in CONTENTS:
            holding = [memory.name for memory in memories if content in memory.holds]
            if len(holding) != 1:
                found = f"{' and '.join(holding)} do" if holding else "none does"
                raise self._error(
                    ["memory", 0], f"exactly one memory holds '{content}' (holds = [\"{content}\"]): {found}"
                )
        kernels = [memory for memory in memories if KERNELS in memory.holds]
        if len(kernels) > 1:
            raise self._error(["memory", 0], f"at most one memory holds '{KERNELS}': {kernels[1].name} does too")
        needs = {"code": "rx", "data": "rw", "models": "rw" if kernels else "rwx", KERNELS: "rx"}
        if sum(set(memory.access) != set("rwx") for memory in memories) > _MOST_LIMITED:
            raise self._error(
                ["memory", 0],
                f"more than {_MOST_LIMITED} memories lack some access, which is as many as a simulator can watch over: "
                'describe what lies side by side as one memory, or leave others at access = "rwx"',
            )
        for number, memory in enumerate(memories):
            self._check_address("memory", number, memory.name, memory.base, memory.bytes)
            for content in memory.holds:
                missing = set(needs[content]) - set(memory.access)
                if missing:
                    raise self._error(
                        ["memory", number, "access"],
                        f"{memory.name} holds {content}, which needs access '{needs[content]}', not '{memory.access}'",
                    )

    def _check_places(self, chip: Chip) -> None:
        """Nothing overlaps, names differ, what the firmware needs is there."""
        places = [
            ("memory", number, memory.name, memory.base, memory.bytes) for number, memory in enumerate(chip.memories)
        ]
        for number, device in enumerate(chip.devices):
            size = devices.find(device.kind, self._path.parent).size(device.settings)
            self._check_address("device", number, device.name, device.base, size)
            places.append(("device", number, device.name, device.base, size))
        for index, (kind, number, name, base, size) in enumerate(places):
            for _, _, other, begin, length in places[:index]:
                if name == other:
                    raise self._error([kind, number, "name"], f"there are two things called '{name}'")
                if base < begin + length and begin < base + size:
                    raise self._error(
                        [kind, number, "base"],
                        f"{name} (0x{base:x} to 0x{base + size - 1:x}) overlaps {other} "
                        f"(0x{begin:x} to 0x{begin + length - 1:x})",
                    )
        served = [devices.find(device.kind, self._path.parent).serves for device in chip.devices]
        for service in devices.SERVICES:
            several = [number for number, each in enumerate(served) if each == service]
            if len(several) > 1:
                names = " and ".join(chip.devices[number].name for number in several)
                sentence = f"{names} serve as '{service}' each, of which the firmware drives one: leave the others out"
                raise self._error(["device", several[1], "name"], sentence)
        if "uart" not in served:
            raise self._error(["device", 0], "the chip has no UART, over which models come: add one, or a mailbox")
        kernels = chip.holding(KERNELS)
        if "w" not in kernels.access and not any(devices.find(each.kind).places_code for each in chip.devices):
            raise self._error(
                ["memory", chip.memories.index(kernels), "access"],
                f"{kernels.name} holds kernels, which the core can't write there: add w to its access, or a device "
                'through which the host does it (kind = "mailbox")',
            )
        if not any(memory.base <= chip.start < memory.end and "x" in memory.access for memory in chip.memories):
            raise self._error(["core", "start"], f"start 0x{chip.start:x} is in no memory that the core executes from")

    def _check_address(self, kind: str, number: int, name: str, base: int, size: int) -> None:
        if base + size > _ADDRESSES:
            raise self._error(
                [kind, number, "base"],
                f"{name} ends at 0x{base + size:x}; memories and devices lie below 4 GiB (0x{_ADDRESSES:x})",
            )

    def _device(self, number: int, given: dict[str, Any]) -> Device:
        settings = {name: value for name, value in given.items() if name not in _OF_ALL_DEVICES}
        try:
            kind = devices.find(given["kind"], self._path.parent)
        except (LookupError, ImportError, SyntaxError) as error:
            raise self._error(["device", number, "kind"], f"{given['name']}: {error}") from None
        for name, value in settings.items():
            if name not in kind.settings:
                known = ", ".join(kind.settings) or "none"
                raise self._error(
                    ["device", number, name],
                    f"{given['name']}: {kind.name} has no setting '{name}'{did_you_mean(name, kind.settings)}. "
                    f"Settings: {known}",
                )
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _ADDRESSES:
                whole = f"{given['name']}: {name} is a whole number, not {value!r}, of at most 32 bits"
                raise self._error(["device", number, name], whole)
            if value not in kind.allowed.get(name, (value,)):
                known = ", ".join(map(str, kind.allowed[name]))
                raise self._error(["device", number, name], f"{given['name']}: {name} is one of {known}, not {value}")
        if problem := kind.problem(settings):
            name, sentence = problem
            raise self._error(["device", number, name], f"{given['name']}: {sentence}")
        name = given["kind"]
        folder = str(kind.folder) if "/" in name else name
        return Device(given["name"], folder, given["base"], settings, given.get("interrupt"))

    def _instruction(self, number: int, given: dict[str, Any]) -> Instruction:
        instruction = Instruction(**given)
        where = ["instruction", number]
        if instruction.match & ~instruction.mask:
            raise self._error([*where, "match"], f"{instruction.name}: match has bits that its mask leaves out")
        if bool(instruction.does) == bool(instruction.model):
            raise self._error(where, f"{instruction.name}: give either does or model")
        functions = {key: self._function(where, key, instruction) for key in ("model", "kernels") if key in given}
        return replace(instruction, **functions)

    def _function(self, where: list[str | int], key: str, instruction: Instruction) -> str:
        """A function of a file, by the file's whole path."""
        file, colon, function = getattr(instruction, key).rpartition(":")
        if not colon:
            raise self._error([*where, key], f"{instruction.name}: {key} is file.py:function")
        if not file.endswith(".py"):
            return f"{file}:{function}"
        path = (self._path.parent / file).resolve()
        if not path.is_file():
            raise self._error([*where, key], f"{instruction.name}: there is no {path}")
        return f"{path}:{function}"

    def _error(self, place: list[str | int], text: str) -> ChipError:
        return ChipError(f"{self._told(place)}: {text}.")

    def _told(self, place: list[str | int]) -> str:
        told = self._telling(place) or self
        return f"{told._path}, line {told._line(place)}"

    def _telling(self, place: list[str | int]) -> _Reading | None:
        """The description that says this, of the one that was asked for and those that it is like."""
        own = self._own.get(str(place[0])) if place else None
        key = next((each for each in place[1:] if isinstance(each, str)), None)
        if own is not None and (not isinstance(own, dict) or key is None or key in own):
            return self
        return self._parent._telling(place) if self._parent else None

    def _line(self, place: list[str | int]) -> int:
        """Of what a path of keys leads to, or of the nearest before."""
        table = str(place[0]) if place else ""
        wanted = place[1] if len(place) > 1 and isinstance(place[1], int) else 0
        key = next((str(each) for each in place[1:] if isinstance(each, str)), "")
        found = begin = 1
        count = -1
        for number, line in enumerate(self._lines, start=1):
            heading = re.match(r"\s*\[+\s*([\w-]+)\s*\]+", line)
            if heading:
                count += heading[1] == table
                if heading[1] == table and count == wanted:
                    found = begin = number
                elif begin > 1:
                    break
            elif (begin > 1 or not place[1:]) and re.match(rf"\s*{re.escape(key or table)}\s*=", line):
                return number
        return found


def _left_of(inherited: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """What of another's core holds beside these keys, which may make it one without vectors, or with other lengths."""
    left = dict(inherited)
    if isinstance(isa := own.get("isa"), str):
        left["abi"] = abi_of(isa)
        if not any(map(is_of_vectors, extensions_of(isa))):
            left = {key: value for key, value in left.items() if key not in ("vlen", "vlens")}
    if "vlen" in own and own["vlen"] not in left.get("vlens", ()):
        left.pop("vlens", None)
    if own.get("user_mode") is False:
        left.pop("pmp_entries", None)
    return left


def _floats(content: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[list[str | int], float]]:
    """Numbers with a point, with their places: a schema takes 256.0 for an integer."""
    if isinstance(content, float):
        yield list(place), content
    elif isinstance(content, (dict, list)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _floats(value, (*place, key))


def _sentence(problem: jsonschema.ValidationError) -> str:
    where = ".".join(str(each) for each in problem.absolute_path) or "the file"
    if problem.validator == "additionalProperties":
        known = sorted(problem.schema.get("properties", {}))
        unknown = sorted(set(problem.instance) - set(known))
        return f"unknown key '{unknown[0]}'{did_you_mean(unknown[0], known)}. Known here: {', '.join(known)}"
    if problem.validator == "required":
        missing = [each for each in problem.validator_value if each not in problem.instance]
        return f"{where} needs '{missing[0]}'"
    if problem.validator == "type" and isinstance(problem.instance, (dict, list)):
        table = str(problem.absolute_path[0]) if len(problem.absolute_path) == 1 else ""
        brackets = {"array": f"[[{table}]]", "object": f"[{table}]"}.get(problem.validator_value)
        if table and brackets:
            return f"{where} is written {brackets}"
    about = problem.schema.get("description") if problem.validator == "pattern" else None
    return f"{where}: {problem.message}" + (f" ({about})" if about else "")
