# SPDX-License-Identifier: Apache-2.0
"""The dialogue of MLPerf Tiny's runner beside the link's: the service as a process, with a made-up runtime and clock.

The made-up runtime's outputs are its input's bytes plus one.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_device import Recording, Request, device_of, hello
from test_service_host import (
    ERROR,
    F32,
    FAKE_RUNTIME,
    I8,
    INFO,
    MODEL,
    OK,
    SERVICE,
    SMALL,
    STATS,
    build,
    frame,
    model,
    play_raw,
    split_frames,
    tensor,
)

from springbok.link.frames import MessageType, decode_extended_header, encode_extended_frame
from springbok.link.messages import Benchmark, BenchmarkInput, BenchmarkResults, ChipInfo, encode_hello

READY = "m-ready"
KEYWORDS = model([tensor(I8, 1, 8)], [tensor(I8, 1, 3)])
SCALED = Benchmark("kws01", output_scale=0.5, output_zero_point=-1)
# What comes before the runner: MODEL in a base frame, then HELLO and BENCHMARK in extended ones
HELLO_ANSWER_BYTES = 16 + 64 + 4
ANSWERS_BEFORE = 6 + HELLO_ANSWER_BYTES + 16


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("mlperf") / "host_service", [*SERVICE, *FAKE_RUNTIME])


def load(image: bytes, benchmark: Benchmark) -> list[bytes]:
    """The link's part: a model and what the runner is to know of it."""
    hello = encode_extended_frame(1, MessageType.HELLO, encode_hello())
    introduced = encode_extended_frame(2, MessageType.BENCHMARK, benchmark.encode())
    return [frame(MODEL, image), hello, introduced]


@pytest.fixture(scope="module")
def talk(program):
    """Plays commands, with silences between them, and returns the lines that each is answered with."""

    def play(*commands: str | int, image: bytes = KEYWORDS, benchmark: Benchmark = SCALED) -> list[list[str]]:
        script = [part if isinstance(part, int) else f"{part}%".encode() for part in commands]
        answers = play_raw(program, [*load(image, benchmark), *script])
        assert decode_extended_header(answers[ANSWERS_BEFORE - 16 : ANSWERS_BEFORE]).message_type == OK
        return split_answers(answers[ANSWERS_BEFORE:])

    return play


def split_answers(said: bytes) -> list[list[str]]:
    """Answers as the runner finds them: up to a line with "m-ready" in it."""
    answers, lines = [], said.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    while lines:
        end = next(i for i, line in enumerate(lines) if READY in line)
        assert lines[end] == READY
        answers.append(lines[:end])
        lines = lines[end + 1 :]
    return answers


def hexadecimal(values: object, dtype: str = "i1") -> str:
    return np.asarray(values).astype(dtype).tobytes().hex()


# ---- What the public runner looks for in answers


def test_name_and_profile_are_what_the_runner_looks_for(talk):
    name, profile = talk("name", "profile")
    assert re.fullmatch(r"m-name-dut-\[([^]]+)]", *name)[1] == "springbok-bench"
    found = dict(re.fullmatch(r"m-(model|profile)-\[([^]]+)]", line).groups() for line in profile)
    assert found == {"profile": "springbok-bench", "model": "kws01"}


def test_timestamp_is_microseconds(talk):
    before, after = talk("timestamp", 2_500_000, "timestamp")
    first, last = (int(re.fullmatch(r"m-lap-us-([0-9]+)", *lines)[1]) for lines in (before, after))
    assert last - first >= 2_500_000


def test_inference(talk):
    answers = talk("db load 8", f"db {hexadecimal([1, 3, -5, 0, 0, 0, 0, 0])}", "infer 3 2", "results")
    assert answers[:2] == [["m-[Expecting 8 bytes]"], ["m-load-done"]]
    laps = [int(line.removeprefix("m-lap-us-")) for line in answers[2] if line.startswith("m-lap-us-")]
    assert [line for line in answers[2] if not line.startswith("m-lap-us-")] == [
        "m-warmup-start-2",
        "m-warmup-done",
        "m-infer-start-3",
        "m-infer-done",
        "m-results-[1.500,2.500,-1.500]",
    ]
    assert len(laps) == 2 and laps[0] <= laps[1]
    assert answers[3] == ["m-results-[1.500,2.500,-1.500]"]


