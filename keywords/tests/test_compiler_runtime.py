# SPDX-License-Identifier: Apache-2.0
"""Operations that the core has no instructions for: computed on the chip, held against NumPy."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from springbok.chips.description import load
from springbok.compiler import compiler_runtime, host_check, iree
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check, framework_outputs
from springbok.compiler.flags import compiler_flags
from springbok.compiler.optimizer import plan_for
from springbok.modules.vmfb import read_vmfb
from springbok.session import Session
from springbok.support.errors import CompileError
from springbok.support.places import MODELS as FILES

ELEMENTS = 32
CHIP_VLEN = 512
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
TYPES = {
    "i1": np.int8,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "f16": np.float16,
    "bf16": BFLOAT16,
    "f32": np.float32,
}


def _floor(a, b):
    return np.floor_divide(a, b)


def _truncated(a, b):
    quotient = np.abs(a).view(np.uint64) // np.abs(b).view(np.uint64)
    return np.where((a < 0) == (b < 0), quotient, 0 - quotient).view(np.int64)


def _unsigned(compute):
    return lambda a, b: compute(a.view(np.uint64), b.view(np.uint64)).view(np.int64)


def _shifted(compute):
    """Shifts by 0 to 63, whatever b is."""
    return lambda a, b: compute(a, b & 63)


def _high(a, b, signed):
    kind = (lambda array: array) if signed else (lambda array: array.view(np.uint64))
    products = [int(x) * int(y) >> 64 for x, y in zip(kind(a), kind(b), strict=True)]
    return np.array([each & 2**64 - 1 for each in products], np.uint64).view(np.int64)


def _bits(a, count):
    return np.array([count(f"{int(each):064b}") for each in a.view(np.uint64)], np.int64)


def _zeros_before(text):
    return len(text) - len(text.lstrip("0"))


# Names are (operation, type of the result): code, with operands %a and %b and the result %y, and what NumPy computes.
INTEGERS = {
    ("add", "i64"): ("%y = arith.addi %a, %b : i64", lambda a, b: a + b),
    ("subtract", "i64"): ("%y = arith.subi %a, %b : i64", lambda a, b: a - b),
    ("multiply", "i64"): ("%y = arith.muli %a, %b : i64", lambda a, b: a * b),
    ("high half of the product", "i64"): ("%l, %y = arith.mulsi_extended %a, %b : i64", lambda a, b: _high(a, b, True)),
    ("high half of the unsigned product", "i64"): (
        "%l, %y = arith.mului_extended %a, %b : i64",
        lambda a, b: _high(a, b, False),
    ),
    ("divide", "i64"): ("%y = arith.divsi %a, %b : i64", _truncated),
    ("remainder", "i64"): ("%y = arith.remsi %a, %b : i64", lambda a, b: a - b * _truncated(a, b)),
    ("divide down", "i64"): ("%y = arith.floordivsi %a, %b : i64", _floor),
    ("divide up", "i64"): ("%y = arith.ceildivsi %a, %b : i64", lambda a, b: -_floor(-a, b)),
    ("divide by 10", "i64"): (
        "%c = arith.constant 10 : i64 %y = arith.divsi %a, %c : i64",
        lambda a, b: _truncated(a, np.full_like(a, 10)),
    ),
    ("divide unsigned", "i64"): ("%y = arith.divui %a, %b : i64", _unsigned(np.floor_divide)),
    ("remainder unsigned", "i64"): ("%y = arith.remui %a, %b : i64", _unsigned(np.remainder)),
    ("shift left", "i64"): (
        "%m = arith.constant 63 : i64 %s = arith.andi %b, %m : i64 %y = arith.shli %a, %s : i64",
        _shifted(np.left_shift),
    ),
    ("shift right", "i64"): (
        "%m = arith.constant 63 : i64 %s = arith.andi %b, %m : i64 %y = arith.shrsi %a, %s : i64",
        _shifted(np.right_shift),
    ),
    ("shift right unsigned", "i64"): (
        "%m = arith.constant 63 : i64 %s = arith.andi %b, %m : i64 %y = arith.shrui %a, %s : i64",
        _unsigned(_shifted(np.right_shift)),
    ),
    ("minimum", "i64"): ("%y = arith.minsi %a, %b : i64", np.minimum),
    ("maximum", "i64"): ("%y = arith.maxsi %a, %b : i64", np.maximum),
    ("minimum unsigned", "i64"): ("%y = arith.minui %a, %b : i64", _unsigned(np.minimum)),
    ("maximum unsigned", "i64"): ("%y = arith.maxui %a, %b : i64", _unsigned(np.maximum)),
    ("less", "i8"): ("%c = arith.cmpi slt, %a, %b : i64 %y = arith.extui %c : i1 to i8", np.less),
    ("less unsigned", "i8"): (
        "%c = arith.cmpi ult, %a, %b : i64 %y = arith.extui %c : i1 to i8",
        lambda a, b: a.view(np.uint64) < b.view(np.uint64),
    ),
    ("equal", "i8"): ("%c = arith.cmpi eq, %a, %b : i64 %y = arith.extui %c : i1 to i8", np.equal),
    ("absolute", "i64"): ("%y = math.absi %a : i64", lambda a, b: np.abs(a)),
    ("zeros before", "i64"): ("%y = math.ctlz %a : i64", lambda a, b: _bits(a, _zeros_before)),
    ("zeros behind", "i64"): ("%y = math.cttz %a : i64", lambda a, b: _bits(a, lambda text: _zeros_before(text[::-1]))),
    ("ones", "i64"): ("%y = math.ctpop %a : i64", lambda a, b: _bits(a, lambda text: text.count("1"))),
    ("to i32", "i32"): ("%y = arith.trunci %a : i64 to i32", lambda a, b: a.astype(np.int32)),
    ("to i16", "i16"): ("%y = arith.trunci %a : i64 to i16", lambda a, b: a.astype(np.int16)),
    ("a third of an index", "i64"): (
        "%t = arith.trunci %a : i64 to i32 %i = arith.index_cast %t : i32 to index %c = arith.constant 3 : index "
        "%d = arith.floordivsi %i, %c : index %y = arith.index_cast %d : index to i64",
        lambda a, b: a.astype(np.int32).astype(np.int64) // 3,
    ),
    ("to f32", "f32"): ("%y = arith.sitofp %a : i64 to f32", lambda a, b: a.astype(np.float32)),
    ("unsigned to f32", "f32"): (
        "%y = arith.uitofp %a : i64 to f32",
        lambda a, b: a.view(np.uint64).astype(np.float32),
    ),
    ("to f16", "f16"): ("%y = arith.sitofp %a : i64 to f16", lambda a, b: a.astype(np.float32).astype(np.float16)),
    ("to bf16", "bf16"): ("%y = arith.sitofp %a : i64 to bf16", lambda a, b: a.astype(np.float32).astype(BFLOAT16)),
}

HALVES = "%h = arith.truncf %a : f32 to f16 %k = arith.truncf %b : f32 to f16 "


def _half(a):
    return a.astype(np.float16)


FLOATS = {
    ("to i64", "i64"): ("%y = arith.fptosi %a : f32 to i64", lambda a, b: a.astype(np.int64)),
    ("to unsigned i64", "i64"): (
        "%n = math.absf %a : f32 %y = arith.fptoui %n : f32 to i64",
        lambda a, b: np.abs(a).astype(np.uint64).view(np.int64),
    ),
    ("remainder", "f32"): ("%y = arith.remf %a, %b : f32", np.fmod),
    ("logarithm", "f32"): (
        "%n = math.absf %a : f32 %y = math.log10 %n : f32",
        lambda a, b: np.log10(np.abs(a).astype(np.float64)),
    ),
    ("to bf16", "bf16"): ("%y = arith.truncf %a : f32 to bf16", lambda a, b: a.astype(BFLOAT16)),
    ("to f16", "f16"): (HALVES + "%y = arith.addf %h, %h : f16", lambda a, b: _half(a) + _half(a)),
    ("from f16", "f32"): (HALVES + "%y = arith.extf %h : f16 to f32", lambda a, b: _half(a).astype(np.float32)),
    ("f16 to i64", "i64"): (
        HALVES + "%c = arith.constant 60000.0 : f16 %l = arith.minnumf %h, %c : f16 %n = arith.negf %c : f16 "
        "%m = arith.maxnumf %l, %n : f16 %y = arith.fptosi %m : f16 to i64",
        lambda a, b: np.clip(_half(a), _half(np.float32(-60000)), _half(np.float32(60000))).astype(np.int64),
    ),
    ("sum in f16", "f16"): (HALVES + "%y = arith.addf %h, %k : f16", lambda a, b: _half(a) + _half(b)),
    ("multiply and add in f16", "f16"): (
        HALVES + "%y = math.fma %h, %k, %h : f16",
        lambda a, b: (_half(a).astype(np.float64) * _half(b) + _half(a)).astype(np.float16),
    ),
}


def module(operations, element, variant, level, chip=None):
    """A VMFB file with two inputs, and an output for each type: what all ``operations`` give that have it."""
    operand = f"tensor<{ELEMENTS}x{element}>"
    lines = []
    for number, ((_, result), (code, _)) in enumerate(operations.items()):
        made = f"tensor<{ELEMENTS}x{result}>"
        lines += [
            f"%e{number} = tensor.empty() : {made}",
            f'%r{number} = linalg.generic {{indexing_maps = [#map, #map, #map], iterator_types = ["parallel"]}} '
            f"ins(%x, %z : {operand}, {operand}) outs(%e{number} : {made}) "
            f"{{ ^bb0(%a: {element}, %b: {element}, %o: {result}): {code} linalg.yield %y : {result} }} -> {made}",
        ]
    results = []
    for result, names in by_type(operations).items():
        rows = ", ".join(f"%r{list(operations).index((name, result))}" for name in names)
        types = ", ".join([f"tensor<{ELEMENTS}x{result}>"] * len(names))
        results.append((f"%all_{result}", f"tensor<{ELEMENTS * len(names)}x{result}>"))
        lines.append(f"%all_{result} = tensor.concat dim(0) {rows} : ({types}) -> {results[-1][1]}")
    types = ", ".join(kind for _, kind in results)
    source = (
        f"#map = affine_map<(i) -> (i)>\nfunc.func @main(%x: {operand}, %z: {operand}) -> ({types}) {{\n"
        + "\n".join(lines)
        + f"\nreturn {', '.join(name for name, _ in results)} : {types}\n}}\n"
    )
    target = Target.of(variant, CHIP_VLEN, chip)
    flags, _ = compiler_flags(target, (), plan_for(level, vectors=target.vectors, vlen=CHIP_VLEN))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "operations.mlir"
        path.write_text(source, encoding="utf-8")
        iree.compile_module(path, flags, path.with_suffix(".vmfb"))
        return path.with_suffix(".vmfb").read_bytes()


def by_type(operations):
    """Names of the operations, by the type of their results."""
    names = {}
    for name, result in operations:
        names.setdefault(result, []).append(name)
    return names


@pytest.fixture(scope="module")
def chip():
    session = Session()
    session.boot("spike", vlen=CHIP_VLEN, count_opcodes=False)
    yield session
    session.shut_down()


def compute(chip, operations, a, b):
    """What the loaded module answers, by operation."""
    answer = chip.need_link().infer(a.tobytes() + b.tobytes())
    answers = {}
    for result, names in by_type(operations).items():
        size = ELEMENTS * np.dtype(TYPES[result]).itemsize
        for name in names:
            answers[name, result] = np.frombuffer(answer[:size], TYPES[result])
            answer = answer[size:]
    assert not answer
    return answers


def _equal(answer, wanted, what):
    np.testing.assert_array_equal(answer, wanted, err_msg=what)


def check(chip, operations, a, b, compare=_equal):
    answers = compute(chip, operations, a, b)
    for (name, result), (_, reference) in operations.items():
        with np.errstate(all="ignore"):
            wanted = reference(a, b).astype(TYPES[result])
        if result == "f16":  # IREE gives 0 for what is below 2^-14
            wanted = np.where((np.abs(wanted) <= 2.0**-14) & (answers[name, result] == 0), np.float16(0), wanted)
        what = f"{name} -> {result} of {a} and {b}"
        if name == "logarithm":
            np.testing.assert_allclose(answers[name, result], wanted, rtol=2e-7, err_msg=what)
        else:
            compare(answers[name, result], wanted, what)


EDGES = [
    sign * (2**power + step)
    for power in (0, 1, 23, 24, 25, 31, 32, 33, 52, 53, 62)
    for step in (-1, 0, 1)
    for sign in (1, -1)
]
# Halfway between two floats, just above and just below, and the ends.
EDGES += [2**63 - 1, 1 - 2**63, 0x1000001000000000, 0x7FFFFFBFFFFFFFFF, 0x7FFFFFC000000000, 10, -10, 2**40 + 2**16]
LONGS = st.one_of(st.sampled_from(EDGES), st.integers(1 - 2**63, 2**63 - 1), st.integers(-100, 100))


def vectors(dtype, elements):
    return arrays(dtype, ELEMENTS, elements=elements)


def floats(width, largest=None):
    limits = {} if largest is None else {"min_value": -largest, "max_value": largest}
    return st.floats(width=width, allow_nan=largest is None, **limits)


def hold(chip, operations, a, b, examples=(), compare=_equal):
    """Holds the loaded module's answers against NumPy's on any operands of the strategies ``a`` and ``b``."""

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(a, b)
    def holds(a, b):
        check(chip, operations, a, b, compare)

    for pair in examples:
        check(chip, operations, *pair, compare)
    holds()


VARIANTS = pytest.mark.parametrize(("variant", "level"), [("vector", "standard"), ("scalar", "none")])


@VARIANTS
def test_integers_of_64_bits_are_exact(chip, variant, level):
    chip.send_module(module(INTEGERS, "i64", variant, level))
    every = np.resize(np.array(EDGES), 3 * ELEMENTS).reshape(3, ELEMENTS)
    divisors = np.resize(np.array([3, -7, 2**33 + 5, -(2**62), 1, 2**32]), (3, ELEMENTS))
    nonzero = LONGS.map(lambda value: value or 1)
    hold(chip, INTEGERS, vectors(np.int64, LONGS), vectors(np.int64, nonzero), zip(every, divisors, strict=True))


@VARIANTS
def test_floats_are_converted_exactly(chip, variant, level):
    chip.send_module(module(FLOATS, "f32", variant, level))
    # IREE takes halves below 2^-14 for 0.
    halves = floats(16, 60000.0).map(lambda value: value if abs(value) >= 2.0**-14 else 0.0)
    wide = st.one_of(floats(32, 2.0**62), floats(32, 70000.0)).map(
        lambda value: value if abs(value) > 2.0**-13 else 0.0
    )
    numbers = vectors(np.float32, st.one_of(halves, wide))
    hold(chip, FLOATS, numbers, numbers)


def _onnx(node, inputs, output, constants=()):
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*output)],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


IMAGE = ("x", TensorProto.FLOAT, (1, 2, 4, 4))
MODELS = {
    "average": _onnx(
        helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=(3, 3), pads=(1, 1, 1, 1)),
        [IMAGE],
        ("y", TensorProto.FLOAT, (1, 2, 4, 4)),
    ),
    "resize": _onnx(
        helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest"),
        [IMAGE],
        ("y", TensorProto.FLOAT, (1, 2, 8, 8)),
        [("scales", np.float32([1, 1, 2, 2]))],
    ),
    "divide": _onnx(
        helper.make_node("Div", ["x", "divisor"], ["y"]),
        [("x", TensorProto.INT64, (1, 8))],
        ("y", TensorProto.INT64, (1, 8)),
        [("divisor", np.int64([1, 7, 10, 2**33, 3, 2**62, 100, 12345]))],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_whose_code_needs_the_library_run(chip, tmp_path, name):
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(MODELS[name].SerializeToString())
    model = compile_and_check(path, Target.of("vector", CHIP_VLEN), output_dir=tmp_path)
    chip.load_model(model)
    (spec,) = model.inputs
    random = np.random.default_rng(3)
    if spec.dtype == "int64":
        sample = random.integers(0, 2**62, spec.shape)
    else:
        sample = random.standard_normal(spec.shape).astype(np.float32)
    (wanted,) = framework_outputs(path, [sample[np.newaxis]], output_dir=tmp_path)
    np.testing.assert_allclose(chip.infer(sample)[0], wanted[0], rtol=1e-6)


def test_this_machines_code_gets_the_library_too(tmp_path):
    source, output = tmp_path / "bfloat.mlir", tmp_path / "bfloat.vmfb"
    source.write_text(
        "func.func @main(%x: tensor<4xi64>) -> tensor<4xf32> {\n"
        "  %y = stablehlo.convert %x : (tensor<4xi64>) -> tensor<4xbf16>\n"
        "  %z = stablehlo.convert %y : (tensor<4xbf16>) -> tensor<4xf32>\n  return %z : tensor<4xf32>\n}\n"
    )
    numbers = np.int64([257, 258, -(2**40) - 2**32, 3])  # halfway between two, to be rounded to even
    iree.compile_module(source, host_check.host_flags(compiler_flags(Target.of("scalar"))[0]), output)
    (answer,) = iree.run_module(output, "main", [numbers], 1, inline=True)
    np.testing.assert_array_equal(answer, numbers.astype(np.float32).astype(BFLOAT16).astype(np.float32))


def test_a_module_that_needs_nothing_stays_as_it_was(tmp_path, monkeypatch):
    def no_library(flags):
        raise AssertionError("the runtime library was asked for")

    monkeypatch.setattr(compiler_runtime, "library_for", no_library)
    tiny_models.dense_vmfb.__wrapped__()


def test_only_what_is_called_gets_into_the_module():
    narrow = load("springbok")  # a core of 64 bits has instructions for it
    content = module({("divide", "i64"): INTEGERS["divide", "i64"]}, "i64", "scalar", "none", narrow)
    (kernels,) = read_vmfb(content, "divide").kernels
    assert 500 < kernels.text_bytes < 3000
    assert kernels.exports == ("main_dispatch_0_elementwise_32_i64",)


def test_what_no_library_has_is_refused_with_symbol_kernel_and_layer(tmp_path, monkeypatch):
    empty = tmp_path / "library"
    empty.mkdir()
    monkeypatch.setattr(compiler_runtime, "library_for", lambda flags: empty)
    source = tmp_path / "convert.mlir"
    source.write_text(
        "func.func @main(%x: tensor<4xi64>) -> tensor<4xf32> {\n"
        '  %y = stablehlo.convert %x : (tensor<4xi64>) -> tensor<4xf32> loc("to_float")\n'
        "  return %y : tensor<4xf32>\n}\n"
    )
    flags, _ = compiler_flags(Target.of("scalar", chip=load("springbok")))
    with pytest.raises(CompileError) as refusal:
        iree.compile_module(source, flags, tmp_path / "convert.vmfb")
    text = str(refusal.value)
    assert "can't compile convert.mlir: there is no function '__floatdisf', which main_dispatch_0" in text
    assert "(to_float) calls" in text
    assert "Use another operation or element type there" in text


def test_without_the_package_the_refusal_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(compiler_runtime, "version", lambda: "")
    with pytest.raises(CompileError, match="'ziglang', which has them, is not installed here"):
        compiler_runtime.library_for(["--iree-llvmcpu-target-triple=riscv32-unknown-unknown-eabi-elf"])


def test_doubles_are_not_kept(tmp_path):
    with pytest.raises(CompileError, match="demote-f64-to-f32=false is refused"):
        compiler_flags(Target(), ["--iree-input-demote-f64-to-f32=false"])


def test_the_linkers_words_are_read():
    text = (
        "iree-lld: error: undefined symbol: __floatdisf\n"
        ">>> referenced by -:1\n>>>               /tmp/a-1.o:(first)\n"
        ">>> referenced by -:1\n>>>               /tmp/a-1.o:(.text.second)\n>>> referenced 1 more times\n\n"
        "iree-lld: error: undefined symbol: log10f\n"
    )
    assert compiler_runtime.undefined_symbols(text) == {"__floatdisf": ("first", "second"), "log10f": ()}
    assert compiler_runtime.undefined_symbols("error: something else") == {}


LIMITS = ("fmaximumf", "fminimumf", "fmaximum_numf", "fminimum_numf")
ROUNDINGS = ("roundevenf", "rintf", "nearbyintf")


@pytest.fixture(scope="module")
def limits(tmp_path_factory):
    """`limits.c` as a library of this machine."""
    source = next(each for each in compiler_runtime.OWN_SOURCES if each.name == "limits.c")
    library = tmp_path_factory.mktemp("limits") / "limits.so"
    compiler_runtime._zig("cc", "-shared", "-fPIC", "-O1", source, "-o", library, cwd=library.parent)
    loaded = ctypes.CDLL(str(library))
    for name in (*LIMITS, *ROUNDINGS):
        function = getattr(loaded, name)
        function.restype = ctypes.c_float
        function.argtypes = [ctypes.c_float] * (2 if name in LIMITS else 1)
    return loaded


SPECIAL = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    0.49999997,
    8388607.5,
    8388608.0,
    2.0**31,
    1e-45,
    np.inf,
    -np.inf,
    np.nan,
]
NUMBERS = st.one_of(st.sampled_from(SPECIAL), st.floats(width=32))


def same(found: float, wanted: float) -> bool:
    return bool(np.isnan(found) and np.isnan(wanted)) or np.float32(found).tobytes() == np.float32(wanted).tobytes()


@given(NUMBERS, NUMBERS)
def test_limits_and_roundings_are_those_of_the_standard(limits, left, right):
    largest, smallest = (max, min) if left != right else (_of_zeros(max), _of_zeros(min))
    either = np.isnan(left) or np.isnan(right)
    number = right if np.isnan(left) else left
    for name, pick, of_numbers in zip(LIMITS, (largest, smallest) * 2, (False, False, True, True), strict=True):
        wanted = (number if of_numbers else np.nan) if either else pick(left, right)
        assert same(getattr(limits, name)(left, right), wanted), name
    for name in ROUNDINGS:
        assert same(getattr(limits, name)(left), np.rint(np.float32(left))), name


def _of_zeros(pick):
    """Of two equal numbers: -0 lies below 0."""
    return lambda *numbers: pick(numbers, key=lambda number: np.copysign(1, number))


NO_FLOATS = """\
title = "No floating point"
like = "springbok"

[core]
isa = "rv32im_zicsr_zicntr_zifencei_zve32x"
abi = "ilp32"
"""


def test_a_core_without_floats_runs_a_model_of_them(tmp_path):
    (tmp_path / "none.toml").write_text(NO_FLOATS)
    core = load(tmp_path / "none.toml")
    model = compile_and_check(FILES / "conformance" / "reductions_f32.mlir", Target.of("scalar", chip=core))
    session = Session()
    try:
        session.boot("spike", platform=core.source)
        session.load_model(model, check=False)
        sample = [array[0] for array in model.probes.inputs]
        for answer, wanted in zip(session.infer(*sample), model.probes.expected, strict=True):
            np.testing.assert_allclose(answer, wanted[0], rtol=1e-5, atol=1e-5)
        assert not [name for name in session.engine.take_counts().opcodes if name.startswith(("fadd", "fmul", "vf"))]
    finally:
        session.shut_down()
