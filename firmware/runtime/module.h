// SPDX-License-Identifier: Apache-2.0
// A loaded bytecode module: the tables of the VMFB, read and checked once, in a shape that runs fast.
#ifndef SPRINGBOK_MODULE_H
#define SPRINGBOK_MODULE_H

#include "archive.h"
#include "memory.h"
#include "object.h"
#include "signature.h"
#include "status.h"

// The bytecode that this runtime executes: same major, minor not newer.
#define BYTECODE_MAJOR 17
#define BYTECODE_MINOR 0
#define BYTECODE_VERSION ((uint32_t)BYTECODE_MAJOR << 16 | BYTECODE_MINOR)

struct import;

// `arguments` and `results` have one letter a value: i (i32), I (i64), f (f32), r (reference).
typedef struct {
    const uint8_t *code; // 2-byte aligned
    uint32_t length;
    uint16_t block_count;
    uint16_t i32_count; // registers
    uint16_t ref_count;
    bool reads_bytes; // one of its instructions takes a number out of a buffer; set by the verifier
    span_t arguments;
    span_t results;
    span_t declaration; // "sync func @main(%input0: tensor<…>) -> (…)"; empty if the compiler left none
} function_t;

typedef struct {
    archive_t archive;
    vector_t exports;
    function_t *functions;
    uint32_t function_count;
    const struct import **imports; // NULL: optional and not provided
    uint32_t import_count;
    buffer_t *rodata;
    uint32_t rodata_count;
    uint8_t *types; // object_type_t; 0 = not a type of this runtime; TYPE_ANY
    uint32_t type_count;
    uint32_t *global_bytes;
    uint32_t global_byte_count;
    object_t **global_refs;
    uint32_t global_ref_count;
} module_t;

enum { TYPE_ANY = 0xff };

// Registers of each kind that a function may have.
#define REGISTER_LIMIT 0x4000

// Constants, imports and functions that a module may have: the interpreter reads 16 bits of their ordinals.
#define ORDINAL_LIMIT 0x10000

// Reads the module in image[0, length), which must stay as it is, into *module, which is zero. What has no
// place in the image comes from `memory`. The bytecode itself is not looked at: verifier.h does that.
void module_load(module_t *module, const uint8_t *image, size_t length, memory_t *memory);

// Ordinal of an exported function; UINT32_MAX if there is none of that name.
uint32_t module_find_export(module_t *module, const char *name);

// The function to run: the export of that name, or, for NULL, "main" or the only public export.
uint32_t module_find_entry(module_t *module, const char *name);

#endif
