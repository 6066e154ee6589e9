# SPDX-License-Identifier: Apache-2.0
"""``./bench mlperf --serve`` at a pseudo-terminal, to a program that does what the benchmark's runner does.

It finds the port by its USB identity, opens it, asks who is there and closes it again; opens it once more for the
test; reads byte by byte, strictly; gives up after 5 s without a line; loads files in commands of 31 bytes, and takes
times and results from the answers.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import serial

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.link import announced_port
from springbok.link.runner_port import RunnerPort
from springbok.measuring.mlperf import TASKS
from springbok.support.errors import LinkError
from springbok.support.places import MODELS, ROOT

SEED = 7
START_SECONDS, END_SECONDS = 300, 60

RUNNER = """
import json, queue, re, sys, threading, time
import serial
from serial.tools import list_ports

WINDOW = int(sys.argv[2])

class Device:
    def __init__(self, port):
        self.port, self.lines, self.entered = serial.Serial(port, 115200, timeout=0.1), queue.Queue(), 0

    def __enter__(self):
        self.port.__enter__()
        self.running = True
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        return self

    def __exit__(self, *reason):
        self.running = False
        self.thread.join()
        self.port.__exit__(*reason)

    def read(self):
        line = ""
        while self.running:
            character = self.port.read(1).decode()
            if character == "\\n":
                self.lines.put(line)
                line = ""
            elif character and character not in "\\r\\0":
                line += character
        assert not line, f"lost: {line}"

    def command(self, text):
        self.port.write(text.encode())
        self.port.write(b"%")
        lines = []
        while True:
            line = self.lines.get(timeout=5)
            if line:
                lines.append(line)
            if "m-ready" in line:
                return lines

def said(lines, pattern):
    found = [match for line in lines if (match := re.match(pattern, line))]
    assert found, (pattern, lines)
    return found[0]

def load(device, data):
    device.command(f"db load {len(data)}")
    for at in range(0, len(data), 31):
        last = device.command("db " + "".join(f"{byte:02x}" for byte in data[at : at + 31]))
    return last

def infer(device, count, warmups):
    lines, result = device.command(f"infer {count} {warmups}"), {}
    for line in lines:
        if match := re.match(r"^m-results-\\[([^]]+)\\]$", line):
            result["results"] = [float(each) for each in match[1].split(",") if each.strip()]
        if match := re.match(r"^m-lap-us-([0-9]+)$", line):
            result["end" if "start" in result else "start"] = int(match[1])
    result["elapsed"] = result["end"] - result["start"]
    return result

(board,) = [each for each in list_ports.comports(True) if each.vid == 0x0483 and each.pid == 0x374B]
device = Device(board.device)
with device:
    time.sleep(0.2)
    name = said(device.command("name"), r"^m-(name)-dut-\\[([^]]+)]$")[2]
    model = said(device.command("profile"), r"^m-(model)-\\[([^]]+)]$")[2]
    profile = said(device.command("profile"), r"^m-(profile)-\\[([^]]+)]$")[2]
data, found = open(sys.argv[1], "rb").read(), []
with device:
    for at in range(0, len(data), WINDOW):
        assert load(device, data[at : at + WINDOW]) == ["m-load-done", "m-ready"]
        found.append(infer(device, 1, 0))
    found.append(infer(device, 10, 1))
print(json.dumps({"name": name, "model": model, "profile": profile, "found": found}))
"""


@pytest.fixture
def served(request):
    """The path of the port where a task's chip waits; it ends by Ctrl-C, and nothing is left."""
    command = [sys.executable, "-m", "springbok.cli", "mlperf", "--serve", request.param]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "keywords"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"waits at (/dev/\S+);", line)
        assert found, line + process.stderr.read()
        yield request.param, found[1]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode in (130, -signal.SIGINT)
        assert not Path(found[1]).exists()
    finally:
        process.kill()
        process.communicate()


