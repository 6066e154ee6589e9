// SPDX-License-Identifier: Apache-2.0
#include "arithmetic.h"

#include "float.h"
#include "opcodes.h"
#include "status.h"

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

// The quotient or the remainder, whose sign is the dividend's. The one signed division that overflows wraps.
static uint64_t divide(uint64_t dividend, uint64_t divisor, bool negative, bool divisor_negative,
                       bool remainder) {
    if (negative) dividend = 0 - dividend;
    if (divisor_negative) divisor = 0 - divisor;
    uint64_t result = dividend / divisor;
    if (remainder)
        result = dividend - result * divisor;
    else
        negative = negative != divisor_negative;
    return negative ? 0 - result : result;
}

uint64_t arithmetic_integer(uint32_t opcode, uint64_t a, uint64_t b, uint64_t c) {
    uint32_t bits = 64, wide = widen(opcode);
    uint64_t signed_a = a, signed_b = b, sign = 0, r = a;
    if (wide != 0) {
        opcode = wide;
        bits = 32;
        signed_a = (uint64_t)(int32_t)a;
        signed_b = (uint64_t)(int32_t)b;
    }
    bool negative_a = (int64_t)signed_a < 0, negative_b = (int64_t)signed_b < 0;
    bool below = a < b, signed_below = (int64_t)signed_a < (int64_t)signed_b;
    switch (opcode) {
    case OP_ADD_I64: r = a + b; break;
    case OP_SUB_I64: r = a - b; break;
    case OP_MUL_I64: c = 0; __attribute__((fallthrough));
    case OP_FMA_I64: r = a * b + c; break;
    case OP_DIV_I64U:
    case OP_REM_I64U:
        signed_a = a;
        signed_b = b;
        negative_a = negative_b = false;
        __attribute__((fallthrough));
    case OP_DIV_I64S:
    case OP_REM_I64S:
        if (b == 0) FAIL(DIVIDE);
        r = divide(signed_a, signed_b, negative_a, negative_b, opcode >= OP_REM_I64S);
        break;
    case OP_NOT_I64: r = ~a; break;
    case OP_AND_I64: r = a & b; break;
    case OP_OR_I64: r = a | b; break;
    case OP_XOR_I64: r = a ^ b; break;
    case OP_SHL_I64: r = a << (b & (bits - 1)); break;
    case OP_SHR_I64S: // shifts in the sign: as the complement's shift shifts in zeros
        a = signed_a;
        if (negative_a) sign = UINT64_MAX;
        __attribute__((fallthrough));
    case OP_SHR_I64U: r = (a ^ sign) >> (b & (bits - 1)) ^ sign; break;
    case OP_CTLZ_I64:
        r = 0;
        while (r < bits && (a >> (bits - 1 - r) & 1) == 0)
            r++;
        break;
    case OP_ABS_I64: r = negative_a ? 0 - a : a; break;
    case OP_MIN_I64S: r = signed_below ? a : b; break;
    case OP_MAX_I64S: r = signed_below ? b : a; break;
    case OP_MIN_I64U: r = below ? a : b; break;
    case OP_MAX_I64U: r = below ? b : a; break;
    case OP_CMP_EQ_I64: r = a == b; break;
    case OP_CMP_NE_I64: r = a != b; break;
    case OP_CMP_LT_I64S: r = signed_below; break;
    case OP_CMP_LT_I64U: r = below; break;
    case OP_CMP_NZ_I64: r = a != 0; break;
    case OP_SELECT_I64: r = a != 0 ? b : c; break;
    case OP_TRUNC_I32_I8:
    case OP_EXT_I8_I32U: r = a & 0xff; break;
    case OP_TRUNC_I32_I16:
    case OP_EXT_I16_I32U: r = a & 0xffff; break;
    case OP_EXT_I8_I32S: r = (uint32_t)(int8_t)a; break;
    case OP_EXT_I16_I32S: r = (uint32_t)(int16_t)a; break;
    case OP_EXT_I32_I64S: r = (uint64_t)(int32_t)a; break;
    // TRUNC_I64_I32, EXT_I32_I64U, BITCAST_I32_F32, BITCAST_F32_I32, CONST_F32, CONST_F32_ZERO
    default: break;
    }
    return r;
}

static float f32_of(uint64_t value) {
    return float_of((uint32_t)value);
}

// f32. Comparisons end in O or U: false or true when an operand is not a number, but "not equal" is always
// true then; conversions to integers round to the nearest, halves away from zero. Both as in IREE.
uint64_t arithmetic_f32(uint32_t opcode, uint64_t x, uint64_t y, uint64_t z) {
    float a = f32_of(x), b = f32_of(y);
    rounding_t mode = ROUND_AWAY; // of ROUND_F32
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
    case OP_CEIL_F32: mode = ROUND_UP; break;
    case OP_FLOOR_F32: mode = ROUND_DOWN; break;
    case OP_ROUND_F32_EVEN: mode = ROUND_EVEN; break;
    case OP_CAST_SI32_F32: return bits_of((float)(int32_t)x);
    case OP_CAST_UI32_F32: return bits_of((float)(uint32_t)x);
    case OP_CAST_F32_SI32: return (uint32_t)float_to_signed(a);
    case OP_CAST_F32_UI32: return float_to_unsigned(a);
    case OP_CMP_EQ_F32U:
    case OP_CMP_LT_F32U:
    case OP_CMP_LTE_F32U:
        if (a != a || b != b) return true;
        opcode--; // with operands that have an order it is the one that ends in O
        break;
    default: break;
    }
    switch (opcode) {
    case OP_CMP_EQ_F32O: return a == b;
    case OP_CMP_NE_F32O:
    case OP_CMP_NE_F32U: return a != b;
    case OP_CMP_LT_F32O: return a < b;
    case OP_CMP_LTE_F32O: return a <= b;
    case OP_CMP_NAN_F32: return a != a;
    default: return bits_of(float_rounded(a, mode));
    }
}
