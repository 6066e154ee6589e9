// SPDX-License-Identifier: Apache-2.0
// National Semiconductor's 16550 UART, as model.py has it.
#include <cinttypes>

#include "model.h"

using namespace springbok;

namespace {

enum {
    DATA,
    INTERRUPT_ENABLE,
    FIFO_CONTROL,
    LINE_CONTROL,
    MODEM_CONTROL,
    LINE_STATUS,
    MODEM_STATUS,
    SCRATCH,
    REGISTERS
};
enum { DATA_READY = 1 << 0, THR_EMPTY = 1 << 5, TRANSMITTER_EMPTY = 1 << 6 }; // of the line status
const uint32_t kLatch = 0x80, kEightBits = 0x03, kFifoEnable = 0x01;
const size_t kFifo = 16;

struct ns16550_t : uart_t {
    ns16550_t(surroundings_t &given, unsigned bytes) : uart_t(given), stride(bytes) {}

    const unsigned stride; // from one register to the next
    uint32_t registers[REGISTERS] = {};
    uint32_t divisor = 0;

    uint64_t size() const override {
        return 0x1000;
    }
    unsigned access_bytes() const override {
        return stride;
    }
    bool receiving() const override {
        return divisor != 0; // the 16550 has no switch; without a divisor its line stands still
    }

    uint32_t read(uint32_t offset) override {
        uint32_t number = offset / stride;
        if (number == LINE_STATUS) {
            count_poll();
            return status();
        }
        if (latched() && (number == DATA || number == INTERRUPT_ENABLE)) return divisor >> 8 * number & 0xFF;
        if (number == DATA) return is_set_up("data register read") ? take_byte() : 0;
        if (number == FIFO_CONTROL)
            return registers[FIFO_CONTROL] & kFifoEnable ? 0xC1 : 0x01; // none is pending
        if (number == MODEM_STATUS) return 0xB0; // clear to send, data set ready, carrier
        if (is_stored(number)) return registers[number];
        warn("UART: read of unknown register 0x%x", offset);
        return 0;
    }

    void write(uint32_t offset, uint64_t given) override {
        uint32_t number = offset / stride, value = uint32_t(given & 0xFF);
        if (latched() && (number == DATA || number == INTERRUPT_ENABLE)) {
            divisor = (divisor & ~(0xFFu << 8 * number)) | value << 8 * number;
        } else if (number == DATA) {
            char what[24];
            snprintf(what, sizeof what, "byte 0x%02x", value);
            if (is_set_up(what)) give_byte(value, "LSR.THRE");
        } else if (number == FIFO_CONTROL) {
            if (value & 2) received.clear();
            registers[FIFO_CONTROL] = value & 0xC9;
        } else if (is_stored(number)) {
            registers[number] = value;
        } else {
            warn("UART: write of 0x%x to unknown or read-only register 0x%x", value, offset);
        }
    }

    static bool is_stored(uint32_t number) {
        return number == INTERRUPT_ENABLE || number == LINE_CONTROL || number == MODEM_CONTROL ||
               number == SCRATCH;
    }

    bool latched() const {
        return registers[LINE_CONTROL] & kLatch;
    }

    uint32_t status() const {
        uint32_t set = received.empty() ? 0 : DATA_READY;
        if (to_send.size() <= kBufferBytes - kFifo) set |= THR_EMPTY;
        return to_send.empty() ? set | TRANSMITTER_EMPTY : set;
    }

    bool is_set_up(const char *what) {
        if (!divisor) {
            warn("UART: %s refused, the divisor latch was never set: the line has no baud rate", what);
            return false;
        }
        uint32_t bits = registers[LINE_CONTROL] & kEightBits;
        if (bits != kEightBits)
            warn("UART: LCR sets words of %u bits; the line carries 8 (LCR bits 0 and 1)", 5 + bits);
        return true;
    }
};

const kind_t kind("ns16550", [](surroundings_t &given, const settings_t &settings) -> device_t * {
    return new ns16550_t(given, unsigned(settings.at("stride")));
});

} // namespace
