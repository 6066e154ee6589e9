# SPDX-License-Identifier: Apache-2.0
"""Keeps a model's tensors in buffers of their own, and proves on the finished module that they are.

IREE 3.13 declares the import ``hal_inline.buffer.allocate`` free of side effects, so `cse`, the clean-up at the end of
its VM phase, makes one allocation of two with equal operands: a kernel may then read and write one buffer.
`mend` hides the operands from it; they are there again, unchanged, in the module.

Between the phases `stream` and `hal`, the inline-dynamic model erases the stores of constants that are no part of a
kernel: outputs that are always the same, and constants of dispatches that the compiler made late. `mend` puts each
constant where its global is loaded; it gets into the module's read-only data.

`examine` does not trust that. It follows every reference through the module's bytecode (allocations, views,
globals, lists, branches, calls) and holds the bindings of each dispatch against what the compiler declared in its
stream phase, where every tensor still has a resource of its own: what is written there may share a buffer only with
what shared its resource.

A dispatch that gets no buffer at all is found as well: weights that are packed when the module is loaded are lost.

Example::

    examined = examine(module.read_bytes(), stream_phase, hal_phase)
    assert not examined.shared and not examined.without_weights
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from springbok.modules.disassembler import IMPORT, REF, Disassembly, Function, Instruction, disassemble
from springbok.modules.references import FOLLOWED, NOTHING, Buffer, Part, State, Value, forget_results, targets
from springbok.modules.vmfb import open_archive

if TYPE_CHECKING:
    from iree.compiler import ir

#: Counts up when other modules are made, so that no older cache entry is taken.
VERSION = 2

_ALLOCATE, _DISPATCH = "hal_inline.buffer.allocate", "hal_loader.executable.dispatch"


def need_mending(hal: str) -> bool:
    """Whether the text of the phase `hal` holds allocations that could become one, or lacks constants."""
    return f"{_ALLOCATE} " in hal or bool(_lost(hal))


def mend(source: Path, hal: str, stream: str, output: Path) -> None:
    """Rewrites the file ``source`` of MLIR bytecode, of the phase `hal`: no two allocations become one, and constants
    are where they are used. ``hal`` and ``stream`` are the texts of these phases.

    The size of each allocation goes through a barrier, which the compiler drops after its last clean-up.
    """
    from iree.compiler import ir

    from springbok.compiler.mlir import operations, write

    lost = _lost(hal)
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(source.read_bytes())
        for allocation in operations(module, _ALLOCATE):
            size = allocation.operands[1]
            barrier = ir.Operation.create(
                "util.optimization_barrier", [size.type], [size], ip=ir.InsertionPoint(allocation)
            )
            allocation.operands[1] = barrier.result
        planned = ir.Module.parse(stream) if lost else None
        constants = _stored_constants(planned, lost) if lost else {}
        for load in operations(module, "util.global.load") if constants else ():
            constant = constants.get(load.attributes["global"].value)
            if constant is not None:
                with ir.InsertionPoint(load):
                    load.results[0].replace_all_uses_with(constant.clone().results[0])
        write(module, output)


def _lost(hal: str) -> set[str]:
    """Globals for constants, in the text of the phase `hal`, that nothing is stored to."""
    wanted = set(re.findall(r'^  util\.global private @"?([\w$.-]+)"? : !util\.buffer', hal, re.MULTILINE))
    return wanted - set(re.findall(r'util\.global\.store \S+, @"?([\w$.-]+)"? : ', hal))


def _stored_constants(planned: ir.Module, names: set[str]) -> dict[str, ir.Operation]:
    """The constants that the phase `stream` stores to the globals ``names``, as far as they are known there."""
    from springbok.compiler.mlir import operations

    found = {}
    for store in operations(planned, "util.global.store"):
        name = store.attributes["global"].value
        constant = _constant_behind(store.operands[0], set()) if name in names else None
        if constant is not None:
            found[name] = constant
    return found


def _constant_behind(value: ir.Value, seen: set[int]) -> ir.Operation | None:
    """The constant that a resource of the phase `stream` is mapped to, on one of the ways to it."""
    from iree.compiler import ir

    from springbok.compiler.mlir import constant, owner

    source = owner(value)
    if source is None:
        if hash(value) in seen:
            return None
        ways = (_constant_behind(each, {*seen, hash(value)}) for each in _given(ir.BlockArgument(value)))
        return next((way for way in ways if way is not None), None)
    if source.name == "util.buffer.constant":
        return source
    if source.name == "stream.timepoint.await":
        waiting = [each for each in source.operands if str(each.type).startswith("!stream.resource")]
        return _constant_behind(waiting[list(source.results).index(value)], seen)
    if source.name == "stream.resource.try_map":
        mapped, offset = source.operands[:2]
        return _constant_behind(mapped, seen) if constant(offset) == 0 else None
    return None


def _given(argument: ir.BlockArgument) -> Iterator[ir.Value]:
    """What branches give an argument of a block."""
    block = argument.owner
    for other in block.region.blocks:
        branch = list(other.operations)[-1].operation
        first = [0]
        if branch.name == "cf.cond_br":
            condition, true, _ = branch.attributes["operandSegmentSizes"]
            first = [condition, condition + true]
        for number, successor in enumerate(branch.successors):
            if successor == block:
                yield branch.operands[first[number] + argument.arg_number]


# What the compiler declared


@dataclass
class Bindings:
    """What the stream phase says of one kernel: how many bindings, which are written, which may share a buffer."""

    count: int
    written: set[int] = field(default_factory=set)
    together: set[tuple[int, int]] = field(default_factory=set)


def declared_bindings(stream: str) -> dict[str, Bindings]:
    """Reads the text of the phase `stream`: name of a kernel -> its bindings, over all dispatches of it."""
    found: dict[str, Bindings] = {}
    same: dict[str, str] = {}  # a value -> the resource that it is (a part of)
    captured: dict[str, str] = {}
    lines = iter(stream.splitlines())
    for line in lines:
        if re.match(r"\s*util\.(func|initializer)\b", line):
            same = {}
        elif match := re.match(r"\s*(%\w+)(?::\d+)? = stream\.timepoint\.await .*? => (.*?) :", line):
            results = [match[1], *(f"{match[1]}#{number}" for number in range(match[2].count(",") + 1))]
            values = match[2].split(", ")
            same |= dict(zip(results, [values[0], *values], strict=True))
        elif match := re.match(r"\s*(%\w+) = stream\.resource\.subview (%[\w#]+)\[", line):
            same[match[1]] = match[2]
        elif "stream.cmd.execute" in line:
            captured = {inner: _root(outer, same) for outer, inner in re.findall(r"(%[\w#]+) as (%\w+):", line)}
        elif "stream.cmd.dispatch" in line:
            names = re.findall(r'@"?[\w$.-]+"?::@"?([\w$.-]+)"?', line)
            operands = []
            for row in lines:
                operand = re.match(r"\s*(ro|wo|rw) (%[\w#]+)\[", row)
                if not operand:
                    break
                operands.append((operand[1] != "ro", captured.get(operand[2], operand[2])))
            for name in names:
                _declare(found.setdefault(name, Bindings(len(operands))), operands)
    return found


def _root(value: str, same: dict[str, str]) -> str:
    while value in same:
        value = same[value]
    return value


def _declare(bindings: Bindings, operands: Sequence[tuple[bool, str]]) -> None:
    bindings.written |= {number for number, (written, _) in enumerate(operands) if written}
    bindings.together |= {
        (one, other) for other in range(len(operands)) for one in range(other) if operands[one][1] == operands[other][1]
    }


def declared_allocations(hal: str) -> int:
    """Reads the text of the phase `hal`: allocations on all ways from public functions and initializers."""
    starts = [match.start() for match in re.finditer(r"^  util\.(?:func|initializer)\b", hal, re.MULTILINE)]
    own, calls, roots = {}, {}, []
    for number, (start, end) in enumerate(pairwise([*starts, len(hal)])):
        body = hal[start:end]
        match = re.match(r"  util\.func (public|private)? ?@\"?([\w$.-]+)", body)
        name = match[2] if match else number
        if not match or match[1] != "private":
            roots.append(name)
        own[name] = len(re.findall(rf"{re.escape(_ALLOCATE)} ", body))
        calls[name] = re.findall(r"util\.call @\"?([\w$.-]+)", body)
    return _on_all_ways(roots, own, calls)


def _on_all_ways(roots: Iterable, own: dict, calls: dict) -> int:
    """Sum of ``own`` over the functions on each way through ``calls``; one that calls itself counts once."""
    known: dict = {}

    def count(name: object, above: frozenset) -> int:
        if name in above or name not in own:
            return 0
        if name not in known:
            known[name] = own[name] + sum(count(callee, above | {name}) for callee in calls[name])
        return known[name]

    return sum(count(root, frozenset()) for root in roots)


# What the module does


class _TooIntricateError(Exception):
    """The module calls itself, or in too many ways."""


#: Blocks that are followed before a module counts as too intricate; models have some ten.
_MOST_BLOCKS = 20_000


@dataclass(frozen=True)
class Examined:
    """What is wrong with a module, or can't be proved to be right.

    ``shared`` is a clause for each binding that may share a buffer with another, against the compiler's own words;
    ``without_weights`` names the dispatches that get a null in place of a buffer.
    """

    shared: tuple[str, ...] = ()
    without_weights: tuple[str, ...] = ()


def examine(module: bytes, stream: str, hal: str) -> Examined:
    """Examines the VMFB file ``module``; ``stream`` and ``hal`` are the compiler's code at the end of these phases.

    Modules of another execution model than inline-dynamic are left alone.
    """
    code = disassemble(module)
    if all(name != _DISPATCH for name, _ in code.imports) or any(each.undecoded for each in code.functions):
        return Examined()  # the firmware refuses to load what can't be decoded
    proof = _Proof(code, open_archive(module).rodata(), declared_bindings(stream))
    try:
        proof.run()
    except _TooIntricateError as error:
        proof.shared[str(error)] = None
    wanted, there = declared_allocations(hal), _allocations(code)
    if there < wanted:
        proof.shared[f"{wanted} buffers are allocated in the compiler's phase hal, but {there} in the module"] = None
    return Examined(tuple(proof.shared), tuple(proof.without_weights))


def allocated_bytes(module: bytes) -> int | None:
    """Bytes that the VMFB file ``module`` allocates for tensors, all together; None where it does not say how many."""
    code = disassemble(module)
    proof = _Proof(code, open_archive(module).rodata(), {})
    try:
        proof.run()
    except _TooIntricateError:
        return None
    sizes = list(proof.sizes.values())
    return None if None in sizes else sum(sizes)


def _allocations(code: Disassembly) -> int:
    imported = [name for name, _ in code.imports]
    own, calls = {}, {}
    for function in code.functions:
        called = [value for step in function.instructions for letter, value in step.operands if letter == "n"]
        own[function.ordinal] = sum(bool(each & IMPORT) and imported[each & ~IMPORT] == _ALLOCATE for each in called)
        calls[function.ordinal] = [each for each in called if not each & IMPORT]
    return _on_all_ways(dict.fromkeys(ordinal for _, ordinal in code.exports), own, calls)


class _Proof:
    """Follows every function that is exported, from every state that the others may leave behind."""

    def __init__(self, code: Disassembly, constants: Sequence[bytes], declared: dict[str, Bindings]) -> None:
        self.code = code
        self.constants = constants
        self.declared = declared
        self.imports = [name for name, _ in code.imports]
        self.shared: dict[str, None] = {}
        self.without_weights: dict[str, None] = {}
        self.sizes: dict[tuple[int, ...], int | None] = {}  # of the allocation at each place
        self.blocks = 0

    def run(self) -> None:
        """Fills ``shared`` and ``without_weights``."""
        left = State({}, {}, {}, NOTHING)
        while True:
            before = left.copy()
            self.shared, self.without_weights = {}, {}  # of globals that were not all known yet
            for ordinal in dict.fromkeys(ordinal for _, ordinal in self.code.exports):
                function = self.code.functions[ordinal]
                taken = function.convention.partition("_")[0].count("r")
                inputs = [frozenset({Part(Buffer("input", (number,)), 0, None)}) for number in range(taken)]
                state = left.copy()
                state.age_inputs()
                _, after = self._call(function, (ordinal,), inputs, state)
                left.remember(after)
            if left == before:
                return

    def _call(
        self, function: Function, path: tuple[int, ...], arguments: Sequence[Value], caller: State
    ) -> tuple[list[Value], State]:
        """The references that a function returns, and the globals and lists as it leaves them."""
        places = {step.at: number for number, step in enumerate(function.instructions)}
        first = State({}, dict(enumerate(arguments)), dict(caller.globals), caller.lists)
        states, pending = {0: first}, [0]
        results: list[Value] = []
        left = State({}, {}, {}, NOTHING)
        while pending:
            self.blocks += 1
            if self.blocks > _MOST_BLOCKS:
                raise _TooIntricateError("the module's functions have too many ways to follow")
            at = pending.pop()
            state = states[at].copy()
            for step in function.instructions[places[at] :]:
                if step.opcode.mnemonic == "return":
                    values = [state.reference(register) for register in step.operands[0][1] if register & REF]
                    results = [one | two for one, two in zip(results or [NOTHING] * len(values), values, strict=True)]
                    left.remember(state)
                branches = targets(step)
                for target, moves in branches or ():
                    reached = state.copy()
                    reached.move(moves)
                    if target not in states:
                        states[target] = reached
                    elif not states[target].join(reached):
                        continue
                    pending.append(target)
                if branches is not None:
                    break
                self._step(step, path, state)
        return results, left

    def _step(self, step: Instruction, path: tuple[int, ...], state: State) -> None:
        name = step.opcode.mnemonic
        values = [value for letter, value in step.operands if letter != "t"]
        if name in ("call", "call.variadic"):
            self._call_step(step, path, state)
        elif name in ("buffer.alloc", "buffer.clone"):
            self._allocate([values[-1]], (*path, step.at), None, state)
        elif name == "global.store.indirect.ref":
            for ordinal in range(self.code.global_refs):
                state.globals[ordinal] = state.globals.get(ordinal, NOTHING) | state.reference(values[1])
        elif name in FOLLOWED:
            FOLLOWED[name](state, *values)
        else:
            forget_results(step, state)

    def _allocate(self, registers: Sequence[int], place: tuple[int, ...], size: int | None, state: State) -> None:
        state.age(place)
        self.sizes[place] = size
        for register in registers:
            state.set_reference(register, frozenset({Part(Buffer("allocation", place), 0, size)}))

    def _call_step(self, step: Instruction, path: tuple[int, ...], state: State) -> None:
        operands = dict(step.operands)
        called, arguments, results = operands["n"], operands["a"], operands["z"]
        given = [register for register in results if register & REF]
        before = state.copy()
        forget_results(step, state)
        if called & IMPORT:
            name = self.imports[called & ~IMPORT]
            if name == _DISPATCH:
                self._dispatch(arguments, operands["k"][-1], before)
            elif name in (_ALLOCATE, f"{_ALLOCATE}.initialized"):
                size = before.number(arguments[1], 64) if name == _ALLOCATE else None
                self._allocate(given, (*path, step.at), size, state)
            elif name in ("hal_inline.buffer.wrap", "hal_inline.buffer.subspan", "hal_inline.buffer_view.create"):
                offset, length = (before.number(register, 64) for register in arguments[1:3])
                parts = (part.window(offset, length) for part in before.reference(arguments[0]))
                state.set_reference(given[0], frozenset(parts))
            elif name in ("hal_inline.buffer.storage", "hal_inline.buffer_view.buffer"):
                state.set_reference(given[0], before.reference(arguments[0]))
            elif name == "hal_loader.executable.load":
                state.set_reference(given[0], NOTHING)
            elif name == "hal_loader.executable.lookup.function":
                state.set_number(results[0], 64, self._text(before.reference(arguments[1])))
            return
        if called in path[::2]:
            raise _TooIntricateError(f"the function {self.code.functions[called].name} calls itself")
        place = (*path, step.at, called)
        before.age(place)
        state.age(place)
        taken = [before.reference(register) for register in arguments if register & REF]
        values, after = self._call(self.code.functions[called], place, taken, state)
        state.globals, state.lists = after.globals, after.lists
        for register, value in zip(given, values, strict=False):
            state.set_reference(register, value)

    def _text(self, value: Value) -> str | None:
        """The constant that it is, as text; None if it may be another."""
        (part,) = value if len(value) == 1 else (None,)
        if part is None or part.buffer.kind != "constant":
            return None
        return self.constants[part.buffer.place[0]].decode("utf-8", "replace")

    def _dispatch(self, arguments: Sequence[int], count: int, state: State) -> None:
        kernel = state.number(arguments[1], 64)
        declared = self.declared.get(kernel)
        if declared is None or declared.count != count:
            self.shared[f"{kernel or 'a dispatch'} is not called as in the compiler's phase stream"] = None
            return
        bindings = []
        for reference, offset, length in zip(*[iter(arguments[len(arguments) - 3 * count :])] * 3, strict=True):
            window = state.number(offset, 64), state.number(length, 64)
            bindings.append([part.window(*window) for part in state.reference(reference)])
            if not bindings[-1]:
                self.without_weights[re.match(r".*?_dispatch_\d+|.*", kernel)[0]] = None
        for one in declared.written:
            if any(part.buffer.kind == "constant" for part in bindings[one]):
                self.shared[f"{kernel} writes into a constant (binding {one})"] = None
            for other in range(count):
                if other == one or (min(one, other), max(one, other)) in declared.together:
                    continue
                if any(part.may_meet(another) for part in bindings[one] for another in bindings[other]):
                    both = "writes both" if other in declared.written else "reads one and writes the other"
                    pair = f"{min(one, other)} and {max(one, other)}"
                    self.shared[f"{kernel} may find one buffer behind its bindings {pair}, and {both}"] = None
