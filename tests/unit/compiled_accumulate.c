/* Accumulated gradients: one part is a training step bit for bit, several are their sum, a bad one
 * leaves nothing. By compiled code and by both interpreters. */
#include <math.h>
#include <string.h>

#include "passes/lower.h"
#include "passes/passes.h"
#include "tests/support/network.h"
#include "tests/support/op_case.h"
#include "tests/support/trial.h"
#include "tests/unit/compiled_suites.h"

enum { STEPS = 3 };

static Graph *create_graph(Arena *arena, Entry entry, OptimizerKind kind) {
    const SmallNetwork network = {
        .levels = 1, .batch = 2, .channels = 3, .height = 16, .width = 24, .batch_norm = true};
    Graph *graph = small_network(arena, &network);
    PassOptions options = pass_options_default();
    options.entry = entry;
    options.optimizer = kind;
    options.decoder_width = 16;
    options.clip = 0.01; /* reached */
    options.stochastic = false;
    CU_ASSERT_FATAL(passes_run(graph, &options, NULL, diagnostics_create(arena, 5), NULL, NULL));
    return graph;
}

/* A training step, and the two programs that do the same. */
typedef struct Trio {
    Arena *arena;
    Graph *graphs[3];
    Compiled *step, *accumulate, *apply;
} Trio;

static Compiled *compile(Trio *trio, int index, Entry entry, OptimizerKind kind,
                         const Compiled *owner) {
    Graph *graph = create_graph(trio->arena, entry, kind);
    Program *program = lower_graph(trio->arena, graph);
    CompiledOptions options = {.threads = 1 + index % 2, .owner = owner};
    trio->graphs[index] = graph;
    Compiled *compiled = compiled_create(program, &options);
    trial_fill(trio->arena, graph, compiled->values, program);
    return compiled;
}

static Trio create_trio(OptimizerKind kind) {
    Trio trio = {.arena = arena_create()};
    trio.step = compile(&trio, 0, ENTRY_TRAIN_STEP, kind, NULL);
    trio.accumulate = compile(&trio, 1, ENTRY_ACCUMULATE, kind, NULL);
    trio.apply = compile(&trio, 2, ENTRY_APPLY, kind, trio.accumulate);
    return trio;
}

static void destroy_trio(Trio *trio) {
    compiled_destroy(trio->apply);
    compiled_destroy(trio->accumulate);
    compiled_destroy(trio->step);
    arena_destroy(trio->arena);
}

/* Compiled code, or the kernel interpreter over the same memory. */
typedef void Run(Compiled *compiled);

static void interpret(Compiled *compiled) {
    Status status = kernel_interpreter_run(compiled->values, compiled->arena);
    CU_ASSERT_PTR_NULL_FATAL(status.message);
}

static void accumulate(const Trio *trio, Run *run, double first) {
    kernel_interpreter_set_scalar(trio->accumulate->values, "first", first);
    run(trio->accumulate);
}

static void apply(const Trio *trio, Run *run, double scale) {
    kernel_interpreter_set_scalar(trio->apply->values, "gradient_scale", scale);
    run(trio->apply);
}

