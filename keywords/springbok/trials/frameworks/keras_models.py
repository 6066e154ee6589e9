# SPDX-License-Identifier: Apache-2.0
"""Small Keras models of every kind of layer, for `springbok.trials.frameworks.writing`."""

from __future__ import annotations

from collections.abc import Callable

# Before Keras: it sets what that reads when it is imported.
import springbok.compiler.importers.worker  # noqa: F401

import keras  # isort: skip
from keras import layers, ops  # isort: skip

#: Functions that build a model each, by their names.
MODELS: dict[str, Callable[[], keras.Model]] = {}


def _model(build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    MODELS[build.__name__] = build
    return build


def _chain(shape: tuple[int, ...], *parts: layers.Layer, dtype: str = "float32") -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype, name="x"), *parts])


# ---- Convolutions


@_model
def conv_same_strided() -> keras.Model:
    return _chain((7, 5, 3), layers.Conv2D(5, 3, 2, "same"), layers.Conv2D(4, (2, 4), padding="same", use_bias=False))


@_model
def conv_dilated() -> keras.Model:
    return _chain((9, 8, 2), layers.Conv2D(3, (3, 2), dilation_rate=(2, 3), padding="same", activation="relu6"))


@_model
def conv_grouped() -> keras.Model:
    return _chain((6, 6, 6), layers.Conv2D(9, 3, groups=3, activation="relu"), layers.Conv2D(4, 1))


@_model
def conv_depthwise() -> keras.Model:
    mobile = (layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=2), layers.BatchNormalization(), layers.ReLU(6.0))
    return _chain((7, 6, 3), *mobile, layers.DepthwiseConv2D((2, 3), padding="same", dilation_rate=2))


@_model
def conv_separable() -> keras.Model:
    return _chain(
        (8, 7, 3), layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2), layers.Activation("silu")
    )


@_model
def conv_transposed() -> keras.Model:
    first = layers.Conv2DTranspose(4, 3, 2, "same", output_padding=1)
    return _chain((4, 5, 3), first, layers.Conv2DTranspose(2, (2, 3), strides=(1, 3), activation="tanh"))


@_model
def conv_along_one_axis() -> keras.Model:
    causal = layers.Conv1D(6, 3, padding="causal", dilation_rate=2)
    return _chain((12, 3), causal, layers.SeparableConv1D(4, 4, 2, "same"), layers.Conv1DTranspose(3, 4, 2, "same"))


@_model
def conv_of_a_volume() -> keras.Model:
    return _chain((4, 5, 4, 2), layers.Conv3D(3, (2, 3, 2), padding="same"), layers.MaxPooling3D(2))


@_model
def conv_channels_first() -> keras.Model:
    return _chain((3, 6, 5), layers.Conv2D(4, 3, data_format="channels_first"))


# ---- Normalisation


