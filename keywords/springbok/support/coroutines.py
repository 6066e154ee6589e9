# SPDX-License-Identifier: Apache-2.0
"""Runs a coroutine as a command does: what asks the process to end cancels it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from springbok.support import supervisor


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """What ``main`` returns. A signal whose handler raises `KeyboardInterrupt` cancels it, and is raised at its end.

    Raised where the signal comes, it would go through whatever task is at work, and asyncio would tell of that.

    >>> run(asyncio.sleep(0, "done"))
    'done'
    """
    asked: list[KeyboardInterrupt] = []
    is_main = threading.current_thread() is threading.main_thread()  # where alone Python calls handlers
    handlers = {number: signal.getsignal(number) for number in supervisor.ENDINGS if is_main}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}

    def ask(task: asyncio.Task[Any], number: int, handler: Callable[[int, None], Any]) -> None:
        try:
            handler(number, None)
        except KeyboardInterrupt as error:
            asked.append(error)
            task.cancel()

    async def cancellable() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        for number, handler in handlers.items():
            loop.add_signal_handler(number, ask, task, number, handler)
        return await main

    try:
        with contextlib.suppress(asyncio.CancelledError) if is_main else contextlib.nullcontext():
            return asyncio.run(cancellable())
    finally:
        if asked:
            raise asked[0]
        for number, handler in handlers.items():
            signal.signal(number, handler)
