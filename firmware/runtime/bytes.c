// SPDX-License-Identifier: Apache-2.0
#include "bytes.h"

uint32_t read_u32(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint64_t read_u64(const uint8_t *bytes) {
    return read_u32(bytes) | (uint64_t)read_u32(bytes + 4) << 32;
}

uint32_t text_length(const char *text) {
    uint32_t length = 0;
    while (text[length] != 0)
        length++;
    return length;
}

span_t span_of(const char *text) {
    return (span_t){.data = (const uint8_t *)text, .length = text_length(text)};
}

bool span_equals(span_t span, const char *text) {
    uint32_t i = 0;
    while (i < span.length && text[i] != 0 && (uint8_t)text[i] == span.data[i])
        i++;
    return i == span.length && text[i] == 0;
}
