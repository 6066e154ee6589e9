# SPDX-License-Identifier: Apache-2.0
"""The compiler's runtime library for kernels: the functions that LLVM calls where the core has no instruction.

A core of 32 bits without double precision divides integers of 64 bits, or turns them into floats, by functions such
as ``__divdi3`` and ``__floatdisf``. IREE links kernels against nothing, so a kernel that calls one does not link. Here
they come from the runtime library of the C compiler that builds the firmware too (``ziglang``), and what that lacks
from `OWN_SOURCES`. Only what a kernel calls gets into its module.

Example::

    missing = undefined_symbols(compiler_output)     # {"__divdi3": ("main_dispatch_0",)}
    flag = linker_flag(library_for(flags), iree_lld, folder)
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from springbok.compiler import wrong_functions
from springbok.support.cache import Cache, digest
from springbok.support.errors import CompileError
from springbok.support.files import ROOT, build_folder, write_in_one_step
from springbok.support.places import INSTALL
from springbok.support.process import run

#: What the compiler's own library lacks.
OWN_SOURCES = tuple(sorted((ROOT / "firmware" / "kernels").glob("*.c")))
TIME_LIMIT_SECONDS = 300

_PACKAGE = "ziglang"
# For any address, each function in a section of its own, without the tables that unwinding the stack needs.
_FORM = ("-fPIC", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables")
_ZIG_OPTIONS = (*_FORM, "-OReleaseSmall", "-fstrip")
_C_OPTIONS = (
    *_FORM,
    "-Os",
    "-std=c11",
    "-ffreestanding",
    "-fvisibility=hidden",
    "-fno-sanitize=all",
    "-Wall",
    "-Werror",
)
LINKER_FLAG = "--iree-llvmcpu-embedded-linker-path"
_TRIPLE_FLAG, _FEATURES_FLAG = "--iree-llvmcpu-target-triple=", "--iree-llvmcpu-target-cpu-features="
_FEATURES = ("m", "zmmul", "a", "f", "d")


def version() -> str:
    """Version of the package that the library comes from; empty where it is not installed."""
    try:
        return importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return ""


def undefined_symbols(output: str) -> dict[str, tuple[str, ...]]:
    """What the linker misses by ``output``, the text of `iree-compile`: symbol -> functions that refer to it.

    >>> undefined_symbols("iree-lld: error: undefined symbol: __divdi3\\n>>> referenced by -:1\\n>>>  /tmp/x.o:(main)")
    {'__divdi3': ('main',)}
    """
    found: dict[str, dict[str, None]] = {}
    symbol = ""
    for line in output.splitlines():
        if missing := re.search(r"undefined symbol: (\S+)$", line.rstrip()):
            symbol = missing[1]
            found.setdefault(symbol, {})
        elif symbol and (user := re.match(r">>> .*:\((?:\.text\.)?([^()]+)\)$", line.rstrip())):
            found[symbol][user[1]] = None
    return {name: tuple(users) for name, users in found.items()}


def library_for(flags: Sequence[str]) -> Path:
    """The folder of the library, object files, for kernels that are compiled with these flags of `iree-compile`: for
    the chip, or without a target among them for this machine. It is made once for each version of the compiler.

    Raises :class:`CompileError` when the compiler is not installed or fails.
    """
    if not version():
        raise CompileError(
            f"The model needs functions of the compiler's runtime library, and the Python package '{_PACKAGE}', which "
            f"has them, is not installed here: {INSTALL}."
        )
    values = {
        name: flag[len(name) :] for flag in flags for name in (_TRIPLE_FLAG, _FEATURES_FLAG) if flag.startswith(name)
    }
    chip = re.match(r"riscv(32|64)", values.get(_TRIPLE_FLAG, ""))
    if chip is None:
        return _library("host", ("-target", f"{platform.machine()}-freestanding-none"))
    features = values.get(_FEATURES_FLAG, "").replace("+", "").split(",")
    return library_for_core(int(chip[1]), features)


def library_for_core(xlen: int, extensions: Sequence[str]) -> Path:
    """As `library_for`, for a RISC-V core of ``xlen`` bits and the extensions of its ISA string."""
    features = "".join(f"+{each}" for each in _FEATURES if each in extensions)
    return _library("chip", ("-target", f"riscv{xlen}-freestanding-none", f"-mcpu=generic_rv{xlen}{features}"))


def _library(name: str, target: tuple[str, ...]) -> Path:
    key = digest(version(), target, _ZIG_OPTIONS, _C_OPTIONS, *(source.read_bytes() for source in OWN_SOURCES))
    cache = Cache(build_folder() / "compiler-runtime")
    folder, _ = cache.entry(name, key, lambda folder: _make(folder, target))
    return folder


def _make(folder: Path, target: tuple[str, ...]) -> None:
    whole = importlib.metadata.distribution(_PACKAGE).locate_file("ziglang/lib/compiler_rt.zig")
    output = folder / "compiler_rt.o"
    _zig("build-obj", whole, *target, *_ZIG_OPTIONS, "--name", output.stem, f"-femit-bin={output}", cwd=folder)
    for source in OWN_SOURCES:
        _zig("cc", "-c", source, *target, *_C_OPTIONS, "-o", folder / f"{source.stem}.o", cwd=folder)


@functools.cache
def zig() -> str:
    """The compiler itself: the package's Python module does nothing but start it."""
    return str(importlib.metadata.distribution(_PACKAGE).locate_file("ziglang/zig"))


def _zig(*arguments: object, cwd: Path) -> None:
    compiler_cache = str(build_folder() / "zig-cache")
    command = [zig(), *map(str, arguments)]
    environment = {"ZIG_GLOBAL_CACHE_DIR": compiler_cache, "ZIG_LOCAL_CACHE_DIR": compiler_cache}
    done = run(command, time_limit=TIME_LIMIT_SECONDS, cwd=cwd, environment=environment)
    if done.timed_out or done.exit_code:
        reason = f"it did not end within {TIME_LIMIT_SECONDS} s" if done.timed_out else done.output.strip()
        raise CompileError(f"The compiler's runtime library can't be made: {reason}\nCommand: {shlex.join(command)}")


def linker_flag(library: Path, linker: str, folder: Path) -> str:
    """The flag of `iree-compile` with which kernels are linked with ``library`` too, by the command ``linker``.

    It names a script, which is written into ``folder``. An object between the two options gets in if it defines what
    is missing, and of it only the functions that are called.
    """
    script = folder / "link.sh"
    objects = shlex.join(["--start-lib", *map(str, sorted(library.glob("*.o"))), "--end-lib"])
    script.write_text(f'exec {linker} "$@" {objects}\n', encoding="utf-8")
    return f"{LINKER_FLAG}=sh {shlex.quote(str(script))}"


def mending(linker: str) -> str:
    """The command ``linker`` with `wrong_functions` before it, for a core of 32 bits."""
    mend = shlex.join([sys.executable, "-I", "-S", wrong_functions.__file__])
    both = f'{mend} "$@" && exec {linker} "$@"'
    return f"sh -c {shlex.quote(both)} sh"


def relocations_flag(linker: Path) -> str:
    """The flag of `iree-compile` with which kernels keep symbols and relocations: see `modules.kernel_parts`."""
    script = build_folder() / "linker-with-relocations.sh"
    write_in_one_step(script, f'exec {shlex.quote(str(linker))} "$@" --emit-relocs\n')
    return f"{LINKER_FLAG}=sh {shlex.quote(str(script))}"
