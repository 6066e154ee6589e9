# SPDX-License-Identifier: Apache-2.0
"""StableHLO models answered by XLA, for `springbok.compiler.importers.worker`; written by `stablehlo_reference`.

Where StableHLO leaves an element of an output open, IREE's own answer stands.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from springbok.compiler import iree
from springbok.compiler.importers.selection import Selection
from springbok.modules.vmfb import read_vmfb
from springbok.tensors import TensorSpec

# Before XLA is loaded: it tells what it finds on the machine.
os.environ |= {"GLOG_minloglevel": "2", "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}

from jaxlib import _jax, xla_client  # noqa: E402

#: Memory that XLA takes as it is begins at multiples of it.
_ALIGNMENT = 64


class Program:
    """StableHLO text compiled by XLA for this machine."""

    def __init__(self, text: str) -> None:
        self._client = xla_client.make_cpu_client()
        self._device = self._client.local_devices()[0]
        options = xla_client.CompileOptions()
        self._loaded = self._client.compile_and_load(text, _jax.DeviceList((self._device,)), options)

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """The program's answers: an array an output."""
        buffers = [self._put(array) for array in inputs]
        outputs = self._loaded.execute_sharded(buffers).disassemble_into_single_device_arrays()
        return [np.array(shards[0]) for shards in outputs]

    def _put(self, array: np.ndarray):
        memory = np.empty(array.nbytes + _ALIGNMENT, np.uint8)
        begin = -memory.ctypes.data % _ALIGNMENT
        aligned = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
        aligned[...] = array
        return _jax.dlpack_managed_tensor_to_buffer(aligned.__dlpack__(), self._device, None)


class XlaModel:
    """A StableHLO model, and the other one that tells what is left open."""

    def __init__(self, path: Path) -> None:
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.inputs = [TensorSpec(**spec) for spec in about["inputs"]]
        self.makes_integers = about["makes_integers"]
        self._types = about["types"]
        self._outputs = [TensorSpec(**spec) for spec in about["outputs"]]
        self._program = Program(path.read_text(encoding="utf-8"))
        other = path.with_name("stablehlo-other.mlir")
        self._other = Program(other.read_text(encoding="utf-8")) if other.is_file() else None
        self._module = path.with_name("reference.vmfb")

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        given = [array.view(kind) for array, kind in zip(inputs, self._types, strict=True)]
        answers = self._program.run(given)
        others = self._other.run(given) if self._other else answers
        same = [_same(one, other) for one, other in zip(answers, others, strict=True)]
        if not all(each.all() for each in same):
            declared = read_vmfb(self._module.read_bytes(), self._module.name, with_kernels=False)
            own = iree.run_samples(self._module, declared, [array[None] for array in inputs], inline=False)
            answers = [
                np.where(defined, answer, array[0].view(answer.dtype))
                for defined, answer, array in zip(same, answers, own, strict=True)
            ]
        return [array.view(spec.dtype) for array, spec in zip(answers, self._outputs, strict=True)]

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.compiler.importers.worker.Model`: the importer has written it."""

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        del arrays
        return self._outputs


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where both are the same, but for how two programs round."""
    if one.dtype.kind != "f":
        return one == other
    return np.isclose(one.astype(np.float64), other.astype(np.float64), rtol=1e-3, equal_nan=True)


def load(path: Path, selection: Selection) -> XlaModel:
    """Loads what `stablehlo_reference.describe` has written."""
    del selection  # what was written is what was selected
    return XlaModel(path)
