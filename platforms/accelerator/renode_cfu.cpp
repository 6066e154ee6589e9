// SPDX-License-Identifier: Apache-2.0
// int8_dot as a custom function unit of Renode: connects its ports to the co-simulation library's CFU bus.
// The library is part of Renode's CoSimulationPlugin (IntegrationLibrary); README.md beside says how it is
// built.
#include "src/renode_cfu.h"

#include "Vint8_dot.h"
#include "verilated.h"

static Vint8_dot *unit = new Vint8_dot;

static void evaluate() {
    unit->eval();
}

RenodeAgent *Init() {
    static uint8_t always_ok = 1;
    Cfu *bus = new Cfu();
    bus->clk = &unit->clk;
    bus->rst = &unit->reset;
    bus->req_valid = &unit->cmd_valid;
    bus->req_ready = &unit->cmd_ready;
    bus->req_func_id = &unit->cmd_payload_function_id;
    bus->req_data0 = &unit->cmd_payload_inputs_0;
    bus->req_data1 = &unit->cmd_payload_inputs_1;
    bus->resp_valid = &unit->rsp_valid;
    bus->resp_ready = &unit->rsp_ready;
    bus->resp_ok = &always_ok;
    bus->resp_data = &unit->rsp_payload_outputs_0;
    bus->evaluateModel = &evaluate;
    return new RenodeAgent(bus);
}
