# SPDX-License-Identifier: Apache-2.0
"""The launcher and its commands, without installing or running anything large."""

import importlib.machinery
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from springbok import cli, trials
from springbok.support import packages
from springbok.support.errors import BenchError
from springbok.support.places import ROOT
from springbok.trials import mutation


@pytest.fixture
def launcher():
    loader = importlib.machinery.SourceFileLoader("bench", str(ROOT / "bench"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
    loader.exec_module(module)
    return module


def test_a_python_that_is_too_old_says_so(launcher, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    with pytest.raises(SystemExit) as stopped:
        launcher.main(["run"])
    assert "3.10 or newer is needed" in stopped.value.code


def test_each_group_of_packages_is_installed_once(launcher, monkeypatch, tmp_path):
    monkeypatch.setattr(launcher, "VENV", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    installed = []
    monkeypatch.setattr(launcher, "PLACE", tmp_path)
    monkeypatch.setattr(launcher, "install", installed.append)
    known = launcher.pinned()
    for _ in range(2):
        launcher.set_up(["base", "run"])
    launcher.set_up(["base", "sweep"])
    assert installed == [[*known["base"].lines, *known["run"].lines], [*known["sweep"].lines]]
    assert launcher.is_set_up(["run", "sweep"])
    assert not launcher.is_set_up(launcher.NEEDED["test"])


@pytest.mark.parametrize(
    ("arguments", "groups"),
    [
        (["--help"], ["base"]),
        (["run", "--help"], ["base"]),
        (["compare", "a"], ["base"]),
        (["run", "--", "--help"], ["base", "run"]),
        (["sweep"], ["base", "run", "sweep"]),
    ],
)
def test_a_command_needs_no_more_than_it_uses(launcher, arguments, groups):
    assert launcher.groups_for(arguments) == groups


def test_what_another_python_set_up_stays(launcher, monkeypatch, tmp_path):
    monkeypatch.setattr(launcher, "VENV", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "kept").touch()
    monkeypatch.setattr(sys, "executable", "/another/python")
    launcher.make_venv()
    assert (tmp_path / "kept").exists()


def test_the_count_of_packages_ends_at_its_total(launcher, monkeypatch, capsys):
    said = [
        "Ignoring numpy: markers 'x' don't match your environment\n",
        "Collecting numpy==2.4.6\n",
        "Collecting a==1\n",
    ]
    monkeypatch.setattr(launcher, "supervise", lambda _, show: [show(line) for line in said])
    launcher.install(["numpy==2.2.6; x", "numpy==2.4.6", "a==1"])
    assert capsys.readouterr().err.splitlines()[-1].strip() == "[ 2/2] a==1"


def test_where_the_checkout_is_read_only_the_set_up_is_in_the_users_cache(launcher, monkeypatch, tmp_path):
    assert launcher.place_of(tmp_path) == tmp_path
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(launcher.os, "access", lambda path, mode: False)
    assert launcher.place_of(tmp_path) == packages.cache_folder(tmp_path)
    (tmp_path / ".venv").mkdir()
    assert launcher.place_of(tmp_path) == tmp_path


def test_the_set_up_shows_what_its_commands_say(launcher):
    lines = []
    assert launcher.supervise(["sh", "-c", "echo one; echo two >&2"], lines.append)
    assert lines == ["one\n", "two\n"]
    assert not launcher.supervise(["false"], lines.append)
    assert not launcher.supervise(["no-such-program"], lines.append)


def test_every_requirement_is_pinned_exactly():
    for name in ("requirements.txt", "requirements-test.txt"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
        assert lines
        assert [line for line in lines if "==" not in line.split(";")[0]] == []


def test_a_suite_that_is_missing_is_named(capsys):
    assert cli.main(["run", "robot/no_such_suite.robot", "--engine", "spike"]) == 2
    assert "There is no suite robot/no_such_suite.robot" in capsys.readouterr().err


def test_renode_that_is_missing_is_an_error_with_advice(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("RENODE_ROOT", raising=False)
    assert cli.main(["run", "--engine", "renode"]) == 2
    assert "put renode-test on PATH or set RENODE_ROOT" in capsys.readouterr().err


def test_what_follows_two_dashes_is_robots(monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "_call", lambda command: seen.append(command) or 0)
    monkeypatch.setattr(cli, "build_firmware", type("F", (), {"summary": lambda self: ""}))
    monkeypatch.setattr(cli, "print_summary", lambda results: None)
    assert cli.main(["run", "--engine", "spike", "--", "--test", "Should *"]) == 0
    command = seen[0]
    assert command[command.index("--test") + 1] == "Should *"
    assert command[-1].endswith("gestures.robot")


def test_trials_are_listed_and_run_with_their_own_options(capsys, monkeypatch):
    assert cli.main(["trial"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [trial.name for trial in trials.TRIALS]
    seen = []
    monkeypatch.setattr(mutation, "main", lambda arguments: seen.append(arguments) or 3)
    assert cli.main(["trial", "mutation", "--count", "7"]) == 3
    assert seen == [["--count", "7"]]


def test_every_trial_can_be_started(capsys):
    for trial in trials.TRIALS:
        with pytest.raises(SystemExit) as ended:
            cli.main(["trial", trial.name, "--help"])
        assert ended.value.code == 0
        assert "usage:" in capsys.readouterr().out


def test_an_unknown_trial_is_an_error_with_the_known_ones(capsys):
    assert cli.main(["trial", "luck"]) == 2
    assert "There is no trial 'luck'. Known are: fuzz, " in capsys.readouterr().err


def test_a_failing_run_fails_the_command(monkeypatch):
    monkeypatch.setattr(cli, "_call", lambda command: 3)
    monkeypatch.setattr(cli, "build_firmware", type("F", (), {"summary": lambda self: ""}))
    monkeypatch.setattr(cli, "print_summary", lambda results: None)
    assert cli.main(["run", "--engine", "spike"]) == 3


def test_metrics_of_an_earlier_run_never_pass_for_this_runs(monkeypatch, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"models": []}))
    monkeypatch.setattr(cli, "_call", lambda command: 252)
    cli.run_robot("spike", [cli.DEFAULT_SUITE], tmp_path, None, [])
    assert not (tmp_path / "metrics.json").exists()


# ---- Renode

FAKE_RENODE_TEST = """#!{python}
import json, pathlib, sys
results = pathlib.Path(sys.argv[sys.argv.index("-r") + 1])
(results / "arguments.json").write_text(json.dumps(sys.argv[1:]))
for suite in (argument for argument in sys.argv if argument.endswith(".robot")):
    name = pathlib.Path(suite).stem
    (results / name).mkdir(exist_ok=True)
    content = {{"schema": 1, "engine": "renode", "models": [{{"name": name}}]}}
    (results / name / "metrics.json").write_text(json.dumps(content))
sys.exit(3)
"""


@pytest.fixture
def renode_root(monkeypatch, tmp_path):
    root = tmp_path / "renode"
    root.mkdir()
    runner = root / "renode-test"
    runner.write_text(FAKE_RENODE_TEST.format(python=sys.executable))
    runner.chmod(0o755)
    monkeypatch.setenv("RENODE_ROOT", str(root))
    return root


def test_auto_is_renode_where_renode_is(renode_root, monkeypatch):
    assert cli.choose_engine("auto") == "renode"
    monkeypatch.delenv("RENODE_ROOT")
    monkeypatch.setenv("PATH", str(renode_root))
    assert cli.choose_engine("auto") == "renode"
    monkeypatch.setenv("PATH", "")
    assert cli.choose_engine("auto") == "spike"


def test_a_renode_root_without_renode_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("RENODE_ROOT", str(tmp_path))
    with pytest.raises(BenchError, match="there is no renode-test in it"):
        cli.choose_engine("auto")


def test_suites_run_by_renode_test_and_their_metrics_come_together(renode_root, tmp_path):
    suites = [tmp_path / "one.robot", tmp_path / "more"]
    suites[1].mkdir()
    for suite in (suites[0], suites[1] / "two.robot"):
        suite.touch()
    results = tmp_path / "results"
    (results / "stale").mkdir(parents=True)
    old = results / "stale" / "metrics.json"
    old.write_text('{"schema": 1, "engine": "renode", "models": [{"name": "stale"}]}')
    os.utime(old, (0, 0))
    assert cli.run_renode(suites, results, ["-j", "2"]) == 3
    arguments = json.loads((results / "arguments.json").read_text())
    assert arguments[:4] == ["-r", str(results), "-j", "2"]
    names = [model["name"] for model in json.loads((results / "metrics.json").read_text())["models"]]
    assert names == ["one", "two"]


def test_without_renode_one_line_says_what_was_left_out(monkeypatch, capsys):
    monkeypatch.delenv("RENODE_ROOT", raising=False)
    monkeypatch.setenv("PATH", "")
    assert cli._test_on_renode([Path("gestures.robot")], None) == 0
    assert "suites that need Renode, and 1 suites a second time on it" in capsys.readouterr().out


def test_options_for_the_optimizer_reach_the_suites_as_variables():
    options = cli._parser().parse_args(["run", "--optimize", "none", "--transformations"])
    variables = cli._suite_variables(options)
    assert variables == ["--variable", "OPTIMIZE:none", "--variable", "MEASURE_TRANSFORMATIONS:yes"]
    assert cli._suite_variables(cli._parser().parse_args(["run"])) == []
