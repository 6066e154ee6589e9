*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation    A change of the RTL is gated as a change of a model is: the Verilog of the accelerator's instruction
...              (an int8 dot product of four lanes, on custom-3) has to answer what the model in the simulator does,
...              on the operands of real inferences, corner cases and random ones. Skipped where Verilator is missing.

Library          OperatingSystem
Library          ../keywords/AcceleratorLibrary.py


*** Variables ***
${RTL}    ${CURDIR}/../platforms/accelerator/int8_dot.v


*** Test Cases ***
Should Save Instructions Of A Dense Layer
    Accelerator Should Save Instructions    0.3

Should Compute What Its Model Does
    ${operands}=    Record Accelerator Operands
    Rtl Should Compute What Its Model Does    ${operands}    rtl=${RTL}

Should Stop A Broken RTL With Its Operands
    [Documentation]    Lane 1 reads its first operand one bit too low.
    ${text}=    Get File    ${RTL}
    ${broken}=    Evaluate    $text.replace("inputs_0[15:8]", "inputs_0[14:7]")
    Create File    ${OUTPUT DIR}/broken_int8_dot.v    ${broken}
    Run Keyword And Expect Error    *first mismatch at corner operands*rs1*rs2*the RTL gives*the model*
    ...    Rtl Should Compute What Its Model Does    rtl=${OUTPUT DIR}/broken_int8_dot.v
    [Teardown]    Remove File    ${OUTPUT DIR}/broken_int8_dot.v
