// SPDX-License-Identifier: Apache-2.0
// bench OPERANDS: runs the unit and its model on triples of 32-bit words (rs1, rs2, rd) and prints one JSON
// object:
// {"checked": N, "mismatches": [[index, expected, got], ...], "unanswered": index or null}.
// Idle cycles, late responses and unknown functions come in between, seeded: none of them may change a
// result.
#include <cstdio>

#include "cfu.h"

extern "C" uint32_t dot4(uint32_t rs1, uint32_t rs2, uint32_t rd); // dot4_model.c

static uint32_t random_word() {
    static uint32_t state = 1; // xorshift32
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

static bool run(CfuDriver &unit, const uint32_t operands[3], uint32_t *got) {
    uint32_t chance = random_word(), ignored;
    if (chance % 8 == 0) unit.idle(CfuDriver::kDot4, random_word(), random_word());
    if (!unit.request(CfuDriver::kLoad, operands[2], random_word(), &ignored, chance >> 8 & 1)) return false;
    if (chance % 8 == 1) unit.idle(CfuDriver::kDot4, random_word(), random_word());
    if (chance % 8 == 2 && !unit.request(1 + (chance >> 16) % 4, random_word(), random_word(), &ignored))
        return false;
    return unit.request(CfuDriver::kDot4, operands[0], operands[1], got, chance >> 9 & 1);
}

int main(int argc, char **argv) {
    std::FILE *file = argc == 2 ? std::fopen(argv[1], "rb") : nullptr;
    if (!file) return 2;
    CfuDriver unit;
    unit.reset();
    std::printf("{\"mismatches\": [");
    uint32_t operands[3], got = 0;
    long checked = 0, mismatches = 0, unanswered = -1;
    for (; unanswered < 0 && std::fread(operands, sizeof operands, 1, file) == 1; checked++) {
        if (!run(unit, operands, &got)) {
            unanswered = checked;
            break;
        }
        uint32_t expected = dot4(operands[0], operands[1], operands[2]);
        if (got != expected) std::printf("%s[%ld, %u, %u]", mismatches++ ? ", " : "", checked, expected, got);
    }
    std::fclose(file);
    std::printf("], \"checked\": %ld, \"unanswered\": ", checked);
    if (unanswered < 0)
        std::printf("null}\n");
    else
        std::printf("%ld}\n", unanswered);
}
