#include <stdlib.h>

#include "base/text.h"
#include "tools/code_options.h"
#include "tools/command.h"
#include "tools/execute/compiled_program.h"
#include "tools/measuring.h"
#include "tools/network.h"
#include "tools/precision_options.h"
#include "tools/stop.h"
#include "tools/tune/tune.h"

typedef struct TuneOptions {
    Options common;
    CodeOptions code;
    double seconds;
    bool json;
} TuneOptions;

enum { KEY_ENTRY = 0x200, KEY_SECONDS };

static const struct argp_option option_table[] = {
    {"entry", KEY_ENTRY, "NAME", 0,
     "features, logits, reconstruct, train_step (default), accumulate or finetune_step", 0},
    {"seconds", KEY_SECONDS, "N", 0, "How long it may take, about (120)", 0},
    OPTIONS_JSON,
    {0},
};

static error_t parse(int key, char *argument, struct argp_state *state) {
    TuneOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        state->child_inputs[1] = &options->code;
        state->child_inputs[2] = &options->common.pass;
        return 0;
    case KEY_ENTRY:
        options->common.pass.entry = options_entry(state, argument, measuring_entries);
        options->common.pass.training = options->common.pass.entry >= ENTRY_TRAIN_STEP;
        return 0;
    case KEY_SECONDS:
        options->seconds = (double)options_integer(state, "seconds", argument, 1, 1000000);
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        if (!options->common.model)
            argp_error(state, "name a .cnn or an .ir file");
        if (options->code.no_cache || options->code.no_tuning || options->code.run.dump_dir)
            argp_error(state, "what is found is kept beside the code cache: --no-cache, "
                              "--no-tuning and --dump-code have no meaning here");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&options_program_argp, 0, NULL, 0},
                                             {&code_options_argp, 0, NULL, 0},
                                             {&precision_options_argp, 0, NULL, 0},
                                             {0}};

static const struct argp argp = {
    option_table,
    parse,
    "MODEL.cnn|FILE.ir",
    "Measures how the contractions of a program are cut best on this processor, and keeps what is "
    "faster than the defaults beside the code cache. From then on every command that compiles with "
    "the same --threads and --cpu uses it; results stay the same bits."
    "\vExamples:\n"
    "  sparkc tune models/resnet.cnn --network resnet50 --batch 8 --threads 2\n"
    "  sparkc tune models/resnet.cnn --network resnet50 --batch 8 --precision bf16 --seconds 600\n"
    "  sparkc tune models/tutorial.cnn --batch 4 --seconds 20 --json\n",
    children,
    NULL,
    NULL};

/* Lowers what the passes made, unless it is a program already. */
static Status find_program(Arena *arena, const TuneOptions *options, const BenchResult *prepared,
                           const Program **program) {
    CompiledProgram compiled = {.program = prepared->given};
    if (!compiled.program)
        status_return_if_failed(
            compiled_program_lower(arena, prepared->graph, &options->code.run, &compiled));
    *program = compiled.program;
    return STATUS_FINE;
}

static void print(const TuneOptions *options, const TuneResult *result) {
    const TuningFile *file = &options->code.tuning_file;
    if (!options->json) {
        tune_print(result);
        printf("kept: %zu contractions in %s\n", options->code.tuning->contractions.count,
               file->path);
        return;
    }
    json_t *json = tune_json(result);
    json_object_set_new(json, "file", json_string(file->path));
    json_object_set_new(json, "cpu", json_string(file->cpu));
    json_object_set_new(json, "threads", json_integer(file->threads));
    json_object_set_new(json, "kept",
                        json_integer((json_int_t)options->code.tuning->contractions.count));
    json_dumpf(json, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(json);
}

/* The file is written once before the measurement, so that one that cannot be written costs no
 * time, and again at its end. */
static Status tune(Arena *arena, TuneOptions *options, const BenchResult *prepared) {
    CodeOptions *code = &options->code;
    TuneSettings settings = {.run = code->run, .seconds = options->seconds, .ends = stop_wanted};
    const Program *program;
    TuneResult result;
    if (!code->tuning)
        return status_failure(arena, "there is no folder to keep what is found; name one by "
                                     "--cache-dir");
    status_return_if_failed(tuning_file_write(arena, &code->tuning_file, code->tuning));
    status_return_if_failed(find_program(arena, options, prepared, &program));
    stop_catch();
    Status status = tune_program(arena, program, &settings, measuring_progress, NULL, &result);
    measuring_progress_end();
    status_return_if_failed(status);
    tune_keep(&result, code->tuning);
    status_return_if_failed(tuning_file_write(arena, &code->tuning_file, code->tuning));
    print(options, &result);
    return STATUS_FINE;
}

int command_tune(int argc, char **argv) {
    Arena *arena = arena_create();
    TuneOptions options = {
        .common = options_default(arena), .code = code_options_default(), .seconds = 120};
    options_parse(&argp, argc, argv, &options);
    code_options_open_cache(arena, &options.code);
    options.code.run.precision = options.common.pass.precision;
    Diagnostics *diagnostics;
    BenchResult prepared = {0};
    bool fine = measuring_prepare(arena, &options.common, &diagnostics, &prepared);
    network_print(diagnostics);
    Status status = fine ? tune(arena, &options, &prepared) : STATUS_FINE;
    if (!status_fine(status))
        options_print_failure("tune", status);
    code_options_close_cache(&options.code);
    arena_destroy(arena);
    return fine && status_fine(status) ? EXIT_FINE : EXIT_FAILED;
}
