# SPDX-License-Identifier: Apache-2.0
"""The dialogue with the firmware over a serial line: one request, one answer, every wait bounded.

The line may be a port (``/dev/ttyUSB0``), a pseudo-terminal, or a socket (``socket://localhost:3456``).

    with Link("socket://localhost:3456") as link:
        link.negotiate()
        link.load_model(Path("gestures.vmfb").read_bytes())
        output = link.infer(recording.tobytes())

`Link.negotiate` finds out what the firmware speaks. With the extension, requests go in extended frames (see
`springbok.extension`): whatever the line does, they are repeated until the right answer is there, and the rest of
this does not matter.

The base protocol has no sequence numbers, so a late answer looks like the answer to the next request. After anything
irregular the link is therefore *out of step*: before the next request it waits for silence and, when the firmware
is known to understand INFO, asks until the answer is one that only INFO has.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any, TypeVar

import serial

from springbok.errors import DeviceError, LinkError, LinkTimeout
from springbok.extension import ExtendedExchange, LinkReport, content
from springbok.protocol import (
    HEADER_BYTES,
    ChipInfo,
    IoSpec,
    Limits,
    MessageType,
    Profile,
    Signature,
    Statistics,
    decode_header,
    decode_hello,
    decode_measured,
    decode_offset,
    encode_frame,
    encode_hello,
    encode_sense,
    encode_upload,
)

Progress = Callable[[int, int], None]
Decoded = TypeVar("Decoded")

COMPUTE_SECONDS = 60.0  # default time limit of what the device computes for: loading a model, an inference

_POLL_SECONDS = 0.02
_CHUNK_BYTES = 1024  # a chunk takes 0.1 s at 115200 baud
_SILENCE_SECONDS = 0.2
_STALL_SECONDS = 1.5  # the firmware gives a cut frame up after 1 s
_DRAIN_SECONDS = 5.0
_FAREWELL_SECONDS = 0.3

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
    timeout   seconds that the device may take for an answer, and for taking a chunk of a request
    compute_timeout  seconds for what it computes for: loading a model, an inference
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
        self._extended = ExtendedExchange(self._read_part, self._write, self._line_seconds, self.report)
        self._in_step = True
        self._frame_cut = False  # a request was not written to its end
        self._written = "the first request"  # the latest that was written, for messages
        self._speaks_info = False
        options = {} if "://" in url else {"exclusive": True}
        try:
            self._port = serial.serial_for_url(
                url, baudrate=baudrate, timeout=_POLL_SECONDS, write_timeout=timeout, **options
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise LinkError(f"{url} can't be opened: {error}. {_advice(url)}") from error
        connection = getattr(self._port, "_socket", None)
        if isinstance(connection, socket.socket):  # else each request waits 40 ms for an acknowledgement (Nagle)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the line. Harmless when it is closed. The device will speak the base protocol with the next client."""
        if self.dialect is Dialect.EXTENDED and self._port.is_open:
            with suppress(LinkError):
                self._write("INFO", encode_frame(MessageType.INFO))
                self._receive_frame("INFO", time.monotonic(), _FAREWELL_SECONDS)
        self._port.close()

    # Requests

    def negotiate(
        self, timeout: float | None = None, *, extension: bool = True, time_limit: float | None = None
    ) -> ChipInfo | None:
        """Find out what the firmware speaks and use it from now on; ``dialect`` tells. Returns what it says of itself.

        A firmware of 2023 says nothing: None. Without ``extension`` the base protocol is used in any case.
        ``time_limit`` is for one request's computation on the device, seconds; only the extension can tell it.
        """
        self.dialect = Dialect.UNKNOWN
        if not self._explains_errors(timeout):
            self.dialect = Dialect.BASE
            return None
        self.dialect = Dialect.INFO
        info = self.chip_info(timeout)
        if extension and tuple(map(int, info.firmware_version.split("."))) >= _EXTENDED_SINCE:
            self.dialect = Dialect.EXTENDED
            info, self.limits = self._ask(MessageType.HELLO, decode_hello, encode_hello(time_limit), timeout=timeout)
        return info

    def _explains_errors(self, timeout: float | None) -> bool:
        """Tell this project's firmware from one of 2023, which would crash on a message type that it doesn't know."""
        for payload in (b"", b"\0"):  # a statistics request that may be answered, and one that is wrong
            try:
                self.request(MessageType.STATS, payload, timeout=timeout)
            except DeviceError as error:
                return error.code != 0
        return False

    def chip_info(self, timeout: float | None = None) -> ChipInfo:
        """Ask what the firmware and the chip are. A firmware of 2023 does not know this request."""
        if self._in_step or self.dialect is Dialect.EXTENDED:
            info = self._ask(MessageType.INFO, ChipInfo.decode, timeout=timeout)
        else:
            self._drain()
            info = self._probe(timeout)
        self._speaks_info = True
        return info

    def send_io_spec(self, spec: IoSpec) -> None:
        """Tell what the next model takes and gives. Optional; the device compares it with the model."""
        self._ask(MessageType.IOSPEC, _nothing, spec.encode())

    def load_model(self, vmfb: bytes, progress: Progress | None = None, *, timeout: float | None = None) -> None:
        """Send a compiled model; the device verifies and loads it before it answers.

        ``progress`` is called with (bytes sent, bytes in all); with the extension, these are bytes that the device
        has received whole, and an upload that was interrupted goes on where it stopped, on another link too.
        ``timeout`` starts when all is sent.
        """
        if self.dialect is Dialect.EXTENDED:
            self._upload(vmfb, progress)
            self._ask(MessageType.LOAD, _nothing, timeout=self._compute_limit(timeout))
        else:
            self._ask(MessageType.MODEL, _nothing, vmfb, timeout=self._compute_limit(timeout), progress=progress)

    def infer(self, data: bytes, *, timeout: float | None = None) -> bytes:
        """Run one inference: all inputs' bytes, one after the other, in; all outputs' bytes out.

        ``timeout`` is for the computation alone.
        """
        if self.dialect is Dialect.EXTENDED:
            return self.request(MessageType.INFER, data, timeout=self._compute_limit(timeout))
        self._ask(MessageType.DATA, _nothing, data)
        self._ask(MessageType.PROCESS, _nothing, timeout=self._compute_limit(timeout))
        return self.request(MessageType.OUTPUT)

    def infer_batch(self, inputs: Sequence[bytes], *, timeout: float | None = None) -> list[bytes]:
        """Run several inferences, with the extension in one round trip; ``timeout`` is for all of them together.

        Raises DeviceError when the inputs or the outputs together are more than ``limits`` says.
        """
        if self.dialect is not Dialect.EXTENDED or len(inputs) < 2:
            return [self.infer(data, timeout=timeout) for data in inputs]
        if len({len(data) for data in inputs}) > 1:
            raise LinkError("The inputs of a batch must all have the same size.")
        answer = self.request(MessageType.INFER, b"".join(inputs), timeout=self._compute_limit(timeout))
        size = len(answer) // len(inputs)
        return [answer[at * size : (at + 1) * size] for at in range(len(inputs))]

    def measure(self, data: bytes, *, timeout: float | None = None) -> tuple[bytes, Profile]:
        """Run one inference like `infer`; return its outputs' bytes and what it cost."""
        if self.dialect is Dialect.EXTENDED:
            limit = self._compute_limit(timeout)
            profile, output = self._ask(MessageType.MEASURE, decode_measured, data, timeout=limit)
            return output, profile
        return self.infer(data, timeout=timeout), self.profile()

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
        progress: Progress | None = None,
    ) -> bytes:
        """Send any request and return its answer's payload."""
        if self.dialect is Dialect.EXTENDED:
            return self._request_extended(message_type, payload, self._limit(timeout))
        frame = encode_frame(message_type, payload)
        with self._guard(message_type.name):
            if not self._in_step or self._port.in_waiting:
                self.resynchronise()
        started = time.monotonic()
        self._in_step = False  # until the answer is whole
        self._write(message_type.name, frame, progress)
        # what was written may still wait in buffers, so the line's time comes on top
        answer = self._receive_answer(message_type.name, self._limit(timeout) + self._line_seconds(len(frame)))
        _log.debug(
            "%s (%d bytes): OK (%d bytes) after %.3f s",
            message_type.name,
            len(payload),
            len(answer),
            time.monotonic() - started,
        )
        return answer

    def _request_extended(self, message_type: MessageType, payload: bytes, limit: float) -> bytes:
        try:
            return self._extended.request(message_type, payload, limit)
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
        self._write("raw bytes", data)

    def receive_answer(self, timeout: float | None = None) -> bytes:
        """Wait for an answer that no ``request`` waits for, and return its payload."""
        if self.dialect is Dialect.EXTENDED:
            frame = self._extended.receive(time.monotonic() + self._limit(timeout))
            if frame is None:
                raise LinkTimeout(f"No whole answer to raw bytes came. On the line: {self.report}.{self._diagnosis()}")
            return content((frame[0], frame[2]), "raw bytes")
        return self._receive_answer("raw bytes", self._limit(timeout))

    # The step

    def resynchronise(self, timeout: float | None = None) -> None:
        """Throw away what comes until the line is silent; then, if possible, ask until the answers are in step."""
        self.report.resynchronisations += 1
        self._drain()
        if self._speaks_info and self.dialect is not Dialect.EXTENDED:
            self._probe(timeout)

    def _drain(self) -> None:
        silence = _STALL_SECONDS if self._frame_cut else _SILENCE_SECONDS
        limit = time.monotonic() + _DRAIN_SECONDS
        thrown_away = 0
        silent_since = time.monotonic()
        with self._guard("resynchronisation"):
            while time.monotonic() - silent_since < silence:
                count = len(self._port.read(_CHUNK_BYTES))
                thrown_away += count
                if count:
                    silent_since = time.monotonic()
                if silent_since > limit:
                    raise LinkError(
                        f"{self.url} does not fall silent: {thrown_away} bytes came in {_DRAIN_SECONDS:.0f} s without "
                        "a request. Check the baud rate and that the device runs springbok-bench's firmware."
                    )
        self._frame_cut = False
        self.report.dropped_bytes += thrown_away
        if thrown_away:
            _log.debug("threw %d bytes away to find the step again", thrown_away)

    def _probe(self, timeout: float | None) -> ChipInfo:
        """Ask INFO until its own answer comes; answers to anything else are late, or tell that INFO was not heard."""
        self._in_step = False
        started = time.monotonic()
        info = None
        while info is None:
            self._write("INFO", encode_frame(MessageType.INFO))
            message_type, payload = self._receive_frame("INFO", started, self._limit(timeout))
            if message_type == MessageType.OK:
                with suppress(LinkError):
                    info = ChipInfo.decode(payload)
        self._drain()  # answers to earlier INFOs
        self._in_step = True
        return info

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

    def _write(self, request: str, data: bytes, progress: Progress | None = None) -> None:
        written = 0
        self._written = request
        with self._guard(request):
            try:
                while written < len(data):
                    written += self._port.write(data[written : written + _CHUNK_BYTES])
                    if progress:
                        progress(written, len(data))
            except serial.SerialTimeoutException as error:
                raise LinkTimeout(
                    f"The device stopped taking {request}: {written} of {len(data)} bytes were written, then it took "
                    f"nothing for {self.timeout:g} s.{self._diagnosis()}"
                ) from error
            finally:
                self._frame_cut = written < len(data)

    def _receive_answer(self, request: str, limit: float) -> bytes:
        message_type, payload = self._receive_frame(request, time.monotonic(), limit)
        if message_type not in (MessageType.OK, MessageType.ERROR):
            raise LinkError(
                f"The device answered {request} with message type {message_type}, which is neither OK nor ERROR. "
                "Check that it runs springbok-bench's firmware."
            )
        self._in_step = True
        self.report.requests += 1
        return content((message_type, payload), request)

    def _receive_frame(self, request: str, started: float, limit: float) -> tuple[int, bytes]:
        header = self._read(request, HEADER_BYTES, started + limit)
        if len(header) < HEADER_BYTES:
            raise self._silence(request, limit, f"{len(header)} of the {HEADER_BYTES} bytes of an answer's header")
        try:
            message_type, payload_bytes = decode_header(header)
        except LinkError as error:
            raise LinkError(f"The answer to {request} is malformed: {error}") from error
        limit += self._line_seconds(payload_bytes)
        payload = self._read(request, payload_bytes, started + limit)
        if len(payload) < payload_bytes:
            raise self._silence(
                request, limit, f"the header and {len(payload)} of {payload_bytes} payload bytes of an answer"
            )
        return message_type, payload

    def _read(self, request: str, count: int, deadline: float) -> bytes:
        """Return ``count`` bytes, never more, or fewer when the time is over."""
        data = bytearray()
        with self._guard(request):
            while len(data) < count and time.monotonic() < deadline:
                data += self._port.read(count - len(data))
        return bytes(data)

    def _read_part(self, count: int, deadline: float) -> bytes:
        return self._read(self._written, count, deadline)

    def _limit(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout

    def _compute_limit(self, timeout: float | None) -> float:
        return self.compute_timeout if timeout is None else timeout

    def _line_seconds(self, count: int) -> float:
        """Return twice the time that a line at the baud rate needs for so many bytes of 10 bits."""
        return 20 * count / self._port.baudrate

    def _silence(self, request: str, waited: float, came: str) -> LinkTimeout:
        return LinkTimeout(f"No whole answer to {request} within {waited:.1f} s: {came} came.{self._diagnosis()}")

    def _diagnosis(self) -> str:
        if self._diagnose is None:
            return ""
        try:
            return f"\n{self._diagnose()}"
        except Exception as error:  # whatever it is, it must not hide the time-out
            return f"\nThe diagnosis failed too: {error}"

    @contextmanager
    def _guard(self, request: str) -> Iterator[None]:
        """Turn what pyserial raises when a connection is lost into a LinkError."""
        try:
            yield
        except (serial.SerialException, OSError) as error:
            raise LinkError(
                f"The connection to {self.url} was lost during {request}: {error}. Open the link anew; if the device "
                f"was restarted, its model must be loaded again.{self._diagnosis()}"
            ) from error


def _nothing(answer: bytes) -> None:
    if answer:
        raise LinkError(f"it should be empty but carries {len(answer)} bytes: it may belong to an earlier request.")


def _advice(url: str) -> str:
    if "://" in url:
        return "Check the URL, e.g. socket://localhost:3456, and that the simulator runs and listens there."
    return "Check that the device is plugged in, that you may use it, and that no other program has it open."
