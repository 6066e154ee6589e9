# SPDX-License-Identifier: Apache-2.0
"""What a run judged, measured and ran, as its record tells it: files of another run tell of something else.

A digest of a file tells that it was exchanged; these tell it too where somebody has made the digests anew. They hold
what stands in the files, and nothing that is computed of it: later versions read the same.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree

from springbok.gate.verdicts import FILE_NAME as GATE_FILE
from springbok.support import run_record
from springbok.support.cache import digest
from springbok.support.escaping import visible

METRICS_FILE, XUNIT_FILE, SWEEP_FILE = "metrics.json", "xunit.xml", "sweep.json"
_OF_VERDICT = ("suite", "test", "metric", "value", "limit", "baseline", "change", "outcome", "evaluation")
_OF_MODEL = ("sha256", "vmfb_sha256", "samples", "outputs_sha256", "accuracy", "max_abs_error", "instructions")
_LETTERS = 16

Told = Iterator[tuple[str, Any]]


def _judged(text: str) -> Told:
    for each in json.loads(text)["verdicts"]:
        yield each["subject"], [each.get(name) for name in _OF_VERDICT]


def _measured(text: str) -> Told:
    for each in json.loads(text)["models"]:
        yield f"{each['name']} ({each['variant']})", [each.get(name) for name in _OF_MODEL]


def _ran(text: str) -> Told:
    for each in ElementTree.fromstring(text).iterfind(".//testcase"):
        yield each.get("classname", ""), [each.get("name"), [part.tag for part in each]]


def _swept(text: str) -> Told:
    yield "rows", json.loads(text)["rows"]


#: What a record calls the facts of a file, and where they stand there.
READERS: Mapping[str, tuple[str, Callable[[str], Told]]] = {
    GATE_FILE: ("judged", _judged),
    METRICS_FILE: ("measured", _measured),
    XUNIT_FILE: ("ran", _ran),
    SWEEP_FILE: ("swept", _swept),
}
KEYS = tuple(key for key, _ in READERS.values())


def facts_of(documents: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What a record says of the texts of a run's files: by names as people read them, digests of what is told of each.

    Nothing of a file that isn't there or can't be read.

    >>> facts_of({"metrics.json": '{"models": []}', "gate.json": "?"})
    {'measured': {}}
    """
    found = {}
    for name in READERS.keys() & documents.keys():
        key, reader = READERS[name]
        told: dict[str, list[Any]] = defaultdict(list)
        with suppress(KeyError, TypeError, ValueError, AttributeError, ElementTree.ParseError):
            for subject, what in reader(documents[name]):
                told[subject].append(what)
            found[key] = {subject: digest(each)[:_LETTERS] for subject, each in told.items()}
    return {key: found[key] for key in KEYS if key in found}


def contradictions(record: Mapping[str, Any], documents: Mapping[str, str]) -> Iterator[str]:
    """What files tell of otherwise than the run's ``record`` does, a sentence each; one of before does not tell it."""
    found = facts_of(documents)
    for name, (key, _) in READERS.items():
        if name in documents and key in record:
            told, here = record[key], found.get(key, {})
            others = [each for each in dict.fromkeys((*here, *told)) if told.get(each) != here.get(each)]
            if others:
                subjects = ", ".join(visible(each) for each in others)
                yield f"{name} is not of what the run of {run_record.FILE_NAME} {key}: {subjects}"
