*** Comments ***
SPDX-License-Identifier: Apache-2.0


*** Settings ***
Documentation     Modules with flipped bits, overwritten bytes, cut ends and misplaced pieces, sent over the UART: each
...               is refused with a reason or runs to an answer, and after each one the undamaged module still gives
...               the right answer. A thousand of them: ./bench trial mutation.
...               And modules whose machine code is damaged, which no verifier can refuse: ./bench trial machine-code.

Library           ../keywords/ConformanceLibrary.py
Resource          resources/bench.resource

Suite Setup       Start Bench
Suite Teardown    Stop Chip


*** Test Cases ***
Should Survive Damaged Modules
    Damaged Modules Should Do No Harm    count=40    seed=1

Should Survive Damaged Machine Code
    Damaged Machine Code Should Do No Harm    count=40    seed=1
