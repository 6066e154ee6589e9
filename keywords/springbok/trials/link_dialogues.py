# SPDX-License-Identifier: Apache-2.0
"""Dialogues over a bad cable, and what came of them: the soak of the link (`springbok.trials.link_soak`) is of these.

Every answer is compared with the right one, and every call with its limit. What takes too long is judged by the time
that the chip and this process had for themselves: a loaded computer makes no hang.
"""

from __future__ import annotations

import random
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from springbok.link.extension import LinkReport
from springbok.link.fault_proxy import Direction, FaultProxy
from springbok.link.frames import MessageType, encode_extended_frame, encode_frame
from springbok.link.link import Dialect, Link
from springbok.link.messages import ChipInfo
from springbok.support.errors import DeviceError, DialogueLost, LinkError, LinkTimeout, OtherHost
from springbok.trials.link_rig import ELEMENTS, sample
from springbok.trials.own_time import OwnTime

HANG_SECONDS = 30.0
GRACE_SECONDS = 0.5  # that a call may take beyond its limit
_REQUEST_SECONDS = 20.0
_SHORTEST_SECONDS, _OTHER_HOST_SECONDS = 10.0, 5.0  # limits: of a request, of waiting for another host to leave
_RECOVERY_SECONDS = 10.0
_SHORT_SECONDS = (0.3, 1.0, 3.0)
_LONGEST_BURST = 200
_REQUEST_BYTES, _NEGOTIATION_BYTES = 90, 400  # in one direction, at most about
_NEGOTIATION_BURST = 12  # it is begun again after seconds, each time by a few bytes
_KILL_ODDS = 40  # one operation in so many
_BUSY_SECONDS = 0.25  # between the requests of a host that is at work
_QUIET_SECONDS = 0.6  # between its answers: one that was kept waiting for longer may be taken for gone
_HARMLESS = (MessageType.OUTPUT, MessageType.PROFILE, MessageType.SIGNATURE, MessageType.CHUNK, MessageType.LOAD)
_KENNING_PING = bytes(5) + b"\x7a\x31" + bytes(5)


@dataclass
class SoakResult:
    """What came of it.

    model_losses   a damaged or foreign frame made the device drop its model
    taken_over     times that a host was told that another one had come, who had: it was silent for a second, and what
                   somebody had sent long ago came again
    short_limits   calls that their short limit ended
    starved        operations whose limit was over before the chip and the host had half of it for themselves
    """

    faults: int = 0
    operations: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    hangs: int = 0
    wrong_answers: int = 0
    given_up: int = 0
    restarts: int = 0
    overruns: int = 0
    model_losses: int = 0
    taken_over: int = 0
    short_limits: int = 0
    starved: int = 0
    killed_hosts: int = 0
    second_hosts: int = 0
    longest_seconds: float = 0.0
    longest_overrun: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not (self.hangs or self.wrong_answers or self.given_up or self.restarts or self.overruns)

    def add(self, part: SoakResult) -> None:
        """Take in what came of a later part."""
        for name, value in vars(part).items():
            before = getattr(self, name)
            setattr(self, name, max(before, value) if name.startswith("longest") else before + value)


