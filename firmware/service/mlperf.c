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
#define MOST_WORDS 3u
#define ALIGNMENT 64u
_Static_assert(CHIP_INPUT_BYTES % ALIGNMENT == 0,
               "else a model's input, aligned, may be larger than its room");

static struct {
    reply_t *reply;
    span_t words[MOST_WORDS + 1]; // of the command at hand, then empty ones
    const signature_t *model;     // NULL: none is loaded
    const benchmark_request_t *benchmark;
    uint8_t *window;    // the model's input
    uint8_t *bytes;     // that the runner has loaded
    uint32_t capacity;  // of them
    uint32_t announced; // 0: none, or all of them are there
    uint32_t loaded;
    bool streaming;
    bool streamed;   // a stream runs or has run
    uint32_t frames; // of that one
    uint64_t busy_us;
    uint64_t time_limit_us; // of the command
} dialogue;

// ---- Answers

// As if it had callers elsewhere: then it keeps the registers of those that are here, who are many.
#define KEEPS_REGISTERS __attribute__((used))

// %u and %U stand for numbers of 32 and of 64 bits, %s for a text, %F for what failed. A line ends with \n.
KEEPS_REGISTERS static void say_all(const char *format, va_list values) {
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
}

static void say(const char *format, ...) {
    va_list values;
    va_start(values, format);
    say_all(format, values);
    va_end(values);
}

// Says a number's sign, and returns what is to follow it.
static uint32_t say_sign(int32_t number) {
    if (number >= 0) return (uint32_t)number;
    say("-");
    return 0u - (uint32_t)number;
}

// ---- Words of a command

// The end of another one may stand before the first command.
static bool is_space(uint8_t byte) {
    return byte <= ' ' || byte == '%';
}

static void find_words(const uint8_t *next, const uint8_t *end) {
    for (span_t *word = dialogue.words; word <= dialogue.words + MOST_WORDS; word++) {
        while (next < end && is_space(*next))
            next++;
        word->data = next;
        while (next < end && !is_space(*next))
            next++;
        word->length = (uint32_t)(next - word->data);
    }
}

// Before a command does anything: whether it has no word that it does not take. If false, that is said.
static bool has_at_most(uint32_t words) {
    if (dialogue.words[words].length == 0) return true;
    say("e-[Too many words]\n");
    return false;
}

// UINT32_MAX for what is no hexadecimal digit, and behind the word's end.
static uint32_t digit_at(const span_t *word, uint32_t i) {
    if (i >= word->length) return UINT32_MAX;
    uint32_t digit = word->data[i];
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : UINT32_MAX;
}

