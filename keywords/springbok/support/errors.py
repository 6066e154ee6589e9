# SPDX-License-Identifier: Apache-2.0
"""Every error that this project raises on purpose.

The text of an error says what was wrong, where, and what to do about it: it is the first thing that a
person reads in Robot's log. ``ROBOT_SUPPRESS_NAME`` makes Robot Framework show that sentence alone, without
the class name before it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

_HTML = "*HTML*"
#: Why a file can't be written, and what to do, by the number of the operating system's error.
STORAGE_CAUSES = {
    errno.ENOSPC: "the disk is full. Free some space, then start again",
    errno.EDQUOT: "the quota of this user is used up. Free some space, then start again",
    errno.EFBIG: "the file is larger than this process may write. Raise the limit (ulimit -f), then start again",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of its path is no folder",
    errno.EACCES: "this user has no right to",
    errno.EPERM: "this user has no right to",
}


def no_room(said: str) -> tuple[str, str] | None:
    """The system's words in what a program ``said`` when it could not write on, and what they mean; None without.

    >>> no_room("OSError: [Errno 28] No space left on device: '/a/b'")
    ('No space left on device', 'the disk is full. Free some space, then start again')
    """
    known = ((os.strerror(each), STORAGE_CAUSES[each]) for each in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
    return next(((words, cause) for words, cause in known if words in said), None)


def plain(text: str) -> str:
    """A message that Robot Framework shows as it is: one that begins with ``*HTML*`` it would show as HTML.

    A model, a data set, a suite may be called so by whoever made it.

    >>> plain("*HTML*<b>.onnx is empty")
    "'*HTML*'<b>.onnx is empty"
    """
    begin = text.lstrip()
    return f"'{_HTML}'{begin.removeprefix(_HTML)}" if begin.startswith(_HTML) else text


class BenchError(Exception):
    """Base of all errors of springbok-bench."""

    ROBOT_SUPPRESS_NAME = True

    def __str__(self) -> str:
        return plain(super().__str__())


class FirmwareError(BenchError):
    """The firmware could not be built, or its ELF is not what the chip needs."""


class ChipError(BenchError):
    """The description of a chip is missing, malformed, or describes no chip that can work."""


class EngineError(BenchError):
    """The simulator could not be started, stopped answering, or its core is in a fault."""


class SimulatorNeeded(EngineError):
    """The device is a board, and this can only be done with a simulated chip. Robot Framework skips the test."""

    ROBOT_SKIP_EXECUTION = True


class CompileError(BenchError):
    """A model could not be compiled, or the compiled module does not compute what the model does."""


class ChipFunctionError(CompileError):
    """A function of the chip's description does not do what it is asked for."""


class CompilerDidNotEnd(CompileError):
    """The compiler was ended at its limit of time."""


class ModelError(BenchError):
    """A model file is missing, broken, or does not fit the data that it is given."""


class DatasetError(BenchError):
    """A data set is missing, broken, or not what its checksum promises."""


class ReportError(BenchError):
    """Results are missing or are not of the form that reports are made from."""


class ScenarioError(BenchError):
    """A scenario file is missing, broken, or asks for what is not known: its ``problems``, where they can be told."""

    def __init__(self, message: str, problems: Iterable[object] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class RtlError(BenchError):
    """Hardware in Verilog does not build, or does not compute what its model does."""


class RtlToolNeeded(RtlError):
    """A tool for Verilog is not installed here. Robot Framework skips the test."""

    ROBOT_SKIP_EXECUTION = True


class CoreNeeded(RtlError):
    """A Python package that brings a core's RTL is not installed here. Robot Framework skips the test."""

    ROBOT_SKIP_EXECUTION = True


class LinkError(BenchError):
    """The dialogue with the device failed: the port, the framing, or the order of the messages."""


class LinkTimeout(LinkError):
    """The device did not answer within the time limit."""


class DialogueLost(LinkError):
    """The device knows nothing of the dialogue that a request belongs to: it was restarted, or others have used it."""


class OtherHost(LinkError):
    """Another host's dialogue with the device is going on."""


class DeviceError(LinkError):
    """The device answered ERROR.

    ``code``, ``name`` and ``message`` are what the firmware said (see ``firmware/runtime/status.def``).
    """

    def __init__(self, code: int, name: str, message: str, request: str = "") -> None:
        self.code = code
        self.name = name
        self.message = message
        self.request = request
        where = f" to {request}" if request else ""
        text = f": {message}" if message else ""
        super().__init__(f"The device answered{where} with error 0x{code:04x} {name}{text}")
