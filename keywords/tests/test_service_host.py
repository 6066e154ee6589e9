# SPDX-License-Identifier: Apache-2.0
"""The firmware's service (frames, messages, model states) as a Linux process with a made-up runtime and clock."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import hostile_modules
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import dense_vmfb

from springbok.chips.description import load
from springbok.firmware import write_sources
from springbok.link.messages import ErrorAnswer
from springbok.support.places import FIRMWARE
from springbok.support.process import run

SERVICE = (
    "service/crc32.c",
    "service/failure_text.c",
    "service/frame.c",
    "service/iospec.c",
    "service/kenning.c",
    "service/kenning_spec.c",
    "service/mlperf.c",
    "service/requests.c",
    "service/sensor.c",
    "service/session.c",
    "test/host_service.c",
    "port/host.c",
)
FAKE_RUNTIME = ("runtime/bytes.c", "runtime/status.c", "test/fake_runtime.c")

OK, ERROR, DATA, MODEL, PROCESS, OUTPUT, STATS, IOSPEC, INFO, PROFILE, UNLOAD = range(11)
STATE_NONE, STATE_IOSPEC, STATE_MODEL_LOADED, STATE_INPUT_LOADED, STATE_INFERENCE_DONE = range(5)
F32, I8, U8, I32 = 0x21000020, 0x10000008, 0x12000008, 0x10000020
ARENA_BYTES = (4 << 20) - (1 << 20) - (256 << 10)
STALL_US, FLUSH_US = 1_000_000, 50_000
INFO_ANSWER_BYTES = 6 + 40


class Answer(NamedTuple):
    type: int
    payload: bytes

    @property
    def error(self) -> str:
        """Name and message of an ERROR."""
        assert self.type == ERROR, self
        answer = ErrorAnswer.decode(self.payload)
        return f"{answer.name}: {answer.message}"

    @property
    def info(self) -> tuple[int, ...]:
        assert self.type == OK, self
        return struct.unpack("<HH9I", self.payload)


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack("<IH", len(payload) + 2, kind) + payload


def split_frames(stream: bytes) -> list[Answer]:
    answers = []
    while stream:
        size, kind = struct.unpack_from("<IH", stream)
        assert len(stream) >= 4 + size
        answers.append(Answer(kind, stream[6 : 4 + size]))
        stream = stream[4 + size :]
    return answers


def tensor(element_type: int, *dims: int) -> bytes:
    return struct.pack(f"<IB{len(dims)}I", element_type, len(dims), *dims)


def model(inputs: list[bytes], outputs: list[bytes], entry: bytes = b"main") -> bytes:
    return b"FAKE" + entry.ljust(20, b"\0") + bytes([len(inputs), len(outputs)]) + b"".join(inputs + outputs)


SMALL = model([tensor(F32, 1, 2, 3)], [tensor(F32, 1, 2)])
SMALL_INPUT = bytes(range(24))
SMALL_OUTPUT = bytes(range(1, 9))


def iospec(**changes) -> bytes:
    """The specification that agrees with SMALL, but for `changes`."""
    spec = {
        "num_input": 1,
        "num_input_dim": [3, 0],
        "input_shape": [1, 2, 3, 0, 0, 0, 0, 0],
        "input_length": [6, 0],
        "input_size_bytes": [4, 0],
        "num_output": 1,
        "output_length": [2] + [0] * 11,
        "output_size_bytes": 4,
        "dtype": b"f32",
        "entry_func": b"module.main",
        "model_name": b"small",
    } | changes
    return struct.pack(
        "<I2I8I2I2II12II4s20s20s",
        spec["num_input"],
        *spec["num_input_dim"],
        *spec["input_shape"],
        *spec["input_length"],
        *spec["input_size_bytes"],
        spec["num_output"],
        *spec["output_length"],
        spec["output_size_bytes"],
        spec["dtype"],
        spec["entry_func"],
        spec["model_name"],
    )


def build(program: Path, sources: Iterable[str | Path], *definitions: str) -> Path:
    """Compiles for this machine, with sanitizers where the machine's own compiler is there."""
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *definitions]
    flags.append(f"-I{write_sources(load(), program.parent)}")
    if compiler := shutil.which("cc"):
        command = [compiler, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    else:
        command = [sys.executable, "-m", "ziglang", "cc"]
    done = run([*command, *flags, *sources, "-o", program], time_limit=120, cwd=FIRMWARE)
    assert done.exit_code == 0, done.output
    return program


class Motion(list):
    """Samples that the chip's accelerometer has from here on in a script: (x, y, z) each, in its steps."""


def record(part: bytes | int | Motion) -> bytes:
    if isinstance(part, Motion):
        return b"A" + struct.pack("<I", len(part)) + b"".join(struct.pack("<3h", *sample) for sample in part)
    if isinstance(part, int):
        return b"S" + struct.pack("<I", part)
    return b"B" + struct.pack("<I", len(part)) + part


def play(program: Path, script: Iterable[bytes | int]) -> list[Answer]:
    """Plays a script; returns the answers, which must be base frames."""
    return split_frames(play_raw(program, script))


def play_raw(program: Path, script: Iterable[bytes | int | Motion]) -> bytes:
    """Plays a script (bytes: the line brings them, int: microseconds of silence, Motion); returns what is answered."""
    records = b"".join(map(record, script))
    # The real runtime's heap marks its free memory; the service may use that again after an unload.
    environment = os.environ | {"ASAN_OPTIONS": "allow_user_poisoning=0"}
    command = [program, "--script"]
    done = subprocess.run(command, input=records, capture_output=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="session")
def service_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service with the made-up runtime."""
    return build(tmp_path_factory.mktemp("service") / "host_service", [*SERVICE, *FAKE_RUNTIME])


@pytest.fixture(scope="session")
def frames_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service with the made-up runtime, without the protocols that are not answered in frames."""
    program = tmp_path_factory.mktemp("frames") / "host_service"
    return build(program, [*SERVICE, *FAKE_RUNTIME], "-DSERVES_KENNING=0", "-DSERVES_MLPERF=0")


@pytest.fixture(scope="session")
def dialogue(service_program: Path) -> Callable[..., list[Answer]]:
    return lambda *script: play(service_program, script)


@pytest.fixture(scope="session")
def complete_firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service with the real runtime, where a stand-in runs instead of the model's kernels."""
    runtime = sorted((FIRMWARE / "runtime").glob("*.c"))
    return build(tmp_path_factory.mktemp("complete") / "host_firmware", [*SERVICE, *runtime])


# ---- The dialogue


def test_whole_dialogue_with_specification(dialogue):
    answers = dialogue(
        frame(IOSPEC, iospec()),
        frame(MODEL, SMALL),
        frame(DATA, SMALL_INPUT),
        frame(PROCESS),
        frame(OUTPUT),
        frame(STATS),
    )
    ok = Answer(OK, b"")
    assert answers[:4] == [ok] * 4
    assert answers[4] == (OK, SMALL_OUTPUT)
    assert answers[5] == (OK, struct.pack("<6I", 0, 0, 0, 4096, 8192, 2048))


def test_dialogue_without_specification(dialogue):
    answers = dialogue(frame(MODEL, SMALL), frame(DATA, SMALL_INPUT), frame(PROCESS), frame(OUTPUT))
    assert answers[-1] == (OK, SMALL_OUTPUT)


def test_plain_mode_speaks_over_pipes(service_program):
    done = subprocess.run(
        [service_program], input=frame(MODEL, SMALL) + frame(INFO), capture_output=True, timeout=600, check=False
    )
    assert [answer.type for answer in split_frames(done.stdout)] == [OK, OK]


def test_inferences_repeat(dialogue):
    answers = dialogue(
        frame(MODEL, SMALL),
        *(frame(DATA, bytes([k]) * 24) + frame(PROCESS) + frame(OUTPUT) for k in range(20)),
        frame(PROCESS),
        frame(OUTPUT),
    )
    assert [a.payload for a in answers[3::3]] == [bytes([k + 1]) * 8 for k in range(20)]
    assert answers[-1].payload == bytes([20]) * 8


def test_several_inputs_and_outputs_are_concatenated(dialogue):
    two = model([tensor(I8, 3), tensor(I8, 1, 2)], [tensor(I8, 4), tensor(I8, 1)])
    answers = dialogue(frame(MODEL, two), frame(DATA, bytes([1, 2, 3, 4, 5])), frame(PROCESS), frame(OUTPUT))
    assert answers[-1] == (OK, bytes([2, 3, 4, 5, 6]))


def test_info(dialogue):
    (answer,) = dialogue(frame(INFO))
    version, flags, _, vlen, elen, largest, arena, bytecode, library, state, reserved = answer.info
    assert (version, flags, vlen, elen) == (1, 1 | 8 | 16 | 32, 512, 32)  # vectors, and all protocols
    assert (largest, arena) == (ARENA_BYTES + 2, ARENA_BYTES)
    assert (bytecode, library, state, reserved) == (0x00110000, 6, STATE_NONE, 0)


def test_info_names_every_state(dialogue):
    answers = dialogue(
        frame(INFO),
        frame(IOSPEC, iospec()) + frame(INFO),
        frame(MODEL, SMALL) + frame(INFO),
        frame(DATA, SMALL_INPUT) + frame(INFO),
        frame(PROCESS) + frame(INFO),
        frame(UNLOAD) + frame(INFO),
    )
    assert [answer.info[9] for answer in answers[::2]] == [0, 1, 2, 3, 4, 0]


def test_profile(dialogue):
    answers = dialogue(frame(MODEL, SMALL), frame(PROFILE), frame(DATA, SMALL_INPUT), frame(PROCESS), frame(PROFILE))
    before, after = answers[1].payload, answers[-1].payload
    assert len(before) == 64
    image_bytes = (len(SMALL) + 63) // 64 * 64
    expected = (128, 2, 5000, 6000, 1000, 1, 4096, image_bytes + 4096, ARENA_BYTES, 0x34001000, 0x34002000, 0)
    assert struct.unpack("<IIQQQ6IQ", after[:64]) == expected
    records = [struct.unpack("<IIQQII96s", after[k : k + 128]) for k in range(64, len(after), 128)]
    assert [record[:6] for record in records] == [(0, 1, 100, 200, 10, 0), (2, 3, 300, 600, 30, 0)]
    assert records[0][6] == b"main_dispatch_0".ljust(96, b"\0")
    assert records[1][6].startswith(b"main_dispatch_2_with") and records[1][6][94:] == records[1][6][94:95] + b"\0"


# ---- Order

REACH = {
    STATE_NONE: b"",
    STATE_IOSPEC: frame(IOSPEC, iospec()),
    STATE_MODEL_LOADED: frame(MODEL, SMALL),
    STATE_INPUT_LOADED: frame(MODEL, SMALL) + frame(DATA, SMALL_INPUT),
    STATE_INFERENCE_DONE: frame(MODEL, SMALL) + frame(DATA, SMALL_INPUT) + frame(PROCESS),
}
STATE_NAMES = ["NONE", "IOSPEC", "MODEL_LOADED", "INPUT_LOADED", "INFERENCE_DONE"]
EXPECTED = [
    "without a model: MODEL, or IOSPEC and MODEL, come first",
    *(f"expected {names}" for names in ("MODEL", "DATA", "PROCESS", "OUTPUT, PROCESS or DATA")),
]
EARLIEST = {
    DATA: STATE_MODEL_LOADED,
    PROCESS: STATE_INPUT_LOADED,
    OUTPUT: STATE_INFERENCE_DONE,
    STATS: STATE_MODEL_LOADED,
    PROFILE: STATE_MODEL_LOADED,
}
REQUESTS = {
    "DATA": frame(DATA, SMALL_INPUT),
    "MODEL": frame(MODEL, SMALL),
    "PROCESS": frame(PROCESS),
    "OUTPUT": frame(OUTPUT),
    "STATS": frame(STATS),
    "IOSPEC": frame(IOSPEC, iospec()),
    "INFO": frame(INFO),
    "PROFILE": frame(PROFILE),
    "UNLOAD": frame(UNLOAD),
}


@pytest.mark.parametrize("state", REACH)
@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_in_every_state(dialogue, state, name):
    request = REQUESTS[name]
    *_, answer, info = dialogue(REACH[state], request, frame(INFO))
    if state >= EARLIEST.get(request[4], STATE_NONE):
        assert answer.type == OK
    else:
        assert answer.error == f"SESSION_STATE: {name} in state {STATE_NAMES[state]}, {EXPECTED[state]}"
        assert info.info[9] == state


def test_failed_inference_keeps_model_and_can_be_repeated(dialogue):
    answers = dialogue(
        REACH[STATE_INFERENCE_DONE],
        frame(DATA, b"\xee" * 24),
        frame(PROCESS),
        frame(OUTPUT),
        frame(DATA, SMALL_INPUT),
        frame(PROCESS),
        frame(OUTPUT),
    )
    assert answers[4].error == "VM_FAIL: the model failed with code 1: asked to fail"
    assert "SESSION_STATE: OUTPUT in state INPUT_LOADED" in answers[5].error
    assert answers[-1] == (OK, SMALL_OUTPUT)


@pytest.mark.parametrize(("before", "state"), [(b"", STATE_NONE), (frame(IOSPEC, iospec()), STATE_IOSPEC)])
def test_model_dropped_by_the_runtime_is_gone(dialogue, before, state):
    answers = dialogue(
        before, frame(MODEL, SMALL), frame(DATA, b"\xef" * 24), frame(PROCESS), frame(INFO), frame(DATA, SMALL_INPUT)
    )
    failed, info, refused = answers[-3:]
    assert failed.error == "HAL_RETAINED: input 0 is still in use after the inference; the model is dropped"
    assert info.info[9] == state
    assert refused.error.startswith("SESSION_STATE")


def test_input_of_wrong_size_is_refused_and_keeps_the_earlier_one(dialogue):
    answers = dialogue(
        REACH[STATE_INPUT_LOADED], frame(DATA, bytes(23)), frame(DATA, bytes(25)), frame(PROCESS), frame(OUTPUT)
    )
    assert [a.error for a in answers[2:4]] == [
        f"SESSION_INPUT: DATA of {size} bytes, the model takes 24" for size in (23, 25)
    ]
    assert answers[-1] == (OK, SMALL_OUTPUT)


def test_refused_model_leaves_no_model(dialogue):
    answers = dialogue(
        REACH[STATE_INFERENCE_DONE], frame(MODEL, b"rubbish"), frame(INFO), frame(PROCESS), frame(MODEL, SMALL)
    )
    assert answers[3].error == "ARCHIVE_FORMAT: file identifier is not IREE"
    assert answers[4].info[9] == STATE_NONE
    assert answers[-1].type == OK


def test_model_larger_than_the_input_buffer_is_refused(dialogue):
    (answer,) = dialogue(frame(MODEL, model([tensor(F32, 512, 1024)], [tensor(F32, 2)])))
    assert answer.error == "OUT_OF_MEMORY: input 2097152 and output 8 bytes, at most 1048576 and 262144"


# ---- Specification


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_input": 0}, "num_input is 0, at least 1 and at most 2"),
        ({"num_input": 3}, "num_input is 3, at least 1 and at most 2"),
        ({"num_input": 2}, "num_input_dim[1] is 0, at least 1 and at most 4"),
        ({"num_input_dim": [5, 0]}, "num_input_dim[0] is 5, at least 1 and at most 4"),
        ({"input_shape": [1, 0, 3, 0, 0, 0, 0, 0]}, "input_shape[0][1] is 0: 0, or the input is too large"),
        (
            {"input_shape": [65536, 65536, 3, 0, 0, 0, 0, 0]},
            "input_shape[0][1] is 65536: 0, or the input is too large",
        ),
        ({"input_length": [7, 0]}, "input_length[0] is 7, but input_shape has 6 elements"),
        ({"input_size_bytes": [1, 0]}, "input_size_bytes[0] is 1, but an f32 has 4"),
        ({"num_output": 0}, "num_output is 0, at least 1 and at most 12"),
        ({"num_output": 13}, "num_output is 13, at least 1 and at most 12"),
        ({"output_length": [0] * 12}, "output_length[0] is 0, at least 1 and at most 1073741823"),
        (
            {"output_length": [0x40000000] + [0] * 11},
            "output_length[0] is 1073741824, at least 1 and at most 1073741823",
        ),
        ({"output_size_bytes": 3}, "output_size_bytes is 3, not 1, 2, 4 or 8"),
        ({"dtype": b"q\x01"}, 'dtype "q?" is none of f16 f32 f64, nor i or u with 8 16 32 64'),
        ({"entry_func": b"x" * 20}, "entry_func is not terminated within its 20 bytes"),
        ({"model_name": b"x" * 20}, "model_name is not terminated within its 20 bytes"),
    ],
)
def test_malformed_specification_is_refused(dialogue, changes, message):
    refused, info = dialogue(frame(IOSPEC, iospec(**changes)), frame(INFO))
    assert refused.error == "SESSION_IOSPEC: " + message
    assert info.info[9] == STATE_NONE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "num_input": 2,
                "num_input_dim": [3, 1],
                "input_shape": [1, 2, 3, 0, 5, 0, 0, 0],
                "input_length": [6, 5],
                "input_size_bytes": [4, 4],
            },
            "the specification has 2 inputs and 1 outputs, the model 1 and 1",
        ),
        (
            {"num_output": 2, "output_length": [2, 2] + [0] * 10},
            "the specification has 1 inputs and 2 outputs, the model 1 and 1",
        ),
        ({"dtype": b"i32"}, "input 0: the specification says i32, the model takes element type 0x21000020"),
        (
            {"input_shape": [1, 3, 2, 0, 0, 0, 0, 0]},
            "input 0: dimension 1 from the last is 3 in the specification, 2 in the model",
        ),
        (
            {"num_input_dim": [1, 0], "input_shape": [6, 0, 0, 0, 0, 0, 0, 0]},
            "input 0: the specification has 1 dimensions, the model 2 (without leading 1)",
        ),
        (
            {"output_length": [3] + [0] * 11},
            "output 0: the specification says 3 elements of 4 bytes, the model gives 8 bytes with element type "
            "0x21000020",
        ),
        (
            {"output_size_bytes": 1},
            "output 0: the specification says 2 elements of 1 bytes, the model gives 8 bytes with element type "
            "0x21000020",
        ),
    ],
)
def test_specification_must_agree_with_the_model(dialogue, changes, message):
    accepted, refused, info = dialogue(frame(IOSPEC, iospec(**changes)), frame(MODEL, SMALL), frame(INFO))
    assert accepted.type == OK
    assert refused.error == "SESSION_MISMATCH: " + message
    assert info.info[9] == STATE_IOSPEC


