/* Plans written by hand, with functions of C in the place of compiled code. */
#include "runtime/executor.h"

#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "tests/unit/runtime_suites.h"

/* pointers: an int64 to add to, or null; numbers: the factor. Each chunk has its own element. */
static void add_multiple(char *const *pointers, const int64_t *numbers, int64_t chunk,
                         char *workspace) {
    int64_t *target = (int64_t *)(void *)pointers[0];
    int64_t *scratch = (int64_t *)(void *)workspace;
    scratch[0] = chunk * numbers[0];
    target[chunk] += scratch[0] + (pointers[1] ? 1 : 0);
}

static void double_all(char *const *pointers, const int64_t *numbers, int64_t chunk,
                       char *workspace) {
    (void)workspace;
    ((int64_t *)(void *)pointers[0])[chunk] *= numbers[0];
}

enum { CHUNKS = 64, BYTES = CHUNKS * (int)sizeof(int64_t) + PLAN_ALIGNMENT };

static const PlanPointer add_pointers[] = {{PLAN_OUTPUTS, 64, 0, 0}, {-1, 0, -1, 0}};
static const PlanPointer double_pointers[] = {{PLAN_OUTPUTS, 64, 0, 0}};
static const int64_t add_numbers[] = {3}, double_numbers[] = {2};

typedef struct Made {
    Arena *arena;
    PlanLaunch launches[2];
    PlanBuffer buffers[2];
    Plan plan;
    Threads *threads;
    PlanExecutor *executor;
} Made;

static void make_plan(Made *made, int threads) {
    made->arena = arena_create();
    made->launches[0] = (PlanLaunch){.kernel = "add",
                                     .function = add_multiple,
                                     .pointer_count = 2,
                                     .number_count = 1,
                                     .pointers = add_pointers,
                                     .numbers = add_numbers,
                                     .chunks = CHUNKS};
    made->launches[1] = (PlanLaunch){.kernel = "double",
                                     .function = double_all,
                                     .pointer_count = 1,
                                     .number_count = 1,
                                     .pointers = double_pointers,
                                     .numbers = double_numbers,
                                     .chunks = CHUNKS};
    made->buffers[0] = (PlanBuffer){"y", PLAN_OUTPUTS, 64, CHUNKS, 8};
    made->buffers[1] = (PlanBuffer){"y", PLAN_STATE, 0, 1, 4};
    made->plan = (Plan){.workspace_bytes = 8,
                        .launch_count = 2,
                        .launches = made->launches,
                        .buffer_count = 2,
                        .buffers = made->buffers};
    made->plan.region_bytes[PLAN_OUTPUTS] = 64 + BYTES;
    made->plan.region_bytes[PLAN_STATE] = 4 + PLAN_ALIGNMENT;
    CU_ASSERT_PTR_NULL_FATAL(threads_create(made->arena, threads, &made->threads).message);
}

static void make(Made *made, int threads) {
    make_plan(made, threads);
    CU_ASSERT_PTR_NULL_FATAL(
        plan_executor_create(made->arena, &made->plan, made->threads, &made->executor).message);
}

static void destroy(Made *made) {
    plan_executor_destroy(made->executor);
    threads_destroy(made->threads);
    arena_destroy(made->arena);
}

static void expect_elements(const Made *made, int64_t factor) {
    const int64_t *y = plan_executor_buffer(made->executor, PLAN_OUTPUTS, "y");
    CU_ASSERT_PTR_NOT_NULL_FATAL(y);
    for (int64_t i = 0; i < CHUNKS; i++)
        CU_ASSERT_EQUAL(y[i], factor * i);
}

/* Zeroed at first; y = 2 (y + 3 i) at each run, whatever the number of threads. */
static void launches_in_order(void) {
    for (int threads = 1; threads <= 3; threads++) {
        Made made = {0};
        make(&made, threads);
        expect_elements(&made, 0);
        plan_executor_run(made.executor);
        expect_elements(&made, 6);
        plan_executor_run_launch(made.executor, 0);
        expect_elements(&made, 9);
        plan_executor_run_launch(made.executor, 1);
        expect_elements(&made, 18);
        TimeSpan times[2];
        double begin = clock_seconds();
        plan_executor_profile(made.executor, times);
        expect_elements(&made, 42);
        CU_ASSERT(begin <= times[0].begin && times[0].begin <= times[0].end);
        CU_ASSERT(times[0].end <= times[1].begin && times[1].begin <= times[1].end);
        CU_ASSERT(times[1].end <= clock_seconds());
        destroy(&made);
    }
}

