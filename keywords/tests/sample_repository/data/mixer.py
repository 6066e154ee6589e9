# SPDX-License-Identifier: Apache-2.0
"""How a row of mixer.csv becomes the two inputs of the model."""

import numpy as np

#: Columns of sound, in counts of a converter of 12 bits; speed and load follow.
STEPS, MIDDLE = 32, np.float32(2048)


def inputs(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return both inputs by their names in the model."""
    rows = rows.astype(np.float32)
    sound = (rows[:, :STEPS] - MIDDLE) / MIDDLE
    settings = rows[:, STEPS:] / np.float32([100, 1])
    return {"sound": sound[:, np.newaxis, :], "settings": settings}
