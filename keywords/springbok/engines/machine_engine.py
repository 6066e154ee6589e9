# SPDX-License-Identifier: Apache-2.0
"""What engines share whose chip is a process of its own: the UART's outer end, starts and resets, requests."""

from __future__ import annotations

import base64
import os
import socket
import tty
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.engines.base import Counts, Engine
from springbok.engines.core_state import describe
from springbok.engines.elf import Executable, read_executable
from springbok.engines.machine_process import MachineProcess
from springbok.support.errors import EngineError

MEMORY_CHUNK_BYTES = 0x10000
UARTS = ("socket", "pty")
STATE_SAMPLES = 4


class MachineEngine(Engine):
    """A chip that `MachineProcess` simulates, as a `springbok.engines.machine.Machine`.

    An engine says in `_prepare` what it needs before it starts, and makes its process in `_make_machine`.

    Raises EngineError for a wrong option at once, for everything else in `start`.
    """

    def __init__(
        self, firmware: Path, chip: Chip, vlen: int | None, uart: str, sensor: bool, count_sites: bool
    ) -> None:
        self._vlen = chip.vlen if vlen is None else vlen
        chip.check_vlen(self._vlen)
        if uart not in UARTS:
            raise EngineError(f"There is no UART connection '{uart}': choose one of {', '.join(UARTS)}.")
        self._firmware = Path(firmware)
        self._chip = chip
        self._uart = uart
        self._sensor = sensor
        self._counting_sites = count_sites
        self._executable: Executable | None = None
        self._line: socket.socket | int | None = None
        self._url: str | None = None
        self._machine: MachineProcess | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Get what the process needs; called once a start, before anything is open."""

    @abstractmethod
    def _make_machine(self, line: int, options: dict[str, object]) -> MachineProcess:
        """Start the process, with the UART's descriptor and the options that all machines have."""

    @property
    def uart_url(self) -> str:
        if self._url is None:
            raise EngineError("The chip is not started: it has no UART yet. Call start first.")
        return self._url

    def start(self) -> None:
        if self._machine is not None:
            raise EngineError("The chip runs already. Use reset to restart it.")
        self._prepare()
        self._executable = read_executable(self._firmware, self._chip)
        try:
            self._open_line()
            self._power_on()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._power_off()
        line, self._line, self._url = self._line, None, None
        if isinstance(line, socket.socket):
            line.close()
        elif line is not None:
            os.close(line)

    def reset(self) -> None:
        self._need_machine()
        self._power_off()
        try:
            self._power_on()
        except BaseException:
            self.close()
            raise

    def pause(self) -> None:
        self._request("pause")

    def resume(self) -> None:
        self._request("resume")

    @property
    def halted(self) -> bool:
        """Whether the core stands still, held in reset: by its program's end, for instance."""
        return self._request("state")["halted"]

    def release(self) -> None:
        """Let a core go on that has halted by itself, as a host does that takes its reset away."""
        self._request("boot")

    def read_memory(self, address: int, count: int) -> bytes:
        """Return ``count`` bytes from ``address`` on; at once only while the core is paused.

        Raises EngineError for an address where the chip has no memory.
        """
        self._chip.check_memory(address, count)
        chunks = (
            self._request("read", address=start, count=min(MEMORY_CHUNK_BYTES, address + count - start))
            for start in range(address, address + count, MEMORY_CHUNK_BYTES)
        )
        return b"".join(base64.b64decode(chunk) for chunk in chunks)

    def write_memory(self, address: int, content: bytes) -> None:
        """Write bytes from ``address`` on; at once only while the core is paused.

        Raises EngineError for an address where the chip has no memory.
        """
        self._chip.check_memory(address, len(content))
        for offset in range(0, len(content), MEMORY_CHUNK_BYTES):
            chunk = base64.b64encode(content[offset : offset + MEMORY_CHUNK_BYTES]).decode()
            self._request("write", address=address + offset, content=chunk)

    def feed_accelerometer(self, samples: list[tuple[int, int, int]]) -> None:
        self._need_sensor(self._sensor)
        self._request("feed", samples=samples)

    def counters(self) -> dict[str, int]:
        return self._request("counters")

    def idle_turns(self) -> int:
        return self._request("state")["idle_turns"]

    def registers(self) -> dict[str, int]:
        return self._request("registers")

    def take_counts(self) -> Counts | None:
        answer = self._request("counts")
        if answer is None:
            return None
        counts = Counts.from_json(answer)
        return replace(counts, runtime_functions=self._executable.by_function(counts.runtime))

    def console(self) -> list[str]:
        return self._request("console")

    def diagnose(self) -> str:
        if self._machine is None:
            return "The chip is not started."
        try:
            samples = [self._request("state") for _ in range(STATE_SAMPLES)]
        except EngineError as error:
            return str(error)
        return self._describe(samples)

    # ---- Inside

    def _describe(self, samples: list[dict]) -> str:
        """A sentence on what the core does, by states one after the other."""
        return describe(samples, self._executable)

    def _open_line(self) -> None:
        """Open the UART's outer end. It is the parent's, so that it outlives the machine over a reset."""
        if self._uart == "pty":
            self._line, slave = os.openpty()
            tty.setraw(slave)
            self._url = os.ttyname(slave)
            os.close(slave)
        else:
            self._line = socket.create_server(("127.0.0.1", 0), backlog=4)
            self._url = f"socket://127.0.0.1:{self._line.getsockname()[1]}"

    def _power_on(self) -> None:
        line = self._line if isinstance(self._line, int) else self._line.fileno()
        options = {
            "line": line,
            "uart": self._uart,
            "chip": self._chip.as_json(),
            "vlen": self._vlen,
            "sensor": self._sensor,
            "sites": self._counting_sites,
        }
        self._machine = self._make_machine(line, options)
        self._machine.wait_until_built()
        for address, content in self._executable.segments:
            self.write_memory(address, content)
        self._request("boot")

    def _power_off(self) -> None:
        machine, self._machine = self._machine, None
        if machine is not None:
            machine.end()

    def _need_machine(self) -> MachineProcess:
        if self._machine is None:
            raise EngineError("The chip is not started. Call start first.")
        return self._machine

    def _request(self, action: str, **arguments: object):
        return self._need_machine().request(action, arguments)