def inputs_of(task: str, count: int) -> tuple[bytes, int]:
    """Bytes of so many inputs as a runner's file has them, and how many bytes one has."""
    spec = compile_and_check(MODELS / TASKS[task].model, Target()).inputs[0]
    generator = np.random.default_rng(SEED)
    if task == "ad01":
        return generator.standard_normal((count, spec.elements)).astype("<f4").tobytes(), 4 * spec.elements
    return generator.integers(0, 256, (count, spec.elements), np.uint8).tobytes(), spec.elements


@pytest.mark.parametrize("served", ["kws01", "ad01"], indirect=True)
def test_a_runner_is_served(served, tmp_path):
    task, port = served
    data, window = inputs_of(task, 3)
    (tmp_path / "runner.py").write_text(RUNNER)
    (tmp_path / "inputs.bin").write_bytes(data)
    command = [sys.executable, announced_port.__file__, port, "runner.py", "inputs.bin", str(window)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["model"], said["name"]) == (task, "springbok-bench")
    *single, timed = said["found"]
    assert len(single) == 3
    assert timed["results"] == single[-1]["results"], "the last input stays loaded"
    assert timed["elapsed"] > single[-1]["elapsed"] > 0
    if task == "kws01":
        assert all(len(each["results"]) == 12 and abs(sum(each["results"]) - 1) < 0.1 for each in single)
    else:
        assert all(len(each["results"]) == 1 and each["results"][0] > 0 for each in single)
    assert len({tuple(each["results"]) for each in single}) > 1


# ---- The port before a slow chip

PATIENCE = 0.05


@pytest.fixture
def before_a_chip():
    """A port, served in a thread, and the chip's end of its line."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = RunnerPort(f"socket://127.0.0.1:{server.getsockname()[1]}", PATIENCE)
        chip, _ = server.accept()
        ended = threading.Event()

        def serve():
            while not ended.is_set():
                port.serve(PATIENCE)

        thread = threading.Thread(target=serve)
        thread.start()
        yield port, chip
        ended.set()
        thread.join()
        port.close()
        chip.close()


def test_a_runner_is_kept_patient(before_a_chip):
    port, chip = before_a_chip
    with serial.Serial(port.path, 115200, timeout=10) as runner:
        runner.write(b"infer 1 0%")
        assert chip.recv(64) == b"infer 1 0%"
        assert runner.readline() == runner.readline() == b"\r\n"
        chip.sendall(b"m-lap-us-5\r\nm-ready\r\n")
        lines = [runner.readline()]
        while lines[-1] != b"m-ready\r\n":
            lines.append(runner.readline())
        assert [line for line in lines if line != b"\r\n"] == [b"m-lap-us-5\r\n", b"m-ready\r\n"]


def test_nothing_is_said_in_the_midst_of_a_line_or_between_commands(before_a_chip):
    port, chip = before_a_chip
    with serial.Serial(port.path, 115200, timeout=10 * PATIENCE) as runner:
        runner.write(b"name%")
        assert chip.recv(64) == b"name%"
        chip.sendall(b"m-na")
        assert runner.read(100) == b"m-na"
        chip.sendall(b"me\r\nm-ready\r\n")
        assert runner.read(100) == b"me\r\nm-ready\r\n"
        runner.write(b"\x00%\xff")
        assert chip.recv(64) == b"\x00%\xff", "a frame of the link's is no command"
        assert runner.read(100) == b""


def test_a_port_is_opened_again(before_a_chip):
    port, chip = before_a_chip
    for command in (b"name%", b"profile%"):
        with serial.Serial(port.path, 115200, timeout=10) as runner:
            runner.write(command)
            assert chip.recv(64) == command
            chip.sendall(b"m-ready\r\n")
            assert runner.readline() == b"m-ready\r\n"


def test_a_chip_that_left_is_an_error():
    server = socket.create_server(("127.0.0.1", 0))
    with server, RunnerPort(f"socket://127.0.0.1:{server.getsockname()[1]}", PATIENCE) as port:
        server.accept()[0].close()
        with pytest.raises(LinkError, match="left its line"):
            port.serve(5)
