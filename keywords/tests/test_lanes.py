# SPDX-License-Identifier: Apache-2.0
import pytest

from springbok.engines.lanes import lanes, vector_type

E8_MF8, E8_M1, E16_MF2, E32_M1, E32_M8, ILLEGAL = 0xC5, 0xC0, 0xCF, 0xD0, 0xD3, 1 << 31


@pytest.mark.parametrize(
    ("name", "vl", "vtype", "vlen", "expected"),
    [
        ("vadd.vv", 16, E32_M1, 512, (16, 16)),
        ("vadd.vv", 3, E32_M8, 512, (3, 128)),
        ("vadd.vv", 3, E32_M8, 128, (3, 32)),
        ("vle8.v", 2, E8_MF8, 512, (2, 8)),
        ("vadd.vv", 4, E16_MF2, 128, (4, 4)),
        ("vredsum.vs", 5, E32_M1, 512, (5, 16)),
        ("vmv.x.s", 16, E32_M1, 512, (1, 16)),
        ("vfmv.s.f", 16, E32_M1, 512, (1, 16)),
        ("vmv4r.v", 1, E32_M1, 512, (64, 64)),
        ("vl2re8.v", 0, E8_M1, 256, (64, 64)),
        ("vs1r.v", 0, E32_M1, 512, (16, 16)),
        ("vlm.v", 20, E8_M1, 512, (3, 8)),
        ("vlseg3e8.v", 10, E8_M1, 512, (30, 192)),
        ("vadd.vv", 0, ILLEGAL, 512, (0, 0)),
    ],
)
def test_lanes_used_and_there(name, vl, vtype, vlen, expected):
    assert lanes(name, vl, vtype, vlen) == expected


@pytest.mark.parametrize(("vtype", "expected"), [(E8_MF8, (8, "mf8")), (E16_MF2, (16, "mf2")), (E32_M8, (32, "m8"))])
def test_vector_type_names_sew_and_lmul(vtype, expected):
    assert vector_type(vtype) == expected
