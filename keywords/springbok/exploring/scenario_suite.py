# SPDX-License-Identifier: Apache-2.0
"""Writes a scenario of Kenning as the Robot suite that it stands for.

Example::

    write_suite(read_scenario("magic_wand.json"), Path("magic_wand.robot"))
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from springbok.data.datasets import NAMES
from springbok.data.own.functions import FUNCTION
from springbok.exploring.scenario import Scenario
from springbok.support.errors import ScenarioError
from springbok.support.places import IS_CHECKOUT, KEYWORDS, ROOT, command

_RESOURCE = "springbok/bench.resource"


def write_suite(
    scenario: Scenario, path: Path, samples: int | None = None, options: Mapping[str, str | None] | None = None
) -> Path:
    """Write the scenario as a Robot suite that runs by itself: ``./bench run SUITE``. Returns the path.

    Paths in it are relative to the suite's folder. ``samples`` limits the data set to the first so many; ``options``
    are further ones of ``Compile Model``, such as its tolerance.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(suite_text(scenario, path.parent, samples, options), encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"The suite {path} can't be written: {error.strerror}.") from error
    return path


def suite_text(
    scenario: Scenario, folder: Path, samples: int | None = None, options: Mapping[str, str | None] | None = None
) -> str:
    """The scenario as the text of a Robot suite that lies in ``folder``."""
    board = scenario.engine == "serial" and scenario.port is not None
    engine, port = ("serial", _cell(scenario.port)) if board else ("${ENGINE}", "${PORT}")
    boot = [f"engine={engine}", f"vlen={scenario.vlen}", f"port={port}", f"baudrate={scenario.baudrate}"]
    compile_model = [
        "${MODEL FILE}",
        *map(_cell, scenario.flags),
        f"variant={scenario.variant}",
        f"vlen={scenario.vlen}",
        "optimize=${OPTIMIZE}",
        *([f"name={_cell(scenario.model_name)}"] if scenario.model_name else []),
        *(f"{name}={_cell(value)}" for name, value in (options or {}).items() if value),
    ]
    written_by = command("scenario", scenario.file.name, "--to-suite", "SUITE")
    is_own = scenario.dataset not in NAMES
    load_data_set = [_source(scenario.dataset, folder) if is_own else scenario.dataset]
    load_data_set += [f"split={scenario.split}"] if scenario.split else []
    load_data_set += [_option(name, value, folder) for name, value in scenario.data_options.items()]
    if scenario.dataset == "magic_wand":
        load_data_set.append("data=${DATA}")
    if scenario.root:
        load_data_set += [f"root={_path(scenario.root, folder)}", f"download={scenario.download}"]
    if scenario.class_names:
        load_data_set.append("class_names=${CLASS NAMES}")
    evaluate = ["${model}", "${recordings}", *([f"samples={samples}"] if samples is not None else [])]
    record = json.dumps(scenario.record, indent=0, ensure_ascii=False).split("\n")
    classes = [_row("@{CLASS NAMES}", *map(_cell, scenario.class_names))] if scenario.class_names else []
    written = [_row("    Copy File", "${model.vmfb}", _path(scenario.module, folder))] if scenario.module else []
    lines = [
        "*** Comments ***",
        "SPDX-License-Identifier: Apache-2.0",
        "",
        "*** Settings ***",
        _row("Documentation", _cell(f"The scenario {scenario.file.name}, written by '{written_by}'.")),
        "...",
        *(_row("...", _cell(line)) for block in scenario.blocks for line in [f"- {block.name}: {block.meaning}"]),
        _row("Library", "OperatingSystem"),
        _row("Resource", _resource(folder)),
        _row("Suite Setup", "Boot Springbok", *boot),
        _row("Suite Teardown", "Stop Chip"),
        "",
        "*** Variables ***",
        _row("${MODEL FILE}", _path(scenario.model, folder)),
        *classes,
        "# What the report shows of the scenario",
        _row("${SCENARIO}", "SEPARATOR=\\n"),
        *(_row("...", _cell(line)) for line in record),
        "",
        "*** Test Cases ***",
        "Should Run The Scenario",
        _row("    ${model}=", "Compile Model", *compile_model),
        *written,
        _row("    ${recordings}=", "Load Data Set", *load_data_set),
        _row("    ${evaluation}=", "Evaluate Model", *evaluate, "scenario=${SCENARIO}"),
        _row("    ${evaluation}=", "Record Evaluation", "${evaluation}"),
        _row("    Set Suite Variable", "${EVALUATION}", "${evaluation}"),
        "",
        "Should Give The Host's Answers",
        _row("    Outputs Should Agree With The Host", "${EVALUATION}", "1e-5", "steps=4"),
        "",
    ]
    return "\n".join(lines)


def _resource(folder: Path) -> str:
    """By its path within a checkout, where renode-test finds it too; elsewhere by the name in the package."""
    return _path(KEYWORDS / _RESOURCE, folder) if IS_CHECKOUT and folder.resolve().is_relative_to(ROOT) else _RESOURCE


def _row(*cells: str) -> str:
    return "    ".join(cells)


def _path(path: Path, folder: Path) -> str:
    return "${CURDIR}/" + _cell(os.path.relpath(path.resolve(), folder.resolve()).replace(os.sep, "/"))


def _source(source: str, folder: Path) -> str:
    """Own data, or a function that prepares them, as seen from the suite; a step with a name as it is."""
    found = FUNCTION.fullmatch(source)
    if found:
        return f"{_path(Path(found['file']), folder)}:{found['function']}"
    return _path(Path(source), folder) if Path(source).exists() else _cell(source)


def _option(name: str, value: Any, folder: Path) -> str:
    if name in ("labels", "preprocessing"):
        parts = [value] if name == "labels" else value
        return f"{name}=" + "; ".join(_source(part, folder) for part in parts)
    return f"{name}=" + _cell(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _cell(text: str) -> str:
    """Text as a cell of Robot data: nothing in it is a variable, a comment, an escape or a separator.

    >>> print(_cell("a  ${b} #c"))
    a \\ \\${b} \\#c
    """
    if not text:
        return "${EMPTY}"
    text = re.sub(r"([\\#|]|[$@&%](?=\{))", r"\\\1", text)
    # Robot takes every kind of white space as a separator, and some of them end a line.
    text = re.sub(r"[^\S ]|[\x00-\x1f\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)
    text = re.sub(r" (?= )", " \\\\", text)
    return re.sub(r"^ | $", lambda _: "${SPACE}", text)
