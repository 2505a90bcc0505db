#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "passes/settings.h"
#include "tools/command.h"
#include "tools/inspect/pass_list.h"
#include "tools/network.h"
#include "tools/options.h"
#include "tools/rewrites_options.h"

typedef struct OptOptions {
    Arena *arena;
    RewritesOptions rewrites;
    PassListOptions list;
    const char *file;
    bool time_passes, list_passes;
} OptOptions;

enum { KEY_PASSES = 0x200, KEY_OPTION, KEY_LIST, KEY_VERIFY, KEY_TIME };

static const struct argp_option option_table[] = {
    {"passes", KEY_PASSES, "A,B,..", 0, "The passes to run, in this order", 0},
    {"option", KEY_OPTION, "NAME=VALUE", 0,
     "Set an option of the passes, such as entry=features or mask_ratio=0.75; may be repeated", 0},
    {"list-passes", KEY_LIST, NULL, 0, "Print the names of all passes, and of their options", 0},
    {"verify-each", KEY_VERIFY, NULL, 0,
     "After each pass: verify, and read the text back; else at the end", 0},
    {"time-passes", KEY_TIME, NULL, 0, "Print how long each pass took to standard error", 0},
    {0},
};

static void set_option(struct argp_state *state, OptOptions *options, const char *setting) {
    const char *equals = strchr(setting, '=');
    size_t length = equals ? (size_t)(equals - setting) : strlen(setting), count;
    const char *name = arena_copy_text(options->arena, setting, length);
    if (equals && pass_settings_set(&options->list.pass, name, equals + 1))
        return;
    const char *const *names = pass_settings_names(options->arena, &count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            argp_error(state, "the option %s does not take %s", name, equals ? equals + 1 : "that");
    }
    const char *near = text_nearest(name, names, count);
    argp_error(state, "the passes have no option %s%s%s; --list-passes lists them", name,
               near ? ", did you mean " : "", near ? near : "");
}

static void check_options(struct argp_state *state, const OptOptions *options) {
    if (options->list_passes)
        return;
    if (!options->file)
        argp_error(state, "name an .ir file");
    if (!options->list.passes)
        argp_error(state, "name passes by --passes; --list-passes lists them");
    const char *unknown = pass_list_unknown(options->arena, options->list.passes);
    if (unknown)
        argp_error(state, "there is no pass %s; --list-passes lists them", unknown);
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    OptOptions *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->rewrites;
        return 0;
    case KEY_PASSES:
        options->list.passes = argument;
        return 0;
    case KEY_OPTION:
        set_option(state, options, argument);
        return 0;
    case KEY_LIST:
        options->list_passes = true;
        return 0;
    case KEY_VERIFY:
        options->list.verify_each = true;
        return 0;
    case KEY_TIME:
        options->time_passes = true;
        return 0;
    case ARGP_KEY_ARG:
        if (options->file)
            argp_error(state, "one file is enough: %s and %s", options->file, argument);
        options->file = argument;
        return 0;
    case ARGP_KEY_SUCCESS:
        check_options(state, options);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&rewrites_options_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    option_table,
    parse,
    "FILE.ir",
    "Runs chosen passes over the text of a graph or a program, and prints what comes out."
    "\vExamples:\n"
    "  sparkc ir models/tutorial.cnn --after optimizer > step.ir\n"
    "  sparkc opt step.ir --passes simplify,cse,dce --verify-each\n"
    "  sparkc opt step.ir --passes lower,fuse_kernels --time-passes\n"
    "  sparkc opt tiny.ir --passes select,sparsify --option entry=reconstruct\n"
    "  sparkc opt --list-passes\n",
    children,
    NULL,
    NULL};

static void print_passes(Arena *arena) {
    size_t count;
    const char *const *names = pass_settings_names(arena, &count);
    puts("passes of graphs and, from lower on, of programs:");
    for (int i = 1; i < stages_count(); i++)
        printf("  %-12s %s\n", stages_name(i), stages_help(i));
    puts("options:");
    for (size_t i = 0; i < count; i++)
        printf("  %s\n", names[i]);
}

static void print_time(void *context, const Staged *staged, bool changed, double seconds) {
    const OptOptions *options = context;
    if (options->time_passes)
        stages_print_time(staged, changed, seconds);
}

static bool run(OptOptions *options, Diagnostics *diagnostics) {
    Staged staged;
    options->list.pass.rewrites = &options->rewrites.rewrites;
    if (!stages_read(options->arena, diagnostics, options->file, &staged))
        return false;
    bool fine = pass_list_run(&staged, &options->list, diagnostics, print_time, options);
    if (fine)
        fputs(stages_text(options->arena, &staged), stdout);
    rewrites_options_report(&options->rewrites);
    return fine;
}

int command_opt(int argc, char **argv) {
    Arena *arena = arena_create();
    OptOptions options = {.arena = arena,
                          .rewrites = rewrites_options_default(),
                          .list = {.pass = pass_options_default()}};
    options_parse(&argp, argc, argv, &options);
    if (options.list_passes) {
        print_passes(arena);
        arena_destroy(arena);
        return EXIT_FINE;
    }
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    bool fine = run(&options, diagnostics);
    network_print(diagnostics);
    arena_destroy(arena);
    return fine ? EXIT_FINE : EXIT_FAILED;
}
