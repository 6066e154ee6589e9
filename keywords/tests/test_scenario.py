# SPDX-License-Identifier: Apache-2.0
"""Kenning's scenario files: the seed's own, both spellings, what is translated, and what is said of unknown parts."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from robot.api import TestSuite

from springbok import cli
from springbok.errors import ScenarioError
from springbok.scenario import SCHEMA_FILE, read_scenario, with_data

SEED = Path(__file__).parent / "scenarios" / "seed.json"
CONTENT = json.loads(SEED.read_text())


@pytest.fixture
def write(tmp_path):
    """Writes a scenario: the seed's, changed by a function."""

    def write(change=lambda content: None):
        content = copy.deepcopy(CONTENT)
        content["model_wrapper"]["parameters"]["model_path"] = str(SEED.parents[3] / "models" / "magic_wand.h5")
        change(content)
        path = tmp_path / "scenario.json"
        path.write_text(json.dumps(content))
        return path

    return write


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA_FILE.read_text()))


def test_the_seeds_scenario():
    scenario = read_scenario(SEED)
    assert (scenario.dataset, scenario.data, scenario.model.name) == ("magic_wand", None, "magic_wand.h5")
    assert (scenario.target.variant, scenario.target.vlen) == ("vector", 512)
    assert scenario.flags[3] == "iree-llvm-target-triple=riscv32-pc-linux-elf"
    assert (scenario.port, scenario.baudrate) == ("/tmp/uart", 115200)
    assert scenario.module == Path("build/tflite-magic-wand.vmfb").resolve()
    notes = "\n".join(scenario.notes)
    assert "--iree-llvm-target-abi=ilp32 is called --iree-llvmcpu-target-abi=ilp32 by now" in notes
    assert "driver has no effect" in notes
    assert "/tmp/uart is for a board" in notes


def test_the_later_spelling(write):
    def later(content):
        content["protocol"] = content.pop("runtime_protocol")
        content["protocol"]["type"] = "kenning.protocols.uart.UARTProtocol"
        content["optimizers"][0]["type"] = "kenning.optimizers.iree.IREECompiler"

    assert read_scenario(write(later)).port == "/tmp/uart"

    def both(content):
        content["protocol"] = content["runtime_protocol"]

    with pytest.raises(ScenarioError, match="two spellings of the same"):
        read_scenario(write(both))


@pytest.mark.parametrize(
    ("features", "variant", "vlen"),
    [("+m,+f", "scalar", 512), ("+m,+f,+zvl256b,+zve32f", "vector", 256), ("+v", "vector", 512)],
)
def test_the_core_is_what_the_features_say(write, features, variant, vlen):
    def change(content):
        arguments = [f"iree-llvm-target-cpu-features={features}"]
        content["optimizers"][0]["parameters"]["compiler_args"] = arguments

    target = read_scenario(write(change)).target
    assert (target.variant, target.vlen) == (variant, vlen)


def test_without_an_optimizer_and_a_protocol_the_defaults_serve(write):
    def least(content):
        for key in ("optimizers", "runtime", "runtime_protocol"):
            del content[key]

    scenario = read_scenario(write(least))
    assert (scenario.flags, scenario.module, scenario.port, scenario.target.vlen) == ((), None, None, 512)


def set_at(*place_and_value):
    *place, last, value = place_and_value

    def change(content):
        part = content
        for key in place:
            part = part[key]
        part[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_at("dataset", "type", "kenning.datasets.x.X"), r"dataset\.type is 'kenning.*known are: kenning\.data"),
        (set_at("optimizers", 0, "type", "TVM"), r"optimizers\.0\.type is 'TVM'; known are: kenning\.compilers\.iree"),
        (set_at("runtime", "parameters", "drivre", 1), r"runtime\.parameters holds 'drivre'; known are: driver"),
        (set_at("platform", {}), r"the scenario holds 'platform'; known are: dataset, model_wrapper"),
        (set_at("runtime_protocol", "parameters", "endianness", "big"), r"endianness is 'big'; known are: little"),
        (set_at("runtime_protocol", "parameters", "baudrate", "fast"), r"baudrate: 'fast' is not of type 'integer'"),
        (set_at("model_wrapper", "parameters", {}), r"model_wrapper\.parameters lacks 'model_path'"),
        (set_at("model_wrapper", "parameters", "model_path", "gone.h5"), r"there is no gone\.h5, neither in"),
        (set_at("dataset", "parameters", "download_dataset", False), r"download_dataset is false, and .* no data\.tar"),
        (
            set_at("optimizers", 0, "parameters", "compiler_args", ["iree-llvm-target-cpu-features=+zvl64b,+zve32x"]),
            r"no VLEN 64; known are: 0, 128",
        ),
    ],
)
def test_what_is_not_known_is_named_with_what_is(write, change, reason):
    with pytest.raises(ScenarioError, match=reason):
        read_scenario(write(change))


def test_no_file_and_no_json(tmp_path):
    with pytest.raises(ScenarioError, match="can't be read"):
        read_scenario(tmp_path / "gone.json")
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(ScenarioError, match=r"no\.json is not JSON"):
        read_scenario(tmp_path / "no.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ScenarioError, match="is not of type 'object'"):
        read_scenario(tmp_path / "list.json")


def test_a_local_archive_is_taken(write, tmp_path):
    (tmp_path / "wand").mkdir()
    (tmp_path / "wand" / "data.tar.gz").touch()
    scenario = read_scenario(write(set_at("dataset", "parameters", "dataset_root", str(tmp_path / "wand"))))
    assert scenario.data == tmp_path / "wand" / "data.tar.gz"
    assert with_data(scenario, "other.tar.gz").data == Path("other.tar.gz").resolve()


def test_a_scenario_becomes_a_suite_that_robot_reads(capsys, tmp_path):
    assert cli.main(["scenario", str(SEED), "--to-suite", "--samples", "4"]) == 0
    path = tmp_path / "seed.robot"
    path.write_text(capsys.readouterr().out)
    suite = TestSuite.from_file_system(path)
    keywords = [step.name for step in suite.tests[0].body]
    assert keywords[:4] == ["Load Data Set", "Compile Model", "Copy File", "Evaluate Model"]
    arguments = suite.tests[0].body[1].args
    assert "iree-llvm-target-cpu-features=+m,+f,+zvl512b,+zve32x" in arguments
    assert suite.tests[0].body[3].args[-1] == "samples=4"


def test_the_command_says_what_is_wrong(capsys, tmp_path):
    assert cli.main(["scenario", str(tmp_path / "gone.json")]) == 2
    assert "gone.json" in capsys.readouterr().err
