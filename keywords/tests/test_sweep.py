# SPDX-License-Identifier: Apache-2.0
"""Sweeps: which configurations there are, what is kept, what is in front; and a lost worker, with real processes."""

import contextlib
import csv
import json
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import SweepLibrary
from springbok import report, session
from springbok.chips.description import load as load_chip
from springbok.cli import main
from springbok.cli.sweep import Terminal
from springbok.data.dataset import Dataset
from springbok.exploring import measure, sweep, workers
from springbok.exploring.configurations import SweepError, check, configurations
from springbok.exploring.front import best, broken_limits, mark_pareto
from springbok.exploring.measure import Objective, compile_step
from springbok.exploring.model_files import ModelFiles
from springbok.exploring.workers import Job, done
from springbok.report import page
from springbok.report.sweep import sweep_figures
from springbok.support import process
from springbok.support.errors import BenchError
from springbok.support.places import KEYWORDS, MODELS
from springbok.timing.loading import load as load_timing


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(b"model")
    return path


GESTURES = MODELS / "gestures.h5"
PARAMETERS = {"type": "float32", "variant": "vector", "vlen": 512, "optimize": "standard", "module_sha256": "0"}


def row(label, instructions, size, loss=0.0, model="m", **metrics):
    found = {"instructions": instructions, "module_bytes": size, "accuracy_loss": loss, "accuracy": 1 - loss, **metrics}
    return {**PARAMETERS, "label": label, "flags": label, "model": model, "error": None, "metrics": found}


def failed_row(label):
    return {**row(label, 1, 1), "error": "iree-compile can't compile it", "metrics": None}


def test_every_combination_is_there_once(model):
    wanted = configurations([model], vlens=(128, 512), flags=("", "--a=1 --b"))
    assert len(wanted) == len(set(wanted)) == 2 * (2 * 2 + 2)
    assert {each.vlen for each in wanted if each.variant == "scalar"} == {512}
    assert wanted[-1].label == "m int8 scalar --a=1 --b"


def test_a_model_that_is_no_keras_model_is_taken_as_it_came(tmp_path):
    path = tmp_path / "m_int8.tflite"
    path.write_bytes(b"model")
    wanted = configurations([path], vlens=(512,), optimize=("none", "standard"))
    labels = [each.label for each in wanted]
    assert labels == [
        "m_int8 vector VLEN 512 optimize=none",
        "m_int8 vector VLEN 512",
        "m_int8 scalar optimize=none",
        "m_int8 scalar",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vlens": (64,)}, "no VLEN '64'"),
        ({"types": ("int4",)}, "no type 'int4'"),
        ({"variants": ("simd",)}, "no variant 'simd'"),
        ({"optimize": ("most",)}, "no optimisation level 'most'"),
        ({"vlens": ()}, "Nothing to sweep over"),
    ],
)
def test_what_can_not_be_swept_over_is_refused(model, options, said):
    with pytest.raises(SweepError, match=said):
        configurations([model], **options)


def test_a_model_that_is_missing_is_named(capsys, tmp_path):
    assert main(["sweep", str(tmp_path / "no.h5"), "--results", str(tmp_path)]) == 2
    assert "no.h5 does not exist" in capsys.readouterr().err


def test_workers_get_all_files_of_a_model(tmp_path):
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights")
    files = ModelFiles.read(folder)
    written = files.write(tmp_path / "worker")
    assert ModelFiles.read(written) == files
    assert (written / "variables" / "data").read_bytes() == b"weights"
    (folder / "variables" / "data").write_bytes(b"others")
    assert ModelFiles.read(folder).sha256 != files.sha256


def test_workers_get_the_weights_that_lie_beside_an_onnx_model(tmp_path):
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(np.arange(1024, dtype=np.float32), "w")
    graph = onnx.helper.make_graph([], "g", [], [], [weights])
    options = {"save_as_external_data": True, "location": "m.onnx.data"}
    onnx.save_model(onnx.helper.make_model(graph), str(tmp_path / "m.onnx"), **options)
    written = ModelFiles.read(tmp_path / "m.onnx").write(tmp_path / "worker")
    assert (written.parent / "m.onnx.data").read_bytes() == (tmp_path / "m.onnx.data").read_bytes()


