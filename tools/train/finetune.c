/* The loop of a fine-tuning: targets in, evaluations on the way. */
#include "tools/train/finetune.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "runtime/file.h"

/* What the loop calls back with. */
typedef struct Tuning {
    FinetuneRun *run;
    MixingShape shape;
    uint32_t *classes; /* [batch], of the present one */
} Tuning;

/* ---- Batches --------------------------------------------------------------------------------- */

/* Pictures and targets are mixed by what the update's number draws. */
static void fill(void *context, const LoaderBatch *batch) {
    const Tuning *tuning = context;
    const FinetuneRun *run = tuning->run;
    const MixingOptions *mixing = &run->settings.mixing;
    for (int i = 0; i < tuning->shape.batch; i++)
        tuning->classes[i] = run->train.pictures.classes[batch->samples[i]];
    MixingChoice choice = mixing_choose(mixing, tuning->shape, run->settings.training.seed,
                                        (uint32_t)run->state.updates);
    mixing_pictures(choice, tuning->shape, trainer_images(run->trainer));
    mixing_targets(choice, mixing->smoothing, tuning->shape.batch, tuning->classes,
                   run->class_count, trainer_targets(run->trainer));
}

/* ---- Evaluation ------------------------------------------------------------------------------ */

static void hear_bad(void *context, const char *name, const char *reason) {
    const FinetuneRun *run = context;
    Text text = text_create(run->arena);
    text_append_escaped(&text, name);
    text_append(&text, ": ");
    text_append_escaped(&text, reason);
    fprintf(stderr, "%swarning: %s; not judged\n", run->progress ? "\r\033[K" : "", text.data);
}

/* The cross-entropy of one row, and whether its class is the first of its largest values. */
static double row_loss(const float *logits, size_t count, uint32_t class, bool *right) {
    double sum = 0;
    size_t best = 0;
    for (size_t k = 1; k < count; k++)
        best = logits[k] > logits[best] ? k : best;
    for (size_t k = 0; k < count; k++)
        sum += exp((double)logits[k] - (double)logits[best]);
    *right = best == class;
    return log(sum) + (double)logits[best] - (double)logits[class];
}

static FinetuneScore score_of(const Features *logits) {
    FinetuneScore score = {.pictures = logits->count};
    for (size_t i = 0; i < logits->count; i++) {
        bool right;
        score.loss += row_loss(logits->values + i * logits->stride, logits->width,
                               logits->classes[i], &right);
        score.accuracy += right;
    }
    score.loss /= (double)logits->count;
    score.accuracy /= (double)logits->count;
    return score;
}

/* Judges weights and running statistics; `arena` holds what lies between. */
static Status judge(Arena *arena, FinetuneRun *run, const TrainingMemory *memory,
                    FinetuneScore *score) {
    const RunNormalization *normalization = &run->settings.training.normalization;
    ExtractorListener listener = {.context = run, .bad = run->warned ? NULL : hear_bad};
    Features logits;
    tensors_copy(memory, extractor_memory(run->extractor));
    status_return_if_failed(extractor_run(arena, run->extractor, &run->test.pictures,
                                          normalization->mean, normalization->deviation, &listener,
                                          &logits));
    run->warned = true;
    *score = score_of(&logits);
    return STATUS_FINE;
}

static Status judge_both(Arena *arena, FinetuneRun *run) {
    status_return_if_failed(judge(arena, run, trainer_memory(run->trainer), &run->score));
    return run->settings.ema_decay > 0
               ? judge(arena, run, trainer_average(run->trainer), &run->average_score)
               : STATUS_FINE;
}

static void say_scores(const FinetuneRun *run) {
    fprintf(stderr, "judged    after update %" PRId64 ": %.2f %% of %zu pictures right",
            run->state.updates, 100 * run->score.accuracy, run->score.pictures);
    if (run->settings.ema_decay > 0)
        fprintf(stderr, ", by averaged weights %.2f %%", 100 * run->average_score.accuracy);
    fputc('\n', stderr);
}

static Status log_scores(const FinetuneRun *run, Loop *loop) {
    const FinetuneScore *score = &run->score, *average = &run->average_score;
    json_t *fields = json_pack("{s:f, s:f, s:I}", "accuracy", score->accuracy, "loss", score->loss,
                               "pictures", (json_int_t)score->pictures);
    Status status = loop_scalar(loop, "accuracy", score->accuracy);
    if (run->settings.ema_decay > 0) {
        json_object_set_new(fields, "average_accuracy", json_real(average->accuracy));
        json_object_set_new(fields, "average_loss", json_real(average->loss));
        if (status_fine(status))
            status = loop_scalar(loop, "average_accuracy", average->accuracy);
    }
    Status logged = loop_log(loop, "evaluation", fields);
    return status_fine(status) ? logged : status;
}

