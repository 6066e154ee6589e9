# SPDX-License-Identifier: Apache-2.0
"""Robot keywords that run real data through a model."""

import json
from dataclasses import replace

import numpy as np
from robot.api import logger
from robot.api.deco import keyword, library

from results_of_keywords import CONVERTERS
from springbok import session
from springbok.compiler import compiler
from springbok.compiler.compiled import CompiledModel
from springbok.compiler.judgement import difference_of
from springbok.data import datasets
from springbok.data.dataset import Dataset
from springbok.data.own.content import parse_options
from springbok.measuring.evaluation import Evaluation
from springbok.support.errors import DatasetError, plain
from springbok.support.places import given_path
from springbok.support.progress import progress
from springbok.support.suggestions import misnamed
from springbok.tensors import fit, probe_inputs


@library(scope="GLOBAL", auto_keywords=False, converters=CONVERTERS)
class QualityLibrary:
    """Runs data sets through the model on the chip, and through the framework on the host. GateLibrary judges.

    | ${recordings}= | Load Data Set  | basic_motions |
    | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
    """

    @keyword(tags=("quality",))
    def load_data_set(  # noqa: PLR0917 - Robot passes most by name
        self,
        name: str,
        split: str | None = None,
        data: str | None = None,
        root: str | None = None,
        download: bool = True,
        class_names: list[str] | str | None = None,
        labels: str | None = None,
        label: str | None = None,
        inputs: list[str] | str | None = None,
        skip: list[str] | str | None = None,
        header: bool | None = None,
        task: str | None = None,
        normal: str | None = None,
        shape: list[int] | str | None = None,
        raw: bool = False,
        preprocessing: list[str] | str | None = None,
        title: str | None = None,
        model: CompiledModel | None = None,
        **others: object,
    ) -> Dataset:
        """Returns a data set: one that is there by name, or your own (docs/data.md).

        ``name`` is ``basic_motions``, ``magic_wand``, ``watch``, ``mnist``, ``mnist_colour`` or ``wake_word``; or the
        path of an ``.npz``, ``.npy`` or ``.csv``, of a folder of images (PNG, JPEG) or recordings (CSV, WAV) with a
        sub-folder for each class; or a function in a Python file, ``FILE.py:FUNCTION``, which returns inputs, or inputs
        and labels.

        | =Argument=    | =Meaning= |
        | split         | ``test`` (the default) or ``train``, of data that are split |
        | data          | path of the data set's archive or unpacked folder, for ``magic_wand`` |
        | root          | folder where it is looked for without ``data``, and where it is downloaded to once |
        | download      | ``False``: what is not there is an error |
        | class_names   | the classes in the order of the model's outputs |
        | labels        | file of the labels (``.npy``, ``.csv``), where the data holds none |
        | label         | column or array of the labels; ``none``: there are none, and only the host is compared with |
        | inputs, skip  | columns or arrays that are inputs, or that are left out; separated by commas |
        | header        | whether a table's first line are names; it is looked at by default |
        | task          | ``classification``, ``regression``, ``anomaly`` or ``equality``; by default as labels are |
        | normal        | the class that is no anomaly |
        | shape         | of a sample, such as ``96,96,3``; images are resized to it, recordings cut or padded |
        | raw           | ``True``: integers are quantised already; else they are real values |
        | preprocessing | ``scale``, ``scale 1/255``, ``mean/std``, ``FILE.py:FUNCTION``; several separated by ``;`` |
        | title         | what the data set is called in reports and baselines, by default as its file |
        | model         | the compiled model, whose input says the shape of images and recordings |
        | others        | none: a name that is none of these is told |

        Examples:
        | ${recordings}= | Load Data Set | magic_wand | data=/data/magic_wand/data.tar.gz |
        | ${machines}= | Load Data Set | ${CURDIR}/vibration.csv | label=state | preprocessing=scale 1/100 |
        | ${faces}= | Load Data Set | ${CURDIR}/faces | model=${model} | preprocessing=${CURDIR}/data.py:centre |
        """
        given = {
            "labels": labels,
            "label": label,
            "inputs": inputs,
            "skip": skip,
            "header": header,
            "task": task,
            "class_names": class_names,
            "normal": normal,
            "shape": shape,
            "raw": raw,
            "preprocessing": preprocessing,
            "title": title,
        }
        names = (*given, "split", "data", "root", "download", "model")
        if wrong := misnamed((split, data, root, *(f"{name}=" for name in others)), names):
            raise DatasetError(f"Load Data Set: {wrong}.")
        options = parse_options(given, model.inputs if model else None)
        loaded = datasets.load(
            name, split, data and given_path(data), root and given_path(root), download, options=options
        )
        lines = [f"{loaded.name}: {len(loaded)} samples, {loaded.description}"]
        lines += [f"preprocessing: {step}" for step in loaded.preprocessing]
        lines += [f"left out: {remark}" for remark in loaded.skipped]
        logger.info(plain("\n".join(lines)))
        return loaded

    @keyword(tags=("quality",))
    def evaluate_model(
        self,
        model: CompiledModel,
        dataset: Dataset,
        samples: int | None = None,
        scenario: str | None = None,
        output: str = "0",
        **others: object,
    ) -> Evaluation:
        """Loads the model, infers the recordings on the device and returns the evaluation.

        The framework that made the model answers the same recordings on this machine, for comparison.
        ``samples`` limits the run to the first so many recordings. ``scenario`` is the JSON text that
        ``./bench scenario --to-suite`` writes: what the report shows of the scenario. ``output`` is the output that the
        labels are for, by its number or name; all outputs are compared with the host's.

        Example:
        | ${evaluation}= | Evaluate Model | ${model} | ${recordings} |
        """
        names = ("model", "dataset", "samples", "scenario", "output")
        if wrong := misnamed((f"{name}=" for name in others), names):
            raise DatasetError(f"Evaluate Model: {wrong}.")
        taken = dataset.first(samples)
        host_outputs = compiler.framework_outputs(model, taken.fitted(model.name, model.inputs))
        title = f"{model.name} ({model.variant})"
        session.current.load_model(model, progress=progress(f"Sending {title}, bytes"))
        evaluation = session.current.evaluate(
            dataset, host_outputs, samples=samples, progress=progress(f"Running {title}, samples"), output=output
        )
        if scenario:
            evaluation = replace(evaluation, scenario=json.loads(scenario))
        for defect in evaluation.defects():
            logger.warn(plain(f"{title}: {defect}."))
        quality = evaluation.quality
        logger.info(
            f"{model.name} ({model.variant}) on {quality.samples} recordings of {dataset.name} ({quality.task}):\n"
            f"{quality.describe()}"
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