static float output(const Compiled *compiled, const char *name) {
    const float *value = plan_executor_buffer(compiled->executor, PLAN_OUTPUTS, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(value);
    return *value;
}

static void expect_step(const Trio *trio) {
    compiled_expect_same(trio->step, trio->accumulate, "accumulate and apply");
    CU_ASSERT_EQUAL(output(trio->step, "ok"), 1);
    CU_ASSERT(output(trio->step, "grad_norm") > 0.01F);
    CU_ASSERT_EQUAL(output(trio->apply, "ok"), 1);
    CU_ASSERT_EQUAL(output(trio->apply, "grad_norm"), output(trio->step, "grad_norm"));
}

static void compare_step(const Trio *trio, Run *run) {
    run(trio->step);
    accumulate(trio, run, 1);
    apply(trio, run, 1);
    expect_step(trio);
}

static void test_one_part(void) {
    for (int kind = OPTIMIZER_LAMB; kind <= OPTIMIZER_SGD; kind++) {
        Trio trio = create_trio((OptimizerKind)kind);
        for (int i = 0; i < STEPS; i++)
            compare_step(&trio, compiled_run);
        compare_step(&trio, interpret);
        destroy_trio(&trio);
    }
}

/* ---- By the graph interpreter ---------------------------------------------------------------- */

static Interpreter *create_interpreter(Arena *arena, const Graph *graph) {
    Interpreter *interpreter = interpreter_create(graph);
    trial_fill_interpreter(arena, graph, interpreter);
    interpreter_set_scalar(interpreter, "first", 1);
    interpreter_set_scalar(interpreter, "gradient_scale", 1);
    return interpreter;
}

static void copy_regions(const Graph *graph, Interpreter *from, Interpreter *to) {
    Tensor source = interpreter_param(from, NULL);
    memcpy(interpreter_param(to, NULL).data, source.data, source.count * sizeof(double));
    for (size_t i = 0; i < graph->states.count; i++) {
        source = interpreter_state(from, graph->states.items[i].name);
        memcpy(interpreter_state(to, graph->states.items[i].name).data, source.data,
               source.count * sizeof(double));
    }
}

static void expect_equal(Tensor a, Tensor b) {
    CU_ASSERT_EQUAL_FATAL(a.count, b.count);
    CU_ASSERT(memcmp(a.data, b.data, a.count * sizeof(double)) == 0);
}

static void interpret_steps(OptimizerKind kind) {
    Arena *arena = arena_create();
    static const Entry entries[3] = {ENTRY_TRAIN_STEP, ENTRY_ACCUMULATE, ENTRY_APPLY};
    Graph *graphs[3];
    Interpreter *interpreters[3];
    for (int i = 0; i < 3; i++) {
        graphs[i] = create_graph(arena, entries[i], kind);
        interpreters[i] = create_interpreter(arena, graphs[i]);
    }
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            copy_regions(graphs[1], interpreters[1], interpreters[2]);
        CU_ASSERT_PTR_NULL_FATAL(interpreter_run(interpreters[i], arena).message);
        CU_ASSERT_EQUAL(interpreter_output(interpreters[i], "ok").data[0], 1);
    }
    expect_equal(interpreter_param(interpreters[0], NULL),
                 interpreter_param(interpreters[2], NULL));
    for (size_t i = 0; i < graphs[0]->states.count; i++) {
        const char *name = graphs[0]->states.items[i].name;
        expect_equal(interpreter_state(interpreters[0], name),
                     interpreter_state(interpreters[2], name));
    }
    for (int i = 0; i < 3; i++)
        interpreter_destroy(interpreters[i]);
    arena_destroy(arena);
}

static void test_one_part_interpreted(void) {
    for (int kind = OPTIMIZER_LAMB; kind <= OPTIMIZER_SGD; kind++)
        interpret_steps((OptimizerKind)kind);
}

/* ---- Several parts --------------------------------------------------------------------------- */

/* Pictures that depend on a name. */
static void set_pictures(const Trio *trio, const char *name) {
    float *image = plan_executor_buffer(trio->accumulate->executor, PLAN_INPUTS, "image");
    const PlanBuffer *buffer = plan_find(trio->accumulate->plan, PLAN_INPUTS, "image");
    for (int64_t i = 0; i < buffer->elements; i++)
        image[i] = (float)op_case_number(name, (size_t)i);
}

static float *gradients(const Trio *trio, int64_t *count) {
    *count = plan_find(trio->accumulate->plan, PLAN_STATE, "gradients")->elements;
    return plan_executor_buffer(trio->accumulate->executor, PLAN_STATE, "gradients");
}

/* The gradients of one part alone. */
static float *part(const Trio *trio, const char *name) {
    int64_t count;
    float *sum = gradients(trio, &count);
    float *copy = arena_new_array(trio->arena, float, (size_t)count);
    set_pictures(trio, name);
    accumulate(trio, compiled_run, 1);
    memcpy(copy, sum, (size_t)count * sizeof *copy);
    return copy;
}

static void test_parts_are_added(void) {
    Trio trio = create_trio(OPTIMIZER_LAMB);
    int64_t count;
    const float *sum = gradients(&trio, &count), *b = part(&trio, "b"), *a = part(&trio, "a");
    set_pictures(&trio, "b");
    accumulate(&trio, compiled_run, 0);
    int64_t different = 0;
    for (int64_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(sum[i], a[i] + b[i]);
        different += a[i] != b[i];
    }
    CU_ASSERT(different > count / 2);
    destroy_trio(&trio);
}

