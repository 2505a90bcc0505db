/* The expand pass beyond values, which tests/unit/gradients.c compares: what it commits, refuses,
 * leaves out. */
#include <string.h>

#include "passes/passes.h"
#include "tests/support/op_case.h"
#include "tests/unit/autodiff_suites.h"

static const OpCase batch_norm = {
    OP_batch_norm, "!f32<2x4x6x3>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]", "momentum=0.3"};
static const OpCase masked_batch_norm = {
    OP_batch_norm, "!f32<2x4x6x3 masked 2>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]",
    "momentum=0.3"};

static Diagnostics *expand(Graph *graph, bool training, bool stochastic) {
    PassOptions options = {.training = training, .stochastic = stochastic};
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 5);
    pass_expand(graph, &options, diagnostics);
    return diagnostics;
}

static int count_ops(const Graph *graph, Op op) {
    int count = 0;
    graph_each(graph, node) count += node->op == op;
    return count;
}

/* The elements of the input "x0" that count: the visible ones, of channel c. */
typedef struct Sample {
    double values[96];
    int count;
} Sample;

static void gather_sample(void *context, const Value *value, const Tensor *tensor) {
    if (strcmp(value->name, "x0") != 0)
        return;
    Sample *sample = context;
    for (size_t i = 1; i < tensor->count; i += 3)
        if (tensor->data[i] != 0) /* hidden positions are held as zeros */
            sample->values[sample->count++] = tensor->data[i];
}

/* Channel 1 of the running statistics after a step, against their definition. */
static void check_running_statistics(const OpCase *op_case, int values) {
    Arena *arena = arena_create();
    Graph *graph = op_case_graph(arena, op_case);
    expand(graph, true, true);
    Interpreter *interpreter = interpreter_create(graph);
    op_case_fill(interpreter, arena, graph);
    double old_mean = interpreter_state(interpreter, "x1").data[1];
    double old_variance = interpreter_state(interpreter, "x2+").data[1];
    double old_batches = interpreter_state(interpreter, "x3").data[0];
    Sample sample = {.count = 0};
    interpreter_observe(interpreter, gather_sample, &sample);
    CU_ASSERT_PTR_NULL_FATAL(interpreter_run(interpreter, arena).message);
    CU_ASSERT_EQUAL_FATAL(sample.count, values);
    double mean = 0, squares = 0;
    for (int i = 0; i < values; i++)
        mean += sample.values[i] / values;
    for (int i = 0; i < values; i++)
        squares += (sample.values[i] - mean) * (sample.values[i] - mean);
    CU_ASSERT_DOUBLE_EQUAL(interpreter_state(interpreter, "x1").data[1],
                           0.7 * old_mean + 0.3 * mean, 1e-13);
    CU_ASSERT_DOUBLE_EQUAL(interpreter_state(interpreter, "x2+").data[1],
                           0.7 * old_variance + 0.3 * squares / (values - 1), 1e-13);
    CU_ASSERT_DOUBLE_EQUAL(interpreter_state(interpreter, "x3").data[0], old_batches + 1, 0);
    interpreter_destroy(interpreter);
    arena_destroy(arena);
}

static void test_running_statistics(void) {
    check_running_statistics(&batch_norm, 2 * 4 * 6);
    check_running_statistics(&masked_batch_norm, 2 * 3 * 2 * 2);
}

static void test_evaluation_commits_nothing(void) {
    Arena *arena = arena_create();
    Graph *graph = op_case_graph(arena, &batch_norm);
    expand(graph, false, true);
    CU_ASSERT_EQUAL(count_ops(graph, OP_commit), 0);
    CU_ASSERT_EQUAL(count_ops(graph, OP_moments), 0);
    CU_ASSERT_EQUAL(count_ops(graph, OP_normalise), 1);
    arena_destroy(arena);
}

/* The message for a batch norm over this type, or "" if it is fine. */
static const char *complaint(Arena *arena, const char *type, bool training) {
    const char *operands =
        arena_format(arena, "!f32<%s>, $f32[3], $+f32[3], $f32[], f32[3], f32[3]", type);
    Graph *graph = op_case_graph(arena, &(OpCase){OP_batch_norm, operands, ""});
    return diagnostics_text(expand(graph, training, true), false);
}

static void test_batch_norm_over_one_value(void) {
    Arena *arena = arena_create();
    CU_ASSERT_STRING_EQUAL(complaint(arena, "1x1x1x3", true),
                           "error: batch_norm over one value: batch_norm has a batch of 1 and one "
                           "position, and statistics need at least two values per channel\n"
                           "  hint: take a larger batch or a larger input\n");
    CU_ASSERT_STRING_NOT_EQUAL(complaint(arena, "1x3 per_image", true), "");
    CU_ASSERT_STRING_EQUAL(complaint(arena, "1x1x1x3", false), "");
    CU_ASSERT_STRING_EQUAL(complaint(arena, "2x3 per_image", true), "");
    CU_ASSERT_STRING_EQUAL(complaint(arena, "1x1x2x3", true), "");
    arena_destroy(arena);
}

static void test_statistics_must_be_states(void) {
    Arena *arena = arena_create();
    OpCase op_case = {OP_batch_norm, "f32<2x4x6x3>, f32[3], $+f32[3], $f32[]", ""};
    Graph *graph = op_case_graph(arena, &op_case);
    CU_ASSERT_STRING_EQUAL(diagnostics_text(expand(graph, true, true), false),
                           "error: batch_norm: running_mean of batch_norm must be a state\n");
    arena_destroy(arena);
}

static int random_ops(const char *attributes, bool training, bool stochastic) {
    Arena *arena = arena_create();
    Graph *graph = op_case_graph(arena, &(OpCase){OP_drop_path, "f32<2x4x6x3>", attributes});
    expand(graph, training, stochastic);
    int count = count_ops(graph, OP_bernoulli);
    CU_ASSERT_EQUAL(count_ops(graph, OP_drop_path), 0);
    arena_destroy(arena);
    return count;
}

static void test_drop_path_is_identity(void) {
    CU_ASSERT_EQUAL(random_ops("rate=0.1 stream=0", true, true), 1);
    CU_ASSERT_EQUAL(random_ops("rate=0.1 stream=0", true, false), 0);
    CU_ASSERT_EQUAL(random_ops("rate=0.1 stream=0", false, true), 0);
    CU_ASSERT_EQUAL(random_ops("rate=0 stream=0", true, true), 0);
}

/* What stands for a composite has its name. */
static void test_names_stay(void) {
    Arena *arena = arena_create();
    Graph *graph = op_case_graph(arena, &(OpCase){OP_grn, "f32<2x4x6x3>, f32[3], f32[3]", ""});
    expand(graph, true, true);
    Value *y = graph_find_output(graph, "y0")->operands[0];
    CU_ASSERT_STRING_EQUAL(y->name, "grn");
    CU_ASSERT_EQUAL(y->node->op, OP_add);
    arena_destroy(arena);
}

CU_TestInfo expand_tests[] = {
    {"running statistics are committed", test_running_statistics},
    {"evaluation commits nothing", test_evaluation_commits_nothing},
    {"batch norm over one value is refused", test_batch_norm_over_one_value},
    {"running statistics must be states", test_statistics_must_be_states},
    {"drop_path is the identity", test_drop_path_is_identity},
    {"names stay", test_names_stay},
    CU_TEST_INFO_NULL,
};
