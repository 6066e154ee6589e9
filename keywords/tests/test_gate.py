# SPDX-License-Identifier: Apache-2.0
"""The gate, on made-up runs: what it lets through, what it stops, and whether its message names the cause."""

import contextlib
import copy
import functools
import json
import math
import operator
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model, make_regression

import GateLibrary
import SweepLibrary
from springbok import starter
from springbok.cli import checks
from springbok.exploring.configurations import SweepError
from springbok.gate import baseline, gate, snapshots, verdicts
from springbok.gate.gate import Limit
from springbok.gate.metric import METRICS
from springbok.gate.verdict_consistency import contradictions
from springbok.history import record
from springbok.measuring.derived import RUNTIME
from springbok.support.places import ROOT
from springbok.tensors import TensorSpec


@pytest.fixture
def document():
    return make_document(make_model())


@pytest.fixture
def before(document):
    return snapshots.snapshot(document, "gestures")


def changed(document, change):
    """The snapshot of a copy of the document whose model (or the document itself) was changed."""
    content = copy.deepcopy(document)
    change(content["models"][0], content)
    return snapshots.snapshot(content, "gestures")


def add_opcode(place, name, count):
    """More executions of an opcode in one dispatch (or outside of all: None)."""

    def change(model, _):
        parts = [model] if place is None else [model, model["dispatches"][place]]
        for part in parts:
            part["opcodes"] = {**part["opcodes"], name: part["opcodes"].get(name, 0) + count}
        model["instructions"]["mean"] += count
        if place is not None:
            model["dispatches"][place]["instructions"] += count

    return change


def failed(measured, before, tolerances=None):
    return {each.metric: each for each in gate.compare(measured, before, tolerances) if each.has_failed}


def test_the_same_run_passes_without_a_word(before):
    found = gate.compare(before, before)
    assert {each.outcome for each in found} == {"passed"}
    assert len(found) >= 10
    assert gate.causes(before, before) == []


def test_a_slower_dispatch_is_named_with_its_opcodes(document, before):
    verdict = failed(changed(document, add_opcode(1, "addi", 500)), before)["instructions"]
    assert verdict.change.startswith("+500 (+")
    assert verdict.accounts[0].startswith("1 conv_1: conv_")
    assert ": +500 instructions" in verdict.accounts[0]
    assert "addi +500" in verdict.accounts[0]
    assert len(verdict.accounts) == 1


def test_a_slower_runtime_is_not_blamed_on_a_dispatch(document, before):
    found = failed(changed(document, add_opcode(None, "jal", 8)), before)
    assert set(found) == {"instructions", "runtime_instructions"}
    assert found["runtime_instructions"].accounts == ("runtime (VM): +8 instructions (1,000 -> 1,008): jal +8",)


def test_a_dispatch_that_lost_its_vectors_is_named_though_it_is_no_slower(document, before):
    def scalarise(model, _):
        dispatch = model["dispatches"][0]
        model["vector_instructions"]["mean"] -= dispatch["vector_instructions"]
        dispatch["vector_instructions"] = 0

    found = failed(changed(document, scalarise), before)
    assert set(found) == {"scalar_dispatches"}
    assert found["scalar_dispatches"].accounts[0].startswith("0 conv_0: conv_")


def spill(number, loads, stores):
    """Every dispatch has a stack, that of one a larger one."""

    def change(model, _):
        for place, dispatch in enumerate(model["dispatches"]):
            more = place == number
            dispatch["stack"] = {"loads": 10 + loads * more, "stores": 10 + stores * more}

    return change


def test_spilled_registers_are_named_by_dispatch(document):
    before, measured = (changed(document, spill(1, *spilled)) for spilled in ((0, 0), (30, 12)))
    verdict = failed(measured, before)["stack_accesses"]
    assert (verdict.value, verdict.baseline) == ("122", "80")
    assert verdict.accounts[0].startswith("1 conv_1: ")
    assert ": +42 loads and stores of its stack (20 -> 62) in " in verdict.accounts[0]
    assert len(verdict.accounts) == 1
    assert failed(before, measured) == {}


def test_moves_of_whole_registers_are_named_by_dispatch(document, before):
    verdict = failed(changed(document, add_opcode(2, "vmv4r.v", 7)), before)["whole_register_moves"]
    assert ": +7 moves of whole registers (0 -> 7) in " in verdict.accounts[0]


def test_baselines_from_before_stacks_were_counted_are_still_kept(document, before):
    assert "stack_accesses" not in before["metrics"]
    assert failed(changed(document, spill(1, 30, 12)), before) == {}


