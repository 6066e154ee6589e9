// SPDX-License-Identifier: Apache-2.0
#include "frame.h"

#include "../runtime/bytes.h"
#include "crc32.h"

#define MAGIC_BYTES 4u
#define CHECK_BYTES 4u
#define COMMAND_END '%'
#define TELLING_BYTES 5u                   // a message of Kenning's has a type below 64 in its first 38 bits
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
    if (!SERVES_EXTENSION) return receiver->received == 0;
    uint32_t magic = EXTENDED_MAGIC;
    uint32_t count = receiver->received < MAGIC_BYTES ? receiver->received : MAGIC_BYTES;
    return memcmp(receiver->header.bytes, &magic, count) == 0;
}

// Before a client has opened a dialogue of Kenning's, only what does that can be a message of its: as a base
// frame it would have no size.
static bool is_kenning(const frame_receiver_t *receiver) {
    const kenning_header_t *header = &receiver->header.kenning;
    uint32_t above = header->type_above[0] | header->type_above[1] | header->type_above[2];
    if (!SERVES_KENNING || receiver->received < MAGIC_BYTES || above != 0 || header->type >= 64) return false;
    if (receiver->received < TELLING_BYTES) return receiver->client == FRAME_KENNING || header->type == 0;
    if (receiver->client == FRAME_KENNING) return (header->flow & ~KENNING_FLOW) == 0;
    return header->type == KENNING_PING && header->flow == KENNING_REQUEST;
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

static bool is_text_byte(uint8_t byte) {
    return (byte >= 0x20 && byte < 0x7f) || (byte >= '\t' && byte <= '\r');
}

static bool is_texts(const frame_receiver_t *receiver) {
    return SERVES_MLPERF && receiver->client == FRAME_TEXT;
}

// Four bytes open a dialogue in text: as a base frame it would be of more than 100 MB. Then one tells.
static bool is_text(const frame_receiver_t *receiver) {
    uint32_t telling = receiver->client == FRAME_TEXT ? 1 : MAGIC_BYTES;
    if (!SERVES_MLPERF || receiver->state != FRAME_IN_HEADER || receiver->received < telling) return false;
    if (receiver->received > 1 && begins_with_magic(receiver)) return false;
    for (uint32_t i = 0; i < telling; i++)
        if (!is_text_byte(receiver->header.bytes[i])) return false;
    return true;
}

static uint32_t header_bytes(const frame_receiver_t *receiver) {
    if (is_text(receiver)) return receiver->received + 1;
    if (receiver->received < MAGIC_BYTES) return MAGIC_BYTES;
    if (is_kenning(receiver))
        return receiver->received < TELLING_BYTES ? TELLING_BYTES : sizeof(kenning_header_t);
    return begins_with_magic(receiver) ? sizeof(extended_header_t) : sizeof(base_header_t);
}

static NOINLINE frame_event_t on_frame_end(frame_receiver_t *receiver) {
    if (receiver->state == FRAME_IN_CHECK && receiver->check != receiver->crc)
        receiver->status = status_report(REASON(FRAME_CRC, receiver->type, receiver->crc, receiver->check));
    start_afresh(receiver);
    return receiver->status == STATUS_OK ? FRAME_REQUEST : FRAME_REFUSED;
}

// What a command's byte can't be begins a frame; of the magic, the first byte is a text's too.
static frame_event_t on_other_byte(frame_receiver_t *receiver) {
    uint8_t *bytes = receiver->header.bytes, last = bytes[receiver->received - 1];
    bytes[0] = bytes[receiver->received - 2];
    bytes[1] = last;
    receiver->received = 2;
    if (begins_with_magic(receiver)) return FRAME_PENDING;
    bytes[0] = last;
    receiver->received = 1;
    return FRAME_PENDING;
}

static frame_event_t on_text(frame_receiver_t *receiver) {
    uint8_t last = receiver->header.bytes[receiver->received - 1];
    if (receiver->received == (receiver->client == FRAME_TEXT ? 1 : MAGIC_BYTES)) {
        receiver->status = STATUS_OK;
        if (receiver->received == 1 && last <= ' ')
            receiver->received = 0; // the line's end, as from a terminal
    }
    receiver->kind = FRAME_TEXT;
    receiver->sequence = 0;
    if (!is_text_byte(last)) return on_other_byte(receiver);
    if (last == COMMAND_END) {
        receiver->payload = receiver->header.bytes;
        receiver->payload_bytes = receiver->received - 1;
        return on_frame_end(receiver);
    }
    if (receiver->received == FRAME_TEXT_BYTES) { // its end is still to come
        receiver->status = status_report(REASON(COMMAND_LENGTH, FRAME_TEXT_BYTES - 1));
        receiver->received--;
    }
    return FRAME_PENDING;
}

// What is refused and may be no frame at all, or belongs to a request that can't be read any more.
static bool is_noise(const frame_receiver_t *receiver) {
    return receiver->status == FAILURE_KENNING_BEGIN ||
           (receiver->status != STATUS_OK && receiver->client != FRAME_BASE && receiver->kind == FRAME_BASE);
}

static NOINLINE frame_event_t ask_owner(frame_receiver_t *receiver) {
    receiver->payload = NULL;
    receiver->status = receiver->accept(receiver, &receiver->payload);
    if (is_noise(receiver)) return hunt(receiver);
    receiver->state = receiver->status == STATUS_OK ? FRAME_IN_PAYLOAD : FRAME_DISCARDING;
    receiver->received = 0;
    return receiver->payload_bytes == 0 ? on_frame_end(receiver) : FRAME_PENDING;
}

static frame_event_t on_impossible_size(frame_receiver_t *receiver) {
    receiver->status =
        status_report(REASON(FRAME_SIZE, receiver->header.base.message_size, FRAME_BELIEVABLE_BYTES + 2));
    return hunt(receiver);
}

static frame_event_t on_base_header(frame_receiver_t *receiver) {
    uint32_t message_size = receiver->header.base.message_size;
    receiver->type = receiver->header.base.message_type;
    receiver->sequence = 0;
    if (message_size < 2 || message_size - 2 > FRAME_BELIEVABLE_BYTES) return on_impossible_size(receiver);
    receiver->payload_bytes = message_size - 2;
    return ask_owner(receiver);
}

// Whose frame it is: of this dialogue, of the one before, of the next, or HELLO, which asks for one.
static bool finds_seed(frame_receiver_t *receiver) {
    const extended_header_t *header = &receiver->header.extended;
    const uint32_t seeds[] = {receiver->identity, receiver->ended_identity, receiver->expected_identity, 0};
    for (uint32_t i = 0; i < 4; i++) {
        receiver->seed = seeds[i];
        receiver->crc = crc32(seeds[i], header, offsetof(extended_header_t, check));
        if (header->check != receiver->crc) continue;
        return i < 3 || header->message_type == MESSAGE_HELLO;
    }
    return false;
}

static frame_event_t on_extended_header(frame_receiver_t *receiver) {
    const extended_header_t *header = &receiver->header.extended;
    if (!finds_seed(receiver) || header->payload_bytes > FRAME_BELIEVABLE_BYTES) {
        receiver->sequence = 0;
        receiver->seed = receiver->identity;
        receiver->status = status_report(REASON(FRAME_HEADER));
        return hunt(receiver);
    }
    receiver->type = header->message_type;
    receiver->sequence = header->sequence;
    receiver->payload_bytes = header->payload_bytes;
    return ask_owner(receiver);
}

uint32_t frame_exclusive_or(uint32_t value, const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        value ^= bytes[i];
    return value;
}

static bool is_whole(const frame_receiver_t *receiver) {
    return receiver->check == KENNING_CHECKSUM || receiver->without_checks;
}

// What follows a damaged message of Kenning's belongs to the same request: all of it is noise.
static frame_event_t on_damaged_message(frame_receiver_t *receiver) {
    receiver->status =
        status_report(REASON(KENNING_CHECKSUM, receiver->type, receiver->check, KENNING_CHECKSUM));
    receiver->state = FRAME_HUNTING;
    receiver->received = 0;
    return FRAME_PENDING;
}

static frame_event_t on_kenning_header(frame_receiver_t *receiver) {
    const kenning_header_t *header = &receiver->header.kenning;
    receiver->type = header->type;
    receiver->sequence = 0;
    receiver->payload_bytes = (header->flags & KENNING_HAS_PAYLOAD) != 0 ? header->payload_bytes : 0;
    receiver->check = frame_exclusive_or(0, receiver->header.bytes, sizeof *header);
    if (receiver->client != FRAME_KENNING) {
        // A client that leaves its checksums 0 does so in all its messages.
        receiver->without_checks = header->checksum == 0;
        if (receiver->payload_bytes != 0 || !is_whole(receiver)) return on_impossible_size(receiver);
    }
    if (receiver->payload_bytes > FRAME_BELIEVABLE_BYTES ||
        (receiver->payload_bytes == 0 && !is_whole(receiver)))
        return on_damaged_message(receiver);
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
        *room = receiver->payload_bytes - receiver->received;
        if (*room > sizeof receiver->discarded) *room = sizeof receiver->discarded;
        return receiver->discarded;
    default: // a hunt may find the magic anywhere, and a command end anywhere, so they are taken byte by byte
        *room = is_texts(receiver) || (receiver->state == FRAME_HUNTING && receiver->received < MAGIC_BYTES)
                    ? 1
                    : header_bytes(receiver) - receiver->received;
        return receiver->header.bytes + receiver->received;
    }
}

