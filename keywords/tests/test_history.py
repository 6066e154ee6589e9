# SPDX-License-Identifier: Apache-2.0
"""The history: what a run leaves in it, that nothing is lost, stores of other versions, and steps."""

import argparse
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from history_runs import NOW, make_run
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model
from postgresql_server import PostgresqlServer, programs

from springbok import cli
from springbok.cli import run as run_command
from springbok.history import database, keeping, record, store, tables
from springbok.history.database import HistoryError, NewerHistory, NoHistory
from springbok.history.record import Failure, RecordError
from springbok.history.steps import Point, all_steps, find_steps
from springbok.history.store import Filter, Store, opened
from springbok.measuring.derived import RUNTIME
from springbok.report.history import lines_of
from springbok.support import repository, run_record
from springbok.support.places import KEYWORDS
from springbok.support.repository import Origin


@pytest.fixture(scope="module")
def server():
    if programs() is None:
        pytest.skip("no PostgreSQL is installed here (Debian's package postgresql)")
    running = PostgresqlServer()
    yield running
    running.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """An empty store of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "results" / "history.db")
    return request.getfixturevalue("server").new_database()


# ---- What a run leaves


def test_every_number_is_in_the_store_by_configuration_and_layer(place):
    run = make_run(tests=record.Tests(3, 1, (Failure("gestures: Should Hold", "no: \0 <b>"),)), verdict=record.FAILED)
    with opened(place) as history:
        number = history.add(run)
        stored, numbers = history.run(number), history.series(history.runs())
        assert history.documents(number) == run.documents
        assert history.failures(number) == [Failure("gestures: Should Hold", "no: \N{REPLACEMENT CHARACTER} <b>")]
    assert (stored.commit, stored.started, stored.suites) == (run.origin.commit, run.started, run.suites)
    assert (stored.tests, stored.failed, stored.skipped) == (3, 1, 1)
    assert stored.tests_text == "1 of 3 passed, 1 failed, 1 skipped"
    document = json.loads(run.documents[record.METRICS_FILE])
    for model in document["models"]:
        own = {
            (each.metric, each.layer): each.points[number]
            for each in numbers
            if (each.configuration.model, each.configuration.variant) == (model["name"], model["variant"])
        }
        assert own["instructions", ""] == model["instructions"]["mean"]
        assert own["outputs_sha256", ""] == model["outputs_sha256"]
        layers = {layer: value for (metric, layer), value in own.items() if metric == "instructions" and layer}
        assert layers == {
            **{dispatch["layer"]: dispatch["instructions"] for dispatch in model["dispatches"]},
            RUNTIME: 1000,
        }


def test_a_run_that_is_added_twice_is_there_once(place):
    with opened(place) as history:
        first = history.add(make_run(1))
        twice = make_run(2)
        assert history.add(twice) == history.add(twice) != first
        assert len(history.runs()) == 2


def test_runs_are_found_by_what_they_are_of(place):
    with opened(place) as history:
        for number, (branch, machine) in enumerate([("main", "lab"), ("topic", "lab"), ("main", "ci")]):
            origin = Origin(f"{number}" * 40, NOW, 1, "", branch)
            history.add(make_run(number, origin=origin, machine=machine))
        history.add(make_run(3, documents={"xunit.xml": "<a/>"}))

        def found(**wanted):
            return [each.number for each in history.runs(Filter(**wanted))]

        assert found() == [1, 2, 3, 4]
        assert found(branch="topic") == [2]
        assert found(machine="ci") == [3]
        assert found(model="wear") == found(chip="springbok", engine="spike") == [1, 2, 3]
        assert found(commit="11") == [2]
        assert found(commit="%") == found(model="none") == []
        assert found(last=2) == [3, 4]


def test_a_record_is_the_same_after_its_file(tmp_path):
    run = make_run(tests=record.Tests(3, 1, (Failure("a", "b"),)))
    assert record.read_json(run.as_json()) == run
    for broken in ("", "{}", "[]", '{"schema": 7}', '{"schema": 1, "started": 3}'):
        with pytest.raises(record.RecordError):
            record.read_json(broken)


def test_results_of_an_earlier_run_are_not_this_runs(tmp_path):
    (tmp_path / "gate.json").write_text("{}")
    os.utime(tmp_path / "gate.json", (0, 0))
    (tmp_path / "metrics.json").write_text(json.dumps(make_document(make_model())))
    run = record.of_results(tmp_path, NOW, ["a"], True, record.Tests(1, 0))
    assert list(run.documents) == ["metrics.json"]
    assert (run.engine, run.vlen_bits, run.versions["compiler"]) == ("spike", 512, "3.13.0")


# ---- Where it is


def test_the_history_is_beside_the_results(tmp_path, monkeypatch):
    monkeypatch.delenv(keeping.VARIABLE)
    assert keeping.place_for(tmp_path / "results" / "vlen256") == str(tmp_path / "results" / "history.db")
    assert keeping.place_for(tmp_path / "out") == str(tmp_path / "out" / "history.db")
    assert keeping.place_for(tmp_path, "x.db") == "x.db"
    assert keeping.place_for(tmp_path, "None") is None
    with keeping.by_whoever_started():
        assert keeping.place_for(tmp_path) is None
    assert keeping.VARIABLE not in os.environ


@pytest.mark.parametrize("given", ["mysql://me@host/db", "postgresql://host", "://", "sqlite://"])
def test_what_is_no_place_of_a_history_is_refused(given):
    with pytest.raises(HistoryError, match="write a file, or postgresql|is no URL"), opened(given):
        pass


def test_a_history_that_is_not_there_is_said_to_begin_with_a_run(tmp_path):
    with pytest.raises(NoHistory, match="run' begins it"), opened(tmp_path / "a.db", create=False):
        pass
    assert list(tmp_path.iterdir()) == []


# ---- Nothing is lost

ADDING = """
import sys
from datetime import timedelta
from history_runs import make_run
from springbok.history.store import opened
place, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(first, first + count):
    with opened(place) as history:
        history.add(make_run(number, cost=number))
