# SPDX-License-Identifier: Apache-2.0
"""The gate: one shape for every limit on a measured number, and for the sentence that says why it was not kept.

A `Snapshot` is what an evaluation came to, exact numbers only. A limit on one of its metrics is judged to a
`Verdict`; a whole snapshot is compared with an earlier one, the baseline. Wall time is in neither.

>>> measured = snapshot(metrics.evaluation_document(evaluation), suite="gestures")   # doctest: +SKIP
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

from springbok.chips.chip import DEFAULT
from springbok.measuring.derived import (
    CLASSIFICATION,
    QUALITY,
    RUNTIME,
    SCALAR_BELOW,
    lane_utilisation,
    quality_of,
    runtime_instructions,
    shown,
    task_of,
    tidy,
    vector_share,
)
from springbok.support.errors import BenchError
from springbok.support.suggestions import did_you_mean

SCHEMA_VERSION = 1
AT_MOST, AT_LEAST, EXACTLY = "at most", "at least", "exactly"
ANY = "any"

# How much of the explanation a message holds.
MOST_DISPATCHES, MOST_OPCODES, MOST_SAMPLES = 4, 4, 8
# Shares are stored with this many digits; a difference below them is rounding.
SHARE_DIGITS = 9
_ROUNDING = 1e-9

Snapshot = Mapping[str, Any]


class GateError(BenchError):
    """A limit, a tolerance or a dispatch that does not exist was named."""


@dataclass(frozen=True)
class Metric:
    """A number that can be judged. ``relation`` is how it must stand to its limit; ``form`` is how it is written.

    ``is_recorded`` says whether baselines hold it: only what is the same in every run and on every machine is.
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
        return difference > _ROUNDING * max(1.0, abs(reference))


