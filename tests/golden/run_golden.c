/* Golden tests of passes, of graphs and of programs, and of the readers of their texts.
 *
 *     run_golden [--rebase] ROOT
 *
 * Runs every ROOT/<pass>/<name>.ir:
 *
 *     // entry = logits                    options (struct PassOptions), one per line, at the top
 *     // passes = expand, simplify         instead of the pass that the folder is named after
 *     sparkc graph 1                       the input, or "sparkc program 1"
 *     ...
 *     // ---
 *     ...                                  what is expected: messages, then the graph or the
 *                                          program if there is one
 *
 * The folder `parse` runs no pass. All that occurs is also verified, printed, read back and printed
 * again. --rebase writes what came out into the files instead of comparing. */
#include <glob.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/kernel_parse.h"
#include "ir/kernel_print.h"
#include "ir/kernel_verify.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "passes/passes.h"
#include "passes/program.h"

static const char separator[] = "// ---\n";

/* One file at work. */
typedef struct Case {
    Arena *arena;
    const char *path, *name; /* name: <pass>/<name>.ir, as it stands in messages */
    const char *passes;      /* separated by commas */
    PassOptions options;
    ProgramBuild build; /* a graph, until there is a program */
    Diagnostics *diagnostics;
    Text complaint; /* why it failed */
} Case;

#define WORDS(...)                                                                                 \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

typedef enum OptionKind { OPTION_BOOL, OPTION_INT, OPTION_FLOAT, OPTION_WORD } OptionKind;

static const struct {
    const char *name;
    OptionKind kind;
    size_t place; /* in PassOptions */
    const char *const *words;
} options[] = {
    {"entry", OPTION_WORD, offsetof(PassOptions, entry),
     WORDS("features", "logits", "reconstruct", "train_step", "update", "accumulate", "apply",
           "finetune_step")},
    {"batch", OPTION_INT, offsetof(PassOptions, batch), NULL},
    {"training", OPTION_BOOL, offsetof(PassOptions, training), NULL},
    {"expose", OPTION_BOOL, offsetof(PassOptions, expose), NULL},
    {"mask_ratio", OPTION_FLOAT, offsetof(PassOptions, mask_ratio), NULL},
    {"decoder_width", OPTION_INT, offsetof(PassOptions, decoder_width), NULL},
    {"densify_norm", OPTION_WORD, offsetof(PassOptions, densify_norm),
     WORDS("auto", "batch_norm", "layer_norm")},
    {"stochastic", OPTION_BOOL, offsetof(PassOptions, stochastic), NULL},
    {"optimizer", OPTION_WORD, offsetof(PassOptions, optimizer), WORDS("lamb", "adamw", "sgd")},
    {"beta1", OPTION_FLOAT, offsetof(PassOptions, beta1), NULL},
    {"beta2", OPTION_FLOAT, offsetof(PassOptions, beta2), NULL},
    {"epsilon", OPTION_FLOAT, offsetof(PassOptions, epsilon), NULL},
    {"momentum", OPTION_FLOAT, offsetof(PassOptions, momentum), NULL},
    {"clip", OPTION_FLOAT, offsetof(PassOptions, clip), NULL},
    {"always_adapt", OPTION_BOOL, offsetof(PassOptions, always_adapt), NULL},
    {"finetune_loss", OPTION_WORD, offsetof(PassOptions, finetune_loss),
     WORDS("cross_entropy", "binary_cross_entropy")},
    {"layer_decay", OPTION_FLOAT, offsetof(PassOptions, layer_decay), NULL},
};

static bool set_word(Case *test, size_t row, const char *value) {
    for (int i = 0; options[row].words[i]; i++) {
        if (strcmp(options[row].words[i], value) == 0) {
            *(int *)((char *)&test->options + options[row].place) = i;
            return true;
        }
    }
    return false;
}

static bool set_option(Case *test, size_t row, const char *value) {
    char *end = NULL;
    void *place = (char *)&test->options + options[row].place;
    switch (options[row].kind) {
    case OPTION_WORD:
        return set_word(test, row, value);
    case OPTION_BOOL:
        *(bool *)place = strcmp(value, "true") == 0;
        return *(bool *)place || strcmp(value, "false") == 0;
    case OPTION_INT:
        *(int64_t *)place = strtoll(value, &end, 10);
        break;
    case OPTION_FLOAT:
        *(double *)place = strtod(value, &end);
        break;
    }
    return end > value && *end == '\0';
}

