# SPDX-License-Identifier: Apache-2.0
"""Frames: what goes over the line between a client and the firmware. Pure: bytes in, objects out.

A frame is ``u32 message_size | u16 message_type | payload``, little endian, where message_size counts the type
and the payload. Messages 0 to 7 are those of Kenning's UART protocol of 2023, byte for byte; 8 and above, and
the description that ERROR carries, are this project's additions (docs/protocol.md).

An extended frame has a header with a magic, a sequence number and a check of its own, and a CRC-32 behind its
payload. Its magic would be a size of 4 GB to a receiver of base frames, so neither is taken for the other.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from springbok.link.layouts import HEADER, parse
from springbok.support.errors import LinkError

HEADER_BYTES = 6
EXTENDED_HEADER_BYTES = 16
CHECK_BYTES = 4
MAGIC = bytes.fromhex("5bfffefd")
MAX_PAYLOAD_BYTES = 16 << 20  # the firmware takes a larger size for noise; so does the link


class MessageType(IntEnum):
    """Types of messages. OK and ERROR are answers, the others requests; each request gets one answer."""

    OK = 0
    ERROR = 1
    DATA = 2
    MODEL = 3
    PROCESS = 4
    OUTPUT = 5
    STATS = 6
    IOSPEC = 7
    INFO = 8
    PROFILE = 9
    UNLOAD = 10
    # From here on in extended frames only
    HELLO = 11
    SIGNATURE = 12
    UPLOAD = 13
    CHUNK = 14
    LOAD = 15
    INFER = 16
    MEASURE = 17
    ABORT = 18
    RESET = 19
    SENSE = 20
    BENCHMARK = 21


# Base frames


def encode_frame(message_type: int, payload: bytes = b"") -> bytes:
    """Return one whole frame.

    >>> encode_frame(MessageType.PROCESS).hex(" ")
    '02 00 00 00 04 00'
    """
    return encode_header(message_type, len(payload)) + payload


def encode_header(message_type: int, payload_bytes: int) -> bytes:
    """Return the six bytes before a payload. Raises LinkError for a payload above MAX_PAYLOAD_BYTES."""
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise LinkError(f"A message carries at most {MAX_PAYLOAD_BYTES} bytes, this one {payload_bytes}.")
    return HEADER.build({"message_size": payload_bytes + 2, "message_type": message_type})


def decode_header(header: bytes) -> tuple[int, int]:
    """Return message type and payload bytes. The type may be one that MessageType does not know.

    Raises LinkError for a size that no frame has: below 2, or a payload above MAX_PAYLOAD_BYTES.
    """
    fields = parse(HEADER, header, "frame header")
    payload_bytes = fields.message_size - 2
    if not 0 <= payload_bytes <= MAX_PAYLOAD_BYTES:
        raise LinkError(
            f"A frame header gives the message size {fields.message_size}; it must lie in "
            f"2..{MAX_PAYLOAD_BYTES + 2}. The bytes were {bytes(header).hex(' ')}."
        )
    return fields.message_type, payload_bytes


# Extended frames


@dataclass(frozen=True)
class ExtendedHeader:
    """The header of an extended frame; ``check`` is also what its payload's CRC-32 goes on from.

    The CRC-32 of the header itself goes on from the dialogue's identity, so that a frame of another dialogue is none.
    """

    sequence: int
    message_type: int
    payload_bytes: int
    check: int

    @property
    def rest_bytes(self) -> int:
        """Bytes of the frame that follow the header."""
        return self.payload_bytes + CHECK_BYTES if self.payload_bytes else 0


def encode_extended_frame(sequence: int, message_type: int, payload: bytes = b"", identity: int = 0) -> bytes:
    """Return one whole extended frame of the dialogue with this identity; 0: of none.

    >>> encode_extended_frame(7, MessageType.LOAD).hex(" ")
    '5b ff fe fd 07 00 0f 00 00 00 00 00 ec 88 a8 be'
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise LinkError(f"A message carries at most {MAX_PAYLOAD_BYTES} bytes, this one {len(payload)}.")
    start = MAGIC + struct.pack("<HHI", sequence, message_type, len(payload))
    check = zlib.crc32(start, identity)
    frame = start + check.to_bytes(4, "little") + payload
    return frame + zlib.crc32(payload, check).to_bytes(4, "little") if payload else frame


def decode_extended_header(header: bytes, identity: int = 0) -> ExtendedHeader | None:
    """Read the 16 bytes; None when they are damaged, or of another dialogue."""
    magic, sequence, message_type, payload_bytes, check = struct.unpack("<4sHHII", header)
    if magic != MAGIC or zlib.crc32(header[:-CHECK_BYTES], identity) != check or payload_bytes > MAX_PAYLOAD_BYTES:
        return None
    return ExtendedHeader(sequence, message_type, payload_bytes, check)


def extended_payload(header: ExtendedHeader, rest: bytes) -> bytes | None:
    """Return the payload out of what follows the header; None when it is damaged."""
    payload = bytes(rest[: header.payload_bytes])
    if payload and zlib.crc32(payload, header.check) != int.from_bytes(rest[header.payload_bytes :], "little"):
        return None
    return payload
