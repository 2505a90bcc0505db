/* Convolutions of densified maps, split into visible rows and the mask's pattern: every output and
 * gradient of a pretraining step is what it was before, and compiled code computes it. */
#include <math.h>

#include "passes/passes.h"
#include "tests/support/network.h"
#include "tests/support/trial.h"
#include "tests/unit/compiled_suites.h"
#include "tests/unit/kernel_fixture.h"

/* A step up to its gradients; a limit of 0 keeps the pass from splitting, -1 does not. */
static Graph *step(Arena *arena, double mask_ratio, Rewrites *rewrites) {
    const SmallNetwork network = {
        .levels = 3, .batch = 2, .channels = 3, .height = 24, .width = 32, .batch_norm = true};
    Graph *graph = small_network(arena, &network);
    PassOptions options = pass_options_default();
    options.decoder_width = 32;
    options.expose = true;
    options.mask_ratio = mask_ratio;
    options.rewrites = rewrites;
    CU_ASSERT_FATAL(
        passes_run(graph, &options, "autodiff", diagnostics_create(arena, 5), NULL, NULL));
    return graph;
}

/* Convolutions and gradients between masked and dense maps. */
static int count_dense(const Graph *graph) {
    int count = 0;
    graph_each(graph, node) {
        count += op_attribute_index(node->op, "dense") >= 0 && node_bool(node, "dense");
    }
    return count;
}

static Interpreter *run(Arena *arena, const Graph *graph) {
    Interpreter *interpreter = interpreter_create(graph);
    trial_fill_interpreter(arena, graph, interpreter);
    CU_ASSERT_PTR_NULL_FATAL(interpreter_run(interpreter, arena).message);
    return interpreter;
}

/* The largest difference between two outputs, beside the largest number of the first. */
static double difference(Tensor a, Tensor b) {
    double most = 0, largest = 0;
    CU_ASSERT_EQUAL_FATAL(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        most = fmax(most, fabs(a.data[i] - b.data[i]));
        largest = fmax(largest, fabs(a.data[i]));
    }
    CU_ASSERT(largest < 1e6);
    return most / (largest + 1e-30);
}

static void expect_same(Arena *arena, const Graph *before, const Graph *after) {
    Interpreter *a = run(arena, before), *b = run(arena, after);
    int compared = 0;
    graph_each(before, node) {
        if (node->op != OP_output)
            continue;
        const char *name = node_text(node, "name");
        double off = difference(interpreter_output(a, name), interpreter_output(b, name));
        if (!(off < 1e-9))
            fprintf(stderr, "\n%s differs by %g of its largest number", name, off);
        CU_ASSERT(off < 1e-9);
        compared++;
    }
    CU_ASSERT(compared > 10);
    interpreter_destroy(a);
    interpreter_destroy(b);
}

static void test_same_function(void) {
    static const double ratios[] = {0.6, 0.9, 0.2};
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        Arena *arena = arena_create();
        Rewrites none = {.limit = 0}, all = {.limit = -1};
        Graph *before = step(arena, ratios[i], &none), *after = step(arena, ratios[i], &all);
        CU_ASSERT_EQUAL(count_dense(before), 0);
        CU_ASSERT_EQUAL(all.done, 3);
        CU_ASSERT_EQUAL(count_dense(after), 3 * 3); /* forward, to the input, to the weight */
        expect_same(arena, before, after);
        arena_destroy(arena);
    }
}

static void test_nothing_hidden(void) {
    Arena *arena = arena_create();
    CU_ASSERT_EQUAL(count_dense(step(arena, 0, NULL)), 0);
    arena_destroy(arena);
}

static const char *describe(Arena *arena, const void *context, const char *output) {
    (void)arena, (void)context;
    return output;
}

static void test_compiled(void) {
    Arena *arena = arena_create();
    Trial *trial = trial_create(arena, step(arena, 0.6, NULL));
    Compiled *compiled = compiled_create(trial->program, &(CompiledOptions){0});
    trial_fill(arena, trial->graph, compiled->values, trial->program);
    compiled_run(compiled);
    trial_compare(trial, compiled->values, "split", describe, NULL);
    compiled_destroy(compiled);
    trial_destroy(trial);
    arena_destroy(arena);
}

enum { ROWS = FIXTURE_BATCH * FIXTURE_HEIGHT * FIXTURE_WIDTH, VISIBLE = ROWS / 2 };

/* Three taps of all positions, from visible rows. */
static KernelFixture line_of_taps(Arena *arena, int channels, bool bf16) {
    return kernel_fixture_create(arena_format(
        arena,
        "%sbuffer x : f32 inputs {elements=%d}\nbuffer w : f32 inputs {elements=%d}\n"
        "buffer y : f32 outputs {elements=%d}\n%s"
        "kernel y : contract x %d\n    space dense {extent=[8, 12]}\n"
        "    contraction {in=%d, out=%d%s}\n    taps masked {extent=[8, 12], stride=1}\n"
        "    tap 0 [0, -1], 1 [0, 0], 2 [0, 1]\n    a %%inputs:x {image=%d, row=%d}\n"
        "    weight %%inputs:w {tap=%d, in=%d, out=1}\n"
        "    expression t0 = operand 0; -> t0\n    out %%outputs:y {image=%d, row=%d}\n",
        kernel_fixture_levels, VISIBLE * channels, 3 * channels * channels, ROWS * channels,
        kernel_fixture_maps, channels, channels, channels, bf16 ? ", bf16=true" : "",
        VISIBLE / FIXTURE_BATCH * channels, channels, channels * channels, channels,
        ROWS / FIXTURE_BATCH * channels, channels));
}

