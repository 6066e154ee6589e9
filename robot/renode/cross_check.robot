*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     The same firmware and module on Renode and on Spike: the same output bytes, the same number of
...               instructions, opcodes, lanes and bytes of memory. A difference is
...               a bug, of a simulator or of this project.

Library           ${CURDIR}/../../keywords/CrossCheckLibrary.py
Resource          ../resources/bench.resource

Suite Setup       Need Two Engines
Suite Teardown    Stop Chip
Test Template     Engines Should Agree On


*** Variables ***
${MODEL FILE}    ${MODELS}/gestures.h5


*** Test Cases ***
Should Agree On Vectors Of 128 Bits    vector    128    4
Should Agree On Vectors Of 256 Bits    vector    256    4
Should Agree On Vectors Of 512 Bits    vector    512    40
Should Agree On Vectors Of 1024 Bits    vector    1024    4
Should Agree On Scalar Code    scalar    512    4
Should Agree On A Chip Without Vectors    scalar    0    4


*** Keywords ***
Engines Should Agree On
    [Documentation]    Recordings of the test split, on both engines.
    [Arguments]    ${variant}    ${vlen}    ${samples}
    ${recordings}=    Load Data Set    basic_motions
    ${code vlen}=    Set Variable If    ${vlen}    ${vlen}    512
    ${model}=    Compile Model    ${MODEL FILE}    variant=${variant}    vlen=${code vlen}
    Boot Springbok    engine=renode    vlen=${vlen}
    ${on renode}=    Evaluate Model    ${model}    ${recordings}    samples=${samples}
    ${on spike}=    Evaluate On Spike    ${model}    ${recordings}    samples=${samples}
    Engines Should Agree    ${on renode}    ${on spike}
