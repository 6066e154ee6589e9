# SPDX-License-Identifier: Apache-2.0
"""The one document that a run leaves behind: ``metrics.json``.

Its form is ``metrics.schema.json`` beside this file, explained in docs/metrics.md. Reports, baselines and the
gate read this document and nothing else. A value that an engine can't give is null, never invented.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from springbok.chips.chip import DEFAULT
from springbok.measuring.consistency import contradictions
from springbok.measuring.derived import CLASSIFICATION
from springbok.measuring.instruction_mix import by_class
from springbok.measuring.performance import exact_mean
from springbok.support import json_schema, strict_json
from springbok.support.errors import ReportError
from springbok.support.files import write_in_one_step
from springbok.support.places import command

if TYPE_CHECKING:  # reading old results needs neither a compiler nor a simulator
    from springbok.compiler.optimizer import Change
    from springbok.compiler.optimizer.choices import Choice
    from springbok.firmware import Firmware
    from springbok.measuring.cycles import EstimatedCycles
    from springbok.measuring.evaluation import Evaluation
    from springbok.measuring.performance import Performance
    from springbok.measuring.quality import Quality
    from springbok.modules.lifetimes import Held

SCHEMA_VERSION = 1
SCHEMA_FILE = Path(__file__).with_name("metrics.schema.json")

# Documents that this process wrote, by path: what a file held before is another run's.
_written: dict[Path, dict[str, Any]] = {}


def model_metrics(evaluation: Evaluation) -> dict[str, Any]:
    """Return the entry of ``models`` for one compiled model, judged and measured on one data set."""
    model, quality, performance = evaluation.model, evaluation.quality, evaluation.performance
    instructions, estimate = performance.instructions, evaluation.estimate
    return {
        "name": model.name,
        "variant": model.variant,
        "format": model.format,
        "sha256": model.source_sha256,
        "vmfb_bytes": model.vmfb_bytes,
        "vmfb_sha256": model.vmfb_sha256,
        "kernel_text_bytes": model.kernel_text_bytes,
        "kernel_rodata_bytes": model.kernel_rodata_bytes,
        "compiler": {
            "version": model.compiler_version,
            "flags": list(model.flags),
            "optimizer": {
                "level": model.plan.level,
                "flag_set": model.plan.flag_set,
                "choice": _choice(model.plan.choice),
                "transformations": [
                    {"name": name, **_places(name, model.changes)} for name in model.plan.transformations
                ],
                **({"breakdown": evaluation.breakdown} if evaluation.breakdown else {}),
            },
        },
        "inputs": [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in model.inputs],
        "dataset": _dataset(evaluation),
        **({"scenario": evaluation.scenario} if evaluation.scenario else {}),
        "samples": quality.samples,
        "accuracy": quality.figures().get("accuracy"),
        "host_accuracy": quality.figures(host=True).get("accuracy"),
        **_quality(quality),
        "outputs_sha256": quality.outputs_sha256,
        "max_abs_error": quality.max_abs_error if math.isfinite(quality.max_abs_error) else None,
        "class_names": list(quality.class_names),
        "confusion": getattr(quality, "confusion", []),
        "per_sample": {**quality.per_sample(), "instructions": list(instructions)},
        "load_instructions": performance.load_instructions,
        "instructions": {"min": min(instructions), "mean": mean(instructions), "max": max(instructions)},
        **({"cycles": {"mean": mean(performance.cycles)}} if performance.cycles else {}),
        **({"estimate": estimate.whole()} if estimate else {}),
        "device_instructions": {"mean": mean(performance.device_instructions)},
        "vector_instructions": {"mean": mean(performance.vector_instructions)},
        "outside_kernels": {"mean": mean(performance.outside_kernels)},
        "lanes": _lanes(performance.lanes),
        "memory_peak_bytes": performance.memory_peak_bytes,
        "stack_peak_bytes": performance.stack_peak_bytes,
        **({"fit": evaluation.fit.as_json()} if evaluation.fit else {}),
        "dispatches": [
            {
                "name": dispatch.name,
                "layer": " + ".join(model.layers(dispatch.name)) or None,
                "calls": dispatch.calls,
                "instructions": dispatch.instructions,
                **({"cycles": dispatch.cycles} if dispatch.cycles is not None else {}),
                **_estimate(estimate, dispatch.ordinal),
                "vector_instructions": dispatch.vector_instructions,
                "lanes": _lanes(dispatch.lanes),
                "work": dispatch.work,
                **({"defects": dispatch.defects} if dispatch.defects else {}),
                **({"stack": _stack(dispatch.stack)} if dispatch.stack else {}),
                "opcode_classes": by_class(dispatch.opcodes),
                "opcodes": dispatch.opcodes,
            }
            for dispatch in performance.dispatches
        ],
        **_timeline(performance, evaluation.tensor_memory),
        **({"runtime_functions": performance.runtime_functions} if performance.runtime_functions else {}),
        "opcode_classes": by_class(performance.opcodes),
        "opcodes": performance.opcodes,
        "accesses_over_time": evaluation.accesses_over_time,
        "wall_clock": {
            "upload_seconds": evaluation.wall_clock.upload_seconds,
            "round_trip_seconds": list(evaluation.wall_clock.round_trip_seconds),
        },
    }


def _estimate(estimate: EstimatedCycles | None, ordinal: int) -> dict[str, Any]:
    found = estimate and estimate.of_dispatch(ordinal)
    return {"estimate": found} if found else {}


def _timeline(performance: Performance, held: Sequence[Held] | None) -> dict[str, Any]:
    """The last inference, call by call; nothing where the engine doesn't tell. ``held`` is what the module says."""
    calls = performance.calls
    if not calls:
        return {}
    places = {dispatch.ordinal: place for place, dispatch in enumerate(performance.dispatches)}
    whole = {"instructions": performance.instructions[-1]}
    columns = {
        "dispatch": [places[call.dispatch] for call in calls],
        "begin": [call.begin for call in calls],
        "instructions": [call.instructions for call in calls],
    }
    names = [performance.dispatches[place].name for place in columns["dispatch"]]
    if held and len(held) == len(names) and all(map(str.startswith, (each.kernel for each in held), names)):
        columns["tensor_bytes"] = [each.tensor_bytes for each in held]
    if performance.cycles and calls[0].cycles is not None:
        whole["cycles"] = performance.cycles[-1]
        columns |= {"cycle_begin": [each.cycle_begin for each in calls], "cycles": [each.cycles for each in calls]}
    return {"timeline": {**whole, "calls": columns}}


