# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that run scenario files of Kenning."""

import shutil

from robot.api import logger
from robot.api.deco import keyword, library

from springbok import compiler, datasets, scenario, session
from springbok.progress import progress


@library(scope="GLOBAL", auto_keywords=False)
class ScenarioLibrary:
    """Runs a scenario file, Kenning's JSON with data set, model, optimizer, runtime and protocol, as it stands.

    | Boot Springbok |
    | ${evaluation}= | Run Scenario | ${CURDIR}/magic_wand.json |
    | Record Metrics | ${evaluation} |
    """

    @keyword(tags=("scenario",))
    def run_scenario(self, path: str, data: str | None = None, samples: int | None = None) -> session.Evaluation:
        """Compiles the scenario's model, runs its data set on the device and returns the evaluation.

        | =Argument= | =Meaning= |
        | path       | the scenario, a JSON file |
        | data       | archive of its data set, in place of the scenario's own |
        | samples    | how many recordings to infer; by default all |

        What was translated, and what of the scenario has no effect here, is logged. Types and parameters that are
        not known are errors that list those that are.

        Example:
        | ${evaluation}= | Run Scenario | magic_wand.json | samples=16 |
        """
        read = scenario.with_data(scenario.read_scenario(path), data)
        for note in read.notes:
            logger.info(note)
        loaded = datasets.load(read.dataset, data=read.data)
        model = compiler.compile_and_check(read.model, target=read.target, name=read.model_name, extra_flags=read.flags)
        logger.info(model.describe())
        if read.module:
            read.module.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model.vmfb, read.module)
        host_outputs = compiler.framework_outputs(model.source, loaded.inputs[:samples])[0]
        session.current.load_model(model, progress=progress(f"Sending {model.name}, bytes"))
        return session.current.evaluate(
            loaded, host_outputs, samples=samples, progress=progress(f"Running {model.name}, samples")
        )
