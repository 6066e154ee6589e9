# SPDX-License-Identifier: Apache-2.0
"""What a transformation is, and what it says of its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from iree.compiler import ir


@dataclass(frozen=True)
class Change:
    """One place in the model: what was done there, or why it was left as it was.

    ``place`` is the layer's name, if the source gives one, and the type of the result.
    """

    transformation: str
    place: str
    applied: bool
    detail: str

    def describe(self) -> str:
        """A line for a log."""
        return f"{self.transformation}: {self.place}: {'' if self.applied else 'left as it was: '}{self.detail}"


class Transformation(Protocol):
    """A rewrite of the model between the halves of `iree-compile`.

    ``name`` is its switch; ``vectors_only`` tells that it pays with vectors alone. The module's docstring gives its
    reason and its precondition.
    """

    name: str
    vectors_only: bool

    def apply(self, module: ir.Module) -> list[Change]:
        """Rewrites ``module`` where the precondition holds."""
