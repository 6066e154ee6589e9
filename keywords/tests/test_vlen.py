# SPDX-License-Identifier: Apache-2.0
"""Code follows the chip's VLEN, and runs on no other."""

import numpy as np
import pytest

from springbok.chips.description import load
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.optimizer import plan_for
from springbok.session import Session
from springbok.support.errors import CompileError, DeviceError
from springbok.support.places import MODELS
from springbok.trials.equality import equality_inputs

WITH_VECTORS = load().vlens
MODEL = MODELS / "conv1d_int8.mlirbc"
#: More elements than the lanes of any of these.
WIDE = "func.func @main(%x: tensor<1x4096xf32>) -> tensor<1x4096xf32> {\n  %y = stablehlo.tanh %x : tensor<1x4096xf32>"
WIDE += "\n  return %y : tensor<1x4096xf32>\n}\n"


def compiled(vlen, level="standard", model=MODEL):
    return compile_model(model, Target.of("vector", vlen), optimize=level)


def test_a_module_runs_on_chips_of_its_own_vlen_alone(tmp_path):
    (tmp_path / "wide.mlir").write_text(WIDE)
    answers, instructions = {}, {}
    session = Session()
    try:
        for chip in (0, *WITH_VECTORS):
            session.boot("spike", vlen=chip, count_opcodes=False)
            for made_for in WITH_VECTORS:
                model = compiled(made_for, model=tmp_path / "wide.mlir")
                if made_for != chip:
                    needed = f"VLEN {made_for}, this chip has {chip}" if chip else f"vectors of {made_for} bits"
                    with pytest.raises(DeviceError, match=f"kernels built (for|with) {needed}") as refused:
                        session.load_model(model)
                    has = f"VLEN {chip}: compile it for that one (vlen={chip})" if chip else "no vectors: "
                    assert f"compiled for VLEN {made_for}, and the chip has {has}" in str(refused.value)
                    assert "zvl" not in str(refused.value)
                    continue
                session.load_model(model)
                inputs = equality_inputs(model.inputs, 2)
                answers[chip] = [session.infer(*sample, raw=True)[0] for sample in zip(*inputs, strict=True)]
                instructions[chip] = session.need_link().profile().inference_instructions
    finally:
        session.shut_down()
    assert set(answers) == set(WITH_VECTORS)
    for chip in WITH_VECTORS:
        np.testing.assert_array_equal(answers[chip], answers[WITH_VECTORS[0]])
    # Longer vectors need fewer instructions: the code knows how long they are.
    counts = [instructions[chip] for chip in WITH_VECTORS]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 0.6 * counts[0]


@pytest.mark.parametrize("level", ["none", "standard"])
@pytest.mark.parametrize("vlen", WITH_VECTORS)
def test_a_module_says_which_vlen_it_is_for(vlen, level):
    assert compiled(vlen, level).vlen_bits == vlen


@pytest.mark.parametrize("vlen", WITH_VECTORS)
def test_a_plan_for_another_vlen_is_refused(vlen):
    plan = plan_for("standard", vectors=True, vlen=vlen)
    assert plan.vlen == vlen
    for other in WITH_VECTORS:
        if other != vlen:
            with pytest.raises(CompileError, match=f"plan is for VLEN {vlen}, but the target has VLEN {other}"):
                compile_model(MODEL, Target.of("vector", other), optimize=plan)
    with pytest.raises(CompileError, match=f"plan is for VLEN {vlen}, but the target has no vectors"):
        compile_model(MODEL, Target.of("scalar"), optimize=plan)
