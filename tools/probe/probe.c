#include "tools/probe/probe.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "runtime/data/labels.h"
#include "runtime/train/checkpoint.h"
#include "tools/execute/extractor.h"
#include "tools/probe/probe_knn.h"
#include "tools/train/run_tensors.h"

enum { BATCH = 32 };

/* A set on its way to features. */
typedef struct Loading {
    Probe *probe;
    ProbeSet *set;
    const char *title;
    Source source;
    Labels labels;
    ExtractorPictures pictures;
    Features features;
} Loading;

/* ---- Pictures -------------------------------------------------------------------------------- */

static void hear_bad(void *context, const char *name, const char *reason) {
    const Loading *loading = context;
    Arena *arena = arena_create();
    Text text = text_create(arena);
    text_append_escaped(&text, name);
    text_append(&text, ": ");
    text_append_escaped(&text, reason);
    fprintf(stderr, "%swarning: %s; left out\n", loading->probe->run.progress ? "\r\033[K" : "",
            text.data);
    loading->set->bad++;
    arena_destroy(arena);
}

static void show_progress(void *context, size_t done, size_t all) {
    const Loading *loading = context;
    if (loading->probe->run.progress)
        fprintf(stderr, "\r\033[Kfeatures of %s pictures: %zu of %zu%s", loading->title, done, all,
                done == all ? "\r\033[K" : "");
}

static Status open_set(Loading *loading) {
    const ProbeSet *set = loading->set;
    Arena *arena = loading->probe->run.arena;
    status_return_if_failed(
        source_open(arena, set->paths.items, set->paths.count, &loading->source));
    for (size_t i = 0; i < loading->source.problems.count; i++)
        hear_bad(loading, loading->source.problems.items[i].name,
                 loading->source.problems.items[i].reason);
    return STATUS_FINE;
}

static Status take_pictures(Loading *loading, int64_t count) {
    const Probe *probe = loading->probe;
    LabelsChoice choice;
    status_return_if_failed(
        labels_choose(probe->run.arena, &loading->labels, (size_t)count, probe->seed, &choice));
    loading->pictures =
        (ExtractorPictures){&loading->source, choice.samples, choice.classes, choice.count};
    return STATUS_FINE;
}

static Status read_sets(Loading *train, Loading *test) {
    Probe *probe = train->probe;
    Arena *arena = probe->run.arena;
    status_return_if_failed(open_set(train));
    status_return_if_failed(labels_read(arena, &train->source, &train->labels));
    status_return_if_failed(open_set(test));
    status_return_if_failed(labels_match(arena, &test->source, &train->labels, &test->labels));
    probe->class_names = train->labels.names;
    probe->class_count = train->labels.class_count;
    status_return_if_failed(take_pictures(train, probe->count));
    return take_pictures(test, 0);
}

/* ---- Features -------------------------------------------------------------------------------- */

/* Of the run's newest checkpoint the encoder alone, if its file is there and sound: nothing else is
 * needed. */
static Status find_weights(Probe *probe) {
    Arena *arena = probe->run.arena;
    Safetensors *file;
    status_return_if_failed(run_tensors_newest(arena, probe->run.folder, &probe->weights));
    const char *encoder = checkpoint_encoder_path(arena, probe->weights);
    if (!status_fine(checkpoint_open(arena, encoder, &file)))
        return STATUS_FINE;
    safetensors_close(file);
    probe->weights = encoder;
    return STATUS_FINE;
}

static Status take_weights(Probe *probe, const Extractor *extractor) {
    Arena *arena = probe->run.arena;
    if (probe->random)
        return STATUS_FINE;
    if (!probe->weights)
        status_return_if_failed(find_weights(probe));
    return run_tensors_initialise(arena, probe->weights, extractor_memory(extractor), stderr);
}

static Status extract(const Extractor *extractor, Loading *loading) {
    const PretrainSettings *settings = &loading->probe->run.settings;
    ExtractorListener listener = {loading, hear_bad, show_progress};
    status_return_if_failed(extractor_run(loading->probe->run.arena, extractor, &loading->pictures,
                                          settings->training.normalization.mean,
                                          settings->training.normalization.deviation, &listener,
                                          &loading->features));
    loading->set->used = loading->features.count;
    return STATUS_FINE;
}

/* ---- Judging --------------------------------------------------------------------------------- */

/* What is being done, on a terminal; "": nothing any more. */
static void show_stage(const Probe *probe, const char *words) {
    if (probe->run.progress)
        fprintf(stderr, "\r\033[K%s", words);
}

static void judge_neighbours(Probe *probe, Threads *threads, const Features *train,
                             const Features *test) {
    double start = clock_seconds();
    uint32_t *predictions = arena_new_array(probe->run.arena, uint32_t, test->count);
    knn_predict(threads, train, test, probe->class_count, probe->k, predictions);
    probe->knn = knn_accuracy(test, predictions);
    probe->knn_seconds = clock_seconds() - start;
}

static Status judge(Probe *probe, Threads *threads, const Features *train, const Features *test) {
    show_stage(probe, "nearest neighbours");
    judge_neighbours(probe, threads, train, test);
    show_stage(probe, "linear classifier");
    double start = clock_seconds();
    Status status =
        linear_probe(probe->run.arena, threads, train, test, probe->class_count, &probe->linear);
    probe->linear_seconds = clock_seconds() - start;
    show_stage(probe, "");
    return status;
}

static Status probe_with(Probe *probe, const Extractor *extractor, Loading *train, Loading *test) {
    status_return_if_failed(take_weights(probe, extractor));
    double start = clock_seconds();
    status_return_if_failed(extract(extractor, train));
    status_return_if_failed(extract(extractor, test));
    probe->feature_seconds = clock_seconds() - start;
    probe->width = train->features.width;
    return judge(probe, extractor_threads(extractor), &train->features, &test->features);
}

static Status probe_sets(Probe *probe, Loading *train, Loading *test) {
    PretrainRun *run = &probe->run;
    Extractor *extractor;
    PassOptions pass = run->settings.pass;
    pass.entry = ENTRY_FEATURES;
    pass.batch = BATCH;
    Diagnostics *diagnostics = diagnostics_create(run->arena, FRONTEND_ERROR_LIMIT);
    Status status = extractor_create(run->arena, run->graph, &pass, probe->seed, &run->code,
                                     diagnostics, &extractor);
    network_print(diagnostics);
    status_return_if_failed(status);
    status = probe_with(probe, extractor, train, test);
    extractor_destroy(extractor);
    return status;
}

Status probe_run(Probe *probe) {
    Loading train = {.probe = probe, .set = &probe->train, .title = "training"};
    Loading test = {.probe = probe, .set = &probe->test, .title = "test"};
    status_return_if_failed(pretrain_open(&probe->run));
    Status status = read_sets(&train, &test);
    if (status_fine(status))
        status = probe_sets(probe, &train, &test);
    source_close(&train.source);
    source_close(&test.source);
    return status;
}
