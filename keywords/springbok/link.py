# SPDX-License-Identifier: Apache-2.0
"""The dialogue with the firmware over a serial line: one request, one answer, every wait bounded.

The line may be a port (``/dev/ttyUSB0``), a pseudo-terminal, or a socket (``socket://localhost:3456``).

    with Link("socket://localhost:3456") as link:
        link.load_model(Path("gestures.vmfb").read_bytes())
        output = link.infer(recording.tobytes())

The protocol has no sequence numbers, so a late answer looks like the answer to the next request. After anything
irregular the link is therefore *out of step*: before the next request it waits for silence and, when the firmware
is known to understand INFO, asks until the answer is one that only INFO has.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import serial

from springbok.errors import DeviceError, LinkError, LinkTimeout
from springbok.protocol import (
    HEADER_BYTES,
    ChipInfo,
    ErrorAnswer,
    IoSpec,
    MessageType,
    Profile,
    Statistics,
    decode_header,
    encode_frame,
)

Progress = Callable[[int, int], None]
Decoded = TypeVar("Decoded")

COMPUTE_SECONDS = 60.0  # default time limit of what the device computes for: loading a model, an inference

_POLL_SECONDS = 0.05
_CHUNK_BYTES = 1024  # a chunk takes 0.1 s at 115200 baud
_SILENCE_SECONDS = 0.2
_STALL_SECONDS = 1.5  # the firmware gives a cut frame up after 1 s
_DRAIN_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Link:
    """An open line to the firmware. Use it as a context manager, or call ``close``.

    url       port or pyserial URL
    baudrate  of a real port; simulators ignore it
    timeout   seconds that the device may take for an answer, and for taking a chunk of a request
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
        diagnose: Callable[[], str] | None = None,
    ) -> None:
        self.url = url
        self.timeout = timeout
        self._diagnose = diagnose
        self._in_step = True
        self._frame_cut = False  # a request was not written to its end
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
        """Close the line. Harmless when it is closed."""
        self._port.close()

    # Requests

    def chip_info(self, timeout: float | None = None) -> ChipInfo:
        """Ask what the firmware and the chip are. A firmware of 2023 does not know this request."""
        if self._in_step:
            info = self._ask(MessageType.INFO, ChipInfo.decode, timeout=timeout)
        else:
            self._drain()
            info = self._probe(timeout)
        self._speaks_info = True
        return info

    def send_io_spec(self, spec: IoSpec) -> None:
        """Tell what the next model takes and gives. Optional; the device compares it with the model."""
        self._ask(MessageType.IOSPEC, _nothing, spec.encode())

    def load_model(
        self, vmfb: bytes, progress: Progress | None = None, *, timeout: float | None = COMPUTE_SECONDS
    ) -> None:
        """Send a compiled model; the device verifies and loads it before it answers.

        ``progress`` is called with (bytes sent, bytes in all); ``timeout`` starts when all is sent.
        """
        self._ask(MessageType.MODEL, _nothing, vmfb, timeout=timeout, progress=progress)

    def infer(self, data: bytes, *, timeout: float | None = COMPUTE_SECONDS) -> bytes:
        """Run one inference: all inputs' bytes, one after the other, in; all outputs' bytes out.

        ``timeout`` is for the computation alone.
        """
        self._ask(MessageType.DATA, _nothing, data)
        self._ask(MessageType.PROCESS, _nothing, timeout=timeout)
        return self.request(MessageType.OUTPUT)

    def statistics(self) -> Statistics:
        """Ask for the memory of the model's tensors."""
        return self._ask(MessageType.STATS, Statistics.decode)

    def profile(self) -> Profile:
        """Ask what the last inference and the load cost. A firmware of 2023 does not know this request."""
        return self._ask(MessageType.PROFILE, Profile.decode)

    def unload(self) -> None:
        """Make the device drop its model. A firmware of 2023 does not know this request."""
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

    # For tests of the firmware's robustness

    def send_raw(self, data: bytes) -> None:
        """Write bytes as they are, a frame or not. The next request finds the step again by itself."""
        self._in_step = False
        self._write("raw bytes", data)

    def receive_answer(self, timeout: float | None = None) -> bytes:
        """Wait for an answer that no ``request`` waits for, and return its payload."""
        return self._receive_answer("raw bytes", self._limit(timeout))

    # The step

    def resynchronise(self, timeout: float | None = None) -> None:
        """Throw away what comes until the line is silent; then, if possible, ask until the answers are in step."""
        self._drain()
        if self._speaks_info:
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
        if message_type == MessageType.ERROR:
            error = ErrorAnswer.decode(payload)
            raise DeviceError(error.code, error.name, error.message, request)
        return payload

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

    def _limit(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout

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
