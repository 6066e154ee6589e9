# SPDX-License-Identifier: Apache-2.0
"""Functions of a TensorFlow model's weights alone: a module holds the nearest number, on any processor."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

SCRIPT = """
import json
from pathlib import Path
import numpy as np
import tensorflow as tf
from springbok.compiler.importers.worker_tensorflow import stablehlo

weights = tf.Variable(np.load("weights.npy"))
spec = [tf.TensorSpec(weights.shape, tf.float32)]
functions = {
    "Exp": tf.exp, "Expm1": tf.math.expm1, "Log": tf.math.log, "Log1p": tf.math.log1p, "Tanh": tf.tanh,
    "Reciprocal": tf.math.reciprocal, "Rsqrt": tf.math.rsqrt, "Sigmoid": tf.sigmoid, "Softplus": tf.math.softplus,
}
texts = {
    name: stablehlo(tf.function(lambda x: x * function(weights + 1e-3)).get_concrete_function(*spec), spec)
    for name, function in functions.items()
}
texts["of an input"] = stablehlo(tf.function(lambda x: weights * tf.math.rsqrt(x)).get_concrete_function(*spec), spec)
Path("texts.json").write_text(json.dumps(texts))
"""
WEIGHTS = np.random.default_rng(7).uniform(0.01, 4, 500).astype(np.float32)
NUMBERS = (WEIGHTS + np.float32(1e-3)).astype(np.longdouble)
NEAREST = {
    "Exp": np.exp(NUMBERS),
    "Expm1": np.expm1(NUMBERS),
    "Log": np.log(NUMBERS),
    "Log1p": np.log1p(NUMBERS),
    "Reciprocal": 1 / NUMBERS,
    "Rsqrt": 1 / np.sqrt(NUMBERS),
    "Sigmoid": 1 / (1 + np.exp(-NUMBERS)),
    "Softplus": np.log1p(np.exp(NUMBERS)),
    "Tanh": np.tanh(NUMBERS),
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory, framework_server):
    folder = tmp_path_factory.mktemp("constants")
    np.save(folder / "weights.npy", WEIGHTS)
    framework_server.run_script(SCRIPT, folder)
    return json.loads((folder / "texts.json").read_text())


def constants(text: str) -> list[np.ndarray]:
    return [np.frombuffer(bytes.fromhex(found), np.float32) for found in re.findall(r'dense<"0x(\w+)">', text)]


@pytest.mark.parametrize("name", NEAREST)
def test_a_function_of_weights_is_the_nearest_number(texts, name):
    (folded,) = constants(texts[name])
    assert folded.tolist() == NEAREST[name].astype(np.float32).tolist()


def test_a_function_of_an_input_stays(texts):
    assert "stablehlo.rsqrt" in texts["of an input"]
    (weights,) = constants(texts["of an input"])
    assert weights.tolist() == WEIGHTS.tolist()
