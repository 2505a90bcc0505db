/* Decisions taken down and taken over: what an activation is on each side whatever its operand is,
 * that nothing changes under one's own decisions, and much under wrong ones. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "ir/builder.h"
#include "passes/decisions.h"
#include "tests/support/random_network.h"
#include "tests/support/text_network.h"
#include "tests/unit/harness.h"
#include "tools/execute/executor.h"
#include "tools/execute/synthetic_fill.h"

/* ---- One number ------------------------------------------------------------------------------ */

/* loss = activation(a), the gradient an output. */
static Graph *create_activation(Arena *arena, Op op, double slope) {
    Graph *graph = graph_create(arena, "net", (Geometry){.batch = 1, .space = 1, .image = {1}});
    Builder builder = {.graph = graph};
    graph_add_segment(graph, (Segment){.name = "a", .type = type_scalar(DTYPE_F32)});
    Node *y = build(&builder, op, "y", OPERANDS(build_param(&builder, "a")), NO_ATTRIBUTES);
    if (op == OP_leaky_relu)
        node_set_float(y, "slope", slope);
    build(&builder, OP_output, NULL, OPERANDS(node_result(y, 0)),
          ATTRIBUTES(attribute_text("name", "loss")));
    return graph;
}

typedef struct Side {
    Op op;
    double x, side; /* what is decided; by x itself, `own` */
    double y, slope, own;
} Side;

static void differentiate(Graph *graph, Decisions decisions) {
    PassOptions options = {
        .entry = ENTRY_TRAIN_STEP, .training = true, .expose = true, .decisions = decisions};
    Diagnostics *diagnostics = diagnostics_create(graph->arena, 5);
    pass_autodiff(graph, &options, diagnostics);
    CU_ASSERT_EQUAL_FATAL(diagnostics_error_count(diagnostics), 0);
}

static void expect_output(Interpreter *interpreter, const char *name, double expected) {
    Tensor tensor = interpreter_output(interpreter, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor.data);
    CU_ASSERT_DOUBLE_EQUAL(tensor.data[0], expected, 1e-6);
}

static void expect_side(const Side *side) {
    Arena *arena = arena_create();
    Graph *recorded = create_activation(arena, side->op, 0.25),
          *replayed = graph_copy(recorded, arena);
    differentiate(recorded, DECISIONS_RECORDED);
    differentiate(replayed, DECISIONS_REPLAYED);
    Interpreter *record = interpreter_create(recorded), *replay = interpreter_create(replayed);
    interpreter_param(record, "a").data[0] = interpreter_param(replay, "a").data[0] = side->x;
    CU_ASSERT_PTR_NULL(interpreter_run(record, arena).message);
    expect_output(record, DECISIONS_PREFIX "y", side->own);
    CU_ASSERT_PTR_NULL(
        interpreter_set_input(replay, arena, DECISIONS_PREFIX "y", &side->side, 1).message);
    CU_ASSERT_PTR_NULL(interpreter_run(replay, arena).message);
    expect_output(replay, "loss", side->y);
    expect_output(replay, "grad.a", side->slope);
    interpreter_destroy(record);
    interpreter_destroy(replay);
    arena_destroy(arena);
}

static void each_side_goes_on_beyond_its_kink(void) {
    static const Side sides[] = {
        {OP_relu, 2, 0, 0, 0, 1},          {OP_relu, -2, 1, -2, 1, 0},
        {OP_relu, 0, 1, 0, 1, 0},          {OP_relu6, 7, 0, 0, 0, 2},
        {OP_relu6, 7, 1, 7, 1, 2},         {OP_relu6, -1, 2, 6, 0, 0},
        {OP_relu6, 6, 1, 6, 1, 2},         {OP_relu6, 5, 1, 5, 1, 1},
        {OP_leaky_relu, 4, 0, 1, 0.25, 1}, {OP_leaky_relu, -4, 1, -4, 1, 0},
        {OP_hard_sigmoid, 0, 0, 0, 0, 1},  {OP_hard_sigmoid, 6, 1, 1.5, 1. / 6, 2},
        {OP_hard_sigmoid, -4, 2, 1, 0, 0}, {OP_hard_sigmoid, 3, 1, 1, 1. / 6, 2},
        {OP_hard_swish, 1, 0, 0, 0, 1},    {OP_hard_swish, -6, 1, 3, -1.5, 0},
        {OP_hard_swish, 1, 2, 1, 1, 1},    {OP_hard_swish, -3, 2, -3, 1, 0},
    };
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        expect_side(&sides[i]);
}

/* ---- Networks -------------------------------------------------------------------------------- */

/* A step of a network that has run, or is about to. */
typedef struct Step {
    Arena *arena;
    PassOptions options;
    Graph *graph;
    Executor *executor;
} Step;

