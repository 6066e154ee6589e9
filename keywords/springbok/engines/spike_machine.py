# SPDX-License-Identifier: Apache-2.0
"""The simulated chip itself: Spike, embedded, with the chip's devices around its core.

This is a program, started by `SpikeEngine` as a process of its own, because Spike allows one machine a process and
holds Python's interpreter lock while it runs. Its only argument is a JSON object (see `main`).

Spike's loop comes by every 5000 instructions (`turn`); requests that look at the core
are answered there, where its state is consistent. A core that does nothing but poll the UART sleeps in `poll` until a
byte or a request comes. With the helper in C++ (`spike_native`) most turns end there, and only those come to Python in
which something may have to be done.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from springbok import devices
from springbok.chips.chip import Chip
from springbok.devices.interface import Surroundings
from springbok.devices.springbok_control.model import CONTROL, Interrupt
from springbok.engines import spike_devices
from springbok.engines.machine import Machine, serve
from springbok.engines.serial_line import PtyLine, SocketLine
from springbok.engines.spike_core import MCYCLE, MIP_MSIP, MIP_MTIP, SpikeCore
from springbok.engines.spike_histogram import PcHistogram
from springbok.engines.spike_instructions import EXTENSION, OwnInstructions
from springbok.engines.spike_native import FIRST_TRAP, Clock, Helper, NativeDevice, NativeHistogram, NativeUart
from springbok.engines.windows import WindowCounter

# Spike's turn of a core between two ticks (sim_t::INTERLEAVE).
TURN_INSTRUCTIONS = 5000

# How often the outside is looked at while the core computes.
SERVE_INTERVAL_NS = 500_000

WFI = 0x10500073


class SpikeMachine(Machine):
    """Core, memories and devices on Spike.

    ``helper`` is the library in C++, or None.
    """

    def __init__(
        self,
        control: socket.socket,
        chip: Chip,
        vlen: int,
        counting: bool,
        sites: bool,
        parent: int,
        sensor: bool,
        protection: bool,
        watched: Sequence[tuple[int, int]],
        helper: Helper | None,
    ) -> None:
        super().__init__(control, parent, chip)
        self._mask = (1 << chip.xlen) - 1
        self._helper = helper
        self._clock = Clock(
            instructions_per_second=chip.instructions_per_second, serve_interval_ns=SERVE_INTERVAL_NS, attention=1
        )

        self._host_request = False
        self._exit_code: int | None = None
        self._mip_level = 0

        changes = (self._update_interrupts, self._start_core)
        surroundings = Surroundings(
            self.warnings, self._sleep_while_polling, self._clock.ticks, *changes, sensor=sensor, copy=self._copy_on_bus
        )
        if helper is not None:
            helper.surround(self._clock, surroundings, self.turn)
        self._connect(self._make_devices(surroundings), self._start_core)
        #: Devices in Python that want every turn.
        self._wants_turns = any(
            device is not None and not isinstance(device, NativeDevice) for device in (self.uart, self._clint)
        )
        self._watched = watched
        self._build(vlen, counting, sites, protection)

    def _make_devices(self, surroundings: Surroundings) -> dict[str, Any]:
        """Make the devices, in C++ where that is possible; those that serve something by what they serve."""
        self._devices: list[tuple[str, int, Any]] = []
        served = {}
        for device in self._chip.devices:
            kind = devices.find(device.kind)
            made = self._helper.device(kind, device.settings) if self._helper is not None else None
            made = made or kind.create(surroundings, device.settings)
            served[kind.serves] = made
            self._devices.append((device.name, device.base, made))
        return served

    def _build(self, vlen: int, counting: bool, sites: bool, protection: bool) -> None:
        helper = self._helper
        in_python = counting and helper is None
        self._instructions = OwnInstructions(self._chip, self.warnings, self, in_python and vlen > 0)
        self._instructions.register()
        plugins = []
        for name, base, model in self._devices:
            if not isinstance(model, NativeDevice):
                on_tick = self._tick if model is self.uart and helper is None else _nothing
                spike_devices.register(f"{EXTENSION}_{name}", model, on_tick)
                plugins.append((f"{EXTENSION}_{name}", (f"{base:x}",)))
        self._core = SpikeCore(self._chip, vlen, protection, EXTENSION, plugins, helper)
        histogram = None
        if counting and helper is None:
            histogram = PcHistogram(self._core, self._instructions.times_counted)
        elif counting:
            histogram = NativeHistogram(helper)
        read = self._core.read
        self._windows = WindowCounter(histogram, vlen, self._chip, sites, True, read) if counting else None
        self._instructions.connect(self._core, self._windows, histogram if in_python else None)
        if helper is None:
            return
        for _, base, model in self._devices:
            if isinstance(model, NativeDevice):
                helper.place(model, base)
        native = [each if isinstance(each, NativeDevice) else None for each in (self.uart, self._clint)]
        helper.take_turns(*native)
        helper.count(self._core.address, self._chip, self._windows.mark if self._windows else None, self._watched)

    def run(self, line: SocketLine | PtyLine) -> None:
        """Wait for the start, then run the core until the parent is gone. Does not return in good order."""
        self._line = line
        self._wait_while_halted()
        self._core.run()
        raise RuntimeError("the simulator ended by itself")

    # ---- What instructions do to the machine

    def on_host_request(self) -> None:
        """The core asks for a host and stands still until it is resumed."""
        self._host_request = True
        self._control_block.raise_interrupt(Interrupt.HOST_REQUEST)
        self._wait_while_halted()

    def on_finish(self, code: int) -> None:
        """The program says that it has ended: the core goes into reset."""
        self._exit_code = code
        self._control_block.hold_in_reset()
        self._control_block.raise_interrupt(Interrupt.FINISH)
        self._wait_while_halted()

    def on_halt(self) -> None:
        """The core goes into reset."""
        self._exit_code = 0
        self._control_block.hold_in_reset()
        self._wait_while_halted()

    # ---- Time, sleeping, being halted

    def _tick(self) -> None:
        """Called by Spike between two turns of the core, without the helper."""
        instructions = self._core.instructions
        executed, self._clock.instructions = instructions - self._clock.instructions, instructions
        self._note_first_trap(executed)
        self.turn(executed)

    def _note_first_trap(self, executed: int) -> None:
        """As machine.cpp has it."""
        clock = self._clock
        if executed:
            clock.trapped = 0
        registers = self._core.trap_registers()
        if not clock.trapped and self._core.state.pc & self._mask == registers.pop("mtvec") & ~3:
            clock.trapped = 1
            for name, value in registers.items():
                setattr(clock, name, value)

    def turn(self, executed: int) -> None:
        """Between two turns of the core; ``executed`` is the last one's instructions."""
        if self._wants_turns:
            self._update_interrupts()
            self.uart.polls -= self.uart.polls // 8  # as machine.cpp has it
        # A trap ends a turn early, and so does wfi, which does not wait by itself.
        stuck = executed == 0 or (executed < TURN_INSTRUCTIONS and self._waits_for_interrupt)
        if stuck and not self._halted and not self._interrupts_raised:
            self._clock.slept_ns += self._sleep_a_slice()
        elif self._request is not None or time.monotonic_ns() - self._clock.served_ns >= SERVE_INTERVAL_NS:
            self._serve(0)
        self._answer_requests()
        if self._halted:
            self._wait_while_halted()
        self._clock.attention = self._wants_turns

    @property
    def _waits_for_interrupt(self) -> bool:
        return self._core.instruction_at((self._core.state.pc - 4) & self._mask) == WFI

    @property
    def _interrupts_raised(self) -> int:
        return self._mip_level if self._helper is None else self._helper.interrupts()

    @property
    def _halted(self) -> bool:
        return self._paused or self._host_request or self._control_block.halted

    def _sleep_while_polling(self) -> None:
        """The core polls the UART, or the accelerometer, and nothing comes.

        A request that waits needs the core to go on to its next turn.
        """
        if self._request is None:
            self._clock.slept_ns += self._sleep_a_slice()

    def _update_interrupts(self) -> None:
        """Of a timer in Python; one in C++ sees to it itself."""
        clint = self._clint
        if clint is None or isinstance(clint, NativeDevice):
            return
        level = (MIP_MSIP if clint.software_interrupt else 0) | (MIP_MTIP if clint.timer_interrupt() else 0)
        if level != self._mip_level:
            self._mip_level = level
            self._core.set_interrupts(level)

    def _start_core(self, start: int | None) -> None:
        self._clock.attention = 1
        if start is not None:
            self._core.state.pc = self._chip.start + start

    # ---- The outside: UART line and requests

    def on_client(self, client: int, listener: int) -> None:
        """C++ serves the client of a UART that it has, as long as nothing else happens."""
        if isinstance(self.uart, NativeUart):
            self._helper.know_line(client, listener, self._channel.fileno())

    def _serve_line(self, ready: dict[int, int]) -> None:
        super()._serve_line(ready)
        self._clock.served_ns = time.monotonic_ns()

    def _next_request(self) -> None:
        super()._next_request()
        if self._request is not None:
            self._clock.attention = 1

    def _do_boot(self) -> None:
        self._core.release()
        self._control_block.write(CONTROL, 0)

    def _do_resume(self) -> None:
        super()._do_resume()
        self._host_request = False

    def _read(self, address: int, count: int) -> bytes:
        return self._core.read(address, count)

    def _write(self, address: int, content: bytes) -> None:
        self._core.write(address, content)

    def _copy_on_bus(self, source: int, destination: int, count: int) -> None:
        if self._core.in_memory(source, count) and self._core.in_memory(destination, count):
            self._core.write(destination, self._core.read(source, count))
        else:
            self.warnings(f"bus: no memory for a copy of {count} bytes from 0x{source:x} to 0x{destination:x}")

    def _do_counters(self) -> dict[str, int]:
        return {"instructions": self._core.instructions, "cycles": self._core.counter(MCYCLE)}

    def _do_seconds(self) -> float:
        return self._clock.ticks(1_000_000) / 1_000_000

    def _do_registers(self) -> dict[str, int]:
        return self._core.registers()

    def _do_operands(self) -> list[tuple[int, int, int]]:
        taken, self._instructions.operands = self._instructions.operands, []
        return taken

    def _do_state(self) -> dict:
        own = {"waits_for_interrupt": self._waits_for_interrupt, "host_request": self._host_request}
        own |= {"idle_turns": self._idle_turns + self._clock.idle_turns}
        if self._clock.trapped:
            own["first_trap"] = {name: getattr(self._clock, name) for name in FIRST_TRAP}
        return super()._do_state() | own | {"exit_code": self._exit_code}

    def _do_console(self) -> list[str]:
        lines = self._instructions.prints + self.warnings.lines()
        if self._line.waiting_for_receiver:
            lines.append("UART: bytes wait on the line, CR does not enable the receiver (UARTEN and RXE)")
        return lines


def _nothing() -> None:
    """A device without turns."""


def main() -> None:
    """``{"control": fd, "line": fd, "uart": "socket" or "pty", "chip": description, "vlen": bits, "counting": bool,
    "sites": bool, "parent": pid, "sensor": bool, "protection": bool, "watched": ranges, "helper": path or null}``"""
    options = json.loads(sys.argv[1])
    control = socket.socket(fileno=options["control"])
    names = ("vlen", "counting", "sites", "parent", "sensor", "protection", "watched")
    helper = Helper(Path(options["helper"])) if options["helper"] else None
    chip = Chip.from_json(options["chip"])
    machine = SpikeMachine(control, chip, **{name: options[name] for name in names}, helper=helper)
    serve(machine, options, machine.uart)


if __name__ == "__main__":
    main()
