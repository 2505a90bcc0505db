#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "codegen/cpu/cpu.h"
#include "tools/command.h"
#include "tools/inspect/stages.h"
#include "tools/network.h"
#include "tools/options.h"

/* What is printed. */
typedef enum Emit {
    EMIT_STAGE, /* whatever there is at the last stage */
    EMIT_GRAPH,
    EMIT_KERNELS,
    EMIT_LLVM,
    EMIT_ASSEMBLY
} Emit;

typedef struct IrOptions {
    Options common;
    const char *after, *start_from, *dump_directory, *cpu;
    Emit emit;
    bool all;
} IrOptions;

enum {
    KEY_AFTER = 0x200,
    KEY_START,
    KEY_ENTRY,
    KEY_DECAY,
    KEY_ALL,
    KEY_DIRECTORY,
    KEY_EMIT,
    KEY_CPU
};

static const struct argp_option option_table[] = {
    {"after", KEY_AFTER, "PASS", 0, "Stop after this pass (default: before the first)", 0},
    {"start-from", KEY_START, "PASS", 0, "FILE.ir: run the passes from this one on", 0},
    {"entry", KEY_ENTRY, "NAME", 0,
     "features, logits, reconstruct, train_step (default), update, accumulate, apply or "
     "finetune_step",
     0},
    {"layer-decay", KEY_DECAY, "FACTOR", 0,
     "Of finetune_step: the learning rate's factor from each group of layers to the one before", 0},
    {"emit", KEY_EMIT, "WHAT", 0,
     "graph, kernels (the planned program, or after a pass of programs), llvm or asm (what the CPU "
     "runs)",
     0},
    {"cpu", KEY_CPU, "NAME", 0,
     "Of llvm and asm: x86-64-v4, x86-64-v3 or x86-64 (default: this CPU)", 0},
    {"all", KEY_ALL, NULL, 0, "Run all passes; with --dump-dir, a file after each", 0},
    {"dump-dir", KEY_DIRECTORY, "DIR", 0, "Write NN-PASS.ir files there", 0},
    {0},
};

static const char *const entry_names[] = {[ENTRY_FEATURES] = "features",
                                          [ENTRY_LOGITS] = "logits",
                                          [ENTRY_RECONSTRUCT] = "reconstruct",
                                          [ENTRY_TRAIN_STEP] = "train_step",
                                          [ENTRY_UPDATE] = "update",
                                          [ENTRY_ACCUMULATE] = "accumulate",
                                          [ENTRY_APPLY] = "apply",
                                          [ENTRY_FINETUNE_STEP] = "finetune_step"};

static Entry parse_entry(struct argp_state *state, const char *name) {
    enum { COUNT = sizeof entry_names / sizeof *entry_names };
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(name, entry_names[i]) == 0)
            return (Entry)i;
    }
    argp_error(state, "there is no entry %s", name);
    return ENTRY_TRAIN_STEP;
}

static double parse_decay(struct argp_state *state, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value > 0 && value <= 1))
        argp_error(state, "--layer-decay needs a number above 0 and up to 1, not %s", text);
    return value;
}

static const char *const emit_names[] = {[EMIT_GRAPH] = "graph",
                                         [EMIT_KERNELS] = "kernels",
                                         [EMIT_LLVM] = "llvm",
                                         [EMIT_ASSEMBLY] = "asm"};

static Emit parse_emit(struct argp_state *state, const char *name) {
    for (int i = EMIT_GRAPH; i <= EMIT_ASSEMBLY; i++) {
        if (strcmp(name, emit_names[i]) == 0)
            return (Emit)i;
    }
    argp_error(state, "not supported: --emit %s; graph, kernels, llvm and asm are", name);
    return EMIT_GRAPH;
}

static void check_pass(struct argp_state *state, const char *name) {
    if (name && stages_find(name) < 1)
        argp_error(state, "there is no pass %s", name);
}

/* What --emit shows is there after --after. */
static void check_emit(struct argp_state *state, const IrOptions *options) {
    bool program = options->after && stages_find(options->after) > stages_last_graph();
    bool code = options->emit == EMIT_LLVM || options->emit == EMIT_ASSEMBLY;
    if (code && options->after)
        argp_error(state, "--emit %s shows what comes of all passes, it excludes --after",
                   emit_names[options->emit]);
    if (options->cpu && !code)
        argp_error(state, "--cpu goes with --emit llvm or --emit asm");
    if (options->emit == EMIT_GRAPH && program)
        argp_error(state, "after %s there is no graph any more", options->after);
    if (options->emit == EMIT_KERNELS && options->after && !program)
        argp_error(state, "after %s there are no kernels yet", options->after);
}

