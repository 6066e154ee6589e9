# SPDX-License-Identifier: Apache-2.0
"""Reductions of constants: what is put right, and what the chip answers."""

from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iree.compiler import ir

from springbok.compiler import constant_terms, kernel_repairs
from springbok.compiler.mlir import Generic, operations
from springbok.support.errors import CompileError
from springbok.trials.fuzz.networks import Network, Node
from springbok.trials.fuzz.worker import Bench

# Operation, type, term, and what a count of them makes of an initial value.
OPERATIONS = {
    "addi": ("i32", 127, lambda initial, count: initial + 127 * count),
    "muli": ("i32", 3, lambda initial, count: initial * 3**count),
    "xori": ("i32", 5, lambda initial, count: initial ^ (5 * (count % 2))),
    "addf": ("f32", 1.25, lambda initial, count: initial + 1.25 * count),
    "mulf": ("f32", 0.5, lambda initial, count: initial * 0.5**count),
}


def kernel(operation, parallel, reduced, body="", more=""):
    """A reduction of a constant as the phase `flow` has it; ``body`` stands before it, and ``more`` in its place."""
    kind, term, _ = OPERATIONS[operation]
    loops = [f"d{number}" for number in range(len(parallel) + len(reduced))]
    whole, part = (f"tensor<{''.join(f'{size}x' for size in shape)}{kind}>" for shape in (parallel + reduced, parallel))
    maps = [f"affine_map<({', '.join(loops)}) -> ({', '.join(some)})>" for some in (loops, loops[: len(parallel)])]
    iterators = ['"parallel"'] * len(parallel) + ['"reduction"'] * len(reduced)
    return f"""module {{
  func.func @k(%whole: {whole}, %initial: {part}) -> {part} {{
    %term = arith.constant {float(term) if kind == "f32" else term} : {kind}
    %r = linalg.generic {{indexing_maps = [{", ".join(maps)}], iterator_types = [{", ".join(iterators)}]}} \
ins(%whole : {whole}) outs(%initial : {part}) {{
    ^bb0(%in: {kind}, %out: {kind}):
{body}      %s = arith.{operation} {more or "%out, %term"} : {kind}
      linalg.yield %s : {kind}
    }} -> {part}
    return %r : {part}
  }}
}}
"""


def shapes(least):
    return st.lists(st.integers(1, 5), min_size=least, max_size=2).map(tuple)


@settings(deadline=None, max_examples=30)
@given(operation=st.sampled_from(sorted(OPERATIONS)), parallel=shapes(0), reduced=shapes(1), swapped=st.booleans())
def test_the_whole_reduction_is_done_at_once(operation, parallel, reduced, swapped):
    text = kernel(operation, parallel, reduced, more="%term, %out" if swapped else "")
    assert constant_terms.occur(text)
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        constant_terms.put_right(module, "the model")
        assert module.operation.verify()
        (made,) = (Generic(each) for each in operations(module, "linalg.generic"))
        assert made.inputs == [] and not any(made.reductions)
        assert value_of(made, 2) == OPERATIONS[operation][2](2, prod(reduced))


def value_of(made, initial):
    """What the body makes of ``initial``, by doing it."""
    known = {made.block.arguments[0]: initial}
    work = {"add": lambda a, b: a + b, "mul": lambda a, b: a * b, "xor": lambda a, b: a ^ b}

    def value(each):
        if each in known:
            return known[each]
        operation = each.owner.operation if isinstance(each.owner, ir.OpView) else each.owner
        if operation.name == "arith.constant":
            return operation.attributes["value"].value
        return work[operation.name.removeprefix("arith.")[:3]](*map(value, operation.operands))

    return value(made.yielded)


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("", "%out, %in"),
        ("      %p = arith.muli %in, %term : i32\n", "%out, %p"),
        ("      %i = linalg.index 0 : index\n      %p = arith.index_cast %i : index to i32\n", "%out, %p"),
    ],
)
def test_other_reductions_are_left_as_they_are(body, more):
    text = kernel("addi", (3,), (4,), body, more)
    assert not constant_terms.occur(text)
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        before = str(module)
        constant_terms.put_right(module, "the model")
        assert str(module) == before


def test_a_term_that_is_computed_of_constants_is_one(tmp_path):
    text = kernel("addi", (3,), (4,), "      %p = arith.muli %term, %term : i32\n", "%out, %p")
    assert kernel_repairs.occur(text)
    kernel_repairs.rewrite(text, tmp_path / "flow.mlirbc", "the model")
    with ir.Context():
        module = ir.Module.parse((tmp_path / "flow.mlirbc").read_bytes())
        (made,) = (Generic(each) for each in operations(module, "linalg.generic"))
        assert value_of(made, 2) == 2 + 4 * 127 * 127


def test_an_open_shape_is_refused():
    text = kernel("addi", (3,), (4,)).replace("3x4x", "3x?x")
    with ir.Context(), ir.Location.unknown(), pytest.raises(CompileError, match="give the model fixed shapes"):
        constant_terms.put_right(ir.Module.parse(text), "the model")


def test_a_tensor_of_one_value_is_such_a_term():
    text = kernel("addi", (3,), (4,), "      %p = arith.muli %in, %term : i32\n", "%out, %p")
    filled = """    %seven = arith.constant 7 : i32
    %sevens = linalg.fill ins(%seven : i32) outs(%whole : tensor<3x4xi32>) -> tensor<3x4xi32>
    %r = """
    text = text.replace("    %r = ", filled).replace(
        "ins(%whole : tensor<3x4xi32>) outs(%init", "ins(%sevens : tensor<3x4xi32>) outs(%init"
    )
    constant = text.replace(filled, "    %sevens = arith.constant dense<7> : tensor<3x4xi32>\n    %r = ")
    for each in (text, constant):
        assert constant_terms.occur(each)
        with ir.Context(), ir.Location.unknown():
            module = ir.Module.parse(each)
            constant_terms.put_right(module, "the model")
            assert module.operation.verify()
            (made,) = (Generic(each) for each in operations(module, "linalg.generic"))
            assert not any(made.reductions)
            assert value_of(made, 2) == 2 + 4 * 7 * 127


def test_layers_of_a_constant_image():
    """Layers that give one value alone: the sum over the padding was that of one element, also where it is computed
    while compiling."""
    first = {"kernel": [1, 1], "strides": [1, 1], "pads": "valid", "channels": 1, "groups": 1, "bias": False}
    second = {"kernel": [2, 2], "strides": [1, 1], "pads": "same", "channels": 2, "groups": 1, "bias": False}
    nodes = (Node("conv", (0,), first | {"activation": "relu"}), Node("conv", (1,), second | {"activation": None}))
    bench = Bench()
    try:
        network = Network("tflite", "uint8", "nhwc", (1, 1, 1, 1), nodes, 2728854787)
        outcome = bench.try_network(network, ("none",), ("128",))
        first = {"kernel": [4, 4], "strides": [2, 1], "pads": "same", "channels": 16, "groups": 16, "bias": True}
        second = second | {"pads": "same", "dilations": [3, 2], "channels": 31}
        nodes = (Node("binary", (0,), {"function": "add", "constant": "channel"}),)
        nodes += (
            Node("conv", (1,), first | {"activation": "relu6"}),
            Node("conv", (2,), second | {"activation": None}),
        )
        network = Network("tflite", "uint8", "nhwc", (1, 9, 2, 16), nodes, 827979027, 1687)
        computed = bench.try_network(network, ("none", "constants"), ("host",))
    finally:
        bench.close()
    assert outcome.findings == [] and outcome.modules == 1
    assert computed.findings == [] and computed.modules == 2
