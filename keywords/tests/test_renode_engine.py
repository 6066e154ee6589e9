# SPDX-License-Identifier: Apache-2.0
"""The Renode engine without a Renode: against recorded answers, and files in the forms that Renode writes."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import serial

from springbok import cli
from springbok.chips.chip import Device
from springbok.chips.description import VARIABLE, load
from springbok.cli.running import _without_robot
from springbok.engines import create_engine, protocol_renode, renode_files, renode_platform, renode_server
from springbok.engines.base import Counts, InferenceCounts, VectorConfiguration
from springbok.engines.dot4 import dot4
from springbok.engines.elf import read_executable
from springbok.engines.renode import MEMORY_CHUNK_BYTES, RecordedWindows, RenodeEngine
from springbok.firmware import build_firmware
from springbok.measuring.evaluation import Evaluation, WallClock
from springbok.measuring.performance import Performance
from springbok.measuring.quality import Classification
from springbok.support.errors import EngineError
from springbok.support.places import KEYWORDS, PLATFORMS
from springbok.trials import cross_check

NOP, VSETVLI, VADD, MARK = 0x00000013, 0x0D007557, 0x02840457, 0x00B5407B
E32_M1 = 0xD0

# One inference with one dispatch: 3 nops outside, a vsetvli and twice 2 vadd inside, the marks of the dispatch.
RECORDED = f"""
mark 7 4096 50 50
mark 8 8192 51 51
mark 1 0 100 100
mark 3 5 104 104
mark 4 5 110 110
word 256 {NOP} {NOP} {NOP}
place outside 0 0
block 256 3 1
word 4096 {VSETVLI}
place 5 0 0
block 4096 1 1
word 4100 {VADD} {VADD}
place 5 16 {E32_M1}
block 4100 2 2
opcode ADDI 3
opcode vadd.vv 4
opcode vsetvli 1
mark 2 0 111 111
""".strip().splitlines()


@pytest.fixture(scope="module")
def firmware():
    return build_firmware().elf


class FakeRenode:
    """Answers the engine's commands as Renode does, as far as a start needs it; notes what was asked."""

    def __init__(self, **answers: str) -> None:
        self.answers = {
            "line Port": "0x00003039\n",
            "version": "Renode, version 1.16.1.12345 (abc-202602)",
            "sysbus ReadDoubleWord 0x40000030": "0x00000301\n",
            **answers,
        }
        self.commands: list[str] = []
        self.keywords: list[str] = []

    def __call__(self, name: str, *arguments: str) -> str:
        self.keywords.append(name)
        if name != "Execute Command":
            return ""
        (command,) = arguments
        self.commands.append(command)
        if command.startswith("sysbus.cpu SaveCounts @"):
            Path(command.partition("@")[2]).write_text("\n".join(RECORDED) + "\n")
        answer = self.answers.get(command, "")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def renode():
    return FakeRenode()


@pytest.fixture
def chip(renode, firmware):
    with RenodeEngine(firmware, keyword=renode) as engine:
        yield engine


def test_recorded_marks_and_blocks_become_counts():
    windows = RecordedWindows(512, load())
    windows.replay(RECORDED)
    counts = windows.take()
    assert counts.inferences == (InferenceCounts(10, 5, 4),)
    assert counts.opcodes == {"addi": 3, "mark": 2, "vadd.vv": 4, "vsetvli": 1}
    assert counts.unattributed_instructions == 0
    assert counts.dispatches[5].instructions == 5
    assert counts.dispatches[5].lanes.used == {"vadd.vv": 64}
    assert counts.dispatches[5].lanes.utilisation == 1
    assert counts.configurations == (VectorConfiguration(16, 32, "m1", 4),)
    assert windows.take() == Counts()
    assert windows.take_opcode_counters() == {"ADDI": 3, "vadd.vv": 4, "vsetvli": 1}


def test_new_code_at_an_old_address_is_named_anew_after_a_load():
    windows = RecordedWindows(512, load())
    inference = ["mark 1 0 0 0", "word 64 {}", "place outside 0 0", "block 64 1 1", "mark 2 0 2 2"]
    for word, name in ((NOP, "addi"), (VADD, "vadd.vv")):
        windows.replay(["mark 5 0 0 0", "mark 6 0 1 1", *(line.format(word) for line in inference)])
        assert list(windows.take().opcodes) == [name]


