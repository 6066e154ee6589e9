*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     Bad models, bad modules, the wrong chip, a silent line: each is refused with a sentence that says what
...               was wrong and what to do, and the chip works on afterwards.

Library           OperatingSystem
Resource          resources/bench.resource

Suite Setup       Start Bad Input
Suite Teardown    Stop Chip
Test Teardown     Chip Should Still Infer


*** Variables ***
${MODEL FILE}    ${MODELS}/gestures.h5


*** Test Cases ***
Should Name A Model File That Is Missing
    Run Keyword And Expect Error    *no_such_model.h5*    Compile Model    ${MODELS}/no_such_model.h5

Should Refuse A Broken Model File
    ${content}=    Get Binary File    ${MODEL FILE}
    ${broken}=    Set Variable    ${TEMPDIR}/broken.h5
    Create Binary File    ${broken}    ${content[:3000]}
    Run Keyword And Expect Error    *broken.h5*    Compile Model    ${broken}
    [Teardown]    Remove File    ${broken}

Should List The Formats That It Knows
    Run Keyword And Expect Error    *.h5*    Compile Model    ${CURDIR}/bad_input.robot

Should Show What The Compiler Says
    Run Keyword And Expect Error    *iree-no-such-flag*    Compile Model    ${MODEL FILE}    --iree-no-such-flag=1

Should Refuse Data That Does Not Fit The Model
    ${recordings}=    Load Data Set    basic_motions
    ${short}=    Evaluate    $recordings.inputs[0:1, :50]
    Load Model    ${MODEL}
    Run Keyword And Expect Error    *[[]1, 100, 6, 1[]]*[[]1, 50, 6, 1[]]*    Infer    ${short}

Should Refuse A Truncated Module
    ${content}=    Get Binary File    ${MODEL.vmfb}
    FOR    ${length}    IN    3    40    1000    20000
        ${error}=    Run Keyword And Expect Error
        ...    *answered to LOAD with error*
        ...    Send Module
        ...    ${content[:${length}]}
        Log    ${error}
    END

Should Refuse A Module That Is Larger Than The Chip's Memory
    ${chip}=    Get Chip Information
    ${content}=    Evaluate    bytes(${chip}[arena_bytes] + 1)
    Run Keyword And Expect Error    *${chip}[max_message_size]*    Send Module    ${content}

Should Refuse A Model That Needs More Memory Than There Is
    ${large}=    Compile Model    ${CURDIR}/resources/needs_19_megabytes.mlir    optimize=none
    Run Keyword And Expect Error    *OUT_OF_MEMORY*needs 19360000 bytes*    Load Model    ${large}

Should Refuse Code For Another Vector Length
    ${narrow}=    Compile Model    ${MODEL FILE}    vlen=128
    Run Keyword And Expect Error    *VLEN*128*512*    Load Model    ${narrow}

Should Refuse Vector Code On A Chip Without Vectors
    Boot Springbok    engine=${ENGINE}    vlen=0    port=${PORT}
    Run Keyword And Expect Error    *vector*    Load Model    ${MODEL}
    ${scalar}=    Compile Model    ${MODEL FILE}    variant=scalar
    Load Model    ${scalar}
    ${outputs}=    Infer    ${RECORDING}
    Log    ${outputs}
    [Teardown]    Boot And Infer

Should Refuse What The Chip Alone Computes Wrongly
    [Documentation]    The framework's answers are changed: the chip's are wrong where this machine's were right.
    ${probes}=    Evaluate
    ...    dataclasses.replace($MODEL.probes, expected=[each + 1 for each in $MODEL.probes.expected])
    ${wrong}=    Evaluate    dataclasses.replace($MODEL, probes=$probes, vmfb_sha256="another")
    Run Keyword And Expect Error    *right on this machine, but on the chip (*VLEN 512*    Load Model    ${wrong}
    Run Keyword And Expect Error    *has loaded no model*    Infer    ${RECORDING}
    Load Model    ${wrong}    check=False
    [Teardown]    Chip Should Still Infer

Should Not Wait For A Silent Chip For Ever
    Load Model    ${MODEL}
    Pause Chip
    Run Keyword And Expect Error    *paused*    Infer    ${RECORDING}    timeout=1
    Resume Chip


*** Keywords ***
Start Bad Input
    [Documentation]    Boots the chip and keeps the right answer to one recording.
    Start Bench
    ${recordings}=    Load Data Set    basic_motions
    ${recording}=    Evaluate    $recordings.inputs[0:1]
    ${model}=    Compile Model    ${MODEL FILE}    vlen=${VLEN}
    Load Model    ${model}
    ${outputs}=    Infer    ${recording}
    Set Suite Variable    ${RECORDING}    ${recording}
    Set Suite Variable    ${MODEL}    ${model}
    Set Suite Variable    ${RIGHT ANSWER}    ${outputs}

Chip Should Still Infer
    [Documentation]    Loads the good model again: it must give the same answer as at the start.
    Load Model    ${MODEL}
    ${outputs}=    Infer    ${RECORDING}
    Should Be Equal As Strings    ${outputs}    ${RIGHT ANSWER}

Boot And Infer
    [Documentation]    Boots the usual chip again, for the tests that follow one that needed another.
    Boot Springbok    engine=${ENGINE}    vlen=${VLEN}    port=${PORT}
    Chip Should Still Infer
