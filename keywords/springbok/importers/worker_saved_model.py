# SPDX-License-Identifier: Apache-2.0
"""TensorFlow SavedModels, for `springbok.importers.worker`: their signature ``serving_default``, or the only one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from springbok.importers.worker import UnusableError, first_line, fixed_shape
from springbok.tensors import TensorSpec

import tensorflow as tf  # isort: skip (after the worker, which sets what TensorFlow reads when it is imported)


class SavedModel:
    """A signature of a SavedModel; its inputs and outputs are in the order of their names."""

    def __init__(self, loaded, signature) -> None:
        self._loaded = loaded  # holds the variables, which the signature only refers to
        self._signature = signature
        _, named = signature.structured_input_signature
        self.inputs = [
            TensorSpec(name, fixed_shape(name, _dimensions(name, named[name])), named[name].dtype.name)
            for name in sorted(named)
        ]
        self._output_names = sorted(signature.structured_outputs)
        self._specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in self.inputs]
        self._traced = tf.function(self._call).get_concrete_function(*self._specs)

    def _call(self, *arguments):
        answers = self._signature(**{spec.name: given for spec, given in zip(self.inputs, arguments, strict=True)})
        return [answers[name] for name in self._output_names]

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`springbok.importers.worker.Model`."""
        given = [tf.constant(array, spec.dtype) for array, spec in zip(inputs, self.inputs, strict=True)]
        return [output.numpy() for output in self._traced(*given)]

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.importers.worker.Model`."""
        from springbok.importers.worker_tensorflow import stablehlo

        path.write_text(stablehlo(self._traced, self._specs), encoding="utf-8")

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.importers.worker.Model`."""
        return [
            TensorSpec(name, array.shape, array.dtype.name)
            for name, array in zip(self._output_names, arrays, strict=True)
        ]


def _dimensions(name: str, spec: tf.TensorSpec) -> list[int | None]:
    if spec.shape.rank is None:
        raise UnusableError(f"its input '{name}' has no shape: the chip needs fixed shapes")
    return spec.shape.as_list()


def load(path: Path) -> SavedModel:
    """Loads the folder of a SavedModel."""
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise UnusableError(f"TensorFlow can't load it: {first_line(error)}") from error
    signatures = dict(loaded.signatures)
    if not signatures:
        raise UnusableError("it has no signature: export it with model.export(), or give tf.saved_model.save() one")
    if "serving_default" not in signatures and len(signatures) > 1:
        raise UnusableError(
            f"it has the signatures {', '.join(sorted(signatures))}, and none is called serving_default"
        )
    return SavedModel(loaded, signatures.get("serving_default") or next(iter(signatures.values())))
