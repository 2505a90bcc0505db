/* Making a run's folder, and opening it again. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fatal.h"
#include "base/text.h"
#include "codegen/cpu/cpu.h"
#include "runtime/data/fingerprint.h"
#include "runtime/file.h"
#include "runtime/train/checkpoint.h"
#include "tools/train/pretrain.h"
#include "tools/train/run_tensors.h"

enum { RUN_FORMAT = 1, MOST_RECORD_BYTES = 16 << 20, SCAN_MOST_PICTURES = 10000 };

static const char *path_in(const PretrainRun *run, const char *name) {
    return arena_format(run->arena, "%s/%s", run->folder, name);
}

/* ---- Data ------------------------------------------------------------------------------------ */

static void say_escaped(const PretrainRun *run, const char *before, const char *name,
                        const char *reason) {
    Text text = text_create(run->arena);
    text_append_escaped(&text, name);
    text_append(&text, ": ");
    text_append_escaped(&text, reason);
    fprintf(stderr, "%s%s%s\n", run->progress ? "\r\033[K" : "", before, text.data);
}

static Status damaged(const PretrainRun *run, const char *what) {
    return status_failure(run->arena, "%s: %s", path_in(run, "run.json"), what);
}

/* The run's own sources, if no others are given; a new run has no record. */
static Status read_sources(PretrainRun *run) {
    const json_t *list = json_object_get(json_object_get(run->record, "data"), "sources");
    for (size_t i = 0; run->sources.count == 0 && i < json_array_size(list); i++) {
        const char *path = json_string_value(json_array_get(list, i));
        if (!path)
            return damaged(run, "a source of data is no text");
        vector_push(run->arena, &run->sources, path);
    }
    return STATUS_FINE;
}

static Status make_absolute(PretrainRun *run) {
    for (size_t i = 0; i < run->sources.count; i++) {
        char *path = realpath(run->sources.items[i], NULL);
        if (!path)
            return status_failure(run->arena, "%s: %s", run->sources.items[i], strerror(errno));
        run->sources.items[i] = arena_copy_text(run->arena, path, strlen(path));
        free(path);
    }
    return STATUS_FINE;
}

Status pretrain_open_source(PretrainRun *run) {
    status_return_if_failed(read_sources(run));
    status_return_if_failed(make_absolute(run));
    status_return_if_failed(
        source_open(run->arena, run->sources.items, run->sources.count, &run->source));
    for (size_t i = 0; i < run->source.problems.count; i++)
        say_escaped(run, "warning: ", run->source.problems.items[i].name,
                    run->source.problems.items[i].reason);
    return STATUS_FINE;
}

static void show_scan(void *context, size_t done, size_t all, size_t bad) {
    const PretrainRun *run = context;
    if (run->progress)
        fprintf(stderr, "\r\033[Kmean and deviation: %zu of %zu pictures, %zu bad", done, all, bad);
}

/* Mean and deviation of the data, unless they are given. A channel of one colour counts as of
 * deviation 1: there is nothing to scale. */
static Status find_normalization(PretrainRun *run) {
    PretrainSettings *settings = &run->settings;
    bool given = settings->mean_count || settings->deviation_count;
    bool whole = settings->mean_count == settings->channels &&
                 settings->deviation_count == settings->channels;
    if (given && !whole)
        return status_failure(run->arena,
                              "--mean and --std each need a number for each of %d channels",
                              settings->channels);
    if (given)
        return STATUS_FINE;
    ScanResult scan;
    ScanListener listener = {.context = run, .progress = show_scan};
    Status status = scan_source(run->arena, &run->source, settings->channels, run->decode_threads,
                                SCAN_MOST_PICTURES, &listener, &scan);
    if (run->progress)
        fputs("\r\033[K", stderr);
    status_return_if_failed(status);
    for (int i = 0; i < settings->channels; i++) {
        settings->mean[i] = scan.mean[i];
        settings->deviation[i] = scan.deviation[i] > 1e-6 ? scan.deviation[i] : 1;
    }
    return STATUS_FINE;
}

/* ---- Network --------------------------------------------------------------------------------- */

/* Builds the network of RUN/network.cnn, or of the user's file. */
static Status build_network(PretrainRun *run, const char *path, const char **flattened) {
    Diagnostics *diagnostics;
    run->options.model = path;
    NetworkSource *source = network_open(run->arena, &run->options, &diagnostics);
    run->graph = source ? network_graph(source, NULL, NULL) : NULL;
    network_print(diagnostics);
    if (!run->graph)
        return status_failure(run->arena, "%s: there is no network to pretrain", path);
    if (flattened)
        *flattened = network_flatten(source);
    run->options.frontend.network = run->graph->network;
    return STATUS_FINE;
}

