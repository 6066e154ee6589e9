# SPDX-License-Identifier: Apache-2.0
"""The engine of a core's own RTL: Verilator's simulation of it, with the chip's devices, held against Spike.

The machine itself is `springbok.rtl.machine`, a process of its own; this is the parent's side.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.engines.machine_engine import MachineEngine
from springbok.engines.machine_process import MachineProcess
from springbok.firmware import Firmware
from springbok.rtl import build, check, program, report
from springbok.rtl.core import Core, load
from springbok.rtl.difference import Difference
from springbok.rtl.native_machine import Trial
from springbok.support.cache import digest
from springbok.support.errors import EngineError, RtlError, RtlToolNeeded
from springbok.support.files import build_folder, write_in_one_step

CORE_VARIABLE = "SPRINGBOK_CORE"
#: Set to ``no``, nothing is compared.
LOCKSTEP_VARIABLE = "SPRINGBOK_LOCKSTEP"
#: A seed: stalls, late answers and interrupts come by it.
SEED_VARIABLE = "SPRINGBOK_SEED"

VARIABLES_BYTES = 0x10000  # of the firmware: they are the first in its data memory
UPLOADS = ("memory", "uart")
RECORDING = "recording.bin"
#: Without a byte from the UART, or a wait for one.
LIMIT_CYCLES = 2_000_000_000
ANSWER_SECONDS, FOREVER_SECONDS = 3600.0, 1e6
#: What a seed alone tries a core with: a tenth of all cycles and answers, an interrupt in 20,000 instructions.
USUAL = Trial(stall=100_000, delay=100_000, longest_delay=8, interrupt_every=20_000)

_log = logging.getLogger(__name__)


def named_seed() -> int | None:
    """The seed of ``SPRINGBOK_SEED``, None without one. Raises EngineError for what is none."""
    named = os.environ.get(SEED_VARIABLE)
    if named and not re.fullmatch(r"[0-9]{1,18}", named):
        raise EngineError(f"{SEED_VARIABLE} is '{named:.40}': a seed is meant, a number from 0 on.")
    return int(named) if named else None


class RtlEngine(MachineEngine):
    """A chip whose core is RTL. ``core`` is its folder, see docs/rtl.md.

    With ``lockstep`` each retired instruction is compared with Spike; ``seed`` tries the core with stalls, late answers
    and interrupts by it, ``trial`` with what it says. ``record`` keeps what comes from outside, so that the run can be
    repeated for a waveform. Modules are put straight into memory, unless ``upload`` is ``uart``. ``plusargs`` are what
    the RTL asks for by ``$value$plusargs``, such as ``size=4``.

    Raises EngineError for a wrong option at once, RtlError for a core that does not build.
    """

    name = "rtl"

    def __init__(
        self,
        firmware: Path,
        *,
        core: str | Path | None = None,
        chip: Chip | None = None,
        vlen: int | None = None,
        uart: str = "socket",
        sensor: bool = True,
        count_sites: bool = False,
        lockstep: bool | None = None,
        seed: int | None = None,
        trial: Trial | None = None,
        record: bool = False,
        upload: str = "memory",
        plusargs: Sequence[str] = (),
        limit_cycles: int = LIMIT_CYCLES,
    ) -> None:
        core = core or os.environ.get(CORE_VARIABLE)
        if not core:
            raise EngineError("Engine 'rtl' needs the core's folder: --core FOLDER, or core= of 'Boot Chip'.")
        self.core: Core = load(core)
        super().__init__(firmware, chip or self.core.chip(), vlen, uart, sensor, count_sites)
        if upload not in UPLOADS:
            raise EngineError(f"There is no way of loading '{upload}': choose one of {', '.join(UPLOADS)}.")
        self._upload, self._plusargs = upload, tuple(plusargs)
        self._record, self._limit_cycles = record, limit_cycles
        self._lockstep = os.environ.get(LOCKSTEP_VARIABLE) != "no" if lockstep is None else lockstep
        seed = named_seed() if seed is None else seed
        self._trial = trial or (Trial(**{**asdict(USUAL), "seed": seed}) if seed is not None else Trial())
        self._built: build.Built | None = None
        self._golden: Path | None = None  # None: nothing is compared
        self._names: Mapping[int, str] = {}
        self._inputs: bytes | None = None
        self._kept: tuple[Path, str] | None = None

    @property
    def version(self) -> str:
        return f"Verilator {self._built.verilator if self._built else ''}, {self.core.name}".replace(" ,", ",")

    @property
    def link_options(self) -> dict[str, object]:
        """Its limits are those of the machine, in cycles; a simulated line loses nothing."""
        return {"timeout": ANSWER_SECONDS, "compute_timeout": FOREVER_SECONDS, "patience": FOREVER_SECONDS}

    @property
    def disturbance(self) -> str:
        """See :class:`Engine`: what the trial brings."""
        moments = self._moments()
        return f"seed {self._trial.seed}: {', '.join(moments)}" if moments else ""

    @property
    def untold_defects(self) -> list[str]:
        """See :class:`Engine`: RTL tells no vector configuration."""
        return [each.name for each in self._chip.defects if each.asks_configuration]

    def place_image(self, image: bytes, request: bytes, uploaded: int) -> bool:
        """See :class:`Engine`. The firmware's count of received bytes stands behind the request that it keeps."""
        if self._upload != "memory":
            return False
        begin, data = Firmware.from_elf(self._firmware).arena_begin, self._chip.holding("data")
        self.pause()
        try:
            variables = self.read_memory(data.base, min(data.bytes, VARIABLES_BYTES))
            kept = request + uploaded.to_bytes(4, "little")
            place = variables.find(kept)
            if (
                place < 0
                or variables.find(kept, place + 1) >= 0
                or self.read_memory(begin, uploaded) != image[:uploaded]
            ):
                return False
            self.write_memory(begin + uploaded, image[uploaded:])
            self.write_memory(data.base + place + len(request), len(image).to_bytes(4, "little"))
            return True
        finally:
            self.resume()

    def feed_accelerometer(self, samples: list[tuple[int, int, int]]) -> None:
        self._need_sensor(any(device.kind == "opencores_i2c" for device in self._chip.devices))
        super().feed_accelerometer(samples)

    def registers(self) -> dict[str, int]:
        """Return ``pc``, ``x0`` to ``x31`` of the RTL, and with lockstep the reference's machine CSRs."""
        return super().registers()

    def figures(self) -> dict[str, float]:
        """Return ``cycles``, ``instructions``, ``traps``, ``injected_errors``, ``injected_interrupts`` and
        ``processor_seconds`` since the start."""
        return self._request("figures")

    def traps(self) -> int:
        return int(self.figures()["traps"])

    def takes_interrupts(self) -> bool:
        return self._golden is None or super().takes_interrupts()  # the reference alone knows its CSRs

    def know_dispatches(self, names: Mapping[int, str]) -> None:
        """Remember the loaded model's dispatches by ordinal, with their layers: for what is said of a difference."""
        self._names = dict(names)

    def know_inputs(self, content: bytes) -> None:
        """Remember what the model is given now: it is kept with what differs."""
        self._inputs = content

    def mismatch(self) -> dict | None:
        """What differed from the reference, or where nothing retires any more, or None; keys as in
        `springbok.rtl.report.describe`."""
        return self._request("state")["mismatch"]

    def keep_mismatch(self, folder: Path | None = None) -> tuple[Path, str]:
        """Keep what differed in a folder of its own: report, inputs, and the shortest program that repeats it.

        ``folder`` is below ``build/differences`` unless given. Returns it with a sentence on what is there.
        """
        if self._kept is not None:
            return self._kept
        found = self.mismatch()
        text = self.describe_mismatch(found)
        folder = folder or build_folder() / "differences" / f"{self.core.name}-{digest(text)[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        if self._inputs is not None:
            write_in_one_step(folder / "inputs.bin", self._inputs)

        def tries(elf: Path, case: program.Case) -> program.Outcome:
            return program.run(self._built.library, self._golden, self.core, self._chip, elf, case, self._plusargs)

        windows = self._request("program") or []
        difference = Difference(found["why"], found["assembly"], found["pc"], found["stuck"])
        made = program.make(windows, self._chip, self.core, self._trial, difference, folder, tries)
        sentence = f"No short program repeats it: it depends on {self._reasons()}."
        if made:
            case, _ = made
            if case.difference.is_like(difference):
                same = f" (the same, {case.assembly})" if case.difference.is_of_its_instruction else ""
                sentence = f"A program of {case.instructions} instructions repeats it{same}."
            else:
                sentence += f" One of {case.instructions} instructions shows another: {case.difference.said}."
        write_in_one_step(folder / program.REPORT, f"{text}\n{sentence}\n")
        if self._record:
            self._request("save", path=str(folder / RECORDING))
        self._kept = (folder, sentence)
        return self._kept

    def _reasons(self) -> str:
        """What a difference may depend on that a short program hasn't."""
        if not self._lockstep:
            return "registers and memory as they were, which only lockstep knows"
        moments = self._moments()
        when = f", or on the moments of {' and '.join(moments)}" if moments else ""
        return f"what was long before, or a device{when}"

    def _moments(self) -> list[str]:
        """What comes from outside by the trial's seed."""
        trial = self._trial
        return [
            *(["stalls"] if trial.stall or trial.delay else []),
            *(["interrupts"] if trial.interrupt_every else []),
            *(["errors on the bus"] if trial.error else []),
        ]

    def _describe(self, samples: list[dict]) -> str:
        last = samples[-1]
        if last["mismatch"]:
            known = self._kept is not None
            folder, sentence = self.keep_mismatch()
            text = self.describe_mismatch(last["mismatch"])
            if known:  # each test of a suite asks again: what was said once stands in the report
                return f"{text.splitlines()[0]}\n{sentence} Kept in {folder}, with the last instructions."
            return f"{text}\n{sentence} Kept in {folder}."
        if last["over"]:
            where = self._executable.describe(last["registers"]["pc"])
            return f"{last['over']}; the last one was at {where} {last['place']}.".replace(" .", ".")
        return super()._describe(samples)

    def describe_mismatch(self, found: dict) -> str:
        """A difference in sentences."""
        place = f"instruction {found['instruction']:,} since the reset"
        if found["dispatch"] is not None:
            name = self._names.get(found["dispatch"], f"dispatch {found['dispatch']}")
            place = f"{name} (inference {found['inference']}), instruction {found['instruction']:,} of the dispatch"
        elif found["where"]:
            place = f"{found['where']}, {place}"
        where = self._executable.describe(found["pc"])
        does = "is stuck behind" if found["stuck"] else "differs from Spike:"
        said = f"{self.core.name}'s RTL {does} {place}, {found['assembly']} at {where}: {found['why']}."
        return "\n".join([said, *report.listed(found["before"])])

    # ---- Inside

    def _prepare(self) -> None:
        lacking = list(check.of_the_wrapper(self.core, self._chip)) if self.core.wrapper.is_file() else []
        if lacking:
            raise RtlError(f"{self.core.folder}: {' '.join(lacking)}")
        missing = build.what_is_missing()
        if missing:
            raise RtlToolNeeded(missing)
        self._golden = build.reference_of(self.core, self._chip, self._vlen) if self._lockstep else None
        self._built = build.build(self.core, _log.info)

    def _make_machine(self, line: int, options: dict[str, object]) -> MachineProcess:
        self._kept = None
        symbols = {name: address for address, name in self._executable.symbols}
        options |= {
            "core": str(self.core.folder),
            "library": str(self._built.library),
            "golden": str(self._golden) if self._golden else None,
            "record": self._record,
            "mark_address": symbols.get("platform_mark", 0),
            "limit_cycles": self._limit_cycles,
            "trial": asdict(self._trial),
            "plusargs": self._plusargs,
        }
        return MachineProcess("springbok.rtl.machine", options, [line])
