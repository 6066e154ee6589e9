# SPDX-License-Identifier: Apache-2.0
"""Kenning's scenario files: the seed's own, its later spellings, what is translated, and what is said of the rest."""

import hashlib
import io
import json
import os
import pty
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot import api
from robot.utils import unescape

from springbok import cli
from springbok.compiler import iree
from springbok.data.packaged.basic_motions import basic_motions
from springbok.data.packaged.magic_wand import magic_wand
from springbok.exploring import scenario, scenario_run, scenario_suite
from springbok.exploring.scenario import GONE_FLAGS, RENAMED_FLAGS, read_scenario
from springbok.exploring.scenario_file import parse
from springbok.exploring.scenario_problems import SCHEMA_FILE
from springbok.exploring.scenario_suite import suite_text, write_suite
from springbok.report import scenario as picture
from springbok.support import progress
from springbok.support.errors import DatasetError, ScenarioError
from springbok.support.places import MODELS, ROOT

SEED = Path(__file__).parent / "scenarios" / "seed.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())


def seed():
    """The seed's scenario with the path of its model absolute."""
    content = json.loads(SEED.read_text())
    content["model_wrapper"]["parameters"]["model_path"] = str(MODELS / "magic_wand.h5")
    return content


@pytest.fixture
def write(tmp_path):
    """Writes a scenario: the seed's, with values set at places, or whatever a function makes of it."""

    def write(*changes):
        content = seed()
        for change in changes:
            change(content)
        path = tmp_path / "scenario.json"
        path.write_text(json.dumps(content))
        return path

    return write


def at(*place_and_value):
    *place, last, value = place_and_value

    def change(content):
        part = content
        for key in place:
            part = part[key]
        part[last] = value

    return change


def flags(*arguments):
    return at("optimizers", 0, "parameters", "compiler_args", list(arguments))


def notes_of(path, *more):
    return "\n".join(read_scenario(path, *more).notes)


def test_the_schema_is_one_and_knows_every_type():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for key, block in SCHEMA["properties"].items():
        for kind in block.get("items", block).get("properties", {}).get("type", {}).get("examples", ()):
            assert scenario.Block(key, kind, {}).definition in SCHEMA["$defs"]


def test_the_seeds_scenario():
    read = read_scenario(SEED)
    assert (read.dataset, read.model.name, read.class_names) == ("magic_wand", "magic_wand.h5", None)
    assert (read.root, read.download) == (Path("build/magic-wand-dataset"), True)
    assert (read.variant, read.vlen, read.engine, read.baudrate) == ("vector", 512, "auto", 115200)
    assert read.module == Path("build/tflite-magic-wand.vmfb")
    assert read.flags == (
        "--iree-llvmcpu-target-triple=riscv32-pc-linux-elf",
        "--iree-llvmcpu-target-cpu-features=+m,+f,+zvl512b,+zve32x",
        "--iree-llvmcpu-target-abi=ilp32",
    )
    text = read.describe()
    assert text.count("by now") == 5
    assert "implied, every module for the chip is compiled so: iree-llvm-debug-symbols=false" in text
    assert "driver: no effect here, the chip has one hart" in text
    assert "+zve32f adds those" in text
    assert "IREERuntime" in text


def test_the_spellings_of_later_years(write):
    def later(content):
        content["protocol"] = content.pop("runtime_protocol")
        content["protocol"]["type"] = "kenning.protocols.uart.UARTProtocol"
        content["optimizers"][0]["type"] = "IREECompiler"
        content["runtime"] = {
            "type": "kenning.runtimes.renode.RenodeRuntime",
            "parameters": {
                "runtime_binary_path": "kenning:///renode/springbok/iree_runtime",
                "start_commands": ["sysbus.vec_controlblock WriteDoubleWord 0xc 0"],
                "profiler_dump_path": "build/profiler.dump",
            },
        }
        content["platform"] = {"type": "BareMetalPlatform", "parameters": {"name": "rv32-springbok"}}
        content["model_wrapper"]["parameters"]["model_path"] = "kenning:///models/classification/magic_wand.h5"

    read = read_scenario(write(later))
    assert [block.key for block in read.blocks] == list(scenario.BLOCKS)
    assert read.model == MODELS / "magic_wand.h5"
    text = "\n".join(read.notes)
    assert "stands for this project's own magic_wand.h5" in text
    assert "runtime_binary_path: no effect here, the chip runs this project's firmware" in text


