/* docs/architecture.md says which folder includes from which; here that is compared with the
 * sources. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tests/unit/harness.h"

/* A row of the table: a folder and what it may include, folders or headers. */
typedef struct Arrows {
    Arena *arena;
    const char *root, *folder;
    char *allowed[16];
    bool used[16];
    int count;
} Arrows;

static char *read_file(Arena *arena, const char *path) {
    const char *error = NULL;
    size_t length;
    char *text = text_read_file(arena, path, 1 << 20, &length, &error);
    if (!text)
        printf("\n    %s: %s", path, error);
    CU_ASSERT_FATAL(text != NULL);
    return text;
}

/* Marks the arrow that allows to include `header`; false if none does. */
static bool use_arrow(Arrows *arrows, const char *header) {
    size_t folder = strcspn(header, "/");
    if (strlen(arrows->folder) == folder && memcmp(header, arrows->folder, folder) == 0)
        return true;
    for (int i = 0; i < arrows->count; i++) {
        const char *allowed = arrows->allowed[i];
        size_t length = strlen(allowed);
        if (strcmp(allowed, header) == 0 ||
            (length == folder && memcmp(allowed, header, folder) == 0))
            return arrows->used[i] = true;
    }
    return false;
}

static void check_file(Arrows *arrows, const char *path) {
    static const char include[] = "\n#include \"";
    char *text = read_file(arrows->arena, path);
    for (char *at = strstr(text, include); at; at = strstr(at, include)) {
        at += strlen(include);
        char *header = arena_copy_text(arrows->arena, at, strcspn(at, "\""));
        if (!strchr(header, '/') || use_arrow(arrows, header))
            continue;
        printf("\n    %s includes %s, which docs/architecture.md does not allow", path, header);
        CU_FAIL("an arrow that docs/architecture.md does not have");
    }
}

static void check_folder(Arrows *arrows) {
    static const char *const patterns[] = {"*.[chly]", "*/*.[ch]", "*/*/*.[ch]"};
    size_t files = 0;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        glob_t found = {0};
        char *pattern =
            arena_format(arrows->arena, "%s/%s/%s", arrows->root, arrows->folder, patterns[i]);
        glob(pattern, 0, NULL, &found);
        for (size_t k = 0; k < found.gl_pathc; k++)
            check_file(arrows, found.gl_pathv[k]);
        files += found.gl_pathc;
        globfree(&found);
    }
    CU_ASSERT(files > 0);
    for (int i = 0; i < arrows->count; i++) {
        if (!arrows->used[i])
            printf("\n    %s never includes from %s", arrows->folder, arrows->allowed[i]);
        CU_ASSERT(arrows->used[i]);
    }
}

/* "    passes    base ir runtime/plan.h"; "-" stands for nothing. */
static void check_row(Arena *arena, const char *root, char *line) {
    char *rest;
    Arrows arrows = {.arena = arena, .root = root, .folder = strtok_r(line, " ", &rest)};
    for (char *word = strtok_r(NULL, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (strcmp(word, "-") != 0 && arrows.count < 16)
            arrows.allowed[arrows.count++] = word;
    }
    check_folder(&arrows);
}

static void test_arrows(void) {
    static const char first[] = "\n    base      -\n";
    const char *root = getenv("SPARKC_SOURCE");
    Arena *arena = arena_create();
    root = root ? root : ".";
    char *docs = read_file(arena, arena_format(arena, "%s/docs/architecture.md", root));
    char *table = strstr(docs, first), *rest;
    CU_ASSERT_FATAL(table != NULL);
    char *end = strstr(table + 1, "\n\n");
    CU_ASSERT_FATAL(end != NULL);
    *end = '\0';
    int rows = 0;
    for (char *line = strtok_r(table, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        check_row(arena, root, line);
        rows++;
    }
    CU_ASSERT_EQUAL(rows, 7);
    arena_destroy(arena);
}

static CU_TestInfo tests[] = {{"the arrows between folders", test_arrows}, CU_TEST_INFO_NULL};

CU_SuiteInfo harness_suites[] = {{.pName = "docs", .pTests = tests}, CU_SUITE_INFO_NULL};
