# SPDX-License-Identifier: Apache-2.0
"""A folder of made-up movements in the form of the Magic Wand recordings, which tests can't download."""

import math

WHO = ("liucx", "zhangxy", "ann")
NEGATIVES = ("negative_1", "negative_2", "negative_ccw_2", "negative_3")


def write_recordings(folder):
    """Write a recording of each gesture by each person, and the negatives; returns the folder."""
    names = [f"{gesture}_{who}" for gesture in ("wing", "ring", "slope") for who in WHO]
    folder.mkdir()
    for number, name in enumerate((*names, *NEGATIVES), 1):
        steps = [[900 * math.sin(step * number * axis / 90) for axis in (1, 2, 3)] for step in range(128)]
        lines = ["-,-,-", *(",".join(f"{value:.1f}" for value in step) for step in steps)]
        (folder / f"output_{name}.txt").write_text("\n".join(lines) + "\n")
    return folder
