# SPDX-License-Identifier: Apache-2.0
"""What a run left tells of one run: files of two in a folder, or a changed one, never lead with a pass."""

import copy
import json
import re
import shutil
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_runs import SAMPLES, make_document, make_model

from springbok import cli
from springbok.gate import gate, snapshots
from springbok.gate.verdicts import VerdictFile
from springbok.history import facts, record
from springbok.measuring import metrics, recorded
from springbok.measuring.platforms import joined
from springbok.report.lead import read_lead
from springbok.report.summary import read_tests
from springbok.support import run_record
from springbok.support.errors import ReportError
from springbok.support.files import temporary_folder

FILES = ("metrics.json", "gate.json", "xunit.xml", "run.json")
CASES = '<testcase classname="S" name="a {0}"/><testcase classname="S" name="b"><skipped/></testcase>'
#: What nothing else in a folder tells.
ALONE = {"started", "seconds", "origin", "machine", "suites", "versions", "uid", "schema"}


def write_run(folder, vlen=512):
    """What a run of these vectors leaves that has passed."""
    document = make_document(make_model(seed=vlen), vlen=vlen)
    metrics.write(folder / "metrics.json", document)
    measured = snapshots.snapshot(document)
    said = VerdictFile(folder, "S", "a")
    said.add_comparison(folder / "base.json", gate.compare(measured, measured))
    said.add([gate.judge(measured, gate.Limit("max_abs_error", 1e-5))])
    head = '<testsuite tests="2" errors="0" failures="0" skipped="1">'
    (folder / "xunit.xml").write_text(f"{head}{CASES.format(vlen)}</testsuite>")
    tests = record.Tests(2, 1)
    started = record.now() - timedelta(minutes=1)  # longer than its inferences took
    run = record.of_results(folder, started, ["S"], True, tests, [folder])
    run_record.write(folder, run.as_json(documents=False))
    return document


def verdict(folder, document=None):
    """What a report of the folder leads with; ``refused`` where none is made."""
    try:
        return read_lead(folder, document or metrics.read(folder)).verdict
    except ReportError:
        return "refused"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    for vlen in (256, 512):
        (place / str(vlen)).mkdir()
        write_run(place / str(vlen), vlen)
        assert verdict(place / str(vlen)) == "passed"
    return place


@pytest.mark.parametrize("others", range(1, 2 ** len(FILES) - 1))
@pytest.mark.parametrize("digests", [True, False])
def test_files_of_two_runs_have_not_passed(runs, tmp_path, others, digests):
    """Whichever are of the other run; runs of before kept no digests, and their tests alone can't be told apart."""
    names = [name for place, name in enumerate(FILES) if others >> place & 1]
    for name in FILES:
        shutil.copy(runs / ("256" if name in names else "512") / name, tmp_path / name)
    if not digests:
        told = json.loads((tmp_path / "run.json").read_text())
        told = {key: each for key, each in told.items() if key not in ("digests", *facts.KEYS)}
        (tmp_path / "run.json").write_text(json.dumps(told))
    tests_alone = names in (["xunit.xml"], [name for name in FILES if name != "xunit.xml"])
    assert verdict(tmp_path) == ("passed" if tests_alone and not digests else "unclear")


def test_a_gates_numbers_are_those_of_the_metrics_where_no_record_tells(runs, tmp_path):
    for name in ("metrics.json", "gate.json"):
        shutil.copy(runs / "512" / name, tmp_path / name)
    document = metrics.read(tmp_path)
    assert read_lead(tmp_path, document).verdict == "measured"
    document["models"][0]["max_abs_error"] = 0.9
    found = read_lead(tmp_path, document)
    told = "largest difference of an output from the host's: 1.00e-07 in gate.json, 9.00e-01 in metrics.json"
    assert found.verdict == "unclear" and told in found.wrong[0]
    content = json.loads((tmp_path / "gate.json").read_text())
    content["verdicts"] = [{**each, "subject": "other (vector) on spike, VLEN 128"} for each in content["verdicts"]]
    (tmp_path / "gate.json").write_text(json.dumps(content))
    assert read_lead(tmp_path, document).wrong == ()  # a suite may judge models that it records nothing of