def test_input_comes_in_many_commands_and_is_used_again(talk):
    commands = ["db load 8", *(f"db {k:02X}" for k in range(8)), "infer 1 0", "infer 1 0"]
    answers = talk(*commands)
    assert answers[1:8] == [[]] * 7
    assert answers[8] == ["m-load-done"]
    assert answers[9][-1] == answers[10][-1] == "m-results-[1.000,1.500,2.000]"


def test_as_the_runner_sends(talk):
    """31 bytes a command, hexadecimal digits in lower case."""
    image, data = model([tensor(I8, 1, 490)], [tensor(I8, 1, 12)]), np.arange(490, dtype=np.uint8).tobytes()
    parts = [f"db {data[at : at + 31].hex()}" for at in range(0, len(data), 31)]
    answers = talk("db load 490", *parts, "infer 1 0", image=image)
    assert answers[-2] == ["m-load-done"]
    assert answers[-1][-1] == "m-results-[" + ",".join(f"{(k + 2) / 2:.3f}" for k in range(12)) + "]"


def test_defaults_of_infer(talk):
    answers = talk("db load 8", f"db {'00' * 8}", "infer")
    assert answers[-1][0] == "m-warmup-start-10"
    assert answers[-1][2] == "m-infer-start-1"


def test_images_are_bytes_from_0_to_255(talk):
    benchmark = Benchmark("ic01", input=BenchmarkInput.UNSIGNED, output_scale=1.0)
    answers = talk("db load 8", "db 0080fe0000000000", "infer 1 0", benchmark=benchmark)
    assert answers[-1][-1] == "m-results-[-127.000,1.000,127.000]"


def test_anomaly_is_the_mean_square_of_the_difference(talk):
    image = model([tensor(I8, 1, 4)], [tensor(I8, 1, 4)])
    benchmark = Benchmark("ad01", BenchmarkInput.FLOAT, BenchmarkResults.ERROR, 0.5, -2, 0.25, 3)
    wanted = np.array([0.6, -1.3, 20.0, 1000.0], np.float32)
    quantised = np.clip(np.sign(wanted) * np.floor(np.abs(wanted / 0.5) + 0.5) - 2, -128, 127)
    outputs = (quantised + 1).astype(np.uint8).astype(np.int8)
    expected = np.mean((0.25 * (outputs.astype(np.float32) - 3) - wanted) ** 2)
    answers = talk("db load 16", f"db {hexadecimal(wanted, '<f4')}", "infer 1 0", image=image, benchmark=benchmark)
    (result,) = re.fullmatch(r"m-results-\[(\S+)]", answers[-1][-1]).groups()
    assert float(result) == pytest.approx(expected, rel=1e-5)


def test_float_models_take_and_give_floats(talk):
    image = model([tensor(F32, 1)], [tensor(F32, 1)])
    answers = talk("db load 4", f"db {before(0.5).hex()}", "infer 1 0", image=image, benchmark=Benchmark("ad01"))
    assert answers[-1][-1] == "m-results-[0.500]"


def before(*values: float) -> bytes:
    """Input of the made-up runtime, which adds one to each byte, for these outputs."""
    return bytes((byte - 1) & 0xFF for byte in np.array(values, "<f4").tobytes())


TOO_LARGE = "e-[Result 1 is no number or too large]"
FLOATS = model([tensor(F32, 2)], [tensor(F32, 2)])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), TOO_LARGE),
        (float("inf"), TOO_LARGE),
        (float("-inf"), TOO_LARGE),
        (1e7, TOO_LARGE),
        (-1e7, TOO_LARGE),
        (2147483.75, TOO_LARGE),
        (2147483.25, "m-results-[0.000,2147483.264]"),
        (-2147483.25, "m-results-[0.000,-2147483.264]"),
        (-0.5, "m-results-[0.000,-0.500]"),
        (0.0625, "m-results-[0.000,0.063]"),
    ],
)
def test_only_numbers_that_three_decimals_can_say_are_results(talk, value, said):
    commands = ["db load 8", f"db {before(0, value).hex()}", "infer 1 0", "results", "name"]
    answers = talk(*commands, image=FLOATS, benchmark=Benchmark("kws01"))
    assert answers[-2][-1] == answers[-3][-1] == said
    assert answers[-1] == ["m-name-dut-[springbok-bench]"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=5))
