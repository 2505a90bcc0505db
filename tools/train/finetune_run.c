/* Making a fine-tuning's folder, and opening it again. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "runtime/train/checkpoint.h"
#include "tools/train/finetune.h"
#include "tools/train/pretrain.h"

static const char kind[] = "finetune";
enum { EVALUATION_BATCH = 32 };

/* ---- Network --------------------------------------------------------------------------------- */

/* The same as if "name=value" had been given by --set, behind what was given. */
static void set_parameter(FinetuneRun *run, const char *setting) {
    Options *options = &run->options;
    vector_push(run->arena, &options->settings, setting);
    options->frontend.settings = options->settings.items;
    options->frontend.setting_count = options->settings.count;
}

static int64_t class_outputs(const Graph *graph) {
    const Node *logits = graph_find_output(graph, "logits");
    return logits ? logits->operands[0]->type.channels : 0;
}

/* Whether the network takes the parameter. */
static bool try_parameter(FinetuneRun *run, const char *setting) {
    Options before = run->options;
    set_parameter(run, setting);
    if (run_network_try(run->arena, &run->options))
        return true;
    run->options = before;
    return false;
}

/* A head for the classes of the pictures. */
static Status fit_head(FinetuneRun *run) {
    int64_t outputs = class_outputs(run->graph), classes = (int64_t)run->class_count;
    if (outputs == 0)
        return status_failure(run->arena,
                              "%s: the network has no head; write one as head { x |> "
                              "global_avg_pool |> fc: linear(classes) }",
                              run->options.model);
    if (outputs == classes)
        return STATUS_FINE;
    if (!try_parameter(run, arena_format(run->arena, "classes=%" PRId64, classes)))
        return status_failure(run->arena,
                              "%s: the head has %" PRId64 " outputs, the pictures have %" PRId64
                              " classes, and the network has no parameter `classes`",
                              run->options.model, outputs, classes);
    return STATUS_FINE;
}

/* The parameter's value need not be the number of outputs. */
static Status check_head(const FinetuneRun *run, const char *model) {
    int64_t outputs = class_outputs(run->graph);
    if (outputs == (int64_t)run->class_count)
        return STATUS_FINE;
    return status_failure(run->arena,
                          "%s: the head has %" PRId64 " outputs for %zu classes; end it with "
                          "linear(classes)",
                          model, outputs, run->class_count);
}

static Status fit_drop_path(FinetuneRun *run, bool given) {
    double rate = run->settings.drop_path;
    if (rate < 0 || try_parameter(run, arena_format(run->arena, "drop_path=%.17g", rate)))
        return STATUS_FINE;
    if (given)
        return status_failure(run->arena, "%s: the network has no parameter `drop_path`",
                              run->options.model);
    fprintf(stderr, "note: the network has no parameter `drop_path`; the recipe's %g is left out\n",
            rate);
    run->settings.drop_path = -1;
    return STATUS_FINE;
}

/* ---- A pretraining --------------------------------------------------------------------------- */

static Status find_weights(FinetuneRun *run) {
    const char *path;
    if (run->random || run->settings.training.init_weights)
        return STATUS_FINE;
    status_return_if_failed(run_tensors_newest(run->arena, run->from, &path));
    run->settings.training.init_weights = checkpoint_encoder_path(run->arena, path);
    return STATUS_FINE;
}

/* Network, normalisation and weights of the pretraining; what the options say comes behind. */
static Status take_pretraining(FinetuneRun *run) {
    PretrainRun from = {.arena = run->arena, .folder = run->from};
    Options own = run->options;
    RunNormalization *normalization = &run->settings.training.normalization;
    Status status = pretrain_open(&from);
    pretrain_close(&from);
    status_return_if_failed(status);
    run->options = from.options;
    if (own.frontend.input)
        run->options.frontend.input = own.frontend.input;
    for (size_t i = 0; i < own.settings.count; i++)
        set_parameter(run, own.settings.items[i]);
    if (!normalization->mean_count && !normalization->deviation_count)
        *normalization = from.settings.training.normalization;
    return find_weights(run);
}

/* ---- Compiling ------------------------------------------------------------------------------- */

static Status compile(FinetuneRun *run) {
    Arena *arena = run->arena;
    TrainerOptions options = finetune_trainer_options(&run->settings);
    PassOptions pass = options.pass;
    options.run = run->code;
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    Status status = trainer_create(arena, run->graph, &options, diagnostics, &run->trainer);
    if (status_fine(status)) {
        pass.entry = ENTRY_LOGITS;
        pass.batch = EVALUATION_BATCH;
        status =
            extractor_create(arena, run->graph, &pass, 0, &run->code, diagnostics, &run->extractor);
    }
    network_print(diagnostics);
    return status;
}

/* ---- A new run ------------------------------------------------------------------------------- */