"""


def python(program, *arguments, **options):
    path = os.pathsep.join([str(KEYWORDS), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], env=environment, **options)


def test_nothing_is_lost_when_several_write_at_once(place):
    """From the first moment on: the store itself is made by whoever comes first."""
    writers = [python(ADDING, place, 4 * each, 4) for each in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with opened(place) as history:
        runs = history.runs()
        numbers = history.series(runs)
    assert [run.subject for run in runs] == [f"Change {number}" for number in range(12)]
    (whole,) = (
        each
        for each in numbers
        if (each.metric, each.layer, each.configuration.model, each.configuration.variant)
        == ("instructions", "", "gestures", "vector")
    )
    values = list(whole.points.values())
    assert [value - values[0] for value in values] == list(range(12))


KEEPING = """
import resource, sys
from pathlib import Path
from history_runs import make_run
from springbok.history import keeping
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
print(keeping.keep(make_run(1), folder, keeping.place_for(folder, str(folder / "history.db"))).line())
"""


def kept_within(folder, limit):
    done = python(KEEPING, folder, limit, stdout=subprocess.PIPE, text=True)
    return done.communicate()[0].strip()


def test_a_run_that_a_full_disk_kept_out_goes_in_with_the_next(tmp_path):
    said = kept_within(tmp_path, 40_000)
    assert "this run is not in it yet." in said
    assert "Free some space" in said
    assert f"It waits in {tmp_path}/history.db.waiting" in said
    assert record.read_json((tmp_path / "run.json").read_text()).origin.subject == "Change 1"
    run = make_run(2)
    assert keeping.keep(run, tmp_path, str(tmp_path / "history.db")).problem == ""
    with opened(tmp_path / "history.db") as history:
        assert [each.subject for each in history.runs()] == ["Change 1", "Change 2"]
    assert not (tmp_path / "history.db.waiting").exists()


def test_on_a_disk_without_any_room_the_results_stay_and_can_be_added_later(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(make_document(make_model())))
    said = kept_within(tmp_path, 0)
    assert "this run is not in it yet." in said
    assert f"history add {tmp_path}" in said
    assert cli.main(["history", "add", str(tmp_path), "--history", str(tmp_path / "later.db")]) == 0
    with opened(tmp_path / "later.db") as history:
        assert len(history.runs()) == 1


def test_a_store_that_becomes_full_keeps_what_it_has(tmp_path):
    place = tmp_path / "history.db"
    with opened(place) as history:
        history.add(make_run(1))
        before = history.series(history.runs())
        pages = place.stat().st_size // 4096
        sa.event.listen(history._engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {pages}"))
        documents = {**make_run(2).documents, "xunit.xml": random.Random(1).randbytes(200_000).hex()}
        with pytest.raises(sa.exc.OperationalError, match="full"):
            history.add(make_run(2, documents=documents))
    with opened(place) as history:
        assert history.series(history.runs()) == before
        assert history.add(make_run(2)) == 2


def test_a_run_waits_for_a_server_that_is_away(tmp_path):
    results = tmp_path / "results"
    place = "postgresql://me:secret@127.0.0.1:1/team"
    kept = keeping.keep(make_run(1), results, place)
    assert "this run is not in it yet. The history postgresql://me:***@127.0.0.1:1/team can't be used" in kept.line()
    assert "secret" not in kept.line()
    (waiting,) = results.glob("history.db-*.waiting/*.json")
    assert record.read_json(waiting.read_text()).origin.subject == "Change 1"


def test_a_waiting_file_that_is_broken_hinders_no_other(tmp_path):
    place = str(tmp_path / "history.db")
    waiting = tmp_path / "history.db.waiting"
    waiting.mkdir()
    (waiting / "1.json").write_text("{")
    assert keeping.keep(make_run(1), tmp_path, place).number == 1
    assert [path.name for path in waiting.iterdir()] == ["1.broken"]


def test_what_is_no_database_is_said_to_be_none(tmp_path):
    path = tmp_path / "history.db"
    path.write_text("x" * 5000)
    with pytest.raises(HistoryError, match="it is no SQLite file"), opened(path):
        pass
    assert path.read_text() == "x" * 5000


# ---- Versions


def at_version(place, version):
    """A store as that version left it."""
    engine = database.engine_of(database.url_of(place))
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(database.MIGRATIONS))
        command.upgrade(config, version)
        connection.exec_driver_sql(
            "INSERT INTO bench_runs (uid, started, commit_id, subject, branch, is_dirty, machine, engine, "
            "engine_version, chip, suites, verdict, versions) VALUES ('u', '2026-01-02 03:04:05', 'c', 'old', '', "
            "false, '', '', '', '', '[]', 'passed', '{}')"
        )
    engine.dispose()


def test_a_store_of_an_earlier_version_is_migrated(place):
    at_version(place, "1")
    with opened(place) as history:
        assert [run.subject for run in history.runs()] == ["old"]
        assert history.documents(1) == {}
        number = history.add(make_run(1))
        assert history.documents(number)


def test_a_store_of_a_newer_version_is_refused_and_left_alone(place):
    with opened(place) as history:
        history.add(make_run(1))
    engine = database.engine_of(database.url_of(place))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {tables.VERSION_TABLE} SET version_num = '99'")
    with pytest.raises(NewerHistory, match="is of version 99, .* update springbok-bench"), opened(place):
        pass
    with engine.begin() as connection:
        assert connection.exec_driver_sql(f"SELECT version_num FROM {tables.VERSION_TABLE}").scalar() == "99"
    engine.dispose()


def test_the_migrations_end_at_the_tables_of_this_version(place):
    assert ScriptDirectory(str(database.MIGRATIONS)).get_current_head() == str(tables.VERSION)
    with opened(place) as history, history._reading() as connection:
        options = {"version_table": tables.VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata) == []


# ---- Steps


def points_of(levels):
    return [Point(number, f"c{number}", value) for number, value in enumerate(levels)]


exact = st.integers(0, 10**9)


@settings(deadline=None)
@given(st.lists(st.tuples(exact.map(lambda n: n - n % 2), st.integers(1, 6)), min_size=1, max_size=12))
def test_exactly_the_planted_steps_are_found(levels):
    values = [value for value, count in levels for _ in range(count)]
    expected = [
        (number - 1, number, old, new)
        for number, (old, new) in enumerate(zip(values, values[1:], strict=False), start=1)
        if abs(new - old) > 1e-9 * max(old, new)
    ]
    found = find_steps(points_of(values))
    assert [(each.before.run, each.after.run, each.old, each.new) for each in found] == expected


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1000.0, 2000.0, 3000.0]), st.integers(1, 5)), min_size=1, max_size=8),
    st.integers(2, 5),
    st.floats(0, 100),
    st.randoms(use_true_random=False),
)
def test_noise_is_no_step_and_hides_none(levels, runs, noise, numbers):
    """Each commit runs several times, each time off by at most ``noise``; one of them shows all of it."""
    values = [value for value, count in levels for _ in range(count)]
    points = []
    for commit, value in enumerate(values):
        off = [numbers.uniform(-noise, noise) for _ in range(runs)]
        if commit == 0:
            off[:2] = [-noise, noise]
        points += [Point(runs * commit + place, f"c{commit}", value + each) for place, each in enumerate(off)]
    changes = [number for number in range(1, len(values)) if values[number] != values[number - 1]]
    found = [int(each.after.commit[1:]) for each in find_steps(points)]
    assert found == changes


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=20))
def test_each_other_digest_is_a_step(digests):
    found = find_steps(points_of(digests))
    assert [each.after.run for each in found] == [n for n in range(1, len(digests)) if digests[n] != digests[n - 1]]


def test_what_creeps_is_found_too():
    noisy = [Point(0, "c0", 100.0), Point(1, "c0", 104.0)]
    creeping = [Point(2 + number, f"c{1 + number}", 102.0 + number) for number in range(20)]
    assert len(find_steps([*noisy, *creeping])) >= 2


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_adding_is_not_that_of_commits(tmp_path_factory, order):
    runs = [make_run(number, cost=0 if number < 3 else 70) for number in order]
    stored = [
        store.StoredRun(place, each.uid, each.started, each.origin.commit, each.origin.committed, each.origin.depth,
                        each.origin.subject, "main", False, "lab", "", "", "", None, (), "", None, None, None, {})
        for place, each in enumerate(runs)
    ]  # fmt: skip
    configuration = next(iter(runs[0].measurements()))[0]
    numbers: dict = {}
    for place, each in enumerate(runs):
        for measured in dict(each.measurements())[configuration]:
            found = numbers.setdefault(measured[:2], store.Series(configuration, *measured[:2], {}))
            found.points[place] = measured.value
    (found,) = (each for each in all_steps(stored, list(numbers.values())) if each.series.metric == "instructions")
    assert (found.before.subject, found.after.subject, found.commits) == ("Change 2", "Change 3", 1)
    assert [(cause.layer, cause.change) for cause in found.causes] == [("conv_1", 70)]
    assert found.verdict == "worse"


def test_branches_and_machines_are_lines_of_their_own(tmp_path):
    with opened(tmp_path / "h.db") as history:
        for number, (branch, cost) in enumerate([("main", 0), ("topic", 9), ("main", 0), ("topic", 9), ("main", 5)]):
            origin = Origin(f"{number:040}", NOW, number, "", branch, is_dirty=False)
            history.add(make_run(number, cost, origin=origin))
        history.add(make_run(9, 1000, origin=Origin("9" * 40, NOW, 9, "", "main", is_dirty=True)))
        history.add(make_run(10, 1000, origin=Origin("", None, None, "", "main", is_dirty=False)))
        runs = history.runs()
        found = [each for each in all_steps(runs, history.series(runs)) if each.series.metric == "instructions"]
    assert [(each.branch, each.after.number, each.commits) for each in found] == [("main", 5, 2)]
    names = {each["name"]: each["joined"] for each in lines_of(runs)}
    others = {"main, lab, changed since the commit": False, "main, lab, of no commit": False}
    assert names == {"main, lab": True, "topic, lab": True, **others}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE bench_runs SET started = 'yesterday'",
        "UPDATE bench_runs SET suites = '{'",
        "UPDATE bench_runs SET versions = '[1'",
        "UPDATE bench_documents SET content = x'00'",
    ],
)
def test_values_that_are_broken_are_said_and_not_a_crash(damage, tmp_path, capsys):
    place = tmp_path / "h.db"
    with opened(place) as history:
        history.add(make_run())
    with sqlite3.connect(place) as connection:
        connection.execute(damage)
    connection.close()
    assert cli.main(["history", "show", "1", "--history", str(place), "--output", str(tmp_path / "out")]) == 2
    assert f"The history {place} can't be used: something in it is broken" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ---- Git


def git(folder, *arguments):
    own = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *own, *arguments], check=True, capture_output=True)


def test_a_run_knows_its_commit_and_whether_something_was_changed_since(tmp_path, monkeypatch):
    for name in (*repository.BRANCH_VARIABLES, *repository.COMMIT_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    assert repository.origin_of(tmp_path) == Origin()
    git(tmp_path, "init", "-q", "-b", "work")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "First: ä | b\n\nmore")
    (tmp_path / "notes").write_text("of nobody")
    found = repository.origin_of(tmp_path)
    assert (found.depth, found.subject, found.branch, found.is_dirty) == (1, "First: ä | b", "work", False)
    (tmp_path / "a").write_text("2")
    git(tmp_path, "checkout", "-q", "--detach")
    found = repository.origin_of(tmp_path)
    assert (found.branch, found.is_dirty) == ("", True)
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    assert repository.origin_of(tmp_path).branch == "main"


def test_a_branchs_first_run_is_compared_with_what_the_branch_left(tmp_path):
    """Main goes on after the branch has left it, and the commit that it left was never measured."""
    repository_folder = tmp_path / "checkout"
    repository_folder.mkdir()
    git(repository_folder, "init", "-q", "-b", "main")
    commits = {}

    def commit(name):
        git(repository_folder, "commit", "-q", "--allow-empty", "-m", name)
        commits[name] = repository.commit_of(repository_folder, "HEAD")

    commit("measured")
    commit("left")
    git(repository_folder, "checkout", "-qb", "topic")
    commit("first")
    commit("second")
    git(repository_folder, "checkout", "-q", "main")
    commit("later")

    def ancestors(name):
        return repository.ancestors_of(repository_folder, name)

    assert ancestors(commits["second"]) == [commits[name] for name in ("first", "left", "measured")]
    assert ancestors("f" * 40) == repository.ancestors_of(tmp_path, commits["first"]) == []
    measured = [("measured", "main", 0), ("later", "main", 500), ("first", "topic", 70), ("second", "topic", 70)]
    depths = {"measured": 1, "later": 3, "first": 3, "second": 4}
    with opened(tmp_path / "h.db") as history:
        for number, (name, branch, cost) in enumerate(measured):
            origin = Origin(commits[name], NOW + timedelta(hours=number), depths[name], name, branch)
            history.add(make_run(number, cost, origin=origin))
        history.add(make_run(5, 9, origin=Origin(commits["first"], NOW, 3, "first", "topic"), machine="other"))
        runs = history.runs()
        numbers = history.series(runs)
    found = [each for each in all_steps(runs, numbers, ancestors) if each.series.metric == "instructions"]
    told = {(each.branch, each.before.subject, each.after.subject, each.step.new - each.step.old) for each in found}
    assert told == {("main", "measured", "later", 500), ("topic", "measured", "first", 70)}
    (step,) = (each for each in found if each.branch == "topic")
    assert (step.commits, [cause.layer for cause in step.causes]) == (2, ["conv_1"])
    without = [each for each in all_steps(runs, numbers) if each.series.metric == "instructions"]
    assert {each.branch for each in without} == {"main"}


# ---- Runs add themselves


def test_a_run_of_the_command_adds_itself(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv(keeping.VARIABLE)

    def robot(engine, suites, folder, data, options):
        assert os.environ[keeping.VARIABLE] == keeping.NONE  # what Robot starts is no run of its own
        (folder / "metrics.json").write_text(json.dumps(make_document(make_model())))
        cases = '<testcase classname="S" name="a"/><testcase classname="S" name="b"><failure message="no"/></testcase>'
        (folder / "xunit.xml").write_text(f"<testsuite>{cases}</testsuite>")
        (folder / "output.xml").write_text("")
        return 1

    class Firmware:
        built = False

        def summary(self):
            return ""

    monkeypatch.setattr(run_command, "run_robot", robot)
    monkeypatch.setattr(run_command, "build_firmware", lambda chip: Firmware())
    monkeypatch.setattr(run_command, "write_reports", lambda *_: None)
    results = tmp_path / "results" / "one"
    assert cli.main(["run", "--engine", "spike", "--results", str(results)]) == 1
    assert "History: run 1 in " in capsys.readouterr().out
    with opened(tmp_path / "results" / "history.db") as history:
        (stored,) = history.runs()
        assert (stored.verdict, stored.tests, stored.failed) == ("failed", 2, 1)
        assert history.failures(1) == [Failure("S: b", "no")]
    assert (results / "run.json").exists()
    assert cli.main(["run", "--engine", "spike", "--results", str(results), "--history", "none"]) == 1
    assert "History:" not in capsys.readouterr().out


WITHOUT_METRICS = """
*** Test Cases ***
Should Hold
    No Operation

