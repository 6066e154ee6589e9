// SPDX-License-Identifier: Apache-2.0
// What the RTL's side and the reference model's side of the lockstep speak of: one retired instruction, in
// the terms of RVFI and RVVI. No simulator's types: the two sides are shared objects with different C++
// libraries.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LONGEST_VECTOR_BYTES 128
#define STORE_BYTES 32

typedef struct {
    uint64_t number; // counted from 1
    uint64_t cycle;
    uint32_t pc, word;
    uint32_t rd, rd_value; // integer register; 0: none
    uint32_t frd_written, frd, frd_value;
    uint32_t memory_address; // masks count bytes from here on
    uint32_t read_mask, write_mask, read_data, write_data;
    uint32_t trapped, first_of_handler;
    uint32_t has_memory;      // whether the retire port tells of memory at all
    uint32_t vectors_written; // a bit for each register
    const uint8_t *vectors;   // all 32 of them, where vectors_written says so
} retired_t;

// A rule for a control and status register. What the core keeps of a written value is (value & keep) |
// always; bits outside of `compared` have no architectural value, the RTL's is taken. One that is absent
// traps.
typedef struct {
    uint32_t address, keep, always, compared, reset, has_reset, absent;
} csr_rule_t;

typedef struct {
    uint32_t base, bytes;
} range_t;

// Gives what the RTL's bus was given when it read a device; 0 if it did not read there.
typedef int (*device_read_t)(void *owner, uint32_t address, uint32_t bytes, uint32_t *value);

typedef struct {
    const char *isa, *privilege;
    uint32_t start;
    const range_t *memories, *devices;
    uint32_t memory_count, device_count;
    const csr_rule_t *rules;
    uint32_t rule_count;
    uint32_t stores_on_bus; // each store is expected on the bus, in order
    device_read_t device_read;
    void *owner;
} golden_config_t;

typedef struct golden golden_t;

golden_t *golden_new(const golden_config_t *config);
void golden_delete(golden_t *golden);
// The host's writes, also while the core runs.
void golden_write(golden_t *golden, uint32_t address, const uint8_t *bytes, uint32_t count);
// What the RTL's bus saw: a store of the bytes that `enables` names, or an error that it answered with.
void golden_bus_store(golden_t *golden, uint32_t address, uint32_t enables, const uint8_t *bytes,
                      uint64_t cycle);
void golden_bus_error(golden_t *golden, uint32_t address, uint32_t bytes, int is_store);
void golden_fetch_error(golden_t *golden, uint32_t address, uint32_t bytes);
// Executes what the RTL retired and compares. `lines` are the interrupt lines, as mip has them. 0: equal;
// else the difference is in `why`.
int golden_step(golden_t *golden, const retired_t *retired, uint32_t lines, char *why, uint32_t room);
const char *golden_disassemble(golden_t *golden, uint32_t word);
// For a program that reproduces a difference: goes `steps` back (to where that many are kept), gives the
// registers, and tells which memory the steps from there touch.
uint32_t golden_kept(golden_t *golden);
// Instructions that an enabled interrupt has waited for.
uint32_t golden_waiting(golden_t *golden);
uint32_t golden_rewind(golden_t *golden, uint32_t steps);
typedef struct {
    uint32_t pc, x[32], f[32];
    uint32_t mstatus, mie, mtvec, mscratch, mepc, mcause, mtval, fcsr, privilege;
    uint32_t vl, vtype, vector_bytes;
} golden_state_t;
void golden_state(golden_t *golden, golden_state_t *state, uint8_t *vectors);
typedef void (*touched_t)(void *owner, uint32_t address, uint32_t bytes, uint32_t kind, uint32_t value);
// Of an interrupt the address is the number of the step, and the value its lines; of what a device answered,
// the value; of an error on the bus, instead of bytes, the number of the step.
enum { TOUCHED_CODE, TOUCHED_LOAD, TOUCHED_STORE, TOUCHED_INTERRUPT, TOUCHED_ANSWER, TOUCHED_ERROR };
void golden_replay(golden_t *golden, uint32_t steps, touched_t touched, void *owner);
void golden_read(golden_t *golden, uint32_t address, uint8_t *bytes, uint32_t count);

#ifdef __cplusplus
}
#endif
