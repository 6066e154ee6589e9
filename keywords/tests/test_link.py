# SPDX-License-Identifier: Apache-2.0
"""The link against a fake device in a thread, at the other end of a loopback socket or of a pseudo-terminal."""

import gc
import itertools
import math
import os
import pty
import re
import select
import signal
import socket
import struct
import threading
import time
import tty
import weakref
from types import SimpleNamespace

import construct
import numpy as np
import pytest
from serial import rfc2217

from springbok.link import base as base_module
from springbok.link import line as line_module
from springbok.link.fault_proxy import Direction, FaultProxy
from springbok.link.frames import HEADER_BYTES, MessageType, decode_header, encode_frame
from springbok.link.io_spec import IoSpec
from springbok.link.layouts import PROFILE_HEADER
from springbok.link.line import Turn
from springbok.link.link import Dialect, Link
from springbok.link.messages import ChipInfo, DispatchProfile, ModelState, Profile, Statistics, encode_sense
from springbok.support.errors import DeviceError, LinkError, LinkTimeout

OK = encode_frame(MessageType.OK)
INFO = ChipInfo(True, True, "1.0", 512, 32, 1 << 20, 1 << 20, "17.0", 6, ModelState.NONE)
PROFILE = Profile(1000, 2000, 3000, 1, 64, 128, 256, 16, 32, (DispatchProfile(0, 1, 900, 1800, 1, "conv"),))
STATISTICS = Statistics(1, 2, 3, 4, 5, 6)
SPEC = IoSpec(((1, 4),), (4,), 4, "f32")
NORMAL = {
    MessageType.INFO: INFO.encode(),
    MessageType.PROFILE: PROFILE.encode(),
    MessageType.STATS: STATISTICS.encode(),
    MessageType.OUTPUT: b"output bytes",
}
PATIENT, BRIEF = 10.0, 0.2  # seconds: for a device that answers, and for one that does not
CALLS = {
    "negotiate": lambda link: link.negotiate(),
    "chip_info": lambda link: link.chip_info(),
    "load_model": lambda link: link.load_model(b"model"),
    "infer": lambda link: link.infer(b"input"),
    "infer_batch": lambda link: link.infer_batch([b"input", b"other"]),
    "receive_answer": lambda link: link.receive_answer(),
    "statistics": lambda link: link.statistics(),
    "send_raw": lambda link: link.send_raw(b"raw"),
}


class FakeDevice:
    """Answers each request; ``script`` holds what to do instead for the next ones, in order.

    An entry is bytes to write as they are, or a function that is called with the device.
    """

    def __init__(self, *script):
        self.script = list(script)
        self.requests = []

    def serve(self, source, read, write):
        self.source, self.read, self.write = source, read, write
        while header := self.read_exactly(read, HEADER_BYTES):
            message_type, size = decode_header(header)
            self.requests.append((MessageType(message_type), self.read_exactly(read, size)))
            action = self.script.pop(0) if self.script else None
            if callable(action):
                action(self)
            else:
                write(encode_frame(MessageType.OK, NORMAL.get(message_type, b"")) if action is None else action)

    @staticmethod
    def read_exactly(read, count):
        data = b""
        while len(data) < count and (piece := read(count - len(data))):
            data += piece
        return data

    def wait_for_the_next(self):
        """Until the client has sent more: it has given up what it asked for before."""
        assert select.select([self.source], [], [], PATIENT)[0]

    @property
    def kinds(self):
        return [kind.name for kind, _ in self.requests]


class Over:
    """A place where a fake device listens: ``url``; ``serve`` runs it, ``close`` ends it."""

    def serve(self, device):
        self.device = device
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.device.serve(*self.connect())
        except OSError:
            pass  # the other side is gone
        finally:
            self.hang_up()


class OverSocket(Over):
    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self.server.getsockname()[1]}"
        self.connection = None

    def connect(self):
        self.connection, _ = self.server.accept()
        return self.connection, self.connection.recv, self.connection.sendall

    def hang_up(self):
        if self.connection:
            self.connection.close()

    def close(self):
        self.server.close()
        self.thread.join(5)
        assert not self.thread.is_alive()


