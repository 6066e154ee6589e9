*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation    The chip's model in Renode, by Renode's own keywords alone: renode-test robot/renode/platform.robot


*** Variables ***
${PLATFORMS}         ${CURDIR}/../../platforms
${REPL}              springbok.repl
${CONTROL}           0x4700000C
${INTR_STATE}        0x47000000
${INTR_ENABLE}       0x47000004
${INTR_TEST}         0x47000008
# Instructions that several programs need
${STAY}              0x0000006F    # here: j here
@{ENABLE UNITS}      0x000022B7    0x20028293    0x3002A073    # csrs mstatus, FS | VS
@{CLEAR MTIMECMP}    0x02004337    0x00032023    0x00032223
@{ENABLE UART}       0x40000337    0x07000293    0x02532623    0x30100293    0x02532823    # LCR_H = 0x70; CR = 0x301
@{SET TRAP}          0x320002B7    0x10028293    0x30529073    # mtvec = 0x32000100


*** Test Cases ***
Should Come Up Halted
    Create Machine
    Register Should Be    ${CONTROL}    3
    Load Program    0x00700513    ${STAY}
    Execute Command    emulation RunFor "0.001"
    ${executed}=    Execute Command    sysbus.cpu ExecutedInstructions
    Should Be Equal As Integers    ${executed}    0

Should Start When Zero Is Written To Control
    Create Machine
    Load Program    0x00700513    ${STAY}    # li a0, 7
    Run Program
    Core Register Should Be    10    7

Should Start At The Offset In Control
    Create Machine
    Load Program    0x00100513    ${STAY}    # li a0, 1
    Load Program    0x00200513    ${STAY}    at=0x32000040    # li a0, 2
    Execute Command    sysbus WriteDoubleWord ${CONTROL} 0x40
    Execute Command    emulation RunFor "0.001"
    Core Register Should Be    10    2

Should Freeze And Go On
    Create Machine
    Load Program    0x00150513    0xFFDFF06F    # here: addi a0, a0, 1; j here
    Run Program
    Execute Command    sysbus WriteDoubleWord ${CONTROL} 1
    ${frozen}=    Executed After A While
    ${still frozen}=    Executed After A While
    Should Be Equal As Integers    ${frozen}    ${still frozen}
    Execute Command    sysbus WriteDoubleWord ${CONTROL} 0
    ${going}=    Executed After A While
    Should Be True    ${going} > ${frozen}

Should Raise And Clear Interrupts
    Create Machine
    Register Should Be    ${INTR_STATE}    0
    Execute Command    sysbus WriteDoubleWord ${INTR_TEST} 0xC
    Register Should Be    ${INTR_STATE}    0xC
    Execute Command    sysbus WriteDoubleWord ${INTR_STATE} 4
    Register Should Be    ${INTR_STATE}    8
    Execute Command    sysbus WriteDoubleWord ${INTR_ENABLE} 0xFF
    Register Should Be    ${INTR_ENABLE}    0xF

Should Keep The Other Registers Of The Control Block
    [Template]    Register Should Keep
    0x47000010    0x12345678    0x12345678    # MemoryBankControl
    0x47000014    0x12345678    0    # ErrorStatus: nothing sets an error
    0x47000018    0x00001000    0x00001000    # InitStart
    0x4700001C    0x00002000    0x00002000    # InitEnd
    0x47000020    0x12345678    2    # InitStatus: done

Should Complain About A Register That Is None
    Create Machine
    Create Log Tester    1
    Execute Command    sysbus ReadDoubleWord 0x47000024
    Wait For Log Entry    read of unknown register 0x24

Should Count Instructions By Xcount And By CSR
    Create Machine
    # xcount a0, 0; xcount a1, 1; csrr a2, 0x7C0; csrr a3, 0x7C1
    Load Program    0x0000157B    0x000095FB    0x7C002673    0x7C1026F3    ${STAY}
    Run Program
    Core Register Should Be    10    0
    Core Register Should Be    11    1
    Core Register Should Be    12    2
    Core Register Should Be    13    3

