# SPDX-License-Identifier: Apache-2.0
"""Whether the verdicts of ``gate.json`` hang together: each value, limit, change and outcome says what the others do.

Verdicts have their numbers as people read them, so they are held to each other as far as their digits go.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from springbok.gate.accounts import ROUNDING
from springbok.gate.gate import DISPATCH_METRICS, FAILED, IGNORED, NOT_COMPARED
from springbok.gate.metric import AT_MOST, EXACTLY, METRICS, Metric
from springbok.measuring.derived import UNKNOWN

_LIMIT = re.compile(r"(?:(at most|at least) )?(.+?) is (?:allowed|asked for|expected)(?: \((.*)\))?", re.DOTALL)
_TOLERANCE = re.compile(r"baseline (.+), tolerance ([\d.]+(?:[eE][-+]?\d+)?)(%?)")
_CHANGE = re.compile(r"([-+][\d.,e+-]+)(?: bytes| points)?(?: \(([-+][\d.]+) %\))?")
#: Half of a number's last digit, as `springbok.measuring.derived.shown` writes it; of others it is in their text.
_LAST_DIGITS = {"count": 0.005, "bytes": 0.005, "share": 0.005, "ratio": 0.0005}
#: The stack's mark is of all since the chip's start: it grows from verdict to verdict.
GROWS = "stack_peak_bytes"


class Shown(NamedTuple):
    """A number as it was read, and how far the one that was written may be from it."""

    value: float
    rounding: float

    def may_be(self, value: float, rounding: float = 0.0) -> bool:
        """Whether ``value``, itself within ``rounding``, can be the number that was written."""
        allowed = self.rounding + rounding + 4 * ROUNDING * max(1.0, abs(value))
        return value == self.value or abs(value - self.value) <= allowed


def number(text: str, form: str) -> Shown | None:
    """The number of a text that `springbok.gate.metric.Metric.shown` made; None for one that has none.

    >>> number("28,460.1", "count"), number("65.33 %", "share"), number("unknown", "count")
    (Shown(value=28460.1, rounding=0.005), Shown(value=65.33, rounding=0.005), None)
    """
    plain = text.removesuffix(" bytes").removesuffix(" %").replace(",", "")
    try:
        value = float(plain)
    except ValueError:
        return None
    if math.isnan(value):
        return None
    if form in _LAST_DIGITS:
        return Shown(value, _LAST_DIGITS[form])
    digits, _, power = plain.lstrip("+-").partition("e")
    if form == "error" and not power and math.isfinite(value):
        return None  # they have a power of ten always
    if form == "value" and "." not in digits and not power:
        return Shown(value, max(0.5, abs(value) * 5e-5))
    return Shown(value, 0.5 * 10.0 ** (int(power or 0) - len(digits.partition(".")[2])))


def contradictions(content: Mapping[str, Any]) -> Iterator[str]:
    """What can't be of verdicts, a sentence each, with its place in ``content``, which has the form of its schema."""
    for place, each in enumerate(content["verdicts"]):
        if problem := _of_verdict(each):
            yield f"verdicts/{place}: {problem}"
    yield from _twice(content)
    yield from _evaluations(content["verdicts"])


def _of_verdict(verdict: Mapping[str, Any]) -> str:
    metric = METRICS.get(verdict["metric"]) or DISPATCH_METRICS.get(verdict["metric"], (None,))[0]
    if metric is None:
        return ""  # of another version, or of no evaluation
    is_comparison = verdict["outcome"] == NOT_COMPARED
    if is_comparison or verdict["limit"] == NOT_COMPARED:
        return "" if verdict["limit"] == verdict["outcome"] else f"limit and outcome: only one is '{NOT_COMPARED}'"
    found = _LIMIT.fullmatch(verdict["limit"])
    if not found or (found[1] or EXACTLY) != metric.relation:
        return f"'{verdict['limit']:.80}' is no limit of '{metric.title}'"
    bound, origin = found[2], found[3] or ""
    return (
        _of_outcome(verdict, metric, bound)
        or _of_baseline(verdict, metric, bound, origin)
        or _of_change(verdict, metric, bound)
    )


def _of_outcome(verdict: Mapping[str, Any], metric: Metric, bound: str) -> str:
    """Who passes keeps the limit, as both are told: with as many digits as tell them apart."""
    value = verdict["value"]
    if metric.relation == EXACTLY:
        keeps = value == bound
    elif value == UNKNOWN:
        keeps = False
    else:
        given, limit = number(value, metric.form), number(bound, metric.form)
        if given is None or limit is None:
            return f"'{value:.40}' is held against '{bound:.40}'"
        keeps = given.value <= limit.value if metric.relation == AT_MOST else given.value >= limit.value
    can_improve = verdict.get("compared") and metric.relation != EXACTLY
    if keeps != (verdict["outcome"] not in (FAILED, IGNORED)) or (verdict["outcome"] == "improved" and not can_improve):
        return f"{metric.title} {verdict['outcome']}: {value}; {verdict['limit']}"
    return ""


