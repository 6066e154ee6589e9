# SPDX-License-Identifier: Apache-2.0
"""Runs IREE's tools: `iree-compile`, and `iree-run-module` for this machine.

Besides the module, a compilation gives what only the compiler knows: from which layers of the model each dispatch
was made, and whether weights were dropped on the way. Both are read from the intermediate code that the compiler
writes at the end of each of its phases.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import shlex
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.compiler import buffers, compiler_runtime, constant_terms, finishing, kernel_repairs, leftovers
from springbok.modules.layer_names import readable
from springbok.modules.vmfb import Vmfb
from springbok.support import process
from springbok.support.cache import MAKING, Cache, digest
from springbok.support.errors import CompileError, CompilerDidNotEnd, no_room
from springbok.support.files import build_folder, temporary_folder
from springbok.support.supervisor import TEMPORARY_PREFIX

COMPILER_PACKAGE = "iree-base-compiler"
RUNTIME_PACKAGE = "iree-base-runtime"
PINNED_VERSION = "3.13.0"

#: A flag that may be there more than once; with ``-`` before its name the plugin is left out.
PLUGIN = "--iree-plugin="

_TOOLS = {
    "iree-compile": (COMPILER_PACKAGE, "iree/compiler/_mlir_libs/iree-compile"),
    "iree-lld": (COMPILER_PACKAGE, "iree/compiler/_mlir_libs/iree-lld"),
    "iree-run-module": (RUNTIME_PACKAGE, "iree/_runtime_libs/iree-run-module"),
}


def compiler_version() -> str:
    """Version of the installed compiler, such as ``3.13.0``."""
    return _distribution(COMPILER_PACKAGE).version


def runtime_version() -> str:
    """Version of the installed runtime, which runs modules on this machine."""
    return _distribution(RUNTIME_PACKAGE).version


def _distribution(package: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise CompileError(
            f"The Python package '{package}' is not installed. "
            f"Install it with: python -m pip install {package}=={PINNED_VERSION}"
        ) from None


def tool(name: str) -> Path:
    """Path of the program ``name`` of IREE's Python packages.

    The package's own program, not the script in ``bin/``: that one starts a whole Python before it.
    """
    package, place = _TOOLS[name]
    found = _distribution(package)
    path = Path(found.locate_file(place))
    if not path.is_file():
        raise CompileError(
            f"The Python package '{package}' is installed without its program {name} ({path}). "
            f"Install it again with: python -m pip install --force-reinstall {package}=={found.version}"
        )
    return path


def tool_of(folder: Path) -> Path:
    """`iree-compile` of a version that is in ``folder``."""
    return folder / _TOOLS["iree-compile"][1]


@functools.cache
def compiler_flag_names(folder: Path | None = None) -> frozenset[str]:
    """Names of all flags that `iree-compile` knows, without dashes, hidden ones too; of the version in ``folder``."""
    done = process.run([tool_of(folder) if folder else tool("iree-compile"), "--help-list-hidden"])
    return frozenset(re.findall(r"^ +--?([\w.-]+)", done.output, re.MULTILINE))


@dataclass(frozen=True)
class Compilation:
    """What `iree-compile` told besides the module.

    ``layers``: name of a dispatch -> names of the layers it was made from, as far as the source names them (MLIR
    locations). ``dropped_weights_in``: dispatches that are called without their weights. ``shared_buffers``: what
    could not be proved of the module's buffers, see `springbok.compiler.buffers`. ``transient_bytes``: what the
    compiler plans for values between dispatches.
    """

    layers: dict[str, tuple[str, ...]]
    dropped_weights_in: tuple[str, ...]
    shared_buffers: tuple[str, ...] = ()
    transient_bytes: int = 0


def compile_module(
    source: Path,
    flags: Sequence[str],
    output: Path,
    name: str | None = None,
    rewrite: Callable[[Path, Path], object] | None = None,
) -> Compilation:
    """Compiles the MLIR file ``source`` with ``flags`` to the VMFB file ``output``. ``name`` is for errors.

    ``rewrite`` is called between the halves of the compilation, with the file of the first one's result and the file
    to write; constants are then hoisted and computed in the first half, whatever ``flags`` say.

    Raises :class:`CompileError` with the compiler's first errors and the command when it fails or takes too long.
    """
    name = name or source.name
    with temporary_folder() as folder:
        if rewrite is not None:
            source, flags = _rewritten(source, flags, rewrite, Path(folder), name)
        hal, mended = Path(folder) / "hal.mlirbc", Path(folder) / "mended.mlirbc"
        flow, phases, flags = _until_hal(source, flags, hal, name)
        stream, last = _phase(phases, "stream"), _phase(phases, "hal")
        if buffers.need_mending(last):
            buffers.mend(hal, last, stream, mended)
            hal = mended
        _finish(hal, flags, output, name)
        examined = buffers.examine(output.read_bytes(), stream, last)
        layers = _layers(flow)
        return Compilation(layers, examined.without_weights, examined.shared, _transient_bytes(stream))


def _finish(hal: Path, flags: Sequence[str], output: Path, name: str) -> None:
    """Makes the module of the phase `hal`: by this compiler, or by the one that is said to finish modules for chips."""
    finisher = finishing.finisher(flags)
    if finisher is None:
        _run([hal, *flags, "--compile-from=hal", "-o"], output, [], name)
        return
    readable = hal.with_suffix(".for-another.mlir")
    readable.write_text(finishing.for_another(hal.read_bytes()), encoding="utf-8")
    _run([readable, *flags, "--compile-from=hal", "-o"], output, [], name, finisher)


@contextmanager
def tiles_told() -> Iterator[dict[str, tuple[str, ...]]]:
    """Within the context, what is compiled puts here by which tile sizes each kernel is made: name -> what is set."""
    told: dict[str, tuple[str, ...]] = {}
    token = _TILES.set(told)
    try:
        yield told
    finally:
        _TILES.reset(token)


_TILES: ContextVar[dict[str, tuple[str, ...]] | None] = ContextVar("tiles", default=None)
_TILING_PASS = "iree-llvmcpu-select-lowering-strategy"


def _tiles(folder: Path) -> dict[str, tuple[str, ...]]:
    """By function, the strategy and the tile sizes of its operations, as the compiler chose them."""
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted(folder.rglob("*.mlir")):
        text = file.read_text(encoding="utf-8", errors="replace")
        for body in re.split(r"(?=^ *func\.func )", text, flags=re.MULTILINE)[1:]:
            name = re.match(r" *func\.func (?:\w+ )?@\"?([^\s\"(]+)", body)
            sizes = re.findall(r"(?:translation_info|lowering_config) = #[\w.]+<((?:[^<>]|<[^<>]*>)*)>", body)
            if name and sizes:
                found[name[1]] = tuple(dict.fromkeys(sizes))
    return found


def _until_hal(source: Path, flags: Sequence[str], hal: Path, name: str) -> tuple[str, Path, Sequence[str]]:
    """Compiles to the end of the phase `hal`, into the file ``hal``, and puts right what its kernels read and write.

    Returns the text of the phase `flow`, the folder of the others, beside ``hal``, and the flags to go on with.
    """
    phases, later = hal.parent / "phases", hal.parent / "later-phases"
    # Constants can't be left out of the phases: some would be missing in the bytecode too.
    looking = [f"--dump-compilation-phases-to={phases}", "--mlir-print-debuginfo"]
    told, tiles = _TILES.get(), hal.parent / "tiles"
    if told is not None:
        looking += [f"--mlir-print-ir-after={_TILING_PASS}", f"--mlir-print-ir-tree-dir={tiles}"]
    refused = None
    try:
        _run_source(source, [*flags, *_UNTIL_HAL], hal, looking, name)
    except CompilerDidNotEnd:
        raise
    except CompileError as error:
        if not list(phases.glob("*.flow.mlir")):
            raise
        refused = error
    flow = _phase(phases, "flow")
    if told is not None:
        told |= _tiles(tiles)
    if not kernel_repairs.occur(flow, every_store=refused is not None):
        if refused:
            raise refused
        return flow, phases, flags
    rewritten = hal.parent / "flow.mlirbc"
    if not kernel_repairs.rewrite(flow, rewritten, name, every_store=refused is not None) and not refused:
        return flow, phases, flags
    looking[0], flags = f"--dump-compilation-phases-to={later}", [*flags, "--compile-from=flow"]
    try:
        _run([rewritten, *flags, *_UNTIL_HAL, "-o"], hal, looking, name)
    except CompilerDidNotEnd:
        raise
    except CompileError as error:
        raise refused or error from None
    return flow, later, flags


def planned_bytes(
    source: Path, flags: Sequence[str], name: str, rewrite: Callable[[Path, Path], object] | None = None
) -> int:
    """`Compilation.transient_bytes` of a module, without making its code; arguments are those of `compile_module`."""
    with temporary_folder() as folder:
        if rewrite is not None:
            source, flags = _rewritten(source, flags, rewrite, Path(folder), name)
        planned = Path(folder) / "planned.mlir"
        _run_source(source, [*flags, "--compile-to=stream"], planned, _SHORT_CONSTANTS, name)
        return _transient_bytes(planned.read_text(encoding="utf-8"))


def _rewritten(
    source: Path, flags: Sequence[str], rewrite: Callable[[Path, Path], object], folder: Path, name: str
) -> tuple[Path, list[str]]:
    """Does the first half of the compilation and rewrites its result, in ``folder``; source and flags for the rest."""
    half, rewritten = folder / "half.mlirbc", folder / "rewritten.mlirbc"
    first_half(source, flags, half, name)
    rewrite(half, rewritten)
    return rewritten, [*flags, SECOND_HALF]


def first_half(source: Path, flags: Sequence[str], half: Path, name: str) -> None:
    """Compiles ``source`` as far as it is rewritten, to the file ``half``; constants are hoisted and computed.

    With `SECOND_HALF` among its flags `compile_module` goes on from there. Computing constants takes the longest of a
    small model's compilation, and is the same for all cores and kinds of code: it is done once, kept for other
    processes, and the device is put in.
    """
    from springbok.compiler import mlir

    of_code = tuple(flag for flag in flags if _of_code(flag))
    others = tuple(flag for flag in flags if not _of_code(flag))
    try:
        with _ONE_HALF:  # those that are compiled at once have the same one
            shared = _shared_half(source.read_bytes(), source.suffix, others)
        half.write_bytes(mlir.with_device(shared, device(of_code)))
    except CompilerDidNotEnd:
        raise
    except (CompileError, mlir.UnreadableError):
        _halve(source, flags, half, name)


def _halve(source: Path, flags: Sequence[str], half: Path, name: str) -> None:
    """Does the first half; what it computes while compiling is put right before that, where it must be."""
    computed = _run_source(source, [*flags, *_FIRST_HALF], half, (*_LOCATIONS, *_TELL_WHAT_IS_COMPUTED), name)
    if not constant_terms.occur(computed):
        return
    with temporary_folder() as folder:
        uncomputed, mended = (Path(folder) / f"{each}.mlirbc" for each in ("uncomputed", "mended"))
        _run_source(source, [*flags, *_FIRST_HALF, "--iree-opt-const-eval=false"], uncomputed, _LOCATIONS, name)
        kernel_repairs.rewrite_terms(uncomputed, mended, name)
        _run([mended, *flags, "--compile-from=preprocessing", *_FIRST_HALF, "-o"], half, _LOCATIONS, name)


@functools.lru_cache(maxsize=8)
def _shared_half(content: bytes, suffix: str, flags: tuple[str, ...]) -> bytes:
    """The first half of a model for this machine: what differs for a chip is its device alone."""

    def make(folder: Path) -> None:
        with temporary_folder() as temporary:
            source = temporary / f"source{suffix}"
            source.write_bytes(content)
            _halve(source, [*flags, "--iree-llvmcpu-target-cpu=generic"], folder / "half.mlirbc", "the model")

    halves = Cache(build_folder() / "first-halves")
    key = digest(content, suffix, flags, compiler_version(), kernel_repairs.VERSION, _HALF_VERSION)
    half = (halves.entry("half", key, make)[0] / "half.mlirbc").read_bytes()
    halves.keep_newest(_MOST_HALVES)
    return half


@functools.lru_cache
def device(flags: tuple[str, ...]) -> str:
    """The device that the first half of a compilation with these flags names, as MLIR's text."""
    from springbok.compiler import mlir

    with temporary_folder() as folder:
        source, half = folder / "empty.mlir", folder / "half.mlirbc"
        source.write_text("func.func @main(%x: tensor<1xf32>) -> tensor<1xf32> { return %x : tensor<1xf32> }\n")
        _run([source, _BACKEND, *flags, *_FIRST_HALF, "-o"], half, [], source.name)
        return mlir.device(half.read_bytes())


