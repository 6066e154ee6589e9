# SPDX-License-Identifier: Apache-2.0
"""Requests in extended frames: sent again until the right answer comes, and never executed twice for it.

Each request has a sequence number, which its answer carries too. A request that is sent again keeps its number: the
firmware answers it from the last answer when it has executed it already. So everything may be damaged, lost, late or
doubled, in both directions: what `ExtendedExchange.request` returns is the answer to that request, whole.

Silence may be a lost frame's, or a computation's. Repeated amid that, a request has a second answer, which may fill a
slow line for seconds. So after a silence a dialogue's host asks first whether the device is idle, by a request that is
stale: as soon as it is refused, which takes a few bytes, the request itself is sent again.

HELLO gives the dialogue an identity, of which the host draws one part and the device the other. All later CRCs go on
from it, so that no frame of another dialogue, an earlier one or another host's, is taken for one of this.
"""

from __future__ import annotations

import logging
import random
import struct
import time
from dataclasses import dataclass

from springbok.link import failures
from springbok.link.frames import (
    CHECK_BYTES,
    EXTENDED_HEADER_BYTES,
    MAGIC,
    ExtendedHeader,
    MessageType,
    decode_extended_header,
    encode_extended_frame,
    extended_payload,
)
from springbok.link.line import Line, shown
from springbok.link.messages import ErrorAnswer, encode_hello
from springbok.support.errors import DeviceError, DialogueLost, LinkError, LinkTimeout

DAMAGE_LIMIT = 50  # a line that damages so many attempts in a row is no use
SHORTEST_PATIENCE, LONGEST_PATIENCE = 0.25, 2.0  # seconds until a request without an answer is sent again
STALL_SECONDS = 0.1  # an answer that stops for so long has lost bytes
NOISE_SECONDS = 0.03  # what comes without being an answer is over after so long a silence

_LINK_MODULE = 1  # of the firmware's error codes: the frame did not arrive as it was sent
_DAMAGED = ("LINK_CRC", "LINK_STALL")  # those of a frame whose header arrived
_READ_BYTES = 4096
_FORGOTTEN_LIMIT = 3  # so often the device says that it knows no dialogue: it is no late answer
_DAMAGED_HEADER = "LINK_HEADER"  # what the device says of a frame whose identity it does not know
_SEQUENCES = 0xFFFF  # 1 to this, then from 1 again
_STALE = 0x4000  # so far behind the request's number are those of questions, and up to twice as far

_log = logging.getLogger(__name__)


@dataclass
class LinkReport:
    """What happened on the line since the link was opened.

    requests            that were answered
    retransmissions     requests sent again, for any of the next four reasons
    unanswered          times that no answer came in time; then a dialogue's host asks first whether the device is idle
    refused_requests    times that the device said a request arrived damaged
    damaged_answers     answers that arrived damaged
    late_answers        whole answers to an earlier request or question, or a second one, thrown away
    dropped_bytes       bytes that belonged to no whole frame
    resumed_uploads     uploads that went on where an earlier one had stopped
    resynchronisations  of the base protocol, which has no other remedy
    """

    requests: int = 0
    retransmissions: int = 0
    unanswered: int = 0
    refused_requests: int = 0
    damaged_answers: int = 0
    late_answers: int = 0
    dropped_bytes: int = 0
    resumed_uploads: int = 0
    resynchronisations: int = 0

    def __str__(self) -> str:
        happened = [f"{count} {name.replace('_', ' ')}" for name, count in vars(self).items() if count]
        return ", ".join(happened) or "nothing was sent"


