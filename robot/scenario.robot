*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     A scenario file of Kenning runs as it stands: its data set, its model, its compiler flags of 2023; as
...               a Robot suite it gives the same answers.

Library           OperatingSystem
Library           Process
Library           ../keywords/ScenarioLibrary.py
Resource          resources/bench.resource

Suite Setup       Start Bench
Suite Teardown    Stop Chip


*** Variables ***
${SCENARIOS}    ${CURDIR}/../keywords/tests/scenarios


*** Test Cases ***
Should Run Gestures
    ${evaluation}=    Run Scenario    ${SCENARIOS}/gestures.json    samples=8
    Outputs Should Agree With The Host    ${evaluation}    1e-5
    Accuracy Should Be At Least    ${evaluation}    0.95
    Record Metrics    ${evaluation}
    Set Suite Variable    ${GESTURES}    ${evaluation}

Should Give The Same As A Suite Of Its Own
    Skip If    $GESTURES.platform.engine != 'spike'    The suite runs in a process of its own, on Spike.
    ${suite}=    Set Variable    ${TEMPDIR}/scenario-${{os.getpid()}}
    Bench    scenario    ${SCENARIOS}/gestures.json    --samples    8    --to-suite    ${suite}/gestures.robot
    Bench    run    ${suite}/gestures.robot    --engine    spike    --results    ${suite}
    ${metrics}=    Get File    ${suite}/metrics.json
    ${metrics}=    Evaluate    json.loads($metrics)["models"][0]
    Should Be Equal    ${metrics}[vmfb_sha256]    ${GESTURES.model.vmfb_sha256}
    Should Be Equal    ${metrics}[outputs_sha256]    ${GESTURES.quality.outputs_sha256}
    Should Be Equal    ${metrics}[scenario][blocks][0][type]    springbok.datasets.basic_motions
    File Should Exist    ${suite}/report.html
    [Teardown]    Remove Directory    ${suite}    recursive=True

Should Run The Seed's Magic Wand
    TRY
        ${evaluation}=    Run Scenario    ${SCENARIOS}/seed.json    data=${DATA}    samples=16
    EXCEPT    *downloaded*    type=GLOB    AS    ${reason}
        Skip    ${reason}
    END
    Outputs Should Agree With The Host    ${evaluation}    1e-5
    Accuracy Should Be At Least    ${evaluation}    0.8
    Record Metrics    ${evaluation}

Should List What It Knows
    ${error}=    Run Keyword And Expect Error    *; known: *    Run Scenario    ${SCENARIOS}/unknown.json
    Should Contain    ${error}    MagicWandDataset


*** Keywords ***
Bench
    [Documentation]    A command of ./bench, which has to succeed.
    [Arguments]    @{arguments}
    ${done}=    Run Process    ${{sys.executable}}    -m    springbok.cli    @{arguments}    stderr=STDOUT
    ...    env:PYTHONPATH=${CURDIR}/../keywords
    Should Be Equal As Integers    ${done.rc}    0    ${done.stdout}
