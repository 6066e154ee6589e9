# SPDX-License-Identifier: Apache-2.0
"""Prints what a VMFB module consists of: functions with their instructions, imports, exports, constants.

The instructions and their encodings are those of the firmware: its tables ``opcodes.def`` and ``opcodes.h`` are read,
so what is shown here is what the firmware's verifier and interpreter see. An instruction that the firmware knows by
name only is shown with its name; what follows it in the function can't be decoded.

Example::

    print(disassemble(Path("model.vmfb").read_bytes(), "model.vmfb").text())

or ``python -m springbok.modules.disassembler model.vmfb``. Registers are ``i3`` (32 bits), ``i4:5`` (64 bits, a pair)
and ``r1`` (a reference); ``move r1`` empties it; results stand left of ``=``; ``L17`` is the block at byte 17.
"""

from __future__ import annotations

import argparse
import functools
import re
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from springbok.modules.vmfb import BrokenFileError, CheckedBytes, Table, open_archive
from springbok.support.errors import BenchError, ModelError
from springbok.support.places import FIRMWARE

RUNTIME = FIRMWARE / "runtime"

REF, MOVE, INDEX = 0x8000, 0x4000, 0x3FFF
#: Set in the ordinal of a function that is imported.
IMPORT = 0x80000000
_FIXED_SEGMENT = 0xFFFF
_DESCRIPTOR = "<iiIHHHH"  # offset, length, requirements, reserved, blocks, i32 registers, references
_REQUIREMENTS = {1: "f32", 2: "f64", 4: "yield", 8: "unwind"}


@dataclass(frozen=True)
class Opcode:
    """A row of ``opcodes.def``. ``fields`` has a letter for each operand, as that file explains; None: refused."""

    code: int
    mnemonic: str
    fields: str | None


@functools.cache
def opcode_table() -> dict[int, Opcode]:
    """The firmware's instructions by their code; codes of the f32 extension carry 0x100."""
    header = (RUNTIME / "opcodes.h").read_text(encoding="utf-8")
    rows = (RUNTIME / "opcodes.def").read_text(encoding="utf-8")
    fields = dict(re.findall(r'\bENCODING\((\w+), (?:\w+, )?"(\w*)"\)', header))
    table = {}
    for refused, code, mnemonic, encoding in re.findall(
        r'^OPCODE(_REFUSED)?\((0x\w+),\s*\w+,\s*"([^"]+)"(?:,\s*(\w+))?\)', rows, re.MULTILINE
    ):
        table[int(code, 16)] = Opcode(int(code, 16), mnemonic, None if refused else fields[encoding])
    return table


_PREFIX_F32 = 0xE0
_BLOCK, _CALL_OPCODES = "block", ("call", "call.variadic")


#: (source, target) registers of a branch.
Moves = tuple[tuple[int, int], ...]
#: Letter and value of each operand: a register, a number, bytes, registers, `Moves`, or cases (target, moves).
Operands = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Instruction:
    """An instruction at byte ``at`` of its function, with its operands in the order of the encoding."""

    at: int
    opcode: Opcode
    text: str
    operands: Operands = ()

    @property
    def callee(self) -> int | None:
        """The ordinal of the function of the module that it calls, if any."""
        called = next((value for letter, value in self.operands if letter == "n"), IMPORT)
        return None if called & IMPORT else called


@dataclass(frozen=True)
class Function:
    """A function of the module. ``undecoded`` counts the bytes behind an instruction that can't be decoded."""

    ordinal: int
    name: str
    convention: str
    declaration: str
    length: int
    blocks: int
    i32_registers: int
    ref_registers: int
    instructions: tuple[Instruction, ...]
    undecoded: int

    def lines(self) -> Iterator[str]:
        """The function as text."""
        yield (
            f"function {self.ordinal} {self.name} {self.convention}: {self.length} bytes, {self.blocks} blocks, "
            f"{self.i32_registers} i32 and {self.ref_registers} reference registers"
        )
        if self.declaration:
            yield f"  {self.declaration}"
        for instruction in self.instructions:
            if instruction.opcode.mnemonic == _BLOCK:
                yield f"  L{instruction.at}:"
            else:
                yield f"  {instruction.at:6}  {instruction.text}"
        if self.undecoded:
            yield f"          left out of this runtime: the {self.undecoded} bytes that follow can't be decoded"


