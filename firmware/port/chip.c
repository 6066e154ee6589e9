// SPDX-License-Identifier: Apache-2.0
// The chip: counters, traps, vector unit, containment and the simulator's instructions. What differs from
// chip to chip is in chip.h, which is generated from the chip's description; devices have drivers of their
// own. Works on a chip without vectors and without the mark instruction too: both are probed at boot.
#include "devices.h"

#define MIE_TIMER (1u << 7)
#ifdef CHIP_SOFTWARE_INTERRUPTS
#define MIE_OF_CALL (MIE_TIMER | 1u << 3) // the handler in start.S answers them
#else
#define MIE_OF_CALL MIE_TIMER
#endif
#define MSTATUS_MIE (1u << 3)
#define CAUSE_TIMER ((uintptr_t)1 << (CHIP_XLEN - 1) | 7u)

#define TICKS_PER_MS (CHIP_TIMER_FREQUENCY_HZ / 1000)

#define STACK_PAINT 0x5ac35ac3u // as in start.S
#define STACK_FENCE_WORDS 256u
#define FINISH_TRAPPED 2 // exit code of a trap outside any request

extern uint8_t __arena_start[], __arena_end[];
extern uint32_t __stack_bottom[], __stack_top[];

// start.S
extern volatile uint32_t trap_skip;
extern volatile uintptr_t trap_record[3];
extern volatile uintptr_t contained_stack;
_Noreturn void _start(void);
#define TRAPPED UINT32_MAX
_Noreturn void trap_fatal(uintptr_t mcause, uintptr_t mepc, uintptr_t mtval);
void vector_copy(void *destination, const void *source, size_t count);
void vector_fill(void *destination, uint8_t value, size_t count);
void vector_configure(void);
uint32_t vector_elen_bits(void);

static uint32_t vlen_bits;
static uint32_t elen_bits;
static bool marks_work;
static bool contains;       // kernels
static uint64_t time_limit; // of a guarded call, in ticks

#define READ_CSR(csr)                                                                                        \
    ({                                                                                                       \
        uintptr_t value_;                                                                                    \
        __asm__ volatile("csrr %0, " csr : "=r"(value_));                                                    \
        value_;                                                                                              \
    })

#if CHIP_XLEN == 64
#define READ_WIDE_CSR(csr) READ_CSR(csr)
#else
#define READ_WIDE_CSR(csr) READ_COUNTER(READ_CSR(csr "h"), READ_CSR(csr))
#endif

// ---- Boot

void board_probe_begin(void) {
    trap_skip = 1;
}

bool board_probe_end(void) {
    bool none = trap_skip == 1;
    trap_skip = 0;
    return none;
}

// vlenb alone does not prove vectors: some cores have it without the unit. So an instruction of the unit,
// vsetvli, is tried as well.
static void probe_vectors(void) {
    uint32_t vlenb = 0;
    board_probe_begin();
    __asm__ volatile("csrr %0, 0xc22" : "+r"(vlenb));
    vector_configure();
    if (!board_probe_end()) return;
    vlen_bits = vlenb * 8;
    elen_bits = vector_elen_bits();
}

static void mark(uint32_t event, uint32_t value) {
    __asm__ volatile(CHIP_MARK("%0", "%1")::"r"(event), "r"(value) : "memory");
}

static void probe_marks(void) {
    board_probe_begin();
    mark(0, 0);
    marks_work = board_probe_end();
}

// ---- Containment: kernels run in user mode. Physical memory protection (PMP) lets them write to their stack
// and to the tensors, and read and execute the rest of both memories; nothing else.

#define PMP_READ 1u
#define PMP_WRITE 2u
#define PMP_EXECUTE 4u
#define PMP_TOR (1u << 3)   // from the entry before to this one
#define PMP_NAPOT (3u << 3) // a power of two
#define PMP_WHOLE(base, bytes) ((base) >> 2 | ((bytes) / 8 - 1))
#define PMP_ENTRIES_0_TO_3 ((PMP_TOR | PMP_READ | PMP_WRITE) * 0x01000100u)
#define PMP_ENTRIES_4_TO_7                                                                                   \
    ((PMP_TOR | PMP_READ | PMP_WRITE) << 8 | (PMP_NAPOT | PMP_READ | PMP_EXECUTE) * 0x01010000u)
