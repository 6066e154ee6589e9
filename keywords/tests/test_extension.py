# SPDX-License-Identifier: Apache-2.0
"""The extension: the firmware's service as a process at one end, the client at the other, a bad cable between them."""

from __future__ import annotations

import dataclasses
import re
import socket
import struct
import subprocess
import threading
import time
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import client_2023
import construct
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_service_host import (
    ARENA_BYTES,
    DATA,
    ERROR,
    FAKE_RUNTIME,
    FIRMWARE,
    I8,
    INFO,
    IOSPEC,
    MODEL,
    OK,
    OUTPUT,
    PROCESS,
    SERVICE,
    SMALL,
    SMALL_INPUT,
    SMALL_OUTPUT,
    STATS,
    UNLOAD,
    Answer,
    Motion,
    build,
    frame,
    iospec,
    model,
    play_raw,
    service_program,  # noqa: F401 (a fixture)
    split_frames,
    tensor,
)

from springbok.link import layouts, messages
from springbok.link.fault_proxy import Direction, Fault, FaultProxy, Kind, _Way
from springbok.link.frames import MAGIC, MessageType, decode_extended_header, encode_extended_frame, extended_payload
from springbok.link.link import Dialect, Link
from springbok.support.errors import DeviceError, LinkError, LinkTimeout
from springbok.support.process import run
from springbok.tensors import TensorSpec

HELLO = struct.pack("<II", 1, 0)
EXTENDED_STALL_US, FLUSH_US = 100_000, 50_000


def split_extended(stream: bytes) -> list[tuple[int, Answer]]:
    """Sequence number and answer of each extended frame; fails on anything damaged or foreign."""
    answers = []
    while stream:
        header = decode_extended_header(stream[:16])
        assert header is not None, stream[:40]
        end = 16 + header.rest_bytes
        payload = extended_payload(header, stream[16:end])
        assert payload is not None
        answers.append((header.sequence, Answer(header.message_type, payload)))
        stream = stream[end:]
    return answers


def ask(number: int, kind: MessageType, payload: bytes = b"") -> bytes:
    return encode_extended_frame(number, kind, payload)


LOADED = ask(1, MessageType.HELLO, HELLO) + ask(2, MessageType.MODEL, SMALL)


@pytest.fixture(scope="session")
def extended(service_program):  # noqa: F811
    return lambda *script: split_extended(play_raw(service_program, script))


# ---- One description of the messages

STRUCTS = {
    "base_header_t": layouts.HEADER,
    "extended_header_t": layouts.EXTENDED_HEADER,
    "kenning_header_t": layouts.KENNING_HEADER,
    "kenning_type_t": layouts.KENNING_TYPE,
    "kenning_spec_t": layouts.KENNING_SPEC,
    "io_spec_t": layouts.IO_SPEC,
    "statistics_t": layouts.STATISTICS,
    "chip_info_t": layouts.CHIP_INFO,
    "hello_request_t": layouts.HELLO_REQUEST,
    "hello_limits_t": layouts.HELLO_LIMITS,
    "sense_request_t": layouts.SENSE_REQUEST,
    "benchmark_request_t": layouts.BENCHMARK_REQUEST,
    "upload_request_t": layouts.UPLOAD_REQUEST,
    "upload_answer_t": layouts.UPLOAD_ANSWER,
    "signature_header_t": layouts.SIGNATURE_HEADER,
    "tensor_description_t": layouts.TENSOR_DESCRIPTION,
    "profile_header_t": layouts.PROFILE_HEADER,
    "profile_record_t": layouts.PROFILE_RECORD,
}


def layout(struct_: construct.Struct) -> dict[str, tuple[int, int]]:
    places, offset = {}, 0
    for field in struct_.subcons:
        places[field.name] = (offset, field.sizeof())
        offset += field.sizeof()
    return places


