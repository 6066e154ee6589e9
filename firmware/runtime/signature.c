// SPDX-License-Identifier: Apache-2.0
#include "signature.h"

// A tensor larger than this fits no chip; it also keeps the sums below from overflowing.
#define MAX_TENSOR_BYTES (1u << 28)

// Element types: what stands before the count of bits, and which counts there are, as a mask.
static const struct {
    char name[3];
    uint8_t class;
    uint8_t bits;
} element_classes[] = {
    {"i", CLASS_INTEGER, 8 | 16 | 32 | 64},
    {"si", CLASS_SIGNED, 8 | 16 | 32 | 64},
    {"ui", CLASS_UNSIGNED, 8 | 16 | 32 | 64},
    {"f", CLASS_FLOAT, 16 | 32},
    {"bf", CLASS_BFLOAT, 16},
};

typedef struct {
    span_t text;
    uint32_t at;
} cursor_t;

static int peek(const cursor_t *cursor) {
    return cursor->at < cursor->text.length ? cursor->text.data[cursor->at] : -1;
}

static NOINLINE bool is_digit(const cursor_t *cursor) {
    return peek(cursor) >= '0' && peek(cursor) <= '9';
}

static NOINLINE bool accept(cursor_t *cursor, const char *text) {
    uint32_t length = text_length(text);
    if (cursor->text.length - cursor->at < length) return false;
    if (memcmp(cursor->text.data + cursor->at, text, length) != 0) return false;
    cursor->at += length;
    return true;
}

static bool skip_past(cursor_t *cursor, const char *text) {
    for (; cursor->at < cursor->text.length; cursor->at++)
        if (accept(cursor, text)) return true;
    return false;
}

static _Noreturn void unsupported(const cursor_t *cursor, phrase_t what) {
    FAIL(DECLARATION, what, cursor->at);
}

// A decimal number, 0 if there is none; digits that make it larger than any tensor are left over.
static NOINLINE uint32_t parse_number(cursor_t *cursor) {
    uint32_t number = 0;
    for (; is_digit(cursor) && number <= MAX_TENSOR_BYTES; cursor->at++)
        number = 10 * number + (uint32_t)(peek(cursor) - '0');
    return number;
}

static uint32_t parse_element_type(cursor_t *cursor) {
    if (accept(cursor, "i1>")) return ELEMENT_BOOL;
    for (uint32_t i = 0; i < sizeof element_classes / sizeof *element_classes; i++) {
        if (!accept(cursor, element_classes[i].name)) continue;
        uint32_t bits = parse_number(cursor);
        if ((bits & (bits - 1)) != 0 || (bits & element_classes[i].bits) == 0 || !accept(cursor, ">")) break;
        return (uint32_t)element_classes[i].class << 24 | bits;
    }
    unsupported(cursor, PHRASE_SIGNATURE_TYPE);
}

// What follows "tensor<": dimensions, each with an x after it, an element type, ">".
static void parse_tensor(cursor_t *cursor, tensor_t *tensor) {
    *tensor = (tensor_t){0};
    uint64_t elements = 1;
    while (is_digit(cursor)) {
        uint32_t dim = parse_number(cursor);
        if (tensor->rank == MAX_RANK) unsupported(cursor, PHRASE_SIGNATURE_RANK);
        if (dim == 0 || dim > MAX_TENSOR_BYTES || !accept(cursor, "x"))
            unsupported(cursor, PHRASE_SIGNATURE_DIMENSION);
        tensor->dims[tensor->rank++] = dim;
        elements *= dim;
        if (elements > MAX_TENSOR_BYTES) unsupported(cursor, PHRASE_SIGNATURE_BYTES);
    }
    if (peek(cursor) == '?') unsupported(cursor, PHRASE_SIGNATURE_DYNAMIC);
    tensor->element_type = parse_element_type(cursor);
    elements *= element_bytes(tensor->element_type);
    if (elements > MAX_TENSOR_BYTES) unsupported(cursor, PHRASE_SIGNATURE_BYTES);
    tensor->bytes = (uint32_t)elements;
}

// "(%name: tensor<...> {attributes}, ...)"
static void parse_list(cursor_t *cursor, tensor_t *tensors, uint32_t *count, uint32_t *bytes) {
    *count = *bytes = 0;
    if (!accept(cursor, "(")) unsupported(cursor, PHRASE_SIGNATURE_LIST);
    while (!accept(cursor, ")")) {
        if (*count == MAX_TENSORS) unsupported(cursor, PHRASE_SIGNATURE_COUNT);
        if (peek(cursor) == '%') skip_past(cursor, ": ");
        if (!accept(cursor, "tensor<")) unsupported(cursor, PHRASE_SIGNATURE_ARGUMENT);
        parse_tensor(cursor, &tensors[*count]);
        if (accept(cursor, " {")) {
            // Unsigned elements: "tensor<4xi8> {iree.abi.encoding = tensor<4xui8>}".
            if (accept(cursor, "iree.abi.encoding = tensor<")) parse_tensor(cursor, &tensors[*count]);
            if (!skip_past(cursor, "}")) unsupported(cursor, PHRASE_SIGNATURE_BRACE);
        }
        *bytes += tensors[*count].bytes;
        ++*count;
        if (!accept(cursor, ", ") && peek(cursor) != ')') unsupported(cursor, PHRASE_SIGNATURE_UNKNOWN);
    }
}

void signature_parse(span_t declaration, signature_t *signature) {
    cursor_t cursor = {.text = declaration};
    if (declaration.length == 0) FAIL(DECLARATION_MISSING);
    if (!accept(&cursor, "sync func @")) unsupported(&cursor, PHRASE_SIGNATURE_ASYNCHRONOUS);
    while (peek(&cursor) != '(' && peek(&cursor) >= 0)
        cursor.at++;
    parse_list(&cursor, signature->inputs, &signature->input_count, &signature->input_bytes);
    if (!accept(&cursor, " -> ")) unsupported(&cursor, PHRASE_SIGNATURE_RESULTS);
    parse_list(&cursor, signature->outputs, &signature->output_count, &signature->output_bytes);
}
