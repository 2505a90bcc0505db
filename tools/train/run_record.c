#include "tools/train/run_record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fatal.h"
#include "base/text.h"
#include "runtime/data/fingerprint.h"
#include "runtime/file.h"
#include "tools/train/settings_table.h"

enum { RUN_FORMAT = 1, MOST_RECORD_BYTES = 16 << 20, SCAN_MOST_PICTURES = 10000 };

static const char *record_path(Arena *arena, const char *folder) {
    return arena_format(arena, "%s/run.json", folder);
}

static const char *network_path(Arena *arena, const char *folder) {
    return arena_format(arena, "%s/network.cnn", folder);
}

/* ---- run.json -------------------------------------------------------------------------------- */

Status run_record_check_free(Arena *arena, const char *folder) {
    struct stat status;
    if (stat(record_path(arena, folder), &status) == 0)
        return status_failure(arena,
                              "%s holds a run already; go on with it by --resume %s, or choose "
                              "another folder",
                              folder, folder);
    return STATUS_FINE;
}

const char *run_record_text(const json_t *json, const char *name) {
    return json_string_value(json_object_get(json, name));
}

void run_record_set_text(json_t *json, const char *name, const char *text) {
    json_object_set_new(json, name, text ? json_string(text) : json_null());
}

static char *now_text(Arena *arena) {
    char text[32];
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return arena_copy_text(arena, text, strlen(text));
}

json_t *run_record_create(Arena *arena, const char *kind) {
    json_t *record = json_object();
    json_object_set_new(record, "format", json_integer(RUN_FORMAT));
    run_record_set_text(record, "kind", kind);
    run_record_set_text(record, "sparkc", SPARKC_VERSION);
    run_record_set_text(record, "started", now_text(arena));
    return record;
}

json_t *run_record_machine(const ExecutorOptions *code, const Trainer *trainer) {
    TrainerCosts costs = trainer_costs(trainer);
    json_t *json = json_object();
    run_record_set_text(json, "cpu", code->cpu ? code->cpu : "host");
    run_record_set_text(json, "code", costs.code);
    run_record_set_text(json, "plan", costs.plan);
    json_object_set_new(json, "threads", json_integer(code->threads));
    json_object_set_new(json, "parameters", json_integer(costs.parameters));
    json_object_set_new(json, "bytes", json_integer(costs.bytes));
    return json;
}

Status run_record_write(Arena *arena, const char *folder, const json_t *record) {
    char *text = json_dumps(record, JSON_INDENT(1));
    invariant(text, "run.json is made of texts in UTF-8 and finite numbers");
    FilePiece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    Status status = file_replace(arena, record_path(arena, folder), pieces, 2);
    free(text);
    return status;
}

Status run_record_damaged(Arena *arena, const char *folder, const char *what) {
    return status_failure(arena, "%s: %s", record_path(arena, folder), what);
}

static Status check_kind(Arena *arena, const char *folder, const char *kind, const json_t *record) {
    const char *own = run_record_text(record, "kind");
    own = own ? own : "pretrain"; /* the first kind there was */
    if (json_integer_value(json_object_get(record, "format")) != RUN_FORMAT)
        return run_record_damaged(arena, folder, "is of another version of sparkc");
    if (strcmp(own, kind) != 0)
        return status_failure(arena, "%s is the folder of \"sparkc %s\", not of \"sparkc %s\"",
                              folder, own, kind);
    return STATUS_FINE;
}

Status run_record_read(Arena *arena, const char *folder, const char *kind, json_t **record) {
    char *bytes;
    size_t length;
    json_error_t error;
    Status status =
        file_read(arena, record_path(arena, folder), MOST_RECORD_BYTES, &bytes, &length);
    if (!status_fine(status))
        return status_failure(arena, "%s is not the folder of a run: %s", folder, status.message);
    *record = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &error);
    if (!*record)
        return run_record_damaged(arena, folder,
                                  arena_format(arena, "line %d: %s", error.line, error.text));
    return check_kind(arena, folder, kind, *record);
}

/* JSON is UTF-8: other names could not be found again. */
Status run_record_check_text(Arena *arena, const char *text) {
    json_t *json = text ? json_string(text) : NULL;
    if (text && !json)
        return status_failure(arena, "%s: its name is not UTF-8; give it another", text);
    json_decref(json);
    return STATUS_FINE;
}

void run_record_compare_code(const json_t *record, const Trainer *trainer) {
    const char *old = run_record_text(json_object_get(record, "machine"), "code");
    TrainerCosts costs = trainer_costs(trainer);
    if (!old || strcmp(old, costs.code) != 0)
        fprintf(stderr,
                "warning: the compiled code differs from the one this run was begun with (another "
                "processor, another sparkc): it goes on, but not with the same bits\n");
}

