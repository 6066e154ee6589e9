# SPDX-License-Identifier: Apache-2.0
"""What is said of a difference between a core's RTL and the reference, and what a program needs that repeats it."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from springbok.engines.base import MSTATUS_MIE
from springbok.rtl.native_machine import NativeMachine

BEFORE = 12  # instructions that a report shows
MACHINE_MODE = 3
LENGTHS = (1, 4, 16, 64, 256)  # of programs that repeat it, in instructions
CODE, LOAD, STORE, INTERRUPT, ANSWER, ERROR = range(6)
HANDLER_BYTES = 64  # of a trap vector that a program gets along, where an interrupt waits


def describe(native: NativeMachine, place: dict, stuck: str = "") -> dict:
    """The difference, at the newest instruction that retired; ``stuck`` is what is said where none retires any more,
    and nothing differed. At least one must have retired."""
    before = history(native)
    wrong = before[-1 if stuck else -1 - native.behind()]
    return {**place, **wrong, "why": waiting(native, stuck) if stuck else native.why, "stuck": bool(stuck),
            "before": before}  # fmt: skip


def history(native: NativeMachine) -> list[dict]:
    """The newest instructions that retired, the newest last: number, cycle, pc, word, assembly, effect. They begin some
    before the one that differs."""
    return [
        {
            "number": each.number,
            "cycle": each.cycle,
            "pc": each.pc,
            "word": each.word,
            "assembly": native.disassemble(each.word),
            "effect": _effect(each),
        }
        for each in native.history(BEFORE + native.behind())
    ]


def listed(before: Sequence[dict]) -> list[str]:
    """Lines for what `history` gave."""
    return [
        "The last instructions:",
        *(
            f"  {each['number']:>10}  {each['pc']:08x}  {each['assembly']:<28} {each['effect']}".rstrip()
            for each in before
        ),
    ]


def waiting(native: NativeMachine, said: str) -> str:
    """What is ``said`` of a core that is stuck, with the interrupt that is pending."""
    lines = native.state.lines
    if not lines:
        return f"{said}; no interrupt is pending"
    if not native.has_reference:
        return f"{said}; an interrupt (lines 0x{lines:x}) is pending"
    state, _ = native.reference_state()
    allowed = state.mstatus & MSTATUS_MIE or state.privilege < MACHINE_MODE
    enabled = "enabled" if lines & state.mie and allowed else "not enabled"
    return f"{said}; an interrupt (lines 0x{lines:x}) is pending and {enabled}"


def _effect(each) -> str:
    parts = ["first of a handler"] if each.first_of_handler else []
    if each.trapped:
        parts.append("trapped")
    if each.rd:
        parts.append(f"x{each.rd} = 0x{each.rd_value:08x}")
    if each.frd_written:
        parts.append(f"f{each.frd} = 0x{each.frd_value:08x}")
    if each.write_mask and not each.trapped:
        parts.append(f"store 0x{each.write_data:x} to 0x{each.memory_address:08x}, bytes {each.write_mask:04b}")
    return ", ".join(parts)


def windows(native: NativeMachine, raises: bool = False) -> list[dict]:
    """Where to begin so that the same instructions lead to the difference, a few lengths: state, memory, code.

    With ``raises`` an interrupt that is pending matters, also where the reference does not wait for it.
    """
    if not native.has_reference:
        return []
    found = []
    for length in LENGTHS:
        steps = native.rewind(min(length, native.kept()))
        if steps == 0 or (found and steps <= found[-1]["steps"]):
            native.replay(steps, lambda *_: None)
            break
        found.append({"steps": steps, **_window(native, steps, raises)})
    return found


def _window(native: NativeMachine, steps: int, raises: bool) -> dict:
    """The state before the steps, the memory that they touch, and their instructions. The reference is at the end."""
    touched: list[tuple[int, int, int, int]] = []
    state, vectors = native.reference_state()
    native.replay(steps, lambda *what: touched.append(what))
    native.rewind(steps)
    waiting = native.waiting()
    taken = [address for address, _, kind, _ in touched if kind == INTERRUPT]
    raised = []  # one that was not taken, or taken without a word
    if waiting or (raises and native.state.lines and not taken):
        raised = [max(0, steps - waiting)]
    memory = {}
    for address, count, kind, _ in touched:
        if kind in (CODE, LOAD, STORE):
            memory.update((at, native.read_reference(at, 4)) for at in range(address & ~3, address + count, 4))
    native.replay(steps, lambda *_: None)
    after, _ = native.reference_state()
    # Where the reference goes on, and where the core was last: neither is among the steps.
    behind = [*range(after.pc & ~3, after.pc + 4, 4), *range(native.state.pc & ~3, native.state.pc + 4, 4)]
    if raised:
        behind += range(after.mtvec & ~3, (after.mtvec & ~3) + HANDLER_BYTES, 4)
    memory = {at: native.read_reference(at, 4) for at in behind} | memory
    return {
        "pc": state.pc,
        "x": list(state.x),
        "f": list(state.f),
        "csrs": {name: getattr(state, name) for name in state.CSRS},
        "privilege": state.privilege,
        "vl": state.vl,
        "vtype": state.vtype,
        "vectors": base64.b64encode(vectors).decode(),
        "code": [address for address, _, kind, _ in touched if kind == CODE],
        "memory": {
            f"{at:#x}": int.from_bytes(word, "little") for at, word in sorted(memory.items()) if native.has_memory(at)
        },
        "interrupts": taken + raised,
        "errors": [(step, address) for address, step, kind, _ in touched if kind == ERROR],
        "answers": [value for _, _, kind, value in touched if kind == ANSWER],
    }
