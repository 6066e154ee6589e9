# SPDX-License-Identifier: Apache-2.0
"""Builds the chip's firmware with the C compiler that pip installs (``ziglang``).

One ELF serves every simulator and board. Its bytes depend on the sources, the flags and the compiler's version
only, not on where or when it was built; it is built again only when one of those changed.

Example::

    firmware = build_firmware()
    print(firmware.elf, firmware.sha256, firmware.text_bytes)

``python -m springbok.firmware`` builds it and prints a table of its sizes.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from springbok import devices
from springbok.chips import sources
from springbok.chips.chip import Chip
from springbok.chips.description import load
from springbok.compiler import compiler_runtime
from springbok.support.elf import ElfLayout, Unpack, layout_of
from springbok.support.errors import FirmwareError
from springbok.support.files import build_folder, storage_errors, write_in_one_step
from springbok.support.packages import OTHER_CACHE
from springbok.support.places import FIRMWARE, INSTALL, command
from springbok.support.process import run

SOURCES = ("port/*.S", "port/chip.c", "port/support.c", "service/*.c", "runtime/*.c")
_SYMBOL_TABLE = 2  # the type of a section of an ELF file

# No vectors here: the firmware must boot on a chip without them. start.S asks for them where it may use them.
FEATURES = ("m", "zmmul", "a", "f", "d", "zicsr", "zifencei", "zba", "zbb", "zbs")

COMPILE = (
    "-std=gnu11",
    "-O2",
    "-ffreestanding",
    "-fno-sanitize=all",
    "-fno-stack-protector",
    "-fomit-frame-pointer",
    "-fno-unroll-loops",
    "-mllvm",
    "-inline-threshold=0",  # a function with several callers is not copied into them, unless the source says so
    "-fno-math-errno",  # so that fused multiply-add and square root are instructions
    "-ffunction-sections",
    "-fdata-sections",
    "-ffile-prefix-map=./=",
    "-Wall",
    "-Wextra",
    "-Werror",
)
# Code that no inference spends its time in is kept small. It is linked as a whole (lto), so that equal pieces of code
# become one wherever they stand, and functions keep registers with port/save_restore.S, which a call in the place of a
# return would prevent.
SMALL = ("-Oz", "-fno-optimize-sibling-calls", "-fno-jump-tables", "-flto")
# What a function leaves alone (enable-ipra) is found out before equal pieces become one, whose calls return by t0, and
# without the routines that save registers, which change t1: so neither register may hold anything across a call.
SMALL_FEATURES = "+save_restore+reserve_x5+reserve_x6"
FAST = ("-DFOR_SPEED",)
FAST_SOURCES = tuple(f"runtime/{name}.c" for name in ("interpreter", "dispatch"))
# The linker itself: the compiler's driver has no way to ask for icf, and for addresses relative to gp.
LINK = (
    *("-static", "--gc-sections", "-O2", "--icf=all", "--relax-gp"),
    *("--lto-O2", "-mllvm", "-enable-machine-outliner=always", "-mllvm", "-inline-threshold=-50"),
    *("-mllvm", "-enable-shrink-wrap=false", "-mllvm", "-tail-merge-size=1", "-mllvm", "-split-spill-mode=size"),
    *("-mllvm", "-disable-lsr"),  # a pointer for each index into a structure takes more code than it saves time
    *("-mllvm", "-disable-block-placement", "-mllvm", "-enable-misched=false"),  # so that more pieces are equal
    *("-mllvm", "-enable-ipra"),  # who calls a function knows which registers it leaves alone
    "--discard-locals",  # the assembler's own ten thousand labels: a simulator would load them for seconds
)

# What a build may leave out, by name: the macro that says so in C. All of it is in the default build.
OPTIONS = {
    "extension": "SERVES_EXTENSION",
    "kenning": "SERVES_KENNING",
    "mlperf": "SERVES_MLPERF",
    "recording": "PLAYS_RECORDINGS",
}
ALL_OPTIONS = frozenset(OPTIONS)

COMPILER_TIMEOUT_S = 300
_NOT_IN_PATHS = frozenset(":\\%")  # which mean something else to the compiler
LOCK_TIMEOUT_S = 3600  # the other build ends at its own limits, and its lock with it


class FirmwareTooLarge(FirmwareError):
    """The firmware does not fit the chip's memories."""


