// SPDX-License-Identifier: Apache-2.0
// What the RTL retired, held against the reference.
#include "golden.h"

#include <cstdarg>
#include <cstdio>
#include <string>

namespace {

constexpr uint32_t SYSTEM = 0x73, CSR_MASK = 0xFFF, MINSTRET = 0xB02, MINSTRETH = 0xB82;

uint32_t csr_of(uint32_t word) {
    return word >> 20 & CSR_MASK;
}

bool accesses_csr(uint32_t word) {
    return (word & 0x7F) == SYSTEM && (word >> 12 & 7) != 0 && (word >> 12 & 7) != 4;
}

// Whether it writes minstret or minstreth: by these Spike's traps are told.
bool writes_counter(uint32_t word) {
    uint32_t csr = csr_of(word);
    bool only_reads = (word >> 12 & 3) != 1 && (word >> 15 & 31) == 0;
    return accesses_csr(word) && !only_reads && (csr == MINSTRET || csr == MINSTRETH);
}

// A load or store of one register: of a vector, an element may be met more than once.
bool is_scalar(uint32_t word) {
    uint32_t width = word >> 12 & 7;
    return (word & 0x7F) != 0x07 || (width >= 1 && width <= 4);
}

uint32_t length_of(uint32_t word) {
    return (word & 3) == 3 ? 4 : 2;
}

// c.beqz and c.bnez, or one of 32 bits.
bool is_branch(uint32_t word) {
    return length_of(word) == 2 ? (word & 0xC003) == 0xC001 : (word & 0x7F) == 0x63;
}

uint32_t branch_offset(uint32_t word) {
    insn_t instruction(word);
    return uint32_t(length_of(word) == 2 ? instruction.rvc_b_imm() : instruction.sb_imm());
}

// c.j, c.jal, c.jr and c.jalr, or jal, jalr, mret and sret.
bool is_jump(uint32_t word) {
    if (length_of(word) == 2) return (word & 0x6003) == 0x2001 || ((word & 0xE07F) == 0x8002 && word & 0xF80);
    return (word & 0x77) == 0x67 || word == 0x30200073 || word == 0x10200073;
}

} // namespace

static int say(char *why, uint32_t room, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(why, room, format, list);
    va_end(list);
    return 1;
}

static void add_to(char *why, uint32_t room, const char *format, ...) {
    size_t used = strlen(why);
    va_list list;
    va_start(list, format);
    vsnprintf(why + used, room - used, format, list);
    va_end(list);
}

// The word that the reference is about to execute, and which of its bits count; false: there is none to
// execute.
static bool held_word(golden *g, uint32_t *held, uint32_t *mask) {
    try {
        *held = uint32_t(g->core->get_mmu()->access_icache(g->state->pc)->data.insn.bits());
    } catch (trap_t &) {
        return false;
    }
    *mask = (*held & 3) == 3 ? ~0u : 0xFFFF;
    *held &= *mask;
    return true;
}

// What traps may have no word.
static int compare_word(golden *g, const retired_t *r, char *why, uint32_t room) {
    uint32_t held, mask;
    if ((r->trapped && r->word == 0) || !held_word(g, &held, &mask)) return 0;
    g->word_differs = (held ^ r->word) & mask;
    if (!g->word_differs) return 0;
    int digits = mask == ~0u ? 8 : 4;
    return say(why, room, "the retire port tells 0x%0*x, memory holds 0x%0*x there, %s", digits, r->word,
               digits, held, golden_disassemble(g, held));
}

// Whether a trap is by an error that the bus answered the fetch with. The error may be that of a later fetch
// of the same address: an instruction that is told as it is, and traps by itself, has not met it.
static bool trapped_by_fetch(golden *g, const retired_t *r, bool interrupted) {
    uint32_t held, mask;
    if (!r->trapped || !g->fetch_failed(r->pc)) return false;
    if (interrupted || !held_word(g, &held, &mask) || (held ^ r->word) & mask) return true;
    reg_t before = g->state->minstret->read();
    g->execute(false);
    bool by_itself = g->state->minstret->read() == before;
    golden_rewind(g, 1);
    g->begin_step(0, r->rd, r->frd_written ? r->frd : 0);
    return !by_itself;
}