/* "name = value" */
static void read_option(Case *test, char *line) {
    char *value = strstr(line, " = ");
    if (!value) {
        text_append(&test->complaint, "no option: // %s\n", line);
        return;
    }
    *value = '\0';
    value += strlen(" = ");
    if (strcmp(line, "passes") == 0) {
        test->passes = value;
        return;
    }
    for (size_t row = 0; row < sizeof options / sizeof *options; row++) {
        if (strcmp(options[row].name, line) == 0 && set_option(test, row, value))
            return;
    }
    text_append(&test->complaint, "no option: // %s = %s\n", line, value);
}

/* The comment lines at the top. */
static void read_options(Case *test, const char *text) {
    while (text_starts_with(text, "// ")) {
        size_t length = strcspn(text, "\n");
        read_option(test, arena_copy_text(test->arena, text + 3, length - 3));
        text += length + (text[length] == '\n');
    }
}

static char *print(const Case *test) {
    return test->build.program ? kernel_print_text(test->arena, test->build.program)
                               : print_graph_text(test->arena, test->build.graph);
}

/* The text of what a text is of, or NULL after errors. */
static char *print_again(const Case *test, const char *text, Diagnostics *diagnostics) {
    ProgramBuild again = {.arena = test->arena};
    if (test->build.program)
        again.program = kernel_parse(test->arena, diagnostics, "printed", text, strlen(text));
    else
        again.graph = parse_graph(test->arena, diagnostics, "printed", text, strlen(text));
    Case copy = {.arena = test->arena, .build = again};
    return again.program || again.graph ? print(&copy) : NULL;
}

/* The text reads back as the same. */
static void check_text(Case *test) {
    char *text = print(test);
    Diagnostics *diagnostics = diagnostics_create(test->arena, 20);
    char *again = print_again(test, text, diagnostics);
    if (!again)
        text_append(&test->complaint, "%s", diagnostics_text(diagnostics, false));
    else if (strcmp(again, text) != 0)
        text_append(&test->complaint, "print -> parse -> print is not the identity\n");
}

static const PassInfo *find_pass(const char *name) {
    int count;
    const PassInfo *passes = passes_list(&count);
    for (int i = 0; i < count; i++) {
        if (strcmp(passes[i].name, name) == 0)
            return &passes[i];
    }
    return NULL;
}

static const ProgramPassInfo *find_program_pass(const char *name) {
    int count;
    const ProgramPassInfo *passes = program_passes(&count);
    for (int i = 0; i < count; i++) {
        if (strcmp(passes[i].name, name) == 0)
            return &passes[i];
    }
    return NULL;
}

/* The pass runs; its stage and whether it says to have changed something. */
static bool run_graph_pass(Case *test, const PassInfo *pass) {
    bool changed = pass->run(test->build.graph, &test->options, test->diagnostics);
    test->build.graph->stage = pass->name;
    return changed;
}

static bool run_program_pass(Case *test, const ProgramPassInfo *pass) {
    bool changed = pass->run(&test->build, test->diagnostics);
    if (test->build.program)
        test->build.program->stage = pass->name;
    return changed;
}

static bool verify(const Case *test) {
    return test->build.program ? kernel_verify(test->build.program, test->diagnostics)
                               : verify_graph(test->build.graph, test->diagnostics);
}

/* Everything but the line of the stage, which a pass sets. */
static bool same_but_stage(const char *before, const char *after) {
    const char *a = strstr(before, "\nstage "), *b = strstr(after, "\nstage ");
    return a && b && strcmp(strchr(a + 1, '\n'), strchr(b + 1, '\n')) == 0;
}

/* Runs one pass and checks what it says of itself; false if that ends the test. */
static bool run_pass(Case *test, const char *name) {
    const PassInfo *pass = find_pass(name);
    const ProgramPassInfo *program_pass = find_program_pass(name);
    if (pass ? !test->build.graph : !program_pass) {
        text_append(&test->complaint, "no pass is called %s, or not for this\n", name);
        return false;
    }
    char *before = print(test);
    bool changed = pass ? run_graph_pass(test, pass) : run_program_pass(test, program_pass);
    if (diagnostics_error_count(test->diagnostics) > 0)
        return false;
    if (!changed && !same_but_stage(before, print(test)))
        text_append(&test->complaint, "%s says that it changed nothing\n", name);
    check_text(test);
    return verify(test);
}

