*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     The chip feeds itself: its firmware takes samples from the accelerometer (an ADXL345 on I2C) into a
...               ring of 128, and the newest of them become the model's input. Only the motion comes from the host, and
...               it goes into the simulated sensor. What the model answers is what it answers to the same readings
...               when the host sends them, to the bit, and what its framework answers on the host within 1e-5.

Resource          resources/bench.resource

Suite Setup       Start Sensing
Suite Teardown    Stop Chip


*** Variables ***
${MODEL FILE}     ${MODELS}/magic_wand.h5
${INT8 MODEL}     ${MODELS}/magic_wand_int8.tflite
${OTHER MODEL}    ${MODELS}/gestures.h5
# The model was trained on accelerations in mg
${PER G}          1000
${WINDOW}         128


*** Test Cases ***
Should Infer What The Accelerometer Measures
    [Documentation]    The chip's answer to the same readings from the host, to the bit; the framework's within 1e-5.
    Answers To Motions Should Be Right    ${MODEL}

Should Quantise Readings For An Int8 Model
    [Documentation]    With the scale and zero point of its input. Both comparisons are to the bit.
    ${compiled}=    Compile Model    ${INT8 MODEL}    variant=vector    vlen=${VLEN}
    Load Model    ${compiled}
    Answers To Motions Should Be Right    ${compiled}
    [Teardown]    Load Model    ${MODEL}

Should Set The Sensor Up Before Reading It
    ${warnings}=    Get Chip Console
    Should Be Empty    ${warnings}

Should Read Steps Of A 256th Of A G
    [Documentation]    The readings are the motion to half a step, which is 1.95 mg.
    ${motion}=    Made Up Motion    ${WINDOW}    seed=5
    ${readings}    ${outputs}=    Sense    ${motion}
    Should Be True    abs($readings - $motion).max() <= 1000 / 512 + 0.001
    Should Be True    ($readings % (1000 / 256) == 0).all()
    Should Be The Answer To    ${outputs}    ${readings}

Should Clip Beyond Sixteen G
    ${motion}=    Evaluate    numpy.full((128, 3), [17000.0, -17000.0, 1e9])    modules=numpy
    ${readings}    ${outputs}=    Sense    ${motion}
    Should Be Equal    ${readings[0].tolist()}    ${{[4095 * 1000 / 256, -16000.0, 4095 * 1000 / 256]}}
    Should Be The Answer To    ${outputs}    ${readings}

Should Keep The Newest Samples When More Come Than The Ring Holds
    ${motion}=    Made Up Motion    300    seed=6
    ${readings}    ${outputs}=    Sense    ${motion}    samples=300
    Should Be The Answer To    ${outputs}    ${readings[172:]}

Should Slide The Window Over The Ring
    [Documentation]    Each inference takes 50 new samples; 78 of the earlier ones stay, across the ring's end too.
    ${motion}=    Made Up Motion    378    seed=7
    ${readings}    ${_}=    Sense    ${motion}
    FOR    ${begin}    IN RANGE    50    251    50
        ${outputs}=    Infer From Accelerometer    samples=50    per_g=${PER G}    raw=True
        Should Be The Answer To    ${outputs}    ${{$readings[$begin : $begin + 128]}}
    END

Should Infer The Same Window Again Without New Samples
    ${motion}=    Made Up Motion    ${WINDOW}    seed=8
    ${_}    ${outputs}=    Sense    ${motion}
    ${again}=    Infer From Accelerometer    samples=0    per_g=${PER G}    raw=True
    Should Be Equal    ${outputs[0].tobytes()}    ${again[0].tobytes()}

Should Recognise Recorded Gestures
    [Documentation]    As many as when the host sends them unrounded, give or take one, where ./bench run --data names
    ...    the archive of Magic Wand recordings.
    Skip If    $DATA is None    The recordings are not part of the project: name their archive with --data.
    ${recordings}=    Load Data Set    magic_wand    data=${DATA}
    ${recognised}=    Create List
    ${from_the_host}=    Create List
    FOR    ${number}    IN RANGE    40
        ${sensed}    ${sent}=    Recognise    ${recordings.inputs[${number}]}    ${recordings.labels[${number}]}
        Append To List    ${recognised}    ${sensed}
        Append To List    ${from_the_host}    ${sent}
    END
    Log    ${{sum($recognised)}} of 40 recordings were recognised, from the host ${{sum($from_the_host)}}
    Should Be True    sum($recognised) >= sum($from_the_host) - 1 > 30

