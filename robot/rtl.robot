*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation    The gate for RTL. The accelerator's instruction dot4 in Verilog, made C++ by Verilator, against its C
...              model: on operands that the chip recorded while it computed a real int8 layer on real recordings, on
...              corner cases, and on random ones. Skipped where Verilator is missing.

Library          ../keywords/RtlLibrary.py


*** Test Cases ***
Should Compute What The Model Does
    Rtl Should Match Model    samples=4    random=20000    seed=1

Should Refuse A Flipped Bit And Name The Operands
    Broken Rtl Should Be Refused    .addend(accumulator)    .addend(accumulator ^ 32'h00000400)
    ...    message=First mismatch at operands 0, recorded from a real inference: rs1 0x

Should Refuse RTL That Is Not Clean
    Broken Rtl Should Be Refused    wire [31:0] sum    wire [30:0] sum    message=Verilator refuses

Should Be The Chip's Instruction On Renode
    Rtl Should Compute Layer On Renode
