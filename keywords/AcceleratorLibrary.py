# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that hold an accelerator's RTL against the model that the simulators execute."""

from pathlib import Path

from robot.api import logger
from robot.api.deco import keyword, library

from springbok import rtl_check


@library(scope="GLOBAL", auto_keywords=False)
class AcceleratorLibrary:
    """Checks the Verilog of the accelerator's instruction ``dot4z``: the sum of four products of signed bytes.

    Verilator (Debian's package) simulates it; tests are skipped where it is missing.

    | ${operands}= | Record Accelerator Operands | |
    | Rtl Should Compute What Its Model Does | ${operands} | |
    """

    @keyword(tags=("accelerator",))
    def record_accelerator_operands(self, recordings: int = 2) -> list:
        """Returns the operands that real inferences gave the instruction, as (rs1, rs2).

        The gesture model's first dense layer runs in int8 on the simulated chip, on so many real recordings.

        Example:
        | ${operands}= | Record Accelerator Operands | recordings=4 |
        """
        operands, results = rtl_check.recorded_operands(recordings)
        logger.info(
            f"{len(operands)} operands of {recordings} inferences. The layer takes {results[0].dot4z_instructions:,} "
            f"instructions with dot4z, {results[0].plain_instructions:,} without."
        )
        return operands

    @keyword(tags=("accelerator", "assertion"))
    def accelerator_should_save_instructions(self, share: float = 0.5) -> None:
        """Fails unless the dense layer takes less than this share (0 to 1) of what it takes without ``dot4z``.

        Example:
        | Accelerator Should Save Instructions | 0.3 |
        """
        _, (result,) = rtl_check.recorded_operands(1)
        found = result.dot4z_instructions / result.plain_instructions
        text = (
            f"dense_1 in int8: {result.dot4z_instructions:,} instructions with dot4z, {result.plain_instructions:,} "
            f"without: {found:.1%}"
        )
        if found >= share:
            raise AssertionError(f"{text}; less than {share:.1%} is asked for.")
        logger.info(text)

    @keyword(tags=("accelerator", "assertion"))
    def rtl_should_compute_what_its_model_does(
        self, operands: list | None = None, rtl: str | None = None, count: int = rtl_check.RANDOM_PAIRS, seed: int = 1
    ) -> None:
        """Fails with the operands of the first mismatch when the RTL answers anything else than its model.

        | =Argument= | =Meaning= |
        | operands   | from `Record Accelerator Operands`; corner cases and random ones are always added |
        | rtl        | a Verilog file with the module ``int8_dot``; by default the project's own |
        | count      | random pairs of operands |
        | seed       | of these |

        Skips the test where Verilator is missing.

        Example:
        | Rtl Should Compute What Its Model Does | ${operands} | rtl=${CURDIR}/int8_dot.v |
        """
        path = Path(rtl) if rtl else rtl_check.RTL
        kinds = {"recorded": operands or [], "corner": rtl_check.corner_operands()}
        kinds["random"] = rtl_check.random_operands(count, seed)
        logger.info(f"{path.name}: {rtl_check.check(path, kinds):,} answers are the model's.")
