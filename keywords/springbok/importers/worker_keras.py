# SPDX-License-Identifier: Apache-2.0
"""Keras models, for `springbok.importers.worker`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from springbok.importers.worker import UnusableError, first_line, fixed_shape
from springbok.tensors import TensorSpec

# After the worker, which sets what Keras and TensorFlow read when they are imported.
import keras  # isort: skip
import tensorflow as tf  # isort: skip


class _DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Takes the argument ``groups`` that Keras 2 wrote into its files; it was always 1."""

    def __init__(self, *args, groups: int = 1, **options) -> None:
        super().__init__(*args, **options)


class KerasModel:
    """A whole model, as ``model.save()`` writes it."""

    def __init__(self, model: keras.Model) -> None:
        if not model.inputs:
            raise UnusableError("it has no inputs: build the model before it is saved")
        self._model = model
        self.inputs = [
            TensorSpec(tensor.name, fixed_shape(tensor.name, tensor.shape), tf.as_dtype(tensor.dtype).name)
            for tensor in model.inputs
        ]
        self._specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in self.inputs]
        self._function = tf.function(self._call).get_concrete_function(*self._specs)

    def _call(self, *arguments):
        given = list(arguments) if len(arguments) > 1 else arguments[0]
        return tf.nest.flatten(self._model(given, training=False))

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`springbok.importers.worker.Model`."""
        given = [tf.constant(array, spec.dtype) for array, spec in zip(inputs, self.inputs, strict=True)]
        return [output.numpy() for output in self._function(*given)]

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.importers.worker.Model`."""
        from springbok.importers.worker_tensorflow import stablehlo

        with _NamedLayers() as layers:
            traced = tf.function(self._call).get_concrete_function(*self._specs)
        path.write_text(stablehlo(traced, self._specs, layers.layer_of), encoding="utf-8")

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.importers.worker.Model`. Outputs have the names of the layers that give them."""
        names = getattr(self._model, "output_names", None) or [self._model.layers[-1].name]
        if len(names) != len(arrays):
            names = [f"output{number}" for number in range(len(arrays))]
        return [TensorSpec(name, array.shape, array.dtype.name) for name, array in zip(names, arrays, strict=True)]


def load(path: Path) -> KerasModel:
    """Loads a ``.h5`` or ``.keras`` file."""
    try:
        model = keras.saving.load_model(path, custom_objects={"DepthwiseConv2D": _DepthwiseConv2D}, compile=False)
    except Exception as error:
        raise UnusableError(
            f"Keras can't load it: {first_line(error)} (it must hold a whole model, as model.save() writes it)"
        ) from error
    return KerasModel(model)


class _NamedLayers:
    """While it is entered, every operation of a layer lies in a name scope that tells the layer.

    TensorFlow keeps the scopes as locations in its StableHLO. Keras's own scopes don't serve: they get counters.
    Recurrent layers are unrolled on the way: IREE 3.13 crashes on the loops that TensorFlow makes of them.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._inside = False

    def __enter__(self) -> _NamedLayers:
        original = self._original = keras.layers.Layer.__call__

        def call(layer, *arguments, **options):
            if isinstance(layer, keras.layers.RNN):
                layer.unroll = True
            # Parts of a layer (the cell of a recurrent one) belong to it; a model inside a model is no layer.
            if self._inside or isinstance(layer, keras.Model):
                return original(layer, *arguments, **options)
            self.names.append(layer.name)
            self._inside = True
            try:
                # A scope that ends in a slash is taken as it is, outside all others.
                with tf.name_scope(f"keras_layer.{len(self.names) - 1}/"):
                    return original(layer, *arguments, **options)
            finally:
                self._inside = False

        keras.layers.Layer.__call__ = call
        return self

    def __exit__(self, *_: object) -> None:
        keras.layers.Layer.__call__ = self._original

    def layer_of(self, operation: str) -> str | None:
        """The layer of an operation by TensorFlow's name of it."""
        layer = re.search(r"keras_layer\.(\d+)/", operation)
        return self.names[int(layer[1])] if layer else None
