/* Programs that are compiled with a cache. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/cpu/choices.h"
#include "passes/lower.h"
#include "passes/passes.h"
#include "passes/plan_memory.h"
#include "runtime/executor.h"
#include "tests/support/network.h"
#include "tests/unit/code_cache_fixture.h"

/* A masked network of two levels with its decoder, lowered and planned. */
static Program *make_program(Arena *arena, int64_t batch) {
    SmallNetwork small = {
        .levels = 2, .batch = batch, .channels = 3, .height = 16, .width = 16, .batch_norm = true};
    PassOptions options = pass_options_default();
    MemoryPlan memory;
    options.entry = ENTRY_RECONSTRUCT;
    options.decoder_width = 16;
    options.mask_ratio = 0.5;
    Graph *graph = small_network(arena, &small);
    Diagnostics *diagnostics = diagnostics_create(arena, 10);
    CU_ASSERT_TRUE_FATAL(passes_run(graph, &options, NULL, diagnostics, NULL, NULL));
    Program *program = lower_graph(arena, graph);
    CU_ASSERT_TRUE_FATAL(plan_memory(program, true, &memory));
    return program;
}

static void fill(PlanExecutor *executor, const Plan *plan, int region) {
    float *numbers = plan_executor_region(executor, region);
    for (int64_t i = 0; i < plan->region_bytes[region] / (int64_t)sizeof(float); i++)
        numbers[i] = (float)((i * 7919 + region) % 101) / 101.0F;
}

/* The visible cells are the first ones of each image. */
static void fill_cells(PlanExecutor *executor, const Program *program) {
    int32_t *cells = plan_executor_buffer(executor, PLAN_INPUTS, "cells");
    int64_t keep = program->geometry.keep;
    CU_ASSERT_PTR_NOT_NULL_FATAL(cells);
    for (int64_t i = 0; i < program->geometry.batch * keep; i++)
        cells[i] = (int32_t)(i % keep);
}

/* The outputs of one run with inputs and parameters that are always the same. */
static void run(Arena *arena, const Program *program, const Plan *plan, char digits[]) {
    Threads *threads;
    PlanExecutor *executor;
    CU_ASSERT_FATAL(status_fine(threads_create(arena, 1, &threads)));
    CU_ASSERT_FATAL(status_fine(plan_executor_create(arena, plan, threads, &executor)));
    fill(executor, plan, PLAN_PARAMS);
    fill(executor, plan, PLAN_STATE);
    fill(executor, plan, PLAN_INPUTS);
    fill_cells(executor, program);
    plan_executor_run(executor);
    code_cache_hash(plan_executor_region(executor, PLAN_OUTPUTS),
                    (size_t)plan->region_bytes[PLAN_OUTPUTS], digits);
    plan_executor_destroy(executor);
    threads_destroy(threads);
}

/* The choices, as text, of the first contraction of a program. */
static void choose(CpuTuning *tuning, const Program *program, const CpuTarget *target,
                   const char *text) {
    for (size_t i = 0; i < program->kernels.count; i++) {
        Choices choices;
        char *key = tuning_key(tuning->arena, program, program->kernels.items[i], target);
        if (!key)
            continue;
        CU_ASSERT_TRUE_FATAL(choices_parse(text, tuning_key_form(key), &choices));
        tuning_set(tuning, key, &choices);
        return;
    }
}

/* Compiles and runs a program, its first contraction with `choices` (NULL: the defaults); what it
 * gave, as a hash. */
static CpuStatistics compile_chosen(const CodeCache *cache, int64_t batch, const char *cpu,
                                    const char *choices, char digits[CODE_HASH_DIGITS + 1]) {
    Arena *arena = arena_create();
    Program *program = make_program(arena, batch);
    CpuTarget target;
    CpuModule *module;
    CpuStatistics statistics;
    CpuTuning tuning = {.arena = arena};
    Plan *plan;
    CU_ASSERT_FATAL(status_fine(cpu_target(arena, NULL, cpu, false, &target)));
    if (choices)
        choose(&tuning, program, &target, choices);
    CpuOptions options = {.target = &target, .threads = 2, .cache = cache, .tuning = &tuning};
    CU_ASSERT_FATAL(
        status_fine(cpu_compile(arena, program, &options, &module, &plan, &statistics)));
    run(arena, program, plan, digits);
    cpu_module_destroy(module);
    arena_destroy(arena);
    return statistics;
}

static CpuStatistics compile_and_run(const CodeCache *cache, int64_t batch, const char *cpu,
                                     char digits[CODE_HASH_DIGITS + 1]) {
    return compile_chosen(cache, batch, cpu, NULL, digits);
}

typedef char Digest[CODE_HASH_DIGITS + 1];

static void compiles_nothing_twice(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    Digest without, cold, warm;
    compile_and_run(NULL, 2, NULL, without);
    CpuStatistics first = compile_and_run(fixture.cache, 2, NULL, cold);
    CpuStatistics second = compile_and_run(fixture.cache, 2, NULL, warm);
    CU_ASSERT_TRUE(first.distinct_kernels > 10);
    CU_ASSERT_EQUAL(first.cache_hits, 0);
    CU_ASSERT_EQUAL(second.cache_hits, second.distinct_kernels);
    CU_ASSERT_EQUAL(code_cache_size(fixture.cache).entries, first.distinct_kernels);
    CU_ASSERT_STRING_EQUAL(cold, without);
    CU_ASSERT_STRING_EQUAL(warm, without);
    cache_fixture_destroy(&fixture);
}