class Soak:
    """One run over one cable. ``random`` decides everything."""

    def __init__(
        self,
        cable: FaultProxy,
        module: bytes,
        seed: int,
        chip_seconds: Callable[[], float],
        diagnose: Callable[[], str] | None = None,
    ) -> None:
        self._cable = cable
        self._diagnose = diagnose
        self._module = module
        self._random = random.Random(seed)
        self._limit = _REQUEST_SECONDS
        self._burst = _LONGEST_BURST
        self._models = 0  # that the device had loaded when it was last asked
        self._link = self._open()
        self._chip: ChipInfo | None = None  # what it says of itself on a sound line
        self.report = LinkReport()  # of the links that were closed
        self._own = OwnTime(chip_seconds)
        self.result = SoakResult()

    def run(self, faults: int, ended: threading.Event) -> None:
        """Go on until so many faults have struck, or ``ended`` is set."""
        result = self.result
        self._recover()
        operations = [self._infer] * 6 + [self._measure, self._batch, self._load, self._describe, self._out_of_order]
        negotiations = [self._negotiate, self._negotiate_base]
        operations += negotiations
        others = (self._kill_host, self._second_host)
        while result.faults < faults and not result.restarts and not ended.is_set():
            choose = self._random
            if choose.randrange(_KILL_ODDS) == 0:
                self._cable.disarm()
                self._attempt(choose.choice(others))
            else:
                operation = choose.choice(operations)
                if operation in negotiations:
                    self._arm(_NEGOTIATION_BYTES, _NEGOTIATION_BURST)
                else:
                    self._arm(_REQUEST_BYTES, _LONGEST_BURST)
                self._limit = choose.choice(_SHORT_SECONDS) if choose.randrange(8) == 0 else _REQUEST_SECONDS
                self._attempt(operation)
            result.faults = self._cable.injected

    def close(self) -> None:
        """Close the link. To be called once."""
        self._own.end()
        self._cable.disarm()
        self._link.close()
        self._count_report(self._link)

    def _open(self) -> Link:
        return Link(self._cable.url)  # without a diagnosis: it takes its time beyond a call's limit

    def _start(self) -> None:
        """Begin a dialogue. A device that counts models from the beginning was restarted."""
        info = self._link.negotiate()
        self._chip = replace(info, models_loaded=0)
        models = info.models_loaded
        if models < self._models:
            self._count_problem("restarts", self._start, f"{models} models were loaded, after {self._models}")
        self._models = models
        self._link.load_model(self._module)

    def _count_report(self, link: Link) -> None:
        for name, value in vars(link.report).items():
            setattr(self.report, name, getattr(self.report, name) + value)

    # Faults

    def _arm(self, reach: int, burst: int) -> None:
        """Have faults strike within so many bytes, each at most so many in a row."""
        self._cable.disarm()
        self._burst = burst
        for _ in range(self._random.randint(1, 2)):
            kind = self._random.choice(_KINDS)
            self.result.kinds[kind.__name__.strip("_")] += 1
            kind(self, self._random.choice(list(Direction)), self._random.randrange(reach))

    def _flip(self, direction: Direction, after: int) -> None:
        self._cable.corrupt(self._few(), direction, after)

    def _lose(self, direction: Direction, after: int) -> None:
        self._cable.drop(self._few(), direction, after)

    def _double(self, direction: Direction, after: int) -> None:
        self._cable.duplicate(self._few(), direction, after)

    def _delay(self, direction: Direction, after: int) -> None:
        self._cable.stall(self._random.uniform(0.01, 0.2), direction, after)

    def _swap(self, direction: Direction, after: int) -> None:
        self._cable.reorder(1, direction, after)

    def _reorder(self, direction: Direction, after: int) -> None:
        self._cable.reorder(self._random.randint(2, min(20, self._burst // 2)), direction, after)

    def _wrong_baud_rate(self, direction: Direction, after: int) -> None:
        for each in (direction, *Direction) if self._random.randrange(2) else (direction,):
            self._cable.misread(self._random.randint(1, self._burst), each, after)

    def _noise(self, direction: Direction, after: int) -> None:
        self._cable.noise(self._random.randint(1, self._burst), direction, after)

    def _stuck_bit(self, direction: Direction, after: int) -> None:
        bit, level = self._random.randrange(8), self._random.randrange(2)
        self._cable.stick(self._random.randint(1, self._burst), direction, after, bit=bit, level=level)

    def _echo(self, direction: Direction, after: int) -> None:
        self._cable.echo(self._random.randint(1, self._burst), direction, after)

    def _old_answer(self, direction: Direction, after: int) -> None:
        del direction, after
        self._cable.insert(self._old(Direction.TO_HOST), Direction.TO_HOST)

    def _old_request(self, direction: Direction, after: int) -> None:
        del direction, after
        self._cable.insert(self._old(Direction.TO_DEVICE), Direction.TO_DEVICE)

    def _foreign(self, direction: Direction, after: int) -> None:
        del direction, after
        self._cable.insert(self._foreign_frame(), Direction.TO_DEVICE)

    def _few(self) -> int:
        return min(self._burst, self._random.choice((1, 1, 1, 2, 3, 20)))

    def _old(self, direction: Direction) -> bytes:
        """One of the last frames that were sent, or several in a row: a whole upload, for example."""
        recent = self._cable.recent(direction)
        at = self._random.randrange(len(recent))
        return b"".join(recent[at : at + self._random.choice((1, 1, 4))])

    def _foreign_frame(self) -> bytes:
        choose = self._random
        noise = choose.randbytes(choose.randrange(1, 60))
        sequence, identity = choose.randrange(0x10000), choose.choice((0, choose.getrandbits(32)))
        return choose.choice(
            (
                noise,
                encode_frame(choose.randrange(12), noise),
                encode_frame(choose.choice((MessageType.INFO, MessageType.STATS))),
                encode_frame(MessageType.IOSPEC, choose.randbytes(160)),
                encode_frame(MessageType.MODEL, self._module),
                struct.pack("<IH", choose.getrandbits(32), choose.randrange(12)) + noise,
                _KENNING_PING,
                encode_extended_frame(sequence, choose.choice(_HARMLESS), identity=identity),
                encode_extended_frame(sequence, MessageType.MODEL, noise, identity),
                encode_extended_frame(sequence, choose.randrange(20, 0x10000), noise, identity),
                encode_extended_frame(sequence, MessageType.INFER, noise)[: -choose.randint(1, 10)],
            )
        )

    # What must not happen is counted

    def _attempt(self, operation: Callable[[], None]) -> None:
        """Do one thing. Then the link must still work."""
        result = self.result
        started, began = time.monotonic(), self._own.now()
        result.operations += 1
        try:
            operation()
        except DeviceError as error:
            if error.name == "SESSION_STATE":
                result.model_losses += 1
            elif error.name == "SESSION_ENDED":
                result.taken_over += 1
            else:
                self._count_problem("given_up", operation, error)
            self._recover()
        except DialogueLost:
            result.taken_over += 1
            self._recover()
        except LinkError as error:
            if isinstance(error, LinkTimeout) and self._limit != _REQUEST_SECONDS:
                result.short_limits += 1
            elif self._own.since(began) < _needed_seconds(error):
                result.starved += 1
            else:
                self._count_problem("given_up", operation, error)
            self._recover()
        result.longest_seconds = max(result.longest_seconds, time.monotonic() - started)
        if time.monotonic() - started > HANG_SECONDS and (own := self._own.since(began)) > HANG_SECONDS:
            self._count_problem("hangs", operation, f"{own:.1f} s")

    def _recover(self) -> None:
        """Begin, again too, however often it takes while other programs keep the chip or this process waiting."""
        self._cable.disarm()
        began = self._own.now()
        while True:
            try:
                self._start()
                return
            except LinkError as error:
                if self._own.since(began) >= _RECOVERY_SECONDS:
                    self._count_problem("restarts", self._recover, error)
                    return

    def _count_problem(self, kind: str, operation: Callable[[], None], text: object) -> None:
        setattr(self.result, kind, getattr(self.result, kind) + 1)
        said = f" {self._diagnose()}" if self._diagnose and isinstance(text, LinkTimeout) else ""
        self.result.problems.append(f"{kind}: {operation.__name__.strip('_')}: {text}{said}")

    def _compare(self, operation: Callable[[], None], actual: object, expected: object) -> None:
        if actual != expected:
            self._count_problem("wrong_answers", operation, f"{actual!r} instead of {expected!r}")

    def _call(self, call: Callable[..., Any], *arguments: object) -> Any:
        """Call the link with the limit at hand, and see that it ends by then, as far as this process may run."""
        started, stalled = time.monotonic(), self._own.stalled
        try:
            return call(*arguments, timeout=self._limit)
        finally:
            overrun = time.monotonic() - started - self._limit - (self._own.stalled - stalled)
            self.result.longest_overrun = max(self.result.longest_overrun, overrun)
            if overrun > GRACE_SECONDS:
                self._count_problem("overruns", call, f"{overrun:.2f} s beyond {self._limit} s")

    # Operations

    def _sample(self) -> tuple[bytes, bytes]:
        return sample(self._random.randrange(100_000))

    def _infer(self) -> None:
        data, expected = self._sample()
        self._compare(self._infer, self._call(self._link.infer, data), expected)

    def _measure(self) -> None:
        data, expected = self._sample()
        output, profile = self._call(self._link.measure, data)
        self._compare(self._measure, (output, len(profile.dispatches)), (expected, 1))

    def _batch(self) -> None:
        self._link.signature()  # asked for once a model, and not what the limit is of
        pairs = [self._sample() for _ in range(5)]
        outputs = self._call(self._link.infer_batch, [data for data, _ in pairs])
        self._compare(self._batch, outputs, [expected for _, expected in pairs])

    def _load(self) -> None:
        self._limit = _REQUEST_SECONDS
        self._link.load_model(self._module, timeout=_REQUEST_SECONDS)
        self._infer()

    def _describe(self) -> None:
        self._limit = _REQUEST_SECONDS
        (tensor,) = self._link.signature().outputs
        self._compare(self._describe, (tensor.dtype, tensor.shape), ("float32", (ELEMENTS,)))

    def _out_of_order(self) -> None:
        self._limit = _REQUEST_SECONDS
        self._link.unload()
        try:
            self._link.infer(bytes(4 * ELEMENTS))
            self._count_problem("wrong_answers", self._out_of_order, "an inference without a model was answered")
        except DeviceError as error:
            if error.name == "SESSION_ENDED":
                raise
            self._compare(self._out_of_order, error.name, "SESSION_STATE")
        self._load()

    def _negotiate(self) -> None:
        """Begin anew, on the same link or on another one, while faults strike: it comes to the extension."""
        if self._random.randrange(2):
            self._leave()
        self._limit = _REQUEST_SECONDS
        info = self._call(self._link.negotiate)
        self._compare(self._negotiate, (self._link.dialect, self._told(info)), (Dialect.EXTENDED, self._chip))
        self._models = info.models_loaded
        self._load()

    def _negotiate_base(self) -> None:
        """The same without the extension, where nothing but its being said again tells whether INFO is right."""
        if self._random.randrange(2):
            self._leave()
        self._limit = _REQUEST_SECONDS
        info = self._call(lambda timeout: self._link.negotiate(timeout, extension=False))
        self._compare(self._negotiate_base, (self._link.dialect, self._told(info)), (Dialect.INFO, self._chip))
        self._cable.disarm()  # nothing protects the base's other answers
        self._link.resynchronise()
        self._link.load_model(self._module)
        self._infer()
        self._start()

    def _told(self, info: ChipInfo | None) -> ChipInfo | None:
        """What a chip says of itself at any time."""
        return info and replace(info, models_loaded=0, model_state=self._chip.model_state)

    def _leave(self) -> None:
        """Close the link and open another one."""
        self._link.close()
        self._count_report(self._link)
        self._link = self._open()

    def _kill_host(self) -> None:
        """A host ends in the middle of a request; the next one is served in either protocol."""
        self._limit = _REQUEST_SECONDS
        self.result.killed_hosts += 1
        link = self._link
        data, _ = self._sample()
        extended = encode_extended_frame(self._random.randrange(0x10000), MessageType.INFER, data)
        left = self._random.choice((extended, encode_frame(MessageType.MODEL, self._module), b""))
        link.send_raw(left[: self._random.randrange(len(left) + 1)])
        self._cable.cut()
        with suppress(LinkError):
            link.receive_answer(timeout=1.0)
        link.close()
        self._count_report(link)
        time.sleep(self._random.choice((0.0, 0.0, 0.1, 1.5)))
        self._link = self._open()
        if self._random.randrange(2):
            self._call(lambda timeout: self._link.negotiate(timeout, extension=False))
            self._link.load_model(self._module)
            self._infer()
        self._call(self._link.negotiate)
        self._link.load_model(self._module)
        self._infer()

    def _second_host(self) -> None:
        """Another host comes to the line: it is told of the first, takes over, and leaves; the first is told, too."""
        self._limit = _REQUEST_SECONDS
        self.result.second_hosts += 1
        with self._open() as second:
            self._try_beside_the_first(second)
            second.negotiate(timeout=_REQUEST_SECONDS, take_over=True)
            second.load_model(self._module)
            data, expected = self._sample()
            self._compare(self._second_host, second.infer(data), expected)
            try:
                self._infer()
                self._count_problem("wrong_answers", self._second_host, "the first host was not told of the second")
            except DeviceError as error:
                self._compare(self._second_host, error.name, "SESSION_ENDED")
        self._start()
        self._infer()

    def _try_beside_the_first(self, second: Link) -> None:
        """A second host is not served while the first is at work, unless that was itself kept from it."""
        served = False
        with self._busy_first_host() as problems, suppress(OtherHost):
            second.negotiate(timeout=_REQUEST_SECONDS)
            served = True
        if not problems.kept_waiting:
            for failure in problems.failures:
                self._count_problem("given_up", self._second_host, failure)
            if served:
                self._count_problem("wrong_answers", self._second_host, "a second host was served beside the first")

    @contextmanager
    def _busy_first_host(self) -> Iterator[_Problems]:
        """Keeps the first host at work, while something else is done."""
        ended = threading.Event()
        pairs = [self._sample() for _ in range(8)]
        problems = _Problems()

        def work() -> None:
            answered = time.monotonic()
            while not ended.is_set():
                for data, expected in pairs:
                    try:
                        self._compare(self._second_host, self._link.infer(data, timeout=_REQUEST_SECONDS), expected)
                    except LinkError as error:
                        problems.failures.append(error)
                    before, answered = answered, time.monotonic()
                    problems.kept_waiting |= answered - before > _QUIET_SECONDS
                    if problems.failures or ended.wait(_BUSY_SECONDS):
                        return

        worker = threading.Thread(target=work, name="first host")
        worker.start()
        try:
            yield problems
        finally:
            ended.set()
            worker.join()


@dataclass
class _Problems:
    """What a host at work met: failures, and whether anything kept it waiting for so long that it seemed to be gone."""

    failures: list[LinkError] = field(default_factory=list)
    kept_waiting: bool = False


def _needed_seconds(error: LinkError) -> float:
    """How much own time shows that an error is none of a loaded computer: half of the limit that it tells of."""
    limits = {OtherHost: _OTHER_HOST_SECONDS, LinkTimeout: _SHORTEST_SECONDS}
    return next((limit / 2 for kind, limit in limits.items() if isinstance(error, kind)), 0.0)


_KINDS = (
    *[Soak._flip] * 3,
    *[Soak._lose] * 2,
    *[Soak._double] * 2,
    Soak._delay,
    Soak._swap,
    Soak._reorder,
    Soak._wrong_baud_rate,
    Soak._noise,
    Soak._stuck_bit,
    Soak._echo,
    Soak._old_answer,
    Soak._old_request,
    Soak._foreign,
)
