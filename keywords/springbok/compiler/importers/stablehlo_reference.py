# SPDX-License-Identifier: Apache-2.0
"""Writes what XLA is asked about a StableHLO model: see `springbok.compiler.importers.worker_xla`.

It is the model as it came, with one thing settled: every sort is a stable one, as the module's is. Beside it there is
another model for what StableHLO leaves open: integers divided by 0, shifts by more than all bits, floating-point
numbers that no integer of the type is near, random numbers. There each such answer is another one; so an element of
the outputs that differs between the two has no right value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from iree.compiler import ir

from springbok.compiler.importers.mlir_rewriting import NUMBERS, constant, expand
from springbok.compiler.mlir import operations
from springbok.modules.vmfb import Vmfb
from springbok.tensors import TensorSpec

_DIALECTS = frozenset({"builtin", "func", "stablehlo", "chlo"})


def knows(module: ir.Module) -> bool:
    """Whether all of a module is StableHLO, as far as its dialects tell."""
    dialects = {operation.name.partition(".")[0] for operation in operations(module)}
    return bool(dialects & {"stablehlo", "chlo"}) and dialects <= _DIALECTS


def texts(module: ir.Module, function: str) -> tuple[str, str | None]:
    """The model for XLA, as text with ``main`` in place of ``function``, and the other one if anything is left open."""
    for operation in operations(module, "stablehlo.sort"):
        operation.attributes["is_stable"] = ir.BoolAttr.get(True)
    model = re.sub(rf'@"?{re.escape(function)}"?(?=[(\s])', "@main", module.operation.get_asm())
    other = ir.Module.parse(model)
    changed = False
    for operation in operations(other):
        changed |= _leave_open(operation)
    return model, other.operation.get_asm() if changed else None


def describe(folder: Path, model: str, other: str | None, declared: Vmfb, types: Sequence[str]) -> Path:
    """Writes the files that the worker reads to ``folder``; ``types`` are MLIR's of the inputs. Returns its model.

    ``declared`` is the module that IREE's own answers come from.
    """
    (folder / "stablehlo.mlir").write_text(model, encoding="utf-8")
    if other is not None:
        (folder / "stablehlo-other.mlir").write_text(other, encoding="utf-8")
    precision = _precision(model)
    about = {
        "inputs": [asdict(spec) for spec in declared.inputs],
        "types": [np.dtype(NUMBERS[each]).name for each in types],
        "outputs": [asdict(_computed_in(precision, spec)) for spec in declared.outputs],
        "makes_integers": re.search(r"stablehlo\.convert .*x?b?f\d+\w*>\) -> tensor<[\dx]*u?i\d+>", model) is not None,
    }
    (folder / "stablehlo.json").write_text(json.dumps(about), encoding="utf-8")
    return folder / "stablehlo.mlir"


def _precision(model: str) -> str | None:
    """The least precise type of floating-point numbers in a model, where it is less than float32."""
    kinds = set(re.findall(r"[x<](bf16|f16|f8\w+)>", model))
    return None if not kinds else "float16" if kinds == {"f16"} else "bfloat16"


def _computed_in(precision: str | None, spec: TensorSpec) -> TensorSpec:
    return replace(spec, precision=precision) if precision and np.issubdtype(spec.dtype, np.floating) else spec


def _leave_open(operation: ir.Operation) -> bool:
    """Lets an operation have another answer where StableHLO has none."""
    lines = _open_where(operation)
    if lines is None:
        return False
    with ir.InsertionPoint(operation), operation.location:
        same = operation.clone().operation
        number = len(operation.results) - 1
        given = [same.results[number], *operation.operands]
        kind = _kind(given[0])
        element = kind[1].lstrip("u")
        words = {"b": f"{kind[0]}i1>", "u": f"{kind[0]}u{element}>", "wide": f"{kind[0]}f64>", "bits": element[1:]}
        if kind[1] in NUMBERS and np.issubdtype(NUMBERS[kind[1]], np.integer):
            limits = np.iinfo(NUMBERS[kind[1]])
            words |= {"least": int(limits.min), "most": int(limits.max), "last": -1 if limits.min else int(limits.max)}
        types = {f"t{place}": value.type for place, value in enumerate(given)}
        other = expand(operation, given, lines, t=given[0].type, **types, **words)
    for place in range(number):
        operation.results[place].replace_all_uses_with(same.results[place])
    operation.results[number].replace_all_uses_with(other)
    operation.erase()
    return True


def _kind(value: ir.Value) -> tuple[str, str]:
    """The beginning of a tensor's type, up to its element type, and that."""
    return re.fullmatch(r"(tensor<(?:\d+x)*)(\w+)>", str(value.type)).groups()


