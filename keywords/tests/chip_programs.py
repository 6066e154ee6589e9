# SPDX-License-Identifier: Apache-2.0
"""A small RV32 assembler and ELF writer, so that engine tests need no compiler.

Example::

    p = Program()
    p.label("again").lw(T0, UART, 0x18).andi(T0, T0, 0x10).bne(T0, ZERO, "again")
    p.write_elf(path)
"""

from __future__ import annotations

import struct
from pathlib import Path

ZERO, RA, SP, GP, TP, T0, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5 = range(16)

IMEM, DMEM, UART_BASE, CONTROL_BASE, CLINT_BASE = 0x32000000, 0x34000000, 0x40000000, 0x47000000, 0x02000000
EM_RISCV = 243


class Program:
    """Machine code that starts at ``base``; every method appends and returns the program itself."""

    def __init__(self, base: int = IMEM) -> None:
        self.base = base
        self._words: list[int | tuple] = []
        self._labels: dict[str, int] = {}

    # ---- labels and layout

    @property
    def here(self) -> int:
        return self.base + 4 * len(self._words)

    def label(self, name: str) -> Program:
        assert name not in self._labels, name
        self._labels[name] = self.here
        return self

    def address(self, name: str) -> int:
        return self._labels[name]

    def word(self, value: int) -> Program:
        self._words.append(value & 0xFFFFFFFF)
        return self

    def code(self) -> bytes:
        words = []
        for index, entry in enumerate(self._words):
            if isinstance(entry, int):
                words.append(entry)
            else:
                encode, label = entry
                words.append(encode(self._labels[label] - (self.base + 4 * index)))
        return struct.pack(f"<{len(words)}I", *words)

    # ---- RV32I

    def _i(self, opcode: int, funct3: int, rd: int, rs1: int, imm: int) -> Program:
        return self.word((imm & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode)

    def addi(self, rd: int, rs1: int, imm: int) -> Program:
        return self._i(0x13, 0, rd, rs1, imm)

    def andi(self, rd: int, rs1: int, imm: int) -> Program:
        return self._i(0x13, 7, rd, rs1, imm)

    def nop(self, count: int = 1) -> Program:
        for _ in range(count):
            self.addi(ZERO, ZERO, 0)
        return self

    def add(self, rd: int, rs1: int, rs2: int) -> Program:
        return self.word(rs2 << 20 | rs1 << 15 | rd << 7 | 0x33)

    def lui(self, rd: int, value: int) -> Program:
        return self.word(value & 0xFFFFF000 | rd << 7 | 0x37)

    def li(self, rd: int, value: int) -> Program:
        """Always two instructions (lui, addi), so that sizes do not depend on the value."""
        low = (value & 0xFFF) - ((value & 0x800) << 1)
        return self.lui(rd, value - low).addi(rd, rd, low)

    def la(self, rd: int, label: str) -> Program:
        self._words.append((lambda offset, rd=rd: (offset + 0x800) & 0xFFFFF000 | rd << 7 | 0x17, label))
        self._words.append((lambda offset, rd=rd: ((offset + 4) & 0xFFF) << 20 | rd << 15 | rd << 7 | 0x13, label))
        return self

    def lw(self, rd: int, rs1: int, offset: int = 0) -> Program:
        return self._i(0x03, 2, rd, rs1, offset)

    def lbu(self, rd: int, rs1: int, offset: int = 0) -> Program:
        return self._i(0x03, 4, rd, rs1, offset)

    def sw(self, rs2: int, rs1: int, offset: int = 0) -> Program:
        return self.word((offset & 0xFE0) << 20 | rs2 << 20 | rs1 << 15 | 2 << 12 | (offset & 0x1F) << 7 | 0x23)

    def _branch(self, funct3: int, rs1: int, rs2: int, name: str) -> Program:
        def encode(offset: int) -> int:
            imm = (offset & 0x1000) << 19 | (offset & 0x7E0) << 20 | (offset & 0x1E) << 7 | (offset & 0x800) >> 4
            return imm | rs2 << 20 | rs1 << 15 | funct3 << 12 | 0x63

        self._words.append((encode, name))
        return self

    def beq(self, rs1: int, rs2: int, name: str) -> Program:
        return self._branch(0, rs1, rs2, name)

    def bne(self, rs1: int, rs2: int, name: str) -> Program:
        return self._branch(1, rs1, rs2, name)

    def bltu(self, rs1: int, rs2: int, name: str) -> Program:
        return self._branch(6, rs1, rs2, name)

    def j(self, name: str, rd: int = ZERO) -> Program:
        def encode(offset: int) -> int:
            imm = (offset & 0x100000) << 11 | (offset & 0x7FE) << 20 | (offset & 0x800) << 9 | offset & 0xFF000
            return imm | rd << 7 | 0x6F

        self._words.append((encode, name))
        return self

    def jalr(self, rd: int, rs1: int, offset: int = 0) -> Program:
        return self._i(0x67, 0, rd, rs1, offset)

    def csrr(self, rd: int, csr: int) -> Program:
        return self._i(0x73, 2, rd, ZERO, csr)

    def csrw(self, csr: int, rs1: int) -> Program:
        return self._i(0x73, 1, ZERO, rs1, csr)

    def csrs(self, csr: int, rs1: int) -> Program:
        return self._i(0x73, 2, ZERO, rs1, csr)

    def ecall(self) -> Program:
        return self.word(0x00000073)

    def mret(self) -> Program:
        return self.word(0x30200073)

    def wfi(self) -> Program:
        return self.word(0x10500073)

    def fence_i(self) -> Program:
        return self.word(0x0000100F)

    # ---- vectors

    def vectors_on(self) -> Program:
        """Set mstatus.FS and mstatus.VS."""
        return self.li(T0, 0x2200).csrs(0x300, T0)

    def vsetvli(self, rd: int, rs1: int, vtype: int) -> Program:
        return self.word(vtype << 20 | rs1 << 15 | 7 << 12 | rd << 7 | 0x57)

    def vle8(self, vd: int, rs1: int) -> Program:
        return self.word(1 << 25 | rs1 << 15 | vd << 7 | 0x07)

    def vse8(self, vs3: int, rs1: int) -> Program:
        return self.word(1 << 25 | rs1 << 15 | vs3 << 7 | 0x27)

    def vadd_vv(self, vd: int, vs2: int, vs1: int) -> Program:
        return self.word(1 << 25 | vs2 << 20 | vs1 << 15 | vd << 7 | 0x57)

    # ---- custom-3

    def custom3(self, funct3: int, rd: int = ZERO, rs1: int = ZERO, rs2: int = ZERO) -> Program:
        return self.word(rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x7B)

    def mark(self, event: int, value: int | None = 0) -> Program:
        """Five instructions: the event into A4, the value into A5 (kept as it is when None), the mark."""
        self.li(A4, event)
        if value is not None:
            self.li(A5, value)
        return self.custom3(4, ZERO, A4, A5)

    # ---- common pieces

    def uart_on(self, register: int = S0) -> Program:
        """Base address into ``register``; 8-bit words, UART with transmitter and receiver on."""
        self.li(register, UART_BASE)
        return self.li(T0, 0x70).sw(T0, register, 0x2C).li(T0, 0x301).sw(T0, register, 0x30)

    def getc(self, rd: int, register: int = S0) -> Program:
        name = f"getc_{self.here:x}"
        self.label(name).lw(T0, register, 0x18).andi(T0, T0, 0x10).bne(T0, ZERO, name)
        return self.lw(rd, register, 0)

    def putc(self, rs: int, register: int = S0) -> Program:
        name = f"putc_{self.here:x}"
        self.label(name).lw(T0, register, 0x18).andi(T0, T0, 0x20).bne(T0, ZERO, name)
        return self.sw(rs, register, 0)

    def send(self, text: bytes) -> Program:
        for byte in text:
            self.li(A0, byte).putc(A0)
        return self

    # ---- ELF

    def elf(
        self,
        *,
        machine: int = EM_RISCV,
        elf_class: int = 1,
        data: dict[int, bytes] | None = None,
        symbols: list[str] | None = None,
    ) -> bytes:
        """An ELF executable: the code at ``base``, further segments as ``{address: bytes}``, labels as functions."""
        segments = [(self.base, self.code()), *(data or {}).items()]
        offset = 52 + 32 * len(segments)
        headers, body = b"", b""
        for address, content in segments:
            padded = content + b"\0" * (-len(content) % 4)
            headers += struct.pack("<8I", 1, offset + len(body), address, address, len(content), len(content), 7, 4)
            body += padded
        sections = b""
        if symbols:
            sections, extra = self._symbol_sections(symbols, offset + len(body))
            body += extra
        ident = b"\x7fELF" + bytes([elf_class, 1, 1]) + bytes(9)
        section_count = len(sections) // 40
        section_offset = offset + len(body) if sections else 0
        fields = (2, machine, 1, self.base, 52, section_offset, 0, 52, 32, len(segments), 40, section_count, 0)
        return ident + struct.pack("<HHIIIIIHHHHHH", *fields) + headers + body + sections

    def _symbol_sections(self, symbols: list[str], offset: int) -> tuple[bytes, bytes]:
        """Section headers (none, symbols, strings) and the content of the last two, which starts at ``offset``."""
        strings, table = b"\0", bytes(16)
        for name in symbols:
            table += struct.pack("<IIIBBH", len(strings), self._labels[name], 0, 0x12, 0, 1)
            strings += name.encode() + b"\0"
        strings += b"\0" * (-len(strings) % 4)
        headers = bytes(40)
        headers += struct.pack("<10I", 0, 2, 0, 0, offset, len(table), 2, 1, 4, 16)
        headers += struct.pack("<10I", 0, 3, 0, 0, offset + len(table), len(strings), 0, 0, 1, 0)
        return headers, table + strings

    def write_elf(self, path: Path, **options) -> Path:
        path.write_bytes(self.elf(**options))
        return path
