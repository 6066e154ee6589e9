# SPDX-License-Identifier: Apache-2.0
"""The chip around a core's RTL, with its devices: a program, started by `RtlEngine` as a process of its own.

Its only argument is a JSON object (see `main`). The core runs in native code (native/machine.h); devices are the
models that every simulator here has, called for each access; a core that only polls the UART sleeps in
`_sleep_while_polling`.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from springbok import devices
from springbok.chips.chip import Chip
from springbok.devices.interface import Surroundings, Uart
from springbok.devices.springbok_control.model import CONTROL
from springbok.engines.base import Site
from springbok.engines.machine import Machine, serve
from springbok.engines.serial_line import PtyLine, SocketLine
from springbok.engines.windows import Configuration, Instruction, KernelCode, Mark, Part, Place, WindowCounter
from springbok.rtl import report
from springbok.rtl.core import load
from springbok.rtl.native_machine import NativeMachine, Reason, Trial

SLICE_CYCLES = 50_000
#: A burst of bytes goes to the line when the core has added none for so long: a host takes a gap for a loss.
QUIET_CYCLES = 20_000
SCALAR = (0, 0)  # no vector configuration
NOW = (1 << 64) - 1


class HeldUart:
    """A UART as the line sees it: what the core sends is held until its burst is over."""

    def __init__(self, uart: Uart) -> None:
        self._uart = uart
        self._released = bytearray()

    @property
    def receiving(self) -> bool:
        """Whether the receiver is on."""
        return self._uart.receiving

    @property
    def waiting(self) -> int:
        """Bytes that the core has not taken yet."""
        return self._uart.waiting

    def receive(self, content: bytes) -> None:
        """Take bytes from the line."""
        self._uart.receive(content)

    def sending(self) -> bytearray:
        """What the line may have."""
        return self._released

    def sent(self, count: int) -> None:
        """The line took the first ``count`` bytes of that."""
        del self._released[:count]

    def release(self) -> None:
        """Let the line have what the core has sent."""
        content = self._uart.sending()
        self._released += content
        self._uart.sent(len(content))


def as_rtl_tells(chip: Chip) -> Chip:
    """The chip without the defects that ask for a vector configuration, which RTL does not tell."""
    return replace(chip, defects=tuple(each for each in chip.defects if not each.asks_configuration))


class PlaceHistogram:
    """Executions by PC, kept apart by place, in native code."""

    def __init__(self, machine: NativeMachine) -> None:
        self._machine = machine
        self._numbers: dict[Place, int] = {}
        self._words: dict[int, int] = {}  # by PC
        self._listed: dict[Place, list[tuple[int, int, int]]] = {}  # of places that were not drained since

    def select(self, place: Place | None) -> None:
        """See `springbok.engines.windows.Histogram`."""
        self._machine.count_for(0 if place is None else self._numbers.setdefault(place, len(self._numbers) + 1))

    def drain(
        self, place: Place, kernels: KernelCode, name: Callable[[int, Part], Instruction]
    ) -> Iterator[tuple[Configuration, Instruction, int]]:
        """See `springbok.engines.windows.Histogram`."""
        for site in self.sites(place):
            yield SCALAR, name(site.word, kernels.part(site.pc)), site.executions
        self._listed.pop(place, None)

    def sites(self, place: Place) -> Iterator[Site]:
        """See `springbok.engines.windows.Histogram`."""
        if place in self._numbers:
            self._listed.setdefault(place, []).extend(self._machine.drain(self._numbers[place]))
        for pc, executions, _ in self._listed.get(place, ()):
            if pc not in self._words:
                self._words[pc] = int.from_bytes(self._machine.read(pc, 4), "little")
            yield Site(pc, self._words[pc], *SCALAR, executions)

    def forget_code(self) -> None:
        """See `springbok.engines.windows.Histogram`."""
        self._words.clear()
        self._machine.count_for(0)

    def clear(self) -> None:
        """See `springbok.engines.windows.Histogram`."""
        self._machine.count_for(0)
        self._listed.clear()
        for number in self._numbers.values():
            self._machine.drain(number)


class RtlMachine(Machine):
    """Core, memories and devices around RTL."""

    def __init__(self, control: socket.socket, options: dict) -> None:
        chip = Chip.from_json(options["chip"])
        super().__init__(control, options["parent"], chip)
        self._cycles_per_second = chip.instructions_per_second
        self._limit_cycles = options["limit_cycles"]

        surroundings = Surroundings(
            self.warnings, self._sleep_while_polling, self._ticks, self._update_interrupts, lambda start: None,
            options["sensor"],
        )  # fmt: skip
        kinds = [devices.find(device.kind) for device in chip.devices]
        self._models = [
            kind.create(surroundings, device.settings) for kind, device in zip(kinds, chip.devices, strict=True)
        ]
        served = {kind.serves: model for kind, model in zip(kinds, self._models, strict=True)}
        self._connect(served, lambda start: None)
        self.held = HeldUart(self.uart)

        self._released = False
        self._over: str | None = None  # why the core will not go on
        self._mismatch: dict | None = None
        self._slept_ns = 0
        self._sent_before, self._sent_at = 0, 0
        self._active_at = 0  # cycle of the last sign of life on the UART
        self._inferences = 0
        self._dispatch: int | None = None
        self._dispatch_start = 0

        core = load(options["core"])
        self._native = NativeMachine(Path(options["library"]), chip, chip.start, options["plusargs"])
        for device, model in zip(chip.devices, self._models, strict=True):
            self._native.add_device(device.base, model.SIZE)
        mark = chip.doing("mark")
        self._native.watch_marks(mark.match if mark else 0, mark.mask if mark else 0, options["mark_address"])
        self._native.call(self._read_device, self._write_device, self._mark)
        self._trial = Trial(**options["trial"])
        self._native.try_with(self._trial, core.fetch_waits)
        if options["golden"]:
            ranges = [(device.base, model.SIZE) for device, model in zip(chip.devices, self._models, strict=True)]
            isa = core.reference_isa or chip.isa(options["vlen"])
            self._native.hold_against(
                Path(options["golden"]), isa, core.privilege, core.rules, core.stores_on_bus, chip.start, ranges
            )
        if options["record"]:
            self._native.record()
        self._windows = WindowCounter(
            PlaceHistogram(self._native), options["vlen"], as_rtl_tells(chip), options["sites"], True, self._native.read
        )

    def run(self, line: SocketLine | PtyLine) -> None:
        """Wait for the start, then run the core until the parent is gone."""
        self._line = line
        self._wait_while_halted()
        self._native.reset()
        while True:
            self.uart.polls = 0
            self._update_interrupts()
            reason = self._native.run(SLICE_CYCLES)
            if reason is Reason.MISMATCH:
                self._mismatch = report.describe(self._native, self._place(self._native.behind()))
                self._end("differs")
            elif reason is Reason.STUCK:
                self._stop_stuck()
            self._look_at_limit()
            self._serve(0, hold=True)
            self._answer_requests()
            self._wait_while_halted()

    def _stop_stuck(self) -> None:
        if self._native.state.instructions:
            self._mismatch = report.describe(self._native, self._place(), "none has retired for 200,000 cycles since")
            self._end("stuck")
        else:
            self._end("No instruction has ever retired, in 200,000 cycles")

    def _end(self, why: str) -> None:
        """The core does not go on; a client of the UART learns it by the line's end."""
        self._over = why
        self._line.end()

    def _look_at_limit(self) -> None:
        cycles = self._native.state.cycles
        if cycles - self._active_at > self._limit_cycles and self._over is None:
            self._end(f"Nothing has come from its UART for {self._limit_cycles:,} cycles, nor has it waited for it")

    # ---- What the core does

    def _read_device(self, number: int, offset: int, lanes: int) -> int:
        model = self._models[number]
        if model is self.uart:
            self._active_at = self._native.state.cycles
        if getattr(model, "ACCESS_BYTES", 4) == 1:
            return sum(model.read(offset + lane) << 8 * lane for lane in range(4) if lanes >> lane & 1)
        return model.read(offset) & 0xFFFFFFFF

    def _write_device(self, number: int, offset: int, value: int, lanes: int) -> None:
        model = self._models[number]
        if getattr(model, "ACCESS_BYTES", 4) == 1:
            for lane in range(4):
                if lanes >> lane & 1:
                    model.write(offset + lane, value >> 8 * lane & 0xFF)
        else:
            model.write(offset, value)
        if model is self._clint and offset == 0:
            self._native.acknowledge()
        if model is self._control_block and self._halted:
            self._native.stop()

    def _mark(self, event: int, value: int, instructions: int, cycles: int) -> None:
        self._windows.mark(event, value, instructions, cycles)
        if event == Mark.INFERENCE_BEGIN:
            self._inferences += 1
            self._native.allow(errors=bool(self._trial.error), interrupts=bool(self._trial.interrupt_every))
        elif event == Mark.INFERENCE_END:
            self._native.allow(errors=False, interrupts=False)
        elif event == Mark.DISPATCH_BEGIN:
            self._dispatch, self._dispatch_start = value, instructions + 1
        elif event == Mark.DISPATCH_END:
            self._dispatch = None

    def _place(self, behind: int = 0) -> dict:
        """Where the core is by its marks, or was so many instructions before."""
        instructions = self._native.state.instructions - behind
        inside = self._dispatch is not None and instructions >= self._dispatch_start
        return {
            "inference": self._inferences,
            "dispatch": self._dispatch if inside else None,
            "instruction": instructions - self._dispatch_start if inside else instructions,
            "where": self._windows.place,
        }

    # ---- Time, sleeping, being halted

    @property
    def _halted(self) -> bool:
        return self._paused or self._control_block.halted or not self._released or self._over is not None

    def _sleep_while_polling(self) -> None:
        """The core polls the UART, or the accelerometer, and nothing comes. A request needs `run` to come back."""
        if self._request is not None:
            self._native.stop()
            return
        self._slept_ns += self._sleep_a_slice()
        self._update_interrupts()

    def _ticks(self, frequency_hz: int) -> int:
        """The chip's time: the core's cycles at its nominal frequency, and the time that it slept."""
        cycles = self._native.state.cycles
        return cycles * frequency_hz // self._cycles_per_second + self._slept_ns * frequency_hz // 1_000_000_000

    def _update_interrupts(self) -> None:
        clint = self._clint
        if clint is None:
            return
        due = self._native.state.cycles + max(0, int(clint.seconds_left() * self._cycles_per_second) + 1)
        self._native.set_lines(clint.software_interrupt, False, min(due, NOW))

    # ---- The outside: UART line and requests

    def _serve(self, timeout: float, hold: bool = False) -> bool:
        """What the core sends is held while it runs, until its burst is over."""
        self._release(hold)
        return super()._serve(timeout)

    def _serve_line(self, ready: dict[int, int]) -> None:
        if self._over is None:
            super()._serve_line(ready)
        else:
            self._line.end()

    def _release(self, hold: bool) -> None:
        sent, cycles = len(self.uart.sending()), self._native.state.cycles
        if sent != self._sent_before:
            self._sent_before, self._sent_at = sent, cycles
        if sent and (not hold or cycles - self._sent_at > QUIET_CYCLES or sent > Uart.BUFFER_BYTES // 2):
            self.held.release()
            self._sent_before = 0

    def _do_boot(self) -> None:
        self._released = True
        self._control_block.write(CONTROL, 0)

    def _read(self, address: int, count: int) -> bytes:
        return self._native.read(address, count)

    def _write(self, address: int, content: bytes) -> None:
        self._native.write(address, content)

    def _do_counters(self) -> dict[str, int]:
        state = self._native.state
        return {"instructions": state.instructions, "cycles": state.cycles}

    def _do_registers(self) -> dict[str, int]:
        state = self._native.state
        registers = {"pc": state.pc, **{f"x{number}": value for number, value in enumerate(state.x)}}
        csrs = dict.fromkeys(("mstatus", "mie", "mtvec", "mscratch", "mepc", "mcause", "mtval"), 0)
        if self._native.has_reference:
            reference, _ = self._native.reference_state()
            csrs = {name: getattr(reference, name) for name in csrs}
        return registers | csrs

    def _do_state(self) -> dict:
        return super()._do_state() | {"over": self._over, "mismatch": self._mismatch}

    def _do_figures(self) -> dict:
        """What the core was tried with so far, and what it took."""
        state = self._native.state
        used = time.process_time()
        names = ("cycles", "instructions", "traps", "injected_errors", "injected_interrupts")
        return {**{name: getattr(state, name) for name in names}, "processor_seconds": used}

    def _do_program(self) -> dict | None:
        """What a program needs that repeats the difference; see `springbok.rtl.program`."""
        if self._mismatch is None:
            return None
        return report.windows(self._native, raises="an interrupt" in self._mismatch["why"])

    def _do_save(self, path: str) -> None:
        self._native.save(Path(path))

    def _do_console(self) -> list[str]:
        lines = self.warnings.lines()
        if self._over is None and self._line.waiting_for_receiver:
            lines.append("UART: bytes wait on the line, its control register does not enable the receiver")
        return lines


def main() -> None:
    """``{"control", "line": fd, "uart": "socket" or "pty", "chip": description, "core": folder, "library", "golden":
    files, "vlen", "sensor", "sites", "record", "mark_address", "limit_cycles", "trial", "plusargs", "parent"}``"""
    options = json.loads(sys.argv[1])
    machine = RtlMachine(socket.socket(fileno=options["control"]), options)
    serve(machine, options, machine.held)


if __name__ == "__main__":
    main()
