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

// ENCODING(name, fields): the letters are explained in opcodes.def.
// clang-format off
#define ENCODINGS(ENCODING)                                                                                  \
    ENCODING(REFUSED, "")              ENCODING(NONE, "")                                                    \
    ENCODING(GLOBAL_LOAD_32, "gI")     ENCODING(GLOBAL_STORE_32, "gi")                                       \
    ENCODING(GLOBAL_LOAD_64, "hL")     ENCODING(GLOBAL_STORE_64, "hl")                                       \
    ENCODING(GLOBAL_LOAD_REF, "GtR")   ENCODING(GLOBAL_STORE_REF, "Gtm")                                     \
    ENCODING(LOAD_INDIRECT_I32, "iI")  ENCODING(LOAD_INDIRECT_I64, "iL")                                     \
    ENCODING(STORE_INDIRECT_I32, "ii") ENCODING(STORE_INDIRECT_I64, "il")                                    \
    ENCODING(LOAD_INDIRECT_REF, "itR") ENCODING(STORE_INDIRECT_REF, "itm")                                   \
    ENCODING(ZERO_I32, "I")            ENCODING(CONST_32, "cI")                                              \
    ENCODING(ZERO_I64, "L")            ENCODING(CONST_64, "CL")                                              \
    ENCODING(ZERO_REF, "R")            ENCODING(CONST_RODATA, "dR")                                          \
    ENCODING(LIST_ALLOC, "tiR")        ENCODING(LIST_SIZED, "ri")        ENCODING(LIST_SIZE, "rI")           \
    ENCODING(LIST_GET_I32, "riI")      ENCODING(LIST_SET_I32, "rii")                                         \
    ENCODING(LIST_GET_I64, "riL")      ENCODING(LIST_SET_I64, "ril")                                         \
    ENCODING(LIST_GET_REF, "ritR")     ENCODING(LIST_SET_REF, "rim")                                         \
    ENCODING(UNARY_I32, "iI")          ENCODING(BINARY_I32, "iiI")       ENCODING(TERNARY_I32, "iiiI")       \
    ENCODING(UNARY_I64, "lL")          ENCODING(BINARY_I64, "llL")       ENCODING(TERNARY_I64, "lllL")       \
    ENCODING(UNARY_F32, "fF")          ENCODING(BINARY_F32, "ffF")       ENCODING(TERNARY_F32, "fffF")       \
    ENCODING(SELECT_I64, "illL")       ENCODING(SELECT_REF, "itmmR")     ENCODING(SHIFT_I64, "liL")          \
    ENCODING(SWITCH_I32, "iivI")       ENCODING(SWITCH_I64, "ilwL")      ENCODING(SWITCH_REF, "itmuR")       \
    ENCODING(I32_TO_I64, "iL")         ENCODING(I64_TO_I32, "lI")                                            \
    ENCODING(I32_TO_F32, "iF")         ENCODING(F32_TO_I32, "fI")                                            \
    ENCODING(I64_TO_F32, "lF")         ENCODING(F32_TO_I64, "fL")                                            \
    ENCODING(COMPARE_I64, "llI")       ENCODING(COMPARE_F32, "ffI")                                          \
    ENCODING(COMPARE_REF, "rrI")       ENCODING(TEST_REF, "rI")                                              \
    ENCODING(BRANCH, "bp")             ENCODING(COND_BRANCH, "ibpbp")    ENCODING(BRANCH_TABLE, "ibpT")      \
    ENCODING(CALL, "naz")              ENCODING(CALL_VARIADIC, "nkaz")   ENCODING(RETURN, "a")               \
    ENCODING(FAIL, "is")               ENCODING(IMPORT_RESOLVED, "nI")                                       \
    ENCODING(BUFFER_LOAD_I32, "rlI")   ENCODING(BUFFER_LOAD_I64, "rlL")                                      \
    ENCODING(BUFFER_STORE_I32, "rli")  ENCODING(BUFFER_STORE_I64, "rll")                                     \
    ENCODING(BUFFER_FILL_I32, "rlli")  ENCODING(BUFFER_FILL_I64, "rlll")                                     \
    ENCODING(BUFFER_ALLOC, "liR")      ENCODING(BUFFER_CLONE, "rlliR")   ENCODING(BUFFER_LENGTH, "rL")       \
    ENCODING(BUFFER_COPY, "rlrll")     ENCODING(BUFFER_COMPARE, "rlrllI")                                    \
    ENCODING(CAST_REF, "mtR")          ENCODING(ASSIGN_REF, "mR")        ENCODING(DISCARD, "x")
// clang-format on

typedef enum {
#define ENCODING(name, fields) ENCODING_##name,
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
const char *encoding_fields(encoding_t encoding);

// "add.i32"; NULL for a code that bytecode 17.0 does not have.
const char *opcode_mnemonic(uint32_t opcode);

#endif
