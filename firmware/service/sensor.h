// SPDX-License-Identifier: Apache-2.0
// The accelerometer as a model's input: samples of an ADXL345 go into a ring, and the newest of them, as many
// as the model takes, become its input.
#ifndef SPRINGBOK_SENSOR_H
#define SPRINGBOK_SENSOR_H

#include "../runtime/signature.h"
#include "messages.h"

#define SENSOR_AXES 3
#define SENSOR_WINDOW 128 // samples in the ring, so the most that a model may take

// Takes request->samples new samples, then writes the window to `input`, the oldest sample first, each as x,
// y, z. Fails if there is no ADXL345, if the samples do not come within request->wait_ms, if there are fewer
// since the start than the model takes, or if its input is no window: one tensor of float32 or int8. What was
// taken before a failure stays in the ring.
void sensor_sense(const sense_request_t *request, const signature_t *signature, uint8_t *input);

#endif
