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
#define ENCODING(name, family, fields) fields,
    ENCODINGS(ENCODING)
#undef ENCODING
};

static const uint8_t families[] = {
#define ENCODING(name, family, fields) FAMILY_##family,
    ENCODINGS(ENCODING)
#undef ENCODING
};

family_t encoding_family(encoding_t encoding) {
    return (family_t)families[encoding];
}

const char *encoding_fields(encoding_t encoding) {
    return fields[encoding];
}

const char *opcode_refused_name(uint32_t opcode) {
    switch (opcode) {
#define OPCODE(code, name, mnemonic, operands)
#define OPCODE_REFUSED(code, name, mnemonic)                                                                 \
    case code: return mnemonic;
#include "opcodes.def"
    default: return NULL;
    }
}
