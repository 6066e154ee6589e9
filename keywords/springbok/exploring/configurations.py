# SPDX-License-Identifier: Apache-2.0
"""The configurations of a sweep: every combination of models, number types, code variants, vector lengths and flags.

>>> [each.label for each in configurations([Path("m.h5")], types=("int8",), vlens=(256, 512))]    # doctest: +SKIP
['m int8 vector VLEN 256', 'm int8 vector VLEN 512', 'm int8 scalar']
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from springbok.chips.description import load
from springbok.compiler import importers
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR
from springbok.compiler.flags import check_flags, flags_of
from springbok.compiler.importers.selection import Selection
from springbok.compiler.judgement import Tolerance
from springbok.compiler.optimizer import DEFAULT_LEVEL, LEVELS
from springbok.data import datasets
from springbok.data.dataset import Dataset
from springbok.support.cache import Cache
from springbok.support.errors import BenchError
from springbok.support.suggestions import did_you_mean

TYPES, VARIANTS = ("float32", "int8"), ("vector", "scalar")
AS_IT_CAME = "as it came"  # the type of a model that is no Keras model: it is not quantised here
KERAS_SUFFIXES = (".h5", ".keras")
SCALAR_VLEN = 512  # code without vectors is the same for every length; a chip that has it is made with this one


class SweepError(BenchError):
    """A sweep can't be started, or the workers can't do it."""


@dataclass(frozen=True)
class Configuration:
    """One point of the sweep. ``flags`` are flags for `iree-compile`, separated by spaces.

    ``shape``, ``signature`` and ``tolerance`` are as `springbok.compiler.compiler.compile_and_check` takes them.
    """

    model: str
    type: str = "float32"
    variant: str = "vector"
    vlen: int = 512
    flags: str = ""
    dataset: str = "basic_motions"
    samples: int | None = None
    optimize: str = DEFAULT_LEVEL
    shape: str | None = None
    signature: str | None = None
    tolerance: str | None = None

    @property
    def selection(self) -> Selection:
        """What of the model file is meant."""
        return Selection.of(self.shape, self.signature)

    @property
    def label(self) -> str:
        """Such as ``gestures int8 vector VLEN 512 --flag=1``."""
        return label_of(Path(self.model).stem, self.type, self.variant, self.vlen, self.optimize, self.flags)


def label_of(model: str, kind: str, variant: str, vlen: int, level: str, flags: str) -> str:
    """What a configuration of a model is called, by what it is.

    >>> label_of("gestures", "int8", "vector", 512, DEFAULT_LEVEL, "--flag=1")
    'gestures int8 vector VLEN 512 --flag=1'
    """
    width = f"VLEN {vlen}" if variant == "vector" else ""
    named_level = f"optimize={level}" if level != DEFAULT_LEVEL else ""
    return " ".join(filter(None, (model, kind if kind != AS_IT_CAME else "", variant, width, named_level, flags)))


def configurations(
    models: Sequence[Path],
    *,
    types: Sequence[str] = TYPES,
    variants: Sequence[str] = VARIANTS,
    vlens: Sequence[int] | None = None,
    flags: Sequence[str] = ("",),
    optimize: Sequence[str] = (DEFAULT_LEVEL,),
    dataset: str = "basic_motions",
    samples: int | None = None,
    shape: str | None = None,
    signature: str | None = None,
    tolerance: str | None = None,
) -> list[Configuration]:
    """Every combination, in order; scalar code once for all vector lengths, and models that are no Keras models in one
    type. ``vlens`` are all of the run's chip unless given. Raises `SweepError` for what is unknown, and for int8 alone
    where no model can be quantised."""
    known_vlens = load().vlens or (0,)
    vlens = known_vlens if vlens is None else vlens
    if 0 in vlens:
        variants = [each for each in variants if each != "vector"]
    for what, given, known in (
        ("type", types, TYPES),
        ("variant", variants, VARIANTS),
        ("VLEN", vlens, known_vlens),
        ("optimisation level", optimize, tuple(LEVELS)),
    ):
        for each in given:
            if each not in known:
                hint = did_you_mean(str(each), map(str, known)) if what != "VLEN" else ""
                raise SweepError(
                    f"There is no {what} '{each}' to sweep over{hint}; known: {', '.join(map(str, known))}."
                )
    if [*types] == ["int8"] and not any(Path(model).suffix in KERAS_SUFFIXES for model in models):
        raise SweepError(
            f"Only Keras models ({', '.join(KERAS_SUFFIXES)}) are quantised here: others are measured as they come."
        )
    for model in models:
        importers.files_of(model)  # raises for what is not there
    found = [
        Configuration(str(Path(model).resolve()), *rest, dataset, samples, level, shape, signature, tolerance)
        for model, *rest, level in itertools.product(models, types, variants, vlens, flags, optimize)
    ]
    unique = dict.fromkeys(map(_without_idle_choices, found))
    if not unique:
        raise SweepError("Nothing to sweep over: each of models, types, variants, vlens and flags needs a value.")
    return list(unique)


def _without_idle_choices(configuration: Configuration) -> Configuration:
    """The same configuration, with what makes no difference to it at one value."""
    if configuration.variant == "scalar":
        chip = load()
        configuration = replace(configuration, vlen=SCALAR_VLEN if SCALAR_VLEN in chip.vlens else chip.vlen)
    if Path(configuration.model).suffix not in KERAS_SUFFIXES:
        configuration = replace(configuration, type=AS_IT_CAME)
    return configuration


def check(wanted: Sequence[Configuration], own_data: Dataset | None = None) -> None:
    """Raise `BenchError` for what would fail in every row, or in all of a model or a set of flags, before any starts.

    The models are imported for that; a sweep takes them from the cache then. ``own_data`` are inferred in place of data
    sets by name.
    """
    data = {each.dataset: own_data or datasets.load(each.dataset) for each in wanted}
    for dataset, samples in {(each.dataset, each.samples) for each in wanted}:
        data[dataset].first(samples)
    for tolerance in {each.tolerance for each in wanted}:
        Tolerance.of(tolerance)
    for variant, vlen, flags in {(each.variant, each.vlen, each.flags) for each in wanted}:
        check_flags(Target.of(variant, vlen), flags_of(flags))
    for model, selection, dataset in {(each.model, each.selection, each.dataset) for each in wanted}:
        imported = importers.import_model(model, Cache(DEFAULT_OUTPUT_DIR), selection)
        data[dataset].first(1).fitted(Path(model).name, imported.inputs)
