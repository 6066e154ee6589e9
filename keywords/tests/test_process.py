# SPDX-License-Identifier: Apache-2.0
"""Programs that this project runs: nothing of them is left, whatever ends first and however it ends."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from springbok.firmware import build_firmware
from springbok.support import process, supervisor
from springbok.support.files import temporary_folder
from springbok.support.places import KEYWORDS
from springbok.support.supervisor import Allowance, descendants

MARK = "SPRINGBOK_TEST_MARK"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process can leave its tree")

# A program as nasty as a compiler's driver can be: its children leave its session and lose their parent.
TREE = """
setsid sh -c 'while :; do sleep 1; done' &
(exec sleep 600 &)
(setsid sh -c 'sh -c "while :; do :; done" & wait' &)
echo $$ > $1
wait
"""
# Runs a worker that runs the tree, as an importer runs iree-compile.
WORKER = "import sys; from springbok.support.process import run; run(['sh', '-c', *sys.argv[1:3], sys.argv[3]])"
OWNER = """
import signal, sys
from springbok.support.process import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell in the background has switched off
run([sys.executable, "-c", *sys.argv[1:]])
"""


@pytest.fixture
def mark(monkeypatch):
    """A mark that everything started in the test carries; nothing that does is left after it."""
    name = uuid.uuid4().hex
    monkeypatch.setenv(MARK, name)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    yield name
    for pid in marked(name):
        os.kill(pid, signal.SIGKILL)


def marked(name: str) -> list[int]:
    """The processes, but this one, that have the mark and have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            has_mark = f"{MARK}={name}".encode() in (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if has_mark and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def until(is_so, what: str) -> None:
    """Wait for something that takes a moment; for how long says how loaded the computer is, and nothing else."""
    for _ in range(6000):
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError(what)


def start_owner(folder: Path) -> tuple[subprocess.Popen, int]:
    """A process that runs a worker that runs the tree, with its files in ``folder``; and the pid of the tree's root."""
    begun = folder / "begun"
    command = [sys.executable, "-c", OWNER, WORKER, TREE, "tree", str(begun)]
    environment = {**os.environ, "TMPDIR": str(folder)}
    owner = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True, env=environment)
    until(lambda: begun.is_file() and begun.read_text().strip(), "the tree does not start")
    return owner, int(begun.read_text())


@LINUX
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_ends(tmp_path, mark, ending):
    owner, _ = start_owner(tmp_path)
    # Owner, worker, their supervisors, and the tree, whose root may be there before the rest.
    until(lambda: len(marked(mark)) >= 8, "the tree is not whole")
    os.kill(owner.pid, ending)
    until(lambda: not marked(mark), "something is left")
    assert owner.wait() == -ending
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


@LINUX
def test_a_socket_has_a_place_however_deep_programs_start_programs(tmp_path):
    """Browsers keep one among their temporary files; its path has 107 characters at most."""
    program = "import os, sys; from springbok.support import process\n"
    program += "depth = int(sys.argv[1])\n"
    program += "command = [sys.executable, sys.argv[0], str(depth - 1)]\n"
    program += "print(process.run(command).output if depth else os.environ['TMPDIR'])\n"
    (tmp_path / "nested.py").write_text(program)
    environment = {"TMPDIR": "/tmp", "PYTHONPATH": str(KEYWORDS)}
    folder = process.run([sys.executable, tmp_path / "nested.py", "5"], environment=environment).output.strip()
    assert folder.startswith("/tmp/") and folder.count("/") == 2 + 5
    assert len(f"{folder}/org.chromium.Chromium.XXXXXX/SingletonSocket") <= 107


@LINUX
def test_nothing_is_left_when_a_worker_is_killed(tmp_path, mark):
    owner, root = start_owner(tmp_path)
    worker = _parent(_parent(root))  # the tree's supervisor is between
    os.kill(worker, signal.SIGKILL)
    owner.wait()
    until(lambda: not marked(mark), "the tree outlives its worker")


@LINUX
def test_the_program_itself_ends_with_its_supervisor(tmp_path, mark):
    owner, root = start_owner(tmp_path)
    os.kill(_parent(root), signal.SIGKILL)
    owner.wait()
    until(lambda: not marked(mark), "the tree outlives its supervisor")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@LINUX
@pytest.mark.parametrize("kind", ["computes", "waits"])
def test_nothing_is_left_at_the_limit(tmp_path, mark, kind):
    tree = TREE if kind == "computes" else TREE.replace("while :; do :; done", "sleep 600")
    done = process.run(["sh", "-c", tree, "tree", tmp_path / "begun"], time_limit=0.5)
    assert done.timed_out
    assert marked(mark) == []


@LINUX
def test_nothing_is_left_when_the_program_ends(tmp_path, mark):
    done = process.run(["sh", "-c", TREE.replace("wait\n", "exit 3\n"), "tree", tmp_path / "begun"])
    assert (done.exit_code, done.timed_out) == (3, False)
    assert marked(mark) == []


