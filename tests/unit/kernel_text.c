/* The text of programs: it reads back the same, and what is wrong in it is said where it stands. */
#include <stdlib.h>
#include <string.h>

#include "ir/kernel_parse.h"
#include "ir/kernel_print.h"
#include "tests/unit/kernel_fixture.h"
#include "tests/unit/kernel_suites.h"

/* A program in the printer's own form, with one kernel of each kind and a name that needs quotes.
 */
static const char body[] =
    "segment conv.weight : f32[3x3x2x3] from f32[3x2x3x3] {role=weight, layout=conv}\n"
    "state steps : f32[] {init=0}\n"
    "buffer cells : i32 inputs {elements=6}\n"
    "buffer map.1 : i32 scratch {elements=280}\n"
    "buffer params : f32 params {elements=54, offset=0}\n"
    "buffer steps : f32 state {elements=1}\n"
    "buffer x : f32 inputs {elements=192}\n"
    "buffer \"y \\x0A\" : bf16 scratch {elements=144, offset=64}\n"
    "buffer dw : f32 outputs {elements=54}\n"
    "buffer pool : f32 scratch {elements=36}\n"
    "buffer sum : f32 outputs {elements=3}\n"
    "level %map.1 of masked {extent=[8, 12], stride=1} {border=[1, 1]}\n"
    "cells %inputs:cells\n"
    "kernel map.1 : position_map x 1\n"
    "    space masked {extent=[8, 12], stride=1}\n"
    "    map %map.1\n"
    "kernel y : contract x 3 @net/a.cnn:3:4+5\n"
    "    space masked {extent=[4, 6], stride=2}\n"
    "    contraction {in=2, out=3}\n"
    "    taps masked {extent=[8, 12], stride=1} {scale=[2, 2]}\n"
    "    tap 0 [-1, -1], 5 [0, 1], 8 [1, 1]\n"
    "    a %inputs:x {image=96, row=2}\n"
    "    prologue_operand one same %inputs:x\n"
    "    prologue t0 = operand 0; t1 = operand 1; t2 = mul t0 t1; -> t2\n"
    "    weight %params:params {tap=6, in=3, out=1}\n"
    "    operand one first %inputs:x {base=7}\n"
    "    expression t0 = operand 1; t1 = operand 0; t2 = constant 0.1; t3 = mul t1 t2; "
    "t4 = add t0 t3; -> t4, t0\n"
    "    out %\"y \\x0A\" {image=72, row=6}\n"
    "    out %\"y \\x0A\" {base=3, image=72, row=6}\n"
    "kernel dw : contract_weight x 3\n"
    "    space masked {extent=[4, 6], stride=2}\n"
    "    contraction {in=2, out=3}\n"
    "    taps masked {extent=[8, 12], stride=1} {scale=[2, 2]}\n"
    "    tap 0 [-1, -1], 1 [-1, 0], 2 [-1, 1], 3 [0, -1], 4 [0, 0], 5 [0, 1], 6 [1, -1], 7 [1, 0], "
    "8 [1, 1]\n"
    "    a %inputs:x {image=96, row=2}\n"
    "    b %\"y \\x0A\" {image=72, row=6}\n"
    "    weight %outputs:dw {tap=6, in=3, out=1}\n"
    "kernel pool : window x 3 @net/a.cnn:4:1\n"
    "    space dense {extent=[2, 3]}\n"
    "    window average {kernel=[2, 2], stride=[2, 2], pad=[1, 1], count_pad=true}\n"
    "    taps dense {extent=[4, 6]} {step=[1, 1]}\n"
    "    a %inputs:x {image=72, row=3}\n"
    "    operand position shuffle 3 %inputs:x {image=72, row=3} of dense {extent=[4, 6]} "
    "{divide=[1, 2]}\n"
    "    operand position same _ of masked {extent=[8, 12], stride=1}\n"
    "    expression t0 = operand 2; t1 = operand 0; t2 = add t0 t1; t3 = visible 1; "
    "t4 = select t3 t2 t0; -> t4\n"
    "    out %pool {image=18, row=3}\n"
    "kernel sum : reduce x 3\n"
    "    space dense {extent=[2, 3]}\n"
    "    reduction sum over batch\n"
    "    operand element same %pool {image=18, row=3}\n"
    "    expression t0 = operand 0; -> t0\n"
    "    out %outputs:sum\n"
    "kernel steps : map x 1\n"
    "    space one\n"
    "    operand element same %state:steps\n"
    "    expression t0 = operand 0; t1 = constant 1; t2 = add t0 t1; -> t2\n"
    "    out %state:steps\n"
    "end\n";