def test_a_result_is_the_output_or_none_is_given(talk, bits):
    """Of floats of any bits, behind one that asks the made-up runtime for nothing else."""
    values = [0.0, *np.array(bits, np.uint32).view(np.float32).tolist()]
    image, count = model([tensor(F32, len(values))], [tensor(F32, len(values))]), 4 * len(values)
    raw = before(0) + bytes((byte - 1) & 0xFF for byte in np.array(bits, "<u4").tobytes())
    answer = talk(f"db load {count}", f"db {raw.hex()}", "infer 1 0", image=image, benchmark=Benchmark("kws01"))[-1]
    found = re.fullmatch(r"m-results-\[([^]]+)]", answer[-1])
    if found:
        said = [float(each) for each in found[1].split(",")]
        assert said == pytest.approx(values, rel=1e-6, abs=0.00051)
    else:
        assert answer[-1].startswith("e-[Result ")
        assert not all(abs(value) < 2147483 for value in values)


def test_an_anomaly_that_is_no_number_is_none(talk):
    image = model([tensor(F32, 2)], [tensor(F32, 2)])
    benchmark = Benchmark("ad01", results=BenchmarkResults.ERROR)
    answers = talk("db load 8", f"db {before(0, float('nan')).hex()}", "infer 1 0", image=image, benchmark=benchmark)
    assert answers[-1][-1] == "e-[Result 0 is no number or too large]"


@pytest.mark.parametrize("since", [["db load 8"], ["db load 8", "db 0000000000000000"], ["db load 8", "db 00"]])
@pytest.mark.parametrize("results", BenchmarkResults)
def test_results_are_of_what_is_loaded(talk, results, since):
    """Nothing is said of bytes that were not inferred."""
    load_one, benchmark = ["db load 8", f"db {'7f7f7f3e' * 2}"], Benchmark("ad01", results=results)
    answers = talk(*load_one, "infer 1 0", "results", *since, "results", image=FLOATS, benchmark=benchmark)
    assert answers[2][-1] == answers[3][-1]
    assert answers[3][-1].startswith("m-results-[")
    assert answers[-1] == ["e-[No inference was done yet]"]


def test_a_refused_load_leaves_the_results(talk):
    answers = talk("db load 8", f"db {'01' * 8}", "infer 1 0", "db load 0", "db load 8 8", "results")
    assert answers[-1][-1] == answers[2][-1] == "m-results-[1.500,1.500,1.500]"


# ---- Streams


STREAM = Benchmark("sww01", frame_bytes=2, frame_us=32_000, threshold=50)
WINDOW = model([tensor(I8, 1, 8)], [tensor(I8, 1, 3)])


def test_stream(talk):
    """The first output is the oldest byte of the window plus one, so activations follow the frames by three."""
    frames = [0, 0, 0, 0, 0, 0, 49, 1, 50, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]
    answers = talk(
        "stop",
        "start",
        f"db load {len(frames)}",
        f"db {hexadecimal(frames)}",
        "print_detections",
        "stop",
        "print_detections",
        image=WINDOW,
        benchmark=STREAM,
    )
    assert answers[3] == ["m-load-done"]
    detections = ["Detection Timestamps (ms)", "32,", "256,"]  # the first frame's, which marks the begin, and one
    assert answers[4] == answers[6] == detections
    said = "".join(answers[5])
    (activations,) = re.search(r"target activations:\s*\[(.*?)]$", said).groups()
    assert [int(value) for value in activations.split(",")] == [1, 1, 1, 1, 1, 1, 50, 51, 4, 1]
    assert "m-frames-10" in answers[5]
    assert any(re.fullmatch(r"m-busy-us-[0-9]+", line) for line in answers[5])


def test_stream_keeps_its_window_between_loads(talk):
    answers = talk(
        "start",
        *["db load 2", "db 0900", "db load 2", "db 0000", "db load 2", "db 0000", "db load 2", "db 0000"],
        "stop",
        image=WINDOW,
        benchmark=STREAM,
    )
    assert answers[-1][-1] == "[1,1,1,10]"


def test_an_inference_that_is_refused_ends_no_stream(talk):
    commands = ["db load 2", "db 0900", "infer 1 0", "db load 6", "db 000000000000", "stop"]
    answers = talk("start", *commands, image=WINDOW, benchmark=STREAM)
    assert answers[3] == ["e-[Input db has 2 bytes, expected 8]"]
    assert answers[-1][-1] == "[1,1,1,10]"


