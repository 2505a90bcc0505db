#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "passes/settings.h"
#include "tools/code_options.h"
#include "tools/command.h"
#include "tools/inspect/stages.h"
#include "tools/network.h"
#include "tools/options.h"
#include "tools/precision_options.h"
#include "tools/rewrites_options.h"
#include "tools/verify/program_check.h"
#include "tools/verify/self_check.h"
#include "tools/verify/verify.h"

/* What a folder holds decides how it is checked. */
typedef struct Kind {
    const char *name;
    bool (*matches)(const Verify *verify);
    Status (*check)(Verify *verify);
} Kind;

static bool has_file(const Verify *verify, const char *name) {
    return access(verify_path(verify, name), F_OK) == 0;
}

static bool has_entry(const Verify *verify, const char *path) {
    return verify->settings.root && case_find(&verify->settings, path) != NULL;
}

static bool is_schedule(const Verify *verify) {
    return has_file(verify, "schedule.json") || has_file(verify, "masks.json");
}

static bool is_zoo(const Verify *verify) {
    return has_entry(verify, "taps") && has_entry(verify, "tensors");
}

static bool is_fine_tuning(const Verify *verify) {
    return has_entry(verify, "mixup") || has_entry(verify, "ema");
}

static bool is_optimizer(const Verify *verify) {
    return has_entry(verify, "steps") && !has_entry(verify, "model");
}

static bool is_training(const Verify *verify) {
    return has_entry(verify, "steps");
}

static bool is_statistics(const Verify *verify) {
    return has_entry(verify, "recipe");
}

static bool is_step(const Verify *verify) {
    return has_file(verify, "step.safetensors");
}

/* Bounds, or a case that has some beside it. */
static bool is_low_precision(const Verify *verify) {
    return verify->executor_options.precision != PRECISION_FP32 || has_file(verify, "bounds.json");
}

static Status check_training(Verify *verify) {
    return verify_training(verify, NULL);
}

/* The first that matches. */
static const Kind kinds[] = {
    {"bf16", is_low_precision, verify_precision},
    {"schedule", is_schedule, verify_schedule},
    {"zoo", is_zoo, verify_zoo},
    {"fine-tuning", is_fine_tuning, verify_finetune},
    {"optimizer", is_optimizer, verify_optimizer},
    {"training", is_training, check_training},
    {"statistics", is_statistics, verify_statistics},
    {"step", is_step, verify_step},
};

typedef struct VerifyOptions {
    Options common;
    const char *reference, *case_name;
    const ExecutorKind *executor;
    CodeOptions code;
    RewritesOptions rewrites;
    uint32_t seed;
    bool smallest, check_memory, entry_given, json;
} VerifyOptions;

enum {
    KEY_REFERENCE = 0x200,
    KEY_CASE,
    KEY_INTERPRET,
    KEY_MEMORY,
    KEY_SEED,
    KEY_ENTRY,
    KEY_OPTIMIZER
};

static const struct argp_option option_table[] = {
    {"reference", KEY_REFERENCE, "DIR", 0, "The folder of the case", 0},
    OPTIONS_JSON,
    {"case", KEY_CASE, "NAME", 0,
     "The case within DIR: a folder, or a model of the zoo (default: the network's name)", 0},
    {"interpret", KEY_INTERPRET, "graph|kernels", OPTION_ARG_OPTIONAL,
     "Run by the reference interpreter of the graph, or of the lowered program", 0},
    {"check-memory", KEY_MEMORY, NULL, 0,
     "Also run with every buffer between inaccessible pages, and on memory full of NaN", 0},
    {"seed", KEY_SEED, "N", 0, "Of weights, pictures and masks without a reference (0)", 0},
    {"optimizer", KEY_OPTIMIZER, "NAME", 0,
     "The update of steps without a reference: lamb (default), adamw or sgd", 0},
    {"entry", KEY_ENTRY, "NAME", 0,
     "Of an .ir file behind select, but not yet a program: what it computes (train_step)", 0},
    {0},
};

/* --input smallest is a word of this command, not a size for the front end. */
static void take_smallest(VerifyOptions *options) {
    const char **input = &options->common.frontend.input;
    options->smallest = *input && strcmp(*input, "smallest") == 0;
    *input = options->smallest ? NULL : *input;
}

static bool is_ir(const VerifyOptions *options) {
    return options->common.model && text_ends_with(options->common.model, ".ir");
}

