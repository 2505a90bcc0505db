#include <stdlib.h>
#include <string.h>

#include "runtime/file.h"
#include "tools/bench/bench.h"
#include "tools/code_options.h"
#include "tools/command.h"
#include "tools/measuring.h"
#include "tools/network.h"
#include "tools/options.h"
#include "tools/precision_options.h"
#include "tools/rewrites_options.h"

typedef struct BenchOptions {
    Options common;
    CodeOptions code;
    RewritesOptions rewrites;
    BenchSettings settings;
    const char *profile;
    int top;
    bool json;
} BenchOptions;

enum { KEY_ENTRY = 0x200, KEY_STEPS, KEY_WARM_UP, KEY_TOP, KEY_SEED, KEY_PROFILE };

static const struct argp_option option_table[] = {
    {"entry", KEY_ENTRY, "NAME", 0,
     "features, logits, reconstruct, train_step (default), accumulate or finetune_step", 0},
    {"steps", KEY_STEPS, "N", 0, "Steps that are timed (5)", 0},
    {"warm-up", KEY_WARM_UP, "N", 0, "Steps before those (1)", 0},
    {"top", KEY_TOP, "N", 0, "How many of the slowest kernels are printed (20)", 0},
    {"seed", KEY_SEED, "N", 0, "Of weights, pictures and masks (0)", 0},
    {"profile", KEY_PROFILE, "FILE", 0,
     "Write the timed steps as a trace for Perfetto or chrome://tracing", 0},
    OPTIONS_JSON,
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state) {
    BenchOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        state->child_inputs[1] = &options->code;
        state->child_inputs[2] = &options->common.pass;
        state->child_inputs[3] = &options->rewrites;
        return 0;
    case KEY_ENTRY:
        options->common.pass.entry = options_entry(state, argument, measuring_entries);
        options->common.pass.training = options->common.pass.entry >= ENTRY_TRAIN_STEP;
        return 0;
    case KEY_STEPS:
        options->settings.steps = (int)options_integer(state, "steps", argument, 1, 100000);
        return 0;
    case KEY_WARM_UP:
        options->settings.warm_up = (int)options_integer(state, "warm-up", argument, 0, 100000);
        return 0;
    case KEY_TOP:
        options->top = (int)options_integer(state, "top", argument, 0, 1000000);
        return 0;
    case KEY_SEED:
        options->settings.seed = (uint32_t)options_integer(state, "seed", argument, 0, UINT32_MAX);
        return 0;
    case KEY_PROFILE:
        options->profile = argument;
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (!options->common.model)
            argp_error(state, "name a .cnn or an .ir file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&options_program_argp, 0, NULL, 0},
                                             {&code_options_argp, 0, NULL, 0},
                                             {&precision_options_argp, 0, NULL, 0},
                                             {&rewrites_options_argp, 0, NULL, 0},
                                             {0}};

static const struct argp argp = {
    option_table,
    parse,
    "MODEL.cnn|FILE.ir",
    "Compiles a training step, runs it on random pictures with fresh masks, and prints how long "
    "each kernel takes, beside what the machine can do: fused multiply-adds and memory, both "
    "measured first with the same threads."
    "\vExamples:\n"
    "  sparkc bench models/tutorial.cnn --batch 4\n"
    "  sparkc bench models/resnet.cnn --network resnet50 --batch 8 --threads 2\n"
    "  sparkc bench models/resnet.cnn --network resnet50 --mask-ratio 0 --json\n"
    "  sparkc bench models/convnext.cnn --network convnext_tiny --entry features\n"
    "  sparkc bench models/tutorial.cnn --batch 4 --profile step.json\n"
    "  sparkc bench step.ir\n",
    children,
    NULL,
    NULL};

static void print_json(const BenchResult *result) {
    json_t *json = bench_json(result);
    json_dumpf(json, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(json);
}

static Status write_profile(Arena *arena, const BenchOptions *options, const BenchResult *result) {
    json_t *json = bench_trace_json(result);
    char *text = json_dumps(json, JSON_INDENT(1));
    FilePiece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    Status status = file_replace(arena, options->profile, pieces, 2);
    free(text);
    json_decref(json);
    return status;
}

static int measure(Arena *arena, const BenchOptions *options, BenchResult *result) {
    Status status = bench_run(arena, &options->settings, measuring_progress, NULL, result);
    if (status_fine(status) && options->profile)
        status = write_profile(arena, options, result);
    measuring_progress_end();
    if (!status_fine(status))
        fprintf(stderr, "sparkc: %s\n", status.message);
    else if (options->json)
        print_json(result);
    else
        bench_print(result, options->top);
    bench_close(result);
    return status_fine(status) ? EXIT_FINE : EXIT_FAILED;
}

int command_bench(int argc, char **argv) {
    Arena *arena = arena_create();
    BenchOptions options = {.common = options_default(arena),
                            .code = code_options_default(),
                            .rewrites = rewrites_options_default(),
                            .settings = {.peak_rounds = 10, .warm_up = 1, .steps = 5},
                            .top = 20};
    options_parse(&argp, argc, argv, &options);
    code_options_open_cache(arena, &options.code);
    options.common.pass.rewrites = options.code.run.rewrites = &options.rewrites.rewrites;
    options.code.run.precision = options.common.pass.precision;
    options.settings.pass = options.common.pass;
    options.settings.run = options.code.run;
    Diagnostics *diagnostics;
    BenchResult result = {0};
    bool fine = measuring_prepare(arena, &options.common, &diagnostics, &result);
    network_print(diagnostics);
    int status = fine ? measure(arena, &options, &result) : EXIT_FAILED;
    rewrites_options_report(&options.rewrites);
    code_options_close_cache(&options.code);
    arena_destroy(arena);
    return status;
}
