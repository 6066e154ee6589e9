# SPDX-License-Identifier: Apache-2.0
"""Sweeps: which configurations there are, what is kept, what is in front; and a lost worker, with real processes."""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok import report
from springbok.cli import main
from springbok.data.dataset import Dataset
from springbok.exploring import sweep
from springbok.support.places import KEYWORDS


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(b"model")
    return path


def row(label, instructions, size, loss=0.0, model="m", **metrics):
    found = {"instructions": instructions, "module_bytes": size, "accuracy_loss": loss, "accuracy": 1 - loss, **metrics}
    return {"label": label, "model": model, "error": None, "metrics": found}


def failed_row(label):
    return {"label": label, "model": "m", "error": "iree-compile can't compile it", "metrics": None}


def test_every_combination_is_there_once(model):
    wanted = sweep.configurations([model], vlens=(128, 512), flags=("", "--a=1 --b"))
    assert len(wanted) == len(set(wanted)) == 2 * (2 * 2 + 2)
    assert {each.vlen for each in wanted if each.variant == "scalar"} == {512}
    assert wanted[-1].label == "m int8 scalar --a=1 --b"


def test_a_model_that_is_no_keras_model_is_taken_as_it_came(tmp_path):
    path = tmp_path / "m_int8.tflite"
    path.write_bytes(b"model")
    wanted = sweep.configurations([path], vlens=(512,), optimize=("none", "standard"))
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
    with pytest.raises(sweep.SweepError, match=said):
        sweep.configurations([model], **options)


def test_a_model_that_is_missing_is_named(capsys, tmp_path):
    assert main(["sweep", str(tmp_path / "no.h5"), "--results", str(tmp_path)]) == 2
    assert "no.h5 does not exist" in capsys.readouterr().err


def test_a_limit_that_does_not_exist_is_said_before_the_sweep(capsys, model, tmp_path):
    assert main(["sweep", str(model), "--limit", "speed=1", "--results", str(tmp_path)]) == 2
    assert "no metric 'speed' to limit. Metrics: samples, accuracy" in capsys.readouterr().err


def test_the_front_has_what_nothing_beats():
    rows = [row("fast", 10, 50), row("small", 30, 5), row("worse", 30, 50), row("exact", 40, 60), failed_row("broken")]
    rows[3]["metrics"]["accuracy_loss"] = -0.1
    marked = {each["label"]: each["pareto"] for each in sweep.mark_pareto(rows)}
    assert marked == {"fast": True, "small": True, "worse": False, "exact": True, "broken": False}


def test_other_tasks_lose_quality():
    rows = [row("a", 10, 10), row("b", 10, 10)]
    for each, loss in zip(rows, (0.5, 0.25), strict=True):
        del each["metrics"]["accuracy"], each["metrics"]["accuracy_loss"]
        each["metrics"].update(quality_loss=loss, mean_absolute_error=loss)
    marked = sweep.mark_pareto(rows)
    assert [each["pareto"] for each in marked] == [False, True]
    assert sweep.best(marked, {"mean_absolute_error": 0.4})["label"] == "b"
    header = report.sweep_table(marked).splitlines()[0]
    assert "mean absolute error" in header and "accuracy" not in header and "AUC" not in header


def test_rows_are_kept_by_what_the_data_hold(model):
    (wanted, *_) = sweep.configurations([model])
    data = [Dataset("d", np.full((3, 2), value), np.zeros(3)) for value in (0, 0, 1)]
    first, same, other = (sweep._key(wanted, b"model", "f", each) for each in data)
    assert first == same != other
    assert len(sweep._needed(data[0], wanted)) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv can't be read"),
        (["--data", "nothing"], "There is no data set 'nothing'"),
        (["--data-option", "labl=x"], "--data-option 'labl=x' is none: write NAME=VALUE, NAME one of split, labels"),
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
    rows = sweep.mark_pareto([row("a", 10, 10), row("b", 99, 99, model="other")])
    assert [each["pareto"] for each in rows] == [True, True]


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12))
def test_everything_behind_the_front_is_beaten_by_something_in_front(points):
    rows = sweep.mark_pareto([row(str(i), *point) for i, point in enumerate(points)])
    front = [point for point, each in zip(points, rows, strict=True) if each["pareto"]]
    assert front
    for point, each in zip(points, rows, strict=True):
        beaten = any(other != point and all(map(int.__le__, other, point)) for other in front)
        assert each["pareto"] != beaten