static Status look(void *context, Loop *loop, Arena *arena, LoopMoment moment) {
    FinetuneRun *run = ((Tuning *)context)->run;
    int64_t count = run->settings.evaluations, total = run->settings.training.steps;
    bool due = moment.updates * count / total > (moment.updates - 1) * count / total;
    if (!due)
        return STATUS_FINE;
    status_return_if_failed(judge_both(arena, run));
    loop_clear(loop);
    say_scores(run);
    return log_scores(run, loop);
}

/* ---- What it leaves -------------------------------------------------------------------------- */

static Status write_model(const FinetuneRun *run, const char *name, const TrainingMemory *memory) {
    Arena *arena = arena_create();
    SafetensorsItem *items;
    size_t count;
    tensors_collect(arena, memory, TENSORS_MODEL, &items, &count);
    Status status = safetensors_write(
        run->arena, arena_format(run->arena, "%s/%s", run->folder, name), items, count, NULL, 0);
    arena_destroy(arena);
    return status;
}

static json_t *score_json(const FinetuneScore *score) {
    return json_pack("{s:f, s:f}", "accuracy", score->accuracy, "loss", score->loss);
}

json_t *finetune_result_json(const FinetuneRun *run) {
    json_t *json =
        json_pack("{s:I, s:I, s:I, s:f}", "updates", (json_int_t)run->state.updates,
                  "training_pictures", (json_int_t)run->train.pictures.count, "judged_pictures",
                  (json_int_t)run->score.pictures, "seconds", run->state.seconds);
    json_object_set_new(json, "classes",
                        run_classes_json(run->arena, run->class_names, run->class_count));
    json_object_set_new(json, "weights", score_json(&run->score));
    if (run->settings.ema_decay > 0)
        json_object_set_new(json, "average", score_json(&run->average_score));
    return json;
}

static Status write_result(const FinetuneRun *run) {
    json_t *json = finetune_result_json(run);
    char *text = json_dumps(json, JSON_INDENT(1));
    FilePiece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    Status status = file_replace(
        run->arena, arena_format(run->arena, "%s/result.json", run->folder), pieces, 2);
    free(text);
    json_decref(json);
    return status;
}

/* The last evaluation was after the last update, unless this process has done none. */
static Status finish(FinetuneRun *run) {
    if (run->score.pictures == 0)
        status_return_if_failed(judge_both(run->arena, run));
    status_return_if_failed(write_model(run, "model.safetensors", trainer_memory(run->trainer)));
    if (run->settings.ema_decay > 0)
        status_return_if_failed(
            write_model(run, "model-average.safetensors", trainer_average(run->trainer)));
    return write_result(run);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static LoaderOptions loader_options(const FinetuneRun *run) {
    const FinetuneSettings *settings = &run->settings;
    LoaderOptions options =
        run_data_loader(&run->graph->geometry, &settings->training.normalization, settings->batch,
                        run->decode_threads, settings->training.no_flip);
    options.seed = settings->training.seed;
    options.most_bad = settings->training.most_bad;
    options.augment.least_area = settings->least_area;
    return options;
}

Status finetune_train(FinetuneRun *run, bool *stopped) {
    const FinetuneSettings *settings = &run->settings;
    const Geometry *geometry = &run->graph->geometry;
    size_t samples = run->chosen.samples.count;
    Tuning tuning = {.run = run,
                     .shape = {(int)settings->batch, (int)geometry->image[0],
                               (int)geometry->image[1], (int)geometry->channels},
                     .classes = arena_new_array(run->arena, uint32_t, (size_t)settings->batch)};
    LoopOptions options = {.arena = run->arena,
                           .folder = run->folder,
                           .network = run->graph->network,
                           .trainer = run->trainer,
                           .state = &run->state,
                           .source = &run->chosen,
                           .loader = loader_options(run),
                           .schedule = finetune_schedule(settings, samples),
                           .batch = settings->batch,
                           .epoch_steps = finetune_epoch_steps(settings, samples),
                           .nonfinite = settings->training.nonfinite,
                           .checkpoint_minutes = settings->training.checkpoint_minutes,
                           .keep = settings->training.keep,
                           .terminal = run->progress,
                           .context = &tuning,
                           .fill = fill,
                           .look = look};
    status_return_if_failed(loop_run(&options, stopped));
    return *stopped ? STATUS_FINE : finish(run);
}