def test_c_and_python_agree_on_every_field(tmp_path):
    text = (FIRMWARE / "service/messages.h").read_text()
    declared = {
        name: re.findall(r"^    \w+ (\w+)(?:\[\w+\])*;", body, re.MULTILINE)
        for body, name in re.findall(r"typedef struct[^{]*\{(.*?)\} (\w+);", text, re.DOTALL)
    }
    assert declared.keys() == STRUCTS.keys()
    lines = [
        f'printf("{name} {field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));'
        for name, fields in declared.items()
        for field in fields
    ]
    lines += [f'printf("{name} - 0 %zu\\n", sizeof({name}));' for name in declared]
    lines += ['printf("magic - 0 %u\\n", EXTENDED_MAGIC);', 'printf("version - 0 %d\\n", PROTOCOL_VERSION);']
    source = tmp_path / "layout.c"
    body = "\n".join(lines)
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "messages.h"\nint main(void) {{\n{body}\nreturn 0; }}\n'
    )
    program = build(tmp_path / "layout", [source, "-Iservice"])
    rows = [line.split() for line in run([program]).output.splitlines()]
    places = {(name, field): (int(offset), int(size)) for name, field, offset, size in rows}
    for name, python in STRUCTS.items():
        assert {field: places[name, field] for field in declared[name]} == layout(python), name
        assert places[name, "-"] == (0, python.sizeof())
    assert places["magic", "-"][1] == int.from_bytes(MAGIC, "little")
    assert places["version", "-"][1] == messages.PROTOCOL_VERSION


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=300))
def test_frame_is_read_as_it_was_written(sequence, kind, payload):
    whole = encode_extended_frame(sequence, kind, payload)
    header = decode_extended_header(whole[:16])
    assert (header.sequence, header.message_type, header.rest_bytes) == (sequence, kind, len(whole) - 16)
    assert extended_payload(header, whole[16:]) == payload


@given(st.binary(min_size=1, max_size=100), st.data())
def test_every_wrong_byte_is_caught(payload, data):
    whole = bytearray(encode_extended_frame(7, MessageType.INFER, payload))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    header = decode_extended_header(bytes(whole[:16]))
    assert header is None or extended_payload(header, whole[16:]) is None


@given(st.integers(2, (16 << 20) + 2), st.integers(0, 0xFFFF))
def test_no_base_frame_begins_like_an_extended_one(size, kind):
    assert not struct.pack("<IH", size, kind).startswith(MAGIC)
    assert int.from_bytes(MAGIC, "little") > (16 << 20) + 2


# ---- The firmware's side


def test_hello_tells_chip_and_limits(extended):
    ((sequence, answer),) = extended(ask(1, MessageType.HELLO, HELLO))
    info, limits = messages.decode_hello(answer.payload)
    assert (sequence, info.arena_bytes, info.firmware_version) == (1, ARENA_BYTES, "1.3")
    assert (limits.input_capacity, limits.output_capacity, limits.time_limit_ms) == (1 << 20, 1 << 18, 600_000)


def test_one_round_trip_an_inference(extended):
    answers = extended(LOADED, ask(3, MessageType.INFER, SMALL_INPUT), ask(4, MessageType.MEASURE, SMALL_INPUT))
    assert answers[2] == (3, Answer(OK, SMALL_OUTPUT))
    profile, output = messages.decode_measured(answers[3][1].payload)
    assert (output, profile.inferences, [d.ordinal for d in profile.dispatches]) == (SMALL_OUTPUT, 2, [0, 2])


def test_batch_gives_each_its_own_answer(extended):
    batch = b"".join(bytes([k]) * 24 for k in range(10))
    *_, (_, answer) = extended(LOADED, ask(3, MessageType.INFER, batch))
    assert answer.payload == b"".join(bytes([k + 1]) * 8 for k in range(10))


@pytest.mark.parametrize("size", [0, 23, 25])
def test_batch_of_the_wrong_size_is_refused(extended, size):
    *_, (_, answer) = extended(LOADED, ask(3, MessageType.INFER, bytes(size)))
    assert answer.error == f"SESSION_INPUT: INFER of {size} bytes, the model takes 24"


def test_signature_is_the_modules_own(extended):
    *_, (_, answer) = extended(LOADED, ask(3, MessageType.SIGNATURE))
    signature = messages.Signature.decode(answer.payload)
    assert [(t.dtype, t.shape, t.nbytes) for t in signature.inputs] == [("float32", (1, 2, 3), 24)]
    assert [(t.dtype, t.shape, t.nbytes) for t in signature.outputs] == [("float32", (1, 2), 8)]


def test_repeated_request_is_answered_again_and_not_executed_again(extended):
    infer = ask(3, MessageType.MEASURE, SMALL_INPUT)
    answers = extended(LOADED, infer, infer, infer, ask(4, MessageType.PROFILE))
    assert answers[2] == answers[3] == answers[4]
    assert messages.Profile.decode(answers[5][1].payload).inferences == 1


