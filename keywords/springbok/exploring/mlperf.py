# SPDX-License-Identifier: Apache-2.0
"""MLPerf Tiny on the simulated chip: what each task's model costs, and how good its answers are by the rules.

Cost is that of a warm inference. Quality needs the benchmark's own inputs, in the folder that its runner has them in,
and a model that was trained for them; of models without either, only the cost is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.compiler.compiled import CompiledModel
from springbok.data import runner_files
from springbok.data.packaged import wake_word
from springbok.engines.base import Counts
from springbok.measuring import mlperf
from springbok.measuring.mlperf import Task
from springbok.session import Session
from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec
from springbok.timing.account import account
from springbok.timing.description import Timing

STREAM_SEED = 1  # of the recording that a stream's model is judged by
_BATCH, _BATCH_SECONDS = 64, 600.0  # inputs in one trip


@dataclass(frozen=True)
class Judged:
    """How good a model is at a task: a share, an area, or counts of detections; of which samples; if it suffices."""

    text: str
    samples: str
    is_met: bool


@dataclass(frozen=True)
class Row:
    """A task's model on a chip. Bytes are those of the module that is sent, and of all memory that it needs to run."""

    task: Task
    model: str
    instructions: int
    cycles: int | None
    memory_bytes: int
    module_bytes: int
    judged: Judged | None

    @property
    def busy_megahertz(self) -> float | None:
        """The clock at which a stream's inferences would keep the core busy all the time; None without one, or cycles.

        The duty cycle at another clock is this by that.
        """
        if self.task.stream is None or self.cycles is None:
            return None
        return self.cycles / self.task.stream[1]

    def as_json(self) -> dict[str, object]:
        """All of it by name."""
        judged = self.judged
        return {
            "task": self.task.name,
            "title": self.task.title,
            "model": self.model,
            "metric": self.task.metric,
            "target": self.task.target_text,
            "quality": judged.text if judged else None,
            "samples": judged.samples if judged else None,
            "target_met": judged.is_met if judged else None,
            "instructions": self.instructions,
            "estimated_cycles": self.cycles,
            "memory_bytes": self.memory_bytes,
            "module_bytes": self.module_bytes,
            "busy_megahertz": self.busy_megahertz,
        }


@contextmanager
def loaded(model: CompiledModel, **options: object) -> Iterator[Session]:
    """A session with a simulated chip that has the model; ends both."""
    session = Session()
    try:
        session.boot("spike", **options)
        session.load_model(model)
        yield session
    finally:
        session.shut_down()


