# SPDX-License-Identifier: Apache-2.0
"""What a chip's description may say word by word, and no chip can be: extensions, instructions, registers, numbers.

Each problem is where it stands, as a path of keys in the description, and a sentence with its remedy.

>>> from springbok.chips.description import load
>>> list(problems(load("springbok")))
[]
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from springbok import devices
from springbok.chips import defects
from springbok.chips.chip import Chip
from springbok.chips.extensions import EXTENSIONS, taken_by
from springbok.chips.opcodes import UNKNOWN, named_words
from springbok.support.places import PLATFORMS
from springbok.support.small_files import TOMLDecodeError, parse_toml, read_text
from springbok.support.suggestions import did_you_mean

Problem = tuple[list[str | int], str]

#: What an extension is made on, by the ISA manual.
_NEEDS = {"d": "f", "zve32f": "f", "zve64f": "f", "zve64d": "d", "v": "d", "zfh": "f", "zfhmin": "f"}
_NEEDS |= {"zcf": "f", "zcd": "d", "zdinx": "zfinx", "zhinx": "zfinx", "zhinxmin": "zfinx"}
_LEAST_VLEN = {"v": 128, "zve64x": 64, "zve64f": 64, "zve64d": 64}
#: The shortest vectors that the compiler makes code for.
_COMPILERS_LEAST_VLEN = 64
_VECTOR_LENGTH = re.compile(r"zvl\d+b")
#: Extensions of one letter stand in this order, which Spike insists on.
_LETTERS = "imafdqcbv"
#: Registers that the firmware works with: on every chip; where it is contained; by the upper half on 32 bits.
_OF_TRAPS = {
    **{0x300: "mstatus", 0x304: "mie", 0x305: "mtvec"},
    **{0x340: "mscratch", 0x341: "mepc", 0x342: "mcause", 0x343: "mtval"},
}
_OF_CONTAINMENT = {0x306: "mcounteren", 0x3A0: "pmpcfg0", **{0x3B0 + entry: f"pmpaddr{entry}" for entry in range(8)}}
_COUNTERS = {0xB00: "mcycle", 0xB02: "minstret"}
_USERS_COUNTERS = {0xC00: "cycle", 0xC02: "instret"}
_UPPER_HALF = 0x80
_INHIBIT = "mcountinhibit"
#: Registers that instructions write, by what they hold: whether a chip has it, and their addresses.
_STATE = {
    "floating-point state": (lambda chip: chip.has("f"), (0x001, 0x002, 0x003)),
    "vector state": (lambda chip: bool(chip.vlen), (0x008, 0x009, 0x00A, 0x00F, 0xC20, 0xC21, 0xC22)),
}
#: Words of a `.repl`, and what each platform of ours has in it.
_RENODES_NAMES = ("cpu", "sysbus", "empty", "none", "using", "local")
_OPERANDS = {"mark": ("rs1, the event", "rs2, its value"), "print": ("rs1, the text", "rs2, the number")}
_RD, _RS1, _RS2 = 31 << 7, 31 << 15, 31 << 20
_LONGER = 0x1F
_MISA = 0x301
#: Fewer ticks a second tell no microseconds.
_LEAST_HZ = 1_000_000
_WORD = 0xFFFFFFFF
_EXTERNAL_INTERRUPT = 11
#: How far from its beginning the firmware's code addresses things on a core of 64 bits, by its last instruction too.
_REACH = (1 << 31) - (1 << 17)


def problems(chip: Chip) -> Iterator[Problem]:
    """All of them."""
    yield from _of_extensions(chip)
    yield from _of_multiplication(chip)
    yield from _of_pairs_of_extensions(chip)
    yield from _of_vectors(chip)
    yield from _of_numbers(chip)
    yield from _of_distances(chip)
    yield from _of_instructions(chip)
    yield from _of_names(chip)
    yield from _of_instructions_in_kernels(chip)
    yield from _of_registers(chip)
    yield from _of_timing(chip)
    yield from _of_interrupts(chip)
    yield from defects.problems(chip)


def _of_extensions(chip: Chip) -> Iterator[Problem]:
    where: list[str | int] = ["core", "isa"]
    isa, extensions = chip.base_isa, chip.extensions
    if isa[4] == "e":
        yield where, f"'{isa}' has 16 registers: firmware and kernels need the 32 of rv{chip.xlen}i"
    elif isa[4] not in "ig":
        yield where, f"'{isa}' begins with no base: write rv{chip.xlen}i, or rv{chip.xlen}g"
    for unknown in (each for each in extensions[1:] if each not in EXTENSIONS and not _VECTOR_LENGTH.fullmatch(each)):
        near = did_you_mean(unknown, sorted(EXTENSIONS)) if len(unknown) > 1 else ""
        remedy = near or ": leave it out"
        if unknown.startswith("x"):
            remedy = ": instructions of your own are tables, [[instruction]]"
        yield where, f"isa: there is no extension {unknown[:40]!r} here{remedy}"
    twice = sorted({each for each in extensions if extensions.count(each) > 1})
    if twice:
        yield where, f"'{isa}' has {twice[0]} twice: leave one out"
    letters = [each for each in extensions if each in _LETTERS]
    ordered = sorted(letters, key=_LETTERS.index)
    if letters != ordered and letters[0] == "i" and not twice:
        written = "_".join([f"rv{chip.xlen}{''.join(ordered)}", *(each for each in extensions if len(each) > 1)])
        yield where, f"'{isa}' has {', '.join(letters)} out of order: write {written}"
    lengths = [each for each in extensions if _VECTOR_LENGTH.fullmatch(each)]
    if lengths:
        yield where, f"'{isa}' says {lengths[0]}: leave it out, vlen says how long a vector register is"
    vectors = [each for each in extensions if each == "v" or each.startswith("zve")]
    if len(vectors) > 1:
        yield where, f"'{isa}' has {' and '.join(vectors)}: give the larger one alone, which has what the other has"
    for needed, why in (("zicsr", "sets registers"), ("zifencei", "loads code while it runs")):
        if not chip.has(needed):
            yield where, f"'{isa}' has no {needed}, but the firmware {why}: add _{needed}"


def _of_multiplication(chip: Chip) -> Iterator[Problem]:
    """The compiler's own function for it calls itself for ever on a core of 64 bits."""
    if chip.xlen == 64 and not chip.has("m") and not chip.has("zmmul"):
        sentence = "which firmware and kernels need on a core of 64 bits: add m, or _zmmul"
        yield ["core", "isa"], f"'{chip.base_isa}' does not multiply, {sentence}"


