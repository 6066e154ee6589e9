# SPDX-License-Identifier: Apache-2.0
"""A chip as Renode has it: the platform (``.repl``) and the script (``.resc``), made from its description.

Springbok's core, whose instructions are counted between the firmware's marks, is a class of ``Springbok.cs``. Other
cores are Renode's own, and their instructions and registers Python handlers, so that nothing has to be compiled.
Renode does not hold a core to the rights of memories.

Example::

    Path("my_chip.repl").write_text(repl(load("my_chip.toml")))
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from string import Template

from springbok import devices
from springbok.chips.chip import DEFAULT, Chip, Instruction, Register
from springbok.chips.description import load
from springbok.chips.extensions import adds_instructions
from springbok.devices.springbok_control.model import CONTROL
from springbok.support.errors import EngineError
from springbok.support.places import PLATFORMS

_CONTROL_KIND = "springbok_control"
#: Extensions that Renode's cores know by name, beside single letters and vectors (zvfh: from 1.16 on).
_KNOWN = ("zicsr", "zifencei", "zba", "zbb", "zbc", "zbs", "zfh", "zvfh")
_STRIDE_OF_WIDE_REGISTERS = 4
_SPRINGBOK = PLATFORMS / "Springbok.cs"
_CUSTOM_3 = 0x7B


def has_springboks_core(chip: Chip) -> bool:
    """Whether Renode simulates the chip's core by `Springbok.cs`, which counts between marks."""
    return any(device.kind == _CONTROL_KIND for device in chip.devices)


def cpu_type(chip: Chip, vlen: int | None = None) -> str:
    """The core's ISA as Renode writes it.

    >>> cpu_type(load("springbok"))                                                              # doctest: +SKIP
    'rv32imfv_zicsr_zifencei'
    """
    vlen = chip.vlen if vlen is None else vlen
    letters = "".join(each for each in chip.extensions if len(each) == 1 and each != "v")
    return "_".join([f"rv{chip.xlen}{letters}{'v' if vlen else ''}", *(e for e in chip.extensions if e in _KNOWN)])


def repl(chip: Chip, vlen: int | None = None) -> str:
    """The platform, with vector registers of ``vlen`` bits (0: without vectors; default: as the chip is built).

    Raises EngineError for a device that Renode has no model of.
    """
    vlen = chip.vlen if vlen is None else vlen
    own = has_springboks_core(chip)
    lines = [f"// {chip.title}. Generated from the chip's description; changes are lost."]
    lines += ["// Springbok.cs must be included first."] * own
    missing = [each for each in chip.extensions if len(each) > 1 and each not in _KNOWN and adds_instructions(each)]
    lines += [f"// Renode does not execute the chip's {', '.join(missing)}."] * bool(missing)
    for memory in chip.memories:
        lines += [
            "",
            f"{memory.name}: Memory.MappedMemory @ sysbus {memory.base:#010x}",
            f"    size: {memory.bytes:#x}",
        ]
    kinds = [devices.find(device.kind) for device in chip.devices]
    timer = next((d.name for d, kind in zip(chip.devices, kinds, strict=True) if kind.serves == "timer"), "empty")
    core = "SpringbokCore" if own else f"RiscV{chip.xlen}"
    lines += ["", f"cpu: CPU.{core} @ sysbus", f'    cpuType: "{cpu_type(chip, vlen)}"', f"    timeProvider: {timer}"]
    if vlen:
        lines += [f"    VectorRegisterLength: {vlen}", f"    VectorElementMaxWidth: {chip.elen}"]
    for device, kind in zip(chip.devices, kinds, strict=True):
        entry = kind.renode_entry(own)
        if not entry.is_file():
            raise EngineError(
                f"Renode has no model of {device.name} ({device.kind}) of {chip.title}: there is no {entry.name} in "
                f"{kind.folder}. Run the chip on Spike, or write one there."
            )
        settings = {**kind.settings, **device.settings}
        values = {name: f"0x{value:X}" if name == "accelerometer" else value for name, value in settings.items()}
        wide = str(settings.get("stride") == _STRIDE_OF_WIDE_REGISTERS).lower()
        line = "" if device.interrupt is None else f"    IRQ -> cpu@{device.interrupt}\n"
        text = Template(entry.read_text(encoding="utf-8").replace("    $interrupt\n", line))
        lines += ["", text.substitute(values, name=device.name, base=f"{device.base:#010x}", wide=wide).strip()]
    return "\n".join(lines) + "\n"


