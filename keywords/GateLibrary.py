# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that say no, and why: limits on what an evaluation came to."""

import math
from pathlib import Path

from robot.api import SkipExecution, logger
from robot.api.deco import keyword, library
from robot.libraries.BuiltIn import BuiltIn

from gate_listener import GateListener, verdict_file
from results_of_keywords import CONVERTERS
from springbok import session
from springbok.chips.description import load
from springbok.compiler.compiled import CompiledModel
from springbok.gate import baseline, gate, snapshots
from springbok.gate.gate import Limit
from springbok.measuring import metrics
from springbok.measuring.evaluation import Evaluation
from springbok.measuring.fit import Fit, fit
from springbok.support.errors import plain
from springbok.support.places import baselines_of
from springbok.support.suggestions import did_you_mean

_MISSING = ("fail", "skip")


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class GateLibrary:
    """Judges evaluations: against limits, and against the baselines of the repository. Exact numbers only.

    A limit that is not kept fails with one form of message: the metric, the measured value, the limit, the change,
    and the dispatches and opcodes that account for it. Every verdict is kept in ``gate.json`` in Robot's output
    folder, from which reports and CI summaries are made.

    | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
    | Performance Should Not Regress | ${evaluation} | |
    | Instructions Per Inference Should Be At Most | ${evaluation} | 800000 |
    | Accuracy Should Be At Least | ${evaluation} | 0.95 |
    """

    def __init__(self) -> None:
        self._recorded: dict[Path, tuple[str, str]] = {}
        self.ROBOT_LIBRARY_LISTENER = GateListener()

    @keyword(tags=("gate", "assertion"))
    def performance_should_not_regress(self, evaluation: Evaluation, missing: str = "fail", **tolerances: str) -> None:
        """Fails when any recorded metric is worse than in the baseline of this configuration.

        A configuration is a suite, model, variant, data set, engine and vector length. Its baseline is a file below
        ``results/baselines/``, written by ``./bench run --update-baselines``. What is better than the baseline is
        reported too, and passes. Where a seed tries the chip nothing is compared or written: the test is skipped.

        | =Argument=  | =Meaning= |
        | evaluation  | what ran |
        | missing     | ``fail`` or ``skip``: what happens when there is no baseline of this configuration |
        | tolerances  | by metric: ``64`` (absolute), ``0.5%``, or ``any`` (not judged); default 0 |

        Metrics: ``accuracy``, ``mean_absolute_error``, ``root_mean_square_error``, ``r_squared``, ``auc``,
        ``outputs_sha256``, ``instructions``, ``runtime_instructions``, ``lane_utilisation``,
        ``scalar_dispatches``, ``stack_accesses``, ``whole_register_moves``, ``load_instructions``,
        ``memory_peak_bytes``, ``module_bytes``,
        ``firmware_bytes``, ``firmware_bss_bytes``, ``samples``; ``cycles`` where a core's RTL counts them, and
        ``estimated_cycles`` where the chip was booted with a ``timing``: those are compared only where the baseline's
        were estimated by the same description in the same version; else the report says that they were not.

        Examples:
        | Performance Should Not Regress | ${evaluation} |
        | Performance Should Not Regress | ${evaluation} | instructions=0.5% | module_bytes=64 | outputs_sha256=any |
        """
        if missing not in _MISSING:
            near = did_you_mean(missing, _MISSING)
            raise gate.GateError(f"missing={missing} is unknown{near}: choose from {', '.join(_MISSING)}.")
        gate.check_tolerances(tolerances, others=("missing", "evaluation"))
        if evaluation.no_comparison():
            raise SkipExecution(plain(evaluation.no_comparison()))
        measured = _snapshot(evaluation)
        folder = Path(_variable("BASELINES") or baselines_of(_suite_file()))
        self._claim(baseline.path_of(folder, measured), evaluation)
        if _variable("UPDATE_BASELINES"):
            changes = baseline.write(folder, measured)
            verdict_file().add_update(baseline.path_of(folder, measured), changes)
            logger.info("\n".join([f"{baseline.path_of(folder, measured)} is the baseline now:", *changes]))
            return
        try:
            known = baseline.read(folder, measured)
        except baseline.NoBaseline as error:
            verdict_file().add_missing(baseline.path_of(folder, measured), snapshots.title(measured))
            if missing == "skip":
                raise SkipExecution(str(error)) from error
            raise AssertionError(plain(str(error))) from error
        verdicts = gate.compare(measured, known, tolerances)
        verdict_file().add_comparison(baseline.path_of(folder, measured), verdicts)
        _tell(verdicts, gate.causes_text(measured, known))

    def _claim(self, path: Path, evaluation: Evaluation) -> None:
        """Two things that differ may not share a baseline: each would be judged by the other's."""
        module, data = self._recorded.setdefault(path, (evaluation.model.vmfb_sha256, evaluation.dataset.sha256))
        if module != evaluation.model.vmfb_sha256:
            raise gate.GateError(
                f"Two modules of this run would share the baseline {path.name}. "
                "Give one of them a name of its own: Compile Model    …    name=…"
            )
        if data != evaluation.dataset.sha256:
            raise gate.GateError(
                f"Two data sets of this run would share the baseline {path.name}. "
                "Give one of them a name of its own: Load Data Set    …    title=…"
            )

    @keyword(tags=("gate", "assertion"))
    def metric_should_keep_its_limit(self, evaluation: Evaluation, metric: str, limit: str) -> None:
        """Fails when the metric is worse than ``limit``: above it, or below where higher is better.

        For every metric of `Performance Should Not Regress`, ``max_abs_error``, ``stack_peak_bytes`` and
        ``vset_per_vector``.

        Example:
        | Metric Should Keep Its Limit | ${evaluation} | runtime_instructions | 8000 |
        """
        _judge(evaluation, metric, limit if metric == "outputs_sha256" else _number(limit))

    @keyword(tags=("gate", "assertion"))
    def instructions_per_inference_should_be_at_most(self, evaluation: Evaluation, maximum: float) -> None:
        """Fails when an inference executes more instructions than this, on average.

        Example:
        | Instructions Per Inference Should Be At Most | ${evaluation} | 810000 |
        """
        _judge(evaluation, "instructions", maximum)

    @keyword(tags=("gate", "assertion"))
    def estimated_cycles_should_be_at_most(
        self, evaluation: Evaluation, maximum: float, dispatch: str | None = None
    ) -> None:
        """Fails when an inference takes more estimated cycles than this, and says what they go to.

        The chip must be booted with a ``timing``. With ``dispatch`` (as in `Dispatch Should Be Vectorized`) the limit
        is for each dispatch that matches.

        Examples:
        | Estimated Cycles Should Be At Most | ${evaluation} | 50000 |
        | Estimated Cycles Should Be At Most | ${evaluation} | 30000 | conv_1 |
        """
        _judge_code(evaluation, "estimated_cycles", maximum, dispatch)

    @keyword(tags=("gate", "assertion"))
    def no_known_defect_should_be_executed(self, evaluation: Evaluation) -> None:
        """Fails when a dispatch executed instructions that show a known defect of the chip; names its layer.

        Known defects stand in the chip's description: opcode, vl, SEW and LMUL. Skipped where the engine can't tell of
        all of them: RTL tells no vector configuration, a device no opcodes.

        Example:
        | No Known Defect Should Be Executed | ${evaluation} |
        """
        found = evaluation.defects()
        if found:
            raise AssertionError(f"Known defects of the chip show in {evaluation.model.name}: {'; '.join(found)}.")
        if untold := evaluation.untold_defects:
            names = " and ".join(f"'{name}'" for name in untold)
            raise SkipExecution(plain(f"This engine can't tell of known defects of the chip: {names}."))

    @keyword(tags=("gate", "assertion"))
    def model_should_fit(self, model: CompiledModel, platform: str | None = None) -> None:
        """Fails when a chip has too little memory for the model, beside the runtime; says by memory what lacks.

        No chip is run. ``platform`` is a chip's name or the path of its description, by default that of the run.

        Examples:
        | ${model}= | Compile Model | m.tflite |
        | Model Should Fit | ${model} |
        | Model Should Fit | ${model} | coralnpu_highmem |
        """
        found = _fit(model, platform)
        verdict_file().add([gate.fit_verdict(model.variant, found)])
        if not found.fits:
            raise AssertionError(plain(found.describe()))
        logger.info(found.describe())

    @keyword(tags=("gate",))
    def skip_unless_model_fits(self, model: CompiledModel, platform: str | None = None) -> None:
        """Skips the rest of the test where a chip has too little memory for the model, and says by memory what lacks.

        For suites that run on several chips; `Model Should Fit` fails instead.

        Example:
        | Skip Unless Model Fits | ${model} |
        """
        found = _fit(model, platform)
        if not found.fits:
            raise SkipExecution(plain(found.describe()))

    @keyword(tags=("gate", "assertion"))
    def runtime_instructions_should_be_at_most(self, evaluation: Evaluation, maximum: float) -> None:
        """Fails when the runtime, outside of all dispatches, executes more instructions an inference than this.

        Example:
        | Runtime Instructions Should Be At Most | ${evaluation} | 8000 |
        """
        _judge(evaluation, "runtime_instructions", maximum)

    @keyword(tags=("gate", "assertion"))
    def load_instructions_should_be_at_most(self, evaluation: Evaluation, maximum: int) -> None:
        """Fails when verifying and loading the module takes more instructions than this.

        Example:
        | Load Instructions Should Be At Most | ${evaluation} | 100000 |
        """
        _judge(evaluation, "load_instructions", maximum)

    @keyword(tags=("gate", "assertion"))
    def should_execute_fewer_instructions(self, evaluation: Evaluation, reference: Evaluation) -> None:
        """Fails unless an inference of ``evaluation`` executes fewer instructions than one of ``reference``.

        Example:
        | Should Execute Fewer Instructions | ${vector} | ${scalar} |
        """
        other = _snapshot(reference)
        bound = other["metrics"]["instructions"] - 1
        limit = Limit("instructions", bound, f"fewer than {snapshots.title(other)}", is_measured=True)
        measured = _snapshot(evaluation)
        verdict = gate.judge(measured, limit)
        _settle([gate.judge(measured, limit, other) if verdict.has_failed else verdict])

    @keyword(tags=("gate", "assertion"))
    def vector_utilization_should_be_at_least(self, evaluation: Evaluation, minimum: float | str) -> None:
        """Fails when the executed vector instructions use a smaller share of the lanes that there were.

        The share is from 0 to 1, or as ``60%``.

        Example:
        | Vector Utilization Should Be At Least | ${evaluation} | 0.6 |
        """
        _judge(evaluation, "lane_utilisation", _share(minimum))

    @keyword(tags=("gate", "assertion"))
    def dispatch_should_be_vectorized(self, evaluation: Evaluation, dispatch: str, minimum: float = 0.01) -> None:
        """Fails when less than ``minimum`` (0 to 1) of a dispatch's instructions is vector work.

        ``dispatch`` is a dispatch's name, what of the name is the kernel's own, or a layer of the model; ``*`` and
        ``?`` stand for any letters, and all that match are judged.

        Examples:
        | Dispatch Should Be Vectorized | ${evaluation} | conv_1 |
        | Dispatch Should Be Vectorized | ${evaluation} | *vecmat* | 0.2 |
        """
        _settle(gate.judge_dispatches(_snapshot(evaluation), dispatch, minimum))

    @keyword(tags=("gate", "assertion"))
    def stack_traffic_should_be_at_most(
        self, evaluation: Evaluation, maximum: float, dispatch: str | None = None
    ) -> None:
        """Fails when kernels load from their stack and store to it more often than this: spilled registers, buffers.

        ``maximum`` is for an inference; with ``dispatch`` (as in `Dispatch Should Be Vectorized`) for each dispatch
        that matches.

        Examples:
        | Stack Traffic Should Be At Most | ${evaluation} | 2000 |
        | Stack Traffic Should Be At Most | ${evaluation} | 0 | conv_1 |
        """
        _judge_code(evaluation, "stack_accesses", maximum, dispatch)

    @keyword(tags=("gate", "assertion"))
    def vset_per_vector_instruction_should_be_at_most(
        self, evaluation: Evaluation, maximum: float, dispatch: str | None = None
    ) -> None:
        """Fails when more than so many ``vset*`` are executed for each vector instruction, the runtime's too.

        ``dispatch`` is as in `Stack Traffic Should Be At Most`.

        Examples:
        | Vset Per Vector Instruction Should Be At Most | ${evaluation} | 0.25 |
        | Vset Per Vector Instruction Should Be At Most | ${evaluation} | 0.1 | *vecmat* |
        """
        _judge_code(evaluation, "vset_per_vector", maximum, dispatch)

    @keyword(tags=("gate", "assertion"))
    def whole_register_moves_should_be_at_most(
        self, evaluation: Evaluation, maximum: float, dispatch: str | None = None
    ) -> None:
        """Fails when more whole vector registers are copied (``vmv1r.v`` to ``vmv8r.v``) in an inference than this.

        ``dispatch`` is as in `Stack Traffic Should Be At Most`.

        Example:
        | Whole Register Moves Should Be At Most | ${evaluation} | 100 |
        """
        _judge_code(evaluation, "whole_register_moves", maximum, dispatch)

    @keyword(tags=("gate", "assertion"))
    def memory_should_be_at_most(self, evaluation: Evaluation, maximum: int) -> None:
        """Fails when the module and all that it allocates take more bytes of the chip's memory than this.

        Example:
        | Memory Should Be At Most | ${evaluation} | 131072 |
        """
        _judge(evaluation, "memory_peak_bytes", maximum)

    @keyword(tags=("gate", "assertion"))
    def stack_should_be_at_most(self, evaluation: Evaluation, maximum: int) -> None:
        """Fails when the firmware's stack grows beyond this many bytes.

        Example:
        | Stack Should Be At Most | ${evaluation} | 4096 |
        """
        _judge(evaluation, "stack_peak_bytes", maximum)

    @keyword(tags=("gate", "assertion"))
    def module_size_should_be_at_most(self, evaluation: Evaluation, maximum: int) -> None:
        """Fails when the compiled module is larger than this many bytes.

        Example:
        | Module Size Should Be At Most | ${evaluation} | 40000 |
        """
        _judge(evaluation, "module_bytes", maximum)

    @keyword(tags=("gate", "assertion"))
    def firmware_size_should_be_at_most(self, evaluation: Evaluation, maximum: int) -> None:
        """Fails when the firmware's code, constants and data are more than this many bytes.

        Example:
        | Firmware Size Should Be At Most | ${evaluation} | 65536 |
        """
        _judge(evaluation, "firmware_bytes", maximum)

    @keyword(tags=("gate", "assertion"))
    def outputs_should_have_digest(self, evaluation: Evaluation, sha256: str) -> None:
        """Fails unless every output byte of every sample is as it was when this digest was taken.

        The digest is ``outputs_sha256`` in ``metrics.json``.

        Example:
        | Outputs Should Have Digest | ${evaluation} | 3f5a…64 hexadecimal digits |
        """
        _judge(evaluation, "outputs_sha256", sha256)

    @keyword(tags=("gate", "assertion"))
    def accuracy_should_be_at_least(self, evaluation: Evaluation, minimum: float | str) -> None:
        """Fails when the device gives fewer than this share (0 to 1, or as ``90%``) of the recordings their label.

        Example:
        | Accuracy Should Be At Least | ${evaluation} | 0.9 |
        """
        _judge(evaluation, "accuracy", _share(minimum))

    @keyword(tags=("gate", "assertion"))
    def mean_absolute_error_should_be_at_most(self, evaluation: Evaluation, maximum: float) -> None:
        """Fails when the device's answers are further from the right values than this, on average. For regressions.

        Example:
        | Mean Absolute Error Should Be At Most | ${evaluation} | 0.25 |
        """
        _judge(evaluation, "mean_absolute_error", maximum)

    @keyword(tags=("gate", "assertion"))
    def root_mean_square_error_should_be_at_most(self, evaluation: Evaluation, maximum: float) -> None:
        """Fails when the root of the mean square distance from the right values is more than this. For regressions.

        Example:
        | Root Mean Square Error Should Be At Most | ${evaluation} | 0.4 |
        """
        _judge(evaluation, "root_mean_square_error", maximum)

    @keyword(tags=("gate", "assertion"))
    def r_squared_should_be_at_least(self, evaluation: Evaluation, minimum: float) -> None:
        """Fails when R², the share of the values' variance that the device's answers explain, is less. For regressions.

        Example:
        | R Squared Should Be At Least | ${evaluation} | 0.9 |
        """
        _judge(evaluation, "r_squared", minimum)

    @keyword("AUC Should Be At Least", tags=("gate", "assertion"))
    def auc_should_be_at_least(self, evaluation: Evaluation, minimum: float) -> None:
        """Fails when anomalies have a higher score than normal samples more rarely than this (0 to 1).

        It is the area under the receiver operating characteristic, of data loaded with ``task=anomaly``. A model that
        gives one number scores by it, one that reconstructs its input by the mean square of what it misses.

        Example:
        | AUC Should Be At Least | ${evaluation} | 0.85 |
        """
        _judge(evaluation, "auc", minimum)

    @keyword(tags=("gate", "assertion"))
    def accuracy_should_equal_the_hosts(self, evaluation: Evaluation) -> None:
        """Fails when device and host do not give the same share of recordings their label.

        Example:
        | Accuracy Should Equal The Hosts | ${evaluation} |
        """
        quality = evaluation.quality
        host = quality.figures(host=True).get("accuracy", 1.0)
        verdict = gate.judge(_snapshot(evaluation), Limit("accuracy", host, "the host's", is_measured=True))
        _settle([verdict])
        if quality.accuracy != host:
            raise AssertionError(plain(f"{verdict.text()} It is higher than the host's:\n{quality.confusion_table()}"))

    @keyword(tags=("gate", "assertion"))
    def outputs_should_agree_with_the_host(
        self, evaluation: Evaluation, tolerance: float = 1e-5, steps: int = 0
    ) -> None:
        """Fails when any output of any recording differs from the host's by more than ``tolerance``.

        Of a quantised output, the tolerance is ``steps`` of its integers: 0 is the same to the bit. A model's outputs
        are judged each by itself, when it has several. A tolerance that every answer keeps is refused: answers of
        nothing but 0 would, or steps beyond the integers. Outputs that are no numbers never agree, an infinite one with
        itself alone.

        Examples:
        | Outputs Should Agree With The Host | ${evaluation} | 1e-5 |
        | Outputs Should Agree With The Host | ${int8 evaluation} | steps=1 |
        """
        quality, specs = evaluation.quality, evaluation.model.outputs
        _check_reach(evaluation, tolerance, steps)
        measured = _snapshot(evaluation)
        judged_first = sorted(range(len(specs)), key=lambda number: number != evaluation.output)
        verdicts = []
        for number, error in zip(judged_first, quality.errors, strict=False):
            spec = specs[number]
            allowed = ((steps + 0.5) * spec.scale if steps else 0.0) if spec.is_quantised else tolerance
            limit = Limit("max_abs_error", allowed, f"output {spec}" if len(specs) > 1 else "")
            verdicts.append(gate.judge({**measured, "metrics": {**measured["metrics"], "max_abs_error": error}}, limit))
        sample = quality.worst_sample()
        answers = f"Recording {sample}. Device: {quality.outputs[sample]} Host: {quality.host_outputs[sample]}"
        _settle(verdicts, answers)


