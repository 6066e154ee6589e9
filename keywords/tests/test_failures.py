# SPDX-License-Identifier: Apache-2.0
"""What the firmware reports in numbers, said in words."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok.link.failures import FIRMWARE, cause, sentence, sentences
from springbok.link.messages import ErrorAnswer

TABLE = (FIRMWARE / "runtime" / "failures.def").read_text()
ROWS = re.findall(r"^(FAILURE|PHRASE)\((\w+), +(\d+), ", TABLE, re.MULTILINE)
NUMBERS = {name: int(number) for kind, name, number in ROWS if kind == "FAILURE"}


def record(name: str, *words: int) -> bytes:
    return struct.pack(f"<BB{len(words)}I", NUMBERS[name], len(words), *words)


def text(content: str) -> bytes:
    return bytes([0, len(content)]) + content.encode()


@pytest.mark.parametrize("kind", ["FAILURE", "PHRASE"])
def test_numbers_are_unique_and_leave_none_out(kind):
    numbers = [int(number) for row, _, number in ROWS if row == kind]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) < 256


def test_every_row_of_the_table_is_read():
    assert len(sentences()) == TABLE.count("\nFAILURE(")


QUOTE = r"\s*status_quote\([^;]*;"


def calls() -> Iterator[tuple[str, str, int, int]]:
    """(file, failure, words passed, texts quoted) of each failure that the firmware's sources name."""
    for path in sorted(FIRMWARE.glob("[prs]*/*.c")):
        source = path.read_text()
        for match in re.finditer(r"\b(FAIL|FAIL_QUOTING|REASON)\(", source):
            arguments = [text for text, _ in arguments_at(source, match.end())]
            if match[1] == "FAIL_QUOTING":
                texts = 1
                arguments = arguments[1:]
            else:  # the statements behind it may add texts
                behind = source[source.index(";", match.end()) + 1 :]
                texts = len(re.findall(QUOTE, re.match(f"(?:{QUOTE})*", behind)[0]))
            words = sum(2 if argument.startswith("WORDS(") else 1 for argument in arguments[1:])
            yield path.name, arguments[0], words, texts


def arguments_at(source: str, start: int) -> list[tuple[str, int]]:
    """The arguments of the call whose parenthesis ends before `start`, each with its place."""
    places, depth, at = [start], 1, start
    while depth:
        depth += {"(": 1, ")": -1}.get(source[at], 0)
        if source[at] == "," and depth == 1:
            places.append(at + 1)
        at += 1
    ends = [*(place - 1 for place in places[1:]), at - 1]
    texts = [source[place:end] for place, end in zip(places, ends, strict=True)]
    return [(text.strip(), place + len(text) - len(text.lstrip())) for text, place in zip(texts, places, strict=True)]


def test_every_failure_passes_what_its_sentence_says():
    wrong = []
    seen = set()
    for file, name, words, texts in calls():
        seen.add(name)
        letters = re.findall("%(.)", sentences()[NUMBERS[name]])
        wanted = sum(2 if letter == "U" else 1 for letter in letters if letter != "s"), letters.count("s")
        if wanted != (words, texts):
            wrong.append(f"{file}: {name} passes {words} words and {texts} texts, its sentence takes {wanted}")
    assert wrong == []
    elsewhere = {"REGISTER_I32", "REGISTER_PAIR", "REGISTER_REFERENCE", "REQUEST_REPEATED"}  # passed as a variable
    assert set(NUMBERS) - seen <= elsewhere


def test_a_failure_has_the_code_and_name_of_its_kind():
    assert cause(record("ORDINAL", 42, 7, 5)) == (0x0414, "VERIFY_ORDINAL")
    assert cause(b"") == cause(b"plain text") == cause(b"\xfe\0") == (0, "UNKNOWN")


@pytest.mark.parametrize(
    ("details", "said"),
    [
        (record("IDENTIFIER"), "file identifier is not IREE"),
        (record("ORDINAL", 42, 7, 5) + record("AT_BYTE", 3, 12), "rodata 7 of 5, in functions[3] at byte 12"),
        (record("IMPORT_MISSING", 2) + text("hal.fence.join"), "imports[2]: hal.fence.join is not provided"),
        (
            record("IMPORT_DECLARATION", 0) + text("a\x07b") + text("0r_r"),
            'imports[0]: a?b is declared in another way than "0r_r"',
        ),
        (record("OPCODE", 0x11E), "instruction 0x11e exp.f32 is left out of this runtime"),
        (record("OPCODE", 0xCC), "instruction 0xcc is unknown"),
        (record("KERNEL_RESULT", 0xFFFFFFFF, 1, 2, 3) + text("matmul"), "matmul returned -1 in workgroup 1, 2, 3"),
        (record("BUFFER_RANGE", 1, 2, 3, 0, 7), "8589934593 bytes at offset 3 of a buffer of 7 bytes"),
        (record("REFERENCE_TYPE", 1, 4), "buffer instead of a list"),
        (record("MESSAGE_STATE", 2, 0), "DATA in state NONE, without a model: MODEL, or IOSPEC and MODEL, come first"),
        (record("TRAP", 2, 0x34000000, 0), "mcause 2 (illegal instruction), mepc 0x34000000, mtval 0x0"),
        (record("REQUIREMENTS", 6, 6), "the module requires f64 arithmetic (bits 0x6)"),
        (bytes([255, 1, 9, 0, 0, 0]), "failure 255 (9), which firmware/runtime/failures.def does not know"),
        (record("ORDINAL", 42), "rodata ? of ?"),
    ],
)  # fmt: skip
def test_sentences(details, said):
    assert sentence(details).startswith(said)


@pytest.mark.parametrize(
    "details", [b"", b"no model is loaded", b"\1", record("ORDINAL", 42, 7, 5)[:-1], text("alone")]
)
def test_what_is_no_record_is_left_to_others(details):
    assert sentence(details) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_read_without_an_exception(details):
    assert sentence(details) is None or isinstance(sentence(details), str)


@pytest.mark.parametrize("details", [bytes(1 << 20), b"\x93\0" * (1 << 19)])
def test_a_reason_of_a_megabyte_is_none(details):
    assert sentence(details) is None
    assert len(ErrorAnswer.decode(details).message) < 600
