// SPDX-License-Identifier: Apache-2.0
// ARM's PL011 UART, as model.py has it.
#include <algorithm>
#include <cinttypes>

#include "model.h"

using namespace springbok;

namespace {

enum { BUSY = 1 << 3, RXFE = 1 << 4, TXFF = 1 << 5, RXFF = 1 << 6, TXFE = 1 << 7 }; // of FR
enum { UARTEN = 1 << 0, TXE = 1 << 8, RXE = 1 << 9 };                               // of CR
enum { DR = 0x00, RSR = 0x04, FR = 0x18, IBRD = 0x24, FBRD = 0x28, LCR_H = 0x2C, CR = 0x30 };
enum { IFLS = 0x34, IMSC = 0x38, RIS = 0x3C, MIS = 0x40, ICR = 0x44, DMACR = 0x48 };
const uint32_t kIdentification = 0xFE0;
const uint8_t kIdentificationBytes[] = {0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1};
const size_t kFifo = 16;

struct pl011_t : uart_t {
    using uart_t::uart_t;

    std::map<uint32_t, uint32_t> registers = {{RSR, 0},        {IBRD, 0},    {FBRD, 0}, {LCR_H, 0},
                                              {CR, TXE | RXE}, {IFLS, 0x12}, {IMSC, 0}, {DMACR, 0}};
    uint32_t control = TXE | RXE, line = 0; // CR and LCR_H, which every byte asks for

    uint64_t size() const override {
        return 0x1000;
    }
    bool receiving() const override {
        return (control & (UARTEN | RXE)) == (UARTEN | RXE);
    }

    uint32_t read(uint32_t offset) override {
        if (offset == FR) {
            count_poll();
            return flags();
        }
        if (offset == DR) return read_data();
        auto found = registers.find(offset);
        if (found != registers.end()) return found->second;
        if (offset == RIS || offset == MIS) {
            uint32_t raised = (received.empty() ? 0 : 0x10) | (to_send.empty() ? 0x20 : 0);
            return offset == RIS ? raised : raised & registers[IMSC];
        }
        if (offset >= kIdentification) return kIdentificationBytes[(offset - kIdentification) / 4];
        warn("UART: read of unknown register 0x%x", offset);
        return 0;
    }

    void write(uint32_t offset, uint64_t value) override {
        static const std::map<uint32_t, uint32_t> masks = {{IBRD, 0xFFFF}, {FBRD, 0x3F}, {LCR_H, 0xFF},
                                                           {CR, 0xFFFF},   {IFLS, 0x3F}, {IMSC, 0x7FF},
                                                           {DMACR, 0x7}};
        if (offset == DR) return write_data(value);
        auto found = masks.find(offset);
        if (found != masks.end()) {
            registers[offset] = uint32_t(value) & found->second;
            control = registers[CR];
            line = registers[LCR_H];
        } else if (offset != RSR &&
                   offset != ICR) { // those clear errors and interrupts, which there are none of
            warn("UART: write of 0x%" PRIx64 " to unknown or read-only register 0x%x", value, offset);
        }
    }

    uint32_t flags() const {
        size_t sending = to_send.size(), waiting = received.size();
        // The line takes whole bursts, so the transmit FIFO is empty as long as the line has room for one.
        uint32_t set = sending <= kBufferBytes - kFifo ? TXFE : 0;
        if (sending) set |= sending < kBufferBytes ? BUSY : BUSY | TXFF;
        if (!waiting) return set | RXFE;
        return waiting >= kFifo ? set | RXFF : set;
    }

    void check_word_length() {
        if ((line & 0x60) != 0x60)
            warn("UART: LCR_H sets words of %u bits; the line carries 8 (LCR_H bits 5 and 6)",
                 5 + (line >> 5 & 3));
    }

    uint32_t read_data() {
        if (!receiving()) {
            warn("UART: data register read refused, CR does not enable the receiver (UARTEN and RXE)");
            return 0;
        }
        check_word_length();
        return take_byte();
    }

    void write_data(uint64_t value) {
        if ((control & (UARTEN | TXE)) != (UARTEN | TXE)) {
            warn("UART: byte 0x%02x refused, CR does not enable the transmitter (UARTEN and TXE)",
                 unsigned(value & 0xFF));
            return;
        }
        check_word_length();
        give_byte(value, "FR.TXFF");
    }
};

const kind_t kind("pl011",
                  [](surroundings_t &given, const settings_t &) -> device_t * { return new pl011_t(given); });

} // namespace
