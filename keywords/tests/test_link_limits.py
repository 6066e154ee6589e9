# SPDX-License-Identifier: Apache-2.0
"""A limit is a limit: every call of the link, against chips that answer anything at any pace, on a clock of our own."""

import math
import struct
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.link import base as base_module
from springbok.link import extension, mlperf, ports
from springbok.link import line as line_module
from springbok.link import link as link_module
from springbok.link.frames import (
    MAGIC,
    MAX_PAYLOAD_BYTES,
    MessageType,
    encode_extended_frame,
    encode_frame,
)
from springbok.link.io_spec import IoSpec
from springbok.link.layouts import HELLO_LIMITS
from springbok.link.link import Dialect, Link
from springbok.link.messages import Benchmark, ChipInfo, DispatchProfile, ModelState, Profile, Signature
from springbok.link.mlperf import MlperfRunner
from springbok.support.errors import DialogueLost, LinkError

LIMIT = 3.0
GRACE = 0.5
KEPT_BYTES = MAX_PAYLOAD_BYTES + 64
IDENTITY = 7  # of the dialogue, and of what the chips answer to it
OTHER_HOST = bytes([175, 1]) + (1000).to_bytes(4, "little")  # the failure DIALOGUE_OTHER and its word
DAMAGED_HEADER = bytes([128, 0])  # the failure FRAME_HEADER: what is said of a frame of an unknown dialogue
SPEC = IoSpec(((1, 4),), (4,), 4, "f32")


class Clock:
    """Stands still unless somebody waits."""

    now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Chip:
    """A port with a chip behind it: ``answers`` are called with each request's bytes, in turn, the last one for ever.

    An answer is a list of (seconds to wait, bytes); ``pace`` is how many bytes the chip takes a second.
    """

    def __init__(self, clock, answers, pace):
        self.clock, self.answers, self.pace = clock, list(answers), pace
        self.baudrate, self.timeout, self.write_timeout, self.is_open = 115200, 0.02, None, True
        self.coming = []  # (moment, byte string)
        self.link = None

    @property
    def in_waiting(self):
        return sum(len(data) for moment, data in self.coming if moment <= self.clock.now)

    def write(self, data):
        seconds = len(data) / self.pace if self.pace else float("inf")
        if seconds > self.write_timeout:
            self.clock.now += self.write_timeout
            raise serial.SerialTimeoutException
        self.clock.now += seconds
        moment = max([self.clock.now, *(moment for moment, _ in self.coming)])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        for wait, part in answer(data):
            moment += wait
            self.coming.append((moment, part))
        return len(data)

    def read(self, count):
        assert count <= KEPT_BYTES
        assert len(self.link._extended._buffer) <= KEPT_BYTES
        data = b""
        until = self.clock.now + self.timeout
        while self.coming and len(data) < count and self.coming[0][0] <= until:
            moment, part = self.coming.pop(0)
            self.clock.now = max(self.clock.now, moment)
            room = count - len(data)
            data += part[:room]
            if part[room:]:
                self.coming.insert(0, (moment, part[room:]))
        if len(data) < count:
            self.clock.now = max(self.clock.now, until)
        return data

    def close(self):
        self.is_open = False


def sequence_of(request):
    return int.from_bytes(request[4:6], "little") if request.startswith(MAGIC) else 0


payloads = st.one_of(st.just(b""), st.binary(max_size=80), st.integers(1, 5000).map(bytes))
waits = st.sampled_from([0.0, 0.0, 0.001, 0.05, 0.3, 0.4, 0.9, 2.0, 10.0])


@st.composite
def frames(draw):
    """What a chip says to a request: a frame, right or wrong, of the base or extended; or noise."""
    kind = draw(st.sampled_from(["base", "size", "extended", "header", "noise", "echo", "other", "stranger"]))
    identity = draw(st.sampled_from([0, IDENTITY]))
    payload, message = draw(payloads), draw(st.sampled_from([0, 0, 1, 5, 300]))
    size, flipped = draw(st.sampled_from([0, 4, 70, 256, 100_000, 1 << 20])), draw(st.integers(0, 31))
    damaged = (len(payload) + 2) ^ (1 << flipped)
    return {
        "base": lambda _: encode_frame(message, payload),
        "size": lambda _: damaged.to_bytes(4, "little") + message.to_bytes(2, "little") + payload,
        "extended": lambda request: encode_extended_frame(sequence_of(request), message, payload, identity),
        "header": lambda request: encode_extended_frame(sequence_of(request), message, bytes(size), identity)[
            : 16 + len(payload)
        ],
        "echo": lambda request: request,
        "other": lambda _: encode_frame(MessageType.ERROR, OTHER_HOST),
        "stranger": lambda _: encode_extended_frame(0, MessageType.ERROR, DAMAGED_HEADER, 9)[: 16 + len(payload)],
        "noise": lambda _: payload,
    }[kind]


