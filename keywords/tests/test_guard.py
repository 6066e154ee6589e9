# SPDX-License-Identifier: Apache-2.0
"""A transformation that fails, or that costs memory, leaves the model as it was, and the report says so."""

import os
import signal
from dataclasses import replace

import pytest
from iree.compiler import ir

from springbok.compiler import iree, optimizer
from springbok.compiler.mlir import operations, where
from springbok.compiler.optimizer import guard, pads
from springbok.compiler.optimizer.choices import DEFAULT, RECORDED, Choice
from springbok.compiler.optimizer.transformation import WHOLE, Change, Visits
from springbok.support import process
from springbok.support.errors import CompileError, CompilerDidNotEnd

MODEL = """
func.func @main(%x: tensor<4xi32>) -> tensor<4xi32> {
  %a = arith.addi %x, %x : tensor<4xi32> loc("one")
  %b = arith.addi %a, %a : tensor<4xi32> loc("two")
  %c = arith.addi %b, %b : tensor<4xi32> loc("three")
  return %c : tensor<4xi32>
}
"""


class Marks:
    """Marks each addition, then does at some of them what it should not."""

    vectors_only = False

    def __init__(self, name, fail=lambda operation: None):
        self.name, self.fail = name, fail

    def apply(self, module, visits=None):
        changes = []
        for operation in (visits or Visits()).of(operations(module, "arith.addi")):
            operation.attributes[f"arith.{self.name}"] = ir.UnitAttr.get()
            self.fail(operation)
            changes.append(Change(self.name, where(operation), True, "marked"))
        return changes


def at(*layers):
    def fail(operation):
        if any(f'"{layer}"' in str(operation.location) for layer in layers):
            raise KeyError("what it did not expect")

    return fail


def invalid(operation):
    operation.operands[0] = operation.operands[1] = operation.results[0]  # its own result


@pytest.fixture
def not_strict(monkeypatch):
    monkeypatch.delenv(guard.STRICT_VARIABLE)


def marked(*transformations):
    """The attributes of each addition, and what was said."""
    with ir.Context():
        module, changes = guard.rewritten(lambda: ir.Module.parse(MODEL), transformations)
        names = ("first", "second")
        additions = operations(module, "arith.addi")
        return [[name for name in names if f"arith.{name}" in each.attributes] for each in additions], changes


def test_only_the_place_that_fails_is_left(not_strict):
    found, changes = marked(Marks("first"), Marks("second", at("two")))
    assert found == [["first", "second"], ["first"], ["first", "second"]]
    (failed,) = [each for each in changes if each.failed]
    assert failed.place == "two tensor<4xi32>"
    assert failed.detail.endswith("a defect of the optimizer (KeyError: 'what it did not expect')")
    assert sum(each.applied for each in changes) == 5


def test_a_signal_in_the_middle_of_a_walk_is_no_failure_of_the_optimizer(not_strict, monkeypatch):
    monkeypatch.setattr(process._endings, "number", 0)  # and so it is again for who comes next

    class Asked(Marks):
        def apply(self, module, visits=None):
            def visit(operation):
                os.kill(os.getpid(), signal.SIGTERM)
                return ir.WalkResult.ADVANCE

            module.operation.walk(visit)  # the binding makes another exception of what is raised in it
            return []

    with pytest.raises(process.Interrupted), process.ended_by_signals():
        marked(Asked("first"))


def test_after_some_places_the_transformation_is_left_as_a_whole(not_strict, monkeypatch):
    monkeypatch.setattr(guard, "MOST_PLACES", 1)
    found, changes = marked(Marks("first", at("one", "three")), Marks("second"))
    assert found == [["second"]] * 3
    assert [each.place for each in changes if each.failed] == ["one tensor<4xi32>", WHOLE]


def test_invalid_code_takes_the_whole_transformation_back(not_strict):
    found, changes = marked(Marks("first", invalid), Marks("second"))
    assert found == [["second"]] * 3
    assert [(each.place, each.transformation) for each in changes if each.failed] == [(WHOLE, "first")]


def test_in_tests_a_failure_is_raised():
    with pytest.raises(KeyError):
        marked(Marks("first", at("two")))


