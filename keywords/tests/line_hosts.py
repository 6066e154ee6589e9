# SPDX-License-Identifier: Apache-2.0
"""Hosts of every protocol that the firmware serves, as generators: for trials of several on one line.

A host yields what it sends (bytes) or how long it waits (microseconds), and is given what it has heard since, the
others' answers too. It believes what its protocol lets it believe, and raises `WrongAnswer` where that is not so. What
it does not believe, or what is refused, makes it begin anew; a ``strict`` one, which is alone after a silence, raises
`NotServed` then. The models are those of ``fake_runtime.c``: each output byte is an input byte plus one.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Generator
from dataclasses import dataclass
from functools import reduce
from operator import xor

import client_2026 as kenning
from test_service_host import DATA, I8, INFO, IOSPEC, MODEL, OK, OUTPUT, PROCESS, UNLOAD, frame, iospec, model, tensor

from springbok.link.frames import MAGIC, MessageType, decode_extended_header, encode_extended_frame, extended_payload
from springbok.link.messages import ChipInfo, ErrorAnswer, decode_hello, encode_hello, encode_upload

INPUT_BYTES = 8
BASE_PAUSE_US, EXTENDED_PAUSE_US, TEXT_PAUSE_US = 1_500_000, 200_000, 3_500_000
CHUNK_BYTES = 100

Host = Generator[bytes | int, bytes, None]


class WrongAnswer(AssertionError):
    """A host believed what is not so."""


class NotServed(AssertionError):
    """A host that was alone was refused."""


@dataclass(frozen=True)
class Net:
    """A model of ``outputs`` bytes, in an image of ``image_bytes``."""

    outputs: int
    image_bytes: int

    @property
    def image(self) -> bytes:
        return model([tensor(I8, INPUT_BYTES)], [tensor(I8, self.outputs)]).ljust(self.image_bytes, b"\0")

    @property
    def spec_2023(self) -> bytes:
        return iospec(
            num_input_dim=[1, 0],
            input_shape=[INPUT_BYTES] + [0] * 7,
            input_length=[INPUT_BYTES, 0],
            input_size_bytes=[1, 0],
            output_length=[self.outputs] + [0] * 11,
            output_size_bytes=1,
            dtype=b"i8",
        )

    @property
    def spec_2026(self) -> bytes:
        return kenning.specification([("int8", (INPUT_BYTES,))], [("int8", (self.outputs,))])

    def answer(self, data: bytes) -> bytes:
        return bytes(byte + 1 for byte in data[: self.outputs])


NETS = (Net(3, 300), Net(5, 410))


@dataclass(frozen=True)
class Part:
    """What a host is to do: with which model, how many inferences, and what its random decisions are."""

    net: Net
    choose: random.Random
    inferences: int
    strict: bool

    def sample(self) -> bytes:
        return bytes(self.choose.randrange(100) for _ in range(INPUT_BYTES))

    def refused(self, what: str, heard: object) -> None:
        if self.strict:
            raise NotServed(f"{what}: {heard!r}")

    def check(self, who: str, got: bytes, expected: bytes) -> None:
        if got != expected:
            raise WrongAnswer(f"{who}: {got!r} in place of {expected!r}")


def base(part: Part) -> Host:
    """As this project's client does: INFO first, and again when the line carried what this host did not ask for."""
    loaded = -1  # which of the device's models is this host's

    def info() -> Generator[bytes, bytes, ChipInfo | None]:
        answer, rest = _base_answer((yield frame(INFO)))
        return ChipInfo.decode(answer) if answer is not None and len(answer) == 40 and not rest else None

    while True:
        told = yield from info()
        if told is None:
            part.refused("INFO", "")
            yield BASE_PAUSE_US
            continue
        rest = b""
        for request, expected in [(frame(UNLOAD), b""), *_base_requests(part)]:
            if rest:
                told = yield from info()
                if told is None or (loaded >= 0 and told.models_loaded != loaded):
                    break
            heard = yield request
            answer, rest = _base_answer(heard)
            if answer is None:
                part.refused(f"base {request[:6].hex()}", heard)
                break
            part.check("base", answer, expected)
            if request[4] == MODEL:
                loaded = told.models_loaded + 1
        else:
            return
        loaded = -1
        yield BASE_PAUSE_US


