# SPDX-License-Identifier: Apache-2.0
"""pyserial's handler of ``renode://`` URLs: the chip's UART in Renode, in virtual time.

Virtual time stands still, and runs only while a client reads: until the bytes that it asked for are there, or its
time limit is over, which is virtual time too. So the chip sees the same line however loaded this machine is.
"""

from __future__ import annotations

from itertools import count
from typing import Protocol
from weakref import WeakValueDictionary

import serial

READ_CHUNK_BYTES = 4096
WRITE_CHUNK_BYTES = 4096
FOREVER_MILLISECONDS = 1000


class Monitor(Protocol):
    """What executes Renode's commands."""

    def execute(self, command: str, quiet: bool = False) -> str: ...


_engines: WeakValueDictionary[str, Monitor] = WeakValueDictionary()
_numbers = count(1)


def register(engine: Monitor) -> str:
    """Return the URL of this engine's UART, for ``serial.serial_for_url``."""
    package = __package__ or "springbok.engines"
    if package not in serial.protocol_handler_packages:
        serial.protocol_handler_packages.append(package)
    url = f"renode://{next(_numbers)}"
    _engines[url] = engine
    return url


class Serial(serial.SerialBase):
    """The line; what pyserial expects of a port. Control lines and the baud rate mean nothing here."""

    def open(self) -> None:
        engine = _engines.get(self.portstr)
        if engine is None:
            raise serial.SerialException(f"there is no running chip with the UART {self.portstr}")
        self._engine = engine
        self._received = bytearray()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    @property
    def in_waiting(self) -> int:
        self._receive(READ_CHUNK_BYTES, 0)
        return len(self._received)

    def read(self, size: int = 1) -> bytes:
        """Return ``size`` bytes, or fewer when ``timeout`` seconds of virtual time are over."""
        milliseconds = FOREVER_MILLISECONDS if self.timeout is None else max(0, round(1000 * self.timeout))
        if len(self._received) < size:
            self._receive(size - len(self._received), milliseconds)
        answer = bytes(self._received[:size])
        del self._received[:size]
        return answer

    def write(self, data: bytes) -> int:
        content = bytes(data)
        for start in range(0, len(content), WRITE_CHUNK_BYTES):
            self._execute(f'line Send "{content[start : start + WRITE_CHUNK_BYTES].hex()}"')
        return len(content)

    def flush(self) -> None:
        """Everything was delivered when `write` returned."""

    def reset_input_buffer(self) -> None:
        self._receive(READ_CHUNK_BYTES, 0)
        self._received.clear()

    def reset_output_buffer(self) -> None:
        """Nothing waits."""

    def _receive(self, size: int, milliseconds: int) -> None:
        self._received += bytes.fromhex(self._execute(f"line Receive {size} {milliseconds}"))

    def _execute(self, command: str) -> str:
        if not self.is_open:
            raise serial.PortNotOpenError()
        try:
            return self._engine.execute(command, quiet=True)
        except Exception as error:
            raise serial.SerialException(f"Renode: {error}") from error

    def _reconfigure_port(self) -> None:
        """Nothing to configure."""

    _update_break_state = _update_rts_state = _update_dtr_state = _reconfigure_port