static int compare_registers(golden *g, const retired_t *r, char *why, uint32_t room) {
    state_t *state = g->state;
    if (r->rd != 0) g->x[r->rd] = reg_t(sreg_t(int32_t(r->rd_value)));
    if (memcmp(&state->XPR[0], g->x, sizeof g->x) != 0)
        for (uint32_t n = 1; n < 32;
             n++) // all of them: a write that is missing or that nobody asked for shows too
            if (uint32_t(state->XPR[n]) != uint32_t(g->x[n]))
                return say(why, room,
                           n == r->rd ? "x%u: expected 0x%08x, got 0x%08x"
                                      : "x%u: expected 0x%08x, still 0x%08x",
                           n, uint32_t(state->XPR[n]), uint32_t(g->x[n]));
    if (g->floats) {
        if (r->frd_written) g->f[r->frd] = r->frd_value;
        for (uint32_t n = 0; n < 32; n++)
            if (uint32_t(state->FPR[n].v[0]) != g->f[n])
                return say(why, room,
                           r->frd_written && n == r->frd ? "f%u: expected 0x%08x, got 0x%08x"
                                                         : "f%u: expected 0x%08x, still 0x%08x",
                           n, uint32_t(state->FPR[n].v[0]), g->f[n]);
    }
    if (size_t bytes = g->vector_bytes()) {
        for (uint32_t n = 0; n < 32; n++)
            if (r->vectors_written >> n & 1) memcpy(&g->v[n * bytes], r->vectors + n * bytes, bytes);
        if (memcmp(g->vectors(), g->v.data(), g->v.size()) != 0)
            for (size_t i = 0; i < g->v.size(); i++)
                if (g->vectors()[i] != g->v[i]) {
                    reg_t width = g->core->VU.vsew >= 8 ? g->core->VU.vsew / 8 : 1;
                    size_t lane = i % bytes / width, at = i - i % width;
                    uint64_t wanted = 0, got = 0;
                    memcpy(&wanted, g->vectors() + at, width), memcpy(&got, &g->v[at], width);
                    return say(
                        why, room, "v%u, lane %u of e%u: expected 0x%llx, %s 0x%llx", unsigned(i / bytes),
                        unsigned(lane), unsigned(width * 8), (unsigned long long)wanted,
                        r->vectors_written >> (i / bytes) & 1 ? "got" : "still", (unsigned long long)got);
                }
    }
    return 0;
}

// What the retire port says that it stored must be what was stored. Instructions of many accesses show on the
// bus only.
static int compare_retired_store(golden *g, const retired_t *r, char *why, uint32_t room) {
    const std::vector<Stored> &stores = g->step->stores;
    if (!r->has_memory || g->uses_device || stores.size() > 1) return 0;
    uint32_t mask = r->trapped ? 0 : r->write_mask;
    if (stores.empty())
        return mask == 0
                   ? 0
                   : say(why, room, "a store to 0x%08x that no instruction asked for", r->memory_address);
    uint32_t address = stores[0].address, count = stores[0].bytes, seen = 0;
    if (mask == 0) return say(why, room, "the store of %u bytes to 0x%08x is missing", count, address);
    for (uint32_t i = 0; i < 8; i++) {
        if (!(mask >> i & 1)) continue;
        uint32_t at = r->memory_address + i;
        uint8_t got = uint8_t(r->write_data >> 8 * (i & 3));
        if (at - address >= count)
            return say(why, room, "store to 0x%08x, %u bytes: expected, but the core stored to 0x%08x",
                       address, count, at);
        if (*g->byte_at(at) != got)
            return say(why, room, "store to 0x%08x: expected byte 0x%02x, got 0x%02x", at, *g->byte_at(at),
                       got);
        seen++;
    }
    return seen == count ? 0
                         : say(why, room, "store to 0x%08x: expected %u bytes, got %u", address, count, seen);
}

static std::string lanes(uint32_t enables) {
    std::string text(4, '0');
    for (uint32_t i = 0; i < 4; i++)
        if (enables >> i & 1) text[3 - i] = '1';
    return text;
}

// An instruction's store whose bytes on the bus are others.
static int say_lanes(golden *g, const Word &want, uint32_t got, char *why, uint32_t room) {
    g->culprit = want.number;
    return say(why, room,
               "on the bus, store to 0x%08x: expected byte enables %s of the word at 0x%08x, got %s",
               want.address + unsigned(__builtin_ctz(want.whole)), lanes(want.whole).c_str(), want.address,
               lanes(got).c_str());
}

