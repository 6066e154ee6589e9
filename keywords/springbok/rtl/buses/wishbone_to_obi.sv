// SPDX-License-Identifier: Apache-2.0
// A master of Wishbone B4 (classic cycles) on an OBI bus. One transfer at a time.
module wishbone_to_obi #(
    parameter int WIDTH = 32  // of data
) (
    input  logic               clk,
    input  logic               rst_n,

    input  logic               wb_cyc,
    input  logic               wb_stb,
    input  logic               wb_we,
    input  logic [31:0]        wb_adr,  // of bytes
    input  logic [WIDTH/8-1:0] wb_sel,
    input  logic [WIDTH-1:0]   wb_dat_w,
    output logic               wb_ack,
    output logic               wb_err,
    output logic [WIDTH-1:0]   wb_dat_r,

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
    logic waiting;

    assign req = wb_cyc && wb_stb && !waiting;
    assign we = wb_we;
    assign be = wb_sel;
    assign addr = wb_adr;
    assign wdata = wb_dat_w;

    assign wb_ack = waiting && rvalid && !err;
    assign wb_err = waiting && rvalid && err;
    assign wb_dat_r = rdata;

    always_ff @(posedge clk or negedge rst_n)
        if (!rst_n) waiting <= 1'b0;
        else if (req && gnt) waiting <= 1'b1;
        else if (rvalid) waiting <= 1'b0;
endmodule
