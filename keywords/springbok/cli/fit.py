# SPDX-License-Identifier: Apache-2.0
"""``./bench fit``: does a model fit a chip? Bytes by memory, free or missing. No chip is run."""

from __future__ import annotations

import argparse
import json
from itertools import zip_longest

from springbok.cli.arguments import add_optimize, add_platform, add_vlen, use_platform
from springbok.cli.text import print_table
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.optimizer import DEFAULT_LEVEL
from springbok.exploring.search import search
from springbok.measuring.fit import Fit, fit, runtime_fit
from springbok.support.progress import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="model files, or folders of SavedModels (default: the runtime alone)"
    )
    add_platform(parser)
    parser.add_argument("--variant", choices=("vector", "scalar"), help="kind of code (default: the chip's best)")
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")
    add_optimize(parser, DEFAULT_LEVEL, f"level of the optimizer (default: {DEFAULT_LEVEL})")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def run(options: argparse.Namespace) -> int:
    """Compile the models and print where their bytes lie; 1 when one does not fit."""
    chip = use_platform(options)
    chip.check_vlen(options.vlen or chip.vlen)
    variant = options.variant or ("vector" if chip.vector_extension else "scalar")
    target = Target.of(variant, options.vlen, chip)
    found = [
        fit(compile_and_check(path, target, optimize=options.optimize, choose=search), chip)
        for path in counted("Compiling, models", options.models)
    ] or [runtime_fit(chip)]
    if options.json:
        print(
            json.dumps(
                [{"model": each.model, "chip": chip.name, "memories": each.as_json()} for each in found], indent=1
            )
        )
    else:
        for each in found:
            _print(each)
    return 0 if all(each.fits for each in found) else 1


def _print(found: Fit) -> None:
    rows = [("memory", "what takes it", "bytes")]
    for memory in found.memories:
        rows += [
            (name, part, "?" if count is None else f"{count:,}")
            for name, (part, count) in zip_longest([memory.name], memory.parts.items(), fillvalue="")
        ]
        rows.append(("", f"free, of {memory.bytes:,}", f"{memory.free_bytes:,}"))
    print(found.describe())
    print_table(rows, 2)
    print()
