# SPDX-License-Identifier: Apache-2.0
"""What ONNX models can't be compiled, and why: sentences for `springbok.compiler.importers.worker_onnx`.

What is known beforehand is refused before anything is run. What only IREE finds out is put down to the node that it
stumbled over.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import onnx
from onnx import TensorProto

from springbok.compiler.importers.onnx_recurrent import reason_against
from springbok.compiler.importers.onnx_rewriting import attributes_of, described, version_of
from springbok.compiler.importers.worker import UnusableError

#: Element types of inputs and outputs; the chip computes with no others.
TYPES = ("FLOAT", "FLOAT16", "BOOL", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64")

_RANDOM = "draws random numbers, so that no answer of it can be checked: export the model for inference"
_TRAINING = "computes with the statistics of what it is given, as in training: export the model for inference"
_OPEN = "gives as many values as its data decide, but the chip needs fixed shapes: leave it to the program"
_STRINGS = "works on strings, which the chip has none of: leave it to the program that asks the chip"
_CHOICE = (
    "decides at run time what is computed, or goes on for too long to be written out: make its count, or what it "
    "decides by, a constant, or export the model with its loops unrolled and its branches decided"
)
_LISTS = "works on lists or optional values, which have no fixed shape: export the model with tensors alone"
_REFUSED = {
    **dict.fromkeys(
        ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), _RANDOM
    ),
    **dict.fromkeys(
        ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer", "ImageDecoder"),
        _STRINGS,
    ),
    **dict.fromkeys(("NonMaxSuppression", "NonZero", "Unique"), _OPEN),
    **dict.fromkeys(
        (
            *("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase"),
            *("SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence"),
            *("Optional", "OptionalGetElement", "OptionalHasElement"),
        ),
        _LISTS,
    ),
}
_WAYS = ("scan_input_", "scan_output_")
_STUMBLED = {"If": _CHOICE, "Loop": _CHOICE, "Scan": _CHOICE}


def check(model: onnx.ModelProto) -> None:
    """Raises :class:`UnusableError` for what no rewriting could make right."""
    newest = onnx.defs.onnx_opset_version()
    if version_of(model) > newest:
        raise UnusableError(
            f"it uses version {version_of(model)} of ONNX's operators, but the package onnx {onnx.__version__} knows "
            f"them up to {newest}: export it with an older one (opset_version={newest})"
        )
    _check_graph(model.graph, set(), {function.domain for function in model.functions})
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in weights]
    if not inputs:
        raise UnusableError("it has no inputs: what it gives is always the same, and needs no chip")
    names = [info.name for info in model.graph.output]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnusableError(
            f"its output '{twice[0]}' is listed {names.count(twice[0])} times: list it once, or give the others names "
            "of their own by operations Identity"
        )
    passed = sorted({info.name for info in inputs}.intersection(names))
    if passed:
        raise UnusableError(f"its output '{passed[0]}' is its input: leave it out, or make it by an operation Identity")
    for kind, values in (("input", inputs), ("output", model.graph.output)):
        for info in values:
            _check_value(kind, info)


def _check_graph(graph: onnx.GraphProto, outer: set[str], own_domains: set[str]) -> None:
    """Checks the nodes of a graph and of those inside it; ``outer`` are the values that the graphs around it have."""
    sparse = (tensor.values.name for tensor in graph.sparse_initializer)
    given = outer.union((info.name for info in graph.input), (tensor.name for tensor in graph.initializer), sparse)
    later = {name for node in graph.node for name in node.output}
    fixed = {tensor.name for tensor in graph.initializer}
    fixed |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    for node in graph.node:
        _check_node(node, own_domains)
        if node.op_type == "Compress" and node.input[1] not in fixed:
            raise UnusableError(f"{described(node)} {_OPEN}, or make its condition a constant")
        for name in filter(None, node.input):
            if name not in given:
                found = (
                    "which only a later operation gives: list operations in the order in which they run"
                    if name in later
                    else "which nothing gives: name an input, a weight, or what another operation gives"
                )
                raise UnusableError(f"{described(node)} reads '{name}', {found}")
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _check_graph(inner, given, own_domains)
        given.update(node.output)
    for info in graph.output:
        if info.name not in given:
            raise UnusableError(f"its output '{info.name}' is given by no operation: name one that is, or leave it out")


def check_outputs(declared: onnx.GraphProto, found: onnx.GraphProto) -> None:
    """Raises :class:`UnusableError` for an output whose shape is another one than the graph declares."""
    if any(attributes_of(node).get("ceil_mode") for node in declared.node):
        return  # what it gives has changed from version to version
    shapes = {info.name: _lengths(info) for info in found.output}
    is_open = any(None in (_lengths(info) or ()) for info in declared.input)
    for info in declared.output:
        told, made = _lengths(info), shapes.get(info.name)
        if told is None or made is None:
            continue
        differs = len(told) != len(made) or any(
            None not in pair and pair[0] != pair[1] for pair in list(zip(told, made, strict=True))[is_open:]
        )
        if differs:
            shown = [[("?" if length is None else length) for length in shape] for shape in (told, made)]
            raise UnusableError(
                f"its output '{info.name}' is declared with the shape {shown[0]}, but what its operations give has "
                f"the shape {shown[1]}: one of them is wrong. Correct the file, or declare no shape"
            )


def _lengths(info: onnx.ValueInfoProto) -> list[int | None] | None:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else None for each in tensor.shape.dim]


def _check_node(node: onnx.NodeProto, own_domains: set[str]) -> None:
    if node.domain not in ("", "ai.onnx", *own_domains):
        raise UnusableError(
            f"{described(node)} is none of ONNX's own operations, but of '{node.domain}': export the model with "
            "standard operations (quantised by onnxruntime: with quant_format=QDQ, and without its graph optimizations)"
        )
    reason = _REFUSED.get(node.op_type)
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        attributes = attributes_of(node)
        reason = _RANDOM if attributes.get("ratio", 0.5) else None
    if node.op_type == "BatchNormalization" and attributes_of(node).get("training_mode"):
        reason = _TRAINING
    if node.op_type in ("GRU", "LSTM", "RNN"):
        reason = reason_against(node)
    if node.op_type == "LRN" and attributes_of(node)["size"] % 2 == 0:
        reason = "sums over an even number of channels, which IREE takes from the wrong side: make it odd (size)"
    if reason:
        raise UnusableError(f"{described(node)} {reason}")


def _check_value(kind: str, info: onnx.ValueInfoProto) -> None:
    what = info.type.WhichOneof("value")
    if what is None and kind == "output":
        return  # its type is inferred
    if what != "tensor_type":
        raise UnusableError(
            f"its {kind} '{info.name}' is no tensor but {(what or 'nothing').partition('_type')[0]}: "
            "only tensors can be sent to the chip"
        )
    name = TensorProto.DataType.Name(info.type.tensor_type.elem_type)
    if name not in TYPES:
        raise UnusableError(
            f"its {kind} '{info.name}' is of the type {name.lower()}, which can't be sent to the chip: convert it in "
            f"the model, from or to one of {', '.join(TYPES).lower()}"
        )


def check_shapes(model: onnx.ModelProto) -> None:
    """Raises :class:`UnusableError` for an output, of a model with inferred shapes, that has no fixed shape."""
    values = {info.name: info for info in (*model.graph.value_info, *model.graph.output)}
    for node in model.graph.node:
        for name in node.output:
            info = values.get(name)
            if info is not None and info.type.HasField("tensor_type") and not _is_fixed(info.type.tensor_type):
                if node.op_type in _STUMBLED:
                    raise UnusableError(f"{described(node)} {_STUMBLED[node.op_type]}")
                raise UnusableError(
                    f"{described(node)} gives '{name}', whose shape depends on what is computed, but the chip needs "
                    "fixed shapes: make what decides it (a shape, an axis, a size) a constant"
                )


def _is_fixed(tensor) -> bool:
    return tensor.HasField("shape") and all(dimension.HasField("dim_value") for dimension in tensor.shape.dim)


def check_scans(model: onnx.ModelProto) -> None:
    """Refuses a Scan that is left in ``model`` and goes another way than IREE's: along the first axis, forwards."""
    for node in model.graph.node:
        ways = [name for name, told in attributes_of(node).items() if name.startswith(_WAYS) and any(told)]
        if node.op_type == "Scan" and ways:
            raise UnusableError(
                f"{described(node)} is too long to be written out, and goes another way than along the first axis, "
                f"forwards ({', '.join(sorted(ways))}): turn what it is given and gives by operations of their own"
            )


