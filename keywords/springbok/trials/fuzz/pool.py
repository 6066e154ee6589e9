# SPDX-License-Identifier: Apache-2.0
"""Workers of the fuzzer: a process each, bounded by the processor time that one network may take.

A worker's temporary files lie in a folder that is this process's own, so that they go with it, however it ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import CancelledError

import psutil

from springbok.support.files import temporary_folder
from springbok.trials.fuzz.networks import Network
from springbok.trials.fuzz.variants import PLACES, VARIANTS
from springbok.trials.fuzz.worker import CRASH, HANG, Finding, Outcome, serve

#: Processor time that a network may take in all its variants and places, chips included: a hundred times the usual.
LIMIT_SECONDS = 600.0
_LOOK_SECONDS = 1.0


class Worker:
    """Tries networks in a process, which is replaced when a network crashes it or takes too long.

    >>> with Worker() as worker:  # doctest: +SKIP
    ...     print(worker.try_network(draw(1, 1)).findings)
    """

    def __init__(self, limit: float = LIMIT_SECONDS, target=serve) -> None:
        self._limit = limit
        self._target = target
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection = None
        self._folder = contextlib.ExitStack()
        self._ended = False
        #: Processor time of all that was tried, chips included.
        self.seconds = 0.0

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def try_network(
        self, network: Network, variants: Sequence[str] = VARIANTS, places: Sequence[str] = PLACES
    ) -> Outcome:
        """As `springbok.trials.fuzz.worker.Bench.try_network`; a crash or a hang is a finding."""
        outcomes = self._try([network], variants, places)
        return Outcome(network, [outcomes]) if isinstance(outcomes, Finding) else outcomes[0]

    def try_networks(
        self, networks: Sequence[Network], variants: Sequence[str] = VARIANTS, places: Sequence[str] = PLACES
    ) -> list[Outcome]:
        """Tries networks together, and those of which one crashes or never ends each by itself."""
        outcomes = self._try(networks, variants, places)
        if isinstance(outcomes, Finding):
            return [self.try_network(network, variants, places) for network in networks]
        return outcomes

    def _try(self, networks: Sequence[Network], variants: Sequence[str], places: Sequence[str]) -> list | Finding:
        if self._process is None:
            self._start()
        started = _seconds_of(self._process.pid)
        limit = self._limit * len(networks)
        stage = "start"
        try:
            self._connection.send((list(networks), tuple(variants), tuple(places)))
            while True:
                if self._connection.poll(_LOOK_SECONDS):
                    kind, content = self._connection.recv()
                    if kind == "outcomes":
                        self.seconds += _seconds_of(self._process.pid) - started
                        return content
                    stage = content
                elif _seconds_of(self._process.pid) - started > limit:
                    self._close(gently=False)
                    return Finding(HANG, *_where(stage), f"it takes more than {limit:g} s of processor time")
        except (EOFError, OSError):
            code = self._process.exitcode if self._process and self._process.join(10) is None else None
            self._close(gently=False)
            return Finding(CRASH, *_where(stage), f"the process ended with exit code {code}")

    def _start(self) -> None:
        if self._ended:
            raise CancelledError
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        folder = self._folder.enter_context(temporary_folder())
        self._process = context.Process(target=self._target, args=(other, folder), daemon=False)
        self._process.start()
        other.close()

    def end(self, gently: bool = True) -> None:
        """Ends the process for good; who waits for its networks gets a CancelledError."""
        self._ended = True
        self._close(gently)

    def _close(self, gently: bool = True) -> None:
        """Ends the process and all that it has started; the next network gets another one."""
        process, self._process = self._process, None
        if process is None:
            return
        started = _tree(process.pid)
        self._connection.close()
        if gently:
            process.join(20)
        for each in started:
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.kill()
        process.join()
        self._folder.close()


def _where(stage: str) -> tuple[str, str]:
    """Variant and place of a stage, as far as it tells: ``none at 128``."""
    variant, separator, place = stage.partition(" at ")
    return (variant, place) if separator else ("all variants", stage)


def _tree(number: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(number)
        return [*process.children(recursive=True), process]
    except psutil.Error:
        return []


def _seconds_of(number: int) -> float:
    """Processor time of a process and of all below it, of those that have ended too."""
    total = 0.0
    for process in _tree(number):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
