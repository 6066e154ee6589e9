# SPDX-License-Identifier: Apache-2.0
"""A board at a serial port. The board here is the simulated chip, seen only through its pseudo-terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from springbok.engines import create_engine
from springbok.link.fault_proxy import Direction, FaultProxy
from springbok.link.link import Dialect, Link
from springbok.link.messages import ModelState
from springbok.session import Session
from springbok.support.errors import EngineError, SimulatorNeeded
from springbok.trials.link_rig import chip, sample, small_module

PORT = "/dev/there-is-no-such-port"


@pytest.fixture
def board():
    return create_engine("serial", Path("unused.elf"), port=PORT)


def test_board_without_a_port_says_how_to_name_it():
    with pytest.raises(EngineError, match="needs the port that the board is at, for instance --port /dev/ttyUSB0"):
        create_engine("serial", Path("unused.elf"))


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("reset", ()), ("pause", ()), ("resume", ()), ("read_memory", (0, 4)), ("write_memory", (0, b"")),
        ("counters", ()), ("registers", ()), ("console", ()), ("feed_accelerometer", ([],)),
    ],
)  # fmt: skip
def test_what_needs_a_simulator_skips_the_test_with_a_reason(board, method, arguments):
    with pytest.raises(SimulatorNeeded, match="can't be done with a board. Use --engine spike") as raised:
        getattr(board, method)(*arguments)
    assert raised.value.ROBOT_SKIP_EXECUTION


def test_board_counts_nothing_and_needs_no_start(board):
    with board:
        assert board.take_counts() is None
        assert board.uart_url == PORT
        assert "powered" in board.diagnose()


def test_bad_cable_at_a_terminal():
    with chip(uart="pty") as simulated, FaultProxy(simulated.uart_url) as cable, Link(cable.url) as link:
        link.negotiate()
        link.load_model(small_module())
        data, expected = sample(3)
        for direction in Direction:
            cable.corrupt(1, direction, after=3)
            assert link.infer(data) == expected
        assert cable.injected == link.report.retransmissions == 2


def test_session_with_a_board_at_a_terminal():
    with chip(uart="pty") as simulated:
        session = Session()
        try:
            session.boot("serial", port=simulated.uart_url)
            assert (session.chip.vlen_bits, session.link.dialect) == (512, Dialect.EXTENDED)
            session.link.load_model(small_module())
            data, expected = sample(3)
            assert session.link.infer(data) == expected
            session.reset()
            assert session.need_link().chip_info().model_state == ModelState.NONE
            with pytest.raises(SimulatorNeeded, match="a chip with VLEN 0, and the board's has 512"):
                session.boot("serial", port=simulated.uart_url, vlen=0)
        finally:
            session.shut_down()