def test_start_begins_anew(talk):
    load_one = ["db load 8", "db 0900000000000000"]
    answers = talk("start", *load_one, "stop", "start", *load_one, "stop", image=WINDOW, benchmark=STREAM)
    assert answers[3] == answers[7]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("db load 3", "e-[A stream takes frames of 2 bytes]"),
        ("db load 0", "e-[A number from 1 to 524256 is needed]"),
    ],
)
def test_what_a_stream_refuses(talk, command, said):
    answers = talk("start", command, "db load 2", "db 0000", "stop", image=WINDOW, benchmark=STREAM)
    assert answers[1] == [said]
    assert answers[-1][-1] == "[1]"


def test_a_model_without_a_stream(talk):
    assert talk("start", "stop", "print_detections") == [
        ["e-[The model takes no stream]"],
        ["e-[There is no stream]"],
        ["e-[There is no stream]"],
    ]


def test_a_stream_without_frames_has_no_detections(talk):
    answers = talk("print_detections", "start", "print_detections", "stop", "stop", image=WINDOW, benchmark=STREAM)
    assert answers[0] == answers[4] == ["e-[There is no stream]"]
    assert answers[2] == ["Detection Timestamps (ms)"]
    assert answers[3][-1] == "[]"


def test_a_stream_ends_with_what_fails(talk):
    answers = talk("start", "db load 4", "db ee000000", *["db load 8", "db " + "00" * 8], "stop", **WINDOWS_FAIL)
    assert answers[2][0].startswith("e-[springbok: failure 56 1")
    assert answers[2][-1] == "m-load-done"
    assert answers[-1] == ["e-[There is no stream]"]


WINDOWS_FAIL = {"image": model([tensor(I8, 1, 2)], [tensor(I8, 1, 1)]), "benchmark": STREAM}


# ---- What a command can't do


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        (["frobnicate"], "e-[Unknown command]"),
        (["m-ready"], "e-[Unknown command]"),
        ([""], "e-[Unknown command]"),
        (["NAME"], "e-[Unknown command]"),
        (["db"], "e-[Command 'db load' is needed before bytes]"),
        (["db load 8", "db"], "e-[Invalid hex digits at 1]"),
        (["db load"], "e-[A number from 1 to 1048512 is needed]"),
        (["db load 0"], "e-[A number from 1 to 1048512 is needed]"),
        (["db load -8"], "e-[A number from 1 to 1048512 is needed]"),
        (["db load 8x"], "e-[A number from 1 to 1048512 is needed]"),
        (["db load 4294967304"], "e-[A number from 1 to 1048512 is needed]"),
        (["db load 4294967295"], "e-[A number from 1 to 1048512 is needed]"),
        (["db 00"], "e-[Command 'db load' is needed before bytes]"),
        (["db load 2", "db 0000", "db 00"], "e-[Command 'db load' is needed before bytes]"),
        (["db load 8", "db 001"], "e-[Invalid hex digits at 3]"),
        (["db load 8", "db 00x0"], "e-[Invalid hex digits at 3]"),
        (["infer"], "e-[Input db has 0 bytes, expected 8]"),
        (["db load 8", "db 00", "infer"], "e-[Input db has 1 bytes, expected 8]"),
        (["db load 2", "db 0000", "infer"], "e-[Input db has 2 bytes, expected 8]"),
        (["infer 0 0"], "e-[A number from 1 to 1000000 is needed]"),
        (["infer -1 0"], "e-[A number from 1 to 1000000 is needed]"),
        (["infer 1000001 0"], "e-[A number from 1 to 1000000 is needed]"),
        (["infer 99999999999999999999 0"], "e-[A number from 1 to 1000000 is needed]"),
        (["infer 1 -1"], "e-[A number from 0 to 1000000 is needed]"),
        (["infer 1 1000001"], "e-[A number from 0 to 1000000 is needed]"),
        (["results"], "e-[No inference was done yet]"),
        (["name name"], "e-[Too many words]"),
        (["profile x"], "e-[Too many words]"),
        (["timestamp 0"], "e-[Too many words]"),
        (["results 1"], "e-[Too many words]"),
        (["start 1"], "e-[Too many words]"),
        (["stop now"], "e-[Too many words]"),
        (["print_detections all"], "e-[Too many words]"),
        (["db load 8 junk"], "e-[Too many words]"),
        (["infer 1 0 junk"], "e-[Too many words]"),
        (["infer 1 0 1 1 1"], "e-[Too many words]"),
        (["db load 2", "db 00 11"], "e-[Too many words]"),
        (["db load 2", "db 0011 x"], "e-[Too many words]"),
    ],
)
def test_what_is_refused(talk, commands, said):
    """The dialogue goes on afterwards, and an inference is as ever."""
    answers = talk("name", *commands, "db load 8", f"db {'02' * 8}", "infer 1 0")
    assert answers[len(commands)] == [said]
    assert answers[-1][-1] == "m-results-[2.000,2.000,2.000]"


