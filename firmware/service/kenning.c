// SPDX-License-Identifier: Apache-2.0
#include "kenning.h"

#if SERVES_KENNING

#include "../runtime/platform.h"
#include "failure_text.h"
#include "session.h"

#define PAYLOAD_BYTES (KENNING_MESSAGE_BYTES - (uint32_t)sizeof(kenning_header_t))
_Static_assert(sizeof(text_line_t) <= PAYLOAD_BYTES, "a line is in one message");

// The request whose messages are coming.
static struct {
    bool open;
    bool begun; // its first message is there
    uint16_t type;
    uint32_t bytes;
    uint8_t *destination;
    status_t status;              // why it will be refused
    uint8_t first[PAYLOAD_BYTES]; // of its first message, until that is known to be whole
} request;

static const uint8_t actions[] = {
#define K(name, type, action) [type] = action,
#include "messages.def"
};

// ---- Sending

static void send_message(uint16_t type, uint8_t flow, uint32_t flags, const uint8_t *bytes, uint32_t count) {
    kenning_header_t header = {.type = (uint8_t)type,
                               .flow = flow,
                               .flags = (uint16_t)(flags | (count != 0 ? KENNING_HAS_PAYLOAD : 0u)),
                               .payload_bytes = count};
    const uint8_t *begin = (const uint8_t *)&header;
    uint32_t checksum = frame_exclusive_or(KENNING_CHECKSUM, begin, sizeof header);
    header.checksum = (uint8_t)frame_exclusive_or(checksum, bytes, count);
    platform_uart_write(begin, sizeof header);
    if (count != 0) platform_uart_write(bytes, count);
}

static void transmit(uint16_t type, uint32_t flags, const uint8_t *bytes, uint32_t count) {
    flags |= KENNING_FIRST | KENNING_IS_DEVICE;
    do {
        uint32_t part = count < PAYLOAD_BYTES ? count : PAYLOAD_BYTES;
        send_message(type, KENNING_TRANSMISSION, flags | (part == count ? KENNING_LAST : 0u), bytes, part);
        flags &= ~(uint32_t)KENNING_FIRST;
        bytes += part;
        count -= part;
    } while (count != 0);
}

// The client does not say which request it waits for, where the line has damaged that: all are denied. It
// ignores what it has not asked.
static void deny_all(void) {
    for (uint16_t type = KENNING_PING; type <= KENNING_IOSPEC; type++)
        send_message(type, KENNING_ACKNOWLEDGE,
                     KENNING_FAIL | KENNING_FIRST | KENNING_LAST | KENNING_IS_DEVICE, NULL, 0);
}

// ---- Logs: lines, each after a byte with its length

// NULL: what failed.
static void log_line(const char *text) {
    text_line_t line = {0};
    if (text != NULL)
        text_append(&line, text);
    else
        text_append_failure(&line);
    transmit(KENNING_LOGS, 0, (const uint8_t *)&line, line.length + 1u);
}

// ---- Answering

// A failure's details are in what status_details() gives.
static void answer(uint16_t type, const reply_t *reply) {
    bool done = reply->status == STATUS_OK;
    uint32_t flags = done ? KENNING_SUCCESS : KENNING_FAIL;
    if (!done) log_line(NULL);
    if (done && (type == KENNING_OUTPUT || type == KENNING_STATS))
        transmit(type, flags, type == KENNING_OUTPUT ? requests_output() : reply->small.bytes,
                 reply->output_bytes + reply->small_bytes);
    else
        transmit(type, flags, type < KENNING_COUNT ? &actions[type] : &actions[KENNING_STATUS], 1);
}

// Failure closes the dialogue, success opens one, both do so one after the other, and neither asks whether
// somebody is there. While another host is at work here, it stays closed.
static void on_ping(frame_receiver_t *receiver) {
    uint16_t flags = receiver->header.kenning.flags;
    bool opens = (flags & KENNING_SUCCESS) != 0, closes = (flags & KENNING_FAIL) != 0;
    bool refused = opens && session_has_host();
    if (!refused && (opens || closes)) {
        session_end_dialogue();
        receiver->client = opens ? FRAME_KENNING : FRAME_BASE;
    }
    transmit(KENNING_PING, refused ? KENNING_FAIL : KENNING_SUCCESS, NULL, 0);
    if (opens && !refused) log_line("springbok-bench firmware: a dialogue begins");
}

