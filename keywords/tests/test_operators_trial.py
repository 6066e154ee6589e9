# SPDX-License-Identifier: Apache-2.0
"""A share of the trial of ONNX's own operator tests: how they end, and that the table tells what is wrong."""

from dataclasses import replace

import pytest

from springbok.session import Session
from springbok.support.errors import ModelError
from springbok.trials import operators
from springbok.trials.operators import OPERATORS, Case, Result, Verdict

pytest.importorskip("onnx")

#: A kind of fault each: quantised and unsigned types, powers, gathered elements, what IREE lacks, and a refusal.
RIGHT = {
    "AveragePool": "test_averagepool_2d_same_lower",
    "DequantizeLinear": "test_dequantizelinear_axis",
    "Gelu": "test_gelu_tanh_2",
    "Max": "test_max_uint8",
    "Pad": "test_wrap_pad",
    "Pow": "test_pow",
    "QLinearConv": "test_qlinearconv",
    "QLinearMatMul": "test_qlinearmatmul_3D_int8_float32",
    "QuantizeLinear": "test_quantizelinear",
    "Slice": "test_slice_neg_steps",
    "Swish": "test_swish",
}
REFUSED = {"CumSum": ("test_cumsum_1d", "type double, which can't be sent to the chip")}


def case_named(operator: str, name: str) -> Case:
    return next(case for case in operators.cases([operator], 1000) if case.name == name)


@pytest.fixture(scope="module")
def session():
    chip = Session()
    chip.boot("spike")
    yield chip
    chip.shut_down()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("operators")


@pytest.mark.parametrize(("operator", "name"), RIGHT.items())
def test_the_chip_answers_as_onnx_says(session, folder, operator, name):
    result = operators.run(session, case_named(operator, name), folder)
    assert result.verdict is Verdict.RIGHT, result


@pytest.mark.parametrize(("operator", "name", "reason"), [(key, *value) for key, value in REFUSED.items()])
def test_what_is_refused_says_why(session, folder, operator, name, reason):
    result = operators.run(session, case_named(operator, name), folder)
    assert result.verdict is Verdict.REFUSED
    assert reason in result.reason


def test_another_answer_is_wrong_and_the_table_shows_the_element(session, folder):
    case = case_named("Pow", RIGHT["Pow"])
    outputs = [case.outputs[0].copy()]
    outputs[0].flat[1] += 1
    damaged = replace(case, outputs=outputs)
    result = operators.run(session, damaged, folder)
    assert result.verdict is Verdict.WRONG
    assert f"1 of {outputs[0].size} elements, first" in operators.table([result])
    assert operators.table([result]).endswith("1 tests of 1 operators: 0 right, 0 refused, 1 wrong, 0 crash")


def test_an_exception_is_a_crash(folder):
    result = operators.run(None, case_named("Pow", RIGHT["Pow"]), folder)
    assert result.verdict is Verdict.CRASH
    assert result.reason.startswith("AttributeError")


def test_every_operator_has_tests_and_at_least_132_are_run():
    small = ("Abs", "QLinearConv", "Xor")
    assert {case.operator for case in operators.cases(small, 1)} == set(small)
    assert len(OPERATORS) == len(set(OPERATORS)) >= 66
    with pytest.raises(ModelError, match="no tests of an operator 'Fft'"):
        list(operators.cases(["Fft"]))


def test_parameters_become_constants():
    case = case_named("QLinearConv", "test_qlinearconv")
    assert len(case.inputs) == 1
    assert Result(case, Verdict.RIGHT).reason == ""
