# SPDX-License-Identifier: Apache-2.0
"""The differential fuzzer: what it draws, how it judges and shrinks, and a share of its runs."""

import os
import tempfile
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from iree.compiler import ir
from onnx.reference import ReferenceEvaluator

from springbok.compiler import optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.compiler.mlir import operations
from springbok.compiler.optimizer import TRANSFORMATIONS
from springbok.compiler.optimizer.pads import PadsByRows
from springbok.trials import fuzz
from springbok.trials.fuzz import onnx_writer, stablehlo_writer
from springbok.trials.fuzz.drawing import draw
from springbok.trials.fuzz.networks import KINDS, TYPES, Network, Node, UnfitError, label, shapes
from springbok.trials.fuzz.pool import Worker
from springbok.trials.fuzz.shrinking import candidates, shrink, size
from springbok.trials.fuzz.variants import ALL, HOST, NONE, VARIANTS, compile_variants
from springbok.trials.fuzz.worker import CRASH, EXCEPTION, HANG, WRONG, Bench, Finding, Outcome, _judge, sample_inputs

SEED = 11
CONV = Node("conv", (0,), {"channels": 6, "kernel": [3, 3], "strides": [2, 2], "pads": "same", "bias": True})
IMAGE = Network("stablehlo", "float32", "nhwc", (1, 6, 6, 4), (CONV, Node("unary", (1,), {"function": "relu"})), 5)


@pytest.fixture(scope="module")
def drawn():
    return [draw(SEED, number) for number in range(700)]


# ---- What is drawn


def test_the_same_seed_gives_the_same_networks(drawn):
    assert [draw(SEED, number) for number in (0, 7, 99)] == [drawn[number] for number in (0, 7, 99)]
    assert draw(SEED + 1, 7) != drawn[7]


def test_every_kind_of_layer_type_and_front_end_comes_up(drawn):
    assert {node.kind for network in drawn for node in network.nodes} == set(KINDS)
    expected = {(front_end, dtype) for front_end, dtypes in TYPES.items() for dtype in dtypes}
    assert {(network.front_end, network.dtype) for network in drawn} == expected
    assert {network.layout for network in drawn} == {"nhwc", "nchw"}
    labels = {label(network, number) for network in drawn for number in range(len(network.nodes))}
    for wanted in ("conv1d", "conv2d dilated", "depthwise conv2d", "grouped conv2d", "transposed conv2d", "max pool"):
        assert any(wanted in each for each in labels), wanted
    several = sum(len(network.outputs) > 1 for network in drawn)
    assert 0 < several < len(drawn) / 2
    assert any(len(set(node.inputs)) > 1 for network in drawn for node in network.nodes if node.kind == "binary")


def test_a_network_is_read_as_it_was_written(drawn):
    for network in drawn[:50]:
        assert Network.from_json(network.to_json()).to_json() == network.to_json()


def test_models_are_valid_and_have_the_shapes_that_were_reckoned_with(drawn):
    for network in [each for each in drawn if each.front_end != "tflite"][:25]:
        if network.front_end == "stablehlo":
            with ir.Context():
                ir.Module.parse(stablehlo_writer.write(network)).operation.verify()
        else:
            onnx_writer.write(network)  # which is checked there
        reference = ReferenceEvaluator(onnx_writer.write(network, for_reference=True))
        sample = sample_inputs(network, None)[2]
        with np.errstate(all="ignore"):
            answers = reference.run(None, {"x": sample.astype(np.float64) if network.dtype == "int32" else sample})
        known = shapes(network)
        assert [answer.shape for answer in answers] == [known[number] for number in network.outputs]


def test_inputs_hold_the_extremes(drawn):
    network = next(each for each in drawn if each.dtype == "int8")
    inputs = sample_inputs(network, None)
    assert (inputs.dtype, inputs[0].max(), inputs[1].min()) == (np.int8, -128, 127)


# ---- Shrinking


def test_candidates_are_smaller_and_well_formed(drawn):
    for network in drawn[:40]:
        for candidate in candidates(network):
            shapes(candidate)
            assert candidate.nodes
            assert size(candidate) < size(network)


