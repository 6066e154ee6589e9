// SPDX-License-Identifier: Apache-2.0
// result = addend + a[0] * b[0] + ... + a[LANES-1] * b[LANES-1], modulo 2**RESULT_BITS. Lanes are signed numbers of
// LANE_BITS bits, lane 0 in the lowest bits. Combinational; RESULT_BITS > LANE_BITS.
`default_nettype none

module dot_accumulate #(
    parameter LANES = 4,
    parameter LANE_BITS = 8,
    parameter RESULT_BITS = 32
) (
    input  wire [LANES*LANE_BITS-1:0] a,
    input  wire [LANES*LANE_BITS-1:0] b,
    input  wire [RESULT_BITS-1:0]     addend,
    output reg  [RESULT_BITS-1:0]     result
);
    localparam SIGN_COPIES = RESULT_BITS - LANE_BITS;

    integer lane;
    reg signed [RESULT_BITS-1:0] x, y;

    always @* begin
        result = addend;
        for (lane = 0; lane < LANES; lane = lane + 1) begin
            x = {{SIGN_COPIES{a[lane*LANE_BITS+LANE_BITS-1]}}, a[lane*LANE_BITS +: LANE_BITS]};
            y = {{SIGN_COPIES{b[lane*LANE_BITS+LANE_BITS-1]}}, b[lane*LANE_BITS +: LANE_BITS]};
            result = result + x * y;
        end
    end
endmodule

`default_nettype wire