static Status check_image(const PretrainRun *run) {
    const Geometry *geometry = &run->graph->geometry;
    if (geometry->space != 2)
        return status_failure(run->arena,
                              "not supported: pictures have two directions, the network's image "
                              "has %d",
                              geometry->space);
    if (geometry->channels != 1 && geometry->channels != 3 && geometry->channels != 4)
        return status_failure(run->arena,
                              "not supported: pictures have 1, 3 or 4 channels, the network's "
                              "image has %" PRId64,
                              geometry->channels);
    return STATUS_FINE;
}

/* ---- Compiling ------------------------------------------------------------------------------- */

static Status compile(PretrainRun *run) {
    TrainerOptions options = {.pass = run->settings.pass,
                              .run = run->code,
                              .micro_batches = run->settings.pass.batch / run->settings.micro_batch,
                              .seed = run->settings.seed};
    options.pass.batch = run->settings.micro_batch;
    Diagnostics *diagnostics = diagnostics_create(run->arena, FRONTEND_ERROR_LIMIT);
    Status status = trainer_create(run->arena, run->graph, &options, diagnostics, &run->trainer);
    network_print(diagnostics);
    return status;
}

/* ---- run.json -------------------------------------------------------------------------------- */

static json_t *texts_json(const char *const *texts, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(texts[i]));
    return list;
}

static void set_text(json_t *json, const char *name, const char *text) {
    json_object_set_new(json, name, text ? json_string(text) : json_null());
}

static json_t *network_json(const PretrainRun *run, const char *model) {
    const FrontendOptions *frontend = &run->options.frontend;
    json_t *json = json_object();
    set_text(json, "file", model);
    set_text(json, "name", frontend->network);
    set_text(json, "input", frontend->input);
    json_object_set_new(json, "set", texts_json(frontend->settings, frontend->setting_count));
    return json;
}

static json_t *data_json(const PretrainRun *run) {
    json_t *json = json_object();
    json_object_set_new(json, "sources", texts_json(run->sources.items, run->sources.count));
    json_object_set_new(json, "samples", json_integer((json_int_t)run->source.samples.count));
    set_text(json, "fingerprint", data_fingerprint(run->arena, &run->source));
    return json;
}

static json_t *machine_json(const PretrainRun *run) {
    TrainerCosts costs = trainer_costs(run->trainer);
    json_t *json = json_object();
    set_text(json, "cpu", run->code.cpu ? run->code.cpu : "host");
    set_text(json, "code", costs.code);
    json_object_set_new(json, "threads", json_integer(run->code.threads));
    json_object_set_new(json, "parameters", json_integer(costs.parameters));
    json_object_set_new(json, "bytes", json_integer(costs.bytes));
    return json;
}

static char *now_text(Arena *arena) {
    char text[32];
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return arena_copy_text(arena, text, strlen(text));
}

/* JSON is UTF-8: other names could not be found again. */
static Status check_text(const PretrainRun *run, const char *text) {
    json_t *json = json_string(text);
    if (!json)
        return status_failure(run->arena, "%s: its name is not UTF-8; give it another", text);
    json_decref(json);
    return STATUS_FINE;
}

static Status check_texts(const PretrainRun *run, const char *model) {
    const FrontendOptions *frontend = &run->options.frontend;
    status_return_if_failed(check_text(run, model));
    if (run->settings.init_weights)
        status_return_if_failed(check_text(run, run->settings.init_weights));
    for (size_t i = 0; i < run->sources.count; i++)
        status_return_if_failed(check_text(run, run->sources.items[i]));
    for (size_t i = 0; i < frontend->setting_count; i++)
        status_return_if_failed(check_text(run, frontend->settings[i]));
    return STATUS_FINE;
}

static Status write_record(PretrainRun *run, const char *model) {
    json_t *record = json_object();
    json_object_set_new(record, "format", json_integer(RUN_FORMAT));
    set_text(record, "sparkc", SPARKC_VERSION);
    set_text(record, "started", now_text(run->arena));
    set_text(record, "init_weights", run->settings.init_weights);
    json_object_set_new(record, "network", network_json(run, model));
    json_object_set_new(record, "data", data_json(run));
    json_object_set_new(record, "settings", pretrain_settings_json(&run->settings));
    json_object_set_new(record, "machine", machine_json(run));
    run->record = record;
    char *text = json_dumps(record, JSON_INDENT(1));
    invariant(text, "run.json is made of texts in UTF-8 and finite numbers");
    FilePiece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    Status status = file_replace(run->arena, path_in(run, "run.json"), pieces, 2);
    free(text);
    return status;
}

/* ---- A new run ------------------------------------------------------------------------------- */

static Status check_folder_is_free(const PretrainRun *run) {
    struct stat status;
    if (stat(path_in(run, "run.json"), &status) == 0)
        return status_failure(run->arena,
                              "%s holds a run already; go on with it by --resume %s, or choose "
                              "another folder",
                              run->folder, run->folder);
    return STATUS_FINE;
}

static Status initialise_weights(PretrainRun *run) {
    const char *path = run->settings.init_weights;
    if (!path)
        return STATUS_FINE;
    return run_tensors_initialise(run->arena, path, trainer_memory(run->trainer), stderr);
}

