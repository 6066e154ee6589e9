// SPDX-License-Identifier: Apache-2.0
#include "failure_text.h"

#include "../runtime/bytes.h"
#include "../runtime/status.h"
#include "requests.h"

#if SERVES_KENNING || SERVES_MLPERF

void text_append_bytes(text_line_t *line, const uint8_t *text, uint32_t count) {
    for (; count > 0 && line->length < TEXT_LINE_BYTES; count--, text++)
        line->text[line->length++] = (char)(*text >= 0x20 && *text < 0x7f ? *text : '?');
}

void text_append(text_line_t *line, const char *text) {
    text_append_bytes(line, (const uint8_t *)text, text_length(text));
}

void text_append_number(text_line_t *line, uint64_t number) {
    uint8_t digits[20];
    uint32_t first = sizeof digits;
    do
        digits[--first] = (uint8_t)('0' + (uint32_t)(number - number / 10 * 10));
    while ((number /= 10) != 0);
    text_append_bytes(line, digits + first, sizeof digits - first);
}

// The records of a failure in words that the host can read back into a sentence: see docs/protocol.md.
void text_append_failure(text_line_t *line) {
    span_t details = status_details();
    text_append(line, "springbok:");
    for (const uint8_t *at = details.data, *end = at + details.length; at < end;) {
        uint32_t kind = at[0], count = at[1];
        at += 2;
        text_append(line, kind == DETAILS_TEXT ? " \"" : " failure ");
        if (kind == DETAILS_TEXT) {
            text_append_bytes(line, at, count);
            text_append(line, "\"");
            at += count;
            continue;
        }
        text_append_number(line, kind);
        for (; count > 0; count--, at += 4) {
            text_append(line, " ");
            text_append_number(line, read_u32(at));
        }
    }
}

#endif
