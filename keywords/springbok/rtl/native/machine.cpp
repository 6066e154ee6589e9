// SPDX-License-Identifier: Apache-2.0
// A core's machine as springbok.rtl.native_machine calls it. It is linked with what Verilator makes of the
// core (class Vcore, module springbok_core) to a shared object; devices are Python's own, called back.
#include "machine.h"

#include <cstdio>
#include <dlfcn.h>
#include <string>

static int read_for_golden(void *owner, uint32_t address, uint32_t bytes, uint32_t *value) {
    machine *m = static_cast<machine *>(owner);
    if (m->reads.empty() || m->reads.front().address != (address & ~3u)) return 0;
    uint32_t word = m->reads.front().value >> 8 * (address & 3);
    m->reads.pop_front();
    *value = bytes >= 4 ? word : word & ((1u << 8 * bytes) - 1);
    return 1;
}

extern "C" {

// `arguments` are those that the RTL asks for by $value$plusargs, each with a line's end behind it.
machine *machine_new(uint32_t boot, const char *arguments) {
    machine *m = new machine;
    m->context->randReset(0);
    std::vector<std::string> words = {"core"};
    for (const char *at = arguments; const char *end = strchr(at, '\n'); at = end + 1)
        words.push_back("+" + std::string(at, end));
    std::vector<const char *> pointers;
    for (const std::string &word : words)
        pointers.push_back(word.c_str());
    m->context->commandArgs(int(pointers.size()), pointers.data());
#if VM_TRACE
    m->context->traceEverOn(true);
#endif
    m->core = std::make_unique<Vcore>(m->context.get());
    m->boot = boot;
    return m;
}

void machine_delete(machine *m) {
#if VM_TRACE
    if (m->wave) m->wave->close();
#endif
    m->core->final();
    if (m->golden) m->delete_golden(m->golden);
    delete m;
}

void machine_add_memory(machine *m, uint32_t base, uint32_t bytes) {
    m->memories.push_back({base, std::vector<uint8_t>(bytes)});
}

void machine_add_device(machine *m, uint32_t base, uint32_t bytes) {
    m->devices.push_back({base, bytes});
}

void machine_call(machine *m, read_device_t read, write_device_t write, marked_t marked) {
    m->read_device = read, m->write_device = write, m->marked = marked;
}

// Marks are an instruction, or (mask 0) the entry of a function of two arguments.
void machine_mark(machine *m, uint32_t match, uint32_t mask, uint32_t address) {
    m->mark_match = match, m->mark_mask = mask, m->mark_address = address;
}

// Without fetch_waits instructions are there a cycle after they were asked for, whatever the trial is.
void machine_try(machine *m, const trial_t *trial, int fetch_waits) {
    m->trial = *trial, m->instruction_bus.waits = fetch_waits;
    if (m->trial.longest_delay == 0) m->trial.longest_delay = 1;
    m->stalls = Random(trial->seed * 3 + 1), m->errors = Random(trial->seed * 3 + 2);
    m->interrupts = Random(trial->seed * 3 + 3);
    m->interrupt_in = -1;
}

// Errors and interrupts come only while they are allowed.
void machine_allow(machine *m, int errors, int interrupts) {
    m->errors_allowed = errors, m->interrupts_allowed = interrupts;
}

void machine_interrupt_at(machine *m, uint64_t instructions) {
    m->interrupts_at.push_back(instructions);
}

// The bus answers an access to the address with an error when so many have retired, or are about to.
void machine_refuse_at(machine *m, uint64_t instructions, uint32_t address) {
    m->refused_at.push_back({instructions, address});
}

// 0, or -1 with what the loader said in `why`.
int machine_lockstep(machine *m, const char *path, const golden_config_t *config) {
    m->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!m->library) {
        snprintf(m->why, sizeof m->why, "%s", dlerror());
        return -1;
    }
    auto create = reinterpret_cast<decltype(&golden_new)>(dlsym(m->library, "golden_new"));
    m->step = reinterpret_cast<decltype(&golden_step)>(dlsym(m->library, "golden_step"));
    m->bus_store = reinterpret_cast<decltype(&golden_bus_store)>(dlsym(m->library, "golden_bus_store"));
    m->bus_error = reinterpret_cast<decltype(&golden_bus_error)>(dlsym(m->library, "golden_bus_error"));
    m->fetch_error = reinterpret_cast<decltype(&golden_fetch_error)>(dlsym(m->library, "golden_fetch_error"));
    m->write_golden = reinterpret_cast<decltype(&golden_write)>(dlsym(m->library, "golden_write"));
    m->delete_golden = reinterpret_cast<decltype(&golden_delete)>(dlsym(m->library, "golden_delete"));
    golden_config_t own = *config;
    own.device_read = read_for_golden, own.owner = m;
    m->golden = create(&own);
    return 0;
}

golden_t *machine_golden(machine *m) {
    return m->golden;
}

