# SPDX-License-Identifier: Apache-2.0
"""Does what needs Keras and TensorFlow, in a process of its own: ``python -m springbok.keras_worker job.json``.

The process that asks needn't import TensorFlow (seconds, and hundreds of megabytes), whatever Keras does can be ended
after a time limit, and the settings below can't disturb anybody. `springbok.importers` starts it.

Two jobs:

- ``import``: the model as StableHLO, with the names of the layers as locations; and its answers to probe inputs.
  TensorFlow itself writes the StableHLO (``experimental_get_compiler_ir``), from the graph that it would run.
- ``run``: the model's answers to given inputs, one sample at a time.

The answer goes to ``answer.json`` in the job's folder: ``{"error": …}``, or the descriptions of inputs and outputs.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np

# Before TensorFlow is imported: another Keras backend may be configured, there may be a graphics card, and oneDNN's
# kernels round differently on different processors.
os.environ |= {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class _UnusableError(Exception):
    """A model that can't be used; the text says why."""


def main(job_file: str) -> int:
    """Does the job that ``job_file`` describes. Returns the exit code."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    try:
        model = _load(Path(job["model"]))
        specs = _specs(model)
        if job["do"] == "import":
            answer = _import(model, specs, folder)
        else:
            with np.load(folder / "inputs.npz") as given:
                arrays = [given[name] for name in given.files]
            np.savez(folder / "outputs.npz", *_run(model, specs, arrays))
            answer = {}
    except _UnusableError as error:
        answer = {"error": str(error)}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _load(path: Path):
    import keras

    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
        """Takes the argument ``groups`` that Keras 2 wrote into its files; it was always 1."""

        def __init__(self, *args, groups: int = 1, **options) -> None:
            super().__init__(*args, **options)

    try:
        return keras.saving.load_model(path, custom_objects={"DepthwiseConv2D": DepthwiseConv2D}, compile=False)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise _UnusableError(
            f"Keras can't load it: {reason} (it must hold a whole model, as model.save() writes it)"
        ) from error


def _specs(model) -> list:
    """A TensorSpec an input: batch 1, everything else as in the model."""
    import tensorflow as tf

    if not model.inputs:
        raise _UnusableError("it has no inputs: build the model before it is saved")
    specs = []
    for tensor in model.inputs:
        batch, *rest = tensor.shape
        if None in rest:
            raise _UnusableError(
                f"its input '{tensor.name}' has the shape {list(tensor.shape)}: "
                "only the batch may be open, for the chip needs fixed shapes"
            )
        specs.append(tf.TensorSpec([batch or 1, *rest], tensor.dtype, name=tensor.name))
    return specs


def _call(model, arguments: tuple):
    import tensorflow as tf

    return tf.nest.flatten(model(list(arguments) if len(arguments) > 1 else arguments[0], training=False))


def _run(model, specs: list, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The model's answers to ``inputs`` (one array an input, samples first): one array an output, samples first."""
    import tensorflow as tf

    function = tf.function(lambda *arguments: _call(model, arguments)).get_concrete_function(*specs)
    answers = []
    for sample in zip(*inputs, strict=True):
        arguments = [tf.constant(array, spec.dtype) for array, spec in zip(sample, specs, strict=True)]
        answers.append([output.numpy() for output in function(*arguments)])
    return [np.stack(arrays) for arrays in zip(*answers, strict=True)]


def _import(model, specs: list, folder: Path) -> dict:
    from springbok.tensors import TensorSpec, probe_inputs

    inputs = [TensorSpec(spec.name, tuple(spec.shape), spec.dtype.name) for spec in specs]
    probes = probe_inputs(inputs)
    outputs = _run(model, specs, probes)
    text, output_names = _stablehlo(model, specs)
    (folder / "model.mlir").write_text(text, encoding="utf-8")
    np.savez(folder / "probe_inputs.npz", *probes)
    np.savez(folder / "probe_outputs.npz", *outputs)
    return {
        "inputs": [(spec.name, spec.shape, spec.dtype) for spec in inputs],
        "outputs": [
            (name, array.shape[1:], array.dtype.name) for name, array in zip(output_names, outputs, strict=True)
        ],
    }


def _stablehlo(model, specs: list) -> tuple[str, list[str]]:
    """The model as StableHLO text with a function ``main``, and the names of its outputs."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with _NamedLayers() as layers:
        traced = tf.function(lambda *arguments: _call(model, arguments)).get_concrete_function(*specs)
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    try:
        exporter = tf.function(lambda *arguments: frozen(*arguments), jit_compile=True)  # noqa: PLW0108 (its arguments)
        text = exporter.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    except Exception as error:
        raise _UnusableError(f"TensorFlow can't write it as StableHLO: {str(error).strip().splitlines()[0]}") from error
    # The module's name holds a counter, and it would be the kernels' name in the VMFB.
    text = re.sub(r"^module @\S+", "module @model", text, count=1, flags=re.MULTILINE)
    return layers.locate(text), _output_names(model, len(traced.outputs))


def _output_names(model, count: int) -> list[str]:
    """The names of the layers that give the outputs, or numbered ones."""
    names = getattr(model, "output_names", None) or [model.layers[-1].name]
    return list(names) if len(names) == count else [f"output{number}" for number in range(count)]


class _NamedLayers:
    """While it is entered, every operation of a layer lies in a name scope that tells the layer.

    TensorFlow keeps the scopes as locations in its StableHLO. Keras's own scopes don't serve: they get counters.
    Recurrent layers are unrolled on the way: IREE 3.13 crashes on the loops that TensorFlow makes of them.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._inside = False

    def __enter__(self) -> _NamedLayers:
        import keras
        import tensorflow as tf

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
        import keras

        keras.layers.Layer.__call__ = self._original

    def locate(self, text: str) -> str:
        """Puts the layers' names where ``text`` has TensorFlow's, and drops all other locations (they hold paths)."""

        def located(match: re.Match) -> str:
            layer = re.search(r"keras_layer\.(\d+)/", match[1])
            return f"loc({json.dumps(self.names[int(layer[1])])}" if layer else "loc(unknown"

        return re.sub(r'\bloc\("((?:[^"\\]|\\.)*)"(?::\d+:\d+)?', located, text)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
