# SPDX-License-Identifier: Apache-2.0
"""Several versions of the compiler, with stand-ins: folders that hold the installed one under other numbers."""

import itertools
import json
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compiler_stand_ins import stand_in

from springbok import report
from springbok.cli import main
from springbok.compiler import importers, iree, optimizer, proving, versions
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR
from springbok.compiler.optimizer import plan_for
from springbok.exploring import compiler_row, compilers, kept_rows
from springbok.exploring.compiler_row import Job, measured_apart, row_of
from springbok.exploring.compilers import compare, titled
from springbok.exploring.sweep import Watcher
from springbok.report.compilers import differences
from springbok.support import process
from springbok.support.cache import Cache
from springbok.support.errors import CompileError
from springbok.support.results_folder import claimed
from springbok.timing import description
from springbok.timing.loading import load as load_timing
from springbok.trials import newest

MODEL = """
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %y = stablehlo.multiply %x, %x : tensor<4x8xf32>
  %z = stablehlo.add %y, %x : tensor<4x8xf32>
  return %z : tensor<4x8xf32>
}
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "small.mlir"
    path.write_text(MODEL, encoding="utf-8")
    return path


@pytest.fixture
def imported(model):
    return importers.import_model(model, Cache(DEFAULT_OUTPUT_DIR))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where versions are."""
    path = tmp_path / "versions"
    monkeypatch.setenv(versions.FOLDER_VARIABLE, str(path))
    return path


# ---- Rows


def test_models_of_one_name_are_told_apart_and_each_is_taken_once():
    files = [Path("/a/b/m.onnx"), Path("/c/b/m.onnx"), Path("/c/n.onnx"), Path("/c/b/../n.onnx"), Path("/m.onnx")]
    assert list(titled(files).values()) == ["a/b/m.onnx", "c/b/m.onnx", "n.onnx", "/m.onnx"]


def test_damaged_rows_are_measured_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    kept_rows.add(path, "a", {"error": None, "x": 1})
    path.write_bytes(path.read_bytes() + b'{"key": "b", "row"\n\xff\x00\n[]\n')
    kept_rows.add(path, "c", {"error": None})
    whole = dict.fromkeys("abc", lambda row: "")
    rows = {"a": {"error": None, "x": 1}, "c": {"error": None}}
    assert kept_rows.read(path, whole) == (rows, {"b": "its end is cut off"})
    assert kept_rows.lost(path) == 2 and kept_rows.lost(tmp_path / "none") == 0
    path.write_bytes(path.read_bytes().replace(b'"x": 1', b'"x": 2'))
    rows, damaged = kept_rows.read(path, {**whole, "c": lambda row: "of no use"})
    told = {"a": "it is not as it was written", "b": "its end is cut off", "c": "of no use"}
    assert (rows, damaged) == ({}, told)
    path.write_bytes(path.read_bytes() + b'{"key": "c"')
    kept_rows.add(path, "c", {"error": None})
    assert kept_rows.read(path, {"c": whole["c"]}) == ({"c": {"error": None}}, {})  # it was measured anew
    kept_rows.add(path, "a", {"error": None, "x": 3})
    assert kept_rows.read(path, {"a": whole["a"]}) == ({"a": {"error": None, "x": 3}}, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"version": "3.1"}, "version: it is of another configuration"),
        ({"metrics": {"instructions": -1}}, "metrics/instructions: -1 is none"),
        ({"metrics": None}, "it is no row"),
    ],
)
def test_a_kept_row_is_held_to_what_it_is_of(change, said):
    job = compiler_row.Job("3.12", "m.h5", None, "none")
    assert compilers._problem_of(job, {**compiler_row.row_of(job, metrics={"instructions": 5}), **change}) == said


def test_a_row_is_not_taken_whose_cycles_were_reckoned_otherwise(imported, monkeypatch):
    job = compiler_row.Job("3.12", "m.h5", imported, "none", timing=load_timing("springbok_assumed"))
    before = compilers._key(job, "firmware")
    assert compilers._key(job, "firmware") == before
    monkeypatch.setattr(description, "VERSION", description.VERSION + 1)
    assert compilers._key(job, "firmware") != before


