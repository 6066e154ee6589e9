# SPDX-License-Identifier: Apache-2.0
"""Which kernels of two modules are one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from springbok.exploring.kernel_pairs import Kernel, pairing

NAMES_ALONE = st.sampled_from(["conv_2x3", "conv_4x4", "sum_4", "pad_8"])
NAMES = st.lists(NAMES_ALONE, max_size=6)


def module(*names):
    return [Kernel(f"m_dispatch_{number}", computes) for number, computes in enumerate(names)]


def calls(*kernels):
    """Of each its number, what it computes, and its layers."""
    return [Kernel(f"m_{number}", computes, layer) for number, computes, layer in kernels]


def pairs(first, second):
    """By the ends of numbers, with why."""
    found = pairing(first, second)
    return {(int(a[-1]), int(b[-1])): found.why.get(a, "") for a, b in found.pairs.items()}


@given(NAMES, st.data())
def test_a_kernel_more_or_less_moves_no_pair_of_others(names, data):
    at = data.draw(st.integers(0, len(names)))
    first, second = module(*names), module(*names[:at], "new_9", *names[at:])
    expected = {f"m_dispatch_{number}": f"m_dispatch_{number + (number >= at)}" for number in range(len(names))}
    by_name = [each.computes for each in first]
    for found in (pairing(first, second).pairs, {b: a for a, b in pairing(second, first).pairs.items()}):
        assert [by_name[int(number[-1])] for number in found] == names
        assert {a: second[int(b[-1])].computes for a, b in found.items()} == dict(zip(found, names, strict=True))
        assert found == expected or len(set(names)) < len(names)  # of some alike any can be the one that is gone


@given(NAMES, st.data())
def test_of_kernels_alike_the_one_in_the_middle_is_formed_otherwise(names, data):
    """By their numbers, where these tell: all others keep theirs."""
    at = data.draw(st.integers(0, max(len(names) - 1, 0)))
    second = module(*(f"other_{at}" if number == at else name for number, name in enumerate(names)))
    found = pairs(module(*names), second)
    assert set(found) == {(number, number) for number in range(len(names))}
    assert all(bool(why) == (number == at) for (number, _), why in found.items())


@given(NAMES, st.data())
def test_a_kernel_that_is_called_for_another_does_its_work(names, data):
    names = ["conv_2x3", *names]
    at = data.draw(st.integers(0, len(names)))
    first = module(*names[:at], "conv_2x3", *names[at:])
    same = [each for each in first if each.computes == "conv_2x3"]
    gone = data.draw(st.sampled_from(same[1:]))
    found = pairing(first, [same[0] if each is gone else each for each in first])
    assert found.merged == ({gone.number: same[0].number}, {})
    assert found.pairs == {each.number: each.number for each in first if each is not gone} and not found.groups


def test_of_one_shape_or_alone_at_one_place_kernels_are_one_and_it_is_said_by_what():
    first, second = module("reduction_8x4", "pad_3", "sum_4"), module("matvec_like_8x4", "slow_memcpy", "sum_4")
    assert pairs(first[:1], second[:1]) == {(0, 0): "shape"}
    assert pairs(first[1:], second[1:]) == {(1, 1): "place", (2, 2): ""}
    one, other = Kernel("m_dispatch_3", "conv_2", "dense"), Kernel("m_dispatch_3", "matmul_3", "dense")
    assert pairs([one, *first[:1]], [other, *second[:1]]) == {(3, 3): "layer", (0, 0): "shape"}


def test_what_has_nothing_in_common_is_no_pair():
    first, second = module("conv_2x3", "pool_4"), module("softmax_9", "dense_7")
    found = pairing(first, second)
    assert not found.pairs and found.groups == [(tuple(first), tuple(second))]
    assert not pairing(module("conv_2x3", "x_1"), module("generic_2x3", "y_2")).pairs


def test_a_kernel_that_is_split_is_told_as_that_and_is_none_of_its_parts():
    first = module("pool_2", "matmul_1x8x149", "softmax_8")
    second = module("pool_2", "matmul_1x8x1", "reduce_1x8x149", "softmax_8")
    for one, other, flip in ((first, second, 1), (second, first, -1)):
        found = pairing(one, other)
        assert [each.number[-1] for each in found.groups[0][0]] == ["1", "2"][: 2 if flip < 0 else 1]
        assert len(found.pairs) == 2 and len(found.groups) == 1
    copy, conv = module("generic_4x4x4x3x3_f32", "batch_matvec_4x16x9_f32"), module("conv_4x4x4x3x3_f32")
    assert not pairing(conv, copy).pairs


@given(st.booleans(), st.booleans(), st.sampled_from(["norm", "dense", ""]), st.sampled_from(["matmul_like", "conv"]))
def test_a_kernel_beside_one_that_is_gone_is_itself_where_its_layer_or_kind_tells(backwards, flipped, layer, kind):
    gone, one = Kernel("m_dispatch_3", "reduction_4x24", layer), Kernel("m_dispatch_4", "matmul_4x20x24", "dense")
    first, second = [gone, one][:: -1 if backwards else 1], [Kernel("m_dispatch_3", f"{kind}_4x20x24", "dense")]
    found = pairing(second, first) if flipped else pairing(first, second)
    assert len(found.pairs) == (layer != "dense" or kind == "matmul_like")
    left = [[each.number for each in side] for group in found.groups for side in group]
    assert sorted(sum(left, [])) == (
        ["m_dispatch_3"] if (layer != "dense" or kind == "matmul_like") else ["m_dispatch_3"] * 2 + ["m_dispatch_4"]
    )


def test_kernels_of_one_size_are_paired_in_their_order_beside_one_that_is_gone():
    first = module("reduction_6x12", "matmul_6x12x12", "matmul_6x12x12", "sum_1")
    second = module("matmul_like_6x12x12", "matmul_like_6x12x12", "sum_1")
    assert pairs(first, second) == {(1, 0): "shape", (2, 1): "shape", (3, 2): ""}
    assert [each.number for each in pairing(first, second).groups[0][0]] == ["m_dispatch_0"]


LAYERS = st.sampled_from(["", "a", "b", "c", "a + b"])


@st.composite
def modules(draw):
    """Calls of kernels."""
    made = draw(st.lists(st.tuples(NAMES_ALONE, LAYERS), min_size=1, max_size=4))
    kernels = [Kernel(f"m_{number}", *each) for number, each in enumerate(made)]
    return draw(st.lists(st.sampled_from(kernels), max_size=6))


@given(modules(), modules())
def test_from_the_other_side_it_is_the_mirror_image(first, second):
    one, other = pairing(first, second), pairing(second, first)
    assert {there: here for here, there in other.pairs.items()} == one.pairs
    assert {other.pairs[there]: why for there, why in other.why.items()} == one.why
    assert other.merged == one.merged[::-1]
    assert [group[::-1] for group in other.groups] == one.groups


@given(modules(), modules())
def test_each_kernel_is_told_once_as_a_pair_as_merged_or_at_its_places(first, second):
    found = pairing(first, second)
    for side, kernels in enumerate((first, second)):
        paired = {*found.pairs} if side == 0 else {*found.pairs.values()}
        grouped = {each.number for group in found.groups for each in group[side]}
        alone = [each.number for group in found.groups if not all(group) for each in group[side]]
        placed = {each.number for group in found.groups if all(group) for each in group[side]}
        assert paired | {*found.merged[side]} | grouped == {each.number for each in kernels}
        assert not paired & {*found.merged[side]} and not paired & grouped
        assert len(alone) == len({*alone}) and not {*alone} & placed


def test_layers_that_one_kernel_alone_computes_tell_it_whatever_its_name():
    """Those of an attention as IREE forms them with aggressive fusion, and without."""
    first = calls(
        (1, "batch_matmul_1x6x12x12", "q"),
        (2, "batch_matmul_1x6x12x12", "k"),
        (3, "transpose_6x12", "kt"),
        (4, "batch_matmul_1x6x6x12", "qk + scale"),
        (5, "softmax_6x6", "softmax"),
        (0, "reduction_6x12", "n1 + n2"),
        (6, "reduction_6x12", "n2"),
    )
    second = calls(
        (0, "matmul_like_6x12x12", "q"),
        (1, "matmul_like_6x12x12", "k"),
        (2, "matmul_like_6x6x12", "qk"),
        (3, "softmax_6x6", "softmax + scale + qk"),
        (4, "reduction_6x12", "n2 + res"),
    )
    found = pairing(first, second)
    assert found.pairs == {"m_1": "m_0", "m_2": "m_1", "m_5": "m_3", "m_6": "m_4"}
    assert found.why == {"m_1": "layer", "m_2": "layer"}


def test_what_stands_in_the_place_of_several_is_told_at_each():
    first = module("conv_8", "pool_4", "conv_9")
    gather, one, pool, other = module("generic_27x8x8", "matmul_6x64x27", "pool_4", "matmul_6x64x28")
    found = pairing(first, [gather, one, pool, gather, other])
    assert found.groups == [((first[0],), (gather, one)), ((first[2],), (gather, other))]
    alone = pairing(module("pool_4", "pool_4"), [gather, pool, gather, replace(pool, number="m_dispatch_9"), gather])
    assert alone.groups == [((), (gather,))]


def test_what_only_moves_beside_a_kernel_takes_no_pair_from_it():
    found = pairing(module("reduction_8x4"), module("pad_8", "matvec_like_8x4"))
    assert found.pairs == {"m_dispatch_0": "m_dispatch_1"} and found.why == {"m_dispatch_0": "shape"}
    assert [[each.computes for each in side] for side in found.groups[0]] == [[], ["pad_8"]]
