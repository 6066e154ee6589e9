// SPDX-License-Identifier: Apache-2.0
#include "requests.h"

#include "../runtime/float.h"
#include "../runtime/platform.h"
#include "../runtime/runtime.h"
#include "board.h"
#include "chip.h"
#include "crc32.h"
#include "iospec.h"
#include "kenning_spec.h"
#include "sensor.h"
#include "session.h"

#define ALIGNMENT 64u
// Parts at the end of the arena; the rest is for the model and the runtime.
#define INPUT_CAPACITY CHIP_INPUT_BYTES
#define OUTPUT_CAPACITY CHIP_OUTPUT_BYTES
// A model that loops for ever must not keep the chip: real ones take some thousand operations.
#define OPERATION_BUDGET 10000000u
// The same for its kernels.
#define DEFAULT_TIME_LIMIT_MS 600000u

// How far the model's life has come.
typedef enum {
    STATE_NONE,
    STATE_IOSPEC,
    STATE_MODEL_LOADED,
    STATE_INPUT_LOADED,
    STATE_INFERENCE_DONE,
} model_state_t;

typedef enum { SPEC_NONE, SPEC_2023, SPEC_KENNING } spec_kind_t;

static struct {
    runtime_t runtime;
    uint32_t payload_bytes; // of the request at hand
    model_state_t state;
    uint32_t models_loaded; // by them a host sees that another one was there
    spec_kind_t spec_kind;
    union {
        io_spec_t io_spec;
        kenning_spec_t kenning;
    } spec;
    uint8_t *arena; // model image, then the runtime's memory
    size_t arena_bytes;
    size_t image_bytes; // rounded up to ALIGNMENT
    uint8_t *input;
    uint8_t *output;
    uint8_t *staged;         // where the payload of a MODEL comes
    size_t output_bytes;     // of the last inference
    upload_request_t upload; // image_bytes is 0 when there is none
    uint32_t uploaded;
    uint32_t time_limit_ms;
    union {
        io_spec_t io_spec;
        kenning_spec_t kenning_spec;
        upload_request_t upload;
        sense_request_t sense;
        benchmark_request_t benchmark;
    } request;                     // small payloads
    hello_request_t hello;         // of its own: it comes between the messages of another host's request
    benchmark_request_t benchmark; // of the loaded model
} session;

static uint32_t input_bytes(void) {
    return runtime_signature(&session.runtime)->input_bytes;
}

// ---- The model's life

static void unload(void *unused) {
    (void)unused;
    runtime_unload(&session.runtime);
}

static void zero_runtime(void) {
    memset(&session.runtime, 0, sizeof session.runtime);
    session.runtime.operation_budget = OPERATION_BUDGET;
    session.runtime.arena_follows_image = true;
}

static model_state_t state_without_model(void) {
    return session.spec_kind != SPEC_NONE ? STATE_IOSPEC : STATE_NONE;
}

static void drop_model(void) {
    // The kernels may have written anywhere, so not even this is trusted to come back.
    if (platform_guarded_call(unload, NULL) != STATUS_OK) zero_runtime();
    session.state = state_without_model();
    if (SERVES_MLPERF) session.benchmark = (benchmark_request_t){.output_scale = 1};
}

// ---- Requests. Each handler fills the reply, or fails.

static void on_iospec(reply_t *reply) {
    (void)reply;
    iospec_check(&session.request.io_spec);
    session.spec.io_spec = session.request.io_spec;
    session.spec_kind = SPEC_2023;
    drop_model();
}

static void on_kenning_iospec(reply_t *reply) {
    (void)reply;
    kenning_spec_check(&session.request.kenning_spec);
    session.spec.kenning = session.request.kenning_spec;
    session.spec_kind = SPEC_KENNING;
    drop_model();
}

// The entry function's own name: clients write "module.main" as well as "main".
static const char *entry_name(void) {
    if (session.spec_kind == SPEC_NONE) return NULL;
    const char *name = SERVES_KENNING && session.spec_kind == SPEC_KENNING ? session.spec.kenning.entry_func
                                                                           : session.spec.io_spec.entry_func;
    for (const char *c = name; *c != 0; c++)
        if (*c == '.') name = c + 1;
    return *name != 0 ? name : NULL;
}

