# SPDX-License-Identifier: Apache-2.0
"""Builds a core's RTL with its wrapper into a shared object, once of the same things: Verilator, then C++."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.engines import spike_library
from springbok.rtl import read_files
from springbok.rtl.core import CORE_FILE, Core
from springbok.rtl.reference import refusal
from springbok.support.cache import Cache, digest
from springbok.support.errors import RtlError, RtlToolNeeded
from springbok.support.files import build_folder, temporary_folder
from springbok.support.places import command
from springbok.support.process import run

NATIVE = Path(__file__).with_name("native")
BUSES = Path(__file__).with_name("buses")
MACHINE, MACHINE_HEADERS = "machine.cpp", ("machine.h", "histogram.h", "ports.h", "retired.h")
GOLDEN, GOLDEN_HEADERS = ("golden.cpp", "golden_compare.cpp"), ("golden.h", "retired.h")
VERILATOR_LIMIT_SECONDS, COMPILER_LIMIT_SECONDS = 600.0, 900.0
#: Warnings of a core's own sources are its makers' business; what can't be simulated is an error all the same.
VERILATE = (
    *("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert"),
    *("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-WIDTHCONCAT", "-Wno-UNOPTFLAT", "-Wno-SYMRSVDWORD"),
    *("--top-module", "springbok_core", "--prefix", "Vcore"),
)
COMPILE = ("-std=gnu++20", "-fPIC", "-w", "-DVM_COVERAGE=0", "-DVM_SC=0")
OUTPUT_TAIL = 3000


@dataclass(frozen=True)
class Built:
    """A core that can be simulated: the shared object, Verilator's version, and whether it was there already."""

    library: Path
    verilator: str
    was_there: bool


def what_is_missing() -> str | None:
    """A sentence where no core can be built here, else None. Nothing is run or installed."""
    if verilator() is None:
        return "There is no Verilator on PATH, and VERILATOR names none (Debian: apt install verilator)."
    return spike_library.what_is_missing()


def verilator() -> str | None:
    """Where Verilator is: ``$VERILATOR``, or on PATH."""
    return shutil.which(os.environ.get("VERILATOR") or "verilator")


def build(
    core: Core, say: Callable[[str], None] = lambda text: None, wave: bool = False, cache: Path | None = None
) -> Built:
    """The core's shared object; with ``wave`` one that can write waveforms, and is slower.

    Raises `RtlToolNeeded` without the tools, RtlError with the words of the tool that refuses.
    """
    missing = what_is_missing()
    if missing:
        raise RtlToolNeeded(missing)
    program, compiler = verilator(), spike_library.compiler()
    version = _version(program)
    for path in (core.wrapper, core.files):
        if not path.is_file():
            raise RtlError(
                f"There is no {path.name} in {core.folder}: '{command('core', 'init', 'FOLDER')}' writes one to fill "
                "in."
            )
    arguments = core.arguments()
    for word, _ in read_files.words(arguments):
        named = re.search(r"@\w+@", word)
        if named:
            raise RtlError(f"{core.files}: {word}: in a list that -f names, no place stands for {named[0]}.")
    absent = read_files.absent(arguments)
    if absent:
        raise RtlError(f"{core.files} lists what is not there: {', '.join(absent)}.")
    here = str(core.folder)  # the same core elsewhere is the same core
    said = [argument.replace(here, "@core@") for argument in arguments]
    own = [(NATIVE / name).read_bytes() for name in (MACHINE, *MACHINE_HEADERS)]
    root = os.environ.get("VERILATOR_ROOT")
    base = digest(version, root, compiler, VERILATE, COMPILE, said, core.verilator, core.retires, wave, own)
    place = Cache(cache or build_folder() / "cache")

    with temporary_folder() as made:

        def read() -> read_files.States:
            say(f"{core.name}: Verilator {version} reads what {core.files.name} lists")
            return _verilate(program, core, arguments, wave, made)

        known = _kept(place.folder, base, core)
        states = known or read()

        def make(folder: Path) -> None:
            if states is known:  # what was made of it is broken
                read()
            say(f"{core.name}: {Path(compiler[0]).name} compiles it")
            _compile(program, compiler, core, wave, made, folder / "core.so")
            read_files.keep(folder, base, states)

        entry, was_there = place.entry(f"core-{core.name}", digest(base, sorted(states.items())), make)
    say(f"{core.name}: {'taken from the cache' if was_there else 'built'}, {entry.name}")
    return Built(entry / "core.so", version, was_there)


