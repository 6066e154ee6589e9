# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that run real data through a model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from robot.api import logger
from robot.api.deco import keyword, library

from results_of_keywords import CONVERTERS
from springbok import session
from springbok.compiler import compiler
from springbok.compiler.compiled import CompiledModel
from springbok.compiler.judgement import difference_of
from springbok.data import datasets
from springbok.measuring.evaluation import Evaluation
from springbok.support.errors import plain
from springbok.support.progress import progress
from springbok.tensors import fit, probe_inputs


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class QualityLibrary:
    """Runs data sets through the model on the chip, and through the framework on the host. GateLibrary judges.

    | ${recordings}= | Load Data Set  | basic_motions |
    | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
    """

    @keyword(tags=("quality",))
    def load_data_set(
        self,
        name: str,
        split: str = "test",
        data: str | None = None,
        root: str | None = None,
        download: bool = True,
        class_names: list[str] | None = None,
    ) -> datasets.Dataset:
        """Returns a data set: labelled recordings of an accelerometer (and a gyroscope), or images.

        | =Argument=  | =Meaning= |
        | name        | ``basic_motions``, ``magic_wand``, ``watch``, ``mnist`` or ``mnist_colour`` |
        | split       | ``test`` or ``train`` |
        | data        | path of the data set's archive or unpacked folder, for ``magic_wand`` |
        | root        | folder where it is looked for without ``data``, and where it is downloaded to once |
        | download    | ``False``: what is not there is an error |
        | class_names | the classes in the order of the model's outputs, where the model has another than the data set |

        Example:
        | ${recordings}= | Load Data Set | magic_wand | data=/data/magic_wand/data.tar.gz |
        """
        loaded = datasets.load(name, split, Path(data) if data else None, Path(root) if root else None, download)
        if class_names:
            loaded = loaded.with_classes(class_names)
        logger.info(
            f"{loaded.name}: {len(loaded.labels)} recordings of {loaded.inputs.shape[1:]}, {loaded.description}"
        )
        return loaded

    @keyword(tags=("quality",))
    def evaluate_model(
        self,
        model: CompiledModel,
        dataset: datasets.Dataset,
        samples: int | None = None,
        scenario: str | None = None,
    ) -> Evaluation:
        """Loads the model, infers the recordings on the device and returns the evaluation.

        The framework that made the model answers the same recordings on this machine, for comparison.
        ``samples`` limits the run to the first so many recordings. ``scenario`` is the JSON text that
        ``./bench scenario --to-suite`` writes: what the report shows of the scenario.

        Example:
        | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
        """
        host_outputs = compiler.framework_outputs(model, dataset.inputs[:samples])[0]
        title = f"{model.name} ({model.variant})"
        session.current.load_model(model, progress=progress(f"Sending {title}, bytes"))
        evaluation = session.current.evaluate(
            dataset, host_outputs, samples=samples, progress=progress(f"Running {title}, samples")
        )
        if scenario:
            evaluation = replace(evaluation, scenario=json.loads(scenario))
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
    def outputs_should_be_the_frameworks(
        self, model: CompiledModel, samples: int = 2, tolerance: float = 1e-5, steps: int = 0
    ) -> None:
        """Loads the model, infers made-up inputs on the device and fails when the framework answers something else.

        For models without labelled data: the inputs are the same on every run, 8-bit ones take all values.
        Floating-point outputs may differ by ``tolerance``, relative to the sample's largest output or to 1 if that is
        smaller; quantised ones by ``steps`` of their integers, other integers not at all. Logs the worst and the mean
        difference.

        Examples:
        | Outputs Should Be The Frameworks | ${model} |
        | Outputs Should Be The Frameworks | ${int8 model} | samples=4 | steps=2 |
        """
        inputs = probe_inputs(model.inputs, samples)
        expected = compiler.framework_outputs(model, inputs)
        session.current.load_model(model, progress=progress(f"Sending {model.name} ({model.variant}), bytes"))
        worst, every = 0.0, []
        for number in range(samples):
            outputs = session.current.infer(*(array[number] for array in inputs), raw=True, timeout=600)
            for difference in _differences(model, outputs, expected, number, tolerance, steps):
                every.append(difference.mean())
                worst = max(worst, float(difference.max()))
        instructions = session.current.need_link().profile().inference_instructions
        logger.info(
            f"{model.name} ({model.variant}), {samples} samples: differs from the framework by at most {worst:.3g}, "
            f"mean {np.mean(every):.3g}; the last inference executed {instructions:,} instructions"
        )

    @keyword(tags=("quality", "assertion"))
    def answers_should_be_the_frameworks(
        self, model: CompiledModel, answers: list, inputs: list, tolerance: float = 1e-5, steps: int = 0
    ) -> None:
        """Fails when the framework answers something else to ``inputs`` than the device did.

        ``answers`` holds the outputs of each inference as ``Infer    raw=True`` gives them, ``inputs`` the input of
        each; the model has one input. The differences that are allowed are those of `Outputs Should Be The Frameworks`.

        Example:
        | ${outputs}= | Infer | ${recording} | raw=True |
        | Answers Should Be The Frameworks | ${model} | ${{[$outputs]}} | ${{[$recording]}} |
        """
        expected = compiler.framework_outputs(model, fit(model.name, model.inputs, np.stack(inputs)))
        worst = 0.0
        for number, outputs in enumerate(answers):
            for difference in _differences(model, outputs, expected, number, tolerance, steps):
                worst = max(worst, float(difference.max()))
        logger.info(
            f"{model.name} ({model.variant}): {len(answers)} answers differ from the framework's by {worst:.3g}"
        )


def _differences(
    model: CompiledModel, outputs: list, expected: list, number: int, tolerance: float, steps: int
) -> list[np.ndarray]:
    """Differences of each output of sample ``number``, by element; raises AssertionError when one is not allowed."""
    differences = []
    for spec, got, wanted in zip(model.outputs, outputs, expected, strict=True):
        difference = difference_of(got, wanted[number])
        allowed = tolerance if np.issubdtype(spec.dtype, np.floating) else steps if spec.is_quantised else 0
        if difference.max() > allowed:
            message = (
                f"{model.name} ({model.variant}): output {spec} of sample {number} differs from the "
                f"framework's by {difference.max():.3g}, but at most {allowed:g} was allowed.\n"
                f"Device: {got.reshape(-1)[:16]}\nFramework: {wanted[number].reshape(-1)[:16]}"
            )
            raise AssertionError(plain(message))
        differences.append(difference)
    return differences
