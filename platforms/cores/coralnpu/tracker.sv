// SPDX-License-Identifier: Apache-2.0
// What retires in Coral NPU, in RVFI's and RVVI-TRACE's terms, from the signals that its export has: which instructions
// are dispatched, what is written to which register, and, in order, which instructions leave the retirement buffer,
// with the register that each writes. Values of a register are written in the program's order, so that a queue for each
// register says whose they are; so are those of the vector unit, of which an instruction has as many as registers.
module coralnpu_tracker #(
    parameter int RETIRES = 4  // in a cycle, at most
) (
    input logic clk,
    input logic rst_n,

    input logic [3:0]       dispatched,
    input logic [3:0][31:0] dispatched_pc,
    input logic [3:0][31:0] dispatched_word,

    input logic [5:0]       x_written,
    input logic [5:0][ 4:0] x_register,
    input logic [5:0][31:0] x_value,
    input logic [1:0]       f_written,
    input logic [1:0][ 4:0] f_register,
    input logic [1:0][31:0] f_value,

    input logic [3:0]        v_done,     // a piece of a vector instruction leaves the vector unit
    input logic [3:0]        v_last,     // it is the instruction's last one
    input logic [3:0]        v_written,  // it writes a vector register
    input logic [3:0][  4:0] v_register,
    input logic [3:0][ 15:0] v_bytes,
    input logic [3:0][127:0] v_value,

    input logic [7:0]       leaves,
    input logic [7:0][31:0] leaves_pc,
    input logic [7:0][ 6:0] leaves_register,  // from 0 on integers, from 32 on floats, from 64 on vectors, or none
    input logic [7:0]       leaves_trapped,
    input logic             faulted,  // the core takes an exception, but for environment calls and breakpoints
    input logic [31:0]      faulted_pc,

    output logic [RETIRES-1:0]               rvfi_valid,
    output logic [RETIRES-1:0][31:0]         rvfi_insn,
    output logic [RETIRES-1:0]               rvfi_trap,
    output logic [RETIRES-1:0]               rvfi_intr,
    output logic [RETIRES-1:0][31:0]         rvfi_pc_rdata,
    output logic [RETIRES-1:0][ 4:0]         rvfi_rd_addr,
    output logic [RETIRES-1:0][31:0]         rvfi_rd_wdata,
    output logic [RETIRES-1:0]               rvfi_frd_wvalid,
    output logic [RETIRES-1:0][ 4:0]         rvfi_frd_addr,
    output logic [RETIRES-1:0][31:0]         rvfi_frd_wdata,
    output logic [RETIRES-1:0][31:0]         rvvi_v_wb,
    output logic [RETIRES-1:0][31:0][127:0]  rvvi_v_wdata
);
    localparam int WAITING = 64, VALUES = 16, PIECES = 128;

    typedef struct packed {
        logic [31:0] pc;
        logic [31:0] word;
        logic [6:0]  register;
        logic        trapped;
    } instruction_t;
    typedef struct packed {
        logic         last;
        logic         written;
        logic [4:0]   register;
        logic [15:0]  bytes;
        logic [127:0] value;
    } piece_t;

    logic [63:0] words[WAITING];  // of dispatched instructions, with their addresses
    instruction_t waiting[WAITING];
    piece_t pieces[PIECES];
    logic [31:0] values[64][VALUES];
    logic [3:0] value_first[64];
    logic [4:0] value_count[64];
    logic [5:0] word_first, waiting_first;
    logic [6:0] word_count, waiting_count, piece_first;
    logic [7:0] piece_count, lasts;  // of these, pieces that are the last ones
    logic [31:0][127:0] vectors;
    logic handler_begins;
    logic faulted_waits;  // until it leaves
    logic [31:0] last_faulted_pc;

    // Those that go through the vector unit: not vset*.
    function automatic logic is_vector(logic [31:0] word);
        logic of_vector_width = word[14:12] == 3'd0 || word[14:12] >= 3'd5;
        return word[6:0] == 7'h57 ? word[14:12] != 3'd7 : (word[6:0] == 7'h07 || word[6:0] == 7'h27) && of_vector_width;
    endfunction

    // What leaves is marked as trapped also where it is a jump to an odd sum, or a branch before what traps, which then
    // never leaves itself; an environment call is not marked.
    task automatic leave(logic [31:0] pc, logic [31:0] word, logic [6:0] register, logic marked);
        logic is_call = word == 32'h00000073 || word == 32'h00100073;
        logic is_own = is_call || (marked && faulted_waits && pc == last_faulted_pc);
        wait_for('{pc, word, register_of(register, word), is_own});
        if (marked && faulted_waits && !is_own) wait_for('{last_faulted_pc, 32'h0, 7'h7f, 1'b1});
        if (marked) faulted_waits = 1'b0;
    endtask

    task automatic wait_for(instruction_t instruction);
        waiting[waiting_first+waiting_count[5:0]] = instruction;
        waiting_count++;
    endtask

    // A jump that is marked as trapped tells no register.
    function automatic logic [6:0] register_of(logic [6:0] told, logic [31:0] word);
        return word[6:0] == 7'h6f || word[6:0] == 7'h67 ? {2'b00, word[11:7]} : told;
    endfunction

    task automatic keep(logic [5:0] register, logic [31:0] value);
        values[register][value_first[register]+value_count[register][3:0]] = value;
        value_count[register]++;
    endtask

    task automatic take_word(logic [31:0] pc, output logic [31:0] word);
        logic found = 1'b0;
        word = 32'h0;  // what traps before it is dispatched
        for (int i = 0; i < WAITING; i++)
            if (i < int'(word_count) && words[word_first+6'(i)][63:32] == pc) found = 1'b1;
        if (found) begin
            while (words[word_first][63:32] != pc) begin
                word_first++;
                word_count--;
            end
            word = words[word_first][31:0];
            word_first++;
            word_count--;
        end
    endtask

    instruction_t now;
    piece_t piece;
    logic blocked;
    logic [31:0] found_word;

    always @(posedge clk) begin
        rvfi_valid = '0;
        rvfi_trap = '0;
        rvfi_intr = '0;
        rvfi_rd_addr = '0;
        rvfi_frd_wvalid = '0;
        rvvi_v_wb = '0;
        if (!rst_n) begin
            word_first = '0;
            word_count = '0;
            waiting_first = '0;
            waiting_count = '0;
            piece_first = '0;
            piece_count = '0;
            lasts = '0;
            vectors = '0;
            handler_begins = 1'b0;
            faulted_waits = 1'b0;
            for (int i = 0; i < 64; i++) begin
                value_first[i] = '0;
                value_count[i] = '0;
            end
        end else begin
            for (int i = 0; i < 4; i++)
                if (dispatched[i]) begin
                    words[word_first+word_count[5:0]] = {dispatched_pc[i], dispatched_word[i]};
                    word_count++;
                end
            for (int i = 0; i < 6; i++) if (x_written[i] && x_register[i] != 0) keep({1'b0, x_register[i]}, x_value[i]);
            for (int i = 0; i < 2; i++) if (f_written[i]) keep({1'b1, f_register[i]}, f_value[i]);
            for (int i = 0; i < 4; i++)
                if (v_done[i]) begin
                    pieces[piece_first+piece_count[6:0]] =
                        {v_last[i], v_written[i], v_register[i], v_bytes[i], v_value[i]};
                    piece_count++;
                    lasts += 8'(v_last[i]);
                end
            if (faulted && faulted_pc != 0) begin  // 0 may follow, in the next cycle
                last_faulted_pc = faulted_pc;
                faulted_waits = 1'b1;
            end
            for (int i = 0; i < 8; i++)
                if (leaves[i]) begin
                    take_word(leaves_pc[i], found_word);
                    leave(leaves_pc[i], found_word, leaves_register[i], leaves_trapped[i]);
                end

            blocked = 1'b0;
            for (int i = 0; i < RETIRES; i++) begin
                now = waiting[waiting_first];
                if (waiting_count == 0) blocked = 1'b1;
                else if (!now.trapped && is_vector(now.word) && lasts == 0) blocked = 1'b1;
                else if (!now.trapped && !now.register[6] && now.register != 0 && value_count[now.register[5:0]] == 0)
                    blocked = 1'b1;
                if (!blocked) begin
                    waiting_first++;
                    waiting_count--;
                    rvfi_valid[i] = 1'b1;
                    rvfi_insn[i] = now.word;
                    rvfi_pc_rdata[i] = now.pc;
                    rvfi_trap[i] = now.trapped;
                    rvfi_intr[i] = handler_begins;
                    handler_begins = now.trapped;
                    if (!now.trapped) begin
                        if (!now.register[6] && now.register != 0) begin
                            rvfi_rd_addr[i] = now.register[5] ? 5'h0 : now.register[4:0];
                            rvfi_rd_wdata[i] = values[now.register[5:0]][value_first[now.register[5:0]]];
                            rvfi_frd_wvalid[i] = now.register[5];
                            rvfi_frd_addr[i] = now.register[4:0];
                            rvfi_frd_wdata[i] = rvfi_rd_wdata[i];
                            value_first[now.register[5:0]]++;
                            value_count[now.register[5:0]]--;
                        end
                        if (is_vector(now.word)) begin
                            piece.last = 1'b0;
                            for (int at = 0; at < PIECES && !piece.last; at++) begin
                                piece = pieces[piece_first];
                                piece_first++;
                                piece_count--;
                                if (piece.written) begin
                                    rvvi_v_wb[i][piece.register] = 1'b1;
                                    for (int lane = 0; lane < 16; lane++)
                                        if (piece.bytes[lane])
                                            vectors[piece.register][8*lane+:8] = piece.value[8*lane+:8];
                                end
                            end
                            lasts--;
                        end
                    end
                end
                rvvi_v_wdata[i] = vectors;
            end
        end
    end
endmodule