def resc(chip: Chip, platform: str) -> str:
    """The script that makes the machine of ``platform``, a path as the script has it, and loads and starts ``$bin``.

    Beside it lie the files of `beside`, whose places it tells by ``$ORIGIN``, its own folder.
    """
    lines = [
        f":name: {chip.title}",
        ":description: Runs the firmware of springbok-bench. Generated from the chip's description; changes are lost.",
        "",
        "# $bin         the firmware's ELF",
        f'$name?="{chip.name}"',
        f"$bin?=$ORIGIN/{chip.name}.elf",
        f"$platform?={platform}",
        "",
        "using sysbus",
    ]
    if has_springboks_core(chip):
        lines += [
            'EnsureTypeIsLoaded "Antmicro.Renode.Peripherals.CPU.RiscV32"',
            f"include $ORIGIN/{_SPRINGBOK.name}",
        ]
    lines += ['emulation SetGlobalQuantum "0.001"', "mach create $name", "machine LoadPlatformDescription $platform"]
    lines += map(_instruction, _for_python(chip))
    if not has_springboks_core(chip):
        lines += [_register(each) for each in chip.registers if not each.absent]
    control = next((each for each in chip.devices if each.kind == _CONTROL_KIND), None)
    start = f"sysbus WriteDoubleWord {control.base + CONTROL:#010x} 0" if control else f"cpu PC {chip.start:#x}"
    return "\n".join(
        [*lines, "", "macro reset", '"""', "    sysbus LoadELF $bin", f"    {start}", '"""', "runMacro $reset", ""]
    )


def pattern(instruction: Instruction) -> str:
    """The bits of an instruction, the highest first; ``-`` is any.

    >>> pattern(Instruction("mpause", 0x08000073, 0xFFFFFFFF))
    '00001000000000000000000001110011'
    """
    bits = range(31, -1, -1)
    return "".join(str(instruction.match >> place & 1) if instruction.mask >> place & 1 else "-" for place in bits)


def _instruction(instruction: Instruction) -> str:
    """A handler in Python: ``instruction`` is the word, ``cpu`` the core."""
    if instruction.model:
        where = f"$ORIGIN/{_handler_name(instruction)}"
        return f'cpu InstallCustomInstructionHandlerFromFile "{pattern(instruction)}" {where}'
    code = "cpu.IsHalted = True" if instruction.does in ("halt", "finish") else "pass"
    return f'cpu InstallCustomInstructionHandlerFromString "{pattern(instruction)}" "{code}"'


def beside(chip: Chip) -> dict[str, str]:
    """The files that the script needs in its own folder: their names and texts.

    Raises EngineError for an instruction whose model has no source in Python.
    """
    classes = {_SPRINGBOK.name: _SPRINGBOK.read_text(encoding="utf-8")} if has_springboks_core(chip) else {}
    return classes | {_handler_name(each): handler(each, chip) for each in _for_python(chip) if each.model}


def _for_python(chip: Chip) -> list[Instruction]:
    """Instructions that Renode's core does not know: beside Springbok's, what its class does not do already; beside
    others all but marks, of which HINTs do nothing anyway."""
    if has_springboks_core(chip):
        known = {each.match for each in load(DEFAULT).instructions}
        return [each for each in chip.instructions if each.model and each.match not in known]
    return [each for each in chip.instructions if each.does != "mark" or each.match & 0x7F == _CUSTOM_3]


def _handler_name(instruction: Instruction) -> str:
    return f"{instruction.name}.instruction.py"


def handler(instruction: Instruction, chip: Chip) -> str:
    """The program that Renode runs at each instruction with a model, with the word as ``instruction`` and ``cpu``.

    The model's file is in it as a whole, without annotations: Renode's Python is an older one.
    """
    file, _, function = instruction.model.rpartition(":")
    if not file.endswith(".py"):
        found = importlib.util.find_spec(file)
        if found is None or not (found.origin or "").endswith(".py"):
            raise EngineError(f"{instruction.name}: the module {file} has no source in Python, which Renode needs.")
        file = found.origin
    model = ast.unparse(_WithoutAnnotations().visit(ast.parse(Path(file).read_bytes())))
    return _HANDLER.format(
        name=instruction.name, title=chip.title, model=model, function=function, mask=(1 << chip.xlen) - 1
    )


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:  # noqa: N802 (the visitor's own names)
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:  # noqa: N802
        return ast.Assign([node.target], node.value, lineno=node.lineno) if node.value else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:  # noqa: N802
        return None if node.module == "__future__" else node


_HANDLER = """\
# -*- coding: utf-8 -*-
# {name} of {title}. Generated from the chip's description; changes are lost.
{model}


def operand_at(place):
    return int(cpu.GetRegister(int(instruction) >> place & 31).RawValue)


if int(instruction) >> 7 & 31:
    result = {function}(operand_at(15), operand_at(20), operand_at(7)) & {mask:#x}
    cpu.SetRegister(int(instruction) >> 7 & 31, result)
"""


def _register(register: Register) -> str:
    value = "cpu.ExecutedInstructions & 0xFFFFFFFF" if register.counter else f"{register.value:#x}"
    code = f"if request.IsRead: request.Value = {value}"
    return f'cpu RegisterCSRHandlerFromString {register.address:#x} "{code}"'
