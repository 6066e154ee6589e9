// SPDX-License-Identifier: Apache-2.0
// The reference as the RTL's side and Python call it: made, written, taken back and done again.
#include "golden.h"

#include <iostream>

#include <riscv/disasm.h>

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
    for (auto &[address, rule] : g->rules) {
        if (rule.absent) g->state->csrmap.erase(address);
        if (rule.has_reset && !is_fixed(address)) g->core->put_csr(int(address), rule.reset);
    }
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
    bool begun = false; // each access of the bus is a store of its own
    for (uint32_t i = 0; i < STORE_BYTES && enables >> i; i++)
        if (enables >> i & 1) golden::add(g->written, address + i, bytes[i], g->number, begun), begun = true;
}

extern "C" void golden_bus_error(golden_t *g, uint32_t address, uint32_t bytes, int is_store) {
    g->errors.push_back({address, bytes, is_store != 0, g->number});
}

extern "C" void golden_fetch_error(golden_t *g, uint32_t address, uint32_t bytes) {
    g->failed_fetches.push_back({address, bytes});
    if (g->failed_fetches.size() > FETCHES) g->failed_fetches.pop_front();
}

extern "C" const char *golden_disassemble(golden_t *g, uint32_t word) {
    g->text = g->core->get_disassembler()->disassemble(insn_t(word));
    return g->text.c_str();
}

extern "C" uint32_t golden_kept(golden_t *g) {
    return uint32_t(g->step_count < KEPT ? g->step_count : KEPT);
}

extern "C" uint32_t golden_waiting(golden_t *g) {
    return g->waiting ? uint32_t(g->number - g->raised_number) + 1 : 0;
}

extern "C" uint32_t golden_behind(golden_t *g) {
    return g->culprit ? uint32_t(g->number - g->culprit) : 0;
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