def _dataset(evaluation: Evaluation) -> dict[str, Any]:
    dataset = evaluation.dataset
    return {
        "name": dataset.name,
        "description": dataset.description,
        "sha256": dataset.sha256,
        "preprocessing": list(dataset.preprocessing),
    }


def _quality(quality: Quality) -> dict[str, Any]:
    """What another task than classification judges; that one's figures have keys of their own."""
    if quality.task == CLASSIFICATION:
        return {}
    figures = {"device": quality.figures(), "host": quality.figures(host=True)}
    return {"quality": {"task": quality.task, **figures}}


def _choice(choice: Choice | None) -> dict[str, Any] | None:
    """How the optimizer's flags were chosen, with what was counted."""
    if choice is None:
        return None
    return {"flag_set": choice.flag_set, "origin": choice.origin, **choice.measured(), "note": choice.note}


def _places(transformation: str, changes: Sequence[Change]) -> dict[str, int]:
    """At how many places of the model a transformation was applied, and at how many it left it as it was."""
    applied = [change.applied for change in changes if change.transformation == transformation]
    return {"applied": applied.count(True), "left": applied.count(False)}


def _lanes(lanes: tuple[float, float] | None) -> dict[str, float] | None:
    return {"active": lanes[0], "available": lanes[1]} if lanes else None


def _stack(stack: tuple[float, float]) -> dict[str, float]:
    return {"loads": stack[0], "stores": stack[1]}


