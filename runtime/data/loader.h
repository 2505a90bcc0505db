/* Batches of augmented pictures, decoded ahead by threads of the loader's own.
 *
 * An epoch visits the samples in the order of order.h. A bad picture is dropped and the next good
 * one takes its place; the partial batch at an epoch's end is dropped, and the next epoch begins.
 * So batches are a function of (source, options without threads and ahead, position). */
#ifndef SPARKC_RUNTIME_DATA_LOADER_H
#define SPARKC_RUNTIME_DATA_LOADER_H

#include "runtime/data/augment.h"
#include "runtime/data/source.h"

typedef struct LoaderOptions {
    int height, width, channels; /* of the network's input; 1, 3 or 4 channels */
    int batch;                   /* pictures, at least 1 */
    AugmentOptions augment;
    AugmentScale scale;
    ImageLimits limits; /* `stop` is set by the loader */
    uint32_t seed;
    int threads;     /* that decode, at least 1 */
    int ahead;       /* pictures decoded ahead at most, at least `batch` */
    double most_bad; /* the largest share of bad pictures among those visited in an epoch */
} LoaderOptions;

/* Where the next batch begins. {0} is the start. */
typedef struct LoaderPosition {
    uint32_t epoch;
    uint64_t index; /* in the epoch's order */
    uint64_t bad;   /* bad pictures before it in this epoch */
} LoaderPosition;

typedef struct LoaderBatch {
    LoaderPosition next; /* {epoch + 1, 0, 0} once fewer samples than a batch are left */
    double waited;       /* seconds that the call waited for pictures */
    uint64_t *samples;   /* [batch], indices in the source; owned by the loader, good until the next
                            call */
} LoaderBatch;

/* A bad picture, in the order of the epoch; told once per picture and loader, by the thread that
 * calls loader_next. Both texts are as they come from outside, and good during the call alone:
 * whoever prints them escapes them (base/text.h). */
typedef void LoaderWarning(void *context, const char *name, const char *reason);

typedef struct Loader Loader;

/* Starts decoding at `start`. The source is borrowed. `warn` may be NULL. The loader owns memory of
 * its own: 8 bytes per sample, `ahead` pictures of the network's size, and per thread what decoding
 * one picture takes. Its threads take no signals. Fails if the source has fewer samples than a
 * batch or does not reach to `start`, and if memory or threads cannot be had. */
Status loader_create(Arena *arena, const Source *source, const LoaderOptions *options,
                     LoaderPosition start, LoaderWarning *warn, void *context, Loader **loader);

/* Stops the threads, also those that are in the middle of a large picture, and frees all. NULL is
 * allowed. */
void loader_destroy(Loader *loader);

/* Writes the next batch, NHWC, into `images` (batch x height x width x channels floats). Fails if
 * the share of bad pictures is beyond most_bad (judged once at least 100 pictures of the epoch or
 * the whole epoch were visited), or if a whole epoch has no full batch of good ones; messages name
 * the first bad picture, live in `arena`. After a failure the loader is only good for
 * loader_destroy. */
Status loader_next(Loader *loader, Arena *arena, float *images, LoaderBatch *batch);

#endif