// In a dialogue in text, what is no frame ends with the command that it is in.
static bool ends_command(const frame_receiver_t *receiver) {
    return is_texts(receiver) && receiver->header.bytes[receiver->received - 1] == COMMAND_END &&
           (receiver->state == FRAME_IN_HEADER || receiver->status == FAILURE_FRAME_SIZE) &&
           !begins_with_magic(receiver) && !is_kenning(receiver);
}

static frame_event_t on_header_bytes(frame_receiver_t *receiver) {
    bool extended = begins_with_magic(receiver);
    if (is_text(receiver)) return on_text(receiver);
    if (ends_command(receiver)) {
        receiver->status = status_report(REASON(COMMAND_BYTE));
        return on_frame_end(receiver);
    }
    if (receiver->state == FRAME_HUNTING && !extended) return hunt(receiver);
    if (receiver->received < header_bytes(receiver)) return FRAME_PENDING;
    receiver->kind = extended ? FRAME_EXTENDED : is_kenning(receiver) ? FRAME_KENNING : FRAME_BASE;
    if (extended) return on_extended_header(receiver);
    return receiver->kind == FRAME_KENNING ? on_kenning_header(receiver) : on_base_header(receiver);
}

frame_event_t frame_advance(frame_receiver_t *receiver, uint32_t count) {
    const uint8_t *bytes =
        receiver->state == FRAME_DISCARDING ? receiver->discarded : receiver->payload + receiver->received;
    receiver->silent = false;
    receiver->received += count;
    switch (receiver->state) {
    case FRAME_IN_HEADER:
    case FRAME_HUNTING: return on_header_bytes(receiver);
    case FRAME_IN_CHECK: return receiver->received < CHECK_BYTES ? FRAME_PENDING : on_frame_end(receiver);
    case FRAME_IN_PAYLOAD:
    case FRAME_DISCARDING: break;
    }
    if (receiver->kind == FRAME_EXTENDED) receiver->crc = crc32(receiver->crc, bytes, count);
    if (receiver->kind == FRAME_KENNING) receiver->check = frame_exclusive_or(receiver->check, bytes, count);
    if (receiver->received < receiver->payload_bytes) return FRAME_PENDING;
    if (receiver->kind == FRAME_KENNING && !is_whole(receiver)) return on_damaged_message(receiver);
    if (receiver->kind != FRAME_EXTENDED) return on_frame_end(receiver);
    receiver->state = FRAME_IN_CHECK;
    receiver->received = 0;
    return FRAME_PENDING;
}