def test_yaml_is_read_too(tmp_path):
    path = tmp_path / "scenario.yml"
    path.write_text(
        "dataset: {type: springbok.datasets.watch, parameters: {split: train}}\n"
        f"model_wrapper: {{type: springbok.models.Model, parameters: {{model_path: {MODELS / 'gestures.h5'}}}}}\n"
    )
    assert (read_scenario(path).dataset, read_scenario(path).split) == ("watch", "train")
    path.write_text("dataset: [")
    with pytest.raises(ScenarioError, match=r"scenario\.yml is not YAML"):
        read_scenario(path)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("bomb.yml", f"{BOMB}model_wrapper: *i\n", "too large"),
        ("itself.yml", "model_wrapper: &a {parameters: *a}\n", "too large"),
        ("deep.json", '{"model_wrapper": ' + "[" * 99 + "]" * 99 + "}", "too large"),
        ("deeper.json", "[" * 100_000 + "]" * 100_000, "is not JSON"),
        ("alias.yml", "a: &a 1\nb: *a\n", "'a', 'b' are unknown"),
    ],
)
def test_a_document_without_an_end_is_refused_at_once(name, text, told, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ScenarioError) as refusal:
        read_scenario(tmp_path / name)
    assert told in str(refusal.value) or "unknown" in str(refusal.value)


def test_without_an_optimizer_and_a_protocol_the_defaults_serve(write):
    def least(content):
        for key in ("optimizers", "runtime", "runtime_protocol"):
            del content[key]

    read = read_scenario(write(least))
    assert (read.flags, read.module, read.port, read.variant, read.vlen) == ((), None, None, "vector", 512)


@pytest.mark.parametrize(
    ("features", "variant", "vlen"),
    [
        ("+m,+f", "scalar", 512),
        ("+m,+f,+zvl256b,+zve32f", "vector", 256),
        ("+m,+f,+zvl512b,+zve32x,+zve32f", "vector", 512),
        ("+m,+f,-zve32f", "scalar", 512),
    ],
)
def test_the_core_is_what_the_features_say(write, features, variant, vlen):
    read = read_scenario(write(flags(f"iree-llvm-target-cpu-features={features}")))
    assert (read.variant, read.vlen) == (variant, vlen)


def test_what_is_written_for_other_names_is_relative_to_the_working_directory_or_the_file(write, tmp_path, monkeypatch):
    monkeypatch.chdir(MODELS)
    named = at("model_wrapper", "parameters", "model_path", "gestures.h5")
    assert read_scenario(write(named)).model == Path("gestures.h5")
    monkeypatch.chdir("/")
    (tmp_path / "gestures.h5").write_bytes(b"beside")
    assert read_scenario(write(named)).model == tmp_path / "gestures.h5"


# Flags


def test_flags_of_2023_get_their_names_of_today(write):
    assert set(RENAMED_FLAGS.values()) <= {f"--{name}" for name in iree.compiler_flag_names()}
    for old, new in RENAMED_FLAGS.items():
        path = write(flags(f"{old}=true"))
        assert read_scenario(path).flags == (f"{new}=true",)
        assert f"{old[2:]} is called {new[2:]} by now" in notes_of(path)


def test_flags_that_are_gone_are_named_and_left_out(write):
    assert not {name.lstrip("-") for name in GONE_FLAGS} & iree.compiler_flag_names()
    path = write(flags("riscv-v-fixed-length-vector-lmul-max=8"))
    assert read_scenario(path).flags == ()
    assert "riscv-v-fixed-length-vector-lmul-max=8 is gone from the compiler and left out: LLVM" in notes_of(path)


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("iree-llvm-target-triple=x86_64-linux-gnu", r"does not suit the chip: the chip's core is a 32-bit RISC-V"),
        ("iree-llvm-target-triple=riscv64-pc-linux-elf", r"does not suit the chip: the chip's core is a 32-bit"),
        ("iree-llvm-target-abi=ilp32d", r"the chip has 32-bit registers and no doubles"),
        ("iree-llvm-target-cpu-features=+m,+f,+v", r"its core has no v\. It has m, f, zicsr, zve32x, zve32f and zvl"),
        ("iree-llvm-target-cpu-features=+zvl64b,+zve32x", r"no VLEN 64; known: 128, 256, 512, 1024"),
        ("iree-llvm-target-cpu-features=+zvl99b,+zve32x", r"VLEN must be a power of two"),
        ("riscv-v-vector-bits-min=1024", r"promises more than the chip's VLEN 512"),
        ("iree-llvm-link-embedded=false", r"the firmware runs kernels that are embedded ELF files"),
        ("iree-hal-target-backends=cuda", r"the chip runs kernels of the backend llvm-cpu"),
        ("iree-execution-model=async-external", r"the firmware runs inline-dynamic modules"),
        ("iree-opt-const-expr-hoisting=true", r"without the model's weights"),
        ("iree-llvm-target-cpuu=x", r"has no flag --iree-llvmcpu-target-cpuu; the nearest are --iree-llvmcpu-target-"),
    ],
)
def test_a_flag_that_does_not_suit_is_an_error_that_says_why(write, flag, reason):
    with pytest.raises(ScenarioError, match=reason):
        read_scenario(write(flags(flag)))


