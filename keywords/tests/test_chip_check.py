# SPDX-License-Identifier: Apache-2.0
"""The check on the chip: what it finds, that it changes no figure, and when it runs."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from tiny_models import DENSE

from springbok.compiler import chip_check, optimizer
from springbok.compiler.chip_check import check_on_chip
from springbok.compiler.compiler import compile_and_check, compile_model
from springbok.compiler.optimizer import Change
from springbok.support.cache import Cache
from springbok.support.errors import CompileError

CHIP = ("spike", "VLEN 512", "firmware 1.1")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "dense.mlir"
    path.write_text(DENSE)
    return compile_and_check(path, output_dir=tmp_path_factory.mktemp("build"))


class FakeChip:
    """Answers what the framework does, but for ``wrong``, which is added."""

    def __init__(self, model, wrong=0.0, instructions=1000):
        self.model, self.wrong, self.instructions = model, wrong, instructions
        self.samples = 0

    def __call__(self, sample):
        outputs = [array[self.samples] + np.float32(self.wrong) for array in self.model.probes.expected]
        self.samples += 1
        return outputs, self.instructions


def test_right_answers_are_kept(model, tmp_path):
    first, second = FakeChip(model), FakeChip(model)
    judgement, ran = check_on_chip(model, CHIP, first, Cache(tmp_path))
    assert (ran, first.samples, judgement.samples, judgement.error) == (True, chip_check.SAMPLES, 2, 0)
    assert check_on_chip(model, CHIP, second, Cache(tmp_path)) == (judgement, False)
    assert second.samples == 0


@pytest.mark.parametrize("chip", [("renode", *CHIP[1:]), (CHIP[0], "VLEN 128", CHIP[2]), (*CHIP, "other firmware")])
def test_another_chip_or_firmware_is_asked_itself(model, tmp_path, chip):
    check_on_chip(model, CHIP, FakeChip(model), Cache(tmp_path))
    assert check_on_chip(model, chip, FakeChip(model), Cache(tmp_path))[1]


def test_a_difference_is_told_with_its_place(model, tmp_path):
    for _ in range(2):  # from the cache too
        with pytest.raises(CompileError, match=r"right on this machine, but on the chip \(spike, VLEN 512, firm"):
            check_on_chip(model, CHIP, FakeChip(model, wrong=0.5), Cache(tmp_path))
    with pytest.raises(CompileError, match=r"output 'output0' of sample \d differs by 0\.\d+.* the framework gives"):
        check_on_chip(model, CHIP, FakeChip(model, wrong=0.5), None)
    with pytest.raises(CompileError, match=r"Compile it with optimize=none, .* To use it all the same: check=False"):
        check_on_chip(model, CHIP, FakeChip(model, wrong=0.5), None)
    tolerant = replace(model, tolerance=type(model.tolerance).of(0.6))
    assert check_on_chip(tolerant, CHIP, FakeChip(model, wrong=0.5), None)[0].passed


def test_a_model_that_takes_its_time_runs_once(model):
    slow = FakeChip(model, instructions=chip_check.INSTRUCTIONS + 1)
    judgement, _ = check_on_chip(model, CHIP, slow, None)
    assert slow.samples == judgement.samples == 1


def figures(session, model, inferences=2):
    """What is counted of a load and the inferences after it."""
    loaded = session.need_link().profile()
    counted = [loaded.load_instructions, loaded.memory_peak_bytes]
    for _ in range(inferences):
        session.infer(*(array[0] for array in model.probes.inputs))
        profile = session.need_link().profile()
        counted += [profile.inference_instructions, profile.memory_peak_bytes, profile.stack_peak_bytes]
    return counted


def test_nothing_counts_otherwise_after_the_check(session, model, caplog):
    caplog.set_level(logging.INFO, "springbok.session")
    counted = []
    for check in (False, True, True):
        session.load_model(model, check=check)
        counted.append(figures(session, model))
    assert counted[0] == counted[1] == counted[2]
    (line,) = caplog.messages
    assert line.startswith("dense: checked on the chip: 2 samples differ from the framework by at most")


def test_wrong_answers_of_the_chip_leave_no_model_loaded(session, model):
    # What the framework is said to answer is wrong here, so the chip's right answers are refused.
    probes = replace(model.probes, expected=tuple(array + 1 for array in model.probes.expected))
    wrong = replace(model, probes=probes, vmfb_sha256="another")
    with pytest.raises(CompileError, match=r"on the chip \(spike, VLEN 512"):
        session.load_model(wrong)
    assert session.model is None
    session.load_model(model)


def test_a_model_that_was_not_checked_here_is_not_checked_there(session, model, caplog):
    caplog.set_level(logging.INFO, "springbok.session")
    session.load_model(compile_model(model.source, output_dir=model.vmfb.parents[1]))
    assert not caplog.messages


def test_a_firmware_of_2023_is_not_asked(session, model, caplog):
    caplog.set_level(logging.INFO, "springbok.session")
    session.connect(extension=False)
    try:
        if session._chip is None:
            session.load_model(replace(model, vmfb_sha256="never seen"))
            assert "not checked on the chip" in caplog.text
    finally:
        session.connect()


def test_what_to_do_about_a_wrong_module_names_what_the_optimizer_did_by_layers():
    changes = [Change("offsets", "conv_1 tensor<8xf32>", True, ""), Change("pads", "conv_1 tensor<8xf32>", True, "")]
    changes += [Change("pads", "conv_2 tensor<8xf32>", False, "too small"), Change("pads", "pool", True, "")]
    plan = optimizer.plan_for("standard", vectors=True, vlen=512)
    assert optimizer.suspicion(plan, changes).endswith("The optimizer changed conv_1 (offsets, pads), pool (pads).")
    many = [Change("pads", f"layer_{number}", True, "") for number in range(9)]
    assert "layer_5 (pads) and 3 more layers." in optimizer.suspicion(plan, many)
    stock = optimizer.plan_for("none", vectors=True, vlen=512)
    assert "optimize=none)" in optimizer.suspicion(stock, [])