def base_2023(part: Part) -> Host:
    """As Kenning's client of 2023 does: the specification first."""
    while True:
        for request, expected in [(frame(IOSPEC, part.net.spec_2023), b""), *_base_requests(part)]:
            heard = yield request
            answer, rest = _base_answer(heard)
            if answer is None or rest:
                part.refused(f"base {request[:6].hex()}", heard)
                break
            part.check("base of 2023", answer, expected)
        else:
            return
        yield BASE_PAUSE_US


def _base_requests(part: Part) -> list[tuple[bytes, bytes]]:
    requests = [(frame(MODEL, part.net.image), b"")]
    for data in (part.sample() for _ in range(part.inferences)):
        requests += [(frame(DATA, data), b""), (frame(PROCESS), b""), (frame(OUTPUT), part.net.answer(data))]
    return requests


def _base_answer(heard: bytes) -> tuple[bytes | None, bytes]:
    """The payload of an OK that what was heard begins with, and what comes behind it."""
    if len(heard) >= 6:
        size, kind = struct.unpack_from("<IH", heard)
        if size >= 2 and kind == OK and len(heard) >= 4 + size:
            return heard[6 : 4 + size], heard[4 + size :]
    return None, heard


def extension(part: Part) -> Host:
    """Waits for its turn or takes over; loads by UPLOAD or MODEL; each request up to four times."""
    takes_over = part.strict or part.choose.randrange(2) == 0
    uploads, says_farewell = part.choose.randrange(2), part.choose.randrange(2)
    identity = number = 0

    def ask(kind: MessageType, payload: bytes = b"", of: int | None = None) -> Generator[bytes | int, bytes, bytes]:
        nonlocal number
        number += 1
        seed = identity if of is None else of
        for _ in range(4):
            heard = yield encode_extended_frame(number, kind, payload, seed)
            for sequence, answered, content in _extended_answers(heard, seed):
                if sequence == number and answered == MessageType.OK:
                    return content
                if sequence == number and not ErrorAnswer.decode(content).name.startswith("LINK_"):
                    raise _Refused(kind.name, heard)
            part.refused(kind.name, heard)
            yield EXTENDED_PAUSE_US
        raise _Refused(kind.name, b"")

    def load() -> Generator[bytes | int, bytes, None]:
        image = part.net.image
        if not uploads:
            yield from ask(MessageType.MODEL, image)
            return
        at = int.from_bytes((yield from ask(MessageType.UPLOAD, encode_upload(image))), "little")
        while at < len(image):
            at = int.from_bytes((yield from ask(MessageType.CHUNK, image[at : at + CHUNK_BYTES])), "little")
        yield from ask(MessageType.LOAD)

    while True:
        own, number = part.choose.randrange(1, 1 << 32), part.choose.randrange(1, 0x8000)
        try:
            greeted = yield from ask(MessageType.HELLO, encode_hello(identity=own, take_over=takes_over), 0)
            identity = own ^ decode_hello(greeted)[1].nonce
            yield from load()
            for data in (part.sample() for _ in range(part.inferences)):
                batch = part.choose.choice((1, 1, 3))
                answer = yield from ask(MessageType.INFER, data * batch)
                part.check("extension", answer, part.net.answer(data) * batch)
            if says_farewell:
                yield from ask(MessageType.HELLO, encode_hello(identity=0))
            return
        except _Refused as refusal:
            part.refused(*refusal.args)
            yield BASE_PAUSE_US


class _Refused(Exception):
    pass


def _extended_answers(heard: bytes, seed: int) -> Generator[tuple[int, int, bytes], None, None]:
    at = heard.find(MAGIC)
    while at >= 0:
        header = decode_extended_header(heard[at : at + 16], seed) if len(heard) >= at + 16 else None
        payload = extended_payload(header, heard[at + 16 : at + 16 + header.rest_bytes]) if header else None
        if payload is not None:
            yield header.sequence, header.message_type, payload
        at = heard.find(MAGIC, at + 1)