# What is not known


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            at("dataset", "type", "kenning.datasets.magic_wand_dataset.MagicWandDatset"),
            r"dataset\.type: .* is unknown \(did you mean 'kenning\.datasets\.magic_wand_dataset\.MagicWandDataset'\?\)"
            r"; known: kenning\.datasets.*springbok\.datasets\.watch",
        ),
        (at("dataset", "type", "other.MagicWandDataset"), r"other\.MagicWandDataset.* is unknown"),
        (at("optimizers", 0, "type", "kenning.optimizers.tvm.TVMCompiler"), r"optimizers\.0\.type: .* known: kenning"),
        (
            at("runtime", "parameters", "drivre", 1),
            r"'drivre' is unknown \(did you mean 'driver'\?\); known: batch_size",
        ),
        (at("platfrom", {}), r"the file: 'platfrom' is unknown \(did you mean 'platform'\?\); known: dataset"),
        (at("runtime_protocol", "parameters", "endianness", "big"), r'is "big", but can only be "little": the chip is'),
        (at("runtime_protocol", "parameters", "baudrate", "fast"), r'baudrate is "fast", but must be of type integer'),
        (at("model_wrapper", "parameters", {}), r"model_wrapper\.parameters: 'model_path' is missing"),
        (at("model_wrapper", {"type": "springbok.models.Model"}), r"model_wrapper: 'parameters' is missing"),
        (at("runtime", {"parameters": {"driver": "x"}}), r"runtime: 'type' is missing$"),
        (at("runtime", "type", 5), r"runtime\.type is 5, but must be of type string$"),
        (at("dataset", "parameters", "window_size", 64), r"window_size is 64, but can only be 128: the recordings are"),
        (
            at("optimizers", 0, "parameters", "backend", "cuda"),
            r'"cuda", but can only be "llvm-cpu" or "dylib" or null',
        ),
        (
            at("optimizers", 0, "parameters", "model_framework", "tflite"),
            r"is tflite, but magic_wand\.h5 is no such file",
        ),
        (at("optimizers", [{"type": "IREECompiler"}] * 2), r"there are 2, but a model is compiled once"),
        (at("protocol", {"type": "UARTProtocol"}), r"two spellings of one block: keep one"),
        (
            at("model_wrapper", "parameters", "model_path", "gone.h5"),
            r"no file gone\.h5, neither .*put your model there",
        ),
        (
            at("model_wrapper", "parameters", "model_path", "./kenning/resources/models/classification/magic_wand.h5"),
            r'no file \./kenning.*write "model_path": "kenning:///models/magic_wand\.h5" for this project\'s own',
        ),
        (
            at("model_wrapper", "parameters", "model_path", "kenning:///models/x.h5"),
            r"no model x\.h5 .*own are .*gru\.ke",
        ),
        (
            at("model_wrapper", "parameters", "model_path", "https://x/y.h5"),
            r"is not downloaded: give the path of a file",
        ),
        (at("platform", {"type": "BareMetalPlatform", "parameters": {"simulated": False}}), r"no device is at /tmp/"),
    ],
)
def test_what_is_not_known_is_named_with_what_is(write, change, reason, monkeypatch):
    monkeypatch.setattr(scenario, "_is_device", lambda port: False)
    with pytest.raises(ScenarioError, match=re.compile(reason, re.DOTALL)):
        read_scenario(write(change))