// Without that word *number stays as it is. False, and said, if it is no number, or none of these; `most`
// is at most 2^28.
static bool find_number(const span_t *word, uint32_t least, uint32_t most, uint32_t *number) {
    uint32_t value = word->length == 0 ? *number : 0, i = 0;
    for (; digit_at(word, i) < 10 && value <= most; i++)
        value = 10 * value + digit_at(word, i);
    *number = value;
    if (i == word->length && value >= least && value <= most) return true;
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

// False, and said, unless the runner has loaded so many bytes.
static bool has_loaded(uint32_t wanted) {
    if (dialogue.announced == 0 && dialogue.loaded == wanted) return true;
    say("e-[Input db has %u bytes, expected %u]\n", dialogue.loaded, wanted);
    return false;
}

// Brings what was loaded to where the model takes it.
static bool fill_input(void) {
    const benchmark_request_t *benchmark = dialogue.benchmark;
    bool floats = benchmark->input == INPUT_FLOAT;
    uint32_t count = dialogue.model->input_bytes, wanted = floats ? 4 * count : count;
    if (!has_loaded(wanted)) return false;
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
static float mean_error(void) {
    const float *wanted = (const float *)(const void *)dialogue.bytes;
    uint32_t count = dialogue.loaded / sizeof *wanted;
    float sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        float difference = result(i) - wanted[i];
        sum += difference * difference;
    }
    return sum / (float)count;
}

static bool wants_error(void) {
    return dialogue.benchmark->results == RESULTS_ERROR;
}

// Three decimals, as the public firmware gives them. False for what is no number, and where so many
// thousandths are more than 31 bits hold.
static NOINLINE bool say_value(float value) {
    uint32_t size = say_sign(float_to_signed(value * 1000.0f));
    if (size >= INT32_MAX) return false;
    text_line_t decimals;
    decimals.length = 0;
    text_append_number(&decimals, 1000 + size % 1000); // so that they are three, behind a 1
    decimals.text[4] = 0;
    say("%u.%s", size / 1000, decimals.text + 1);
    return true;
}

// Where one can't be said, the list is left without its end, so that no runner takes it for one.
static void say_values(uint32_t count) {
    say("m-results-[");
    for (uint32_t i = 0; i < count; i++) {
        if (i != 0) say(",");
        if (!say_value(wants_error() ? mean_error() : result(i))) {
            say("\ne-[Result %u is no number or too large]\n", i);
            return;
        }
    }
    say("]\n");
}

static void on_results(void) {
    const tensor_t *output = dialogue.model->outputs;
    uint32_t count = output->bytes / element_bytes(output->element_type);
    bool error = wants_error();
    if (!requests_has_output())
        say("e-[No inference was done yet]\n");
    else if (!is_i8(output->element_type) && output->element_type != ELEMENT_F32)
        say("e-[Results are int8 or float32]\n");
    else if (!error)
        say_values(count);
    else if (has_loaded(count * sizeof(float)))
        say_values(1);
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
    dialogue.streaming = dialogue.streamed = true;
    say("Streaming started.\n");
}

static void say_no_stream(void) {
    say("e-[There is no stream]\n");
}

static void on_stop(void) {
    if (!dialogue.streaming) {
        say_no_stream();
        return;
    }
    dialogue.streaming = false;
    say("Streaming stopped.\nm-frames-%u\nm-busy-us-%U\ntarget activations: \n[", dialogue.frames,
        dialogue.busy_us);
    for (uint32_t i = 0; i < dialogue.frames; i++) {
        if (i != 0) say(i % 16 == 0 ? ",\n" : ",");
        say("%u", say_sign(activations()[i]));
    }
    say("]\n");
}

// The first frame marks the stream's begin, as on boards, where a pin tells.
static void on_print_detections(void) {
    const benchmark_request_t *benchmark = dialogue.benchmark;
    if (!dialogue.streamed) {
        say_no_stream();
        return;
    }
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
    if (!find_number(&dialogue.words[2], 1, dialogue.capacity, &bytes)) return;
    if (dialogue.streaming && bytes % frame != 0) {
        say("e-[A stream takes frames of %u bytes]\n", frame);
        return;
    }
    requests_destination(MESSAGE_DATA, bytes); // an output is of what was loaded before
    dialogue.announced = bytes;
    dialogue.loaded = 0;
    say("m-[Expecting %u bytes]\n", bytes);
}

// All of a word or nothing. What comes beyond the announced bytes is not for the model.
static void on_bytes(const span_t *word) {
    if (!has_at_most(2)) return;
    uint8_t *next = dialogue.bytes + dialogue.loaded;
    uint32_t count = 0, left = dialogue.announced - dialogue.loaded;
    if (dialogue.announced == 0) {
        say("e-[Command 'db load' is needed before bytes]\n");
        return;
    }
    for (uint32_t i = 0; i == 0 || i < word->length; i += 2) {
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
    const span_t *word = &dialogue.words[1];
    if (span_equals(*word, "load"))
        on_load();
    else
        on_bytes(word);
}

static void on_infer(void) {
    uint32_t count = 1, warmups = WARMUPS;
    if (!find_number(&dialogue.words[1], 1, MOST_INFERENCES, &count) ||
        !find_number(&dialogue.words[2], 0, MOST_INFERENCES, &warmups) || !fill_input())
        return;
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

// First those that need no model, last those that take words.
static const struct {
    const char *name;
    void (*run)(void);
} commands[] = {
    {"name", on_name},
    {"profile", on_profile},
    {"timestamp", on_timestamp},
    {"results", on_results},
    {"start", on_start},
    {"stop", on_stop},
    {"print_detections", on_print_detections},
    {"db", on_db},
    {"infer", on_infer},
};
#define NEED_MODEL 3u
#define TAKE_WORDS 7u

void mlperf_command(const uint8_t *text, uint32_t length, reply_t *reply) {
    dialogue.reply = reply;
    find_words(text, text + length);
    dialogue.time_limit_us = platform_time_us() + 1000 * (uint64_t)requests_time_limit();
    find_memory();
    uint32_t i = 0;
    while (i < sizeof commands / sizeof *commands && !span_equals(*dialogue.words, commands[i].name))
        i++;
    if (i == sizeof commands / sizeof *commands)
        say("e-[Unknown command]\n"); // not which: who looks for "m-ready" must not find it in there
    else if (i >= NEED_MODEL && dialogue.model == NULL)
        say("e-[No model is loaded]\n");
    else if (has_at_most(i >= TAKE_WORDS ? MOST_WORDS : 1))
        commands[i].run();
    say("m-ready\n");
}

void mlperf_begin(void) {
    dialogue.streaming = dialogue.streamed = false;
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
