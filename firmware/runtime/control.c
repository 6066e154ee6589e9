// SPDX-License-Identifier: Apache-2.0
#include "control.h"

#include "platform.h"
#include "registers.h"

#define STACK_BYTES 4096

// ---- Frames

static size_t frame_bytes(const function_t *function) {
    size_t bytes =
        sizeof(frame_t) + function->i32_count * sizeof(uint32_t) + function->ref_count * sizeof(object_t *);
    return (bytes + 15) & ~(size_t)7; // i32_count may be odd, and a host's references need 8 bytes
}

void interpreter_initialize(interpreter_t *interpreter, module_t *module, hal_t *hal, memory_t *memory) {
    size_t largest = 0;
    for (uint32_t i = 0; i < module->function_count; i++) {
        size_t bytes = frame_bytes(&module->functions[i]);
        if (bytes > largest) largest = bytes;
    }
    size_t bytes = STACK_BYTES + 2 * largest;
    uint8_t *stack = memory_allocate(memory, bytes, PHRASE_STACK);
    *interpreter = (interpreter_t){.module = module,
                                   .memory = memory,
                                   .hal = hal,
                                   .stack = stack,
                                   .stack_end = stack + bytes,
                                   .call = {.hal = hal}};
}

static void set_frame(interpreter_t *interpreter, frame_t *frame) {
    interpreter->frame = frame;
    if (frame == NULL) return;
    interpreter->call.function = frame->function;
    interpreter->call.i32 = frame->i32;
    interpreter->call.refs = frame->refs;
}

void push_frame(interpreter_t *interpreter, const function_t *function) {
    frame_t *caller = interpreter->frame;
    uint8_t *base = caller == NULL ? interpreter->stack : (uint8_t *)caller + frame_bytes(caller->function);
    size_t bytes = frame_bytes(function);
    if ((size_t)(interpreter->stack_end - base) < bytes)
        FAIL(FRAME_STACK, (uint32_t)bytes, (uint32_t)(interpreter->stack_end - interpreter->stack));
    recording_t *recording = &interpreter->hal->recording;
    if (is_recorded(recording)) recording_enter(recording, function, base + bytes);
    frame_t *frame = (frame_t *)base;
    *frame = (frame_t){.caller = caller, .function = function};
    frame->refs = (object_t **)(frame + 1);
    frame->i32 = (uint32_t *)(frame->refs + function->ref_count);
    platform_fill(frame->refs, 0, bytes - sizeof *frame);
    set_frame(interpreter, frame);
}

void pop_frame(interpreter_t *interpreter) {
    frame_t *frame = interpreter->frame;
    object_t **end = frame->refs + frame->function->ref_count;
    for (object_t **slot = frame->refs; slot < end; slot++)
        object_release(interpreter->memory, *slot);
    set_frame(interpreter, frame->caller);
}

// ---- Branches

// Copies a branch's operands, one after the other: the compiler breaks cycles with scratch registers.
static void copy_operands(memory_t *memory, uint32_t *i32, object_t **refs, const uint8_t *p) {
    uint32_t count;
    const uint16_t *pair = list_begin(p, &count);
    for (; count > 0; count--, pair += 2) {
        if ((pair[0] & REGISTER_REF) != 0)
            put_ref(memory, &refs[pair[1] & REGISTER_INDEX], take_ref(refs, pair[0]));
        else
            i32[pair[1]] = i32[pair[0]];
    }
}

const uint8_t *skip_operands(const uint8_t *p) {
    uint32_t count;
    return (const uint8_t *)(list_begin(p, &count) + 2 * (size_t)count);
}

// Address of the target and operands of the case that `index` chooses.
const uint8_t *choose_case(const uint8_t *p, uint32_t index) {
    const uint8_t *fallback = p;
    p = skip_operands(p + 4);
    uint32_t count = read_u16(p);
    if (index >= count) return fallback;
    for (p += 2; index > 0; index--)
        p = skip_operands(p + 4);
    return p;
}

// Goes to the target at `p`, whose operands follow it.
const uint8_t *take_branch(interpreter_t *interpreter, const uint8_t *p) {
    const frame_t *frame = interpreter->frame;
    copy_operands(interpreter->memory, frame->i32, frame->refs, p + 4);
    return frame->function->code + read_u32(p);
}

