# SPDX-License-Identifier: Apache-2.0
"""ONNX's Einsum, DFT and STFT, for `springbok.compiler.importers.onnx_rewriting`.

Of Einsum IREE takes two operands, whose output is told and whose axes all have letters. Of the discrete Fourier
transform it has none: it is a product with the matrix that ONNX's reference implementation makes of unit vectors. That
of frames it has for few lengths.
"""

from __future__ import annotations

import string

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers import onnx_reference
from springbok.compiler.importers.onnx_rewriting import Graph, attributes_of, described
from springbok.compiler.importers.worker import UnusableError

#: Signals of an STFT: batch, samples, one part or two.
_SIGNAL_AXES = 3


def _einsum(graph: Graph, node: onnx.NodeProto) -> bool | None:
    operands, shapes = list(node.input), [graph.shape_of(name) for name in node.input]
    if None in shapes:
        return False
    equation = attributes_of(node)["equation"].decode().replace(" ", "")
    terms, made = _explicit(equation, [len(shape) for shape in shapes])
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        lengths |= {letter: max(length, lengths.get(letter, 1)) for letter, length in zip(term, shape, strict=True)}
    for number, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        kept = [length == lengths[letter] for letter, length in zip(term, shape, strict=True)]
        if not all(kept):  # a single element along an axis, which stands for all
            left = [length for length, is_kept in zip(shape, kept, strict=True) if is_kept]
            operands[number] = graph.reshape(operands[number], left)
            terms[number] = "".join(letter for letter, is_kept in zip(term, kept, strict=True) if is_kept)
    while len(operands) > 2:
        wanted = set(made).union(*terms[2:])
        between = "".join(letter for letter in dict.fromkeys(terms[0] + terms[1]) if letter in wanted)
        operands[:2] = [graph.add("Einsum", *operands[:2], equation=f"{terms[0]},{terms[1]}->{between}")]
        terms[:2] = [between]
    graph.add("Einsum", *operands, to=node.output[0], equation=f"{','.join(terms)}->{made}")
    return None


def _explicit(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The letters of each operand's axes and of the output's, without ellipses.

    >>> _explicit("...ij,...jk", [3, 3])
    (['Aij', 'Ajk'], 'Aik')
    """
    given, arrow, made = equation.partition("->")
    terms = given.split(",")
    free = [letter for letter in string.ascii_uppercase + string.ascii_lowercase if letter not in equation]
    widths = [rank - len(term) + 3 for term, rank in zip(terms, ranks, strict=True) if "..." in term]
    rest = "".join(free[: max(widths, default=0)])
    if not arrow:  # in the order of the alphabet, those that there are once
        letters = given.replace(",", "").replace(".", "")
        made = ("..." if widths else "") + "".join(sorted(each for each in set(letters) if letters.count(each) == 1))
    named = [
        term.replace("...", rest[len(rest) - (rank - len(term) + 3) :]) for term, rank in zip(terms, ranks, strict=True)
    ]
    return named, made.replace("...", rest)


def _fourier(graph: Graph, node: onnx.NodeProto) -> bool | None:
    given, length, axis = [*node.input, "", ""][:3]
    shape, attributes = graph.shape_of(given), attributes_of(node)
    known = [graph.constant(name) if name else None for name in (length, axis)]
    if any(name and array is None for name, array in zip((length, axis), known, strict=True)):
        raise UnusableError(
            f"{described(node)} takes its axis or its length from what is computed: make them constants"
        )
    if shape is None or graph.type_of(given) != TensorProto.FLOAT:
        return False
    place = attributes.pop("axis", 1 if graph.version < 20 else -2) if known[1] is None else int(known[1].reshape(()))
    place %= len(shape)
    count = shape[place] * shape[-1]
    options = {} if graph.version < 20 else {"a": np.int64(1)}
    options |= {} if known[0] is None else {"n": known[0]}
    names = ["x", "n" if "n" in options else "", *(["a"] if "a" in options else [])]
    own = onnx.helper.make_node("DFT", names, ["y"], **attributes)
    units = np.eye(count, dtype=np.float32).reshape(count, shape[place], shape[-1])
    matrix = onnx_reference.answer(own, graph.version, {"x": units} | options)
    made = matrix.shape[1]
    order = [axis for axis in range(len(shape) - 1) if axis != place] + [place, len(shape) - 1]
    turned = [shape[axis] for axis in order[:-2]]
    rows = graph.reshape(graph.add("Transpose", given, perm=order), (*turned, count))
    rows = graph.add("MatMul", rows, graph.value(np.ascontiguousarray(matrix.reshape(count, -1))))
    parts = graph.reshape(rows, (*turned, made, matrix.shape[2]))
    graph.add("Transpose", parts, perm=np.argsort(order).tolist(), to=node.output[0])
    return None


def _short_fourier(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """A convolution, whose filters are what one frame's transform makes of unit vectors."""
    given, *rest = node.input
    names = dict(zip(("frame_step", "window", "frame_length"), rest, strict=False))
    known = {key: graph.constant(name) for key, name in names.items() if name}
    if any(array is None for array in known.values()):
        raise UnusableError(
            f"{described(node)} takes its step, its window or its length from what is computed: make them constants"
        )
    shape = graph.shape_of(given)
    if shape is None or len(shape) != _SIGNAL_AXES or graph.type_of(given) != TensorProto.FLOAT:
        return False
    frame = len(known["window"]) if "window" in known else int(known["frame_length"].reshape(()))
    parts = shape[2]
    units = np.eye(frame * parts, dtype=np.float32).reshape(-1, frame, parts)
    own = onnx.helper.make_node("STFT", ["x", *(key if key in known else "" for key in names)], ["y"])
    own.attribute.extend(node.attribute)
    made = onnx_reference.answer(own, graph.version, {"x": units} | known)  # a frame of each
    filters = made.reshape(frame, parts, -1).transpose(2, 1, 0)
    signal = graph.add("Transpose", given, perm=[0, 2, 1])
    step = int(known["frame_step"].reshape(()))
    frames = graph.add("Conv", signal, graph.value(np.ascontiguousarray(filters)), strides=[step])
    rows = graph.add("Transpose", frames, perm=[0, 2, 1])
    graph.reshape(rows, [shape[0], -1, *made.shape[2:]], to=node.output[0])
    return None


REWRITINGS = {"DFT": _fourier, "Einsum": _einsum, "STFT": _short_fourier}