def test_a_core_counter_that_tells_otherwise_is_said():
    windows = RecordedWindows(512, load())
    windows.replay([*RECORDED[:-1], "mark 2 0 111 109"])
    counts = windows.take()
    assert counts.inferences[0].instructions == 10
    assert counts.unattributed_instructions == -2
    comparison = renode_files.compare_counters(counts, {"addi": 3, "vadd.vv": 4, "vsetvli": 1})
    assert comparison.problems() == ["The core executed 8 instructions, the blocks hold 10."]


def test_a_recording_that_is_none_is_refused():
    with pytest.raises(EngineError, match="there is a line 'nonsense 1'"):
        RecordedWindows(512, load()).replay(["nonsense 1"])


def test_the_chip_is_made_by_the_projects_script_with_its_vlen(renode, firmware):
    with RenodeEngine(firmware, keyword=renode, vlen=256) as chip:
        assert chip.uart_url == "socket://127.0.0.1:12345"
        assert chip.version == "1.16.1"
    made = "\n".join(renode.commands)
    assert f"$bin=@{firmware}" in made
    assert "springbok.repl" in made
    assert "VectorRegisterLength 256" in made
    assert made.index("CountInstructions true") < made.index("connector Connect")
    assert renode.keywords[-1] == "Reset Emulation"


def test_a_chip_without_vectors_is_another_platform(renode, firmware):
    with RenodeEngine(firmware, keyword=renode, vlen=0):
        made = "\n".join(renode.commands)
    assert "springbok_scalar.repl" in made
    assert "VectorRegisterLength" not in made


@pytest.mark.parametrize(("control", "loads"), [("0x00000000\n", False), ("0x00000003\n", True)])
def test_a_reset_loads_the_firmware_where_no_macro_did(chip, renode, control, loads):
    renode.answers["sysbus ReadDoubleWord 0x4700000C"] = control
    renode.commands.clear()
    chip.reset()
    done = "\n".join(renode.commands)
    assert done.index("sysbus.dmem ZeroAll") < done.index("machine Reset")
    assert ("sysbus LoadELF" in done) == loads


def test_in_virtual_time_the_firmware_runs_until_its_uart_is_ready(renode, firmware):
    renode.answers["sysbus ReadDoubleWord 0x40000030"] = "0x0\n"
    with RenodeEngine(firmware, keyword=renode, uart="virtual"):
        assert renode.commands[-1] == 'emulation RunFor "0.001"'
        assert "Start Emulation" not in renode.keywords


def test_counts_are_taken_from_what_the_model_wrote(chip):
    assert chip.take_counts().opcodes["vadd.vv"] == 4


def test_registers_come_by_name(chip, renode):
    renode.answers["sysbus.cpu DescribeRegisters"] = "pc 838860800\nx0 0\nmcause 2\n\n"
    assert chip.registers() == {"pc": 838860800, "x0": 0, "mcause": 2}


def test_memory_is_read_and_written_in_chunks(chip, renode):
    renode.answers["sysbus.cpu ReadBytesAsHex 872415232 3"] = "010203"
    assert chip.read_memory(0x34000000, 3) == b"\1\2\3"
    chip.write_memory(0x34000000, bytes(0x4001))
    assert [command.split()[2] for command in renode.commands if "WriteHexAsBytes" in command] == [
        "872415232",
        "872431616",
    ]
    with pytest.raises(EngineError, match="no memory at 0x10"):
        chip.read_memory(0x10, 1)


def test_what_renode_refuses_says_which_command(chip, renode):
    renode.answers["sysbus.cpu Prints"] = RuntimeError("KeywordException: no such device")
    with pytest.raises(EngineError, match="Renode refused 'sysbus.cpu Prints': KeywordException: no such device"):
        chip.console()


def test_a_diagnosis_never_raises(chip, renode):
    renode.answers["sysbus ReadDoubleWord 0x4700000C"] = RuntimeError("Connection refused")
    assert "Connection refused" in chip.diagnose()


