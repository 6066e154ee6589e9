// SPDX-License-Identifier: Apache-2.0
#include "interpreter.h"

#include "control.h"
#include "instructions.h"
#include "opcodes.h"
#include "platform.h"
#include "registers.h"

static NOINLINE const uint8_t *discard(memory_t *memory, object_t **refs, const uint8_t *p) {
    uint32_t count;
    const uint16_t *registers = list_begin(p, &count);
    for (uint32_t i = 0; i < count; i++)
        put_ref(memory, &refs[registers[i] & REGISTER_INDEX], NULL);
    return (const uint8_t *)(registers + count);
}

// Calls an import with the operands of interpreter->call.
INLINE void call_import(interpreter_t *interpreter, const import_t *import) {
    call_t *call = &interpreter->call;
    import->function(call);
    const uint16_t *reg = call->operands, *end = reg + import->reference_operands;
    for (; reg < end; reg++)
        if (*reg >= (REGISTER_REF | REGISTER_MOVE))
            put_ref(interpreter->memory, &call->refs[*reg & REGISTER_INDEX], NULL);
    object_t **result = call->references;
    for (reg = call->results, end = reg + import->reference_results; reg < end; reg++)
        put_ref(interpreter->memory, &call->refs[*reg & REGISTER_INDEX], *result++);
}

// Field n of 16 bits of the instruction whose fields start at `p`, and the number register that it names.
#define U16(n) read_u16(p + 2 * (n))
#define U32(n) (U16(n) | (uint32_t)U16((n) + 1) << 16)
#define I32(n) i32[U16(n)]

// Reads the lists of a call; returns what follows them.
INLINE const uint8_t *read_call(call_t *call, uint32_t opcode, const uint8_t *p) {
    const uint16_t *list = (const uint16_t *)(p + ((uintptr_t)p & 1));
    if (opcode == OP_CALL_VARIADIC) {
        call->segments = list + 1;
        list += 1 + list[0];
    }
    call->operands = list + 1;
    list += 1 + list[0];
    call->results = list + 1;
    return (const uint8_t *)(list + 1 + list[0]);
}

// Runs until the outermost function, entered before, returns.
static void run(interpreter_t *interpreter, const uint8_t *p, object_t **outputs) {
    const module_t *module = interpreter->module;
    memory_t *memory = interpreter->memory;
    uint32_t *i32 = interpreter->frame->i32, opcode, callee;
    object_t **refs = interpreter->frame->refs, *object;
    bool is_import;
    for (;;) {
        interpreter->call.at = p;
        opcode = *p++;
        switch (opcode_encoding(opcode)) {
        case ENCODING_NONE: continue; // BLOCK
        case ENCODING_PREFIX:
            opcode = OPCODE_F32 + *p++;
            if (opcode == OP_SWITCH_F32) {
                p = run_switch(interpreter, opcode, p);
                continue;
            }
            goto decoded;
        case ENCODING_ZERO_I32:
            I32(0) = 0;
            p += 2;
            continue;
        case ENCODING_CONST_32:
            I32(2) = U32(0);
            p += 6;
            continue;
        case ENCODING_ZERO_I64:
            set_pair(i32, U16(0), 0);
            p += 2;
            continue;
        case ENCODING_CONST_64: {
            uint32_t *pair = &I32(4);
            pair[0] = U32(0);
            pair[1] = U32(2);
            p += 10;
            continue;
        }
        case ENCODING_CONST_RODATA: // ORDINAL_LIMIT: the ordinal's upper half is 0
            object = &module->rodata[U16(0)].object;
            object->references++;
            put_ref(memory, &refs[U16(2) & REGISTER_INDEX], object);
            p += 6;
            continue;
        case ENCODING_GLOBAL_LOAD_REF: // the kernels of every dispatch; all but the usual is left to
                                       // run_decoded()
            object = module->global_refs[U32(0)];
            if (object == NULL || object->type != module->types[U32(2)] || interpreter->hal->rehearsing)
                goto decoded;
            object->references++;
            put_ref(memory, &refs[U16(4) & REGISTER_INDEX], object);
            p += 10;
            continue;
        case ENCODING_SWITCH_I32:
        case ENCODING_SWITCH_I64:
        case ENCODING_SWITCH_REF: p = run_switch(interpreter, opcode, p); continue;
        case ENCODING_BRANCH:
            spend(interpreter);
            p = take_branch(interpreter, p);
            continue;
        case ENCODING_COND_BRANCH:
            spend(interpreter);
            p = take_branch(interpreter, I32(0) != 0 ? p + 2 : skip_operands(p + 6));
            continue;
        case ENCODING_BRANCH_TABLE:
            spend(interpreter);
            p = take_branch(interpreter, choose_case(p + 2, I32(0)));
            continue;
        case ENCODING_CALL:
        case ENCODING_CALL_VARIADIC:
            // ORDINAL_LIMIT: of the callee's ordinal, only the lower half and the highest bit are not 0.
            callee = U16(0);
            is_import = p[3] != 0;
            p = read_call(&interpreter->call, opcode, p + 4);
            if (is_import) {
                call_import(interpreter, module->imports[callee]);
                continue;
            }
            enter(interpreter, &module->functions[callee], p);
            p = module->functions[callee].code;
            goto another_frame;
        case ENCODING_RETURN:
            p = run_return(interpreter, p, outputs);
            if (p == NULL) return;
        another_frame:
            i32 = interpreter->frame->i32;
            refs = interpreter->frame->refs;
            continue;
        case ENCODING_FAIL: fail_instruction(I32(0), p + 2);
        case ENCODING_IMPORT_RESOLVED:
            i32[U16(2)] = module->imports[U16(0)] != NULL;
            p += 6;
            continue;
        case ENCODING_DISCARD: p = discard(memory, refs, p); continue;
        default:
        decoded:
            p = run_decoded(interpreter, opcode, p);
            continue;
        }
    }
}

typedef struct {
    interpreter_t *interpreter;
    const function_t *function;
    object_t *const *arguments;
    object_t **results;
} invocation_t;

static void invoke(void *argument) {
    const invocation_t *invocation = argument;
    interpreter_t *interpreter = invocation->interpreter;
    const function_t *function = invocation->function;
    push_frame(interpreter, function);
    for (uint32_t i = 0; i < function->arguments.length; i++) {
        object_retain(invocation->arguments[i]);
        interpreter->frame->refs[i] = invocation->arguments[i];
    }
    run(interpreter, function->code, invocation->results);
}

status_t interpreter_invoke(interpreter_t *interpreter, uint32_t ordinal, uint32_t operation_budget,
                            object_t *const *arguments, object_t **results) {
    const module_t *module = interpreter->module;
    invocation_t invocation = {interpreter, &module->functions[ordinal], arguments, results};
    interpreter->budget = operation_budget != 0 ? operation_budget : UINT32_MAX;
    interpreter->hal->workgroup_budget = interpreter->budget;
    status_t status = platform_attempt(invoke, &invocation);
    if (status == STATUS_OK) return STATUS_OK;
    if (interpreter->frame != NULL) {
        const function_t *function = interpreter->frame->function;
        status_append(REASON(AT_BYTE, (uint32_t)(function - module->functions),
                             (uint32_t)(interpreter->call.at - function->code)));
    }
    object_release(interpreter->memory, interpreter->call.unfinished);
    interpreter->call.unfinished = NULL;
    while (interpreter->frame != NULL)
        pop_frame(interpreter);
    return status;
}
