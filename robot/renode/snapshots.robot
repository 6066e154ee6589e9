*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     A model is uploaded once; each test goes on from Renode's snapshot of the chip that has it loaded.

Library           ${CURDIR}/../../keywords/RenodeLibrary.py
Resource          ../resources/bench.resource

Suite Setup       Prepare
Suite Teardown    Stop Chip


*** Variables ***
${MODEL FILE}    ${MODELS}/gestures.h5


*** Test Cases ***
Should Load The Model Once
    Boot Springbok    engine=renode
    Load Model    ${MODEL}
    Disconnect Runtime
    Provides    model-loaded

Should Infer From The Snapshot
    Requires    model-loaded
    Adopt Chip    ${MODEL}
    First Recording Should Be Recognised

Should Infer From The Snapshot Again
    Requires    model-loaded
    Adopt Chip    ${MODEL}
    First Recording Should Be Recognised
    ${profile}=    Get Inference Profile
    Should Be Equal As Integers    ${profile}[inferences]    1

Should Come Up As At Power-On After A Reset
    Requires    model-loaded
    Adopt Chip    ${MODEL}
    Reset Chip
    Load Model    ${MODEL}
    First Recording Should Be Recognised


*** Keywords ***
Prepare
    [Documentation]    Compiles the model, and skips where no renode-test runs this suite.
    Need Renode
    ${recordings}=    Load Data Set    basic_motions
    ${model}=    Compile Model    ${MODEL FILE}
    Set Suite Variable    ${RECORDINGS}    ${recordings}
    Set Suite Variable    ${MODEL}    ${model}

First Recording Should Be Recognised
    [Documentation]    The chip gives the label that people gave.
    ${outputs}=    Infer    ${RECORDINGS.inputs[0:1]}
    Should Be Equal As Integers    ${outputs[0].argmax()}    ${RECORDINGS.labels[0]}