@pytest.mark.parametrize("broken", [("",), ("", "broken"), ("broken",)])
def test_the_keyword_says_what_failed_and_fails_where_nothing_was_measured(fake, model, monkeypatch, tmp_path, broken):
    fake()
    warned = []
    monkeypatch.setattr(SweepLibrary, "check", lambda *_: None)
    monkeypatch.setattr(SweepLibrary.renode_test, "suite_folder", lambda: tmp_path)
    monkeypatch.setattr(SweepLibrary.logger, "warn", warned.append)
    sweep_configurations = SweepLibrary.SweepLibrary().sweep_configurations
    if "" not in broken:
        with pytest.raises(SweepError, match=r"No configuration could be measured:\nm .* it can't be compiled"):
            sweep_configurations(str(model), flags=";".join(broken))
        return
    assert len(sweep_configurations(str(model), flags=";".join(broken))) == len(broken)
    assert len(warned) == broken.count("broken")


def test_the_keyword_measures_the_chip_that_was_booted(fake, model, monkeypatch, tmp_path):
    fake()
    monkeypatch.setattr(SweepLibrary, "check", lambda *_: None)
    monkeypatch.setattr(SweepLibrary.renode_test, "suite_folder", lambda: tmp_path)
    sweep_configurations = SweepLibrary.SweepLibrary().sweep_configurations
    assert [row["chip"] for row in sweep_configurations(str(model), platform="rv64gcv")] == ["rv64gcv"]
    monkeypatch.setattr(session.current, "description", load_chip("coralnpu_soc"))
    rows = sweep_configurations(str(model), vlens="128")
    assert [row["chip"] for row in rows] == ["coralnpu_soc"]
    assert "1 configuration of m on coralnpu_soc" in report.sweep_table(rows)
    monkeypatch.undo()
    assert load_chip().name == "springbok"


def test_a_limit_that_does_not_exist_is_said_before_the_sweep(capsys, model, tmp_path):
    assert main(["sweep", str(model), "--limit", "speed=1", "--results", str(tmp_path)]) == 2
    assert "no metric 'speed' to limit. Metrics: samples, accuracy" in capsys.readouterr().err


def test_the_front_has_what_nothing_beats():
    rows = [row("fast", 10, 50), row("small", 30, 5), row("worse", 30, 50), row("exact", 40, 60), failed_row("broken")]
    rows[3]["metrics"]["accuracy_loss"] = -0.1
    marked = {each["label"]: each["pareto"] for each in mark_pareto(rows)}
    assert marked == {"fast": True, "small": True, "worse": False, "exact": True, "broken": False}


def test_other_tasks_lose_quality():
    rows = [row("a", 10, 10), row("b", 10, 10)]
    for each, loss in zip(rows, (0.5, 0.25), strict=True):
        del each["metrics"]["accuracy"], each["metrics"]["accuracy_loss"]
        each["metrics"].update(quality_loss=loss, mean_absolute_error=loss)
    marked = mark_pareto(rows)
    assert [each["pareto"] for each in marked] == [False, True]
    assert best(marked, {"mean_absolute_error": 0.4})["label"] == "b"
    header = report.sweep_table(marked).splitlines()[0]
    assert "mean absolute error" in header and "accuracy" not in header and "AUC" not in header


def test_fewest_cycles_need_not_be_fewest_instructions():
    rows = [row("wide", 10, 50, estimated_cycles=90), row("narrow", 12, 50, estimated_cycles=60)]
    assert [best(rows, {}, objective)["label"] for objective in ("instructions", "cycles")] == ["wide", "narrow"]
    assert [each["pareto"] for each in mark_pareto(rows, "cycles")] == [False, True]
    table = report.sweep_table(mark_pareto(rows, "cycles"), rows[1], "cycles")
    assert "estimated cycles" in table.splitlines()[0]
    assert "best, Pareto" in table.splitlines()[1]
    assert best(rows, {"estimated_cycles": 70})["label"] == "narrow"
    assert "estimated cycles" not in report.sweep_table(mark_pareto([row("a", 10, 50)]))