def test_a_start_that_fails_leaves_nothing(firmware):
    renode = FakeRenode(**{"line Port": RuntimeError("no")})
    chip = RenodeEngine(firmware, keyword=renode)
    with pytest.raises(EngineError, match="line Port"):
        chip.start()
    assert not chip.is_running
    assert renode.keywords[-1] == "Reset Emulation"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs Renode: put renode on PATH or set RENODE_ROOT"),
        ({"keyword": print, "vlen": 100}, "VLEN 100"),
        ({"keyword": print, "uart": "pigeon"}, "pigeon"),
    ],
)
def test_wrong_options_are_refused_at_once(options, message):
    with pytest.raises(EngineError, match=message):
        create_engine("renode", Path("firmware.elf"), **options)


def test_bytes_in_virtual_time_go_by_commands(renode, firmware):
    renode.answers["line Receive 3 20"] = "0a0b0c0d"
    with RenodeEngine(firmware, keyword=renode, uart="virtual") as chip:
        port = serial.serial_for_url(chip.uart_url, timeout=0.02)
        port.write(b"\1\xff")
        assert 'line Send "01ff"' in renode.commands
        assert port.read(3) == b"\x0a\x0b\x0c"
        assert port.read(1) == b"\x0d"  # was there already: no time passed for it
        port.close()
        with pytest.raises(serial.SerialException):
            port.write(b"x")
    with pytest.raises(serial.SerialException, match="no running chip"):
        serial.serial_for_url("renode://0")
    assert protocol_renode.register(chip) != chip


# ---- A chip that is in Renode already: nothing of it is what this engine would have made


def adopted(firmware, **answers):
    renode = FakeRenode(**answers)
    engine = RenodeEngine(firmware, keyword=renode)
    engine.adopt()
    return engine


@pytest.mark.parametrize(("vlenb", "vlen"), [("vlenb 16\n", 128), ("vlenb 32\n", 256), ("vlenb 128\n", 1024)])
def test_an_adopted_chips_lanes_are_those_of_its_own_registers(firmware, vlenb, vlen):
    engine = adopted(firmware, **{"sysbus.cpu DescribeRegisters": f"pc 0\nvl 0\n{vlenb}"})
    lanes = engine.take_counts().lanes
    assert sum(lanes.there.values()) == 4 * vlen // 32
    assert lanes.used == {"vadd.vv": 64}


def test_the_chips_own_word_for_its_vlen_decides(renode, firmware):
    renode.answers["sysbus ReadDoubleWord 0x4700000C"] = "0x00000000\n"
    with RenodeEngine(firmware, keyword=renode, vlen=512) as chip:
        chip.believe(1024)
        assert chip.take_counts().lanes.there == {"vadd.vv": 4 * 32}
        chip.reset()
        assert chip.take_counts().lanes.there == {"vadd.vv": 4 * 32}


def test_kernels_that_were_loaded_unseen_are_where_the_chip_says():
    windows = RecordedWindows(512, load())
    unseen = RECORDED[2:]
    windows.replay(unseen)
    assert windows.take().inferences[0].kernel_instructions == 0
    windows.believe(512, (4096, 8192))
    windows.replay(unseen)
    assert windows.take().inferences == (InferenceCounts(10, 5, 4),)


def test_an_adopted_chips_own_counters_are_used_where_it_counts(firmware):
    assert adopted(firmware, **{"sysbus.cpu CountOpcodes": "True\n"}).opcode_counters()["ADDI"] == 3
    with pytest.raises(EngineError, match="opcode counters are off"):
        adopted(firmware, **{"sysbus.cpu CountOpcodes": "False\n"}).opcode_counters()


def test_an_adopted_chip_may_have_no_sensor(firmware):
    engine = adopted(firmware, peripherals="sysbus\n  i2c0\n    accelerometer\n")
    engine.feed_accelerometer([(0, 0, 1024)])
    engine = adopted(firmware, peripherals="sysbus\n  i2c0\n")
    with pytest.raises(EngineError, match="without its accelerometer"):
        engine.feed_accelerometer([(0, 0, 1024)])