def _kept(folder: Path, base: str, core: Core) -> read_files.States | None:
    """What a build of the same base has read, where all of that is as it was."""
    kept = filter(None, map(read_files.kept_in, sorted(folder.glob("core-*"))))
    return next((states for of, states in kept if of == base and read_files.same(states, core.folder)), None)


def build_golden(cache: Path | None = None) -> Path:
    """The shared object of the reference model."""
    disassembler = spike_library.data_folder() / "lib" / "libdisasm.a"
    sources, headers = ([NATIVE / name for name in names] for names in (GOLDEN, GOLDEN_HEADERS))
    return spike_library.build("golden", [*sources, disassembler], headers, cache=cache)


def reference_of(core: Core, chip: Chip, vlen: int | None = None) -> Path:
    """The shared object of the reference model for a core. Raises RtlError where Spike does not know its ISA."""
    golden = build_golden()
    isa = core.reference_isa or chip.isa(vlen)
    refused = refusal(golden, isa, core.privilege)
    if refused:
        where = core.folder / CORE_FILE if core.reference_isa else core.chip_file
        raise RtlError(f"{where}: Spike, the reference, does not take isa '{isa}': {refused}.".replace("..", "."))
    return golden


def _verilate(program: str, core: Core, arguments: list[str], wave: bool, made: Path) -> read_files.States:
    call = [*VERILATE, *(["--trace"] if wave else []), *core.verilator, *_timing(program), *arguments]
    call += ["-y", str(BUSES), f"+incdir+{BUSES}", str(core.wrapper), "--skip-identical", "--Mdir", str(made)]
    (made / "begun").touch()
    done = run([program, *call], time_limit=VERILATOR_LIMIT_SECONDS)
    if done.timed_out:
        raise RtlError(
            f"Verilator did not end within {VERILATOR_LIMIT_SECONDS:.0f} s of processor time on {core.name}."
        )
    if done.exit_code != 0:
        raise RtlError(f"Verilator refuses {core.name}:\n{_errors(done.output)}")
    return read_files.after(made, call, core.folder, (made / "begun").stat().st_ctime_ns)


def _compile(program: str, compiler: list[str], core: Core, wave: bool, made: Path, target: Path) -> None:
    root = verilator_root(program)
    flags = [*COMPILE, f"-DVM_TRACE={int(wave)}", f"-DNRET={core.retires}", f"-I{made}", f"-I{NATIVE}"]
    flags += [f"-I{root}/include", f"-I{root}/include/vltstd"]
    library = [
        root / "include" / f"{name}.cpp"
        for name in ("verilated", "verilated_threads", *(["verilated_vcd_c"] if wave else []))
    ]
    jobs = [(path, "-O0" if "Slow" in path.stem else "-O1") for path in sorted(made.glob("Vcore*.cpp"))]
    jobs += [(path, "-O2") for path in (NATIVE / MACHINE, *filter(Path.is_file, library))]

    def compile_one(job: tuple[Path, str]) -> Path:
        source, level = job
        object_file = made / f"{source.stem}.o"
        _run([*compiler, *flags, level, "-c", source, "-o", object_file], core)
        return object_file

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = list(pool.map(compile_one, jobs))
    _run([*compiler, "-shared", *objects, "-o", target, "-ldl", "-pthread", "-latomic"], core)


def _run(command: list[str | Path], core: Core) -> None:
    done = run(command, time_limit=COMPILER_LIMIT_SECONDS)
    if done.exit_code != 0:
        ports = re.findall(r"(?:has no member named|no member named) ['‘](\w+)['’]", done.output)
        hint = f" The wrapper of {core.name} has no port '{ports[0]}'." if ports else ""
        raise RtlError(f"{core.name} does not compile.{hint}\n{done.output.strip()[-OUTPUT_TAIL:]}")


def _errors(output: str) -> str:
    lines = output.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith("%Error")), 0)
    return "\n".join(lines[first:])[:OUTPUT_TAIL]


def verilator_root(program: str) -> Path:
    """Verilator's own folder, with its C++."""
    named = os.environ.get("VERILATOR_ROOT")
    if named:
        return Path(named)
    found = re.search(r"VERILATOR_ROOT\s*=\s*(\S+)", run([program, "-V"]).output)
    return Path(found[1]) if found else Path("/usr/share/verilator")


def _timing(program: str) -> list[str]:
    """Delays of a core's test code are left out; older versions know no option for that."""
    number = re.match(r"\d+", _version(program))
    return [] if number and int(number[0]) < 5 else ["--no-timing"]


@functools.cache
def _version(program: str) -> str:
    """Its number; all that it says of itself where that is none, as in builds from a registry."""
    said = run([program, "--version"]).output.strip()
    found = re.search(r"Verilator (\S+)", said)
    return found[1] if found else said
