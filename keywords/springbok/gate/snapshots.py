# SPDX-License-Identifier: Apache-2.0
"""What an evaluation came to, exact numbers only: what limits are judged by, and what a baseline records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from springbok.chips.chip import DEFAULT
from springbok.measuring.derived import (
    CLASSIFICATION,
    QUALITY,
    RUNTIME,
    SCALAR_BELOW,
    cycles_of,
    estimated_cycles_of,
    lane_utilisation,
    quality_of,
    runtime_cycles,
    runtime_instructions,
    stack_accesses,
    task_of,
    tidy,
    vector_share,
    vset_per_vector,
    whole_register_moves,
)
from springbok.measuring.platforms import configuration_title, platform_of
from springbok.support.cache import digest

SCHEMA_VERSION = 1
# Shares are stored with this many digits; a difference below them is rounding.
SHARE_DIGITS = 9
#: Engines whose counts of one evaluation are the same however often a run measures it.
_SAME_EACH_TIME = ("spike",)
_EVALUATION_LETTERS = 12

Snapshot = Mapping[str, Any]


def snapshot(document: Mapping[str, Any], suite: str = "") -> dict[str, Any]:
    """What the only model of ``document`` (see `metrics.evaluation_document`) came to, as a baseline records it.

    ``made_with`` is not judged: it names what may have caused a change. Dispatches are by name, and one of them is
    the runtime, so that their instructions and opcodes add up to the inference.
    """
    (model,) = document["models"]
    platform = platform_of(document, model)
    firmware = platform["firmware"]
    optimizer, timing = model["compiler"].get("optimizer") or {}, (model.get("estimate") or {}).get("timing")
    return {
        "schema": SCHEMA_VERSION,
        "subject": {
            "suite": suite,
            "model": model["name"],
            "variant": model["variant"],
            "optimize": optimizer.get("level"),
            "dataset": model["dataset"]["name"],
            **({"task": task_of(model)} if task_of(model) != CLASSIFICATION else {}),
            "engine": platform["engine"],
            **({"chip": platform["chip"]} if platform["chip"] != DEFAULT else {}),
            "vlen_bits": platform["vlen_bits"],
        },
        "made_with": {
            "compiler": model["compiler"]["version"],
            "flags": sorted(model["compiler"]["flags"]),
            "transformations": {each["name"]: each["applied"] for each in optimizer.get("transformations", ())},
            "engine_version": platform["engine_version"],
            "model_sha256": model["sha256"],
            "module_sha256": model["vmfb_sha256"],
            "firmware_sha256": firmware["sha256"] if firmware else None,
            "dataset_sha256": model["dataset"].get("sha256"),
            **({"timing": {key: timing[key] for key in ("name", "sha256")}} if timing else {}),
        },
        "metrics": {**_metrics(model), **_firmware_metrics(firmware)},
        "mistakes": _mistakes(model),
        "dispatches": _dispatches(model),
    }


def evaluation_of(measured: Snapshot) -> str:
    """Tells an evaluation from all others that a run judges or records: what ran, where, on what, and how good it was.

    What it cost is no part of it: that is the same each time. Empty where the engine does not promise that.
    """
    subject, made, found = (measured[key] for key in ("subject", "made_with", "metrics"))
    if subject["engine"] not in _SAME_EACH_TIME:
        return ""
    where = sorted((key, value) for key, value in subject.items() if key != "suite")
    what = [made.get(key) for key in ("model_sha256", "module_sha256", "firmware_sha256", "dataset_sha256", "timing")]
    how = [found.get(name) for name in ("samples", "outputs_sha256", "max_abs_error", *QUALITY)]
    return digest(where, *what, *how)[:_EVALUATION_LETTERS]


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
    cycles = cycles_of(model)
    return {
        "samples": model["samples"],
        "accuracy": model["accuracy"],
        "host_accuracy": model["host_accuracy"],
        **(quality_of(model) if task_of(model) != CLASSIFICATION else {}),
        "outputs_sha256": model["outputs_sha256"],
        "max_abs_error": model["max_abs_error"] if model["max_abs_error"] is not None else math.inf,
        "instructions": model["instructions"]["mean"],
        **({} if cycles is None else {"cycles": cycles}),
        **({"estimated_cycles": estimated_cycles_of(model)} if "estimate" in model else {}),
        "runtime_instructions": runtime_instructions(model),
        "vector_instructions": model["vector_instructions"]["mean"],
        "lane_utilisation": _rounded(lane_utilisation(model)),
        "scalar_dispatches": sum(map(is_scalar, model["dispatches"])) if counts_vectors else None,
        **_code_quality(model),
        "load_instructions": model["load_instructions"],
        "memory_peak_bytes": model["memory_peak_bytes"],
        "stack_peak_bytes": model["stack_peak_bytes"],
        "module_bytes": model["vmfb_bytes"],
        "kernel_text_bytes": model["kernel_text_bytes"],
        "kernel_rodata_bytes": model["kernel_rodata_bytes"],
    }


def _code_quality(model: Mapping[str, Any]) -> dict[str, Any]:
    found = {"stack_accesses": stack_accesses(model), "whole_register_moves": whole_register_moves(model)}
    found["vset_per_vector"] = _rounded(vset_per_vector(model))
    return {name: value for name, value in found.items() if value is not None}


def _firmware_metrics(firmware: Mapping[str, Any] | None) -> dict[str, Any]:
    parts = ("text", "rodata", "data", "bss")
    sizes = {f"firmware_{part}_bytes": firmware[f"{part}_bytes"] if firmware else None for part in parts}
    whole = sum(firmware[f"{part}_bytes"] for part in parts[:3]) if firmware else None
    return {"firmware_bytes": whole, **sizes}


def _dispatches(model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    kept = ("layer", "calls", "instructions", "vector_instructions", "lanes", "opcodes")
    found = {each["name"]: {key: each[key] for key in kept} for each in model["dispatches"]}
    for each in model["dispatches"]:
        found[each["name"]] |= {key: each[key] for key in ("cycles", "stack") if key in each} | _estimate(each)
    opcodes, vectors = model["opcodes"], model["vector_instructions"]["mean"]
    if opcodes is not None:
        inside = [each["opcodes"] or {} for each in model["dispatches"]]
        rest = {name: tidy(count - math.fsum(each.get(name, 0) for each in inside)) for name, count in opcodes.items()}
        opcodes = {name: count for name, count in rest.items() if count}
    if vectors is not None:
        vectors = tidy(vectors - math.fsum(each["vector_instructions"] for each in model["dispatches"]))
    own = {"instructions": runtime_instructions(model), "vector_instructions": vectors, "opcodes": opcodes}
    if cycles_of(model) is not None:
        own["cycles"] = runtime_cycles(model)
    own |= _estimate({"estimate": (model.get("estimate") or {}).get("runtime")})
    found[RUNTIME] = {"layer": None, "calls": 1, "lanes": None, **own}
    return found


def _estimate(part: Mapping[str, Any]) -> dict[str, Any]:
    """What of a part's estimate is judged and accounted for."""
    found = part.get("estimate") or {}
    return {key: found[key] for key in ("estimated_cycles", "where") if key in found}


def is_scalar(dispatch: Mapping[str, Any]) -> bool:
    """Whether hardly any of a dispatch's instructions are vector work."""
    return (vector_share(dispatch) or 0) < SCALAR_BELOW


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, SHARE_DIGITS)


def title(measured: Snapshot) -> str:
    """``gestures (vector, standard) on springbok, spike, VLEN 512``

    >>> title({"subject": {"model": "m", "variant": "scalar", "optimize": "none", "engine": "rtl", "vlen_bits": 0}})
    'm (scalar, none) on springbok, rtl, VLEN 0'
    """
    subject = measured["subject"]
    names = (subject["model"], subject["variant"], subject.get("optimize"), subject.get("chip", DEFAULT))
    return configuration_title(*names, subject["engine"], subject["vlen_bits"])