/* Reads head + text; the messages go to *errors. */
static Program *parse(Arena *arena, const char *text, const char **errors) {
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    const char *whole = arena_format(arena, "%s%s", kernel_fixture_head, text);
    Program *program = kernel_parse(arena, diagnostics, "a.ir", whole, strlen(whole));
    *errors = diagnostics_text(diagnostics, false);
    return program;
}

/* What the printer says of a default that the text above gives. */
static char *as_printed(Arena *arena) {
    char *text = arena_format(arena, "%s%s", kernel_fixture_head, body);
    char *given = strstr(text, " {step=[1, 1]}");
    memmove(given, given + strlen(" {step=[1, 1]}"), strlen(given + strlen(" {step=[1, 1]}")) + 1);
    return text;
}

static void programs_read_back(void) {
    Arena *arena = arena_create();
    const char *errors;
    Program *program = parse(arena, body, &errors);
    CU_ASSERT_STRING_EQUAL(errors, "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(program);
    const char *expected = as_printed(arena), *printed = kernel_print_text(arena, program);
    const char *state = strstr(expected, " {init=0}");
    CU_ASSERT_PTR_NOT_NULL_FATAL(state);
    CU_ASSERT_EQUAL(strncmp(printed, expected, (size_t)(state - expected)), 0);
    CU_ASSERT_STRING_EQUAL(strstr(printed, "buffer cells"), strstr(expected, "buffer cells"));
    if (strcmp(strstr(printed, "buffer cells"), strstr(expected, "buffer cells")) != 0)
        printf("\n%s", printed);
    Diagnostics *diagnostics = diagnostics_create(arena, 20);
    Program *again = kernel_parse(arena, diagnostics, "b.ir", printed, strlen(printed));
    CU_ASSERT_PTR_NOT_NULL_FATAL(again);
    CU_ASSERT_STRING_EQUAL(kernel_print_text(arena, again), printed);
    CU_ASSERT_STRING_EQUAL(again->kernels.items[1]->location.file, "net/a.cnn");
    arena_destroy(arena);
}

/* The body with `from` replaced by `to`. */
static const char *edited(Arena *arena, const char *from, const char *to) {
    const char *found = strstr(body, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return arena_format(arena, "%.*s%s%s", (int)(found - body), body, to, found + strlen(from));
}

static void mistakes_are_shown_where_they_stand(void) {
    static const struct {
        const char *from, *to, *message;
    } rows[] = {
        {"kernel y : contract", "kernel y : contrast",
         "expected a kind of kernel such as map or contract, found contrast"},
        {"kernel y : contract x 3", "kernel y : contract x 0",
         "this number must be in 1 .. 9223372036854775807"},
        {"    out %pool ", "    out %spool ", "no line above declares the buffer scratch:spool"},
        {"    out %outputs:sum", "    out %outlets:sum",
         "expected a region such as scratch, found outlets"},
        {"buffer pool :", "buffer map.1 :", "a second buffer is called scratch:map.1"},
        {"    reduction sum over batch\n", "",
         "kernel sum: a kernel of kind reduce needs a line reduction"},
        {"    reduction sum over batch\n", "    reduction sum over batch\n    map %map.1\n",
         "a kernel of kind reduce has no line map"},
        {"    map %map.1\n", "    map %pool\n", "this buffer is the position map of no level"},
        {"    space one\n", "    space one\n    space one\n", "a second line space in one kernel"},
        {"    space dense {extent=[2, 3]}\n    window", "    window",
         "the line space of this kernel must stand above"},
        {"{extent=[8, 12], stride=1} {scale=[2, 2]}", "{extent=[8, 12], stride=1} {scale=[2]}",
         "scale needs 2 numbers, one per direction"},
        {"5 [0, 1], 8", "5 [0], 8",
         "expected at most 65536 taps of 2 offsets each, as the source above has directions"},
        {"{extent=[2, 3]}\n    window", "{extent=[]}\n    window", "a space has 1 to 3 extents"},
        {"t2 = mul t0 t1; -> t2\n    weight", "t2 = mul t0 t2; -> t2\n    weight",
         "not the number of an earlier operation"},
        {"    a %inputs:x {image=96, row=2}\n    b", "    a %inputs:x {image=96, rows=2}\n    b",
         "view has no attribute rows"},
        {"shuffle 3", "shuffle 0", "this number must be in 1 .. 2147483647"},
        {"kernel y :", "buffer late : f32 scratch {elements=1}\nkernel y :",
         "a buffer must stand before the first kernel"},
        {"kernel map.1 : position_map x 1\n", "",
         "a line space belongs to a kernel, and none has begun"},
        {"end\n", "", "the text stops before its last line, end: it was cut off"},
        {"end\n", "end\nkernel", "the text goes on behind its last line, end"},
        {"end\n", "fin\n", "expected a line of a kernel, the word kernel, or end, found fin"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Arena *arena = arena_create();
        const char *errors;
        CU_ASSERT_PTR_NULL(parse(arena, edited(arena, rows[i].from, rows[i].to), &errors));
        CU_ASSERT_PTR_NOT_NULL(strstr(errors, rows[i].message));
        if (!strstr(errors, rows[i].message))
            printf("\nexpected %s\nfound %s", rows[i].message, errors);
        arena_destroy(arena);
    }
}

static void other_texts_are_named(void) {
    Arena *arena = arena_create();
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"sparkc graph 1\n",
         "this is no program of sparkc: its first line must be sparkc program 1"},
        {"sparkc program 9\n", "written by another version of sparkc"},
        {"", "this file is empty"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Diagnostics *diagnostics = diagnostics_create(arena, 20);
        CU_ASSERT_PTR_NULL(
            kernel_parse(arena, diagnostics, "a.ir", rows[i].text, strlen(rows[i].text)));
        CU_ASSERT_PTR_NOT_NULL(strstr(diagnostics_text(diagnostics, false), rows[i].message));
    }
    arena_destroy(arena);
}

/* Whatever is cut off or overwritten, there is an error or a program that verifies. */
static void damaged_texts_do_no_harm(void) {
    size_t length = strlen(body);
    for (size_t i = 0; i < length; i += 3) {
        Arena *arena = arena_create();
        const char *errors;
        char *text = arena_copy_text(arena, body, length);
        text[i] = "0 9-x[%\n"[i % 8];
        Program *program = parse(arena, text, &errors);
        CU_ASSERT(program || *errors);
        text = arena_copy_text(arena, body, i);
        CU_ASSERT_PTR_NULL(parse(arena, text, &errors));
        arena_destroy(arena);
    }
}

/* ---- The documentation ----------------------------------------------------------------------- */

static char *documentation(Arena *arena) {
    const char *root = getenv("SPARKC_SOURCE"), *error = NULL;
    size_t length;
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    char *page = text_read_file(arena, arena_format(arena, "%s/docs/kernel-ir.md", root), 1 << 20,
                                &length, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(page);
    return page;
}

/* The example at the page's end, its indentation taken away. */
static char *documented_example(Arena *arena) {
    const char *line = strstr(documentation(arena), "    sparkc program 1\n    network");
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    Text example = text_create(arena);
    for (; strncmp(line, "    ", 4) == 0; line = strchr(line, '\n') + 1)
        text_append_bytes(&example, line + 4, strcspn(line, "\n") - 3);
    return example.data;
}

static void the_documented_example_is_true(void) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    const char *text = documented_example(arena);
    Program *program = kernel_parse(arena, diagnostics, "docs", text, strlen(text));
    CU_ASSERT_STRING_EQUAL(diagnostics_text(diagnostics, false), "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(program);
    CU_ASSERT_STRING_EQUAL(kernel_print_text(arena, program), text);
    int64_t forward = kernel_multiply_adds(program, program->kernels.items[2]), backward = 0;
    for (size_t i = 3; i < program->kernels.count; i++)
        backward += kernel_multiply_adds(program, program->kernels.items[i]);
    CU_ASSERT_EQUAL(forward, 2 * 12 * 9 * 2 * 4);
    CU_ASSERT_EQUAL(forward, backward);
    arena_destroy(arena);
}

/* True if a row of one of the page's tables begins with a cell that has this word. */
static bool has_row(Arena *arena, const char *page, const char *name) {
    for (const char *row = strstr(page, "\n| "); row; row = strstr(row + 1, "\n| ")) {
        char *rest, *cell = arena_copy_text(arena, row + 3, strcspn(row + 3, "|"));
        for (char *word = strtok_r(cell, " ,", &rest); word; word = strtok_r(NULL, " ,", &rest))
            if (strcmp(word, name) == 0)
                return true;
    }
    return false;
}

static void every_operation_is_documented(void) {
    Arena *arena = arena_create();
    const char *page = documentation(arena);
    for (int op = 0; op < SCALAR_OP_COUNT; op++) {
        bool found = has_row(arena, page, scalar_name((ScalarOp)op));
        CU_ASSERT(found);
        if (!found)
            printf("\n%s is not in docs/kernel-ir.md", scalar_name((ScalarOp)op));
    }
    arena_destroy(arena);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static const char *key_of(Arena *arena, const char *text, const char *kernel) {
    const char *errors;
    Program *program = parse(arena, text, &errors);
    CU_ASSERT_PTR_NOT_NULL_FATAL(program);
    for (size_t i = 0; i < program->kernels.count; i++)
        if (strcmp(program->kernels.items[i]->name, kernel) == 0)
            return kernel_code_key(arena, program, program->kernels.items[i]);
    return NULL;
}

static void keys_hold_what_code_depends_on(void) {
    static const struct {
        const char *from, *to;
        bool same;
    } rows[] = {
        {"{elements=36}", "{elements=40}", true},
        {"5 [0, 1], 8", "6 [1, 1], 8", true},
        {"{base=7}", "{base=8}", true},
        {"one first", "one repeat 2", false},
        {"operand one first %inputs:x", "operand image first %inputs:x", false},
        {"constant 0.1", "constant 0.2", true},
        {"mul t0 t1; -> t2\n    weight", "add t0 t1; -> t2\n    weight", false},
        {"    prologue_operand one", "    prologue_operand image", false},
        {": bf16 scratch", ": f32 scratch", false},
        {"{in=2, out=3}", "{in=2, out=3, bf16=true}", false},
    };
    Arena *arena = arena_create();
    const char *key = key_of(arena, body, "y");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *other = key_of(arena, edited(arena, rows[i].from, rows[i].to), "y");
        CU_ASSERT_EQUAL(strcmp(key, other) == 0, rows[i].same);
    }
    arena_destroy(arena);
}

CU_TestInfo kernel_text_tests[] = {
    {"programs read back", programs_read_back},
    {"mistakes are shown where they stand", mistakes_are_shown_where_they_stand},
    {"other texts are named", other_texts_are_named},
    {"damaged texts do no harm", damaged_texts_do_no_harm},
    {"the documented example is true", the_documented_example_is_true},
    {"every operation is documented", every_operation_is_documented},
    {"keys hold what code depends on", keys_hold_what_code_depends_on},
    CU_TEST_INFO_NULL,
};