def test_an_adopted_chips_firmware_is_known_by_its_memory(firmware):
    segments = read_executable(firmware, load()).segments
    memory = {
        f"sysbus.cpu ReadBytesAsHex {at + start} {len(part)}": part.hex()
        for at, content in segments
        for start in range(0, len(content), MEMORY_CHUNK_BYTES)
        for part in [content[start : start + MEMORY_CHUNK_BYTES]]
    }
    assert adopted(firmware, **memory).runs_its_firmware
    first = next(iter(memory))
    memory[first] = bytes(len(memory[first]) // 2).hex()
    assert not adopted(firmware, **memory).runs_its_firmware


# ---- Renode's execution metrics


def _metrics(*entries: bytes) -> bytes:
    name = b"uart0"
    header = struct.pack("<iii3s", 1, 0, 3, b"cpu") + struct.pack("<ii5sQQ", 1, len(name), name, 0x40000000, 0x40000FFF)
    return header + b"".join(entries)


def _entry(milliseconds: float, kind: int, content: bytes) -> bytes:
    return struct.pack("<qdB", 0, milliseconds, kind) + content


MEMORY_READ = (1, b"\2")
MEMORY_WRITE = (1, b"\3")
FETCH = (1, b"\4")
UART_READ = (2, struct.pack("<BQ", 0, 0x40000018))


def test_accesses_are_counted_in_slices_of_virtual_time():
    content = _metrics(
        _entry(10.0, *MEMORY_READ),
        _entry(10.0, *FETCH),
        _entry(11.0, 0, bytes(12)),
        _entry(12.4, *UART_READ),
        _entry(13.0, 3, bytes(8)),
        _entry(14.0, *MEMORY_WRITE),
    )
    assert renode_files.accesses_over_time(content, slices=2) == {
        "seconds": [0.002, 0.004],
        "accesses": {"memory reads": [1, 0], "memory writes": [0, 1], "uart0 reads": [0, 1]},
    }


@pytest.mark.parametrize("content", [b"", b"\1\0", _metrics(b"\0" * 5), _metrics(_entry(1.0, 9, b"")), _metrics()])
def test_metrics_that_are_none_are_refused(content):
    with pytest.raises(EngineError, match="execution metrics"):
        renode_files.accesses_over_time(content)


# ---- Renode's own counters


def _recorded_counts() -> Counts:
    windows = RecordedWindows(512, load())
    windows.replay(RECORDED)
    return windows.take()


def test_opcodes_without_a_pattern_are_named_and_explain_the_rest():
    comparison = renode_files.compare_counters(_recorded_counts(), {"ADDI": 3, "vadd_vv": 4, "vsetvli": 1})
    assert comparison.problems() == []
    assert comparison.without_pattern == {"mark": 2}
    assert "10 instructions by the core's counter, 10 by blocks, 8 by Renode's" in comparison.text()


def test_a_counter_that_counts_otherwise_is_a_problem():
    comparison = renode_files.compare_counters(_recorded_counts(), {"addi": 2, "vadd.vv": 4, "vsetvli": 1})
    assert comparison.problems() == ["addi: 3 by blocks, 2 by Renode's counter."]


# ---- Cross-check


@pytest.fixture
def evaluation():
    performance = Performance(
        instructions=(10, 12),
        device_instructions=(10, 12),
        vector_instructions=(4, 4),
        kernel_instructions=(5, 5),
        opcodes={"addi": 5, "vadd.vv": 6},
        dispatches=(),
        load_instructions=100,
        memory_peak_bytes=1000,
        stack_peak_bytes=100,
        lanes=(60, 64),
    )
    outputs = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    quality = Classification(outputs, outputs, np.array([0, 1]), ("a", "b"))
    return Evaluation(None, None, quality, performance, WallClock(0.0, ()))


def test_engines_that_do_the_same_agree(evaluation):
    check = cross_check.compare(evaluation, evaluation, ("renode", "spike"))
    assert check.counts_are_equal
    assert check.problems() == []
    assert "outputs are the same bytes" in check.table()


def test_a_difference_that_opcodes_explain_is_a_table(evaluation):
    performance = replace(evaluation.performance, instructions=(11, 13), opcodes={"addi": 6, "vadd.vv": 6})
    other = replace(evaluation, performance=performance)
    check = cross_check.compare(other, evaluation, ("renode", "spike"))
    assert not check.counts_are_equal
    assert check.problems() == []
    assert "<tr><td>addi</td><td>6</td><td>5</td><td>+1</td></tr>" in check.table()


def test_a_difference_in_no_opcode_is_a_problem(evaluation):
    other = replace(evaluation, performance=replace(evaluation.performance, instructions=(11, 13)))
    (problem,) = cross_check.compare(other, evaluation, ("renode", "spike")).problems()
    assert "1 of the difference are in no opcode's count" in problem


def test_one_bit_of_an_output_is_a_problem(evaluation):
    outputs = evaluation.quality.outputs.copy()
    outputs.view("u4")[1, 0] ^= 1
    other = replace(evaluation, quality=replace(evaluation.quality, outputs=outputs))
    (problem,) = cross_check.compare(other, evaluation, ("renode", "spike")).problems()
    assert "1 of 2 samples have other output bytes on renode than on spike: 1." in problem


# ---- Platforms from descriptions


def entries(text: str) -> dict[str, dict[str, str]]:
    """Of a platform: its entries by name, with class, place and properties; numbers by their values."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if line.startswith("//") or not line.strip():
            continue
        if not line.startswith(" "):
            name, _, what = line.partition(":")
            found[name] = {"": what.strip()}
        else:
            key, _, value = line.strip().partition(":")
            found[list(found)[-1]][key] = value.strip()
    number = re.compile(r"\b(?:0x[0-9A-Fa-f]+|\d+)\b")
    return {
        name: {key: number.sub(lambda each: str(int(each[0], 0)), value) for key, value in entry.items()}
        for name, entry in found.items()
    }


def test_springboks_platform_is_what_its_description_says():
    written = (PLATFORMS / "springbok.repl").read_text(encoding="utf-8")
    assert entries(renode_platform.repl(load("springbok"))) == entries(written)
    assert 'cpuType: "rv32imf_zicsr_zifencei"' in renode_platform.repl(load("springbok"), 0)
    assert "VectorRegisterLength: 128" in renode_platform.repl(load("springbok"), 128)


def test_another_chip_needs_no_class_of_ours():
    chip = load("coralnpu_soc")
    found = entries(renode_platform.repl(chip))
    assert found["cpu"][""] == "CPU.RiscV32 @ sysbus"
    assert found["cpu"]["cpuType"] == '"rv32imfv_zicsr_zifencei_zbb"'
    assert (found["cpu"]["VectorRegisterLength"], found["cpu"]["VectorElementMaxWidth"]) == ("128", "32")
    assert found["uart1"][""] == f"UART.OpenTitan_UART @ sysbus {0x40010000}"
    assert found["ddr"] == {"": f"Memory.MappedMemory @ sysbus {0x80000000}", "size": str(128 << 20)}
    script = renode_platform.resc(chip, "$ORIGIN/chip.repl")
    assert "Springbok.cs" not in script
    assert (
        'InstallCustomInstructionHandlerFromString "00001000000000000000000001110011" "cpu.IsHalted = True"' in script
    )
    assert 'cpu RegisterCSRHandlerFromString 0xf11 "if request.IsRead: request.Value = 0x426"' in script
    assert "    cpu PC 0x1000\n" in script
    wide = entries(renode_platform.repl(load("rv64gcv")))
    assert wide["cpu"][""] == "CPU.RiscV64 @ sysbus"
    assert (wide["cpu"]["cpuType"], wide["cpu"]["VectorElementMaxWidth"]) == ('"rv64imafdcv_zicsr_zifencei"', "64")
    assert wide["uart0"]["wideRegisters"] == "true"


def test_renode_has_the_half_precision_that_it_knows(tmp_path):
    path = tmp_path / "half.toml"
    path.write_text(
        'title = "Half"\nlike = "rv64gcv"\n\n[core]\nisa = "rv64gcv_zicntr_zfh_zvfh_zbb_zcmop_zfa_zicond"\n', "utf-8"
    )
    text = renode_platform.repl(load(path))
    assert entries(text)["cpu"]["cpuType"] == '"rv64imafdcv_zicsr_zifencei_zfh_zvfh_zbb"'
    assert "// Renode does not execute the chip's zcmop, zfa, zicond.\n" in text
    assert "does not execute" not in renode_platform.repl(load("rv64gcv"))


def test_springboks_script_starts_it_by_its_control_block():
    script = renode_platform.resc(load("springbok"), "$ORIGIN/springbok.repl")
    assert "    sysbus WriteDoubleWord 0x4700000c 0\n" in script
    assert "CustomInstruction" not in script


OPS = """\
from __future__ import annotations

COUNT: int = 4


def mac(rs1: int, rs2: int, rd: int) -> int:
    return rd + rs1 * rs2 * COUNT
"""


def _register_in(registers):
    return lambda number: SimpleNamespace(RawValue=registers[number])


@pytest.mark.parametrize("name", ["springbok", "rv64gcv"])
def test_what_is_written_for_renode_can_be_taken_elsewhere(name, tmp_path, capsys, monkeypatch):
    """No place of this machine stands in it; what the script names lies beside it."""
    monkeypatch.setenv(VARIABLE, "springbok")  # which the command changes
    own = {"mac": "ops.py:mac", "dot": "springbok.engines.dot4:dot4"}
    tables = [
        f'[[instruction]]\nname = "{each}"\nmatch = {major:#x}\nmask = 0xFE00707F\nmodel = "{model}"\n'
        for major, (each, model) in zip((0x0B, 0x2B), own.items(), strict=True)
    ]
    standard = [
        f'[[instruction]]\nname = "{each.name}"\nmatch = {each.match:#x}\nmask = {each.mask:#x}\n'
        + (f'does = "{each.does}"\n' if each.does else f'model = "{each.model}"\n')
        for each in load(name).instructions
    ]
    (tmp_path / "ops.py").write_text(OPS)
    (tmp_path / "mine.toml").write_text(f'title = "Mine"\nlike = "{name}"\n\n' + "\n".join(standard + tables))
    folder = tmp_path / "out"
    assert cli.main(["platform", str(folder), "--platform", str(tmp_path / "mine.toml")]) == 0
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert not [each for each, text in texts.items() if str(tmp_path) in text or str(PLATFORMS.parent) in text]
    named = set(re.findall(r"\$ORIGIN/(\S+)", texts["mine.resc"])) - {"mine.elf"}
    assert named == texts.keys() - {"mine.h", "mine.ld", "mine.resc"}
    assert {"mac.instruction.py", "dot.instruction.py", "mine.repl"} <= named
    assert ("Springbok.cs" in named) == (name == "springbok")
    mask = (1 << load(name).xlen) - 1
    for each, model in (("mac", lambda a, b, d: d + a * b * 4), ("dot", dot4)):
        registers = {1: 0x80FF7F01, 2: 0x01FF8003, 3: mask}
        cpu = SimpleNamespace(GetRegister=_register_in(registers), SetRegister=registers.__setitem__)
        word = 2 << 20 | 1 << 15 | 3 << 7
        exec(texts[f"{each}.instruction.py"], {"instruction": word, "cpu": cpu})
        assert registers[3] == model(registers[1], registers[2], mask) & mask
        registers[0] = 0
        exec(texts[f"{each}.instruction.py"], {"instruction": word & ~(31 << 7), "cpu": cpu})
        assert registers[0] == 0


def test_a_device_without_springboks_core_is_renodes_own(tmp_path):
    chip = load("coralnpu_soc")
    chip = replace(chip, devices=(Device("uart0", "pl011", 0x40000000, {}, 11), chip.devices[1]))
    assert entries(renode_platform.repl(chip))["uart0"] == {
        "": f"UART.PL011 @ sysbus {0x40000000}",
        "IRQ -> cpu@11": "",
    }
    chip = replace(chip, devices=(*chip.devices, Device("i2c0", "opencores_i2c", 0x40010000, {})))
    with pytest.raises(EngineError, match="Renode has no model of i2c0"):
        renode_platform.repl(chip)


def test_an_interrupt_is_led_to_the_core():
    chip = load("springbok")
    uart = replace(chip.devices[0], interrupt=11)
    written = renode_platform.repl(replace(chip, devices=(uart, *chip.devices[1:])))
    assert "uart0: UART.SpringbokUart @ sysbus 0x40000000\n    core: cpu\n    IRQ -> cpu@11\n\n" in written
    assert "interrupt" not in written and "cpu@11" not in renode_platform.repl(chip)


def test_what_renode_has_no_model_of_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(VARIABLE, "springbok")  # which the command changes
    with pytest.raises(
        EngineError, match=r"no model of mailbox \(mailbox\) of Coral NPU highmem: there is no renode.repl"
    ):
        renode_platform.repl(load("coralnpu_highmem"))
    assert cli.main(["platform", str(tmp_path / "soc"), "--platform", "coralnpu_soc"]) == 0
    assert sorted(path.name for path in (tmp_path / "soc").iterdir()) == [
        f"coralnpu_soc.{suffix}" for suffix in ("h", "ld", "repl", "resc")
    ]
    assert cli.main(["platform", str(tmp_path / "core"), "--platform", "coralnpu_highmem"]) == 1
    assert "Renode has no model of mailbox" in capsys.readouterr().out
    assert (tmp_path / "core" / "coralnpu_highmem.ld").is_file()


def test_a_chip_without_springboks_core_is_refused(firmware, renode):
    with pytest.raises(EngineError, match="Coral NPU SoC runs on Spike. .*platform FOLDER --platform coralnpu_soc"):
        RenodeEngine(firmware, keyword=renode, chip=load("coralnpu_soc"))


def test_a_users_platform_is_taken_as_it_is(firmware, renode, tmp_path):
    with pytest.raises(EngineError, match="There is no Renode platform"):
        RenodeEngine(firmware, keyword=renode, repl=tmp_path / "own.repl")
    (tmp_path / "own.repl").write_text('using "./springbok.repl"\n')
    with RenodeEngine(firmware, keyword=renode, repl=tmp_path / "own.repl"):
        assert f"$platform=@{tmp_path / 'own.repl'}" in renode.commands
        assert not [each for each in renode.commands if "VectorRegisterLength" in each]
    with RenodeEngine(firmware, keyword=renode, repl=tmp_path / "own.repl", vlen=256):
        assert "sysbus.cpu VectorRegisterLength 256" in renode.commands


def test_renodes_python_keeps_its_own_robot(tmp_path):
    (tmp_path / "site" / "robot").mkdir(parents=True)
    kept = _without_robot(f"{tmp_path / 'mine'}::{tmp_path / 'site'}:{tmp_path}")
    assert kept == f"{tmp_path / 'mine'}:{tmp_path}"


# ---- Renode's Robot server, started from here

STAND_IN = """\
#!{python}
import sys
from xmlrpc.server import SimpleXMLRPCServer

port = int(sys.argv[sys.argv.index("--robot-server-port") + 1])
if "{fails}":
    sys.exit("no display")


class Keywords:
    def get_keyword_names(self):
        return ["ExecuteCommand", "ResetEmulation"]

    def run_keyword(self, name, arguments):
        if arguments == ["bad"]:
            return {{"status": "FAIL", "error": "There was an error executing command 'bad'"}}
        return {{"status": "PASS", "return": name + " " + " ".join(arguments)}}


server = SimpleXMLRPCServer(("127.0.0.1", port), logRequests=False)
server.register_instance(Keywords())
server.serve_forever()
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    def install(fails: str = "") -> Path:
        program = tmp_path / "renode"
        program.write_text(STAND_IN.format(python=sys.executable, fails=fails))
        program.chmod(0o755)
        monkeypatch.setenv("RENODE_ROOT", str(tmp_path))
        return program

    return install


def test_renodes_server_is_started_asked_and_ended(stand_in):
    program = stand_in()
    assert renode_server.find_renode() == program
    with renode_server.RenodeServer(program) as renode:
        assert renode.names == ["ExecuteCommand", "ResetEmulation"]
        assert renode.keyword("Execute Command", "version") == "ExecuteCommand version"
        with pytest.raises(EngineError, match="error executing command 'bad'"):
            renode.keyword("Execute Command", "bad")
        port = renode._proxy._ServerProxy__host
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(port.partition(":")[2])), 1):
        pass


def test_a_renode_that_does_not_start_says_why(stand_in):
    with pytest.raises(EngineError, match="did not start its Robot server: .* Its last words: no display"):
        renode_server.RenodeServer(stand_in("yes"))


SUITE = """\
*** Settings ***
Library    RenodeKeywords


*** Test Cases ***
Should Be Renodes Own
    ${answer}=    Execute Command    version
    Should Be Equal    ${answer}    ExecuteCommand version
    Run Keyword And Expect Error    *executing command 'bad'    Execute Command    bad
"""


def test_plain_robot_has_renodes_keywords(stand_in, tmp_path):
    stand_in()
    (tmp_path / "suite.robot").write_text(SUITE)
    options = ["--pythonpath", str(KEYWORDS), "--output", "NONE", "--log", "NONE", "--report", "NONE"]
    done = subprocess.run(
        [sys.executable, "-m", "robot", *options, str(tmp_path / "suite.robot")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
