// SPDX-License-Identifier: Apache-2.0
#include "board.h"
#include "session.h"

int main(void) {
    board_init();
    session_init();
    for (;;)
        session_poll();
}
