# SPDX-License-Identifier: Apache-2.0
"""Functions in the user's own Python file: what loads their data, and what prepares it."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from springbok.data.dataset import DEFAULT_SPLIT, Dataset
from springbok.data.own.content import Content, Options, read_bytes
from springbok.support.cache import digest
from springbok.support.errors import BenchError, DatasetError

#: How a function of a file is named.
FUNCTION = re.compile(r"(?P<file>.+\.py):(?P<function>\w+)")
_PAIR = "The pair that the function returns is inputs and labels: two inputs without labels are (first, second), None."
_MODULE = "springbok_own_data"


def read_function(path: Path, name: str, options: Options) -> Content | Dataset:
    """What the function returns: inputs, (inputs, labels) or a Dataset. It is given the split if it takes one.

    Inputs are an array, a dictionary of arrays by the inputs' names, or a tuple of arrays in their order.
    """
    options.without(f"{path}:{name}", "a function", "label", "inputs", "skip", "header")
    function = find(path, name)
    given = {"split": options.split or DEFAULT_SPLIT} if _takes(function, "split") else {}
    if not given:
        options.without(f"{path}:{name}", "a function without a parameter 'split'", "split")
    with running(path, name):
        found = function(**given)
    if isinstance(found, Dataset):
        return found
    is_pair = isinstance(found, tuple) and len(found) == 2
    inputs, labels = found if is_pair else (found, None)
    where = f"{path}:{name}"
    return Content(
        inputs=as_inputs(where, inputs),
        labels=None if labels is None else _as_array(where, "labels", labels),
        what=f"function {name} of {path.name}",
        advice=_PAIR if is_pair else "A dictionary names the model's inputs; a tuple of arrays is in their order.",
    )


def find(path: Path, name: str) -> Callable[..., Any]:
    """The function ``name`` of a Python file, which is run anew. Modules beside the file can be imported by it."""
    source = read_bytes(path)
    module_name = f"{_MODULE}_{digest(str(path.absolute()), source)[:16]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    with running(path, None):
        sys.modules[module_name] = module  # dataclasses and pickles look their module up
        try:
            # Compiled from what was read: Python's own cache takes a file that changed within a second for the old one.
            exec(compile(source, str(path), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[module_name]
            raise
    function = getattr(module, name, None)
    if not callable(function):
        names = ", ".join(key for key, value in vars(module).items() if inspect.isfunction(value)) or "none"
        raise DatasetError(f"{path} has no function '{name}'; its functions: {names}.")
    return function


@contextmanager
def running(path: Path, name: str | None) -> Iterator[None]:
    """Within the context the user's code runs: what it raises becomes a DatasetError that names its line."""
    beside = str(path.absolute().parent)
    sys.path.insert(0, beside)
    try:
        yield
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        what = f"{path}:{name}" if name else f"{path}"
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        lines = f" in line {frames[-1].lineno}" if frames else ""
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines = f" in line {error.lineno}"
        text = str(error) or "no message"
        raise DatasetError(f"{what} failed{lines}: {type(error).__name__}: {text}") from error
    finally:
        if beside in sys.path:
            sys.path.remove(beside)


def as_inputs(where: str, inputs: object) -> Any:
    """Inputs that a function returned, as arrays: one, by name, or in their order. Raises DatasetError."""
    if isinstance(inputs, Mapping):
        if not inputs:
            raise DatasetError(f"{where} returned no inputs: the dictionary is empty.")
        return {str(name): _as_array(where, f"input '{name}'", each) for name, each in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(_as_array(where, f"input {number}", each) for number, each in enumerate(inputs))
    return _as_array(where, "inputs", inputs)


def _as_array(where: str, what: str, values: object) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{where}: the {what} that it returned are no array: {error}.") from error
    if array.ndim == 0 or array.dtype.kind not in "biufUS":
        raise DatasetError(
            f"{where}: the {what} that it returned are {type(values).__name__} ({array.dtype}{list(array.shape)}): "
            "return an array with the samples first, (inputs, labels), or a dictionary of inputs by name."
        )
    return array


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(each.name == name or each.kind is each.VAR_KEYWORD for each in parameters)
