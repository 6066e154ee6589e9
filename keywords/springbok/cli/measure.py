# SPDX-License-Identifier: Apache-2.0
"""``./bench measure ELF``: counts and cycles of a bare-metal program that marks what is to be counted."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from springbok.chips.chip import Chip
from springbok.cli.arguments import add_core, add_platform, add_timing, add_vlen, use_core, use_platform, whole
from springbok.cli.cycles import as_json, defect_notes, print_account
from springbok.cli.text import print_table
from springbok.engines.base import RUNTIME_SITES, Counts
from springbok.engines.known_defects import shown_at
from springbok.exploring.bare_metal import LIMIT_INSTRUCTIONS, count
from springbok.session import usable_timing
from springbok.support.progress import working
from springbok.timing.account import account
from springbok.timing.description import OF_CHIP
from springbok.timing.order import order_notes

OUTSIDE = "outside of parts"
#: What ``--timing`` takes for counts without an estimate.
COUNTS_ALONE = "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("elf", metavar="ELF", type=Path, help="a program for the chip that marks windows")
    add_timing(parser, OF_CHIP, COUNTS_ALONE)
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
    no_estimate = _why_no_estimate(options.timing, chip)
    timing = None if no_estimate else usable_timing(options.timing, chip, engine, vlen)
    watched = {"watched": timing.watched} if timing and timing.regions else {}
    if options.core:  # where a program whose window never ends runs for days until the default limit
        until = f"until its window ends, or {options.limit:,} instructions have been executed (--limit)"
        print(f"{options.elf.name} runs on the RTL of {options.core} {until}.", file=sys.stderr, flush=True)
    with working(f"Running {options.elf.name} on {engine}"):
        counts = count(options.elf, chip, engine, options.limit, vlen=vlen, **watched)
    names = {ordinal: (f"part {ordinal}", "") for ordinal in counts.sites} | {RUNTIME_SITES: (OUTSIDE, "")}
    titles = {part: name for part, (name, _) in names.items()}
    if timing:
        found = as_json(options.elf.name, account(counts, timing, vlen, chip.xlen), counts, names, timing, chip)
        found["notes"] += order_notes(counts.sites, chip.xlen, titles)
    else:
        found = _counted(options.elf.name, counts, titles, chip)
        found["notes"] = [no_estimate, *found["notes"]]
    if options.json:
        print(json.dumps(found, indent=1))
    elif timing:
        print_account(found, timing)
    else:
        _print_counts(found)
    return 0


def _why_no_estimate(timing: str, chip: Chip) -> str:
    """Why cycles are not estimated, in a sentence; empty where they are."""
    if timing == COUNTS_ALONE:
        return f"No cycles are estimated: --timing {COUNTS_ALONE}."
    if timing == OF_CHIP and not chip.timing:
        return (
            f"No cycles are estimated: the description of {chip.name} names no timing (timing in its [core], or "
            "--timing with a name of platforms/timing/ or a file of your own)."
        )
    return ""


def _counted(title: str, counts: Counts, names: dict[int, str], chip: Chip) -> dict[str, Any]:
    """What was executed, with the keys that an estimate has too."""
    whole = sum(each.instructions for each in counts.inferences)
    cycles = [each.cycles for each in counts.inferences]
    parts = {
        ordinal: (part.instructions, part.vector_instructions, part.cycles)
        for ordinal, part in counts.dispatches.items()
    }
    vectors = sum(each.vector_instructions for each in counts.inferences)
    measured = None if None in cycles else sum(cycles)
    outside = None if measured is None else measured - sum(each or 0 for _, _, each in parts.values())
    inside, inside_vectors = (sum(each[place] for each in parts.values()) for place in (0, 1))
    parts[RUNTIME_SITES] = (whole - inside, vectors - inside_vectors, outside)
    return {
        "model": title,
        "timing": None,
        "instructions": whole,
        "estimated_cycles": None,
        "limit_cycles": None,
        "measured_cycles": measured,
        "notes": defect_notes(counts, chip, names),
        "dispatches": [
            {
                "name": names[ordinal],
                "layer": "",
                "instructions": instructions,
                "vector_instructions": vector,
                "estimated_cycles": None,
                "measured_cycles": own,
                "defects": shown_at(counts.sites[ordinal], chip),
            }
            for ordinal, (instructions, vector, own) in sorted(parts.items(), key=lambda item: (-item[1][0], item[0]))
        ],
    }


def _print_counts(found: dict[str, Any]) -> None:
    measured = found["measured_cycles"]
    print(f"{found['model']}: {found['instructions']:,} instructions" + (f", {measured:,} cycles" if measured else ""))
    rows = [("kernel", "instructions", "vector", *(["measured"] if measured else []))]
    for row in found["dispatches"]:
        own = (f"{row['measured_cycles']:,}",) if measured else ()
        rows.append((row["name"], f"{row['instructions']:,}", f"{row['vector_instructions']:,}", *own))
    print_table(rows, 1)
    for note in found["notes"]:
        print(note)