def test_rows_with_cycles_are_others_and_those_without_are_as_before(model):
    (wanted, *_) = configurations([model])
    timing = load_timing("springbok_assumed")
    files = ModelFiles.read(model)
    keys = [sweep._key(wanted, files, "f", None, each) for each in (Objective(), Objective(timing=timing))]
    assert keys[0] == sweep._key(wanted, files, "f") != keys[1]
    assert Objective("cycles", timing).searched_by is timing
    assert Objective("instructions", timing).searched_by is None
    for asked, said in ((("cycles",), "give --timing"), (("energy", timing), "no objective 'energy'")):
        with pytest.raises(SweepError, match=said):
            Objective(*asked)


def test_a_sweep_for_cycles_needs_a_timing(capsys, model, tmp_path):
    assert main(["sweep", str(model), "--objective", "cycles", "--results", str(tmp_path)]) == 2
    assert "give --timing" in capsys.readouterr().err
    assert main(["sweep", str(model), "--timing", "ibx", "--results", str(tmp_path)]) == 2
    assert "no timing 'ibx' (did you mean 'ibex'?)" in capsys.readouterr().err


def test_rows_are_kept_by_what_the_data_hold(model):
    (wanted, *_) = configurations([model])
    data = [Dataset("d", np.full((3, 2), value), np.zeros(3)) for value in (0, 0, 1)]
    first, same, other = (sweep._key(wanted, ModelFiles.read(model), "f", each) for each in data)
    assert first == same != other
    assert len(sweep._needed(data[0], wanted)) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv can't be read"),
        (["--data", "nothing"], "There is no data set 'nothing'"),
        (
            ["--data-option", "labl=x"],
            "--data-option 'labl=x' names no option of data (did you mean 'label'?). It is NAME=VALUE, NAME one of",
        ),
        (["--data-option", "label"], "--data-option 'label' lacks a value: write label=VALUE"),
        (["--limit", "accuracy"], "--limit 'accuracy' is no METRIC=VALUE with a number"),
        (["--data", "d.csv", "--samples", "9"], "d holds 2 recordings; 9 can't be taken"),
        (["--data", "d.csv", "--data-option", "label=z"], "has no column 'z'"),
    ],
)
def test_own_data_are_checked_before_the_sweep(capsys, model, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    Path("d.csv").write_text("a,b\n1,0\n2,1\n")
    assert main(["sweep", str(model), *options, "--results", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_models_do_not_compete_with_each_other():
    rows = mark_pareto([row("a", 10, 10), row("b", 99, 99, model="other")])
    assert [each["pareto"] for each in rows] == [True, True]


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12))
def test_everything_behind_the_front_is_beaten_by_something_in_front(points):
    rows = mark_pareto([row(str(i), *point) for i, point in enumerate(points)])
    front = [point for point, each in zip(points, rows, strict=True) if each["pareto"]]
    assert front
    for point, each in zip(points, rows, strict=True):
        beaten = any(other != point and all(map(int.__le__, other, point)) for other in front)
        assert each["pareto"] != beaten


def test_a_tables_columns_are_called_by_names_of_their_own():
    rows = mark_pareto([row("a", 1, 1, samples=24) | {"samples": None, "dataset": "d"}])
    head, line = page._sweep_csv(rows).splitlines()
    names = head.split(",")
    assert len(set(names)) == len(names)
    found = dict(zip(names, line.split(","), strict=True))
    assert (found["samples"], found["samples_asked_for"]) == ("24", "")


@pytest.mark.parametrize(("lost", "loss"), [(1.2e-9, 0.0), (-5e-8, 0.0), (1e-6, 1e-6), (-1e-6, -1e-6), (0.5, 0.5)])
def test_what_only_the_order_of_sums_makes_is_no_loss(lost, loss):
    host, device = (
        SimpleNamespace(figures=lambda value=value: {"mean_absolute_error": value}) for value in (1, 1 + lost)
    )
    assert measure._loss(device, host)["quality_loss"] == pytest.approx(loss, abs=2e-9)
    exact = SimpleNamespace(figures=lambda: {"mean_absolute_error": 0.0})
    assert measure._loss(exact, exact) == {"quality_loss": 0.0}


def test_the_best_keeps_all_limits():
    rows = [row("fast", 10, 50, 0.2), row("small", 30, 5), row("middle", 20, 20), failed_row("broken")]
    assert best(rows, {})["label"] == "fast"
    assert best(rows, {"accuracy": 0.9})["label"] == "middle"
    assert best(rows, {"accuracy": 0.9, "module_bytes": 10})["label"] == "small"
    assert best(rows, {"instructions": 1}) is None
    assert broken_limits(rows[0], {"accuracy": 0.9}) == ["fast: accuracy: 80.00 %; at least 90.00 %."]
    assert "could not be measured: iree-compile" in broken_limits(rows[3], {})[0]


def test_the_table_marks_front_best_and_failures(tmp_path):
    rows = mark_pareto([row("fast", 10, 50), row("worse", 30, 50), failed_row("broken")])
    lines = report.sweep_table(rows, rows[0]).splitlines()
    assert lines[0].split()[:7] == ["front", "flags", "instructions", "an", "inference", "module", "(bytes)"]
    assert lines[1].startswith("best, Pareto") and "fast" in lines[1]
    assert lines[2].startswith(" ") and "worse" in lines[2]
    assert "can't compile it" in lines[3]
    for path in report.write_sweep(rows, rows[0], tmp_path):
        assert "worse" in path.read_text()


def test_a_table_of_many_rows_shows_those_in_front_here_and_all_in_the_files(tmp_path):
    rows = mark_pareto([row(f"flag_{number}", 1000 + number, 100 - number) for number in range(60)])
    text = report.sweep_table(rows)
    assert len(text.splitlines()) == 1 + 40 + 2
    assert "and 20 more, in sweep.html and sweep.csv" in text
    _, _, table = report.write_sweep(rows, None, tmp_path)
    lines = list(csv.DictReader(table.open()))
    assert [(line["flags"], line["instructions"]) for line in lines] == [
        (f"flag_{number}", str(1000 + number)) for number in range(60)
    ]


def test_each_model_has_a_table_and_a_plot_of_its_own(tmp_path):
    rows = mark_pareto([row("a", 10, 10), row("b", 20, 5), row("c", 99, 99, model="other")])
    figures = report.sweep_figures(rows)
    assert [(figure.title, len(figure.rows)) for figure in figures] == [("Sweep: m", 2), ("Sweep: other", 1)]
    assert report.sweep_table(rows).count("module (bytes)") == 2


# ---- Before the start


@pytest.fixture
def wanted():
    return configurations([GESTURES], types=("float32",), vlens=(512,), samples=2, variants=("vector",))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"samples": 0}, "0 can't be taken of them"),
        ({"samples": 41}, "holds 40 recordings; 41 can't be taken"),
        ({"dataset": "basic_motion"}, r"no data set 'basic_motion'.* Did you mean 'basic_motions'\?"),
        ({"dataset": "mnist"}, r"gestures\.h5: its input is .*, but a sample is"),
        ({"flags": "--iree-llvmcpu-loop-unroling=true"}, r"no flag .*did you mean 'iree-llvmcpu-loop-unrolling'"),
        ({"flags": "--iree-execution-model=async"}, "the firmware runs inline-dynamic modules"),
        ({"tolerance": "much"}, "much"),
        ({"shape": "1x0"}, "can't be understood"),
    ],
)
def test_what_would_fail_in_every_row_is_said_before_the_start(wanted, given, said):
    with pytest.raises(BenchError, match=said):
        check([replace(each, **given) for each in wanted])


