// SPDX-License-Identifier: Apache-2.0
// A dense layer of int8 on the chip, by the instruction dot4z: results[i] = sum over k of weights[i][k] *
// inputs[k].
//
// It asks the host for work (hostreq) and halts; the host writes the request and the data, and resumes it.
// Then it computes and asks again: the results are in memory. The words after them are the instructions that
// it took, by dot4z and by plain loads and multiplications.
#include <stdint.h>

// custom-3 on the chip; Renode's custom function unit 0 is custom-0 (0x0b).
#ifndef DOT4Z_OPCODE
#define DOT4Z_OPCODE 0x7b
#endif

#define STRING_(x) #x
#define STRING(x) STRING_(x)

typedef struct {
    uint32_t results; // rows of the weights
    uint32_t words;   // of four int8 each, in a row
    const uint32_t *inputs;
    const uint32_t *weights;
    int32_t *sums; // as many as results, then two counts
} request_t;

static request_t *const REQUEST = (request_t *)0x34000000;

__asm__(".section .boot, \"ax\"\n"
        ".globl _start\n"
        "_start:\n"
        "lui sp, 0x34100\n"
        "again: .insn r 0x7b, 2, 0, x0, x0, x0\n" // hostreq
        "jal serve\n"
        "j again\n"
        ".text\n");

static inline int32_t dot4z(uint32_t left, uint32_t right) {
    int32_t sum;
    __asm__(".insn r " STRING(DOT4Z_OPCODE) ", 6, 0, %0, %1, %2" : "=r"(sum) : "r"(left), "r"(right));
    return sum;
}

static inline uint32_t instructions(void) {
    uint32_t count;
    __asm__ volatile("csrr %0, minstret" : "=r"(count));
    return count;
}

static void by_dot4z(const request_t *request) {
    const uint32_t *row = request->weights;
    for (uint32_t i = 0; i < request->results; i++) {
        int32_t sum = 0;
        for (uint32_t k = 0; k < request->words; k++)
            sum += dot4z(*row++, request->inputs[k]);
        request->sums[i] = sum;
    }
}

// 1 if the plain way gives another sum anywhere.
static uint32_t by_bytes(const request_t *request) {
    const int8_t *row = (const int8_t *)request->weights, *inputs = (const int8_t *)request->inputs;
    uint32_t differs = 0;
    for (uint32_t i = 0; i < request->results; i++) {
        int32_t sum = 0;
        for (uint32_t k = 0; k < 4 * request->words; k++)
            sum += *row++ * inputs[k];
        differs |= sum != request->sums[i];
    }
    return differs;
}

__attribute__((used)) void serve(void) {
    const request_t *request = REQUEST;
    uint32_t start = instructions();
    by_dot4z(request);
    uint32_t middle = instructions();
    uint32_t differs = by_bytes(request);
    uint32_t end = instructions();
    request->sums[request->results] = (int32_t)(middle - start);
    request->sums[request->results + 1] = differs ? -1 : (int32_t)(end - middle);
}