def test_repeated_error_is_the_same_error(extended):
    wrong = ask(3, MessageType.MODEL, b"rubbish")
    answers = extended(LOADED, wrong, wrong)
    assert answers[2] == answers[3]
    assert answers[2][1].error == "ARCHIVE_FORMAT: file identifier is not IREE"


def test_same_number_with_another_payload_size_is_another_request(extended):
    answers = extended(LOADED, ask(3, MessageType.INFER, SMALL_INPUT), ask(3, MessageType.INFER, SMALL_INPUT * 2))
    assert len(answers[3][1].payload) == 2 * len(answers[2][1].payload)


def test_damaged_payload_is_named_and_the_repetition_works(extended):
    good = ask(3, MessageType.INFER, SMALL_INPUT)
    bad = good[:20] + bytes([good[20] ^ 1]) + good[21:]
    answers = extended(LOADED, bad, good)
    assert answers[2][0] == 3
    assert answers[2][1].error.startswith("LINK_CRC: CRC-32 of message type 16 is 0x")
    assert answers[3] == (3, Answer(OK, SMALL_OUTPUT))


def test_damaged_header_is_skipped_until_the_next_magic(extended):
    good = ask(3, MessageType.INFER, SMALL_INPUT)
    answers = extended(LOADED, good[:6] + b"\xff" + good[7:], good)
    assert answers[2:] == [(3, Answer(OK, SMALL_OUTPUT))]


# The made-up runtime leaves what is behind the model and 6 KB of the arena free.
IMAGE = SMALL.ljust(200_000, b"\1")
FREE_BYTES = ARENA_BYTES - len(IMAGE) - 6144
GREETED = ask(1, MessageType.HELLO, HELLO) + ask(2, MessageType.MODEL, IMAGE)
OTHER_INPUT, OTHER_OUTPUT = bytes(8), b"\1" * 3


def other_model(size: int) -> bytes:
    """Of so many bytes, all of which count: the made-up runtime overwrites what is not the image's."""
    return model([tensor(I8, 8)], [tensor(I8, 3)]).ljust(size, b"\2")


@pytest.mark.parametrize("size", [1000, 300_000, FREE_BYTES - 256])
@pytest.mark.parametrize("fault", ["flipped", "stalled"])
def test_damaged_model_leaves_the_one_that_is_there(extended, size, fault):
    whole = ask(3, MessageType.MODEL, other_model(size))
    damaged = bytearray(whole[: -9 if fault == "stalled" else None])
    damaged[30] ^= 1 if fault == "flipped" else 0
    infer = ask(4, MessageType.INFER, SMALL_INPUT)
    answers = extended(GREETED, bytes(damaged), EXTENDED_STALL_US + 2000, infer)
    assert answers[2][1].error.startswith("LINK_STALL" if fault == "stalled" else "LINK_CRC")
    assert answers[3] == (4, Answer(OK, SMALL_OUTPUT))


@pytest.mark.parametrize("size", [1000, 300_000, FREE_BYTES - 256, FREE_BYTES + 256, ARENA_BYTES])
def test_a_model_takes_the_place_of_another(extended, size):
    script = [GREETED, ask(3, MessageType.MODEL, other_model(size)), ask(4, MessageType.INFER, OTHER_INPUT)]
    assert extended(*script)[2:] == [(3, Answer(OK, b"")), (4, Answer(OK, OTHER_OUTPUT))]


def test_damaged_model_that_has_no_room_beside_the_other_leaves_none_and_may_come_again(extended):
    whole = ask(3, MessageType.MODEL, other_model(FREE_BYTES + 256))
    damaged = whole[:30] + bytes([whole[30] ^ 1]) + whole[31:]
    answers = extended(GREETED, damaged, ask(4, MessageType.INFER, SMALL_INPUT), ask(5, MODEL, other_model(1000)))
    assert [answer.type for _, answer in answers[2:]] == [ERROR, ERROR, OK]
    assert (
        answers[3][1].error
        == "SESSION_STATE: INFER in state NONE, without a model: MODEL, or IOSPEC and MODEL, come first"
    )
    assert extended(GREETED, damaged, whole, ask(4, MessageType.INFER, OTHER_INPUT))[-1][1].payload == OTHER_OUTPUT


def test_model_with_a_damaged_header_leaves_the_one_that_is_there(extended):
    whole = ask(3, MessageType.MODEL, other_model(1000))
    for at in range(16):
        damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert extended(GREETED, damaged, FLUSH_US * 3, ask(4, MessageType.INFER, SMALL_INPUT))[-1] == (
            4, Answer(OK, SMALL_OUTPUT),
        )  # fmt: skip


