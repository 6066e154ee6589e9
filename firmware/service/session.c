// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include "../runtime/platform.h"
#include "../runtime/runtime.h"
#include "board.h"
#include "chip.h"
#include "crc32.h"
#include "frame.h"
#include "iospec.h"
#include "sensor.h"

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

static struct {
    frame_receiver_t receiver;
    runtime_t runtime;
    model_state_t state;
    bool has_iospec;
    io_spec_t iospec;
    uint8_t *arena; // model image, then the runtime's memory
    size_t arena_bytes;
    size_t image_bytes; // rounded up to ALIGNMENT
    uint8_t *input;
    uint8_t *output;
    size_t output_bytes;     // of the last inference
    upload_request_t upload; // image_bytes is 0 when there is none
    uint32_t uploaded;
    uint32_t time_limit_ms;
    union {
        io_spec_t io_spec;
        hello_request_t hello;
        upload_request_t upload;
        sense_request_t sense;
    } request; // small payloads
    reply_t reply;
    extended_header_t answered; // the request that `reply` answers; magic is 0 when there is none
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
    return session.has_iospec ? STATE_IOSPEC : STATE_NONE;
}

static void drop_model(void) {
    // The kernels may have written anywhere, so not even this is trusted to come back.
    if (platform_guarded_call(unload, NULL) != STATUS_OK) zero_runtime();
    session.state = state_without_model();
}

// ---- Requests. Each handler fills the reply, or fails.

static void on_iospec(reply_t *reply) {
    (void)reply;
    iospec_check(&session.request.io_spec);
    session.iospec = session.request.io_spec;
    session.has_iospec = true;
    drop_model();
}

// The entry function's own name: clients write "module.main" as well as "main".
static const char *entry_name(void) {
    if (!session.has_iospec) return NULL;
    const char *name = session.iospec.entry_func;
    for (const char *c = name; *c != 0; c++)
        if (*c == '.') name = c + 1;
    return *name != 0 ? name : NULL;
}

static void check_model(void) {
    const signature_t *signature = runtime_signature(&session.runtime);
    if (session.has_iospec) iospec_compare(&session.iospec, signature);
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
}

static void on_model(reply_t *reply) {
    (void)reply;
    load(session.receiver.payload_bytes);
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
    session.uploaded += session.receiver.payload_bytes;
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
    return bytes != 0 ? session.receiver.payload_bytes / bytes : 1;
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

static void on_sense(reply_t *reply) {
    sensor_sense(&session.request.sense, runtime_signature(&session.runtime), session.input);
    invoke(session.output);
    on_output(reply);
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
        .flags =
            (uint16_t)((vlen_bits != 0 ? 1u : 0u) | (board_marks() ? 2u : 0u) | (board_contains() ? 4u : 0u)),
        .firmware_version = FIRMWARE_VERSION,
        .vlen_bits = vlen_bits,
        .elen_bits = board_elen_bits(),
        .max_message_size = (uint32_t)session.arena_bytes + 2,
        .arena_bytes = (uint32_t)session.arena_bytes,
        .bytecode_version = BYTECODE_VERSION,
        .library_version = LIBRARY_VERSION,
        .model_state = session.state,
    };
    reply->small_bytes = sizeof reply->small.hello.chip;
}

static void set_time_limit(uint32_t milliseconds) {
    session.time_limit_ms = milliseconds != 0 ? milliseconds : DEFAULT_TIME_LIMIT_MS;
    board_set_time_limit(session.time_limit_ms);
}

static void on_hello(reply_t *reply) {
    set_time_limit(session.request.hello.time_limit_ms);
    on_info(reply);
    reply->small.hello.limits = (hello_limits_t){.protocol_version = PROTOCOL_VERSION,
                                                 .input_capacity = INPUT_CAPACITY,
                                                 .output_capacity = OUTPUT_CAPACITY,
                                                 .stack_bytes = board_stack_bytes(),
                                                 .time_limit_ms = session.time_limit_ms};
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
    session.has_iospec = false;
    drop_model();
}

// Forgets what is half done: an upload, an input.
static void on_abort(reply_t *reply) {
    (void)reply;
    session.upload.image_bytes = 0;
    if (session.state > STATE_MODEL_LOADED) session.state = STATE_MODEL_LOADED;
}

static void on_reset(reply_t *reply) { // the restart comes when this is answered
    (void)reply;
}

#define PAYLOAD_INPUT 0xffffu // as many bytes as the model takes
#define PAYLOAD_BATCH 0xfffcu // the same once or more often
#define PAYLOAD_ARENA 0xfffeu // at most what the arena holds
#define PAYLOAD_CHUNK 0xfffdu // at most what is left of the upload

