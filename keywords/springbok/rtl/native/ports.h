// SPDX-License-Identifier: Apache-2.0
// A port of the wrapper, whose type is as wide as Verilator made it.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace springbok {

// Some of its bits, at most 32.
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

} // namespace springbok
