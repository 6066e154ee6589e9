# SPDX-License-Identifier: Apache-2.0
"""The order of passes, and what makes a difference, of made-up runs with passes of a module and of its functions.

A run is written down as the compiler does it: a file behind each pass, in a folder for the operation that it ran on,
with the numbers of files of each operation around it; and one behind what runs passes on functions.
"""

import re
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from springbok.exploring import pass_steps
from springbok.exploring.kernel_pairs import Pairing
from springbok.exploring.pass_order import Pass, inlined, part_of, read_passes
from springbok.exploring.passes import by_pass, of_kernel

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MODULE = ("", "module", ("util_func_f", "util_func_g"))
KERNEL = ("hal_executable_m_dispatch_0", "hal.executable private @m_dispatch_0", ("func_func_m_dispatch_0_sum_4",))


@dataclass(frozen=True)
class Step:
    """A pass on the function of that number, or on all of it, that adds a line to a function, if it does anything."""

    name: str
    function: int | None
    adds: str = ""


class Run:
    """Steps that ran on a module or on a kernel."""

    compiler = "iree-compile"

    def __init__(self, root, steps, around=()):
        self.root, self.steps, self.around = root, steps, around  # the last: lines beside the functions

    def __repr__(self):
        return repr(self.steps)

    def write(self, folder):
        place, head, functions = self.root
        bodies = [["  a.start"] for _ in functions]
        counts = Counter()

        def text(number):
            name = functions[number].split("_func_")[1]
            dialect = functions[number].split("_")[0]
            return [f"{dialect}.func private @{name}() {{", *bodies[number], "}"]

        def dump(at, name):
            inner = [f"  {line}" for number in range(len(functions)) for line in text(number)]
            lines = [f"{head} {{", *self.around, *inner, "}"] if at is None else text(at)
            parts = [part for part in ("top", place, *([functions[at]] if at is not None else [])) if part]
            paths = ["/".join(parts[: length + 1]) for length in range(len(parts))]
            counts[paths[-1]] += 1
            file = folder / paths[-1] / f"{'_'.join(str(counts[path]) for path in paths)}_{name}.mlir"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"// -----// IR Dump After P: {name}{{}} //----- //\n" + "\n".join(lines) + "\n")

        for step, following in zip(self.steps, [*self.steps[1:], None], strict=True):
            if step.adds:
                bodies[(step.function or 0) % len(functions)].append(f"  a.{step.adds}")
            dump(step.function, step.name)
            if step.function is not None and (following is None or following.function is None):
                dump(None, "iree-op-pipeline-adaptor")


@pytest.fixture
def folder(tmp_path_factory, monkeypatch):
    def read(side, folder):
        written = tmp_path_factory.mktemp("run")
        side.write(written)
        return read_passes(written)

    monkeypatch.setattr(pass_steps, "_passes", read)
    return tmp_path_factory.getbasetemp()


@st.composite
def runs(draw, root):
    """Two runs with passes of their own that do nothing, and one that makes the difference: its name, and whose it is.

    What both ran does the same in both, something or nothing.
    """
    functions = st.sampled_from([None, *range(len(root[2]))])
    names = st.sampled_from(["canonicalize", "cse", "fold", "tile"])
    common = draw(st.lists(st.tuples(names, functions, st.booleans()), max_size=8))
    steps = [Step(name, function, f"c{at}" * does) for at, (name, function, does) in enumerate(common)]
    sides = [[Step("begin", None), *(Step("begin", at) for at in range(len(root[2]))), *steps] for _ in range(2)]
    begun = 1 + len(root[2])
    at, function, whose = draw(st.integers(begun, len(sides[0]))), draw(functions), draw(st.sampled_from([0, 1, None]))
    for side in range(2):
        if whose in (side, None):
            sides[side].insert(at, Step("cause", function, f"cause{side}" if whose is None else "cause"))
    for side in range(2):
        for idle in draw(st.lists(st.tuples(names, functions), max_size=3)):
            sides[side].insert(draw(st.integers(begun, len(sides[side]))), Step(f"idle{side}-{idle[0]}", idle[1]))
    return whose, function, [Run(root, side) for side in sides]


@pytest.mark.parametrize("root", [MODULE, KERNEL], ids=["module", "kernel"])
def test_the_pass_that_makes_the_difference_is_named_and_no_other(folder, root):
    @SETTINGS
    @given(runs(root))
    def holds(drawn):
        whose, function, sides = drawn
        (found,) = by_pass(*sides, folder)
        of = "m_dispatch_0" if root[0] else "the module" if function is None else root[2][function]
        only = "" if whose is None else f" only in the {('first', 'second')[whose]}"
        assert found.where == f"pass cause of {of}{only}"
        signs = {line[0] for line in found.lines if "cause" in line}
        assert signs == ({"-", "+"} if whose is None else {"-+"[whose]})
        if root[0]:
            assert of_kernel(*sides, folder, "m_dispatch_0")[0].where.startswith("pass cause")

    holds()


