# SPDX-License-Identifier: Apache-2.0
"""The dialogue with the firmware over a serial line: one request, one answer, every wait bounded.

The line may be a port (``/dev/ttyUSB0``), a pseudo-terminal, or a socket (``socket://localhost:3456``).

    with Link("socket://localhost:3456") as link:
        link.negotiate()
        link.load_model(Path("gestures.vmfb").read_bytes())
        output = link.infer(recording.tobytes())

`Link.negotiate` finds out what the firmware speaks. With the extension, requests go in extended frames (see
`springbok.link.extension`): whatever the line does, they are repeated until the right answer is there. Without it they
go in base frames (see `springbok.link.base`).

A limit is a limit: whatever comes over the line, a call ends by then. Only what the line itself needs for the bytes
that the caller knows of, those of the request and of an answer of known size, comes on top.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, TypeVar

from springbok.link.base import BaseExchange
from springbok.link.extension import ExtendedExchange, LinkReport, content
from springbok.link.frames import HEADER_BYTES, MessageType, encode_frame
from springbok.link.io_spec import IoSpec
from springbok.link.line import Line, Progress, Turn, alone, plain, seconds_of
from springbok.link.messages import (
    SESSION_OTHER,
    Benchmark,
    ChipInfo,
    Limits,
    ModelState,
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
from springbok.support.errors import DeviceError, DialogueLost, LinkError, LinkTimeout, OtherHost

Decoded = TypeVar("Decoded")

COMPUTE_SECONDS = 60.0  # default time limit of what the device computes for: loading a model, an inference

_FAREWELL_SECONDS = 0.3
_OTHER_HOST_SECONDS = 5.0  # a killed host is forgotten after one second of the device's time
_OTHER_HOST_PAUSE = 0.2

UPLOAD_CHUNK_BYTES = 8192
PLACED_AFTER_BYTES = 60  # of an image that is put into memory: by them its place is recognised
UPLOAD_ATTEMPTS = _BASE_ATTEMPTS = 3

_KEEP_THE_MODEL = (
    MessageType.INFER,
    MessageType.MEASURE,
    MessageType.SIGNATURE,
    MessageType.PROFILE,
    MessageType.STATS,
)

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
    patience  seconds of silence until a request without an answer is asked about: much, on a line that loses nothing
    diagnose  asked for a text when the device falls silent, e.g. the simulator's view of the core

    Every method raises LinkError when the port can't be opened, the connection is lost, or an answer is
    malformed; LinkTimeout when no whole answer came in time; DeviceError when the device answered ERROR. After
    any of these but a lost connection, the link can be used on. Limits are finite; payloads are bytes, and anything
    else a TypeError. One call at a time: another thread's, or one from
    ``progress`` or a signal's handler, is a LinkError, but for ``close``; so is each in a forked process, which opens
    a link of its own. Opening a socket has 5 seconds, whatever ``timeout`` says.
    """

    def __init__(
        self,
        url: str,
        *,
        baudrate: int = 115200,
        timeout: float = 10.0,
        compute_timeout: float = COMPUTE_SECONDS,
        patience: float | None = None,
        diagnose: Callable[[], str] | None = None,
    ) -> None:
        self.url = url
        self.timeout = seconds_of(timeout)
        self.compute_timeout = seconds_of(compute_timeout, "compute_timeout")
        patience = None if patience is None else max(0.0, seconds_of(patience, "patience"))
        self.turn = Turn()
        self._diagnose = diagnose
        self.dialect = Dialect.UNKNOWN
        self.limits: Limits | None = None  # with the extension
        self.report = LinkReport()
        self._line = Line(url, baudrate=baudrate, diagnose=self._diagnosis)
        self._extended = ExtendedExchange(self._line, self.report, patience)
        self._base = BaseExchange(self._line, self.report, self._diagnosis)
        self._is_unfinished = False  # `negotiate` did not come to its end
        self._sizes: tuple[int, int] | None = None  # of the loaded model's inputs and outputs, once a batch has asked

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the line. Harmless when it is closed. The device will speak the base protocol with the next client.

        Another thread may close it too: then the call that goes on ends with LinkError.
        """
        try:
            if self.dialect is Dialect.EXTENDED and self._line.is_open:
                with suppress(LinkError):
                    self._take_leave(time.monotonic() + _FAREWELL_SECONDS)
        finally:
            self._line.close()

    @alone
    def _take_leave(self, deadline: float) -> None:
        self._extended.end(deadline)
        self._base.write("INFO", encode_frame(MessageType.INFO), deadline)
        self._base.receive_answer("INFO", deadline)

    # Requests

    @alone
    def negotiate(
        self,
        timeout: float | None = None,
        *,
        extension: bool = True,
        time_limit: float | None = None,
        take_over: bool = False,
    ) -> ChipInfo | None:
        """Find out what the firmware speaks and use it from now on; ``dialect`` tells. Returns what it says of itself.

        A firmware of 2023 says nothing: None. Without ``extension`` the base protocol is used in any case.
        ``timeout`` is for all of it. ``time_limit`` is for one request's computation on the device, seconds, as long as
        this dialogue lasts; LinkError where it can't be told: only the extension does. ``take_over`` ends another
        host's dialogue, who is told so at its next request; without it OtherHost is raised when one is going on.
        """
        deadline = time.monotonic() + self._limit(timeout)
        if time_limit is not None and seconds_of(time_limit, "time_limit") <= 0:
            raise LinkError("time_limit is more than 0 seconds; None leaves it to the firmware.")
        self._is_unfinished, self._sizes = True, None
        try:
            info = self._negotiated(deadline, extension, time_limit, take_over)
            if time_limit is not None and self.dialect is not Dialect.EXTENDED:
                raise LinkError(f"time_limit needs the extension; the link is '{self.dialect.value}'.")
        except LinkError:
            self._is_unfinished = False
            raise
        self._is_unfinished = False
        return info

    def _negotiated(
        self, deadline: float, extension: bool, time_limit: float | None, take_over: bool
    ) -> ChipInfo | None:
        if self.dialect is Dialect.EXTENDED:
            with suppress(LinkError):
                self._extended.end(min(deadline, time.monotonic() + _FAREWELL_SECONDS))
        patient_until = min(deadline, time.monotonic() + _OTHER_HOST_SECONDS)
        other: OtherHost | None = None
        while True:
            self.dialect, self._base.in_step = Dialect.UNKNOWN, False
            try:
                if other is not None and take_over:
                    return self._take_over(extension, time_limit, deadline)
                return self._begin(extension, time_limit, deadline)
            except OtherHost as error:
                other = error
            except LinkTimeout as error:
                if other is None:
                    raise
                raise self._tell_of(other) from error
            if not take_over:
                if time.monotonic() >= patient_until:
                    raise self._tell_of(other) from other
                time.sleep(min(_OTHER_HOST_PAUSE, max(0.0, deadline - time.monotonic())))

    def _tell_of(self, other: OtherHost) -> OtherHost:
        return OtherHost(
            f"Another host is at work with the device at {self.url}: {other} Wait until it has ended, or end its "
            "dialogue on purpose: take_over=True, in Robot Connect Runtime    take_over=True."
        )

    def _begin(self, extension: bool, time_limit: float | None, deadline: float) -> ChipInfo | None:
        if not self._base.explains_errors(deadline):
            self.dialect = Dialect.BASE
            return None
        self.dialect = Dialect.INFO
        info = self._base.probe(deadline)
        if extension and info.serves_extension:
            return self._begin_dialogue(info, time_limit, deadline)
        return info

    def _begin_dialogue(
        self, info: ChipInfo | None, time_limit: float | None, deadline: float, *, take_over: bool = False
    ) -> ChipInfo:
        """Ask for a dialogue, and begin it; until the deadline again when another host has asked between the two."""
        attempts, started = 0, time.monotonic()
        while True:
            own = _new_identity() if info is None or info.tells_dialogues_apart else None
            try:
                hello = encode_hello(time_limit, own, take_over=take_over)
                _, self.limits = _decoded("HELLO", decode_hello, self._extended.greet(hello, deadline))
                answer = self._extended.begin((own or 0) ^ self.limits.nonce, deadline)
                info = _decoded("INFO", ChipInfo.decode, answer)
                break
            except DialogueLost as error:
                attempts += 1
                if time.monotonic() >= deadline:
                    raise _crossed(attempts, started) from error
            except LinkTimeout as error:
                if attempts:
                    raise _crossed(attempts, started) from error
                raise
            except DeviceError as error:
                if error.name == SESSION_OTHER:
                    raise OtherHost(f"{error.message}.") from error
                raise
        self.dialect = Dialect.EXTENDED
        return info

    def _take_over(self, extension: bool, time_limit: float | None, deadline: float) -> ChipInfo | None:
        """Only a firmware that tells dialogues apart says that there is another, so it knows how to end it."""
        info = self._begin_dialogue(None, time_limit, deadline, take_over=True)
        if extension:
            return info
        self._extended.end(deadline)
        return self._begin(extension, time_limit, deadline)

    @alone
    def chip_info(self, timeout: float | None = None) -> ChipInfo:
        """Ask what the firmware and the chip are. A firmware of 2023 does not know this request."""
        if self._base.in_step or self.dialect is Dialect.EXTENDED:
            info = self._ask(MessageType.INFO, ChipInfo.decode, timeout=timeout)
        else:
            self._check_negotiated("INFO")
            deadline = time.monotonic() + self._limit(timeout)
            self._base.drain(deadline)
            info = self._base.probe(deadline)
        self._base.speaks_info = True
        return info

    @alone
    def send_io_spec(self, spec: IoSpec) -> None:
        """Tell what the next model takes and gives. Optional; the device compares it with the model."""
        self._ask(MessageType.IOSPEC, _nothing, spec.encode())

    @alone
    def load_model(
        self,
        vmfb: bytes,
        progress: Progress | None = None,
        *,
        timeout: float | None = None,
        place: Callable[[bytes, bytes, int], bool] | None = None,
    ) -> None:
        """Send a compiled model; the device verifies and loads it before it answers.

        ``progress`` is called with (bytes of the model sent, bytes in all), and what it takes is none of the limit's.
        With the extension, these are bytes that the device has received whole, and an upload that was interrupted goes
        on where it stopped, on another link too. ``timeout`` starts when all is sent; an upload has the link's own for
        each piece of it. ``place`` may put the image where it belongs by itself, past the line: see
        `springbok.engines.base.Engine.place_image`.
        """
        limit, vmfb = self._compute_limit(timeout), plain(vmfb)
        if self.dialect is Dialect.EXTENDED:
            self._upload(vmfb, progress, place)
            self._ask(MessageType.LOAD, _nothing, timeout=limit)
        else:
            self._ask(MessageType.MODEL, _nothing, vmfb, timeout=limit, progress=progress)

    @alone
    def infer(self, data: bytes, *, timeout: float | None = None, answer_bytes: int = 0) -> bytes:
        """Run one inference: all inputs' bytes, one after the other, in; all outputs' bytes out.

        Several times the inputs' bytes are several inferences with the extension, see `infer_batch`.

        ``timeout`` is for all of it but what the line needs at its baud rate for the inputs, and for the outputs where
        ``answer_bytes`` tells their size.
        """
        return self._infer(data, timeout, answer_bytes)

    def _infer(self, data: bytes, timeout: float | None, answer_bytes: int) -> bytes:
        limit, data = self._compute_limit(timeout), plain(data)
        if self.dialect is Dialect.EXTENDED:
            return self._request(MessageType.INFER, data, timeout=limit, answer_bytes=answer_bytes)
        until = time.monotonic() + limit + self._seconds_for(len(data), answer_bytes)
        for _ in range(_BASE_ATTEMPTS):
            self._ask(MessageType.DATA, _nothing, data, until=until)
            before = self.report.resynchronisations
            self._ask(MessageType.PROCESS, _nothing, timeout=limit, until=until)
            output = self._request(MessageType.OUTPUT, answer_bytes=answer_bytes, until=until)
            # Else another host's input may have taken this one's place.
            if self.report.resynchronisations == before and not self._line.has_bytes("OUTPUT"):
                return output
        raise LinkError(
            f"Answers that this host had not asked for came amid an inference, {_BASE_ATTEMPTS} times. See that no "
            "other host uses the device, or let both use the extension."
        )

    @alone
    def infer_batch(
        self, inputs: Sequence[bytes], *, timeout: float | None = None, answer_bytes: int = 0
    ) -> list[bytes]:
        """Run several inferences, with the extension in one round trip; ``timeout`` is for all of them together.

        ``answer_bytes`` is of all outputs of one. Raises LinkError when an input has not the model's size, or the
        inputs or the outputs together are more than ``limits`` says.
        """
        inputs = [plain(data) for data in inputs]
        if self.dialect is not Dialect.EXTENDED or not inputs:
            until = time.monotonic() + self._compute_limit(timeout)
            return [self._infer(data, max(0.0, until - time.monotonic()), answer_bytes) for data in inputs]
        limit = self._compute_limit(timeout)
        sent = self._seconds_for(sum(map(len, inputs)), answer_bytes * len(inputs))
        until = time.monotonic() + limit + sent
        expected, size = self._sizes_of_model(until)
        if not expected and not any(inputs):  # how many there are can't be told by bytes
            return [self._infer(b"", max(0.0, until - time.monotonic()), answer_bytes) for _ in inputs]
        for number, data in enumerate(inputs):
            if len(data) != expected:
                raise LinkError(f"Input {number} of the batch has {len(data)} bytes, but the model takes {expected}.")
        rooms = ((self.limits.input_capacity, expected), (self.limits.output_capacity, size))
        most = min((room // each for room, each in rooms if each), default=len(inputs))
        if len(inputs) > most:
            raise LinkError(
                f"A batch of {len(inputs):,} inferences of {expected:,} bytes in and {size:,} out is more than the "
                f"device takes at once, {rooms[0][0]:,} in and {rooms[1][0]:,} out: give it {most:,} at a time."
            )
        answer = self._request(MessageType.INFER, b"".join(inputs), timeout=limit + sent, until=until)
        if len(answer) != size * len(inputs):
            raise LinkError(
                f"The answer to INFER is malformed: {len(inputs)} inferences give {size:,} bytes each, but it has "
                f"{len(answer):,}."
            )
        return [answer[at * size : (at + 1) * size] for at in range(len(inputs))]

    def _sizes_of_model(self, until: float) -> tuple[int, int]:
        """Bytes of all inputs and of all outputs of the loaded model, as the device says; asked once a model."""
        if self._sizes is None:
            try:
                signature = self._ask(MessageType.SIGNATURE, Signature.decode, until=until)
            except DeviceError as error:
                if error.name == "SESSION_STATE":
                    raise LinkError("No model is loaded, so that there is nothing to infer: load one first.") from error
                raise
            inputs, outputs = ((tensor.nbytes for tensor in side) for side in (signature.inputs, signature.outputs))
            self._sizes = sum(inputs), sum(outputs)
        return self._sizes

    @alone
    def measure(self, data: bytes, *, timeout: float | None = None, answer_bytes: int = 0) -> tuple[bytes, Profile]:
        """Run one inference like `infer`; return its outputs' bytes and what it cost."""
        limit, data = self._compute_limit(timeout), plain(data)
        if self.dialect is Dialect.EXTENDED:
            profile, output = self._ask(
                MessageType.MEASURE, decode_measured, data, timeout=limit, answer_bytes=answer_bytes
            )
            return output, profile
        self._need_info("PROFILE")
        until = time.monotonic() + limit + self._seconds_for(len(data), answer_bytes)
        output = self._infer(data, limit, answer_bytes)
        return output, self._ask(MessageType.PROFILE, Profile.decode, until=until)

    @alone
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
        limit = self._limit(timeout) + seconds_of(wait, "wait")
        return self._request(MessageType.SENSE, encode_sense(samples, wait, unit, scale, zero_point), timeout=limit)

    @alone
    def introduce(self, benchmark: Benchmark) -> None:
        """Tell the device what MLPerf Tiny's runner is to know of the loaded model, which may talk to it next."""
        self._need_extension("BENCHMARK")
        self._ask(MessageType.BENCHMARK, _nothing, benchmark.encode())

    @alone
    def signature(self) -> Signature:
        """Ask what the loaded module itself declares: type and shape of each input and output."""
        self._need_extension("SIGNATURE")
        return self._ask(MessageType.SIGNATURE, Signature.decode)

    @alone
    def abort(self) -> None:
        """Make the device forget an unfinished upload and an input that it has not used yet."""
        self._need_extension("ABORT")
        self._ask(MessageType.ABORT, _nothing)

    @alone
    def reset_device(self) -> None:
        """Restart the firmware as after power-on. Negotiate again afterwards."""
        self._need_extension("RESET")
        try:
            self._ask(MessageType.RESET, _nothing)
        except DialogueLost:  # it restarted, and the answer was lost; or it never was in this dialogue
            if not self._is_as_after_power_on():
                raise
        self.dialect = Dialect.UNKNOWN

    def _is_as_after_power_on(self) -> bool:
        """Whether a device that knows no dialogue of this host's has loaded no model since it was switched on."""
        try:
            info = self._base.probe(time.monotonic() + self.timeout)
        except LinkError:
            return False
        return info.models_loaded == 0 and info.model_state is ModelState.NONE

    @alone
    def statistics(self) -> Statistics:
        """Ask for the memory of the model's tensors."""
        return self._ask(MessageType.STATS, Statistics.decode)

    @alone
    def profile(self) -> Profile:
        """Ask what the last inference and the load cost. Raises LinkError for a firmware of 2023."""
        self._need_info("PROFILE")
        return self._ask(MessageType.PROFILE, Profile.decode)

    @alone
    def unload(self) -> None:
        """Make the device drop its model. Raises LinkError for a firmware of 2023."""
        self._need_info("UNLOAD")
        self._ask(MessageType.UNLOAD, _nothing)

    @alone
    def request(
        self, message_type: MessageType, payload: bytes = b"", *, timeout: float | None = None, answer_bytes: int = 0
    ) -> bytes:
        """Send any request and return its answer's payload; ``timeout`` is as `infer` takes it."""
        return self._request(message_type, payload, timeout=timeout, answer_bytes=answer_bytes)

    def _request(
        self,
        message_type: MessageType,
        payload: bytes = b"",
        *,
        timeout: float | None = None,
        until: float | None = None,
        answer_bytes: int = 0,
        progress: Progress | None = None,
    ) -> bytes:
        """``until`` is the moment (of `time.monotonic`) by which a larger whole ends."""
        if not isinstance(message_type, MessageType):
            raise TypeError(f"A request is a MessageType of springbok.link.frames, not {message_type!r:.40}.")
        if message_type in (MessageType.OK, MessageType.ERROR):
            raise LinkError(f"{message_type.name} is an answer: a device that gets one as a request says nothing.")
        if message_type is MessageType.HELLO:
            raise LinkError("HELLO begins a dialogue or ends one, which negotiate and close do: call these.")
        self._check_negotiated(message_type.name)
        self._sizes = self._sizes if message_type in _KEEP_THE_MODEL else None
        started, payload = time.monotonic(), plain(payload)
        deadline = started + self._limit(timeout) + self._seconds_for(HEADER_BYTES + len(payload), answer_bytes)
        deadline = deadline if until is None else min(deadline, until)
        if self.dialect is Dialect.EXTENDED:
            return self._request_extended(message_type, payload, deadline)
        answer = self._base.request(message_type, payload, deadline, self.timeout, progress)
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

    def _upload(
        self, image: bytes, progress: Progress | None, place: Callable[[bytes, bytes, int], bool] | None
    ) -> None:
        """Bring an image to the device piece by piece; the device says how much of it is there."""
        request = encode_upload(image)
        for _ in range(UPLOAD_ATTEMPTS):
            offset = self._ask(MessageType.UPLOAD, decode_offset, request)
            if offset > len(image):
                raise LinkError(f"The answer to UPLOAD is malformed: {offset:,} bytes of {len(image):,} are there.")
            if place and offset == 0 and len(image) > PLACED_AFTER_BYTES:
                offset = self._ask(MessageType.CHUNK, decode_offset, image[:PLACED_AFTER_BYTES])
                if offset == PLACED_AFTER_BYTES and place(image, request, offset):
                    return
            else:
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

    def _check_negotiated(self, request: str) -> None:
        if self._is_unfinished:
            raise LinkError(f"{request} was not sent: the negotiation was interrupted. Negotiate again.")

    def _need_extension(self, request: str) -> None:
        if self.dialect is not Dialect.EXTENDED:
            raise LinkError(f"{request} needs the extension; with this firmware the link is '{self.dialect.value}'.")

    def _need_info(self, request: str) -> None:
        if self.dialect is Dialect.BASE:
            raise LinkError(f"A firmware of 2023 does not know {request}; build the device's firmware anew for it.")

    # For tests of the firmware's robustness

    @alone
    def send_raw(self, data: bytes) -> None:
        """Write bytes as they are, a frame or not. The next request finds the step again by itself."""
        self._base.in_step, data = False, plain(data)
        deadline = time.monotonic() + self.timeout + self._line.seconds_for(len(data))
        self._base.write("raw bytes", data, deadline, self.timeout)

    @alone
    def receive_answer(self, timeout: float | None = None) -> bytes:
        """Wait for an answer that no ``request`` waits for, and return its payload."""
        deadline = time.monotonic() + self._limit(timeout)
        if self.dialect is Dialect.EXTENDED:
            frame = self._extended.receive(deadline, deadline)
            if frame is None:
                raise LinkTimeout(f"No whole answer to raw bytes came. On the line: {self.report}.{self._diagnosis()}")
            return content((frame[0], frame[2]), "raw bytes")
        return self._base.receive_answer("raw bytes", deadline)

    @alone
    def resynchronise(self, timeout: float | None = None) -> None:
        """Throw away what comes until the line is silent; then, if possible, ask until the answers are in step."""
        deadline = time.monotonic() + self._limit(timeout)
        if self.dialect is Dialect.EXTENDED:
            self._base.drain(deadline)
        else:
            self._base.resynchronise(deadline)

    # Inside

    def _ask(
        self, message_type: MessageType, decode: Callable[[bytes], Decoded], *payload: bytes, **options: Any
    ) -> Decoded:
        answer = self._request(message_type, *payload, **options)
        try:
            return _decoded(message_type.name, decode, answer)
        except LinkError:
            self._base.in_step = False
            raise

    def _seconds_for(self, *sizes: int) -> float:
        return sum(map(self._line.seconds_for, sizes))

    def _limit(self, timeout: float | None) -> float:
        return seconds_of(self.timeout if timeout is None else timeout)

    def _compute_limit(self, timeout: float | None) -> float:
        return seconds_of(self.compute_timeout if timeout is None else timeout)

    def _diagnosis(self) -> str:
        if self._diagnose is None:
            return ""
        try:
            return f"\n{self._diagnose()}"
        except Exception as error:  # whatever it is, it must not hide the time-out
            return f"\nThe diagnosis failed too: {error}"


def _decoded(request: str, decode: Callable[[bytes], Decoded], answer: bytes) -> Decoded:
    try:
        return decode(answer)
    except LinkError as error:
        raise LinkError(f"The answer to {request} is malformed: {error}") from error


def _new_identity() -> int:
    """This host's part of a dialogue's. No seed of ``random`` has a say in it: two hosts of one trial are two."""
    return 1 + secrets.randbelow(0xFFFFFFFF)


def _crossed(attempts: int, started: float) -> DialogueLost:
    return DialogueLost(
        f"Another host asked for a dialogue between this one's HELLO and its first request, {attempts} times in "
        f"{time.monotonic() - started:.1f} s. See that only one host at a time begins a dialogue, and negotiate again."
    )


def _nothing(answer: bytes) -> None:
    if answer:
        raise LinkError(f"it should be empty but carries {len(answer)} bytes: it may belong to an earlier request.")
