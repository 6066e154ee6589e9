// SPDX-License-Identifier: Apache-2.0
// The UART of OpenTitan and lowRISC, as model.py has it.
#include <algorithm>
#include <cinttypes>

#include "model.h"

using namespace springbok;

namespace {

enum {
    INTR_STATE = 0x00,
    INTR_ENABLE = 0x04,
    INTR_TEST = 0x08,
    ALERT_TEST = 0x0C,
    CTRL = 0x10,
    STATUS = 0x14
};
enum { RDATA = 0x18, WDATA = 0x1C, FIFO_CTRL = 0x20, FIFO_STATUS = 0x24, OVRD = 0x28, TIMEOUT_CTRL = 0x30 };
enum { TX = 1 << 0, RX = 1 << 1 }; // of CTRL
enum {
    TXFULL = 1 << 0,
    RXFULL = 1 << 1,
    TXEMPTY = 1 << 2,
    TXIDLE = 1 << 3,
    RXIDLE = 1 << 4,
    RXEMPTY = 1 << 5
};
const size_t kFifo = 32;

struct opentitan_uart_t : uart_t {
    using uart_t::uart_t;

    std::map<uint32_t, uint32_t> registers = {
        {INTR_ENABLE, 0}, {CTRL, 0}, {FIFO_CTRL, 0}, {OVRD, 0}, {TIMEOUT_CTRL, 0}};
    uint32_t control = 0; // CTRL, which every byte asks for

    uint64_t size() const override {
        return 0x1000;
    }
    bool receiving() const override {
        return control & RX;
    }

    uint32_t read(uint32_t offset) override {
        if (offset == STATUS) {
            count_poll();
            return status();
        }
        if (offset == RDATA) return read_data();
        auto found = registers.find(offset);
        if (found != registers.end()) return found->second;
        if (offset == INTR_STATE) return 0;
        if (offset == FIFO_STATUS)
            return uint32_t(std::min(received.size(), kFifo)) << 16 | (has_room() ? 0 : uint32_t(kFifo));
        warn("UART: read of unknown or write-only register 0x%x", offset);
        return 0;
    }

    void write(uint32_t offset, uint64_t value) override {
        static const std::map<uint32_t, uint32_t> masks = {
            {INTR_ENABLE, 0xFF}, {CTRL, 0xFFFF03F7}, {OVRD, 0x3}, {TIMEOUT_CTRL, 0x80FFFFFF}};
        if (offset == WDATA) return write_data(value);
        auto found = masks.find(offset);
        if (found != masks.end()) {
            registers[offset] = uint32_t(value) & found->second;
            control = registers[CTRL];
        } else if (offset == FIFO_CTRL) {
            if (value & 1) received.clear();
            registers[offset] = uint32_t(value) & 0xFC;
        } else if (offset != INTR_STATE && offset != INTR_TEST && offset != ALERT_TEST) {
            warn("UART: write of 0x%" PRIx64 " to unknown or read-only register 0x%x", value, offset);
        }
    }

    // Whether the line takes a burst: then the transmit FIFO is empty, else it is full.
    bool has_room() const {
        return to_send.size() <= kBufferBytes - kFifo;
    }

    uint32_t status() const {
        uint32_t set = has_room() ? TXEMPTY : TXFULL;
        if (to_send.empty()) set |= TXIDLE;
        if (received.empty()) return set | RXEMPTY | RXIDLE;
        return received.size() >= kFifo ? set | RXFULL : set;
    }

    uint32_t read_data() {
        if (!receiving()) {
            warn("UART: RDATA read refused, CTRL does not enable the receiver (RX)");
            return 0;
        }
        return take_byte();
    }

    void write_data(uint64_t value) {
        if (!(control & TX)) {
            warn("UART: byte 0x%02x refused, CTRL does not enable the transmitter (TX)",
                 unsigned(value & 0xFF));
            return;
        }
        if (!(control >> 16)) warn("UART: byte sent while CTRL.NCO is 0: the line has no baud rate");
        give_byte(value, "STATUS.TXFULL");
    }
};

const kind_t kind("opentitan_uart", [](surroundings_t &given, const settings_t &) -> device_t * {
    return new opentitan_uart_t(given);
});

} // namespace
