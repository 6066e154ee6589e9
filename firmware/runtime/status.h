// SPDX-License-Identifier: Apache-2.0
// Failures. A function that cannot do its work does not return: FAIL() records which failure it was and what
// was counted, and ends the attempt (platform_attempt()) in which it happens. So nothing has to be asked
// after a call, and what a failure would leave behind is the attempt's owner to clear.
//
// A status is the number of a failure. Their sentences are in failures.def and take no memory of the chip;
// the host says them.
#ifndef SPRINGBOK_STATUS_H
#define SPRINGBOK_STATUS_H

#include <stdint.h>

#include "bytes.h"

typedef uint32_t status_t;

enum {
    STATUS_OK = 0,
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

#define NO_INDEX UINT32_MAX // of what a sentence speaks of, where that is no array

// A failure and its words, as the functions below take them: the number, with the count of words above it.
// Each word has 32 bits; one of 64 is written WORDS(value) and counts twice.
#define REASON(name, ...) FAILURE_##name | REASON_COUNT(__VA_ARGS__) << 8, ##__VA_ARGS__
#define REASON_COUNT(...) REASON_COUNT_(0, ##__VA_ARGS__, 7u, 6u, 5u, 4u, 3u, 2u, 1u, 0u)
#define REASON_COUNT_(_0, _1, _2, _3, _4, _5, _6, _7, count, ...) count
#define WORDS(value) (uint32_t)(value), (uint32_t)((value) >> 32)

// Ends the attempt: if (ordinal >= count) FAIL(ORDINAL, PHRASE_RODATA, ordinal, count);
#define FAIL(name, ...) status_fail(FAILURE_##name | REASON_COUNT(__VA_ARGS__) << 8, ##__VA_ARGS__)
// The same for a sentence that has a place for a text, a name for example.
#define FAIL_QUOTING(text, name, ...)                                                                        \
    status_fail_quoting(text, FAILURE_##name | REASON_COUNT(__VA_ARGS__) << 8, ##__VA_ARGS__)
_Noreturn void status_fail(uint32_t reason, ...);
_Noreturn void status_fail_quoting(span_t text, uint32_t reason, ...);

// The parts of the above: records a failure in place of the last one, and returns its number; adds to the
// record, for example where in the module it happened; adds a text.
status_t status_report(uint32_t reason, ...);
void status_append(uint32_t reason, ...);
void status_quote(span_t text);

// The last failure's details; their length is 0 when there was none since status_clear().
span_t status_details(void);

void status_clear(void);

#endif