@st.composite
def answers(draw):
    """An answer in parts, each after a wait: whole, torn, a byte at a time, or without end."""
    content = draw(st.lists(frames(), max_size=3))
    wait = draw(waits)
    step = draw(st.sampled_from([1, 1, 7, 4096, 1 << 20]))
    rest = draw(waits)
    endless = draw(st.booleans())

    def answer(request):
        data = b"".join(part(request) for part in content)
        parts = [data[at : at + step] for at in range(0, min(len(data), 400 * step), step)]
        tail = [b"\0"] * 300 if endless else []
        return [(wait if number == 0 else rest, part) for number, part in enumerate([*parts, *tail])]

    return answer


CALLS = {
    "negotiate": lambda link: link.negotiate(LIMIT),
    "negotiate_base": lambda link: link.negotiate(LIMIT, extension=False),
    "negotiate_take_over": lambda link: link.negotiate(LIMIT, take_over=True),
    "chip_info": lambda link: link.chip_info(LIMIT),
    "send_io_spec": lambda link: link.send_io_spec(SPEC),
    "infer": lambda link: link.infer(bytes(100), timeout=LIMIT),
    "infer_batch": lambda link: link.infer_batch([bytes(16)] * 3, timeout=LIMIT),
    "measure": lambda link: link.measure(bytes(16), timeout=LIMIT),
    "introduce": lambda link: link.introduce(Benchmark("kws01")),
    "sense": lambda link: link.sense(0, 0.0, 1.0, timeout=LIMIT),
    "signature": lambda link: link.signature(),
    "abort": lambda link: link.abort(),
    "reset_device": lambda link: link.reset_device(),
    "statistics": lambda link: link.statistics(),
    "profile": lambda link: link.profile(),
    "unload": lambda link: link.unload(),
    "request": lambda link: link.request(MessageType.OUTPUT, timeout=LIMIT),
    "receive_answer": lambda link: link.receive_answer(LIMIT),
    "resynchronise": lambda link: link.resynchronise(LIMIT),
    "send_raw": lambda link: link.send_raw(bytes(50)),
    "close": lambda link: link.close(),
}
#: Every public method is here but an upload, whose limit is for each of its pieces: a request like any other.
NOT_HERE = {"load_model"}


def opened(clock, chip, dialect, in_step, identity=0):
    link = Link("fake://", timeout=LIMIT, compute_timeout=LIMIT)
    chip.link = link
    link.dialect, link._base.in_step = dialect, in_step
    link._base.speaks_info = dialect is Dialect.INFO
    link._extended._identity = identity
    return link


