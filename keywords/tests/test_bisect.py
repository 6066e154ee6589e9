# SPDX-License-Identifier: Apache-2.0
"""The search for the commit of a step: in a repository with a planted regression, run by a stand-in for the suites."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model

from springbok import cli
from springbok.history import bisect, keeping
from springbok.history.bisect import Measured, Search, between
from springbok.history.store import opened
from springbok.support import repository
from springbok.support.places import KEYWORDS

COMMITS, PLANTED, BROKEN = 40, 9, (19, 20, 21)

# A launcher as this project's: it measures what stands in cost.txt, at once.
STAND_IN = """
import json, pathlib, sys
place = pathlib.Path(__file__).parent
cost = int((place / "cost.txt").read_text())
if cost < 0:
    sys.exit("springbok-bench: it does not even build")
assert sys.argv[1:3] == ["run", "suites/own.robot"]
document = json.loads((place / "metrics.json").read_text())
model = document["models"][0]
part = model["dispatches"][1]
for each in (part, model):
    each["opcodes"]["addi"] += cost
part["instructions"] += cost
model["instructions"]["mean"] += cost
results = pathlib.Path(sys.argv[sys.argv.index("--results") + 1])
results.mkdir(parents=True)
(results / "metrics.json").write_text(json.dumps(document))
"""


def git(folder, *arguments):
    own = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *own, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, number, cost):
    (folder / "cost.txt").write_text(str(cost))
    (folder / "notes.txt").write_text(f"{number}")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", f"Change {number}")


@pytest.fixture(scope="module")
def history_of_forty(tmp_path_factory):
    """A regression of 500 instructions, 30 commits back; three commits in the middle are broken."""
    folder = tmp_path_factory.mktemp("made") / "repository"
    (folder / "suites").mkdir(parents=True)
    (folder / "suites" / "own.robot").write_text("*** Test Cases ***\nShould Run\n    No Operation\n")
    (folder / ".gitignore").write_text("results/\n")
    (folder / "bench").write_text(STAND_IN)
    (folder / "metrics.json").write_text(json.dumps(make_document(make_model())))
    git(folder, "init", "-q", "-b", "main")
    for number in range(COMMITS):
        commit(folder, number, -1 if number in BROKEN else 500 if number >= PLANTED else 0)
    return folder


@pytest.fixture
def repo(history_of_forty, tmp_path, monkeypatch):
    """A copy of it, to stand in; temporary files go beside it."""
    folder = tmp_path / "repository"
    shutil.copytree(history_of_forty, folder)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    for name in (keeping.VARIABLE, *repository.BRANCH_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


def left_behind(repo):
    """What a search left: worktrees that git knows, temporary files, changed files."""
    worktrees = git(repo, "worktree", "list", "--porcelain").count("worktree ")
    known = repo / ".git" / "worktrees"
    files = [path.name for path in (repo.parent / "temporary").iterdir()]
    return worktrees - 1, list(known.iterdir()) if known.exists() else [], files, git(repo, "status", "--porcelain")


NOTHING = (0, [], [], "")


def test_a_regression_thirty_commits_back_is_named(repo, capsys):
    (repo / "cost.txt").write_text("what the user is working on")
    assert cli.main(["bisect", "suites/own.robot", "--good", f"HEAD~{COMMITS - 1}"]) == 0
    said = capsys.readouterr().out
    planted = git(repo, "rev-parse", f"HEAD~{COMMITS - 1 - PLANTED}")
    assert f"{planted} is the commit: Change {PLANTED}\n  Ada <ada@example.org>, " in said
    assert "instructions: 129,820 -> 130,320, gestures (vector) on springbok, spike, VLEN 512" in said
    assert "conv_1: conv_73x8_f32: +500 instructions (73,803 -> 74,303): addi +500" in said
    assert "39 commits, about 6 to measure." in said
    assert (repo / "cost.txt").read_text() == "what the user is working on"
    git(repo, "checkout", "-q", "cost.txt")
    assert left_behind(repo) == NOTHING


def test_what_was_measured_is_in_the_history_and_not_measured_again(repo, capsys):
    assert cli.main(["bisect", "suites/own.robot", "--good", f"HEAD~{COMMITS - 1}"]) == 0
    capsys.readouterr()
    with opened(repo / "results" / "history.db") as history:
        runs = history.runs()
    assert len(runs) >= 6
    assert {run.branch for run in runs} == {"main"}
    (repo / "bench").write_text("it would not run")  # in no commit
    assert cli.main(["bisect"]) == 0  # the step that the history knows now
    assert f"is the commit: Change {PLANTED}" in capsys.readouterr().out
    with opened(repo / "results" / "history.db") as history:
        assert history.runs() == runs


def test_commits_that_do_not_run_are_skipped_and_told(repo, capsys):
    for number, cost in ((COMMITS, -1), (COMMITS + 1, 900)):
        commit(repo, number, cost)
    assert cli.main(["bisect", "suites/own.robot", "--good", "HEAD~3", "--bad", "HEAD"]) == 1
    said = capsys.readouterr().out
    assert "One of these commits changed instructions; those between could not be measured:" in said
    assert f"(Change {COMMITS})" in said
    assert f"(Change {COMMITS + 1})" in said
    assert "skipped: it left no metrics (exit code 1): springbok-bench: it does not even build" in said
    assert left_behind(repo) == NOTHING


def test_a_step_of_a_merged_branch_is_found_in_it(repo, capsys):
    git(repo, "checkout", "-qb", "topic")
    for number in (100, 101, 102):
        commit(repo, number, 500 if number < 101 else 777)
    git(repo, "checkout", "-q", "main")
    (repo / "other.txt").write_text("beside it")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "Beside")
    git(repo, "merge", "-q", "--no-ff", "-m", "Merge", "topic")
    assert cli.main(["bisect", "suites/own.robot", "--good", "HEAD~2", "--layer", "conv_1"]) == 0
    assert "is the commit: Change 101" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--good", "HEAD~2"], "Both commits come to 130,320: there is no step between them."),
        (["--good", "HEAD", "--bad", "HEAD~2"], "Did you mean it the other way round?"),
        (["--good", "nothing"], "There is no commit 'nothing'"),
        ([], "The history knows no step of instructions"),
        (["--good", "HEAD~39", "--metric", "instruction"], "There is no metric 'instruction' (did you mean"),
        (["--good", "HEAD~39", "--model", "other"], "Nothing that was measured is meant. There are: gestures"),
        (["--good", "HEAD~20"], "The good commit"),
    ],
)
def test_what_can_not_be_searched_is_said(repo, capsys, arguments, said):
    assert cli.main(["bisect", "suites/own.robot", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert left_behind(repo) == NOTHING


def test_a_suite_outside_of_the_repository_is_refused(repo, tmp_path, capsys):
    assert cli.main(["bisect", str(tmp_path / "a.robot"), "--good", "HEAD~39"]) == 2
    assert "earlier commits have none to run" in capsys.readouterr().err


def test_a_folder_outside_of_any_repository_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bisect", "--good", "a", "--bad", "b"]) == 2
    assert f"{tmp_path} is in no Git repository: go to one" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing_behind(repo, tmp_path):
    """While a suite runs that would not end."""
    started, ended = tmp_path / "started", tmp_path / "ended"
    (repo / "bench").write_text(
        "import pathlib, time\n"
        f"pathlib.Path({str(started)!r}).touch()\n"
        "try:\n    time.sleep(600)\n"
        f"finally:\n    pathlib.Path({str(ended)!r}).touch()\n"
    )
    git(repo, "commit", "-qam", "Endless")
    command = [sys.executable, "-m", "springbok.cli", "bisect", "suites/own.robot", "--good", "HEAD~3"]
    environment = {**os.environ, "PYTHONPATH": str(KEYWORDS)}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not started.exists():
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    assert "ended by SIGINT" in running.communicate()[1]
    assert running.returncode == 128 + signal.SIGINT
    assert ended.exists()
    assert left_behind(repo) == NOTHING


def test_what_a_killed_search_left_the_next_one_clears_away(repo, capsys):
    place = repo.parent / "temporary" / f"{bisect.PREFIX}gone" / bisect.WORKTREE
    git(repo, "worktree", "add", "-q", "--detach", str(place), "HEAD")
    shutil.rmtree(place.parent)
    mine = repo.parent / "mine"
    git(repo, "worktree", "add", "-q", "--detach", str(mine), "HEAD")
    assert cli.main(["bisect", "suites/own.robot", "--good", "HEAD~2"]) == 2
    capsys.readouterr()
    assert re.findall("worktree (.*)", git(repo, "worktree", "list", "--porcelain")) == [str(repo), str(mine)]


# ---- The search itself


@settings(deadline=None)
@given(st.data())
def test_the_first_bad_commit_is_always_among_those_that_are_named(data):
    count = data.draw(st.integers(2, 60))
    first_bad = data.draw(st.integers(1, count - 1))
    skipped = data.draw(st.sets(st.integers(1, max(count - 2, 1)))) - {count - 1}

    def suspects(folder, bad, good):
        first, last = max(map(int, good)) + 1, int(bad)
        between_them = range(first, last + 1)
        middle = (first + last) / 2
        return [str(number) for number in sorted(between_them, key=lambda number: abs(number - middle))]

    def measure(name):
        return Measured(name, None if int(name) in skipped else 100.0 if int(name) < first_bad else 140.0, "broken")

    found = Search(Path(), between(100.0, 140.0), [Measured("0", 100.0)], Measured(str(count - 1), 140.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repository, "suspects", suspects)
        bisect.search(found, measure, lambda search, measured: None)
        left = sorted(map(int, found.suspects()))
    assert first_bad in left
    assert left == list(range(left[0], left[-1] + 1))
    assert all(number in skipped for number in left[:-1])
    assert len(found.good) + len(found.skipped) < count


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_the_two_ends_are_judged_as_what_they_are(good, bad):
    if good != bad:
        is_bad = between(good, bad)
        assert is_bad(bad)
        assert not is_bad(good)
    assert between("a", "b")("c")
    assert not between("a", "b")("a")


# ---- Caches


def test_a_checkout_shares_what_is_kept_by_content_and_the_packages_of_the_same_requirements(repo, tmp_path):
    for number, requirements in enumerate(("numpy==1\n", "numpy==2\n")):
        (repo / "requirements.txt").write_text(requirements)
        commit(repo, 200 + number, 0)
    for name in (".venv", "build/models", "build/firmware"):
        (repo / name).mkdir(parents=True)
    cache = tmp_path / "cache"
    with bisect.worktree(repo) as place:
        for name in ("HEAD~1", "HEAD", "HEAD~1"):
            bisect.check_out(place, repository.commit_of(repo, name), repo, cache)
            assert (place / "build" / "models").resolve() == repo / "build" / "models"
            assert not (place / "build" / "firmware").exists()
            own = (place / ".venv").resolve()
            assert own == repo / ".venv" if name == "HEAD" else own.parent == cache
    assert len(list(cache.iterdir())) == 1
    assert (repo / "build" / "models").is_dir()


# ---- Commits that fail, and levels


FAILING = """
import pathlib, sys
results = pathlib.Path(sys.argv[sys.argv.index("--results") + 1])
results.mkdir(parents=True)
(results / "xunit.xml").write_text(
    '<testsuite tests="1" failures="1"><testcase classname="Own" name="Should Run">'
    '<failure message="Keyword &#39;Compile Model&#39; got unexpected named argument &#39;flags&#39;."/>'
    "</testcase></testsuite>"
)
print(f"Log: {results / 'log.html'}")
sys.exit(3)
"""


def test_a_commit_that_fails_says_why_and_names_no_file_that_is_gone(repo, capsys):
    (repo / "bench").write_text(FAILING)
    git(repo, "commit", "-qam", "Broken")
    assert cli.main(["bisect", "suites/own.robot", "--good", "HEAD~3"]) == 2
    said = capsys.readouterr().err
    told = "(exit code 3): Own: Should Run: Keyword 'Compile Model' got unexpected named argument 'flags'.\n"
    assert said.endswith(told)
    assert bisect.PREFIX not in said


UNRECORDED = """
import json, pathlib, sys
results = pathlib.Path(sys.argv[sys.argv.index("--results") + 1])
results.mkdir(parents=True)
failures = FAILURES
inside = [f'<failure message="{each}"/>' for each in failures] or [""]
cases = "".join(f'<testcase classname="Own" name="Should Keep">{each}</testcase>' for each in inside)
(results / "xunit.xml").write_text(f'<testsuite tests="{len(inside)}" failures="{len(failures)}">{cases}</testsuite>')
verdict = {"suite": "S", "test": "t", "compared": True, "subject": "m (vector) on c, spike, VLEN 512"}
verdict |= {"metric": "samples", "title": "samples", "value": "2" if failures else "1", "baseline": "1"}
verdict |= {"limit": "1 is expected", "change": "", "accounts": []}
verdict["outcome"] = "failed" if failures else "passed"
path = {"suite": "S", "test": "t", "path": "b/m.json", "read": True}
content = {"schema": 1, "verdicts": [verdict] * JUDGED, "baselines": [path] * JUDGED, "updates": []}
(results / "gate.json").write_text(json.dumps(content))
print("Gate:    1 baseline read: 14 numbers compared, 0 worse")
sys.exit(len(failures))
"""
_GATE = "1) m (vector) on c, spike, VLEN 512: samples: 2; 1 is expected"
_RECORDS = "its suites measured something, and none recorded it: 'Record Metrics' keeps numbers"


@pytest.mark.parametrize(
    ("failures", "judged", "said"),
    [
        ([], 1, f"(exit code 0): {_RECORDS}.\n"),
        ([_GATE], 1, f"(exit code 1): {_RECORDS}.\n"),
        ([_GATE, "No port."], 1, f"(exit code 2): {_RECORDS}; Own: Should Keep: No port.\n"),
        ([], 0, "(exit code 0): its suites have passed and recorded no numbers: 'Record Metrics' keeps them.\n"),
        (["No port."], 0, "(exit code 1): Own: Should Keep: No port.\n"),
    ],
)
def test_a_commit_that_records_nothing_says_so_and_takes_no_number_for_a_reason(repo, capsys, failures, judged, said):
    (repo / "bench").write_text(UNRECORDED.replace("FAILURES", repr(failures)).replace("JUDGED", str(judged)))
    git(repo, "commit", "-qam", "Unrecorded")
    assert cli.main(["bisect", "suites/own.robot", "--good", "HEAD~3"]) == 2
    assert capsys.readouterr().err.endswith(said)


def with_level(repo, level):
    content = json.loads((repo / "metrics.json").read_text())
    optimizer = {"level": level, "flag_set": "", "transformations": []}
    content["models"][0]["compiler"]["optimizer"] = optimizer
    (repo / "metrics.json").write_text(json.dumps(content))


def test_a_level_that_was_switched_off_is_found_where_that_is_meant(repo, capsys):
    for number, level, cost in ((100, "standard", 500), (101, "none", 900), (102, "none", 900)):
        with_level(repo, level)
        commit(repo, number, cost)
    asked = ["bisect", "suites/own.robot", "--good", "HEAD~2"]
    assert cli.main(asked) == 2
    assert "if the level is the change, say --optimize any." in capsys.readouterr().err
    assert cli.main([*asked, "--optimize", "standard"]) == 2
    assert "Nothing that was measured is meant." in capsys.readouterr().err
    assert cli.main([*asked, "--optimize", "any"]) == 0
    said = capsys.readouterr().out
    assert "is the commit: Change 101" in said
    assert "instructions: 130,320 -> 130,720, gestures (vector) on springbok, spike, VLEN 512" in said
    assert "optimizer: level standard -> none" in said
