// SPDX-License-Identifier: Apache-2.0
// What is around a core's RTL: memories, buses with stalls and errors by seed, interrupt lines, marks,
// counts, and the lockstep. It is linked with what Verilator makes of the core (class Vcore, module
// springbok_core) to a shared object, which springbok.rtl.machine drives; devices are its own, called back.
#include "Vcore.h"
#include "retired.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

#include <cstdio>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#ifndef NRET
#define NRET 1 // instructions that may retire in a cycle
#endif

namespace {

constexpr uint32_t HISTORY = 64, PAGE_SHIFT = 12, PAGE_PLACES = 1 << (PAGE_SHIFT - 1);
constexpr uint32_t BUS_BYTES = 32; // of the widest bus
constexpr uint32_t OUTSTANDING = 8;
constexpr uint32_t IN_FLIGHT = 4; // instructions
constexpr uint32_t MSIP = 1 << 3, MTIP = 1 << 7, MEIP = 1 << 11;

enum Reason { TIME, STOPPED, MISMATCH, STUCK };

// Some bits of a port, however wide Verilator made it.
template <class Port> uint32_t bits(const Port &port, uint32_t first, uint32_t count) {
    uint64_t mask = (uint64_t(1) << count) - 1;
    if constexpr (std::is_integral_v<Port>) {
        return uint32_t(uint64_t(port) >> first & mask);
    } else {
        uint64_t low = port[first / 32], high = first % 32 + count > 32 ? port[first / 32 + 1] : 0;
        return uint32_t((low | high << 32) >> first % 32 & mask);
    }
}

template <class Port> void get_bytes(const Port &port, uint8_t *bytes) {
    if constexpr (std::is_integral_v<Port>)
        memcpy(bytes, &port, sizeof port);
    else
        memcpy(bytes, &port[0], sizeof port);
}

template <class Port> void set_bytes(Port &port, const uint8_t *bytes) {
    if constexpr (std::is_integral_v<Port>)
        memcpy(&port, bytes, sizeof port);
    else
        memcpy(&port[0], bytes, sizeof port);
}

// Numbers that the seed alone decides.
struct Random {
    uint64_t state;
    explicit Random(uint64_t seed = 1) : state(seed * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u) {}
    uint32_t next() {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return uint32_t(state >> 32);
    }
    bool hits(uint32_t per_million) {
        return per_million && next() % 1000000 < per_million;
    }
};

struct Memory {
    uint32_t base;
    std::vector<uint8_t> bytes;
};

struct Device {
    uint32_t base, bytes;
};

struct Response {
    uint64_t due;
    uint32_t address;
    bool is_store, failed;
    uint8_t data[BUS_BYTES];
};

struct Bus {
    std::deque<Response> responses;
    uint64_t last_due = 0;
    bool grants = true;
};

struct Page {
    uint64_t executed[PAGE_PLACES] = {};
    uint64_t classes[PAGE_PLACES] = {}; // a bit for each pair of classes that its two operands had
};

// Whether its operands are floating-point registers: all that compute with them but fcvt.s.w and fmv.w.x.
bool takes_floats(uint32_t word) {
    uint32_t opcode = word & 0x7F, function = word >> 25;
    return (opcode & 0x73) == 0x43 || (opcode == 0x53 && function != 0x68 && function != 0x78);
}

struct Histogram {
    std::unordered_map<uint32_t, std::unique_ptr<Page>> pages;
    uint32_t latest = ~0u;
    Page *page = nullptr;
    // Of eight: 0, 1, -1, the least and the greatest number, small, negative, positive.
    static uint32_t class_of(uint32_t value) {
        switch (value) {
        case 0: return 0;
        case 1: return 1;
        case 0xFFFFFFFF: return 2;
        case 0x80000000: return 3;
        case 0x7FFFFFFF: return 4;
        }
        return value < 64 ? 5 : value >> 31 ? 6 : 7;
    }
    // The same of floating-point numbers: 0, 1, -1, infinite, no number, subnormal, negative, positive.
    static uint32_t class_of_float(uint32_t value) {
        uint32_t size = value & 0x7FFFFFFF;
        if (size == 0) return 0;
        if (size == 0x3F800000) return 1 + (value >> 31);
        if (size >= 0x7F800000) return size == 0x7F800000 ? 3 : 4;
        return size < 0x00800000 ? 5 : value >> 31 ? 6 : 7;
    }
    void add_classes(uint32_t pc, uint32_t first, uint32_t second) {
        page->classes[(pc & ((1 << PAGE_SHIFT) - 1)) >> 1] |= uint64_t(1) << (8 * first + second);
    }
    void add(uint32_t pc) {
        if (pc >> PAGE_SHIFT != latest) {
            latest = pc >> PAGE_SHIFT;
            auto &found = pages[latest];
            if (!found) found = std::make_unique<Page>();
            page = found.get();
        }
        page->executed[(pc & ((1 << PAGE_SHIFT) - 1)) >> 1]++;
    }
};

// What came from outside, so that a run can be repeated to the cycle.
struct Event {
    uint64_t cycle;
    uint32_t kind, value, count; // of LINES: the lines; of WRITE: address and bytes; of READ: the value
};
enum { LINES, WRITE, READ };

} // namespace

