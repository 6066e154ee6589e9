// SPDX-License-Identifier: Apache-2.0
// Instructions that Spike takes a long way for, where a short one does the same in machine mode:
//   - a load or store of a device goes through translation, protection and look-ups on the bus;
//   - a page that protection divides, such as the stack's, is not kept in the TLB, so that each access to it
//   is
//     looked up and checked anew. Nothing is divided for machine mode as long as no entry is locked, and
//     Spike empties the TLB whenever the mode or the protection changes;
//   - to write the value that an address of the protection has already, which the firmware does for each
//     inference, makes Spike forget all that it knows of memory and code.
#include <array>

#include <riscv/csrs.h>
#include <riscv/encoding.h>
#include <riscv/mmu.h>
#include <riscv/processor.h>

#include "native.h"

namespace {

struct device_range_t {
    reg_t base, size;
    abstract_device_t *device;
};

std::array<device_range_t, 4> devices; // of size 0 where there is none
reg_t address_mask;                    // Spike extends addresses of 32 bits by their signs

enum { kLw, kLbu, kSw, kSb, kVle8, kVse8, kProtection, kKinds };
insn_func_t spikes[kKinds]; // Spike's own function for each kind

// Nothing limits an access then, and nobody watches it.
bool reaches_all(processor_t *core) {
    state_t *state = core->get_state();
    mmu_t *mmu = core->get_mmu();
    if (state->prv != PRV_M || state->debug_mode || mmu->check_triggers_load || mmu->check_triggers_store)
        return false;
    if (!mmu->tracer.empty() || core->get_log_commits_enabled() || core->extension_enabled(EXT_ZICCID))
        return false;
    if ((state->mstatus->read() & MSTATUS_MPRV) || (state->mseccfg && state->mseccfg->read())) return false;
    for (size_t i = 0; i < core->n_pmp; i++)
        if (state->pmpaddr[i]->is_locked()) return false;
    return true;
}

bool is_kept(const dtlb_entry_t *tlb, reg_t at) {
    reg_t page = at >> PGSHIFT;
    return tlb[page % mmu_t::TLB_ENTRIES].tag == page;
}

// Keeps a page of memory as Spike would if protection did not divide it.
void keep(processor_t *core, dtlb_entry_t *tlb, reg_t at) {
    if (is_kept(tlb, at) || !reaches_all(core)) return;
    reg_t page = at >> PGSHIFT, begin = at & address_mask & ~(PGSIZE - 1);
    if (char *memory = core->sim->addr_to_mem(begin))
        tlb[page % mmu_t::TLB_ENTRIES] = {{uintptr_t(memory), begin}, page};
}

const device_range_t *device_at(processor_t *core, reg_t at, size_t length) {
    for (const device_range_t &each : devices)
        if ((at & address_mask) - each.base < each.size)
            return at % length == 0 && reaches_all(core) ? &each : nullptr;
    return nullptr;
}

template <int kind, size_t length> reg_t load(processor_t *core, insn_t insn, reg_t pc) {
    dtlb_entry_t *tlb = core->get_mmu()->tlb_load;
    reg_t at = core->get_state()->XPR[insn.rs1()] + insn.i_imm();
    if (likely(is_kept(tlb, at))) return spikes[kind](core, insn, pc);
    if (const device_range_t *found = device_at(core, at, length)) {
        uint8_t bytes[4] = {};
        if (!found->device->load((at & address_mask) - found->base, length, bytes))
            return spikes[kind](core, insn, pc);
        uint32_t value = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | uint32_t(bytes[3]) << 24;
        core->get_state()->XPR.write(insn.rd(), reg_t(sreg_t(int32_t(value))));
        return pc + 4;
    }
    keep(core, tlb, at);
    return spikes[kind](core, insn, pc);
}

template <int kind, size_t length> reg_t store(processor_t *core, insn_t insn, reg_t pc) {
    dtlb_entry_t *tlb = core->get_mmu()->tlb_store;
    reg_t at = core->get_state()->XPR[insn.rs1()] + insn.s_imm();
    if (likely(is_kept(tlb, at))) return spikes[kind](core, insn, pc);
    if (const device_range_t *found = device_at(core, at, length)) {
        reg_t value = core->get_state()->XPR[insn.rs2()];
        const uint8_t bytes[] = {uint8_t(value), uint8_t(value >> 8), uint8_t(value >> 16),
                                 uint8_t(value >> 24)};
        if (!found->device->store((at & address_mask) - found->base, length, bytes))
            return spikes[kind](core, insn, pc);
        return pc + 4;
    }
    keep(core, tlb, at);
    return spikes[kind](core, insn, pc);
}

// A vector of bytes side by side lies in two pages at most, as far as it matters here.
template <int kind> reg_t reach_vector(processor_t *core, insn_t insn, reg_t pc) {
    mmu_t *mmu = core->get_mmu();
    dtlb_entry_t *tlb = kind == kVle8 ? mmu->tlb_load : mmu->tlb_store;
    reg_t at = core->get_state()->XPR[insn.rs1()], count = core->VU.vl->read();
    keep(core, tlb, at);
    if (count) keep(core, tlb, at + count - 1);
    return spikes[kind](core, insn, pc);
}

reg_t write_protection(processor_t *core, insn_t insn, reg_t pc) {
    state_t *state = core->get_state();
    if (state->prv == PRV_M && core->get_csr(int(insn.csr())) == state->XPR[insn.rs1()]) return pc + 4;
    return spikes[kProtection](core, insn, pc);
}

const shortcut_t shortcuts[kKinds] = {
    {0x2003, 0x707F, load<kLw, 4>},
    {0x4003, 0x707F, load<kLbu, 1>},
    {0x2023, 0x707F, store<kSw, 4>},
    {0x0023, 0x707F, store<kSb, 1>},
    {0x0007, 0xFDF0707F, reach_vector<kVle8>},
    {0x0027, 0xFDF0707F, reach_vector<kVse8>},
    {0x3B001073, 0xFF007FFF, write_protection}, // csrw of pmpaddr0 to pmpaddr15
};

} // namespace

const shortcut_t *shortcut_of(insn_bits_t bits) {
    for (const shortcut_t &each : shortcuts)
        if ((bits & each.mask) == each.match) return &each;
    return nullptr;
}

insn_func_t take_shortcut(const shortcut_t *shortcut, insn_func_t function) {
    spikes[shortcut - shortcuts] = function;
    return shortcut->function;
}

std::span<const shortcut_t> begin_shortcuts(reg_t mask) {
    address_mask = mask;
    return shortcuts;
}

void add_shortcut_to(abstract_device_t *device, reg_t base, reg_t size) {
    for (device_range_t &each : devices)
        if (!each.size) {
            each = {base, size, device};
            return;
        }
}
