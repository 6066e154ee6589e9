*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     A scenario file of Kenning runs as it stands: its data set, its model, its compiler flags of 2023.

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
    ${error}=    Run Keyword And Expect Error    *known are: *    Run Scenario    ${SCENARIOS}/unknown.json
    Should Contain    ${error}    MagicWandDataset
