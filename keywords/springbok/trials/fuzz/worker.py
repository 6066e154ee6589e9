# SPDX-License-Identifier: Apache-2.0
"""Tries networks, one after the other, in a process of its own: frameworks stay loaded, and two chips stay up.

A compiler or framework that crashes or never ends takes this process with it, and `springbok.trials.fuzz.pool` starts
another one.
"""

from __future__ import annotations

import importlib
import os
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from springbok.compiler import iree
from springbok.compiler.importers.selection import Selection, SelectionError
from springbok.compiler.importers.worker import UnusableError
from springbok.compiler.judgement import PRECISION, QUANTISED_STEPS, difference_of
from springbok.modules.vmfb import read_vmfb
from springbok.session import Session
from springbok.support.errors import BenchError, CompileError, CompilerDidNotEnd, ModelError
from springbok.tensors import TensorSpec
from springbok.trials.fuzz.networks import Network
from springbok.trials.fuzz.variants import HOST, NONE, PLACES, VARIANTS, Compiled, OptimizerError, compile_variants
from springbok.trials.fuzz.weights import quantisation, random_of

#: How far a variant's floating-point outputs may be from the variant `NONE`'s at the same place.
VARIANT_TOLERANCE = 1e-5
SAMPLES = 6
#: So many of them run on the chips: all lowest, all highest, and one at random.
CHIP_SAMPLES = 3
#: Functions that TOSA and TensorFlow Lite look up in tables of their own, in steps of 16 bits.
_TABLE_STEPS, _TABLE_INTERVAL = 64, 128
#: Seconds that an inference of so small a network may take on the simulated chip.
_CHIP_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_COMPILERS_NO = "iree-compile can't compile"

# How a network can fail.
WRONG, EXCEPTION, CRASH, REFUSED, UNCLEAR, HANG, CHIP = (
    "wrong answer",
    "exception in the optimizer",
    "crash of the compiler",
    "error of the compiler",
    "refusal without a sentence",
    "hang",
    "failure on the chip",
)


@dataclass(frozen=True)
class Finding:
    """What is wrong with a network: how, in which variant, where, and a sentence about it."""

    kind: str
    variant: str
    place: str
    detail: str

    @property
    def signature(self) -> tuple[str, str, str]:
        """What stays the same while the network is shrunk."""
        text = re.sub(r"[-+]?\d[\d.e+-]*", "N", self.detail) if self.kind not in (WRONG, HANG) else ""
        return self.kind, self.variant, re.sub(r"'[^']*'|%\w+|\"[^\"]*\"|<[^>]*>", "_", text)[:120]

    def describe(self) -> str:
        """A line."""
        return f"{self.kind}: {self.variant} at {self.place}: {self.detail}"


@dataclass
class Outcome:
    """What became of a network. ``refusal`` is why a framework or importer did not take it; ``modules`` were run."""

    network: Network
    findings: list[Finding] = field(default_factory=list)
    refusal: str = ""
    modules: int = 0


@dataclass
class _Tried:
    """A network while it is tried: its inputs, what must come out, and the answers by variant and place."""

    outcome: Outcome
    inputs: np.ndarray | None = None
    expected: list[np.ndarray] = field(default_factory=list)
    answers: dict[tuple[str, str], list[np.ndarray]] = field(default_factory=dict)

    def take(self, folder: Path) -> bool:
        """Imports the network into a new folder; whether that can be gone on with."""
        folder.mkdir()
        try:
            self.inputs, self.expected = _import(self.outcome.network, folder)
        except (UnusableError, SelectionError, ModelError) as error:
            self.outcome.refusal = str(error)
        except Exception as error:  # noqa: BLE001 (what is no sentence is a finding)
            text = f"{type(error).__name__}: {str(error).strip()[:300]}"
            self.outcome.findings.append(Finding(UNCLEAR, NONE, "import", text))
        else:
            return True
        return False