def _open_where(operation: ir.Operation) -> str | None:
    """What gives another answer where an operation has none, of its answer ``%0`` and what it takes."""
    name = operation.name.removeprefix("stablehlo.")
    values = [*operation.operands, *operation.results]
    if not all(re.fullmatch(r"tensor<(\d+x)*\w+>", str(value.type)) for value in values):
        return None
    element = _kind(operation.results[-1])[1] if operation.results else ""
    if name in ("rng", "rng_bit_generator"):
        return "%r = stablehlo.add %0, %0 : {t}"
    lines = None
    if not re.fullmatch(r"u?i(8|16|32|64)", element):
        pass
    elif name in ("divide", "remainder"):
        known = constant(operation.operands[1])
        undefined = (0,) if element.startswith("u") else (0, -1)
        lines = _DIVIDED if known is None or np.isin(known, undefined).any() else None
    elif name in ("shift_left", "shift_right_arithmetic", "shift_right_logical"):
        lines = _SHIFTED
    elif name == "convert" and "f" in _kind(operation.operands[0])[1]:
        lines = _CONVERTED
    return lines and lines + _CHANGED


_CHANGED = """
    %changed = stablehlo.not %0 : {t}
    %r = stablehlo.select %open, %changed, %0 : {b}, {t}
"""
_DIVIDED = """
    %zero = stablehlo.constant dense<0> : {t}
    %least = stablehlo.constant dense<{least}> : {t}
    %last = stablehlo.constant dense<{last}> : {t}
    %by_zero = stablehlo.compare EQ, %2, %zero : ({t}, {t}) -> {b}
    %low = stablehlo.compare EQ, %1, %least : ({t}, {t}) -> {b}
    %by_last = stablehlo.compare EQ, %2, %last : ({t}, {t}) -> {b}
    %sign = stablehlo.compare LT, %least, %zero : ({t}, {t}) -> {b}
    %beyond = stablehlo.and %low, %by_last : {b}
    %signed = stablehlo.and %beyond, %sign : {b}
    %open = stablehlo.or %by_zero, %signed : {b}
"""
_SHIFTED = """
    %amount = stablehlo.bitcast_convert %2 : ({t}) -> {u}
    %bits = stablehlo.constant dense<{bits}> : {u}
    %open = stablehlo.compare GE, %amount, %bits : ({u}, {u}) -> {b}
"""
_CONVERTED = """
    %number = stablehlo.convert %1 : ({t1}) -> {wide}
    %least = stablehlo.constant dense<{least}.0> : {wide}
    %most = stablehlo.constant dense<{most}.0> : {wide}
    %one = stablehlo.constant dense<1.0> : {wide}
    %under = stablehlo.subtract %least, %one : {wide}
    %over = stablehlo.add %most, %one : {wide}
    %high = stablehlo.compare LT, %number, %over : ({wide}, {wide}) -> {b}
    %low = stablehlo.compare GT, %number, %under : ({wide}, {wide}) -> {b}
    %inside = stablehlo.and %low, %high : {b}
    %open = stablehlo.not %inside : {b}
"""
