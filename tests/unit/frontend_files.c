/* Includes from memory, limits of the input's size, texts at the edge of the grammar. */
#include <string.h>

#include "base/text.h"
#include "tests/unit/frontend_suites.h"

static const char *read_all(Arena *arena, const FrontendMemoryFile *files, size_t count,
                            FrontendFile **file) {
    FrontendMemory memory = {files, count};
    FrontendAccess access = frontend_memory_access(&memory);
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    *file = frontend_read(arena, diagnostics, files[0].path, &access);
    return diagnostics_text(diagnostics, false);
}

#define FILE_OF(path, text)                                                                        \
    { path, text, sizeof text - 1 }

static void includes_once_each(void) {
    static const FrontendMemoryFile files[] = {
        FILE_OF("nets/a.cnn", "include \"sub/b.cnn\" include \"sub/c.cnn\" include \"sub/b.cnn\"\n"
                              "network n(image = [1, 4, 4]) { feature b(image) }"),
        FILE_OF("nets/sub/b.cnn", "include \"c.cnn\" block b(x) { return c(x) }"),
        FILE_OF("nets/sub/c.cnn", "include \"b.cnn\" block c(x) { return max_pool(x, 2) }\n"
                                  "network inner(image = [1, 4, 4]) { feature c(image) }"),
    };
    Arena *arena = arena_create();
    FrontendFile *file;
    CU_ASSERT_STRING_EQUAL(read_all(arena, files, 3, &file), "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    const FrontendNetwork *chosen = frontend_choose(file, diagnostics, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(chosen);
    CU_ASSERT_STRING_EQUAL(chosen->name, "n");
    arena_destroy(arena);
}

/* The flattened text alone builds the graph that the files build. */
static void flattens(void) {
    static const FrontendMemoryFile files[] = {
        FILE_OF("nets/a.cnn",
                "\xEF\xBB\xBFinclude # a comment\n\"sub/b.cnn\" include \"sub/c.cnn\"\n"
                "network n(image = [1, 4, 4]) { feature b(image) }"),
        FILE_OF("nets/sub/b.cnn", "include \"c.cnn\" block b(x) { return c(x) }"),
        FILE_OF("nets/sub/c.cnn", "# tail of c\nblock c(x) { return max_pool(x, 2) } # end"),
    };
    Arena *arena = arena_create();
    FrontendFile *file;
    CU_ASSERT_STRING_EQUAL(read_all(arena, files, 3, &file), "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    const char *text = frontend_flatten(file);
    CU_ASSERT_STRING_EQUAL(text, " \nnetwork n(image = [1, 4, 4]) { feature b(image) }\n"
                                 " block b(x) { return c(x) }\n"
                                 "# tail of c\nblock c(x) { return max_pool(x, 2) } # end");
    FrontendMemoryFile flat = {"flat.cnn", text, strlen(text)};
    CU_ASSERT_STRING_EQUAL(read_all(arena, &flat, 1, &file), "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    Diagnostics *diagnostics = diagnostics_create(arena, FRONTEND_ERROR_LIMIT);
    const Graph *graph = frontend_build(file, diagnostics, &(FrontendOptions){0});
    CU_ASSERT_PTR_NOT_NULL_FATAL(graph);
    CU_ASSERT_STRING_EQUAL(graph->network, "n");
    CU_ASSERT_STRING_EQUAL(frontend_flatten(file), text);
    arena_destroy(arena);
}

static void too_many_files(void) {
    Arena *arena = arena_create();
    FrontendMemoryFile *files = arena_new_array(arena, FrontendMemoryFile, 102);
    for (size_t i = 0; i < 102; i++) {
        const char *text = arena_format(arena, "include \"f%zu.cnn\"\n", i + 1);
        files[i] = (FrontendMemoryFile){arena_format(arena, "f%zu.cnn", i), text, strlen(text)};
    }
    FrontendFile *file;
    const char *messages = read_all(arena, files, 102, &file);
    CU_ASSERT_PTR_NULL(file);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(messages, "f99.cnn:1:9: error: more than 100 files are included"));
    arena_destroy(arena);
}

static void too_large_file(void) {
    Arena *arena = arena_create();
    size_t size = (1 << 20) + 1;
    char *text = arena_alloc(arena, size + 1, 1);
    memset(text, ' ', size);
    FrontendMemoryFile files[] = {{"f.cnn", text, size}};
    FrontendFile *file;
    CU_ASSERT_STRING_EQUAL(read_all(arena, files, 1, &file),
                           "error: f.cnn cannot be read: is larger than 1048576 bytes\n");
    files[0].length--;
    CU_ASSERT_STRING_EQUAL(read_all(arena, files, 1, &file), "");
    CU_ASSERT_PTR_NOT_NULL(file);
    arena_destroy(arena);
}

static void byte_order_mark(void) {
    Built built = build_text("\xEF\xBB\xBFnetwork n(image = [1, 4, 4]) { feature imag }", NULL);
    CU_ASSERT_PTR_NULL(built.file);
    CU_ASSERT_PTR_NOT_NULL(strstr(built.messages, "net.cnn:1:40: error: no variable, block or op"));
    CU_ASSERT_PTR_NOT_NULL(strstr(built.messages, "    1 | network n("));
    built_destroy(&built);
    built = build_quiet(
        "\xEF\xBB\xBFnetwork n(image = [1, 4, 4]) { feature max_pool(image, 2) }\r\n", NULL);
    built_destroy(&built);
}

/* Text that is `count` times `piece` between `before` and `after`, in a network's body. */
static Built build_repeated(const char *before, const char *piece, size_t count,
                            const char *after) {
    Arena *arena = arena_create();
    Text text = text_create(arena);
    text_append(&text, "network n(image = [1, 4, 4]) {\n%s", before);
    for (size_t i = 0; i < count; i++)
        text_append_bytes(&text, piece, strlen(piece));
    text_append(&text, "%s\nfeature max_pool(image, 2)\n}\n", after);
    Built built = build_text(text.data, NULL);
    arena_destroy(arena);
    return built;
}

static void long_chains(void) {
    static const char *const chains[][3] = {
        {"a = 1", " + 1", ""},
        {"a = true", " and true", ""},
        {"a = [1", ", 1", "]"},
        {"a = image", " |> relu", " |> identity head_used = a + 1"},
        {"if false { a = 1 }", " else if false { a = 2 }", ""},
        {"a = ", "if false then 1 else ", "2"},
    };
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        Built built = build_repeated(chains[i][0], chains[i][1], 20000, chains[i][2]);
        CU_ASSERT_PTR_NOT_NULL(built.graph);
        if (!built.graph)
            printf("%s: %.300s\n", chains[i][1], built.messages);
        built_destroy(&built);
    }
}

/* What nests too deep is refused, wherever the depth comes from. */
static void deep_nesting(void) {
    static const char *const nests[][2] = {{"a = ", "("},
                                           {"a = ", "["},
                                           {"a = ", "- "},
                                           {"a = ", "not "},
                                           {"a = ", "2 ^ "},
                                           {"a = ", "relu("},
                                           {"a = ", "if true then "},
                                           {"", "if true { "},
                                           {"a = [1]", "[0]"},
                                           {"a = image", ".width"}};
    for (size_t i = 0; i < sizeof nests / sizeof *nests; i++) {
        Built built = build_repeated(nests[i][0], nests[i][1], 50000, " 1");
        CU_ASSERT_PTR_NULL(built.file);
        bool explained = strstr(built.messages, "nested more than") != NULL;
        if (!explained)
            printf("%s: %.300s\n", nests[i][1], built.messages);
        CU_ASSERT_TRUE(explained);
        built_destroy(&built);
    }
}

CU_TestInfo frontend_files[] = {
    {"includes once each", includes_once_each},
    {"a file and its includes become one text that builds the same", flattens},
    {"too many files", too_many_files},
    {"too large file", too_large_file},
    {"byte-order mark", byte_order_mark},
    {"long chains", long_chains},
    {"deep nesting", deep_nesting},
    CU_TEST_INFO_NULL,
};