static void check_model(void) {
    const signature_t *signature = runtime_signature(&session.runtime);
    if (session.spec_kind == SPEC_2023) iospec_compare(&session.spec.io_spec, signature);
    if (SERVES_KENNING && session.spec_kind == SPEC_KENNING)
        kenning_spec_compare(&session.spec.kenning, signature);
    if (signature->input_bytes > INPUT_CAPACITY || signature->output_bytes > OUTPUT_CAPACITY)
        FAIL(TENSORS_SIZE, signature->input_bytes, signature->output_bytes, INPUT_CAPACITY, OUTPUT_CAPACITY);
}

static void load(uint32_t length) {
    session.image_bytes = (length + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (session.image_bytes > session.arena_bytes) session.image_bytes = session.arena_bytes;
    runtime_load(&session.runtime, session.arena, length, session.arena + session.image_bytes,
                 session.arena_bytes - session.image_bytes, entry_name());
    check_model(); // a refused model stays out of reach: the state does not change
    session.state = STATE_MODEL_LOADED;
    session.models_loaded++;
}

// The image has come to free memory of the model that is there, which gives way now: it goes down in pieces
// that don't overlap with where they come from.
static void move_model(uint32_t length) {
    uint32_t apart = (uint32_t)(session.staged - session.arena);
    drop_model();
    for (uint32_t at = 0; at < length; at += apart)
        platform_copy(session.arena + at, session.staged + at, length - at < apart ? length - at : apart);
}

static void on_model(reply_t *reply) {
    (void)reply;
    if (session.staged != session.arena) move_model(session.payload_bytes);
    load(session.payload_bytes);
}

// An upload that was interrupted goes on where it stopped.
static void on_upload(reply_t *reply) {
    const upload_request_t *wanted = &session.request.upload;
    if (wanted->image_bytes == 0 || wanted->image_bytes > session.arena_bytes)
        FAIL(UPLOAD_SIZE, wanted->image_bytes, (uint32_t)session.arena_bytes);
    if (memcmp(wanted, &session.upload, sizeof *wanted) != 0) session.uploaded = 0;
    session.upload = *wanted;
    drop_model();
    reply->small.upload.offset = session.uploaded;
    reply->small_bytes = sizeof reply->small.upload;
}

static void on_chunk(reply_t *reply) {
    session.uploaded += session.payload_bytes;
    reply->small.upload.offset = session.uploaded;
    reply->small_bytes = sizeof reply->small.upload;
}

static void on_load(reply_t *reply) {
    (void)reply;
    uint32_t length = session.upload.image_bytes;
    if (session.uploaded != length) FAIL(UPLOAD_UNFINISHED, session.uploaded, length);
    session.upload.image_bytes = 0;
    if (crc32(0, session.arena, length) != session.upload.image_crc) FAIL(UPLOAD_CRC, length);
    load(length);
}

static void on_data(reply_t *reply) {
    (void)reply;
    session.state = STATE_INPUT_LOADED;
}

static void invoke(uint8_t *output) {
    session.state = STATE_INPUT_LOADED;
    session.output_bytes = runtime_invoke(&session.runtime, session.input, input_bytes(), output,
                                          (size_t)(session.output + OUTPUT_CAPACITY - output));
    session.state = STATE_INFERENCE_DONE;
}

static void on_process(reply_t *reply) {
    (void)reply;
    invoke(session.output);
}

static void on_output(reply_t *reply) {
    reply->output_bytes = (uint32_t)session.output_bytes;
}

static uint32_t batch_size(void) {
    uint32_t bytes = input_bytes();
    return bytes != 0 ? session.payload_bytes / bytes : 1;
}

// Each input is brought to where the runtime wants it: aligned. The first is there already.
static void on_infer(reply_t *reply) {
    uint32_t bytes = input_bytes(), count = batch_size();
    uint8_t *output = session.output;
    for (uint32_t i = 0; i < count; i++) {
        if (i != 0) platform_copy(session.input, session.input + i * bytes, bytes);
        invoke(output);
        output += session.output_bytes;
    }
    session.output_bytes = (size_t)(output - session.output);
    on_output(reply);
}

// Of an int8 tensor: the scale is above 0 and finite, which a float's bits tell.
static void check_scale(phrase_t which, float scale, int32_t zero_point) {
    if (bits_of(scale) - 1 >= bits_of(__builtin_inff()) - 1 || zero_point != (int8_t)zero_point)
        FAIL(SAID_SCALE, which, bits_of(scale), zero_point);
}

static void on_sense(reply_t *reply) {
    const sense_request_t *said = &session.request.sense;
    check_scale(PHRASE_INPUT, said->scale, said->zero_point);
    sensor_sense(said, runtime_signature(&session.runtime), session.input);
    invoke(session.output);
    on_output(reply);
}

static void on_benchmark(reply_t *reply) {
    (void)reply;
    const benchmark_request_t *said = &session.request.benchmark;
    iospec_check_text(said->model, PHRASE_MODEL_NAME);
    if (said->input >= INPUT_KINDS || said->results >= RESULTS_KINDS ||
        (said->frame_bytes != 0 && input_bytes() % said->frame_bytes != 0))
        FAIL(BENCHMARK_VALUES, said->input, said->results, said->frame_bytes, input_bytes());
    if (said->frame_bytes != 0 && said->frame_us == 0) FAIL(BENCHMARK_FRAME, said->frame_bytes);
    check_scale(PHRASE_INPUT, said->input_scale, said->input_zero_point);
    check_scale(PHRASE_OUTPUT, said->output_scale, said->output_zero_point);
    session.benchmark = *said;
}

// Kenning's six numbers. The chip has one memory, so what the model's tensors take stands under "device".
static void on_stats(reply_t *reply) {
    const memory_statistics_t *memory = runtime_memory(&session.runtime);
    reply->small.statistics = (statistics_t){.device_peak = (uint32_t)memory->peak,
                                             .device_allocated = memory->allocated,
                                             .device_freed = memory->allocated - (uint32_t)memory->live};
    reply->small_bytes = sizeof reply->small.statistics;
}

static void on_info(reply_t *reply) {
    uint32_t vlen_bits = platform_vlen_bits();
    reply->small.hello.chip = (chip_info_t){
        .struct_version = 1,
        .flags = (uint16_t)((vlen_bits != 0 ? INFO_VECTORS : 0) | (board_marks() ? INFO_MARKS : 0) |
                            (board_contains() ? INFO_CONTAINS : 0) | (SERVES_EXTENSION ? INFO_EXTENSION : 0) |
                            (SERVES_KENNING ? INFO_KENNING : 0) | (SERVES_MLPERF ? INFO_MLPERF : 0)),
        .firmware_version = FIRMWARE_VERSION,
        .vlen_bits = vlen_bits,
        .elen_bits = board_elen_bits(),
        .max_message_size = (uint32_t)session.arena_bytes + 2,
        .arena_bytes = (uint32_t)session.arena_bytes,
        .bytecode_version = BYTECODE_VERSION,
        .library_version = LIBRARY_VERSION,
        .model_state = session.state,
        .models_loaded = session.models_loaded,
    };
    reply->small_bytes = sizeof reply->small.hello.chip;
}

uint32_t requests_time_limit(void) {
    return session.time_limit_ms;
}

static uint32_t limit_of(uint32_t milliseconds) {
    return milliseconds != 0 ? milliseconds : DEFAULT_TIME_LIMIT_MS;
}

void requests_set_time_limit(uint32_t milliseconds) {
    session.time_limit_ms = limit_of(milliseconds);
    board_set_time_limit(session.time_limit_ms);
}

static void on_hello(reply_t *reply) {
    const hello_request_t *hello = &session.hello;
    uint32_t version = hello->identity != 0 ? PROTOCOL_VERSION : PROTOCOL_WITHOUT_IDENTITY;
    on_info(reply);
    reply->small.hello.limits = (hello_limits_t){.protocol_version = version,
                                                 .input_capacity = INPUT_CAPACITY,
                                                 .output_capacity = OUTPUT_CAPACITY,
                                                 .stack_bytes = board_stack_bytes(),
                                                 .time_limit_ms = limit_of(hello->time_limit_ms)};
    reply->small_bytes = sizeof reply->small.hello;
}

static void describe(tensor_description_t *description, const tensor_t *tensor) {
    *description = (tensor_description_t){
        .element_type = tensor->element_type, .rank = tensor->rank, .bytes = tensor->bytes};
    memcpy(description->dims, tensor->dims, tensor->rank * sizeof *tensor->dims);
}

static void on_signature(reply_t *reply) {
    const signature_t *signature = runtime_signature(&session.runtime);
    signature_answer_t *answer = &reply->small.signature;
    answer->header = (signature_header_t){signature->input_count, signature->output_count};
    tensor_description_t *next = answer->tensors;
    for (uint32_t i = 0; i < signature->input_count; i++)
        describe(next++, &signature->inputs[i]);
    for (uint32_t i = 0; i < signature->output_count; i++)
        describe(next++, &signature->outputs[i]);
    reply->small_bytes = (uint32_t)((uint8_t *)next - reply->small.bytes);
}

static void on_profile(reply_t *reply) {
    const runtime_profile_t *profile = runtime_profile(&session.runtime);
    const memory_statistics_t *memory = runtime_memory(&session.runtime);
    for (uint32_t i = 0; i < profile->dispatch_count; i++)
        if (profile->dispatches[i].calls != 0) reply->records++;
    reply->small.profile = (profile_header_t){
        .record_size = sizeof(profile_record_t),
        .dispatch_count = reply->records,
        .inference_instructions = profile->inference_instructions,
        .inference_cycles = profile->inference_cycles,
        .load_instructions = profile->load_instructions,
        .inferences = profile->inferences,
        .stack_peak_bytes = platform_stack_peak(),
        .memory_peak_bytes = (uint32_t)(session.image_bytes + memory->peak),
        .memory_capacity_bytes = (uint32_t)session.arena_bytes,
        .kernels_begin = profile->kernels_begin,
        .kernels_end = profile->kernels_end,
    };
    reply->small_bytes = sizeof reply->small.profile;
}

static void on_measure(reply_t *reply) {
    on_infer(reply);
    on_profile(reply);
}

static void on_unload(reply_t *reply) {
    (void)reply;
    session.spec_kind = SPEC_NONE;
    drop_model();
}

static void forget_input(void) {
    if (session.state > STATE_MODEL_LOADED) session.state = STATE_MODEL_LOADED;
}

// Forgets what is half done: an upload, an input.
static void on_abort(reply_t *reply) {
    (void)reply;
    session.upload.image_bytes = 0;
    forget_input();
}

void requests_begin_dialogue(void) {
    session.spec_kind = SPEC_NONE;
    if (session.state == STATE_IOSPEC) session.state = STATE_NONE;
    forget_input();
}

static void on_reset(reply_t *reply) { // the restart comes when this is answered
    (void)reply;
}

#define PAYLOAD_INPUT 0xffffu // as many bytes as the model takes
#define PAYLOAD_BATCH 0xfffcu // the same once or more often
#define PAYLOAD_ARENA 0xfffeu // at most what the arena holds
#define PAYLOAD_CHUNK 0xfffdu // at most what is left of the upload
#define PAYLOAD_HELLO 0xfffbu // with or without what tells hosts apart

#define EXTENSION(handle) (SERVES_EXTENSION ? (handle) : NULL)

static const struct {
    void (*handle)(reply_t *reply); // NULL: not a request
    uint16_t payload;               // bytes, or one of the above
    uint8_t needs;                  // the earliest state in which it may come
} requests[] = {
    [MESSAGE_DATA] = {on_data, PAYLOAD_INPUT, STATE_MODEL_LOADED},
    [MESSAGE_MODEL] = {on_model, PAYLOAD_ARENA, STATE_NONE},
    [MESSAGE_PROCESS] = {on_process, 0, STATE_INPUT_LOADED},
    [MESSAGE_OUTPUT] = {on_output, 0, STATE_INFERENCE_DONE},
    [MESSAGE_STATS] = {on_stats, 0, STATE_MODEL_LOADED},
    [MESSAGE_IOSPEC] = {on_iospec, sizeof(io_spec_t), STATE_NONE},
    [MESSAGE_INFO] = {on_info, 0, STATE_NONE},
    [MESSAGE_PROFILE] = {on_profile, 0, STATE_MODEL_LOADED},
    [MESSAGE_UNLOAD] = {on_unload, 0, STATE_NONE},
    [MESSAGE_HELLO] = {EXTENSION(on_hello), PAYLOAD_HELLO, STATE_NONE},
    [MESSAGE_SIGNATURE] = {EXTENSION(on_signature), 0, STATE_MODEL_LOADED},
    [MESSAGE_UPLOAD] = {EXTENSION(on_upload), sizeof(upload_request_t), STATE_NONE},
    [MESSAGE_CHUNK] = {EXTENSION(on_chunk), PAYLOAD_CHUNK, STATE_NONE},
    [MESSAGE_LOAD] = {EXTENSION(on_load), 0, STATE_NONE},
    [MESSAGE_INFER] = {EXTENSION(on_infer), PAYLOAD_BATCH, STATE_MODEL_LOADED},
    [MESSAGE_MEASURE] = {EXTENSION(on_measure), PAYLOAD_INPUT, STATE_MODEL_LOADED},
    [MESSAGE_ABORT] = {EXTENSION(on_abort), 0, STATE_NONE},
    [MESSAGE_RESET] = {EXTENSION(on_reset), 0, STATE_NONE},
    [MESSAGE_SENSE] = {EXTENSION(on_sense), sizeof(sense_request_t), STATE_MODEL_LOADED},
    [MESSAGE_BENCHMARK] = {SERVES_MLPERF ? EXTENSION(on_benchmark) : NULL, sizeof(benchmark_request_t),
                           STATE_MODEL_LOADED},
    [REQUEST_KENNING_IOSPEC] = {SERVES_KENNING ? on_kenning_iospec : NULL, sizeof(kenning_spec_t),
                                STATE_NONE},
};

// ---- What the dialogue asks for

void requests_check_order(uint16_t type) {
    if (session.state < requests[type].needs) FAIL(MESSAGE_STATE, type, session.state);
    if ((type == MESSAGE_CHUNK || type == MESSAGE_LOAD) && session.upload.image_bytes == 0)
        FAIL(UPLOAD_MISSING, type);
}

void requests_check_size(uint16_t type, uint32_t bytes) {
    uint32_t rule = requests[type].payload;
    if (rule == PAYLOAD_BATCH && bytes != 0 && bytes <= INPUT_CAPACITY && input_bytes() != 0 &&
        bytes % input_bytes() == 0)
        return;
    if (rule == PAYLOAD_INPUT || rule == PAYLOAD_BATCH) {
        if (bytes != input_bytes()) FAIL(MESSAGE_INPUT, type, bytes, input_bytes());
        return;
    }
    if (rule == PAYLOAD_ARENA || rule == PAYLOAD_CHUNK) {
        uint32_t most = rule == PAYLOAD_ARENA ? (uint32_t)session.arena_bytes
                                              : session.upload.image_bytes - session.uploaded;
        if (bytes > most) FAIL(MESSAGE_SIZE, type, bytes, most);
        return;
    }
    if (rule == PAYLOAD_HELLO) {
        if (bytes == HELLO_SHORT_BYTES) return;
        rule = sizeof(hello_request_t);
    }
    if (bytes != rule) FAIL(MESSAGE_PAYLOAD, type, bytes, rule);
}

uint32_t requests_room(uint16_t type) {
    uint32_t rule = requests[type].payload;
    if (rule == PAYLOAD_ARENA) return (uint32_t)session.arena_bytes;
    return rule == PAYLOAD_INPUT ? input_bytes() : rule;
}

typedef struct {
    uint8_t *data;
    size_t bytes;
} room_t;

static void find_free_memory(void *argument) {
    room_t *room = argument;
    room->data = runtime_free_memory(&session.runtime, &room->bytes);
}

// Where no loaded model is, if there is so much room beside it; else no model is there any more.
static uint8_t *destination_of_model(uint32_t bytes) {
    const uint8_t *arena = session.arena, *end = arena + session.arena_bytes;
    room_t room = {0};
    // The kernels may have written anywhere.
    if (session.state >= STATE_MODEL_LOADED && platform_guarded_call(find_free_memory, &room) == STATUS_OK &&
        bytes <= room.bytes && room.data > arena && room.data <= end && bytes <= (size_t)(end - room.data))
        return room.data;
    session.upload.image_bytes = 0;
    drop_model();
    return session.arena;
}

uint8_t *requests_destination(uint16_t type, uint32_t bytes) {
    switch (type) {
    case MESSAGE_MODEL: return session.staged = destination_of_model(bytes);
    case MESSAGE_CHUNK: return session.arena + session.uploaded;
    case MESSAGE_DATA:
    case MESSAGE_INFER:
    case MESSAGE_MEASURE: session.state = STATE_MODEL_LOADED; return session.input;
    case MESSAGE_HELLO: session.hello = (hello_request_t){0}; return (uint8_t *)&session.hello;
    default: return (uint8_t *)&session.request;
    }
}

const signature_t *requests_signature(void) {
    return session.state >= STATE_MODEL_LOADED ? runtime_signature(&session.runtime) : NULL;
}

uint8_t *requests_input(void) {
    return session.input;
}

bool requests_has_output(void) {
    return session.state == STATE_INFERENCE_DONE;
}

const benchmark_request_t *requests_benchmark(void) {
    return &session.benchmark;
}

const hello_request_t *requests_hello(void) {
    return &session.hello;
}

// Makes a record that of the next dispatch that ran.
void requests_next_record(void *argument) {
    profile_record_t *record = argument;
    const dispatch_profile_t *dispatches = runtime_profile(&session.runtime)->dispatches;
    uint32_t i = record->ordinal;
    do
        i++;
    while (dispatches[i].calls == 0); // on_profile() has counted them
    memset(record, 0, sizeof *record);
    record->ordinal = i;
    record->calls = dispatches[i].calls;
    record->instructions = dispatches[i].instructions;
    record->cycles = dispatches[i].cycles;
    record->workgroups = dispatches[i].workgroups;
    const char *name = dispatches[i].name;
    for (uint32_t k = 0; k < PROFILE_NAME_BYTES - 1 && name[k] != 0; k++)
        record->name[k] = name[k];
}

const uint8_t *requests_output(void) {
    return session.output;
}

void requests_fill_error(reply_t *reply, status_t status) {
    span_t details = status_details();
    memset(reply, 0, sizeof *reply);
    reply->status = status;
    memcpy(reply->small.details, details.data, details.length);
    reply->small_bytes = details.length;
}

typedef struct {
    uint16_t type;
    reply_t *reply;
} job_t;

static void handle(void *argument) {
    const job_t *job = argument;
    requests[job->type].handle(job->reply);
}

// What the model's state is after a failure: the core may have trapped in kernels that wrote anywhere, and
// the runtime may have dropped the model.
static void settle(status_t status) {
    if (status == FAILURE_TRAP || status == FAILURE_TIME_LIMIT || status == FAILURE_STACK_OVERFLOW)
        zero_runtime();
    if (runtime_signature(&session.runtime) == NULL) session.state = state_without_model();
}

void requests_run(uint16_t type, uint32_t payload_bytes, reply_t *reply) {
    job_t job = {type, reply};
    memset(reply, 0, sizeof *reply);
    status_clear();
    session.payload_bytes = payload_bytes;
    status_t status = platform_guarded_call(handle, &job);
    if (status == STATUS_OK) return;
    settle(status);
    requests_fill_error(reply, status);
}

bool requests_know(uint16_t type) {
    return type < sizeof requests / sizeof requests[0] && requests[type].handle != NULL;
}

void requests_init(void) {
    memset(&session, 0, sizeof session);
    zero_runtime();
    requests_set_time_limit(0);
    session.arena = platform_arena(&session.arena_bytes);
    session.arena_bytes -= INPUT_CAPACITY + OUTPUT_CAPACITY;
    session.arena_bytes &= ~(size_t)(ALIGNMENT - 1);
    session.input = session.arena + session.arena_bytes;
    session.output = session.input + INPUT_CAPACITY;
}
