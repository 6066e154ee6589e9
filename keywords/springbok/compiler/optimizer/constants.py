# SPDX-License-Identifier: Apache-2.0
"""Hoisted constants into place.

Reason: what depends on weights alone (such as the sums of weights that zero points are multiplied with) should be
computed by the compiler, not in every inference. IREE hoists it into globals, but its execution model inline-dynamic
loses globals that are packed; so each becomes a constant where it is loaded, and ends up in the kernels' rodata.

Precondition: the global's value is known when compiling, and nothing stores to it.
"""

from __future__ import annotations

from iree.compiler import ir

from springbok.compiler.mlir import operations
from springbok.compiler.optimizer.transformation import Change, Visits


class ConstantsInPlace:
    """See the module."""

    name = "constants"
    vectors_only = False
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes, visits = [], visits or Visits()
        globals_ = {_symbol(each, "sym_name"): each for each in operations(module, "util.global")}
        stored = {_symbol(each, "global") for each in operations(module, "util.global.store")}
        for load in visits.of(operations(module, "util.global.load")):
            name, kind = _symbol(load, "global"), load.results[0].type
            if not isinstance(kind, ir.RankedTensorType):
                continue
            initial = _initial_value(globals_.get(name))
            if initial is None or name in stored:
                reason = "it is stored to" if name in stored else "its value is not known when compiling"
                changes.append(Change(self.name, f"{name} {kind}", False, reason))
                continue
            with ir.InsertionPoint(load), load.location:
                known = ir.Operation.create("arith.constant", results=[kind], attributes={"value": initial})
            load.results[0].replace_all_uses_with(known.result)
            load.erase()
            changes.append(Change(self.name, f"{name} {kind}", True, "computed when compiling"))
        loaded = {_symbol(each, "global") for each in operations(module, "util.global.load")}
        for name, each in globals_.items():
            if name not in loaded and name not in stored and _initial_value(each) is not None:
                each.erase()
        return changes


def _symbol(operation: ir.Operation, attribute: str) -> str:
    value = operation.attributes[attribute]
    return value.value


def _initial_value(global_: ir.Operation | None) -> ir.Attribute | None:
    if global_ is None or "initial_value" not in global_.attributes:
        return None
    value = global_.attributes["initial_value"]
    return value if isinstance(value, (ir.DenseElementsAttr, ir.DenseResourceElementsAttr)) else None
