// SPDX-License-Identifier: Apache-2.0
// The Springbok chip: PL011 serial port, CLINT timer, counters, traps, vector unit and custom-3 instructions.
// Works on a chip without vectors and without the MARK instruction too: both are probed at boot.
#include <stdbool.h>

#include "../runtime/platform.h"
#include "../service/board.h"

// PL011, fed with 24 MHz.
#define UART_BASE 0x40000000u
enum {
    UART_DR = 0x00,
    UART_FR = 0x18,
    UART_IBRD = 0x24,
    UART_FBRD = 0x28,
    UART_LCR_H = 0x2C,
    UART_CR = 0x30
};
#define UART_FR_BUSY (1u << 3)
#define UART_FR_RXFE (1u << 4)
#define UART_FR_TXFF (1u << 5)
#define UART_FR_RXFF (1u << 6)
#define UART_FR_TXFE (1u << 7)
#define UART_FIFO_BYTES 16u
#define UART_LCR_H_8N1_FIFO 0x70u
#define UART_CR_ENABLE_TX_RX 0x301u

#define CLINT_MTIMECMP_LOW 0x02004000u
#define CLINT_MTIMECMP_HIGH 0x02004004u
#define CLINT_MTIME_LOW 0x0200BFF8u
#define CLINT_MTIME_HIGH 0x0200BFFCu
#define MTIME_MHZ 24u
#define MTIME_TICKS_PER_MS (MTIME_MHZ * 1000u)

// OpenCores' I2C controller, fed with 24 MHz. Its registers are bytes.
#define I2C_BASE 0x40010000u
enum {
    I2C_PRESCALE_LOW = 0x00,
    I2C_PRESCALE_HIGH = 0x04,
    I2C_CONTROL = 0x08,
    I2C_DATA = 0x0C,
    I2C_COMMAND = 0x10,
    I2C_STATUS = 0x10 // for reading
};
#define I2C_PRESCALE 11u // 24 MHz / (5 * (11 + 1)) = 400 kHz
#define I2C_CONTROL_ENABLE 0x80u
#define I2C_START 0x80u
#define I2C_STOP 0x40u
#define I2C_READ 0x20u
#define I2C_WRITE 0x10u
#define I2C_LAST 0x08u // no acknowledgement: the device must not send more
#define I2C_STATUS_NO_ANSWER 0x80u
#define I2C_STATUS_BUSY 0x02u
#define I2C_POLLS 100000u // a byte takes 25 us

#define MIE_TIMER (1u << 7)
#define MSTATUS_MIE (1u << 3)
#define CAUSE_TIMER 0x80000007u

#define CONTROL_BLOCK_INTR_TEST 0x47000008u
#define INTR_INSTRUCTION_FAULT (1u << 2)
#define INTR_DATA_FAULT (1u << 3)

#define STACK_PAINT 0x5ac35ac3u // as in start.S
#define STACK_FENCE_WORDS 256u
#define FINISH_TRAPPED 2 // exit code of a trap outside any request

extern uint8_t __arena_start[], __arena_end[];
extern uint32_t __stack_bottom[], __stack_top[];

// start.S
extern volatile uint32_t trap_skip;
extern volatile uint32_t trap_record[3];
extern volatile uint32_t contained_stack;
_Noreturn void _start(void);
#define TRAPPED UINT32_MAX
_Noreturn void trap_fatal(uint32_t mcause, uint32_t mepc, uint32_t mtval);
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
        uint32_t value_;                                                                                     \
        __asm__ volatile("csrr %0, " csr : "=r"(value_));                                                    \
        value_;                                                                                              \
    })

static uint32_t register_read(uint32_t address) {
    return *(volatile uint32_t *)address;
}

static void register_write(uint32_t address, uint32_t value) {
    *(volatile uint32_t *)address = value;
}

// High and low halves of a running 64-bit count make one value only if no carry came between them.
#define READ_COUNTER(read_high, read_low)                                                                    \
    ({                                                                                                       \
        uint32_t high_, low_;                                                                                \
        do {                                                                                                 \
            high_ = (read_high);                                                                             \
            low_ = (read_low);                                                                               \
        } while (high_ != (read_high));                                                                      \
        (uint64_t)high_ << 32 | low_;                                                                        \
    })

// ---- Boot

static void uart_init(void) {
    register_write(UART_BASE + UART_CR, 0); // the divisors may only change while it is off
    register_write(UART_BASE + UART_IBRD, 13);
    register_write(UART_BASE + UART_FBRD, 1); // 24 MHz / (16 * (13 + 1/64)) = 115246 baud
    register_write(UART_BASE + UART_LCR_H, UART_LCR_H_8N1_FIFO);
    register_write(UART_BASE + UART_CR, UART_CR_ENABLE_TX_RX);
}

// Between the two, instructions that trap are skipped. Returns whether none did.
static void probe_begin(void) {
    trap_skip = 1;
}