/* The same part twice, each for half: 2 g / 2 is g. Running statistics have moved twice. */
static void test_scale(void) {
    Trio trio = create_trio(OPTIMIZER_LAMB);
    compiled_run(trio.step);
    accumulate(&trio, compiled_run, 1);
    accumulate(&trio, compiled_run, 0);
    apply(&trio, compiled_run, 0.5);
    size_t bytes = (size_t)trio.step->plan->region_bytes[PLAN_PARAMS];
    CU_ASSERT(memcmp(plan_executor_region(trio.step->executor, PLAN_PARAMS),
                     plan_executor_region(trio.apply->executor, PLAN_PARAMS), bytes) == 0);
    const float *once =
        plan_executor_buffer(trio.step->executor, PLAN_STATE, "norm0.num_batches_tracked");
    const float *twice =
        plan_executor_buffer(trio.apply->executor, PLAN_STATE, "norm0.num_batches_tracked");
    CU_ASSERT_EQUAL(*twice, *once + 1);
    destroy_trio(&trio);
}

/* Between steps, by a program that has fewer states. */
static void test_evaluation(void) {
    Trio trio = {.arena = arena_create()};
    trio.accumulate = compile(&trio, 1, ENTRY_ACCUMULATE, OPTIMIZER_LAMB, NULL);
    trio.apply = compile(&trio, 2, ENTRY_APPLY, OPTIMIZER_LAMB, trio.accumulate);
    trio.step = compile(&trio, 0, ENTRY_RECONSTRUCT, OPTIMIZER_LAMB, trio.accumulate);
    CU_ASSERT(trio.step->plan->region_bytes[PLAN_STATE] <
              trio.accumulate->plan->region_bytes[PLAN_STATE]);
    accumulate(&trio, compiled_run, 1);
    compiled_run(trio.step);
    CU_ASSERT_EQUAL(output(trio.step, "loss"), output(trio.accumulate, "loss"));
    apply(&trio, compiled_run, 1);
    compiled_run(trio.step);
    CU_ASSERT(output(trio.step, "loss") != output(trio.accumulate, "loss"));
    accumulate(&trio, compiled_run, 1);
    CU_ASSERT_EQUAL(output(trio.step, "loss"), output(trio.accumulate, "loss"));
    destroy_trio(&trio);
}

/* ---- Refused parts --------------------------------------------------------------------------- */

static void expect_refused(const Trio *trio, Compiled *program, Run *run) {
    size_t bytes = (size_t)program->plan->region_bytes[PLAN_STATE];
    size_t param_bytes = (size_t)program->plan->region_bytes[PLAN_PARAMS];
    void *state = plan_executor_region(program->executor, PLAN_STATE);
    void *params = plan_executor_region(program->executor, PLAN_PARAMS);
    char *before = arena_new_array(trio->arena, char, bytes + param_bytes);
    memcpy(before, state, bytes);
    memcpy(before + bytes, params, param_bytes);
    run(program);
    CU_ASSERT_EQUAL(output(program, "ok"), 0);
    CU_ASSERT(memcmp(before, state, bytes) == 0);
    CU_ASSERT(memcmp(before + bytes, params, param_bytes) == 0);
}

static void refuse_parts(const Trio *trio, Run *run) {
    float *image = plan_executor_buffer(trio->accumulate->executor, PLAN_INPUTS, "image");
    float kept = image[5];
    for (int first = 0; first <= 1; first++) {
        kernel_interpreter_set_scalar(trio->accumulate->values, "first", first);
        image[5] = INFINITY;
        expect_refused(trio, trio->accumulate, run);
        image[5] = kept;
    }
    accumulate(trio, run, 1);
    apply(trio, run, 1);
    CU_ASSERT_EQUAL(output(trio->apply, "ok"), 1);
    run(trio->step);
    expect_step(trio);
}

static void test_refused_parts(void) {
    Trio trio = create_trio(OPTIMIZER_ADAMW);
    refuse_parts(&trio, compiled_run);
    refuse_parts(&trio, interpret);
    destroy_trio(&trio);
}

/* Finite parts whose sum is not. */
static void test_refused_sum(void) {
    Trio trio = create_trio(OPTIMIZER_SGD);
    int64_t count;
    accumulate(&trio, compiled_run, 1);
    gradients(&trio, &count)[0] = INFINITY;
    kernel_interpreter_set_scalar(trio.apply->values, "gradient_scale", 1);
    expect_refused(&trio, trio.apply, compiled_run);
    destroy_trio(&trio);
}

CU_TestInfo compiled_accumulate_tests[] = {
    {"one part is a training step", test_one_part},
    {"one part is a training step, interpreted", test_one_part_interpreted},
    {"parts are added", test_parts_are_added},
    {"the sum is scaled", test_scale},
    {"a network is evaluated between steps", test_evaluation},
    {"a part that is not finite changes nothing", test_refused_parts},
    {"a sum that is not finite changes nothing", test_refused_sum},
    CU_TEST_INFO_NULL,
};
