# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a scenario's form: ``scenario.schema.json`` says it, here it becomes sentences with their places.

Example::

    for problem in problems({"dataset": {"type": "MagicWandDatset"}}):
        print(problem.block, problem.sentence)
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_LONGEST_SHOWN = 200
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
#: Readers of JSON, browsers among them, take integers beyond for one of their neighbours.
_LAST_EXACT = 2**53 - 1
_INEXACT = f"a number is exact to {_LAST_EXACT} only: who reads the file may take it for another"
SCHEMA_FILE = Path(__file__).with_name("scenario.schema.json")


@dataclass(frozen=True)
class Problem:
    """What is wrong, in a sentence, and where: the block (empty: the file), its number in a list, its parameter.

    A block is called as in `springbok.exploring.scenario.BLOCKS`, however the file spells it.
    """

    sentence: str
    block: str = ""
    parameter: str = ""
    number: int = 0


@cache
def schema() -> dict[str, Any]:
    """The form of a scenario file, a JSON Schema."""
    return json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def problems(document: Any) -> list[Problem]:
    """What the schema has against the document; a block of an unknown type is not looked into."""
    from jsonschema import Draft202012Validator

    if not isinstance(document, dict):
        return [Problem(f"the file is {_short(document)}, but must be an object with blocks")]
    found = [(list(error.absolute_path), error) for error in Draft202012Validator(schema()).iter_errors(document)]
    untyped = [
        path[:-1] if path and path[-1] == "type" else path
        for path, error in found
        if path[-1:] == ["type"] or error.validator == "required" and "type" in _missing(error)
    ]
    told = [
        _problem(path, error)
        for path, error in found
        if not any(path[: len(block)] == block and "parameters" in path[len(block) :] for block in untyped)
        and not (error.validator == "required" and "parameters" in _missing(error) and path in untyped)
    ]
    return list(dict.fromkeys([*told, *_unwritable(document)]))


def _unwritable(part: Any, path: tuple[str | int, ...] = ()) -> Iterator[Problem]:
    """What no file can hold, or no command take: halves of characters, NUL, and integers with too many digits."""
    if isinstance(part, dict | list):
        for name, each in part.items() if isinstance(part, dict) else enumerate(part):
            yield from _unwritable(each, (*path, name))
            if isinstance(name, str):
                yield from _unwritable(name, (*path, name))
    elif isinstance(part, int) and abs(part) > _LAST_EXACT:
        yield Problem(f"{'.'.join(map(str, path))} is {part}: {_INEXACT}", *_place(path))
    elif isinstance(part, str) and (found := _UNWRITABLE.search(part)):
        what = "a NUL character" if found[0] == "\0" else f"half a character, {ascii(found[0])}"
        where = ".".join(each if str(each).isprintable() else ascii(each) for each in map(str, path))
        yield Problem(f"{where} holds {what}: write it anew", *_place(path))


def _place(path: Sequence[str | int]) -> tuple[str, str, int]:
    """Block, parameter and number that a path in the document leads to."""
    block = str(path[0]) if path else ""
    number = next((each for each in path[1:2] if isinstance(each, int)), 0)
    below = path[path.index("parameters") + 1 :] if "parameters" in path else ()
    return "protocol" if block == "runtime_protocol" else block, str((*below, "")[0]), number


def _problem(path: Sequence[str | int], error: Any) -> Problem:
    block, parameter, number = _place(path)
    if "parameters" in path and not parameter:
        named = {"required": _missing, "additionalProperties": _unknown}.get(error.validator, lambda _: ())(error)
        parameter = str((*named, "")[0])
    return Problem(_explain(path, error), block, parameter, number)


def _unknown(error: Any) -> list[str]:
    return [key for key in error.instance if key not in error.schema["properties"]]


def _missing(error: Any) -> list[str]:
    return [key for key in error.validator_value if key not in error.instance]


def _explain(path: Sequence[str | int], error: Any) -> str:
    """One sentence on what is wrong, where, and what is known there."""
    where = ".".join(map(str, path)) or "the file"
    value, asked = _short(error.instance), error.validator_value
    kinds = " or ".join([asked] if isinstance(asked, str) else map(str, asked)) if error.validator == "type" else ""
    why = f": {error.schema['description']}" if "description" in error.schema else ""

    def unknown_keys() -> str:
        known = sorted(error.schema["properties"])
        return "; ".join(f"{where}: '{key}' is unknown{_nearest(key, known)}" for key in _unknown(error))

    def not_a_choice(*choices: Any) -> str:
        return f"{where} is {value}, but can only be {' or '.join(map(json.dumps, choices))}{why}"

    sentences = {
        "additionalProperties": unknown_keys,
        "const": lambda: not_a_choice(asked),
        "enum": lambda: not_a_choice(*asked),
        "maxItems": lambda: f"{where}: there are {len(error.instance)}, but a model is compiled once: keep one of them",
        "not": lambda: "protocol and runtime_protocol are two spellings of one block: keep one of them",
        "pattern": lambda: f"{where}: {value} is unknown{_nearest(error.instance, error.schema['examples'])}",
        "required": lambda: f"{where}: {', '.join(map(repr, _missing(error)))} is missing",
        "type": lambda: (
            f"{where} is {error.instance}: {_INEXACT}"
            if _is_inexact(error.instance)
            else f"{where} is {value}, but must be of type {kinds}{why}"
        ),
    }
    return sentences.get(error.validator, lambda: f"{where}: {error.message}")()


def _is_inexact(value: Any) -> bool:
    """Whether a text, in the place of something else, is a number that a form could not keep as one."""
    return isinstance(value, str) and bool(_NUMBER.fullmatch(value)) and not abs(float(value)) <= _LAST_EXACT


def _short(value: Any) -> str:
    """A value from outside in a sentence."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    last = {each.rpartition(".")[2].lower(): each for each in reversed(known)}
    near = [last[each] for each in difflib.get_close_matches(name.rpartition(".")[2].lower(), last, 1)]
    return (f" (did you mean '{near[0]}'?)" if near else "") + f"; known: {', '.join(known)}"