static json_t *texts_json(const char *const *texts, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(texts[i]));
    return list;
}

/* ---- Network --------------------------------------------------------------------------------- */

static Status check_image(Arena *arena, const Graph *graph) {
    const Geometry *geometry = &graph->geometry;
    if (geometry->space != 2)
        return status_failure(arena,
                              "not supported: pictures have two directions, the network's image "
                              "has %d",
                              geometry->space);
    if (geometry->channels != 1 && geometry->channels != 3 && geometry->channels != 4)
        return status_failure(arena,
                              "not supported: pictures have 1, 3 or 4 channels, the network's "
                              "image has %" PRId64,
                              geometry->channels);
    return STATUS_FINE;
}

Status run_network_build(Arena *arena, Options *options, const char *path, const Graph **graph,
                         const char **flattened) {
    Diagnostics *diagnostics;
    options->model = path;
    NetworkSource *source = network_open(arena, options, &diagnostics);
    *graph = source ? network_graph(source, NULL, NULL) : NULL;
    network_print(diagnostics);
    if (!*graph)
        return status_failure(arena, "%s: there is no network to train", path);
    if (flattened)
        *flattened = network_flatten(source);
    options->frontend.network = (*graph)->network;
    return check_image(arena, *graph);
}

bool run_network_try(Arena *arena, const Options *options) {
    Diagnostics *diagnostics;
    NetworkSource *source = network_open(arena, options, &diagnostics);
    return source && network_try(source, arena, NULL, options->frontend.input);
}

Status run_network_keep(Arena *arena, const char *folder, Options *options, const char *flattened,
                        const Graph **graph) {
    const char *path = network_path(arena, folder);
    FilePiece network = {flattened, strlen(flattened)};
    status_return_if_failed(file_replace(arena, path, &network, 1));
    return run_network_build(arena, options, path, graph, NULL);
}

json_t *run_network_json(const Options *options, const char *model) {
    const FrontendOptions *frontend = &options->frontend;
    json_t *json = json_object();
    run_record_set_text(json, "file", model);
    run_record_set_text(json, "name", frontend->network);
    run_record_set_text(json, "input", frontend->input);
    json_object_set_new(json, "set", texts_json(frontend->settings, frontend->setting_count));
    return json;
}

Status run_network_check_texts(Arena *arena, const Options *options, const char *model) {
    const FrontendOptions *frontend = &options->frontend;
    status_return_if_failed(run_record_check_text(arena, model));
    for (size_t i = 0; i < frontend->setting_count; i++)
        status_return_if_failed(run_record_check_text(arena, frontend->settings[i]));
    return STATUS_FINE;
}

/* A text of an object that outlives the object; NULL: there is none. */
static const char *copied_text(Arena *arena, const json_t *text) {
    return json_is_string(text)
               ? arena_copy_text(arena, json_string_value(text), json_string_length(text))
               : NULL;
}

Status run_network_open(Arena *arena, const char *folder, const json_t *record, Options *options,
                        const Graph **graph) {
    const json_t *network = json_object_get(record, "network");
    const json_t *set = json_object_get(network, "set");
    options->frontend.network = copied_text(arena, json_object_get(network, "name"));
    options->frontend.input = copied_text(arena, json_object_get(network, "input"));
    for (size_t i = 0; i < json_array_size(set); i++) {
        const char *setting = copied_text(arena, json_array_get(set, i));
        if (!setting)
            return run_record_damaged(arena, folder, "a setting of the network is no text");
        vector_push(arena, &options->settings, setting);
    }
    options->frontend.settings = options->settings.items;
    options->frontend.setting_count = options->settings.count;
    return run_network_build(arena, options, network_path(arena, folder), graph, NULL);
}

/* ---- Data ------------------------------------------------------------------------------------ */

Status run_data_paths(Arena *arena, const char *folder, const json_t *part, RunPaths *paths) {
    const json_t *list = json_object_get(part, "sources");
    if (paths->count > 0)
        return STATUS_FINE;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *path = json_string_value(json_array_get(list, i));
        if (!path)
            return run_record_damaged(arena, folder, "a source of data is no text");
        vector_push(arena, paths, path);
    }
    return STATUS_FINE;
}

static Status make_absolute(Arena *arena, RunPaths *paths) {
    for (size_t i = 0; i < paths->count; i++) {
        char *path = realpath(paths->items[i], NULL);
        if (!path)
            return status_failure(arena, "%s: %s", paths->items[i], strerror(errno));
        paths->items[i] = arena_copy_text(arena, path, strlen(path));
        free(path);
        status_return_if_failed(run_record_check_text(arena, paths->items[i]));
    }
    return STATUS_FINE;
}