def test_a_failure_is_shrunk_to_what_it_needs(drawn):
    network = next(each for each in drawn if len(each.nodes) > 2 and any(node.kind == "softmax" for node in each.nodes))
    smallest = shrink(network, lambda each: any(node.kind == "softmax" for node in each.nodes))
    assert [node.kind for node in smallest.nodes] == ["softmax"]
    assert np.prod(smallest.shape) == 1


def test_what_a_convolution_fails_with_is_kept():
    smallest = shrink(IMAGE, lambda each: any(max(node.get("strides", [1])) > 1 for node in each.nodes))
    (node,) = smallest.nodes
    assert (node.kind, max(node.get("strides")), node.get("bias"), node.get("channels")) == ("conv", 2, False, 1)


def test_a_node_that_does_not_fit_is_refused():
    with pytest.raises(UnfitError):
        shapes(replace(IMAGE, nodes=(replace(CONV, options=CONV.options | {"groups": 3}),)))


# ---- Verdicts


def outcome_of(**answers) -> Outcome:
    outcome = Outcome(replace(IMAGE, nodes=IMAGE.nodes[1:]))
    outcome.network = replace(outcome.network, nodes=(Node("unary", (0,), {"function": "relu"}),))
    expected = [np.ones((1, 2), np.float32)]
    _judge(outcome, {(name, HOST): [np.float32([values])] for name, values in answers.items()}, expected)
    return outcome


def test_equal_answers_are_no_finding():
    assert outcome_of(none=[1, 1], all=[1, 1]).findings == []


def test_a_variant_is_held_against_stock_iree():
    (finding,) = outcome_of(none=[1, 1], all=[1, 1.0001]).findings
    assert (finding.kind, finding.variant, finding.place) == (WRONG, ALL, HOST)
    assert "output of layer 1 (unary), sample 0: 1 of 2 elements differ" in finding.detail


def test_a_variant_that_is_as_wrong_as_stock_iree_is_not_blamed():
    findings = outcome_of(none=[1, 2], all=[1, 2]).findings
    assert [finding.variant for finding in findings] == [NONE]


# ---- Workers


def crash(connection, folder) -> None:
    connection.recv()
    connection.send(("stage", "none at 128"))
    os._exit(3)


def spin(connection, folder) -> None:
    (folder / "left").touch()
    connection.recv()
    while True:
        pass


def test_a_crash_is_a_finding_that_says_where():
    with Worker(target=crash) as worker:
        (finding,) = worker.try_network(IMAGE).findings
        assert (finding.kind, finding.variant, finding.place) == (CRASH, NONE, "128")
        assert "exit code 3" in finding.detail
        assert worker.try_network(IMAGE).findings == [finding]  # with another process


def test_a_hang_ends_at_the_limit_of_processor_time():
    with Worker(limit=0.3, target=spin) as worker:
        (finding,) = worker.try_network(IMAGE).findings
    assert finding.kind == HANG


def test_an_ended_worker_leaves_nothing_and_starts_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = Worker(target=spin)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(worker.try_networks, [IMAGE, IMAGE])
        while not list(tmp_path.glob("*/left")):
            assert not waiting.done()
        worker.end(gently=False)
        with pytest.raises(CancelledError):
            waiting.result()
    assert list(tmp_path.iterdir()) == []


# ---- Whole runs


def planted(module) -> list:
    """A transformation that is wrong: it makes minima of maxima."""
    for operation in operations(module, "arith.maximumf"):
        with ir.InsertionPoint(operation), operation.location:
            wrong = ir.Operation.create(
                "arith.minimumf", results=[operation.results[0].type], operands=list(operation.operands)
            )
        operation.results[0].replace_all_uses_with(wrong.result)
        operation.erase()
    return []


