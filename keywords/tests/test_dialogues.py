# SPDX-License-Identifier: Apache-2.0
"""Whose frame is it? Dialogues have an identity: old requests, foreign ones and a second host harm nobody's."""

from __future__ import annotations

import socket
import struct
import time
import zlib

import pytest
import service_device
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_device import Recording, Request, device_of
from test_extension import ServiceProcess
from test_service_host import (
    DATA,
    ERROR,
    INFO,
    IOSPEC,
    MODEL,
    OK,
    OUTPUT,
    PROCESS,
    SMALL,
    SMALL_INPUT,
    SMALL_OUTPUT,
    STATS,
    UNLOAD,
    frame,
    iospec,
    service_program,  # noqa: F401 (a fixture)
    split_frames,
)

from springbok.link.extension import ExtendedExchange
from springbok.link.fault_proxy import Direction
from springbok.link.frames import (
    MAGIC,
    MessageType,
    decode_extended_header,
    encode_extended_frame,
    extended_payload,
)
from springbok.link.link import Dialect, Link
from springbok.link.messages import ChipInfo, ErrorAnswer, decode_hello, encode_hello
from springbok.support.errors import DeviceError, DialogueLost, LinkError, OtherHost

QUIET_US, FLUSH_US = 1_000_000, 50_000
A, B, C, D = 0xAAAA, 0xBBBB, 0xCCCC, 0xDDDD
TELL_SECONDS = 3.0
OTHER = bytes([175, 1]) + (1000).to_bytes(4, "little")  # the failure DIALOGUE_OTHER and its word


def number_of(identity):
    """Where a dialogue's numbers begin."""
    return identity & 0xF00


def hello(identity, take_over=False, time_limit=None):
    return service_device.hello(identity, number_of(identity), take_over, time_limit)


def ask(identity, number, kind, payload=b""):
    return Request(identity, number_of(identity) + number, kind, payload)


def farewell(identity, number):
    return ask(identity, number, MessageType.HELLO, encode_hello(identity=0))


def loaded(identity, number=2):
    return [hello(identity), ask(identity, number, MessageType.MODEL, SMALL)]


def upload(identity, number=3):
    """A whole one of another model, with valid CRCs."""
    image = SMALL + bytes(8)
    announced = struct.pack("<II", len(image), zlib.crc32(image))
    frames = [(MessageType.UPLOAD, announced), (MessageType.CHUNK, image), (MessageType.LOAD, b"")]
    return [ask(identity, number + i, *each) for i, each in enumerate(frames)]


@pytest.fixture
def line(service_program):  # noqa: F811
    """Who has recorded what a device was asked."""
    with device_of(service_program) as device:
        yield Recording(device)


@pytest.fixture
def answers(line):
    """What comes for parts of a script: (whose dialogue's it is, its number, type, content or name of the error)."""
    known = {}  # by identity

    def play(*script):
        found = []
        for part in script:
            stream = line.send(part)
            known.update((identity, host) for host, identity in line.identities.items())
            while stream:
                assert stream.startswith(MAGIC), stream[:32]
                headers = ((host, decode_extended_header(stream[:16], identity)) for identity, host in known.items())
                host, header = next((host, header) for host, header in headers if header is not None)
                end = 16 + header.rest_bytes
                payload = extended_payload(header, stream[16:end])
                name = ErrorAnswer.decode(payload).name if header.message_type == ERROR else None
                number = header.sequence and header.sequence - number_of(host)
                found.append((host, number, header.message_type, name or payload))
                stream = stream[end:]
        return found

    return play


# ---- The firmware's side


def test_answers_carry_the_dialogues_identity(answers):
    found = answers(*loaded(A), ask(A, 3, MessageType.INFER, SMALL_INPUT))
    assert [each[:3] for each in found] == [(0, number_of(A), OK), (A, 2, OK), (A, 3, OK)]
    assert found[-1][3] == SMALL_OUTPUT


def test_the_device_draws_its_part_of_an_identity_anew_for_each_dialogue(line, answers):
    drawn = set()
    for _ in range(3):
        first = hello(A)
        answers(first, first)  # its answer was lost, and is the same again
        drawn.add(line.identities[A])
        answers(ask(A, 2, MessageType.INFO), QUIET_US)
    answers(ask(A, 3, MessageType.RESET), hello(A))
    assert len({*drawn, line.identities[A]}) == 4
    assert A not in drawn


def test_hello_alone_begins_and_ends_nothing(answers):
    found = answers(*loaded(A), QUIET_US, hello(B), ask(A, 3, MessageType.INFER, SMALL_INPUT))
    assert found[-1] == (A, 3, OK, SMALL_OUTPUT)


