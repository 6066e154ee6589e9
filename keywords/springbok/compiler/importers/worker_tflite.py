# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Lite models, for `springbok.compiler.importers.worker`: as TOSA, by Arm's converter.

The answers are those of TensorFlow Lite's interpreter with its reference kernels, as far as it has one of an
operation: they are the definition of what a quantised model computes; the optimised kernels differ from them by a step
now and then.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import flatbuffers
import numpy as np

from springbok.compiler import iree
from springbok.compiler.importers import saturated_tables, signed_constants, wide_sums
from springbok.compiler.importers.selection import Selection
from springbok.compiler.importers.worker import UnusableError, check_element_type, first_line
from springbok.modules.layer_names import ScopedNames
from springbok.support import process
from springbok.tensors import TensorSpec

import tensorflow as tf  # isort: skip (after the worker, which sets what TensorFlow reads when it is imported)
from tensorflow.lite.python import schema_py_generated as schema  # isort: skip

_OPERATORS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
_TYPES = {number: name for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
_QUANTISED_TYPES = (schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT4, schema.TensorType.INT16)

_CONTROL_FLOW = {"WHILE": "a loop", "IF": "a branch", "CALL": "a call"}
_STATEFUL = {
    "CALL_ONCE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "HASHTABLE",
    "HASHTABLE_FIND",
    "HASHTABLE_IMPORT",
}

# Operations that make no difference of their inputs larger.
_STEADY = frozenset(
    {
        *("ABS", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MINIMUM", "NEG", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1"),
        *("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "SOFTMAX", "TANH"),
        *("BATCH_TO_SPACE_ND", "DEPTH_TO_SPACE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_BATCH_ND"),
        *("SPACE_TO_DEPTH", "MIRROR_PAD", "PAD", "PADV2", "BROADCAST_TO", "CONCATENATION", "EXPAND_DIMS", "RESHAPE"),
        *("GATHER", "GATHER_ND", "PACK", "REVERSE_V2", "SLICE", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE"),
        *("TILE", "TRANSPOSE", "UNPACK"),
    }
)
_SUMS = {"ADD", "SUB"}
# Into a narrow range, by the names of `TensorSpec.behind`.
_SQUASHING = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "TANH": "tanh"}
# What TensorFlow Lite does where its converter to TOSA does otherwise.
_COARSE_OF_16_BITS = dict.fromkeys(("LOGISTIC", "SOFTMAX", "TANH"), "looks it up in a table of its own")
_COARSE_OF_16_BITS["RESIZE_BILINEAR"] = "rounds places between two pixels to 10 bits"
_WITH_SUMS = {"BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}


class TfliteModel:
    """A signature of a .tflite file (its main subgraph where it has none), with batch 1 where that is open."""

    def __init__(self, model: schema.ModelT, selection: Selection) -> None:
        self._model = model
        self._signature, self._graph = _chosen(model, selection)
        self._refuse_operators()
        model.subgraphs, model.signatureDefs = [self._graph], None
        self._shapes_given = bool(selection.shapes)
        self._fix_shapes(selection)
        self.remark = self._dynamic_range() or self._quantised_sum() or self._of_16_bits()
        self.makes_integers = any(map(self._makes_integers, self._graph.operators))
        self._interpreter = self._started()
        self._given = self._interpreter.get_input_details()
        self._answers = self._interpreter.get_output_details()
        self.inputs = [self._spec(detail, limits=self._limits(detail["index"])) for detail in self._given]

    def _started(self) -> tf.lite.Interpreter:
        """The interpreter with the reference kernels, or with the others where an operation has none of those."""
        known = tf.lite.experimental.OpResolverType
        for kernels in (known.BUILTIN_REF, known.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
            try:
                started = tf.lite.Interpreter(
                    model_content=self._pack(), experimental_op_resolver_type=kernels, num_threads=1
                )
                started.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                problem = error
                if "Didn't find op" not in str(error):
                    break
            else:
                return started
        raise UnusableError(f"TensorFlow Lite can't run it: {first_line(problem)}") from problem

    def _refuse_operators(self) -> None:
        """Refuses what is no plain computation, by its name."""
        for operator in self._graph.operators:
            kind = self._operator(operator)
            where = f"its operation {kind} ('{self._layer(operator)}')"
            if kind == "CUSTOM":
                code = (self._model.operatorCodes[operator.opcodeIndex].customCode or b"?").decode("utf-8", "replace")
                flex = "one of TensorFlow's own (select TF ops)" if code.startswith("Flex") else "no builtin one"
                raise UnusableError(
                    f"its operation {code} ('{self._layer(operator)}') is {flex}, and only TensorFlow Lite's builtin "
                    "operations can be compiled. Convert the model with target_spec.supported_ops = "
                    "[tf.lite.OpsSet.TFLITE_BUILTINS], or compile the part before that operation"
                )
            if kind in _CONTROL_FLOW:
                raise UnusableError(
                    f"{where} is {_CONTROL_FLOW[kind]}, and only models without loops and branches can be compiled. "
                    "Unroll recurrent layers (unroll=True) before you convert the model"
                )
            if kind in ("VAR_HANDLE", "READ_VARIABLE") and not self._assigns():
                raise UnusableError(
                    f"{where} reads a variable, which another part of the file sets: its weights are not constants. "
                    "Freeze them before you convert the model: TFLiteConverter.from_keras_model and from_saved_model "
                    "do, and convert_variables_to_constants_v2 makes such a function of another one"
                )
            if kind in _STATEFUL or any(self._graph.tensors[each].isVariable for each in operator.inputs if each >= 0):
                raise UnusableError(
                    f"{where} keeps a state from one inference to the next, which a module can't. Convert a model "
                    "whose state is an input and an output"
                )

    def _assigns(self) -> bool:
        """Whether an inference changes a variable."""
        return any(self._operator(each) == "ASSIGN_VARIABLE" for each in self._graph.operators)

    def _fix_shapes(self, selection: Selection) -> None:
        names = [self._name(index) for index in self._graph.inputs]
        selection.check_names(names)
        for name, index in zip(names, self._graph.inputs, strict=True):
            tensor = self._graph.tensors[index]
            _element_type(f"input '{name}'", tensor.type)
            known = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
            shape = [] if known is None else [None if length < 0 else int(length) for length in known]
            tensor.shape = list(selection.fixed_shape(name, shape))
        for index in self._graph.outputs:
            _element_type(f"output '{self._name(index)}'", self._graph.tensors[index].type)
        for tensor in self._graph.tensors:
            tensor.shapeSignature = None  # an open batch; the shape beside it has a 1 there

    def _makes_integers(self, operator: schema.OperatorT) -> bool:
        """Whether it converts floating-point numbers, of which some have no integer that is defined."""
        if self._operator(operator) != "CAST":
            return False
        given, made = (_TYPES[self._graph.tensors[each].type] for each in (operator.inputs[0], operator.outputs[0]))
        return given.startswith("FLOAT") and made.startswith(("INT", "UINT"))

    def _dynamic_range(self) -> str:
        """What is to be said of layers whose weights are quantised and whose activations are not."""
        tensors = self._graph.tensors
        for operator in self._graph.operators:
            if len(operator.inputs) < 2 or min(operator.inputs[:2]) < 0:
                continue
            activations, weights = (tensors[index] for index in operator.inputs[:2])
            if activations.type == schema.TensorType.FLOAT32 and self._has_scale(weights):
                return (
                    f"The model has dynamic-range quantisation: {self._operator(operator)} "
                    f"('{self._layer(operator)}') has {_TYPES[weights.type].lower()} weights and float32 activations. "
                    "TensorFlow Lite rounds such activations to 8 bits whenever it runs, and the module does not, so "
                    "they differ. Convert the model with a representative data set (integers throughout) or without "
                    "quantisation, or allow the difference, for example tolerance=0.02."
                )
        return ""

    def _quantised_sum(self) -> str:
        """What is to be said of sums over quantised tensors, which frameworks agree on only now and then."""
        for operator in self._graph.operators:
            tensor = self._graph.tensors[operator.inputs[0]] if len(operator.inputs) else None
            if self._operator(operator) == "SUM" and tensor is not None and self._has_scale(tensor):
                return (
                    f"The model sums a quantised tensor: SUM ('{self._layer(operator)}') of "
                    f"{_TYPES[tensor.type].lower()}. TensorFlow Lite's kernels and its converter to TOSA compute such "
                    "sums in different ways, and often give different numbers. Use MEAN, or a convolution whose "
                    "weights are 1, or leave that layer in float32."
                )
        return ""

    def _of_16_bits(self) -> str:
        """What is to be said of operations on 16 bits that TensorFlow Lite computes more coarsely than their steps."""
        for operator in self._graph.operators:
            kind = self._operator(operator)
            if kind in _COARSE_OF_16_BITS and self._graph.tensors[operator.inputs[0]].type == schema.TensorType.INT16:
                return (
                    f"The model has {kind} ('{self._layer(operator)}') of int16: TensorFlow Lite "
                    f"{_COARSE_OF_16_BITS[kind]}, and its converter to TOSA does otherwise, so they differ by some of "
                    "its fine steps. Quantise the model to int8, or allow the difference, for example tolerance=0.01."
                )
        return ""

    @staticmethod
    def _has_scale(tensor: schema.TensorT) -> bool:
        quantised = tensor.quantization is not None and tensor.quantization.scale is not None
        return tensor.type in _QUANTISED_TYPES and quantised and len(tensor.quantization.scale) > 0

    def _steps(self) -> dict[int, float]:
        """How far one step of the integers before it can move a floating-point tensor; by the tensor's number.

        Constants and inputs don't move. What is behind an operation that may amplify a difference is left out.
        """
        tensors, buffers = self._graph.tensors, self._model.buffers
        steps = dict.fromkeys(self._graph.inputs, 0.0)
        steps |= {number: 0.0 for number, each in enumerate(tensors) if buffers[each.buffer].data is not None}
        for operator in self._graph.operators:
            kind, given = self._operator(operator), [index for index in operator.inputs if index >= 0]
            if kind == "DEQUANTIZE" and self._has_scale(tensors[given[0]]) and given[0] not in steps:
                steps[operator.outputs[0]] = float(max(tensors[given[0]].quantization.scale))
            elif kind in _STEADY | _SUMS and all(index in steps for index in given):
                together = sum if kind in _SUMS else max
                steps |= dict.fromkeys(operator.outputs, together(steps[index] for index in given))
        return steps

    def _layer(self, operator: schema.OperatorT) -> str:
        numbers = [*operator.outputs, *operator.inputs]
        return ((self._graph.tensors[numbers[0]].name if numbers else None) or b"").decode("utf-8", "replace")

    def _name(self, index: int) -> str:
        name = (self._graph.tensors[index].name or b"").decode("utf-8", "replace")
        return name.removeprefix(f"{self._signature or 'serving_default'}_").removesuffix(":0")

    def _spec(self, detail: dict, **told: object) -> TensorSpec:
        scale, zero_point = detail["quantization"]
        quantised = {"scale": float(scale), "zero_point": int(zero_point)} if scale else {}
        shape = tuple(int(length) for length in detail["shape"])
        return TensorSpec(self._name(detail["index"]), shape, np.dtype(detail["dtype"]).name, **quantised, **told)

    def _pack(self) -> bytes:
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _limits(self, index: int) -> tuple[float, float] | None:
        """The real values that a floating-point input may have, if the model quantises it at once.

        The TOSA of QUANTIZE wraps around where TensorFlow Lite's operation saturates; within these it does neither.
        """
        if self._graph.tensors[index].type != schema.TensorType.FLOAT32:
            return None
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
        """See :class:`springbok.compiler.importers.worker.Model`."""
        for detail, array in zip(self._given, inputs, strict=True):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]).copy() for detail in self._answers]

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        import tosa_converter_for_tflite as tosa

        produced = [self._graph.tensors[index] for operator in self._graph.operators for index in operator.outputs]
        kept = [name.decode() for tensor in produced if (name := tensor.name)]
        names = ScopedNames(kept)
        for tensor in produced:
            # The converter makes locations of the tensors' names.
            original = (tensor.name or b"").decode()
            tensor.name = (names.layer_of(original) or original).encode()
        if self._shapes_given:
            self._take_shapes()
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "model.tflite"
            try:
                self._convert(tosa, source, path)
            except Exception as error:
                refused = ", ".join(map(self._described, self._refused_alone(tosa, source, path)))
                used = ", ".join(sorted({self._operator(operator) for operator in self._graph.operators}))
                raise UnusableError(
                    f"it can't be written as TOSA: {first_line(error)}. "
                    + (f"The converter refuses {refused}" if refused else f"Its operations: {used}")
                    + ". Write it without that, or in another format, such as ONNX"
                ) from error
            if b"\0tfl\0" in path.read_bytes():
                text = Path(folder) / "model.mlir"
                tosa.tflite_flatbuffer_to_tosa_mlir(str(source), str(text), tosa.TosaConverterOutputFormat.Text)
                self._refuse_unconverted(text.read_text(encoding="utf-8"))
        if self._has_softmax_of_16_bits():
            path.write_bytes(saturated_tables.corrected(path.read_bytes()))
        if self._has_sums_of_48_bits():
            self._mend_sums(path)

    def _convert(self, tosa, source: Path, path: Path) -> None:
        """Writes TOSA. What a file leaves to the interpreter's shapes the converter takes only where they are told."""
        for last in (self._shapes_given, True):
            source.write_bytes(self._pack())
            try:
                tosa.tflite_flatbuffer_to_tosa_mlir(
                    str(source), str(path), debug_info=tosa.TosaConverterDebugInfo.Enable
                )
            except Exception:
                if last:
                    raise
                self._take_shapes()
            else:
                return

    def _take_shapes(self) -> None:
        """Gives all tensors the shapes that the interpreter found."""
        shapes = {detail["index"]: detail["shape"] for detail in self._interpreter.get_tensor_details()}
        for index, tensor in enumerate(self._graph.tensors):  # beyond these are the interpreter's temporary ones
            tensor.shape = [int(length) for length in shapes.get(index, tensor.shape)]

    def _refused_alone(self, tosa, source: Path, path: Path) -> list[schema.OperatorT]:
        """The operations that the converter refuses also where they are the whole model, one of each kind."""
        graph, signatures = self._graph, self._model.signatureDefs
        whole = graph.operators, graph.inputs, graph.outputs
        self._model.signatureDefs = None
        refused = {}
        for operator in whole[0]:
            given = [each for each in operator.inputs if each >= 0]
            constant = [self._model.buffers[graph.tensors[each].buffer].data is not None for each in given]
            graph.operators, graph.outputs = [operator], operator.outputs
            graph.inputs = [each for each, known in zip(given, constant, strict=True) if not known]
            source.write_bytes(self._pack())
            try:
                tosa.tflite_flatbuffer_to_tosa_mlir(str(source), str(path))
            except Exception:  # noqa: BLE001 (the converter's own)
                refused.setdefault(self._operator(operator), operator)
        (graph.operators, graph.inputs, graph.outputs), self._model.signatureDefs = whole, signatures
        return list(refused.values())

    def _described(self, operator: schema.OperatorT) -> str:
        """An operation by its kind, its name, and the types and shapes of what it takes."""
        given = [self._graph.tensors[each] for each in operator.inputs if each >= 0]
        tensors = ", ".join(f"{_TYPES[each.type].lower()}{list(map(int, each.shape))}" for each in given)
        return f"{self._operator(operator)} ('{self._layer(operator)}') of {tensors}"

    def _has_softmax_of_16_bits(self) -> bool:
        return any(
            self._operator(operator) == "SOFTMAX"
            and self._graph.tensors[operator.inputs[0]].type == schema.TensorType.INT16
            for operator in self._graph.operators
        )

    def _has_sums_of_48_bits(self) -> bool:
        return any(
            self._operator(operator) in _WITH_SUMS
            and any(self._graph.tensors[each].type == schema.TensorType.INT16 for each in operator.inputs if each >= 0)
            for operator in self._graph.operators
        )

    def _mend_sums(self, path: Path) -> None:
        """Puts right what the compiler's first phase does wrongly to layers with 16-bit activations.

        It makes 64 bits of their biases' 48 without the signs, and refuses what it makes of some layers. Such a model
        is then written as that phase leaves it, or would.
        """
        biases = [self._constant(tensor) for tensor in self._graph.tensors if tensor.type == schema.TensorType.INT64]
        biases = [bias for bias in biases if bias is not None and (bias < 0).any()]
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "model.mlir"
            command = [iree.tool("iree-compile"), path, "--compile-to=input", "--mlir-print-debuginfo", "-o", written]
            done = process.run(command)
            content = written.read_bytes() if not done.exit_code and written.is_file() else None
            refused = content is None and wide_sums.are_refused(done.output)
        if refused:
            content = wide_sums.lowered(path)
        if content is None or not (biases or refused):
            return  # the compilation says what the compiler has to say
        path.write_bytes(signed_constants.corrected(content, biases))

    def _constant(self, tensor: schema.TensorT) -> np.ndarray | None:
        data = self._model.buffers[tensor.buffer].data
        return None if data is None else np.frombuffer(bytes(data), np.int64)

    def _refuse_unconverted(self, text: str) -> None:
        """Refuses operations that the converter has left as they were."""
        left = dict.fromkeys(name.upper() for name in re.findall(r'"?\btfl\.(\w+)"?[( ]', text))
        found = [operator for operator in self._graph.operators if self._operator(operator) in left]
        names = dict.fromkeys(f"{self._operator(operator)} ('{self._layer(operator)}')" for operator in found)
        raise UnusableError(
            f"the converter to TOSA leaves operations that IREE does not know: {', '.join(names or left)}. "
            "Write the model without them, for example with that last step on the host, or in another format, such "
            "as ONNX"
        )

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        steps = self._steps()
        makers = {each.outputs[0]: self._operator(each) for each in self._graph.operators}
        described = []
        for detail, array in zip(self._answers, arrays, strict=True):
            step = steps.get(detail["index"]) or None
            behind = _SQUASHING.get(makers.get(detail["index"])) if step else None
            # What is computed of an open batch is known now that it ran.
            described.append(self._spec(detail | {"shape": array.shape}, step=step, behind=behind))
        return described


def _chosen(model: schema.ModelT, selection: Selection) -> tuple[str | None, schema.SubGraphT]:
    """The signature that is meant, if the file has any, and its subgraph."""
    signatures = {each.signatureKey.decode("utf-8", "replace"): each for each in model.signatureDefs or []}
    name = selection.choose(list(signatures), default="serving_default")
    number = signatures[name].subgraphIndex if name else 0
    if not model.subgraphs or number >= len(model.subgraphs):
        raise UnusableError("it has no subgraph to run: write the file again with TensorFlow Lite's converter")
    graph = model.subgraphs[number]
    if not len(graph.inputs) or not len(graph.outputs):
        missing = "outputs" if len(graph.inputs) else "inputs"
        raise UnusableError(f"it has no {missing}: a model for the chip takes and gives at least one tensor")
    return name, graph


def _element_type(what: str, number: int) -> None:
    name = _TYPES.get(number, "?").lower()
    check_element_type(what, {"string": "str", "float64": "float64"}.get(name, name))


def load(path: Path, selection: Selection) -> TfliteModel:
    """Loads a .tflite file."""
    content = path.read_bytes()
    problem = ""
    try:
        tf.lite.Interpreter(model_content=content)  # whose verifier looks for damage
    except (ValueError, RuntimeError) as error:
        problem = first_line(error)
    if "Flatbuffer" in problem:
        raise UnusableError(f"it is broken, perhaps cut off ({problem}). Copy or convert it again")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    except Exception as error:  # noqa: BLE001 (the generated reader raises whatever a broken file leads to)
        raise UnusableError(f"it is broken: {first_line(error)}. Copy or convert it again") from error
    return TfliteModel(model, selection)
