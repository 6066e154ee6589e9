# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite models, for `springbok.importers.worker`: as TOSA, by Arm's converter.

The answers are those of TensorFlow Lite's interpreter with its reference kernels, which are the definition of what a
quantised model computes; the optimised kernels differ from them by a step now and then.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import flatbuffers
import numpy as np

from springbok.importers.worker import UnusableError, first_line
from springbok.layer_names import ScopedNames
from springbok.tensors import TensorSpec

import tensorflow as tf  # isort: skip (after the worker, which sets what TensorFlow reads when it is imported)
from tensorflow.lite.python import schema_py_generated as schema  # isort: skip

_OPERATORS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}


class TfliteModel:
    """The main subgraph of a .tflite file, with batch 1."""

    def __init__(self, model: schema.ModelT) -> None:
        self._model = model
        if len(model.subgraphs) != 1:
            raise UnusableError(
                f"it has {len(model.subgraphs)} subgraphs (loops or branches): only models with one can be compiled"
            )
        self._graph = model.subgraphs[0]
        for tensor in self._graph.tensors:
            tensor.shapeSignature = None  # an open batch; the shape beside it has a 1 there
        kernels = tf.lite.experimental.OpResolverType.BUILTIN_REF
        try:
            self._interpreter = tf.lite.Interpreter(
                model_content=self._pack(), experimental_op_resolver_type=kernels, num_threads=1
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UnusableError(f"TensorFlow Lite can't run it: {first_line(error)}") from error
        self._given = self._interpreter.get_input_details()
        self._answers = self._interpreter.get_output_details()
        self.inputs = [_spec(detail, self._limits(detail["index"])) for detail in self._given]

    def _pack(self) -> bytes:
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _limits(self, index: int) -> tuple[float, float] | None:
        """The real values that a floating-point input may have, if the model quantises it at once.

        The TOSA of QUANTIZE wraps around where TensorFlow Lite's operation saturates; within these it does neither.
        """
        readers = [operator for operator in self._graph.operators if index in operator.inputs]
        if not readers or any(self._operator(reader) != "QUANTIZE" for reader in readers):
            return None
        ranges = []
        for reader in readers:
            detail = self._interpreter.get_tensor_details()[reader.outputs[0]]
            scale, zero_point = detail["quantization"]
            integers = np.iinfo(detail["dtype"])
            ranges.append([(integers.min - zero_point) * scale, (integers.max - zero_point) * scale])
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def _operator(self, operator: schema.OperatorT) -> str:
        code = self._model.operatorCodes[operator.opcodeIndex]
        return _OPERATORS.get(max(code.builtinCode, code.deprecatedBuiltinCode), "?")

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`springbok.importers.worker.Model`."""
        for detail, array in zip(self._given, inputs, strict=True):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]).copy() for detail in self._answers]

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.importers.worker.Model`."""
        import tosa_converter_for_tflite as tosa

        produced = [self._graph.tensors[index] for operator in self._graph.operators for index in operator.outputs]
        kept = [name.decode() for tensor in produced if (name := tensor.name)]
        names = ScopedNames(kept)
        for tensor in produced:
            # The converter makes locations of the tensors' names.
            original = (tensor.name or b"").decode()
            tensor.name = (names.layer_of(original) or original).encode()
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "model.tflite"
            source.write_bytes(self._pack())
            try:
                tosa.tflite_flatbuffer_to_tosa_mlir(
                    str(source), str(path), debug_info=tosa.TosaConverterDebugInfo.Enable
                )
            except Exception as error:
                used = sorted({self._operator(operator) for operator in self._graph.operators})
                raise UnusableError(
                    f"it can't be written as TOSA: {first_line(error)} (its operations: {', '.join(used)})"
                ) from error

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.importers.worker.Model`."""
        return [_spec(detail) for detail, _ in zip(self._answers, arrays, strict=True)]


def _spec(detail: dict, limits: tuple[float, float] | None = None) -> TensorSpec:
    scale, zero_point = detail["quantization"]
    quantised = {"scale": float(scale), "zero_point": int(zero_point)} if scale else {}
    name = detail["name"].removeprefix("serving_default_").removesuffix(":0")
    shape = tuple(int(length) for length in detail["shape"])
    return TensorSpec(name, shape, np.dtype(detail["dtype"]).name, **quantised, limits=limits)


def load(path: Path) -> TfliteModel:
    """Loads a .tflite file."""
    content = path.read_bytes()
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    except Exception as error:  # noqa: BLE001 (the generated reader raises whatever a broken file leads to)
        raise UnusableError(f"it is broken: {first_line(error)}") from error
    return TfliteModel(model)
