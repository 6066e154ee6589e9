// SPDX-License-Identifier: Apache-2.0
// Reset, traps and attempts of the Springbok port.
//
// A trap ends in one of three ways:
//   - a probe (trap_skip is set): the instruction is skipped, trap_skip becomes 0 and the program goes on;
//   - inside platform_attempt: the outermost one returns TRAPPED, and so it does when the timer interrupts;
//   - otherwise: trap_fatal() reports it and stops the core.

#define MSTATUS_FS_VS 0x2200 // both units "initial": on

// Layout of an attempt's frame on the stack, 16-byte aligned.
#define FRAME_BYTES 128
#define FRAME_RA 0
#define FRAME_S 4
#define FRAME_FS 52
#define FRAME_PREVIOUS 100

#define TRAPPED -1 // what no failure is

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
    \op     s\n, FRAME_S + 4 * \n(sp)
    \fop    fs\n, FRAME_FS + 4 * \n(sp)
    .endr
    .endm

    function _start, .text.start
    la      gp, __global_pointer$
    la      sp, __stack_top
    la      t0, trap_entry
    csrw    mtvec, t0
    csrw    mie, zero
    li      t0, MSTATUS_FS_VS
    csrs    mstatus, t0
    csrw    fcsr, zero

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

    // A trap vector is aligned to 64 bytes at least: mtvec's low bits are its mode.
    .balign 64
trap_entry:
    csrw    mscratch, t0
    csrr    t0, mcause
    bgez    t0, 1f
    la      t0, attempt_frame
    lw      t0, 0(t0)
    bnez    t0, 2f
    csrw    mie, zero // the alarm rang just before or after the call that it was set for
    csrr    t0, mscratch
    mret

1:  la      t0, trap_skip
    lw      t0, 0(t0)
    beqz    t0, 2f
    la      t0, trap_skip
    sw      zero, 0(t0)
    csrr    t0, mscratch
    j       skip_entry

    // Nothing below returns to where the trap came from, so all registers are free.
2:  la      gp, __global_pointer$
    li      t0, MSTATUS_FS_VS
    csrs    mstatus, t0
    csrw    fcsr, zero
    la      t0, trap_record
    csrr    a0, mcause
    csrr    a1, mepc
    csrr    a2, mtval
    sw      a0, 0(t0)
    sw      a1, 4(t0)
    sw      a2, 8(t0)
    la      t0, attempt_frame
    lw      sp, 0(t0)
    beqz    sp, 3f
    li      a0, TRAPPED
4:  lw      t1, FRAME_PREVIOUS(sp)
    beqz    t1, leave_attempt
    mv      sp, t1
    j       4b

    // From here on every trap is skipped: the report must not trap for ever.
3:  la      t0, skip_entry
    csrw    mtvec, t0
    la      sp, __stack_top
    tail    trap_fatal

    .balign 64
skip_entry:
    csrw    mscratch, t0
    csrr    t0, mepc
    addi    t0, t0, 4
    csrw    mepc, t0
    csrr    t0, mscratch
    mret

    // _Noreturn void platform_abandon(status_t status)
    function platform_abandon, .text.platform_attempt
    la      t0, attempt_frame
    lw      sp, 0(t0)
    j       leave_attempt

    // status_t platform_attempt(void (*fn)(void *), void *argument): STATUS_OK, a failure, or TRAPPED.
    .globl  platform_attempt
    .type   platform_attempt, @function
platform_attempt:
    addi    sp, sp, -FRAME_BYTES
    saved_registers sw, fsw
    la      t0, attempt_frame
    lw      t1, 0(t0)
    sw      t1, FRAME_PREVIOUS(sp)
    sw      sp, 0(t0)
    mv      t2, a0
    mv      a0, a1
    jalr    t2
    li      a0, 0
leave_attempt:
    lw      t1, FRAME_PREVIOUS(sp)
    la      t0, attempt_frame
    sw      t1, 0(t0)
    saved_registers lw, flw
    addi    sp, sp, FRAME_BYTES
    ret

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
    vsetvli zero, a2, e8, m8, ta, ma // what is left, also if it is nothing
    vse8.v  v0, (a0)
    ret

    // void vector_configure(void): any instruction of the vector unit.
    function vector_configure, .text.vector_configure
    vsetvli zero, zero, e8, m1, ta, ma
    ret

    // uint32_t vector_elen_bits(void): the widest element. vtype's top bit says that a setting is not supported.
    function vector_elen_bits, .text.vector_elen_bits
    li      a0, 64
    vsetvli zero, zero, e64, m1, ta, ma
    csrr    t0, vtype
    bgez    t0, 1f
    li      a0, 32
1:  ret

    .bss
    .balign 4
    .globl  trap_skip
trap_skip: // not 0: skip the next instruction that traps
    .zero   4
attempt_frame: // of the innermost attempt; 0 outside
    .zero   4
    .globl  trap_record
trap_record: // mcause, mepc, mtval of the last trap that was not skipped
    .zero   12
