# SPDX-License-Identifier: Apache-2.0
"""The networks that have no training script of their own, one function each: from the input to the output tensor.

They have the shapes of MLPerf Tiny's keyword spotting (DS-CNN), image classification (ResNet-8, and the larger one of
v1.4), anomaly detection (autoencoder), visual wake words (MobileNet, a quarter of the filters) and streaming wake word
(DS-CNN in one dimension); and of two small networks for motions.
"""

from __future__ import annotations

import training  # noqa: F401 - sets what Keras reads when it is imported, so it comes first; isort: skip
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

SEED = 7


def _normalised(x, name: str, active: bool = True):
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x) if active else x


def ds_cnn(image):
    """Keyword spotting: 49 frames of 10 MFCCs to 12 words."""
    x = _normalised(layers.Conv2D(64, (10, 4), strides=(2, 2), padding="same", name="conv")(image), "conv")
    for number in range(1, 5):
        x = layers.DepthwiseConv2D((3, 3), padding="same", name=f"depthwise_{number}")(x)
        x = _normalised(x, f"depthwise_{number}")
        x = _normalised(layers.Conv2D(64, (1, 1), name=f"pointwise_{number}")(x), f"pointwise_{number}")
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D((25, 5), name="pool")(x))
    return layers.Dense(12, activation="softmax", name="dense")(x)


def resnet8(image, first=16):
    """Image classification: 32x32 pixels in three colours, from 0 to 255, to 10 classes."""
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = _normalised(layers.Conv2D(first, 3, padding="same", name="conv")(x), "conv")
    for number, (filters, stride) in enumerate(((first, 1), (2 * first, 2), (4 * first, 2)), start=1):
        name = f"block_{number}"
        y = layers.Conv2D(filters, 3, strides=stride, padding="same", name=f"{name}_conv_1")(x)
        y = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv_2")(_normalised(y, f"{name}_conv_1"))
        y = _normalised(y, f"{name}_conv_2", active=False)
        if stride != 1:
            x = layers.Conv2D(filters, 1, strides=stride, padding="same", name=f"{name}_shortcut")(x)
        x = layers.Activation("relu", name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(8, name="pool")(x))
    return layers.Dense(10, activation="softmax", name="dense")(x)


def resnet8_large(image):
    """The same with 40, 80 and 160 channels."""
    return resnet8(image, first=40)


def wake_word(features):
    """Streaming wake word: 30 frames of 40 log-mel energies to the word, silence and others."""
    x = features
    for number, (kernel, filters) in enumerate(((3, 128), (5, 128), (10, 128), (15, 32)), start=1):
        x = layers.DepthwiseConv2D((kernel, 1), use_bias=False, name=f"depthwise_{number}")(x)
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"pointwise_{number}")(x)
        x = _normalised(x, f"pointwise_{number}")
    return layers.Dense(3, activation="softmax", name="dense")(layers.Flatten(name="flatten")(x))


def autoencoder(x):
    """Anomaly detection: 5 frames of 128 mel bands, through 8 numbers, back to 5 frames."""
    for number, units in enumerate((128, 128, 128, 128, 8, 128, 128, 128, 128), start=1):
        x = _normalised(layers.Dense(units, name=f"dense_{number}")(x), f"dense_{number}")
    return layers.Dense(640, name="dense_10")(x)


def mobilenet_vww(image):
    """Visual wake words: MobileNet with a quarter of the filters, 96x96 pixels in three colours to 2 classes."""
    x = _normalised(layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(image), "conv")
    blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for number, (filters, stride) in enumerate(blocks, start=1):
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", name=f"depthwise_{number}")(x)
        x = _normalised(x, f"depthwise_{number}")
        x = _normalised(layers.Conv2D(filters, 1, name=f"pointwise_{number}")(x), f"pointwise_{number}")
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(3, name="pool")(x))
    return layers.Dense(2, activation="softmax", name="dense")(x)


def gru(series):
    """Exercises: 128 steps of 6 channels, averaged to 16 steps, to 7 classes."""
    x = layers.AveragePooling1D(8, name="pool")(series)
    # Unrolled, for neither TensorFlow Lite's quantiser nor IREE 3.13 takes the loop that TensorFlow makes of it.
    x = layers.GRU(16, unroll=True, name="gru")(x)
    return layers.Dense(7, activation="softmax", name="dense")(x)


def conv1d(series):
    """Exercises: 128 steps of 6 channels to 7 classes."""
    x = layers.MaxPool1D(3, name="pool")(layers.Conv1D(16, 5, activation="relu", name="conv_1")(series))
    x = layers.GlobalAveragePooling1D(name="mean")(layers.Conv1D(32, 3, activation="relu", name="conv_2")(x))
    return layers.Dense(7, activation="softmax", name="dense")(x)


NETWORKS: dict[str, tuple[tuple[int, ...], Callable]] = {
    "ds_cnn": ((49, 10, 1), ds_cnn),
    "resnet8": ((32, 32, 3), resnet8),
    "resnet8_large": ((32, 32, 3), resnet8_large),
    "autoencoder": ((640,), autoencoder),
    "mobilenet_vww": ((96, 96, 3), mobilenet_vww),
    "wake_word": ((30, 1, 40), wake_word),
    "gru": ((128, 6), gru),
    "conv1d": ((128, 6), conv1d),
}


def build(name: str, batch: int | None = None) -> keras.Model:
    """The network as a Keras model, with the weights that Keras begins with."""
    shape, body = NETWORKS[name]
    given = keras.Input(shape, batch_size=batch, name="input")
    return keras.Model(given, body(given), name=name)


def made_up_inputs(name: str, samples: int) -> np.ndarray:
    """Normally distributed inputs for a network, always the same: float32, (samples, *shape)."""
    return np.random.default_rng(SEED).standard_normal((samples, *NETWORKS[name][0])).astype(np.float32)


def settle(model: keras.Model, inputs: np.ndarray) -> None:
    """Gives an untrained network weights with which its layers' values neither vanish nor explode.

    Scale and shift of the normalisations are made up; mean and variance are those of ``inputs``, as in training.
    """
    random = np.random.default_rng(SEED)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for layer in norms:
        scale, shift, mean, variance = layer.get_weights()
        noise = [0.1 * random.standard_normal(array.shape) for array in (scale, shift)]
        layer.set_weights([scale + noise[0], shift + noise[1], mean, variance])
        layer.momentum, before = 0.0, layer.momentum
    model(inputs, training=True)
    for layer in norms:
        layer.momentum = before
