# SPDX-License-Identifier: Apache-2.0
import io
import threading

import pytest

from springbok.support import progress


def below(text):
    """How a line is written below the cursor's."""
    return f"\033D\033[A\0337\033[B\r\033[K{text}\0338"


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
    assert terminal.getvalue() == below("Sending: 50 of 200 (25%), 25 a second, 6 s left")
    show(60, 200)  # too soon after the last
    clock[0] += 1
    show(200, 200)
    assert terminal.getvalue().endswith(f"left\0338{below('')}")


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


def test_work_of_unknown_length_shows_its_time_and_clears_its_line(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(progress, "_FIRST_AFTER_SECONDS", 0)
    monkeypatch.setattr(progress, "_INTERVAL_SECONDS", 0.001)
    terminal, shown = Terminal(), threading.Event()
    monkeypatch.setattr(terminal, "flush", shown.set)
    with progress.working("Compiling", terminal):
        assert shown.wait(60)
    assert terminal.getvalue().startswith(below("Compiling: 0 s"))
    assert terminal.getvalue().endswith(below(""))


def test_work_that_fails_or_is_not_watched_leaves_no_line_and_no_thread():
    threads, terminal = threading.active_count(), io.StringIO()
    with pytest.raises(ValueError, match="why"), progress.working("Compiling", terminal):
        raise ValueError("why")
    with pytest.raises(ValueError, match="why"), progress.working("Compiling", Terminal()):
        raise ValueError("why")
    assert terminal.getvalue() == ""
    assert threading.active_count() == threads


def test_items_are_counted_as_they_are_done(clock):
    terminal = Terminal()
    for _ in progress.counted("Compiling, models", "abc", terminal):
        clock[0] += 2
    text = terminal.getvalue()
    assert text.startswith(below("Compiling, models: 1 of 3 (33%), 30 a minute, 4 s left"))
    assert text.endswith(below(""))
