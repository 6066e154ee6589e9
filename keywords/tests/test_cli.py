# SPDX-License-Identifier: Apache-2.0
"""The launcher and its commands, without installing or running anything large."""

import importlib.machinery
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_models import DENSE

from springbok import cli, trials
from springbok.cli import checks, run, running, team
from springbok.cli import compile as compile_command
from springbok.cli import test as test_command
from springbok.cli.running import ROBOT
from springbok.compiler import importers
from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR
from springbok.compiler.importers import FORMATS
from springbok.data import datasets
from springbok.data.packaged import magic_wand
from springbok.starter import version
from springbok.support import packages, process
from springbok.support.cache import Cache
from springbok.support.errors import BenchError
from springbok.support.places import KEYWORDS, MODELS, ROOT, SUITES
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


MANY_LINES = """
import sys
from springbok import cli
from springbok.cli import models
models.run = lambda options: [print(number) for number in range(100_000)] and 0
sys.exit(cli.main(["models"]))
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_reads_may_go_and_a_full_disk_is_the_outputs(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-c", MANY_LINES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as running:
        assert running.stdout.readline() == b"0\n"
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 128 + signal.SIGPIPE
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "springbok-bench: The output can't be written: the disk is full. Free some space, then start again.\n"
    )


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
    monkeypatch.setattr(running, "call", lambda command: seen.append(command) or 0)
    monkeypatch.setattr(run, "build_firmware", lambda chip: SimpleNamespace(built=False, summary=lambda: ""))
    monkeypatch.setattr(run, "print_summary", lambda results: None)
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
    monkeypatch.setattr(running, "call", lambda command: 3)
    monkeypatch.setattr(run, "build_firmware", lambda chip: SimpleNamespace(built=False, summary=lambda: ""))
    monkeypatch.setattr(run, "print_summary", lambda results: None)
    assert cli.main(["run", "--engine", "spike"]) == 3


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_run_that_a_fault_ends_says_so_at_its_end(monkeypatch, tmp_path, capfd, number):
    """With where Python was, where it can still tell; that no baseline was written changes nothing of it."""
    monkeypatch.setattr(run, "build_firmware", lambda chip: SimpleNamespace(built=False, summary=lambda: ""))
    (tmp_path / "Dying.py").write_text(f"import os\n\n\ndef die():\n    os.kill(os.getpid(), {number:d})\n")
    suite = tmp_path / "die.robot"
    suite.write_text("*** Settings ***\nLibrary    Dying.py\n\n*** Test Cases ***\nShould Live\n    Die\n")
    folder = tmp_path / "results"
    arguments = ["run", str(suite), "--engine", "spike", "--results", str(folder), "--history", "none"]
    assert cli.main([*arguments, *(["--update-baselines"] if number == signal.SIGABRT else [])]) == 128 + number
    told, words = capfd.readouterr()
    assert told.splitlines()[-1] == (
        f"The run died by signal {number:d} ({number.name}): its test did not end, and no later one has run. "
        f"There is no log, and {folder / 'output.xml'} is cut short; what the process said last is above, below the "
        "name of the test."
    )
    assert ("Dying.py" in words) == (number != signal.SIGKILL)


def test_metrics_of_an_earlier_run_never_pass_for_this_runs(monkeypatch, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"models": []}))
    monkeypatch.setattr(running, "call", lambda command: 252)
    running.run_robot("spike", [run.DEFAULT_SUITE], tmp_path, None, [])
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
    assert running.choose_engine("auto") == "renode"
    monkeypatch.delenv("RENODE_ROOT")
    monkeypatch.setenv("PATH", str(renode_root))
    assert running.choose_engine("auto") == "renode"
    monkeypatch.setenv("PATH", "")
    assert running.choose_engine("auto") == "spike"


def test_a_renode_root_without_renode_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("RENODE_ROOT", str(tmp_path))
    with pytest.raises(BenchError, match="there is no renode-test in it"):
        running.choose_engine("auto")


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
    assert running.run_renode(suites, results, ["-j", "2"]) == 3
    arguments = json.loads((results / "arguments.json").read_text())
    assert arguments[:4] == ["-r", str(results), "-j", "2"]
    names = [model["name"] for model in json.loads((results / "metrics.json").read_text())["models"]]
    assert names == ["one", "two"]


def test_without_renode_one_line_says_what_was_left_out(monkeypatch, capsys):
    monkeypatch.delenv("RENODE_ROOT", raising=False)
    monkeypatch.setenv("PATH", "")
    assert test_command._test_on_renode([Path("gestures.robot")], None) == 0
    assert "suites that need Renode, and 1 suites a second time on it" in capsys.readouterr().out


def variables_of(*arguments):
    options = cli.COMMANDS["run"].parse(arguments)
    return run.suite_variables(options, options.vlen)


def test_options_of_a_run_reach_the_suites_as_variables():
    assert variables_of("--optimize", "none", "--transformations", "--vlen", "256") == [
        "--variable", "OPTIMIZE:none", "--variable", "MEASURE_TRANSFORMATIONS:yes", "--variable", "VLEN:256"
    ]  # fmt: skip
    assert variables_of() == []


def test_the_chip_of_a_run_wins_over_that_of_a_suites_resource(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert variables_of("--platform", "coralnpu_soc") == ["--variable", "PLATFORM:coralnpu_soc"]
    assert variables_of("--platform", "my.toml") == ["--variable", f"PLATFORM:{tmp_path / 'my.toml'}"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pump.onnx", "pump.onnx is a model and no suite"),
        ("pump.csv", "pump.csv is no suite: a file that ends with .robot is meant"),
        ("chip.resource", "chip.resource is no suite"),
        ("README", "README is no suite"),
        ("folder", "There is no suite in the folder folder"),
        ("pipe", "pipe is no suite"),
        ("nowhere.robot", "There is no suite nowhere.robot. "),
        ("pomp.robot", "There is no suite pomp.robot (did you mean 'pump.robot'?)."),
    ],
)
def test_what_is_no_suite_starts_nothing(nothing_starts, tmp_path, monkeypatch, capsys, name, said):
    monkeypatch.chdir(tmp_path)
    for file in ("pump.onnx", "pump.csv", "pump.robot", "chip.resource", "README", "folder/pump.csv"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_bytes(b"x")
    os.mkfifo("pipe")
    Path("nowhere.robot").symlink_to("nothing")
    assert cli.main(["run", "pump.robot", name]) == 2
    assert said in capsys.readouterr().err


def test_what_robot_is_told_to_take_is_a_suite(tmp_path):
    (tmp_path / "suite.md").write_text("x")
    for options in (["--parser", "mine.py"], ["-F", "md"], ["--extension=md"]):
        checks.check_suites([tmp_path, tmp_path / "suite.md"], options)


# ---- Ctrl-C at any moment

PLACES = {
    "in the launcher": ("bench", "import fcntl\n"),
    "while Python starts": ("keywords/springbok/cli/__init__.py", "import argparse\n"),
    "while a command is imported": ("keywords/springbok/cli/data.py", "import argparse\n"),
}


def test_ctrl_c_while_robot_is_imported_leaves_no_traceback(tmp_path):
    """Behind that Robot answers it."""
    (tmp_path / "robot.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{KEYWORDS}"}
    done = subprocess.run(ROBOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    asks = "import signal\ndef run_cli(given):\n    print(signal.getsignal(signal.SIGINT).__name__, *given)\n"
    (tmp_path / "robot.py").write_text(asks)
    done = subprocess.run([*ROBOT, "--help"], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "default_int_handler --help\n"


def test_letters_that_a_terminal_lacks_are_written_as_codes(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(KEYWORDS), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "springbok.cli", "fit", "ü.h5"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "\\xfc.h5" in done.stderr


def test_the_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"springbok-bench {version()}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["platform", __file__], "is a file: name the folder"),
        (["init", ""], "FOLDER is empty. If a variable was meant there, it is not set."),
        (["run", "suites", ""], "SUITE is empty"),
        (["run", "--baselines="], "--baselines is empty"),
        (["platform", "x", "--platform", ""], "--platform is empty"),
        (["sweep", "--types=,"], "--types: ',' names nothing"),
        (["sweep", "--data-option", ""], "--data-option is empty"),
        (["compile", "m.onnx", "--flags", "--a=1"], 'which is given as --flags="…" where it begins with a dash'),
    ],
)
def test_names_that_lead_nowhere_are_said(capsys, arguments, said):
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--platform", "~/a b.toml"], "{home}/a b.toml"),
        (["--platform=~/chip.toml"], "{home}/chip.toml"),
        (["--platform", "~no one/chip.toml"], "~no one/chip.toml"),
        (["--platform=a~/chip.toml"], "a~/chip.toml"),
    ],
)
def test_homes_that_no_shell_has_seen_are_those_of_the_user(monkeypatch, words, value):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cli.COMMANDS["fit"].parse(["m.h5", *words]).platform == value.format(home="/home/somebody")


@pytest.mark.parametrize("place", ["/proc/none", "/dev/null/none"])
def test_a_repository_that_can_not_be_made_is_a_sentence(capsys, place):
    assert cli.main(["init", place]) == 2
    assert f"springbok-bench: {place}" in capsys.readouterr().err


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_c_is_answered_by_a_sentence_from_the_first_moment_on(tmp_path, place):
    """In a copy of the project that gets the signal just there."""
    shutil.copy(ROOT / "bench", tmp_path)
    shutil.copytree(ROOT / "keywords" / "springbok", tmp_path / "keywords" / "springbok")
    (tmp_path / "launched.py").write_text(LAUNCHED.format(root=str(ROOT), python=sys.executable))
    name, line = PLACES[place]
    text = (tmp_path / name).read_text()
    interrupt = f"import os, signal; os.kill(os.getpid(), signal.SIGINT)\n{line}"
    (tmp_path / name).write_text(text.replace(line, interrupt, 1))
    done = subprocess.run(
        [sys.executable, "launched.py", "data"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == "\nspringbok-bench: ended by SIGINT.\n"
    assert done.returncode == 128 + signal.SIGINT


# The launcher of the copy, with what it installs already there; a shell's job in the background ignores SIGINT.
LAUNCHED = """
import runpy, signal, sys
from pathlib import Path

