# SPDX-License-Identifier: Apache-2.0
"""MLPerf Tiny's rules, its runner's files, the table, and the client against a line that answers what it wants."""

from __future__ import annotations

import json
import socket
import threading
import time
import wave
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok.cli import main
from springbok.cli.mlperf import as_markdown
from springbok.data import runner_files
from springbok.data.packaged import wake_word
from springbok.exploring.mlperf import Judged, Row, check_fits, input_of, windows
from springbok.link.failures import details_of, sentence
from springbok.link.mlperf import MlperfRunner, RunnerInferences
from springbok.measuring.mlperf import (
    TASKS,
    area_under_curve,
    bytes_of,
    judge_detections,
    results_of,
    top_1,
)
from springbok.support.errors import DatasetError, DeviceError, LinkError, LinkTimeout, ModelError
from springbok.support.places import MODELS, ROOT
from springbok.tensors import TensorSpec

INT8 = TensorSpec("input", (1, 4), "int8", scale=0.5, zero_point=-3)
SCORES = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30)


# ---- Rules


def test_targets_are_the_closed_divisions():
    told = {task.name: task.target_text for task in TASKS.values()}
    assert told.items() >= {"kws01": "90 %", "vww01": "80 %", "ic01": "85 %", "ad01": "0.85"}.items()
    documented = (ROOT / "docs" / "mlperf.md").read_text()
    for task in TASKS.values():
        assert f"| `{task.name}` | {task.title} | `{task.model}` | {task.target_text}" in documented
        assert (MODELS / task.model).is_file()


@given(SCORES)
def test_area_is_how_often_an_anomaly_is_above_what_is_normal(pairs):
    """By all pairs, one by one."""
    anomalies = [score for score, is_anomaly in pairs if is_anomaly]
    normal = [score for score, is_anomaly in pairs if not is_anomaly]
    scores, labels = zip(*pairs, strict=True)
    if not anomalies or not normal:
        with pytest.raises(ModelError, match="both anomalies"):
            area_under_curve(scores, labels)
        return
    above = sum((a > n) + (a == n) / 2 for a in anomalies for n in normal)
    assert area_under_curve(scores, labels) == pytest.approx(above / (len(anomalies) * len(normal)))


def test_the_largest_result_counts():
    assert top_1([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0], [0.5, 0.5, 0.0]], [1, 2, 0]) == pytest.approx(2 / 3)
    with pytest.raises(ModelError, match="1 results can't be judged by 2 labels"):
        top_1([[1.0]], [0, 0])
    with pytest.raises(ModelError, match="finite"):
        area_under_curve([float("nan"), 1.0], [0, 1])


@pytest.mark.parametrize(
    ("milliseconds", "found", "missed", "false"),
    [
        ([32], (), (1.0, 5.0), ()),
        ([32, 1032, 1064, 5532], (1.0, 5.0), (), ()),
        ([32, 3432], (1.0,), (5.0,), ()),  # two seconds after the word's end
        ([32, 3464], (), (1.0, 5.0), (3.432,)),
        ([32, 1000], (), (1.0, 5.0), (0.968,)),  # before the word
        ([32, 9032, 9532, 10032, 10064, 11100], (), (1.0, 5.0), (9.0, 10.032, 11.068)),
    ],
)
def test_detections(milliseconds, found, missed, false):
    judged = judge_detections(milliseconds, [(1.0, 1.4), (5.0, 5.5)])
    assert (judged.found, judged.missed) == (found, missed)
    assert judged.false == pytest.approx(false)


def test_a_stream_without_a_beginning():
    with pytest.raises(ModelError, match="marks the stream's begin"):
        judge_detections([], [])


@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].stream is None])
@given(values=st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4))
def test_what_the_runner_sends_becomes_the_models_input(name, values):
    real = np.array([values], np.float32)
    sent = bytes_of(TASKS[name], INT8, real)
    assert np.array_equal(input_of(TASKS[name], INT8, sent), INT8.to_raw(real))


