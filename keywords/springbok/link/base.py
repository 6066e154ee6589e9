# SPDX-License-Identifier: Apache-2.0
"""Requests in base frames: one request, one answer, in step.

The base protocol has no sequence numbers, so a late answer looks like the answer to the next request. After anything
irregular the exchange is therefore *out of step*: before the next request it waits for silence and, when the firmware
is known to understand INFO, asks until two answers in a row are the same that only INFO has. Nothing checks one answer:
it may be damaged and look like another firmware's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from springbok.link.extension import LinkReport, content
from springbok.link.frames import HEADER_BYTES, MAGIC, MessageType, decode_header, encode_frame
from springbok.link.line import Line, LineBusy, Progress, shown
from springbok.link.messages import SESSION_OTHER, ChipInfo, ErrorAnswer
from springbok.support.errors import LinkError, LinkTimeout, OtherHost

_SILENCE_SECONDS = 0.2
_STALL_SECONDS = 1.5  # the firmware gives a cut frame up after 1 s
_DRAIN_SECONDS = 5.0  # within a request's limit
_SLOW = 1.5  # times the slowest answer that came, no other is to be waited for
_UNREADABLE_INFOS = 3  # the same in a row are no late answers, nor damaged ones

# What has an answer for the model that this host has loaded.
_OF_THE_MODEL = (MessageType.DATA, MessageType.PROCESS, MessageType.OUTPUT, MessageType.PROFILE)

_log = logging.getLogger(__name__)


class _UnreadableInfo(LinkError):
    """An answer OK to INFO that this client does not know: a late one, a damaged one, or a later firmware's."""


