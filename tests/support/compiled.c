#include "tests/support/compiled.h"

#include <CUnit/CUnit.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/harness.h"

#define EXPECT_FINE(status)                                                                        \
    do {                                                                                           \
        Status expected_ = (status);                                                               \
        if (expected_.message)                                                                     \
            fprintf(stderr, "\n%s\n", expected_.message);                                          \
        CU_ASSERT_PTR_NULL_FATAL(expected_.message);                                               \
    } while (0)

static void compile(Compiled *compiled, Program *program, const CompiledOptions *options) {
    CpuTarget target;
    CpuStatistics statistics;
    EXPECT_FINE(cpu_target(compiled->arena, NULL, options->cpu, false, &target));
    CpuOptions cpu = {.target = &target, .threads = 1, .tuning = options->tuning};
    EXPECT_FINE(cpu_compile(compiled->arena, program, &cpu, &compiled->module, &compiled->plan,
                            &statistics));
}

static void poison(const Compiled *compiled, int region) {
    unsigned char *bytes = plan_executor_region(compiled->executor, region);
    memset(bytes, 0xFF, (size_t)compiled->plan->region_bytes[region]);
}

static void poison_workspace(const Compiled *compiled) {
    size_t bytes;
    void *workspace = plan_executor_workspace(compiled->executor, &bytes);
    memset(workspace, 0xFF, bytes);
}

static Status create_executor(Compiled *compiled, const Compiled *owner) {
    return owner ? plan_executor_create_sharing(compiled->arena, compiled->plan, compiled->threads,
                                                owner->executor, &compiled->executor)
                 : plan_executor_create(compiled->arena, compiled->plan, compiled->threads,
                                        &compiled->executor);
}

Compiled *compiled_create(Program *program, const CompiledOptions *options) {
    Arena *arena = arena_create();
    Compiled *compiled = arena_new(arena, Compiled);
    compiled->arena = arena;
    compiled->program = program;
    CU_ASSERT_FATAL(plan_memory(program, !options->separate, &compiled->memory));
    compile(compiled, program, options);
    EXPECT_FINE(threads_create(arena, options->threads ? options->threads : 1, &compiled->threads));
    EXPECT_FINE(create_executor(compiled, options->owner));
    if (options->poisoned) {
        poison(compiled, PLAN_SCRATCH);
        poison(compiled, PLAN_OUTPUTS);
        poison_workspace(compiled);
    }
    void *regions[PLAN_REGIONS];
    for (int r = 0; r < PLAN_REGIONS; r++)
        regions[r] = plan_executor_region(compiled->executor, r);
    compiled->values = kernel_interpreter_create_planned(program, regions);
    return compiled;
}

void compiled_destroy(Compiled *compiled) {
    kernel_interpreter_destroy(compiled->values);
    plan_executor_destroy(compiled->executor);
    threads_destroy(compiled->threads);
    cpu_module_destroy(compiled->module);
    arena_destroy(compiled->arena);
}

void compiled_run(Compiled *compiled) {
    plan_executor_run(compiled->executor);
}

typedef bool SameValues(const void *first, const void *second, int64_t elements, size_t bytes);

static bool same_bytes(const void *first, const void *second, int64_t elements, size_t bytes) {
    return memcmp(first, second, (size_t)elements * bytes) == 0;
}

/* Of fp32 numbers, what is not a number in both is the same. */
static bool same_numbers(const void *first, const void *second, int64_t elements, size_t bytes) {
    const float *a = first, *b = second;
    for (int64_t i = 0; i < elements; i++)
        if (!(isnan(a[i]) && isnan(b[i])) && memcmp(&a[i], &b[i], bytes) != 0)
            return false;
    return true;
}

static void expect_same(const Compiled *a, const Compiled *b, const char *what, SameValues *same) {
    for (int i = 0; i < a->plan->buffer_count; i++) {
        const PlanBuffer *buffer = &a->plan->buffers[i];
        if (buffer->region == PLAN_INPUTS)
            continue;
        const void *first = plan_executor_buffer(a->executor, buffer->region, buffer->name);
        const void *second = plan_executor_buffer(b->executor, buffer->region, buffer->name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(second);
        CU_ASSERT_EQUAL_FATAL(buffer->element_bytes, (int)sizeof(float));
        if (same(first, second, buffer->elements, sizeof(float)))
            continue;
        fprintf(stderr, "\n%s: %s differs", what, buffer->name);
        CU_FAIL("bytes that must be the same differ");
    }
}

void compiled_expect_same(const Compiled *a, const Compiled *b, const char *what) {
    expect_same(a, b, what, same_bytes);
}

void compiled_expect_same_numbers(const Compiled *a, const Compiled *b, const char *what) {
    expect_same(a, b, what, same_numbers);
}

/* How many of the levels, from the first on, this machine can run. */
static int count_runnable(const char *const *levels, int all) {
    Arena *arena = arena_create();
    CpuTarget target;
    int count = 0;
    while (count < all && status_fine(cpu_target(arena, NULL, levels[count], false, &target)))
        count++;
    arena_destroy(arena);
    return count;
}

static const char *const own[] = {NULL};

#if HARNESS_SANITIZED
#define BETWEEN
#else
#define BETWEEN "x86-64-v3",
#endif

const char *const *compiled_cpus(int *count) {
    static const char *const levels[] = {"x86-64", BETWEEN "x86-64-v4"};
    *count = count_runnable(levels, sizeof levels / sizeof *levels);
    if (*count > 0)
        return levels;
    *count = 1;
    return own;
}

const char *const *compiled_bf16_cpus(int *count) {
    static const char *const levels[] = {"x86-64", BETWEEN "x86-64-v4", "x86-64-v4-tiles",
                                         "x86-64-v4-bf16", "x86-64-amx"};
    *count = count_runnable(levels, sizeof levels / sizeof *levels);
    if (*count > 0)
        return levels;
    *count = 1;
    return own;
}
