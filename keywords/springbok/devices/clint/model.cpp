// SPDX-License-Identifier: Apache-2.0
// The core-local interruptor of one hart, as model.py has it.
#include <cinttypes>

#include "model.h"

using namespace springbok;

namespace {

enum { MSIP = 0x0000, MTIMECMP = 0x4000, MTIME = 0xBFF8 };

uint64_t with_half(uint64_t value, uint32_t offset, uint64_t half) {
    unsigned shift = 8 * (offset & 4);
    return (value & ~(uint64_t(0xFFFFFFFF) << shift)) | (half & 0xFFFFFFFF) << shift;
}

struct clint_device_t : timer_device_t {
    clint_device_t(surroundings_t &given, uint64_t hertz) : timer_device_t(given), frequency(hertz) {}

    const uint64_t frequency;
    uint64_t written = 0; // how far the time that was written is ahead
    uint64_t compare = ~uint64_t(0);
    bool software = false;

    uint64_t size() const override {
        return 0xC000;
    }
    bool software_interrupt() const override {
        return software;
    }
    bool timer_interrupt() override {
        return time() >= compare;
    }
    double seconds_left() override {
        uint64_t at = time();
        return (compare >= at ? double(compare - at) : -double(at - compare)) / double(frequency);
    }

    uint64_t time() {
        return surroundings.now(frequency) + written;
    }

    uint32_t read(uint32_t offset) override {
        if (offset == MTIME) return uint32_t(time());
        if (offset == MTIME + 4) return uint32_t(time() >> 32);
        if (offset == MSIP) return software;
        if (offset == MTIMECMP || offset == MTIMECMP + 4) return uint32_t(compare >> 8 * (offset & 4));
        warn("CLINT: read of unknown register 0x%x", offset);
        return 0;
    }

    void write(uint32_t offset, uint64_t value) override {
        if (offset == MSIP)
            software = value & 1;
        else if (offset == MTIMECMP || offset == MTIMECMP + 4)
            compare = with_half(compare, offset, value);
        else if (offset == MTIME || offset == MTIME + 4)
            written = with_half(time(), offset, value) - surroundings.now(frequency);
        else
            warn("CLINT: write of 0x%" PRIx64 " to unknown register 0x%x", value, offset);
        surroundings.interrupts_changed();
    }
};

const kind_t kind("clint", [](surroundings_t &given, const settings_t &settings) -> device_t * {
    return new clint_device_t(given, settings.at("frequency_hz"));
});

} // namespace
