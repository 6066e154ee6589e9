# SPDX-License-Identifier: Apache-2.0
"""Make an int8 model with dead channels, as trained networks have them: python models/dead_channels.py NAME OUTPUT

NAME.keras or NAME.h5 with every eighth channel of its layers but the last dead, quantised as `quantise.py` does it. The
weights of a dead channel are nearly zero, as training with weight decay leaves them, and its shift stays: then its
scale is tiny, and a quantiser makes a bias of up to 2^30 of its shift. Some have no shift either, and some no weights.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import quantise
import training
from springbok.compiler.quantise_worker import quantise as quantised

EVERY = 8
#: What the weights of dead channels are multiplied with, in turn, and what their shift is.
WEIGHTS = (1e-9, 1e-20, 0.0, 1e-6, 1e-30)
SHIFTS = (1.0, -1.0, 0.0, 3e-5, 0.25)


def kill(model: keras.Model) -> int:
    """Let channels of each layer but the last die; returns how many."""
    dead = 0
    norms = {layer.input.name: layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    weighted = [layer for layer in model.layers if hasattr(layer, "kernel")]
    for layer in weighted[:-1]:
        kernel, *bias = layer.get_weights()
        norm = norms.get(layer.output.name)
        scale, shift, mean, variance = norm.get_weights() if norm else (None, *bias, np.zeros_like(*bias), None)
        by_channel = kernel[..., 0] if isinstance(layer, keras.layers.DepthwiseConv2D) else kernel
        for channel in range(dead % EVERY, by_channel.shape[-1], EVERY):
            by_channel[..., channel] *= WEIGHTS[dead % len(WEIGHTS)]
            for each in (*bias, mean):
                each[channel] = 0
            shift[channel] = SHIFTS[(dead // len(WEIGHTS)) % len(SHIFTS)]
            dead += 1
        layer.set_weights([kernel, *bias])
        if norm:
            norm.set_weights([scale, shift, mean, variance])
    return dead


def make(name: str, output: Path) -> int:
    """Write the model to ``output``, and beside it as a .keras; returns how many of its channels are dead."""
    files = (training.FOLDER / f"{name}.keras", training.FOLDER / f"{name}.h5")
    model = keras.models.load_model(next(path for path in files if path.exists()), compile=False)
    dead = kill(model)
    changed = output.with_suffix(".keras")
    model.save(changed)
    output.write_bytes(quantised(changed, quantise.representative_inputs(name), integer_ends=True))
    return dead


if __name__ == "__main__":
    sys.stdout.write(f"{make(sys.argv[1], Path(sys.argv[2]))} dead channels\n")
