# SPDX-License-Identifier: Apache-2.0
"""Files and folders under an operating system's worst moods: full, read-only, killed in the middle, in use."""

import errno
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from springbok import cli
from springbok.cli import run
from springbok.gate import verdicts
from springbok.measuring import metrics
from springbok.support import cache, process
from springbok.support.cache import Cache, digest
from springbok.support.errors import BenchError
from springbok.support.files import (
    StorageError,
    build_folder,
    storage_error,
    temporary_folder,
    wait_for_others,
    write_in_one_step,
)
from springbok.support.places import KEYWORDS
from springbok.support.results_folder import ResultsInUse, claimed, outputs


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@contextmanager
def failing(monkeypatch, number):
    """Every file that is renamed, and every folder that is made, fails."""

    def fail(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        patched.setattr(Path, "rename", fail)
        yield


# ---- What several need at once


def test_who_needs_what_another_is_making_waits_for_it(tmp_path, monkeypatch):
    begun, looked, made = Event(), Event(), []

    def make(folder):
        made.append(folder)
        begun.set()
        assert looked.wait(60)
        (folder / "made.txt").write_text("once")

    def look(*place):
        if begun.is_set():
            looked.set()
        wait_for_others(*place)

    monkeypatch.setattr(cache, "wait_for_others", look)
    key = digest("the same")
    with ThreadPoolExecutor(2) as team:
        first = team.submit(Cache(tmp_path).entry, "name", key, make)
        assert begun.wait(60)
        second = team.submit(Cache(tmp_path).entry, "name", key, make)
        (folder, was_there), (same, was_there_then) = first.result(), second.result()
    assert folder == same
    assert (was_there, was_there_then, len(made)) == (False, True, 1)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_the_oldest_entries_go(tmp_path):
    entries = [Cache(tmp_path).entry("name", digest(number), lambda _: None)[0] for number in range(5)]
    for age, entry in enumerate(reversed(entries)):
        os.utime(entry, (0, 1000 - age))
    Cache(tmp_path).keep_newest(2)
    assert set(tmp_path.iterdir()) == set(entries[3:])
    Cache(tmp_path).keep_newest(2)
    assert set(tmp_path.iterdir()) == set(entries[3:])


def test_nobody_waits_for_who_was_killed(tmp_path):
    key = digest("the same")
    program = "import sys, time; from pathlib import Path; from springbok.support.cache import Cache\n"
    program += "def make(folder):\n    print(folder, flush=True); time.sleep(600)\n"
    program += "Cache(Path(sys.argv[1])).entry('name', sys.argv[2], make)"
    command = [sys.executable, "-c", program, str(tmp_path), key]
    with subprocess.Popen(command, cwd=KEYWORDS, stdout=subprocess.PIPE) as maker:
        assert maker.stdout.readline()
        maker.kill()
    folder, was_there = Cache(tmp_path).entry("name", key, lambda folder: (folder / "made.txt").write_text("again"))
    assert not was_there
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


# ---- Full and forbidden disks


def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(small_disk):
    path = write_in_one_step(small_disk / "metrics.json", "old")
    with pytest.raises(StorageError, match=r"disk/metrics\.json can't be written: the disk is full\. Free some space"):
        write_in_one_step(path, "new " * 30000)
    assert path.read_text() == "old"
    assert list(small_disk.iterdir()) == [path]


def test_a_cache_on_a_full_disk_is_a_sentence_and_leaves_no_entry(small_disk):
    cache = Cache(small_disk / "cache")
    with pytest.raises(StorageError, match=r"disk/cache.* can't be written: the disk is full"):
        cache.entry("model", digest(1), lambda folder: (folder / "x").write_bytes(bytes(100_000)))
    assert list(cache.folder.iterdir()) == []


def test_a_file_that_grows_beyond_the_limit_of_the_process_is_a_sentence(tmp_path):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StorageError, match="larger than this process may write"):
            write_in_one_step(tmp_path / "report.html", "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"), (errno.EACCES, "no right")],
)
def test_every_way_of_writing_names_the_file_and_leaves_nothing(tmp_path, monkeypatch, number, words):
    cache = Cache(tmp_path / "cache")
    writers = {
        "metrics.json": lambda: metrics.write(tmp_path / "metrics.json", {}),
        "gate.json": lambda: verdicts.VerdictFile(tmp_path).add([]),
        "cache": lambda: cache.entry("model", digest(1), lambda folder: None),
    }
    for name, write in writers.items():
        with failing(monkeypatch, number), pytest.raises(StorageError, match=f"{name}.* can't be written: .*{words}"):
            write()
    assert [path for path in tmp_path.rglob("*") if path != cache.folder] == []


def test_what_can_not_be_read_is_not_said_to_be_unwritable(tmp_path):
    def make(folder):
        raise PermissionError(errno.EACCES, "Permission denied", "/somebody/elses/model.onnx")

    with pytest.raises(PermissionError):
        Cache(tmp_path).entry("model", digest(1), make)


def test_a_command_says_in_a_sentence_what_the_disk_lacks(tmp_path, monkeypatch, capsys):
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    def build(chip):
        raise storage_error(error)

    monkeypatch.setattr(run, "build_firmware", build)
    assert cli.main(["run", "--engine", "spike", "--results", str(tmp_path)]) == 2
    assert f"{tmp_path / 'x'} can't be written: the disk is full." in capsys.readouterr().err


# ---- Read-only checkouts


