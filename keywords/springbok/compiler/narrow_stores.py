# SPDX-License-Identifier: Apache-2.0
"""Puts right how kernels write a part of a tensor that has fewer axes than the whole, as an image into a padded one.

Where the compiler reshapes what a kernel computes, IREE 3.13 reshapes the tensor that it writes to alike
(`iree-codegen-propagate-reshapes-by-expansion`), and for an axis that the part does not have it takes the length of
another one: the kernel writes beside its place, and beyond the buffer, or the compiler stops there.

The phase `flow` still has both shapes: there such parts get the axes that they lack. All other kernels stay what they
are.
Where the compiler has refused the module, all parts that lack axes get them.

Example::

    if occur(flow_phase):
        put_right(module)                   # the phase `flow` as a module
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iree.compiler import ir

#: Counts up when other modules are made, so that no older cache entry is taken.
VERSION = 1

_STORE = "iree_tensor_ext.dispatch.tensor.store"
_OPEN = -(2**63)
_STORES = re.compile(
    rf"{re.escape(_STORE)} .*?sizes = \[(.*?)\].* : tensor<((?:[\d?]+x)*)\w+> -> .*<\w+:tensor<((?:[\d?]+x)*)\w+>>"
)


def occur(flow: str, every: bool = False) -> bool:
    """Whether the text of the phase `flow` holds such stores; ``every`` counts all whose part lacks axes."""
    for sizes, part, whole in _STORES.findall(flow):
        lengths = [int(each) if each.isdigit() else _OPEN for each in re.split(", ", sizes)] if sizes else []
        if _is_mistaken(lengths, _shape(part), _shape(whole), every):
            return True
    return False


def put_right(module: ir.Module, every: bool = False) -> None:
    """Gives the parts that such stores write the axes that they lack, each of length 1."""
    from iree.compiler import ir

    from springbok.compiler.mlir import operations

    for store in operations(module, _STORE):
        part = store.operands[0].type
        whole = ir.RankedTensorType(
            ir.Type.parse(re.fullmatch(r"\S+<\w+:(tensor<.*>)>", str(store.operands[1].type))[1])
        )
        sizes = list(ir.DenseI64ArrayAttr(store.attributes["static_sizes"]))
        if not _is_mistaken(sizes, list(part.shape), list(whole.shape), every):
            continue
        with ir.InsertionPoint(store), store.location:
            attributes = {
                "reassociation": ir.Attribute.parse(str(_groups(sizes, part.shape))),
                "static_output_shape": ir.DenseI64ArrayAttr.get(sizes),
            }
            kind = ir.RankedTensorType.get(sizes, part.element_type)
            made = ir.Operation.create("tensor.expand_shape", [kind], [store.operands[0]], attributes)
        store.operands[0] = made.result


def _shape(text: str) -> list[int]:
    return [int(each) if each.isdigit() else _OPEN for each in text.split("x") if each]


def _is_mistaken(sizes: Sequence[int], part: Sequence[int], whole: Sequence[int], every: bool) -> bool:
    """Whether the compiler would take another axis's length for one that the part lacks; all lengths are known."""
    if _OPEN in (*sizes, *part) or len(part) == len(sizes):
        return False
    if every:
        return True
    lacking = _lacking(sizes, part)
    kept_before = [number - sum(lacking[:number]) for number in range(len(sizes))]
    return any(
        lacks and whole[kept] != whole[n] for n, (lacks, kept) in enumerate(zip(lacking, kept_before, strict=True))
    )


def _lacking(sizes: Sequence[int], part: Sequence[int]) -> list[bool]:
    """Which axes of the whole a part does not have: those of length 1 that fit none of its own, from the last one on.

    >>> _lacking([1, 17, 1, 2], [17, 2])
    [True, False, True, False]
    """
    left, lacking = list(part), []
    for size in reversed(sizes):
        has = bool(left) and (size != 1 or left[-1] == 1)
        if has:
            left.pop()
        lacking.append(not has)
    return lacking[::-1]


def _groups(sizes: Sequence[int], part: Sequence[int]) -> list[list[int]]:
    """The axes of the whole that each axis of the part becomes.

    >>> _groups([1, 17, 1, 2], [17, 2])
    [[0, 1], [2, 3]]
    """
    groups, pending = [], []
    for axis, lacks in enumerate(_lacking(sizes, part)):
        pending.append(axis)
        if not lacks:
            groups.append(pending)
            pending = []
    if groups:
        groups[-1] += pending
    return groups