def test_code_quality_is_judged_by_dispatch(document):
    measured = changed(document, spill(1, 30, 12))
    kept, lost = (gate.judge_dispatches(measured, "conv_1", bound, "stack_accesses")[0] for bound in (62, 61))
    assert (kept.outcome, lost.outcome) == ("passed", "failed")
    assert lost.title.startswith("loads and stores of the kernels' stacks of 1 conv_1: ")
    (scalar,) = gate.judge_dispatches(measured, "conv_3", 0, "vset_per_vector")
    assert scalar.outcome == "passed"  # without vectors nothing is configured
    part = measured["dispatches"][next(name for name in measured["dispatches"] if name.startswith("main_dispatch_0"))]
    part["opcodes"] = {**part["opcodes"], "vsetvli": part["vector_instructions"] // 2}
    (ratio,) = gate.judge_dispatches(measured, "conv_0", 0.4, "vset_per_vector")
    assert (ratio.outcome, ratio.value[:3]) == ("failed", "0.5")
    vsets, vectors = part["opcodes"]["vsetvli"], part["vector_instructions"]
    (ratio,) = gate.judge_dispatches(measured, "conv_0", vsets / vectors - 0.004, "vset_per_vector")
    assert "is allowed: +0.004 (" in ratio.text()  # not +0


def test_a_dispatch_is_told_by_what_was_judged(document):
    measured = changed(document, spill(1, 30, 12))
    (stack,) = gate.judge_dispatches(measured, "conv_1", 61, "stack_accesses")
    assert stack.accounts[0].startswith("40 loads and 22 stores of its stack in ")
    part = measured["dispatches"][next(name for name in measured["dispatches"] if name.startswith("main_dispatch_0"))]
    part["opcodes"] = {**part["opcodes"], "vsetvli": 7, "vsetivli": 4, "vmv2r.v": 3}
    (ratio,) = gate.judge_dispatches(measured, "conv_0", 0, "vset_per_vector")
    vectors = f"{part['vector_instructions']:,} vector instructions of {part['instructions']:,} instructions"
    assert ratio.accounts == (f"11 vset*, of these vsetvli 7, vsetivli 4; {vectors}",)
    (moves,) = gate.judge_dispatches(measured, "conv_0", 2, "whole_register_moves")
    assert moves.accounts[0].startswith("3 moves of whole registers, of these vmv2r.v 3; ")
    (share,) = gate.judge_dispatches(measured, "conv_0", 1, "vector_share")
    assert share.accounts[0].startswith(vectors)


def test_a_limit_is_shown_with_the_digits_that_tell_it(document):
    measured = changed(document, spill(1, 0, 0))
    part = next(iter(measured["dispatches"].values()))
    part["opcodes"] = {**part["opcodes"], "vsetvli": part["vector_instructions"] // 50}
    for bound, told in ((0.0001, "at most 0.0001 is allowed"), (1e-7, "at most 0.0000001 is allowed")):
        (verdict,) = gate.judge_dispatches(measured, "conv_0", bound, "vset_per_vector")
        assert told in verdict.text()
    near = gate.judge(measured, Limit("vset_per_vector", measured["metrics"]["vset_per_vector"] - 1e-6))
    assert near.has_failed and near.value not in near.limit


def test_an_engine_that_tells_nothing_of_the_stack_keeps_no_limit(before):
    whole = gate.judge(before, Limit("stack_accesses", 100))
    for verdict in (whole, *gate.judge_dispatches(before, "*", 100, "stack_accesses")):
        assert verdict.has_failed and "does not tell it" in verdict.text()


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.is_recorded])
def test_a_metrics_own_rule_says_with_which_baseline_it_is_compared(before, monkeypatch, name):
    if before["metrics"].get(name) is None:
        pytest.skip("the run has none")
    told = []

    def obstacle(*snapshots):
        told.append(snapshots)
        return "made otherwise"

    monkeypatch.setitem(METRICS, name, replace(METRICS[name], obstacle=obstacle))
    later = {**before, "subject": {**before["subject"]}}
    found = {each.metric: (each.outcome, each.change) for each in gate.compare(later, before)}
    assert found.pop(name) == (gate.NOT_COMPARED, "made otherwise")
    assert {outcome for outcome, _ in found.values()} == {"passed"}
    assert told == [(later, before)]
    assert name not in {each.metric for each in record.numbers_of(before) if not each.layer}


def test_a_wrong_answer_is_named_by_its_sample(document, before):
    def mistake(model, _):
        number = next(i for i, label in enumerate(model["per_sample"]["label"]) if label == 1)
        model["per_sample"]["device"][number] = 2
        model["accuracy"] -= 1 / model["samples"]

    text = failed(changed(document, mistake), before)["accuracy"].text()
    assert "-3.33 points" in text
    assert "is now answered swing for wave" in text


def test_a_size_is_accounted_for_by_its_parts(document, before):
    def grow(model, content):
        content["firmware"]["text_bytes"] += 40
        model["kernel_rodata_bytes"] += 64
        model["vmfb_bytes"] += 64

    found = failed(changed(document, grow), before)
    assert found["firmware_bytes"].accounts[0].startswith(".text: +40")
    assert found["module_bytes"].accounts[0].startswith("constants of the kernels: +64")


def test_what_else_changed_is_told(document, before):
    def lose(model, _):
        model["compiler"]["flags"] = ["--iree-opt-level=O3"]
        model["sha256"] = "f" * 64

    assert gate.causes(changed(document, lose), before) == [
        "compiler flag lost: --iree-llvmcpu-target-cpu=generic-rv32",
        "compiler flag added: --iree-opt-level=O3",
        "model file: its bytes are others (sha256 000000000000… -> ffffffffffff…)",
    ]