@dataclass(frozen=True)
class Firmware:
    """A built firmware. Sizes are in bytes; ``bss_bytes`` holds neither the arena for models nor the stack."""

    elf: Path
    sha256: str
    text_bytes: int
    rodata_bytes: int
    data_bytes: int
    bss_bytes: int
    built: bool  #: False when the ELF was there already

    @classmethod
    def from_elf(cls, elf: Path, built: bool = False) -> Firmware:
        """Describes a firmware that is already built. Raises :class:`FirmwareError` if it is no little-endian ELF."""
        try:
            data = elf.read_bytes()
        except OSError as error:
            raise FirmwareError(f"Can't read the firmware {elf}: {error.strerror}.") from error
        try:
            sizes = _section_sizes(data)
        except (struct.error, ValueError, IndexError):
            raise FirmwareError(f"{elf} is not a little-endian ELF file, or it is damaged.") from None
        parts = {f"{name}_bytes": sizes.get(f".{name}", 0) for name in ("text", "rodata", "data", "bss")}
        return cls(elf=elf, sha256=hashlib.sha256(data).hexdigest(), built=built, **parts)

    @property
    def arena_bytes(self) -> int:
        """The chip's memory that is left for a model and all that it needs."""
        ends = {name: value for name, value in _symbols(self.elf.read_bytes()) if name.startswith("__arena_")}
        return ends["__arena_end"] - ends["__arena_start"]

    @property
    def arena_begin(self) -> int:
        """Where a model's image lies in the chip's memory."""
        return dict(_symbols(self.elf.read_bytes()))["__arena_start"]

    @property
    def stack_bytes(self) -> int:
        """What the linker keeps for the stack."""
        ends = dict(_symbols(self.elf.read_bytes()))
        return ends["__stack_top"] - ends["__stack_bottom"]

    def summary(self) -> str:
        """Says in one line what was built: sizes and the beginning of the digest."""
        return (
            f"{self.elf.name} {'built' if self.built else 'up to date'}, {self.text_bytes + self.rodata_bytes} bytes "
            f"(text {self.text_bytes}, rodata {self.rodata_bytes}) and {self.bss_bytes} bytes of bss, "
            f"sha256 {self.sha256[:12]}"
        )


def build_firmware(
    source: Path | None = None,
    output: Path | None = None,
    cache: Path | None = None,
    chip: Chip | None = None,
    options: frozenset[str] = ALL_OPTIONS,
) -> Firmware:
    """Builds ``output/<chip>.elf`` from the C sources in ``source``, if it is not there already.

    ``source`` is ``firmware/`` of this project, ``output`` is ``build/firmware/``, ``cache`` (the compiler's own) is
    ``build/zig-cache/`` and ``chip`` is Springbok unless given; ``options`` are those of ``OPTIONS`` that it has.
    Several processes may call this at the same time.

    Raises :class:`FirmwareError` with the compiler's message if it does not build.
    """
    chip = chip or load()
    source = (source or FIRMWARE).resolve()
    output = (output or build_folder() / "firmware").resolve()
    cache = (cache or build_folder() / "zig-cache").resolve()
    elf, stamp = output / f"{chip.name}.elf", output / f"{chip.name}.json"
    with storage_errors(output, OTHER_CACHE), _lock(output / ".lock"):
        key = _key(source, chip, options)
        if too_large := _known_as_too_large(stamp, key):
            raise _too_large(chip, too_large)
        if not _is_current(elf, stamp, key):
            stamp.unlink(missing_ok=True)
            try:
                _compile(source, elf, cache, chip, options)
            except FirmwareTooLarge as error:
                write_in_one_step(stamp, json.dumps({"key": key, "too_large": str(error)}))
                raise _too_large(chip, str(error)) from None
            write_in_one_step(stamp, json.dumps({"key": key, "sha256": _sha256(elf)}))
            return Firmware.from_elf(elf, built=True)
        return Firmware.from_elf(elf)


def build_program(source: Path, elf: Path, chip: Chip | None = None) -> Path:
    """Compiles one C file, which brings its own ``_start``, to a program for the chip; returns it.

    Raises :class:`FirmwareError` with the compiler's message if it does not build.
    """
    chip, root, cache = chip or load(), FIRMWARE, build_folder() / "zig-cache"
    elf, program = elf.resolve(), elf.with_suffix(".o").resolve()
    made = write_sources(chip, elf.with_suffix(""))
    command = ["cc", *_target(chip), *COMPILE, f"-I{made}"]
    _zig([*command, "-c", os.path.relpath(source.resolve(), root), "-o", str(program)], root, cache)
    _zig(["ld.lld", *LINK, "-T", str(made / "chip.ld"), str(program), "-o", str(elf)], root, cache)
    return elf


