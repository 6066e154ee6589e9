# SPDX-License-Identifier: Apache-2.0
"""A path where a keyword takes what another keyword returns, which is what people write first."""

from types import SimpleNamespace

import numpy as np
import pytest
from robot.api import TestSuite

import SimulatorLibrary
from springbok import session
from springbok.chips.description import load
from springbok.data.dataset import Dataset
from springbok.measuring.evaluation import Evaluation
from springbok.support.places import KEYWORDS, PLATFORMS

EVALUATION = Evaluation(*[None] * 5)


@pytest.mark.parametrize(
    ("library", "call", "maker"),
    [
        ("RuntimeLibrary", ["Load Model", "model.keras"], "'Compile Model'"),
        ("CompilerLibrary", ["Module Should Contain Vector Instructions", "model.keras"], "'Compile Model'"),
        ("PerformanceLibrary", ["Record Metrics", "metrics.json"], "'Evaluate Model'"),
        ("GateLibrary", ["Memory Should Be At Most", "model.keras", "1"], "'Evaluate Model'"),
    ],
)
def test_path_instead_of_a_result_is_refused_in_words(library, call, maker, tmp_path):
    suite = TestSuite("Paths")
    suite.resource.imports.library(str(KEYWORDS / f"{library}.py"))
    test = suite.tests.create("Takes A Path")
    test.body.create_keyword(call[0], args=call[1:])
    result = suite.run(output=None, stdout=(tmp_path / "out.txt").open("w"))
    message = result.suite.tests[0].message
    assert result.suite.tests[0].status == "FAIL"
    assert f"this takes what {maker} returns, not '{call[1]}'" in message


def test_another_keywords_result_is_refused_without_its_content(tmp_path):
    """Robot Framework puts what was given before the sentence, as text."""
    data = Dataset("motions/test", np.zeros((2000, 3)), description="long " * 1000)
    suite = TestSuite("Results")
    suite.resource.imports.library(str(KEYWORDS / "GateLibrary.py"))
    suite.tests.create("Takes Data").body.create_keyword("Performance Should Not Regress", args=[data])
    result = suite.run(output=None, stdout=(tmp_path / "out.txt").open("w"))
    message = result.suite.tests[0].message
    assert "this takes what 'Evaluate Model' returns, not what is of the type Dataset" in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("library", "call", "words"),
    [
        ("GateLibrary", ["Performance Should Not Regress", EVALUATION, "missing=skipp"], "did you mean 'skip'"),
        ("GateLibrary", ["Performance Should Not Regress", EVALUATION, "mising=skip"], "did you mean 'missing'"),
        ("SimulatorLibrary", ["Boot Chip", "springbok", "vlne=128"], "no argument 'vlne' (did you mean 'vlen'?)"),
        ("QualityLibrary", ["Load Data Set", "watch", "tilte=mine"], "no argument 'tilte' (did you mean 'title'?)"),
    ],
)
def test_a_misspelt_argument_is_named_with_the_one_that_was_meant(library, call, words, tmp_path):
    suite = TestSuite("Misspelt")
    suite.resource.imports.library(str(KEYWORDS / f"{library}.py"))
    suite.tests.create("Misspelt").body.create_keyword(call[0], args=call[1:])
    result = suite.run(output=None, stdout=(tmp_path / "out.txt").open("w"))
    assert words in result.suite.tests[0].message


def test_the_firmware_that_a_suite_uses_is_told_once_and_no_other(monkeypatch, tmp_path):
    """A suite's own chip is known when it boots: before that only the usual one could be told."""
    own = tmp_path / "own.toml"
    own.write_text((PLATFORMS / "rv64gcv.toml").read_text().replace("title = ", 'title = "Own" # '))
    told = []
    monkeypatch.setattr(SimulatorLibrary.logger, "console", told.append)
    monkeypatch.setattr(session.current, "boot", booted)
    for name in ("description", "firmware"):
        monkeypatch.setattr(session.current, name, None)
    library = SimulatorLibrary.SimulatorLibrary()
    for _ in range(2):
        library.boot_chip(str(own), engine="spike", timing="none")
    assert [line for line in told if line.startswith("Firmware")] == ["Firmware: own.elf, for Own"]
    library.boot_chip(engine="spike", timing="none")
    assert told[-1] == "Firmware: springbok.elf, for Springbok"


def booted(engine, *, platform=None, **_):
    """Says what would run, in place of a chip."""
    chip = load(platform)
    session.current.description = chip
    session.current.firmware = SimpleNamespace(summary=lambda: f"{chip.name}.elf")
    return SimpleNamespace(name=engine, version="1", uart_url="socket://x")