class Bench:
    """Tries networks. Ends its chips when it is left."""

    def __init__(self, stage: Callable[[str], None] = lambda text: None) -> None:
        self._stage = stage
        self._chips: dict[str, Session] = {}

    def close(self) -> None:
        """Ends the chips."""
        for session in self._chips.values():
            session.shut_down()
        self._chips = {}

    def try_network(
        self, network: Network, variants: Sequence[str] = VARIANTS, places: Sequence[str] = PLACES
    ) -> Outcome:
        """Compiles and runs a network everywhere; what is wrong is in the outcome's findings."""
        (outcome,) = self.try_networks([network], variants, places)
        return outcome

    def try_networks(
        self, networks: Sequence[Network], variants: Sequence[str] = VARIANTS, places: Sequence[str] = PLACES
    ) -> list[Outcome]:
        """Tries several networks, which share the starts of the compiler."""
        tried = {f"n{number}": _Tried(Outcome(network)) for number, network in enumerate(networks)}
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            self._stage("import")
            models = {}
            for name, each in tried.items():
                if each.take(Path(folder) / name):
                    models[name] = Path(folder) / name / "model.mlir"
            self._stage("compilation")
            for place, made in compile_variants(models, places, variants, Path(folder)) if models else ():
                for name, compiled in made.items():
                    self._run_variants(tried[name], compiled, place)
                self._stage("compilation")
        for name in models:
            _judge(tried[name].outcome, tried[name].answers, tried[name].expected)
        return [each.outcome for each in tried.values()]

    def _run_variants(self, tried: _Tried, compiled: Compiled, place: str) -> None:
        """Runs what was compiled of a network; equal variants once."""
        findings = tried.outcome.findings
        findings.extend(_finding_of(error, variant, place) for variant, error in compiled.errors.items())
        known: dict[tuple[Path, str], list[np.ndarray] | Finding] = {}
        for variant, module in compiled.modules.items():
            if module not in known:
                self._stage(f"{variant} at {place}")
                tried.outcome.modules += 1
                known[module] = self._run(place, variant, *module, tried.inputs)
            result = known[module]
            if isinstance(result, Finding):
                findings.append(replace(result, variant=variant))
            else:
                tried.answers[variant, place] = result

    def _run(
        self, place: str, variant: str, module: Path, entry: str, inputs: np.ndarray
    ) -> list[np.ndarray] | Finding:
        try:
            if place == HOST:
                return iree.run_in_process(module, entry, [inputs])
            return self._run_on_chip(module, entry, int(place), inputs)
        except BenchError as error:
            with suppress(BenchError):
                if place in self._chips:
                    self._chips.pop(place).shut_down()
            return Finding(CHIP, variant, place, str(error).splitlines()[0][:300])
        except Exception as error:  # noqa: BLE001 (IREE's runtime raises what it likes)
            return Finding(REFUSED, variant, place, f"{type(error).__name__}: {str(error).strip()[:300]}")

    def _run_on_chip(self, module: Path, entry: str, vlen: int, inputs: np.ndarray) -> list[np.ndarray]:
        declared = read_vmfb(module.read_bytes(), "the network", entry)
        model = SimpleNamespace(
            name="network",
            entry=entry,
            vmfb=module,
            inputs=declared.inputs,
            outputs=declared.outputs,
            dispatches=(),
        )
        session = self._chips.get(str(vlen))
        if session is None:
            session = self._chips[str(vlen)] = Session()
            session.boot("spike", vlen=vlen, count_opcodes=False, sensor=False)
        session.load_model(model, check=False)
        signless = inputs.view(declared.inputs[0].dtype)
        answers = [session.infer(sample, raw=True, timeout=_CHIP_SECONDS) for sample in signless[:CHIP_SAMPLES]]
        return [np.stack(arrays) for arrays in zip(*answers, strict=True)]