class OverTerminal(Over):
    def __init__(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.url = os.ttyname(self.slave)

    def connect(self):
        return self.master, lambda count: os.read(self.master, count), lambda data: os.write(self.master, data)

    def hang_up(self):
        pass

    def close(self):
        os.close(self.slave)  # with no slave left, reading the master fails
        self.thread.join(5)
        assert not self.thread.is_alive()
        os.close(self.master)


@pytest.fixture(params=[OverSocket, OverTerminal], ids=["socket", "terminal"])
def either(request):
    yield from opened(request.param())


@pytest.fixture
def line():
    yield from opened(OverSocket())


def opened(place):
    """Yield a function that starts a device and returns the device and an open link to it."""
    links = []

    def start(*script, **options):
        device = FakeDevice(*script)
        place.serve(device)
        links.append(Link(place.url, **{"timeout": PATIENT, **options}))
        return device, links[0]

    yield start
    for link in links:
        link.close()
    place.close()


@pytest.fixture(autouse=True)
def short_silences(monkeypatch):
    monkeypatch.setattr(base_module, "_SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(base_module, "_STALL_SECONDS", 0.2)
    monkeypatch.setattr(base_module, "_DRAIN_SECONDS", 0.5)


def error(failure=153, *words):
    """ERROR with a failure of failures.def: DATA in state NONE unless another is named."""
    words = words or (MessageType.DATA, ModelState.NONE)
    return encode_frame(MessageType.ERROR, struct.pack(f"<BB{len(words)}I", failure, len(words), *words))


def pieces(data, size):
    """Return an action that writes in small pieces, with pauses."""

    def write(device):
        for start in range(0, len(data), size):
            device.write(data[start : start + size])
            time.sleep(0.002)

    return write


# What works


def test_whole_dialogue(either):
    device, link = either()
    model = bytes(range(256)) * 40
    seen = []
    assert link.chip_info() == INFO
    link.send_io_spec(SPEC)
    link.load_model(model, progress=lambda done, total: seen.append((done, total)))
    assert link.infer(b"input") == b"output bytes"
    assert link.statistics() == STATISTICS
    assert link.profile() == PROFILE
    link.unload()
    assert device.requests == [
        (MessageType.INFO, b""),
        (MessageType.IOSPEC, SPEC.encode()),
        (MessageType.MODEL, model),
        (MessageType.DATA, b"input"),
        (MessageType.PROCESS, b""),
        (MessageType.OUTPUT, b""),
        (MessageType.STATS, b""),
        (MessageType.PROFILE, b""),
        (MessageType.UNLOAD, b""),
    ]
    assert seen[-1] == (len(model), len(model))
    assert len(seen) > 3
    assert seen == sorted(seen)


def test_answer_in_single_bytes_is_put_together(either):
    _, link = either(pieces(encode_frame(MessageType.OK, PROFILE.encode()), 1))
    assert link.profile() == PROFILE


def test_exactly_one_answer_is_taken_when_more_is_buffered(either):
    answer = encode_frame(MessageType.OK, STATISTICS.encode())
    device, link = either(answer + encode_frame(MessageType.OK, b"an answer to nothing"))
    assert link.statistics() == STATISTICS
    assert link.request(MessageType.OUTPUT) == b"output bytes"  # not the surplus answer
    assert device.kinds == ["STATS", "OUTPUT"]


def test_large_answer_comes_whole(line):
    output = os.urandom(300_000)
    _, link = line(encode_frame(MessageType.OK, output))
    assert link.request(MessageType.OUTPUT) == output


def test_inference_has_a_time_limit_of_its_own(line):
    def compute(device):
        time.sleep(4 * BRIEF)
        device.write(OK)

    _, link = line(OK, compute, timeout=2 * BRIEF)
    assert link.infer(b"", timeout=PATIENT) == b"output bytes"


def test_inferences_have_the_links_own_time_limit(line):
    def compute(device):
        time.sleep(4 * BRIEF)
        device.write(OK)

    _, link = line(OK, compute, timeout=2 * BRIEF, compute_timeout=PATIENT)
    assert link.infer(b"") == b"output bytes"


# The device answers ERROR


def test_error_answer_tells_code_name_message_and_request(either):
    _, link = either(error())
    with pytest.raises(
        DeviceError, match=r"answered to DATA with error 0x0201 SESSION_STATE: DATA in state NONE"
    ) as raised:
        link.infer(b"")
    assert (raised.value.code, raised.value.name) == (0x0201, "SESSION_STATE")
    assert raised.value.message == "DATA in state NONE, without a model: MODEL, or IOSPEC and MODEL, come first"
    assert raised.value.request == "DATA"
    assert link.statistics() == STATISTICS


@pytest.mark.parametrize("payload", [b"", b"\x01", bytes(35)])
def test_error_without_a_description_is_a_device_error(line, payload):
    _, link = line(encode_frame(MessageType.ERROR, payload))
    with pytest.raises(DeviceError, match="UNKNOWN: the firmware"):
        link.unload()
    assert link.statistics() == STATISTICS


# The device falls silent


def test_silence_names_the_request_the_wait_and_what_came(line):
    _, link = line(b"", timeout=BRIEF)
    with pytest.raises(
        LinkTimeout, match=r"No whole answer to STATS within 0\.2 s: 0 of the 6 bytes of an answer's header"
    ):
        link.statistics()


@pytest.mark.parametrize(
    ("part", "came"),
    [(OK[:5], "5 of the 6 bytes"), (struct.pack("<IH", 26, 0) + bytes(17), "the header and 17 of 24 payload bytes")],
    ids=["in the header", "in the payload"],
)
def test_answer_that_stops_tells_how_far_it_came_and_the_next_request_works(either, part, came):
    _, link = either(part, timeout=BRIEF)
    with pytest.raises(LinkTimeout, match=came):
        link.statistics()
    link.timeout = PATIENT
    assert link.statistics() == STATISTICS


def test_timeout_carries_the_diagnosis(line):
    _, link = line(b"", timeout=BRIEF, diagnose=lambda: "The core waits at 0x32000100.")
    with pytest.raises(LinkTimeout, match=r"came\.\nThe core waits at 0x32000100\."):
        link.statistics()


def test_failing_diagnosis_does_not_hide_the_timeout(line):
    def diagnose():
        raise RuntimeError("the simulator is gone")

    _, link = line(b"", timeout=BRIEF, diagnose=diagnose)
    with pytest.raises(LinkTimeout, match=r"came\.\nThe diagnosis failed too: the simulator is gone"):
        link.statistics()


def test_device_that_takes_no_bytes_does_not_hang_the_host(line):
    release = threading.Event()
    _, link = line(lambda _: release.wait(PATIENT), timeout=BRIEF)
    started = time.monotonic()
    with pytest.raises(LinkTimeout):
        link.statistics()
    with pytest.raises(LinkTimeout, match=r"stopped taking MODEL: \d+ of 16000006 bytes were written"):
        link.load_model(bytes(16_000_000))
    assert time.monotonic() - started < 5
    release.set()


def test_late_answer_is_not_taken_for_the_answer_to_the_next_request(line):
    def late(device):
        device.wait_for_the_next()
        device.write(OK)

    device, link = line(None, OK, late)
    link.chip_info()
    with pytest.raises(LinkTimeout, match="PROCESS"):
        link.infer(b"", timeout=BRIEF)
    assert link.infer(b"again") == b"output bytes"
    assert device.kinds == ["INFO", "DATA", "PROCESS", *["INFO"] * 3, "DATA", "PROCESS", "OUTPUT"]


def test_request_that_a_cut_frame_swallows_is_repeated(line):
    stalled = error(130, MessageType.DATA, 1, 4)  # LINK_STALL
    device, link = line(None, lambda device: (device.read_exactly(device.read, HEADER_BYTES), device.write(stalled)))
    link.chip_info()
    link.send_raw(encode_frame(MessageType.DATA))  # the device goes on to take the next six bytes for its payload
    assert link.statistics() == STATISTICS
    assert device.kinds == ["INFO", "DATA", "INFO", "INFO", "STATS"]


def test_device_that_boots_while_it_is_asked_is_in_step_afterwards(line):
    def boot(device):
        device.wait_for_the_next()
        device.write(encode_frame(MessageType.OK, INFO.encode()))

    _, link = line(boot)
    with pytest.raises(LinkTimeout):
        link.chip_info(timeout=BRIEF)
    assert link.chip_info() == INFO
    link.send_io_spec(SPEC)
    assert link.statistics() == STATISTICS


def test_answers_to_info_that_come_later_still_are_thrown_away(line):
    def late(device):
        device.wait_for_the_next()
        device.write(encode_frame(MessageType.OK, INFO.encode()))

    device, link = line(late, late)  # each answer comes when the next request is there
    with pytest.raises(LinkTimeout):
        link.chip_info(timeout=BRIEF)
    assert link.chip_info() == INFO
    assert link.statistics() == STATISTICS
    link.send_io_spec(SPEC)
    assert device.kinds == ["INFO", "INFO", "INFO", "STATS", "IOSPEC"]


# The device answers nonsense


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (encode_frame(MessageType.OUTPUT), "message type 5, which is neither OK nor ERROR"),
        (encode_frame(0x7777, b"noise"), "message type 30583"),
        (struct.pack("<IH", 0, 0), "message size 0;"),
        (struct.pack("<IH", 1, 0), "message size 1;"),
        (struct.pack("<IH", 0xFFFFFFFF, 0) + bytes(1000), "message size 4294967295;"),
        (b"Segmentation fault\r\n", "malformed: A frame header gives the message size"),
        (
            encode_frame(MessageType.OK, bytes(23)),
            "The answer to STATS is malformed: The statistics has 24 bytes, but 23",
        ),
        (encode_frame(MessageType.OK, bytes(25)), "but 25 came"),
    ],
)
def test_malformed_answer_is_refused_and_the_next_request_works(line, answer, reason):
    _, link = line(answer)
    with pytest.raises(LinkError, match=re.escape(reason)):
        link.statistics()
    assert link.statistics() == STATISTICS


