# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402, T201 (it makes springbok importable first, and reports by printing)
"""Train models/digits_jax.mlirbc on handwritten digits with JAX: python models/train_digits_jax.py

Needs jax 0.10, which the project itself does without. The file holds StableHLO, with named scopes as layers.
"""

import hashlib
import itertools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "keywords"))

from springbok.data import datasets

UNITS = (32, 10)


def network(parameters: list, image: jax.Array) -> jax.Array:
    """Logits of 10 classes; ``image`` has the shape (samples, 28, 28), from 0 to 255."""
    with jax.named_scope("pool"):
        x = (image / 255).reshape(-1, 14, 2, 14, 2).max(axis=(2, 4)).reshape(-1, 196)
    for number, (weights, bias) in enumerate(parameters, start=1):
        with jax.named_scope(f"dense_{number}"):
            x = x @ weights + bias
            x = jax.nn.relu(x) if number < len(parameters) else x
    return x


@jax.jit
def step(parameters: list, images: jax.Array, labels: jax.Array, rate: float) -> list:
    """One step of gradient descent."""

    def loss(parameters: list) -> jax.Array:
        return -jnp.take_along_axis(jax.nn.log_softmax(network(parameters, images)), labels[:, None], 1).mean()

    return jax.tree.map(lambda value, slope: value - rate * slope, parameters, jax.grad(loss)(parameters))


train, test = datasets.load("mnist", "train"), datasets.load("mnist", "test")
random = np.random.default_rng(1)
sizes = (196, *UNITS)
parameters = [
    (random.standard_normal((a, b)).astype(np.float32) * np.float32((2 / a) ** 0.5), np.zeros(b, np.float32))
    for a, b in itertools.pairwise(sizes)
]
for epoch in range(40):
    order = random.permutation(len(train))
    for chosen in np.split(order, len(order) // 40):
        parameters = step(parameters, train.inputs[chosen, ..., 0], train.labels[chosen], 0.1 * 0.93**epoch)
for dataset in (train, test):
    right = int((np.asarray(network(parameters, dataset.inputs[..., 0])).argmax(1) == dataset.labels).sum())
    print(f"{dataset.name}: {right} of {len(dataset)} right, accuracy {right / len(dataset):.4f}")


def main(image: jax.Array) -> jax.Array:
    """Probabilities of the classes."""
    logits = network(constants, image)
    with jax.named_scope("softmax"):
        return jax.nn.softmax(logits)


constants = [tuple(map(np.asarray, pair)) for pair in parameters]
lowered = jax.jit(main).lower(jax.ShapeDtypeStruct((1, 28, 28), jnp.float32))
path = FOLDER / "digits_jax.mlirbc"
with path.open("wb") as file:
    lowered.compiler_ir("stablehlo").operation.write_bytecode(file)
content = path.read_bytes()
print(f"{path.name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
