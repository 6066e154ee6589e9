# SPDX-License-Identifier: Apache-2.0
"""What a model takes of a chip's memories, against the sizes of what ran: for `springbok.measuring.consistency`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from springbok.measuring.derived import shown

_Found = Iterator[tuple[str, str]]
#: What of `fit` a module is made of, and what is no room for models; an instruction's bytes, and a compressed one's.
_OF_MODULE = ("kernels' code", "weights", "program")
_NOT_OF_MODELS = ("runtime's constants", "runtime's variables", "stack", "room for inputs and outputs")
_INSTRUCTION, _LEAST_INSTRUCTION = 4, 2
#: Bytes that a scalar load moves at most.
_WIDEST_LOAD = 8


def wrong_memory(model: Mapping[str, Any], firmware: Mapping[str, Any], vlen: int | None) -> _Found:
    """Places of ``model``, and a sentence on each, that can't be of what it took of the chip that it ran on.

    ``firmware`` is the entry of what ran it; ``vlen`` the bits of a vector register. Either may lack anything.
    """
    yield from _sizes(model)
    yield from _accesses_over_time(model)
    functions = len(model.get("runtime_functions") or ())
    text = firmware.get("text_bytes")
    if text is not None and text < functions * _LEAST_INSTRUCTION:
        yield "/platform/firmware/text_bytes", f"{_count(text)} of {functions} functions that were executed"
    memories = model.get("fit", ())
    parts = {name: count for memory in memories for name, count in memory["parts"].items() if count is not None}
    for told, name, place in (
        (text, "runtime's code", "platform/firmware/text_bytes"),
        (firmware.get("rodata_bytes"), "runtime's constants", "platform/firmware/rodata_bytes"),
        (firmware.get("bss_bytes"), "runtime's variables", "platform/firmware/bss_bytes"),
        (model.get("kernel_text_bytes"), "kernels' code", "kernel_text_bytes"),
    ):
        if told is not None and parts.get(name, told) != told:
            yield f"/{place}", f"{_count(told)}, but {_count(parts[name])} of them are in the chip's memories"
    module = model.get("vmfb_bytes")
    if module is not None and parts.keys() >= {*_OF_MODULE}:
        if (found := sum(parts[name] for name in _OF_MODULE)) != module:
            yield "/vmfb_bytes", f"{_count(module)}, but its parts in the chip's memories come to {_count(found)}"
        if (weights := model.get("kernel_rodata_bytes")) is not None and weights > parts["weights"]:
            yield "/kernel_rodata_bytes", f"{_count(weights)} of {_count(parts['weights'])} bytes of weights"
    peak, load = model.get("memory_peak_bytes"), model.get("load_instructions")
    rooms = [memory["bytes"] - sum(memory["parts"].get(name) or 0 for name in _NOT_OF_MODELS) for memory in memories]
    is_too_small = any(memory["free_bytes"] < 0 for memory in memories)  # then it ran in another one
    if rooms and not is_too_small and peak is not None and peak > max(rooms):
        yield "/memory_peak_bytes", f"{_count(peak)} of {_count(max(rooms))} that a memory has for models"
    # Loading looks each kernel up, and reads the program, a group of registers at a time at most.
    least = max(len(model.get("dispatches", ())), math.ceil(parts.get("program", 0) / max(vlen or 0, _WIDEST_LOAD)))
    if load is not None and load < least:
        yield "/load_instructions", f"{_count(load)} for a program that takes {_count(least)} at least"


def _count(value: float) -> str:
    return shown(value, "count")


def _sizes(model: Mapping[str, Any]) -> _Found:
    module, kernels = model.get("vmfb_bytes"), [model.get(f"kernel_{part}_bytes") for part in ("text", "rodata")]
    if module is not None and None not in kernels and sum(kernels) > module:
        yield "/vmfb_bytes", f"{_count(module)}, and {_count(sum(kernels))} of kernels in it"
    peak = model.get("memory_peak_bytes")
    if module is not None and peak is not None and module > peak:
        yield "/vmfb_bytes", f"{_count(module)} in a memory that had {_count(peak)} in use at most"
    for number, memory in enumerate(model.get("fit", ())):
        used = sum(count or 0 for count in memory["parts"].values())
        if used + memory["free_bytes"] != memory["bytes"]:
            yield (
                f"/fit/{number}",
                f"{_count(used)} bytes used, {_count(memory['free_bytes'])} free of {_count(memory['bytes'])}",
            )
    stacks = [memory["parts"]["stack"] for memory in model.get("fit", ()) if memory["parts"].get("stack")]
    deepest = model.get("stack_peak_bytes")
    if (
        deepest is not None
        and not deepest
        and any(sum((each.get("stack") or {}).values()) for each in model.get("dispatches", ()))
    ):
        yield "/stack_peak_bytes", "none, but kernels load from the stack and store to it"
    kinds = {name for each in model.get("dispatches", ()) for name in each.get("opcodes") or ()}
    # Of what a kernel executes, vector instructions are its own, and never compressed.
    least = _INSTRUCTION * sum(each.startswith("v") for each in kinds) or (_LEAST_INSTRUCTION if kinds else 0)
    text = model.get("kernel_text_bytes")
    if text is not None and text < least:
        yield "/kernel_text_bytes", f"{_count(text)}, and what kernels execute takes {_count(least)} at least"
    if stacks and deepest is not None and deepest > max(stacks):
        yield "/stack_peak_bytes", f"{_count(deepest)} of a stack of {_count(max(stacks))}"


def _accesses_over_time(model: Mapping[str, Any]) -> _Found:
    accesses = model.get("accesses_over_time")
    if accesses:
        slices = accesses["seconds"]
        if any(len(each) != len(slices) for each in accesses["accesses"].values()):
            yield "/accesses_over_time", "its lists are not of one length"
        if any(later < earlier for earlier, later in zip(slices, slices[1:], strict=False)):
            yield "/accesses_over_time/seconds", "its slices are not in order"