def places(part, place=()):
    """The place of every value."""
    if isinstance(part, dict | list) and part:
        for name, each in part.items() if isinstance(part, dict) else enumerate(part):
            yield from places(each, (*place, name))
    else:
        yield place


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_record_has_not_passed_where_something_else_tells(runs, data):
    folder = runs / "512"
    document = metrics.read(folder)
    whole = json.loads((folder / "run.json").read_text())
    place = data.draw(st.sampled_from([each for each in places(whole) if each[0] not in ALONE]))
    damaged = copy.deepcopy(whole)
    part = damaged
    for name in place[:-1]:
        part = part[name]
    others = st.sampled_from([0, 1, -1, 7, 10**9, None, "", "zzz", "failed", [], {}, ["a"], [["a", "b"]], [{"x": 1}]])
    part[place[-1]] = data.draw(others.filter(lambda other: other != part[place[-1]]))
    if place == ("tests", "count") and part["count"] is None:
        return  # a run that left the results of its tests out
    try:
        (folder / "run.json").write_text(json.dumps(damaged))
        assert verdict(folder, document) in ("failed", "unclear"), f"{place} is now {part[place[-1]]!r}"
    finally:
        (folder / "run.json").write_text(json.dumps(whole))


NUMBERS = re.compile(r"\d[\d,]*(\.\d+)?(e-?\d+)?")


def redigested(folder, with_facts=False):
    """Who changes a file may make the record's digests anew; a record of before has no other facts."""
    told = json.loads((folder / "run.json").read_text())
    told["digests"] = {name: record.digest_of((folder / name).read_text()) for name in told["digests"]}
    if not with_facts:
        told = {key: each for key, each in told.items() if key not in facts.KEYS}
    (folder / "run.json").write_text(json.dumps(told))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_number_of_a_verdict_passes(runs, data):
    """Each stands in several places: as value, limit, baseline and change, and in the metrics."""
    folder = runs / "512"
    document = metrics.read(folder)
    kept = {name: (folder / name).read_text() for name in FILES}
    content = json.loads(kept["gate.json"])
    each = content["verdicts"][data.draw(st.integers(0, len(content["verdicts"]) - 1))]
    key = data.draw(st.sampled_from(["value", "limit", "baseline", "change", "outcome", "subject"]))
    others = st.sampled_from(["failed", "passed", "improved", "not compared"])
    if key in ("value", "limit", "baseline", "change"):
        found = NUMBERS.search(each[key])
        if key == "change" and not found:
            each[key] = data.draw(st.sampled_from(["+1,000 (+100.00 %)", "-1", "+5.00 points", "-3.00e+06"]))
        elif found and "…" not in each[key]:
            number = data.draw(
                st.sampled_from(["1", "0", "7", "886.07", "1,000,000,000"]).filter(lambda n: n != found[0])
            )
            each[key] = f"{each[key][: found.start()]}{number}{each[key][found.end() :]}"
    else:
        each[key] = data.draw(others) if key == "outcome" else "zorp (vector, standard) on springbok, spike, VLEN 512"
    if json.loads(kept["gate.json"]) == content:
        return
    try:
        (folder / "gate.json").write_text(json.dumps(content))
        redigested(folder)
        assert verdict(folder, document) in ("refused", "unclear"), f"{key} of {each}"
    finally:
        for name, text in kept.items():
            (folder / name).write_text(text)


OTHER_RUNS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["gestures", "zorp"]),
        "variant": st.sampled_from(["vector", "scalar"]),
        "seed": st.sampled_from([512, 7]),
        "vlen": st.sampled_from([512, 128]),
        "limit": st.sampled_from([1e-5, 1e-4]),
        "test": st.sampled_from(["a", "b"]),
        "rows": st.sampled_from([1, 2]),
    }
)


def leave_run(folder, name, variant, seed, vlen, limit, test, rows):
    """What a run leaves that judged and recorded one evaluation."""
    document = make_document({**make_model(variant=variant, seed=seed), "name": name}, vlen=vlen)
    metrics.write(folder / "metrics.json", document)
    VerdictFile(folder, "S", test).add([gate.judge(snapshots.snapshot(document), gate.Limit("max_abs_error", limit))])
    (folder / "xunit.xml").write_text(f'<testsuite><testcase classname="S" name="{test}"/></testsuite>')
    (folder / "sweep.json").write_text(json.dumps({"rows": [rows]}))
    begin = record.now() - timedelta(minutes=1)
    run = record.of_results(folder, begin, ["S"], True, record.Tests(1, 0), [folder])
    run_record.write(folder, run.as_json(documents=False))