def test_the_best_keeps_all_limits():
    rows = [row("fast", 10, 50, 0.2), row("small", 30, 5), row("middle", 20, 20), failed_row("broken")]
    assert sweep.best(rows, {})["label"] == "fast"
    assert sweep.best(rows, {"accuracy": 0.9})["label"] == "middle"
    assert sweep.best(rows, {"accuracy": 0.9, "module_bytes": 10})["label"] == "small"
    assert sweep.best(rows, {"instructions": 1}) is None
    assert sweep.broken_limits(rows[0], {"accuracy": 0.9}) == ["fast: accuracy: 80.00 %; at least 90.00 %."]
    assert "could not be measured: iree-compile" in sweep.broken_limits(rows[3], {})[0]


def test_the_table_marks_front_best_and_failures(tmp_path):
    rows = sweep.mark_pareto([row("fast", 10, 50), row("worse", 30, 50), failed_row("broken")])
    lines = report.sweep_table(rows, rows[0]).splitlines()
    assert lines[1].startswith("best, Pareto") and "fast" in lines[1]
    assert lines[2].startswith(" ") and "worse" in lines[2]
    assert "can't compile it" in lines[3]
    for path in report.write_sweep(rows, rows[0], tmp_path):
        assert "worse" in path.read_text()


def test_what_was_measured_is_not_measured_again(monkeypatch, model, tmp_path):
    wanted = sweep.configurations([model], types=("float32",), vlens=(128, 256, 512))
    monkeypatch.setattr(sweep, "build_firmware", type("F", (), {"sha256": "f" * 64}))
    measured = []

    def some(client, jobs):
        for number, (configuration, *_) in enumerate(jobs):
            if len(measured) == 2 and not client:
                raise KeyboardInterrupt
            measured.append(configuration)
            yield number, {**row(configuration.label, 100 - number, 5), "model": "m"}

    class Client:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return len(measured) >= 2

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(sweep, "_measured", some)
    monkeypatch.setattr(sweep, "_client", Client)
    with pytest.raises(KeyboardInterrupt):
        sweep.run_sweep(wanted, tmp_path)
    with (tmp_path / sweep.ROWS_NAME).open("a") as file:
        file.write('{"key": "cut off')
    rows = sweep.run_sweep(wanted, tmp_path)
    assert measured == wanted
    assert [each["label"] for each in rows] == [each.label for each in wanted]
    first = (tmp_path / sweep.FILE_NAME).read_bytes()
    assert sweep.run_sweep(wanted, tmp_path) == rows
    assert (tmp_path / sweep.FILE_NAME).read_bytes() == first
    assert measured == wanted
    model.write_bytes(b"another model")
    sweep.run_sweep(wanted, tmp_path)
    assert len(measured) == 2 * len(wanted)


def test_a_file_of_another_form_is_refused(tmp_path):
    assert sweep.read(tmp_path) is None
    (tmp_path / sweep.FILE_NAME).write_text(json.dumps({"schema": 9}))
    with pytest.raises(sweep.ReportError, match="sweep.json is not of form 1"):
        sweep.read(tmp_path)


def test_a_worker_that_is_killed_costs_nothing_but_its_configuration(tmp_path):
    first = str(tmp_path / "first")

    def job(number):
        import os
        import signal

        if number == 1 and not os.path.exists(first):  # noqa: PTH110 - runs in another process
            open(first, "w").close()  # noqa: PTH123, SIM115
            os.kill(os.getpid(), signal.SIGKILL)
        return {"number": number, "pid": os.getpid()}

    with sweep._client(None, 2) as client:
        rows = dict(sweep._measured(client, [(number,) for number in range(6)], job))
    assert sorted(rows) == list(range(6))
    assert [rows[number]["number"] for number in range(6)] == list(range(6))
    for pid in {each["pid"] for each in rows.values()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)


def test_workers_that_lack_this_package_are_named():
    import dask

    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ.PYTHONPATH": ""}),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "path", [entry for entry in sys.path if Path(entry) != KEYWORDS])
        with (
            sweep._client(None, 1) as client,
            pytest.raises(
                sweep.SweepError, match="worker at tcp://.* can't import springbok.exploring.sweep: No module"
            ),
        ):
            list(sweep._measured(client, [(1,)]))


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(sweep, "WORKERS_LIMIT_SECONDS", 1)
    with (
        pytest.raises(sweep.SweepError, match=r"no Dask scheduler with workers at tcp://127\.0\.0\.1:9"),
        sweep._client("tcp://127.0.0.1:9", 1),
    ):
        pass


def test_workers_start_in_a_daemonic_process_as_those_of_renode_test(monkeypatch):
    options = multiprocessing.current_process()._config
    monkeypatch.setitem(options, "daemon", True)
    with sweep._client(None, 1) as client:
        assert client.submit(os.getpid).result() != os.getpid()
    assert options["daemon"] is True
