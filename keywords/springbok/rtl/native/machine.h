// SPDX-License-Identifier: Apache-2.0
// What is around a core's RTL: memories, buses with stalls and errors by seed, interrupt lines, marks,
// counts, and the lockstep.
#pragma once
#include "Vcore.h"
#include "histogram.h"
#include "ports.h"
#include "retired.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

#include <cstring>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#ifndef NRET
#define NRET 1 // instructions that may retire in a cycle
#endif

namespace springbok {

constexpr uint32_t HISTORY = 64;   // instructions that are kept
constexpr uint32_t BUS_BYTES = 32; // of the widest bus
constexpr uint32_t OUTSTANDING = 8;
constexpr uint32_t IN_FLIGHT = 4; // instructions
constexpr uint32_t MSIP = 1 << 3, MTIP = 1 << 7, MEIP = 1 << 11;

enum Reason { TIME, STOPPED, MISMATCH, STUCK };

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
    bool waits = true; // the core may be kept waiting
};

// What came from outside, so that a run can be repeated to the cycle.
struct Event {
    uint64_t cycle;
    uint32_t kind, value, count; // of LINES: the lines; of WRITE: address and bytes; of READ: the value
};
enum { LINES, WRITE, READ };

} // namespace springbok

using namespace springbok;

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
    decltype(&golden_delete) delete_golden = nullptr;
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
        bool late = bus.waits && stalls.hits(trial.delay);
        response.due = cycle + 1 + (late ? stalls.next() % trial.longest_delay + 1 : 0);
        if (response.due <= bus.last_due) response.due = bus.last_due + 1;
        bus.last_due = response.due;
        bus.responses.push_back(response);
    }

    bool grant(Bus &bus) {
        return bus.responses.size() < OUTSTANDING && !(bus.waits && trial.stall && stalls.hits(trial.stall));
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
