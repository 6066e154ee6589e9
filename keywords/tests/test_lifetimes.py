# SPDX-License-Identifier: Apache-2.0
"""Memory for tensors along an inference: what the module's own allocations say, call by call."""

from types import SimpleNamespace

import pytest

from springbok.modules import lifetimes
from springbok.modules.disassembler import IMPORT, MOVE, REF, Function, Instruction, Opcode
from springbok.modules.lifetimes import Held, tensor_memory

IMPORTS = ("hal_inline.buffer.allocate", "hal_loader.executable.dispatch", "hal_loader.executable.lookup.function")
ALLOCATE, DISPATCH, LOOK_UP = (IMPORT | number for number in range(3))
SIZE, KERNEL, OTHER = 2, 6, 8  # registers of numbers
R = [REF | number for number in range(8)]


class Program:
    """Instructions of a function, a byte each."""

    def __init__(self):
        self.steps = []

    def add(self, mnemonic, *operands):
        self.steps.append(Instruction(len(self.steps), Opcode(0, mnemonic, None), "", operands))
        return self

    def allocate(self, size, buffer):
        self.add("const.i64", ("C", size), ("L", SIZE))
        return self.add("call", ("n", ALLOCATE), ("a", (0, SIZE)), ("z", (R[7], buffer)), ("x", ()))

    def dispatch(self, constant, *buffers):
        """A kernel, by the constant that has its name, on buffers."""
        self.add("const.ref.rodata", ("d", constant), ("R", R[6]))
        self.add("call", ("n", LOOK_UP), ("a", (R[0], R[6] | MOVE)), ("z", (KERNEL,)))
        bindings = tuple(each for buffer in buffers for each in (buffer, SIZE, SIZE))
        sizes = ("k", (0xFFFF, len(buffers)))
        return self.add("call.variadic", ("n", DISPATCH), sizes, ("a", (R[0], KERNEL, 0, 0, 0, *bindings)), ("z", ()))

    def function(self, name, ordinal):
        return Function(ordinal, name, "0v_v", "", len(self.steps), 1, 30, 8, tuple(self.steps), 0)


@pytest.fixture
def held(monkeypatch):
    def follow(*programs, entry="main"):
        functions = tuple(program.function(f"f{number}", number) for number, program in enumerate(programs))
        code = SimpleNamespace(exports=(("main", 0),), functions=functions, imports=[(each, "") for each in IMPORTS])
        archive = SimpleNamespace(rodata=lambda: [b"first", b"second"])
        monkeypatch.setattr(lifetimes, "disassemble", lambda module: code)
        monkeypatch.setattr(lifetimes, "open_archive", lambda module: archive)
        return tensor_memory(b"", entry)

    return follow


def discarded(program):
    """Of both references that an allocation gives, the one that nothing needs."""
    return program.add("discard.refs", ("x", (R[7],)))


def test_a_buffer_is_held_until_its_last_reference_is_moved_away(held):
    program = discarded(Program().allocate(64, R[1]).allocate(100, R[2]))
    program.dispatch(0, R[1], R[2]).dispatch(1, R[1] | MOVE, R[2]).dispatch(0, R[2])
    assert held(program.add("return", ("a", ()))) == [Held("first", 164), Held("second", 164), Held("first", 100)]


def test_both_references_of_an_allocation_hold_it(held):
    program = Program().allocate(64, R[1]).dispatch(0, R[1] | MOVE).dispatch(1)
    assert [each.tensor_bytes for each in held(program.add("return", ("a", ())))] == [64, 64]


def test_what_a_register_held_is_free_when_it_takes_something_else(held):
    program = discarded(Program().allocate(64, R[1])).dispatch(0, R[1])
    program = discarded(program.allocate(8, R[1])).dispatch(1, R[1])
    assert [each.tensor_bytes for each in held(program.add("return", ("a", ())))] == [64, 8]


def test_what_a_called_function_allocates_is_free_when_it_ends(held):
    inner = discarded(Program().allocate(32, R[3])).dispatch(1, R[3]).add("return", ("a", ()))
    outer = discarded(Program().allocate(64, R[1]))
    outer.add("call", ("n", 1), ("a", (R[1],)), ("z", ())).dispatch(0, R[1]).add("return", ("a", ()))
    assert held(outer, inner) == [Held("second", 96), Held("first", 64)]


def test_what_a_global_refers_to_stays(held):
    inner = discarded(Program().allocate(32, R[3])).add("global.store.ref", ("G", 0), ("t", 0), ("m", R[3] | MOVE))
    outer = Program().add("call", ("n", 1), ("a", ()), ("z", ())).dispatch(0).add("return", ("a", ()))
    assert held(outer, inner.add("return", ("a", ()))) == [Held("first", 32)]


def test_a_way_that_only_fails_is_not_taken_and_one_that_is_not_known_is_said(held):
    def branching(last):
        program = discarded(Program().allocate(64, R[1]))
        at = len(program.steps)
        program.add("cond_br", ("i", 1), ("b", at + 2), ("p", ()), ("b", at + 1), ("p", ()))
        program.add(last, ("a", ()))
        return program.dispatch(0, R[1]).add("return", ("a", ()))

    assert held(branching("fail")) == [Held("first", 64)]
    assert held(branching("return")) is None


def test_what_can_not_be_followed_is_unknown(held):
    endless = Program().add("br", ("b", 0), ("p", ()))
    assert held(endless) is None
    itself = Program().add("call", ("n", 0), ("a", ()), ("z", ())).add("return", ("a", ()))
    assert held(itself) is None
    assert held(Program().add("return", ("a", ())), entry="other") is None
    unknown_size = Program().add("call", ("n", ALLOCATE), ("a", (0, OTHER)), ("z", (R[7], R[1])))
    assert held(unknown_size.add("return", ("a", ()))) is None


def test_what_is_no_module_tells_nothing():
    assert tensor_memory(b"") is None
    assert tensor_memory(b"PK\3\4" + bytes(60)) is None
