"""How readings become inputs of the model: the same here as where it was trained."""

import numpy as np

#: Of all readings: what the sensor shows at rest, in mg.
REST = np.float32(1000)


def centre(readings: np.ndarray) -> np.ndarray:
    """Take what the sensor shows at rest away, and give the rest in g: readings, samples first, in mg."""
    return (readings - REST) / np.float32(1000)