def test_payload_where_none_belongs_is_refused(line):
    _, link = line(encode_frame(MessageType.OK, b"surprise"))
    with pytest.raises(LinkError, match="answer to UNLOAD is malformed: it should be empty but carries 8 bytes"):
        link.unload()
    link.unload()


def test_line_that_never_falls_silent_is_given_up(line):
    stop = threading.Event()

    def babble(device):
        while not stop.is_set():
            device.write(b"\xff" * 100)
            time.sleep(0.005)

    _, link = line(babble)
    with pytest.raises(LinkError, match="malformed"):
        link.statistics()
    with pytest.raises(LinkError, match=r"does not fall silent: \d+ bytes came"):
        link.statistics()
    stop.set()


def test_raw_bytes_reach_the_device_and_its_answer_is_read(line):
    device, link = line(error(127, 1, 1 << 24))
    link.send_raw(encode_frame(MessageType.DATA, b"abc"))
    with pytest.raises(DeviceError, match="LINK_SIZE"):
        link.receive_answer()
    assert device.requests == [(MessageType.DATA, b"abc")]
    assert link.statistics() == STATISTICS


# The connection


def test_closed_connection_is_a_clear_error(line):
    _, link = line(lambda device: (_ for _ in ()).throw(OSError("unplugged")), diagnose=lambda: "The engine ended.")
    with pytest.raises(LinkError, match=r"connection to socket://.* was lost during STATS.*\nThe engine ended\."):
        link.statistics()
    with pytest.raises(LinkError, match="was lost during"):
        link.statistics()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("dialect", [Dialect.BASE, Dialect.INFO, Dialect.EXTENDED])
