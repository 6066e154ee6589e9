# SPDX-License-Identifier: Apache-2.0
"""What a device's model is to a simulator, and a simulator to it. Plain Python without a simulator.

A model has ``SIZE`` (bytes of its registers on the bus), ``read(offset) -> int`` and ``write(offset, value)`` for its
32-bit registers; or, where it is memory, ``load(offset, count) -> bytes`` and ``store(offset, content)``. What a real
device or Renode's model would refuse is refused here too, with a warning, so that
firmware which works here works there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Warn = Callable[[str], None]
#: A setting that a device can't have, and why.
Problem = tuple[str, str] | None
#: Drivers compute a clock's divisor in 32 bits.
MOST_HZ = 1_000_000_000


class Warnings:
    """Warnings of all devices; one that repeats is counted, not repeated.

    >>> warnings = Warnings()
    >>> warnings("UART: off"); warnings("UART: off")
    >>> warnings.lines()
    ['UART: off (2 times)']
    """

    LIMIT = 100

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __call__(self, text: str) -> None:
        if text in self._counts or len(self._counts) < self.LIMIT:
            self._counts[text] = self._counts.get(text, 0) + 1

    def lines(self) -> list[str]:
        return [text if count == 1 else f"{text} ({count} times)" for text, count in self._counts.items()]


@dataclass(frozen=True)
class Surroundings:
    """What a simulator gives its devices.

    ``on_polling`` is called when the core asks a device again and again and nothing happens, so that the simulator can
    sleep until something does. ``now(hz)`` is the chip's time in ticks of that frequency. ``on_interrupts`` is called
    when the lines of the CLINT may have changed, ``on_start`` with the offset in the memory that the core starts from
    (None: where it stopped) when something lets the core go or holds it. Without ``sensor`` the I2C bus is empty.
    ``copy(source, destination, count)`` copies as a host does over the bus, also to where the core may not write.
    """

    warn: Warn
    on_polling: Callable[[], None] = lambda: None
    now: Callable[[int], int] = lambda hz: 0
    on_interrupts: Callable[[], None] = lambda: None
    on_start: Callable[[int | None], None] = lambda start: None
    sensor: bool = True
    copy: Callable[[int, int, int], None] | None = None


class Model(Protocol):
    """A device on the bus."""

    SIZE: int

    def read(self, offset: int) -> int:
        """Give the register at an offset, which is a multiple of 4."""

    def write(self, offset: int, value: int) -> None:
        """Change the register at an offset, which is a multiple of 4."""


class Uart:
    """What all UARTs have in common: two buffers between the core and a line.

    ``received`` holds bytes for the core, ``to_send`` bytes of the core; whoever drives the line fills and empties
    them. A real FIFO is a few bytes deep. The line's buffers are bigger: the simulator hands bytes over in bursts.
    """

    BUFFER_BYTES = 0x10000
    POLLS_BEFORE_IDLE = 16
    FULL = ""  # what tells the core that there is no room

    def __init__(self, warn: Warn, on_polling: Callable[[], None] = lambda: None) -> None:
        self._warn = warn
        self._on_polling = on_polling
        self.received: deque[int] = deque()
        self.to_send = bytearray()
        self.polls = 0

    @property
    def receiving(self) -> bool:
        """Whether the receiver is on; while it is off, bytes wait on the line."""
        raise NotImplementedError

    # The line's side

    @property
    def waiting(self) -> int:
        """Bytes that the core has not taken yet."""
        return len(self.received)

    def receive(self, content: bytes) -> None:
        """Take bytes from the line."""
        self.received.extend(content)

    def sending(self) -> bytes | bytearray:
        """What the core has sent and the line has not taken yet."""
        return self.to_send

    def sent(self, count: int) -> None:
        """The line took the first ``count`` of them."""
        del self.to_send[:count]

    # The core's side

    def _polled(self) -> None:
        self.polls += 1
        if self.polls > self.POLLS_BEFORE_IDLE:
            self._on_polling()

    def _take_byte(self) -> int:
        self.polls = 0
        if not self.received:
            self._warn("UART: data register read while the receive FIFO is empty")
            return 0
        return self.received.popleft()

    def _give_byte(self, value: int) -> None:
        self.polls = 0
        if len(self.to_send) >= self.BUFFER_BYTES:
            self._warn(f"UART: byte lost, it was written while the transmit FIFO was full ({self.FULL})")
            return
        self.to_send.append(value & 0xFF)


def line_rate_problem(settings: dict[str, int], divisor: Callable[[int, int], int], values: range) -> Problem:
    """Why a UART can't have its ``baud`` from its ``clock_hz``; ``divisor`` is what its driver sets, of ``values``.

    >>> line_rate_problem({"clock_hz": 24_000_000, "baud": 115_200}, lambda clock, baud: clock // baud, range(16, 999))
    >>> line_rate_problem({"clock_hz": 1_000_000, "baud": 115_200}, lambda clock, baud: clock // baud, range(16, 999))
    ('baud', "baud 115,200 can't be had from clock_hz 1,000,000: its divisor would be 8, and is from 16 to 998")
    """
    clock, baud = settings["clock_hz"], settings["baud"]
    if not 1 <= clock <= MOST_HZ:
        return "clock_hz", f"clock_hz is from 1 to {MOST_HZ:,}, not {clock:,}"
    if not baud:
        return "baud", "baud is 1 or more"
    found = divisor(clock, baud)
    if found in values:
        return None
    why = f"its divisor would be {found:,}, and is from {values[0]:,} to {values[-1]:,}"
    return "baud", f"baud {baud:,} can't be had from clock_hz {clock:,}: {why}"
