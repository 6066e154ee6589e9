# SPDX-License-Identifier: Apache-2.0
"""Which accesses of code reach its stack: against running the code, with random programs."""

from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.engines.stack_accesses import LOAD, NONE, STORE, stack_accesses

RA, SP, S0, A0, A1, A2 = 1, 2, 8, 10, 11, 12
REGISTERS = (SP, S0, A0, A1, A2)


def immediate(funct3, rd, rs1, value):
    return (value & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x13


def addi(rd, rs1, value):
    return immediate(0, rd, rs1, value)


def add(rd, rs1, rs2, funct7=0):
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | rd << 7 | 0x33


def lw(rd, rs1):
    return 2 << 12 | rs1 << 15 | rd << 7 | 0x03


def sw(rs1, rs2):
    return 2 << 12 | rs2 << 20 | rs1 << 15 | 0x23


def beq(words):
    """A branch over so many words, itself included."""
    offset = 4 * words
    high = (offset >> 12 & 1) << 31 | (offset >> 5 & 0x3F) << 25
    return high | (offset >> 1 & 0xF) << 8 | (offset >> 11 & 1) << 7 | 0x63


def jal(rd, words):
    offset = 4 * words
    high = (offset >> 20 & 1) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20
    return high | (offset >> 12 & 0xFF) << 12 | rd << 7 | 0x6F


RET = RA << 15 | 0x67


def accesses(*words):
    return list(stack_accesses(b"".join(word.to_bytes(4, "little") for word in words)))


def test_addresses_that_are_computed_from_the_stack_pointer_are_the_stacks():
    vs1r, vl1re8 = 0x02800027 | A1 << 15, 0x02800007 | A1 << 15
    csrr_vlenb = 0xC22 << 20 | 2 << 12 | A0 << 7 | 0x73
    found = accesses(csrr_vlenb, add(A1, SP, A0), vs1r, addi(A1, A1, 16), vl1re8, addi(A1, A2, 16), vl1re8)
    assert found == [NONE, NONE, STORE, NONE, LOAD, NONE, NONE]


def test_a_register_that_was_overwritten_is_no_address_of_the_stack():
    vsetvli = 0xC1 << 20 | 7 << 12 | A0 << 7 | 0x57
    fadd = A0 << 7 | 0x53  # writes a float's register of the same number
    assert accesses(addi(A0, SP, 8), lw(A1, A0), lw(A0, A0), lw(A1, A0)) == [NONE, LOAD, LOAD, NONE]
    assert accesses(addi(A0, SP, 8), vsetvli, lw(A1, A0)) == [NONE, NONE, NONE]
    assert accesses(addi(A0, SP, 8), fadd, lw(A1, A0)) == [NONE, NONE, LOAD]
    assert accesses(add(A0, SP, A2, 0x20), add(A0, A0, SP, 0x20), lw(A1, A0)) == [NONE, NONE, NONE]


def test_a_call_keeps_what_its_callee_must_and_a_callee_begins_with_its_stack_pointer():
    found = accesses(addi(S0, SP, 16), addi(A0, SP, 8), jal(RA, 4), lw(A1, S0), lw(A1, A0), RET, lw(A1, SP), sw(A0, A1))
    assert found == [NONE, NONE, NONE, LOAD, NONE, NONE, LOAD, NONE]


def test_a_loop_keeps_what_it_does_not_change():
    assert accesses(addi(A0, SP, 8), jal(0, 1), lw(A1, A0), beq(-1), RET) == [NONE, NONE, LOAD, NONE, NONE]
    assert accesses(addi(A0, SP, 8), lw(A1, A0), add(A0, A1, A1), beq(-2), RET)[1] == NONE


steps = st.one_of(
    st.builds(addi, st.sampled_from(REGISTERS[1:]), st.sampled_from(REGISTERS), st.just(4)),
    st.builds(add, st.sampled_from(REGISTERS[1:]), st.sampled_from(REGISTERS), st.sampled_from(REGISTERS)),
    st.builds(lw, st.sampled_from(REGISTERS[1:]), st.sampled_from(REGISTERS)),
    st.builds(sw, st.sampled_from(REGISTERS), st.sampled_from(REGISTERS)),
    st.builds(beq, st.integers(-6, 6).filter(bool)),
)


def run(words, choices):
    """The ways through a program: at each access that is executed, whether its base came from the stack pointer."""
    held, at, reached = {SP}, 0, {}
    for taken in choices:
        if not 0 <= at < len(words):
            break
        word, following = words[at], at + 1
        major, rd, rs1, rs2 = word & 0x7F, word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
        if major in (0x03, 0x23):
            reached.setdefault(at, set()).add(rs1 in held)
        if major == 0x63 and taken:
            following = next(at + each for each in range(-6, 7) if each and beq(each) == word)
        if major in (0x03, 0x13, 0x33):
            makes = major != 0x03 and (rs1 in held or (major == 0x33 and rs2 in held))
            held = held | {rd} if makes else held - {rd}
        at = following
    return reached


@settings(max_examples=60)
@given(st.lists(steps, min_size=1, max_size=14), st.lists(st.booleans(), min_size=30, max_size=30))
def test_what_is_found_is_the_stacks_whichever_way_the_code_runs(words, choices):
    found = accesses(*words)
    for at, was_stack in run(words, choices).items():
        if found[at]:
            assert was_stack == {True}


@given(st.lists(steps.filter(lambda word: word & 0x7F != 0x63), min_size=1, max_size=14))
def test_without_branches_all_of_it_is_found(words):
    found = accesses(*words)
    for at, was_stack in run(words, [False] * len(words)).items():
        assert was_stack == {found[at] != NONE}
