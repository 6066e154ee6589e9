# SPDX-License-Identifier: Apache-2.0
"""Whether the numbers of a metrics document hang together: what its schema can't say. Baselines are held to `of_part`.

Here is what holds of every run, whatever ran it: parts against their whole, means and extremes against the samples,
and what sums up all samples. Of what a document lacks nothing is said: older ones have less. What answers must come to
is in `springbok.measuring.consistent_answers`, what a chip's memories hold in `springbok.measuring.consistent_memory`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from springbok.measuring.consistent_answers import wrong_answers
from springbok.measuring.consistent_memory import wrong_memory
from springbok.measuring.derived import mean_of, shown
from springbok.measuring.instruction_mix import VECTOR_WORK, by_class
from springbok.measuring.platforms import configuration_of, model_of, platform_of

#: No run executes as many of anything: ten years of a chip at 1 GHz. What is beyond was never counted.
MOST = 10**18
#: Means of parts and of the whole are rounded each by itself.
_ROUNDING = 1e-3
#: No register is longer, by the vector extension.
_LONGEST_VLEN = 1 << 16
#: The device reads its counters just inside the engine's marks, or as exactly as the engine counts: by blocks.
_MARKS, _MARKS_SHARE = 1000, 0.01
#: Bytes of a dispatch's name that the device tells: longer ones may begin alike.
_NAME_BYTES = 95
#: Bytes that a scalar load or store moves at most, and operations that an instruction does with an element.
_WIDEST, _FUSED = 8, 2
#: Outputs are float32 at most: no two are further apart.
_FURTHEST = 2 * 3.4028235e38

_Found = Iterator[tuple[str, str]]


def contradictions(document: Mapping[str, Any]) -> Iterator[str]:
    """What can't be, a sentence each: ``models/0/dispatches: they come to 12 instructions, the inference to 10``.

    ``document`` has the form that its schema asks for, but for what it lacks.
    """
    if problem := wrong_length(document.get("vlen_bits")):
        yield f"vlen_bits: {problem}"
        return
    seen: set[tuple[Any, ...]] = set()
    for number, model in enumerate(document["models"]):
        vlen = platform_of(document, model).get("vlen_bits")
        if problem := wrong_length(vlen):
            yield f"models/{number}/platform/vlen_bits: {problem}"
            return
        configuration, what = configuration_of(document, model), model_of(model)
        if None not in what and configuration in seen:
            yield f"models/{number}: {what[0]} ({what[1]}) with {what[2]} is there twice"
        seen.add(configuration)
        firmware = platform_of(document, model).get("firmware") or {}
        for place, sentence in (*_of_model(model, vlen), *wrong_memory(model, firmware, vlen)):
            yield f"models/{number}{place}: {sentence}"


def wrong_length(vlen: int | None) -> str:
    """Why a vector register can't have so many bits; empty where it can, or where it is not known."""
    if vlen is None or (0 <= vlen <= _LONGEST_VLEN and not vlen & (vlen - 1)):
        return ""
    return f"{vlen} is no length of a vector register: a power of two, or 0 without vectors"


def _of_model(model: Mapping[str, Any], vlen: int | None) -> _Found:
    for place, value in _numbers(model, ""):
        if not math.isfinite(value) or abs(value) > MOST:
            yield place, f"{value:.3g} is no number that was counted"
            return  # no arithmetic with it
    if model.get("name") == "":
        yield "/name", "the model has no name"
    yield from _samples(model)
    yield from of_part(model, "", vlen)
    error = model.get("max_abs_error")
    if error is not None and error > _FURTHEST:
        yield "/max_abs_error", f"{error:.3g}: no two outputs are so far apart"
    if model.get("variant") == "scalar":
        for number, each in enumerate(model.get("dispatches", ())):
            if each.get("vector_instructions"):
                yield f"/dispatches/{number}/vector_instructions", "scalar code has none"
                return
    for number, dispatch in enumerate(model.get("dispatches", ())):
        yield from of_part(dispatch, f"/dispatches/{number}", vlen)
    yield from _shares(model, vlen)
    yield from _counters(model)
    yield from _timeline(model)
    yield from wrong_answers(model)


