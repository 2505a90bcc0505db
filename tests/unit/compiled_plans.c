/* The bytes that a compiled training step computes depend on neither threads nor memory; and memory
 * plans: what is alive at the same time lies apart. */
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "ir/kernel_verify.h"
#include "passes/fuse_kernels.h"
#include "passes/lower.h"
#include "passes/passes.h"
#include "passes/precision.h"
#include "passes/recompute.h"
#include "tests/support/network.h"
#include "tests/support/trial.h"
#include "tests/unit/compiled_suites.h"

/* ---- The same bytes -------------------------------------------------------------------------- */

enum { STEPS = 3 };

/* A masked training step, large enough that its kernels run in several chunks. */
static Graph *training_step(Arena *arena) {
    const SmallNetwork network = {
        .levels = 2, .batch = 3, .channels = 3, .height = 48, .width = 64, .batch_norm = true};
    Graph *graph = small_network(arena, &network);
    PassOptions options = pass_options_default();
    options.decoder_width = 32;
    options.expose = true;
    CU_ASSERT_FATAL(passes_run(graph, &options, NULL, diagnostics_create(arena, 5), NULL, NULL));
    return graph;
}

static Compiled *run_steps(Arena *arena, const Graph *graph, Program *program,
                           const CompiledOptions *options) {
    Compiled *compiled = compiled_create(program, options);
    trial_fill(arena, graph, compiled->values, program);
    for (int i = 0; i < STEPS; i++)
        compiled_run(compiled);
    return compiled;
}

static void expect_moving(Arena *arena, const Graph *graph, const Compiled *compiled) {
    Type number = type_plain(DTYPE_F32, 0, NULL);
    Tensor loss = kernel_interpreter_output(compiled->values, arena, "loss", &number);
    CU_ASSERT(loss.data[0] > 0 && loss.data[0] < 100);
    Compiled *untouched = compiled_create((Program *)compiled->program, &(CompiledOptions){0});
    trial_fill(arena, graph, untouched->values, compiled->program);
    const void *params = plan_executor_region(untouched->executor, PLAN_PARAMS);
    CU_ASSERT(memcmp(plan_executor_region(compiled->executor, PLAN_PARAMS), params,
                     (size_t)compiled->plan->region_bytes[PLAN_PARAMS]) != 0);
    compiled_destroy(untouched);
}

static void test_same_bytes(void) {
    static const struct {
        const char *what;
        CompiledOptions options;
        bool fused;
    } variants[] = {
        {"a rerun", {.threads = 1}, false},
        {"2 threads", {.threads = 2}, false},
        {"3 threads", {.threads = 3}, false},
        {"memory that was NaN", {.threads = 1, .poisoned = true}, false},
        {"no sharing of memory", {.threads = 1, .separate = true}, false},
        {"fused kernels", {.threads = 1}, true},
        {"fused kernels, 3 threads, NaN", {.threads = 3, .poisoned = true}, true},
    };
    Arena *arena = arena_create();
    Graph *graph = training_step(arena);
    Program *program = lower_graph(arena, graph), *fused = lower_graph(arena, graph);
    CU_ASSERT(fuse_kernels(fused, NULL) > 0);
    CU_ASSERT(recompute(fused, NULL) > 0);
    Compiled *expected = run_steps(arena, graph, program, &(CompiledOptions){.threads = 1});
    expect_moving(arena, graph, expected);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        Compiled *actual =
            run_steps(arena, graph, variants[i].fused ? fused : program, &variants[i].options);
        compiled_expect_same(expected, actual, variants[i].what);
        compiled_destroy(actual);
    }
    compiled_destroy(expected);
    arena_destroy(arena);
}

