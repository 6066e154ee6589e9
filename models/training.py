# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: T201 (the scripts report by printing)
"""What the training scripts share: the network, reproducible training, and the report at its end."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "keywords"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import h5py
import keras
import numpy as np
import tensorflow as tf

from springbok.data.dataset import Dataset
from springbok.support.progress import is_watched

FOLDER = Path(__file__).resolve().parent
NEWER_OPTIONS = ("input_axes", "output_axes", "quantization_config")


def make_reproducible(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow and allow deterministic operations only. Call it before building."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def gesture_network(steps: int, channels: int, classes: int, scale: float, name: str) -> keras.Sequential:
    """Return the Magic Wand network for inputs (steps, channels, 1) in the sensor's units.

    Two convolutions with pooling, two dense layers, a softmax. ``scale`` brings the sensor's units near 1
    inside the model, so that the device is sent what the sensor gives.
    """
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((steps, channels, 1), name="motion"),
            layers.Rescaling(scale, name="rescale"),
            layers.Conv2D(8, (4, 3), padding="same", activation="relu", name="conv_1"),
            layers.MaxPooling2D((3, 3), name="pool_1"),
            layers.Dropout(0.1, name="dropout_1"),
            layers.Conv2D(16, (4, 1), padding="same", activation="relu", name="conv_2"),
            layers.MaxPooling2D((3, 1), padding="same", name="pool_2"),
            layers.Dropout(0.1, name="dropout_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(16, activation="relu", name="dense_1"),
            layers.Dropout(0.1, name="dropout_3"),
            layers.Dense(classes, activation="softmax", name="dense_2"),
        ],
        name=name,
    )


def fit(model: keras.Model, inputs: np.ndarray, labels: np.ndarray, *, epochs: int, batch: int) -> None:
    """Train with Adam, its rate falling to zero along a cosine. Shuffled the same way each time."""
    steps = epochs * -(-len(inputs) // batch)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(inputs, labels, epochs=epochs, batch_size=batch, verbose=int(is_watched()))


def save(model: keras.Model, path: Path) -> None:
    """Write the model without the optimizer's state: the same model gives the same file, whenever it is saved.

    ``path`` ends in ``.h5`` or ``.keras``. Options, all unset, that Keras 3.15 writes and Keras 3.12, the last for
    Python 3.10, refuses to read are dropped.
    """
    plain = keras.models.clone_model(model)  # has no optimizer
    plain.set_weights(model.get_weights())
    plain.save(path)
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = json.dumps(_without_newer_options(json.loads(file.attrs["model_config"])))
        return
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = _without_newer_options(json.loads(files["config.json"]))
    files["config.json"] = json.dumps(config).encode()
    metadata = json.loads(files["metadata.json"]) | {"date_saved": "2026-01-01@00:00:00"}
    files["metadata.json"] = json.dumps(metadata).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def _without_newer_options(part: object) -> object:
    if isinstance(part, dict):
        unset = {key for key in NEWER_OPTIONS if part.get(key, ...) is None}
        return {key: _without_newer_options(value) for key, value in part.items() if key not in unset}
    return [_without_newer_options(value) for value in part] if isinstance(part, list) else part


def report(path: Path, *splits: Dataset) -> None:
    """Read a saved model back, and print what it scores on each split, its size and its sha256."""
    saved = keras.models.load_model(path, compile=False)
    print(f"{path.name}: {saved.count_params()} parameters")
    for dataset in splits:
        report_accuracy(saved, dataset)
    report_file(path)


def report_accuracy(model: keras.Model, dataset: Dataset) -> None:
    """Print what the model scores."""
    inputs = dataset.inputs.reshape(len(dataset), *model.inputs[0].shape[1:])
    right = int((model.predict(inputs, verbose=0).argmax(axis=1) == dataset.labels).sum())
    print(f"{dataset.name}: {right} of {len(dataset)} right, accuracy {right / len(dataset):.4f}")


def report_file(path: Path) -> None:
    """Print a file's size and sha256."""
    content = path.read_bytes()
    print(f"{path.name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
