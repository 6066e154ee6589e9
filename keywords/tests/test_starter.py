# SPDX-License-Identifier: Apache-2.0
"""The repository that ``springbok-bench init`` writes."""

import re

import numpy as np
import onnx
import pytest
import yaml

from springbok import starter
from springbok.support.errors import BenchError
from springbok.support.places import ROOT


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "mine"
    starter.create(folder)
    return folder


def test_all_files_are_there_and_hidden_ones_are_hidden(repository):
    written = {str(path.relative_to(repository)) for path in repository.rglob("*") if path.is_file()}
    assert written == {str(path) for path in starter.files()}
    assert {".gitignore", ".gitlab-ci.yml", ".github/workflows/bench.yml", "suites/pump.robot"} <= written
    assert not [name for name in written if "dot-" in name]


def test_nothing_is_overwritten(repository):
    (repository / "data" / "pump.csv").write_text("mine")
    with pytest.raises(BenchError, match=r"holds .*data/pump.csv.* already, and nothing is overwritten"):
        starter.create(repository)
    assert (repository / "data" / "pump.csv").read_text() == "mine"
    with pytest.raises(BenchError, match="README.md is a file"):
        starter.create(repository / "README.md")


def test_it_pins_the_version_that_wrote_it(repository):
    assert (repository / "requirements.txt").read_text() == f"springbok-bench=={starter.version()}\n"


def test_its_ci_runs_its_suites_and_parses(repository):
    for name in (".gitlab-ci.yml", ".github/workflows/bench.yml"):
        text = (repository / name).read_text()
        assert yaml.safe_load(text)
        (suites,) = re.findall(r"springbok-bench run (\S+)", text)
        assert (repository / suites).is_dir()


def test_its_readme_lists_what_is_there(repository):
    named = set(re.findall(r"`([\w/]+\.\w+)`", (repository / "README.md").read_text()))
    written_by_a_run = {"report.html", "log.html", "metrics.json", "xunit.xml", "summary.md"}
    assert {name for name in named if not (repository / name).exists()} == written_by_a_run


def test_the_projects_readme_shows_its_suite_and_its_ci(repository):
    readme = (ROOT / "README.md").read_text()
    suite = (repository / "suites" / "pump.robot").read_text()
    assert f"```robotframework\n{suite}```" in readme
    workflow = (repository / ".github" / "workflows" / "bench.yml").read_text()
    for step in re.findall(r"^- run: .*", readme, re.MULTILINE):
        assert step in workflow


def test_its_model_and_data_are_what_its_script_makes(repository, monkeypatch):
    model = (repository / "models" / "pump.onnx").read_bytes()
    data = (repository / "data" / "pump.csv").read_text()
    (repository / "models" / "pump.onnx").unlink()
    scope = {"__file__": str(repository / "models" / "make_pump.py"), "__name__": "make_pump"}
    exec(compile((repository / "models" / "make_pump.py").read_text(), "make_pump.py", "exec"), scope)  # noqa: S102
    scope["main"]()
    assert (repository / "data" / "pump.csv").read_text() == data
    made, kept = onnx.load(repository / "models" / "pump.onnx"), onnx.load_from_string(model)
    for one, other in zip(made.graph.initializer, kept.graph.initializer, strict=True):
        assert np.allclose(onnx.numpy_helper.to_array(one), onnx.numpy_helper.to_array(other), rtol=1e-3, atol=1e-4)
