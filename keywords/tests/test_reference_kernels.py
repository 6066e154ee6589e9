# SPDX-License-Identifier: Apache-2.0
"""int8 models compute what TensorFlow Lite Micro's reference kernels do, to the bit.

TensorFlow Lite itself differs from these by a step now and then; robot/models.robot says why and by how much.
"""

import numpy as np
import pytest

from springbok.compiler import compiler, host_check, importers, iree
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.modules.vmfb import read_vmfb
from springbok.support.cache import Cache
from springbok.support.places import MODELS
from springbok.tensors import probe_inputs


@pytest.mark.parametrize("name", ["gestures", "autoencoder", "gru"])
def test_int8_model(name, tmp_path):
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    path = MODELS / f"{name}_int8.tflite"
    imported = importers.import_model(path, Cache(compiler.DEFAULT_OUTPUT_DIR))
    inputs = probe_inputs(imported.inputs, samples=6)
    flags, _ = compiler_flags(Target())
    module = tmp_path / "host.vmfb"
    iree.compile_module(imported.mlir, host_check.host_flags(flags), module)
    (answers,) = iree.run_samples(module, read_vmfb(module.read_bytes(), name, with_kernels=False), inputs, inline=True)
    interpreter = runtime.Interpreter.from_file(str(path))
    for sample, answer in zip(inputs[0], answers, strict=True):
        interpreter.set_input(sample, 0)
        interpreter.invoke()
        np.testing.assert_array_equal(answer, interpreter.get_output(0))
