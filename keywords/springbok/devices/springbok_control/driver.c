// SPDX-License-Identifier: Apache-2.0
// Springbok's control block.
#include "devices.h"

enum { INTR_TEST = 0x08 };

#define INTR_INSTRUCTION_FAULT (1u << 2)
#define INTR_DATA_FAULT (1u << 3)
#define LAST_CAUSE_OF_INSTRUCTIONS 2u

void control_report_trap(uint32_t mcause) {
    register_write(CHIP_CONTROL_BASE + INTR_TEST,
                   mcause <= LAST_CAUSE_OF_INSTRUCTIONS ? INTR_INSTRUCTION_FAULT : INTR_DATA_FAULT);
}
