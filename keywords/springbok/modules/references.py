# SPDX-License-Identifier: Apache-2.0
"""What is known of references and numbers while a module's bytecode is followed, and what each instruction changes.

Buffers are told apart by where they were allocated; the newest allocation of a place is kept apart from the older
ones, so that a loop may read the buffer of the round before and write a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from springbok.modules.disassembler import INDEX, REF, Instruction


class Buffer(NamedTuple):
    """An allocation by its place (with ``latest``: the newest of that place, else any older one), an input or a
    constant by its number, or what is not known.
    """

    kind: str
    place: tuple[int, ...] = ()
    latest: bool = True


class Part(NamedTuple):
    """Bytes of a buffer from ``start`` to before ``end``; None where that is not known."""

    buffer: Buffer
    start: int | None
    end: int | None

    def window(self, offset: int | None, length: int | None) -> Part:
        """The part of it that begins at ``offset``."""
        if self.start is None or offset is None:
            return Part(self.buffer, None, None)
        start = self.start + offset
        return Part(self.buffer, start, self.end if length is None else start + length)

    def may_meet(self, other: Part) -> bool:
        """Whether both may have a byte in common."""
        if "unknown" in (self.buffer.kind, other.buffer.kind):
            return True
        before = any(
            one.end is not None and two.start is not None and one.end <= two.start
            for one, two in ((self, other), (other, self))
        )
        return self.buffer == other.buffer and not before


#: What a reference may refer to; nothing at all is a null, or something that is no buffer.
Value = frozenset[Part]
NOTHING: Value = frozenset()
UNKNOWN: Value = frozenset({Part(Buffer("unknown"), None, None)})
#: A value that may be more than this is widened to whole buffers, so that loops come to an end.
_MOST_PARTS = 32


def _widened(value: Value) -> Value:
    if len(value) <= _MOST_PARTS:
        return value
    return frozenset(Part(part.buffer, None, None) for part in value)


@dataclass
class State:
    """What is known at a place: numbers and names of kernels by register (with their width), references, memory."""

    numbers: dict[int, tuple[int, int | str]]
    references: dict[int, Value]
    globals: dict[int, Value]
    lists: Value

    def copy(self) -> State:
        return State(dict(self.numbers), dict(self.references), dict(self.globals), self.lists)

    def number(self, register: int, width: int) -> int | str | None:
        known = self.numbers.get(register)
        return known[1] if known and known[0] == width else None

    def set_number(self, register: int, width: int, value: int | str | None) -> None:
        for other, reach in ((register, 32), (register - 1, 64), (register + 1, 32 if width == 64 else 0)):
            if other in self.numbers and (other == register or self.numbers[other][0] >= reach > 0):
                del self.numbers[other]
        if value is not None:
            self.numbers[register] = (width, value)

    def reference(self, register: int) -> Value:
        return self.references.get(register & INDEX, NOTHING)

    def set_reference(self, register: int, value: Value) -> None:
        self.references[register & INDEX] = _widened(value)

    def move(self, pairs: Iterable[tuple[int, int]]) -> None:
        """The parallel copies of a branch."""
        before = self.copy()
        pairs = list(pairs)
        for _, target in pairs:
            if not target & REF:
                self.set_number(target, 32, None)
        for source, target in pairs:
            if target & REF:
                self.set_reference(target, before.reference(source))
            elif source in before.numbers:
                self.numbers[target] = before.numbers[source]

    def age(self, place: tuple[int, ...]) -> None:
        """What was the newest allocation of ``place``, or of what is called there, is an older one from now on."""
        self._age(lambda buffer: buffer.kind == "allocation" and buffer.place[: len(place)] == place)

    def age_inputs(self) -> None:
        """What is kept of the inputs is of an earlier call."""
        self._age(lambda buffer: buffer.kind == "input")

    def _age(self, is_meant: Callable[[Buffer], bool]) -> None:
        def aged(value: Value) -> Value:
            return frozenset(
                part._replace(buffer=part.buffer._replace(latest=False)) if is_meant(part.buffer) else part
                for part in value
            )

        self.references = {register: aged(value) for register, value in self.references.items()}
        self.globals = {ordinal: aged(value) for ordinal, value in self.globals.items()}
        self.lists = aged(self.lists)

    def join(self, other: State) -> bool:
        """Takes in what else may be at this place; returns whether that was something new."""
        before = self.copy()
        self.numbers = {
            register: known for register, known in self.numbers.items() if other.numbers.get(register) == known
        }
        for register, value in other.references.items():
            self.set_reference(register, self.references.get(register, NOTHING) | value)
        self.remember(other)
        return self != before

    def remember(self, other: State) -> None:
        """Takes in what else may be in the globals and lists."""
        for ordinal, value in other.globals.items():
            self.globals[ordinal] = _widened(self.globals.get(ordinal, NOTHING) | value)
        self.lists = _widened(self.lists | other.lists)


def targets(step: Instruction) -> list[tuple[int, Sequence[tuple[int, int]]]] | None:
    """Where it branches to, with the moves; None for what goes on to the next instruction."""
    name = step.opcode.mnemonic
    if name not in ("br", "cond_br", "br_table", "return", "fail"):
        return None
    places = [value for letter, value in step.operands if letter == "b"]
    moves = [value for letter, value in step.operands if letter == "p"]
    cases = [case for letter, value in step.operands if letter == "T" for case in value]
    return [*zip(places, moves, strict=True), *cases]


def forget_results(step: Instruction, state: State) -> None:
    """Nothing is known of what it gives."""
    for letter, value in step.operands:
        for register in value if letter == "z" else (value,) if letter in "ILFR" else ():
            if register & REF:
                state.set_reference(register, UNKNOWN)
            else:
                # A result of a call may be a pair: both halves are forgotten.
                state.set_number(register, 32 if letter in "IF" else 64, None)


def _constant(width: int) -> Callable[..., None]:
    return lambda state, value, register: state.set_number(register, width, value)


def _zero(width: int) -> Callable[..., None]:
    return lambda state, register: state.set_number(register, width, 0)


def _converted(width: int, to: int) -> Callable[..., None]:
    def convert(state: State, source: int, register: int) -> None:
        value = state.number(source, width)
        fits = isinstance(value, int) and 0 <= value < 1 << 31
        state.set_number(register, to, value if fits else None)

    return convert


def _computed(width: int, compute: Callable[[int, int], int]) -> Callable[..., None]:
    def step(state: State, one: int, other: int, register: int) -> None:
        operands = state.number(one, width), state.number(other, width)
        known = all(isinstance(each, int) for each in operands)
        value = compute(*operands) if known else None
        state.set_number(register, width, value if known and 0 <= value < 1 << (width - 1) else None)

    return step


def _constant_reference(state: State, number: int, register: int) -> None:
    state.set_reference(register, frozenset({Part(Buffer("constant", (number,)), 0, None)}))


def _nothing(state: State, *registers: int) -> None:
    state.set_reference(registers[-1], NOTHING)


def _copied(state: State, source: int, register: int) -> None:
    state.set_reference(register, state.reference(source))


def _selected(state: State, condition: int, one: int, other: int, register: int) -> None:
    del condition
    state.set_reference(register, state.reference(one) | state.reference(other))


def _switched(state: State, number: int, default: int, choices: Sequence[int], register: int) -> None:
    del number
    state.set_reference(register, frozenset().union(*map(state.reference, (default, *choices))))


def _list_set(state: State, into: int, number: int, register: int) -> None:
    del into, number
    state.lists |= state.reference(register)


def _list_get(state: State, taken_from: int, number: int, register: int) -> None:
    del taken_from, number
    state.set_reference(register, state.lists)


def _global_load(state: State, ordinal: int, register: int) -> None:
    state.set_reference(register, state.globals.get(ordinal, NOTHING))


def _any_global_load(state: State, ordinal: int, register: int) -> None:
    del ordinal
    state.set_reference(register, frozenset().union(*state.globals.values()))


def _global_store(state: State, ordinal: int, register: int) -> None:
    state.globals[ordinal] = state.reference(register)


# The instructions whose results are followed, with their operands as the encoding has them, but for types. Of numbers
# these are few: sizes and offsets are constants, or made of some.
FOLLOWED: dict[str, Callable[..., None]] = {
    "const.i32": _constant(32),
    "const.i64": _constant(64),
    "const.i32.zero": _zero(32),
    "const.i64.zero": _zero(64),
    "trunc.i64.i32": _converted(64, 32),
    "ext.i32.i64.s": _converted(32, 64),
    "ext.i32.i64.u": _converted(32, 64),
    **{f"add.i{width}": _computed(width, int.__add__) for width in (32, 64)},
    **{f"sub.i{width}": _computed(width, int.__sub__) for width in (32, 64)},
    **{f"mul.i{width}": _computed(width, int.__mul__) for width in (32, 64)},
    "const.ref.rodata": _constant_reference,
    "const.ref.zero": _nothing,
    "list.alloc": _nothing,
    "cast.any.ref": _copied,
    "assign.ref": _copied,
    "select.ref": _selected,
    "switch.ref": _switched,
    "list.set.ref": _list_set,
    "list.get.ref": _list_get,
    "global.load.ref": _global_load,
    "global.load.indirect.ref": _any_global_load,
    "global.store.ref": _global_store,
}
