# SPDX-License-Identifier: Apache-2.0
"""The default engine: Spike, the RISC-V reference simulator, with Springbok's devices around its core.

The machine itself is `springbok.engines.spike_machine`, a process of its own; this is the parent's side.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import threading
import tty
import weakref
from pathlib import Path

from springbok.chips.chip import SPIKE_VERSION, Chip
from springbok.chips.description import load
from springbok.engines import spike_python
from springbok.engines.base import Counts, DispatchCounts, Engine, InferenceCounts, Lanes, VectorConfiguration
from springbok.engines.core_state import describe
from springbok.engines.elf import Executable, read_executable
from springbok.support.errors import EngineError
from springbok.support.supervisor import Allowance

# Of the simulator's processor time, or of waiting: a loaded computer changes nothing.
START_LIMIT_SECONDS = 60.0
ANSWER_LIMIT_SECONDS = 20.0
LOOK_SECONDS = 1.0
MEMORY_CHUNK_BYTES = 0x10000
STDERR_TAIL_BYTES = 600
UARTS = ("socket", "pty")

STATE_SAMPLES = 4


class SpikeEngine(Engine):
    """A chip on Spike, with one firmware, its UART on a TCP socket or a pty.

    ``chip`` is Springbok unless given, ``vlen`` the bits of a vector register, 0 is a core without vectors. ``uart`` is
    ``socket`` (on 127.0.0.1, a free port) or ``pty``. Without ``count_opcodes`` the core runs at full speed inside
    inferences too and `take_counts` returns None. Without ``sensor`` there is no accelerometer on its I2C bus,
    without ``protection`` neither user mode nor physical memory protection.

    The core comes up halted; `start` releases it as a host processor would, by writing 0 to the Control register.
    Time on the chip is what the core executes at 100 MIPS, plus the time that it sleeps for want of work.

    >>> with SpikeEngine(Path("firmware.elf")) as chip:  # doctest: +SKIP
    ...     port = serial.serial_for_url(chip.uart_url)

    Raises EngineError for a wrong option at once, for everything else in `start`.
    """

    name = "spike"

    def __init__(
        self,
        firmware: Path,
        *,
        chip: Chip | None = None,
        vlen: int | None = None,
        uart: str = "socket",
        count_opcodes: bool = True,
        sensor: bool = True,
        protection: bool = True,
    ) -> None:
        chip = chip or load()
        vlen = chip.vlen if vlen is None else vlen
        chip.check_vlen(vlen)
        if uart not in UARTS:
            raise EngineError(f"There is no UART connection '{uart}': choose one of {', '.join(UARTS)}.")
        self._firmware = Path(firmware)
        self._chip = chip
        self._vlen = vlen
        self._uart = uart
        self._counting = count_opcodes
        self._sensor = sensor
        self._protection = protection
        self._executable: Executable | None = None
        self._line: socket.socket | int | None = None
        self._url: str | None = None
        self._machine: _Machine | None = None

    @property
    def version(self) -> str:
        """Version of the Python package that Spike comes in."""
        return SPIKE_VERSION

    @property
    def uart_url(self) -> str:
        if self._url is None:
            raise EngineError("The chip is not started: it has no UART yet. Call start first.")
        return self._url

    def start(self) -> None:
        if self._machine is not None:
            raise EngineError("The chip runs already. Use reset to restart it.")
        spike_python.interpreter()
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

    def registers(self) -> dict[str, int]:
        """Return ``pc``, ``x0`` to ``x31`` and machine CSRs; with vectors ``vl``, ``vtype``, ``vlenb`` and so on."""
        return self._request("registers")

    def take_counts(self) -> Counts | None:
        answer = self._request("counts")
        if answer is None:
            return None
        return Counts(
            **{
                **answer,
                "inferences": tuple(InferenceCounts(*inference) for inference in answer["inferences"]),
                "lanes": Lanes(*answer["lanes"]),
                "configurations": tuple(VectorConfiguration(*values) for values in answer["configurations"]),
                "dispatches": {
                    ordinal: DispatchCounts(**{**counts, "lanes": Lanes(*counts["lanes"])})
                    for ordinal, counts in answer["dispatches"]
                },
            }
        )

    def take_dot4_operands(self) -> list[tuple[int, int, int]]:
        """Return rs1, rs2 and rd of the dot4 instructions executed since the last call, the first 65536 of them."""
        return [tuple(operands) for operands in self._request("operands")]

    def console(self) -> list[str]:
        return self._request("console")

    def diagnose(self) -> str:
        if self._machine is None:
            return "The chip is not started."
        try:
            samples = [self._request("state") for _ in range(STATE_SAMPLES)]
        except EngineError as error:
            return str(error)
        return describe(samples, self._executable)

    # ---- Inside

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
        self._machine = _Machine(
            self._line, self._uart, self._chip, self._vlen, self._counting, self._sensor, self._protection
        )
        self._machine.wait_until_built()
        for address, content in self._executable.segments:
            self.write_memory(address, content)
        self._request("boot")

    def _power_off(self) -> None:
        machine, self._machine = self._machine, None
        if machine is not None:
            machine.end()

    def _need_machine(self) -> _Machine:
        if self._machine is None:
            raise EngineError("The chip is not started. Call start first.")
        return self._machine

    def _request(self, action: str, **arguments: object):
        return self._need_machine().request(action, arguments)


class _Machine:
    """The process that simulates the chip, and the dialogue with it."""

    def __init__(
        self,
        line: socket.socket | int,
        uart: str,
        chip: Chip,
        vlen: int,
        counting: bool,
        sensor: bool,
        protection: bool,
    ) -> None:
        self._lock = threading.Lock()
        self._received = b""
        self._number = 0
        # What the simulator prints goes to memory: a pipe would have to be emptied, a file would be left behind.
        self._output = os.memfd_create("spike-output")
        self._channel, control = socket.socketpair()
        line = line if isinstance(line, int) else line.fileno()
        options = {"control": control.fileno(), "line": line, "uart": uart, "chip": chip.as_json(), "vlen": vlen}
        options |= {"counting": counting, "parent": os.getpid(), "sensor": sensor, "protection": protection}
        python = spike_python.interpreter()
        try:
            self._process = subprocess.Popen(
                [python.path, "-m", "springbok.engines.spike_machine", json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env={**os.environ, **python.environment},
                pass_fds=(control.fileno(), line),
                start_new_session=True,  # Ctrl-C is the parent's business
            )
        except BaseException:
            self._channel.close()
            os.close(self._output)
            raise
        finally:
            control.close()
        # Whatever happens to the engine's owner, the process does not outlive it.
        self._end = weakref.finalize(self, _end_process, self._process, self._channel, self._output, os.getpid())

    def wait_until_built(self) -> None:
        """Wait for the machine's first words. Raises EngineError when it fails or takes too long."""
        try:
            with self._lock:
                self._answer(0, START_LIMIT_SECONDS)
        except TimeoutError:
            raise EngineError(
                f"The simulator did not start within {START_LIMIT_SECONDS:.0f} s of processor time. "
                f"{self._last_output()}"
            ) from None

    def request(self, action: str, arguments: dict[str, object]):
        """Send one request and return its result. Raises EngineError when the process is dead or does not answer."""
        with self._lock:
            self._number += 1
            message = json.dumps({"number": self._number, "do": action, **arguments}).encode() + b"\n"
            try:
                self._send(message, ANSWER_LIMIT_SECONDS)
                return self._answer(self._number, ANSWER_LIMIT_SECONDS)
            except TimeoutError:
                raise EngineError(
                    f"The simulator did not answer '{action}' within {ANSWER_LIMIT_SECONDS:.0f} s. "
                    "Is it stopped? Close the engine and start it again."
                ) from None
            except OSError:
                raise self._death() from None

    def end(self) -> None:
        """End the process and free what belongs to it."""
        self._end()

    def _send(self, message: bytes, limit: float) -> None:
        """Write to the channel. Raises TimeoutError when the simulator has used ``limit`` up and takes nothing."""
        allowance = None
        self._channel.settimeout(min(LOOK_SECONDS, limit))
        sent = 0
        while sent < len(message):
            try:
                sent += self._channel.send(message[sent:])
            except TimeoutError:
                allowance = allowance or Allowance(self._process.pid, limit)
                if allowance.is_spent():
                    raise

    def _answer(self, number: int, limit: float):
        """The result of a request. Raises TimeoutError when the simulator has used ``limit`` up before it answers."""
        allowance = None
        self._channel.settimeout(min(LOOK_SECONDS, limit))
        while True:
            line, newline, rest = self._received.partition(b"\n")
            if newline:
                self._received = rest
                answer = json.loads(line)
                if answer["number"] == number:  # an earlier one came too late for its own request
                    return answer["result"]
                continue
            try:
                received = self._channel.recv(1 << 20)
            except TimeoutError:
                allowance = allowance or Allowance(self._process.pid, limit)
                if allowance.is_spent():
                    raise
                continue
            if not received:
                raise self._death()
            self._received += received

    def _death(self) -> EngineError:
        """What to say of a process that has closed its channel, which it does only by ending."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return EngineError("The simulator process closed its channel but did not end. Close the engine.")
        how = f"signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"exit status {status}"
        return EngineError(f"The simulator process ended with {how}. {self._last_output()}Reset the chip to go on.")

    def _last_output(self) -> str:
        size = os.fstat(self._output).st_size
        tail = os.pread(self._output, STDERR_TAIL_BYTES, max(0, size - STDERR_TAIL_BYTES))
        # Spike misses symbols of its own host interface in every program but its test suite's.
        lines = [line for line in tail.decode(errors="replace").splitlines() if not line.startswith("warning: tohost")]
        return "Its last words: " + "\n".join(lines).strip() + "\n" if lines else ""


def _end_process(process: subprocess.Popen, channel: socket.socket, output: int, owner: int) -> None:
    if os.getpid() != owner:  # a forked copy of the parent must not end its engine
        return
    process.kill()
    process.wait()
    channel.close()
    os.close(output)


def what_is_missing() -> str | None:
    """Return None where Spike can run, or can be had, else a sentence that says why not. Nothing is installed."""
    try:
        spike_python.check()
    except EngineError as error:
        return str(error)
    return None
