# SPDX-License-Identifier: Apache-2.0
"""Keras models, for `springbok.compiler.importers.worker`."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from springbok.compiler.importers.selection import Selection
from springbok.compiler.importers.worker import UnusableError, check_element_type, first_line
from springbok.tensors import TensorSpec

# After the worker, which sets what Keras and TensorFlow read when they are imported.
import keras  # isort: skip
import tensorflow as tf  # isort: skip


class _DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Takes the argument ``groups`` that Keras 2 wrote into its files; it was always 1."""

    def __init__(self, *args, groups: int = 1, **options) -> None:
        super().__init__(*args, **options)


class KerasModel:
    """A whole model, as ``model.save()`` writes it. Its inputs and outputs may be lists, dictionaries, or nested."""

    def __init__(self, model: keras.Model, selection: Selection) -> None:
        self._model = model
        self._structure = _inputs_of(model)
        tensors = keras.tree.flatten(self._structure)
        names = _leaf_names(self._structure, [tensor.name for tensor in tensors])
        selection.check_names(names)
        self._precision = _precision(model)
        for layer in _layers(model):
            if isinstance(layer, keras.layers.RNN) and layer.stateful:
                raise UnusableError(
                    f"its layer '{layer.name}' ({type(layer).__name__}) is stateful: it keeps a state from one "
                    "inference to the next, which a module can't. Build it with stateful=False, or make the state an "
                    "input and an output"
                )
        self.inputs = [_spec(name, tensor, selection) for name, tensor in zip(names, tensors, strict=True)]
        self._specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in self.inputs]
        self._function = tf.function(self._call).get_concrete_function(*self._specs)

    def _call(self, *arguments):
        self._answer = self._model(keras.tree.pack_sequence_as(self._structure, arguments), training=False)
        return keras.tree.flatten(self._answer)

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        given = [tf.constant(array, spec.dtype) for array, spec in zip(inputs, self.inputs, strict=True)]
        return [output.numpy() for output in self._function(*given)]

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        from springbok.compiler.importers.worker_tensorflow import stablehlo

        with _NamedLayers() as layers:
            traced = tf.function(self._call).get_concrete_function(*self._specs)
        path.write_text(stablehlo(traced, self._specs, layers.layer_of), encoding="utf-8")

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.compiler.importers.worker.Model`. Outputs have the names of the layers that give
        them."""
        names = getattr(self._model, "output_names", None) or [self._model.layers[-1].name]
        if len(names) != len(arrays):
            names = [f"output{number}" for number in range(len(arrays))]
        names = _leaf_names(self._answer, names)
        for name, array in zip(names, arrays, strict=True):
            check_element_type(f"output '{name}'", array.dtype.name)
        return [
            TensorSpec(name, array.shape, array.dtype.name, precision=self._precision)
            for name, array in zip(names, arrays, strict=True)
        ]


def _inputs_of(model: keras.Model) -> object:
    """The model's inputs in the structure that it takes."""
    structure = None
    for attribute in ("input", "inputs"):  # a Sequential has the second one only
        try:
            structure = getattr(model, attribute) if structure is None else structure
        except (AttributeError, ValueError, RuntimeError):
            continue
    if structure is None or not keras.tree.flatten(structure):
        raise UnusableError(
            f"it has no inputs yet (the {type(model).__name__} '{model.name}' is not built): begin it with "
            "keras.Input(shape), or call model.build(shape), before it is saved"
        )
    if isinstance(structure, list) and len(structure) == 1:
        return structure[0]
    return structure


def _leaf_names(structure: object, names: Sequence[str]) -> list[str]:
    """The keys of dictionaries in ``structure``, and ``names`` for what lies in lists; all of them different."""
    found = []
    for (path, _), name in zip(keras.tree.flatten_with_path(structure), names, strict=True):
        keys = [part for part in path if isinstance(part, str)]
        found.append(str(path[-1]) if path and isinstance(path[-1], str) else "/".join([*keys, name]))
    return [name if found.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(found)]


def _spec(name: str, tensor: keras.KerasTensor, selection: Selection) -> TensorSpec:
    if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
        raise UnusableError(f"its input '{name}' is sparse or ragged: only dense tensors can be sent to the chip")
    check_element_type(f"input '{name}'", str(tensor.dtype))
    return TensorSpec(name, selection.fixed_shape(name, list(tensor.shape)), str(tensor.dtype))


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers, those of models inside the model too."""
    return list(model._flatten_layers())  # noqa: SLF001 (Keras has no public way)


def _precision(model: keras.Model) -> str | None:
    """The narrowest floating-point type that a layer computes in, if that is narrower than float32."""
    used = {layer.compute_dtype for layer in _layers(model) if not isinstance(layer, keras.Model)}
    return next((narrow for narrow in ("bfloat16", "float16") if narrow in used), None)


def load(path: Path, selection: Selection) -> KerasModel:
    """Loads a ``.h5`` or ``.keras`` file."""
    if path.suffix.lower() == ".keras" and not zipfile.is_zipfile(path):
        raise UnusableError("it is no whole archive, perhaps cut off: copy or save it again")
    with tempfile.TemporaryDirectory() as folder:
        file = path
        if path.suffix != path.suffix.lower():  # which Keras does not know
            file = Path(folder) / f"model{path.suffix.lower()}"
            file.symlink_to(path)
        try:
            known = {"DepthwiseConv2D": _DepthwiseConv2D}
            model = keras.saving.load_model(file, custom_objects=known, compile=False)
        except Exception as error:
            raise UnusableError(_why_not(str(error))) from error
    if selection.signature is not None:
        raise UnusableError(f"it has no signature '{selection.signature}': a Keras model has one function only")
    return KerasModel(model, selection)


def _why_not(error: str) -> str:
    """A sentence about why Keras can't load a model, from what it says."""
    unknown = re.search(r"Could not locate (?:class|function) '(.+?)'|Unknown (?:layer|object|class).*?'(.+?)'", error)
    if unknown:
        kind = unknown[1] or unknown[2]
        layer = re.search(rf"'class_name': '{re.escape(kind)}', 'config': {{'name': '(.+?)'", error)
        where = f"its layer '{layer[1]}' is of the class {kind}" if layer else f"it has a part of the class {kind}"
        return (
            f"{where}, which Keras does not know and whose code is not in the file. Build the model of Keras's own "
            "layers, or write it from the program that knows the class: as a SavedModel (model.export('folder')) or as "
            ".tflite"
        )
    if "config.json" in error:
        return "it is an archive, but holds no Keras model (no config.json): save the whole model with model.save()"
    if "ambda" in error:
        layer = re.search(r"'class_name': 'Lambda'.*?'name': '(.+?)'", error)
        where = f"its layer '{layer[1]}' is" if layer else "it holds"
        return (
            f"{where} a Lambda layer, whose Python code is never run from a file. Use a layer or an operation of "
            "keras.ops in its place, or write the model as a SavedModel (model.export('folder')) or as .tflite"
        )
    if "No model config" in error or "No model found" in error or "weights" in error.partition("\n")[0]:
        return "it holds weights only: save the whole model with model.save()"
    return f"Keras can't load it ({first_line(error)}): it must hold a whole model, as model.save() writes it"


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