Planted
    Fail    it does not
"""


def test_a_run_without_an_xunit_file_knows_its_tests(monkeypatch, tmp_path, capsys):
    """Robot's own output tells how they ended; what was made of it is gone again."""
    monkeypatch.delenv(keeping.VARIABLE)
    monkeypatch.setattr(run_command, "build_firmware", lambda chip: argparse.Namespace(built=False))
    suite, results = tmp_path / "plain.robot", tmp_path / "results"
    suite.write_text(WITHOUT_METRICS)
    options = ["run", str(suite), "--engine", "spike", "--results", str(results), "--", "--xunit", "NONE"]
    assert cli.main(options) == 1
    assert "History: run 1 in " in capsys.readouterr().out
    told = json.loads((results / "run.json").read_text())
    assert (told["tests"]["count"], told["tests"]["failures"]) == (2, [["Plain: Planted", "it does not"]])
    assert (results / "gate.json").exists() and not (results / "xunit.xml").exists()
    assert "it does not" in (results / "summary.md").read_text()
    with opened(results / "history.db") as history:
        assert [*history.documents(1)] == ["gate.json"]
    assert cli.main(["history", "add", str(results), "--history", str(results / "history.db")]) == 2
    assert cli.main([*options[:-2], "--output", "NONE"]) == 1
    assert "neither the reports nor the history know how the tests ended" in capsys.readouterr().out


