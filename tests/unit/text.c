/* Names from outside, in a C source. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tests/unit/harness.h"

enum { LONG_NAME = 10240 };

static const char *const names[] = {
    "plain.name", "*/ int x; /*", "a\"b\\c",          "line\nend\r\t",    "\x1b[31mred",
    "?\?/",        "\xff\xc0",     "<script>alert(1)", "../../etc/passwd", "",
    "/*/",        "100%d%s",
};
enum { NAMES = sizeof names / sizeof *names };

static char *long_name(Arena *arena) {
    char *name = arena_alloc(arena, LONG_NAME + 1, 1);
    memset(name, '*', LONG_NAME);
    for (int i = 1; i < LONG_NAME; i += 2)
        name[i] = '/';
    return name;
}

/* What a C compiler reads in a literal without trigraphs. */
static char *read_literal(Arena *arena, const char *literal) {
    Text text = text_create(arena);
    for (; *literal; literal++) {
        CU_ASSERT_FATAL(*literal != '"' && *literal >= ' ' && *literal < 0x7f);
        if (*literal != '\\') {
            text_append_bytes(&text, literal, 1);
            continue;
        }
        CU_ASSERT_FATAL(strspn(literal + 1, "01234567") >= 3);
        char digits[4] = {literal[1], literal[2], literal[3], 0};
        char byte = (char)strtol(digits, NULL, 8);
        text_append_bytes(&text, &byte, 1);
        literal += 3;
    }
    return text.data;
}

static void check_string(Arena *arena, const char *name) {
    Text text = text_create(arena);
    text_append_c_string(&text, name);
    CU_ASSERT_STRING_EQUAL(read_literal(arena, text.data), name);
    CU_ASSERT_PTR_NULL(strstr(text.data, "??"));
}

static void strings_give_the_same_bytes(void) {
    Arena *arena = arena_create();
    for (int i = 0; i < NAMES; i++)
        check_string(arena, names[i]);
    check_string(arena, long_name(arena));
    arena_destroy(arena);
}

static void check_comment(Arena *arena, const char *name) {
    Text text = text_create(arena);
    text_append_c_comment(&text, name);
    CU_ASSERT_PTR_NULL(strstr(text.data, "*/"));
    CU_ASSERT_PTR_NULL(strstr(text.data, "/*"));
    for (const char *at = text.data; *at; at++)
        CU_ASSERT_FATAL((unsigned char)*at >= ' ');
}

static void comments_go_on(void) {
    Arena *arena = arena_create();
    for (int i = 0; i < NAMES; i++)
        check_comment(arena, names[i]);
    check_comment(arena, long_name(arena));
    Text text = text_create(arena);
    text_append_c_comment(&text, "layer1.0.conv1");
    CU_ASSERT_STRING_EQUAL(text.data, "layer1.0.conv1");
    arena_destroy(arena);
}

static void identifiers_are_identifiers(void) {
    Arena *arena = arena_create();
    for (int i = 0; i < NAMES; i++)
        CU_ASSERT(text_is_c_identifier(text_c_identifier(arena, names[i])));
    CU_ASSERT(text_is_c_identifier(text_c_identifier(arena, long_name(arena))));
    CU_ASSERT_STRING_EQUAL(text_c_identifier(arena, "feature.0"), "feature_0");
    CU_ASSERT_STRING_EQUAL(text_c_identifier(arena, "3x"), "x3x");
    CU_ASSERT_FALSE(text_is_c_identifier("a-b"));
    CU_ASSERT_FALSE(text_is_c_identifier("_reserved"));
    CU_ASSERT_FALSE(text_is_c_identifier(""));
    CU_ASSERT_FALSE(text_is_c_identifier("2a"));
    arena_destroy(arena);
}

static CU_TestInfo cases[] = {{"strings give the same bytes", strings_give_the_same_bytes},
                              {"comments go on", comments_go_on},
                              {"identifiers are identifiers", identifiers_are_identifiers},
                              CU_TEST_INFO_NULL};

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("names in C sources", cases),
    CU_SUITE_INFO_NULL,
};
