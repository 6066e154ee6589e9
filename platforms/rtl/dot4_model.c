// SPDX-License-Identifier: Apache-2.0
// What dot4 computes. The RTL and the simulators' implementations are checked against this function.
#include <stdint.h>

// Value of byte `lane`, lane 0 the lowest, as a signed number.
static int32_t lane_of(uint32_t word, unsigned lane) {
    uint32_t byte = word >> (8 * lane) & 0xFF;
    return byte < 128 ? (int32_t)byte : (int32_t)byte - 256;
}

// New value of rd: rd plus the products of the four lanes, modulo 2**32.
uint32_t dot4(uint32_t rs1, uint32_t rs2, uint32_t rd) {
    for (unsigned lane = 0; lane < 4; lane++)
        rd += (uint32_t)(lane_of(rs1, lane) * lane_of(rs2, lane));
    return rd;
}