def _of_pairs_of_extensions(chip: Chip) -> Iterator[Problem]:
    where: list[str | int] = ["core", "isa"]
    isa = chip.base_isa
    for extension, needed in _NEEDS.items():
        if chip.has(extension) and not chip.has(needed):
            yield where, f"'{isa}' has {extension} without {needed}, which it is made on: add {needed}"
    if chip.has("zfinx") and chip.has("f"):
        yield where, f"'{isa}' has zfinx and f, which exclude each other: leave one out"
    if chip.xlen == 64 and chip.has("zcf"):
        yield where, f"'{isa}' has zcf, whose encodings a core of 64 bits has for other instructions: leave it out"
    for same in ("zcmp", "zcmt"):
        if chip.has(same) and (chip.has("zcd") or (chip.has("c") and chip.has("d"))):
            remedy = f"write zca for c, or leave {same} out"
            yield where, f"'{isa}' has {same}, whose encodings are those of c and d: {remedy}"
    of_vectors = [each for each in chip.extensions if each.startswith("zv") and not each.startswith(("zve", "zvl"))]
    if of_vectors and chip.vector_extension is None:
        yield where, f"'{isa}' has {of_vectors[0]} without vectors: add v or zve32x, or leave it out"


def _of_vectors(chip: Chip) -> Iterator[Problem]:
    extension = chip.vector_extension
    least = max(_LEAST_VLEN.get(extension, 0), _COMPILERS_LEAST_VLEN)
    for key, lengths in (("vlen", (chip.vlen,) if chip.vlen else ()), ("vlens", chip.vlens)):
        short = [each for each in lengths if each < least]
        if short:
            yield ["core", key], f"{key}: {extension} needs {least} bits or more here, not {short[0]}"


