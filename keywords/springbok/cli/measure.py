# SPDX-License-Identifier: Apache-2.0
"""``./bench measure ELF``: counts and cycles of a bare-metal program that marks what is to be counted."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from springbok.cli.arguments import add_core, add_platform, add_timing, add_vlen, use_core, use_platform, whole
from springbok.cli.cycles import as_json, print_account
from springbok.engines.base import RUNTIME_SITES
from springbok.exploring.bare_metal import LIMIT_INSTRUCTIONS, count
from springbok.session import usable_timing
from springbok.timing.account import account
from springbok.timing.description import OF_CHIP

OUTSIDE = "outside of parts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("elf", metavar="ELF", type=Path, help="a program for the chip that marks windows")
    add_timing(parser, OF_CHIP)
    add_platform(parser)
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")
    add_core(parser)
    parser.add_argument(
        "--limit",
        type=whole(1, 2**63 - 1),
        metavar="N",
        default=LIMIT_INSTRUCTIONS,
        help=f"instructions until a window must have ended (default: {LIMIT_INSTRUCTIONS:,})",
    )
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def run(options: argparse.Namespace) -> int:
    """Run the program; print what its window took."""
    engine = "rtl" if options.core else "spike"
    use_core(options, engine)
    chip = use_platform(options)
    vlen = (chip.vlen if options.vlen is None else options.vlen) if chip.vector_extension else 0
    timing = usable_timing(options.timing, chip, engine, vlen)
    watched = {"watched": timing.watched} if timing.regions else {}
    counts = count(options.elf, chip, engine, options.limit, vlen=vlen, **watched)
    names = {ordinal: (f"part {ordinal}", "") for ordinal in counts.sites} | {RUNTIME_SITES: (OUTSIDE, "")}
    found = as_json(options.elf.name, account(counts, timing, vlen, chip.xlen), counts, names, timing, chip)
    print(json.dumps(found, indent=1)) if options.json else print_account(found, timing)
    return 0
