#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "codegen/cpu/cpu.h"
#include "tools/command.h"
#include "tools/inspect/graph_dot.h"
#include "tools/inspect/labels.h"
#include "tools/inspect/layer_page.h"
#include "tools/inspect/memory_text.h"
#include "tools/inspect/profile.h"
#include "tools/inspect/stage_text.h"
#include "tools/inspect/text_diff.h"
#include "tools/network.h"
#include "tools/options.h"
#include "tools/precision_options.h"
#include "tools/rewrites_options.h"

/* What is printed. */
typedef enum Emit {
    EMIT_STAGE, /* whatever there is at the last stage */
    EMIT_GRAPH,
    EMIT_KERNELS,
    EMIT_LLVM,
    EMIT_ASSEMBLY,
    EMIT_HTML,   /* of the planned program */
    EMIT_MEMORY, /* of the planned program */
    EMIT_DOT     /* of whatever there is at the last stage */
} Emit;

typedef struct IrOptions {
    Options common;
    RewritesOptions rewrites;
    StageTextOptions text;
    const char *after, *start_from, *dump_directory, *cpu, *profile;
    Emit emit;
    bool all, time_passes;
    bool diff;
    int from, to; /* stages between which the difference is */
} IrOptions;

enum {
    KEY_AFTER = 0x200,
    KEY_START,
    KEY_ENTRY,
    KEY_DECAY,
    KEY_ALL,
    KEY_DIRECTORY,
    KEY_EMIT,
    KEY_CPU,
    KEY_DIFF,
    KEY_ONLY,
    KEY_COSTS,
    KEY_TIME,
    KEY_PROFILE
};

static const struct argp_option option_table[] = {
    {"after", KEY_AFTER, "PASS", 0, "Stop after this pass (default: before the first)", 0},
    {"start-from", KEY_START, "PASS", 0, "FILE.ir: run the passes from this one on", 0},
    {"diff", KEY_DIFF, "[PASS..]PASS", 0,
     "Show what the second pass left beside what the first one did (default: the one before it)",
     0},
    {"only", KEY_ONLY, "NAME", 0,
     "Show the layer of this name, what it reads and what reads it; of llvm and asm: its code", 0},
    {"costs", KEY_COSTS, NULL, 0,
     "Show each op's or kernel's share of the multiply-adds and of the bytes", 0},
    {"entry", KEY_ENTRY, "NAME", 0,
     "features, logits, reconstruct, train_step (default), update, accumulate, apply or "
     "finetune_step",
     0},
    {"layer-decay", KEY_DECAY, "FACTOR", 0,
     "Of finetune_step: the learning rate's factor from each group of layers to the one before", 0},
    {"emit", KEY_EMIT, "WHAT", 0,
     "graph, kernels (the planned program, or after a pass of programs), llvm or asm (what the CPU "
     "runs), html (layers and memory as a page), memory (what fills it when it is fullest), dot (a "
     "drawing for Graphviz)",
     0},
    {"profile", KEY_PROFILE, "FILE", 0,
     "Of html: the times of a trace that sparkc bench --profile wrote", 0},
    {"cpu", KEY_CPU, "NAME", 0,
     "Of llvm and asm: x86-64-amx, x86-64-v4-bf16, x86-64-v4, x86-64-v3, x86-64-v2 or x86-64 "
     "(default: this CPU)",
     0},
    {"all", KEY_ALL, NULL, 0, "Run all passes; with --dump-dir, a file after each", 0},
    {"dump-dir", KEY_DIRECTORY, "DIR", 0, "Write NN-PASS.ir files there", 0},
    {"time-passes", KEY_TIME, NULL, 0, "Print how long each pass took to standard error", 0},
    {0},
};

/* ---- Options --------------------------------------------------------------------------------- */

static double parse_decay(struct argp_state *state, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value > 0 && value <= 1))
        argp_error(state, "--layer-decay needs a number above 0 and up to 1, not %s", text);
    return value;
}

static const char *const emit_names[] = {
    [EMIT_GRAPH] = "graph",  [EMIT_KERNELS] = "kernels", [EMIT_LLVM] = "llvm",
    [EMIT_ASSEMBLY] = "asm", [EMIT_HTML] = "html",       [EMIT_MEMORY] = "memory",
    [EMIT_DOT] = "dot"};

static Emit parse_emit(struct argp_state *state, const char *name) {
    for (int i = EMIT_GRAPH; i <= EMIT_DOT; i++) {
        if (strcmp(name, emit_names[i]) == 0)
            return (Emit)i;
    }
    argp_error(state,
               "not supported: --emit %s; graph, kernels, llvm, asm, html, memory and dot are",
               name);
    return EMIT_GRAPH;
}

