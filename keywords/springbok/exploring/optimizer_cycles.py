# SPDX-License-Identifier: Apache-2.0
"""What the optimizer brings in estimated cycles: a model beside what stock IREE makes of it, and beside the limit.

>>> pair = compare("model.tflite", Target.of("vector", 512), load("springbok_assumed"), 512)      # doctest: +SKIP
>>> pair.cycles_ratio, pair.optimized.times_the_limit                                             # doctest: +SKIP
(0.42, 2.6)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.optimizer import DEFAULT_LEVEL
from springbok.exploring.calibrate import inference
from springbok.exploring.search import search
from springbok.timing.account import account
from springbok.timing.description import Timing

STOCK = "none"  # the level at which IREE compiles by itself


@dataclass(frozen=True)
class Cost:
    """A warm inference: instructions, estimated cycles, and the fewest in which the machine could do what it did."""

    instructions: int
    cycles: int
    limit: int

    @property
    def times_the_limit(self) -> float:
        """Estimated cycles over those of the limit."""
        return self.cycles / max(1, self.limit)


@dataclass(frozen=True)
class Pair:
    """A model as stock IREE compiles it, and as the optimizer does."""

    model: str
    stock: Cost
    optimized: Cost

    @property
    def instructions_ratio(self) -> float:
        """Of the optimizer's instructions to stock IREE's."""
        return self.optimized.instructions / self.stock.instructions

    @property
    def cycles_ratio(self) -> float:
        """Of the optimizer's cycles to stock IREE's; above 1 the optimizer chose wrongly."""
        return self.optimized.cycles / self.stock.cycles


def compare(path: str | Path, target: Target, timing: Timing, vlen: int, level: str = DEFAULT_LEVEL) -> Pair:
    """The model at ``path`` at both levels, each an inference of zeros; ``vlen`` in bits."""
    costs = []
    for each in (STOCK, level):
        model = compile_and_check(path, target, optimize=each, choose=search)
        counts = inference(model, "spike", vlen, timing)
        lines = account(counts, timing, vlen, target.chip.xlen)
        cycles, limit = sum(line.estimate.cycles for line in lines), sum(line.limit.cycles for line in lines)
        costs.append(Cost(sum(one.instructions for one in counts.inferences), cycles, limit))
    return Pair(model.name, *costs)
