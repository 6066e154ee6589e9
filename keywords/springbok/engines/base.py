# SPDX-License-Identifier: Apache-2.0
"""What every engine offers. An engine is something that runs the firmware: today a simulator of the chip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from springbok.support.errors import EngineError


@dataclass(frozen=True)
class InferenceCounts:
    """One inference: the instructions between its two marks, the marks themselves left out.

    ``kernel_instructions`` were executed in the loaded model's own code; ``vector_instructions`` are all vector
    instructions except ``vset*``, which configures the unit and computes nothing. ``cycles`` are None from an engine
    that has no core's own to count. ``ended_at`` is how many instructions the core had executed by then, since it
    was started: that is not compared, as engines wait differently.
    """

    instructions: int
    kernel_instructions: int
    vector_instructions: int
    cycles: int | None = None
    ended_at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Lanes:
    """Lanes of the vector unit, summed over executed instructions, by the vl, SEW and LMUL that each one met.

    ``used`` by vector opcode is elements that it worked on (masks are not looked at), ``there`` is the lanes that
    it had. Their ratio is the lane utilisation.
    """

    used: dict[str, int] = field(default_factory=dict)
    there: dict[str, int] = field(default_factory=dict)

    @property
    def utilisation(self) -> float | None:
        """Share of the lanes that were used, 0 to 1; None where no vector instruction was executed."""
        there = sum(self.there.values())
        return sum(self.used.values()) / there if there else None


@dataclass(frozen=True)
class DispatchCounts:
    """One dispatch of the model, by its export ordinal: sums over all calls in all inferences counted.

    ``defects`` are executions of instructions that show a known defect of the chip, by its name. ``cycles`` is as in
    `InferenceCounts`. ``stack`` are loads and stores of the kernel's own stack, None where the engine can't tell.
    """

    calls: int
    instructions: int
    vector_instructions: int
    opcodes: dict[str, int]
    lanes: Lanes = Lanes()
    defects: dict[str, int] = field(default_factory=dict)
    cycles: int | None = None
    stack: tuple[int, int] | None = None


class Site(NamedTuple):
    """Executions of the instruction ``word`` at ``pc`` under one vector configuration (vl and vtype).

    ``region`` is what they reached of the addresses that the engine was asked to watch, counted from 1; 0 is none.
    """

    pc: int
    word: int
    vl: int
    vtype: int
    executions: int
    region: int = 0


class Call(NamedTuple):
    """One call of a dispatch: where in its inference it began, and how long it was.

    ``begin`` and ``instructions`` are executed instructions, both counted from the inference's first mark on;
    ``cycle_begin`` and ``cycles`` are as in `InferenceCounts`.
    """

    dispatch: int
    begin: int
    instructions: int
    cycle_begin: int | None = None
    cycles: int | None = None


@dataclass(frozen=True)
class VectorConfiguration:
    """Vector instructions executed with one vl, SEW (bits) and LMUL (``mf8`` to ``m8``)."""

    vl: int
    sew: int
    lmul: str
    instructions: int


MSTATUS_MIE = 1 << 3
#: What is in no dispatch, among `Counts.sites`.
RUNTIME_SITES = -1


@dataclass(frozen=True)
class Counts:
    """What an engine counted at the firmware's marks since it was last asked.

    ``opcodes``, ``lanes`` and ``configurations`` are summed over ``inferences``; a dispatch's are part of them.
    ``load_instructions`` is the latest model load, None when none ended. ``unattributed_instructions`` is the
    instructions of the inferences minus the sum of ``opcodes``: not 0 only where the simulator's own two counts
    disagree. ``abandoned_inferences`` began and never ended, because the core trapped in them; they are counted
    nowhere else. ``sites`` are by dispatch, `RUNTIME_SITES` for what is in none, and only from an engine that was asked
    for them. ``calls`` are those of the last inference in their order; none are kept of one that has too many.
    ``runtime`` is what the first inference executed outside of its dispatches, by PC, and ``runtime_functions`` by name
    of function, both from engines that tell.
    """

    inferences: tuple[InferenceCounts, ...] = ()
    opcodes: dict[str, int] = field(default_factory=dict)
    lanes: Lanes = Lanes()
    configurations: tuple[VectorConfiguration, ...] = ()
    dispatches: dict[int, DispatchCounts] = field(default_factory=dict)
    load_instructions: int | None = None
    unattributed_instructions: int = 0
    abandoned_inferences: int = 0
    sites: dict[int, tuple[Site, ...]] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()
    runtime: dict[int, int] = field(default_factory=dict)
    runtime_functions: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The same for another process."""
        return {
            **vars(self),
            "inferences": [list(vars(inference).values()) for inference in self.inferences],
            "lanes": list(vars(self.lanes).values()),
            "configurations": [list(vars(configuration).values()) for configuration in self.configurations],
            "dispatches": [
                [ordinal, {**vars(dispatch), "lanes": list(vars(dispatch.lanes).values())}]
                for ordinal, dispatch in self.dispatches.items()
            ],
            "sites": list(self.sites.items()),
            "calls": [list(call) for call in self.calls],
            "runtime": list(self.runtime.items()),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Counts:
        """What `as_json` made."""
        return cls(
            **{
                **content,
                "inferences": tuple(InferenceCounts(*inference) for inference in content["inferences"]),
                "lanes": Lanes(*content["lanes"]),
                "configurations": tuple(VectorConfiguration(*values) for values in content["configurations"]),
                "dispatches": {ordinal: _dispatch(counts) for ordinal, counts in content["dispatches"]},
                "sites": {ordinal: tuple(Site(*site) for site in sites) for ordinal, sites in content["sites"]},
                "calls": tuple(Call(*call) for call in content["calls"]),
                "runtime": dict(content["runtime"]),
            }
        )


def _dispatch(counts: Mapping[str, Any]) -> DispatchCounts:
    stack = counts["stack"] and tuple(counts["stack"])
    return DispatchCounts(**{**counts, "lanes": Lanes(*counts["lanes"]), "stack": stack})


SIMULATED_ANSWER_SECONDS, SIMULATED_COMPUTE_SECONDS = 60.0, 300.0


class Engine(ABC):
    """A chip that runs the firmware. Use it as a context manager: it is started on entry and closed on exit.

    Every wait is bounded; whatever goes wrong is an EngineError that names the cause and the remedy.
    """

    name: str
    #: Whether the chip is one that this process made, with the memory, firmware and VLEN that it wants.
    is_simulated = True
    #: Whether renode-test's own steps for each test act on it.
    has_steps_of_renode_test = False

    @property
    def link_options(self) -> dict[str, object]:
        """How a link to it differs from `Link`'s defaults: a simulator is as fast as other work here lets it be."""
        return {"timeout": SIMULATED_ANSWER_SECONDS, "compute_timeout": SIMULATED_COMPUTE_SECONDS}

    def check_vlen(self, vlen_bits: int) -> None:  # noqa: B027 (may do nothing)
        """Raise SimulatorNeeded when the chip says that its VLEN is not what was asked for, and it can't be made so."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the simulator."""

    @property
    @abstractmethod
    def uart_url(self) -> str:
        """Where the UART is, for ``serial.serial_for_url``: ``socket://127.0.0.1:PORT`` or the path of a pty.

        It stays the same from the first start until `close`, over resets too.
        """

    @abstractmethod
    def start(self) -> None:
        """Power the chip on, load the firmware and release the core from reset."""

    @abstractmethod
    def close(self) -> None:
        """End the engine; no process, socket or file is left behind. Harmless when it does not run."""

    @abstractmethod
    def reset(self) -> None:
        """Restart the chip with everything as at power-on, memory too. A client of the UART connects again."""

    @abstractmethod
    def pause(self) -> None:
        """Halt the core between two instructions; the chip's time stands still too. Harmless when it is halted."""

    @abstractmethod
    def resume(self) -> None:
        """Let a core go on that was paused, by `pause` or by its own ``hostreq`` instruction."""

    @abstractmethod
    def read_memory(self, address: int, count: int) -> bytes:
        """Return ``count`` bytes of the chip's memory from ``address`` on."""

    @abstractmethod
    def write_memory(self, address: int, content: bytes) -> None:
        """Write bytes into the chip's memory from ``address`` on."""

    def place_image(self, image: bytes, request: bytes, uploaded: int) -> bool:  # noqa: B027 (may do nothing)
        """Put the rest of a module's image into memory, past the UART, where the firmware awaits it.

        ``request`` is the payload by which the upload was begun, ``uploaded`` is how many bytes the device has.
        Returns whether it did; the device checks the image's checksum as always.
        """
        del image, request, uploaded
        return False

    @abstractmethod
    def feed_accelerometer(self, samples: list[tuple[int, int, int]]) -> None:
        """Add motion to what the accelerometer will measure: x, y, z of each sample in 1/1024 g, 16 bits each."""

    @abstractmethod
    def counters(self) -> dict[str, int]:
        """Return ``instructions`` and ``cycles`` that the core executed since it was started."""

    def idle_turns(self) -> int:
        """Return how often the core has waited, some milliseconds each, for something from outside or for an interrupt
        since it was started; 0 from an engine that does not tell."""
        return 0

    def traps(self) -> int:
        """Return how many exceptions and interrupts the core took since it was started; 0 from an engine that does not
        tell."""
        return 0

    @property
    def disturbance(self) -> str:
        """Why an inference's counts are others on every run, such as "seed 1: interrupts"; empty where they are not."""
        return ""

    @property
    def untold_defects(self) -> list[str]:
        """Names of the chip's known defects that its counts can't show."""
        return []

    @abstractmethod
    def registers(self) -> dict[str, int]:
        """Return the core's registers by name: ``pc``, ``x0`` to ``x31``, ``mstatus``, ``mcause``, ``mepc``…"""

    def takes_interrupts(self) -> bool:
        """Whether an interrupt could take the core away from what it does; True where that is not known."""
        registers = self.registers()
        return bool(registers["mstatus"] & MSTATUS_MIE and registers["mie"])

    def believe(self, vlen_bits: int, kernels: tuple[int, int] | None = None) -> None:  # noqa: B027 (may do nothing)
        """Count by what the chip says of itself: its VLEN, and the addresses of the loaded model's own code (first, and
        behind the last) where the load was not seen. An engine that made its chip knows both."""

    @abstractmethod
    def take_counts(self) -> Counts | None:
        """Return what was counted since the last call or the last start, and count from zero.

        None from an engine that does not count.
        """

    def know_inputs(self, content: bytes) -> None:  # noqa: B027 (may do nothing)
        """Remember what the model is given now, for messages."""

    def know_dispatches(self, names: Mapping[int, str]) -> None:  # noqa: B027 (may do nothing)
        """Remember the loaded model's dispatches by ordinal, for messages."""

    @abstractmethod
    def diagnose(self) -> str:
        """Say in one sentence, for an error message, what the core does. Never raises."""

    @abstractmethod
    def console(self) -> list[str]:
        """Return what the firmware printed through the simulator and the devices' warnings, a line each."""

    @staticmethod
    def _need_sensor(present: bool) -> None:
        if not present:
            raise EngineError("The chip was booted without its accelerometer: boot it with sensor=True.")

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
