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

const char *text_of_code(uint32_t code, const uint16_t *codes, uint32_t count, const char *texts) {
    for (uint32_t i = 0; i < count; i++) {
        if (codes[i] == code) return texts;
        texts += text_length(texts) + 1;
    }
    return NULL;
}

bool span_equals(span_t span, const char *text) {
    uint32_t i = 0;
    while (i < span.length && text[i] != 0 && (uint8_t)text[i] == span.data[i])
        i++;
    return i == span.length && text[i] == 0;
}

const char *span_printable(span_t span, char *text, uint32_t capacity) {
    uint32_t length = span.length < capacity - 1 ? span.length : capacity - 1;
    for (uint32_t i = 0; i < length; i++)
        text[i] = span.data[i] >= ' ' && span.data[i] < 0x7f ? (char)span.data[i] : '?';
    text[length] = 0;
    return text;
}