@dataclass(frozen=True)
class Limit:
    """A bound on a metric. ``origin`` says where it comes from, when it is not simply given."""

    metric: str
    bound: Any
    origin: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of one limit. ``outcome`` is ``failed``, ``passed`` or ``improved`` (better than the baseline)."""

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


# ---- What was measured


def snapshot(document: Mapping[str, Any], suite: str = "") -> dict[str, Any]:
    """What the only model of ``document`` (see `metrics.evaluation_document`) came to, as a baseline records it.

    ``made_with`` is not judged: it names what may have caused a change. Dispatches are by name, and one of them is
    the runtime, so that their instructions and opcodes add up to the inference.
    """
    (model,) = document["models"]
    firmware = document["firmware"]
    optimizer = model["compiler"].get("optimizer") or {}
    return {
        "schema": SCHEMA_VERSION,
        "subject": {
            "suite": suite,
            "model": model["name"],
            "variant": model["variant"],
            "optimize": optimizer.get("level"),
            "dataset": model["dataset"]["name"],
            **({"task": task_of(model)} if task_of(model) != CLASSIFICATION else {}),
            "engine": document["engine"],
            **({"chip": document["chip"]} if document.get("chip", DEFAULT) != DEFAULT else {}),
            "vlen_bits": document["vlen_bits"],
        },
        "made_with": {
            "compiler": model["compiler"]["version"],
            "flags": sorted(model["compiler"]["flags"]),
            "transformations": {each["name"]: each["applied"] for each in optimizer.get("transformations", ())},
            "engine_version": document["engine_version"],
            "model_sha256": model["sha256"],
            "module_sha256": model["vmfb_sha256"],
            "firmware_sha256": firmware["sha256"] if firmware else None,
            "dataset_sha256": model["dataset"].get("sha256"),
        },
        "metrics": {**_metrics(model), **_firmware_metrics(firmware)},
        "mistakes": _mistakes(model),
        "dispatches": _dispatches(model),
    }


def _mistakes(model: Mapping[str, Any]) -> dict[str, str]:
    """By number of the sample, which class was given for which; nothing where there are no classes."""
    names, given = model["class_names"], model["per_sample"]
    if task_of(model) != CLASSIFICATION:
        return {}
    return {
        str(number): f"{names[device]} for {names[label]}"
        for number, (label, device) in enumerate(zip(given["label"], given["device"], strict=True))
        if label != device
    }


def _metrics(model: Mapping[str, Any]) -> dict[str, Any]:
    counts_vectors = model["vector_instructions"]["mean"] is not None
    return {
        "samples": model["samples"],
        "accuracy": model["accuracy"],
        "host_accuracy": model["host_accuracy"],
        **(quality_of(model) if task_of(model) != CLASSIFICATION else {}),
        "outputs_sha256": model["outputs_sha256"],
        "max_abs_error": model["max_abs_error"] if model["max_abs_error"] is not None else math.inf,
        "instructions": model["instructions"]["mean"],
        "runtime_instructions": runtime_instructions(model),
        "vector_instructions": model["vector_instructions"]["mean"],
        "lane_utilisation": _rounded(lane_utilisation(model)),
        "scalar_dispatches": sum(map(_is_scalar, model["dispatches"])) if counts_vectors else None,
        "load_instructions": model["load_instructions"],
        "memory_peak_bytes": model["memory_peak_bytes"],
        "stack_peak_bytes": model["stack_peak_bytes"],
        "module_bytes": model["vmfb_bytes"],
        "kernel_text_bytes": model["kernel_text_bytes"],
        "kernel_rodata_bytes": model["kernel_rodata_bytes"],
    }


def _firmware_metrics(firmware: Mapping[str, Any] | None) -> dict[str, Any]:
    parts = ("text", "rodata", "data", "bss")
    sizes = {f"firmware_{part}_bytes": firmware[f"{part}_bytes"] if firmware else None for part in parts}
    whole = sum(firmware[f"{part}_bytes"] for part in parts[:3]) if firmware else None
    return {"firmware_bytes": whole, **sizes}


def _dispatches(model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    kept = ("layer", "calls", "instructions", "vector_instructions", "lanes", "opcodes")
    found = {each["name"]: {key: each[key] for key in kept} for each in model["dispatches"]}
    opcodes, vectors = model["opcodes"], model["vector_instructions"]["mean"]
    if opcodes is not None:
        inside = [each["opcodes"] or {} for each in model["dispatches"]]
        rest = {name: tidy(count - math.fsum(each.get(name, 0) for each in inside)) for name, count in opcodes.items()}
        opcodes = {name: count for name, count in rest.items() if count}
    if vectors is not None:
        vectors = tidy(vectors - math.fsum(each["vector_instructions"] for each in model["dispatches"]))
    own = {"instructions": runtime_instructions(model), "vector_instructions": vectors, "opcodes": opcodes}
    found[RUNTIME] = {"layer": None, "calls": 1, "lanes": None, **own}
    return found


def _is_scalar(dispatch: Mapping[str, Any]) -> bool:
    return (vector_share(dispatch) or 0) < SCALAR_BELOW


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, SHARE_DIGITS)


def title(measured: Snapshot) -> str:
    """``gestures (vector) on spike, VLEN 512``"""
    subject = measured["subject"]
    return f"{subject['model']} ({subject['variant']}) on {subject['engine']}, VLEN {subject['vlen_bits']}"


# ---- What accounts for a value or its change


def _by_instructions(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    return _accounts(measured, baseline, "instructions", lambda part: part["instructions"])


def _by_runtime(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    return _accounts(
        measured, baseline, "instructions", lambda part: part["instructions"], lambda name: name == RUNTIME
    )


def _by_vectors(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    return _accounts(measured, baseline, "vector instructions", lambda part: part["vector_instructions"] or 0)


def _by_lanes(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Dispatches by how much each pulls the utilisation below what it was (or below all lanes, without a baseline)."""
    known = baseline["metrics"]["lane_utilisation"] if baseline else None
    reference = 1.0 if known is None else known

    def shortfall(part: Mapping | None) -> float:
        lanes = part["lanes"] if part else None
        return reference * lanes["available"] - lanes["active"] if lanes else 0

    def used(part: Mapping | None) -> str:
        lanes = part["lanes"] if part else None
        return f"{shown(lanes['active'], 'count')} of {shown(lanes['available'], 'count')}" if lanes else "none"

    rows = sorted((shortfall(old) - shortfall(new), name, new, old) for name, new, old in _paired(measured, baseline))
    return [
        f"{_named(name, new or old)}: {f'{used(old)} -> ' if baseline else ''}{used(new)} lanes used"
        for change, name, new, old in rows[:MOST_DISPATCHES]
        if change < -_ROUNDING
    ]


