# SPDX-License-Identifier: Apache-2.0
"""Whose frame is it? Dialogues have an identity: old requests, foreign ones and a second host harm nobody's."""

from __future__ import annotations

import socket
import struct
import time
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_extension import ServiceProcess
from test_service_host import (
    ERROR,
    INFO,
    IOSPEC,
    MODEL,
    OK,
    SMALL,
    SMALL_INPUT,
    SMALL_OUTPUT,
    STATS,
    UNLOAD,
    frame,
    iospec,
    play_raw,
    service_program,  # noqa: F401 (a fixture)
    split_frames,
)

from springbok.link.fault_proxy import Direction
from springbok.link.frames import (
    MAGIC,
    MessageType,
    decode_extended_header,
    encode_extended_frame,
    extended_payload,
)
from springbok.link.link import Dialect, Link
from springbok.link.messages import ChipInfo, ErrorAnswer, encode_hello
from springbok.support.errors import DeviceError, LinkError, OtherHost

QUIET_US, FLUSH_US = 1_000_000, 50_000
A, B, C = 0xAAAA, 0xBBBB, 0xCCCC
TELL_SECONDS = 3.0
OTHER = bytes([175, 1]) + (1000).to_bytes(4, "little")  # the failure DIALOGUE_OTHER and its word


def hello(identity, take_over=False, time_limit=None):
    payload = encode_hello(time_limit, identity, take_over=take_over)
    return encode_extended_frame(number_of(identity), MessageType.HELLO, payload)


def number_of(identity):
    """Where a dialogue's numbers begin."""
    return identity & 0xF00


def ask(identity, number, kind, payload=b""):
    return encode_extended_frame(number_of(identity) + number, kind, payload, identity)


def loaded(identity):
    return hello(identity) + ask(identity, 2, MessageType.MODEL, SMALL)


def upload(identity, number=3):
    """A whole one of another model, with valid CRCs."""
    image = SMALL + bytes(8)
    announced = struct.pack("<II", len(image), zlib.crc32(image))
    frames = [(MessageType.UPLOAD, announced), (MessageType.CHUNK, image), (MessageType.LOAD, b"")]
    return b"".join(ask(identity, number + i, *each) for i, each in enumerate(frames))


@pytest.fixture(scope="module")
def answers(service_program):  # noqa: F811
    """What comes for a script: (identity that the answer is made with, its number, type, name of the error)."""

    def play(*script):
        stream, found = play_raw(service_program, script), []
        while stream:
            assert stream.startswith(MAGIC), stream[:32]
            for identity in (0, A, B, C):
                header = decode_extended_header(stream[:16], identity)
                if header is not None:
                    break
            end = 16 + header.rest_bytes
            payload = extended_payload(header, stream[16:end])
            name = ErrorAnswer.decode(payload).name if header.message_type == ERROR else None
            number = header.sequence and header.sequence - (number_of(identity) if identity else 0)
            found.append((identity, number, header.message_type, name or payload))
            stream = stream[end:]
        return found

    return play


# ---- The firmware's side


def test_answers_carry_the_dialogues_identity(answers):
    found = answers(loaded(A), ask(A, 3, MessageType.INFER, SMALL_INPUT))
    assert [each[:3] for each in found] == [(0, number_of(A), OK), (A, 2, OK), (A, 3, OK)]
    assert found[-1][3] == SMALL_OUTPUT


@pytest.mark.parametrize("of", [0, B])
def test_frames_of_no_or_another_dialogue_are_noise(answers, of):
    found = answers(loaded(A), upload(of), FLUSH_US + 2000, ask(A, 3, MessageType.INFER, SMALL_INPUT))
    assert found[-1] == (A, 3, OK, SMALL_OUTPUT)
    assert all(kind == ERROR for *_, kind, _ in found[2:-1])


def test_old_upload_of_an_ended_dialogue_drops_no_model(answers):
    found = answers(
        hello(A), upload(A, 2), QUIET_US, loaded(B), upload(A, 2), ask(B, 3, MessageType.INFER, SMALL_INPUT)
    )
    assert [each[3] for each in found[6:9]] == ["SESSION_ENDED"] * 3
    assert found[-1] == (B, 3, OK, SMALL_OUTPUT)


def test_old_requests_of_this_dialogue_are_refused(answers):
    old = upload(A, 2)
    found = answers(
        hello(A), old, ask(A, 9, MessageType.INFER, SMALL_INPUT), old, ask(A, 10, MessageType.INFER, SMALL_INPUT)
    )
    assert [each[3] for each in found[5:8]] == ["LINK_REPEATED"] * 3
    assert found[-1] == (A, 10, OK, SMALL_OUTPUT)


