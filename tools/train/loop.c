#include "tools/train/loop.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "runtime/train/run_log.h"
#include "tools/stop.h"
#include "tools/train/progress.h"

enum {
    MOST_REFUSED = 10,     /* batches in a row that are not finite */
    MOST_LOG_LINES = 20000 /* of updates; longer runs write means */
};

/* `arena` is the present update's. */
struct Loop {
    const LoopOptions *options;
    RunState *state;
    Arena *arena;
    Loader *loader;
    RunLog *log;
    Events *events;
    Progress progress;
    double saved_at; /* clock seconds of the last checkpoint */
    double judged;   /* mean loss of the epoch so far, after the last update */
    double log_sum;  /* since the last log line */
    int64_t log_count, log_stride;
    int64_t refused; /* in a row */
};

/* ---- Records --------------------------------------------------------------------------------- */

Status loop_log(Loop *loop, const char *kind, json_t *fields) {
    return run_log_write(loop->log, loop->arena, loop->state->updates, kind, fields);
}

Status loop_scalar(Loop *loop, const char *name, double value) {
    return events_scalar(loop->events, loop->arena, loop->state->updates, name, value);
}

Status loop_picture(Loop *loop, const char *name, const Image *picture, const uint8_t *png,
                    size_t length) {
    return events_picture(loop->events, loop->arena, loop->state->updates, name, picture->width,
                          picture->height, picture->channels, png, length);
}

void loop_clear(const Loop *loop) {
    progress_clear(&loop->progress);
}

static Status record_scalars(Loop *loop, double loss, double grad_norm, const TrainerRates *rates) {
    const struct {
        const char *name;
        double value;
    } scalars[] = {{"loss", loss},
                   {"grad_norm", grad_norm},
                   {"lr", rates->lr},
                   {"weight_decay", rates->weight_decay},
                   {"images_per_second", progress_images_per_second(&loop->progress)},
                   {"data_wait", progress_data_wait(&loop->progress)}};
    json_t *fields = json_object();
    Status status = STATUS_FINE;
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        json_object_set_new(fields, scalars[i].name, json_real(scalars[i].value));
        if (status_fine(status))
            status = loop_scalar(loop, scalars[i].name, scalars[i].value);
    }
    Status logged = loop_log(loop, "step", fields);
    return status_fine(status) ? logged : status;
}

/* The mean loss of the updates since the last line, every log_stride updates and at the end. */
static Status record_update(Loop *loop, double loss, double grad_norm, const TrainerRates *rates) {
    int64_t updates = loop->state->updates;
    loop->log_sum += loss;
    loop->log_count++;
    if (updates % loop->log_stride && updates < loop->options->schedule.total)
        return STATUS_FINE;
    double mean = loop->log_sum / (double)loop->log_count;
    loop->log_sum = 0;
    loop->log_count = 0;
    return record_scalars(loop, mean, grad_norm, rates);
}

static void hear_bad_picture(void *context, const char *name, const char *reason) {
    Loop *loop = context;
    Text shown = text_create(loop->options->arena), words = text_create(loop->options->arena);
    text_append_escaped(&shown, name);
    text_append_escaped(&words, reason);
    loop_clear(loop);
    fprintf(stderr, "warning: %s: %s; left out\n", shown.data, words.data);
    loop_log(loop, "bad_picture",
             json_pack("{s:s, s:s}", "name", shown.data, "reason", words.data));
}