def test_what_is_fine_is_started(wanted):
    check(wanted)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "--workers: 0: a number from 1 on"),
        (["--workers", "2", "--scheduler", "tcp://a:1"], "a scheduler has workers of its own"),
        (["--scheduler", "nonsense"], "--scheduler: 'nonsense' is no address such as tcp://10.0.0.5:8786"),
        (["--scheduler", "tcp://a:b"], "--scheduler: 'tcp://a:b' is no address such as"),
        (["--vlens", "12x"], "'12x' is no list of numbers such as 256,512"),
        (["--types", "int9"], "There is no type 'int9' to sweep over (did you mean 'int8'?); known: float32, int8."),
        (["--limit", "accuracy=2"], "The limit 2 of 'accuracy' is no share, which is from 0 to 1: for 2 % write 0.02."),
        (["--limit", "instructions=nan"], "The limit nan of 'instructions an inference' is no number."),
        (["--limit", "accurracy=1"], "There is no metric 'accurracy' to limit (did you mean 'accuracy'?)."),
    ],
)
def test_wrong_arguments_are_said_before_the_start(capsys, tmp_path, arguments, said):
    assert main(["sweep", *arguments, "--results", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


# ---- What is measured, and what is not


class FakeWorkers:
    """Compiles and runs nothing. A module is named by its flags' first word; after ``most`` runs comes Ctrl-C."""

    def __init__(self, most=None):
        self.ran, self.compiled, self.most = [], [], most

    def __call__(self, client, jobs, follow):
        jobs = list(jobs)
        for job in jobs:
            configuration = job.arguments[0]
            if job.function is compile_step:
                self.compiled.append(configuration)
                result = {"error": None, "module_sha256": (configuration.flags.split() or [""])[0]}
                if "broken" in configuration.flags:
                    result = {"error": "it can't be compiled"}
            else:
                if len(self.ran) == self.most:
                    raise KeyboardInterrupt
                self.ran.append(configuration)
                result = {"error": None, "metrics": row("", configuration.vlen, 5)["metrics"]}
            jobs += follow(job, result)
            yield job, result


@pytest.fixture
def fake(monkeypatch):
    def install(most=None):
        fake = FakeWorkers(most)
        monkeypatch.setattr(sweep, "done", fake)
        return fake

    monkeypatch.setattr(sweep, "build_firmware", type("F", (), {"sha256": "f" * 64}))
    monkeypatch.setattr(sweep, "workers", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(sweep, "listen", lambda *_: None)
    return install


class Told(sweep.Watcher):
    def __init__(self):
        self.begun, self.counts = None, []

    def begin(self, kept, total):
        self.begun = (kept, total)

    def row(self, row, count, total):
        self.counts.append((count, total))


def test_what_was_measured_is_not_measured_again_and_counted(fake, model, tmp_path):
    wanted = configurations([model], types=("float32",), variants=("vector",), vlens=(128, 256, 512))
    first, told = fake(most=2), Told()
    with pytest.raises(KeyboardInterrupt):
        sweep.run_sweep(wanted, tmp_path, watcher=told)
    assert (told.begun, told.counts) == ((0, 3), [(1, 3), (2, 3)])
    with (tmp_path / sweep.ROWS_NAME).open("a") as file:
        file.write('{"key": "cut off')
    second, told = fake(), Told()
    rows = sweep.run_sweep(wanted, tmp_path, watcher=told)
    assert (told.begun, told.counts) == ((2, 3), [(3, 3)])
    assert [*first.ran, *second.ran] == wanted
    assert [each["label"] for each in rows] == [each.label for each in wanted]
    content = (tmp_path / sweep.FILE_NAME).read_bytes()
    third = fake()
    assert sweep.run_sweep(wanted, tmp_path) == rows
    assert (tmp_path / sweep.FILE_NAME).read_bytes() == content
    assert (third.ran, third.compiled) == ([], [])
    model.write_bytes(b"another model")
    sweep.run_sweep(wanted, tmp_path)
    assert third.ran == wanted


def test_a_table_that_was_changed_is_told_by_its_digest(fake, model, tmp_path):
    """Where no kept row tells: they are elsewhere, and the best of all has gone."""
    fake()
    sweep.run_sweep(configurations([model], types=("float32",), variants=("vector",), vlens=(128, 256)), tmp_path)
    (tmp_path / sweep.ROWS_NAME).unlink()
    path = tmp_path / sweep.FILE_NAME
    whole = json.loads(path.read_text())
    assert sweep.read(tmp_path) == whole
    for change in ({"firmware_sha256": "0" * 64}, {"rows": mark_pareto(whole["rows"][1:])}):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(sweep.ReportError, match="it is not as it was written"):
            sweep.read(tmp_path)


def changed_row(place, change):
    """Change the first row that was kept at ``place``, with its digest or without."""
    lines = [json.loads(line) for line in place.read_text().splitlines()]
    change(lines[0])
    place.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda kept: kept["row"]["metrics"].update(instructions=2), "it is not as it was written"),
        (lambda kept: kept.update(row=[]), "it is not as it was written"),
        (lambda kept: kept["row"]["metrics"].update(instructions=-7) or kept.pop("sha256"), "metrics/instructions: -7"),
        (lambda kept: kept["row"]["metrics"].update(accuracy_loss=7) or kept.pop("sha256"), "metrics/accuracy_loss: 7"),
        (lambda kept: kept["row"].update(vlen=256) or kept.pop("sha256"), "vlen: it is of another configuration"),
        (lambda kept: kept["row"].pop("module_sha256") or kept.pop("sha256"), "it is no row"),
        (lambda kept: kept["row"].update(metrics=None) or kept.pop("sha256"), "was neither measured nor has it failed"),
        (lambda kept: kept.pop("sha256"), ""),  # as rows of before
    ],
)
def test_a_kept_row_that_is_damaged_is_measured_anew_and_told(fake, model, tmp_path, capsys, change, said):
    wanted = configurations([model], types=("float32",), variants=("vector",), vlens=(128, 512))
    fake()
    rows = sweep.run_sweep(wanted, tmp_path)
    changed_row(tmp_path / sweep.ROWS_NAME, change)
    workers = fake()
    assert sweep.run_sweep(wanted, tmp_path, watcher=Terminal(is_terminal=False)) == rows
    assert workers.compiled == (wanted[:1] if said else [])
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(
        f"{wanted[0].label}: its kept row is damaged, and measured anew: " if said else "2 config"
    )
    assert said in told[0]
    again = fake()
    assert sweep.run_sweep(wanted, tmp_path) == rows and again.compiled == []