static Step step_create(const char *text, const ExecutorKind *kind, Decisions decisions) {
    Step step = {.arena = arena_create(), .options = pass_options_default()};
    Diagnostics *diagnostics = diagnostics_create(step.arena, FRONTEND_ERROR_LIMIT);
    step.options.entry = ENTRY_ACCUMULATE;
    step.options.batch = 2;
    step.options.mask_ratio = 0.5;
    step.options.decoder_width = 32;
    step.options.decisions = decisions;
    step.graph = text_network(step.arena, diagnostics, text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(step.graph);
    CU_ASSERT_TRUE_FATAL(passes_run(step.graph, &step.options, NULL, diagnostics, NULL, NULL));
    ExecutorOptions options = {.threads = 1};
    Status status = kind->create(step.arena, step.graph, &options, &step.executor);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    SyntheticFill fill = {.arena = step.arena,
                          .graph = step.graph,
                          .options = &step.options,
                          .seed = 3,
                          .lively = true,
                          .receivers = {synthetic_to_executor(step.executor)}};
    CU_ASSERT_PTR_NULL_FATAL(synthetic_fill(&fill).message);
    status = step.executor->operations->write_scalar(step.executor, step.arena, "first", 1);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
    return step;
}

static void step_run(Step *step) {
    Status status = step->executor->operations->run(step->executor, step->arena);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

static void step_destroy(Step *step) {
    step->executor->operations->destroy(step->executor);
    arena_destroy(step->arena);
}

/* Hands the decisions on; every `wrong`-th side of an activation is another one, 0: none. Returns
 * how many maps there are. */
static int hand_on(const Step *from, Step *to, size_t wrong) {
    int maps = 0;
    graph_each(to->graph, node) {
        if (node->op != OP_input || !text_starts_with(node_text(node, "name"), DECISIONS_PREFIX))
            continue;
        const char *name = node_text(node, "name");
        ExecutorTensor decision = from->executor->operations->output(from->executor, name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(decision.data);
        double *values = arena_new_array(to->arena, double, decision.count);
        memcpy(values, decision.data, decision.count * sizeof *values);
        for (size_t i = 0; wrong && i < decision.count; i += wrong)
            values[i] = values[i] == 1 ? 0 : 1;
        Status status = to->executor->operations->write_input(to->executor, to->arena, name, values,
                                                              decision.count);
        CU_ASSERT_PTR_NULL_FATAL(status.message);
        maps++;
    }
    return maps;
}

static double one_minus_cosine(const Step *a, const Step *b) {
    ExecutorTensor x = a->executor->operations->state(a->executor, "gradients");
    ExecutorTensor y = b->executor->operations->state(b->executor, "gradients");
    double both = 0, xx = 0, yy = 0;
    CU_ASSERT_EQUAL_FATAL(x.count, y.count);
    for (size_t i = 0; i < x.count; i++) {
        both += x.data[i] * y.data[i];
        xx += x.data[i] * x.data[i];
        yy += y.data[i] * y.data[i];
    }
    return 1 - both / sqrt(xx * yy);
}

static double loss_of(const Step *step) {
    return step->executor->operations->output(step->executor, "loss").data[0];
}

/* The step with its own decisions, and again with what it gave back. */
static int expect_the_same(const char *text, const ExecutorKind *kind, double tolerance) {
    Step own = step_create(text, kind, DECISIONS_OWN);
    Step record = step_create(text, kind, DECISIONS_RECORDED);
    Step replay = step_create(text, kind, DECISIONS_REPLAYED);
    step_run(&own);
    step_run(&record);
    int maps = hand_on(&record, &replay, 0);
    step_run(&replay);
    CU_ASSERT_EQUAL(loss_of(&own), loss_of(&record));
    CU_ASSERT(fabs(one_minus_cosine(&own, &record)) < 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(loss_of(&own), loss_of(&replay), tolerance * fabs(loss_of(&own)));
    CU_ASSERT(fabs(one_minus_cosine(&own, &replay)) < tolerance);
    step_destroy(&own);
    step_destroy(&record);
    step_destroy(&replay);
    return maps;
}

static void own_decisions_change_nothing(void) {
    Arena *arena = arena_create();
    int maps = 0;
    for (uint32_t seed = 0; seed < 12; seed++)
        maps += expect_the_same(random_network(arena, seed), &executor_interpreter, 1e-12);
    maps += expect_the_same(random_network(arena, 1), &executor_kernels, 1e-6);
    CU_ASSERT(maps > 60);
    arena_destroy(arena);
}

/* 1 in 100, where the gradient of an encoder in bf16 may turn by 0.003 (custom-cnn). */
static void wrong_decisions_are_found(void) {
    static const char text[] =
        "network n(image = [3, 32, 32]) {\n"
        "    x = image |> c1: conv(8, kernel = 3, stride = 2, pad = 1) |> n1: batch_norm |> relu\n"
        "    feature x\n"
        "    x = x |> max_pool(3, stride = 2, pad = 1) |> c2: conv(12, kernel = 3, pad = 1)\n"
        "    x = x |> n2: batch_norm |> relu6\n"
        "    feature x\n"
        "}\n";
    for (size_t wrong = 0; wrong <= 100; wrong += 100) {
        Step record = step_create(text, &executor_kernels, DECISIONS_RECORDED);
        Step replay = step_create(text, &executor_kernels, DECISIONS_REPLAYED);
        step_run(&record);
        CU_ASSERT_EQUAL(hand_on(&record, &replay, wrong), 5);
        step_run(&replay);
        CU_ASSERT_EQUAL(one_minus_cosine(&record, &replay) > 0.003, wrong > 0);
        step_destroy(&record);
        step_destroy(&replay);
    }
}

static CU_TestInfo decisions_tests[] = {
    {"each side goes on beyond its kink", each_side_goes_on_beyond_its_kink},
    {"own decisions change nothing", own_decisions_change_nothing},
    {"wrong decisions are found", wrong_decisions_are_found},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {
    {.pName = "decisions", .pTests = decisions_tests},
    CU_SUITE_INFO_NULL,
};