SUITE = """
*** Settings ***
Library    {keywords}/PerformanceLibrary.py
Library    OperatingSystem

*** Test Cases ***
Should Measure
    Create File    {folder}/metrics.json    {metrics}

Should Hold
    Fail    it does not
"""


@pytest.mark.parametrize("by_renode_test", [False, True], ids=["robot", "renode-test"])
def test_a_run_that_no_command_started_adds_itself(tmp_path, by_renode_test):
    results = tmp_path / "results"
    folder = results / "Own" if by_renode_test else results
    metrics = json.dumps(make_document(make_model()), separators=(",", ":"))
    suite = tmp_path / "own.robot"
    suite.write_text(SUITE.format(keywords=KEYWORDS, folder=folder, metrics=metrics))
    options = ["--variable", "RENODEKEYWORDS:x", "--variable", f"RESULTS_DIRECTORY:{results}"] if by_renode_test else []
    environment = {name: value for name, value in os.environ.items() if name != keeping.VARIABLE}
    command = [sys.executable, "-m", "robot", "--outputdir", results, *options, suite]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert f"History: run 1 in {results}/history.db" in done.stdout
    with opened(results / "history.db") as history:
        (stored,) = history.runs()
        assert (stored.verdict, stored.tests, stored.failed, stored.engine) == ("failed", 2, 1, "spike")
        assert history.failures(1) == [Failure("Own: Should Hold", "it does not")]
        assert history.series([stored])


