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
    hello_request_t expected; // who has asked for the next dialogue; identity is 0 when nobody has
    uint16_t expected_sequence;
    uint32_t nonce;
} session;

// ---- Dialogues in extended frames

// A limit that a client has set is of its dialogue.
static void begin_dialogue(uint32_t identity, uint16_t sequence, uint32_t time_limit_ms) {
    frame_receiver_t *receiver = &session.receiver;
    if (receiver->identity != 0) receiver->ended_identity = receiver->identity;
    receiver->identity = identity;
    session.last_sequence = sequence;
    requests_set_time_limit(time_limit_ms);
    requests_begin_dialogue();
}

void session_end_dialogue(void) {
    begin_dialogue(0, 0, 0);
    session.answered.magic = 0;
}

bool session_has_host(void) {
    return session.receiver.identity != 0 && platform_time_us() - session.last_request_us < QUIET_US;
}

// The last dialogue's own host may begin one, and who finds nobody at work, or takes over.
static void check_hello(void *argument) {
    const hello_request_t *hello = argument;
    bool own = session.receiver.seed == session.receiver.identity;
    if (!own && session_has_host() && (hello->flags & HELLO_TAKES_OVER) == 0)
        FAIL(DIALOGUE_OTHER, QUIET_US / 1000);
}

// The dialogue that HELLO asks for begins with its first request. A part of its identity is drawn here, so
// that nothing that somebody has recorded is that request.
static void expect_dialogue(const frame_receiver_t *receiver) {
    const hello_request_t *hello = requests_hello();
    if (hello->identity != session.expected.identity) { // else its answer was lost on the line
        uint64_t now_us = platform_time_us();
        session.nonce = crc32(crc32(session.nonce, hello, sizeof *hello), &now_us, sizeof now_us);
    }
    session.expected = *hello;
    if (receiver->seed == receiver->identity) session.expected.flags = HELLO_TAKES_OVER; // its own host's
    session.expected_sequence = receiver->sequence;
    session.receiver.expected_identity = hello->identity ^ session.nonce;
}

static void begin_expected(void) {
    hello_request_t *hello = &session.expected;
    check_hello(hello);
    begin_dialogue(session.receiver.expected_identity, session.expected_sequence, hello->time_limit_ms);
    session.receiver.client = FRAME_EXTENDED; // though its first request may still prove damaged
    session.receiver.expected_identity = hello->identity = 0;
}

// ---- Receiving

// The last request comes again when its answer was lost. A HELLO without an identity begins a new dialogue,
// so it never is an old one.
static bool is_repeated(const frame_receiver_t *receiver) {
    bool begins = receiver->type == MESSAGE_HELLO && receiver->payload_bytes == HELLO_SHORT_BYTES;
    return receiver->kind == FRAME_EXTENDED && !begins &&
           memcmp(&receiver->header.extended, &session.answered, sizeof session.answered) == 0;
}

// A request of this dialogue that was answered before the last one comes from nobody who waits for it, and 0
// is no request's number.
static bool is_stale(const frame_receiver_t *receiver) {
    uint32_t ahead = (receiver->sequence + SEQUENCES - session.last_sequence) % SEQUENCES;
    return receiver->sequence == 0 || (receiver->identity != 0 && receiver->type != MESSAGE_HELLO &&
                                       (ahead == 0 || ahead > SEQUENCES / 2));
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
    bool extended = SERVES_EXTENSION && receiver->kind == FRAME_EXTENDED;
    if (extended && session.expected.identity != 0 && receiver->seed == receiver->expected_identity)
        begin_expected();
    if (type >= MESSAGE_COUNT || (type >= MESSAGE_HELLO && !extended))
        FAIL(MESSAGE_TYPE, type, extended ? MESSAGE_COUNT - 1 : MESSAGE_HELLO - 1);
    if (!requests_know(type)) FAIL(MESSAGE_ANSWER, type, type);
    if (extended && receiver->seed != receiver->identity && (receiver->seed != 0 || type != MESSAGE_HELLO))
        FAIL(DIALOGUE_ENDED);
    if (extended && is_stale(receiver)) FAIL(REQUEST_STALE, receiver->sequence, session.last_sequence);
    if (!extended && receiver->client != FRAME_BASE) {
        if (session_has_host()) FAIL(DIALOGUE_OTHER, QUIET_US / 1000);
        if (!begins_base(receiver)) FAIL(MESSAGE_BASE, type);
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
    *payload = requests_destination(receiver->type, receiver->payload_bytes);
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

// In the kind of frame that was asked in; what may be none is told to who is at work here.
static void refuse(status_t status, uint32_t seed) {
    const frame_receiver_t *receiver = &session.receiver;
    bool extended = receiver->client == FRAME_EXTENDED && status != FAILURE_DIALOGUE_OTHER &&
                    status != FAILURE_MESSAGE_BASE;
    reply_t refusal;
    requests_fill_error(&refusal, status);
    send(&refusal, extended || receiver->kind == FRAME_EXTENDED, receiver->sequence, seed);
}

// The answer to HELLO, which changes nothing yet, nor the answer that another host may ask for again.
static void answer_hello(void) {
    const frame_receiver_t *receiver = &session.receiver;
    reply_t reply;
    expect_dialogue(receiver);
    requests_run(MESSAGE_HELLO, receiver->payload_bytes, &reply);
    reply.small.hello.limits.nonce = session.nonce;
    send(&reply, true, receiver->sequence, receiver->seed);
}

static void on_request(void) {
    frame_receiver_t *receiver = &session.receiver;
    bool extended = SERVES_EXTENSION && receiver->kind == FRAME_EXTENDED;
    if (SERVES_EXTENSION && receiver->type == MESSAGE_HELLO) {
        const hello_request_t *hello = requests_hello();
        status_t status = platform_attempt(check_hello, (void *)hello);
        if (status != STATUS_OK) {
            refuse(status, receiver->seed);
            return;
        }
        if (hello->identity != 0) {
            answer_hello();
            return;
        }
        begin_dialogue(0, receiver->sequence, hello->time_limit_ms);
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

// Whose dialogue another protocol's client has ended is told so, and who asks in base frames is refused in
// them.
static bool is_of_frames(void) {
    status_t status = session.receiver.status;
    return status == FAILURE_DIALOGUE_ENDED || status == FAILURE_MESSAGE_BASE;
}

// Before the runner has spoken, only a command with an end is certain to be its: too long a one.
static bool is_runners(void) {
    const frame_receiver_t *receiver = &session.receiver;
    bool spoken = receiver->client == FRAME_TEXT && !is_of_frames();
    bool begins = receiver->client == FRAME_BASE && receiver->status == FAILURE_COMMAND_LENGTH;
    return SERVES_MLPERF && (spoken || begins);
}

static bool is_kennings(void) {
    const frame_receiver_t *receiver = &session.receiver;
    bool spoken = receiver->client == FRAME_KENNING && !is_of_frames();
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
