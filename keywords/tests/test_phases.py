# SPDX-License-Identifier: Apache-2.0
"""What makes the difference between two modules: fewest flags, phases, passes; with written code, and the compiler."""

import re
from types import SimpleNamespace

import pytest
from compiler_stand_ins import stand_in
from hypothesis import given
from hypothesis import strategies as st

from springbok.cli import main
from springbok.cli import phases as cli_phases
from springbok.cli.phases import _shown
from springbok.compiler import iree, versions
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.exploring import phases
from springbok.exploring.passes import by_pass, of_kernel
from springbok.exploring.phases import (
    Difference,
    Side,
    by_phase,
    difference,
    differing,
    joined,
    minimal,
    normal,
    text_of_difference,
)
from springbok.support.errors import BenchError, CompileError

MODEL = """
func.func @main(%x: tensor<16x64xf32>) -> tensor<16xf32> {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %y = stablehlo.multiply %x, %x : tensor<16x64xf32>
  %z = stablehlo.reduce(%y init: %zero) applies stablehlo.add across dimensions = [1]
    : (tensor<16x64xf32>, tensor<f32>) -> tensor<16xf32>
  return %z : tensor<16xf32>
}
"""


@given(st.sets(st.integers(0, 11), min_size=1), st.integers(0, 4))
def test_what_is_left_makes_it_and_none_of_it_can_go(needed, more):
    flags = [str(number) for number in range(12 + more)]
    found = minimal(flags, lambda kept: needed <= set(map(int, kept)))
    assert set(map(int, found)) == needed


def test_of_several_ways_one_is_found():
    found = minimal("abcdef", lambda kept: "b" in kept or {"d", "e"} <= set(kept))
    assert found in (("b",), ("d", "e"))


def test_flags_are_told_apart_and_joined():
    assert differing(("--a=1", "--b"), ("--a=2", "--b", "--c")) == (("--a=1",), ("--a=2", "--c"))
    assert joined(("--a=1", "--b"), ("--a=2",)) == ("--b", "--a=2")


def test_names_and_locations_are_no_difference():
    one = '  %3 = arith.addi %a, %b : i32 loc(#loc1)\n#loc1 = loc("x")\n'
    other = '  %7 = arith.addi %x, %y : i32 loc(fused[#loc1, #loc2])\n#loc1 = loc("z")\n'
    assert normal(one) == normal(other) == "  %0 = arith.addi %1, %2 : i32"
    assert difference("here", one, other) is None
    swapped = difference("here", one, other.replace("%x, %y", "%y, %y"))
    assert swapped.operations == {} and len(swapped.lines) == 2


def test_between_versions_only_what_computes_counts():
    one, other = "  %0 = arith.addi %1, %2 : i32\n  hal.x %0", "  %0 = arith.addi %2, %1 : i32\n  hal.y %0\n  hal.z"
    assert difference("here", one, other, by_text=False) is None
    assert difference("here", one, other).operations == {"hal.x": -1, "hal.y": 1, "hal.z": 1}


def test_a_long_difference_is_shown_where_it_is_and_a_cut_is_told():
    line = "  %0 = arith.constant dense<1> : " + "tensor<4xi8>, " * 30
    (gone, come) = text_of_difference([f"{line}x"], [f"{line}y"])
    assert (gone[:2], gone[-1], come[-1]) == ("-…", "x", "y") and len(come) < len(line)
    operations = {f"arith.op{number}": 1 for number in range(20)} | {"distribution = [8]": -9, "linalg.generic": -1}
    told = Difference("here", operations, ()).describe()
    assert told.startswith("here: linalg.generic -1, arith.op0 +1, ") and told.endswith(", … 10 more")


def test_a_phase_that_differs_in_kernels_alone_says_so(monkeypatch, tmp_path):
    sides = [Side(tmp_path, tmp_path, (flag,)) for flag in ("a", "b")]
    kernel = "module {{\n  hal.executable private @k {{\n    arith.{}\n  }}\n  util.global @g = {}\n}}"
    code = {"a": {"flow": kernel.format("addi", 1), "hal": kernel.format("addi", 1)}}
    code["b"] = {"flow": kernel.format("muli", 1), "hal": kernel.format("muli", 2)}
    monkeypatch.setattr(phases, "_phases", lambda side, folder: code[side.flags[0]])
    found = [each.where for each in by_phase(*sides, tmp_path)]
    assert found == ["phase flow (in its kernels alone)", "phase hal"]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "small.mlir"
    path.write_text(MODEL, encoding="utf-8")
    return path


def side(source, *flags):
    return Side(iree.tool("iree-compile"), source, compiler_flags(Target(), flags)[0])


