# SPDX-License-Identifier: Apache-2.0
"""Costs and the metrics document, from made-up profiles and counts whose sums are known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from robot.api import SkipExecution

from GateLibrary import GateLibrary
from PerformanceLibrary import PerformanceLibrary
from springbok.compiler.optimizer import Plan
from springbok.compiler.optimizer.choices import Candidate, Choice
from springbok.data.dataset import Dataset
from springbok.engines.base import Call, InferenceCounts, Lanes
from springbok.measuring import metrics
from springbok.measuring.evaluation import Evaluation, WallClock
from springbok.measuring.performance import summarise
from springbok.measuring.quality import Classification
from springbok.support.errors import EngineError, ReportError
from springbok.tensors import TensorSpec


def profile(instructions, dispatches):
    records = [
        SimpleNamespace(ordinal=ordinal, calls=1, instructions=count, name=f"main_dispatch_{ordinal}")
        for ordinal, count in dispatches.items()
    ]
    return SimpleNamespace(
        inference_instructions=instructions,
        load_instructions=900,
        memory_peak_bytes=4096,
        stack_peak_bytes=512,
        dispatches=records,
    )


def counts(*inferences):
    """Two dispatches: number 0 takes 60 % of an inference, number 1 takes 30 %, the runtime 10 %."""
    total = sum(inferences)
    return SimpleNamespace(
        calls=(Call(0, 1, 60), Call(1, 61, 30)),
        runtime_functions={"main": 10},
        inferences=[InferenceCounts(count, count * 9 // 10, count // 2) for count in inferences],
        opcodes={"addi": total // 2, "vadd.vv": total // 2},
        lanes=Lanes({"vadd.vv": total * 4}, {"vadd.vv": total * 8}),
        dispatches={
            ordinal: SimpleNamespace(
                calls=len(inferences),
                instructions=total * share // 10,
                vector_instructions=total * share // 20,
                opcodes={"addi": total * share // 20, "vadd.vv": total * share // 20},
                lanes=Lanes({"vadd.vv": total * share // 5}, {"vadd.vv": total * share // 2}),
                defects={},
                cycles=None,
                stack=(total * share // 100, total * share // 50),
            )
            for ordinal, share in ((0, 6), (1, 3))
        },
    )


def test_with_a_simulator_its_counts_are_taken():
    cost = summarise([profile(990, {0: 580, 1: 280})] * 2, counts(1000, 1000), 512)
    assert cost.instructions == (1000, 1000)
    assert cost.device_instructions == (990, 990)
    assert cost.outside_kernels == (100, 100)
    assert cost.opcodes == {"addi": 500, "vadd.vv": 500}
    assert [(d.name, d.instructions, d.vector_instructions) for d in cost.dispatches] == [
        ("main_dispatch_0", 600, 300),
        ("main_dispatch_1", 300, 150),
    ]


def test_lanes_and_work_are_per_inference():
    cost = summarise([profile(990, {0: 580, 1: 280})] * 2, counts(1000, 1000), 512)
    assert cost.lanes == (4000, 8000)
    assert cost.dispatches[0].lanes == (1200, 3000)
    assert cost.dispatches[0].work == {"float_operations": 0, "bytes_loaded": 0, "bytes_stored": 0}


def test_two_counts_that_differ_are_named():
    good = summarise([profile(990, {})], counts(1000), 512)
    assert good.disagreements() == []
    assert good.runtime_instructions == 100
    wrong = counts(1000)
    wrong.dispatches[0].instructions += 1
    (first, second) = summarise([profile(990, {0: 580})], wrong, 512).disagreements()
    assert first == "main_dispatch_0: 601.00 instructions between the marks, 600.00 by opcode"
    assert second == "outside of dispatches: 99.00 instructions between the marks, 100.00 by opcode"
    assert summarise([profile(990, {})], None, 512).disagreements() == []


def test_on_a_board_the_device_counts_and_nothing_is_invented():
    cost = summarise([profile(1000, {0: 600, 1: 300}), profile(1010, {0: 600, 1: 301})], None, 512)
    assert cost.instructions == (1000, 1010)
    assert (cost.vector_instructions, cost.outside_kernels, cost.opcodes) == (None, None, None)
    assert [d.instructions for d in cost.dispatches] == [600, 300.5]
    assert cost.dispatches[0].vector_instructions is None


def test_inferences_that_the_simulator_did_not_see_are_an_error():
    with pytest.raises(EngineError, match="saw 1 inferences between the firmware's marks, but the device answered 2"):
        summarise([profile(1000, {})] * 2, counts(1000), 512)


def test_nothing_measured_is_an_error():
    with pytest.raises(EngineError, match="No inference was measured"):
        summarise([], None, 512)


STOCK = Candidate("", 90, 100)
CHOICE = Choice("fast", "recorded", (Candidate("plain", outcome="does not compile"), Candidate("fast", 50, 100)), STOCK)


def document(outputs, engine_counts):
    model = SimpleNamespace(
        name="m",
        variant="vector",
        format="keras",
        source_sha256="0" * 64,
        vmfb_bytes=10,
        vmfb_sha256="1" * 64,
        kernel_text_bytes=6,
        kernel_rodata_bytes=3,
        compiler_version="3.13.0",
        flags=("--flag",),
        plan=Plan("standard", ("weight_layout",), "fast", choice=CHOICE),
        changes=(),
        inputs=(TensorSpec("motion", (1, 4), "float32"),),
        layers=lambda dispatch: ("conv_1", "relu_1") if dispatch == "main_dispatch_0" else (),
    )
    quality = Classification(np.array(outputs), np.eye(2), np.array([0, 1]), ("rest", "wave"))
    cost = summarise([profile(990, {0: 580, 1: 280})] * 2, engine_counts, 512)
    firmware = SimpleNamespace(sha256="2" * 64, text_bytes=1, rodata_bytes=2, data_bytes=3, bss_bytes=4)
    dataset = Dataset("d/test", np.zeros((2, 4), np.float32), np.array([0, 1]), description="d: made up")
    evaluation = Evaluation(model, dataset, quality, cost, WallClock(0.5, (0.01, 0.02)))
    entry = metrics.model_metrics(evaluation)
    return metrics.document(
        engine="spike", engine_version="1.0", vlen_bits=512, link="socket", firmware=firmware, models=[entry]
    )


@pytest.mark.parametrize("engine_counts", [counts(1000, 1000), None], ids=["simulator", "board"])
def test_the_document_has_the_form_of_its_schema(engine_counts):
    schema = json.loads(metrics.SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document(np.eye(2), engine_counts), schema)


def test_a_dispatch_names_the_layers_that_it_was_made_from():
    dispatches = document(np.eye(2), None)["models"][0]["dispatches"]
    assert [dispatch["layer"] for dispatch in dispatches] == ["conv_1 + relu_1", None]


def test_the_schema_refuses_a_value_that_is_missing():
    content = document(np.eye(2), None)
    del content["models"][0]["opcodes"]
    with pytest.raises(jsonschema.ValidationError, match="'opcodes' is a required property"):
        jsonschema.validate(content, json.loads(metrics.SCHEMA_FILE.read_text()))


def test_outputs_that_are_no_numbers_are_null_in_the_document(tmp_path):
    content = document([[np.nan, 0.0], [0.0, 1.0]], None)
    assert content["models"][0]["max_abs_error"] is None
    metrics.write(tmp_path / "metrics.json", content)
    assert json.loads((tmp_path / "metrics.json").read_text()) == content
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_document_is_read_back_from_its_folder(tmp_path):
    content = document(np.eye(2), None)
    metrics.write(tmp_path / "metrics.json", content)
    assert metrics.read(tmp_path) == metrics.read(tmp_path / "metrics.json") == content


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no metrics in"), ("{", "is not JSON"), ("[]", "None is there"), ('{"schema": 9}', "9 is there")],
)
def test_what_is_no_document_is_refused_with_its_name(tmp_path, content, said):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ReportError, match=said):
        metrics.read(tmp_path)


def test_a_counter_of_the_device_that_stands_is_named():
    cost = summarise([profile(0, {0: 0, 1: 0})] * 2, counts(1000, 1000), 512)
    evaluation = Evaluation(None, None, None, cost, None, disturbance="seed 1: stalls")
    with pytest.raises(AssertionError, match=r"stands: it counted 0 in each of 2 inferences.*counters_stopped = true"):
        PerformanceLibrary().device_and_simulator_should_count_the_same(evaluation)


def test_counts_under_a_seed_are_not_compared():
    cost = summarise([profile(980, {0: 1, 1: 1}), profile(981, {0: 1, 1: 1})], counts(1000, 1000), 512)
    quiet = Evaluation(None, None, None, cost, None)
    tried = replace(quiet, disturbance="seed 2: stalls, interrupts")
    library = PerformanceLibrary()
    with pytest.raises(AssertionError, match="counts more than the device by"):
        library.device_and_simulator_should_count_the_same(quiet)
    for keyword, given in (
        (library.device_and_simulator_should_count_the_same, [tried]),
        (library.instruction_counts_should_be_equal, [quiet, tried]),
        (GateLibrary().performance_should_not_regress, [tried]),
    ):
        with pytest.raises(SkipExecution, match=r"no measurement under a seed.*\(seed 2: stalls, interrupts\)"):
            keyword(*given)
