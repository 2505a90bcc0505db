/* The bytes that a compiled training step computes depend on neither threads nor memory; and memory
 * plans: what is alive at the same time lies apart. */
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "ir/kernel_footprint.h"
#include "ir/kernel_lives.h"
#include "ir/kernel_verify.h"
#include "passes/fuse_kernels.h"
#include "passes/lower.h"
#include "passes/passes.h"
#include "passes/precision.h"
#include "passes/recompute.h"
#include "passes/schedule.h"
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
        {"fused kernels, no sharing of memory", {.threads = 1, .separate = true}, true},
    };
    Arena *arena = arena_create();
    Graph *graph = training_step(arena);
    Program *program = lower_graph(arena, graph), *fused = lower_graph(arena, graph);
    CU_ASSERT(fuse_kernels(fused, NULL) > 0);
    CU_ASSERT(recompute(fused, PRECISION_FP32, NULL) > 0);
    schedule(fused, NULL);
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
    recompute(program, PRECISION_FP32, NULL);
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

/* Whether something is alive at byte `offset` of scratch while kernel `name` runs. */
static bool is_taken(const Program *program, const BufferLives *lives, const char *name,
                     int64_t offset) {
    int64_t kernel = 0;
    while (strcmp(program->kernels.items[kernel]->name, name) != 0)
        kernel++;
    for (size_t i = 0; i < lives->count; i++) {
        const BufferLife *life = &lives->items[i];
        const Buffer *buffer = &program->buffers.items[life->buffer];
        int64_t size = (int64_t)dtype_size(buffer->dtype);
        if (buffer->region == REGION_SCRATCH && life->first <= kernel && kernel <= life->last &&
            buffer->offset + life->begin * size <= offset &&
            offset < buffer->offset + life->end * size)
            return true;
    }
    return false;
}

