// SPDX-License-Identifier: Apache-2.0
// Loads a module with the runtime on a computer, where a stand-in runs instead of the kernels, and prints
// what happened: the driver of keywords/tests/test_runtime_host.py.
//
//   run_module [--arena BYTES] [--entry NAME] [--runs N] [--budget N] [--in-place 1] [--interpret 1]
//   [--fail-at N]
//              MODULE [INPUT...]
//   run_module [--arena BYTES] [--budget N] [--in-place 1] --mutate SEED COUNT FIRST END MODULE
//
// INPUT is a file with all inputs one after the other; without one the module is only loaded. Several are run
// one after the other, each --runs times, and all their outputs printed. Prints one line: "OK", the memory's
// numbers, whether inferences were played, what the last one dispatched, and the outputs in hexadecimal, or
// "FAILED" and the failure's details. Exit code 0 or 1.
// --interpret plays nothing. --fail-at lets a dispatch fail, counted over all inferences; those after it go
// on.
// --mutate loads, and runs with zeros, COUNT copies of the module, in each of which one random bit of the
// bytes [FIRST, END) is flipped, both ways if it can be played; prints how many were refused and how many
// ran. Truncations: --truncate STEP MODULE.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "both_ways.h"

static struct {
    size_t arena_bytes;
    const char *entry;
    uint32_t runs;
    uint32_t budget;
    bool in_place;
    bool interpret;
    uint32_t fail_at;
    uint8_t *arena;
} options = {.arena_bytes = 4 << 20, .runs = 1};

static runtime_t runtime;

static uint8_t *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*length + 1);
    if (bytes == NULL || fread(bytes, 1, *length, file) != *length) exit(2);
    fclose(file);
    return bytes;
}

// 64-byte aligned memory that ends exactly at its end, so that the sanitizer sees an access past it. Holds a
// copy of `bytes`, or zeros.
static uint8_t *exact_copy(const uint8_t *bytes, size_t length) {
    void *copy = NULL;
    if (posix_memalign(&copy, 64, length != 0 ? length : 1) != 0) abort();
    if (bytes != NULL)
        memcpy(copy, bytes, length);
    else
        memset(copy, 0, length);
    return copy;
}

// The length of a module with the bytes between it and an arena that follows it.
static size_t rounded(size_t length) {
    return (length + 63) & ~(size_t)63;
}

// A copy of a module for the runtime to load; with --in-place the arena follows it.
static uint8_t *new_image(const uint8_t *bytes, size_t length) {
    if (!options.in_place) return exact_copy(bytes, length);
    uint8_t *image = exact_copy(NULL, rounded(length) + options.arena_bytes);
    memcpy(image, bytes, length);
    return image;
}

typedef struct {
    uint8_t *image, *arena;
    size_t length;
} load_t;

static void call_load(void *argument) {
    const load_t *job = argument;
    runtime_load(&runtime, job->image, job->length, job->arena, options.arena_bytes, options.entry);
}

static status_t load(uint8_t *image, size_t length) {
    if (options.arena == NULL && !options.in_place) options.arena = exact_copy(NULL, options.arena_bytes);
    load_t job = {image, options.in_place ? image + rounded(length) : options.arena, length};
    runtime.operation_budget = options.budget;
    runtime.arena_follows_image = options.in_place;
    status_t status = platform_guarded_call(call_load, &job);
    if (status == STATUS_OK && options.interpret) runtime.hal.recording.whole = false;
    return status;
}

// A dispatch is about to run.
void platform_mark(uint32_t event, uint32_t value) {
    static uint32_t dispatches;
    if (event == MARK_DISPATCH_BEGIN && ++dispatches == options.fail_at)
        FAIL_QUOTING(span_of("the kernel"), KERNEL_RESULT, 7, value, 0, 0);
}

static void print_result(void) {
    const signature_t *signature = runtime_signature(&runtime);
    const memory_statistics_t *memory = runtime_memory(&runtime);
    const runtime_profile_t *profile = runtime_profile(&runtime);
    uint32_t calls = 0, workgroups = 0;
    for (uint32_t i = 0; i < profile->dispatch_count; i++) {
        calls += profile->dispatches[i].calls;
        workgroups += profile->dispatches[i].workgroups;
    }
    printf(
        "OK inputs=%u outputs=%u live=%zu live_after_load=%zu peak=%zu capacity=%zu allocated=%u played=%d "
        "calls=%u workgroups=%u inferences=%u output=",
        signature->input_count, signature->output_count, memory->live, memory->live_after_load, memory->peak,
        memory->capacity, memory->allocated, runtime.hal.recording.whole, calls, workgroups,
        profile->inferences);
}

// The details in hexadecimal, which keywords/springbok/link/failures.py says in words.
static void print_failure(void) {
    span_t details = status_details();
    printf("FAILED: ");
    for (uint32_t i = 0; i < details.length; i++)
        printf("%02x", details.data[i]);
    printf("\n");
}

