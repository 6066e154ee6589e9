# SPDX-License-Identifier: Apache-2.0
"""A chip as everything here knows it: core, memories, devices, own instructions. It is read from a description.

>>> chip = load("springbok")
>>> chip.isa(512)
'rv32imf_zicsr_zicntr_zifencei_zve32f_zvl512b'
"""

from __future__ import annotations

import importlib.util
import re
import traceback
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from springbok.support.errors import EngineError
from springbok.support.places import PLATFORMS, told_path

DEFAULT = "springbok"

# Of a trap, by mcause; the RISC-V privileged specification names them.
CAUSES = {
    0: "instruction address misaligned",
    1: "instruction access fault",
    2: "illegal instruction",
    3: "breakpoint",
    4: "load address misaligned",
    5: "load access fault",
    6: "store address misaligned",
    7: "store access fault",
    8: "environment call",
    11: "environment call",
}

# The simulator's package, exactly: a few offsets into its objects hold for this build alone.
SPIKE_VERSION = "0.0.5.dev20"

#: What a memory holds, one each: the firmware's code; its data and stack; models and all that they need.
CONTENTS = ("code", "data", "models")
#: What one may hold besides: the kernels of models, where data is not executed.
KERNELS = "kernels"
_VECTOR = re.compile(r"v|zve\d+[xfd]")


@dataclass(frozen=True)
class Memory:
    """A memory. ``access`` is what the core may do there: of ``r``, ``w``, ``x``.

    ``holds`` is of `CONTENTS` and `KERNELS`.
    """

    name: str
    base: int
    bytes: int
    access: str
    holds: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        """One past the last address."""
        return self.base + self.bytes


@dataclass(frozen=True)
class Device:
    """A device on the bus. ``kind`` is a folder of `springbok.devices`, or of the user's by its path; ``interrupt`` the
    line of the core that it drives, as its number in mip, or None.
    """

    name: str
    kind: str
    base: int
    settings: dict[str, int] = field(default_factory=dict, hash=False)
    interrupt: int | None = None


@dataclass(frozen=True)
class Register:
    """A control and status register of the chip's own: it reads as ``value`` or as ``counter``, or it traps."""

    name: str
    address: int
    value: int = 0
    counter: str = ""
    absent: bool = False


@dataclass(frozen=True)
class Instruction:
    """An instruction beside the standard's, which a word is if ``word & mask == match``.

    ``does`` is what a simulator makes of it: ``mark`` (event in rs1, value in rs2), ``print``, ``counter``, ``host``,
    ``finish`` (code in rs1), ``halt``, ``nothing``; or ``model`` is a function (rs1, rs2, rd) -> rd, as
    ``module:function`` or ``file.py:function``. A ``privileged`` one is illegal in user mode. ``kernels`` is a function
    that says which parts of kernels it computes: see `springbok.compiler.optimizer.own_instructions`.
    """

    name: str
    match: int
    mask: int
    does: str = ""
    model: str = ""
    privileged: bool = False
    kernels: str = ""

    def is_(self, word: int) -> bool:
        """Whether a word is this instruction."""
        return word & self.mask == self.match


@dataclass(frozen=True)
class Defect:
    """A known defect: executed instructions that show it. What is not given matches everything.

    ``opcodes`` is a regular expression, ``vl``, ``sew`` and ``lmul`` are lists, ``lmul`` as in assembly (``m1``), and
    so is ``csr``: addresses of control and status registers, of instructions that read or write one.
    """

    name: str
    text: str
    opcodes: str
    report: str = ""
    vl: tuple[int, ...] = ()
    sew: tuple[int, ...] = ()
    lmul: tuple[str, ...] = ()
    csr: tuple[int, ...] = ()

    @property
    def asks_configuration(self) -> bool:
        """Whether it is of certain vector configurations alone: where these are not known, nor is it."""
        return bool(self.vl or self.sew or self.lmul)

    def shows_in(self, opcode: str, vl: int, sew: int, lmul: str, csr: int | None = None) -> bool:
        """Whether an executed instruction is one of those; ``csr`` is the register that it reads or writes, if any."""
        if not re.fullmatch(self.opcodes, opcode):
            return False
        given = ((self.vl, vl), (self.sew, sew), (self.lmul, lmul), (self.csr, csr))
        return all(not wanted or value in wanted for wanted, value in given)


