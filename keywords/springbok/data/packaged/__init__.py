# SPDX-License-Identifier: Apache-2.0
"""Data sets that are there by name, each in a file of its own, and the one list of them.

All of it is real but the made-up speech of ``wake_word``, and all is split so that nothing of a test is ever seen in
training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from springbok.data.dataset import Dataset
from springbok.data.packaged import basic_motions, magic_wand, mnist, wake_word, watch

#: By name, what loads a split of it. Only ``magic_wand`` takes where it lies.
PACKAGED: dict[str, Callable[..., Dataset]] = {
    "basic_motions": basic_motions.basic_motions,
    "magic_wand": magic_wand.magic_wand,
    "watch": watch.watch,
    "mnist": mnist.mnist,
    "mnist_colour": partial(mnist.mnist, colour=True),
    "wake_word": wake_word.wake_word,
}
