# SPDX-License-Identifier: Apache-2.0
"""MLPerf Tiny's tasks: which model each has, what its runner sends and is given, and by what rule answers are judged.

The rules are those of the closed division (mlcommons/tiny: ``benchmark/MLPerfTiny_Rules.adoc``, the larger ResNet's
target in ``benchmark/README.md``), the arithmetic is that of ``benchmark/runner``. Nothing here talks to a device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from springbok.link.messages import Benchmark, BenchmarkInput, BenchmarkResults
from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec

TOP_1, AUC, DETECTIONS = "top-1", "AUC", "detections"
MOST_FALSE = 8  # detections that were none, and words that were missed, of a stream

_LATE_SECONDS = 2.0  # after a word's end, until which the runner takes a detection as that word's
_DEBOUNCE_SECONDS = 1.0  # within which detections of nothing count once


@dataclass(frozen=True)
class Task:
    """A task of the benchmark.

    name       by which its runner knows it
    model      the file of ``models/`` that stands for its model
    metric     ``TOP_1``, ``AUC`` or ``DETECTIONS``
    target     of the closed division: the least share of right answers, or the least area
    stream     bytes and microseconds of a frame, and the activation above which a word was detected; None without one
    shares     the task whose inputs the runner takes for it; None: it has its own
    devices    the runner's file of devices that is for it
    """

    name: str
    title: str
    model: str
    metric: str
    target: float | None
    input: BenchmarkInput = BenchmarkInput.AS_IT_IS
    results: BenchmarkResults = BenchmarkResults.VALUES
    stream: tuple[int, int, int] | None = None
    shares: str | None = None
    devices: str = "devices_kws_ic_vww.yaml"

    def with_threshold(self, threshold: int) -> Task:
        """The task with another activation above which a word was detected; itself where it has no stream.

        >>> TASKS["sww01"].with_threshold(115).stream
        (40, 32000, 115)
        """
        return self if self.stream is None else replace(self, stream=(*self.stream[:2], threshold))

    @property
    def inputs(self) -> str:
        """The folder that the runner takes inputs from."""
        return self.shares or self.name

    @property
    def target_text(self) -> str:
        """The target as the rules have it.

        >>> TASKS["kws01"].target_text
        '90 %'
        """
        if self.metric == DETECTIONS:
            return f"≤ {MOST_FALSE} FP, ≤ {MOST_FALSE} FN"
        return f"{100 * self.target:.0f} %" if self.metric == TOP_1 else f"{self.target:.2f}"

    def is_met(self, value: float) -> bool:
        """Whether a share of right answers, or an area, is what the closed division asks for."""
        return value >= self.target

    def introduction(self, given: TensorSpec, taken: TensorSpec) -> Benchmark:
        """What the device is to know of a model for this task, whose input is ``given`` and whose output ``taken``.

        A model of anything but int8 is sent what it takes.
        """
        scales = {}
        if given.is_quantised and np.dtype(given.dtype) == np.int8:
            scales |= {"input_scale": float(given.scale), "input_zero_point": int(given.zero_point)}
        if taken.is_quantised and np.dtype(taken.dtype) == np.int8:
            scales |= {"output_scale": float(taken.scale), "output_zero_point": int(taken.zero_point)}
        how = self.input if np.dtype(given.dtype) == np.int8 else BenchmarkInput.AS_IT_IS
        frames = dict(zip(("frame_bytes", "frame_us", "threshold"), self.stream or (), strict=False))
        return Benchmark(self.name, how, self.results, **scales, **frames)


TASKS = {
    task.name: task
    for task in (
        Task("kws01", "keyword spotting", "ds_cnn_int8.tflite", TOP_1, 0.90),
        Task("vww01", "visual wake words", "mobilenet_vww_int8.tflite", TOP_1, 0.80, BenchmarkInput.UNSIGNED),
        Task("ic01", "image classification", "resnet8_int8.tflite", TOP_1, 0.85, BenchmarkInput.UNSIGNED),
        Task(
            "ic02",
            "image classification, larger",
            "resnet8_large_int8.tflite",
            TOP_1,
            0.91,
            BenchmarkInput.UNSIGNED,
            shares="ic01",
        ),
        Task(
            "ad01",
            "anomaly detection",
            "autoencoder_int8.tflite",
            AUC,
            0.85,
            BenchmarkInput.FLOAT,
            BenchmarkResults.ERROR,
            devices="devices_ad.yaml",
        ),
        Task(
            "sww01",
            "streaming wake word",
            "wake_word_int8.tflite",
            DETECTIONS,
            None,
            stream=(40, 32_000, 0),
            devices="devices_sww.yaml",
        ),
    )
}


def bytes_of(task: Task, spec: TensorSpec, real: np.ndarray) -> bytes:
    """What the runner sends for one input, given as real values.

    An image's are those of its tensor: a pixel p, from 0 to 255, stands for (p - 128 - zero point) x scale.
    """
    if np.dtype(spec.dtype) != np.int8:
        return np.ascontiguousarray(real, spec.dtype).tobytes()
    if task.input is BenchmarkInput.FLOAT:
        return np.asarray(real, "<f4").tobytes()
    raw = spec.to_raw(real).tobytes()
    return bytes(byte ^ 0x80 for byte in raw) if task.input is BenchmarkInput.UNSIGNED else raw


def results_of(task: Task, spec: TensorSpec, sent: bytes, output: np.ndarray) -> tuple[float, ...]:
    """What the runner is given for an input's bytes and the model's first output, raw: values, or the one error.

    The device rounds each to three decimals.
    """
    real = np.asarray(spec.to_real(output), np.float64).reshape(-1)
    if task.results is BenchmarkResults.VALUES:
        return tuple(real.tolist())
    return (float(np.mean((real - np.frombuffer(sent, "<f4")) ** 2)),)


def top_1(results: Sequence[Sequence[float]], labels: Sequence[int]) -> float:
    """Share of the inputs whose largest result is that of their class.

    >>> top_1([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    _check(results, labels)
    return float(np.mean([int(np.argmax(result)) == label for result, label in zip(results, labels, strict=True)]))


def area_under_curve(scores: Sequence[float], labels: Sequence[int]) -> float:
    """Area under the ROC curve: how often an anomaly (1) has a higher score than what is normal (0); ties count half.

    >>> area_under_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    _check(scores, labels)
    values, is_anomaly = np.asarray(scores, np.float64), np.asarray(labels).astype(bool)
    if not np.isfinite(values).all():
        raise ModelError("An area under the curve needs finite scores.")
    anomalies, normal = int(is_anomaly.sum()), int((~is_anomaly).sum())
    if not anomalies or not normal:
        raise ModelError("An area under the curve needs both anomalies (label 1) and what is normal (label 0).")
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places.reshape(-1)]
    return float((math.fsum(ranks[is_anomaly]) - anomalies * (anomalies + 1) / 2) / (anomalies * normal))


@dataclass(frozen=True)
class Detections:
    """What was detected in a stream: seconds of words that were found, of those that were not, of what was no word."""

    found: tuple[float, ...]
    missed: tuple[float, ...]
    false: tuple[float, ...]

    @property
    def is_met(self) -> bool:
        """Whether this is what the closed division asks for."""
        return len(self.false) <= MOST_FALSE and len(self.missed) <= MOST_FALSE

    @property
    def text(self) -> str:
        """The counts in words."""
        return f"{len(self.false)} FP, {len(self.missed)} FN of {len(self.found) + len(self.missed)}"


def judge_detections(milliseconds: Sequence[int], words: Sequence[tuple[float, float]]) -> Detections:
    """Judge what a device reports of a stream, as the runner does.

    milliseconds  of detections; the first marks the stream's begin and is none
    words         begin and end of each, seconds after the stream's begin

    >>> judge_detections([32, 1532, 9032], [(1.0, 1.4), (5.0, 5.5)]).text
    '1 FP, 1 FN of 2'
    """
    if not len(milliseconds):
        raise ModelError("The first detection marks the stream's begin, but there is none.")
    left = [(each - milliseconds[0]) / 1000 for each in milliseconds[1:]]
    found, missed = [], []
    for begin, end in words:
        inside = [each for each in left if begin <= each <= end + _LATE_SECONDS]
        (found if inside else missed).append(begin)
        left = [each for each in left if each not in inside]
    false: list[float] = []
    for each in left:
        if not false or each > false[-1] + _DEBOUNCE_SECONDS:
            false.append(each)
    return Detections(tuple(found), tuple(missed), tuple(false))


def _check(results: Sequence, labels: Sequence) -> None:
    if len(results) != len(labels) or not len(labels):
        raise ModelError(f"{len(results)} results can't be judged by {len(labels)} labels.")