@dataclass(frozen=True)
class Disassembly:
    """A module, decoded. ``constants`` describes each read-only segment; ``exports`` are (name, ordinal)."""

    name: str
    bytecode_version: int
    requirements: tuple[str, ...]
    types: tuple[str, ...]
    imports: tuple[tuple[str, str], ...]
    exports: tuple[tuple[str, int], ...]
    constants: tuple[str, ...]
    global_bytes: int
    global_refs: int
    functions: tuple[Function, ...]

    def reachable(self, *names: str) -> tuple[Function, ...]:
        """The functions that the exports ``names`` (default: all) are and call, directly or not."""
        pending = [ordinal for name, ordinal in self.exports if not names or name in names]
        found: dict[int, Function] = {}
        while pending:
            ordinal = pending.pop()
            if ordinal in found or not 0 <= ordinal < len(self.functions):
                continue
            found[ordinal] = self.functions[ordinal]
            pending += [step.callee for step in found[ordinal].instructions if step.callee is not None]
        return tuple(found[ordinal] for ordinal in sorted(found))

    def text(self) -> str:
        """The whole module as text."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        version = f"{self.bytecode_version >> 16}.{self.bytecode_version & 0xFFFF}"
        yield f"module {self.name}: bytecode {version}, requires {', '.join(self.requirements) or 'nothing'}"
        yield f"globals: {self.global_bytes} bytes, {self.global_refs} references"
        yield from _listed("types", self.types)
        yield from _listed("imports", [f"{name} {convention}" for name, convention in self.imports])
        yield from _listed("constants", self.constants)
        yield "exports:"
        for name, ordinal in self.exports:
            yield f"  {name} = function {ordinal}"
        for function in self.functions:
            yield ""
            yield from function.lines()


def _listed(title: str, rows: tuple[str, ...] | list[str]) -> Iterator[str]:
    yield f"{title}:"
    for number, row in enumerate(rows):
        yield f"  {number:3}  {row}"


def disassemble(data: bytes, name: str = "the VMFB") -> Disassembly:
    """Decodes the VMFB file whose bytes are ``data``; ``name`` is what error messages call it.

    Raises :class:`ModelError` when the file is cut off or broken, or an instruction is unknown.
    """
    try:
        return _disassemble(bytes(data))
    except BrokenFileError as error:
        raise ModelError(f"{name} can't be disassembled: {error} (file size: {len(data)} bytes).") from None


def _disassemble(data: bytes) -> Disassembly:
    archive = open_archive(data)
    root = archive.root
    imports = tuple((table.string(0), _convention(table.table(1))) for table in root.tables(6))
    exports = tuple((table.string(0), table.number(1, "i")) for table in root.tables(7))
    names = {ordinal: name for name, ordinal in reversed(exports)}
    descriptors = root.structs(12, struct.calcsize(_DESCRIPTOR))
    signatures = root.tables(8)
    if len(signatures) != len(descriptors):
        raise BrokenFileError(f"it has {len(descriptors)} functions, but {len(signatures)} signatures")
    bytecode = CheckedBytes(root.bytes(14), "the bytecode")

    def callee_name(ordinal: int) -> str:
        if not ordinal & IMPORT:
            return names.get(ordinal, f"function_{ordinal}")
        ordinal &= ~IMPORT
        return imports[ordinal][0] if ordinal < len(imports) else f"import {ordinal}, which does not exist"

    functions = [
        _function((ordinal, callee_name(ordinal)), signature, descriptor, bytecode, callee_name)
        for ordinal, (signature, descriptor) in enumerate(zip(signatures, descriptors, strict=True))
    ]
    state = root.table(11)
    requirements = root.number(2, "I")
    return Disassembly(
        name=root.string(0),
        bytecode_version=archive.bytecode_version,
        requirements=tuple(name for bit, name in _REQUIREMENTS.items() if requirements & bit),
        types=tuple(table.string(0) for table in root.tables(4)),
        imports=imports,
        exports=exports,
        constants=tuple(_described(segment) for segment in archive.rodata()),
        global_bytes=state.number(0, "I") if state else 0,
        global_refs=state.number(1, "I") if state else 0,
        functions=tuple(functions),
    )


def _convention(signature: Table | None) -> str:
    return signature.string(0) if signature else ""


def _described(segment: bytes) -> str:
    if segment[:4] == b"\x7fELF":
        return f"{len(segment)} bytes: kernels (ELF)"
    if segment and all(32 <= byte < 127 for byte in segment):
        return f'{len(segment)} bytes: "{segment[:80].decode()}"' + ("…" if len(segment) > 80 else "")
    return f"{len(segment)} bytes: {segment[:16].hex(' ')}" + (" …" if len(segment) > 16 else "")


def _function(
    numbered: tuple[int, str],
    signature: Table,
    descriptor: bytes,
    bytecode: CheckedBytes,
    callee_name: Callable[[int], str],
) -> Function:
    ordinal, name = numbered
    offset, length, _, _, blocks, i32_registers, ref_registers = struct.unpack(_DESCRIPTOR, descriptor)
    attributes = {table.string(0): table.string(1) for table in signature.tables(1)}
    decoder = _Decoder(CheckedBytes(bytecode.slice(offset, length), f"function {ordinal} ({name})"), callee_name)
    return Function(
        ordinal=ordinal,
        name=name,
        convention=signature.string(0),
        declaration=attributes.get("iree.abi.declaration", ""),
        length=length,
        blocks=blocks,
        i32_registers=i32_registers,
        ref_registers=ref_registers,
        instructions=tuple(decoder.instructions()),
        undecoded=length - decoder.at,
    )


class _Decoder:
    """Reads the instructions of one function, one after the other; ``at`` is the next byte."""

    def __init__(self, code: CheckedBytes, callee_name: Callable[[int], str]) -> None:
        self.code = code
        self.callee_name = callee_name
        self.at = 0

    def instructions(self) -> Iterator[Instruction]:
        """Decodes until the end, or until an instruction whose operands are not known."""
        while self.at < len(self.code.data):
            start = self.at
            code = self._take("B")
            if code == _PREFIX_F32:
                code = 0x100 + self._take("B")
            opcode = opcode_table().get(code)
            if opcode is None:
                raise BrokenFileError(f"{self.code.what} holds the unknown instruction 0x{code:02x} at byte {start}")
            if opcode.fields is None:
                yield Instruction(start, opcode, opcode.mnemonic)
                return
            try:
                operands = tuple((letter, self._field(letter, opcode)) for letter in opcode.fields)
            except BrokenFileError:
                raise BrokenFileError(
                    f"{self.code.what} ends at byte {len(self.code.data)}, inside the instruction "
                    f"{opcode.mnemonic} at byte {start}"
                ) from None
            yield Instruction(start, opcode, self._text(opcode, operands), operands)

    def _text(self, opcode: Opcode, fields: Operands) -> str:
        results, operands = [], []
        for letter, value in fields:
            shown = self.callee_name(value) if letter == "n" else _SHOWN[letter](value)
            if shown:
                (results if letter in "ILFRz" else operands).append(shown)
        if opcode.mnemonic in _CALL_OPCODES:  # callee(operands)
            operands = [f"{operands[0]}({', '.join(operands[1:])})"]
        text = f"{opcode.mnemonic} {', '.join(operands)}".rstrip()
        return f"{', '.join(results)} = {text}" if results else text

    def _field(self, letter: str, opcode: Opcode) -> Any:
        if letter == "c" and opcode.mnemonic.endswith(".f32"):
            return self._take("f")
        if letter not in _FIELDS:
            raise BenchError(f"firmware/runtime/opcodes.def uses the field '{letter}', which the disassembler lacks.")
        return _FIELDS[letter](self)

    def _string(self) -> bytes:
        return self._bytes(self._take("H"))

    def _cases(self) -> tuple[tuple[int, Moves], ...]:
        return tuple((self._take("I"), self._remaps()) for _ in range(self._take("H")))

    def _remaps(self) -> Moves:
        pairs = self._list("HH")
        return tuple(zip(pairs[::2], pairs[1::2], strict=True))

    def _list(self, layout: str = "H") -> tuple[int, ...]:
        """An aligned u16 count, then so many elements."""
        self.at += self.at % 2
        count = self._take("H")
        return struct.unpack(f"<{layout * count}", self._bytes(count * struct.calcsize("<" + layout)))

    def _take(self, layout: str) -> Any:
        (value,) = struct.unpack("<" + layout, self._bytes(struct.calcsize("<" + layout)))
        return value

    def _bytes(self, count: int) -> bytes:
        data = self.code.slice(self.at, count)
        self.at += count
        return data


# How each letter of an encoding is read; opcodes.def says what they are.
_FIELDS: dict[str, Callable[[_Decoder], Any]] = {
    **dict.fromkeys("iIfFrRmlL", lambda decoder: decoder._take("H")),
    **dict.fromkeys("ghGtdnb", lambda decoder: decoder._take("I")),
    **dict.fromkeys("azxvuwk", _Decoder._list),
    "c": lambda decoder: decoder._take("i"),
    "C": lambda decoder: decoder._take("q"),
    "s": _Decoder._string,
    "p": _Decoder._remaps,
    "T": _Decoder._cases,
}


def _register(register: int) -> str:
    if not register & REF:
        return f"i{register}"
    return f"{'move ' if register & MOVE else ''}r{register & INDEX}"


def _pair(register: int) -> str:
    return f"i{register}:{register + 1}"


def _registers(registers: tuple[int, ...]) -> str:
    return ", ".join(map(_register, registers))


def _moves(pairs: Moves) -> str:
    moves = [f"{_register(target)} = {_register(source)}" for source, target in pairs]
    return f"({', '.join(moves)})" if moves else ""


# How each letter is shown.
_SHOWN: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys("iIfFrRm", _register),
    **dict.fromkeys("lL", _pair),
    **dict.fromkeys("azx", _registers),
    **dict.fromkeys("vu", lambda registers: f"[{_registers(registers)}]"),
    **dict.fromkeys("gh", lambda offset: f"global[{offset}]"),
    "w": lambda registers: f"[{', '.join(map(_pair, registers))}]",
    "G": lambda ordinal: f"global_ref[{ordinal}]",
    "t": lambda ordinal: f"type {ordinal}",
    "d": lambda ordinal: f"constant {ordinal}",
    "c": lambda value: f"{value:.9g}" if isinstance(value, float) else str(value),
    "C": str,
    "s": lambda text: '"' + text.decode("utf-8", "backslashreplace") + '"',
    "b": lambda target: f"L{target}",
    "p": _moves,
    "T": lambda cases: f"[{', '.join(f'L{target} {_moves(pairs)}'.strip() for target, pairs in cases)}]",
    "k": lambda sizes: f"segments [{' '.join('-' if size == _FIXED_SEGMENT else str(size) for size in sizes)}]",
}


def main(arguments: list[str] | None = None) -> int:
    """``python -m springbok.modules.disassembler FILE``: prints the module."""
    parser = argparse.ArgumentParser(
        prog="python -m springbok.modules.disassembler", description=__doc__.split("\n")[0]
    )
    parser.add_argument("file", type=Path, help="VMFB file")
    path = parser.parse_args(arguments).file
    try:
        sys.stdout.write(disassemble(path.read_bytes(), path.name).text())
    except (BenchError, OSError) as error:
        sys.stderr.write(f"springbok-bench: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