def firmware_metrics(firmware: Firmware) -> dict[str, Any]:
    """Return the entry ``firmware``: which ELF ran, and the size of its parts in bytes."""
    return {
        "sha256": firmware.sha256,
        "text_bytes": firmware.text_bytes,
        "rodata_bytes": firmware.rodata_bytes,
        "data_bytes": firmware.data_bytes,
        "bss_bytes": firmware.bss_bytes,
    }


def evaluation_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return the whole document of one evaluation alone."""
    return document(**vars(evaluation.platform), models=[model_metrics(evaluation)])


def document(
    *,
    engine: str,
    engine_version: str | None,
    vlen_bits: int | None,
    link: str | None,
    firmware: Firmware | None,
    models: Sequence[dict],
    chip: str = DEFAULT,
) -> dict[str, Any]:
    """Return the whole document.

    ``chip`` is the name of the chip's description. ``vlen_bits`` is what the chip says of itself; 0 is a chip without
    vectors.
    """
    return {
        "schema": SCHEMA_VERSION,
        "engine": engine,
        "engine_version": engine_version,
        "chip": chip,
        "vlen_bits": vlen_bits,
        "link": link,
        "firmware": firmware_metrics(firmware) if firmware else None,
        "models": list(models),
    }


def add_rtl_check(path: Path, check: dict, engine: str, engine_version: str) -> None:
    """Put one more check of RTL into the document of this run; make one where there is none yet."""
    parts = {"engine": engine, "engine_version": engine_version, "vlen_bits": 0, "link": None, "firmware": None}
    content = _written.get(path.resolve()) or document(**parts, models=[])
    write(path, content | {"rtl": [*content.get("rtl", []), check]})


def with_rtl_checks(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the checks of RTL that this run has put into the one at ``path``, if there are any."""
    written = _written.get(path.resolve(), {})
    return content | ({"rtl": written["rtl"]} if "rtl" in written else {})


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the document in one step, so that a reader never sees half of it."""
    write_in_one_step(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
    _written[path.resolve()] = content


def read(path: Path) -> dict[str, Any]:
    """Read a document: ``path`` is the file, or the folder of results that holds it.

    Raises ReportError for what is none, and for what its form does not allow; what it only lacks is no error yet.
    """
    path = Path(path)
    file = path / "metrics.json" if path.is_dir() else path
    try:
        content = strict_json.parse(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ReportError(
            f"There are no metrics in {path}: {error.strerror}: {file}. '{command('run')}' writes them."
        ) from error
    except ValueError as error:
        raise ReportError(f"{file} is not JSON: {error}. Give the metrics.json of a run, or its folder.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA_VERSION or "models" not in content:
        found = content.get("schema") if isinstance(content, dict) else None
        raise ReportError(
            f"{file} is not the metrics of a run: schema {SCHEMA_VERSION} is wanted, but {found!r:.60} is there."
        )
    if problem := problem_of(content, may_lack=True):
        raise _not_whole(file, problem)
    return content


def _not_whole(place: object, problem: str) -> ReportError:
    return ReportError(
        f"The metrics of {place} are not whole: {problem}. A much older version wrote them, or something changed them: "
        "measure again."
    )


@contextmanager
def telling_of(documents: Sequence[tuple[object, Mapping[str, Any]]]) -> Iterator[None]:
    """While something is made of (where it is from, document): what does not have the form is said as a ReportError.

    Documents of before, which lack what came since, are taken as they are: only what can't be shown is looked into.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        for place, content in documents:
            if problem := problem_of(content):
                raise _not_whole(place, problem) from error
        raise


def problem_of(content: Mapping[str, Any], may_lack: bool = False) -> str:
    """What a document has that its schema does not allow, lacks that it asks for, or contradicts itself in; empty
    where there is nothing.

    What it lacks is none where it ``may_lack`` what came since it was written.
    """
    forgiven = {"additionalProperties", "required"} if may_lack else {"additionalProperties"}
    return json_schema.problem_of(content, SCHEMA_FILE, forgiven) or next(contradictions(content), "")


def mean(values: Sequence[int] | None) -> float | None:
    """Mean of counts; None stays None.

    >>> mean((2, 4)), mean(None)
    (3, None)
    """
    return None if values is None else exact_mean(sum(values), len(values))
