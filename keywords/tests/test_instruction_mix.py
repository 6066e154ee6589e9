# SPDX-License-Identifier: Apache-2.0
"""Classes of opcodes: they agree with the engines' own view of what vector work is, and their sums are whole."""

import random

import pytest

from springbok.engines.opcodes import UNKNOWN, Kind, opcode_kind, opcode_name
from springbok.instruction_mix import CLASSES, VECTOR_WORK, by_class, opcode_class, scalar_work

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


def test_work_is_unknown_where_vectors_were_executed():
    assert scalar_work({"lb": 3, "fadd.s": 2, "sh": 1}) == {
        "float_operations": 2,
        "bytes_loaded": 3,
        "bytes_stored": 2,
    }
    assert scalar_work({"flw": 1, "vadd.vv": 1}) is None
    assert scalar_work({"flw": 1, "vsetvli": 1}) is not None
    assert scalar_work(None) is None