Should Count One Instruction From Minstret To Minstret
    Create Machine
    Load Program    # csrr a0; csrr a1; sub a0, a1, a0
    ...    0x00000013
    ...    0xB0202573
    ...    0xB02025F3
    ...    0x40A58533
    ...    ${STAY}
    Run Program
    ${executed}=    Execute Command    sysbus.cpu GetRegister 10
    ${executed}=    Convert To Integer    ${executed.strip()}
    Should Be True    1 <= ${executed} <= 2

Should Pause At A Host Request
    Create Machine
    Load Program    0x0000207B    0x00700513    ${STAY}    # hostreq; li a0, 7
    Run Program
    Register Should Be    ${INTR_STATE}    1
    Core Register Should Be    10    0
    Execute Command    sysbus.control Resume
    Execute Command    emulation RunFor "0.001"
    Core Register Should Be    10    7

Should Hold In Reset When Finished
    Create Machine
    Load Program    0x00700513    0x0005307B    0x00900513    ${STAY}    # li a0, 7; finish a0; li a0, 9
    Run Program
    Register Should Be    ${INTR_STATE}    2
    Register Should Be    ${CONTROL}    3
    Core Register Should Be    10    7
    ${code}=    Execute Command    sysbus.cpu ExitCode
    Should Be Equal As Integers    ${code}    7

Should Print
    Create Machine
    Create Log Tester    1
    Execute Command    sysbus WriteDoubleWord 0x34000000 0x00006948
    Load Program    0x34000537    0x00500593    0x00B5017B    ${STAY}    # lui a0, 0x34000; li a1, 5; simprint info
    Run Program
    Wait For Log Entry    info: Hi 5 (0x5)

Should Take A Mark For What It Is
    [Documentation]    A mark changes nothing, whether somebody counts or not.
    Create Machine
    Execute Command    sysbus.cpu CountInstructions true
    Load Program    0x00100513    0x00B5407B    0x00200513    0x00B5407B    0x00700513    ${STAY}
    Run Program
    Core Register Should Be    10    7
    ${counts}=    Counts At Marks
    Should Contain    ${counts}    mark 1 0 1
    Should Contain    ${counts}    block 838860808 1 1
    Should Contain    ${counts}    mark 2 0 3

Should Have The Vectors It Was Given
    [Template]    Chip Should Have Vectors Of
    128
    256
    512
    1024

Should Refuse Vectors Without The Vector Unit
    Create Machine    springbok_scalar.repl
    Load Program    @{ENABLE UNITS}    @{SET TRAP}    0x02840457    ${STAY}    # vadd.vv v8, v8, v8
    Load Trap Handler
    Run Program
    Core Register Should Be    10    2

Should Trap On An Instruction That Is None
    Create Machine
    Load Program    @{SET TRAP}    0x0000707B    ${STAY}    # custom-3, funct3 7
    Load Trap Handler
    Run Program
    Core Register Should Be    10    2

Should Trap On A Misaligned Load
    Create Machine
    Load Program    @{SET TRAP}    0x34000637    0x00162683    ${STAY}    # lui a2, 0x34000; lw a3, 1(a2)
    Load Trap Handler
    Run Program
    Core Register Should Be    10    4

Should Complain About An Address Where Nothing Is
    Create Machine
    Create Log Tester    1
    Load Program    0x50000637    0x00062683    ${STAY}    # lui a2, 0x50000; lw a3, 0(a2)
    Run Program
    Wait For Log Entry    non existing peripheral

Should Send Over The UART Once It Is Enabled
    Create Machine
    Create Terminal Tester    sysbus.uart0    timeout=1
    # DR = '!'
    Load Program    @{ENABLE UART}    0x02100293    0x00532023    ${STAY}
    Execute Command    sysbus WriteDoubleWord ${CONTROL} 0
    Start Emulation
    Wait For Prompt On Uart    !