def test_host_that_comes_back_between_hello_and_the_first_request_keeps_its_dialogue(answers):
    found = answers(*loaded(A), QUIET_US, hello(B), ask(A, 3, MessageType.STATS), ask(B, 2, MessageType.UNLOAD))
    assert found[-1][:1] + found[-1][2:] == (B, ERROR, "SESSION_OTHER")
    assert answers(ask(A, 4, MessageType.INFER, SMALL_INPUT)) == [(A, 4, OK, SMALL_OUTPUT)]


@pytest.mark.parametrize("of", [0, B])
def test_frames_of_no_or_another_dialogue_are_noise(answers, of):
    script = [] if of == 0 else [hello(of), ask(of, 2, MessageType.INFO), QUIET_US]
    answers(*script, *loaded(A))
    *told, last = answers(*upload(of), FLUSH_US + 2000, ask(A, 3, MessageType.INFER, SMALL_INPUT))
    assert last == (A, 3, OK, SMALL_OUTPUT)
    assert all(kind == ERROR for *_, kind, _ in told)


def test_old_upload_of_an_ended_dialogue_drops_no_model(answers):
    old = upload(A, 2)
    answers(hello(A), *old, QUIET_US, *loaded(B))
    found = answers(*old, ask(B, 3, MessageType.INFER, SMALL_INPUT))
    assert [each[3] for each in found] == [*["SESSION_ENDED"] * 3, SMALL_OUTPUT]


def test_old_requests_of_this_dialogue_are_refused(answers):
    old = upload(A, 2)
    answers(hello(A), *old, ask(A, 9, MessageType.INFER, SMALL_INPUT))
    found = answers(*old, ask(A, 10, MessageType.INFER, SMALL_INPUT))
    assert [each[3] for each in found] == [*["LINK_REPEATED"] * 3, SMALL_OUTPUT]


@pytest.mark.parametrize("between", [0, 1, 3])
@pytest.mark.parametrize("leaves", [True, False])
def test_a_whole_dialogue_that_comes_again_after_a_silence_changes_nothing(answers, between, leaves):
    """From its HELLO on, however many others there were since, whether or not the last host is still there."""
    recorded = [hello(A, take_over=True), *upload(A, 2), ask(A, 8, MessageType.UNLOAD), farewell(A, 9)]
    answers(*recorded)
    for _ in range(between):
        answers(hello(C), ask(C, 2, MessageType.INFO), QUIET_US)
    answers(*loaded(B), *([farewell(B, 3)] if leaves else []), 2 * QUIET_US)
    _, *told = answers(*recorded, FLUSH_US * 3)
    assert {each[2] for each in told} == {ERROR}
    if leaves:
        answers(hello(B), QUIET_US)
    assert answers(ask(B, 4, MessageType.INFER, SMALL_INPUT))[-1] == (B, 4, OK, SMALL_OUTPUT)


def test_a_dialogue_of_before_a_restart_changes_nothing(answers):
    recorded = [hello(A), *upload(A, 2), ask(A, 9, MessageType.RESET)]
    answers(*recorded, *loaded(B), QUIET_US)
    found = answers(*recorded, FLUSH_US * 3, ask(B, 3, MessageType.INFER, SMALL_INPUT))
    assert found[-1] == (B, 3, OK, SMALL_OUTPUT)


@pytest.mark.parametrize("of", [A, 0])
def test_request_with_number_0_is_refused_and_counts_for_nothing(line, answers, of):
    """0 is the number of what no request was."""
    first = hello(A) if of else encode_extended_frame(1, MessageType.HELLO, struct.pack("<II", 1, 0))
    answers(first, ask(of, 2, MessageType.MODEL, SMALL))
    for kind in (MessageType.UNLOAD, MessageType.RESET, MessageType.HELLO):
        payload = encode_hello(identity=0) if kind is MessageType.HELLO else b""
        (told,) = answers(encode_extended_frame(0, kind, payload, line.identities[of]))
        assert told == (of, 0, ERROR, "LINK_REPEATED")
    assert answers(ask(of, 3, MessageType.INFER, SMALL_INPUT)) == [(of, 3, OK, SMALL_OUTPUT)]


def test_old_hello_and_farewell_begin_and_end_nothing(answers):
    greeting, leaving = hello(A), farewell(A, 3)
    answers(greeting, ask(A, 2, MessageType.INFO), leaving, *loaded(B), QUIET_US)
    told = answers(greeting, leaving)
    assert told[-1][3] == "SESSION_ENDED"
    assert answers(ask(B, 3, MessageType.INFER, SMALL_INPUT)) == [(B, 3, OK, SMALL_OUTPUT)]


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
    found = answers(*loaded(A), hello(B), ask(A, 3, MessageType.INFER, SMALL_INPUT))
    assert found[2:] == [(0, number_of(B), ERROR, "SESSION_OTHER"), (A, 3, OK, SMALL_OUTPUT)]


