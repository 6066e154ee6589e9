# SPDX-License-Identifier: Apache-2.0
"""One sentence on what a core does, for the error message of somebody who waited for it in vain."""

from __future__ import annotations

from springbok.chips.chip import CAUSES
from springbok.engines.elf import Executable

HANDLER_BYTES = 256
USER_CALL = 8  # how each kernel's call ends: no trap to speak of


def describe(samples: list[dict], executable: Executable) -> str:  # noqa: PLR0911
    """Make one sentence of a few looks at the core, the last of which is the newest.

    A look holds ``registers``, ``instructions`` (executed so far), ``paused``, ``host_request``, ``halted`` (by the
    Control register), ``exit_code`` (of ``finish``, or None), ``faults`` (interrupts raised), and where an engine
    knows them ``waits_for_interrupt``, ``idle_turns`` (turns spent waiting for the UART), ``place`` and ``first_trap``
    (``mcause``, ``mepc`` and ``mtval`` of the first of those that follow one another with no instruction in between).
    """
    first, last = samples[0], samples[-1]
    registers = last["registers"]
    where = f"pc {executable.describe(registers['pc'])}"
    cause = registers["mcause"]
    trap = _trap(registers, executable)
    if last["exit_code"] is not None:
        if last["faults"]:
            return f"The core trapped: {trap}; its program then finished with code {last['exit_code']}."
        return f"The core finished with code {last['exit_code']} at {where}."
    if last["paused"]:
        return f"The core is paused at {where}."
    if last["host_request"]:
        return f"The core requested the host and is halted at {where}; resume lets it go on."
    if last["halted"]:
        return f"The core is halted by its Control register at {where}."
    advanced = last["instructions"] - first["instructions"]
    if all(sample.get("waits_for_interrupt") for sample in samples):
        return f"The core waits for an interrupt at {where}."
    if advanced == 0:
        began = _trap(last.get("first_trap") or registers, executable)
        again = f"then at its trap handler 0x{registers['mtvec'] & ~3:x}: {trap}; " if began != trap else ""
        return f"The core trapped: {began}; {again}it traps again at every instruction."
    if last.get("idle_turns", 0) > first.get("idle_turns", 0):
        return f"The core is waiting for the UART at {where}."
    has_trapped = (registers["mepc"] or cause) and cause != USER_CALL
    handler = registers["mtvec"] & ~3
    if has_trapped and all(0 <= sample["registers"]["pc"] - handler < HANDLER_BYTES for sample in samples):
        return f"The core trapped: {trap}; it stays in its trap handler at {where}."
    place = f" {last['place']}" if last.get("place") else ""
    return f"The core is running at {where}{place}." + (f" Its last trap: {trap}." if has_trapped else "")


def _trap(registers: dict, executable: Executable) -> str:
    cause = registers["mcause"]
    known = CAUSES.get(cause, "interrupt" if cause >> 31 else "unknown cause")
    return f"mcause {cause} ({known}), mepc {executable.describe(registers['mepc'])}, mtval 0x{registers['mtval']:x}"
