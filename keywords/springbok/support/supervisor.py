# SPDX-License-Identifier: Apache-2.0
"""Watches over one command, as a process of its own between the command and who wants it run.

    python -I -S supervisor.py PARENT CHANNEL LIMIT KIND COMMAND [ARGUMENT ...]

It ends the command with everything that the command started when

- who started the supervisor, PARENT, goes away, by whatever end, or closes its end of CHANNEL (a socket's descriptor);
- the command has ended: what it left running ends too;
- LIMIT (seconds; 0: none) is used up: see `Allowance`.

On Linux it is the "subreaper" of all that runs below it: a process whose parent ends becomes its child, so that none
can leave the tree. Elsewhere it knows the tree by ``ps`` and the command's process group: what leaves both is lost.

KIND is ``apart`` for a command in a session of its own, which signals from the terminal don't reach, or
``foreground`` for one that gets them as if nobody were between. CHANNEL carries single bytes to the supervisor, the
number of a signal for the command, after which it has `GRACE_SECONDS` to end; and back one line: ``ended CODE``, below
0 for a signal; ``limit CODE`` if it was ended for its limit; or ``error ERRNO`` if it can't be started.

The command's temporary files go to a folder of its own, which the supervisor removes.

Only the standard library, and little of it: this is started thousands of times, and by the launcher too.
"""

from __future__ import annotations

import _signal as signal  # without the enumerations around it, which are a third of a start
import fcntl
import os
import resource
import select
import sys
import time

GRACE_SECONDS = 20.0
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 1.0
_BURY_SECONDS = 10.0
# Below this share of a processor something waits. Runnable threads, which a loaded computer lets wait, always work.
_IDLE_SHARE = 0.1
# A signal that the command is to have, but that came to the whole group within this time, it has had.
_SAME_SECONDS = 5.0
#: What asks a program to end.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PROC = "/proc"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

#: What the folders of temporary files are called; who uses one holds a lock on it.
TEMPORARY_PREFIX = "springbok-bench-"


