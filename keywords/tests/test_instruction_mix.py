# SPDX-License-Identifier: Apache-2.0
"""Classes of opcodes: they agree with the engines' own view of what vector work is, and their sums are whole."""

import random

import pytest

from springbok.chips.opcodes import UNKNOWN, Kind, opcode_kind, opcode_name
from springbok.measuring.instruction_mix import CLASSES, VECTOR_WORK, by_class, opcode_class, work

VECTOR_MAJORS = (0x57, 0x07, 0x27)


def test_vector_work_is_what_the_engines_count_as_vector():
    """Over random vector encodings: one truth in two places would not stay one."""
    numbers = random.Random(1)
    words = (numbers.getrandbits(25) << 7 | major for _ in range(30_000) for major in VECTOR_MAJORS)
    kinds = {opcode_name(word): opcode_kind(word) for word in words}
    del kinds[UNKNOWN]
    assert len(kinds) > 400
    wrong = [name for name, kind in kinds.items() if (opcode_class(name) in VECTOR_WORK) != (kind is Kind.VECTOR)]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("addi", "scalar"),
        ("mark", "scalar"),
        ("vsetivli", "vset"),
        ("vl2re32.v", "vector_load"),
        ("vlsseg2e8.v", "vector_load"),
        ("vse8.v", "vector_store"),
        ("vs1r.v", "vector_store"),
        ("vsuxei32.v", "vector_store"),
        ("vsext.vf2", "vector_arithmetic"),
        ("vsmul.vv", "vector_arithmetic"),
        ("vmfeq.vv", "vector_arithmetic"),
        ("vfrec7.v", "vector_arithmetic"),
        ("vremu.vx", "vector_arithmetic"),
        ("vwredsumu.vs", "vector_reduction"),
        ("vfmv.f.s", "vector_permutation"),
        ("vmv1r.v", "vector_permutation"),
        ("vfslide1up.vf", "vector_permutation"),
        ("vmandn.mm", "vector_mask"),
        ("vfirst.m", "vector_mask"),
    ],
)
def test_classes_follow_the_chapters_of_the_extension(name, kind):
    assert opcode_class(name) == kind


def test_classes_add_up_to_all_executions():
    sums = by_class({"addi": 5, "vsetvli": 2, "vle32.v": 3.5})
    assert tuple(sums) == CLASSES
    assert (sums["scalar"], sums["vset"], sums["vector_load"], sum(sums.values())) == (5, 2, 3.5, 10.5)
    assert by_class(None) is None


def test_work_is_unknown_where_nobody_counted_elements():
    assert work({"lb": 3, "fadd.s": 2, "sh": 1}) == {
        "float_operations": 2,
        "bytes_loaded": 3,
        "bytes_stored": 2,
    }
    assert work({"flw": 1, "vadd.vv": 1}) is None
    assert work({"flw": 1, "vsetvli": 1}) is not None
    assert work(None) is None


def test_work_of_vectors_follows_their_elements():
    opcodes = {"fmadd.s": 1, "vle32.v": 1, "vlseg2e8.v": 1, "vs2r.v": 3, "vsm.v": 1, "vfmacc.vf": 2, "vfredosum.vs": 1}
    opcodes |= {"vfsgnj.vv": 5, "vfmv.f.s": 5, "vfmax.vv": 1, "vsetvli": 4}
    elements = {"vle32.v": 10, "vlseg2e8.v": 8, "vs2r.v": 96, "vsm.v": 2, "vfmacc.vf": 20, "vfredosum.vs": 4}
    elements |= {"vfsgnj.vv": 50, "vfmv.f.s": 5, "vfmax.vv": 7}
    assert work(opcodes, elements, 512) == {
        "float_operations": 2 + 2 * 20 + 4 + 7,
        "bytes_loaded": 4 * 10 + 8,
        "bytes_stored": 3 * 2 * 64 + 2,
    }


def test_indexed_loads_do_not_tell_the_width_of_their_data():
    assert work({"vluxei8.v": 1}, {"vluxei8.v": 10}, 512) is None
