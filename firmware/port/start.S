// SPDX-License-Identifier: Apache-2.0
// Reset, traps and attempts, on a core of 32 or 64 bits.
//
// A trap ends in one of four ways:
//   - a kernel's call has ended (contained_exit): contained_call returns;
//   - a probe (trap_skip is set): the instruction is skipped, trap_skip is another number than 1 from then on;
//   - inside platform_attempt: the outermost one returns TRAPPED, and so it does when the timer interrupts;
//   - otherwise: trap_fatal() reports it and stops the core.
//
// mscratch is 0 while the core is in machine mode, and the stack pointer to come back to while it runs a kernel in
// user mode. The previous mode in mstatus is user mode whenever no trap is being dealt with: each mret leaves it so.

#include "chip.h"

#define MSTATUS_FS_VS 0x2200 // both units "initial": on
#define MSTATUS_MPP 0x1800
#define MSTATUS_MIE 8

// A register's width, in memory: of a core of 32 or 64 bits, with floating-point registers of 32 or 64 bits or none.
#define REG (__riscv_xlen / 8)
#if __riscv_xlen == 64
#define REG_S sd
#define REG_L ld
#define COUNT_L lwu // a count of 32 bits without a sign
#else
#define REG_S sw
#define REG_L lw
#define COUNT_L lw
#endif
#ifndef __riscv_flen
#define FREG 0
#elif __riscv_flen == 64
#define FREG 8
#define FREG_S fsd
#define FREG_L fld
#else
#define FREG 4
#define FREG_S fsw
#define FREG_L flw
#endif

// Layout of an attempt's frame on the stack, 16-byte aligned.
#if __riscv_xlen == 64
#define FRAME_BYTES 208
#elif FREG == 8
#define FRAME_BYTES 160
#else
#define FRAME_BYTES 128
#endif
#define FRAME_RA 0
#define FRAME_S REG
#if __riscv_xlen == 32 && FREG == 8
#define FRAME_FS 56 // doubles lie at multiples of 8, as the core may want them
#else
#define FRAME_FS (13 * REG)
#endif
#define FRAME_PREVIOUS (FRAME_FS + 12 * FREG)

// Structures of library.h and dispatch.c, and events of platform.h.
#if __riscv_xlen == 64
#define LIBRARY_LOCAL_MEMORY 48
#define EXPORT_FUNCTION 48
#define RUN_INSTRUCTIONS 32
#else
#define LIBRARY_LOCAL_MEMORY 28
#define EXPORT_FUNCTION 36
#define RUN_INSTRUCTIONS 24
#endif
#define RUN_CYCLES (RUN_INSTRUCTIONS + 4)
#define RUN_RETURN (RUN_INSTRUCTIONS + 8)
#define STATE_COUNT_X 12
#define STATE_COUNT_Y 16
#define STATE_COUNT_Z 20
#define WORKGROUP_X 0
#define WORKGROUP_Y 4
#define WORKGROUP_Z 8
#define WORKGROUP_PROCESSOR 12
#define WORKGROUP_LOCAL_MEMORY 16
#define MARK_DISPATCH_BEGIN 3
#define MARK_DISPATCH_END 4

#define TRAPPED -1 // what no failure is

// What mtvec is set to.
#ifndef CHIP_VECTORED
#define trap_vectors trap_entry
#define skip_vectors skip_entry
#endif

// Layout of a contained call's frame: room for results, of which its function may write to all below the return
// address.
#define CONTAINED_BYTES 64
#define CONTAINED_RA (CONTAINED_BYTES - REG)

    .option norvc
    .option norelax // gp may be anything when a trap comes

    .macro function name, section
    .section \section, "ax"
    .globl  \name
    .type   \name, @function
\name:
    .endm

    // op is the store or load; each register has its own place in the frame.
    .macro saved_registers op, fop
    \op     ra, FRAME_RA(sp)
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    \op     s\n, FRAME_S + REG * \n(sp)
#ifdef __riscv_flen
    \fop    fs\n, FRAME_FS + FREG * \n(sp)
#endif
    .endr
    .endm

    .macro clear_float_status
#ifdef __riscv_flen
    csrw    fcsr, zero
#endif
    .endm

    function _start, .text.start
    la      gp, __global_pointer$
    la      sp, __stack_top
    la      t0, trap_vectors
    csrw    mtvec, t0
    csrw    mie, zero
    csrw    mscratch, zero
#ifdef CHIP_COUNTERS_STOPPED
    csrw    mcountinhibit, zero
#endif
    li      t0, MSTATUS_MPP
    csrc    mstatus, t0
    li      t0, MSTATUS_FS_VS
    csrs    mstatus, t0
    clear_float_status

    la      t0, __bss_start
    la      t1, __bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b

    // Paint the stack, so that its peak can be read off later.
2:  la      t0, __stack_bottom
    li      t1, 0x5ac35ac3
