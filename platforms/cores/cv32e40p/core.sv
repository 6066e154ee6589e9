// SPDX-License-Identifier: Apache-2.0
// CV32E40P with its floating-point unit behind the engine's ports. Its buses are OBI's signals already, and know no
// errors; what retires is told by tracker.sv.
module springbok_core (
    input  logic        clk,
    input  logic        rst_n,
    input  logic [31:0] boot_addr,
    input  logic        irq_software,
    input  logic        irq_timer,
    input  logic        irq_external,

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

    output logic [1:0]       rvfi_valid,
    output logic [1:0][31:0] rvfi_insn,
    output logic [1:0]       rvfi_trap,
    output logic [1:0]       rvfi_intr,
    output logic [1:0][31:0] rvfi_pc_rdata,
    output logic [1:0][ 4:0] rvfi_rd_addr,
    output logic [1:0][31:0] rvfi_rd_wdata,
    output logic [1:0]       rvfi_frd_wvalid,
    output logic [1:0][ 4:0] rvfi_frd_addr,
    output logic [1:0][31:0] rvfi_frd_wdata,
    output logic [1:0][31:0] rvfi_mem_addr,
    output logic [1:0][ 3:0] rvfi_mem_rmask,
    output logic [1:0][ 3:0] rvfi_mem_wmask,
    output logic [1:0][31:0] rvfi_mem_rdata,
    output logic [1:0][31:0] rvfi_mem_wdata
);
    cv32e40p_top #(
        .FPU(1),
        .FPU_ADDMUL_LAT(1),
        .FPU_OTHERS_LAT(1)
    ) core (
        .clk_i(clk),
        .rst_ni(rst_n),
        .pulp_clock_en_i(1'b1),
        .scan_cg_en_i(1'b1),  // no clock gating
        .boot_addr_i(boot_addr),
        .mtvec_addr_i(boot_addr),
        .dm_halt_addr_i(32'h0),
        .hart_id_i(32'h0),
        .dm_exception_addr_i(32'h0),
        .instr_req_o(i_req),
        .instr_gnt_i(i_gnt),
        .instr_rvalid_i(i_rvalid),
        .instr_addr_o(i_addr),
        .instr_rdata_i(i_rdata),
        .data_req_o(d_req),
        .data_gnt_i(d_gnt),
        .data_rvalid_i(d_rvalid),
        .data_we_o(d_we),
        .data_be_o(d_be),
        .data_addr_o(d_addr),
        .data_wdata_o(d_wdata),
        .data_rdata_i(d_rdata),
        .irq_i({20'h0, irq_external, 3'h0, irq_timer, 3'h0, irq_software, 3'h0}),
        .irq_ack_o(),
        .irq_id_o(),
        .debug_req_i(1'b0),
        .debug_havereset_o(),
        .debug_running_o(),
        .debug_halted_o(),
        .fetch_enable_i(1'b1),
        .core_sleep_o()
    );

    logic saves, unit_at_execute_port;
    assign saves = core.core_i.csr_save_cause;
    // The port of the execute stage is the unit's while a result of its own comes out of it.
    assign unit_at_execute_port = core.core_i.ex_stage_i.apu_valid &&
        (core.core_i.ex_stage_i.apu_singlecycle || core.core_i.ex_stage_i.apu_multicycle);

    cv32e40p_tracker tracker (
        .clk(clk),
        .rst_n(rst_n),
        .fetched(core.core_i.if_stage_i.if_valid && core.core_i.if_stage_i.instr_valid),
        .fetched_word(core.core_i.if_stage_i.instr_aligned),
        .issued(core.core_i.id_stage_i.minstret),
        .trapped(saves && !core.core_i.csr_cause[5]),
        .interrupted(saves && core.core_i.csr_cause[5]),
        .pc(core.core_i.pc_id),
        .to_unit(core.core_i.id_stage_i.apu_en),
        .is_load(core.core_i.id_stage_i.data_req_id && !core.core_i.id_stage_i.data_we_id),
        .is_store(core.core_i.id_stage_i.data_req_id && core.core_i.id_stage_i.data_we_id),
        .writes(core.core_i.id_stage_i.regfile_we_id || core.core_i.id_stage_i.regfile_alu_we_id ||
                core.core_i.id_stage_i.apu_en),
        .target(core.core_i.id_stage_i.regfile_we_id ? core.core_i.id_stage_i.regfile_waddr_id
                                                      : core.core_i.id_stage_i.regfile_alu_waddr_id),
        .execute_leaves(core.core_i.ex_ready),
        .execute_writes(core.core_i.regfile_alu_we_fw && !unit_at_execute_port),
        .execute_value(core.core_i.regfile_alu_wdata_fw),
        .address(core.core_i.load_store_unit_i.data_addr_int),
        .size(core.core_i.data_type_ex),
        .stored(core.core_i.load_store_unit_i.data_wdata_ex_i),
        .load_returns(core.core_i.ex_stage_i.regfile_we_lsu && !core.core_i.data_misaligned_ex &&
                      core.core_i.lsu_ready_wb),
        .loaded(core.core_i.lsu_rdata),
        .unit_takes(core.core_i.ex_stage_i.apu_req && core.core_i.ex_stage_i.apu_gnt),
        .unit_returns(core.core_i.ex_stage_i.apu_valid),
        .computed(core.core_i.ex_stage_i.apu_result),
        .*
    );
endmodule

// The core's own build system brings a cell: here the clock always runs.
module cv32e40p_clock_gate (
    input  logic clk_i,
    input  logic en_i,
    input  logic scan_cg_en_i,
    output logic clk_o
);
    assign clk_o = clk_i;
endmodule