def _of_code(flag: str) -> bool:
    """Whether a flag is about the core or the code of kernels, which are made later."""
    return bool(re.match(r"--(iree-llvmcpu-|scalable-vectorization|unroll-)", flag))


# The last phase before the one that makes one allocation of two.
_UNTIL_HAL = ("--compile-to=hal", "--emit-mlir-bytecode")

# Where the compilation is halved: constants are computed, and kernels are not yet formed.
_BETWEEN = "global-optimization"
SECOND_HALF = f"--compile-from={_BETWEEN}"
_FIRST_HALF = (
    f"--compile-to={_BETWEEN}",
    "--emit-mlir-bytecode",
    "--iree-opt-const-expr-hoisting=true",
    "--iree-opt-const-eval=true",
)
_ONE_HALF = threading.Lock()
#: Counts up when `_halve` does something else, so that nothing older is taken.
_HALF_VERSION = 2
_MOST_HALVES = 256
_LOCATIONS = ("--mlir-print-debuginfo",)
_SHORT_CONSTANTS = ("--mlir-elide-elementsattrs-if-larger=8", "--mlir-elide-resource-strings-if-larger=8")
_TELL_WHAT_IS_COMPUTED = ("--iree-consteval-jit-debug", *_SHORT_CONSTANTS)
_BACKEND = "--iree-hal-target-backends=llvm-cpu"


