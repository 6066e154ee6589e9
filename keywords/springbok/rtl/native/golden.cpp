// SPDX-License-Identifier: Apache-2.0
// Spike as the reference of a lockstep, from the headers and the library of the simulator's package.
#include "retired.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <riscv/cfg.h>
#include <riscv/disasm.h>
#include <riscv/memtracer.h>
#include <riscv/mmu.h>
#include <riscv/processor.h>
#include <riscv/simif.h>

namespace {

constexpr uint32_t KEPT = 512;       // steps that can be taken back
constexpr uint32_t WAIT_LIMIT = 512; // instructions that an interrupt or a store may take
constexpr uint32_t SYSTEM = 0x73, CSR_MASK = 0xFFF;
constexpr uint32_t FETCHES = 16; // errors of fetches that are kept: some are of what is never executed
constexpr uint32_t LOAD_FAULT = 5, STORE_FAULT = 7;

enum {
    MSTATUS = 0x300,
    MIE = 0x304,
    MTVEC = 0x305,
    MSCRATCH = 0x340,
    MEPC,
    MCAUSE,
    MTVAL,
    MIP,
    FCSR = 3,
    STVEC = 0x105
};
constexpr int SAVED_CSRS[] = {MSTATUS, MIE, MTVEC, MSCRATCH, MEPC, MCAUSE, MTVAL};
constexpr size_t SAVED = sizeof SAVED_CSRS / sizeof *SAVED_CSRS;

struct Memory {
    uint32_t base;
    std::vector<uint8_t> bytes;
};

struct Word { // of a store: the bytes that `enables` names
    uint32_t address, enables;
    uint8_t bytes[4];
    uint64_t number; // of the instruction, or of the newest one that had retired
};

// A queue in one piece.
struct Words {
    std::vector<Word> ring = std::vector<Word>(64);
    size_t first = 0, count = 0;
    bool empty() const {
        return count == 0;
    }
    Word &front() {
        return ring[first & (ring.size() - 1)];
    }
    Word &back() {
        return ring[(first + count - 1) & (ring.size() - 1)];
    }
    void pop() {
        first++, count--;
    }
    void push(const Word &word) {
        if (count == ring.size()) {
            std::vector<Word> larger(2 * ring.size());
            for (size_t i = 0; i < count; i++)
                larger[i] = ring[(first + i) & (ring.size() - 1)];
            ring = std::move(larger), first = 0;
        }
        ring[(first + count++) & (ring.size() - 1)] = word;
    }
};

struct Stored {
    uint32_t address, bytes;
    uint8_t old[STORE_BYTES];
};

struct Error { // an access that the bus answered with an error
    uint32_t address, bytes;
    bool is_store;
    uint64_t number;
};

struct Step { // what is needed to take it back
    uint32_t pc, rd, frd, old_f;
    reg_t old_x, privilege, csrs[SAVED];
    uint32_t lines;                // of an interrupt that was taken before it
    std::vector<uint32_t> answers; // of devices
    std::vector<Error> errors;     // that it trapped by
    bool fetch_failed;
    std::vector<Stored> stores;
    std::vector<uint8_t> vectors;
};

uint32_t csr_of(uint32_t word) {
    return word >> 20 & CSR_MASK;
}

bool accesses_csr(uint32_t word) {
    return (word & 0x7F) == SYSTEM && (word >> 12 & 7) != 0 && (word >> 12 & 7) != 4;
}

} // namespace

struct golden : simif_t, memtracer_t {
    cfg_t cfg;
    std::string isa, privilege, text;
    std::vector<Memory> memories;
    std::vector<range_t> devices;
    std::map<uint32_t, csr_rule_t> rules;
    std::map<size_t, processor_t *> harts;
    std::unique_ptr<processor_t> core;
    state_t *state = nullptr;
    device_read_t device_read = nullptr;
    void *owner = nullptr;
    bool stores_on_bus = false;

