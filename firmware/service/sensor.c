// SPDX-License-Identifier: Apache-2.0
#include "sensor.h"

#include "../runtime/float.h"
#include "../runtime/platform.h"
#include "board.h"

#define ADXL345 0x1Du // with its address pin high
#define ADXL345_IDENTITY 0xE5u
enum {
    IDENTITY = 0x00,
    RATE = 0x2C,
    POWER = 0x2D,
    FORMAT = 0x31,
    DATA = 0x32,
    FIFO = 0x38,
    FIFO_STATUS = 0x39
};
#define FIFO_STATUS_ENTRIES 0x3Fu

static struct {
    int16_t ring[SENSOR_WINDOW][SENSOR_AXES];
    uint32_t taken; // samples: where the next one goes, modulo the ring
    bool ready;
} sensor;

static void read(uint32_t from, uint8_t *bytes, uint32_t count) {
    if (!board_i2c_read(ADXL345, from, bytes, count)) FAIL(SENSOR_SILENT, ADXL345);
}

// 100 Hz; full resolution (1/256 g a step) within ±16 g; a FIFO that keeps the newest; then it measures.
static void set_up(void) {
    static const uint8_t settings[][2] = {{RATE, 0x0A}, {FORMAT, 0x0B}, {FIFO, 0x80}, {POWER, 0x08}};
    uint8_t identity;
    if (!board_i2c_open()) FAIL(SENSOR_SILENT, ADXL345);
    read(IDENTITY, &identity, 1);
    if (identity != ADXL345_IDENTITY) FAIL(SENSOR_IDENTITY, ADXL345, identity, ADXL345_IDENTITY);
    for (uint32_t i = 0; i < sizeof settings / sizeof *settings; i++)
        board_i2c_write(ADXL345, settings[i][0], settings[i][1]);
    sensor.ready = true;
}

static void take(uint32_t count, uint32_t wait_ms) {
    uint64_t limit = platform_time_us() + (uint64_t)wait_ms * 1000;
    for (uint32_t i = 0; i < count;) {
        uint8_t status;
        read(FIFO_STATUS, &status, 1);
        if ((status & FIFO_STATUS_ENTRIES) == 0) {
            if (platform_time_us() > limit) FAIL(SENSOR_SLOW, i, count, wait_ms);
            continue;
        }
        // All six bytes at once, so that they are of one sample.
        read(DATA, (uint8_t *)sensor.ring[sensor.taken % SENSOR_WINDOW], sizeof *sensor.ring);
        if (++sensor.taken == 2 * SENSOR_WINDOW) sensor.taken = SENSOR_WINDOW;
        i++;
    }
}

void sensor_sense(const sense_request_t *request, const signature_t *signature, uint8_t *input) {
    uint32_t type = signature->inputs[0].element_type, total = signature->input_bytes;
    uint32_t bytes = type == ELEMENT_F32 ? sizeof(float) : 1;
    uint32_t window = total / (bytes * SENSOR_AXES);
    if (signature->input_count != 1 || (type != ELEMENT_F32 && !is_i8(type)) || window > SENSOR_WINDOW ||
        window * bytes * SENSOR_AXES != total)
        FAIL(SENSOR_INPUT, signature->input_count, total, type, SENSOR_WINDOW);
    if (!sensor.ready) set_up();
    take(request->samples, request->wait_ms);
    if (sensor.taken < window) FAIL(SENSOR_FEW, window, sensor.taken);
    for (uint32_t i = sensor.taken - window; i < sensor.taken; i++) {
        for (uint32_t axis = 0; axis < SENSOR_AXES; axis++, input += bytes) {
            float value = (float)sensor.ring[i % SENSOR_WINDOW][axis] * request->unit;
            if (type == ELEMENT_F32)
                *(float *)input = value;
            else
                *(int8_t *)input = float_quantised(value, request->scale, request->zero_point);
        }
    }
}