void machine_reset(machine *m) {
    m->reset();
}

int machine_run(machine *m, uint64_t cycles) {
    return m->run(cycles);
}

void machine_stop(machine *m) {
    m->stop = true;
}

void machine_lines(machine *m, int software, int external, uint64_t timer_at) {
    m->software = software, m->external = external, m->timer_at = timer_at;
}

// The handler has answered an interrupt that this machine raised by itself.
void machine_acknowledge(machine *m) {
    m->injected = false;
}

int machine_write(machine *m, uint32_t address, const uint8_t *bytes, uint32_t count) {
    if (!m->memory(address) || (count && !m->memory(address + count - 1))) return -1;
    if (m->recording) {
        m->events.push_back({m->cycle, WRITE, address, count});
        m->written.insert(m->written.end(), bytes, bytes + count);
    }
    m->write_memory(address, bytes, count);
    return 0;
}

int machine_read(machine *m, uint32_t address, uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *byte = m->memory(address + i);
        if (!byte) return -1;
        bytes[i] = *byte;
    }
    return 0;
}

typedef struct {
    uint64_t cycles, instructions, traps, last_retired, injected_errors, injected_interrupts;
    uint32_t pc, lines, bad_address, bad_accesses;
    uint32_t x[32], f[32];
} machine_state_t;

void machine_state(machine *m, machine_state_t *state) {
    const retired_t &last = m->history[(m->instructions + HISTORY - 1) % HISTORY];
    *state = {m->cycle,           m->instructions,        m->traps, m->last_retired,
              m->injected_errors, m->injected_interrupts, last.pc,  m->lines,
              m->bad_address,     m->bad_accesses,        {},       {}};
    memcpy(state->x, m->x, sizeof m->x);
    memcpy(state->f, m->f, sizeof m->f);
}

const char *machine_why(machine *m) {
    return m->why;
}

// The newest instructions that retired, the newest last; returns how many.
uint32_t machine_history(machine *m, retired_t *out, uint32_t room) {
    uint64_t there = m->instructions < HISTORY ? m->instructions : HISTORY;
    uint32_t count = uint32_t(there < room ? there : room);
    for (uint32_t i = 0; i < count; i++)
        out[i] = m->history[(m->instructions - count + i) % HISTORY];
    return count;
}

// Counts for this number from now on; 0 counts nothing.
void machine_count(machine *m, uint32_t number) {
    m->histogram = number ? &m->histograms[number] : nullptr;
}

// Also keep the classes of operands.
void machine_classes(machine *m, int on) {
    m->classes = on;
}

// Gives (pc, executions, classes) of a number and forgets them: call with room 0 for how many there are.
uint64_t machine_drain(machine *m, uint32_t number, uint64_t *triples, uint64_t room) {
    uint64_t count = 0;
    for (auto &[page, places] : m->histograms[number].pages)
        for (uint32_t place = 0; place < PAGE_PLACES; place++)
            if (places->executed[place]) {
                if (count < room) {
                    triples[3 * count] = uint64_t(page) << PAGE_SHIFT | place << 1;
                    triples[3 * count + 1] = places->executed[place];
                    triples[3 * count + 2] = places->classes[place];
                }
                count++;
            }
    if (room) m->histograms[number] = Histogram();
    return count;
}

void machine_record(machine *m, int on) {
    m->recording = on;
}

static bool whole(bool ok, FILE *file) {
    return fclose(file) == 0 && ok;
}

// What came from outside so far, in a file.
int machine_save(machine *m, const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) return -1;
    uint64_t sizes[2] = {m->events.size(), m->written.size()};
    bool ok = fwrite(sizes, sizeof sizes, 1, file) == 1 &&
              fwrite(m->events.data(), sizeof(Event), m->events.size(), file) == m->events.size() &&
              fwrite(m->written.data(), 1, m->written.size(), file) == m->written.size();
    return whole(ok, file) ? 0 : -1;
}

int machine_repeat(machine *m, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return -1;
    uint64_t sizes[2] = {};
    bool ok = fread(sizes, sizeof sizes, 1, file) == 1;
    if (ok) {
        m->events.resize(sizes[0]), m->written.resize(sizes[1]);
        ok = fread(m->events.data(), sizeof(Event), sizes[0], file) == sizes[0] &&
             fread(m->written.data(), 1, sizes[1], file) == sizes[1];
    }
    m->replaying = true;
    return whole(ok, file) ? 0 : -1;
}

// -1: this build writes no waveform.
int machine_wave(machine *m, const char *path, uint64_t from) {
#if VM_TRACE
    m->wave = std::make_unique<VerilatedVcdC>();
    m->core->trace(m->wave.get(), 99);
    m->wave->open(path);
    m->wave_from = from;
    return 0;
#else
    (void)m, (void)path, (void)from;
    return -1;
#endif
}

uint32_t machine_ports(void) { // what the wrapper offers beside the least
    return NRET;
}
}
