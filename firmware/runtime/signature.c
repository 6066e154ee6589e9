// SPDX-License-Identifier: Apache-2.0
#include "signature.h"

// A tensor larger than this fits no chip; it also keeps the sums below from overflowing.
#define MAX_TENSOR_BYTES (1u << 28)

static const struct {
    char name[5];
    uint32_t element_type;
} element_types[] = {
    {"i1", ELEMENT_BOOL}, {"i8", 0x10000008},  {"i16", 0x10000010},  {"i32", 0x10000020},
    {"i64", 0x10000040},  {"si8", 0x11000008}, {"si16", 0x11000010}, {"si32", 0x11000020},
    {"si64", 0x11000040}, {"ui8", 0x12000008}, {"ui16", 0x12000010}, {"ui32", 0x12000020},
    {"ui64", 0x12000040}, {"f16", 0x21000010}, {"f32", ELEMENT_F32}, {"bf16", 0x22000010},
};

typedef struct {
    span_t text;
    uint32_t at;
} cursor_t;

static int peek(const cursor_t *cursor) {
    return cursor->at < cursor->text.length ? cursor->text.data[cursor->at] : -1;
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

static uint32_t parse_element_type(cursor_t *cursor) {
    for (uint32_t i = 0; i < sizeof element_types / sizeof *element_types; i++) {
        uint32_t start = cursor->at;
        if (accept(cursor, element_types[i].name) && accept(cursor, ">"))
            return element_types[i].element_type;
        cursor->at = start;
    }
    unsupported(cursor, PHRASE_SIGNATURE_TYPE);
}

// What follows "tensor<": dimensions, each with an x after it, an element type, ">".
static void parse_tensor(cursor_t *cursor, tensor_t *tensor) {
    *tensor = (tensor_t){0};
    uint64_t elements = 1;
    while (peek(cursor) >= '0' && peek(cursor) <= '9') {
        uint64_t dim = 0;
        for (; peek(cursor) >= '0' && peek(cursor) <= '9' && dim <= UINT32_MAX; cursor->at++)
            dim = 10 * dim + (uint32_t)(peek(cursor) - '0');
        if (tensor->rank == MAX_RANK) unsupported(cursor, PHRASE_SIGNATURE_RANK);
        if (dim == 0 || dim > MAX_TENSOR_BYTES || !accept(cursor, "x"))
            unsupported(cursor, PHRASE_SIGNATURE_DIMENSION);
        tensor->dims[tensor->rank++] = (uint32_t)dim;
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
