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
    MESSAGE_COUNT,
};

enum {
#define K(name, type, action) KENNING_##name = type,
#include "messages.def"
    KENNING_COUNT,
};

#define PROTOCOL_VERSION 2
#define PROTOCOL_WITHOUT_IDENTITY 1 // of clients that know none
#define EXTENDED_MAGIC 0xFDFEFF5Bu  // no base frame begins like this: it would be a size of 4 GB

#define IOSPEC_INPUTS 2
#define IOSPEC_INPUT_DIMS 4
#define IOSPEC_OUTPUTS 12
#define IOSPEC_NAME_BYTES 20
#define KENNING_INPUT_SHAPES (IOSPEC_INPUTS * IOSPEC_INPUT_DIMS)
#define KENNING_OUTPUT_SHAPES (IOSPEC_OUTPUTS * IOSPEC_INPUT_DIMS)
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

// Before every payload of Kenning's protocol of 2026. A message has at most KENNING_MESSAGE_BYTES; a longer
// payload comes in several, the first and the last of which are marked.
typedef struct {
    uint8_t type;
    uint8_t type_above[3]; // the type has 38 bits, of which only the lowest 6 are in use
    uint8_t flow;          // its two highest bits; the others are the type's
    uint8_t checksum;      // makes the exclusive or of all bytes of the message KENNING_CHECKSUM
    uint16_t flags;
    uint32_t payload_bytes; // counts only with KENNING_HAS_PAYLOAD
} kenning_header_t;

#define KENNING_MESSAGE_BYTES 136u
#define KENNING_CHECKSUM 0x4Bu
enum { KENNING_REQUEST = 0x00, KENNING_ACKNOWLEDGE = 0x80, KENNING_TRANSMISSION = 0xC0, KENNING_FLOW = 0xC0 };
enum {
    KENNING_SUCCESS = 1 << 0,
    KENNING_FAIL = 1 << 1,
    KENNING_HAS_PAYLOAD = 1 << 3,
    KENNING_FIRST = 1 << 4,
    KENNING_LAST = 1 << 5,
    KENNING_IS_DEVICE = 1 << 7, // the answer is a device's and not that of Kenning itself
};

// The I/O specification of Kenning's protocol of 2026. Shapes stand one after the other; whether each fills a
// row of its own depends on the client.
typedef struct {
    uint8_t code; // DLPack's: 0 int, 1 uint, 2 float, 4 bfloat, 6 bool
    uint8_t bits;
} kenning_type_t;

typedef struct {
    uint32_t num_input;
    uint32_t num_input_dim[IOSPEC_INPUTS];
    uint32_t input_shape[KENNING_INPUT_SHAPES];
    kenning_type_t input_type[IOSPEC_INPUTS];
    uint32_t num_output;
    uint32_t num_output_dim[IOSPEC_OUTPUTS];
    uint32_t output_shape[KENNING_OUTPUT_SHAPES];
    kenning_type_t output_type[IOSPEC_OUTPUTS];
    char entry_func[IOSPEC_NAME_BYTES];
    char model_name[IOSPEC_NAME_BYTES];
} kenning_spec_t;

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
    uint16_t flags; // of the INFO_ flags below
    uint32_t firmware_version;
    uint32_t vlen_bits;
    uint32_t elen_bits;
    uint32_t max_message_size;
    uint32_t arena_bytes;
    uint32_t bytecode_version;
    uint32_t library_version;
    uint32_t model_state;
    uint32_t models_loaded; // since power-on
} chip_info_t;

enum {
    INFO_VECTORS = 1 << 0,
    INFO_MARKS = 1 << 1, // reach a simulator
    INFO_CONTAINS = 1 << 2,
    INFO_EXTENSION = 1 << 3, // extended frames are served; since firmware 1.2
    INFO_KENNING = 1 << 4,   // so is Kenning's protocol of 2026
    INFO_MLPERF = 1 << 5,    // and the dialogue of MLPerf Tiny's runner
};

typedef struct {
    uint32_t protocol_version; // the client's
    uint32_t time_limit_ms;    // of one request's computation, in this dialogue; 0: the firmware's default
    uint32_t identity;         // the host's part of this dialogue's: another number each time; 0: none
    uint32_t flags;            // bit 0: end another host's dialogue
} hello_request_t;             // made with a dialogue's own identity, and with 0 here, it ends that dialogue

#define HELLO_SHORT_BYTES 8u // of clients that know no identity
#define HELLO_TAKES_OVER 1u

// The answer to HELLO: chip_info_t and this.
typedef struct {
    uint32_t protocol_version; // the firmware's
    uint32_t input_capacity;
    uint32_t output_capacity;
    uint32_t stack_bytes;
    uint32_t time_limit_ms;
    uint32_t nonce; // the chip's part of the dialogue's identity, which is the exclusive or of both
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

// What MLPerf Tiny's runner is to know of the loaded model, and how its bytes become the model's input.
typedef struct {
    char model[IOSPEC_NAME_BYTES]; // its name there, such as kws01
    uint32_t input;                // of the INPUT_ kinds below
    uint32_t results;              // of the RESULTS_ kinds
    float input_scale;             // of an int8 input
    int32_t input_zero_point;
    float output_scale; // of an int8 output
    int32_t output_zero_point;
    uint32_t frame_bytes; // of a stream: so much of the input is new for each inference; 0: no stream
    uint32_t frame_us;    // what a frame lasts
    int32_t threshold;    // of the first output's value as it is: above it something was detected
} benchmark_request_t;

enum {
    INPUT_AS_IT_IS, // the runner sends what the model takes
    INPUT_UNSIGNED, // bytes from 0 to 255, for an int8 input that begins at -128
    INPUT_FLOAT,    // float32, which are quantised for an int8 input
    INPUT_KINDS
};
enum {
    RESULTS_VALUES,
    RESULTS_ERROR, // one: the mean of the squares of what the output differs from the input
    RESULTS_KINDS
};

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
