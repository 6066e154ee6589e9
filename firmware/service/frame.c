// SPDX-License-Identifier: Apache-2.0
#include "frame.h"

#include "wire.h"

static void start_afresh(frame_receiver_t *receiver) {
    receiver->state = FRAME_IN_HEADER;
    receiver->received = 0;
}

void frame_receiver_init(frame_receiver_t *receiver, frame_accept_fn accept) {
    *receiver = (frame_receiver_t){.accept = accept};
}

static frame_event_t on_frame_end(frame_receiver_t *receiver) {
    frame_event_t event = receiver->state == FRAME_IN_PAYLOAD ? FRAME_REQUEST : FRAME_REFUSED;
    start_afresh(receiver);
    return event;
}

static frame_event_t on_header(frame_receiver_t *receiver) {
    uint32_t message_size = read_u32(receiver->header);
    receiver->type = read_u16(receiver->header + 4);
    receiver->received = 0;
    if (message_size < 2 || message_size - 2 > FRAME_BELIEVABLE_BYTES) {
        receiver->status = status_fail(STATUS_LINK_SIZE, "message_size %u, at least 2 and at most %u",
                                       message_size, FRAME_BELIEVABLE_BYTES + 2);
        receiver->state = FRAME_FLUSHING;
        return FRAME_PENDING;
    }
    receiver->payload = NULL;
    receiver->payload_bytes = message_size - 2;
    receiver->status = receiver->accept(receiver->type, receiver->payload_bytes, &receiver->payload);
    receiver->state = receiver->status == STATUS_OK ? FRAME_IN_PAYLOAD : FRAME_DISCARDING;
    return receiver->payload_bytes == 0 ? on_frame_end(receiver) : FRAME_PENDING;
}

frame_event_t frame_push(frame_receiver_t *receiver, uint8_t byte) {
    receiver->silent = false;
    switch (receiver->state) {
    case FRAME_IN_HEADER:
        receiver->header[receiver->received++] = byte;
        return receiver->received == FRAME_HEADER_BYTES ? on_header(receiver) : FRAME_PENDING;
    case FRAME_IN_PAYLOAD: receiver->payload[receiver->received++] = byte; break;
    case FRAME_DISCARDING: receiver->received++; break;
    case FRAME_FLUSHING: return FRAME_PENDING;
    }
    return receiver->received == receiver->payload_bytes ? on_frame_end(receiver) : FRAME_PENDING;
}

frame_event_t frame_silence(frame_receiver_t *receiver, uint64_t now_us) {
    if (frame_at_rest(receiver)) return FRAME_PENDING;
    if (!receiver->silent) {
        receiver->silent = true;
        receiver->silent_since = now_us;
    }
    bool flushing = receiver->state == FRAME_FLUSHING;
    if (now_us - receiver->silent_since < (flushing ? FRAME_FLUSH_US : FRAME_STALL_US)) return FRAME_PENDING;
    // A frame that was refused already keeps that reason.
    if (receiver->state == FRAME_IN_HEADER)
        receiver->status = status_fail(STATUS_LINK_STALL, "header stopped after %u of %u bytes",
                                       receiver->received, FRAME_HEADER_BYTES);
    else if (receiver->state == FRAME_IN_PAYLOAD)
        receiver->status =
            status_fail(STATUS_LINK_STALL, "message type %u stopped after %u of %u payload bytes",
                        (uint32_t)receiver->type, receiver->received, receiver->payload_bytes);
    start_afresh(receiver);
    return FRAME_REFUSED;
}

bool frame_at_rest(const frame_receiver_t *receiver) {
    return receiver->state == FRAME_IN_HEADER && receiver->received == 0;
}

void frame_encode_header(uint8_t header[FRAME_HEADER_BYTES], uint16_t type, uint32_t payload_bytes) {
    put_u32(header, payload_bytes + 2);
    put_u16(header + 4, type);
}
