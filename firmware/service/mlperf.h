// SPDX-License-Identifier: Apache-2.0
// The dialogue of MLPerf Tiny's runner: commands in text, each ended by a '%', each answered by lines and
// then "m-ready". The model has come over the link before, and BENCHMARK has said how the runner's bytes
// become its input. What a command can't do it says in a line "e-[...]"; the dialogue goes on.
//
//   name, profile, timestamp          who answers, with which model; microseconds since start
//   db load N, db HEX                 announces N bytes; brings the next of them
//   infer N W, results                N inferences after W others; the output of the last one
//   start, stop, print_detections     of a stream: bytes that are loaded from then on are frames, each of
//   which
//                                     moves the model's window on and is an inference
#ifndef SPRINGBOK_MLPERF_H
#define SPRINGBOK_MLPERF_H

#include "frame.h"
#include "requests.h"

// A dialogue begins: nothing is loaded, no stream runs.
void mlperf_begin(void);

// Does a command, without its end, and answers it. `reply` is for requests that it makes.
void mlperf_command(const uint8_t *text, uint32_t length, reply_t *reply);

// Says that another host is at work.
void mlperf_deny(void);

// Tells what the line or the runner did wrong: status_details() has it.
void mlperf_refusal(void);

#endif