static int compare_bus(golden *g, char *why, uint32_t room) {
    while (!g->expected.empty() && !g->written.empty()) {
        Word want = g->expected.front(), got = g->written.front();
        uint32_t both = want.enables & got.enables, came = want.whole & ~want.enables;
        bool same = want.address == got.address;
        if (came && (!same || !both)) return say_lanes(g, want, came | (same ? got.whole : 0), why, room);
        if (same && !both) return say_lanes(g, want, got.whole, why, room);
        if (!same) {
            g->culprit = want.number;
            return say(why, room,
                       "on the bus: expected a store to 0x%08x, byte enables %s; got one to 0x%08x, %s",
                       want.address, lanes(want.whole).c_str(), got.address, lanes(got.whole).c_str());
        }
        for (uint32_t i = 0; i < 4; i++)
            if (both >> i & 1 && want.bytes[i] != got.bytes[i]) {
                g->culprit = want.number;
                return say(why, room, "on the bus, store to 0x%08x: expected byte 0x%02x, got 0x%02x",
                           want.address + i, want.bytes[i], got.bytes[i]);
            }
        // One side may store in smaller pieces.
        g->expected.front().enables &= ~both, g->written.front().enables &= ~both;
        bool whole = want.enables == both;
        if (whole) g->expected.pop();
        if (got.enables == both) {
            g->written.pop();
        } else if (whole && (g->expected.empty() || g->expected.front().number != want.number ||
                             g->expected.front().address != want.address)) {
            return say_lanes(g, want, came ? came : want.whole | got.enables, why, room);
        }
    }
    if (!g->expected.empty() && g->number - g->expected.front().number > WAIT_LIMIT)
        return say(
            why, room,
            "on the bus: the store to 0x%08x, byte enables %s, is still missing, %u instructions later",
            g->expected.front().address, lanes(g->expected.front().enables).c_str(), WAIT_LIMIT);
    if (!g->written.empty() && g->number - g->written.front().number > WAIT_LIMIT)
        return say(why, room, "on the bus: a store to 0x%08x, byte enables %s, of no instruction",
                   g->written.front().address, lanes(g->written.front().enables).c_str());
    return 0;
}

// The core is elsewhere than the reference. Behind a branch or a jump that one is wrong, and not what lies
// where it led to; what came from outside may have led to a handler.
static int say_elsewhere(golden *g, const retired_t *r, uint32_t wanted, char *why, uint32_t room) {
    const Last &last = g->last;
    bool from_outside =
        r->first_of_handler || g->begins_handler(r->pc) || !g->errors.empty() || g->fetch_failed(wanted);
    if (last.trapped || from_outside || !(is_branch(last.word) || is_jump(last.word)))
        return say(why, room, "pc: expected 0x%08x, got 0x%08x", wanted, r->pc);
    g->culprit = r->number - 1;
    const char *did = is_jump(last.word) ? "the jump went elsewhere" : "the branch went elsewhere";
    uint32_t behind = last.pc + length_of(last.word);
    if (is_branch(last.word) && r->pc == behind) did = "branch not taken";
    if (is_branch(last.word) && wanted == behind && r->pc == last.pc + branch_offset(last.word))
        did = "branch taken";
    return say(why, room, "%s: expected pc 0x%08x, got 0x%08x", did, wanted, r->pc);
}

// An interrupt that does not come shows late: what should have let it come is told too.
static int say_not_taken(golden *g, uint32_t lines, char *why, uint32_t room) {
    say(why, room, "an interrupt (lines 0x%x) is not taken, %u instructions after it was enabled and raised",
        lines, WAIT_LIMIT);
    if (g->switched_number)
        add_to(why, room, "; %s at 0x%08x turned interrupts on, %llu instructions before this one",
               golden_disassemble(g, g->switched.word), g->switched.pc,
               (unsigned long long)(g->number - g->switched_number));
    return 1;
}

