// SPDX-License-Identifier: Apache-2.0
#include "status.h"

#include <stdarg.h>
#include <stddef.h>

#include "bytes.h"

static char message[STATUS_MESSAGE_BYTES];
static size_t message_length;

static NOINLINE void put_char(char c) {
    if (message_length < sizeof message - 1) message[message_length++] = c;
}

static void put_string(const char *text) {
    while (*text != 0)
        put_char(*text++);
}

static NOINLINE void put_number(uint64_t value, uint32_t base) {
    char digits[20];
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (count > 0)
        put_char(digits[--count]);
}

static void put_signed(int value) {
    if (value < 0) put_char('-');
    put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

static void put_formatted(const char *format, va_list arguments) {
    for (; *format != 0; format++) {
        if (*format != '%') {
            put_char(*format);
            continue;
        }
        switch (*++format) {
        case 's': put_string(va_arg(arguments, const char *)); break;
        case 'd': put_signed(va_arg(arguments, int)); break;
        case 'u': put_number(va_arg(arguments, uint32_t), 10); break;
        case 'x': put_number(va_arg(arguments, uint32_t), 16); break;
        case 'U': put_number(va_arg(arguments, uint64_t), 10); break;
        case '%': put_char('%'); break;
        default: return; // A format this formatter does not know would misread what follows.
        }
    }
}

status_t status_set(status_t code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    message_length = 0;
    put_formatted(format, arguments);
    message[message_length] = 0;
    va_end(arguments);
    return code;
}

status_t status_append(status_t code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    put_formatted(format, arguments);
    message[message_length] = 0;
    va_end(arguments);
    return code;
}

const char *status_message(void) {
    return message;
}

void status_clear(void) {
    message_length = 0;
    message[0] = 0;
}

static const char names[] =
#define X(name, value, text) #name "\0"
#include "status.def"
#undef X
    ;

static const uint16_t codes[] = {
#define X(name, value, text) value,
#include "status.def"
#undef X
};

const char *status_name(status_t code) {
    const char *name = text_of_code(code, codes, sizeof codes / sizeof *codes, names);
    return name != NULL ? name : "UNKNOWN";
}

const char *status_text(status_t code) {
    switch (code) {
#define X(name, value, text)                                                                                 \
    case value: return text;
#include "status.def"
#undef X
    default: return "unknown status";
    }
}
