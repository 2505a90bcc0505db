/* Convolutions of densified maps, split into visible rows and the mask's pattern: every output and
 * gradient of a pretraining step is what it was before, and compiled code computes it. */
#include <math.h>

#include "passes/passes.h"
#include "tests/support/network.h"
#include "tests/support/trial.h"
#include "tests/unit/compiled_suites.h"

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

CU_TestInfo compiled_split_tests[] = {
    {"the same function and gradients", test_same_function},
    {"nothing is split where nothing is hidden", test_nothing_hidden},
    {"compiled code computes it", test_compiled},
    CU_TEST_INFO_NULL,
};