static void regions(void) {
    Made made = {0};
    make(&made, 2);
    char *outputs = plan_executor_region(made.executor, PLAN_OUTPUTS);
    CU_ASSERT_EQUAL((uintptr_t)outputs % PLAN_ALIGNMENT, 0);
    CU_ASSERT_PTR_EQUAL(plan_executor_buffer(made.executor, PLAN_OUTPUTS, "y"), outputs + 64);
    CU_ASSERT_PTR_EQUAL(plan_executor_buffer(made.executor, PLAN_STATE, "y"),
                        plan_executor_region(made.executor, PLAN_STATE));
    CU_ASSERT_PTR_NULL(plan_executor_buffer(made.executor, PLAN_STATE, "z"));
    CU_ASSERT_PTR_NULL(plan_executor_buffer(made.executor, PLAN_PARAMS, "y"));
    CU_ASSERT_PTR_NULL(plan_find(&made.plan, PLAN_INPUTS, "y"));
    size_t workspace;
    CU_ASSERT_PTR_NOT_NULL(plan_executor_workspace(made.executor, &workspace));
    CU_ASSERT(workspace >= 2 * 8);
    CU_ASSERT(plan_executor_bytes(made.executor) >=
              made.plan.region_bytes[PLAN_OUTPUTS] + made.plan.region_bytes[PLAN_STATE] + 2 * 8);
    destroy(&made);
}

static void *address_in(const void *context, const PlanPointer *pointer) {
    CU_ASSERT_EQUAL(pointer->region, PLAN_OUTPUTS);
    return *(char *const *)context + pointer->offset - 64;
}

static void memory_of_the_caller(void) {
    Made made = {0};
    make_plan(&made, 2);
    int64_t *y = arena_new_array(made.arena, int64_t, CHUNKS);
    CU_ASSERT_PTR_NULL_FATAL(plan_executor_create_over(made.arena, &made.plan, made.threads,
                                                       address_in, &y, &made.executor)
                                 .message);
    plan_executor_run(made.executor);
    for (int64_t i = 0; i < CHUNKS; i++)
        CU_ASSERT_EQUAL(y[i], 6 * i);
    destroy(&made);
}

/* ---- Sharing --------------------------------------------------------------------------------- */

static const PlanPointer count_pointers[] = {{PLAN_STATE, 0, 0, 0}, {PLAN_OUTPUTS, 0, 1, 0}};

/* The state goes up by one, and is given out. */
static void count_up(char *const *pointers, const int64_t *numbers, int64_t chunk,
                     char *workspace) {
    (void)numbers, (void)chunk, (void)workspace;
    int64_t *count = (int64_t *)(void *)pointers[0];
    *(int64_t *)(void *)pointers[1] = ++*count;
}

typedef struct Counter {
    PlanLaunch launch;
    PlanBuffer buffers[3];
    Plan plan;
    PlanExecutor *executor;
} Counter;

static void make_counter(Counter *counter, int64_t outputs) {
    counter->launch = (PlanLaunch){.kernel = "count",
                                   .function = count_up,
                                   .pointer_count = 2,
                                   .pointers = count_pointers,
                                   .chunks = 1};
    counter->buffers[0] = (PlanBuffer){"count", PLAN_STATE, 0, 1, 8};
    counter->buffers[1] = (PlanBuffer){"y", PLAN_OUTPUTS, 0, outputs, 8};
    counter->buffers[2] = (PlanBuffer){"params", PLAN_PARAMS, 0, 1, 4};
    counter->plan = (Plan){.workspace_bytes = 8,
                           .launch_count = 1,
                           .launches = &counter->launch,
                           .buffer_count = 3,
                           .buffers = counter->buffers};
    counter->plan.region_bytes[PLAN_STATE] = 8 + PLAN_ALIGNMENT;
    counter->plan.region_bytes[PLAN_PARAMS] = 4 + PLAN_ALIGNMENT;
    counter->plan.region_bytes[PLAN_OUTPUTS] = outputs * 8 + PLAN_ALIGNMENT;
}

static int64_t output_of(const Counter *counter) {
    return *(int64_t *)plan_executor_buffer(counter->executor, PLAN_OUTPUTS, "y");
}