static void compiles_nothing_for_another_batch(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    Digest without, with, other;
    compile_and_run(NULL, 5, NULL, without);
    compile_and_run(fixture.cache, 2, NULL, other);
    CpuStatistics second = compile_and_run(fixture.cache, 5, NULL, with);
    CU_ASSERT_EQUAL(second.cache_hits, second.distinct_kernels);
    CU_ASSERT_STRING_EQUAL(with, without);
    cache_fixture_destroy(&fixture);
}

static void shares_nothing_between_processors(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    Digest host, forced;
    CpuTarget target;
    if (!status_fine(cpu_target(fixture.arena, NULL, "x86-64", false, &target))) {
        cache_fixture_destroy(&fixture);
        return;
    }
    compile_and_run(fixture.cache, 2, NULL, host);
    CU_ASSERT_EQUAL(compile_and_run(fixture.cache, 2, "x86-64", forced).cache_hits, 0);
    cache_fixture_destroy(&fixture);
}

/* Other choices are other code, of the same results; no choices are the code that there is. */
static void keeps_choices_apart(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    Digest usual, chosen, again;
    CpuStatistics first = compile_and_run(fixture.cache, 2, NULL, usual);
    CpuStatistics second = compile_chosen(fixture.cache, 2, NULL, "columns=96", chosen);
    CpuStatistics third = compile_chosen(fixture.cache, 2, NULL, "columns=96", again);
    CpuStatistics none = compile_chosen(fixture.cache, 2, NULL, "", again);
    CU_ASSERT_EQUAL(first.tuned, 0);
    CU_ASSERT_EQUAL(second.tuned, 1);
    CU_ASSERT_EQUAL(none.tuned, 0);
    CU_ASSERT(second.cache_hits < second.distinct_kernels);
    CU_ASSERT_EQUAL(third.cache_hits, third.distinct_kernels);
    CU_ASSERT_EQUAL(none.cache_hits, none.distinct_kernels);
    CU_ASSERT_STRING_EQUAL(chosen, usual);
    CU_ASSERT_STRING_EQUAL(again, usual);
    cache_fixture_destroy(&fixture);
}

/* The first entry that the folder lists, with a byte changed in its code. */
static void damage_one(const CacheFixture *fixture) {
    char *name = NULL;
    FILE *list = popen(arena_format(fixture->arena, "ls '%s'", fixture->folder), "r");
    size_t capacity = 0, size;
    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    ssize_t length = getline(&name, &capacity, list);
    CU_ASSERT_FATAL(length > 1);
    name[length - 1] = '\0';
    while (fgetc(list) != EOF)
        continue;
    pclose(list);
    const char *path = cache_fixture_path(fixture, name);
    char *bytes = cache_fixture_load(fixture, path, &size);
    bytes[size - 1] ^= 1;
    cache_fixture_store(path, bytes, size);
    free(name);
}

static void compiles_what_was_damaged(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    Digest good, after, mended;
    CpuStatistics first = compile_and_run(fixture.cache, 2, NULL, good);
    damage_one(&fixture);
    CpuStatistics second = compile_and_run(fixture.cache, 2, NULL, after);
    CpuStatistics third = compile_and_run(fixture.cache, 2, NULL, mended);
    CU_ASSERT_EQUAL(second.cache_hits, first.distinct_kernels - 1);
    CU_ASSERT_EQUAL(third.cache_hits, first.distinct_kernels);
    CU_ASSERT_STRING_EQUAL(after, good);
    CU_ASSERT_STRING_EQUAL(mended, good);
    cache_fixture_destroy(&fixture);
}

enum { PROCESSES = 3 };

static void lets_processes_compile_at_once(void) {
    CacheFixture fixture = cache_fixture_create(CODE_CACHE_LIMIT);
    Digest good, child, warm;
    pid_t children[PROCESSES];
    compile_and_run(NULL, 2, NULL, good);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        CU_ASSERT_FATAL(children[i] >= 0);
        if (children[i] == 0) {
            compile_and_run(fixture.cache, 2, NULL, child);
            _exit(strcmp(child, good) != 0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        CU_ASSERT_EQUAL(waitpid(children[i], &status, 0), children[i]);
        CU_ASSERT_EQUAL(status, 0);
    }
    CpuStatistics after = compile_and_run(fixture.cache, 2, NULL, warm);
    CU_ASSERT_EQUAL(after.cache_hits, after.distinct_kernels);
    CU_ASSERT_STRING_EQUAL(warm, good);
    cache_fixture_destroy(&fixture);
}

/* Pages of memory that this process has; 0: the system does not tell. */
static long resident_pages(void) {
    long all, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident;
}

/* LLVM's code alone is thousands of pages. */
static void compiles_after_memory_was_given_back(void) {
    char first[CODE_HASH_DIGITS + 1], second[CODE_HASH_DIGITS + 1];
    compile_and_run(NULL, 2, NULL, first);
    long before = resident_pages();
    cpu_release();
    long after = resident_pages();
    CU_ASSERT(before == 0 || after + 5000 < before);
    compile_and_run(NULL, 2, NULL, second);
    CU_ASSERT_STRING_EQUAL(first, second);
}

CU_TestInfo code_cache_compile_tests[] = {
    {"compiles nothing twice", compiles_nothing_twice},
    {"compiles nothing for another batch", compiles_nothing_for_another_batch},
    {"shares nothing between processors", shares_nothing_between_processors},
    {"keeps choices apart", keeps_choices_apart},
    {"compiles what was damaged", compiles_what_was_damaged},
    {"lets processes compile at once", lets_processes_compile_at_once},
    {"compiles after memory was given back", compiles_after_memory_was_given_back},
    CU_TEST_INFO_NULL,
};