def measure(
    task: Task,
    model: CompiledModel,
    vlen: int,
    timing: Timing | None = None,
    files: Path | None = None,
    most: int | None = None,
    recording: wake_word.Recording | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Row:
    """Run a task's model on Spike.

    timing     tells the cycles; without it they are unknown
    files      the folder with the runner's inputs, of which at most ``most`` files are inferred
    recording  that a stream's model is judged by, if by any
    """
    check_fits(task, model)
    with loaded(model, vlen=vlen, timing=timing) as session:
        counts = _warm(session, model)
        profile, xlen = session.need_link().profile(), session.description.xlen
    cycles = None if timing is None else sum(line.estimate.cycles for line in account(counts, timing, vlen, xlen))
    judged = None
    if task.stream is not None and recording is not None:
        judged = _judge_stream(task, model, recording, vlen, progress)
    elif task.stream is None and files is not None:
        judged = _judge(task, model, runner_files.read(files, task.inputs, most), vlen, progress)
    memory = profile.memory_peak_bytes
    return Row(task, model.name, counts.inferences[0].instructions, cycles, memory, model.vmfb_bytes, judged)


def check_fits(task: Task, model: CompiledModel) -> None:
    """Raises ModelError unless the model has one input that the task fills, and an output that its rule can judge."""
    output = model.outputs[0]
    if len(model.inputs) != 1:
        raise ModelError(f"{model.name} has {len(model.inputs)} inputs; a model for {task.name} has one.")
    given = model.inputs[0]
    if task.stream is not None and (np.dtype(given.dtype) != np.int8 or given.elements % task.stream[0]):
        raise ModelError(f"{model.name} takes {given}; a model for {task.name} takes int8, {task.stream[0]} a frame.")
    if task.metric == mlperf.AUC and output.elements != model.inputs[0].elements:
        raise ModelError(
            f"{model.name} gives {output.elements} values for {model.inputs[0].elements}; a model for {task.name} "
            "gives its input again."
        )


def input_of(task: Task, spec: TensorSpec, sent: bytes) -> np.ndarray:
    """The model's input, raw, of what the runner sends: as the firmware makes it.

    Raises ModelError when the count of bytes is another.
    """
    if np.dtype(spec.dtype) != np.int8:
        kind, change = np.dtype(spec.dtype), np.asarray
    elif task.input is mlperf.BenchmarkInput.FLOAT:
        kind, change = np.dtype("<f4"), spec.to_raw
    elif task.input is mlperf.BenchmarkInput.UNSIGNED:
        kind, change = np.dtype(np.uint8), lambda pixels: (pixels ^ 0x80).view(np.int8)
    else:
        kind, change = np.dtype(np.int8), np.asarray
    wanted = spec.elements * kind.itemsize
    if len(sent) != wanted:
        raise ModelError(f"The runner's inputs for {task.name} have {len(sent)} bytes, the model takes {wanted}.")
    return change(np.frombuffer(sent, kind)).reshape(spec.shape)


def _warm(session: Session, model: CompiledModel) -> Counts:
    """The counts of a second inference, when everything is as in all that follow."""
    zeros = [np.zeros(spec.shape, spec.dtype) for spec in model.inputs]
    for _ in range(2):
        session.need_engine().take_counts()
        session.infer(*zeros, raw=True)
    return session.need_engine().take_counts()


def answers(
    session: Session, model: CompiledModel, inputs: Sequence[np.ndarray], progress: Callable[[int, int], None] | None
) -> list[np.ndarray]:
    """The first output, raw, of each input, raw; many in one trip over the link."""
    link, spec = session.need_link(), model.outputs[0]
    outputs = sum(each.nbytes for each in model.outputs)
    most = _BATCH
    if link.limits is not None:
        room = (link.limits.input_capacity // model.inputs[0].nbytes, link.limits.output_capacity // outputs)
        most = max(1, min(most, *room))
    found: list[np.ndarray] = []
    for start in range(0, len(inputs), most):
        batch = [np.ascontiguousarray(each).tobytes() for each in inputs[start : start + most]]
        for answer in link.infer_batch(batch, timeout=_BATCH_SECONDS, answer_bytes=outputs):
            kind = np.dtype(spec.dtype).newbyteorder("<")
            found.append(np.frombuffer(answer[: spec.nbytes], kind).reshape(spec.shape))
        if progress:
            progress(len(found), len(inputs))
    return found


def windows(spec: TensorSpec, frames: np.ndarray) -> list[np.ndarray]:
    """A stream model's inputs, raw: after each frame the window that ends with it; before the first it is of zeros."""
    held = spec.elements // frames[0].size
    padded = np.concatenate([np.zeros((held, frames[0].size), frames.dtype), frames.reshape(len(frames), -1)])
    return [padded[end + 1 : end + 1 + held].reshape(spec.shape) for end in range(len(frames))]


def _judge_stream(
    task: Task,
    model: CompiledModel,
    recording: wake_word.Recording,
    vlen: int,
    progress: Callable[[int, int], None] | None,
) -> Judged:
    """By the link, which has no limit of speed as text has; the firmware's own stream gives the same activations."""
    _, frame_us, threshold = task.stream
    frames = model.inputs[0].to_raw(recording.features)
    with loaded(model, vlen=vlen, count_opcodes=False) as session:
        outputs = answers(session, model, windows(model.inputs[0], frames), progress)
    found = [int(output.reshape(-1)[0]) for output in outputs]
    times = [(at + 1) * frame_us // 1000 for at, value in enumerate(found) if at == 0 or value > threshold]
    judged = mlperf.judge_detections(times, recording.words)
    return Judged(judged.text, f"{recording.seconds:.0f} s, made up", judged.is_met)


def _judge(
    task: Task,
    model: CompiledModel,
    files: list[runner_files.RunnerFile],
    vlen: int,
    progress: Callable[[int, int], None] | None,
) -> Judged:
    """A file's results are the mean of its windows', as the runner takes them."""
    spec, output = model.inputs[0], model.outputs[0]
    inputs = [input_of(task, spec, sent) for file in files for sent in file.pieces]
    with loaded(model, vlen=vlen, count_opcodes=False) as session:
        found = iter(answers(session, model, inputs, progress))
    results = [
        np.mean([mlperf.results_of(task, output, sent, next(found)) for sent in file.pieces], axis=0) for file in files
    ]
    labels = [file.label for file in files]
    if task.metric == mlperf.AUC:
        value = mlperf.area_under_curve([result[0] for result in results], labels)
        return Judged(f"{value:.3f}", f"{len(files)} files", task.is_met(value))
    value = mlperf.top_1(results, labels)
    return Judged(f"{100 * value:.1f} %", f"{len(files)} files", task.is_met(value))
