# SPDX-License-Identifier: Apache-2.0
"""Long trials and benchmarks: what takes too long for ``./bench test``, which runs a bounded share of each.

``./bench trial`` lists them, ``./bench trial NAME [options]`` runs one. To add one, write a module with a function
``main(arguments)``, which returns an exit status (0 only when all is well), and its line in `TRIALS`.

Example::

    status = run("mutation", ["--count", "10"])
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from springbok.support.errors import BenchError
from springbok.support.suggestions import did_you_mean


@dataclass(frozen=True)
class Trial:
    """A trial: its name, what it does in a line, and the module whose ``main`` runs it."""

    name: str
    line: str
    module: str


TRIALS = (
    Trial(
        "fuzz",
        "random networks in every variant, here and on the chip, against frameworks",
        "springbok.trials.fuzz",
    ),
    Trial(
        "mutation",
        "damaged modules over the UART; after each one the good model still answers",
        "springbok.trials.mutation",
    ),
    Trial(
        "machine-code",
        "kernels with damaged instructions; the good model still answers, without a reset",
        "springbok.trials.machine_code",
    ),
    Trial("loader", "libFuzzer on all that a module goes through; needs Clang", "springbok.trials.loader"),
    Trial(
        "link-soak",
        "faults at random on the line; nothing hangs, no wrong answer is accepted",
        "springbok.trials.link_soak",
    ),
    Trial("link-benchmark", "speed of the link, as ratios", "springbok.trials.link_benchmark"),
    Trial("llvm-mca", "single blocks by a timing and by LLVM's model of a SiFive X280", "springbok.trials.llvm_mca"),
    Trial("counting", "what counting costs the simulator, as a ratio", "springbok.trials.counting"),
    Trial("gate", "planted regressions, each stopped with its cause named", "springbok.trials.gate_trial"),
    Trial("optimizer", "modules of every level: outputs, instructions, memory", "springbok.trials.optimizer_benchmark"),
    Trial(
        "optimizer-table",
        "models with the optimizer and without, at every VLEN; --record keeps it",
        "springbok.trials.optimizer_table",
    ),
    Trial("equality", "every variant of every model against stock IREE", "springbok.trials.equality"),
    Trial(
        "chips", "every model on every chip: fit, memory, instructions; --record keeps them", "springbok.trials.chips"
    ),
    Trial("made-up-chips", "chips drawn at random, booted, with the host's answers", "springbok.trials.made_up_chips"),
    Trial(
        "kernels-alone",
        "models where the runtime does not fit: a host drives kernels; --record keeps it",
        "springbok.trials.kernels_alone",
    ),
    Trial("search", "the flags of each model, chosen by count; --record keeps them", "springbok.exploring.search"),
    Trial(
        "newest",
        "the main job and all models on the registry's newest compiler, and what breaks there",
        "springbok.trials.newest",
    ),
    Trial("proof", "proves the optimizer's arithmetic with an SMT solver", "springbok.trials.proof"),
    Trial(
        "dead-channels",
        "what dead channels cost a network; they are exact",
        "springbok.trials.dead_channels",
    ),
    Trial("operators", "ONNX's own tests of its operators, on the chip", "springbok.trials.operators"),
    Trial("references", "drawn ONNX models against ONNX's reference and onnxruntime", "springbok.trials.references"),
    Trial("frameworks", "models of Keras in every form, on the chip", "springbok.trials.frameworks"),
    Trial(
        "overhead", "instructions and memory beside the kernels, beside IREE's C runtime", "springbok.trials.overhead"
    ),
    Trial("package", "the wheel in a bare environment, and a new repository that runs", "springbok.trials.package"),
    Trial("rtl", "an accelerator's RTL against its model", "springbok.trials.rtl"),
    Trial("rtl-bugs", "bugs planted in a core, each found with layer and instruction", "springbok.trials.rtl_bugs"),
)


def run(name: str, arguments: Sequence[str]) -> int:
    """Runs a trial with its own options; returns its exit status. Raises :class:`BenchError` for an unknown name."""
    found = [trial for trial in TRIALS if trial.name == name]
    if not found:
        names = [trial.name for trial in TRIALS]
        raise BenchError(f"There is no trial '{name}'{did_you_mean(name, names)}. Known are: {', '.join(names)}.")
    return importlib.import_module(found[0].module).main(list(arguments))