def test_all_that_is_wrong_is_said_at_once(write):
    with pytest.raises(ScenarioError) as raised:
        read_scenario(write(at("runtime", "type", "X"), at("dataset", "parameters", "q", 1), at("z", 1)))
    assert str(raised.value).count("\n- ") == 3


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_other_parameter_is_refused_with_the_known_ones(tmp_path_factory, data):
    block = data.draw(st.sampled_from(("dataset", "model_wrapper", "runtime", "runtime_protocol")))
    content = seed()
    known = SCHEMA["$defs"][content[block]["type"].rpartition(".")[2]]["properties"]
    name = data.draw(st.text(min_size=1).filter(lambda name: name not in known))
    content[block]["parameters"][name] = 1
    path = tmp_path_factory.mktemp("scenario") / "scenario.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ScenarioError) as raised:
        read_scenario(path)
    assert f"{block}.parameters: '{name}' is unknown" in str(raised.value)
    assert ", ".join(sorted(known)) in str(raised.value)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_is_json_is_answered_with_a_scenario_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("scenario") / "scenario.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ScenarioError):
        read_scenario(path)


def test_no_file_no_json_and_a_key_twice(tmp_path):
    with pytest.raises(ScenarioError, match="can't be read: No such file"):
        read_scenario(tmp_path / "gone.json")
    for text, reason in (("{", "is not JSON: .*line 1"), ('{"a": 1, "a": 2}', "the key 'a' is there twice")):
        (tmp_path / "no.json").write_text(text)
        with pytest.raises(ScenarioError, match=reason):
            read_scenario(tmp_path / "no.json")


# The port


def test_a_device_that_is_at_the_port_is_used_unless_an_engine_was_chosen(write):
    controller, device = pty.openpty()
    try:
        path = write(at("runtime_protocol", "parameters", "port", os.ttyname(device)))
        read = read_scenario(path)
        assert (read.engine, read.port) == ("serial", os.ttyname(device))
        assert f"a device is at {os.ttyname(device)}, so the board there is used" in "\n".join(read.notes)
        assert f"engine=serial    vlen=512    port={os.ttyname(device)}" in suite_text(read, Path())
        chosen = read_scenario(path, "spike")
        assert (chosen.engine, chosen.port) == ("spike", None)
        assert "is not looked at, because the engine was chosen" in "\n".join(chosen.notes)
        assert read_scenario(path, "serial").port == os.ttyname(device)
        assert read_scenario(path, "serial", "/dev/other").port == "/dev/other"
        simulated = at("platform", {"type": "BareMetalPlatform", "parameters": {"simulated": True}})
        port = at("runtime_protocol", "parameters", "port", os.ttyname(device))
        assert read_scenario(write(port, simulated)).engine == "auto"
    finally:
        os.close(controller)
        os.close(device)


def test_a_file_at_the_port_is_no_device(write, tmp_path):
    (tmp_path / "uart").touch()
    path = write(at("runtime_protocol", "parameters", "port", str(tmp_path / "uart")))
    assert read_scenario(path).engine == "auto"
    assert "so the chip is simulated" in notes_of(path)


# The data


def test_the_order_of_the_classes_is_the_models(write, tmp_path):
    own = tmp_path / "copy.h5"
    own.write_bytes((MODELS / "magic_wand.h5").read_bytes())
    assert read_scenario(write(at("model_wrapper", "parameters", "model_path", str(own)))).class_names is None
    other = tmp_path / "other.h5"
    other.write_bytes(b"a model of Kenning's")
    path = write(at("model_wrapper", "parameters", "model_path", str(other)))
    assert read_scenario(path).class_names == ("wing", "ring", "slope", "negative")
    assert "are taken in Kenning's order, wing, ring, slope, negative" in notes_of(path)
    described = tmp_path / "other.h5.json"
    described.write_text(json.dumps({"output": [{"class_names": ["ring", "wing", "slope", "negative"]}]}))
    assert read_scenario(path).class_names == ("ring", "wing", "slope", "negative")
    assert "class_names=${CLASS NAMES}" in suite_text(read_scenario(path), tmp_path)
    described.write_text("[]")
    with pytest.raises(ScenarioError, match=r"other\.h5\.json is not a description"):
        read_scenario(path)


def test_a_data_set_is_labelled_in_the_order_of_a_model():
    recordings = basic_motions()
    turned = recordings.with_classes(recordings.class_names[::-1])
    assert [turned.class_names[label] for label in turned.labels] == [
        recordings.class_names[label] for label in recordings.labels
    ]
    with pytest.raises(DatasetError, match="has the classes Badminton, .*, not Walking, Flying"):
        recordings.with_classes(("Walking", "Flying"))


