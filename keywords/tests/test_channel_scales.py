# SPDX-License-Identifier: Apache-2.0
"""Requantisation of channels that lie far from the others: each stays exact, and takes none of them along."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.compiler import iree, optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.optimizer.channel_scales import SHIFTS, Scale, form_of, is_equal
from springbok.trials import dead_channels, proof

LIVE = 1_518_500_251
WORD_LIMIT = 1 << 31
ZERO_POINT = -100

#: (multiplier, shift, offset) of a channel: what quantisers make of dead channels, and other extremes.
ODD = {
    "bias of 2^30": (1_653_562_408, 56, 1 << 30),
    "bias of -2^30": (1_653_562_408, 56, -(1 << 30)),
    "bias of 2^30, above all results": (1_653_562_408, 49, 1 << 30),
    "no multiplier": (0, 62, 0),
    "tiny multiplier": (5, 62, 12_345),
    "greatest shift": (LIVE, 62, 1 << 30),
    "small multiplier": (1 << 12, 38, 0),
    "rounds once": (LIVE, 31, 0),
    "small shift, small input": (LIVE, 24, 0),
}


def rescale(kinds, spread, rows):
    """TOSA: x + offset of the channel, rescaled, cut to 8 bits; channels are live ones and those of ``kinds``."""
    channels = [(LIVE, 38, 70), *(ODD[kind] for kind in kinds), (LIVE + 2, 39, -900)]
    multipliers, shifts, offsets = zip(*channels, strict=True)
    count, kind = len(channels), f"tensor<{rows}x{len(channels)}xi32>"
    narrow = kind.replace("xi32", "xi8")

    def known(name, values, shape):
        return f'  %{name} = "tosa.const"() {{values = dense<{values}> : tensor<{shape}>}} : () -> tensor<{shape}>\n'

    text = f"func.func @main(%x: {kind}) -> {narrow} {{\n"
    text += known("low", -spread, "1x1xi32") + known("high", spread, "1x1xi32") + known("zero", 0, "1xi32")
    text += known("m", list(multipliers), f"{count}xi32") + known("s", list(shifts), f"{count}xi8")
    text += known("b", [list(offsets)], f"1x{count}xi32")
    text += known("point", ZERO_POINT, "1xi8")
    for name, (operation, one, other, shape) in {
        "above": ("maximum", "x", "low", "1x1"),
        "within": ("minimum", "above", "high", "1x1"),
        "sum": ("add", "within", "b", f"1x{count}"),
    }.items():
        text += f"  %{name} = tosa.{operation} %{one}, %{other} : ({kind}, tensor<{shape}xi32>) -> {kind}\n"
    text += (
        '  %y = "tosa.rescale"(%sum, %m, %s, %zero, %point) <{rounding_mode = #tosa.rounding_mode<DOUBLE_ROUND>, '
        f"scale32 = true, per_channel = true, input_unsigned = false, output_unsigned = false}}> : ({kind}, "
        f"tensor<{count}xi32>, tensor<{count}xi8>, tensor<1xi32>, tensor<1xi8>) -> {narrow}\n"
        f"  return %y : {narrow}\n}}\n"
    )
    return text, channels


def exact(x, multiplier, shift, offset, spread):
    x = min(max(x, -spread), spread) + offset
    second = (1 << 30 if x >= 0 else -1 << 30) if shift > 31 else 0
    result = x * multiplier + (1 << shift - 1) + second >> shift
    return min(max(result + ZERO_POINT, -128), 127)


@pytest.mark.parametrize(
    ("kinds", "spread"),
    [
        ([kind for kind in ODD if kind not in ("rounds once", "small shift, small input")], 500_000),
        (["rounds once", "small shift, small input", "bias of 2^30", "no multiplier"], 200),
    ],
    ids=["dead ones", "all kinds"],
)
def test_the_compiled_code_is_exact_for_every_channel(kinds, spread, tmp_path):
    x = np.unique(np.concatenate([np.linspace(-spread - 5, spread + 5, 300), np.arange(-60, 60)]).astype(np.int32))
    text, channels = rescale(kinds, spread, len(x))
    (tmp_path / "channels.mlir").write_text(text)
    flags = ["--iree-hal-target-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=generic"]
    plan = optimizer.Plan("standard", ("constants", "offsets", "requantisation"))
    module = tmp_path / "channels.vmfb"
    _, changes = optimizer.compile_module(tmp_path / "channels.mlir", flags, plan, module, for_host=True)
    (change,) = [each for each in changes if each.transformation == "requantisation"]
    assert change.applied, change.detail
    assert "channels got another scale" in change.detail
    given_ = np.repeat(x[np.newaxis, :, np.newaxis], len(channels), axis=2)
    (answers,) = iree.run_in_process(module, "main", [given_])
    wanted = [[exact(int(each), *channel, spread) for channel in channels] for each in x]
    assert np.array_equal(answers[0], wanted)


@st.composite
def scales(draw):
    """A scale whose results are within a word, with bounds far from 0 or near it."""
    multiplier = draw(st.sampled_from((0, 1, 5)) | st.integers(0, 1 << 20) | st.integers(1 << 30, WORD_LIMIT - 1))
    shift, middle = (
        draw(st.integers(2, 62)),
        draw(st.sampled_from((0, 1 << 30, -(1 << 30))) | st.integers(-(2**28), 2**28)),
    )
    spread = draw(st.integers(0, 200) | st.integers(0, 1 << 19))
    limits = draw(st.sampled_from(((-WORD_LIMIT, WORD_LIMIT - 1), (-128, 127), (0, 255))))
    return Scale(multiplier, shift, shift > 31 and draw(st.booleans()), middle - spread, middle + spread, limits)


@settings(deadline=None, max_examples=40)
@given(st.lists(scales(), min_size=1, max_size=4))
def test_another_scale_gives_the_same_results_and_fits_the_form(found):
    form = form_of(found)
    if isinstance(form, int):
        return
    for number, (scale, other) in enumerate(zip(found, form.scales, strict=True)):
        offset = form.offsets[number]
        assert other.fits(form.doublings[number], form.twice[number])
        assert -WORD_LIMIT <= other.low <= other.high < WORD_LIMIT
        ends = {scale.low, scale.high, 0, -1}
        steps = {scale.first(scale.of(x)) for x in ends if scale.low <= x <= scale.high}
        middle = np.linspace(scale.low, scale.high, 200).astype(np.int64).tolist()
        for x in {at + by for at in (*ends, *steps, *middle) for by in (-1, 0, 1)}:
            if scale.low <= x <= scale.high:
                assert scale.of(x) == other.of(x + offset), (scale, other, x)


def test_live_channels_stay_as_they_are_and_dead_ones_take_their_form():
    live = [Scale(LIVE + each, 38, True, -500_000, 500_000) for each in range(7)]
    dead = Scale(1_653_562_408, 56, True, (1 << 30) - 20, (1 << 30) + 20)
    form = form_of([*live, dead])
    assert form.is_shared
    assert form.scales[:7] == tuple(live)
    assert {each.shift for each in form.scales} == {38}, "no shifts of channels where there were none"
    assert form.describe() == "shift 38; 1 of 8 channels got another scale"


def test_a_channel_that_can_not_be_is_named():
    live = Scale(LIVE, 38, True, -500_000, 500_000)
    assert form_of([live, Scale(LIVE, 20, False, -WORD_LIMIT, WORD_LIMIT - 1)]) == 1


@pytest.mark.parametrize("change", [{"multiplier": LIVE + (1 << 24)}, {"shift": 40}, {"low": -499_999}])
def test_scales_that_differ_are_told_apart(change):
    scale = Scale(LIVE, 38, True, -500_000, 500_000, (-128, 127))
    assert is_equal(scale, scale)
    assert not is_equal(scale, replace(scale, **change))


def test_dead_channels_of_a_trained_network_cost_little_and_change_no_answer():
    row = dead_channels.compare("gestures", Target.of("vector", 512), samples=32)
    assert row.is_good, row.describe()


def test_what_costs_more_or_differs_is_no_good():
    assert dead_channels.Row("n", 1000, 1099, 0.0).is_good
    assert not dead_channels.Row("n", 1000, 1101, 0.0).is_good
    assert not dead_channels.Row("n", 1000, 1000, 1.0).is_good


def test_no_result_falls_where_x_rises():
    assert proof.prove_monotone(range(2, 63, 6)) == 22


def test_doublings_and_roundings_of_channels_are_proved():
    twice = proof.mixed_channels()[2]
    assert proof.prove_mixed([proof.Case(twice.shifts[::4], True, twice.limit)]) == len(twice.shifts[::4])
    assert len({limit for limit in map(proof.limit_of, ([each] for each in twice.shifts), [True] * 99)}) > 2
    assert set(twice.shifts) <= set(SHIFTS)
