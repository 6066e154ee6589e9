"""Makes data/pump.csv and models/pump.onnx: readings that a pump might give, and a network that tells its states.

python models/make_pump.py
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "data"))

from pump import REST, centre  # noqa: E402

STATES = ("sound", "worn", "blocked")
STEPS = 24
HIDDEN = 16


def readings(random: np.random.Generator, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vibration over time, in mg, and states: a sound pump turns, a worn one rattles, a blocked one hums."""
    time = np.arange(STEPS)
    waves = [
        300 * np.sin(2 * np.pi * time / 12),
        300 * np.sin(2 * np.pi * time / 12) + 350 * np.sin(2 * np.pi * time / 3 + 1),
        120 * np.sin(2 * np.pi * time / 6),
    ]
    labels = np.repeat(np.arange(len(STATES)), each)
    values = np.stack([np.roll(waves[state], random.integers(12)) for state in labels])
    return np.rint(REST + values + random.normal(0, 40, values.shape)), labels


def train(inputs: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Return weights and biases of two layers: the first at random, the second fitted to it."""
    first = random.normal(0, 1.5, (STEPS, HIDDEN))
    bias = random.normal(0, 0.3, HIDDEN)
    hidden = np.maximum(inputs @ first + bias, 0)
    with_one = np.column_stack([hidden, np.ones(len(hidden))])
    second, *_ = np.linalg.lstsq(with_one, np.eye(len(STATES))[labels], rcond=None)
    return [array.astype(np.float32) for array in (first, bias, second[:-1], second[-1])]


def main() -> None:
    """Write both files."""
    random = np.random.default_rng(20)
    inputs, labels = readings(random, 200)
    weights = train(centre(inputs), labels, random)
    names = ["first/weights", "first/bias", "second/weights", "second/bias"]
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["vibration", *names[:2]], ["first"], name="first"),
            helper.make_node("Relu", ["first"], ["active"], name="active"),
            helper.make_node("Gemm", ["active", *names[2:]], ["state"], name="second"),
        ],
        "pump",
        [helper.make_tensor_value_info("vibration", TensorProto.FLOAT, [1, STEPS])],
        [helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, len(STATES)])],
        [numpy_helper.from_array(array, name) for array, name in zip(weights, names, strict=True)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), HERE / "pump.onnx")
    shown, states = readings(random, 20)
    lines = [",".join([*(f"t{step}" for step in range(STEPS)), "state"])]
    lines += [
        ",".join([*(str(int(value)) for value in row), STATES[state]]) for row, state in zip(shown, states, strict=True)
    ]
    (HERE.parent / "data" / "pump.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
