# SPDX-License-Identifier: Apache-2.0
"""Parts with fewer axes than the tensor that they are written to: what is put right, and what the chip answers."""

import pytest
from iree.compiler import ir

from springbok.compiler import kernel_repairs, narrow_stores
from springbok.compiler.mlir import operations, owner
from springbok.trials.fuzz.networks import Network, Node
from springbok.trials.fuzz.worker import Bench

_STORE = "iree_tensor_ext.dispatch.tensor.store"


def flow(part, whole, sizes, offsets=None):
    """A kernel that writes a part of a tensor, as the phase `flow` has it."""
    whole = f"!iree_tensor_ext.dispatch.tensor<readwrite:tensor<{whole}xf32>>"
    offsets = offsets or [0] * len(sizes)
    return (
        f"module {{\n  func.func @k(%part: tensor<{part}xf32>, %whole: {whole}) {{\n"
        f"    {_STORE} %part, %whole, offsets = {offsets}, sizes = {sizes}, strides = {[1] * len(sizes)} : "
        f"tensor<{part}xf32> -> {whole}\n    return\n  }}\n}}\n"
    )


@pytest.mark.parametrize(
    ("part", "whole", "sizes", "groups"),
    [
        ("17x2", "1x17x3x6", [1, 17, 1, 2], [[0, 1], [2, 3]]),
        ("2", "4x3x6", [1, 1, 2], [[0, 1, 2]]),
        ("4x1", "3x4x5x7", [1, 4, 1, 1], [[0, 1], [2, 3]]),
        ("17", "17x3x6", [17, 1, 1], [[0, 1, 2]]),
    ],
)
def test_the_part_gets_the_axes_that_it_lacks(tmp_path, part, whole, sizes, groups):
    text = flow(part, whole, sizes)
    assert narrow_stores.occur(text)
    kernel_repairs.rewrite(text, tmp_path / "flow.mlirbc", "the model")
    with ir.Context():
        module = ir.Module.parse((tmp_path / "flow.mlirbc").read_bytes())
        (store,) = operations(module, _STORE)
        expanded = owner(store.operands[0], "tensor.expand_shape")
        assert list(expanded.results[0].type.shape) == sizes
        assert [[axis.value for axis in group] for group in expanded.attributes["reassociation"]] == groups


@pytest.mark.parametrize(
    ("part", "whole", "sizes"),
    [
        ("17x3x6", "1x17x3x6", [1, 17, 3, 6]),  # a batch of one: its length is right by its place
        ("1x17x1x2", "1x17x3x6", [1, 17, 1, 2]),
        ("5x6", "5x5x6", [5, 1, 6]),  # the other axis has the same length
    ],
)
def test_other_stores_are_left_as_they_are(part, whole, sizes):
    assert not narrow_stores.occur(flow(part, whole, sizes))


def test_a_refused_module_gets_all_axes():
    assert narrow_stores.occur(flow("2x6x6", "1x2x6x12", [1, 2, 6, 6]), every=True)
    assert not narrow_stores.occur(flow("1x17x1x2", "1x17x3x6", [1, 17, 1, 2]), every=True)


def test_a_part_of_an_open_shape_is_left_as_it_is():
    assert not narrow_stores.occur(flow("?x2", "?x3x6", "[%n, 1, 2]", offsets=[0, 0, 0]).replace("[1, 1, 1, 1, 1]", ""))


def test_a_padded_row_is_written_into_its_image():
    """A row of two columns goes into an image for the transposed convolution: it went beyond the buffer."""
    convolution = {"kernel": [3, 3], "strides": [2, 2], "pads": "valid", "channels": 17, "groups": 1, "bias": True}
    transposed = {"kernel": [2, 3], "strides": [1, 1], "pads": "valid", "channels": 8, "bias": True}
    pooling = {"mode": "max", "kernel": [1, 3], "strides": [1, 1], "pads": "valid"}
    nodes = (Node("transpose", (0,), {"order": [0, 2, 1, 3]}), Node("pool", (1,), pooling))
    nodes += (Node("conv", (2,), convolution), Node("transposed", (3,), transposed))
    bench = Bench()
    try:
        outcome = bench.try_network(Network("onnx", "float32", "nhwc", (1, 8, 3, 9), nodes, 7), ("none",), ("128",))
    finally:
        bench.close()
    assert outcome.modules == 1
    assert not outcome.findings
