# SPDX-License-Identifier: Apache-2.0
"""What a transformation is, and what it says of its work."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from iree.compiler import ir

from springbok.compiler.mlir import described

#: The place of a transformation that was left out as a whole.
WHOLE = "the whole model"


@dataclass(frozen=True)
class Change:
    """One place in the model: what was done there, or why it was left as it was.

    ``place`` is the layer's name, if the source gives one, and the type of the result. ``failed`` tells of a defect of
    the optimizer: it was left as it was because the transformation failed there.
    """

    transformation: str
    place: str
    applied: bool
    detail: str
    failed: bool = False

    def describe(self) -> str:
        """A line for a log."""
        return f"{self.transformation}: {self.place}: {'' if self.applied else 'left as it was: '}{self.detail}"


class Visits:
    """The places that a transformation goes through, counted from 0, but for those of the numbers ``left``.

    ``number`` is that of the one that it is at, None where it is at none.
    """

    def __init__(self, left: Container[int] = ()) -> None:
        self._left = left
        self._count = 0
        self.number: int | None = None
        self._at: tuple[ir.Location, ir.Type | str] | None = None

    @property
    def place(self) -> str:
        """The layer's name, if the source gives one, and the type of the result; empty where it is at no place."""
        return described(*self._at) if self._at else ""

    def of(self, operations: Iterable[ir.Operation]) -> Iterator[ir.Operation]:
        """Those of ``operations`` that are not left as they are, each while it is worked on."""
        for operation in operations:
            number, self._count = self._count, self._count + 1
            if number not in self._left:
                kind = operation.results[0].type if len(operation.results) else operation.name
                self.number, self._at = number, (operation.location, kind)
                yield operation
        self.number = self._at = None


class Transformation(Protocol):
    """A rewrite of the model between the halves of `iree-compile`.

    ``name`` is its switch; ``vectors_only`` tells that it pays with vectors alone. ``proved_on`` are versions of the
    compiler on which all that is said of it was shown; on others see `springbok.compiler.proving`. The module's
    docstring gives its reason and its precondition.
    """

    name: str
    vectors_only: bool
    proved_on: tuple[str, ...]

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """Rewrites ``module`` where the precondition holds; ``visits`` says which places it leaves as they are."""