SUITE = """*** Settings ***
Library    {libraries}/SimulatorLibrary.py
Library    {folder}/Tree.py    {folder}

*** Test Cases ***
Should Be Ended
    Boot Springbok
    Run The Tree
    [Teardown]    Shut Down Springbok
"""
TREE_LIBRARY = """
from springbok.support.process import run

class Tree:
    def __init__(self, folder):
        self.folder = folder

    def run_the_tree(self):
        run(["sh", "-c", {tree!r}, "tree", self.folder + "/begun"])
"""


@LINUX
@pytest.mark.parametrize(
    ("ending", "whose"),
    [
        (signal.SIGINT, "group"),  # Ctrl-C
        (signal.SIGINT, "command"),
        (signal.SIGTERM, "group"),
        (signal.SIGTERM, "command"),
        (signal.SIGHUP, "command"),
        (signal.SIGKILL, "group"),
        (signal.SIGKILL, "command"),
    ],
)
def test_nothing_is_left_when_a_command_ends(tmp_path, monkeypatch, mark, ending, whose):
    """The whole of it: the command, Robot, the simulator, a compiler and what that starts."""
    build_firmware()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    results = tmp_path / "results"
    (tmp_path / "Tree.py").write_text(TREE_LIBRARY.format(tree=TREE))
    suite = tmp_path / "ended.robot"
    suite.write_text(SUITE.format(libraries=KEYWORDS, folder=tmp_path))
    # A shell's job in the background ignores SIGINT, and so would all that it starts.
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from springbok import cli; sys.exit(cli.main())"
    command = [sys.executable, "-c", program, "run", suite, "--engine", "spike"]
    command = [*map(str, command), "--results", str(results)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as bench:
        until((tmp_path / "begun").is_file, "the tree does not start")
        assert any(b"spike_machine" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in marked(mark))
        (os.killpg if whose == "group" else os.kill)(bench.pid, ending)
        said = bench.stdout.read().decode()
    until(lambda: not marked(mark), "something is left")
    with temporary_folder(place=temporary) as folder:  # clears away what a supervisor that was killed too has left
        assert [path for path in temporary.iterdir() if path.is_dir()] == [folder]
    if ending == signal.SIGKILL:
        assert bench.returncode == -ending
        return
    assert bench.returncode == 128 + ending
    assert f"springbok-bench: ended by {ending.name}." in said
    assert not (results / ".lock").exists()
    assert "Execution terminated by signal" in (results / "output.xml").read_text()


BUILDING = """
import signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from springbok.engines import spike_native
from springbok.support import process

signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with process.ended_by_signals(), ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(spike_native.build) for _ in range(3)]  # at most two of them at a time
        {how}
except process.Interrupted as error:
    elsewhere = {{type(job.exception()).__name__ for job in jobs if not job.cancelled()}}
    print(error.name, *elsewhere)
    sys.exit(process.run(["true"]).exit_code)
"""
COMPILER = """#!/bin/sh
case "$*" in *--version*) echo slow; exit;; esac
exec sh -c '{tree}' compiler "$SPRINGBOK_TEST_BEGUN.$$"
"""


@LINUX
@pytest.mark.parametrize("how", ["[job.result() for job in jobs]", "pass  # the pool is waited for"])
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_build_in_another_thread_ends_with_the_process(tmp_path, monkeypatch, mark, ending, how):
    """So does each that waits for it; what cleans up afterwards may run programs all the same."""
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER.format(tree=TREE.replace("'", "'\\''")))
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("SPRINGBOK_TEST_BEGUN", str(tmp_path / "begun"))
    monkeypatch.setenv("SPRINGBOK_TIME_LIMIT", "100000")
    with subprocess.Popen([sys.executable, "-c", BUILDING.format(how=how)], stdout=subprocess.PIPE) as bench:
        try:
            until(lambda: list(tmp_path.glob("begun.*")), "the build does not start")
        finally:
            os.kill(bench.pid, ending)
        assert bench.stdout.read().decode().split() == [ending.name, "Interrupted"]
    assert bench.returncode == 0
    assert not marked(mark)


DRAWING = """
import os, signal
from springbok.report import charts

def end(text):
    # Not getppid(): the second worker may have got another parent by now, such as the process that runs this test.
    try:
        os.kill(int(os.environ["TO_END"]), signal.SIGKILL)
    except ProcessLookupError:
        pass
    import time
    time.sleep(0.2)
    return text

if __name__ == "__main__":
    os.environ["TO_END"] = str(os.getpid())
    charts.os.cpu_count = lambda: 2
    charts._svg = end
    charts.render([{"number": number} for number in range(200)])
"""


@LINUX
def test_nothing_is_left_when_a_report_is_killed(tmp_path, mark):
    program = tmp_path / "drawing.py"
    program.write_text(DRAWING)
    assert subprocess.run([sys.executable, program], check=False).returncode == -signal.SIGKILL
    until(lambda: not marked(mark), "a worker that draws charts is left")


