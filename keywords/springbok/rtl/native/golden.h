// SPDX-License-Identifier: Apache-2.0
// Spike as the reference of a lockstep, from the headers and the library of the simulator's package: its
// state, what it asks for, and the steps that can be taken back.
#pragma once
#include "retired.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <riscv/cfg.h>
#include <riscv/memtracer.h>
#include <riscv/mmu.h>
#include <riscv/processor.h>
#include <riscv/simif.h>

namespace springbok {

constexpr uint32_t KEPT = 512;       // steps that can be taken back
constexpr uint32_t WAIT_LIMIT = 512; // instructions that an interrupt or a store may take
constexpr uint32_t FETCHES = 16;     // errors of fetches that are kept: some are of what is never executed
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

// Whether a register says what the core is, and is written by none: misa, and those that can only be read.
constexpr bool is_fixed(uint32_t csr) {
    return csr == 0x301 || csr >> 10 == 3;
}

struct Memory {
    uint32_t base;
    std::vector<uint8_t> bytes;
};

struct Word {                  // of a store: the bytes that `enables` names
    uint32_t address, enables; // what is left to compare
    uint8_t bytes[4];
    uint64_t number; // of the instruction, or of the newest one that had retired
    uint32_t whole;  // all that it had
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

struct Last { // the newest instruction that was the same
    uint32_t pc, word;
    bool trapped;
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

} // namespace springbok

using namespace springbok;

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
    uint32_t waiting = 0; // instructions at which an interrupt was enabled and raised, since one was taken
    uint64_t raised_number = 0;   // the first of these
    bool on = false;              // whether interrupts are
    Last switched = {0, 0, true}; // what turned them on, and its number; 0: nothing has
    uint64_t switched_number = 0;

    bool device_missing = false, uses_device = false;
    bool is_scalar = false, has_word = false; // of a device, as the instruction has met it
    uint32_t word_address = 0, word_value = 0;
    std::vector<uint32_t> replayed; // what devices answered when a step was done first
    std::vector<uint32_t>::const_iterator next_answer = replayed.end();
    uint32_t device_missing_at = 0;
    bool fetch_fails = false;
    std::vector<Error> errors;
    std::deque<range_t> failed_fetches;
    bool fails_now = false, word_differs = false;
    uint64_t number = 0, culprit = 0; // the newest instruction, and the one that is wrong; 0: the newest
    Last last = {0, 0, true};

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
        return lines & csrs[1] && (csrs[0] & MSTATUS_MIE || state->prv < PRV_M);
    }
    void note_interrupts(uint32_t pc, uint32_t word) {
        bool before = on;
        on = interrupt_enabled(~0u);
        if (on && !before) switched = {pc, word, false}, switched_number = number;
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
        } else {
            // Spike takes what is misaligned byte by byte, the core a word of the bus at once.
            bool again = has_word && is_scalar && word_address == (uint32_t(address) & ~3u);
            word_address = uint32_t(address) & ~3u;
            if (!again && (!device_read || !device_read(owner, word_address, 4, &word_value))) {
                device_missing = true;
                device_missing_at = uint32_t(address);
            }
            has_word = true;
            value = device_missing ? 0 : word_value >> 8 * (address & 3);
            if (count < 4) value &= (1u << 8 * count) - 1;
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

    // A byte of a store; where it `joins`, it belongs to the word before if that is of the same address.
    static void add(Words &words, uint32_t address, uint8_t value, uint64_t number, bool joins) {
        uint32_t base = address & ~3u, lane = address & 3;
        if (!joins || words.empty() || words.back().address != base || words.back().number != number ||
            words.back().enables >> lane)
            words.push({base, 0, {}, number, 0});
        words.back().enables |= 1u << lane, words.back().whole |= 1u << lane;
        words.back().bytes[lane] = value;
    }
    void expect(uint32_t address, uint8_t value) {
        if (stores_on_bus) add(expected, address, value, number, true);
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

// For Python: how many instructions before the newest one lies what differs.
extern "C" uint32_t golden_behind(golden_t *golden);
