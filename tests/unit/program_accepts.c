/* Programs that verify and that the passes or the CPU back end refuse all the same, with the name
 * of what they refuse. */
#include <stdio.h>
#include <string.h>

#include "codegen/cpu/cpu.h"
#include "ir/kernel_parse.h"
#include "tests/unit/program_fixture.h"
#include "tests/unit/program_suites.h"

static const char head[] = "sparkc program 1\n"
                           "network a\n"
                           "stage fuse_kernels\n"
                           "geometry {batch=2, image=[4], channels=2}\n"
                           "segment bias : f32[4] {role=bias}\n"
                           "buffer params : f32 params {elements=4}\n"
                           "buffer x : f32 inputs {elements=16}\n"
                           "buffer columns : f32 inputs {elements=1}\n"
                           "buffer y : f32 scratch {elements=16}\n"
                           "buffer z : f32 scratch {elements=16}\n"
                           "buffer h : bf16 scratch {elements=16}\n"
                           "buffer half : bf16 inputs {elements=16}\n";

static const char contract[] = "kernel k : contract x 2\n"
                               "    space dense {extent=[4]}\n"
                               "    contraction {in=2, out=2}\n"
                               "    taps dense {extent=[4]}\n"
                               "    tap 0 [0]\n"
                               "    a %inputs:x {image=8, row=2}\n"
                               "    weight %params:params {tap=4, in=2, out=1}\n"
                               "    expression t0 = operand 0; -> t0\n"
                               "    out %y {image=8, row=2}\n";

static const char gradient[] = "kernel k : contract_weight x 2\n"
                               "    space dense {extent=[4]}\n"
                               "    contraction {in=2, out=2}\n"
                               "    taps dense {extent=[4]}\n"
                               "    tap 0 [0]\n"
                               "    a %inputs:x {image=8, row=2}\n"
                               "    b %inputs:x {image=8, row=2}\n"
                               "    weight %y {tap=4, in=2, out=1}\n";

static const char depthwise[] = "kernel k : window x 2\n"
                                "    space dense {extent=[4]}\n"
                                "    window weighted\n"
                                "    taps dense {extent=[4]}\n"
                                "    tap 0 [0]\n"
                                "    a %inputs:x {image=8, row=2}\n"
                                "    weight %params:params {tap=2, out=1}\n"
                                "    expression t0 = operand 0; -> t0\n"
                                "    out %y {image=8, row=2}\n";

static const char max_grad[] = "kernel k : window x 2\n"
                               "    space dense {extent=[2]}\n"
                               "    window max_grad\n"
                               "    taps dense {extent=[4]} {scale=[2]}\n"
                               "    tap 0 [0], 1 [1]\n"
                               "    a %inputs:x {image=8, row=2}\n"
                               "    b %inputs:x {image=4, row=2}\n"
                               "    out %y {image=8, row=2}\n";

static const char reduction[] = "kernel k : reduce x 2\n"
                                "    space dense {extent=[4]}\n"
                                "    reduction sum over batch\n"
                                "    operand element same %inputs:x {image=8, row=2}\n"
                                "    expression t0 = operand 0; -> t0\n"
                                "    out %y\n";

static const char segments[] = "kernel k : reduce x 4\n"
                               "    space flat\n"
                               "    reduction sum over segment\n"
                               "    operand segment same %inputs:columns\n"
                               "    expression t0 = operand 0; -> t0\n"
                               "    out %y\n";