def _numbers(part: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every number, with its place. Those of answers are a model's own, of whatever size."""
    if isinstance(part, int | float) and not isinstance(part, bool):
        yield place, part
    elif isinstance(part, Mapping):
        for name, each in part.items():
            if name not in ("per_sample", "quality", "max_abs_error"):
                yield from _numbers(each, f"{place}/{name}")
    elif isinstance(part, Sequence) and not isinstance(part, str):
        for number, each in enumerate(part):
            yield from _numbers(each, f"{place}/{number}")


def _equal(one: float, other: float, parts: int = 1) -> bool:
    return abs(one - other) <= _ROUNDING * parts + 1e-9 * max(abs(one), abs(other))


def _more(part: float, whole: float, parts: int = 1) -> bool:
    return part > whole and not _equal(part, whole, parts)


def _sum(values: Iterable[float]) -> float:
    return math.fsum(values)


def _count(value: float) -> str:
    return shown(value, "count")


def _samples(model: Mapping[str, Any]) -> _Found:
    """What is told of all samples is what they come to."""
    told = model.get("instructions") or {}
    each = (model.get("per_sample") or {}).get("instructions")
    if each:
        for name, found in (("min", min(each)), ("mean", _sum(each) / len(each)), ("max", max(each))):
            if told.get(name) is not None and not _equal(told[name], found):
                yield f"/instructions/{name}", f"{_count(told[name])}, but of its samples {_count(found)}"
    spread = [told.get(name) for name in ("min", "mean", "max")]
    if None not in spread and (_more(spread[0], spread[1]) or _more(spread[1], spread[2])):
        yield "/instructions", "the mean is not between the least and the most"
    trips = (model.get("wall_clock") or {}).get("round_trip_seconds")
    if trips is not None and len(trips) != model.get("samples", len(trips)):
        yield "/wall_clock/round_trip_seconds", f"{len(trips)} of {model['samples']} samples"


def of_part(part: Mapping[str, Any], place: str = "", vlen: int | None = None) -> _Found:
    """What holds of an inference and of each dispatch of one, also in a baseline: (place, sentence) of what does not.

    >>> list(of_part({"instructions": 5, "vector_instructions": 7}))
    [('/vector_instructions', '7 vector of 5 instructions')]
    """
    whole, vectors = mean_of(part.get("instructions")), mean_of(part.get("vector_instructions"))
    opcodes, classes = part.get("opcodes"), part.get("opcode_classes")
    if whole is None:
        return
    if vectors is not None and _more(vectors, whole):
        yield f"{place}/vector_instructions", f"{_count(vectors)} vector of {_count(whole)} instructions"
    if opcodes is not None:
        if not _equal(found := _sum(opcodes.values()), whole, len(opcodes) + 1):
            yield f"{place}/opcodes", f"they come to {_count(found)} instructions of {_count(whole)}"
        sums = by_class(opcodes)
        found = _sum(sums[name] for name in VECTOR_WORK)
        if vectors is not None and not _equal(found, vectors, len(opcodes) + 1):
            yield f"{place}/opcodes", f"{_count(found)} of them are vector instructions, of {_count(vectors)}"
        for name, count in (classes or {}).items():
            if not _equal(count, sums.get(name, 0), len(opcodes) + 1):
                yield f"{place}/opcode_classes/{name}", f"{_count(count)}, but by opcode {_count(sums.get(name, 0))}"
    for name, value in (
        ("calls", part.get("calls", 0)),
        ("stack", _sum((part.get("stack") or {}).values())),
        *((f"defects/{name}", value) for name, value in (part.get("defects") or {}).items()),
    ):
        if _more(value, whole):
            yield f"{place}/{name}", f"{_count(value)} in {_count(whole)} instructions"
    yield from _lanes(part.get("lanes"), vectors, vlen, f"{place}/lanes")
    yield from _work(part.get("work"), whole, vectors, vlen, f"{place}/work")
    yield from _estimate(part.get("estimate"), f"{place}/estimate")


def _lanes(lanes: Mapping[str, float] | None, vectors: float | None, vlen: int | None, place: str) -> _Found:
    if not lanes:
        return
    active, available = lanes["active"], lanes["available"]
    if _more(active, available):
        yield place, f"{_count(active)} active of {_count(available)} lanes"
    # No instruction has more elements than eight registers have bytes.
    if vectors is not None and vlen is not None and _more(available, vectors * vlen):
        yield place, f"{_count(available)} lanes in {_count(vectors)} vector instructions of {vlen} bits"


def _work(
    work: Mapping[str, float] | None, whole: float, vectors: float | None, vlen: int | None, place: str
) -> _Found:
    """No more than its instructions could do if each did the most that there is."""
    if not work or vectors is None or vlen is None:
        return
    scalars, bytes_at_once = whole - vectors, vlen  # eight registers of vlen / 8 bytes
    moved = _WIDEST * scalars + bytes_at_once * vectors
    most = {
        "float_operations": _FUSED * (scalars + bytes_at_once * vectors),
        "bytes_loaded": moved,
        "bytes_stored": moved,
    }
    for name, value in work.items():
        if _more(value, most[name]):
            yield (
                f"{place}/{name}",
                f"{_count(value)} by {_count(whole)} instructions, which do {_count(most[name])} at most",
            )


def _estimate(estimate: Mapping[str, Any] | None, place: str) -> _Found:
    if not estimate:
        return
    cycles, where = estimate["estimated_cycles"], estimate["where"]
    if not _equal(found := _sum(where.values()), cycles, len(where) + 1):
        yield f"{place}/where", f"it comes to {_count(found)} of {_count(cycles)} cycles"
    if _more(least := estimate.get("limit_cycles", 0), cycles):
        yield f"{place}/limit_cycles", f"{_count(least)} at least, and {_count(cycles)} are estimated"


def _limit(estimate: Mapping[str, Any], peaks: Mapping[str, Any], place: str) -> _Found:
    """The limit in cycles follows from what was to be done, but for scalar instructions; it is rounded up."""
    products, moved = estimate.get("products"), estimate.get("bytes")
    if products is None or moved is None:
        return
    bits = peaks["product_bits"]
    least = {"bytes": moved / peaks["bytes"]}
    least["products"] = _sum(
        times * int(width) / bits[unit]
        for unit, widths in products.items()
        for width, times in widths.items()
        if unit in bits
    )
    limit, by = estimate["limit_cycles"], estimate["limited_by"]
    for name, cycles in least.items():
        if _more(cycles, limit) or (name == by and _more(limit, cycles + 1)):
            yield f"{place}/limit_cycles", f"{_count(limit)}, set by {by}, but {name} take {_count(cycles)} at least"


def _shares(model: Mapping[str, Any], vlen: int | None) -> _Found:
    """Dispatches, and what is left of the inference for the runtime."""
    dispatches = model.get("dispatches")
    if dispatches is None:
        return
    for name, count in Counter(each.get("name") for each in dispatches).items():
        if name is not None and count > 1 and len(name.encode()) < _NAME_BYTES:
            yield "/dispatches", f"{count} of them are called {name}"
    for name in ("instructions", "vector_instructions", "cycles"):
        whole, parts = mean_of(model.get(name)), [each.get(name) for each in dispatches]
        if whole is not None and None not in parts and _more(found := _sum(parts), whole, 1 + len(parts)):
            yield (
                "/dispatches",
                f"they come to {_count(found)} {name.replace('_', ' ')}, the inference to {_count(whole)}",
            )
            return
    yield from _runtime(model, dispatches, vlen)
    estimate = model.get("estimate")
    if estimate and all("estimate" in each for each in dispatches):
        parts = [each["estimate"] for each in dispatches] + [estimate["runtime"] or {}]
        for name in ("estimated_cycles", "limit_cycles"):
            found = _sum(each.get(name, 0) for each in parts)
            if not _equal(found, estimate[name], 1 + len(parts)):
                yield f"/estimate/{name}", f"{_count(estimate[name])}, but of dispatches and runtime {_count(found)}"
        yield from _estimate(estimate["runtime"], "/estimate/runtime")
        peaks = estimate["timing"].get("peaks")
        for number, each in enumerate(parts if peaks else ()):
            place = f"/dispatches/{number}/estimate" if number < len(dispatches) else "/estimate/runtime"
            yield from _limit(each, peaks, place)


def _runtime(model: Mapping[str, Any], dispatches: Sequence[Mapping[str, Any]], vlen: int | None) -> _Found:
    """What is outside of dispatches is a part as they are: none of its numbers is below 0, or more than it could be."""
    whole, outside = mean_of(model.get("instructions")), mean_of(model.get("outside_kernels"))
    if whole is not None and outside is not None:
        rest = whole - _sum(each.get("instructions", 0) for each in dispatches)
        if _more(outside, whole) or _more(rest, outside, 1 + len(dispatches)):
            yield "/outside_kernels", f"{_count(outside)} of {_count(whole)}, and {_count(rest)} outside of dispatches"
        # What has the firmware's way into a kernel beside it executes vectors in the kernel alone.
        inside = _sum(each.get("vector_instructions") or 0 for each in dispatches)
        if _more(outside, whole - inside, 1 + len(dispatches)):
            yield "/outside_kernels", f"{_count(outside)} of {_count(whole)}, and {_count(inside)} vector in dispatches"
    if model.get("opcodes") is not None and all(each.get("opcodes") is not None for each in dispatches):
        left = Counter(model["opcodes"])
        for each in dispatches:
            left.subtract(each["opcodes"])
        for name, count in left.items():
            if _more(-count, 0, 1 + len(dispatches)):
                yield f"/opcodes/{name}", "dispatches execute it more often than the inference"
    vectors, lanes = mean_of(model.get("vector_instructions")), model.get("lanes")
    given = [(each.get("vector_instructions"), each.get("lanes")) for each in dispatches]
    if vectors is None or any(each is None for each, _ in given):
        return
    rest = {key: _left((lanes or {}).get(key, 0), [(each or {}).get(key, 0) for _, each in given])
            for key in ("active", "available")}  # fmt: skip
    if min(rest.values()) < 0:
        yield "/lanes", "those of the dispatches are more than the inference's"
    else:
        yield from _lanes(rest, _left(vectors, [each for each, _ in given]), vlen, "/lanes (outside of dispatches)")


def _left(whole: float, parts: Sequence[float]) -> float:
    """What parts leave of the whole; 0 where that is but rounding."""
    rest = whole - _sum(parts)
    return 0 if _equal(whole, _sum(parts), 1 + len(parts)) else rest


def _counters(model: Mapping[str, Any]) -> _Found:
    """What the device counts beside the engine, and what the runtime's functions come to."""
    whole, own = mean_of(model.get("instructions")), mean_of(model.get("device_instructions"))
    # A counter that stands counts 0: that is the core's or its description's fault, and no contradiction.
    if whole is not None and own and abs(whole - own) > _MARKS + _MARKS_SHARE * whole:
        yield "/device_instructions", f"{_count(own)}, but between the marks {_count(whole)}"
    functions = (model.get("runtime_functions") or {}).values()
    each = (model.get("per_sample") or {}).get("instructions")
    if functions and each:
        kernels = _sum(dispatch.get("instructions", 0) for dispatch in model.get("dispatches", ()))
        # Dispatches are told as means: what the first inference had otherwise, others show.
        rest = each[0] - kernels + max(each) - min(each)
        if _more(found := _sum(functions), min(rest, each[0]), 1 + len(model.get("dispatches", ()))):
            told = f"the first inference to {_count(each[0])}, {_count(kernels)} of them in dispatches"
            yield "/runtime_functions", f"they come to {_count(found)} instructions, {told}"


def _calls(model: Mapping[str, Any], calls: Mapping[str, Sequence[float]]) -> _Found:
    """Where inferences hardly differ, the last one's calls are what dispatches tell of the mean of all."""
    each, dispatches = (model.get("per_sample") or {}).get("instructions"), model.get("dispatches", ())
    told = [(one.get("calls"), one.get("instructions")) for one in dispatches]
    if not each or any(count is None or not count or count % 1 or whole is None for count, whole in told):
        return
    spread, shortest = max(each) - min(each), min((whole / count for count, whole in told), default=0)
    if spread >= shortest:  # so inferences may differ by a call
        return
    for place, (count, whole) in enumerate(told):
        lengths = [length for of, length in zip(calls["dispatch"], calls["instructions"], strict=True) if of == place]
        if len(lengths) != count:
            yield "/timeline/calls/dispatch", f"{len(lengths)} calls of dispatch {place}, which has {_count(count)}"
        elif abs(_sum(lengths) - whole) > spread + shortest:
            had = f"{_count(_sum(lengths))} instructions of dispatch {place}, which has {_count(whole)}"
            yield "/timeline/calls/instructions", had


def _timeline(model: Mapping[str, Any]) -> _Found:
    timeline = model.get("timeline") or {}
    calls = timeline.get("calls") or {}
    if any(place >= len(model.get("dispatches", ())) for place in calls.get("dispatch", ())):
        yield "/timeline", "it calls a dispatch that is not there"
        return
    if len({len(column) for column in calls.values()}) > 1:
        yield "/timeline", "its lists are not of one length"
        return
    if {"dispatch", "instructions"} <= {*calls}:
        yield from _calls(model, calls)
    each = (model.get("per_sample") or {}).get("instructions")
    if each and timeline.get("instructions", each[-1]) != each[-1]:
        yield "/timeline/instructions", f"{_count(timeline['instructions'])}, but of the last sample {_count(each[-1])}"
    for begins, lengths, whole in (("begin", "instructions", "instructions"), ("cycle_begin", "cycles", "cycles")):
        now = 0
        for begin, length in zip(calls.get(begins, ()), calls.get(lengths, ()), strict=False):
            if begin < now:
                yield f"/timeline/calls/{begins}", f"a call begins at {_count(begin)}, within the one before it"
                return
            now = begin + length
        if timeline.get(whole) is not None and now > timeline[whole]:
            yield f"/timeline/{whole}", f"{_count(timeline[whole])}, but its last call ends at {_count(now)}"
    held, peak = calls.get("tensor_bytes"), model.get("memory_peak_bytes")
    if held and peak is not None and max(held) > peak:
        yield "/timeline/calls/tensor_bytes", f"{_count(max(held))} of a memory that had {_count(peak)} in use at most"
