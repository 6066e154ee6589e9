# SPDX-License-Identifier: Apache-2.0
"""Quantise models to int8 by TensorFlow Lite's quantiser: python models/quantise.py [NAME…]

NAME.keras or NAME.h5 becomes NAME_int8.tflite: batch 1, int8 inputs and outputs. The ranges of the values come from
the first 100 training samples of the model's data set, or from made-up inputs where there is none.
"""

import sys

import numpy as np

import networks
import training
from springbok.compiler.quantise_worker import quantise
from springbok.data import datasets

DATA = {
    "gestures": "basic_motions",
    "magic_wand": "magic_wand",
    "resnet8": "mnist_colour",
    "gru": "watch",
    "ds_cnn": None,
    "autoencoder": None,
    "mobilenet_vww": None,
    "resnet8_large": None,
    "wake_word": "wake_word",
}
SAMPLES = 100


def representative_inputs(name: str) -> np.ndarray:
    """Return what the ranges are taken from, samples first."""
    if DATA[name] is None:
        return networks.made_up_inputs(name, SAMPLES)
    return datasets.load(DATA[name], "train").inputs[:SAMPLES]


if __name__ == "__main__":
    for name in sys.argv[1:] or DATA:
        files = (training.FOLDER / f"{name}.h5", training.FOLDER / f"{name}.keras")
        model = next(path for path in files if path.exists())
        target = training.FOLDER / f"{name}_int8.tflite"
        target.write_bytes(quantise(model, representative_inputs(name), integer_ends=True))
        training.report_file(target)
