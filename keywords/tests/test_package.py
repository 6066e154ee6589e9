# SPDX-License-Identifier: Apache-2.0
"""The wheel as its users get it, outside of this checkout: installed, a new repository, and changes that it stops.

What the wheel needs is borrowed from this Python's packages; ``./bench trial package`` installs all of it.
"""

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from springbok import starter
from springbok.gate import verdicts
from springbok.support import pins
from springbok.support.places import KEYWORDS, REQUIREMENTS, ROOT
from springbok.trials import package

SAMPLE = Path(__file__).parent / "sample_repository"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return package.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    return package.install(wheel, tmp_path_factory.mktemp("installed"), borrow=True)


@pytest.fixture(scope="module")
def repository(installed, tmp_path_factory):
    """A new repository whose suites have run once."""
    place = tmp_path_factory.mktemp("mine")
    done = installed.run("springbok-bench", "init", "pump", cwd=place)
    assert done.returncode == 0, done.stdout
    done = installed.run("springbok-bench", "run", "suites", cwd=place / "pump")
    assert done.returncode == 0, done.stdout
    return place / "pump"


def test_the_wheel_holds_what_the_package_reads_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("firmware", "platforms", "models", "docs"):
        there = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
        kept = {f"springbok/files/{name}" for name in there if "__pycache__" not in name}
        assert kept <= names
    assert {f"{path.name}" for path in KEYWORDS.glob("*Library.py")} <= names
    assert {"springbok/bench.resource", "springbok/files/requirements.txt"} <= names
    assert not [name for name in names if "tests/" in name or "__pycache__" in name or name.startswith("build")]


def test_the_wheel_needs_the_pins_of_every_run(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needed = re.findall(r"^Requires-Dist: ([\w.-]+)", archive.read(metadata).decode(), re.MULTILINE)
    groups = pins.read(REQUIREMENTS.read_text())
    pinned = {re.match(r"[\w.-]+", line)[0] for name in ("base", "run") for line in groups[name].lines}
    assert set(needed) == {name.lower().replace("_", "-") for name in pinned}


def test_nothing_of_this_checkout_is_used(installed, tmp_path):
    program = "import springbok, SimulatorLibrary, springbok.support.places as places; print(springbok.__file__)"
    done = installed.run("python", "-c", f"{program}; print(places.ROOT, places.IS_CHECKOUT)", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert str(ROOT) not in done.stdout
    assert done.stdout.split()[-1] == "False"


def test_documents_that_messages_name_can_be_opened(installed, tmp_path):
    told = installed.run("springbok-bench", "--help", cwd=tmp_path).stdout
    folder = Path(told.rpartition("Documents: ")[2].strip())
    assert folder.is_relative_to(installed.folder)
    assert (folder / "chips.md").read_bytes() == (ROOT / "docs" / "chips.md").read_bytes()


def test_a_new_repository_runs_at_once_and_its_results_are_its_own(repository, installed):
    """What it costs is compared with its own baseline, which stays as it is."""
    compared = verdicts.headline(verdicts.read(repository / "results"))
    assert re.match(r"1 baseline read: [1-9]\d* numbers compared, 0 worse", compared)
    (baseline,) = (repository / "results" / "baselines").rglob("*.json")
    assert baseline.read_bytes() == (starter.TEMPLATE / baseline.relative_to(repository)).read_bytes()
    written = {path.name for path in (repository / "results").iterdir()}
    assert {"report.html", "log.html", "metrics.json", "xunit.xml", "summary.md"} <= written
    site = next((installed.folder / "lib").glob("python*")) / "site-packages" / "springbok"
    assert not (site / "files" / "build").exists()
    assert not [path for path in site.rglob("results") if "starter" not in path.parts]


@pytest.fixture(scope="module")
def sample(installed, tmp_path_factory):
    """The repository of a team with a model through ONNX, two inputs, a table and baselines of its own; run once."""
    place = tmp_path_factory.mktemp("sample") / "mixer"
    shutil.copytree(SAMPLE, place)
    done = installed.run("python", "models/make_mixer.py", cwd=place)
    assert done.returncode == 0, done.stdout
    done = installed.run("springbok-bench", "run", "suites", "--update-baselines", cwd=place)
    assert done.returncode == 0, done.stdout
    return place


def test_a_repository_with_a_model_through_onnx_has_baselines_of_its_own(sample, installed):
    assert len(list((sample / "results" / "baselines").rglob("*.json"))) == 1
    measured = json.loads((sample / "results" / "metrics.json").read_text())
    assert (measured["chip"], measured["vlen_bits"]) == ("mixer_soc", 256)
    (model,) = measured["models"]
    assert model["samples"] == 24
    assert model["dataset"]["preprocessing"][0].startswith("mixer.py:inputs (sha256 ")
    assert any("/features/0/Conv" in each["layer"] for each in model["dispatches"])


def test_a_slower_model_of_that_repository_is_stopped_with_its_layer(sample, installed):
    (written,) = (sample / "results" / "baselines").rglob("*.json")
    before, script = written.read_bytes(), sample / "models" / "make_mixer.py"
    script.write_text(script.read_text().replace("CHANNELS = 8", "CHANNELS = 24"))
    assert installed.run("python", "models/make_mixer.py", cwd=sample).returncode == 0
    done = installed.run("springbok-bench", "run", "suites", cwd=sample)
    assert done.returncode == 1, done.stdout
    assert re.search(r"0 /features/0/Conv.*: \+[\d,]+ instructions", done.stdout), done.stdout
    assert written.read_bytes() == before


def test_a_suite_anywhere_uses_the_libraries_by_name(installed, tmp_path):
    (tmp_path / "mine.robot").write_text(
        "*** Settings ***\n"
        "Library    CompilerLibrary\n\n"
        "*** Test Cases ***\n"
        "Should Have Vectors\n"
        "    ${model}=    Compile Model    first.mlir\n"
        "    Module Should Contain Vector Instructions    ${model}\n"
    )
    (tmp_path / "first.mlir").write_text(
        "func.func @main(%x: tensor<64xf32>) -> tensor<64xf32> {\n"
        "  %y = arith.addf %x, %x : tensor<64xf32>\n"
        "  return %y : tensor<64xf32>\n"
        "}\n"
    )
    done = installed.run("python", "-m", "robot", "--output", "NONE", "mine.robot", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_commands_of_the_checkout_are_not_offered(installed, tmp_path):
    shown = installed.run("springbok-bench", "--help", cwd=tmp_path).stdout
    assert "  init " in shown and "  run " in shown
    assert not re.search(r"^  (test|lint|trial) ", shown, re.MULTILINE)
    done = installed.run("springbok-bench", "run", cwd=tmp_path)
    assert done.returncode == 2 and "there is no suites here" in done.stdout
    assert "springbok-bench run' writes them" in installed.run("springbok-bench", "report", "x", cwd=tmp_path).stdout


def test_this_python_is_the_one_that_is_tried(installed):
    assert (next((installed.folder / "lib").glob("python*"))).name == f"python3.{sys.version_info.minor}"