typedef uint32_t (*read_device_t)(uint32_t index, uint32_t offset, uint32_t enables);
typedef void (*write_device_t)(uint32_t index, uint32_t offset, uint32_t value, uint32_t enables);
typedef void (*marked_t)(uint32_t event, uint32_t value, uint64_t instructions, uint64_t cycles);

typedef struct {
    uint32_t seed;
    uint32_t stall, delay, longest_delay,
        error;                // of a million: cycles without grant, late answers (cycles), errors
    uint32_t interrupt_every; // instructions between two interrupts, on average; 0: none
} trial_t;

struct machine {
    std::unique_ptr<VerilatedContext> context = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vcore> core;
    std::vector<Memory> memories;
    std::vector<Device> devices;
    read_device_t read_device = nullptr;
    write_device_t write_device = nullptr;
    marked_t marked = nullptr;
    uint32_t boot = 0;

    uint64_t cycle = 0, instructions = 0, traps = 0, last_retired = 0, stuck_limit = 200000;
    uint32_t x[32] = {}, f[32] = {};
    bool stop = false;
    retired_t history[HISTORY] = {};
    uint32_t bad_address = 0, bad_accesses = 0;

    Bus instruction_bus, data_bus;
    trial_t trial = {};
    Random stalls, errors, interrupts;
    bool errors_allowed = false, interrupts_allowed = false;
    uint64_t injected_errors = 0, injected_interrupts = 0;
    int64_t interrupt_in = -1;
    // Of a program that repeats something: when, in instructions.
    struct Refused {
        uint64_t instructions;
        uint32_t address;
    };
    std::deque<uint64_t> interrupts_at;
    std::deque<Refused> refused_at;
    bool injected = false;

    uint32_t software = 0, external = 0, lines = 0, lines_before = 0;
    uint64_t timer_at = ~uint64_t(0);

    uint32_t mark_match = 0, mark_mask = 0, mark_address = 0, last_pc = 0;
    std::unordered_map<uint32_t, Histogram> histograms;
    Histogram *histogram = nullptr;
    bool classes = false;

    void *library = nullptr;
    golden_t *golden = nullptr;
    decltype(&golden_step) step = nullptr;
    decltype(&golden_bus_store) bus_store = nullptr;
    decltype(&golden_bus_error) bus_error = nullptr;
    decltype(&golden_fetch_error) fetch_error = nullptr;
    decltype(&golden_write) write_golden = nullptr;
    struct Read {
        uint32_t address, value;
    };
    std::deque<Read> reads; // of devices, for the reference
    char why[400] = "";
    std::vector<uint8_t> vectors;