@_model
def batch_normalization_alone() -> keras.Model:
    x = keras.Input((5, 4, 3), name="x")
    y = layers.BatchNormalization(scale=False)(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(x, layers.Add()([y, layers.BatchNormalization(center=False, axis=1)(x)]))


@_model
def other_normalizations() -> keras.Model:
    parts = (
        layers.LayerNormalization(),
        layers.GroupNormalization(2),
        layers.UnitNormalization(),
        layers.RMSNormalization(),
    )
    return _chain((4, 6), *parts)


@_model
def scaled_images() -> keras.Model:
    known = layers.Normalization(mean=[0.3, 0.4, 0.5], variance=[0.04, 0.05, 0.06])
    parts = (layers.Rescaling(1 / 127.5, offset=-1), known, layers.Conv2D(4, 3, 2), layers.GlobalAveragePooling2D())
    return _chain((8, 8, 3), *parts, layers.Dense(3, activation="softmax"))


@_model
def images_of_bytes() -> keras.Model:
    return _chain((6, 5, 1), layers.Rescaling(1 / 255), layers.Conv2D(3, 3), layers.Flatten(), dtype="uint8")


# ---- Windows and shapes


@_model
def poolings() -> keras.Model:
    x = keras.Input((7, 5, 3), name="x")
    average = layers.AveragePooling2D(3, 2, "same")(x)
    largest = layers.MaxPooling2D((2, 3), (2, 2), "same")(x)
    joined = layers.Concatenate()([average, largest])
    return keras.Model(x, [layers.GlobalMaxPooling2D(keepdims=True)(joined), layers.GlobalAveragePooling2D()(joined)])


@_model
def poolings_along_one_axis() -> keras.Model:
    return _chain(
        (11, 4), layers.AveragePooling1D(3, 2), layers.MaxPooling1D(2, 1, "same"), layers.GlobalAveragePooling1D()
    )


@_model
def borders() -> keras.Model:
    parts = (layers.ZeroPadding2D(((1, 0), (0, 2))), layers.Conv2D(3, 2), layers.Cropping2D(((0, 1), (1, 0))))
    return _chain((5, 6, 2), *parts)


@_model
def larger_images() -> keras.Model:
    x = keras.Input((4, 3, 2), name="x")
    doubled = layers.UpSampling2D(2, interpolation="bilinear")(x)
    nearest = layers.UpSampling2D((2, 2))(x)
    return keras.Model(x, layers.Subtract()([doubled, nearest]))


@_model
def resized() -> keras.Model:
    x = keras.Input((6, 5, 2), name="x")
    smaller = layers.Resizing(4, 7)(x)
    return keras.Model(x, [smaller, layers.Resizing(4, 7, interpolation="nearest")(x), layers.CenterCrop(4, 4)(x)])


@_model
def other_shapes() -> keras.Model:
    parts = (layers.Permute((3, 1, 2)), layers.Reshape((6, -1)), layers.Flatten(), layers.RepeatVector(3))
    return _chain((4, 2, 3), *parts, layers.TimeDistributed(layers.Dense(4)))


# ---- Recurrence and attention


@_model
def gru() -> keras.Model:
    return _chain((6, 3), layers.GRU(5, return_sequences=True), layers.GRU(4, reset_after=False, go_backwards=True))


@_model
def lstm() -> keras.Model:
    x = keras.Input((5, 3), name="x")
    sequence, state, cell = layers.LSTM(4, return_sequences=True, return_state=True)(x)
    return keras.Model(x, {"sequence": sequence, "state": state, "cell": cell})


@_model
def bidirectional() -> keras.Model:
    first = layers.Bidirectional(layers.LSTM(3, return_sequences=True))
    return _chain((5, 4), first, layers.Bidirectional(layers.GRU(4), merge_mode="mul"), layers.Dense(2))


@_model
def other_recurrences() -> keras.Model:
    cells = layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(4)]), return_sequences=True)
    return _chain((4, 3), layers.Masking(), cells, layers.SimpleRNN(3, activation="relu"))


@_model
def recurrent_convolution() -> keras.Model:
    return _chain((3, 6, 2), layers.ConvLSTM1D(3, 3, padding="same"))


@_model
def self_attention() -> keras.Model:
    x = keras.Input((5, 8), name="x")
    heads = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    y = layers.LayerNormalization()(layers.Add()([x, heads]))
    return keras.Model(x, layers.Add()([y, layers.Dense(8)(layers.Dense(16, activation="gelu")(y))]))


@_model
def cross_attention() -> keras.Model:
    query, value = keras.Input((3, 6), name="query"), keras.Input((5, 6), name="value")
    answer, scores = layers.MultiHeadAttention(3, 2, value_dim=4)(query, value, return_attention_scores=True)
    return keras.Model([query, value], [answer, scores])


@_model
def other_attentions() -> keras.Model:
    query, value = keras.Input((3, 4), name="query"), keras.Input((5, 4), name="value")
    additive = layers.AdditiveAttention()([query, value])
    dots = layers.Attention(use_scale=True)([query, value])
    return keras.Model({"q": query, "v": value}, layers.Average()([additive, dots]))


@_model
def grouped_attention() -> keras.Model:
    x = keras.Input((4, 8), name="x")
    return keras.Model(x, layers.GroupQueryAttention(4, 4, 2)(x, x))


# ---- Functions of elements, and several tensors


@_model
def activations() -> keras.Model:
    names = ("elu", "selu", "softplus", "softsign", "silu", "gelu", "hard_sigmoid", "hard_silu", "mish", "exponential")
    x = keras.Input((3, 8), name="x")
    return keras.Model(x, layers.Concatenate()([layers.Activation(name)(x) for name in names]))


