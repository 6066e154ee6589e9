# SPDX-License-Identifier: Apache-2.0
"""What IREE 3.13's code generation does wrongly, put right at the end of the phase `flow`, where kernels are formed.

Each fault has a file of its own: `strided_reads`, `narrow_stores`, `constant_terms`, `in_place_updates`,
`unfused_products`. Modules without them stay what they are, to the byte.

Example::

    if occur(flow_phase):
        rewrite(flow_phase, output)         # and go on with --compile-from=flow
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from springbok.compiler import constant_terms, in_place_updates, narrow_stores, strided_reads, unfused_products

if TYPE_CHECKING:
    from iree.compiler import ir

#: Goes into the keys of caches: other modules are made when it changes.
VERSION = (
    *(strided_reads.VERSION, narrow_stores.VERSION, constant_terms.VERSION, in_place_updates.VERSION),
    unfused_products.VERSION,
)


def occur(flow: str, every_store: bool = False) -> bool:
    """Whether the text of the phase `flow` may hold what is put right; ``every_store`` as in `narrow_stores`."""
    return in_place_updates.occur(flow) or unfused_products.occur(flow) or _surely_occur(flow, every_store)


def _surely_occur(flow: str, every_store: bool) -> bool:
    return strided_reads.occur(flow) or narrow_stores.occur(flow, every_store) or constant_terms.occur(flow)


def rewrite(flow: str, output: Path, name: str, every_store: bool = False) -> bool:
    """Writes the phase `flow`, given as text, to the file ``output`` as MLIR bytecode, with all of it put right.

    Tells whether there was anything to do. Raises :class:`CompileError` where that can't be done; ``name`` is what it
    calls the model.
    """
    changed = _surely_occur(flow, every_store)

    def put_right(module: ir.Module) -> None:
        nonlocal changed
        strided_reads.put_right(module, name)
        narrow_stores.put_right(module, every_store)
        constant_terms.put_right(module, name)
        changed |= in_place_updates.put_right(module, name)
        changed |= unfused_products.put_right(module)

    _rewrite(flow, output, put_right)
    return changed


def rewrite_terms(source: Path, output: Path, name: str) -> None:
    """Writes the module of the file ``source``, before its constants are computed, with `constant_terms` put right."""
    _rewrite(source.read_bytes(), output, lambda module: constant_terms.put_right(module, name))


def _rewrite(content: str | bytes, output: Path, put_right: Callable[[ir.Module], None]) -> None:
    from iree.compiler import ir

    from springbok.compiler.mlir import write

    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(content)
        put_right(module)
        write(module, output)
