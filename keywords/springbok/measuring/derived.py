# SPDX-License-Identifier: Apache-2.0
"""Numbers that are derived from those of a metrics document, and how people read them: for the gate and for reports.

A part is a model of the document or one of its dispatches; see docs/metrics.md.

>>> vector_share({"instructions": 100, "vector_instructions": 25})
0.25
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "unknown"
RUNTIME = "runtime (VM)"
# A dispatch of a vector build ran scalar when fewer than this share of its instructions are vector work.
SCALAR_BELOW = 0.01

#: What tasks judge, by the names in metrics documents: what people call it, how it is written, and which is better.
QUALITY = {
    "accuracy": ("accuracy", "share", "higher"),
    "mean_absolute_error": ("mean absolute error", "value", "lower"),
    "root_mean_square_error": ("root mean square error", "value", "lower"),
    "r_squared": ("R²", "value", "higher"),
    "auc": ("AUC", "value", "higher"),
}
_WHOLE_MOVE = re.compile(r"vmv[1248]r\.v")
CLASSIFICATION = "classification"  # the task of documents that name none

_FORMATS = {"value": ".5g", "text": "", "number": "", "count": ",.2f", "ratio": ".3f", "error": ".2e", "seconds": ".4g"}
_MOST_DIGITS = 12


def task_of(model: Mapping[str, Any]) -> str:
    """What the model's answers were judged for."""
    return (model.get("quality") or {}).get("task", CLASSIFICATION)


def quality_of(model: Mapping[str, Any], owner: str = "device") -> dict[str, float | None]:
    """The figures of `QUALITY` that the task has, of ``device`` or ``host``.

    >>> quality_of({"accuracy": 0.9, "host_accuracy": 1.0}, "host")
    {'accuracy': 1.0}
    """
    if "quality" in model:
        return model["quality"][owner]
    return {"accuracy": model["accuracy" if owner == "device" else "host_accuracy"]}


def quality_text(model: Mapping[str, Any], owner: str = "device") -> str:
    """The first of these figures as people read it, such as ``AUC 0.98``; empty where the task has none."""
    for name, value in quality_of(model, owner).items():
        title, form, _ = QUALITY[name]
        return shown(value, form) if name == "accuracy" else f"{title} {shown(value, form)}"
    return ""


def vector_share(part: Mapping[str, Any]) -> float | None:
    """Vector instructions (without ``vset*``) over all instructions, of a model or a dispatch."""
    vectors, instructions = mean_of(part["vector_instructions"]), mean_of(part["instructions"])
    return None if vectors is None else ratio(vectors, instructions)


def lane_utilisation(part: Mapping[str, Any]) -> float | None:
    """Active lanes over lanes there; None where the engine doesn't tell, or nothing ran in vectors."""
    lanes = part.get("lanes")
    return ratio(lanes["active"], lanes["available"]) if lanes else None


def stack_accesses(part: Mapping[str, Any]) -> float | None:
    """Loads and stores of the kernels' own stacks, of a dispatch or a model; None where the engine doesn't tell.

    >>> stack_accesses({"stack": {"loads": 3, "stores": 2}})
    5
    """
    if "dispatches" in part:
        each = [stack_accesses(dispatch) for dispatch in part["dispatches"]]
        return None if None in each else tidy(math.fsum(each))
    return tidy(part["stack"]["loads"] + part["stack"]["stores"]) if part.get("stack") else None


def vset_per_vector(part: Mapping[str, Any]) -> float | None:
    """Executions of ``vset*`` for each vector instruction, of a dispatch or a model; None where there is none."""
    opcodes, vectors = part["opcodes"], mean_of(part["vector_instructions"])
    if opcodes is None or vectors is None:
        return None
    return ratio(math.fsum(count for name, count in opcodes.items() if name.startswith("vset")), vectors)


def whole_register_moves(part: Mapping[str, Any]) -> float | None:
    """Executions of ``vmv1r.v`` to ``vmv8r.v``: copies of a register that compute nothing.

    >>> whole_register_moves({"opcodes": {"vmv2r.v": 4, "vmv.v.i": 7}})
    4
    """
    if part["opcodes"] is None:
        return None
    return tidy(math.fsum(count for name, count in part["opcodes"].items() if _WHOLE_MOVE.fullmatch(name)))


def cycles_of(model: Mapping[str, Any]) -> float | None:
    """Cycles of an inference, where the engine has the core's RTL."""
    return mean_of(model.get("cycles"))