/* What makes no sense together. */
static void check_usage(const VerifyOptions *options, struct argp_state *state) {
    const PassOptions *pass = &options->common.pass, standard = pass_options_default();
    bool sized = options->smallest || options->common.frontend.input ||
                 pass->batch != standard.batch || pass->mask_ratio != standard.mask_ratio ||
                 pass->decoder_width != standard.decoder_width ||
                 pass->optimizer != standard.optimizer;
    if (options->reference && sized)
        argp_error(state, "image size, batch, mask ratio, decoder width and optimizer come from "
                          "the case");
    if (!options->reference && !options->common.model)
        argp_error(state, "name a MODEL.cnn, or a folder of recorded vectors by --reference");
    if (options->check_memory && options->executor != &executor_compiled)
        argp_error(state, "--check-memory is about compiled code, not about interpreters");
    if (is_ir(options) && (options->reference || options->smallest))
        argp_error(state, "an .ir file has its sizes and no reference");
    if (options->entry_given && !is_ir(options))
        argp_error(state, "--entry is for .ir files; of a .cnn every entry is verified");
    if (options->common.pass.precision != PRECISION_FP32 &&
        options->executor == &executor_interpreter)
        argp_error(state, "--precision bf16 is for programs, not for the graph's interpreter");
    if (!options->reference && options->executor == &executor_interpreter)
        argp_error(state, "without --reference the graph's interpreter is what is compared with");
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    VerifyOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        state->child_inputs[1] = &options->code;
        state->child_inputs[2] = &options->common.pass;
        state->child_inputs[3] = &options->rewrites;
        return 0;
    case KEY_REFERENCE:
        options->reference = argument;
        return 0;
    case OPTIONS_KEY_JSON:
        options->json = true;
        return 0;
    case KEY_CASE:
        options->case_name = argument;
        return 0;
    case KEY_INTERPRET:
        if (!argument || strcmp(argument, "graph") == 0)
            options->executor = &executor_interpreter;
        else if (strcmp(argument, "kernels") == 0)
            options->executor = &executor_kernels;
        else
            argp_error(state, "--interpret takes graph or kernels, this is %s", argument);
        return 0;
    case KEY_ENTRY:
        options->common.pass.entry = options_entry(state, argument, ~0u);
        options->entry_given = true;
        return 0;
    case KEY_MEMORY:
        options->check_memory = true;
        return 0;
    case KEY_SEED:
        options->seed = (uint32_t)options_integer(state, "seed", argument, 0, UINT32_MAX);
        return 0;
    case KEY_OPTIMIZER:
        if (!pass_settings_set(&options->common.pass, "optimizer", argument))
            argp_error(state, "--optimizer is lamb, adamw or sgd, not %s", argument);
        return 0;
    case ARGP_KEY_SUCCESS:
        take_smallest(options);
        check_usage(options, state);
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
    "[MODEL.cnn|FILE.ir]",
    "Runs a recorded case and compares every tensor with what was recorded. Image size, batch, "
    "mask, decoder and optimizer come from the case. Without --reference: compares the program "
    "with "
    "the graph's interpreter, op by op, on random weights; --input smallest takes the smallest "
    "images that the network can be pretrained on. Exit status 1 beyond a tolerance."
    "\vExamples:\n"
    "  sparkc verify tests/reference/custom-cnn.cnn \\\n"
    "    --reference tests/reference/custom-cnn\n"
    "  sparkc verify --reference tests/reference/lamb-steps --interpret --json\n"
    "  sparkc verify --reference tests/reference/schedule\n"
    "  sparkc verify models/resnet.cnn --network resnet18 --reference zoo\n"
    "  sparkc verify models/resnet.cnn --network resnet18 --input smallest --check-memory\n"
    "  sparkc verify step.ir\n",
    children,
    NULL,
    NULL};

/* A folder with its own case.json; or a folder of cases or models, of which a name chooses one. */
static Status open_settings(Verify *verify, const VerifyOptions *options) {
    const char *name = options->case_name ? options->case_name : options->common.frontend.network;
    if (is_low_precision(verify)) { /* which opens its own */
        verify->model = name;
        return STATUS_FINE;
    }
    if (options->case_name && has_file(verify, name))
        verify->directory = verify_path(verify, name);
    if (is_schedule(verify))
        return STATUS_FINE;
    const char *file = "case.json";
    if (!has_file(verify, file) && name) {
        verify->model = name;
        file = arena_format(verify->arena, "%s.json", name);
    }
    return case_open(verify->arena, verify_path(verify, file), &verify->settings);
}

static Status check(Verify *verify, const VerifyOptions *options, const Kind **kind) {
    status_return_if_failed(open_settings(verify, options));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!kinds[i].matches(verify))
            continue;
        *kind = &kinds[i];
        return kinds[i].check(verify);
    }
    return status_failure(verify->arena, "%s: it holds no known kind of case", verify->directory);
}

static const char *case_name(const Verify *verify) {
    if (verify->model)
        return verify->model;
    if (!verify->directory)
        return verify->network_name;
    const char *slash = strrchr(verify->directory, '/');
    return slash && slash[1] ? slash + 1 : verify->directory;
}

