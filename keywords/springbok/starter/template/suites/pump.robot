*** Settings ***
Documentation     A network that tells from a pump's vibration whether it is sound, worn or blocked.

Resource          chip.resource

Suite Setup       Judge Pump
Suite Teardown    Stop Chip


*** Test Cases ***
Should Answer As The Framework Does
    Outputs Should Agree With The Host    ${PUMP}    1e-5

Should Tell The States Apart
    Accuracy Should Be At Least    ${PUMP}    0.95

Should Not Cost More Than Before
    Performance Should Not Regress    ${PUMP}


*** Keywords ***
Judge Pump
    [Documentation]    Compiles the model, runs every reading on the chip, and records what came out.
    Start Bench
    ${model}=    Compile Model    ${CURDIR}/../models/pump.onnx    vlen=${VLEN}
    ${readings}=    Load Data Set
    ...    ${CURDIR}/../data/pump.csv
    ...    label=state
    ...    class_names=sound,worn,blocked
    ...    preprocessing=${CURDIR}/../data/pump.py:centre
    ${evaluation}=    Evaluate Model    ${model}    ${readings}
    Record Metrics    ${evaluation}
    Set Suite Variable    ${PUMP}    ${evaluation}
