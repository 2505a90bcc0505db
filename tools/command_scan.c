#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/data/image.h"
#include "runtime/data/source.h"
#include "runtime/threads.h"
#include "tools/command.h"
#include "tools/options.h"

enum { MOST_CHANNELS = 4, MOST_THREADS = 1024, PICTURES_PER_THREAD = 16 };

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
        options->channels = (int)options_integer(state, "--channels", argument, 1, MOST_CHANNELS);
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

/* What one picture says. */
typedef struct Finding {
    const char *failure; /* or NULL */
    ImageFormat format;
    int width, height;
    uint64_t sums[MOST_CHANNELS], squares[MOST_CHANNELS];
} Finding;

/* Bytes and their squares are whole numbers, so that sums are exact in any order. */
typedef struct Scan {
    const ScanOptions *options;
    Arena *arena;
    Source source;
    size_t good, bad, formats[IMAGE_FORMAT_COUNT];
    uint64_t pixels, sums[MOST_CHANNELS], squares[MOST_CHANNELS];
    int *widths, *heights; /* of the good ones */
    json_t *bad_files;
    bool progress; /* a line on a terminal */
} Scan;

/* Some samples, decoded at a time. */
typedef struct Batch {
    const Scan *scan;
    size_t first;
    Arena **arenas; /* of the findings */
    Finding *findings;
} Batch;

static void add_pixels(const Image *image, Finding *finding) {
    size_t count = (size_t)image->width * (size_t)image->height, channels = (size_t)image->channels;
    for (size_t channel = 0; channel < channels; channel++) {
        uint64_t sum = 0, squares = 0;
        for (size_t i = 0; i < count; i++) {
            uint32_t byte = image->pixels[i * channels + channel];
            sum += byte;
            squares += byte * byte;
        }
        finding->sums[channel] = sum;
        finding->squares[channel] = squares;
    }
}

static Status examine(Arena *arena, const SourceSample *sample, int channels, Finding *finding) {
    const uint8_t *bytes;
    size_t length;
    Image image;
    status_return_if_failed(source_read(arena, sample, &bytes, &length));
    finding->format = image_format(bytes, length);
    status_return_if_failed(
        image_decode(arena, bytes, length, channels, &image_default_limits, &image));
    finding->width = image.width;
    finding->height = image.height;
    add_pixels(&image, finding);
    return STATUS_FINE;
}

static void examine_chunk(void *context, int64_t chunk, int thread) {
    (void)thread;
    const Batch *batch = context;
    const SourceSample *sample = &batch->scan->source.samples.items[batch->first + (size_t)chunk];
    Finding *finding = &batch->findings[chunk];
    Arena *arena = arena_create();
    *finding = (Finding){0};
    Status status = examine(arena, sample, batch->scan->options->channels, finding);
    if (!status_fine(status))
        finding->failure =
            arena_copy_text(batch->arenas[chunk], status.message, strlen(status.message));
    arena_destroy(arena);
}

static void warn(Scan *scan, const char *name, const char *reason) {
    Text shown = text_create(scan->arena), words = text_create(scan->arena);
    text_append_escaped(&shown, name);
    text_append_escaped(&words, reason);
    fprintf(stderr, "%swarning: %s: %s\n", scan->progress ? "\r\033[K" : "", shown.data,
            words.data);
    json_array_append_new(scan->bad_files,
                          json_pack("{s:s, s:s}", "name", shown.data, "reason", words.data));
    scan->bad++;
}

static void merge(Scan *scan, const SourceSample *sample, const Finding *finding) {
    if (finding->failure) {
        warn(scan, sample->name, finding->failure);
        return;
    }
    for (int channel = 0; channel < MOST_CHANNELS; channel++) {
        scan->sums[channel] += finding->sums[channel];
        scan->squares[channel] += finding->squares[channel];
    }
    scan->pixels += (uint64_t)finding->width * (uint64_t)finding->height;
    scan->widths[scan->good] = finding->width;
    scan->heights[scan->good] = finding->height;
    scan->formats[finding->format]++;
    scan->good++;
}

static void scan_batch(Scan *scan, Threads *threads, size_t first, size_t count) {
    Arena *arena = arena_create();
    Batch batch = {scan, first, arena_new_array(arena, Arena *, count),
                   arena_new_array(arena, Finding, count)};
    for (size_t i = 0; i < count; i++)
        batch.arenas[i] = arena_create();
    threads_run(threads, examine_chunk, &batch, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        merge(scan, &scan->source.samples.items[first + i], &batch.findings[i]);
        arena_destroy(batch.arenas[i]);
    }
    arena_destroy(arena);
}

