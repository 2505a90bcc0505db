/* Every derivative against central differences of the interpreter's forward op, in double. The
 * cases are data; an op of ir/ops.def that has a derivative and no case here is a failure. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ir/verify.h"
#include "passes/passes.h"
#include "tests/support/op_cases.h"
#include "tests/unit/autodiff_suites.h"

/* --- the comparison --- */

typedef struct Check {
    Arena *arena;
    const char *text;      /* of the case */
    Interpreter *numeric;  /* the forward graph, as it was before any pass */
    Interpreter *analytic; /* the graph with gradients, after a run */
} Check;

static void fail(const Check *check, const char *what, double expected, double actual) {
    fprintf(stderr, "\n%s: %s: %.12g expected, %.12g found\n", check->text, what, expected, actual);
    CU_FAIL("a value or a gradient differs");
}

static double loss_of(Interpreter *interpreter, Arena *arena) {
    CU_ASSERT_PTR_NULL_FATAL(interpreter_run(interpreter, arena).message);
    Tensor loss = interpreter_output(interpreter, "loss");
    CU_ASSERT_PTR_NOT_NULL_FATAL(loss.data);
    return loss.data[0];
}

/* Rounding of the loss divided by the step, and the third derivative times its square, stay far
 * below. */
static bool near(double expected, double actual) {
    return fabs(expected - actual) <= 2e-7 * (1 + fabs(expected));
}

/* The derivative of the loss along a direction, by central differences. */
static double slope(const Check *check, Tensor param, const double *direction) {
    const double step = 1e-5;
    double losses[2];
    double *saved = arena_new_array(check->arena, double, param.count);
    memcpy(saved, param.data, param.count * sizeof *saved);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < param.count; i++)
            param.data[i] = saved[i] + (side ? step : -step) * direction[i];
        losses[side] = loss_of(check->numeric, check->arena);
    }
    memcpy(param.data, saved, param.count * sizeof *saved);
    return (losses[1] - losses[0]) / (2 * step);
}

static void check_direction(const Check *check, const char *segment, const double *direction) {
    Tensor param = interpreter_param(check->numeric, segment);
    Tensor gradient =
        interpreter_output(check->analytic, arena_format(check->arena, "grad.%s", segment));
    CU_ASSERT_PTR_NOT_NULL_FATAL(gradient.data);
    CU_ASSERT_EQUAL_FATAL(gradient.count, param.count);
    double product = 0, expected = slope(check, param, direction);
    for (size_t i = 0; i < param.count; i++)
        product += gradient.data[i] * direction[i];
    if (!near(expected, product))
        fail(check, segment, expected, product);
}

enum { SINGLE_ELEMENTS = 12 };

/* Some elements alone, spread over the segment, then all of them at once in alternating directions.
 */
static void check_segment(const Check *check, const char *segment) {
    size_t count = interpreter_param(check->numeric, segment).count;
    double *direction = arena_new_array(check->arena, double, count);
    size_t gap = count > SINGLE_ELEMENTS ? count / SINGLE_ELEMENTS | 1 : 1;
    for (size_t i = 0; i < count; i += gap) {
        direction[i] = 1;
        check_direction(check, segment, direction);
        direction[i] = 0;
    }
    for (size_t i = 0; i < count; i++)
        direction[i] = (double)(i * 7 % 11) / 5 - 1;
    check_direction(check, segment, direction);
}

static Interpreter *create_filled(Arena *arena, const Graph *graph, bool training) {
    Interpreter *interpreter = interpreter_create(graph);
    op_case_fill(interpreter, arena, graph);
    interpreter_set_training(interpreter, training);
    return interpreter;
}

static void add_gradients(Graph *graph, bool training) {
    PassOptions options = {
        .entry = ENTRY_TRAIN_STEP, .training = training, .stochastic = true, .expose = true};
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 5);
    pass_expand(graph, &options, diagnostics);
    pass_autodiff(graph, &options, diagnostics);
    graph->stage = "autodiff";
    verify_graph(graph, diagnostics);
    if (diagnostics_error_count(diagnostics) > 0)
        fprintf(stderr, "\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_EQUAL_FATAL(diagnostics_error_count(diagnostics), 0);
}

