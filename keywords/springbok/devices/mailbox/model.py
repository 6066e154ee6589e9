# SPDX-License-Identifier: Apache-2.0
"""Memory that the core and a host share, for chips without a UART: two rings of bytes, and a request to place code.

It is plain memory on the chip. Each word is written by one side alone; a host that reaches the chip's bus (a debugger,
another processor) serves it by the same rules as this model does:

0x00  ready        of the core: `READY`, once it listens
0x04  to_chip_head  of the host: bytes put into the ring for the core, modulo 2^32
0x08  to_chip_tail  of the core: bytes taken out of it
0x0C  to_host_head  of the core: bytes put into the ring for the host
0x10  to_host_tail  of the host: bytes taken out of it
0x14  source, destination, bytes  of the core: what the host shall copy, over the bus
0x20  asked         of the core: how many copies it has asked for
0x24  done          of the host: how many it has made
0x400 ring for the core, 0x800 ring for the host, `RING` bytes each
"""

from __future__ import annotations

from collections.abc import Callable

from springbok.devices.interface import Surroundings, Uart, Warn

STATE, TO_CHIP_HEAD, TO_CHIP_TAIL, TO_HOST_HEAD, TO_HOST_TAIL = range(0x00, 0x14, 4)
SOURCE, DESTINATION, BYTES, ASKED, DONE = range(0x14, 0x28, 4)
TO_CHIP, TO_HOST, RING = 0x400, 0x800, 0x400
READY = 0x4D61696C

Copy = Callable[[int, int, int], None]


class Mailbox(Uart):
    """The shared memory, and the host's side of it. ``copy(source, destination, count)`` copies on the chip's bus."""

    NAME = "mailbox"
    SIZE = 0x1000

    def __init__(self, warn: Warn, on_polling: Callable[[], None] = lambda: None, copy: Copy | None = None) -> None:
        super().__init__(warn, on_polling)
        self._copy = copy
        self._memory = bytearray(self.SIZE)

    @property
    def receiving(self) -> bool:
        return self._word(STATE) == READY

    def load(self, offset: int, count: int) -> bytes:
        """What the core reads."""
        if offset == TO_CHIP_HEAD:
            self._polled()
            self._fill()
        elif offset == TO_HOST_TAIL:
            self._drain()
        return bytes(self._memory[offset : offset + count])

    def store(self, offset: int, content: bytes) -> None:
        """What the core writes."""
        if offset in (TO_CHIP_HEAD, TO_HOST_TAIL, DONE):
            self._warn(f"mailbox: the core wrote 0x{offset:x}, which is the host's")
            return
        self._memory[offset : offset + len(content)] = content
        if offset == TO_HOST_HEAD:
            self.polls = 0
            self._drain()
        elif offset == ASKED:
            self._place()

    def _word(self, offset: int) -> int:
        return int.from_bytes(self._memory[offset : offset + 4], "little")

    def _set_word(self, offset: int, value: int) -> None:
        self._memory[offset : offset + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")

    def _waiting(self, head: int, tail: int) -> int:
        """Bytes in a ring."""
        return self._word(head) - self._word(tail) & 0xFFFFFFFF

    def _fill(self) -> None:
        head = self._word(TO_CHIP_HEAD)
        for _ in range(min(len(self.received), RING - self._waiting(TO_CHIP_HEAD, TO_CHIP_TAIL))):
            self._memory[TO_CHIP + head % RING] = self.received.popleft()
            head += 1
            self.polls = 0
        self._set_word(TO_CHIP_HEAD, head)

    def _drain(self) -> None:
        count = self._waiting(TO_HOST_HEAD, TO_HOST_TAIL)
        if count > RING:
            self._warn(f"mailbox: {count} bytes in a ring of {RING}: some were lost")
        tail = self._word(TO_HOST_TAIL)
        for _ in range(min(count, self.BUFFER_BYTES - len(self.to_send))):
            self.to_send.append(self._memory[TO_HOST + tail % RING])
            tail += 1
        self._set_word(TO_HOST_TAIL, tail)

    def _place(self) -> None:
        if self._copy is None:
            self._warn("mailbox: no host copies here")
            return
        self._copy(self._word(SOURCE), self._word(DESTINATION), self._word(BYTES))
        self._set_word(DONE, self._word(ASKED))


SERVES = "uart"
PLACES_CODE = True
SETTINGS: dict[str, int] = {}


def create(surroundings: Surroundings, settings: dict[str, int]) -> Mailbox:
    """The device of a chip's description."""
    del settings
    return Mailbox(surroundings.warn, surroundings.on_polling, surroundings.copy)