    reg_t x[32] = {}; // the RTL's registers, as what it retired made them
    uint32_t f[32] = {};
    std::vector<uint8_t> v;
    bool floats = false, follows_x = true;
    reg_t csrs[SAVED] = {};
    uint32_t waiting = 0; // instructions that an enabled interrupt waits for

    bool device_missing = false, uses_device = false;
    std::vector<uint32_t> replayed; // what devices answered when a step was done first
    std::vector<uint32_t>::const_iterator next_answer = replayed.end();
    uint32_t device_missing_at = 0;
    bool fetch_fails = false;
    std::vector<Error> errors;
    std::deque<range_t> failed_fetches;
    bool fails_now = false, word_differs = false;
    uint64_t number = 0;

    Words expected, written; // on the bus
    std::vector<Step> steps = std::vector<Step>(KEPT);
    uint64_t step_count = 0;
    Step *step = nullptr;
    bool traces_loads = false;
    touched_t touched = nullptr;
    void *touched_owner = nullptr;

    Memory *memory_at(uint32_t address) {
        for (Memory &memory : memories)
            if (address - memory.base < memory.bytes.size()) return &memory;
        return nullptr;
    }
    uint8_t *byte_at(uint32_t address) {
        Memory *memory = memory_at(address);
        return memory ? &memory->bytes[address - memory->base] : nullptr;
    }
    bool is_device(uint32_t address) const {
        for (const range_t &device : devices)
            if (address - device.base < device.bytes) return true;
        return false;
    }

    bool fails(uint32_t at) const {
        if (fails_now)
            for (const Error &error : errors)
                if (at - error.address < error.bytes || error.address - at < 4) return true;
        return false;
    }

    // The error of an instruction's fetch, the oldest one; those before it are of what was never executed.
    std::deque<range_t>::const_iterator failed_fetch(uint32_t pc) const {
        return std::find_if(failed_fetches.begin(), failed_fetches.end(), [pc](const range_t &fetch) {
            return pc - fetch.base < fetch.bytes || pc + 2 - fetch.base < fetch.bytes;
        });
    }
    bool fetch_failed(uint32_t pc) const {
        return failed_fetch(pc) != failed_fetches.end();
    }
    bool interrupt_enabled(uint32_t lines) const {
        return lines & csrs[1] && csrs[0] & MSTATUS_MIE;
    }
    // Whether a trap may lead there.
    bool begins_handler(uint32_t pc) {
        reg_t vectors[] = {csrs[2], core->extension_enabled('S') ? core->get_csr(STVEC) : csrs[2]};
        for (reg_t vector : vectors) {
            uint32_t behind = pc - uint32_t(vector & ~reg_t(3));
            if (behind == 0 || (vector & 1 && behind < 32 * 4 && behind % 4 == 0)) return true;
        }
        return false;
    }

    // ---- What Spike asks for

    char *addr_to_mem(reg_t address) override {
        uint32_t at = uint32_t(address);
        if (fails(at)) return nullptr;
        Memory *memory = memory_at(at);
        if (!memory) return nullptr;
        return reinterpret_cast<char *>(&memory->bytes[at - memory->base]);
    }
    bool mmio_load(reg_t address, size_t count, uint8_t *bytes) override {
        uint32_t value = 0;
        if (!is_device(uint32_t(address)) || fails(uint32_t(address))) return false;
        uses_device = true;
        if (next_answer != replayed.end()) {
            value = *next_answer++;
            touched(touched_owner, uint32_t(address), uint32_t(count), TOUCHED_ANSWER, value);
        } else if (!device_read || !device_read(owner, uint32_t(address), uint32_t(count), &value)) {
            device_missing = true;
            device_missing_at = uint32_t(address);
        }
        if (step) step->answers.push_back(value);
        memcpy(bytes, &value, count < 4 ? count : 4);
        return true;
    }
    bool mmio_store(reg_t address, size_t count, const uint8_t *bytes) override {
        if (!is_device(uint32_t(address)) || fails(uint32_t(address))) return false;
        uses_device = true;
        for (size_t i = 0; i < count; i++)
            expect(uint32_t(address + i), bytes[i]);
        return true;
    }
    bool mmio_fetch(reg_t, size_t, uint8_t *) override {
        return false;
    }
    void proc_reset(unsigned) override {}
    const cfg_t &get_cfg() const override {
        return cfg;
    }
    const std::map<size_t, processor_t *> &get_harts() const override {
        return harts;
    }
    const char *get_symbol(uint64_t) override {
        return "";
    }

