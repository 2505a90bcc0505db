/* What a refused step is blamed on. */
#include "tools/execute/nonfinite.h"

#include <math.h>
#include <string.h>

#include "ir/builder.h"
#include "passes/passes.h"
#include "runtime/weights.h"
#include "tests/support/network.h"
#include "tests/unit/harness.h"
#include "tools/execute/synthetic_fill.h"

static const SmallNetwork network = {
    .levels = 3, .batch = 3, .channels = 3, .height = 32, .width = 16, .batch_norm = true};

/* A compiled program with its inputs set. */
typedef struct Step {
    Arena *arena;
    Graph *graph;
    Executor *executor;
    const CompiledProgram *compiled;
} Step;

static void expect_fine(Status status) {
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

static void set_sources(const Step *step, const PassOptions *options) {
    SyntheticFill fill = {.arena = step->arena,
                          .graph = step->graph,
                          .options = options,
                          .seed = 1,
                          .lively = true,
                          .receivers = {synthetic_to_executor(step->executor)}};
    expect_fine(synthetic_fill_params(&fill));
    expect_fine(synthetic_fill_inputs(&fill, 0));
    expect_fine(synthetic_fill_scalars(&fill, 1));
}

static void compile(Step *step, Precision precision) {
    ExecutorOptions options = {.threads = 2, .precision = precision};
    expect_fine(executor_compiled.create(step->arena, step->graph, &options, &step->executor));
    step->compiled = executor_compiled_program(step->executor);
}

static Step create_step_in(Entry entry, Precision precision) {
    Step step = {.arena = arena_create()};
    PassOptions options = pass_options_default();
    options.entry = entry;
    options.decoder_width = 16;
    step.graph = small_network(step.arena, &network);
    CU_ASSERT_FATAL(
        passes_run(step.graph, &options, NULL, diagnostics_create(step.arena, 5), NULL, NULL));
    compile(&step, precision);
    set_sources(&step, &options);
    return step;
}

static Step create_step(Entry entry) {
    return create_step_in(entry, PRECISION_FP32);
}

static void destroy_step(Step *step) {
    step->executor->operations->destroy(step->executor);
    arena_destroy(step->arena);
}

static float *values(const Step *step, int region, const char *name) {
    float *found = plan_executor_buffer(step->compiled->executor, region, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return found;
}

static float *parameter(const Step *step, const char *name) {
    const Segment *segment = graph_find_segment(step->graph, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(segment);
    return (float *)plan_executor_region(step->compiled->executor, PLAN_PARAMS) + segment->offset;
}

/* Runs the step, which is refused, and asks twice: asking changes nothing. */
static void expect_blamed(Step *step, const char *sentence) {
    plan_executor_run(step->compiled->executor);
    CU_ASSERT_EQUAL(*values(step, PLAN_OUTPUTS, "ok"), 0);
    for (int i = 0; i < 2; i++) {
        const char *found = nonfinite_find(step->arena, step->compiled);
        CU_ASSERT_PTR_NOT_NULL_FATAL(found);
        CU_ASSERT_STRING_EQUAL(found, sentence);
        if (strcmp(found, sentence) != 0)
            fprintf(stderr, "\n%s\n", found);
    }
    destroy_step(step);
}

static void infinite_picture(void) {
    Step step = create_step(ENTRY_TRAIN_STEP);
    values(&step, PLAN_INPUTS, "image")[2 * 32 * 16 * 3 + 17] = INFINITY;
    expect_blamed(&step, "input image, picture 2: 1 of 1536 values is not finite, the first at "
                         "element 17");
}

static void bad_weights(void) {
    Step step = create_step(ENTRY_ACCUMULATE);
    float *weight = parameter(&step, "conv1.weight");
    weight[40] = NAN;
    weight[41] = -INFINITY;
    expect_blamed(&step, "parameter conv1.weight: 2 of 4608 values are not finite, the first at "
                         "element 40");
}

/* The sentence for a step in which the products of the first elements of a weight overflow. What
 * scratch held before does not matter. */
static const char *overflow(Step *step, const char *weight, int count) {
    for (int i = 0; i < count; i++)
        parameter(step, weight)[i] = 3e38F;
    plan_executor_run(step->compiled->executor);
    memset(plan_executor_region(step->compiled->executor, PLAN_SCRATCH), 0xFF,
           (size_t)step->compiled->plan->region_bytes[PLAN_SCRATCH]);
    const char *found = nonfinite_find(step->arena, step->compiled);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return found;
}

static void overflowing_layer_in(Precision precision) {
    Step step = create_step_in(ENTRY_TRAIN_STEP, precision);
    const char *found = overflow(&step, "conv1.weight", 4608);
    CU_ASSERT_PTR_EQUAL(strstr(found, "conv1 (net.cnn:5): "), found);
    CU_ASSERT_PTR_NOT_NULL(strstr(found, " values are not finite, the first at element "));
    CU_ASSERT_PTR_NOT_NULL(strstr(found, " of picture "));
    destroy_step(&step);
}

static void overflowing_layer(void) {
    overflowing_layer_in(PRECISION_FP32);
    overflowing_layer_in(PRECISION_BF16);
}

/* A transposed convolution of stride 2 from 4 x 2 positions: each of four kernels writes a quarter
 * of the result, of 16 channels and 3 pictures. One of the channels overflows. */
static void overflowing_phase(void) {
    Step step = create_step(ENTRY_TRAIN_STEP);
    const char *found = overflow(&step, "dense_decoder.dec.0.up_sample.weight", 16);
    const char *counts = strstr(found, ": ");
    int bad = 0, total = 0;
    CU_ASSERT_PTR_EQUAL(strstr(found, "dense_decoder.dec.0.up_sample"), found);
    CU_ASSERT_EQUAL_FATAL(sscanf(counts, ": %d of %d", &bad, &total), 2);
    CU_ASSERT(bad > 0 && bad <= 3 * 8);
    CU_ASSERT_EQUAL(total, 3 * 8 * 16);
    destroy_step(&step);
}

/* Every square is finite, their sum is not. */
static void overflowing_norm(void) {
    Step step = create_step(ENTRY_APPLY);
    Type flat = type_flat(DTYPE_F32);
    for (int64_t i = 0; i < graph_elements(step.graph, &flat); i++)
        values(&step, PLAN_STATE, "gradients")[i] = 1e19F;
    expect_blamed(&step, "update.square_sum: its value is not finite");
}

static void bad_state(void) {
    Step step = create_step(ENTRY_APPLY);
    int64_t offset = graph_find_segment(step.graph, "norm1.bias")->offset;
    values(&step, PLAN_STATE, "gradients")[offset + 3] = -INFINITY;
    expect_blamed(&step, "state gradients of norm1.bias: 1 of 32 values is not finite, the first "
                         "at element 3");
}

static void *copy_region(const Step *step, int region) {
    size_t bytes = (size_t)step->compiled->plan->region_bytes[region];
    void *copy = arena_new_array(step->arena, char, bytes);
    return memcpy(copy, plan_executor_region(step->compiled->executor, region), bytes);
}

static void expect_region(const Step *step, int region, const void *expected) {
    CU_ASSERT(memcmp(plan_executor_region(step->compiled->executor, region), expected,
                     (size_t)step->compiled->plan->region_bytes[region]) == 0);
}

/* Nothing is blamed, and nothing moves; a state that decides nothing may be anything. */
static void nothing(void) {
    static const Entry entries[] = {ENTRY_TRAIN_STEP, ENTRY_ACCUMULATE, ENTRY_APPLY,
                                    ENTRY_RECONSTRUCT, ENTRY_FEATURES};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        Step step = create_step(entries[i]);
        values(&step, PLAN_STATE, "norm1.num_batches_tracked")[0] = NAN;
        plan_executor_run(step.compiled->executor);
        void *params = copy_region(&step, PLAN_PARAMS), *state = copy_region(&step, PLAN_STATE);
        CU_ASSERT_PTR_NULL(nonfinite_find(step.arena, step.compiled));
        expect_region(&step, PLAN_PARAMS, params);
        expect_region(&step, PLAN_STATE, state);
        destroy_step(&step);
    }
}

/* loss = sum of minimum(1 / zero, 5) + sum of x x, where 1 / zero is kept as an output as well. */
static Graph *harmless_graph(Arena *arena) {
    Geometry geometry = {.batch = 1, .space = 1, .image = {1}, .channels = 1};
    Graph *graph = graph_create(arena, "harmless", geometry);
    Builder builder = {.graph = graph};
    Type type = type_vector(DTYPE_F32, 4);
    Value *zero = build_stated(&builder, OP_input, "zero", type, NULL, 0,
                               ATTRIBUTES(attribute_text("name", "zero")));
    Value *x = build_stated(&builder, OP_input, "x", type, NULL, 0,
                            ATTRIBUTES(attribute_text("name", "x")));
    Value *one = build_constant(&builder, 1), *five = build_constant(&builder, 5);
    Value *inverse = build_binary(&builder, OP_div, "inverse", one, zero);
    Value *bounded = build_binary(&builder, OP_minimum, "bounded", inverse, five);
    Value *square = build_binary(&builder, OP_mul, "square", x, x);
    Value *loss =
        build_binary(&builder, OP_add, "loss", build_sum(&builder, "fives", bounded, "all"),
                     build_sum(&builder, "squares", square, "all"));
    build(&builder, OP_output, NULL, OPERANDS(inverse), ATTRIBUTES(attribute_text("name", "kept")));
    build(&builder, OP_output, NULL, OPERANDS(loss), ATTRIBUTES(attribute_text("name", "loss")));
    graph->stage = "dce";
    return graph;
}

static void harmless_infinities(void) {
    Step step = {.arena = arena_create()};
    step.graph = harmless_graph(step.arena);
    compile(&step, PRECISION_FP32);
    plan_executor_run(step.compiled->executor);
    CU_ASSERT(isinf(*values(&step, PLAN_OUTPUTS, "kept")));
    CU_ASSERT_EQUAL(*values(&step, PLAN_OUTPUTS, "loss"), 20);
    CU_ASSERT_PTR_NULL(nonfinite_find(step.arena, step.compiled));
    for (int i = 0; i < 4; i++)
        values(&step, PLAN_INPUTS, "x")[i] = 1.5e19F;
    const char *found = nonfinite_find(step.arena, step.compiled);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    CU_ASSERT_STRING_EQUAL(found, "squares: its value is not finite");
    destroy_step(&step);
}

static CU_TestInfo tests[] = {
    {"an infinite picture", infinite_picture},
    {"weights that are not finite", bad_weights},
    {"a layer that overflows", overflowing_layer},
    {"a part of a layer that overflows", overflowing_phase},
    {"a norm that overflows", overflowing_norm},
    {"a state that is not finite", bad_state},
    {"a step that counts", nothing},
    {"infinities that reach nothing", harmless_infinities},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("what is not finite", tests),
    CU_SUITE_INFO_NULL,
};
