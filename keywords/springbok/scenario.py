# SPDX-License-Identifier: Apache-2.0
"""Kenning's scenario files: a JSON file with data set, model, optimizer, runtime and protocol, run as it stands.

Their form is ``scenario.schema.json`` beside this file. A scenario becomes a Robot suite, and that is what runs::

    scenario = read_scenario("magic_wand.json")
    Path("magic_wand.robot").write_text(scenario.to_suite())
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from springbok.compiler import Target, compiler_flags
from springbok.engines.chip import VLENS
from springbok.errors import ScenarioError

SCHEMA_FILE = Path(__file__).with_name("scenario.schema.json")
RESOURCE = Path(__file__).resolve().parents[2] / "robot" / "resources" / "bench.resource"
PROTOCOLS = ("runtime_protocol", "protocol")

_ARCHIVE = "data.tar.gz"
_FEATURES = re.compile(r"^-*iree-llvm(cpu)?-target-cpu-features=(?P<features>.*)$")
_FRAMEWORKS = {"keras": (".h5", ".keras"), "tensorflow": ("",), "tflite": (".tflite",), "onnx": (".onnx",)}
#: Known parameters that change nothing here, and why.
_IDLE = {
    "dataset": {
        "window_shift": "recordings are split as docs/writing-suites.md says",
        "noise_level": "recordings are padded as docs/writing-suites.md says",
        "split_fraction_test": "the split is by person",
        "split_seed": "the split is by person",
        "force_download_dataset": "the archive's checksum is looked at instead",
    },
    "runtime": {
        "driver": "the chip's firmware runs the module, without drivers",
        "save_model_path": "the module is sent over the UART",
        "disable_performance_measurements": "measuring costs the inference nothing",
    },
    "protocol": {
        "timeout": "the link has its own times",
        "packet_size": "the link has its own sizes",
        "error_recovery": "the link always recovers",
        "max_message_size": "the chip tells",
    },
}


@dataclass(frozen=True)
class Scenario:
    """A scenario in this project's terms.

    ``data`` is a local archive of the data set, None to download it or where the data set needs none. ``module`` is
    where a copy of the compiled module goes. ``port`` and ``baudrate`` are for boards; the simulated chip has its own
    UART. ``notes`` say what was translated and what has no effect, a sentence each.
    """

    name: str
    dataset: str
    data: Path | None
    model: Path
    model_name: str
    flags: tuple[str, ...]
    target: Target
    module: Path | None
    port: str | None
    baudrate: int | None
    notes: tuple[str, ...]

    def to_suite(self, samples: int | None = None) -> str:
        """The scenario as a Robot suite, with this project's resource; ``samples`` limits the data set."""
        notes = "".join(f"...               - {_escaped(note)}\n" for note in self.notes)
        compile_options = [*self.flags, f"name={self.model_name}", f"variant={self.target.variant}"]
        compile_options.append(f"vlen={self.target.vlen}")
        data = f"    data={_escaped(str(self.data))}" if self.data else ""
        limit = f"    samples={samples}" if samples is not None else ""
        copy = ""
        if self.module:
            copy = f"    Copy File    ${{model.vmfb}}    {_escaped(str(self.module))}\n"
        arguments = "".join(f"    ...    {_escaped(option)}\n" for option in compile_options)
        return f"""\
*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     The scenario {_escaped(self.name)}.
...
{notes}
Library           OperatingSystem
Resource          {_escaped(str(RESOURCE))}

Suite Setup       Start Bench
Suite Teardown    Stop Chip


*** Variables ***
${{VLEN}}    {self.target.vlen}


*** Test Cases ***
Should Give The Host's Answers
    ${{recordings}}=    Load Data Set    {self.dataset}{data}
    ${{model}}=    Compile Model    {_escaped(str(self.model))}
{arguments}{copy}    ${{evaluation}}=    Evaluate Model    ${{model}}    ${{recordings}}{limit}
    Record Metrics    ${{evaluation}}
    Outputs Should Agree With The Host    ${{evaluation}}    1e-5    steps=4
"""


