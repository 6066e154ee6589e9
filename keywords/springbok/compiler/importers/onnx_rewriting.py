# SPDX-License-Identifier: Apache-2.0
"""Rewrites an ONNX graph, before IREE imports it, into operations that IREE compiles rightly.

An operator has a rewriting where IREE lacks it, or expands it wrongly. A rewriting is a function of the graph and a
node: it adds nodes that give the same outputs, or returns False to leave the node as it is. They stand in
`springbok.compiler.importers.onnx_quantised` and `springbok.compiler.importers.onnx_functions`; constants are folded as
they are made.

Nothing here decides what is right: the answers that a module is checked with are those of the graph as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from springbok.compiler.importers.worker import UnusableError

#: Integers of fewer than 8 bits, which become integers of 8 bits of the same values.
PACKED = {
    TensorProto.INT4: TensorProto.INT8,
    TensorProto.UINT4: TensorProto.UINT8,
    TensorProto.INT2: TensorProto.INT8,
    TensorProto.UINT2: TensorProto.UINT8,
}

#: Types that IREE casts to in a roundabout way only: what such a value is inside the model, and as an output of it.
#: To unsigned ones it does not cast at all: outputs have the same bits as signed ones.
_ROUNDABOUT = {
    TensorProto.INT16: (TensorProto.INT16, TensorProto.INT16),
    TensorProto.UINT16: (TensorProto.INT32, TensorProto.INT16),
    TensorProto.UINT32: (TensorProto.INT64, TensorProto.INT32),
}


#: Unsigned integers that the model computes with as wider ones, and what these are.
HELD_WIDE = {kind: wide for kind, (wide, _) in _ROUNDABOUT.items() if wide != kind}
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


class Graph:
    """A graph that is rewritten: what there is to know about its values, and the nodes made so far.

    Names of values stay what they are, and so do their types and shapes, but for those of `PACKED`.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.version = version_of(model)
        graph = model.graph
        self._values = {info.name: info.type.tensor_type for info in (*graph.value_info, *graph.input, *graph.output)}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._arrays: dict[str, np.ndarray] = {}
        self._types: dict[str, int] = {}
        self._outputs = {info.name for info in graph.output}
        self._made: list[onnx.NodeProto] = []
        self._layer = ""
        self._names = {*self._values, *self._constants, *self._producers}
        self._names.update(name for node in graph.node for name in node.input)
        self._count = 0

    # What is known

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a constant; None for what is computed."""
        if name not in self._arrays:
            if name in self._constants:
                self._arrays[name] = numpy_helper.to_array(self._constants[name])
            else:
                producer = self._producers.get(name)
                if producer is None or producer.op_type != "Constant":
                    return None
                self._arrays[name] = constant_of(producer)
        return self._arrays[name]

    def type_of(self, name: str) -> int:
        """The element type, a number of `TensorProto`; 0 if it is unknown."""
        if name in self._types:
            return self._types[name]
        if name in self._constants:
            return self._constants[name].data_type
        if name in self._values:
            return self._values[name].elem_type
        array = self.constant(name)
        return 0 if array is None else onnx.helper.np_dtype_to_tensor_dtype(array.dtype)

    def declared_type(self, name: str) -> int:
        """The element type that the model itself gives a value, whatever the value has become here; 0 if unknown."""
        if name in self._values:
            return self._values[name].elem_type
        return self.type_of(name)

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """The shape; None where it is not wholly known."""
        array = self.constant(name)
        if array is not None:
            return array.shape
        tensor = self._values.get(name)
        if tensor is None or not tensor.HasField("shape"):
            return None
        if not all(dimension.HasField("dim_value") for dimension in tensor.shape.dim):
            return None
        return tuple(dimension.dim_value for dimension in tensor.shape.dim)

    def rank_of(self, name: str) -> int:
        """The number of axes. Raises :class:`UnusableError` if it is unknown."""
        shape = self.shape_of(name)
        if shape is None:
            raise UnusableError(f"the shape of its value '{name}' can't be told before it runs")
        return len(shape)

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node of the original graph that gives a value."""
        return self._producers.get(name)

    # What is made

    def value(self, array: np.ndarray) -> str:
        """A new constant."""
        name = self.new_name()
        self._arrays[name] = np.asarray(array)
        return name

    def new_name(self) -> str:
        """A name that no value of the model has."""
        while True:
            self._count += 1
            name = f"rewritten_{self._count}"
            if name not in self._names:
                return name

    def fold(self, name: str, array: np.ndarray) -> None:
        """Makes a value of the graph the constant ``array``."""
        self._arrays[name] = array

    def add(self, operator: str, *inputs: str, to: str | None = None, **attributes) -> str:
        """Adds a node, and returns its only output, named ``to`` if that is given."""
        return self._add(operator, inputs, to, attributes)

    def _add(self, operator: str, inputs: Sequence[str], output: str | None, attributes: dict[str, object]) -> str:
        name = output or self.new_name()
        self._made.append(onnx.helper.make_node(operator, inputs, [name], name=self._layer, **attributes))
        return name

    def cast(self, name: str, to_type: int, to: str | None = None) -> str:
        """The value as another type; constants are converted now."""
        array = self.constant(name)
        if to is None and self.type_of(name) == to_type:
            return name
        if array is not None and to is None:
            return self.value(array.astype(onnx.helper.tensor_dtype_to_np_dtype(to_type)))
        if to_type in _ROUNDABOUT:
            to_type = _ROUNDABOUT[to_type][to in self._outputs]
        if to_type == TensorProto.INT16 or (to in self._outputs and to_type == TensorProto.INT32):
            like = np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(to_type))
            made = self._add("CastLike", (name, self.value(like)), to, {})
        else:
            made = self._add("Cast", (name,), to, {"to": to_type})
        self._types[made] = to_type
        return made

    def is_only_output(self, name: str) -> bool:
        """Whether a value is an output of the model, and nothing in it reads it."""
        return name in self._outputs and not any(name in read_by(node) for node in self._model.graph.node)

    def declare_like(self, name: str, other: str) -> None:
        """Says that a value that is made has the type and shape of another one."""
        self._values[name] = self._values[other]

    def give_bits(self, name: str, elem_type: int) -> None:
        """Says that a value is made as ``elem_type``, whose bits are those of its own type."""
        self._types[name] = elem_type

    def numbers_like(self, name: str) -> Callable[[object], str]:
        """Makes constants of the type that a value has."""
        dtype = onnx.helper.tensor_dtype_to_np_dtype(self.type_of(name))
        return lambda value: self.value(np.asarray(value, dtype))

    def reshape(self, name: str, shape: Sequence[int], to: str | None = None) -> str:
        """The value in another shape; constants are reshaped now."""
        array = self.constant(name)
        if array is not None and to is None:
            return self.value(array.reshape(shape))
        return self.add("Reshape", name, self.value(np.array(shape, np.int64)), to=to)

    def apply(self, operator: str, function: Callable[..., np.ndarray], *names: str) -> str:
        """A node of ``operator``, or what ``function`` makes of its inputs where all are constants."""
        arrays = [self.constant(name) for name in names]
        if any(array is None for array in arrays):
            return self.add(operator, *names)
        with np.errstate(all="ignore"):
            return self.value(np.asarray(function(*arrays), arrays[0].dtype))

    def keep(self, node: onnx.NodeProto) -> None:
        """Takes a node over as it is."""
        self._made.append(node)

    def rewrite(self, rewritings: dict[str, Callable[[Graph, onnx.NodeProto], bool | None]]) -> onnx.ModelProto:
        """The model with every node rewritten that ``rewritings`` has a function for, by its operator."""
        nodes, inner = self._with_inner_names()
        for node in nodes:
            self._layer = node.name
            rewriting = rewritings.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            if rewriting is None or rewriting(self, node) is False:
                self._keep_wide(node)
        for output, name in inner.items():
            self.cast(name, self.declared_type(output), to=output)
        return self._finished()

    def _with_inner_names(self) -> tuple[list[onnx.NodeProto], dict[str, str]]:
        """The nodes, with outputs that they read, and that are held wide, under other names; and these names."""
        nodes = list(self._model.graph.node)
        read = {name for node in nodes for name in node.input}
        inner = {
            name: self.new_name()
            for name in self._outputs & read
            if name in self._producers and self.declared_type(name) in HELD_WIDE
        }
        if not inner:
            return nodes, inner
        for number, original in enumerate(nodes):
            node = onnx.NodeProto()
            node.CopyFrom(original)
            node.input[:] = [inner.get(name, name) for name in original.input]
            node.output[:] = [inner.get(name, name) for name in original.output]
            nodes[number] = node
            self._producers |= dict.fromkeys(node.output, node)
        self._values |= {name: self._values[output] for output, name in inner.items()}
        return nodes, inner

    def _keep_wide(self, node: onnx.NodeProto) -> None:
        """Takes a node over, with what is held wide as wide integers on all sides."""
        kinds = [self.declared_type(name) for name in (*node.input, *node.output) if name]
        if node.op_type == "Constant" or not any(kind in HELD_WIDE for kind in kinds):
            self.keep(node)
            return
        made = onnx.NodeProto()
        made.CopyFrom(node)
        for number, name in enumerate(node.input):
            wide = HELD_WIDE.get(self.declared_type(name)) if name else None
            made.input[number] = self.cast(name, wide) if wide else name
        self.keep(made)
        for number, name in enumerate(node.output):
            kind = self.declared_type(name) if name else 0
            if kind not in HELD_WIDE:
                continue
            made.output[number] = self.new_name() if name in self._outputs else name
            self._types[made.output[number]] = HELD_WIDE[kind]
            if name in self._outputs:
                self.cast(made.output[number], kind, to=name)

    def _finished(self) -> onnx.ModelProto:
        needed = {info.name for info in self._model.graph.output}
        kept = []
        for node in reversed(self._made):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(read_by(node))
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        graph = model.graph
        produced = {name for node in kept for name in node.output}
        packed = {tensor.name: PACKED[tensor.data_type] for tensor in graph.initializer if tensor.data_type in PACKED}
        kept_constants = [t for t in graph.initializer if t.name in needed and t.name not in packed]
        made = {name: array for name, array in self._arrays.items() if name in needed and name not in produced}
        made = {name: array for name, array in made.items() if name not in self._constants or name in packed}
        for name, wide in packed.items():
            if name in needed:
                made[name] = self.constant(name).astype(onnx.helper.tensor_dtype_to_np_dtype(wide))
        del graph.node[:], graph.value_info[:]
        graph.node.extend(reversed(kept))
        constants = [
            *kept_constants,
            *(numpy_helper.from_array(np.asarray(array), name) for name, array in made.items()),
        ]
        del graph.initializer[:]
        graph.initializer.extend(constants)
        for info in graph.output:
            elem_type = info.type.tensor_type.elem_type
            info.type.tensor_type.elem_type = self._types.get(info.name, PACKED.get(elem_type, elem_type))
        return model