def test_a_command_with_too_many_words_does_nothing(talk):
    answers = talk("db load 2", "db 01 02", "db 03", "db load 8 8", "db 04", "infer 1 0", "results")
    assert answers[4] == ["m-load-done"], "the bytes of a refused command are none, and the load goes on"
    assert answers[5] == ["e-[Input db has 2 bytes, expected 8]"]
    answers = talk("start 1", "start", "stop 1", "db load 2", "db 0900", "stop", image=WINDOW, benchmark=STREAM)
    assert answers[0] == answers[2] == ["e-[Too many words]"]
    assert answers[-1][-1] == "[1]"


def test_bytes_of_a_refused_command_are_not_kept(talk):
    answers = talk("db load 8", "db 0102030x", "db 0405060708090a0b", "infer 1 0")
    assert answers[2] == ["m-load-done"]
    assert answers[3][-1] == "m-results-[3.000,3.500,4.000]"


def test_bytes_beyond_what_was_announced_are_left(talk):
    """As the public firmware leaves them."""
    answers = talk("db load 8", "db 0405060708090a0bffff", "infer 1 0")
    assert answers[1] == ["m-load-done"]
    assert answers[2][-1] == "m-results-[3.000,3.500,4.000]"


def test_long_commands_are_refused_whole(talk):
    answers = talk("name", "db load 8", "db " + "00" * 5000, "db " + "00" * 38, "name", "infer")
    assert answers[2] == ["e-[springbok: failure 172 79]"]
    assert answers[3] == ["m-load-done"], "79 characters are none too many"
    assert answers[4] == ["m-name-dut-[springbok-bench]"]


def test_a_command_without_an_end_is_given_up(program):
    answers = play_raw(program, [*load(KEYWORDS, SCALED), b"name%na", 3_500_000, b"name%"])
    assert split_answers(answers[ANSWERS_BEFORE:]) == [
        ["m-name-dut-[springbok-bench]"],
        ["e-[springbok: failure 173 2]"],
        ["m-name-dut-[springbok-bench]"],
    ]


def test_ends_of_lines_and_of_nothing_are_passed_over(program):
    answers = play_raw(program, [*load(KEYWORDS, SCALED), b"%name%\r\n", 9_000_000, b"\r\n name \r\n%"])
    assert split_answers(answers[ANSWERS_BEFORE:]) == [["m-name-dut-[springbok-bench]"]] * 2


def test_failing_inferences_are_answered(talk):
    """0xEE asks the made-up runtime to fail, 0xEF to lose the model."""
    answers = talk(
        "db load 8", "db ee00000000000000", "infer 5 0", "db load 8", "db ef00000000000000", "infer 5 0", "infer"
    )
    assert answers[2][-1].startswith("e-[springbok: failure 56 1 ")
    assert answers[5][-1].startswith("e-[springbok: failure ")
    assert answers[6] == ["e-[No model is loaded]"]


def test_without_a_model(program):
    answers = split_answers(play_raw(program, [b"name%profile%db load 8%infer%results%start%stop%print_detections%"]))
    missing = ["e-[No model is loaded]"]
    assert answers[1] == ["m-profile-[springbok-bench]", "m-model-[none]"]
    assert answers[2:6] == [missing] * 4
    assert answers[7] == missing


def test_a_model_that_was_not_introduced(program):
    """Inputs and results are as they are."""
    script = [frame(MODEL, KEYWORDS), b"profile%db load 8%db 0102030405060708%infer 1 0%"]
    answers = split_answers(play_raw(program, script)[6:])
    assert answers[0][-1] == "m-model-[none]"
    assert answers[-1][-1] == "m-results-[2.000,3.000,4.000]"