@settings(max_examples=60, deadline=None)
@given(own=OTHER_RUNS, other=OTHER_RUNS, names=st.sets(st.sampled_from([*FILES[:-1], "sweep.json"]), min_size=1))
def test_no_file_of_another_run_passes_though_its_digest_is_made_anew(own, other, names):
    with temporary_folder() as place:
        for name, run in (("own", own), ("other", other)):
            (place / name).mkdir()
            leave_run(place / name, **run)
        assert verdict(place / "own") == "passed"
        is_same = all((place / "own" / name).read_text() == (place / "other" / name).read_text() for name in names)
        for name in names:
            shutil.copy(place / "other" / name, place / "own")
        redigested(place / "own", with_facts=True)
        assert verdict(place / "own") == ("passed" if is_same else "unclear")
        redigested(place / "own")
        assert verdict(place / "own") in ("passed", "unclear")  # a run of before stays readable


def test_equal_modules_on_two_chips_are_two_evaluations(tmp_path):
    """Scalar code is the same for every length of vectors."""
    documents = [make_document(make_model(variant="scalar"), vlen=vlen) for vlen in (256, 512)]
    measured = [snapshots.snapshot(each) for each in documents]
    assert len({snapshots.evaluation_of(each) for each in measured}) == 2
    for each in measured:
        VerdictFile(tmp_path, "S", f"a {each['subject']['vlen_bits']}").add_comparison(
            tmp_path, gate.compare(each, each)
        )
    metrics.write(tmp_path / "metrics.json", joined(documents))
    assert read_lead(tmp_path, metrics.read(tmp_path)).wrong == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_abs_error", 1e-8),
        ("max_abs_error", 1.1e-7),
        ("max_abs_error", 1e3),
        ("outputs_sha256", "0" * 64),
        ("name", "zorp"),
    ],
)
@pytest.mark.parametrize("has_record", [True, False])
@pytest.mark.parametrize("scalar", [True, False])
def test_what_was_judged_is_known_again_though_it_was_changed(tmp_path, name, value, has_record, scalar):
    """Its id is another one then: its name, its outputs and how far they are off are part of that."""
    folder = tmp_path
    document = write_run(folder)
    if scalar:  # another configuration of the run that still fits
        document = joined([document, make_document(make_model(variant="scalar"))])
        metrics.write(folder / "metrics.json", document)
        scalars = snapshots.snapshot({**document, "models": document["models"][1:]})
        VerdictFile(folder, "S", "b").add_comparison(folder / "base.json", gate.compare(scalars, scalars))
        redigested(folder)
        assert verdict(folder) == "passed"
    document["models"][0][name] = value
    metrics.write(folder / "metrics.json", document)
    redigested(folder)
    if not has_record:
        (folder / "run.json").unlink()
    found = read_lead(folder, metrics.read(folder))
    assert found.verdict == "unclear"
    assert ("zorp" if name == "name" else "gestures") in found.wrong[0]


@pytest.mark.parametrize("is_replaced", [True, False])
@pytest.mark.parametrize("samples", [SAMPLES - 1, SAMPLES])
def test_another_evaluation_may_be_recorded_than_was_judged(runs, tmp_path, samples, is_replaced):
    """With other samples, or at other costs; or where it is told that it took the place of the judged one."""
    shutil.copytree(runs / "512", tmp_path, dirs_exist_ok=True)
    document = write_run(tmp_path)
    other = make_document(make_model(seed=7 if samples == SAMPLES else 512))
    (model,) = other["models"]
    model["max_abs_error"] *= 2
    if is_replaced:
        suites = recorded.Recorded()
        suites.add(document, "A")
        suites.add({**other, "models": [{**model, "vmfb_sha256": "5" * 64}]}, "B")
        other = suites.document
    else:
        content = json.loads((tmp_path / "gate.json").read_text())
        for each in content["verdicts"]:
            if each["metric"] == "samples":
                each |= {"value": str(samples), "limit": each["limit"].replace(each["baseline"], str(samples))}
                each["baseline"] = str(samples)
        (tmp_path / "gate.json").write_text(json.dumps(content))
    metrics.write(tmp_path / "metrics.json", other)
    redigested(tmp_path)
    found = read_lead(tmp_path, metrics.read(tmp_path))
    assert found.wrong == (), found.wrong
    if is_replaced:  # which metrics.json itself tells, whatever tells of the run
        (tmp_path / "run.json").unlink()
        found = read_lead(tmp_path, metrics.read(tmp_path))
        assert found.wrong == (), found.wrong


