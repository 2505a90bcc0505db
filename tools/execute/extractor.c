#include "tools/execute/extractor.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/fatal.h"
#include "runtime/data/centered.h"
#include "runtime/initial.h"
#include "tools/execute/compiled_program.h"

struct Extractor {
    Graph *graph;
    CompiledProgram compiled;
    TrainingMemory memory;
    float *images;
    const float *output;
    size_t positions, width; /* of the output */
};

/* ---- Making ---------------------------------------------------------------------------------- */

/* The last of feature.0, feature.1 ..: they go from the largest map to the smallest. */
static const char *deepest_feature(Arena *arena, const Graph *graph) {
    const char *name = NULL, *next = "feature.0";
    for (int i = 1; graph_find_output(graph, next); i++) {
        name = next;
        next = arena_format(arena, "feature.%d", i);
    }
    invariant(name, "an encoder has features");
    return name;
}

static void find_output(Arena *arena, Entry entry, Extractor *extractor) {
    const char *name = entry == ENTRY_LOGITS ? "logits" : deepest_feature(arena, extractor->graph);
    const Type *type = &graph_find_output(extractor->graph, name)->operands[0]->type;
    extractor->width = (size_t)type->channels;
    extractor->positions = (size_t)(graph_elements(extractor->graph, type) /
                                    (extractor->graph->geometry.batch * type->channels));
    extractor->output = plan_executor_buffer(extractor->compiled.executor, PLAN_OUTPUTS, name);
    extractor->images = plan_executor_buffer(extractor->compiled.executor, PLAN_INPUTS, "image");
    invariant(extractor->output && extractor->images, "the program has no %s", name);
}

Status extractor_create(Arena *arena, const Graph *network, const PassOptions *pass, uint32_t seed,
                        const ExecutorOptions *options, Diagnostics *diagnostics,
                        Extractor **extractor) {
    Extractor *made = arena_new(arena, Extractor);
    PassOptions own = *pass;
    own.training = false;
    made->graph = graph_copy(network, arena);
    if (!passes_run(made->graph, &own, NULL, diagnostics, NULL, NULL))
        return status_failure(arena, "this network cannot be computed for whole pictures");
    status_return_if_failed(
        compiled_program_create(arena, made->graph, options, NULL, &made->compiled));
    find_output(arena, own.entry, made);
    made->memory = compiled_program_memory(arena, made->graph, &made->compiled);
    initial_fill_all(made->graph, seed, made->memory.parameters);
    *extractor = made;
    return STATUS_FINE;
}

void extractor_destroy(Extractor *extractor) {
    compiled_program_destroy(&extractor->compiled);
}

const TrainingMemory *extractor_memory(const Extractor *extractor) {
    return &extractor->memory;
}

Threads *extractor_threads(const Extractor *extractor) {
    return extractor->compiled.threads;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The pictures that are decoded at a time; each thread takes one after the other. */
typedef struct Batch {
    const Extractor *extractor;
    const ExtractorPictures *pictures;
    const AugmentScale *scale;
    size_t first, count;
    Arena **arenas; /* of the failures */
    const char **failures;
} Batch;

static void load_picture(void *context, int64_t chunk, int thread) {
    (void)thread;
    Batch *batch = context;
    const Geometry *geometry = &batch->extractor->graph->geometry;
    CenteredShape shape = {(int)geometry->image[0], (int)geometry->image[1],
                           (int)geometry->channels};
    size_t size = (size_t)(geometry->image[0] * geometry->image[1] * geometry->channels);
    size_t number = batch->pictures->samples[batch->first + (size_t)chunk];
    Arena *arena = arena_create();
    Status status = centered_load(arena, &batch->pictures->source->samples.items[number], shape,
                                  batch->scale, batch->extractor->images + (size_t)chunk * size);
    batch->failures[chunk] =
        status_fine(status)
            ? NULL
            : arena_copy_text(batch->arenas[chunk], status.message, strlen(status.message));
    arena_destroy(arena);
}

/* The mean over positions of one picture's feature, in double; false if it is not finite. */
static bool average(const Extractor *extractor, size_t row, float *values) {
    size_t width = extractor->width, positions = extractor->positions;
    const float *map = extractor->output + row * positions * width;
    bool finite = true;
    for (size_t i = 0; i < width; i++) {
        double sum = 0;
        for (size_t position = 0; position < positions; position++)
            sum += (double)map[position * width + i];
        values[i] = (float)(sum / (double)positions);
        finite = finite && isfinite(values[i]);
    }
    return finite;
}

static Status take_features(Arena *arena, const Batch *batch, const ExtractorListener *listener,
                            Features *features) {
    for (size_t i = 0; i < batch->count; i++) {
        size_t at = batch->first + i;
        const char *name =
            batch->pictures->source->samples.items[batch->pictures->samples[at]].name;
        if (batch->failures[i]) {
            if (listener->bad)
                listener->bad(listener->context, name, batch->failures[i]);
            continue;
        }
        if (!average(batch->extractor, i, features->values + features->count * features->stride))
            return status_failure(arena,
                                  "%s: what the network makes of it is not finite; the weights are "
                                  "of no use",
                                  name);
        features->classes[features->count++] = batch->pictures->classes[at];
    }
    return STATUS_FINE;
}

/* What stands in the rows behind a last, smaller batch is computed and left alone. */
static Status run_batch(Arena *arena, Batch *batch, const ExtractorListener *listener,
                        Features *features) {
    Arena *scratch = arena_create();
    batch->arenas = arena_new_array(scratch, Arena *, batch->count);
    batch->failures = arena_new_array(scratch, const char *, batch->count);
    for (size_t i = 0; i < batch->count; i++)
        batch->arenas[i] = arena_create();
    threads_run(batch->extractor->compiled.threads, load_picture, batch, (int64_t)batch->count);
    plan_executor_run(batch->extractor->compiled.executor);
    Status status = take_features(arena, batch, listener, features);
    for (size_t i = 0; i < batch->count; i++)
        arena_destroy(batch->arenas[i]);
    arena_destroy(scratch);
    return status;
}

Status extractor_run(Arena *arena, const Extractor *extractor, const ExtractorPictures *pictures,
                     const double *mean, const double *deviation, const ExtractorListener *listener,
                     Features *features) {
    const Geometry *geometry = &extractor->graph->geometry;
    AugmentScale scale = augment_scale((int)geometry->channels, mean, deviation);
    Batch batch = {.extractor = extractor, .pictures = pictures, .scale = &scale};
    *features = features_create(arena, pictures->count, extractor->width);
    features->count = 0;
    for (; batch.first < pictures->count; batch.first += batch.count) {
        size_t left = pictures->count - batch.first, most = (size_t)geometry->batch;
        batch.count = left < most ? left : most;
        status_return_if_failed(run_batch(arena, &batch, listener, features));
        if (listener->progress)
            listener->progress(listener->context, batch.first + batch.count, pictures->count);
    }
    if (features->count == 0)
        return status_failure(arena, "none of %zu pictures can be decoded", pictures->count);
    return STATUS_FINE;
}
