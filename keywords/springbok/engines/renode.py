# SPDX-License-Identifier: Apache-2.0
"""The chip in Renode, driven by Renode's own keywords: for suites that ``renode-test`` runs.

Renode is the process that ``renode-test`` has started; nothing here starts another one. The chip is described by
``platforms/springbok.repl`` and ``Springbok.cs``, which also counts between the firmware's marks.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.chips.description import load
from springbok.devices.pl011.model import CR
from springbok.devices.springbok_control.model import CONTROL, INTR_STATE
from springbok.engines.base import Counts, Engine
from springbok.engines.core_state import describe
from springbok.engines.elf import Executable, read_executable
from springbok.engines.renode_platform import has_springboks_core
from springbok.engines.windows import Configuration, Instruction, KernelCode, Mark, Part, Place, WindowCounter
from springbok.support.errors import EngineError
from springbok.support.places import PLATFORMS, command

UARTS = ("socket", "virtual")
MEMORY_CHUNK_BYTES = 0x4000
UART_READY_SECONDS = 10.0
UART_READY_SLICES = 100
STATE_SAMPLES = 3
ACCELEROMETER = "sysbus.i2c0.accelerometer"
_UART_ENABLED = 0x301

Keyword = Callable[..., str]


class RenodeEngine(Engine):
    """Springbok in the Renode that runs this suite.

    ``keyword(name, *arguments)`` runs one of Renode's Robot keywords; ``quiet_keyword`` does so without a line in the
    log, for what is done often. ``uart`` is

    socket   a TCP server inside Renode, on a port that the system chooses: any client, the bad cable too
    virtual  bytes are exchanged while virtual time stands still, and it runs only while the client waits for an
             answer: how loaded this machine is changes nothing for the chip

    ``vlen`` is the bits of a vector register that the chip is made with, 0 is a chip without vectors; what is counted
    follows the chip's own word (`believe`). Without ``sensor`` its I2C bus is empty. ``count_opcodes`` counts between
    marks; ``own_counters`` reads Renode's opcode counters at the marks too, as a second count (`opcode_counters`).
    ``repl`` is a platform of the user's own, which extends ours or stands in its place, with VLEN as it says unless
    ``vlen`` is given.
    """

    name = "renode"
    has_steps_of_renode_test = True

    def __init__(
        self,
        firmware: Path,
        *,
        keyword: Keyword | None = None,
        quiet_keyword: Keyword | None = None,
        chip: Chip | None = None,
        vlen: int | None = None,
        uart: str = "socket",
        count_opcodes: bool = True,
        own_counters: bool = True,
        sensor: bool = True,
        repl: Path | None = None,
    ) -> None:
        if keyword is None:
            raise EngineError(
                "Engine 'renode' needs Renode: put renode on PATH or set RENODE_ROOT to its folder. Suites run by "
                f"renode-test, '{command('run', '--engine', 'renode')}', or plain robot with engine=renode."
            )
        chip = chip or load()
        self._sets_vlen = repl is None or vlen is not None
        vlen = chip.vlen if vlen is None else vlen
        chip.check_vlen(vlen)
        if repl is None and not has_springboks_core(chip):
            raise EngineError(
                f"Engine 'renode' runs chips with Springbok's core; {chip.title} runs on Spike. "
                f"'{command('platform', 'FOLDER', '--platform', chip.argument)}' writes its platform and script for a "
                "Renode of your own."
            )
        if repl is not None and not repl.is_file():
            raise EngineError(f"There is no Renode platform {repl}.")
        if uart not in UARTS:
            raise EngineError(f"There is no UART connection '{uart}': choose one of {', '.join(UARTS)}.")
        self._firmware = Path(firmware)
        self._keyword = keyword
        self._quiet_keyword = quiet_keyword or keyword
        self._chip = chip
        self._vlen = vlen
        self._uart = uart
        self._counting = count_opcodes
        self._own_counters = own_counters
        self._sensor = sensor
        self._repl = repl
        self._executable: Executable | None = None
        self._folder: tempfile.TemporaryDirectory | None = None
        self._url: str | None = None
        self._windows: RecordedWindows | None = None
        self._version: str | None = None
        self._paused = False

    @property
    def version(self) -> str:
        if self._version is None:
            found = re.search(r"\d+\.\d+\.\d+", self.execute("version"))
            self._version = found[0] if found else "unknown"
        return self._version

    @property
    def uart_url(self) -> str:
        if self._url is None:
            raise EngineError("The chip is not started: it has no UART yet. Call start first.")
        return self._url

    @property
    def is_running(self) -> bool:
        """Whether the chip was started and not closed since."""
        return self._folder is not None

    def execute(self, command: str, quiet: bool = False) -> str:
        """Execute a command of Renode's Monitor and return what it prints. Raises EngineError with Renode's reason."""
        keyword = self._quiet_keyword if quiet else self._keyword
        try:
            return str(keyword("Execute Command", command) or "").strip()
        except Exception as error:  # whatever Robot raises for a keyword that failed
            raise EngineError(f"Renode refused '{command[:200]}': {error}") from error

    def execute_paused(self, *commands: str) -> None:
        """Execute commands that must not meet a running core, and let it go on."""
        self.execute("pause")
        for each in commands:
            self.execute(each)
        if not self._paused and self._uart != "virtual":
            self.execute("start")

    def start(self) -> None:
        if self._folder is not None:
            raise EngineError("The chip runs already. Use reset to restart it.")
        self._executable = read_executable(self._firmware, self._chip)
        self._folder = tempfile.TemporaryDirectory(prefix="springbok-renode-")
        try:
            self._build()
            self._open_line()
            self._run()
        except BaseException:
            self.close()
            raise

    def adopt(self) -> None:
        """Take up the machine that is in Renode already: give it a line, and count from here on if it counts.

        What this engine was made with says nothing of that machine: VLEN, sensor, counters and firmware are asked for.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="springbok-renode-")
        try:
            self._ask_machine()
            self._windows = None
            if self._counting:
                self._windows = RecordedWindows(self._vlen, self._chip)
                self.execute("sysbus.cpu CountInstructions true")
            self._open_line()
            self._run()
        except BaseException:
            self.close()
            raise

    @property
    def runs_its_firmware(self) -> bool:
        """Whether the chip's memory holds the firmware that this engine was given, as far as that is known."""
        return self._executable is not None

    def believe(self, vlen_bits: int, kernels: tuple[int, int] | None = None) -> None:
        self._vlen = vlen_bits
        if self._windows is not None:
            self._windows.believe(vlen_bits, kernels)

    def close(self) -> None:
        if self._folder is None:
            return
        with suppress(Exception):  # Renode itself may be gone
            self._keyword("Reset Emulation")
        self._folder.cleanup()
        self._folder = self._url = None

    def reset(self) -> None:
        self._need_machine()
        if self._uart == "virtual":  # no client is connected that a new machine would cut off
            self._build()
            self._open_line()
            self._run()
            return
        self.execute("pause")
        for memory in self._chip.memories:
            self.execute(f"sysbus.{memory.name} ZeroAll")
        self.execute("machine Reset")  # Renode runs the script's macro `reset` after it; a snapshot has lost it
        if int(self.execute(f"sysbus ReadDoubleWord {self._register('control', CONTROL)}"), 0):
            self.execute(f"sysbus LoadELF @{self._firmware.resolve()}")
            self.execute(f"sysbus WriteDoubleWord {self._register('control', CONTROL)} 0")
        self._windows = RecordedWindows(self._vlen, self._chip) if self._counting else None
        self._run()

    def pause(self) -> None:
        self._need_machine()
        self._paused = True
        self.execute("pause")

    def resume(self) -> None:
        self._need_machine()
        self._paused = False
        self.execute("sysbus.control Resume")
        if self._uart != "virtual":
            self.execute("start")

    def read_memory(self, address: int, count: int) -> bytes:
        self._chip.check_memory(address, count)
        end = address + count
        return b"".join(
            bytes.fromhex(
                self.execute(f"sysbus.cpu ReadBytesAsHex {start} {min(MEMORY_CHUNK_BYTES, end - start)}", quiet=True)
            )
            for start in range(address, end, MEMORY_CHUNK_BYTES)
        )

    def write_memory(self, address: int, content: bytes) -> None:
        self._chip.check_memory(address, len(content))
        for offset in range(0, len(content), MEMORY_CHUNK_BYTES):
            chunk = content[offset : offset + MEMORY_CHUNK_BYTES].hex()
            self.execute(f'sysbus.cpu WriteHexAsBytes {address + offset} "{chunk}"', quiet=True)

    def feed_accelerometer(self, samples: list[tuple[int, int, int]]) -> None:
        self._need_machine()
        self._need_sensor(self._sensor)
        path = Path(self._folder.name) / "motion"
        path.write_text("".join(f"{x} {y} {z}\n" for x, y, z in samples), encoding="ascii")
        self.execute(f"{ACCELEROMETER} FeedSample @{path}")
        path.unlink()

    def counters(self) -> dict[str, int]:
        executed = int(self.execute("sysbus.cpu ExecutedInstructions"), 0)
        return {"instructions": executed, "cycles": executed}

    def registers(self) -> dict[str, int]:
        lines = self.execute("sysbus.cpu DescribeRegisters").split("\n")
        return {name: int(value) & 0xFFFFFFFF for name, value in (line.split() for line in lines if line.strip())}

    def take_counts(self) -> Counts | None:
        if self._windows is None:
            return None
        self._read_counts()
        return self._windows.take()

    def opcode_counters(self) -> dict[str, int]:
        """Executions by opcode in the inferences since this was last asked, by Renode's own counters."""
        if self._windows is None or not self._own_counters:
            raise EngineError("Renode's opcode counters are off: boot the chip with them.")
        self._read_counts()
        return self._windows.take_opcode_counters()

    def console(self) -> list[str]:
        lines = [line for line in self.execute("sysbus.cpu Prints").splitlines() if line.strip()]
        return lines + [line for line in self.execute("sysbus.control Warnings").splitlines() if line.strip()]

    def diagnose(self) -> str:
        if self._folder is None:
            return "The chip is not started."
        try:
            samples = [self._state() for _ in range(STATE_SAMPLES)]
        except EngineError as error:
            return str(error)
        return describe(samples, self._executable)

    # ---- Inside

    def _build(self) -> None:
        self._keyword("Reset Emulation")
        platform = self._repl or PLATFORMS / ("springbok.repl" if self._vlen else "springbok_scalar.repl")
        self.execute(f"$bin=@{self._firmware.resolve()}")
        self.execute(f"$platform=@{platform.resolve()}")
        self.execute(f"include @{PLATFORMS / 'springbok.resc'}")
        if self._vlen and self._sets_vlen:
            self.execute(f"sysbus.cpu VectorRegisterLength {self._vlen}")
        if not self._sensor:
            self.execute(f"machine UnregisterFromParent {ACCELEROMETER}")
        self._windows = None
        if self._counting:
            self._count()

    def _ask_machine(self) -> None:
        self._vlen = 8 * self.registers().get("vlenb", 0)
        self._own_counters = self.execute("sysbus.cpu CountOpcodes") == "True"
        peripherals = self.execute("peripherals")
        self._sensor = not peripherals or ACCELEROMETER.rpartition(".")[2] in peripherals
        if self._firmware.is_file():
            executable = read_executable(self._firmware, self._chip)
            holds = (self.read_memory(at, len(content)) == content for at, content in executable.segments)
            self._executable = executable if all(holds) else None

    def _count(self) -> None:
        self._windows = RecordedWindows(self._vlen, self._chip)
        self.execute("sysbus.cpu CountInstructions true")
        if self._own_counters:
            self.execute("sysbus.cpu EnableRiscvOpcodesCounting")
            self.execute("sysbus.cpu CountOpcodes true")

    def _open_line(self) -> None:
        if self._uart == "virtual":
            from springbok.engines import protocol_renode

            self.execute('emulation CreateSpringbokLine "line" False')
            self._url = self._url or protocol_renode.register(self)
        else:
            self.execute('emulation CreateSpringbokLine "line"')
            self._url = f"socket://127.0.0.1:{int(self.execute('line Port'), 0)}"
        self.execute("connector Connect sysbus.uart0 line")

    def _run(self) -> None:
        """Let the core run until it has set its UART up: before, the UART would drop what a client sends."""
        self._paused = False
        if self._uart == "virtual":
            for _ in range(UART_READY_SLICES):
                if self._is_uart_ready():
                    return
                self.execute('emulation RunFor "0.001"')
            return
        self._keyword("Start Emulation")
        limit = time.monotonic() + UART_READY_SECONDS
        while time.monotonic() < limit and not self._is_uart_ready():
            time.sleep(0.02)

    def _is_uart_ready(self) -> bool:
        return (
            int(self.execute(f"sysbus ReadDoubleWord {self._register('uart0', CR)}"), 0) & _UART_ENABLED
            == _UART_ENABLED
        )

    def _register(self, device: str, offset: int) -> str:
        return f"0x{next(each.base for each in self._chip.devices if each.name == device) + offset:X}"

    def _need_machine(self) -> None:
        if self._folder is None:
            raise EngineError("The chip is not started. Call start first.")

    def _read_counts(self) -> None:
        path = Path(self._folder.name) / "counts"
        self.execute(f"sysbus.cpu SaveCounts @{path}")
        with path.open(encoding="ascii") as lines:
            self._windows.replay(lines)
        path.unlink()

    def _state(self) -> dict:
        control = int(self.execute(f"sysbus ReadDoubleWord {self._register('control', CONTROL)}"), 0)
        faults = int(self.execute(f"sysbus ReadDoubleWord {self._register('control', INTR_STATE)}"), 0) & 0xC
        exit_code = self.execute("sysbus.cpu ExitCode")
        return {
            "registers": self.registers(),
            "instructions": self.counters()["instructions"],
            "paused": self._paused,
            "host_request": self.execute("sysbus.control IsHostRequested") == "True",
            "exit_code": int(exit_code, 0) if exit_code else None,
            "halted": bool(control & 3),
            "faults": faults,
        }