def explain(model: onnx.ModelProto, message: str, compile_again: Callable[[onnx.ModelProto], str]) -> str:
    """Why IREE can't import ``model``: its ``message``, put down to a node.

    ``compile_again`` gives IREE's message for a model whose nodes have other names, or that has only some of them.
    """
    numbered = onnx.ModelProto()
    numbered.CopyFrom(model)
    for number, node in enumerate(numbered.graph.node):
        node.name = f"node:{number}"
    found = re.search(r'"node:(\d+)"', compile_again(numbered))
    node = model.graph.node[int(found[1]) if found else _first_refused(model, compile_again)]
    reason = _STUMBLED.get(node.op_type)
    if reason:
        return f"{described(node)} {reason}"
    details = ", ".join(f"{name}={value!r}" for name, value in sorted(attributes_of(node).items())) or "no attributes"
    return (
        f"{described(node)} is beyond what IREE can import, as it is used here ({details}): "
        f"write it with other operations, or with other attributes. IREE says: {_short(message)}"
    )


def without_answers(model: onnx.ModelProto, message: str) -> str:
    """Why ONNX can't run ``model``: its ``message``, or the operation that its reference implementation lacks."""
    found = re.match(r"No registered implementation for operator '(\w+)'", message)
    node = next((node for node in model.graph.node if found and node.op_type == found[1]), None)
    if node is None:
        return f"ONNX can't use it: {message}"
    return (
        f"{described(node)} is none that ONNX's own implementation knows, so that no answer could be checked: write it "
        "with other operations"
    )


def _first_refused(model: onnx.ModelProto, compile_again: Callable[[onnx.ModelProto], str]) -> int:
    """The number of the node with which a model becomes one that IREE refuses, found by halving."""
    accepted, refused = 0, len(model.graph.node)
    while refused - accepted > 1:
        middle = (accepted + refused) // 2
        if compile_again(_beginning(model, middle)):
            refused = middle
        else:
            accepted = middle
    return refused - 1


def _beginning(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The first nodes of a model, which gives all that they make."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    values = {info.name: info for info in (*model.graph.value_info, *model.graph.output)}
    del graph.node[count:], graph.output[:]
    graph.output.extend(values[name] for node in graph.node for name in node.output if name in values)
    return made


def _short(message: str, length: int = 160) -> str:
    text = re.sub(r'^loc\("[^"]*"\): ', "", message)
    return text if len(text) <= length else f"{text[:length]}…"