@pytest.fixture(scope="module")
def clock():
    """Time and ports of the link's modules are made up while this file's tests run."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        for module in (line_module, link_module, base_module, extension, mlperf):
            patch.setattr(module, "time", clock)
        patch.setattr(
            ports, "serial", SimpleNamespace(**{**vars(serial), "serial_for_url": lambda *_, **__: clock.chip})
        )
        yield clock


def test_every_call_is_tried():
    public = {name for name in vars(Link) if not name.startswith("_")}
    assert public - NOT_HERE == {name.removesuffix("_base").removesuffix("_take_over") for name in CALLS}


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=15, deadline=None)
@given(
    script=st.lists(answers(), min_size=1, max_size=4),
    pace=st.sampled_from([0, 5, 100, 1e4, 1e9]),
    dialect=st.sampled_from([Dialect.BASE, Dialect.INFO, Dialect.EXTENDED]),
    in_step=st.booleans(),
    identity=st.sampled_from([0, IDENTITY]),
)
def test_call_ends_by_its_limit_whatever_the_chip_does(clock, name, script, pace, dialect, in_step, identity):
    clock.chip = Chip(clock, script, pace)
    link = opened(clock, clock.chip, dialect, in_step, identity)
    started = clock.now
    with suppress(LinkError):
        CALLS[name](link)
    assert clock.now - started <= LIMIT + 20 * 400 / 115200 + GRACE


LIMITED = {
    "negotiate": lambda link, limit: link.negotiate(limit),
    "time_limit": lambda link, limit: link.negotiate(time_limit=limit),
    "chip_info": lambda link, limit: link.chip_info(limit),
    "load_model": lambda link, limit: link.load_model(bytes(8), timeout=limit),
    "infer": lambda link, limit: link.infer(bytes(8), timeout=limit),
    "answer_bytes": lambda link, limit: link.infer(bytes(8), answer_bytes=limit),
    "infer_batch": lambda link, limit: link.infer_batch([bytes(8)] * 2, timeout=limit),
    "measure": lambda link, limit: link.measure(bytes(8), timeout=limit),
    "sense": lambda link, limit: link.sense(0, 0.0, 1.0, timeout=limit),
    "wait": lambda link, limit: link.sense(0, limit, 1.0),
    "request": lambda link, limit: link.request(MessageType.STATS, timeout=limit),
    "receive_answer": lambda link, limit: link.receive_answer(limit),
    "resynchronise": lambda link, limit: link.resynchronise(limit),
    "own": lambda link, limit: (setattr(link, "timeout", limit), link.statistics()),
    "opened": lambda _, limit: Link("fake://", timeout=limit),
    "computing": lambda _, limit: Link("fake://", compute_timeout=limit),
    "patience": lambda _, limit: Link("fake://", patience=limit),
}


@pytest.mark.parametrize(
    "limit", [math.nan, math.inf, -math.inf, 10**400, "soon", "5", [1.0]], ids=lambda limit: f"{limit!s:.5}"
)
@pytest.mark.parametrize(
    ("name", "dialect"), [*((name, Dialect.EXTENDED) for name in LIMITED), ("infer", Dialect.BASE)]
)
def test_what_is_no_limit_is_refused(clock, name, dialect, limit):
    """The time would never be over: no chip is asked anything."""
    clock.chip = Chip(clock, [pytest.fail], 1e6)
    link = opened(clock, clock.chip, dialect, True)
    with pytest.raises(LinkError, match="finite number of seconds, for example|whole number of bytes"):
        LIMITED[name](link, limit)


def ok(payload):
    """A chip's answer to any request of the extension."""
    return lambda request: [(0.1, encode_extended_frame(sequence_of(request), MessageType.OK, payload))]


def test_limit_of_an_inference_that_is_answered_is_not_the_lines_fault(clock):
    clock.chip = Chip(clock, [ok(b"output")], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True)
    assert link.infer(b"input") == b"output"


def test_line_that_had_no_time_to_fall_silent_is_not_said_to_be_loud(clock):
    clock.chip = Chip(clock, [lambda _: []], 1e6)
    link = opened(clock, clock.chip, Dialect.BASE, False)
    link._line._busy_at = clock.now
    with pytest.raises(LinkError, match=r"time was over before .* could be silent for 0\.2 s.* 0\.1 s were left"):
        link.resynchronise(0.1)


def signature_of(inputs, outputs):
    """The payload of a signature with so many bytes in each input and output."""
    counts = struct.pack("<2I", len(inputs), len(outputs))
    return counts + b"".join(struct.pack("<12I", 0x21000020, 1, 4, *bytes(7), size, 0) for size in [*inputs, *outputs])


@pytest.mark.parametrize("answered", [0, 1, 8, 15, 17, 24])
def test_batch_whose_answer_is_not_of_the_models_outputs_is_refused(clock, answered):
    clock.chip = Chip(clock, [ok(signature_of([4, 4], [6, 2])), ok(bytes(answered))], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True)
    link.limits = SimpleNamespace(input_capacity=1 << 20, output_capacity=24)
    with pytest.raises(LinkError, match=f"INFER is malformed: 2 inferences give 8 bytes each, but it has {answered}"):
        link.infer_batch([bytes(8), bytes(8)])


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (Signature.decode, signature_of([1] * 4096, [1])),
        (Profile.decode, Profile(*range(9), (DispatchProfile(0, 1, 2, 3, 4, "conv"),) * 4097).encode()),
    ],
)
def test_answer_of_more_records_than_can_be_read_in_time_is_refused(decode, payload):
    with pytest.raises(LinkError, match="has 4,097 records, at most 4,096 are read"):
        decode(payload)


