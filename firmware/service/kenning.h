// SPDX-License-Identifier: Apache-2.0
// Kenning's protocol of 2026: requests in messages of at most 136 bytes, put together by their first and last
// flags; PING opens the dialogue and closes it. A request that is done is answered with a transmission of its
// type. One that the line has damaged is denied, so that the client sends it again. What the firmware has to
// say comes in LOGS.
#ifndef SPRINGBOK_KENNING_H
#define SPRINGBOK_KENNING_H

#include "frame.h"
#include "requests.h"

// As frame_accept_fn.
status_t kenning_accept(frame_receiver_t *receiver, uint8_t **payload);

// Takes a message that has arrived whole; answers the request of which it is the last.
void kenning_message(frame_receiver_t *receiver, reply_t *reply);

// Takes what was refused, or is no message.
void kenning_refusal(frame_receiver_t *receiver, reply_t *reply);

#endif