static void warn(Arena *arena, bool terminal, const SourceProblem *problem) {
    Text text = text_create(arena);
    text_append_escaped(&text, problem->name);
    text_append(&text, ": ");
    text_append_escaped(&text, problem->reason);
    fprintf(stderr, "%swarning: %s\n", terminal ? "\r\033[K" : "", text.data);
}

Status run_data_open(Arena *arena, RunPaths *paths, bool terminal, Source *source) {
    status_return_if_failed(make_absolute(arena, paths));
    status_return_if_failed(source_open(arena, paths->items, paths->count, source));
    for (size_t i = 0; i < source->problems.count; i++)
        warn(arena, terminal, &source->problems.items[i]);
    return STATUS_FINE;
}

json_t *run_data_json(Arena *arena, const RunPaths *paths, const Source *source) {
    json_t *json = json_object();
    json_object_set_new(json, "sources", texts_json(paths->items, paths->count));
    json_object_set_new(json, "samples", json_integer((json_int_t)source->samples.count));
    run_record_set_text(json, "fingerprint", data_fingerprint(arena, source));
    return json;
}

Status run_data_check(Arena *arena, const char *folder, const json_t *part, const Source *source) {
    const char *old = run_record_text(part, "fingerprint");
    if (!old || strcmp(old, data_fingerprint(arena, source)) != 0)
        return status_failure(arena,
                              "the data are not those that %s was begun with (pictures were added, "
                              "removed, renamed or changed); begin a new run, with --init-weights "
                              "to start from this one's weights",
                              folder);
    return STATUS_FINE;
}

LoaderOptions run_data_loader(const Geometry *geometry, const RunNormalization *normalization,
                              int64_t batch, int threads, bool no_flip) {
    LoaderOptions options = {.height = (int)geometry->image[0],
                             .width = (int)geometry->image[1],
                             .channels = (int)geometry->channels,
                             .batch = (int)batch,
                             .augment = augment_pretraining_options,
                             .limits = image_default_limits,
                             .threads = threads};
    if (no_flip)
        options.augment.flip = 0;
    options.scale = augment_scale(options.channels, normalization->mean, normalization->deviation);
    options.ahead = 2 * options.batch + 2 * threads;
    return options;
}

json_t *run_classes_json(Arena *arena, const char *const *names, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        Text name = text_create(arena);
        text_append_escaped(&name, names[i]);
        json_array_append_new(list, json_string(name.data));
    }
    return list;
}

/* ---- Mean and deviation ---------------------------------------------------------------------- */

static void show_scan(void *context, size_t done, size_t all, size_t bad) {
    (void)context;
    fprintf(stderr, "\r\033[Kmean and deviation: %zu of %zu pictures, %zu bad", done, all, bad);
}

Status run_normalization(Arena *arena, const Source *source, int channels, int threads,
                         bool terminal, RunNormalization *normalization) {
    bool given = normalization->mean_count || normalization->deviation_count;
    bool whole =
        normalization->mean_count == channels && normalization->deviation_count == channels;
    if (given && !whole)
        return status_failure(arena, "--mean and --std each need a number for each of %d channels",
                              channels);
    if (given)
        return STATUS_FINE;
    ScanResult scan;
    ScanListener listener = {.progress = terminal ? show_scan : NULL};
    Status status =
        scan_source(arena, source, channels, threads, SCAN_MOST_PICTURES, &listener, &scan);
    if (terminal)
        fputs("\r\033[K", stderr);
    status_return_if_failed(status);
    for (int i = 0; i < channels; i++) {
        normalization->mean[i] = scan.mean[i];
        normalization->deviation[i] = scan.deviation[i] > 1e-6 ? scan.deviation[i] : 1;
    }
    return STATUS_FINE;
}

void run_normalization_json(json_t *settings, const RunNormalization *normalization, int channels) {
    json_object_set_new(settings, "mean", settings_numbers_json(normalization->mean, channels));
    json_object_set_new(settings, "std", settings_numbers_json(normalization->deviation, channels));
}

Status run_normalization_read(Arena *arena, const json_t *settings, int channels,
                              RunNormalization *normalization) {
    normalization->mean_count = normalization->deviation_count = channels;
    status_return_if_failed(
        settings_read_numbers(arena, settings, "mean", channels, false, normalization->mean));
    return settings_read_numbers(arena, settings, "std", channels, true, normalization->deviation);
}