def test_another_optimisation_level_is_another_configuration_and_a_lost_transformation_is_told(tmp_path, document):
    def optimised(places, level="standard"):
        def change(model, _):
            chosen = [{"name": "weight_layout", "applied": places, "left": 0}]
            model["compiler"]["optimizer"] = {"level": level, "flag_set": "a", "transformations": chosen}

        return changed(document, change)

    assert gate.causes(optimised(1), optimised(3)) == ["optimizer: weight_layout applied at 1 places, was 3"]
    assert "vector-standard-motions" in baseline.path_of(tmp_path, optimised(1)).name
    assert baseline.path_of(tmp_path, optimised(1)) != baseline.path_of(tmp_path, optimised(1, "none"))


def test_an_improvement_passes_and_is_reported(document, before):
    found = gate.compare(changed(document, add_opcode(0, "addi", -100)), before)
    assert not any(each.has_failed for each in found)
    (better,) = [each for each in found if each.outcome == "improved"]
    assert (better.metric, better.change[:5]) == ("instructions", "-100 ")
    assert "addi -100" in better.accounts[0]


def test_a_dispatch_whose_number_shifted_is_the_same_dispatch(document, before):
    def renumber(model, _):
        for dispatch in model["dispatches"]:
            dispatch["name"] = dispatch["name"].replace("main_dispatch_", "main_dispatch_1")

    measured = changed(
        document, lambda model, content: (renumber(model, content), add_opcode(2, "lw", 9)(model, content))
    )
    assert failed(measured, before)["instructions"].accounts[0].endswith(": lw +9")


@pytest.mark.parametrize(
    ("tolerance", "count", "passes"),
    [
        ("0", 1, False),
        ("10", 10, True),
        ("10", 11, False),
        ("1%", 3, True),
        ("0.001 %", 60, False),
        ("any", 10**6, True),
    ],
)
def test_tolerances_are_absolute_or_per_cent(document, before, tolerance, count, passes):
    measured = changed(document, add_opcode(0, "addi", count))
    assert ("instructions" not in failed(measured, before, {"instructions": tolerance})) == passes


@given(count=st.integers(-(10**6), 10**6), margin=st.integers(0, 10**6))
def test_exactly_what_exceeds_the_tolerance_fails(count, margin):
    content = make_document(make_model())
    reference = snapshots.snapshot(content)
    measured = {**reference, "metrics": {**reference["metrics"], "module_bytes": 2 * 10**6 + count}}
    reference = {**reference, "metrics": {**reference["metrics"], "module_bytes": 2 * 10**6}}
    assert ("module_bytes" in failed(measured, reference, {"module_bytes": str(margin)})) == (count > margin)


