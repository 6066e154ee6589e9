# SPDX-License-Identifier: Apache-2.0
"""The 32-bit requantisation is TOSA's: proved by a solver, tried on all small words, and run on this machine."""

import numpy as np
import pytest
from iree.compiler import ir

from springbok.compiler import iree, optimizer
from springbok.compiler.optimizer import requantisation
from springbok.trials import proof
from springbok.trials.proof import Case, NotProved, case, prove, try_all

# `./bench trial proof` proves all of them.
SOME_SHIFTS_OF_CHANNELS = [
    case(2, 3, 5, twice=False),
    case(20, 31, 33, 60, twice=False),
    case(29, 30, 31, twice=True),
    case(32, 33, 40, 60, twice=True),
    case(38, 39, 41, 47, twice=True),
]
SOME_POWERS = [each for each in proof.powers_of_two() if each.shifts[0] in (2, 15, 30)]


@pytest.mark.parametrize(
    ("cases", "identities"),
    [
        (proof.one_for_all(), 118),
        (proof.one_for_all(positive=True)[::9], 14),
        (proof.one_shift_of_channels()[::3], 40),
        (SOME_SHIFTS_OF_CHANNELS, 18),
        (SOME_POWERS, 46),
    ],
    ids=["one shift for all", "x not negative", "multipliers of channels", "shifts of channels", "powers of two"],
)
def test_every_multiplier_and_every_x_give_what_tosa_says(cases, identities):
    assert prove(cases) == identities


@pytest.fixture
def whole_layers(monkeypatch):
    """What the form of a whole layer does not allow is left, as if channels were not judged one by one."""
    monkeypatch.setattr(requantisation, "_narrow_channels", lambda _, __, reason: (reason, ""))


@pytest.mark.usefixtures("whole_layers")
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("shift", [2, 31, 32, 33, 60])
def test_no_greater_x_is_narrowed_than_was_proved(shift, twice):
    limit = proof.limit_of([shift], twice)
    if limit < 1 << 31:
        with pytest.raises(
            NotProved, match=rf"left as it was: its input may be .* but must be -{limit} to {limit - 1}"
        ):
            prove([Case((shift,), twice, limit + 1)])


@pytest.mark.usefixtures("whole_layers")
@pytest.mark.parametrize("shift", [61, 62])
def test_shifts_beyond_the_proved_ones_are_left_as_they_are(shift):
    with pytest.raises(NotProved, match="left as it was: a shift of"):
        prove([Case((shift,), True, 1 << 20)])


def test_words_of_few_bits_exhaustively():
    assert sum(pairs for bits in (4, 6, 8) for _, _, pairs in try_all(bits)) == 229440


def _another_operation(name, other):
    """`arith` that makes ``other`` in place of ``name``."""
    real = requantisation.arith
    return lambda wanted, *operands: real(other if wanted == name else wanted, *operands)


def _another_number(change):
    real = requantisation.number
    return lambda kind, value: real(kind, change(value))


FAULTS = {
    "rounding one less": ("number", _another_number(lambda value: value - 1 if value == 1 << 9 else value)),
    "rounding half": ("number", _another_number(lambda value: value // 2 if value == 1 << 9 else value)),
    "sign of another bit": ("number", _another_number(lambda value: 7 if value == 31 else value)),
    "doubled once more": ("number", _another_number(lambda value: 3 if value == 2 else value)),
    "shift without sign": ("arith", _another_operation("shrsi", "shrui")),
    "sign is zero for x >= 0": ("arith", _another_operation("ori", "andi")),
    "difference for sum": ("arith", _another_operation("addi", "subi")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, monkeypatch):
    name, planted = FAULTS[fault]
    faultless = case(40, twice=True)  # doubled twice, then shifted by 10
    assert prove([faultless]) == 1
    monkeypatch.setattr(requantisation, name, planted)
    with pytest.raises(NotProved, match=r"shift 40, rounding twice, .*it is wrong that .*: .*="):
        prove([faultless])


def test_a_planted_fault_is_found_in_small_words(monkeypatch):
    monkeypatch.setattr(requantisation, "arith", _another_operation("addi", "subi"))
    with pytest.raises(NotProved, match=r"6 bits, shift \d+, .*: x = -?\d+, m = \d+ gives -?\d+, not -?\d+"):
        list(try_all(6))


def test_a_limit_that_is_too_wide_is_found(monkeypatch):
    monkeypatch.setattr(requantisation, "_obstacle", lambda *_: None)
    with pytest.raises(NotProved, match="it is wrong that"):
        prove([Case((40,), True, 1 << 30)])


MULTIPLIERS = (0, 1, 2, 3, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 1_518_500_251, (1 << 31) - 2, (1 << 31) - 1)


def _edges(limit):
    powers = [sign * (1 << power) + off for power in range(31) for sign in (-1, 1) for off in (-1, 0, 1)]
    random = np.random.default_rng(limit).integers(-limit, limit, 512 - len(powers))
    return np.clip(np.array([*powers, *random]), -limit, limit - 1).astype(np.int32)


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_the_compiled_code_gives_exact_numbers(twice, tmp_path):
    cases = [case(shift, shift, twice=twice) for shift in (31, 32, 33, 38, 60)]
    for number, each in enumerate(cases):
        # Where multipliers differ from channel to channel, x may not be greater than any.
        multipliers = [min(max(m, each.limit), MULTIPLIERS[-1]) for m in MULTIPLIERS]
        source = tmp_path / f"rescale{number}.mlir"
        source.write_text(proof.rescale_function(each, "main", 512, multipliers))
        module = tmp_path / f"rescale{number}.vmfb"
        flags = ["--iree-hal-target-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=generic"]
        plan = optimizer.Plan("standard", ("constants", "requantisation"))
        _, changes = optimizer.compile_module(source, flags, plan, module, for_host=True)
        assert [change.applied for change in changes if change.transformation == "requantisation"] == [True], each
        x = _edges(each.limit)
        (answers,) = iree.run_in_process(module, "main", [np.repeat(x[np.newaxis, :, np.newaxis], 10, axis=2)])
        exact = [[_apply_scale(int(a), m, each.shifts[0], twice) for m in multipliers] for a in x]
        assert np.array_equal(answers[0], np.array(exact)), each


def _apply_scale(x, multiplier, shift, twice):
    second = (1 << 30 if x >= 0 else -1 << 30) if twice and shift > 31 else 0
    exact = x * multiplier + (1 << shift - 1) + second >> shift
    return (exact + (1 << 31)) % (1 << 32) - (1 << 31)


def test_an_operation_that_is_not_known_is_no_proof():
    with ir.Context():
        text = "func.func @f(%x: i32) -> i32 { %y = arith.divsi %x, %x : i32 return %y : i32 }"
        module = ir.Module.parse(text)
        (division,) = [each for each in proof.operations(module, "arith.divsi")]
        with pytest.raises(NotProved, match=r"What arith.divsi computes is not known"):
            proof.evaluate(division.results[0], proof.Terms("p"), {division.operands[0]: None})
