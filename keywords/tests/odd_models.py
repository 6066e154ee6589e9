# SPDX-License-Identifier: Apache-2.0
"""Writes model files of odd kinds to the working folder, all with one start of TensorFlow."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

import keras
import numpy as np
import tensorflow as tf
from keras import layers

RANDOM = np.random.default_rng(5)


@keras.saving.register_keras_serializable(package="mine")
class Swish2(layers.Layer):
    """A layer that no other program knows."""

    def call(self, x):
        return x * keras.ops.sigmoid(2 * x)


@keras.saving.register_keras_serializable(package="mine")
class Whole(keras.Model):
    """A model that is a class of its own."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


def keras_models() -> None:
    """Keras: what simply works, and what is refused."""
    zeta, alpha = keras.Input((4,), name="zeta"), keras.Input((3,), name="alpha")
    joined = layers.Concatenate()([zeta, alpha])
    outputs = {"sum": layers.Dense(2, name="d")(joined), "also": layers.Dense(1, name="e")(joined)}
    keras.Model({"z": zeta, "a": alpha}, outputs).save("dicts.keras")
    keras.Model([zeta, {"inner": alpha}], (outputs["sum"], [outputs["also"]])).save("nested.keras")
    keras.Model([zeta, alpha], [outputs["sum"], outputs["sum"]]).save("twice.keras")

    dense = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    dense.save("plain.keras")
    dense.save("plain.h5")
    dense.save_weights("only.weights.h5")
    Path("weights.h5").write_bytes(Path("only.weights.h5").read_bytes())
    dense.layers[0].kernel.assign(np.full((8, 3), np.nan, np.float32))
    dense.save("not_numbers.keras")
    Path("shouting.KERAS").write_bytes(Path("plain.keras").read_bytes())
    whole = Path("plain.keras").read_bytes()
    Path("cut.keras").write_bytes(whole[: len(whole) // 2])
    Path("cut.h5").write_bytes(Path("plain.h5").read_bytes()[:3000])
    with zipfile.ZipFile("other_archive.keras", "w") as archive:
        archive.writestr("readme.txt", "nothing")

    keras.Sequential([keras.Input((8,)), Swish2(name="mine"), layers.Dense(2)]).save("custom.keras")
    keras.Sequential([keras.Input((8,)), Swish2(name="mine"), layers.Dense(2)]).save("custom.h5")
    own = Whole()
    own(np.zeros((1, 4), np.float32))
    own.save("own_class.keras")
    keras.Sequential([keras.Input((8,)), layers.Lambda(lambda x: x * 2, name="twice")]).save("lambda.keras")
    keras.Sequential([keras.Input((8,)), layers.Lambda(lambda x: x * 2, name="twice")]).save("lambda.h5")
    keras.Sequential([layers.Dense(6), layers.Dense(3)]).save("unbuilt.keras")
    keras.Sequential([keras.Input((6, 3), batch_size=1), layers.LSTM(4, stateful=True, name="memory")]).save(
        "stateful.keras"
    )
    words = keras.Input((1,), dtype="string", name="words")
    lookup = layers.StringLookup(vocabulary=["a", "b"])(words)
    keras.Model(words, layers.Embedding(4, 2)(lookup)).save("strings.keras")
    image = keras.Input((None, None, 3), name="image")
    mean = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="c")(image))
    keras.Model(image, layers.Dense(2, name="d")(mean)).save("open.keras")
    half = [layers.Dense(16, dtype="mixed_float16"), layers.Dense(3, dtype="float32")]
    keras.Sequential([keras.Input((8,)), *half]).save("mixed16.keras")
    keras.Sequential([keras.Input((8,), dtype="bfloat16"), layers.Activation("relu", dtype="bfloat16")]).save(
        "bf16.keras"
    )
    state = keras.Input((2,))
    keras.Model(state, state).save("nothing_done.keras")


def write(name: str, model: keras.Model | tf.Module, signatures: list | None = None, **options: object) -> None:
    if signatures:
        converter = tf.lite.TFLiteConverter.from_concrete_functions(signatures, model)
    else:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
    for option, value in options.items():
        if option == "ops":
            converter.target_spec.supported_ops = value
        elif option == "types":
            converter.target_spec.supported_types = value
        else:
            setattr(converter, option, value)
    Path(f"{name}.tflite").write_bytes(converter.convert())