@pytest.mark.parametrize("replayed", [hello(A), ask(A, 9, MessageType.HELLO, encode_hello(identity=0))])
def test_old_hello_and_farewell_begin_and_end_nothing(answers, replayed):
    found = answers(hello(A), QUIET_US, loaded(B), QUIET_US, replayed, ask(B, 3, MessageType.INFER, SMALL_INPUT))
    assert found[-2][3] == "SESSION_ENDED"
    assert found[-1] == (B, 3, OK, SMALL_OUTPUT)


def test_same_number_and_header_with_another_content_is_not_answered_as_a_repetition(answers):
    """Two hosts of the protocol before identities, which number alike."""
    first, second = bytes(24), bytes([7]) * 24
    script = [encode_extended_frame(1, MessageType.HELLO, struct.pack("<II", 1, 0))]
    script += [encode_extended_frame(n, *each) for n, each in ((2, (MessageType.MODEL, SMALL)),)]
    infer = [encode_extended_frame(3, MessageType.INFER, data) for data in (first, second)]
    found = answers(*script, infer[0], infer[1], infer[1])
    assert found[2][3] == b"\1" * 8
    assert found[3][3] == "LINK_CRC"
    assert found[4][3] == b"\x08" * 8


def test_second_host_is_told_of_the_first(answers):
    found = answers(loaded(A), hello(B), ask(A, 3, MessageType.INFER, SMALL_INPUT))
    assert found[2:] == [(0, number_of(B), ERROR, "SESSION_OTHER"), (A, 3, OK, SMALL_OUTPUT)]


def test_second_host_may_take_over_and_the_first_is_told(answers):
    late = ask(A, 3, MessageType.INFER, SMALL_INPUT)
    found = answers(loaded(A), hello(B, take_over=True), late, ask(B, 2, MessageType.STATS))
    assert [each[:3] for each in found[2:]] == [(0, number_of(B), OK), (A, 3, ERROR), (B, 2, OK)]
    assert found[3][3] == "SESSION_ENDED"


def test_silent_host_gives_way(answers):
    found = answers(loaded(A), QUIET_US + 2000, hello(B), ask(A, 3, MessageType.STATS))
    assert [each[2:] for each in found[3:]] == [(ERROR, "SESSION_ENDED")]
    assert found[2][2] == OK


def test_host_that_leaves_gives_way_at_once(answers):
    farewell = ask(A, 3, MessageType.HELLO, encode_hello(identity=0))
    found = answers(loaded(A), farewell, hello(B))
    assert [each[:3] for each in found[2:]] == [(A, 3, OK), (0, number_of(B), OK)]


def test_time_limit_ends_with_its_dialogue(answers):
    limits = [
        struct.unpack_from("<I", found[3], 40 + 16)[0]
        for found in answers(hello(A, time_limit=0.5), QUIET_US, hello(B), QUIET_US, hello(C, time_limit=2))
    ]
    assert limits == [500, 600_000, 2000]


@pytest.mark.parametrize("request_", [frame(IOSPEC, iospec()), frame(INFO), frame(STATS)])
def test_base_request_during_a_dialogue_is_told_of_it_and_harms_nothing(service_program, request_):  # noqa: F811
    before = play_raw(service_program, [loaded(A)])
    stream = play_raw(
        service_program, [loaded(A), request_, FLUSH_US + 2000, ask(A, 3, MessageType.INFER, SMALL_INPUT)]
    )
    told = stream[len(before) :]
    end = told.index(MAGIC)
    (answer,) = split_frames(told[:end])
    assert answer.error.startswith("SESSION_OTHER: another host's dialogue is going on")
    header = decode_extended_header(told[end : end + 16], A)
    assert extended_payload(header, told[end + 16 :]) == SMALL_OUTPUT


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_nothing_old_or_foreign_harms_a_dialogue(service_program, data):  # noqa: F811
    """Frames of earlier dialogues, of this one, of the base and of none, between two requests of this one."""
    strangers = [
        hello(A), hello(B), *(upload(A, number) for number in (2, 9)), upload(B, -9), upload(0), upload(C),
        ask(A, 3, MessageType.UNLOAD), ask(B, 2, MessageType.MODEL, b"rubbish"), ask(0, 4, MessageType.RESET),
        ask(A, 9, MessageType.RESET), ask(A, 9, MessageType.HELLO, encode_hello(identity=0)),
        frame(IOSPEC, iospec()), frame(MODEL, SMALL), frame(UNLOAD), frame(INFO), frame(STATS), MAGIC, bytes(20),
        struct.pack("<IH", 2000, MODEL), b"\0\0\0\0\0\x4b\x30\0\0\0\0\0",
    ]  # fmt: skip
    script = [hello(A), upload(A, 2), QUIET_US, loaded(B)]
    for number in range(3, 6):
        script += data.draw(st.lists(st.sampled_from(strangers), max_size=4))
        script += [FLUSH_US * 3, ask(B, number, MessageType.INFER, bytes([number]) * 24)]
    stream = play_raw(service_program, script)
    for number in range(3, 6):
        answer = encode_extended_frame(number_of(B) + number, OK, bytes([number + 1]) * 8, B)
        assert answer in stream


