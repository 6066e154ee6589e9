// SPDX-License-Identifier: Apache-2.0
// A master of TileLink Uncached Lightweight on an OBI bus: Get, PutFullData, PutPartialData. One message at a time.
module tilelink_ul_to_obi #(
    parameter int WIDTH  = 32,  // of data
    parameter int SOURCE = 4
) (
    input  logic               clk,
    input  logic               rst_n,

    input  logic               a_valid,
    output logic               a_ready,
    input  logic [2:0]         a_opcode,
    input  logic [2:0]         a_size,
    input  logic [SOURCE-1:0]  a_source,
    input  logic [31:0]        a_address,
    input  logic [WIDTH/8-1:0] a_mask,
    input  logic [WIDTH-1:0]   a_data,
    output logic               d_valid,
    input  logic               d_ready,
    output logic [2:0]         d_opcode,
    output logic [2:0]         d_size,
    output logic [SOURCE-1:0]  d_source,
    output logic [WIDTH-1:0]   d_data,
    output logic               d_denied,

    output logic               req,
    input  logic               gnt,
    output logic               we,
    output logic [WIDTH/8-1:0] be,
    output logic [31:0]        addr,
    output logic [WIDTH-1:0]   wdata,
    input  logic               rvalid,
    input  logic [WIDTH-1:0]   rdata,
    input  logic               err
);
    localparam logic [2:0] GET = 3'd4;
    localparam logic [2:0] ACCESS_ACK = 3'd0, ACCESS_ACK_DATA = 3'd1;

    typedef enum logic [1:0] {
        IDLE,
        WAIT,
        ANSWER
    } state_t;
    state_t state;

    assign req = state == IDLE && a_valid;
    assign a_ready = state == IDLE && gnt;
    assign we = a_opcode != GET;
    assign be = a_mask;
    assign addr = a_address;
    assign wdata = a_data;
    assign d_valid = state == ANSWER;

    always_ff @(posedge clk or negedge rst_n)
        if (!rst_n) begin
            state    <= IDLE;
            d_opcode <= ACCESS_ACK;
            d_size   <= '0;
            d_source <= '0;
            d_data   <= '0;
            d_denied <= 1'b0;
        end else begin
            case (state)
                IDLE:
                if (req && gnt) begin
                    state    <= WAIT;
                    d_opcode <= we ? ACCESS_ACK : ACCESS_ACK_DATA;
                    d_size   <= a_size;
                    d_source <= a_source;
                end
                WAIT:
                if (rvalid) begin
                    state    <= ANSWER;
                    d_data   <= rdata;
                    d_denied <= err;
                end
                default: if (d_ready) state <= IDLE;
            endcase
        end
endmodule