def test_other_sizes_are_refused():
    with pytest.raises(ModelError, match="have 3 bytes, the model takes 16"):
        input_of(TASKS["ad01"], INT8, bytes(3))


def test_results_are_values_or_the_error():
    output = np.array([[1, -3, 0, 5]], np.int8)
    assert results_of(TASKS["kws01"], INT8, b"", output) == (2.0, 0.0, 1.5, 4.0)
    wanted = np.array([1.0, 0.0, 1.0, 2.0], "<f4")
    assert results_of(TASKS["ad01"], INT8, wanted.tobytes(), output) == ((1 + 0 + 0.25 + 4) / 4,)


def test_introductions_carry_scales():
    introduced = TASKS["ad01"].introduction(INT8, INT8)
    assert (introduced.model, introduced.input_scale, introduced.output_zero_point) == ("ad01", 0.5, -3)
    assert len(introduced.encode()) == 56
    unsigned = TensorSpec("input", (1, 4), "uint8", scale=0.5, zero_point=128)
    assert TASKS["kws01"].introduction(unsigned, unsigned).input_zero_point == 0, "only int8 is quantised on the chip"
    floats = TensorSpec("input", (1, 4), "float32")
    assert TASKS["ic01"].introduction(floats, floats).input == 0


# ---- The stream


@pytest.mark.parametrize(("dtype", "elements"), [("float32", 1200), ("int8", 1210)])
def test_a_stream_takes_whole_frames_of_int8(dtype, elements):
    model = SimpleNamespace(
        name="m", inputs=[TensorSpec("x", (1, elements), dtype)], outputs=[TensorSpec("y", (1, 3), dtype)]
    )
    with pytest.raises(ModelError, match="takes int8, 40 a frame"):
        check_fits(TASKS["sww01"], model)


def test_windows_begin_with_zeros_and_move_on_by_a_frame():
    spec = TensorSpec("input", (1, 3, 1, 2), "int8", scale=1.0)
    frames = np.arange(1, 9, dtype=np.int8).reshape(4, 2)
    assert [window.reshape(-1).tolist() for window in windows(spec, frames)] == [
        [0, 0, 0, 0, 1, 2],
        [0, 0, 1, 2, 3, 4],
        [1, 2, 3, 4, 5, 6],
        [3, 4, 5, 6, 7, 8],
    ]


def test_recordings_are_the_same_for_a_seed():
    first, again, other = wake_word.record(12, 3), wake_word.record.__wrapped__(12, 3), wake_word.record(12, 4)
    assert np.array_equal(first.features, again.features) and first.words == again.words
    assert not np.array_equal(first.features, other.features)
    assert first.features.shape == (374, wake_word.BANDS)
    assert first.features.min() >= 0 and first.features.max() <= 1
    spoken = sorted([*first.words, *first.others])
    assert all(end < begin for (_, end), (begin, _) in zip(spoken, spoken[1:], strict=False))
    assert spoken[-1][1] < first.seconds


def test_features_are_the_benchmarks():
    """By its definition, one frame and band at a time: preemphasis, Hamming, power, triangles in mel, decibels."""
    sound = np.random.default_rng(5).standard_normal(1024 + 2 * 512) * 0.3
    found = wake_word.features_of(sound, benchmark=True)
    assert found.shape == (3, 40)
    mel = [1127 * np.log1p(16_000 / 1024 * k / 700) for k in range(513)]
    width = mel[-1] / 41
    before = [0, *sound[:-1]]
    for frame, band in ((0, 0), (0, 39), (1, 17), (2, 30)):
        at = range(512 * frame, 512 * frame + 1024)
        heard = [
            (sound[i] - (1 - 2**-5) * before[i]) * (0.54 - 0.46 * np.cos(2 * np.pi * n / 1023))
            for n, i in enumerate(at)
        ]
        power = np.abs(np.fft.fft(heard)[:513]) ** 2 / 1024
        triangle = [max(0, 1 - abs(each - (band + 1) * width) / width) for each in mel]
        wanted = (10 * np.log10(np.dot(power, triangle)) + 52) / 64
        assert 0 < wanted < 1 and abs(found[frame, band] - wanted) < 1e-6


