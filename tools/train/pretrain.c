/* The loop of a pretraining. */
#include "tools/train/pretrain.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "runtime/data/picture.h"
#include "runtime/file.h"
#include "runtime/train/events.h"
#include "runtime/train/run_log.h"
#include "tools/report/report.h"
#include "tools/train/pretrain_progress.h"
#include "tools/train/reconstruction.h"
#include "tools/train/run_tensors.h"

enum {
    MOST_REFUSED = 10,     /* batches in a row that are not finite */
    PICTURE_IMAGES = 8,    /* rows of a reconstruction picture */
    MOST_LOG_LINES = 20000 /* of updates; longer runs write means */
};

/* What training holds besides the run; `arena` is the present update's. */
typedef struct Training {
    PretrainRun *run;
    Arena *arena;
    Schedule schedule;
    int64_t epoch_steps;
    Loader *loader;
    RunLog *log;
    Events *events;
    Progress progress;
    double saved_at; /* clock seconds of the last checkpoint */
    double judged;   /* mean loss of the epoch so far, after the last update */
    double log_sum;  /* since the last log line */
    int64_t log_count, log_stride;
    int64_t refused; /* in a row */
} Training;

/* ---- Signals --------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

/* The second signal ends the process at once. */
static void interrupt(int number) {
    interrupted = number;
    signal(number, SIG_DFL);
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = interrupt};
    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- Records --------------------------------------------------------------------------------- */

static Status write_log(Training *training, const char *kind, json_t *fields) {
    return run_log_write(training->log, training->arena, training->run->state.updates, kind,
                         fields);
}

static Status record_scalars(Training *training, double loss, double grad_norm,
                             const TrainerRates *rates) {
    const struct {
        const char *name;
        double value;
    } scalars[] = {{"loss", loss},
                   {"grad_norm", grad_norm},
                   {"lr", rates->lr},
                   {"weight_decay", rates->weight_decay},
                   {"images_per_second", progress_images_per_second(&training->progress)},
                   {"data_wait", progress_data_wait(&training->progress)}};
    json_t *fields = json_object();
    Status status = STATUS_FINE;
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        json_object_set_new(fields, scalars[i].name, json_real(scalars[i].value));
        if (status_fine(status))
            status = events_scalar(training->events, training->arena, training->run->state.updates,
                                   scalars[i].name, scalars[i].value);
    }
    Status logged = write_log(training, "step", fields);
    return status_fine(status) ? logged : status;
}

/* The mean loss of the updates since the last line, every log_stride updates and at the end. */
static Status record_update(Training *training, double loss, double grad_norm,
                            const TrainerRates *rates) {
    const PretrainState *state = &training->run->state;
    training->log_sum += loss;
    training->log_count++;
    if (state->updates % training->log_stride && state->updates < training->schedule.total)
        return STATUS_FINE;
    double mean = training->log_sum / (double)training->log_count;
    training->log_sum = 0;
    training->log_count = 0;
    return record_scalars(training, mean, grad_norm, rates);
}

static void hear_bad_picture(void *context, const char *name, const char *reason) {
    Training *training = context;
    Text shown = text_create(training->run->arena), words = text_create(training->run->arena);
    text_append_escaped(&shown, name);
    text_append_escaped(&words, reason);
    progress_clear(&training->progress);
    fprintf(stderr, "warning: %s: %s; left out\n", shown.data, words.data);
    write_log(training, "bad_picture",
              json_pack("{s:s, s:s}", "name", shown.data, "reason", words.data));
}

/* ---- Checkpoints and pictures ---------------------------------------------------------------- */

static Status save(Training *training) {
    double start = clock_seconds();
    status_return_if_failed(run_tensors_save(training->run, training->judged));
    training->saved_at = clock_seconds();
    return write_log(training, "checkpoint",
                     json_pack("{s:f}", "seconds", training->saved_at - start));
}

static Status draw(Training *training, Reconstruction *reconstruction, Image *picture,
                   double *loss) {
    const PretrainRun *run = training->run;
    const PretrainSettings *settings = &run->settings;
    tensors_copy(trainer_memory(run->trainer), reconstruction_memory(reconstruction));
    status_return_if_failed(reconstruction_load(training->arena, &run->source, settings->mean,
                                                settings->deviation, reconstruction));
    reconstruction_mask(reconstruction, settings->seed);
    return reconstruction_draw(training->arena, reconstruction, settings->mean, settings->deviation,
                               picture, loss);
}

