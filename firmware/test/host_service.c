// SPDX-License-Identifier: Apache-2.0
// The firmware's service as a process: the link is stdin and stdout. It ends with its input.
//
//   host_service             bytes of stdin are the line, time is real
//   host_service --script    stdin is a script of records, time passes only where the script says so:
//                            'B' u32 count, bytes: the line brings these; 'S' u32 microseconds: silence;
//                            'A' u32 count, i16 x, y, z each: an accelerometer has these samples;
//                            'M' u32 mark: stdout brings these 4 bytes behind what was answered before
//
// What the chip has besides is port/host.c's.
#include <poll.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../runtime/bytes.h"
#include "../runtime/platform.h"
#include "../service/board.h"
#include "../service/session.h"

#define SCRIPT_STEP_US 1000u

static bool scripted;
static uint64_t script_time_us;
static uint32_t script_bytes;      // left in the current 'B' record
static uint32_t script_silence_us; // left in the current 'S' record

#define MOTION_SAMPLES 4096u
#define SAMPLE_BYTES 6u
#define SENSOR_READ_US 500u
static bool has_sensor;
static uint8_t motion[MOTION_SAMPLES][SAMPLE_BYTES];
static uint32_t motion_end, motion_next;

static void flush_and_exit(void) {
    fflush(stdout);
    exit(ferror(stdout) != 0);
}

// One byte of stdin; answers are flushed first, since the client may be waiting for them.
static uint8_t read_byte(void) {
    static uint8_t buffer[4096];
    static ssize_t count, next;
    if (next == count) {
        fflush(stdout);
        count = read(STDIN_FILENO, buffer, sizeof buffer);
        next = 0;
        if (count <= 0) flush_and_exit();
    }
    return buffer[next++];
}

static uint32_t read_script_u32(void) {
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = read_byte();
    return read_u32(bytes);
}

static void read_motion(uint32_t count) {
    has_sensor = true;
    if (count > MOTION_SAMPLES - motion_end) abort();
    for (; count > 0; count--, motion_end++)
        for (uint32_t i = 0; i < SAMPLE_BYTES; i++)
            motion[motion_end][i] = read_byte();
}

static int read_script(uint8_t *byte) {
    while (script_bytes == 0 && script_silence_us == 0) {
        uint8_t kind = read_byte();
        uint32_t value = read_script_u32();
        if (kind == 'B')
            script_bytes = value;
        else if (kind == 'S')
            script_silence_us = value;
        else if (kind == 'A')
            read_motion(value);
        else if (kind == 'M')
            fwrite(&value, 1, sizeof value, stdout);
        else
            abort();
    }
    if (script_silence_us != 0) {
        uint32_t step = script_silence_us < SCRIPT_STEP_US ? script_silence_us : SCRIPT_STEP_US;
        script_silence_us -= step;
        script_time_us += step;
        return 0;
    }
    script_bytes--;
    *byte = read_byte();
    return 1;
}

uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity) {
    if (scripted) return (uint32_t)read_script(bytes);
    // Unbuffered, so that poll() knows what is there.
    struct pollfd line = {.fd = STDIN_FILENO, .events = POLLIN};
    fflush(stdout);
    if (poll(&line, 1, 10) == 0) return 0;
    ssize_t count = read(STDIN_FILENO, bytes, capacity);
    if (count <= 0) flush_and_exit();
    return (uint32_t)count;
}

void platform_uart_write(const uint8_t *bytes, size_t count) {
    fwrite(bytes, 1, count, stdout);
}

uint64_t platform_time_us(void) {
    if (scripted) return script_time_us;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

// ---- An ADXL345: identity, count of samples, and the next sample when all of it is read

bool board_i2c_open(void) {
    return has_sensor;
}

bool board_i2c_read(uint32_t device, uint32_t from, uint8_t *bytes, uint32_t count) {
    script_time_us += SENSOR_READ_US;
    if (!has_sensor || device != 0x1D) return false;
    if (from == 0x00 && count == 1)
        *bytes = 0xE5;
    else if (from == 0x39 && count == 1)
        *bytes = (uint8_t)(motion_end - motion_next < 32 ? motion_end - motion_next : 32);
    else if (from == 0x32 && count == SAMPLE_BYTES && motion_next < motion_end)
        memcpy(bytes, motion[motion_next++], SAMPLE_BYTES);
    else
        abort();
    return true;
}

bool board_i2c_write(uint32_t device, uint32_t to, uint8_t value) {
    (void)to, (void)value;
    return has_sensor && device == 0x1D;
}

static jmp_buf restart;

_Noreturn void board_restart(void) {
    longjmp(restart, 1);
}

int main(int argc, char **argv) {
    scripted = argc > 1 && strcmp(argv[1], "--script") == 0;
    setjmp(restart);
    session_init();
    for (;;)
        session_poll();
}