/* A stage of a name, from `least` on. */
static int parse_stage(struct argp_state *state, const char *name, int least) {
    int stage = stages_find(name);
    if (stage < least)
        argp_error(state, "there is no pass %s", name);
    return stage;
}

/* "PASS" or "PASS..PASS"; the first may be what the front end made. */
static void parse_diff(struct argp_state *state, IrOptions *options, const char *range) {
    const char *dots = strstr(range, "..");
    options->diff = true;
    if (!dots) {
        options->to = parse_stage(state, range, 1);
        options->from = options->to - 1;
        return;
    }
    const char *from = arena_copy_text(options->common.arena, range, (size_t)(dots - range));
    options->from = parse_stage(state, from, 0);
    options->to = parse_stage(state, dots + strlen(".."), 1);
    if (options->from >= options->to)
        argp_error(state, "--diff: %s does not come before %s", from, dots + strlen(".."));
}

static bool is_code(Emit emit) {
    return emit == EMIT_LLVM || emit == EMIT_ASSEMBLY;
}

/* About the whole of a planned program. */
static bool is_page(Emit emit) {
    return emit == EMIT_HTML || emit == EMIT_MEMORY;
}

/* What --emit shows is there after --after. */
static void check_emit(struct argp_state *state, const IrOptions *options) {
    bool program = options->after && stages_find(options->after) > stages_last_graph();
    bool code = is_code(options->emit);
    bool picture = is_page(options->emit) || options->emit == EMIT_DOT;
    if ((code || is_page(options->emit)) && options->after)
        argp_error(state, "--emit %s shows what comes of all passes, it excludes --after",
                   emit_names[options->emit]);
    if (code && options->text.costs)
        argp_error(state, "--costs are those of ops and kernels, not of code");
    if (picture && (options->text.only || options->text.costs || options->dump_directory))
        argp_error(state, "--emit %s shows all of a network: leave --only, --costs, --dump-dir out",
                   emit_names[options->emit]);
    if (options->profile && options->emit != EMIT_HTML)
        argp_error(state, "--profile goes with --emit html");
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
    if (options->diff && (options->after || options->emit || options->dump_directory))
        argp_error(state, "--diff names the passes itself: leave --after, --emit, --dump-dir out");
    if (options->text.only && options->dump_directory)
        argp_error(state, "--dump-dir writes what reads back, --only shows a part");
    if (options->after)
        parse_stage(state, options->after, 1);
    if (options->start_from)
        parse_stage(state, options->start_from, 1);
    check_emit(state, options);
    if (options->start_from && !text_ends_with(options->common.model, ".ir"))
        argp_error(state, "--start-from needs an .ir file");
}

