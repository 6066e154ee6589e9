// SPDX-License-Identifier: Apache-2.0
#include "status.h"

#include <stdarg.h>

#include "platform.h"

#define TEXT_BYTES 96 // longer ones are cut

static uint8_t details[DETAILS_BYTES];
static uint32_t details_length;

// Room for a record; NULL when there is none left.
static uint8_t *add_record(uint32_t kind, uint32_t count, uint32_t bytes) {
    if (bytes + 2 > sizeof details - details_length) return NULL;
    uint8_t *record = details + details_length;
    record[0] = (uint8_t)kind;
    record[1] = (uint8_t)count;
    details_length += bytes + 2;
    return record + 2;
}

static NOINLINE void add_failure(uint32_t reason, va_list words) {
    uint32_t count = reason >> 8;
    uint8_t *to = add_record(reason, count, 4 * count);
    for (; to != NULL && count > 0; count--, to += 4) {
        uint32_t word = va_arg(words, uint32_t);
        memcpy(to, &word, sizeof word);
    }
}

// In place of what was recorded before.
static NOINLINE status_t record_failure(uint32_t reason, va_list words) {
    details_length = 0;
    add_failure(reason, words);
    return details[0];
}

status_t status_report(uint32_t reason, ...) {
    va_list words;
    va_start(words, reason);
    status_t status = record_failure(reason, words);
    va_end(words);
    return status;
}

void status_fail(uint32_t reason, ...) {
    va_list words;
    va_start(words, reason);
    status_t status = record_failure(reason, words);
    va_end(words);
    platform_abandon(status);
}

void status_fail_quoting(span_t text, uint32_t reason, ...) {
    va_list words;
    va_start(words, reason);
    status_t status = record_failure(reason, words);
    va_end(words);
    status_quote(text);
    platform_abandon(status);
}

void status_append(uint32_t reason, ...) {
    va_list words;
    va_start(words, reason);
    add_failure(reason, words);
    va_end(words);
}

void status_quote(span_t text) {
    uint32_t count = text.length < TEXT_BYTES ? text.length : TEXT_BYTES;
    uint8_t *to = add_record(DETAILS_TEXT, count, count);
    if (to != NULL && count != 0) memcpy(to, text.data, count);
}

span_t status_details(void) {
    return (span_t){.data = details, .length = details_length};
}

void status_clear(void) {
    details_length = 0;
}
