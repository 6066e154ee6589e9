// SPDX-License-Identifier: Apache-2.0
#include "mlperf.h"

#if SERVES_MLPERF

#include <stdarg.h>

#include "../runtime/float.h"
#include "../runtime/platform.h"
#include "chip.h"
#include "failure_text.h"

#define MOST_INFERENCES 1000000u
#define WARMUPS 10u // unless the command says otherwise
#define ALIGNMENT 64u
_Static_assert(CHIP_INPUT_BYTES % ALIGNMENT == 0,
               "else a model's input, aligned, may be larger than its room");

static struct {
    reply_t *reply;
    const uint8_t *next, *end; // of the command at hand
    const signature_t *model;  // NULL: none is loaded
    const benchmark_request_t *benchmark;
    uint8_t *window;    // the model's input
    uint8_t *bytes;     // that the runner has loaded
    uint32_t capacity;  // of them
    uint32_t announced; // 0: none, or all of them are there
    uint32_t loaded;
    bool streaming;
    uint32_t frames; // of the stream that runs, or of the last one
    uint64_t busy_us;
    uint64_t time_limit_us; // of the command
} dialogue;

// ---- Answers

// %u and %U stand for numbers of 32 and of 64 bits, %s for a text, %F for what failed. A line ends with \n.
static void say(const char *format, ...) {
    va_list values;
    va_start(values, format);
    for (; *format != 0; format++) {
        text_line_t part;
        part.length = 0;
        if (*format == '\n') platform_uart_write((const uint8_t *)"\r", 1);
        if (*format != '%')
            platform_uart_write((const uint8_t *)format, 1);
        else if (*++format == 'u')
            text_append_number(&part, va_arg(values, uint32_t));
        else if (*format == 'U')
            text_append_number(&part, va_arg(values, uint64_t));
        else if (*format == 's')
            text_append(&part, va_arg(values, const char *));
        else
            text_append_failure(&part);
        platform_uart_write((const uint8_t *)part.text, part.length);
    }
    va_end(values);
}

static const char *sign_of(int32_t number) {
    return number < 0 ? "-" : "";
}

static uint32_t size_of(int32_t number) {
    return number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
}

// ---- Words of a command

// The end of another one may stand before the first command.
static bool is_space(uint8_t byte) {
    return byte <= ' ' || byte == '%';
}

static span_t next_word(void) {
    const uint8_t *next = dialogue.next;
    while (next < dialogue.end && is_space(*next))
        next++;
    span_t word = {.data = next};
    while (next < dialogue.end && !is_space(*next))
        next++;
    word.length = (uint32_t)(next - word.data);
    dialogue.next = next;
    return word;
}

// UINT32_MAX for what is no hexadecimal digit, and behind the word's end.
static uint32_t digit_at(span_t word, uint32_t i) {
    if (i >= word.length) return UINT32_MAX;
    uint32_t digit = word.data[i];
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : UINT32_MAX;
}

// Without a next word *number stays as it is. False, and said, if it is no number, or none of these; `most`
// is at most 2^28.
static bool next_number(uint32_t least, uint32_t most, uint32_t *number) {
    span_t word = next_word();
    uint32_t value = word.length == 0 ? *number : 0, i = 0;
    for (; digit_at(word, i) < 10 && value <= most; i++)
        value = 10 * value + digit_at(word, i);
    *number = value;
    if (i == word.length && value >= least && value <= most) return true;
    say("e-[A number from %u to %u is needed]\n", least, most);
    return false;
}

// ---- The model's input and output