def test_recordings_are_found_in_a_folder_as_in_their_archive(tmp_path):
    for label, who in (("wing", "a"), ("ring", "a"), ("slope", "a"), ("negative", "1")):
        (tmp_path / label).mkdir()
        (tmp_path / label / f"output_{label}_{who}.txt").write_text("-,-,-\n" + "1.0,2.0,3.0\n" * 100)
    found = magic_wand(root=tmp_path, held_out=("a",), download=False)
    assert found.inputs.shape == (3, 128, 3, 1)
    assert (magic_wand(tmp_path, held_out=("a",)).inputs == found.inputs).all()
    with pytest.raises(DatasetError, match="holds no Magic Wand recordings, and nothing is downloaded here"):
        magic_wand(root=tmp_path / "empty", download=False)


# The suite


def variables_of(text):
    suite = api.TestSuite.from_string(text)
    found = {variable.name: [unescape(value) for value in variable.value] for variable in suite.resource.variables}
    return suite, found


def test_a_scenario_becomes_a_suite_that_robot_reads(capsys, tmp_path):
    path = tmp_path / "deep" / "seed.robot"
    assert cli.main(["scenario", str(SEED), "--to-suite", str(path), "--samples", "4"]) == 0
    assert f"Suite: {path}" in capsys.readouterr().out
    suite, variables = variables_of(path.read_text())
    steps = suite.tests[0].body
    assert [step.name for step in steps][:4] == ["Compile Model", "Copy File", "Load Data Set", "Evaluate Model"]
    assert "--iree-llvmcpu-target-cpu-features=+m,+f,+zvl512b,+zve32x" in steps[0].args
    assert "samples=4" in steps[3].args
    record = json.loads("\n".join(variables["${SCENARIO}"][1:]))
    assert record == read_scenario(SEED).record
    assert record["sha256"] == hashlib.sha256(SEED.read_bytes()).hexdigest()
    model = path.parent / variables["${MODEL FILE}"][0].removeprefix("${CURDIR}/")
    assert model.resolve() == (MODELS / "magic_wand.h5").resolve()
    assert f" {MODELS.parent}" not in path.read_text()