@dataclass(frozen=True)
class Chip:
    """A chip. ``vlen`` is the bits of a vector register that it is built with, one of ``vlens``; 0 is no vector unit.

    ``base_isa`` is its ISA string without ``zvl…b``. ``start`` is the address of the first instruction. With
    ``user_mode`` and ``pmp_entries`` kernels are contained. With ``vectored`` every interrupt has an entry of its own
    in the trap vector, which is aligned to 256 bytes; with ``counters_stopped`` the firmware starts the core's
    counters; with ``software_interrupts`` it takes them in the middle of inferences, clears them and goes on.
    ``timing`` is the description of its pipeline: a name of ``platforms/timing/``, or a path. ``source`` is the file
    that this was read from.
    """

    name: str
    title: str
    base_isa: str
    abi: str
    vlen: int
    vlens: tuple[int, ...]
    start: int
    instructions_per_second: int
    memories: tuple[Memory, ...]
    devices: tuple[Device, ...]
    user_mode: bool = False
    pmp_entries: int = 0
    vectored: bool = False
    counters_stopped: bool = False
    software_interrupts: bool = False
    registers: tuple[Register, ...] = ()
    instructions: tuple[Instruction, ...] = ()
    defects: tuple[Defect, ...] = ()
    timing: str = ""
    source: Path | None = None

    @property
    def argument(self) -> str:
        """What ``--platform`` takes for this chip: its name, or where its description is.

        >>> load("springbok").argument                                                           # doctest: +SKIP
        'springbok'
        """
        if self.source is None or self.source == PLATFORMS / f"{self.name}.toml":
            return self.name
        return str(told_path(self.source))

    # The core

    @property
    def xlen(self) -> int:
        """Bits of an integer register."""
        return 64 if self.base_isa.startswith("rv64") else 32

    @cached_property
    def extensions(self) -> tuple[str, ...]:
        """Extensions of the ISA string, as they stand there: ``i``, ``m``, ``f``, ``zicsr`` …"""
        return extensions_of(self.base_isa)

    @property
    def vector_extension(self) -> str | None:
        """``v`` or ``zve…``; None for a core that never has vectors."""
        return next(filter(is_of_vectors, self.extensions), None)

    @property
    def elen(self) -> int:
        """Bits of the widest element of a vector; 0 on a core that never has vectors.

        >>> load("springbok").elen, load("rv64gcv").elen                                         # doctest: +SKIP
        (32, 64)
        """
        if self.vector_extension is None:
            return 0
        return 64 if self.vector_extension == "v" else int(re.search(r"\d+", self.vector_extension)[0])

    def isa(self, vlen: int | None = None) -> str:
        """The ISA string of a core with vector registers of ``vlen`` bits (0: without them; default: as built)."""
        vlen = self.vlen if vlen is None else vlen
        scalar = [each for each in self.extensions if not _VECTOR.fullmatch(each)]
        letters = "".join(each for each in scalar if len(each) == 1)
        vectors = [self.vector_extension, f"zvl{vlen}b"] if vlen else []
        if vlen and self.vector_extension == "v":
            letters, vectors = letters + "v", vectors[1:]
        return "_".join([f"rv{self.xlen}{letters}", *(each for each in scalar if len(each) > 1), *vectors])

    def has(self, extension: str) -> bool:
        """Whether the core has an extension."""
        return extension in self.extensions

    def check_vlen(self, vlen: int) -> None:
        """Raise EngineError for vector registers that the chip can't be built with."""
        if vlen not in (0, *self.vlens):
            known = ", ".join(map(str, (0, *self.vlens)))
            raise EngineError(
                f"VLEN {vlen} is not available on {self.title}: choose one of {known} (--vlen {self.vlen}, or "
                f"${{VLEN}} in a suite; where neither says one it is {self.vlen})."
            )

    # Memories, devices, instructions

    def holding(self, content: str) -> Memory:
        """The memory for ``code``, ``data``, ``models`` or ``kernels``, which are with the models unless said else."""
        found = next((memory for memory in self.memories if content in memory.holds), None)
        return found or self.holding("models")

    @property
    def has_kernels_apart(self) -> bool:
        """Whether the kernels of models lie in another memory than their data."""
        return self.holding(KERNELS) is not self.holding("models")

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """(base, bytes) of each memory."""
        return tuple((memory.base, memory.bytes) for memory in self.memories)

    def check_memory(self, address: int, count: int) -> None:
        """Raise EngineError unless the chip has memory at all of these addresses."""
        if not any(base <= address and count >= 0 and address + count <= base + size for base, size in self.ranges):
            where = ", ".join(f"0x{base:x} to 0x{base + size - 1:x}" for base, size in self.ranges)
            raise EngineError(f"The chip has no memory at 0x{address:x}, {count} bytes. Memories: {where}.")

    @property
    def contains(self) -> bool:
        """Whether its means suffice to let kernels write to nothing but their buffers."""
        return (
            self.user_mode
            and self.pmp_entries >= 8
            and all(self.holding(each) is self.holding("data") for each in ("models", KERNELS))
        )

    def doing(self, what: str) -> Instruction | None:
        """The instruction that does that in simulators, such as ``mark``; None if there is none."""
        return next((each for each in self.instructions if each.does == what), None)

    # Between processes

    def as_json(self) -> dict[str, Any]:
        """Everything, for another process."""
        return {**asdict(self), "source": str(self.source) if self.source else None}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Chip:
        """What `as_json` gave.

        >>> Chip.from_json(load("springbok").as_json()) == load("springbok")
        True
        """
        lists = {"memories": Memory, "devices": Device, "registers": Register, "instructions": Instruction}
        made: dict[str, Any] = {name: tuple(kind(**each) for each in content[name]) for name, kind in lists.items()}
        made["memories"] = tuple(Memory(**{**each, "holds": tuple(each["holds"])}) for each in content["memories"])
        made["defects"] = tuple(
            Defect(**{**each, **{name: tuple(each[name]) for name in ("vl", "sew", "lmul", "csr")}})
            for each in content["defects"]
        )
        made["source"] = Path(content["source"]) if content["source"] else None
        return cls(**{**content, "vlens": tuple(content["vlens"]), **made})


