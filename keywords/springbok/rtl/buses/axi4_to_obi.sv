// SPDX-License-Identifier: Apache-2.0
// A master of AXI4 on an OBI bus: bursts (fixed, incrementing, wrapping), identifiers. One burst at a time, its beats one
// by one; a write's answer has an error if any of its beats had one.
module axi4_to_obi #(
    parameter int WIDTH = 32,  // of data
    parameter int ID    = 4
) (
    input  logic               clk,
    input  logic               rst_n,

    input  logic               aw_valid,
    output logic               aw_ready,
    input  logic [ID-1:0]      aw_id,
    input  logic [31:0]        aw_addr,
    input  logic [7:0]         aw_len,
    input  logic [2:0]         aw_size,
    input  logic [1:0]         aw_burst,
    input  logic               w_valid,
    output logic               w_ready,
    input  logic [WIDTH-1:0]   w_data,
    input  logic [WIDTH/8-1:0] w_strb,
    input  logic               w_last,
    output logic               b_valid,
    input  logic               b_ready,
    output logic [ID-1:0]      b_id,
    output logic [1:0]         b_resp,
    input  logic               ar_valid,
    output logic               ar_ready,
    input  logic [ID-1:0]      ar_id,
    input  logic [31:0]        ar_addr,
    input  logic [7:0]         ar_len,
    input  logic [2:0]         ar_size,
    input  logic [1:0]         ar_burst,
    output logic               r_valid,
    input  logic               r_ready,
    output logic [ID-1:0]      r_id,
    output logic [WIDTH-1:0]   r_data,
    output logic [1:0]         r_resp,
    output logic               r_last,

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
    localparam logic [1:0] FIXED = 2'd0, WRAP = 2'd2;

    typedef enum logic [2:0] {
        IDLE,
        READ,
        READ_WAIT,
        READ_ANSWER,
        WRITE,
        WRITE_WAIT,
        WRITE_ANSWER
    } state_t;
    state_t state;
    logic wrote, failed;
    logic [ID-1:0] id;
    logic [31:0] at;
    logic [7:0] left, length;
    logic [2:0] size;
    logic [1:0] burst;
    logic [WIDTH-1:0] data;

    wire takes_write = aw_valid && (!ar_valid || !wrote);
    wire last = left == 8'd0;

    // The next beat's address; a wrapping burst stays in its block of (length + 1) << size bytes.
    wire [31:0] step = 32'd1 << size;
    wire [31:0] block = ({24'd0, length} + 32'd1) << size;
    wire [31:0] aligned = at & ~(step - 32'd1);
    wire [31:0] following = aligned + step;
    wire [31:0] next = burst == FIXED ? at
        : burst == WRAP ? (at & ~(block - 32'd1)) | (following & (block - 32'd1)) : following;

    assign aw_ready = state == IDLE && takes_write;
    assign ar_ready = state == IDLE && ar_valid && !takes_write;
    assign req = state == READ || (state == WRITE && w_valid);
    assign we = state == WRITE;
    assign be = state == WRITE ? w_strb : '1;
    assign addr = at;
    assign wdata = w_data;
    assign w_ready = state == WRITE && gnt;
    assign r_valid = state == READ_ANSWER;
    assign r_id = id;
    assign r_data = data;
    assign r_resp = {failed, 1'b0};
    assign r_last = last;
    assign b_valid = state == WRITE_ANSWER;
    assign b_id = id;
    assign b_resp = {failed, 1'b0};

    always_ff @(posedge clk or negedge rst_n)
        if (!rst_n) begin
            state  <= IDLE;
            wrote  <= 1'b0;
            failed <= 1'b0;
            id     <= '0;
            at     <= '0;
            left   <= '0;
            length <= '0;
            size   <= '0;
            burst  <= '0;
            data   <= '0;
        end else begin
            case (state)
                IDLE:
                if (aw_ready || ar_ready) begin
                    state  <= takes_write ? WRITE : READ;
                    wrote  <= takes_write;
                    failed <= 1'b0;
                    id     <= takes_write ? aw_id : ar_id;
                    at     <= takes_write ? aw_addr : ar_addr;
                    left   <= takes_write ? aw_len : ar_len;
                    length <= takes_write ? aw_len : ar_len;
                    size   <= takes_write ? aw_size : ar_size;
                    burst  <= takes_write ? aw_burst : ar_burst;
                end
                READ: if (gnt) state <= READ_WAIT;
                READ_WAIT:
                if (rvalid) begin
                    state  <= READ_ANSWER;
                    failed <= err;
                    data   <= rdata;
                end
                READ_ANSWER:
                if (r_ready) begin
                    state <= last ? IDLE : READ;
                    at    <= next;
                    left  <= left - 8'd1;
                end
                WRITE: if (w_valid && gnt) state <= WRITE_WAIT;
                WRITE_WAIT:
                if (rvalid) begin
                    state  <= last ? WRITE_ANSWER : WRITE;
                    failed <= failed || err;
                    at     <= next;
                    left   <= left - 8'd1;
                end
                default: if (b_ready) state <= IDLE;
            endcase
        end

    wire unused = &{1'b0, w_last};  // it says what the length says
endmodule