CUT = "{label}: its kept row is damaged, and measured anew: its end is cut off"
EMPTIED = "sweep-rows.jsonl: 1 line cut or emptied: what was kept in such a line is measured anew"


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda line: line[: len(line) // 2], CUT),
        (lambda line: line[:-1], CUT),
        (lambda line: line[:9], EMPTIED),
        (lambda line: "", EMPTIED),
    ],
)
def test_a_kept_row_that_is_cut_is_measured_anew_and_told(fake, model, tmp_path, capsys, cut, said):
    wanted = configurations([model], types=("float32",), variants=("vector",), vlens=(128, 512))
    fake()
    rows = sweep.run_sweep(wanted, tmp_path)
    first, second = (tmp_path / sweep.ROWS_NAME).read_text().splitlines()
    (tmp_path / sweep.ROWS_NAME).write_text(f"{cut(first)}\n{second}\n")
    workers = fake()
    assert sweep.run_sweep(wanted, tmp_path, watcher=Terminal(is_terminal=False)) == rows
    assert workers.compiled == wanted[:1]
    assert capsys.readouterr().out.splitlines()[0] == said.format(label=wanted[0].label)
    assert sweep.run_sweep(wanted, tmp_path, watcher=Terminal(is_terminal=False)) == rows
    assert "cut" not in capsys.readouterr().out  # all are there again


