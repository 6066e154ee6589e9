# SPDX-License-Identifier: Apache-2.0
"""TensorFlow SavedModels, for `springbok.compiler.importers.worker`: one of their signatures.

It is ``serving_default``, or the only one, unless another one is selected.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from springbok.compiler.importers.selection import Selection
from springbok.compiler.importers.worker import UnusableError, check_element_type, first_line
from springbok.tensors import TensorSpec

import tensorflow as tf  # isort: skip (after the worker, which sets what TensorFlow reads when it is imported)


class SavedModel:
    """A signature of a SavedModel; its inputs and outputs are in the order of their names."""

    def __init__(self, loaded, signature, selection: Selection) -> None:
        self._loaded = loaded  # holds the variables, which the signature only refers to
        self._signature = signature
        _, named = signature.structured_input_signature
        selection.check_names(sorted(named))
        for name in sorted(named):
            check_element_type(f"input '{name}'", named[name].dtype.name)
        self.inputs = [
            TensorSpec(name, selection.fixed_shape(name, _dimensions(named[name])), named[name].dtype.name)
            for name in sorted(named)
        ]
        self._output_names = sorted(signature.structured_outputs)
        for what, tensors in (("inputs", self.inputs), ("outputs", self._output_names)):
            if not tensors:
                raise UnusableError(f"its signature has no {what}: a model for the chip takes and gives a tensor")
        self._specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in self.inputs]
        self._traced = tf.function(self._call).get_concrete_function(*self._specs)

    def _call(self, *arguments):
        answers = self._signature(**{spec.name: given for spec, given in zip(self.inputs, arguments, strict=True)})
        return [answers[name] for name in self._output_names]

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        given = [tf.constant(array, spec.dtype) for array, spec in zip(inputs, self.inputs, strict=True)]
        return [output.numpy() for output in self._traced(*given)]

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        from springbok.compiler.importers.worker_tensorflow import stablehlo

        path.write_text(stablehlo(self._traced, self._specs), encoding="utf-8")

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        for name, array in zip(self._output_names, arrays, strict=True):
            check_element_type(f"output '{name}'", array.dtype.name)
        return [
            TensorSpec(name, array.shape, array.dtype.name)
            for name, array in zip(self._output_names, arrays, strict=True)
        ]


def _dimensions(spec: tf.TensorSpec) -> list[int | None] | None:
    return None if spec.shape.rank is None else spec.shape.as_list()


def load(path: Path, selection: Selection) -> SavedModel:
    """Loads the folder of a SavedModel."""
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise UnusableError(
            f"TensorFlow can't load it ({first_line(error)}): copy the whole folder with variables/, or export it again"
        ) from error
    signatures = dict(loaded.signatures)
    if not signatures:
        raise UnusableError("it has no signature: export it with model.export(), or give tf.saved_model.save() one")
    name = selection.choose(sorted(signatures), default="serving_default")
    return SavedModel(loaded, signatures[name], selection)
