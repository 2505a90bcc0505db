#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "tools/command.h"
#include "tools/network.h"
#include "tools/options.h"

typedef struct IrOptions {
    Options common;
    const char *after, *start_from, *dump_directory;
    bool all;
} IrOptions;

enum { KEY_AFTER = 0x200, KEY_START, KEY_ENTRY, KEY_ALL, KEY_DIRECTORY };

static const struct argp_option option_table[] = {
    {"after", KEY_AFTER, "PASS", 0, "Stop after this pass (default: before the first)", 0},
    {"start-from", KEY_START, "PASS", 0, "FILE.ir: run the passes from this one on", 0},
    {"entry", KEY_ENTRY, "NAME", 0, "features, logits, reconstruct, train_step (default) or update",
     0},
    {"all", KEY_ALL, NULL, 0, "Run all passes; with --dump-dir, a file after each", 0},
    {"dump-dir", KEY_DIRECTORY, "DIR", 0, "Write NN-PASS.ir files there", 0},
    {0},
};

static const char *const entry_names[] = {[ENTRY_FEATURES] = "features",
                                          [ENTRY_LOGITS] = "logits",
                                          [ENTRY_RECONSTRUCT] = "reconstruct",
                                          [ENTRY_TRAIN_STEP] = "train_step",
                                          [ENTRY_UPDATE] = "update"};

static Entry parse_entry(struct argp_state *state, const char *name) {
    enum { COUNT = sizeof entry_names / sizeof *entry_names };
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(name, entry_names[i]) == 0)
            return (Entry)i;
    }
    argp_error(state, "there is no entry %s", name);
    return ENTRY_TRAIN_STEP;
}

/* The place of a pass in the pipeline; -1 if there is none of the name. */
static int pass_place(const char *name) {
    int count;
    const PassInfo *passes = passes_list(&count);
    for (int i = 0; i < count; i++) {
        if (strcmp(passes[i].name, name) == 0)
            return i;
    }
    return -1;
}

static void check_pass(struct argp_state *state, const char *name) {
    if (name && pass_place(name) < 0)
        argp_error(state, "there is no pass %s", name);
}

static void check_options(struct argp_state *state, const IrOptions *options) {
    if (!options->common.model)
        argp_error(state, "name a .cnn or an .ir file");
    if (options->all && options->after)
        argp_error(state, "--all and --after exclude each other");
    check_pass(state, options->after);
    check_pass(state, options->start_from);
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
    int count;
    const PassInfo *passes = passes_list(&count);
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    Arena *arena = arena_create();
    Text help = text_create(arena);
    text_append(&help, "%s\nPasses, in order:\n", text);
    for (int i = 0; i < count; i++)
        text_append(&help, "  %-10s %s\n", passes[i].name, passes[i].help);
    char *copy = strdup(help.data); /* argp frees it */
    arena_destroy(arena);
    return copy;
}

static const struct argp argp = {
    option_table,
    parse,
    "MODEL.cnn|FILE.ir",
    "Prints the graph of a network as text, after any pass. The text parses back: an .ir file goes "
    "on from where it was written, or from --start-from."
    "\vExamples:\n"
    "  sparkc ir models/tutorial.cnn\n"
    "  sparkc ir models/tutorial.cnn --after sparsify > masked.ir\n"
    "  sparkc ir masked.ir --after objective\n"
    "  sparkc ir models/resnet.cnn --network resnet18 --all --dump-dir dumps\n",
    options_program,
    add_passes,
    NULL};

typedef struct Dump {
    Arena *arena;
    const char *directory;
    int number;
    bool failed;
} Dump;

static void write_dump(Dump *dump, const char *name, const Graph *graph, bool changed) {
    const char *path =
        arena_format(dump->arena, "%s/%02d-%s.ir", dump->directory, dump->number++, name);
    FILE *file = fopen(path, "w");
    bool written = file && fputs(print_graph_text(dump->arena, graph), file) >= 0;
    if (file && fclose(file) != 0)
        written = false;
    if (written) {
        fprintf(stderr, "%s%s\n", path, changed ? "" : "  (unchanged)");
        return;
    }
    fprintf(stderr, "sparkc: %s: %s\n", path, strerror(errno));
    dump->failed = true;
}

static void observe(void *context, const PassInfo *pass, const Graph *graph, bool changed,
                    double seconds) {
    (void)seconds;
    Dump *dump = context;
    if (dump->directory && !dump->failed)
        write_dump(dump, pass ? pass->name : graph->stage, graph, changed || !pass);
}

/* The graph that the passes start from. */
static Graph *read_graph(const IrOptions *options, Arena *arena, Diagnostics **diagnostics) {
    if (text_ends_with(options->common.model, ".ir")) {
        *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
        return parse_graph_file(arena, *diagnostics, options->common.model);
    }
    NetworkSource *source = network_open(arena, &options->common, diagnostics);
    const Graph *graph = source ? network_graph(source, NULL, NULL) : NULL;
    return graph ? graph_copy(graph, arena) : NULL;
}

/* The facts that hold once the passes before `end` have run. */
static unsigned facts_before(int end) {
    int count;
    const PassInfo *passes = passes_list(&count);
    unsigned facts = 0;
    for (int i = 0; i < end; i++)
        facts = (facts & passes[i].keeps) | passes[i].gives;
    return facts;
}

/* True if no pass from `begin` to before `end` does more than clean up, so that they can run again.
 */
static bool only_clean_up(int begin, int end) {
    int count;
    const PassInfo *passes = passes_list(&count);
    for (int i = begin; i < end; i++) {
        if (passes[i].gives & ~(unsigned)(FACT_UNIQUE | FACT_LIVE))
            return false;
    }
    return true;
}

/* Makes the pipeline go on with `start_from`: the stage becomes the pass before it. Passes in
 * between may be left out if the graph has what they give, and repeated if they only clean up. */
static bool restart(const IrOptions *options, Graph *graph) {
    int count, start = pass_place(options->start_from), next = pass_place(graph->stage) + 1;
    const PassInfo *passes = passes_list(&count);
    bool complete = (facts_before(start) & ~facts_before(next)) == 0;
    if (!complete || !only_clean_up(start, next)) {
        fprintf(stderr, "sparkc: %s was written after %s, %s cannot be next; %s can\n",
                options->common.model, graph->stage, options->start_from,
                next < count ? passes[next].name : "nothing");
        return false;
    }
    graph->stage = start > 0 ? passes[start - 1].name : "frontend";
    return true;
}

/* Where the passes begin and end must be in this order. */
static bool check_order(const IrOptions *options, const Graph *graph) {
    if (!options->after || pass_place(options->after) >= pass_place(graph->stage))
        return true;
    fprintf(stderr, "sparkc: %s was written after %s, which comes after %s\n",
            options->common.model, graph->stage, options->after);
    return false;
}

static bool run(const IrOptions *options, Arena *arena, Diagnostics **diagnostics) {
    Dump dump = {.arena = arena, .directory = options->dump_directory};
    Graph *graph = read_graph(options, arena, diagnostics);
    if (!graph)
        return false;
    if (options->start_from && !restart(options, graph))
        return false;
    if (!check_order(options, graph))
        return false;
    if (dump.directory && mkdir(dump.directory, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "sparkc: %s: %s\n", dump.directory, strerror(errno));
        return false;
    }
    bool passes = options->all || options->after || options->start_from || dump.directory;
    if (passes &&
        !passes_run(graph, &options->common.pass, options->after, *diagnostics, observe, &dump))
        return false;
    if (!dump.directory)
        fputs(print_graph_text(arena, graph), stdout);
    return !dump.failed;
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