def extensions_of(isa: str) -> tuple[str, ...]:
    """Extensions of an ISA string, as they stand there.

    >>> extensions_of("rv32imc_zicsr")
    ('i', 'm', 'c', 'zicsr')
    """
    letters, *rest = isa[4:].split("_")
    if letters.startswith("g"):
        letters, rest = "imafd" + letters[1:], ["zicsr", "zifencei", *rest]
    single = re.match(r"[a-y]*", letters)[0]
    return (*single, *([letters[len(single) :]] if letters[len(single) :] else []), *rest)


def is_of_vectors(extension: str) -> bool:
    """Whether an extension gives a core vectors: ``v`` and ``zve…``."""
    return bool(_VECTOR.fullmatch(extension))


def abi_of(isa: str) -> str:
    """The calling convention of an ISA string: with floats in registers where it has such.

    >>> abi_of("rv32imf_zicsr")
    'ilp32f'
    """
    extensions = extensions_of(isa)
    return ("lp64" if isa.startswith("rv64") else "ilp32") + next((each for each in "df" if each in extensions), "")


def source_of(function: str) -> bytes:
    """The source of ``file.py:function``; empty for a function of a module."""
    path = Path(function.rpartition(":")[0])
    return path.read_bytes() if path.suffix == ".py" and path.is_file() else b""


def own_functions(chip: Chip) -> tuple[str | bytes, ...]:
    """What tells the models of a chip's instructions from others: their functions, and the files that these are in.

    >>> own_functions(load("springbok"))                                                         # doctest: +SKIP
    ('dot4', b'')
    """
    models = [each.model for each in chip.instructions if each.model]
    return tuple(part for each in models for part in (each.rpartition(":")[2], source_of(each)))


def place_of(error: BaseException) -> str:
    """Where a function of the chip's own raised it, as `` in ops.py, line 7 (mac)``; empty where it raised nothing."""
    package = Path(__file__).parents[1]
    frames = [each for each in traceback.extract_tb(error.__traceback__) if package not in Path(each.filename).parents]
    return f" in {frames[-1].filename}, line {frames[-1].lineno} ({frames[-1].name})" if frames else ""


def function_of(model: str) -> Any:
    """The function that an instruction's ``model`` names.

    >>> function_of("springbok.engines.dot4:dot4").__name__                                      # doctest: +SKIP
    'dot4'
    """
    file, _, name = model.rpartition(":")
    if file.endswith(".py"):
        specification = importlib.util.spec_from_file_location(f"springbok_instruction_{Path(file).stem}", file)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    else:
        module = importlib.import_module(file)
    return getattr(module, name)
