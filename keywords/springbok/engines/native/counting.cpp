// SPDX-License-Identifier: Apache-2.0
// Counts executions by program counter, apart by place (what the firmware's marks say) and by vector
// configuration.
//
// Spike decodes an instruction when it first meets it and then calls a function for it. An entry before all
// others of its decode tables gives every instruction one function, `execute`, which calls Spike's and
// counts. So the core stays in its fast loop, and counting costs one more call an instruction.
#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include <riscv/mmu.h>
#include <riscv/processor.h>

#include "native.h"

namespace {

// What an instruction's function returns instead of the next program counter to be called again, with the
// counter of instructions up to date (PC_SERIALIZE_BEFORE of Spike's decode_macros.h).
const reg_t kSerializeBefore = 3;

const reg_t kNoAddress = 1; // never a program counter

const size_t kMostLabels = 1 << 18; // that are kept when other code is loaded

// The address that an instruction reaches: a register's, if any, and an offset.
struct address_t {
    int16_t base = -1, offset = 0;
};

// An instruction that was met: what it is, what executes it, and the number of its count. One that reaches
// memory while regions are watched has one number a region, one behind the other.
struct site_t {
    reg_t pc = kNoAddress;
    insn_bits_t bits = 0;
    insn_func_t function = nullptr;
    uint32_t number = 0;
    address_t address;
};

// Addresses from `begin` up to `end`.
struct range_t {
    reg_t begin, end;
};

// By address; code that is further apart than so many words takes turns. Kernels are unrolled: some have
// 50,000.
using sites_t = std::vector<site_t>;
const size_t kInside = 1 << 16, kOutside = 1 << 12; // powers of two

// Executions by number of a site, under one vector configuration. Numbers are given in the order of
// execution, so what one place executes lies in few pages.
const size_t kPage = 1 << 8;
using page_t = std::array<uint64_t, kPage>;
using executions_t = std::vector<std::unique_ptr<page_t>>;

struct configuration_t {
    uint32_t vl, vtype;
    bool operator==(const configuration_t &other) const = default;
};

struct word_at_t {
    reg_t pc;
    insn_bits_t bits;
    bool operator==(const word_at_t &other) const = default;
};

struct hash_t {
    size_t operator()(const configuration_t &each) const {
        return each.vl * kOdd ^ each.vtype;
    }
    size_t operator()(const word_at_t &each) const {
        return (each.pc >> 1) * kOdd ^ each.bits;
    }
    static const uint64_t kOdd = 0x9E3779B97F4A7C15;
};

using place_t = std::unordered_map<configuration_t, executions_t, hash_t>;

// An instruction that marks: every word that is `match` under `mask`.
struct marking_t {
    insn_bits_t match, mask;
    bool privileged;
};

struct counting_t {
    mark_t on_mark = nullptr;
    bool counts = false;
    std::vector<marking_t> markings;
    reg_t address_mask = 0; // Spike extends addresses of 32 bits by their signs

    sites_t inside{kInside}, outside{kOutside}; // of windows: only what runs inside gets a number
    std::unordered_map<word_at_t, site_t, hash_t> numbered;
    std::vector<word_at_t> words{{kNoAddress, 0}}; // by number; number 0 is of all that is not counted
    std::vector<uint32_t> regions{0};              // by number: what of the watched it reached, from 1; or 0
    std::vector<range_t> watched;
    std::unordered_map<uint64_t, uint32_t> labels; // by word, and its part

