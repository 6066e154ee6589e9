// SPDX-License-Identifier: Apache-2.0
// The save and restore routines that the compiler calls with the target feature save-restore: a function then
// has one call and one jump for what would be a list of stores and loads of its own.
//
// __riscv_save_<n> keeps ra and s0 .. s<n-1> in a frame of 16-byte steps, returns through t0 and may change t1;
// __riscv_restore_<n> undoes it and returns from the function. Names and frame are those of the RISC-V ABI.

    .option norvc

    .macro entries action, first, last
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
    .if     \n >= \first && \n <= \last
    .globl  __riscv_\action\()_\n
    .type   __riscv_\action\()_\n, @function
__riscv_\action\()_\n:
    .endif
    .endr
    .endm

    .section .text.save_restore, "ax"
#if __riscv_xlen == 64
    entries save, 12, 12
    addi    sp, sp, -112
    li      t1, 0
    sd      s11, 8(sp)
    j       1f
    entries save, 10, 11
    addi    sp, sp, -112
    li      t1, 16
1:  sd      s10, 16(sp)
    sd      s9, 24(sp)
    j       2f
    entries save, 8, 9
    addi    sp, sp, -112
    li      t1, 32
2:  sd      s8, 32(sp)
    sd      s7, 40(sp)
    j       3f
    entries save, 6, 7
    addi    sp, sp, -112
    li      t1, 48
3:  sd      s6, 48(sp)
    sd      s5, 56(sp)
    j       4f
    entries save, 4, 5
    addi    sp, sp, -112
    li      t1, 64
4:  sd      s4, 64(sp)
    sd      s3, 72(sp)
    j       5f
    entries save, 2, 3
    addi    sp, sp, -112
    li      t1, 80
5:  sd      s2, 80(sp)
    sd      s1, 88(sp)
    sd      s0, 96(sp)
    sd      ra, 104(sp)
    add     sp, sp, t1
    jr      t0
    entries save, 0, 1
    addi    sp, sp, -16
    sd      s0, 0(sp)
    sd      ra, 8(sp)
    jr      t0

    entries restore, 12, 12
    ld      s11, 8(sp)
    addi    sp, sp, 16
    entries restore, 10, 11
    ld      s10, 0(sp)
    ld      s9, 8(sp)
    addi    sp, sp, 16
    entries restore, 8, 9
    ld      s8, 0(sp)
    ld      s7, 8(sp)
    addi    sp, sp, 16
    entries restore, 6, 7
    ld      s6, 0(sp)
    ld      s5, 8(sp)
    addi    sp, sp, 16
    entries restore, 4, 5
    ld      s4, 0(sp)
    ld      s3, 8(sp)
    addi    sp, sp, 16
    entries restore, 2, 3
    ld      s2, 0(sp)
    ld      s1, 8(sp)
    addi    sp, sp, 16
    entries restore, 0, 1
    ld      s0, 0(sp)
    ld      ra, 8(sp)
    addi    sp, sp, 16
    ret
#else
    entries save, 12, 12
    addi    sp, sp, -64
    li      t1, 0
    sw      s11, 12(sp)
    j       1f
    entries save, 8, 11
    addi    sp, sp, -64
    li      t1, 16
1:  sw      s10, 16(sp)
    sw      s9, 20(sp)
    sw      s8, 24(sp)
    sw      s7, 28(sp)
    j       2f
    entries save, 4, 7
    addi    sp, sp, -64
    li      t1, 32
2:  sw      s6, 32(sp)
    sw      s5, 36(sp)
    sw      s4, 40(sp)
    sw      s3, 44(sp)
    sw      s2, 48(sp)
    sw      s1, 52(sp)
    sw      s0, 56(sp)
    sw      ra, 60(sp)
    add     sp, sp, t1
    jr      t0
    entries save, 0, 1 // most functions: the shortest way
    addi    sp, sp, -16
    sw      s0, 8(sp)
    sw      ra, 12(sp)
    jr      t0
    entries save, 2, 3
    addi    sp, sp, -16
    sw      s2, 0(sp)
    sw      s1, 4(sp)
    sw      s0, 8(sp)
    sw      ra, 12(sp)
    jr      t0

    entries restore, 12, 12
    lw      s11, 12(sp)
    addi    sp, sp, 16
    entries restore, 8, 11
    lw      s10, 0(sp)
    lw      s9, 4(sp)
    lw      s8, 8(sp)
    lw      s7, 12(sp)
    addi    sp, sp, 16
    entries restore, 4, 7
    lw      s6, 0(sp)
    lw      s5, 4(sp)
    lw      s4, 8(sp)
    lw      s3, 12(sp)
    addi    sp, sp, 16
    entries restore, 2, 3
    lw      s2, 0(sp)
    lw      s1, 4(sp)
    entries restore, 0, 1
    lw      s0, 8(sp)
    lw      ra, 12(sp)
    addi    sp, sp, 16
    ret
#endif
