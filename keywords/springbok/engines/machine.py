# SPDX-License-Identifier: Apache-2.0
"""What simulated chips share that are processes of their own: the dialogue with the parent, the UART's line, sleeping.

A machine is driven by JSON lines on an inherited socket, one request a line, and ends at once when that socket is
closed. Everything happens in one thread. The parent's side is `springbok.engines.machine_engine`.
"""

from __future__ import annotations

import base64
import faulthandler
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from springbok.chips.chip import Chip
from springbok.devices.interface import Uart, Warnings
from springbok.devices.springbok_control.model import ControlBlock, Interrupt
from springbok.engines.serial_line import PtyLine, SocketLine
from springbok.engines.windows import WindowCounter

# How long one sleep lasts while the core polls.
SHORTEST_SLEEP, LONGEST_SLEEP = 0.001, 0.020
HALTED_SLEEP = 1.0


class Machine(ABC):
    """A chip and the requests that come from the parent: what `request` asks for is a method ``_do_request``.

    A machine makes its devices, then says by `_connect` which serve what the dialogue needs.
    """

    uart: Any
    _windows: WindowCounter | None

    def __init__(self, control: socket.socket, parent: int, chip: Chip) -> None:
        self._channel = control
        self._channel.setblocking(False)
        self._received = b""
        self._request: dict | None = None
        self._parent = parent
        self._chip = chip
        self.warnings = Warnings()
        self._paused = False
        self._sleep = SHORTEST_SLEEP
        self._idle_turns = 0
        self._poller = select.poll()
        self._interests: dict[int, int] = {}
        self._line: SocketLine | PtyLine | None = None

    def _connect(self, served: Mapping[str, Any], start_core: Callable[[int | None], None]) -> None:
        """Take the devices by what they serve; ``start_core`` is what a control block would call."""
        self.uart = served["uart"]
        self._clint = served.get("timer")
        self._i2c = served.get("i2c")
        # A chip without a control block is started and stopped by a host all the same.
        self._control_block = served.get("control") or ControlBlock(self.warnings, start_core)

    @abstractmethod
    def run(self, line: SocketLine | PtyLine) -> None:
        """Wait for the start, then run the core until the parent is gone."""

    # ---- Being halted, sleeping

    @property
    @abstractmethod
    def _halted(self) -> bool:
        """Whether the core stands still until a request changes that."""

    def _wait_while_halted(self) -> None:
        while self._halted:
            self._serve(HALTED_SLEEP)
            self._answer_requests()

    def _sleep_a_slice(self) -> int:
        """Sleep until something comes from outside, the timer is due, or a while is over; nanoseconds."""
        start = time.monotonic_ns()
        self._idle_turns += 1
        left = self._clint.seconds_left() if self._clint else 0
        if self._serve(min(self._sleep, left) if left > 0 else self._sleep):
            self._sleep = SHORTEST_SLEEP
        else:
            self._sleep = min(2 * self._sleep, LONGEST_SLEEP)
        return time.monotonic_ns() - start

    # ---- The outside: UART line and requests

    def _serve(self, timeout: float) -> bool:
        """Wait until something happens outside and deal with it; False if nothing did."""
        self._line.flush()
        wanted = {self._channel.fileno(): select.POLLIN, **self._line.interests()}
        if wanted != self._interests:
            for descriptor in self._interests.keys() - wanted.keys():
                self._poller.unregister(descriptor)
            for descriptor, events in wanted.items():
                self._poller.register(descriptor, events)
            self._interests = wanted
        ready = dict(self._poller.poll(timeout * 1000))
        if ready.pop(self._channel.fileno(), 0):
            self._read_channel()
        self._serve_line(ready)
        if os.getppid() != self._parent:
            os._exit(0)
        return bool(ready) or self._request is not None

    def on_client(self, client: int, listener: int) -> None:  # noqa: B027 (may do nothing)
        """A client has come to the line, or gone: see `SocketLine`."""

    def _serve_line(self, ready: dict[int, int]) -> None:
        self._line.serve(ready)

    def _read_channel(self) -> None:
        try:
            content = self._channel.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content:
            os._exit(0)  # the parent is gone
        self._received += content
        if self._request is None:
            self._next_request()

    def _next_request(self) -> None:
        line, newline, rest = self._received.partition(b"\n")
        self._request = None
        if newline:
            self._request, self._received = json.loads(line), rest

    def _answer_requests(self) -> None:
        while self._request is not None:
            request = self._request
            action: Callable[..., object] = getattr(self, "_do_" + request.pop("do"))
            number = request.pop("number")
            self._reply({"number": number, "result": action(**request)})
            self._next_request()

    def _reply(self, message: dict) -> None:
        self._channel.setblocking(True)
        self._channel.sendall(json.dumps(message).encode() + b"\n")
        self._channel.setblocking(False)

    def announce(self) -> None:
        """Tell the parent that the machine is built."""
        self._reply({"number": 0, "result": None})

    # ---- Requests

    @abstractmethod
    def _read(self, address: int, count: int) -> bytes:
        """Bytes of the chip's memory, as a host reads them."""

    @abstractmethod
    def _write(self, address: int, content: bytes) -> None:
        """Write the chip's memory, as a host does."""

    def _do_pause(self) -> None:
        self._paused = True

    def _do_resume(self) -> None:
        self._paused = False

    def _do_feed(self, samples: list[tuple[int, int, int]]) -> None:
        self._i2c.accelerometer.feed(samples)

    def _do_read(self, address: int, count: int) -> str:
        return base64.b64encode(self._read(address, count)).decode()

    def _do_write(self, address: int, content: str) -> None:
        self._write(address, base64.b64decode(content))

    @abstractmethod
    def _do_counters(self) -> dict[str, int]: ...

    @abstractmethod
    def _do_registers(self) -> dict[str, int]: ...

    def _do_counts(self) -> dict | None:
        return None if self._windows is None else self._windows.take().as_json()

    def _do_state(self) -> dict:
        """What `MachineEngine.diagnose` makes a sentence of."""
        return {
            "registers": self._do_registers(),
            "instructions": self._do_counters()["instructions"],
            "idle_turns": self._idle_turns,
            "waits_for_interrupt": False,
            "paused": self._paused,
            "host_request": False,
            "exit_code": None,
            "halted": self._control_block.halted,
            "faults": int(self._control_block.interrupt_state & (Interrupt.INSTRUCTION_FAULT | Interrupt.DATA_FAULT)),
            "place": self._windows.place if self._windows else "",
        }


def serve(machine: Machine, options: Mapping[str, Any], uart: Uart) -> None:
    """Open the UART's line, tell the parent that the machine is built, and run it. Does not return."""
    if options["uart"] == "pty":
        line = PtyLine(options["line"], uart)
    else:
        line = SocketLine(socket.socket(fileno=options["line"]), uart, machine.warnings, machine.on_client)
    machine.announce()
    signal.signal(signal.SIGABRT, signal.SIG_DFL)  # Spike has a function for it, after which no signal is told
    faulthandler.enable()  # functions of a chip's description may end this process
    try:
        machine.run(line)
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)
