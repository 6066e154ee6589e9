*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     MLPerf Tiny's runner, in its own words: the link loads the model and introduces it, then commands in
...               text load inputs, infer and ask for results. The benchmark's own runner can take the client's place on
...               the chip's serial port: docs/mlperf.md. What the runner is given are the link's own answers, to three
...               decimals.

Resource          resources/bench.resource
Library           ${CURDIR}/../keywords/MlperfLibrary.py

Suite Setup       Start Bench
Suite Teardown    End Runner And Stop Chip


*** Test Cases ***
Should Say Who It Is
    [Documentation]    Lines as the benchmark's runner looks for them.
    Load And Start    kws01    ds_cnn_int8.tflite
    ${name}=    Runner Command    name
    Should Match Regexp    ${name[0]}    ^m-name-dut-\\[[^\\]]+\\]$
    ${profile}=    Runner Command    profile
    Should Contain    ${profile}    m-model-[kws01]
    ${before}=    Runner Command    timestamp
    ${after}=    Runner Command    timestamp
    Should Be True    0 < ${before[0].removeprefix('m-lap-us-')} <= ${after[0].removeprefix('m-lap-us-')}

Should Spot Keywords
    [Documentation]    MFCCs as int8, 490 bytes in sixteen commands.
    Answers Should Be The Links    kws01    ds_cnn_int8.tflite

Should Classify Images
    [Documentation]    Pixels as bytes from 0 to 255, 3,072 of them.
    Answers Should Be The Links    ic01    resnet8_int8.tflite

Should Give The Error Of An Anomaly
    [Documentation]    640 floats, which the chip quantises; one result, the mean square of what it could not reproduce.
    Answers Should Be The Links    ad01    autoencoder_int8.tflite

Should Time Inferences By Its Own Clock
    Load And Start    ad01    autoencoder_int8.tflite
    ${input}=    Made Up Input    1
    ${some}=    Infer By Runner    ${input}    count=5    warmups=2
    ${more}=    Infer By Runner    ${input}    count=50    warmups=2
    Should Be True    $more.microseconds > $some.microseconds
    Should Be Equal    ${some.results}    ${more.results}

Should Refuse What It Cannot Do And Go On
    Load And Start    ad01    autoencoder_int8.tflite
    ${before}=    Infer By Runner    ${{bytes(2560)}}
    @{refused}=    Create List    frobnicate    db    db load    db load 0    db load 99999999999    db load 1048577
    ...    db 00    infer 0    infer -1    infer 9999999    infer 1 -1    infer 1 9999999    start
    ...    stop    print_detections    name it    infer 1 0 0    db load 2560 1    ${{'db ' + '0' * 500}}
    FOR    ${command}    IN    @{refused}
        Run Keyword And Expect Error    *The device answered to*    Runner Command    ${command}
    END
    Runner Command    db load 2560
    Run Keyword And Expect Error    *Invalid hex digits at 3*    Runner Command    db 00zz
    Run Keyword And Expect Error    *Input db has 0 bytes, expected 2560*    Runner Command    infer 1 0
    ${after}=    Infer By Runner    ${{bytes(2560)}}
    Should Be Equal    ${before.results}    ${after.results}

Should Give No Results Of Bytes That Were Not Inferred
    [Documentation]    The error of an anomaly would be that of other bytes' output.
    Load And Start    ad01    autoencoder_int8.tflite
    Infer By Runner    ${{bytes(2560)}}
    Runner Command    db load 2560
    Run Keyword And Expect Error    *No inference was done yet*    Runner Command    results

Should Give The Line Back To The Link
    Load And Start    ad01    autoencoder_int8.tflite
    ${input}=    Made Up Input    2
    Infer By Runner    ${input}
    End Runner
    Load Model    ${MODEL}
    Infer    ${input}


*** Keywords ***
Load
    [Documentation]    Loads a model over the link.
    [Arguments]    ${file}
    End Runner
    ${model}=    Compile Model    ${MODELS}/${file}    variant=vector    vlen=${VLEN}
    Load Model    ${model}
    Set Suite Variable    ${MODEL}    ${model}

Load And Start
    [Documentation]    Loads a model, and begins the runner's dialogue.
    [Arguments]    ${task}    ${file}
    Load    ${file}
    Start Runner    ${task}

Answers Should Be The Links
    [Documentation]    Of three inputs, each loaded and inferred by the runner after the link has inferred it.
    [Arguments]    ${task}    ${file}
    Load    ${file}
    ${answers}=    Create List
    FOR    ${seed}    IN RANGE    3
        ${input}=    Made Up Input    ${seed}
        ${outputs}=    Infer    ${input}    raw=True
        Append To List    ${answers}    ${outputs[0]}
    END
    Start Runner    ${task}
    FOR    ${seed}    ${answer}    IN ENUMERATE    @{answers}
        Answer Should Be    ${seed}    ${answer}
    END

Answer Should Be
    [Documentation]    What the runner is given for an input, to three decimals.
    [Arguments]    ${seed}    ${answer}
    ${input}=    Made Up Input    ${seed}
    ${expected}=    Expected Results    ${input}    ${answer}
    ${inferences}=    Infer By Runner    ${input}
    Should Be True
    ...    all(abs(a - b) <= 0.0005001 + abs(b) / 1e5 for a, b in zip($inferences.results, $expected, strict=True))
    ...    ${inferences.results} instead of ${expected}

Made Up Input
    [Documentation]    Returns an input of the loaded model's shape, normally distributed: always the same for a seed.
    [Arguments]    ${seed}
    RETURN    ${{numpy.random.default_rng(int($seed)).standard_normal($MODEL.inputs[0].shape).astype('float32')}}

End Runner And Stop Chip
    [Documentation]    Whatever the last test left.
    End Runner
    Stop Chip