@pytest.mark.parametrize(
    ("capacity", "told"),
    [
        ((15, 16), "2 inferences of 8 bytes in and 8 out .* 15 in and 16 out: give it 1 at a time"),
        ((16, 7), "2 inferences .* 16 in and 7 out: give it 0 at a time"),
    ],
)
def test_batch_that_the_device_has_no_room_for_is_not_sent(clock, capacity, told):
    clock.chip = Chip(clock, [ok(signature_of([8], [8])), pytest.fail], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True)
    link.limits = SimpleNamespace(input_capacity=capacity[0], output_capacity=capacity[1])
    with pytest.raises(LinkError, match=told):
        link.infer_batch([bytes(8), bytes(8)])


FORGETTING = {
    "negotiate": lambda link: link.negotiate(),
    "load_model": lambda link: link.load_model(bytes(8)),
    "unload": lambda link: link.unload(),
    "reset_device": lambda link: link.reset_device(),
    "send_io_spec": lambda link: link.send_io_spec(SPEC),
}


@pytest.mark.parametrize("call", FORGETTING.values(), ids=FORGETTING)
def test_sizes_of_a_model_that_may_be_gone_are_asked_anew(clock, call):
    clock.chip = Chip(clock, [ok(signature_of([8], [4])), ok(bytes(8)), ok(b"")], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True)
    link.limits = SimpleNamespace(input_capacity=1 << 20, output_capacity=1 << 20)
    assert link.infer_batch([bytes(8)] * 2) == [bytes(4)] * 2
    with suppress(LinkError):
        call(link)
    clock.chip.answers = [ok(signature_of([2], [3])), ok(bytes(6))]
    link.dialect = Dialect.EXTENDED
    assert link.infer_batch([bytes(2)] * 2) == [bytes(3)] * 2


def test_batch_of_a_model_without_inputs_is_inferred_one_by_one(clock):
    """No bytes tell how many there are."""
    clock.chip = Chip(clock, [ok(signature_of([], [4])), *(ok(bytes([at] * 4)) for at in range(3))], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True)
    link.limits = SimpleNamespace(input_capacity=1 << 20, output_capacity=1 << 20)
    assert link.infer_batch([b""] * 3) == [bytes([at] * 4) for at in range(3)]


def test_batch_with_an_input_of_another_size_is_refused(clock):
    assert Signature.decode(signature_of([16], [])).inputs[0].nbytes == 16
    clock.chip = Chip(clock, [ok(signature_of([16], []))], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True)
    with pytest.raises(LinkError, match="Input 0 of the batch has 8 bytes, but the model takes 16"):
        link.infer_batch([bytes(8), bytes(8)])


# ---- Whose dialogue it is, as far as another one's frames tell

RIGHT = bytes(range(40))