PADDED = """
func.func @main(%x: tensor<4x80xf32>) -> tensor<6x80xf32> {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %y = stablehlo.pad %x, %zero, low = [1, 0], high = [1, 0], interior = [0, 0]
    : (tensor<4x80xf32>, tensor<f32>) -> tensor<6x80xf32>
  %z = stablehlo.add %y, %y : tensor<6x80xf32>
  return %z : tensor<6x80xf32>
}
"""
FLAGS = ["--iree-hal-target-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=generic"]
PLAN = optimizer.Plan("standard", ("constants", "pads"))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "padded.mlir"
    path.write_text(PADDED)
    return path


def test_a_model_compiles_whatever_a_transformation_does(not_strict, source, tmp_path, monkeypatch):
    def fail(*_):
        raise AttributeError("no such thing")

    monkeypatch.setattr(pads, "padding_of", fail)
    _, changes = optimizer.compile_module(source, FLAGS, PLAN, tmp_path / "padded.vmfb")
    (failed,) = [each for each in changes if each.failed]
    assert failed.transformation == "pads"
    assert failed.detail in optimizer.describe(PLAN, changes)
    assert optimizer.applied(PLAN, changes) == PLAN, "only a place is left"


def test_what_the_compiler_refuses_is_compiled_without(not_strict, source, tmp_path, monkeypatch):
    real = iree.compile_module

    def picky(source, flags, output, name=None, rewrite=None):
        found = []
        if rewrite is None:
            return real(source, flags, output, name)
        real(source, flags, output, name, lambda *files: found.append(rewrite(*files)))
        raise CompileError("it crashed\nand more")

    monkeypatch.setattr(iree, "compile_module", picky)
    compilation, changes = optimizer.compile_module(source, FLAGS, PLAN, tmp_path / "padded.vmfb")
    assert compilation.layers
    assert {each.transformation for each in changes if each.place == WHOLE} == set(PLAN.transformations)
    assert optimizer.applied(PLAN, changes).transformations == ()
    assert "a defect of the optimizer: it crashed" in optimizer.describe(optimizer.applied(PLAN, changes), changes)


@pytest.mark.parametrize("error", [CompilerDidNotEnd, CompileError])
def test_an_error_of_the_models_own_is_raised_at_once(error, source, tmp_path, monkeypatch):
    calls = []

    def refuse(*_):
        calls.append(1)
        raise error("the model")

    monkeypatch.setattr(iree, "compile_module", refuse)
    with pytest.raises(error, match="the model"):
        optimizer.compile_module(source, FLAGS, PLAN, tmp_path / "padded.vmfb")
    assert calls == [1]


@pytest.mark.parametrize(
    ("origin", "without_pads", "left"),
    [(DEFAULT, 0, ("constants",)), (DEFAULT, 1, ()), (RECORDED, 1, ("constants", "pads"))],
    ids=["one needs more", "all need more", "counted before"],
)
def test_what_needs_more_memory_than_stock_is_left_out(origin, without_pads, left, source, tmp_path, monkeypatch):
    real = iree.compile_module

    def needs_one_byte(*arguments):
        return replace(real(*arguments), transient_bytes=1)

    def planned(source, flags, name, rewrite=None):
        return without_pads if rewrite else 0

    monkeypatch.setattr(iree, "compile_module", needs_one_byte)
    monkeypatch.setattr(iree, "planned_bytes", planned)
    monkeypatch.setattr(optimizer, "_is_smaller", lambda *_: False)
    plan = replace(PLAN, choice=Choice("fixed", origin))
    _, changes = optimizer.compile_module(source, FLAGS, plan, tmp_path / "padded.vmfb")
    assert optimizer.applied(plan, changes).transformations == left
    said = "with it values between the layers need 1 bytes, and as stock IREE makes them 0"
    assert (said in optimizer.describe(plan, changes)) == (left != PLAN.transformations)


TRANSPOSED = (
    PADDED.replace("-> tensor<6x80xf32> {", "-> tensor<80x6xf32> {").partition("  %z =")[0]
    + """
  %z = stablehlo.transpose %y, dims = [1, 0] : (tensor<6x80xf32>) -> tensor<80x6xf32>
  return %z : tensor<80x6xf32>
}
"""
)


def test_the_plan_of_memory_is_what_the_compiler_plans(source, tmp_path):
    source.write_text(TRANSPOSED)
    compilation, _ = optimizer.compile_module(source, FLAGS, PLAN, tmp_path / "padded.vmfb")
    assert compilation.transient_bytes == 6 * 80 * 4

    def between(half, rewritten):
        optimizer.rewrite(half, rewritten, PLAN.transformations)

    assert iree.planned_bytes(source, FLAGS, "padded", between) == compilation.transient_bytes
