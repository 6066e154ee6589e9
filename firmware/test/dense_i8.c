// SPDX-License-Identifier: Apache-2.0
// A program of its own for the chip: the sums of one dense int8 layer, four products an instruction. The host
// writes the task and its arrays into memory and sets `state`; the program computes and sets it back.
#include "../port/dot4.h"

enum { IDLE, COMPUTE, INFERENCE_BEGIN = 1, INFERENCE_END = 2 };

// Where rtl.py writes it. `words` is a row's length in words of four elements; the rest of the last one is
// zero.
struct task {
    uint32_t state, rows, words;
    const uint32_t *input;   // [words]
    const uint32_t *weights; // [rows][words]
    int32_t *sums;           // [rows]: what to add to, then the result
};
static volatile struct task *const task = (volatile struct task *)0x34000000;

static void mark(uint32_t event) {
    __asm__ volatile(".insn r 0x7b, 4, 0, x0, %0, x0" ::"r"(event) : "memory");
}

static void dense(const uint32_t *input, const uint32_t *weights, int32_t *sums, uint32_t rows,
                  uint32_t words) {
    for (uint32_t row = 0; row < rows; row++) {
        int32_t sum = sums[row];
        for (uint32_t word = 0; word < words; word++)
            sum = dot4(sum, input[word], *weights++);
        sums[row] = sum;
    }
}

__attribute__((used)) _Noreturn static void run(void) {
    for (;;) {
        while (task->state != COMPUTE) {
        }
        mark(INFERENCE_BEGIN);
        dense(task->input, task->weights, task->sums, task->rows, task->words);
        mark(INFERENCE_END);
        task->state = IDLE;
    }
}

__attribute__((section(".text.start"), naked)) void _start(void) {
    __asm__ volatile("la sp, __stack_top\n j run");
}
