# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that explore: the same model in many configurations."""

from contextlib import AbstractContextManager

from robot.api import logger
from robot.api.deco import keyword, library

import renode_test
from results_of_keywords import CONVERTERS
from springbok import report, session
from springbok.chips.chip import Chip
from springbok.chips.description import run_with
from springbok.compiler.optimizer import DEFAULT_LEVEL
from springbok.data.dataset import Dataset
from springbok.exploring.configurations import Configuration, SweepError, check, configurations
from springbok.exploring.front import best, broken_limits
from springbok.exploring.measure import Objective, measure
from springbok.exploring.model_files import ModelFiles
from springbok.exploring.sweep import run_sweep
from springbok.firmware import build_firmware
from springbok.session import usable_timing
from springbok.support.errors import plain
from springbok.support.places import given_path


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class SweepLibrary:
    """Measures configurations: number type, vectors or not, vector length, compiler flags. See ``./bench sweep``.

    | ${rows}= | Sweep Configurations | gestures.h5 | types=float32,int8 | vlens=256,512 |
    | Best Configuration Should Be | ${rows} | gestures int8 vector VLEN 512 | accuracy=0.95 |
    """

    @keyword(tags=("sweep",))
    def sweep_configurations(  # noqa: PLR0917 - Robot passes them by name
        self,
        model: str,
        types: str = "float32",
        variants: str = "vector",
        vlens: str = "512",
        flags: str = "",
        samples: int | None = None,
        scheduler: str | None = None,
        data: Dataset | None = None,
        optimize: str = DEFAULT_LEVEL,
        shape: str | None = None,
        signature: str | None = None,
        tolerance: str | None = None,
        objective: str = "instructions",
        timing: str | None = None,
        platform: str | None = None,
    ) -> list:
        """Measures every combination on Dask workers; returns a row for each and logs the table.

        | =Argument=      | =Meaning= |
        | model           | path of a model file |
        | types, variants | of ``float32,int8`` and ``vector,scalar`` |
        | vlens           | of ``128,256,512,1024`` |
        | flags           | sets of flags for iree-compile, separated by ``;`` |
        | samples         | recordings of each, by default all |
        | scheduler       | address of a Dask cluster, by default this machine's cores |
        | data            | what `Load Data Set` of QualityLibrary returned, by default ``basic_motions`` |
        | optimize        | of ``none,standard,search`` |
        | shape, signature, tolerance | as `Compile Model` takes them |
        | objective       | ``instructions`` or ``cycles``: what the front is of, and what ``search`` seeks |
        | timing          | estimates cycles of each, as in `Boot Chip` of SimulatorLibrary |
        | platform        | name of a chip or path of its description, by default the booted one, or the run's |

        What would fail in every row (a data set, a shape, a flag) is an error before anything is measured. A row that
        fails is part of the table, and a warning; where all of them fail the keyword does.

        The table is kept in ``sweep.json`` in Robot's output folder (under renode-test in the suite's), and is part of
        the report.

        Example:
        | ${rows}= | Sweep Configurations | gestures.h5 | vlens=256,512 | flags=;--iree-llvmcpu-loop-unrolling=true |
        """
        if not all(vlen.strip().isdecimal() for vlen in vlens.split(",")):
            raise SweepError(f"vlens are numbers such as 256,512, not '{vlens}'.")
        with _run_with(platform) as chip:
            wanted = configurations(
                [given_path(model)],
                types=types.split(","),
                variants=variants.split(","),
                vlens=[int(vlen) for vlen in vlens.split(",")],
                flags=[each.strip() for each in flags.split(";")],
                optimize=optimize.split(","),
                dataset=data.name if data else "basic_motions",
                samples=samples,
                shape=shape,
                signature=signature,
                tolerance=tolerance,
            )
            check(wanted, data)
            usable = [usable_timing(timing, chip, "spike", int(vlen)) for vlen in vlens.split(",") if timing]
            sought = Objective(objective, usable[0] if usable else None)
            rows = run_sweep(wanted, renode_test.suite_folder(), own_data=data, objective=sought, scheduler=scheduler)
        logger.info(report.sweep_table(rows, objective=objective))
        failed = [f"{row['label']}: {row['error']}" for row in rows if row["error"]]
        if len(failed) == len(rows):
            raise SweepError(plain("No configuration could be measured:\n" + "\n".join(failed)))
        for sentence in failed:
            logger.warn(plain(sentence))
        return rows

    @keyword(tags=("sweep", "assertion"))
    def best_configuration_should_be(
        self, rows: list, label: str, objective: str = "instructions", **limits: float
    ) -> None:
        """Fails unless ``label`` names the row with the fewest instructions of those that keep the limits.

        With ``objective=cycles`` it is the row with the fewest estimated cycles.

        Example:
        | Best Configuration Should Be | ${rows} | gestures float32 vector VLEN 512 | accuracy=0.95 |
        """
        chosen = best(rows, limits, objective)
        if chosen is None:
            raise AssertionError("No configuration keeps the limits:\n" + "\n".join(_broken(rows, limits)))
        if chosen["label"] != label:
            raise AssertionError(
                f"The best configuration is {chosen['label']}, not {label}.\n{report.sweep_table(rows)}"
            )

    @keyword(tags=("sweep", "assertion"))
    def configuration_should_keep_limits(  # noqa: PLR0917 - a template's columns
        self,
        model: str,
        type: str = "float32",
        variant: str = "vector",
        vlen: int = 512,
        flags: str = "",
        samples: int | None = None,
        data: Dataset | None = None,
        platform: str | None = None,
        **limits: float,
    ) -> None:
        """Measures one configuration and fails when it does not keep a limit (metric=bound). Made for templates.

        ``platform`` is as in `Sweep Configurations`.

        Example:
        | [Template] | Configuration Should Keep Limits |
        | gestures.h5 | int8 | vector | 256 | instructions=1400000 | accuracy=0.95 |
        """
        dataset = data.name if data else "basic_motions"
        configuration = Configuration(
            str(given_path(model).resolve()), type, variant, vlen, flags, dataset=dataset, samples=samples
        )
        with _run_with(platform):
            check([configuration], data)
            row = measure(configuration, ModelFiles.read(model), build_firmware().sha256, data)
        broken = broken_limits(row, limits)
        if broken:
            raise AssertionError(plain("\n".join(broken)))
        logger.info(f"{row['label']}: {row['metrics']}")


def _run_with(platform: str | None) -> AbstractContextManager[Chip]:
    booted = session.current.description
    return run_with(platform or (booted.source if booted else None))


def _broken(rows: list, limits: dict) -> list:
    return [sentence for row in rows for sentence in broken_limits(row, limits)]