def _accounts(
    measured: Snapshot,
    baseline: Snapshot | None,
    unit: str,
    amount: Callable[[Mapping], float],
    chosen: Callable[[str], bool] = lambda name: True,
) -> list[str]:
    """The dispatches that hold most of a value, or most of its change, with their opcodes."""
    pairs = [
        (name, new, old) for name, new, old in _paired(measured, baseline) if chosen(name) and (new or old) is not None
    ]
    rows = []
    for name, new, old in pairs:
        value = amount(new) if new else 0
        before = amount(old) if old else 0
        rows.append((tidy(value - before) if baseline else value, name, new, old, before, value))
    rows = sorted((row for row in rows if row[0]), key=lambda row: -abs(row[0]))
    lines = []
    for change, name, new, old, before, value in rows[:MOST_DISPATCHES]:
        where = _named(name, new or old)
        if not baseline:
            lines.append(f"{where}: {shown(value, 'count')} {unit}{_opcodes(new['opcodes'])}")
            continue
        kind = " (new)" if old is None else " (gone)" if new is None else ""
        counts = f"{shown(before, 'count')} -> {shown(value, 'count')}"
        difference = _opcode_change((new or {}).get("opcodes"), (old or {}).get("opcodes"))
        lines.append(f"{where}{kind}: {_signed(change)} {unit} ({counts}){difference}")
    rest = rows[MOST_DISPATCHES:]
    if rest:
        total = tidy(math.fsum(row[0] for row in rest))
        lines.append(f"{len(rest)} more: {_signed(total) if baseline else shown(total, 'count')}")
    return lines


def _paired(measured: Snapshot, baseline: Snapshot | None) -> list[tuple[str, Mapping | None, Mapping | None]]:
    """Dispatches of two snapshots: by name; where names changed, by what of them is the kernel's own, or by layer."""
    new, old = dict(measured["dispatches"]), dict(baseline["dispatches"]) if baseline else {}
    pairs = [(name, new.pop(name), old.pop(name)) for name in list(new) if name in old]
    for same in (
        lambda name, other: _kernel(name) == _kernel(other),
        lambda name, other: measured["dispatches"][name]["layer"] == baseline["dispatches"][other]["layer"],
    ):
        for name in list(new):
            found = next((other for other in old if same(name, other)), None)
            if found is not None:
                pairs.append((name, new.pop(name), old.pop(found)))
    return [*pairs, *((name, part, None) for name, part in new.items()), *((name, None, old[name]) for name in old)]


def _kernel(name: str) -> str:
    return re.sub(r"^.*?_dispatch_\d+_", "", name)


def _named(name: str, part: Mapping) -> str:
    return f"{name} ({part['layer']})" if part["layer"] else name


def _opcodes(opcodes: Mapping[str, float] | None) -> str:
    most = sorted((opcodes or {}).items(), key=lambda item: (-item[1], item[0]))[:MOST_OPCODES]
    return ", of these " + ", ".join(f"{name} {shown(count, 'count')}" for name, count in most) if most else ""


def _opcode_change(new: Mapping[str, float] | None, old: Mapping[str, float] | None) -> str:
    new, old = new or {}, old or {}
    changes = {name: tidy(new.get(name, 0) - old.get(name, 0)) for name in {*new, *old}}
    most = sorted((item for item in changes.items() if item[1]), key=lambda item: (-abs(item[1]), item[0]))
    text = ", ".join(f"{name} {_signed(count)}" for name, count in most[:MOST_OPCODES])
    return f": {text}" if text else ""


