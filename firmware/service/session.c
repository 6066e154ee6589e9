// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include "../runtime/platform.h"
#include "board.h"
#include "crc32.h"
#include "frame.h"
#include "kenning.h"
#include "mlperf.h"
#include "requests.h"

// A dialogue that has been silent for so long gives way to another host's.
#define QUIET_US 1000000u

#define SEQUENCES 0xffffu // 1 to this, then from 1 again

static struct {
    frame_receiver_t receiver;
    reply_t reply;              // kept, for the request may come again when its answer was lost on the line
    extended_header_t answered; // the request that `reply` answers; magic is 0 when there is none
    uint32_t answered_crc;
    uint16_t last_sequence; // of the requests that were answered in this dialogue
    uint64_t last_request_us;
} session;

// ---- Dialogues in extended frames

static void begin_dialogue(const hello_request_t *hello, uint16_t sequence) {
    frame_receiver_t *receiver = &session.receiver;
    if (receiver->identity != 0) receiver->ended_identity = receiver->identity;
    receiver->identity = hello->identity;
    session.last_sequence = sequence;
    requests_begin_dialogue();
}

// A limit that a client has set is of its dialogue.
void session_end_dialogue(void) {
    static const hello_request_t none;
    begin_dialogue(&none, 0);
    requests_set_time_limit(0);
    session.answered.magic = 0;
}

bool session_has_host(void) {
    return session.receiver.identity != 0 && platform_time_us() - session.last_request_us < QUIET_US;
}

// STATUS_OK when this HELLO may begin a dialogue: the last one's own host may, and who finds nobody at work.
static status_t refuse_hello(const hello_request_t *hello) {
    const frame_receiver_t *receiver = &session.receiver;
    bool own = receiver->seed == receiver->identity;
    if (hello->identity != 0 && hello->identity == receiver->identity)
        return status_report(REASON(REQUEST_STALE, receiver->sequence, session.last_sequence));
    if (hello->identity != 0 && hello->identity == receiver->ended_identity)
        return status_report(REASON(DIALOGUE_ENDED));
    if (!own && session_has_host() && (hello->flags & HELLO_TAKES_OVER) == 0)
        return status_report(REASON(DIALOGUE_OTHER, QUIET_US / 1000));
    return STATUS_OK;
}

// ---- Receiving

// The last request comes again when its answer was lost. A HELLO without an identity begins a new dialogue,
// so it never is an old one.
static bool is_repeated(const frame_receiver_t *receiver) {
    bool begins = receiver->type == MESSAGE_HELLO && receiver->payload_bytes == HELLO_SHORT_BYTES;
    return receiver->kind == FRAME_EXTENDED && !begins &&
           memcmp(&receiver->header.extended, &session.answered, sizeof session.answered) == 0;
}

// A request of this dialogue that was answered before the last one comes from nobody who waits for it.
static bool is_stale(const frame_receiver_t *receiver) {
    uint32_t ahead = (receiver->sequence + SEQUENCES - session.last_sequence) % SEQUENCES;
    return receiver->identity != 0 && receiver->type != MESSAGE_HELLO &&
           (ahead == 0 || ahead > SEQUENCES / 2);
}

// While the client speaks anything else, a base frame is most likely a damaged one: only those count that
// begin another client's dialogue and destroy nothing.
static bool begins_base(const frame_receiver_t *receiver) {
    uint16_t type = receiver->type;
    return (type == MESSAGE_IOSPEC || type == MESSAGE_INFO || type == MESSAGE_STATS) &&
           receiver->payload_bytes == requests_room(type);
}

static void check_request(void *argument) {
    const frame_receiver_t *receiver = argument;
    uint16_t type = receiver->type;
    bool extended = receiver->kind == FRAME_EXTENDED;
    if (type >= MESSAGE_COUNT || (type >= MESSAGE_HELLO && !extended))
        FAIL(MESSAGE_TYPE, type, extended ? MESSAGE_COUNT - 1 : MESSAGE_HELLO - 1);
    if (!requests_know(type)) FAIL(MESSAGE_ANSWER, type, type);
    if (extended && receiver->seed != receiver->identity && (receiver->seed != 0 || type != MESSAGE_HELLO))
        FAIL(DIALOGUE_ENDED);
    if (extended && is_stale(receiver)) FAIL(REQUEST_STALE, receiver->sequence, session.last_sequence);
    if (!extended && receiver->client != FRAME_BASE) {
        if (!begins_base(receiver)) FAIL(MESSAGE_BASE, type);
        if (session_has_host()) FAIL(DIALOGUE_OTHER, QUIET_US / 1000);
        session_end_dialogue();
        session.receiver.client = FRAME_BASE;
    }
    requests_check_order(type);
    requests_check_size(type, receiver->payload_bytes);
}

// Decides on a frame by its header.
static status_t accept(frame_receiver_t *receiver, uint8_t **payload) {
    if (SERVES_KENNING && receiver->kind == FRAME_KENNING) return kenning_accept(receiver, payload);
    if (is_repeated(receiver)) return FAILURE_REQUEST_REPEATED;
    status_t status = platform_attempt(check_request, receiver);
    if (status != STATUS_OK) return status;
    // Another host's HELLO takes nothing from this one's before it has arrived.
    if (receiver->type != MESSAGE_HELLO) session.answered.magic = 0;
    *payload = requests_destination(receiver->type);
    return STATUS_OK;
}

// ---- Answering

static uint32_t send_part(uint32_t crc, const void *bytes, uint32_t count) {
    platform_uart_write(bytes, count);
    return crc32(crc, bytes, count);
}