class BaseExchange:
    """One request, one answer, in base frames. What comes of it is counted in ``report``."""

    def __init__(self, line: Line, report: LinkReport, diagnosis: Callable[[], str]) -> None:
        self._line = line
        self._report = report
        self._diagnosis = diagnosis
        self.in_step = True
        self.speaks_info = False
        self._frame_cut = False  # a request was not written to its end
        self._models = 0  # that the device has loaded, as far as this host knows; 0 of a firmware that does not say it
        self._own_model: int | None = None  # which of them is this host's
        self._unanswered_infos = 0  # of those asked to find the step again, and of the one before
        self._silence_seconds = _SILENCE_SECONDS  # that tell late answers from others
        self._slowest, self._unanswered_stats = 0.0, 0  # of a negotiation's questions

    def request(
        self, message_type: MessageType, payload: bytes, deadline: float, stall: float, progress: Progress | None = None
    ) -> bytes:
        """Send a request and return its answer's payload; the device may stop taking it for ``stall`` seconds."""
        frame = encode_frame(message_type, payload)
        if not self.in_step or self._line.has_bytes(message_type.name):
            self.resynchronise(deadline)
        if message_type in _OF_THE_MODEL and self._models and self._own_model not in (None, self._models):
            raise LinkError(
                f"{message_type.name} was not sent: another host has loaded a model since this one did. Load the model "
                "again, and see that no other host uses the device."
            )
        loads = message_type is MessageType.MODEL
        self._own_model = None if loads else self._own_model
        self.in_step = False  # until the answer is whole
        deadline += self.write(message_type.name, frame, deadline, stall, progress and _of_payload(progress))
        asks_info = message_type is MessageType.INFO
        self._unanswered_infos += asks_info
        answer = self.receive_answer(message_type.name, deadline)
        self._unanswered_infos -= asks_info and _is_info(answer)
        if loads:
            self._own_model = self._models = self._models + 1
        return answer

    def write(
        self, request: str, data: bytes, deadline: float, stall: float = math.inf, progress: Progress | None = None
    ) -> float:
        """Write bytes, a frame or not; return the seconds that ``progress`` took, which are none of the limit's."""
        self._frame_cut = True
        seconds = self._line.write(request, data, deadline, stall, progress)
        self._frame_cut = False
        return seconds

    def receive_answer(self, request: str, deadline: float) -> bytes:
        """Wait for an answer and return its payload."""
        message_type, payload = self._receive_frame(request, deadline)
        while request != "INFO" and self._is_late_info(message_type, payload):
            message_type, payload = self._receive_frame(request, deadline)
        if message_type not in (MessageType.OK, MessageType.ERROR):
            raise LinkError(
                f"The device answered {request} with message type {message_type}, which is neither OK nor ERROR. "
                "Check that it runs springbok-bench's firmware."
            )
        self.in_step = True
        self._report.requests += 1
        return content((message_type, payload), request)

    # The step

    def resynchronise(self, deadline: float) -> None:
        """Throw away what comes until the line is silent; then, if possible, ask until the answers are in step."""
        self._report.resynchronisations += 1
        self.drain(deadline)
        if self.speaks_info:
            self.probe(deadline)

    def drain(self, deadline: float) -> None:
        """Throw away what comes until the line is silent."""
        silence = max(self._silence_seconds, _STALL_SECONDS if self._frame_cut else 0.0)
        thrown_away = self._silence(silence, min(deadline, time.monotonic() + _DRAIN_SECONDS))
        self._frame_cut = False
        self._report.dropped_bytes += thrown_away
        if thrown_away:
            _log.debug("threw %d bytes away to find the step again", thrown_away)

    def probe(self, deadline: float) -> ChipInfo:
        """Ask INFO until two answers in a row are the same of its own: others are late or damaged, or it was not heard.

        Raises OtherHost when the device says that another host is at work; what `ChipInfo.decode` raises when it
        answers so time and again; and at the deadline what was wrong with the last answer.
        """
        self.in_step = False
        started, unread = time.monotonic(), 0
        believed: bytes | None = None
        failures: list[LinkError] = []  # since the last answer of INFO's own
        while True:
            self._unanswered_infos += 1
            self.write("INFO", encode_frame(MessageType.INFO), deadline)
            unread += 1
            pause = _STALL_SECONDS * 2 ** sum(isinstance(failure, LinkTimeout) for failure in failures)
            try:
                answer = self._receive_info(started, min(deadline, time.monotonic() + pause), deadline)
            except OtherHost:
                raise
            except LinkError as error:
                failures.append(error)
                believed = None
                self._bear(failures, deadline)
                continue
            unread -= 1
            self._unanswered_infos -= 1
            if answer == believed:
                break
            believed, failures = answer, []
        self._settle(unread, deadline)
        info = ChipInfo.decode(answer)
        self._models = info.models_loaded
        self.speaks_info = self.in_step = True
        return info

    def _receive_info(self, started: float, begun_by: float, deadline: float) -> bytes:
        message_type, payload = self._receive_frame("INFO", deadline, started, begun_by)
        while message_type not in (MessageType.OK, MessageType.ERROR):  # the line may have an echo
            message_type, payload = self._receive_frame("INFO", deadline, started, begun_by)
        if message_type == MessageType.ERROR and _is_of_other_host(payload):
            raise OtherHost(f"{ErrorAnswer.decode(payload).message}.")
        payload = content((message_type, payload), "INFO")
        try:
            ChipInfo.decode(payload)
        except LinkError as error:
            raise _UnreadableInfo(str(error)) from error
        return payload

    def _bear(self, failures: list[LinkError], deadline: float) -> None:
        """Have the line silent for the next attempt, or raise the last failure: it is the answer, or the time over."""
        failure = failures[-1]
        whole = not isinstance(failure, LinkTimeout)
        latest = [str(each) for each in failures[-_UNREADABLE_INFOS:]]
        is_the_answer = isinstance(failure, _UnreadableInfo) and latest == [str(failure)] * _UNREADABLE_INFOS
        drains = not whole or len(failures) > 1  # the first may be late, and its own the next
        if is_the_answer or deadline - time.monotonic() <= drains * _SILENCE_SECONDS:
            raise failure
        if drains:
            self.drain(deadline)

    def explains_errors(self, deadline: float) -> bool:
        """Tell this project's firmware from one of 2023, which would crash on a message type that it doesn't know.

        It is asked for statistics, rightly and wrongly, until it refuses: with a reason, or without in 2023. An earlier
        client may have left answers that nobody has taken, and a frame half sent: the firmware takes the question for
        its rest, and says after a second of silence that it gives the frame up, which is a refusal too. The pauses
        between attempts grow: a simulated chip's second may be many of this machine's. That there is no reason is
        believed when it comes twice: it may be a damaged answer.
        """
        self._own_model = None
        without_reason = 0
        pause, patience, started = _SILENCE_SECONDS, _STALL_SECONDS, time.monotonic()
        self._silence_seconds, self._slowest, self._unanswered_stats = _SILENCE_SECONDS, 0.0, 0
        while True:
            if self._line.has_bytes("STATS"):
                self._silence(_SILENCE_SECONDS, deadline)
            explains = self._greet(patience, deadline)
            if explains is False and not without_reason:
                without_reason += 1
                continue
            if explains is False and self._unanswered_stats:  # nothing of 2023 tells a late answer but its time
                self._silence_seconds = max(_SILENCE_SECONDS, min(_SLOW * self._slowest, _DRAIN_SECONDS / 2))
                self.drain(deadline)
            if explains is not None:
                return explains
            if time.monotonic() >= deadline:
                raise LinkTimeout(
                    f"{self._line.url} gave no answer by which a firmware is known, within "
                    f"{shown(time.monotonic() - started)} s (asked was STATS, which every firmware knows). Check that "
                    "it is the right port and baud rate, that the device is powered and runs springbok-bench's "
                    f"firmware, and that it is not computing for another host.{self._diagnosis()}"
                )
            self._report.resynchronisations += 1
            self._silence(min(pause, (deadline - time.monotonic()) / 2), deadline)
            patience *= 2
            pause = max(2 * pause, patience)

    def _greet(self, patience: float, deadline: float) -> bool | None:
        """Ask once, each question's answer within ``patience`` seconds; None when none was the one that tells."""
        unread = 0
        for payload in (b"", b"\0"):
            self._line.write("STATS", encode_frame(MessageType.STATS, payload), deadline)
            asked = time.monotonic()
            patient_until = min(deadline, asked + patience)
            self._unanswered_stats += 1
            unread += 1
            while True:
                try:
                    kind, answer = self._receive_frame("STATS", patient_until)
                except LinkError:  # silence, or what is no frame and an earlier dialogue's
                    return None
                unread -= 1
                self._unanswered_stats -= 1
                self._slowest = max(self._slowest, time.monotonic() - asked)
                verdict = _tells(kind, answer)
                if verdict is not None:
                    self._settle(unread, deadline)
                    return verdict
                if not payload:
                    break
        return None

    def _settle(self, unread: int, deadline: float) -> None:
        """Throw away the answers to what was asked more often than it was answered."""
        if unread or self._line.has_bytes("resynchronisation"):
            self.drain(deadline)

    def _silence(self, seconds: float, deadline: float) -> int:
        """Wait for a silence; return how many bytes came before. Raises OtherHost when they are another's dialogue."""
        try:
            return self._line.drain(seconds, deadline, MAGIC)
        except LineBusy as error:
            if MAGIC in error.heard:
                raise OtherHost("the line does not fall silent, it carries a dialogue in extended frames.") from error
            raise

    # Bytes

    def _is_late_info(self, message_type: int, payload: bytes) -> bool:
        """Whether this answers an INFO that nobody waits for any more: a chip that was busy gives an answer to each."""
        if not self._unanswered_infos or message_type != MessageType.OK or not _is_info(payload):
            return False
        self._unanswered_infos -= 1
        self._report.dropped_bytes += HEADER_BYTES + len(payload)
        return True

    def _receive_frame(
        self, request: str, deadline: float, started: float | None = None, begun_by: float | None = None
    ) -> tuple[int, bytes]:
        """Return type and payload of the next frame. With ``begun_by``, it begins by then, and a silence ends it."""
        started = time.monotonic() if started is None else started
        header = self._line.read(request, HEADER_BYTES, deadline if begun_by is None else begun_by)
        if len(header) < HEADER_BYTES:
            raise self._no_answer(request, started, f"{len(header)} of the {HEADER_BYTES} bytes of an answer's header")
        if header.startswith(MAGIC):
            raise OtherHost("the line carries a dialogue in extended frames.")
        try:
            message_type, payload_bytes = decode_header(header)
        except LinkError as error:
            raise LinkError(f"The answer to {request} is malformed: {error}") from error
        read = self._line.read if begun_by is None else self._read_steadily
        payload = read(request, payload_bytes, deadline)
        if len(payload) < payload_bytes:
            raise self._no_answer(
                request, started, f"the header and {len(payload)} of {payload_bytes} payload bytes of an answer"
            )
        return message_type, payload

    def _read_steadily(self, request: str, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self._line.read(request, 1, min(deadline, time.monotonic() + _STALL_SECONDS), count - len(data))
            if not part:
                break
            data += part
        return bytes(data)

    def _no_answer(self, request: str, started: float, came: str) -> LinkTimeout:
        waited = time.monotonic() - started
        return LinkTimeout(f"No whole answer to {request} within {shown(waited)} s: {came} came.{self._diagnosis()}")


def _of_payload(progress: Progress) -> Progress:
    """The same, told of a frame's bytes: its header is none of the caller's."""
    return lambda done, total: progress(max(0, done - HEADER_BYTES), total - HEADER_BYTES)


def _is_info(payload: bytes) -> bool:
    try:
        ChipInfo.decode(payload)
    except LinkError:
        return False
    return True


def _is_of_other_host(payload: bytes) -> bool:
    return ErrorAnswer.decode(payload).name == SESSION_OTHER


def _tells(message_type: int, answer: bytes) -> bool | None:
    """Whether an answer shows a firmware that gives reasons for a refusal, or one that doesn't; None: it shows neither.

    >>> _tells(MessageType.ERROR, b"")
    False
    """
    if message_type != MessageType.ERROR:
        return None
    if not answer:
        return False
    return True if ErrorAnswer.decode(answer).code else None
