# SPDX-License-Identifier: Apache-2.0
"""What the firmware is built with for a chip: ``chip.h`` and the linker script, made from its description."""

from __future__ import annotations

import re

from springbok import devices
from springbok.chips.chip import KERNELS, Chip, Instruction

_NOTE = "Generated from the chip's description; changes are lost."
# What extensions in a module's attributes the core has, although its ISA string does not say so.
_IMPLIED = {
    **{"m": ("zmmul",), "a": ("zaamo", "zalrsc"), "c": ("zca", "zcd"), "zve32f": ("zve32x",)},
    "zve64x": ("zve32x",),
    "zve64f": ("zve32x", "zve32f", "zve64x"),
    "zve64d": ("zve32x", "zve32f", "zve64x", "zve64f"),
    "v": ("zve32x", "zve32f", "zve64x", "zve64f", "zve64d"),
}
# Floating-point registers that arguments go in, by the ABI's last letter, as ELF flags have them.
_FLOAT_ABIS = {"2": 0, "4": 0, "f": 2, "d": 4}
MOST_INPUT_BYTES, MOST_OUTPUT_BYTES = 0x100000, 0x40000
TENSOR_ALIGNMENT = 64  # what the firmware aligns tensors to: rooms for them are multiples of it
STACK_BYTES, LARGEST_SHARE = 0x20000, 8  # a stack is at most an eighth of its memory


