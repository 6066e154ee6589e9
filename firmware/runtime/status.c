// SPDX-License-Identifier: Apache-2.0
#include "status.h"

#define TEXT_BYTES 96 // longer ones are cut

static uint8_t details[DETAILS_BYTES];
static uint32_t details_length;

// Codes and their names, one after the other, each with its zero: smaller than an array of pointers.
static const uint16_t codes[] = {
#define X(name, value, text) value,
#include "status.def"
#undef X
};

static const char names[] =
#define X(name, value, text) #name "\0"
#include "status.def"
#undef X
    ;

enum {
#define X(name, value, text) INDEX_##name,
#include "status.def"
#undef X
};

// For each failure the place of its status in `codes`.
static const uint8_t failure_codes[] = {
#define FAILURE(name, number, status, sentence) [number] = INDEX_##status,
#define PHRASE(name, number, words)
#include "failures.def"
};

// Room for a record; NULL when there is none left.
static uint8_t *add_record(uint32_t kind, uint32_t count, uint32_t bytes) {
    if (bytes + 2 > sizeof details - details_length) return NULL;
    uint8_t *record = details + details_length;
    record[0] = (uint8_t)kind;
    record[1] = (uint8_t)count;
    details_length += bytes + 2;
    return record + 2;
}

static void add_failure(uint32_t reason, va_list words) {
    uint32_t count = reason >> 8;
    uint8_t *to = add_record(reason, count, 4 * count);
    for (; to != NULL && count > 0; count--, to += 4) {
        uint32_t word = va_arg(words, uint32_t);
        memcpy(to, &word, sizeof word);
    }
}

status_t status_fail_list(uint32_t reason, va_list words) {
    details_length = 0;
    add_failure(reason, words);
    return codes[failure_codes[reason & 0xff]];
}

status_t status_fail(uint32_t reason, ...) {
    va_list words;
    va_start(words, reason);
    status_t status = status_fail_list(reason, words);
    va_end(words);
    return status;
}

status_t status_append(status_t status, uint32_t reason, ...) {
    va_list words;
    va_start(words, reason);
    add_failure(reason, words);
    va_end(words);
    return status;
}

status_t status_quote(span_t text, status_t status) {
    uint32_t count = text.length < TEXT_BYTES ? text.length : TEXT_BYTES;
    uint8_t *to = add_record(DETAILS_TEXT, count, count);
    if (to != NULL && count != 0) memcpy(to, text.data, count);
    return status;
}

span_t status_details(void) {
    return (span_t){.data = details, .length = details_length};
}

void status_clear(void) {
    details_length = 0;
}

const char *status_name(status_t code) {
    const char *name = names;
    for (uint32_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i] == code) return name;
        name += text_length(name) + 1;
    }
    return "UNKNOWN";
}
