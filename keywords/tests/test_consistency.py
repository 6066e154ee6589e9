# SPDX-License-Identifier: Apache-2.0
"""Any one number of a metrics document is damaged: it is refused, or judged no better than it was."""

import copy
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model, make_regression

from springbok.gate import gate, snapshots
from springbok.measuring import metrics
from springbok.measuring.quality import area_under_curve

#: What nothing else in a document tells, and what each is: a single reading of the device, or a file's size.
ALONE = {
    "load_instructions",
    "device_instructions",
    "memory_peak_bytes",
    "stack_peak_bytes",
    "kernel_rodata_bytes",
    "data_bytes",
    "stack",
}


def numbers(part, place=()):
    """The place of every number of a document."""
    if isinstance(part, int | float) and not isinstance(part, bool):
        yield place
    elif isinstance(part, dict | list):
        for name, each in part.items() if isinstance(part, dict) else enumerate(part):
            yield from numbers(each, (*place, name))


def with_everything(model):
    """The model with what only some engines tell: lanes, a timeline, cycles, stack, memories."""
    whole = model["instructions"]["mean"]
    for dispatch in model["dispatches"]:
        vectors = dispatch["vector_instructions"]
        dispatch["lanes"] = {"active": vectors * 12, "available": vectors * 16} if vectors else None
        dispatch["stack"] = {"loads": 3, "stores": 2}
        dispatch["cycles"] = dispatch["instructions"] * 2
    lanes = [each["lanes"] for each in model["dispatches"] if each["lanes"]]
    model["lanes"] = {key: sum(each[key] for each in lanes) for key in ("active", "available")} if lanes else None
    model["cycles"] = {"mean": whole * 2}
    lengths = [each["instructions"] for each in model["dispatches"]]
    begins = [100 + sum(lengths[:number]) for number in range(len(lengths))]
    calls = {"dispatch": list(range(len(lengths))), "begin": begins, "instructions": lengths}
    model["timeline"] = {"instructions": model["per_sample"]["instructions"][-1], "calls": calls}
    model["runtime_functions"] = {"vm_run": 700, "memcpy": 200}
    program = model["vmfb_bytes"] - 9000 - 20_500
    of_module = {"kernels' code": 9000, "weights": 20_500, "program": program, "tensors": None}
    parts = {"runtime's code": 5000, "runtime's constants": 2, "runtime's variables": 4, "stack": 2000, **of_module}
    free = 200_000 - sum(count or 0 for count in parts.values())
    model["fit"] = [{"name": "dtcm", "bytes": 200_000, "parts": parts, "free_bytes": free}]
    return model


def make_anomaly():
    model = make_regression("hum")
    label = [number % 2 for number in range(model["samples"])]
    scores = [number * 7 % 13 / 13 for number in range(model["samples"])]
    model["per_sample"].update(label=label, device=scores, host=scores)
    figures = {"auc": area_under_curve(np.array(scores), np.array(label))}
    model["quality"] = {"task": "anomaly", "device": figures, "host": figures}
    return model


