# SPDX-License-Identifier: Apache-2.0
"""Which pass makes the difference between two compilations, with dumps that are written here as the compiler does."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from springbok.exploring import passes
from springbok.exploring.passes import by_pass, of_kernel, paired
from springbok.support.errors import BenchError

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Compilation:
    """Passes in the order in which they ran: the operation that each ran on, its name, the code behind it."""

    def __init__(self, compiler="iree-compile"):
        self.compiler, self.ran = compiler, []

    def add(self, place, name, code, options=""):
        self.ran.append((place, name, f"{code}\n", options))
        return self

    def kernel(self, number, computes, *steps):
        """A kernel of one function: names of passes and code behind them, the first of its executable."""
        place = f"hal_executable_main_dispatch_{number}"
        for at, (name, code) in enumerate(steps):
            function = f"/variant/builtin_module/func_func_main_dispatch_{number}_{computes}"
            self.add(place + function * (at > 0), name, f"func @main_dispatch_{number}_{computes}\n  {code}")
        return self

    def write(self, folder):
        for order, (place, name, code, options) in enumerate(self.ran):
            path = folder / "builtin_module" / place
            path.mkdir(parents=True, exist_ok=True)
            head = f"// -----// IR Dump After APass: {name}{f'{{{options}}}' if options else ''} //----- //\n"
            (path / f"{order}_{name}.mlir").write_text(head + code, encoding="utf-8")


@pytest.fixture
def folder(tmp_path_factory, monkeypatch):
    def read(side, folder):
        written = tmp_path_factory.mktemp("dumps")
        side.write(written)
        return passes.read_passes(written)

    monkeypatch.setattr(passes, "_passes", read)
    return tmp_path_factory.getbasetemp()


def told(found):
    return [each.describe() for each in found]


def test_what_only_runs_others_is_not_named_but_the_pass_with_its_options(folder):
    sides = []
    for flag, code in (("false", ""), ("true", " fastmath<reassoc>")):
        module = "hal_executable_main_dispatch_0/variant/builtin_module"
        side = Compilation().kernel(0, "sum_4", ("configure", "arith.addf"))
        side.add(module, "iree-op-pipeline-adaptor", f"  llvm.fadd{code}")
        sides.append(side.add(module, "convert", f"  llvm.fadd{code}", f"size=4 reassociate={flag}"))
    expected = "(reassociate=false in the first, reassociate=true in the second): the same operations, otherwise"
    (found,) = told(by_pass(*sides, folder))
    assert found.splitlines() == [
        f"pass convert of main_dispatch_0 {expected}",
        "-  llvm.fadd",
        "+  llvm.fadd fastmath<reassoc>",
    ]
    (found,) = told(of_kernel(*sides, folder, "main_dispatch_0"))
    assert found.startswith(f"pass convert {expected}")


def test_a_pass_that_one_alone_runs_is_told_where_it_changes_something(folder):
    first = Compilation().kernel(0, "sum_4", ("configure", "arith.addf"), ("lower", "llvm.fadd"))
    idle, works = (
        Compilation().kernel(0, "sum_4", ("configure", "arith.addf"), ("strip", code), ("lower", end))
        for code, end in (("arith.addf", "llvm.fadd"), ("arith.addf fast", "llvm.fadd fast"))
    )
    first.add("hal_executable_main_dispatch_0/variant/builtin_module/func_func_main_dispatch_0_sum_4", "end", "x")
    for side in (idle, works):
        side.add("hal_executable_main_dispatch_0/variant/builtin_module/func_func_main_dispatch_0_sum_4", "end", "x")
    assert by_pass(first, idle, folder) == of_kernel(first, idle, folder, "main_dispatch_0") == []
    (found,) = told(by_pass(first, works, folder))
    assert "\n-" in found and "\n+" in found  # what is otherwise


def test_kernels_are_paired_by_what_they_compute(folder):
    first = Compilation().kernel(0, "pad_8", ("configure", "arith.addi"))
    first.kernel(1, "conv_2x3", ("configure", "arith.mulf"), ("tile", "arith.mulf"))
    first.kernel(2, "sum_4", ("configure", "arith.addf"), ("tile", "arith.addf"))
    second = Compilation().kernel(0, "conv_2x3", ("configure", "arith.mulf"), ("tile", "scf.for"))
    second.kernel(1, "sum_4", ("configure", "arith.addf"), ("tile", "arith.addf"))
    alone, found = told(by_pass(first, second, folder))
    assert alone == "kernels only in the first: main_dispatch_0"  # the pad has one pass, of no function
    assert found.startswith("pass tile of main_dispatch_1 (main_dispatch_0 in the second): arith.mulf -1, scf.for +1")
    for name in ("main_dispatch_1_conv_2x3", "main_dispatch_0_conv_2x3"):
        assert told(of_kernel(first, second, folder, name)) == ["pass tile: arith.mulf -1, scf.for +1"]
    with pytest.raises(BenchError, match=r"is main_dispatch_1_conv_2x3 in the first and main_dispatch_1_sum_4 in the"):
        of_kernel(first, second, folder, "main_dispatch_1")
    with pytest.raises(BenchError, match=r"is main_dispatch_0 in the first and main_dispatch_0_conv_2x3 in the second"):
        of_kernel(first, second, folder, "main_dispatch_0")
    for name in ("main_dispatch_1_nonsense", "main_dispatch_3"):
        with pytest.raises(BenchError, match=f"There is no kernel {name} in both: main_dispatch_1_conv_2x3, "):
            of_kernel(first, second, folder, name)


@given(st.lists(st.sampled_from(["conv_2x3", "conv_4x4", "sum_4", "pad_8"]), max_size=6), st.data())
def test_a_kernel_more_or_less_moves_no_pair_of_others(kernels, data):
    first = {f"m_dispatch_{number}": computes for number, computes in enumerate(kernels)}
    at = data.draw(st.integers(0, len(kernels)))
    more = [*kernels[:at], "new_9", *kernels[at:]]
    second = {f"m_dispatch_{number}": computes for number, computes in enumerate(more)}
    expected = {f"m_dispatch_{number}": f"m_dispatch_{number + (number >= at)}" for number in range(len(kernels))}
    assert paired(first, second) == expected
    assert paired(second, first) == {there: here for here, there in expected.items()}


def test_of_one_shape_or_one_place_kernels_are_one_too():
    first = {"m_dispatch_0": "reduction_8x4", "m_dispatch_1": "pad_3", "m_dispatch_2": "sum_4"}
    second = {"m_dispatch_0": "matvec_like_8x4", "m_dispatch_1": "slow_memcpy", "m_dispatch_2": "sum_4"}
    assert paired(first, second) == dict(zip(first, second, strict=True))


def test_a_kernel_that_is_formed_otherwise_blames_none_of_its_passes(folder):
    first, second = (
        Compilation().kernel(0, "sum_4", ("specialize", code), ("tile", code), ("lower", end))
        for code, end in (("arith.addf", "llvm.fadd"), ("arith.subf", "llvm.fsub"))
    )
    (found,) = told(by_pass(first, second, folder))
    assert found.startswith("main_dispatch_0 is formed otherwise, before its passes (specialize is the first): arith.a")
    before, lower = told(of_kernel(first, second, folder, "main_dispatch_0"))
    assert before.startswith("formed otherwise, before its passes (specialize is the first): ")
    assert lower == "pass lower: arith.addf +1, arith.subf -1, llvm.fadd -1, llvm.fsub +1"


def test_a_module_is_compared_without_its_kernels(folder):
    sides = []
    for code, count in (("arith.addf", 2), ("arith.mulf", 2), ("arith.mulf", 3)):
        side = Compilation().kernel(0, "sum_4", ("configure", "arith.addf"), ("tile", code))
        kernel = f"  hal.executable private @main_dispatch_0 {{\n    {code}\n  }}\n"
        sides.append(side.add("", "load", f"module {{\n{kernel}  arith.constant {count}\n}}"))
    (found,) = told(by_pass(*sides[:2], folder))
    assert found.startswith("pass tile of main_dispatch_0: ")
    assert [each.partition(":")[0] for each in told(by_pass(*sides[1:], folder))] == ["pass load of the module"]


def test_what_is_used_up_of_tiles_crowds_nothing_out(folder):
    tiles = "\n  ".join(f"linalg.fill {{c = #iree_cpu.lowering_config<cache_{each} = [8]>}}" for each in range(30))
    scalar, wanted = "linalg.generic", "vector.contract"
    first, second = (
        Compilation(name).kernel(0, "sum_4", ("select", start), ("vectorise", end))
        for name, start, end in (
            ("3.10.0", "linalg.generic\n" + "  linalg.fill\n" * 30, scalar),
            ("3.11.0", f"linalg.generic\n  {tiles}", wanted),
        )
    )
    select, vectorise = told(of_kernel(first, second, folder, "main_dispatch_0"))
    assert "cache_0 = [8] +1" in select and select.endswith(", … 18 more")
    assert vectorise == "pass vectorise: linalg.generic -1, vector.contract +1"


CODES = st.lists(st.sampled_from(["arith.addi", "arith.muli", "  arith.addi", "a", "b", "linalg.fill"]), max_size=3)


@SETTINGS
@given(st.lists(st.tuples(CODES, CODES), min_size=1, max_size=4), st.booleans())
def test_both_views_find_a_difference_where_there_is_one(folder, steps, by_text):
    sides = [Compilation("same" if by_text else f"3.1{side}.0") for side in range(2)]
    for side, compilation in enumerate(sides):
        compilation.kernel(0, "sum_4", *((f"p{at}", "\n".join(each[side])) for at, each in enumerate(steps)))
    whole, one = by_pass(*sides, folder), of_kernel(*sides, folder, "main_dispatch_0") if steps else []
    assert bool(whole) == bool(one)
    if whole:
        assert whole[0].operations == one[0].operations
        assert whole[0].operations or whole[0].lines == one[0].lines != ()
    assert of_kernel(SimpleNamespace(**vars(sides[0]), write=sides[0].write), sides[0], folder, "main_dispatch_0") == []