def test_a_read_only_checkout_builds_in_the_users_cache(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    (root / "build").mkdir(parents=True)
    assert build_folder(root) == root / "build"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(root))
    assert build_folder(root).is_relative_to(tmp_path / "cache" / "springbok-bench")
    assert build_folder(root) != build_folder(tmp_path / "checkout" / "other")


# ---- What killed processes leave

KILLED = """
import os, signal, sys
from pathlib import Path
from springbok.support import files
from springbok.support.cache import Cache, digest
place = Path(sys.argv[1])

def end(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "cache":
    Cache(place).entry("model", digest(1), end)
elif sys.argv[2] == "file":
    Path.replace = end
    files.write_in_one_step(place / "metrics.json", "{}")
else:
    with files.temporary_folder(place=place) as folder:
        (folder / "file").touch()
        end()
"""


@pytest.mark.parametrize("what", ["cache", "file", "folder"])
def test_the_next_one_clears_away_what_a_killed_process_left(tmp_path, what):
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert process.run([sys.executable, "-c", KILLED, tmp_path, what], environment=environment).exit_code == -9
    assert len(list(tmp_path.iterdir())) == 1
    if what == "cache":
        Cache(tmp_path).entry("other", digest(2), lambda folder: None)
        assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["other"]
    elif what == "file":
        write_in_one_step(tmp_path / "metrics.json", "{}")
        assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    else:
        with temporary_folder(place=tmp_path) as folder:
            assert list(tmp_path.iterdir()) == [folder]


def test_what_a_living_process_writes_stays(tmp_path):
    cache = Cache(tmp_path)

    def make(folder):
        Cache(tmp_path).entry("inner", digest(2), lambda folder: None)
        assert folder.is_dir()
        (folder / "file").touch()

    entry, _ = cache.entry("outer", digest(1), make)
    assert (entry / "file").exists()


# ---- A folder of results has one owner

HOLDER = """
import sys
from springbok.support.results_folder import claimed
with claimed(sys.argv[1]):
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("ending", [None, signal.SIGKILL])
def test_a_folder_in_use_says_by_whom_and_is_free_when_that_ends(tmp_path, capsys, ending):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as holder:
        holder.stdout.readline()
        words = rf"{tmp_path} is in use by process {holder.pid}, since 20\d\d-.*: -c"
        with pytest.raises(ResultsInUse, match=words), claimed(tmp_path):
            pass
        (tmp_path / "metrics.json").write_text(json.dumps({"schema": 1, "models": []}))
        assert cli.main(["report", str(tmp_path)]) == 2
        assert "a copy of the results" in capsys.readouterr().err
        assert cli.main(["compare", str(tmp_path), str(tmp_path), "--output", str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert "--output FOLDER" in told and "--results" not in told
        if ending:
            holder.send_signal(ending)
        holder.stdin.close()
    with claimed(tmp_path), claimed(tmp_path):  # a command may call another of the same folder
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


# ---- Where Robot's options put things


def test_the_results_are_where_robots_options_say(tmp_path):
    assert outputs([], tmp_path).folder == tmp_path
    other = outputs(["-d", str(tmp_path / "other"), "--xunit", "junit", "--log", "NONE"], tmp_path)
    assert other.folder == tmp_path / "other"
    assert other.xunit == tmp_path / "other" / "junit.xml"
    assert other.missing() == ["--log NONE: there is no log.html."]
    assert "summary.md" in outputs(["--output=none"], tmp_path).missing()[0]


SUITE = "*** Test Cases ***\nShould Pass\n    Log    passed\n"


@pytest.mark.parametrize("options", [["--outputdir", "other"], ["--output", "NONE"], ["--timestampoutputs"]])
def test_a_run_says_where_its_log_is_or_why_there_is_none(tmp_path, monkeypatch, capsys, options):
    suite = tmp_path / "pass.robot"
    suite.write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "build_firmware", lambda chip: SimpleNamespace(built=False, summary=lambda: ""))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "log.html").write_text("an earlier run's")
    status = cli.main(["run", str(suite), "--engine", "spike", "--results", "results", "--", *options])
    out = capsys.readouterr().out
    assert status == 0
    if options[0] == "--outputdir":
        assert "Log:     other/log.html" in out
        assert (tmp_path / "other" / "summary.md").exists()
    elif options[0] == "--output":
        assert "Log:" not in out
        assert "Missing: --output NONE" in out
    else:
        assert "Log:     results/log-2" in out
        assert (tmp_path / "results" / "summary.md").exists()


def test_temporary_files_stay_apart(tmp_path):
    with temporary_folder(place=tmp_path) as one, temporary_folder(place=tmp_path) as other:
        assert one != other
    assert list(tmp_path.iterdir()) == []


def test_a_folder_goes_in_which_something_still_writes(tmp_path, monkeypatch):
    """As a process that is just ending does: the first removals find new files."""
    remove, left = shutil.rmtree, iter("ab")

    def removed_meanwhile(folder, **options):
        remove(folder, **options)
        for name in itertools.islice(left, 1):
            folder.mkdir()
            (folder / name).touch()

    monkeypatch.setattr(shutil, "rmtree", removed_meanwhile)
    with temporary_folder(place=tmp_path) as folder:
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_where_the_results_should_go_is_named(tmp_path, below):
    file = tmp_path / "results"
    file.write_text("mine")
    with (
        pytest.raises(BenchError, match=f"The results can't go to .*: {file} is a file. Name a folder"),
        claimed(file / below),
    ):
        pass
    assert file.read_text() == "mine"
