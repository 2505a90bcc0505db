#include <inttypes.h>
#include <math.h>
#include <unistd.h>

#include "base/text.h"
#include "tools/command.h"
#include "tools/probe/probe.h"
#include "tools/probe/probe_knn.h"

typedef struct ProbeOptions {
    Probe probe;
    CodeOptions code;
    ProbeSet *names; /* that further names belong to; NULL: the run is to be named */
    bool json;
} ProbeOptions;

enum { KEY_DATA = 0x600, KEY_TEST, KEY_WEIGHTS, KEY_RANDOM, KEY_SEED, KEY_K, KEY_COUNT };

static const struct argp_option option_table[] = {
    {"data", KEY_DATA, "SOURCE", 0,
     "Labelled training pictures: folders of classes or tar shards; further ones may follow", 0},
    {"test", KEY_TEST, "SOURCE", 0, "Labelled test pictures; further ones may follow", 0},
    {"weights", KEY_WEIGHTS, "FILE", 0,
     "Weights, an encoder alone or a checkpoint (default: the run's newest checkpoint)", 0},
    {"random", KEY_RANDOM, NULL, 0, "Weights as they were before any training, to compare with", 0},
    {"seed", KEY_SEED, "N", 0, "Of random weights, and of the choice that --count makes (0)", 0},
    {"k", KEY_K, "N", 0, "Neighbours that vote (20)", 0},
    {"count", KEY_COUNT, "N", 0,
     "Use so many of the training pictures, chosen by the seed, equally many of each class", 0},
    OPTIONS_JSON,
    {0},
};

static error_t parse_name(ProbeOptions *options, char *name, struct argp_state *state) {
    if (options->names)
        vector_push(options->probe.run.arena, &options->names->paths, name);
    else if (options->probe.run.folder)
        argp_error(state, "one run at a time: %s? (name pictures behind --data and --test)", name);
    else
        options->probe.run.folder = name;
    return 0;
}

static error_t parse_set(ProbeOptions *options, ProbeSet *set, char *name) {
    options->names = set;
    vector_push(options->probe.run.arena, &set->paths, name);
    return 0;
}

static void check_whole(const Probe *probe, struct argp_state *state) {
    if (!probe->run.folder)
        argp_error(state, "name the folder of a run, in front of --data and --test");
    if (probe->train.paths.count == 0)
        argp_error(state, "name labelled training pictures: --data SOURCE");
    if (probe->test.paths.count == 0)
        argp_error(state, "name labelled test pictures: --test SOURCE");
    if (probe->random && probe->weights)
        argp_error(state, "either --random or --weights");
}