def test_a_dry_run_is_no_run(tmp_path):
    suite = tmp_path / "own.robot"
    suite.write_text(SUITE.format(keywords=KEYWORDS, folder=tmp_path, metrics="{}"))
    environment = {name: value for name, value in os.environ.items() if name != keeping.VARIABLE}
    command = [
        sys.executable,
        "-m",
        "robot",
        "--dryrun",
        "--output",
        "NONE",
        "--report",
        "NONE",
        "--log",
        "NONE",
        suite,
    ]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "History" not in done.stdout
    assert list(tmp_path.iterdir()) == [suite]


# ---- The command


@pytest.fixture
def filled(tmp_path):
    path = tmp_path / "history.db"
    with opened(path) as history:
        for number in range(6):
            history.add(make_run(number, cost=0 if number < 4 else 128))
    return str(path)


def said(capsys, *arguments):
    assert cli.main(["history", *arguments]) == 0
    return capsys.readouterr().out


def test_the_command_lists_runs(filled, capsys):
    lines = said(capsys, "--history", filled, "--last", "2").splitlines()
    assert lines[0].split()[:3] == ["run", "time", "commit"]
    assert [line.split()[0] for line in lines[1:3]] == ["5", "6"]
    assert [each["number"] for each in json.loads(said(capsys, "--history", filled, "--json"))] == list(range(1, 7))


