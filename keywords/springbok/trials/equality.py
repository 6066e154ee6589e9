# SPDX-License-Identifier: Apache-2.0
"""Whether optimised modules answer as stock IREE's do: ``./bench trial equality [MODEL…]``.

Every model of robot/models.robot, in every variant: as it is compiled by default, with each transformation switched
off, with each set of flags, and without vectors. Integers must be equal to the bit, and so must all outputs of int8
models; floating point within 1e-6 of the sample's largest output, or of 1 if that is smaller.

Places where modules run (``--on``)::

    host        the rewritten model, compiled for this machine: the transformations, whatever the chip's VLEN
    128 … 1024  the modules that a chip of this VLEN gets, on Spike: code and flags too

The stock module is the chip's own where numbers are floating point (another machine's `exp` differs in the last bit);
for integers it is this machine's, which the chip's is compared with on the first inputs. What a module answered is
kept in ``build/models``, so that a run which was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.chips.description import load
from springbok.compiler import iree, optimizer
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR, compile_model
from springbok.compiler.host_check import host_flags
from springbok.compiler.judgement import difference_of
from springbok.compiler.optimizer import CONSTANTS, DEFAULT_FLAG_SET, FLAG_SETS, TRANSFORMATIONS, Plan, plan_for
from springbok.data import datasets
from springbok.exploring.search import FLOAT_TOLERANCE, NAMES
from springbok.firmware import build_firmware
from springbok.session import Session
from springbok.support.cache import Cache, digest
from springbok.support.errors import BenchError, CompileError
from springbok.support.places import model_file
from springbok.tensors import TensorSpec, fit

#: The data sets that models are for; of the others none is at hand.
DATA_SETS = {
    "gestures.h5": "basic_motions",
    "gestures_int8.tflite": "basic_motions",
    "gru.keras": "watch",
    "gru_int8.tflite": "watch",
    "conv1d": "watch",
    "conv1d.tflite": "watch",
    "digits.onnx": "mnist",
    "digits_jax.mlirbc": "mnist",
    "resnet8.keras": "mnist_colour",
    "resnet8_int8.tflite": "mnist_colour",
}
SAMPLES = 256
HOST = "host"
PLACES = (HOST, *(str(vlen) for vlen in load().vlens if vlen))
#: Inputs on which the chip's stock module is compared with this machine's.
STOCK_SAMPLES = 8
#: What code without vectors runs on: its length makes no difference.
SCALAR_VLEN = 512
#: Floating-point inputs without limits are at most this large, but for one sample.
_LARGE, _HUGE, _TINY = 32.0, 1e6, 1e-30


@dataclass(frozen=True)
class Variant:
    """A way to compile a model: ``plan`` gives the optimizer's plan for a VLEN."""

    name: str
    plan: Callable[[int], Plan]
    vectors: bool = True

    def target(self, vlen: int) -> Target:
        """The core that it is compiled for."""
        return Target(vlen=vlen, vectors=self.vectors)