/* One times infinity is infinity; zero times infinity, which a hidden tap is if it is multiplied,
 * is no number. So if it is not, sums are infinite where a tap finds a row, and zero elsewhere. */
static void check_hidden_taps(int channels, bool bf16, bool multiplied) {
    Arena *arena = arena_create();
    KernelFixture fixture = line_of_taps(arena, channels, bf16);
    Type type = type_plain(DTYPE_F32, 1, (int64_t[]){(int64_t)ROWS * channels});
    Compiled *compiled = compiled_create(fixture.program, &(CompiledOptions){0});
    float *x = plan_executor_buffer(compiled->executor, PLAN_INPUTS, "x");
    float *w = plan_executor_buffer(compiled->executor, PLAN_INPUTS, "w");
    for (int i = 0; i < VISIBLE * channels; i++)
        x[i] = 1;
    for (int i = 0; i < 3 * channels * channels; i++)
        w[i] = INFINITY;
    kernel_fixture_give_cells(compiled->values, arena);
    compiled_run(compiled);
    Tensor y = kernel_interpreter_output(compiled->values, arena, "y", &type);
    int infinite = 0, zero = 0;
    for (size_t i = 0; i < y.count; i++) {
        infinite += isinf(y.data[i]) != 0;
        zero += y.data[i] == 0;
    }
    CU_ASSERT_EQUAL(infinite > 0 && zero > 0, !multiplied);
    CU_ASSERT_EQUAL(infinite + zero == ROWS * channels, !multiplied);
    compiled_destroy(compiled);
    kernel_fixture_destroy(&fixture);
    arena_destroy(arena);
}

static void test_hidden_taps_are_not_multiplied(void) {
    check_hidden_taps(8, false, false);
    check_hidden_taps(KERNEL_SKIP_DENSE_BF16, true, false);
    check_hidden_taps(KERNEL_SKIP_DENSE_BF16 - 1, true, true);
}

/* A kernel between visible rows, or from them to all positions, skips hidden taps from so many
 * channels on. */
static void test_enough_channels(void) {
    static const struct {
        KernelKind kind;
        SpaceKind space;
        int64_t channels;
        int taps;
        bool bf16, skips;
    } rows[] = {
        {KERNEL_CONTRACT, SPACE_DENSE, 1, 1, false, true},
        {KERNEL_CONTRACT, SPACE_DENSE, 31, 9, true, false},
        {KERNEL_CONTRACT, SPACE_DENSE, 32, 1, true, true},
        {KERNEL_CONTRACT, SPACE_MASKED, 1, 9, false, true},
        {KERNEL_CONTRACT, SPACE_MASKED, 256, 1, false, false},
        {KERNEL_CONTRACT, SPACE_MASKED, 127, 9, true, false},
        {KERNEL_CONTRACT, SPACE_MASKED, 128, 9, true, true},
        {KERNEL_CONTRACT, SPACE_MASKED, 128, 1, true, false},
        {KERNEL_CONTRACT_WEIGHT, SPACE_DENSE, 12, 9, false, false},
        {KERNEL_CONTRACT_WEIGHT, SPACE_DENSE, 16, 9, false, true},
        {KERNEL_CONTRACT_WEIGHT, SPACE_DENSE, 36, 9, true, false},
        {KERNEL_CONTRACT_WEIGHT, SPACE_DENSE, 40, 9, true, true},
        {KERNEL_CONTRACT_WEIGHT, SPACE_MASKED, 128, 9, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Kernel kernel = {.kind = rows[i].kind, .space = {.kind = rows[i].space}};
        kernel.contraction = (Contraction){.in = rows[i].channels, .groups = 1};
        kernel.contraction.bf16 = rows[i].bf16;
        kernel.contraction.taps.tap_count = rows[i].taps;
        kernel.contraction.taps.source.kind = SPACE_MASKED;
        CU_ASSERT_EQUAL(kernel_skips_hidden(&kernel), rows[i].skips);
        kernel.contraction.taps.source.kind = SPACE_DENSE;
        CU_ASSERT_FALSE(kernel_skips_hidden(&kernel));
    }
}

CU_TestInfo compiled_split_tests[] = {
    {"the same function and gradients", test_same_function},
    {"nothing is split where nothing is hidden", test_nothing_hidden},
    {"compiled code computes it", test_compiled},
    {"hidden taps are not multiplied", test_hidden_taps_are_not_multiplied},
    {"hidden taps are skipped from so many channels on", test_enough_channels},
    CU_TEST_INFO_NULL,
};