static const struct {
    void (*handle)(reply_t *reply); // NULL: not a request
    uint16_t payload;               // bytes, or one of the above
    uint8_t needs;                  // the earliest state in which it may come
} requests[MESSAGE_COUNT] = {
    [MESSAGE_DATA] = {on_data, PAYLOAD_INPUT, STATE_MODEL_LOADED},
    [MESSAGE_MODEL] = {on_model, PAYLOAD_ARENA, STATE_NONE},
    [MESSAGE_PROCESS] = {on_process, 0, STATE_INPUT_LOADED},
    [MESSAGE_OUTPUT] = {on_output, 0, STATE_INFERENCE_DONE},
    [MESSAGE_STATS] = {on_stats, 0, STATE_MODEL_LOADED},
    [MESSAGE_IOSPEC] = {on_iospec, sizeof(io_spec_t), STATE_NONE},
    [MESSAGE_INFO] = {on_info, 0, STATE_NONE},
    [MESSAGE_PROFILE] = {on_profile, 0, STATE_MODEL_LOADED},
    [MESSAGE_UNLOAD] = {on_unload, 0, STATE_NONE},
    [MESSAGE_HELLO] = {on_hello, sizeof(hello_request_t), STATE_NONE},
    [MESSAGE_SIGNATURE] = {on_signature, 0, STATE_MODEL_LOADED},
    [MESSAGE_UPLOAD] = {on_upload, sizeof(upload_request_t), STATE_NONE},
    [MESSAGE_CHUNK] = {on_chunk, PAYLOAD_CHUNK, STATE_NONE},
    [MESSAGE_LOAD] = {on_load, 0, STATE_NONE},
    [MESSAGE_INFER] = {on_infer, PAYLOAD_BATCH, STATE_MODEL_LOADED},
    [MESSAGE_MEASURE] = {on_measure, PAYLOAD_INPUT, STATE_MODEL_LOADED},
    [MESSAGE_ABORT] = {on_abort, 0, STATE_NONE},
    [MESSAGE_RESET] = {on_reset, 0, STATE_NONE},
    [MESSAGE_SENSE] = {on_sense, sizeof(sense_request_t), STATE_MODEL_LOADED},
};

// ---- Receiving

static void check_payload_size(uint16_t type, uint32_t bytes) {
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
    if (bytes != rule) FAIL(MESSAGE_PAYLOAD, type, bytes, rule);
}

// The old request comes again when its answer was lost. HELLO begins a new dialogue, so it never is an old
// one.
static bool is_repeated(const frame_receiver_t *receiver) {
    return receiver->extended && receiver->type != MESSAGE_HELLO &&
           memcmp(&receiver->header.extended, &session.answered, sizeof session.answered) == 0;
}

// While the client speaks the extension, a base frame is most likely a damaged one: only those count that
// begin another client's dialogue and destroy nothing.
static bool ends_extension(const frame_receiver_t *receiver) {
    uint16_t type = receiver->type;
    return (type == MESSAGE_IOSPEC || type == MESSAGE_INFO || type == MESSAGE_STATS) &&
           receiver->payload_bytes == requests[type].payload;
}

static void check_order(const frame_receiver_t *receiver) {
    uint16_t type = receiver->type;
    if (type >= MESSAGE_COUNT || (type >= MESSAGE_HELLO && !receiver->extended))
        FAIL(MESSAGE_TYPE, type, receiver->extended ? MESSAGE_COUNT - 1 : MESSAGE_HELLO - 1);
    if (requests[type].handle == NULL) FAIL(MESSAGE_ANSWER, type, type);
    if (!receiver->extended && receiver->client_extended) {
        if (!ends_extension(receiver)) FAIL(MESSAGE_BASE, type);
        session.receiver.client_extended = false;
    }
    if (session.state < requests[type].needs) FAIL(MESSAGE_STATE, type, session.state);
    if ((type == MESSAGE_CHUNK || type == MESSAGE_LOAD) && session.upload.image_bytes == 0)
        FAIL(UPLOAD_MISSING, type);
}

static void check_request(void *receiver) {
    const frame_receiver_t *frame = receiver;
    check_order(frame);
    check_payload_size(frame->type, frame->payload_bytes);
}

// Decides on a message by its header. What the payload will overwrite is given up here, before its first
// byte.
static status_t accept(frame_receiver_t *receiver, uint8_t **payload) {
    if (is_repeated(receiver)) return FAILURE_REQUEST_REPEATED;
    status_t status = platform_attempt(check_request, receiver);
    if (status != STATUS_OK) return status;
    session.answered.magic = 0;
    switch (receiver->type) {
    case MESSAGE_MODEL:
        session.upload.image_bytes = 0;
        drop_model();
        *payload = session.arena;
        break;
    case MESSAGE_CHUNK: *payload = session.arena + session.uploaded; break;
    case MESSAGE_DATA:
    case MESSAGE_INFER:
    case MESSAGE_MEASURE:
        session.state = STATE_MODEL_LOADED;
        *payload = session.input;
        break;
    default: *payload = (uint8_t *)&session.request; break;
    }
    return STATUS_OK;
}