def test_the_command_tells_steps_with_commit_and_layer(filled, capsys):
    text = said(capsys, "steps", "--history", filled, "--metric", "instructions")
    assert (
        "000000000  instructions: 129,820 -> 129,948 (worse)  gestures (vector) on springbok, spike, VLEN 512" in text
    )
    assert "Change 4\n    conv_1: +128\n1 step in 6 runs of" in text
    (found,) = json.loads(said(capsys, "steps", "--history", filled, "--metric", "instructions", "--json"))
    assert found["layers"] == [{"layer": "conv_1", "change": 128, "is_new": False, "is_gone": False}]


def test_an_old_run_is_shown_and_its_report_made_again(filled, tmp_path, capsys):
    text = said(capsys, "show", "2", "--history", filled, "--output", str(tmp_path / "again"))
    assert "Run:     2, " in text
    assert "instructions                     129,820" in text
    assert (tmp_path / "again" / "report.html").stat().st_size > 10_000
    with opened(filled) as history:
        assert json.loads((tmp_path / "again" / "metrics.json").read_text()) == json.loads(
            history.documents(2)["metrics.json"]
        )
    assert cli.main(["history", "show", "2", "--history", filled, "--output", str(tmp_path / "again")]) == 2
    assert "and they stay" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "99"], "There is no run 99 in"),
        (["show", "x"], "Name one run"),
        (["add"], "Name the results to add"),
        (["list", "7"], "takes no '7'"),
        (["--last", "0"], "a number from 1 on"),
        (["--last", "9" * 23], "a number from 1 to 2147483647"),
        (["--history", "postgresql://[::1"], "is no URL"),
        (["--history", "postgresql://127.0.0.1:abc/x"], "is no URL"),
        (["--history", "sqlite://"], "'sqlite://' names no store"),
        (["--history", "/dev/null"], "is no file"),
        (["--history", "none"], "is switched off"),
    ],
)
def test_what_makes_no_sense_is_said(filled, capsys, arguments, said):
    assert cli.main(["history", "--history", filled, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_place_that_can_be_no_store_is_said_and_left_as_it_is(tmp_path, capsys):
    (tmp_path / "metrics.json").write_text(json.dumps(make_document(make_model())))
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as raw:
        raw.execute("CREATE TABLE bench_runs (a INTEGER)")
    for place, told in ((foreign, "another program has tables"), (tmp_path / "metrics.json" / "h.db", "can't be made")):
        assert cli.main(["history", "add", str(tmp_path), "--history", str(place)]) == 2
        assert told in capsys.readouterr().err


def test_results_of_before_can_be_added_once(tmp_path, capsys):
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(make_document(make_model())))
    path = str(tmp_path / "h.db")
    for told in (f"run 1 in {path}", f"is in {path} already, as run 1"):
        assert said(capsys, "add", str(folder), "--history", path) == f"{folder}: {told}\n"
    os.utime(folder / "metrics.json", (0, 0))  # a copy
    assert "already, as run 1" in said(capsys, "add", str(folder), "--history", path)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"origin": {"branch": "other"}}, "branch"),
        ({"machine": "elsewhere", "verdict": "failed"}, "machine, verdict"),
        ({"versions": {"python": "2"}}, "versions"),
        ({"suites": ["s2.robot"]}, "suites"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_run_whose_id_another_one_has_is_refused(tmp_path, capsys, change, differs, together):
    path, run = str(tmp_path / "h.db"), make_run(1)
    folders = [tmp_path / name for name in ("first", "second")]
    content = json.loads(run.as_json(documents=False))
    del content["digests"]
    content["tests"] = {"count": None, "skipped": None, "failures": []}
    changed = {**content, **change, "origin": {**content["origin"], **change.get("origin", {})}}
    for folder, told in zip(folders, (content, changed), strict=True):
        folder.mkdir()
        (folder / "metrics.json").write_text(run.documents["metrics.json"])
        (folder / "run.json").write_text(json.dumps(told))
    asked = ["history", "--history", path, "add"]
    if not together:
        assert cli.main([*asked, str(folders[0])]) == 0
    assert cli.main([*asked, *map(str, folders)]) == 2
    told = capsys.readouterr()
    assert f"{folders[1]} has the id of run 1, and is otherwise in {differs}. What is in" in told.err
    assert str(folders[0]) in told.out and str(folders[1]) not in told.out
    with opened(path) as store:
        (kept,) = store.runs()
    assert (kept.branch, kept.machine, kept.verdict) == (run.origin.branch, run.machine, run.verdict)


def test_many_folders_are_added_in_few_transactions_and_each_as_it_is(tmp_path, monkeypatch, capsys):
    folders, writings = [], []
    for number in range(60):
        folder = tmp_path / f"{number:03}"
        folder.mkdir()
        (folder / "metrics.json").write_text(make_run(number, cost=number).documents["metrics.json"])
        run_record.write(folder, make_run(number, cost=number).as_json(documents=False))
        folders.append(str(folder))
    writing = Store._writing
    monkeypatch.setattr(Store, "_writing", lambda self: writings.append(1) or writing(self))
    place = str(tmp_path / "h.db")
    assert cli.main(["history", "--history", place, "add", *folders, folders[7]]) == 0
    assert len(writings) <= 3  # of these one makes the tables
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [*folders, folders[7]]
    with opened(place) as store:
        runs = store.runs()
        numbers = store.series(runs, Filter(model="gestures", metric="instructions"))
    (costs,) = [each for each in numbers if (each.configuration.variant, each.layer) == ("vector", "")]
    assert len(runs) == 60 and len(set(costs.points.values())) == 60
    assert lines[7].endswith(f": run 8 in {place}") and lines[-1].endswith(f"is in {place} already, as run 8")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content["tests"]["failures"].append(["a", "b", "c"]),
        lambda content: content.update(tests=5),
        lambda content: content.update(suites=3),
        lambda content: content.pop("origin"),
        lambda content: content.update(more=1),
        lambda content: content["origin"].update(committed=7),
    ],
)
def test_what_is_no_record_is_said_in_words(damage):
    content = json.loads(make_run(1).as_json())
    damage(content)
    with pytest.raises(RecordError) as caught:
        record.read_json(json.dumps(content))
    assert not re.search(r"__|argument|NoneType|object is|takes|'str'|'int'", str(caught.value))


def test_sqlite_keeps_a_number_for_one_run(filled):
    with sqlite3.connect(filled) as raw:
        raw.execute("DELETE FROM bench_points")
        raw.execute("DELETE FROM bench_documents")
        raw.execute("DELETE FROM bench_runs WHERE number = 6")
    with opened(filled) as history:
        assert history.add(make_run(9)) == 7


def test_what_waits_is_there_when_somebody_looks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    waiting = results / "history.db.waiting"
    waiting.mkdir(parents=True)
    (waiting / "1.json").write_text(make_run(1).as_json())
    assert "gestures" in said(capsys, "--history", str(results / "history.db"))
    assert not waiting.exists()