def estimated_cycles_of(part: Mapping[str, Any]) -> float | None:
    """Estimated cycles of a model or a dispatch, where cycles were estimated; never those that a core counted."""
    return (part.get("estimate") or {}).get("estimated_cycles")


def runtime_cycles(model: Mapping[str, Any]) -> float | None:
    """Cycles of an inference outside of all dispatches; None where there are none."""
    cycles = cycles_of(model)
    return None if cycles is None else tidy(cycles - math.fsum(each.get("cycles", 0) for each in model["dispatches"]))


def runtime_instructions(model: Mapping[str, Any]) -> float:
    """What an inference spends outside of all dispatches: the VM and its runtime."""
    return tidy(model["instructions"]["mean"] - math.fsum(entry["instructions"] for entry in model["dispatches"]))


def mean_of(value: Any) -> float | None:
    """A number, or the ``mean`` of an object."""
    return value["mean"] if isinstance(value, Mapping) else value


def dispatch_label(entry: Mapping[str, Any]) -> str:
    """What a dispatch is called wherever people read of it: its number, its layer, and what of its name is its own.

    >>> dispatch_label({"name": "main_dispatch_5_vecmat_16x352_f32", "layer": "dense_1"})
    '5 dense_1: vecmat_16x352_f32'
    >>> dispatch_label({"name": "main_dispatch_1", "layer": "conv_1"})
    '1 conv_1'
    """
    found = re.fullmatch(r".*?_dispatch_(\d+)_?(.*)", entry["name"])
    number, name = (found[1], found[2]) if found else ("", entry["name"])
    what = ": ".join(filter(None, (entry["layer"], name)))
    return " ".join(filter(None, (number, what)))


def ratio(part: float | None, whole: float) -> float | None:
    """``part / whole``, None when there is no whole, or the part is not known."""
    return part / whole if whole and part is not None else None


def tidy(value: float) -> float:
    """Remove what is only rounding of binary fractions; whole numbers become int."""
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def shown(value: Any, form: str = "text") -> str:
    """Write a value as people read it; None is unknown.

    >>> shown(1234567, "count"), shown(0.0127, "share"), shown(None, "count")
    ('1,234,567', '1.27 %', 'unknown')
    """
    if value is None:
        return UNKNOWN
    if form == "share":
        return f"{value * 100:.2f} %"
    text = format(value, _FORMATS[form])
    return text.rstrip("0").rstrip(".") if form == "count" and "." in text else text


def shown_apart(values: Sequence[float | None], form: str, rounding: float = 0.0) -> list[str]:
    """Write numbers that are compared as `shown` does, but with as many digits as it takes to see what they are.

    What is not 0 does not look like it, and numbers that differ by more than ``rounding`` (of their size, at least of
    1) look different.

    >>> shown_apart([0.0191, 0.0001], "ratio"), shown_apart([0.2504, 0.2501], "ratio"), shown_apart([2, 1], "count")
    (['0.0191', '0.0001'], ['0.2504', '0.2501'], ['2', '1'])
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    pairs = [(a, b) for a, b in itertools.combinations(known, 2) if abs(a - b) > rounding * max(1.0, abs(a), abs(b))]
    for digits in range(_MOST_DIGITS):
        one = {value: _with_digits(value, form, digits) for value in known}
        looks_like_0 = any(value and not re.search("[1-9]", one[value].partition("e")[0]) for value in known)
        if not looks_like_0 and all(one[a] != one[b] for a, b in pairs):
            break
    return [one[value] if value in known else shown(value, form) for value in values]


def _with_digits(value: float, form: str, more: int) -> str:
    """As `shown`, with so many digits more."""
    if not more or form in ("text", "number"):
        return shown(value, form)
    if form == "share":
        return f"{value * 100:.{2 + more}f} %"
    digits, kind = re.search(r"(\d)(\w)$", _FORMATS[form]).groups()
    text = format(value, f"{',' * (form == 'count')}.{int(digits) + more}{kind}")
    return text.rstrip("0").rstrip(".") if form == "count" else text


def vlen_text(bits: int | None) -> str:
    """The length of vector registers, as people read it.

    >>> vlen_text(512), vlen_text(0), vlen_text(None)
    ('VLEN 512', 'no vectors', 'VLEN unknown')
    """
    return f"VLEN {UNKNOWN if bits is None else bits}" if bits != 0 else "no vectors"
