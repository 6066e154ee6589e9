*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     The link can be trusted. Clients of 2023 are served as ever; the eight defects of the firmware and the
...               client of that year are survived, each with the right error; and on a line that flips, loses, doubles
...               and delays bytes, the right answer comes all the same.

Library           ${CURDIR}/../keywords/FaultLibrary.py
Library           ${CURDIR}/../keywords/tests/client_2023.py
Resource          resources/bench.resource

Suite Setup       Start Link
Suite Teardown    Stop Chip


*** Variables ***
${MODEL FILE}    ${MODELS}/gestures.h5
@{SHAPE}         100    6    1
${CLASSES}       4


*** Test Cases ***
Should Serve A Client Of 2023
    [Documentation]    IOSPEC, MODEL, DATA, PROCESS, OUTPUT, STATS by a client that shares no code with this project's.
    [Setup]    Take The Line
    ${specification}=    Specification    ${SHAPE}    ${CLASSES}
    ${output}    ${statistics}=    Whole Dialogue    ${specification}    ${MODULE}    ${DATA BYTES}
    Should Be Equal    ${output}    ${ANSWER BYTES}
    Should Be True    ${statistics}[3] > 0
    [Teardown]    Give The Line Back

Should Find The Extension And Give The Same Answer
    ${outputs}=    Infer    ${RECORDING}
    Should Be Equal    ${outputs[0].tobytes()}    ${ANSWER BYTES}
    Connect Runtime    extension=${False}
    Load Model    ${MODEL}
    ${outputs}=    Infer    ${RECORDING}
    Should Be Equal    ${outputs[0].tobytes()}    ${ANSWER BYTES}
    [Teardown]    Give The Line Back

Should Tell What The Module Takes And Gives
    ${signature}=    Get Module Signature
    Should Be Equal    ${signature}[inputs][0][dtype]    float32
    Should Be Equal As Integers    ${signature}[outputs][0][shape][1]    ${CLASSES}

Defect 1 Should Be Gone: A Message Type Without A Bound
    [Setup]    Take The Line
    ${refusal}=    Refusal Of    ${{struct.pack("<IH", 2, 0xFFFF)}}
    Should Start With    ${refusal}    LINK_TYPE: message type 65535
    [Teardown]    Old Client Should Be Served

Defect 2 Should Be Gone: A Size That Underflows
    [Setup]    Take The Line
    [Template]    Size Should Be Refused
    0
    1
    [Teardown]    Old Client Should Be Served

Defect 3 Should Be Gone: The Largest Message Overflows Its Buffer
    [Documentation]    One byte more than there is room for is refused; the buffer's neighbours stay as they are.
    [Setup]    Take The Line
    ${information}=    Request    8
    ${refusal}=    Refusal Of
    ...    ${{struct.pack("<IH", int.from_bytes($information[16:20], "little") + 1, 3) + bytes(10)}}
    Should Start With    ${refusal}    LINK_SIZE: MODEL of
    [Teardown]    Old Client Should Be Served

Defect 4 Should Be Gone: Out Of Step For Ever After A Big Message Or A Stall
    [Setup]    Take The Line
    ${refusal}=    Refusal Of    ${{struct.pack("<IH", 0x7FFFFFFF, 2) + bytes(3000)}}
    Should Start With    ${refusal}    LINK_SIZE
    ${refusal}=    Refusal Of    ${{struct.pack("<IH", 162, 7) + bytes(100)}}
    Should Start With    ${refusal}    LINK_STALL
    [Teardown]    Old Client Should Be Served

Defect 5 Should Be Gone: A Specification That Contradicts Itself
    [Setup]    Take The Line
    ${endless name}=    Specification    ${SHAPE}    ${CLASSES}    entry=${{b"x" * 20}}
    Specification Should Be Refused    ${endless name}    entry_func is not terminated
    ${wrong length}=    Specification    ${SHAPE}    ${CLASSES}    input_length=601
    Specification Should Be Refused    ${wrong length}    input_length[0] is 601, but input_shape has 600
    ${overflow}=    Specification    ${{[65536, 65536, 16]}}    ${CLASSES}    input_length=0
    Specification Should Be Refused    ${overflow}    is too large
    [Teardown]    Old Client Should Be Served

Defect 6 Should Be Gone: An Output Length That Nothing Checks
    [Setup]    Take The Line
    ${specification}=    Specification    ${SHAPE}    5
    Request    7    ${specification}
    ${refusal}=    Refusal Of    ${{struct.pack("<IH", 2 + len($MODULE), 3) + $MODULE}}
    Should Start With    ${refusal}    SESSION_MISMATCH: output 0: the specification says 5 elements
    [Teardown]    Old Client Should Be Served

Defect 7 Should Be Gone: The Client Takes Bytes Of The Next Message
    [Documentation]    Bytes that follow an answer at once belong to no answer: the next one is right.
    [Setup]    Start Fault Proxy    extension=${False}
    Load Model    ${MODEL}
    Duplicate    22    direction=host    after=12
    Run Keyword And Ignore Error    Infer    ${RECORDING}
    ${outputs}=    Infer    ${RECORDING}
    Should Be Equal    ${outputs[0].tobytes()}    ${ANSWER BYTES}
    [Teardown]    Give The Line Back

