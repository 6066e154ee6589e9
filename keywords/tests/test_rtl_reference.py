# SPDX-License-Identifier: Apache-2.0
"""The reference of the lockstep alone: what it says of a retire port that tells something else than what happens.

A retire port is played by hand here, so no core is needed; skipped without Spike or a C++ compiler.
"""

from __future__ import annotations

import ctypes
import random
import re

import pytest

from springbok.engines import spike_library
from springbok.rtl import build, compressed_units, random_program, reference
from springbok.rtl.core import VOLATILE, CsrRule
from springbok.rtl.extensions import COMPRESSED, WORDS, extensions_of, name_of
from springbok.rtl.native_machine import TOUCHED, Retired
from springbok.rtl.report import ERROR

pytestmark = pytest.mark.skipif(
    spike_library.what_is_missing() is not None, reason=spike_library.what_is_missing() or ""
)

START, HANDLER = 0x1000, 0x1100
ISA = "rv32imc_zba_zbb_zbc_zbs_zicond_zicsr_zifencei"
ADDI, LOAD, ILLEGAL = 0x0010_8093, 0x0001_2183, 0xFFFF_FFFF  # addi x1, x1, 1; lw x3, 0(x2)
SOFTWARE = 1 << 3
DEVICE = 0x4000
DEVICE_READ = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)
)


class Port:
    """A reference with memory from `START` on, mtvec at `HANDLER`, interrupts on, x1 = 0, x2 = `START`."""

    def __init__(
        self, *words: int, privilege: str = "m", stores_on_bus: bool = False, rules=(), isa: str = ISA
    ) -> None:
        self.golden = ctypes.CDLL(str(build.build_golden()))
        self.golden.golden_new.restype = ctypes.c_void_p
        self.golden.golden_disassemble.restype = ctypes.c_char_p
        places = [(START, 0x1000)], [(DEVICE, 0x100)]
        config = reference.config(isa, privilege, START, *places, rules, stores_on_bus)
        self.reads: list[tuple[int, int]] = []  # of the device: address, value
        self._kept = DEVICE_READ(self._read)
        config.device_read = ctypes.cast(self._kept, ctypes.c_void_p)
        self.own = ctypes.c_void_p(self.golden.golden_new(ctypes.byref(config)))
        # lui x2, 1; lui x5, 1; addi x5, x5, 0x100; csrw mtvec, x5; csrsi mie, 8; csrsi mstatus, 8
        begin = [0x1137, 0x12B7, 0x1002_8293, 0x3052_9073, 0x3044_6073, 0x3004_6073]
        self.write(START, [*begin, *words])
        self.write(HANDLER, [ADDI] * 4)
        self.pc, self.number = START, 0
        for word, rd, value in zip(begin, (2, 5, 5, 0, 0, 0), (0x1000, 0x1000, HANDLER, 0, 0, 0), strict=True):
            assert self.retire(word, rd=rd, rd_value=value) == ""

    def _read(self, _owner: int, address: int, count: int, value) -> int:
        if not self.reads or self.reads[0][0] != address & ~3:
            return 0
        value[0] = self.reads.pop(0)[1] >> 8 * (address & 3) & ((1 << 8 * count) - 1)
        return 1

    def write(self, address: int, words: list[int]) -> None:
        content = b"".join(word.to_bytes(4, "little") for word in words)
        self.golden.golden_write(self.own, address, content, len(content))

    def bus_store(self, address: int, enables: int) -> None:
        """A store of x5, which is `HANDLER`, to all halves of a word, as far as it is enabled."""
        self.golden.golden_bus_store(self.own, address, enables, HANDLER.to_bytes(2, "little") * 2, 0)

    def retire(self, word: int, pc: int | None = None, lines: int = 0, **told: int) -> str:
        """What differs when this retires; the next is expected behind it."""
        self.number += 1
        pc = self.pc if pc is None else pc
        why = ctypes.create_string_buffer(400)
        retired = Retired(number=self.number, pc=pc, word=word, **told)
        if self.golden.golden_step(self.own, ctypes.byref(retired), lines, why, 400):
            return " ".join(why.value.decode().split())
        self.pc = HANDLER if told.get("trapped") else pc + (4 if word & 3 == 3 else 2)
        return ""


