# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that run real data through a model."""

from pathlib import Path

from robot.api import logger
from robot.api.deco import keyword, library

from springbok import compiler, datasets, session
from springbok.progress import progress


@library(scope="GLOBAL", auto_keywords=False)
class QualityLibrary:
    """Runs data sets through the model on the chip, and through the framework on the host. GateLibrary judges.

    | ${recordings}= | Load Data Set  | basic_motions |
    | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
    """

    @keyword(tags=("quality",))
    def load_data_set(self, name: str, split: str = "test", data: str | None = None) -> datasets.Dataset:
        """Returns a data set: labelled recordings of an accelerometer (and a gyroscope), or images.

        | =Argument= | =Meaning= |
        | name       | ``basic_motions``, ``magic_wand``, ``watch``, ``mnist`` or ``mnist_colour`` |
        | split      | ``test`` or ``train`` |
        | data       | path of the data set's archive, for ``magic_wand``; by default it is downloaded once |

        Example:
        | ${recordings}= | Load Data Set | magic_wand | data=/data/magic_wand/data.tar.gz |
        """
        loaded = datasets.load(name, split=split, data=Path(data) if data else None)
        logger.info(
            f"{loaded.name}: {len(loaded.labels)} recordings of {loaded.inputs.shape[1:]}, {loaded.description}"
        )
        return loaded

    @keyword(tags=("quality",))
    def evaluate_model(
        self, model: compiler.CompiledModel, dataset: datasets.Dataset, samples: int | None = None
    ) -> session.Evaluation:
        """Loads the model, infers the recordings on the device and returns the evaluation.

        The framework that made the model answers the same recordings on this machine, for comparison.
        ``samples`` limits the run to the first so many recordings.

        Example:
        | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
        """
        host_outputs = compiler.framework_outputs(model.source, dataset.inputs)[0]
        title = f"{model.name} ({model.variant})"
        session.current.load_model(model, progress=progress(f"Sending {title}, bytes"))
        evaluation = session.current.evaluate(
            dataset, host_outputs, samples=samples, progress=progress(f"Running {title}, samples")
        )
        quality = evaluation.quality
        logger.info(
            f"{model.name} ({model.variant}) on {quality.samples} recordings of {dataset.name}:\n"
            f"accuracy {quality.accuracy:.4f} (host {quality.host_accuracy:.4f}), "
            f"difference of an output from the host's: at most {quality.max_abs_error:.3g}, "
            f"mean {quality.mean_abs_error:.3g}\n"
            f"{quality.confusion_table()}"
        )
        return evaluation
