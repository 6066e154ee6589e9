// SPDX-License-Identifier: Apache-2.0
// Lines of text, and a failure as one of them, for the protocols of text. The numbers in it are those of
// failures.def, so that the host can say its name and the whole sentence.
#ifndef SPRINGBOK_FAILURE_TEXT_H
#define SPRINGBOK_FAILURE_TEXT_H

#include <stdint.h>

#define TEXT_LINE_BYTES                                                                                      \
    123u // one message of Kenning's carries it, with the byte before it; the rest is cut off

typedef struct {
    uint8_t length;
    char text[TEXT_LINE_BYTES];
} text_line_t;

// Bytes that are no printable ASCII become question marks.
void text_append_bytes(text_line_t *line, const uint8_t *text, uint32_t count);
void text_append(text_line_t *line, const char *text);
void text_append_number(text_line_t *line, uint64_t number);

// What status_details() has: "springbok: failure 153 4 0".
void text_append_failure(text_line_t *line);

#endif
