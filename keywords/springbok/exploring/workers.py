# SPDX-License-Identifier: Apache-2.0
"""Dask workers that do the jobs of a sweep: processes of this machine, or a team's cluster.

A lost worker's job goes to another one. What a worker is at is told while it works: `tell`.

>>> with workers(None, 2) as client:                                                         # doctest: +SKIP
...     results = {job.name: result for job, result in done(client, jobs)}
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pkgutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from springbok.exploring.configurations import SweepError
from springbok.support import supervisor
from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder
from springbok.support.packages import provide

LIMIT_SECONDS = 60
PROTOCOL = 1  # what a worker must answer
_TOPIC = "springbok-sweep"


@dataclass(frozen=True)
class Job:
    """A function with its arguments; of two jobs the one of higher ``priority`` is begun first."""

    name: str
    function: Callable[..., Any]
    arguments: tuple
    priority: int = 0


@contextlib.contextmanager
def workers(scheduler: str | None, count: int) -> Iterator[Any]:
    """A Dask client: of the team's scheduler, or of as many processes of this machine, which end with it."""
    provide("sweep", "for a sweep")
    import dask
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.logging.distributed": "critical", "distributed.scheduler.allowed-failures": 3})
    if scheduler:
        with contextlib.ExitStack() as opened:
            try:
                client = opened.enter_context(Client(scheduler, timeout=LIMIT_SECONDS))
                client.wait_for_workers(1, timeout=LIMIT_SECONDS)
            except (OSError, ValueError) as error:
                raise SweepError(f"There is no Dask scheduler with workers at {scheduler}: {error}") from error
            yield client
        return
    with contextlib.ExitStack() as opened:
        scratch = str(opened.enter_context(temporary_folder()))
        opened.enter_context(_children_allowed())
        opened.enter_context(dask.config.set({"temporary-directory": scratch}))
        with _endings_later():  # one that waited comes when the cluster is there to be closed
            cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # a free port, without a warning that the usual one is in use
                memory_limit=0,
                local_directory=scratch,
                env={"TMPDIR": scratch},  # what a worker that is killed leaves goes with it
                silence_logs="CRITICAL",
            )
            opened.enter_context(cluster)
        yield opened.enter_context(Client(cluster))


@contextlib.contextmanager
def _endings_later() -> Iterator[None]:
    """Within the context whoever asks this process to end waits; what is started there never gets a Ctrl-C.

    A terminal gives it to all processes: workers would each write a traceback, where this one ends them.
    """
    resource_tracker.ensure_running()  # its start lets the signal through again, whatever was set before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    received: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()  # which alone has handlers
    handled = [each for each in supervisor.ENDINGS if is_main and signal.getsignal(each) not in (signal.SIG_IGN, None)]
    handlers = {each: signal.signal(each, lambda number, _: received.append(number)) for each in handled}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if received:
            signal.raise_signal(received[0])


@contextlib.contextmanager
def _children_allowed() -> Iterator[None]:
    """`renode-test -j` runs suites in daemonic processes, which multiprocessing lets have no children.

    Dask's end by themselves when this process does.
    """
    options = multiprocessing.current_process()._config
    daemonic = options.get("daemon")
    options["daemon"] = False
    try:
        yield
    finally:
        options["daemon"] = daemonic


def done(
    client: Any, jobs: Sequence[Job], follow: Callable[[Job, Any], Sequence[Job]] = lambda job, result: ()
) -> Iterator[tuple[Job, Any]]:
    """Yield each job with its result as they are finished; ``follow`` tells which others follow from that."""
    from distributed import as_completed

    _check_workers(client)
    running: dict[str, tuple[Job, Any]] = {}  # a future that nobody holds is forgotten

    def submit(job: Job) -> Any:
        future = client.submit(job.function, *job.arguments, pure=False, retries=2, priority=job.priority)
        running[future.key] = (job, future)
        return future

    futures = as_completed([submit(job) for job in jobs])
    for future in futures:
        job, _ = running.pop(future.key)
        try:
            result = future.result()
        except BenchError:
            raise
        except Exception as error:
            raise SweepError(f"{job.name} could not be measured by any worker: {error}") from error
        for further in follow(job, result):
            futures.add(submit(further))
        yield job, result


def tell(name: str, step: str) -> None:
    """Say what is done for the job ``name`` now; outside of a worker nobody listens."""
    with contextlib.suppress(ImportError, ValueError):
        from distributed import get_worker

        get_worker().log_event(_TOPIC, (name, step))


def listen(client: Any, hear: Callable[[str, str], None]) -> None:
    """Call ``hear`` with what workers `tell`, in a thread of its own."""
    client.subscribe_topic(_TOPIC, lambda event: hear(*event[1]))


def _check_workers(client: Any) -> None:
    """Raise SweepError where a worker can't import this module: it would never answer a job, and not refuse it."""
    answers = client.run(pkgutil.resolve_name, f"{__name__}:PROTOCOL", on_error="return")
    for address, answer in answers.items():
        if answer != PROTOCOL:
            raise SweepError(
                f"The Dask worker at {address} can't import {__name__}: {answer}. Start it inside .venv of the same "
                "checkout, with PYTHONPATH=keywords."
            )