def _run_source(source: Path, flags: Sequence[str], output: Path, looking: Sequence[str], name: str) -> str:
    """Runs the compiler on a model as it was imported, or without the rows that are in its way: see `leftovers`."""
    try:
        return _run([source, *flags, "-o"], output, looking, name)
    except CompileError as error:
        if not leftovers.are_in_the_way(str(error)) or any(each.startswith("--compile-from=") for each in flags):
            raise
        with temporary_folder() as folder:
            whole, cut = (Path(folder) / f"{each}.mlirbc" for each in ("whole", "cut"))
            to_input = ["--compile-to=input", "--emit-mlir-bytecode", "-o"]
            _run([source, *flags, *to_input], whole, ["--mlir-print-debuginfo"], name)
            if not leftovers.cut_off(whole, cut):
                raise
            return _run([cut, *flags, "-o"], output, looking, name)


def _run(
    arguments: Sequence[object], output: Path, looking: Sequence[str], name: str, compiler: Path | None = None
) -> str:
    """Runs the compiler, and returns what it said; ``looking`` are flags that change nothing, and errors don't show.

    Kernels that lack functions of the compiler's runtime library are linked with it.
    """
    command = [compiler or tool("iree-compile"), *_last_of_each(arguments)]
    done = run_compiler([*command, output, *looking])
    if compiler_runtime.undefined_symbols(done.output):
        library = compiler_runtime.library_for([str(argument) for argument in arguments])
        own = [each for each in map(str, command) if each.startswith(f"{compiler_runtime.LINKER_FLAG}=")]
        with temporary_folder() as folder:
            linker = own[0].partition("=")[2] if own else shlex.quote(str(tool("iree-lld")))
            more = compiler_runtime.linker_flag(library, linker, Path(folder))
            done = run_compiler([*(each for each in command if str(each) not in own), output, *looking, more])
    shown = shlex.join(["iree-compile", *(_lasting(str(word), name) for word in command[1:]), output.name])
    if done.timed_out:
        raise CompilerDidNotEnd(
            f"iree-compile did not end with {name} {process.limit_text()}.\nThe command was: {shown}"
        )
    if done.exit_code or not output.is_file():
        missing = compiler_runtime.undefined_symbols(done.output)
        errors = _missing_functions(missing, looking) if missing else _first_errors(done)
        raise CompileError(f"iree-compile can't compile {name}: {errors}.\nThe command was: {shown}")
    return done.output


