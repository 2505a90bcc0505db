/* The loop of a pretraining. */
#include "tools/train/pretrain.h"

#include <inttypes.h>
#include <math.h>

#include "runtime/data/picture.h"
#include "runtime/file.h"
#include "tools/report/report.h"
#include "tools/train/reconstruction.h"

enum { PICTURE_IMAGES = 8 }; /* rows of a reconstruction picture */

/* ---- Pictures -------------------------------------------------------------------------------- */

static Status draw(Arena *arena, const PretrainRun *run, Reconstruction *reconstruction,
                   Image *picture, double *loss) {
    const PretrainSettings *settings = &run->settings;
    tensors_copy(trainer_memory(run->trainer), reconstruction_memory(reconstruction));
    status_return_if_failed(
        reconstruction_load(arena, &run->source, settings->training.normalization.mean,
                            settings->training.normalization.deviation, reconstruction));
    reconstruction_mask(reconstruction, settings->training.seed);
    return reconstruction_draw(arena, reconstruction, settings->training.normalization.mean,
                               settings->training.normalization.deviation, picture, loss);
}

static Status write_picture(Arena *arena, const PretrainRun *run, Loop *loop, const Image *picture,
                            double loss) {
    const uint8_t *png;
    size_t length;
    const char *folder = arena_format(arena, "%s/pictures", run->folder);
    const char *path =
        arena_format(arena, "%s/update-%08" PRId64 ".png", folder, run->state.updates);
    status_return_if_failed(file_make_folder(arena, folder));
    status_return_if_failed(picture_encode(arena, picture, &png, &length));
    FilePiece piece = {png, length};
    status_return_if_failed(file_replace(arena, path, &piece, 1));
    status_return_if_failed(loop_picture(loop, "reconstruction", picture, png, length));
    return loop_log(loop, "picture", json_pack("{s:f}", "loss", loss));
}

static Status make_picture(Arena *arena, const PretrainRun *run, Loop *loop) {
    PassOptions pass = run->settings.pass;
    Reconstruction *reconstruction;
    Image picture;
    double loss;
    pass.batch = PICTURE_IMAGES;
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    status_return_if_failed(
        reconstruction_create(arena, run->graph, &pass, &run->code, diagnostics, &reconstruction));
    Status status = draw(arena, run, reconstruction, &picture, &loss);
    if (status_fine(status))
        status = write_picture(arena, run, loop, &picture, loss);
    reconstruction_destroy(reconstruction);
    return status;
}

/* Whether a reconstruction is due after this update. */
static bool picture_is_due(const PretrainRun *run, LoopMoment moment) {
    double epoch_steps = (double)pretrain_epoch_steps(&run->settings, run->source.samples.count);
    double every = run->settings.picture_epochs * epoch_steps, updates = (double)moment.updates;
    return every > 0 && (moment.last || floor(updates / every) > floor((updates - 1) / every));
}

static Status look(void *context, Loop *loop, Arena *arena, LoopMoment moment) {
    const PretrainRun *run = context;
    if (!picture_is_due(run, moment))
        return STATUS_FINE;
    status_return_if_failed(make_picture(arena, run, loop));
    return report_write(arena, run->folder);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static LoaderOptions loader_options(const PretrainRun *run) {
    const PretrainSettings *settings = &run->settings;
    LoaderOptions options =
        run_data_loader(&run->graph->geometry, &settings->training.normalization,
                        settings->micro_batch, run->decode_threads, settings->training.no_flip);
    options.seed = settings->training.seed;
    options.most_bad = settings->training.most_bad;
    return options;
}

Status pretrain_train(PretrainRun *run, bool *stopped) {
    const PretrainSettings *settings = &run->settings;
    size_t samples = run->source.samples.count;
    LoopOptions options = {.arena = run->arena,
                           .folder = run->folder,
                           .network = run->graph->network,
                           .trainer = run->trainer,
                           .state = &run->state,
                           .source = &run->source,
                           .loader = loader_options(run),
                           .schedule = pretrain_schedule(settings, samples),
                           .batch = settings->pass.batch,
                           .epoch_steps = pretrain_epoch_steps(settings, samples),
                           .nonfinite = settings->training.nonfinite,
                           .checkpoint_minutes = settings->training.checkpoint_minutes,
                           .keep = settings->training.keep,
                           .terminal = run->progress,
                           .context = run,
                           .look = look};
    Status status = loop_run(&options, stopped);
    Status reported = report_write(run->arena, run->folder);
    return status_fine(status) ? reported : status;
}