@_model
def rectifiers() -> keras.Model:
    x = keras.Input((4, 6), name="x")
    parts = (layers.PReLU(), layers.LeakyReLU(0.3), layers.ELU(0.7), layers.ReLU(4.0, 0.1, 0.5), layers.Softmax(axis=1))
    return keras.Model(x, layers.Concatenate()([part(x) for part in parts]))


@_model
def merges() -> keras.Model:
    one, other = keras.Input((4, 3), name="one"), keras.Input((4, 3), name="other")
    parts = (layers.Add(), layers.Subtract(), layers.Multiply(), layers.Average(), layers.Maximum(), layers.Minimum())
    dots = layers.Dot(axes=1, normalize=True)([one, other])
    return keras.Model([one, other], [layers.Concatenate(axis=1)([part([one, other]) for part in parts]), dots])


@_model
def operations() -> keras.Model:
    x = keras.Input((4, 6), name="x")
    order = ops.sort(x, axis=-1), ops.argmax(x, axis=1), ops.cumsum(x, axis=1), ops.top_k(x, 2)[0]
    return keras.Model(x, [*order, ops.erf(x), ops.logsumexp(x, axis=-1), x > 0, ops.einsum("bij,bkj->bik", x, x)])


@_model
def words() -> keras.Model:
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    embedded = layers.Embedding(20, 4, mask_zero=True)(tokens)
    return keras.Model(tokens, layers.Dense(3)(layers.LSTM(5)(embedded)))


@_model
def categories() -> keras.Model:
    kinds, ages = keras.Input((1,), dtype="int32", name="kinds"), keras.Input((1,), name="ages")
    hot = layers.CategoryEncoding(5, output_mode="one_hot")(kinds)
    bins = layers.CategoryEncoding(4, output_mode="one_hot")(layers.Discretization([-1.0, 0.0, 1.0])(ages))
    return keras.Model({"kinds": kinds, "ages": ages}, layers.Dense(2)(layers.Concatenate()([hot, bins])))


@_model
def looked_up() -> keras.Model:
    numbers = keras.Input((2,), dtype="int64", name="numbers")
    return keras.Model(numbers, layers.IntegerLookup(vocabulary=[3, 5, 8], output_mode="multi_hot")(numbers))


@_model
def dictionaries() -> keras.Model:
    wide, deep = keras.Input((6,), name="wide"), keras.Input((5, 5, 2), name="deep")
    features = layers.Flatten()(layers.Conv2D(3, 2, padding="same")(deep))
    joined = layers.Concatenate()([wide, features])
    outputs = {"score": layers.Dense(1, activation="sigmoid")(joined), "class": layers.Dense(4)(joined)}
    return keras.Model({"wide": wide, "deep": {"image": deep}}, outputs)


@_model
def shared_layers() -> keras.Model:
    inner = _chain((6,), layers.Dense(5, activation="relu"), layers.Dense(3))
    one, other = keras.Input((6,), name="one"), keras.Input((6,), name="other")
    return keras.Model([one, other], [layers.Dot(1)([inner(one), inner(other)]), inner(one)])


@_model
def only_for_training() -> keras.Model:
    parts = (
        layers.Dropout(0.5),
        layers.GaussianNoise(1.0),
        layers.SpatialDropout1D(0.5),
        layers.ActivityRegularization(),
    )
    return _chain((4, 5), *parts, layers.SpectralNormalization(layers.Dense(3)))


@_model
def random_images() -> keras.Model:
    return _chain((6, 6, 3), layers.RandomFlip(), layers.RandomRotation(0.2), layers.Conv2D(2, 3))


@_model
def products_by_names() -> keras.Model:
    return _chain((4, 6), layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"))


@_model
def half_precision() -> keras.Model:
    narrow = {"dtype": "mixed_float16"}
    return _chain(
        (6, 6, 2), layers.Conv2D(4, 3, **narrow), layers.BatchNormalization(**narrow), layers.Flatten(**narrow)
    )


@_model
def double_precision() -> keras.Model:
    return _chain((6,), layers.Dense(4, activation="tanh", dtype="float64"), dtype="float64")


@_model
def open_length() -> keras.Model:
    return _chain((None, 3), layers.Conv1D(4, 3), layers.GlobalMaxPooling1D(), layers.Dense(2))