@pytest.mark.parametrize("is_checkout", [True, False])
def test_a_suite_finds_its_resource_wherever_it_lies(monkeypatch, tmp_path, is_checkout):
    monkeypatch.setattr(scenario_suite, "IS_CHECKOUT", is_checkout)
    scenario = read_scenario(SEED)
    (named,) = re.findall(r"^Resource +(.*)$", scenario_suite.suite_text(scenario, tmp_path), re.MULTILINE)
    assert named == "springbok/bench.resource"
    inside = ROOT / "robot" / "made"
    (named,) = re.findall(r"^Resource +(.*)$", scenario_suite.suite_text(scenario, inside), re.MULTILINE)
    assert named == ("${CURDIR}/../../keywords/springbok/bench.resource" if is_checkout else "springbok/bench.resource")


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1))
def test_no_text_in_a_scenario_is_robots_to_interpret(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("scenario")
    content = seed()
    content["runtime"]["parameters"]["driver"] = text
    (folder / "scenario.json").write_text(json.dumps(content))
    read = read_scenario(folder / "scenario.json")
    write_suite(read, folder / "suite.robot")
    _, variables = variables_of((folder / "suite.robot").read_text(encoding="utf-8"))
    assert json.loads("\n".join(variables["${SCENARIO}"][1:])) == read.record


def test_a_suite_that_can_not_be_written_is_an_error(tmp_path):
    (tmp_path / "occupied").touch()
    with pytest.raises(ScenarioError, match="can't be written"):
        write_suite(read_scenario(SEED), tmp_path / "occupied" / "suite.robot")


def test_the_command_says_what_is_wrong(capsys, tmp_path):
    assert cli.main(["scenario", str(tmp_path / "gone.json")]) == 2
    assert "gone.json" in capsys.readouterr().err


# The report


def test_the_reports_picture_shows_the_blocks():
    document = {"engine": "spike", "engine_version": "1", "vlen_bits": 512, "link": "socket", "firmware": None}
    model = {
        "name": "m", "variant": "vector", "format": "keras", "sha256": "0" * 64, "samples": 4, "class_names": ["a"],
        "compiler": {"version": "3", "flags": []}, "vmfb_bytes": 1, "dataset": {"name": "d", "description": "d: x"},
    }  # fmt: skip
    plain = [step.title for step in picture.scenario(document, model)]
    steps = picture.scenario(document, model | {"scenario": read_scenario(SEED).record})
    assert [step.title for step in steps] == [
        "dataset", "Preprocessing", "model_wrapper", "optimizers", "Target", "runtime", "runtime_protocol", "Engine",
    ]  # fmt: skip
    assert len(plain) == len(steps)
    assert steps[3].name == "IREECompiler"
    assert "compiler_args: 7 of them" in steps[3].details
    assert "→ IREE 3" in steps[3].details


def test_own_data_are_read_from_beside_the_scenario(write, tmp_path):
    (tmp_path / "pump.csv").write_text("a,b,state\n1,2,x\n")
    (tmp_path / "data.py").write_text("def centre(rows):\n    return rows\n")
    own = {"path": "pump.csv", "label": "state", "shape": [2, 1], "preprocessing": ["data.py:centre", "scale 2"]}
    path = write(
        at("dataset", {"type": "springbok.datasets.own", "parameters": own}),
        at(
            "model_wrapper",
            {"type": "springbok.models.Model", "parameters": {"model_path": str(MODELS / "gestures.h5")}},
        ),
    )
    read = read_scenario(path)
    assert read.dataset == str(tmp_path / "pump.csv")
    assert read.data_options["preprocessing"] == [f"{tmp_path / 'data.py'}:centre", "scale 2"]
    text = suite_text(read, tmp_path)
    assert "Load Data Set    ${CURDIR}/pump.csv    label=state    shape=2, 1    " in text
    assert "preprocessing=${CURDIR}/data.py:centre; scale 2" in text
    with pytest.raises(ScenarioError, match="'path' is missing"):
        read_scenario(write(at("dataset", {"type": "springbok.datasets.own", "parameters": {}})))


@pytest.mark.parametrize("suffix", ["", ".h5", ".[x"])
def test_a_model_file_may_be_called_anything_and_is_no_model_of_ours(suffix, tmp_path):
    model = tmp_path / f"model{suffix}"
    model.write_bytes(b"none of ours")
    written = json.loads(SEED.read_text())
    written["model_wrapper"]["parameters"]["model_path"] = str(model)
    written["optimizers"][0]["parameters"]["model_framework"] = "any"
    (tmp_path / "a.json").write_text(json.dumps(written))
    assert any("Kenning's order" in note for note in read_scenario(tmp_path / "a.json").notes)


@pytest.mark.parametrize("path", ["a" * 100_000, "kenning:///" + "b" * 300, "~nobody-is-called-so/x"])
@pytest.mark.parametrize(("block", "name"), [("model_wrapper", "model_path"), ("dataset", "dataset_root")])
def test_paths_that_can_not_be_looked_at_are_said_in_short(path, block, name, tmp_path):
    written = json.loads(SEED.read_text())
    written[block]["parameters"][name] = path
    (tmp_path / "a.json").write_text(json.dumps(written))
    with pytest.raises(ScenarioError) as said:
        read_scenario(tmp_path / "a.json")
    assert said.value.problems
    assert len(str(said.value)) < 2000


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yml", "a: 1\na: 2\n", "not YAML: the key 'a' is there twice"),
        ("a.yml", "[" * 3000, "not YAML: its values are nested too deeply"),
        ("a.yml", 'x: "\\ud800"', "not YAML: a text in it holds half a character"),
        *(("a.yml", text, "not of the kind that its tag") for text in ("!!int ''", "!!bool x", "!!timestamp x")),
        ("a.json", '"\\ud800"', "not JSON: a text in it holds half a character"),
        ("a.json", " " * 1_000_001, "larger than any scenario"),
        ("a.yml", "[]", "must be an object with blocks$"),
        ("a.json", "null", "must be an object with blocks$"),
    ],
)
def test_what_is_no_scenario_is_said_in_its_own_terms(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ScenarioError, match=said):
        read_scenario(tmp_path / name)


def test_keys_that_yaml_merges_are_not_there_twice(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: *a\n")
    assert parse(path.read_bytes(), path) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 1}}


def test_progress_takes_no_tests_name_from_its_line(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(progress, "_FIRST_AFTER_SECONDS", 0)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    show = progress.progress("Sending", terminal)
    show(5, 9)
    show(9, 9)
    line = f"Should Run The Scenario {terminal.getvalue()}\033[32m| PASS |\033[0m\r"
    assert scenario_run._shown(line.encode()) == "Should Run The Scenario | PASS |"
    line = f"a name {terminal.getvalue()}\r       \ra name | FAIL |"
    assert scenario_run._shown(line.encode()) == "a name | FAIL |"
