// SPDX-License-Identifier: Apache-2.0
// How often the instructions at each address were executed, and with operands of which classes.
#pragma once
#include <cstdint>
#include <memory>
#include <unordered_map>

namespace springbok {

constexpr uint32_t PAGE_SHIFT = 12, PAGE_PLACES = 1 << (PAGE_SHIFT - 1);

struct Page {
    uint64_t executed[PAGE_PLACES] = {};
    uint64_t classes[PAGE_PLACES] = {}; // a bit for each pair of classes that its two operands had
};

// Whether its operands are floating-point registers: all that compute with them but fcvt.s.w and fmv.w.x.
inline bool takes_floats(uint32_t word) {
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

} // namespace springbok