static Program *read_program(Arena *arena, const char *text) {
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    Program *program = kernel_parse(arena, diagnostics, "a.ir", text, strlen(text));
    program_fixture_expect(diagnostics, program != NULL, text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(program);
    return program;
}

/* The message for a kernel in which `from` is replaced by `to`; "" if it is accepted. */
static const char *refusal_of(Arena *arena, const char *kernel, const char *from, const char *to) {
    const char *found = strstr(kernel, from);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    Program *program =
        read_program(arena, arena_format(arena, "%s%.*s%s%send\n", head, (int)(found - kernel),
                                         kernel, to, found + strlen(from)));
    Status status = cpu_accepts(arena, program);
    return status_fine(status) ? "" : status.message;
}

static void expect_refusal(const char *kernel, const char *from, const char *to, const char *what) {
    Arena *arena = arena_create();
    const char *expected =
        *what ? arena_format(arena, "kernel k: not supported: %s in the code for CPUs", what) : "";
    const char *found = refusal_of(arena, kernel, from, to);
    if (strcmp(found, expected) != 0)
        printf("\n%s -> %s\nexpected %s\nfound %s\n", from, to, expected, found);
    CU_ASSERT_STRING_EQUAL(found, expected);
    arena_destroy(arena);
}

static void what_passes_make_is_accepted(void) {
    expect_refusal(contract, "", "", "");
    expect_refusal(gradient, "", "", "");
    expect_refusal(depthwise, "", "", "");
    expect_refusal(max_grad, "", "", "");
    expect_refusal(reduction, "", "", "");
    expect_refusal(segments, "", "", "");
}

static void contracts_are_refused(void) {
    static const char rows[] =
        "rows behind taps, or gradients, whose channels are not side by side";
    expect_refusal(contract, "    expression", "    prologue t0 = operand 0; -> t0\n    expression",
                   "");
    expect_refusal(contract, "x {image=8, row=2}", "x {image=8, row=1, channel=4}", rows);
    expect_refusal(gradient, "b %inputs:x {image=8, row=2}",
                   "b %inputs:x {image=8, row=1, channel=4}", rows);
    expect_refusal(gradient, "{tap=4, in=2, out=1}", "{tap=4, in=1, out=2}",
                   "a weight whose output channels are not side by side");
    expect_refusal(gradient, "taps dense {extent=[4]}", "taps dense {extent=[4]} {step=[2]}",
                   "the gradient of a weight over some phases only");
}

static void windows_are_refused(void) {
    expect_refusal(depthwise, "x {image=8, row=2}", "x {image=8, row=1, channel=4}",
                   "rows behind taps, or gradients, whose channels are not side by side");
    expect_refusal(depthwise, "{tap=2, out=1}", "{tap=1, out=2}",
                   "a weight whose output channels are not side by side");
    expect_refusal(max_grad, "out %y {image=8, row=2}", "out %y {image=8, row=1, channel=4}",
                   "a result of this kind whose channels are not side by side");
}

static void reductions_are_refused(void) {
    static const char kind[] = "this kind of reduction over this";
    expect_refusal(reduction, "-> t0\n    out %y\n", "-> t0, t0\n    out %y\n    out %z\n",
                   "several sums in one reduction");
    expect_refusal(reduction, "out %y", "out %y {channel=2}",
                   "a result of this kind whose channels are not side by side");
    expect_refusal(reduction,
                   "sum over batch\n    operand element same %inputs:x {image=8, row=2}\n"
                   "    expression t0 = operand 0; -> t0\n    out %y\n",
                   "sum over cell {patch=2}\n"
                   "    operand element same %inputs:x {image=8, row=2}\n"
                   "    expression t0 = operand 0; -> t0\n    out %y {image=2, row=1}\n",
                   kind);
    expect_refusal(reduction,
                   "sum over batch\n    operand element same %inputs:x {image=8, row=2}\n"
                   "    expression t0 = operand 0; -> t0\n    out %y\n",
                   "moments over all\n    operand element same %inputs:x {image=8, row=2}\n"
                   "    expression t0 = operand 0; -> t0\n    out %y\n    out %z\n",
                   kind);
    expect_refusal(segments, "sum over segment", "sum over all",
                   "operands by segment in a kernel of this kind");
}

static void bf16_is_refused(void) {
    static const char weight[] = "a weight in bf16", result[] = "a result of this kind in bf16";
    expect_refusal(contract, "%inputs:x", "%inputs:half", "");
    expect_refusal(contract, "out %y", "out %h", "");
    expect_refusal(contract, "%params:params", "%inputs:half", weight);
    expect_refusal(gradient, "weight %y", "weight %h", weight);
    expect_refusal(depthwise, "%params:params", "%inputs:half", weight);
    expect_refusal(depthwise, "out %y", "out %h", "");
    expect_refusal(max_grad, "out %y", "out %h", result);
    expect_refusal(reduction, "out %y", "out %h", result);
}

/* Its text says that it is planned; nothing else does. */
static void a_planned_program_has_places(void) {
    Arena *arena = arena_create();
    Diagnostics *diagnostics = diagnostics_create(arena, 5);
    Program *program = read_program(arena, arena_format(arena, "%s%send\n", head, contract));
    program->stage = "plan_memory";
    ProgramBuild build = {.arena = arena, .program = program};
    CU_ASSERT_FALSE(program_passes_run(&build, NULL, diagnostics, NULL, NULL));
    CU_ASSERT_STRING_EQUAL(diagnostics_text(diagnostics, false),
                           "error: buffer params has no place in a program of stage plan_memory: "
                           "plan it from an earlier stage\n");
    arena_destroy(arena);
}

CU_TestInfo program_accepts_tests[] = {
    {"what passes make is accepted", what_passes_make_is_accepted},
    {"contracts are refused", contracts_are_refused},
    {"windows are refused", windows_are_refused},
    {"reductions are refused", reductions_are_refused},
    {"bf16 is refused", bf16_is_refused},
    {"a planned program has places", a_planned_program_has_places},
    CU_TEST_INFO_NULL,
};
