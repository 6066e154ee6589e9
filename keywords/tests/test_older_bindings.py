# SPDX-License-Identifier: Apache-2.0
"""IREE's Python bindings as they were before 3.11: what reads a module finds the same with them.

They gave operands and results as plain values, and the parts of maps as plain expressions, whatever these were.
"""

from collections.abc import MutableSequence

import pytest
from iree.compiler import ir
from test_constant_terms import kernel
from test_leftovers import POOLING, formatted

from springbok.compiler import constant_terms, iree, leftovers, optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.mlir import Generic, operations, owner, sum_of_loops
from springbok.support.places import MODELS


class PlainOperands(MutableSequence):
    """The operands of an operation, each without a class of its own."""

    def __init__(self, operands):
        self._operands = operands

    def __len__(self):
        return len(self._operands)

    def __getitem__(self, place):
        found = self._operands[place]
        return [ir.Value(each) for each in found] if isinstance(place, slice) else ir.Value(found)

    def __setitem__(self, place, value):
        self._operands[place] = value

    def __delitem__(self, place):
        raise NotImplementedError

    def insert(self, place, value):
        raise NotImplementedError


def plain(expression):
    return ir.AffineExpr._CAPICreate(expression._CAPIPtr)


@pytest.fixture
def make_older(monkeypatch):
    """A function that makes the bindings older, until the test ends."""

    def make():
        for kind, name, changed in (
            (ir._OperationBase, "operands", PlainOperands),
            (ir._OperationBase, "result", ir.Value),
            (ir.AffineMap, "results", lambda results: [plain(each) for each in results]),
            (ir.AffineBinaryExpr, "lhs", plain),
            (ir.AffineBinaryExpr, "rhs", plain),
        ):
            current = getattr(kind, name)
            monkeypatch.setattr(
                kind, name, property(lambda self, current=current, changed=changed: changed(current.fget(self)))
            )

    return make


def constant_is_reduced(folder):
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(kernel("addi", (3,), (4,)))
        constant_terms.put_right(module, "the model")
        assert not any(any(Generic(each).reductions) for each in operations(module, "linalg.generic"))
        return str(module)


def elements_are_reduced(folder):
    product = "      %p = arith.mulf %in, %term : f32\n"
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(kernel("addf", (3,), (4,), product, "%out, %p"))
        constant_terms.put_right(module, "the model")
        assert any(any(Generic(each).reductions) for each in operations(module, "linalg.generic"))
        return str(module)


def rows_are_left_over(folder):
    source, output = folder / "source.mlir", folder / "cut.mlirbc"
    source.write_text(formatted(POOLING, 3, 3))
    assert leftovers.cut_off(source, output)
    return output.read_bytes()


@pytest.mark.parametrize("read", [constant_is_reduced, elements_are_reduced, rows_are_left_over])
def test_the_same_is_put_right(read, make_older, tmp_path):
    before = read(tmp_path)
    make_older()
    assert read(tmp_path) == before


@pytest.mark.parametrize("file", ["gestures.h5", "gestures_int8.tflite"])
def test_the_optimizer_finds_the_same(file, make_older, tmp_path):
    model = compile_model(MODELS / file, Target.of("vector", 512))
    half, rewritten = tmp_path / "half.mlirbc", tmp_path / "rewritten.mlirbc"
    iree.first_half(model.mlir, model.flags, half, "the model")
    before = optimizer.rewrite(half, rewritten, optimizer.TRANSFORMATIONS), rewritten.read_bytes()
    assert any(change.applied for change in before[0])
    make_older()
    assert (optimizer.rewrite(half, rewritten, optimizer.TRANSFORMATIONS), rewritten.read_bytes()) == before


def test_the_bindings_are_older(make_older):
    """The stand-ins are what they are for: no class tells what a value or an expression is."""
    make_older()
    with ir.Context():
        module = ir.Module.parse(kernel("addi", (3,), (4,), "", "%out, %in"))
        (generic,) = Generic.all(module)
        assert {type(each) for each in generic.operands} == {ir.Value}
        assert {type(each) for map_ in generic.maps for each in map_.results} == {ir.AffineExpr}
        assert [owner(each) is None for each in generic.operands] == [True, True]
        assert generic.extents == [3, 4]
        total = ir.AffineExpr.get_dim(0) * 2 + ir.AffineExpr.get_dim(1) + 3
        assert sum_of_loops(plain(total)) == {0: 2, 1: 1, -1: 3}
