# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that are MLPerf Tiny's runner: they talk to the firmware in text."""

import numpy as np
from robot.api import logger
from robot.api.deco import keyword, library

from results_of_keywords import CONVERTERS
from springbok import session
from springbok.compiler.compiled import CompiledModel
from springbok.link.mlperf import MlperfRunner, RunnerInferences, RunnerStream
from springbok.measuring import mlperf
from springbok.support.errors import LinkError, ModelError
from springbok.support.suggestions import did_you_mean


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class MlperfLibrary:
    """Is MLPerf Tiny's runner: loads inputs into the chip by its dialogue in text, and has them inferred.

    | Load Model      | ${model} |
    | Start Runner    | kws01    |
    | ${inferences}=  | Infer By Runner | ${recording} | count=10 | warmups=1 |
    | Log             | ${inferences.results} |
    """

    def __init__(self) -> None:
        self._runner: MlperfRunner | None = None
        self._task: mlperf.Task | None = None
        self._model: CompiledModel | None = None

    @keyword(tags=("mlperf",))
    def start_runner(self, task: str, model: CompiledModel | None = None) -> None:
        """Tells the chip what the runner is to know of the model, closes the link, and begins a dialogue in text.

        ``task`` is ``kws01``, ``vww01``, ``ic01``, ``ic02``, ``ad01`` or ``sww01``. The model stays loaded; ``model``
        is for one that was loaded by others.

        Example:
        | Start Runner | kws01 |
        """
        if task not in mlperf.TASKS:
            raise ModelError(
                f"MLPerf Tiny has no task '{task}'{did_you_mean(task, mlperf.TASKS)}: {', '.join(mlperf.TASKS)}."
            )
        self.end_runner()
        found, link = mlperf.TASKS[task], session.current.need_link()
        model = model or session.current.need_model()
        link.introduce(found.introduction(model.inputs[0], model.outputs[0]))
        url, engine = link.url, session.current.engine
        session.current.disconnect()
        options = {} if engine is None else {"diagnose": engine.diagnose}
        self._runner, self._task, self._model = MlperfRunner(url, timeout=link.timeout, **options), found, model
        logger.info(f"{self._runner.name()}: {self._runner.profile()}")

    @keyword(tags=("mlperf",))
    def end_runner(self) -> None:
        """Closes the line, for the link or the benchmark's own runner to take it. Harmless when there is no dialogue.

        Example:
        | [Teardown] | End Runner |
        """
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    @keyword(tags=("mlperf",))
    def runner_command(self, text: str) -> list[str]:
        """Sends a command, without its ``%``; returns the lines of the answer, without ``m-ready``.

        Fails with what the chip says when it refuses the command.

        Example:
        | ${lines}= | Runner Command | profile |
        | Run Keyword And Expect Error | *Invalid hex digits* | Runner Command | db 0x |
        """
        lines = self._need().command(text)
        logger.info("\n".join(lines))
        return lines

    @keyword(tags=("mlperf",))
    def infer_by_runner(
        self, input: object, count: int = 1, warmups: int = 0, timeout: float = 60.0
    ) -> RunnerInferences:
        """Loads an input and infers it ``count`` times; returns ``results``, ``microseconds`` and ``a_second``.

        ``input`` is what the link's `Infer` takes too: real values as floating-point numbers. Bytes go as they are.

        Example:
        | ${inferences}= | Infer By Runner | ${recording} | count=10 | warmups=1 |
        | Should Be Equal | ${inferences.results[0]} | ${0.5} |
        """
        runner = self._need()
        data = (
            input if isinstance(input, bytes) else mlperf.bytes_of(self._task, self._model.inputs[0], np.asarray(input))
        )
        runner.load(data, timeout)
        found = runner.infer(count, warmups, timeout)
        logger.info(f"{found.a_second:.1f} inferences a second of the chip's time, results {found.results}")
        return found

    @keyword(tags=("mlperf",))
    def expected_results(self, input: object, output: object) -> tuple[float, ...]:
        """What the runner is to be given for an input, if the model's first output, raw, is ``output``.

        Example:
        | ${outputs}=  | Infer | ${recording} | raw=True |
        | ${expected}= | Expected Results | ${recording} | ${outputs[0]} |
        """
        self._need()
        data = mlperf.bytes_of(self._task, self._model.inputs[0], np.asarray(input))
        return mlperf.results_of(self._task, self._model.outputs[0], data, np.asarray(output))

    @keyword(tags=("mlperf",))
    def start_stream(self) -> None:
        """Begins a stream, whose window is empty.

        Example:
        | Start Stream |
        """
        self._need().start()

    @keyword(tags=("mlperf",))
    def load_frames(self, frames: object, timeout: float = 600.0) -> None:
        """Brings frames of the stream, an array (frames, bytes) of int8; returns when all of them are inferred.

        Example:
        | Load Frames | ${recording[:100]} |
        """
        self._need().load(np.ascontiguousarray(frames, np.int8).tobytes(), timeout)

    @keyword(tags=("mlperf",))
    def stop_stream(self) -> RunnerStream:
        """Ends the stream; returns its ``activations``, one a frame, and the ``busy_microseconds`` of the chip.

        Example:
        | ${stream}= | Stop Stream |
        """
        return self._need().stop()

    @keyword(tags=("mlperf",))
    def judge_stream(self, words: list) -> mlperf.Detections:
        """Asks for what was detected and judges it; ``words`` are begin and end of each, seconds.

        Returns ``found``, ``missed`` and ``false``, seconds each.

        Example:
        | ${detections}= | Judge Stream | ${recording.words} |
        | Should Be Equal As Integers | ${{len($detections.false)}} | 0 |
        """
        found = mlperf.judge_detections(self._need().detections(), [tuple(word) for word in words])
        logger.info(found.text)
        return found

    def _need(self) -> MlperfRunner:
        if self._runner is None:
            raise LinkError("There is no dialogue in text: begin one with 'Start Runner'.")
        return self._runner