static void test_same_bytes_in_bf16(void) {
    static const struct {
        const char *what;
        CompiledOptions options;
    } variants[] = {
        {"bf16, 2 threads", {.threads = 2}},
        {"bf16, 3 threads", {.threads = 3}},
        {"bf16, memory that was NaN", {.threads = 1, .poisoned = true}},
        {"bf16, no sharing of memory", {.threads = 2, .separate = true}},
    };
    Arena *arena = arena_create();
    Graph *graph = training_step(arena);
    Program *program = lower_graph(arena, graph), *exact = lower_graph(arena, graph);
    fuse_kernels(program, NULL);
    recompute(program, NULL);
    CU_ASSERT(precision(program, PRECISION_BF16));
    Compiled *expected = run_steps(arena, graph, program, &(CompiledOptions){.threads = 1});
    Compiled *other = run_steps(arena, graph, exact, &(CompiledOptions){.threads = 1});
    expect_moving(arena, graph, expected);
    CU_ASSERT(memcmp(plan_executor_region(expected->executor, PLAN_PARAMS),
                     plan_executor_region(other->executor, PLAN_PARAMS),
                     (size_t)expected->plan->region_bytes[PLAN_PARAMS]) != 0);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        Compiled *actual = run_steps(arena, graph, program, &variants[i].options);
        compiled_expect_same(expected, actual, variants[i].what);
        compiled_destroy(actual);
    }
    compiled_destroy(other);
    compiled_destroy(expected);
    arena_destroy(arena);
}

static void test_chunks(void) {
    Arena *arena = arena_create();
    Graph *graph = training_step(arena);
    Compiled *compiled = compiled_create(lower_graph(arena, graph), &(CompiledOptions){0});
    int parallel = 0;
    for (int i = 0; i < compiled->plan->launch_count; i++)
        parallel += compiled->plan->launches[i].chunks >= 3;
    CU_ASSERT(parallel > 50);
    compiled_destroy(compiled);
    arena_destroy(arena);
}

/* ---- Memory plans ---------------------------------------------------------------------------- */

static Program *create_program(Arena *arena) {
    Program *program = arena_new(arena, Program);
    *program = (Program){.arena = arena, .network = "plan", .stage = "lower", .cells = -1};
    program->geometry = (Geometry){.batch = 1, .space = 1, .image = {1}, .channels = 1};
    return program;
}

static int add_buffer(Program *program, Region region, int64_t elements) {
    const char *name = arena_format(program->arena, "b%zu", program->buffers.count);
    Buffer buffer = {name, region, DTYPE_F32, elements, -1};
    vector_push(program->arena, &program->buffers, buffer);
    return (int)program->buffers.count - 1;
}

static View whole(int buffer) {
    return (View){.buffer = buffer, .channel_stride = 1};
}

/* A kernel that reads one number of each of `reads` and writes all of `target`. */
static void add_kernel(Program *program, int target, const int *reads, int count) {
    Kernel *kernel = arena_new(program->arena, Kernel);
    ExpressionBuilder builder = expression_begin(program->arena);
    int sum = expression_constant(&builder, 1);
    kernel->kind = KERNEL_MAP;
    kernel->name = arena_format(program->arena, "k%zu", program->kernels.count);
    kernel->space = (Space){.kind = SPACE_ONE};
    kernel->channels = program->buffers.items[target].elements;
    for (int i = 0; i < count; i++) {
        kernel->operands[kernel->operand_count++] =
            (Access){.kind = ACCESS_ONE, .channel = CHANNEL_FIRST, .view = whole(reads[i])};
        sum = expression_apply(&builder, SCALAR_add, sum, expression_operand(&builder, i), -1);
    }
    kernel->expression = expression_end(&builder, &sum, 1);
    kernel->outputs[kernel->output_count++] = whole(target);
    vector_push(program->arena, &program->kernels, kernel);
}

static int64_t end_of(const Buffer *buffer) {
    return buffer->offset + buffer->elements * 4 + PLAN_ALIGNMENT; /* with the slack behind it */
}

static bool apart(const Buffer *a, const Buffer *b) {
    return end_of(a) <= b->offset || end_of(b) <= a->offset;
}

/* The first and the last kernel that use a buffer, found anew; first > last: none. */
typedef struct Life {
    size_t first, last;
} Life;

