# SPDX-License-Identifier: Apache-2.0
"""A dense int8 layer of a real model with real inputs: what an accelerator's instruction is tried on.

TensorFlow Lite runs test recordings through the quantised model and tells what went into the layer and what came out. A
process of its own, as `springbok.compiler.importers.worker` is, and for the same reasons; its answer is cached.

Example::

    layer = load_layer(samples=4)
    layer.sums(0)            # what the chip must compute, int32
"""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from springbok.data import datasets
from springbok.support.cache import Cache, digest
from springbok.support.errors import RtlError
from springbok.support.files import build_folder
from springbok.support.places import KEYWORDS, MODELS
from springbok.support.process import run

MODEL, DATASET = MODELS / "gestures_int8.tflite", "basic_motions"
# So many samples at least are taken at once: a start of TensorFlow costs more than they do.
_FEW = 4


@dataclass(frozen=True)
class Int8Layer:
    """``name``; ``inputs`` int8 (samples, length) and their zero point; ``weights`` int8 (rows, length), zero point 0;
    ``bias`` int32 (rows); ``scales`` (rows), which bring sums to outputs; ``outputs`` int8 (samples, rows), TensorFlow
    Lite's own, and their zero point."""

    name: str
    inputs: np.ndarray
    input_zero_point: int
    weights: np.ndarray
    bias: np.ndarray
    scales: np.ndarray
    outputs: np.ndarray
    output_zero_point: int

    @property
    def starts(self) -> np.ndarray:
        """What each row's sum starts from: the bias, and what the inputs' zero point takes off. int32 (rows)."""
        return self.bias - self.input_zero_point * self.weights.sum(axis=1, dtype=np.int32)

    def sums(self, sample: int) -> np.ndarray:
        """The layer's sums before they are scaled to int8. int32 (rows)."""
        return self.starts + self.weights.astype(np.int32) @ self.inputs[sample].astype(np.int32)

    def rescaled(self, sums: np.ndarray) -> np.ndarray:
        """Outputs of a layer with ReLU whose sums are ``sums``: int8 (rows)."""
        scaled = np.round(sums * self.scales) + self.output_zero_point
        return np.clip(scaled, self.output_zero_point, 127).astype(np.int8)


def load_layer(samples: int = 4, model: Path = MODEL, dataset: str = DATASET, cache: Path | None = None) -> Int8Layer:
    """Returns the model's first dense layer and what the first ``samples`` test recordings bring it.

    Raises :class:`RtlError` where TensorFlow is missing or can't run the model.
    """

    count = max(samples, _FEW)

    def make(folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "springbok.trials.int8_layer",
            str(model),
            dataset,
            str(count),
            folder / "layer.npz",
        ]
        done = run(command, environment={"PYTHONPATH": str(KEYWORDS)})
        if done.exit_code != 0:
            raise RtlError(f"There is no int8 layer to take from {model.name}:\n{done.output[-2000:].strip()}")

    key = digest(
        model.read_bytes(), Path(__file__).read_bytes(), dataset, count, importlib.metadata.version("tensorflow-cpu")
    )
    folder, _ = Cache(cache or build_folder() / "cache").entry(f"{model.stem}-int8-layer", key, make)
    with np.load(folder / "layer.npz") as parts:
        layer = Int8Layer(**{name: parts[name] if parts[name].ndim else parts[name].item() for name in parts.files})
    return replace(layer, inputs=layer.inputs[:samples], outputs=layer.outputs[:samples])


def main(model: str, dataset: str, samples: str, output: str) -> None:
    """Writes the layer to ``output``, an .npz file with the fields of `Int8Layer`."""
    from springbok.compiler.importers import worker  # noqa: F401 - sets TensorFlow's environment before it is imported

    import tensorflow as tf  # isort: skip

    interpreter = tf.lite.Interpreter(model, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()

    (entry,) = interpreter.get_input_details()
    dense = next(each for each in interpreter._get_ops_details() if each["op_name"] == "FULLY_CONNECTED")
    (input_, weights, bias), (output_,) = dense["inputs"], dense["outputs"]
    details = {each["index"]: each for each in interpreter.get_tensor_details()}
    scale = {index: details[index]["quantization_parameters"]["scales"] for index in (input_, weights, output_)}
    zero_point = {
        index: int(details[index]["quantization_parameters"]["zero_points"][0]) for index in (input_, output_)
    }
    recorded: dict[int, list] = {input_: [], output_: []}
    for sample in datasets.load(dataset, "test").inputs[: int(samples)].reshape(-1, *entry["shape"]):
        step, zero = entry["quantization"]
        interpreter.set_tensor(entry["index"], np.clip(np.round(sample / step) + zero, -128, 127).astype(np.int8))
        interpreter.invoke()
        for index, arrays in recorded.items():
            arrays.append(interpreter.get_tensor(index).reshape(-1))
    np.savez(
        output,
        name=f"the first dense layer of {Path(model).name}",
        inputs=np.stack(recorded[input_]),
        input_zero_point=zero_point[input_],
        weights=interpreter.get_tensor(weights),
        bias=interpreter.get_tensor(bias),
        scales=scale[input_] * scale[weights] / scale[output_],
        outputs=np.stack(recorded[output_]),
        output_zero_point=zero_point[output_],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
