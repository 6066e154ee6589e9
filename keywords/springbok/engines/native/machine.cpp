// SPDX-License-Identifier: Apache-2.0
// The simulator's core and bus: turns, devices with models in C++, the UART's line, memory, and what Spike's
// Python bindings lack.
#include <algorithm>
#include <cstring>
#include <ctime>
#include <memory>

#include <poll.h>
#include <sys/socket.h>

#include <riscv/encoding.h>
#include <riscv/mmu.h>
#include <riscv/processor.h>
#include <riscv/sim.h>

#include "model.h"
#include "native.h"

namespace {

typedef void (*warn_t)(const char *text);
typedef void (*polled_t)();
typedef void (*turn_t)(uint64_t executed);

// How long one sleep lasts while the core polls, as machine.py has it; and what is taken from the line at
// once.
const int64_t kShortestSleepNs = 1000000, kLongestSleepNs = 20000000;
const size_t kTakenBytes = 0x10000;

uint64_t monotonic_ns() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return uint64_t(time.tv_sec) * 1000000000u + uint64_t(time.tv_nsec);
}

struct machine_t : springbok::surroundings_t {
    chip_clock_t *clock = nullptr;
    warn_t on_warning = nullptr;
    polled_t on_polling = nullptr;
    turn_t on_turn = nullptr;

    processor_t *core = nullptr;
    sim_t *simulator = nullptr;
    springbok::uart_t *uart = nullptr;
    springbok::timer_device_t *timer = nullptr;
    reg_t interrupts = 0; // of mip

    int client = -1, listener = -1, control = -1; // sockets: of the line, and of the parent; -1: no client
    int64_t sleep_ns = kShortestSleepNs;

    void warn(const std::string &text) override {
        on_warning(text.c_str());
    }

    void polled() override {
        bool listens = client >= 0 && uart->receiving() && uart->received.size() < uart->kBufferBytes;
        if (!listens || clock->attention || !sleep()) on_polling();
    }

    // What the client does not take, or who has gone, is Python's to deal with when it looks at the line.
    void sent() override {
        if (client < 0) return;
        ssize_t taken =
            ::send(client, uart->to_send.data(), uart->to_send.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken > 0) uart->to_send.drop(size_t(taken));
    }

    // The same as `_sleep_a_slice` of machine.py, as long as nothing happens outside but that the client says
    // something. False: Python is to see to it.
    bool sleep() {
        if (!uart->to_send.empty()) sent();
        if (!uart->to_send.empty()) return false;
        double left = timer ? timer->seconds_left() * 1e9 : 0;
        int64_t limit = left > 0 && left < double(sleep_ns) ? int64_t(left) : sleep_ns;
        timespec time = {0, long(limit)};
        pollfd outside[] = {{client, POLLIN | POLLRDHUP, 0}, {listener, POLLIN, 0}, {control, POLLIN, 0}};
        uint64_t started = monotonic_ns();
        int ready = ppoll(outside, std::size(outside), &time, nullptr);
        if (ready > 0 && (outside[0].revents != POLLIN || outside[1].revents || outside[2].revents))
            return false;
        if (ready > 0) {
            uint8_t bytes[kTakenBytes];
            ssize_t count = recv(client, bytes, sizeof bytes, MSG_DONTWAIT);
            if (count <= 0) return false;
            uart->received.append(bytes, size_t(count));
        }
        sleep_ns = ready ? kShortestSleepNs : std::min(2 * sleep_ns, kLongestSleepNs);
        clock->served_ns = monotonic_ns();
        clock->slept_ns += clock->served_ns - started;
        clock->idle_turns++;
        return true;
    }

    // What the core executed at its nominal speed, and the time that it slept.
    uint64_t now(uint64_t frequency) override {
        using wide_t = unsigned __int128;
        wide_t executed = wide_t(clock->instructions) * frequency / clock->instructions_per_second;
        return uint64_t(executed + wide_t(clock->slept_ns) * frequency / 1000000000u);
    }

    void interrupts_changed() override {
        if (timer && core)
            set_interrupts((timer->software_interrupt() ? MIP_MSIP : 0) |
                           (timer->timer_interrupt() ? MIP_MTIP : 0));
    }