def first_of(*rewritings):
    """The first rewriting that takes the node."""

    def rewriting(graph: Graph, node: onnx.NodeProto) -> bool | None:
        return None if any(each(graph, node) is not False for each in rewritings) else False

    return rewriting


def joined(*tables: dict[str, Callable]) -> dict[str, Callable]:
    """Tables of rewritings as one: an operator that several have is offered to them in their order."""
    operators = dict.fromkeys(operator for table in tables for operator in table)
    return {each: first_of(*(table[each] for table in tables if each in table)) for each in operators}


def version_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's operator set that a model is written in; 0 if it names none."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def attributes_of(node: onnx.NodeProto) -> dict[str, object]:
    """The node's attributes by their names."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def constant_of(node: onnx.NodeProto) -> np.ndarray:
    """The value of a node Constant."""
    ((name, value),) = attributes_of(node).items()
    if name in ("value", "sparse_value"):
        return numpy_helper.to_array(value)
    return np.asarray(value, {"value_int": np.int64, "value_ints": np.int64}.get(name, np.float32))


def described(node: onnx.NodeProto) -> str:
    """What errors call a node."""
    operator = f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
    name = node.name or next(iter(node.output), "")
    return f"its operation {operator} ('{name}')"


def read_by(node: onnx.NodeProto) -> set[str]:
    """The values that a node reads, in its subgraphs too."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names |= read_by(inner)
            names.update(info.name for info in graph.output)
    return names
