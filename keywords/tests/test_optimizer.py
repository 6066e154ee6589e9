# SPDX-License-Identifier: Apache-2.0
"""The optimizer: every transformation by itself leaves the answers as they are, to the bit for 8-bit models."""

import numpy as np
import pytest

from springbok.compiler import iree, optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.host_check import host_flags
from springbok.modules.vmfb import read_vmfb
from springbok.support.errors import CompileError
from springbok.support.places import MODELS
from springbok.trials.optimizer_benchmark import made_up_inputs

SAMPLES = 6
CONSTANTS, *OTHERS = optimizer.TRANSFORMATIONS
ALL = (optimizer.TRANSFORMATIONS,)
ALONE = ((CONSTANTS,), *((CONSTANTS, name) for name in OTHERS))


def answers_of(file, folder):
    """A function that tells what a model answers on this machine with transformations, and what they changed."""
    model = compile_model(MODELS / file, Target.of("vector", 512))
    flags, inputs = host_flags(model.flags), made_up_inputs(model.inputs, SAMPLES)
    half, known = folder / "half.mlirbc", {}
    iree.first_half(model.mlir, flags, half, "model")

    def run(source, flags):
        module = folder / "module.vmfb"
        iree.compile_module(source, flags, module)
        declared = read_vmfb(module.read_bytes(), "model", with_kernels=False)
        return iree.run_samples(module, declared, inputs, inline=True)

    def of(transformations):
        if not transformations:
            return run(model.mlir, flags), []
        rewritten = folder / "rewritten.mlirbc"
        changes = optimizer.rewrite(half, rewritten, transformations, for_host=True)
        content = rewritten.read_bytes()
        if content not in known:  # sets that change the same are compiled once
            known[content] = run(rewritten, [*flags, iree.SECOND_HALF])
        return known[content], changes

    return of


@pytest.mark.parametrize(
    ("file", "sets"),
    [("gestures_int8.tflite", ALONE + ALL), ("gestures.h5", ALONE + ALL), ("ds_cnn_int8.tflite", ALL)],
)
def test_no_transformation_changes_an_answer(file, sets, tmp_path):
    """Those of the larger model together; ``./bench trial equality`` tries all of all models."""
    answers = answers_of(file, tmp_path)
    stock, _ = answers(())
    for transformations in sets:
        optimised, changes = answers(transformations)
        for one, other in zip(map(np.asarray, stock), map(np.asarray, optimised), strict=True):
            if np.issubdtype(one.dtype, np.integer):
                assert np.array_equal(one, other), transformations
            else:
                np.testing.assert_allclose(other, one, rtol=0, atol=1e-6, err_msg=str(transformations))
        assert {change.transformation for change in changes} <= set(transformations)


def test_an_int8_model_is_requantised_in_32_bits_where_that_is_exact():
    model = compile_model(MODELS / "gestures_int8.tflite", Target.of("vector", 512))
    own = [change for change in model.changes if change.transformation == "requantisation"]
    assert sum(change.applied for change in own) >= 3
    assert all(change.detail for change in own)


def test_code_without_vectors_has_sets_of_flags_of_its_own():
    assert optimizer.plan_for("standard", vectors=False, vlen=512).flags == ()
    plan = optimizer.plan_for("standard", vectors=False, vlen=512, flag_set="scalar unrolled")
    assert (plan.flags, plan.vlen) == ((("--iree-llvmcpu-loop-unrolling", "true"),), None)


def test_the_reference_without_vectors_has_the_flags_that_were_counted_for_it():
    model = compile_model(MODELS / "gestures.h5", Target.of("scalar"))
    choice = model.plan.choice
    assert (choice.flag_set, choice.origin) == ("scalar unrolled", "recorded")
    assert min(each.instructions for each in choice.candidates) == choice.candidates[1].instructions


def test_switches_and_levels():
    plan = optimizer.plan_for("standard", vectors=True, vlen=256)
    assert dict(plan.flags)["--iree-llvmcpu-vscale-range"] == "4,4"
    assert plan.without("offsets").transformations == tuple(t for t in plan.transformations if t != "offsets")
    assert optimizer.plan_for("none", vectors=True, vlen=512).transformations == ()
    with pytest.raises(CompileError, match=r"no optimization level 'best'. Known are: none, standard, search"):
        optimizer.plan_for("best", vectors=True, vlen=512)
    with pytest.raises(CompileError, match="no transformation 'magic'"):
        plan.without("magic")
    with pytest.raises(CompileError, match="Without 'constants' no other transformation is possible"):
        plan.without("constants")
