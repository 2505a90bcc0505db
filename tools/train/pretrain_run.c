/* Making a run's folder, and opening it again. */
#include <math.h>

#include "tools/train/pretrain.h"

static const char kind[] = "pretrain";

/* ---- Compiling ------------------------------------------------------------------------------- */

static Status compile(PretrainRun *run) {
    run->code.precision = run->settings.pass.precision;
    TrainerOptions options = {.pass = run->settings.pass,
                              .run = run->code,
                              .micro_batches = run->settings.pass.batch / run->settings.micro_batch,
                              .seed = run->settings.training.seed};
    options.pass.batch = run->settings.micro_batch;
    Diagnostics *diagnostics = diagnostics_create(run->arena, FRONTEND_ERROR_LIMIT);
    Status status = trainer_create(run->arena, run->graph, &options, diagnostics, &run->trainer);
    network_print(diagnostics);
    return status;
}

/* ---- Data ------------------------------------------------------------------------------------ */

static const json_t *recorded_data(const PretrainRun *run) {
    return json_object_get(run->record, "data");
}

Status pretrain_open_source(PretrainRun *run) {
    status_return_if_failed(
        run_data_paths(run->arena, run->folder, recorded_data(run), &run->sources));
    return run_data_open(run->arena, &run->sources, run->progress, &run->source);
}

/* ---- A new run ------------------------------------------------------------------------------- */

static Status check_texts(const PretrainRun *run, const char *model) {
    status_return_if_failed(run_record_check_text(run->arena, run->settings.training.init_weights));
    return run_network_check_texts(run->arena, &run->options, model);
}

static Status write_record(PretrainRun *run, const char *model) {
    json_t *record = run_record_create(run->arena, kind);
    run_record_set_text(record, "init_weights", run->settings.training.init_weights);
    json_object_set_new(record, "network", run_network_json(&run->options, model));
    json_object_set_new(record, "data", run_data_json(run->arena, &run->sources, &run->source));
    json_object_set_new(record, "settings", pretrain_settings_json(&run->settings));
    json_object_set_new(record, "machine", run_record_machine(&run->code, run->trainer));
    run->record = record;
    return run_record_write(run->arena, run->folder, record);
}

static Status initialise_weights(PretrainRun *run) {
    const char *path = run->settings.training.init_weights;
    if (!path)
        return STATUS_FINE;
    return run_tensors_initialise(run->arena, path, trainer_memory(run->trainer), stderr);
}

Status pretrain_create(PretrainRun *run) {
    const char *model = run->options.model, *flattened;
    PretrainSettings *settings = &run->settings;
    Arena *arena = run->arena;
    status_return_if_failed(
        run_network_build(arena, &run->options, model, &run->graph, &flattened));
    settings->training.channels = (int)run->graph->geometry.channels;
    status_return_if_failed(check_texts(run, model));
    status_return_if_failed(pretrain_open_source(run));
    status_return_if_failed(pretrain_settings_complete(arena, settings, run->source.samples.count));
    status_return_if_failed(run_record_check_free(arena, run->folder));
    status_return_if_failed(run_folder_lock(arena, run->folder, &run->lock));
    status_return_if_failed(run_record_check_free(arena, run->folder));
    status_return_if_failed(run_normalization(arena, &run->source, settings->training.channels,
                                              run->decode_threads, run->progress,
                                              &settings->training.normalization));
    status_return_if_failed(
        run_network_keep(arena, run->folder, &run->options, flattened, &run->graph));
    status_return_if_failed(compile(run));
    status_return_if_failed(initialise_weights(run));
    status_return_if_failed(run_tensors_save(arena, run->folder, run->graph->network,
                                             trainer_memory(run->trainer), &run->state, NAN,
                                             settings->training.keep));
    return write_record(run, model); /* from here on it is a run, with a checkpoint */
}

/* ---- An old one ------------------------------------------------------------------------------ */

static Status read_record(PretrainRun *run) {
    status_return_if_failed(run_record_read(run->arena, run->folder, kind, &run->record));
    Status status = pretrain_settings_read(run->arena, json_object_get(run->record, "settings"),
                                           &run->settings);
    return status_fine(status) ? status
                               : run_record_damaged(run->arena, run->folder, status.message);
}

Status pretrain_open(PretrainRun *run) {
    run->options = options_default(run->arena);
    status_return_if_failed(read_record(run));
    status_return_if_failed(
        run_network_open(run->arena, run->folder, run->record, &run->options, &run->graph));
    if (run->graph->geometry.channels != run->settings.training.channels)
        return run_record_damaged(run->arena, run->folder,
                                  "its channels are not those of network.cnn");
    return STATUS_FINE;
}

Status pretrain_resume(PretrainRun *run) {
    status_return_if_failed(run_folder_lock(run->arena, run->folder, &run->lock));
    status_return_if_failed(pretrain_open(run));
    status_return_if_failed(pretrain_open_source(run));
    status_return_if_failed(
        run_data_check(run->arena, run->folder, recorded_data(run), &run->source));
    status_return_if_failed(compile(run));
    run_record_compare_code(run->record, run->trainer);
    status_return_if_failed(
        run_tensors_restore(run->arena, run->folder, trainer_memory(run->trainer), &run->state));
    trainer_set_updates(run->trainer, run->state.updates);
    return STATUS_FINE;
}

void pretrain_close(PretrainRun *run) {
    if (run->trainer)
        trainer_destroy(run->trainer);
    source_close(&run->source);
    run_folder_unlock(run->lock);
    json_decref(run->record);
}
