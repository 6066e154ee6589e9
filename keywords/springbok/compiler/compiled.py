# SPDX-License-Identifier: Apache-2.0
"""What a compiled model is: the core it was made for, its kernels, and all that is known about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from springbok.chips.chip import Chip
from springbok.chips.description import load
from springbok.compiler import optimizer
from springbok.compiler.importers.selection import WHOLE_FILE, Selection
from springbok.compiler.judgement import Judgement, Tolerance
from springbok.compiler.optimizer import Change, Plan
from springbok.support.errors import CompileError
from springbok.tensors import TensorSpec

#: Extensions that LLVM makes use of in kernels, as far as the runtime loads them: no compressed code.
FEATURES = ("m", "zmmul", "a", "f", "d", "zba", "zbb", "zbs")
VECTOR_FEATURES = {"zve32f": ("zve32x", "zve32f")}
LEAST_VLEN = 128  # for kernels without vectors it says nothing


@dataclass(frozen=True)
class Target:
    """The core that code is made for: a chip's, with vectors of ``vlen`` bits or without any.

    >>> Target().variant
    'vector'
    """

    vlen: int = 512
    vectors: bool = True
    chip: Chip = field(default_factory=load, repr=False)

    def __post_init__(self) -> None:
        if self.vectors and self.chip.vector_extension is None:
            raise CompileError(f"{self.chip.title} has no vectors: compile for it without (variant=scalar).")
        if not (32 <= self.vlen <= 65536 and self.vlen & (self.vlen - 1) == 0):
            raise CompileError(f"VLEN must be a power of two from 32 to 65536 bits, not {self.vlen}.")

    @classmethod
    def of(cls, variant: str = "vector", vlen: int | None = None, chip: Chip | None = None) -> Target:
        """A chip's core (by default the run's) as it is built, or with vectors of ``vlen`` bits.

        ``variant`` is ``vector`` or ``scalar``.
        """
        if variant not in ("vector", "scalar"):
            raise CompileError(f"There is no variant '{variant}' of the code: use 'vector' or 'scalar'.")
        chip = chip or load()
        return cls(vlen=vlen or chip.vlen or LEAST_VLEN, vectors=variant == "vector", chip=chip)

    @property
    def variant(self) -> str:
        """``vector`` or ``scalar``."""
        return "vector" if self.vectors else "scalar"

    @property
    def flags(self) -> dict[str, str]:
        """The flags of `iree-compile` that describe this core.

        LLVM makes vector code only if it is told a VLEN: without ``+zvl…b``, ``+zve32f`` alone has no effect.
        """
        chip = self.chip
        features = [each for each in chip.extensions if each in FEATURES]
        if self.vectors:
            features += [f"zvl{self.vlen}b", *VECTOR_FEATURES.get(chip.vector_extension, (chip.vector_extension,))]
        return {
            "--iree-llvmcpu-target-triple": f"riscv{chip.xlen}-unknown-unknown-eabi-elf",
            "--iree-llvmcpu-target-abi": chip.abi,
            "--iree-llvmcpu-target-cpu": f"generic-rv{chip.xlen}",
            "--iree-llvmcpu-target-cpu-features": ",".join(f"+{each}" for each in features),
            "--iree-llvmcpu-debug-symbols": "false",
        }


@dataclass(frozen=True)
class Dispatch:
    """A kernel of the module: its ordinal, its name, and the layers of the model that it was made from.

    ``layers`` is empty when the model file names none.
    """

    ordinal: int
    name: str
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probes:
    """What a module is checked with, and the framework's answers: an array an input or output, samples first."""

    inputs: tuple[np.ndarray, ...]
    expected: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class CompiledModel:
    """A module for the chip and what is known about it.

    Sizes are in bytes, times in seconds (of the run that did the work). ``kernel_text_bytes`` and
    ``kernel_rodata_bytes`` are sections of the kernels' ELF; the weights lie in the latter. ``vlen_bits`` is what
    the kernels were built for, 0 if without vectors. ``plan`` is what the optimizer was to do, and ``changes`` what it
    did at each place. ``cached`` tells that nothing had to be compiled. ``selection`` is what was
    compiled of the file. ``remark`` is a sentence about why the module may differ from the framework, if the model is
    of such a kind; ``tolerance`` is how far it may. ``judged_by`` says who answered in the framework's place.
    """

    name: str
    variant: str
    format: str
    source: Path
    source_sha256: str
    mlir: Path
    vmfb: Path
    vmfb_bytes: int
    vmfb_sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    entry: str
    compiler_version: str
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    dispatches: tuple[Dispatch, ...]
    kernel_text_bytes: int
    kernel_rodata_bytes: int
    vector_instructions: int
    vlen_bits: int
    import_seconds: float
    compile_seconds: float
    plan: Plan
    changes: tuple[Change, ...]
    cached: bool
    selection: Selection = WHOLE_FILE
    remark: str = ""
    judged_by: str = ""
    tolerance: Tolerance = field(default=Tolerance(), compare=False)
    host_check: Judgement | None = field(default=None, compare=False)
    probes: Probes | None = field(default=None, compare=False, repr=False)

    @property
    def has_vector_instructions(self) -> bool:
        """Whether the kernels hold any instruction of the vector extension."""
        return self.vector_instructions > 0

    def layers(self, dispatch: str) -> tuple[str, ...]:
        """The layers of the model that the kernel named ``dispatch`` was made from."""
        return next((known.layers for known in self.dispatches if known.name == dispatch), ())

    def __str__(self) -> str:
        return f"{self.name} ({self.variant})"

    def describe(self) -> str:
        """A few lines for a log."""
        judge = f", as judged by {self.judged_by}" if self.judged_by else ""
        vectors = f"{self.vector_instructions} vector instructions for VLEN {self.vlen_bits}"
        lines = [
            f"{self.name} ({self.variant}) from {self.source.name}: {self.vmfb_bytes} bytes, "
            f"sha256 {self.vmfb_sha256[:16]}…, iree-compile {self.compiler_version}",
            f"inputs {', '.join(map(str, self.inputs))}; outputs {', '.join(map(str, self.outputs))}",
            f"kernels: {len(self.dispatches)}, {self.kernel_text_bytes} bytes of code, "
            f"{self.kernel_rodata_bytes} of constants, {vectors if self.vector_instructions else 'no vectors'}",
            f"import {self.import_seconds:.1f} s, compilation {self.compile_seconds:.1f} s"
            + (" (earlier: taken from the cache)" if self.cached else ""),
            optimizer.describe(self.plan, self.changes),
            *([f"checked on this machine: {self.host_check.describe()}{judge}"] if self.host_check else []),
            *self.notes,
        ]
        return "\n".join(lines)
