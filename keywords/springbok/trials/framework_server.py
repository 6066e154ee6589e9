# SPDX-License-Identifier: Apache-2.0
"""One process of the frameworks for many models: a start of TensorFlow takes seconds.

Example::

    with FrameworkServer().serving():
        compile_and_check("one.keras"), compile_and_check("another.tflite")
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from springbok.compiler.importers import frameworks
from springbok.support import process
from springbok.support.places import KEYWORDS

_SERVER = """
import sys, traceback
from springbok.compiler.importers import worker
sys.stdout, answers = sys.stderr, sys.stdout
for line in sys.stdin:
    try:
        print(worker.main(line.strip()), file=answers, flush=True)
    except BaseException:
        traceback.print_exc()
        print(1, file=answers, flush=True)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session()  # names begin anew, as in a process of their own
"""


_RUN = process.run


class FrameworkServer:
    """Does the jobs of `springbok.compiler.importers.worker`, one after the other; starts with the first one.

    A job that ends the process has ended like one in a process of its own, and the next one starts another.
    """

    def __init__(self) -> None:
        self._served: subprocess.Popen | None = None
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._folder = tempfile.TemporaryDirectory()  # for what frameworks leave

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Within the context it does all of the importers' jobs; it ends with that."""
        before, frameworks.process = frameworks.process, self.as_process()
        try:
            yield
        finally:
            frameworks.process = before
            self.close()

    def as_process(self) -> SimpleNamespace:
        """What the importers take for the module `process`."""
        return SimpleNamespace(**vars(process) | {"run": self.run})

    def run(self, command, *arguments, **options) -> process.Finished:
        """In place of `process.run` for the workers' jobs; all else is run by that."""
        if "springbok.compiler.importers.worker" not in command or process.run is not _RUN:  # which a test replaced
            return process.run(command, *arguments, **options)
        if self._served is None:
            self._served = self._start()
        start = self._log.seek(0, 2)
        self._served.stdin.write(f"{command[-1]}\n")
        self._served.stdin.flush()
        answer = self._served.stdout.readline()
        if answer:
            return process.Finished(int(answer), self._said_since(start))
        exit_code, self._served = self._served.wait(), None
        return process.Finished(exit_code, self._said_since(start))

    def close(self) -> None:
        """End the process."""
        if self._served is not None:
            self._served.stdin.close()
            self._served.wait(60)
        self._log.close()
        self._folder.cleanup()

    def _start(self) -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
        environment = os.environ | {"TMPDIR": self._folder.name}
        return subprocess.Popen([sys.executable, "-c", _SERVER], text=True, cwd=KEYWORDS, env=environment, **pipes)

    def _said_since(self, start: int) -> str:
        self._log.seek(start)
        return self._log.read()
