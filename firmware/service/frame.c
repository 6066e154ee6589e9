// SPDX-License-Identifier: Apache-2.0
#include "frame.h"

#include "../runtime/bytes.h"
#include "crc32.h"

#define MAGIC_BYTES 4u
#define CHECK_BYTES 4u
#define NOINLINE __attribute__((noinline)) // several callers: the firmware is small rather than fast here

static void start_afresh(frame_receiver_t *receiver) {
    receiver->state = FRAME_IN_HEADER;
    receiver->received = 0;
}

void frame_receiver_init(frame_receiver_t *receiver, frame_accept_fn accept) {
    memset(receiver, 0, sizeof *receiver);
    receiver->accept = accept;
}

static NOINLINE bool begins_with_magic(const frame_receiver_t *receiver) {
    uint32_t magic = EXTENDED_MAGIC;
    uint32_t count = receiver->received < MAGIC_BYTES ? receiver->received : MAGIC_BYTES;
    return memcmp(receiver->header.bytes, &magic, count) == 0;
}

// Throws bytes away until the rest may be the beginning of an extended frame.
static NOINLINE frame_event_t hunt(frame_receiver_t *receiver) {
    receiver->state = FRAME_HUNTING;
    do {
        receiver->received--;
        for (uint32_t i = 0; i < receiver->received; i++)
            receiver->header.bytes[i] = receiver->header.bytes[i + 1];
    } while (!begins_with_magic(receiver));
    return FRAME_PENDING;
}

static uint32_t header_bytes(const frame_receiver_t *receiver) {
    if (receiver->received < MAGIC_BYTES) return MAGIC_BYTES;
    return begins_with_magic(receiver) ? sizeof(extended_header_t) : sizeof(base_header_t);
}

static NOINLINE frame_event_t on_frame_end(frame_receiver_t *receiver) {
    frame_event_t event = receiver->state == FRAME_DISCARDING ? FRAME_REFUSED : FRAME_REQUEST;
    if (receiver->state == FRAME_IN_CHECK && receiver->check != receiver->crc) {
        receiver->status = status_report(REASON(FRAME_CRC, receiver->type, receiver->crc, receiver->check));
        event = FRAME_REFUSED;
    }
    start_afresh(receiver);
    return event;
}

static NOINLINE frame_event_t ask_owner(frame_receiver_t *receiver) {
    receiver->payload = NULL;
    receiver->status = receiver->accept(receiver, &receiver->payload);
    if (receiver->status != STATUS_OK && receiver->client_extended && !receiver->extended)
        return hunt(receiver);
    receiver->state = receiver->status == STATUS_OK ? FRAME_IN_PAYLOAD : FRAME_DISCARDING;
    receiver->received = 0;
    return receiver->payload_bytes == 0 ? on_frame_end(receiver) : FRAME_PENDING;
}

static frame_event_t on_base_header(frame_receiver_t *receiver) {
    uint32_t message_size = receiver->header.base.message_size;
    receiver->type = receiver->header.base.message_type;
    receiver->sequence = 0;
    if (message_size < 2 || message_size - 2 > FRAME_BELIEVABLE_BYTES) {
        receiver->status = status_report(REASON(FRAME_SIZE, message_size, FRAME_BELIEVABLE_BYTES + 2));
        return hunt(receiver);
    }
    receiver->payload_bytes = message_size - 2;
    return ask_owner(receiver);
}

static frame_event_t on_extended_header(frame_receiver_t *receiver) {
    const extended_header_t *header = &receiver->header.extended;
    receiver->crc = crc32(0, header, offsetof(extended_header_t, check));
    if (header->check != receiver->crc || header->payload_bytes > FRAME_BELIEVABLE_BYTES) {
        receiver->sequence = 0;
        receiver->status = status_report(REASON(FRAME_HEADER));
        return hunt(receiver);
    }
    receiver->type = header->message_type;
    receiver->sequence = header->sequence;
    receiver->payload_bytes = header->payload_bytes;
    return ask_owner(receiver);
}

