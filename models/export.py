# SPDX-License-Identifier: Apache-2.0
"""Train a small network on eight people's exercises and write it in several formats: python models/export.py

models/conv1d is a SavedModel, conv1d.tflite the same for TensorFlow Lite, conv1d_int8.mlirbc quantised and as TOSA.
"""

import shutil
import tempfile
from pathlib import Path

import tensorflow as tf
import tosa_converter_for_tflite as tosa

import networks
import training  # makes springbok importable
from quantise import quantise
from springbok.data import datasets

train, test = datasets.load("watch", "train"), datasets.load("watch", "test")
training.make_reproducible(1)
trained = networks.build("conv1d")
training.fit(trained, train.inputs[..., 0], train.labels, epochs=30, batch=32)
model = networks.build("conv1d", batch=1)
model.set_weights(trained.get_weights())
for dataset in (train, test):
    training.report_accuracy(trained, dataset)

folder = training.FOLDER / "conv1d"
shutil.rmtree(folder, ignore_errors=True)
model.export(folder, verbose=False)
(folder / "fingerprint.pb").unlink(missing_ok=True)  # of no use, and another each time

converter = tf.lite.TFLiteConverter.from_keras_model(model)
(training.FOLDER / "conv1d.tflite").write_bytes(converter.convert())
training.report_file(training.FOLDER / "conv1d.tflite")

with tempfile.TemporaryDirectory() as temporary:
    quantised = Path(temporary) / "conv1d.tflite"
    quantised.write_bytes(quantise(trained, train.inputs[:100, ..., 0]))
    tosa.tflite_flatbuffer_to_tosa_mlir(str(quantised), str(training.FOLDER / "conv1d_int8.mlirbc"))
training.report_file(training.FOLDER / "conv1d_int8.mlirbc")
