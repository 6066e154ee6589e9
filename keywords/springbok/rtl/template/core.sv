// SPDX-License-Identifier: Apache-2.0
// @NAME@ behind the ports that the engine drives. Replace FILL_IN by your core; take out what it does not have:
// the i_ ports if it fetches over its data bus, rvfi_mem_ if its tracker tells nothing of memory.
module springbok_core (
    input  logic        clk,
    input  logic        rst_n,
    input  logic [31:0] boot_addr,  // `start` of chip.toml
    input  logic        irq_software,
    input  logic        irq_timer,
    input  logic        irq_external,

    // Instructions, OBI: an address is taken in a cycle with req and gnt; answers come in order, a cycle later or more.
    // From AXI4, AXI4-Lite, Wishbone, TileLink-UL: axi4_to_obi, axi4_lite_to_obi, wishbone_to_obi, tilelink_ul_to_obi.
    output logic        i_req,
    input  logic        i_gnt,
    output logic [31:0] i_addr,
    input  logic        i_rvalid,
    input  logic [31:0] i_rdata,
    input  logic        i_err,

    // Data, the same; 32 to 256 bits wide.
    output logic        d_req,
    input  logic        d_gnt,
    output logic        d_we,
    output logic [ 3:0] d_be,
    output logic [31:0] d_addr,
    output logic [31:0] d_wdata,
    input  logic        d_rvalid,
    input  logic [31:0] d_rdata,
    input  logic        d_err,

    // What retires, in RVFI's terms. Where several may retire in a cycle (retires = N in core.toml), each port is N times
    // as wide, the oldest instruction lowest.
    output logic        rvfi_valid,
    output logic [31:0] rvfi_insn,
    output logic        rvfi_trap,  // it raised an exception
    output logic        rvfi_intr,  // it is the first of a trap's handler
    output logic [31:0] rvfi_pc_rdata,
    output logic [ 4:0] rvfi_rd_addr,  // 0: none is written
    output logic [31:0] rvfi_rd_wdata,
    output logic [31:0] rvfi_mem_addr,
    output logic [ 3:0] rvfi_mem_rmask,
    output logic [ 3:0] rvfi_mem_wmask,
    output logic [31:0] rvfi_mem_rdata,
    output logic [31:0] rvfi_mem_wdata
    // With floating point: rvfi_frd_wvalid, rvfi_frd_addr [4:0], rvfi_frd_wdata [31:0].
    // With vectors: rvvi_v_wb [31:0], a bit for each register that is written, and rvvi_v_wdata, all 32 registers.
);
    FILL_IN core ();
endmodule
