# SPDX-License-Identifier: Apache-2.0
"""The two ends of a simulated chip's line: what the chip sends goes at once, and is read at once."""

import os
import pty
import select
import socket
import tty

import pytest

from springbok.devices.interface import Warnings
from springbok.devices.pl011.model import CR, DR, LCR_H, Pl011
from springbok.engines.serial_line import PtyLine, SocketLine
from springbok.link import line as line_module
from springbok.link.extension import SHORTEST_PATIENCE
from springbok.link.frames import EXTENDED_HEADER_BYTES, MessageType, encode_extended_frame
from springbok.link.link import Dialect, Link
from springbok.link.ports import SocketPort
from springbok.support.errors import LinkError

LONG = 600.0  # seconds that are never waited for


@pytest.fixture
def uart():
    uart = Pl011(Warnings())
    uart.write(CR, 0x301)
    uart.write(LCR_H, 0x60)
    return uart


def send(uart, content):
    for byte in content:
        uart.write(DR, byte)


@pytest.fixture
def line(uart):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = SocketLine(listener, uart, lambda text: None)
        line.url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        line.listener = listener
        yield line
        line.end()


@pytest.fixture
def port(line):
    port = SocketPort(line.url, 115200)
    line.serve({line.listener.fileno(): select.POLLIN})
    yield port
    port.close()


def received(port, count):
    data = b""
    while len(data) < count:
        data += port.receive(count - len(data), LONG)
    return data


def test_what_the_chip_sends_goes_without_asking_whether_it_may(line, port, uart):
    send(uart, b"answer")
    line.flush()
    assert not uart.sending()
    assert not any(events & select.POLLOUT for events in line.interests().values())
    assert received(port, 6) == b"answer"


def test_what_a_client_does_not_take_waits_for_it(line, port, uart):
    sent = b""
    while not uart.sending():
        part = bytes(range(256)) * 64
        uart.to_send += part
        sent += part
        line.flush()
    assert any(events & select.POLLOUT for events in line.interests().values())
    taken = b""
    while len(taken) < len(sent):
        taken += port.receive(1 << 20, LONG)
        line.flush()
    assert taken == sent


def test_what_is_sent_to_nobody_is_lost(line, uart):
    send(uart, b"anybody?")
    line.flush()
    assert not uart.sending()
    master, slave = pty.openpty()
    os.close(slave)
    ends = PtyLine(master, uart)
    send(uart, b"anybody?")
    ends.flush()
    assert not uart.sending()
    os.close(master)


def test_a_pseudo_terminal_takes_it_as_soon_as_somebody_has_it_open(uart):
    master, slave = pty.openpty()
    tty.setraw(slave)
    line = PtyLine(master, uart)
    send(uart, b"answer")
    line.flush()
    assert os.read(slave, 100) == b"answer"
    os.write(slave, b"request")
    while uart.waiting < 7:
        line.serve(dict.fromkeys(line.interests(), select.POLLIN))
    os.close(slave)
    os.close(master)


# The host's end


def test_a_socket_takes_what_it_can_and_tells_of_its_end(line, port, uart):
    assert port.receive(10, 0.0) == b""
    content, sent = bytes(1 << 16), 0
    while taken := port.send(content, 0.0):
        sent += taken
    assert sent  # and then the other side's buffers are full
    line.end()
    with pytest.raises(OSError):
        while True:
            port.receive(10, LONG)
    port.close()
    assert not port.is_open


@pytest.mark.parametrize("url", ["socket://", "socket://127.0.0.1", "socket://:3", "socket://h:1/a"])
def test_a_socket_without_host_or_port_is_named(url):
    with pytest.raises(LinkError, match="can't be opened: a socket is named by host and port"):
        Link(url)


class Port:
    """Answers each request whole, and notes what is asked of it."""

    baudrate, piece_bytes, is_open = 115200, 1 << 16, True

    def __init__(self):
        self.asked, self.answer = [], b""

    def has_bytes(self):
        return bool(self.answer)

    def send(self, data, seconds):
        self.asked.append("send")
        sequence = int.from_bytes(data[4:6], "little")
        self.answer = encode_extended_frame(sequence, MessageType.OK, data[EXTENDED_HEADER_BYTES:-4] or b"5")
        return len(data)

    def receive(self, most, seconds):
        assert seconds <= SHORTEST_PATIENCE + 20 * 9000 / self.baudrate  # and is woken by nothing before
        self.asked.append("receive")
        data, self.answer = self.answer[:most], self.answer[most:]
        return data

    def close(self):
        self.is_open = False


@pytest.mark.parametrize("size", [1, 32, 4000])
def test_an_inference_is_one_write_and_one_read(monkeypatch, size):
    port = Port()
    monkeypatch.setattr(line_module, "open_port", lambda *_: port)
    link = Link("fake")
    link.dialect = Dialect.EXTENDED
    for number in range(3):
        assert link.infer(bytes([number]) * size) == bytes([number]) * size
    assert port.asked == ["send", "receive"] * 3