def test_the_word_that_the_port_tells_is_the_one_in_memory():
    assert Port(ADDI).retire(ADDI, rd=1, rd_value=1) == ""
    assert Port(ADDI).retire(ADDI + (1 << 20), rd=1, rd_value=1) == (
        "the retire port tells 0x00208093, memory holds 0x00108093 there, addi ra, ra, 1"
    )


def test_of_a_compressed_instruction_the_lower_half_counts():
    li = 0x4505  # c.li a0, 1
    for upper in (0, 0xABCD_0000):
        assert Port(li).retire(upper | li, rd=10, rd_value=1) == ""
    said = Port(li).retire(0x0010_0513, rd=10, rd_value=1)  # what it stands for
    assert said == "the retire port tells 0x100513, memory holds 0x4505 there, c.li a0, 1"


def test_what_traps_may_tell_no_word():
    for word in (0, ILLEGAL):
        assert Port(ILLEGAL).retire(word, trapped=1) == ""
    assert "memory holds 0xffffffff" in Port(ILLEGAL).retire(ADDI, trapped=1)


def test_a_handler_begins_only_where_one_is():
    said = Port(ADDI).retire(ADDI, rd=1, rd_value=1, first_of_handler=1)
    assert said == "rvfi_intr tells that a handler begins here, which mtvec, 0x00001100, does not name"
    early = Port(ADDI).retire(ADDI, rd=1, rd_value=1, first_of_handler=1, lines=SOFTWARE)
    assert early == f"{said}; an interrupt (lines 0x8) is pending and enabled"
    port = Port(ILLEGAL)
    assert port.retire(ILLEGAL, trapped=1) == ""
    assert port.retire(ADDI, rd=1, rd_value=1, first_of_handler=1) == ""


def test_an_interrupt_that_is_taken_and_not_told_is_named():
    port = Port(ADDI)
    assert port.retire(ADDI, HANDLER, SOFTWARE, rd=1, rd_value=1, first_of_handler=1) == ""
    port = Port(ADDI)
    assert port.retire(ADDI, HANDLER, SOFTWARE, rd=1, rd_value=1) == (
        f"pc: expected 0x{port.pc:08x}, got 0x00001100; an interrupt (lines 0x8) is pending and enabled, and rvfi_intr "
        "does not tell that it was taken"
    )


@pytest.mark.parametrize("flag", [0, 1])
def test_a_fetch_that_the_bus_refuses_is_named_where_its_trap_is_not_told(flag):
    port = Port(ADDI)
    port.golden.golden_fetch_error(port.own, port.pc & ~7, 8)
    said = port.retire(ADDI, HANDLER, rd=1, rd_value=1, first_of_handler=flag)
    assert said.endswith(
        f"; the bus answered the fetch of the instruction at 0x{port.pc:08x} with an error, and the retire port tells "
        "none that trapped by it"
    )
    assert refused(port) == [(port.pc, 0)]
    port = Port(ADDI)
    port.golden.golden_fetch_error(port.own, port.pc & ~7, 8)
    assert port.retire(0, trapped=1) == ""


def test_an_access_that_the_bus_refuses_is_named_where_its_trap_is_not_told():
    port = Port(LOAD)
    port.golden.golden_bus_error(port.own, START, 4, 0)
    said = port.retire(ADDI, HANDLER, rd=1, rd_value=1)
    assert said.endswith(
        "; the bus answered an access to 0x00001000 with an error, and the retire port tells none that trapped by it"
    )
    assert refused(port) == [(START, 0)]
    port = Port(LOAD)
    port.golden.golden_bus_error(port.own, START, 4, 0)
    assert port.retire(LOAD, trapped=1) == ""


def refused(port: Port) -> list[tuple[int, int]]:
    """What a program that repeats the last step is refused: addresses, and in which step."""
    found = []
    port.golden.golden_rewind(port.own, 1)
    touched = TOUCHED(lambda _, *what: found.append(what))
    port.golden.golden_replay(port.own, 1, touched, None)
    return [(address, step) for address, step, kind, _ in found if kind == ERROR]