// The beginning of what opens a dialogue of Kenning's, or of a base frame without a size.
static bool has_no_size(const frame_receiver_t *receiver) {
    return receiver->state == FRAME_IN_HEADER && receiver->client != FRAME_KENNING && is_kenning(receiver);
}

static uint32_t silence_limit(const frame_receiver_t *receiver) {
    if (receiver->state == FRAME_HUNTING || has_no_size(receiver)) return FRAME_FLUSH_US;
    frame_kind_t kind = receiver->state == FRAME_IN_HEADER ? receiver->client : receiver->kind;
    if (kind == FRAME_TEXT) return FRAME_TEXT_STALL_US;
    return kind == FRAME_EXTENDED ? FRAME_EXTENDED_STALL_US : FRAME_STALL_US;
}

frame_event_t frame_silence(frame_receiver_t *receiver, uint64_t now_us) {
    if (frame_at_rest(receiver)) return FRAME_PENDING;
    if (!receiver->silent) {
        receiver->silent = true;
        receiver->silent_since = now_us;
    }
    if (now_us - receiver->silent_since < silence_limit(receiver)) return FRAME_PENDING;
    // A frame that was refused already keeps that reason.
    if (is_text(receiver)) {
        receiver->status = status_report(REASON(COMMAND_STALL, receiver->received));
    } else if (has_no_size(receiver)) {
        on_impossible_size(receiver);
    } else if (receiver->state == FRAME_IN_HEADER) {
        receiver->sequence = 0;
        receiver->status =
            status_report(REASON(HEADER_STALL, receiver->received,
                                 begins_with_magic(receiver) ? (uint32_t)sizeof(extended_header_t)
                                                             : (uint32_t)sizeof(base_header_t)));
    } else if (receiver->status == STATUS_OK || receiver->status == FAILURE_REQUEST_REPEATED) {
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