MODELS = {
    "classes": lambda: with_everything(make_model()),
    "scalar": lambda: with_everything(make_model(variant="scalar")),
    "values": lambda: with_everything(make_regression()),
    "anomalies": lambda: with_everything(make_anomaly()),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_hangs_together_is_taken(model):
    assert metrics.problem_of(make_document(model())) == ""


def damages(value):
    """Other numbers in the place of one."""
    return st.one_of(
        st.sampled_from([0, 1, -1, -value, value / 2, value * 2, value - 1, value + 1, 10**9, 2**70, 0.5]),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(0, 10**12),
    ).filter(lambda other: not math.isclose(other, value, rel_tol=1e-5, abs_tol=1e-5))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_number_is_refused_or_judged_no_better(model, data):
    whole = make_document(model())
    kinds = {}  # of places: there are many samples
    for place in numbers(whole):
        kinds.setdefault(tuple(name for name in place if isinstance(name, str)), []).append(place)
    place = data.draw(st.sampled_from(kinds[data.draw(st.sampled_from(sorted(kinds)))]))
    damaged = copy.deepcopy(whole)
    part = damaged
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = data.draw(damages(part[place[-1]]))
    if metrics.problem_of(damaged) or ALONE & set(place):
        return
    measured, baseline = (snapshots.snapshot(each) for each in (damaged, whole))
    better = [each.metric for each in gate.compare(measured, baseline) if each.outcome == "improved"]
    assert better == [], f"{place} is now {part[place[-1]]}"


def spread_out(model):
    """Inferences that differ by more than a call."""
    each = model["per_sample"]["instructions"]
    each[0], each[1] = each[0] - 40_000, each[1] + 40_000
    model["instructions"].update(min=min(each), max=max(each))
    return model


def calling(*places):
    return lambda model: model["timeline"]["calls"].update(dispatch=list(places))


def test_a_counter_of_the_device_that_stands_is_no_contradiction():
    document = make_document(MODELS["scalar"]())
    document["models"][0]["device_instructions"] = {"mean": 0}
    assert "device_instructions" not in metrics.problem_of(document)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (calling(0, 0, 0, 0), "timeline/calls/dispatch: 4 calls of dispatch 0, which has 1"),
        (calling(3, 2, 1, 0), "timeline/calls/instructions: "),
        (lambda model: model["dispatches"][0].update(calls=50), "timeline/calls/dispatch: 1 calls of dispatch 0"),
        (lambda model: model["runtime_functions"].update(vm_run=1100), "runtime_functions: they come to 1,300"),
        (
            lambda model: model.update(memory_peak_bytes=10**15),
            "memory_peak_bytes: 1,000,000,000,000,000 of 197,994 that",
        ),
        (lambda model: model.update(load_instructions=1), "load_instructions: 1 for a program that takes 4 at least"),
        (lambda model: model.update(stack_peak_bytes=0), "stack_peak_bytes: none, but kernels load from the stack"),
        (lambda model: model.update(kernel_text_bytes=0), "kernel_text_bytes: 0, and what kernels execute takes 24"),
        (lambda model: model.update(kernel_text_bytes=9004), "kernel_text_bytes: 9,004, but 9,000 of them are in the"),
        (lambda model: model.update(vmfb_bytes=30_005), "vmfb_bytes: 30,005, but its parts in the chip's memories"),
        (
            lambda model: model.update(kernel_rodata_bytes=20_501),
            "kernel_rodata_bytes: 20,501 of 20,500 bytes of weights",
        ),
        (lambda model: model.update(max_abs_error=1e300), "max_abs_error: 1e+300: no two outputs are so far apart"),
        (lambda model: model.update(variant="scalar"), "dispatches/0/vector_instructions: scalar code has none"),
        (lambda model: model.update(stack_peak_bytes=2001), "stack_peak_bytes: 2,001 of a stack of 2,000"),
        (lambda model: model.update(device_instructions={"mean": 5}), "device_instructions: 5, but between the marks"),
        (lambda model: model["device_instructions"].update(mean=10**6), "device_instructions: 1,000,000, but"),
        (lambda model: model["outside_kernels"].update(mean=model["instructions"]["mean"] - 9), "outside_kernels: "),
        (
            lambda model: model["dispatches"][1].update(name=model["dispatches"][0]["name"]),
            "dispatches: 2 of them are called main_dispatch_0",
        ),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(change, place):
    model = with_everything(make_model())
    change(model)
    assert f"models/0/{place}" in metrics.problem_of(make_document(model))


@pytest.mark.parametrize(("part", "size"), [("text", 1), ("text", 5004), ("rodata", 7), ("bss", 0)])
def test_a_firmwares_parts_are_those_that_are_in_the_chips_memories(part, size):
    document = make_document(with_everything(make_model()))
    document["firmware"][f"{part}_bytes"] = size
    assert f"models/0/platform/firmware/{part}_bytes: {size:,}" in metrics.problem_of(document)


def test_what_may_be_otherwise_in_each_inference_is_not_held_against_the_last_one():
    """A loop whose length depends on data; two kernels of one name, as far as the device tells it."""
    model = spread_out(with_everything(make_model()))
    calling(3, 2, 1, 0)(model)
    assert metrics.problem_of(make_document(model)) == ""
    model["runtime_functions"]["vm_run"] = 1100
    for dispatch in model["dispatches"]:
        dispatch["name"] = "a" * 95
    assert metrics.problem_of(make_document(model)) == ""


@pytest.mark.parametrize("name", ["accuracy", "instructions", "lane_utilisation"])
def test_the_property_would_find_what_nothing_refuses(name):
    """Without the relations, damage is judged to be better: the property looks where it matters."""
    whole = make_document(with_everything(make_model()))
    damaged = copy.deepcopy(whole)
    (model,) = damaged["models"]
    change = {
        "accuracy": {"accuracy": 1.0},
        "instructions": {"instructions": {"min": 1, "mean": 1, "max": 1}},
        "lane_utilisation": {"lanes": {"active": 16, "available": 16}},
    }
    model.update(change[name])
    assert metrics.problem_of(damaged)
    measured, baseline = (snapshots.snapshot(each) for each in (damaged, whole))
    assert name in [each.metric for each in gate.compare(measured, baseline) if each.outcome == "improved"]


def test_a_module_larger_than_the_memory_that_it_lies_in_is_refused():
    model = make_model()
    model["vmfb_bytes"] = model["memory_peak_bytes"] + 1
    assert metrics.problem_of(make_document(model)).startswith("models/0/vmfb_bytes: ")
