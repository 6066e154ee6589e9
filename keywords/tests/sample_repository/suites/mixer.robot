*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     A network that tells from sound and settings whether a mixer runs dry.

Resource          chip.resource

Suite Setup       Judge Mixer
Suite Teardown    Stop Chip


*** Test Cases ***
Should Answer As The Framework Does
    Outputs Should Agree With The Host    ${MIXER}    1e-5

Should Tell A Dry Mixer
    Accuracy Should Be At Least    ${MIXER}    1

Should Not Cost More Than Before
    Performance Should Not Regress    ${MIXER}


*** Keywords ***
Judge Mixer
    [Documentation]    Compiles the model, runs every recording on the chip, and records what came out.
    Start Bench
    ${model}=    Compile Model    ${CURDIR}/../models/mixer.onnx    vlen=${VLEN}
    ${recordings}=    Load Data Set
    ...    ${CURDIR}/../data/mixer.csv
    ...    label=state
    ...    class_names=full,dry
    ...    preprocessing=${CURDIR}/../data/mixer.py:inputs
    ${evaluation}=    Evaluate Model    ${model}    ${recordings}
    Record Metrics    ${evaluation}
    Set Suite Variable    ${MIXER}    ${evaluation}