@pytest.mark.parametrize(
    ("tolerances", "said"),
    [
        ({"speed": "1"}, "no metric 'speed'. Metrics: samples, accuracy"),
        ({"instructions": "a bit"}, "'a bit' is no tolerance for instructions"),
        ({"outputs_sha256": "5%"}, "can only be 0 or any"),
        ({"max_abs_error": "1"}, "not the same in every run"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(before, tolerances, said):
    with pytest.raises(gate.GateError, match=said.replace(".", r"\.")):
        gate.compare(before, before, tolerances)


def test_one_message_for_all_limits(before):
    verdict = gate.judge(before, Limit("instructions", 10))
    line, *accounts = verdict.text().splitlines()
    assert line.startswith("gestures (vector) on springbok, spike, VLEN 512: instructions an inference: ")
    assert "; at most 10 is allowed: +" in line
    assert "of these addi" in accounts[0]


def test_a_number_that_the_engine_does_not_tell_never_passes(document, before):
    def forget(model, _):
        model["lanes"] = None

    with_lanes = {**before, "metrics": {**before["metrics"], "lane_utilisation": 0.5}}
    verdict = failed(changed(document, forget), with_lanes)["lane_utilisation"]
    assert verdict.text().endswith("spike does not tell it.")
    assert gate.judge(before, Limit("lane_utilisation", 0.1)).has_failed


def test_outputs_that_are_no_numbers_are_infinitely_wrong(document):
    measured = changed(document, lambda model, content: model.update(max_abs_error=None))
    assert measured["metrics"]["max_abs_error"] == math.inf
    assert gate.judge(measured, Limit("max_abs_error", 1e-5)).has_failed


def test_a_dispatch_is_found_by_name_kernel_or_layer(before):
    name = next(iter(before["dispatches"]))
    for pattern in (name, name.split("_", 3)[3], "conv_0", "*_0_conv*", "0 conv_0*"):
        (verdict,) = gate.judge_dispatches(before, pattern)
        assert not verdict.has_failed
    (verdict,) = gate.judge_dispatches(before, "conv_3")
    assert verdict.has_failed
    assert "vector share of 3 conv_3" in verdict.text()
    for other in ("pool", ""):
        with pytest.raises(gate.GateError, match=f"matches '{other}'. It has:\n    0 conv_0"):
            gate.judge_dispatches(before, other)


def test_a_layer_is_judged_in_every_dispatch_that_has_it(document):
    def fuse(model, _):
        model["dispatches"][1]["layer"] = "conv_0 + relu"

    found = gate.judge_dispatches(changed(document, fuse), "conv_0")
    assert [each.title.partition(" of ")[2][:1] for each in found] == ["0", "1"]


# ---- Baselines


def test_a_baseline_is_read_back_as_it_was_measured(tmp_path, before):
    assert baseline.write(tmp_path, before) == ["new"]
    assert baseline.write(tmp_path, before) == []
    assert gate.compare(before, baseline.read(tmp_path, before)) != []
    assert not failed(before, baseline.read(tmp_path, before))


def test_a_baseline_is_sorted_and_holds_nothing_of_this_machine(tmp_path, before):
    baseline.write(tmp_path, before)
    (path,) = tmp_path.rglob("*.json")
    assert path.relative_to(tmp_path).as_posix() == "gestures/gestures-vector-motions_test-spike-vlen512.json"
    content = json.loads(path.read_text())
    assert path.read_text() == json.dumps(content, indent=1, sort_keys=True) + "\n"
    assert "max_abs_error" not in content["metrics"]
    assert not any("seconds" in key for key in content["metrics"])


def test_an_update_says_what_changed(tmp_path, document, before):
    baseline.write(tmp_path, before)
    changes = baseline.write(tmp_path, changed(document, add_opcode(0, "addi", 7)))
    assert len(changes) == 1
    assert changes[0].startswith("instructions: ") and changes[0].endswith("(worse)")


def test_a_missing_baseline_names_those_that_are_there_and_the_command(tmp_path, document, before):
    baseline.write(tmp_path, before)
    narrow = snapshots.snapshot({**document, "vlen_bits": 256}, "gestures")
    with pytest.raises(baseline.NoBaseline, match=r"VLEN 256 has no baseline.*spike-vlen512.*--update-baselines"):
        baseline.read(tmp_path, narrow)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 99}'])
def test_a_broken_baseline_is_named(tmp_path, before, content):
    path = baseline.path_of(tmp_path, before)
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(baseline.BaselineError, match=path.name):
        baseline.read(tmp_path, before)
    assert baseline.write(tmp_path, before)[0].startswith("the old one was no good")
    assert not failed(before, baseline.read(tmp_path, before))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("metrics", {}, "metrics: 'samples' is a required property"),
        ("metrics instructions", None, "metrics/instructions: None is not of type 'number'"),
        ("metrics instructions", "many", "metrics/instructions: 'many' is not of type 'number'"),
        ("metrics instructions", True, "metrics/instructions: True is not of type 'number'"),
        ("metrics outputs_sha256", "0", "metrics/outputs_sha256: '0' does not match"),
        ("subject model", "other", "it is of model \"other\", and this run measured 'gestures'"),
        ("subject chip", "mine", 'it is of chip "mine", and this run measured None'),
        ("dispatches", {"one": 5}, "dispatches/one: 5 is not of type 'object'"),
        ("made_with", [], "made_with: [] is not of type 'object'"),
    ],
)
def test_a_baseline_that_can_judge_nothing_is_no_good(tmp_path, before, place, value, words):
    baseline.write(tmp_path, before)
    path = baseline.path_of(tmp_path, before)
    content = json.loads(path.read_text())
    *above, last = place.split()
    functools.reduce(operator.getitem, above, content)[last] = value
    path.write_text(json.dumps(content))
    with pytest.raises(baseline.BaselineError, match=re.escape(f"{path} is no good: {words}")):
        baseline.read(tmp_path, before)
    assert baseline.write(tmp_path, before)[0].startswith("the old one was no good")