def write_sources(chip: Chip, folder: Path) -> Path:
    """Writes ``chip.h`` and ``chip.ld`` of a chip into a folder, which it returns."""
    folder.mkdir(parents=True, exist_ok=True)
    write_in_one_step(folder / "chip.h", sources.header(chip))
    write_in_one_step(folder / "chip.ld", sources.linker_script(chip))
    return folder


def _target(chip: Chip, more: str = "") -> list[str]:
    """The compiler's options for the chip's core."""
    features = "".join(f"+{each}" for each in chip.extensions if each in FEATURES)
    cpu = f"-mcpu=generic_rv{chip.xlen}{features}+relax{more}"
    anywhere = ["-mcmodel=medany"] if chip.xlen == 64 else []  # not only within 2 GiB of 0
    return ["-target", f"riscv{chip.xlen}-freestanding-none", cpu, f"-mabi={chip.abi}", *anywhere]


def _drivers(chip: Chip) -> list[Path]:
    drivers = (devices.find(device.kind).driver for device in chip.devices)
    return [driver for driver in drivers if driver.is_file()]


def _compiler_version() -> str:
    try:
        return importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        raise FirmwareError(
            "The firmware needs the C compiler of the Python package 'ziglang', which is not installed here: "
            f"{INSTALL}."
        ) from None


def _left_out(options: frozenset[str]) -> list[str]:
    return [f"-D{macro}=0" for name, macro in OPTIONS.items() if name not in options]


def _key(source: Path, chip: Chip, options: frozenset[str]) -> str:
    """Digest of all that decides the ELF's bytes."""
    flags = (_compiler_version(), _target(chip), COMPILE, SMALL, SMALL_FEATURES, FAST, FAST_SOURCES, LINK, SOURCES)
    built = (flags, _left_out(options), sources.header(chip), sources.linker_script(chip))
    digest = hashlib.sha256(repr(built).encode())
    for driver in _drivers(chip):
        digest.update(driver.read_bytes())
    for folder in ("port", "runtime", "service"):
        for path in sorted((source / folder).rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(source).as_posix()}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_current(elf: Path, stamp: Path, key: str) -> bool:
    try:
        known = json.loads(stamp.read_text())
        return known == {"key": key, "sha256": _sha256(elf)}
    except (OSError, ValueError):
        return False


def _known_as_too_large(stamp: Path, key: str) -> str:
    """What the last build of this firmware said that does not fit its chip; empty if it does, or is another one."""
    try:
        known = json.loads(stamp.read_text())
        return known["too_large"] if known["key"] == key else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _compile(source: Path, elf: Path, cache: Path, chip: Chip, options: frozenset[str]) -> None:
    files = {path.relative_to(source): path for pattern in SOURCES for path in sorted(source.glob(pattern))}
    if not any(path.suffix == ".c" for path in files):
        raise FirmwareError(f"There are no firmware sources in {source}.")
    drivers = _drivers(chip)
    made = write_sources(chip, elf.with_suffix(""))
    objects_dir = made / "objects"
    objects_dir.mkdir(exist_ok=True)
    jobs = [(str(path), objects_dir / ("_".join(path.parts) + ".o")) for path in files]
    jobs += [(str(path), objects_dir / f"devices_{path.parent.name}.o") for path in drivers]

    def compile_one(job: tuple[str, Path]) -> None:
        fast = job[0].endswith(".S") or job[0] in FAST_SOURCES
        own = [*_target(chip), *FAST] if fast else [*_target(chip, SMALL_FEATURES), *SMALL]
        own += _left_out(options)
        _zig(["cc", *COMPILE, *own, "-Iport", f"-I{made}", "-c", job[0], "-o", str(job[1])], source, cache)

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        list(pool.map(compile_one, jobs))
    linked = elf.with_suffix(".new")
    try:
        objects = [str(target) for _, target in jobs]
        if not (chip.has("f") and chip.has("m")):
            library = compiler_runtime.library_for_core(chip.xlen, chip.extensions)
            objects += ["--start-lib", str(library / "compiler_rt.o"), "--end-lib"]
        _zig(["ld.lld", *LINK, "-T", str(made / "chip.ld"), *objects, "-o", str(linked)], source, cache)
        linked.replace(elf)
    except FirmwareTooLarge as error:
        raise FirmwareTooLarge(_what_lacks(chip, str(error))) from None
    finally:
        linked.unlink(missing_ok=True)


