# SPDX-License-Identifier: Apache-2.0
"""Kernels on the simulated chip that do what no kernel may: stopped with the cause, and the chip goes on."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

import hostile_modules
import numpy as np
import pytest

from springbok.modules.vmfb import kernels_code
from springbok.session import Session
from springbok.support.errors import DeviceError
from springbok.trials import machine_code

INPUT = np.arange(8, dtype=np.float32)
A0 = 10


def with_code(*words: int) -> bytes:
    """The model whose first kernel begins with these instructions."""
    module = hostile_modules.double()
    start = kernels_code(module).start
    return module[:start] + struct.pack(f"<{len(words)}I", *words) + module[start + 4 * len(words) :]


def store_to(address: int) -> bytes:
    return with_code(machine_code.load_upper(A0, address), machine_code.store(A0, address))


@pytest.fixture(scope="module")
def contained() -> Iterator[Session]:
    session = Session()
    try:
        session.boot("spike")
        session.connect().negotiate(time_limit=0.02)
        yield session
    finally:
        session.shut_down()


def run(session: Session, module: bytes) -> np.ndarray:
    link = session.need_link()
    link.load_model(module)
    return np.frombuffer(link.infer(INPUT.tobytes()), np.float32)


def good(session: Session) -> bool:
    return np.array_equal(run(session, hostile_modules.double(session.chip.has_vectors)), 2 * INPUT)


def test_the_chip_says_that_it_contains_kernels(contained):
    assert contained.chip.contains_kernels
    assert good(contained)


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        (store_to(0x32000000), "TRAP", "mcause 7 (store access fault)"),  # the firmware's code
        (store_to(0x34000A00), "TRAP", "mcause 7 (store access fault)"),  # its variables
        (store_to(0x34002000), "TRAP", "mcause 7 (store access fault)"),  # the module
        (store_to(0x34FFFFF0), "TRAP", "mcause 7 (store access fault)"),  # the firmware's part of the stack
        (store_to(0x40000000), "TRAP", "mcause 7 (store access fault)"),  # the UART
        (store_to(0x02004000), "TRAP", "mcause 7 (store access fault)"),  # the timer
        (store_to(0x4700000C), "TRAP", "mcause 7 (store access fault)"),  # the control block
        (with_code(0x30047073), "TRAP", "mcause 2 (illegal instruction)"),  # csrrci mstatus
        (with_code(0x30200073), "TRAP", "mcause 2 (illegal instruction)"),  # mret
        (with_code(0x00000073), "TRAP", "mcause 8 (environment call)"),
        (with_code(0x0000307B), "TRAP", "mcause 2 (illegal instruction)"),  # finish
        (with_code(0x0000207B), "TRAP", "mcause 2 (illegal instruction)"),  # hostreq
        (with_code(0x0000006F), "TIME_LIMIT", "20 ms"),  # for ever
    ],
    ids=["code", "variables", "module", "stack", "uart", "timer", "control", "csr", "mret", "ecall", "finish",
         "hostreq", "loop"],
)  # fmt: skip
def test_what_no_kernel_may_do_is_stopped_with_its_cause(contained, module, name, message):
    with pytest.raises(DeviceError) as caught:
        run(contained, module)
    assert caught.value.name == name
    assert message in caught.value.message
    assert good(contained)


@pytest.mark.parametrize(("vlen", "protection"), [(512, False), (0, False), (0, True)])
def test_other_chips_say_what_they_have_and_compute_the_same(vlen, protection):
    session = Session()
    try:
        session.boot("spike", vlen=vlen, protection=protection)
        session.connect()
        assert session.chip.contains_kernels == protection
        assert good(session)
    finally:
        session.shut_down()


def test_damaged_machine_code_leaves_the_chip_alive(contained):
    random = np.random.default_rng(5)
    for _ in range(40):
        content, damage = machine_code.damaged(hostile_modules.double(), random)
        with contextlib.suppress(DeviceError):
            run(contained, content)
        assert good(contained), damage
