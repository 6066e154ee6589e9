# SPDX-License-Identifier: Apache-2.0
"""Robot keywords for what only Renode can tell of a run."""

import os
from dataclasses import replace
from html import escape
from pathlib import Path

from robot.api import SkipExecution, logger
from robot.api.deco import keyword, library
from robot.libraries.BuiltIn import BuiltIn

import renode_test
from results_of_keywords import CONVERTERS
from springbok import session
from springbok.compiler.compiled import CompiledModel
from springbok.data.dataset import Dataset
from springbok.engines import renode_files
from springbok.engines.renode import RenodeEngine
from springbok.measuring.evaluation import Evaluation
from springbok.support.errors import plain


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class RenodeLibrary:
    """Memory and peripheral accesses over virtual time, call stacks of the guest, snapshots, Renode's own counters.

    Needs a chip that runs in Renode (renode-test); a test that uses these keywords elsewhere is skipped.

    | ${evaluation}= | Record Accesses Over Time | ${evaluation} |
    | Record Metrics | ${evaluation} |
    | Save Guest Profile | ${recording} |
    """

    @keyword(tags=("renode",))
    def need_renode(self) -> None:
        """Skips the test, or in a suite setup the suite, where it does not run on Renode; else connects to Renode.

        That is under renode-test, or with plain ``robot`` where Renode is installed and ``ENGINE`` is ``renode``.

        Example:
        | Need Renode |
        """
        chosen = BuiltIn().get_variable_value("${ENGINE}") == "renode" and renode_test.is_there()
        if renode_test.results_folder() is None and not chosen:
            raise SkipExecution("This needs Renode: run the suite with renode-test.")
        renode_test.run_keyword("Reset Emulation")

    @keyword(tags=("renode",))
    def record_accesses_over_time(self, evaluation: Evaluation, sample: int = 0, slices: int = 50) -> Evaluation:
        """Runs one more inference and returns the evaluation with its accesses of memory and peripherals over time.

        The accesses are those of Renode's execution metrics, in slices of virtual time from the request's first byte
        to the answer's last. A vector load or store counts once for each element. `Record Metrics` then writes them to
        ``metrics.json`` and draws them.

        Example:
        | ${evaluation}= | Record Accesses Over Time | ${evaluation} | slices=100 |
        """
        engine = _renode()
        path = renode_test.suite_folder() / f"accesses-{evaluation.model.name}-{evaluation.model.variant}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        model = evaluation.model
        inputs = [array[sample] for array in evaluation.dataset.fitted(model.name, model.inputs)]
        # Code that was translated before tells of no access.
        engine.execute_paused(f"machine EnableProfiler @{path}", "sysbus.cpu ClearTranslationCache")
        try:
            session.current.infer(*inputs)
        finally:
            engine.execute_paused("sysbus.cpu StopProfilingAccesses")
        accesses = renode_files.accesses_over_time(path.read_bytes(), slices)
        path.unlink()
        totals = {name: sum(counts) for name, counts in accesses["accesses"].items()}
        logger.info(f"Accesses of one inference: {totals}")
        session.current.engine.take_counts()  # this inference is not one of the evaluation's
        return replace(evaluation, accesses_over_time=accesses)

    @keyword(tags=("renode",))
    def save_guest_profile(self, *inputs: object, name: str = "inference") -> dict:
        """Runs one inference of the loaded model and saves its call stacks, as links in the log. Returns the paths.

        ``perfetto`` opens in ui.perfetto.dev, ``stacks`` (collapsed stacks) in speedscope.app or flamegraph.pl.
        Functions have the firmware's names; the model's kernels, which it loads at run time, have none.

        Example:
        | ${files}= | Save Guest Profile | ${recordings.inputs[0:1]} | name=gestures |
        """
        engine = _renode()
        folder = renode_test.suite_folder()
        folder.mkdir(parents=True, exist_ok=True)
        files = {"perfetto": folder / f"{name}.perfetto", "stacks": folder / f"{name}.folded"}
        commands = {"perfetto": "EnableProfilerPerfetto", "stacks": "EnableProfilerCollapsedStack"}
        for kind, path in files.items():
            engine.execute_paused(f"sysbus.cpu {commands[kind]} @{path}")
            try:
                session.current.infer(*inputs)
            finally:
                engine.execute_paused("sysbus.cpu DisableProfiler")
        engine.take_counts()
        results = renode_test.results_folder() or folder
        links = ", ".join(
            f'<a href="{escape(os.path.relpath(path, results))}">{escape(path.name)}</a> ({path.stat().st_size:,} B)'
            for path in files.values()
        )
        logger.info(f"Guest profile of one inference: {links}", html=True)
        return {kind: str(path) for kind, path in files.items()}

    @keyword(tags=("renode", "assertion"))
    def renodes_own_counters_should_agree(self, model: CompiledModel, dataset: Dataset, samples: int = 2) -> None:
        """Fails unless Renode's opcode counters, read at the firmware's marks, count what was counted by blocks.

        Both are held against the core's instruction counter. Opcodes that Renode has no pattern for are named in the
        log, with how often they were executed; any other difference fails.

        Example:
        | Renodes Own Counters Should Agree | ${model} | ${recordings} |
        """
        engine = _renode()
        engine.take_counts()
        engine.opcode_counters()
        shared = session.current
        shared.load_model(model, check=False)
        for sample in zip(*dataset.first(samples).fitted(model.name, model.inputs), strict=True):
            shared.infer(*sample)
        counts, own = engine.take_counts(), engine.opcode_counters()
        comparison = renode_files.compare_counters(counts, own)
        logger.info(comparison.text())
        if comparison.problems():
            raise AssertionError(plain("\n".join(comparison.problems())))

    @keyword(tags=("renode",))
    def adopt_chip(self, model: CompiledModel | None = None, uart: str = "socket") -> None:
        """Goes on with the chip that is in Renode already: one that `Requires` restored from a snapshot, or one that
        the suite made with Renode's own keywords from ``springbok.resc``. ``model`` is what it has loaded, which is
        checked.

        What is measured follows the adopted chip: its VLEN, its counters, and the firmware in its memory; where that is
        not the one that was booted here last, metrics name none.

        Example:
        | Requires   | model-loaded |
        | Adopt Chip | ${model}     |
        """
        shared = session.current
        firmware = shared.firmware
        shared.abandon()
        engine = RenodeEngine(
            Path(firmware.elf) if firmware else Path(),
            keyword=renode_test.run_keyword,
            quiet_keyword=renode_test.run_quietly,
            uart=uart,
        )
        engine.adopt()
        if firmware and not engine.runs_its_firmware:
            logger.warn(f"The adopted chip runs another firmware than {firmware.elf}: metrics will name none.")
            firmware = None
        shared.adopt(engine, firmware, model)


def _renode() -> RenodeEngine:
    engine = session.current.need_engine()
    if not isinstance(engine, RenodeEngine):
        raise SkipExecution(f"This needs Renode, and the chip runs on {engine.name}: run the suite with renode-test.")
    return engine