def test_noise_is_reported_once_the_line_is_silent(extended):
    answers = extended(LOADED, b"nois\xe9" * 10, FLUSH_US + 2000, ask(3, MessageType.STATS))
    assert [sequence for sequence, _ in answers[2:]] == [0, 3]
    assert answers[2][1].error.startswith("LINK_SIZE")


def test_text_without_an_end_is_given_up_soon(extended):
    answers = extended(LOADED, b"text" * 10, EXTENDED_STALL_US + 2000, ask(3, MessageType.STATS))
    assert [sequence for sequence, _ in answers[2:]] == [0, 3]
    assert answers[2][1].error.startswith("LINK_STALL")


@pytest.mark.parametrize("sent", [1, 5, 15, 16, 20, 43])
def test_stall_is_given_up_soon(extended, sent):
    good = ask(3, MessageType.INFER, SMALL_INPUT)
    answers = extended(LOADED, good[:sent], EXTENDED_STALL_US + 2000, good)
    assert answers[2][1].error.startswith("LINK_STALL")
    assert answers[3] == (3, Answer(OK, SMALL_OUTPUT))


@pytest.mark.parametrize("kind", [MODEL, DATA, PROCESS, UNLOAD])
def test_base_frame_among_extended_ones_is_refused_in_a_base_frame(service_program, kind):  # noqa: F811
    payload = SMALL if kind == MODEL else SMALL_INPUT if kind == DATA else b""
    before = len(play_raw(service_program, [LOADED]))
    script = [LOADED, frame(kind, payload), FLUSH_US + 2000, ask(3, MessageType.INFER, SMALL_INPUT)]
    told = play_raw(service_program, script)[before:]
    (refusal,), inferred = split_frames(told[: told.index(MAGIC)]), split_extended(told[told.index(MAGIC) :])
    assert refusal.error.startswith("LINK_MODE")
    assert inferred == [(3, Answer(OK, SMALL_OUTPUT))]


@pytest.mark.parametrize("first", [frame(IOSPEC, iospec()), frame(INFO), frame(STATS)], ids=["IOSPEC", "INFO", "STATS"])
def test_old_client_is_served_after_a_new_one(service_program, first):  # noqa: F811
    before = play_raw(service_program, [LOADED])
    stream = play_raw(service_program, [LOADED, first, frame(MODEL, SMALL), frame(DATA, SMALL_INPUT)])
    assert [answer.type for answer in split_frames(stream[len(before) :])] == [OK, OK, OK]


def test_extension_messages_need_extended_frames(service_program):  # noqa: F811
    (answer,) = split_frames(play_raw(service_program, [frame(MessageType.RESET)]))
    assert answer.error == "LINK_TYPE: message type 19, at most 10"


def upload(image: bytes) -> bytes:
    return struct.pack("<II", len(image), zlib.crc32(image))


def offsets(answers) -> list[int]:
    return [int.from_bytes(answer.payload, "little") for _, answer in answers]


def test_upload_in_chunks_and_its_resumption(extended):
    begin = ask(1, MessageType.UPLOAD, upload(SMALL))
    first, second = ask(2, MessageType.CHUNK, SMALL[:30]), ask(4, MessageType.CHUNK, SMALL[30:])
    again = ask(3, MessageType.UPLOAD, upload(SMALL))
    answers = extended(begin, first, again, second, ask(5, MessageType.LOAD), ask(6, MessageType.INFER, SMALL_INPUT))
    assert offsets(answers[:4]) == [0, 30, 30, len(SMALL)]
    assert answers[-1] == (6, Answer(OK, SMALL_OUTPUT))


def test_upload_of_another_image_begins_anew(extended):
    first = ask(1, MessageType.UPLOAD, upload(SMALL)) + ask(2, MessageType.CHUNK, SMALL[:30])
    assert offsets(extended(first, ask(3, MessageType.UPLOAD, upload(b"other"))))[-1] == 0


