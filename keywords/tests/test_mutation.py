# SPDX-License-Identifier: Apache-2.0
"""The mutation soak without a chip: the damage that it does, and how it judges what a chip does with it."""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny_models import dense_vmfb

from springbok.support.errors import DeviceError, EngineError, LinkTimeout
from springbok.tensors import TensorSpec
from springbok.trials import conformance, mutation
from springbok.trials.mutation import Case, Summary, Verdict, damaged, soak

OUTPUT = np.float32([[1.0, 2.0]])


def test_same_seed_same_damage():
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert [damaged(dense_vmfb(), first) for _ in range(20)] == [damaged(dense_vmfb(), second) for _ in range(20)]


def test_damage_is_where_it_is_said_to_be():
    data, random = dense_vmfb(), np.random.default_rng(1)
    elf = data.index(b"\x7fELF")
    kinds, regions = set(), set()
    for _ in range(400):
        content, damage, in_kernels = damaged(data, random)
        assert len(content) <= len(data) + 64
        same = next((at for at, (a, b) in enumerate(zip(content, data, strict=False)) if a != b), len(content))
        assert not in_kernels or same >= elf
        assert in_kernels or same < elf or content == data
        kinds.add(damage.split()[0] if not damage[0].isdigit() else damage.split()[2])
        regions.add(in_kernels)
    assert kinds == {"bits", "at", "truncated", "of"}
    assert regions == {True, False}


class FakeLink:
    """Answers to the damaged module with the next of ``answers``: an exception to raise, or None."""

    def __init__(self, answers: list) -> None:
        self.answers = answers

    def negotiate(self, time_limit: float | None = None) -> None:
        pass

    def unload(self) -> None:
        pass

    def load_model(self, content: bytes, timeout: float) -> None:
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer

    def infer(self, payload: bytes, timeout: float) -> bytes:
        return b""


class FakeSession:
    """A chip that gives ``outputs`` for the undamaged module, one after the other, and stays at ``pc``."""

    def __init__(self, answers: list, outputs: list, pc: int = 0x32000000) -> None:
        self.link, self.outputs, self.pc, self.resets, self.model = FakeLink(answers), outputs, pc, 0, None

    def need_link(self) -> FakeLink:
        return self.link

    def need_engine(self):
        return SimpleNamespace(registers=lambda: {"pc": self.pc})

    def reset(self) -> None:
        self.resets += 1

    def load_model(self, model) -> None:
        self.model = model

    def infer(self, *inputs, timeout: float) -> list:
        return [self.outputs.pop(0)]


@pytest.fixture
def base(monkeypatch, tmp_path):
    path = tmp_path / "m.vmfb"
    path.write_bytes(dense_vmfb())
    spec = TensorSpec("y", (2,), "float32")
    model = SimpleNamespace(name="m", vmfb=path, inputs=(spec,), outputs=(spec,))
    case = conformance.Case(model, [OUTPUT], [OUTPUT])
    monkeypatch.setattr(mutation, "BASES", ("m",))
    monkeypatch.setattr(conformance, "prepare", lambda source, target: case)


def test_refusals_and_answers_are_well(base):
    session = FakeSession([DeviceError(0x301, "ARCHIVE_FORMAT", "not a VMFB"), None], [OUTPUT[0], OUTPUT[0]])
    summary = soak(session, 2, 1)
    assert [case.verdict for case in summary.cases] == [Verdict.REFUSED, Verdict.ANSWERED]
    assert summary.cases[0].reason == "ARCHIVE_FORMAT"
    assert summary.failures == []
    assert session.resets == 0


def test_a_silent_chip_is_a_failure_and_is_reset(base):
    session = FakeSession([LinkTimeout("No whole answer to MODEL")], [OUTPUT[0]])
    (case,) = soak(session, 1, 1).failures
    assert "No whole answer" in case.reason
    assert session.resets == 1


def test_a_chip_that_is_silent_inside_a_kernel_is_counted_apart(base):
    summary = soak(FakeSession([LinkTimeout("No whole answer")], [OUTPUT[0]], pc=0x34001000), 1, 1)
    assert [case.verdict for case in summary.cases] == [Verdict.KERNEL_LOOP]
    assert summary.failures == []


def test_a_wrong_answer_of_the_undamaged_module_is_not_well(base):
    summary = soak(FakeSession([None, None, None], [OUTPUT[0] + 1, OUTPUT[0]] * 3), 3, 1)
    expected = [Verdict.KERNEL_DAMAGE if case.in_kernels else Verdict.FAILURE for case in summary.cases]
    assert [case.verdict for case in summary.cases] == expected


def test_a_chip_that_a_reset_does_not_mend_ends_the_soak(base):
    with pytest.raises(EngineError, match="even a reset chip does not work"):
        soak(FakeSession([LinkTimeout("silence")], [OUTPUT[0] + 1]), 1, 1)


def test_table():
    summary = Summary(7)
    for number, in_kernels in enumerate((False, True, True)):
        summary.cases.append(Case(number, "m", "bits at 1", in_kernels, Verdict.REFUSED, "TRAP"))
    summary.cases.append(Case(3, "m", "bits at 2", False, Verdict.FAILURE, "silence"))
    lines = [line.split() for line in summary.table().splitlines()]
    assert lines[2] == ["refused:", "TRAP", "1", "2", "3"]
    assert lines[3] == ["failure", "1", "0", "1"]
    assert summary.table().endswith("case 3: m, bits at 2: failure: silence")