def run_compiler(command: Sequence[object]) -> process.Finished:
    """Runs ``command``, an `iree-compile` that links kernels, as `process.run`: wherever it and temporary files are.

    It gives a shell the linker's command as it stands, so that paths with spaces or brackets are other words there.
    """
    words = [each.absolute() if isinstance(each, Path) else str(each) for each in command]
    linker = str(words[0].with_name("iree-lld"))
    given = [each for each in map(str, words) if each.startswith(f"{compiler_runtime.LINKER_FLAG}=")]
    wanted = given[-1].partition("=")[2] if given else shlex.quote(linker)
    if any("=riscv32" in str(each) for each in words):
        wanted = compiler_runtime.mending(wanted)
    if wanted != linker:
        words = [*(each for each in words if str(each) not in given), f"{compiler_runtime.LINKER_FLAG}={wanted}"]
    place = tempfile.gettempdir()
    if shlex.quote(place) != place:
        words = ["sh", "-c", 'cd "${TMPDIR:-/tmp}" && TMPDIR=. exec "$@"', "sh", *words]
    return process.run(words)


def _missing_functions(missing: dict[str, tuple[str, ...]], looking: Sequence[str]) -> str:
    """Says which functions kernels call that nothing has, with the kernels' layers where ``looking`` dumps phases."""
    folders = [flag.partition("=")[2] for flag in looking if flag.startswith("--dump-compilation-phases-to=")]
    layers = _layers(_phase(Path(folders[0]), "flow")) if folders else {}
    needs = []
    for symbol, users in missing.items():
        kernels = [f"{user} ({' + '.join(layers.get(user, ())) or 'its layers have no names'})" for user in users]
        needs.append(f"'{symbol}', which {', '.join(kernels) or 'a kernel'} calls")
    return (
        f"there is no function {'; no function '.join(needs)}. It computes an operation for which neither the core nor "
        "the compiler's runtime library has code. Use another operation or element type there, such as float32 or "
        "int32"
    )


