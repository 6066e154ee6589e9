*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation    Exploration: what the gesture model costs in other configurations than the usual one. A row of the
...              template is a configuration with its limits.

Library          ../keywords/SweepLibrary.py


*** Variables ***
${MODEL FILE}    ${CURDIR}/../models/gestures.h5


*** Test Cases ***
Should Keep Limits In Every Configuration
    [Template]    Configuration Should Keep Limits
    ${MODEL FILE}    float32    scalar    512    samples=4    instructions=1200000    accuracy=1
    ${MODEL FILE}    float32    vector    1024    samples=4    instructions=850000    accuracy=1
    ${MODEL FILE}    int8    vector    512    samples=4    module_bytes=30000    accuracy=1

Should Name The Best Configuration
    ${rows}=    Sweep Configurations    ${MODEL FILE}    variants=scalar,vector    samples=4
    Best Configuration Should Be    ${rows}    gestures float32 vector VLEN 512    accuracy=0.95
