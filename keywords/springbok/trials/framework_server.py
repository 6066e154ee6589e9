# SPDX-License-Identifier: Apache-2.0
"""One process that has the frameworks already, for many models: a start of TensorFlow takes seconds.

    python framework_server.py SOCKET

Each job, a file of `springbok.compiler.importers.worker` or a script in a folder of its own, is done by a process
forked from it: nothing that a job does is there for the next one, and a crash ends nothing but the job.
`FrameworkServer` asks it; for Robot's suites the listener `shared_frameworks` does.

Example::

    with FrameworkServer().serving():
        compile_and_check("one.keras"), compile_and_check("another.tflite")
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])

from springbok.support import process
from springbok.support.files import temporary_folder

_WORKER = "springbok.compiler.importers.worker"
_LOOK_SECONDS = 0.02
_PARENT_SECONDS = 2.0


class FrameworkServer:
    """Asks the server that listens at ``place``, or one of its own, which starts with the first job."""

    def __init__(self, place: str | None = None) -> None:
        self._run = process.run
        self._place = place
        self._own: subprocess.Popen | None = None
        self._folder = contextlib.ExitStack()

    def run(self, command, *arguments, **options) -> process.Finished:
        """In place of `process.run` for the workers' jobs; all else is run by that."""
        if _WORKER not in command or process.run is not self._run:  # which a test replaced
            return process.run(command, *arguments, **options)
        return self._ask({"job": str(command[-1])})

    def run_script(self, text: str, folder: Path) -> None:
        """Run a script in ``folder``, where it stays; raises AssertionError with what it said if it fails."""
        script = folder / "script.py"
        script.write_text(text, encoding="utf-8")
        done = self._ask({"script": str(script), "folder": str(folder)})
        assert done.exit_code == 0, done.output

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Within the context it does all of the importers' jobs; it ends with that."""
        from springbok.compiler.importers import frameworks

        before, frameworks.process = frameworks.process, self.in_place_of_process()
        try:
            yield
        finally:
            frameworks.process = before
            self.close()

    def in_place_of_process(self) -> SimpleNamespace:
        """What `springbok.compiler.importers.frameworks` takes for the module `process`."""
        return SimpleNamespace(**vars(process) | {"run": self.run})

    def close(self) -> None:
        """End the server that this one started."""
        if self._own is not None:
            self._own.terminate()
            self._own.wait(60)
        self._folder.close()

    def _ask(self, request: dict) -> process.Finished:
        with self._connected() as connection, connection.makefile("rw", encoding="utf-8") as channel:
            channel.write(json.dumps(request) + "\n")
            channel.flush()
            answer = json.loads(channel.readline())
        return process.Finished(answer["exit_code"], answer["output"])

    def _connected(self) -> socket.socket:
        if self._place is None:
            self._place = str(self._folder.enter_context(temporary_folder()) / "socket")
            self._own = subprocess.Popen([sys.executable, __file__, self._place])
            while not Path(self._place).exists() and self._own.poll() is None:
                time.sleep(_LOOK_SECONDS)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._place)
        return connection


def serve(place: str) -> None:
    """Do jobs until this process is ended, or who started it is gone. Nothing is left of them then."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with temporary_folder() as folder:
        tempfile.tempdir = str(folder)
        try:
            _serve(place)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)  # those that answer, and their jobs
            Path(place).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # a folder of others
                Path(place).parent.rmdir()


def _serve(place: str) -> None:
    parent = os.getppid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{place}.new")
    listening.listen(16)
    Path(f"{place}.new").rename(place)  # whoever sees it can ask
    listening.settimeout(_PARENT_SECONDS)
    while os.getppid() == parent:
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        connection.setblocking(True)
        with connection, connection.makefile("rw", encoding="utf-8") as channel:
            if line := channel.readline():  # else who asked is gone
                _import(json.loads(line))
                if os.fork() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    listening.close()
                    try:
                        _answer(json.loads(line), channel)
                    finally:
                        os._exit(0)


def _import(request: dict) -> None:
    """Have what the job needs, here: whoever is forked has it too. What can't be imported is the job's to say."""
    with contextlib.suppress(Exception):
        framework = json.loads(Path(request["job"]).read_text())["framework"] if "job" in request else "keras"
        importlib.import_module(f"springbok.compiler.importers.worker_{framework}")


def _answer(request: dict, channel) -> None:
    """In a process of its own: do the job in another one, and tell how that ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+b") as log:
        pid = os.fork()
        if pid == 0:
            _become(request, folder, log)
        _, status = os.waitpid(pid, 0)
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    channel.write(json.dumps({"exit_code": os.waitstatus_to_exitcode(status), "output": said}) + "\n")
    channel.flush()


def _become(request: dict, folder: str, log) -> None:
    """Do the job, and end."""
    limit = int(process.TIME_LIMIT_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    for descriptor in (1, 2):
        os.dup2(log.fileno(), descriptor)
    os.environ["TMPDIR"] = tempfile.tempdir = folder  # for what frameworks leave
    exit_code = 1
    try:
        if "job" in request:
            exit_code = importlib.import_module(_WORKER).main(request["job"])
        else:
            os.chdir(request["folder"])
            sys.argv = [request["script"]]
            runpy.run_path(request["script"], run_name="__main__")
            exit_code = 0
    except BaseException:  # noqa: BLE001 (as at the end of any Python)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    serve(sys.argv[1])
