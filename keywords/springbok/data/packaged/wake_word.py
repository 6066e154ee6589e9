# SPDX-License-Identifier: Apache-2.0
"""``wake_word``: made-up speech, of which one word is to be detected; as windows to train on, and as long recordings.

No recordings of people are needed: words are sequences of vowels, each a sum of harmonics with formants, over noise,
always the same for a seed. The features are as MLPerf Tiny's streaming wake word has them: 40 log-mel energies of 64 ms
every 32 ms, from 0 to 1, of sound at 16 kHz; a model's window is 30 of them. The made-up vowels end below 4 kHz, and so
do the bands of ``models/wake_word.keras``; the benchmark's go on to 8 kHz.

Example::

    recording = record(seconds=60, seed=7)
    print(recording.features.shape, recording.words[:2])
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from springbok.data.dataset import Dataset, check_split

RATE = 16_000  # samples a second
FRAME, STEP, BANDS, WINDOW = 1024, 512, 40, 30  # samples, samples, features a frame, frames of a model's input
FRAME_SECONDS = STEP / RATE
CLASSES = ("wake word", "silence", "other word")

_VOWELS = {  # formants in Hz
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
_WAKE_WORD = "aio"
_NEARLY = ("ai", "io", "aiu", "oia", "eio", "aao", "ao", "aie")  # words that share much with it
_WAKE_SHARE, _NEARLY_SHARE = 0.25, 0.35
_PREEMPHASIS, _OFFSET_DB, _RANGE_DB = 0.96875, 52.0, 64.0
_SPLITS = {"train": (range(100, 130), 80.0), "test": (range(200, 203), 80.0)}  # seeds, seconds each


@dataclass(frozen=True)
class Recording:
    """Sound (samples), int16; its features (frames, 40), float32 from 0 to 1; begin and end of each word, seconds."""

    sound: np.ndarray
    features: np.ndarray
    words: tuple[tuple[float, float], ...]
    others: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.features) * FRAME_SECONDS


@functools.lru_cache(maxsize=4)
def record(seconds: float, seed: int, benchmark: bool = False) -> Recording:
    """Made-up speech of so many seconds: a word about every two seconds, one in four the wake word.

    ``benchmark``: with the benchmark's features, for a model of one's own.
    """
    random = np.random.default_rng(seed)
    sound = _noise(int(seconds * RATE), random)
    words: tuple[list, list] = ([], [])
    at = 1.0
    while True:
        kind = random.random()
        spelled = _WAKE_WORD if kind < _WAKE_SHARE else _other_word(kind < _WAKE_SHARE + _NEARLY_SHARE, random)
        spoken = _speak(spelled, random)
        begin = int(at * RATE)
        if begin + len(spoken) + RATE > len(sound):
            break
        sound[begin : begin + len(spoken)] += spoken
        words[spelled != _WAKE_WORD].append((at, at + len(spoken) / RATE))
        at += len(spoken) / RATE + random.uniform(0.6, 2.2)
    samples = np.clip(np.rint(sound * 2**15), -(2**15), 2**15 - 1).astype(np.int16)
    features = features_of(sound, benchmark)
    samples.setflags(write=False)
    features.setflags(write=False)
    return Recording(samples, features, tuple(words[0]), tuple(words[1]))


def features_of(sound: np.ndarray, benchmark: bool = False) -> np.ndarray:
    """Log-mel energies of sound from -1 to 1: (frames, 40), float32 from 0 to 1.

    ``benchmark``: in the benchmark's bands, not in those of ``models/wake_word.keras``.
    """
    count = max(0, (len(sound) - FRAME) // STEP + 1)
    emphasised = sound - _PREEMPHASIS * np.concatenate([[0.0], sound[:-1]])
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, FRAME)[::STEP][:count]
    power = np.abs(np.fft.rfft(frames * np.hamming(FRAME))) ** 2 / FRAME
    decibels = 10 * np.log10(np.maximum(power @ _mel_filters(benchmark), 1e-30))
    return np.clip((decibels + _OFFSET_DB) / _RANGE_DB, 0, 1).astype(np.float32)


def wake_word(split: str = "test") -> Dataset:
    """Return windows (N, 30, 1, 40) of made-up speech: the wake word when it has just ended, silence, others."""
    check_split(split)
    seeds, seconds = _SPLITS[split]
    windows: list[np.ndarray] = []
    labels: list[int] = []
    groups: list[str] = []
    for seed in seeds:
        recording = record(seconds, seed)
        for end, label in _labelled(recording, np.random.default_rng(seed)):
            windows.append(recording.features[end - WINDOW : end])
            labels.append(label)
            groups.append(f"recording-{seed}")
    return Dataset(
        name=f"wake_word/{split}",
        inputs=np.stack(windows)[:, :, None, :],
        labels=np.array(labels, np.int64),
        class_names=CLASSES,
        groups=tuple(groups),
        description=f"made-up speech, {len(windows)} windows of 0.96 s from {len(seeds)} recordings of {seconds:.0f} s",
    )


def _labelled(recording: Recording, random: np.random.Generator) -> list[tuple[int, int]]:
    """(frame behind the window, class) of the windows of a recording that are of one class beyond doubt."""
    found = []
    for begin, end in recording.words:
        found += [(_frame(end) + late, 0) for late in (0, 2, 4, 6)]
        found += [(_frame(begin + 0.4 * (end - begin)), 2), (_frame(end) + WINDOW - 6, 2)]
    for begin, end in recording.others:
        found += [(_frame(end) + int(random.integers(0, 8)), 2), (_frame(end) + int(random.integers(0, 16)), 2)]
        found += [(_frame((begin + end) / 2), 2)]
    speech = [*recording.words, *recording.others]
    for end in range(WINDOW, len(recording.features), 11):
        first, last = (end - WINDOW) * FRAME_SECONDS, (end + 1) * FRAME_SECONDS
        if all(last < a or first > b for a, b in speech):
            found.append((end, 1))
    return [(end, label) for end, label in found if WINDOW <= end <= len(recording.features)]


def _frame(seconds: float) -> int:
    """The count of frames that have ended by then."""
    return int((seconds * RATE - FRAME) // STEP + 2)


def _other_word(nearly: bool, random: np.random.Generator) -> str:
    if nearly:
        return str(random.choice(_NEARLY))
    while True:
        word = "".join(random.choice(list(_VOWELS), size=int(random.integers(1, 4))))
        if word != _WAKE_WORD:
            return word


def _speak(word: str, random: np.random.Generator) -> np.ndarray:
    """A word in a voice of its own: pitch, size of the head, speed and loudness."""
    pitch, head, speed = random.uniform(95, 210), random.uniform(0.92, 1.12), random.uniform(0.85, 1.15)
    parts = [_vowel(_VOWELS[letter], pitch * random.uniform(0.94, 1.06), head, speed, random) for letter in word]
    spoken = np.concatenate(parts)
    return spoken * 10 ** (random.uniform(-26, -12) / 20) / np.sqrt(np.mean(spoken**2))


def _vowel(
    formants: tuple[int, ...], pitch: float, head: float, speed: float, random: np.random.Generator
) -> np.ndarray:
    count = int(RATE * random.uniform(0.16, 0.22) / speed)
    time = np.arange(count) / RATE
    glide = 2 * np.pi * pitch * (time + random.uniform(-0.25, 0.25) * time**2)
    harmonics = np.arange(1, int(3800 / pitch))
    width = 90.0
    loudness = sum(
        1 / (1 + ((harmonics * pitch - head * formant) / width) ** 2) / (1 + number)
        for number, formant in enumerate(formants)
    )
    sound = (loudness[:, None] * np.sin(harmonics[:, None] * glide)).sum(axis=0)
    edge = np.minimum(1, np.minimum(time, time[::-1]) / 0.03)
    return sound * edge


def _noise(count: int, random: np.random.Generator) -> np.ndarray:
    """Noise that falls with frequency and changes its loudness slowly."""
    spectrum = np.fft.rfft(random.standard_normal(count))
    spectrum /= np.maximum(np.fft.rfftfreq(count, 1 / RATE), 60.0) ** 0.5
    noise = np.fft.irfft(spectrum, count)
    seconds = np.arange(count // RATE + 2)
    level = np.interp(np.arange(count) / RATE, seconds, random.uniform(-52, -40, len(seconds)))
    return noise / np.sqrt(np.mean(noise**2)) * 10 ** (level / 20)


@functools.cache
def _mel_filters(benchmark: bool) -> np.ndarray:
    """Triangles, equally wide on the mel scale: (513, 40). The benchmark's are straight in mel, not in Hz."""
    frequencies = np.fft.rfftfreq(FRAME, 1 / RATE)
    if benchmark:
        mels = 2595 * np.log10(1 + frequencies / 700)
        centres = np.linspace(mels[0], mels[-1], BANDS + 2)[1:-1]
        return np.maximum(0, 1 - np.abs(mels[:, None] - centres) / centres[0])
    ends = 700 * (10 ** (np.linspace(*(2595 * np.log10(1 + np.array([20, 4000]) / 700)), BANDS + 2) / 2595) - 1)
    below, centre, above = ends[:-2], ends[1:-1], ends[2:]
    rising = (frequencies[:, None] - below) / (centre - below)
    falling = (above - frequencies[:, None]) / (above - centre)
    return np.maximum(0, np.minimum(rising, falling))
