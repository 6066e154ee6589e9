# SPDX-License-Identifier: Apache-2.0
"""A client that speaks the UART protocol of 2023 as its description says, and nothing else. Also a Robot library.

Its dialogue shares no code with the project's own client on purpose: what it can do, any old client can.
"""

import socket
import struct
from urllib.parse import urlsplit

from springbok.link.messages import ErrorAnswer

OK, ERROR, DATA, MODEL, PROCESS, OUTPUT, STATS, IOSPEC = range(8)
SIZES = {"f32": 4, "i8": 1, "u8": 1, "i32": 4}


class client_2023:  # noqa: N801 (Robot wants the class to be named like the module)
    """Keywords of the old client: each sends one message and returns the answer's payload, or fails on ERROR."""

    ROBOT_LIBRARY_SCOPE = "GLOBAL"

    def connect_old_client(self, url, timeout=120):
        """Open the line."""
        address = urlsplit(url)
        self.line = socket.create_connection((address.hostname, address.port), timeout=float(timeout))

    def close_old_client(self):
        """Close the line."""
        if getattr(self, "line", None):
            self.line.close()
            self.line = None

    def send_raw(self, data):
        """Send bytes as they are."""
        self.line.sendall(bytes(data))

    def receive_message(self):
        """Return the next message: type and payload."""
        size, kind = struct.unpack("<IH", self._read(6))
        return kind, self._read(size - 2)

    def request(self, kind, payload=b""):
        """Send a message and return the payload of OK."""
        self.send_raw(struct.pack("<IH", 2 + len(payload), int(kind)) + bytes(payload))
        answer, content = self.receive_message()
        if answer != OK:
            raise AssertionError(f"message {kind} was answered with {answer}: {content[4:]!r}")
        return content

    def refusal_of(self, data):
        """Send bytes as they are; the answer must be ERROR. Return its reason, of which the protocol knows nothing."""
        self.send_raw(data)
        kind, content = self.receive_message()
        if kind != ERROR:
            raise AssertionError(f"{kind} instead of ERROR was answered")
        reason = ErrorAnswer.decode(content)
        return f"{reason.name}: {reason.message}"

    def specification(self, shape, output_length, dtype="f32", entry="main", name="model", **changes):
        """Return the 160 bytes for one input and one output."""
        count = 1
        for dimension in shape:
            count *= int(dimension)
        dimensions = [*map(int, shape), 0, 0, 0, 0][:4]
        length = int(changes.get("input_length", count))
        entry = entry.encode() if isinstance(entry, str) else entry
        return struct.pack(
            "<I2I8I2I2II12II4s20s20s",
            int(changes.get("num_input", 1)), len(shape), 0, *dimensions, 0, 0, 0, 0, length, 0, SIZES[dtype], 0,
            1, int(output_length), *[0] * 11, SIZES[dtype], dtype.encode(), entry, name.encode(),
        )  # fmt: skip

    def whole_dialogue(self, specification, model, data):
        """IOSPEC, MODEL, DATA, PROCESS, OUTPUT, STATS; return the output and the statistics."""
        self.request(IOSPEC, specification)
        self.request(MODEL, model)
        self.request(DATA, data)
        self.request(PROCESS)
        output = self.request(OUTPUT)
        return output, struct.unpack("<6I", self.request(STATS))

    def _read(self, count):
        data = b""
        while len(data) < count:
            part = self.line.recv(count - len(data))
            if not part:
                raise AssertionError("the line was closed")
            data += part
        return data