NO_SCALES = (float("nan"), float("inf"), 0.0, -0.0, -1.0)
NO_ZERO_POINTS = (128, -129, 2_000_000_000)
IMPOSSIBLE = [
    *({"input": 3}, {"results": 2}, {"frame_bytes": 3}, {"frame_bytes": 2, "frame_us": 0}),
    *({f"{which}_scale": scale} for which in ("input", "output") for scale in NO_SCALES),
    *({f"{which}_zero_point": zero} for which in ("input", "output") for zero in NO_ZERO_POINTS),
]


@pytest.mark.parametrize("changes", IMPOSSIBLE, ids=str)
def test_impossible_introductions_are_refused(program, changes):
    answers = play_raw(program, load(KEYWORDS, Benchmark(**{"model": "kws01", **changes})))
    assert decode_extended_header(answers[90:106]).message_type == ERROR


@pytest.mark.parametrize("changes", [{"input_scale": 1e-45, "output_scale": 3.4e38}, {"input_zero_point": -128}])
def test_introductions_at_the_limits(program, changes):
    answers = play_raw(program, load(KEYWORDS, Benchmark(**{"model": "kws01", "output_zero_point": 127, **changes})))
    assert decode_extended_header(answers[90:106]).message_type == OK


# ---- Beside the link


def test_the_link_goes_on_after_the_runner(program):
    """A base client's first request ends the dialogue in text, and the model is still there."""
    script = [*load(KEYWORDS, SCALED), b"name%", frame(STATS), frame(INFO)]
    answers = play_raw(program, script)[ANSWERS_BEFORE:]
    text = answers.index(b"m-ready\r\n") + 9
    statistics, info = split_frames(answers[text:])
    assert (statistics.type, info.type) == (OK, OK)
    assert ChipInfo.decode(info.payload).serves_mlperf


@pytest.mark.parametrize("before", [b"", b"db load 8", b"[", b"x["])
def test_an_extended_frame_within_a_command_is_found(program, before):
    greeting = encode_extended_frame(7, MessageType.HELLO, encode_hello(identity=5))
    answers = play_raw(program, [b"name%", before, greeting])
    text = answers.index(b"m-ready\r\n") + 9
    header = decode_extended_header(answers[text : text + 16])
    assert (header.sequence, header.message_type) == (7, OK)


def test_a_runner_waits_while_another_host_is_at_work(program):
    with device_of(program) as device:
        line = Recording(device)
        for part in (hello(5), Request(5, 2, MessageType.INFO)):
            line.send(part)
        answers = b"".join(line.send(part) for part in (b"name%", 1_100_000, b"name%"))
    assert split_answers(answers) == [["e-[Another host is at work]"], ["m-name-dut-[springbok-bench]"]]


def test_the_other_host_is_told_afterwards(program):
    with device_of(program) as device:
        line = Recording(device)
        for part in (hello(5), Request(5, 2, MessageType.INFO), 1_100_000, b"name%"):
            line.send(part)
        told = line.send(Request(5, 3, MessageType.INFO))
        assert decode_extended_header(told[:16], line.identities[5]).message_type == ERROR


@pytest.mark.parametrize("request_", [frame(MODEL, SMALL.ljust(254)), frame(MessageType.UNLOAD)])
def test_who_asks_in_base_frames_is_answered_in_one(program, request_):
    """What begins with a byte of text is text, so not every base frame can be told from a command."""
    with device_of(program) as device:
        device.play(b"name%")
        (answer,) = split_frames(device.play(request_) + device.play(100_000))
        assert answer.error.startswith("LINK_MODE")
        assert split_answers(device.play(b"name%")) == [["m-name-dut-[springbok-bench]"]]


def test_noise_is_answered_in_text(program):
    answers = split_answers(play_raw(program, [b"name%", b"\xf1\xf2\xf3\xf4\xf5\xf6\xf7", 100_000, b"name%"]))
    assert answers[1][0].startswith("e-[springbok: failure 127 ")
    assert answers[2] == ["m-name-dut-[springbok-bench]"]


