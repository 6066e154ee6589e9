*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     The gestures of a magic wand (wing, ring, slope, and none), drawn by people whom the model has never
...               seen. The recordings are downloaded once, or taken from the archive that ./bench run --data names;
...               without either the suite is skipped.

Resource          resources/bench.resource

Suite Setup       Start Magic Wand
Suite Teardown    Stop Chip


*** Variables ***
${MODEL FILE}    ${MODELS}/magic_wand.h5


*** Test Cases ***
Should Give The Host's Answers
    [Template]    Outputs And Accuracy Should Be The Host's
    vector
    scalar

Should Need Fewer Instructions With Vectors
    ${vector}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    vector
    ${scalar}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    scalar
    Should Execute Fewer Instructions    ${vector}    ${scalar}

Should Recognise At Least Nine Gestures Of Ten
    ${evaluation}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    vector
    Accuracy Should Be At Least    ${evaluation}    0.9

Should Not Regress
    ${evaluation}=    Evaluation On Chip    ${MODEL FILE}    ${RECORDINGS}    vector
    Performance Should Not Regress    ${evaluation}    missing=skip


*** Keywords ***
Start Magic Wand
    [Documentation]    Loads the recordings, then boots the chip.
    ${recordings}=    Load Data Set Or Skip
    Set Suite Variable    ${RECORDINGS}    ${recordings}
    Start Bench

Load Data Set Or Skip
    [Documentation]    Skips the suite where the recordings can't be had; a named archive that is no good is an error.
    TRY
        ${recordings}=    Load Data Set    magic_wand    data=${DATA}
    EXCEPT    AS    ${reason}
        IF    $DATA is None    Skip    ${reason}
        Fail    ${reason}
    END
    RETURN    ${recordings}