// Where nothing contains kernels, they may have written to where the profile is: its pointers are followed in
// guarded calls.
static uint32_t send_records(uint32_t crc, uint32_t count) {
    profile_record_t record = {.ordinal = UINT32_MAX};
    for (; count > 0; count--) {
        platform_guarded_call(requests_next_record, &record);
        crc = send_part(crc, &record, sizeof record);
    }
    return crc;
}

static void send(const reply_t *reply, bool extended, uint16_t sequence, uint32_t seed) {
    uint32_t payload_bytes =
        reply->small_bytes + reply->records * (uint32_t)sizeof(profile_record_t) + reply->output_bytes;
    uint16_t type = reply->status == STATUS_OK ? MESSAGE_OK : MESSAGE_ERROR;
    uint32_t crc = 0;
    if (extended) {
        extended_header_t header = {EXTENDED_MAGIC, sequence, type, payload_bytes, 0};
        header.check = crc = crc32(seed, &header, offsetof(extended_header_t, check));
        platform_uart_write((const uint8_t *)&header, sizeof header);
    } else {
        base_header_t header = {payload_bytes + 2, type};
        platform_uart_write((const uint8_t *)&header, sizeof header);
    }
    crc = send_part(crc, reply->small.bytes, reply->small_bytes);
    crc = send_records(crc, reply->records);
    crc = send_part(crc, requests_output(), reply->output_bytes);
    if (extended && payload_bytes != 0) platform_uart_write((const uint8_t *)&crc, sizeof crc);
}

// In the kind of frame that is understood by who is at work here, or by another host that is to know of it.
static void refuse(status_t status, uint32_t seed) {
    const frame_receiver_t *receiver = &session.receiver;
    bool extended = receiver->client == FRAME_EXTENDED && status != FAILURE_DIALOGUE_OTHER;
    reply_t refusal;
    requests_fill_error(&refusal, status);
    send(&refusal, extended || receiver->kind == FRAME_EXTENDED, receiver->sequence, seed);
}

static void on_request(void) {
    frame_receiver_t *receiver = &session.receiver;
    bool extended = receiver->kind == FRAME_EXTENDED;
    if (receiver->type == MESSAGE_HELLO) {
        status_t status = refuse_hello(requests_hello());
        if (status != STATUS_OK) {
            refuse(status, receiver->seed);
            return;
        }
        begin_dialogue(requests_hello(), receiver->sequence);
    }
    requests_run(receiver->type, receiver->payload_bytes, &session.reply);
    receiver->client = receiver->kind;
    if (extended) {
        session.answered = receiver->header.extended;
        session.answered_crc = receiver->crc;
        session.last_sequence = receiver->sequence;
    }
    send(&session.reply, extended, receiver->sequence, receiver->seed);
    session.last_request_us = platform_time_us();
    if (receiver->type == MESSAGE_RESET) board_restart();
}

static void on_refusal(void) {
    frame_receiver_t *receiver = &session.receiver;
    status_t status = receiver->status;
    // An answer that comes back, on a line with an echo: a word about it would come back too.
    if (receiver->kind == FRAME_EXTENDED && status == FAILURE_MESSAGE_ANSWER) return;
    if (status == FAILURE_REQUEST_REPEATED && receiver->crc == session.answered_crc) {
        send(&session.reply, true, receiver->sequence, receiver->seed);
        return;
    }
    if (status == FAILURE_REQUEST_REPEATED) { // another host's with the same number: it comes again
        session.answered.magic = 0;
        status = status_report(REASON(FRAME_CRC, receiver->type, receiver->crc, session.answered_crc));
    }
    if (receiver->kind == FRAME_EXTENDED && status != FAILURE_DIALOGUE_ENDED)
        receiver->client = FRAME_EXTENDED;
    refuse(status, receiver->kind == FRAME_EXTENDED ? receiver->seed : receiver->identity);
}

static void on_command(void) {
    frame_receiver_t *receiver = &session.receiver;
    if (session_has_host()) {
        mlperf_deny();
        return;
    }
    if (receiver->client != FRAME_TEXT) {
        session_end_dialogue();
        receiver->client = FRAME_TEXT;
        mlperf_begin();
    }
    mlperf_command(receiver->payload, receiver->payload_bytes, &session.reply);
}

// Whose dialogue the runner has ended is told so all the same, and so is another host what it sent before.
// Before the runner has spoken, only a command with an end is certain to be its: too long a one.
static bool is_runners(void) {
    const frame_receiver_t *receiver = &session.receiver;
    bool spoken = receiver->client == FRAME_TEXT && receiver->status != FAILURE_DIALOGUE_ENDED;
    bool begins = receiver->client == FRAME_BASE && receiver->status == FAILURE_COMMAND_LENGTH;
    return SERVES_MLPERF && (spoken || begins);
}

// Whose dialogue Kenning's client has ended is told so all the same.
static bool is_kennings(void) {
    const frame_receiver_t *receiver = &session.receiver;
    bool spoken = receiver->client == FRAME_KENNING && receiver->status != FAILURE_DIALOGUE_ENDED;
    return SERVES_KENNING && (spoken || receiver->kind == FRAME_KENNING);
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
    if (event == FRAME_REQUEST && SERVES_MLPERF && receiver->kind == FRAME_TEXT)
        on_command();
    else if (event == FRAME_REQUEST && SERVES_KENNING && receiver->kind == FRAME_KENNING)
        kenning_message(receiver, &session.reply);
    else if (event == FRAME_REQUEST)
        on_request();
    else if (event == FRAME_REFUSED && is_runners())
        mlperf_refusal();
    else if (event == FRAME_REFUSED && is_kennings())
        kenning_refusal(receiver, &session.reply);
    else if (event == FRAME_REFUSED)
        on_refusal();
}

void session_init(void) {
    memset(&session, 0, sizeof session);
    requests_init();
    frame_receiver_init(&session.receiver, accept);
}
