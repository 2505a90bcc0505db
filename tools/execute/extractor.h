/* A network on whole pictures: features or logits of the pictures of a source. */
#ifndef SPARKC_TOOLS_EXECUTE_EXTRACTOR_H
#define SPARKC_TOOLS_EXECUTE_EXTRACTOR_H

#include "passes/passes.h"
#include "runtime/data/source.h"
#include "runtime/threads.h"
#include "runtime/train/tensors.h"
#include "tools/execute/executor.h"
#include "tools/execute/features.h"

typedef struct Extractor Extractor;

/* Compiles the network in evaluation mode (running statistics, nothing dropped) for batches of
 * pass->batch pictures; pass->entry says what of it: ENTRY_FEATURES or ENTRY_LOGITS. Parameters are
 * drawn by the seed, states as they begin. Mistakes of the network's are reported in `diagnostics`.
 */
Status extractor_create(Arena *arena, const Graph *network, const PassOptions *pass, uint32_t seed,
                        const ExecutorOptions *options, Diagnostics *diagnostics,
                        Extractor **extractor);
void extractor_destroy(Extractor *extractor);

/* Parameters and running statistics, which may be replaced before it runs. */
const TrainingMemory *extractor_memory(const Extractor *extractor);

/* Its threads, for what else there is to do between its runs. */
Threads *extractor_threads(const Extractor *extractor);

/* What is told while it runs; functions may be NULL. */
typedef struct ExtractorListener {
    void *context;
    void (*bad)(void *context, const char *name, const char *reason);
    void (*progress)(void *context, size_t done, size_t all);
} ExtractorListener;

/* Labelled pictures of a source. */
typedef struct ExtractorPictures {
    const Source *source;
    const size_t *samples;   /* [count], their numbers in the source */
    const uint32_t *classes; /* [count] */
    size_t count;
} ExtractorPictures;

/* The logits, or the network's deepest feature averaged over its positions, of each picture's
 * largest centred part, which is resized and normalised by the channels' mean and deviation; rows
 * are in the order of the pictures. Bad pictures are told and left out. Fails if none is good, or a
 * value is not finite. */
Status extractor_run(Arena *arena, const Extractor *extractor, const ExtractorPictures *pictures,
                     const double *mean, const double *deviation, const ExtractorListener *listener,
                     Features *features);

#endif
