# SPDX-License-Identifier: Apache-2.0
"""Hosts of all protocols in turns on one line, killed anywhere: none believes another's answer.

After a silence each kind is served from its first request on. The service is a process with a made-up runtime and
clock; what it answers to each part of a script comes with a mark behind it.
"""

from __future__ import annotations

import os
import random
from types import SimpleNamespace

import client_2026 as kenning
import pytest
from line_hosts import ALIKE, HOSTS, NETS, Host, Part
from service_device import Device, Recording, Request, device_of, hello
from test_extension import ServiceProcess
from test_service_host import (
    DATA,
    INFO,
    IOSPEC,
    MODEL,
    OK,
    OUTPUT,
    PROCESS,
    frame,
    service_program,  # noqa: F401 (a fixture)
    split_frames,
)

from springbok.link.frames import MessageType
from springbok.link.link import Link
from springbok.support.errors import DeviceError, LinkError

SILENCE_US = 4_000_000  # longer than any frame or command may stall
TURNS = 40
KILL_ODDS = 12  # one request in so many
QUIET_US = 1_000_001
FIRST, SECOND = NETS
SAMPLE = bytes(range(10, 18))


class Line:
    """A device and the hosts that are there: all of them hear what it answers to anyone."""

    def __init__(self, device: Device, seed: int) -> None:
        self._device = device
        self._choose = random.Random(seed)
        self._hosts: dict[str, SimpleNamespace] = {}

    def _part(self, strict: bool = False) -> Part:
        return Part(self._choose.choice(NETS), self._choose, self._choose.randint(1, 2), strict)

    def _play(self, part: bytes | int) -> None:
        heard = self._device.play(part)
        for each in self._hosts.values():
            each.heard += heard

    def _come(self) -> None:
        there = [alike for alike in ALIKE if alike & self._hosts.keys()]
        kinds = [kind for kind in HOSTS if not any(kind in alike for alike in there)]
        kind = self._choose.choice(kinds)
        self._hosts[kind] = SimpleNamespace(turns=HOSTS[kind](self._part()), heard=b"", has_begun=False)

    def _step(self, kind: str) -> None:
        host = self._hosts[kind]
        heard, host.heard = host.heard if host.has_begun else None, b""
        host.has_begun = True
        try:
            action = host.turns.send(heard)
        except StopIteration:
            del self._hosts[kind]
            return
        if isinstance(action, bytes) and self._choose.randrange(KILL_ODDS) == 0:
            del self._hosts[kind]
            action = action[: self._choose.randrange(1, len(action))]
        self._play(action if isinstance(action, bytes) else min(action, self._choose.choice((1000, 300_000, action))))

    def alternate(self) -> None:
        """Hosts come, take turns of several requests, end, and are killed in the middle of one."""
        most = self._choose.choice((1, 3))
        bursts = self._choose.choice(((1,), (1, 2, 4, 8, 12)))
        for _ in range(TURNS):
            if not self._hosts or (len(self._hosts) < most and self._choose.randrange(6) == 0):
                self._come()
            if self._choose.randrange(15) == 0:
                self._play(self._choose.choice((1000, 60_000, 200_000, 1_200_000)))
            kind = self._choose.choice(list(self._hosts))
            for _ in range(self._choose.choice(bursts)):
                if kind in self._hosts:
                    self._step(kind)
        self._hosts.clear()

    def each_alone(self) -> None:
        """Each kind of host, after a silence; the extension's tells the others of itself for a second."""
        for kind in self._choose.sample(list(HOSTS), len(HOSTS)):
            self._device.play(SILENCE_US)
            alone(self._device, HOSTS[kind](self._part(strict=True)))


def alone(device: Device, host: Host) -> None:
    """A host does all that it has to do."""
    heard = None
    while True:
        try:
            heard = device.play(host.send(heard))
        except StopIteration:
            return


@pytest.mark.parametrize("seed", range(int(os.environ.get("SPRINGBOK_CROSS_SEEDS", "25"))))
def test_no_host_believes_anothers_answer_and_each_is_served_after_a_silence(service_program, seed):  # noqa: F811
    with device_of(service_program) as device:
        line = Line(device, seed)
        line.alternate()
        line.each_alone()


