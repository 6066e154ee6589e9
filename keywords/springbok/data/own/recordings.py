# SPDX-License-Identifier: Apache-2.0
"""Recordings, a file each: CSV (a row a step, a column a channel) or WAV."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from springbok.data.own.content import NONE, Content, Options, check_bytes, size_of
from springbok.data.own.tables import read_table
from springbok.support.errors import DatasetError

SUFFIXES = (".csv", ".wav")


def read_recordings(files: Sequence[Path], options: Options) -> Content:
    """Recordings (N, steps, channels), of sound with one channel (N, steps).

    Where the number of steps is known, by the shape that was asked for or the model's only input, of longer ones the
    middle is kept and shorter ones are padded: sound with silence, others with their first and last step. Otherwise all
    must be of one length.
    """
    is_sound = files[0].suffix.lower() == ".wav"
    check_bytes(f"The recordings in {files[0].parent}", sum(map(size_of, files)))
    read = [_read_wav(path) if is_sound else (_read_steps(path, options), None) for path in files]
    recordings = [steps for steps, _ in read]
    _check_alike(files, read)
    steps = _steps_wanted(recordings, options)
    if steps is None:
        odd = next((number for number, each in enumerate(recordings) if len(each) != len(recordings[0])), None)
        if odd is not None:
            raise DatasetError(
                f"{files[odd]} has {len(recordings[odd])} steps, but {files[0]} has {len(recordings[0])}: say how many "
                "the model takes, which cuts and pads them: shape=STEPS,CHANNELS or model=${model}."
            )
        steps = len(recordings[0])
    longer, shorter = sum(len(each) > steps for each in recordings), sum(len(each) < steps for each in recordings)
    padding = "silence" if is_sound else "their first and last step"
    done = [f"the middle {steps} steps of {longer} longer recordings"] if longer else []
    done += [f"{shorter} shorter recordings padded to {steps} steps with {padding}"] if shorter else []
    inputs = np.stack([_of_length(each, steps, "constant" if is_sound else "edge") for each in recordings])
    rate = f" at {read[0][1][1]:,} Hz" if is_sound else ""
    return Content(
        inputs=inputs[..., 0] if is_sound and inputs.shape[2] == 1 else inputs,
        what=f"recordings{rate}",
        steps=tuple(done),
        advice="Recordings are cut and padded where their length is known: Load Data Set    model=${model}, or "
        "shape=STEPS,CHANNELS.",
    )


def _read_steps(path: Path, options: Options) -> np.ndarray:
    table = read_table(path, options.header, NONE)
    return table.numbers(range(len(table.rows[0])))


def _read_wav(path: Path) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Steps (frames, channels) as integers, and the recording's channels, rate and bytes a value."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            content = file.readframes(file.getnframes())
            announced = file.getnframes() * channels * width
    except Exception as error:  # the library fails on damaged files in many ways
        raise DatasetError(
            f"{path} is no WAV of uncompressed integers: {str(error) or 'it is damaged'}. Convert it to PCM of 8, 16, "
            "24 or 32 bits."
        ) from error
    if len(content) != announced or not content:
        raise DatasetError(f"{path} was not copied whole, or is empty: {len(content)} of {announced} bytes are there.")
    if width not in (1, 2, 3, 4):
        raise DatasetError(f"{path} has values of {8 * width} bits: convert it to 8, 16, 24 or 32 bits.")
    if width == 1:  # the only one without a sign: 128 is silence
        values = (np.frombuffer(content, np.uint8).astype(np.int16) - 128).astype(np.int8)
    elif width == 3:
        values = np.zeros((len(content) // 3, 4), np.uint8)
        values[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)  # full scale is that of 32 bits
        values = values.view("<i4")[:, 0]
    else:
        values = np.frombuffer(content, f"<i{width}")
    return values.reshape(-1, channels), (channels, rate, width)


def _check_alike(files: Sequence[Path], read: Sequence[tuple[np.ndarray, tuple | None]]) -> None:
    for path, (steps, form) in zip(files, read, strict=True):
        first, first_form = read[0]
        if steps.shape[1] != first.shape[1]:
            raise DatasetError(
                f"{path} has {steps.shape[1]} channels, but {files[0]} has {first.shape[1]}: give each as many."
            )
        if form != first_form:
            raise DatasetError(
                f"{path} has {form[1]} Hz and {8 * form[2]} bits, but {files[0]} has {first_form[1]} Hz and "
                f"{8 * first_form[2]} bits: convert them to one form."
            )


def _steps_wanted(recordings: Sequence[np.ndarray], options: Options) -> int | None:
    """How many steps the shape or the model asks for."""
    if options.shape is not None:
        shape = options.shape
    elif options.model is not None and len(options.model) == 1:
        shape = tuple(options.model[0].shape)
    else:
        return None
    elements, channels = int(np.prod(shape)), recordings[0].shape[1]
    if elements % channels:
        raise DatasetError(
            f"The recordings have {channels} channels, which the shape {list(shape)} can't hold: give others, or bring "
            "them into it in a function of your own, FILE.py:FUNCTION."
        )
    return elements // channels


def _of_length(steps: np.ndarray, length: int, mode: str) -> np.ndarray:
    if len(steps) >= length:
        first = (len(steps) - length) // 2
        return steps[first : first + length]
    before = (length - len(steps)) // 2
    return np.pad(steps, ((before, length - len(steps) - before), (0, 0)), mode=mode)
