# SPDX-License-Identifier: Apache-2.0
"""The gate: one shape for every limit on a measured number, and for the sentence that says why it was not kept.

A `Snapshot` is what an evaluation came to, exact numbers only. A limit on one of its metrics is judged to a
`Verdict`; a whole snapshot is compared with an earlier one, the baseline. Wall time is in neither.

>>> measured = snapshots.snapshot(metrics.evaluation_document(evaluation), suite="gestures")   # doctest: +SKIP
>>> judge(measured, Limit("instructions", AT_MOST, 800_000)).text()                  # doctest: +SKIP
'gestures (vector) on spike, VLEN 512: instructions an inference: 807,742; at most 800,000 is allowed. …'
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    kernel,
    named,
    opcodes,
    paired,
    signed,
)
from springbok.gate.snapshots import Snapshot, title
from springbok.measuring.derived import (
    CLASSIFICATION,
    QUALITY,
    RUNTIME,
    SCALAR_BELOW,
    shown,
    stack_accesses,
    tidy,
    vector_share,
    vset_per_vector,
    whole_register_moves,
)
from springbok.support.errors import BenchError
from springbok.support.suggestions import did_you_mean

AT_MOST, AT_LEAST, EXACTLY = "at most", "at least", "exactly"
ANY = "any"
#: The metric that can be compared only with what the same description of the pipeline came to.
ESTIMATED = "estimated_cycles"
NOT_COMPARED = "not compared"


class GateError(BenchError):
    """A limit, a tolerance or a dispatch that does not exist was named."""


@dataclass(frozen=True)
class Metric:
    """A number that can be judged. ``relation`` is how it must stand to its limit; ``form`` is how it is written.

    ``is_recorded`` says whether baselines hold it: only what is the same in every run and on every machine is, and not
    what gets worse as the vectors beside it get fewer.
    ``explain`` gives the lines that account for the value, or for its change since a baseline.
    """

    name: str
    title: str
    form: str
    relation: str
    explain: Callable[[Snapshot, Snapshot | None], list[str]]
    is_recorded: bool = True

    def shown(self, value: Any) -> str:
        """The value as people read it, with its unit."""
        if value is None:
            return "unknown"
        if self.form == "digest":
            return f"{value[:16]}…"
        return f"{shown(value, 'count')} bytes" if self.form == "bytes" else shown(value, self.form)

    def is_worse(self, value: Any, reference: Any) -> bool:
        """Whether ``value`` lies on the wrong side of ``reference``, by more than rounding."""
        if self.relation == EXACTLY:
            return value != reference
        difference = value - reference if self.relation == AT_MOST else reference - value
        return difference > ROUNDING * max(1.0, abs(reference))


@dataclass(frozen=True)
class Limit:
    """A bound on a metric. ``origin`` says where it comes from, when it is not simply given."""

    metric: str
    bound: Any
    origin: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of one limit. ``outcome`` is ``failed``, ``passed``, ``improved`` (better than the baseline), or
    ``not compared`` (with a baseline that was estimated otherwise: ``change`` says how).
    """

    subject: str
    metric: str
    title: str
    value: str
    limit: str
    baseline: str
    change: str
    outcome: str
    accounts: tuple[str, ...] = field(default=())

    @property
    def has_failed(self) -> bool:
        """Whether the limit was not kept."""
        return self.outcome == "failed"

    def text(self) -> str:
        """The verdict as a message: metric, value, limit, change, and below them what accounts for it."""
        line = f"{self.subject}: {self.title}: {self.value}; {self.limit}"
        line += f": {self.change}" if self.change else "."
        return "\n".join([line, *(f"    {account}" for account in self.accounts)])


_MODULE_PARTS = (("kernel_text_bytes", "code of the kernels"), ("kernel_rodata_bytes", "constants of the kernels"))
_FIRMWARE_PARTS = tuple((f"firmware_{part}_bytes", f".{part}") for part in ("text", "rodata", "data"))