Should Refuse To Send Before The UART Is Enabled
    Create Machine
    Create Log Tester    1
    Load Program    0x40000337    0x02100293    0x00532023    ${STAY}    # lui t1, 0x40000; DR = '!'
    Run Program
    Wait For Log Entry    UARTEN is disabled

Should Interrupt By The Timer
    Create Machine
    # csrs mie, MTIE; csrs mstatus, MIE
    Load Program    @{SET TRAP}    @{CLEAR MTIMECMP}    0x08000293    0x3042A073    0x30046073    ${STAY}
    Load Trap Handler
    Run Program
    Core Register Should Be    10    0x80000007


*** Keywords ***
Create Machine
    [Documentation]    The chip without firmware, held in reset.
    [Arguments]    ${repl}=${REPL}
    Execute Command    EnsureTypeIsLoaded "Antmicro.Renode.Peripherals.CPU.RiscV32"
    Execute Command    include @${PLATFORMS}/Springbok.cs
    Execute Command    mach create
    Execute Command    machine LoadPlatformDescription @${PLATFORMS}/${repl}

Load Program
    [Documentation]    Puts instructions into the instruction memory.
    [Arguments]    @{words}    ${at}=0x32000000
    FOR    ${number}    ${word}    IN ENUMERATE    @{words}
        ${address}=    Evaluate    hex(int($at, 0) + 4 * ${number})
        Execute Command    sysbus WriteDoubleWord ${address} ${word}
    END

Load Trap Handler
    [Documentation]    At 0x32000100: csrr a0, mcause; csrr a1, mtval; and stay.
    Load Program    0x34202573    0x343025F3    ${STAY}    at=0x32000100

Run Program
    [Documentation]    Releases the core from reset and lets it run for a while.
    Execute Command    sysbus WriteDoubleWord ${CONTROL} 3
    Execute Command    sysbus WriteDoubleWord ${CONTROL} 0
    Execute Command    emulation RunFor "0.001"

Executed After A While
    [Documentation]    Returns how many instructions the core has executed after another moment.
    Execute Command    emulation RunFor "0.001"
    ${executed}=    Execute Command    sysbus.cpu ExecutedInstructions
    ${executed}=    Convert To Integer    ${executed.strip()}
    RETURN    ${executed}

Counts At Marks
    [Documentation]    Returns what the model wrote down at the marks.
    ${file}=    Allocate Temporary File
    Execute Command    sysbus.cpu SaveCounts @${file}
    ${counts}=    Get File    ${file}
    RETURN    ${counts}

Register Should Be
    [Documentation]    A device's register has this value.
    [Arguments]    ${address}    ${value}
    ${found}=    Execute Command    sysbus ReadDoubleWord ${address}
    Should Be Equal As Integers    ${found.strip()}    ${value}

Register Should Keep
    [Documentation]    What is read after this was written.
    [Arguments]    ${address}    ${written}    ${kept}
    Create Machine
    Execute Command    sysbus WriteDoubleWord ${address} ${written}
    Register Should Be    ${address}    ${kept}
    Execute Command    Clear

Core Register Should Be
    [Documentation]    x10 is a0, x11 is a1 and so on.
    [Arguments]    ${number}    ${value}
    ${found}=    Execute Command    sysbus.cpu GetRegister ${number}
    Should Be Equal As Integers    ${found.strip()}    ${value}

Chip Should Have Vectors Of
    [Documentation]    By vlenb and by what a vsetvli for as many elements as there are gives.
    [Arguments]    ${bits}
    Create Machine
    Execute Command    sysbus.cpu VectorRegisterLength ${bits}
    Load Program    @{ENABLE UNITS}    0x0D007557    0xC22025F3    ${STAY}    # vsetvli a0, x0, e32, m1; csrr a1, vlenb
    Run Program
    ${elements}=    Evaluate    ${bits} // 32
    ${bytes}=    Evaluate    ${bits} // 8
    Core Register Should Be    10    ${elements}
    Core Register Should Be    11    ${bytes}
    Execute Command    Clear
