# SPDX-License-Identifier: Apache-2.0
"""Integers that IREE lacks or takes for others, for `springbok.compiler.importers.onnx_rewriting`.

IREE's types have no sign.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers.onnx_rewriting import FLOATS, Graph, attributes_of, described
from springbok.compiler.importers.worker import UnusableError

#: The integers with a sign.
SIGNED = (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)


def _cast(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE converts floating-point numbers to signed integers only, and nothing to some types: see `Graph.cast`."""
    wanted = attributes_of(node)["to"]
    (given,) = node.input
    kind = graph.type_of(given)
    if kind == TensorProto.UINT64 and wanted in FLOATS:
        raise UnusableError(f"{described(node)} {_UINT64}")
    if wanted == TensorProto.UINT64:
        return _cast_to_uint64(graph, node)
    wider = _WIDER | {TensorProto.INT16: TensorProto.INT32}
    if wanted not in wider or (wanted == TensorProto.UINT8 and kind not in FLOATS):
        return False
    wide = graph.cast(given, wider[wanted])
    graph.cast(_wrapped(graph, wide, wanted), wanted, to=node.output[0])
    return None


def _cast_like(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """As a cast, where that is rewritten: IREE's takes unsigned integers for signed ones."""
    given, like = node.input
    made = onnx.helper.make_node("Cast", [given], node.output, name=node.name, to=graph.declared_type(like))
    return _cast(graph, made)


def _wrapped(graph: Graph, wide: str, kind: int) -> str:
    """Wide integers as those of ``kind`` wrap around, where they stay wide inside the model."""
    if kind not in (TensorProto.UINT16, TensorProto.UINT32):
        return wide
    dtype, own = (onnx.helper.tensor_dtype_to_np_dtype(each) for each in (_WIDER[kind], kind))
    return graph.add("Mod", wide, graph.value(np.asarray(1 << 8 * own.itemsize, dtype)))


def _wrapping(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """Arithmetic whose results may lie beyond the type, of integers that stay wide inside the model."""
    kind = graph.declared_type(node.output[0])
    if node.op_type == "Neg" and kind in SIGNED:  # IREE's saturates, and takes the wider ones for numbers of 24 bits
        (given,) = node.input
        graph.add("Sub", graph.numbers_like(given)(0), given, to=node.output[0])
        return None
    if kind not in (TensorProto.UINT16, TensorProto.UINT32):
        return False
    wide = graph.add(node.op_type, *(graph.cast(name, _WIDER[kind]) for name in node.input))
    graph.cast(_wrapped(graph, wide, kind), kind, to=node.output[0])
    return None


def _bitwise_not(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """All bits of the type itself, of integers that are or become wider ones."""
    (given,) = node.input
    kind = graph.declared_type(given)
    if kind not in _WIDER:
        return False
    wide = graph.cast(given, _WIDER[kind])
    most = graph.numbers_like(wide)(np.iinfo(onnx.helper.tensor_dtype_to_np_dtype(kind)).max)
    graph.cast(graph.add("Sub", most, wide), kind, to=node.output[0])
    return None


def _bit_shift(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """Cores take an amount modulo their own width: one of all bits or more gives 0 here, as ONNX's reference says."""
    kind = graph.declared_type(node.output[0])
    if kind == TensorProto.UINT64:
        raise UnusableError(f"{described(node)} {_UINT64}")
    if kind not in _WIDER:
        return False
    given, amount = (graph.cast(name, _WIDER[kind]) for name in node.input)
    number = graph.numbers_like(amount)
    bits = 8 * onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize
    inside = graph.add("Less", amount, number(bits))
    shifted = graph.add("BitShift", given, graph.add("Where", inside, amount, number(0)), **attributes_of(node))
    shifted = graph.add("Where", inside, shifted, number(0))
    graph.cast(_wrapped(graph, shifted, kind), kind, to=node.output[0])
    return None


def _cast_to_uint64(graph: Graph, node: onnx.NodeProto) -> None:
    """IREE has only signed integers of 64 bits: their bits are right in an output, and nowhere else."""
    (given,) = node.input
    kind, to = graph.type_of(given), node.output[0]
    if not graph.is_only_output(to):
        raise UnusableError(
            f"{described(node)} makes unsigned integers of 64 bits inside the model, which the compiler takes for "
            "signed ones: cast to int64"
        )
    if kind not in FLOATS:
        wide = graph.cast(graph.cast(given, _WIDER.get(kind, kind)), TensorProto.INT64)
        graph.give_bits(graph.add("Identity", wide, to=to), TensorProto.INT64)
        return
    number = graph.numbers_like(given)
    half = number(2.0**63) if kind != TensorProto.FLOAT16 else number(np.inf)  # beyond all that it holds
    large = graph.add("Not", graph.add("Less", given, half))
    rest = graph.cast(graph.add("Where", large, graph.add("Sub", given, half), given), TensorProto.INT64)
    first_bit = graph.value(np.int64(-(2**63)))
    bits = graph.add("Where", large, graph.add("Add", rest, first_bit), rest, to=to)
    graph.give_bits(bits, TensorProto.INT64)


#: What computes with unsigned integers by their values; IREE takes them for signed ones.
_BY_VALUE = (
    *("Abs", "ArgMax", "ArgMin", "Clip", "CumSum", "Div", "Greater", "GreaterOrEqual", "Less"),
    *("LessOrEqual", "Max", "Min", "Mod", "ReduceMax", "ReduceMin", "ReduceSum", "Relu"),
    *("Sign", "TopK"),
)
#: Signed integers that hold all values of unsigned ones.
_WIDER = {TensorProto.UINT8: TensorProto.INT32, TensorProto.UINT16: TensorProto.INT32}
_WIDER |= {TensorProto.UINT32: TensorProto.INT64}
_UINT64 = "computes with unsigned integers of 64 bits, which the compiler takes for signed ones: cast to int64"
_OF_ITSELF, _BY_BITS = ("Abs", "Relu"), ("CumSum", "ReduceSum")
_NO_VALUES = ("ArgMax", "ArgMin", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")


def widened(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """Unsigned integers as signed ones that hold their values."""
    kind = graph.type_of(node.input[0])
    if kind == TensorProto.UINT64 and node.op_type in _OF_ITSELF:
        graph.add("Identity", node.input[0], to=node.output[0])
        return None
    if kind == TensorProto.UINT64 and node.op_type not in _BY_BITS:
        raise UnusableError(f"{described(node)} {_UINT64}")
    wide = TensorProto.FLOAT if node.op_type == "MaxPool" else _WIDER.get(kind)
    if kind not in _WIDER:
        return False
    made = onnx.NodeProto()
    made.CopyFrom(node)
    for number, name in enumerate(node.input):
        if name and graph.type_of(name) == kind:
            made.input[number] = graph.cast(name, wide)
    if node.op_type in _NO_VALUES:
        graph.keep(made)
        return None
    made.output[0] = f"{node.output[0]}_wide"
    graph.keep(made)
    values = made.output[0]
    if wide == TensorProto.FLOAT:
        values = graph.cast(values, TensorProto.INT32)  # IREE converts to signed integers only
    graph.cast(values, kind, to=node.output[0])
    return None


_OF_TWO = {"Max": "Max", "Mean": "Add", "Min": "Min", "Sum": "Add"}


def _of_several(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE loses track of the shapes of several inputs that are broadcast: two at a time here."""
    kind = graph.type_of(node.input[0])
    alike = len({graph.shape_of(name) for name in node.input}) == 1 and node.op_type != "Mean"
    if alike or kind == TensorProto.UINT64:
        return widened(graph, node) if node.op_type in _BY_VALUE else False
    first, *others = (graph.cast(name, _WIDER.get(kind, kind)) for name in node.input)
    for name in others:
        first = graph.add(_OF_TWO[node.op_type], first, name)
    if node.op_type == "Mean":
        first = graph.add("Div", first, graph.numbers_like(node.input[0])(len(node.input)))
    if kind in _WIDER:
        graph.cast(first, kind, to=node.output[0])
    else:
        graph.add("Identity", first, to=node.output[0])
    return None


REWRITINGS = dict.fromkeys(_BY_VALUE, widened) | dict.fromkeys(_OF_TWO, _of_several)
REWRITINGS |= dict.fromkeys(("Add", "Mul", "Neg", "Sub"), _wrapping)
REWRITINGS |= {"BitShift": _bit_shift, "BitwiseNot": _bitwise_not, "Cast": _cast, "CastLike": _cast_like}