3:  sw      t1, 0(t0)
    addi    t0, t0, 4
    bltu    t0, sp, 3b

    tail    main

    // The end of what trapped: nothing below returns to where the trap came from, so all registers are free.
end_attempt:
    la      gp, __global_pointer$
    csrw    mscratch, zero
    li      t0, MSTATUS_MPP
    csrc    mstatus, t0
    li      t0, MSTATUS_FS_VS
    csrs    mstatus, t0
    clear_float_status
    la      t0, trap_record
    csrr    a0, mcause
    csrr    a1, mepc
    csrr    a2, mtval
    REG_S   a0, 0(t0)
    REG_S   a1, REG(t0)
    REG_S   a2, 2 * REG(t0)
    la      t0, attempt_frame
    REG_L   sp, 0(t0)
    beqz    sp, 3f
    li      a0, TRAPPED
4:  REG_L   t1, FRAME_PREVIOUS(sp)
    beqz    t1, leave_attempt
    mv      sp, t1
    j       4b

    // From here on every trap is skipped: the report must not trap for ever.
3:  la      t0, skip_vectors
    csrw    mtvec, t0
    la      sp, __stack_top
    tail    trap_fatal

    // A trap vector is aligned to 64 bytes at least: mtvec's low bits are its mode.
    .balign 64
trap_entry:
    csrrw   sp, mscratch, sp
    bnez    sp, from_user
    csrrw   sp, mscratch, t0
    csrr    t0, mcause
    bgez    t0, 1f
#ifdef CHIP_SOFTWARE_INTERRUPTS
    andi    t0, t0, 4 // the timer's is 7, this one 3
    bnez    t0, 5f
    li      t0, CHIP_TIMER_BASE
    sw      zero, 0(t0) // msip
    lw      zero, 0(t0) // it is cleared when this has come back
    csrrw   t0, mscratch, zero
    mret
5:
#endif
    la      t0, attempt_frame
    REG_L   t0, 0(t0)
    bnez    t0, end_attempt
    csrw    mie, zero // the alarm rang just before or after the call that it was set for
    csrrw   t0, mscratch, zero
    mret

1:  la      t0, trap_skip
    lw      t0, 0(t0)
    beqz    t0, end_attempt
    la      t0, trap_skip
    sw      t0, 0(t0)
    csrr    t0, mscratch
    j       skip_entry

from_user: // its registers are of no use any more
    la      gp, __global_pointer$
    csrw    mscratch, zero
    clear_float_status
    csrr    t0, mepc
    la      t1, contained_exit
    bne     t0, t1, end_attempt
    csrsi   mstatus, MSTATUS_MIE
    j       contained_return

    .balign 64
skip_entry:
    csrw    mscratch, t0
    csrr    t0, mepc
    addi    t0, t0, 4
    csrw    mepc, t0
    csrrw   t0, mscratch, zero
    mret

    // _Noreturn void platform_abandon(status_t status)
    function platform_abandon, .text.platform_attempt
    la      t0, attempt_frame
    REG_L   sp, 0(t0)
    j       leave_attempt

    // status_t platform_attempt(void (*fn)(void *), void *argument): STATUS_OK, a failure, or TRAPPED.
    .globl  platform_attempt
    .type   platform_attempt, @function
platform_attempt:
    addi    sp, sp, -FRAME_BYTES
    saved_registers REG_S, FREG_S
    la      t0, attempt_frame
    REG_L   t1, 0(t0)
    REG_S   t1, FRAME_PREVIOUS(sp)
    REG_S   sp, 0(t0)
    mv      t2, a0
    mv      a0, a1
    jalr    t2
    li      a0, 0
leave_attempt:
    REG_L   t1, FRAME_PREVIOUS(sp)
    la      t0, attempt_frame
    REG_S   t1, 0(t0)
    saved_registers REG_L, FREG_L
    addi    sp, sp, FRAME_BYTES
    ret

    // The asm of platform_call_contained(): t0 is the function, a0 to a2 are its arguments, behind which it
    // gets the room for its results. Returns its result in a0 and the address of that room in a1. No register but sp
    // and gp is kept.
    .option push
    .option relax
    function contained_call, .text.contained_call
    addi    sp, sp, -CONTAINED_BYTES
    REG_S   ra, CONTAINED_RA(sp)
    mv      a3, sp
    REG_L   t1, contained_stack
    beqz    t1, 2f
    addi    t2, sp, CONTAINED_RA
    beq     t1, t2, 1f
    REG_S   t2, contained_stack, t1 // the stack's end moves to where this call's begins
    srli    t2, t2, 2
    csrw    pmpaddr1, t2
1:  csrw    mepc, t0
    la      ra, contained_exit
    csrw    mscratch, sp
    mret
2:  jalr    t0
contained_return:
    mv      a1, sp
    REG_L   ra, CONTAINED_RA(sp)
    addi    sp, sp, CONTAINED_BYTES
    ret
