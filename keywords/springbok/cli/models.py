# SPDX-License-Identifier: Apache-2.0
"""``./bench models``: the models that come with this project, with their inputs, outputs, and who made them.

``models/models.json`` says it: importing all of them would take minutes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from springbok.cli.text import print_table
from springbok.support.places import MODELS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(options: argparse.Namespace) -> int:
    """List them."""
    known = models()
    if options.json:
        print(json.dumps(known, indent=1))
        return 0
    header = ("model", "inputs", "outputs", "trained on", "made by", "bytes")
    print_table([header, *map(_row, known)], left=5)
    print(f"\nThey are in {MODELS}; models/README.md says more of some.")
    return 0


def models() -> list[dict[str, Any]]:
    """What there is to know of each: file, inputs, outputs, the data set it was trained on, its script, its size."""
    known = json.loads((MODELS / "models.json").read_text(encoding="utf-8"))
    return [{**each, "bytes": _size(MODELS / each["file"])} for each in known]


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    trained_on = model["trained_on"] or "nothing: seeded weights"
    tensors = (", ".join(model[kind]) for kind in ("inputs", "outputs"))
    return (model["file"], *tensors, trained_on, f"models/{model['made_by']}", f"{model['bytes']:,}")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