#define COUNTERS 5u // cycle and instret
#define CAUSE_STORE_FAULT 7u

#define WRITE_CSR(csr, value) __asm__ volatile("csrw " csr ", %0" ::"r"(value))

// Where the registers are missing, writing to them would trap.
void platform_set_writable(uint8_t *begin, uint8_t *end) {
    if (!contains) return;
    WRITE_CSR("pmpaddr2", (uintptr_t)begin >> 2);
    WRITE_CSR("pmpaddr3", (uintptr_t)end >> 2);
}

void platform_set_input(uint8_t *begin, uint8_t *end) {
    if (!contains) return;
    WRITE_CSR("pmpaddr4", (uintptr_t)begin >> 2);
    WRITE_CSR("pmpaddr5", ((uintptr_t)end + 3) >> 2);
}

// Contained: reads what kernels' calls read, then does what no kernel may. `contains` is not false by
// accident when it is done.
static void overstep(void) {
    platform_instructions_low();
    platform_cycles_low();
    contains = false;
}

static void try_to_overstep(void *unused) {
    (void)unused;
    platform_call_contained((uintptr_t)overstep, 0, 0, 0, NULL);
}

// Containment is on if all registers are there and a contained store to where it may not go traps.
static void probe_containment(void) {
    board_probe_begin();
    WRITE_CSR("scounteren", COUNTERS); // where there is a supervisor mode
    board_probe_begin();
    WRITE_CSR("mcounteren", COUNTERS);
    WRITE_CSR("pmpaddr0", (uintptr_t)__stack_bottom >> 2);
    WRITE_CSR("pmpaddr6", PMP_WHOLE(CHIP_DATA_BASE, CHIP_DATA_BYTES));
    WRITE_CSR("pmpaddr7", PMP_WHOLE(CHIP_CODE_BASE, CHIP_CODE_BYTES));
#if CHIP_XLEN == 64
    WRITE_CSR("pmpcfg0", (uint64_t)PMP_ENTRIES_4_TO_7 << 32 | PMP_ENTRIES_0_TO_3);
#else
    WRITE_CSR("pmpcfg0", PMP_ENTRIES_0_TO_3);
    WRITE_CSR("pmpcfg1", PMP_ENTRIES_4_TO_7);
#endif
    if (!board_probe_end()) return;
    contained_stack = 1; // none yet
    contains = true;
    status_t status = platform_attempt(try_to_overstep, NULL);
    contains =
        status == TRAPPED && trap_record[0] == CAUSE_STORE_FAULT && trap_record[2] == (uintptr_t)&contains;
    if (!contains) contained_stack = 0;
}

void board_init(void) {
    probe_vectors();
    probe_marks();
    probe_containment();
    uart_open();
}

uint32_t board_elen_bits(void) {
    return elen_bits;
}

bool board_marks(void) {
    return marks_work;
}

bool board_contains(void) {
    return contains;
}

// ---- Time and counters

uint64_t platform_time_us(void) {
    return timer_ticks() / (CHIP_TIMER_FREQUENCY_HZ / 1000000);
}

uint64_t platform_instructions(void) {
    return READ_WIDE_CSR("minstret");
}

uint64_t platform_cycles(void) {
    return READ_WIDE_CSR("mcycle");
}

void platform_mark(uint32_t event, uint32_t value) {
    if (marks_work) mark(event, value);
}

uint32_t platform_vlen_bits(void) {
    return vlen_bits;
}

// ---- Memory

void platform_code_barrier(void) {
    __asm__ volatile("fence.i" ::: "memory");
}

uint32_t platform_stack_peak(void) {
    const volatile uint32_t *lowest = __stack_bottom;
    while (lowest < __stack_top && *lowest == STACK_PAINT)
        lowest++;
    return (uint32_t)((uintptr_t)__stack_top - (uintptr_t)lowest);
}

void platform_fill(void *destination, uint8_t value, size_t count) {
    if (vlen_bits != 0)
        vector_fill(destination, value, count);
    else
        __builtin_memset(destination, value, count);
}