def test_the_clock_that_a_stream_needs():
    row = Row(TASKS["sww01"], "a", 1, 320_000, 1, 1, None)
    assert row.busy_megahertz == 10
    assert Row(TASKS["kws01"], "a", 1, 320_000, 1, 1, None).busy_megahertz is None


# ---- The runner's files


def write(folder, lines, **files):
    for name, data in files.items():
        (folder / f"{name}.bin").write_bytes(data)
    (folder / runner_files.LABELS).write_text("\n".join(lines) + "\n")


def test_files(tmp_path):
    (task := tmp_path / "ad01").mkdir()
    write(task, ["a.bin, 2, 0, 4, 2", "b.bin,2,1,4,2", ""], a=bytes(range(9)), b=bytes(4))
    first, second = runner_files.read(tmp_path, "ad01")
    assert (first.name, first.label, second.label) == ("a.bin", 0, 1)
    assert first.pieces == (b"\0\1\2\3", b"\2\3\4\5", b"\4\5\6\7")
    assert second.pieces == (bytes(4),)
    assert [each.name for each in runner_files.read(tmp_path, "ad01", 1)] == ["a.bin"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("missing.bin,2,0", r"line 1: .*missing.bin can't be read"),
        ("a.bin,2,zero", "line 1: class is 'zero'"),
        ("a.bin", "line 1: class is ''"),
        ("a.bin,2,0,10,1", "a window of 10 bytes"),
        ("a.bin,2,0,4,0", "step is '0'"),
    ],
)
def test_files_that_are_not_as_they_should_be(tmp_path, line, said):
    (task := tmp_path / "ad01").mkdir()
    write(task, [line], a=bytes(9))
    with pytest.raises(DatasetError, match=said):
        runner_files.read(tmp_path, "ad01")


def test_folders_without_files(tmp_path):
    with pytest.raises(DatasetError, match=r"kws01.y_labels.csv can't be read"):
        runner_files.read(tmp_path, "kws01")
    (tmp_path / "kws01").mkdir()
    write(tmp_path / "kws01", [])
    with pytest.raises(DatasetError, match="names no file"):
        runner_files.read(tmp_path, "kws01")


def test_the_runner_takes_the_larger_networks_images_from_the_smaller_ones():
    assert {task.name: task.inputs for task in TASKS.values() if task.inputs != task.name} == {"ic02": "ic01"}


def test_a_written_stream_is_the_recording(tmp_path):
    recording = wake_word.record(6, seed=4)
    runner_files.write_stream(tmp_path / "sww01", recording)
    sound = runner_files.read_sound(tmp_path / "sww01" / runner_files.STREAM_SOUND)
    assert np.array_equal(sound * 2**15, recording.sound)
    assert np.abs(wake_word.features_of(sound) - recording.features).max() < 0.02
    (truth,) = json.loads((tmp_path / "sww01" / runner_files.STREAM_TRUTH).read_text())
    assert truth["detection_windows"] == [list(word) for word in recording.words]
    with pytest.raises(DatasetError, match="is not empty"):
        runner_files.write_stream(tmp_path / "sww01", recording)


@pytest.mark.parametrize(("width", "rate", "said"), [(1, 16_000, "8 bits at 16000"), (2, 8_000, "16 bits at 8000")])
def test_other_sounds_are_refused(tmp_path, width, rate, said):
    with wave.open(str(tmp_path / "other.wav"), "wb") as file:
        file.setparams((1, width, rate, 0, "NONE", ""))
        file.writeframes(bytes(100))
    with pytest.raises(DatasetError, match=said):
        runner_files.read_sound(tmp_path / "other.wav")


