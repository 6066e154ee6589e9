# SPDX-License-Identifier: Apache-2.0
"""Time that other programs on this computer can't take: by it a trial tells a chip that hangs from one that waits.

own = OwnTime(engine.chip_seconds)
began = own.now()
...
own.since(began)  # seconds
own.end()
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from springbok.support.errors import EngineError

_TICK_SECONDS = 0.02


class _Stalls(threading.Thread):
    """Notes in ``seconds`` how long other programs have kept this process from running."""

    def __init__(self) -> None:
        super().__init__(name="stalls", daemon=True)
        self.seconds = 0.0
        self._ended = threading.Event()

    def run(self) -> None:
        """Look at the clock again and again."""
        before = time.monotonic()
        while not self._ended.wait(_TICK_SECONDS):
            now = time.monotonic()
            self.seconds += max(0.0, now - before - 2 * _TICK_SECONDS)
            before = now

    def end(self) -> None:
        """End it."""
        self._ended.set()


class OwnTime:
    """Time in which other programs kept neither the chip, whose time is ``chip_seconds``, nor this process waiting."""

    def __init__(self, chip_seconds: Callable[[], float]) -> None:
        self._chip_seconds = chip_seconds
        self._stalls = _Stalls()
        self._stalls.start()

    @property
    def stalled(self) -> float:
        """Seconds that this process was kept waiting."""
        return self._stalls.seconds

    def now(self) -> tuple[float, float]:
        """This moment, for `since`. A chip that has ended is kept waiting by nobody."""
        try:
            chip = self._chip_seconds()
        except EngineError:
            chip = math.inf
        return time.monotonic() - self._stalls.seconds, chip

    def since(self, then: tuple[float, float]) -> float:
        """Seconds that both had since then."""
        host, chip = self.now()
        return min(host - then[0], chip - then[1] if then[1] < math.inf else math.inf)

    def end(self) -> None:
        """End it."""
        self._stalls.end()
