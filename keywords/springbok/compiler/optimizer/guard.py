# SPDX-License-Identifier: Apache-2.0
"""What happens where a transformation fails: the model stays as it was there, and the compile report says so.

A transformation that raises, or that leaves code which is not valid, has met what its author did not think of. The
rewrite then begins anew, without the place that it was at; after `MOST_PLACES` of them, or where the place is not
known, without the whole transformation. So a defect of the optimizer costs speed, and never the model.

Tests and the fuzzer set the environment variable ``SPRINGBOK_STRICT_OPTIMIZER``: then the exception is raised, so that
the defect is found.

Example::

    module, changes = rewritten(lambda: ir.Module.parse(source), [ConstantsInPlace(), PadsByRows()])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from iree.compiler import ir

from springbok.compiler.optimizer.transformation import WHOLE, Change, Transformation, Visits
from springbok.support import process
from springbok.support.errors import ChipFunctionError

STRICT_VARIABLE = "SPRINGBOK_STRICT_OPTIMIZER"
#: Places that a transformation may fail at before it is left out as a whole.
MOST_PLACES = 4


def is_strict() -> bool:
    """Whether a failing transformation is an error."""
    return bool(os.environ.get(STRICT_VARIABLE))


@dataclass
class _Failures:
    """Those of one transformation: by the number of the place, and whether it is left out as a whole."""

    places: dict[int, Change] = field(default_factory=dict)
    whole: Change | None = None

    def add(self, number: int | None, change: Change) -> None:
        """Takes note of one more."""
        if number is None or len(self.places) == MOST_PLACES:
            self.whole = replace(change, place=WHOLE)
        else:
            self.places[number] = change

    @property
    def changes(self) -> list[Change]:
        """What the report says of them."""
        return [*self.places.values(), *([self.whole] if self.whole else [])]


def rewritten(
    read: Callable[[], ir.Module], transformations: Sequence[Transformation]
) -> tuple[ir.Module, list[Change]]:
    """The module that ``read`` gives, as often as it is asked, with the transformations applied, and what they did."""
    failures = {each.name: _Failures() for each in transformations}
    while True:
        module, changes = read(), []
        for each in transformations:
            known = failures[each.name]
            found = [] if known.whole else _applied(each, module, known)
            if found is None:
                break
            changes += [*found, *known.changes]
        else:
            return module, changes


def _applied(transformation: Transformation, module: ir.Module, known: _Failures) -> list[Change] | None:
    """What the transformation did; None if it failed, which is then ``known``, and the module can't be used."""
    visits = Visits(known.places)
    try:
        changes = transformation.apply(module, visits)
        module.operation.verify()
    except ChipFunctionError:
        raise
    except Exception as error:
        process.raise_if_ended()
        if is_strict():
            raise
        cause = f"{type(error).__name__}: {error}".partition("\n")[0]
        detail = f"the transformation failed, which is a defect of the optimizer ({cause})"
        known.add(visits.number, Change(transformation.name, visits.place, False, detail, failed=True))
        return None
    return changes
