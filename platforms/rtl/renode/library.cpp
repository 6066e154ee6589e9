// SPDX-License-Identifier: Apache-2.0
// The unit as a library that Renode's CoSimulated.CoSimulatedCFU loads. The functions and their meaning are
// those that CoSimulatedCFU and LibraryConnection bind (Renode 1.16.1, src/Plugins/CoSimulationPlugin).
#include "../cfu.h"

namespace {
CfuDriver unit;
enum Status { kOk = 0, kTimeout = 2 };
} // namespace

extern "C" {

void initialize_native() {
    unit.reset();
}

void reset_peripheral() {
    unit.reset();
}

// Messages of a connection that has a clock or a bus. This one has neither: its clock runs while it is asked.
void handle_request(void *) {}

uint64_t execute(uint32_t function, uint32_t input0, uint32_t input1, int *error) {
    uint32_t answer = 0;
    *error = unit.request(function, input0, input1, &answer) ? kOk : kTimeout;
    return answer;
}
}
