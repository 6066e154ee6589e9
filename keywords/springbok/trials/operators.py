# SPDX-License-Identifier: Apache-2.0
"""ONNX's own tests of its operators, run on the chip: ``./bench trial operators [OPERATOR…]``.

The package `onnx` holds a test for each thing that an operator promises: a model of one node, inputs, and the outputs
by the specification. Those of operators that edge models use are compiled for a chip with VLEN 512, checked on this
machine as every model is, and run on Spike; what the chip answers is held against the test's own outputs. Inputs that
are parameters (shapes, axes, scales) become constants, as they are in models. A test ends as one of:

    right      the chip's answer is the test's
    refused    the compilation says in a sentence what it can't do
    wrong      the chip answers something else, or the check on this machine says so
    crash      anything else: an exception of Python, a tool that ends without a message, a chip that answers nothing
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import importlib
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.session import Session
from springbok.support.errors import BenchError, CompileError, LinkError, ModelError

TARGET = Target.of("vector", 512)
#: Tests of an operator that are run, unless more are asked for: spread over all of them.
TESTS_PER_OPERATOR = 2

#: Operators of edge models: the module of `onnx.backend.test.case.node` that holds their tests, where it has another
#: name than the operator; and the places of inputs that are parameters, from the one named on.
_MODULES = {"And": "and_", "BatchNormalization": "batch_normalization", "GreaterOrEqual": "greater_or_equal"}
_MODULES |= {"InstanceNormalization": "instance_normalization", "LessOrEqual": "less_or_equal", "Not": "not_"}
_MODULES |= {"Or": "or_", "ReduceLogSum": "reduce_log_sum", "ReduceLogSumExp": "reduce_log_sum_exp"}
_PARAMETERS = {"Clip": 1, "ConstantOfShape": 0, "CumSum": 1, "DequantizeLinear": 1, "Expand": 1, "OneHot": 1, "Pad": 1}
_PARAMETERS |= {"QuantizeLinear": 1, "ReduceL1": 1, "ReduceL2": 1, "ReduceLogSum": 1, "ReduceLogSumExp": 1}
_PARAMETERS |= {"ReduceMax": 1, "ReduceMean": 1, "ReduceMin": 1, "ReduceProd": 1, "ReduceSum": 1, "ReduceSumSquare": 1}
_PARAMETERS |= {"Reshape": 1, "Resize": 1, "Slice": 1, "Split": 1, "Squeeze": 1, "Tile": 1, "TopK": 1, "Trilu": 1}
_PARAMETERS |= {"Unsqueeze": 1, "Upsample": 1}
_SCALES = {"QLinearConv": (1, 2, 3, 4, 5, 6, 7, 8), "QLinearMatMul": (1, 2, 4, 5, 6, 7), "ConvInteger": (2, 3)}
_SCALES |= {"MatMulInteger": (2, 3)}
OPERATORS = (
    *("Abs", "Add", "And", "ArgMax", "ArgMin", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Clip", "Concat"),
    *("Constant", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "Cos", "CumSum", "DepthToSpace"),
    *("DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand"),
    *("Flatten", "Floor", "GRU", "Gather", "GatherElements", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool"),
    *("Greater", "GreaterOrEqual", "Hardmax", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization"),
    *("LRN", "LSTM", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "MatMul"),
    *("MatMulInteger", "Max", "MaxPool", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "OneHot", "Or", "PRelu"),
    *("Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "RNN", "Reciprocal", "ReduceL1", "ReduceL2"),
    *("ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"),
    *("ReduceSumSquare", "Relu", "Reshape", "Resize", "Round", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Slice"),
    *("Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Swish", "Tanh"),
    *("ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor"),
)


class Verdict(enum.Enum):
    """How a test ended."""

    RIGHT = "right"
    REFUSED = "refused"
    WRONG = "wrong"
    CRASH = "crash"


@dataclass(frozen=True)
class Case:
    """A test of ONNX: a model of one node as the bytes of its file, inputs, and the outputs that are right."""

    name: str
    operator: str
    model: bytes
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    relative: float
    absolute: float


@dataclass(frozen=True)
class Result:
    """How a test ended, and why."""

    case: Case
    verdict: Verdict
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.case.operator:22} {self.case.name:58} {self.verdict.value:8} {self.reason}".rstrip()


def cases(operators: Sequence[str] = OPERATORS, count: int = TESTS_PER_OPERATOR) -> Iterator[Case]:
    """At most ``count`` tests of each operator: those of fixed shapes that take and give tensors of numbers.

    Raises :class:`ModelError` for an operator that has none.
    """
    from onnx.backend.test.case.node import _NodeTestCases

    for operator in operators:
        try:
            importlib.import_module(f"onnx.backend.test.case.node.{_MODULES.get(operator, operator.lower())}")
        except ModuleNotFoundError:
            raise ModelError(f"The package onnx holds no tests of an operator '{operator}'.") from None
        own = [test for test in _NodeTestCases if _is_of(test, operator)]
        spread = sorted({number * len(own) // count for number in range(count)}) if own else []
        yield from (_case(own[number], operator) for number in spread)


def _is_of(test, operator: str) -> bool:
    """Whether it is a test of a node of ``operator``, with numbers in and out."""
    if [node.op_type for node in test.model.graph.node] != [operator]:
        return False
    tensors = [value for tensors in test.data_sets[0] for value in tensors]
    return all(not isinstance(value, list) and _array(value).dtype.kind in "fiub" for value in tensors)


def _array(value) -> np.ndarray:
    """A tensor of a test, which is NumPy's or ONNX's."""
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def _case(test, operator: str) -> Case:
    from onnx import ModelProto, numpy_helper

    ((given, wanted),) = test.data_sets
    model = ModelProto()
    model.CopyFrom(test.model)
    (node,) = model.graph.node
    places = _SCALES.get(operator) or range(_PARAMETERS.get(operator, len(node.input)), len(node.input))
    parameters = {node.input[place] for place in places if place < len(node.input)}
    values = {info.name: _array(array) for info, array in zip(model.graph.input, given, strict=True)}
    kept = [info for info in model.graph.input if info.name not in parameters]
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in values.items() if name in parameters
    )
    inputs = [values[info.name] for info in kept]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    outputs = [_array(array) for array in wanted]
    return Case(test.name, operator, model.SerializeToString(), inputs, outputs, test.rtol, test.atol)


def run(session: Session, case: Case, folder: Path) -> Result:
    """Compiles the case and runs it on the session's chip; ``folder`` is for what is made on the way."""
    path = folder / f"{case.name}.onnx"
    path.write_bytes(case.model)
    try:
        model = compile_and_check(path, TARGET, output_dir=folder / "models")
        session.load_model(model)
        answers = session.infer(*case.inputs, raw=True)
    except (ModelError, CompileError) as error:
        text = str(error)
        wrong = "does not compute what the model does" in text
        crashed = "crashed" in text or "without a message" in text or "did not end" in text
        return Result(case, Verdict.WRONG if wrong else Verdict.CRASH if crashed else Verdict.REFUSED, _line(text))
    except LinkError as error:
        return Result(case, Verdict.CRASH, _line(str(error)))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a finding)
        return Result(case, Verdict.CRASH, f"{type(error).__name__}: {_line(str(error))}")
    return _judged(case, answers)