class ExtendedExchange:
    """One request, one answer, in extended frames.

    What comes of it is counted in ``report``.
    """

    def __init__(self, line: Line, report: LinkReport, patience: float | None = None) -> None:
        self._line = line
        self._report = report
        self._written = "the first request"  # the latest that was written, for messages
        # Begins anywhere, so that no answer to an earlier client can be meant for this one.
        self._sequence = random.randrange(1, 0x10000)
        self._buffer = bytearray()
        self._patience: dict[MessageType, float] = {}
        self._shortest = SHORTEST_PATIENCE if patience is None else patience
        self._longest = max(LONGEST_PATIENCE, self._shortest)
        self._identity = 0  # of the dialogue; 0 before there is one, and with a firmware that tells none apart
        self._forgotten = 0  # times that the device knew no dialogue, since the latest request began
        self._strange = 0  # times that it knew another dialogue alone
        self._begun = False  # the device has answered in this dialogue
        self._begins = False  # its first request is on the way
        self._questions: list[int] = []  # numbers of those whether it is idle, since the request was last sent

    def greet(self, hello: bytes, deadline: float) -> bytes:
        """Send HELLO with its payload, return its answer's."""
        self._identity, self._begun = 0, False
        return self.request(MessageType.HELLO, hello, deadline)

    def begin(self, identity: int, deadline: float) -> bytes:
        """Begin the dialogue that HELLO has asked for, with INFO as its first request; return its answer's payload.

        Raises DialogueLost when the device expects another one: its HELLO came between.
        """
        self._identity, self._begins = identity, True
        try:
            answer = self.request(MessageType.INFO, b"", deadline)
        finally:
            self._begins = False
        self._begun = identity != 0
        return answer

    def end(self, deadline: float) -> None:
        """End the dialogue, so that another host may begin one at once. Harmless when there is none."""
        if self._identity:
            self.request(MessageType.HELLO, encode_hello(identity=0), deadline)
            self._identity, self._begun = 0, False

    def request(self, message_type: MessageType, payload: bytes, deadline: float) -> bytes:
        """Send a request and return its answer's payload.

        Raises DeviceError when the device refuses or fails; LinkTimeout when no whole answer came by ``deadline``
        (of `time.monotonic`); DialogueLost when the device knows nothing of the dialogue; LinkError when the line
        damages every attempt.
        """
        self._sequence = self._sequence % _SEQUENCES + 1
        name = self._written = message_type.name
        frame = encode_extended_frame(self._sequence, message_type, payload, self._identity)
        self._forgotten = self._strange = 0
        started = time.monotonic()
        patience = self._patience.get(message_type, self._shortest)
        self._questions.clear()
        self._line.write(name, frame, deadline)
        attempts = damaged = asked = 0
        written = len(frame)
        while damaged < DAMAGE_LIMIT:
            unanswered = self._report.unanswered
            answer = self._answer(patience + self._line.seconds_for(written), deadline)
            if answer is not None:
                self._report.requests += 1
                # A computation that takes long is waited for the next time, before it is asked about again.
                usual = min(self._longest, 2 * (time.monotonic() - started))
                self._patience[message_type] = patience if attempts else max(self._shortest, usual)
                return content(answer, name)
            # A dialogue that begins may be asked for anew; one that has begun may still be answered.
            if self._forgotten >= _FORGOTTEN_LIMIT or (self._begins and self._strange >= _FORGOTTEN_LIMIT):
                raise DialogueLost(
                    f"The device knows nothing of this dialogue, to which {name} belongs: it was restarted, or another "
                    "host has used it since. Negotiate again, in Robot with Connect Runtime, and load the model."
                )
            if time.monotonic() >= deadline:
                self._check_whose(name)
                limit = time.monotonic() - started
                raise LinkTimeout(f"No whole answer to {name} within {shown(limit)} s. On the line: {self._report}.")
            if self._report.unanswered > unanswered:
                patience = min(self._longest, 2 * patience)
                if self._begun:
                    written = self._ask_whether_idle(asked, deadline)
                    asked += 1
                    continue
            else:
                damaged += 1
            attempts += 1
            self._report.retransmissions += 1
            _log.debug("%s is sent again; %s", name, self._report)
            self._questions.clear()
            self._line.write(name, frame, deadline)
            written = len(frame)
        self._check_whose(name)
        raise LinkError(
            f"{name} was sent {attempts} times and not once did both it and its answer arrive whole. "
            f"On the line: {self._report}. Check the cable, the baud rate and that no other host uses the device."
        )

    def _ask_whether_idle(self, asked: int, deadline: float) -> int:
        """Send a request that is refused as stale, as soon as the device is idle; return how many bytes it has."""
        number = (self._sequence - _STALE - asked % _STALE - 1) % _SEQUENCES + 1
        frame = encode_extended_frame(number, MessageType.INFO, identity=self._identity)
        self._questions.append(number)
        self._line.write(self._written, frame, deadline)
        return len(frame)

    def _check_whose(self, name: str) -> None:
        """Raise DialogueLost where what came instead of an answer tells that the device is in another dialogue.

        What tells so may have been recorded, so it ends no request that may still be answered.
        """
        if self._begun and self._strange >= _FORGOTTEN_LIMIT:
            raise DialogueLost(
                f"The device is in another dialogue than that of {name}: other hosts have used it since. Negotiate "
                "again, in Robot with Connect Runtime, and load the model."
            )

    def receive(self, begun_by: float, deadline: float) -> tuple[int, int, bytes] | None:
        """Return type, sequence number and payload of the next whole frame; None when none comes.

        It must have begun by ``begun_by``, a while later where other bytes came before, and be whole by ``deadline``.
        """
        buffer = self._buffer
        quiet_by = min(deadline, begun_by + self._longest)  # what is sent amid an answer has a second one
        noise = False
        while True:
            until = min(quiet_by, time.monotonic() + NOISE_SECONDS) if noise else begun_by
            self._fill(EXTENDED_HEADER_BYTES, until, ahead=_READ_BYTES)
            place = _magic_place(buffer)
            noise = noise or place > 0
            self._drop(place)
            if len(buffer) < EXTENDED_HEADER_BYTES:
                if place:
                    continue
                damaged = noise or bool(buffer)
                self._drop(len(buffer))
                self._count_damage(damaged)
                return None
            header = self._decode_header(bytes(buffer[:EXTENDED_HEADER_BYTES]))
            if header is None:
                noise = True
                self._strange += self._begins_refusal_to_strangers(deadline)
                self._drop(1)
                continue
            size = EXTENDED_HEADER_BYTES + header.rest_bytes
            self._fill_steadily(size, deadline)
            payload = extended_payload(header, buffer[EXTENDED_HEADER_BYTES:size]) if len(buffer) >= size else None
            if payload is None:
                self._drop(min(size, len(buffer)))
                self._count_damage(True)
                return None
            del buffer[:size]
            return header.message_type, header.sequence, payload

    def _decode_header(self, data: bytes) -> ExtendedHeader | None:
        header = decode_extended_header(data, self._identity)
        if header is not None or not self._identity:
            return header
        header = decode_extended_header(data)
        if header is None or (header.message_type, header.sequence) != (MessageType.ERROR, 0):
            return None
        self._forgotten += 1
        return header

    def _begins_refusal_to_strangers(self, deadline: float) -> bool:
        """Tell whether the buffer begins with what the device says, in a dialogue of others, of a frame of this one.

        That dialogue's identity is unknown here, so that only the payload's CRC, which goes on from the check, can be
        held against what came.
        """
        sequence, message_type, payload_bytes, check = struct.unpack("<4xHHII", self._buffer[:EXTENDED_HEADER_BYTES])
        header = ExtendedHeader(sequence, message_type, payload_bytes, check)
        if (message_type, sequence) != (MessageType.ERROR, 0) or not 0 < payload_bytes <= failures.most_bytes():
            return False
        size = EXTENDED_HEADER_BYTES + header.rest_bytes
        self._fill_steadily(size, deadline)
        payload = extended_payload(header, self._buffer[EXTENDED_HEADER_BYTES:size])
        return payload is not None and ErrorAnswer.decode(payload).name == _DAMAGED_HEADER

    def _answer(self, patience: float, deadline: float) -> tuple[int, bytes] | None:
        """Return type and payload of the current request's answer; None when the request must be sent again.

        It is waited for as long as ``patience`` from now, and from the last whole frame that came.
        """
        before, refused = self._report.damaged_answers, False
        begun_by = min(deadline, time.monotonic() + patience)
        while True:
            frame = self.receive(begun_by, deadline)
            if frame is None:
                self._report.unanswered += not refused and self._report.damaged_answers == before
                return None
            kind, sequence, payload = frame
            error = ErrorAnswer.decode(payload) if kind == MessageType.ERROR else None
            unheard = error is not None and (
                (sequence == 0 and error.code >> 8 == _LINK_MODULE)
                or (sequence == self._sequence and error.name in _DAMAGED)
            )
            if unheard:
                self._report.refused_requests += 1
                refused = True
                if not self._buffer and not self._line.has_bytes(self._written):
                    return None
                begun_by = min(begun_by, time.monotonic() + NOISE_SECONDS)  # it may be about another host's frames
                continue
            if sequence == self._sequence and kind in (MessageType.OK, MessageType.ERROR):
                return kind, payload
            if sequence in self._questions:
                return None
            self._report.late_answers += 1
            begun_by = begun_by if refused else min(deadline, time.monotonic() + patience)

    def _fill(self, count: int, deadline: float, ahead: int = 0) -> None:
        """Have ``count`` bytes in the buffer, fewer at the deadline, and up to ``ahead`` of what came behind them."""
        buffer = self._buffer
        while len(buffer) < count:
            data = self._line.read(self._written, count - len(buffer), deadline, ahead)
            if not data:
                return
            buffer += data

    def _fill_steadily(self, count: int, deadline: float) -> None:
        """The same for a frame that has begun: a silence ends it too."""
        while len(self._buffer) < count:
            before = len(self._buffer)
            part = min(count, before + _READ_BYTES)
            steady = time.monotonic() + STALL_SECONDS + self._line.seconds_for(part - before)
            self._fill(part, min(steady, deadline))
            if len(self._buffer) == before:
                return

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._report.dropped_bytes += count

    def _count_damage(self, damaged: bool) -> None:
        self._report.damaged_answers += damaged


def content(answer: tuple[int, bytes], request: str) -> bytes:
    """Return the payload of an OK answer; raise DeviceError for ERROR."""
    kind, payload = answer
    if kind == MessageType.ERROR:
        error = ErrorAnswer.decode(payload)
        raise DeviceError(error.code, error.name, error.message, request)
    return payload


def _magic_place(buffer: bytearray) -> int:
    """Return where the magic begins in the buffer, whole or cut off by the buffer's end; its length if nowhere."""
    place = buffer.find(MAGIC)
    if place >= 0:
        return place
    for length in range(min(CHECK_BYTES - 1, len(buffer)), 0, -1):
        if buffer.endswith(MAGIC[:length]):
            return len(buffer) - length
    return len(buffer)
