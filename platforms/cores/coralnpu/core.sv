// SPDX-License-Identifier: Apache-2.0
// Coral NPU's RvvCoreMini behind the engine's ports. Instructions, and what lies in its tightly coupled memories, are
// there a cycle after they were asked for, come what may; the external bus waits. What retires is told by tracker.sv.
module springbok_core (
    input  logic         clk,
    input  logic         rst_n,
    input  logic [ 31:0] boot_addr,
    input  logic         irq_software,
    input  logic         irq_timer,
    input  logic         irq_external,

    output logic         i_req,
    input  logic         i_gnt,
    output logic [ 31:0] i_addr,
    input  logic         i_rvalid,
    input  logic [127:0] i_rdata,
    input  logic         i_err,

    output logic         d_req,
    input  logic         d_gnt,
    output logic         d_we,
    output logic [ 15:0] d_be,
    output logic [ 31:0] d_addr,
    output logic [127:0] d_wdata,
    input  logic         d_rvalid,
    input  logic [127:0] d_rdata,
    input  logic         d_err,

    output logic [3:0]              rvfi_valid,
    output logic [3:0][31:0]        rvfi_insn,
    output logic [3:0]              rvfi_trap,
    output logic [3:0]              rvfi_intr,
    output logic [3:0][31:0]        rvfi_pc_rdata,
    output logic [3:0][ 4:0]        rvfi_rd_addr,
    output logic [3:0][31:0]        rvfi_rd_wdata,
    output logic [3:0]              rvfi_frd_wvalid,
    output logic [3:0][ 4:0]        rvfi_frd_addr,
    output logic [3:0][31:0]        rvfi_frd_wdata,
    output logic [3:0][31:0]        rvvi_v_wb,
    output logic [3:0][31:0][127:0] rvvi_v_wdata
);
    logic inner_valid, inner_writes, outer_valid, outer_writes, outer_waits, outer_answered, faults;
    logic [31:0] inner_addr, outer_addr, outer_pc;
    logic [4:0] outer_bytes;  // of the access
    logic [127:0] inner_wdata, outer_wdata, outer_rdata;
    logic [15:0] inner_wmask, outer_wmask;

    logic [3:0] dispatched;
    logic [3:0][31:0] dispatched_pc, dispatched_word;
    logic [5:0] x_written;
    logic [5:0][4:0] x_register;
    logic [5:0][31:0] x_value;
    logic [1:0] f_written;
    logic [1:0][31:0] f_number, f_value;
    logic [7:0] leaves, leaves_trapped;
    logic [7:0][31:0] leaves_pc;
    logic [7:0][6:0] leaves_register;

    RvvCoreMini core (
        .clock(clk),
        .reset(!rst_n),
        .io_csr_in_value_0(boot_addr),
        .io_irq(irq_external),
        .io_ibus_valid(i_req),
        .io_ibus_addr(i_addr),
        .io_ibus_rdata(i_rdata),
        .io_ibus_fault_valid(1'b0),
        .io_dbus_valid(inner_valid),
        .io_dbus_write(inner_writes),
        .io_dbus_addr(inner_addr),
        .io_dbus_wdata(inner_wdata),
        .io_dbus_wmask(inner_wmask),
        .io_dbus_rdata(d_rdata),
        .io_ebus_dbus_valid(outer_valid),
        .io_ebus_dbus_ready(outer_answered),
        .io_ebus_dbus_write(outer_writes),
        .io_ebus_dbus_pc(outer_pc),
        .io_ebus_dbus_addr(outer_addr),
        .io_ebus_dbus_size(outer_bytes),
        .io_ebus_dbus_wdata(outer_wdata),
        .io_ebus_dbus_wmask(outer_wmask),
        .io_ebus_dbus_rdata(outer_rdata),
        .io_ebus_fault_valid(faults),
        .io_ebus_fault_bits_write(outer_writes),
        .io_ebus_fault_bits_addr(outer_addr),
        .io_ebus_fault_bits_epc(outer_pc),
        .io_debug_dispatch_0_instFire(dispatched[0]),
        .io_debug_dispatch_0_instAddr(dispatched_pc[0]),
        .io_debug_dispatch_0_instInst(dispatched_word[0]),
        .io_debug_dispatch_1_instFire(dispatched[1]),
        .io_debug_dispatch_1_instAddr(dispatched_pc[1]),
        .io_debug_dispatch_1_instInst(dispatched_word[1]),
        .io_debug_dispatch_2_instFire(dispatched[2]),
        .io_debug_dispatch_2_instAddr(dispatched_pc[2]),
        .io_debug_dispatch_2_instInst(dispatched_word[2]),
        .io_debug_dispatch_3_instFire(dispatched[3]),
        .io_debug_dispatch_3_instAddr(dispatched_pc[3]),
        .io_debug_dispatch_3_instInst(dispatched_word[3]),
        .io_debug_regfile_writeData_0_valid(x_written[0]),
        .io_debug_regfile_writeData_0_bits_addr(x_register[0]),
        .io_debug_regfile_writeData_0_bits_data(x_value[0]),
        .io_debug_regfile_writeData_1_valid(x_written[1]),
        .io_debug_regfile_writeData_1_bits_addr(x_register[1]),
        .io_debug_regfile_writeData_1_bits_data(x_value[1]),
        .io_debug_regfile_writeData_2_valid(x_written[2]),
        .io_debug_regfile_writeData_2_bits_addr(x_register[2]),
        .io_debug_regfile_writeData_2_bits_data(x_value[2]),
        .io_debug_regfile_writeData_3_valid(x_written[3]),
        .io_debug_regfile_writeData_3_bits_addr(x_register[3]),
        .io_debug_regfile_writeData_3_bits_data(x_value[3]),
        .io_debug_regfile_writeData_4_valid(x_written[4]),
        .io_debug_regfile_writeData_4_bits_addr(x_register[4]),
        .io_debug_regfile_writeData_4_bits_data(x_value[4]),
        .io_debug_regfile_writeData_5_valid(x_written[5]),
        .io_debug_regfile_writeData_5_bits_addr(x_register[5]),
        .io_debug_regfile_writeData_5_bits_data(x_value[5]),
        .io_debug_float_writeData_0_valid(f_written[0]),
        .io_debug_float_writeData_0_bits_addr(f_number[0]),
        .io_debug_float_writeData_0_bits_data(f_value[0]),
        .io_debug_float_writeData_1_valid(f_written[1]),
        .io_debug_float_writeData_1_bits_addr(f_number[1]),
        .io_debug_float_writeData_1_bits_data(f_value[1]),
        .io_debug_rb_inst_0_valid(leaves[0]),
        .io_debug_rb_inst_0_bits_pc(leaves_pc[0]),
        .io_debug_rb_inst_0_bits_idx(leaves_register[0]),
        .io_debug_rb_inst_0_bits_trap(leaves_trapped[0]),
        .io_debug_rb_inst_1_valid(leaves[1]),
        .io_debug_rb_inst_1_bits_pc(leaves_pc[1]),
        .io_debug_rb_inst_1_bits_idx(leaves_register[1]),
        .io_debug_rb_inst_1_bits_trap(leaves_trapped[1]),
        .io_debug_rb_inst_2_valid(leaves[2]),
        .io_debug_rb_inst_2_bits_pc(leaves_pc[2]),
        .io_debug_rb_inst_2_bits_idx(leaves_register[2]),
        .io_debug_rb_inst_2_bits_trap(leaves_trapped[2]),
        .io_debug_rb_inst_3_valid(leaves[3]),
        .io_debug_rb_inst_3_bits_pc(leaves_pc[3]),
        .io_debug_rb_inst_3_bits_idx(leaves_register[3]),
        .io_debug_rb_inst_3_bits_trap(leaves_trapped[3]),
        .io_debug_rb_inst_4_valid(leaves[4]),
        .io_debug_rb_inst_4_bits_pc(leaves_pc[4]),
        .io_debug_rb_inst_4_bits_idx(leaves_register[4]),
        .io_debug_rb_inst_4_bits_trap(leaves_trapped[4]),
        .io_debug_rb_inst_5_valid(leaves[5]),
        .io_debug_rb_inst_5_bits_pc(leaves_pc[5]),
        .io_debug_rb_inst_5_bits_idx(leaves_register[5]),
        .io_debug_rb_inst_5_bits_trap(leaves_trapped[5]),
        .io_debug_rb_inst_6_valid(leaves[6]),
        .io_debug_rb_inst_6_bits_pc(leaves_pc[6]),
        .io_debug_rb_inst_6_bits_idx(leaves_register[6]),
        .io_debug_rb_inst_6_bits_trap(leaves_trapped[6]),
        .io_debug_rb_inst_7_valid(leaves[7]),
        .io_debug_rb_inst_7_bits_pc(leaves_pc[7]),
        .io_debug_rb_inst_7_bits_idx(leaves_register[7]),
        .io_debug_rb_inst_7_bits_trap(leaves_trapped[7])
    );

    // The inner bus goes first: it can't wait. The outer one is answered in the cycle that its answer comes in, and
    // reads the data in the next.
    assign d_req = inner_valid || (outer_valid && !outer_waits);
    assign d_we = inner_valid ? inner_writes : outer_writes;
    assign d_addr = inner_valid ? inner_addr : outer_addr;
    assign d_wdata = inner_valid ? inner_wdata : outer_wdata;
    assign d_be = inner_valid ? inner_wmask
                : outer_writes ? outer_wmask : 16'(((17'h1 << outer_bytes) - 17'h1) << outer_addr[3:0]);
    assign outer_answered = outer_waits && d_rvalid;
    assign faults = outer_answered && d_err;

    always_ff @(posedge clk or negedge rst_n)
        if (!rst_n) begin
            outer_waits <= 1'b0;
            outer_rdata <= '0;
        end else begin
            if (!inner_valid && outer_valid && !outer_waits && d_gnt) outer_waits <= 1'b1;
            else if (outer_answered) outer_waits <= 1'b0;
            if (outer_answered) outer_rdata <= d_rdata;
        end

    logic        faulted;
    logic [31:0] faulted_pc;
    assign faulted = core.score.fault_manager.io_out_valid;
    assign faulted_pc = core.score.fault_manager.io_out_bits_mepc;

    logic [3:0] v_done, v_last, v_written;
    logic [3:0][4:0] v_register;
    logic [3:0][15:0] v_bytes;
    logic [3:0][127:0] v_value;
    for (genvar i = 0; i < 4; i++) begin : gen_pieces
        assign v_done[i] = core.rvvCore.rvvCoreWrapper.core.backend.rd_valid_rob2rt_o[i];
        assign v_last[i] = core.rvvCore.rvvCoreWrapper.core.backend.rd_rob2rt[i].last_uop_valid;
        assign v_written[i] = core.rvvCore.rvvCoreWrapper.core.backend.wr_valid_rt2vrf[i];
        assign v_register[i] = core.rvvCore.rvvCoreWrapper.core.backend.wr_data_rt2vrf[i].rt_index;
        assign v_bytes[i] = core.rvvCore.rvvCoreWrapper.core.backend.wr_data_rt2vrf[i].rt_strobe;
        assign v_value[i] = core.rvvCore.rvvCoreWrapper.core.backend.wr_data_rt2vrf[i].rt_data;
    end

    coralnpu_tracker tracker (
        .f_register({f_number[1][4:0], f_number[0][4:0]}),
        .*
    );
endmodule
