// SPDX-License-Identifier: Apache-2.0
// dot4 as a Custom Function Unit: a request with two operands, a response with one result, each with valid and ready.
// Signals and function identifiers ({funct7, funct3}) are those of CFU Playground, which Renode co-simulates.
//
// The chip's instruction reads rd as a third operand. A CFU has two, so the accumulator is kept here:
//   LOAD  accumulator = operand 0; responds with it
//   DOT4  accumulator = accumulator + dot product of the operands; responds with it
// Any other function responds with 0 and changes nothing. A request is answered in the cycle that accepts it.
`default_nettype none

module dot4_cfu #(
    parameter [9:0] LOAD = 10'd0,
    parameter [9:0] DOT4 = 10'd5
) (
    input  wire        clk,
    input  wire        reset,
    input  wire        cmd_valid,
    output wire        cmd_ready,
    input  wire [9:0]  cmd_payload_function_id,
    input  wire [31:0] cmd_payload_inputs_0,
    input  wire [31:0] cmd_payload_inputs_1,
    output wire        rsp_valid,
    input  wire        rsp_ready,
    output wire [31:0] rsp_payload_outputs_0
);
    reg  [31:0] accumulator;
    wire [31:0] sum;

    dot_accumulate unit (
        .a(cmd_payload_inputs_0), .b(cmd_payload_inputs_1), .addend(accumulator), .result(sum)
    );

    wire is_load = cmd_payload_function_id == LOAD;
    wire is_dot4 = cmd_payload_function_id == DOT4;

    assign cmd_ready = rsp_ready;
    assign rsp_valid = cmd_valid;
    assign rsp_payload_outputs_0 = is_load ? cmd_payload_inputs_0 : is_dot4 ? sum : 32'd0;

    always @(posedge clk)
        if (reset) accumulator <= 32'd0;
        else if (cmd_valid && rsp_ready && (is_load || is_dot4)) accumulator <= rsp_payload_outputs_0;
endmodule

`default_nettype wire