uint8_t *frame_space(frame_receiver_t *receiver, uint32_t *room) {
    switch (receiver->state) {
    case FRAME_IN_PAYLOAD:
        *room = receiver->payload_bytes - receiver->received;
        return receiver->payload + receiver->received;
    case FRAME_IN_CHECK:
        *room = CHECK_BYTES - receiver->received;
        return (uint8_t *)&receiver->check + receiver->received;
    case FRAME_DISCARDING:
        *room = receiver->payload_bytes + (receiver->extended ? CHECK_BYTES : 0) - receiver->received;
        if (*room > sizeof receiver->discarded) *room = sizeof receiver->discarded;
        return receiver->discarded;
    default: // a hunt may find the magic anywhere, so it takes that byte by byte
        *room = receiver->state == FRAME_HUNTING && receiver->received < MAGIC_BYTES
                    ? 1
                    : header_bytes(receiver) - receiver->received;
        return receiver->header.bytes + receiver->received;
    }
}

static frame_event_t on_header_bytes(frame_receiver_t *receiver) {
    bool extended = begins_with_magic(receiver);
    if (receiver->state == FRAME_HUNTING && !extended) return hunt(receiver);
    if (receiver->received < header_bytes(receiver)) return FRAME_PENDING;
    receiver->extended = extended;
    return extended ? on_extended_header(receiver) : on_base_header(receiver);
}

frame_event_t frame_advance(frame_receiver_t *receiver, uint32_t count) {
    uint32_t before = receiver->received;
    receiver->silent = false;
    receiver->received += count;
    switch (receiver->state) {
    case FRAME_IN_HEADER:
    case FRAME_HUNTING: return on_header_bytes(receiver);
    case FRAME_IN_PAYLOAD:
        if (receiver->extended) receiver->crc = crc32(receiver->crc, receiver->payload + before, count);
        if (receiver->received < receiver->payload_bytes) return FRAME_PENDING;
        if (!receiver->extended) return on_frame_end(receiver);
        receiver->state = FRAME_IN_CHECK;
        receiver->received = 0;
        return FRAME_PENDING;
    case FRAME_IN_CHECK: return receiver->received < CHECK_BYTES ? FRAME_PENDING : on_frame_end(receiver);
    case FRAME_DISCARDING: break;
    }
    uint32_t end = receiver->payload_bytes + (receiver->extended ? CHECK_BYTES : 0);
    return receiver->received < end ? FRAME_PENDING : on_frame_end(receiver);
}

static uint32_t silence_limit(const frame_receiver_t *receiver) {
    if (receiver->state == FRAME_HUNTING) return FRAME_FLUSH_US;
    bool extended = receiver->state == FRAME_IN_HEADER ? receiver->client_extended : receiver->extended;
    return extended ? FRAME_EXTENDED_STALL_US : FRAME_STALL_US;
}

frame_event_t frame_silence(frame_receiver_t *receiver, uint64_t now_us) {
    if (frame_at_rest(receiver)) return FRAME_PENDING;
    if (!receiver->silent) {
        receiver->silent = true;
        receiver->silent_since = now_us;
    }
    if (now_us - receiver->silent_since < silence_limit(receiver)) return FRAME_PENDING;
    // A frame that was refused already keeps that reason.
    if (receiver->state == FRAME_IN_HEADER) {
        receiver->sequence = 0;
        receiver->status =
            status_report(REASON(HEADER_STALL, receiver->received,
                                 begins_with_magic(receiver) ? (uint32_t)sizeof(extended_header_t)
                                                             : (uint32_t)sizeof(base_header_t)));
    } else if (receiver->state != FRAME_DISCARDING && receiver->state != FRAME_HUNTING) {
        receiver->status = status_report(
            REASON(PAYLOAD_STALL, receiver->type,
                   receiver->state == FRAME_IN_CHECK ? receiver->payload_bytes : receiver->received,
                   receiver->payload_bytes));
    }
    start_afresh(receiver);
    return FRAME_REFUSED;
}

bool frame_at_rest(const frame_receiver_t *receiver) {
    return receiver->state == FRAME_IN_HEADER && receiver->received == 0;
}