    bool recording = false, replaying = false;
    std::vector<Event> events;
    std::vector<uint8_t> written;
    size_t next_event = 0, next_read = 0, next_byte = 0;
#if VM_TRACE
    std::unique_ptr<VerilatedVcdC> wave;
#endif
    uint64_t wave_from = ~uint64_t(0);

    uint8_t *memory(uint32_t address) {
        for (Memory &each : memories)
            if (address - each.base < each.bytes.size()) return &each.bytes[address - each.base];
        return nullptr;
    }

    // ---- The bus

    uint32_t read(uint32_t device, uint32_t offset, uint32_t enables) {
        if (replaying) {
            while (next_read < events.size() && events[next_read].kind != READ)
                next_read++;
            return next_read < events.size() ? events[next_read++].value : 0;
        }
        uint32_t value = read_device(device, offset, enables);
        if (recording) events.push_back({cycle, READ, value, 0});
        return value;
    }

    // One access of a bus `width` bytes wide; false: an error is the answer.
    bool access(uint32_t address, uint32_t width, bool is_store, uint32_t enables, uint8_t *data) {
        uint32_t base = address & ~(width - 1);
        if (uint8_t *bytes = memory(base)) {
            if (!is_store) {
                memcpy(data, bytes, width);
                return true;
            }
            for (uint32_t i = 0; i < width; i++)
                if (enables >> i & 1) bytes[i] = data[i];
            if (golden) bus_store(golden, base, enables, data, cycle);
            return true;
        }
        for (uint32_t i = 0; i < devices.size(); i++) {
            if (base - devices[i].base >= devices[i].bytes) continue;
            for (uint32_t word = 0; word < width; word += 4) {
                uint32_t lanes = enables >> word & 15, value = 0, offset = base + word - devices[i].base;
                if (!lanes) continue;
                if (is_store) {
                    memcpy(&value, data + word, 4);
                    if (!replaying) write_device(i, offset, value, lanes);
                } else {
                    value = read(i, offset, lanes);
                    memcpy(data + word, &value, 4);
                    if (golden) reads.push_back({base + word, value});
                }
            }
            if (is_store && golden) bus_store(golden, base, enables, data, cycle);
            return true;
        }
        memset(data, 0, is_store ? 0 : width);
        bad_address = address, bad_accesses++;
        return false;
    }

    // An access of an instruction that is under way when so many have retired.
    bool is_refused(uint32_t base, uint32_t width) {
        if (refused_at.empty()) return false;
        const Refused &next = refused_at.front();
        if (next.address - base >= width || instructions + IN_FLIGHT < next.instructions) return false;
        refused_at.pop_front();
        return true;
    }

    void accept(Bus &bus, uint32_t address, uint32_t width, bool is_store, uint32_t enables, uint8_t *data) {
        Response response{};
        response.address = address, response.is_store = is_store;
        memcpy(response.data, data, BUS_BYTES);
        // Devices answer: a read of theirs may have an effect.
        bool fails = errors_allowed && memory(address & ~(width - 1)) && errors.hits(trial.error);
        fails |= is_refused(address & ~(width - 1), width);
        if (fails) {
            injected_errors++;
            for (uint8_t &byte : response.data)
                byte = uint8_t(errors.next());
        }
        response.failed = fails || !access(address, width, is_store, enables, response.data);
        response.due = cycle + 1 + (stalls.hits(trial.delay) ? stalls.next() % trial.longest_delay + 1 : 0);
        if (response.due <= bus.last_due) response.due = bus.last_due + 1;
        bus.last_due = response.due;
        bus.responses.push_back(response);
    }

    bool grant(Bus &bus) {
        return bus.responses.size() < OUTSTANDING && !(trial.stall && stalls.hits(trial.stall));
    }

    // ---- A cycle

    void edge(int level) {
        core->clk = level;
        core->eval();
#if VM_TRACE
        if (wave && core->rst_n && cycle >= wave_from) wave->dump(vluint64_t(cycle * 2 + level));
#endif
    }

