# SPDX-License-Identifier: Apache-2.0
"""The interface board of MLPerf Tiny's streaming test, at a pseudo-terminal of its own beside a `RunnerPort`.

On a table the runner has this board play a WAV file to the device, and read from two pins when it detects a word and
when it computes. A simulated chip has no sound: the board brings it the features of each frame as bytes, has it list
its detections, and takes the time that it computed from its answer to ``stop``. The runner's ``setbaud`` means nothing.

Example::

    board = InterfaceBoard(Path("datasets/sww01"), spec, frame_us=32_000)
    with board, RunnerPort("socket://127.0.0.1:3456", listen=board.listen) as port:
        while True:
            port.serve(0.1)
            board.serve(port)
"""

from __future__ import annotations

import re
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from springbok.data import runner_files
from springbok.data.packaged.wake_word import features_of
from springbok.link.mlperf import MlperfRunner
from springbok.link.runner_port import PATIENCE_SECONDS, RunnerPort, Terminal
from springbok.support.errors import BenchError
from springbok.tensors import TensorSpec

_FRAMES_A_LOAD = 8
_LOAD_SECONDS = 600.0
_TICK_US = 10  # of the board's timer
_NUMBERS_A_LINE = 8
_BUSY = re.compile(rb"m-busy-us-(\d+)\r?$")


class InterfaceBoard:
    """Answers the runner at ``path``; closed by `close`.

    folder     of the WAV files that it can play: the memory card
    spec       the model's input, in whose integers a frame is sent
    frame_us   microseconds of a frame
    benchmark  whether features are the benchmark's, see `features_of`
    """

    def __init__(
        self,
        folder: Path,
        spec: TensorSpec,
        frame_us: int,
        benchmark: bool = True,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._folder, self._spec, self._frame_us = folder, spec, frame_us
        self._benchmark, self._patience = benchmark, patience
        self._runner = Terminal()
        self.path = self._runner.path
        self._asked = b""  # of a command that has not ended
        self._line = b""  # of the chip's, that has not ended
        self._frames = 0  # that were played last
        self._busy_us = 0
        self._commands = {
            "name": lambda *_: ["springbok-bench, interface board"],
            "setbaud": lambda *_: [],
            "ls": lambda *_: sorted(path.name for path in self._folder.glob("*.wav")),
            "record_detections": lambda *_: ["Now recording detections"],
            "play": self._play,
            "print_detections": self._print_detections,
            "print_dutycycle": self._print_duty_cycle,
        }

    def __enter__(self) -> InterfaceBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal up. Harmless when it is done."""
        self._runner.close()

    def listen(self, content: bytes) -> None:
        """Hear what the chip answers to others: how long its stream kept it busy."""
        *lines, self._line = (self._line + content).split(b"\n")
        for line in lines:
            if found := _BUSY.match(line):
                self._busy_us = int(found[1])

    def serve(self, port: RunnerPort) -> None:
        """Answer the commands that have come, if any."""
        poller = select.poll()
        poller.register(self._runner, select.POLLIN)
        if not dict(poller.poll(0)).get(self._runner.fileno(), 0) & select.POLLIN:
            return
        *commands, self._asked = (self._asked + self._runner.read()).split(b"%")
        for command in commands:
            name, _, rest = command.decode("latin-1").strip().partition(" ")
            try:
                answer = self._commands[name](port, rest) if name in self._commands else ["e-[Unknown command]"]
            except BenchError as error:
                answer = [f"e-[{' '.join(str(error).split())}]"]
            self._runner.write("".join(f"{line}\r\n" for line in [*answer, "m-ready"]).encode("latin-1", "replace"))

    def _play(self, port: RunnerPort, name: str) -> list[str]:
        sound = runner_files.read_sound(self._folder / Path(name).name)
        frames = self._spec.to_raw(features_of(sound, self._benchmark))
        with self._patient_runner(), port.lent() as url, MlperfRunner(url) as chip:
            for at in range(0, len(frames), _FRAMES_A_LOAD):
                chip.load(frames[at : at + _FRAMES_A_LOAD].tobytes(), _LOAD_SECONDS)
        self._frames = len(frames)
        return [f"Played {name}, {len(frames)} frames"]

    @contextmanager
    def _patient_runner(self) -> Iterator[None]:
        """The runner gets empty lines while the chip is at work, which may take longer than it waits for one."""
        done = Event()

        def tell() -> None:
            while not done.wait(self._patience):
                self._runner.write(b"\r\n")

        teller = Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            done.set()
            teller.join()

    def _print_detections(self, port: RunnerPort, _: str) -> list[str]:
        with port.lent() as url, MlperfRunner(url) as chip:
            return ["Detection Timestamps (ms)", *(f"{each}," for each in chip.detections())]

    def _print_duty_cycle(self, *_: object) -> list[str]:
        """A frame's begin and the end of its inference, in ticks; the chip tells the time of all frames as one."""
        frames = self._frames
        begins = [number * self._frame_us // _TICK_US for number in range(1, frames + 1)]
        ticks = [number * self._busy_us // (max(frames, 1) * _TICK_US) for number in range(frames + 1)]
        ends = [begin + after - before for begin, before, after in zip(begins, ticks, ticks[1:], strict=False)]
        return ["Duty cycle start times (s)", *_in_lines(begins), "Duty cycle stop times (s)", *_in_lines(ends)]


def _in_lines(numbers: list[int]) -> list[str]:
    return [
        ", ".join(map(str, numbers[at : at + _NUMBERS_A_LINE])) + "," for at in range(0, len(numbers), _NUMBERS_A_LINE)
    ]
