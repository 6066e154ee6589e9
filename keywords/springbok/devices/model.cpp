// SPDX-License-Identifier: Apache-2.0
// What models in C++ share.
#include "model.h"

#include <cstdarg>
#include <cstdio>

namespace springbok {

void device_t::warn(const char *format, ...) {
    char text[160];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    surroundings.warn(text);
}

uint8_t uart_t::take_byte() {
    polls = 0;
    if (received.empty()) {
        warn("UART: data register read while the receive FIFO is empty");
        return 0;
    }
    return received.pop();
}

void uart_t::give_byte(uint64_t value, const char *full) {
    polls = 0;
    if (to_send.size() >= kBufferBytes)
        warn("UART: byte lost, it was written while the transmit FIFO was full (%s)", full);
    else
        to_send.push(uint8_t(value));
}

static std::map<std::string, create_t> &kinds() {
    static std::map<std::string, create_t>
        found; // made by the first of the constructors that run before all else
    return found;
}

kind_t::kind_t(const char *name, create_t create) {
    kinds()[name] = create;
}

create_t find_kind(const std::string &name) {
    auto found = kinds().find(name);
    return found == kinds().end() ? nullptr : found->second;
}

} // namespace springbok
