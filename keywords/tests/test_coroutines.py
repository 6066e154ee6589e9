# SPDX-License-Identifier: Apache-2.0
"""A signal ends a coroutine by cancelling it, wherever it comes, and nothing is said of its tasks."""

import asyncio
import logging
import os
import signal
import threading

import pytest

from springbok.support import coroutines, process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", ["task", "main", "callback"])
def test_a_signal_cancels_all_and_is_raised_at_the_end(caplog, number, where):
    ended = []

    async def asking():
        os.kill(os.getpid(), number)  # in the middle of a step, as within a write
        await asyncio.sleep(60)

    async def main():
        try:
            if where == "callback":
                asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
            task = asyncio.create_task(asking()) if where == "task" else None
            await (asking() if where == "main" else asyncio.sleep(60))
            del task
        finally:
            ended.append(True)

    before = signal.getsignal(number)
    with caplog.at_level(logging.DEBUG), pytest.raises(process.Interrupted) as raised, process.ended_by_signals():
        coroutines.run(main())
    assert (raised.value.number, ended, caplog.record_tuples) == (
        number, [True], [each for each in caplog.record_tuples if each[1] < logging.WARNING]
    )  # fmt: skip
    assert signal.getsignal(number) is before


def test_without_a_signal_it_is_as_asyncio_runs_it():
    async def fail():
        raise LookupError("nothing there")

    with process.ended_by_signals():
        handler = signal.getsignal(signal.SIGINT)
        assert coroutines.run(asyncio.sleep(0, 7)) == 7
        with pytest.raises(LookupError):
            coroutines.run(fail())
        assert signal.getsignal(signal.SIGINT) is handler
    found = []
    thread = threading.Thread(target=lambda: found.append(coroutines.run(asyncio.sleep(0, 8))))
    thread.start()
    thread.join()
    assert found == [8]
