// SPDX-License-Identifier: Apache-2.0
// VexRiscv behind the engine's ports: both of its Wishbone buses by adapters. It asks for no more than an answer, be it
// an error, and what retires stands in its last stage.
module springbok_core (
    input  logic        clk,
    input  logic        rst_n,
    input  logic [31:0] boot_addr,
    input  logic        irq_software,
    input  logic        irq_timer,

    output logic        i_req,
    input  logic        i_gnt,
    output logic [31:0] i_addr,
    input  logic        i_rvalid,
    input  logic [31:0] i_rdata,
    input  logic        i_err,

    output logic        d_req,
    input  logic        d_gnt,
    output logic        d_we,
    output logic [ 3:0] d_be,
    output logic [31:0] d_addr,
    output logic [31:0] d_wdata,
    input  logic        d_rvalid,
    input  logic [31:0] d_rdata,
    input  logic        d_err,

    output logic        rvfi_valid,
    output logic [31:0] rvfi_insn,
    output logic        rvfi_trap,
    output logic        rvfi_intr,
    output logic [31:0] rvfi_pc_rdata,
    output logic [ 4:0] rvfi_rd_addr,
    output logic [31:0] rvfi_rd_wdata
);
    logic i_cyc, i_stb, i_we, i_ack, i_fails, d_cyc, d_stb, d_writes, d_ack, d_fails;
    logic [29:0] i_word, d_word;
    logic [31:0] i_read, i_written, d_read, d_written;
    logic [3:0] i_sel, d_sel;

    VexRiscv core (
        .externalResetVector(boot_addr),
        .timerInterrupt(irq_timer),
        .softwareInterrupt(irq_software),
        .externalInterruptArray(32'h0),
        .iBusWishbone_CYC(i_cyc),
        .iBusWishbone_STB(i_stb),
        .iBusWishbone_ACK(i_ack || i_fails),
        .iBusWishbone_WE(i_we),
        .iBusWishbone_ADR(i_word),
        .iBusWishbone_DAT_MISO(i_read),
        .iBusWishbone_DAT_MOSI(i_written),
        .iBusWishbone_SEL(i_sel),
        .iBusWishbone_ERR(i_fails),
        .iBusWishbone_CTI(),
        .iBusWishbone_BTE(),
        .dBusWishbone_CYC(d_cyc),
        .dBusWishbone_STB(d_stb),
        .dBusWishbone_ACK(d_ack || d_fails),
        .dBusWishbone_WE(d_writes),
        .dBusWishbone_ADR(d_word),
        .dBusWishbone_DAT_MISO(d_read),
        .dBusWishbone_DAT_MOSI(d_written),
        .dBusWishbone_SEL(d_sel),
        .dBusWishbone_ERR(d_fails),
        .dBusWishbone_CTI(),
        .dBusWishbone_BTE(),
        .clk(clk),
        .reset(!rst_n)
    );

    wishbone_to_obi instructions (
        .clk(clk),
        .rst_n(rst_n),
        .wb_cyc(i_cyc),
        .wb_stb(i_stb),
        .wb_we(i_we),
        .wb_adr({i_word, 2'b00}),
        .wb_sel(i_sel),
        .wb_dat_w(i_written),
        .wb_ack(i_ack),
        .wb_err(i_fails),
        .wb_dat_r(i_read),
        .req(i_req),
        .gnt(i_gnt),
        .we(),
        .be(),
        .addr(i_addr),
        .wdata(),
        .rvalid(i_rvalid),
        .rdata(i_rdata),
        .err(i_err)
    );

    wishbone_to_obi data (
        .clk(clk),
        .rst_n(rst_n),
        .wb_cyc(d_cyc),
        .wb_stb(d_stb),
        .wb_we(d_writes),
        .wb_adr({d_word, 2'b00}),
        .wb_sel(d_sel),
        .wb_dat_w(d_written),
        .wb_ack(d_ack),
        .wb_err(d_fails),
        .wb_dat_r(d_read),
        .req(d_req),
        .gnt(d_gnt),
        .we(d_we),
        .be(d_be),
        .addr(d_addr),
        .wdata(d_wdata),
        .rvalid(d_rvalid),
        .rdata(d_rdata),
        .err(d_err)
    );

    // What traps leaves the last stage without firing; a handler's first instruction is the next that does.
    logic handler_begins;
    assign rvfi_trap = core.CsrPlugin_exception;
    assign rvfi_valid = core.lastStageIsFiring || rvfi_trap;
    assign rvfi_insn = core.lastStageInstruction;
    assign rvfi_pc_rdata = core.lastStagePc;
    assign rvfi_intr = handler_begins;
    assign rvfi_rd_addr =
        core.lastStageRegFileWrite_valid && !rvfi_trap ? core.lastStageRegFileWrite_payload_address : 5'h0;
    assign rvfi_rd_wdata = core.lastStageRegFileWrite_payload_data;

    always_ff @(posedge clk or negedge rst_n)
        if (!rst_n) handler_begins <= 1'b0;
        else if (core.CsrPlugin_hadException || core.CsrPlugin_interruptJump) handler_begins <= 1'b1;
        else if (rvfi_valid) handler_begins <= 1'b0;
endmodule
