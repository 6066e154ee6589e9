// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include "../runtime/platform.h"
#include "../runtime/runtime.h"
#include "board.h"
#include "frame.h"
#include "iospec.h"
#include "wire.h"

#define ALIGNMENT 64u
// Parts at the end of the arena; the rest is for the model and the runtime.
#define INPUT_CAPACITY (1024u * 1024u)
#define OUTPUT_CAPACITY (256u * 1024u)
// A model that loops for ever must not keep the chip: real ones take some thousand operations.
#define OPERATION_BUDGET 10000000u

#define ERROR_NAME_BYTES 32
#define STATS_BYTES 24
#define INFO_BYTES 40
#define PROFILE_HEADER_BYTES 64
#define PROFILE_RECORD_BYTES 128
#define PROFILE_NAME_AT 32
#define PROFILE_NAME_BYTES (PROFILE_RECORD_BYTES - PROFILE_NAME_AT)

// X(state, what to send there): how far the model's life has come.
#define MODEL_STATES(X)                                                                                      \
    X(NONE, "IOSPEC or MODEL")                                                                               \
    X(IOSPEC, "MODEL")                                                                                       \
    X(MODEL_LOADED, "DATA")                                                                                  \
    X(INPUT_LOADED, "PROCESS")                                                                               \
    X(INFERENCE_DONE, "OUTPUT, PROCESS or DATA")

typedef enum {
#define X(state, expected) STATE_##state,
    MODEL_STATES(X)
#undef X
} model_state_t;

static const char *const state_names[] = {
#define X(state, expected) #state,
    MODEL_STATES(X)
#undef X
};

static const char *const state_expects[] = {
#define X(state, expected) expected,
    MODEL_STATES(X)
#undef X
};

static const char *const message_names[MESSAGE_COUNT] = {
#define X(name, type) [type] = #name,
#include "messages.def"
#undef X
};

// The earliest state in which a request may come.
static const uint8_t message_needs[MESSAGE_COUNT] = {
    [MESSAGE_DATA] = STATE_MODEL_LOADED,     [MESSAGE_PROCESS] = STATE_INPUT_LOADED,
    [MESSAGE_OUTPUT] = STATE_INFERENCE_DONE, [MESSAGE_STATS] = STATE_MODEL_LOADED,
    [MESSAGE_PROFILE] = STATE_MODEL_LOADED,
};

static struct {
    frame_receiver_t receiver;
    runtime_t runtime;
    model_state_t state;
    bool has_iospec;
    iospec_t iospec;
    uint8_t *arena; // model image, then the runtime's memory
    size_t arena_bytes;
    size_t image_bytes; // rounded up to ALIGNMENT
    uint8_t *input;
    uint8_t *output;
    size_t output_bytes; // of the last inference
    uint8_t iospec_bytes[IOSPEC_BYTES];
} session;

// An OK answer: `count` bytes, then the profile's records if `records` is not 0.
typedef struct {
    const uint8_t *payload;
    uint32_t payload_bytes;
    uint32_t records;
    uint8_t small[PROFILE_HEADER_BYTES];
} reply_t;

static uint32_t input_bytes(void) {
    return runtime_signature(&session.runtime)->input_bytes;
}

// ---- The model's life

static int unload(void *unused) {
    (void)unused;
    runtime_unload(&session.runtime);
    return 0;
}

static void zero_runtime(void) {
    memset(&session.runtime, 0, sizeof session.runtime);
    session.runtime.operation_budget = OPERATION_BUDGET;
}

static model_state_t state_without_model(void) {
    return session.has_iospec ? STATE_IOSPEC : STATE_NONE;
}

static void drop_model(void) {
    int result;
    // The kernels may have written anywhere, so not even this is trusted to come back.
    if (platform_guarded_call(unload, NULL, &result) != STATUS_OK) zero_runtime();
    session.state = state_without_model();
}

// ---- Requests. Each handler either fills the reply or returns an error.

static status_t on_iospec(reply_t *reply) {
    (void)reply;
    RETURN_IF_ERROR(iospec_parse(session.iospec_bytes, &session.iospec));
    session.has_iospec = true;
    drop_model();
    return STATUS_OK;
}

// The entry function's own name: clients write "module.main" as well as "main".
static const char *entry_name(void) {
    if (!session.has_iospec) return NULL;
    const char *name = session.iospec.entry;
    for (const char *c = name; *c != 0; c++)
        if (*c == '.') name = c + 1;
    return *name != 0 ? name : NULL;
}

static status_t check_model(void) {
    const signature_t *signature = runtime_signature(&session.runtime);
    if (session.has_iospec) RETURN_IF_ERROR(iospec_check(&session.iospec, signature));
    if (signature->input_bytes > INPUT_CAPACITY || signature->output_bytes > OUTPUT_CAPACITY)
        return status_fail(STATUS_OUT_OF_MEMORY, "input %u and output %u bytes, at most %u and %u",
                           signature->input_bytes, signature->output_bytes, INPUT_CAPACITY, OUTPUT_CAPACITY);
    return STATUS_OK;
}