def test_versions_that_are_the_same_compile_the_same(folder, model, tmp_path):
    for version in ("3.9.0", "3.99.0"):
        stand_in(version)
    rows = compare(["3.99", "3.9.0", iree.PINNED_VERSION, "3.99.0"], [model], tmp_path / "results", count=2)
    assert [row["version"] for row in rows] == ["3.9.0", iree.PINNED_VERSION, "3.99.0"]
    assert [row["error"] for row in rows] == [None] * 3
    assert len({row["metrics"]["instructions"] for row in rows}) == 1
    assert len({json.dumps(row["dispatches"]) for row in rows}) == 1
    (kernel,) = rows[0]["dispatches"]
    assert kernel["tiles"] and kernel["opcodes"] and kernel["stack"] is not None
    assert rows[0]["metrics"]["cycles"] is None  # no timing was given
    assert any("pinned version finished" in note for note in rows[0]["notes"])
    again = compare(["3.9.0", "3.99.0", iree.PINNED_VERSION], [model], tmp_path / "results")  # nothing is done
    assert again == rows
    changes = report.compilers_figures(rows)[1]
    assert [row["what"] for row in changes.rows] == ["nothing", "nothing"]


def test_what_a_version_can_not_compile_is_a_row_with_its_reason(folder, imported, model):
    fails = "#!/bin/sh\n[ \"$1\" = --version ] && exit\necho 'm.mlir:1:1: error: no such thing'\nexit 1\n"
    stand_in("3.98.0", iree_compile=fails)
    row = measured_apart(Job("3.98.0", str(model), imported))
    assert "no such thing" in row["error"]
    assert row["dispatches"] == []


def test_a_process_that_dies_is_a_row_too(folder, imported, model, monkeypatch):
    monkeypatch.setattr(versions, "variables", lambda version: {"PYTHONHOME": "/nonexistent"})
    row = measured_apart(Job("3.97.0", str(model), imported))
    assert row["error"].startswith("The process for this row ended early:")
    monkeypatch.setattr(process, "run", lambda *_: process.Finished(-signal.SIGBUS, "", False))
    place = stand_in("3.97.0")
    row = measured_apart(Job("3.97.0", str(model), imported))
    assert f"ended by SIGBUS. If it ends so again, delete {place}: it is fetched anew then." in row["error"]
    library = "ImportError: libIREECompiler.so: file too short"
    monkeypatch.setattr(process, "run", lambda *_: process.Finished(1, f"Traceback\n{library}\n", False))
    row = measured_apart(Job("3.97.0", str(model), imported))
    assert f"{library}. If it ends so again, delete {place}: it is fetched anew then." in row["error"]


