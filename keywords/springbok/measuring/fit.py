# SPDX-License-Identifier: Apache-2.0
"""Does a model fit a chip? Bytes by memory: what takes them, and what is free or missing. No chip is run.

Example::

    found = fit(compile_model("m.tflite", Target.of(chip=chip)), chip)
    print(found.describe())     # ds_cnn_int8 fits Coral NPU highmem: itcm 942,464 bytes free, dtcm 758,592.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from springbok.chips.chip import KERNELS, Chip
from springbok.chips.sources import message_rooms, stack_bytes
from springbok.compiler import buffers
from springbok.compiler.compiled import CompiledModel
from springbok.firmware import Firmware, FirmwareTooLarge, build_firmware
from springbok.modules.vmfb import read_vmfb

_ROOMY_BYTES = 0x100_0000
#: For what the runtime keeps of a model: its functions, kernels, buffers. The project's models take 7 to 10 KB.
_TABLES_BYTES = 0x3000


@dataclass(frozen=True)
class MemoryUse:
    """A memory of the chip; ``parts`` are bytes by what takes them, None for what only a run tells."""

    name: str
    bytes: int
    parts: dict[str, int | None]

    @property
    def free_bytes(self) -> int:
        """What is left; below 0 is what is missing."""
        return self.bytes - sum(count or 0 for count in self.parts.values())


@dataclass(frozen=True)
class Fit:
    """What a model takes of a chip's memories. ``chip`` is its title."""

    model: str
    chip: str
    memories: tuple[MemoryUse, ...]

    @property
    def missing(self) -> tuple[MemoryUse, ...]:
        """The memories that have too little."""
        return tuple(memory for memory in self.memories if memory.free_bytes < 0)

    @property
    def fits(self) -> bool:
        """Whether every memory has room for what it must hold."""
        return not self.missing

    def describe(self) -> str:
        """A sentence that says what is free, or what is missing and what takes most of it."""
        if self.fits:
            free = ", ".join(f"{memory.name} {memory.free_bytes:,}" for memory in self.memories)
            return f"{self.model} fits {self.chip}: bytes free: {free}."
        return f"{self.model} does NOT fit {self.chip}: {'; '.join(map(_lack, self.missing))}."

    def as_json(self) -> list[dict[str, Any]]:
        """The memories, for ``metrics.json``."""
        return [
            {"name": each.name, "bytes": each.bytes, "parts": each.parts, "free_bytes": each.free_bytes}
            for each in self.memories
        ]


def fit(model: CompiledModel, chip: Chip, firmware: Firmware | None = None) -> Fit:
    """What ``model`` takes of the memories of ``chip``, beside the runtime: ``firmware``, by default the project's."""
    runtime = _of_runtime(chip, firmware or runtime_of(chip))
    return Fit(model.name, chip.title, _memories(chip, runtime, _of_model(model, chip)))


def runtime_fit(chip: Chip) -> Fit:
    """What the runtime alone takes."""
    return Fit("the runtime", chip.title, _memories(chip, _of_runtime(chip, runtime_of(chip))))


def runtime_of(chip: Chip) -> Firmware:
    """The chip's firmware, for its sizes; where it does not fit, that of a chip that is the same with more memory."""
    try:
        return build_firmware(chip=chip)
    except FirmwareTooLarge:
        return build_firmware(chip=_roomy(chip))


def _roomy(chip: Chip) -> Chip:
    """The chip with memories of 16 MiB, and the first instruction at its code's begin."""
    memories = tuple(
        replace(memory, base=(number + 1) * 2 * _ROOMY_BYTES, bytes=_ROOMY_BYTES)
        for number, memory in enumerate(chip.memories)
    )
    roomy = replace(chip, name=f"{chip.name}_roomy", memories=memories)
    return replace(roomy, start=roomy.holding("code").base)


def _of_runtime(chip: Chip, firmware: Firmware) -> dict[str, dict[str, int | None]]:
    """Bytes by what takes them, for each content of memories."""
    code = chip.holding("code")
    below = chip.start - code.base if code.base <= chip.start < code.end else 0
    return {
        "code": {"runtime's code": firmware.text_bytes, **({"below the first instruction": below} if below else {})},
        "data": {
            "runtime's constants": firmware.rodata_bytes,
            "runtime's variables": firmware.bss_bytes,
            "stack": stack_bytes(chip),
        },
        "models": {"room for inputs and outputs": sum(message_rooms(chip))},
    }


def _of_model(model: CompiledModel, chip: Chip) -> dict[str, dict[str, int | None]]:
    content = model.vmfb.read_bytes()
    found = read_vmfb(content, model.name, model.entry)
    code = sum(each.text_bytes for each in found.kernels)
    in_kernels = sum(each.rodata_bytes for each in found.kernels)
    elves = sum(each.elf_bytes for each in found.kernels)
    image = sum(each.image_bytes for each in found.kernels)
    constants = max(sum(found.rodata_bytes) - elves, 0)
    module: dict[str, int | None] = {
        "kernels' code": code,
        "weights": in_kernels + constants,
        "program": len(content) - code - in_kernels - constants,
        "room to load the kernels": max(image - elves, 0),
        "tensors": buffers.allocated_bytes(content),
        "runtime's tables (allowance)": _TABLES_BYTES,
    }
    return {"models": module, **({KERNELS: {"kernels and their weights": image}} if chip.has_kernels_apart else {})}


def _memories(chip: Chip, *needs: dict[str, dict[str, int | None]]) -> tuple[MemoryUse, ...]:
    """The memories that hold something."""
    uses = []
    for memory in chip.memories:
        held = [each.get(content, {}) for content in memory.holds for each in needs]
        parts = {name: count for each in held for name, count in each.items()}
        if parts:
            uses.append(MemoryUse(memory.name, memory.bytes, parts))
    return tuple(uses)


def _lack(memory: MemoryUse) -> str:
    takes = ", ".join(f"{name} {count:,}" for name, count in memory.parts.items() if count)
    return f"{memory.name} lacks {-memory.free_bytes:,} of {memory.bytes:,} bytes ({takes})"
