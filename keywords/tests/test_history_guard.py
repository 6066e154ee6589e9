# SPDX-License-Identifier: Apache-2.0
"""What the history says is held against what was added: what was changed since is told."""

import json
import shutil
import sqlite3

import pytest
from history_runs import make_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_agreement import write_run

from springbok import cli
from springbok.history.record import Failure, Tests
from springbok.history.store import opened
from springbok.measuring import metrics
from springbok.report.lead import read_lead


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A store of three runs, the last of which failed."""
    path = tmp_path_factory.mktemp("history") / "h.db"
    with opened(path) as history:
        history.add_all([make_run(number, cost=number * 7) for number in range(2)])
        history.add(make_run(2, cost=5, verdict="failed", tests=Tests(3, 1, (Failure("S: a", "no"),))))
    shutil.copy(path, path.with_name("whole.db"))
    return path


def changed(place, *statements):
    with sqlite3.connect(place) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
    connection.close()


def command(capsys, *arguments):
    capsys.readouterr()
    status = cli.main(["history", *map(str, arguments)])
    return status, capsys.readouterr()


COLUMNS = [
    *("uid", "started", "commit_id", "committed", "depth", "subject", "branch", "is_dirty", "machine", "engine"),
    *("engine_version", "chip", "vlen_bits", "suites", "verdict", "tests", "failed", "skipped", "versions"),
]
OTHERS = {"started": "'2026-01-02 03:04:05'", "committed": "'2026-01-02 03:04:05'", "is_dirty": "NOT is_dirty"}
OTHERS |= {"suites": "'[]'", "versions": "'{}'", "depth": "77", "tests": "99", "failed": "2", "skipped": "2"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_changed_in_a_run_is_told_of_it_alone(kept, data):
    number = data.draw(st.sampled_from([1, 2, 3]))
    kind = data.draw(st.sampled_from(["row", "point", "gone", "document", "lost", "digests", "failure"]))
    if kind == "row":
        column = data.draw(st.sampled_from(COLUMNS))
        statement = f"UPDATE bench_runs SET {column} = {OTHERS.get(column, repr('zz'))} WHERE number = {number}"
    elif kind == "failure":
        number, statement = 3, "UPDATE bench_failures SET message = 'yes'"
    elif kind == "digests":  # of the first run an earlier version may have kept none
        number = data.draw(st.sampled_from([2, 3]))
        statement = f"DELETE FROM bench_digests WHERE run = {number}"
    elif kind == "lost":
        statement = f"DELETE FROM bench_documents WHERE run = {number}"
    elif kind == "document":
        other = number % 3 + 1
        content = f"(SELECT content FROM bench_documents WHERE run = {other})"
        statement = f"UPDATE bench_documents SET content = {content} WHERE run = {number}"
    else:
        points = f"bench_points WHERE run = {number} AND text IS NULL ORDER BY series"
        chosen = f"(SELECT series FROM {points} LIMIT 1 OFFSET {data.draw(st.integers(0, 60))})"
        change = "UPDATE bench_points SET value = value * 2 + 1" if kind == "point" else "DELETE FROM bench_points"
        statement = f"{change} WHERE run = {number} AND series = {chosen}"
    try:
        changed(kept, statement)
        with opened(kept) as history:
            runs = history.runs()
            found = history.changed(runs)
            assert list(found) == [number], statement
            doubts = {run.number: history.doubts(run, history.documents(run.number)) for run in runs}
            assert [each for each, told in doubts.items() if told] == [number]
    finally:
        shutil.copy(kept.with_name("whole.db"), kept)


def test_what_a_run_has_measured_twice_is_as_it_was_added(tmp_path):
    """The first counts."""
    run, other = make_run(1), json.loads(make_run(1, cost=9).documents["metrics.json"])
    content = json.loads(run.documents["metrics.json"])
    content["models"] += other["models"]
    with opened(tmp_path / "h.db") as history:
        history.add(make_run(1, documents={"metrics.json": json.dumps(content)}))
        (stored,) = history.runs()
        assert history.doubts(stored, history.documents(1)) == []


def test_a_changed_number_makes_no_step_and_is_no_pass(tmp_path, capsys):
    place = tmp_path / "h.db"
    with opened(place) as history:
        history.add_all([make_run(number) for number in range(3)])
    own = ("--history", place)
    assert command(capsys, "steps", *own)[0] == 0
    changed(place, "UPDATE bench_points SET value = value * 2 WHERE run = 2")
    status, said = command(capsys, "steps", *own)
    assert (status, said.out.splitlines()[0][:17]) == (1, "0 steps in 2 runs")
    assert f"Run 2 is not as it was added to {place}: its numbers changed since; it is left out." in said.err
    status, said = command(capsys, "page", *own, "--output", tmp_path)
    assert status == 1 and "Run 2 is not as it was added" in (tmp_path / "history.html").read_text()
    status, said = command(capsys, "show", 2, *own)
    assert status == 1 and "Unclear: gestures (vector) on springbok, spike, VLEN 512: " in said.out
    assert "instructions: 259640.0 in the store, 129820 in its metrics.json." in said.out
    assert command(capsys, "show", 1, *own)[0] == 0
    changed(place, "UPDATE bench_runs SET verdict = 'failed', tests = 99 WHERE number = 3")
    status, said = command(capsys, "--json", *own)
    assert [each["verdict"] for each in json.loads(said.out)] == ["passed", "unclear", "unclear"]
    assert (status, "what is said of it changed since" in said.err) == (1, True)


@pytest.fixture
def real(tmp_path, capsys):
    """A store of two runs with all that they left."""
    for vlen in (256, 512):
        (tmp_path / str(vlen)).mkdir()
        write_run(tmp_path / str(vlen), vlen)
    place = tmp_path / "h.db"
    assert command(capsys, "add", tmp_path / "256", tmp_path / "512", "--history", place)[0] == 0
    return place


def test_a_restored_run_knows_its_commit_and_can_be_added_again(real, tmp_path, capsys):
    assert command(capsys, "show", 2, "--history", real, "--output", tmp_path / "out")[0] == 0
    was, now = (json.loads((tmp_path / each / "run.json").read_text()) for each in ("512", "out"))
    assert {**now, "seconds": was["seconds"]} == was
    lead = read_lead(tmp_path / "out", metrics.read(tmp_path / "out"))
    assert (lead.verdict, lead.wrong) == ("passed", ())
    assert was["origin"]["commit"][:10] in dict(lead.facts)["Commit"]
    status, said = command(capsys, "add", tmp_path / "out", "--history", real)
    assert (status, said.out.strip()) == (0, f"{tmp_path / 'out'}: is in {real} already, as run 2")
    other = tmp_path / "other.db"
    assert command(capsys, "add", tmp_path / "out", "--history", other)[0] == 0


def test_a_sweep_of_another_command_is_not_added(tmp_path, capsys):
    (tmp_path / "512").mkdir()
    write_run(tmp_path / "512")
    (tmp_path / "512" / "sweep.json").write_text("{}")
    assert command(capsys, "add", tmp_path / "512", "--history", tmp_path / "h.db")[0] == 0
    with opened(tmp_path / "h.db") as history:
        assert "sweep.json" not in history.documents(1)


def test_what_can_not_be_added_stops_no_other(real, tmp_path, capsys):
    empty, mixed = tmp_path / "empty", tmp_path / "mixed"
    empty.mkdir()
    shutil.copytree(tmp_path / "512", mixed)
    shutil.copy(tmp_path / "256" / "metrics.json", mixed)
    place = tmp_path / "many.db"
    folders = [empty, tmp_path / "256", mixed, tmp_path / "512"]
    status, said = command(capsys, "add", *folders, "--history", place)
    assert (status, said.out.count(": run ")) == (2, 2)
    assert f"There are no metrics in {empty}" in said.err and f"The results in {mixed} contradict" in said.err
    with opened(place) as history:
        assert len(history.runs()) == 2


def test_documents_that_were_swapped_are_told_by_the_restored_report(real, tmp_path, capsys):
    other = "(SELECT content FROM bench_documents AS o WHERE o.run = 1 AND o.name = bench_documents.name)"
    changed(real, f"UPDATE bench_documents SET content = {other} WHERE run = 2 AND name = 'metrics.json'")
    status, said = command(capsys, "show", 2, "--history", real, "--output", tmp_path / "out")
    assert (status, "metrics.json changed since" in said.out) == (1, True)
    lead = read_lead(tmp_path / "out", metrics.read(tmp_path / "out"))
    assert lead.verdict == "unclear"
    assert "metrics.json is not the one that the run of run.json left" in lead.wrong[0]
    assert cli.main(["matrix", "--history", str(real), "--output", str(tmp_path / "matrix")]) == 1
    assert "Run 2 is not as it was added" in capsys.readouterr().out


def test_a_restored_report_tells_what_was_changed_in_a_row(real, tmp_path, capsys):
    changed(real, "UPDATE bench_runs SET machine = 'another' WHERE number = 2")
    assert command(capsys, "show", 2, "--history", real, "--output", tmp_path / "out")[0] == 1
    lead = read_lead(tmp_path / "out", metrics.read(tmp_path / "out"))
    told = f"Run 2 is not as it was added to {real}: what is said of it changed since"
    assert (lead.verdict, lead.wrong) == ("unclear", (told,))
    status, said = command(capsys, "add", tmp_path / "out", "--history", tmp_path / "other.db")
    assert (status, "contradict" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM bench_documents WHERE run = 2 AND name = 'gate.json'", "gate.json changed since"),
        ("DELETE FROM bench_digests WHERE run = 2", "its digests changed since"),
    ],
)
def test_what_is_gone_from_the_store_is_told_by_every_command(real, tmp_path, capsys, statement, told):
    changed(real, statement)
    asked = (["list"], ["show", 2], ["steps"], ["page", "--output", tmp_path / "page"])
    for arguments in asked:
        status, said = command(capsys, *arguments, "--history", real)
        assert (status, told in said.out + said.err) == (1, True), arguments
        assert "an earlier version" not in said.out
    assert told in (tmp_path / "page" / "history.html").read_text()
    assert cli.main(["matrix", "--history", str(real), "--output", str(tmp_path / "matrix")]) == 1
    assert told in capsys.readouterr().out


def test_of_a_run_without_digests_its_documents_tell(real, tmp_path, capsys):
    """As an earlier version has added it."""
    changed(real, "DELETE FROM bench_digests")
    status, said = command(capsys, "show", 2, "--history", real, "--output", tmp_path / "out")
    assert (status, "Digests: none, an earlier version has added it" in said.out) == (0, True)
    assert "digests" not in json.loads((tmp_path / "out" / "run.json").read_text())
    assert command(capsys, "steps", "--history", real)[0] == command(capsys, "--history", real)[0] == 0
    changed(real, "UPDATE bench_points SET value = value + 1 WHERE run = 2")
    status, said = command(capsys, "show", 2, "--history", real)
    assert (status, "Unclear: gestures" in said.out, "numbers more" in said.out) == (1, True, True)