def test_second_host_may_take_over_and_the_first_is_told(answers):
    found = answers(
        *loaded(A), hello(B, take_over=True), ask(B, 2, MessageType.STATS), ask(A, 3, MessageType.INFER, SMALL_INPUT),
        ask(B, 3, MessageType.STATS),
    )  # fmt: skip
    assert [each[:3] for each in found[2:]] == [(0, number_of(B), OK), (B, 2, OK), (A, 3, ERROR), (B, 3, OK)]
    assert found[4][3] == "SESSION_ENDED"


def test_who_would_take_over_costs_nobody_an_answer(answers):
    """A request whose answer was lost is answered again, though a HELLO came between."""
    infer = ask(A, 3, MessageType.MEASURE, SMALL_INPUT)
    found = answers(*loaded(A), infer, hello(B, take_over=True), infer)
    assert found[2] == found[4]


def test_silent_host_gives_way(answers):
    found = answers(*loaded(A), QUIET_US + 2000, hello(B), ask(B, 2, MessageType.STATS), ask(A, 3, MessageType.STATS))
    assert [each[2:] for each in found[4:]] == [(ERROR, "SESSION_ENDED")]
    assert found[3][:3] == (B, 2, OK)


def test_host_that_leaves_gives_way_at_once(answers):
    found = answers(*loaded(A), farewell(A, 3), hello(B))
    assert [each[:3] for each in found[2:]] == [(A, 3, OK), (0, number_of(B), OK)]


def test_time_limit_ends_with_its_dialogue(answers):
    limits = []
    for host, limit in ((A, 0.5), (B, None), (C, 2)):
        greeted, _ = answers(hello(host, time_limit=limit), ask(host, 2, MessageType.INFO))
        limits.append(struct.unpack_from("<I", greeted[3], 40 + 16)[0])
        answers(QUIET_US)
    assert limits == [500, 600_000, 2000]


@pytest.mark.parametrize(
    "request_", [frame(IOSPEC, iospec()), frame(INFO), frame(STATS), frame(MODEL, SMALL), frame(UNLOAD)]
)
def test_base_request_during_a_dialogue_is_told_of_it_in_a_base_frame_and_harms_nothing(line, answers, request_):
    answers(*loaded(A))
    (answer,) = split_frames(line.send(request_) + line.send(FLUSH_US + 2000))
    assert answer.error.startswith("SESSION_OTHER: another host's dialogue is going on")
    assert answers(ask(A, 3, MessageType.INFER, SMALL_INPUT)) == [(A, 3, OK, SMALL_OUTPUT)]


@pytest.mark.parametrize("request_", [frame(MODEL, SMALL), frame(UNLOAD), frame(DATA, SMALL_INPUT)])
def test_base_request_after_a_silent_dialogue_is_refused_in_a_base_frame(line, answers, request_):
    """Only those count that destroy nothing: it may be a damaged frame of the host that is silent."""
    answers(*loaded(A), QUIET_US)
    (answer,) = split_frames(line.send(request_) + line.send(FLUSH_US + 2000))
    assert answer.error.startswith("LINK_MODE")
    assert answers(ask(A, 3, MessageType.INFER, SMALL_INPUT)) == [(A, 3, OK, SMALL_OUTPUT)]


def test_foreign_extended_frames_take_nothing_from_a_host_of_the_base(line, answers):
    recorded = [hello(A), *upload(A, 2), farewell(A, 9)]
    answers(*recorded)
    line.send(frame(INFO)), line.send(frame(MODEL, SMALL))
    for each in recorded:
        line.send(each)
    line.send(FLUSH_US * 3)
    for kind, payload in ((DATA, SMALL_INPUT), (PROCESS, b""), (OUTPUT, b"")):
        (answer,) = split_frames(line.send(frame(kind, payload)))
    assert answer == (OK, SMALL_OUTPUT)


