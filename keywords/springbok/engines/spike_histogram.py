# SPDX-License-Identifier: Apache-2.0
"""The simulator's counts without its helper in C++: Spike's own histogram, kept apart in Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

from springbok.chips.chip import SPIKE_VERSION
from springbok.engines.base import Site
from springbok.engines.spike_core import SpikeCore, spike_functions
from springbok.engines.windows import Configuration, Instruction, KernelCode, Part, Place

_OFFSET_PC_HISTOGRAM = 7728  # in processor_t, for exactly SPIKE_VERSION


class PcHistogram:
    """Spike's own count of executions by PC, kept apart by place and vector configuration.

    Spike counts in one ``std::unordered_map``. Its header (seven words) is exchanged for another key's: that costs
    nothing, where reading the whole map at each mark would. The nodes stay where they are and are read once, when
    a place is drained. ``times_counted(word)`` is how often Spike counts one execution of a word.
    """

    _WORDS = 7
    _ONE_FLOAT = 0x3F800000

    def __init__(self, core: SpikeCore, times_counted: Callable[[int], int]) -> None:
        self._core = core
        self._times_counted = times_counted
        self._words_at: dict[int, tuple[int, int]] = {}  # what was read from memory, and how often it is counted
        self._mask = core.mask
        self._header = (ctypes.c_uint64 * self._WORDS).from_address(core.address + _OFFSET_PC_HISTOGRAM)
        # Buckets (the one inside the header), their number, first node, size, load factor, next resize, the bucket.
        self._empty = (ctypes.addressof(self._header) + 48, 1, 0, 0, self._ONE_FLOAT, 0, 0)
        found = list(self._header)
        found[4] &= 0xFFFFFFFF  # the rest is padding
        if tuple(found) != self._empty:
            raise SystemExit("Spike's histogram is not where version " + SPIKE_VERSION + " has it.")
        self._set_enabled = spike_functions()._ZN11processor_t13set_histogramEb
        self._headers: dict[tuple[Place, Configuration], tuple[int, ...]] = {}
        self._configurations: dict[Place, set[Configuration]] = {}  # of what was counted since it was drained
        self._place: Place | None = None
        self._key: tuple[Place, Configuration] | None = None
        self._configuration: Configuration = (0, 0)
        # All of this process's memory as 64-bit words, to read the map's nodes; address a is words[(a - 8) >> 3].
        self._words = memoryview((ctypes.c_char * (1 << 47)).from_address(8)).cast("B").cast("Q")

    def enable(self, on: bool) -> None:
        """Let Spike count, or not."""
        self._set_enabled(self._core.address, on)

    def configure(self, vl: int, vtype: int) -> None:
        """Note that the core has a new vector configuration from here on."""
        self._configuration = (vl, vtype)
        if self._place is not None:
            self.select(self._place)

    def select(self, place: Place | None) -> None:
        if self._key is not None:
            self._headers[self._key] = tuple(self._header)
        self._place = place
        self._key = None if place is None else (place, self._configuration)
        if place is not None:
            self._configurations.setdefault(place, set()).add(self._configuration)
        self._header[:] = self._headers.get(self._key, self._empty)
        self.enable(place is not None)

    def drain(
        self, place: Place, kernels: KernelCode, name: Callable[[int, Part], Instruction]
    ) -> Iterator[tuple[Configuration, Instruction, int]]:
        for configuration in self._configurations.pop(place, ()):
            for pc, executions in self._nodes((place, configuration)):
                word, times = self._at(pc)
                yield configuration, name(word, kernels.part(pc)), executions // times

    def sites(self, place: Place) -> Iterator[Site]:
        for configuration in self._configurations.get(place, ()):
            for pc, executions in self._nodes((place, configuration), forgets=False):
                word, times = self._at(pc)
                yield Site(pc, word, *configuration, executions // times)

    def forget_code(self) -> None:
        self._words_at.clear()

    def clear(self) -> None:
        for place, configurations in self._configurations.items():
            for configuration in configurations:
                for _ in self._nodes((place, configuration)):
                    pass
        self._configurations.clear()

    def _at(self, pc: int) -> tuple[int, int]:
        """The word there, and how often Spike counts one execution of it."""
        if pc not in self._words_at:
            word = self._core.instruction_at(pc)
            self._words_at[pc] = (word, self._times_counted(word))
        return self._words_at[pc]

    def _nodes(self, key: tuple[Place, Configuration], forgets: bool = True) -> Iterator[tuple[int, int]]:
        """PC and count of each node of a map; they are 0 from then on if it ``forgets`` them."""
        words = self._words
        node = self._headers.get(key, self._empty)[2]
        while node:  # next node, PC, count
            index = (node - 8) >> 3
            count = words[index + 2]
            if count:
                if forgets:
                    words[index + 2] = 0
                yield words[index + 1] & self._mask, count
            node = words[index]
