# SPDX-License-Identifier: Apache-2.0
"""Train models/magic_wand.h5 on the people that are not held out: python models/train_magic_wand.py [ARCHIVE]

Without the path of the archive it is taken from SPRINGBOK_MAGIC_WAND, else downloaded.
"""

import sys

import numpy as np

import training  # makes springbok importable, so it comes first
from springbok.data.dataset import Dataset
from springbok.data.packaged.magic_wand import magic_wand

COPIES = 4


def reversed_rings(train: Dataset) -> np.ndarray:
    """Return every second ring backwards in time: a ring drawn the other way round is no ring."""
    rings = train.inputs[train.labels == train.class_names.index("ring")]
    return rings[::2, ::-1]


def vary(inputs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return each motion as another person might make it: other speed (±15 %), strength (±10 %), tilt (10°)."""
    return np.stack([_vary_one(motion[..., 0], generator) for motion in inputs])[..., np.newaxis]


def _vary_one(motion: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    steps = np.arange(len(motion))
    middle = (len(motion) - 1) / 2
    times = (steps - middle) * generator.uniform(0.85, 1.15) + middle
    stretched = np.stack([np.interp(times, steps, axis) for axis in motion.T], axis=1)
    moved = stretched @ _rotation(generator.normal(0, np.deg2rad(10), 3)) * generator.uniform(0.9, 1.1)
    return np.clip(moved, -2040, 2040).astype(np.float32)  # the sensor's range in mg


def _rotation(vector: np.ndarray) -> np.ndarray:
    """Return the matrix that turns about ``vector`` by its length in radians (Rodrigues)."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


archive = sys.argv[1] if len(sys.argv) > 1 else None
train, test = magic_wand(archive, "train"), magic_wand(archive, "test")
training.make_reproducible(1)
generator = np.random.default_rng(1)
extra = reversed_rings(train)
inputs = np.concatenate([train.inputs, extra])
labels = np.concatenate([train.labels, np.full(len(extra), train.class_names.index("negative"))])
inputs = np.concatenate([inputs, *(vary(inputs, generator) for _ in range(COPIES))])
labels = np.tile(labels, 1 + COPIES)

model = training.gesture_network(128, 3, 4, scale=1e-3, name="magic_wand")
training.fit(model, inputs, labels, epochs=20, batch=32)
training.save(model, training.FOLDER / "magic_wand.h5")
training.report(training.FOLDER / "magic_wand.h5", train, test)