    bool interested_in_range(uint64_t, uint64_t, access_type type) override {
        return type == STORE || (type == LOAD && traces_loads);
    }
    void trace(uint64_t address, size_t count, access_type type) override {
        if (!byte_at(uint32_t(address))) return; // a device
        if (type == STORE) {                     // about to be done
            if (touched) touched(touched_owner, uint32_t(address), uint32_t(count), TOUCHED_STORE, 0);
            Stored stored{uint32_t(address), uint32_t(count), {}};
            for (uint32_t i = 0; i < stored.bytes && i < STORE_BYTES; i++)
                stored.old[i] = *byte_at(stored.address + i);
            if (step) step->stores.push_back(stored);
        } else if (type == LOAD && touched) {
            touched(touched_owner, uint32_t(address), uint32_t(count), TOUCHED_LOAD, 0);
        }
    }
    void clean_invalidate(uint64_t, size_t, bool, bool) override {}

    // ---- State

    static void add(Words &words, uint32_t address, uint8_t value, uint64_t number) {
        uint32_t base = address & ~3u, lane = address & 3;
        if (words.empty() || words.back().address != base || words.back().number != number ||
            words.back().enables >> lane)
            words.push({base, 0, {}, number});
        words.back().enables |= 1u << lane;
        words.back().bytes[lane] = value;
    }
    void expect(uint32_t address, uint8_t value) {
        if (stores_on_bus) add(expected, address, value, number);
    }
    uint32_t csr(int address) {
        return uint32_t(core->get_csr(address));
    }
    void remember_csrs() {
        for (size_t i = 0; i < SAVED; i++)
            csrs[i] = core->get_csr(SAVED_CSRS[i]);
    }
    uint8_t *vectors() {
        return static_cast<uint8_t *>(core->VU.reg_file);
    }
    size_t vector_bytes() {
        return size_t(core->VU.VLEN / 8);
    }

    // Before a step the reference's registers are those of the RTL: only what retires in it is kept.
    void begin_step(uint32_t lines, uint32_t rd, uint32_t frd) {
        step = &steps[step_count++ % KEPT];
        step->pc = uint32_t(state->pc);
        step->rd = rd, step->old_x = x[rd];
        step->frd = frd, step->old_f = f[frd];
        memcpy(step->csrs, csrs, sizeof csrs);
        step->privilege = state->prv;
        step->lines = lines;
        step->answers.clear();
        step->errors.clear();
        step->fetch_failed = false;
        step->stores.clear();
        if (vector_bytes()) step->vectors.assign(v.begin(), v.end());
    }
    // The core met an error where the reference finds the instruction: the trap is done by hand.
    void refuse_fetch() {
        uint32_t pc = uint32_t(state->pc);
        step->fetch_failed = true;
        state->mepc->write(pc), state->mcause->write(1), state->mtval->write(pc);
        reg_t status = core->get_csr(MSTATUS);
        reg_t previous = (status & MSTATUS_MIE) << 4 | state->prv << 11;
        core->put_csr(MSTATUS, (status & ~reg_t(MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP)) | previous);
        core->set_privilege(3, false);
        state->pc = core->get_csr(MTVEC) & ~reg_t(3);
        remember_csrs();
    }
    // One instruction; where `refused`, accesses that meet one of the errors trap.
    void execute(bool refused) {
        fails_now = refused;
        if (refused) step->errors = errors, core->get_mmu()->flush_tlb();
        core->step(1);
        fails_now = false;
        if (refused) core->get_mmu()->flush_tlb();
    }
    void take_interrupt(uint32_t lines) {
        state->mip->backdoor_write_with_mask(MIP_MSIP | MIP_MTIP | MIP_MEIP, lines);
        core->step(1);
        state->mip->backdoor_write_with_mask(MIP_MSIP | MIP_MTIP | MIP_MEIP, 0);
    }
};