def message_rooms(chip: Chip) -> tuple[int, int]:
    """Bytes that the firmware keeps in the models' memory for inputs, and for outputs."""
    room = chip.holding("models").bytes
    rooms = min(MOST_INPUT_BYTES, room // 16), min(MOST_OUTPUT_BYTES, room // 64)
    inputs, outputs = (each // TENSOR_ALIGNMENT * TENSOR_ALIGNMENT for each in rooms)
    return inputs, outputs


def stack_bytes(chip: Chip) -> int:
    """Bytes that the linker keeps for the stack."""
    return min(STACK_BYTES, chip.holding("data").bytes // LARGEST_SHARE)


def header(chip: Chip) -> str:
    """``chip.h``: addresses, settings, extensions and instructions."""
    code, data = chip.holding("code"), chip.holding("data")
    vectors, scalars = _closure(chip, vectors=True), _closure(chip, vectors=False)
    user = chip.has("zicntr")
    inputs, outputs = message_rooms(chip)
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// {chip.title}. {_NOTE}",
        "#ifndef SPRINGBOK_CHIP_H",
        "#define SPRINGBOK_CHIP_H",
        "",
        f"#define CHIP_XLEN {chip.xlen}",
        f"#define CHIP_ELEN {chip.elen} // the widest element of a vector",
        *(f"#define CHIP_HAS_{each.upper()} 1" for each in chip.extensions if len(each) == 1),
        f"#define CHIP_ABI {_text(chip.abi)}",
        f"#define CHIP_FLOAT_ABI {_FLOAT_ABIS[chip.abi[-1]]} // of a module's ELF flags",
        f"#define CHIP_CONTAINS {int(chip.contains)}",
        *(["#define CHIP_VECTORED 1"] if chip.vectored else []),
        *(["#define CHIP_COUNTERS_STOPPED 1"] if chip.counters_stopped else []),
        *(["#define CHIP_SOFTWARE_INTERRUPTS 1"] if chip.software_interrupts else []),
        *(["#define CHIP_NO_EMPTY_STORES 1 // of vectors: a known defect"] if _fails_at_empty_stores(chip) else []),
        f"#define CHIP_KERNELS_APART {int(chip.has_kernels_apart)} // from the models' data",
        f"#define CHIP_HOST_PLACES_CODE {int('w' not in chip.holding(KERNELS).access)} // the core can't",
        "// Extensions that a module's code may use; those of vectors first.",
        f"#define CHIP_EXTENSIONS {', '.join(_text(each) for each in vectors + scalars)}",
        f"#define CHIP_VECTOR_EXTENSIONS {len(vectors)}",
        "// Counters, as code without privileges reaches them where there are such modes.",
        f"#define CHIP_INSTRUCTIONS {'instret' if user else 'minstret'}",
        f"#define CHIP_CYCLES {'cycle' if user else 'mcycle'}",
        "",
        f"#define CHIP_CODE_BASE {code.base:#x}u",
        f"#define CHIP_CODE_BYTES {code.bytes:#x}u",
        f"#define CHIP_DATA_BASE {data.base:#x}u",
        f"#define CHIP_DATA_BYTES {data.bytes:#x}u",
        f"#define CHIP_INPUT_BYTES {inputs:#x}u",
        f"#define CHIP_OUTPUT_BYTES {outputs:#x}u",
    ]
    served = set()
    for device in chip.devices:
        kind = devices.find(device.kind)
        service = kind.serves.upper()
        served.add(kind.serves)
        lines += ["", f"#define CHIP_{service}_BASE {device.base:#x}u"]
        lines += [
            f"#define CHIP_{service}_{name.upper()} {value}u"
            for name, value in {**kind.settings, **device.settings}.items()
        ]
        if device.interrupt is not None:
            lines.append(f"#define CHIP_{service}_INTERRUPT {device.interrupt}u")
    if "timer" not in served:
        lines += ["", f"#define CHIP_TIMER_FREQUENCY_HZ {chip.instructions_per_second}u"]
    mark, say, finish = chip.doing("mark"), chip.doing("print"), chip.doing("finish") or chip.doing("halt")
    lines += [
        "",
        f"#define CHIP_MARK(event, value) {_operation(mark, 'event', 'value') if mark else _text('unimp')}",
        f"#define CHIP_PRINT(text, number) {_statement(say, ('text', 'number'))}",
        f"#define CHIP_FINISH(code) {_statement(finish, ('code',))}",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _fails_at_empty_stores(chip: Chip) -> bool:
    """Whether a known defect of the chip is one of the store of no element, which ends `vector_fill` else."""
    return any(0 in each.vl and each.shows_in("vse8.v", 0, 8, "m8") for each in chip.defects)


def linker_script(chip: Chip) -> str:
    """The linker script: code where it is executed, everything else in data memory, models behind it or elsewhere."""
    memories = "\n".join(
        f"    {content.upper()} ({access}) : ORIGIN = {begin:#x}, LENGTH = {size:#x}"
        for content, access, begin, size in _places(chip)
    )
    apart = chip.holding("models") is not chip.holding("data")
    arena = (
        "    __arena_start = ORIGIN(MODELS);\n    __arena_end = ORIGIN(MODELS) + LENGTH(MODELS);"
        if apart
        else "    __arena_start = ALIGN(__bss_end, 64);\n    __arena_end = __stack_bottom;"
    )
    if chip.has_kernels_apart:
        kernels = "CODE" if chip.holding(KERNELS) is chip.holding("code") else "KERNELS"
        begin = "ADDR(.text) + SIZEOF(.text)" if kernels == "CODE" else "ORIGIN(KERNELS)"
        arena += f"\n    __kernels_start = ALIGN({begin}, 64);"
        arena += f"\n    __kernels_end = ORIGIN({kernels}) + LENGTH({kernels});"
    values = {
        "NOTE": _NOTE,
        "MEMORIES": memories,
        "STACK": f"{stack_bytes(chip):#x}",
        "ARENA": arena,
        # Apart, for code begins where the core does, which may be at a smaller alignment.
        "VECTORS": "    .vectors : ALIGN(256) { KEEP(*(.vectors)) } > CODE :text" if chip.vectored else "",
        "DATA": "CODE" if chip.holding("data") is chip.holding("code") else "DATA",
    }
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], _SCRIPT)


def _places(chip: Chip) -> list[tuple[str, str, int, int]]:
    """Content, access, first address and bytes of what the linker may fill."""
    code, data, models = (chip.holding(each) for each in ("code", "data", "models"))
    begin = chip.start if code.base <= chip.start < code.end else code.base
    places = [("code", "rwx" if data is code else "rx", begin, code.end - begin)]
    if data is not code:
        places.append(("data", "rw", data.base, data.bytes))
    apart = {"models": models, KERNELS: chip.holding(KERNELS)}
    return places + [
        (content, "rwx", memory.base, memory.bytes)
        for content, memory in apart.items()
        if memory not in (code, data) and (content == "models" or memory is not models)
    ]


def _closure(chip: Chip, vectors: bool) -> list[str]:
    """Names of extensions as a module's attributes have them: of vectors, or all others."""
    own = chip.vector_extension
    if vectors:
        return [own, *_IMPLIED.get(own, ())] if own else []
    names = [f"rv{chip.xlen}i" if each == "i" else each for each in chip.extensions if each not in (own, "zicntr")]
    implied = [each for name in chip.extensions if name != own for each in _IMPLIED.get(name, ())]
    implied += (
        ["b"] if {"zba", "zbb", "zbs"} <= set(names) and "b" not in names else []
    )  # as LLVM calls the three together
    usual = [each for each in names if not each.startswith("z") or each == "zicsr"]  # of all modules: found soonest
    return [*usual, *implied, *(each for each in names if each not in usual)]


def _operation(instruction: Instruction, first: str, second: str = '"x0"') -> str:
    """The assembly of an instruction with two operands, whose names are parameters of a macro."""
    if instruction.mask == 0xFFFFFFFF:
        return _text(f".4byte {instruction.match:#010x}")
    word = instruction.match
    fixed = f".insn r {word & 0x7F:#x}, {word >> 12 & 7}, {word >> 25}, x0, "
    return f'{_text(fixed)} {first} ", " {second}'


def _statement(instruction: Instruction | None, parameters: tuple[str, ...]) -> str:
    if instruction is None:
        return " ".join(["do {", *(f"(void)({each});" for each in parameters), "} while (0)"])
    operands = [f'"%{number}"' for number in range(len(parameters))]
    inputs = ", ".join(f'"r"({each})' for each in parameters)
    return f'__asm__ volatile({_operation(instruction, *operands)} ::{inputs} : "memory")'


def _text(text: str) -> str:
    return f'"{text}"'


_SCRIPT = """\
/* @NOTE@
 *
 *   DATA  .rodata | .bss | arena (models, input, output, runtime memory), unless it is elsewhere | stack
 *
 * There is no initialised writable data, so that a reset alone brings the firmware back to its first state.
 */
OUTPUT_ARCH(riscv)
ENTRY(_start)

MEMORY
{
@MEMORIES@
}

PHDRS
{
    text PT_LOAD FLAGS(5);
    data PT_LOAD FLAGS(6);
}

/* A kernel may use 32 KiB of stack by IREE's own limit; the runtime's share comes on top. */
__stack_size = @STACK@;

SECTIONS
{
    .text : ALIGN(64) { KEEP(*(.text.start)) *(.text .text.*) } > CODE :text
@VECTORS@
    /* gp reaches 2 KiB each way, where an address takes one instruction instead of two: the interpreter's tables come
     * first in its reach, for its speed, then as much else as has room. */
    .rodata : ALIGN(64)
    {
        __global_pointer$ = . + 0x800;
        *(.rodata.opcode_encodings) *runtime_interpreter.c.o(.rodata .rodata.*)
        *(.rodata .rodata.* .srodata .srodata.*)
    } > @DATA@ :data
    .data : ALIGN(16) { *(.data .data.* .sdata .sdata.*) } > @DATA@ :data
    .bss (NOLOAD) : ALIGN(64)
    {
        __bss_start = .;
        *(.sbss .sbss.* .bss .bss.details* .bss.*_bits .bss.contains .bss.marks_work .bss.library_environment)
        *(.bss.sensor)
        *(.bss.* COMMON)
        . = ALIGN(4);
        __bss_end = .;
    } > @DATA@ :data

    __stack_top = ORIGIN(@DATA@) + LENGTH(@DATA@);
    __stack_bottom = __stack_top - __stack_size;
@ARENA@

    ASSERT(SIZEOF(.data) == 0, "initialised writable data: initialise it at run time instead")
    ASSERT(__bss_end < __stack_bottom && __arena_start < __arena_end, "too little data memory")
    /DISCARD/ : { *(.comment) *(.eh_frame*) *(.debug*) *(.note*) }
}
"""
