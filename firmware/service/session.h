// SPDX-License-Identifier: Apache-2.0
// The dialogue with the client: one answer a request, a model's life from upload to output.
//
//   board_init();
//   session_init();
//   for (;;) session_poll();
//
// Each request is answered in the kind of frame that it came in, with OK and the payload of the request's
// kind, or ERROR with code, name and message. An extended request that comes again is answered again, not
// executed again. A trap in a request, be it in the model's kernels or in the runtime, is an ERROR like any
// other; it unloads the model.
#ifndef SPRINGBOK_SESSION_H
#define SPRINGBOK_SESSION_H

#include <stdbool.h>

#define FIRMWARE_VERSION 0x00010003u // major << 16 | minor

// Takes the whole arena of the platform. No model is loaded afterwards.
void session_init(void);

// Takes what the serial port has: one byte, or the time of its silence. Answers a request when it is
// complete.
void session_poll(void);

// For the other protocols: whether another host's dialogue in extended frames is going on; the end of it.
bool session_has_host(void);
void session_end_dialogue(void);

#endif
