# SPDX-License-Identifier: Apache-2.0
"""Which pass makes the difference between two compilations, with dumps that are written here as the compiler does."""

import re
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from springbok.exploring import pass_steps
from springbok.exploring.pass_order import read_passes
from springbok.exploring.pass_steps import Measured
from springbok.exploring.passes import by_pass, of_kernel
from springbok.exploring.phases import difference, without_addresses
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
        return read_passes(written)

    monkeypatch.setattr(pass_steps, "_passes", read)
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
    whole, one = by_pass(*sides, folder), of_kernel(*sides, folder, "main_dispatch_0")
    assert bool(whole) == bool(one)
    parted = [difference("", *("\n".join(code) for code in each), by_text) is not None for each in steps]
    lasting = 0 if parted[0] else max((at + 1 for at, each in enumerate(parted) if not each), default=0)
    assert [each.minor for each in whole] == [lasting == len(steps)] * any(parted)
    if lasting < len(steps):
        named = re.search(r"\bp\d", whole[0].where)[0]
        assert named == f"p{lasting}"
    assert of_kernel(SimpleNamespace(**vars(sides[0]), write=sides[0].write), sides[0], folder, "main_dispatch_0") == []


def test_kernels_stand_by_what_they_cost_and_those_that_cost_the_same_last(folder):
    names = "conv_2", "pool_3", "sum_4", "max_5"
    sides = [Compilation(), Compilation()]
    for number, name in enumerate(names):
        for side, code in zip(sides, ("a.b", "a.c"), strict=True):
            side.kernel(number, name, ("configure", "a.b"), ("tile", code))
    tables = [
        {
            f"main_dispatch_{number}_{name}": Measured(cost)
            for number, (name, cost) in enumerate(zip(names, costs, strict=True))
        }
        for costs in ((10, 20, 30, 40), (11, 20, 3, 40))
    ]
    found = by_pass(*sides, folder, tables, "instructions")
    assert [(each.short, each.minor) for each in found] == [
        ("main_dispatch_2 (30 to 3 instructions)", False),
        ("main_dispatch_0 (10 to 11 instructions)", False),
        ("main_dispatch_1", True),
        ("main_dispatch_3", True),
    ]
    assert found[0].where == "pass tile of main_dispatch_2 (30 to 3 instructions)"


def test_a_difference_that_a_later_pass_takes_away_is_said_last(folder):
    first, second = (
        Compilation().kernel(0, "sum_4", ("start", "a.b"), ("early", code), ("tidy", "a.b"), ("late", end))
        for code, end in (("a.b", "a.c"), ("a.x", "a.d"))
    )
    (found,) = by_pass(first, second, folder)
    assert found.where == "pass late of main_dispatch_0" and not found.minor
    for side in (first, second):
        side.ran.pop()
    (found,) = by_pass(first, second, folder)
    assert found.where == "pass early of main_dispatch_0 (taken away again: pass tidy leaves it equal)" and found.minor


@pytest.mark.parametrize(
    "lines, addresses", [(("arith.constant 0", "arith.constant 64"), True), (("a.b", "a.c"), False)]
)
def test_a_kernel_whose_buffers_lie_elsewhere_is_not_formed_otherwise(folder, lines, addresses):
    body = "%0 = {} : index\n  %1 = hal.interface.binding.subspan binding(0) offset(%0)\n  linalg.softmax %1"
    sides = [
        Compilation().kernel(0, "sum_4", ("specialize", body.format(line)), ("end", body.format(line)))
        for line in lines
    ]
    (found,) = by_pass(*sides, folder)
    said = "given its buffers at other addresses" if addresses else "formed otherwise"
    assert found.where == f"main_dispatch_0 is {said}, before its passes (specialize is the first)"
    assert found.minor == addresses
    sides = [side.kernel(0, "sum_4", ("tile", line)) for side, line in zip(sides, ("a.b", "a.c"), strict=True)]
    if addresses:
        assert by_pass(*sides, folder)[0].where == "pass tile of main_dispatch_0"