def test_what_no_logarithm_has_is_in_the_table_and_in_no_chart():
    rows = [row("a", 2, 5), row("b", -7, 5), row("c", 9, 0)]
    (figure,) = sweep_figures(mark_pareto(rows))
    assert len(figure.rows) == 3 and json.dumps(figure.chart).count('"module_bytes": 5') == 1
    assert sweep_figures(mark_pareto(rows[1:]))[0].chart is None


def test_equal_modules_run_once(fake, model, tmp_path):
    flags = ("--a", "--a --idle", "--b", "--broken")
    wanted = configurations([model], types=("float32",), variants=("vector",), vlens=(256, 512), flags=flags)
    workers = fake()
    rows = sweep.run_sweep(wanted, tmp_path)
    assert workers.compiled == wanted
    assert [(each.vlen, each.flags) for each in workers.ran] == [(256, "--a"), (256, "--b"), (512, "--a"), (512, "--b")]
    assert [bool(each["error"]) for each in rows] == [False, False, False, True] * 2
    equal = {each["label"]: each["equals"] for each in rows if each["equals"]}
    assert equal == {
        f"m float32 vector VLEN {vlen} --a --idle": f"m float32 vector VLEN {vlen} --a" for vlen in (256, 512)
    }
    assert rows[1]["metrics"] == rows[0]["metrics"]
    # One that comes later takes what is there.
    more = configurations([model], types=("float32",), variants=("vector",), vlens=(256,), flags=("--a", "--a --other"))
    workers = fake()
    assert sweep.run_sweep(more, tmp_path)[1]["metrics"] == rows[0]["metrics"]
    assert (workers.ran, workers.compiled) == ([], more[1:])


