# SPDX-License-Identifier: Apache-2.0
"""What tells the entries of a metrics document apart: on which platform each was measured, at which level compiled.

A run may record evaluations of several. The document's own keys are the platform of its first entry. An entry of
another one has its own as ``platform``: who asks `platform_of` never takes one for the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

from springbok.chips.chip import DEFAULT
from springbok.measuring.derived import vlen_text
from springbok.support.escaping import visible

#: What a platform is in a document.
KEYS = ("engine", "engine_version", "chip", "vlen_bits", "link", "firmware")
#: What a document has beside its entries, where there is any.
_LISTS = ("replaced", "rtl")
#: What of it makes another configuration of a model; the rest is how the same one was measured.
_TELLING = ("engine", "chip", "vlen_bits")


def platform_of(document: Mapping[str, Any], model: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The platform of an entry of ``models``, by `KEYS`, or the document's own; old documents may lack some of them.

    >>> document = {"engine": "spike", "vlen_bits": 512}
    >>> platform_of(document, {"name": "gestures", "platform": {"engine": "spike", "chip": "mine", "vlen_bits": 128}})
    {'engine': 'spike', 'chip': 'mine', 'vlen_bits': 128}
    >>> platform_of(document, {"name": "gestures"})
    {'engine': 'spike', 'chip': 'springbok', 'vlen_bits': 512}
    """
    given = (model or {}).get("platform") or {"chip": DEFAULT, **document}
    return {key: given[key] for key in KEYS if key in given}


def platforms_in(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each platform of a document's entries once, in their order; its own where it has no entries."""
    found = [platform_of(document, model) for model in document["models"]] or [platform_of(document)]
    return [each for place, each in enumerate(found) if each not in found[:place]]


def model_of(model: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """What an entry is of, whatever ran it: the model's name, its variant, and the data set's name."""
    return model.get("name"), model.get("variant"), (model.get("dataset") or {}).get("name")


def level_of(model: Mapping[str, Any]) -> str | None:
    """The level of the optimizer that compiled an entry; None of old documents, which do not tell.

    >>> level_of({"name": "gestures", "compiler": {"optimizer": {"level": "standard"}}})
    'standard'
    """
    return ((model.get("compiler") or {}).get("optimizer") or {}).get("level")


def level_text(model: Mapping[str, Any]) -> str:
    """The level as it is given: ``optimize=standard``; nothing where it is not known."""
    level = level_of(model)
    return f"optimize={level}" if level else ""


def configuration_of(document: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a document has one entry of: `model_of`, the optimizer's level, the engine, the chip and its VLEN."""
    return (*model_of(model), level_of(model), *map(platform_of(document, model).get, _TELLING))


def configuration_title(
    model: str, variant: str, level: str | None, chip: str, engine: str, vlen_bits: int | None
) -> str:
    """A configuration wherever people read of one alone: nothing goes without saying, whatever else was measured.

    >>> configuration_title("gestures", "vector", "standard", "springbok", "spike", 512)
    'gestures (vector, standard) on springbok, spike, VLEN 512'
    """
    compiled = f"{variant}, {level}" if level else variant
    return visible(f"{model} ({compiled}) on {chip}, {engine}, VLEN {vlen_bits}")


def joined(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One document of the entries (and the checks of RTL) of several; of the same configuration the last one counts.

    What is said of entries that others took the place of (see `springbok.measuring.recorded`) is kept.

    Documents of one platform come together under its keys, and nothing else is said of it.
    """
    found = {configuration_of(each, model): (each, model) for each in documents for model in each["models"]}
    entries = [(platform_of(each, model), model) for each, model in found.values()]
    whole, first = documents[0], entries[0][0] if entries else platform_of(documents[0])
    if first != platform_of(whole):
        whole = {**whole, **first}
    models = [_with_platform(model, None if platform == first else platform) for platform, model in entries]
    lists = {key: [entry for each in documents for entry in each.get(key, ())] for key in _LISTS}
    return {**whole, "models": models, **{key: entries for key, entries in lists.items() if entries}}


def _with_platform(model: Mapping[str, Any], platform: Mapping[str, Any] | None) -> dict[str, Any]:
    rest = {key: value for key, value in model.items() if key != "platform"}
    return {**rest, "platform": platform} if platform else rest


def platform_text(platform: Mapping[str, Any]) -> str:
    """A platform as people read it; the chip is named where it is not the usual one.

    >>> platform_text({"engine": "spike", "engine_version": "1.1", "chip": "springbok", "vlen_bits": 512})
    'spike 1.1, VLEN 512'
    """
    engine = " ".join(filter(None, (platform["engine"], platform["engine_version"])))
    chip = "" if platform["chip"] == DEFAULT else platform["chip"]
    return ", ".join(filter(None, (engine, chip, vlen_text(platform["vlen_bits"]))))


def platforms_text(document: Mapping[str, Any]) -> list[str]:
    """Each platform of a document's entries as people read it, once."""
    return list(dict.fromkeys(map(platform_text, platforms_in(document))))


def told_apart(platforms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each of these platforms what tells them apart, of engine, chip and VLEN; nothing where nothing does.

    >>> chip = {"engine": "spike", "chip": "springbok"}
    >>> told_apart([{**chip, "vlen_bits": 128}, {**chip, "vlen_bits": 0}])
    ['VLEN 128', 'no vectors']
    """
    parts = [(each["engine"], each["chip"], vlen_text(each["vlen_bits"])) for each in platforms]
    differ = [len(set(each)) > 1 for each in zip(*parts, strict=True)]
    return [", ".join(compress(each, differ)) for each in parts]
