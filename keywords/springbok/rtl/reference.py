# SPDX-License-Identifier: Apache-2.0
"""The reference alone (native/golden.cpp): its configuration, and whether Spike knows an ISA.

As a program, ``python -m springbok.rtl.reference LIBRARY ISA PRIVILEGE`` makes one: Spike ends the process of an ISA
that it does not know.
"""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_char_p, c_uint32, c_void_p
from pathlib import Path

from springbok.rtl.core import ALL, CsrRule
from springbok.support.process import run


class _Range(Structure):
    _fields_ = (("base", c_uint32), ("bytes", c_uint32))


class _Rule(Structure):
    _fields_ = tuple(
        (name, c_uint32) for name in ("address", "keep", "always", "compared", "reset", "has_reset", "absent")
    )


class Config(Structure):
    """golden_config_t of native/retired.h; `config` makes one."""

    _fields_ = (
        *(("isa", c_char_p), ("privilege", c_char_p), ("start", c_uint32)),
        *(("memories", POINTER(_Range)), ("devices", POINTER(_Range))),
        *((name, c_uint32) for name in ("memory_count", "device_count")),
        *(("rules", POINTER(_Rule)), ("rule_count", c_uint32), ("stores_on_bus", c_uint32)),
        *(("device_read", c_void_p), ("owner", c_void_p)),
    )


def config(
    isa: str, privilege: str, start: int, memories: Sequence[tuple[int, int]], devices: Sequence[tuple[int, int]] = (),
    rules: Sequence[CsrRule] = (), stores_on_bus: bool = False,
) -> Config:  # fmt: skip
    """A configuration; memories and devices are (base, bytes)."""
    places = [(_Range * max(1, len(each)))(*(_Range(*one) for one in each)) for each in (memories, devices)]
    own = (_Rule * max(1, len(rules)))(
        *(
            _Rule(
                *(each.address, each.keep, each.always, each.compared & ALL),
                *(each.reset or 0, each.reset is not None, each.is_absent),
            )
            for each in rules
        )
    )
    return Config(
        isa.encode(), privilege.encode(), start, *places, len(memories), len(devices), own, len(rules),
        int(stores_on_bus), None, None,
    )  # fmt: skip


@functools.cache
def refusal(library: Path, isa: str, privilege: str) -> str | None:
    """What Spike says of an ISA that it does not take, else None."""
    done = run([sys.executable, "-m", "springbok.rtl.reference", str(library), isa, privilege])
    if done.exit_code == 0:
        return None
    said = re.search(r"error: (?:bad --\w+ option .*?\. )?(.*)", done.output)
    return said[1].strip() if said else None


def main() -> None:
    """See the module."""
    library, isa, privilege = sys.argv[1:]
    native = ctypes.CDLL(library)
    native.golden_new.restype = c_void_p
    native.golden_new(ctypes.byref(config(isa, privilege, 0, [(0, 4096)])))


if __name__ == "__main__":
    main()