def test_an_index_that_is_computed_with_is_no_address():
    body = "%0 = arith.constant {} : index\n%1 = hal.interface.binding.subspan binding(0) offset(%0)\n{}"
    used = [without_addresses(body.format(at, "tensor.extract %2[%0]")) for at in (0, 4)]
    assert used[0] != used[1]


def test_lines_and_names_are_those_of_the_modules(folder):
    steps = ("configure", "a"), ("lower", "a")
    first = Compilation().kernel(0, "pad_8", *steps)
    first.kernel(1, "matmul_8x4", steps[0], ("lower", "call @main_dispatch_1_matmul_8x4"))
    second = Compilation().kernel(0, "matmul_8x4", steps[0], ("lower", "do @main_dispatch_0_matmul_8x4"))
    second.kernel(1, "new_3", *steps)
    for side, at in ((first, 1), (second, 0)):
        side.add("", "call", f"a @main_dispatch_{at}_matmul_8x4 of {at}")
        side.add("", "link", f"a @main_dispatch_{1 - at} of {at}")
    *alone, kernel, module = by_pass(first, second, folder)
    assert [each.where for each in alone] == ["kernels only in the first", "kernels only in the second"]
    assert [each.said for each in alone] == ["main_dispatch_0_pad_8", "main_dispatch_1_new_3"]
    assert module.lines == ("-a @main_dispatch_1_matmul_8x4 of 1", "+a @main_dispatch_0_matmul_8x4 of 0")
    assert kernel.lines == ("-  call @main_dispatch_1_matmul_8x4", "+  do @main_dispatch_0_matmul_8x4")


def test_what_the_other_comes_to_by_its_next_pass_is_no_difference(folder):
    first = Compilation().kernel(0, "sum_4", ("start", "a"), ("begin", "a"), ("fuse", "b"), ("end", "c"))
    steps = ("start", "a"), ("begin", "a"), ("canonicalize", "b"), ("annotate", "b.hint"), ("fuse", "b.hint x")
    second = Compilation().kernel(0, "sum_4", *steps, ("end", "c.hint"))
    (found,) = by_pass(first, second, folder)
    assert found.where == "pass annotate of main_dispatch_0 only in the second"


def test_a_kernel_that_is_called_several_times_says_so_with_what_it_costs(folder):
    first, second = (Compilation().kernel(0, "sum_4", ("configure", "a"), ("end", "a")) for _ in range(2))
    second.kernel(1, "encode_8", ("configure", "a"), ("end", "a"))
    calls = "  flow.dispatch @main_dispatch_1::@x(%0)\n" * 3
    for side, code in ((first, ""), (second, calls)):
        side.add("", "form", f"  flow.dispatch @main_dispatch_0::@x(%0)\n{code}")
    tables = {}, {"main_dispatch_1_encode_8": Measured(4410)}
    alone = by_pass(first, second, folder, tables, "instructions")[0]
    assert alone.describe() == (
        "kernels only in the second: main_dispatch_1_encode_8 (4,410 instructions, at 3 places together)"
    )


def test_a_kernel_that_is_gone_behind_flow_is_none(folder):
    sides = [Compilation().kernel(0, "sum_4", ("configure", "a"), ("end", "a")) for _ in range(2)]
    sides[1].add("flow_executable_main_dispatch_1", "strip", "a")
    assert by_pass(*sides, folder) == []


def test_of_versions_a_pass_that_runs_later_in_one_is_not_only_in_the_other(folder):
    steps = [(name, "arith.addf") for name in ("start", "load", "tile", "vectorise", "end")]
    first = Compilation("3.11.0").kernel(0, "sum_4", steps[0], *steps[2:4], steps[1], steps[4])
    late = [(name, "arith.mulf" if name in ("tile", "vectorise", "end") else code) for name, code in steps]
    second = Compilation("3.12.0").kernel(0, "sum_4", late[0], ("new", "arith.addf"), *late[1:])
    (found,) = by_pass(first, second, folder)
    assert found.where == "pass tile of main_dispatch_0 (behind new only in the second; load sooner in the second)"
