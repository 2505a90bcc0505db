/* Values, operators, functions of numbers, scopes. A network is built whose only layer has 1
 * channel if an expression is true, else 2. */
#include "base/text.h"
#include "tests/unit/frontend_suites.h"

static const char *channels_if(const char *before, const char *expr, Arena **arena) {
    *arena = arena_create();
    char *text = arena_format(*arena,
                              "network t(image = [5, 8, 4]) {\n%s\n"
                              "x = max_pool(image, 2) |> c: conv(if %s then 1 else 2, kernel = 1)\n"
                              "feature x }\n",
                              before, expr);
    Built built = build_text(text, NULL);
    if (!built.graph)
        printf("%s\n%s", expr, built.messages);
    const char *shape = built.graph ? segment_shape(&built, "c.weight") : "none";
    shape = arena_format(*arena, "%s", shape);
    built_destroy(&built);
    return shape;
}

static void check_true(const char *before, const char *expr) {
    Arena *arena;
    const char *shape = channels_if(before, expr, &arena);
    if (!text_starts_with(shape, "1x"))
        printf("not true: %s\n", expr);
    CU_ASSERT_STRING_EQUAL(shape, "1x5x1x1");
    arena_destroy(arena);
}

static void check_all(const char *const *expressions, size_t count) {
    for (size_t i = 0; i < count; i++)
        check_true("", expressions[i]);
}

#define CHECK_ALL(list) check_all(list, sizeof list / sizeof *list)

static void numbers(void) {
    static const char *const expressions[] = {
        "7 / 2 == 3.5",     "7 // 2 == 3",      "-7 // 2 == -4",    "7 // -2 == -4",
        "-7 % 3 == 2",      "7 % -3 == -2",     "6 % 3 == 0",       "2 ^ 3 ^ 2 == 512",
        "-2 ^ 2 == -4",     "2 ^ -1 == 0.5",    "2 ^ - - 1 == 2",   "1 - 2 - 3 == -4",
        "8 / 4 / 2 == 1",   "1 + 2 * 3 == 7",   "(1 + 2) * 3 == 9", "3 == 3.0",
        "1e-3 == 0.001",    "0.1 + 0.2 != 0.3", "1 < 2 and 2 <= 2", "2 > 1 and 2 >= 2",
        "1 == 2 or 3 == 3", "not 1 == 2",       "not not true",     "- - 3 == 3",
        "true != false",    "1.5e2 == 150",     "5.5 % 2 == 1.5",   "0 == -0"};
    CHECK_ALL(expressions);
}

static void lists_and_strings(void) {
    static const char *const expressions[] = {"[1, 2][0] == 1",
                                              "[1, 2, 3][-1] == 3",
                                              "[1, 2][-2] == 1",
                                              "[1] + [2, 3] == [1, 2, 3]",
                                              "2..5 == [2, 3, 4]",
                                              "3..3 == []",
                                              "5..2 == []",
                                              "-1..1 == [-1, 0]",
                                              "0..2 + 1 == [0, 1, 2]",
                                              "2 in [1, 2]",
                                              "not 2 in []",
                                              "[1] in [[1], [2]]",
                                              "\"a\" == \"a\"",
                                              "\"a\" != \"b\"",
                                              "[1, 2] != [1, 3]",
                                              "[1, 2] != [1]",
                                              "[[1, \"a\"], [true]] == [[1, \"a\"], [true]]",
                                              "[1, 2,] == [1, 2]",
                                              "[[3, 4], [5, 6]][1][0] == 5",
                                              "(if 1 < 2 then [1] else 3) == [1]"};
    CHECK_ALL(expressions);
}

static void precedence(void) {
    static const char *const expressions[] = {"true or false and false",
                                              "not false and true",
                                              "1 + 1 == 2 and 2 * 2 == 4",
                                              "1..1 + 2 == [1, 2]",
                                              "(if false then 1 else if true then 2 else 3) == 2",
                                              "-2 * -3 == 6",
                                              "2 * 3 ^ 2 == 18"};
    CHECK_ALL(expressions);
}