MRET = 0x3020_0073
BEQ, BNE, JAL, SH = 0x0000_0863, 0x0000_1863, 0x0100_006F, 0x0051_1323  # all 16 ahead; sh x5, 6(x2)


@pytest.mark.parametrize(
    ("word", "taken", "said"),
    [
        (BEQ, 4, "branch not taken: expected pc 0x{16:08x}, got 0x{4:08x}"),
        (BNE, 16, "branch taken: expected pc 0x{4:08x}, got 0x{16:08x}"),
        (BEQ, 8, "the branch went elsewhere: expected pc 0x{16:08x}, got 0x{8:08x}"),
        (0xC801 | 8 - 8 << 7, 2, "branch not taken: expected pc 0x{16:08x}, got 0x{2:08x}"),  # c.beqz x8, 16
        (JAL, 4, "the jump went elsewhere: expected pc 0x{16:08x}, got 0x{4:08x}"),
        (ADDI, 8, "pc: expected 0x{4:08x}, got 0x{8:08x}"),
    ],
)
def test_a_branch_that_goes_wrong_is_named_and_not_where_it_went(word, taken, said):
    port = Port(word, *[ADDI] * 8)
    begin = port.pc
    assert port.retire(word, **({"rd": 1, "rd_value": 1} if word == ADDI else {})) == ""
    found = port.retire(ADDI, begin + taken, rd=1, rd_value=1)
    places = {each: begin + each for each in (2, 4, 8, 16)}
    assert found == re.sub(r"\{(\d+):08x\}", lambda each: f"{places[int(each[1])]:08x}", said)
    assert port.golden.golden_behind(port.own) == (word != ADDI)


@pytest.mark.parametrize(
    ("address", "enables", "said"),
    [
        (START + 4, 0b1100, ""),
        (START + 4, 0b1110, "expected byte enables 1100 of the word at 0x00001004, got 1110"),
        (START + 4, 0b1000, "expected byte enables 1100 of the word at 0x00001004, got 1000"),
        (START + 4, 0b0011, "expected byte enables 1100 of the word at 0x00001004, got 0011"),
    ],
)
def test_bytes_on_the_bus_are_those_of_the_store_that_wrote_them(address, enables, said):
    port = Port(SH, ADDI, SH, stores_on_bus=True)
    port.bus_store(address, enables)
    found = port.retire(SH)
    if not found:
        assert port.retire(ADDI, rd=1, rd_value=1) == ""
        port.bus_store(START + 4, 0b1100)
        found = port.retire(SH)
    assert found == (f"on the bus, store to 0x00001006: {said}" if said else "")
    assert port.golden.golden_behind(port.own) == (2 if enables == 0b1000 else 0)


def test_a_store_in_smaller_pieces_is_the_same():
    port = Port(SH, stores_on_bus=True)
    for lanes in (0b0100, 0b1000):
        port.bus_store(START + 4, lanes)
    assert port.retire(SH) == ""


def test_an_interrupt_that_is_off_in_machine_mode_comes_in_user_mode():
    for privilege, said in (("mu", ""), ("m", "an interrupt was taken that was not there, or not enabled")):
        port = Port(MRET, privilege=privilege)  # as it comes up: to user mode where there is one, without interrupts
        assert port.retire(MRET) == ""
        found = port.retire(ADDI, HANDLER, SOFTWARE, rd=1, rd_value=1, first_of_handler=1)
        assert found[: len(said) or None] == said


def test_an_interrupt_that_never_comes_is_told_though_traps_turn_it_off_in_between():
    port = Port(ILLEGAL)
    port.write(HANDLER, [MRET])
    at, said = port.pc, ""
    while not said and port.number < 2000:
        said = port.retire(ILLEGAL, at, SOFTWARE, trapped=1) or port.retire(MRET, HANDLER, SOFTWARE)
    assert said == (
        "an interrupt (lines 0x8) is not taken, 512 instructions after it was enabled and raised; mret at 0x00001100 "
        "turned interrupts on, 1 instructions before this one"
    )
    assert port.golden.golden_waiting(port.own) == 1 + 2 * 512  # so long before it was raised: a program waits as long


