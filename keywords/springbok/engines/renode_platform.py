# SPDX-License-Identifier: Apache-2.0
"""A chip as Renode has it: the platform (``.repl``) and the script (``.resc``), made from its description.

Springbok's core, whose instructions are counted between the firmware's marks, is a class of ``Springbok.cs``. Other
cores are Renode's own, and their instructions and registers Python handlers, so that nothing has to be compiled.
Renode does not hold a core to the rights of memories.

Example::

    Path("my_chip.repl").write_text(repl(load("my_chip.toml")))
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from springbok import devices
from springbok.chips.chip import Chip, Instruction, Register
from springbok.devices.springbok_control.model import CONTROL
from springbok.support.errors import EngineError
from springbok.support.places import PLATFORMS

_CONTROL_KIND = "springbok_control"
#: Extensions that Renode's cores know by name, beside single letters; others change nothing there.
_KNOWN = ("zicsr", "zifencei", "zba", "zbb", "zbc", "zbs")
_STRIDE_OF_WIDE_REGISTERS = 4


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
        entry = kind.folder / "renode.repl"
        if not entry.is_file():
            raise EngineError(
                f"Renode has no model of {device.name} ({device.kind}) of {chip.title}: there is no {entry.name} in "
                f"{kind.folder}. Run the chip on Spike, or write one there."
            )
        settings = {**kind.settings, **device.settings}
        values = {name: f"0x{value:X}" if name == "accelerometer" else value for name, value in settings.items()}
        wide = str(settings.get("stride") == _STRIDE_OF_WIDE_REGISTERS).lower()
        text = Template(entry.read_text(encoding="utf-8"))
        lines += ["", text.substitute(values, name=device.name, base=f"{device.base:#010x}", wide=wide).strip()]
    return "\n".join(lines) + "\n"


def resc(chip: Chip, platform: str) -> str:
    """The script that makes the machine of ``platform``, a path as the script has it, and loads and starts ``$bin``."""
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
            f"include @{PLATFORMS / 'Springbok.cs'}",
        ]
    lines += ['emulation SetGlobalQuantum "0.001"', "mach create $name", "machine LoadPlatformDescription $platform"]
    if not has_springboks_core(chip):
        lines += [_instruction(each) for each in chip.instructions if each.does != "mark" or each.match & 0x7F == 0x7B]
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
        file, _, function = instruction.model.rpartition(":")
        code = (
            f"import imp; f = imp.load_source('own', '{Path(file)}').{function}; w = int(instruction); "
            "r = lambda n: cpu.GetRegister(w >> n & 31).RawValue; v = f(r(15), r(20), r(7)); "
            "(w >> 7 & 31) and cpu.SetRegister(w >> 7 & 31, v)"
        )
    else:
        code = "cpu.IsHalted = True" if instruction.does in ("halt", "finish") else "pass"
    return f'cpu InstallCustomInstructionHandlerFromString "{pattern(instruction)}" "{code}"'


def _register(register: Register) -> str:
    value = "cpu.ExecutedInstructions & 0xFFFFFFFF" if register.counter else f"{register.value:#x}"
    code = f"if request.IsRead: request.Value = {value}"
    return f'cpu RegisterCSRHandlerFromString {register.address:#x} "{code}"'