WHERE = st.sampled_from([None, 0])
WHOSE = st.sampled_from([0, 1, None])


@SETTINGS
@given(st.lists(st.tuples(WHERE, WHOSE, st.integers(0, 2), st.integers(0, 2)), max_size=7))
def test_each_pass_adds_to_a_kernels_difference_what_it_does_itself(folder, drawn):
    """Passes of one side alone too; and what a module has around its function, from one to the other, is nobody's."""
    sides = []
    for side in range(2):
        steps = [
            Step(f"p{at}", where, "\n  a.".join(["work"] * more[side]))
            for at, (where, whose, *more) in enumerate(drawn)
            if whose in (side, None)
        ]
        around = ["  a.count"] * (2 - side)
        sides.append(Run(KERNEL, [Step("begin", None), *steps, Step("end", 0), Step("done", None)], around))
    begin, *found = (each.describe() for each in of_kernel(*sides, folder, "m_dispatch_0"))
    assert "a.count -1" in begin
    expected = []
    for at, (_, whose, *more) in enumerate(drawn):
        by = more[1] * (whose in (1, None)) - more[0] * (whose in (0, None))
        only = "" if whose is None else f" only in the {('first', 'second')[whose]}"
        expected += [f"pass p{at}{only}: a.work {by:+}"] if by else []
    assert sorted(found) == sorted(expected)
    places = [[at for at, line in enumerate(found) if f"p{number}" in line] for number in range(len(drawn))]
    for side in range(2):
        own = [at for (_, whose, *_), these in zip(drawn, places, strict=True) if whose in (side, None) for at in these]
        assert own == sorted(own)


@SETTINGS
@given(runs(MODULE))
def test_passes_are_read_in_the_order_in_which_they_ran(tmp_path_factory, drawn):
    for run in drawn[2]:
        written = tmp_path_factory.mktemp("run")
        run.write(written)
        read = [each for each in read_passes(written) if not each.runs_others]
        ran = [(step.name, "" if step.function is None else MODULE[2][step.function]) for step in run.steps]
        for place in ("", *MODULE[2]):  # functions run beside each other: each has an order with the module
            assert [(each.name, each.place) for each in read if each.place in ("", place)] == [
                each for each in ran if each[1] in ("", place)
            ]


LEVELS = ["flow_executable_m_dispatch_0", "stream_executable_m_dispatch_0", "hal_executable_m_dispatch_0"]
PLACES = [place for level in LEVELS for place in (level, f"{level}/func_func_m_dispatch_0_sum_4")]


@SETTINGS
@given(st.lists(st.sampled_from(PLACES), max_size=12), st.sets(st.integers(0, 15)))
def test_passes_of_a_kernel_at_different_levels_are_compared_in_the_order_in_which_they_ran(drawn, changed):
    sides = [
        [
            Pass((at,), place, f"pass-{at}", (), f"code {at} {side if at in changed else ''}")
            for at, place in enumerate([*drawn, *PLACES[-2:]])
        ]
        for side in range(2)
    ]
    paired = Pairing({"m_dispatch_0": "m_dispatch_0"})
    both = pass_steps.Both((sides[0], sides[1]), True, ({}, {}), paired, pass_steps.NOTHING, (Counter(), Counter()))
    found = [step.at for step in both.steps("m_dispatch_0")]
    assert found == sorted(found) and len(found) >= 2


def test_a_part_of_a_module_is_as_it_is_printed_by_itself():
    code = """#map = affine_map<(d0) -> (d0)>
#map1 = affine_map<(d0, d1) -> (d1)>
#all = #x.all<maps = [#map, #map1]>
module {
  hal.executable private @k {
    hal.executable.variant public @riscv {
      builtin.module {
        func.func @k() {
          a.b {maps = #all}
        }
      }
    }
  }
}
"""
    whole = inlined(code)
    assert "#map" not in whole and "#all" not in whole
    function = "hal_executable_k/hal_executable_variant_riscv/builtin_module_no-symbol-name/func_func_k"
    maps = "affine_map<(d0) -> (d0)>, affine_map<(d0, d1) -> (d1)>"
    assert part_of(whole, function) == f"func.func @k() {{\n  a.b {{maps = #x.all<maps = [{maps}]>}}\n}}"
    assert part_of(whole, function.rpartition("/")[0]).startswith("module {\n  func.func @k() {")
    assert part_of(whole, "func_func_other") is None and not re.search(r"@other", whole)
