# SPDX-License-Identifier: Apache-2.0
"""The dialogue with the firmware over a serial line: one request, one answer, every wait bounded.

The line may be a port (``/dev/ttyUSB0``), a pseudo-terminal, or a socket (``socket://localhost:3456``).

    with Link("socket://localhost:3456") as link:
        link.negotiate()
        link.load_model(Path("gestures.vmfb").read_bytes())
        output = link.infer(recording.tobytes())

`Link.negotiate` finds out what the firmware speaks. With the extension, requests go in extended frames (see
`springbok.link.extension`): whatever the line does, they are repeated until the right answer is there, and the rest of
this does not matter.

The base protocol has no sequence numbers, so a late answer looks like the answer to the next request. After anything
irregular the link is therefore *out of step*: before the next request it waits for silence and, when the firmware
is known to understand INFO, asks until the answer is one that only INFO has.

A limit is a limit: whatever comes over the line, a call ends by then. Only what the line itself needs for the bytes
that the caller knows of, those of the request and of an answer of known size, comes on top.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, TypeVar

from springbok.link.extension import ExtendedExchange, LinkReport, content
from springbok.link.frames import HEADER_BYTES, MessageType, decode_header, encode_frame
from springbok.link.io_spec import IoSpec
from springbok.link.line import Line, Progress
from springbok.link.messages import (
    ChipInfo,
    ErrorAnswer,
    Limits,
    Profile,
    Signature,
    Statistics,
    decode_hello,
    decode_measured,
    decode_offset,
    encode_hello,
    encode_sense,
    encode_upload,
)
from springbok.support.errors import LinkError, LinkTimeout

Decoded = TypeVar("Decoded")

COMPUTE_SECONDS = 60.0  # default time limit of what the device computes for: loading a model, an inference

_SILENCE_SECONDS = 0.2
_STALL_SECONDS = 1.5  # the firmware gives a cut frame up after 1 s
_DRAIN_SECONDS = 5.0  # within a request's limit
_FAREWELL_SECONDS = 0.3
_FIRST_PATIENCE, _PATIENCE = 0.25, 1.0  # seconds that a greeting is waited for

UPLOAD_CHUNK_BYTES = 8192
UPLOAD_ATTEMPTS = 3
_EXTENDED_SINCE = (1, 1)  # version of the firmware

_log = logging.getLogger(__name__)


class Dialect(Enum):
    """What a firmware speaks: the protocol of 2023; the same and INFO, PROFILE and UNLOAD; the extension too."""

    UNKNOWN = "not negotiated"
    BASE = "base"
    INFO = "base with INFO"
    EXTENDED = "extended"


class Link:
    """An open line to the firmware. Use it as a context manager, or call ``close``.

    url       port or pyserial URL
    baudrate  of a real port; simulators ignore it
    timeout   seconds for a request and its answer
    compute_timeout  seconds for what the device computes for: loading a model, an inference
    diagnose  asked for a text when the device falls silent, e.g. the simulator's view of the core

    Every method raises LinkError when the port can't be opened, the connection is lost, or an answer is
    malformed; LinkTimeout when no whole answer came in time; DeviceError when the device answered ERROR. After
    any of these but a lost connection, the link can be used on.
    """

    def __init__(
        self,
        url: str,
        *,
        baudrate: int = 115200,
        timeout: float = 10.0,
        compute_timeout: float = COMPUTE_SECONDS,
        diagnose: Callable[[], str] | None = None,
    ) -> None:
        self.url = url
        self.timeout = timeout
        self.compute_timeout = compute_timeout
        self._diagnose = diagnose
        self.dialect = Dialect.UNKNOWN
        self.limits: Limits | None = None  # with the extension
        self.report = LinkReport()
        self._line = Line(url, baudrate=baudrate, diagnose=self._diagnosis)
        self._extended = ExtendedExchange(self._line, self.report)
        self._in_step = True
        self._frame_cut = False  # a request was not written to its end
        self._speaks_info = False
        self._unanswered_infos = 0  # of those asked to find the step again, and of the one before
        self._input_bytes: int | None = None  # of the loaded model, once a batch has asked for it

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the line. Harmless when it is closed. The device will speak the base protocol with the next client."""
        if self.dialect is Dialect.EXTENDED and self._line.is_open:
            deadline = time.monotonic() + _FAREWELL_SECONDS
            with suppress(LinkError):
                self._line.write("INFO", encode_frame(MessageType.INFO), deadline)
                self._receive_frame("INFO", deadline)
        self._line.close()

    # Requests

    def negotiate(
        self, timeout: float | None = None, *, extension: bool = True, time_limit: float | None = None
    ) -> ChipInfo | None:
        """Find out what the firmware speaks and use it from now on; ``dialect`` tells. Returns what it says of itself.

        A firmware of 2023 says nothing: None. Without ``extension`` the base protocol is used in any case.
        ``timeout`` is for all of it. ``time_limit`` is for one request's computation on the device, seconds, as long as
        this dialogue lasts; only the extension can tell it.
        """
        deadline = time.monotonic() + self._limit(timeout)
        self.dialect, self._in_step = Dialect.UNKNOWN, False
        if not self._explains_errors(deadline):
            self.dialect = Dialect.BASE
            return None
        self.dialect = Dialect.INFO
        info = self._probe(deadline)
        if extension and tuple(map(int, info.firmware_version.split("."))) >= _EXTENDED_SINCE:
            self.dialect = Dialect.EXTENDED
            info, self.limits = self._ask(MessageType.HELLO, decode_hello, encode_hello(time_limit), until=deadline)
        return info

    def _explains_errors(self, deadline: float) -> bool:
        """Tell this project's firmware from one of 2023, which would crash on a message type that it doesn't know.

        It is asked for statistics, rightly and wrongly, until it refuses: with a reason, or without in 2023. An earlier
        client may have left a frame half sent, which the firmware gives up in the pause before the next attempt, and
        answers that nobody has taken.
        """
        patience, pause = _FIRST_PATIENCE, _SILENCE_SECONDS
        while True:
            if self._line.has_bytes("STATS"):
                self._line.drain(_SILENCE_SECONDS, deadline)
            explains = self._greet(min(deadline, time.monotonic() + patience), deadline)
            if explains is not None:
                return explains
            if time.monotonic() >= deadline:
                raise LinkTimeout(f"No whole answer to STATS came in time.{self._diagnosis()}")
            self.report.resynchronisations += 1
            self._line.drain(pause, deadline)
            patience, pause = _PATIENCE, _STALL_SECONDS

    def _greet(self, patient_until: float, deadline: float) -> bool | None:
        """Ask once; None when no answer was the one that tells."""
        unread = 0
        for payload in (b"", b"\0"):
            self._line.write("STATS", encode_frame(MessageType.STATS, payload), deadline)
            unread += 1
            while True:
                try:
                    kind, answer = self._receive_frame("STATS", patient_until)
                except LinkError:  # silence, or what is no frame and an earlier dialogue's
                    return None
                unread -= 1
                verdict = _tells(kind, answer)
                if verdict is not None:
                    self._settle(unread, deadline)
                    return verdict
                if not payload:
                    break
        return None

    def chip_info(self, timeout: float | None = None) -> ChipInfo:
        """Ask what the firmware and the chip are. A firmware of 2023 does not know this request."""
        if self._in_step or self.dialect is Dialect.EXTENDED:
            self._unanswered_infos += 1
            info = self._ask(MessageType.INFO, ChipInfo.decode, timeout=timeout)
            self._unanswered_infos -= 1
        else:
            deadline = time.monotonic() + self._limit(timeout)
            self._drain(deadline)
            info = self._probe(deadline)
        self._speaks_info = True
        return info

    def send_io_spec(self, spec: IoSpec) -> None:
        """Tell what the next model takes and gives. Optional; the device compares it with the model."""
        self._ask(MessageType.IOSPEC, _nothing, spec.encode())

    def load_model(self, vmfb: bytes, progress: Progress | None = None, *, timeout: float | None = None) -> None:
        """Send a compiled model; the device verifies and loads it before it answers.

        ``progress`` is called with (bytes sent, bytes in all); with the extension, these are bytes that the device
        has received whole, and an upload that was interrupted goes on where it stopped, on another link too.
        ``timeout`` starts when all is sent; an upload has the link's own for each piece of it.
        """
        self._input_bytes = None
        if self.dialect is Dialect.EXTENDED:
            self._upload(vmfb, progress)
            self._ask(MessageType.LOAD, _nothing, timeout=self._compute_limit(timeout))
        else:
            self._ask(MessageType.MODEL, _nothing, vmfb, timeout=self._compute_limit(timeout), progress=progress)

    def infer(self, data: bytes, *, timeout: float | None = None, answer_bytes: int = 0) -> bytes:
        """Run one inference: all inputs' bytes, one after the other, in; all outputs' bytes out.

        ``timeout`` is for all of it; ``answer_bytes``, of the outputs, gives the line the time that it needs for them.
        """
        limit = self._compute_limit(timeout)
        if self.dialect is Dialect.EXTENDED:
            return self.request(MessageType.INFER, data, timeout=limit, answer_bytes=answer_bytes)
        until = time.monotonic() + limit + self._line.seconds_for(len(data) + answer_bytes)
        self._ask(MessageType.DATA, _nothing, data, until=until)
        self._ask(MessageType.PROCESS, _nothing, timeout=limit, until=until)
        return self.request(MessageType.OUTPUT, answer_bytes=answer_bytes, until=until)

    def infer_batch(
        self, inputs: Sequence[bytes], *, timeout: float | None = None, answer_bytes: int = 0
    ) -> list[bytes]:
        """Run several inferences, with the extension in one round trip; ``timeout`` is for all of them together.

        ``answer_bytes`` is of all outputs of one. Raises LinkError when an input has not the model's size, and
        DeviceError when the inputs or the outputs together are more than ``limits`` says.
        """
        if self.dialect is not Dialect.EXTENDED or len(inputs) < 2:
            until = time.monotonic() + self._compute_limit(timeout)
            return [
                self.infer(data, timeout=max(0.0, until - time.monotonic()), answer_bytes=answer_bytes)
                for data in inputs
            ]
        expected = self._size_of_input()
        for number, data in enumerate(inputs):
            if len(data) != expected:
                raise LinkError(f"Input {number} of the batch has {len(data)} bytes, but the model takes {expected}.")
        limit = self._compute_limit(timeout)
        answer = self.request(
            MessageType.INFER, b"".join(inputs), timeout=limit, answer_bytes=answer_bytes * len(inputs)
        )
        size = len(answer) // len(inputs)
        return [answer[at * size : (at + 1) * size] for at in range(len(inputs))]

    def _size_of_input(self) -> int:
        """Bytes of all inputs of the loaded model, as the device says; asked once a model."""
        if self._input_bytes is None:
            self._input_bytes = sum(tensor.nbytes for tensor in self.signature().inputs)
        return self._input_bytes

    def measure(self, data: bytes, *, timeout: float | None = None, answer_bytes: int = 0) -> tuple[bytes, Profile]:
        """Run one inference like `infer`; return its outputs' bytes and what it cost."""
        limit = self._compute_limit(timeout)
        if self.dialect is Dialect.EXTENDED:
            profile, output = self._ask(
                MessageType.MEASURE, decode_measured, data, timeout=limit, answer_bytes=answer_bytes
            )
            return output, profile
        return self.infer(data, timeout=timeout, answer_bytes=answer_bytes), self.profile()

    def sense(
        self,
        samples: int,
        wait: float,
        unit: float,
        *,
        scale: float = 1.0,
        zero_point: int = 0,
        timeout: float | None = COMPUTE_SECONDS,
    ) -> bytes:
        """Run one inference of the chip's own accelerometer; return all outputs' bytes.

        The device takes ``samples`` new ones within ``wait`` seconds of its time, and the newest that it has become the
        input: see `encode_sense`. ``timeout`` is for the computation and comes on top of ``wait``.
        """
        self._need_extension("SENSE")
        limit = self._limit(timeout) + wait
        return self.request(MessageType.SENSE, encode_sense(samples, wait, unit, scale, zero_point), timeout=limit)

    def signature(self) -> Signature:
        """Ask what the loaded module itself declares: type and shape of each input and output."""
        self._need_extension("SIGNATURE")
        return self._ask(MessageType.SIGNATURE, Signature.decode)

    def abort(self) -> None:
        """Make the device forget an unfinished upload and an input that it has not used yet."""
        self._need_extension("ABORT")
        self._ask(MessageType.ABORT, _nothing)

    def reset_device(self) -> None:
        """Restart the firmware as after power-on. Negotiate again afterwards."""
        self._need_extension("RESET")
        self._ask(MessageType.RESET, _nothing)
        self.dialect = Dialect.UNKNOWN

    def statistics(self) -> Statistics:
        """Ask for the memory of the model's tensors."""
        return self._ask(MessageType.STATS, Statistics.decode)

    def profile(self) -> Profile:
        """Ask what the last inference and the load cost. Raises LinkError for a firmware of 2023."""
        self._need_info("PROFILE")
        return self._ask(MessageType.PROFILE, Profile.decode)

    def unload(self) -> None:
        """Make the device drop its model. Raises LinkError for a firmware of 2023."""
        self._need_info("UNLOAD")
        self._ask(MessageType.UNLOAD, _nothing)

    def request(
        self,
        message_type: MessageType,
        payload: bytes = b"",
        *,
        timeout: float | None = None,
        until: float | None = None,
        answer_bytes: int = 0,
        progress: Progress | None = None,
    ) -> bytes:
        """Send any request and return its answer's payload.

        ``timeout`` is for all of it; ``until`` is the moment (of `time.monotonic`) by which a larger whole ends.
        """
        started = time.monotonic()
        on_the_line = HEADER_BYTES + len(payload) + answer_bytes
        deadline = started + self._limit(timeout) + self._line.seconds_for(on_the_line)
        deadline = deadline if until is None else min(deadline, until)
        if self.dialect is Dialect.EXTENDED:
            return self._request_extended(message_type, payload, deadline)
        frame = encode_frame(message_type, payload)
        if not self._in_step or self._line.has_bytes(message_type.name):
            self._resynchronise(deadline)
        self._in_step = False  # until the answer is whole
        self._write(message_type.name, frame, deadline, progress)
        answer = self._receive_answer(message_type.name, deadline)
        _log.debug(
            "%s (%d bytes): OK (%d bytes) after %.3f s",
            message_type.name,
            len(payload),
            len(answer),
            time.monotonic() - started,
        )
        return answer

    def _request_extended(self, message_type: MessageType, payload: bytes, deadline: float) -> bytes:
        try:
            return self._extended.request(message_type, payload, deadline)
        except LinkTimeout as error:
            raise LinkTimeout(f"{error}{self._diagnosis()}") from error

    def _upload(self, image: bytes, progress: Progress | None) -> None:
        """Bring an image to the device piece by piece; the device says how much of it is there."""
        for _ in range(UPLOAD_ATTEMPTS):
            offset = self._ask(MessageType.UPLOAD, decode_offset, encode_upload(image))
            self.report.resumed_uploads += offset > 0
            if progress:
                progress(offset, len(image))
            while offset < len(image):
                expected = min(offset + UPLOAD_CHUNK_BYTES, len(image))
                offset = self._ask(MessageType.CHUNK, decode_offset, image[offset:expected])
                if offset != expected:  # the device was restarted, or another client came between
                    break
                if progress:
                    progress(offset, len(image))
            if offset == len(image):
                return
        raise LinkError(
            f"The upload broke off {UPLOAD_ATTEMPTS} times: the device does not keep what it has received. "
            "Check that no other client talks to it and that it does not restart."
        )

    def _need_extension(self, request: str) -> None:
        if self.dialect is not Dialect.EXTENDED:
            raise LinkError(f"{request} needs the extension; with this firmware the link is '{self.dialect.value}'.")

    def _need_info(self, request: str) -> None:
        if self.dialect is Dialect.BASE:
            raise LinkError(f"A firmware of 2023 does not know {request}; build the device's firmware anew for it.")

    # For tests of the firmware's robustness

    def send_raw(self, data: bytes) -> None:
        """Write bytes as they are, a frame or not. The next request finds the step again by itself."""
        self._in_step = False
        self._write("raw bytes", data, time.monotonic() + self.timeout + self._line.seconds_for(len(data)))

    def receive_answer(self, timeout: float | None = None) -> bytes:
        """Wait for an answer that no ``request`` waits for, and return its payload."""
        deadline = time.monotonic() + self._limit(timeout)
        if self.dialect is Dialect.EXTENDED:
            frame = self._extended.receive(deadline, deadline)
            if frame is None:
                raise LinkTimeout(f"No whole answer to raw bytes came. On the line: {self.report}.{self._diagnosis()}")
            return content((frame[0], frame[2]), "raw bytes")
        return self._receive_answer("raw bytes", deadline)

    # The step

    def resynchronise(self, timeout: float | None = None) -> None:
        """Throw away what comes until the line is silent; then, if possible, ask until the answers are in step."""
        self._resynchronise(time.monotonic() + self._limit(timeout))

    def _resynchronise(self, deadline: float) -> None:
        self.report.resynchronisations += 1
        self._drain(deadline)
        if self._speaks_info and self.dialect is not Dialect.EXTENDED:
            self._probe(deadline)

    def _drain(self, deadline: float) -> None:
        silence = _STALL_SECONDS if self._frame_cut else _SILENCE_SECONDS
        thrown_away = self._line.drain(silence, min(deadline, time.monotonic() + _DRAIN_SECONDS))
        self._frame_cut = False
        self.report.dropped_bytes += thrown_away
        if thrown_away:
            _log.debug("threw %d bytes away to find the step again", thrown_away)

    def _probe(self, deadline: float) -> ChipInfo:
        """Ask INFO until its own answer comes; answers to anything else are late, or tell that INFO was not heard."""
        self._in_step = False
        info, unread = None, 0
        while info is None:
            self._unanswered_infos += 1
            self._write("INFO", encode_frame(MessageType.INFO), deadline)
            message_type, payload = self._receive_frame("INFO", deadline)
            unread += 1
            if message_type == MessageType.OK:
                with suppress(LinkError):
                    info = ChipInfo.decode(payload)
                    unread -= 1
                    self._unanswered_infos -= 1
        self._settle(unread, deadline)
        self._speaks_info = self._in_step = True
        return info

    def _settle(self, unread: int, deadline: float) -> None:
        """Throw away the answers to what was asked more often than it was answered."""
        if unread or self._line.has_bytes("resynchronisation"):
            self._drain(deadline)

    # Bytes

    def _ask(
        self, message_type: MessageType, decode: Callable[[bytes], Decoded], *payload: bytes, **options: Any
    ) -> Decoded:
        answer = self.request(message_type, *payload, **options)
        try:
            return decode(answer)
        except LinkError as error:
            self._in_step = False
            raise LinkError(f"The answer to {message_type.name} is malformed: {error}") from error

    def _write(self, request: str, data: bytes, deadline: float, progress: Progress | None = None) -> None:
        self._frame_cut = True
        self._line.write(request, data, deadline, self.timeout, progress)
        self._frame_cut = False

    def _receive_answer(self, request: str, deadline: float) -> bytes:
        message_type, payload = self._receive_frame(request, deadline)
        while request != "INFO" and self._is_late_info(message_type, payload):
            message_type, payload = self._receive_frame(request, deadline)
        if message_type not in (MessageType.OK, MessageType.ERROR):
            raise LinkError(
                f"The device answered {request} with message type {message_type}, which is neither OK nor ERROR. "
                "Check that it runs springbok-bench's firmware."
            )
        self._in_step = True
        self.report.requests += 1
        return content((message_type, payload), request)

    def _is_late_info(self, message_type: int, payload: bytes) -> bool:
        """Whether this answers an INFO that nobody waits for any more: a chip that was busy gives an answer to each."""
        if not self._unanswered_infos or message_type != MessageType.OK:
            return False
        try:
            ChipInfo.decode(payload)
        except LinkError:
            return False
        self._unanswered_infos -= 1
        self.report.dropped_bytes += HEADER_BYTES + len(payload)
        return True

    def _receive_frame(self, request: str, deadline: float) -> tuple[int, bytes]:
        started = time.monotonic()
        header = self._line.read(request, HEADER_BYTES, deadline)
        if len(header) < HEADER_BYTES:
            raise self._silence(request, started, f"{len(header)} of the {HEADER_BYTES} bytes of an answer's header")
        try:
            message_type, payload_bytes = decode_header(header)
        except LinkError as error:
            raise LinkError(f"The answer to {request} is malformed: {error}") from error
        payload = self._line.read(request, payload_bytes, deadline)
        if len(payload) < payload_bytes:
            raise self._silence(
                request, started, f"the header and {len(payload)} of {payload_bytes} payload bytes of an answer"
            )
        return message_type, payload

    def _limit(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout

    def _compute_limit(self, timeout: float | None) -> float:
        return self.compute_timeout if timeout is None else timeout

    def _silence(self, request: str, started: float, came: str) -> LinkTimeout:
        waited = time.monotonic() - started
        return LinkTimeout(f"No whole answer to {request} within {waited:.1f} s: {came} came.{self._diagnosis()}")

    def _diagnosis(self) -> str:
        if self._diagnose is None:
            return ""
        try:
            return f"\n{self._diagnose()}"
        except Exception as error:  # whatever it is, it must not hide the time-out
            return f"\nThe diagnosis failed too: {error}"


def _nothing(answer: bytes) -> None:
    if answer:
        raise LinkError(f"it should be empty but carries {len(answer)} bytes: it may belong to an earlier request.")


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