def test_unfinished_wrong_or_missing_upload_is_refused(extended):
    begin = ask(1, MessageType.UPLOAD, upload(SMALL))
    wrong = ask(2, MessageType.CHUNK, bytes(len(SMALL)))
    *_, (_, unfinished) = extended(begin, ask(2, MessageType.LOAD))
    *_, (_, damaged) = extended(begin, wrong, ask(3, MessageType.LOAD))
    *_, (_, missing) = extended(ask(1, MessageType.CHUNK, b"x"))
    *_, (_, too_much) = extended(begin, ask(2, MessageType.CHUNK, SMALL + b"x"))
    *_, (_, aborted) = extended(begin, wrong, ask(3, MessageType.ABORT), ask(4, MessageType.LOAD))
    assert unfinished.error == f"SESSION_UPLOAD: 0 of {len(SMALL)} bytes were uploaded"
    assert damaged.error == f"SESSION_UPLOAD: the image of {len(SMALL)} bytes is not what was announced"
    assert missing.error == "SESSION_UPLOAD: CHUNK without UPLOAD"
    assert too_much.error == f"LINK_SIZE: CHUNK of {len(SMALL) + 1} bytes, at most {len(SMALL)}"
    assert aborted.error == "SESSION_UPLOAD: LOAD without UPLOAD"


def test_abort_keeps_the_model_and_reset_does_not(extended):
    answers = extended(
        LOADED, ask(3, MessageType.DATA, SMALL_INPUT), ask(4, MessageType.ABORT), ask(5, MessageType.PROCESS),
        ask(6, MessageType.INFER, SMALL_INPUT), ask(7, MessageType.RESET), ask(8, MessageType.INFER, SMALL_INPUT),
    )  # fmt: skip
    assert answers[4][1].error == "SESSION_STATE: PROCESS in state MODEL_LOADED, expected DATA"
    assert [answer.type for _, answer in answers[5:]] == [OK, OK, ERROR]


# ---- The accelerometer as the input. The made-up runtime answers each byte of its input plus one.

F32, U8 = 0x21000020, 0x12000008
# With it and whole steps, a float32 window begins with a byte of 0: others ask the made-up runtime to misbehave.
UNIT = 0.5


def sense(number: int, samples: int, wait: float = 0.1, *quantisation: float) -> bytes:
    return ask(number, MessageType.SENSE, messages.encode_sense(samples, wait, UNIT, *quantisation))


def window_of(samples: int, element_type: int = F32) -> bytes:
    """A hello and a model that gives its input of so many samples back."""
    shape = tensor(element_type, 1, samples, 3, 1)
    return ask(1, MessageType.HELLO, HELLO) + ask(2, MessageType.MODEL, model([shape], [shape]))


def motion(samples: int, seed: int = 0) -> Motion:
    return Motion(np.random.default_rng(seed).integers(-4096, 4096, (samples, 3)).tolist())


def values(answer: Answer, dtype: str = "<f4") -> np.ndarray:
    assert answer.type == OK, answer.error
    return np.frombuffer(bytes((byte - 1) & 0xFF for byte in answer.payload), dtype).reshape(-1, 3)


@given(
    window=st.integers(1, 128),
    takes=st.lists(st.integers(0, 300), min_size=1, max_size=5),
    seed=st.integers(0, 1 << 30),
)
@settings(max_examples=10, deadline=None, phases=(Phase.generate,))  # each example is a process
def test_newest_samples_become_the_input_wherever_the_ring_stands(extended, window, takes, seed):
    takes = [window, *takes]
    moved = motion(sum(takes), seed)
    answers = extended(window_of(window), moved, *(sense(3 + i, count) for i, count in enumerate(takes)))
    for i, (_, answer) in enumerate(answers[2:]):
        end = sum(takes[: i + 1])
        assert np.array_equal(values(answer), np.array(moved[end - window : end], np.float32) * np.float32(UNIT))


@given(scale=st.floats(0.25, 1e4, width=32), zero=st.integers(-16, 127), seed=st.integers(0, 1 << 30))
@settings(max_examples=10, deadline=None, phases=(Phase.generate,))  # each example is a process
def test_int8_input_is_quantised_as_the_host_does_it(extended, scale, zero, seed):
    moved = Motion([[0, 0, 0], *motion(100, seed)[1:]])
    *_, (_, answer) = extended(window_of(100, I8), moved, sense(3, 100, 0.1, scale, zero))
    spec = TensorSpec("x", (100, 3), "int8", scale, zero)
    wanted = spec.to_raw(np.array(moved, np.float32) * np.float32(UNIT))
    assert np.array_equal(values(answer, "i1"), wanted)