static error_t parse(int key, char *text, struct argp_state *state) {
    ProbeOptions *options = state->input;
    Probe *probe = &options->probe;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->code;
        return 0;
    case ARGP_KEY_ARG:
        return parse_name(options, text, state);
    case KEY_DATA:
        return parse_set(options, &probe->train, text);
    case KEY_TEST:
        return parse_set(options, &probe->test, text);
    case KEY_WEIGHTS:
        probe->weights = text;
        return 0;
    case KEY_RANDOM:
        probe->random = true;
        return 0;
    case KEY_SEED:
        probe->seed = (uint32_t)options_integer(state, "seed", text, 0, UINT32_MAX);
        return 0;
    case KEY_K:
        probe->k = (int)options_integer(state, "k", text, 1, KNN_MOST);
        return 0;
    case KEY_COUNT:
        probe->count = options_integer(state, "count", text, 2, INT32_MAX);
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        check_whole(probe, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&code_options_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    option_table,
    parse,
    "RUN --data SOURCE... --test SOURCE...",
    "How good a pretrained network's features are, as they stand: the accuracy on labelled test "
    "pictures of a vote of the nearest training pictures, and of a linear classifier."
    "\vThe class of a picture is the number in the entry .cls beside it, in shards without such "
    "entries what its name has before the last underscore, in folders the folder's name.\n\n"
    "Examples:\n"
    "  sparkc probe run --data pets/train --test pets/test\n"
    "  sparkc probe run --data train-*.tar --test test.tar --count 500 --seed 1 --json\n"
    "  sparkc probe run --data pets/train --test pets/test --random\n",
    children,
    NULL,
    NULL};

/* ---- Results --------------------------------------------------------------------------------- */

static void print_set(const char *title, const ProbeSet *set) {
    printf("%-9s %zu pictures", title, set->used);
    if (set->bad)
        printf(", %zu bad", set->bad);
    putchar('\n');
}

static void print_text(const Probe *probe) {
    const LinearResult *linear = &probe->linear;
    print_set("training", &probe->train);
    print_set("test", &probe->test);
    printf("%-9s %zu, chance %.2f %%\n", "classes", probe->class_count,
           100 / (double)probe->class_count);
    printf("%-9s %zu, %s\n", "features", probe->width,
           probe->random ? "random weights" : "pretrained weights");
    printf("%-9s %.2f %% by %d neighbours\n", "kNN", 100 * probe->knn, probe->k);
    printf("%-9s %.2f %% (%.2f %% of the training pictures), l2 %g\n", "linear",
           100 * linear->accuracy, 100 * linear->train_accuracy, linear->l2);
}

static json_t *text_or_null(const char *text) {
    json_t *made = text ? json_string(text) : NULL;
    return made ? made : json_null();
}

static json_t *set_json(const ProbeSet *set) {
    return json_pack("{s:I, s:I}", "pictures", (json_int_t)set->used, "bad", (json_int_t)set->bad);
}

static json_t *linear_json(const LinearResult *linear) {
    json_t *json = json_pack("{s:f, s:f, s:f}", "accuracy", linear->accuracy, "train_accuracy",
                             linear->train_accuracy, "l2", linear->l2);
    json_object_set_new(json, "held_out_accuracy",
                        isnan(linear->held_out) ? json_null() : json_real(linear->held_out));
    return json;
}

static void print_json(const Probe *probe) {
    json_t *json = json_object();
    json_object_set_new(json, "weights", text_or_null(probe->random ? NULL : probe->weights));
    json_object_set_new(json, "features", json_integer((json_int_t)probe->width));
    json_object_set_new(json, "train", set_json(&probe->train));
    json_object_set_new(json, "test", set_json(&probe->test));
    json_object_set_new(json, "knn",
                        json_pack("{s:i, s:f}", "k", probe->k, "accuracy", probe->knn));
    json_object_set_new(json, "linear", linear_json(&probe->linear));
    json_object_set_new(json, "seconds",
                        json_pack("{s:f, s:f, s:f}", "features", probe->feature_seconds, "knn",
                                  probe->knn_seconds, "linear", probe->linear_seconds));
    json_object_set_new(json, "classes",
                        run_classes_json(probe->run.arena, probe->class_names, probe->class_count));
    json_dumpf(json, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(json);
}

int command_probe(int argc, char **argv) {
    Arena *arena = arena_create();
    ProbeOptions options = {.code = code_options_default(), .probe = {.k = KNN_DEFAULT}};
    Probe *probe = &options.probe;
    probe->run =
        (PretrainRun){.arena = arena, .decode_threads = 1, .progress = isatty(STDERR_FILENO)};
    options_parse_in_order(&argp, argc, argv, &options);
    code_options_open_cache(arena, &options.code);
    probe->run.code = options.code.run;
    Status status = probe_run(probe);
    if (!status_fine(status)) {
        options_print_failure("probe", status);
    } else if (options.json) {
        print_json(probe);
    } else {
        print_text(probe);
    }
    pretrain_close(&probe->run);
    code_options_close_cache(&options.code);
    arena_destroy(arena);
    return status_fine(status) ? EXIT_FINE : EXIT_FAILED;
}
