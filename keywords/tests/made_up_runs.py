# SPDX-License-Identifier: Apache-2.0
"""Made-up runs, of the form of metrics.json, whose numbers hang together as those of a real one do."""

import random

from springbok.measuring.instruction_mix import by_class, work

VECTOR_OPCODES = {"vle32.v": 40, "vfmacc.vf": 90, "vse32.v": 20, "vredsum.vs": 3, "vslidedown.vi": 7, "vsetvli": 11}
SCALAR_OPCODES = {"addi": 300, "flw": 200, "fmadd.s": 180, "bne": 100, "fsw": 60}
SAMPLES = 30
CLASSES = ["rest", "wave", "swing"]


def make_dispatch(number, scale, vectors):
    opcodes = {name: count * scale for name, count in {**SCALAR_OPCODES, **(VECTOR_OPCODES if vectors else {})}.items()}
    classes = by_class(opcodes)
    vector_instructions = sum(count for name, count in classes.items() if name.startswith("vector"))
    return {
        "name": f"main_dispatch_{number}_conv_{scale}x8_f32",
        "layer": f"conv_{number}",
        "calls": 1,
        "instructions": sum(opcodes.values()),
        "vector_instructions": vector_instructions,
        "lanes": None,
        "work": work(opcodes),
        "opcode_classes": classes,
        "opcodes": opcodes,
    }


def make_model(name="gestures", variant="vector", seed=1):
    """A model of four dispatches, the last of which has no vectors, and 1000 instructions of runtime around them."""
    numbers = random.Random(seed)
    vectors = variant != "scalar"
    dispatches = [make_dispatch(i, numbers.randrange(1, 90), vectors and i < 3) for i in range(4)]
    opcodes = {"addi": 1000}
    for dispatch in dispatches:
        for opcode, count in dispatch["opcodes"].items():
            opcodes[opcode] = opcodes.get(opcode, 0) + count
    opcodes = dict(sorted(opcodes.items(), key=lambda item: -item[1]))
    total = sum(opcodes.values())
    each = [total + number - SAMPLES // 2 + (number >= SAMPLES // 2) for number in range(SAMPLES)]
    labels = [number % 3 for number in range(SAMPLES)]
    given = [numbers.choice((label, label, 0)) for label in labels]
    confusion = [[0] * 3 for _ in range(3)]
    for label, device in zip(labels, given, strict=True):
        confusion[label][device] += 1
    return {
        "name": name,
        "variant": variant,
        "format": "keras",
        "sha256": "0" * 64,
        "vmfb_bytes": 30_000 + seed,
        "vmfb_sha256": "1" * 64,
        "kernel_text_bytes": 9000,
        "kernel_rodata_bytes": 20_000,
        "compiler": {"version": "3.13.0", "flags": ["--iree-llvmcpu-target-cpu=generic-rv32"]},
        "inputs": [{"name": "motion", "dtype": "float32", "shape": [1, 100, 6, 1]}],
        "dataset": {"name": "motions/test", "description": "motions: made up"},
        "samples": SAMPLES,
        "accuracy": sum(map(int.__eq__, labels, given)) / SAMPLES,
        "host_accuracy": 1.0,
        "outputs_sha256": "2" * 64,
        "max_abs_error": 1e-7,
        "class_names": CLASSES,
        "confusion": confusion,
        "per_sample": {
            "label": labels,
            "device": given,
            "host": labels,
            "instructions": each,
        },
        "load_instructions": 78_058,
        "instructions": {"min": min(each), "mean": total, "max": max(each)},
        "device_instructions": {"mean": total - 20},
        "vector_instructions": {"mean": sum(each["vector_instructions"] for each in dispatches)},
        "outside_kernels": {"mean": 1000},
        "lanes": None,
        "memory_peak_bytes": 100_000 + seed,
        "stack_peak_bytes": 1792,
        "dispatches": dispatches,
        "opcode_classes": by_class(opcodes),
        "opcodes": opcodes,
        "accesses_over_time": None,
        "wall_clock": {
            "upload_seconds": 0.25,
            "round_trip_seconds": [numbers.random() / 10 for _ in range(SAMPLES)],
        },
    }


def make_regression(name="wear", error=0.25):
    """A model of values: the same cost as `make_model`, and answers that miss by ``error`` each."""
    right = [number / 10 for number in range(SAMPLES)]
    given = [value + error for value in right]
    mean = sum(right) / SAMPLES
    spread = sum((value - mean) ** 2 for value in right)
    figures = {"mean_absolute_error": error, "root_mean_square_error": error}
    figures["r_squared"] = 1 - SAMPLES * error**2 / spread
    model = make_model(name)
    model.update(accuracy=None, host_accuracy=None, class_names=[], confusion=[])
    model["quality"] = {"task": "regression", "device": figures, "host": figures}
    model["per_sample"].update(label=right, device=given, host=given)
    return model


def make_document(*models, engine="spike", vlen=512):
    return {
        "schema": 1,
        "engine": engine,
        "engine_version": "1.0",
        "vlen_bits": vlen,
        "link": "socket",
        "firmware": {"sha256": "2" * 64, "text_bytes": 5000, "rodata_bytes": 2, "data_bytes": 3, "bss_bytes": 4},
        "models": list(models),
    }
