# SPDX-License-Identifier: Apache-2.0
"""The search for flags: what is taken, what is recorded, and that a real search gives the same choice twice."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok.compiler import optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.optimizer import choices
from springbok.compiler.optimizer.choices import Candidate, Choice
from springbok.exploring import breakdown, search
from springbok.support.errors import CompileError
from springbok.support.places import MODELS, ROOT

VECTOR = Target.of("vector", 512)
KNOWN = ("plain", "fast")
MADE_WITH = {"vlen": 512, "compiler": "3.13.0"}
KERNELS = {"kernels_sha256": "k"}
STOCK = Candidate("", 20, 2)
CHOICE = Choice("fast", choices.SEARCHED, (Candidate("plain", 10, 100), Candidate("fast", 5, 100)), STOCK)


def searched(model, budget=search.BUDGET_SECONDS, **options):
    """The module with the flags that a search chooses."""
    choose = functools.partial(search.search, budget=budget)
    return compile_model(model, VECTOR, optimize="search", choose=choose, **options)


@pytest.fixture
def small_model(tmp_path):
    """A model whose compilation takes a moment only."""
    path = tmp_path / "small.mlir"
    path.write_text(
        """func.func @main(%a: tensor<1x16xf32>) -> tensor<1x16xf32> {
          %sum = stablehlo.add %a, %a : tensor<1x16xf32>
          return %sum : tensor<1x16xf32>
        }"""
    )
    return path


@pytest.fixture
def two_sets(monkeypatch):
    """Only two candidates: each costs a compilation."""
    sets = {name: optimizer.FLAG_SETS[name] for name in ("fixed", "rolled")}
    monkeypatch.setattr(optimizer, "FLAG_SETS", sets)
    return sets


candidates = st.lists(
    st.builds(
        Candidate,
        st.integers(0, 99).map(str),
        st.integers(1, 9),
        st.integers(1, 3),
        st.sampled_from(("", "", "", "differs")),
    ),
    min_size=1,
    unique_by=lambda each: each.flag_set,
)


@given(candidates)
def test_the_best_is_right_small_enough_and_the_earliest_of_the_fewest(found):
    good = [each for each in found if not each.outcome]
    reference = found[-1].flag_set
    if not good:
        with pytest.raises(CompileError, match="No set of flags can be taken: .* differs"):
            choices.best(found, STOCK, reference)
        return
    winner, judged = choices.best(found, STOCK, reference)
    most = min(STOCK.memory_bytes, found[-1].memory_bytes if not found[-1].outcome else STOCK.memory_bytes)
    within = [each for each in good if each.memory_bytes <= most]
    least = min(each.memory_bytes for each in good)
    allowed = within or [each for each in good if each.memory_bytes == least]
    fewest = min(each.instructions for each in allowed)
    assert winner == next(each for each in allowed if each.instructions == fewest)
    assert [each.flag_set for each in judged] == [each.flag_set for each in found]
    assert {each.flag_set for each in judged if not each.outcome} == {each.flag_set for each in allowed}


def test_what_is_recorded_is_found_again_and_an_older_entry_of_the_same_file_goes(tmp_path):
    file = tmp_path / "choices.json"
    made_with = MADE_WITH | KERNELS
    choices.record(CHOICE, name="m.h5", source_sha256="a", file=file, **made_with)
    choices.record(CHOICE, name="other.h5", source_sha256="b", file=file, **made_with)
    choices.record(replace(CHOICE, flag_set="plain"), name="m.h5", source_sha256="c", file=file, **made_with)
    found = choices.recorded("b", known=KNOWN, file=file, **MADE_WITH)
    assert found == replace(CHOICE, origin=choices.RECORDED, kernels_sha256="k")
    assert choices.recorded("c", known=KNOWN, file=file, **MADE_WITH).flag_set == "plain"
    unknown = choices.recorded("a", known=KNOWN, file=file, **MADE_WITH)
    assert unknown.origin == choices.DEFAULT
    assert "needs more instructions or memory than as stock IREE makes it was not counted" in unknown.describe()
    assert "chosen of 2 by count" in found.describe()


def test_what_was_recorded_with_another_compiler_is_not_taken(tmp_path):
    file = tmp_path / "choices.json"
    choices.record(CHOICE, name="m.h5", source_sha256="a", file=file, **MADE_WITH, **KERNELS)
    found = choices.recorded("a", known=KNOWN, file=file, **{**MADE_WITH, "compiler": "3.14.0"})
    assert (found.flag_set, found.origin) == ("plain", choices.OUTDATED)
    assert "3.13.0" in found.note
    assert "record it anew" in found.note
    assert choices.recorded("a", known=KNOWN, file=file, **{**MADE_WITH, "vlen": 256}).origin == choices.DEFAULT
    assert choices.recorded("a", known=("plain",), file=file, **MADE_WITH).origin == choices.OUTDATED


def test_what_was_recorded_of_other_kernels_keeps_its_flags_and_says_so(tmp_path):
    file = tmp_path / "choices.json"
    choices.record(CHOICE, name="m.h5", source_sha256="a", file=file, **MADE_WITH, **KERNELS)
    found = choices.recorded("a", known=KNOWN, file=file, **MADE_WITH)
    assert found.checked("k") == found
    other = found.checked("another")
    assert (other.flag_set, other.origin) == ("fast", choices.OUTDATED)
    assert "record it anew" in other.describe()
    assert CHOICE.checked("another") == CHOICE, "what was searched for was counted today"


def test_fewest_cycles_win_where_they_were_estimated():
    found = [Candidate("a", 10, 100, "", 90), Candidate("b", 12, 100, "", 60), Candidate("c", 11, 100, "", 70)]
    assert choices.best(found, Candidate("", 20, 200, "", 200), "a")[0].flag_set == "b"
    assert found[0].as_json()["estimated_cycles"] == 90
    assert "estimated_cycles" not in STOCK.as_json()
    chosen = Choice("b", choices.SEARCHED, tuple(found), Candidate("", 20, 200, "", 200))
    assert search.table(chosen).splitlines()[2] == "  * b                                12         100             60"


def test_what_is_recorded_needs_no_more_memory_than_with_the_flags_of_before():
    found = (Candidate("a", 12, 100), Candidate("b", 10, 90), Candidate("c", 9, 95), Candidate("d", 1, 0, "differs"))
    chosen = Choice("c", choices.SEARCHED, found, Candidate("", 20, 200))
    assert [search.no_larger(chosen, before).flag_set for before in ("a", "b", "c", "d", "gone")] == list("cbccc")
    outcomes = [each.outcome for each in search.no_larger(chosen, "b").candidates]
    more = "bytes of memory more than allowed"
    assert outcomes == [f"needs 10 {more}", "", f"needs 5 {more}", "differs"]


def test_what_is_chosen_by_cycles_is_not_recorded(capsys):
    with pytest.raises(SystemExit):
        search.main(["--record", "--timing", "chip"])
    assert "--record keeps what is chosen by instructions" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 9}', '{"schema": 2, "choices": [{"model": "m"}]}'])
def test_a_broken_record_is_refused_with_its_path(tmp_path, content):
    file = tmp_path / "choices.json"
    file.write_text(content)
    with pytest.raises(CompileError, match="choices.json is not a record of chosen flags"):
        choices.recorded("a", known=KNOWN, file=file, **MADE_WITH)


def test_the_record_of_this_project_is_of_its_models_and_names_known_flags():
    entries = json.loads(choices.FILE.read_text())["choices"]
    assert entries
    for entry in entries:
        counted = [each for each in entry["candidates"] if not each["outcome"]]
        fewest = min(each["instructions"] for each in counted)
        assert next(each["flag_set"] for each in counted if each["instructions"] == fewest) == entry["flag_set"]
        assert (MODELS / entry["model"]).exists()


def test_what_needs_more_memory_than_stock_iree_is_in_the_documents():
    text = (ROOT / "docs" / "optimizer.md").read_text(encoding="utf-8")
    for entry in json.loads(choices.FILE.read_text())["choices"]:
        chosen = next(each for each in entry["candidates"] if each["flag_set"] == entry["flag_set"])
        needed, stock = chosen["memory_bytes"], entry["stock"]["memory_bytes"]
        assert needed <= stock or f"{needed:,} bytes to {stock:,}" in " ".join(text.split()), (
            entry["model"],
            entry["vlen"],
        )


@pytest.mark.parametrize(
    ("name", "vlen"),
    [("magic_wand_int8.tflite", 512), ("gestures.h5", 1024), ("autoencoder.keras", 256), ("ds_cnn.keras", 128)],
)
def test_the_record_is_of_the_kernels_that_the_optimizer_makes(name, vlen):
    """Of models of each kind that compile quickly."""
    of_today = compile_model(MODELS / name, Target.of("vector", vlen)).plan.choice
    assert of_today.origin == choices.RECORDED, of_today.note


def test_a_search_counts_every_candidate_once_and_its_choice_is_what_is_compiled(
    small_model, two_sets, tmp_path, monkeypatch
):
    model = searched(small_model, output_dir=tmp_path / "build")
    choice = model.plan.choice
    assert choice.origin == choices.SEARCHED
    assert [each.flag_set for each in choice.candidates] == list(two_sets)
    assert choices.best(choice.candidates, choice.stock, "fixed")[0].flag_set == choice.flag_set == model.plan.flag_set
    again = search.search(small_model, VECTOR, output_dir=tmp_path / "again")
    assert again == choice, "two searches count the same"

    def measured_anew(*_):
        raise InterruptedError

    monkeypatch.setattr(search, "_measured", measured_anew)
    assert (
        compile_model(
            small_model, VECTOR, optimize="search", choose=search.search, output_dir=tmp_path / "build"
        ).plan.choice
        == choice
    )
    with pytest.raises(InterruptedError):
        compile_model(
            small_model, VECTOR, optimize="search", choose=search.search, output_dir=tmp_path / "build", use_cache=False
        )


def test_a_search_that_runs_out_of_time_says_what_was_not_tried_and_is_not_kept(small_model, two_sets, tmp_path):
    model = compile_model(
        small_model, VECTOR, optimize="search", choose=functools.partial(search.search, budget=0), output_dir=tmp_path
    )
    first, *rest = model.plan.choice.candidates
    assert first.instructions
    assert [each.outcome for each in rest] == [choices.NOT_TRIED] * len(rest)
    assert model.plan.choice.origin == choices.INCOMPLETE
    assert all(each.flag_set in model.notes[-1] for each in rest)
    assert not list(tmp_path.glob("*-search-*"))


def test_a_candidate_that_does_not_compile_is_passed_over_with_its_reason(small_model, tmp_path, monkeypatch):
    sets = {"fixed": optimizer.FLAG_SETS["fixed"], "broken": {"--iree-no-such-flag": "1"}}
    monkeypatch.setattr(optimizer, "FLAG_SETS", sets)
    choice = search.search(small_model, VECTOR, output_dir=tmp_path)
    assert choice.flag_set == "fixed"
    assert "iree-no-such-flag" in choice.candidates[1].outcome


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.int8([1, 2]), ""),
        (np.int8([1, 3]), "differs from stock IREE by 1 in sample 0 (allowed is 0)"),
        (np.float32([1, 2 + 1e-6]), ""),
        (np.float32([1, 2.001]), "differs from stock IREE by 0.0005 in sample 0 (allowed is 1e-06)"),
        (np.float32([1, np.nan]), "differs from stock IREE by inf in sample 0 (allowed is 1e-06)"),
    ],
)
def test_answers_are_compared_as_their_type_asks_for(given, said):
    assert search.difference([[given]], [[np.array([1, 2], given.dtype)]]) == said


def test_the_breakdown_counts_each_transformation_by_layer():
    """Of a plan with two of them."""
    left = [name for name in optimizer.TRANSFORMATIONS[1:] if name not in ("requantisation", "register-tiling")]
    plan = optimizer.plan_for("standard", vectors=True, vlen=512).without(*left)
    model = compile_model(MODELS / "magic_wand_int8.tflite", VECTOR, optimize=plan)
    whole, *others = breakdown.measure(model, samples=1)
    names = [each["without"] for each in others]
    assert names == [*plan.transformations[1:], breakdown.TRANSFORMATIONS, breakdown.ALL]
    without = dict(zip(names, others, strict=True))
    assert without["requantisation"]["layers"]["conv_1"] > whole["layers"]["conv_1"]
    assert without[breakdown.ALL]["instructions"] > without[breakdown.TRANSFORMATIONS]["instructions"]
    assert all(sum(each["layers"].values()) < each["instructions"] for each in (whole, *others))
