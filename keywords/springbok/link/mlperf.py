# SPDX-License-Identifier: Apache-2.0
"""The host's side of MLPerf Tiny's dialogue in text: commands that end with ``%``, answers that end with ``m-ready``.

Written from the protocol; the benchmark's own runner takes its place on the same line. The link has loaded the model
and introduced it (`Link.introduce`), and was closed.

Example::

    with MlperfRunner("socket://127.0.0.1:3456") as runner:
        print(runner.name(), runner.profile())
        runner.load(bytes(490))
        print(runner.infer(10, warmups=1).results)
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from springbok.link import failures
from springbok.link.line import Line
from springbok.support.errors import DeviceError, LinkError, LinkTimeout

READY = "m-ready"
BYTES_A_COMMAND = 31  # as the public runner sends

_LINE_BYTES = 1 << 16  # of an answer's line, at most: results of some thousand classes
_MOST_LINES = 1 << 20
_TOLD_CHARACTERS = 400
_ENCODING = "latin-1"  # whatever comes is a text


@dataclass(frozen=True)
class RunnerInferences:
    """What ``infer`` gives: the last inference's results, and how long all of them took by the device's clock."""

    count: int
    microseconds: int
    results: tuple[float, ...]

    @property
    def a_second(self) -> float:
        """Inferences a second; 0 when they took no time that can be measured."""
        return 1e6 * self.count / self.microseconds if self.microseconds else 0.0


@dataclass(frozen=True)
class RunnerStream:
    """What ``stop`` gives of a stream: one activation a frame, and how long the device computed."""

    activations: tuple[int, ...]
    busy_microseconds: int


class MlperfRunner:
    """A dialogue in text with a device that serves MLPerf Tiny's runner.

    url       the device's serial port, as for `Link`
    timeout   seconds that an answer may take; `infer` and `load` take their own

    Raises LinkError when the port can't be opened, LinkTimeout when an answer does not end in time, and DeviceError
    with what the device said when it refuses a command.
    """

    def __init__(
        self,
        url: str,
        *,
        baudrate: int = 115200,
        timeout: float = 10.0,
        diagnose: Callable[[], str] = str,
    ) -> None:
        self.timeout = timeout
        self._line = Line(url, baudrate=baudrate, diagnose=diagnose)
        self._diagnose = diagnose
        self._unanswered: list[str] = []
        self._begun = bytearray()  # of a line that was not whole when the time was over

    def __enter__(self) -> MlperfRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the line. Harmless when it is closed."""
        self._line.close()

    def command(self, text: str, timeout: float | None = None) -> list[str]:
        """Send a command; return the lines of its answer, without the last.

        Answers that commands before have not got in their time are waited for first, and thrown away. Raises
        DeviceError if a line is an error's.
        """
        if "%" in text or not text.isascii():
            raise LinkError(f"A command is ASCII without '%', which ends it: {text!r}")
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        what = text.split(" ", maxsplit=1)[0].encode("unicode_escape").decode() or "an empty command"
        while self._unanswered:
            self._answer(self._unanswered[0], deadline)
        if time.monotonic() < deadline:  # else nothing is sent, and no answer owed
            self._unanswered.append(what)
        self._line.write(what, f"{text}%".encode("ascii"), deadline)
        lines = self._answer(what, deadline)
        refused = [line for line in lines if line.startswith("e-[")]
        if refused:
            raise _error(refused[0], what)
        return lines

    def _answer(self, what: str, deadline: float) -> list[str]:
        """The lines of the first answer that is owed."""
        lines: list[str] = []
        while READY not in (line := self._read_line(what, lines, deadline)):
            if line:
                lines.append(line)
        del self._unanswered[0]
        return lines

    def name(self) -> str:
        """Who the device is."""
        return self._find("name", r"m-name-dut-\[([^]]+)]")

    def profile(self) -> tuple[str, str]:
        """What its firmware is, and which model it has: ``kws01``, …"""
        lines = self.command("profile")
        return _match(lines, r"m-profile-\[([^]]+)]", "profile"), _match(lines, r"m-model-\[([^]]+)]", "profile")

    def timestamp(self) -> int:
        """The device's clock, microseconds."""
        return int(self._find("timestamp", r"m-lap-us-(\d+)"))

    def load(self, data: bytes, timeout: float | None = None) -> None:
        """Bring the bytes of an input, or the frames of a running stream, which are inferred before this returns."""
        self.command(f"db load {len(data)}")
        lines: list[str] = []
        for at in range(0, len(data), BYTES_A_COMMAND):
            lines = self.command(f"db {data[at : at + BYTES_A_COMMAND].hex()}", timeout)
        _match(lines, r"(m-load-done)", "db")

    def infer(self, count: int = 1, warmups: int = 0, timeout: float = 60.0) -> RunnerInferences:
        """Infer what was loaded ``count`` times, after ``warmups`` that are not timed."""
        lines = self.command(f"infer {count} {warmups}", timeout)
        laps = [int(found[1]) for line in lines if (found := re.fullmatch(r"m-lap-us-(\d+)", line))]
        if len(laps) != 2:
            raise LinkError(f"The answer to infer has {len(laps)} times, not those of begin and end: {lines}")
        return RunnerInferences(count, laps[1] - laps[0], _results(lines))

    def results(self) -> tuple[float, ...]:
        """The last inference's results again."""
        return _results(self.command("results"))

    def start(self) -> None:
        """Begin a stream: its frames come by `load`."""
        self.command("start")

    def stop(self) -> RunnerStream:
        """End the stream."""
        lines = self.command("stop")
        listed = _match(["".join(lines)], r".*target activations:\s*\[([^]]*)]", "stop")
        busy = int(_match(lines, r"m-busy-us-(\d+)", "stop"))
        return RunnerStream(tuple(int(value) for value in listed.split(",") if value.strip()), busy)

    def detections(self) -> list[int]:
        """Milliseconds of the last stream's first frame, which marks its begin, and of what was detected."""
        lines = self.command("print_detections")
        _match(lines[:1], r"(Detection Timestamps \(ms\))", "print_detections")
        return [int(line.rstrip(",")) for line in lines[1:]]

    def _find(self, command: str, pattern: str) -> str:
        return _match(self.command(command), pattern, command)

    def _read_line(self, what: str, before: list[str], deadline: float) -> str:
        if len(before) > _MOST_LINES:
            raise LinkError(f"The answer to {what} does not end: {len(before)} lines have come.")
        data, self._begun = self._begun, bytearray()
        while not data.endswith(b"\n"):
            byte = self._line.read(what, 1, deadline)
            if not byte:
                self._begun = data
                heard = "".join(f"\n  {line}" for line in [*before, data.decode(_ENCODING)] if line)[-_TOLD_CHARACTERS:]
                raise LinkTimeout(
                    f"No '{READY}' in time to {what}. What came:{heard or ' nothing'}\nIs the device's firmware built "
                    f"with the option 'mlperf', and no other host at work?{self._diagnose()}"
                )
            data += byte
            if len(data) > _LINE_BYTES:
                raise LinkError(f"The answer to {what} has a line of more than {_LINE_BYTES} bytes.")
        return data.decode(_ENCODING).strip("\r\n\0")


def _results(lines: list[str]) -> tuple[float, ...]:
    listed = _match(lines, r"m-results-\[([^]]+)]", "results")
    try:
        return tuple(float(value) for value in listed.split(","))
    except ValueError:
        raise LinkError(f"Results are numbers, but these came: {listed}") from None


def _match(lines: list[str], pattern: str, command: str) -> str:
    for line in lines:
        if found := re.fullmatch(pattern, line):
            return found[1]
    raise LinkError(f"The answer to {command} lacks a line {pattern}: {lines}")


def _error(line: str, command: str) -> DeviceError:
    """What the device refuses a command with, in words where it gives numbers."""
    said = line.removeprefix("e-[").removesuffix("]")
    details = failures.details_of(said)
    if details is None:
        return DeviceError(0, "REFUSED", said, command)
    return DeviceError(*failures.cause(details), failures.sentence(details) or said, command)