@pytest.mark.parametrize(
    ("dtype", "element_type", "agrees"),
    [(b"i8", I8, True), (b"u8", I8, True), (b"u8", U8, True), (b"i8", U8, False), (b"i8", I32, False)],
)
def test_sign_matters_only_where_the_model_has_one(dialogue, dtype, element_type, agrees):
    spec = iospec(dtype=dtype, input_size_bytes=[1, 0], output_size_bytes=1)
    width = (element_type & 0xFF) // 8
    small = model([tensor(element_type, 2, 3)], [tensor(I8, 2)])
    answers = dialogue(frame(IOSPEC, spec), frame(MODEL, small))
    assert (answers[1].type == OK) == agrees, width


def test_leading_dimensions_of_one_do_not_count(dialogue):
    spec = iospec(num_input_dim=[2, 0], input_shape=[2, 3, 0, 0, 0, 0, 0, 0])
    assert [a.type for a in dialogue(frame(IOSPEC, spec), frame(MODEL, SMALL))] == [OK, OK]


@pytest.mark.parametrize(
    ("entry", "accepted"), [(b"main", True), (b"module.main", True), (b"", True), (b"predict", False)]
)
def test_entry_function(dialogue, entry, accepted):
    answers = dialogue(frame(IOSPEC, iospec(entry_func=entry)), frame(MODEL, SMALL))
    assert (answers[1].type == OK) == accepted