    template <class Core> void drive(Core &c) {
        if constexpr (requires { c.i_req; }) {
            Bus &bus = instruction_bus;
            bool answers = !bus.responses.empty() && bus.responses.front().due <= cycle;
            c.i_rvalid = answers, c.i_err = false;
            if (answers) {
                const Response &front = bus.responses.front();
                set_bytes(c.i_rdata, front.data), c.i_err = front.failed;
                if (front.failed && golden)
                    fetch_error(golden, front.address & ~uint32_t(sizeof c.i_rdata - 1), sizeof c.i_rdata);
                bus.responses.pop_front();
            }
            c.i_gnt = bus.grants = grant(bus);
        }
        Bus &bus = data_bus;
        bool answers = !bus.responses.empty() && bus.responses.front().due <= cycle;
        c.d_rvalid = answers, c.d_err = false;
        if (answers) {
            const Response &front = bus.responses.front();
            set_bytes(c.d_rdata, front.data), c.d_err = front.failed;
            if (front.failed && golden)
                bus_error(golden, front.address & ~uint32_t(sizeof c.d_rdata - 1), sizeof c.d_rdata,
                          front.is_store);
            bus.responses.pop_front();
        }
        c.d_gnt = bus.grants = grant(bus);
        lines_before = lines;
        if (!replaying) {
            uint32_t now =
                (software || injected ? MSIP : 0) | (cycle >= timer_at ? MTIP : 0) | (external ? MEIP : 0);
            if (now != lines && recording) events.push_back({cycle, LINES, now, 0});
            lines = now;
        }
        c.irq_software = (lines & MSIP) != 0, c.irq_timer = (lines & MTIP) != 0;
        if constexpr (requires { c.irq_external; }) c.irq_external = (lines & MEIP) != 0;
    }

    template <class Core> void take(Core &c) {
        uint8_t data[BUS_BYTES] = {};
        if constexpr (requires { c.i_req; }) {
            if (c.i_req && instruction_bus.grants) {
                constexpr uint32_t width = sizeof c.i_rdata;
                accept(instruction_bus, c.i_addr, width, false, ~0u, data);
            }
        }
        if (c.d_req && data_bus.grants) {
            if (c.d_we) get_bytes(c.d_wdata, data);
            constexpr uint32_t width = sizeof c.d_rdata;
            uint32_t enables = bits(c.d_be, 0, width);
            accept(data_bus, c.d_addr, width, c.d_we, enables, data);
        }
    }