static Life *find_lives(const Program *program) {
    Life *lives = arena_new_array(program->arena, Life, program->buffers.count);
    for (size_t i = 0; i < program->buffers.count; i++)
        lives[i].first = SIZE_MAX;
    for (size_t k = 0; k < program->kernels.count; k++) {
        KernelUse uses[KERNEL_MAX_USES];
        int count = kernel_uses(program, program->kernels.items[k], uses);
        for (int i = 0; i < count; i++) {
            Life *life = &lives[uses[i].buffer];
            life->first = life->first < k ? life->first : k;
            life->last = k;
        }
    }
    return lives;
}

static bool is_alive(const Life *life, size_t kernel) {
    return life->first <= kernel && kernel <= life->last;
}

static void check_pair(const Program *program, const Life *lives, size_t a, size_t b, bool share) {
    const Buffer *first = &program->buffers.items[a], *second = &program->buffers.items[b];
    bool used = lives[a].first <= lives[a].last && lives[b].first <= lives[b].last;
    bool meet = used && lives[a].first <= lives[b].last && lives[b].first <= lives[a].last;
    bool together = first->region != REGION_SCRATCH || (share ? meet : used);
    if (first->region == second->region && together)
        CU_ASSERT(apart(first, second));
}

static void check_plan(Program *program, bool share) {
    MemoryPlan plan;
    CU_ASSERT_FATAL(plan_memory(program, share, &plan));
    int64_t largest = 0;
    const Life *lives = find_lives(program);
    for (size_t k = 0; k < program->kernels.count; k++) {
        int64_t alive = 0;
        for (size_t i = 0; i < program->buffers.count; i++)
            if (program->buffers.items[i].region == REGION_SCRATCH && is_alive(&lives[i], k))
                alive += program->buffers.items[i].elements * 4;
        largest = alive > largest ? alive : largest;
    }
    CU_ASSERT(plan.scratch_lower_bound >= largest);
    CU_ASSERT(plan.scratch_lower_bound <= plan.region_bytes[REGION_SCRATCH]);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        CU_ASSERT(buffer->offset >= 0 && buffer->offset % PLAN_ALIGNMENT == 0);
        CU_ASSERT(end_of(buffer) <= plan.region_bytes[buffer->region]);
        for (size_t k = 0; k < i; k++)
            check_pair(program, lives, k, i, share);
    }
    Diagnostics *diagnostics = diagnostics_create(program->arena, 5);
    if (!kernel_verify(program, diagnostics))
        fprintf(stderr, "\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_EQUAL(diagnostics_error_count(diagnostics), 0);
}

/* Each kernel writes a new scratch buffer of any size and reads some that were written before. */
static Program *random_program(Arena *arena, uint32_t seed) {
    Program *program = create_program(arena);
    int input = add_buffer(program, REGION_INPUTS, 7), written[40], count = 0;
    add_buffer(program, REGION_INPUTS, 17);
    add_buffer(program, REGION_INPUTS, 16);
    for (uint32_t k = 0; k < 40; k++) {
        uint32_t word = random_word(seed, 0, 0, k), reads = word % 4;
        int read[4] = {input, input, input, input};
        for (uint32_t i = 0; count && i < reads; i++)
            read[i] = written[random_word(seed, 1, i, k) % (uint32_t)count];
        int target = add_buffer(program, REGION_SCRATCH, 1 + word / 4 % 1000);
        add_kernel(program, target, read, reads ? (int)reads : 1);
        written[count++] = target;
    }
    add_kernel(program, add_buffer(program, REGION_OUTPUTS, 33), &written[count - 1], 1);
    return program;
}

static void test_random_plans(void) {
    for (uint32_t seed = 1; seed <= 30; seed++) {
        Arena *arena = arena_create();
        Program *program = random_program(arena, seed);
        check_plan(program, true);
        check_plan(program, false);
        arena_destroy(arena);
    }
}

