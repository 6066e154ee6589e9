# SPDX-License-Identifier: Apache-2.0
"""What is said of a difference between a core's RTL and the reference, and what a program needs that repeats it."""

from __future__ import annotations

import base64

from springbok.chips.chip import Chip
from springbok.rtl.native_machine import NativeMachine

BEFORE = 12  # instructions that a report shows
LENGTHS = (1, 4, 16, 64, 256)  # of programs that repeat it, in instructions
CODE, LOAD, STORE, INTERRUPT, ANSWER, ERROR = range(6)


def describe(native: NativeMachine, place: dict, chip: Chip) -> dict:
    """The difference, at the newest instruction that retired."""
    del chip
    history = native.history(BEFORE)
    last = history[-1]
    return {
        **place,
        "why": native.why,
        "pc": last.pc,
        "word": last.word,
        "assembly": native.disassemble(last.word),
        "number": last.number,
        "cycle": last.cycle,
        "before": [
            {
                "number": each.number,
                "cycle": each.cycle,
                "pc": each.pc,
                "word": each.word,
                "assembly": native.disassemble(each.word),
                "effect": _effect(each),
            }
            for each in history
        ],
    }


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


def windows(native: NativeMachine) -> list[dict]:
    """Where to begin so that the same instructions lead to the difference, a few lengths: state, memory, code."""
    found = []
    for length in LENGTHS:
        steps = native.rewind(min(length, native.kept()))
        if steps == 0 or (found and steps <= found[-1]["steps"]):
            native.replay(steps, lambda *_: None)
            break
        found.append({"steps": steps, **_window(native, steps)})
    return found


def _window(native: NativeMachine, steps: int) -> dict:
    """The state before the steps, the memory that they touch, and their instructions. The reference is at the end."""
    touched: list[tuple[int, int, int, int]] = []
    state, vectors = native.reference_state()
    native.replay(steps, lambda *what: touched.append(what))
    native.rewind(steps)
    waiting = native.waiting()
    raised = [max(0, steps - waiting)] if waiting else []  # one that was not taken
    memory = {}
    for address, count, kind, _ in touched:
        if kind in (CODE, LOAD, STORE):
            memory.update((at, native.read_reference(at, 4)) for at in range(address & ~3, address + count, 4))
    native.replay(steps, lambda *_: None)
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
        "memory": {f"{at:#x}": int.from_bytes(word, "little") for at, word in sorted(memory.items())},
        "interrupts": [address for address, _, kind, _ in touched if kind == INTERRUPT] + raised,
        "errors": [(step, address) for address, step, kind, _ in touched if kind == ERROR],
        "answers": [value for _, _, kind, value in touched if kind == ANSWER],
    }
