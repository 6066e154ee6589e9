// SPDX-License-Identifier: Apache-2.0
// The processor's side of a Custom Function Unit that Verilator made C++ of (--prefix Cfu).
#ifndef SPRINGBOK_CFU_H
#define SPRINGBOK_CFU_H

#include <cstdint>

#include "Cfu.h"

class CfuDriver {
  public:
    static constexpr unsigned kLimitCycles = 1000;
    static constexpr uint32_t kLoad = 0, kDot4 = 5; // function identifiers, as in dot4_cfu.v

    void reset() {
        unit_.reset = 1;
        unit_.cmd_valid = unit_.rsp_ready = 0;
        tick();
        unit_.reset = 0;
    }

    // A cycle without a request. What lies on the other inputs must not matter.
    void idle(uint32_t function, uint32_t input0, uint32_t input1) {
        unit_.cmd_valid = 0;
        unit_.rsp_ready = 1;
        set_payload(function, input0, input1);
        tick();
    }

    // One request; the response is not taken before `delay` cycles have passed. False: none came in time.
    bool request(uint32_t function, uint32_t input0, uint32_t input1, uint32_t *answer, unsigned delay = 0) {
        unit_.cmd_valid = 1;
        set_payload(function, input0, input1);
        bool answered = false;
        for (unsigned cycle = 0; cycle < kLimitCycles; cycle++) {
            unit_.rsp_ready = !answered && cycle >= delay;
            unit_.eval();
            bool accepted = unit_.cmd_valid && unit_.cmd_ready;
            if (unit_.rsp_valid && unit_.rsp_ready) {
                *answer = unit_.rsp_payload_outputs_0;
                answered = true;
            }
            tick();
            if (accepted) unit_.cmd_valid = 0;
            if (answered && !unit_.cmd_valid) return true;
        }
        return false;
    }

    void tick() {
        unit_.clk = 1;
        unit_.eval();
        unit_.clk = 0;
        unit_.eval();
    }

  private:
    void set_payload(uint32_t function, uint32_t input0, uint32_t input1) {
        unit_.cmd_payload_function_id = function & 0x3FF;
        unit_.cmd_payload_inputs_0 = input0;
        unit_.cmd_payload_inputs_1 = input1;
    }

    Cfu unit_;
};

#endif
