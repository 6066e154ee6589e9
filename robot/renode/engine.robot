*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     What Renode alone gives: its own opcode counters as a second count, accesses over virtual time, call
...               stacks of the guest, a line in virtual time.

Library           OperatingSystem
Library           ${CURDIR}/../../keywords/RenodeLibrary.py
Resource          ../resources/bench.resource

Suite Setup       Start Engine
Suite Teardown    Stop Chip


*** Variables ***
${MODEL FILE}    ${MODELS}/gestures.h5


*** Test Cases ***
Should Count What Renode's Own Counters Count
    [Template]    Counters Should Agree
    vector
    scalar

Should Record Accesses Over Virtual Time
    ${model}=    Compile Model    ${MODEL FILE}
    ${evaluation}=    Evaluate Model    ${model}    ${RECORDINGS}    samples=2
    ${evaluation}=    Record Accesses Over Time    ${evaluation}
    Record Metrics    ${evaluation}
    ${accesses}=    Set Variable    ${evaluation.accesses_over_time}[accesses]
    # The recording has 2400 bytes and came in one frame; its bytes are read from the data register, one by one.
    Should Be True    sum($accesses["uart0 reads"]) > 2400
    Should Be True    sum($accesses["memory reads"]) > sum($accesses["memory writes"]) > 1000

Should Save Call Stacks Of The Guest
    ${model}=    Compile Model    ${MODEL FILE}
    Load Model    ${model}
    ${files}=    Save Guest Profile    ${RECORDINGS.inputs[0:1]}    name=gestures
    ${stacks}=    Get File    ${files}[stacks]
    Should Contain    ${stacks}    interpreter_invoke
    File Should Not Be Empty    ${files}[perfetto]

Should Answer The Same In Virtual Time
    [Documentation]    And each round trip takes the chip the same virtual time, and the same number of instructions but
    ...    for a turn or two of the loop that polls the UART.
    ${model}=    Compile Model    ${MODEL FILE}
    ${over socket}=    Evaluate Model    ${model}    ${RECORDINGS}    samples=3
    Boot Springbok    engine=renode    uart=virtual
    ${in virtual time}=    Evaluate Model    ${model}    ${RECORDINGS}    samples=3
    Should Be Equal    ${in virtual time.quality.outputs.tobytes()}    ${over socket.quality.outputs.tobytes()}
    Instruction Counts Should Be Equal    ${in virtual time}    ${over socket}
    ${first}    ${first time}=    Cost Of A Round Trip
    FOR    ${_}    IN RANGE    3
        ${next}    ${time}=    Cost Of A Round Trip
        Should Be True    abs(${next} - ${first}) < 100
        Should Be Equal    ${time}    ${first time}
    END
    [Teardown]    Start Engine

Should Come Up As At Power-On After A Reset
    Write Memory    0x34F00000    ${{b"left over"}}
    Reset Chip
    ${content}=    Read Memory    0x34F00000    9
    Should Be Equal    ${content}    ${{bytes(9)}}
    ${chip}=    Get Chip Information
    Should Be Equal As Strings    ${chip}[model_state]    0

Should Say What The Core Does
    Get Chip Information
    Pause Chip
    ${state}=    Describe Chip State
    Should Start With    ${state}    The core is paused at pc
    Resume Chip


*** Keywords ***
Start Engine
    [Documentation]    Boots the usual chip, or skips where no renode-test runs this suite.
    Need Renode
    Boot Springbok    engine=renode
    ${recordings}=    Load Data Set    basic_motions
    Set Suite Variable    ${RECORDINGS}    ${recordings}

Counters Should Agree
    [Documentation]    Blocks, Renode's counters and the core's own counter tell the same.
    [Arguments]    ${variant}
    ${model}=    Compile Model    ${MODEL FILE}    variant=${variant}
    Renodes Own Counters Should Agree    ${model}    ${RECORDINGS}

Cost Of A Round Trip
    [Documentation]    Returns what the core executed from an inference's request to its answer, and virtual seconds.
    ${before}=    Get Chip Counters
    ${started}=    Virtual Seconds
    Infer    ${RECORDINGS.inputs[0:1]}
    ${ended}=    Virtual Seconds
    ${after}=    Get Chip Counters
    ${executed}=    Evaluate    ${after}[instructions] - ${before}[instructions]
    ${seconds}=    Evaluate    round(${ended} - ${started}, 6)
    RETURN    ${executed}    ${seconds}

Virtual Seconds
    [Documentation]    Returns how long the chip has run by its own clock; the suite never gets to a minute.
    ${answer}=    Execute Command    machine ElapsedVirtualTime
    ${seconds}=    Evaluate    float(re.search(r"TimeElapsed = 00:00:([0-9.]+)", $answer)[1])    modules=re
    RETURN    ${seconds}