def _of_numbers(chip: Chip) -> Iterator[Problem]:
    alignment = 2 if chip.has("c") else 4
    if chip.start % alignment:
        yield ["core", "start"], f"start 0x{chip.start:x} is no place of an instruction: a multiple of {alignment} is"
    if not _LEAST_HZ <= chip.instructions_per_second <= _WORD:
        yield ["core", "instructions_per_second"], f"instructions_per_second: from {_LEAST_HZ:,} to {_WORD:,}"
    if chip.instructions_per_second % _LEAST_HZ and not any(_serves(chip, "timer")):
        yield (
            ["core", "instructions_per_second"],
            "instructions_per_second: whole megahertz, for without a timer they tell microseconds",
        )
    if chip.pmp_entries and not chip.user_mode:
        yield (
            ["core", "pmp_entries"],
            "pmp_entries contain kernels in user mode: add user_mode = true, or leave them out, since the firmware "
            "has no use for them then",
        )
    if chip.software_interrupts and not any(_serves(chip, "timer")):
        yield ["core", "software_interrupts"], "software_interrupts come from a clint: add one, or leave them out"


def _of_distances(chip: Chip) -> Iterator[Problem]:
    """Of a core of 32 bits code reaches every address; of 64 bits what is near."""
    for number, memory in enumerate(chip.memories if chip.xlen == 64 else ()):
        furthest = max(memory.base, memory.end, key=lambda address: abs(address - chip.start))
        if memory.holds and abs(furthest - chip.start) >= _REACH:
            sentence = f"2 GiB or more from the code at 0x{chip.start:x}, further than code of 64 bits reaches"
            yield ["memory", number, "base"], f"{memory.name} reaches to 0x{furthest:x}, {sentence}: move it nearer"


def _serves(chip: Chip, service: str) -> Iterator[bool]:
    return (devices.find(device.kind).serves == service for device in chip.devices)


def _of_interrupts(chip: Chip) -> Iterator[Problem]:
    driving = [(number, each) for number, each in enumerate(chip.devices) if each.interrupt is not None]
    for number, each in driving:
        where: list[str | int] = ["device", number, "interrupt"]
        kind = devices.find(each.kind)
        if not kind.drives_interrupt:
            known = " and ".join(name for name in devices.names() if devices.find(name).drives_interrupt)
            yield where, f"{each.name}: {kind.name} drives no interrupt line here ({known} do): leave interrupt out"
        if each.interrupt != _EXTERNAL_INTERRUPT:
            yield (
                where,
                f"{each.name}: interrupt is {_EXTERNAL_INTERRUPT}, the core's machine external interrupt, not "
                f"{each.interrupt}: no engine here has a controller (PLIC) whose numbers there could be",
            )
    for number, each in driving[1:]:
        first = driving[0][1].name
        sentence = f"{first} drives {each.interrupt} already, and several need a controller, which no engine here has"
        yield ["device", number, "interrupt"], f"{each.name}: {sentence}: leave one out"


def _of_timing(chip: Chip) -> Iterator[Problem]:
    known = sorted(path.stem for path in (PLATFORMS / "timing").glob("*.toml"))
    path = _timing_file(chip)
    if chip.timing.endswith(".toml"):
        if not path.is_file():
            yield ["core", "timing"], f"timing: there is no {chip.timing}"
            return
    elif chip.timing and chip.timing not in known:
        remedy = did_you_mean(chip.timing, known)
        yield ["core", "timing"], f"timing: there is no '{chip.timing}'{remedy}. Known: {', '.join(known)}"
        return
    if not suits_timing(chip):
        lengths = _lengths_of(path)
        core = f"with VLEN {', '.join(map(str, lengths))}" if lengths else "without vectors"
        built = f"is built with VLEN {chip.vlen}" if chip.vlen else "has no vectors"
        yield (
            ["core", "timing"],
            f"timing: {path.stem} is of a core {core}, and this one {built}: name another, or leave it out (--timing "
            "then names one for each run)",
        )


def _timing_file(chip: Chip) -> Path:
    return Path(chip.timing) if chip.timing.endswith(".toml") else PLATFORMS / "timing" / f"{chip.timing}.toml"


def suits_timing(chip: Chip) -> bool:
    """Whether the timing that the chip names is not of a core with other lengths of vectors."""
    lengths = _lengths_of(_timing_file(chip)) if chip.timing else None
    return lengths is None or chip.vlen in (lengths or [0])


