# SPDX-License-Identifier: Apache-2.0
"""Scenario files of Kenning: read, checked, and mapped to this project's parts.

A scenario names a data set, a model, a compiler with its flags, a runtime and a protocol, each by a Kenning type with
parameters. ``scenario.schema.json`` lists what is known; docs/scenarios.md says what each becomes. What has no effect
here, has another name by now or was decided here is said in a note.

Example::

    scenario = read_scenario("magic_wand.json")
    print(scenario.describe())
"""

from __future__ import annotations

import difflib
import filecmp
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from springbok.chips.chip import Chip
from springbok.chips.description import load
from springbok.compiler import iree
from springbok.compiler.compiled import FEATURES, LEAST_VLEN, VECTOR_FEATURES, Target
from springbok.compiler.flags import compiler_flags, translated
from springbok.compiler.importers import FORMATS
from springbok.data.dataset import DEFAULT_SPLIT
from springbok.data.own.functions import FUNCTION
from springbok.exploring.scenario_file import parse, read_content
from springbok.exploring.scenario_problems import Problem, problems, schema
from springbok.support import strict_json
from springbok.support.errors import CompileError, ScenarioError
from springbok.support.places import MODELS, given_path

BLOCKS = ("dataset", "model_wrapper", "optimizers", "runtime", "protocol", "platform")

#: The order of the classes in the outputs of Kenning's Magic Wand models, `MagicWandDataset.prepare` of
#: https://github.com/antmicro/kenning/blob/main/kenning/datasets/magic_wand_dataset.py
KENNING_MAGIC_WAND_CLASSES = ("wing", "ring", "slope", "negative")

#: Flags of `iree-compile` of 2022 and 2023 that have another name by now; iree-llvm-… is translated by the compiler.
RENAMED_FLAGS = {
    "--iree-flow-demote-f64-to-f32": "--iree-input-demote-f64-to-f32",
    "--iree-flow-demote-i64-to-i32": "--iree-input-demote-i64-to-i32",
    "--iree-flow-enable-data-tiling": "--iree-opt-data-tiling",
    "--iree-flow-enable-aggressive-fusion": "--iree-dispatch-creation-enable-aggressive-fusion",
}

#: Flags of those years that are gone, and why they are not missed.
GONE_FLAGS = {
    "--iree-mlir-to-vm-bytecode-module": "it is what the compiler always does",
    "--iree-vm-bytecode-module-optimize": "modules are always optimised",
    "--iree-mhlo-demote-i64-to-i32": "the importer of this project gives 32-bit types where the model has them",
    "--iree-flow-enable-fuse-padding-into-linalg-consumer-ops": "the compiler decides it by itself",
    "--iree-llvmcpu-enable-pad-consumer-fusion": "the compiler decides it by itself",
    "--riscv-v-fixed-length-vector-lmul-max": "LLVM chooses LMUL by itself",
}

_LONGEST_SHOWN = 200  # letters of what is written in a scenario

#: The type of a data set of the user's own files.
OWN_DATA = "springbok.datasets.own"
_FEATURES = "--iree-llvmcpu-target-cpu-features"
# Flag: the values that suit every chip, and why others don't.
_LINKED = {
    "--iree-llvmcpu-link-embedded": (r"true|1|", "the firmware runs kernels that are embedded ELF files"),
    "--iree-llvmcpu-link-static": (r"false|0", "the firmware runs kernels that are in the module"),
}
# What a model_framework calls files that end like this.
_FRAMEWORKS = {
    "keras": (".h5", ".keras"),
    "tensorflow": (".h5", ".keras", ".pb", ""),
    "tflite": (".tflite",),
    "onnx": (".onnx",),
}


