// SPDX-License-Identifier: Apache-2.0
// What the messages look like on the wire, little endian. keywords/springbok/link/layouts.py describes the
// same; a test compares sizes, offsets and numbers of both.
#ifndef SPRINGBOK_MESSAGES_H
#define SPRINGBOK_MESSAGES_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are sent as they are");

enum {
#define X(name, type) MESSAGE_##name = type,
#include "messages.def"
#undef X
    MESSAGE_COUNT,
};

#define PROTOCOL_VERSION 1
#define EXTENDED_MAGIC 0xFDFEFF5Bu // no base frame begins like this: it would be a size of 4 GB

#define IOSPEC_INPUTS 2
#define IOSPEC_INPUT_DIMS 4
#define IOSPEC_OUTPUTS 12
#define IOSPEC_NAME_BYTES 20
#define PROFILE_NAME_BYTES 96
#define SIGNATURE_DIMS 8

// Before every payload. A base frame has nothing behind it.
typedef struct __attribute__((packed)) {
    uint32_t message_size; // 2 + payload bytes
    uint16_t message_type;
} base_header_t;

// Before every payload of the extension; behind the payload, unless it is empty, follows the CRC-32 of header
// and payload.
typedef struct {
    uint32_t magic;
    uint16_t sequence; // an answer has that of its request; 0: a fault that belongs to no request
    uint16_t message_type;
    uint32_t payload_bytes;
    uint32_t check; // CRC-32 of the bytes before it
} extended_header_t;

typedef struct {
    uint32_t num_input;
    uint32_t num_input_dim[IOSPEC_INPUTS];
    uint32_t input_shape[IOSPEC_INPUTS][IOSPEC_INPUT_DIMS];
    uint32_t input_length[IOSPEC_INPUTS];     // elements
    uint32_t input_size_bytes[IOSPEC_INPUTS]; // bytes an element
    uint32_t num_output;
    uint32_t output_length[IOSPEC_OUTPUTS]; // elements
    uint32_t output_size_bytes;             // bytes an element
    char dtype[4];
    char entry_func[IOSPEC_NAME_BYTES];
    char model_name[IOSPEC_NAME_BYTES];
} io_spec_t;

typedef struct {
    uint32_t host_peak;
    uint32_t host_allocated;
    uint32_t host_freed;
    uint32_t device_peak;
    uint32_t device_allocated;
    uint32_t device_freed;
} statistics_t;

typedef struct {
    uint16_t struct_version;
    uint16_t flags; // bit 0: vectors, bit 1: marks reach a simulator, bit 2: kernels are contained
    uint32_t firmware_version;
    uint32_t vlen_bits;
    uint32_t elen_bits;
    uint32_t max_message_size;
    uint32_t arena_bytes;
    uint32_t bytecode_version;
    uint32_t library_version;
    uint32_t model_state;
    uint32_t reserved;
} chip_info_t;

typedef struct {
    uint32_t protocol_version; // the client's
    uint32_t time_limit_ms;    // of one request's computation; 0: the firmware's default
} hello_request_t;

// The answer to HELLO: chip_info_t and this.
typedef struct {
    uint32_t protocol_version; // the firmware's
    uint32_t input_capacity;
    uint32_t output_capacity;
    uint32_t stack_bytes;
    uint32_t time_limit_ms;
    uint32_t reserved;
} hello_limits_t;

typedef struct {
    uint32_t image_bytes;
    uint32_t image_crc;
} upload_request_t;

// The answer to UPLOAD and CHUNK: how much of the image is there.
typedef struct {
    uint32_t offset;
} upload_answer_t;

// The answer to SIGNATURE: this and a tensor_description_t a tensor, inputs first.
typedef struct {
    uint32_t input_count;
    uint32_t output_count;
} signature_header_t;

typedef struct {
    uint32_t element_type; // IREE's: class << 24 | bits
    uint32_t rank;
    uint32_t dims[SIGNATURE_DIMS];
    uint32_t bytes;
    uint32_t reserved;
} tensor_description_t;

// The answer is that of INFER.
typedef struct {
    uint32_t samples; // that the accelerometer is to give before
    uint32_t wait_ms; // for all of them
    float unit;       // what a step of its readings, 1/256 g, is in the model's input
    float scale;      // of an int8 input
    int32_t zero_point;
} sense_request_t;

typedef struct {
    uint32_t record_size;
    uint32_t dispatch_count;
    uint64_t inference_instructions;
    uint64_t inference_cycles;
    uint64_t load_instructions;
    uint32_t inferences;
    uint32_t stack_peak_bytes;
    uint32_t memory_peak_bytes;
    uint32_t memory_capacity_bytes;
    uint32_t kernels_begin;
    uint32_t kernels_end;
    uint64_t reserved;
} profile_header_t;

typedef struct {
    uint32_t ordinal;
    uint32_t calls;
    uint64_t instructions;
    uint64_t cycles;
    uint32_t workgroups;
    uint32_t reserved;
    char name[PROFILE_NAME_BYTES];
} profile_record_t;

#endif
