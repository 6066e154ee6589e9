# SPDX-License-Identifier: Apache-2.0
"""Writes a core's folder to fill in: wrapper, file list, ``core.toml``, ``chip.toml``."""

from __future__ import annotations

from pathlib import Path

from springbok.support.errors import RtlError
from springbok.support.files import write_in_one_step

TEMPLATE = Path(__file__).with_name("template")
FILES = ("core.sv", "files.f", "core.toml", "chip.toml")


def write(folder: Path) -> list[Path]:
    """Write the files; returns their paths. Raises RtlError where one is there already."""
    folder = Path(folder)
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise RtlError(f"{folder} has {', '.join(there)} already: name another folder, or remove them.")
    return [
        write_in_one_step(folder / name, (TEMPLATE / name).read_text(encoding="utf-8").replace("@NAME@", folder.name))
        for name in FILES
    ]
