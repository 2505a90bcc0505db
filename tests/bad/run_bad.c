/* Runs the files of tests/bad: each is a `.cnn` file with one mistake, whose messages stand in it
 * as trailing lines "#! ...", exactly as they are printed.
 *
 *     run_bad FOLDER             all *.cnn of the folder; prints what differs, exit status 1 if any
 *     run_bad --refresh FOLDER   writes the messages of today into the files instead; read the diff
 *
 * A line "#! options: ..." gives --network, --input and --set, separated by blanks. The file is
 * read in its folder, so messages name it without one. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "frontend/frontend.h"

enum { LARGEST_FILE = 1 << 20, MOST_SETTINGS = 16 };

static const char mark[] = "#! ", options_mark[] = "options: ";

/* Splits off the next word of a line; NULL at its end. */
static const char *next_word(Arena *arena, const char **at) {
    while (**at == ' ')
        (*at)++;
    size_t length = strcspn(*at, " \n");
    const char *word = length ? arena_copy_text(arena, *at, length) : NULL;
    *at += length;
    return word;
}

static FrontendOptions read_options(Arena *arena, const char *line) {
    const char **settings = arena_new_array(arena, const char *, MOST_SETTINGS);
    FrontendOptions options = {.settings = settings};
    for (const char *word; (word = next_word(arena, &line));) {
        const char *value = next_word(arena, &line);
        if (strcmp(word, "--network") == 0)
            options.network = value;
        else if (strcmp(word, "--input") == 0)
            options.input = value;
        else if (strcmp(word, "--set") == 0 && options.setting_count < MOST_SETTINGS)
            settings[options.setting_count++] = value;
    }
    return options;
}

/* A file's text, its options line, and what it expects. */
typedef struct Case {
    const char *path, *text;
    size_t body;         /* length before the first "#!" line */
    const char *options; /* the line, or NULL */
    const char *expected;
} Case;

static bool read_case(Arena *arena, const char *path, Case *test) {
    const char *error = NULL;
    size_t length;
    *test =
        (Case){.path = path, .text = text_read_file(arena, path, LARGEST_FILE, &length, &error)};
    if (!test->text) {
        printf("%s: %s\n", path, error);
        return false;
    }
    Text expected = text_create(arena);
    const char *line = test->text;
    test->body = length;
    while (*line) {
        size_t size = strcspn(line, "\n");
        bool ours = strncmp(line, mark, 2) == 0;
        const char *rest = line + strlen(mark);
        if (ours && test->body == length)
            test->body = (size_t)(line - test->text);
        if (ours && strncmp(rest, options_mark, strlen(options_mark)) == 0)
            test->options = arena_copy_text(arena, line, size);
        else if (ours)
            text_append(&expected, "%.*s\n", size > 3 ? (int)size - 3 : 0, rest);
        line += size + (line[size] == '\n');
    }
    test->expected = expected.data;
    return true;
}

static const char *run(Arena *arena, const Case *test) {
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    FrontendOptions options = {0};
    if (test->options)
        options = read_options(arena, test->options + strlen(mark) + strlen(options_mark));
    FrontendFile *file = frontend_read(arena, diagnostics, test->path, NULL);
    if (file)
        frontend_build(file, diagnostics, &options);
    return diagnostics_text(diagnostics, false);
}

static bool refresh(const Case *test, const char *messages) {
    FILE *file = fopen(test->path, "wb");
    if (!file)
        return false;
    fwrite(test->text, 1, test->body, file);
    if (test->options)
        fprintf(file, "%s\n", test->options);
    for (const char *line = messages; *line;) {
        size_t size = strcspn(line, "\n");
        fprintf(file, "%s%.*s\n", mark, (int)size, line);
        line += size + (line[size] == '\n');
    }
    return fclose(file) == 0;
}

static bool check(const char *path, bool refreshing) {
    Arena *arena = arena_create();
    Case test;
    bool fine = read_case(arena, path, &test);
    const char *messages = fine ? run(arena, &test) : "";
    if (fine && refreshing)
        fine = refresh(&test, messages);
    else if (fine && (messages[0] == '\0' || strcmp(messages, test.expected) != 0)) {
        printf("%s: expected\n%s-- but got\n%s\n", path, test.expected, messages);
        fine = false;
    }
    arena_destroy(arena);
    return fine;
}

int main(int count, char **arguments) {
    bool refreshing = count == 3 && strcmp(arguments[1], "--refresh") == 0;
    const char *folder = arguments[count - 1];
    glob_t found = {0};
    if (count < 2 || count > 2 + refreshing || chdir(folder) != 0 ||
        glob("*.cnn", 0, NULL, &found) != 0) {
        fprintf(stderr, "usage: run_bad [--refresh] FOLDER\n");
        return 2;
    }
    size_t failures = 0;
    for (size_t i = 0; i < found.gl_pathc; i++)
        failures += !check(found.gl_pathv[i], refreshing);
    printf("%zu of %zu files as expected\n", found.gl_pathc - failures, found.gl_pathc);
    globfree(&found);
    return failures ? 1 : 0;
}
