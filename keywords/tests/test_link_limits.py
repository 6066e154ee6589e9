# SPDX-License-Identifier: Apache-2.0
"""A limit is a limit: every call of the link, against chips that answer anything at any pace, on a clock of our own."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.link import base as base_module
from springbok.link import extension, ports
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
from springbok.link.link import Dialect, Link
from springbok.link.messages import Benchmark, Signature
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
        for module in (line_module, link_module, base_module, extension):
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


def test_limit_of_an_inference_that_is_answered_is_not_the_lines_fault(clock):
    answer = lambda request: [(0.1, encode_extended_frame(sequence_of(request), MessageType.OK, b"output"))]  # noqa: E731
    clock.chip = Chip(clock, [answer], 1e6)
    link = opened(clock, clock.chip, Dialect.EXTENDED, True)
    assert link.infer(b"input") == b"output"


def test_line_that_had_no_time_to_fall_silent_is_not_said_to_be_loud(clock):
    clock.chip = Chip(clock, [lambda _: []], 1e6)
    link = opened(clock, clock.chip, Dialect.BASE, False)
    link._line._busy_at = clock.now
    with pytest.raises(LinkError, match=r"time was over before .* could be silent for 0\.2 s.* 0\.1 s were left"):
        link.resynchronise(0.1)


def test_batch_with_an_input_of_another_size_is_refused(clock):
    tensor = (0x21000020).to_bytes(4, "little") + (1).to_bytes(4, "little") + (4).to_bytes(4, "little") + bytes(28)
    payload = (1).to_bytes(4, "little") + (0).to_bytes(4, "little") + tensor + (16).to_bytes(4, "little") + bytes(4)
    assert Signature.decode(payload).inputs[0].nbytes == 16
    answer = lambda request: [(0.0, encode_extended_frame(sequence_of(request), MessageType.OK, payload))]  # noqa: E731
    clock.chip = Chip(clock, [answer], 1e6)
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
