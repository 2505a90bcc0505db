/* The loader on the recorded data: an epoch of a CIFAR-10 shard at 32 x 32 and of the photos at 224
 * x 224, with one thread and with two, which give the same batches; prints pictures a second.
 *
 *     loader_shared DEFAULT-FOLDER      unless $SPARKC_SHARED names the folder
 *
 * Prints a line per check, as in TAP. Exit status 1 if one fails, 77 if the folder is not there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/data/loader.h"

enum { EXIT_SKIPPED = 77, BATCH = 100, MOST_THREADS = 2 };

/* What an epoch gave. */
typedef struct Pass {
    size_t pictures;
    uint64_t sum; /* of the bits of all floats, weighted by their places */
    double seconds, waited;
} Pass;

/* `count` is even. */
static uint64_t add_bits(uint64_t sum, const float *values, size_t count) {
    for (size_t i = 0; i < count; i += 2) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        sum = sum * 0x9E3779B97F4A7C15u + bits;
    }
    return sum;
}

static LoaderOptions make_options(int side, int threads) {
    static const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
    return (LoaderOptions){.height = side,
                           .width = side,
                           .channels = 3,
                           .batch = BATCH,
                           .augment = augment_pretraining_options,
                           .scale = augment_scale(3, mean, deviation),
                           .limits = image_default_limits,
                           .threads = threads,
                           .ahead = 2 * BATCH};
}

static Status run_epoch(Arena *arena, const Source *source, const LoaderOptions *options,
                        Pass *pass) {
    size_t values = (size_t)options->height * (size_t)options->width * 3 * BATCH;
    float *images = arena_new_array(arena, float, values);
    Loader *loader;
    LoaderBatch batch = {0};
    double start = clock_seconds();
    *pass = (Pass){0};
    status_return_if_failed(
        loader_create(arena, source, options, (LoaderPosition){0}, NULL, NULL, &loader));
    Status status = STATUS_FINE;
    while (batch.next.epoch == 0 &&
           status_fine(status = loader_next(loader, arena, images, &batch))) {
        pass->pictures += BATCH;
        pass->waited += batch.waited;
        pass->sum = add_bits(pass->sum, images, values);
    }
    pass->seconds = clock_seconds() - start;
    loader_destroy(loader);
    return status;
}

/* How many checks failed. */
static int check(const char *path, size_t pictures, int side) {
    Arena *arena = arena_create();
    Source source;
    Pass passes[MOST_THREADS];
    Status status = source_open(arena, &path, 1, &source);
    int failed = 0;
    for (int i = 0; i < MOST_THREADS; i++) {
        LoaderOptions options = make_options(side, i + 1);
        if (status_fine(status))
            status = run_epoch(arena, &source, &options, &passes[i]);
        bool fine =
            status_fine(status) && passes[i].pictures == pictures && passes[i].sum == passes[0].sum;
        failed += !fine;
        printf("%s - %s by %d threads at %d x %d", fine ? "ok" : "not ok", path, i + 1, side, side);
        if (status_fine(status))
            printf(": %.0f pictures/s, waited %.2f of %.2f s\n",
                   (double)passes[i].pictures / passes[i].seconds, passes[i].waited,
                   passes[i].seconds);
        else
            printf(": %s\n", status.message);
    }
    arena_destroy(arena);
    return failed;
}

int main(int count, char **arguments) {
    Arena *arena = arena_create();
    const char *given = getenv("SPARKC_SHARED");
    const char *shared = given ? given : count > 1 ? arguments[1] : "../shared";
    const char *shard = arena_format(arena, "%s/data/cifar10/train-0000.tar", shared);
    const char *photos = arena_format(arena, "%s/data/photos/train", shared);
    int failed = 0;
    bool there = access(shard, R_OK) == 0 && access(photos, R_OK) == 0;
    if (there)
        failed = check(shard, 10000, 32) + check(photos, 400, 224);
    else
        printf("%s/data is not there\n", shared);
    arena_destroy(arena);
    return there ? failed > 0 : EXIT_SKIPPED;
}
