#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/data/scan.h"
#include "runtime/threads.h"
#include "tools/command.h"
#include "tools/options.h"

enum { MOST_THREADS = 1024 };

enum { KEY_CHANNELS = 0x100, KEY_THREADS };

typedef struct ScanOptions {
    Arena *arena;
    VECTOR(const char *) paths;
    int channels, threads;
    bool json;
} ScanOptions;

static const struct argp_option option_table[] = {
    {"channels", KEY_CHANNELS, "N", 0, "1 (grey), 3 (RGB, the default) or 4 (RGB and alpha)", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads that decode; all processors by default", 0},
    OPTIONS_JSON,
    {0}};

static error_t parse(int key, char *argument, struct argp_state *state) {
    ScanOptions *options = state->input;
    switch (key) {
    case KEY_CHANNELS:
        options->channels =
            (int)options_integer(state, "--channels", argument, 1, SCAN_MOST_CHANNELS);
        if (options->channels == 2)
            argp_error(state, "--channels: 1, 3 or 4");
        return 0;
    case KEY_THREADS:
        options->threads = (int)options_integer(state, "--threads", argument, 1, MOST_THREADS);
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_ARG:
        vector_push(options->arena, &options->paths, argument);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "name a folder, tar shards or pictures");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_table,
    parse,
    "SOURCE...",
    "Decodes every picture of folders (searched through and through), tar shards and single files: "
    "counts good and bad ones, names each bad one with the reason, and prints sizes and, over all "
    "pixels, mean and standard deviation of each channel."
    "\vExamples:\n"
    "  sparkc scan pictures/\n"
    "  sparkc scan shards/train-*.tar --json\n"
    "  sparkc scan x-rays/ --channels 1\n",
    NULL,
    NULL,
    NULL};

/* Where the scan's words go. */
typedef struct Hearing {
    Arena *arena;
    bool progress; /* a line on a terminal */
    json_t *bad_files;
} Hearing;

static void hear_bad(void *context, const char *name, const char *reason) {
    Hearing *hearing = context;
    Text shown = text_create(hearing->arena), words = text_create(hearing->arena);
    text_append_escaped(&shown, name);
    text_append_escaped(&words, reason);
    fprintf(stderr, "%swarning: %s: %s\n", hearing->progress ? "\r\033[K" : "", shown.data,
            words.data);
    json_array_append_new(hearing->bad_files,
                          json_pack("{s:s, s:s}", "name", shown.data, "reason", words.data));
}

static void hear_progress(void *context, size_t done, size_t all, size_t bad) {
    const Hearing *hearing = context;
    if (hearing->progress)
        fprintf(stderr, "\r\033[K%zu of %zu files, %zu bad", done, all, bad);
}

static json_t *range_json(ScanRange range) {
    return json_pack("{s:i, s:i, s:i}", "least", range.least, "median", range.median, "most",
                     range.most);
}

static json_t *values_json(const double *values, int count) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_real(values[i]));
    return list;
}

static json_t *scan_json(const ScanResult *scan, const Source *source, json_t *bad_files) {
    json_t *result = json_object(), *formats = json_object();
    json_object_set_new(result, "good", json_integer((json_int_t)scan->good));
    json_object_set_new(result, "bad", json_integer((json_int_t)scan->bad));
    json_object_set_new(result, "others", json_integer((json_int_t)source->others));
    for (int format = IMAGE_FORMAT_JPEG; format < IMAGE_FORMAT_COUNT; format++)
        json_object_set_new(formats, image_format_name((ImageFormat)format),
                            json_integer((json_int_t)scan->formats[format]));
    json_object_set_new(result, "formats", formats);
    json_object_set_new(result, "width", range_json(scan->width));
    json_object_set_new(result, "height", range_json(scan->height));
    json_object_set_new(result, "channels", json_integer(scan->channels));
    json_object_set_new(result, "mean", values_json(scan->mean, scan->channels));
    json_object_set_new(result, "std", values_json(scan->deviation, scan->channels));
    json_object_set(result, "bad_files", bad_files);
    return result;
}

static void print_values(const char *title, const double *values, int count) {
    printf("%-9s", title);
    for (int i = 0; i < count; i++)
        printf(" %.4f", values[i]);
    putchar('\n');
}

static void print_range(const char *title, ScanRange range) {
    printf("%-9s %d to %d, median %d\n", title, range.least, range.most, range.median);
}

static void print_text(const ScanResult *scan, const Source *source) {
    printf("%-9s %zu good (%zu JPEG, %zu PNG), %zu bad, %zu other files\n", "pictures", scan->good,
           scan->formats[IMAGE_FORMAT_JPEG], scan->formats[IMAGE_FORMAT_PNG], scan->bad,
           source->others);
    print_range("width", scan->width);
    print_range("height", scan->height);
    print_values("mean", scan->mean, scan->channels);
    print_values("std", scan->deviation, scan->channels);
}

static Status run(const ScanOptions *options, Hearing *hearing) {
    Source source;
    ScanResult scan;
    ScanListener listener = {hearing, hear_bad, hear_progress};
    status_return_if_failed(
        source_open(hearing->arena, options->paths.items, options->paths.count, &source));
    Status status = scan_source(hearing->arena, &source, options->channels, options->threads,
                                source.samples.count, &listener, &scan);
    source_close(&source);
    if (hearing->progress)
        fputs("\r\033[K", stderr);
    status_return_if_failed(status);
    if (options->json) {
        json_t *result = scan_json(&scan, &source, hearing->bad_files);
        json_dumpf(result, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(result);
    } else {
        print_text(&scan, &source);
    }
    return STATUS_FINE;
}

int command_scan(int argc, char **argv) {
    Arena *arena = arena_create();
    ScanOptions options = {.arena = arena, .channels = 3, .threads = threads_available()};
    options_parse(&argp, argc, argv, &options);
    Hearing hearing = {arena, isatty(STDERR_FILENO), json_array()};
    Status status = run(&options, &hearing);
    if (!status_fine(status))
        options_print_failure("scan", status);
    json_decref(hearing.bad_files);
    arena_destroy(arena);
    return status_fine(status) ? EXIT_FINE : EXIT_FAILED;
}