def test_a_comparison_that_is_told_twice_is_none(runs, tmp_path):
    shutil.copytree(runs / "512", tmp_path, dirs_exist_ok=True)
    content = json.loads((tmp_path / "gate.json").read_text())
    content["verdicts"] *= 2
    (tmp_path / "gate.json").write_text(json.dumps(content))
    redigested(tmp_path)
    with pytest.raises(ReportError, match="samples is compared 2 times in a, with 1 baselines"):
        read_lead(tmp_path, metrics.read(tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"digests": {}}, "metrics.json is not the one that the run of run.json left"),
        ({"versions": {"compiler": "1.0"}}, "run.json: compiler 1.0, metrics.json: compiler 3.13.0"),
        ({"versions": {"firmware": "abc"}}, "run.json: firmware abc, metrics.json: firmware 2222222222222222"),
        ({"suites": []}, "run.json: 2 tests of no suite"),
        ({"seconds": 0.1}, "run.json: the run took 0.1 s, metrics.json: gestures alone"),
        ({"uid": ""}, "run.json is no good: uid: "),
        ({"origin": {"commit": "xyz"}}, "run.json is no good: origin/commit: "),
        ({"origin": {"committed": "2099-01-01T00:00:00+00:00"}}, "before its commit was made"),
        ({"origin": {"depth": 10**9}}, "run.json is no good: origin/depth: "),
        ({"started": "1970-01-01T00:00:00+00:00"}, "run.json is no good: started: "),
        ({"started": "2026-99-30T14:53:00+00:00"}, "run.json: month must be in 1..12"),
        ({"started": "2026-11-30T14:53:00"}, "run.json is no good: started: "),
    ],
)
def test_a_record_that_nothing_else_bears_out_is_unclear(runs, tmp_path, change, said):
    shutil.copytree(runs / "512", tmp_path, dirs_exist_ok=True)
    told = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**told, **change}))
    found = read_lead(tmp_path, metrics.read(tmp_path))
    assert found.verdict == "unclear"
    assert said in found.wrong[0]


def test_a_run_has_failed_where_any_file_says_so(tmp_path):
    document = write_run(tmp_path)
    told = json.loads((tmp_path / "run.json").read_text())
    failures = [["S: a", "no"]]
    (tmp_path / "run.json").write_text(
        json.dumps({**told, "verdict": "failed", "tests": {**told["tests"], "failures": failures}})
    )
    assert read_lead(tmp_path, document).wrong == ("run.json: 1 failed, xunit.xml: 0 failed",)
    (tmp_path / "xunit.xml").unlink()
    found = read_lead(tmp_path, document)  # the record tells of the tests where no file does
    assert (found.verdict, found.failures, found.wrong) == ("failed", (("S: a", "no"),), ())
    assert dict(found.facts)["Tests"] == "0 of 2 tests passed, 1 failed, 1 skipped"


@pytest.mark.parametrize(
    "head",
    ['tests="3"', 'tests="-2"', 'tests="x"', 'failures="1"', 'errors="1"', 'failures="1" errors="1"', 'skipped="0"'],
)
def test_an_xunit_file_whose_head_counts_others_is_refused(tmp_path, head):
    path = tmp_path / "xunit.xml"
    path.write_text(f'<testsuite failures_="0" {head}>{CASES}</testsuite>')
    with pytest.raises(ReportError, match=rf"xunit\.xml contradicts itself: its head says {head.split(' ')[0]}"):
        read_tests(path)
    path.write_text(f"<testsuite>{CASES}</testsuite>")
    assert (read_tests(path).count, read_tests(path).skipped, read_tests(path).failed) == (2, 1, 0)