    void set_interrupts(reg_t level) {
        if (level == interrupts) return;
        interrupts = level;
        core->get_state()->mip->backdoor_write_with_mask(MIP_MSIP | MIP_MTIP, level);
    }
};

machine_t machine;

// A model on Spike's bus. Narrow accesses reach the bytes of its registers of 32 bits.
struct bridge_t : abstract_device_t {
    explicit bridge_t(springbok::device_t *given) : device(given) {}

    bool load(reg_t offset, size_t length, uint8_t *bytes) override {
        if (device->access_bytes() == 1) {
            for (size_t i = 0; i < length; i++)
                bytes[i] = uint8_t(device->read(uint32_t(offset + i)));
            return true;
        }
        uint64_t value = uint64_t(device->read(uint32_t(offset & ~reg_t(3)))) >> 8 * (offset & 3);
        memset(bytes, 0, length);
        memcpy(bytes, &value, std::min(length, sizeof value));
        return true;
    }

    bool store(reg_t offset, size_t length, const uint8_t *bytes) override {
        if (device->access_bytes() == 1) {
            for (size_t i = 0; i < length; i++)
                device->write(uint32_t(offset + i), bytes[i]);
            return true;
        }
        uint64_t value = 0;
        memcpy(&value, bytes, std::min(length, sizeof value));
        device->write(uint32_t(offset & ~reg_t(3)), value << 8 * (offset & 3));
        return true;
    }

    reg_t size() override {
        return device->size();
    }

    std::unique_ptr<springbok::device_t> device;
};

// Copies between memory, as a host reaches it over the bus, and bytes here. False where there is no memory.
bool copy(uint64_t address, uint64_t count, char *bytes, bool to_memory) {
    while (count) {
        uint64_t here = std::min(count, PGSIZE - address % PGSIZE);
        char *memory = machine.simulator->addr_to_mem(address);
        if (!memory) return false;
        memcpy(to_memory ? memory : bytes, to_memory ? bytes : memory, here);
        address += here;
        bytes += here;
        count -= here;
    }
    return true;
}

// Not on the bus: Spike calls its `tick` between two turns of the core.
struct turns_t : abstract_device_t {
    bool load(reg_t, size_t, uint8_t *) override {
        return false;
    }
    bool store(reg_t, size_t, const uint8_t *) override {
        return false;
    }
    reg_t size() override {
        return 0;
    }

    // The core may wait for an interrupt: Spike executes wfi and comes back.
    static bool follows_wfi() {
        reg_t at = machine.core->get_state()->pc - 4;
        if (machine.core->get_xlen() == 32) at &= 0xFFFFFFFF;
        uint32_t word = 0;
        return copy(at, sizeof word, reinterpret_cast<char *>(&word), false) && word == MATCH_WFI;
    }

    // A trap ends a turn at its handler. If that traps before it executes anything, as where there is none,
    // the registers tell of the last of many.
    static void note_first_trap(uint64_t executed) {
        chip_clock_t *clock = machine.clock;
        state_t *state = machine.core->get_state();
        reg_t mask = machine.core->get_xlen() == 32 ? 0xFFFFFFFF : ~reg_t{0};
        if (executed) clock->trapped = 0;
        if (clock->trapped || (state->pc & mask) != (state->mtvec->read() & mask & ~reg_t{3})) return;
        clock->trapped = 1;
        clock->mcause = state->mcause->read() & mask;
        clock->mepc = state->mepc->read() & mask;
        clock->mtval = state->mtval->read() & mask;
    }

    void tick(reg_t) override {
        chip_clock_t *clock = machine.clock;
        uint64_t instructions = machine.core->get_state()->minstret->read();
        uint64_t executed = instructions - clock->instructions;
        clock->instructions = instructions;
        note_first_trap(executed);
        // Most polls are remembered: between two of them the core may read the time, and a turn has few then.
        if (machine.uart) machine.uart->polls -= machine.uart->polls / 8;
        machine.interrupts_changed();
        // Traps end a turn early too.
        bool waits = executed == 0 || (executed < sim_t::INTERLEAVE && follows_wfi());
        if (waits || clock->attention || monotonic_ns() - clock->served_ns >= clock->serve_interval_ns)
            machine.on_turn(executed);
    }
};

} // namespace

