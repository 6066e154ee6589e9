# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that measure what an inference costs and write it down."""

from dataclasses import replace

from robot.api import SkipExecution, logger
from robot.api.deco import keyword, library
from robot.libraries.BuiltIn import BuiltIn

import renode_test
from history_listener import HistoryListener
from results_of_keywords import CONVERTERS
from springbok import report, session
from springbok.measuring import metrics
from springbok.measuring.evaluation import Evaluation
from springbok.measuring.platforms import configuration_of
from springbok.measuring.recorded import Recorded
from springbok.support.errors import plain


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class PerformanceLibrary:
    """Counts what an inference executes, exactly, between the firmware's marks, and keeps it in ``metrics.json``.

    The counts hold no boot, no upload and no waiting for the UART, and are the same on every run.

    | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
    | Record Metrics | ${evaluation} |
    | ${count}=      | Get Instructions Per Inference | ${evaluation} |
    """

    def __init__(self) -> None:
        self._recorded = Recorded()
        self.ROBOT_LIBRARY_LISTENER = HistoryListener()

    @keyword(tags=("performance", "getter"))
    def get_instructions_per_inference(self, evaluation: Evaluation) -> float:
        """Returns the mean number of instructions that one inference executed.

        Example:
        | ${count}= | Get Instructions Per Inference | ${evaluation} |
        """
        return metrics.mean(evaluation.performance.instructions)

    @keyword(tags=("performance", "getter"))
    def get_estimated_cycles_per_inference(self, evaluation: Evaluation) -> float:
        """Returns the estimated cycles of one inference, for a chip that was booted with a ``timing``.

        They are an estimate by a description of the core's pipeline, and no measurement.

        Example:
        | Boot Springbok | timing=chip |
        | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
        | ${cycles}= | Get Estimated Cycles Per Inference | ${evaluation} |
        """
        if evaluation.estimate is None:
            raise AssertionError("No cycles were estimated: boot the chip with timing=, or run with --timing.")
        return evaluation.estimate.whole()["estimated_cycles"]

    @keyword(tags=("performance", "getter"))
    def get_opcode_counts(self, evaluation: Evaluation) -> dict:
        """Returns how often one inference executed each opcode, most frequent first; empty where an engine can't tell.

        Example:
        | ${opcodes}= | Get Opcode Counts | ${evaluation} |
        | Dictionary Should Contain Key | ${opcodes} | vfmacc.vf |
        """
        return dict(evaluation.performance.opcodes or {})

    @keyword(tags=("performance", "assertion"))
    def instruction_counts_should_be_equal(self, first: Evaluation, second: Evaluation) -> None:
        """Fails unless both runs executed the same number of instructions in each inference, to the last digit.

        Skipped where a seed tries the chip: interrupts come inside inferences, and their handler is counted.

        Example:
        | Instruction Counts Should Be Equal | ${first run} | ${second run} |
        """
        _skip_without_comparison(first, second)
        counts = (first.performance.instructions, second.performance.instructions)
        if len(counts[0]) != len(counts[1]):
            raise AssertionError(f"The runs hold {len(counts[0])} and {len(counts[1])} inferences.")
        for number, (one, other) in enumerate(zip(*counts, strict=True)):
            if one != other:
                raise AssertionError(
                    f"Inference {number} executed {one} instructions in one run and {other} in the other."
                )
        logger.info(f"{len(counts[0])} inferences, the same counts in both runs: {sorted(set(counts[0]))}")

    @keyword(tags=("performance", "assertion"))
    def device_and_simulator_should_count_the_same(self, evaluation: Evaluation) -> None:
        """Fails unless the firmware's own counter and the simulator's differ by the same few instructions every time.

        The firmware reads its counter just inside the marks, so a constant difference is right; one that changes
        would mean that one of the two counts what the other doesn't. Skipped where a seed tries the chip: under
        stalls a core may read its counter before the last instruction is in it, and an interrupt may come outside of
        the reads.

        Example:
        | Device And Simulator Should Count The Same | ${evaluation} |
        """
        cost = evaluation.performance
        if any(cost.instructions) and not any(cost.device_instructions):
            raise AssertionError(
                f"The core's own counter of instructions stands: it counted 0 in each of {len(cost.instructions)} "
                "inferences. If mcountinhibit comes up set, the chip's description needs counters_stopped = true in "
                "[core]."
            )
        _skip_without_comparison(evaluation)
        differences = {one - other for one, other in zip(cost.instructions, cost.device_instructions, strict=True)}
        if len(differences) != 1:
            raise AssertionError(f"The simulator counts more than the device by {sorted(differences)} instructions.")
        logger.info(f"The simulator counts {differences.pop()} instructions more than the device in each inference.")

    @keyword(tags=("performance", "assertion"))
    def counts_should_add_up(self, evaluation: Evaluation) -> None:
        """Fails unless the dispatches and the runtime's own share are exactly the inference.

        Two independent counts are compared, for each dispatch and for what is outside of them: the instructions
        between the firmware's marks, and the executions of each opcode.

        Example:
        | Counts Should Add Up | ${evaluation} |
        """
        cost = evaluation.performance
        wrong = cost.disagreements()
        if cost.runtime_instructions < 0:
            wrong.append(f"the dispatches have {-cost.runtime_instructions:,.2f} instructions more than the inference")
        if wrong:
            raise AssertionError("The counts do not add up:\n" + "\n".join(wrong))
        logger.info(
            f"{len(cost.dispatches)} dispatches and {cost.runtime_instructions:,.2f} instructions of the runtime are "
            f"the inference's {self.get_instructions_per_inference(evaluation):,.2f} instructions."
        )

    @keyword(tags=("performance", "getter"))
    def measure_transformations(self, evaluation: Evaluation) -> Evaluation:
        """Returns the evaluation with what each of the optimizer's transformations brings, for ``Record Metrics``.

        The model is compiled once without each of them, without all of them, and as stock IREE does it. A warm
        inference of each is counted by layer, on a Spike of its own; the running chip is left alone.

        Example:
        | ${evaluation}= | Measure Transformations | ${evaluation} |
        | Record Metrics | ${evaluation} |
        """
        from springbok.exploring import breakdown

        measured = breakdown.measure(evaluation.model)
        for each in measured:
            what = breakdown.TITLES.get(each["without"], f"without {each['without']}")
            logger.info(f"{what}: {each['error'] or format(each['instructions'], ',') + ' instructions'}")
        return replace(evaluation, breakdown=measured)

    @keyword(tags=("performance",))
    def record_metrics(self, evaluation: Evaluation) -> None:
        """Adds the evaluation to ``metrics.json`` in Robot's output folder and logs its report: cards, plots, tables.

        Under renode-test the file is in a folder of the suite's name, because suites may run in parallel there.

        A second evaluation of the same model, variant, data set and level of the optimizer on the same engine, chip
        and VLEN replaces the first; of others it is one more. Where it is of other samples, flags or bytes than the
        first, which is of the same name only, a warning says so, and so do the run's table and its reports. All that
        were recorded stand as a table at the top of the log. With a variable ``${EARLIER}``, the path of an earlier
        ``metrics.json``, the cards show the change.

        Example:
        | Record Metrics | ${evaluation} |
        """
        platform = evaluation.platform or session.current.platform
        alone = metrics.evaluation_document(replace(evaluation, platform=platform))
        robot = BuiltIn()
        for sentence in self._recorded.add(alone, robot.get_variable_value("${SUITE NAME}") or "suite"):
            logger.warn(sentence)
        document = self._recorded.document
        configuration = configuration_of(alone, *alone["models"])
        entry = next(each for each in document["models"] if configuration_of(document, each) == configuration)
        path = renode_test.suite_folder() / "metrics.json"
        metrics.write(path, metrics.with_rtl_checks(path, document))
        earlier = robot.get_variable_value("${EARLIER}")
        logger.info(report.log_message(document, entry, report.read_earlier(earlier) if earlier else None), html=True)
        robot.set_suite_metadata("Performance", report.suite_summary(document), top=True)


def _skip_without_comparison(*evaluations: Evaluation) -> None:
    for sentence in filter(None, (evaluation.no_comparison() for evaluation in evaluations)):
        raise SkipExecution(plain(sentence))