# ---- The command


def test_table_as_markdown():
    judged = Judged("91.0 %", "200 files", is_met=True)
    rows = [Row(TASKS["kws01"], "a.tflite", 1234567, 7654321, 5000, 4000, judged)]
    table = as_markdown("Chip, VLEN 512", rows)
    quality = "91.0 % (200 files) | 90 % (top-1) | yes"
    assert f"| kws01 | keyword spotting | a.tflite | {quality} | 1,234,567 | 7,654,321 | 5,000 | 4,000 |" in table
    assert "MLPerfTiny_Rules.adoc" in table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kws1"], "no task 'kws1': did you mean 'kws01'?"),
        (["--model", "kws01"], "--model is TASK=FILE"),
        (["--model", "x=y.tflite"], "no task 'x'"),
        (["--files", "0"], "--files: 0: a number from 1 on"),
        (["--serve", "nothing"], "no task 'nothing'"),
        (["--threshold", "128"], "--threshold: 128: a number from -128 to 127"),
        (["--stream", "1"], "--stream is 0, or from 5"),
        (["--serve", "sww01", "--data", "/nowhere"], "/nowhere/sww01 is no folder"),
        (["--serve", "sww01", "--data", "/dev/null", "--stream", "5"], "can't be written"),
    ],
)
def test_what_the_command_refuses(capsys, arguments, said):
    assert main(["mlperf", *arguments]) == 2
    assert said.split(":")[0] in capsys.readouterr().err


def test_the_command_judges_by_the_runners_files(tmp_path, capsys):
    """Labels are the model's own answers, but for one: three of four are right."""
    (task := tmp_path / "kws01").mkdir()
    data = [np.random.default_rng(seed).integers(-128, 128, 490).astype(np.int8).tobytes() for seed in range(4)]
    write(task, [f"f{n}.bin,12,0" for n in range(4)], **{f"f{n}": each for n, each in enumerate(data)})
    arguments = ["mlperf", "kws01", "--data", str(tmp_path), "--json"]
    assert main(arguments) in (0, 1)
    (found,) = json.loads(capsys.readouterr().out)["tasks"]
    assert found["metric"] == "top-1" and found["samples"] == "4 files"
    share = float(found["quality"].removesuffix(" %"))
    assert found["target_met"] == (share >= 90)
    assert found["instructions"] > 50_000 and found["estimated_cycles"] > found["instructions"] / 4
    assert found["memory_bytes"] > found["module_bytes"] > 0
    costs = ("instructions", "estimated_cycles", "memory_bytes", "module_bytes")
    row = " | ".join(f"{found[cost]:,}" for cost in costs)
    assert f"| – | {row} |" in (ROOT / "docs" / "mlperf.md").read_text(), f"{row}: ./bench mlperf writes the table"


# ---- The client