Should Say How Many Samples Did Not Come
    [Documentation]    What came stays in the ring, and the next request goes on with it.
    ${motion}=    Made Up Motion    ${WINDOW}    seed=14
    ${first}=    Feed Accelerometer    ${motion[:100]}    per_g=${PER G}
    Run Keyword And Expect Error    *SENSOR_SAMPLES: 100 of 128 new samples came within 50 ms
    ...    Infer From Accelerometer    per_g=${PER G}    wait=0.05
    ${rest}    ${outputs}=    Sense    ${motion[100:]}    samples=28
    Should Be The Answer To    ${outputs}    ${{numpy.concatenate([$first, $rest])}}

Should Refuse A Model That Takes No Window
    ${compiled}=    Compile Model    ${OTHER MODEL}    variant=vector    vlen=${VLEN}
    Load Model    ${compiled}
    Run Keyword And Expect Error    *SESSION_INPUT: 1 inputs of 2400 bytes*at most 128 samples x 3 axes*
    ...    Infer From Accelerometer    samples=1
    [Teardown]    Load Model    ${MODEL}

Should Say How Many Samples A Fresh Chip Lacks
    Reset Chip
    Load Model    ${MODEL}
    ${motion}=    Made Up Motion    60    seed=15
    Run Keyword And Expect Error    *SENSOR_SAMPLES: the model takes a window of 128 samples, 60 came since the start
    ...    Sense    ${motion}    samples=60

Should Name A Missing Accelerometer And Go On
    [Documentation]    The model stays loaded, and inputs from the host are answered as ever.
    Boot Springbok    engine=${ENGINE}    vlen=${VLEN}    sensor=False
    Load Model    ${MODEL}
    Run Keyword And Expect Error    *SENSOR_MISSING: no device answers at I2C address 0x1d
    ...    Infer From Accelerometer    per_g=${PER G}
    ${motion}=    Made Up Motion    ${WINDOW}    seed=16
    Infer    ${motion}
    Run Keyword And Expect Error    *booted without its accelerometer*    Feed Accelerometer    ${motion}


*** Keywords ***
Start Sensing
    [Documentation]    Boots the chip and loads the model.
    Start Bench
    ${compiled}=    Compile Model    ${MODEL FILE}    variant=vector    vlen=${VLEN}
    Set Suite Variable    ${MODEL}    ${compiled}
    Load Model    ${MODEL}

Made Up Motion
    [Documentation]    Returns a motion within ±2 g, in mg, shape (samples, 3): always the same for a seed.
    [Arguments]    ${samples}    ${seed}
    ${steps}=    Evaluate    numpy.random.default_rng(int($seed)).normal(0, 80, (int($samples), 3))    modules=numpy
    RETURN    ${{$steps.cumsum(0).clip(-2000, 2000)}}

Sense
    [Documentation]    Moves the sensor and infers; returns the readings in mg and the outputs.
    [Arguments]    ${motion}    ${samples}=${WINDOW}
    ${readings}=    Feed Accelerometer    ${motion}    per_g=${PER G}
    ${outputs}=    Infer From Accelerometer    samples=${samples}    per_g=${PER G}    raw=True
    RETURN    ${readings}    ${outputs}

Should Be The Answer To
    [Documentation]    To the bit what the chip answers when the host sends it these readings.
    [Arguments]    ${outputs}    ${readings}
    ${sent}=    Infer    ${readings}    raw=True
    Should Be Equal    ${outputs[0].tobytes()}    ${sent[0].tobytes()}

Recognise
    [Documentation]    Returns whether a recording is recognised: by the sensor, and when the host sends it unrounded.
    [Arguments]    ${recording}    ${label}
    ${readings}    ${outputs}=    Sense    ${recording}
    Should Be The Answer To    ${outputs}    ${readings}
    ${unrounded}=    Infer    ${recording}
    RETURN    ${{bool($outputs[0].argmax() == $label)}}    ${{bool($unrounded[0].argmax() == $label)}}

Answers To Motions Should Be Right
    [Documentation]    Four motions, each against the chip's own answer and all against the framework's.
    [Arguments]    ${loaded}
    ${answers}=    Create List
    ${inputs}=    Create List
    FOR    ${seed}    IN RANGE    4
        ${motion}=    Made Up Motion    ${WINDOW}    ${seed}
        ${readings}    ${outputs}=    Sense    ${motion}
        Should Be The Answer To    ${outputs}    ${readings}
        Append To List    ${answers}    ${outputs}
        Append To List    ${inputs}    ${readings}
    END
    Answers Should Be The Frameworks    ${loaded}    ${answers}    ${inputs}