def _judged(case: Case, answers: list[np.ndarray]) -> Result:
    for number, (got, wanted) in enumerate(zip(answers, case.outputs, strict=True)):
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            found = f"output {number} is {got.dtype}{list(got.shape)}, not {wanted.dtype}{list(wanted.shape)}"
            return Result(case, Verdict.WRONG, found)
        near = np.isclose(got, wanted, case.relative, case.absolute, equal_nan=True)
        if not near.all():
            place = tuple(np.argwhere(~near)[0])
            found = f"output {number}: {np.count_nonzero(~near)} of {near.size} elements, first {got[place]}"
            return Result(case, Verdict.WRONG, f"{found} instead of {wanted[place]}")
    return Result(case, Verdict.RIGHT)


def _line(text: str) -> str:
    return " ".join(text.partition("\nThe command was:")[0].split())


def table(results: Sequence[Result]) -> str:
    """A line for each test that is not right, and how many ended how."""
    counts = Counter(result.verdict for result in results)
    lines = [str(result) for result in results if result.verdict is not Verdict.RIGHT]
    total = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
    return "\n".join(
        [*lines, f"{len(results)} tests of {len({each.case.operator for each in results})} operators: {total}"]
    )


def main(arguments: list[str] | None = None) -> int:
    """Prints the table. 0 when no test is wrong or a crash."""
    parser = argparse.ArgumentParser(prog="./bench trial operators", description=__doc__.split("\n")[0])
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", help="operators to try (default: all known ones)")
    parser.add_argument("--count", type=int, default=TESTS_PER_OPERATOR, help="tests of each operator, at most")
    parser.add_argument("--test", action="append", default=[], help="only tests of this name; may be repeated")
    options = parser.parse_args(arguments)

    def outcomes(session: Session) -> Iterator[Result]:
        session.boot("spike")
        with tempfile.TemporaryDirectory() as folder:
            for case in cases(options.operators or OPERATORS, options.count):
                if not options.test or case.name in options.test:
                    yield run(session, case, Path(folder))

    return tell(outcomes, table)


def tell(outcomes: Callable[[Session], Generator[Any, None, None]], table: Callable[[list[Any]], str]) -> int:
    """Prints each outcome of trials on a chip as it comes, and the table of all; 0 when none is wrong or a crash.

    ``outcomes`` boots the chip of the session that it is given; a crash resets it.
    """
    results: list[Any] = []
    session = Session()
    try:
        with contextlib.closing(outcomes(session)) as found:
            for outcome in found:
                results.append(outcome)
                sys.stderr.write(f"{outcome}\n")
                if outcome.verdict is Verdict.CRASH:
                    session.reset()
    except BenchError as error:
        sys.stderr.write(f"springbok-bench: {error}\n")
        return 2
    finally:
        session.shut_down()
    sys.stdout.write(table(results) + "\n")
    return int(any(result.verdict in (Verdict.WRONG, Verdict.CRASH) for result in results))
