# SPDX-License-Identifier: Apache-2.0
"""Three answers to a drawn model, and how they compare: ours, ONNX's reference implementation's, onnxruntime's.

Ours is that of the module compiled for this machine with the default plan, as the check of `Compile Model` has it. That
check is made too, with its own samples: what it finds is told to users, and is no silent wrong answer.
"""

from __future__ import annotations

import enum
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from springbok.compiler import iree
from springbok.compiler.importers.selection import Selection, SelectionError
from springbok.compiler.importers.worker import UnusableError
from springbok.compiler.judgement import Tolerance, judge
from springbok.compiler.probes import probe
from springbok.support.errors import BenchError
from springbok.tensors import TensorSpec
from springbok.trials.fuzz.variants import ALL, HOST, Compiled, OptimizerError, compile_variants
from springbok.trials.fuzz.worker import answer, settle
from springbok.trials.references import departures
from springbok.trials.references.drawing import Case

#: What floating-point answers may differ by beside the default: three programs add up in three orders.
_ROUNDING = Tolerance(factor=10.0, steps=1.0)
#: What the words of a refusal must not hold: they are those of a program, not of a sentence.
_NO_SENTENCE = re.compile(r"Traceback|\b\w+(?:Error|Exception): |<class |object at 0x")


class Verdict(enum.Enum):
    """How a model ended."""

    RIGHT = "right"
    REFUSED = "refused"
    TOLD = "told wrong"
    WRONG = "wrong"
    CRASH = "crash"


@dataclass(frozen=True)
class Result:
    """How a model ended, and why.

    ``reference`` says how ONNX's reference implementation differs from onnxruntime, ``oracle`` why that has no answer.
    """

    case: Case
    verdict: Verdict
    reason: str = ""
    reference: str = ""
    oracle: str = ""

    def __str__(self) -> str:
        lines = [f"{self.case.name:26} {self.verdict.value:10} {self.reason}".rstrip()]
        if self.reference:
            lines.append(f"    the reference is not onnxruntime's: {self.reference}")
        if self.reference or self.verdict in (Verdict.WRONG, Verdict.CRASH, Verdict.TOLD):
            lines.append(f"    {self.case.describe()}")
        return "\n".join(lines)


@dataclass
class _Tried:
    """A model while it is tried."""

    case: Case
    result: Result | None = None
    specs: list[TensorSpec] = field(default_factory=list)
    reference: list[np.ndarray] = field(default_factory=list)
    probes: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])

    def end(self, verdict: Verdict, reason: str, **more: str) -> None:
        self.result = Result(self.case, verdict, reason, **more)

    def take(self, folder: Path) -> Path | None:
        """Imports the model into a new folder as the importer's worker does; its MLIR, or None where that ends it."""
        from springbok.compiler.importers import worker_onnx

        folder.mkdir()
        path, mlir = folder / f"{self.case.operator}.onnx", folder / "model.mlir"
        path.write_bytes(self.case.model)
        try:
            model = worker_onnx.load(path, Selection())
            run = _each(model.run)
            definition = {"nan": model.answers_nan, "integers": model.makes_integers}
            self.probes = probe(model.inputs, run, any_integer=model.takes_any_integer, **definition)
            self.reference = run(list(self.case.inputs))
            model.write_mlir(mlir)
            self.specs = model.describe_outputs([array[0] for array in self.reference])
        except (UnusableError, SelectionError, BenchError) as error:
            self.refuse(str(error))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a finding)
            self.end(Verdict.CRASH, f"{type(error).__name__}: {_line(str(error))}")
        return None if self.result else mlir

    def refuse(self, text: str) -> None:
        """Ends it with what the project says, which is a finding where it is no sentence."""
        crashed = any(words in text for words in ("crashed", "without a message", "did not end"))
        self.end(Verdict.CRASH if crashed or _NO_SENTENCE.search(text) else Verdict.REFUSED, _line(text))

    def judge(self, compiled: Compiled) -> None:
        """Ends it with what its module answers."""
        if error := compiled.errors.get(ALL):
            if isinstance(error, OptimizerError) or not isinstance(error, BenchError):
                self.end(Verdict.CRASH, f"{type(error).__name__}: {_line(str(error))}")
            else:
                self.refuse(str(error))
            return
        module, entry = compiled.modules[ALL]
        try:
            checked = self._answers(module, entry, self.probes[0])
            told = judge(self.specs, checked, self.probes[1])
            got = self._answers(module, entry, list(self.case.inputs))
        except Exception as error:  # noqa: BLE001 (IREE's runtime raises what it likes)
            self.end(Verdict.CRASH, f"it does not run: {type(error).__name__}: {_line(str(error))}")
            return
        wanted, oracle = _onnxruntime(self.case)
        differs = _difference(self.specs, self.reference, wanted) if wanted else ""
        if not told.passed:
            self.end(Verdict.TOLD, told.explain(), reference=differs, oracle=oracle)
            return
        found = _difference(self.specs, got, wanted or self.reference)
        departs = departures.reason(self.case.operator, self.case.model, wanted) if found and wanted else ""
        if departs and not _difference(self.specs, got, self.reference):
            self.end(Verdict.RIGHT, f"as the reference; of onnxruntime, {departs}")
            return
        against = "" if not found else ", held against onnxruntime" if wanted else ", held against the reference alone"
        self.end(Verdict.WRONG if found else Verdict.RIGHT, found + against, reference=differs, oracle=oracle)

    def _answers(self, module: Path, entry: str, inputs: list[np.ndarray]) -> list[np.ndarray]:
        signless = [array.view(f"i{array.itemsize}") if array.dtype.kind == "u" else array for array in inputs]
        made = iree.run_in_process(module, entry, signless)
        return [array.view(spec.dtype) for array, spec in zip(made, self.specs, strict=True)]


