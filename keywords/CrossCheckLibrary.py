# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that hold one engine against another."""

from robot.api import SkipExecution, logger
from robot.api.deco import keyword, library

import renode_test
from results_of_keywords import CONVERTERS
from springbok import session
from springbok.compiler import compiler
from springbok.compiler.compiled import CompiledModel
from springbok.data.dataset import Dataset
from springbok.engines.spike import what_is_missing
from springbok.measuring.evaluation import Evaluation
from springbok.support.errors import plain
from springbok.trials import cross_check


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class CrossCheckLibrary:
    """Runs the same firmware and module on Renode and on Spike and compares all that both can tell.

    | Need Two Engines |
    | ${here}=  | Evaluate Model | ${model} | ${recordings} | samples=4 |
    | ${there}= | Evaluate On Spike | ${model} | ${recordings} | samples=4 |
    | Engines Should Agree | ${here} | ${there} |
    """

    @keyword(tags=("cross-check",))
    def need_two_engines(self) -> None:
        """Skips the test where Renode or Spike is missing, with a line that says which.

        Example:
        | Need Two Engines |
        """
        if renode_test.results_folder() is None:
            raise SkipExecution("Renode is not here: this compares it with Spike, under renode-test.")
        missing = what_is_missing()
        if missing is not None:
            raise SkipExecution(f"Spike is not here: this compares it with Renode. {missing}")
        renode_test.run_keyword("Reset Emulation")

    @keyword(tags=("cross-check",))
    def evaluate_on_spike(
        self,
        model: CompiledModel,
        dataset: Dataset,
        samples: int | None = None,
        vlen: int | None = None,
    ) -> Evaluation:
        """Evaluates the model on a chip of its own in Spike, beside the one that the suite has booted.

        It has the same VLEN as that one, unless ``vlen`` says otherwise.

        Example:
        | ${there}= | Evaluate On Spike | ${model} | ${recordings} | samples=4 |
        """
        other = session.Session()
        vlen = session.current.chip.vlen_bits if vlen is None else vlen
        host_outputs = compiler.framework_outputs(model, dataset.fitted(model.name, model.inputs))
        firmware = session.current.firmware.elf if session.current.firmware else None
        try:
            other.boot("spike", firmware=firmware, vlen=vlen)
            other.load_model(model)
            return other.evaluate(dataset, host_outputs, samples=samples)
        finally:
            other.shut_down()

    @keyword(tags=("cross-check", "assertion"))
    def engines_should_agree(self, first: Evaluation, second: Evaluation, names: str = "renode,spike") -> None:
        """Fails unless both gave the same output bytes and each difference of the counts is in some opcode's count.

        What differs is logged as a table, opcode by opcode; counts that differ, though explained, are a warning.

        Example:
        | Engines Should Agree | ${on renode} | ${on spike} |
        """
        one, other = names.split(",")
        check = cross_check.compare(first, second, (one, other))
        logger.write(check.table(), "INFO" if check.counts_are_equal else "WARN", html=True)
        if check.problems():
            raise AssertionError(plain("\n".join(check.problems())))