    template <class Core> bool retire(Core &c, uint32_t channel) {
        retired_t &r = history[instructions % HISTORY];
        uint32_t word = 32 * channel, number = 5 * channel;
        r.number = instructions + 1, r.cycle = cycle;
        r.pc = bits(c.rvfi_pc_rdata, word, 32), r.word = bits(c.rvfi_insn, word, 32);
        r.rd = bits(c.rvfi_rd_addr, number, 5), r.rd_value = bits(c.rvfi_rd_wdata, word, 32);
        r.trapped = bits(c.rvfi_trap, channel, 1), r.first_of_handler = bits(c.rvfi_intr, channel, 1);
        if constexpr (requires { c.rvfi_frd_wvalid; }) {
            r.frd_written = bits(c.rvfi_frd_wvalid, channel, 1);
            r.frd = bits(c.rvfi_frd_addr, number, 5), r.frd_value = bits(c.rvfi_frd_wdata, word, 32);
        }
        if constexpr (requires { c.rvfi_mem_addr; }) {
            r.has_memory = 1;
            r.memory_address = bits(c.rvfi_mem_addr, word, 32);
            r.read_mask = bits(c.rvfi_mem_rmask, 4 * channel, 4);
            r.write_mask = bits(c.rvfi_mem_wmask, 4 * channel, 4);
            r.read_data = bits(c.rvfi_mem_rdata, word, 32), r.write_data = bits(c.rvfi_mem_wdata, word, 32);
        }
        if constexpr (requires { c.rvvi_v_wb; }) { // RVVI-TRACE: a bit for each register, and all of them
            constexpr size_t bytes = sizeof c.rvvi_v_wdata / NRET;
            vectors.resize(sizeof c.rvvi_v_wdata);
            get_bytes(c.rvvi_v_wdata, vectors.data());
            r.vectors_written = bits(c.rvvi_v_wb, word, 32), r.vectors = vectors.data() + channel * bytes;
        }
        instructions++, last_retired = cycle;
        traps += r.trapped;
        if (golden && step(golden, &r, r.first_of_handler ? lines | lines_before : lines, why, sizeof why))
            return false;
        uint32_t first = r.word >> 15 & 31, second = r.word >> 20 & 31;
        uint32_t first_class = 0, second_class = 0;
        if (classes && takes_floats(r.word)) {
            first_class = Histogram::class_of_float(f[first]);
            second_class = Histogram::class_of_float(f[second]);
        } else if (classes) {
            first_class = Histogram::class_of(x[first]), second_class = Histogram::class_of(x[second]);
        }
        if (r.frd_written) f[r.frd] = r.frd_value;
        if (r.rd != 0) x[r.rd] = r.rd_value;
        bool is_mark = !r.trapped && (mark_mask ? (r.word & mark_mask) == mark_match
                                                : mark_address && r.pc == mark_address);
        if (is_mark) {
            uint32_t event = mark_mask ? x[r.word >> 15 & 31] : x[10],
                     value = mark_mask ? x[r.word >> 20 & 31] : x[11];
            if (marked) marked(event, value, instructions - 1, cycle);
        } else if (histogram && !r.trapped) {
            histogram->add(r.pc);
            if (classes) histogram->add_classes(r.pc, first_class, second_class);
        }
        if (interrupts_allowed && trial.interrupt_every) {
            if (interrupt_in == 0) injected = true, injected_interrupts++;
            if (interrupt_in <= 0) interrupt_in = 1 + interrupts.next() % (2 * trial.interrupt_every);
            interrupt_in--;
        }
        if (!interrupts_at.empty() && instructions >= interrupts_at.front()) {
            interrupts_at.pop_front();
            injected = true;
        }
        return true;
    }

    Reason run(uint64_t cycles) {
        Vcore &c = *core;
        stop = false;
        for (uint64_t end = cycle + cycles; cycle < end; cycle++) {
            if (replaying) replay_events();
            drive(c);
            edge(0);
            take(c);
            if (c.rvfi_valid)
                for (uint32_t channel = 0; channel < NRET; channel++)
                    if (bits(c.rvfi_valid, channel, 1) && !retire(c, channel)) return MISMATCH;
            edge(1);
            if (cycle - last_retired > stuck_limit) return STUCK;
            if (stop) return cycle++, STOPPED;
        }
        return TIME;
    }

    void replay_events() {
        for (; next_event < events.size() && events[next_event].cycle <= cycle; next_event++) {
            const Event &event = events[next_event];
            if (event.kind == LINES) lines = event.value;
            if (event.kind == WRITE) {
                write_memory(event.value, &written[next_byte], event.count);
                next_byte += event.count;
            }
        }
    }

    void write_memory(uint32_t address, const uint8_t *bytes, uint32_t count) {
        for (uint32_t i = 0; i < count; i++)
            if (uint8_t *byte = memory(address + i)) *byte = bytes[i];
        if (golden) write_golden(golden, address, bytes, count);
    }

    void reset() {
        Vcore &c = *core;
        c.rst_n = 0, c.boot_addr = boot;
        for (int i = 0; i < 8; i++) {
            drive(c);
            c.d_gnt = 0;
            edge(0), edge(1);
        }
        c.rst_n = 1;
    }
};

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

void machine_try(machine *m, const trial_t *trial) {
    m->trial = *trial;
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