extern "C" golden_t *golden_new(const golden_config_t *config) {
    golden *g = new golden;
    g->isa = config->isa;
    g->privilege = config->privilege;
    g->cfg.isa = g->isa.c_str();
    g->cfg.priv = g->privilege.c_str();
    g->cfg.pmpregions = 0;
    g->cfg.trigger_count = 0;
    g->cfg.hartids = {0};
    for (uint32_t i = 0; i < config->memory_count; i++)
        g->memories.push_back({config->memories[i].base, std::vector<uint8_t>(config->memories[i].bytes)});
    g->devices.assign(config->devices, config->devices + config->device_count);
    for (uint32_t i = 0; i < config->rule_count; i++)
        g->rules[config->rules[i].address] = config->rules[i];
    g->device_read = config->device_read;
    g->owner = config->owner;
    g->stores_on_bus = config->stores_on_bus;
    g->core = std::make_unique<processor_t>(g->isa.c_str(), g->privilege.c_str(), &g->cfg, g, 0, false,
                                            stderr, std::cerr);
    g->harts[0] = g->core.get();
    g->state = g->core->get_state();
    g->core->get_mmu()->register_memtracer(g);
    g->floats = g->core->extension_enabled('F');
    g->v.assign(32 * g->vector_bytes(), 0);
    g->state->pc = config->start;
    for (auto &[address, rule] : g->rules)
        if (rule.has_reset) g->core->put_csr(int(address), rule.reset);
    g->remember_csrs();
    return g;
}

extern "C" void golden_delete(golden_t *g) {
    delete g;
}

extern "C" void golden_write(golden_t *g, uint32_t address, const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (uint8_t *byte = g->byte_at(address + i)) *byte = bytes[i];
    g->core->get_mmu()->flush_icache();
}

extern "C" void golden_read(golden_t *g, uint32_t address, uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *byte = g->byte_at(address + i);
        bytes[i] = byte ? *byte : 0;
    }
}

extern "C" void golden_bus_store(golden_t *g, uint32_t address, uint32_t enables, const uint8_t *bytes,
                                 uint64_t) {
    if (!g->stores_on_bus) return;
    for (uint32_t i = 0; i < STORE_BYTES && enables >> i; i++)
        if (enables >> i & 1) golden::add(g->written, address + i, bytes[i], g->number);
}

extern "C" void golden_bus_error(golden_t *g, uint32_t address, uint32_t bytes, int is_store) {
    g->errors.push_back({address, bytes, is_store != 0, g->number});
}

extern "C" void golden_fetch_error(golden_t *g, uint32_t address, uint32_t bytes) {
    g->failed_fetches.push_back({address, bytes});
    if (g->failed_fetches.size() > FETCHES) g->failed_fetches.pop_front();
}

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

