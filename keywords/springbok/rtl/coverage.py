# SPDX-License-Identifier: Apache-2.0
"""What of a core's instructions was executed, and with which operands."""

from __future__ import annotations

from dataclasses import dataclass, field

from springbok.chips.opcodes import opcode_name
from springbok.rtl.extensions import name_of
from springbok.rtl.native_machine import NativeMachine

#: Of an operand, as native/histogram.h numbers them: two's complement; a small one is below 64.
CLASSES = ("0", "1", "-1", "least", "greatest", "small", "negative", "positive")
#: The same of an operand in a floating-point register.
FLOAT_CLASSES = ("0", "1", "-1", "infinite", "no number", "subnormal", "negative", "positive")
_FUSED, _FLOATS, _FROM_INTEGERS = (0x43, 0x47, 0x4B, 0x4F), 0x53, (0x68, 0x78)


@dataclass
class Coverage:
    """What was executed: by opcode, how often, and with which classes of its two source registers."""

    executions: dict[str, int] = field(default_factory=dict)
    classes: dict[str, set[tuple[str, str]]] = field(default_factory=dict)

    def add(self, other: Coverage) -> None:
        """Add what another run has covered."""
        for name, count in other.executions.items():
            self.executions[name] = self.executions.get(name, 0) + count
            self.classes.setdefault(name, set()).update(other.classes.get(name, ()))

    def as_json(self) -> dict[str, dict]:
        """By opcode: executions, and how many of the pairs of operand classes were met: none of compressed ones."""
        pairs = len(CLASSES) ** 2
        return {
            name: {
                "executions": count,
                "operand_classes": len(self.classes.get(name, ())),
                "of": 0 if name.startswith("c.") else pairs,
            }
            for name, count in sorted(self.executions.items())
        }


def takes_floats(word: int) -> bool:
    """Whether an instruction's operands are floating-point registers, as native/histogram.h decides it.

    >>> takes_floats(0x18A5F553), takes_floats(0xD0037553)  # fdiv.s, fcvt.s.w
    (True, False)
    """
    opcode = word & 0x7F
    return opcode in _FUSED or (opcode == _FLOATS and word >> 25 not in _FROM_INTEGERS)


def coverage_of(native: NativeMachine, number: int) -> Coverage:
    """What a machine counted for a number, which is forgotten."""
    found = Coverage()
    for pc, executions, mask in native.drain(number):
        word = int.from_bytes(native.read(pc, 4), "little")
        name, names = name_of(word) or opcode_name(word), FLOAT_CLASSES if takes_floats(word) else CLASSES
        whole = word & 3 == 3  # of a compressed one the operands are elsewhere
        pairs = {(names[bit // 8], names[bit % 8]) for bit in range(64) if whole and mask >> bit & 1}
        found.add(Coverage({name: executions}, {name: pairs}))
    return found
