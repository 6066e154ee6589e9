// SPDX-License-Identifier: Apache-2.0
// What requests do: a model's life from upload to output. It knows nothing of frames; session.c and kenning.c
// bring the payloads and send the replies.
#ifndef SPRINGBOK_REQUESTS_H
#define SPRINGBOK_REQUESTS_H

#include <stdbool.h>

#include "../runtime/runtime.h"
#include "messages.h"

// Build options. The base is in every build.
#ifndef SERVES_KENNING
#define SERVES_KENNING 1 // Kenning's protocol of 2026
#endif
#ifndef SERVES_EXTENSION
#define SERVES_EXTENSION 1 // extended frames, and the requests that exist in them only
#endif

#ifndef SERVES_MLPERF
#define SERVES_MLPERF 1 // the dialogue of MLPerf Tiny's runner
#endif

// Kenning's I/O specification of 2026: its type is that of 2023's, so it has a number of its own here.
#define REQUEST_KENNING_IOSPEC MESSAGE_COUNT

typedef struct {
    signature_header_t header;
    tensor_description_t tensors[2 * MAX_TENSORS];
} signature_answer_t;

typedef struct {
    chip_info_t chip;
    hello_limits_t limits;
} hello_answer_t;

// An answer: a small part, the profile's records, an output. It is kept, for the request may come again when
// its answer was lost on the line.
typedef struct {
    status_t status;
    uint32_t small_bytes;
    uint32_t records;
    uint32_t output_bytes;
    union {
        uint8_t bytes[1];
        uint8_t details[DETAILS_BYTES];
        hello_answer_t hello;
        statistics_t statistics;
        upload_answer_t upload;
        signature_answer_t signature;
        profile_header_t profile;
    } small;
} reply_t;

// Takes the whole arena of the platform. No model is loaded afterwards.
void requests_init(void);

// Another host may be there from now on: the model stays, an input, an output and a specification do not.
void requests_begin_dialogue(void);

// Whether the type is that of a request, not of an answer or of nothing.
bool requests_know(uint16_t type);

// Fail unless the request may come now; unless it may have so many bytes of payload. The first comes first.
void requests_check_order(uint16_t type);
void requests_check_size(uint16_t type, uint32_t bytes);

// At most so many bytes of payload can be right, as far as is known before they have come.
uint32_t requests_room(uint16_t type);

// Where so many bytes of payload go. What they will overwrite is given up here, before the first of them.
uint8_t *requests_destination(uint16_t type, uint32_t bytes);

// Does it. A failure is in the reply.
void requests_run(uint16_t type, uint32_t payload_bytes, reply_t *reply);

void requests_fill_error(reply_t *reply, status_t status);

// The payload of a HELLO that has arrived.
const hello_request_t *requests_hello(void);

// Of a request's computation from now on; 0: the firmware's own.
void requests_set_time_limit(uint32_t milliseconds);
uint32_t requests_time_limit(void);

// What the loaded model takes and gives; NULL when there is none.
const signature_t *requests_signature(void);

// Where the model's input is, CHIP_INPUT_BYTES of memory.
uint8_t *requests_input(void);

// Whether the last inference's output is there.
bool requests_has_output(void);

// What BENCHMARK has said of the loaded model; without it inputs and results are as they are.
const benchmark_request_t *requests_benchmark(void);

// reply->output_bytes of these follow its small part and its records.
const uint8_t *requests_output(void);

// Makes a profile_record_t that of the next dispatch that ran. Its ordinal is UINT32_MAX before the first.
void requests_next_record(void *record);

#endif