# ---- What was found so


SPECIFIED = {
    "base": [frame(IOSPEC, FIRST.spec_2023)],
    "Kenning of 2026": [kenning.open_dialogue(), kenning.request(kenning.IO_SPEC, FIRST.spec_2026)],
    "extension": [hello(7), Request(7, 2, MessageType.IOSPEC, FIRST.spec_2023)],
}


@pytest.mark.parametrize("first", SPECIFIED)
@pytest.mark.parametrize("second", ["base", "extension", "Kenning of 2026"])
def test_a_specification_is_its_hosts_own(service_program, first, second):  # noqa: F811
    """The next host's model has another one, and nobody has to say what his is."""
    part = Part(SECOND, random.Random(1), 1, strict=True)
    with device_of(service_program) as device:
        line = Recording(device)
        for request in SPECIFIED[first]:
            line.send(request)
        device.play(SILENCE_US)
        alone(device, HOSTS[second](part))


OTHERS = {
    "extension": [hello(7), Request(7, 2, MessageType.INFER, bytes(8)), QUIET_US],
    "runner": [b"db load 8%", b"db 0000000000000000%", b"infer 1 0%"],
    "Kenning of 2026": [
        kenning.open_dialogue(),
        kenning.request(kenning.DATA, bytes(8)),
        kenning.request(kenning.PROCESS),
    ],
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("before", [[frame(DATA, SAMPLE)], [frame(DATA, SAMPLE), frame(PROCESS)]])
def test_what_another_host_has_computed_is_not_given_as_ones_own(service_program, other, before):  # noqa: F811
    with device_of(service_program) as device:
        line = Recording(device)
        for part in (frame(MODEL, FIRST.image), *before, *OTHERS[other]):
            line.send(part)
        assert split_frames(device.play(frame(INFO)))[0].type == OK  # begins a dialogue, and keeps the model
        for kind in (PROCESS, OUTPUT):
            assert split_frames(device.play(frame(kind)))[0].error.startswith("SESSION_STATE")
        for kind, payload in ((DATA, SAMPLE), (PROCESS, b""), (OUTPUT, b"")):
            (answer,) = split_frames(device.play(frame(kind, payload)))
        assert answer == (OK, FIRST.answer(SAMPLE))


def test_the_device_counts_the_models_that_it_has_loaded(service_program):  # noqa: F811
    def count() -> int:
        return split_frames(device.play(frame(INFO)))[0].info[10]

    with device_of(service_program) as device:
        assert count() == 0
        device.play(frame(MODEL, FIRST.image))
        assert count() == 1
        device.play(frame(MODEL, b"no model"))
        line = Recording(device)
        for request in (hello(7), Request(7, 2, MessageType.MODEL, SECOND.image)):
            line.send(request)
        device.play(QUIET_US)
        assert count() == 2


def test_a_host_of_the_base_is_told_that_the_model_is_anothers(service_program):  # noqa: F811
    other = kenning.open_dialogue() + kenning.request(kenning.MODEL, SECOND.image)
    with ServiceProcess(service_program) as service, Link(service.url) as link:
        link.negotiate(extension=False)
        link.load_model(FIRST.image)
        assert link.infer(SAMPLE) == FIRST.answer(SAMPLE)
        link.send_raw(other)
        for _ in range(2):
            with pytest.raises(LinkError, match="another host has loaded a model since"):
                link.infer(SAMPLE)
        link.load_model(FIRST.image)
        assert link.infer(SAMPLE) == FIRST.answer(SAMPLE)
        link.negotiate()
        link.load_model(SECOND.image)
        link.negotiate(extension=False)
        assert link.infer(SAMPLE) == SECOND.answer(SAMPLE)  # this host's own
        with pytest.raises(DeviceError):
            link.load_model(b"no model")
        with pytest.raises(DeviceError, match="SESSION_STATE"):
            link.infer(SAMPLE)