def test_a_wrong_transformation_is_found_and_shrunk(monkeypatch, tmp_path):
    monkeypatch.setattr(PadsByRows, "apply", lambda self, module, visits: planted(module))
    nodes = (Node("unary", (0,), {"function": "relu"}), Node("unary", (1,), {"function": "tanh"}))
    network = replace(IMAGE, shape=(1, 2), nodes=nodes)
    bench = Bench()
    outcome = bench.try_network(network, (NONE, "pads"), (HOST,))
    (finding,) = outcome.findings
    assert (finding.kind, finding.variant) == (WRONG, "pads")

    smallest, finding, folder = fuzz._shrink(bench, outcome, finding, tmp_path)
    assert [node.get("function") for node in smallest.nodes] == ["relu"]
    assert smallest.shape == (1, 1)
    assert (folder / "network.mlir").is_file()
    assert Network.from_json((folder / "network.json").read_text()).to_json() == smallest.to_json()
    assert "wrong answer: pads at host: output of layer 1" in (folder / "README").read_text()


def test_what_is_compiled_for_a_chip_is_what_users_get(tmp_path):
    network = replace(IMAGE, nodes=(CONV,))
    (tmp_path / "model.mlir").write_text(stablehlo_writer.write(network))
    models = {"main": tmp_path / "model.mlir"}
    ((place, made),) = compile_variants(models, ("512",), (ALL,), tmp_path / "made")
    module, entry = made["main"].modules[ALL]
    assert (place, entry) == ("512", "main")

    plan = optimizer.plan_for(optimizer.DEFAULT_LEVEL, vectors=True, vlen=512)
    flags, _ = compiler_flags(Target(vlen=512), (), plan)
    optimizer.compile_module(models["main"], flags, plan, tmp_path / "module.vmfb")
    wanted = (tmp_path / "module.vmfb").read_bytes()
    assert module.read_bytes() == wanted.replace(b"source_linked", b"__linked\0\0\0\0\0")  # named after the file


def test_a_network_that_does_not_compile_leaves_the_others(tmp_path):
    models = {name: tmp_path / f"{name}.mlir" for name in ("n0", "n1", "n2")}
    for path in models.values():
        path.write_text(stablehlo_writer.write(replace(IMAGE, shape=(1, 2), nodes=(Node("softmax", (0,), {}),))))
    models["n1"].write_text(models["n1"].read_text().replace("exponential", "no_such_operation"))
    ((_, made),) = compile_variants(models, (HOST,), (NONE, ALL), tmp_path / "made")
    assert {name: sorted(each.modules) for name, each in made.items()} == {
        "n0": [ALL, NONE],
        "n1": [],
        "n2": [ALL, NONE],
    }
    assert sorted(made["n1"].errors) == [ALL, NONE]


def test_networks_that_are_compiled_together_are_of_one_front_end(drawn):
    batches = fuzz._batches(drawn, 12)
    assert sorted(network.number for batch in batches for network in batch) == list(range(len(drawn)))
    assert all(len({network.front_end for network in batch}) == 1 for batch in batches)
    assert sorted(map(len, batches))[3:] == [12] * (len(batches) - 3)


def test_an_exception_in_a_transformation_is_a_finding(monkeypatch):
    def fails(self, module, visits):
        raise KeyError("axis")

    monkeypatch.setattr(PadsByRows, "apply", fails)
    network = replace(IMAGE, shape=(1, 2), nodes=(Node("unary", (0,), {"function": "neg"}),))
    (finding,) = Bench().try_network(network, (NONE, "pads"), (HOST,)).findings
    assert (finding.kind, finding.variant) == (EXCEPTION, "pads")
    assert "KeyError in" in finding.detail


def test_a_share_everywhere(tmp_path):
    summary = fuzz.fuzz(range(2), SEED, front_ends=("stablehlo",), output=tmp_path)
    assert summary.failures == []
    assert sum(outcome.modules for outcome in summary.outcomes) >= 12
    assert list(tmp_path.iterdir()) == []
    table = summary.table()
    assert "2 networks of seed 11, 0 refused" in table
    assert "no finding" in table


def test_every_transformation_is_a_variant():
    assert VARIANTS[0] == NONE
    assert VARIANTS[-1] == ALL
    assert VARIANTS[1:-1] == TRANSFORMATIONS


def test_findings_of_a_kind_are_shrunk_once():
    findings = [Finding(EXCEPTION, "pads", place, "KeyError in pads.py, apply: 'axis'") for place in ("128", "512")]
    assert findings[0].signature == findings[1].signature
