# SPDX-License-Identifier: Apache-2.0
"""Chips that nobody has, drawn at random and booted on Spike, where models must answer as they do on this machine.

``./bench trial made-up-chips --count 50 --seed 1`` draws ISA strings (32 and 64 bits, with or without floating point,
vectors, bit manipulation, compressed code), lengths of vectors, memories, devices and an instruction of the chip's own.
Each is a description in a file, as a user's is. It runs an int8 model, one in float32, and one of the functions that a
core without floating point computes in software. A chip is drawn so that it can be: one that is refused for what it is,
does not answer, or answers something else is a finding; one whose memories are too small is none. One in four is
then given an extension too many or too few: that may be refused, in a sentence.

>>> text, is_sound = draw(7)
>>> text == draw(7)[0]
True
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from springbok.chips.chip import Chip
from springbok.chips.description import load
from springbok.chips.extensions import EXTENSIONS
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.judgement import difference_of
from springbok.firmware import FirmwareTooLarge
from springbok.measuring.fit import fit
from springbok.session import Session
from springbok.support.errors import BenchError, ChipError, CompileError
from springbok.support.files import build_folder
from springbok.support.places import model_file

MODELS = ("gestures_int8.tflite", "digits.onnx")
LIMIT_SECONDS = 600
#: Of outputs in floating point, relative to the largest of a tensor.
TOLERANCE = 1e-4
_ELEMENTS = 24
_SOUND = 0.75
#: Functions whose values are from -1 to 1, which are one output, and others, an output each.
_BOUNDED = ("Tanh", "Sigmoid", "Softmax", "Erf", "Sin")
_OTHERS = ("Exp", "Log", "Softplus", "Sqrt", "Reciprocal", "Floor")
_OF_POSITIVE = ("Log", "Sqrt", "Reciprocal")

OPS = '''\
"""An instruction of the chip's own: four products of int8 are added to a sum."""


def _signed(byte):
    return byte - 256 if byte > 127 else byte


def mac4(rs1, rs2, rd):
    return rd + sum(_signed(rs1 >> at & 255) * _signed(rs2 >> at & 255) for at in (0, 8, 16, 24)) & 0xFFFFFFFF


def dense(part):
    return part.step(lanes=4) if part.is_signed and part.length >= 8 else None