class _Suppressed:
    """`contextlib.suppress`, without all that its module imports."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, self._kinds)


class Allowance:
    """What processes may use: ``seconds`` of processor time, all of them together, or as long a time of waiting.

    A loaded computer makes neither longer: only time in which nothing of the tree computes, could compute, or waits
    for a disk counts as waiting. ``root`` is the process whose tree it is, itself included unless it is the caller;
    ``used`` is what that has used before, if it is known.

    >>> Allowance(os.getpid(), 60).is_spent()
    False
    """

    def __init__(self, root: int, seconds: float, used: float | None = None) -> None:
        self.root = root
        self.seconds = seconds
        self.computed = self.waited = 0.0
        self._seen_at = time.monotonic()
        self._start = processor_time(root)[0] if used is None else used

    def is_spent(self) -> bool:
        """Look at the processes; whether they have used up what they may."""
        total, is_active = processor_time(self.root)
        now = time.monotonic()
        passed, self._seen_at = now - self._seen_at, now
        computed = max(self.computed, total - self._start)
        if not is_active and computed - self.computed < _IDLE_SHARE * passed:
            self.waited += passed
        self.computed = computed
        return max(self.computed, self.waited) >= self.seconds


def processor_time(root: int) -> tuple[float, bool]:
    """Seconds that the tree below ``root`` has computed for, and whether something in it could compute right now.

    ``root`` itself counts unless it is the caller. Of processes that ended, those count that somebody waited for.
    """
    known = _processes()
    tree = _tree(root, known)
    used = 0.0
    if root == os.getpid():
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = ended.ru_utime + ended.ru_stime
    elif root in known:
        tree.append(root)
    return used + sum(known[pid][1] for pid in tree), any(_is_active(pid, known[pid][2]) for pid in tree)


def descendants(root: int) -> list[int]:
    """All processes below ``root``."""
    return _tree(root, _processes())


def _tree(root: int, known: dict[int, tuple[int, float, str]]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, *_) in known.items():
        children.setdefault(parent, []).append(pid)
    found, pending = [], [root]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def _processes() -> dict[int, tuple[int, float, str]]:
    """Each process: its parent, the seconds that it and children it waited for have computed, and its state."""
    if not os.path.exists(f"{_PROC}/self/stat"):
        return _processes_by_ps()
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for name in os.listdir(_PROC):
        if name.isdigit():
            with _Suppressed(OSError, ValueError):
                state, parent, times = _stat(f"{_PROC}/{name}/stat")
                found[int(name)] = (parent, sum(times) / ticks, state)
    return found


def _stat(path: str) -> tuple[str, int, list[int]]:
    with open(path, "rb") as file:
        text = file.read()
    fields = text[text.rindex(b")") + 2 :].split()
    return fields[0].decode(), int(fields[1]), list(map(int, fields[11:15]))


def _processes_by_ps() -> dict[int, tuple[int, float, str]]:
    found = {}
    with os.popen("ps -A -o pid= -o ppid= -o time= -o state=") as table:
        for line in table:
            pid, parent, used, state, *_ = line.split()
            days, _, clock = used.rpartition("-")
            seconds = 0.0
            for part in clock.split(":"):
                seconds = 60 * seconds + float(part)
            found[int(pid)] = (int(parent), seconds + 86400 * int(days or 0), state[0])
    return found


def _is_active(pid: int, state: str) -> bool:
    """Whether a thread of the process computes or could compute (R), or waits for a disk (D; U elsewhere)."""
    if state in "RDU":
        return True
    folder = f"{_PROC}/{pid}/task"
    with _Suppressed(OSError, ValueError):
        return any(_stat(f"{folder}/{thread}/stat")[0] in "RD" for thread in os.listdir(folder))
    return False


class Supervisor:
    """The command, from its start to the end of its last process. Raises OSError if it can't be started."""

    def __init__(self, parent: int, channel: int, limit: float, is_apart: bool, command: list[str]) -> None:
        self._parent = parent
        self._channel = channel
        self._limit = limit
        self._is_apart = is_apart
        self._exit_code: int | None = None
        self._received: dict[int, float] = {}  # signals that came to this process itself, and when
        self._allowance: Allowance | None = None
        self._grace: Allowance | None = None
        os.set_inheritable(channel, False)
        if sys.platform == "linux":
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._awake, wake = os.pipe()
        for end in (self._awake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *ENDINGS):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)
        self._folder, self._lock = make_temporary_folder()
        self._pid = self._start(command)

    def run(self) -> str:
        """Wait for the command's end, or bring it about; returns what is to be told."""
        if self._limit:
            self._allowance = Allowance(os.getpid(), self._limit, used=0.0)
        looks = min(_LOOK_SECONDS, self._limit / 10) if self._limit else _LOOK_SECONDS
        look_at = time.monotonic() + looks
        timed_out = False
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        poller.register(self._awake, select.POLLIN)
        while not self._reap():
            ready = dict(poller.poll(1000 * min(_POLL_SECONDS, looks)))
            if self._awake in ready:
                with _Suppressed(BlockingIOError):
                    os.read(self._awake, 4096)
            if os.getppid() != self._parent or (self._channel in ready and not self._hear()):
                break
            if self._grace is None and any(number in self._received for number in ENDINGS):
                self._grace = Allowance(os.getpid(), GRACE_SECONDS)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + looks
                timed_out = any(each is not None and each.is_spent() for each in (self._allowance, self._grace))
                if timed_out:
                    break
        self._end_all()
        return f"{'limit' if timed_out else 'ended'} {-signal.SIGKILL if self._exit_code is None else self._exit_code}"

    def _note(self, number: int, _: object) -> None:
        self._received[number] = time.monotonic()

    def _start(self, command: list[str]) -> int:
        """Start the command. Raises OSError if that can't be done."""
        result, told = os.pipe()
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become(command, supervisor)
            except OSError as error:
                os.write(told, str(error.errno).encode())
            finally:
                os._exit(127)
        os.close(told)
        failed = os.read(result, 16)
        os.close(result)
        if failed:
            os.waitpid(pid, 0)
            self._remove_folder()
            raise OSError(int(failed), os.strerror(int(failed)))
        return pid

    def _become(self, command: list[str], supervisor: int) -> None:
        """Turn this process, a copy of the supervisor, into the command."""
        if self._is_apart:
            os.setsid()
        if sys.platform == "linux":
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:
                os._exit(127)
        for number in (signal.SIGCHLD, *ENDINGS, signal.SIGPIPE):
            if signal.getsignal(number) == self._note or number == signal.SIGPIPE:
                signal.signal(number, signal.SIG_DFL)
        if self._limit:  # what no supervisor stops stops itself
            with _Suppressed(OSError, ValueError):
                seconds = int(self._limit) + 60
                hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))
        if self._folder:
            os.environ["TMPDIR"] = self._folder
        os.execvp(command[0], command)

    def _hear(self) -> bool:
        """Give the command the signals that came through the channel; False when its other end is closed.

        A signal for a whole process group has come to the command as well, and a second one would mean more to it.
        """
        try:
            heard = os.read(self._channel, 64)
        except OSError:
            heard = b""
        if heard:
            time.sleep(_POLL_SECONDS)  # one for the group is on its way to this process too
        for number in heard:
            if self._is_apart or time.monotonic() - self._received.get(number, -_SAME_SECONDS) >= _SAME_SECONDS:
                with _Suppressed(ProcessLookupError):
                    os.kill(self._pid, number)
            self._note(number, None)
        return bool(heard)

    def _reap(self) -> bool:
        """Wait for every child that has ended; whether the command has."""
        with _Suppressed(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._pid:
                    self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code is not None

    def _end_all(self) -> None:
        """Kill all that is left, until there is nothing more to wait for."""
        began = time.monotonic()
        while self._has_children() and time.monotonic() - began < _BURY_SECONDS:
            for pid in descendants(os.getpid()):
                with _Suppressed(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)
            self._reap()
        if self._is_apart and sys.platform != "linux":  # what has lost its parent is no descendant there
            with _Suppressed(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        self._remove_folder()

    @staticmethod
    def _has_children() -> bool:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def _remove_folder(self) -> None:
        if not self._folder:
            return
        try:
            os.rmdir(self._folder)
        except OSError:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


def make_temporary_folder() -> tuple[str, int]:
    """A new folder for temporary files, and a descriptor whose lock on it says that somebody uses it.

    Without a place for one, or without locks there: an empty name, and -1. Within such a folder names are short:
    programs keep sockets among their temporary files, whose paths end at 107 characters.
    """
    place = os.environ.get("TMPDIR") or "/tmp"
    own = f"{os.getpid():x}"
    if not _is_one(place):
        own = f"{TEMPORARY_PREFIX}{own}-{time.time_ns() & 0xFFFFFFFF:x}"
    folder = os.path.join(place, own)
    try:
        os.mkdir(folder, 0o700)
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)  # who sweeps up may have come between
    except OSError:
        return "", -1
    return folder, lock


def _is_one(place: str) -> bool:
    """Whether `make_temporary_folder` made ``place``: what is in it goes with the outermost of its kind."""
    above, name = os.path.split(place.rstrip("/"))
    while name and not name.strip("0123456789abcdef"):
        above, name = os.path.split(above)
    return name.startswith(TEMPORARY_PREFIX)


def _prctl(option: int, value: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def main() -> None:
    """See the head of this file."""
    parent, channel, limit, kind, *command = sys.argv[1:]
    try:
        told = Supervisor(int(parent), int(channel), float(limit), kind == "apart", command).run()
    except OSError as error:
        told = f"error {error.errno}"
    with _Suppressed(OSError):
        os.write(int(channel), f"{told}\n".encode())


if __name__ == "__main__":
    main()