@pytest.mark.parametrize("quantisation", [(0.0, 0), (-0.0, 0), (-1.0, 0), (float("nan"), 0), (1.0, 128), (1.0, -129)])
def test_impossible_scales_are_refused_before_a_sample_is_taken(extended, quantisation):
    answers = extended(window_of(1, I8), Motion([[1, -1, 0]]), sense(3, 1, 0.1, *quantisation), sense(4, 1))
    assert answers[2][1].error.startswith("SESSION_INPUT: the scale of the input, ")
    assert answers[3][1].type == OK


def test_the_smallest_scale_quantises_to_the_ends(extended):
    answers = extended(window_of(1, I8), Motion([[1, -1, 0]]), sense(3, 1, 0.1, 1e-45))
    assert values(answers[2][1], "i1").tolist() == [[127, -128, 0]]


def test_samples_that_do_not_come_are_counted_and_those_that_came_are_kept(extended):
    moved = motion(10)
    answers = extended(window_of(8), Motion(moved[:3]), sense(3, 8, 0.02), Motion(moved[3:]), sense(4, 7))
    assert answers[2][1].error == "SENSOR_SAMPLES: 3 of 8 new samples came within 20 ms"
    assert np.array_equal(values(answers[3][1]), np.array(moved[2:], np.float32) * np.float32(UNIT))


def test_window_longer_than_what_came_since_the_start_is_refused(extended):
    *_, (_, answer) = extended(window_of(8), motion(20), sense(3, 7))
    assert answer.error == "SENSOR_SAMPLES: the model takes a window of 8 samples, 7 came since the start"


def test_repeated_sense_takes_no_new_samples(extended):
    moved = motion(20)
    answers = extended(window_of(8), moved, sense(3, 8), sense(3, 8), sense(4, 8))
    assert answers[2] == answers[3]
    assert np.array_equal(values(answers[4][1]), np.array(moved[8:16], np.float32) * np.float32(UNIT))


def test_missing_accelerometer_is_named_and_one_that_comes_later_is_found(extended):
    answers = extended(window_of(8), sense(3, 8), motion(8), sense(4, 8))
    assert answers[2][1].error == "SENSOR_MISSING: no device answers at I2C address 0x1d"
    assert answers[3][1].type == OK


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor(F32, 129, 3)], [tensor(I8, 129, 3)], [tensor(F32, 4)], [tensor(I8, 385)], [tensor(U8, 8, 3)],
        [tensor(F32, 8, 3)] * 2, [],
    ],
)  # fmt: skip
def test_model_that_takes_no_window_is_refused(extended, inputs):
    load = ask(1, MessageType.HELLO, HELLO) + ask(2, MessageType.MODEL, model(inputs, [tensor(F32, 1)]))
    *_, (_, answer) = extended(load, motion(300), sense(3, 200))
    assert answer.error.startswith(f"SESSION_INPUT: {len(inputs)} inputs of ")
    assert answer.error.endswith("one input of at most 128 samples x 3 axes, float32 or int8")


def test_sense_needs_a_model_and_an_extended_frame(extended, service_program):  # noqa: F811
    *_, (_, answer) = extended(ask(1, MessageType.HELLO, HELLO), motion(8), sense(2, 8))
    assert answer.error == "SESSION_STATE: SENSE in state NONE, without a model: MODEL, or IOSPEC and MODEL, come first"
    (answer,) = split_frames(play_raw(service_program, [frame(MessageType.SENSE, bytes(20))]))
    assert answer.error.startswith("LINK_TYPE")


def test_fuzzed_dialogues_stay_in_step(tmp_path):
    sources = [*(source for source in SERVICE if source != "test/host_service.c"), *FAKE_RUNTIME]
    program = build(tmp_path / "fuzz_link", [*sources, "test/fuzz_link.c"])
    done = run([program, "20000", "1"], time_limit=120)
    assert done.exit_code == 0, done.output


# ---- The client's side: through a bad cable to the service


class ServiceProcess:
    """The service as a process behind a listening socket."""

    def __init__(self, program: Path) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self.server.getsockname()[1]}"
        self.program = program

    def __enter__(self) -> FaultProxy:
        self.cable = FaultProxy(self.url, seed=1)
        connection, _ = self.server.accept()
        with connection:
            self.process = subprocess.Popen([self.program], stdin=connection, stdout=connection)
        return self.cable

    def __exit__(self, *_: object) -> None:
        self.cable.close()
        self.server.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def cable(service_program):  # noqa: F811
    with ServiceProcess(service_program) as cable:
        yield cable


