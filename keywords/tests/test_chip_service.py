# SPDX-License-Identifier: Apache-2.0
"""The firmware's port on the simulated chip, with a made-up runtime that misbehaves on request.

Nothing of a model is needed here: what counts is that the service survives, with vectors and without.
"""

from __future__ import annotations

import random
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from springbok.engines import create_engine
from springbok.engines.base import Engine
from springbok.firmware import build_firmware
from springbok.link.frames import MessageType, decode_header, encode_frame
from springbok.link.messages import ChipInfo, ErrorAnswer, ModelState
from springbok.support.places import FIRMWARE

I8 = 0x10000008
INPUT_BYTES, OUTPUT_BYTES = 250, 300
MODEL = (
    b"FAKE" + b"main".ljust(20, b"\0") + bytes([1, 1])
    + struct.pack("<IBI", I8, 1, INPUT_BYTES) + struct.pack("<IBI", I8, 1, OUTPUT_BYTES)
)  # fmt: skip
ANSWER_LIMIT_SECONDS = 300.0  # ends a test that hangs, and decides nothing


@pytest.fixture(scope="module")
def fake_firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware with test/fake_runtime.c in place of the runtime."""
    sources = tmp_path_factory.mktemp("fake") / "firmware"
    shutil.copytree(FIRMWARE, sources)
    for path in (sources / "runtime").glob("*.c"):
        if path.name not in ("bytes.c", "status.c"):
            path.unlink()
    shutil.copy(sources / "test" / "fake_runtime.c", sources / "runtime")
    return build_firmware(sources, sources.parent / "out").elf


class Client:
    """Requests and answers over the engine's UART, every wait bounded."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        url = urlsplit(engine.uart_url)
        self._socket = socket.create_connection((url.hostname, url.port), timeout=ANSWER_LIMIT_SECONDS)
        self._socket.settimeout(ANSWER_LIMIT_SECONDS)

    def close(self) -> None:
        self._socket.close()

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def answer(self) -> tuple[int, bytes]:
        kind, size = decode_header(self._receive(6))
        return kind, self._receive(size)

    def request(self, kind: int, payload: bytes = b"") -> bytes:
        """Payload of the answer, which must be OK."""
        self.send(encode_frame(kind, payload))
        answer, content = self.answer()
        assert answer == MessageType.OK, ErrorAnswer.decode(content)
        return content

    def error(self, kind: int, payload: bytes = b"") -> ErrorAnswer:
        """The answer, which must be ERROR."""
        self.send(encode_frame(kind, payload))
        answer, content = self.answer()
        assert answer == MessageType.ERROR
        return ErrorAnswer.decode(content)

    def info(self) -> ChipInfo:
        return ChipInfo.decode(self.request(MessageType.INFO))

    def infer(self, model_input: bytes) -> bytes:
        self.request(MessageType.DATA, model_input.ljust(INPUT_BYTES, b"\0"))
        self.request(MessageType.PROCESS)
        return self.request(MessageType.OUTPUT)

    def _receive(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            part = self._socket.recv(count - len(content))
            assert part, f"the chip went away: {self.engine.diagnose()}"
            content += part
        return content


@pytest.fixture(scope="module", params=[512, 0], ids=["vectors", "no vectors"])
def client(request: pytest.FixtureRequest, fake_firmware: Path) -> Iterator[Client]:
    with create_engine("spike", fake_firmware, vlen=request.param) as engine:
        client = Client(engine)
        client.vlen = request.param
        yield client
        client.close()


def test_info_tells_what_was_probed(client):
    info = client.info()
    assert info.has_vectors == (client.vlen > 0)
    assert info.vlen_bits == client.vlen
    assert info.elen_bits == (32 if client.vlen else 0)
    assert info.marks_work


def test_devices_have_nothing_to_warn_of(client):
    client.info()
    assert client.engine.console() == []


@pytest.mark.parametrize(
    ("how", "name", "message"),
    [
        (0xE0, "TRAP", "mcause 2 (illegal instruction), mepc 0x32"),
        (0xE1, "TRAP", "mcause 7 (store access fault), mepc 0x32"),
        (0xE2, "TRAP", "mcause 1 (instruction access fault), mepc 0x20, mtval 0x20"),
        (0xE3, "STACK_OVERFLOW", "131072 bytes are not enough"),
    ],
    ids=["illegal instruction", "store to nowhere", "jump to nowhere", "stack overflow"],
)
def test_a_fault_in_an_inference_is_an_answer_and_the_service_goes_on(client, how, name, message):
    client.request(MessageType.MODEL, MODEL)
    client.request(MessageType.DATA, bytes([how]) * INPUT_BYTES)
    error = client.error(MessageType.PROCESS)
    assert error.name == name
    assert error.message.startswith(message)
    assert client.info().model_state == ModelState.NONE
    assert "without a model: MODEL, or IOSPEC and MODEL, come first" in client.error(MessageType.PROCESS).message
    client.request(MessageType.MODEL, MODEL)
    assert client.infer(bytes([1])) == (b"\x02" + bytes([1]) * 249) + b"\x02" + bytes([1]) * 49


def test_copy_and_fill_at_every_alignment(client):
    client.request(MessageType.MODEL, MODEL)
    choose = random.Random(1)
    for count in (0, 1, 2, 3, 4, 5, 31, 63, 64, 65, 127, 128, 129, 200):
        source, target = choose.randrange(4, 40), choose.randrange(40)
        model_input = bytes([0xC0, source, target, count]) + choose.randbytes(INPUT_BYTES - 4)
        expected = bytearray(b"\x5a" * OUTPUT_BYTES)
        expected[target : target + count] = model_input[source : source + count]
        assert client.infer(model_input) == expected


def test_large_upload(client):
    error = client.error(MessageType.MODEL, bytes(300_000))
    assert error.name == "ARCHIVE_FORMAT"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (struct.pack("<IH", 0, 3), "LINK_SIZE"),
        (b"Is this a shell?\r\n", "LINK_STALL"),
        (encode_frame(MessageType.MODEL, MODEL)[:-1], "LINK_STALL"),
        (encode_frame(99, b"abc"), "LINK_TYPE"),
    ],
    ids=["size 0", "text", "stall", "unknown type"],
)
def test_a_broken_frame_is_answered_by_the_chips_own_clock(client, content, name):
    client.send(content)
    kind, payload = client.answer()
    assert kind == MessageType.ERROR
    assert ErrorAnswer.decode(payload).name == name
    client.info()


def test_stack_peak_is_measured(client):
    client.request(MessageType.MODEL, MODEL)
    client.infer(b"\0")
    peak = struct.unpack_from("<I", client.request(MessageType.PROFILE), 36)[0]
    assert 200 < peak <= 131072
