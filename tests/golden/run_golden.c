/* Golden tests of passes, of graphs and of programs, and of the readers of their texts.
 *
 *     run_golden [--rebase] ROOT
 *
 * Runs every ROOT/<pass>/<name>.ir:
 *
 *     // entry = logits                    options of the passes, one per line, at the top
 *     // passes = expand, simplify         instead of the pass that the folder is named after
 *     sparkc graph 1                       the input, or "sparkc program 1"
 *     ...
 *     // ---
 *     ...                                  what is expected: messages, then the graph or the
 *                                          program if there is one
 *
 * What `sparkc opt --verify-each` does with the input; the folder `parse` runs no pass. --rebase
 * writes what came out into the files instead of comparing. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "passes/settings.h"
#include "tools/inspect/pass_list.h"

static const char separator[] = "// ---\n";

/* One file at work. */
typedef struct Case {
    Arena *arena;
    const char *path, *name; /* name: <pass>/<name>.ir, as it stands in messages */
    PassListOptions list;
    Staged staged;
    Diagnostics *diagnostics;
    Text complaint; /* why it failed */
} Case;

/* "name = value" */
static void read_option(Case *test, char *line) {
    char *value = strstr(line, " = ");
    if (!value) {
        text_append(&test->complaint, "no option: // %s\n", line);
        return;
    }
    *value = '\0';
    value += strlen(" = ");
    if (strcmp(line, "passes") == 0)
        test->list.passes = value;
    else if (!pass_settings_set(&test->list.pass, line, value))
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

/* Messages, and the graph or program, that come of an input. */
static char *run_input(Case *test, const char *input) {
    const char *unknown = pass_list_unknown(test->arena, test->list.passes);
    bool fine = stages_parse(test->arena, test->diagnostics, test->name, input, strlen(input),
                             &test->staged);
    if (unknown)
        text_append(&test->complaint, "no pass is called %s\n", unknown);
    if (fine)
        pass_list_check_text(&test->staged, test->diagnostics);
    fine = fine && !unknown &&
           pass_list_run(&test->staged, &test->list, test->diagnostics, NULL, NULL);
    Text out = text_create(test->arena);
    text_append(&out, "%s%s", diagnostics_text(test->diagnostics, false),
                fine ? stages_text(test->arena, &test->staged) : "");
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
                 .list = {.pass = pass_options_default(), .verify_each = true},
                 .diagnostics = diagnostics_create(arena, 20),
                 .complaint = text_create(arena)};
    size_t folder = strcspn(test.name, "/");
    test.list.passes = arena_copy_text(arena, test.name, folder);
    if (strcmp(test.list.passes, "parse") == 0)
        test.list.passes = "";
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
