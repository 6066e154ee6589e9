// SPDX-License-Identifier: Apache-2.0
#include "opcodes.h"

#include <stddef.h>

// ENCODING_REFUSED is 0, so codes without a row are refused too.
const uint8_t opcode_encodings[OPCODE_COUNT] = {
#define OPCODE(code, name, mnemonic, operands) [code] = ENCODING_##operands,
#define OPCODE_REFUSED(code, name, mnemonic)
#include "opcodes.def"
};

static const char *const fields[] = {
#define ENCODING(name, fields) fields,
    ENCODINGS(ENCODING)
#undef ENCODING
};

const char *encoding_fields(encoding_t encoding) {
    return fields[encoding];
}

// One text with a zero after each name: half the size of a table of pointers. Codes in the same order.
static const char mnemonics[] =
#define OPCODE(code, name, mnemonic, operands) mnemonic "\0"
#define OPCODE_REFUSED(code, name, mnemonic) mnemonic "\0"
#include "opcodes.def"
    ;

static const uint16_t codes[] = {
#define OPCODE(code, name, mnemonic, operands) code,
#define OPCODE_REFUSED(code, name, mnemonic) code,
#include "opcodes.def"
};

const char *opcode_mnemonic(uint32_t opcode) {
    const char *mnemonic = mnemonics;
    for (uint32_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i] == opcode) return mnemonic;
        while (*mnemonic++ != 0) {
        }
    }
    return NULL;
}