extern "C" {

void bench_surround(chip_clock_t *clock, warn_t on_warning, polled_t on_polling, turn_t on_turn) {
    machine.clock = clock;
    machine.on_warning = on_warning;
    machine.on_polling = on_polling;
    machine.on_turn = on_turn;
}

// ---- Devices

// A device of that kind; nullptr where it has no model in C++. It lives as long as the process.
springbok::device_t *bench_device(const char *kind, size_t count, const char *const *names,
                                  const uint64_t *values) {
    springbok::create_t create = springbok::find_kind(kind);
    springbok::settings_t settings;
    for (size_t i = 0; i < count; i++)
        settings[names[i]] = values[i];
    return create ? create(machine, settings) : nullptr;
}

uint64_t bench_device_size(springbok::device_t *device) {
    return device->size();
}

uint32_t bench_device_read(springbok::device_t *device, uint32_t offset) {
    return device->read(offset);
}

void bench_device_write(springbok::device_t *device, uint32_t offset, uint64_t value) {
    device->write(offset, value);
}

bool bench_uart_receiving(springbok::device_t *device) {
    return static_cast<springbok::uart_t *>(device)->receiving();
}

size_t bench_uart_waiting(springbok::device_t *device) {
    return static_cast<springbok::uart_t *>(device)->received.size();
}

void bench_uart_receive(springbok::device_t *device, const uint8_t *bytes, size_t count) {
    static_cast<springbok::uart_t *>(device)->received.append(bytes, count);
}

size_t bench_uart_sending(springbok::device_t *device, const uint8_t **bytes) {
    *bytes = static_cast<springbok::uart_t *>(device)->to_send.data();
    return static_cast<springbok::uart_t *>(device)->to_send.size();
}

void bench_uart_sent(springbok::device_t *device, size_t count) {
    static_cast<springbok::uart_t *>(device)->to_send.drop(count);
}

// Who is at the other end of the line, -1 for nobody, and what else may happen outside.
void bench_line(int client, int listener, int control) {
    machine.client = client;
    machine.listener = listener;
    machine.control = control;
}

double bench_timer_seconds_left(springbok::device_t *device) {
    return static_cast<springbok::timer_device_t *>(device)->seconds_left();
}

bool bench_timer_interrupt(springbok::device_t *device) {
    return static_cast<springbok::timer_device_t *>(device)->timer_interrupt();
}

bool bench_timer_software_interrupt(springbok::device_t *device) {
    return static_cast<springbok::timer_device_t *>(device)->software_interrupt();
}

// ---- The core

// Before the core runs.
void bench_attach(processor_t *core) {
    machine.core = core;
    machine.simulator = dynamic_cast<sim_t *>(core->sim);
}

// Puts a device on the bus.
void bench_place(springbok::device_t *device, uint64_t base) {
    auto bridge = std::make_shared<bridge_t>(device);
    machine.simulator->add_device(base, bridge);
    add_shortcut_to(bridge.get(), base, device->size());
}

// Takes the core's turns over, with the UART and the timer among the devices; either may be nullptr.
void bench_take_turns(springbok::device_t *uart, springbok::device_t *timer) {
    machine.uart = static_cast<springbok::uart_t *>(uart);
    machine.timer = static_cast<springbok::timer_device_t *>(timer);
    machine.simulator->devices.push_back(std::make_shared<turns_t>());
}

uint64_t bench_interrupts() {
    return machine.interrupts;
}

void bench_set_interrupts(uint64_t level) {
    machine.set_interrupts(level);
}

void bench_set_privilege(uint64_t mode) {
    machine.core->set_privilege(mode, false);
}

// Whether the counter of instructions is up to date, which it is for one instruction.
bool bench_take_serialized() {
    bool serialized = machine.core->get_state()->serialized;
    machine.core->get_state()->serialized = false;
    return serialized;
}

// ---- Memory, as a host reaches it over the bus. False where there is none.

bool bench_read(uint64_t address, uint64_t count, char *bytes) {
    return copy(address, count, bytes, false);
}

bool bench_write(uint64_t address, uint64_t count, const char *bytes) {
    bool done = copy(address, count, const_cast<char *>(bytes), true);
    machine.core->get_mmu()->flush_icache();
    return done;
}
}
