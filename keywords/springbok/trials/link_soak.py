# SPDX-License-Identifier: Apache-2.0
"""Lets faults rain on the link to the simulated chip: ``./bench trial link-soak --faults 10000 --seed 1``.

Dialogues go on while the cable flips, loses, doubles and delays bytes and brings frames that nobody sent; some
requests come in the wrong order. Every answer is compared with the right one. The exit status is 0 only when nothing
hung, no wrong answer was accepted, no request was given up and the chip needed no restart.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from springbok.link.extension import LinkReport
from springbok.link.fault_proxy import Direction, FaultProxy
from springbok.link.frames import MessageType, encode_extended_frame, encode_frame
from springbok.link.link import Link
from springbok.support.errors import BenchError, DeviceError, LinkError
from springbok.trials.link_rig import ELEMENTS, chip, sample, small_module

HANG_SECONDS = 30.0
_REQUEST_SECONDS = 20.0
_HARMLESS = (MessageType.OUTPUT, MessageType.PROFILE, MessageType.SIGNATURE, MessageType.CHUNK, MessageType.LOAD)


@dataclass
class SoakResult:
    """What came of it. ``model_losses``: a damaged or foreign frame made the device drop its model."""

    faults: int = 0
    operations: int = 0
    hangs: int = 0
    wrong_answers: int = 0
    given_up: int = 0
    restarts: int = 0
    model_losses: int = 0
    longest_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not (self.hangs or self.wrong_answers or self.given_up or self.restarts)


class Soak:
    """One run over one link. ``random`` decides everything."""

    def __init__(self, link: Link, cable: FaultProxy, module: bytes, seed: int) -> None:
        self._link = link
        self._cable = cable
        self._module = module
        self._random = random.Random(seed)
        self.result = SoakResult()

    def run(self, faults: int, tell: Callable[[str], None] = lambda text: None) -> SoakResult:
        """Go on until so many faults have struck."""
        result = self.result
        step = max(1, faults // 10)
        self._link.negotiate()
        self._link.load_model(self._module)
        operations = [self._infer] * 6 + [self._measure, self._batch, self._load, self._describe, self._out_of_order]
        while result.faults < faults and not result.restarts:
            self._arm()
            self._attempt(self._random.choice(operations))
            before, result.faults = result.faults, self._cable.injected
            if before // step != result.faults // step:
                tell(f"{result.faults} faults, {result.operations} operations; {self._link.report}")
        return result

    def _arm(self) -> None:
        self._cable.disarm()
        choose = self._random
        for _ in range(choose.randint(1, 2)):
            direction = choose.choice(list(Direction))
            after, count = choose.randrange(90), choose.choice((1, 1, 1, 2, 3, 20))
            kind = choose.randrange(10)
            if kind < 4:
                self._cable.corrupt(count, direction, after)
            elif kind < 6:
                self._cable.drop(count, direction, after)
            elif kind < 8:
                self._cable.duplicate(count, direction, after)
            elif kind == 8:
                self._cable.stall(choose.uniform(0.01, 0.2), direction, after)
            else:
                self._cable.insert(self._foreign_frame(), Direction.TO_DEVICE)
                break

    def _foreign_frame(self) -> bytes:
        choose = self._random
        noise = choose.randbytes(choose.randrange(1, 60))
        return choose.choice(
            (
                noise,
                encode_frame(choose.randrange(12), noise),
                struct.pack("<IH", choose.getrandbits(32), choose.randrange(12)) + noise,
                encode_extended_frame(choose.randrange(0x10000), choose.choice(_HARMLESS)),
                encode_extended_frame(choose.randrange(0x10000), choose.randrange(20, 0x10000), noise),
                encode_extended_frame(choose.randrange(0x10000), MessageType.INFER, noise)[: -choose.randint(1, 10)],
            )
        )

    def _attempt(self, operation: Callable[[], None]) -> None:
        """Do one thing; what must not happen is counted. Then the link must still work."""
        result = self.result
        started = time.monotonic()
        result.operations += 1
        try:
            operation()
        except DeviceError as error:
            if error.name != "SESSION_STATE":
                self._count_problem("given_up", operation, error)
            else:
                result.model_losses += 1
            self._recover()
        except LinkError as error:
            self._count_problem("given_up", operation, error)
            self._recover()
        elapsed = time.monotonic() - started
        result.longest_seconds = max(result.longest_seconds, elapsed)
        if elapsed > HANG_SECONDS:
            self._count_problem("hangs", operation, f"{elapsed:.1f} s")

    def _recover(self) -> None:
        self._cable.disarm()
        try:
            self._link.load_model(self._module)
        except LinkError as error:
            self._count_problem("restarts", self._recover, error)

    def _count_problem(self, kind: str, operation: Callable[[], None], text: object) -> None:
        setattr(self.result, kind, getattr(self.result, kind) + 1)
        self.result.problems.append(f"{kind}: {operation.__name__.strip('_')}: {text}")

    def _compare(self, operation: Callable[[], None], actual: object, expected: object) -> None:
        if actual != expected:
            self._count_problem("wrong_answers", operation, f"{actual!r} instead of {expected!r}")

    # Operations

    def _sample(self) -> tuple[bytes, bytes]:
        return sample(self._random.randrange(100_000))

    def _infer(self) -> None:
        data, expected = self._sample()
        self._compare(self._infer, self._link.infer(data, timeout=_REQUEST_SECONDS), expected)

    def _measure(self) -> None:
        data, expected = self._sample()
        output, profile = self._link.measure(data, timeout=_REQUEST_SECONDS)
        self._compare(self._measure, (output, len(profile.dispatches)), (expected, 1))

    def _batch(self) -> None:
        pairs = [self._sample() for _ in range(5)]
        outputs = self._link.infer_batch([data for data, _ in pairs], timeout=_REQUEST_SECONDS)
        self._compare(self._batch, outputs, [expected for _, expected in pairs])

    def _load(self) -> None:
        self._link.load_model(self._module, timeout=_REQUEST_SECONDS)
        self._infer()

    def _describe(self) -> None:
        (tensor,) = self._link.signature().outputs
        self._compare(self._describe, (tensor.dtype, tensor.shape), ("float32", (ELEMENTS,)))

    def _out_of_order(self) -> None:
        self._link.unload()
        try:
            self._link.infer(bytes(4 * ELEMENTS))
            self._count_problem("wrong_answers", self._out_of_order, "an inference without a model was answered")
        except DeviceError as error:
            self._compare(self._out_of_order, error.name, "SESSION_STATE")
        self._load()


def soak(faults: int, seed: int, tell: Callable[[str], None] = lambda text: None) -> tuple[SoakResult, LinkReport]:
    """Boot a chip, let so many faults strike, and return what came of it."""
    module = small_module()
    with (
        chip() as engine,
        FaultProxy(engine.uart_url, seed) as cable,
        Link(cable.url, diagnose=engine.diagnose) as link,
    ):
        return Soak(link, cable, module, seed).run(faults, tell), link.report


def main(arguments: list[str] | None = None) -> int:
    """Run and print the result."""
    parser = argparse.ArgumentParser(prog="./bench trial link-soak", description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=10_000, help="go on until so many have struck (default 10000)")
    parser.add_argument("--seed", type=int, default=1, help="decides everything that is random (default 1)")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        result, report = soak(options.faults, options.seed, lambda text: print(text, flush=True))  # noqa: T201
    except BenchError as error:
        sys.stderr.write(f"link_soak: {error}\n")
        return 2
    lines = [
        f"{result.faults} faults in {result.operations} operations, {time.monotonic() - started:.0f} s",
        f"hangs {result.hangs}, wrong answers {result.wrong_answers}, given up {result.given_up}, "
        f"restarts {result.restarts}; models lost {result.model_losses}; longest {result.longest_seconds:.1f} s",
        f"Link: {report}",
        *result.problems[:20],
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if result.passed else 1