    std::unordered_map<uint64_t, place_t> places;
    place_t *place = nullptr; // where the core is; null outside of windows
    configuration_t configuration = {0, 0};
    std::vector<count_t> drained;
    std::vector<site_count_t> listed;
};

counting_t counting;

// Of the instruction that is being executed.
sites_t *sites = &counting.outside;
executions_t *executions;
executions_t ignored; // of number 0, outside of windows

// Spike's functions that need a look around them.
insn_func_t vector_configurations[3], write_misa;

void select_executions() {
    if (!counting.place) {
        sites = &counting.outside;
        executions = &ignored;
        return;
    }
    sites = &counting.inside;
    executions = &(*counting.place)[counting.configuration];
}

void count(uint32_t number) {
    size_t page = number / kPage;
    if (unlikely(page >= executions->size())) executions->resize(page + 1);
    std::unique_ptr<page_t> &found = (*executions)[page];
    if (unlikely(!found)) found = std::make_unique<page_t>();
    (*found)[number % kPage]++;
}

// vsetvli, vsetivli, vsetvl: Spike's own function, then a look at what it made of vl and vtype.
template <int kind> reg_t configure_vectors(processor_t *core, insn_t insn, reg_t pc) {
    reg_t next = vector_configurations[kind](core, insn, pc);
    reg_t vtype = core->VU.vtype->read();
    // The register's top bit says that it is illegal; it is kept where a core of 32 bits has it.
    uint32_t illegal = uint32_t(vtype >> (core->get_xlen() - 1) & 1) << 31;
    configuration_t now = {uint32_t(core->VU.vl->read()), uint32_t(vtype & 0xFF) | illegal};
    if (!(now == counting.configuration)) {
        counting.configuration = now;
        select_executions();
    }
    return next;
}

const marking_t *marking_of(insn_bits_t bits) {
    for (const marking_t &each : counting.markings)
        if ((bits & each.mask) == each.match) return &each;
    return nullptr;
}

reg_t mark(processor_t *core, insn_t insn, reg_t pc) {
    state_t *state = core->get_state();
    if (marking_of(insn.bits())->privileged && state->prv != PRV_M)
        throw trap_illegal_instruction(insn.bits());
    if (!counting.counts) return pc + 4;
    if (!state->serialized) return kSerializeBefore;
    state->serialized = false;
    counting.on_mark(uint32_t(state->XPR[insn.rs1()]), uint32_t(state->XPR[insn.rs2()]),
                     state->minstret->read());
    return pc + 4;
}

// The core may have other instructions from here on.
reg_t change_isa(processor_t *core, insn_t insn, reg_t pc) {
    reg_t next = write_misa(core, insn, pc);
    for (sites_t *each : {&counting.inside, &counting.outside})
        std::fill(each->begin(), each->end(), site_t());
    counting.numbered.clear();
    return next;
}

reg_t execute(processor_t *core, insn_t insn, reg_t pc);
reg_t execute_watching(processor_t *core, insn_t insn, reg_t pc);

bool is_own(insn_func_t function) {
    return function == execute || function == execute_watching;
}

// Spike's function for a word: of the entries behind our own.
insn_func_t spikes_function(processor_t *core, insn_bits_t bits) {
    for (const opcode_map_entry_t &each : core->opcode_map[bits % std::size(core->opcode_map)])
        if ((bits & each.mask) == each.match && !is_own(each.func)) return each.func;
    return illegal_instruction;
}

insn_func_t function_of(processor_t *core, insn_bits_t bits) {
    if (marking_of(bits)) return mark;
    insn_func_t function = spikes_function(core, bits);
    if (function == illegal_instruction) return function;
    if ((bits & 0x7F) == 0x73 && (bits >> 12 & 3) && bits >> 20 == CSR_MISA) {
        write_misa = function;
        return change_isa;
    }
    if (const shortcut_t *shortcut = shortcut_of(bits)) return take_shortcut(shortcut, function);
    if ((bits & 0x707F) != 0x7057) return function;
    int kind = !(bits >> 31 & 1) ? 0 : bits >> 30 & 1 ? 1 : 2;
    vector_configurations[kind] = function;
    const insn_func_t followed[] = {configure_vectors<0>, configure_vectors<1>, configure_vectors<2>};
    return followed[kind];
}

address_t address_of(int64_t base, int64_t offset) {
    return {int16_t(base), int16_t(offset)};
}

address_t address_of_compressed(processor_t *core, insn_t insn) {
    uint32_t quadrant = insn.bits() & 3, kind = insn.bits() >> 13 & 7;
    if (quadrant == 1 || kind % 4 == 0) return {};
    // What moves words of floating point on a core of 32 bits moves integers of 64 on another one.
    bool is_word = kind % 4 == 2 || (kind % 4 == 3 && core->get_xlen() == 32);
    if (quadrant == 0) return address_of(insn.rvc_rs1s(), is_word ? insn.rvc_lw_imm() : insn.rvc_ld_imm());
    if (kind < 4) return address_of(X_SP, is_word ? insn.rvc_lwsp_imm() : insn.rvc_ldsp_imm());
    return address_of(X_SP, is_word ? insn.rvc_swsp_imm() : insn.rvc_sdsp_imm());
}

// A chip's own instructions are taken to reach nothing that is watched.
address_t address_of(processor_t *core, insn_t insn) {
    if ((insn.bits() & 3) != 3) return address_of_compressed(core, insn);
    uint32_t width = insn.bits() >> 12 & 7;
    bool is_vector = width == 0 || width > 4;
    switch (insn.bits() & 0x7F) {
    case 0x03: return address_of(insn.rs1(), insn.i_imm());
    case 0x23: return address_of(insn.rs1(), insn.s_imm());
    case 0x07: return address_of(insn.rs1(), is_vector ? 0 : insn.i_imm());
    case 0x27: return address_of(insn.rs1(), is_vector ? 0 : insn.s_imm());
    case 0x2F: return address_of(insn.rs1(), 0);
    default: return {};
    }
}

uint32_t region_of(processor_t *core, address_t address) {
    reg_t at = (core->get_state()->XPR[address.base] + address.offset) & counting.address_mask;
    for (size_t i = 0; i < counting.watched.size(); i++)
        if (at >= counting.watched[i].begin && at < counting.watched[i].end) return uint32_t(i + 1);
    return 0;
}

void add_numbers(word_at_t word, size_t count) {
    for (size_t region = 0; region < count; region++) {
        counting.words.push_back(word);
        counting.regions.push_back(uint32_t(region));
    }
}

__attribute__((noinline)) site_t *meet(processor_t *core, insn_bits_t bits, reg_t pc, site_t *site) {
    if (!counting.place) {
        *site = {pc, bits, function_of(core, bits), 0, {}};
        return site;
    }
    word_at_t word = {pc, bits};
    auto [found, is_new] = counting.numbered.try_emplace(word);
    if (is_new) {
        insn_func_t function = function_of(core, bits);
        uint32_t number = function == mark ? 0 : uint32_t(counting.words.size());
        address_t address = number && !counting.watched.empty() ? address_of(core, bits) : address_t();
        found->second = {pc, bits, function, number, address};
        if (number) add_numbers(word, address.base < 0 ? 1 : counting.watched.size() + 1);
    }
    *site = found->second;
    return site;
}

site_t *site_of(reg_t pc) {
    // Words of 32 bits that begin in the middle of one lie in the other half.
    size_t half = sites->size() / 2, row = pc / 4 % half;
    return &(*sites)[pc & 2 ? half + row : row];
}

reg_t execute(processor_t *core, insn_t insn, reg_t pc) {
    site_t *site = site_of(pc);
    if (unlikely(site->pc != pc || site->bits != insn.bits())) site = meet(core, insn.bits(), pc, site);
    uint32_t number = site->number;
    reg_t next = site->function(core, insn, pc);
    if (likely(next != kSerializeBefore)) count(number);
    return next;
}

// The same where regions are watched: the address is known before the instruction changes its register.
reg_t execute_watching(processor_t *core, insn_t insn, reg_t pc) {
    site_t *site = site_of(pc);
    if (unlikely(site->pc != pc || site->bits != insn.bits())) site = meet(core, insn.bits(), pc, site);
    uint32_t number = site->number;
    if (site->address.base >= 0) number += region_of(core, site->address);
    reg_t next = site->function(core, insn, pc);
    if (likely(next != kSerializeBefore)) count(number);
    return next;
}

// `Part` of windows.py.
uint32_t part_of(reg_t pc, reg_t begin, reg_t end, const char *stack, size_t stack_words) {
    if (pc < begin || pc >= end) return 0;
    size_t number = size_t(pc - begin) / 4;
    return 1 + (number < stack_words ? uint32_t(stack[number]) : 0);
}

void put_first(processor_t *core, insn_bits_t match, insn_bits_t mask, insn_func_t function) {
    insn_func_t none = illegal_instruction; // rv32e, rv64e
    insn_desc_t first = {match, mask, function, function, none, none, function, function, none, none};
    core->custom_instructions.insert(core->custom_instructions.begin(), first);
}

} // namespace

