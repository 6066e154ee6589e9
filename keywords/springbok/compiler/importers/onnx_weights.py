# SPDX-License-Identifier: Apache-2.0
"""Weights of an ONNX model that lie in files beside it.

The package `onnx` reads them too, but refuses symbolic links, of which caches of downloaded models consist. Here a
file may be a link; its name may not lead out of the model's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx

from springbok.support.errors import ModelError


def files(path: Path, data: bytes) -> list[Path]:
    """The files with weights of the model in ``path``, whose content is ``data``; none if that is no model.

    Raises :class:`ModelError` for one that is missing, or that is not below the model's folder.
    """
    try:
        model = onnx.load_from_string(data)
    except Exception:  # noqa: BLE001 (protobuf's own; whoever loads the model says what is wrong with it)
        return []
    found = {location: _file(path, tensor.name, location) for tensor, location in _external(model)}
    return [found[location] for location in sorted(found)]


def load(path: Path) -> onnx.ModelProto:
    """The model in ``path`` with its weights inside.

    Raises what :func:`files` raises, and :class:`ModelError` for weights that are not in their file.
    """
    model = onnx.load(path, load_external_data=False)
    for tensor, location in _external(model):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = _file(path, tensor.name, location)
        try:
            offset, length = int(entries.get("offset") or 0), int(entries.get("length") or -1)
        except ValueError:
            offset = length = -2
        available = file.stat().st_size
        if offset < 0 or length < -1 or offset + max(length, 0) > available:
            raise ModelError(
                f"{path} says that its weights '{tensor.name}' are bytes {entries.get('offset') or 0} to "
                f"{offset + length} of {file}, which has {available} bytes: copy it again, it belongs to the model."
            )
        with file.open("rb") as opened:
            opened.seek(offset)
            tensor.raw_data = opened.read(length)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
    return model


def _file(path: Path, name: str, location: str) -> Path:
    inside = PurePosixPath(location)
    if inside.is_absolute() or ".." in inside.parts or not inside.parts:
        raise ModelError(
            f"{path} has its weights '{name}' in '{location}', which is not below the model's folder: "
            "save the model again with its weights beside it."
        )
    file = path.parent / inside
    if not file.is_file():
        raise ModelError(
            f"{path} has its weights '{name}' in the file {file}, which does not exist: copy it to this place, "
            "or save the model again with its weights inside."
        )
    return file


def _external(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, str]]:
    """The tensors whose content is elsewhere, each with the name of the file."""
    functions = (tensor for function in model.functions for tensor in _tensors_in(function.node))
    for tensor in (*_tensors_of(model.graph), *functions):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor, next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def _tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_in(graph.node)


def _tensors_in(nodes) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from _tensors_of(graph)
