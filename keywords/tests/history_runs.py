# SPDX-License-Identifier: Apache-2.0
"""Made-up runs for a history."""

import json
from datetime import timedelta

from made_up_runs import make_document, make_model, make_regression

from springbok.history import record
from springbok.support.repository import Origin

NOW = record.now()


def make_run(number=0, cost=0, documents=None, **others):
    """Run ``number`` of as many commits; ``cost`` are instructions that one layer spends more than it did at first."""
    model = make_model()
    dispatch = model["dispatches"][1]
    for part in (dispatch, model):
        part["opcodes"]["addi"] += cost
        part["opcode_classes"]["scalar"] += cost
    dispatch["instructions"] += cost
    model["instructions"] = {name: value + cost for name, value in model["instructions"].items()}
    model["per_sample"]["instructions"] = [each + cost for each in model["per_sample"]["instructions"]]
    text = json.dumps(make_document(model, make_model(variant="scalar"), make_regression()))
    origin = Origin(f"{number:040x}", NOW + timedelta(hours=number), number + 1, f"Change {number}", "main")
    given = {
        "started": NOW + timedelta(hours=number),
        "origin": origin,
        "machine": "lab",
        "engine": "spike",
        "engine_version": "1.0",
        "chip": "springbok",
        "vlen_bits": 512,
        "suites": ("gestures",),
        "verdict": record.PASSED,
        "tests": record.Tests(11, 1, ()),
        "versions": {"compiler": "3.13.0"},
        "documents": documents or {record.METRICS_FILE: text},
    }
    return record.Record(**{**given, **others})