// ---- Answering

static uint32_t copy_text(char *to, const char *text, uint32_t capacity) {
    uint32_t count = 0;
    while (count < capacity && text[count] != 0) {
        to[count] = text[count];
        count++;
    }
    return count;
}

static void fill_error(reply_t *reply, status_t status) {
    span_t details = status_details();
    memset(reply, 0, sizeof *reply);
    reply->status = status;
    memcpy(reply->small.details, details.data, details.length);
    reply->small_bytes = details.length;
}

static uint32_t send_part(uint32_t crc, const void *bytes, uint32_t count) {
    platform_uart_write(bytes, count);
    return crc32(crc, bytes, count);
}

// Makes a record that of the next dispatch that ran.
static void next_record(void *argument) {
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
    copy_text(record->name, dispatches[i].name, PROFILE_NAME_BYTES - 1);
}

// Where nothing contains kernels, they may have written to where the profile is: its pointers are followed in
// guarded calls.
static uint32_t send_records(uint32_t crc, uint32_t count) {
    profile_record_t record = {.ordinal = UINT32_MAX};
    for (; count > 0; count--) {
        platform_guarded_call(next_record, &record);
        crc = send_part(crc, &record, sizeof record);
    }
    return crc;
}

static void send(const reply_t *reply, bool extended, uint16_t sequence) {
    uint32_t payload_bytes =
        reply->small_bytes + reply->records * (uint32_t)sizeof(profile_record_t) + reply->output_bytes;
    uint16_t type = reply->status == STATUS_OK ? MESSAGE_OK : MESSAGE_ERROR;
    uint32_t crc = 0;
    if (extended) {
        extended_header_t header = {EXTENDED_MAGIC, sequence, type, payload_bytes, 0};
        header.check = crc = crc32(0, &header, offsetof(extended_header_t, check));
        platform_uart_write((const uint8_t *)&header, sizeof header);
    } else {
        base_header_t header = {payload_bytes + 2, type};
        platform_uart_write((const uint8_t *)&header, sizeof header);
    }
    crc = send_part(crc, reply->small.bytes, reply->small_bytes);
    crc = send_records(crc, reply->records);
    crc = send_part(crc, session.output, reply->output_bytes);
    if (extended && payload_bytes != 0) platform_uart_write((const uint8_t *)&crc, sizeof crc);
}

static void handle(void *reply) {
    requests[session.receiver.type].handle(reply);
}

// What the model's state is after a failure: the core may have trapped in kernels that wrote anywhere, and
// the runtime may have dropped the model.
static void settle(status_t status) {
    if (status == FAILURE_TRAP || status == FAILURE_TIME_LIMIT || status == FAILURE_STACK_OVERFLOW)
        zero_runtime();
    if (runtime_signature(&session.runtime) == NULL) session.state = state_without_model();
}

static void on_request(void) {
    frame_receiver_t *receiver = &session.receiver;
    reply_t *reply = &session.reply;
    memset(reply, 0, sizeof *reply);
    status_clear();
    status_t status = platform_guarded_call(handle, reply);
    if (status != STATUS_OK) {
        settle(status);
        fill_error(reply, status);
    }
    receiver->client_extended = receiver->extended;
    if (receiver->extended) session.answered = receiver->header.extended;
    send(reply, receiver->extended, receiver->sequence);
    if (receiver->type == MESSAGE_RESET) board_restart();
}

static void on_refusal(void) {
    frame_receiver_t *receiver = &session.receiver;
    if (receiver->status == FAILURE_REQUEST_REPEATED) {
        send(&session.reply, true, receiver->sequence);
        return;
    }
    reply_t refusal;
    fill_error(&refusal, receiver->status);
    if (receiver->extended) receiver->client_extended = true;
    send(&refusal, receiver->client_extended, receiver->sequence);
}

void session_poll(void) {
    frame_receiver_t *receiver = &session.receiver;
    frame_event_t event = FRAME_PENDING;
    uint32_t room;
    uint8_t *next = frame_space(receiver, &room);
    uint32_t count = board_uart_read(next, room);
    if (count != 0)
        event = frame_advance(receiver, count);
    else if (!frame_at_rest(receiver))
        event = frame_silence(receiver, platform_time_us());
    if (event == FRAME_REQUEST) on_request();
    if (event == FRAME_REFUSED) on_refusal();
}

void session_init(void) {
    memset(&session, 0, sizeof session);
    zero_runtime();
    set_time_limit(0);
    session.arena = platform_arena(&session.arena_bytes);
    session.arena_bytes -= INPUT_CAPACITY + OUTPUT_CAPACITY;
    session.arena_bytes &= ~(size_t)(ALIGNMENT - 1);
    session.input = session.arena + session.arena_bytes;
    session.output = session.input + INPUT_CAPACITY;
    frame_receiver_init(&session.receiver, accept);
}