@dataclass(frozen=True)
class Row:
    """How far the outputs of a variant were from the stock module's, at most; ``error`` says why it has none."""

    model: str
    variant: str
    place: str
    samples: int
    differ_by: float | None
    allowed: float
    seconds: float
    error: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether they were as near as they must be."""
        return self.differ_by is not None and self.differ_by <= self.allowed

    def describe(self) -> str:
        """A line of the table."""
        found = f"{self.differ_by:.3g}" if self.differ_by is not None else "-"
        verdict = "equal" if self.is_equal else self.error or "DIFFERENT"
        start = f"{self.model:26} {self.variant:24} {self.place:>5} {self.samples:>5} {found:>9} {self.seconds:>7.1f}"
        return f"{start}  {verdict}"


def variants_on(place: str) -> list[Variant]:
    """Every variant that makes a difference at ``place``."""

    def standard(vlen: int, *without: str) -> Plan:
        return plan_for(optimizer.DEFAULT_LEVEL, vectors=True, vlen=vlen).without(*without)

    others = [name for name in TRANSFORMATIONS if name != CONSTANTS]
    found = [Variant("standard", standard)]
    found += [Variant(f"without {name}", lambda vlen, name=name: standard(vlen, name)) for name in others]
    if place == HOST:
        for name in others:
            rest = [each for each in others if each != name]
            found.append(Variant(f"{name} alone", lambda vlen, rest=rest: standard(vlen, *rest)))
        return [*found, Variant(f"{CONSTANTS} alone", lambda vlen: standard(vlen, *others))]
    for name in FLAG_SETS:
        if name != DEFAULT_FLAG_SET:
            found.append(
                Variant(
                    f"flags '{name}'",
                    lambda vlen, name=name: plan_for(optimizer.DEFAULT_LEVEL, vectors=True, vlen=vlen, flag_set=name),
                )
            )
    if int(place) == SCALAR_VLEN:
        scalar = Variant("scalar", lambda vlen: plan_for(optimizer.DEFAULT_LEVEL, vectors=False, vlen=vlen), False)
        found.append(scalar)
    return found


def equality_inputs(specs: Sequence[TensorSpec], samples: int, real: np.ndarray | None = None) -> list[np.ndarray]:
    """``samples`` inputs, the same on every run: extremes first, then real data, then random values.

    ``real`` are samples of a data set, for models with one input. Returns one array an input.
    """
    random = np.random.default_rng(8)
    arrays = [_extremes(spec) for spec in specs]
    if real is not None:
        (known,) = fit("the model", specs, [real[: max(samples // 4, 1)]])
        arrays = [np.concatenate([arrays[0], known])]
    count = max(samples - len(arrays[0]), 0)
    return [
        np.concatenate([array, _random(spec, count, random)])[:samples]
        for spec, array in zip(specs, arrays, strict=True)
    ]


def _bounds(spec: TensorSpec) -> tuple[float, float]:
    dtype = np.dtype(spec.dtype)
    if dtype == np.bool_:
        return 0, 1
    if np.issubdtype(dtype, np.integer):
        # Wider integers may be indices.
        return (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.itemsize == 1 else (0, 1)
    return spec.limits or (-_LARGE, _LARGE)


def _extremes(spec: TensorSpec) -> np.ndarray:
    low, high = _bounds(spec)
    size = spec.elements
    places = np.arange(size)
    middle = spec.zero_point if low <= spec.zero_point <= high else low
    even = places % 2 == 0
    columns = places % spec.shape[-1] % 2 == 0
    found = [
        *(np.full(size, value) for value in (low, high, middle, min(middle + 1, high), max(middle - 1, low))),
        *(np.where(mask, high, low) for mask in (even, ~even, columns, ~columns)),
        *(np.where(mask, high, low) for mask in (places < size // 2, places >= size // 2)),
        *(np.where(places == place, high, middle) for place in {0, size // 2, size - 1}),
        *(np.where(places == place, low, middle) for place in {0, size // 2, size - 1}),
        np.linspace(low, high, size),
        np.linspace(high, low, size),
    ]
    if np.issubdtype(np.dtype(spec.dtype), np.floating):
        found += [np.full(size, _TINY), np.full(size, -0.0)]
        found += [] if spec.limits else [np.full(size, _HUGE), np.where(even, _HUGE, -_HUGE)]
    return np.stack(found).reshape(-1, *spec.shape).astype(spec.dtype)


def _random(spec: TensorSpec, count: int, random: np.random.Generator) -> np.ndarray:
    """Even distributions over the whole range, and narrow ones around the middle, in turn."""
    low, high = _bounds(spec)
    values = random.uniform(low, high, (count, *spec.shape))
    narrow = np.arange(count) % 2 == 1
    values[narrow] = spec.zero_point + (values[narrow] - spec.zero_point) / 16
    if np.issubdtype(np.dtype(spec.dtype), np.floating):
        return values.astype(spec.dtype)
    return np.clip(np.rint(values), low, high).astype(spec.dtype)


def differ_by(outputs: Sequence[np.ndarray], stock: Sequence[np.ndarray]) -> float:
    """The largest difference: of integers in steps, of floating point as `judgement.difference_of` measures it."""
    return max(
        float(difference_of(got, wanted).max())
        for array, expected in zip(outputs, stock, strict=True)
        for got, wanted in zip(array, expected, strict=True)
    )


class Bench:
    """Compiles and runs the variants of one model after the other. Ends its chip when it is left."""

    def __init__(self, samples: int = SAMPLES, cache: Cache | None = None) -> None:
        self.samples = samples
        self.cache = cache or Cache(DEFAULT_OUTPUT_DIR)
        self._session = Session()
        self._vlen: int | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.shut_down()

    def compare(self, file: Path, dataset: str | None, variant: Variant, place: str) -> Row:
        """Runs one variant of a model. Raises what compiling the stock module or running does."""
        started = time.monotonic()
        vlen = SCALAR_VLEN if place == HOST else int(place)
        stock = compile_model(file, variant.target(vlen), optimize="none")
        real = datasets.load(dataset).inputs if dataset else None
        inputs = equality_inputs(stock.inputs, self.samples, real)
        allowed = 0.0 if "int8" in file.name else FLOAT_TOLERANCE
        try:
            if place == HOST:
                outputs = self.on_host(stock, variant.plan(vlen), inputs)
            else:
                model = compile_model(file, variant.target(vlen), optimize=variant.plan(vlen))
                outputs = self._on_chip(model, inputs, vlen)
        except CompileError as error:
            reason = f"not compiled: {str(error).splitlines()[0][:120]}"
            return Row(file.name, variant.name, place, 0, None, allowed, time.monotonic() - started, reason)
        expected, error = self._stock_outputs(stock, inputs, place, allowed)
        worst = differ_by(outputs, expected)
        seconds = time.monotonic() - started
        return Row(file.name, variant.name, place, len(inputs[0]), worst, -1 if error else allowed, seconds, error)

    def _stock_outputs(
        self, stock: CompiledModel, inputs: list[np.ndarray], place: str, allowed: float
    ) -> tuple[list[np.ndarray], str]:
        """What the stock module answers, and what is wrong with that."""
        if place == HOST or not allowed:
            expected = self.on_host(stock, Plan("none"), inputs)
        if place == HOST:
            return expected, ""
        if allowed:
            return self._on_chip(stock, inputs, int(place)), ""
        first = self._on_chip(stock, [array[:STOCK_SAMPLES] for array in inputs], int(place))
        same = differ_by(first, [array[:STOCK_SAMPLES] for array in expected]) == 0
        return expected, "" if same else "the stock modules of chip and host differ"

    def on_host(self, stock: CompiledModel, plan: Plan, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Answers of the model, rewritten by the plan, on this machine."""
        flags = [flag for flag in host_flags(stock.flags) if not flag.startswith("--iree-execution-model=")]

        def make(folder: Path) -> None:
            module = folder / "host.vmfb"
            optimizer.compile_module(stock.mlir, flags, plan, module, stock.name, for_host=True)
            _save(folder, iree.run_in_process(module, stock.entry, inputs))

        parts = (flags, plan.transformations, optimizer.VERSION, stock.compiler_version, *_bytes_of(inputs))
        return self._outputs(stock, digest(HOST, stock.mlir.read_bytes(), *parts), make)

    def _on_chip(self, model: CompiledModel, inputs: list[np.ndarray], vlen: int) -> list[np.ndarray]:
        """Answers of the module on a chip with this VLEN."""

        def make(folder: Path) -> None:
            self._boot(vlen)
            self._session.load_model(model)
            answers = [self._session.infer(*sample, raw=True, timeout=600) for sample in zip(*inputs, strict=True)]
            _save(folder, [np.stack(arrays) for arrays in zip(*answers, strict=True)])

        firmware = build_firmware().sha256
        return self._outputs(model, digest("spike", model.vmfb_sha256, vlen, firmware, *_bytes_of(inputs)), make)

    def _outputs(self, model: CompiledModel, key: str, make: Callable[[Path], None]) -> list[np.ndarray]:
        folder, _ = self.cache.entry(f"{model.name}-equality", key, make)
        with np.load(folder / "outputs.npz") as arrays:
            return [arrays[f"arr_{number}"] for number in range(len(arrays.files))]

    def _boot(self, vlen: int) -> None:
        if self._vlen != vlen:
            self._session.boot("spike", vlen=vlen, count_opcodes=False)
            self._vlen = vlen


