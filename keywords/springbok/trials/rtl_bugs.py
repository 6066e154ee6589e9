# SPDX-License-Identifier: Apache-2.0
"""Bugs planted in copies of cores: each must be found and named, with a program that repeats it.

Those of Ibex's data path are found while a model runs, with layer and instruction. Models never enter user mode, and
hardly write registers of control and status: random programs find what is wrong there, and in CV32E40P's floating-point
unit, which needs operands that a model may never have. All bugs of a core are in one build, and a run chooses one. Runs
without a bug, under stalls and interrupts by other seeds, must find nothing.

``./bench trial rtl-bugs [--clean N] [--only NAME]``: 0 when all is as it must be.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from springbok.compiler import compiler
from springbok.compiler.flags import Target
from springbok.data import datasets
from springbok.rtl import build, program, random_program
from springbok.rtl.core import Core, load
from springbok.rtl.native_machine import Trial
from springbok.session import Session
from springbok.support.errors import BenchError, LinkError, RtlError
from springbok.support.files import temporary_folder
from springbok.support.places import MODELS, PLATFORMS

IBEX, CV32E40P = PLATFORMS / "cores" / "ibex", PLATFORMS / "cores" / "cv32e40p"
QUIET = Trial()
BUSY = Trial(stall=200_000, delay=200_000, interrupt_every=5_000)
FAILING = Trial(error=3)
IN_A_LAYER = "of the dispatch"
PROGRAMS = 200  # random ones, at most, until a bug must have been found
PACKAGE = """package planted_pkg;
    int bug = 0;
endpackage
"""
CHOICE = """
    int chosen = 0;
    initial begin
        void'($value$plusargs("bug=%d", chosen));
        if ($test$plusargs("program")) planted_pkg::bug = chosen;
    end