def test_the_pass_that_a_flag_changes_is_found(source, tmp_path):
    sides = side(source), side(source, "--iree-llvmcpu-disable-distribution=true")
    assert [each.where for each in by_phase(*sides, tmp_path)] == ["phase hal"]
    first, *_ = by_pass(*sides, tmp_path)
    name = "iree-codegen-tile-and-distribute-to-workgroups-using-forall-op"
    assert first.where == f"pass {name} of main_dispatch_0 only in the first"


def test_two_equal_compilations_have_no_difference(source, tmp_path):
    assert by_phase(side(source), side(source), tmp_path) == []
    assert by_pass(side(source), side(source), tmp_path) == []


def test_what_llvm_makes_of_equal_code_is_no_difference():
    """Neither where a kernel was serialized, nor where its machine code became a constant."""
    binary = '  hal.executable.binary public @k <data = dense_resource<__elided__> : vector<{}xi8>, mime_type = "x">'
    constant = '  %0 = util.buffer.constant "k" <mime_type = "application/x-elf"> = dense<"0x{:0200}"> : vector<{}xi8>'
    for line in (binary, constant):
        assert difference("here", line.format(30536, 1), line.format(30344, 2)) is None
    weights = "  %0 = util.buffer.constant : !util.buffer = dense_resource<w> : vector<{}xi8>"
    assert difference("here", weights.format(1), weights.format(2))


def test_all_passes_by_which_a_kernel_differs_are_told(source, tmp_path):
    """But for those behind which it is machine code."""
    sides = side(source), side(source, "--iree-llvmcpu-disable-distribution=true")
    found = {each.where: each.operations for each in of_kernel(*sides, tmp_path, "main_dispatch_0")}
    (tmp_path / "whole").mkdir()
    by_its_whole_name = of_kernel(*sides, tmp_path / "whole", "main_dispatch_0_reduction_16x64_f32")
    assert found == {each.where: each.operations for each in by_its_whole_name}
    assert found["pass iree-codegen-forall-to-for"]["scf.for"] == 1
    assert "pass iree-hal-serialize-target-executables" not in found


def test_a_kernel_that_is_not_there_is_a_sentence_with_those_that_are(source, tmp_path):
    with pytest.raises(
        BenchError, match=r"There is no kernel dispatch_0 in both: main_dispatch_0_reduction_16x64_f32\."
    ):
        of_kernel(side(source), side(source), tmp_path, "dispatch_0")


def test_where_a_flag_crashes_the_compiler_it_is_named_and_nothing_that_can_not_help(source, capsys):
    flags = "--iree-opt-level=O2 --iree-llvmcpu-number-of-threads=0"
    assert main(["phases", str(source), f"--second={flags}", "--metric", "code"]) == 2
    said = capsys.readouterr().err
    assert "the compiler crashed" in said and "optimize=none" not in said and "Simplify" not in said
    assert "It does not without --iree-llvmcpu-number-of-threads=0: leave that out, or give it another value" in said


def test_most_is_shown_in_full_and_the_rest_named():
    found = [Difference("alone", {}, (), "k9")]
    found += [Difference(f"w{at}", {}, ("+a",), minor=at > 8, short=f"k{at}") for at in range(11)]
    lines = _shown(found)
    assert lines[0] == "alone: k9" and [line[:2] for line in lines[1:-2]] == [f"w{at}" for at in range(6)]
    assert lines[-2:] == [
        "and 3 more, each told by --kernel: k6, k7, k8",
        "and 2 that make no difference in the end: k9, k10",
    ]
    assert _shown(found[-2:])[0] == "None of these makes a difference in the end:" and len(_shown(found[-2:])) == 3


def test_what_does_not_compile_is_a_sentence(source, tmp_path):
    with pytest.raises(CompileError, match="iree-compile can't compile small.mlir"):
        by_phase(side(source, "--no-such-flag"), side(source), tmp_path)


def test_the_command_wants_one_thing_to_compare(capsys, source):
    assert main(["phases", str(source)]) == 2
    assert "Give flags with --first or --second" in capsys.readouterr().err


def test_a_model_is_found_by_its_name_as_compilers_does(capsys, source):
    given = ["--second=--iree-nope"]
    for name in ("gestures.h5", str(source)):
        assert main(["phases", name, *given]) == 2
        assert "iree-compile has no flag --iree-nope" in capsys.readouterr().err
    for command in (["phases", "gestures.h6", *given], ["compilers", "3.13.0", "--models", "gestures.h6"]):
        assert main(command) == 2
        assert "There is no model file gestures.h6." in capsys.readouterr().err


def test_what_can_not_be_compared_is_said_first(capsys, source):
    assert main(["phases", str(source), "--versions", iree.PINNED_VERSION, iree.PINNED_VERSION.removesuffix(".0")]) == 2
    assert "are one version, 3.13.0: name two" in capsys.readouterr().err
    assert main(["phases", str(source), "--second=--a='b"]) == 2
    assert "a quote has no end" in capsys.readouterr().err
    assert main(["phases", str(source), "--second=--iree-nope"]) == 2
    assert "iree-compile has no flag --iree-nope" in capsys.readouterr().err
    assert main(["phases", str(source), "--second=--iree-opt-level=O3", "--shape", "1xq"]) == 2
    assert "1xq" in capsys.readouterr().err