def places_in(content, above=()):
    """Every place of a document, by its keys from the outside in."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield (*above, key)
        yield from places_in(value, (*above, key))


SLOWER = {"instructions", "runtime_instructions", "outputs_sha256", "accuracy", "stack_accesses"}
DAMAGES = st.sampled_from(
    [None, True, False, -1, 0, 7, 0.5, 1e308, 2**62, "", "x", "0" * 64, [], ["x"], {}, {"x": 1}, {"x": None}]
)


@pytest.fixture(scope="module")
def worse_and_its_baseline(tmp_path_factory):
    content = make_document(make_model())
    spill(1, 0, 0)(content["models"][0], content)
    kept = snapshots.snapshot(content, "gestures")

    def worsen(model, whole):
        add_opcode(None, "jal", 8)(model, whole)
        spill(1, 30, 12)(model, whole)
        model["outputs_sha256"], model["accuracy"] = "f" * 64, model["accuracy"] - 0.5

    folder = tmp_path_factory.mktemp("baselines")
    baseline.write(folder, kept)
    return changed(content, worsen), folder, baseline.path_of(folder, kept).read_text()


@given(data=st.data())
def test_a_damaged_baseline_is_said_or_judges_the_rest_as_before(worse_and_its_baseline, data):
    measured, folder, text = worse_and_its_baseline
    path, content = baseline.path_of(folder, measured), json.loads(text)
    whole = {each.metric: each.outcome for each in gate.compare(measured, content)}
    assert {name for name, outcome in whole.items() if outcome == "failed"} == SLOWER
    place = data.draw(st.sampled_from(list(places_in(content))))
    holder = functools.reduce(operator.getitem, place[:-1], content)
    if data.draw(st.booleans()):
        holder[place[-1]] = data.draw(DAMAGES)
    else:
        del holder[place[-1]]
    path.write_text(json.dumps(content))
    try:
        known = baseline.read(folder, measured)
    except baseline.BaselineError as error:
        assert str(error).startswith(f"The baseline {path} is no good: ") or "is no baseline of form" in str(error)
        return
    verdicts = gate.compare(measured, known)
    assert gate.failure_text(verdicts, gate.causes_text(measured, known))
    found = {each.metric: each.outcome for each in verdicts}
    assert found.keys() == whole.keys()
    other = {name for name, outcome in found.items() if outcome != whole[name]}
    assert other <= ({place[1]} if place[0] == "metrics" else set())
    assert all(found[name] != "passed" or isinstance(known["metrics"][name], int | float) for name in other)


def real_baselines():
    """Every committed baseline, those of `init` too."""
    folders = (ROOT / "results/baselines", starter.TEMPLATE / "results/baselines")
    return [json.loads(path.read_text()) for folder in folders for path in sorted(folder.rglob("*.json"))]


def numbers_in(content):
    for place in places_in(content):
        found = functools.reduce(operator.getitem, place, content)
        if isinstance(found, int | float) and not isinstance(found, bool):
            yield place, found


@settings(max_examples=300)
@given(data=st.data())
def test_no_single_number_of_a_real_baseline_hides_that_a_model_got_slower(tmp_path_factory, data):
    content = data.draw(st.sampled_from(real_baselines()))
    measured = copy.deepcopy(content)
    slower = next(part for name, part in measured["dispatches"].items() if name != RUNTIME)
    for part in (slower, measured["metrics"]):  # a layer alone: no other metric tells of it
        part["instructions"] += 0.05 * content["metrics"]["instructions"]
    numbers = list(numbers_in(content))
    judged = [each for each in numbers if each[0][0] == "metrics"]
    place, old = data.draw(st.one_of(st.sampled_from(judged), st.sampled_from(numbers)))
    new = data.draw(st.one_of(st.sampled_from([0, 1, old * 10, 10**9]), st.integers(0, 10**12)))
    functools.reduce(operator.getitem, place[:-1], content)[place[-1]] = new
    folder = tmp_path_factory.mktemp("baselines")
    path = baseline.path_of(folder, measured)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    try:
        known = baseline.read(folder, measured)
    except baseline.BaselineError:
        return
    assert "instructions" in {each.metric for each in gate.compare(measured, known) if each.has_failed}


def without_runtime(content):
    del content["dispatches"][RUNTIME]


def ten_times(content):
    content["metrics"]["instructions"] *= 10


def lanes_beyond(content):
    content["dispatches"]["main_dispatch_1"]["lanes"]["active"] = 10**6


def vectors_beyond(content):
    content["dispatches"]["main_dispatch_1"]["vector_instructions"] = 10**6


def other_runtime(content):
    content["metrics"]["runtime_instructions"] += 1


def in_metrics(name, value):
    return lambda content: content["metrics"].update({name: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_runtime, "it has no 'runtime (VM)'"),
        (ten_times, "its dispatches come to"),
        (lanes_beyond, "active of"),
        (vectors_beyond, "vector of"),
        (other_runtime, "its metric says"),
        (in_metrics("accuracy", 0), "accuracy is 0.00 % of 40 samples, but 0 are named as mistakes"),
        (in_metrics("host_accuracy", 0.999), "which no number of 40 samples is"),
        (in_metrics("memory_peak_bytes", 1e12), "more than any memory has"),
        (in_metrics("module_bytes", 1), "its parts come to"),
        (in_metrics("firmware_bytes", 10**6), "its parts come to"),
        (in_metrics("lane_utilisation", 0), "by its dispatches it is"),
        (in_metrics("stack_accesses", 10**6), "of its dispatches"),
        (in_metrics("whole_register_moves", 10**6), "of its dispatches"),
        (in_metrics("scalar_dispatches", 8), "of its dispatches"),
    ],
)
def test_numbers_that_contradict_each_other_are_no_baseline(tmp_path, change, words):
    content = next(each for each in real_baselines() if each["subject"]["variant"] == "vector")
    baseline.write(tmp_path, content)
    path, damaged = baseline.path_of(tmp_path, content), copy.deepcopy(content)
    change(damaged)
    with pytest.raises(baseline.BaselineError, match=re.escape(words)):
        baseline.write(tmp_path, damaged)
    path.write_text(json.dumps(damaged))
    with pytest.raises(baseline.BaselineError, match=re.escape(words)):
        baseline.read(tmp_path, content)


@settings(max_examples=30)
@given(cut=st.integers(0, 10**6), rest=st.binary(max_size=4))
def test_a_baseline_that_was_cut_short_is_named(worse_and_its_baseline, cut, rest):
    measured, folder, text = worse_and_its_baseline
    path = baseline.path_of(folder, measured)
    path.write_bytes(text.encode()[: cut % (len(text) - 2)] + rest)
    with pytest.raises(baseline.BaselineError, match=path.name):
        baseline.read(folder, measured)


def test_what_a_baseline_does_not_hold_is_not_compared_and_told(document, before):
    (verdict,) = [each for each in gate.compare(changed(document, spill(1, 1, 1)), before) if each.outcome != "passed"]
    assert (verdict.metric, verdict.outcome) == ("stack_accesses", gate.NOT_COMPARED)
    assert verdict.change == "the baseline holds none"


def test_a_damaged_file_beside_the_written_ones_is_left_alone(tmp_path, before):
    baseline.write(tmp_path, before)
    path = baseline.path_of(tmp_path, before)
    (path.parent / "broken.json").write_text('{"subject": 5}')
    (path.parent / "torn.json").write_text("{")
    assert baseline.prune("spike", [path]) == []


def test_what_no_test_measures_any_more_is_removed_for_the_same_engine_and_vlen_only(tmp_path, document, before):
    gone = {**before, "subject": {**before["subject"], "model": "gone"}}
    narrow = snapshots.snapshot({**document, "vlen_bits": 128}, "gestures")  # of a run with --vlen 128
    board = snapshots.snapshot({**document, "engine": "serial"}, "gestures")
    for each in (before, gone, narrow, board):
        baseline.write(tmp_path, each)
    removed = baseline.prune("spike", [baseline.path_of(tmp_path, before)])
    assert removed == [baseline.path_of(tmp_path, gone)]
    assert all(baseline.path_of(tmp_path, each).exists() for each in (before, narrow, board))


def test_a_suite_of_the_same_name_keeps_its_baselines(tmp_path, before):
    """Baselines are in a folder called as the suite: another one of that name may measure what this one does not."""
    other = {**before, "subject": {**before["subject"], "model": "other"}}
    for each in (before, other):
        baseline.write(tmp_path, each)
    mine, theirs = tmp_path / "a" / "gestures.robot", tmp_path / "b" / "gestures.robot"
    for path in (mine, theirs, tmp_path / ".venv" / "gestures.robot", tmp_path / "b" / "more.robot"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert checks.namesakes([mine], tmp_path) == checks.namesakes([mine.parent], tmp_path) == [theirs]
    assert checks.namesakes([tmp_path], tmp_path) == checks.namesakes([theirs.with_name("more.robot")], tmp_path) == []
    written = [baseline.path_of(tmp_path, before)]
    assert baseline.prune("spike", written, {baseline.folder_name(theirs)}) == []
    assert baseline.prune("spike", written, {"more"}) == [baseline.path_of(tmp_path, other)]


def test_a_chip_of_ones_own_is_named_in_every_sentence(document):
    mine = snapshots.snapshot({**document, "chip": "nacelle"}, "gestures")
    verdict = gate.judge(mine, gate.Limit("instructions", 1))
    assert " on nacelle, spike, VLEN 512: instructions" in verdict.text()
    assert "nacelle" not in gate.judge(snapshots.snapshot(document), gate.Limit("instructions", 1)).text()


def test_a_folder_without_baselines_is_no_missing_baseline(tmp_path, before):
    with pytest.raises(
        baseline.BaselineError, match=r"no folder .*gone with baselines, so nothing can be compared"
    ) as error:
        baseline.read(tmp_path / "gone", before)
    assert not isinstance(error.value, baseline.NoBaseline)  # which may be skipped


# ---- gate.json


def test_verdicts_are_kept_in_order_with_their_test(tmp_path, document, before):
    found = gate.compare(changed(document, add_opcode(1, "addi", 5)), before)
    verdicts.VerdictFile(tmp_path, "Gestures", "Should Not Regress").add_comparison(Path("a.json"), found)
    content = verdicts.read(tmp_path)
    assert [each["metric"] for each in content["verdicts"]] == [each.metric for each in found]
    assert content["verdicts"][0]["test"] == "Should Not Regress"
    assert verdicts.summary(tmp_path)[0] == (
        f"Gate:    1 baseline read: {len(found)} numbers compared, 1 worse, 0 better; 0 limits checked"
    )


def test_a_gate_that_compared_nothing_says_so(tmp_path, before):
    assert verdicts.summary(tmp_path) == ["Gate:    no baseline was read: 0 limits checked, 0 numbers compared"]
    file = verdicts.VerdictFile(tmp_path, "Gestures", "Should Not Regress")
    file.add([gate.judge(before, Limit("module_bytes", bound)) for bound in (1, 10**6, 10**7)])
    assert verdicts.headline(verdicts.read(tmp_path)) == (
        "no baseline was read: 3 limits checked, 1 not kept, 0 numbers compared"
    )
    file.add_missing(Path("b/m.json"), "m (vector) on spike, VLEN 512")
    file.add_update(Path("b/n.json"), ["instructions: 1 -> 2 (worse)", "module: 3 -> 4 (worse)"])
    told, *lines = verdicts.summary(tmp_path)
    assert told.endswith("0 numbers compared; 1 configuration without a baseline; 1 baseline written, 2 changes")
    assert lines[-1] == "  no baseline: m (vector) on spike, VLEN 512: b/m.json"


def test_files_of_before_tell_what_was_compared(tmp_path, document, before):
    found = gate.compare(changed(document, add_opcode(1, "addi", 5)), before)
    limit = gate.judge(before, Limit("module_bytes", 10**6))
    kept = [{"suite": "s", "test": "t", **asdict(each)} for each in (*found, limit)]
    (tmp_path / verdicts.FILE_NAME).write_text(json.dumps({"schema": 1, "verdicts": kept, "updates": []}))
    assert verdicts.headline(verdicts.read(tmp_path)) == (
        f"1 baseline read: {len(found)} numbers compared, 1 worse, 0 better; 1 limit checked"
    )


def test_what_suites_kept_beside_each_other_becomes_one(tmp_path, before):
    for suite in ("One", "Two"):
        verdicts.VerdictFile(tmp_path / suite, suite).add([gate.judge(before, Limit("module_bytes", 1))])
    verdicts.gather(tmp_path, 0)
    assert [each["suite"] for each in verdicts.read(tmp_path)["verdicts"]] == ["One", "Two"]
    verdicts.gather(tmp_path / "One", 0)
    assert len(verdicts.read(tmp_path / "One")["verdicts"]) == 1


def test_a_file_of_another_form_is_refused(tmp_path):
    (tmp_path / verdicts.FILE_NAME).write_text('{"schema": 7, "verdicts": [], "updates": []}')
    with pytest.raises(verdicts.ReportError, match="gate.json is not of form 1"):
        verdicts.read(tmp_path)


# Tasks without classes


def test_a_larger_error_of_values_is_stopped():
    before = snapshots.snapshot(make_document(make_regression(error=0.25)), "wear")
    worse = snapshots.snapshot(make_document(make_regression(error=0.5)), "wear")
    assert set(failed(worse, before)) == {"mean_absolute_error", "root_mean_square_error", "r_squared"}
    text = failed(worse, before)["mean_absolute_error"].text()
    assert "mean absolute error: 0.5; at most 0.25 is allowed (the baseline's): +0.25" in text
    assert failed(before, before) == {}


def test_a_limit_that_the_task_does_not_know_is_not_kept_and_says_why():
    values = snapshots.snapshot(make_document(make_regression()), "wear")
    verdict = gate.judge(values, Limit("accuracy", 0.5))
    assert verdict.has_failed
    assert "The task of motions/test is regression, which has none" in verdict.text()
    classes = snapshots.snapshot(make_document(make_model()), "motions")
    assert "is classification, which has none" in gate.judge(classes, Limit("auc", 0.5)).text()
    undefined = {**values, "metrics": {**values["metrics"], "r_squared": None}}
    assert "It is not defined for the answers" in gate.judge(undefined, Limit("r_squared", 0.0)).text()


def test_a_baseline_of_values_is_kept_whole(tmp_path):
    measured = snapshots.snapshot(make_document(make_regression()), "wear")
    baseline.write(tmp_path, measured)
    kept = baseline.read(tmp_path, measured)
    assert (kept["metrics"]["mean_absolute_error"], "accuracy" in kept["metrics"]) == (0.25, False)
    assert kept["mistakes"] == {}


def test_other_data_are_told_as_a_cause(document, before):
    before["made_with"]["dataset_sha256"] = "0" * 64
    other = changed(document, lambda model, _: model["dataset"].update(sha256="1" * 64))
    assert gate.causes(other, before) == ["data set: its bytes are others (sha256 000000000000… -> 111111111111…)"]


@pytest.mark.parametrize(
    ("metric", "bound", "words"),
    [
        ("accuracy", 95, "The limit 95 of 'accuracy' is no share, which is from 0 to 1: for 95 % write 0.95"),
        ("accuracy", -0.1, "is no share, which is from 0 to 1"),
        ("max_abs_error", -1.0, "can't be kept by anything"),
        ("instructions", -5, "can't be kept by anything"),
        ("max_abs_error", math.nan, "is no number"),
        ("max_abs_error", math.inf, "is kept by everything"),
        ("r_squared", math.nan, "is no number"),
        ("r_squared", -math.inf, "is kept by everything"),
        ("auc", -1, "is kept by everything"),
        ("auc", 1.5, "can't be kept by anything: it is at most 1"),
        ("accuracy", 0, "is kept by everything"),
        ("module_bytes", 2**32, "is kept by everything"),
    ],
)
def test_a_limit_that_nothing_or_everything_keeps_is_refused(before, metric, bound, words):
    with pytest.raises(gate.GateError, match=re.escape(words)):
        gate.judge(before, gate.Limit(metric, bound))


@given(
    name=st.sampled_from([name for name, metric in METRICS.items() if metric.form != "digest"]),
    bound=st.floats() | st.sampled_from([-1.0, 0.0, 1.0, 2.0**32, 2.0**64]) | st.floats(-2, 2),
)
def test_every_limit_that_is_taken_is_kept_by_something_and_broken_by_something(name, bound):
    metric = METRICS[name]
    if metric.relation == gate.EXACTLY:
        return
    ends = {max(metric.least, -1e300), min(metric.most, 1e300)}
    broken = {metric.is_worse(value, bound) for value in ends}
    tiny = 1e-8 * max(1.0, abs(bound))  # what lies nearer to an end of what it can be is rounding
    if math.isnan(bound) or abs(bound) > 1e299 or min(abs(bound - end) for end in ends) <= tiny:
        return
    try:
        gate.check_bound(metric, bound)
    except gate.GateError:
        assert broken != {True, False}
    else:
        assert broken == {True, False}


@pytest.mark.parametrize("tolerance", ["any", "1", "100%", "250 %"])
def test_a_tolerance_that_everything_keeps_is_refused_or_said_to_be_any(before, tolerance):
    known = {**before, "metrics": {**before["metrics"], "accuracy": 0.9}}
    if tolerance == "any":
        assert "accuracy" not in {each.metric for each in gate.compare(known, known, {"accuracy": tolerance})}
        return
    with pytest.raises(gate.GateError, match="of accuracy is kept by everything, as any is"):
        gate.compare(known, known, {"accuracy": tolerance})
    with pytest.raises(gate.GateError, match="of module_bytes is kept by everything"):
        gate.compare(known, known, {"module_bytes": str(2**32)})
    assert gate.compare(known, known, {"accuracy": "0.5", "lane_utilisation": "0.9"})


def test_a_share_of_a_number_below_0_is_a_margin_too():
    values = snapshots.snapshot(make_document(make_regression()), "wear")
    known, lower, low = ({**values, "metrics": {**values["metrics"], "r_squared": each}} for each in (-2, -2.1, -2.3))
    assert not failed(lower, known, {"r_squared": "10%"})
    assert set(failed(low, known, {"r_squared": "10%"})) == {"r_squared"}


def test_a_comparison_of_nothing_is_none(before):
    everything = {name: "any" for name, metric in METRICS.items() if metric.is_recorded}
    with pytest.raises(gate.GateError, match=r"Nothing of gestures .* would be compared with its baseline"):
        gate.compare(before, before, everything)
    del everything["instructions"]
    assert [each.metric for each in gate.compare(before, before, everything)] == ["instructions"]


def test_outputs_of_nothing_but_0_keep_no_tolerance_that_is_taken():
    def check(tolerance, steps=0, scale=None, largest=1.0, others=()):
        model = SimpleNamespace(outputs=(TensorSpec("y", (1, 4), "float32" if scale is None else "int8", scale),))
        evaluation = SimpleNamespace(model=model, output=0, quality=SimpleNamespace(host_magnitudes=[largest, *others]))
        GateLibrary._check_reach(evaluation, tolerance, steps)

    for refused in ((1e9,), (1.0,), (20.0, 0, None, 20.0), (1e-5, 255, 0.1), (1e-5, 10**6, 0.1)):
        with pytest.raises(gate.GateError, match="is kept by answers of nothing but 0|can differ by: give fewer"):
            check(*refused)
    for taken in ((1e-5,), (0.5,), (19.0, 0, None, 20.0), (1e-5, 0, None, 0.0), (1e-5, 254, 0.1)):
        check(*taken)


def test_what_two_tests_say_of_one_evaluation_is_told_once(tmp_path, document, before):
    measured = changed(document, add_opcode(0, "addi", -100))
    better = gate.compare(measured, before)
    for test in ("One", "Two"):
        verdicts.VerdictFile(tmp_path, "Suite", test).add_comparison(tmp_path / "b.json", better)
        verdicts.VerdictFile(tmp_path, "Suite", test).add([gate.judge(measured, Limit("instructions", 10))])
    head, *lines = verdicts.summary(tmp_path)
    assert f"{len(better)} numbers compared, 0 worse, 1 better; 2 limits checked, 2 not kept" in head
    assert [line.split(":")[0].strip() for line in lines] == ["improved", "failed"]
    assert lines[1].endswith(" (in One, Two)")


@pytest.mark.parametrize(
    ("tolerances", "words"),
    [
        ({"instrctions": "1%"}, "did you mean 'instructions'"),
        ({"instructions": "a bit"}, "'a bit' is no tolerance for instructions"),
        ({"max_abs_error": "1"}, "Baselines hold no max_abs_error"),
        ({"outputs_sha256": "5"}, "can only be 0 or any"),
    ],
)
def test_tolerances_are_checked_before_anything_else(tolerances, words):
    with pytest.raises(gate.GateError, match=re.escape(words)):
        gate.check_tolerances(tolerances)


@pytest.mark.parametrize(("given", "found"), [("90%", 0.9), (" 12.5 % ", 0.125), (0.5, 0.5), ("1", 1.0), ("100%", 1)])
def test_a_share_is_a_number_or_per_cent(given, found):
    assert GateLibrary._share(given) == found


@pytest.mark.parametrize("given", ["50x", "150%", 50, -0.1, "", "nan", "%"])
def test_what_is_no_share_is_refused_in_words(given):
    with pytest.raises(gate.GateError, match="is no share: write a number from 0 to 1, or per cent"):
        GateLibrary._share(given)


def test_limits_and_lengths_that_are_no_numbers_are_sentences():
    with pytest.raises(gate.GateError, match="The limit 'few' is no number"):
        GateLibrary.GateLibrary().metric_should_keep_its_limit(None, "instructions", "few")
    with pytest.raises(SweepError, match="vlens are numbers such as 256,512, not '256,few'"):
        SweepLibrary.SweepLibrary().sweep_configurations("m.h5", vlens="256,few")


@pytest.mark.parametrize("text", ["1e-7", "1E-7", "0.0000001", "1e-05%", ".5e-3"])
def test_a_tolerance_may_have_an_exponent(text):
    number = float(text.rstrip("%"))
    margin = gate._margin(gate.METRICS["mean_absolute_error"], text, 2.0)
    assert margin == pytest.approx(number / 100 * 2 if text.endswith("%") else number)


@pytest.mark.parametrize("text", ["64", "5 %", "0.5%", ".5%", "1e-05 %", "5E-1 %", "1e2", "0"])
@pytest.mark.parametrize("name", ["instructions", "accuracy", "max_abs_error", "vset_per_vector"])
def test_what_a_comparison_says_of_any_tolerance_hangs_together(name, text):
    """Else the file that has it could not be read again."""
    measured = snapshots.snapshot(make_document(make_model()), "made")
    with contextlib.suppress(gate.GateError):  # of what spans all that the metric can be
        for verdict in gate.compare(measured, measured, {name: text}):
            content = {"schema": 1, "verdicts": [{"compared": True, **asdict(verdict)}], "updates": []}
            assert list(contradictions(content)) == []