/* Two plans go on from one another; what is not shared is their own, and dies with them. */
static void shared_regions(void) {
    Arena *arena = arena_create();
    Threads *threads;
    Counter owner = {0}, other = {0};
    make_counter(&owner, 1);
    make_counter(&other, 1000);
    owner.plan.region_bytes[PLAN_STATE] += 64; /* of which the other knows nothing */
    CU_ASSERT_PTR_NULL_FATAL(threads_create(arena, 1, &threads).message);
    CU_ASSERT_PTR_NULL_FATAL(
        plan_executor_create(arena, &owner.plan, threads, &owner.executor).message);
    CU_ASSERT_PTR_NULL_FATAL(
        plan_executor_create_sharing(arena, &other.plan, threads, owner.executor, &other.executor)
            .message);
    plan_executor_run(owner.executor);
    plan_executor_run(other.executor);
    CU_ASSERT_EQUAL(output_of(&owner), 1);
    CU_ASSERT_EQUAL(output_of(&other), 2);
    for (int region = PLAN_PARAMS; region < PLAN_REGIONS; region++)
        CU_ASSERT_EQUAL(plan_executor_region(owner.executor, region) ==
                            plan_executor_region(other.executor, region),
                        region == PLAN_PARAMS || region == PLAN_STATE);
    CU_ASSERT_EQUAL(plan_executor_bytes(other.executor) - plan_executor_bytes(owner.executor),
                    999 * 8 - (8 + PLAN_ALIGNMENT + 64) - (4 + PLAN_ALIGNMENT));
    plan_executor_destroy(other.executor);
    plan_executor_run(owner.executor);
    CU_ASSERT_EQUAL(output_of(&owner), 3);
    plan_executor_destroy(owner.executor);
    threads_destroy(threads);
    arena_destroy(arena);
}

static void expect_unlike(const Counter *owner, const Counter *other, const char *what) {
    Arena *arena = arena_create();
    Threads *threads;
    PlanExecutor *first, *second = NULL;
    CU_ASSERT_PTR_NULL_FATAL(threads_create(arena, 1, &threads).message);
    CU_ASSERT_PTR_NULL_FATAL(plan_executor_create(arena, &owner->plan, threads, &first).message);
    Status status = plan_executor_create_sharing(arena, &other->plan, threads, first, &second);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, what));
    CU_ASSERT_PTR_NULL(second);
    plan_executor_destroy(first);
    threads_destroy(threads);
    arena_destroy(arena);
}

static void refuse_sharing(const Counter *a, const Counter *b, const char *what) {
    expect_unlike(a, b, what);
    expect_unlike(b, a, what);
}

static void regions_that_differ(void) {
    Counter counter = {0}, other = {0};
    make_counter(&counter, 1);
    make_counter(&other, 1);
    other.buffers[0].name = "count\n";
    refuse_sharing(&counter, &other, "this one is missing");
    expect_unlike(&counter, &other, "count\\x0A: ");
    make_counter(&other, 1);
    other.buffers[0].elements = 2;
    refuse_sharing(&counter, &other, "count: ");
    refuse_sharing(&counter, &other, "its size differs");
    make_counter(&other, 1);
    other.buffers[2].element_bytes = 2;
    refuse_sharing(&counter, &other, "params: ");
    make_counter(&other, 1);
    other.buffers[0].offset = 64;
    refuse_sharing(&counter, &other, "it lies elsewhere");
    make_counter(&other, 1);
    other.plan.region_bytes[PLAN_PARAMS] += 64;
    expect_unlike(&counter, &other, "parameters: ");
}

static void too_large(void) {
    Made made = {0};
    make_plan(&made, 1);
    made.plan.region_bytes[PLAN_SCRATCH] = (int64_t)1 << 60;
    Status status = plan_executor_create(made.arena, &made.plan, made.threads, &made.executor);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "not enough memory"));
    threads_destroy(made.threads);
    arena_destroy(made.arena);
}

CU_TestInfo runtime_executor_tests[] = {
    {"launches run in order, chunks once", launches_in_order},
    {"regions and buffers", regions},
    {"memory of the caller's", memory_of_the_caller},
    {"two executors over the same parameters and states", shared_regions},
    {"regions that differ are not shared", regions_that_differ},
    {"more memory than there is", too_large},
    CU_TEST_INFO_NULL,
};
