# SPDX-License-Identifier: Apache-2.0
"""When a module holds how much memory for tensors: its own allocations, call of a dispatch by call.

The module's bytecode is followed once, as the firmware executes it: a buffer is allocated by a call, and free again
when the last register, list or global that refers to it is overwritten, moved away or left behind. A module whose ways
depend on what it computes is not followed.

Compilers mostly allocate one block for all tensors of an inference, in which kernels find theirs: it is in use from
the first dispatch to the last, and so it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from springbok.modules.disassembler import IMPORT, MOVE, REF, Disassembly, Function, Instruction, disassemble
from springbok.modules.references import FOLLOWED, NOTHING, Buffer, Part, State, Value, forget_results, targets
from springbok.modules.vmfb import open_archive
from springbok.support.errors import ModelError

ALLOCATE, DISPATCH = "hal_inline.buffer.allocate", "hal_loader.executable.dispatch"
#: Windows into a buffer, which keep it.
_SAME_BUFFER = (
    "hal_inline.buffer.wrap",
    "hal_inline.buffer.subspan",
    "hal_inline.buffer.storage",
    "hal_inline.buffer_view.create",
    "hal_inline.buffer_view.buffer",
)
LOOK_UP = "hal_loader.executable.lookup.function"
#: Models have some hundred instructions a dispatch.
_MOST_STEPS = 50_000
_MOST_CALLS_DEEP = 32


class Held(NamedTuple):
    """A call of a dispatch: its kernel, and the bytes that are allocated for tensors while it runs."""

    kernel: str
    tensor_bytes: int


class UnknownWayError(Exception):
    """What the module does depends on what is not known here."""


def tensor_memory(module: bytes, entry: str = "main") -> list[Held] | None:
    """The calls of dispatches of the function ``entry`` of a VMFB file, in their order.

    None of a module that can't be followed, or that keeps its tensors elsewhere.
    """
    try:
        code = disassemble(module)
        ordinals = dict(code.exports)
        if entry not in ordinals or all(name != DISPATCH for name, _ in code.imports):
            return None
        walk = Walk(code, open_archive(module).rodata())
        for name in filter(ordinals.__contains__, ("__init", entry)):
            walk.held = []
            walk.call(code.functions[ordinals[name]])
    except (UnknownWayError, ModelError, LookupError):  # what can't be read tells nothing; the firmware refuses it
        return None
    return walk.held


class Walk:
    """One execution of functions, with what lasts between them."""

    def __init__(self, code: Disassembly, constants: Sequence[bytes]) -> None:
        self.code = code
        self.constants = constants
        self.imports = [name for name, _ in code.imports]
        self.held: list[Held] = []
        self.sizes: dict[Buffer, int] = {}
        self.frames = [State({}, {}, {}, NOTHING)]  # the first one has what lasts between calls
        self.steps = 0

    def call(self, function: Function, arguments: Sequence[Value] = ()) -> list[Value]:
        """Executes a function; returns the references that it returns. Inputs are no allocations of the module's."""
        caller = self.frames[-1]
        state = State({}, dict(enumerate(arguments)), caller.globals, caller.lists)
        if function.undecoded or len(self.frames) > _MOST_CALLS_DEEP:
            raise UnknownWayError
        self.frames.append(state)
        places = {step.at: number for number, step in enumerate(function.instructions)}
        number = 0
        while True:
            step = function.instructions[number]
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise UnknownWayError
            branches = targets(step)
            if step.opcode.mnemonic == "return":
                break
            if branches is None:
                self.step(step, state)
                number += 1
                continue
            target, moves = self._way(branches, function, places)
            state.move(moves)
            self._empty([source for source, _ in moves], state, kept={into for _, into in moves})
            number = places[target]
        registers = [register for register in step.operands[0][1] if register & REF]
        returned = [state.reference(register) for register in registers]
        self.frames.pop()
        caller.globals, caller.lists = state.globals, state.lists
        return returned

    def _way(self, branches, function: Function, places: dict[int, int]) -> tuple[int, Sequence[tuple[int, int]]]:
        """The only way on that does not end in a failure."""
        ways = [each for each in branches if not self._fails(function, places[each[0]])]
        if len(ways) != 1:
            raise UnknownWayError
        return ways[0]

    def _fails(self, function: Function, number: int) -> bool:
        for step in function.instructions[number:]:
            if targets(step) is not None:
                return step.opcode.mnemonic == "fail"
        return False

    def step(self, step: Instruction, state: State) -> None:
        """Executes an instruction that is no branch."""
        name = step.opcode.mnemonic
        values = [value for letter, value in step.operands if letter != "t"]
        given = self._results(step)
        if name in ("call", "call.variadic"):
            self._call_step(step, state)
        elif name in ("buffer.alloc", "buffer.clone", "global.store.indirect.ref"):
            raise UnknownWayError
        elif name in FOLLOWED:
            FOLLOWED[name](state, *values)
        elif name == "discard.refs":
            self._empty([register | REF | MOVE for register in values[0]], state)
        else:
            forget_results(step, state)
        sources = [each for each in self._sources(step) if each & REF and each & MOVE]
        self._empty(sources, state, kept=given)

    def _call_step(self, step: Instruction, state: State) -> None:
        operands = dict(step.operands)
        called, arguments, results = operands["n"], operands["a"], operands["z"]
        given = [register for register in results if register & REF]
        if not called & IMPORT:
            taken = [state.reference(register) for register in arguments if register & REF]
            self._empty([each for each in arguments if each & REF and each & MOVE], state)
            returned = self.call(self.code.functions[called], taken)
            forget_results(step, state)
            for register, value in zip(given, returned, strict=False):
                state.set_reference(register, value)
            return
        self.imported(self.imports[called & ~IMPORT], step, state)

    def imported(self, name: str, step: Instruction, state: State) -> None:
        """Executes a call of what is no function of the module."""
        operands = dict(step.operands)
        arguments, results = operands["a"], operands["z"]
        given = [register for register in results if register & REF]
        if name == DISPATCH:
            kernel = state.number(arguments[1], 64)
            self.held.append(Held(kernel if isinstance(kernel, str) else "", self._bytes_held()))
        same = state.reference(arguments[0]) if name in _SAME_BUFFER else NOTHING
        size = state.number(arguments[1], 64) if name == ALLOCATE else None
        text = self.text(state.reference(arguments[1])) if name == LOOK_UP else None
        forget_results(step, state)
        for register in given:
            state.set_reference(register, same)
        if name.startswith(ALLOCATE):
            if size is None:
                raise UnknownWayError
            self.allocate(size, given, state)
        elif name == LOOK_UP:
            state.set_number(results[0], 64, text)

    def allocate(self, size: int, registers: Sequence[int], state: State) -> Buffer:
        """A new buffer of ``size`` bytes, which these registers refer to."""
        buffer = Buffer("allocation", (len(self.sizes),))
        self.sizes[buffer] = size
        for register in registers:
            state.set_reference(register, frozenset({Part(buffer, 0, size)}))
        return buffer

    def _bytes_held(self) -> int:
        """Of all buffers that something refers to."""
        values = [value for state in self.frames for value in state.references.values()]
        values += [*self.frames[-1].globals.values(), self.frames[-1].lists]
        buffers = {part.buffer for value in values for part in value}
        return sum(self.sizes.get(buffer, 0) for buffer in buffers)

    def text(self, value: Value) -> str | None:
        """The constant that a reference refers to, as text."""
        (part,) = value if len(value) == 1 else (None,)
        if part is None or part.buffer.kind != "constant":
            return None
        return self.constants[part.buffer.place[0]].decode("utf-8", "replace")

    def _results(self, step: Instruction) -> set[int]:
        found = [value if letter == "z" else (value,) for letter, value in step.operands if letter in "Rz"]
        return {register for group in found for register in group if register & REF}

    def _sources(self, step: Instruction) -> list[int]:
        found = [value if letter in "au" else (value,) for letter, value in step.operands if letter in "rmau"]
        return [register for group in found for register in group]

    def _empty(self, registers: Sequence[int], state: State, kept: set[int] = frozenset()) -> None:
        """References that were moved away; a register that took a result since has that."""
        into = {register & ~MOVE for register in kept}
        for register in registers:
            if register & MOVE and register & REF and register & ~MOVE not in into:
                state.set_reference(register, NOTHING)
