// SPDX-License-Identifier: Apache-2.0
// What a chip runs where the runtime does not fit: one dispatch at a time, which a host has placed in its
// memories. The host writes the request and all that it points to, starts the core, and reads results when
// the core has halted. Marks are the runtime's, so that simulators count alike.
#include "../runtime/library.h"
#include "../runtime/platform.h"

#define MSTATUS_FS_VS 0x2200u // both units "initial": on

enum { TRAPPED = 0x100 }; // a kernel's own results are below

// measuring/kernels_alone.py writes it in this form.
typedef struct {
    dispatch_state_t state;
    workgroup_state_t workgroup; // of the first; then the one that runs, or that failed
    library_environment_t environment;
    word_t function; // address; 0 is nothing to do
    word_t code_begin, code_end;
    uint32_t number;
    uint32_t result;
    word_t mcause, mepc, mtval;
} request_t;

extern request_t __arena_start;
#define REQUEST (&__arena_start)

_Noreturn void _start(void);

INLINE void mark(uint32_t event, uint32_t value) {
    __asm__ volatile(CHIP_MARK("%0", "%1")::"r"(event), "r"(value) : "memory");
}

// Nothing is known of registers: begins anew with the stack and what addresses are relative to.
#define GO_ON_WITH(function)                                                                                 \
    __asm__ volatile(".option push\n"                                                                        \
                     ".option norelax\n"                                                                     \
                     "la gp, __global_pointer$\n"                                                            \
                     ".option pop\n"                                                                         \
                     "la sp, __stack_top\n"                                                                  \
                     "j " function)

// A trap of the kernel's: says which, and halts.
__attribute__((naked, aligned(4))) static void trapped(void) {
    GO_ON_WITH("report_trap");
}

__attribute__((noreturn, used)) void report_trap(void) {
    __asm__ volatile("csrr %0, mcause" : "=r"(REQUEST->mcause));
    __asm__ volatile("csrr %0, mepc" : "=r"(REQUEST->mepc));
    __asm__ volatile("csrr %0, mtval" : "=r"(REQUEST->mtval));
    REQUEST->result = TRAPPED;
    CHIP_FINISH(0);
    _start();
}

typedef int (*kernel_t)(const library_environment_t *, const dispatch_state_t *, const workgroup_state_t *);

static int run_workgroups(request_t *request) {
    kernel_t kernel = (kernel_t)(uintptr_t)request->function;
    workgroup_state_t *workgroup = &request->workgroup;
    for (uint32_t z = 0; z < request->state.workgroup_count_z; z++)
        for (uint32_t y = 0; y < request->state.workgroup_count_y; y++)
            for (uint32_t x = 0; x < request->state.workgroup_count_x; x++) {
                workgroup->x = x;
                workgroup->y = y;
                workgroup->z = (uint16_t)z;
                int result = kernel(&request->environment, &request->state, workgroup);
                if (result != 0) return result;
            }
    return 0;
}

__attribute__((noreturn, used)) void serve(void) {
    request_t *request = REQUEST;
    __asm__ volatile("csrw mtvec, %0" ::"r"(trapped));
    __asm__ volatile("csrs mstatus, %0" ::"r"(MSTATUS_FS_VS));
    if (request->function != 0) {
        __asm__ volatile("fence.i" ::: "memory");
        mark(MARK_LOAD_BEGIN, 0);
        mark(MARK_KERNELS_BEGIN, request->code_begin);
        mark(MARK_KERNELS_END, request->code_end);
        mark(MARK_LOAD_END, 0);
        mark(MARK_INFERENCE_BEGIN, 0);
        mark(MARK_DISPATCH_BEGIN, request->number);
        int result = run_workgroups(request);
        mark(MARK_DISPATCH_END, request->number);
        mark(MARK_INFERENCE_END, 0);
        request->result = (uint32_t)result;
    }
    CHIP_FINISH(0);
    _start();
}

// A core that was halted comes back here by a reset, or goes on behind its halt: it is the same.
__attribute__((naked, section(".text.start"))) _Noreturn void _start(void) {
    GO_ON_WITH("serve");
}
