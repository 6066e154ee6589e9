// SPDX-License-Identifier: Apache-2.0
// What the portable code asks of the chip. firmware/port/chip.c answers on the chip,
// firmware/port/host.c on a computer. Nothing else in the firmware touches registers.
#ifndef SPRINGBOK_PLATFORM_H
#define SPRINGBOK_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

// Events of platform_mark(), each with its value.
enum {
    MARK_INFERENCE_BEGIN = 1, // 0
    MARK_INFERENCE_END = 2,   // 0
    MARK_DISPATCH_BEGIN = 3,  // export ordinal
    MARK_DISPATCH_END = 4,    // export ordinal
    MARK_LOAD_BEGIN = 5,      // 0
    MARK_LOAD_END = 6,        // 0
    MARK_KERNELS_BEGIN = 7,   // first address of the loaded kernels' executable range
    MARK_KERNELS_END = 8,     // one past its last address
};

void platform_uart_write(const uint8_t *bytes, size_t count);

// Microseconds since start, from a clock that runs whether or not the core works.
uint64_t platform_time_us(void);
// Instructions and cycles that the core has executed.
uint64_t platform_instructions(void);
uint64_t platform_cycles(void);

#ifdef __riscv
#include "chip.h"

#define CHIP_TEXT(name) CHIP_TEXT_OF(name)
#define CHIP_TEXT_OF(name) #name

// The lower halves of the same counters, for differences below 2^32, read in place, also in contained calls.
static inline uint32_t platform_instructions_low(void) {
    uintptr_t value;
    __asm__ volatile("csrr %0, " CHIP_TEXT(CHIP_INSTRUCTIONS) : "=r"(value));
    return (uint32_t)value;
}

static inline uint32_t platform_cycles_low(void) {
    uintptr_t value;
    __asm__ volatile("csrr %0, " CHIP_TEXT(CHIP_CYCLES) : "=r"(value));
    return (uint32_t)value;
}
#endif

// Tells the simulator that an event happens right now.
void platform_mark(uint32_t event, uint32_t value);

// Bits of a vector register; 0 without vectors.
uint32_t platform_vlen_bits(void);

// Makes code that was just written into memory visible to instruction fetch (fence.i).
void platform_code_barrier(void);

// Bytes of stack used at the most since start.
uint32_t platform_stack_peak(void);

void platform_fill(void *destination, uint8_t value, size_t count);
// The ranges may not overlap.
void platform_copy(void *destination, const void *source, size_t count);

// From now on [begin, end) is what contained calls may write to, besides their stack and the input; or the
// input.
void platform_set_writable(uint8_t *begin, uint8_t *end);
void platform_set_input(uint8_t *begin, uint8_t *end);

#ifdef __riscv
// That no called function keeps; kernels keep no others either.
#ifdef __riscv_flen
#define FLOAT_REGISTERS                                                                                      \
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "ft8", "ft9", "ft10", "ft11", "fa0", "fa1",      \
        "fa2", "fa3", "fa4", "fa5", "fa6", "fa7",
#else
#define FLOAT_REGISTERS
#endif

// Calls function(first, second, third, room) for code that came with a model: where the chip has means for
// it, without the right to write anywhere but the above, nor to reach devices, and without changing what the
// caller has in registers. What it does else is a trap. `room` are PLATFORM_ROOM_BYTES on its stack, for
// results; *room_after is their address, for a look right after the call. Returns what the function returns.
#define PLATFORM_ROOM_BYTES (64 - __riscv_xlen / 8)
static inline uintptr_t platform_call_contained(uintptr_t function, uintptr_t first, uintptr_t second,
                                                uintptr_t third, const void **room_after) {
    register uintptr_t t0 __asm__("t0") = function;
    register uintptr_t a0 __asm__("a0") = first;
    register uintptr_t a1 __asm__("a1") = second;
    register uintptr_t a2 __asm__("a2") = third;
    __asm__ volatile("call contained_call"
                     : "+r"(t0), "+r"(a0), "+r"(a1), "+r"(a2)
                     :
                     : "ra", "t1", "t2", "t3", "t4", "t5", "t6", "a3", "a4", "a5", "a6", "a7", "s0", "s1",
                       "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11",
                       FLOAT_REGISTERS "memory");
    if (room_after != NULL) *room_after = (const void *)a1;
    return a0;
}
#endif

// The memory between .bss and the stack, 64-byte aligned.
uint8_t *platform_arena(size_t *bytes);

// Of a chip that keeps kernels apart from the arena: their memory, 64-byte aligned, and a copy to there. The
// core may read it and execute from it, not write to it otherwise.
uint8_t *platform_kernels(size_t *bytes);
void platform_place_code(uint8_t *destination, const uint8_t *source, size_t count);

// Runs fn(argument). A failure in it (status.h) ends it, whatever calls are between; then its status comes
// back, and the stack is as it was before. Attempts may be inside others.
typedef void (*attempt_fn)(void *argument);
status_t platform_attempt(attempt_fn fn, void *argument);

// Ends the innermost attempt with a status, which is not STATUS_OK.
_Noreturn void platform_abandon(status_t status);

// An attempt that fails as well when the core traps, when it takes longer than the time limit, and when it
// used more stack than there is. Attempts inside it do not see a trap: it ends them too.
status_t platform_guarded_call(attempt_fn fn, void *argument);

#endif
