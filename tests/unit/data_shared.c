/* The recorded pictures: each file of data/bad as data/bad.tsv wants it, the photos and the
 * CIFAR-10 shards as their README says:
 *
 *     data_shared DEFAULT-FOLDER      unless $SPARKC_SHARED names the folder
 *
 * Prints a line per check, as in TAP. Exit status 1 if one fails, 77 if the folder is not there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/data/augment.h"
#include "runtime/data/source.h"

enum { EXIT_SKIPPED = 77, COLUMNS = 10 };

typedef struct Report {
    Arena *arena;
    int failed;
} Report;

static void report_check(Report *report, bool fine, const char *words, const char *detail) {
    report->failed += !fine;
    printf("%s - %s%s%s\n", fine ? "ok" : "not ok", words, *detail ? ": " : "", detail);
}

static Status decode(Arena *arena, const SourceSample *sample, Image *image) {
    const uint8_t *bytes;
    size_t length;
    status_return_if_failed(source_read(arena, sample, &bytes, &length));
    return image_decode(arena, bytes, length, 3, &image_default_limits, image);
}

static double channel_mean(const Image *image, int channel) {
    size_t count = (size_t)image->width * (size_t)image->height;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += image->pixels[3 * i + (size_t)channel];
    return sum / (double)count;
}

/* Size and means as columns 3 to 8 want them; "" or what differs. */
static const char *compare(Arena *arena, const Image *image, const char *const *columns) {
    double tolerance = strtod(columns[8], NULL);
    if (image->width != atoi(columns[3]) || image->height != atoi(columns[4]))
        return arena_format(arena, "%d x %d", image->width, image->height);
    for (int channel = 0; channel < 3 && *columns[5]; channel++) {
        double mean = channel_mean(image, channel), wanted = strtod(columns[5 + channel], NULL);
        if (fabs(mean - wanted) > tolerance + 0.05)
            return arena_format(arena, "channel %d has mean %.2f", channel, mean);
    }
    return "";
}

/* Random crops of the picture, resized: they need not be anything, but must come. */
static bool crops(Arena *arena, const Image *image) {
    for (uint64_t index = 0; index < 20; index++) {
        AugmentChoice choice =
            augment_choose(&augment_pretraining_options, 1, 1, index, image->width, image->height);
        Image part = resize_bicubic(arena, image, choice.box, 32, 32);
        if (part.width != 32 || part.height != 32)
            return false;
    }
    return true;
}

static void check_row(Report *report, const char *folder, const char *const *columns) {
    Arena *arena = report->arena;
    const char *path = arena_format(arena, "%s/%s", folder, columns[0]);
    SourceSample sample = {.name = path, .path = path};
    Image image;
    Status status = decode(arena, &sample, &image);
    bool skip = strcmp(columns[1], "skip") == 0, either = strcmp(columns[1], "either") == 0;
    if (!status_fine(status)) {
        report_check(report, skip || either, columns[0], status.message);
        return;
    }
    const char *difference = compare(arena, &image, columns);
    report_check(report, !skip && !*difference && crops(arena, &image), columns[0],
                 skip ? "decoded" : difference);
}

/* Cuts a line at its tabs. */
static void split(char *line, const char **columns) {
    for (int i = 0; i < COLUMNS; i++) {
        const char *column = strsep(&line, "\t");
        columns[i] = column ? column : "";
    }
}

static void check_bad(Report *report, const char *shared) {
    Arena *arena = report->arena;
    const char *error, *folder = arena_format(arena, "%s/data/bad", shared);
    size_t length, rows = 0;
    char *table =
        text_read_file(arena, arena_format(arena, "%s.tsv", folder), 1 << 20, &length, &error);
    if (!table) {
        report_check(report, false, "bad.tsv", error);
        return;
    }
    strsep(&table, "\n");
    for (char *line; (line = strsep(&table, "\n")) && *line; rows++) {
        const char *columns[COLUMNS];
        split(line, columns);
        check_row(report, folder, columns);
    }
    report_check(report, rows == 26, "all rows of bad.tsv", "");
}

/* A source has so many samples, and every `step`th decodes. */
static void check_source(Report *report, const char *path, size_t samples, size_t step, int side) {
    Arena *arena = report->arena;
    Source source;
    Status status = source_open(arena, &path, 1, &source);
    size_t bad = 0;
    for (size_t i = 0; status_fine(status) && i < source.samples.count; i += step) {
        Image image;
        Arena *scratch = arena_create();
        bad += !status_fine(decode(scratch, &source.samples.items[i], &image)) ||
               (side && (image.width != side || image.height != side));
        arena_destroy(scratch);
    }
    report_check(report, status_fine(status) && bad == 0 && source.samples.count == samples, path,
                 status_fine(status) ? "" : status.message);
}

int main(int count, char **arguments) {
    Arena *arena = arena_create();
    Report report = {arena, 0};
    const char *given = getenv("SPARKC_SHARED");
    const char *shared = given ? given : count > 1 ? arguments[1] : "../shared";
    if (access(arena_format(arena, "%s/data", shared), R_OK) != 0) {
        printf("%s/data is not there\n", shared);
        arena_destroy(arena);
        return EXIT_SKIPPED;
    }
    check_bad(&report, shared);
    check_source(&report, arena_format(arena, "%s/data/photos/train", shared), 400, 10, 0);
    check_source(&report, arena_format(arena, "%s/data/photos/val", shared), 50, 10, 0);
    check_source(&report, arena_format(arena, "%s/data/cifar10/test-0000.tar", shared), 10000, 50,
                 32);
    check_source(&report, arena_format(arena, "%s/data/cifar10/pairs-0001.tar", shared), 1000, 50,
                 32);
    arena_destroy(arena);
    return report.failed > 0;
}
