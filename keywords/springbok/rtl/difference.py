# SPDX-License-Identifier: Apache-2.0
"""What differed between a core's RTL and the reference, and whether it did so before.

>>> found = Difference("x10: expected 0x00000002, got 0x00000003", "add a0, a0, a1", 0x80)
>>> found.is_like(Difference("x10: expected 0x00000007, got 0x00000006", "add a0, a0, a1", 0x80))
True
>>> found.is_like(Difference("x11: expected 0x00000002, got 0x00000003", "add a0, a0, a1", 0x80))
False
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What is told when it is too late to say of which instruction it is.
_LATE = ("an interrupt", "on the bus:", "the bus answered")
_VALUES = re.compile(r"(?<!on the bus): expected\b.*|, lane .*|, mtval .*| \(lines .*?\)|; .*")


@dataclass(frozen=True)
class Difference:
    """``why`` in words, at which instruction and where; ``stuck``: none retired behind that one."""

    why: str
    assembly: str = ""
    pc: int = 0
    stuck: bool = False

    @property
    def said(self) -> str:
        """What differed, behind the instruction at which it did; that nothing retired has none."""
        return f"{self.assembly} at 0x{self.pc:x}: {self.why}" if self.assembly else self.why

    @property
    def is_of_its_instruction(self) -> bool:
        """Whether the instruction at which it is told is the one that is wrong; one before it where the core went
        elsewhere, or where it is told late."""
        return not self.why.startswith(("pc:", *_LATE))

    def is_like(self, other: Difference) -> bool:
        """Whether both are the same fault: of one instruction, in one register, store or trap, whatever its values.

        Where the core went elsewhere, the instruction is the one that should have come.
        """
        if self.stuck or other.stuck:
            return self.stuck == other.stuck and self._place == other._place
        return self._what == other._what and (self._what.startswith(_LATE) or self._place == other._place)

    @property
    def _what(self) -> str:
        return _VALUES.sub("", self.why)

    @property
    def _place(self) -> tuple[str, str | int]:
        elsewhere = re.match(r"pc: expected (0x[0-9a-f]+)", self.why)
        return ("", elsewhere[1]) if elsewhere else (self.assembly, self.pc)