def kenning_2026(part: Part) -> Host:
    """With its specification, an empty one, or none; each request up to three times."""
    spec = part.choose.choice(([], [(kenning.IO_SPEC, b"")], [(kenning.IO_SPEC, part.net.spec_2026)]))
    closes = part.choose.randrange(2)

    def ask(kind: int, payload: bytes = b"", flags: int = 0) -> Generator[bytes | int, bytes, bytes]:
        for _ in range(3):
            heard = yield kenning.request(kind, payload, flags)
            answer = _kenning_answer(heard, kind)
            if answer and answer.flags & kenning.SUCCESS:
                return answer.payload
            if answer:
                raise _Refused(f"Kenning's {kind}", heard)
            part.refused(f"Kenning's {kind}", heard)
            yield BASE_PAUSE_US
        raise _Refused(f"Kenning's {kind}", b"")

    while True:
        try:
            yield from ask(kenning.PING, flags=kenning.SUCCESS)
            for kind, payload in (*spec, (kenning.MODEL, part.net.image)):
                yield from ask(kind, payload)
            for data in (part.sample() for _ in range(part.inferences)):
                yield from ask(kenning.DATA, data)
                yield from ask(kenning.PROCESS)
                part.check("Kenning's", (yield from ask(kenning.OUTPUT)), part.net.answer(data))
            if closes:
                yield from ask(kenning.PING, flags=kenning.FAIL)
            return
        except _Refused as refusal:
            part.refused(*refusal.args)
            yield BASE_PAUSE_US


def _kenning_answer(heard: bytes, kind: int) -> kenning.Answer | None:
    """The first whole transmission of this type, wherever it is, unless it is denied before."""
    at, payload = 0, b""
    while at + kenning.HEADER_BYTES <= len(heard):
        flags, size = struct.unpack_from("<HI", heard, at + 6)
        end = at + kenning.HEADER_BYTES + (size if flags & kenning.HAS_PAYLOAD else 0)
        is_message = end - at <= kenning.MESSAGE_BYTES and end <= len(heard) and heard[at + 1 : at + 4] == bytes(3)
        if not is_message or reduce(xor, heard[at:end]) != 0x4B:
            at += 1
            continue
        (said,) = kenning.read_messages(heard[at:end])
        at = end
        if said.type != kind:
            continue
        if said.flow == kenning.ACKNOWLEDGE:
            return None
        if said.flow == kenning.TRANSMISSION:
            payload = said.payload if said.flags & kenning.FIRST else payload + said.payload
            if said.flags & kenning.LAST:
                return kenning.Answer(*said[:3], payload)
    return None


def runner(part: Part) -> Host:
    """MLPerf Tiny's: it takes the model that is there, if there is one."""
    while True:
        lines = _lines((yield b"name%"))
        if "m-name-dut-[springbok-bench]" in lines:
            break
        part.refused("name", lines)
        yield TEXT_PAUSE_US
    for data in (part.sample() for _ in range(part.inferences)):
        half = part.choose.randrange(1, INPUT_BYTES)
        for command in ("db load 8", f"db {data[:half].hex()}", f"db {data[half:].hex()}", "infer 1 0"):
            heard = yield f"{command}%".encode()
            lines = _lines(heard)
            if "e-[No model is loaded]" in lines:
                return
            if not lines or any(line.startswith("e-[") for line in lines):
                part.refused(command, heard)
                return
        (results,) = (line.removeprefix("m-results-[") for line in lines if line.startswith("m-results-["))
        got = bytes(int(float(each)) for each in results.rstrip("]").split(","))
        part.check("runner", got, Net(len(got), 0).answer(data))


def _lines(heard: bytes) -> list[str]:
    """Of an answer that is whole."""
    text, end, _ = heard.decode("latin1").partition("m-ready\r\n")
    return text.split("\r\n") if end else []


HOSTS = {
    "base": base,
    "base of 2023": base_2023,
    "extension": extension,
    "Kenning of 2026": kenning_2026,
    "runner": runner,
}
#: Those that nothing tells apart: only one of each row may be there at a time.
ALIKE = ({"base", "base of 2023"}, {"Kenning of 2026"}, {"runner"}, {"extension"})
