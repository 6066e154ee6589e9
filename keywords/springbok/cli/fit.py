# SPDX-License-Identifier: Apache-2.0
"""``./bench fit``: does a model fit a chip? Bytes by memory, free or missing. No chip is run."""

from __future__ import annotations

import argparse
import json
from typing import Any

from springbok.chips.chip import Chip
from springbok.chips.sources import message_rooms
from springbok.cli.arguments import add_optimize, add_platform, add_vlen, use_platform
from springbok.cli.compile import describe
from springbok.cli.text import print_table
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.optimizer import DEFAULT_LEVEL
from springbok.exploring.search import search
from springbok.firmware import Firmware, build_firmware


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model files, or folders of SavedModels")
    add_platform(parser)
    parser.add_argument("--variant", choices=("vector", "scalar"), help="kind of code (default: the chip's best)")
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")
    add_optimize(parser, DEFAULT_LEVEL, f"level of the optimizer (default: {DEFAULT_LEVEL})")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def run(options: argparse.Namespace) -> int:
    """Compile the models and print where their bytes lie; 1 when one does not fit."""
    chip = use_platform(options)
    chip.check_vlen(options.vlen or chip.vlen)
    firmware = build_firmware(chip=chip)
    variant = options.variant or ("vector" if chip.vector_extension else "scalar")
    target, found = Target.of(variant, options.vlen, chip), []
    for path in options.models:
        model = compile_and_check(path, target, optimize=options.optimize, choose=search)
        found.append({"model": model.name, "chip": chip.name, "memories": memories(model, chip, firmware)})
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for each in found:
            _print(each)
    return 0 if all(memory["free_bytes"] >= 0 for each in found for memory in each["memories"]) else 1


def memories(model: CompiledModel, chip: Chip, firmware: Firmware) -> list[dict[str, Any]]:
    """For each memory that holds something: its bytes, what takes how many of them, and what is free.

    What is missing is free below 0. Tensors of sizes that only a run tells are left out, and said to be.
    """
    needs = describe(model, firmware.arena_bytes)["memory"]
    takes = {
        "code": {"firmware": firmware.text_bytes},
        "data": {"constants": firmware.rodata_bytes, "variables": firmware.bss_bytes, "stack": firmware.stack_bytes},
        "models": {
            "module (kernels, weights, program)": needs["module_bytes"],
            "tensors": needs["tensor_bytes"],
            "room for inputs and outputs": sum(message_rooms(chip)),
        },
    }
    rows = []
    for memory in chip.memories:
        parts = {name: count for content in memory.holds for name, count in takes[content].items()}
        if parts:
            used = sum(count for count in parts.values() if count is not None)
            rows.append({"name": memory.name, "bytes": memory.bytes, "parts": parts, "free_bytes": memory.bytes - used})
    return rows


def _print(found: dict[str, Any]) -> None:
    rows = [("memory", "bytes", "free", "what takes it")]
    for memory in found["memories"]:
        told = (f"{name} {'?' if count is None else format(count, ',')}" for name, count in memory["parts"].items())
        rows.append((memory["name"], f"{memory['bytes']:,}", f"{memory['free_bytes']:,}", ", ".join(told)))
    missing = [memory for memory in found["memories"] if memory["free_bytes"] < 0]
    verdict = (
        "it fits"
        if not missing
        else "it does NOT fit: "
        + ", ".join(f"{memory['name']} lacks {-memory['free_bytes']:,} bytes" for memory in missing)
    )
    print(f"{found['model']} on {found['chip']}: {verdict}")
    print_table(rows, 1)
    print()
