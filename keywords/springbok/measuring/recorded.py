# SPDX-License-Identifier: Apache-2.0
"""The document of a run whose suites record one evaluation after the other: what takes another's place is told.

A document has one entry of a configuration. Who records the same thing once more replaces it, and nothing is lost; but
where the later entry is of other samples, flags or bytes, the earlier numbers were of something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from springbok.measuring.derived import shown
from springbok.measuring.platforms import configuration_of, configuration_title, joined, level_of, platform_of
from springbok.support.escaping import visible

_LONGEST_FLAGS = 200
#: The stack's mark is of all since the chip's start; a platform stands only in entries that are kept beside others.
_OTHER_EACH_TIME = {"wall_clock", "accesses_over_time", "stack_peak_bytes", "platform"}
#: What keeps both.
ADVICE = "To keep both, give one a name of its own: name= of Compile Model, or title= of Load Data Set"


class Recorded:
    """The entries until now, and which suite each is of; ``document`` is None until there is one."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self._suites: dict[tuple[Any, ...], str] = {}

    def add(self, document: Mapping[str, Any], suite: str) -> list[str]:
        """Take in what ``suite`` recorded; a sentence on each entry of something else whose place it took."""
        known = self.document or {"models": []}
        before = {configuration_of(known, each): each for each in known["models"]}
        firmware = {key: _firmware_of(known, each) for key, each in before.items()}
        found = []
        for model in document["models"]:
            configuration = configuration_of(document, model)
            earlier, of = before.get(configuration), self._suites.get(configuration, suite)
            others = earlier and firmware[configuration] != _firmware_of(document, model)
            if earlier and (differing := _differing(earlier, model, ["another firmware"] if others else [])):
                found.append(_replaced(platform_of(document, model), earlier, of, suite, differing))
            self._suites[configuration] = suite
        whole = joined([each for each in (self.document, document) if each is not None])
        self.document = whole | ({"replaced": [*whole.get("replaced", ()), *found]} if found else {})
        return list(map(sentence, found))


def _replaced(
    platform: Mapping[str, Any], earlier: Mapping[str, Any], suite: str, by: str, differing: list[str]
) -> dict[str, Any]:
    """An entry of ``replaced``, as the schema has it."""
    return {
        "model": earlier["name"],
        "variant": earlier["variant"],
        "optimize": level_of(earlier),
        "chip": platform["chip"],
        "engine": platform["engine"],
        "vlen_bits": platform["vlen_bits"],
        "instructions": earlier["instructions"]["mean"],
        "suite": suite,
        "by": by,
        "differing": differing,
    }


def _firmware_of(document: Mapping[str, Any], model: Mapping[str, Any]) -> str | None:
    return (platform_of(document, model).get("firmware") or {}).get("sha256")


def _differing(earlier: Mapping[str, Any], later: Mapping[str, Any], known: list[str]) -> list[str]:
    """In what two entries of a configuration are of other things: ``samples 20, now 60``; ``known`` is told too."""
    pair = (earlier, later)
    samples, flags = [each["samples"] for each in pair], [each["compiler"]["flags"] for each in pair]
    found = list(known)
    found += [f"samples {samples[0]}, now {samples[1]}"] if samples[0] != samples[1] else []
    for what, (of, others) in (("lost", flags), ("added", flags[::-1])):
        if told := " ".join(flag for flag in of if flag not in others):
            cut = f"{told[:_LONGEST_FLAGS]}…" if len(told) > _LONGEST_FLAGS else told
            found.append(f"compiler flags {what}: {cut}")
    if flags[0] != flags[1] and {*flags[0]} == {*flags[1]}:
        found.append("compiler flags in another order")
    others = {title: [read(each) for each in pair] for title, read in _PARTS.items()}
    found += [f"another {title}" for title, (old, new) in others.items() if old != new]
    timings = [(each.get("estimate") or {}).get("timing") or {} for each in pair]
    if timings[0].get("sha256") != timings[1].get("sha256"):
        told = [timing.get("name", "none") for timing in timings]
        found.append(f"cycles estimated by {told[0]}, now {told[1] if told[0] != told[1] else 'another version of it'}")
    counts = [{key: each[key] for key in each.keys() - _OTHER_EACH_TIME} for each in pair]
    return found or (["the counts"] if counts[0] != counts[1] else [])


#: What a measurement is of, and how it is read of an entry.
_PARTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "compiler": lambda model: model["compiler"].get("version"),
    "model file": lambda model: model.get("sha256"),
    "data": lambda model: [(model.get("dataset") or {}).get(key) for key in ("sha256", "preprocessing")],
    "module": lambda model: model.get("vmfb_sha256"),
    "use of the chip's memories": lambda model: model.get("fit"),
}


def configuration_text(replaced: Mapping[str, Any]) -> str:
    """Of which configuration an entry of ``replaced`` is."""
    return configuration_title(*map(replaced.get, ("model", "variant", "optimize", "chip", "engine", "vlen_bits")))


def sentence(replaced: Mapping[str, Any]) -> str:
    """What an entry of ``replaced`` says to people."""
    suite, by = replaced["suite"], replaced["by"]
    return visible(
        f"{configuration_text(replaced)}: the numbers of {suite} ({shown(replaced['instructions'], 'count')} "
        f"instructions) are left out, and those of {by if by != suite else 'its later evaluation'} are shown: they are "
        f"of the same name, and not of the same thing ({'; '.join(replaced['differing'])}). {ADVICE}"
    )


def left_out(document: Mapping[str, Any]) -> list[str]:
    """A sentence on each measurement of a run that a later one of something else took the place of."""
    return [sentence(each) for each in document.get("replaced", ())]