@pytest.fixture
def link(cable):
    with Link(cable.url) as link:
        link.negotiate()
        link.load_model(SMALL)
        yield link


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("kind", ["corrupt", "drop", "duplicate"])
@pytest.mark.parametrize("after", [0, 3, 15, 16, 20])
def test_damaged_bytes_cost_a_retry_and_no_answer(cable, link, direction, kind, after):
    getattr(cable, kind)(1, direction, after)
    assert link.infer(SMALL_INPUT) == SMALL_OUTPUT
    assert cable.injected == 1
    assert link.infer(bytes(24)) == b"\1" * 8
    assert link.report.retransmissions <= 3
    assert link.profile().inferences == 2  # nothing was executed twice


def test_lost_request_is_sent_again(cable, link):
    cable.drop(44, Direction.TO_DEVICE)
    assert link.infer(SMALL_INPUT) == SMALL_OUTPUT
    assert 1 <= link.report.retransmissions <= link.report.unanswered  # a loaded computer is slow to answer


def test_lost_answer_is_answered_again(cable, link):
    cable.drop(28, Direction.TO_HOST)
    assert link.infer(SMALL_INPUT) == SMALL_OUTPUT
    assert link.profile().inferences == 1


def test_late_answer_is_not_taken_for_another(cable, link):
    cable.stall(0.6, Direction.TO_HOST)
    assert link.infer(SMALL_INPUT) == SMALL_OUTPUT
    assert link.infer(bytes(24)) == b"\1" * 8
    assert link.report.late_answers >= 1


def test_silence_ends_with_a_report(cable, link):
    cable.drop(1_000_000, Direction.TO_HOST)
    started = time.monotonic()
    with pytest.raises(LinkTimeout, match=r"No whole answer to INFER within 1\.\d s\. On the line: .*unanswered"):
        link.infer(SMALL_INPUT, timeout=1.0)
    assert time.monotonic() - started < 5
    cable.disarm()
    assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


def test_line_that_damages_everything_is_given_up(cable, link):
    cable.corrupt(1_000_000, Direction.TO_DEVICE)
    with pytest.raises(LinkError, match="STATS"):
        link.request(MessageType.STATS, timeout=3)
    cable.disarm()
    assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


def test_cut_cable_and_resumed_upload(cable):
    image = SMALL + bytes(40_000)
    with Link(cable.url) as link:
        link.negotiate()
        cable.drop(10_000_000, Direction.TO_DEVICE, after=20_000)
        with pytest.raises(LinkError):
            link.timeout = 1.0
            link.load_model(image)
    cable.disarm()
    cable.cut()
    seen = []
    with Link(cable.url) as link:
        link.negotiate()
        link.load_model(image, progress=lambda done, total: seen.append((done, total)))
        assert seen[0][0] > 0
        assert seen[-1] == (len(image), len(image))
        assert link.report.resumed_uploads == 1
        link.load_model(image, place=lambda *_: False)
        assert link.report.resumed_uploads == 1  # what is sent to be placed is no upload that was stopped
        assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


@pytest.mark.parametrize("extension", [True, False])
@pytest.mark.parametrize(
    "left",
    [
        frame(MODEL, SMALL)[:5],
        frame(MODEL, SMALL)[:-3],
        frame(DATA, SMALL_INPUT) + frame(PROCESS) + frame(OUTPUT),
        frame(STATS) * 3,
        LOADED + ask(3, MessageType.INFER, SMALL_INPUT),
        LOADED + ask(3, MessageType.INFER, SMALL_INPUT)[:-9],
        ask(1, MessageType.HELLO, HELLO) + ask(2, MessageType.MODEL, SMALL)[:20],
        bytes(range(40)),
    ],
    ids=["header", "model", "answers", "statistics", "inference", "cut inference", "cut model", "noise"],
)
def test_next_host_is_served_after_a_killed_one(cable, extension, left):
    address = urlsplit(cable.url)
    with socket.create_connection((address.hostname, address.port)) as killed:
        killed.sendall(left)
    with Link(cable.url) as link:
        link.negotiate(extension=extension)
        link.load_model(SMALL)
        assert link.infer(SMALL_INPUT) == SMALL_OUTPUT
        assert link.infer(bytes(24)) == b"\1" * 8


def test_refusal_is_not_repeated(link):
    with pytest.raises(DeviceError, match="answered to LOAD with error 0x0206 SESSION_UPLOAD: LOAD without UPLOAD"):
        link.request(MessageType.LOAD)
    assert link.report.retransmissions == 0


