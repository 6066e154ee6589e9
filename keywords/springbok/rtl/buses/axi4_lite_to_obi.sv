// SPDX-License-Identifier: Apache-2.0
// A master of AXI4-Lite on an OBI bus. One transfer at a time; reads and writes take turns.
module axi4_lite_to_obi #(
    parameter int WIDTH = 32  // of data
) (
    input  logic               clk,
    input  logic               rst_n,

    input  logic               aw_valid,
    output logic               aw_ready,
    input  logic [31:0]        aw_addr,
    input  logic               w_valid,
    output logic               w_ready,
    input  logic [WIDTH-1:0]   w_data,
    input  logic [WIDTH/8-1:0] w_strb,
    output logic               b_valid,
    input  logic               b_ready,
    output logic [1:0]         b_resp,
    input  logic               ar_valid,
    output logic               ar_ready,
    input  logic [31:0]        ar_addr,
    output logic               r_valid,
    input  logic               r_ready,
    output logic [WIDTH-1:0]   r_data,
    output logic [1:0]         r_resp,

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
    typedef enum logic [1:0] {
        IDLE,
        WAIT,
        ANSWER
    } state_t;
    state_t state;
    logic writes, wrote, failed;
    logic [WIDTH-1:0] data;

    wire write_comes = aw_valid && w_valid;
    wire takes_write = write_comes && (!ar_valid || !wrote);
    wire free = state == IDLE;

    assign req = free && (write_comes || ar_valid);
    assign we = takes_write;
    assign addr = takes_write ? aw_addr : ar_addr;
    assign be = takes_write ? w_strb : '1;
    assign wdata = w_data;
    assign aw_ready = free && takes_write && gnt;
    assign w_ready = aw_ready;
    assign ar_ready = free && ar_valid && !takes_write && gnt;

    assign b_valid = state == ANSWER && writes;
    assign r_valid = state == ANSWER && !writes;
    assign b_resp = {failed, 1'b0};
    assign r_resp = {failed, 1'b0};
    assign r_data = data;

    always_ff @(posedge clk or negedge rst_n)
        if (!rst_n) begin
            state  <= IDLE;
            writes <= 1'b0;
            wrote  <= 1'b0;
            failed <= 1'b0;
            data   <= '0;
        end else begin
            case (state)
                IDLE:
                if (req && gnt) begin
                    state  <= WAIT;
                    writes <= takes_write;
                    wrote  <= takes_write;
                end
                WAIT:
                if (rvalid) begin
                    state  <= ANSWER;
                    failed <= err;
                    data   <= rdata;
                end
                default: if (writes ? b_ready : r_ready) state <= IDLE;
            endcase
        end
endmodule