def _lasting(word: str, name: str) -> str:
    """A word of a command as people can use it: a file that is gone by then is the model of this ``name``."""
    path = Path(word)
    places = (MAKING, TEMPORARY_PREFIX) if path.is_relative_to(tempfile.gettempdir()) else MAKING
    return name if any(part.startswith(places) for part in path.parts) else word


def _last_of_each(arguments: Sequence[object]) -> list[object]:
    """``arguments`` with the last value of each flag: LLVM refuses most flags that are there twice."""
    last = {str(each) if str(each).startswith(PLUGIN) else str(each).partition("=")[0]: each for each in arguments}
    return list(last.values())


def _phase(folder: Path, name: str) -> str:
    files = list(folder.glob(f"*.{name}.mlir"))
    if len(files) != 1:
        raise CompileError(f"iree-compile {compiler_version()} wrote no intermediate code of its phase '{name}'.")
    return files[0].read_text(encoding="utf-8")


def _first_errors(done: process.Finished, count: int = 3) -> str:
    """What the compiler could not compile, where it is and what can be done, then its own words."""
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower()]
    if full := no_room(" ".join(errors)):
        return f"it can't write what it makes: {full[1]}"
    words = "; ".join(list(dict.fromkeys(re.sub(r"^.*?error: ", "", line) for line in errors))[:count])
    place = _place(errors[0]) if errors else ""
    if done.exit_code < 0 or "Stack dump:" in done.output or "include the crash backtrace" in done.output:
        said = f"; it had said: {words}" if words else ""
        if re.search(r"Do not know how to (soften|scalarize)", words):
            return (
                "it has no code for a part of it where vectors hold no floating-point numbers. Compile it without "
                f"vectors (variant=scalar){said}"
            )
        return (
            f"the compiler crashed{f' at {place}' if place else ' without a message'}. Simplify that part of the "
            f"model, or compile it with optimize=none{said}"
        )
    words = words or "; ".join(lines[:count]) or f"it ended with exit code {done.exit_code} without a message"
    if re.search(r"legaliz|unsupported|not supported|unimplemented", words, re.IGNORECASE):
        return f"it has no code for {place or 'a part of it'}. Write that with other operations. It says: {words}"
    return f"it stops at {place}: {words}" if place else words