/* A chain a -> b -> c -> d of equal sizes needs two places, and the plan finds them. */
static void test_chain(void) {
    Arena *arena = arena_create();
    Program *program = create_program(arena);
    int last = add_buffer(program, REGION_INPUTS, 1);
    for (int i = 0; i < 4; i++) {
        int next = add_buffer(program, REGION_SCRATCH, 112); /* and 16 of slack: 512 bytes */
        add_kernel(program, next, &last, 1);
        last = next;
    }
    add_kernel(program, add_buffer(program, REGION_OUTPUTS, 1), &last, 1);
    MemoryPlan plan;
    CU_ASSERT_FATAL(plan_memory(program, true, &plan));
    CU_ASSERT_EQUAL(plan.scratch_lower_bound, 1024);
    CU_ASSERT_EQUAL(plan.region_bytes[REGION_SCRATCH], 1024);
    check_plan(program, true);
    CU_ASSERT_FATAL(plan_memory(program, false, &plan));
    CU_ASSERT_EQUAL(plan.region_bytes[REGION_SCRATCH], 2048);
    arena_destroy(arena);
}

/* Larger buffers take the place of several smaller ones that are gone. */
static void test_joined(void) {
    Arena *arena = arena_create();
    Program *program = create_program(arena);
    int input = add_buffer(program, REGION_INPUTS, 1), small[3];
    for (int i = 0; i < 3; i++) {
        small[i] = add_buffer(program, REGION_SCRATCH, 112);
        add_kernel(program, small[i], &input, 1);
    }
    int sum = add_buffer(program, REGION_OUTPUTS, 1);
    add_kernel(program, sum, small, 3);
    int large = add_buffer(program, REGION_SCRATCH, 3 * 128 - 16);
    add_kernel(program, large, &input, 1);
    int larger = add_buffer(program, REGION_SCRATCH, 4 * 128 - 16);
    add_kernel(program, add_buffer(program, REGION_OUTPUTS, 1), &large, 1);
    add_kernel(program, larger, &input, 1);
    add_kernel(program, add_buffer(program, REGION_OUTPUTS, 1), &larger, 1);
    MemoryPlan plan;
    CU_ASSERT_FATAL(plan_memory(program, true, &plan));
    CU_ASSERT_EQUAL(program->buffers.items[large].offset, 0);
    CU_ASSERT_EQUAL(program->buffers.items[larger].offset, 0);
    CU_ASSERT_EQUAL(plan.region_bytes[REGION_SCRATCH], 2048);
    check_plan(program, true);
    arena_destroy(arena);
}

static void test_too_large(void) {
    Arena *arena = arena_create();
    Program *program = create_program(arena);
    for (int i = 0; i < 5; i++)
        add_buffer(program, REGION_SCRATCH, (int64_t)1 << 59);
    MemoryPlan plan;
    CU_ASSERT_FALSE(plan_memory(program, true, &plan));
    arena_destroy(arena);
}

static void test_plan_of_network(void) {
    Arena *arena = arena_create();
    Graph *graph = training_step(arena);
    Program *program = lower_graph(arena, graph);
    check_plan(program, true);
    MemoryPlan shared, separate;
    CU_ASSERT(plan_memory(program, true, &shared));
    CU_ASSERT(plan_memory(program, false, &separate));
    CU_ASSERT(shared.region_bytes[REGION_SCRATCH] < separate.region_bytes[REGION_SCRATCH] / 2);
    CU_ASSERT(shared.region_bytes[REGION_SCRATCH] < shared.scratch_lower_bound * 6 / 5);
    arena_destroy(arena);
}

CU_TestInfo compiled_plans_tests[] = {
    {"the same bytes whatever threads and memory", test_same_bytes},
    {"the same bytes in bf16", test_same_bytes_in_bf16},
    {"a step has work for several threads", test_chunks},
    {"plans of random programs", test_random_plans},
    {"a chain shares two places", test_chain},
    {"freed neighbours join", test_joined},
    {"too much memory", test_too_large},
    {"the plan of a network", test_plan_of_network},
    CU_TEST_INFO_NULL,
};