def test_wrong_answers_are_a_row_with_the_worst_element(imported, model):
    wrong = replace(imported, probe_outputs=[array + 1 for array in imported.probe_outputs])
    row = compiler_row.measure(Job(iree.PINNED_VERSION, str(model), wrong))
    assert row["error"].startswith("It computes something else than the framework: output ")
    assert row["metrics"]["kernel_text_bytes"] > 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--vlen=100", "VLEN must be a power of two"),
        ("--vlen=64", "VLEN 64 is not available on Springbok"),
        ("--tolerance=nan", "The tolerance 'nan' can't be understood"),
        ("--flags=--iree-nope", "iree-compile has no flag --iree-nope"),
        ("--flags=--a='b", "a quote has no end"),
    ],
)
def test_what_fails_in_every_row_is_said_before_any(model, tmp_path, capsys, option, said):
    command = ["compilers", iree.PINNED_VERSION, "--models", str(model), "--results", str(tmp_path / "results")]
    assert main([*command, option]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_models_that_can_not_be_imported_are_no_rows_of_before(tmp_path):
    broken = tmp_path / "broken.mlir"
    broken.write_text("nothing", encoding="utf-8")
    told = []

    class Told(Watcher):
        def step(self, label, step):
            told.append((label, step))

        def begin(self, kept, total):
            told.append((kept, total))

        def row(self, row, count, total):
            told.append((row["label"], count))

    (row,) = compare([iree.PINNED_VERSION], [broken], tmp_path / "results", watcher=Told())
    assert row["error"]
    importing = ("importing", "broken.mlir, 1 of 1")
    assert told == [importing, (0, 1), (f"broken.mlir, {iree.PINNED_VERSION}", 1)]
    assert report.compilers_table([row]).splitlines()[-1].startswith("1 row of 1 version: ")


def test_an_unknown_model_and_level_are_sentences(tmp_path, capsys):
    assert main(["compilers", "3.12.0", "--models", str(tmp_path / "none.h5")]) == 2
    assert "There is no model file" in capsys.readouterr().err
    assert main(["compilers", "3.12.0", "--optimize", ","]) == 2
    assert main(["compilers", "3.12.0", "--optimize", "standart"]) == 2
    assert "did you mean" in capsys.readouterr().err.lower()


# ---- The optimizer on other versions


def test_the_pinned_version_is_not_asked_for_a_proof(imported):
    plan = plan_for("standard", vectors=True, vlen=512)
    assert proving.for_version(plan, iree.PINNED_VERSION, Target(), imported, None, "m") == (plan, ())
    assert all(iree.PINNED_VERSION in optimizer.proved_on(name) for name in optimizer.TRANSFORMATIONS)


@pytest.fixture
def answers(monkeypatch):
    """What the transformations answer on this machine, by name; stock IREE answers 0, as all others do."""
    given = {}

    def answer(self, transformations):
        return [np.full((4, 1), sum(given.get(each, 0) for each in transformations), np.float32)]

    monkeypatch.setattr(proving._Proof, "_answers", answer)
    return given


def for_version(imported, tmp_path):
    plan = plan_for("standard", vectors=True, vlen=512)
    return proving.for_version(plan, "3.99.0", Target(), imported, Cache(tmp_path), "small.mlir")


def test_on_another_version_what_is_equal_is_taken(imported, tmp_path, answers):
    plan, reasons = for_version(imported, tmp_path)
    assert plan.transformations == optimizer.TRANSFORMATIONS
    assert reasons == ()


def test_on_another_version_what_differs_stays_out_with_a_line(imported, tmp_path, answers):
    answers["pads"] = 1
    plan, reasons = for_version(imported, tmp_path)
    assert plan.transformations == tuple(each for each in optimizer.TRANSFORMATIONS if each != "pads")
    assert reasons == (
        "The optimizer's pads: not proved on IREE 3.99.0: it differs from stock IREE by 1 on the probes "
        "(allowed is 1e-06, which versions where it is proved are not asked for).",
    )
    answers["pads"] = 0
    assert for_version(imported, tmp_path)[1] == reasons  # proved once


def test_where_stock_does_not_run_nothing_is_proved(imported, tmp_path, monkeypatch):
    def fail(*_):
        raise CompileError("no host.\nmore")

    monkeypatch.setattr(proving._Proof, "_answers", fail)
    plan, reasons = for_version(imported, tmp_path)
    assert plan.transformations == ()
    assert reasons[0].endswith("not proved on IREE 3.99.0: stock IREE does not run here: no host.")


def test_flags_that_a_version_does_not_know_are_left_out(imported, tmp_path, answers, monkeypatch):
    monkeypatch.setattr(iree, "compiler_flag_names", lambda: frozenset({"iree-llvmcpu-loop-vectorization"}))
    plan, reasons = for_version(imported, tmp_path)
    assert plan.flags == (("--iree-llvmcpu-loop-vectorization", "true"),)
    assert "--iree-llvmcpu-vscale-range" in reasons[0]


# ---- The page


def part(name, instructions=100, **changes):
    whole = {"name": f"main_dispatch_{name}", "layer": "conv_1", "tiles": ["distribution = [8]"], "calls": 1}
    stack = {"loads": 2, "stores": 2}
    return {**whole, "instructions": instructions, "opcodes": {"addi": instructions}, "stack": stack, **changes}


def made_up_row(version, *parts, **values):
    job = Job(version, "m.tflite", None)
    numbers = {"instructions": sum(each["instructions"] for each in parts), "kernel_text_bytes": 64 * len(parts)}
    return row_of(job, metrics=numbers if parts else {}, dispatches=list(parts), **values)


def compiler_rows():
    """Rows of every kind: two models at two levels of the optimizer, three versions, one of which can't compile all."""
    rows = []
    for model, level, size in itertools.product(
        ("gestures.h5", "resnet8_int8.tflite"), ("none", "standard"), (100, 90, 40)
    ):
        version = {100: "3.11.0", 90: "3.12.0", 40: "3.13.0"}[size]
        cost = size * (200 if level == "none" else 30)
        parts = [part("0_conv_8x14x14x16_f32", cost), part("1_pool", 10, layer="pool")]
        if size == 40:
            parts[0] |= {"tiles": [f"distribution = [{', '.join('84' * 20)}]", "pipeline = DoubleTilingExpert"]}
            parts.append(part("2_softmax_1x4xf32_dispatch_tensor_store", 7, layer="softmax"))
        job = Job(version, model, None, level)
        if (version, level) == ("3.11.0", "standard"):
            reason = f"iree-compile can't compile {model}: 'tosa.cast' op illegal: {'operand of ' * 40}i48"
            rows.append(row_of(job, metrics={}, dispatches=[], error=reason))
            continue
        numbers = {"instructions": sum(each["instructions"] for each in parts), "cycles": cost * 1.5}
        numbers |= {"kernel_text_bytes": 2_000 + size, "memory_peak_bytes": 72_896, "stack_accesses": 137_467 // size}
        numbers |= {"vset_per_vector": 0.0064, "whole_register_moves": 2_064}
        notes = ["It imported the model itself, as it can't read what 3.13.0 imported."] if version == "3.11.0" else []
        rows.append(row_of(job, metrics=numbers, dispatches=parts, notes=notes))
    return rows


def test_neighbours_tell_what_is_other():
    before, after = (
        part("0_conv_8"),
        part("0_conv_8", 90, tiles=["distribution = [4]"], stack={"loads": 0, "stores": 0}),
    )
    assert differences(before, after) == [
        "other tile sizes: distribution = [8] → distribution = [4]",
        "opcodes addi -10",
        "stack 4 → 0",
    ]
    assert differences(before, before) == []
    assert differences({**before, "cycles": 1377.0}, {**before, "cycles": 1313.0}) == ["cycles 1,377 → 1,313"]
    assert differences(None, after) == ["new kernel: conv_8"]
    assert differences(before, None) == ["no such kernel any more: conv_8"]


def test_the_page_has_all_rows_and_the_changes_between_neighbours(tmp_path):
    rows = [
        made_up_row("3.10.0", error="iree-compile can't compile m.tflite: <no>\nThe command was: …"),
        made_up_row("3.12.0", part("0_conv_8"), part("1_pool", 10, layer="pool")),
        made_up_row("3.13.0", part("0_conv_8x1", 50), part("1_pool", 10, layer="pool")),
    ]
    html, markdown, table = report.write_compilers(rows, tmp_path)
    text = markdown.read_text(encoding="utf-8")
    assert "| m.tflite | 3.10.0 |" in text and "&lt;no&gt;" in text and "The command was" not in text
    changes = report.compilers_figures(rows)[1].rows
    assert changes[0]["what"].startswith("3.10.0 has none: iree-compile can't compile")
    assert [(row["layer"], row["before"], row["after"]) for row in changes[1:]] == [
        ("the whole", 110, 60),
        ("conv_1", 100, 50),
    ]
    assert changes[2]["what"] == "formed otherwise: conv_8 → conv_8x1; opcodes addi -50"
    assert "3.12.0" in html.read_text(encoding="utf-8")
    assert len(table.read_text(encoding="utf-8").splitlines()) == 4
    assert "1 failed" in report.compilers_table(rows)


def changes_of(*rows):
    """What the page tells of one model's neighbours: the first table, and its note; None without such a table."""
    _, *found = report.compilers_figures(rows)
    return (found[0].rows, found[0].note) if found else None


def test_what_reads_the_same_is_no_change():
    rows = [made_up_row(f"3.{number}.0", part("0_conv_8", 1_000_000 - number)) for number in (10, 11)]
    for row, ratio in zip(rows, (0.0461, 0.0462), strict=True):
        row["metrics"]["vset_per_vector"] = ratio
    (whole, _), _ = changes_of(*rows)
    assert (whole["what"], whole["change"]) == ("", "-1")


def test_a_model_that_no_version_compiles_has_no_changes():
    failed = [made_up_row(version, error="it is empty") for version in ("3.11.0", "3.12.0")]
    assert changes_of(*failed) is None
    rows, _ = changes_of(made_up_row("3.10.0", part("0_conv_8")), *failed)
    assert [row["what"] for row in rows] == ["3.11.0 has none: it is empty"] * 2


def test_kernels_of_one_layer_are_told_apart():
    kernels = [part("0_fill"), part("1_conv_8"), part("2_pool", layer="pool")]
    tiled = [{**each, "tiles": ["[8]"]} for each in kernels]
    rows, _ = changes_of(made_up_row("3.10.0", *kernels), made_up_row("3.11.0", *tiled))
    assert [row["layer"] for row in rows] == ["the whole", "conv_1 (fill)", "conv_1 (conv_8)", "pool"]


def test_a_note_is_said_once_for_all_versions_that_have_it():
    notes = {"3.10.0": ["Older.", "Imported."], "3.11.0": ["Older."], "3.12.0": []}
    _, note = changes_of(*(made_up_row(version, part("0_conv_8"), notes=said) for version, said in notes.items()))
    assert note == "3.10.0, 3.11.0: Older. 3.10.0: Imported."


def test_long_tile_sizes_are_cut_on_both_sides():
    old, new = (part("0_conv_8", tiles=[f"vector_{letter * 300} = [1]"]) for letter in "ab")
    (tiles,) = differences(old, new)
    before, after = tiles.removeprefix("other tile sizes: ").split(" → ")
    assert before.startswith("vector_aaa") and after.startswith("vector_bbb") and len(before) == len(after)


def test_versions_are_compared_oldest_first_and_it_is_said(tmp_path, capsys):
    broken = tmp_path / "broken.mlir"
    broken.write_text("nothing", encoding="utf-8")
    command = ["compilers", "--models", str(broken), "--results", str(tmp_path / "results"), iree.PINNED_VERSION]
    said = f"Compared oldest first, each once: {iree.PINNED_VERSION}."
    assert main(command) == 1
    assert said not in capsys.readouterr().out
    assert main([*command, iree.PINNED_VERSION.removesuffix(".0")]) == 1
    assert said in capsys.readouterr().out


def test_the_whole_is_no_other_only_where_nothing_is():
    before, other = part("0_conv_8"), part("0_conv_8x1")
    rows = [made_up_row("3.12.0", before), made_up_row("3.13.0", other), made_up_row("3.14.0", other)]
    whole, figure = report.compilers_figures(rows)
    assert [row["what"] for row in figure.rows if row["layer"] == "the whole"] == ["", "nothing"]
    assert "estimated" not in whole.note  # no cycles are in the table
    assert "Cycles are estimated." in report.compilers_figures(compiler_rows())[0].note
    drawn = report.compilers_figures(compiler_rows())[0].chart["data"]["values"]
    assert {row["model"] for row in drawn} >= {"gestures.h5, none", "gestures.h5, standard"} and len(drawn) == 10


# ---- The trial


def test_the_trial_says_what_breaks(tmp_path):
    suite = tmp_path / "some.robot"
    suite.write_text(
        "*** Test Cases ***\nShould Pass\n    No Operation\nShould Break\n    Fail    no such pattern\\nmore\n"
        "Should Be Skipped\n    Skip    no memory\n",
        encoding="utf-8",
    )
    outcome = newest.run(iree.PINNED_VERSION, "none", [suite], tmp_path / "results")
    assert outcome.describe() == (
        "3.13.0 optimize=none: 1 passed, 1 skipped, 1 broken\n    Should Break: no such pattern"
    )


def test_a_run_that_leaves_nothing_is_broken(tmp_path):
    output = tmp_path / "output.xml"
    assert newest.outcome_of("3.12.0", "none", output, 252).broken == (
        ("the whole run", "it wrote no output.xml: exit code 252"),
    )
    output.write_text("<robot><suite>", encoding="utf-8")
    assert newest.outcome_of("3.12.0", "none", output, 0).broken[0][0] == "the whole run"


DOCUMENT = "\n".join(["Before.", "", *newest.HEAD, "", "Behind.", ""])


def test_outcomes_are_rows_of_the_document():
    first = newest.Outcome("3.9.0", "standard", 3, 1, (("Should Not", "a|b <c> d_e."),))
    others = [newest.Outcome("3.11.0", level, 5) for level in reversed(newest.LEVELS)]
    text = newest.recorded(DOCUMENT, [*others, first])
    assert newest.recorded(text, [first]) == text
    assert text.splitlines()[4:8] == [
        r"| 3.9.0 | with | 3 | 1 | 1 | Should Not: a\|b \<c> d\_e |",
        "| 3.11.0 | without | 5 | 0 | 0 |  |",
        "| 3.11.0 | with | 5 | 0 | 0 |  |",
        "",
    ]
    assert text.splitlines()[8:] == ["Behind."]
    again = newest.recorded(text, [newest.Outcome("3.9.0", "standard", 5)])
    assert again.splitlines()[4] == "| 3.9.0 | with | 5 | 0 | 0 |  |"


def test_tests_that_break_for_one_cause_share_it_in_the_document():
    broken = [
        ("Should A", "can't compile /a/one.tflite: rescale: 'no; 'no."),
        ("Should B", "can't compile two.tflite: rescale: 'no; 'no; 'n…"),
        ("Should C", "instructions: 9; at most 8."),
    ]
    (line,) = newest.recorded(DOCUMENT, [newest.Outcome("3.9.0", "none", 3, 0, tuple(broken))]).splitlines()[4:5]
    assert line.endswith(
        "| Should A, Should B: can't compile the model: rescale: 'no; Should C: instructions: 9; at most 8 |"
    )


def test_the_document_tells_which_versions_pass():
    """Of those that were recorded: each once, in order, the same tests, and a reason where some break."""
    text = newest.FILE.read_text(encoding="utf-8")
    text = text if newest.HEAD[0] in text else newest.recorded(text, [newest.Outcome("3.12.0", "none", 30)])
    assert newest.recorded(text, []) == text
    lines = text.splitlines()
    begin = lines.index(newest.HEAD[0]) + len(newest.HEAD)
    rows = [newest.cells_of(line) for line in itertools.takewhile(lambda line: line.startswith("|"), lines[begin:])]
    assert rows and len({row[:2] for row in rows}) == len(rows)
    assert {row[1] for row in rows} <= set(newest.LEVELS.values())
    assert len({sum(map(int, row[2:5])) for row in rows}) == 1
    assert all(bool(row[5]) == (int(row[4]) > 0) for row in rows)


def test_two_trials_of_one_folder_are_one_too_many(tmp_path, capsys):
    with claimed(tmp_path):
        done = process.run([sys.executable, "-m", "springbok.cli", "trial", "newest", "--results", tmp_path])
    assert done.exit_code == 2
    assert "is in use by process" in done.output


# ---- The table of four versions in the document

ROW = re.compile(
    r"^\| (?P<model>[^|]+) \| (?P<version>3\.\d+\.0) \| (?P<instructions>[\d,]+|-) \| .* \| (?P<why>.*) \|$"
)


def test_the_documents_findings_are_its_tables():
    """How many per cent a model needs more or less is what its two rows say; each version is there with each model."""
    text = newest.FILE.read_text(encoding="utf-8")
    rows = [found for line in text.splitlines() if (found := ROW.match(line))]
    counts = {
        (row["model"].replace("\\", ""), row["version"]): int(row["instructions"].replace(",", ""))
        for row in rows
        if not row["why"].strip()
    }
    models, used = ({key[place] for key in counts} for place in (0, 1))
    assert len(counts) == len(rows) == len(models) * len(used) == 40
    findings = re.findall(r"^- \*\*(3\.\d+) to (3\.\d+): (.*?)(?=^- |^#)", text, re.MULTILINE | re.DOTALL)
    assert len(findings) == 3
    for before, after, said in findings:
        told = re.findall(r"`([\w.]+)`(?:\s+needs)?\s+(\d+)\s%(?:\s+(more|fewer))?", said)
        assert told
        way = next(word for *_, word in told if word)
        for model, share, _ in told:
            change = counts[model, f"{after}.0"] / counts[model, f"{before}.0"] - 1
            assert (change > 0) == (way == "more")
            assert round(100 * abs(change)) == int(share), model