def _place(error: str) -> str:
    """The operation that an error is about, and its layer or line, as far as the error tells."""
    operation = re.search(r"operation '([\w.]+)'|'([\w.]+)' op\b|custom op '([\w.]+)'", error)
    layer = re.search(r'loc\((?:fused\[)?"((?:[^"\\]|\\.)*)"(?!:\d)', error)
    line = re.match(r".*?\.\w+:(\d+):\d+: error:", error)
    where = f"the layer '{layer[1]}'" if layer else f"line {line[1]}" if line and line[1] != "0" else ""
    what = next((f"the operation {name}" for name in (operation.groups() if operation else ()) if name), "")
    return f"{what} ({where})" if what and where else what or where


# What the intermediate code tells. MLIR's locations look like `#loc7 = loc("name")`, `#loc8 = loc(fused[#loc7, …])`.

# Operations that compute nothing: the compiler shares them between layers, so their locations mislead.
_IDLE = re.compile(r"arith\.constant|tensor\.empty|linalg\.fill|flow\.|tensor\.\w*_shape|func\.|return|\^bb")


def _layers(flow: str) -> dict[str, tuple[str, ...]]:
    """Names of the locations inside each executable of the phase `flow`, in order."""
    aliases = dict(re.findall(r"^(#loc\d*) = loc\((.*)\)$", flow, re.MULTILINE))
    found: dict[str, dict[str, None]] = {}
    for body in re.findall(r"^  flow\.executable .*?^  }", flow, re.MULTILINE | re.DOTALL):
        names: dict[str, None] = {}
        for line in body.splitlines():
            reference = re.search(r" loc\((#loc\d*)\)$", line)
            if reference and not _IDLE.search(line):
                names.update(dict.fromkeys(_location_names(reference[1], aliases)))
        for export in re.findall(r"flow\.executable\.export public @\"?([^\s\"(]+)", body):
            found[export] = dict(names)
    # Dispatches that are alike share one executable: its other callers are layers of it too.
    calls = re.findall(r"flow\.dispatch @\S+?::@\"?(\w+)\"?[\[(].* loc\((#loc\d*)\)$", flow, re.MULTILINE)
    for export, reference in calls:
        if export in found:
            found[export].update(dict.fromkeys(_location_names(reference, aliases)))
    return {export: tuple(names) for export, names in found.items()}