/* What the stages of a kernel share lies where nothing is alive while it runs. */
static void test_shared_scratch(void) {
    Arena *arena = arena_create();
    Program *program = lower_graph(arena, training_step(arena));
    Compiled *compiled = compiled_create(program, &(CompiledOptions){0});
    const Plan *plan = compiled->plan;
    BufferLives lives = kernel_lives(program, arena);
    int64_t scratch = kernel_region_bytes(program, REGION_SCRATCH);
    int inside = 0;
    for (int i = 0; i < plan->launch_count; i++)
        for (int a = 0; a < plan->launches[i].pointer_count; a++) {
            const PlanPointer *pointer = &plan->launches[i].pointers[a];
            if (pointer->region < 0 || pointer->buffer >= 0)
                continue;
            CU_ASSERT(pointer->shared >= 0 && pointer->offset >= pointer->shared);
            CU_ASSERT_FALSE(is_taken(program, &lives, plan->launches[i].kernel, pointer->shared));
            CU_ASSERT_FALSE(is_taken(program, &lives, plan->launches[i].kernel, pointer->offset));
            inside += pointer->offset < scratch;
        }
    CU_ASSERT(inside > 50);
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
    int64_t bytes = buffer->elements * (int64_t)dtype_size(buffer->dtype);
    return buffer->offset + bytes + PLAN_ALIGNMENT; /* with the slack behind it */
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

static void check_pair(const Program *program, const Life *lives, size_t a, size_t b, bool share) {
    const Buffer *first = &program->buffers.items[a], *second = &program->buffers.items[b];
    bool used = lives[a].first <= lives[a].last && lives[b].first <= lives[b].last;
    bool together = first->region != REGION_SCRATCH || (!share && used);
    if (first->region == second->region && together)
        CU_ASSERT(apart(first, second));
}

/* Which buffer each half of an element of scratch holds numbers of, while the kernels run. */
typedef struct Owners {
    const Program *program;
    int *owner;
    int64_t wrong; /* numbers that were read and belong to another buffer by then */
} Owners;

enum { UNIT = 2 };

static void own_element(Owners *owners, const Footprint *footprint, int64_t element) {
    const Buffer *buffer = &owners->program->buffers.items[footprint->buffer];
    int64_t size = (int64_t)dtype_size(buffer->dtype), at = buffer->offset + element * size;
    for (int64_t unit = at / UNIT; unit < (at + size) / UNIT; unit++) {
        if (footprint->write)
            owners->owner[unit] = footprint->buffer;
        else
            owners->wrong += owners->owner[unit] != footprint->buffer;
    }
}

static void own_footprint(Owners *owners, const Footprint *footprint) {
    const int64_t *count = footprint->count, *stride = footprint->stride;
    for (int64_t i = 0; i < count[0]; i++)
        for (int64_t j = 0; j < count[1]; j++)
            for (int64_t k = 0; k < count[2]; k++)
                for (int64_t n = 0; n < count[3]; n++)
                    own_element(owners, footprint,
                                footprint->base + i * stride[0] + j * stride[1] + k * stride[2] +
                                    n * stride[3]);
}

static bool is_in_scratch(const Program *program, const Footprint *footprint) {
    return footprint->buffer >= 0 &&
           program->buffers.items[footprint->buffer].region == REGION_SCRATCH;
}

static void byte_range(const Program *program, const Footprint *footprint, int64_t *range) {
    const Buffer *buffer = &program->buffers.items[footprint->buffer];
    int64_t size = (int64_t)dtype_size(buffer->dtype), last = footprint->base;
    for (int d = 0; d < FOOTPRINT_DIMENSIONS; d++)
        last += (footprint->count[d] - 1) * footprint->stride[d];
    range[0] = buffer->offset + footprint->base * size;
    range[1] = buffer->offset + (last + 1) * size;
}

/* What a kernel writes over what it reads it writes element upon element. */
static bool is_safe(const Program *program, const Footprint *read, const Footprint *write) {
    int64_t from[2], to[2];
    if (read->buffer == write->buffer)
        return true; /* which the verifier looks at */
    byte_range(program, read, from);
    byte_range(program, write, to);
    return from[1] <= to[0] || to[1] <= from[0] ||
           (read->same_element && write->same_element && from[0] == to[0] && from[1] == to[1] &&
            memcmp(read->count, write->count, sizeof read->count) == 0 &&
            memcmp(read->stride, write->stride, sizeof read->stride) == 0);
}

static void run_owners(Owners *owners, const Kernel *kernel) {
    const Program *program = owners->program;
    Footprint footprints[FOOTPRINT_MAX];
    int count = kernel_footprints(program, kernel, footprints);
    for (int write = 0; write < 2; write++)
        for (int i = 0; i < count; i++)
            if (is_in_scratch(program, &footprints[i]) && footprints[i].write == (write == 1))
                own_footprint(owners, &footprints[i]);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            if (is_in_scratch(program, &footprints[i]) && !footprints[i].write &&
                is_in_scratch(program, &footprints[j]) && footprints[j].write)
                CU_ASSERT(is_safe(program, &footprints[i], &footprints[j]));
}

/* Every number that is read from scratch is the one that its buffer was given last. */
static void check_owners(const Program *program, int64_t scratch_bytes) {
    Arena *arena = arena_create();
    Owners owners = {.program = program};
    owners.owner = arena_new_array(arena, int, (size_t)(scratch_bytes / UNIT + 1));
    for (int64_t i = 0; i < scratch_bytes / UNIT; i++)
        owners.owner[i] = -1;
    for (size_t k = 0; k < program->kernels.count; k++)
        run_owners(&owners, program->kernels.items[k]);
    CU_ASSERT_EQUAL(owners.wrong, 0);
    arena_destroy(arena);
}

static MemoryPlan check_plan(Program *program, bool share) {
    MemoryPlan plan;
    CU_ASSERT_FATAL(plan_memory(program, share, &plan));
    const Life *lives = find_lives(program);
    CU_ASSERT(plan.scratch_lower_bound <= plan.region_bytes[REGION_SCRATCH]);
    for (size_t i = 0; i < program->buffers.count; i++) {
        const Buffer *buffer = &program->buffers.items[i];
        CU_ASSERT(buffer->offset >= 0 && buffer->offset % PLAN_ALIGNMENT == 0);
        CU_ASSERT(end_of(buffer) <= plan.region_bytes[buffer->region]);
        for (size_t k = 0; k < i; k++)
            check_pair(program, lives, k, i, share);
    }
    check_owners(program, plan.region_bytes[REGION_SCRATCH]);
    Diagnostics *diagnostics = diagnostics_create(program->arena, 5);
    if (!kernel_verify(program, diagnostics))
        fprintf(stderr, "\n%s", diagnostics_text(diagnostics, false));
    CU_ASSERT_EQUAL(diagnostics_error_count(diagnostics), 0);
    return plan;
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

/* The most that is alive at one kernel, of buffers that each live as a whole, without the slack. */
static int64_t find_largest(const Program *program) {
    const Life *lives = find_lives(program);
    int64_t largest = 0;
    for (size_t k = 0; k < program->kernels.count; k++) {
        int64_t alive = 0;
        for (size_t i = 0; i < program->buffers.count; i++)
            if (program->buffers.items[i].region == REGION_SCRATCH && lives[i].first <= k &&
                k <= lives[i].last)
                alive += program->buffers.items[i].elements * 4;
        largest = alive > largest ? alive : largest;
    }
    return largest;
}

static void test_random_plans(void) {
    int64_t bytes = 0, least = 0;
    for (uint32_t seed = 1; seed <= 30; seed++) {
        Arena *arena = arena_create();
        Program *program = random_program(arena, seed);
        MemoryPlan plan = check_plan(program, true);
        CU_ASSERT(plan.scratch_lower_bound >= find_largest(program));
        bytes += plan.region_bytes[REGION_SCRATCH];
        least += plan.scratch_lower_bound;
        check_plan(program, false);
        arena_destroy(arena);
    }
    CU_ASSERT(bytes * 100 < least * 103);
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

/* A kernel that writes `target` where it reads `source`, element upon element. */
static void add_relu(Program *program, View target, View source, int64_t channels) {
    Kernel *kernel = arena_new(program->arena, Kernel);
    ExpressionBuilder builder = expression_begin(program->arena);
    int value = expression_apply(&builder, SCALAR_neg, expression_operand(&builder, 0), -1, -1);
    kernel->kind = KERNEL_MAP;
    kernel->name = arena_format(program->arena, "k%zu", program->kernels.count);
    kernel->space = (Space){.kind = SPACE_ONE};
    kernel->channels = channels;
    kernel->operands[kernel->operand_count++] =
        (Access){.kind = ACCESS_ELEMENT, .channel = CHANNEL_SAME, .view = source};
    kernel->expression = expression_end(&builder, &value, 1);
    kernel->outputs[kernel->output_count++] = target;
    vector_push(program->arena, &program->kernels, kernel);
}

/* What replaces its operand needs no memory of its own, however many do one after the other. */
static void test_in_place(void) {
    Arena *arena = arena_create();
    Program *program = create_program(arena);
    int last = add_buffer(program, REGION_INPUTS, 112), chain[4];
    for (int i = 0; i < 4; i++) {
        chain[i] = add_buffer(program, REGION_SCRATCH, 112);
        add_relu(program, whole(chain[i]), whole(last), 112);
        last = chain[i];
    }
    add_relu(program, whole(add_buffer(program, REGION_OUTPUTS, 112)), whole(last), 112);
    MemoryPlan plan = check_plan(program, true);
    CU_ASSERT_EQUAL(plan.scratch_lower_bound, 512);
    CU_ASSERT_EQUAL(plan.region_bytes[REGION_SCRATCH], 512);
    /* unless somebody reads the operand later */
    add_relu(program, whole(add_buffer(program, REGION_OUTPUTS, 112)), whole(chain[1]), 112);
    plan = check_plan(program, true);
    CU_ASSERT_EQUAL(plan.region_bytes[REGION_SCRATCH], 1024);
    arena_destroy(arena);
}

/* Parts of a buffer that are written later are free until then. */
static void test_parts(void) {
    enum { PART = 1024, PARTS = 4 };
    Arena *arena = arena_create();
    Program *program = create_program(arena);
    int input = add_buffer(program, REGION_INPUTS, PART);
    int flat = add_buffer(program, REGION_SCRATCH, PARTS * PART);
    for (int i = 0; i < PARTS; i++) {
        View part = whole(flat);
        part.base = (PARTS - 1 - i) * PART; /* the last part first */
        int map = add_buffer(program, REGION_SCRATCH,
                             (PARTS - 1 - i) * PART - 16 + (i == PARTS - 1) * 32);
        add_kernel(program, map, &input, 1);
        add_kernel(program, add_buffer(program, REGION_OUTPUTS, 1), &map, 1);
        add_relu(program, part, whole(input), PART);
    }
    add_relu(program, whole(add_buffer(program, REGION_OUTPUTS, PARTS * PART)), whole(flat),
             PARTS * PART);
    MemoryPlan plan = check_plan(program, true);
    CU_ASSERT(plan.region_bytes[REGION_SCRATCH] <= PARTS * PART * 4 + PLAN_ALIGNMENT);
    plan = check_plan(program, false);
    CU_ASSERT(plan.region_bytes[REGION_SCRATCH] > PARTS * PART * 4 * 2);
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

/* As they come out of the passes. */
static void test_plan_of_passes(void) {
    for (int bf16 = 0; bf16 < 2; bf16++) {
        Arena *arena = arena_create();
        Program *program = lower_graph(arena, training_step(arena));
        Precision wanted = bf16 ? PRECISION_BF16 : PRECISION_FP32;
        fuse_kernels(program, NULL);
        recompute(program, wanted, NULL);
        precision(program, wanted);
        schedule(program, NULL);
        check_plan(program, true);
        arena_destroy(arena);
    }
}

/* Another order is taken if it needs less, and computes the same: each number that is read is there
 * before, and of the right buffer. */
static void test_orders(void) {
    int better = 0;
    for (uint32_t seed = 1; seed <= 30; seed++) {
        Arena *arena = arena_create();
        Program *program = random_program(arena, seed);
        int64_t before = find_largest(program);
        size_t kernels = program->kernels.count;
        bool changed = schedule(program, NULL);
        CU_ASSERT_EQUAL(program->kernels.count, kernels);
        check_plan(program, true);
        CU_ASSERT(changed ? find_largest(program) < before : find_largest(program) == before);
        better += changed;
        arena_destroy(arena);
    }
    CU_ASSERT(better >= 10);
}

CU_TestInfo compiled_plans_tests[] = {
    {"the same bytes whatever threads and memory", test_same_bytes},
    {"the same bytes in bf16", test_same_bytes_in_bf16},
    {"a step has work for several threads", test_chunks},
    {"stages share what is free", test_shared_scratch},
    {"plans of random programs", test_random_plans},
    {"a chain shares two places", test_chain},
    {"freed neighbours join", test_joined},
    {"results replace operands", test_in_place},
    {"parts of a buffer live for themselves", test_parts},
    {"too much memory", test_too_large},
    {"the plan of a network", test_plan_of_network},
    {"the plan of what passes make", test_plan_of_passes},
    {"orders of less memory", test_orders},
    CU_TEST_INFO_NULL,
};