// switch: index, default, values, result. A reference's type comes before its default.
const uint8_t *run_switch(interpreter_t *interpreter, uint32_t opcode, const uint8_t *p) {
    uint32_t *i32 = interpreter->frame->i32;
    object_t **refs = interpreter->frame->refs;
    uint32_t count, index = i32[read_u16(p)];
    p += opcode == OP_SWITCH_REF ? 6 : 2;
    uint32_t fallback = read_u16(p);
    const uint16_t *values = list_begin(p + 2, &count);
    uint32_t chosen = index < count ? values[index] : fallback, result = values[count];
    if (opcode == OP_SWITCH_I64) {
        set_pair(i32, result, get_pair(i32, chosen));
    } else if (opcode != OP_SWITCH_REF) {
        i32[result] = i32[chosen];
    } else {
        object_t *object = take_ref(refs, chosen & ~(uint32_t)REGISTER_MOVE);
        for (uint32_t i = 0; i <= count; i++) { // what is moved leaves its register, chosen or not
            uint32_t reg = i < count ? values[i] : fallback;
            if ((reg & REGISTER_MOVE) != 0) put_ref(interpreter->memory, &refs[reg & REGISTER_INDEX], NULL);
        }
        put_ref(interpreter->memory, &refs[result & REGISTER_INDEX], object);
    }
    return (const uint8_t *)(values + count + 1);
}

// ---- Calls

void spend(interpreter_t *interpreter) {
    if (--interpreter->budget == 0) FAIL(OPERATION_BUDGET);
}

// Enters a function of the module with the operands of interpreter->call: they go to the first registers of
// their kind.
void enter(interpreter_t *interpreter, const function_t *function, const uint8_t *resume) {
    frame_t *caller = interpreter->frame;
    const uint16_t *operands = interpreter->call.operands;
    spend(interpreter);
    push_frame(interpreter, function);
    frame_t *frame = interpreter->frame;
    frame->results = interpreter->call.results;
    frame->resume = resume;
    uint32_t i32 = 0, refs = 0;
    for (uint32_t i = 0; i < function->arguments.length; i++) {
        uint32_t reg = operands[i];
        switch (function->arguments.data[i]) {
        case 'r': frame->refs[refs++] = take_ref(caller->refs, reg); break;
        case 'I':
            i32 = (i32 + 1) & ~1u;
            set_pair(frame->i32, i32, get_pair(caller->i32, reg));
            i32 += 2;
            break;
        default: frame->i32[i32++] = caller->i32[reg]; break;
        }
    }
}

// Hands the returned values to the caller's registers.
static void leave(interpreter_t *interpreter, const uint16_t *values) {
    frame_t *frame = interpreter->frame, *caller = frame->caller;
    for (uint32_t i = 0; i < frame->function->results.length; i++) {
        uint32_t from = values[i], to = frame->results[i];
        switch (frame->function->results.data[i]) {
        case 'r':
            put_ref(interpreter->memory, &caller->refs[to & REGISTER_INDEX], take_ref(frame->refs, from));
            break;
        case 'I': set_pair(caller->i32, to, get_pair(frame->i32, from)); break;
        default: caller->i32[to] = frame->i32[from]; break;
        }
    }
    pop_frame(interpreter);
}

// Returns from the innermost function; NULL when it was the outermost.
const uint8_t *run_return(interpreter_t *interpreter, const uint8_t *p, object_t **outputs) {
    uint32_t count;
    const uint16_t *values = list_begin(p, &count);
    frame_t *frame = interpreter->frame;
    p = frame->resume;
    if (frame->caller != NULL) {
        leave(interpreter, values);
        return p;
    }
    for (uint32_t i = 0; i < count; i++)
        outputs[i] = take_ref(frame->refs, values[i]);
    pop_frame(interpreter);
    return NULL;
}

void fail_instruction(uint32_t code, const uint8_t *text) {
    span_t span = {.data = text + 2, .length = read_u16(text)};
    FAIL_QUOTING(span, MODEL_FAILED, code);
}
