# SPDX-License-Identifier: Apache-2.0
"""Data sets by name, and from the user's own files.

>>> load("basic_motions").inputs.shape
(40, 100, 6, 1)
>>> load("motions.csv", options=Options(label="class"))       # doctest: +SKIP

No function imports a framework; all give arrays that are ready for a model's input.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from springbok.data import own
from springbok.data.dataset import DEFAULT_SPLIT, Dataset
from springbok.data.own import Options
from springbok.data.packaged import PACKAGED
from springbok.support.errors import DatasetError

NAMES = tuple(PACKAGED)


def load(
    name: str | Path,
    split: str | None = None,
    data: Path | None = None,
    root: Path | None = None,
    download: bool = True,
    *,
    options: Options | None = None,
) -> Dataset:
    """Return a data set: one of `NAMES`, or the user's own, where ``name`` is a file, a folder or ``FILE.py:FUNCTION``.

    ``data``, ``root`` and ``download`` say where ``magic_wand`` comes from: see there. ``options`` say how own data
    are read: see `springbok.data.own.Options`; of a data set by name they may change its classes' order only.

    >>> load("basic_motions", split="train").name
    'basic_motions/train'
    """
    name, options = str(name), options or Options()
    if name in PACKAGED:
        if name != "magic_wand" and (data or root):
            raise DatasetError(f"{name} comes with a Python package and takes no path, but got {data or root}.")
        refused = options.changed(besides=("class_names", "model"))
        if refused:
            raise DatasetError(
                f"{name} is read as it is and takes no {', '.join(refused)}: these are for your own data."
            )
        split = split or DEFAULT_SPLIT
        found = (
            PACKAGED[name](data, split, root=root, download=download) if name == "magic_wand" else PACKAGED[name](split)
        )
        return found.with_classes(options.class_names) if options.class_names else found
    if not own.is_own(name):
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise DatasetError(
            f"There is no data set '{name}', and no file or folder {Path(name).absolute()}.{hint} Choose one of "
            f"{', '.join(NAMES)}, or give a path ({', '.join(own.KINDS)}, a folder) or FILE.py:FUNCTION."
        )
    if data or root:
        raise DatasetError(f"data= and root= are for magic_wand; {name} is read from where it is.")
    return own.load(name, replace(options, split=split))