static status_t on_model(reply_t *reply) {
    (void)reply;
    uint32_t length = session.receiver.payload_bytes;
    session.image_bytes = (length + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (session.image_bytes > session.arena_bytes) session.image_bytes = session.arena_bytes;
    RETURN_IF_ERROR(runtime_load(&session.runtime, session.arena, length, session.arena + session.image_bytes,
                                 session.arena_bytes - session.image_bytes, entry_name()));
    RETURN_IF_ERROR(check_model()); // a refused model stays out of reach: the state does not change
    session.state = STATE_MODEL_LOADED;
    return STATUS_OK;
}

static status_t on_data(reply_t *reply) {
    (void)reply;
    session.state = STATE_INPUT_LOADED;
    return STATUS_OK;
}

static status_t on_process(reply_t *reply) {
    (void)reply;
    session.state = STATE_INPUT_LOADED;
    status_t status = runtime_invoke(&session.runtime, session.input, input_bytes(), session.output,
                                     OUTPUT_CAPACITY, &session.output_bytes);
    if (status == STATUS_OK)
        session.state = STATE_INFERENCE_DONE;
    else if (runtime_signature(&session.runtime) == NULL) // the runtime dropped the model by itself
        session.state = state_without_model();
    return status;
}

static status_t on_output(reply_t *reply) {
    reply->payload = session.output;
    reply->payload_bytes = (uint32_t)session.output_bytes;
    return STATUS_OK;
}

// Kenning's six numbers. The chip has one memory, so what the model's tensors take stands under "device".
static status_t on_stats(reply_t *reply) {
    const memory_statistics_t *memory = runtime_memory(&session.runtime);
    put_u32(reply->small + 12, (uint32_t)memory->peak);
    put_u32(reply->small + 16, (uint32_t)memory->allocated);
    put_u32(reply->small + 20, (uint32_t)memory->freed);
    reply->payload_bytes = STATS_BYTES;
    return STATUS_OK;
}

static status_t on_info(reply_t *reply) {
    uint32_t vlen_bits = platform_vlen_bits();
    uint8_t *out = reply->small;
    put_u16(out, 1);
    put_u16(out + 2, (vlen_bits != 0 ? 1u : 0u) | (board_marks() ? 2u : 0u));
    put_u32(out + 4, FIRMWARE_VERSION);
    put_u32(out + 8, vlen_bits);
    put_u32(out + 12, board_elen_bits());
    put_u32(out + 16, (uint32_t)session.arena_bytes + 2);
    put_u32(out + 20, (uint32_t)session.arena_bytes);
    put_u32(out + 24, BYTECODE_VERSION);
    put_u32(out + 28, LIBRARY_VERSION);
    put_u32(out + 32, session.state);
    reply->payload_bytes = INFO_BYTES;
    return STATUS_OK;
}

static status_t on_profile(reply_t *reply) {
    const runtime_profile_t *profile = runtime_profile(&session.runtime);
    const memory_statistics_t *memory = runtime_memory(&session.runtime);
    for (uint32_t i = 0; i < profile->dispatch_count; i++)
        if (profile->dispatches[i].calls != 0) reply->records++;
    uint8_t *out = reply->small;
    put_u32(out, PROFILE_RECORD_BYTES);
    put_u32(out + 4, reply->records);
    put_u64(out + 8, profile->inference_instructions);
    put_u64(out + 16, profile->inference_cycles);
    put_u64(out + 24, profile->load_instructions);
    put_u32(out + 32, profile->inferences);
    put_u32(out + 36, platform_stack_peak());
    put_u32(out + 40, (uint32_t)(session.image_bytes + memory->peak));
    put_u32(out + 44, (uint32_t)session.arena_bytes);
    put_u32(out + 48, profile->kernels_begin);
    put_u32(out + 52, profile->kernels_end);
    reply->payload_bytes = PROFILE_HEADER_BYTES;
    return STATUS_OK;
}

static status_t on_unload(reply_t *reply) {
    (void)reply;
    session.has_iospec = false;
    drop_model();
    return STATUS_OK;
}

static status_t (*const handlers[MESSAGE_COUNT])(reply_t *reply) = {
    [MESSAGE_DATA] = on_data,     [MESSAGE_MODEL] = on_model,     [MESSAGE_PROCESS] = on_process,
    [MESSAGE_OUTPUT] = on_output, [MESSAGE_STATS] = on_stats,     [MESSAGE_IOSPEC] = on_iospec,
    [MESSAGE_INFO] = on_info,     [MESSAGE_PROFILE] = on_profile, [MESSAGE_UNLOAD] = on_unload,
};

// ---- Receiving

static status_t check_payload_size(uint16_t type, uint32_t bytes) {
    if (type == MESSAGE_MODEL) {
        if (bytes <= session.arena_bytes) return STATUS_OK;
        return status_fail(STATUS_LINK_SIZE, "MODEL of %u bytes, at most %u", bytes,
                           (uint32_t)session.arena_bytes);
    }
    if (type == MESSAGE_DATA) {
        if (bytes == input_bytes()) return STATUS_OK;
        return status_fail(STATUS_SESSION_INPUT, "DATA of %u bytes, the model takes %u", bytes,
                           input_bytes());
    }
    uint32_t expected = type == MESSAGE_IOSPEC ? IOSPEC_BYTES : 0;
    if (bytes == expected) return STATUS_OK;
    return status_fail(STATUS_LINK_PAYLOAD, "%s with %u payload bytes, not %u", message_names[type], bytes,
                       expected);
}

// Decides on a message by its header. What the payload will overwrite is given up here, before its first
// byte.
static status_t accept(uint16_t type, uint32_t payload_bytes, uint8_t **payload) {
    if (type >= MESSAGE_COUNT)
        return status_fail(STATUS_LINK_TYPE, "message type %u, at most %u", (uint32_t)type,
                           MESSAGE_COUNT - 1);
    if (handlers[type] == NULL)
        return status_fail(STATUS_LINK_TYPE, "message type %u (%s) is an answer, not a request",
                           (uint32_t)type, message_names[type]);
    if (session.state < message_needs[type])
        return status_fail(STATUS_SESSION_STATE, "%s in state %s, expected %s", message_names[type],
                           state_names[session.state], state_expects[session.state]);
    RETURN_IF_ERROR(check_payload_size(type, payload_bytes));
    switch (type) {
    case MESSAGE_MODEL:
        drop_model();
        *payload = session.arena;
        break;
    case MESSAGE_DATA:
        session.state = STATE_MODEL_LOADED;
        *payload = session.input;
        break;
    case MESSAGE_IOSPEC: *payload = session.iospec_bytes; break;
    }
    return STATUS_OK;
}

// ---- Answering

static void send_header(uint16_t type, uint32_t payload_bytes) {
    uint8_t header[FRAME_HEADER_BYTES];
    frame_encode_header(header, type, payload_bytes);
    platform_uart_write(header, sizeof header);
}

static uint32_t copy_text(uint8_t *to, const char *text, uint32_t capacity) {
    uint32_t count = 0;
    while (count < capacity && text[count] != 0) {
        to[count] = (uint8_t)text[count];
        count++;
    }
    return count;
}

static void send_error(status_t status) {
    uint8_t payload[4 + ERROR_NAME_BYTES + STATUS_MESSAGE_BYTES] = {0};
    put_u32(payload, status);
    copy_text(payload + 4, status_name(status), ERROR_NAME_BYTES);
    uint32_t bytes = 4 + ERROR_NAME_BYTES;
    bytes += copy_text(payload + bytes, status_message(), STATUS_MESSAGE_BYTES);
    send_header(MESSAGE_ERROR, bytes);
    platform_uart_write(payload, bytes);
}

static void send_records(void) {
    const runtime_profile_t *profile = runtime_profile(&session.runtime);
    for (uint32_t i = 0; i < profile->dispatch_count; i++) {
        const dispatch_profile_t *dispatch = &profile->dispatches[i];
        if (dispatch->calls == 0) continue;
        uint8_t record[PROFILE_RECORD_BYTES] = {0};
        put_u32(record, i);
        put_u32(record + 4, dispatch->calls);
        put_u64(record + 8, dispatch->instructions);
        put_u64(record + 16, dispatch->cycles);
        put_u32(record + 24, dispatch->workgroups);
        copy_text(record + PROFILE_NAME_AT, dispatch->name, PROFILE_NAME_BYTES - 1);
        platform_uart_write(record, sizeof record);
    }
}

static void send_ok(const reply_t *reply) {
    send_header(MESSAGE_OK, reply->payload_bytes + reply->records * PROFILE_RECORD_BYTES);
    platform_uart_write(reply->payload, reply->payload_bytes);
    if (reply->records != 0) send_records();
}

static int handle(void *reply) {
    return (int)handlers[session.receiver.type](reply);
}

static void on_request(void) {
    reply_t reply = {.payload = reply.small};
    int result = STATUS_OK;
    status_clear();
    status_t status = platform_guarded_call(handle, &reply, &result);
    if (status != STATUS_OK) {
        zero_runtime();
        session.state = state_without_model();
    } else {
        status = (status_t)result;
    }
    if (status != STATUS_OK)
        send_error(status);
    else
        send_ok(&reply);
}

void session_poll(void) {
    frame_receiver_t *receiver = &session.receiver;
    frame_event_t event = FRAME_PENDING;
    uint8_t byte;
    if (platform_uart_read(&byte))
        event = frame_push(receiver, byte);
    else if (!frame_at_rest(receiver))
        event = frame_silence(receiver, platform_time_us());
    if (event == FRAME_REQUEST) on_request();
    if (event == FRAME_REFUSED) send_error(receiver->status);
}

void session_init(void) {
    memset(&session, 0, sizeof session);
    zero_runtime();
    session.arena = platform_arena(&session.arena_bytes);
    session.arena_bytes -= INPUT_CAPACITY + OUTPUT_CAPACITY;
    session.arena_bytes &= ~(size_t)(ALIGNMENT - 1);
    session.input = session.arena + session.arena_bytes;
    session.output = session.input + INPUT_CAPACITY;
    frame_receiver_init(&session.receiver, accept);
}
