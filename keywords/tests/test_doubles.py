# SPDX-License-Identifier: Apache-2.0
"""A core of 32 bits with registers for doubles and vectors of them: what the firmware keeps of it, and its kernels."""

from __future__ import annotations

import numpy as np
import pytest

from springbok.chips.description import load
from springbok.chips.extensions import EXTENSIONS
from springbok.chips.sources import header
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.session import Session
from springbok.support.errors import DeviceError
from springbok.support.places import MODELS

CHIP = """\
title = "Doubles"

[core]
isa = "rv32imafdc_zicsr_zifencei_zve64d"
abi = "ilp32d"
vlen = 256
vectored = true

[[memory]]
name = "all"
base = 0x4000_0000
bytes = 0x40_0000
access = "rwx"
holds = ["code", "data", "models"]

[[device]]
name = "uart"
kind = "pl011"
base = 0x1300_0000

[[device]]
name = "clint"
kind = "clint"
base = 0x0200_0000
"""


@pytest.fixture(scope="module")
def chip(tmp_path_factory):
    path = tmp_path_factory.mktemp("doubles") / "doubles.toml"
    path.write_text(CHIP)
    return load(path)


@pytest.fixture(scope="module")
def session(chip):
    session = Session()
    try:
        session.boot("spike", platform=chip.source)
        yield session
    finally:
        session.shut_down()


@pytest.mark.parametrize("variant", ["scalar", "vector"])
def test_a_model_answers(chip, session, variant):
    """Each request is an attempt, whose frame holds the doubles: Spike traps at one that is not aligned."""
    model = compile_and_check(MODELS / "gestures_int8.tflite", Target.of(variant, chip=chip))
    (samples,), (expected,) = model.probes.inputs, model.probes.expected
    session.load_model(model, check=False)
    np.testing.assert_array_equal(session.infer(samples[0], raw=True)[0], expected[0])


def test_the_timers_interrupt_ends_an_inference_and_the_next_one_is_right(chip, session):
    model = compile_and_check(MODELS / "gestures_int8.tflite", Target.of("scalar", chip=chip))
    (samples,), (expected,) = model.probes.inputs, model.probes.expected
    link = session.need_link()
    for _ in range(2):
        link.negotiate(time_limit=10)
        session.load_model(model, check=False)
        np.testing.assert_array_equal(session.infer(samples[0], raw=True)[0], expected[0])
        link.negotiate(time_limit=0.001)
        with pytest.raises(DeviceError, match="TIME_LIMIT"):
            session.infer(samples[0], raw=True)


@pytest.mark.parametrize("vectors", sorted(each for each in EXTENSIONS if each.startswith("zve")))
def test_kernels_may_use_all_that_an_extension_of_vectors_has(tmp_path, vectors):
    """LLVM writes the smaller ones into the attributes of what is built for a larger one."""
    path = tmp_path / "chip.toml"
    path.write_text(CHIP.replace("zve64d", vectors))
    (line,) = (each for each in header(load(path)).splitlines() if "CHIP_EXTENSIONS" in each)
    smaller = {
        f"zve{elen}{kind}"
        for elen in (32, 64)
        for kind in "xfd"
        if elen <= int(vectors[3:5]) and "xfd".index(kind) <= "xfd".index(vectors[5])
    } & EXTENSIONS
    assert {each for each in EXTENSIONS if f'"{each}"' in line and each.startswith("zve")} == smaller