def test_link_that_was_closed_says_so(either, call, dialect):
    _, link = either()
    link.dialect = dialect
    link._line.close()
    link.close()
    with pytest.raises(LinkError, match="was lost during .*: it was closed"):
        call(link)


def test_link_that_another_thread_closes_says_so_at_once(either):
    _, link = either(lambda device: link.close())
    with pytest.raises(LinkError, match="was lost during STATS: it was closed"):
        link.statistics()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_handler_of_a_signal_may_call_nothing_but_close(either, call):
    """It interrupts a call of its own thread, whose answer it would take."""
    told = []

    def interrupt(device):
        signal.raise_signal(signal.SIGUSR1)
        device.write(encode_frame(MessageType.OK, STATISTICS.encode()))

    def handler(*_):
        with pytest.raises(LinkError, match="while another call goes on") as error:
            call(link)
        told.append(error)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        _, link = either(interrupt)
        assert link.statistics() == STATISTICS
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert told


def test_progress_may_not_talk(line):
    _, link = line()
    with pytest.raises(LinkError, match="chip_info was called while another call goes on"):
        link.load_model(bytes(5000), progress=lambda *_: link.chip_info())


def test_two_threads_do_not_talk_at_once(either):
    """Each would take the other's answers."""
    refused = []

    def ask_too(device):
        with pytest.raises(LinkError, match="chip_info was called while another call goes on") as error:
            link.chip_info()
        refused.append(error)
        device.write(encode_frame(MessageType.OK, STATISTICS.encode()))

    _, link = either(ask_too)
    assert link.statistics() == STATISTICS
    assert len(refused) == 1
    assert link.chip_info() == INFO


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_forked_process_does_not_talk_and_closes_its_own_end_alone(line, call):
    """Each of the two would take the other's answers."""
    _, link = line()
    assert link.statistics() == STATISTICS
    child = os.fork()
    if child == 0:
        refused = False
        try:
            with pytest.raises(LinkError, match="in another process than the one that opened the line"):
                call(link)
            link.close()
            refused = True
        finally:
            os._exit(0 if refused else 1)  # whatever came, the tests go on in the parent alone
    assert os.waitpid(child, 0)[1] == 0
    assert link.statistics() == STATISTICS