static int compare_step(golden *g, const retired_t *r, uint32_t lines, char *why, uint32_t room) {
    processor_t *core = g->core.get();
    state_t *state = g->state;
    g->device_missing = g->uses_device = false;
    g->culprit = 0;
    g->number = r->number;
    core->clear_waiting_for_interrupt();
    // RVFI marks the first instruction of any handler; only an interrupt is news to the reference.
    bool interrupted = r->first_of_handler && uint32_t(state->pc) != r->pc;
    bool misplaced = r->first_of_handler && !interrupted && !g->begins_handler(r->pc);
    uint32_t taken = interrupted && g->interrupt_enabled(lines) ? lines : 0;
    g->begin_step(taken, r->rd, r->frd_written ? r->frd : 0);
    if (interrupted && !taken)
        return say(
            why, room,
            "an interrupt was taken that was not there, or not enabled (lines 0x%x, mie 0x%x, mstatus 0x%x)",
            lines, unsigned(g->csrs[1]), unsigned(g->csrs[0]));
    if (taken) {
        g->take_interrupt(taken);
        g->remember_csrs();
        g->on = false;
    }
    if (taken || !(lines & g->csrs[1]))
        g->waiting = 0; // traps in between, which turn it off, don't count anew
    else if (g->interrupt_enabled(lines) && g->waiting++ == 0)
        g->raised_number = g->number;
    if (g->waiting > WAIT_LIMIT) return say_not_taken(g, lines, why, room);
    uint32_t pc = uint32_t(state->pc);
    if (pc != r->pc) return say_elsewhere(g, r, pc, why, room);
    if (misplaced)
        return say(why, room,
                   "rvfi_intr tells that a handler begins here, which mtvec, 0x%08x, does not name",
                   unsigned(g->csrs[2]));
    if (trapped_by_fetch(g, r, interrupted)) {
        g->refuse_fetch();
        g->failed_fetches.erase(g->failed_fetches.begin(), g->failed_fetch(pc) + 1);
        return compare_registers(g, r, why, room);
    }
    if (compare_word(g, r, why, room)) return 1;
    reg_t before = state->minstret->read();
    bool refused = r->trapped && !g->errors.empty();
    g->has_word = false, g->is_scalar = is_scalar(r->word);
    g->execute(refused);
    bool trapped = state->minstret->read() == before;
    if (refused) {
        reg_t cause = core->get_csr(MCAUSE);
        if (trapped && (cause == LOAD_FAULT || cause == STORE_FAULT)) g->errors.clear();
    }
    if (!g->errors.empty() && g->number - g->errors.front().number > WAIT_LIMIT)
        return say(why, room, "the bus answered an error at 0x%08x, and no trap came",
                   g->errors.front().address);
    if (trapped || (r->word & 0x7F) == SYSTEM) {
        g->remember_csrs();
        g->note_interrupts(r->pc, r->word);
    }
    if (trapped != (r->trapped != 0) && !writes_counter(r->word))
        return trapped ? say(why, room, "expected a trap, cause %u, mtval 0x%08x; got none", g->csr(MCAUSE),
                             g->csr(MTVAL))
                       : say(why, room, "trapped; expected was none");
    if (g->device_missing)
        return say(why, room, "a load from the device at 0x%08x is expected, which did not come on the bus",
                   g->device_missing_at);
    if (!trapped && accesses_csr(r->word)) {
        auto found = g->rules.find(csr_of(r->word));
        if (found != g->rules.end()) {
            const csr_rule_t &rule = found->second;
            bool says = rule.has_reset && is_fixed(rule.address);
            uint32_t wanted = says ? rule.reset : uint32_t(state->XPR[r->rd]);
            if (((wanted ^ r->rd_value) & rule.compared) == 0) wanted = r->rd_value;
            if (r->rd != 0) state->XPR.write(r->rd, reg_t(sreg_t(int32_t(wanted))));
            uint32_t held = g->csr(int(rule.address)), kept = (held & rule.keep) | rule.always;
            if (kept != held) {
                core->put_csr(int(rule.address), kept);
                g->remember_csrs();
            }
        }
    }
    for (const Stored &stored : g->step->stores)
        for (uint32_t i = 0; i < stored.bytes; i++)
            g->expect(stored.address + i, *g->byte_at(stored.address + i));
    int differs = compare_registers(g, r, why, room);
    if (!differs) differs = compare_retired_store(g, r, why, room);
    return differs ? differs : compare_bus(g, why, room);
}

// What happened outside, and the retire port did not tell. What the bus refused is kept with the step, so
// that a program has it too.
static void add_circumstances(golden *g, const retired_t *r, uint32_t wanted, uint32_t lines, char *why,
                              uint32_t room) {
    bool elsewhere = r->pc != wanted, hidden = elsewhere && g->begins_handler(r->pc);
    const char *told = hidden ? ", and the retire port tells none that trapped by it" : "";
    if (lines)
        add_to(why, room, "; an interrupt (lines 0x%x) is pending and enabled%s", lines,
               hidden ? ", and rvfi_intr does not tell that it was taken" : "");
    if ((hidden || g->word_differs) && g->fetch_failed(wanted)) {
        add_to(why, room, "; the bus answered the fetch of the instruction at 0x%08x with an error%s", wanted,
               told);
        if (hidden) g->step->fetch_failed = true;
    } else if (elsewhere && !g->errors.empty()) {
        add_to(why, room, "; the bus answered an access to 0x%08x with an error%s", g->errors.front().address,
               told);
        if (hidden) g->step->errors = g->errors;
    } else if (hidden && g->step->lines) {
        add_to(why, room, "; an interrupt (lines 0x%x) led there", g->step->lines);
    } else if (hidden && !lines) {
        add_to(why, room, "; a handler begins there, and the retire port tells none before it that trapped");
    }
}

extern "C" int golden_step(golden_t *g, const retired_t *r, uint32_t lines, char *why, uint32_t room) {
    uint32_t wanted = uint32_t(g->state->pc);
    bool elsewhere = r->pc != wanted;
    // One that is taken here is told; of others the line matters where the core went elsewhere, or says so.
    uint32_t pending = elsewhere != (r->first_of_handler != 0) && g->interrupt_enabled(lines) ? lines : 0;
    g->word_differs = false;
    int differs = compare_step(g, r, lines, why, room);
    if (differs) add_circumstances(g, r, wanted, pending, why, room);
    g->last = {r->pc, r->word, r->trapped != 0};
    return differs;
}