static Status write_network(const PretrainRun *run, const char *flattened) {
    FilePiece network = {flattened, strlen(flattened)};
    return file_replace(run->arena, path_in(run, "network.cnn"), &network, 1);
}

Status pretrain_create(PretrainRun *run) {
    const char *model = run->options.model, *flattened = NULL;
    status_return_if_failed(build_network(run, model, &flattened));
    status_return_if_failed(check_image(run));
    run->settings.channels = (int)run->graph->geometry.channels;
    status_return_if_failed(pretrain_open_source(run));
    status_return_if_failed(check_texts(run, model));
    status_return_if_failed(
        pretrain_settings_complete(run->arena, &run->settings, run->source.samples.count));
    status_return_if_failed(check_folder_is_free(run));
    status_return_if_failed(run_folder_lock(run->arena, run->folder, &run->lock));
    status_return_if_failed(check_folder_is_free(run));
    status_return_if_failed(find_normalization(run));
    status_return_if_failed(write_network(run, flattened));
    status_return_if_failed(build_network(run, path_in(run, "network.cnn"), NULL));
    status_return_if_failed(compile(run));
    status_return_if_failed(initialise_weights(run));
    status_return_if_failed(run_tensors_save(run->arena, run->folder, run->graph->network,
                                             trainer_memory(run->trainer), &run->state, NAN,
                                             run->settings.keep));
    return write_record(run, model); /* from here on it is a run, with a checkpoint */
}

/* ---- An old one ------------------------------------------------------------------------------ */

static Status read_record(PretrainRun *run) {
    char *bytes;
    size_t length;
    json_error_t error;
    Status status =
        file_read(run->arena, path_in(run, "run.json"), MOST_RECORD_BYTES, &bytes, &length);
    if (!status_fine(status))
        return status_failure(run->arena, "%s is not the folder of a run: %s", run->folder,
                              status.message);
    run->record = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &error);
    if (!run->record)
        return damaged(run, arena_format(run->arena, "line %d: %s", error.line, error.text));
    if (json_integer_value(json_object_get(run->record, "format")) != RUN_FORMAT)
        return damaged(run, "is of another version of sparkc");
    status = pretrain_settings_read(run->arena, json_object_get(run->record, "settings"),
                                    &run->settings);
    return status_fine(status) ? status : damaged(run, status.message);
}

static const char *record_text(const json_t *json, const char *name) {
    return json_string_value(json_object_get(json, name));
}

static Status read_network(PretrainRun *run) {
    const json_t *network = json_object_get(run->record, "network");
    const json_t *set = json_object_get(network, "set");
    run->options.frontend.network = record_text(network, "name");
    run->options.frontend.input = record_text(network, "input");
    for (size_t i = 0; i < json_array_size(set); i++) {
        const char *setting = json_string_value(json_array_get(set, i));
        if (!setting)
            return damaged(run, "a setting of the network is no text");
        vector_push(run->arena, &run->options.settings, setting);
    }
    run->options.frontend.settings = run->options.settings.items;
    run->options.frontend.setting_count = run->options.settings.count;
    status_return_if_failed(build_network(run, path_in(run, "network.cnn"), NULL));
    status_return_if_failed(check_image(run));
    if (run->graph->geometry.channels != run->settings.channels)
        return damaged(run, "its channels are not those of network.cnn");
    return STATUS_FINE;
}

Status pretrain_open(PretrainRun *run) {
    run->options = options_default(run->arena);
    status_return_if_failed(read_record(run));
    status_return_if_failed(read_network(run));
    return STATUS_FINE;
}

static Status check_fingerprint(PretrainRun *run) {
    const char *old = record_text(json_object_get(run->record, "data"), "fingerprint");
    const char *new_one = data_fingerprint(run->arena, &run->source);
    if (!old || strcmp(old, new_one) != 0)
        return status_failure(run->arena,
                              "the data are not those that %s was begun with (pictures were added, "
                              "removed, renamed or changed); begin a new run, with --init-weights "
                              "to start from this one's weights",
                              run->folder);
    return STATUS_FINE;
}

static void compare_code(const PretrainRun *run) {
    const char *old = record_text(json_object_get(run->record, "machine"), "code");
    TrainerCosts costs = trainer_costs(run->trainer);
    if (!old || strcmp(old, costs.code) != 0)
        fprintf(stderr,
                "warning: the compiled code differs from the one this run was begun with (another "
                "processor, another sparkc): it goes on, but not with the same bits\n");
}

Status pretrain_resume(PretrainRun *run) {
    status_return_if_failed(run_folder_lock(run->arena, run->folder, &run->lock));
    status_return_if_failed(pretrain_open(run));
    status_return_if_failed(pretrain_open_source(run));
    status_return_if_failed(check_fingerprint(run));
    status_return_if_failed(compile(run));
    compare_code(run);
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