SILENCES = st.sampled_from([1000, FLUSH_US * 3, QUIET_US + 1000, 3 * QUIET_US])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_nothing_recorded_has_any_effect_however_silent_the_line_is(service_program, data):  # noqa: F811
    """All extended requests of all dialogues before, in any order, with any silences, between any two of this one."""
    with device_of(service_program) as device:
        line = Recording(device)
        recorded = []
        for host in data.draw(st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=4)):
            takes_over = data.draw(st.booleans())
            requests = [
                hello(host, takes_over), *upload(host, 2), ask(host, 5, MessageType.MODEL, SMALL + bytes(4)),
                ask(host, 6, MessageType.UNLOAD), ask(host, 7, MessageType.RESET), farewell(host, 8),
            ]  # fmt: skip
            keep = data.draw(st.integers(2, len(requests)))
            for each in requests[:keep]:
                line.send(each)
            recorded += requests[:keep]
            line.send(QUIET_US + 1000)
        for each in loaded(D):
            line.send(each)
        for number in range(3, 6):
            for each in data.draw(st.lists(st.one_of(st.sampled_from(recorded), SILENCES), max_size=12)):
                line.send(each)
            line.send(FLUSH_US * 3)
            heard = line.send(ask(D, number, MessageType.INFER, bytes([number]) * 24))
            answer = encode_extended_frame(number_of(D) + number, OK, bytes([number + 1]) * 8, line.identities[D])
            assert heard == answer


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_nothing_old_or_foreign_harms_a_dialogue(service_program, data):  # noqa: F811
    """Frames of earlier dialogues, of this one, of the base and of none, between two requests of this one."""
    foreign = [
        *upload(0), *upload(C), ask(B, 2, MessageType.MODEL, b"rubbish"), ask(0, 4, MessageType.RESET),
        frame(IOSPEC, iospec()), frame(MODEL, SMALL), frame(UNLOAD), frame(INFO), frame(STATS), MAGIC, bytes(20),
        struct.pack("<IH", 2000, MODEL), b"\0\0\0\0\0\x4b\x30\0\0\0\0\0",
    ]  # fmt: skip
    with device_of(service_program) as device:
        line = Recording(device)
        before, begun = [hello(A), *upload(A, 2), farewell(A, 9)], loaded(B)
        for each in (*before, *begun):
            line.send(each)
        strangers = [*before, *begun, *foreign]
        for number in range(3, 6):
            for each in data.draw(st.lists(st.sampled_from(strangers), max_size=8)):
                line.send(each)
            line.send(FLUSH_US * 3)
            infer = ask(B, number, MessageType.INFER, bytes([number]) * 24)
            answer = encode_extended_frame(number_of(B) + number, OK, bytes([number + 1]) * 8, line.identities[B])
            assert line.send(infer) == answer
            strangers.append(infer)


# ---- The client's side


@pytest.fixture
def shared_line(service_program):  # noqa: F811
    """A line to the service that two hosts share."""
    with ServiceProcess(service_program) as cable:
        cable._shared = True
        yield cable


def started(cable, **options):
    link = Link(cable.url)
    link.negotiate(**options)
    link.load_model(SMALL)
    return link


def test_second_host_is_told_in_a_sentence_and_may_take_over(shared_line):
    with started(shared_line) as first, Link(shared_line.url) as second:
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


def test_host_whose_dialogue_is_several_ago_is_told_so_and_spoils_nobodys(shared_line, monkeypatch):
    monkeypatch.setattr("springbok.link.extension.DAMAGE_LIMIT", 10)
    with started(shared_line) as first:
        for _ in range(2):
            with Link(shared_line.url) as other:
                other.negotiate(take_over=True)
        with started(shared_line, take_over=True) as last:
            for _ in range(2):
                with pytest.raises(DialogueLost, match="in another dialogue .* other hosts have used it since"):
                    first.infer(SMALL_INPUT)
                assert last.infer(SMALL_INPUT) == SMALL_OUTPUT


def test_second_host_is_served_when_the_first_has_left(shared_line):
    with started(shared_line) as first:
        assert first.infer(SMALL_INPUT) == SMALL_OUTPUT
    with Link(shared_line.url) as second:
        began = time.monotonic()
        second.negotiate()
        assert second.infer(SMALL_INPUT) == SMALL_OUTPUT
        assert second.report.resynchronisations == 0, time.monotonic() - began


def test_host_that_negotiates_again_is_no_other(shared_line):
    with started(shared_line) as link:
        for extension in (True, False, True):
            link.negotiate(extension=extension)
            assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


@pytest.mark.parametrize("extension", [True, False])
def test_next_host_waits_until_a_killed_one_is_forgotten(shared_line, extension):
    killed = started(shared_line)
    killed.send_raw(frame(MODEL, SMALL)[:-7])
    killed._line.close()  # says nothing to the device
    with Link(shared_line.url) as link:
        link.negotiate(extension=extension)
        assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