def test_unload_forgets_the_specification(dialogue):
    answers = dialogue(frame(IOSPEC, iospec(dtype=b"i32")), frame(UNLOAD), frame(MODEL, SMALL))
    assert [a.type for a in answers] == [OK, OK, OK]


# ---- Damaged frames: each must be answered, and a good request afterwards must work


def assert_refused_then_fine(answers: list[Answer], error: str) -> None:
    refused, info = answers
    assert refused.error == error
    assert info.info[0] == 1


@pytest.mark.parametrize("kind", [11, 12, 255, 256, 0x8000, 0xFFFF])
@pytest.mark.parametrize("payload", [b"", b"abc", bytes(300_000)], ids=len)
def test_unknown_type_is_refused_and_its_payload_skipped(dialogue, kind, payload):
    answers = dialogue(frame(kind, payload), frame(INFO))
    assert_refused_then_fine(answers, f"LINK_TYPE: message type {kind}, at most 10")


@pytest.mark.parametrize(("kind", "name"), [(OK, "OK"), (ERROR, "ERROR")])
def test_answers_are_no_requests(dialogue, kind, name):
    answers = dialogue(frame(kind, b"xyz"), frame(INFO))
    assert_refused_then_fine(answers, f"LINK_TYPE: message type {kind} ({name}) is an answer, not a request")