static error_t parse_text(int key, char *argument, struct argp_state *state) {
    IrOptions *options = state->input;
    switch (key) {
    case KEY_DIFF:
        parse_diff(state, options, argument);
        return 0;
    case KEY_ONLY:
        options->text.only = argument;
        return 0;
    case KEY_COSTS:
        options->text.costs = true;
        return 0;
    case KEY_EMIT:
        options->emit = parse_emit(state, argument);
        return 0;
    case KEY_CPU:
        options->cpu = argument;
        return 0;
    case KEY_DIRECTORY:
        options->dump_directory = argument;
        return 0;
    case KEY_TIME:
        options->time_passes = true;
        return 0;
    case KEY_PROFILE:
        options->profile = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    IrOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->common;
        state->child_inputs[1] = &options->common.pass;
        state->child_inputs[2] = &options->rewrites;
        return 0;
    case KEY_AFTER:
        options->after = argument;
        return 0;
    case KEY_START:
        options->start_from = argument;
        return 0;
    case KEY_ENTRY:
        options->common.pass.entry = options_entry(state, argument, ~0u);
        return 0;
    case KEY_DECAY:
        options->common.pass.layer_decay = parse_decay(state, argument);
        return 0;
    case KEY_ALL:
        options->all = true;
        return 0;
    case ARGP_KEY_SUCCESS:
        check_options(state, options);
        return 0;
    default:
        return parse_text(key, argument, state);
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

static const struct argp_child children[] = {{&options_program_argp, 0, NULL, 0},
                                             {&precision_options_argp, 0, NULL, 0},
                                             {&rewrites_options_argp, 0, NULL, 0},
                                             {0}};

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
    "  sparkc ir models/tutorial.cnn --diff simplify\n"
    "  sparkc ir models/tutorial.cnn --diff frontend..expand --only conv1\n"
    "  sparkc ir models/tutorial.cnn --emit kernels --only conv1 --costs\n"
    "  sparkc ir models/tutorial.cnn --entry logits --emit asm\n"
    "  sparkc ir models/tutorial.cnn --emit html > network.html\n"
    "  sparkc ir models/tutorial.cnn --emit memory\n"
    "  sparkc ir models/tutorial.cnn --after sparsify --emit dot | dot -Tsvg > graph.svg\n"
    "  sparkc ir models/resnet.cnn --network resnet18 --all --dump-dir dumps\n",
    children,
    add_passes,
    NULL};

/* ---- Watching the passes --------------------------------------------------------------------- */

/* What is made of the stages while the passes run. */
typedef struct Watch {
    const IrOptions *options;
    Arena *arena;
    int number; /* of the next file */
    int failed;
    const char *sides[2]; /* of the difference: NULL where nothing has the name asked for */
} Watch;

/* Says that a file is there, or why it is not. */
static void report_file(Watch *watch, const char *path, bool written, const char *remark) {
    if (written)
        fprintf(stderr, "%s%s\n", path, remark);
    else
        fprintf(stderr, "sparkc: %s: %s\n", path, strerror(errno));
    watch->failed = watch->failed || !written;
}

static const char *next_path(Watch *watch, const char *name, const char *suffix) {
    return arena_format(watch->arena, "%s/%02d-%s.%s", watch->options->dump_directory,
                        watch->number++, name, suffix);
}

/* The name of a stage from a text may be any; that of the file is one of the list. */
static void write_stage(Watch *watch, const Staged *staged, bool changed) {
    int stage = stages_current(staged);
    if (!watch->options->dump_directory || watch->failed)
        return;
    const char *path = next_path(watch, stage < 0 ? "start" : stages_name(stage), "ir");
    FILE *file = fopen(path, "w");
    bool written =
        file && fputs(stage_text(watch->arena, staged, &watch->options->text), file) >= 0;
    if (file && fclose(file) != 0)
        written = false;
    report_file(watch, path, written, changed || watch->number == 1 ? "" : "  (unchanged)");
}

/* A text without the line of its stage, which always differs. */
static const char *without_stage(Arena *arena, const char *text) {
    const char *stage = text ? strstr(text, "\nstage ") : NULL;
    if (!stage)
        return text;
    return arena_format(arena, "%.*s%s", (int)(stage - text), text,
                        stage + 1 + strcspn(stage + 1, "\n"));
}

static void keep_sides(Watch *watch, const Staged *staged) {
    const int stages[] = {watch->options->from, watch->options->to};
    for (int i = 0; i < 2; i++) {
        if (!watch->options->diff || stages_current(staged) != stages[i])
            continue;
        watch->sides[i] =
            without_stage(watch->arena, stage_text(watch->arena, staged, &watch->options->text));
    }
}

static void watch_stage(void *context, const Staged *staged, bool changed, double seconds) {
    Watch *watch = context;
    if (watch->options->time_passes)
        stages_print_time(staged, changed, seconds);
    keep_sides(watch, staged);
    write_stage(watch, staged, changed);
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
    if (options->diff)
        return options->to;
    if (options->after)
        return stages_find(options->after);
    bool picture = options->emit == EMIT_DOT;
    if ((options->emit >= EMIT_KERNELS && !picture) || options->dump_directory)
        return stages_count() - 1;
    if (options->all || start)
        return program ? stages_count() - 1 : stages_last_graph();
    return -1;
}

/* The first stage that is to be shown; 0 if any will do. */
static int first_shown(const IrOptions *options) {
    if (options->diff)
        return options->from;
    return options->after ? stages_find(options->after) : stages_count();
}

/* Where the passes begin and end must be in this order, and what is to be shown still there. */
static bool check_order(const IrOptions *options, const Staged *staged) {
    if (options->emit == EMIT_GRAPH && staged->build.program) {
        fprintf(stderr, "sparkc: %s is a program, there is no graph any more\n",
                options->common.model);
        return false;
    }
    int first = first_shown(options);
    if (first >= stages_current(staged))
        return true;
    fprintf(stderr, "sparkc: %s was written after %s, which comes after %s\n",
            options->common.model, stages_current_name(staged), stages_name(first));
    return false;
}

/* ---- Printing -------------------------------------------------------------------------------- */

/* Nothing has the name that was asked for. */
static void report_unknown(const IrOptions *options, Arena *arena, const Staged *staged) {
    const char *near = label_near(arena, staged, options->text.only);
    Text message = text_create(arena);
    text_append(&message, "nothing is called ");
    text_append_escaped(&message, options->text.only);
    text_append(&message, " after %s", stages_current_name(staged));
    if (near) {
        text_append(&message, "; did you mean ");
        text_append_escaped(&message, near);
        text_append(&message, "?");
    }
    fprintf(stderr, "sparkc: %s\n", message.data);
}

static bool print_code(const IrOptions *options, Watch *watch, const Staged *staged) {
    bool llvm = options->emit == EMIT_LLVM;
    const Program *program = staged->build.program;
    CpuTarget target;
    Status status = cpu_target(watch->arena, NULL, options->cpu, false, &target);
    if (!status_fine(status)) {
        fprintf(stderr, "sparkc: %s\n", status.message);
        return false;
    }
    if (options->text.only)
        program = stage_text_kernels(watch->arena, program, options->text.only);
    if (program->kernels.count == 0) {
        report_unknown(options, watch->arena, staged);
        return false;
    }
    const char *path = options->dump_directory ? next_path(watch, "code", llvm ? "ll" : "s") : NULL;
    FILE *out = path ? fopen(path, "w") : stdout;
    if (out)
        status = cpu_list(watch->arena, program, &target,
                          llvm ? CPU_LISTING_LLVM : CPU_LISTING_ASSEMBLY, out);
    if (path)
        report_file(watch, path, out && fclose(out) == 0, "");
    if (!status_fine(status))
        options_print_failure("ir", status);
    return status_fine(status) && !watch->failed;
}

static bool print_page(const IrOptions *options, Arena *arena, const Staged *staged) {
    Profile *profile = NULL;
    Status status =
        options->profile ? profile_read(arena, options->profile, &profile) : STATUS_FINE;
    if (status_fine(status))
        fputs(layer_page(arena, staged, profile), stdout);
    else
        options_print_failure("ir", status);
    profile_destroy(profile);
    return status_fine(status);
}

static bool print_difference(const IrOptions *options, Watch *watch, const Staged *staged) {
    if (!watch->sides[0] && !watch->sides[1]) {
        report_unknown(options, watch->arena, staged);
        return false;
    }
    const char *heading = options->from > stages_last_graph() ? "^kernel " : NULL;
    DiffSide from = {stages_name(options->from), watch->sides[0] ? watch->sides[0] : ""};
    DiffSide to = {stages_name(options->to), watch->sides[1] ? watch->sides[1] : ""};
    Status status = text_diff_print(watch->arena, from, to, heading, options_color(stdout));
    if (!status_fine(status))
        fprintf(stderr, "sparkc: %s\n", status.message);
    return status_fine(status);
}

static bool print_result(const IrOptions *options, Watch *watch, const Staged *staged) {
    if (options->diff)
        return print_difference(options, watch, staged);
    if (is_code(options->emit))
        return print_code(options, watch, staged);
    if (options->emit == EMIT_HTML)
        return print_page(options, watch->arena, staged);
    if (options->dump_directory)
        return !watch->failed;
    if (options->emit == EMIT_MEMORY) {
        fputs(memory_text(watch->arena, staged->build.program), stdout);
        return true;
    }
    const char *text = options->emit == EMIT_DOT ? graph_dot(watch->arena, staged)
                                                 : stage_text(watch->arena, staged, &options->text);
    if (text)
        fputs(text, stdout);
    else
        report_unknown(options, watch->arena, staged);
    return text != NULL;
}

static bool run(IrOptions *options, Arena *arena, Diagnostics **diagnostics) {
    Watch watch = {.options = options, .arena = arena};
    Staged staged;
    if (!read_start(options, arena, diagnostics, &staged))
        return false;
    if ((options->start_from && !restart(options, &staged)) || !check_order(options, &staged) ||
        !make_directory(options->dump_directory))
        return false;
    int last = last_stage(options, &staged);
    options->common.pass.rewrites = &options->rewrites.rewrites;
    bool fine = last < 0 ||
                stages_run(&staged, &options->common.pass, last, *diagnostics, watch_stage, &watch);
    fine = fine && print_result(options, &watch, &staged);
    rewrites_options_report(&options->rewrites);
    return fine;
}

int command_ir(int argc, char **argv) {
    Arena *arena = arena_create();
    IrOptions options = {.common = options_default(arena), .rewrites = rewrites_options_default()};
    options_parse(&argp, argc, argv, &options);
    Diagnostics *diagnostics;
    bool fine = run(&options, arena, &diagnostics);
    network_print(diagnostics);
    arena_destroy(arena);
    return fine ? EXIT_FINE : EXIT_FAILED;
}
