# SPDX-License-Identifier: Apache-2.0
import io

import pytest

from springbok.support import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.delenv("CI", raising=False)
    return now


def test_long_work_is_shown_and_its_line_is_cleared_at_the_end(clock):
    terminal = Terminal()
    show = progress.progress("Sending", terminal)
    clock[0] += 2
    show(50, 200)
    assert terminal.getvalue() == "\r\033[KSending: 50 of 200 (25%), 25 a second, 6 s left"
    show(60, 200)  # too soon after the last
    clock[0] += 1
    show(200, 200)
    assert terminal.getvalue().endswith("left\r\033[K")


def test_short_work_shows_nothing(clock):
    terminal = Terminal()
    show = progress.progress("Sending", terminal)
    show(1, 2)
    show(2, 2)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("where", ["a file", "CI"])
def test_nothing_is_written_where_nobody_watches(clock, monkeypatch, where):
    stream = Terminal() if where == "CI" else io.StringIO()
    if where == "CI":
        monkeypatch.setenv("CI", "true")
    show = progress.progress("Sending", stream)
    clock[0] += 2
    show(1, 2)
    assert stream.getvalue() == ""
