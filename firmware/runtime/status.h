// SPDX-License-Identifier: Apache-2.0
// Status codes, and for the last error the details: which failure it was and what was counted, as numbers.
// The sentences are in failures.def and take no memory of the chip; the host says them.
#ifndef SPRINGBOK_STATUS_H
#define SPRINGBOK_STATUS_H

#include <stdarg.h>
#include <stdint.h>

#include "bytes.h"

typedef uint32_t status_t;

enum {
#define X(name, code, text) STATUS_##name = code,
#include "status.def"
#undef X
};

enum {
#define FAILURE(name, number, status, sentence) FAILURE_##name = number,
#define PHRASE(name, number, words)
#include "failures.def"
};

typedef enum {
#define FAILURE(name, number, status, sentence)
#define PHRASE(name, number, words) PHRASE_##name = number,
#include "failures.def"
} phrase_t;

// The details are records, one after the other: a failure's number (1 byte), the count of words (1 byte) and
// the words, little endian; or DETAILS_TEXT, the count of bytes, and the bytes of a text.
#define DETAILS_BYTES 160
#define DETAILS_TEXT 0

// Tells the compiler what a failure cannot be, so that no caller asks again.
static inline status_t status_not_ok(status_t status) {
    if (status == STATUS_OK) __builtin_unreachable();
    return status;
}

#define NO_INDEX UINT32_MAX // of what a sentence speaks of, where that is no array

// A failure and its words, as the functions below take them: the number, with the count of words above it.
// Each word has 32 bits; one of 64 is written WORDS(value) and counts twice.
#define REASON(name, ...) FAILURE_##name | REASON_COUNT(__VA_ARGS__) << 8, ##__VA_ARGS__
#define REASON_COUNT(...) REASON_COUNT_(0, ##__VA_ARGS__, 7u, 6u, 5u, 4u, 3u, 2u, 1u, 0u)
#define REASON_COUNT_(_0, _1, _2, _3, _4, _5, _6, _7, count, ...) count
#define WORDS(value) (uint32_t)(value), (uint32_t)((value) >> 32)

// Stores the details of an error and returns the failure's status code, so that it reads:
//   return FAIL(VERIFY_ORDINAL, PHRASE_RODATA, ordinal, count);
#define FAIL(name, ...)                                                                                      \
    status_not_ok(status_fail(FAILURE_##name | REASON_COUNT(__VA_ARGS__) << 8, ##__VA_ARGS__))
status_t status_fail(uint32_t reason, ...);
status_t status_fail_list(uint32_t reason, va_list words);

// Adds to the last details, for example where in the module it happened, and returns `status`.
status_t status_append(status_t status, uint32_t reason, ...);

// Adds a text, a name for example, that the sentence of the last failure has a place for. Returns `status`.
status_t status_quote(span_t text, status_t status);

// The last error's details; their length is 0 when there was none since status_clear().
span_t status_details(void);

void status_clear(void);

// "ARCHIVE_BOUNDS" and so on; "UNKNOWN" for a code that is not in status.def.
const char *status_name(status_t code);

#define RETURN_IF_ERROR(expression)                                                                          \
    do {                                                                                                     \
        status_t status_ = (expression);                                                                     \
        if (status_ != STATUS_OK) return status_;                                                            \
    } while (0)

#endif
