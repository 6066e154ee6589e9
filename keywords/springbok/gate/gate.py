# SPDX-License-Identifier: Apache-2.0
"""The gate: one shape for every limit on a measured number, and for the sentence that says why it was not kept.

A `Snapshot` is what an evaluation came to, exact numbers only. A limit on one of its metrics is judged to a
`Verdict`; a whole snapshot is compared with an earlier one, the baseline. Wall time is in neither.

>>> measured = snapshots.snapshot(metrics.evaluation_document(evaluation), suite="gestures")   # doctest: +SKIP
>>> judge(measured, Limit("instructions", AT_MOST, 800_000)).text()                  # doctest: +SKIP
'gestures (vector, standard) on springbok, spike, VLEN 512: instructions an inference: 807,742; at most 800,000 is…'
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from springbok.gate.accounts import (
    by_nothing,
    cycles_went_to,
    kernel,
    moves_of,
    named,
    paired,
    signed,
    stack_of,
    vectors_of,
    vset_of,
)
from springbok.gate.metric import AT_LEAST, AT_MOST, EXACTLY, METRICS, Metric, short_digest
from springbok.gate.snapshots import Snapshot, evaluation_of, title
from springbok.measuring.derived import (
    RUNTIME,
    SCALAR_BELOW,
    stack_accesses,
    tidy,
    vector_share,
    vset_per_vector,
    whole_register_moves,
)
from springbok.support.errors import BenchError
from springbok.support.suggestions import did_you_mean

if TYPE_CHECKING:  # judging needs neither a compiler nor a firmware
    from springbok.measuring.fit import Fit

ANY = "any"
FAILED, IGNORED, NOT_COMPARED = "failed", "ignored", "not compared"


class GateError(BenchError):
    """A limit, a tolerance or a dispatch that does not exist was named."""


@dataclass(frozen=True)
class Limit:
    """A bound on a metric. ``origin`` says where it comes from, when it is not simply given; ``is_measured`` that
    nobody chose it, whatever it is.
    """

    metric: str
    bound: Any
    origin: str = ""
    is_measured: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of one limit. ``outcome`` is ``failed``, ``passed``, ``improved`` (better than the baseline),
    ``ignored`` (not kept, in a test that passes all the same, for it catches the failure itself), or ``not compared``
    (with a baseline that holds none, or was estimated otherwise: ``change`` says it).
    ``evaluation`` tells which one was judged: `springbok.gate.snapshots.evaluation_of`.
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
    evaluation: str = ""

    @property
    def has_failed(self) -> bool:
        """Whether the limit was not kept."""
        return self.outcome == FAILED

    def text(self) -> str:
        """The verdict as a message: metric, value, limit, change, and below them what accounts for it."""
        line = f"{self.subject}: {self.title}: {self.value}; {self.limit}"
        line += f": {self.change}" if self.change else "."
        return "\n".join([line, *(f"    {account}" for account in self.accounts)])


# ---- Judging

_ALLOWED = {AT_MOST: "at most {} is allowed", AT_LEAST: "at least {} is asked for", EXACTLY: "{} is expected"}


def judge(measured: Snapshot, limit: Limit, baseline: Snapshot | None = None) -> Verdict:
    """Judge one limit. With a ``baseline`` the change and what accounts for it are told too.

    Raises GateError for a limit that everything or nothing keeps.
    """
    metric = _metric(limit.metric)
    if not (baseline or limit.is_measured):
        check_bound(metric, limit.bound)
    return _verdict(measured, metric, limit, measured["metrics"].get(metric.name), baseline)


def check_bound(metric: Metric, bound: Any) -> None:
    """Raises GateError for a bound of ``metric`` that everything or nothing keeps."""
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        return
    if math.isnan(bound):
        raise GateError(f"The limit {bound:g} of '{metric.title}' is no number.")
    if metric.form == "share" and not 0 <= bound <= 1:
        share = f": for {bound:g} % write {bound / 100:g}" if 1 < bound <= 100 else ""
        raise GateError(f"The limit {bound:g} of '{metric.title}' is no share, which is from 0 to 1{share}.")
    if metric.is_kept_by_nothing(bound):
        end = f"most {metric.most:g}" if metric.relation == AT_LEAST else f"least {metric.least:g}"
        raise GateError(f"The limit {bound:g} of '{metric.title}' can't be kept by anything: it is at {end}.")
    if metric.is_kept_by_everything(bound):
        raise GateError(
            f"The limit {bound:g} of '{metric.title}' is kept by everything: give one that something breaks."
        )


def _verdict(
    measured: Snapshot,
    metric: Metric,
    limit: Limit,
    value: Any,
    baseline: Snapshot | None = None,
) -> Verdict:
    told, bound = metric.shown_apart(value, limit.bound)
    allowed = _ALLOWED[metric.relation].format(bound)
    old = baseline["metrics"].get(metric.name) if baseline else None
    if value is None:  # asked for and not known: nothing that may pass
        outcome, accounts = "failed", (metric.why_unknown(measured, metric.name),)
    elif metric.is_worse(value, limit.bound):
        outcome, accounts = "failed", tuple(metric.explain(measured, baseline))
    else:
        outcome, accounts = "passed", ()
    return Verdict(
        title(measured),
        metric.name,
        metric.title,
        told,
        f"{allowed} ({limit.origin})" if limit.origin else allowed,
        metric.shown(old) if old is not None else "",
        _change(metric, value, old if baseline else limit.bound),
        outcome,
        accounts,
        evaluation_of(measured),
    )


def compare(measured: Snapshot, baseline: Snapshot, tolerances: Mapping[str, str] | None = None) -> list[Verdict]:
    """Judge every recorded metric against a baseline, in the order of `METRICS`.

    ``tolerances`` by metric: ``64`` (absolute), ``0.5%`` (of the baseline's value) or ``any`` (not judged). Without
    one a metric must not get worse at all. What the baseline does not hold is not compared, and that is told.
    """
    tolerances = dict(tolerances or {})
    check_tolerances(tolerances)
    verdicts = []
    for metric in METRICS.values():
        old = baseline["metrics"].get(metric.name)
        tolerance = str(tolerances.get(metric.name, "0")).replace(" ", "")
        if not metric.is_recorded or tolerance == ANY or (old is None and measured["metrics"].get(metric.name) is None):
            continue
        if old is None:
            verdicts.append(_not_compared(measured, metric, old, "the baseline holds none"))
            continue
        if metric.obstacle and (obstacle := metric.obstacle(measured, baseline)):
            verdicts.append(_not_compared(measured, metric, old, obstacle))
            continue
        margin = _margin(metric, tolerance, old)
        bound = old + (margin if metric.relation == AT_MOST else -margin) if margin else old
        if _is_boundless(metric, tolerance, margin, old):
            raise GateError(
                f"The tolerance {tolerance} of {metric.name} is kept by everything, as {ANY} is: give a smaller one."
            )
        origin = f"baseline {metric.shown(old)}, tolerance {tolerance}" if margin else "the baseline's"
        verdict = judge(measured, Limit(metric.name, bound, origin), baseline)
        if (
            not verdict.has_failed
            and metric.relation != EXACTLY
            and metric.is_worse(old, measured["metrics"][metric.name])
        ):
            verdict = replace(verdict, outcome="improved", accounts=tuple(metric.explain(measured, baseline)))
        verdicts.append(verdict)
    if all(each.outcome == NOT_COMPARED for each in verdicts):
        raise GateError(
            f"Nothing of {title(measured)} would be compared with its baseline: all that it holds is {ANY} here. Leave "
            "out the tolerance of what is to be judged."
        )
    return verdicts


def _not_compared(measured: Snapshot, metric: Metric, old: Any, why: str) -> Verdict:
    value = metric.shown(measured["metrics"].get(metric.name))
    known = "" if old is None else metric.shown(old)
    names = (title(measured), metric.name, metric.title)
    return Verdict(*names, value, NOT_COMPARED, known, why, NOT_COMPARED, evaluation=evaluation_of(measured))


def check_tolerances(tolerances: Mapping[str, str], others: Sequence[str] = ()) -> None:
    """Raises GateError for a tolerance of what baselines don't hold, and for one that is none.

    ``others`` are names that may have been meant too.
    """
    for name, tolerance in tolerances.items():
        if name not in METRICS and (near := did_you_mean(name, [*METRICS, *others])):
            raise GateError(f"There is no metric '{name}'{near}. Metrics: {', '.join(METRICS)}.")
        metric = _metric(name)
        if not metric.is_recorded:
            raise GateError(
                f"Baselines hold no {name}: it follows from what they hold, or is not the same in every run and on "
                "every machine."
            )
        if tolerance != ANY:
            _margin(metric, tolerance, 1)


def _of_vectors(measure: Callable[[Mapping], float | None]) -> Callable[[Mapping], float | None]:
    """A measure of what vector instructions do: a dispatch without any does none of it."""
    return lambda part: 0 if part["vector_instructions"] == 0 else measure(part)


#: What each dispatch can be judged by, beside the whole inference: the metric, its value, what accounts for that.
DISPATCH_METRICS: dict[str, tuple[Metric, Callable[[Mapping], float | None], Callable[[Mapping], str]]] = {
    "vector_share": (Metric("vector_share", "vector share", "share", AT_LEAST, by_nothing), vector_share, vectors_of),
    "stack_accesses": (METRICS["stack_accesses"], stack_accesses, stack_of),
    "vset_per_vector": (METRICS["vset_per_vector"], _of_vectors(vset_per_vector), vset_of),
    "estimated_cycles": (
        replace(METRICS["estimated_cycles"], title="estimated cycles"),
        lambda part: part.get("estimated_cycles"),
        cycles_went_to,
    ),
    "whole_register_moves": (METRICS["whole_register_moves"], _of_vectors(whole_register_moves), moves_of),
}


def fit_verdict(variant: str, found: Fit) -> Verdict:
    """Whether a model fits a chip, as a verdict: no memory may lack a byte."""
    least = min(found.memories, key=lambda memory: memory.free_bytes)
    return Verdict(
        subject=f"{found.model} ({variant}) on {found.chip}",
        metric="free_bytes",
        title=f"room in {least.name}",
        value=f"{least.free_bytes:,} bytes free",
        limit="at least 0 is asked for",
        baseline="",
        change="",
        outcome="passed" if found.fits else "failed",
        accounts=(found.describe(),),
    )


def judge_dispatches(
    measured: Snapshot, pattern: str, bound: float = SCALAR_BELOW, metric: str = "vector_share"
) -> list[Verdict]:
    """Judge one of `DISPATCH_METRICS` in the dispatches whose name, kernel or layer matches ``pattern`` (a glob).

    A dispatch that computes several layers at once is one of each of them.
    """
    known, measure, account = DISPATCH_METRICS[metric]
    check_bound(known, bound)
    found = [
        (name, part)
        for name, part in measured["dispatches"].items()
        if name != RUNTIME
        and any(
            fnmatch.fnmatchcase(each, pattern)
            for each in (name, kernel(name), *_layers(part["layer"]), named(name, part))
        )
    ]
    if not found:
        known = "\n".join(f"    {named(name, part)}" for name, part in measured["dispatches"].items())
        raise GateError(f"No dispatch of {title(measured)} matches '{pattern}'. It has:\n{known}")
    verdicts = []
    for name, part in found:
        value = measure(part)
        judged = replace(known, title=f"{known.title} of {named(name, part)}", explain=by_nothing)
        verdict = _verdict(measured, judged, Limit(metric, bound), value)
        if verdict.has_failed and value is not None:
            verdict = replace(verdict, accounts=(account(part),))
        verdicts.append(verdict)
    return verdicts


def _layers(layer: str | None) -> list[str]:
    return [layer, *layer.split(" + ")] if layer else []


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
            lines.append(f"{what}: its bytes are others (sha256 {short_digest(old[key])} -> {short_digest(new[key])})")
    if new["module_sha256"] != old["module_sha256"] and not lines:
        lines.append("module: compiled to other bytes from the same model file, compiler and flags")
    if "timing" in new and "timing" in old and new["timing"] != old["timing"]:
        versions = (f"{each['name']} ({short_digest(each['sha256'])})" for each in (old["timing"], new["timing"]))
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
    found = re.fullmatch(r"((?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)(%?)", text)
    if not found:
        raise GateError(
            f"'{tolerance}' is no tolerance for {metric.name}: write 64 (absolute), 0.5% or {ANY} (not judged)."
        )
    number = float(found[1])
    if metric.relation == EXACTLY and number:
        raise GateError(f"{metric.name} is the same or another: its tolerance can only be 0 or {ANY}, not {tolerance}.")
    if found[2]:
        return number / 100 * abs(reference) if metric.relation != EXACTLY else 0.0
    return tidy(number) or number  # however small


def _is_boundless(metric: Metric, tolerance: str, margin: float, reference: Any) -> bool:
    """Whether a tolerance spans all that the metric can be; an absolute one of a share near 0 may be for others too."""
    if margin and metric.relation == AT_LEAST and metric.least == 0 and tolerance.endswith("%"):
        return margin >= reference > 0
    return margin >= metric.most - metric.least


def _change(metric: Metric, value: Any, reference: Any) -> str:
    if value is None or reference is None or metric.relation == EXACTLY or not math.isfinite(value):
        return ""
    difference = tidy(value - reference) if metric.form in ("count", "bytes") else value - reference
    if not difference:
        return "unchanged"
    if metric.form == "share":
        points = f"{difference * 100:+.2f}"
        return f"{points if points.strip('+-0.') else format(difference * 100, '+.2g')} points"
    if metric.form == "error":
        return f"{difference:+.2e}"
    if metric.form == "value":
        return f"{difference:+.3g}"
    percent = f" ({difference / reference * 100:+.2f} %)" if reference else ""
    unit = " bytes" if metric.form == "bytes" else ""
    change = signed(difference)
    if not change.strip("+-0.,"):  # less than the digits that a count has
        change = f"{difference:+.2g}"
    return f"{change}{unit}{percent}"
