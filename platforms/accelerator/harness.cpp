// SPDX-License-Identifier: Apache-2.0
// Drives int8_dot: reads pairs of operands (two 32-bit words each) from standard input and writes the
// responses to standard output, by turns in two ways: with idle cycles and a receiver that is not ready, from
// a fixed seed, where a response that is not taken has to stay as it is; and as Renode does, which holds the
// request until the response. Exit status: 0, or 3 with a sentence on standard error.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "Vint8_dot.h"
#include "verilated.h"

double sc_time_stamp() {
    return 0;
}

namespace {

const unsigned DOT4Z = 6;
const int PATIENCE_CYCLES = 64;

uint32_t seed = 1;

uint32_t next_random() { // xorshift32
    seed ^= seed << 13;
    seed ^= seed >> 17;
    return seed ^= seed << 5;
}

void rise(Vint8_dot &unit) {
    unit.clk = 1;
    unit.eval();
    unit.clk = 0;
    unit.eval();
}

[[noreturn]] void fail(const char *what, unsigned long number) {
    std::fprintf(stderr, "%s at request %lu\n", what, number);
    std::exit(3);
}

uint32_t held_request(Vint8_dot &unit, const uint32_t *operands, unsigned long number) {
    unit.cmd_valid = unit.rsp_ready = 1;
    unit.cmd_payload_function_id = DOT4Z;
    unit.cmd_payload_inputs_0 = operands[0];
    unit.cmd_payload_inputs_1 = operands[1];
    unit.eval();
    for (int cycle = 0; !unit.rsp_valid; cycle++) {
        if (cycle == PATIENCE_CYCLES) fail("the unit does not answer", number);
        rise(unit);
    }
    uint32_t answer = unit.rsp_payload_outputs_0;
    unit.cmd_valid = 0;
    unit.eval();
    rise(unit);
    if (unit.rsp_valid) fail("one request got two responses", number);
    return answer;
}

uint32_t request(Vint8_dot &unit, const uint32_t *operands, unsigned long number) {
    unit.cmd_valid = 1;
    unit.cmd_payload_function_id = DOT4Z;
    unit.cmd_payload_inputs_0 = operands[0];
    unit.cmd_payload_inputs_1 = operands[1];
    unit.rsp_ready = 0;
    unit.eval();
    for (int cycle = 0; !unit.cmd_ready; cycle++) {
        if (cycle == PATIENCE_CYCLES) fail("the unit does not take the request", number);
        rise(unit);
    }
    rise(unit);
    unit.cmd_valid = 0;
    unit.cmd_payload_inputs_0 = next_random(); // what comes after the request must not matter
    unit.cmd_payload_inputs_1 = next_random();
    unit.eval();
    for (int cycle = 0; !unit.rsp_valid; cycle++) {
        if (cycle == PATIENCE_CYCLES) fail("the unit does not answer", number);
        rise(unit);
    }
    uint32_t answer = unit.rsp_payload_outputs_0;
    for (uint32_t wait = next_random() % 4; wait > 0; wait--) {
        rise(unit);
        if (!unit.rsp_valid || unit.rsp_payload_outputs_0 != answer)
            fail("a response that was not taken did not stay", number);
    }
    unit.rsp_ready = 1;
    unit.eval();
    rise(unit);
    if (unit.rsp_valid) fail("one request got two responses", number);
    for (uint32_t idle = next_random() % 3; idle > 0; idle--)
        rise(unit);
    return answer;
}

} // namespace

int main(int count, char **arguments) {
    Verilated::commandArgs(count, arguments);
    Vint8_dot unit;
    unit.reset = 1;
    rise(unit);
    unit.reset = 0;
    rise(unit);
    uint32_t operands[2];
    for (unsigned long number = 0; std::fread(operands, sizeof operands, 1, stdin) == 1; number++) {
        uint32_t answer = number % 2 ? held_request(unit, operands, number) : request(unit, operands, number);
        std::fwrite(&answer, sizeof answer, 1, stdout);
    }
    return 0;
}