static Status save(Loop *loop) {
    const LoopOptions *options = loop->options;
    double start = clock_seconds();
    status_return_if_failed(run_tensors_save(options->arena, options->folder, options->network,
                                             trainer_memory(options->trainer), loop->state,
                                             loop->judged, options->keep));
    loop->saved_at = clock_seconds();
    return loop_log(loop, "checkpoint", json_pack("{s:f}", "seconds", loop->saved_at - start));
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* A batch whose loss or gradients are not finite has changed nothing: it is left out, or ends the
 * run. */
static Status refuse(Loop *loop) {
    const LoopOptions *options = loop->options;
    const char *blame = trainer_blame(loop->arena, options->trainer);
    int64_t update = loop->state->updates + 1;
    blame = blame ? blame : "the gradients' sum is not finite, though no value of the step is";
    loop->state->refused++;
    loop->refused++;
    loop_clear(loop);
    fprintf(stderr, "warning: update %" PRId64 " is not finite: %s\n", update, blame);
    loop_log(loop, "nonfinite", json_pack("{s:s}", "what", blame));
    if (options->nonfinite == NONFINITE_STOP)
        return status_failure(options->arena,
                              "update %" PRId64 " is not finite: %s; nothing of it was taken over. "
                              "Go on without such batches by --nonfinite skip, or look at the "
                              "picture or the learning rate",
                              update, blame);
    if (loop->refused >= MOST_REFUSED)
        return status_failure(options->arena, "%d batches in a row are not finite, the last: %s",
                              MOST_REFUSED, blame);
    return STATUS_FINE;
}

/* Micro-batches until an update is done. */
static Status run_update(Loop *loop, const TrainerRates *rates, TrainerResult *result, double *loss,
                         double *waited) {
    const LoopOptions *options = loop->options;
    int64_t count = 0;
    bool updated = false;
    *loss = *waited = 0;
    while (!updated) {
        LoaderBatch batch;
        status_return_if_failed(
            loader_next(loop->loader, options->arena, trainer_images(options->trainer), &batch));
        *waited += batch.waited;
        if (options->fill)
            options->fill(options->context, &batch);
        *result = trainer_step(options->trainer, rates, &updated);
        if (!result->ok) {
            status_return_if_failed(refuse(loop));
            continue;
        }
        loop->refused = 0;
        *loss += result->loss;
        count++;
        if (updated)
            loop->state->position = batch.next;
    }
    *loss /= (double)count;
    return STATUS_FINE;
}

static Status end_epoch(Loop *loop, int64_t epoch) {
    RunState *state = loop->state;
    double loss = state->loss_sum / (double)state->loss_count;
    state->loss_sum = 0;
    state->loss_count = 0;
    status_return_if_failed(
        loop_log(loop, "epoch", json_pack("{s:I, s:f}", "epoch", (json_int_t)epoch, "loss", loss)));
    return loop_scalar(loop, "epoch_loss", loss);
}

static Status after_update(Loop *loop) {
    const LoopOptions *options = loop->options;
    int64_t updates = loop->state->updates;
    LoopMoment moment = {updates, updates % options->epoch_steps == 0,
                         updates == options->schedule.total};
    bool due = clock_seconds() - loop->saved_at >= 60 * options->checkpoint_minutes;
    if (moment.epoch)
        status_return_if_failed(end_epoch(loop, updates / options->epoch_steps));
    if (moment.epoch || moment.last || due || stop_wanted())
        status_return_if_failed(save(loop));
    return options->look ? options->look(options->context, loop, loop->arena, moment) : STATUS_FINE;
}

static Status one_update(Loop *loop) {
    const Schedule *schedule = &loop->options->schedule;
    RunState *state = loop->state;
    TrainerRates rates = {schedule_lr(schedule, state->updates),
                          schedule_weight_decay(schedule, state->updates)};
    TrainerResult result;
    double loss, waited, start = clock_seconds();
    status_return_if_failed(run_update(loop, &rates, &result, &loss, &waited));
    double seconds = clock_seconds() - start;
    state->updates = trainer_updates(loop->options->trainer);
    state->seconds += seconds;
    state->loss_sum += loss;
    state->loss_count++;
    loop->judged = state->loss_sum / (double)state->loss_count;
    progress_update(&loop->progress, state->updates, seconds, waited, loss, rates.lr);
    status_return_if_failed(record_update(loop, loss, result.grad_norm, &rates));
    return after_update(loop);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static Status open_records(Loop *loop) {
    const LoopOptions *options = loop->options;
    status_return_if_failed(
        run_log_open(options->arena, arena_format(options->arena, "%s/log.jsonl", options->folder),
                     loop->state->updates, &loop->log));
    return events_open(options->arena, arena_format(options->arena, "%s/events", options->folder),
                       loop->state->updates, &loop->events);
}

static Status train(Loop *loop) {
    while (loop->state->updates < loop->options->schedule.total && !stop_wanted()) {
        loop->arena = arena_create();
        Status status = one_update(loop);
        if (!status_fine(status))
            status = status_failure(loop->options->arena, "%s", status.message);
        arena_destroy(loop->arena);
        loop->arena = loop->options->arena;
        status_return_if_failed(status);
    }
    return STATUS_FINE;
}

static Status start_and_train(Loop *loop) {
    const LoopOptions *options = loop->options;
    status_return_if_failed(open_records(loop));
    status_return_if_failed(loop_log(loop, "start", json_object()));
    status_return_if_failed(loader_create(options->arena, options->source, &options->loader,
                                          loop->state->position, hear_bad_picture, loop,
                                          &loop->loader));
    Status status = train(loop);
    loop_clear(loop);
    const char *how = !status_fine(status) ? status.message
                      : stop_wanted()      ? "stopped"
                                           : "finished";
    loop_log(loop, "end", json_pack("{s:s, s:f}", "how", how, "seconds", loop->state->seconds));
    return status;
}

Status loop_run(const LoopOptions *options, bool *stopped) {
    int64_t total = options->schedule.total;
    Loop loop = {.options = options,
                 .state = options->state,
                 .arena = options->arena,
                 .log_stride = 1 + (total - 1) / MOST_LOG_LINES,
                 .saved_at = clock_seconds(),
                 .progress = {.terminal = options->terminal,
                              .total = total,
                              .epoch_steps = options->epoch_steps,
                              .batch = options->batch}};
    stop_catch();
    Status status = start_and_train(&loop);
    loader_destroy(loop.loader);
    if (loop.events)
        events_close(loop.events);
    if (loop.log)
        run_log_close(loop.log);
    *stopped = stop_wanted() && options->state->updates < total;
    return status;
}
