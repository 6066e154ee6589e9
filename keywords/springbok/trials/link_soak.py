# SPDX-License-Identifier: Apache-2.0
"""Lets faults rain on the link to simulated chips: ``./bench trial link-soak --faults 10000 --seed 1``.

Dialogues go on while the cable flips, loses, doubles, swaps, reorders and delays bytes, while bits are stuck, noise
bursts in, the baud rate is wrong, what was said comes back, and frames come that nobody sent, or that somebody sent
long ago; some requests come in the wrong order, hosts are killed in the middle of a request, and a second one comes to
the same line. Every answer is compared with the right one. The exit status is 0 only when nothing hung, no wrong answer
was accepted, no request was given up, no call ran past its limit and no chip needed a restart. No limit by the wall
clock decides that: what ends by one counts only when the chip and this process had the time for themselves.

A fault costs seconds, nearly all of them waiting: for an answer that was lost, for silence, for a host to be forgotten.
So several lines, each with a chip and a cable of its own, are soaked at once (``--lines``), each part of the faults on
a chip that starts anew. With ``--state FILE`` each part is written down, and the run goes on there when it is started
again.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from springbok.engines.spike import SpikeEngine
from springbok.link.extension import LinkReport
from springbok.link.fault_proxy import FaultProxy
from springbok.support.errors import BenchError, LinkError
from springbok.support.files import write_in_one_step
from springbok.trials.link_dialogues import Soak, SoakResult
from springbok.trials.link_rig import chip, small_module

LINES = 5
PART_FAULTS = 250
_SEEDS_APART = 1_000_003  # of one part and the next

Part = tuple[SoakResult, LinkReport]


def soak(
    faults: int,
    seed: int,
    ended: threading.Event | None = None,
    *,
    module: bytes | None = None,
    engine: SpikeEngine | None = None,
) -> Part:
    """Boot a chip, let so many faults strike, or go on until ``ended`` is set, and return what came of it."""
    module = module or small_module()
    with (
        engine or chip() as running,
        FaultProxy(running.uart_url, seed, shared=True) as cable,
    ):
        run = Soak(cable, module, seed, running.chip_seconds, running.diagnose)
        try:
            run.run(faults, ended or threading.Event())
        finally:
            run.close()
        return run.result, run.report


class Lines:
    """Parts on several lines at once, and the sum of what came of them.

    ``run_part`` is called with faults, seed, and an event that is set when it is to end early.
    """

    def __init__(
        self, seed: int, run_part: Callable[[int, int, threading.Event], Part], state: Path | None = None
    ) -> None:
        self.result, self.report = SoakResult(), LinkReport()
        self._seed, self._run_part, self._state = seed, run_part, state
        self._ended = threading.Event()
        self._begun = 0
        if state is not None and state.exists():
            self._go_on(json.loads(state.read_text()))

    def run(self, faults: int, lines: int, tell: Callable[[str], None] = lambda text: None) -> None:
        """Go on until so many faults have struck, those that the state tells of too, or a chip needed a restart."""
        with ThreadPoolExecutor(lines, thread_name_prefix="line") as workers:
            try:
                self._run(workers, faults, lines, tell)
            finally:
                self._ended.set()

    def _run(self, workers: ThreadPoolExecutor, faults: int, lines: int, tell: Callable[[str], None]) -> None:
        running: set[Future[Part]] = set()
        left = faults - self.result.faults
        while running or left > 0:
            while left > 0 and len(running) < lines:
                count, seed = min(PART_FAULTS, left), self._seed + _SEEDS_APART * self._begun
                running.add(workers.submit(self._run_part, count, seed, self._ended))
                left, self._begun = left - count, self._begun + 1
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for part in finished:
                self._add(*part.result())
                tell(f"{self.result.faults} faults, {self.result.operations} operations; {self.report}")
            left = 0 if self.result.restarts else left

    def _add(self, result: SoakResult, report: LinkReport) -> None:
        self.result.add(result)
        for name, value in vars(report).items():
            setattr(self.report, name, getattr(self.report, name) + value)
        if self._state is not None:
            sums = {"result": vars(self.result), "report": vars(self.report)}
            write_in_one_step(self._state, json.dumps({"seed": self._seed, "parts": self._begun, **sums}))

    def _go_on(self, known: dict) -> None:
        if known["seed"] != self._seed:
            raise LinkError(
                f"{self._state} is of seed {known['seed']}, not {self._seed}. Name another file, or that seed."
            )
        self._begun, self.report = known["parts"], LinkReport(**known["report"])
        self.result = SoakResult(**{**known["result"], "kinds": Counter(known["result"]["kinds"])})


def main(arguments: list[str] | None = None) -> int:
    """Run and print the result."""
    parser = argparse.ArgumentParser(prog="./bench trial link-soak", description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=10_000, help="go on until so many have struck (default 10000)")
    parser.add_argument("--seed", type=int, default=1, help="decides everything that is random (default 1)")
    parser.add_argument("--lines", type=int, default=LINES, help=f"so many chips at once (default {LINES})")
    parser.add_argument("--state", type=Path, help="write down what was done, and go on from there")
    options = parser.parse_args(arguments)
    if options.lines < 1:
        parser.error("--lines: at least 1")
    started = time.monotonic()

    def tell(text: str) -> None:
        print(text, flush=True)  # noqa: T201

    try:
        module = small_module()
        lines = Lines(options.seed, partial(soak, module=module), options.state)
        lines.run(options.faults, options.lines, tell)
    except BenchError as error:
        sys.stderr.write(f"link_soak: {error}\n")
        return 2
    sys.stdout.write(_summary(lines.result, lines.report, time.monotonic() - started))
    return 0 if lines.result.passed else 1


def _summary(result: SoakResult, report: LinkReport, seconds: float) -> str:
    lines = [
        f"{result.faults} faults in {result.operations} operations, {seconds:.0f} s",
        f"hangs {result.hangs}, wrong answers {result.wrong_answers}, given up {result.given_up}, restarts "
        f"{result.restarts}, calls beyond their limit {result.overruns} (the latest by {result.longest_overrun:.2f} s)",
        f"models lost {result.model_losses}, hosts killed {result.killed_hosts}, second hosts {result.second_hosts}, "
        f"taken over {result.taken_over}, ended by a short limit {result.short_limits}, by other programs "
        f"{result.starved}; longest {result.longest_seconds:.1f} s",
        "Kinds: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in result.kinds.most_common()),
        f"Link: {report}",
        *result.problems[:20],
    ]
    return "\n".join(lines) + "\n"
