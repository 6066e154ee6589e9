# SPDX-License-Identifier: Apache-2.0
"""Kenning's protocol of 2026 beside the others: the service as a process, with a made-up runtime and clock."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from client_2026 import (
    ACKNOWLEDGE,
    DATA,
    FAIL,
    FIRST,
    IO_SPEC,
    LAST,
    LOGS,
    MODEL,
    OUTPUT,
    PING,
    PROCESS,
    STATS,
    SUCCESS,
    TRANSMISSION,
    close_dialogue,
    message,
    open_dialogue,
    read_answers,
    request,
    specification,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_device import Recording, Request, device_of, hello
from test_service_host import (
    F32,
    FAKE_RUNTIME,
    INFO,
    SERVICE,
    SMALL,
    SMALL_INPUT,
    SMALL_OUTPUT,
    build,
    frame,
    model,
    play_raw,
    split_frames,
    tensor,
)
from test_service_host import OK as BASE_OK

from springbok.link import failures
from springbok.link.frames import MessageType, decode_extended_header, encode_extended_frame, extended_payload
from springbok.link.messages import ErrorAnswer, encode_hello

PAUSE_US = 60_000  # ends noise
SPEC = specification([("float32", (1, 2, 3))], [("float32", (1, 2))])
STATUS_BYTES = {IO_SPEC: b"\x02", MODEL: b"\x03", DATA: b"\x05", PROCESS: b"\x06"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("kenning") / "host_service", [*SERVICE, *FAKE_RUNTIME])


@pytest.fixture(scope="module")
def talk(program):
    def play(*script):
        return read_answers(play_raw(program, [open_dialogue(), *script]))

    return play


def test_whole_dialogue(talk):
    answers, _ = talk(
        request(IO_SPEC, SPEC),
        request(MODEL, SMALL.ljust(1000, b"\0")),
        request(DATA, SMALL_INPUT),
        request(PROCESS),
        request(OUTPUT),
        request(STATS),
        close_dialogue(),
    )
    assert [answer.type for answer in answers] == [PING, IO_SPEC, MODEL, DATA, PROCESS, OUTPUT, STATS, PING]
    assert all(answer.succeeded for answer in answers)
    assert {answer.type: answer.payload for answer in answers[1:5]} == STATUS_BYTES
    assert answers[5].payload == SMALL_OUTPUT
    assert answers[6].payload == struct.pack("<6I", 0, 0, 0, 4096, 8192, 2048)


def test_client_without_checksums(program):
    script = [open_dialogue(checked=False), request(MODEL, SMALL, checked=False)]
    answers, _ = read_answers(play_raw(program, script))
    assert [answer.succeeded for answer in answers] == [True, True]


def test_long_outputs_come_in_messages_of_136_bytes(talk):
    wide = model([tensor(F32, 1)], [tensor(F32, 100)])
    answers, _ = talk(request(MODEL, wide), request(DATA, bytes(4)), request(PROCESS), request(OUTPUT))
    assert answers[-1].payload == bytes([1]) * 400


def test_reasons_of_failures_come_as_logs(talk):
    answers, logs = talk(request(PROCESS), request(MODEL, b"no model"))
    assert [answer.succeeded for answer in answers] == [True, False, False]
    assert answers[1].flags & FAIL and answers[1].flow == TRANSMISSION
    assert logs[0] == "springbok-bench firmware: a dialogue begins"
    assert logs[1] == "springbok: failure 153 4 0"
    assert failures.cause(failures.details_of(logs[2]))[1] == "ARCHIVE_FORMAT"


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([("int32", (1, 2, 3))], [("float32", (1, 2))]),
        ([("float32", (2, 4))], [("float32", (1, 2))]),
        ([("float32", (1, 2, 3))], [("float16", (1, 2))]),
        ([("float32", (1, 2, 3))], [("float32", (2, 2))]),
        ([("float32", (1, 2, 3))] * 2, [("float32", (1, 2))]),
    ],
)
def test_specification_that_disagrees_is_refused(talk, inputs, outputs):
    answers, logs = talk(request(IO_SPEC, specification(inputs, outputs)), request(MODEL, SMALL))
    assert [answer.succeeded for answer in answers] == [True, True, False]
    assert "failure" in logs[-1]


def test_shapes_may_stand_in_rows_or_one_after_the_other(talk):
    two = model([tensor(F32, 3), tensor(F32, 2, 2)], [tensor(F32, 1), tensor(F32, 2)])
    said = specification([("float32", (3,)), ("float32", (2, 2))], [("float32", (1,)), ("float32", (2,))])
    rows = bytearray(said)
    rows[12:44] = struct.pack("<8I", 3, 0, 0, 0, 2, 2, 0, 0)
    rows[100:132] = struct.pack("<8I", 1, 0, 0, 0, 2, 0, 0, 0)
    for spec in (said, bytes(rows)):
        answers, _ = talk(request(IO_SPEC, spec), request(MODEL, two))
        assert all(answer.succeeded for answer in answers)


def test_empty_specification_is_none(talk):
    answers, _ = talk(request(IO_SPEC), request(MODEL, SMALL))
    assert all(answer.succeeded for answer in answers)


SERVED_OR_LOGS = (PING, DATA, MODEL, PROCESS, OUTPUT, STATS, IO_SPEC, LOGS)  # an answer of the last is read as a log


@pytest.mark.parametrize("payload", [b"", bytes(300), SPEC], ids=["empty", "long", "specification"])
def test_what_is_not_served_fails_and_drops_nothing(talk, payload):
    """Every number that the header's six bits hold, those of other protocols and of the firmware's own tables too."""
    kinds = [kind for kind in range(64) if kind not in SERVED_OR_LOGS]
    answers, _ = talk(
        request(MODEL, SMALL),
        *(request(kind, payload) for kind in kinds),
        *(request(DATA, SMALL_INPUT), request(PROCESS), request(OUTPUT)),
    )
    assert [answer.succeeded for answer in answers] == [True] * 2 + [False] * len(kinds) + [True] * 3
    assert [answer.type for answer in answers[2:-3]] == kinds
    assert answers[-1].payload == SMALL_OUTPUT


def denied_types(answers):
    return [answer.type for answer in answers if answer.flow == ACKNOWLEDGE and answer.flags & FAIL]


def test_ping_of_both_flags_begins_anew_and_one_of_none_asks_only(program):
    script = [open_dialogue(), request(PING), request(MODEL, SMALL), request(PING, flags=SUCCESS | FAIL)]
    answers, logs = read_answers(play_raw(program, [*script, request(DATA, SMALL_INPUT)]))
    assert [answer.succeeded for answer in answers] == [True] * 5
    assert len(logs) == 2


@pytest.mark.parametrize("lost", [0, 1, -1])
def test_request_that_lost_a_message_is_denied_and_may_come_again(talk, lost):
    whole = request(MODEL, SMALL.ljust(400, b"\0"))
    at = {0: 0, 1: 136, -1: 408}[lost]
    answers, _ = talk(whole[:at] + whole[at + 136 :], PAUSE_US if lost == 0 else 1_100_000, whole)
    if lost == 0:
        assert denied_types(answers) == list(range(8))
    assert answers[-1].type == MODEL and answers[-1].succeeded


@pytest.mark.parametrize(("sent", "seen"), [(DATA, MODEL), (IO_SPEC, MODEL)])
def test_flipped_type_drops_no_model(talk, sent, seen):
    """The kind of a request counts when its first message is whole: MODEL gives up what is loaded."""
    content = SMALL_INPUT if sent == DATA else SPEC
    damaged = bytearray(request(sent, content))
    damaged[0] = seen
    answers, _ = talk(
        request(MODEL, SMALL), bytes(damaged), PAUSE_US, request(DATA, SMALL_INPUT), request(PROCESS), request(OUTPUT)
    )
    assert denied_types(answers) == list(range(8))
    assert answers[-1].payload == SMALL_OUTPUT


def test_bool_is_a_type(talk):
    bools = model([tensor(0x13000008, 4)], [tensor(F32, 1)])
    said = specification([("bool8", (4,))], [("float32", (1,))])
    answers, _ = talk(request(IO_SPEC, said), request(MODEL, bools))
    assert all(answer.succeeded for answer in answers)


def test_damaged_request_is_denied_once_and_may_come_again(talk):
    whole = request(MODEL, SMALL.ljust(400, b"\0"))
    damaged = bytearray(whole)
    damaged[150] ^= 4
    answers, _ = talk(bytes(damaged), PAUSE_US, whole)
    assert denied_types(answers) == list(range(8))
    assert answers[-1].type == MODEL and answers[-1].succeeded


def test_other_protocols_come_in_between(program):
    stream = play_raw(
        program, [frame(INFO), open_dialogue(), request(MODEL, SMALL), close_dialogue(), frame(INFO), frame(9)]
    )
    first = split_frames(stream[:46])
    assert first[0].type == BASE_OK
    last = stream[stream.rindex(struct.pack("<IH", 42, 0)) :]
    assert split_frames(last)[0].info[9] == 2  # the model is still there


def test_base_client_may_follow_without_farewell(program):
    stream = play_raw(program, [open_dialogue(), frame(INFO)])
    assert split_frames(stream[-46:])[0].type == BASE_OK


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_never_out_of_step(program, data):
    """Whatever is lost, flipped or doubled: after a second of silence the client can open the dialogue again."""
    script = bytearray(open_dialogue() + request(MODEL, SMALL.ljust(300, b"\0")) + request(DATA, SMALL_INPUT))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(script) - 1))
        kind = data.draw(st.integers(0, 2))
        if kind == 0:
            script[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == 1:
            del script[at : at + data.draw(st.integers(1, 30))]
        else:
            script[at:at] = data.draw(st.binary(min_size=1, max_size=30))
    ping = message(PING, FIRST | LAST | 1)
    stream = play_raw(program, [bytes(script), 1_100_000, ping, PAUSE_US, ping])
    answer = message(PING, FIRST | LAST | 1 | 128, flow=TRANSMISSION)
    assert answer in stream[-(len(answer) + 70) :]


def test_whose_dialogue_a_client_of_kennings_has_ended_is_told_so(program):
    with device_of(program) as device:
        line = Recording(device)
        for part in (hello(5), Request(5, 2, MessageType.INFO), 1_100_000, open_dialogue()):
            line.send(part)
        told = line.send(Request(5, 3, MessageType.INFO))
        header = decode_extended_header(told[:16], line.identities[5])
    assert (header.sequence, header.message_type) == (3, MessageType.ERROR)
    assert ErrorAnswer.decode(extended_payload(header, told[16:])).name == "SESSION_ENDED"


def test_nobody_opens_a_dialogue_while_another_host_is_at_work(program):
    with device_of(program) as device:
        line = Recording(device)
        for part in (hello(5), Request(5, 2, MessageType.INFO)):
            line.send(part)
        ((kind, flow, flags, _),), _ = read_answers(line.send(open_dialogue()))
    assert (kind, flow, flags & (SUCCESS | FAIL)) == (PING, TRANSMISSION, FAIL)


@pytest.mark.parametrize("request_", [frame(MessageType.MODEL, SMALL), frame(MessageType.UNLOAD)])
def test_who_asks_in_base_frames_is_answered_in_one(program, request_):
    with device_of(program) as device:
        device.play(open_dialogue())
        (answer,) = split_frames(device.play(request_) + device.play(100_000))
        assert answer.error.startswith("LINK_MODE")
        assert read_answers(device.play(open_dialogue()))


def test_hello_of_another_host_between_messages_of_a_specification_harms_nothing(program):
    messages = request(IO_SPEC, SPEC)
    with device_of(program) as device:
        device.play(open_dialogue())
        heard = [device.play(messages[:136]), Recording(device).send(hello(7)), device.play(messages[136:])]
        assert heard[0] == b""
        (answer,), _ = read_answers(heard[2])
    assert answer.succeeded


@pytest.mark.parametrize("later", [1, 2])
@pytest.mark.parametrize("kind", [IO_SPEC, MODEL])
def test_message_of_a_request_whose_first_one_was_damaged_is_none(program, kind, later):
    """Another host's frame right behind the damaged message ends the noise."""
    whole = request(kind, SPEC if kind == IO_SPEC else SMALL.ljust(356, b"\0"))
    damaged = bytearray(whole[:136])
    damaged[20] ^= 1
    with device_of(program) as device:
        line = Recording(device)
        for part in (open_dialogue(), request(MODEL, SMALL), bytes(damaged), hello(7)):
            line.send(part)
        device.play(whole[136 * later :])
        answers, _ = read_answers(device.play(PAUSE_US))
        assert denied_types(answers) == list(range(8))
        answers, _ = read_answers(device.play(request(DATA, SMALL_INPUT) + request(PROCESS) + request(OUTPUT)))
    assert answers[-1].payload == SMALL_OUTPUT


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_frames_of_three_protocols_in_any_order_and_damage_crash_nothing(program, data):
    asked = encode_extended_frame(1, MessageType.HELLO, encode_hello(identity=7))
    whole = {kind: request(kind, SPEC) for kind in (IO_SPEC, MODEL)}
    messages = [content[at : at + 136] for content in whole.values() for at in range(0, len(content), 136)]
    others = [open_dialogue(), close_dialogue(), request(DATA, SMALL_INPUT), frame(INFO), asked]
    with device_of(program) as device:
        for part in data.draw(st.lists(st.sampled_from([*messages, *others, 60_000]), min_size=3, max_size=12)):
            sent = bytearray() if isinstance(part, int) else bytearray(part)
            if sent and data.draw(st.booleans()):
                sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
            device.play(bytes(sent) or part)
        device.play(5_000_000)
        device.play(open_dialogue())
        answers, _ = read_answers(device.play(open_dialogue()))
    assert answers[-1].type == PING
