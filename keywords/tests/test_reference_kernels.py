# SPDX-License-Identifier: Apache-2.0
"""int8 models compute on the chip what TensorFlow Lite Micro's reference kernels do, to the bit.

TensorFlow Lite itself differs from these by a step now and then; robot/models.robot says why and by how much.
"""

import numpy as np
import pytest

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.session import Session
from springbok.support.places import MODELS
from springbok.tensors import probe_inputs

VLEN = 512


@pytest.fixture(scope="module")
def chip():
    session = Session()
    session.boot("spike", vlen=VLEN, count_opcodes=False)
    yield session
    session.shut_down()


@pytest.mark.parametrize("name", ["gestures", "autoencoder", "gru"])
def test_int8_model(chip, name):
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    path = MODELS / f"{name}_int8.tflite"
    model = compile_model(path, Target.of("vector", VLEN))  # the one of robot/models.robot
    chip.load_model(model)
    interpreter = runtime.Interpreter.from_file(str(path))
    for sample in probe_inputs(model.inputs, samples=6)[0]:
        interpreter.set_input(sample, 0)
        interpreter.invoke()
        np.testing.assert_array_equal(chip.infer(sample, raw=True)[0], interpreter.get_output(0))