def _import(network: Network, folder: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Writes the network as model.mlir; returns inputs and the framework's answers, samples first."""
    path = write_model(network, folder)
    if network.front_end == "stablehlo":
        path.rename(folder / "model.mlir")
        inputs = sample_inputs(network, None)
        return inputs, _reference(network, inputs)
    model = importlib.import_module(f"springbok.compiler.importers.worker_{network.front_end}").load(path, Selection())
    if (remark := getattr(model, "remark", "")) and network.dtype != "int16":  # which `_near_framework` makes up for
        raise UnusableError(remark)  # its framework's answers are not those of its converter, and users are told so
    inputs = sample_inputs(network, model.inputs[0])
    model.run([inputs[0]])
    model.write_mlir(folder / "model.mlir")
    if network.front_end == "onnx":
        return inputs, _reference(network, inputs)
    answers = [model.run([sample]) for sample in inputs]
    return inputs, [np.stack(arrays) for arrays in zip(*answers, strict=True)]


def write_model(network: Network, folder: Path) -> Path:
    """Writes the network as a model file into ``folder``; returns its path."""
    if network.front_end == "stablehlo":
        from springbok.trials.fuzz import stablehlo_writer

        path = folder / "network.mlir"
        path.write_text(stablehlo_writer.write(network), encoding="utf-8")
    elif network.front_end == "onnx":
        from springbok.trials.fuzz import onnx_writer

        path = folder / "network.onnx"
        path.write_bytes(onnx_writer.write(network).SerializeToString())
    else:
        from springbok.trials.fuzz import tflite_writer

        path = folder / "network.tflite"
        path.write_bytes(tflite_writer.write(network))
    return path


def _reference(network: Network, inputs: np.ndarray) -> list[np.ndarray]:
    """The answers of ONNX's reference implementation, which is written in NumPy."""
    from onnx.reference import ReferenceEvaluator

    from springbok.trials.fuzz import onnx_writer

    evaluator = ReferenceEvaluator(onnx_writer.write(network, for_reference=True))
    whole = network.dtype == "int32"
    answers = [evaluator.run(None, {"x": sample.astype(np.float64) if whole else sample}) for sample in inputs]
    stacked = [np.stack(arrays) for arrays in zip(*answers, strict=True)]
    if whole:  # as whole numbers of 32 bits wrap around
        return [array.astype(np.int64).astype(np.int32) for array in stacked]
    return stacked


def sample_inputs(network: Network, spec: TensorSpec | None) -> np.ndarray:
    """`SAMPLES` inputs: all lowest, all highest, at random; the extremes in turn, a single one, a narrow range."""
    dtype = {"int32": np.int8}.get(network.dtype, np.dtype(network.dtype))
    floating = np.issubdtype(dtype, np.floating)
    low, high = (-32.0, 32.0) if floating else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    shape = network.shape
    places = np.arange(int(np.prod(shape))).reshape(shape)
    middle = 0 if floating or spec is None else spec.zero_point
    random = random_of(network, 0, 2)
    normal = random.standard_normal(shape) if floating else random.integers(low, high, shape, endpoint=True)
    narrow = random.standard_normal(shape) * 5 + middle
    samples = [
        np.full(shape, low),
        np.full(shape, high),
        normal,
        np.where(places % 2 == 0, high, low),
        np.where(places == places.size // 2, high, middle),
        narrow if floating else np.clip(np.rint(narrow), low, high),
    ]
    return np.stack(samples[:SAMPLES]).astype(dtype)


def _finding_of(error: Exception, variant: str, place: str) -> Finding:
    text = str(error)
    if isinstance(error, OptimizerError):
        return Finding(EXCEPTION, variant, place, text)
    first = text.splitlines()[0][:400]
    if isinstance(error, CompileError) and "compiler crashed" in first:
        return Finding(CRASH, variant, place, first)
    if isinstance(error, CompilerDidNotEnd):
        return Finding(HANG, variant, place, first)
    return Finding(REFUSED, variant, place, first)


def _judge(outcome: Outcome, answers: dict[tuple[str, str], list[np.ndarray]], expected: list[np.ndarray]) -> None:
    """Adds a finding for every variant and place whose outputs are too far from what they must be near to.

    The variant `NONE` is held against the framework; the others against `NONE` at the same place, or against the
    framework where that one is wrong itself.
    """
    network = outcome.network
    integers = network.dtype != "float32"
    if outcome.findings and all(map(_is_refusal_of_stock, outcome.findings)):
        outcome.refusal, outcome.findings = f"stock {outcome.findings[0].detail}", []
    for (variant, place), got in answers.items():
        stock = answers.get((NONE, place))
        near_framework = _near_framework(network)
        found = _difference(network, got, expected, near_framework)
        if variant != NONE and stock is not None:
            exact = 0 if integers else VARIANT_TOLERANCE
            stock_wrong = _difference(network, stock, expected, near_framework)
            if not stock_wrong:
                found = _difference(network, got, stock, exact) or found
            elif _difference(network, got, stock, exact) == "":
                found = ""  # as wrong as stock IREE, which is a finding already
        if found:
            against = "the framework" if variant == NONE or stock is None else "stock IREE and the framework"
            outcome.findings.append(Finding(WRONG, variant, place, f"{found}, held against {against}"))


def _is_refusal_of_stock(finding: Finding) -> bool:
    """Whether iree-compile says that it can't compile the network as it is: users get it optimized, or this."""
    return (finding.kind, finding.variant) == (REFUSED, NONE) and finding.detail.startswith(_COMPILERS_NO)


def _near_framework(network: Network) -> float:
    """How far stock IREE may be from the framework."""
    if network.dtype == "int16":
        scales = quantisation(network)
        tables = [node for node in network.nodes if node.get("function", node.kind) in ("softmax", "sigmoid", "tanh")]
        if tables:
            # An entry each 128 steps of the input, and straight lines between them: curvatures are at most 1.
            apart = max(_TABLE_INTERVAL * scales[node.inputs[0]][0] for node in tables)
            return _TABLE_STEPS + 2**15 * apart**2 / 8
    if network.dtype == "float32":
        exponentials = max(_exponentials(network)[number] for number in network.outputs)
        return PRECISION["float32"] * 10 ** max(0, exponentials - 1)
    return 0 if network.dtype == "int32" else QUANTISED_STEPS


def _exponentials(network: Network) -> list[int]:
    """How many exponentials stand behind one another up to each layer: each is up to 88 times as wrong as the last."""
    found = [0]
    for node in network.nodes:
        found.append(max(found[number] for number in node.inputs) + (node.get("function", node.kind) == "exp"))
    return found


def _difference(network: Network, got: list[np.ndarray], wanted: list[np.ndarray], allowed: float) -> str:
    """What differs by more than ``allowed``, or nothing."""
    for number, have, want in zip(network.outputs, got, wanted, strict=True):
        signed = have.view(want.dtype) if have.dtype.itemsize == want.dtype.itemsize else have
        for sample, (one, other) in enumerate(zip(signed, want, strict=False)):  # chips run fewer samples
            distance = difference_of(one, other)
            if distance.max(initial=0) > allowed:
                at = np.unravel_index(int(distance.argmax()), distance.shape)
                count = int((distance > allowed).sum())
                return (
                    f"output of layer {number} ({network.nodes[number - 1].kind}), sample {sample}: {count} of "
                    f"{distance.size} elements differ, by at most {distance.max():.3g} (allowed {allowed:g}); at "
                    f"{[int(each) for each in at]} it is {one[at]!s}, not {other[at]!s}"
                )
    return ""


def _end_with(owner: int) -> None:
    """Ends this process when the one that started it is gone, however it went."""
    while os.getppid() == owner:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def settle(folder: Path) -> None:
    """Makes this process a quiet one that ends with its parent, with its temporary files in ``folder``."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    # What the compiler and the frameworks print is no concern of the trial's output.
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def answer(connection, outcomes_of: Callable[..., Sequence]) -> None:
    """Requests in, what ``outcomes_of`` makes of each one out, until the other end is closed."""
    try:
        while True:
            connection.send(("outcomes", outcomes_of(*connection.recv())))
    except (EOFError, KeyboardInterrupt):
        pass


def serve(connection, folder: Path) -> None:
    """The process: networks in, outcomes out. Temporary files go to ``folder``."""
    settle(folder)
    bench = Bench(lambda text: connection.send(("stage", text)))
    try:
        answer(connection, bench.try_networks)
    finally:
        bench.close()