# ---- The client's side


@pytest.fixture
def line(service_program):  # noqa: F811
    """A line to the service that two hosts share."""
    with ServiceProcess(service_program) as cable:
        cable._shared = True
        yield cable


def started(cable, **options):
    link = Link(cable.url)
    link.negotiate(**options)
    link.load_model(SMALL)
    return link


def test_second_host_is_told_in_a_sentence_and_may_take_over(line):
    with started(line) as first, Link(line.url) as second:
        assert first.infer(SMALL_INPUT) == SMALL_OUTPUT
        stop = time.monotonic() + TELL_SECONDS
        with pytest.raises(OtherHost, match=r"Another host is at work .* going on.*take_over"):
            while time.monotonic() < stop:
                first.infer(SMALL_INPUT)
                second.negotiate(timeout=0.8)
        second.negotiate(take_over=True)
        assert second.dialect is Dialect.EXTENDED
        with pytest.raises(DeviceError, match="SESSION_ENDED: this dialogue was ended: another host has begun one"):
            first.infer(SMALL_INPUT)
        assert second.infer(bytes(24)) == b"\1" * 8


def test_second_host_is_served_when_the_first_has_left(line):
    with started(line) as first:
        assert first.infer(SMALL_INPUT) == SMALL_OUTPUT
    with Link(line.url) as second:
        began = time.monotonic()
        second.negotiate()
        assert second.infer(SMALL_INPUT) == SMALL_OUTPUT
        assert second.report.resynchronisations == 0, time.monotonic() - began


def test_host_that_negotiates_again_is_no_other(line):
    with started(line) as link:
        for extension in (True, False, True):
            link.negotiate(extension=extension)
            assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


@pytest.mark.parametrize("extension", [True, False])
def test_next_host_waits_until_a_killed_one_is_forgotten(line, extension):
    killed = started(line)
    killed.send_raw(frame(MODEL, SMALL)[:-7])
    killed._line.close()  # says nothing to the device
    with Link(line.url) as link:
        link.negotiate(extension=extension)
        assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


def test_restarted_device_is_told_of(line):
    with started(line) as link:
        identity = link._extended._identity
        link._extended._sequence += 1
        with socket.create_connection(("127.0.0.1", int(line.url.rpartition(":")[2]))) as other:
            other.sendall(ask(identity, link._extended._sequence, MessageType.RESET))
            time.sleep(0.3)
        with pytest.raises(LinkError, match="knows nothing of this dialogue.*restarted.* Negotiate again"):
            link.infer(SMALL_INPUT)
        link.negotiate()
        with pytest.raises(DeviceError, match="SESSION_STATE"):
            link.infer(SMALL_INPUT)


def test_recorded_requests_that_come_again_change_nothing(line):
    with started(line) as link:
        for _ in range(3):
            link.negotiate()
            link.load_model(SMALL)
            for old in line.recent(Direction.TO_DEVICE):
                line.insert(old, Direction.TO_DEVICE)
                assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


@pytest.mark.parametrize(
    ("version", "extension", "payload_bytes"),
    [("1.0", False, None), ("1.1", False, 8), ("1.2", False, None), ("1.2", True, 16)],
)
def test_hello_is_what_the_firmware_understands(version, extension, payload_bytes):
    """A firmware before dialogues had identities, and builds without the extension, which would refuse HELLO."""
    info = ChipInfo(True, True, version, 512, 32, 1 << 20, 1 << 20, "17.0", 6, 0, serves_extension=extension)
    known = ChipInfo.decode(info.encode())
    assert known.serves_extension == (payload_bytes is not None)
    if payload_bytes:
        assert len(encode_hello(None, 5 if known.tells_dialogues_apart else None)) == payload_bytes


@pytest.mark.parametrize("identity", [0, A])
def test_answers_that_come_back_are_not_answered(service_program, identity):  # noqa: F811
    greeting = hello(A) if identity else encode_extended_frame(1, MessageType.HELLO, struct.pack("<II", 1, 0))
    script = [greeting, ask(identity, 2, MessageType.MODEL, SMALL)]
    echoes = [ask(identity, number, kind, payload) for number, kind, payload in ((2, OK, b""), (0, ERROR, OTHER))]
    assert play_raw(service_program, [*script, *echoes]) == play_raw(service_program, script)


def test_repetition_that_stops_before_its_end_may_come_again(answers):
    infer = ask(A, 3, MessageType.INFER, SMALL_INPUT)
    found = answers(loaded(A), infer, infer[:30], 3 * FLUSH_US, infer)
    assert [each[3] for each in found[2:]] == [SMALL_OUTPUT, "LINK_STALL", SMALL_OUTPUT]
