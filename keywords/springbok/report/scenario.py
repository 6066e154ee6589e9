# SPDX-License-Identifier: Apache-2.0
"""The scenario of a configuration as a picture: from the data to the chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from springbok.measuring.derived import CLASSIFICATION, UNKNOWN, shown, task_of, vlen_text
from springbok.measuring.platforms import platform_of
from springbok.report.figure import Step, in_short
from springbok.report.optimizer import flags_chosen


def scenario(document: Mapping, model: Mapping) -> list[Step]:
    """From the data to the chip, with the parameters of each step; of a scenario file, its blocks where it has them."""
    dataset = model.get("dataset") or {"name": UNKNOWN, "description": ""}
    shapes = [f"{entry['name']}: {entry['dtype']} {entry['shape']}" for entry in model.get("inputs", [])]
    flags = model["compiler"]["flags"]
    features = [_flag(flags, "target-cpu-features")]
    optimizer = model["compiler"].get("optimizer") or {}
    choice = optimizer.get("choice")
    compilation = (
        model["variant"],
        *([f"optimize={optimizer['level']}"] if optimizer else []),
        *([f"flags: {flags_chosen(choice)}"] if choice else []),
        f"{len(flags)} flag{'' if len(flags) == 1 else 's'}, see below",
    )
    target = [_flag(flags, "target-triple"), _flag(flags, "target-abi"), *features]
    platform = platform_of(document, model)
    firmware = platform.get("firmware")
    code = f"{shown(firmware['text_bytes'], 'count')} bytes of code" if firmware else "firmware not built here"
    steps = [
        Step("Data set", dataset["name"], (f"{model['samples']} samples", _judged_by(model))),
        Step(
            "Preprocessing",
            "model input",
            (*shapes, *dataset.get("preprocessing", ()), dataset["description"].partition(": ")[2]),
        ),
        Step("Model", in_short(model["name"]), (model["format"], f"sha256 {model['sha256'][:12]}…")),
        Step("Compiler", f"IREE {model['compiler']['version']}", compilation),
        Step("Target", _flag(flags, "target-cpu") or "RISC-V", tuple(filter(None, target))),
        Step("Runtime", "springbok-bench", (code, f"module {shown(model['vmfb_bytes'], 'count')} bytes")),
        Step("Link", "UART", (f"over {platform['link']}" if platform.get("link") else "carrier unknown",)),
        Step(
            "Engine",
            platform["engine"],
            (platform["engine_version"] or "", platform["chip"], vlen_text(platform["vlen_bits"])),
        ),
    ]
    blocks = {_BLOCK_STEPS[block["block"]]: block for block in model.get("scenario", {}).get("blocks", [])}
    return [_with_block(step, blocks[step.title]) if step.title in blocks else step for step in steps]


def _judged_by(model: Mapping) -> str:
    task = task_of(model)
    return f"{len(model['class_names'])} classes" if task == CLASSIFICATION else task


_BLOCK_STEPS = {
    "dataset": "Data set",
    "model_wrapper": "Model",
    "optimizers": "Compiler",
    "runtime": "Runtime",
    "protocol": "Link",
    "runtime_protocol": "Link",
    "platform": "Engine",
}


def _with_block(step: Step, block: Mapping) -> Step:
    """The step under the name of its block, which stands before what the run was like."""
    parameters = [f"{name}: {_short(value)}" for name, value in block["parameters"].items()]
    return Step(block["block"], block["type"].rpartition(".")[2], (*parameters, f"→ {step.name}", *step.details))


def _short(value: Any) -> str:
    return f"{len(value)} of them" if isinstance(value, list) else str(value)


def _flag(flags: Sequence[str], name: str) -> str:
    return next((flag.partition("=")[2] for flag in flags if flag.partition("=")[0].endswith(name)), "")
