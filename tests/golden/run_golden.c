/* Golden tests of passes and of the reader of IR text.
 *
 *     run_golden [--rebase] ROOT
 *
 * Runs every ROOT/<pass>/<name>.ir:
 *
 *     // entry = logits                    options (struct PassOptions), one per line, at the top
 *     // passes = expand, simplify         instead of the pass that the folder is named after
 *     sparkc graph 1                       the input
 *     ...
 *     // ---
 *     ...                                  what is expected: messages, then the graph if there is
 * one
 *
 * The folder `parse` runs no pass. Every graph that occurs is also printed, read back and printed
 * again. --rebase writes what came out into the files instead of comparing. */
#include <glob.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "passes/passes.h"

static const char separator[] = "// ---\n";

/* One file at work. */
typedef struct Case {
    Arena *arena;
    const char *path, *name; /* name: <pass>/<name>.ir, as it stands in messages */
    const char *passes;      /* separated by commas */
    PassOptions options;
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
     WORDS("features", "logits", "reconstruct", "train_step", "update")},
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

/* A graph's text reads back as the same. */
static void check_text(Case *test, const Graph *graph) {
    char *text = print_graph_text(test->arena, graph);
    Diagnostics *diagnostics = diagnostics_create(test->arena, 20);
    Graph *again = parse_graph(test->arena, diagnostics, "printed", text, strlen(text));
    if (!again)
        text_append(&test->complaint, "%s", diagnostics_text(diagnostics, false));
    else if (strcmp(print_graph_text(test->arena, again), text) != 0)
        text_append(&test->complaint, "print -> parse -> print is not the identity\n");
}

static const PassInfo *find_pass(const char *name, size_t length) {
    int count;
    const PassInfo *passes = passes_list(&count);
    for (int i = 0; i < count; i++) {
        if (strlen(passes[i].name) == length && memcmp(passes[i].name, name, length) == 0)
            return &passes[i];
    }
    return NULL;
}

/* Runs one pass and checks what it says of itself; false if that ends the test. */
static bool run_pass(Case *test, const PassInfo *pass, Graph *graph, Diagnostics *diagnostics) {
    char *before = print_graph_text(test->arena, graph);
    bool changed = pass->run(graph, &test->options, diagnostics);
    if (diagnostics_error_count(diagnostics) > 0)
        return false;
    if (!changed && strcmp(before, print_graph_text(test->arena, graph)) != 0)
        text_append(&test->complaint, "%s says that it changed nothing\n", pass->name);
    graph->stage = pass->name;
    check_text(test, graph);
    return verify_graph(graph, diagnostics);
}

static bool run_passes(Case *test, Graph *graph, Diagnostics *diagnostics) {
    for (const char *at = test->passes; *at; at += strspn(at, ", ")) {
        size_t length = strcspn(at, ", ");
        const PassInfo *pass = find_pass(at, length);
        if (!pass) {
            text_append(&test->complaint, "no pass is called %.*s\n", (int)length, at);
            return false;
        }
        if (!run_pass(test, pass, graph, diagnostics))
            return false;
        at += length;
    }
    return true;
}

/* Messages and graph that come of an input. */
static char *run_input(Case *test, const char *input) {
    Diagnostics *diagnostics = diagnostics_create(test->arena, 20);
    Graph *graph = parse_graph(test->arena, diagnostics, test->name, input, strlen(input));
    if (graph)
        check_text(test, graph);
    bool fine = graph && run_passes(test, graph, diagnostics);
    Text out = text_create(test->arena);
    text_append(&out, "%s", diagnostics_text(diagnostics, false));
    if (fine)
        print_graph(&out, graph);
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