@st.composite
def heard(draw):
    """A frame that a host may hear who asks in a dialogue of before: whether it tells so, and how it is made."""
    kind = draw(st.sampled_from(["stranger", "stranger", "spoilt", "noise", "other", "own"]))
    identity = draw(st.integers(1, 2**32 - 1).filter(lambda number: number != IDENTITY))
    refusal = encode_extended_frame(0, MessageType.ERROR, DAMAGED_HEADER, identity)
    bit, noise = draw(st.integers(0, 8 * len(refusal) - 1)), draw(st.binary(max_size=30))
    spoilt = bytearray(refusal)
    spoilt[bit // 8] ^= 1 << bit % 8
    message, sequence = draw(st.sampled_from([(MessageType.OK, 0), (MessageType.ERROR, 5), (MessageType.OK, 5)]))
    return kind == "stranger", {
        "stranger": lambda _: refusal,
        "spoilt": lambda _: bytes(spoilt),
        "noise": lambda _: noise,
        "other": lambda _: encode_extended_frame(sequence, message, DAMAGED_HEADER, identity),
        "own": lambda request: encode_extended_frame(sequence_of(request), MessageType.OK, RIGHT, IDENTITY),
    }[kind]


@settings(max_examples=150, deadline=None)
@given(
    script=st.lists(st.lists(heard(), max_size=3), min_size=1, max_size=6),
    begun=st.booleans(),
    wait=st.sampled_from([0.0, 0.01, 0.2]),
)
def test_frames_of_other_dialogues_are_no_answers_and_end_no_request_before_its_time(clock, script, begun, wait):
    told = []  # each time that a frame said that the device is in another dialogue

    def answer_of(parts):
        def answer(request):
            told.extend(tells for tells, _ in parts if tells)
            return [(wait, part(request)) for _, part in parts]

        return answer

    clock.chip = Chip(clock, [answer_of(parts) for parts in script], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True, IDENTITY)
    link._extended._begun = begun
    started = clock.now
    try:
        assert link.infer(bytes(8), timeout=LIMIT) == RIGHT
    except DialogueLost:
        assert begun and len(told) >= 3
        assert clock.now - started >= LIMIT or link.report.retransmissions >= extension.DAMAGE_LIMIT
    except LinkError:
        pass


def test_who_is_refused_in_other_dialogues_alone_is_told_so(clock):
    clock.chip = Chip(clock, [lambda _: [(0.01, encode_extended_frame(0, MessageType.ERROR, DAMAGED_HEADER, 9))]], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True, IDENTITY)
    link._extended._begun = True
    with pytest.raises(DialogueLost, match="in another dialogue than that of INFER: .* Negotiate again"):
        link.infer(bytes(8), timeout=LIMIT)


# ---- Negotiations on a line that damages what the chip says

CHIP = ChipInfo(
    True, True, "1.3", 512, 32, 1 << 20, 1 << 20, "17.0", 6, ModelState.NONE, serves_extension=True, models_loaded=3
)
NONCE = 0x1234567
REFUSED = encode_frame(MessageType.ERROR, bytes([153, 2, *bytes(8)]))  # SESSION_STATE, with its reason
SAID_BYTES = 16 + 46 + 46 + 84 + 60  # in a negotiation: a refusal, two INFOs, HELLO and INFO
PAUSE = 1.5  # until INFO is asked again


class Firmware(Chip):
    """A chip that negotiates as the firmware does. ``spoil`` gets what is said and its place in all that was."""

    def __init__(self, clock, spoil=lambda said, _: said, wait=0.001):
        super().__init__(clock, [self.answer], 1e5)
        self.spoil, self.wait, self.said, self.asked, self.identity = spoil, wait, 0, [], 0

    def answer(self, request):
        self.asked.append(request)
        said = self.say(request)
        spoilt, self.said = self.spoil(said, self.said), self.said + len(said)
        return [(self.wait, spoilt)]

    def say(self, request):
        if not request.startswith(MAGIC):
            kind = int.from_bytes(request[4:6], "little")
            return encode_frame(MessageType.OK, CHIP.encode()) if kind == MessageType.INFO else REFUSED
        sequence, kind = struct.unpack("<4xHH", request[:8])
        if kind == MessageType.HELLO:
            self.identity = int.from_bytes(request[24:28], "little") ^ NONCE
            limits = HELLO_LIMITS.build(
                {"protocol_version": 2, "input_capacity": 99, "output_capacity": 99, "stack_bytes": 9,
                 "time_limit_ms": 9, "nonce": NONCE}
            )  # fmt: skip
            return encode_extended_frame(sequence, MessageType.OK, CHIP.encode() + limits)
        return encode_extended_frame(sequence, MessageType.OK, CHIP.encode(), self.identity)


def negotiated(clock, firmware, extension, limit=30.0):
    """Negotiate, and see that what was found out is right; return how long it took."""
    clock.chip = firmware
    link = Link("fake://")
    firmware.link, started = link, clock.now
    assert link.negotiate(limit, extension=extension) == CHIP
    assert link.dialect is (Dialect.EXTENDED if extension else Dialect.INFO)
    assert clock.now - started <= limit
    return clock.now - started


def struck(data, at, fault):
    """What becomes of bytes of which one is lost, doubled, or has a bit flipped; the same when it is another's."""
    if not 0 <= at < len(data):
        return data
    byte = data[at]
    made = {"lost": b"", "doubled": bytes([byte, byte])}
    return data[:at] + (made[fault] if fault in made else bytes([byte ^ 1 << fault])) + data[at + 1 :]


@pytest.mark.parametrize("extension", [True, False])
def test_sound_negotiation_asks_each_question_once_and_info_twice(clock, extension):
    firmware = Firmware(clock)
    assert negotiated(clock, firmware, extension) < 0.1
    assert sum(request == encode_frame(MessageType.INFO) for request in firmware.asked) == 2
    assert len(firmware.asked) == (5 if extension else 3)


@pytest.mark.parametrize("extension", [True, False])
@pytest.mark.parametrize("fault", [*range(8), "lost", "doubled"])
def test_negotiation_comes_right_wherever_one_byte_of_the_chips_is_damaged(clock, fault, extension):
    for place in range(SAID_BYTES):
        seconds = negotiated(clock, Firmware(clock, lambda said, at: struck(said, place - at, fault)), extension)  # noqa: B023
        assert seconds < 3 * PAUSE, place


@settings(max_examples=150, deadline=None)
@given(
    faults=st.lists(
        st.tuples(st.integers(0, SAID_BYTES + 100), st.sampled_from([*range(8), "lost", "doubled"])), max_size=4
    ),
    wait=st.sampled_from([0.001, 0.1, 1.0]),
    extension=st.booleans(),
)
def test_negotiation_comes_right_though_several_bytes_are_damaged(clock, faults, wait, extension):
    def spoil(said, at):
        for place, fault in sorted(faults, key=lambda each: -each[0]):
            said = struck(said, place - at, fault)
        return said

    negotiated(clock, Firmware(clock, spoil, wait), extension, 60.0)


@pytest.mark.parametrize("extension", [True, False])
def test_negotiation_comes_right_on_a_line_with_an_echo(clock, extension):
    firmware = Firmware(clock, lambda said, _: firmware.asked[-1] + said)
    assert negotiated(clock, firmware, extension) < 2 * PAUSE


def test_firmware_of_2023_is_not_believed_by_one_answer(clock):
    """A damaged refusal may have no reason, too."""
    firmware = Firmware(clock, lambda said, at: encode_frame(MessageType.ERROR) if at == 0 else said)
    negotiated(clock, firmware, True)


# ---- Requests that take long, or whose answers do


class Computer(Chip):
    """A chip that computes for so many seconds before it answers: a request once, what is stale by a refusal.

    ``loses`` are the places of the requests and the answers that do not arrive, among all of them.
    """

    def __init__(self, clock, seconds, answer_bytes, loses=()):
        super().__init__(clock, [self.answer], 1e9)
        self.seconds, self.answer_bytes, self.loses = seconds, answer_bytes, set(loses)
        self.last, self.executed, self.sent, self.frames = None, 0, 0, 0

    def arrives(self):
        self.frames += 1
        return self.frames - 1 not in self.loses

    def answer(self, request):
        if not self.arrives():
            return []
        sequence, seconds = sequence_of(request), 0.0
        if self.last is not None and sequence != self.last and (sequence - self.last) % 0xFFFF > 0x7FFF:
            said = encode_extended_frame(sequence, MessageType.ERROR, STALE, IDENTITY)
        else:
            if sequence != self.last:
                self.last, self.executed, seconds = sequence, self.executed + 1, self.seconds
            said = encode_extended_frame(sequence, MessageType.OK, bytes(self.answer_bytes), IDENTITY)
        if not self.arrives():
            return [(seconds, b"")]
        self.sent += len(said)
        pieces = [said[at : at + 100] for at in range(0, len(said), 100)]
        return [(seconds + 0.01, pieces[0]), *((100 / 11520, piece) for piece in pieces[1:])]


STALE = bytes([174, 2, *bytes(8)])  # the failure REQUEST_STALE and its words


def computed(clock, computer, calls=1):
    clock.chip = computer
    link = opened(clock, computer, Dialect.EXTENDED, True, IDENTITY)
    link._extended._begun = True
    computer.last = link._extended._sequence
    for number in range(calls):
        computer.seconds = computer.seconds if number == 0 else 0.0
        assert link.infer(bytes(8), timeout=300) == bytes(computer.answer_bytes)
        assert computer.executed == number + 1
    return link


@pytest.mark.parametrize("seconds", [0.1, 0.4, 3.0, 20.0, 200.0])
@pytest.mark.parametrize("answer_bytes", [8, 25_000])
def test_answer_of_a_computation_comes_once_and_the_next_request_does_not_wait_for_others(clock, seconds, answer_bytes):
    computer = Computer(clock, seconds, answer_bytes)
    link = computed(clock, computer)
    assert link.report.retransmissions == 0
    assert computer.sent <= answer_bytes + 100 + 30 * (2 + seconds)
    computer.seconds, computer.answer_bytes, started = 0.0, 8, clock.now
    assert link.infer(bytes(8), timeout=3.0) == bytes(8)
    assert clock.now - started < 2.0


@settings(max_examples=150, deadline=None)
@given(
    seconds=st.sampled_from([0.0, 0.3, 5.0]),
    answer_bytes=st.sampled_from([1, 5000]),
    loses=st.sets(st.integers(0, 30), max_size=12),
)
def test_lost_frames_are_sent_again_and_nothing_is_executed_twice(clock, seconds, answer_bytes, loses):
    computed(clock, Computer(clock, seconds, answer_bytes, loses), calls=5)


def test_request_is_not_repeated_amid_its_answer_though_that_came_damaged(clock):
    """Its header is, so that nothing tells how much is still to come."""
    computer = Computer(clock, 0.0, 20_000)
    whole = computer.answer
    computer.answers = [lambda request: [(0.01, b"?"), *whole(request)[1:]], whole]
    computed(clock, computer)
    assert computer.sent <= 2 * (20_000 + 20)


@pytest.mark.parametrize("seconds", [0.01, 0.9, 1.2, 1.9])
def test_slow_firmware_of_2023_is_in_step_after_its_negotiation(clock, seconds):
    """Each answer tells nothing of what it answers but its time: none may be left over."""

    def answer(request):
        kind = struct.unpack_from("<IH", request)[1]
        if kind == MessageType.STATS and len(request) > 6:  # with a payload
            return [(seconds, encode_frame(MessageType.ERROR))]
        return [
            (
                seconds,
                encode_frame(
                    MessageType.OK, {MessageType.STATS: bytes(24), MessageType.OUTPUT: b"right"}.get(kind, b"")
                ),
            )
        ]

    clock.chip = Chip(clock, [answer], 1e6)
    link = opened(clock, clock.chip, Dialect.UNKNOWN, False)
    assert link.negotiate(60.0) is None and link.dialect is Dialect.BASE
    assert [link.infer(b"input", timeout=20.0) for _ in range(3)] == [b"right"] * 3


@pytest.mark.parametrize("every", [0.02, 0.1])
@pytest.mark.parametrize("take_over", [False, True])
def test_host_beside_a_busy_one_is_told_within_seconds(clock, every, take_over):
    """On a shared line the other's answers never let it fall silent."""
    clock.chip = Chip(clock, [lambda _: []], 1e6)
    clock.chip.coming = [
        (clock.now + at * every, encode_extended_frame(at % 65535 + 1, MessageType.OK, bytes(16), 77))
        for at in range(int(60 / every))
    ]
    link = opened(clock, clock.chip, Dialect.UNKNOWN, False)
    link._line._busy_at = 0.0
    begun = clock.now
    with pytest.raises(LinkError):
        link.negotiate(30.0, take_over=take_over)
    assert take_over or clock.now - begun <= 7.0


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("models", [0, 3, None])
def test_reset_is_done_where_the_device_is_as_after_power_on(clock, lost, models):
    """The firmware that has restarted knows no dialogue; one whose dialogue another host has ended does not either."""
    forgotten = encode_extended_frame(0, MessageType.ERROR, DAMAGED_HEADER)

    def answer(request):
        if request.startswith(MAGIC):
            return [(0.01, forgotten)]
        if models is None:
            return []
        info = replace(CHIP, models_loaded=models, model_state=ModelState.NONE)
        return [(0.01, encode_frame(MessageType.OK, info.encode()))]

    clock.chip = Chip(clock, [*([lambda _: []] if lost else []), answer], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True, IDENTITY)
    link._extended._begun = True
    if models != 0:
        with pytest.raises(DialogueLost):
            link.reset_device()
        return
    link.reset_device()
    assert link.dialect is Dialect.UNKNOWN


@pytest.mark.parametrize("dialect", [Dialect.INFO, Dialect.EXTENDED])
def test_time_that_the_callers_progress_takes_is_none_of_the_limits(clock, dialect):
    def answer(request):
        if request.startswith(MAGIC):
            have = struct.pack("<I", min(clock.chip.have, 3000))
            clock.chip.have = 3000
            payload = have if request[6] != MessageType.LOAD else b""
            return [(0.1, encode_extended_frame(sequence_of(request), MessageType.OK, payload, IDENTITY))]
        clock.chip.have += len(request)
        return [(0.1, encode_frame(MessageType.OK))] if clock.chip.have >= 3006 else []

    clock.chip = Chip(clock, [answer], 1e6)
    clock.chip.have = 0
    link = opened(clock, clock.chip, dialect, True, IDENTITY)
    told = []

    def progress(done, total):
        told.append((done, total))
        clock.sleep(2 * LIMIT)

    link.load_model(bytes(3000), progress=progress, timeout=LIMIT)
    assert told[-1] == (3000, 3000)
    assert all(0 <= done <= total == 3000 for done, total in told)


def test_upload_of_which_more_is_there_than_there_is_is_refused(clock):
    clock.chip = Chip(clock, [ok(struct.pack("<I", 5000))], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True)
    with pytest.raises(LinkError, match="UPLOAD is malformed: 5,000 bytes of 100 are there"):
        link.load_model(bytes(100))
    with pytest.raises(LinkError, match="negotiate and close do"):
        link.request(MessageType.HELLO, bytes(16))


# ---- The runner's client, whose answers have no numbers


@settings(max_examples=200, deadline=None)
@given(
    fates=st.lists(st.sampled_from(["whole", "lost", "late", "damaged", "cut", "noise"]), max_size=8),
    wait=st.sampled_from([0.01, 0.5, LIMIT + 0.1, 10.0]),
    asks_time=st.booleans(),
)
def test_runner_never_takes_another_commands_answer_and_finds_the_step(clock, fates, wait, asks_time):
    fates, told = [*fates], [0]

    def answer(request):
        command = request.decode().removesuffix("%")
        told[0] += 1
        line = f"m-lap-us-{told[0]}" if command == "timestamp" else f"m-[{command}]"
        whole = f"{line}\r\nm-ready\r\n".encode()
        return {
            "whole": [(0.01, whole)],
            "lost": [],
            "late": [(0.01 if command == "timestamp" else wait, whole)],  # that takes no time to compute
            "damaged": [(0.01, whole.replace(b"m-ready", b"m-r?ady"))],
            "cut": [(0.01, whole[: len(whole) // 2])],
            "noise": [(0.01, b"\xff\x00\r\n" + whole)],
        }[fates.pop(0) if fates else "whole"]

    clock.chip = Chip(clock, [answer], 1e6)
    clock.chip.link = SimpleNamespace(_extended=SimpleNamespace(_buffer=b""))
    with MlperfRunner("fake://", timeout=LIMIT) as runner:
        for number in range(40):
            started = clock.now
            with suppress(LinkError):
                if asks_time and number % 2:
                    assert runner.timestamp() == told[0]
                else:
                    assert runner.command(f"say {number}")[-1] == f"m-[say {number}]"
            assert clock.now - started <= LIMIT + GRACE
        assert runner.command("say it") == ["m-[say it]"]


def test_runner_that_is_not_answered_once_goes_on(clock):
    time, ready = b"m-lap-us-7\r\nm-ready\r\n", b"m-ready\r\n"
    answers = [[(0.1, time)], [], [(0.1, time)], [(0.1, ready)]]
    clock.chip = Chip(clock, [lambda _, each=each: each for each in answers], 1e6)
    clock.chip.link = SimpleNamespace(_extended=SimpleNamespace(_buffer=b""))
    with MlperfRunner("fake://", timeout=LIMIT) as runner:
        with pytest.raises(LinkError, match="No 'm-ready' in time to start"):
            runner.start()
        assert runner.command("start") == []