def _check_reach(evaluation: Evaluation, tolerance: float, steps: int) -> None:
    """Raises GateError for a tolerance or steps that every answer keeps."""
    judged_first = sorted(enumerate(evaluation.model.outputs), key=lambda pair: pair[0] != evaluation.output)
    largest = list(zip((spec for _, spec in judged_first), evaluation.quality.host_magnitudes, strict=False))
    real = [max(1.0, magnitude) for spec, magnitude in largest if not spec.is_quantised]
    if real and tolerance >= max(real):
        raise gate.GateError(
            f"The tolerance {tolerance:g} is kept by answers of nothing but 0: the host's outputs are at most "
            f"{max(real):g} in size. Give a smaller one."
        )
    bits = [8 * spec.nbytes // max(1, spec.elements) for spec, _ in largest if spec.is_quantised]
    if bits and steps >= 2 ** max(bits) - 1:
        raise gate.GateError(f"steps={steps} are all that {max(bits)} bits can differ by: give fewer.")


def _fit(model: CompiledModel, platform: str | None) -> Fit:
    """On the chip that is named, else on the one that runs, with the firmware that it runs."""
    running = session.current
    if platform is None and running.description is not None:
        return fit(model, running.description, running.firmware)
    return fit(model, load(platform))


def _number(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        raise gate.GateError(f"The limit '{given}' is no number.") from None


def _share(given: float | str) -> float:
    """A share from 0 to 1 as people write it: ``0.9``, or ``90%``. Raises GateError for what is none."""
    text = str(given).strip()
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 1:
        raise gate.GateError(f"'{given}' is no share: write a number from 0 to 1, or per cent, such as 0.9 or 90%.")
    return found


def _judge(evaluation: Evaluation, metric: str, bound: object) -> None:
    _settle([gate.judge(_snapshot(evaluation), Limit(metric, bound))])


def _judge_code(evaluation: Evaluation, metric: str, bound: float, dispatch: str | None) -> None:
    if dispatch is None:
        _judge(evaluation, metric, bound)
    else:
        _settle(gate.judge_dispatches(_snapshot(evaluation), dispatch, bound, metric))


def _settle(verdicts: list[gate.Verdict], details: str = "") -> None:
    """Keep the verdicts on limits, and tell them."""
    verdict_file().add(verdicts)
    _tell(verdicts, details)


def _tell(verdicts: list[gate.Verdict], details: str = "") -> None:
    """Log the verdicts, and fail with all that did not hold, and what else there is to know of it."""
    logger.info("\n".join(verdict.text() for verdict in verdicts))
    if any(verdict.has_failed for verdict in verdicts):
        raise AssertionError(plain(gate.failure_text(verdicts, details)))


def _snapshot(evaluation: Evaluation) -> dict:
    return snapshots.snapshot(metrics.evaluation_document(evaluation), _suite_file().stem)


def _suite_file() -> Path:
    return Path(BuiltIn().get_variable_value("${SUITE SOURCE}") or "suite")


def _variable(name: str) -> object:
    return BuiltIn().get_variable_value(f"${{{name}}}")
