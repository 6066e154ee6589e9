# SPDX-License-Identifier: Apache-2.0
"""Elements that are picked of a part of a tensor: their places, and what the chip answers."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iree.compiler import ir

from springbok.compiler import kernel_repairs, strided_reads
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.mlir import operations, owner
from springbok.support.errors import CompileError

_LOAD = "iree_tensor_ext.dispatch.tensor.load"


def kind(shape):
    return f"tensor<{'x'.join(map(str, (*shape, 'f32')))}>"


class Way:
    """Parts and reshapes of a tensor, one of the other: as MLIR, and as NumPy has them."""

    def __init__(self, shape):
        self.whole = np.arange(int(np.prod(shape))).reshape(shape)
        self.array, self.lines, self.value = self.whole, [], "%whole"

    def _add(self, text, array, shape=None):
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {text} {kind(array.shape if shape is None else shape)}")
        self.array, self.value = (array if shape is None else array.reshape(shape)), name

    def part(self, places, *, drop, load):
        offsets, sizes, strides = (list(numbers) for numbers in zip(*places, strict=True))
        taken = [slice(start, start + (size - 1) * step + 1, step) for start, size, step in places]
        array = self.array[tuple(taken)]
        shape = [size for size in array.shape if size != 1] if drop else array.shape
        if load:
            bound = f"!iree_tensor_ext.dispatch.tensor<readonly:{kind(self.array.shape)}>"
            text = f"{_LOAD} %bound, offsets = {offsets}, sizes = {sizes}, strides = {strides} : {bound} ->"
        else:
            text = f"tensor.extract_slice {self.value}{offsets} {sizes} {strides} : {kind(self.array.shape)} to"
        self._add(text, array, shape)

    def expand(self, axis, first):
        shape = [*self.array.shape[:axis], first, self.array.shape[axis] // first, *self.array.shape[axis + 1 :]]
        text = f"tensor.expand_shape {self.value} {self._groups(axis, len(shape))} output_shape {shape}"
        self._add(f"{text} : {kind(self.array.shape)} into", self.array.reshape(shape))

    def collapse(self, axis):
        before = self.array.shape
        shape = [*before[:axis], before[axis] * before[axis + 1], *before[axis + 2 :]]
        text = f"tensor.collapse_shape {self.value} {self._groups(axis, len(before))} : {kind(before)} into"
        self._add(text, self.array.reshape(shape))

    @staticmethod
    def _groups(axis, rank):
        return [[number] for number in range(axis)] + [[axis, axis + 1]] + [[n] for n in range(axis + 2, rank)]

    def text(self, indices):
        names = [f"%i{number}" for number in range(len(indices))]
        given = [f"{name} = arith.constant {index} : index" for name, index in zip(names, indices, strict=True)]
        bound = f"!iree_tensor_ext.dispatch.tensor<readonly:{kind(self.whole.shape)}>"
        body = [*self.lines, *given, f"%r = tensor.extract {self.value}[{', '.join(names)}] : {kind(self.array.shape)}"]
        lines = "\n".join(f"      {line}" for line in body)
        return (
            "module {\n  flow.executable private @e {\n    builtin.module {\n"
            f"    func.func @k(%bound: {bound}, %whole: {kind(self.whole.shape)}) -> f32 {{\n{lines}\n"
            "      return %r : f32\n    }\n    }\n  }\n}\n"
        )


@st.composite
def ways(draw):
    way = Way(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    for number in range(draw(st.integers(1, 4))):
        kinds = ["part"] if number == 0 else ["part", "expand", "collapse"]
        what, rank = draw(st.sampled_from(kinds)), way.array.ndim
        if what == "collapse" and rank > 1:
            way.collapse(draw(st.integers(0, rank - 2)))
        elif what == "expand" and rank:
            axis = draw(st.integers(0, rank - 1))
            length = way.array.shape[axis]
            way.expand(axis, draw(st.sampled_from([each for each in range(1, length + 1) if length % each == 0])))
        elif what == "part" and rank:
            places = []
            for length in way.array.shape:
                start, step = draw(st.integers(0, length - 1)), draw(st.integers(1, 3))
                places.append((start, draw(st.integers(1, (length - 1 - start) // step + 1)), step))
            way.part(places, drop=draw(st.booleans()), load=number == 0 and draw(st.booleans()))
    return way, [draw(st.integers(0, length - 1)) for length in way.array.shape]


def rewritten(text, tmp_path):
    kernel_repairs.rewrite(text, tmp_path / "flow.mlirbc", "the model")
    return ir.Module.parse((tmp_path / "flow.mlirbc").read_bytes())


def number_of(value):
    """What an index is, by the arithmetic that gives it."""
    operation = owner(value)
    if operation.name == "arith.constant":
        return ir.IntegerAttr(operation.attributes["value"]).value
    left, right = map(number_of, operation.operands)
    return {"muli": left * right, "addi": left + right, "remui": left % (right or 1), "divui": left // (right or 1)}[
        operation.name.partition(".")[2]
    ]


def follow(value, indices):
    """Where in the whole tensor an element of a dense part lies."""
    source = owner(value)
    if source is None:
        return indices
    if source.name == _LOAD:
        assert list(ir.DenseI64ArrayAttr(source.attributes["static_sizes"])) == list(value.type.shape)
        return indices
    raise AssertionError(source.name)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(ways())
def test_each_element_is_found_in_the_whole(tmp_path_factory, drawn):
    way, indices = drawn
    text = way.text(indices)
    with ir.Context():
        module = rewritten(text, tmp_path_factory.mktemp("flow"))
        (extract,) = operations(module, "tensor.extract")
        read, *places = extract.operands
        if owner(read, "tensor.extract_slice", "tensor.expand_shape", "tensor.collapse_shape"):
            return  # everything on the way lies densely, and the read is as it was
        if (load := owner(read, _LOAD)) and list(load.results[0].type.shape) != list(way.whole.shape):
            return
        assert way.whole[tuple(follow(read, list(map(number_of, places))))] == way.array[tuple(indices)]


def test_dense_parts_are_left_as_they_are(tmp_path):
    rows, columns = Way((4, 6)), Way((4, 6))
    rows.part([(1, 2, 1), (0, 6, 1)], drop=False, load=True)
    columns.part([(0, 4, 1), (1, 5, 1)], drop=False, load=True)
    for way, left in ((rows, [1, 0]), (columns, [0, 0])):
        text = way.text([1, 2])
        assert strided_reads.occur(text)
        with ir.Context():
            module = rewritten(text, tmp_path)
            (extract,) = operations(module, "tensor.extract")
            load = owner(extract.operands[0], _LOAD)
            assert list(ir.DenseI64ArrayAttr(load.attributes["static_offsets"])) == left


def test_most_kernels_are_not_even_read():
    whole = Way((4, 6))
    whole.part([(0, 4, 1), (0, 6, 1)], drop=False, load=True)
    part = Way((4, 6))
    part.part([(0, 4, 1), (1, 5, 1)], drop=False, load=True)
    assert not strided_reads.occur(whole.text([0, 0]))
    assert not strided_reads.occur(part.text([0, 0]).replace("tensor.extract %", "tensor.other %"))
    assert strided_reads.occur(part.text([0, 0]))


def test_an_open_shape_is_refused(tmp_path):
    way = Way((4, 6))
    way.part([(0, 4, 1), (1, 5, 1)], drop=False, load=False)
    text = way.text([0, 0]).replace("tensor<4x6xf32>", "tensor<?x6xf32>").replace("tensor<4x5xf32>", "tensor<?x5xf32>")
    text = text.replace("[4, 5] [1, 1]", "[%n, 5] [1, 1]").replace("%whole:", "%n: index, %whole:")
    with ir.Context(), pytest.raises(CompileError, match="the model picks elements of a part of a tensor whose shape"):
        rewritten(text, tmp_path)


# On the chip

_GATHER = """
func.func @main(%x: tensor<{whole}xf32>) -> tensor<{result}xf32> {{
  %rows = arith.constant dense<{rows}> : tensor<{count}xi32>
  {part}
  %e = tensor.empty() : tensor<{result}xf32>
  %r = linalg.generic {{
    indexing_maps = [affine_map<(d0, d1) -> (d0)>, affine_map<(d0, d1) -> (d0, d1)>],
    iterator_types = ["parallel", "parallel"]
  }} ins(%rows : tensor<{count}xi32>) outs(%e : tensor<{result}xf32>) {{
  ^bb0(%row: i32, %out: f32):
    %i = arith.index_cast %row : i32 to index
    %j = linalg.index 1 : index
    %v = tensor.extract %part[%i, %j] : tensor<{taken}xf32>
    linalg.yield %v : f32
  }} -> tensor<{result}xf32>
  return %r : tensor<{result}xf32>
}}
"""
_SLICE = "%{}= tensor.extract_slice %x{} : tensor<{}xf32> to tensor<{}xf32>".format
_COLLAPSED = _SLICE("s ", "[0, 0, 1] [4, 3, 5] [1, 1, 1]", "4x3x6", "4x3x5") + (
    "\n  %part = tensor.collapse_shape %s [[0, 1], [2]] : tensor<4x3x5xf32> into tensor<12x5xf32>"
)


@pytest.mark.parametrize(
    ("optimize", "whole", "part", "taken"),
    [
        ("none", "4x6", _SLICE("part ", "[0, 1] [4, 5] [1, 1]", "4x6", "4x5"), "4x5"),
        ("standard", "4x6", _SLICE("part ", "[0, 1] [4, 5] [1, 1]", "4x6", "4x5"), "4x5"),
        ("none", "4x7", _SLICE("part ", "[0, 1] [4, 3] [1, 2]", "4x7", "4x3"), "4x3"),
        ("none", "4x3x6", _COLLAPSED, "12x5"),
    ],
    ids=["columns", "columns, optimized", "every other column", "collapsed rows"],
)
def test_the_chip_reads_what_is_meant(session, tmp_path, optimize, whole, part, taken):
    columns = re.search(r"\d+$", taken)[0]
    text = _GATHER.format(whole=whole, part=part, taken=taken, rows=[2, 0, 3], count=3, result=f"3x{columns}")
    path = tmp_path / "gather.mlir"
    path.write_text(text)
    model = compile_and_check(path, output_dir=tmp_path / "build", optimize=optimize)
    session.load_model(model)  # which compares the chip's answers with the framework's
    for inputs, expected in zip(model.probes.inputs[0], model.probes.expected[0], strict=True):
        assert np.array_equal(session.infer(inputs, raw=True)[0], expected)
