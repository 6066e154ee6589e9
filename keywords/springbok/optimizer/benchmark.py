# SPDX-License-Identifier: Apache-2.0
"""What the optimizer brings: ``python -m springbok.optimizer.benchmark [--samples N] [MODEL…]``.

Each model of models/ is compiled as IREE does it by itself (``none``) and optimised (``standard``), for a chip with
VLEN 512, and run on Spike. The outputs of both must be equal: 8-bit ones to the bit, floating point within 1e-6,
on inputs of which the first ones are the extremes. Printed are instructions of a warm inference, runtime included.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.compiler import CompiledModel, Target, compile_model
from springbok.errors import BenchError
from springbok.optimizer import LEVELS
from springbok.session import Session
from springbok.tensors import TensorSpec, probe_inputs

MODELS = Path(__file__).resolve().parents[3] / "models"
NAMES = (
    *("magic_wand.h5", "magic_wand_int8.tflite", "gestures.h5", "gestures_int8.tflite", "ds_cnn_int8.tflite"),
    *("autoencoder_int8.tflite", "gru_int8.tflite", "resnet8_int8.tflite", "mobilenet_vww_int8.tflite"),
)
FLOAT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Row:
    """A model at one level: what its inference costs."""

    instructions: int
    memory_peak_bytes: int
    module_bytes: int


def compare(session: Session, file: Path, samples: int) -> tuple[dict[str, Row], float]:
    """Returns what each level costs, and the largest difference between their outputs on ``samples`` inputs."""
    rows, outputs = {}, []
    for level in LEVELS:
        model = compile_model(file, Target.springbok("vector", 512), optimize=level)
        session.load_model(model)
        inputs = made_up_inputs(model.inputs, samples)
        answers = [session.infer(*(array[n] for array in inputs), raw=True, timeout=600) for n in range(samples)]
        outputs.append(answers)
        rows[level] = _row(session, model)
    pairs = [
        (one, other) for first, second in zip(*outputs, strict=True) for one, other in zip(first, second, strict=True)
    ]
    worst = max(float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max()) for one, other in pairs)
    return rows, worst


def made_up_inputs(specs: Sequence[TensorSpec], samples: int) -> list[np.ndarray]:
    """Inputs that are the same on every run; the first two are the smallest and the largest values all over."""
    arrays = probe_inputs(specs, samples)
    for array in arrays:
        whole = np.issubdtype(array.dtype, np.integer)
        extremes = (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max) if whole else (array.min(), array.max())
        for number, value in zip(range(samples), extremes, strict=False):
            array[number] = value
    return arrays


def _row(session: Session, model: CompiledModel) -> Row:
    profile = session.need_link().profile()
    return Row(profile.inference_instructions, profile.memory_peak_bytes, model.vmfb.stat().st_size)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit status is 1 when outputs differ or a model executes more than stock IREE's."""
    parser = argparse.ArgumentParser(
        prog="python -m springbok.optimizer.benchmark", description=__doc__.splitlines()[0]
    )
    parser.add_argument("models", nargs="*", default=NAMES, metavar="MODEL", help="files in models/ (default: nine)")
    parser.add_argument("--samples", type=int, default=4, help="inputs on which outputs must be equal (default: 4)")
    options = parser.parse_args(arguments)
    session, good = Session(), True
    line = "{:28} {:>14} {:>14} {:>7} {:>11} {:>11} {:>9} {:>9} {:>9}\n"
    header = ("model", "stock", "optimised", "ratio", "memory", "optimised", "module", "optimised", "differ by")
    sys.stdout.write(line.format(*header))
    try:
        session.boot("spike", count_opcodes=False)
        for name in options.models:
            rows, worst = compare(session, MODELS / name, options.samples)
            stock, best = rows["none"], rows["standard"]
            allowed = 0 if "int8" in name else FLOAT_TOLERANCE
            good &= worst <= allowed and best.instructions <= stock.instructions
            figures = (stock.instructions, best.instructions, round(best.instructions / stock.instructions, 3))
            sizes = (stock.memory_peak_bytes, best.memory_peak_bytes, stock.module_bytes, best.module_bytes)
            sys.stdout.write(line.format(name, *(f"{each:,}" for each in (*figures, *sizes)), f"{worst:.2g}"))
            sys.stdout.flush()
    except BenchError as error:
        sys.stderr.write(f"optimizer benchmark: {error}\n")
        return 2
    finally:
        session.shut_down()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