@pytest.mark.parametrize("size", [0, 1, (16 << 20) + 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("rest", [b"", bytes(5000)], ids=len)
def test_impossible_size_is_refused_once_the_line_is_silent(dialogue, size, rest):
    answers = dialogue(struct.pack("<IH", size, MODEL) + rest, FLUSH_US + 2000, frame(INFO))
    assert_refused_then_fine(answers, f"LINK_SIZE: message_size {size}, at least 2 and at most 16777218")


def test_largest_model_fits_and_one_byte_more_does_not(dialogue):
    fits, info, too_large, again = dialogue(
        frame(MODEL, bytes(ARENA_BYTES)), frame(INFO), frame(MODEL, bytes(ARENA_BYTES + 1)), frame(INFO)
    )
    assert fits.error == "ARCHIVE_FORMAT: file identifier is not IREE"
    assert too_large.error == f"LINK_SIZE: MODEL of {ARENA_BYTES + 1} bytes, at most {ARENA_BYTES}"
    assert info == again


@pytest.mark.parametrize(
    ("kind", "payload", "error"),
    [
        (PROCESS, b"x", "LINK_PAYLOAD: PROCESS with 1 payload bytes, not 0"),
        (IOSPEC, iospec()[:-1], "LINK_PAYLOAD: IOSPEC with 159 payload bytes, not 160"),
        (IOSPEC, iospec() + b"x", "LINK_PAYLOAD: IOSPEC with 161 payload bytes, not 160"),
    ],
)
def test_payload_must_fit_the_type(dialogue, kind, payload, error):
    answers = dialogue(REACH[STATE_INPUT_LOADED], frame(kind, payload), frame(INFO))
    assert_refused_then_fine(answers[2:], error)


@pytest.mark.parametrize("sent", range(1, 6))
def test_stall_in_the_header(dialogue, sent):
    answers = dialogue(frame(MODEL, SMALL)[:sent], STALL_US + 2000, frame(INFO))
    assert_refused_then_fine(answers, f"LINK_STALL: header stopped after {sent} of 6 bytes")


@pytest.mark.parametrize("sent", [0, 1, len(SMALL) - 1])
def test_stall_in_the_payload(dialogue, sent):
    answers = dialogue(frame(MODEL, SMALL)[: 6 + sent], STALL_US + 2000, frame(INFO))
    message = f"message type 3 stopped after {sent} of {len(SMALL)} payload bytes"
    assert_refused_then_fine(answers, f"LINK_STALL: {message}")


def test_stall_in_a_refused_payload_keeps_the_reason(dialogue):
    answers = dialogue(frame(99, b"abcdef")[:-1], STALL_US + 2000, frame(INFO))
    assert_refused_then_fine(answers, "LINK_TYPE: message type 99, at most 10")


def test_a_slow_line_is_not_a_stall(dialogue):
    script = [part for byte in frame(MODEL, SMALL) for part in (bytes([byte]), STALL_US - 2000)]
    assert [a.type for a in dialogue(*script)] == [OK]


def test_no_answer_to_silence_between_frames(dialogue):
    assert [a.type for a in dialogue(10 * STALL_US, frame(INFO), 10 * STALL_US)] == [OK]


def test_stalled_data_drops_the_earlier_input(dialogue):
    answers = dialogue(
        REACH[STATE_INFERENCE_DONE], frame(DATA, SMALL_INPUT)[:-1], STALL_US + 2000, frame(PROCESS), frame(INFO)
    )
    assert answers[3].error.startswith("LINK_STALL")
    assert answers[4].error == "SESSION_STATE: PROCESS in state MODEL_LOADED, expected DATA"
    assert answers[5].info[9] == STATE_MODEL_LOADED


def test_stalled_model_leaves_the_earlier_model(dialogue):
    answers = dialogue(REACH[STATE_INFERENCE_DONE], frame(MODEL, SMALL)[:-1], STALL_US + 2000, frame(OUTPUT))
    assert answers[-1] == (OK, SMALL_OUTPUT)


def test_text_without_an_end_is_no_request(dialogue):
    """It may be a command of MLPerf Tiny's runner (test_mlperf_dialogue.py): the frame behind it is served."""
    (answer,) = dialogue(b"Hello? Is this a shell?\r\n", FLUSH_US + 2000, frame(INFO))
    assert answer.type == OK


def test_requests_may_follow_each_other_without_pause(dialogue):
    assert len(dialogue(frame(INFO) * 500)) == 500


# ---- With the real runtime


def test_complete_firmware_runs_a_compiled_model(complete_firmware):
    model_input = frame(DATA, bytes(4 * 16))
    answers = play(
        complete_firmware,
        [frame(MODEL, dense_vmfb()), model_input, frame(PROCESS), frame(OUTPUT), frame(STATS), frame(PROFILE)],
    )
    assert [answer.type for answer in answers] == [OK] * 6
    assert len(answers[3].payload) == 4 * 8
    assert struct.unpack_from("<6I", answers[4].payload)[3] > 0
    assert struct.unpack_from("<II", answers[5].payload)[0] == 128


def test_complete_firmware_keeps_a_model_until_another_one_is_whole(complete_firmware):
    """The other one comes to memory that the first does not use, and gives the same answers as when it is alone."""
    first, second = frame(MODEL, dense_vmfb()), frame(MODEL, dense_vmfb(vectors=False))
    infer = [frame(DATA, bytes(range(64))), frame(PROCESS), frame(OUTPUT)]
    alone = play(complete_firmware, [second, *infer, frame(STATS)])[1:]
    answers = play(
        complete_firmware,
        [first, *infer, second[:-1], STALL_US + 2000, *infer, first, *infer, second, *infer, frame(STATS)],
    )
    assert answers[4].error.startswith("LINK_STALL")
    assert answers[1:4] == answers[5:8] == answers[9:12]
    assert [answer.type for answer in answers[8:13:4]] == [OK, OK]
    assert answers[13:] == alone


def test_complete_firmware_refuses_pieces_of_a_model(complete_firmware):
    whole = dense_vmfb()
    pieces = [whole[:size] for size in (0, 1, 7, 64, len(whole) // 2, len(whole) - 1)]
    answers = play(complete_firmware, [*(frame(MODEL, piece) for piece in pieces), frame(MODEL, whole)])
    assert all(answer.error for answer in answers[:-1])
    assert answers[-1].type == OK


def test_a_model_that_keeps_its_input_and_fails_is_unloaded(complete_firmware):
    model_input = frame(DATA, bytes(hostile_modules.INPUT_BYTES))
    load = frame(MODEL, hostile_modules.keeps_its_input())
    answers = play(complete_firmware, [load, model_input, frame(PROCESS), frame(PROFILE), frame(PROCESS), frame(INFO)])
    assert "input 0 is still in use, so the model is dropped" in answers[2].error
    assert (
        answers[3].error
        == "SESSION_STATE: PROFILE in state NONE, without a model: MODEL, or IOSPEC and MODEL, come first"
    )
    assert answers[4].error.startswith("SESSION_STATE")
    assert answers[5].info[-2] == STATE_NONE


@pytest.mark.parametrize(
    "module",
    [hostile_modules.load_in_inference, hostile_modules.constant_is_output, hostile_modules.bytecode_is_output],
)
def test_after_a_hostile_module_a_good_one_runs(complete_firmware, module):
    good = [frame(MODEL, dense_vmfb()), frame(DATA, bytes(4 * 16)), frame(PROCESS), frame(PROFILE)]
    alone = play(complete_firmware, good)
    refused, *after = play(complete_firmware, [frame(MODEL, module()), *good])
    assert refused.type == ERROR
    assert after == alone


noise = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.integers(min_value=0, max_value=3 * STALL_US),
        st.sampled_from([*REQUESTS.values(), frame(MODEL, SMALL)[:20]]),
        st.builds(
            lambda size, kind, payload: struct.pack("<IH", size, kind) + payload,
            st.one_of(st.integers(0, 400), st.integers(0, 0xFFFFFFFF)),
            st.integers(0, 14),
            st.binary(max_size=400),
        ),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=noise)
def test_never_out_of_step(frames_alone, script):
    *before, info = play(frames_alone, [*script, STALL_US + 2000, frame(INFO)])
    assert info.info[0] == 1
    assert all(answer.type in (OK, ERROR) for answer in before)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=noise)
def test_never_out_of_step_with_every_protocol(service_program, script):
    """What opened another protocol's dialogue is answered in that one's way; then the line is a base client's."""
    said = play_raw(service_program, [*script, 4 * STALL_US, frame(INFO)])
    (info,) = split_frames(said[-INFO_ANSWER_BYTES:])
    assert info.info[0] == 1


@pytest.mark.parametrize("text", [b"Is this a shell?\r\n", b"    ", b"load db 00 " * 20])
def test_text_without_an_end_is_no_runners(service_program, text):
    """Nobody has spoken yet, so the answer is the base protocol's."""
    answer, info = play(service_program, [text, STALL_US + 2000, frame(INFO)])
    assert answer.error.startswith("LINK_STALL: ")
    assert info.info[0] == 1