void platform_copy(void *destination, const void *source, size_t count) {
    if (vlen_bits != 0)
        vector_copy(destination, source, count);
    else
        __builtin_memcpy(destination, source, count);
}

uint32_t board_stack_bytes(void) {
    return (uint32_t)((uintptr_t)__stack_top - (uintptr_t)__stack_bottom);
}

uint8_t *platform_arena(size_t *bytes) {
    *bytes = (size_t)(__arena_end - __arena_start);
    return __arena_start;
}

#if CHIP_KERNELS_APART
extern uint8_t __kernels_start[], __kernels_end[];

uint8_t *platform_kernels(size_t *bytes) {
    *bytes = (size_t)(__kernels_end - __kernels_start);
    return __kernels_start;
}

void platform_place_code(uint8_t *destination, const uint8_t *source, size_t count) {
#if CHIP_HOST_PLACES_CODE
    host_places_code((uintptr_t)destination, source, count);
#else
    platform_copy(destination, source, count);
#endif
}
#endif

// ---- Traps

// The lowest part of the stack is a fence: nothing may have written there. It is mended for the next call.
static bool stack_overflowed(void) {
    bool overflowed = false;
    for (uint32_t i = 0; i < STACK_FENCE_WORDS; i++) {
        overflowed |= __stack_bottom[i] != STACK_PAINT;
        __stack_bottom[i] = STACK_PAINT;
    }
    return overflowed;
}

void board_set_time_limit(uint32_t milliseconds) {
    time_limit = (uint64_t)milliseconds * TICKS_PER_MS;
}

status_t platform_guarded_call(attempt_fn fn, void *argument) {
    timer_set_alarm(timer_ticks() + time_limit);
    __asm__ volatile("csrs mie, %0" ::"r"(MIE_OF_CALL));
    __asm__ volatile("csrs mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
    status_t status = platform_attempt(fn, argument);
    __asm__ volatile("csrc mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
    if (status == TRAPPED && trap_record[0] == CAUSE_TIMER)
        return status_report(
            REASON(TIME_LIMIT, (uint32_t)(time_limit / TICKS_PER_MS), (uint32_t)trap_record[1]));
    if (stack_overflowed()) return status_report(REASON(STACK_OVERFLOW, board_stack_bytes()));
    if (status == TRAPPED)
        return status_report(
            REASON(TRAP, (uint32_t)trap_record[0], (uint32_t)trap_record[1], (uint32_t)trap_record[2]));
    return status;
}

_Noreturn void board_restart(void) {
    uart_drain();
    _start();
}

// Called by start.S on a trap outside any guarded call: says so, tells the host and stops the core. Where the
// simulator's instructions or the control block are missing, start.S skips what traps here.
_Noreturn void trap_fatal(uintptr_t mcause, uintptr_t mepc, uintptr_t mtval) {
    CHIP_PRINT("firmware trapped, mcause", (uint32_t)mcause);
    CHIP_PRINT("mepc", (uint32_t)mepc);
    CHIP_PRINT("mtval", (uint32_t)mtval);
    control_report_trap((uint32_t)mcause);
    CHIP_FINISH(FINISH_TRAPPED);
    for (;;)
        __asm__ volatile("wfi");
}

// ---- Services that this chip has no device for

#ifndef CHIP_CONTROL_BASE
void control_report_trap(uint32_t mcause) {
    (void)mcause;
}
#endif

#ifndef CHIP_TIMER_BASE
// The core's own cycles tell the time; nothing interrupts.
uint64_t timer_ticks(void) {
    return platform_cycles();
}

void timer_set_alarm(uint64_t ticks) {
    (void)ticks;
}
#endif

#ifndef CHIP_I2C_BASE
bool board_i2c_open(void) {
    return false;
}

bool board_i2c_read(uint32_t device, uint32_t from, uint8_t *bytes, uint32_t count) {
    (void)device, (void)from, (void)bytes, (void)count;
    return false;
}

bool board_i2c_write(uint32_t device, uint32_t to, uint8_t value) {
    (void)device, (void)to, (void)value;
    return false;
}
#endif