def device(answers, first="m-lap-us-1\r\nm-ready\r\n"):
    """A port that tells the time, and answers each command after that with the next text; None: nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    heard = []

    def serve():
        with server, server.accept()[0] as line:
            for answer in [first, *answers]:
                command = b""
                while not command.endswith(b"%"):
                    part = line.recv(1)
                    if not part:
                        return
                    command += part
                heard.append(command.decode())
                if answer is not None:
                    line.sendall(answer.encode())
            with suppress(ConnectionError):
                line.recv(1)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"socket://127.0.0.1:{server.getsockname()[1]}", heard


def test_a_late_answer_is_never_the_next_commands():
    server = socket.create_server(("127.0.0.1", 0))
    sent, goes_on = threading.Event(), threading.Event()

    def serve():
        with server, server.accept()[0] as line:
            for _ in range(2):
                line.recv(100)
                line.sendall(b"m-lap-us-1\r\nm-ready\r\n")
            line.recv(100)
            line.sendall(b"m-lap-us-100\r\nm-lap")  # half a line, and the time is over
            sent.set()
            goes_on.wait()
            line.sendall(b"-us-600\r\nm-results-[1.000]\r\nm-ready\r\n")
            clock = 2000
            while commands := line.recv(1000).decode():
                for command in commands.split("%")[:-1]:
                    inferred = f"m-lap-us-{clock + 7000}\r\nm-results-[2.000]\r\n" if "infer" in command else ""
                    line.sendall(f"m-lap-us-{clock}\r\n{inferred}m-ready\r\n".encode())
                    clock += 10_000

    threading.Thread(target=serve, daemon=True).start()
    with MlperfRunner(f"socket://127.0.0.1:{server.getsockname()[1]}") as runner:
        assert runner.timestamp() == 1
        with pytest.raises(LinkTimeout, match="in time to infer"):
            runner.infer(1, timeout=0.1)
        sent.wait()
        with pytest.raises(LinkTimeout, match="infer was not sent: the device may still be at work for infer"):
            runner.infer(100, timeout=0.1)
        goes_on.set()
        assert runner.infer(100) == RunnerInferences(100, 7000, (2.0,))
        with pytest.raises(LinkTimeout, match="before infer could be sent"):
            runner.infer(1, timeout=0)
        assert runner.infer(100) == RunnerInferences(100, 7000, (2.0,))


def test_client_reads_what_it_is_given():
    url, heard = device(
        [
            "m-name-dut-[x]\r\nm-ready\r\n",
            "m-[Expecting 33 bytes]\r\nm-ready\r\n",
            "m-ready\r\n",
            "m-load-done\r\nm-ready\r\n",
            "m-warmup-done\r\nm-lap-us-100\r\nm-lap-us-600\r\nm-results-[0.5,-1.250]\r\nm-ready\r\n",
        ]
    )
    with MlperfRunner(url) as runner:
        assert runner.name() == "x"
        runner.load(bytes(33))
        found = runner.infer(5, 1)
    assert (found.microseconds, found.results, found.a_second) == (500, (0.5, -1.25), 10_000)
    assert heard == ["timestamp%", "name%", "db load 33%", f"db {'00' * 31}%", "db 0000%", "infer 5 1%"]


def test_client_that_begins_while_the_device_works_for_a_killed_one_waits_for_it():
    """What comes late is none of its answers: also where it looks like one."""
    late = "m-lap-us-1\r\nm-lap-us-2\r\nm-results-[9]\r\nm-ready\r\nm-lap-us-2\r\nm-ready\r\n"
    inferred = "m-lap-us-7000\r\nm-lap-us-9000\r\nm-results-[2.000]\r\nm-ready\r\n"
    url, heard = device([inferred], first=f"{late}m-lap-us-3\r\nm-ready\r\n")
    with MlperfRunner(url) as runner:
        assert runner.infer(1) == RunnerInferences(1, 2000, (2.0,))
    assert heard == ["timestamp%", "infer 1 0%"]


def test_answer_that_comes_again_is_no_other_ones():
    """An echo, or what a proxy has kept: late enough to be read for the next command's."""
    answer = "m-lap-us-{}\r\nm-lap-us-{}\r\nm-results-[2.000]\r\nm-ready\r\n".format
    time_told = "m-lap-us-{}\r\nm-ready\r\n".format
    url, _ = device(
        [answer(100, 600) * 2, time_told(700), answer(800, 900), answer(800, 900), time_told(950), answer(960, 970)]
    )
    with MlperfRunner(url) as runner:
        assert runner.infer(1).microseconds == 500
        assert runner.infer(1).microseconds == 100  # two came: the time was asked before
        with pytest.raises(LinkError, match="no times of begin and end since 900"):
            runner.infer(1)
        assert runner.infer(1).microseconds == 10


def test_client_that_is_refused_from_the_begin_says_so():
    url, _ = device([], first="e-[Another host is at work]\r\nm-ready\r\n")
    with MlperfRunner(url, timeout=0.3) as runner, pytest.raises(DeviceError, match="Another host is at work"):
        runner.name()


