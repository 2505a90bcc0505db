#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "tools/code_options.h"
#include "tools/command.h"
#include "tools/network.h"
#include "tools/options.h"
#include "tools/precision_options.h"
#include "tools/ship/ship.h"

typedef struct CompileOptions {
    Options common;
    CodeOptions code;
    ShipSettings ship;
} CompileOptions;

enum {
    KEY_WEIGHTS = 0x400,
    KEY_ENTRY,
    KEY_PREFIX,
    KEY_EMIT,
    KEY_EMBED,
    KEY_TARGET,
    KEY_SEED,
    KEY_OUTPUT = 'o'
};

static const struct argp_option option_table[] = {
    {"output", KEY_OUTPUT, "X.o", 0, "The object; X.h and X.weights are written beside it", 0},
    {"weights", KEY_WEIGHTS, "FILE", 0,
     "A safetensors file, such as `sparkc pretrain` writes (default: initial values)", 0},
    {"entry", KEY_ENTRY, "NAME", 0, "features (default), logits or train_step", 0},
    {"prefix", KEY_PREFIX, "NAME", 0, "What all names begin with (default: X, of the output)", 0},
    {"embed", KEY_EMBED, NULL, 0, "Put the weights into the object, not into a file beside it", 0},
    {"emit", KEY_EMIT, "WHAT", 0, "obj (default), asm, llvm, bitcode or shared, a library", 0},
    {"target", KEY_TARGET, "TRIPLE", 0,
     "Compile for another machine, aarch64-linux-gnu or riscv64-linux-gnu; with --cpu, a level of "
     "it",
     0},
    {"seed", KEY_SEED, "N", 0, "Of the initial values, without --weights (default: 0)", 0},
    {0},
};

static const unsigned entries = 1u << ENTRY_FEATURES | 1u << ENTRY_LOGITS | 1u << ENTRY_TRAIN_STEP;

static ShipEmit parse_emit(struct argp_state *state, const char *name) {
    static const char *const names[] = {[SHIP_OBJECT] = "obj",
                                        [SHIP_ASSEMBLY] = "asm",
                                        [SHIP_LLVM] = "llvm",
                                        [SHIP_BITCODE] = "bitcode",
                                        [SHIP_SHARED] = "shared"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return (ShipEmit)i;
    argp_error(state, "not supported: --emit %s; obj, asm, llvm, bitcode and shared are", name);
    return SHIP_OBJECT;
}

static const char *parse_prefix(struct argp_state *state, const char *name) {
    if (!text_is_c_identifier(name))
        argp_error(state, "--prefix needs a letter, then letters, digits and _, not %s", name);
    return name;
}

static void check_options(struct argp_state *state, const CompileOptions *options) {
    if (!options->common.model)
        argp_error(state, "name a .cnn file");
    if (!options->ship.output)
        argp_error(state, "say where the object goes: -o X.o");
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    CompileOptions *options = state->input;
    ShipSettings *ship = &options->ship;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        state->child_inputs[1] = &options->code;
        state->child_inputs[2] = &options->common.pass;
        return 0;
    case KEY_OUTPUT:
        ship->output = argument;
        return 0;
    case KEY_WEIGHTS:
        ship->weights = argument;
        return 0;
    case KEY_ENTRY:
        options->common.pass.entry = options_entry(state, argument, entries);
        return 0;
    case KEY_PREFIX:
        ship->prefix = parse_prefix(state, argument);
        return 0;
    case KEY_EMIT:
        ship->emit = parse_emit(state, argument);
        return 0;
    case KEY_EMBED:
        ship->embed = true;
        return 0;
    case KEY_TARGET:
        ship->triple = argument;
        return 0;
    case KEY_SEED:
        ship->seed = (uint32_t)options_integer(state, "seed", argument, 0, UINT32_MAX);
        return 0;
    case ARGP_KEY_SUCCESS:
        check_options(state, options);
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
    "MODEL.cnn",
    "Compiles an entry of a network to an object file and a header, for C programs that need "
    "nothing else."
    "\vExamples:\n"
    "  sparkc compile models/tutorial.cnn --entry logits -o tutorial.o\n"
    "  sparkc compile mynet.cnn --weights run/encoder.safetensors --batch 8 -o mynet.o\n"
    "  sparkc compile mynet.cnn --entry train_step --batch 32 -o train.o\n"
    "  sparkc compile mynet.cnn --target aarch64-linux-gnu --embed -o mynet.o\n",
    children,
    NULL,
    NULL};

/* ---- Printing -------------------------------------------------------------------------------- */

static void print_file(const char *what, const ShipFile *file) {
    Arena *arena = arena_create();
    Text path = text_create(arena);
    if (file->path) {
        text_append_escaped(&path, file->path);
        printf("%-9s %s, %.1f kB\n", what, path.data, (double)file->bytes * 1e-3);
    }
    arena_destroy(arena);
}

static void print_result(const ShipResult *result) {
    static const char *const regions[] = {"params", "state", "inputs", "outputs", "scratch"};
    const Plan *plan = result->artefact.plan;
    print_file("object", &result->object);
    print_file("header", &result->header);
    print_file("weights", &result->weights);
    printf("target    %s, %s\n", result->target.triple, result->target.cpu);
    printf("code      %d kernels, %d distinct, compiled in %.2f s\n", result->kernels,
           result->artefact.codes, result->artefact.seconds);
    printf("memory   ");
    for (int r = 0; r < PLAN_REGIONS; r++)
        printf(" %s %.1f kB,", regions[r], (double)plan->region_bytes[r] * 1e-3);
    printf(" workspace %.1f kB a thread\n", (double)plan->workspace_bytes * 1e-3);
}

static void print_problems(const ShipResult *result) {
    Arena *arena = arena_create();
    for (size_t i = 0; i < result->problems.count; i++) {
        Text line = text_create(arena);
        text_append_escaped(&line, result->problems.items[i]);
        fprintf(stderr, "  %s\n", line.data);
    }
    arena_destroy(arena);
}

static int compile(CompileOptions *options, Arena *arena) {
    Diagnostics *diagnostics;
    ShipResult result = {0};
    Status status = STATUS_FINE;
    NetworkSource *source = network_open(arena, &options->common, &diagnostics);
    const Graph *network = source ? network_graph(source, NULL, NULL) : NULL;
    if (network) {
        options->ship.pass = options->common.pass;
        options->ship.run = options->code.run;
        status = ship(arena, network, &options->ship, diagnostics, &result);
    }
    network_print(diagnostics);
    if (!status_fine(status)) {
        options_print_failure("compile", status);
        print_problems(&result);
    }
    if (!network || !status_fine(status))
        return EXIT_FAILED;
    print_result(&result);
    return EXIT_FINE;
}

int command_compile(int argc, char **argv) {
    Arena *arena = arena_create();
    CompileOptions options = {.common = options_default(arena), .code = code_options_default()};
    options.common.pass.entry = ENTRY_FEATURES;
    options_parse(&argp, argc, argv, &options);
    options.code.run.precision = options.common.pass.precision;
    code_options_open_cache(arena, &options.code);
    int status = compile(&options, arena);
    code_options_close_cache(&options.code);
    arena_destroy(arena);
    return status;
}