// The memory of inputs holds the model's own, then what the runner loads; of a stream, then an activation a
// frame.
static void find_memory(void) {
    dialogue.model = requests_signature();
    dialogue.benchmark = requests_benchmark();
    dialogue.window = requests_input();
    if (dialogue.model == NULL) return;
    uint32_t own = (dialogue.model->input_bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    dialogue.bytes = dialogue.window + own;
    dialogue.capacity = CHIP_INPUT_BYTES - own;
    if (dialogue.benchmark->frame_bytes != 0) dialogue.capacity /= 2;
}

static int8_t *activations(void) {
    return (int8_t *)dialogue.bytes + dialogue.capacity;
}

static NOINLINE float result(uint32_t i) {
    const benchmark_request_t *benchmark = dialogue.benchmark;
    const uint8_t *bytes = requests_output();
    if (!is_i8(dialogue.model->outputs->element_type)) return ((const float *)(const void *)bytes)[i];
    return benchmark->output_scale * (float)((int8_t)bytes[i] - benchmark->output_zero_point);
}

static void say_size(uint32_t wanted) {
    say("e-[Input db has %u bytes, expected %u]\n", dialogue.loaded, wanted);
}

// Brings what was loaded to where the model takes it.
static bool fill_input(void) {
    const benchmark_request_t *benchmark = dialogue.benchmark;
    bool floats = benchmark->input == INPUT_FLOAT;
    uint32_t count = dialogue.model->input_bytes, wanted = floats ? 4 * count : count;
    if (dialogue.announced != 0 || dialogue.loaded != wanted) {
        say_size(wanted);
        return false;
    }
    const uint8_t *from = dialogue.bytes;
    uint8_t *to = dialogue.window;
    for (uint32_t i = 0; i < count; i++)
        if (floats)
            to[i] = (uint8_t)float_quantised(((const float *)(const void *)from)[i], benchmark->input_scale,
                                             benchmark->input_zero_point);
        else
            to[i] = benchmark->input == INPUT_UNSIGNED ? from[i] ^ 0x80 : from[i];
    return true;
}

// Not after the time that a request may take.
static bool infer_once(void) {
    requests_run(MESSAGE_PROCESS, 0, dialogue.reply);
    bool done = dialogue.reply->status == STATUS_OK;
    if (done && platform_time_us() <= dialogue.time_limit_us) return true;
    say(done ? "e-[Stopped after %u ms]\n" : "e-[%F]\n", requests_time_limit());
    return false;
}

static bool infer_often(uint32_t count) {
    for (; count > 0; count--)
        if (!infer_once()) return false;
    return true;
}

// The mean of the squares of what the output differs from what the runner has loaded.
static float mean_error(uint32_t count) {
    const float *wanted = (const float *)(const void *)dialogue.bytes;
    float sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        float difference = result(i) - wanted[i];
        sum += difference * difference;
    }
    return sum / (float)count;
}

// Three decimals, as the public firmware gives them.
static void say_value(float value) {
    int32_t thousandths = float_to_signed(value * 1000.0f);
    uint32_t size = size_of(thousandths);
    text_line_t decimals = {0};
    text_append_number(&decimals, 1000 + size % 1000); // so that they are three, behind a 1
    say("%s%u.%s", sign_of(thousandths), size / 1000, decimals.text + 1);
}

static void on_results(void) {
    const tensor_t *output = dialogue.model->outputs;
    uint32_t count = output->bytes / element_bytes(output->element_type);
    bool error = dialogue.benchmark->results == RESULTS_ERROR;
    if (!requests_has_output())
        say("e-[No inference was done yet]\n");
    else if (!is_i8(output->element_type) && output->element_type != ELEMENT_F32)
        say("e-[Results are int8 or float32]\n");
    else if (error && (count == 0 || dialogue.loaded != count * sizeof(float)))
        say_size(count * sizeof(float));
    else {
        say("m-results-[");
        if (error) say_value(mean_error(count));
        for (uint32_t i = 0; i < count && !error; i++) {
            if (i != 0) say(",");
            say_value(result(i));
        }
        say("]\n");
    }
}

// ---- Streams

// Moves the window on by one frame, and infers.
static bool take_frame(const uint8_t *frame) {
    uint32_t bytes = dialogue.benchmark->frame_bytes, kept = dialogue.model->input_bytes - bytes;
    uint8_t *window = dialogue.window;
    for (uint32_t i = 0; i < kept; i++)
        window[i] = window[i + bytes];
    platform_copy(window + kept, frame, bytes);
    uint64_t begin = platform_time_us();
    if (!infer_once()) return false;
    dialogue.busy_us += platform_time_us() - begin;
    if (dialogue.frames < dialogue.capacity) activations()[dialogue.frames++] = (int8_t)*requests_output();
    return true;
}

static void take_frames(void) {
    uint32_t bytes = dialogue.benchmark->frame_bytes;
    for (uint32_t at = 0; at < dialogue.loaded && dialogue.streaming; at += bytes)
        dialogue.streaming = take_frame(dialogue.bytes + at);
}

static void on_start(void) {
    if (dialogue.benchmark->frame_bytes == 0 || !is_i8(dialogue.model->inputs->element_type) ||
        !is_i8(dialogue.model->outputs->element_type)) {
        say("e-[The model takes no stream]\n");
        return;
    }
    platform_fill(dialogue.window, 0, dialogue.model->input_bytes);
    mlperf_begin();
    dialogue.streaming = true;
    say("Streaming started.\n");
}

static void on_stop(void) {
    if (!dialogue.streaming || dialogue.model == NULL) {
        say("No stream is running.\n");
        return;
    }
    dialogue.streaming = false;
    say("Streaming stopped.\nm-frames-%u\nm-busy-us-%U\ntarget activations: \n[", dialogue.frames,
        dialogue.busy_us);
    for (uint32_t i = 0; i < dialogue.frames; i++) {
        if (i != 0) say(i % 16 == 0 ? ",\n" : ",");
        say("%s%u", sign_of(activations()[i]), size_of(activations()[i]));
    }
    say("]\n");
}

