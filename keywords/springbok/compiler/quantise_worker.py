# SPDX-License-Identifier: Apache-2.0
"""Quantises a Keras model to int8, in a process of its own, whose arguments are MODEL, NPZ and OUTPUT.

TensorFlow Lite's quantiser takes the ranges of the values from the arrays in NPZ, one an input in the model's order
(samples first). Inputs and outputs of the model stay float32, everything inside is int8. OUTPUT is a ``.tflite`` file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def quantise(model: Path, *inputs: np.ndarray, integer_ends: bool = False) -> bytes:
    """Return the Keras model as a .tflite; with ``integer_ends`` its inputs and outputs are int8 too.

    ``inputs`` are what the ranges of the values are taken from: one array an input, samples first.
    """
    from springbok.compiler.importers import worker  # noqa: F401 - sets TensorFlow's environment before it is imported

    import keras  # isort: skip
    import tensorflow as tf

    loaded = keras.models.load_model(model, compile=False)
    # One input is called so in all models of this project; several keep their names, by which data find them.
    names = ["input"] if len(loaded.inputs) == 1 else [tensor.name for tensor in loaded.inputs]
    given = [
        keras.Input(tensor.shape[1:], batch_size=1, name=name, dtype=tensor.dtype)
        for tensor, name in zip(loaded.inputs, names, strict=True)
    ]
    ends = given[0] if len(given) == 1 else given
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(ends, loaded(ends)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [sample.reshape(tensor.shape) for sample, tensor in zip(samples, given, strict=True)]
        for samples in zip(*inputs, strict=True)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if integer_ends:
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


if __name__ == "__main__":
    with np.load(sys.argv[2]) as arrays:
        inputs = [arrays[f"arr_{number}"] for number in range(len(arrays))]
    Path(sys.argv[3]).write_bytes(quantise(Path(sys.argv[1]), *inputs))