def test_restarted_device_is_told_of(shared_line):
    with started(shared_line) as link:
        identity = link._extended._identity
        link._extended._sequence += 1
        with socket.create_connection(("127.0.0.1", int(shared_line.url.rpartition(":")[2]))) as other:
            other.sendall(encode_extended_frame(link._extended._sequence, MessageType.RESET, identity=identity))
            time.sleep(0.3)
        with pytest.raises(LinkError, match="knows nothing of this dialogue.*restarted.* Negotiate again"):
            link.infer(SMALL_INPUT)
        link.negotiate()
        with pytest.raises(DeviceError, match="SESSION_STATE"):
            link.infer(SMALL_INPUT)


def test_recorded_requests_that_come_again_change_nothing(shared_line):
    with started(shared_line) as link:
        for _ in range(3):
            link.negotiate()
            link.load_model(SMALL)
            for old in shared_line.recent(Direction.TO_DEVICE):
                shared_line.insert(old, Direction.TO_DEVICE)
                assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


def test_host_whose_hello_another_one_follows_asks_again(shared_line, monkeypatch):
    """Only the latest HELLO is remembered."""
    greet, others = ExtendedExchange.greet, [A, B, C, D]

    def and_another(exchange, hello_, deadline):
        answer = greet(exchange, hello_, deadline)
        if others:
            other = encode_extended_frame(1, MessageType.HELLO, encode_hello(identity=others.pop()))
            shared_line.insert(other, Direction.TO_DEVICE)
        return answer

    monkeypatch.setattr(ExtendedExchange, "greet", and_another)
    with started(shared_line) as link:
        assert not others
        assert link.infer(SMALL_INPUT) == SMALL_OUTPUT


def test_host_whose_hello_others_follow_for_ever_is_told_so_at_its_limit(shared_line, monkeypatch):
    def lost(*_):
        raise DialogueLost("The device knows nothing of this dialogue.")

    monkeypatch.setattr(ExtendedExchange, "begin", lost)
    with Link(shared_line.url) as link, pytest.raises(DialogueLost, match=r"Another host asked .* \d+ times in"):
        link.negotiate(timeout=1.0)


@pytest.mark.parametrize(
    ("version", "extension", "payload_bytes"),
    [("1.0", False, None), ("1.1", False, 8), ("1.2", False, None), ("1.2", True, 16), ("1.3", True, 16)],
)
def test_hello_is_what_the_firmware_understands(version, extension, payload_bytes):
    """A firmware before dialogues had identities, and builds without the extension, which would refuse HELLO."""
    info = ChipInfo(True, True, version, 512, 32, 1 << 20, 1 << 20, "17.0", 6, 0, serves_extension=extension)
    known = ChipInfo.decode(info.encode())
    assert known.serves_extension == (payload_bytes is not None)
    if payload_bytes:
        assert len(encode_hello(None, 5 if known.tells_dialogues_apart else None)) == payload_bytes


@pytest.mark.parametrize("of", [0, A])
def test_answers_that_come_back_are_not_answered(line, answers, of):
    greeting = hello(A) if of else encode_extended_frame(1, MessageType.HELLO, struct.pack("<II", 1, 0))
    answers(greeting, ask(of, 2, MessageType.MODEL, SMALL))
    for number, kind, payload in ((2, OK, b""), (0, ERROR, OTHER)):
        assert line.send(encode_extended_frame(number, kind, payload, line.identities[of])) == b""


def test_repetition_that_stops_before_its_end_may_come_again(line, answers):
    infer = ask(A, 3, MessageType.INFER, SMALL_INPUT)
    answers(*loaded(A), infer)
    begin = encode_extended_frame(number_of(A) + 3, MessageType.INFER, SMALL_INPUT, line.identities[A])[:30]
    assert [each[3] for each in answers(begin, 3 * FLUSH_US, infer)] == ["LINK_STALL", SMALL_OUTPUT]


def test_host_may_ask_for_another_dialogue_in_its_own(line, answers):
    own = Request(A, number_of(A) + 3, MessageType.HELLO, encode_hello(identity=B))
    answers(*loaded(A))
    sent = encode_extended_frame(own.number, own.kind, own.payload, line.identities[A])
    greeted = line.device.play(sent)
    payload = extended_payload(decode_extended_header(greeted[:16], line.identities[A]), greeted[16:])
    line.identities[B] = B ^ decode_hello(payload)[1].nonce
    first = encode_extended_frame(number_of(A) + 4, MessageType.INFER, SMALL_INPUT, line.identities[B])
    assert line.device.play(first) == encode_extended_frame(number_of(A) + 4, OK, SMALL_OUTPUT, line.identities[B])