contained_exit:
    ecall

    // int contained_run(const library_t *library, const export_t *entry, uint32_t number, run_t *run), dispatch.c
    function contained_run, .text.contained_run
    REG_L   t0, LIBRARY_LOCAL_MEMORY(a0)
    lw      t1, LIBRARY_LOCAL_MEMORY + REG(a0)
    sw      zero, WORKGROUP_Z(a3)
    sw      zero, WORKGROUP_PROCESSOR(a3)
    REG_S   t0, WORKGROUP_LOCAL_MEMORY(a3)
    sw      t1, WORKGROUP_LOCAL_MEMORY + REG(a3)
    REG_S   ra, RUN_RETURN(a3)
    mv      s0, a3
    mv      s1, a1
    mv      s2, a2
    COUNT_L s3, STATE_COUNT_X(a1)
    COUNT_L s4, STATE_COUNT_Y(a1)
    lhu     s5, STATE_COUNT_Z(a1)
    REG_L   s6, EXPORT_FUNCTION(a1)
    li      a0, MARK_DISPATCH_BEGIN
    mv      a1, a2
    call    platform_mark
    csrr    s8, CHIP_INSTRUCTIONS
    csrr    s9, CHIP_CYCLES
    li      a0, 0
    li      s7, 0 // z
1:  bgeu    s7, s5, 5f
    sh      s7, WORKGROUP_Z(s0)
    li      s10, 0 // y
2:  bgeu    s10, s4, 4f
    sw      s10, WORKGROUP_Y(s0)
    li      s11, 0 // x
3:  bgeu    s11, s3, 6f
    sw      s11, WORKGROUP_X(s0)
    la      a0, library_environment
    mv      a1, s1
    mv      a2, s0
    jalr    s6
    addi    s11, s11, 1
    beqz    a0, 3b
5:  csrr    t0, CHIP_CYCLES
    csrr    t1, CHIP_INSTRUCTIONS
    sub     t0, t0, s9
    sub     t1, t1, s8
    sw      t0, RUN_CYCLES(s0)
    sw      t1, RUN_INSTRUCTIONS(s0)
    mv      s1, a0
    li      a0, MARK_DISPATCH_END
    mv      a1, s2
    call    platform_mark
    mv      a0, s1
    REG_L   ra, RUN_RETURN(s0)
    ret
6:  addi    s10, s10, 1
    j       2b
4:  addi    s7, s7, 1
    j       1b
    .option pop

    // void vector_copy(void *destination, const void *source, size_t count)
    .option arch, +zve32x
    function vector_copy, .text.vector_copy
    beqz    a2, 2f
1:  vsetvli t0, a2, e8, m8, ta, ma
    vle8.v  v0, (a1)
    add     a1, a1, t0
    sub     a2, a2, t0
    vse8.v  v0, (a0)
    add     a0, a0, t0
    bnez    a2, 1b
2:  ret

    // void vector_fill(void *destination, uint8_t value, size_t count)
    function vector_fill, .text.vector_fill
    vsetvli t0, zero, e8, m8, ta, ma
    vmv.v.x v0, a1
    add     a3, a0, a2
    sub     t1, a3, t0 // the last place that has room for a whole group
    bltu    t1, a0, 2f
1:  vse8.v  v0, (a0)
    add     a0, a0, t0
    bgeu    t1, a0, 1b
2:  sub     a2, a3, a0
#ifdef CHIP_NO_EMPTY_STORES
    beqz    a2, 3f
#endif
    vsetvli zero, a2, e8, m8, ta, ma // what is left, also if it is nothing
    vse8.v  v0, (a0)
3:  ret

    // void vector_configure(void): any instruction of the vector unit.
    function vector_configure, .text.vector_configure
    vsetvli zero, zero, e8, m1, ta, ma
    ret

    // uint32_t vector_elen_bits(void): the widest element. vtype's top bit says that a setting is not supported. That
    // is set too where vl is kept while VLMAX changes, so a chip that may have elements of 64 bits asks for a new vl.
    function vector_elen_bits, .text.vector_elen_bits
    li      a0, 64
#if CHIP_ELEN == 64
    vsetivli zero, 1, e64, m1, ta, ma
#else
    vsetvli zero, zero, e64, m1, ta, ma
#endif
    csrr    t0, vtype
    bgez    t0, 1f
    li      a0, 32
1:  ret

#ifdef CHIP_VECTORED
    .section .vectors, "ax"
    .balign 256
trap_vectors: // exceptions, then interrupts by their number
    .rept   16
    j       trap_entry
    .endr
    .balign 256
skip_vectors: // no interrupt comes then
    j       skip_entry
#endif

    .bss
    .balign REG
    .globl  trap_skip
trap_skip: // not 0: skip the instructions that trap
    .zero   REG
    .globl  contained_stack
contained_stack: // end of the stack that kernels may write to, as pmpaddr1 has it; 0: they are not contained
    .zero   REG
attempt_frame: // of the innermost attempt; 0 outside
    .zero   REG
    .globl  trap_record
trap_record: // mcause, mepc, mtval of the last trap that was not skipped
    .zero   3 * REG