def _by_scalar_dispatches(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    lines = []
    for name, new, old in _paired(measured, baseline):
        if name == RUNTIME or new is None or not _is_scalar(new) or (old is not None and _is_scalar(old)):
            continue
        before = f"{shown(vector_share(old), 'share')} -> " if old else ""
        share = f"{before}{shown(vector_share(new), 'share')} of its instructions are vector work"
        change = _opcode_change(new["opcodes"], old["opcodes"]) if old else _opcodes(new["opcodes"])
        lines.append(f"{_named(name, new)}: {share}{change}")
    return lines


def _by_sizes(*parts: tuple[str, str]) -> Callable[[Snapshot, Snapshot | None], list[str]]:
    """Accounts for a size by metrics that are parts of it: ``(metric, what it is)``."""

    def explain(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
        lines = []
        for name, what in parts:
            new = measured["metrics"].get(name)
            old = baseline["metrics"].get(name) if baseline else None
            if new is None or (baseline and new == old):
                continue
            change = f": {_signed(new - old)}" if old is not None else ""
            was = f"{shown(old, 'count')} -> " if old is not None else ""
            lines.append(f"{what}{change} ({was}{shown(new, 'count')} bytes)")
        return lines

    return explain


def _by_mistakes(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    known = baseline["mistakes"] if baseline else {}
    new = {number: text for number, text in measured["mistakes"].items() if known.get(number) != text}
    word = "now answered" if baseline else "answered"
    lines = [f"sample {number} is {word} {text}" for number, text in list(new.items())[:MOST_SAMPLES]]
    return lines + ([f"{len(new) - MOST_SAMPLES} more"] if len(new) > MOST_SAMPLES else [])


def _by_nothing(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    del measured, baseline
    return []


_MODULE_PARTS = (("kernel_text_bytes", "code of the kernels"), ("kernel_rodata_bytes", "constants of the kernels"))
_FIRMWARE_PARTS = tuple((f"firmware_{part}_bytes", f".{part}") for part in ("text", "rodata", "data"))

METRICS = {
    metric.name: metric
    for metric in (
        Metric("samples", "samples", "count", EXACTLY, _by_nothing),
        Metric("accuracy", "accuracy", "share", AT_LEAST, _by_mistakes),
        *(
            Metric(name, title, form, AT_LEAST if better == "higher" else AT_MOST, _by_nothing)
            for name, (title, form, better) in QUALITY.items()
            if name != "accuracy"
        ),
        Metric("outputs_sha256", "digest of all outputs", "digest", EXACTLY, _by_mistakes),
        Metric(
            "max_abs_error", "largest difference of an output from the host's", "error", AT_MOST, _by_nothing, False
        ),
        Metric("instructions", "instructions an inference", "count", AT_MOST, _by_instructions),
        Metric("runtime_instructions", "instructions of the runtime an inference", "count", AT_MOST, _by_runtime),
        Metric("lane_utilisation", "lane utilisation", "share", AT_LEAST, _by_lanes),
        Metric("scalar_dispatches", "dispatches that run scalar", "count", AT_MOST, _by_scalar_dispatches),
        Metric("load_instructions", "instructions of loading the module", "count", AT_MOST, _by_nothing),
        Metric(
            "memory_peak_bytes", "memory peak", "bytes", AT_MOST, _by_sizes(("module_bytes", "of these the module"))
        ),
        # The stack's mark is of all since the chip's start: it depends on what ran before.
        Metric("stack_peak_bytes", "stack peak", "bytes", AT_MOST, _by_nothing, False),
        Metric("module_bytes", "module", "bytes", AT_MOST, _by_sizes(*_MODULE_PARTS)),
        Metric("firmware_bytes", "firmware (code and constants)", "bytes", AT_MOST, _by_sizes(*_FIRMWARE_PARTS)),
        Metric("firmware_bss_bytes", "firmware's bss", "bytes", AT_MOST, _by_nothing),
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


def check_tolerances(tolerances: Mapping[str, str]) -> None:
    """Raises GateError for a tolerance of what baselines don't hold, and for one that is none."""
    for name, tolerance in tolerances.items():
        metric = _metric(name)
        if not metric.is_recorded:
            raise GateError(f"Baselines hold no {name}: it is not the same in every run and on every machine.")
        if tolerance != ANY:
            _margin(metric, tolerance, 1)


def judge_dispatches(measured: Snapshot, pattern: str, minimum: float = SCALAR_BELOW) -> list[Verdict]:
    """Judge the share of vector work in the dispatches whose name, kernel or layer matches ``pattern`` (a glob)."""
    found = [
        (name, part)
        for name, part in measured["dispatches"].items()
        if name != RUNTIME
        and any(fnmatch.fnmatchcase(each, pattern) for each in (name, _kernel(name), part["layer"] or ""))
    ]
    if not found:
        known = "\n".join(f"    {name} ({part['layer']})" for name, part in measured["dispatches"].items())
        raise GateError(f"No dispatch of {title(measured)} matches '{pattern}'. It has:\n{known}")
    verdicts = []
    for name, part in found:
        share = vector_share(part)
        where = f"vector share of {_named(name, part)}"
        metric = Metric("vector_share", where, "share", AT_LEAST, _by_nothing)
        verdict = _verdict(measured, metric, Limit(metric.name, minimum), share)
        if verdict.has_failed and share is not None:
            text = f"{shown(part['instructions'], 'count')} instructions{_opcodes(part['opcodes'])}"
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
    pairs = _paired(measured, baseline)
    lines += [f"dispatch new: {_named(name, part)}" for name, part, old in pairs if old is None]
    return lines + [f"dispatch gone: {_named(name, part)}" for name, now, part in pairs if now is None]


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
    return f"{_signed(difference)}{unit}{percent}"


def _signed(number: float) -> str:
    return ("+" if number > 0 else "-" if number < 0 else "") + shown(abs(number), "count")


def _short(digest: str | None) -> str:
    return f"{digest[:12]}…" if digest else "unknown"
