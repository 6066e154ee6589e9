# SPDX-License-Identifier: Apache-2.0
"""The flags of `iree-compile`: what the runtime and the core need, what may be added, and what must not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence

from springbok.compiler import finishing, iree
from springbok.compiler.compiled import Target
from springbok.compiler.optimizer import Plan
from springbok.support.errors import CompileError
from springbok.support.suggestions import did_you_mean

#: Without these, IREE 3.12 and 3.13 compile a model without its weights and say nothing: the execution model
#: inline-dynamic loses constants that were packed or hoisted out of the kernels. With them the weights stay inside.
WEIGHT_FLAGS = {
    "--iree-flow-inline-constants-max-byte-length": "100000000",
    "--iree-opt-const-expr-hoisting": "false",
}

#: What the firmware's runtime is made for.
_RUNTIME_FLAGS = {
    "--iree-execution-model": "inline-dynamic",
    "--iree-hal-target-backends": "llvm-cpu",
    "--iree-vm-bytecode-module-strip-source-map": "true",
    "--iree-vm-emit-polyglot-zip": "false",
}

# Decided by this module or by the firmware, so nobody else may.
_FIXED_FLAGS = {
    "-o": "the module goes to the cache",
    "--compile-to": "the chip needs a whole module",
    "--compile-from": "the optimizer halves the compilation",
    "--output-format": "the chip needs a VMFB file",
    "--iree-execution-model": "the firmware runs inline-dynamic modules",
    "--iree-hal-target-backends": "the chip runs kernels of the backend llvm-cpu",
    "--iree-hal-target-device": "the chip runs kernels of the backend llvm-cpu",
    "--iree-input-demote-f64-to-f32": "the chip has no doubles, and IREE's own floor of them is empty there",
    "--iree-llvmcpu-vscale-range": "it follows the target's VLEN",
    "--dump-compilation-phases-to": "the compiler's phases are read here",
}


# What `iree-compile` does without them too, so that it may be said.
_DEFAULTS = {"--iree-input-demote-f64-to-f32": "true"}


def compiler_flags(
    target: Target, extra_flags: Sequence[str] = (), plan: Plan | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The flags for `iree-compile`, ``extra_flags`` applied; and notes about flags that were translated.

    ``plan`` is the optimizer's (default: stock IREE).

    Raises :class:`CompileError` for an extra flag that would drop the weights or that is not the caller's to set, and
    for a plan that was made for vectors of another length.
    """
    if plan and plan.vlen not in (None, target.vlen if target.vectors else 0):
        raise CompileError(
            f"The optimizer's plan is for VLEN {plan.vlen}, but the target has "
            f"{f'VLEN {target.vlen}' if target.vectors else 'no vectors'}: it would silently compute wrong numbers. "
            "Make the plan for the target (plan_for)."
        )
    flags = _RUNTIME_FLAGS | target.flags | WEIGHT_FLAGS | dict(plan.flags if plan else ())
    notes = []
    for given in extra_flags:
        flag, note = translated(given.strip())
        if note:
            notes.append(note)
        name, _, value = flag.partition("=")
        if name in WEIGHT_FLAGS and value != WEIGHT_FLAGS[name]:
            raise CompileError(
                f"The flag {flag} is refused: with anything but {name}={WEIGHT_FLAGS[name]} this compiler may make "
                "modules without the model's weights, and says nothing."
            )
        if name in _FIXED_FLAGS and value != flags.get(name, _DEFAULTS.get(name)):
            raise CompileError(f"The flag {flag} is refused: {_FIXED_FLAGS[name]}.")
        flags[name] = value
    written = tuple(f"{name}={value}" if value else name for name, value in flags.items())
    return finishing.with_names(written) if finishing.finisher() else written, tuple(notes)


def flags_of(text: str) -> tuple[str, ...]:
    """The flags in a text, as a shell takes it apart. Raises :class:`CompileError` for a quote without an end.

    >>> flags_of('--a=1 "--b=x y"')
    ('--a=1', '--b=x y')
    """
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise CompileError(f"The flags {text} can't be taken apart: a quote has no end.") from None


def check_flags(target: Target, flags: Sequence[str], known: Collection[str] | None = None) -> None:
    """Raise :class:`CompileError` for flags that would be refused, or that are none of ``known``.

    ``known`` are names without dashes (default: those of this compiler).
    """
    compiler_flags(target, flags)
    for flag in flags:
        name = translated(flag)[0].partition("=")[0].lstrip("-")
        known = iree.compiler_flag_names() if known is None else known
        if name not in known:
            raise CompileError(f"iree-compile has no flag --{name}{did_you_mean(name, known)}.")


def translated(flag: str) -> tuple[str, str]:
    """The flag with its dashes and its present name, and a note if that is another one."""
    # LLVM takes one dash as well as two, and flags are often written down without any.
    flag = flag.lstrip("-")
    flag = f"-{flag}" if flag.startswith("o=") else f"--{flag}"
    # IREE renamed iree-llvm-… to iree-llvmcpu-… in 2023, and MHLO gave way to StableHLO.
    present = re.sub(r"^--iree-llvm-", "--iree-llvmcpu-", flag)
    present = re.sub(r"^--iree-input-type=mhlo$", "--iree-input-type=stablehlo", present)
    return present, "" if present == flag else f"The flag {flag} is called {present} by now: translated."