def test_many_inferences_do_not_drift(link):
    pairs = [(bytes([k % 100]) * 24, bytes([k % 100 + 1]) * 8) for k in range(2000)]
    assert all(link.infer(data) == answer for data, answer in pairs)
    assert link.report.retransmissions == 0


# ---- What the other side speaks


def test_negotiation_finds_the_extension(link):
    assert link.dialect is Dialect.EXTENDED
    assert link.negotiate(extension=False).firmware_version == "1.3"
    assert link.dialect is Dialect.INFO
    assert link.infer(SMALL_INPUT) == SMALL_OUTPUT
    with pytest.raises(LinkError, match="SIGNATURE needs the extension; with this firmware the link is 'base with"):
        link.signature()


def test_reset_begins_anew(link):
    link.reset_device()
    assert link.negotiate().model_state == messages.ModelState.NONE


class Firmware2023(client_2023.client_2023):
    """Answers as a firmware of 2023: no reasons, no types above 7."""

    def serve(self, server: socket.socket) -> None:
        self.line, _ = server.accept()
        self.kinds = []
        try:
            while True:
                kind, _ = self.receive_message()
                self.kinds.append(kind)
                answer = {OUTPUT: (OK, b"output"), STATS: (ERROR, b"")}.get(kind, (OK, b""))
                self.send_raw(struct.pack("<IH", 2 + len(answer[1]), answer[0]) + answer[1])
        except (AssertionError, OSError):
            self.line.close()


def test_firmware_of_2023_is_recognised_and_never_asked_what_it_does_not_know():
    firmware = Firmware2023()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=firmware.serve, args=(server,), daemon=True)
        thread.start()
        with Link(f"socket://127.0.0.1:{server.getsockname()[1]}") as link:
            assert link.negotiate() is None
            assert link.dialect is Dialect.BASE
            link.load_model(SMALL)
            assert link.infer(SMALL_INPUT) == b"output"
            for refused in (link.profile, link.unload):
                with pytest.raises(LinkError, match="A firmware of 2023 does not know"):
                    refused()
        thread.join(5)
    assert max(firmware.kinds) <= 7


def test_old_client_runs_a_whole_dialogue(cable):
    client = client_2023.client_2023()
    client.connect_old_client(cable.url)
    specification = client.specification((1, 2, 3), 2)
    assert specification == iospec(entry_func=b"main", model_name=b"model")
    output, statistics = client.whole_dialogue(specification, SMALL, SMALL_INPUT)
    client.close_old_client()
    assert (output, statistics) == (SMALL_OUTPUT, (0, 0, 0, 4096, 8192, 2048))


# ---- The bad cable itself


class Always:
    """Flips the lowest bit."""

    def randrange(self, _: int) -> int:
        return 0

    def randbytes(self, count: int) -> bytes:
        return bytes(count)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(Kind.CORRUPT, 2, 1), b"acbdefgh"),
        (Fault(Kind.DROP, 2, 1), b"adefgh"),
        (Fault(Kind.DUPLICATE, 2, 1), b"abbccdefgh"),
        (Fault(Kind.INSERT, after=1, content=b"XY"), b"aXYbcdefgh"),
        (Fault(Kind.NOISE, 2, 1), b"a\0\0defgh"),
        (Fault(Kind.STICK, 3, 1, bit=0, level=1), b"acceefgh"),
        (Fault(Kind.STICK, 3, 1, bit=0, level=0), b"abbdefgh"),
        (Fault(Kind.MISREAD, 2, 1), b"adefgh"),
        (Fault(Kind.REORDER, 1, 1), b"acbdefgh"),
        (Fault(Kind.REORDER, 3, 1), b"aefgbcdh"),
        (Fault(Kind.ECHO, 2, 1), b"abcdefgh"),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else "",
)
@pytest.mark.parametrize("pieces", [[8], [1, 7], [2, 2, 4], [1] * 8])
def test_fault_strikes_its_bytes_however_they_come(fault, expected, pieces):
    way = _Way()
    way.faults.append(dataclasses.replace(fault))
    stream, out = b"abcdefgh", b""
    for size in pieces:
        out += way.strike(stream[:size], Always())
        stream = stream[size:]
    assert out == expected
    assert way.injected == 1
    assert way.echo == (b"bc" if fault.kind is Kind.ECHO else b"")


def test_device_that_is_not_there_is_a_clear_error():
    with pytest.raises(LinkError, match="The device at socket://127.0.0.1:1 can't be reached"):
        FaultProxy("socket://127.0.0.1:1")