static void check_options(struct argp_state *state, const IrOptions *options) {
    if (!options->common.model)
        argp_error(state, "name a .cnn or an .ir file");
    if (options->all && options->after)
        argp_error(state, "--all and --after exclude each other");
    check_pass(state, options->after);
    check_pass(state, options->start_from);
    check_emit(state, options);
    if (options->start_from && !text_ends_with(options->common.model, ".ir"))
        argp_error(state, "--start-from needs an .ir file");
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    IrOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        return 0;
    case KEY_AFTER:
        options->after = argument;
        return 0;
    case KEY_START:
        options->start_from = argument;
        return 0;
    case KEY_ENTRY:
        options->common.pass.entry = parse_entry(state, argument);
        return 0;
    case KEY_DECAY:
        options->common.pass.layer_decay = parse_decay(state, argument);
        return 0;
    case KEY_EMIT:
        options->emit = parse_emit(state, argument);
        return 0;
    case KEY_CPU:
        options->cpu = argument;
        return 0;
    case KEY_ALL:
        options->all = true;
        return 0;
    case KEY_DIRECTORY:
        options->dump_directory = argument;
        return 0;
    case ARGP_KEY_SUCCESS:
        check_options(state, options);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The passes stand at the end of --help. */
static char *add_passes(int key, const char *text, void *input) {
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    Arena *arena = arena_create();
    Text help = text_create(arena);
    text_append(&help, "%s\nPasses, in order:\n", text);
    for (int i = 1; i < stages_count(); i++)
        text_append(&help, "  %-12s %s\n", stages_name(i), stages_help(i));
    char *copy = strdup(help.data); /* argp frees it */
    arena_destroy(arena);
    return copy;
}

static const struct argp argp = {
    option_table,
    parse,
    "MODEL.cnn|FILE.ir",
    "Prints a network as text: its graph or its program of kernels, after any pass, or the code "
    "that runs. Graphs and programs parse back: an .ir file goes on from where it was written, or "
    "from --start-from."
    "\vExamples:\n"
    "  sparkc ir models/tutorial.cnn\n"
    "  sparkc ir models/tutorial.cnn --after sparsify > masked.ir\n"
    "  sparkc ir masked.ir --emit kernels\n"
    "  sparkc ir models/tutorial.cnn --entry logits --emit asm\n"
    "  sparkc ir models/resnet.cnn --network resnet18 --all --dump-dir dumps\n",
    options_program,
    add_passes,
    NULL};

/* ---- Files ----------------------------------------------------------------------------------- */

typedef struct Dump {
    Arena *arena;
    const char *directory;
    int number;
    bool failed;
} Dump;

/* Says that a file is there, or why it is not. */
static void report_file(Dump *dump, const char *path, bool written, const char *remark) {
    if (written)
        fprintf(stderr, "%s%s\n", path, remark);
    else
        fprintf(stderr, "sparkc: %s: %s\n", path, strerror(errno));
    dump->failed = dump->failed || !written;
}

static const char *next_path(Dump *dump, const char *name, const char *suffix) {
    return arena_format(dump->arena, "%s/%02d-%s.%s", dump->directory, dump->number++, name,
                        suffix);
}

/* The name of a stage from a text may be any; that of the file is one of the list. */
static void write_stage(void *context, const Staged *staged, bool changed) {
    Dump *dump = context;
    int stage = stages_current(staged);
    if (!dump->directory || dump->failed)
        return;
    const char *path = next_path(dump, stage < 0 ? "start" : stages_name(stage), "ir");
    FILE *file = fopen(path, "w");
    bool written = file && fputs(stages_text(dump->arena, staged), file) >= 0;
    if (file && fclose(file) != 0)
        written = false;
    report_file(dump, path, written, changed || dump->number == 1 ? "" : "  (unchanged)");
}

static bool make_directory(const char *directory) {
    if (!directory || mkdir(directory, 0777) == 0 || errno == EEXIST)
        return true;
    fprintf(stderr, "sparkc: %s: %s\n", directory, strerror(errno));
    return false;
}

/* ---- From where to where --------------------------------------------------------------------- */

/* What the passes start from. */
static bool read_start(const IrOptions *options, Arena *arena, Diagnostics **diagnostics,
                       Staged *staged) {
    if (text_ends_with(options->common.model, ".ir")) {
        *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
        return stages_read(arena, *diagnostics, options->common.model, staged);
    }
    NetworkSource *source = network_open(arena, &options->common, diagnostics);
    const Graph *graph = source ? network_graph(source, NULL, NULL) : NULL;
    *staged = (Staged){.graph = graph ? graph_copy(graph, arena) : NULL, .build = {.arena = arena}};
    return graph != NULL;
}

static bool restart(const IrOptions *options, Staged *staged) {
    int next = stages_current(staged) + 1;
    if (stages_restart(staged, stages_find(options->start_from)))
        return true;
    fprintf(stderr, "sparkc: %s was written after %s, %s cannot be next; %s can\n",
            options->common.model, stages_current_name(staged), options->start_from,
            next > 0 && next < stages_count() ? stages_name(next) : "nothing");
    return false;
}

/* The last stage that the options ask for; -1: no pass is to run. */
static int last_stage(const IrOptions *options, const Staged *staged) {
    const char *start = options->start_from;
    bool program = staged->build.program || (start && stages_find(start) > stages_last_graph());
    if (options->after)
        return stages_find(options->after);
    if (options->emit >= EMIT_KERNELS || options->dump_directory)
        return stages_count() - 1;
    if (options->all || start)
        return program ? stages_count() - 1 : stages_last_graph();
    return -1;
}

/* Where the passes begin and end must be in this order, and what is to be shown still there. */
static bool check_order(const IrOptions *options, const Staged *staged) {
    if (options->emit == EMIT_GRAPH && staged->build.program) {
        fprintf(stderr, "sparkc: %s is a program, there is no graph any more\n",
                options->common.model);
        return false;
    }
    if (!options->after || stages_find(options->after) >= stages_current(staged))
        return true;
    fprintf(stderr, "sparkc: %s was written after %s, which comes after %s\n",
            options->common.model, stages_current_name(staged), options->after);
    return false;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static bool print_code(const IrOptions *options, Dump *dump, const Staged *staged) {
    bool llvm = options->emit == EMIT_LLVM;
    CpuTarget target;
    Status status = cpu_target(dump->arena, NULL, options->cpu, false, &target);
    if (!status_fine(status)) {
        fprintf(stderr, "sparkc: %s\n", status.message);
        return false;
    }
    const char *path = dump->directory ? next_path(dump, "code", llvm ? "ll" : "s") : NULL;
    FILE *out = path ? fopen(path, "w") : stdout;
    if (out)
        cpu_list(dump->arena, staged->build.program, &target,
                 llvm ? CPU_LISTING_LLVM : CPU_LISTING_ASSEMBLY, out);
    if (path)
        report_file(dump, path, out && fclose(out) == 0, "");
    return !dump->failed;
}

static bool print_result(const IrOptions *options, Dump *dump, const Staged *staged) {
    if (options->emit == EMIT_LLVM || options->emit == EMIT_ASSEMBLY)
        return print_code(options, dump, staged);
    if (!dump->directory)
        fputs(stages_text(dump->arena, staged), stdout);
    return !dump->failed;
}

static bool run(const IrOptions *options, Arena *arena, Diagnostics **diagnostics) {
    Dump dump = {.arena = arena, .directory = options->dump_directory};
    Staged staged;
    if (!read_start(options, arena, diagnostics, &staged))
        return false;
    if ((options->start_from && !restart(options, &staged)) || !check_order(options, &staged) ||
        !make_directory(dump.directory))
        return false;
    int last = last_stage(options, &staged);
    if (last >= 0 &&
        !stages_run(&staged, &options->common.pass, last, *diagnostics, write_stage, &dump))
        return false;
    return print_result(options, &dump, &staged);
}

int command_ir(int argc, char **argv) {
    Arena *arena = arena_create();
    IrOptions options = {.common = options_default(arena)};
    options_parse(&argp, argc, argv, &options);
    Diagnostics *diagnostics;
    bool fine = run(&options, arena, &diagnostics);
    network_print(diagnostics);
    arena_destroy(arena);
    return fine ? EXIT_FINE : EXIT_FAILED;
}