Defect 8 Should Be Gone: An Input Of Which Only A Part Arrives
    [Setup]    Take The Line
    ${specification}=    Specification    ${SHAPE}    ${CLASSES}
    Request    7    ${specification}
    Request    3    ${MODULE}
    ${refusal}=    Refusal Of    ${{struct.pack("<IH", 602, 2) + $DATA_BYTES[:600]}}
    Should Start With    ${refusal}    SESSION_INPUT: DATA of 600 bytes, the model takes 2400
    [Teardown]    Old Client Should Be Served

Should Answer Rightly When Bytes Are Flipped Or Doubled Or Foreign
    [Setup]    Use The Bad Line
    [Template]    Fault Should Cost No Answer
    Corrupt Next Bytes    1    device    3
    Corrupt Next Bytes    5    device    500
    Corrupt Next Bytes    1    host    2
    Corrupt Next Bytes    3    host    18
    Duplicate    1    device    7
    Duplicate    4    host    16
    Insert Bytes    ${{bytes(range(100))}}    device
    Insert Bytes    ${{bytes(range(100))}}    host
    [Teardown]    Give The Line Back

Should Answer Rightly When Bytes Are Lost Or Late
    [Setup]    Use The Bad Line
    [Template]    Fault Should Cost No Answer
    Drop    1    device    1000
    Drop    3000    device
    Drop    1    host    5
    Drop    36    host
    Stall    0.5    device    200
    Stall    0.5    host    10
    [Teardown]    Give The Line Back

Should Go On After The Cable Was Cut
    [Setup]    Use The Bad Line
    Cut
    Run Keyword And Expect Error    *was lost during INFER*    Infer    ${RECORDING}
    Reconnect Runtime
    Load Model    ${MODEL}
    Answer Should Be Right
    [Teardown]    Give The Line Back

Should Report What Happened On The Line
    [Setup]    Use The Bad Line
    Corrupt Next Bytes    1    direction=device    after=100
    Answer Should Be Right
    ${report}=    Get Link Report
    Should Be Equal As Integers    ${report}[refused_requests]    1
    # What a loaded machine made late was asked about, and may have been sent again too.
    ${others}=    Evaluate    ${report}[retransmissions] - ${report}[damaged_answers]
    Should Be True    1 <= ${others} <= 1 + ${report}[unanswered]
    [Teardown]    Give The Line Back


*** Keywords ***
Start Link
    [Documentation]    Boots the chip and keeps the right answer to one recording.
    Start Bench
    ${recordings}=    Load Data Set    basic_motions
    ${model}=    Compile Model    ${MODEL FILE}    vlen=${VLEN}
    Load Model    ${model}
    Set Suite Variable    ${MODEL}    ${model}
    Set Suite Variable    ${MODULE}    ${model.vmfb.read_bytes()}
    Set Suite Variable    ${RECORDING}    ${recordings.inputs[0:1]}
    Keep The Right Answer

Keep The Right Answer
    [Documentation]    Bytes of the recording and of the model's answer to it, over the good line.
    ${outputs}=    Infer    ${RECORDING}
    Set Suite Variable    ${DATA BYTES}    ${RECORDING.tobytes()}
    Set Suite Variable    ${ANSWER BYTES}    ${outputs[0].tobytes()}

Take The Line
    [Documentation]    The old client in place of this project's.
    Skip If    $ENGINE == 'serial'    The client of 2023 here speaks over a socket only, and a board is at a port.
    Disconnect Runtime
    ${url}=    Get Uart Url
    Connect Old Client    ${url}

Give The Line Back
    [Documentation]    This project's client directly at the chip, with the model loaded.
    Close Old Client
    Stop Fault Proxy
    Connect Runtime
    Load Model    ${MODEL}
    Answer Should Be Right

Old Client Should Be Served
    [Documentation]    After a refusal the same connection serves a whole dialogue.
    ${specification}=    Specification    ${SHAPE}    ${CLASSES}
    ${output}    ${statistics}=    Whole Dialogue    ${specification}    ${MODULE}    ${DATA BYTES}
    Should Be Equal    ${output}    ${ANSWER BYTES}
    Log    ${statistics}
    Give The Line Back

Use The Bad Line
    [Documentation]    This project's client through a cable that faults can be armed in.
    Start Fault Proxy    seed=1
    Load Model    ${MODEL}

Size Should Be Refused
    [Documentation]    A frame of this size is refused once the line is silent.
    [Arguments]    ${size}
    ${refusal}=    Refusal Of    ${{struct.pack("<IH", ${size}, 3)}}
    Should Start With    ${refusal}    LINK_SIZE: message_size ${size}

Specification Should Be Refused
    [Documentation]    The specification is refused with this reason.
    [Arguments]    ${specification}    ${reason}
    ${refusal}=    Refusal Of    ${{struct.pack("<IH", 162, 7) + $specification}}
    Should Contain    ${refusal}    ${reason}

Fault Should Cost No Answer
    [Documentation]    The fault strikes during an inference, whose answer is right all the same.
    [Arguments]    ${fault}    ${what}    ${direction}    ${after}=0
    Run Keyword    ${fault}    ${what}    direction=${direction}    after=${after}
    Answer Should Be Right
    Answer Should Be Right

Answer Should Be Right
    [Documentation]    One inference gives the bytes that it gave on a good line.
    ${outputs}=    Infer    ${RECORDING}
    Should Be Equal    ${outputs[0].tobytes()}    ${ANSWER BYTES}