/* The passes change no result of the op under test. */
static void check_results(const Check *check) {
    loss_of(check->numeric, check->arena);
    loss_of(check->analytic, check->arena);
    for (int i = 0; i < OP_MAX_RESULTS; i++) {
        const char *name = arena_format(check->arena, "y%d", i);
        Tensor expected = interpreter_output(check->numeric, name);
        Tensor actual = interpreter_output(check->analytic, name);
        CU_ASSERT_EQUAL_FATAL(expected.count, actual.count);
        for (size_t j = 0; j < expected.count; j++)
            if (fabs(expected.data[j] - actual.data[j]) > 1e-12 * (1 + fabs(expected.data[j])))
                fail(check, name, expected.data[j], actual.data[j]);
    }
}

static void check_case(const OpCase *op_case, bool training) {
    Arena *arena = arena_create();
    Graph *graph = op_case_graph(arena, op_case);
    const Graph *forward = graph_copy(graph, arena);
    add_gradients(graph, training);
    Check check = {.arena = arena,
                   .text = op_case_text(arena, op_case),
                   .numeric = create_filled(arena, forward, training),
                   .analytic = create_filled(arena, graph, training)};
    check_results(&check);
    for (size_t i = 0; i < forward->segments.count; i++)
        check_segment(&check, forward->segments.items[i].name);
    interpreter_destroy(check.numeric);
    interpreter_destroy(check.analytic);
    arena_destroy(arena);
}

/* --- the tests --- */

static void check_list(const OpCases *list, bool training) {
    for (size_t i = 0; i < list->count; i++)
        check_case(&list->cases[i], training);
}

static void test_pointwise(void) {
    check_list(&op_cases_pointwise, true);
}

static void test_contractions(void) {
    check_list(&op_cases_contraction, true);
}

static void test_windows(void) {
    check_list(&op_cases_window, true);
}

static void test_norms(void) {
    check_list(&op_cases_norm, true);
}

static void test_moves(void) {
    check_list(&op_cases_move, true);
}

static void test_activations(void) {
    check_list(&op_cases_activation, true);
}

static void test_composites_in_training(void) {
    check_list(&op_cases_composite, true);
}

static void test_composites_in_evaluation(void) {
    check_list(&op_cases_composite, false);
}

static bool has_case(Op op, bool masked) {
    for (const OpCases *const *list = op_cases_all; *list; list++)
        for (size_t i = 0; i < (*list)->count; i++)
            if ((*list)->cases[i].op == op && op_case_is_masked(&(*list)->cases[i]) == masked)
                return true;
    return false;
}

static bool needs_masked_case(Op op) {
    MaskedRule rule = op_info(op)->masked;
    return rule != MASKED_REFUSED && rule != MASKED_INTERNAL && op != OP_repeat_channels;
}

static void test_every_op_has_cases(void) {
    static const char *const gradients[OP_COUNT] = {
#define OP(name, operands, results, attributes, shape, gradient, masked, flags)                    \
    [OP_##name] = #gradient,
#include "ir/ops.def"
#undef OP
    };
    for (Op op = 0; op < OP_COUNT; op++) {
        bool none = strcmp(gradients[op], "none") == 0, zero = strcmp(gradients[op], "zero") == 0;
        bool composite = op_info(op)->flags & OP_COMPOSITE;
        if ((none && !composite) || zero)
            continue;
        bool fine = (has_case(op, false) || op == OP_densify) &&
                    (!needs_masked_case(op) || has_case(op, true));
        if (!fine)
            fprintf(stderr, "\n%s has no case, or none that is masked\n", op_info(op)->name);
        CU_ASSERT(fine);
    }
}

CU_TestInfo gradient_tests[] = {
    {"every op with a derivative has cases", test_every_op_has_cases},
    {"pointwise", test_pointwise},
    {"contractions", test_contractions},
    {"windows", test_windows},
    {"norms and sums", test_norms},
    {"moves", test_moves},
    {"activations", test_activations},
    {"composites in training", test_composites_in_training},
    {"composites in evaluation", test_composites_in_evaluation},
    CU_TEST_INFO_NULL,
};
