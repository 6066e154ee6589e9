# SPDX-License-Identifier: Apache-2.0
"""The firmware's service as a process that is told the time, asked part by part, by who has recorded what it was asked.

A dialogue's identity is known when HELLO is answered, so requests of dialogues are made when they are sent::

    with device_of(program) as device:
        line = Recording(device)
        infer = Request(A, 2, MessageType.INFER, data)
        line.send(hello(A))
        line.send(infer)
        line.send(infer)  # the same bytes again, whatever dialogue goes on by then
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from test_service_host import Motion, record

from springbok.link.frames import MessageType, decode_extended_header, encode_extended_frame, extended_payload
from springbok.link.messages import decode_hello, encode_hello

MARK = b"\xf1mrk"


class Device:
    """The service as a process; it is told the time."""

    def __init__(self, program: Path) -> None:
        environment = os.environ | {"ASAN_OPTIONS": "allow_user_poisoning=0"}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._process = subprocess.Popen([program, "--script"], env=environment, **pipes)

    def play(self, part: bytes | int | Motion) -> bytes:
        """What is answered to bytes, or in a silence of so many microseconds."""
        self._process.stdin.write(record(part) + b"M" + MARK)
        self._process.stdin.flush()
        heard = b""
        while not heard.endswith(MARK):
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            assert more, self._process.stderr.read().decode()
            heard += more
        return heard.removesuffix(MARK)

    def close(self) -> None:
        self._process.stdin.close()
        assert self._process.wait() == 0
        self._process.stdout.close()
        self._process.stderr.close()


@contextmanager
def device_of(program: Path) -> Iterator[Device]:
    device = Device(program)
    try:
        yield device
    finally:
        device.close()


def identity_of(own: int, answer: bytes) -> int:
    """The identity of the dialogue that a HELLO with the host's ``own`` part asked for, by the whole answer."""
    header = decode_extended_header(answer[:16])
    _, limits = decode_hello(extended_payload(header, answer[16:]))
    return own ^ limits.nonce


@dataclass(frozen=True, eq=False)
class Request:
    """Of the latest dialogue of the host whose own part of the identity is ``host``; 0: of none."""

    host: int
    number: int
    kind: int
    payload: bytes = b""


@dataclass(frozen=True, eq=False)
class Hello(Request):
    """Asks for a dialogue of the host ``own``; it is in none."""

    own: int = 0


def hello(own: int, number: int = 1, take_over: bool = False, time_limit: float | None = None) -> Hello:
    """Of the host ``own``."""
    return Hello(0, number, MessageType.HELLO, encode_hello(time_limit, own, take_over=take_over), own)


class Recording:
    """Who sends requests to a device, and has recorded each: what is sent again is the same bytes again."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.identities: dict[int, int] = {0: 0}  # of each host's latest dialogue
        self._sent: dict[Request, bytes] = {}

    def send(self, part: Request | bytes | int) -> bytes:
        """Send it; return what is answered."""
        if not isinstance(part, Request):
            return self.device.play(part)
        is_new = part not in self._sent
        if is_new:
            identity = self.identities.get(part.host, 0)
            self._sent[part] = encode_extended_frame(part.number, part.kind, part.payload, identity)
        heard = self.device.play(self._sent[part])
        header = decode_extended_header(heard[:16]) if is_new and isinstance(part, Hello) else None
        if header is not None and header.message_type == MessageType.OK:
            self.identities[part.own] = identity_of(part.own, heard)
        return heard
