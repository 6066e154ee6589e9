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
    "vmfb_bytes",
    "kernel_text_bytes",
    "kernel_rodata_bytes",
    "text_bytes",
    "rodata_bytes",
    "data_bytes",
    "bss_bytes",
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
    model["fit"] = [{"name": "dtcm", "bytes": 1000, "parts": {"stack": 200, "tensors": None}, "free_bytes": 800}]
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
    "anomalies": make_anomaly,
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
