// SPDX-License-Identifier: Apache-2.0
// What a device's model in C++ is to the simulator's helper, and the helper to it: `interface.py` says it for
// models in Python. A kind's folder may have a `model.cpp` beside its `model.py`, which does to every access
// what that one does, with the same warnings; the simulator takes it where it can build it. Plain C++ without
// a simulator.
#ifndef SPRINGBOK_DEVICES_MODEL_H
#define SPRINGBOK_DEVICES_MODEL_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace springbok { // Spike has a device_t too

// What a simulator gives its devices.
struct surroundings_t {
    virtual ~surroundings_t() = default;
    virtual void warn(const std::string &text) = 0;
    virtual void polled() = 0;                    // the core asks again and again and nothing happens
    virtual void sent() = 0;                      // the core has sent something, and does not go on sending
    virtual uint64_t now(uint64_t frequency) = 0; // the chip's time in ticks of that frequency
    virtual void interrupts_changed() = 0;        // the lines of a timer, maybe
};

// A device of 32-bit registers at multiples of 4, or of bytes where `access_bytes` is 1.
struct device_t {
    explicit device_t(surroundings_t &given) : surroundings(given) {}
    virtual ~device_t() = default;
    virtual uint64_t size() const = 0;
    virtual unsigned access_bytes() const {
        return 4;
    }
    virtual uint32_t read(uint32_t offset) = 0;
    virtual void write(uint32_t offset, uint64_t value) = 0;

  protected:
    void warn(const char *format, ...) __attribute__((format(printf, 2, 3)));
    surroundings_t &surroundings;
};

// Bytes in a row: put in behind, taken from the front.
class bytes_t {
  public:
    size_t size() const {
        return content.size() - first;
    }
    bool empty() const {
        return first == content.size();
    }
    const uint8_t *data() const {
        return content.data() + first;
    }
    void push(uint8_t byte) {
        content.push_back(byte);
    }
    void append(const uint8_t *bytes, size_t count) {
        content.insert(content.end(), bytes, bytes + count);
    }
    uint8_t pop() {
        uint8_t byte = content[first];
        drop(1);
        return byte;
    }
    void drop(size_t count) {
        first += count;
        if (first == content.size()) clear();
    }
    void clear() {
        content.clear();
        first = 0;
    }

  private:
    std::vector<uint8_t> content;
    size_t first = 0;
};

// What all UARTs have in common: see `Uart` of interface.py.
struct uart_t : device_t {
    static const size_t kBufferBytes = 0x10000;
    static const unsigned kPollsAfterSending = 2; // one may ask whether there is room for more
    static const unsigned kPollsBeforeIdle = 16;

    using device_t::device_t;
    virtual bool receiving() const = 0;
    bytes_t received, to_send;
    unsigned polls = 0;

  protected:
    void count_poll() {
        if (++polls == kPollsAfterSending && !to_send.empty()) surroundings.sent();
        if (polls > kPollsBeforeIdle) surroundings.polled();
    }
    uint8_t take_byte();
    void give_byte(uint64_t value, const char *full); // `full` tells the core that there is no room
};

// A core-local interruptor's lines.
struct timer_device_t : device_t {
    using device_t::device_t;
    virtual bool software_interrupt() const = 0;
    virtual bool timer_interrupt() = 0;
    virtual double seconds_left() = 0;
};

using settings_t = std::map<std::string, uint64_t>;
using create_t = device_t *(*)(surroundings_t &, const settings_t &);

// A kind by its folder's name: one of these in each model.cpp.
struct kind_t {
    kind_t(const char *name, create_t create);
};

create_t find_kind(const std::string &name); // nullptr: none

} // namespace springbok

#endif
