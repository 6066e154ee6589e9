# SPDX-License-Identifier: Apache-2.0
"""The one document that a run leaves behind: ``metrics.json``.

Its form is ``metrics.schema.json`` beside this file, explained in docs/metrics.md. Reports, baselines and the
gate read this document and nothing else. A value that an engine can't give is null, never invented.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from springbok.compiler import CompiledModel
from springbok.firmware import Firmware
from springbok.performance import Performance, exact_mean
from springbok.quality import Quality

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("metrics.schema.json")


def model_metrics(model: CompiledModel, quality: Quality, performance: Performance) -> dict[str, Any]:
    """Return the entry of ``models`` for one compiled model, judged and measured on one data set."""
    instructions = performance.instructions
    return {
        "name": model.name,
        "variant": model.variant,
        "format": model.format,
        "sha256": model.source_sha256,
        "vmfb_bytes": model.vmfb_bytes,
        "vmfb_sha256": model.vmfb_sha256,
        "compiler": {"version": model.compiler_version, "flags": list(model.flags)},
        "samples": quality.samples,
        "accuracy": quality.accuracy,
        "host_accuracy": quality.host_accuracy,
        "max_abs_error": quality.max_abs_error if math.isfinite(quality.max_abs_error) else None,
        "class_names": list(quality.class_names),
        "confusion": quality.confusion,
        "load_instructions": performance.load_instructions,
        "instructions": {"min": min(instructions), "mean": mean(instructions), "max": max(instructions)},
        "device_instructions": {"mean": mean(performance.device_instructions)},
        "vector_instructions": {"mean": mean(performance.vector_instructions)},
        "outside_kernels": {"mean": mean(performance.outside_kernels)},
        "memory_peak_bytes": performance.memory_peak_bytes,
        "stack_peak_bytes": performance.stack_peak_bytes,
        "dispatches": [
            {
                "name": dispatch.name,
                "layer": " + ".join(model.layers(dispatch.name)) or None,
                "calls": dispatch.calls,
                "instructions": dispatch.instructions,
                "vector_instructions": dispatch.vector_instructions,
                "opcodes": dispatch.opcodes,
            }
            for dispatch in performance.dispatches
        ],
        "opcodes": performance.opcodes,
    }


def firmware_metrics(firmware: Firmware) -> dict[str, Any]:
    """Return the entry ``firmware``: which ELF ran, and the size of its parts in bytes."""
    return {
        "sha256": firmware.sha256,
        "text_bytes": firmware.text_bytes,
        "rodata_bytes": firmware.rodata_bytes,
        "data_bytes": firmware.data_bytes,
        "bss_bytes": firmware.bss_bytes,
    }


def document(
    engine: str, engine_version: str | None, vlen_bits: int | None, firmware: Firmware | None, models: Sequence[dict]
) -> dict[str, Any]:
    """Return the whole document. ``vlen_bits`` is what the chip says of itself; 0 is a chip without vectors."""
    return {
        "schema": SCHEMA_VERSION,
        "engine": engine,
        "engine_version": engine_version,
        "vlen_bits": vlen_bits,
        "firmware": firmware_metrics(firmware) if firmware else None,
        "models": list(models),
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the document in one step, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def mean(values: Sequence[int] | None) -> float | None:
    """Mean of counts; None stays None.

    >>> mean((2, 4)), mean(None)
    (3, None)
    """
    return None if values is None else exact_mean(sum(values), len(values))
