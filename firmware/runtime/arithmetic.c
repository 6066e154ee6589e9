// SPDX-License-Identifier: Apache-2.0
#include "arithmetic.h"

#include "float.h"
#include "opcodes.h"

// The instructions of i32 come in ranges, each at one distance from the same instructions of i64.
static const struct {
    uint8_t first, last, distance;
} narrow_ranges[] = {
    {OP_SELECT_I32, OP_SELECT_I32, OP_SELECT_I64 - OP_SELECT_I32},
    {OP_ADD_I32, OP_FMA_I32, OP_ADD_I64 - OP_ADD_I32},
    {OP_NOT_I32, OP_XOR_I32, OP_NOT_I64 - OP_NOT_I32},
    {OP_SHL_I32, OP_SHR_I32U, OP_SHL_I64 - OP_SHL_I32},
    {OP_CMP_EQ_I32, OP_CMP_NZ_I32, OP_CMP_EQ_I64 - OP_CMP_EQ_I32},
    {OP_CTLZ_I32, OP_CTLZ_I32, OP_CTLZ_I64 - OP_CTLZ_I32},
    {OP_ABS_I32, OP_ABS_I32, OP_ABS_I64 - OP_ABS_I32},
    {OP_MIN_I32S, OP_MAX_I32U, OP_MIN_I64S - OP_MIN_I32S},
};

// The i64 instruction that does the same; 0 if the opcode is none of i32.
static uint32_t widen(uint32_t opcode) {
    if (opcode == OP_SELECT_F32) return OP_SELECT_I64;
    for (uint32_t i = 0; i < sizeof narrow_ranges / sizeof *narrow_ranges; i++)
        if (opcode >= narrow_ranges[i].first && opcode <= narrow_ranges[i].last)
            return opcode + narrow_ranges[i].distance;
    return 0;
}

status_t arithmetic_integer(uint32_t opcode, uint64_t a, uint64_t b, uint64_t c, uint64_t *result) {
    int64_t signed_a = (int64_t)a, signed_b = (int64_t)b;
    uint32_t bits = 64, wide = widen(opcode);
    uint64_t r = a;
    if (wide != 0) {
        opcode = wide;
        bits = 32;
        signed_a = (int32_t)a;
        signed_b = (int32_t)b;
    }
    if (opcode >= OP_DIV_I64S && opcode <= OP_REM_I64U && b == 0) return FAIL(DIVIDE);
    switch (opcode) {
    case OP_ADD_I64: r = a + b; break;
    case OP_SUB_I64: r = a - b; break;
    case OP_MUL_I64: r = a * b; break;
    case OP_FMA_I64: r = a * b + c; break;
    // The one signed division that overflows wraps.
    case OP_DIV_I64S: r = signed_b == -1 ? 0 - a : (uint64_t)(signed_a / signed_b); break;
    case OP_DIV_I64U: r = a / b; break;
    case OP_REM_I64S: r = signed_b == -1 ? 0 : (uint64_t)(signed_a % signed_b); break;
    case OP_REM_I64U: r = a % b; break;
    case OP_NOT_I64: r = ~a; break;
    case OP_AND_I64: r = a & b; break;
    case OP_OR_I64: r = a | b; break;
    case OP_XOR_I64: r = a ^ b; break;
    case OP_SHL_I64: r = a << (b & (bits - 1)); break;
    case OP_SHR_I64S: r = (uint64_t)(signed_a >> (b & (bits - 1))); break;
    case OP_SHR_I64U: r = a >> (b & (bits - 1)); break;
    case OP_CTLZ_I64:
        r = 0;
        while (r < bits && (a >> (bits - 1 - r) & 1) == 0)
            r++;
        break;
    case OP_ABS_I64: r = signed_a < 0 ? 0 - a : a; break;
    case OP_MIN_I64S: r = signed_a < signed_b ? a : b; break;
    case OP_MAX_I64S: r = signed_a < signed_b ? b : a; break;
    case OP_MIN_I64U: r = a < b ? a : b; break;
    case OP_MAX_I64U: r = a < b ? b : a; break;
    case OP_CMP_EQ_I64: r = a == b; break;
    case OP_CMP_NE_I64: r = a != b; break;
    case OP_CMP_LT_I64S: r = signed_a < signed_b; break;
    case OP_CMP_LT_I64U: r = a < b; break;
    case OP_CMP_NZ_I64: r = a != 0; break;
    case OP_SELECT_I64: r = a != 0 ? b : c; break;
    case OP_TRUNC_I32_I8:
    case OP_EXT_I8_I32U: r = a & 0xff; break;
    case OP_TRUNC_I32_I16:
    case OP_EXT_I16_I32U: r = a & 0xffff; break;
    case OP_EXT_I8_I32S: r = (uint64_t)(int8_t)a; break;
    case OP_EXT_I16_I32S: r = (uint64_t)(int16_t)a; break;
    case OP_EXT_I32_I64S: r = (uint64_t)(int32_t)a; break;
    // TRUNC_I64_I32, EXT_I32_I64U, BITCAST_I32_F32, BITCAST_F32_I32, CONST_F32, CONST_F32_ZERO
    default: break;
    }
    *result = r;
    return STATUS_OK;
}

static float f32_of(uint64_t value) {
    return float_of((uint32_t)value);
}

// True when two floats have no order because one is not a number.
static bool unordered(uint64_t a, uint64_t b) {
    return f32_of(a) != f32_of(a) || f32_of(b) != f32_of(b);
}

// f32. Comparisons end in O or U: false or true when an operand is not a number, but "not equal" is always
// true then; conversions to integers round to the nearest, halves away from zero. Both as in IREE.
uint64_t arithmetic_f32(uint32_t opcode, uint64_t x, uint64_t y, uint64_t z) {
    float a = f32_of(x), b = f32_of(y);
    switch (opcode) {
    case OP_ADD_F32: return bits_of(a + b);
    case OP_SUB_F32: return bits_of(a - b);
    case OP_MUL_F32: return bits_of(a * b);
    case OP_DIV_F32: return bits_of(a / b);
    case OP_FMA_F32: return bits_of(a * b + f32_of(z));
    case OP_MIN_F32: return b < a ? y : x;
    case OP_MAX_F32: return a < b ? y : x;
    case OP_ABS_F32: return x & 0x7fffffff;
    case OP_NEG_F32: return x ^ 0x80000000;
    case OP_CEIL_F32: return bits_of(float_ceil(a));
    case OP_FLOOR_F32: return bits_of(float_floor(a));
    case OP_ROUND_F32: return bits_of(float_round(a));
    case OP_ROUND_F32_EVEN: return bits_of(float_round_even(a));
    case OP_CAST_SI32_F32: return bits_of((float)(int32_t)x);
    case OP_CAST_UI32_F32: return bits_of((float)(uint32_t)x);
    case OP_CAST_F32_SI32: return (uint32_t)float_to_signed(float_round(a));
    case OP_CAST_F32_UI32: return float_to_unsigned(float_round(a));
    case OP_CMP_EQ_F32O: return a == b;
    case OP_CMP_EQ_F32U: return a == b || unordered(x, y);
    case OP_CMP_NE_F32O:
    case OP_CMP_NE_F32U: return a != b;
    case OP_CMP_LT_F32O: return a < b;
    case OP_CMP_LT_F32U: return a < b || unordered(x, y);
    case OP_CMP_LTE_F32O: return a <= b;
    case OP_CMP_LTE_F32U: return a <= b || unordered(x, y);
    default: return a != a; // CMP_NAN_F32
    }
}
