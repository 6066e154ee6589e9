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
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from typing import TypeVar

from springbok.link import failures
from springbok.link.line import Line, Turn, alone, plain, seconds_of
from springbok.support.errors import DeviceError, LinkError, LinkTimeout

Number = TypeVar("Number", int, float)

READY = "m-ready"
BYTES_A_COMMAND = 31  # as the public runner sends

_LINE_BYTES = 1 << 16  # of an answer's line, at most: results of some thousand classes
_MOST_LINES = 1 << 20
_TOLD_CHARACTERS = 400
_MOST_INFERENCES = 1 << 28
_PATIENCE_SECONDS = 1.0  # until the time is asked again
_SILENCE_SECONDS, _BRIEF_SECONDS = 1.5, 0.2  # after a time was told, of which one was lost, or none
_BEFORE = "a host before"
_TIME = "timestamp"
_DIGITS = r"\d{1,20}"
_LAP = rf"m-lap-us-({_DIGITS})"
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
    with what the device said when it refuses a command. One call at a time.
    """

    def __init__(
        self,
        url: str,
        *,
        baudrate: int = 115200,
        timeout: float = 10.0,
        diagnose: Callable[[], str] = str,
    ) -> None:
        self.timeout = seconds_of(timeout)
        self.turn = Turn()
        self._line = Line(url, baudrate=baudrate, diagnose=diagnose)
        self._diagnose = diagnose
        # The command whose answer was not whole in its time; at first whatever a killed host has asked.
        self._unanswered: str | None = _BEFORE
        self._asked = self._told = 0  # times of the device since then, those that come late too
        self._clock = 0  # the device's, as it was told last
        self._begun = bytearray()  # of a line that was not whole when the time was over

    def __enter__(self) -> MlperfRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the line. Harmless when it is closed."""
        self._line.close()

    @alone
    def command(self, text: str, timeout: float | None = None) -> list[str]:
        """Send a command; return the lines of its answer, without the last.

        Where the command before has not got its answer in its time, and before the first one, the step is found first.
        Raises DeviceError if a line is an error's.
        """
        return self._command(text, timeout)

    def _command(self, text: str, timeout: float | None = None) -> list[str]:
        if "%" in text or not text.isascii():
            raise LinkError(f"A command is ASCII without '%', which ends it: {text!r}")
        deadline = time.monotonic() + seconds_of(self.timeout if timeout is None else timeout)
        what = text.split(" ", maxsplit=1)[0].encode("unicode_escape").decode() or "an empty command"
        if self._unanswered is None and self._line.has_bytes(what):
            self._lose_step("what came unasked")
        if self._unanswered is not None:
            self._find_step(what, deadline)
        if time.monotonic() < deadline:  # else nothing is sent, and no answer owed
            self._lose_step(what)
        self._line.write(what, f"{text}%".encode("ascii"), deadline)
        lines = self._answer(what, deadline)
        self._unanswered = None
        if refused := next(filter(_is_refusal, lines), ""):
            raise _error(refused, what)
        return lines

    def _lose_step(self, what: str) -> None:
        """Until its answer is whole, and understood."""
        self._unanswered, self._asked, self._told = what, int(what == _TIME), 0

    def _find_step(self, what: str, deadline: float) -> None:
        """Ask the time until it is told as often as it was asked, or nothing comes behind it.

        All that is owed comes before; it may be lost, or come when the device has computed what it was told to. Raises
        DeviceError where the device refuses to tell it for so long.
        """
        refused = ""
        patience, why = _PATIENCE_SECONDS, f"The time was over before {what} could be sent.{self._diagnose()}"
        while time.monotonic() < deadline:
            try:
                self._line.write(_TIME, f"{_TIME}%".encode("ascii"), deadline)
                self._asked += 1
                until = min(deadline, time.monotonic() + patience)
                while self._told < self._asked:
                    lines = self._answer(_TIME, until)
                    if len(lines) == 1 and (found := re.fullmatch(_LAP, lines[0])):
                        self._told, self._clock = self._told + 1, int(found[1])
                    refused = next(filter(_is_refusal, lines), "")
            except LinkTimeout as error:
                why = str(error)
            if self._told:
                # A host before may have asked the time too.
                silence = _SILENCE_SECONDS if self._told < self._asked else _BRIEF_SECONDS
                with suppress(LinkTimeout):
                    if self._told < self._asked or self._unanswered is _BEFORE:
                        self._line.drain(silence, deadline)
                    self._begun, self._unanswered = bytearray(), None
                    return
            patience *= 2
        if refused:
            raise _error(refused, what)
        raise LinkTimeout(
            f"{what} was not sent: the device may still be at work for {self._unanswered}, and did not tell its time. "
            f"{why}"
        )

    def _answer(self, what: str, deadline: float) -> list[str]:
        """The lines of the next answer."""
        lines: list[str] = []
        while READY not in (line := self._read_line(what, lines, deadline)):
            if line:
                lines.append(line)
        return lines

    def name(self) -> str:
        """Who the device is."""
        return self._find("name", r"m-name-dut-\[([^]]+)]")

    def profile(self) -> tuple[str, str]:
        """What its firmware is, and which model it has: ``kws01``, …"""
        lines = self.command("profile")
        found = [self._match(lines, rf"m-{what}-\[([^]]+)]", "profile") for what in ("profile", "model")]
        return found[0], found[1]

    def timestamp(self) -> int:
        """The device's clock, microseconds."""
        self._clock = int(self._find(_TIME, _LAP))
        return self._clock

    @alone
    def load(self, data: bytes, timeout: float | None = None) -> None:
        """Bring the bytes of an input, or the frames of a running stream, which are inferred before this returns."""
        data, lines = plain(data), list[str]()
        self._command(f"db load {len(data)}")
        for at in range(0, len(data), BYTES_A_COMMAND):
            lines = self._command(f"db {data[at : at + BYTES_A_COMMAND].hex()}", timeout)
        self._match(lines, r"(m-load-done)", "db")

    def infer(self, count: int = 1, warmups: int = 0, timeout: float = 60.0) -> RunnerInferences:
        """Infer what was loaded ``count`` times, after ``warmups`` that are not timed."""
        if not all(isinstance(each, Integral) and 0 <= each < _MOST_INFERENCES for each in (count, warmups)):
            raise LinkError(f"Inferences and warmups are numbers from 0 to {_MOST_INFERENCES - 1:,}.")
        lines = self.command(f"infer {count} {warmups}", timeout)
        laps = [int(found[1]) for line in lines if (found := re.fullmatch(_LAP, line))]
        if len(laps) != 2 or not self._clock <= laps[0] <= laps[1]:  # an earlier one's answer may come again
            self._lose_step("infer")
            raise LinkError(f"The answer to infer has no times of begin and end since {self._clock}: {_told(lines)}")
        self._clock = laps[1]
        return RunnerInferences(count, laps[1] - laps[0], self._results(lines))

    def results(self) -> tuple[float, ...]:
        """The last inference's results again."""
        return self._results(self.command("results"))

    def start(self) -> None:
        """Begin a stream: its frames come by `load`."""
        self.command("start")

    def stop(self) -> RunnerStream:
        """End the stream."""
        lines = self.command("stop")
        listed = self._match(["".join(lines)], r".*target activations:\s*\[([^]]*)]", "stop")
        busy = int(self._match(lines, rf"m-busy-us-({_DIGITS})", "stop"))
        return RunnerStream(tuple(self._numbers(listed, int, rf"-?{_DIGITS}", "stop")), busy)

    def detections(self) -> list[int]:
        """Milliseconds of the last stream's first frame, which marks its begin, and of what was detected."""
        lines = self.command("print_detections")
        self._match(lines[:1], r"(Detection Timestamps \(ms\))", "print_detections")
        return self._numbers("".join(lines[1:]), int, _DIGITS, "print_detections")

    def _find(self, command: str, pattern: str) -> str:
        return self._match(self.command(command), pattern, command)

    def _results(self, lines: list[str]) -> tuple[float, ...]:
        listed = self._match(lines, r"m-results-\[([^]]+)]", "results")
        return tuple(self._numbers(listed, float, rf"[-+]?{_DIGITS}(\.\d*)?(e[-+]?\d+)?", "results"))

    def _numbers(self, listed: str, kind: Callable[[str], Number], pattern: str, command: str) -> list[Number]:
        values = [value.strip() for value in listed.split(",")]
        values = values[:-1] if not values[-1] else values
        if wrong := [value for value in values if not re.fullmatch(pattern, value)]:
            self._lose_step(command)
            raise LinkError(f"The answer to {command} lists numbers, but one is {_told(wrong[:1])}.")
        return [kind(value) for value in values]

    def _match(self, lines: list[str], pattern: str, command: str) -> str:
        for line in lines:
            if found := re.fullmatch(pattern, line):
                return found[1]
        self._lose_step(command)
        raise LinkError(f"The answer to {command} lacks a line that it should have: {_told(lines)}")

    def _read_line(self, what: str, before: list[str], deadline: float) -> str:
        if len(before) > _MOST_LINES:
            raise LinkError(f"The answer to {what} does not end: {len(before)} lines have come.")
        data = self._begun
        while not data.endswith(b"\n"):
            byte = self._line.read(what, 1, deadline)
            if not byte:
                heard = "".join(f"\n  {line}" for line in [*before, data.decode(_ENCODING)] if line)[-_TOLD_CHARACTERS:]
                raise LinkTimeout(
                    f"No '{READY}' in time to {what}. What came:{heard or ' nothing'}\nIs the device's firmware built "
                    f"with the option 'mlperf', and no other host at work?{self._diagnose()}"
                )
            data += byte
            if len(data) > _LINE_BYTES:
                self._begun = bytearray()
                raise LinkError(f"The answer to {what} has a line of more than {_LINE_BYTES} bytes.")
        self._begun = bytearray()
        return data.decode(_ENCODING).strip("\r\n\0")


def _told(lines: list[str]) -> str:
    """What a device said, as it can be shown: without control characters, and not all of it."""
    return repr(", ".join(lines)[:_TOLD_CHARACTERS])


def _is_refusal(line: str) -> bool:
    return line.startswith("e-[")


def _error(line: str, command: str) -> DeviceError:
    """What the device refuses a command with, in words where it gives numbers."""
    said = line.removeprefix("e-[").removesuffix("]")
    details = failures.details_of(said)
    if details is None:
        said = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in said[:_TOLD_CHARACTERS])
        return DeviceError(0, "REFUSED", said, command)
    return DeviceError(*failures.cause(details), failures.sentence(details) or said, command)