static bool probe_end(void) {
    bool none = trap_skip == 1;
    trap_skip = 0;
    return none;
}

// vlenb alone does not prove vectors: some cores have it without the unit. So an instruction of the unit,
// vsetvli, is tried as well.
static void probe_vectors(void) {
    uint32_t vlenb = 0;
    probe_begin();
    __asm__ volatile("csrr %0, 0xc22" : "+r"(vlenb));
    vector_configure();
    if (!probe_end()) return;
    vlen_bits = vlenb * 8;
    elen_bits = vector_elen_bits();
}

static void mark(uint32_t event, uint32_t value) {
    __asm__ volatile(".insn r 0x7b, 4, 0, x0, %0, %1" ::"r"(event), "r"(value) : "memory");
}

static void probe_marks(void) {
    probe_begin();
    mark(0, 0);
    marks_work = probe_end();
}

// ---- Containment: kernels run in user mode. Physical memory protection (PMP) lets them write to their stack
// and to the tensors, and read and execute the rest of both memories; nothing else.

#define PMP_READ 1u
#define PMP_WRITE 2u
#define PMP_EXECUTE 4u
#define PMP_TOR (1u << 3)   // from the entry before to this one
#define PMP_NAPOT (3u << 3) // a power of two
#define PMP_WHOLE(base, bytes) ((base) >> 2 | ((bytes) / 8 - 1))
#define COUNTERS 5u // cycle and instret
#define CAUSE_STORE_FAULT 7u

#define WRITE_CSR(csr, value) __asm__ volatile("csrw " csr ", %0" ::"r"(value))

// Where the registers are missing, writing to them would trap.
void platform_set_writable(uint8_t *begin, uint8_t *end) {
    if (!contains) return;
    WRITE_CSR("pmpaddr2", (uint32_t)begin >> 2);
    WRITE_CSR("pmpaddr3", (uint32_t)end >> 2);
}

void platform_set_input(uint8_t *begin, uint8_t *end) {
    if (!contains) return;
    WRITE_CSR("pmpaddr4", (uint32_t)begin >> 2);
    WRITE_CSR("pmpaddr5", ((uint32_t)end + 3) >> 2);
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
    probe_begin();
    WRITE_CSR("scounteren", COUNTERS); // where there is a supervisor mode
    probe_begin();
    WRITE_CSR("mcounteren", COUNTERS);
    WRITE_CSR("pmpaddr0", (uint32_t)__stack_bottom >> 2);
    WRITE_CSR("pmpaddr6", PMP_WHOLE(0x34000000u, 0x1000000u));
    WRITE_CSR("pmpaddr7", PMP_WHOLE(0x32000000u, 0x100000u));
    WRITE_CSR("pmpcfg0", (PMP_TOR | PMP_READ | PMP_WRITE) * 0x01000100u);
    WRITE_CSR("pmpcfg1",
              (PMP_TOR | PMP_READ | PMP_WRITE) << 8 | (PMP_NAPOT | PMP_READ | PMP_EXECUTE) * 0x01010000u);
    if (!probe_end()) return;
    contained_stack = 1; // none yet
    contains = true;
    status_t status = platform_attempt(try_to_overstep, NULL);
    contains =
        status == TRAPPED && trap_record[0] == CAUSE_STORE_FAULT && trap_record[2] == (uint32_t)&contains;
    if (!contains) contained_stack = 0;
}

void board_init(void) {
    probe_vectors();
    probe_marks();
    probe_containment();
    uart_init();
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

// ---- Serial port

// A full FIFO is read without asking again before each byte.
uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity) {
    uint32_t flags = register_read(UART_BASE + UART_FR);
    if (flags & UART_FR_RXFE) return 0;
    uint32_t count = flags & UART_FR_RXFF ? UART_FIFO_BYTES : 1;
    if (count > capacity) count = capacity;
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)register_read(UART_BASE + UART_DR);
    return count;
}

// An empty FIFO is filled without asking again before each byte.
void platform_uart_write(const uint8_t *bytes, size_t count) {
    for (uint32_t room = 0; count > 0; count--, room--) {
        while (room == 0) {
            uint32_t flags = register_read(UART_BASE + UART_FR);
            room = flags & UART_FR_TXFE ? UART_FIFO_BYTES : flags & UART_FR_TXFF ? 0 : 1;
        }
        register_write(UART_BASE + UART_DR, *bytes++);
    }
}

// ---- I2C

static uint32_t i2c_get(uint32_t offset) {
    return *(volatile uint8_t *)(I2C_BASE + offset);
}

static void i2c_set(uint32_t offset, uint32_t value) {
    *(volatile uint8_t *)(I2C_BASE + offset) = (uint8_t)value;
}