def _suiting(chip: Chip) -> dict[str, tuple[str, str]]:
    """Flag: the values that suit a chip, and why others don't. The ABI is the chip's own, or one without floats, whose
    place the chip's takes."""
    integers = chip.abi.rstrip("fd")
    floats = "" if chip.has("d") else " and no doubles" if chip.has("f") else " and no floating point"
    return {
        "--iree-llvmcpu-target-triple": (rf"riscv{chip.xlen}(-.*)?", f"the chip's core is a {chip.xlen}-bit RISC-V"),
        "--iree-llvmcpu-target-abi": (
            f"{integers}|{chip.abi}",
            f"the chip has {chip.xlen}-bit registers{floats}",
        ),
        **_LINKED,
    }


def _extensions(chip: Chip) -> list[str]:
    """What kernels may use of the core; Zvl is read for itself."""
    vectors = VECTOR_FEATURES.get(chip.vector_extension, (chip.vector_extension,)) if chip.vector_extension else ()
    return [*(each for each in chip.extensions if each in (*FEATURES, "zicsr")), *vectors]


@dataclass(frozen=True)
class Block:
    """A block of the scenario: its key, Kenning type and parameters as written, and what it is here."""

    key: str
    type: str
    parameters: Mapping[str, Any]
    meaning: str = ""

    @property
    def name(self) -> str:
        """The type without its Python package."""
        return self.type.rpartition(".")[2]

    @property
    def definition(self) -> str:
        """Name of the schema's definition of its parameters."""
        if self.type == OWN_DATA:
            return "OwnData"
        return "DataSet" if self.type.startswith("springbok.datasets.") else self.name


@dataclass(frozen=True)
class Scenario:
    """A scenario in this project's terms.

    ``dataset`` is a name, or where own data are, whose ``data_options`` are how they are read, as
    `springbok.data.own.content.Options`. ``root`` and ``download`` are where the data set lies or may be downloaded to;
    ``class_names`` is the order of the
    model's outputs, None for the data set's own. ``flags`` are those of `iree-compile` beside
    the ones that every module is compiled with. ``module`` is where the compiled module is to be written, if anywhere.
    ``engine`` is ``serial`` when a device is at the scenario's port, else what was asked for.
    """

    file: Path
    sha256: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    model: Path
    model_name: str | None
    dataset: str
    split: str | None = None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    download: bool = True
    class_names: tuple[str, ...] | None = None
    variant: str = "vector"
    vlen: int = 512
    flags: tuple[str, ...] = ()
    module: Path | None = None
    engine: str = "auto"
    port: str | None = None
    baudrate: int = 115200
    record: dict[str, Any] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        blocks = [
            {"block": block.key, "type": block.type, "parameters": dict(block.parameters), "meaning": block.meaning}
            for block in self.blocks
        ]
        record = {"file": self.file.name, "sha256": self.sha256, "blocks": blocks, "notes": list(self.notes)}
        object.__setattr__(self, "record", record)

    def describe(self) -> str:
        """The blocks and what they are here, then the notes; some lines for a terminal or a log."""
        width = max(len(block.key) for block in self.blocks)
        types = max(len(block.name) for block in self.blocks)
        lines = [f"  {block.key:{width}}  {block.name:{types}}  {block.meaning}" for block in self.blocks]
        return "\n".join([f"Scenario {self.file}:", *lines, *(f"Note: {note}" for note in self.notes)])


# Reading


def read_scenario(path: Path | str, engine: str = "auto", port: str | None = None) -> Scenario:
    """Read the scenario file (JSON; YAML when it is named ``.yml`` or ``.yaml``), check it, and map it.

    With the engine ``auto`` a device that really is at the scenario's port is used; any other engine is taken as it
    is, and the scenario's port is not looked at. Paths in the file are relative to the working directory, as Kenning
    takes them, or else to the file's folder.

    Raises ScenarioError that names everything that is unknown or wrong, with what is known.
    """
    path = Path(path)
    content = read_content(path)
    return map_document(parse(content, path), path, hashlib.sha256(content).hexdigest(), engine, port)


