# SPDX-License-Identifier: Apache-2.0
"""``./bench core``: a core's folder for ``--engine rtl``: begin one, check it, try it, repeat what was kept."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from springbok.cli.arguments import whole
from springbok.cli.text import shown
from springbok.support.errors import BenchError, RtlError, RtlToolNeeded
from springbok.support.places import command
from springbok.support.progress import counted

ACTIONS = ("init", "check", "try", "replay")
SHOWN = 10  # programs that differ, one by one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", choices=ACTIONS, help="init, check, try (random programs), or replay (kept ones)")
    parser.add_argument("folder", metavar="FOLDER", help="the core's folder")
    parser.add_argument("kept", nargs="*", metavar="KEPT", help="of replay: folders with program.elf and case.json")
    parser.add_argument("--wave", metavar="FILE", help="of replay: write the waveform (VCD) of the first one")
    parser.add_argument(
        "--programs", type=whole(), default=50, metavar="N", help="of try: random programs (default: 50)"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=1, metavar="N", help="of try: the first program's (default: 1)"
    )
    parser.add_argument("--length", type=whole(), default=200, metavar="N", help="of try: instructions (default: 200)")
    parser.add_argument("--like", metavar="RESULT", help="of try: weigh opcodes as the models of these results do")
    parser.add_argument("--coverage", metavar="FILE", help="of try: write what was covered, JSON")
    parser.add_argument("--report", metavar="FOLDER", help="of try: draw what was covered, coverage.html")


def run(options: argparse.Namespace) -> int:
    """0 when all is well, 1 when something is missing or differs, 2 when that could not be found out."""
    folder = Path(options.folder)
    try:
        return {"init": _init, "check": _check, "try": _try, "replay": _replay}[options.action](folder, options)
    except RtlToolNeeded as error:
        print(f"springbok-bench: {error}")
        return 2


def _init(folder: Path, options: argparse.Namespace) -> int:
    del options
    from springbok.rtl import starter

    for path in starter.write(folder):
        print(f"  {shown(path)}")
    print(f"Fill in the wrapper and the file list, then: '{command('core', 'check', shown(folder))}'")
    return 0


def _check(folder: Path, options: argparse.Namespace) -> int:
    del options
    from springbok.rtl import check

    sentences = list(check.missing(folder, print))
    for sentence in sentences:
        print(f"- {sentence}")
    if not sentences:
        print(f"{folder.name}: nothing is missing. Now: '{command('core', 'try', shown(folder))}'")
    return int(bool(sentences))


def _built(folder: Path, wave: bool = False):
    from springbok.rtl import build, check
    from springbok.rtl.core import load

    core = load(folder)
    chip = core.chip()
    sentences = list(check.of_the_wrapper(core, chip)) if core.wrapper.is_file() else []
    if sentences:
        raise RtlError(" ".join(sentences))
    missing = build.what_is_missing()
    if missing:
        raise RtlToolNeeded(missing)
    golden = build.reference_of(core, chip)
    return core, chip, build.build(core, print, wave).library, golden


def _try(folder: Path, options: argparse.Namespace) -> int:
    from springbok.measuring import metrics
    from springbok.rtl import random_program, untried
    from springbok.rtl.coverage import CLASSES
    from springbok.rtl.native_machine import Trial
    from springbok.support.files import build_folder, write_in_one_step

    core, chip, library, golden = _built(folder)
    executed = {}
    for model in metrics.read(Path(options.like))["models"] if options.like else ():
        for name, count in (model["opcodes"] or {}).items():
            executed[name] = executed.get(name, 0) + count
    weights = random_program.weights_of(executed) if executed else None
    numbers = range(options.seed, options.seed + options.programs)
    seeds = counted("Random programs", numbers)
    kept = build_folder() / "differences" / core.name
    trial = Trial(options.seed, stall=200_000, delay=200_000)
    covered, differing = random_program.run(library, golden, core, chip, seeds, kept, options.length, trial, weights)
    for seed, outcome in differing[:SHOWN]:
        place = shown(kept / f"random-{seed}")
        print(f"seed {seed}: {outcome.difference.said}; kept in {place}")
    if len(differing) > SHOWN:
        print(f"Kept there too, {len(differing) - SHOWN} more, of seeds {differing[SHOWN][0]} to {differing[-1][0]}")
    met = covered.as_json()
    pairs = f"{sum(each['operand_classes'] for each in met.values())} of {sum(each['of'] for each in met.values())}"
    print(f"{len(numbers)} programs, {len(differing)} differ")
    print(f"Covered: {len(met)} opcodes, {pairs} pairs of operand classes ({', '.join(CLASSES)})")
    names, extensions = untried.instructions(chip, core.reference_isa or chip.isa(), covered)
    parts = [*([", ".join(names)] if names else []), *([f"all of {', '.join(extensions)}"] if extensions else [])]
    print(f"In the isa, and executed by none of them: {'; '.join(parts) or 'nothing'}")
    print(f"Beyond instructions, tried by none of them: {'; '.join(untried.beyond(core, chip))}")
    if not met:
        print("No instruction of these programs was compared: this says nothing about the core.")
    if executed:
        never = sorted(set(met) - set(executed))
        print(f"Executed here and by no model of {options.like}: {', '.join(never) or 'none'}")
    if options.report:
        from springbok import report

        for path in report.write_coverage(met, executed or None, Path(options.report)):
            print(shown(path))
    if options.coverage:
        write_in_one_step(Path(options.coverage), json.dumps(met, indent=1) + "\n")
    return int(bool(differing) or not met)


def _replay(folder: Path, options: argparse.Namespace) -> int:
    from springbok.rtl import program

    if not options.kept:
        raise BenchError(f"Name the folders to repeat: '{command('core', 'replay', folder, 'KEPT')}'")
    core, chip, library, golden = _built(folder, bool(options.wave))
    failed, left = 0, []
    for number, kept in enumerate(counted("Repeating", list(map(Path, options.kept)))):
        wave = Path(options.wave) if options.wave and number == 0 else None
        try:
            elf, case = kept / program.PROGRAM, program.read_case(kept)
            outcome = program.run(library, golden, core, chip, elf, case, wave=wave)
        except BenchError as error:
            left.append(str(shown(kept)))
            print(f"{shown(kept)}: not repeated: {error}")
            continue
        failed += outcome.difference is not None
        print(f"{shown(kept)}: {program.repeated(case, outcome)}")
    total = len(options.kept)
    if total > 1 or left:
        print(f"{total - len(left)} of {total} repeated, {failed} of them differ")
    if left:
        print(f"Not repeated: {', '.join(left)}")
    return 1 if failed else 2 * bool(left)
