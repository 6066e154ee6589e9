// SPDX-License-Identifier: Apache-2.0
// Status codes with names and one message that says what was wrong, where, and which limit was hit.
#ifndef SPRINGBOK_STATUS_H
#define SPRINGBOK_STATUS_H

#include <stdint.h>

typedef uint32_t status_t;

enum {
#define X(name, code, text) STATUS_##name = code,
#include "status.def"
#undef X
};

// Tells the compiler what a failure cannot be, so that no caller asks again.
static inline status_t status_not_ok(status_t status) {
    if (status == STATUS_OK) __builtin_unreachable();
    return status;
}

#define STATUS_MESSAGE_BYTES 160

// Stores the message of the last error and returns `code`, so that it reads `return status_fail(...)`.
// The format knows %s (string), %d (int), %u and %x (uint32_t), %U (uint64_t) and %%; longer text is cut.
// Example: return status_fail(STATUS_VERIFY_ORDINAL, "functions[%u]: rodata %u of %u", f, ordinal, count);
#define status_fail(...) status_not_ok(status_set(__VA_ARGS__))
status_t status_set(status_t code, const char *format, ...);

// Adds to the last message, for example where in the module it happened, and returns `code`.
status_t status_append(status_t code, const char *format, ...);

// The last error's message; "" when there was none since status_clear().
const char *status_message(void);

void status_clear(void);

// "ARCHIVE_BOUNDS" and so on; "UNKNOWN" for a code that is not in status.def.
const char *status_name(status_t code);

// The general sentence that belongs to the code.
const char *status_text(status_t code);

#define RETURN_IF_ERROR(expression)                                                                          \
    do {                                                                                                     \
        status_t status_ = (expression);                                                                     \
        if (status_ != STATUS_OK) return status_;                                                            \
    } while (0)

#endif