static Status write_record(FinetuneRun *run, const char *model) {
    Arena *arena = run->arena;
    json_t *record = run_record_create(arena, kind);
    run_record_set_text(record, "init_weights", run->settings.training.init_weights);
    json_object_set_new(record, "network", run_network_json(&run->options, model));
    json_object_set_new(record, "data",
                        run_data_json(arena, &run->train.paths, &run->train.source));
    if (run->settings.hold_out == 0)
        json_object_set_new(record, "test",
                            run_data_json(arena, &run->test.paths, &run->test.source));
    json_object_set_new(record, "settings", finetune_settings_json(&run->settings));
    json_object_set_new(record, "machine", run_record_machine(&run->code, run->trainer));
    run->record = record;
    return run_record_write(arena, run->folder, record);
}

static Status take_weights(FinetuneRun *run) {
    const char *path = run->settings.training.init_weights;
    if (path)
        status_return_if_failed(
            run_tensors_initialise(run->arena, path, trainer_memory(run->trainer), stderr));
    trainer_start_average(run->trainer);
    return STATUS_FINE;
}

/* The network as it will be trained, from a file to RUN/network.cnn. */
static Status make_network(FinetuneRun *run, const char *model, bool drop_path_given) {
    const char *flattened;
    Arena *arena = run->arena;
    status_return_if_failed(
        run_network_build(arena, &run->options, model, &run->graph, &flattened));
    status_return_if_failed(fit_head(run));
    status_return_if_failed(fit_drop_path(run, drop_path_given));
    status_return_if_failed(run_network_check_texts(arena, &run->options, model));
    status_return_if_failed(run_record_check_text(arena, run->settings.training.init_weights));
    status_return_if_failed(run_record_check_free(arena, run->folder));
    status_return_if_failed(run_folder_lock(arena, run->folder, &run->lock));
    status_return_if_failed(run_record_check_free(arena, run->folder));
    status_return_if_failed(
        run_network_keep(arena, run->folder, &run->options, flattened, &run->graph));
    return check_head(run, model);
}

static Status find_normalization(FinetuneRun *run) {
    run->settings.training.channels = (int)run->graph->geometry.channels;
    return run_normalization(run->arena, &run->train.source, run->settings.training.channels,
                             run->decode_threads, run->progress,
                             &run->settings.training.normalization);
}

Status finetune_create(FinetuneRun *run) {
    Arena *arena = run->arena;
    bool drop_path_given = !isnan(run->settings.drop_path);
    if (run->from)
        status_return_if_failed(take_pretraining(run));
    const char *model = run->options.model;
    status_return_if_failed(finetune_open_data(run));
    status_return_if_failed(
        finetune_settings_complete(arena, &run->settings, run->chosen.samples.count));
    status_return_if_failed(make_network(run, model, drop_path_given));
    status_return_if_failed(find_normalization(run));
    status_return_if_failed(compile(run));
    status_return_if_failed(take_weights(run));
    status_return_if_failed(run_tensors_save(arena, run->folder, run->graph->network,
                                             trainer_memory(run->trainer), &run->state, NAN,
                                             run->settings.training.keep));
    return write_record(run, model); /* from here on it is a run, with a checkpoint */
}

/* ---- An old one ------------------------------------------------------------------------------ */

static Status read_record(FinetuneRun *run) {
    Arena *arena = run->arena;
    status_return_if_failed(run_record_read(arena, run->folder, kind, &run->record));
    Status status =
        finetune_settings_read(arena, json_object_get(run->record, "settings"), &run->settings);
    return status_fine(status) ? status : run_record_damaged(arena, run->folder, status.message);
}

static Status check_record(const FinetuneRun *run) {
    const char *wrong = NULL;
    if (run->graph->geometry.channels != run->settings.training.channels)
        wrong = "its channels are not those of network.cnn";
    else if (class_outputs(run->graph) != (int64_t)run->class_count)
        wrong = "the classes of its pictures are not those of network.cnn";
    else if ((size_t)run->settings.batch > run->chosen.samples.count)
        wrong = "its batch is larger than its pictures are many";
    return wrong ? run_record_damaged(run->arena, run->folder, wrong) : STATUS_FINE;
}

Status finetune_resume(FinetuneRun *run) {
    Arena *arena = run->arena;
    status_return_if_failed(run_folder_lock(arena, run->folder, &run->lock));
    run->options = options_default(arena);
    status_return_if_failed(read_record(run));
    status_return_if_failed(
        run_network_open(arena, run->folder, run->record, &run->options, &run->graph));
    status_return_if_failed(finetune_open_data(run));
    status_return_if_failed(check_record(run));
    status_return_if_failed(compile(run));
    run_record_compare_code(run->record, run->trainer);
    status_return_if_failed(
        run_tensors_restore(arena, run->folder, trainer_memory(run->trainer), &run->state));
    trainer_set_updates(run->trainer, run->state.updates);
    return STATUS_FINE;
}

void finetune_close(FinetuneRun *run) {
    if (run->extractor)
        extractor_destroy(run->extractor);
    if (run->trainer)
        trainer_destroy(run->trainer);
    source_close(&run->train.source);
    source_close(&run->test.source);
    run_folder_unlock(run->lock);
    json_decref(run->record);
}