extern "C" {

// An instruction of the chip that marks; before `bench_count`.
void bench_add_mark(uint64_t match, uint64_t mask, bool privileged) {
    counting.markings.push_back({match, mask, privileged});
}

// Addresses that are told apart in `bench_sites`, in this order; before `bench_count`.
void bench_watch(uint64_t begin, uint64_t end) {
    counting.watched.push_back({begin, end});
}

// With `on_mark` every instruction is counted, and marks go there; without it they do nothing.
void bench_count(processor_t *core, mark_t on_mark) {
    counting.on_mark = on_mark;
    counting.counts = on_mark != nullptr;
    counting.address_mask = core->get_xlen() == 32 ? 0xFFFFFFFF : ~reg_t(0);
    select_executions();
    std::span<const shortcut_t> shortcuts = begin_shortcuts(counting.address_mask);
    // Before the chip's own, and kept when Spike makes its tables anew. Words that end in 3 are not
    // compressed, others are; Spike makes those illegal where the core has none.
    if (counting.counts)
        for (insn_bits_t ending = 0; ending < 4; ending++)
            put_first(core, ending, 3, counting.watched.empty() ? execute : execute_watching);
    else {
        for (const shortcut_t &each : shortcuts) {
            insn_func_t function = spikes_function(core, each.match);
            if (function != illegal_instruction)
                put_first(core, each.match, each.mask, take_shortcut(&each, function));
        }
        for (const marking_t &each : counting.markings)
            put_first(core, each.match, each.mask, mark);
    }
    core->build_opcode_map();
    core->get_mmu()->flush_icache();
}

// Counts for a place from now on.
void bench_select(uint64_t place) {
    counting.place = &counting.places[place];
    select_executions();
}

void bench_select_none() {
    counting.place = nullptr;
    select_executions();
}

// What was counted in a place, which is not the selected one, and forgets it; kernels lie from `begin` to
// `end`, and `stack` says of each of their words whether it reaches their stack. The counts stay until the
// next call.
size_t bench_drain(uint64_t place, uint64_t begin, uint64_t end, const char *stack, size_t stack_words,
                   label_t label_of, const count_t **counts) {
    counting.drained.clear();
    auto found = counting.places.find(place);
    if (found != counting.places.end()) {
        std::unordered_map<uint32_t, uint64_t> sums;
        for (const auto &[configuration, pages] : found->second) {
            sums.clear();
            for (size_t page = 0; page < pages.size(); page++) {
                if (!pages[page]) continue;
                for (size_t i = 0; i < kPage; i++) {
                    uint64_t executed = (*pages[page])[i];
                    uint32_t number = uint32_t(page * kPage + i);
                    if (!executed || !number) continue;
                    word_at_t word = counting.words[number];
                    reg_t pc = word.pc & counting.address_mask;
                    uint32_t part = part_of(pc, begin, end, stack, stack_words);
                    uint32_t &label = counting.labels[word.bits << 2 | part];
                    if (!label) label = label_of(uint32_t(word.bits), part);
                    sums[label] += executed;
                }
            }
            for (auto [label, sum] : sums)
                counting.drained.push_back({configuration.vl, configuration.vtype, label, sum});
        }
        counting.places.erase(found);
    }
    *counts = counting.drained.data();
    return counting.drained.size();
}

// What was counted in a place, an instruction each, and keeps it. The list stays until the next call.
size_t bench_sites(uint64_t place, const site_count_t **sites) {
    counting.listed.clear();
    auto found = counting.places.find(place);
    if (found != counting.places.end())
        for (const auto &[configuration, pages] : found->second)
            for (size_t number = 1; number < pages.size() * kPage; number++) {
                const std::unique_ptr<page_t> &page = pages[number / kPage];
                uint64_t executed = page ? (*page)[number % kPage] : 0;
                if (!executed) continue;
                word_at_t word = counting.words[number];
                counting.listed.push_back({configuration.vl, configuration.vtype,
                                           word.pc & counting.address_mask, word.bits, executed,
                                           counting.regions[number]});
            }
    *sites = counting.listed.data();
    return counting.listed.size();
}

// There may be another word at each program counter, and no place is selected.
void bench_forget_code() {
    counting.places.clear();
    counting.numbered.clear();
    counting.words.resize(1);
    counting.regions.resize(1);
    std::fill(counting.inside.begin(), counting.inside.end(), site_t());
    if (counting.labels.size() > kMostLabels) counting.labels.clear();
}

// Forgets all counts; no place is selected.
void bench_clear() {
    counting.places.clear();
}
}