static int compare_bus(golden *g, char *why, uint32_t room) {
    while (!g->expected.empty() && !g->written.empty()) {
        Word &want = g->expected.front(), &got = g->written.front();
        if (want.address != got.address || !(want.enables & got.enables))
            return say(why, room,
                       "on the bus: expected a store to 0x%08x, bytes %x; got one to 0x%08x, bytes %x",
                       want.address, want.enables, got.address, got.enables);
        for (uint32_t i = 0; i < 4; i++)
            if (want.enables & got.enables & 1u << i && want.bytes[i] != got.bytes[i])
                return say(why, room, "on the bus: store to 0x%08x: expected byte 0x%02x, got 0x%02x",
                           want.address + i, want.bytes[i], got.bytes[i]);
        uint32_t both = want.enables & got.enables; // one side may store in smaller pieces
        want.enables &= ~both, got.enables &= ~both;
        if (!want.enables) g->expected.pop();
        if (!got.enables) g->written.pop();
    }
    if (!g->expected.empty() && g->number - g->expected.front().number > WAIT_LIMIT)
        return say(why, room,
                   "on the bus: the store to 0x%08x, bytes %x, is still missing, %u instructions later",
                   g->expected.front().address, g->expected.front().enables, WAIT_LIMIT);
    if (!g->written.empty() && g->number - g->written.front().number > WAIT_LIMIT)
        return say(why, room, "on the bus: a store to 0x%08x, bytes %x, of no instruction",
                   g->written.front().address, g->written.front().enables);
    return 0;
}

static int compare_step(golden *g, const retired_t *r, uint32_t lines, char *why, uint32_t room) {
    processor_t *core = g->core.get();
    state_t *state = g->state;
    g->device_missing = g->uses_device = false;
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
    }
    g->waiting = g->interrupt_enabled(lines) ? g->waiting + 1 : 0;
    if (g->waiting > WAIT_LIMIT)
        return say(why, room,
                   "an interrupt (lines 0x%x) is not taken, %u instructions after it was enabled and raised",
                   lines, WAIT_LIMIT);
    uint32_t pc = uint32_t(state->pc);
    if (pc != r->pc) return say(why, room, "pc: expected 0x%08x, got 0x%08x", pc, r->pc);
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
    g->execute(refused);
    bool writes_counter = accesses_csr(r->word) && (csr_of(r->word) & 0x7F) == 2;
    bool trapped = state->minstret->read() == before;
    if (refused) {
        reg_t cause = core->get_csr(MCAUSE);
        if (trapped && (cause == LOAD_FAULT || cause == STORE_FAULT)) g->errors.clear();
    }
    if (!g->errors.empty() && g->number - g->errors.front().number > WAIT_LIMIT)
        return say(why, room, "the bus answered an error at 0x%08x, and no trap came",
                   g->errors.front().address);
    if (trapped || (r->word & 0x7F) == SYSTEM) g->remember_csrs();
    if (trapped != (r->trapped != 0) && !writes_counter)
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
            uint32_t wanted = uint32_t(state->XPR[r->rd]);
            if (r->rd != 0 && ((wanted ^ r->rd_value) & rule.compared) == 0)
                state->XPR.write(r->rd, reg_t(sreg_t(int32_t(r->rd_value))));
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
    return differs;
}

extern "C" const char *golden_disassemble(golden_t *g, uint32_t word) {
    g->text = g->core->get_disassembler()->disassemble(insn_t(word));
    return g->text.c_str();
}

extern "C" uint32_t golden_kept(golden_t *g) {
    return uint32_t(g->step_count < KEPT ? g->step_count : KEPT);
}

extern "C" uint32_t golden_waiting(golden_t *g) {
    return g->waiting;
}