class RecordedWindows:
    """Turns what Springbok.cs wrote down between the marks into `Counts`, with the same rules as on Spike.

    >>> windows = RecordedWindows(512, load())
    The instructions of an inference are those of its blocks; ``unattributed_instructions`` is by how much the core's
    own counter differs from them.

    >>> windows.replay(["mark 1 0 100 100", "word 64 19", "place outside 0 0", "block 64 1 4", "mark 2 0 105 105"])
    >>> windows.take().opcodes
    {'addi': 4}
    """

    def __init__(self, vlen: int, chip: Chip) -> None:
        self._histogram = _RecordedHistogram()
        self._windows = WindowCounter(self._histogram, vlen, chip, read=self._histogram.read)
        self._opcode_counters: Counter[str] = Counter()
        self._opened: tuple[int, int] | None = None
        self._counter_difference = 0

    def replay(self, lines: Iterable[str]) -> None:
        """Take over lines in the form that Springbok.cs describes at ``SaveCounts``."""
        place = None
        for line in lines:
            kind, *values = line.split()
            if kind == "block":
                address, length, executions = map(int, values)
                self._histogram.add(place, address, length, executions)
            elif kind == "place":
                where, vl, vtype = values
                ordinal = WindowCounter.OUTSIDE_DISPATCHES if where == "outside" else int(where)
                place = (ordinal, (int(vl), int(vtype)))
            elif kind == "word":
                address, *words = map(int, values)
                self._histogram.words.update((address + 4 * number, word) for number, word in enumerate(words))
                self._windows.forget_kernels_code()
            elif kind == "opcode":
                self._opcode_counters[values[0]] += int(values[1])
            elif kind == "mark":
                event, value, blocks, counter = map(int, values)
                self._compare_with_counter(event, blocks, counter)
                self._windows.mark(event, value, blocks)
            else:
                raise EngineError(f"Renode's counts can't be read: there is a line '{line.strip()[:80]}'.")

    def believe(self, vlen: int, kernels: tuple[int, int] | None = None) -> None:
        """See `WindowCounter.believe`; it holds for all lines that are taken over from now on."""
        self._windows.believe(vlen, kernels)

    def take(self) -> Counts:
        """Return the counts of inferences that have ended, and start from zero."""
        difference, self._counter_difference = self._counter_difference, 0
        return replace(self._windows.take(), unattributed_instructions=difference)

    def _compare_with_counter(self, event: int, blocks: int, counter: int) -> None:
        if event == Mark.INFERENCE_BEGIN:
            self._opened = (blocks, counter)
        elif event == Mark.INFERENCE_END and self._opened is not None:
            self._counter_difference += (counter - self._opened[1]) - (blocks - self._opened[0])
            self._opened = None

    def take_opcode_counters(self) -> dict[str, int]:
        """Return what Renode's own counters counted in the same inferences, and start from zero."""
        counts, self._opcode_counters = self._opcode_counters, Counter()
        return dict(counts)


class _RecordedHistogram:
    """The histogram that `WindowCounter` asks, filled from a recording instead of by a running core."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self._counts: dict[Place, dict[Configuration, Counter[int]]] = {}

    def select(self, place: Place | None) -> None:
        """Nothing to do: the recording says where each block belongs."""

    def add(self, where: tuple[Place, Configuration], address: int, length: int, executions: int) -> None:
        place, configuration = where
        counts = self._counts.setdefault(place, {}).setdefault(configuration, Counter())
        for number in range(length):
            counts[address + 4 * number] += executions

    def drain(
        self, place: Place, kernels: KernelCode, name: Callable[[int, Part], Instruction]
    ) -> Iterator[tuple[Configuration, Instruction, int]]:
        for configuration, counts in self._counts.pop(place, {}).items():
            for address, executions in counts.items():
                yield configuration, name(self.words.get(address, 0), kernels.part(address)), executions

    def read(self, address: int, count: int) -> bytes:
        """Memory as far as it was executed, 0 elsewhere."""
        return b"".join(self.words.get(each, 0).to_bytes(4, "little") for each in range(address, address + count, 4))

    def forget_code(self) -> None:
        """Nothing to do: the recording has the words of what was executed."""

    def clear(self) -> None:
        self._counts.clear()
