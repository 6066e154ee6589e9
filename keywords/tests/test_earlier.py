# SPDX-License-Identifier: Apache-2.0
"""Earlier results in a report: it says which they are, and judges no change that the platform or the data made."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model

from springbok import cli, report
from springbok.measuring import metrics
from springbok.report import page
from springbok.report.earlier import since_of

JUDGED = re.compile(r"\((better|worse)\)|slower|faster")
RECORD = '{"schema": 1, "started": "2026-01-02T03:04:05+00:00", "origin": {"commit": "%s"}}' % ("c0ffee" * 6)
XUNIT = '<testsuite tests="1" failures="0"><testcase classname="Gestures" name="Runs"/></testsuite>'


def results_of(vlen, scale, engine="spike", chip="springbok", samples=30, digest="a" * 64):
    model = make_model(seed=scale)
    model |= {"samples": samples, "dataset": {**model["dataset"], "sha256": digest}}
    return make_document(model, engine=engine, vlen=vlen) | {"chip": chip}


PLACES = st.tuples(
    st.sampled_from([128, 512]), st.sampled_from(["spike", "renode"]), st.sampled_from(["springbok", "m"])
)
DATA = st.tuples(st.sampled_from([30, 40]), st.sampled_from([None, "a" * 64, "b" * 64]))


@settings(max_examples=40, deadline=None)
@given(PLACES, PLACES, DATA, DATA)
def test_what_another_platform_or_other_data_made_is_told_and_not_judged(place, other, data, others):
    before, after = (
        results_of(vlen, scale, engine, chip, samples, digest)
        for scale, (vlen, engine, chip), (samples, digest) in ((3, place, data), (5, other, others))
    )
    earlier = report.Run("old", before)
    text = page.run_markdown(report.Run("new", after), earlier).replace("\\", "")
    is_same_data = data[0] == others[0] and (data[1] == others[1] or None in (data[1], others[1]))
    is_judged = place == other and is_same_data
    assert bool(JUDGED.search(text)) == is_judged
    assert bool(re.search(r"\((more|fewer)\)", text)) != is_judged
    since = since_of(after, after["models"][0], earlier)
    assert since.sentence in text and f"on {place[2]}, {place[1]}, VLEN {place[0]}." in since.sentence
    assert ("is not judged" in since.sentence) != is_judged
    assert (f"VLEN {place[0]} → VLEN {other[0]}" in since.sentence) == (place[0] != other[0] and place[1:] == other[1:])


def test_each_report_says_which_the_earlier_results_are(tmp_path, capsys):
    for name, vlen, scale in (("old", 512, 3), ("new", 256, 5)):
        metrics.write(tmp_path / name / "metrics.json", results_of(vlen, scale))
        (tmp_path / name / "xunit.xml").write_text(XUNIT)
    (tmp_path / "old" / "run.json").write_text(RECORD)
    old, new = str(tmp_path / "old"), tmp_path / "new"
    assert cli.main(["report", str(new), "--earlier", old]) == 0
    cli.report.write_summary(new, new / "xunit.xml", old)
    for name in ("report.html", "report.md", "summary.md"):
        text = (new / name).read_text().replace("\\", "")
        assert f"Changes are since {old} (commit c0ffeec0ff, of 2026-01-02 03:04 +0000): gestures" in text, name
        assert "spike, VLEN 512." in text and "(VLEN 512 → VLEN 256)" in text, name
    assert "From the earlier results (VLEN 512) to these (VLEN 256), by layer" in (new / "report.html").read_text()


def test_it_is_said_that_nothing_of_the_earlier_results_is_the_same(tmp_path):
    earlier = report.Run("old", make_document(make_model("another")))
    report.write_reports(results_of(512, 3), tmp_path, earlier)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text().replace("\\", "")
        assert "old has nothing that gestures (vector) is held against." in text
        assert "earlier results to these" not in text