signal.signal(signal.SIGINT, signal.default_int_handler)
Path(".venv/bin").mkdir(parents=True)
Path(".venv/bin/python").symlink_to({python!r})
for name in ("requirements.txt", "requirements-test.txt"):
    Path(name).write_bytes((Path({root!r}) / name).read_bytes())
launcher = runpy.run_path(str(Path({root!r}) / "bench"))
launcher["stamp_of"].__globals__["VENV"] = Path(".venv").absolute()
for group in launcher["pinned"]().values():
    launcher["stamp_of"](group).touch()
sys.argv[0] = "bench"
runpy.run_path("bench", run_name="__main__")
"""


# ---- What does not exist


def test_help_names_every_command_without_importing_any(capsys):
    assert cli.main(["--help"]) == cli.main([]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == [*cli.COMMANDS, *cli.COMMANDS]
    modules = {
        path.stem for path in Path(cli.__file__).parent.glob("*.py") if "\ndef add_arguments" in path.read_text()
    }
    assert modules == {name.replace("-", "_") for name in cli.COMMANDS}


@pytest.mark.parametrize("command", [["compare"], ["history", "add"], ["matrix"], ["history", "show"]])
def test_options_may_stand_before_between_and_behind_what_has_no_name(command):
    name, *action = command
    folders, option = ["one", "two"], ["--output", "there"]
    ways = (option + folders, folders + option, ["one", *option, "two"])
    found = {str(sorted(vars(cli.find(name).parse([*action, *way])).items())) for way in ways}
    assert len(found) == 1 and "'one', 'two'" in found.pop()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "There is no command 'rnu' (did you mean 'run'?)."),
        (["run", "--vlenn", "512"], "./bench run takes no option '--vlenn' (did you mean '--vlen'?)."),
        (["run", "--engine", "spikes"], "--engine can't be 'spikes' (did you mean 'spike'?): choose from auto, "),
        (["run", "--vlen", "500"], "VLEN 500 is not available on Springbok: choose one of 0, 128, 256, 512, 1024 (--"),
        (["run", "--baseline", "old"], "--earlier RESULT"),
        (["report", "--result=x"], "./bench report takes no option '--result'"),
        (["trial", "muttation"], "There is no trial 'muttation' (did you mean 'mutation'?)."),
        (["data", "mnits"], "There is no data set 'mnits' (did you mean 'mnist'?)"),
        (["compare"], "./bench compare: the following arguments are required: RESULT."),
    ],
)
def test_what_does_not_exist_is_named_with_the_nearest(capsys, arguments, said):
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err


# ---- What would stop every test is said once, before anything starts


@pytest.fixture
def nothing_starts(monkeypatch):
    def started(*_):
        raise AssertionError("it starts")

    for name in ("build_firmware", "run_robot", "run_renode"):
        monkeypatch.setattr(run, name, started)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "gone.tar.gz"], "There is no archive gone.tar.gz"),
        (["--data", __file__], "is no archive: --data names the Magic Wand recordings"),
        (["--earlier", "gone"], "gone"),
        (
            ["--baselines", "gone"],
            "no folder gone with baselines. --update-baselines --baselines gone makes it",
        ),
        (["--baselines", __file__, "--update-baselines"], "is a file: name a folder"),
        (["--baselines", f"{__file__}/below", "--update-baselines"], f"{__file__} is a file: name a folder"),
        (["--timing", "chipp"], "(did you mean 'chip'?)"),
        (["--port", "/dev/gone"], "--engine serial and --port belong together"),
        (["--engine", "serial"], "--engine serial and --port belong together"),
        (
            ["--engine", "serial", "--port", "/dev/gone"],
            "/dev/gone can't be opened: No such file or directory. Check that",
        ),
        (["--engine", "serial", "--port", "socket://127.0.0.1:9"], "No board answers at --port socket://127.0.0.1:9"),
    ],
)
def test_what_would_stop_every_test_is_said_before_anything_starts(nothing_starts, capsys, tmp_path, arguments, said):
    given = [] if "--engine" in arguments else ["--engine", "spike"]
    assert cli.main(["run", *given, *arguments, "--results", str(tmp_path / "results")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_board_that_says_nothing_is_no_board(nothing_starts, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "BOOT_LIMIT_SECONDS", 0.3)
    ours, theirs = os.openpty()
    try:
        port = os.ttyname(theirs)
        assert cli.main(["run", "--engine", "serial", "--port", port, "--results", str(tmp_path)]) == 2
    finally:
        os.close(ours)
        os.close(theirs)
    assert f"No board answers at --port {port}, so nothing was run" in capsys.readouterr().err


def test_baselines_that_are_being_written_need_no_folder(tmp_path):
    options = cli.COMMANDS["run"].parse(["--baselines", str(tmp_path / "new"), "--update-baselines"])
    checks.check_inputs(options, "spike")


# ---- What there is


def test_the_committed_models_are_listed_with_who_made_them(capsys):
    known = {path.name for path in MODELS.iterdir() if path.suffix in FORMATS or (path / "saved_model.pb").is_file()}
    assert cli.main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {each["file"] for each in listed} == known
    for each in listed:
        assert (MODELS / each["made_by"]).is_file()
        assert each["trained_on"] in (None, *datasets.NAMES)
        assert each["bytes"] > 0
    assert cli.main(["models"]) == 0
    assert "gestures.h5                'motion' float32[1, 100, 6, 1]" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["digits_jax.mlirbc", "conv1d_int8.mlirbc"])
def test_the_list_of_models_tells_their_inputs_and_outputs(name):
    """Of those whose import starts no framework."""
    (listed,) = (each for each in json.loads((MODELS / "models.json").read_text()) if each["file"] == name)
    imported = importers.import_model(MODELS / name, Cache(DEFAULT_OUTPUT_DIR))
    assert listed["inputs"] == list(map(str, imported.inputs))
    assert listed["outputs"] == list(map(str, imported.outputs))


def test_data_sets_are_listed_with_shapes_classes_and_samples(capsys):
    assert cli.main(["data", "basic_motions", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["shape"], listed["samples"]) == ([100, 6, 1], {"test": 40, "train": 40})
    assert cli.main(["data", "basic_motions"]) == 0
    assert "4: Badminton, Running, Standing, Walking" in capsys.readouterr().out


def test_a_data_set_that_is_not_here_is_listed_with_the_reason(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(magic_wand, "CACHE", tmp_path)
    monkeypatch.delenv(magic_wand.MAGIC_WAND_VARIABLE, raising=False)
    assert cli.main(["data", "magic_wand"]) == 0
    out = capsys.readouterr().out
    assert "magic_wand  not here" in out and f"{tmp_path} holds no Magic Wand recordings" in out


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "dense.mlir"
    path.write_text(DENSE)
    return path


def test_a_model_is_compiled_without_a_chip(dense, tmp_path, capsys):
    output = tmp_path / "dense.vmfb"
    assert cli.main(["compile", str(dense), "--vlen", "256", "--optimize", "none", "--output", str(output)]) == 0
    out = capsys.readouterr().out
    assert "kernel " in out and "Flags:  --iree-execution-model=inline-dynamic" in out and "+zvl256b" in out
    assert f"Module: {output}" in out
    assert cli.main(["compile", str(dense), "--vlen", "256", "--optimize", "none", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["module_bytes"], told["vlen_bits"]) == (output.stat().st_size, 256)
    memory = told["memory"]
    assert memory["needed_bytes"] == memory["module_bytes"] + memory["input_bytes"] + memory["tensor_bytes"]
    assert memory["fits"] and 8 << 20 < memory["arena_bytes"] < 16 << 20


def test_a_model_that_needs_more_memory_than_the_chip_has_is_said_so(capsys):
    """No chip is asked: it would refuse it with OUT_OF_MEMORY, see robot/bad_input.robot."""
    model = SUITES / "resources" / "needs_19_megabytes.mlir"
    assert cli.main(["compile", str(model), "--optimize", "none"]) == 1
    assert "it does NOT fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "said"), [("", "is a folder: name a file in it, such as "), ("none/m.vmfb", "there is no folder ")]
)
def test_a_place_that_is_none_is_said_before_anything_is_compiled(tmp_path, capsys, monkeypatch, output, said):
    monkeypatch.setattr(compile_command, "compile_and_check", lambda *_, **__: pytest.fail("it was compiled"))
    assert cli.main(["compile", "m.onnx", "--output", str(tmp_path / output)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_one_result_is_nothing_to_compare(capsys):
    assert cli.main(["compare", "results"]) == 2
    assert "There is nothing to compare results with: name two results or more." in capsys.readouterr().err


def test_what_runs_beside_is_shown_to_its_end_and_ends_with_its_owner(tmp_path, capsys):
    program = "import time; print('before', flush=True); time.sleep(1); print('after'); raise SystemExit(3)"
    with test_command.Beside([sys.executable, "-c", program], tmp_path / "console.txt") as beside:
        assert capsys.readouterr().out == ""
        assert beside.show_to_its_end() == 3
    assert capsys.readouterr().out == "before\nafter\n"
    waits = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    written = tmp_path / "another.txt"
    with test_command.Beside([sys.executable, "-c", waits], written):
        while not written.read_text():
            time.sleep(0.05)
    assert not Path(f"/proc/{written.read_text().strip()}").exists()


def test_a_run_loads_nothing_that_only_a_history_needs():
    program = (
        "import sys, springbok.cli.run, GateLibrary, PerformanceLibrary\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'tensorflow') if name in sys.modules])"
    )
    done = process.run([sys.executable, "-c", program], cwd=KEYWORDS)
    assert done.output == "[]\n"


def test_suites_beside_each_other_have_one_log(tmp_path, capfd):
    suite = "*** Test Cases ***\nShould {}\n    Should Be Equal    {}    1\n"
    (tmp_path / "good.robot").write_text(suite.format("Pass", 1))
    (tmp_path / "bad.robot").write_text(suite.format("Fail", 2))
    (tmp_path / "none.robot").write_text("*** Settings ***\n")
    suites = [tmp_path / f"{name}.robot" for name in ("good", "bad", "none")]
    assert team.run(tmp_path / "results", 2, [], suites) == 1
    said = capfd.readouterr().out
    assert "Should Pass" in said and "2 != 1" in said
    assert "none.robot ended without results" in said
    assert {"output.xml", "xunit.xml", "log.html"} <= {path.name for path in (tmp_path / "results").iterdir()}
    assert team.run(tmp_path / "results", 2, [], suites[2:]) == 1