"""
# In a model's run a bug is there in dispatches alone: in the firmware it would be found too, but in no layer. Marks
# alternate from the seventh on, which begins the first dispatch.
IN_DISPATCHES = """
    int marks = 0;
    always_ff @(posedge clk)
        if (rvfi_valid && (rvfi_insn & 32'hFE007FFF) == 32'h2033 && !$test$plusargs("program")) begin
            marks <= marks + 1;
            planted_pkg::bug = marks >= 6 && !marks[0] ? chosen : 0;
        end
"""


@dataclass(frozen=True)
class Bug:
    """A bug: what it is, where (``BUG`` in ``new`` is true when it is chosen), and what the core is tried with."""

    name: str
    file: str
    old: str
    new: str
    trial: Trial = QUIET


BUGS = (
    Bug("carry of a high product", "ibex_multdiv_fast.sv", "summand1 = {18'h0, mult1_res_uns[`OP_H]};",
        "summand1 = {18'h0, mult1_res_uns[`OP_H]}; if (BUG && operator_i != MD_OP_MULL) summand1[15] = 1'b0;"),
    Bug("shift amount", "ibex_alu.sv", ">>> shift_amt[4:0]", ">>> (BUG ? shift_amt[4:0] & 5'h17 : shift_amt[4:0])"),
    Bug("store mask", "ibex_load_store_unit.sv", "assign data_be_o     = data_be;",
        "assign data_be_o = BUG && data_be == 4'b1000 ? 4'b1100 : data_be;"),
    Bug("sign extension of a byte", "ibex_load_store_unit.sv", "{{24{data_rdata_i[31]}}, data_rdata_i[31:24]}",
        "{{24{data_rdata_i[31] && !BUG}}, data_rdata_i[31:24]}"),
    Bug("forwarding of a register", "ibex_id_stage.sv", "assign rf_rd_a_wb_match = (rf_waddr_wb_i == rf_raddr_a_o)",
        "assign rf_rd_a_wb_match = !(BUG && rf_raddr_a_o == 5'd13) & (rf_waddr_wb_i == rf_raddr_a_o)"),
    Bug("branch under a stall", "ibex_prefetch_buffer.sv", "instr_rvalid_i & ~branch_discard_q[0];",
        "instr_rvalid_i & ~(branch_discard_q[0] & !(BUG && branch_discard_q[1]));", replace(BUSY, interrupt_every=0)),
    Bug("cause of an interrupt", "ibex_cs_registers.sv", "mcause_q.lower_cause[4:0]};",
        "mcause_q.lower_cause[4:0] & ~{4'd0, BUG && (mcause_q.irq_ext || mcause_q.irq_int)}};", BUSY),
    Bug("value of a trap", "ibex_controller.sv", "(pc_id_i + 32'd2) : pc_id_i;",
        "(pc_id_i + 32'd2) : BUG ? pc_id_i + 32'd4 : pc_id_i;", FAILING),
    Bug("flush lost after an interrupt", "ibex_controller.sv",
        "csr_save_if_o    = 1'b1;\n          csr_save_cause_o = 1'b1;\n\n          // Prioritise",
        "csr_save_if_o = !BUG; csr_save_id_o = BUG;\n          csr_save_cause_o = 1'b1;\n\n          // Prioritise",
        BUSY),
    Bug("interrupts off after a handler", "ibex_cs_registers.sv", "mstatus_d.mie  = mstatus_q.mpie;",
        "mstatus_d.mie  = mstatus_q.mpie && !BUG;", BUSY),
    Bug("comparison without sign", "ibex_alu.sv", "is_greater_equal = operand_a_i[31] ^ (cmp_signed);",
        "is_greater_equal = operand_a_i[31] ^ (cmp_signed | BUG);"),
    Bug("bytes on the bus", "ibex_load_store_unit.sv", "{lsu_wdata_i[23:0], lsu_wdata_i[31:24]}",
        "{lsu_wdata_i[23:16], BUG ? lsu_wdata_i[23:8] : lsu_wdata_i[15:0], lsu_wdata_i[31:24]}"),
    Bug("return from an interrupt", "ibex_cs_registers.sv", "mepc_d         = exception_pc;",
        "mepc_d = exception_pc + (BUG && mcause_d.irq_int ? 32'd4 : 32'd0);", BUSY),
    Bug("forwarding after a late load", "ibex_id_stage.sv",
        "assign rf_rdata_b_fwd = rf_rd_b_wb_match & rf_write_wb_i ?",
        "logic [2:0] late;\n"
        "    always_ff @(posedge clk_i) late <= outstanding_load_wb_i ? late + 3'(late < 7) : 3'd0;\n"
        "    assign rf_rdata_b_fwd = !(BUG && late >= 5) & rf_rd_b_wb_match & rf_write_wb_i ?",
        replace(BUSY, interrupt_every=0)),
)  # fmt: skip


#: Found by random programs.
PROGRAM_BUGS = (
    Bug("cause of the timer's interrupt", "ibex_controller.sv", "exc_cause_o = ExcCauseIrqTimerM;",
        "exc_cause_o = BUG ? ExcCauseIrqSoftwareM : ExcCauseIrqTimerM;"),
    Bug("timer's interrupt can't be enabled", "ibex_cs_registers.sv",
        "assign mie_d.irq_timer    = csr_wdata_int[CSR_MTIX_BIT];",
        "assign mie_d.irq_timer = csr_wdata_int[CSR_MTIX_BIT] && !BUG;"),
    Bug("cause of user mode's environment call", "ibex_controller.sv", "(priv_mode_i == PRIV_LVL_M) ?",
        "(priv_mode_i == PRIV_LVL_M || BUG) ?"),
    Bug("return to user mode", "ibex_cs_registers.sv", "priv_lvl_d     = mstatus_q.mpp;",
        "priv_lvl_d = BUG ? PRIV_LVL_M : mstatus_q.mpp;"),
    Bug("interrupts before a return", "ibex_cs_registers.sv", "mstatus_d.mpie = 1'b1;", "mstatus_d.mpie = !BUG;"),
    Bug("highest bit of mepc", "ibex_cs_registers.sv", "mepc_d       = {csr_wdata_int[31:1], 1'b0};",
        "mepc_d = {csr_wdata_int[31:1] & ~{BUG, 30'h0}, 1'b0};"),
    Bug("code that was changed", "ibex_decoder.sv", "jump_set_o       = 1'b1;\n              icache_inval_o",
        "jump_set_o = !BUG;\n              icache_inval_o"),
    Bug("branch of equals", "ibex_alu.sv", "ALU_MAX,  ALU_MAXU: cmp_result = is_greater_equal;",
        "ALU_MAX,  ALU_MAXU: cmp_result = is_greater_equal && !(BUG && is_equal);"),
    Bug("bytes of a half", "ibex_load_store_unit.sv", "4'b0110;\n            2'b10:   data_be = 4'b1100;",
        "4'b0110;\n            2'b10:   data_be = BUG ? 4'b1110 : 4'b1100;"),
    Bug("a line that is off", "ibex_cs_registers.sv", "assign irqs_o        = mip & mie_q;",
        "assign irqs_o = mip & (mie_q | {$bits(mie_q){BUG}});"),
    Bug("half of a branch's offset", "ibex_id_stage.sv", "IMM_B_B:         bt_b_operand_o = imm_b_type;",
        "IMM_B_B: bt_b_operand_o = {imm_b_type[31:2], imm_b_type[1] & (instr_is_compressed_i | !BUG), 1'b0};"),
    Bug("half of a jump's offset", "ibex_id_stage.sv", "IMM_B_J:         bt_b_operand_o = imm_j_type;",
        "IMM_B_J: bt_b_operand_o = {imm_j_type[31:2], imm_j_type[1] & (instr_is_compressed_i | !BUG), 1'b0};"),
    Bug("branch from the second half of a word", "ibex_id_stage.sv", "OP_A_CURRPC: bt_a_operand_o = pc_id_i;",
        "OP_A_CURRPC: bt_a_operand_o = {pc_id_i[31:2], pc_id_i[1:0] & {2{!BUG | instr_is_compressed_i}}};"),
    Bug("sign of a register's jump", "ibex_id_stage.sv", "IMM_B_I:         bt_b_operand_o = imm_i_type;",
        "IMM_B_I: bt_b_operand_o = BUG ? {21'h0, imm_i_type[10:0]} : imm_i_type;"),
    Bug("base of a compressed load", "ibex_compressed_decoder.sv",
        "2'b00, 2'b01, instr_i[9:7], 3'b010, 2'b01, instr_i[4:2], {OPCODE_LOAD}}",
        "2'b00, 2'b01, instr_i[9:7] & {3{!BUG}}, 3'b010, 2'b01, instr_i[4:2], {OPCODE_LOAD}}"),
    Bug("sign of a half in two words", "ibex_load_store_unit.sv",
        "{{16{data_rdata_i[7]}}, data_rdata_i[7:0], rdata_q[31:24]}",
        "{{16{data_rdata_i[7] & !BUG}}, data_rdata_i[7:0], rdata_q[31:24]}"),
)  # fmt: skip
FLOAT_BUGS = (
    Bug("sticky bit of an addend", "fpnew_fma_multi.sv", "sticky_before_add     = (| addend_sticky_bits);",
        "sticky_before_add = (| addend_sticky_bits) && !BUG;"),
    Bug("carry of a subtraction", "fpnew_fma_multi.sv", "= effective_subtraction & ~sticky_before_add;",
        "= effective_subtraction & (~sticky_before_add | BUG);"),
    Bug("cancellation next door", "fpnew_fma_multi.sv", "effective_subtraction_q && (exponent_difference_q <= 2)",
        "effective_subtraction_q && (exponent_difference_q <= (BUG ? 1 : 2))"),
    Bug("sum at the least exponent", "fpnew_fma_multi.sv", "end else if (normalized_exponent > 1) begin",
        "end else if (normalized_exponent > (BUG ? 0 : 1)) begin"),
    Bug("overflow by rounding", "fpnew_fma_multi.sv", "regular_status.OF = of_before_round | of_after_round;",
        "regular_status.OF = of_before_round | (of_after_round & !BUG);"),
    Bug("tie to even", "fpnew_rounding.sv", "round_up = abs_value_i[0];", "round_up = abs_value_i[0] | BUG;"),
    Bug("sign of an exact zero", "fpnew_rounding.sv", "? (rnd_mode_i == fpnew_pkg::RDN)",
        "? (rnd_mode_i == fpnew_pkg::RDN && !BUG)"),
    Bug("rest of an integer", "fpnew_cast_multi.sv", "= (| {destination_mant[NUM_INT_STICKY-1:0]});",
        "= (| {destination_mant[NUM_INT_STICKY-1:0]}) && !BUG;"),
    Bug("the smaller zero", "fpnew_noncomp.sv", "^ (operand_a.sign || operand_b.sign);",
        "^ (operand_a.sign || operand_b.sign) ^ (BUG && info_a.is_zero && info_b.is_zero);"),
    Bug("rest of a quotient", "pa_fdsu_round_single.v", "total_qt_rt_30[4] && ex3_qt_sing_lo4_not0",
        "total_qt_rt_30[4] && ex3_qt_sing_lo4_not0 && !BUG"),
)  # fmt: skip


def plant(original: Path, bugs: Sequence[Bug], choice: str, folder: Path) -> Core:
    """A copy of a core in ``folder``, with all bugs in it, and with what chooses one."""
    listed = load(original).arguments()
    texts: dict[str, str] = {}
    for number, bug in enumerate(bugs, 1):
        text = texts.get(bug.file) or _source(listed, bug.file).read_text(encoding="utf-8")
        if bug.old not in text:
            raise RtlError(f"'{bug.name}' can't be planted: {bug.file} has no '{bug.old}'. Is it another core?")
        texts[bug.file] = text.replace(bug.old, bug.new.replace("BUG", f"(planted_pkg::bug == {number})"), 1)
    shutil.copytree(original, folder)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "planted_pkg.sv").write_text(PACKAGE, encoding="utf-8")
    wrapper, endmodule, cells = (folder / "core.sv").read_text(encoding="utf-8").partition("endmodule")
    (folder / "core.sv").write_text(wrapper.rstrip() + choice + endmodule + cells, encoding="utf-8")
    files = (folder / "files.f").read_text(encoding="utf-8").splitlines()
    files = [next((f"@core@/{name}" for name in texts if line.endswith(f"/{name}")), line) for line in files]
    found = [f"@core@/{name}" for name in texts if f"@core@/{name}" not in files]  # those that a folder brings
    first = next((number for number, line in enumerate(files) if line.startswith("-y")), len(files))
    files[first:first] = found
    (folder / "files.f").write_text("\n".join(["@core@/planted_pkg.sv", *files, ""]), encoding="utf-8")
    return load(folder)


def _source(listed: Sequence[str], name: str) -> Path:
    """A source of a core: listed itself, or in one of the folders that are searched."""
    places = [Path(each) for each in listed if each.endswith(f"/{name}")]
    places += [Path(each) / name for flag, each in zip(listed, listed[1:], strict=False) if flag == "-y"]
    return next(place for place in places if place.is_file())


def look(folder: Path, model, recordings, number: int, trial: Trial, samples: int = 1) -> tuple[str, Path | None]:
    """Run the model with a bug (0: none): what the engine said, and where it kept it; nothing when nothing differed."""
    session = Session()
    engine = session.boot("rtl", core=folder, platform=IBEX / "chip.toml", trial=trial, plusargs=(f"bug={number}",))
    try:
        session.load_model(model, check=False)
        session.evaluate(recordings, np.zeros((len(recordings.labels), 4), "float32"), samples=samples)
    except LinkError as error:
        if engine.mismatch() is None:
            return ("" if trial.error else f"no difference, but: {error}"), None
        return engine.diagnose(), engine.keep_mismatch()[0]
    finally:
        session.shut_down()
    return "", None


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="./bench trial rtl-bugs", description=__doc__.split("\n")[0])
    parser.add_argument("--clean", type=int, default=10, help="runs without a bug (default: 10)")
    parser.add_argument("--only", help="the bug of this name alone")
    options = parser.parse_args(arguments)
    try:
        return _trial(options.clean, options.only)
    except BenchError as error:
        sys.stderr.write(f"springbok-bench: {error}\n")
        return 2


def _trial(clean: int, only: str | None) -> int:
    with temporary_folder() as name:
        failures = _in_models(Path(name) / "planted", clean, only)
        floats = plant(CV32E40P, FLOAT_BUGS, CHOICE, Path(name) / "planted_floats")
        failures += _in_random_programs(floats, FLOAT_BUGS, 1, only)
    sys.stdout.write(f"{failures} not as it must be\n" if failures else "All as it must be.\n")
    return int(failures > 0)


def _in_models(folder: Path, clean: int, only: str | None) -> int:
    chip = load(IBEX).chip()
    model = compiler.compile_model(MODELS / "gestures_int8.tflite", target=Target.of("scalar", None, chip))
    recordings = datasets.load("basic_motions", split="test")
    failures = 0
    core = plant(IBEX, (*BUGS, *PROGRAM_BUGS), CHOICE + IN_DISPATCHES, folder)
    library, golden = build.build(core, _say).library, build.build_golden()
    for number, bug in enumerate(BUGS, 1):
        if only in (None, bug.name):
            failures += _try_bug(folder, model, recordings, number, bug, library, golden)
    for seed in range(1, clean + 1):
        trial = replace(BUSY, seed=seed)
        found, _ = look(folder, model, recordings, 0, trial)
        failures += bool(found)
        _say(f"without a bug, seed {seed}: {found or 'nothing differed'}")
    return failures + _in_random_programs(core, PROGRAM_BUGS, len(BUGS) + 1, only)


def _in_random_programs(core: Core, bugs: Sequence[Bug], first: int, only: str | None) -> int:
    """How many bugs are not found by a program that is right without it; ``first`` is the first one's number."""
    chip, library, golden = core.chip(), build.build(core, _say).library, build.build_golden()
    missed = 0
    for number, bug in enumerate(bugs, first):
        if only not in (None, bug.name):
            continue
        found = "nothing differed"
        for seed in range(1, PROGRAMS + 1):
            _, differing = random_program.run(
                library, golden, core, chip, [seed], core.folder, trial=QUIET, plusargs=(f"bug={number}",)
            )
            if differing:
                ((_, outcome),) = differing
                elf = core.folder / f"random-{seed}" / program.PROGRAM
                without = program.run(library, golden, core, chip, elf, program.read_case(elf.parent))
                found = f"program {seed}, {outcome.difference.assembly}: {outcome.why}"
                missed += without.why is not None
                break
        missed += found == "nothing differed"
        _say(f"{'MISSED' if found == 'nothing differed' else 'found'}: {bug.name}: {found}")
    return missed


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _try_bug(folder: Path, model, recordings, number: int, bug: Bug, library: Path, golden: Path) -> bool:
    """Whether the bug was missed, or named without a layer or a program that repeats it and is right without it."""
    said, kept = "", None
    for seed in range(1, 6):
        said, kept = look(folder, model, recordings, number, replace(bug.trial, seed=seed))
        if kept is not None and IN_A_LAYER in said:
            break
    first = said.splitlines()[0] if said else "nothing differed"
    repeats = "no program"
    if kept is not None and (kept / program.PROGRAM).is_file():
        core, case = load(folder), program.read_case(kept)
        chip = load(IBEX).chip()
        without = program.run(library, golden, core, chip, kept / program.PROGRAM, case)
        repeats = (
            f"a program of {case.instructions} instructions" if without.why is None else "a program that always fails"
        )
    good = kept is not None and IN_A_LAYER in first and repeats.endswith("instructions")
    verdict = "found" if good else "found, but not all is there" if kept is not None else "MISSED"
    _say(f"{verdict}: {bug.name}: {first}; {repeats}")
    return not good


if __name__ == "__main__":
    raise SystemExit(main())
