/* How much a program executes and how much code it needs, for ResNet-50 at 224 x 224. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cpu/cpu.h"
#include "passes/report.h"
#include "tests/unit/program_fixture.h"
#include "tests/unit/program_suites.h"

/* The training step behind all passes, with at most `limit` rewrites; -1: all. */
static Graph *rewritten(Arena *arena, int64_t batch, int64_t limit) {
    FrontendFile *file = program_fixture_file(arena, "models/resnet.cnn");
    Graph *graph = program_fixture_network(arena, file, "resnet50");
    PassOptions options = pass_options_default();
    options.batch = batch;
    options.rewrites = &(Rewrites){.limit = limit};
    program_fixture_pass(graph, &options);
    return graph;
}

static Graph *resnet50(Arena *arena, int64_t batch) {
    return rewritten(arena, batch, -1);
}

static double needed_multiply_adds(const Graph *graph) {
    double sum = 0;
    for (const Node *node = graph->first; node; node = node->next)
        sum += (double)report_macs(graph, node);
    return sum;
}

static double executed_multiply_adds(const Program *program) {
    double sum = 0;
    for (size_t i = 0; i < program->kernels.count; i++)
        sum += (double)kernel_multiply_adds(program, program->kernels.items[i]);
    return sum;
}

/* Needed are, for each op of the graph, its visible rows times taps times channels. */
static void test_multiply_adds(void) {
    Arena *arena = arena_create();
    Graph *graph = resnet50(arena, 8);
    double needed = needed_multiply_adds(graph);
    double executed = executed_multiply_adds(program_fixture_program(graph));
    printf("\n    %.1f G needed, %.1f G executed ", needed * 1e-9, executed * 1e-9);
    CU_ASSERT(needed > 0);
    CU_ASSERT(executed >= needed);
    CU_ASSERT(executed <= 1.02 * needed);
    arena_destroy(arena);
}

/* What the contracts of densify execute. */
static double densify_multiply_adds(Arena *arena, int64_t limit) {
    const Program *program = program_fixture_program(rewritten(arena, 8, limit));
    double sum = 0;
    for (size_t i = 0; i < program->kernels.count; i++) {
        const Kernel *kernel = program->kernels.items[i];
        if (text_starts_with(kernel->name, "densify"))
            sum += (double)kernel_multiply_adds(program, kernel);
    }
    return sum;
}

/* At mask ratio 0.6, 20 of 49 cells are visible. */
static void test_densify(void) {
    Arena *arena = arena_create();
    double dense = densify_multiply_adds(arena, 0), split = densify_multiply_adds(arena, -1);
    printf("\n    densify: %.1f G dense, %.1f G executed ", dense * 1e-9, split * 1e-9);
    CU_ASSERT(dense > 50e9);
    CU_ASSERT(split > 0.4 * dense);
    CU_ASSERT(split <= 0.45 * dense);
    arena_destroy(arena);
}

/* ---- Code ------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b) {
    return strcmp(((const CpuFunction *)a)->name, ((const CpuFunction *)b)->name);
}

/* The functions of a batch size, by name. */
static CpuFunction *functions_of(Arena *arena, int64_t batch, const char *cpu, int *count) {
    CpuTarget target;
    Program *program = program_fixture_program(resnet50(arena, batch));
    CU_ASSERT_FATAL(status_fine(cpu_target(arena, NULL, cpu, true, &target)));
    CpuFunction *functions = cpu_functions(arena, program, &target, NULL, count);
    qsort(functions, (size_t)*count, sizeof *functions, by_name);
    return functions;
}

static int count_contracts(const CpuFunction *functions, int count) {
    int contracts = 0;
    for (int i = 0; i < count; i++)
        contracts += functions[i].kernel->kind == KERNEL_CONTRACT ||
                     functions[i].kernel->kind == KERNEL_CONTRACT_WEIGHT;
    return contracts;
}

/* Another batch size compiles nothing: every function is one of the other's. */
static void check_cpu(const char *cpu) {
    Arena *arena = arena_create();
    int count, other_count;
    CpuFunction *functions = functions_of(arena, 4, cpu, &count);
    CpuFunction *others = functions_of(arena, 8, cpu, &other_count);
    int contracts = count_contracts(functions, count);
    printf("\n    %s: %d functions, %d of them contract ", cpu, count, contracts);
    CU_ASSERT(contracts > 0);
    CU_ASSERT(contracts <= 80);
    CU_ASSERT_EQUAL(count, other_count);
    for (int i = 0; i < count && i < other_count; i++)
        if (strcmp(functions[i].name, others[i].name) != 0) {
            printf("\n    %s or %s is not shared", functions[i].kernel->name,
                   others[i].kernel->name);
            CU_FAIL("another batch size needs other code");
            break;
        }
    arena_destroy(arena);
}

static void test_code(void) {
    check_cpu("x86-64-v4");
    check_cpu("x86-64-v3");
    check_cpu("x86-64");
}

CU_TestInfo program_work_tests[] = {
    {"no more multiply-adds than needed", test_multiply_adds},
    {"densify multiplies visible rows", test_densify},
    {"code is shared, also between batch sizes", test_code},
    CU_TEST_INFO_NULL,
};
