# SPDX-License-Identifier: Apache-2.0
"""A number of other samples, or of other data, is no step of a commit."""

import json
import tempfile
from pathlib import Path

from history_runs import make_run
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.history.record import DATA, METRICS_FILE
from springbok.history.steps import all_steps
from springbok.history.store import Filter, opened
from springbok.report.history import history_page


def run_of(number, cost, samples, data):
    """A run that evaluated so many samples; without ``data`` as runs of before, that did not keep its digest."""
    run = make_run(number, cost=cost)
    content = json.loads(run.documents[METRICS_FILE])
    for model in content["models"]:
        model["samples"] = samples
        model["dataset"]["sha256"] = data
    return make_run(number, documents={METRICS_FILE: json.dumps(content)})


def steps_of(given, wanted=None):
    """All steps of the runs (cost, samples, data), one a commit, and what each run was of."""
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "h.db") as history:
        numbers = history.add_all([run_of(number, *each) for number, each in enumerate(given)])
        runs = history.runs()
        found = history.series(runs, wanted)
    return all_steps(runs, found), dict(zip(numbers, given, strict=True)), (runs, found)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([8, 40]), st.sampled_from(["a" * 64, "b" * 64, None])), max_size=6
    )
)
def test_no_step_is_between_runs_of_other_samples(given):
    found, of, _ = steps_of(given)
    for each in found:
        (_, samples, data), (_, others, other) = of[each.before.number], of[each.after.number]
        assert samples == others and each.series.metric not in ("samples", DATA)
        assert None in (data, other) or data == other


def test_each_number_of_samples_has_its_own_steps():
    """Suites of two numbers of samples take turns: the commit that changed both is a step of each."""
    given = [(0, 8, None), (0, 40, "a"), (0, 8, "a"), (7, 40, "a"), (7, 8, "a")]
    for wanted in (None, Filter(metric="instructions")):
        found, _, _ = steps_of(given, wanted)
        told = {(each.before.number, each.after.number) for each in found if each.series.metric == "instructions"}
        assert told == {(2, 4), (3, 5)}
        assert wanted is None or {each.series.metric for each in found} == {"instructions"}


def test_the_page_joins_no_points_of_other_samples():
    _, _, (runs, numbers) = steps_of([(0, 8, "a"), (0, 40, "a"), (0, 40, "b")])
    page = history_page(runs, numbers, [])
    content = json.loads(page.partition('id="history">')[2].partition("</script>")[0])
    assert content["evaluated"][0] == [["8 samples of a", 1, "40 samples of a", 1, "40 samples of b", 1]]