static void laziness(void) {
    static const char *const expressions[] = {"true or 1 / 0 == 1", "not (false and 1 / 0 == 1)",
                                              "(if true then 1 else 1 / 0) == 1"};
    CHECK_ALL(expressions);
}

static void functions_of_numbers(void) {
    static const char *const expressions[] = {"len([1, 2, 3]) == 3",
                                              "len([]) == 0",
                                              "sum([1, 2, 3.5]) == 6.5",
                                              "sum([]) == 0",
                                              "min([3, 1, 2]) == 1",
                                              "max(3, 7, 2) == 7",
                                              "min(3, 2) == 2",
                                              "abs(-2.5) == 2.5",
                                              "floor(-1.5) == -2",
                                              "ceil(1.2) == 2",
                                              "round(0.5) == 0",
                                              "round(1.5) == 2",
                                              "round(2.5) == 2",
                                              "round(-0.5) == 0",
                                              "linspace(0, 1, 3) == [0, 0.5, 1]",
                                              "linspace(3, 9, 1) == [3]",
                                              "linspace(0, 1, 0) == []",
                                              "linspace(0, 0.1, 2)[1] == 0.1",
                                              "make_divisible(32) == 32",
                                              "make_divisible(33) == 32",
                                              "make_divisible(36) == 40",
                                              "make_divisible(10) == 16",
                                              "make_divisible(3) == 8",
                                              "make_divisible(30, 4) == 32",
                                              "make_divisible(v = 30, divisor = 10) == 30",
                                              "([1, 2] |> len) == 2"};
    CHECK_ALL(expressions);
}

static void tensors(void) {
    check_true("", "image.channels == 5 and image.height == 8 and image.width == 4");
    check_true("y = global_avg_pool(image)", "y.channels == 5 and y.height == 1 and y.width == 1");
    check_true("a, b = image |> split([2, 3])", "a.channels == 2 and b.channels == 3");
    check_true("y = concat(image, image, image)", "y.channels == 15");
    check_true("y = concat([image, image])", "y.channels == 10");
    check_true("y = concat([image], image)", "y.channels == 10");
    check_true("y = image |> flatten", "y.channels == 160");
    check_true("y = 2 * image - 1 / (image + 3)", "y.width == 4");
    check_true("y = image * global_avg_pool(image) - -image", "y.height == 8");
    check_true("y = image * max_pool(image, [8, 4])", "y.height == 8");
    check_true("y = image |> conv_transpose(4, kernel = 3, stride = 2, pad = 1, output_pad = 1)",
               "y.height == 16 and y.width == 8");
    check_true("y = image |> max_pool(3, stride = 2, ceil_mode = true)",
               "y.height == 4 and y.width == 2");
}

static void variables(void) {
    check_true("for i in 0..4 { last = i }", "last == 3 and i == 3");
    check_true("if true { a = 1 } else { a = 2 }", "a == 1");
    check_true("if false { a = 1 } else if true { a = 2 } else { a = 3 }", "a == 2");
    check_true("a = 1 a = a + 1", "a == 2");
    check_true("a, b = [1, [2, 3]] c, d = b", "a == 1 and c == 2 and d == 3");
    check_true("s = 0 for a, b in [[1, 2], [3, 4]] { s = s + a * b }", "s == 14");
    check_true("for i in 0..3 { if i > 0 { b = a } a = i }", "b == 1");
    check_true("relu = 3", "relu == 3 and relu(image).channels == 5");
    check_true("x=1#a comment\r\ny=2", "x + y == 3");
}

CU_TestInfo frontend_values[] = {
    {"numbers", numbers},
    {"lists and strings", lists_and_strings},
    {"precedence", precedence},
    {"laziness", laziness},
    {"functions of numbers", functions_of_numbers},
    {"tensors", tensors},
    {"variables", variables},
    CU_TEST_INFO_NULL,
};
