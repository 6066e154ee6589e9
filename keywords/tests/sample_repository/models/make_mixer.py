# SPDX-License-Identifier: Apache-2.0
"""Makes models/mixer.onnx as PyTorch exports it, and data/mixer.csv: what a mixer's microphone and settings tell.

python models/make_mixer.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
STEPS, SPEEDS = 32, (10, 20)
CHANNELS = 8
RANDOM = np.random.default_rng(11)


def recordings(each: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sound in counts of the converter, (speed, load) and whether the mixer runs dry, for every speed."""
    time = np.arange(STEPS)
    rows = [(speed, dry) for speed in SPEEDS for dry in (0, 1) for _ in range(each)]
    load = np.array([RANDOM.uniform(0.1, 0.4) if dry else RANDOM.uniform(0.6, 0.9) for _, dry in rows])
    sound = [2048 + 500 * np.sin(2 * np.pi * time * speed / 160) * (1 + dry) for speed, dry in rows]
    sound = np.rint(np.array(sound) + RANDOM.normal(0, 30, (len(rows), STEPS)))
    return sound, np.column_stack([[speed for speed, _ in rows], load]), np.array([dry for _, dry in rows])


def main() -> None:
    """Write both files."""
    sound, settings, dry = recordings(6)
    header = [*(f"s{step}" for step in range(STEPS)), "speed", "load", "state"]
    lines = [",".join(header)]
    for wave, (speed, load), is_dry in zip(sound, settings, dry, strict=True):
        cells = [*(f"{value:.0f}" for value in wave), f"{speed:g}", f"{load:.3f}", "dry" if is_dry else "full"]
        lines.append(",".join(cells))
    (HERE.parent / "data" / "mixer.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    # What PyTorch calls the parameters and operations of features = Sequential(Conv1d, ReLU), head = Linear.
    weights = {
        "features.0.weight": RANDOM.normal(0, 0.3, (CHANNELS, 1, 5)),
        "features.0.bias": np.zeros(CHANNELS),
        "head.weight": np.concatenate([np.zeros((2, CHANNELS + 1)), [[8.0], [-8.0]]], axis=1),
        "head.bias": [-4.0, 4.0],
    }
    nodes = [
        ("Conv", ["sound", "features.0.weight", "features.0.bias"], "/features/0/Conv", {"kernel_shape": [5]}),
        ("Relu", ["/features/0/Conv_output_0"], "/features/1/Relu", {}),
        ("ReduceMean", ["/features/1/Relu_output_0"], "/ReduceMean", {"axes": [2], "keepdims": 0}),
        ("Concat", ["/ReduceMean_output_0", "settings"], "/Concat", {"axis": 1}),
        ("Gemm", ["/Concat_output_0", "head.weight", "head.bias"], "/head/Gemm", {"transB": 1}),
    ]
    made = [
        helper.make_node(kind, inputs, ["state" if name == "/head/Gemm" else f"{name}_output_0"], name=name, **options)
        for kind, inputs, name, options in nodes
    ]
    graph = helper.make_graph(
        made,
        "main_graph",
        [
            helper.make_tensor_value_info("sound", TensorProto.FLOAT, [1, 1, STEPS]),
            helper.make_tensor_value_info("settings", TensorProto.FLOAT, [1, 2]),
        ],
        [helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.float32(array), name) for name, array in weights.items()],
    )
    written_by = {"producer_name": "pytorch", "producer_version": "2.5.1", "ir_version": 8}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], **written_by)
    onnx.save(model, HERE / "mixer.onnx")


if __name__ == "__main__":
    main()