def _too_large(chip: Chip, what: str) -> FirmwareTooLarge:
    """What lacks, with what to do: where the chip's description is, another build of the same may not know."""
    return FirmwareTooLarge(f"{what} '{command('fit', '--platform', chip.argument)}' says what takes how much.")


def _what_lacks(chip: Chip, said: str) -> str:
    """A sentence by memory, of what the linker said."""
    found = re.findall(r"will not fit in region '(\w+)': overflowed by (\d+)", said)
    most = {region: max(int(count) for name, count in found if name == region) for region, _ in found}
    lacks = [
        f"{memory.name} ({region.lower()}) lacks {count:,} of {memory.bytes:,} bytes"
        for region, count in most.items()
        for memory in [chip.holding(region.lower())]
    ]
    return f"The runtime does not fit {chip.title}: {'; '.join(lacks) or 'there is too little data memory'}."


def _zig(arguments: list[str], source: Path, cache: Path) -> None:
    """Runs the compiler in the source folder, so that only relative paths reach it."""
    for character in _NOT_IN_PATHS & set(str(cache)):
        raise FirmwareError(
            f"The firmware can't be built below {cache}: the compiler takes no '{character}' in a path. Give builds "
            "another place: a checkout without it, or the environment variable XDG_CACHE_HOME."
        )
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
    done = run(
        [compiler_runtime.zig(), *arguments],
        time_limit=COMPILER_TIMEOUT_S,
        cwd=source,
        environment=environment,
    )
    if done.timed_out:
        raise FirmwareError(f"The compiler did not end within {COMPILER_TIMEOUT_S} s: zig {' '.join(arguments)}")
    if done.exit_code != 0:
        if "will not fit in region" in done.output or "too little data memory" in done.output:
            raise FirmwareTooLarge(done.output.strip())
        raise FirmwareError(f"The firmware does not build:\n{done.output.strip()}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Keeps other processes out of the same build; ends by itself when the process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise FirmwareError(f"Another build holds {path} for more than {LOCK_TIMEOUT_S} s.") from None
                time.sleep(0.1)
        yield


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _section_sizes(elf: bytes) -> dict[str, int]:
    """Bytes of each section of a little-endian ELF."""
    layout, unpack = _layout(elf)
    sections, names = layout.sections(unpack)
    return {_text(elf, sections[names].offset + section.name): section.size for section in sections}


def _symbols(elf: bytes) -> Iterator[tuple[str, int]]:
    """Name and value of each symbol."""
    layout, unpack = _layout(elf)
    sections, _ = layout.sections(unpack)
    for table in sections:
        if table.kind == _SYMBOL_TABLE:
            for symbol in layout.symbols(unpack, table):
                yield _text(elf, sections[table.link].offset + symbol.name), symbol.value


def _layout(elf: bytes) -> tuple[ElfLayout, Unpack]:
    layout = layout_of(elf)
    if layout is None:
        raise ValueError
    return layout, lambda fields, at: struct.unpack_from("<" + fields, elf, at)


def _text(elf: bytes, start: int) -> str:
    return elf[start : elf.index(b"\0", start)].decode()


def sizes_by_option(names: Iterable[str] = OPTIONS) -> dict[str, Firmware]:
    """Builds the firmware with none of its options, with everything, and with each of ``names`` alone; by what is in
    it."""

    def build(*options: str) -> Firmware:
        place = build_folder() / "firmware" / "-".join(["options", *options])
        return build_firmware(output=place, options=frozenset(options))

    builds = {"the base alone": build(), "everything": build_firmware()}
    return builds | {f"the base and {name}": build(name) for name in names}


def main() -> int:
    """Builds the firmware and prints its sizes, then those of its options."""
    try:
        firmware = build_firmware()
        builds = sizes_by_option()
    except FirmwareError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sizes = {name: getattr(firmware, f"{name}_bytes") for name in ("text", "rodata", "data", "bss")}
    lines = [f"{firmware.elf} ({'built' if firmware.built else 'up to date'})", f"sha256 {firmware.sha256}"]
    lines += [f"{name:7}{size:8} bytes" for name, size in sizes.items()]
    lines += [f"{'code':7}{firmware.text_bytes + firmware.rodata_bytes:8} bytes (text + rodata)"]
    lines += [f"{build.text_bytes + build.rodata_bytes:15} bytes with {name}" for name, build in builds.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
