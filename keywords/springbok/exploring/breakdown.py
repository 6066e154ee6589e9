# SPDX-License-Identifier: Apache-2.0
"""What each transformation brings: the model is compiled without it, and both are counted on Spike by layer.

Example::

    for part in measure(model):
        print(part["without"] or "nothing left out", part["instructions"], part["layers"])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from springbok.compiler import optimizer
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.flags import compiler_flags
from springbok.compiler.optimizer import CONSTANTS
from springbok.exploring.search import SAMPLES, answers_of
from springbok.session import Session
from springbok.support.errors import BenchError

#: What is left out beside single transformations: all of them, and their flags too, which is stock IREE.
TRANSFORMATIONS, ALL = "transformations", "all"
#: How people call what is compiled.
TITLES = {"": "optimised", TRANSFORMATIONS: "flags only", ALL: "stock IREE"}


def measure(
    model: CompiledModel,
    *,
    output_dir: str | Path | None = None,
    samples: int = SAMPLES,
) -> list[dict[str, Any]]:
    """Counts one warm inference of ``model`` in full, then without each of its transformations, without all of them,
    and as stock IREE, without their flags too.

    Returns the entries of ``breakdown`` in metrics.json (docs/metrics.md). The chip is a Spike of its own, started anew
    for each. `constants` is a part of the others, and has no entry of its own. What can't be compiled or run without a
    transformation has an ``error``.
    """
    target = Target.of(model.variant, model.vlen_bits or 512)  # code without vectors is the same for each VLEN
    own = compiler_flags(target, (), model.plan)[0]
    extra = [flag for flag in model.flags if flag not in own]
    names = [name for name in model.plan.transformations if name != CONSTANTS]
    plans = {"": model.plan, **{name: model.plan.without(name) for name in names}}
    plans[TRANSFORMATIONS] = model.plan.without(*model.plan.transformations)
    plans[ALL] = optimizer.plan_for("none", vectors=target.vectors, vlen=target.vlen)
    session = Session()
    try:
        session.boot("spike", vlen=target.vlen, count_opcodes=False)
        return [
            _entry(
                session,
                name,
                lambda plan=plan: compile_model(
                    model.source,
                    target,
                    extra_flags=extra,
                    optimize=plan,
                    output_dir=output_dir,
                    shape=dict(model.selection.shapes),
                    signature=model.selection.signature,
                ),
                samples,
            )
            for name, plan in plans.items()
        ]
    finally:
        session.shut_down()


def _entry(session: Session, name: str, compiled: Callable[[], CompiledModel], samples: int) -> dict[str, Any]:
    try:
        other = compiled()
        session.reset()  # the stack's peak is since the start
        answers_of(session, other, samples)
        profile = session.need_link().profile()
    except BenchError as error:
        unknown = dict.fromkeys(("instructions", "memory_bytes", "kernel_text_bytes"))
        return {"without": name, **unknown, "layers": {}, "error": str(error).partition("\n")[0]}
    layers: dict[str, int] = {}
    for dispatch in profile.dispatches:
        layer = " + ".join(other.layers(dispatch.name)) or dispatch.name
        layers[layer] = layers.get(layer, 0) + dispatch.instructions
    return {
        "without": name,
        "instructions": profile.inference_instructions,
        "memory_bytes": profile.memory_peak_bytes + profile.stack_peak_bytes,
        "kernel_text_bytes": other.kernel_text_bytes,
        "layers": layers,
        "error": "",
    }


def describe(measured: Sequence[dict[str, Any]]) -> str:
    """The entries as lines of text: a line a layer, a column for each compilation."""
    titles = [TITLES.get(each["without"], f"- {each['without']}") for each in measured]
    layers = dict.fromkeys(layer for each in measured for layer in each["layers"])
    rows = [(layer, [each["layers"].get(layer) for each in measured]) for layer in layers]
    rows.append(("the whole inference", [each["instructions"] for each in measured]))
    lines = ["  {:32}".format("instructions") + "".join(f"{title:>18}" for title in titles)]
    for name, counts in rows:
        shown = ("-" if count is None else f"{count:,}" for count in counts)
        lines.append(f"  {name:32.32}" + "".join(f"{each:>18}" for each in shown))
    lines += [f"  {title}: {each['error']}" for title, each in zip(titles, measured, strict=True) if each["error"]]
    return "\n".join(lines) + "\n"
