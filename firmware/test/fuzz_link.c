// SPDX-License-Identifier: Apache-2.0
// Feeds the service with damaged dialogues, under the sanitizers: fuzz_link [rounds] [seed].
//
// Frames of all kinds and dialogues are made at random, mostly right, then cut, flipped, doubled and run
// together, in pieces of any size and with silences between. After each round HELLO in a whole frame that
// ends whatever dialogue there is must be answered: the service is in step again. Exit status 1 when it is
// not.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/platform.h"
#include "../service/board.h"
#include "../service/crc32.h"
#include "../service/frame.h"
#include "../service/session.h"

#define LINE_BYTES 65536u
#define STEP_US 10000u

static _Alignas(64) uint8_t arena[(1u << 20) + (1u << 18) + (1u << 16)];
static uint8_t line[LINE_BYTES];
static uint32_t line_end, line_next;
static uint8_t answers[1u << 20];
static size_t answer_bytes;
static uint64_t now_us;
static uint64_t random_state;
static uint32_t identities[3]; // of none, and of the latest dialogues
static uint32_t own_identity;  // the host's part of the latest one that was asked for

static uint32_t choose(uint32_t count) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % count);
}

// ---- The parts of the platform that are played here

uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity) {
    if (line_next == line_end) {
        now_us += STEP_US;
        return 0;
    }
    uint32_t count = 1 + choose(32);
    if (count > capacity) count = capacity;
    if (count > line_end - line_next) count = line_end - line_next;
    memcpy(bytes, line + line_next, count);
    line_next += count;
    return count;
}

void platform_uart_write(const uint8_t *bytes, size_t count) {
    if (answer_bytes + count > sizeof answers) answer_bytes = 0;
    memcpy(answers + answer_bytes, bytes, count);
    answer_bytes += count;
    if (count != sizeof(hello_answer_t)) return;
    hello_answer_t answer;
    memcpy(&answer, bytes, sizeof answer);
    identities[1] = identities[2];
    identities[2] = own_identity ^ answer.limits.nonce;
}

uint64_t platform_time_us(void) {
    return now_us;
}

uint8_t *platform_arena(size_t *bytes) {
    *bytes = sizeof arena;
    return arena;
}

// ---- The line

static void put(const void *bytes, uint32_t count) {
    if (count > LINE_BYTES - line_end) return;
    memcpy(line + line_end, bytes, count);
    line_end += count;
}

static void put_extended_of(uint32_t identity, uint16_t type, const void *payload, uint32_t bytes) {
    extended_header_t header = {EXTENDED_MAGIC, (uint16_t)(1 + choose(3)), type, bytes, 0};
    header.check = crc32(identity, &header, offsetof(extended_header_t, check));
    uint32_t crc = crc32(header.check, payload, bytes);
    put(&header, sizeof header);
    put(payload, bytes);
    if (bytes != 0) put(&crc, sizeof crc);
}

static void put_extended(uint16_t type, const void *payload, uint32_t bytes) {
    put_extended_of(identities[choose(3)], type, payload, bytes);
}

static void put_hello(uint32_t flags) {
    hello_request_t hello = {PROTOCOL_VERSION, choose(100), choose(1000), flags};
    put_extended_of(0, MESSAGE_HELLO, &hello, choose(4) != 0 ? (uint32_t)sizeof hello : HELLO_SHORT_BYTES);
    own_identity = hello.identity;
}

static void put_kenning(uint8_t type, const uint8_t *payload, uint32_t bytes) {
    for (uint32_t at = 0; at == 0 || at < bytes;) {
        uint32_t part = bytes - at < 124 ? bytes - at : 124;
        kenning_header_t header = {.type = type, .payload_bytes = part};
        header.flow = choose(16) != 0 ? KENNING_REQUEST : KENNING_TRANSMISSION;
        header.flags =
            (uint16_t)(choose(4) | (at == 0 ? KENNING_FIRST : 0) | (at + part == bytes ? KENNING_LAST : 0) |
                       (part != 0 ? KENNING_HAS_PAYLOAD : 0));
        uint32_t check = choose(16) != 0 ? KENNING_CHECKSUM : 0;
        for (uint32_t i = 0; i < sizeof header; i++)
            check ^= ((const uint8_t *)&header)[i];
        for (uint32_t i = 0; i < part; i++)
            check ^= payload[at + i];
        header.checksum = (uint8_t)check;
        put(&header, sizeof header);
        put(payload + at, part);
        at += part != 0 ? part : 1;
    }
}

