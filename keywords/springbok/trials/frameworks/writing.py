# SPDX-License-Identifier: Apache-2.0
"""Writes the models of `keras_models` in every form: ``python -m springbok.trials.frameworks.writing FOLDER``.

It is a process of its own, since it imports TensorFlow. ``job.json`` in the folder says which models in which forms;
what was written, or why TensorFlow did not write it, goes to ``files.json`` beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from springbok.compiler.importers.worker import first_line
from springbok.trials.frameworks.keras_models import MODELS

# After the worker, which sets what Keras and TensorFlow read when they are imported.
import keras  # isort: skip
import tensorflow as tf  # isort: skip
from keras import layers  # isort: skip
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # isort: skip

_SAMPLES = 8
#: Weights that divide, or that others are divided by.
_POSITIVE = ("gamma", "moving_variance", "scale", "variance")


def _randomise(model: keras.Model, random: np.random.Generator) -> None:
    """Weights as after training: no bias is 0, and no variance 1."""
    for weight in model.weights:
        if "float" not in str(weight.dtype) or isinstance(getattr(weight, "path", ""), str) and "seed" in weight.path:
            continue
        values = random.standard_normal(weight.shape) * 0.4
        weight.assign(
            np.abs(values) + 0.5 if weight.name in ("moving_variance", "variance", "gamma", "scale") else values
        )


def _structure(model: keras.Model) -> object:
    """What the model takes; a Sequential that was not called yet tells a list only."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _specs(model: keras.Model) -> list[tf.TensorSpec]:
    tensors = keras.tree.flatten(_structure(model))
    return [tf.TensorSpec([each or 1 for each in tensor.shape], tensor.dtype, name=tensor.name) for tensor in tensors]


def _samples(model: keras.Model, random: np.random.Generator) -> Iterator[list[np.ndarray]]:
    for _ in range(_SAMPLES):
        yield [_sample(spec, random) for spec in _specs(model)]


def _sample(spec: tf.TensorSpec, random: np.random.Generator) -> np.ndarray:
    if spec.dtype.is_integer:
        return random.integers(0, 4, spec.shape).astype(spec.dtype.name)
    return random.standard_normal(spec.shape).astype(spec.dtype.name)


def _converter(model: keras.Model) -> tf.lite.TFLiteConverter:
    """Of a model with fixed shapes, without loops and variables, as the converter wants it."""
    for layer in model._flatten_layers():  # noqa: SLF001 (Keras has no public way)
        if isinstance(layer, layers.RNN):
            layer.unroll = True

    def call(*tensors: tf.Tensor) -> object:
        return model(keras.tree.pack_sequence_as(_structure(model), tensors), training=False)

    function = tf.function(call).get_concrete_function(*_specs(model))
    return tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(function)])


def _quantised(model: keras.Model, operators: str, io: tf.DType | None = None) -> bytes:
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _samples(model, np.random.default_rng(2))
    converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, operators)]
    if io is not None:
        converter.inference_input_type = converter.inference_output_type = io
    return converter.convert()


def _lighter(model: keras.Model, *types: tf.DType) -> bytes:
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = list(types)
    return converter.convert()


_INTEGERS = "TFLITE_BUILTINS_INT8"
_WIDE = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
#: The forms of TensorFlow Lite's converter.
_CONVERTED: dict[str, Callable[[keras.Model], bytes]] = {
    "float": lambda model: _converter(model).convert(),
    "dynamic": _lighter,
    "float16": lambda model: _lighter(model, tf.float16),
    "int8": lambda model: _quantised(model, _INTEGERS),
    "int8-io": lambda model: _quantised(model, _INTEGERS, tf.int8),
    "uint8-io": lambda model: _quantised(model, _INTEGERS, tf.uint8),
    "int16x8": lambda model: _quantised(model, _WIDE),
}


def _write(name: str, form: str, model: keras.Model, folder: Path) -> Path:
    """Writes a model in one of its forms; returns the file, or the folder of a SavedModel."""
    if form == "keras":
        path = folder / f"{name}.{form}"
        model.save(path)
    elif form == "saved-model":
        path = folder / name
        model.export(path, verbose=False)
    else:
        path = folder / f"{name}.{form}.tflite"
        path.write_bytes(_CONVERTED[form](model))
    return path


def main(arguments: list[str]) -> int:
    """Does the job of the folder that is the only argument."""
    folder = Path(arguments[0])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    written = []
    for name in job["models"] or MODELS:
        keras.utils.clear_session()
        random = np.random.default_rng(len(name))
        model = MODELS[name]()
        _randomise(model, random)
        for form in job["forms"]:
            entry = {"model": name, "form": form}
            try:
                entry["path"] = str(_write(name, form, model, folder))
            except Exception as error:  # noqa: BLE001 (TensorFlow's own refusal)
                entry["error"] = first_line(error)
            written.append(entry)
    (folder / "files.json").write_text(json.dumps(written), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