static Status scan_all(Scan *scan) {
    Threads *threads;
    size_t count = scan->source.samples.count;
    size_t step = (size_t)scan->options->threads * PICTURES_PER_THREAD;
    status_return_if_failed(threads_create(scan->arena, scan->options->threads, &threads));
    scan->widths = arena_new_array(scan->arena, int, count);
    scan->heights = arena_new_array(scan->arena, int, count);
    for (size_t i = 0; i < scan->source.problems.count; i++)
        warn(scan, scan->source.problems.items[i].name, scan->source.problems.items[i].reason);
    for (size_t first = 0; first < count; first += step) {
        scan_batch(scan, threads, first, count - first < step ? count - first : step);
        if (scan->progress)
            fprintf(stderr, "\r\033[K%zu of %zu files, %zu bad", scan->good + scan->bad,
                    count + scan->source.problems.count, scan->bad);
    }
    if (scan->progress)
        fputs("\r\033[K", stderr);
    threads_destroy(threads);
    if (scan->good == 0)
        return status_failure(scan->arena, "none of %zu pictures can be decoded", scan->bad);
    return STATUS_FINE;
}

static int compare_integers(const void *a, const void *b) {
    int first = *(const int *)a, second = *(const int *)b;
    return (first > second) - (first < second);
}

/* {"least": .., "median": .., "most": ..} of the good pictures; sorts. */
static json_t *range_json(const Scan *scan, int *values) {
    qsort(values, scan->good, sizeof *values, compare_integers);
    return json_pack("{s:i, s:i, s:i}", "least", values[0], "median", values[scan->good / 2],
                     "most", values[scan->good - 1]);
}

/* Of values 0..1. n * squares - sum^2 is exact, so that nothing cancels. */
static void add_statistics(json_t *result, const Scan *scan) {
    json_t *means = json_array(), *deviations = json_array();
    double count = (double)scan->pixels;
    for (int channel = 0; channel < scan->options->channels; channel++) {
        unsigned __int128 sum = scan->sums[channel];
        unsigned __int128 spread = scan->squares[channel] * (unsigned __int128)scan->pixels;
        json_array_append_new(means, json_real((double)sum / count / 255));
        json_array_append_new(deviations,
                              json_real(sqrt((double)(spread - sum * sum)) / count / 255));
    }
    json_object_set_new(result, "mean", means);
    json_object_set_new(result, "std", deviations);
}

static json_t *scan_json(Scan *scan) {
    json_t *result = json_object(), *formats = json_object();
    json_object_set_new(result, "good", json_integer((json_int_t)scan->good));
    json_object_set_new(result, "bad", json_integer((json_int_t)scan->bad));
    json_object_set_new(result, "others", json_integer((json_int_t)scan->source.others));
    for (int format = IMAGE_FORMAT_JPEG; format < IMAGE_FORMAT_COUNT; format++)
        json_object_set_new(formats, image_format_name((ImageFormat)format),
                            json_integer((json_int_t)scan->formats[format]));
    json_object_set_new(result, "formats", formats);
    json_object_set_new(result, "width", range_json(scan, scan->widths));
    json_object_set_new(result, "height", range_json(scan, scan->heights));
    json_object_set_new(result, "channels", json_integer(scan->options->channels));
    add_statistics(result, scan);
    json_object_set(result, "bad_files", scan->bad_files);
    return result;
}

static void print_values(const char *title, const json_t *values) {
    size_t i;
    json_t *value;
    printf("%-9s", title);
    json_array_foreach(values, i, value) printf(" %.4f", json_real_value(value));
    putchar('\n');
}

static void print_range(const char *title, const json_t *range) {
    int least, median, most;
    json_unpack((json_t *)(uintptr_t)range, "{s:i, s:i, s:i}", "least", &least, "median", &median,
                "most", &most);
    printf("%-9s %d to %d, median %d\n", title, least, most, median);
}

static void print_text(const Scan *scan, const json_t *result) {
    printf("%-9s %zu good (%zu JPEG, %zu PNG), %zu bad, %zu other files\n", "pictures", scan->good,
           scan->formats[IMAGE_FORMAT_JPEG], scan->formats[IMAGE_FORMAT_PNG], scan->bad,
           scan->source.others);
    print_range("width", json_object_get(result, "width"));
    print_range("height", json_object_get(result, "height"));
    print_values("mean", json_object_get(result, "mean"));
    print_values("std", json_object_get(result, "std"));
}

static Status run(Scan *scan) {
    const ScanOptions *options = scan->options;
    status_return_if_failed(
        source_open(scan->arena, options->paths.items, options->paths.count, &scan->source));
    status_return_if_failed(scan_all(scan));
    json_t *result = scan_json(scan);
    if (options->json) {
        json_dumpf(result, stdout, JSON_INDENT(1));
        putchar('\n');
    } else {
        print_text(scan, result);
    }
    json_decref(result);
    return STATUS_FINE;
}

int command_scan(int argc, char **argv) {
    Arena *arena = arena_create();
    ScanOptions options = {.arena = arena, .channels = 3, .threads = threads_available()};
    options_parse(&argp, argc, argv, &options);
    Scan scan = {.options = &options,
                 .arena = arena,
                 .bad_files = json_array(),
                 .progress = isatty(STDERR_FILENO)};
    Status status = run(&scan);
    if (!status_fine(status)) {
        Text words = text_create(arena);
        text_append_escaped(&words, status.message);
        fprintf(stderr, "sparkc scan: %s\n", words.data);
    }
    json_decref(scan.bad_files);
    arena_destroy(arena);
    return status_fine(status) ? EXIT_FINE : EXIT_FAILED;
}
