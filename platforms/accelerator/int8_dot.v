// SPDX-License-Identifier: Apache-2.0
// The accelerator's instruction dot4z: the sum of four products of signed bytes.
//
//   rd = rs1[7:0]*rs2[7:0] + rs1[15:8]*rs2[15:8] + rs1[23:16]*rs2[23:16] + rs1[31:24]*rs2[31:24]
//
// On the chip it is custom-3 (0x7b) with funct3 6; the ports are those of a custom function unit, so that Renode can
// co-simulate it. One response a request, a cycle later; a response stays until it is taken. Other functions answer 0.
module int8_dot (
    input  wire        clk,
    input  wire        reset,
    input  wire        cmd_valid,
    output wire        cmd_ready,
    input  wire [9:0]  cmd_payload_function_id,  // funct7, funct3
    input  wire [31:0] cmd_payload_inputs_0,     // rs1
    input  wire [31:0] cmd_payload_inputs_1,     // rs2
    output reg         rsp_valid,
    input  wire        rsp_ready,
    output reg  [31:0] rsp_payload_outputs_0     // rd
);
    localparam [9:0] DOT4Z = 10'd6;

    function signed [31:0] product(input signed [7:0] left, input signed [7:0] right);
        product = left * right;
    endfunction

    wire signed [31:0] product_0 = product(cmd_payload_inputs_0[7:0], cmd_payload_inputs_1[7:0]);
    wire signed [31:0] product_1 = product(cmd_payload_inputs_0[15:8], cmd_payload_inputs_1[15:8]);
    wire signed [31:0] product_2 = product(cmd_payload_inputs_0[23:16], cmd_payload_inputs_1[23:16]);
    wire signed [31:0] product_3 = product(cmd_payload_inputs_0[31:24], cmd_payload_inputs_1[31:24]);
    wire [31:0] sum = product_0 + product_1 + product_2 + product_3;

    assign cmd_ready = !rsp_valid || rsp_ready;

    always @(posedge clk) begin
        if (reset) begin
            rsp_valid <= 1'b0;
            rsp_payload_outputs_0 <= 32'd0;
        end else if (cmd_ready) begin
            rsp_valid <= cmd_valid;
            rsp_payload_outputs_0 <= cmd_payload_function_id == DOT4Z ? sum : 32'd0;
        end
    end
endmodule
