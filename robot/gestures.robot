*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     The main job. A gesture model, compiled by IREE for RISC-V vectors, runs on the simulated chip and
...               is judged on real accelerometer and gyroscope recordings (BasicMotions: 40 recordings that the
...               model has never seen; badminton, running, standing, walking).

Resource          resources/bench.resource

Suite Setup       Start Gestures
Suite Teardown    Stop Chip


*** Variables ***
${MODEL FILE}    ${MODELS}/gestures.h5
# How many of the recordings, from the first one on: fewer where a core's RTL is slow
${SAMPLES}       40


*** Test Cases ***
Should Boot With The Vectors It Was Built With
    ${chip}=    Get Chip Information
    Should Be Equal As Integers    ${chip}[vlen_bits]    ${VLEN}

Should Set Every Device Up Before Using It
    Get Chip Information
    ${warnings}=    Get Chip Console
    Should Be Empty    ${warnings}

Should Compile To Vector Instructions
    Vectors Are Needed
    ${model}=    Compile Model    ${MODEL FILE}    variant=vector    vlen=${VLEN}    optimize=${OPTIMIZE}
    Module Should Contain Vector Instructions    ${model}
    ${model}=    Compile Model    ${MODEL FILE}    variant=scalar
    Module Should Not Contain Vector Instructions    ${model}

Should Give The Host's Answers
    [Template]    Outputs And Accuracy Should Be The Host's
    ${BEST}
    scalar

Should Recognise Nineteen Motions Of Twenty
    ${evaluation}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    ${BEST}
    Accuracy Should Be At Least    ${evaluation}    0.95

Should Need Fewer Instructions With Vectors
    Vectors Are Needed
    ${vector}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    vector
    ${scalar}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    scalar
    Should Execute Fewer Instructions    ${vector}    ${scalar}

Should Not Regress
    [Documentation]    Against the baselines of this repository; an engine that none was made on is skipped.
    [Template]    Variant Should Not Regress
    ${BEST}
    scalar

Should Keep Its Limits
    Vectors Are Needed
    ${evaluation}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    vector
    Instructions Per Inference Should Be At Most    ${evaluation}    810000
    Vector Utilization Should Be At Least    ${evaluation}    0.25
    Dispatch Should Be Vectorized    ${evaluation}    dense_1    0.2
    Memory Should Be At Most    ${evaluation}    131072
    Firmware Size Should Be At Most    ${evaluation}    65536

Should Count The Same Instructions On Every Run
    ${first}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    ${BEST}
    Reset Chip
    ${model}=    Compile Model    ${MODEL FILE}    variant=${BEST}    vlen=${VLEN}    optimize=${OPTIMIZE}
    ${second}=    Evaluate Model    ${model}    ${RECORDINGS}
    Instruction Counts Should Be Equal    ${first}    ${second}

Should Account For Every Instruction
    [Template]    Counts Of Variant Should Add Up
    ${BEST}
    scalar

Should Agree With The Core's Own Counter
    ${evaluation}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    ${BEST}
    Device And Simulator Should Count The Same    ${evaluation}


*** Keywords ***
Counts Of Variant Should Add Up
    [Documentation]    Dispatches and the runtime's own share are the whole inference, by two independent counts.
    [Arguments]    ${variant}
    ${evaluation}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    ${variant}
    Counts Should Add Up    ${evaluation}

Variant Should Not Regress
    [Documentation]    No recorded number is worse than when its baseline was made.
    [Arguments]    ${variant}
    ${evaluation}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    ${variant}
    Performance Should Not Regress    ${evaluation}    missing=skip

Vectors Are Needed
    [Documentation]    Skips a test on a chip without vectors.
    Skip If    int($VLEN) == 0    The chip has no vectors.

Start Gestures
    [Documentation]    Boots the chip and loads the recordings.
    Start Bench
    ${best}=    Set Variable If    int($VLEN) == 0    scalar    vector
    Set Suite Variable    ${BEST}
    ${recordings}=    Load Data Set    basic_motions    split=test
    ${recordings}=    Evaluate    $recordings.first(int($SAMPLES))
    Set Suite Variable    ${RECORDINGS}    ${recordings}