bool board_i2c_open(void) {
    probe_begin();
    i2c_get(I2C_CONTROL);
    if (!probe_end()) return false;
    i2c_set(I2C_PRESCALE_LOW, I2C_PRESCALE);
    i2c_set(I2C_PRESCALE_HIGH, 0);
    i2c_set(I2C_CONTROL, I2C_CONTROL_ENABLE);
    return i2c_get(I2C_CONTROL) == I2C_CONTROL_ENABLE;
}

// Executes a command; false if no device acknowledges `byte`.
static bool i2c_command(uint32_t command, uint32_t byte) {
    uint32_t status, polls = I2C_POLLS;
    i2c_set(I2C_DATA, byte);
    i2c_set(I2C_COMMAND, command);
    do
        status = i2c_get(I2C_STATUS);
    while ((status & I2C_STATUS_BUSY) != 0 && --polls != 0);
    return (status & (I2C_STATUS_BUSY | I2C_STATUS_NO_ANSWER)) == 0;
}

// Addresses a register of a device. Without an answer the bus is free again.
static bool i2c_address(uint32_t device, uint32_t place) {
    if (i2c_command(I2C_START | I2C_WRITE, device << 1) && i2c_command(I2C_WRITE, place)) return true;
    i2c_command(I2C_STOP, 0);
    return false;
}

bool board_i2c_read(uint32_t device, uint32_t from, uint8_t *bytes, uint32_t count) {
    if (!i2c_address(device, from)) return false;
    i2c_command(I2C_START | I2C_WRITE, device << 1 | 1);
    while (count-- != 0) {
        i2c_command(count != 0 ? I2C_READ : I2C_READ | I2C_LAST | I2C_STOP, 0);
        *bytes++ = (uint8_t)i2c_get(I2C_DATA);
    }
    return true;
}

bool board_i2c_write(uint32_t device, uint32_t to, uint8_t value) {
    return i2c_address(device, to) && i2c_command(I2C_WRITE | I2C_STOP, value);
}

// ---- Time and counters

static uint64_t read_ticks(void) {
    return READ_COUNTER(register_read(CLINT_MTIME_HIGH), register_read(CLINT_MTIME_LOW));
}

uint64_t platform_time_us(void) {
    return read_ticks() / MTIME_MHZ;
}

uint64_t platform_instructions(void) {
    return READ_COUNTER(READ_CSR("minstreth"), READ_CSR("minstret"));
}

uint64_t platform_cycles(void) {
    return READ_COUNTER(READ_CSR("mcycleh"), READ_CSR("mcycle"));
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
    time_limit = (uint64_t)milliseconds * MTIME_TICKS_PER_MS;
}

static void set_alarm(uint64_t ticks) {
    register_write(CLINT_MTIMECMP_HIGH, 0xFFFFFFFFu); // so that no half-written value rings
    register_write(CLINT_MTIMECMP_LOW, (uint32_t)ticks);
    register_write(CLINT_MTIMECMP_HIGH, (uint32_t)(ticks >> 32));
}

status_t platform_guarded_call(attempt_fn fn, void *argument) {
    set_alarm(read_ticks() + time_limit);
    __asm__ volatile("csrs mie, %0" ::"r"(MIE_TIMER));
    __asm__ volatile("csrs mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
    status_t status = platform_attempt(fn, argument);
    __asm__ volatile("csrc mstatus, %0" ::"r"(MSTATUS_MIE) : "memory");
    if (status == TRAPPED && trap_record[0] == CAUSE_TIMER)
        return status_report(REASON(TIME_LIMIT, (uint32_t)(time_limit / MTIME_TICKS_PER_MS), trap_record[1]));
    if (stack_overflowed()) return status_report(REASON(STACK_OVERFLOW, board_stack_bytes()));
    if (status == TRAPPED) return status_report(REASON(TRAP, trap_record[0], trap_record[1], trap_record[2]));
    return status;
}

_Noreturn void board_restart(void) {
    while (register_read(UART_BASE + UART_FR) & UART_FR_BUSY) {
    }
    _start();
}

// simprint: rd is the level (0 = error), rs1 the text, rs2 a number.
static void print(const char *text, uint32_t number) {
    __asm__ volatile(".insn r 0x7b, 0, 0, x0, %0, %1" ::"r"(text), "r"(number) : "memory");
}

// Called by start.S on a trap outside any guarded call: says so, raises the fault interrupt and stops the
// core. Where the simulator's instructions or the control block are missing, start.S skips what traps here.
_Noreturn void trap_fatal(uint32_t mcause, uint32_t mepc, uint32_t mtval) {
    print("firmware trapped, mcause", mcause);
    print("mepc", mepc);
    print("mtval", mtval);
    register_write(CONTROL_BLOCK_INTR_TEST, mcause <= 2 ? INTR_INSTRUCTION_FAULT : INTR_DATA_FAULT);
    __asm__ volatile(".insn r 0x7b, 3, 0, x0, %0, x0" ::"r"(FINISH_TRAPPED)); // finish
    for (;;)
        __asm__ volatile("wfi");
}
