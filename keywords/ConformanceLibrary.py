# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that compare modules on the chip with IREE's own runtime on this machine."""

from robot.api import SkipExecution, logger
from robot.api.deco import keyword, library

from springbok import session
from springbok.compiler.compiled import Target
from springbok.support.errors import plain
from springbok.trials import conformance, machine_code, mutation


@library(scope="GLOBAL", auto_keywords=False)
class ConformanceLibrary:
    """Runs the modules of ``models/conformance/`` on the chip and compares them with `iree-run-module`.

    | Prepare Conformance Modules |
    | Module Should Compute What The Host Does | gru_f32 |
    | Log Opcode Coverage |
    """

    def __init__(self) -> None:
        self._coverage = conformance.Coverage()
        self._every = True

    @keyword(tags=("conformance",))
    def prepare_conformance_modules(self, every: bool = True) -> None:
        """Compiles all modules for the running chip, several at a time; later runs find them cached.

        The expected outputs are computed too. ``every`` module is compiled with the chip's vectors and without, or the
        modules are by turns.

        Example:
        | Prepare Conformance Modules |
        | Prepare Conformance Modules | every=no |
        """
        self._coverage, self._every = conformance.Coverage(), every
        conformance.prepare_all(_targets(), every)

    @keyword(tags=("conformance", "assertion"))
    def module_should_compute_what_the_host_does(self, name: str) -> None:
        """Fails when the module, compiled with and without the chip's vectors, computes anything else on it.

        ``name`` is a file of ``models/conformance/`` without its suffix. Integers must be equal bit for bit, f32
        within 1e-5 of the largest number of their tensor.

        Example:
        | Module Should Compute What The Host Does | cnn_i8 |
        """
        source = conformance.MODULES / f"{name}.mlir"
        logger.info(f"{name}: {conformance.purpose(source)}")
        wrong = []
        for target in conformance.in_turn(source, _targets(), self._every):
            case = conformance.prepare(source, target)
            self._coverage.add(case.model)
            wrong += [f"{target.variant}: {text}" for text in conformance.check_on_chip(session.current, case)]
        if wrong:
            raise AssertionError(plain(f"{name} computes something else than on this machine:\n" + "\n".join(wrong)))

    @keyword(tags=("conformance", "getter"))
    def get_conformance_modules(self) -> list:
        """Returns the names of all modules of ``models/conformance/``.

        Example:
        | ${names}= | Get Conformance Modules |
        """
        return [source.stem for source in conformance.sources()]

    @keyword(tags=("conformance",))
    def log_opcode_coverage(self) -> dict:
        """Logs and returns which VM instructions of the firmware the modules compared so far hold.

        Keys: ``covered`` and ``never_covered``, lists of mnemonics.

        Example:
        | ${coverage}= | Log Opcode Coverage |
        """
        logger.info(self._coverage.describe(), also_console=True)
        return {"covered": self._coverage.covered, "never_covered": self._coverage.never_covered}

    @keyword(tags=("conformance", "assertion"))
    def damaged_modules_should_do_no_harm(self, count: int = 40, seed: int = 1) -> None:
        """Sends damaged modules to the running chip: each is refused or runs, and then the undamaged one still works.

        The chip is reset after a case that leaves it silent or damaged. It fails when the firmware is to blame; a
        damaged kernel, whose machine code can't be verified, is only logged.

        Example:
        | Damaged Modules Should Do No Harm | count=40 | seed=1 |
        """
        summary = mutation.soak(session.current, count, seed, target=_targets()[0])
        logger.info(summary.table())
        if summary.failures:
            raise AssertionError(plain("\n".join(map(str, summary.failures))))

    @keyword(tags=("conformance", "assertion"))
    def damaged_machine_code_should_do_no_harm(self, count: int = 40, seed: int = 1) -> None:
        """Fails unless the undamaged model still answers after each of ``count`` models with damaged machine code.

        The chip is not reset between them. Skipped on a chip without physical memory protection: nothing stops a
        damaged kernel there. How each one ended is in the log.

        Example:
        | Damaged Machine Code Should Do No Harm | count=40 | seed=1 |
        """
        if not session.current.chip.contains_kernels:
            raise SkipExecution("This chip has no physical memory protection.")
        summary = machine_code.soak(session.current, count, seed, target=_targets()[0])
        logger.info(summary.table())
        if summary.failures:
            raise AssertionError(plain("\n".join(map(str, summary.failures))))


def _targets() -> list[Target]:
    """What runs on the chip: code for its vectors, if it has any, and code without."""
    session.current.need_link()
    vlen = session.current.chip.vlen_bits
    return [*([Target(vlen=vlen)] if vlen else []), Target(vectors=False)]
