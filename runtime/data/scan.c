#include "runtime/data/scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/threads.h"

enum { PICTURES_PER_THREAD = 16 };

/* What one picture says. */
typedef struct Finding {
    const char *failure; /* or NULL */
    ImageFormat format;
    int width, height;
    uint64_t sums[SCAN_MOST_CHANNELS], squares[SCAN_MOST_CHANNELS];
} Finding;

/* Bytes and their squares are whole numbers, so that sums are exact in any order. */
typedef struct Scan {
    const Source *source;
    const ScanListener *listener;
    ScanResult *result;
    size_t stride; /* every so many samples one is visited */
    uint64_t pixels, sums[SCAN_MOST_CHANNELS], squares[SCAN_MOST_CHANNELS];
    int *widths, *heights; /* of the good ones */
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

static const SourceSample *sample_at(const Scan *scan, size_t visit) {
    return &scan->source->samples.items[visit * scan->stride];
}

static void examine_chunk(void *context, int64_t chunk, int thread) {
    (void)thread;
    const Batch *batch = context;
    const SourceSample *sample = sample_at(batch->scan, batch->first + (size_t)chunk);
    Finding *finding = &batch->findings[chunk];
    Arena *arena = arena_create();
    *finding = (Finding){0};
    Status status = examine(arena, sample, batch->scan->result->channels, finding);
    if (!status_fine(status))
        finding->failure =
            arena_copy_text(batch->arenas[chunk], status.message, strlen(status.message));
    arena_destroy(arena);
}

static void report_bad(Scan *scan, const char *name, const char *reason) {
    if (scan->listener->bad)
        scan->listener->bad(scan->listener->context, name, reason);
    scan->result->bad++;
}

static void merge(Scan *scan, const SourceSample *sample, const Finding *finding) {
    ScanResult *result = scan->result;
    if (finding->failure) {
        report_bad(scan, sample->name, finding->failure);
        return;
    }
    for (int channel = 0; channel < SCAN_MOST_CHANNELS; channel++) {
        scan->sums[channel] += finding->sums[channel];
        scan->squares[channel] += finding->squares[channel];
    }
    scan->pixels += (uint64_t)finding->width * (uint64_t)finding->height;
    scan->widths[result->good] = finding->width;
    scan->heights[result->good] = finding->height;
    result->formats[finding->format]++;
    result->good++;
}

static void scan_batch(Scan *scan, Threads *threads, size_t first, size_t count) {
    Arena *arena = arena_create();
    Batch batch = {scan, first, arena_new_array(arena, Arena *, count),
                   arena_new_array(arena, Finding, count)};
    for (size_t i = 0; i < count; i++)
        batch.arenas[i] = arena_create();
    threads_run(threads, examine_chunk, &batch, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        merge(scan, sample_at(scan, first + i), &batch.findings[i]);
        arena_destroy(batch.arenas[i]);
    }
    arena_destroy(arena);
}

static void visit_all(Scan *scan, Threads *threads) {
    const Source *source = scan->source;
    size_t count = scan->result->visited, problems = source->problems.count;
    size_t step = (size_t)threads_count(threads) * PICTURES_PER_THREAD;
    for (size_t i = 0; i < problems; i++)
        report_bad(scan, source->problems.items[i].name, source->problems.items[i].reason);
    for (size_t first = 0; first < count; first += step) {
        size_t left = count - first;
        scan_batch(scan, threads, first, left < step ? left : step);
        if (scan->listener->progress)
            scan->listener->progress(scan->listener->context,
                                     problems + (left < step ? count : first + step),
                                     problems + count, scan->result->bad);
    }
}

static int compare_integers(const void *a, const void *b) {
    int first = *(const int *)a, second = *(const int *)b;
    return (first > second) - (first < second);
}

static ScanRange range_of(int *values, size_t count) {
    qsort(values, count, sizeof *values, compare_integers);
    return (ScanRange){values[0], values[count / 2], values[count - 1]};
}

/* n * squares - sum^2 is exact, so that nothing cancels. */
static void set_statistics(const Scan *scan) {
    double count = (double)scan->pixels;
    for (int channel = 0; channel < scan->result->channels; channel++) {
        unsigned __int128 sum = scan->sums[channel];
        unsigned __int128 spread = scan->squares[channel] * (unsigned __int128)scan->pixels;
        scan->result->mean[channel] = (double)sum / count / 255;
        scan->result->deviation[channel] = sqrt((double)(spread - sum * sum)) / count / 255;
    }
}

Status scan_source(Arena *arena, const Source *source, int channels, int threads, size_t most,
                   const ScanListener *listener, ScanResult *result) {
    static const ScanListener silent = {0};
    size_t count = source->samples.count;
    Scan scan = {.source = source, .listener = listener ? listener : &silent, .result = result};
    *result = (ScanResult){.channels = channels};
    scan.stride = count > most ? (count + most - 1) / most : 1;
    result->visited = (count + scan.stride - 1) / scan.stride;
    Threads *pool;
    status_return_if_failed(threads_create(arena, threads, &pool));
    scan.widths = arena_new_array(arena, int, result->visited);
    scan.heights = arena_new_array(arena, int, result->visited);
    visit_all(&scan, pool);
    threads_destroy(pool);
    if (result->good == 0)
        return status_failure(arena, "none of %zu pictures can be decoded", result->bad);
    result->width = range_of(scan.widths, result->good);
    result->height = range_of(scan.heights, result->good);
    set_statistics(&scan);
    return STATUS_FINE;
}