def tflite_models() -> None:
    """TensorFlow Lite."""

    keras.utils.set_random_seed(3)
    dense = keras.Sequential([keras.Input((8,)), layers.Dense(6, activation="relu"), layers.Dense(4)])
    soft = keras.Sequential([*dense.layers, layers.Softmax()])
    soft.build((None, 8))
    samples = {"representative_dataset": lambda: ([RANDOM.standard_normal((1, 8)).astype("f4")] for _ in range(20))}
    quantised = {"optimizations": [tf.lite.Optimize.DEFAULT]} | samples
    whole = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    write("plain", dense)
    write("int8_float_io", soft, **quantised)
    write("uint8", soft, ops=whole, inference_input_type=tf.uint8, inference_output_type=tf.uint8, **quantised)
    int16x8 = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    int16_io = {"inference_input_type": tf.int16, "inference_output_type": tf.int16}
    write("int16x8", dense, ops=int16x8, **int16_io, **quantised)
    wide = keras.Sequential([keras.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(4)])
    write("dynamic_range", wide, optimizations=[tf.lite.Optimize.DEFAULT])
    image = keras.Input((4, 4, 3))
    write("dense_of_pixels", keras.Model(image, layers.UpSampling2D()(layers.Dense(5)(image))))
    write("half_weights", wide, optimizations=[tf.lite.Optimize.DEFAULT], types=[tf.float16])

    class Two(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 4])])
        def one(self, x):
            return {"y": x + 1}

        @tf.function(input_signature=[tf.TensorSpec([1, 4])])
        def two(self, x):
            return {"y": x * 3}

        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 2])])
        def image(self, x):
            return {"y": tf.reduce_mean(x, [1, 2])}

        @tf.function(input_signature=[tf.TensorSpec(None)])
        def any_shape(self, x):
            return {"y": x + 1}

        @tf.function(input_signature=[tf.TensorSpec([1, 4])])
        def loop(self, x):
            return {"y": tf.while_loop(lambda y: tf.reduce_sum(y) < 10, lambda y: (y * 2 + 1,), [x])[0]}

        @tf.function(input_signature=[tf.TensorSpec([1, 4])])
        def flex(self, x):
            return {"y": tf.math.atan(x)}

        @tf.function(input_signature=[tf.TensorSpec([1, 16])])
        def top(self, x):
            values, indices = tf.math.top_k(x, 3)
            return {"y": values, "i": indices}

        @tf.function(input_signature=[tf.TensorSpec([2], tf.string)])
        def strings(self, x):
            return {"y": x}

        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.bool)])
        def flags(self, x):
            return {"y": tf.logical_not(x)}

        @tf.function(input_signature=[])
        def constant(self):
            return {"y": tf.ones([2])}

    two = Two()
    for name in ("image", "loop", "top", "strings", "flags"):
        write(name, two, [getattr(two, name).get_concrete_function()])
    ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    write("flex", two, [two.flex.get_concrete_function()], ops=ops)
    tf.saved_model.save(two, "signatures", signatures={name: getattr(two, name) for name in ("one", "two")})
    tf.saved_model.save(two, "open_image", signatures={"serving_default": two.image})
    tf.saved_model.save(two, "any_shape", signatures={"serving_default": two.any_shape})
    tf.saved_model.save(two, "text", signatures={"serving_default": two.strings})
    tf.saved_model.save(two, "no_inputs", signatures={"serving_default": two.constant})
    tf.saved_model.save(two, "no_signature")
    converter = tf.lite.TFLiteConverter.from_saved_model("signatures", signature_keys=["one", "two"])
    Path("two_signatures.tflite").write_bytes(converter.convert())

    class Counter(tf.Module):
        def __init__(self):
            self.total = tf.Variable(tf.zeros([1, 4]))

        @tf.function(input_signature=[tf.TensorSpec([1, 4])])
        def __call__(self, x):
            return {"y": self.total.assign_add(x)}

    counter = Counter()
    tf.saved_model.save(counter, "counter", signatures={"serving_default": counter.__call__})
    converter = tf.lite.TFLiteConverter.from_saved_model("counter")
    converter.experimental_enable_resource_variables = True
    Path("counter.tflite").write_bytes(converter.convert())
    Path("broken").mkdir()
    (Path("broken") / "saved_model.pb").write_bytes(b"\x12\xff\xff nothing")


def odd_layers() -> None:
    """Keras layers that are no matter, or are refused by their names, in one form or another."""
    keras.Sequential([keras.Input((4, 3)), layers.GRU(5), layers.Dense(2)]).export("recurrent", verbose=False)
    keras.Sequential([keras.Input((8,)), layers.Dense(4, activation="gelu")]).save("gelu.keras")
    keras.Sequential([keras.Input((2, 5, 5)), layers.Conv2D(3, 3, data_format="channels_first", name="c")]).save(
        "channels_first.keras"
    )
    keras.Sequential([keras.Input((4, 4, 1)), layers.Resizing(3, 3, "bicubic", name="smaller")]).save("bicubic.keras")
    rectifier = keras.Sequential([keras.Input((6,)), layers.PReLU()])
    function = tf.function(rectifier.__call__).get_concrete_function(tf.TensorSpec([1, 6]))
    write("variables", rectifier, [function])
    write("elu", keras.Sequential([keras.Input((6,)), layers.ELU(), layers.Dense(2)]))
    write(
        "resized16",
        keras.Sequential([keras.Input((4, 3, 2)), layers.Resizing(7, 5)]),
        ops=[tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8],
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ([RANDOM.standard_normal((1, 4, 3, 2)).astype("f4")] for _ in range(9)),
        inference_input_type=tf.int16,
        inference_output_type=tf.int16,
    )


if __name__ == "__main__":
    keras_models()
    tflite_models()
    odd_layers()
