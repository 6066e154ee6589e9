# SPDX-License-Identifier: Apache-2.0
"""Says in words what the firmware reports in numbers.

An ERROR carries the number of a failure and what was counted; the sentences are in ``firmware/runtime/failures.def``,
and what they have in common has a code and a name in ``status.def``, so that none of it takes memory of the chip. This
reads these tables, and those of the names that sentences speak of.

Example::

    sentence(bytes([107, 3]) + struct.pack("<3I", 42, 7, 5))  # "rodata 7 of 5"
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Callable, Iterator

from springbok.chips.chip import CAUSES
from springbok.modules.disassembler import opcode_table
from springbok.support.places import FIRMWARE

_TEXT = 0  # a record of DETAILS_TEXT
_MOST_WORDS = 7
_NO_INDEX = 0xFFFFFFFF
_ROW = r'^{}\((\w+),\s*(\w+),\s*(?:\w+,\s*)?"((?:[^"\\]|\\.)*)"\)'
_UNKNOWN = (0, "UNKNOWN")
_WRITTEN = r' (?:failure (\d+(?: \d+)*)|"([ -~]*?)")'
_OBJECTS = {1: "buffer", 2: "buffer view", 3: "executable", 4: "list"}
_STATES = {
    0: "NONE, without a model: MODEL, or IOSPEC and MODEL, come first",
    1: "IOSPEC, expected MODEL",
    2: "MODEL_LOADED, expected DATA",
    3: "INPUT_LOADED, expected PROCESS",
    4: "INFERENCE_DONE, expected OUTPUT, PROCESS or DATA",
}
_REQUIREMENTS = {2: "f64 arithmetic", 4: "yield (an asynchronous model)"}


@functools.cache
def sentences() -> dict[int, str]:
    """The sentence of each failure, with its conversions, by number."""
    return _rows("FAILURE")


@functools.cache
def most_bytes() -> int:
    """Of an ERROR's details."""
    return int(re.search(r"^#define DETAILS_BYTES (\d+)$", _table("status.h"), re.MULTILINE)[1])


def cause(details: bytes) -> tuple[int, str]:
    """Code and name, from ``status.def``, of the failure that the details of an ERROR begin with.

    0 and ``UNKNOWN`` when they are no records of failures, or the failure is of another version.
    """
    records = _records(details)
    return _causes().get(records[0][0], _UNKNOWN) if records else _UNKNOWN


def sentence(details: bytes) -> str | None:
    """What the details of an ERROR say; None when they are no records of failures (a text, for example)."""
    records = _records(details)
    if records is None:
        return None
    parts = []
    for i, (failure, words) in enumerate(records):
        if failure == _TEXT:
            continue
        texts = []
        for kind, content in records[i + 1 :]:
            if kind != _TEXT:
                break
            texts.append(_printable(content))
        parts.append(_say(failure, struct.unpack(f"<{len(words) // 4}I", words), texts))
    return "".join(parts)


def details_of(text: str) -> bytes | None:
    """The records of a failure that a protocol in words has written out; None when the text is none of these.

    >>> details_of("springbok: failure 153 4 0").hex()
    '99020400000000000000'
    """
    if not re.fullmatch(rf"springbok:({_WRITTEN})+", text):
        return None
    try:
        return b"".join(_record(numbers, quoted) for numbers, quoted in re.findall(_WRITTEN, text))
    except (struct.error, ValueError):
        return None


def _record(numbers: str, quoted: str) -> bytes:
    if not numbers:
        return bytes([_TEXT, len(quoted)]) + quoted.encode("ascii")
    failure, *words = (int(number) for number in numbers.split())
    return struct.pack(f"<BB{len(words)}I", failure, len(words), *words)


def _say(failure: int, words: tuple[int, ...], texts: list[str]) -> str:
    pattern = sentences().get(failure)
    if pattern is None:
        told = ", ".join([*map(str, words), *texts])
        return (
            f"failure {failure} ({told}), which firmware/runtime/failures.def does not know: it is of another version"
        )
    left, names = iter(words), iter(texts)
    return re.sub("%(.)", lambda match: _convert(match[1], left, names), pattern)


def _convert(letter: str, words: Iterator[int], texts: Iterator[str]) -> str:
    if letter == "s":
        return next(texts, "?")
    word = next(words, None)
    if word is None:
        return "?"
    if letter == "U":
        return str(word | next(words, 0) << 32)
    return _CONVERSIONS[letter](word)


def _opcode(code: int) -> str:
    row = opcode_table().get(code)
    return f"0x{code:x} is unknown" if row is None else f"0x{code:x} {row.mnemonic} is left out of this runtime"


def _requirements(bits: int) -> str:
    return next((name for bit, name in _REQUIREMENTS.items() if bits & bit), "an unknown feature")


def _named(table: Callable[[], dict[int, str]], unknown: str) -> Callable[[int], str]:
    return lambda number: table().get(number, f"{unknown} {number}")


@functools.cache
def _messages() -> dict[int, str]:
    text = (FIRMWARE / "service" / "messages.def").read_text(encoding="utf-8")
    return {int(number): name for name, number in re.findall(r"^X\((\w+),\s*(\d+)\)", text, re.MULTILINE)}


@functools.cache
def _phrases() -> dict[int, str]:
    return _rows("PHRASE")


@functools.cache
def _causes() -> dict[int, tuple[int, str]]:
    rows = re.findall(_ROW.format("X"), _table("status.def"), re.MULTILINE)
    codes = {name: int(code, 16) for name, code, _ in rows}
    failures = re.findall(r"^FAILURE\(\w+,\s*(\d+),\s*(\w+)", _table("failures.def"), re.MULTILINE)
    return {int(number): (codes[name], name) for number, name in failures}


def _table(name: str) -> str:
    return (FIRMWARE / "runtime" / name).read_text(encoding="utf-8")


def _rows(kind: str) -> dict[int, str]:
    rows = re.findall(_ROW.format(kind), _table("failures.def"), re.MULTILINE)
    return {int(number): words.replace('\\"', '"') for _, number, words in rows}


_CONVERSIONS: dict[str, Callable[[int], str]] = {
    "u": str,
    "d": lambda word: str(word - (word >> 31 << 32)),
    "x": lambda word: f"{word:x}",
    "f": lambda word: f"{struct.unpack('<f', struct.pack('<I', word))[0]:g}",
    "P": _named(_phrases, "phrase"),
    "M": _named(_messages, "message type"),
    "I": lambda word: "" if word == _NO_INDEX else f"[{word}]",
    "T": lambda word: _OBJECTS.get(word, "unknown object"),
    "S": _named(lambda: _STATES, "state"),
    "C": lambda word: f"{word} ({CAUSES.get(word, 'unexpected cause')})",
    "O": _opcode,
    "R": _requirements,
}


def _records(details: bytes) -> list[tuple[int, bytes]] | None:
    """(failure, its words) and (_TEXT, its bytes), as they come. The first is a failure."""
    records = []
    if len(details) > most_bytes():
        return None
    while details:
        if len(details) < 2:
            return None
        kind, count = details[0], details[1]
        size = count if kind == _TEXT else 4 * count
        if len(details) < 2 + size or (kind != _TEXT and count > _MOST_WORDS):
            return None
        records.append((kind, details[2 : 2 + size]))
        details = details[2 + size :]
    return records if records and records[0][0] != _TEXT else None


def _printable(text: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in text)