static void print_json(const Verify *verify, const Kind *kind, double seconds) {
    json_t *result = compare_json(verify->comparison);
    json_object_set_new(result, "case", json_string(case_name(verify)));
    json_object_set_new(result, "kind", json_string(kind->name));
    json_object_set_new(result, "executor", json_string(verify->executor->name));
    json_object_set_new(result, "seconds", json_real(seconds));
    json_dumpf(result, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(result);
}

static void print_text(const Verify *verify, const Kind *kind, double seconds) {
    compare_print(verify->comparison, stdout, options_color(stdout));
    printf("%s (%s, by the %s, %.1f s): %s\n", case_name(verify), kind->name,
           verify->executor->name, seconds,
           compare_passed(verify->comparison) ? "passed" : "FAILED");
}

static const Kind self = {.name = "against the interpreter"};

static SelfCheckOptions self_check_options(const VerifyOptions *options) {
    return (SelfCheckOptions){.pass = options->common.pass,
                              .run = options->code.run,
                              .interpret = options->executor == &executor_kernels,
                              .check_rewrites = options->rewrites.asked,
                              .check_memory = options->check_memory,
                              .seed = options->seed};
}

/* What an .ir file holds, at whatever stage. */
static Status check_ir(Verify *verify, const VerifyOptions *options, Diagnostics *diagnostics) {
    SelfCheckOptions check = self_check_options(options);
    Staged staged;
    if (!stages_read(verify->arena, diagnostics, options->common.model, &staged))
        return status_failure(verify->arena, "nothing to verify");
    staged.build.rewrites = check.pass.rewrites;
    staged.build.precision = check.pass.precision;
    if (staged.graph) {
        verify->network_name = staged.graph->network;
        bool whole = stages_current(&staged) == 0 && !options->entry_given;
        return whole ? self_check_network(verify->arena, staged.graph, &check, diagnostics,
                                          verify->comparison)
                     : self_check_entry(verify->arena, staged.graph, &check, check.pass.entry,
                                        diagnostics, verify->comparison);
    }
    verify->network_name = staged.build.program->network;
    if (check.interpret)
        return status_failure(
            verify->arena,
            "%s is a program: the kernel interpreter is what its code is compared "
            "with, leave --interpret out",
            options->common.model);
    if (!program_passes_run(&staged.build, NULL, diagnostics, NULL, NULL))
        return status_failure(verify->arena, "the program cannot be run");
    return program_check(verify->arena, staged.build.program, &check, verify->comparison);
}

/* Without a reference. */
static Status check_self(Verify *verify, const VerifyOptions *options, const Kind **kind) {
    const char *input = NULL;
    *kind = &self;
    if (is_ir(options))
        return check_ir(verify, options, verify->diagnostics);
    SelfCheckOptions check = self_check_options(options);
    check.pass.batch = check.pass.batch > 0 ? check.pass.batch : 2;
    if (options->smallest) /* if there is none, the network's own size tells why */
        input = self_check_smallest_input(verify->arena, verify->network, NULL, &check.pass);
    const Graph *network = network_graph(verify->network, NULL, input);
    if (!network)
        return status_failure(verify->arena, "no network to verify");
    verify->network_name = network->network;
    return self_check_network(verify->arena, network, &check, network_diagnostics(verify->network),
                              verify->comparison);
}

static int run(Verify *verify, const VerifyOptions *options) {
    const Kind *kind = NULL;
    double start = clock_seconds();
    Status status = (options->reference ? check : check_self)(verify, options, &kind);
    if (!status_fine(status)) {
        fprintf(stderr, "sparkc: %s\n", status.message);
        return EXIT_FAILED;
    }
    (options->json ? print_json : print_text)(verify, kind, clock_seconds() - start);
    return compare_passed(verify->comparison) ? EXIT_FINE : EXIT_FAILED;
}

/* Folder names may end with a slash. */
static const char *without_slash(Arena *arena, const char *directory) {
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    return arena_copy_text(arena, directory, length);
}

int command_verify(int argc, char **argv) {
    Arena *arena = arena_create();
    VerifyOptions options = {.common = options_default(arena),
                             .executor = &executor_compiled,
                             .code = code_options_default(),
                             .rewrites = rewrites_options_default()};
    options_parse(&argp, argc, argv, &options);
    code_options_open_cache(arena, &options.code);
    options.common.pass.rewrites = options.code.run.rewrites = &options.rewrites.rewrites;
    options.code.run.precision = options.common.pass.precision;
    Verify verify = {.arena = arena,
                     .directory =
                         options.reference ? without_slash(arena, options.reference) : NULL,
                     .executor = options.check_memory ? &executor_checked : options.executor,
                     .executor_options = options.code.run,
                     .comparison = compare_create(arena)};
    Diagnostics *diagnostics = NULL;
    int status = EXIT_FAILED;
    if (is_ir(&options))
        verify.diagnostics = diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    else if (options.common.model)
        verify.network = network_open(arena, &options.common, &diagnostics);
    if (!options.common.model || is_ir(&options) || verify.network)
        status = run(&verify, &options);
    if (diagnostics)
        network_print(diagnostics);
    rewrites_options_report(&options.rewrites);
    case_close(&verify.settings);
    code_options_close_cache(&options.code);
    arena_destroy(arena);
    return status;
}
