# SPDX-License-Identifier: Apache-2.0
"""Documents that something has changed: metrics that can't be shown are refused, by whatever command reads them."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model

from springbok import cli
from springbok.cli.report import write_reports, write_summary
from springbok.cli.running import OWN_RESULTS
from springbok.cli.text import print_table
from springbok.history import record
from springbok.history.record import Tests
from springbok.measuring import metrics
from springbok.report.compare import Run, comparison_table, configurations
from springbok.support.errors import ReportError


def places(value, path=()):
    """Where there is a value in a document, itself included."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_document_is_refused_when_it_is_read_or_can_be_compared(data, tmp_path):
    document = json.loads(json.dumps(make_document(make_model())))  # which shares parts with others
    *way, last = data.draw(st.sampled_from([path for path in places(document) if path]))
    content = document
    for key in way:
        content = content[key]
    content[last] = data.draw(
        st.sampled_from([None, {}, [], [[]], [None], "", "\ud800", -5, 0.5, True, 2**70, {"": 1}])
    )
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    try:
        read = metrics.read(tmp_path)
        with metrics.telling_of([(tmp_path, read)]):
            record.unknown({"metrics.json": json.dumps(read)}, record.now(), Tests(), record.MEASURED)
            json.dumps(comparison_table(configurations([Run("a", read), Run("b", make_document(make_model()))])).rows)
    except ReportError as error:
        assert "metrics" in str(error)
    else:
        assert all(isinstance(each["name"], str) for each in read["models"])


@pytest.mark.parametrize("command", ["report", "compare", "history"])
@pytest.mark.parametrize(
    "change",
    [lambda document: document.update(models=[None]), lambda document: document.update(models={})]
    + [lambda document, name=name: document["models"][0].update(name=name) for name in (None, "surr\ud800x")]
    + [lambda document: document["models"][0]["instructions"].update(mean=-5)],
)
def test_every_command_refuses_what_is_no_document(command, change, tmp_path, capsys):
    document = make_document(make_model())
    change(document)
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    more = {"compare": [str(tmp_path), "--output", str(tmp_path / "out")], "history": ["--history", "h.db"]}
    action = ["history", "add"] if command == "history" else [command]
    assert cli.main([*action, str(tmp_path), *more.get(command, ())]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_table_of_the_terminal_has_a_line_for_a_row_whatever_is_in_it(capsys):
    print_table([("a", "b"), ("x\r\ny\x1b[2J", "z" * 5000)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and max(map(len, lines)) < 200 and "\x1b" not in lines[1]


def test_whatever_a_run_writes_goes_when_the_next_begins(tmp_path):
    metrics.write(tmp_path / "metrics.json", make_document(make_model()))
    write_reports(tmp_path, tmp_path, None)
    (tmp_path / "xunit.xml").write_text('<testsuite tests="0"/>')
    write_summary(tmp_path, tmp_path / "xunit.xml")
    assert {path.name for path in tmp_path.iterdir()} <= {*OWN_RESULTS}