def _lengths_of(timing: Path) -> list[int] | None:
    """The VLENs that a timing says it is for. What else is wrong with it is said where it is loaded."""
    try:
        lengths = parse_toml(read_text(timing)).get("vlens")
    except (OSError, UnicodeDecodeError, TOMLDecodeError):
        return None
    return lengths if isinstance(lengths, list) else None


def _of_instructions(chip: Chip) -> Iterator[Problem]:
    for (_, one), (number, other) in combinations(enumerate(chip.instructions), 2):
        if one.name == other.name:
            yield ["instruction", number, "name"], f"there are two instructions called '{one.name}'"
        if not (one.match ^ other.match) & one.mask & other.mask:
            yield (
                ["instruction", number, "match"],
                f"{other.name} and {one.name} have words in common: make match or mask differ",
            )
    marks = [number for number, each in enumerate(chip.instructions) if each.does == "mark"]
    for number in marks[1:]:
        first = chip.instructions[marks[0]].name
        yield ["instruction", number, "does"], f"{first} is the chip's mark already: leave one out"
    for number, each in enumerate(chip.instructions):
        where: list[str | int] = ["instruction", number, "mask"]
        if each.mask & 3 != 3 or each.match & 3 != 3:
            yield where, f"{each.name}: the last two bits of an instruction of 32 bits are 1, in match and in mask"
        elif each.match & _LONGER == _LONGER:
            yield (
                ["instruction", number, "match"],
                f"{each.name}: the last five bits are 1 of longer instructions alone",
            )
        for what, bits in zip(_OPERANDS.get(each.does, ()), (_RS1, _RS2), strict=False):
            if each.mask & bits:
                yield where, f"{each.name}: its mask must leave {what}, open (the bits 0x{bits:08x})"
        taking = taken_by(each.match, each.mask, chip.xlen, chip.extensions)
        if taking:
            yield (
                ["instruction", number, "match"],
                f"{each.name} has words in common with instructions of the chip's own {taking}: take a major opcode "
                "that is left to chips (0x0B, 0x2B, 0x5B, 0x7B), or a HINT (slt x0, rs1, rs2 and the like)",
            )
        for key, arguments in (("model", ("rs1", "rs2", "rd")), ("kernels", ("part",))):
            missing = _missing_function(getattr(each, key), arguments)
            if missing:
                yield ["instruction", number, key], f"{each.name}: {missing}"


def _of_names(chip: Chip) -> Iterator[Problem]:
    for number, each in enumerate(chip.instructions):
        if each.name == UNKNOWN or each.name in named_words() or each.name.startswith("c."):
            sentence = "counts and disassemblies have that name for others: choose another"
            yield ["instruction", number, "name"], f"{each.name}: {sentence}"
    for kind, parts in (("memory", chip.memories), ("device", chip.devices)):
        for number, part in enumerate(parts):
            if part.name in _RENODES_NAMES:
                sentence = "Renode's platforms have that name for something else: choose another"
                yield [kind, number, "name"], f"{part.name}: {sentence}"


def _of_instructions_in_kernels(chip: Chip) -> Iterator[Problem]:
    for number, each in enumerate(chip.instructions):
        where: list[str | int] = ["instruction", number, "mask"]
        if each.kernels and not each.model:
            yield (
                ["instruction", number, "kernels"],
                f"{each.name}: kernels compute with what it does: say it by model, a function of rs1, rs2 and rd",
            )
        fixed = [name for name, bits in (("rd", _RD), ("rs1", _RS1), ("rs2", _RS2)) if each.mask & bits]
        if each.kernels and fixed:
            yield where, f"{each.name}: its mask must leave {', '.join(fixed)} open, as kernels choose the registers"