@pytest.mark.parametrize(
    ("answer", "raised", "said"),
    [
        ("e-[No model is loaded]\r\nm-ready\r\n", DeviceError, "REFUSED: No model is loaded"),
        (
            "e-[springbok: failure 153 4 0]\r\nm-ready\r\n",
            DeviceError,
            "SESSION_STATE: PROCESS in state NONE",
        ),
        ("nonsense\r\nm-ready\r\n", LinkError, "lacks a line"),
        ("m-name-dut-[x]\r\n", LinkTimeout, "What came:\n  m-name-dut"),
        ("e-[\x1b[2J\x07<b>]\r\nm-ready\r\n", DeviceError, r"REFUSED: \\x1b\[2J\\x07<b>$"),
        (None, LinkTimeout, "What came: nothing"),
    ],
)
def test_client_says_what_is_wrong(answer, raised, said):
    url, _ = device([answer])
    with MlperfRunner(url, timeout=0.3) as runner, pytest.raises(raised, match=said):
        runner.name()


@pytest.mark.parametrize("answer", ["e-[There is no stream]\r\nm-ready\r\n", "No stream.\r\nm-ready\r\n"])
def test_a_stream_that_is_none_is_no_stream(answer):
    url, _ = device([answer])
    with MlperfRunner(url) as runner, pytest.raises(LinkError, match=r"There is no stream|lacks a line"):
        runner.stop()


LAPS = "m-lap-us-100\r\nm-lap-us-600\r\n"


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (MlperfRunner.timestamp, f"m-lap-us-{'9' * 5000}"),
        (MlperfRunner.infer, f"m-lap-us-{'9' * 5000}\r\nm-lap-us-600"),
        (MlperfRunner.infer, "m-lap-us-600\r\nm-lap-us-100\r\nm-results-[1]"),
        *(
            (MlperfRunner.infer, f"{LAPS}m-results-[{value}]")
            for value in ("nan", "inf", "1_0", "1,,2", "٣", "9" * 5000)
        ),
        *((MlperfRunner.detections, f"Detection Timestamps (ms)\r\n{value},") for value in ("abc", "-1", "9" * 5000)),
        *(
            (MlperfRunner.stop, f"m-busy-us-1\r\ntarget activations: \r\n[{value}]")
            for value in ("a,b", "1_0", "9" * 5000)
        ),
    ],
)
def test_what_is_no_number_is_none(call, answer):
    url, _ = device([f"{answer}\r\nm-ready\r\n"])
    with MlperfRunner(url) as runner, pytest.raises(LinkError) as error:
        call(runner)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "count",
    [10**5000, -1, "5", 1.0, None],
    ids=lambda count: type(count).__name__ + str(count)[:2] if not isinstance(count, int) or count < 9 else "huge",
)
def test_numbers_of_inferences_that_no_device_takes(count):
    url, heard = device([])
    with MlperfRunner(url) as runner, pytest.raises(LinkError, match="numbers from 0 to 268,435,455"):
        runner.infer(count)
    assert heard == []


def test_client_ends_by_its_limit_whatever_comes():
    url, _ = device(["x" * 70_000])
    started = time.monotonic()
    with MlperfRunner(url, timeout=60) as runner, pytest.raises(LinkError, match="line of more than"):
        runner.name()
    assert started < time.monotonic()


def test_commands_are_one_each():
    url, _ = device([])
    with MlperfRunner(url) as runner, pytest.raises(LinkError, match="ASCII without '%'"):
        runner.command("name%name")


@pytest.mark.parametrize("text", ["nothing", "springbok: failure", "springbok: failure 999 1", ""])
def test_texts_that_are_no_failures(text):
    assert details_of(text) is None


def test_failures_with_texts():
    details = details_of('springbok: failure 56 1 "asked to fail" failure 57 2 3')
    assert sentence(details) == "the model failed with code 1: asked to fail, in functions[2] at byte 3"
