*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     Estimated cycles. Counts of instructions say nothing of how long an instruction takes: a description
...               of the core's pipeline, given where the chip is booted, tells how many cycles an inference takes, by
...               dispatch, and where they go.

Resource          resources/bench.resource

Suite Setup       Evaluate With The Chip's Timing
Suite Teardown    Stop Chip


*** Test Cases ***
Should Take No Fewer Cycles Than A Core Of One Instruction A Cycle Can
    ${instructions}=    Get Instructions Per Inference    ${GESTURES}
    ${cycles}=    Get Estimated Cycles Per Inference    ${GESTURES}
    Should Be True    $cycles >= $instructions

Should Keep Limits Of Its Own
    Estimated Cycles Should Be At Most    ${GESTURES}    46000
    Estimated Cycles Should Be At Most    ${GESTURES}    28000    conv_1
    Metric Should Keep Its Limit    ${GESTURES}    estimated_cycles    46000


*** Keywords ***
Evaluate With The Chip's Timing
    [Documentation]    Two recordings suffice: quantised gestures take the same path each time.
    IF    $ENGINE not in ('spike', 'rtl')
        Skip    Only Spike and RTL tell what cycles are estimated from.
    END
    Boot Springbok    engine=${ENGINE}    vlen=512    timing=springbok_assumed
    ${model}=    Compile Model    ${MODELS}/gestures_int8.tflite    vlen=512
    ${recordings}=    Load Data Set    basic_motions
    ${evaluation}=    Evaluate Model    ${model}    ${recordings}    samples=2
    Record Metrics    ${evaluation}
    Set Suite Variable    ${GESTURES}    ${evaluation}
