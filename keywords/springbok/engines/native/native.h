// SPDX-License-Identifier: Apache-2.0
// What the simulator's helper shares with `spike_native.py`.
#ifndef SPRINGBOK_ENGINES_NATIVE_H
#define SPRINGBOK_ENGINES_NATIVE_H

#include <cstddef>
#include <cstdint>
#include <span>

#include <riscv/abstract_device.h>
#include <riscv/decode.h>
#include <riscv/processor.h>

// Called for each mark: event, value, instructions executed before it.
typedef void (*mark_t)(uint32_t event, uint32_t value, uint64_t instructions);

// What a word that was executed counts as, in a part (`Part` of windows.py): a number that is not 0.
typedef uint32_t (*label_t)(uint32_t word, uint32_t part);

// Executions under one vector configuration; `_COUNT` of spike_native.py.
struct count_t {
    uint32_t vl, vtype;
    uint64_t label, executions;
};

// Executions of one instruction under one vector configuration; `_SITE` of spike_native.py. `region` is what
// it reached of what is watched, counted from 1, or 0.
struct site_count_t {
    uint32_t vl, vtype;
    uint64_t pc, word, executions, region;
};

// What both sides know of time; `Clock` of spike_native.py.
struct chip_clock_t {
    uint64_t instructions, instructions_per_second; // instructions as of the last turn
    uint64_t slept_ns;                              // time that the core slept for want of work
    uint64_t served_ns;                             // when the outside was last looked at
    uint64_t serve_interval_ns;
    uint32_t attention;  // the next turn is Python's in any case
    uint32_t idle_turns; // times that the core slept
    // The first trap of those that follow one another without an instruction between them, if `trapped`.
    uint64_t trapped, mcause, mepc, mtval;
};

// A function that does the same as Spike's own for the words that are `match` under `mask`: shortcuts.cpp.
struct shortcut_t {
    insn_bits_t match, mask;
    insn_func_t function;
};

// The shortcut for a word; nullptr: none.
const shortcut_t *shortcut_of(insn_bits_t bits);

// What is to be executed in place of Spike's function for such a word.
insn_func_t take_shortcut(const shortcut_t *shortcut, insn_func_t spikes);

// All of them; `mask` is of the core's addresses.
std::span<const shortcut_t> begin_shortcuts(reg_t mask);

// Has the shortcuts reach a device on the bus.
void add_shortcut_to(abstract_device_t *device, reg_t base, reg_t size);

#endif
