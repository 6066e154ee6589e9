# SPDX-License-Identifier: Apache-2.0
"""The networks of the overhead benchmark, with seeded weights: ``python -m springbok.benchmark_models NAME FILE``.

They have the shapes of MLPerf Tiny's keyword spotting (DS-CNN), image classification (ResNet-8) and anomaly detection
(autoencoder), of TensorFlow's Magic Wand, and of a small one-dimensional CNN. Untrained, because what is measured
does not depend on the weights. ``FILE`` ends in ``.keras`` (f32) or ``.mlirbc`` (int8, by way of TFLite and TOSA).

A process of its own, as `springbok.keras_worker` is, and for the same reasons.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

import numpy as np

from springbok.errors import CompileError

TOSA_PACKAGE = "tosa-converter-for-tflite"
TOSA_VERSION = "2026.2.0"
SEED = 7


def has_tosa_converter() -> bool:
    """Whether int8 models can be made here."""
    return importlib.util.find_spec(TOSA_PACKAGE.replace("-", "_")) is not None


def _magic_wand(layers, image):
    x = layers.Conv2D(8, (4, 3), padding="same", activation="relu")(image)
    x = layers.MaxPool2D((3, 3))(x)
    x = layers.Conv2D(16, (4, 1), padding="same", activation="relu")(x)
    x = layers.MaxPool2D((3, 1), padding="same")(x)
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    return layers.Dense(4, activation="softmax")(x)


def _conv1d(layers, series):
    x = layers.Conv1D(16, 5, activation="relu")(series)
    x = layers.Conv1D(32, 3, activation="relu")(layers.MaxPool1D(3)(x))
    return layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling1D()(x))


def _normalised(layers, x, active: bool = True):
    x = layers.BatchNormalization()(x)
    return layers.Activation("relu")(x) if active else x


def _autoencoder(layers, x):
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = _normalised(layers, layers.Dense(units)(x))
    return layers.Dense(640)(x)


def _ds_cnn(layers, image):
    x = _normalised(layers, layers.Conv2D(64, (10, 4), strides=(2, 2), padding="same")(image))
    for _ in range(4):
        x = _normalised(layers, layers.DepthwiseConv2D((3, 3), padding="same")(x))
        x = _normalised(layers, layers.Conv2D(64, (1, 1), padding="same")(x))
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return layers.Dense(12, activation="softmax")(x)


def _resnet8(layers, image):
    x = _normalised(layers, layers.Conv2D(16, 3, padding="same")(image))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = _normalised(layers, layers.Conv2D(filters, 3, strides=stride, padding="same")(x))
        y = _normalised(layers, layers.Conv2D(filters, 3, padding="same")(y), active=False)
        if stride != 1:
            x = layers.Conv2D(filters, 1, strides=stride, padding="same")(x)
        x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return layers.Dense(10, activation="softmax")(x)


NETWORKS = {
    "magic_wand": ((128, 3, 1), _magic_wand),
    "conv1d": ((128, 3), _conv1d),
    "autoencoder": ((640,), _autoencoder),
    "ds_cnn": ((49, 10, 1), _ds_cnn),
    "resnet8": ((32, 32, 3), _resnet8),
}


def build(name: str):
    """The network as a Keras model with batch 1; its normalisations have statistics that are not trivial."""
    from springbok import keras_worker  # noqa: F401 - sets TensorFlow's environment before it is imported

    import keras  # isort: skip

    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng(SEED)
    shape, body = NETWORKS[name]
    given = keras.Input(shape, batch_size=1)
    model = keras.Model(given, body(keras.layers, given))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            scale, shift, mean, variance = layer.get_weights()
            noise = [0.1 * random.standard_normal(array.shape) for array in (scale, shift, mean)]
            spread = 0.2 * random.random(variance.shape)
            layer.set_weights([scale + noise[0], shift + noise[1], mean + noise[2], variance + spread])
    return model


def save(name: str, path: Path) -> None:
    """Writes the network to ``path``: as a Keras model, or quantised to int8 as TOSA."""
    model = build(name)
    if path.suffix == ".keras":
        model.save(path)
        return
    if not has_tosa_converter():
        raise CompileError(
            f"int8 models need the Python package '{TOSA_PACKAGE}'. "
            f"Install it with: python -m pip install --no-deps {TOSA_PACKAGE}=={TOSA_VERSION}"
        )
    import tensorflow as tf
    import tosa_converter_for_tflite as tosa

    random = np.random.default_rng(SEED)
    shape = (1, *NETWORKS[name][0])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([random.standard_normal(shape).astype(np.float32)] for _ in range(20))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with tempfile.TemporaryDirectory() as folder:
        tflite = Path(folder) / f"{name}.tflite"
        tflite.write_bytes(converter.convert())
        tosa.tflite_flatbuffer_to_tosa_mlir(str(tflite), str(path))


if __name__ == "__main__":
    save(sys.argv[1], Path(sys.argv[2]))
