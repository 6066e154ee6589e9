// SPDX-License-Identifier: Apache-2.0
#include "opcodes.h"

// ENCODING_REFUSED is 0, so codes without a row are refused too.
const uint8_t opcode_encodings[OPCODE_COUNT] = {
#define OPCODE(code, name, mnemonic, operands) [code] = ENCODING_##operands,
#define OPCODE_REFUSED(code, name, mnemonic)
#include "opcodes.def"
    [OPCODE_PREFIX_F32] = ENCODING_PREFIX,
};

const char *const encoding_fields[] = {
#define ENCODING(name, family, fields) fields,
    ENCODINGS(ENCODING)
#undef ENCODING
};

const uint8_t encoding_families[] = {
#define ENCODING(name, family, fields) FAMILY_##family,
    ENCODINGS(ENCODING)
#undef ENCODING
};