def _of_baseline(verdict: Mapping[str, Any], metric: Metric, bound: str, origin: str) -> str:
    """The bound of a comparison is the baseline's number, or as far from it as the tolerance allows."""
    if not verdict.get("compared"):
        return ""
    told = f"the limit of '{metric.title}' is {bound}"
    if metric.relation == EXACTLY:
        return "" if bound == verdict["baseline"] else f"{told}, the baseline {verdict['baseline'] or UNKNOWN}"
    limit, old, allowed = number(bound, metric.form), number(verdict["baseline"], metric.form), 0.0
    if tolerance := _TOLERANCE.fullmatch(origin):
        if tolerance[1] != verdict["baseline"]:
            return f"{told}, of a baseline of {tolerance[1]}, and the baseline {verdict['baseline'] or UNKNOWN}"
        scale = 1 if not tolerance[3] else (old.value if old else 0) / 100
        allowed = float(tolerance[2]) * scale * (100 if metric.form == "share" and not tolerance[3] else 1)
        allowed = allowed if metric.relation == AT_MOST else -allowed
    if old is None or limit is None or not limit.may_be(old.value + allowed, old.rounding * 1.01):
        return f"{told}, the baseline {verdict['baseline'] or UNKNOWN}"
    return ""


def _of_change(verdict: Mapping[str, Any], metric: Metric, bound: str) -> str:
    """The change leads from the baseline, or where none is told from the limit, to the value."""
    change, text = verdict["change"], verdict["baseline"] or bound
    value, reference = number(verdict["value"], metric.form), number(text, metric.form)
    if metric.relation == EXACTLY or value is None or reference is None or not math.isfinite(value.value):
        return f"'{change:.40}' has no change" if change else ""
    told = f"{metric.title} {verdict['outcome']}: from {text} to {verdict['value']} it is {change or 'no change'}"
    if not math.isfinite(reference.value):
        return ""
    step = _step(change, metric, value, reference)
    if step is None:
        return told
    is_improved = verdict["outcome"] == "improved"
    if not verdict.get("compared") or verdict["outcome"] in (FAILED, IGNORED):
        return told if is_improved else ""
    better = -step if metric.relation == AT_MOST else step
    return told if (better > ROUNDING * max(1.0, abs(value.value))) != is_improved else ""


def _step(change: str, metric: Metric, value: Shown, reference: Shown) -> float | None:
    """The number of a change; None where it does not lead from ``reference`` to ``value``."""
    found = _CHANGE.fullmatch(change)
    if change != "unchanged" and not found:
        return None
    # The change of a ratio is written as that of a count.
    step = number(found[1], "count" if metric.form == "ratio" else metric.form) if found else Shown(0.0, 0.0)
    if step is None or not step.may_be(value.value - reference.value, value.rounding + reference.rounding):
        return None
    if found and found[2] and reference.value:
        share = step.value / reference.value * 100
        spread = (step.rounding + abs(share / 100) * reference.rounding) / abs(reference.value) * 100
        if not Shown(float(found[2]), 0.005).may_be(share, spread):
            return None
    return step.value


def _twice(content: Mapping[str, Any]) -> Iterator[str]:
    """A comparison has a number once for each baseline that its test read."""
    if "baselines" not in content:
        return  # files of before
    baselines = Counter((each.get("suite"), each.get("test")) for each in content["baselines"] if each["read"])
    compared = Counter(
        (each.get("suite"), each.get("test"), each["metric"]) for each in content["verdicts"] if each.get("compared")
    )
    for (suite, test, metric), count in compared.items():
        if count > (known := baselines[suite, test]):
            yield f"verdicts: {metric} is compared {count} times in {test}, with {known} baselines"
            return


def _evaluations(verdicts: list[Mapping[str, Any]]) -> Iterator[str]:
    """One evaluation has one number of each kind, whatever it was held against."""
    known: dict[tuple[str, str], tuple[str, Shown | None]] = {}
    subjects: dict[str, str] = {}
    for place, each in enumerate(verdicts):
        of = each.get("evaluation")
        if not of or each["metric"] == GROWS:
            continue
        if (subject := subjects.setdefault(of, each["subject"])) != each["subject"]:
            yield f"verdicts/{place}: one evaluation is of {subject} and of {each['subject']}"
        metric = METRICS.get(each["metric"]) or DISPATCH_METRICS.get(each["metric"], (None,))[0]
        found = number(each["value"], metric.form) if metric else None
        text, first = known.setdefault((of, each["title"]), (each["value"], found))
        same = first.may_be(found.value, found.rounding) if first and found else text == each["value"]
        if not same:
            yield f"verdicts/{place}: {each['title']} of {each['subject']} is {each['value']} here, and {text} before"


def disagreement(verdict: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """What a verdict's value is where the metrics of its evaluation have another one; empty where they agree."""
    metric = METRICS.get(verdict["metric"])
    if metric is None or metric.name == GROWS or verdict["title"] != metric.title:
        return ""
    value, told = metrics.get(metric.name), verdict["value"]
    found = number(told, metric.form) if isinstance(value, int | float) else None
    scale = 100 if metric.form == "share" else 1
    if told == metric.shown(value) or (found and found.may_be(value * scale)):
        return ""
    return metric.shown(value)