def test_what_a_server_of_rfc2217_takes_no_more_ends_by_the_callers_limit(monkeypatch):
    """pyserial's own limit for a write is 5 seconds, and says that the connection was lost."""
    server = socket.create_server(("127.0.0.1", 0))
    connected = []

    def negotiate(port):
        port._socket = socket.create_connection(server.getsockname())
        connected.append(server.accept()[0])
        port._write_lock = threading.Lock()
        port.is_open = True

    monkeypatch.setattr(rfc2217.Serial, "open", negotiate)
    monkeypatch.setattr(rfc2217.Serial, "close", lambda port: port._socket.close())
    try:
        link = Link(f"rfc2217://127.0.0.1:{server.getsockname()[1]}", timeout=BRIEF)
        with pytest.raises(LinkTimeout, match="The device stopped taking raw bytes"):
            link.send_raw(bytes(64 << 20))
        link.close()
    finally:
        for end in (server, *connected):
            end.close()


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("loop://?logging=", "has a value that pyserial does not know"),
        ("loop://?x=1", "can't be opened: a setting behind the"),
        ("socket://127.0.0.1:1?logging=debug", "that the simulator runs and listens there"),
        ("/dev/there-is-no-such-port", "Check that the device is plugged in"),
        ("socket://127.0.0.1:1", "that the simulator runs and listens there"),
        ("nonsense://", "Check the URL"),
    ],
)
def test_port_that_cannot_be_opened_says_what_to_check(url, advice):
    with pytest.raises(LinkError, match=advice) as raised:
        Link(url)
    assert url in str(raised.value)


def test_port_in_use_says_so():
    place = OverTerminal()
    try:
        with Link(place.url), pytest.raises(LinkError, match="no other program has it open"):
            Link(place.url)
    finally:
        os.close(place.slave)
        os.close(place.master)


def test_model_beyond_the_protocol_is_not_sent(line):
    device, link = line()
    with pytest.raises(LinkError, match="at most 16777216 bytes"):
        link.load_model(bytes((16 << 20) + 1))
    assert link.statistics() == STATISTICS
    assert device.kinds == ["STATS"]


@pytest.mark.parametrize("data", [None, "gestures.vmfb", [0, 0], np.zeros(4, np.int8), 5], ids=repr)
@pytest.mark.parametrize("call", [Link.infer, Link.measure, Link.load_model, Link.send_raw])
def test_what_is_no_bytes_is_told_with_what_to_do(line, call, data):
    device, link = line()
    with pytest.raises(TypeError, match=rf"carries bytes, not {type(data).__name__}: .*tobytes\(\)"):
        call(link, data)
    assert link.infer(bytearray(b"input")) == link.infer(memoryview(b"input")) == NORMAL[MessageType.OUTPUT]
    assert (MessageType.DATA, b"input") in device.requests


