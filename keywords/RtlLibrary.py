# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that judge the accelerator's RTL against its model."""

from dataclasses import asdict
from pathlib import Path

from robot.api import logger
from robot.api.deco import keyword, library

import renode_test
from springbok.chips.chip import SPIKE_VERSION
from springbok.measuring import metrics
from springbok.support.errors import RtlError
from springbok.support.files import temporary_folder
from springbok.trials import rtl


@library(scope="GLOBAL", auto_keywords=False)
class RtlLibrary:
    """Runs Verilog of the chip's custom instruction beside its C model, on operands of a real inference and others.

    Needs Verilator; where it is missing, tests are skipped with a line that says so.

    | Rtl Should Match Model |
    | Rtl Should Match Model | new/dot4_cfu.v | random=1000000 |
    """

    @keyword(tags=("rtl", "assertion"))
    def rtl_should_match_model(
        self, unit: Path = rtl.UNIT, samples: int = 4, random: int = 20_000, seed: int = 1
    ) -> None:
        """Fails with the operands of the first mismatch when the RTL computes anything else than its model.

        | =Argument= | =Meaning= |
        | unit       | Verilog file of the top module, with the signals of ``platforms/rtl/dot4_cfu.v`` |
        | samples    | recordings through a real int8 layer on the chip, whose operands are taken |
        | random     | number of random operands; corner cases come always |
        | seed       | decides the random operands |

        What was checked goes into ``metrics.json``.

        Example:
        | Rtl Should Match Model | random=100000 | seed=7 |
        """
        recording = rtl.record_layer(samples)
        operands = {rtl.RECORDED: recording.operands} | rtl.made_up_operands(random, seed)
        logger.info(f"{recording.layer.name}: {len(recording.operands):,} dot4 executed in {samples} inferences.")
        try:
            check = rtl.check(operands, unit)
        except RtlError as error:
            if type(error) is RtlError and unit.is_file():
                _record(rtl.describe(unit, operands), agrees=False)
            raise
        _record(check, agrees=True)
        logger.info(str(check))

    @keyword(tags=("rtl", "assertion"))
    def broken_rtl_should_be_refused(self, old: str, new: str, message: str, random: int = 1000) -> None:
        """Plants a fault in a copy of the project's RTL and fails unless the check finds it and says ``message``.

        ``old`` is the text in the Verilog that becomes ``new``; ``message`` is part of what the check must say.

        Example:
        | Broken Rtl Should Be Refused | result + x * y | result - x * y | expected 0x |
        """
        with temporary_folder() as folder:
            unit = rtl.plant_fault(Path(folder), old, new)
            try:
                check = rtl.check({rtl.RECORDED: rtl.record_layer(1).operands} | rtl.made_up_operands(random), unit)
            except RtlError as error:
                if type(error) is not RtlError or message not in str(error):
                    raise
                logger.info(str(error))
            else:
                raise AssertionError(f"The RTL is broken ('{old}' became '{new}'), but: {check}")

    @keyword(tags=("rtl", "assertion"))
    def rtl_should_compute_layer_on_renode(self, unit: Path = rtl.UNIT, samples: int = 1) -> None:
        """Computes a real int8 layer on Renode's core, with the RTL as its instruction; fails when a sum is wrong.

        It is the Renode of the renode-test that runs the suite, in a process of its own; elsewhere ``$RENODE_ROOT`` or
        ``renode`` on PATH. Skipped where there is none with the co-simulation plugin, or no Verilator.

        Example:
        | Rtl Should Compute Layer On Renode |
        """
        layer = rtl.cosimulate(unit, samples, renode_root=renode_test.renode_root())
        logger.info(f"{layer.name}: {samples} x {len(layer.bias)} sums, all right.")


def _record(check: rtl.Check, agrees: bool) -> None:
    path = renode_test.suite_folder() / "metrics.json"
    metrics.add_rtl_check(path, asdict(check) | {"agrees": agrees}, "spike", SPIKE_VERSION)
