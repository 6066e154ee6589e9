// SPDX-License-Identifier: Apache-2.0
// Names and encodings of the instructions in opcodes.def.
#ifndef SPRINGBOK_OPCODES_H
#define SPRINGBOK_OPCODES_H

#include <stdint.h>

#define OPCODE_PREFIX_F32 0xe0
#define OPCODE_F32 0x100 // added to the codes that follow the prefix
#define OPCODE_COUNT 0x140

#define REGISTER_REF 0x8000  // the register holds a reference
#define REGISTER_MOVE 0x4000 // reading it empties it
#define REGISTER_INDEX 0x3fff
#define FUNCTION_IMPORT 0x80000000u
#define SEGMENT_FIXED 0xffff // an operand of its own in a variadic call, no segment

// ENCODING(name, family, fields): the letters are explained in opcodes.def. Instructions of a family run in
// one function of the interpreter.
// clang-format off
#define ENCODINGS(ENCODING)                                                                                   \
    ENCODING(REFUSED, CONTROL, "") ENCODING(NONE, CONTROL, "") ENCODING(PREFIX, CONTROL, "") ENCODING(ZERO_I32, CONTROL, "I")               \
    ENCODING(CONST_32, CONTROL, "cI") ENCODING(ZERO_I64, CONTROL, "L")                                        \
    ENCODING(CONST_64, CONTROL, "CL") ENCODING(CONST_RODATA, CONTROL, "dR") ENCODING(GLOBAL_LOAD_REF, GLOBAL, "GtR")                                   \
    ENCODING(SWITCH_I32, CONTROL, "iivI") ENCODING(SWITCH_I64, CONTROL, "ilwL")                               \
    ENCODING(SWITCH_REF, CONTROL, "itmuR") ENCODING(BRANCH, CONTROL, "bp")                                    \
    ENCODING(COND_BRANCH, CONTROL, "ibpbp") ENCODING(BRANCH_TABLE, CONTROL, "ibpT")                           \
    ENCODING(CALL, CONTROL, "naz") ENCODING(CALL_VARIADIC, CONTROL, "nkaz")                                   \
    ENCODING(RETURN, CONTROL, "a") ENCODING(FAIL, CONTROL, "is")                                              \
    ENCODING(IMPORT_RESOLVED, CONTROL, "nI") ENCODING(DISCARD, CONTROL, "x")                                  \
    ENCODING(UNARY_I32, INTEGER, "iI") ENCODING(BINARY_I32, INTEGER, "iiI")                                   \
    ENCODING(TERNARY_I32, INTEGER, "iiiI") ENCODING(UNARY_I64, INTEGER, "lL")                                 \
    ENCODING(BINARY_I64, INTEGER, "llL") ENCODING(TERNARY_I64, INTEGER, "lllL")                               \
    ENCODING(SELECT_I64, INTEGER, "illL") ENCODING(SHIFT_I64, INTEGER, "liL")                                 \
    ENCODING(I32_TO_I64, INTEGER, "iL") ENCODING(I64_TO_I32, INTEGER, "lI")                                   \
    ENCODING(COMPARE_I64, INTEGER, "llI")                                                                     \
    ENCODING(UNARY_F32, FLOAT, "fF") ENCODING(BINARY_F32, FLOAT, "ffF")                                       \
    ENCODING(TERNARY_F32, FLOAT, "fffF") ENCODING(I32_TO_F32, FLOAT, "iF")                                    \
    ENCODING(F32_TO_I32, FLOAT, "fI")                                                                        \
    ENCODING(COMPARE_F32, FLOAT, "ffI")                                     \
    ENCODING(ZERO_REF, REFERENCE, "R") ENCODING(SELECT_REF, REFERENCE, "itmmR")                               \
    ENCODING(COMPARE_REF, REFERENCE, "rrI") ENCODING(TEST_REF, REFERENCE, "rI")                               \
    ENCODING(CAST_REF, REFERENCE, "mtR") ENCODING(ASSIGN_REF, REFERENCE, "mR")                                \
    ENCODING(GLOBAL_LOAD_32, GLOBAL, "gI") ENCODING(GLOBAL_STORE_32, GLOBAL, "gi")                            \
    ENCODING(GLOBAL_LOAD_64, GLOBAL, "hL") ENCODING(GLOBAL_STORE_64, GLOBAL, "hl")                            \
    ENCODING(GLOBAL_STORE_REF, GLOBAL, "Gtm")                        \
    ENCODING(LOAD_INDIRECT_I32, GLOBAL, "iI") ENCODING(LOAD_INDIRECT_I64, GLOBAL, "iL")                       \
    ENCODING(STORE_INDIRECT_I32, GLOBAL, "ii") ENCODING(STORE_INDIRECT_I64, GLOBAL, "il")                     \
    ENCODING(LOAD_INDIRECT_REF, GLOBAL, "itR") ENCODING(STORE_INDIRECT_REF, GLOBAL, "itm")                    \
    ENCODING(LIST_ALLOC, LIST, "tiR") ENCODING(LIST_SIZED, LIST, "ri") ENCODING(LIST_SIZE, LIST, "rI")        \
    ENCODING(LIST_GET_I32, LIST, "riI") ENCODING(LIST_SET_I32, LIST, "rii")                                   \
    ENCODING(LIST_GET_I64, LIST, "riL") ENCODING(LIST_SET_I64, LIST, "ril")                                   \
    ENCODING(LIST_GET_REF, LIST, "ritR") ENCODING(LIST_SET_REF, LIST, "rim")                                  \
    ENCODING(BUFFER_LOAD_I32, READING, "rlI") ENCODING(BUFFER_LOAD_I64, READING, "rlL")                         \
    ENCODING(BUFFER_STORE_I32, BUFFER, "rli") ENCODING(BUFFER_STORE_I64, BUFFER, "rll")                       \
    ENCODING(BUFFER_FILL_I32, BUFFER, "rlli") ENCODING(BUFFER_FILL_I64, BUFFER, "rlll")                       \
    ENCODING(BUFFER_ALLOC, BUFFER, "liR") ENCODING(BUFFER_CLONE, BUFFER, "rlliR")                             \
    ENCODING(BUFFER_LENGTH, BUFFER, "rL") ENCODING(BUFFER_COPY, BUFFER, "rlrll")                              \
    ENCODING(BUFFER_COMPARE, READING, "rlrllI")
// clang-format on

typedef enum {
    FAMILY_CONTROL,
    FAMILY_INTEGER,
    FAMILY_FLOAT,
    FAMILY_REFERENCE,
    FAMILY_GLOBAL,
    FAMILY_LIST,
    FAMILY_BUFFER,
    FAMILY_READING, // of buffers too: what makes a number of their bytes
} family_t;

typedef enum {
#define ENCODING(name, family, fields) ENCODING_##name,
    ENCODINGS(ENCODING)
#undef ENCODING
} encoding_t;

enum {
#define OPCODE(code, name, mnemonic, operands) OP_##name = code,
#define OPCODE_REFUSED(code, name, mnemonic) OP_##name = code,
#include "opcodes.def"
};

// ENCODING_REFUSED for codes that are unknown or not supported.
extern const uint8_t opcode_encodings[OPCODE_COUNT];

static inline encoding_t opcode_encoding(uint32_t opcode) {
    return (encoding_t)opcode_encodings[opcode];
}

// One letter a field, see opcodes.def.
extern const char *const encoding_fields[];

extern const uint8_t encoding_families[]; // family_t

#endif