def test_the_command_names_the_flag(source, capsys):
    flags = "--iree-llvmcpu-disable-distribution=true --iree-opt-aggressively-propagate-transposes=true"
    command = ["phases", str(source), f"--second={flags}", "--metric", "code"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "Made by: --iree-llvmcpu-disable-distribution=true (" in out


@pytest.mark.parametrize(
    ("gains", "needed"),
    [((35, -18), "--a=1 --b=1"), ((35, 2), "--a=1"), ((0, -18), "--b=1"), ((5, 5), "--a=1 --b=1")],
)
def test_flags_that_work_against_each_other_are_both_named(monkeypatch, tmp_path, source, capsys, gains, needed):
    """What one alone would do to the module is another difference than the one that is told."""

    def inference(model, *_):
        total = 100 + sum(by for flag, by in zip(("--a=1", "--b=1"), gains, strict=True) if flag in model.flags)
        return SimpleNamespace(dispatches={}, inferences=[SimpleNamespace(instructions=total)])

    def compile_model(*_, extra_flags, **__):
        return SimpleNamespace(flags=extra_flags, dispatches=[])

    monkeypatch.setattr(cli_phases, "check_flags", lambda *_: None)
    monkeypatch.setattr(cli_phases, "compile_model", compile_model)
    monkeypatch.setattr(cli_phases, "inference", inference)
    monkeypatch.setattr(cli_phases, "_tell_passes", lambda *_: None)
    assert main(["phases", str(source), "--second=--a=1 --b=1"]) == 0
    out = capsys.readouterr().out
    assert f"Made by: {needed} (" in out
    assert ("by that alone" in out) == (gains == (35, 2))
    each = f"Each alone makes: {100 + gains[0]} by --a=1, {100 + gains[1]} by --b=1"
    assert (each in out) == (needed == "--a=1 --b=1")


def test_what_is_equal_in_one_metric_is_compared_in_nothing_else_and_says_so(source, capsys):
    assert main(["phases", str(source), "--second=--iree-opt-strip-assertions=true", "--metric", "code"]) == 0
    assert "No difference in bytes of code. Nothing else of the two modules was compared" in capsys.readouterr().out


def test_all_passes_of_the_module_are_told_too(source, capsys):
    flags = "--iree-opt-level=O3", "--iree-opt-level=O0"
    assert main(["phases", str(source), f"--first={flags[0]}", f"--second={flags[1]}", "--kernel", "module"]) == 0
    assert "Passes of module by which it differs" in capsys.readouterr().out


@pytest.fixture
def older(tmp_path, monkeypatch):
    """Version 3.11.0: the installed compiler, but its front end takes no StableHLO."""
    monkeypatch.setenv(versions.FOLDER_VARIABLE, str(tmp_path / "versions"))
    real = iree.tool("iree-compile")
    refuses = 'grep -qs stablehlo -- "$1" && { echo "small.mlir:1:1: error: no such dialect"; exit 1; }'
    return stand_in("3.11.0", iree_compile=f'#!/bin/sh\n{refuses}\nexec {real} "$@"\n')


def test_two_versions_are_compared_the_way_both_can_be_measured(source, older, capsys):
    assert main(["phases", str(source), "--versions", "3.11.0", iree.PINNED_VERSION, "--metric", "code"]) == 0
    said, first, second, *rest = capsys.readouterr().out.splitlines()
    assert said.startswith("3.11.0 does not take the model as it is imported: both compile what the pinned version's")
    assert first.removeprefix("3.11.0: ") == second.removeprefix("3.13.0: ")
    assert rest[1].startswith("Phases that differ: none (") and rest[-1].startswith("none, ")


def test_a_version_without_a_module_is_not_compared(source, older, capsys):
    real = iree.tool_of(older)
    real.write_text('#!/bin/sh\n[ "$1" = --version ] && exit\necho "small.mlir:1:1: error: not that"\nexit 1\n')
    assert main(["phases", str(source), "--versions", "3.11.0", iree.PINNED_VERSION, "--metric", "code"]) == 2
    assert "3.11.0 has no module to compare: iree-compile can't compile small.mlir" in capsys.readouterr().err


def test_what_makes_one_kernel_otherwise_is_told_at_the_command(source, capsys):
    flags = "--second=--iree-llvmcpu-disable-distribution=true"
    assert main(["phases", str(source), flags, "--metric", "code", "--kernel", "main_dispatch_0"]) == 0
    out = capsys.readouterr().out
    assert "Passes of main_dispatch_0 by which it differs" in out
    assert re.search(r"\npass iree-codegen-forall-to-for: .*scf\.for \+1", out)