def _save(folder: Path, outputs: Sequence[np.ndarray]) -> None:
    np.savez(folder / "outputs.npz", *outputs)


def _bytes_of(inputs: Sequence[np.ndarray]) -> list[object]:
    return [part for array in inputs for part in (array.dtype.str, array.shape, array.tobytes())]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a variant; the exit status is 1 when one differs, or when the default one is not compiled."""
    parser = argparse.ArgumentParser(prog="./bench trial equality", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "models", nargs="*", default=NAMES, metavar="MODEL", help="files, also of models/ (default: all)"
    )
    parser.add_argument("--samples", type=int, default=SAMPLES, help=f"inputs a variant (default: {SAMPLES})")
    parser.add_argument("--on", nargs="+", default=PLACES, choices=PLACES, help="where modules run (default: all)")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="such as standard (default: all)")
    options = parser.parse_args(arguments)
    good = True
    with Bench(options.samples) as bench:
        try:
            for place in options.on:
                for file in map(model_file, options.models):
                    for variant in variants_on(place):
                        if options.variants and variant.name not in options.variants:
                            continue
                        row = bench.compare(file, DATA_SETS.get(file.name), variant, place)
                        good &= row.is_equal or (row.differ_by is None and "flags" in variant.name)
                        sys.stdout.write(f"{row.describe()}\n")
                        sys.stdout.flush()
        except BenchError as error:
            sys.stderr.write(f"optimizer equality: {error}\n")
            return 2
    return 0 if good else 1
