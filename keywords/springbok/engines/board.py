# SPDX-License-Identifier: Apache-2.0
"""A board at a serial port, or anything else that runs the firmware behind a URL. It can only be talked to."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from springbok.chips.chip import Chip
from springbok.chips.description import load
from springbok.engines.base import Engine
from springbok.support.errors import EngineError, SimulatorNeeded


class BoardEngine(Engine):
    """A board that runs the firmware already.

    port      what pyserial opens: ``/dev/ttyUSB0``, a pty, ``socket://host:port``
    baudrate  of a real port
    vlen      what the suite expects of the chip; `Session.boot` compares it with what the chip says
    uart      ignored: a board has the line that it has

    Whatever looks into a chip raises SimulatorNeeded, which makes Robot Framework skip the test.
    """

    name = "serial"
    is_simulated = False

    def __init__(
        self,
        firmware: Path,
        *,
        port: str | None = None,
        baudrate: int = 115200,
        chip: Chip | None = None,
        vlen: int | None = None,
        uart: str = "",
    ) -> None:
        del firmware, uart
        vlen = (chip or load()).vlen if vlen is None else vlen
        if not port:
            raise EngineError("Engine 'serial' needs the port that the board is at, for instance --port /dev/ttyUSB0.")
        self._port = port
        self._baudrate = baudrate
        self._vlen = vlen

    @property
    def version(self) -> str:
        return "board"

    @property
    def uart_url(self) -> str:
        return self._port

    @property
    def link_options(self) -> dict[str, object]:
        """See :class:`Engine`."""
        return {"baudrate": self._baudrate}

    def start(self) -> None:
        """The board runs already."""

    def close(self) -> None:
        """The board goes on running."""

    def check_vlen(self, vlen_bits: int) -> None:
        """Compare the chip's own VLEN with what the suite needs."""
        if vlen_bits != self._vlen:
            _need_simulator(f"a chip with VLEN {self._vlen}, and the board's has {vlen_bits}")

    def reset(self) -> NoReturn:
        _need_simulator("a power-on reset")

    def pause(self) -> NoReturn:
        _need_simulator("to halt the core")

    def resume(self) -> NoReturn:
        _need_simulator("to let a halted core go on")

    def read_memory(self, address: int, count: int) -> NoReturn:
        _need_simulator("to read the chip's memory")

    def write_memory(self, address: int, content: bytes) -> NoReturn:
        _need_simulator("to write the chip's memory")

    def feed_accelerometer(self, samples: list[tuple[int, int, int]]) -> NoReturn:
        _need_simulator("to move the chip's accelerometer")

    def counters(self) -> NoReturn:
        _need_simulator("a simulator's counters")

    def registers(self) -> NoReturn:
        _need_simulator("to read the core's registers")

    def take_counts(self) -> None:
        """A board counts nothing from outside; its firmware's own profile is what there is."""

    def diagnose(self) -> str:
        return "It is a board: what its core does can't be seen from here. Is it powered and running the firmware?"

    def console(self) -> NoReturn:
        _need_simulator("a simulator's console")


def _need_simulator(what: str) -> NoReturn:
    raise SimulatorNeeded(f"This needs {what}: it can't be done with a board. Use --engine spike.")