def read_scenario(path: str | Path, schema: dict[str, Any] | None = None) -> Scenario:
    """Reads and checks a scenario file. Relative paths in it are looked up in the working folder, then beside it.

    Raises :class:`ScenarioError` that names the place in the file and what is known there.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"The scenario can't be read: {error}.") from error
    except ValueError as error:
        raise ScenarioError(f"{path} is not JSON: {error}.") from error
    _validate(content, path, schema or json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    given = [key for key in PROTOCOLS if key in content]
    if len(given) > 1:
        raise ScenarioError(f"{path} has both {' and '.join(given)}, which are two spellings of the same: keep one.")
    parts = {key: content.get(key, {}).get("parameters", {}) for key in ("dataset", "model_wrapper", "runtime")}
    parts["protocol"] = content[given[0]].get("parameters", {}) if given else {}
    optimizers = content.get("optimizers", [])
    optimizer = optimizers[0].get("parameters", {}) if optimizers else {}
    flags = tuple(optimizer.get("compiler_args", ()))
    target = _target(flags, path)
    _, translated = compiler_flags(target, flags)
    model = _found(parts["model_wrapper"]["model_path"], path)
    dataset = _dataset(content["dataset"]["type"])
    notes = [*translated, *_remarks(parts, optimizer, model)]
    module = optimizer.get("compiled_model_path")
    return Scenario(
        name=path.name,
        dataset=dataset,
        data=_archive(dataset, parts["dataset"], path, notes),
        model=model,
        model_name=parts["model_wrapper"].get("model_name", model.stem),
        flags=flags,
        target=target,
        module=Path(module).resolve() if module else None,
        port=parts["protocol"].get("port"),
        baudrate=parts["protocol"].get("baudrate"),
        notes=tuple(notes),
    )


def _validate(content: Any, path: Path, schema: dict[str, Any]) -> None:
    import jsonschema

    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(content), key=lambda error: list(error.path))
    if errors:
        raise ScenarioError(f"{path}: " + "; ".join(_explain(error) for error in errors) + ".")


def _explain(error: Any) -> str:
    """What is wrong, where, and what is known there."""
    where = ".".join(map(str, error.absolute_path)) or "the scenario"
    if error.validator == "enum":
        return f"{where} is {error.instance!r}; known are: {', '.join(map(str, error.validator_value))}"
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        unknown = ", ".join(repr(key) for key in error.instance if key not in known)
        return f"{where} holds {unknown}; known are: {', '.join(known)}"
    if error.validator == "required":
        missing = ", ".join(repr(key) for key in error.validator_value if key not in error.instance)
        return f"{where} lacks {missing}"
    return f"{where}: {error.message}"


def _target(flags: tuple[str, ...], path: Path) -> Target:
    """The core that the compiler's arguments describe: the vector length by ``zvl…b``, no vectors without ``zve…``."""
    matches = [match for flag in flags if (match := _FEATURES.match(flag.strip()))]
    if not matches:
        return Target()
    features = matches[-1]["features"].split(",")
    if not any(feature.startswith(("+zve", "+v")) for feature in features):
        return Target.springbok("scalar")
    lengths = [int(length[1]) for feature in features if (length := re.fullmatch(r"\+zvl(\d+)b", feature))]
    vlen = max(lengths, default=Target().vlen)
    if vlen not in VLENS:
        raise ScenarioError(f"{path}: the chip has no VLEN {vlen}; known are: {', '.join(map(str, VLENS))}.")
    return Target(vlen=vlen)


def _dataset(kind: str) -> str:
    return "magic_wand" if kind.endswith("MagicWandDataset") else kind.rpartition(".")[2]


def _found(name: str, scenario: Path) -> Path:
    for path in (Path(name), scenario.parent / name):
        if path.exists():
            return path.resolve()
    raise ScenarioError(f"{scenario}: there is no {name}, neither in the working folder nor beside the scenario.")


def _archive(dataset: str, parameters: dict[str, Any], scenario: Path, notes: list[str]) -> Path | None:
    """The data set's archive, where it is there already."""
    root = parameters.get("dataset_root")
    if dataset != "magic_wand":
        if root:
            notes.append(f"dataset_root has no effect: {dataset} comes with a Python package.")
        return None
    for folder in (Path(root), scenario.parent / root) if root else ():
        if (folder / _ARCHIVE).is_file():
            return (folder / _ARCHIVE).resolve()
    if not parameters.get("download_dataset", True):
        raise ScenarioError(f"{scenario}: download_dataset is false, and {root or 'dataset_root'} holds no {_ARCHIVE}.")
    return None


def _remarks(parts: dict[str, dict[str, Any]], optimizer: dict[str, Any], model: Path) -> Iterator[str]:
    for part, idle in _IDLE.items():
        for key in parts[part]:
            if key in idle:
                yield f"{part}: {key} has no effect: {idle[key]}."
    if "port" in parts["protocol"]:
        port = parts["protocol"]["port"]
        yield f"The port {port} is for a board (--engine serial); a simulated chip has its own UART."
    framework = optimizer.get("model_framework", "any")
    if framework != "any" and model.suffix.lower() not in _FRAMEWORKS[framework]:
        yield f"model_framework is {framework}, but {model.name} is imported by its own format."


def _escaped(text: str) -> str:
    """Text as a cell of a Robot suite."""
    text = re.sub(r"([$@&%])(?=\{)", r"\\\1", text.replace("\\", "\\\\"))
    return re.sub(r"^#", r"\\#", text).replace("  ", " \\ ")


def with_data(scenario: Scenario, data: str | None) -> Scenario:
    """The scenario with another archive of its data set."""
    return replace(scenario, data=Path(data).resolve()) if data else scenario