static void check_end(void *unused) {
    (void)unused;
    requests_check_size(request.type, request.bytes);
}

static void on_last(frame_receiver_t *receiver, reply_t *reply) {
    uint16_t type = receiver->type;
    request.open = false;
    if (type == KENNING_PING) {
        on_ping(receiver);
        return;
    }
    // A client without a specification sends an empty one.
    if (request.type == REQUEST_KENNING_IOSPEC && request.bytes == 0) request.type = MESSAGE_UNLOAD;
    if (request.status == STATUS_OK) request.status = platform_attempt(check_end, NULL);
    if (request.status == STATUS_OK)
        requests_run(request.type, request.bytes, reply);
    else
        requests_fill_error(reply, request.status);
    answer(type, reply);
}

// ---- Receiving

// The number on the line decides: requests.h's own of IOSPEC is none.
static void check_begin(void *argument) {
    const frame_receiver_t *receiver = argument;
    if (receiver->type > KENNING_IOSPEC || !requests_know(request.type)) FAIL(KENNING_TYPE, receiver->type);
    requests_check_order(request.type);
}

static uint16_t served_as(uint16_t type) {
    return type == KENNING_IOSPEC ? REQUEST_KENNING_IOSPEC : type;
}

// What the request overwrites is given up here.
static void begin(frame_receiver_t *receiver) {
    request.begun = true;
    if (request.type == KENNING_PING) return;
    request.status = platform_attempt(check_begin, receiver);
    if (request.status == STATUS_OK) request.destination = requests_destination(request.type, UINT32_MAX);
}

static bool has_room(uint16_t type, uint32_t bytes) {
    if (request.status != STATUS_OK) return false;
    uint32_t room = request.type == KENNING_PING ? 0 : requests_room(request.type);
    if (bytes > room - request.bytes)
        request.status = status_report(REASON(MESSAGE_SIZE, type, request.bytes + bytes, room));
    return request.status == STATUS_OK;
}

status_t kenning_accept(frame_receiver_t *receiver, uint8_t **payload) {
    const kenning_header_t *header = &receiver->header.kenning;
    if ((header->flow & KENNING_FLOW) != KENNING_REQUEST) return FAILURE_REQUEST_STALE; // an acknowledgement
    if ((header->flags & KENNING_FIRST) != 0) {
        request.open = true;
        request.begun = false;
        request.type = served_as(receiver->type);
        request.bytes = 0;
        request.status = STATUS_OK;
        *payload = request.first;
        if (receiver->payload_bytes <= sizeof request.first) return STATUS_OK; // see kenning_message()
        begin(receiver);
    }
    // A first message that was damaged may have been followed by another client's frame.
    if (!request.open || !request.begun || request.type != served_as(receiver->type))
        return status_report(REASON(KENNING_BEGIN, receiver->type));
    if (has_room(receiver->type, receiver->payload_bytes)) *payload = request.destination + request.bytes;
    return request.status;
}

void kenning_message(frame_receiver_t *receiver, reply_t *reply) {
    uint32_t bytes = receiver->payload_bytes;
    if (!request.begun) {
        begin(receiver);
        if (has_room(receiver->type, bytes) && bytes != 0) memcpy(request.destination, request.first, bytes);
    }
    request.bytes += bytes;
    if ((receiver->header.kenning.flags & KENNING_LAST) != 0) on_last(receiver, reply);
}

void kenning_refusal(frame_receiver_t *receiver, reply_t *reply) {
    if (receiver->status == FAILURE_REQUEST_STALE) return;
    // Refused by kenning_accept(): the answer waits for the request's last message.
    if (request.open && receiver->status == request.status && receiver->kind == FRAME_KENNING) {
        if ((receiver->header.kenning.flags & KENNING_LAST) != 0) on_last(receiver, reply);
        return;
    }
    request.open = false;
    deny_all();
}

#endif