static Status write_picture(Training *training, const Image *picture, double loss) {
    const PretrainRun *run = training->run;
    const uint8_t *png;
    size_t length;
    const char *folder = arena_format(training->arena, "%s/pictures", run->folder);
    const char *path =
        arena_format(training->arena, "%s/update-%08" PRId64 ".png", folder, run->state.updates);
    status_return_if_failed(file_make_folder(training->arena, folder));
    status_return_if_failed(picture_encode(training->arena, picture, &png, &length));
    FilePiece piece = {png, length};
    status_return_if_failed(file_replace(training->arena, path, &piece, 1));
    status_return_if_failed(events_picture(training->events, training->arena, run->state.updates,
                                           "reconstruction", picture->width, picture->height,
                                           picture->channels, png, length));
    return write_log(training, "picture", json_pack("{s:f}", "loss", loss));
}

static Status make_picture(Training *training) {
    const PretrainRun *run = training->run;
    PassOptions pass = run->settings.pass;
    Reconstruction *reconstruction;
    Image picture;
    double loss;
    pass.batch = PICTURE_IMAGES;
    Diagnostics *diagnostics = diagnostics_create(training->arena, FRONTEND_ERROR_LIMIT);
    status_return_if_failed(reconstruction_create(training->arena, run->graph, &pass, &run->code,
                                                  diagnostics, &reconstruction));
    Status status = draw(training, reconstruction, &picture, &loss);
    if (status_fine(status))
        status = write_picture(training, &picture, loss);
    reconstruction_destroy(reconstruction);
    return status;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* A batch whose loss or gradients are not finite has changed nothing: it is left out, or ends the
 * run. */
static Status refuse(Training *training) {
    PretrainRun *run = training->run;
    const char *blame = trainer_blame(training->arena, run->trainer);
    blame = blame ? blame : "the gradients' sum is not finite, though no value of the step is";
    run->state.refused++;
    training->refused++;
    progress_clear(&training->progress);
    fprintf(stderr, "warning: update %" PRId64 " is not finite: %s\n", run->state.updates + 1,
            blame);
    write_log(training, "nonfinite", json_pack("{s:s}", "what", blame));
    if (run->settings.nonfinite == NONFINITE_STOP)
        return status_failure(run->arena,
                              "update %" PRId64 " is not finite: %s; nothing of it was taken over. "
                              "Go on without such batches by --nonfinite skip, or look at the "
                              "picture or the learning rate",
                              run->state.updates + 1, blame);
    if (training->refused >= MOST_REFUSED)
        return status_failure(run->arena, "%d batches in a row are not finite, the last: %s",
                              MOST_REFUSED, blame);
    return STATUS_FINE;
}

/* Micro-batches until an update is done. */
static Status run_update(Training *training, const TrainerRates *rates, TrainerResult *result,
                         double *loss, double *waited) {
    PretrainRun *run = training->run;
    int64_t count = 0;
    bool updated = false;
    *loss = *waited = 0;
    while (!updated) {
        LoaderBatch batch;
        status_return_if_failed(
            loader_next(training->loader, run->arena, trainer_images(run->trainer), &batch));
        *waited += batch.waited;
        *result = trainer_step(run->trainer, rates, &updated);
        if (!result->ok) {
            status_return_if_failed(refuse(training));
            continue;
        }
        training->refused = 0;
        *loss += result->loss;
        count++;
        if (updated)
            run->state.position = batch.next;
    }
    *loss /= (double)count;
    return STATUS_FINE;
}

static Status end_epoch(Training *training) {
    PretrainRun *run = training->run;
    PretrainState *state = &run->state;
    int64_t epoch = state->updates / training->epoch_steps;
    double loss = state->loss_sum / (double)state->loss_count;
    state->loss_sum = 0;
    state->loss_count = 0;
    status_return_if_failed(write_log(
        training, "epoch", json_pack("{s:I, s:f}", "epoch", (json_int_t)epoch, "loss", loss)));
    return events_scalar(training->events, training->arena, state->updates, "epoch_loss", loss);
}

/* Whether a reconstruction is due after this update. */
static bool picture_is_due(const Training *training) {
    double every = training->run->settings.picture_epochs * (double)training->epoch_steps;
    int64_t updates = training->run->state.updates;
    return every > 0 && (updates == training->schedule.total ||
                         floor((double)updates / every) > floor((double)(updates - 1) / every));
}

static Status after_update(Training *training) {
    PretrainRun *run = training->run;
    int64_t updates = run->state.updates;
    bool last = updates == training->schedule.total, epoch = updates % training->epoch_steps == 0;
    bool due = clock_seconds() - training->saved_at >= 60 * run->settings.checkpoint_minutes;
    if (epoch)
        status_return_if_failed(end_epoch(training));
    if (epoch || last || due || interrupted)
        status_return_if_failed(save(training));
    if (picture_is_due(training)) {
        status_return_if_failed(make_picture(training));
        return report_write(training->arena, run->folder);
    }
    return STATUS_FINE;
}

static Status one_update(Training *training) {
    PretrainRun *run = training->run;
    PretrainState *state = &run->state;
    TrainerRates rates = {schedule_lr(&training->schedule, state->updates),
                          schedule_weight_decay(&training->schedule, state->updates)};
    TrainerResult result;
    double loss, waited, start = clock_seconds();
    status_return_if_failed(run_update(training, &rates, &result, &loss, &waited));
    double seconds = clock_seconds() - start;
    state->updates = trainer_updates(run->trainer);
    state->seconds += seconds;
    state->loss_sum += loss;
    state->loss_count++;
    training->judged = state->loss_sum / (double)state->loss_count;
    progress_update(&training->progress, state->updates, seconds, waited, loss, rates.lr);
    status_return_if_failed(record_update(training, loss, result.grad_norm, &rates));
    return after_update(training);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static Status open_loader(Training *training) {
    PretrainRun *run = training->run;
    const PretrainSettings *settings = &run->settings;
    const Geometry *geometry = &run->graph->geometry;
    LoaderOptions options = {.height = (int)geometry->image[0],
                             .width = (int)geometry->image[1],
                             .channels = (int)geometry->channels,
                             .batch = (int)settings->micro_batch,
                             .augment = augment_pretraining_options,
                             .limits = image_default_limits,
                             .seed = settings->seed,
                             .threads = run->decode_threads,
                             .most_bad = settings->most_bad};
    options.augment.flip = settings->no_flip ? 0 : options.augment.flip;
    options.scale = augment_scale(options.channels, settings->mean, settings->deviation);
    options.ahead = 2 * options.batch + 2 * options.threads;
    return loader_create(run->arena, &run->source, &options, run->state.position, hear_bad_picture,
                         training, &training->loader);
}

static Status open_records(Training *training) {
    PretrainRun *run = training->run;
    status_return_if_failed(run_log_open(run->arena,
                                         arena_format(run->arena, "%s/log.jsonl", run->folder),
                                         run->state.updates, &training->log));
    return events_open(run->arena, arena_format(run->arena, "%s/events", run->folder),
                       run->state.updates, &training->events);
}

static Status train(Training *training) {
    PretrainState *state = &training->run->state;
    while (state->updates < training->schedule.total && !interrupted) {
        training->arena = arena_create();
        Status status = one_update(training);
        if (!status_fine(status))
            status = status_failure(training->run->arena, "%s", status.message);
        arena_destroy(training->arena);
        training->arena = training->run->arena;
        status_return_if_failed(status);
    }
    return STATUS_FINE;
}

static Status start_and_train(Training *training) {
    PretrainRun *run = training->run;
    status_return_if_failed(open_records(training));
    status_return_if_failed(write_log(training, "start", json_object()));
    status_return_if_failed(open_loader(training));
    Status status = train(training);
    progress_clear(&training->progress);
    const char *how = !status_fine(status) ? status.message : interrupted ? "stopped" : "finished";
    write_log(training, "end", json_pack("{s:s, s:f}", "how", how, "seconds", run->state.seconds));
    Status reported = report_write(run->arena, run->folder);
    return status_fine(status) ? reported : status;
}

Status pretrain_train(PretrainRun *run, bool *stopped) {
    size_t samples = run->source.samples.count;
    Training training = {.run = run,
                         .arena = run->arena,
                         .schedule = pretrain_schedule(&run->settings, samples),
                         .epoch_steps = pretrain_epoch_steps(&run->settings, samples),
                         .saved_at = clock_seconds()};
    training.log_stride = 1 + (training.schedule.total - 1) / MOST_LOG_LINES;
    training.progress = (Progress){.terminal = run->progress,
                                   .total = training.schedule.total,
                                   .epoch_steps = training.epoch_steps,
                                   .batch = run->settings.pass.batch};
    catch_signals();
    Status status = start_and_train(&training);
    loader_destroy(training.loader);
    if (training.events)
        events_close(training.events);
    if (training.log)
        run_log_close(training.log);
    *stopped = interrupted && run->state.updates < training.schedule.total;
    return status;
}