def _missing_function(written: str, arguments: Sequence[str]) -> str:
    """What is wrong with ``file.py:function`` or ``module:function``; nothing is imported, and files are only read."""
    file, _, function = written.rpartition(":")
    if not file:
        return ""
    if not file.endswith(".py"):
        return "" if _is_module(file) else f"there is no module {file}: write file.py:function, a function in Python"
    try:
        content = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        return f"{file} can't be read: {error}"
    functions = {node.name: node.args for node in content.body if isinstance(node, ast.FunctionDef)}
    if function in functions and not _takes(functions[function], len(arguments)):
        return f"{file}: '{function}' takes other arguments than {len(arguments)}: {', '.join(arguments)}"
    constants = {
        target.id
        for node in content.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if function in constants - set(functions):
        return f"{file}: '{function}' is no function"
    names = set(functions)
    stored = (node for node in ast.walk(content) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    aliases = (each for node in ast.walk(content) if isinstance(node, ast.ImportFrom) for each in node.names)
    names |= {node.id for node in stored} | {each.asname or each.name for each in aliases}
    return "" if function in names else f"{file} has no function '{function}'{did_you_mean(function, sorted(names))}"


def _is_module(name: str) -> bool:
    try:
        first, *rest = name.split(".")
        found = importlib.util.find_spec(first)
        for part in rest:
            found = found and importlib.machinery.PathFinder.find_spec(part, found.submodule_search_locations or [])
    except ValueError:
        return False
    return found is not None


def _takes(given: ast.arguments, count: int) -> bool:
    """Whether a function can be called with that many arguments."""
    places = [*given.posonlyargs, *given.args]
    if len(places) - len(given.defaults) > count or (len(places) < count and not given.vararg):
        return False
    return all(default is not None for default in given.kw_defaults)


def _needed_registers(chip: Chip) -> dict[int, str]:
    """What the firmware works with on this chip, by address."""
    counters = {**_COUNTERS, **(_USERS_COUNTERS if chip.has("zicntr") else {})}
    upper = {address + _UPPER_HALF: f"{name}h" for address, name in counters.items() if chip.xlen == 32}
    contained = {**_OF_CONTAINMENT, **({0x3A1: "pmpcfg1"} if chip.xlen == 32 else {})} if chip.contains else {}
    return {**_OF_TRAPS, **counters, **upper, **contained, **({0x320: _INHIBIT} if chip.counters_stopped else {})}


def _contradicts_isa(chip: Chip, misa: int) -> str:
    """What a value of misa says otherwise than the ISA string; 0 says nothing, and more letters are free."""
    width = misa >> (chip.xlen - 2)
    missing = [each for each in chip.extensions if len(each) == 1 and not misa >> (ord(each) - ord("a")) & 1]
    right = (1 if chip.xlen == 32 else 2) << (chip.xlen - 2)
    right |= sum(1 << (ord(each) - ord("a")) for each in set(chip.extensions) if len(each) == 1)
    if misa and (missing or width != right >> (chip.xlen - 2)):
        return f"misa contradicts {chip.base_isa}: write 0x{right:x}, with more letters if it has them, or 0"
    return ""


def _of_registers(chip: Chip) -> Iterator[Problem]:
    needed = _needed_registers(chip)
    counters = {*_COUNTERS.values(), *_USERS_COUNTERS.values()}
    for number, each in enumerate(chip.registers):
        if each.absent and (each.value or each.counter):
            key = "counter" if each.counter else "value"
            yield ["register", number, key], f"{each.name}: a register that is absent has no {key}: leave one out"
        if each.counter and each.value:
            yield ["register", number, "value"], f"{each.name}: it reads as {each.counter} or as a value: leave one"
        state = next((what for what, (has, those) in _STATE.items() if has(chip) and each.address in those), "")
        if state and not each.absent:
            yield ["register", number, "address"], f"{each.name}: 0x{each.address:03x} is the core's {state}"
        if each.address == _MISA and (problem := _contradicts_isa(chip, each.value)):
            yield ["register", number, "value"], f"{each.name}: {problem}"
        if each.value >> chip.xlen:
            yield ["register", number, "value"], f"{each.name}: its value has more than {chip.xlen} bits"
        if each.absent and each.address in needed:
            yield ["register", number, "absent"], f"{each.name}: the firmware can't do without 0x{each.address:x}"
        elif each.address in needed and not (each.counter and needed[each.address] in counters):
            name = f"0x{each.address:x}, the core's {needed[each.address]}"
            yield ["register", number, "address"], f"{each.name}: the firmware works with {name}: leave the table out"
    for (_, one), (number, other) in combinations(enumerate(chip.registers), 2):
        if one.address == other.address:
            yield ["register", number, "address"], f"{other.name} and {one.name} have one address: 0x{one.address:x}"
        if one.name == other.name:
            yield ["register", number, "name"], f"there are two registers called '{one.name}'"
