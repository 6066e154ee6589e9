# SPDX-License-Identifier: Apache-2.0
"""Renode's own Robot server, started from here: for suites that plain ``robot`` runs, without ``renode-test``.

Example::

    with RenodeServer(find_renode()) as renode:
        print(renode.keyword("Execute Command", "version"))
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import xmlrpc.client
from contextlib import suppress
from pathlib import Path

from springbok.support.errors import EngineError
from springbok.support.process import Supervised

START_LIMIT_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_LAST_WORDS_BYTES = 600


def find_renode() -> Path | None:
    """The program ``renode``: in ``RENODE_ROOT``, else on PATH; None without Renode."""
    root = os.environ.get("RENODE_ROOT")
    if root:
        program = Path(root) / "renode"
        return program if program.is_file() else None
    found = shutil.which("renode")
    return Path(found) if found else None


class RenodeServer:
    """A Renode that listens for Robot keywords on a port of 127.0.0.1. Nothing is left of it after `close`.

    It ends with this process too, whatever happens to that. Raises EngineError when it does not start.
    """

    def __init__(self, program: Path) -> None:
        port, monitor = _free_ports()
        self._output = os.memfd_create("renode-output")  # what Renode prints: a file would be left behind
        command = [program, "--disable-gui", "--plain", "--port", monitor, "--robot-server-port", port]
        options = {"stdin": subprocess.DEVNULL, "stdout": self._output, "stderr": subprocess.STDOUT}
        self._process = Supervised(list(map(str, command)), "apart", start_new_session=True, **options)
        self._proxy = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/", allow_none=True)
        try:
            self._names = self._wait(program)
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> list[str]:
        """Names of its keywords."""
        return self._names

    def keyword(self, name: str, *arguments: str) -> str:
        """Run one of its keywords; what it returns. Raises EngineError with the keyword's reason when it fails."""
        try:
            result = self._proxy.run_keyword(name.replace(" ", ""), list(map(str, arguments)))
        except (OSError, xmlrpc.client.Error) as error:
            raise EngineError(f"Renode does not answer '{name}': {error}. {self._last_words()}") from error
        if result.get("status") != "PASS":
            raise EngineError(f"{result.get('error') or 'the keyword failed'}")
        value = result.get("return", "")
        return value.data.decode(errors="replace") if isinstance(value, xmlrpc.client.Binary) else value

    def close(self) -> None:
        """End it. Harmless when it has ended."""
        with suppress(OSError):
            self._process.__exit__()
        with suppress(OSError):
            os.close(self._output)

    def __enter__(self) -> RenodeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, program: Path) -> list[str]:
        limit = time.monotonic() + START_LIMIT_SECONDS
        while True:
            try:
                return list(self._proxy.get_keyword_names())
            except (OSError, xmlrpc.client.Error) as error:
                if self._process.has_ended or time.monotonic() > limit:
                    raise EngineError(
                        f"{program} did not start its Robot server: {error}. {self._last_words()}"
                    ) from None
                time.sleep(_LOOK_SECONDS)

    def _last_words(self) -> str:
        size = os.fstat(self._output).st_size
        text = os.pread(self._output, _LAST_WORDS_BYTES, max(0, size - _LAST_WORDS_BYTES))
        return f"Its last words: {text.decode(errors='replace').strip()}" if text.strip() else ""


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody uses now: Renode tells no one which it takes by itself."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
