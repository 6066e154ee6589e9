# SPDX-License-Identifier: Apache-2.0
"""Modules of older compilers, of which the runtime takes the kernels but not the rest.

What calls the kernels, the bytecode of IREE's VM, is of another version before 3.11 (16.0 and less), and 3.11.0 fails
to make it: its pass `iree-util-combine-initializers` can't inline the branch that the mode inline-dynamic puts into the
module's initializer. Kernels are made by then, and their ABI is the same. So an older compiler goes as far as the phase
`hal`, and the pinned one makes the module of that: kernels are the older one's, byte for byte.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from springbok.modules.vmfb import kernel_names
from springbok.support.errors import ModelError

#: Names the `iree-compile` that finishes modules, in the environment of a process that works with an older version.
VARIABLE = "SPRINGBOK_FINISHING_COMPILER"
#: And the `iree-run-module` that runs them on this machine.
RUNTIME_VARIABLE = "SPRINGBOK_FINISHING_RUNTIME"
#: The first version whose whole modules the runtime takes.
FIRST_WHOLE = (3, 12)
_OF_CHIPS = "--iree-execution-model=inline-dynamic"
# Without them these versions leave out the kernels' names, by which dispatches are known.
_SYMBOLS = "--iree-llvmcpu-debug-symbols"


def is_needed(version: str) -> bool:
    """Whether the runtime can't take whole modules of this version of the compiler.

    >>> is_needed("3.11.0"), is_needed("3.12.0"), is_needed("3.13.0rc20260801")
    (True, False, False)
    """
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < FIRST_WHOLE


def with_names(flags: Sequence[str]) -> tuple[str, ...]:
    """The flags with what makes these versions write the kernels' names."""
    return (*(flag for flag in flags if not flag.startswith(f"{_SYMBOLS}=")), f"{_SYMBOLS}=true")


def finisher(flags: Sequence[str] = (_OF_CHIPS,)) -> Path | None:
    """The compiler that finishes modules, where it is not the one that begins them.

    That is so with the flags of a chip's modules. Others, which only this machine runs, are whole as they are made.
    """
    path = os.environ.get(VARIABLE)
    return Path(path) if path and _OF_CHIPS in flags else None


def runtime() -> Path | None:
    """What runs modules of this machine that were finished so."""
    path = os.environ.get(RUNTIME_VARIABLE)
    return Path(path) if path else None


def for_another(content: bytes) -> str:
    """The module of the phase `hal` in the form that a newer compiler reads."""
    from iree.compiler import ir

    with ir.Context():
        module = ir.Module.parse(content)
        text = module.operation.get_asm(print_generic_op_form=True)
    elves = [bytes.fromhex(digits) for digits in _ELF.findall(text)]
    try:
        names = kernel_names(elves[0]) if len(elves) == 1 else ()
    except ModelError:  # kernels for this machine
        names = ()
    return with_names_looked_up(text, names)


_ELF = re.compile(r'dense<"0x(7F454C46[0-9A-F]+)">')
_INDEX = re.compile(r'^ *(%\S+) = "arith\.constant"\(\) <\{value = (\d+) : index\}>', re.MULTILINE)
_DISPATCH = re.compile(
    r'^( *)"hal_loader\.executable\.dispatch"\((%\S+), (%\S+), (.*) : \(!hal\.executable, index, ', re.MULTILINE
)


def with_names_looked_up(text: str, names: Sequence[str] = ()) -> str:
    """The same with kernels called as newer versions do: by a 64-bit number, looked up by the kernel's name.

    Without ``names``, which are by ordinal, the number is the ordinal.

    >>> print(with_names_looked_up('''%1 = "arith.constant"() <{value = 0 : index}> : () -> index
    ... "hal_loader.executable.dispatch"(%0, %1, %2) : (!hal.executable, index, index) -> ()'''))
    %1 = "arith.constant"() <{value = 0 : index}> : () -> index
    %kernel_0 = "arith.constant"() <{value = 0 : i64}> : () -> i64
    "hal_loader.executable.dispatch"(%0, %kernel_0, %2) : (!hal.executable, i64, index) -> ()
    """
    values = dict(_INDEX.findall(text))
    count = 0

    def called(found: re.Match) -> str:
        nonlocal count
        indent, executable, ordinal, rest = found.groups()
        kernel, number = f"%kernel_{count}", int(values[ordinal])
        count += 1
        if names:
            point = f"<{{entry_point = @of::@code::@{names[number]}}}>"
            known = f'"hal_loader.executable.lookup.function"({executable}) {point} : (!hal.executable) -> i64'
        else:
            known = f'"arith.constant"() <{{value = {number} : i64}}> : () -> i64'
        call = f'"hal_loader.executable.dispatch"({executable}, {kernel}, {rest} : (!hal.executable, i64, '
        return f"{indent}{kernel} = {known}\n{indent}{call}"

    return _DISPATCH.sub(called, text)
