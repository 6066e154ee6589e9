# SPDX-License-Identifier: Apache-2.0
"""The trial of Keras models in every form: how a file ends, and what the table says."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from springbok.session import Session
from springbok.support.errors import CompileError, ModelError
from springbok.support.places import KEYWORDS, MODELS
from springbok.trials import framework_server, frameworks
from springbok.trials.frameworks import File, Result, run, table
from springbok.trials.operators import Verdict

FOLDERS_AND_SOCKET = 4
SENTENCE = "model.keras can't be used: its layer 'a' is stateful. Make the state an input.\nThe flags were: --x"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ModelError(SENTENCE), Verdict.REFUSED),
        (ModelError("its layer 'a' is stateful."), Verdict.CRASH),  # which file?
        (ModelError("model.keras can't be used: ValueError: zip()."), Verdict.CRASH),
        (CompileError("iree-compile can't compile model.keras: the compiler crashed at line 3."), Verdict.CRASH),
        (CompileError("The module of model.keras does not compute what the model does: output 0."), Verdict.WRONG),
        (KeyError("x"), Verdict.CRASH),
    ],
)
def test_how_a_file_ends(monkeypatch, tmp_path, error, verdict):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(frameworks, "compile_and_check", fails)
    assert run(Session(), File("model", "keras", Path("model.keras")), tmp_path).verdict is verdict


def test_a_right_answer_comes_from_the_chip(tmp_path):
    session = Session()
    session.boot("spike", count_opcodes=False, sensor=False)
    try:
        result = run(session, File("conv1d", "float", MODELS / "conv1d.tflite"), tmp_path)
    finally:
        session.shut_down()
    assert result.verdict is Verdict.RIGHT, result


def test_the_table_names_what_is_not_right_and_counts_by_form():
    results = [
        Result(File("one", "keras"), Verdict.RIGHT),
        Result(File("two", "keras"), Verdict.WRONG, "output 0"),
        Result(File("two", "int8"), None, "no such kernel"),
    ]
    lines = table(results).splitlines()
    assert "two" in lines[0]
    assert "output 0" in lines[0]
    assert [line.split()[1:] for line in lines[-2:]] == [["0", "0", "0", "0", "1"], ["1", "0", "1", "0", "1"]]


def test_a_server_ends_with_who_started_it_however_that_ended(tmp_path):
    place = tmp_path / "frameworks" / "socket"
    place.parent.mkdir()
    killed = (
        "import os, signal, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, {framework_server.__file__!r}, {str(place)!r}])\n"
        f"while not os.path.exists({str(place)!r}): time.sleep(0.02)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    while place.parent.exists():
        time.sleep(0.05)


@pytest.fixture
def short_folder():
    """For the path of a socket, which has 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_job_whose_program_is_ended(tmp_path, short_folder, number):
    """The job waits for a model that nobody writes, with folders of the program, of the server and of its own."""
    temporary, model, job = short_folder, tmp_path / "model.onnx", tmp_path / "job.json"
    os.mkfifo(model)
    described = {"do": "import", "framework": "onnx", "model": str(model), "folder": str(tmp_path)}
    job.write_text(json.dumps(described | {"shapes": [], "signature": None}))
    program = (
        "from springbok.trials.framework_server import FrameworkServer\n"
        f"FrameworkServer()._ask({{'job': {str(job)!r}}})\n"
    )
    options = {"env": os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(KEYWORDS)}}
    with subprocess.Popen([sys.executable, "-c", program], **options) as process:
        while len(list(temporary.rglob("*"))) < FOLDERS_AND_SOCKET:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
    until = time.monotonic() + 60
    while list(temporary.iterdir()) or is_running(temporary):
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(folder):
    """Whether a process was started with something in the folder, or forked from one that was."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(str(folder).encode() in file.read_bytes())
    return any(found)
