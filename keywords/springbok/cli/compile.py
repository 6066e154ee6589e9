# SPDX-License-Identifier: Apache-2.0
"""``./bench compile``: compile a model, check it on this machine, and say what it takes. No chip is needed."""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
from pathlib import Path
from typing import Any

from springbok.chips.chip import Chip
from springbok.cli.arguments import add_optimize, add_platform, add_vlen, use_platform
from springbok.cli.text import print_table, shown
from springbok.compiler import buffers
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.flags import flags_of
from springbok.compiler.optimizer import DEFAULT_LEVEL
from springbok.exploring.search import search
from springbok.firmware import FirmwareTooLarge, build_firmware
from springbok.support.errors import CompileError
from springbok.support.files import write_in_one_step
from springbok.support.progress import working


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("model", metavar="MODEL", help="a model file, or the folder of a SavedModel")
    parser.add_argument("--variant", choices=("vector", "scalar"), default="vector", help="kind of code")
    add_platform(parser)
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")
    add_optimize(parser, DEFAULT_LEVEL, f"level of the optimizer (default: {DEFAULT_LEVEL})")
    parser.add_argument("--flags", default="", metavar="FLAGS", help='for iree-compile, as --flags="--a --b"')
    parser.add_argument("--shape", help="where the file leaves it open: 1x32x32x3, or image=1x32x32x3,mask=1x32")
    parser.add_argument("--signature", help="which function of a file that has several")
    parser.add_argument("--tolerance", help="what outputs may differ by: 0.001 of the largest, or '2 steps'")
    parser.add_argument("--output", metavar="FILE.vmfb", help="where the module is written")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def run(options: argparse.Namespace) -> int:
    """Compile, and print what came out; 1 when the chip has too little memory for it."""
    faulthandler.enable(sys.__stderr__)  # a chip's own function, which runs here, may end the process
    chip = use_platform(options)
    chip.check_vlen(options.vlen or chip.vlen)
    if options.output:
        _check_output(Path(options.output))
    with working(f"Compiling {Path(options.model).name}"):
        model = compile_and_check(
            options.model,
            Target.of(options.variant, options.vlen, chip),
            extra_flags=flags_of(options.flags),
            optimize=options.optimize,
            choose=search,
            shape=options.shape,
            signature=options.signature,
            tolerance=options.tolerance,
        )
    if options.output:
        write_in_one_step(Path(options.output), model.vmfb.read_bytes())
    found = describe(model, _for_models(chip))
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print(model.describe())
        print()
        print_table(
            [("kernel", "made from"), *((each["name"], ", ".join(each["layers"])) for each in found["kernels"])], 2
        )
        print(f"\nFlags:  {' '.join(model.flags)}")
        print(f"Memory: {_memory_text(found['memory'])}")
        print(f"Module: {shown(Path(options.output or model.vmfb))}")
    return 0 if found["memory"]["fits"] else 1


def _for_models(chip: Chip) -> int:
    """Bytes that the chip has for models."""
    try:
        return build_firmware(chip=chip).arena_bytes
    except FirmwareTooLarge:
        return 0


def _check_output(output: Path) -> None:
    """Raise :class:`CompileError` before a long compilation whose module has no place."""
    if output.is_dir():
        raise CompileError(f"--output {output} is a folder: name a file in it, such as {output / 'model.vmfb'}.")
    if not output.parent.is_dir():
        raise CompileError(f"--output {output}: there is no folder {output.parent}. Make it, or name another one.")


def describe(model: CompiledModel, arena_bytes: int) -> dict[str, Any]:
    """What a compiled model takes, as numbers and names; ``arena_bytes`` is what the chip has for models."""
    module = model.vmfb.read_bytes()
    tensors = buffers.allocated_bytes(module)
    messages = sum(spec.nbytes for spec in model.inputs)
    needed = len(module) + messages + (tensors or 0)
    return {
        "name": model.name,
        "format": model.format,
        "variant": model.variant,
        "vlen_bits": model.vlen_bits,
        "inputs": list(map(str, model.inputs)),
        "outputs": list(map(str, model.outputs)),
        "module_bytes": model.vmfb_bytes,
        "module_sha256": model.vmfb_sha256,
        "kernel_text_bytes": model.kernel_text_bytes,
        "kernel_rodata_bytes": model.kernel_rodata_bytes,
        "vector_instructions": model.vector_instructions,
        "kernels": [{"name": each.name, "layers": list(each.layers)} for each in model.dispatches],
        "compiler": model.compiler_version,
        "flags": list(model.flags),
        "optimizer": {"level": model.plan.level, "flag_set": model.plan.flag_set},
        "host_check": model.host_check.describe() if model.host_check else None,
        "notes": list(model.notes),
        "memory": {
            "module_bytes": len(module),
            "input_bytes": messages,
            "tensor_bytes": tensors,
            "needed_bytes": needed,
            "arena_bytes": arena_bytes,
            "fits": needed <= arena_bytes,
        },
    }


def _memory_text(memory: dict[str, Any]) -> str:
    tensors = memory["tensor_bytes"]
    told = f"tensors {tensors:,}" if tensors is not None else "tensors of sizes that only a run tells"
    verdict = "it fits" if memory["fits"] else "it does NOT fit"
    return (
        f"at least {memory['needed_bytes']:,} bytes (module {memory['module_bytes']:,}, "
        f"input {memory['input_bytes']:,}, {told}) of the chip's {memory['arena_bytes']:,}: {verdict}"
    )