// The first frame marks the stream's begin, as on boards, where a pin tells.
static void on_print_detections(void) {
    const benchmark_request_t *benchmark = dialogue.benchmark;
    say("Detection Timestamps (ms)\n");
    for (uint32_t i = 0; i < dialogue.frames; i++)
        if (i == 0 || activations()[i] > benchmark->threshold)
            say("%u,\n", (uint32_t)((uint64_t)(i + 1) * benchmark->frame_us / 1000));
}

// ---- Commands

static void on_name(void) {
    say("m-name-dut-[springbok-bench]\n");
}

static void on_profile(void) {
    const char *model = dialogue.benchmark->model;
    say("m-profile-[springbok-bench]\nm-model-[%s]\n", *model != 0 ? model : "none");
}

static void on_timestamp(void) {
    say("m-lap-us-%U\n", platform_time_us());
}

static void on_load(void) {
    uint32_t bytes = 0, frame = dialogue.benchmark->frame_bytes;
    if (!next_number(1, dialogue.capacity, &bytes)) return;
    if (dialogue.streaming && bytes % frame != 0) {
        say("e-[A stream takes frames of %u bytes]\n", frame);
        return;
    }
    dialogue.announced = bytes;
    dialogue.loaded = 0;
    say("m-[Expecting %u bytes]\n", bytes);
}

// All of a word or nothing. What comes beyond the announced bytes is not for the model.
static void on_bytes(span_t word) {
    uint8_t *next = dialogue.bytes + dialogue.loaded;
    uint32_t count = 0, left = dialogue.announced - dialogue.loaded;
    if (dialogue.announced == 0) {
        say("e-[Command 'db load' is needed before bytes]\n");
        return;
    }
    for (uint32_t i = 0; i == 0 || i < word.length; i += 2) {
        uint32_t byte = digit_at(word, i) << 4 | digit_at(word, i + 1);
        if (byte > 0xff) {
            say("e-[Invalid hex digits at %u]\n", i + 1);
            return;
        }
        if (count < left) next[count++] = (uint8_t)byte;
    }
    dialogue.loaded += count;
    if (count < left) return;
    dialogue.announced = 0;
    if (dialogue.streaming) take_frames();
    say("m-load-done\n");
}

static void on_db(void) {
    span_t word = next_word();
    if (span_equals(word, "load"))
        on_load();
    else
        on_bytes(word);
}

static void on_infer(void) {
    uint32_t count = 1, warmups = WARMUPS;
    if (!next_number(1, MOST_INFERENCES, &count) || !next_number(0, MOST_INFERENCES, &warmups)) return;
    if (!fill_input()) return;
    dialogue.streaming = false;
    say("m-warmup-start-%u\n", warmups);
    if (!infer_often(warmups)) return;
    say("m-warmup-done\nm-infer-start-%u\n", count);
    on_timestamp();
    if (!infer_often(count)) return;
    on_timestamp();
    say("m-infer-done\n");
    on_results();
}

static const struct {
    const char *name;
    void (*run)(void);
    bool needs_model;
} commands[] = {
    {"name", on_name, false},
    {"profile", on_profile, false},
    {"timestamp", on_timestamp, false},
    {"db", on_db, true},
    {"infer", on_infer, true},
    {"results", on_results, true},
    {"start", on_start, true},
    {"stop", on_stop, false},
    {"print_detections", on_print_detections, true},
};

void mlperf_command(const uint8_t *text, uint32_t length, reply_t *reply) {
    dialogue.reply = reply;
    dialogue.next = text;
    dialogue.end = text + length;
    dialogue.time_limit_us = platform_time_us() + 1000 * (uint64_t)requests_time_limit();
    find_memory();
    span_t word = next_word();
    uint32_t i = 0;
    while (i < sizeof commands / sizeof *commands && !span_equals(word, commands[i].name))
        i++;
    if (i == sizeof commands / sizeof *commands)
        say("e-[Unknown command]\n"); // not which: who looks for "m-ready" must not find it in there
    else if (commands[i].needs_model && dialogue.model == NULL)
        say("e-[No model is loaded]\n");
    else
        commands[i].run();
    say("m-ready\n");
}

void mlperf_begin(void) {
    dialogue.streaming = false;
    dialogue.frames = dialogue.announced = dialogue.loaded = 0;
    dialogue.busy_us = 0;
}

void mlperf_deny(void) {
    say("e-[Another host is at work]\nm-ready\n");
}

void mlperf_refusal(void) {
    say("e-[%F]\nm-ready\n");
}

#endif