def test_a_sweep_that_a_suite_left_is_the_runs_and_another_is_nobodys(runs, tmp_path):
    shutil.copytree(runs / "512", tmp_path, dirs_exist_ok=True)
    (tmp_path / "sweep.json").write_text('{"rows": [1]}')
    assert verdict(tmp_path) == "passed"  # the record knows none: it is of another command
    run = record.of_results(tmp_path, record.now() - timedelta(minutes=1), ["S"], True, record.Tests(2, 1), [tmp_path])
    run_record.write(tmp_path, run.as_json(documents=False))
    assert verdict(tmp_path) == "passed"
    (tmp_path / "sweep.json").write_text('{"rows": [2]}')
    found = read_lead(tmp_path, metrics.read(tmp_path))
    assert found.wrong == ("sweep.json is not the one that the run of run.json left: another run's, or changed since",)


def test_the_history_takes_no_results_that_contradict_themselves(runs, tmp_path, capsys):
    folder, store = tmp_path / "mixed", str(tmp_path / "h.db")
    shutil.copytree(runs / "512", folder)
    assert cli.main(["history", "add", str(folder), "--history", store]) == 0
    shutil.copy(runs / "256" / "metrics.json", folder)
    capsys.readouterr()
    assert cli.main(["history", "add", str(folder), "--history", store]) == 2
    assert "contradict themselves: metrics.json is not the one" in capsys.readouterr().err
    told = json.loads((runs / "256" / "run.json").read_text())
    told["uid"] = json.loads((runs / "512" / "run.json").read_text())["uid"]
    for name in FILES[:-1]:
        shutil.copy(runs / "256" / name, folder)
    (folder / "run.json").write_text(json.dumps(told))
    assert cli.main(["history", "add", str(folder), "--history", store]) == 2
    said = capsys.readouterr().err
    assert "has the id of run 1, and is otherwise in started, VLEN, gate.json, metrics.json, xunit.xml" in said


@pytest.mark.parametrize("has_xunit", [True, False])
def test_a_failure_that_nothing_shows_is_unclear(runs, tmp_path, has_xunit):
    """A run may fail as none of its tests does only where its record alone tells of it."""
    shutil.copytree(runs / "512", tmp_path, dirs_exist_ok=True)
    told = json.loads((tmp_path / "run.json").read_text())
    if not has_xunit:
        (tmp_path / "xunit.xml").unlink()
    (tmp_path / "run.json").write_text(json.dumps({**told, "verdict": "failed"}))
    found, document = read_lead(tmp_path, metrics.read(tmp_path)), metrics.read(tmp_path)
    source = "xunit.xml" if has_xunit else "run.json"
    (sentence,) = found.wrong
    assert sentence.startswith(f"run.json says that the run has failed, {source} that none of its 2 tests has")
    assert (found.verdict, len(found.failures)) == ("unclear", 1)
    content = json.loads((tmp_path / "gate.json").read_text())
    content["verdicts"][0] |= {"outcome": "failed", "value": "29"}
    del told["digests"]
    (tmp_path / "gate.json").write_text(json.dumps(content))
    (tmp_path / "run.json").write_text(json.dumps({**told, "verdict": "failed"}))
    assert read_lead(tmp_path, document).verdict == "failed"
    (tmp_path / "gate.json").unlink()
    untold = {"count": None, "skipped": None, "failures": []}
    (tmp_path / "xunit.xml").unlink(missing_ok=True)
    (tmp_path / "run.json").write_text(json.dumps({**told, "verdict": "failed", "tests": untold}))
    assert read_lead(tmp_path, document).verdict == "failed"


@pytest.mark.parametrize(
    ("name", "value"),
    [("seconds", 1e308), ("seconds", 3.2e8), ("started", "9999-12-31T00:00:00+00:00"), ("started", "yesterday")],
)
def test_a_record_of_no_time_is_unclear(runs, tmp_path, name, value):
    shutil.copytree(runs / "512", tmp_path, dirs_exist_ok=True)
    told = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**told, name: value}))
    found = read_lead(tmp_path, metrics.read(tmp_path))
    assert found.verdict == "unclear"
    assert found.wrong[0].startswith(f"run.json is no good: {name}: ")
