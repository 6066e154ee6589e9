# SPDX-License-Identifier: Apache-2.0
"""What a client of Kenning's protocol of 2026 sends and reads, from its description alone.

Shares no code with the project's own client on purpose: what it can do, Kenning's own can.
"""

from __future__ import annotations

import struct
from functools import reduce
from operator import xor
from typing import NamedTuple

PING, STATUS, DATA, MODEL, PROCESS, OUTPUT, STATS, IO_SPEC, TRACE_DATA, OPTIMIZERS = range(10)
RUNTIME, LOGS = 11, 13
REQUEST, RETRANSMIT, ACKNOWLEDGE, TRANSMISSION = range(4)
SUCCESS, FAIL, HAS_PAYLOAD, FIRST, LAST, IS_ZEPHYR = 1, 2, 8, 16, 32, 128
MESSAGE_BYTES, HEADER_BYTES = 136, 12
TYPE_BITS = 38
TYPE_CODES = {"int": 0, "uint": 1, "float": 2, "bool": 6}


class Message(NamedTuple):
    """One message as it was read."""

    type: int
    flow: int
    flags: int
    payload: bytes


class Answer(NamedTuple):
    """A transmission put together, or an acknowledgement."""

    type: int
    flow: int
    flags: int
    payload: bytes

    @property
    def succeeded(self) -> bool:
        return self.flow == TRANSMISSION and self.flags & (SUCCESS | FAIL | IS_ZEPHYR) == SUCCESS | IS_ZEPHYR


def message(kind: int, flags: int, payload: bytes = b"", flow: int = REQUEST, checked: bool = True) -> bytes:
    identity = (kind | flow << TYPE_BITS).to_bytes(5, "little")
    flags |= HAS_PAYLOAD if payload else 0
    rest = struct.pack("<HI", flags, len(payload)) + payload
    checksum = 0x4B ^ reduce(xor, identity + rest) if checked else 0
    return identity + bytes([checksum]) + rest


def request(kind: int, payload: bytes = b"", flags: int = 0, checked: bool = True) -> bytes:
    """All messages of a request."""
    room = MESSAGE_BYTES - HEADER_BYTES
    parts = [payload[at : at + room] for at in range(0, len(payload), room)] or [b""]
    last = len(parts) - 1
    return b"".join(
        message(kind, flags | FIRST * (i == 0) | LAST * (i == last), part, checked=checked)
        for i, part in enumerate(parts)
    )


def open_dialogue(checked: bool = True) -> bytes:
    return request(PING, flags=SUCCESS, checked=checked)


def close_dialogue() -> bytes:
    return request(PING, flags=FAIL)


def read_messages(stream: bytes) -> list[Message]:
    messages = []
    while stream:
        identity = int.from_bytes(stream[:5], "little")
        flags, size = struct.unpack_from("<HI", stream, 6)
        end = HEADER_BYTES + (size if flags & HAS_PAYLOAD else 0)
        assert end <= MESSAGE_BYTES and len(stream) >= end
        assert reduce(xor, stream[:end]) == 0x4B
        kind, flow = identity & (1 << TYPE_BITS) - 1, identity >> TYPE_BITS
        messages.append(Message(kind, flow, flags, stream[HEADER_BYTES:end]))
        stream = stream[end:]
    return messages


def read_answers(stream: bytes) -> tuple[list[Answer], list[str]]:
    """The answers, and the lines of the logs."""
    answers, logs, payload = [], [], b""
    for part in read_messages(stream):
        payload = part.payload if part.flags & FIRST else payload + part.payload
        if not part.flags & LAST:
            continue
        if part.type != LOGS:
            answers.append(Answer(*part[:3], payload))
            continue
        while payload:
            logs.append(payload[1 : 1 + payload[0]].decode("ascii"))
            payload = payload[1 + payload[0] :]
    return answers, logs


def specification(inputs, outputs, entry="module.main", name="module") -> bytes:
    """356 bytes: type (such as "float32") and shape of each tensor. Shapes stand one after the other."""

    def side(tensors, most):
        shapes = [dimension for _, shape in tensors for dimension in shape]
        types = []
        for dtype, _ in tensors:
            kind = dtype.rstrip("0123456789")
            types += [TYPE_CODES[kind], int(dtype[len(kind) :])]
        ranks = [len(shape) for _, shape in tensors]
        return (
            struct.pack("<I", len(tensors))
            + struct.pack(f"<{most}I", *ranks, *[0] * (most - len(ranks)))
            + struct.pack(f"<{4 * most}I", *shapes, *[0] * (4 * most - len(shapes)))
            + bytes(types).ljust(2 * most, b"\0")
        )

    spec = side(inputs, 2) + side(outputs, 12) + entry.encode().ljust(20, b"\0") + name.encode().ljust(20, b"\0")
    assert len(spec) == 356
    return spec
