*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     A user's own data: a table with a preprocessing of its own, two inputs from a function with values to
...               compare with, and inputs that nobody has labelled. The models are a few lines of MLIR. See
...               docs/data.md.

Resource          resources/bench.resource

Suite Setup       Start Bench
Suite Teardown    Stop Chip


*** Variables ***
${OWN}    ${CURDIR}/resources/own_data


*** Test Cases ***
Should Classify The Rows Of A Table
    [Documentation]    The table's own values are not what the model was trained on: a function prepares them.
    ${model}=    Compile Model    ${OWN}/states.mlir    variant=vector    vlen=${VLEN}    optimize=${OPTIMIZE}
    ${readings}=    Load Data Set    ${OWN}/pump.csv    label=state    preprocessing=${OWN}/data.py:centre
    ${evaluation}=    Evaluate Model    ${model}    ${readings}
    Record Metrics    ${evaluation}
    Accuracy Should Be At Least    ${evaluation}    1
    Outputs Should Agree With The Host    ${evaluation}    1e-5
    Should Start With    ${evaluation.dataset.preprocessing}[0]    data.py:centre

Should Give Values From Two Inputs
    ${model}=    Compile Model    ${OWN}/flow.mlir    variant=vector    vlen=${VLEN}    optimize=${OPTIMIZE}
    ${flows}=    Load Data Set    ${OWN}/data.py:flows
    ${evaluation}=    Evaluate Model    ${model}    ${flows}
    Record Metrics    ${evaluation}
    Mean Absolute Error Should Be At Most    ${evaluation}    0.125
    Root Mean Square Error Should Be At Most    ${evaluation}    0.25
    R Squared Should Be At Least    ${evaluation}    0.9
    Outputs Should Agree With The Host    ${evaluation}    1e-5

Should Tell Anomalies By Their Score
    ${model}=    Compile Model    ${OWN}/flow.mlir    variant=vector    vlen=${VLEN}    optimize=${OPTIMIZE}
    ${flows}=    Load Data Set    ${OWN}/data.py:flows_that_nobody_measured    labels=${OWN}/leaks.csv    task=anomaly
    ${evaluation}=    Evaluate Model    ${model}    ${flows}
    AUC Should Be At Least    ${evaluation}    0.75

Should Hold Answers Without Labels Against The Host's
    ${model}=    Compile Model    ${OWN}/flow.mlir    variant=vector    vlen=${VLEN}    optimize=${OPTIMIZE}
    ${inputs}=    Load Data Set    ${OWN}/data.py:flows_that_nobody_measured
    ${evaluation}=    Evaluate Model    ${model}    ${inputs}
    Record Metrics    ${evaluation}
    Outputs Should Agree With The Host    ${evaluation}    1e-5

Should Say What Does Not Fit The Model
    ${model}=    Compile Model    ${OWN}/flow.mlir    variant=vector    vlen=${VLEN}    optimize=${OPTIMIZE}
    ${readings}=    Load Data Set    ${OWN}/pump.csv    label=state
    Run Keyword And Expect Error
    ...    Data set pump: flow takes 2 inputs ('input0' float32?1, 2?, 'input1' int32?1, 1?), but the data has 1: *
    ...    Evaluate Model    ${model}    ${readings}
