// SPDX-License-Identifier: Apache-2.0
// CV32E40P's retire port. An instruction is entered when it leaves the decoder, where all of the core's traps are
// decided; it is complete when its result is written: by the execute stage, by a load, or by the floating-point unit,
// which later instructions overtake. They leave in the program's order, two in a cycle at most.
module cv32e40p_tracker (
    input logic clk,
    input logic rst_n,

    input logic        fetched,  // an instruction goes from the fetch stage to the decoder
    input logic [31:0] fetched_word,
    input logic        issued,   // ... from the decoder on
    input logic        trapped,  // the one in the decoder traps
    input logic        interrupted,
    input logic [31:0] pc,
    input logic        to_unit,  // it is computed by the floating-point unit, in two cycles or more
    input logic        is_load,
    input logic        is_store,
    input logic        writes,
    input logic [ 5:0] target,   // 32 and above: floating-point registers

    input logic        execute_leaves,  // what is in the execute stage goes on
    input logic        execute_writes,
    input logic [31:0] execute_value,
    input logic [31:0] address,
    input logic [ 1:0] size,            // 0: word, 1: half, 2 and 3: byte
    input logic [31:0] stored,
    input logic        load_returns,
    input logic [31:0] loaded,
    input logic        unit_takes,      // again in each cycle that what is in the execute stage can't go on
    input logic        unit_returns,
    input logic [31:0] computed,

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
    // More than the longest division lets by, twice.
    localparam int PLACES = 128, BITS = $clog2(PLACES);
    typedef logic [BITS-1:0] place_t;

    typedef struct packed {
        logic        complete;
        logic        trap, first;  // of a handler
        logic        load, store;
        logic        writes;
        logic [ 5:0] target;
        logic [ 3:0] mask;
        logic [31:0] word, pc, value, address, stored;
    } entry_t;

    entry_t entries[PLACES];
    place_t newest, oldest;  // newest: where the next one is entered
    place_t in_execute;
    logic execute_holds, execute_waits;  // its result comes later, from a load or from the unit
    logic [31:0] word;
    logic        first;

    // Places of what loads and the unit will complete, in the program's order: there are few. The last of an
    // instruction's computations is the one that begins when it leaves the execute stage.
    place_t [3:0] loads, computations;
    logic   [3:0] is_last;
    logic   [1:0] load_first, load_end, unit_first, unit_end;

    place_t second;
    assign second = oldest + 1'b1;

    always_comb begin
        rvfi_valid[0] = oldest != newest && entries[oldest].complete;
        rvfi_valid[1] = rvfi_valid[0] && second != newest && entries[second].complete;
    end

    for (genvar i = 0; i < 2; i++) begin : gen_ports
        entry_t entry;
        logic   integer_register;
        assign entry              = entries[i == 0 ? oldest : second];
        assign integer_register   = entry.writes && !entry.target[5];
        assign rvfi_insn[i]       = entry.word;
        assign rvfi_trap[i]       = entry.trap;
        assign rvfi_intr[i]       = entry.first;
        assign rvfi_pc_rdata[i]   = entry.pc;
        assign rvfi_rd_addr[i]    = integer_register ? entry.target[4:0] : '0;
        assign rvfi_rd_wdata[i]   = integer_register && entry.target != 0 ? entry.value : '0;
        assign rvfi_frd_wvalid[i] = entry.writes && entry.target[5];
        assign rvfi_frd_addr[i]   = entry.target[4:0];
        assign rvfi_frd_wdata[i]  = entry.value;
        assign rvfi_mem_addr[i]   = entry.address;
        assign rvfi_mem_rmask[i]  = entry.load ? entry.mask : '0;
        assign rvfi_mem_wmask[i]  = entry.store ? entry.mask : '0;
        assign rvfi_mem_rdata[i]  = entry.value;
        assign rvfi_mem_wdata[i]  = entry.stored;
    end

    always_ff @(posedge clk or negedge rst_n) begin
        if (!rst_n) begin
            newest        <= '0;
            oldest        <= '0;
            execute_holds <= 1'b0;
            execute_waits <= 1'b0;
            first         <= 1'b0;
            load_first    <= '0;
            load_end      <= '0;
            unit_first    <= '0;
            unit_end      <= '0;
        end else begin
            if (fetched) word <= fetched_word;
            oldest <= oldest + place_t'(rvfi_valid[0]) + place_t'(rvfi_valid[1]);

            if (execute_holds) begin
                if (execute_writes) entries[in_execute].value <= execute_value;
                if (execute_leaves) begin
                    execute_holds               <= 1'b0;
                    entries[in_execute].address <= address;
                    entries[in_execute].mask    <= size == 0 ? 4'hF : size == 1 ? 4'h3 : 4'h1;
                    entries[in_execute].stored  <= stored;
                    if (!execute_waits) entries[in_execute].complete <= 1'b1;
                end
            end
            if (load_returns) begin
                entries[loads[load_first]].value    <= loaded;
                entries[loads[load_first]].complete <= 1'b1;
                load_first                          <= load_first + 1'b1;
            end
            if (unit_takes) begin
                computations[unit_end] <= in_execute;
                is_last[unit_end]      <= execute_leaves;
                unit_end               <= unit_end + 1'b1;
            end
            if (unit_returns) begin
                entries[computations[unit_first]].value <= computed;
                unit_first                              <= unit_first + 1'b1;
                if (is_last[unit_first]) entries[computations[unit_first]].complete <= 1'b1;
            end

            if (interrupted) first <= 1'b1;
            if (issued || trapped) begin
                entries[newest] <= '{
                    complete: trapped,
                    trap: trapped,
                    first: first,
                    load: is_load && !trapped,
                    store: is_store && !trapped,
                    writes: writes && !trapped,
                    target: target,
                    word: word,
                    pc: pc,
                    default: '0
                };
                newest <= newest + 1'b1;
                first  <= trapped;
            end
            if (issued) begin
                in_execute    <= newest;
                execute_holds <= 1'b1;
                execute_waits <= is_load || to_unit;
                if (is_load) begin
                    loads[load_end] <= newest;
                    load_end        <= load_end + 1'b1;
                end
            end
        end
    end
endmodule
