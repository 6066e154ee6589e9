# SPDX-License-Identifier: Apache-2.0
"""A simulator of a chip as a process of its own, asked and answered in JSON lines over an inherited socket."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from springbok.support.errors import EngineError
from springbok.support.places import KEYWORDS
from springbok.support.supervisor import Allowance

# Of the simulator's processor time, or of waiting: a loaded computer changes nothing.
START_LIMIT_SECONDS = 60.0
ANSWER_LIMIT_SECONDS = 20.0
LOOK_SECONDS = 1.0
STDERR_TAIL_BYTES = 600
#: A line of the calls that Python tells when a signal ends it, the last call first.
_CALL = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)


class MachineProcess:
    """A process that simulates a chip, and the dialogue with it.

    ``module`` is its program, which gets one argument, a JSON object: ``options`` and, in ``control`` and ``parent``,
    its end of the channel and this process. ``descriptors`` are open there too.
    """

    def __init__(
        self,
        module: str,
        options: dict[str, object],
        descriptors: Sequence[int],
        python: str | Path = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._received = b""
        self._number = 0
        # What the simulator prints goes to memory: a pipe would have to be emptied, a file would be left behind.
        self._output = os.memfd_create("simulator-output")
        self._channel, control = socket.socketpair()
        options = {"control": control.fileno(), "parent": os.getpid(), **options}
        try:
            self._process = subprocess.Popen(
                [python, "-m", module, json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env={**os.environ, **(environment or {})},
                pass_fds=(control.fileno(), *descriptors),
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

    @property
    def process_id(self) -> int:
        return self._process.pid

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
        if status >= 0:
            how, words = f"exit status {status}", self._last_output()
        else:
            how, words = f"signal {-status} ({signal.Signals(-status).name})", self._last_call() or self._last_output()
        return EngineError(f"The simulator process ended with {how}. {words}Reset the chip to go on.")

    def _last_call(self) -> str:
        """What of a user's own was called last, such as the model of a chip's instruction; empty if it was nothing."""
        said = os.pread(self._output, os.fstat(self._output).st_size, 0).decode(errors="replace")
        calls = _CALL.findall(said.rpartition("most recent call first")[2])
        own = list(itertools.takewhile(lambda call: not Path(call[0]).is_relative_to(KEYWORDS), calls))
        if not own or len(own) == len(calls):
            return ""
        file, line, function = own[-1]
        return f"It was in {file}, line {line} ({function}), a function of the chip's own. "

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
