# SPDX-License-Identifier: Apache-2.0
"""``./bench mlperf --serve`` at a pseudo-terminal, to a program that does what the benchmark's runner does.

It finds the port by its USB identity, opens it, asks who is there and closes it again; opens it once more for the
test; reads byte by byte, strictly; gives up after 5 s without a line; loads files in commands of 31 bytes, and takes
times and results from the answers. A stream it has the interface board play.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.data.packaged.wake_word import features_of
from springbok.data.runner_files import STREAM_SOUND, STREAM_TRUTH, read_sound
from springbok.exploring.mlperf import answers, loaded, windows
from springbok.link.interface_board import InterfaceBoard
from springbok.link.runner_port import RunnerPort
from springbok.measuring.mlperf import TASKS
from springbok.support.errors import LinkError
from springbok.support.places import MODELS, ROOT
from springbok.tensors import TensorSpec

SEED = 7
SHARE = 8  # of a stream's windows, which are inferred over the link too
INPUT = TensorSpec("input", (1, 30, 1, 40), "int8", 1 / 255, -128)
START_SECONDS, END_SECONDS = 1200, 60

RUNNER = """
import json, queue, re, sys, threading, time
import serial
from serial.tools import list_ports

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

def found(product):
    (board,) = [each for each in list_ports.comports(True) if each.vid == 0x0483 and each.pid == product]
    return Device(board.device)

def identify(device):
    with device:
        time.sleep(0.2)
        name = said(device.command("name"), r"^m-(name)-dut-\\[([^]]+)]$")[2]
        model = said(device.command("profile"), r"^m-(model)-\\[([^]]+)]$")[2]
        profile = said(device.command("profile"), r"^m-(profile)-\\[([^]]+)]$")[2]
    return {"name": name, "model": model, "profile": profile}

def measure(path, window):
    device = found(0x374B)
    answer, data, results = identify(device), open(path, "rb").read(), []
    with device:
        for at in range(0, len(data), window):
            assert load(device, data[at : at + window]) == ["m-load-done", "m-ready"]
            results.append(infer(device, 1, 0))
        results.append(infer(device, 10, 1))
    return {**answer, "found": results}

def stream(sound):
    board, device = found(0x374E), found(0x374B)
    with board:
        board.command("setbaud 115200")
        answer = identify(device)
        with device:
            device.command("stop")
            device.command("start")
            board.command("record_detections")
            board.command(f"play {sound}")
            return {
                **answer,
                "stopped": device.command("stop"),
                "detections": board.command("print_detections"),
                "duty": board.command("print_dutycycle"),
            }

*inputs, window = sys.argv[1:3]
print(json.dumps(stream(*inputs) if window == "stream" else measure(*inputs, int(window))))
"""


@contextmanager
def served(*arguments: str) -> Iterator[list[str]]:
    """The command, without its Python, that runs the runner's program on what waits; it ends by Ctrl-C, and nothing is
    left."""
    command = [sys.executable, "-m", "springbok.cli", "mlperf", "--serve", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "keywords"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        found = re.search(r"waits at (/dev/\S+);", lines[0])
        assert found, "".join(lines) + process.stderr.read()
        yield shlex.split(lines[1])[shlex.split(lines[1]).index("python") + 1 :]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode in (130, -signal.SIGINT)
        assert not Path(found[1]).exists()
    finally:
        process.kill()
        process.communicate()


def run(command: list[str], folder: Path, *arguments: str) -> dict:
    """What the program finds that does what the runner does."""
    (folder / "main.py").write_text(RUNNER)
    program = [sys.executable, *command[: command.index("main.py") + 1], *arguments]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def inputs_of(task: str, count: int) -> tuple[bytes, int]:
    """Bytes of so many inputs as a runner's file has them, and how many bytes one has."""
    spec = compile_and_check(MODELS / TASKS[task].model, Target()).inputs[0]
    generator = np.random.default_rng(SEED)
    if task == "ad01":
        return generator.standard_normal((count, spec.elements)).astype("<f4").tobytes(), 4 * spec.elements
    return generator.integers(0, 256, (count, spec.elements), np.uint8).tobytes(), spec.elements


@pytest.mark.parametrize("task", ["kws01", "ad01"])
def test_a_runner_is_served(task, tmp_path):
    data, window = inputs_of(task, 3)
    (tmp_path / "inputs.bin").write_bytes(data)
    with served(task) as command:
        assert command[command.index("main.py") + 1 :] == [
            f"--device_list={TASKS[task].devices}",
            "--dataset_path=DATASETS",
            "--mode=a",
        ]
        said = run(command, tmp_path, "inputs.bin", str(window))
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