def _each(run: Callable) -> Callable:
    """``run``, for samples along the first axis."""

    def all_of(inputs: list[np.ndarray]) -> list[np.ndarray]:
        answers = [run([np.asarray(each) for each in sample]) for sample in zip(*inputs, strict=True)]
        return [np.stack(arrays) for arrays in zip(*answers, strict=True)]

    return all_of


def _onnxruntime(case: Case) -> tuple[list[np.ndarray], str]:
    """What onnxruntime answers, or nothing and why; without its rewriting of graphs, which is not the specification."""
    try:
        import onnxruntime
    except ImportError:
        return [], "it is not installed"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(case.model, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        run = _each(lambda arrays: session.run(None, dict(zip(names, arrays, strict=True))))
        return run(list(case.inputs)), ""
    except Exception as error:  # noqa: BLE001 (it has errors of its own, and of pybind11)
        return [], _line(str(error))


def _difference(specs: Sequence[TensorSpec], got: list[np.ndarray], wanted: list[np.ndarray]) -> str:
    """How answers differ beyond rounding, or nothing."""
    for spec, one, other in zip(specs, got, wanted, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            return f"'{spec.name}' is {one.dtype}{list(one.shape[1:])}, not {other.dtype}{list(other.shape[1:])}"
    judgement = judge(specs, got, wanted, _ROUNDING)
    if judgement.passed:
        return ""
    worst = judgement.worst
    return f"'{worst.output}' of sample {worst.sample} at {list(worst.element)} is {worst.got!r}, not {worst.wanted!r}"


def try_cases(cases: Sequence[Case], stage: Callable[[str], None] = lambda text: None) -> list[Result]:
    """Compiles the models together, runs them, and compares what they answer."""
    tried = {f"m{number}": _Tried(case) for number, case in enumerate(cases)}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        stage("import")
        imported = {name: each.take(Path(folder) / name) for name, each in tried.items()}
        models = {name: mlir for name, mlir in imported.items() if mlir}
        stage("compilation")
        for _, made in compile_variants(models, (HOST,), (ALL,), Path(folder)) if models else ():
            stage("answers")
            for name, compiled in made.items():
                tried[name].judge(compiled)
    return [each.result for each in tried.values()]


def serve(connection, folder: Path) -> None:
    """A process for `springbok.trials.fuzz.pool.Worker`: models in, results out. Its files go to ``folder``."""
    settle(folder)
    answer(connection, lambda cases, *_: try_cases(cases, lambda text: connection.send(("stage", text))))


def _line(text: str) -> str:
    return " ".join(re.split(r"\nThe (?:command was|flags were):| Flags: ", text)[0].split())[:400]