def test_who_was_interrupted_while_negotiating_negotiates_again(line, monkeypatch):
    """Its own dialogue may be going on, which would look like another host's."""
    _, link = line()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(link._base, "explains_errors", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        link.negotiate()
    for call in (link.statistics, link.chip_info, lambda: link.infer(b"")):
        with pytest.raises(LinkError, match="was not sent: the negotiation was interrupted. Negotiate again"):
            call()
    with pytest.raises(LinkError, match="time_limit is more than 0"):
        link.negotiate(time_limit=0)
    with pytest.raises(TypeError, match="MessageType of springbok.link.frames, not 99"):
        link.request(99)


@pytest.mark.parametrize("dialect", [Dialect.BASE, Dialect.INFO])
@pytest.mark.parametrize("answer", [MessageType.OK, MessageType.ERROR])
def test_answer_is_not_sent_as_a_request(line, dialect, answer):
    device, link = line()
    link.dialect = dialect
    with pytest.raises(LinkError, match=f"{answer.name} is an answer"):
        link.request(answer)
    assert not device.requests


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"\x02\0" + INFO.encode()[2:], "describes itself in version 2 of the format"),
        (INFO.encode() + bytes(4), "44"),
        (INFO.encode(), None),
    ],
    ids=["version", "longer", "known"],
)
def test_later_firmware_is_told_by_what_it_says_of_itself(line, payload, told):
    """It answers INFO each time, so that no time limit has to end the question."""
    refusal = error(1, 2, 3)
    device, link = line(refusal, refusal, *[encode_frame(MessageType.OK, payload)] * 100)
    if told is None:
        assert link.negotiate() == INFO
        return
    with pytest.raises(LinkError, match=told) as raised:
        link.negotiate()
    assert not isinstance(raised.value, LinkTimeout)
    assert device.kinds.count("INFO") <= 4


@pytest.mark.parametrize("baudrate", [0, -5, 9600.0, "fast", None])
@pytest.mark.parametrize("url", ["socket://127.0.0.1:1", "/dev/null", "loop://"])
def test_what_is_no_baud_rate_is_refused(url, baudrate):
    with pytest.raises(LinkError, match="baud rate is a whole number, 1 or more"):
        Link(url, baudrate=baudrate)


def test_device_that_says_nothing_is_named_with_what_to_check(line):
    _, link = line(*[lambda device: None] * 20, timeout=BRIEF)
    with pytest.raises(
        LinkTimeout, match=r"socket://127.* gave no answer .* within 0\.\d s .*right port and baud rate"
    ):
        link.negotiate()


def test_time_limit_that_can_not_be_told_is_refused(line):
    _, link = line()
    link._base.explains_errors = lambda _: False  # a firmware of 2023
    with pytest.raises(LinkError, match="time_limit needs the extension; the link is 'base'"):
        link.negotiate(time_limit=1.0)


@pytest.mark.parametrize("times", [1, 3])
def test_inference_amid_which_other_answers_came_begins_anew(line, times):
    """Another host's input may have taken the place of this one's."""
    stray = OK + OK  # to this host's DATA, and to another host's
    script = [stray if at % 3 == 0 else None for at in range(3 * times)]
    device, link = line(*script)
    if times < 3:
        assert link.infer(b"input") == NORMAL[MessageType.OUTPUT]
        assert device.kinds == ["DATA", "PROCESS", "OUTPUT"] * 2
    else:
        with pytest.raises(LinkError, match="amid an inference, 3 times. See that no other host uses the device"):
            link.infer(b"input")