def test_a_stream_is_played_by_the_board(tmp_path):
    """Activations are those of the recording's windows over the link; the board tells what was detected, and when."""
    datasets, seconds = tmp_path / "datasets", 5
    with served("sww01", "--data", str(datasets), "--stream", str(seconds)) as command:
        assert command[-2:] == [f"--dataset_path={datasets}", "--mode=p"]
        said = run(command, tmp_path, STREAM_SOUND, "stream")
    (truth,) = json.loads((datasets / "sww01" / STREAM_TRUTH).read_text())
    assert (truth["wav_file"], truth["length_sec"]) == (STREAM_SOUND, seconds) and truth["detection_windows"]
    task, model = TASKS["sww01"], compile_and_check(MODELS / TASKS["sww01"].model, Target())
    frames = model.inputs[0].to_raw(features_of(read_sound(datasets / "sww01" / STREAM_SOUND)))
    some = windows(model.inputs[0], frames)[::SHARE]
    with loaded(model, count_opcodes=False) as session:
        expected = [int(output.reshape(-1)[0]) for output in answers(session, model, some, None)]
    listed = re.search(r"target activations:\s*\[(.*?)\]", "".join(said["stopped"]))[1]
    activations = [int(each) for each in listed.split(",")]
    assert len(activations) == len(frames) and activations[::SHARE] == expected and len(set(expected)) > 3
    _, frame_us, threshold = task.stream
    heading, *detections, ready = said["detections"]
    assert (heading, ready) == ("Detection Timestamps (ms)", "m-ready")
    times = [(at + 1) * frame_us // 1000 for at, value in enumerate(activations) if at == 0 or value > threshold]
    assert [int(each.strip(",")) for each in detections] == times
    begins, ends = duty_of(said["duty"])
    assert begins == [3200 * (at + 1) for at in range(len(frames))]
    busy = int(re.search(r"m-busy-us-(\d+)", "\n".join(said["stopped"]))[1])
    assert sum(ends) - sum(begins) == busy // 10 > 0
    assert max(end - begin for begin, end in zip(begins, ends, strict=True)) < 3200


def duty_of(lines: list[str]) -> tuple[list[int], list[int]]:
    """Begins and ends of the board's answer."""
    middle = lines.index("Duty cycle stop times (s)")
    assert lines[0] == "Duty cycle start times (s)" and lines[-1] == "m-ready"
    begins, ends = (
        [int(each) for line in part for each in line.split(",") if each.strip()]
        for part in (lines[1:middle], lines[middle + 1 : -1])
    )
    assert len(begins) == len(ends)
    return begins, ends


# ---- The board, without a chip


@pytest.fixture
def board(tmp_path):
    (tmp_path / "other.wav").write_bytes(b"RIFF")
    with InterfaceBoard(tmp_path, INPUT, 32_000) as made:
        yield made


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("name%", "springbok-bench, interface board\r\nm-ready\r\n"),
        ("setbaud 9600%", "m-ready\r\n"),
        ("ls%", "other.wav\r\nm-ready\r\n"),
        ("print_dutycycle%", "Duty cycle start times (s)\r\nDuty cycle stop times (s)\r\nm-ready\r\n"),
        ("frobnicate%", "e-[Unknown command]\r\nm-ready\r\n"),
        ("%", "e-[Unknown command]\r\nm-ready\r\n"),
        ("play nothing.wav%", "e-[*nothing.wav can't be read: No such file*]\r\nm-ready\r\n"),
        ("play ../other.wav%", "e-[*other.wav is no WAV file: it ends too early]\r\nm-ready\r\n"),
    ],
)
def test_what_the_board_answers_alone(board, asked, answer):
    with serial.Serial(board.path, 115200, timeout=10) as runner:
        for part in (asked[:-2], asked[-2:]):
            runner.write(part.encode())
            runner.flush()
            board.serve(None)
        for _ in range(1000):  # what was written takes a moment
            if runner.in_waiting:
                break
            time.sleep(0.01)
            board.serve(None)
        said = runner.read_until(b"m-ready\r\n").decode()
    assert fnmatch.fnmatchcase(said, answer.replace("[", "[[]"))


@given(busy=st.integers(0, 10**9), frames=st.integers(1, 2000))
@settings(max_examples=50, deadline=None)
def test_the_frames_of_a_duty_cycle_take_what_all_took(busy, frames):
    with InterfaceBoard(Path(), INPUT, 32_000) as board:
        board._frames = frames
        text = f"m-frames-{frames}\r\nm-busy-us-{busy}\r\ntarget".encode()
        for at in range(0, len(text), 7):
            board.listen(text[at : at + 7])
        begins, ends = duty_of([*board._print_duty_cycle(), "m-ready"])
    assert len(begins) == frames and sum(ends) - sum(begins) == busy // 10
    durations = [end - begin for begin, end in zip(begins, ends, strict=True)]
    assert max(durations) - min(durations) <= 1


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


def said_next(runner: serial.Serial, expected: bytes) -> bool:
    """Whether this comes, perhaps behind empty lines, and then nothing for as long as a port is patient."""
    said = runner.read_until(expected).lstrip(b"\r\n")
    time.sleep(10 * PATIENCE)
    return said == expected and not runner.in_waiting


def test_nothing_is_said_in_the_midst_of_a_line_or_between_commands(before_a_chip):
    port, chip = before_a_chip
    with serial.Serial(port.path, 115200, timeout=END_SECONDS) as runner:
        runner.write(b"name%")
        assert chip.recv(64) == b"name%"
        chip.sendall(b"m-na")
        assert said_next(runner, b"m-na")
        chip.sendall(b"me\r\nm-ready\r\n")
        assert said_next(runner, b"me\r\nm-ready\r\n")
        runner.write(b"\x00%\xff")
        assert chip.recv(64) == b"\x00%\xff", "a frame of the link's is no command"
        time.sleep(10 * PATIENCE)
        assert not runner.in_waiting


def test_a_port_is_opened_again(before_a_chip):
    port, chip = before_a_chip
    for command in (b"name%", b"profile%"):
        with serial.Serial(port.path, 115200, timeout=END_SECONDS) as runner:
            runner.write(command)
            assert chip.recv(64) == command
            chip.sendall(b"m-ready\r\n")
            assert said_next(runner, b"m-ready\r\n")


def test_a_chip_that_left_is_an_error():
    server = socket.create_server(("127.0.0.1", 0))
    with server, RunnerPort(f"socket://127.0.0.1:{server.getsockname()[1]}", PATIENCE) as port:
        server.accept()[0].close()
        with pytest.raises(LinkError, match="left its line"):
            port.serve(5)
