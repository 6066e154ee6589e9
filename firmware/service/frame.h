// SPDX-License-Identifier: Apache-2.0
// Frames of the link, byte by byte: u32 message_size (2 + payload bytes), u16 message_type, payload; little
// endian.
//
// The receiver is fed with bytes and with silence, and never loses step for ever:
//   - a refused frame of a believable size is read to its end and thrown away, then reported;
//   - a size that no frame can have is noise: all is thrown away until the line falls silent, then reported;
//   - a frame that stops before its end is reported after a second.
// It knows no registers and no clock: time is passed in.
//
//   frame_receiver_t receiver;
//   frame_receiver_init(&receiver, accept);
//   frame_event_t event = platform_uart_read(&byte) ? frame_push(&receiver, byte)
//                                                   : frame_silence(&receiver, platform_time_us());
#ifndef SPRINGBOK_FRAME_H
#define SPRINGBOK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../runtime/status.h"

enum {
#define X(name, type) MESSAGE_##name = type,
#include "messages.def"
#undef X
    MESSAGE_COUNT,
};

#define FRAME_HEADER_BYTES 6
#define FRAME_BELIEVABLE_BYTES (16u << 20) // a larger payload is noise
#define FRAME_STALL_US 1000000u            // silence within a frame that ends it
#define FRAME_FLUSH_US 50000u              // silence that ends noise

typedef enum {
    FRAME_PENDING, // nothing to do yet
    FRAME_REQUEST, // a whole frame: receiver->type, ->payload, ->payload_bytes
    FRAME_REFUSED, // receiver->status and status_message() say why
} frame_event_t;

// Asked once a frame, when its header is there: may this message come now, and where does its payload go?
// On STATUS_OK, *payload has room for payload_bytes (it may stay NULL if there are none).
typedef status_t (*frame_accept_fn)(uint16_t type, uint32_t payload_bytes, uint8_t **payload);

typedef struct {
    frame_accept_fn accept;
    enum { FRAME_IN_HEADER, FRAME_IN_PAYLOAD, FRAME_DISCARDING, FRAME_FLUSHING } state;
    uint8_t header[FRAME_HEADER_BYTES];
    uint32_t received; // bytes of the header or of the payload, whichever is being read
    uint16_t type;
    uint8_t *payload;
    uint32_t payload_bytes;
    status_t status;
    bool silent;           // no byte since silent_since
    uint64_t silent_since; // microseconds
} frame_receiver_t;

void frame_receiver_init(frame_receiver_t *receiver, frame_accept_fn accept);

// Takes the next byte of the line.
frame_event_t frame_push(frame_receiver_t *receiver, uint8_t byte);

// Tells that the line has no byte at the moment. Silence is counted from the first such call after a byte.
frame_event_t frame_silence(frame_receiver_t *receiver, uint64_t now_us);

// True between frames, when silence means nothing and needs no clock.
bool frame_at_rest(const frame_receiver_t *receiver);

// Writes the header of a frame.
void frame_encode_header(uint8_t header[FRAME_HEADER_BYTES], uint16_t type, uint32_t payload_bytes);

#endif