SWEEPING = """
import os, signal
from springbok.exploring.workers import workers

if __name__ == "__main__":
    with workers(None, 2) as client:
        client.run(os.getpid)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@LINUX
def test_nothing_is_left_when_a_sweep_is_killed(tmp_path, mark):
    program = tmp_path / "sweeping.py"
    program.write_text(SWEEPING)
    assert subprocess.run([sys.executable, program], check=False).returncode == -signal.SIGKILL
    until(lambda: not marked(mark), "a worker of the sweep is left")


@LINUX
@pytest.mark.parametrize("whose", ["group", "command"])
def test_ctrl_c_ends_every_worker_of_a_sweep_and_what_it_runs(tmp_path, mark, whose):
    """While the workers wait for programs, as they do for compilers."""
    program = tmp_path / "sweeping.py"
    program.write_text(INTERRUPTED.format(folder=str(tmp_path)))
    with subprocess.Popen([sys.executable, program], stderr=subprocess.PIPE, start_new_session=True) as sweeping:
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 2, "the workers do not begin")
        (os.killpg if whose == "group" else os.kill)(sweeping.pid, signal.SIGINT)
        said = sweeping.stderr.read().decode()
    assert (sweeping.returncode, said) == (3, "")
    until(lambda: not marked(mark), "a worker of the sweep is left")


BLOCKED = """
import os, signal
from springbok.exploring.workers import workers

def blocked():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return bool(int(status["SigBlk"], 16) >> signal.SIGINT - 1 & 1)

if __name__ == "__main__":
    with workers(None, 2) as client:
        print(list(client.run(blocked).values()))
"""


@LINUX
def test_workers_of_a_sweep_never_get_ctrl_c(tmp_path):
    program = tmp_path / "sweeping.py"
    program.write_text(BLOCKED)
    assert (
        subprocess.run([sys.executable, program], check=True, capture_output=True, text=True).stdout == "[True, True]\n"
    )


INTERRUPTED = """
import signal, sys
from pathlib import Path
from springbok.exploring.workers import Job, done, workers
from springbok.support import process

def wait(number):
    Path({folder!r}, f"begun-{{number}}").touch()
    process.run(["sh", "-c", "sleep 1000 & sleep 1000"])

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with process.ended_by_signals(), workers(None, 2) as client:
            list(done(client, [Job(str(number), wait, (number,)) for number in range(2)]))
    except process.Interrupted:
        sys.exit(3)
"""


def test_many_processes_share_the_limit():
    loops = " & ".join(["sh -c 'while :; do :; done'"] * 4)
    assert process.run(["sh", "-c", f"{loops} & wait"], time_limit=0.5).timed_out


def test_short_lived_children_use_the_limit_too():
    assert process.run(["sh", "-c", "while :; do /bin/true; done"], time_limit=0.3).timed_out


def test_time_that_others_compute_is_not_counted(monkeypatch):
    """A loaded computer: the process could compute for an hour, and does not get to."""
    used = 0.0

    def processor_time(root):
        return used, True

    now = 0.0
    monkeypatch.setattr(supervisor, "processor_time", processor_time)
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    allowance = Allowance(1, 10)
    for _ in range(3600):
        now += 1
        assert not allowance.is_spent()
    used = 10.0
    assert allowance.is_spent()


def test_waiting_is_counted_as_long_as_nothing_computes(monkeypatch):
    now, used = 0.0, 0.0
    monkeypatch.setattr(supervisor, "processor_time", lambda root: (used, False))
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now)
    allowance = Allowance(1, 10)
    for _ in range(5):  # seen asleep, but it has computed half of the time
        now += 1
        used += 0.5
        assert not allowance.is_spent()
    for _ in range(9):
        now += 1
        assert not allowance.is_spent()
    now += 1
    assert allowance.is_spent()


def test_without_proc_the_processes_are_those_of_ps(monkeypatch):
    by_proc = descendants(os.getppid())
    monkeypatch.setattr(supervisor, "_PROC", "/nonexistent")
    assert os.getpid() in descendants(os.getppid())
    assert set(by_proc) - set(descendants(os.getppid())) <= set(by_proc) - {os.getpid()}
    assert supervisor.processor_time(os.getppid())[0] > 0


def test_the_temporary_files_of_a_program_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = process.run(["sh", "-c", "mkdir $TMPDIR/folder; touch $TMPDIR/folder/file; echo $TMPDIR"])
    assert Path(done.output.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        process.run(["no-such-program"])


def test_exit_codes_are_the_programs():
    assert process.run(["sh", "-c", "exit 7"]).exit_code == 7
    assert process.run(["sh", "-c", "kill -15 $$"]).exit_code == -15


def test_a_program_that_runs_others_gives_them_less():
    program = "from springbok.support import process; print(process.TIME_LIMIT_SECONDS)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert process.run([sys.executable, "-c", program], time_limit=100, environment=environment).output == "80.0\n"