extern "C" uint32_t golden_rewind(golden_t *g, uint32_t steps) {
    uint32_t kept = golden_kept(g), back = steps < kept ? steps : kept;
    if (back == 0) return 0;
    for (uint32_t i = 0; i < back; i++) {
        Step &step = g->steps[--g->step_count % KEPT];
        g->state->pc = step.pc;
        g->x[step.rd] = step.old_x;
        g->f[step.frd] = step.old_f;
        if (!step.vectors.empty()) g->v = step.vectors;
        g->core->set_privilege(step.privilege, false);
        for (size_t n = 0; n < SAVED; n++)
            if (g->core->get_csr(SAVED_CSRS[n]) != step.csrs[n])
                g->core->put_csr(SAVED_CSRS[n], step.csrs[n]);
        for (auto stored = step.stores.rbegin(); stored != step.stores.rend(); ++stored)
            for (uint32_t n = 0; n < stored->bytes && n < STORE_BYTES; n++)
                *g->byte_at(stored->address + n) = stored->old[n];
    }
    for (size_t n = 1; n < 32; n++)
        g->state->XPR.write(n, g->x[n]);
    if (g->floats)
        for (size_t n = 0; n < 32; n++)
            g->state->FPR.write(n, freg_t{{g->f[n] | 0xFFFFFFFF00000000u, ~uint64_t(0)}});
    if (!g->v.empty()) memcpy(g->vectors(), g->v.data(), g->v.size());
    g->remember_csrs();
    g->core->get_mmu()->flush_icache();
    g->step = nullptr;
    return back;
}

extern "C" void golden_state(golden_t *g, golden_state_t *out, uint8_t *vectors) {
    *out = golden_state_t{};
    out->pc = uint32_t(g->state->pc);
    for (size_t n = 0; n < 32; n++) {
        out->x[n] = uint32_t(g->state->XPR[n]);
        out->f[n] = g->floats ? uint32_t(g->state->FPR[n].v[0]) : 0;
    }
    out->mstatus = g->csr(MSTATUS), out->mie = g->csr(MIE), out->mtvec = g->csr(MTVEC);
    out->mscratch = g->csr(MSCRATCH), out->mepc = g->csr(MEPC), out->mcause = g->csr(MCAUSE);
    out->mtval = g->csr(MTVAL), out->privilege = uint32_t(g->state->prv);
    out->fcsr = g->floats ? uint32_t(g->state->fflags->read() | g->state->frm->read() << 5) : 0;
    out->vector_bytes = uint32_t(g->vector_bytes());
    if (out->vector_bytes) {
        out->vl = uint32_t(g->core->VU.vl->read()), out->vtype = uint32_t(g->core->VU.vtype->read());
        memcpy(vectors, g->vectors(), 32 * out->vector_bytes);
    }
}

// The steps themselves are forgotten again: who replays has rewound, and rewinds once more.
extern "C" void golden_replay(golden_t *g, uint32_t steps, touched_t touched, void *owner) {
    g->touched = touched, g->touched_owner = owner;
    g->traces_loads = true;
    g->core->get_mmu()->flush_tlb();
    for (uint32_t i = 0; i < steps; i++) {
        const Step again = g->steps[g->step_count % KEPT];
        uint32_t lines = again.lines;
        g->replayed = again.answers;
        g->next_answer = g->replayed.begin();
        g->begin_step(lines, again.rd, again.frd);
        if (lines) {
            g->take_interrupt(lines);
            g->remember_csrs();
            touched(owner, i, 0, TOUCHED_INTERRUPT, lines);
        }
        touched(owner, uint32_t(g->state->pc), 4, TOUCHED_CODE, 0);
        for (const Error &error : again.errors)
            touched(owner, error.address, i, TOUCHED_ERROR, 0);
        if (again.fetch_failed) {
            touched(owner, uint32_t(g->state->pc), i, TOUCHED_ERROR, 0);
            g->refuse_fetch();
        } else {
            g->errors = again.errors;
            g->execute(!again.errors.empty());
            g->errors.clear();
        }
        g->remember_csrs();
        for (size_t n = 1; n < 32; n++)
            g->x[n] = g->state->XPR[n];
        for (size_t n = 0; n < 32 && g->floats; n++)
            g->f[n] = uint32_t(g->state->FPR[n].v[0]);
        if (!g->v.empty()) memcpy(g->v.data(), g->vectors(), g->v.size());
    }
    g->traces_loads = false;
    g->replayed.clear();
    g->next_answer = g->replayed.end();
    g->touched = nullptr;
    g->core->get_mmu()->flush_tlb();
}