def map_document(
    document: Any, path: Path, sha256: str = "", engine: str = "auto", port: str | None = None
) -> Scenario:
    """The scenario that a document is, as it stands or would stand in the file ``path``.

    Raises ScenarioError as `read_scenario`, with the `Problem`s that it names.
    """
    found = problems(document)
    if found:
        raise _error(path, found)
    try:
        return _Mapping(path, sha256, document, engine, port).scenario()
    except (
        OSError,
        RuntimeError,
    ) as error:  # of a path too long to be one, and of a user's folder (~) that is not known
        named = _short(str(getattr(error, "filename", None) or ""))
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise _error(path, [Problem(f"the file: a path in it can't be looked at: {named or 'it'}: {why}")]) from error


def _error(path: Path, found: Sequence[Problem]) -> ScenarioError:
    sentences = "\n".join(f"- {problem.sentence}" for problem in found)
    return ScenarioError(f"The scenario {path} can't be run:\n{sentences}", found)


# Mapping


class _Mapping:
    """Maps a document that the schema has passed; collects notes and problems on its way."""

    def __init__(self, path: Path, sha256: str, document: Mapping[str, Any], engine: str, port: str | None) -> None:
        self.path, self.sha256 = path, sha256
        self.engine, self.port = engine, port
        self.given: dict[str, Block] = {}
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        for key, content in document.items():
            blocks = content if isinstance(content, list) else [content]
            for block in blocks:
                name = key.removeprefix("runtime_") if key == "runtime_protocol" else key
                self.given[name] = Block(key, block["type"], block.get("parameters", {}))
                self._note_what_is_ignored(self.given[name])

    def scenario(self) -> Scenario:
        """Map every block. Raises ScenarioError with all problems."""
        model, model_meaning = self._model()
        dataset, dataset_meaning = self._dataset(model)
        code, code_meaning = self._code(model)
        chip, chip_meaning = self._chip(code.get("vlen", 512))
        if self.problems:
            raise _error(self.path, self.problems)
        meanings = {
            "dataset": dataset_meaning,
            "model_wrapper": model_meaning,
            "optimizers": code_meaning,
            "runtime": "the firmware's own runtime of IREE modules, on the chip",
            "protocol": chip_meaning,
            "platform": "Springbok",
        }
        blocks = tuple(
            Block(given.key, given.type, given.parameters, meanings[key])
            for key in BLOCKS
            if (given := self.given.get(key))
        )
        return Scenario(
            file=self.path,
            sha256=self.sha256,
            blocks=blocks,
            notes=tuple(self.notes),
            model=model,
            model_name=self._get("model_wrapper", "model_name"),
            **dataset,
            **code,
            **chip,
        )

    def _problem(self, block: str, parameter: str, sentence: str) -> None:
        self.problems.append(Problem(sentence, block, parameter))

    def _get(self, block: str, parameter: str, default: Any = None) -> Any:
        """A parameter of a block; null is as good as left out."""
        value = self.given[block].parameters.get(parameter) if block in self.given else None
        return default if value is None else value

    def _note_what_is_ignored(self, block: Block) -> None:
        properties = schema()["$defs"][block.definition]["properties"]
        ignored: dict[str, list[str]] = {}
        for parameter in block.parameters:
            if "note" in properties[parameter]:
                ignored.setdefault(properties[parameter]["note"], []).append(parameter)
        self.notes += [f"{block.key}: {', '.join(names)}: no effect here, {why}." for why, names in ignored.items()]

    def _resolve(self, written: str) -> Path:
        """Where Kenning would look, the working directory; else beside the scenario."""
        path = given_path(written)
        beside = self.path.parent / path
        return beside if not path.exists() and beside.exists() else path

    def _model(self) -> tuple[Path, str]:
        written = self.given["model_wrapper"].parameters["model_path"]
        own = MODELS / written.rpartition("/")[2]
        scheme, separator, _ = written.partition("://")
        own_models = ", ".join(sorted(path.name for path in MODELS.iterdir() if path.suffix in FORMATS))
        if separator and scheme == "kenning":
            if not own.is_file():
                self._problem(
                    "model_wrapper",
                    "model_path",
                    f"model_wrapper.model_path: this project has no model {_short(own.name)} for {_short(written)}. "
                    f"Its own are {own_models}; for any other give the path of its file",
                )
            self.notes.append(f"model_wrapper: {written} stands for this project's own {own.name}, trained here.")
            return own, f"models/{own.name}, this project's own"
        if separator:
            sentence = f"model_wrapper.model_path: {_short(written)} is not downloaded: give the path of a file"
            self._problem("model_wrapper", "model_path", sentence)
            return own, ""
        path = self._resolve(written)
        if not path.exists():
            advice = (
                f'write "model_path": "kenning:///models/{own.name}" for this project\'s own model of that name, or '
            )
            self._problem(
                "model_wrapper",
                "model_path",
                f"model_wrapper.model_path: there is no file {_short(written)}, neither from the working directory nor "
                f"from the scenario's folder: {advice if own.is_file() else ''}put your model there",
            )
        elif path.is_dir() and not (path / "saved_model.pb").is_file():
            sentence = f"model_wrapper.model_path: {_short(written)} is a folder, and no SavedModel: give a file"
            self._problem("model_wrapper", "model_path", sentence)
        elif not os.access(path, os.R_OK):
            sentence = f"model_wrapper.model_path: this user has no right to read {_short(written)}"
            self._problem("model_wrapper", "model_path", sentence)
        return path, str(written)

    def _dataset(self, model: Path) -> tuple[dict[str, Any], str]:
        block = self.given["dataset"]
        name = block.name if block.definition == "DataSet" else "magic_wand"
        if block.type == OWN_DATA:
            return self._own_data(block, model)
        split = self._get("dataset", "split", DEFAULT_SPLIT)
        root = self._get("dataset", "dataset_root")
        download = self._get("dataset", "download_dataset", True)
        meaning = f"data set {name}, {split} split"
        if root and name != "magic_wand":
            self.notes.append(f"dataset: dataset_root: no effect here, {name} comes with a Python package.")
            root = None
        if root:
            meaning += f", in {root}" + (" or downloaded to it" if download else "")
            if not download and not self._resolve(root).exists():
                self.notes.append(
                    f"dataset: dataset_root: there is no {_short(root)}, and download_dataset is false: "
                    "a run ends there, unless --data tells it where its data are."
                )
        return {
            "dataset": name,
            "split": split,
            "root": self._resolve(root) if root else None,
            "download": download,
            "class_names": self._class_names(model, name == "magic_wand"),
        }, meaning

    def _own_data(self, block: Block, model: Path) -> tuple[dict[str, Any], str]:
        options = {name: value for name, value in block.parameters.items() if name not in ("path", "split")}
        if "labels" in options:
            options["labels"] = str(self._resolve(options["labels"]))
        if "preprocessing" in options:
            options["preprocessing"] = [self._resolve_function(step) for step in options["preprocessing"]]
        source = self._resolve_function(block.parameters["path"])
        names = options.pop("class_names", None)
        return {
            "dataset": source,
            "split": self._get("dataset", "split"),
            "data_options": options,
            "class_names": tuple(names) if names else self._class_names(model, False),
        }, f"own data {block.parameters['path']}"

    def _resolve_function(self, written: str) -> str:
        """A path, or the file of ``FILE.py:FUNCTION``, where it is found; a step with a name stays as it is."""
        found = FUNCTION.fullmatch(written)
        if found:
            return f"{self._resolve(found['file'])}:{found['function']}"
        path = self._resolve(written)
        return str(path) if path.exists() else written

    def _class_names(self, model: Path, is_magic_wand: bool) -> tuple[str, ...] | None:
        """The order of the model's outputs. A wrong one would look like a bad model."""
        described = model.parent / f"{model.name}.json"  # a folder such as / has no name
        if described.is_file():
            try:
                names = strict_json.parse(described.read_text(encoding="utf-8-sig"))["output"][0].get("class_names")
            except (OSError, ValueError, LookupError, AttributeError, TypeError):
                sentence = f"{described} is not a description of the model's inputs and outputs"
                self._problem("model_wrapper", "model_path", sentence)
                return None
            if names:
                self.notes.append(
                    f"model_wrapper: the classes are in the order of {described.name}: {', '.join(names)}."
                )
                return tuple(names)
        if not is_magic_wand or not model.is_file() or not os.access(model, os.R_OK) or _is_own(model):
            return None
        names = KENNING_MAGIC_WAND_CLASSES
        self.notes.append(
            f"model_wrapper: the outputs of {model.name} are taken in Kenning's order, {', '.join(names)}. For another "
            f'order put {{"output": [{{"class_names": […]}}]}} into {described.name} beside the model.'
        )
        return names

    def _code(self, model: Path) -> tuple[dict[str, Any], str]:
        framework = self._get("optimizers", "model_framework", "any")
        suffixes = _FRAMEWORKS.get(framework)
        if suffixes is not None and model.suffix.lower() not in suffixes:
            sentence = f"optimizers: model_framework is {framework}, but {_short(model.name)} is no such file: say any"
            self._problem("optimizers", "model_framework", sentence)
        if self._get("optimizers", "backend") == "dylib":
            self.notes.append("optimizers: the backend dylib is called llvm-cpu by now.")
        module = self._get("optimizers", "compiled_model_path")
        given = {}
        for written in self._get("optimizers", "compiler_args", ()):
            flag = self._flag(written)
            if flag:
                given[flag[0]] = (written, flag[1])
        try:
            target = self._target(given)
            default = {flag.partition("=")[0]: flag.partition("=")[2] for flag in compiler_flags(target)[0]}
            implied = [written for name, (written, value) in given.items() if default.get(name) == value]
            flags = tuple(
                f"{name}={value}" if value else name for name, (_, value) in given.items() if default.get(name) != value
            )
            compiler_flags(target, flags)
        except CompileError as error:
            self._problem("optimizers", "compiler_args", f"optimizers: {error}".rstrip("."))
            return {}, ""
        if implied:
            self.notes.append(f"optimizers: implied, every module for the chip is compiled so: {', '.join(implied)}.")
        own = f", {len(flags)} flags of the scenario's own" if flags else ""
        return {
            "variant": target.variant,
            "vlen": target.vlen,
            "flags": flags,
            "module": given_path(module) if module else None,
        }, f"iree-compile {iree.compiler_version()}, {target.variant} code for VLEN {target.vlen}{own}"

    def _flag(self, written: str) -> tuple[str, str] | None:
        """The flag by its name of today and its value; None when it is gone or wrong."""
        name, _, value = translated(written.strip())[0].partition("=")
        name = RENAMED_FLAGS.get(name, name)
        old = f"--{written.strip().lstrip('-').partition('=')[0]}"
        if name in GONE_FLAGS:
            self.notes.append(f"optimizers: {written} is gone from the compiler and left out: {GONE_FLAGS[name]}.")
            return None
        known = iree.compiler_flag_names()
        if name.lstrip("-") not in known and name != "-o":
            near = difflib.get_close_matches(name.lstrip("-"), known, 3)
            self._problem(
                "optimizers",
                "compiler_args",
                f"optimizers: iree-compile {iree.compiler_version()} has no flag {name}; "
                + (f"the nearest are {', '.join('--' + each for each in near)}" if near else "see iree-compile --help"),
            )
            return None
        if name not in (old, "-o"):
            self.notes.append(f"optimizers: {old.lstrip('-')} is called {name.lstrip('-')} by now.")
        pattern, why = _suiting(load()).get(name, ("", ""))
        if pattern and not re.fullmatch(pattern, value):
            self._problem("optimizers", "compiler_args", f"optimizers: {written} does not suit the chip: {why}")
            return None
        return name, value

    def _target(self, flags: Mapping[str, tuple[str, str]]) -> Target:
        """The core that the features describe. Raises CompileError for a VLEN that the chip can't have."""
        target = Target.of()
        if _FEATURES in flags:
            target = self._target_of_features(*flags[_FEATURES])
        if load().vlens and target.vlen not in load().vlens:
            raise CompileError(f"the chip has no VLEN {target.vlen}; known: {', '.join(map(str, load().vlens))}.")
        minimum = flags.get("--riscv-v-vector-bits-min", ("", "0"))[1]
        if not minimum.isdecimal() or int(minimum) > target.vlen:
            raise CompileError(
                f"riscv-v-vector-bits-min={minimum} promises more than the chip's VLEN {target.vlen}, and the code "
                "would silently compute wrong numbers. Say the vector length by +zvl…b alone."
            )
        return target

    def _target_of_features(self, written: str, features: str) -> Target:
        switched_on = [feature[1:] for feature in features.split(",") if feature.startswith("+")]
        lengths = [int(found[1]) for feature in switched_on if (found := re.fullmatch(r"zvl(\d+)b", feature))]
        known = _extensions(load())
        foreign = [each for each in switched_on if each not in known and not re.fullmatch(r"zvl\d+b", each)]
        if foreign:
            self._problem(
                "optimizers",
                "compiler_args",
                f"optimizers: {written} does not suit the chip: its core has no {', '.join(foreign)}. "
                f"It has {', '.join(known)} and zvl…b",
            )
        vectors = [each for each in switched_on if each.startswith("zve")]
        if vectors and not lengths:
            self.notes.append("optimizers: without +zvl512b LLVM makes no vector code.")
        elif vectors and "zve32f" not in vectors:
            self.notes.append(
                "optimizers: +zve32x has vectors of integers alone, so loops of floating point stay scalar; "
                "+zve32f adds those."
            )
        return Target(vlen=max(lengths, default=load().vlen or LEAST_VLEN), vectors=bool(vectors))

    def _chip(self, vlen: int) -> tuple[dict[str, Any], str]:
        port = self._get("protocol", "port") or self._get("platform", "uart_port")
        baudrate = self._get("protocol", "baudrate") or self._get("platform", "uart_baudrate", 115200)
        simulated = self._get("platform", "simulated")
        chip = {"engine": self.engine, "port": self.port, "baudrate": baudrate}
        if self.engine != "auto":
            if self.engine == "serial" and port and not self.port:
                return {**chip, "port": port}, f"UART at {port}, a board"
            if port:
                self.notes.append(f"protocol: the port {port} is not looked at, because the engine was chosen.")
            return chip, f"UART of the engine {self.engine}"
        if port and simulated is not True and _is_device(port):
            self.notes.append(f"protocol: a device is at {port}, so the board there is used. It must run the firmware.")
            return {**chip, "engine": "serial", "port": port}, f"UART at {port}, a board"
        if simulated is False:
            sentence = f"platform.simulated is false, but no device is at {port or 'any port'}"
            self._problem("platform", "simulated", sentence)
        elif port:
            reason = "the platform is simulated" if simulated else f"no device is at {port}"
            self.notes.append(f"protocol: {reason}, so the chip is simulated, and its UART has an address of its own.")
        return chip, f"UART of the simulated chip, VLEN {vlen}"


def _is_device(port: str) -> bool:
    """Whether something can be at the port: a character device (a serial port, a pty), or a URL of pyserial's."""
    return "://" in port or given_path(port).is_char_device()


def _is_own(model: Path) -> bool:
    """Whether the file is one of this project's own models, wherever it lies."""
    own = (path for path in MODELS.iterdir() if path.is_file() and path.suffix == model.suffix)
    return any(filecmp.cmp(path, model, shallow=False) for path in own)


def _short(written: str) -> str:
    """What the scenario has written, in a sentence."""
    return written if len(written) <= _LONGEST_SHOWN else f"{written[:_LONGEST_SHOWN]}…"