// What MLPerf Tiny's runner says: one command a call, so that a dialogue comes about over several.
static void put_command(void) {
    static const char *const commands[] = {"name%",           "profile%",
                                           "db load 24%",     "db 00112233445566778899aabb%",
                                           "db 00112233445%", "db load 999999999%",
                                           "infer 3 1%",      "infer 0%",
                                           "results%",        "start%",
                                           "stop%",           "print_detections%"};
    const char *command = commands[choose(sizeof commands / sizeof *commands)];
    put(command, (uint32_t)strlen(command));
}

static void put_base(uint16_t type, const void *payload, uint32_t bytes) {
    base_header_t header = {choose(8) != 0 ? bytes + 2 : choose(1u << 25), type};
    put(&header, sizeof header);
    put(payload, bytes);
}

static void put_message(void) {
    // test/fake_runtime.c: one input of 24 bytes, one output of 8.
    static const uint8_t model[] = "FAKEmain\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01"
                                   "\x20\0\0\x21\x01\x06\0\0\0"
                                   "\x20\0\0\x21\x01\x02\0\0\0";
    uint8_t noise[200];
    for (uint32_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)choose(224); // above: what makes the stand-in misbehave
    upload_request_t upload = {sizeof model - 1, crc32(0, model, sizeof model - 1)};
    uint32_t random_bytes = choose(sizeof noise);
    switch (choose(15)) {
    case 0: put_extended(MESSAGE_UPLOAD, &upload, sizeof upload); break;
    case 1: put_extended(MESSAGE_CHUNK, model, sizeof model - 1); break;
    case 2: put_extended(MESSAGE_MODEL, model, sizeof model - 1); break;
    case 3: put_base(MESSAGE_MODEL, model, sizeof model - 1); break;
    case 4: put_extended(choose(2) ? MESSAGE_INFER : MESSAGE_MEASURE, noise, 24 * (1 + choose(8))); break;
    case 5: put_base(MESSAGE_DATA, noise, 24); break;
    case 6: put_base((uint16_t)choose(MESSAGE_HELLO + 2), noise, choose(2) ? 0 : random_bytes); break;
    case 7: put_extended((uint16_t)choose(MESSAGE_RESET), noise, choose(2) ? 0 : random_bytes); break;
    case 8: put(noise, random_bytes); break;
    case 9: put_base(MESSAGE_IOSPEC, noise, sizeof(io_spec_t)); break;
    case 10: put_hello(choose(4)); break;
    case 11: put_kenning(KENNING_PING, noise, 0); break;
    case 12: put_kenning(KENNING_MODEL, model, sizeof model - 1); break;
    case 13: put_kenning((uint8_t)choose(KENNING_COUNT + 2), noise, choose(2) ? 0 : random_bytes); break;
    case 14: put_command(); break;
    }
}

static void damage(void) {
    for (uint32_t faults = choose(3); faults > 0 && line_end > 0; faults--) {
        uint32_t at = choose(line_end);
        switch (choose(3)) {
        case 0: line[at] ^= (uint8_t)(1u << choose(8)); break;
        case 1: memmove(line + at, line + at + 1, --line_end - at); break;
        case 2: line_end = at; break;
        }
    }
}

static void play(void) {
    while (line_next < line_end)
        session_poll();
    for (uint32_t silence = choose(2) ? 0 : 2 * FRAME_STALL_US / STEP_US; silence > 0; silence--)
        session_poll();
    line_next = line_end = 0;
}

// Asked twice: after a request with the same header and another content, the first is to come again.
static bool answers_hello(void) {
    hello_request_t hello = {PROTOCOL_VERSION, 0, 0, HELLO_TAKES_OVER};
    for (uint32_t attempt = 0; attempt < 2; attempt++) {
        extended_header_t answer = {0};
        for (uint32_t i = 0; i < 2 * FRAME_STALL_US / STEP_US; i++)
            session_poll();
        answer_bytes = 0;
        put_extended_of(0, MESSAGE_HELLO, &hello, sizeof hello);
        play();
        memcpy(&answer, answers, answer_bytes < sizeof answer ? 0 : sizeof answer);
        if (answer.magic == EXTENDED_MAGIC && answer.message_type == MESSAGE_OK) return true;
    }
    return false;
}

int main(int argc, char **argv) {
    uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000;
    random_state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    session_init();
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t pieces = 1 + choose(6); pieces > 0; pieces--) {
            for (uint32_t messages = choose(4); messages > 0; messages--)
                put_message();
            damage();
            play();
        }
        if (!answers_hello()) {
            printf("round %u: HELLO was not answered\n", round);
            return 1;
        }
    }
    printf("%u rounds\n", rounds);
    return 0;
}
