# SPDX-License-Identifier: Apache-2.0
"""Compares the link's speed with what the line can give: ``./bench trial link-benchmark``.

Prints ratios. Upload: bytes a second of a model's upload, of a raw echo's (the firmware's own UART functions and
nothing else). An access of the simulated UART costs no more than some instructions, so that the upload's CRC-32, 21
instructions of the 30 that it takes for a byte, is what makes it slower than the echo. Inference: the time of a small
inference with the extension, of the base protocol's, which needs three round trips: alone in one trip, and many in one
trip; and with its profile, a fourth trip of the base. One trip alone is a third of three at best, since the bytes and
the computation are the same: with many in one trip it is less. Both sides of a ratio are measured in turns, and the
fastest counts: other programs only ever slow one down.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from springbok.engines import create_engine
from springbok.firmware import build_firmware
from springbok.link.link import Link
from springbok.support.errors import BenchError, DeviceError, LinkError
from springbok.support.files import temporary_folder
from springbok.support.places import FIRMWARE
from springbok.trials.link_rig import chip, sample, small_module

UPLOAD_BYTES = 200_000
BATCH, INFERENCES = 32, 640
TURNS = 3
UPLOAD_RATIO, INFERENCE_RATIO = 0.5, 1 / 3
_ECHO_WINDOW = 4096  # bytes on their way at once
_ECHO_SECONDS = 60.0

_ECHO_MAIN = """
#include "board.h"
#include "../runtime/platform.h"
int main(void) {
    uint8_t bytes[64];
    board_init();
    for (;;)
        platform_uart_write(bytes, board_uart_read(bytes, sizeof bytes));
}
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit status is 1 when a ratio misses its limit."""
    parser = argparse.ArgumentParser(prog="./bench trial link-benchmark", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=TURNS, help=f"turns of each measurement (default {TURNS})")
    options = parser.parse_args(arguments)
    try:
        upload, echo = measure_upload(options.turns)
        times = measure_inference(options.turns)
    except BenchError as error:
        sys.stderr.write(f"link_benchmark: {error}\n")
        return 2
    base, single, batch, base_measured, measured = (1000 * seconds for seconds in times)
    rows = [
        f"upload                {upload / 1000:8.1f} kB/s  raw echo {echo / 1000:8.1f} kB/s  "
        f"ratio {upload / echo:.2f}  (at least {UPLOAD_RATIO})",
        f"inference, alone      {single:8.3f} ms    base     {base:8.3f} ms    ratio {single / base:.2f}",
        f"inference, {BATCH} a trip  {batch:8.3f} ms    base     {base:8.3f} ms    ratio {batch / base:.2f}  "
        f"(at most {INFERENCE_RATIO:.2f})",
        f"with its profile      {measured:8.3f} ms    base     {base_measured:8.3f} ms    "
        f"ratio {measured / base_measured:.2f}",
    ]
    sys.stdout.write("\n".join(rows) + "\n")
    return 0 if upload / echo >= UPLOAD_RATIO and batch / base <= INFERENCE_RATIO else 1


def measure_upload(turns: int) -> tuple[float, float]:
    """Return bytes a second of an upload and of a raw echo."""
    image = os.urandom(UPLOAD_BYTES)
    with temporary_folder() as folder, chip() as engine, Link(engine.uart_url) as link:
        link.negotiate()
        with create_engine("spike", _build_echo(Path(folder)), count_opcodes=False) as echoing:
            rates = [(_upload(link, image), _echo(echoing.uart_url, image)) for _ in range(turns)]
    return max(rate for rate, _ in rates), max(rate for _, rate in rates)


def measure_inference(turns: int) -> tuple[float, ...]:
    """Return seconds of an inference: base, alone, in a batch; with its profile: base, extension."""
    module = small_module()
    with chip() as engine, Link(engine.uart_url) as link:
        link.negotiate()
        link.load_model(module)
        rows = []
        for _ in range(turns):
            link.negotiate(extension=False)
            base, base_measured = _time(link, _infer, 1), _time(link, _measure, 1)
            link.negotiate()
            single, batch = _time(link, _infer, 1), _time(link, _infer_batch, BATCH)
            rows.append((base, single, batch, base_measured, _time(link, _measure, 1)))
    return tuple(map(min, zip(*rows, strict=True)))


def _upload(link: Link, image: bytes) -> float:
    """Random bytes are no module: the device takes them all and refuses them only then."""
    link.abort()
    times: list[float] = []
    try:
        link.load_model(image, progress=lambda done, total: times.append(time.monotonic()))
    except DeviceError:
        return len(image) / (times[-1] - times[0])
    raise LinkError("The device loaded random bytes as a module.")


def _echo(url: str, data: bytes) -> float:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=_ECHO_SECONDS) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.monotonic()
        sent = received = 0
        while received < len(data):
            while sent < len(data) and sent - received < _ECHO_WINDOW:
                sent += line.send(data[sent : sent + _ECHO_WINDOW - (sent - received)])
            part = line.recv(65536)
            if not part or data[received : received + len(part)] != part:
                raise LinkError(f"The echo of {len(data)} bytes broke off or differs after {received} bytes.")
            received += len(part)
    return len(data) / (time.monotonic() - started)


def _build_echo(folder: Path) -> Path:
    """Build a firmware that gives every byte back, of this firmware's own port."""
    source = folder / "firmware"
    shutil.copytree(FIRMWARE, source)
    for path in [*(source / "service").glob("*.c"), *(source / "runtime").glob("*.c")]:
        if path.name not in ("status.c", "bytes.c"):
            path.unlink()
    (source / "service" / "main.c").write_text(_ECHO_MAIN)
    return build_firmware(source, folder / "out").elf


def _time(link: Link, infer: Callable[[Link, list[bytes]], list[bytes]], count: int) -> float:
    """Return seconds of an inference in the fastest trip of ``count`` inferences."""
    pairs = [sample(number) for number in range(count)]
    inputs, answers = [data for data, _ in pairs], [answer for _, answer in pairs]
    times = []
    for _ in range(INFERENCES // count):
        started = time.perf_counter()
        if infer(link, inputs) != answers:
            raise LinkError("An inference gave a wrong answer.")
        times.append(time.perf_counter() - started)
    return min(times) / count


def _infer(link: Link, inputs: list[bytes]) -> list[bytes]:
    return [link.infer(data) for data in inputs]


def _infer_batch(link: Link, inputs: list[bytes]) -> list[bytes]:
    return link.infer_batch(inputs)


def _measure(link: Link, inputs: list[bytes]) -> list[bytes]:
    return [link.measure(data)[0] for data in inputs]
