# SPDX-License-Identifier: Apache-2.0
"""Makes one answer after the other, beside the server's loop.

The thread is a daemon's, which those of an executor are not: one that never comes to an end keeps nobody from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_Answer = dict[str, Any]


class Answers:
    """Answers made by ``make``, in the order in which they were asked for.

    >>> answers = Answers(lambda asked: {"asked": asked})
    >>> asyncio.run(answers.to(3))
    {'asked': 3}
    >>> answers.end(seconds=1.0)
    True
    """

    def __init__(self, make: Callable[[Any], _Answer]) -> None:
        self._make = make
        self._asked: queue.SimpleQueue[tuple[Any, Future[_Answer]] | None] = queue.SimpleQueue()
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)
        self._thread.start()

    async def to(self, asked: Any) -> _Answer:
        """The answer, when those before it are made. What ``make`` raises is raised here."""
        future: Future[_Answer] = Future()
        self._asked.put((asked, future))
        return await asyncio.wrap_future(future)

    def end(self, seconds: float) -> bool:
        """Begin no further answer, and wait so long for the one under way; whether none is.

        Only the first call waits.
        """
        if not self._has_ended:
            self._has_ended = True
            self._asked.put(None)
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._asked.get()) and not self._has_ended:
            asked, future = item
            if not future.set_running_or_notify_cancel():  # the page was left
                continue
            try:
                future.set_result(self._make(asked))
            except BaseException as error:
                future.set_exception(error)
