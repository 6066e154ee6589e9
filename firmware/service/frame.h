// SPDX-License-Identifier: Apache-2.0
// Frames of the link. The base has a header of 6 bytes and a payload; the extension a header with its own
// check, a payload and a CRC-32; Kenning's protocol of 2026 messages with a checksum (messages.h); MLPerf
// Tiny's runner lines of text that end with a '%'. Their first five bytes tell them apart.
//
// The receiver is fed with bytes and with silence, and never loses step for ever:
//   - a refused frame of a believable size is read to its end and thrown away, then reported;
//   - a header that no frame can have is noise: all is thrown away until an extended frame begins, or until
//   the
//     line falls silent, which is reported;
//   - a frame that stops before its end is reported.
// It knows no registers and no clock: time is passed in.
//
//   frame_receiver_t receiver;
//   frame_receiver_init(&receiver, accept);
//   uint32_t room, count;
//   uint8_t *next = frame_space(&receiver, &room);
//   count = board_uart_read(next, room);
//   frame_event_t event = count != 0 ? frame_advance(&receiver, count)
//                                    : frame_silence(&receiver, platform_time_us());
#ifndef SPRINGBOK_FRAME_H
#define SPRINGBOK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../runtime/status.h"
#include "messages.h"
#include "requests.h"

#define FRAME_BELIEVABLE_BYTES (16u << 20) // a larger payload is noise
#define FRAME_STALL_US 1000000u            // silence within a base frame that ends it
#define FRAME_EXTENDED_STALL_US 100000u    // the same of an extended one, which is simply sent again
#define FRAME_FLUSH_US 50000u              // silence that ends noise
#define FRAME_TEXT_STALL_US 3000000u // silence within a command in text that ends it; people type slowly
#define FRAME_TEXT_BYTES 80u         // of a command, as the runner's own firmware takes

typedef enum { FRAME_BASE, FRAME_EXTENDED, FRAME_KENNING, FRAME_TEXT } frame_kind_t;

typedef enum {
    FRAME_PENDING, // nothing to do yet
    FRAME_REQUEST, // a whole frame: receiver->type, ->payload, ->payload_bytes; a command has no type
    FRAME_REFUSED, // receiver->status and status_details() say why
} frame_event_t;

typedef struct frame_receiver frame_receiver_t;

// Asked once a frame, when its header is there: may this message come now, and where does its payload go? On
// STATUS_OK, *payload has room for receiver->payload_bytes (it may stay NULL if there are none).
typedef status_t (*frame_accept_fn)(frame_receiver_t *receiver, uint8_t **payload);

struct frame_receiver {
    frame_accept_fn accept;
    enum { FRAME_IN_HEADER, FRAME_IN_PAYLOAD, FRAME_IN_CHECK, FRAME_DISCARDING, FRAME_HUNTING } state;
    frame_kind_t client; // set by the owner: what the client speaks; whatever does not fit that is noise
    bool without_checks; // set by the owner: Kenning's client leaves its checksums 0
    frame_kind_t kind;   // of the frame at hand, or the last one
    union {
        uint8_t bytes[SERVES_MLPERF ? FRAME_TEXT_BYTES : sizeof(extended_header_t)];
        base_header_t base;
        extended_header_t extended;
        kenning_header_t kenning;
    } header;
    uint32_t received; // bytes of the part that is being read
    uint16_t type;
    uint16_t sequence; // 0 unless the frame is extended
    uint8_t *payload;
    uint32_t payload_bytes;
    uint32_t crc;
    uint32_t check;
    uint32_t identity;          // set by the owner: of the dialogue in extended frames
    uint32_t ended_identity;    // set by the owner: of the one before
    uint32_t expected_identity; // set by the owner: of the one that its first frame begins
    uint32_t seed;              // of the extended frame at hand: the identity that it was made with
    uint8_t discarded[64];
    status_t status;
    bool silent;           // no byte since silent_since
    uint64_t silent_since; // microseconds
};

void frame_receiver_init(frame_receiver_t *receiver, frame_accept_fn accept);

// Where the next bytes of the line go, and how many may come there at once.
uint8_t *frame_space(frame_receiver_t *receiver, uint32_t *room);

// Takes the bytes that came there: 1 to `room`.
frame_event_t frame_advance(frame_receiver_t *receiver, uint32_t count);

// Tells that the line has no byte at the moment. Silence is counted from the first such call after a byte.
frame_event_t frame_silence(frame_receiver_t *receiver, uint64_t now_us);

// The checksum of Kenning's messages goes on from `value`.
uint32_t frame_exclusive_or(uint32_t value, const uint8_t *bytes, uint32_t count);

// True between frames, when silence means nothing and needs no clock.
bool frame_at_rest(const frame_receiver_t *receiver);

#endif