METRICS = {
    metric.name: metric
    for metric in (
        Metric("samples", "samples", "count", EXACTLY, by_nothing),
        Metric("accuracy", "accuracy", "share", AT_LEAST, by_mistakes),
        *(
            Metric(name, title, form, AT_LEAST if better == "higher" else AT_MOST, by_nothing)
            for name, (title, form, better) in QUALITY.items()
            if name != "accuracy"
        ),
        Metric("outputs_sha256", "digest of all outputs", "digest", EXACTLY, by_mistakes),
        Metric("max_abs_error", "largest difference of an output from the host's", "error", AT_MOST, by_nothing, False),
        Metric("instructions", "instructions an inference", "count", AT_MOST, by_instructions),
        Metric("cycles", "cycles an inference", "count", AT_MOST, by_cycles),
        Metric(ESTIMATED, "estimated cycles an inference", "count", AT_MOST, by_estimated_cycles),
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


# ---- Judging

_ALLOWED = {AT_MOST: "at most {} is allowed", AT_LEAST: "at least {} is asked for", EXACTLY: "{} is expected"}


def judge(measured: Snapshot, limit: Limit, baseline: Snapshot | None = None) -> Verdict:
    """Judge one limit. With a ``baseline`` the change and what accounts for it are told too.

    Raises GateError for a limit that everything or nothing keeps.
    """
    metric = _metric(limit.metric)
    if not baseline:
        _check_bound(metric, limit.bound)
    return _verdict(measured, metric, limit, measured["metrics"].get(metric.name), baseline)


def _check_bound(metric: Metric, bound: Any) -> None:
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        return
    if metric.form == "share" and not 0 <= bound <= 1:
        share = f": for {bound:g} % write {bound / 100:g}" if 1 < bound <= 100 else ""
        raise GateError(f"The limit {bound:g} of '{metric.title}' is no share, which is from 0 to 1{share}.")
    if metric.relation == AT_MOST and not bound >= 0:
        raise GateError(f"The limit {bound:g} of '{metric.title}' can't be kept by anything: it is at least 0.")


def _verdict(
    measured: Snapshot,
    metric: Metric,
    limit: Limit,
    value: Any,
    baseline: Snapshot | None = None,
) -> Verdict:
    allowed = _ALLOWED[metric.relation].format(metric.shown(limit.bound))
    old = baseline["metrics"].get(metric.name) if baseline else None
    if value is None:  # asked for and not known: nothing that may pass
        outcome, accounts = "failed", (_why_unknown(measured, metric),)
    elif metric.is_worse(value, limit.bound):
        outcome, accounts = "failed", tuple(metric.explain(measured, baseline))
    else:
        outcome, accounts = "passed", ()
    return Verdict(
        title(measured),
        metric.name,
        metric.title,
        metric.shown(value),
        f"{allowed} ({limit.origin})" if limit.origin else allowed,
        metric.shown(old) if old is not None else "",
        _change(metric, value, old if baseline else limit.bound),
        outcome,
        accounts,
    )


def _why_unknown(measured: Snapshot, metric: Metric) -> str:
    subject = measured["subject"]
    if metric.name == ESTIMATED:
        return "None were estimated: boot the chip with timing=, or run with --timing."
    if metric.name not in QUALITY:
        return f"{subject['engine']} does not tell it."
    task = subject.get("task", CLASSIFICATION)
    if metric.name in measured["metrics"] and metric.name != "accuracy":
        return f"It is not defined for the answers to {subject['dataset']}."
    return f"The task of {subject['dataset']} is {task}, which has none: see 'Load Data Set', task=."


def compare(measured: Snapshot, baseline: Snapshot, tolerances: Mapping[str, str] | None = None) -> list[Verdict]:
    """Judge every recorded metric against a baseline, in the order of `METRICS`.

    ``tolerances`` by metric: ``64`` (absolute), ``0.5%`` (of the baseline's value) or ``any`` (not judged). Without
    one a metric must not get worse at all.
    """
    tolerances = dict(tolerances or {})
    check_tolerances(tolerances)
    verdicts = []
    for metric in METRICS.values():
        old = baseline["metrics"].get(metric.name)
        tolerance = tolerances.get(metric.name, "0")
        if not metric.is_recorded or tolerance == ANY or old is None:
            continue
        if metric.name == ESTIMATED and (other := _estimated_otherwise(measured, baseline)):
            verdicts.append(_not_compared(measured, metric, old, other))
            continue
        margin = _margin(metric, tolerance, old)
        bound = old + (margin if metric.relation == AT_MOST else -margin) if margin else old
        origin = f"baseline {metric.shown(old)}, tolerance {tolerance}" if margin else "the baseline's"
        verdict = judge(measured, Limit(metric.name, bound, origin), baseline)
        if (
            not verdict.has_failed
            and metric.relation != EXACTLY
            and metric.is_worse(old, measured["metrics"][metric.name])
        ):
            verdict = replace(verdict, outcome="improved", accounts=tuple(metric.explain(measured, baseline)))
        verdicts.append(verdict)
    return verdicts


def _estimated_otherwise(measured: Snapshot, baseline: Snapshot) -> str:
    """Why estimated cycles can't be compared; empty where both were estimated alike."""
    new, old = (each["made_with"].get("timing") for each in (measured, baseline))
    if new is None:
        return f"this run estimated none: --timing {old['name']}"
    if new == old:
        return ""
    if new["name"] == old["name"]:
        return f"{new['name']} is another version than the baseline's ({_short(old['sha256'])})"
    return f"the baseline was estimated by {old['name']}, and this run by {new['name']}"


def _not_compared(measured: Snapshot, metric: Metric, old: Any, why: str) -> Verdict:
    value = metric.shown(measured["metrics"].get(metric.name))
    return Verdict(
        title(measured), metric.name, metric.title, value, NOT_COMPARED, metric.shown(old), why, NOT_COMPARED
    )


def check_tolerances(tolerances: Mapping[str, str]) -> None:
    """Raises GateError for a tolerance of what baselines don't hold, and for one that is none."""
    for name, tolerance in tolerances.items():
        metric = _metric(name)
        if not metric.is_recorded:
            raise GateError(
                f"Baselines hold no {name}: it follows from what they hold, or is not the same in every run and on "
                "every machine."
            )
        if tolerance != ANY:
            _margin(metric, tolerance, 1)


#: What each dispatch can be judged by, beside the whole inference.
DISPATCH_METRICS: dict[str, tuple[Metric, Callable[[Mapping], float | None]]] = {
    "vector_share": (Metric("vector_share", "vector share", "share", AT_LEAST, by_nothing), vector_share),
    "stack_accesses": (METRICS["stack_accesses"], stack_accesses),
    "vset_per_vector": (METRICS["vset_per_vector"], vset_per_vector),
    ESTIMATED: (replace(METRICS[ESTIMATED], title="estimated cycles"), lambda part: part.get(ESTIMATED)),
    "whole_register_moves": (METRICS["whole_register_moves"], whole_register_moves),
}


def judge_dispatches(
    measured: Snapshot, pattern: str, bound: float = SCALAR_BELOW, metric: str = "vector_share"
) -> list[Verdict]:
    """Judge one of `DISPATCH_METRICS` in the dispatches whose name, kernel or layer matches ``pattern`` (a glob)."""
    known, measure = DISPATCH_METRICS[metric]
    _check_bound(known, bound)
    found = [
        (name, part)
        for name, part in measured["dispatches"].items()
        if name != RUNTIME
        and any(
            fnmatch.fnmatchcase(each, pattern) for each in (name, kernel(name), part["layer"] or "", named(name, part))
        )
    ]
    if not found:
        known = "\n".join(f"    {named(name, part)}" for name, part in measured["dispatches"].items())
        raise GateError(f"No dispatch of {title(measured)} matches '{pattern}'. It has:\n{known}")
    verdicts = []
    for name, part in found:
        value = measure(part)
        if value is None and metric != ESTIMATED and part["vector_instructions"] == 0:
            value = 0  # a dispatch without vectors configures none
        judged = replace(known, title=f"{known.title} of {named(name, part)}", explain=by_nothing)
        verdict = _verdict(measured, judged, Limit(metric, bound), value)
        if verdict.has_failed and value is not None:
            text = f"{shown(part['instructions'], 'count')} instructions{opcodes(part['opcodes'])}"
            verdict = replace(verdict, accounts=(text,))
        verdicts.append(verdict)
    return verdicts


def causes(measured: Snapshot, baseline: Snapshot) -> list[str]:
    """What else is not as it was when the baseline was made: flags, compiler, model file, firmware, dispatches."""
    new, old = measured["made_with"], baseline["made_with"]
    lost = [flag for flag in old["flags"] if flag not in new["flags"]]
    gained = [flag for flag in new["flags"] if flag not in old["flags"]]
    lines = [f"compiler flag lost: {flag}" for flag in lost] + [f"compiler flag added: {flag}" for flag in gained]
    applied, was_applied = new.get("transformations", {}), old.get("transformations", {})
    for name in sorted({*applied, *was_applied}):
        if applied.get(name, 0) != was_applied.get(name, 0):
            lines.append(f"optimizer: {name} applied at {applied.get(name, 0)} places, was {was_applied.get(name, 0)}")
    for key, what in (("compiler", "compiler"), ("engine_version", "engine")):
        if new[key] != old[key]:
            lines.append(f"{what}: version {old[key]} -> {new[key]}")
    files = (("model_sha256", "model file"), ("dataset_sha256", "data set"), ("firmware_sha256", "firmware"))
    for key, what in files:
        if key in new and key in old and new[key] != old[key]:
            lines.append(f"{what}: its bytes are others (sha256 {_short(old[key])} -> {_short(new[key])})")
    if new["module_sha256"] != old["module_sha256"] and not lines:
        lines.append("module: compiled to other bytes from the same model file, compiler and flags")
    if "timing" in new and "timing" in old and new["timing"] != old["timing"]:
        versions = (f"{each['name']} ({_short(each['sha256'])})" for each in (old["timing"], new["timing"]))
        lines.append(f"timing: {' -> '.join(versions)}")
    pairs = paired(measured, baseline)
    lines += [f"dispatch new: {named(name, part)}" for name, part, old in pairs if old is None]
    return lines + [f"dispatch gone: {named(name, part)}" for name, now, part in pairs if now is None]


def causes_text(measured: Snapshot, baseline: Snapshot) -> str:
    """`causes` under a heading; nothing where there are none."""
    lines = causes(measured, baseline)
    return "\n".join(["Not as it was when the baseline was made:", *(f"    {line}" for line in lines)]) if lines else ""


def failure_text(verdicts: Sequence[Verdict], details: str = "") -> str:
    """One message of all that failed, of ``details``, and of what improved beside it."""
    failed = [verdict.text() for verdict in verdicts if verdict.has_failed]
    improved = [f"    {each.title}: {each.value}: {each.change}" for each in verdicts if each.outcome == "improved"]
    better = ["Better than the baseline:", *improved] if improved else []
    return "\n".join([*failed, *filter(None, [details]), *better])


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise GateError(f"There is no metric '{name}'{did_you_mean(name, METRICS)}. Metrics: {', '.join(METRICS)}.")
    return METRICS[name]


def _margin(metric: Metric, tolerance: str, reference: Any) -> float:
    text = str(tolerance).replace(" ", "")
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(%?)", text)
    if not found:
        raise GateError(
            f"The tolerance '{tolerance}' of {metric.name} is none: write 64 (absolute), 0.5% or {ANY} (not judged)."
        )
    number = float(found[1])
    if metric.relation == EXACTLY and number:
        raise GateError(f"{metric.name} is the same or another: its tolerance can only be 0 or {ANY}, not {tolerance}.")
    if found[2]:
        return number / 100 * reference if metric.relation != EXACTLY else 0.0
    return tidy(number)


def _change(metric: Metric, value: Any, reference: Any) -> str:
    if value is None or reference is None or metric.relation == EXACTLY or not math.isfinite(value):
        return ""
    difference = tidy(value - reference) if metric.form in ("count", "bytes") else value - reference
    if not difference:
        return "unchanged"
    if metric.form == "share":
        return f"{difference * 100:+.2f} points"
    if metric.form == "error":
        return f"{difference:+.2e}"
    if metric.form == "value":
        return f"{difference:+.3g}"
    percent = f" ({difference / reference * 100:+.2f} %)" if reference else ""
    unit = " bytes" if metric.form == "bytes" else ""
    return f"{signed(difference)}{unit}{percent}"


def _short(digest: str | None) -> str:
    return f"{digest[:12]}…" if digest else "unknown"