'''
_HEAD = """\
title = "Made up, number {number}"

[core]
isa = "{isa}"
abi = "{abi}"
{core}

[[instruction]]
name = "mark"
match = 0x0000_2033
mask = 0xFE00_7FFF
does = "mark"
"""
_OWN = """
[[instruction]]
name = "mac4"
match = {match:#x}
mask = 0xFE00_707F
model = "ops.py:mac4"
kernels = "ops.py:dense"
"""
_MEMORY = """
[[memory]]
name = "{name}"
base = {base:#x}
bytes = {bytes:#x}
access = "{access}"
holds = [{holds}]
"""
_DEVICE = """
[[device]]
name = "{name}"
kind = "{kind}"
base = {base:#x}
{settings}
"""
_LAYOUTS = (
    {"code data models": "rwx"},
    {"code": "rx", "data models": "rwx"},
    {"code": "rwx", "data": "rw", "models": "rwx"},
    {"code data": "rwx", "models": "rw", "kernels": "rwx"},
    {"code": "rx", "data": "rw", "models": "rw", "kernels": "rwx"},
)


def draw(number: int) -> tuple[str, bool]:
    """The description of a chip, and whether it can be one: of some an extension is missing or too many."""
    made = random.Random(f"chip {number}")
    xlen = made.choice((32, 64))
    floats = made.choice(("", "", "f", "fd"))
    letters = f"i{made.choice(('m', 'm', 'm', ''))}{_some(made, 'a')}{floats}{_some(made, 'c')}{_some(made, 'b')}"
    extensions = [*made.sample(("zba", "zbb", "zbc", "zbs"), made.randrange(5)), *made.sample(_FREE, made.randrange(4))]
    if "m" not in letters:
        extensions += ["zmmul"] * (made.randrange(2) or xlen == 64)
    if floats:
        extensions += made.sample(("zfh", "zfa"), made.randrange(3))
    elif made.random() < 0.2:
        extensions += ["zfinx", *["zdinx"] * made.randrange(2)]
    if "c" not in letters and made.random() < 0.3:
        extensions += ["zca", *["zcb"] * made.randrange(2)]
    vectors = made.choice(_vectors(floats))
    vlen = made.choice([each for each in (64, 128, 256, 512, 1024, 2048) if each >= (128 if vectors == "v" else 64)])
    if vectors == "v":
        letters += "v"
    elif vectors:
        extensions.append(vectors)
        extensions += ["zvfh"] * (vectors not in ("zve32x", "zve64x") and made.random() < 0.3)
    is_sound = made.random() < _SOUND
    if not is_sound:
        every = sorted(EXTENSIONS - {"zicsr", "zifencei"})
        extensions = [*made.sample(extensions, max(0, len(extensions) - 1)), made.choice(every)]
        extensions = [each for each in extensions if len(each) > 1]
    isa = "_".join((f"rv{xlen}{letters}", "zicsr", "zifencei", *dict.fromkeys(extensions)))
    abi = ("lp64" if xlen == 64 else "ilp32") + floats[-1:]
    layout, core = made.choice(_LAYOUTS), [f"vlen = {vlen}"] * bool(vectors)
    core += [f"{name} = true" for name in ("vectored", "counters_stopped") if made.random() < 0.3]
    if made.random() < 0.5:
        core += ["user_mode = true", f"pmp_entries = {made.choice((8, 16))}"]
    own = made.random() < 0.4
    parts = [_HEAD.format(number=number, isa=isa, abi=abi, core="\n".join(core))]
    parts += [_OWN.format(match=made.choice((0x0B, 0x2B, 0x5B, 0x7B)) | made.randrange(8) << 12)] * own
    parts += _memories(made, layout, 14 if xlen == 32 else 6)
    return "".join([*parts, *_devices(made)]), is_sound


#: Extensions that change nothing for firmware and kernels, as nothing of them is called for.
_FREE = ("zicntr", "zihpm", "zicond", "zihintpause", "zihintntl", "zawrs", "zicbom", "zkt", "zbkb", "zbkx", "zimop")


def _some(made: random.Random, letter: str) -> str:
    return letter * made.randrange(2)


def _vectors(floats: str) -> list[str]:
    found = ["", "zve32x", "zve64x"]
    found += ["zve32f", "zve64f"] if floats else []
    return found + (["zve64d", "v"] if floats == "fd" else [])


def _memories(made: random.Random, layout: dict[str, str], reach: int) -> Iterator[str]:
    """At places with gaps between them, not always in this order, within ``reach`` sixteenths of 4 GiB."""
    first = made.randrange(1, 16 - reach)
    sixteenths = made.sample(range(first, first + reach), len(layout))
    for (holds, access), part in zip(layout.items(), sixteenths, strict=True):
        contents = holds.split()
        size = made.choice((1, 2, 4, 8)) << 20 if {"models", "data"} & set(contents) else made.choice((1, 2)) << 18
        base = (part << 28) + (made.randrange(1 << 15) << 12)
        quoted = ", ".join(f'"{each}"' for each in contents)
        yield _MEMORY.format(name=f"of_{contents[0]}", base=base, bytes=size, access=access, holds=quoted)


def _devices(made: random.Random) -> Iterator[str]:
    kind = made.choice(("pl011", "ns16550", "opentitan_uart", "mailbox"))
    settings = f"stride = {made.choice((1, 4))}" if kind == "ns16550" else ""
    bases = made.sample(range(0xF000_0000, 0xF800_0000, 0x10_0000), 2)
    yield _DEVICE.format(name="uart", kind=kind, base=bases[0], settings=settings)
    if made.random() < 0.7:
        hertz = made.choice((1_000_000, 10_000_000, 33_000_000))
        yield _DEVICE.format(name="clint", kind="clint", base=bases[1], settings=f"frequency_hz = {hertz}")


def functions_model(path: Path) -> Path:
    """A model whose outputs are functions of its input, each of all elements."""
    node, value, kind = onnx.helper.make_node, onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    least = onnx.numpy_helper.from_array(np.float32([0.01]), "least")
    nodes = [node("Abs", ["x"], ["size"]), node("Add", ["size", "least"], ["positive"])]
    nodes += [node(each, ["positive" if each in _OF_POSITIVE else "x"], [each]) for each in (*_BOUNDED, *_OTHERS)]
    nodes.append(node("Concat", _BOUNDED, ["Bounded"], axis=0))
    outputs = [value("Bounded", kind, [len(_BOUNDED), _ELEMENTS])]
    outputs += [value(each, kind, [1, _ELEMENTS]) for each in _OTHERS]
    graph = onnx.helper.make_graph(nodes, "functions", [value("x", kind, [1, _ELEMENTS])], outputs, [least])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(made, path)
    return path


@dataclass(frozen=True)
class Outcome:
    """What became of a chip: ``ran``, ``refused``, ``small`` (its memories) or ``finding``, and why."""

    kind: str
    what: str


def attempt(path: Path, is_sound: bool, models: Sequence[Path]) -> Outcome:
    """Boot a described chip and run the models."""
    try:
        chip = load(path)
    except ChipError as error:
        return Outcome("finding" if is_sound else "refused", f"{error}")
    session, what = Session(), []
    try:
        session.boot("spike", platform=path, count_opcodes=False)
        for file in models:
            model = _compiled(file, chip)
            if not fit(model, chip).fits:
                return Outcome("small", f"{file.name} does not fit")
            session.load_model(model)
            sample, wanted = ([array[0] for array in arrays] for arrays in (model.probes.inputs, model.probes.expected))
            if wrong := _wrong(session.infer(*sample, raw=True, timeout=LIMIT_SECONDS), wanted):
                return Outcome("finding", f"{file.name}: {wrong}")
            what.append(f"{session.need_link().profile().inference_instructions:,}")
    except FirmwareTooLarge as error:
        return Outcome("small", f"{error}")
    except BenchError as error:
        return Outcome("finding", f"{type(error).__name__}: {error}")
    finally:
        session.shut_down()
    return Outcome("ran", " ".join(what))


def _compiled(file: Path, chip: Chip) -> CompiledModel:
    """With vectors where the chip has some, unless a message advises against them."""
    try:
        return compile_and_check(file, Target.of("vector" if chip.vlen else "scalar", chip=chip))
    except CompileError as error:
        if "variant=scalar" not in str(error):
            raise
    return compile_and_check(file, Target.of("scalar", chip=chip))


def _wrong(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> str:
    """What differs by more than a step or the tolerance; empty if nothing does."""
    for number, (one, other) in enumerate(zip(got, wanted, strict=True)):
        worst = float(difference_of(one, other).max(initial=0.0))
        if worst > (1 if other.dtype.kind in "iu" else TOLERANCE):
            return f"output {number} differs from the framework's by {worst:.3g}"
    return ""


def run(numbers: Sequence[int], folder: Path, models: Sequence[Path]) -> dict[str, int]:
    """Try chips, and tell of each; returns how many came to what."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ops.py").write_text(OPS, encoding="utf-8")
    counts = dict.fromkeys(("ran", "refused", "small", "finding"), 0)
    for number in numbers:
        text, is_sound = draw(number)
        path = folder / f"chip_{number}.toml"
        path.write_text(text, encoding="utf-8")
        outcome = attempt(path, is_sound, models)
        counts[outcome.kind] += 1
        isa = re.search('isa = "(.+)"', text)[1]
        sys.stdout.write(f"{number} {isa}: {outcome.kind}: {outcome.what}\n")
        sys.stdout.flush()
        if outcome.kind != "finding":
            path.unlink()
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what became of each chip; 1 if there is a finding, whose description is kept."""
    parser = argparse.ArgumentParser(prog="./bench trial made-up-chips", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="chips to draw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's number (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=build_folder() / "made-up-chips", help="where findings go")
    options = parser.parse_args(arguments)
    models = [*map(model_file, MODELS), functions_model(options.output / "functions.onnx")]
    counts = run(range(options.seed, options.seed + options.count), options.output, models)
    sys.stdout.write(", ".join(f"{count} {kind}" for kind, count in counts.items()) + "\n")
    return int(bool(counts["finding"]))
