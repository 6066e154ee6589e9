# SPDX-License-Identifier: Apache-2.0
"""What the chip's accelerometer, an ADXL345 in full resolution, makes of a motion.

Example::

    steps = readings(motion_in_mg, per_g=1000)      # what the chip reads
    engine.feed_accelerometer(counts(steps))        # what the simulated sensor must be fed for that
    model_input = values(steps, per_g=1000)         # what the firmware makes of the readings
"""

from __future__ import annotations

import numpy as np

from springbok.support.errors import ModelError

AXES = 3
STEPS_PER_G = 256  # of a reading; the data sheet's 3.9 mg
RANGE_G = 16
COUNTS_PER_STEP = 4  # simulated sensors take motion two bits finer than they read it
WINDOW = 128  # samples that the firmware keeps
SAMPLES_PER_SECOND = 100


def readings(samples: np.ndarray, per_g: float = 1.0) -> np.ndarray:
    """Return what the sensor reads of accelerations, in steps of 1/256 g: int16, shape (samples, 3).

    ``samples`` is x, y, z a sample; axes of length 1 do not count. ``per_g`` is what 1 g is in them, for instance 1000
    where they are in mg. Beyond 16 g the sensor clips. Raises ModelError for another shape, NaN or infinity.

    >>> readings(np.array([[1.0, -0.5, 0.003]])).tolist()
    [[256, -128, 1]]
    """
    motion = np.asarray(samples, np.float64)
    if motion.size == 0 or [length for length in motion.shape if length != 1][-1:] != [AXES] or motion.size % AXES:
        raise ModelError(f"Accelerations are x, y, z of each sample: shape (samples, 3), not {np.shape(samples)}.")
    if len([length for length in motion.shape if length != 1]) > 2:
        raise ModelError(f"Accelerations are one recording of shape (samples, 3), not {np.shape(samples)}.")
    if not np.isfinite(motion).all():
        raise ModelError("Accelerations must be finite numbers; these hold NaN or infinity.")
    steps = np.rint(motion.reshape(-1, AXES) * (STEPS_PER_G / per_g))
    return np.clip(steps, -RANGE_G * STEPS_PER_G, RANGE_G * STEPS_PER_G - 1).astype(np.int16)


def counts(steps: np.ndarray) -> list[tuple[int, int, int]]:
    """Return what a simulated sensor must be fed to read these steps."""
    return [tuple(sample) for sample in (steps.astype(np.int32) * COUNTS_PER_STEP).tolist()]


def unit(per_g: float) -> np.float32:
    """Return what one step is in units of which 1 g has ``per_g``."""
    return np.float32(per_g / STEPS_PER_G)


def values(steps: np.ndarray, per_g: float = 1.0) -> np.ndarray:
    """Return the steps in units of which 1 g has ``per_g``, float32, as the firmware computes them."""
    return steps.astype(np.float32) * unit(per_g)
