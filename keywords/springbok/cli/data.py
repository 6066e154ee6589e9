# SPDX-License-Identifier: Apache-2.0
"""``./bench data``: the data sets that models are judged on, with their shapes, classes and samples."""

from __future__ import annotations

import argparse
import json
from typing import Any

from springbok.cli.text import print_table
from springbok.data import datasets
from springbok.support.errors import DatasetError
from springbok.support.suggestions import did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets (default: all)")
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def run(options: argparse.Namespace) -> int:
    """List them; nothing is downloaded for that."""
    for name in options.names:
        if name not in datasets.NAMES:
            raise DatasetError(
                f"There is no data set '{name}'{did_you_mean(name, datasets.NAMES)}: choose one of "
                f"{', '.join(datasets.NAMES)}."
            )
    described = [describe(name) for name in options.names or datasets.NAMES]
    if options.json:
        print(json.dumps(described, indent=1))
        return 0
    header = ("data set", "input", "test", "train", "classes")
    print_table([header, *(_row(each) for each in described)], left=2)
    for each in described:
        if each["error"]:
            print(f"\n{each['name']}: {each['error']}")
    return 0


def describe(name: str) -> dict[str, Any]:
    """What there is to know of a data set: its shape, classes and samples, or why it can't be had here."""
    known: dict[str, Any] = {"name": name, "shape": None, "type": None, "classes": [], "samples": {}, "error": None}
    try:
        for split in ("test", "train"):
            loaded = datasets.load(name, split, download=False)
            known |= {"shape": list(loaded.inputs.shape[1:]), "type": str(loaded.inputs.dtype)}
            known["classes"] = list(loaded.class_names)
            known["samples"][split] = len(loaded)
    except DatasetError as error:
        known["error"] = str(error)
    return known


def _row(known: dict[str, Any]) -> tuple[str, ...]:
    if known["error"]:
        return (known["name"], "not here", "", "", "")
    shape = " x ".join(map(str, known["shape"]))
    counts = (f"{known['samples'][split]:,}" for split in ("test", "train"))
    return (known["name"], f"{known['type']} {shape}", *counts, f"{len(known['classes'])}: {_some(known['classes'])}")


def _some(names: list[str], most: int = 8) -> str:
    rest = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