def _transient_bytes(stream: str) -> int:
    """What the phase `stream` allocates for values between dispatches, of sizes that are known."""
    sizes = re.findall(r"= stream\.resource\.alloca .*!stream\.resource<transient>\{%c(\d+)(?:_\d+)?\}", stream)
    return sum(map(int, sizes))


def _location_names(location: str, aliases: dict[str, str]) -> list[str]:
    names, pending, seen = [], [location], set()
    while pending:
        part = pending.pop(0)
        if part in seen:
            continue
        seen.add(part)
        name = re.match(r'"((?:[^"\\]|\\.)*)"(?!:\d)', part)
        if name:
            layer = readable(name[1])
            names += [layer] if layer else []
        else:
            pending = [aliases.get(alias, "") for alias in re.findall(r"#loc\d*", part)] + pending
    return names


def run_samples(path: Path, module: Vmfb, inputs: list[np.ndarray], inline: bool) -> list[np.ndarray]:
    """Runs the VMFB file ``path``, which declares ``module``, once a sample (the first axis of each of ``inputs``).

    Returns one array an output, with the samples as its first axis. Integers are taken with either sign, and have the
    declared one in the outputs.
    """
    inputs = [array.view(spec.dtype) for array, spec in zip(inputs, module.inputs, strict=True)]
    samples = zip(*inputs, strict=True)
    answers = [run_module(path, module.entry, list(sample), len(module.outputs), inline) for sample in samples]
    outputs = [np.stack(arrays) for arrays in zip(*answers, strict=True)]
    return [array.astype(spec.dtype) for array, spec in zip(outputs, module.outputs, strict=True)]


def run_module(module: Path, entry: str, inputs: list[np.ndarray], outputs: int, inline: bool) -> list[np.ndarray]:
    """Runs the VMFB file ``module``, compiled for this machine, once. ``inline``: of an inline execution model.

    Returns the ``outputs`` arrays it gives. Raises :class:`CompileError` with the tool's message when it fails.
    """
    with temporary_folder() as folder:
        taken = [Path(folder) / f"in{number}.npy" for number in range(len(inputs))]
        given = [Path(folder) / f"out{number}.npy" for number in range(outputs)]
        for path, array in zip(taken, inputs, strict=True):
            np.save(path, array)
        command = [
            (finishing.runtime() if inline else None) or tool("iree-run-module"),
            f"--module={module}",
            f"--function={entry}",
            *([] if inline else ["--device=local-sync"]),
            *(f"--input=@{path}" for path in taken),
            *(f"--output=@{path}" for path in given),
        ]
        done = process.run(command)
        if done.timed_out:
            raise CompileError(f"{module.name} did not end on this machine {process.limit_text()}.")
        if done.exit_code:
            lines = [
                line.strip() for line in done.output.splitlines() if line.strip() and not line.startswith("EXEC @")
            ]
            message = re.sub(r"^.*?\.[ch]+:\d+: ", "", lines[0]) if lines else process.ending(done.exit_code)
            if done.exit_code == -signal.SIGFPE:
                message += ", as where an integer is divided by 0"
            raise CompileError(f"{module.name} fails on this machine: {message}")
        return [np.load(path) for path in given]


def run_in_process(module: Path, entry: str, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Runs the VMFB file ``module``, compiled for this machine and not of an inline execution model, once a sample.

    The runtime's Python bindings know no inline modules, but start no process for each sample. Shapes are as those of
    `run_samples`.
    """
    from iree import runtime

    configuration = runtime.Config("local-sync")
    context = runtime.SystemContext(config=configuration)
    loaded = runtime.VmModule.mmap(configuration.vm_instance, str(module))
    context.add_vm_module(loaded)
    function = context.modules[loaded.name][entry]
    answers = [function(*sample) for sample in zip(*inputs, strict=True)]
    tuples = [answer if isinstance(answer, (tuple, list)) else (answer,) for answer in answers]
    return [np.stack([each.to_host() for each in arrays]) for arrays in zip(*tuples, strict=True)]