def test_link_is_closed_even_where_its_farewell_is_interrupted(either, monkeypatch):
    _, link = either()
    link.dialect = Dialect.EXTENDED
    monkeypatch.setattr(link, "_take_leave", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        link.close()
    assert not link._line.is_open


def test_turn_of_a_call_ends_with_it_however_it_ended():
    turn = Turn()

    def interrupted():
        token = Turn.Token()
        assert turn.take(token)
        raise KeyboardInterrupt  # before it gave its turn up

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    gc.collect()
    first, second = Turn.Token(), Turn.Token()
    assert turn.take(first) and turn.take(first) and not turn.take(second)
    turn.leave(second)
    assert not turn.take(second)
    turn.leave(first)
    assert turn.take(second)


class YieldingReference(weakref.ref):
    """Other threads go on wherever it is made or asked."""

    def __init__(self, token):
        super().__init__(token)
        time.sleep(1e-6)

    def __call__(self):
        found = super().__call__()
        time.sleep(1e-6)
        return found


def test_turn_is_one_calls_however_many_threads_ask(monkeypatch):
    monkeypatch.setattr(line_module, "weakref", SimpleNamespace(ref=YieldingReference))
    turn, at_work, found = Turn(), [], []

    def work():
        for _ in range(300):
            token = Turn.Token()
            if turn.take(token):
                at_work.append(token)
                found.append(len(at_work))
                time.sleep(1e-6)
                at_work.remove(token)
                turn.leave(token)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert max(found) == 1


def test_exception_of_a_signals_handler_is_none_of_the_answers(monkeypatch):
    class Timeout(Exception):  # such as Robot's
        pass

    def interrupted(*_, **__):
        raise Timeout("Test timeout exceeded.")

    with monkeypatch.context() as patch, pytest.raises(Timeout):
        patch.setattr(construct.core.struct, "unpack", interrupted)
        Statistics.decode(STATISTICS.encode())
    with monkeypatch.context() as patch, pytest.raises(Timeout):
        patch.setattr(construct.core.struct, "pack", interrupted)
        encode_sense(1, 1.0, 1.0)
    unpack, count = construct.core.struct.unpack, itertools.count()
    header_fields = len(PROFILE_HEADER.subcons)
    with monkeypatch.context() as patch, pytest.raises(Timeout):
        late = lambda *given: interrupted() if next(count) > header_fields else unpack(*given)  # noqa: E731
        patch.setattr(construct.core.struct, "unpack", late)
        Profile.decode(PROFILE.encode())
    for samples, unit in ((-1, 1.0), (1, 1e300), ("x", 1.0), (1, None)):
        with pytest.raises(LinkError, match="request to sense can't be sent"):
            encode_sense(samples, 1.0, unit)


# The bad cable


@pytest.fixture
def bad_cable():
    """A cable to a device that says what it hears."""
    server = socket.create_server(("127.0.0.1", 0))
    with FaultProxy(f"socket://127.0.0.1:{server.getsockname()[1]}") as cable:
        device, _ = server.accept()
        with device, socket.create_connection(("127.0.0.1", int(cable.url.rsplit(":", 1)[1]))) as host:
            host.settimeout(PATIENT)
            host.sendall(b"!")  # when that is there, the cable knows of both
            assert device.recv(1) == b"!"
            yield cable, host, device
    server.close()


@pytest.mark.parametrize(
    "arm",
    [
        lambda cable: cable.stick(1, Direction.TO_HOST, bit=8),
        lambda cable: cable.stick(1, Direction.TO_HOST, bit=-1),
        lambda cable: cable.stick(1, Direction.TO_HOST, level=2),
        lambda cable: cable.stick(1, Direction.TO_HOST, bit=1.0),
        lambda cable: cable.corrupt(1.5, Direction.TO_HOST),
        lambda cable: cable.drop(math.nan, Direction.TO_HOST),
        lambda cable: cable.drop(0, Direction.TO_HOST),
        lambda cable: cable.duplicate(1, Direction.TO_HOST, after=1.5),
        lambda cable: cable.duplicate(1, Direction.TO_HOST, after=-1),
        lambda cable: cable.insert("abc", Direction.TO_HOST),
        lambda cable: cable.stall(math.nan, Direction.TO_HOST),
        lambda cable: cable.stall(math.inf, Direction.TO_HOST),
        lambda cable: cable.stall(-1.0, Direction.TO_HOST),
    ],
)
def test_fault_that_can_not_strike_is_refused_and_the_cable_carries_on(bad_cable, arm):
    cable, host, device = bad_cable
    with pytest.raises((ValueError, TypeError), match="strikes|stuck|carries bytes"):
        arm(cable)
    assert not cable.waiting
    device.sendall(b"hello")
    assert host.recv(5, socket.MSG_WAITALL) == b"hello"


def test_stall_that_has_begun_ends_when_all_is_disarmed(bad_cable):
    cable, host, device = bad_cable
    cable.stall(1e6, Direction.TO_HOST, after=2)
    device.sendall(b"hello")
    assert host.recv(2, socket.MSG_WAITALL) == b"he"
    cable.disarm()
    assert host.recv(3, socket.MSG_WAITALL) == b"llo"