def test_the_terminal_says_how_fast_it_goes_and_what_is_done_meanwhile(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(sys.modules["springbok.cli.sweep"].time, "monotonic", lambda: now[0])
    terminal = Terminal(is_terminal=False)
    terminal.begin(120, 500)
    assert capsys.readouterr().out == "500 configurations, 120 of 500 kept from before.\n"
    for label in "abcde":
        terminal.step(label, "compiling")
    now[0] = 30.0
    terminal.refresh()
    assert capsys.readouterr().out == ""
    terminal.row(row("a", 10, 5), 121, 500)
    assert capsys.readouterr().out == "[121/500] a: 10 instructions, module 5 bytes, accuracy 100.00%\n"
    terminal.step("b", "running, 3 of 40")
    now[0] = 95.0
    terminal.refresh()  # nothing was said for a minute
    assert capsys.readouterr().out == (
        "121 of 500, 0.632 a minute, 10 h 0 min left; b: running, 3 of 40 (2 min); c: compiling (2 min); "
        "d: compiling (2 min); 1 more\n"
    )


def test_a_file_of_another_form_is_refused(tmp_path):
    assert sweep.read(tmp_path) is None
    (tmp_path / sweep.FILE_NAME).write_text(json.dumps({"schema": 9}))
    with pytest.raises(sweep.ReportError, match="sweep.json is not of form 1"):
        sweep.read(tmp_path)


# ---- Workers


def test_what_a_worker_is_at_is_told():
    heard = queue.SimpleQueue()

    def job(number):
        workers.tell(f"job {number}", "working")
        return number

    with workers.workers(None, 1) as client:
        workers.listen(client, lambda *told: heard.put(told))
        assert [result for _, result in done(client, [Job("7", job, (7,))])] == [7]
        assert heard.get(timeout=60) == ("job 7", "working")
    workers.tell("job", "outside of a worker nobody listens")


def test_jobs_may_follow_from_others():
    with workers.workers(None, 1) as client:
        follow = lambda job, result: [Job(f"{job.name}!", str, (result,))] if result == 7 else []  # noqa: E731
        results = [(job.name, result) for job, result in done(client, [Job("a", int, ("7",))], follow)]
    assert results == [("a", 7), ("a!", "7")]


def killing(first):
    """A job whose first worker is killed while it is at it."""

    def job(number):
        import os
        import signal

        if number == 1 and not os.path.exists(first):  # noqa: PTH110 - runs in another process
            open(first, "w").close()  # noqa: PTH123, SIM115
            os.kill(os.getpid(), signal.SIGKILL)
        return {"number": number, "pid": os.getpid()}

    return [Job(str(number), job, (number,)) for number in range(6)]


def test_a_worker_that_is_killed_costs_nothing_but_its_configuration(tmp_path):
    with workers.workers(None, 2) as client:
        rows = {job.name: result for job, result in done(client, killing(str(tmp_path / "first")))}
    assert {name: found["number"] for name, found in rows.items()} == {str(number): number for number in range(6)}
    for pid in {each["pid"] for each in rows.values()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)


@contextlib.contextmanager
def cluster(folder, count):
    """A Dask scheduler and workers, started separately, as those of a team are; their address, and the processes."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    options["env"] = os.environ | {"PYTHONPATH": str(KEYWORDS)}
    file = folder / "scheduler.json"
    python = [sys.executable, "-m"]
    scheduler = [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    scheduler += ["--no-dashboard", "--scheduler-file", file]
    worker = [*python, "distributed.cli.dask_worker", "--scheduler-file", file, "--nthreads", "1", "--no-dashboard"]
    worker += ["--no-nanny", "--host", "127.0.0.1", "--local-directory", folder]
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(list(map(str, scheduler)), **options))]
        started += [stack.enter_context(subprocess.Popen(list(map(str, worker)), **options)) for _ in range(count)]
        try:
            until(lambda: file.is_file() and file.read_text(), "the scheduler does not start")
            yield json.loads(file.read_text())["address"], started[1:]
        finally:
            for each in started:
                each.kill()


def until(condition, what):
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(what)


def test_a_clusters_worker_that_is_killed_costs_nothing_but_its_configuration(tmp_path):
    with cluster(tmp_path, 3) as (address, processes):
        with workers.workers(address, 1) as client:
            client.wait_for_workers(3, timeout=60)
            rows = {job.name: result for job, result in done(client, killing(str(tmp_path / "first")))}
        killed = [each for each in processes if each.poll() is not None]
        assert [each.returncode for each in killed] == [-signal.SIGKILL]
    assert {name: found["number"] for name, found in rows.items()} == {str(number): number for number in range(6)}
    pids = {each["pid"] for each in rows.values()}
    assert pids <= {each.pid for each in processes}
    assert rows["1"]["pid"] != killed[0].pid


def test_workers_that_lack_this_package_are_named():
    import dask

    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ.PYTHONPATH": ""}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "path", [entry for entry in sys.path if Path(entry) != KEYWORDS])
        said = r"worker at tcp://.* can't import springbok\.exploring\.workers: No module named"
        with workers.workers(None, 1) as client, pytest.raises(SweepError, match=said):
            list(done(client, [Job("a", str, (1,))]))


def test_types_that_no_model_can_have_are_refused():
    assert {each.type for each in configurations([GESTURES], types=("int8",))} == {"int8"}
    assert {each.type for each in configurations([MODELS / "digits.onnx"])} == {"as it came"}
    with pytest.raises(SweepError, match=r"Only Keras models \(\.h5, \.keras\) are quantised here: others are"):
        configurations([MODELS / "digits.onnx"], types=("int8",))


def test_what_fails_in_a_teams_sweep_is_not_put_down_to_its_scheduler(tmp_path):
    with (
        cluster(tmp_path, 1) as (address, *_),
        pytest.raises(OSError, match="disk full"),
        workers.workers(address, 1),
    ):
        raise OSError("disk full")


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(workers, "LIMIT_SECONDS", 1)
    with (
        pytest.raises(SweepError, match=r"no Dask scheduler with workers at tcp://127\.0\.0\.1:9"),
        workers.workers("tcp://127.0.0.1:9", 1),
    ):
        pass


@pytest.mark.parametrize(
    ("number", "by_another_thread"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, False)]
)
def test_who_is_asked_to_end_while_workers_start_closes_them(monkeypatch, number, by_another_thread):
    """It waits until they are there, and must find them closed before the folder that they write in goes."""
    import distributed

    told, asked = [], threading.Event()

    def strike():
        asked.wait()
        signal.raise_signal(number)

    other = threading.Thread(target=strike, daemon=True)  # it blocks no signal, and gets those of the process

    class Cluster:
        def __init__(self, local_directory, env, **_):
            assert env == {"TMPDIR": local_directory}  # what they leave goes with it
            self.folder = Path(local_directory)
            if by_another_thread:
                asked.set()
                other.join()
            else:
                signal.raise_signal(number)
            told.append("made")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            told.append(f"closed {self.folder.is_dir()}")

    monkeypatch.setattr(distributed, "LocalCluster", Cluster)
    if by_another_thread:
        other.start()
    with pytest.raises(process.Interrupted), process.ended_by_signals(), workers.workers(None, 1):
        raise AssertionError("there are workers")
    assert told == ["made", "closed True"]


def test_workers_start_in_a_daemonic_process_as_those_of_renode_test(monkeypatch):
    options = multiprocessing.current_process()._config
    monkeypatch.setitem(options, "daemon", True)
    with workers.workers(None, 1) as client:
        assert client.submit(os.getpid).result() != os.getpid()
    assert options["daemon"] is True