BAD_BYTES = sorted({*range(256)} - {*range(0x20, 0x7F), *range(0x09, 0x0E)})
SPOILT = "e-[springbok: failure 181]"
NAME = "m-name-dut-[springbok-bench]"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"nam\xffe%name%name%", [SPOILT, NAME, NAME]),
        (b"nam\x00e%name%", [SPOILT, NAME]),
        (b"name\xff%name%", [SPOILT, NAME]),
        (b"\xff%name%", [SPOILT, NAME]),
        (b"\xff\xfe\xfd\xfc\xfb\xfa\xf9 and so on%name%", [SPOILT, NAME]),
        (b"\x00\x00\x00\x00%name%", [SPOILT, NAME]),
        (b"\xff%\xff%name%\xff\xff\xff\xff\xff\xff%name%", [SPOILT, SPOILT, NAME, SPOILT, NAME]),
        (b"[\xff%name%", ["e-[Unknown command]", NAME]),
    ],
)
def test_a_byte_that_is_no_text_spoils_its_own_command_alone(program, sent, said):
    answers = split_answers(play_raw(program, [*load(KEYWORDS, SCALED), b"name%" + sent])[ANSWERS_BEFORE:])
    assert [lines[0] for lines in answers[1:]] == said


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.text("dbnamifer 0123\r\n", max_size=70).map(str.encode),
    bad=st.sampled_from(BAD_BYTES),
    after=st.text("dbnamifer 0123\r\n", max_size=300).map(str.encode),
)
def test_wherever_the_byte_is_the_commands_behind_it_are_served(program, before, bad, after):
    answers = split_answers(play_raw(program, [b"name%" + before + bytes([bad]) + after + b"%name%name%"]))
    assert len(answers) == 4
    assert answers[1][0].startswith("e-[")
    assert answers[2:] == [[NAME], [NAME]]


TEXT = st.text(st.sampled_from("dbnameiferloadstrpu_ 0123456789xf%\r\n-"), max_size=120).map(str.encode)
NOISE = st.binary(max_size=40)
PART = st.one_of(TEXT, NOISE, st.integers(0, 4_000_000), st.just(frame(STATS)), st.just(frame(MODEL, SMALL)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PART, max_size=8))
def test_whatever_comes_the_runner_is_served_afterwards(program, parts):
    """After silence, so that what was begun has ended; the second answer is whole."""
    script = [*load(KEYWORDS, SCALED), b"name%", *parts, 4_000_000, b"name%", 4_000_000, b"name%"]
    assert play_raw(program, script).endswith(b"m-name-dut-[springbok-bench]\r\nm-ready\r\n")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PART, max_size=8))
def test_whatever_comes_the_link_is_served_afterwards(program, parts):
    """HELLO is sent twice: the first may meet an answer that waits."""
    greeting = encode_extended_frame(9, MessageType.HELLO, encode_hello(identity=77, take_over=True))
    answers = play_raw(program, [b"name%", *parts, 4_000_000, greeting, 4_000_000, greeting])
    assert decode_extended_header(answers[-HELLO_ANSWER_BYTES:][:16]).message_type == OK


def begun_by_a_damaged_request(line):
    """Another host's dialogue begins with a first request whose header alone arrives whole: two inputs."""
    line.send(hello(5))
    damaged = bytearray(encode_extended_frame(2, MessageType.INFER, bytes([50] * 16), line.identities[5]))
    damaged[-1] ^= 1
    return line.send(bytes(damaged))


def test_input_of_the_runner_is_gone_where_another_dialogue_has_begun(program):
    """The payload, which comes before its checksum, has overwritten it."""
    with device_of(program) as device:
        line = Recording(device)
        for part in load(KEYWORDS, SCALED):
            line.send(part)
        line.send(1_100_000)
        commands = [b"db load 8%", b"db 0102030405060708%", b"infer 1 0%"]
        (*_, inferred) = split_answers(b"".join(line.send(command) for command in commands))
        assert any("m-results-" in each for each in inferred)
        begun_by_a_damaged_request(line)
        line.send(1_100_000)
        (inferred,) = split_answers(line.send(b"infer 1 0%"))
    assert inferred[0].startswith("e-[") and not any("m-results-" in each for each in inferred)


def test_dialogue_that_never_had_a_whole_request_is_nobodys_after_a_silence(program):
    with device_of(program) as device:
        line = Recording(device)
        line.send(frame(INFO))
        begun_by_a_damaged_request(line)
        line.send(1_100_000)
        assert split_frames(line.send(frame(INFO)))[0].type == OK
        assert split_answers(line.send(b"name%")) == [["m-name-dut-[springbok-bench]"]]
