# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that run scenario files of Kenning."""

import json
import shutil

from robot.api import logger
from robot.api.deco import keyword, library

from CompilerLibrary import CompilerLibrary
from QualityLibrary import QualityLibrary
from SimulatorLibrary import SimulatorLibrary
from springbok import session
from springbok.exploring import scenario
from springbok.measuring.evaluation import Evaluation


@library(scope="GLOBAL", auto_keywords=False)
class ScenarioLibrary:
    """Runs a scenario file, Kenning's JSON with data set, model, optimizer, runtime and protocol, as it stands.

    | ${evaluation}= | Run Scenario | ${CURDIR}/magic_wand.json |
    | Record Metrics | ${evaluation} |
    | [Teardown]     | Stop Chip |
    """

    @keyword(tags=("scenario",))
    def run_scenario(
        self,
        path: str,
        data: str | None = None,
        samples: int | None = None,
        shape: str | None = None,
        signature: str | None = None,
        tolerance: str | None = None,
    ) -> Evaluation:
        """Compiles the scenario's model, runs its data set on the device and returns the evaluation.

        | =Argument= | =Meaning= |
        | path       | the scenario, a JSON or YAML file |
        | data       | archive of its data set, in place of the scenario's own |
        | samples    | how many recordings to infer; by default all |
        | shape, signature, tolerance | as ``Compile Model`` takes them |

        A chip that runs already or a board that is connected is used; else one is booted as the scenario says. What
        was translated, and what of the scenario has no effect here, is logged. Types and parameters that are not known
        are errors that list those that are.

        Example:
        | ${evaluation}= | Run Scenario | magic_wand.json | samples=16 |
        """
        shared = session.current
        engine = shared.engine.name if shared.engine else "serial" if shared.link else "auto"
        read = scenario.read_scenario(path, engine)
        logger.info(read.describe())
        if engine == "auto":
            SimulatorLibrary().boot_springbok(read.engine, vlen=read.vlen, port=read.port, baudrate=read.baudrate)
        quality = QualityLibrary()
        names = list(read.class_names) if read.class_names else None
        root = str(read.root) if read.root else None
        loaded = quality.load_data_set(read.dataset, read.split, data, root, read.download, names, **read.data_options)
        model = CompilerLibrary().compile_model(
            str(read.model),
            *read.flags,
            variant=read.variant,
            vlen=read.vlen,
            name=read.model_name,
            shape=shape,
            signature=signature,
            tolerance=tolerance,
        )
        if read.module:
            read.module.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model.vmfb, read.module)
        return quality.evaluate_model(model, loaded, samples, json.dumps(read.record))