// Runs an input, and puts its outputs to `output`.
static status_t invoke(const char *input_path, uint8_t *output) {
    inference_t job = {.runtime = &runtime, .output_bytes = runtime_signature(&runtime)->output_bytes};
    uint8_t *file = read_file(input_path, &job.input_bytes);
    job.input = exact_copy(file, job.input_bytes);
    job.output = exact_copy(NULL, job.output_bytes);
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < options.runs && status == STATUS_OK; i++)
        status = platform_guarded_call(call_invoke, &job);
    memcpy(output, job.output, job.output_bytes);
    free(file);
    free(job.input);
    free(job.output);
    return status;
}

static status_t run_inputs(char **inputs, uint32_t count) {
    size_t bytes = runtime_signature(&runtime)->output_bytes;
    uint8_t *outputs = exact_copy(NULL, count * bytes);
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < count && (status == STATUS_OK || options.fail_at != 0); i++)
        status = invoke(inputs[i], outputs + i * bytes);
    if (status == STATUS_OK) print_result();
    for (size_t i = 0; status == STATUS_OK && i < count * bytes; i++)
        printf("%02x", outputs[i]);
    free(outputs);
    return status;
}

static int run_once(const char *module_path, char **inputs, uint32_t count) {
    size_t length;
    uint8_t *file = read_file(module_path, &length), *image = new_image(file, length);
    status_t status = load(image, length);
    if (status == STATUS_OK) status = run_inputs(inputs, count);
    if (status == STATUS_OK)
        printf("\n");
    else
        print_failure();
    runtime_unload(&runtime);
    free(image);
    free(file);
    return status != STATUS_OK;
}

typedef struct {
    uint32_t refused, failed, ran;
} tally_t;

// Loads a damaged module and runs it with zeros.
static void try_module(const uint8_t *bytes, size_t length, tally_t *tally) {
    uint8_t *image = new_image(bytes, length);
    if (load(image, length) != STATUS_OK) {
        tally->refused++;
    } else {
        const signature_t *signature = runtime_signature(&runtime);
        inference_t job = {.runtime = &runtime,
                           .input_bytes = signature->input_bytes,
                           .output_bytes = signature->output_bytes};
        job.input = exact_copy(NULL, job.input_bytes);
        job.output = exact_copy(NULL, job.output_bytes);
        if (run_both_ways(&job) == STATUS_OK)
            tally->ran++;
        else
            tally->failed++;
        free(job.input);
        free(job.output);
    }
    runtime_unload(&runtime);
    free(image);
}

static int print_tally(const tally_t *tally) {
    printf("OK refused=%u failed=%u ran=%u\n", tally->refused, tally->failed, tally->ran);
    return 0;
}

static int mutate(char **arguments) {
    uint64_t random = strtoull(arguments[0], NULL, 10);
    uint32_t count = (uint32_t)strtoul(arguments[1], NULL, 10);
    size_t first = strtoul(arguments[2], NULL, 10), end = strtoul(arguments[3], NULL, 10), length;
    uint8_t *file = read_file(arguments[4], &length);
    tally_t tally = {0};
    if (end > length) end = length;
    for (uint32_t i = 0; i < count && first < end; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t bit = (size_t)(random >> 16) % (8 * (end - first));
        file[first + bit / 8] ^= (uint8_t)(1 << bit % 8);
        try_module(file, length, &tally);
        file[first + bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(file);
    return print_tally(&tally);
}

static int truncate_module(char **arguments) {
    size_t step = strtoul(arguments[0], NULL, 10), length;
    uint8_t *file = read_file(arguments[1], &length);
    tally_t tally = {0};
    for (size_t cut = 0; step != 0 && cut < length; cut += step)
        try_module(file, cut, &tally);
    free(file);
    return print_tally(&tally);
}

int main(int argc, char **argv) {
    char **argument = argv + 1;
    int result = 2;
    for (; *argument != NULL && strncmp(*argument, "--", 2) == 0 && argument[1] != NULL; argument += 2) {
        if (strcmp(*argument, "--arena") == 0)
            options.arena_bytes = strtoul(argument[1], NULL, 10);
        else if (strcmp(*argument, "--entry") == 0)
            options.entry = argument[1];
        else if (strcmp(*argument, "--runs") == 0)
            options.runs = (uint32_t)strtoul(argument[1], NULL, 10);
        else if (strcmp(*argument, "--budget") == 0)
            options.budget = (uint32_t)strtoul(argument[1], NULL, 10);
        else if (strcmp(*argument, "--in-place") == 0)
            options.in_place = strtoul(argument[1], NULL, 10) != 0;
        else if (strcmp(*argument, "--interpret") == 0)
            options.interpret = strtoul(argument[1], NULL, 10) != 0;
        else if (strcmp(*argument, "--fail-at") == 0)
            options.fail_at = (uint32_t)strtoul(argument[1], NULL, 10);
        else
            break;
    }
    int rest = argc - (int)(argument - argv);
    if (rest == 6 && strcmp(*argument, "--mutate") == 0)
        result = mutate(argument + 1);
    else if (rest == 3 && strcmp(*argument, "--truncate") == 0)
        result = truncate_module(argument + 1);
    else if (rest >= 1 && **argument != '-')
        result = run_once(argument[0], argument + 1, (uint32_t)rest - 1);
    else
        fprintf(stderr, "usage: run_module [options] MODULE [INPUT]; see the head of run_module.c\n");
    free(options.arena);
    return result;
}
