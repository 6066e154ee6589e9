# SPDX-License-Identifier: Apache-2.0
"""The numbers that can be judged, each with its own rules: how it must stand to a limit, how it is written, what
accounts for it, why it may be unknown, and with which baseline it may be compared.

>>> METRICS["module_bytes"].shown(1204)
'1,204 bytes'
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from springbok.gate.accounts import (
    ROUNDING,
    by_cycles,
    by_estimated_cycles,
    by_instructions,
    by_lanes,
    by_mistakes,
    by_moves,
    by_nothing,
    by_runtime,
    by_scalar_dispatches,
    by_sizes,
    by_stack,
    by_vset,
)
from springbok.gate.snapshots import Snapshot
from springbok.measuring.derived import CLASSIFICATION, QUALITY, shown, shown_apart

AT_MOST, AT_LEAST, EXACTLY = "at most", "at least", "exactly"


def _untold(measured: Snapshot, _: str) -> str:
    return f"{measured['subject']['engine']} does not tell it."


def _without_task(measured: Snapshot, name: str) -> str:
    subject = measured["subject"]
    if name in measured["metrics"] and name != "accuracy":
        return f"It is not defined for the answers to {subject['dataset']}."
    task = subject.get("task", CLASSIFICATION)
    return f"The task of {subject['dataset']} is {task}, which has none: see 'Load Data Set', task=."


def _without_estimate(*_: object) -> str:
    return "None were estimated: boot the chip with timing=, or run with --timing."


def _estimated_otherwise(measured: Snapshot, baseline: Snapshot) -> str:
    """Only what the same description of the pipeline came to can be compared."""
    new, old = (each["made_with"].get("timing") for each in (measured, baseline))
    if new is None:
        return f"this run estimated none: --timing {old['name']}"
    if new == old:
        return ""
    if new["name"] == old["name"]:
        return f"{new['name']} is another version than the baseline's ({short_digest(old['sha256'])})"
    return f"the baseline was estimated by {old['name']}, and this run by {new['name']}"


@dataclass(frozen=True)
class Metric:
    """A number that can be judged. ``relation`` is how it must stand to its limit; ``form`` is how it is written.

    ``explain`` gives the lines that account for the value, or for its change since a baseline; ``why_unknown`` the
    sentence on a snapshot that has no value, by the metric's name.
    ``is_recorded`` says whether baselines hold it: only what is the same in every run and on every machine is, and not
    what gets worse as the vectors beside it get fewer.
    ``least`` and ``most`` are what it can be: a limit there is kept by everything. Counts are of 64 bits, and a chip's
    memories lie below 4 GiB.
    ``obstacle`` says why a snapshot's value can't be compared with a baseline's, or nothing where it can; without one
    it always can, and values of many runs are a series.
    """

    name: str
    title: str
    form: str
    relation: str
    explain: Callable[[Snapshot, Snapshot | None], list[str]]
    is_recorded: bool = True
    why_unknown: Callable[[Snapshot, str], str] = _untold
    obstacle: Callable[[Snapshot, Snapshot], str] | None = None
    least: float = 0.0

    @property
    def most(self) -> float:
        """The largest value that it can have."""
        if self.form == "share" or self.relation == AT_LEAST:
            return 1.0
        return {"count": 2.0**64, "bytes": 2.0**32}.get(self.form, math.inf)

    def is_kept_by_everything(self, bound: float) -> bool:
        """Whether no value can be worse than ``bound``."""
        return bound <= self.least if self.relation == AT_LEAST else self.relation == AT_MOST and bound >= self.most

    def is_kept_by_nothing(self, bound: float) -> bool:
        """Whether every value is worse than ``bound``."""
        return bound > self.most if self.relation == AT_LEAST else self.relation == AT_MOST and bound < self.least

    def shown(self, value: Any) -> str:
        """The value as people read it, with its unit."""
        if value is None:
            return "unknown"
        if self.form == "digest":
            return f"{value[:16]}…"
        return f"{shown(value, 'count')} bytes" if self.form == "bytes" else shown(value, self.form)

    def shown_apart(self, *values: Any) -> list[str]:
        """Values that are compared, with as many digits as it takes to tell them from each other, and from 0."""
        if self.form == "digest":
            return [self.shown(value) for value in values]
        unit = " bytes" if self.form == "bytes" else ""
        texts = shown_apart(values, "count" if unit else self.form, ROUNDING)
        return [text if value is None else f"{text}{unit}" for text, value in zip(texts, values, strict=True)]

    def is_worse(self, value: Any, reference: Any) -> bool:
        """Whether ``value`` lies on the wrong side of ``reference``, by more than rounding."""
        if self.relation == EXACTLY:
            return value != reference
        difference = value - reference if self.relation == AT_MOST else reference - value
        return difference > ROUNDING * max(1.0, abs(reference))


def short_digest(digest: str | None) -> str:
    """A digest as messages name it."""
    return f"{digest[:12]}…" if digest else "unknown"


_MODULE_PARTS = (("kernel_text_bytes", "code of the kernels"), ("kernel_rodata_bytes", "constants of the kernels"))
_FIRMWARE_PARTS = tuple((f"firmware_{part}_bytes", f".{part}") for part in ("text", "rodata", "data"))

METRICS = {
    metric.name: metric
    for metric in (
        Metric("samples", "samples", "count", EXACTLY, by_nothing),
        Metric("accuracy", "accuracy", "share", AT_LEAST, by_mistakes, why_unknown=_without_task),
        *(
            Metric(
                name,
                title,
                form,
                AT_LEAST if better == "higher" else AT_MOST,
                by_nothing,
                why_unknown=_without_task,
                least=-math.inf if name == "r_squared" else 0.0,
            )
            for name, (title, form, better) in QUALITY.items()
            if name != "accuracy"
        ),
        Metric("outputs_sha256", "digest of all outputs", "digest", EXACTLY, by_mistakes),
        Metric("max_abs_error", "largest difference of an output from the host's", "error", AT_MOST, by_nothing, False),
        Metric("instructions", "instructions an inference", "count", AT_MOST, by_instructions),
        Metric("cycles", "cycles an inference", "count", AT_MOST, by_cycles),
        Metric(
            "estimated_cycles",
            "estimated cycles an inference",
            "count",
            AT_MOST,
            by_estimated_cycles,
            why_unknown=_without_estimate,
            obstacle=_estimated_otherwise,
        ),
        Metric("runtime_instructions", "instructions of the runtime an inference", "count", AT_MOST, by_runtime),
        Metric("lane_utilisation", "lane utilisation", "share", AT_LEAST, by_lanes),
        Metric("scalar_dispatches", "dispatches that run scalar", "count", AT_MOST, by_scalar_dispatches),
        Metric("stack_accesses", "loads and stores of the kernels' stacks", "count", AT_MOST, by_stack),
        Metric("vset_per_vector", "vset* for each vector instruction", "ratio", AT_MOST, by_vset, False),
        Metric("whole_register_moves", "moves of whole vector registers", "count", AT_MOST, by_moves),
        Metric("load_instructions", "instructions of loading the module", "count", AT_MOST, by_nothing),
        Metric("memory_peak_bytes", "memory peak", "bytes", AT_MOST, by_sizes(("module_bytes", "of these the module"))),
        # The stack's mark is of all since the chip's start: it depends on what ran before.
        Metric("stack_peak_bytes", "stack peak", "bytes", AT_MOST, by_nothing, False),
        Metric("module_bytes", "module", "bytes", AT_MOST, by_sizes(*_MODULE_PARTS)),
        Metric("firmware_bytes", "firmware (code and constants)", "bytes", AT_MOST, by_sizes(*_FIRMWARE_PARTS)),
        Metric("firmware_bss_bytes", "firmware's bss", "bytes", AT_MOST, by_nothing),
    )
}
