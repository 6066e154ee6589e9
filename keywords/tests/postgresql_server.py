# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL for tests, from Debian's package: its own data, its own socket, no port."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

# Root may not run the server: these users may, where they are.
_USERS = ("postgres", "nobody")


def programs():
    """The folder with initdb and postgres; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = found[-1] if found else shutil.which("initdb")
    return Path(path).parent if path and (Path(path).parent / "postgres").exists() else None


class PostgresqlServer:
    """A server that is there until `close`. ``url`` is that of a new database in it."""

    def __init__(self):
        self._bin = programs()
        self._folder = Path(tempfile.mkdtemp(prefix="springbok-pg-", dir="/tmp"))
        self._as = {}
        if os.geteuid() == 0:
            user = next(pwd.getpwnam(name) for name in _USERS if name in {each.pw_name for each in pwd.getpwall()})
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._count = 0
        data = self._folder / "data"
        self._run("initdb", "--no-sync", "-A", "trust", "-U", "tester", "-E", "UTF8", "-D", data)
        settings = {"listen_addresses": "", "unix_socket_directories": self._folder, "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = (self._folder / "log").open("wb")
        command = [self._bin / "postgres", "-D", data, *options]
        self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._as)
        log.close()
        while self._process.poll() is None and not self._answers():
            time.sleep(0.1)
        assert self._process.poll() is None, (self._folder / "log").read_text()

    def _run(self, program, *arguments):
        command = [self._bin / program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **self._as)
        assert done.returncode == 0, done.stdout + done.stderr

    def _answers(self):
        command = [self._bin / "psql", "-h", self._folder, "-U", "tester", "-d", "postgres", "-c", "SELECT 1"]
        return subprocess.run(command, capture_output=True, check=False, cwd="/", **self._as).returncode == 0

    def new_database(self):
        """The URL of a database with nothing in it."""
        self._count += 1
        name = f"history{self._count}"
        self._run("createdb", "-h", self._folder, "-U", "tester", name)
        return f"postgresql://tester@/{name}?host={self._folder}"

    def close(self):
        """End the server; nothing of it is left."""
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)
