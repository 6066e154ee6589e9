# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that judge a model's answers on real data."""

from pathlib import Path

from robot.api import logger
from robot.api.deco import keyword, library

from springbok import compiler, datasets, session
from springbok.progress import progress


@library(scope="GLOBAL", auto_keywords=False)
class QualityLibrary:
    """Runs data sets through the model on the chip and judges the answers against labels and the host's answers.

    | ${recordings}= | Load Data Set  | basic_motions |
    | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
    | Accuracy Should Be At Least | ${evaluation} | 0.9 |
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

    @keyword(tags=("quality", "assertion"))
    def accuracy_should_be_at_least(self, evaluation: session.Evaluation, minimum: float) -> None:
        """Fails when the device gives fewer than this share (0 to 1) of the recordings their label.

        Example:
        | Accuracy Should Be At Least | ${evaluation} | 0.9 |
        """
        quality = evaluation.quality
        if quality.accuracy < minimum:
            raise AssertionError(
                f"{_title(evaluation)}: the accuracy is {quality.accuracy:.4f}, but at least {minimum:.4f} was asked.\n"
                f"{quality.confusion_table()}"
            )

    @keyword(tags=("quality", "assertion"))
    def accuracy_should_equal_the_hosts(self, evaluation: session.Evaluation) -> None:
        """Fails when device and host do not give the same share of recordings their label.

        Example:
        | Accuracy Should Equal The Hosts | ${evaluation} |
        """
        quality = evaluation.quality
        if quality.accuracy != quality.host_accuracy:
            raise AssertionError(
                f"{_title(evaluation)}: the accuracy is {quality.accuracy:.4f} on the device, "
                f"but {quality.host_accuracy:.4f} on the host.\n{quality.confusion_table()}"
            )

    @keyword(tags=("quality", "assertion"))
    def outputs_should_agree_with_the_host(self, evaluation: session.Evaluation, tolerance: float = 1e-5) -> None:
        """Fails when any output of any recording differs from the host's by more than ``tolerance``.

        Example:
        | Outputs Should Agree With The Host | ${evaluation} | 1e-5 |
        """
        quality = evaluation.quality
        if not quality.max_abs_error <= tolerance:
            sample = quality.worst_sample()
            raise AssertionError(
                f"{_title(evaluation)}: recording {sample} differs from the host by {quality.max_abs_error:.3g}, "
                f"but at most {tolerance:.3g} was allowed.\n"
                f"Device: {quality.outputs[sample]}\nHost:   {quality.host_outputs[sample]}"
            )


def _title(evaluation: session.Evaluation) -> str:
    return f"{evaluation.model.name} ({evaluation.model.variant}) on {evaluation.dataset.name}"