def test_a_trap_that_the_port_hides_is_told_as_such():
    said = Port(ILLEGAL).retire(ADDI, HANDLER, rd=1, rd_value=1)
    assert said.endswith("; a handler begins there, and the retire port tells none before it that trapped")


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize(
    ("funct3", "size", "signed"), [(0, 1, True), (1, 2, True), (2, 4, True), (4, 1, False), (5, 2, False)]
)
def test_a_device_is_read_by_words_of_the_bus(offset, funct3, size, signed):
    """Also where the reference takes what lies in two words byte by byte."""
    words = (0x8091_A2B3, 0xC4D5_E6F7)
    load = offset << 20 | 5 << 15 | funct3 << 12 | 3 << 7 | 0x03
    port = Port(DEVICE | 5 << 7 | 0x37, load, isa=f"{ISA}_zicclsm")
    assert port.retire(DEVICE | 5 << 7 | 0x37, rd=5, rd_value=DEVICE) == ""
    port.reads = [(DEVICE + 4 * at, word) for at, word in enumerate(words[: 1 + (offset + size > 4)])]
    content = b"".join(word.to_bytes(4, "little") for word in words)[offset : offset + size]
    value = int.from_bytes(content, "little", signed=funct3 < 4) & 0xFFFF_FFFF
    assert port.retire(load, rd=3, rd_value=value) == ""
    assert port.reads == []


def csr(address: int, rd: int = 3, rs1: int = 0, funct3: int = 2) -> int:
    return address << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x73


@pytest.mark.parametrize("address", [0xB02, 0xB82])
def test_a_trap_that_the_port_tells_where_a_counter_is_read_is_none(address):
    rules = [CsrRule("", each, compared=0) for each in VOLATILE]
    assert Port(csr(address), rules=rules).retire(csr(address), trapped=1) == "trapped; expected was none"


def test_a_register_that_the_core_has_not_traps():
    tselect = csr(0x7A0)
    assert Port(tselect).retire(tselect, trapped=1) == "trapped; expected was none"
    assert Port(tselect, rules=[CsrRule("tselect", 0x7A0, is_absent=True)]).retire(tselect, trapped=1) == ""


@pytest.mark.parametrize("address", [0xF11, 0xF12, 0xF13, 0xF14, 0x301])
def test_what_a_core_is_has_the_value_of_its_rule(address):
    rules = [CsrRule("", address, reset=0x602)]
    assert Port(csr(address), rules=rules).retire(csr(address), rd=3, rd_value=0x602) == ""
    said = Port(csr(address), rules=rules).retire(csr(address), rd=3, rd_value=7)
    assert said == "x3: expected 0x00000602, got 0x00000007"


def test_an_isa_that_spike_does_not_know_is_refused_and_ends_nothing():
    library = build.build_golden()
    assert reference.refusal(library, "rv32im_zicsr", "m") is None
    assert reference.refusal(library, "rv32im_zfoo_zicsr", "m") == "unsupported extension: zfoo"


def test_instructions_of_extensions_are_what_spike_takes_them_for():
    port, chooser = Port(), random.Random(3)
    for _ in range(20):
        for name in (each for table in WORDS.values() for each in table):
            (word,) = random_program._unit(name, random_program.EXTENSION, chooser, [], chooser, True)
            assert disassembled(port, word) == name == name_of(word)
        for name in COMPRESSED:
            halves = compressed_units.unit(name, chooser, chooser.choice(compressed_units.BASES))
            assert len(halves) % 2 == 0
            mine = [half for half in halves if name_of(half) == name and half & 3 != 3]
            assert mine
            if name not in ("c.jr", "c.ebreak"):  # Spike has an alias
                assert disassembled(port, mine[0]) == name


def disassembled(port: Port, word: int) -> str:
    return port.golden.golden_disassemble(port.own, word).decode().split()[0].removesuffix(".rv32")


def test_extensions_are_those_of_the_string():
    assert extensions_of("rv32imac_zicsr") == ("i", "m", "a", "c", "zicsr")
    assert extensions_of("rv32imzba_zbb") == ("i", "m", "zba", "zbb")
    assert extensions_of("RV32G")[:2] == ("i", "m")