static bool run_passes(Case *test) {
    for (const char *at = test->passes; *at; at += strspn(at, ", ")) {
        size_t length = strcspn(at, ", ");
        if (!run_pass(test, arena_copy_text(test->arena, at, length)))
            return false;
        at += length;
    }
    return true;
}

static bool read_input(Case *test, const char *input) {
    if (strstr(input, "sparkc program "))
        test->build.program =
            kernel_parse(test->arena, test->diagnostics, test->name, input, strlen(input));
    else
        test->build.graph =
            parse_graph(test->arena, test->diagnostics, test->name, input, strlen(input));
    return test->build.program || test->build.graph;
}

/* Messages, and the graph or program, that come of an input. */
static char *run_input(Case *test, const char *input) {
    bool fine = read_input(test, input);
    if (fine) {
        check_text(test);
        fine = run_passes(test);
    }
    Text out = text_create(test->arena);
    text_append(&out, "%s%s", diagnostics_text(test->diagnostics, false), fine ? print(test) : "");
    return out.data;
}

/* The first line in which two texts differ. */
static void complain_difference(Case *test, const char *expected, const char *actual) {
    size_t line = 1, begin = 0, at = 0;
    for (; expected[at] == actual[at]; at++) {
        if (expected[at] == '\n') {
            line++;
            begin = at + 1;
        }
    }
    text_append(&test->complaint, "line %zu of the result\n  expected: %.*s\n  found:    %.*s\n",
                line, (int)strcspn(expected + begin, "\n"), expected + begin,
                (int)strcspn(actual + begin, "\n"), actual + begin);
}

static void write_file(Case *test, const char *input, const char *output) {
    FILE *file = fopen(test->path, "w");
    if (!file || fprintf(file, "%s%s%s", input, separator, output) < 0)
        text_append(&test->complaint, "cannot be written\n");
    if (file && fclose(file) != 0)
        text_append(&test->complaint, "cannot be written\n");
}

/* Cuts the file at its separator; returns what stands behind it. */
static const char *cut(char *text) {
    char *at = strstr(text, separator);
    if (!at)
        return "";
    *at = '\0';
    return at + strlen(separator);
}

static void run_file(Case *test, bool rebase) {
    size_t length = 0;
    const char *error = NULL;
    char *input = text_read_file(test->arena, test->path, 1 << 20, &length, &error);
    if (!input) {
        text_append(&test->complaint, "%s\n", error);
        return;
    }
    const char *expected = cut(input);
    read_options(test, input);
    char *actual = run_input(test, input);
    if (rebase)
        write_file(test, input, actual);
    else if (strcmp(expected, actual) != 0)
        complain_difference(test, expected, actual);
}

/* The pass is the name of the folder. */
static bool run_case(const char *root, const char *path, bool rebase) {
    Arena *arena = arena_create();
    Case test = {.arena = arena,
                 .path = path,
                 .name = path + strlen(root) + 1,
                 .options = pass_options_default(),
                 .build = {.arena = arena},
                 .diagnostics = diagnostics_create(arena, 20),
                 .complaint = text_create(arena)};
    size_t folder = strcspn(test.name, "/");
    test.passes = arena_copy_text(arena, test.name, folder);
    if (strcmp(test.passes, "parse") == 0)
        test.passes = "";
    run_file(&test, rebase);
    bool fine = test.complaint.length == 0;
    if (!fine)
        printf("%s: %s", test.name, test.complaint.data);
    arena_destroy(arena);
    return fine;
}

static bool run_all(const char *root, bool rebase) {
    glob_t found = {0};
    size_t failed = 0;
    Arena *arena = arena_create();
    glob(arena_format(arena, "%s/*/*.ir", root), 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++)
        failed += !run_case(root, found.gl_pathv[i], rebase);
    printf("%zu golden files, %zu failed%s\n", found.gl_pathc, failed,
           rebase ? ", written anew" : "");
    bool fine = found.gl_pathc > 0 && failed == 0;
    globfree(&found);
    arena_destroy(arena);
    return fine;
}

int main(int count, char **arguments) {
    bool rebase = count == 3 && strcmp(arguments[1], "--rebase") == 0;
    if (count != 2 && !rebase) {
        fprintf(stderr, "usage: run_golden [--rebase] ROOT\n");
        return 2;
    }
    return run_all(arguments[count - 1], rebase) ? 0 : 1;
}
