#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fatal.h"
#include "base/text.h"
#include "passes/report.h"
#include "runtime/weights.h"
#include "tools/bench/bench.h"
#include "tools/execute/executor_program.h"
#include "tools/execute/program_interface.h"
#include "tools/execute/synthetic_fill.h"
#include "tools/inspect/labels.h"

typedef struct Bench {
    Arena *arena; /* of the result */
    const BenchSettings *settings;
    Graph *graph;
    const CompiledProgram *compiled;
    BenchProgress *progress;
    void *context;
    BenchResult *result;
} Bench;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double length_of(TimeSpan span) {
    return span.end - span.begin;
}

/* ---- The machine ----------------------------------------------------------------------------- */

static void measure_plan(const Plan *plan, PlanExecutor *executor, int rounds, double *peak_flops,
                         double *peak_bytes) {
    /* Written once, so that the memory exists. */
    memset(plan_executor_region(executor, PLAN_SCRATCH), 0,
           (size_t)plan->region_bytes[PLAN_SCRATCH]);
    for (int i = 0; i < rounds; i++) {
        TimeSpan times[CPU_PEAK_LAUNCHES];
        plan_executor_profile(executor, times);
        double flops = 2 * (double)plan->launches[CPU_PEAK_ARITHMETIC].multiply_adds;
        double bytes = (double)plan->launches[CPU_PEAK_MEMORY].bytes;
        *peak_flops = fmax(*peak_flops, flops / length_of(times[CPU_PEAK_ARITHMETIC]));
        *peak_bytes = fmax(*peak_bytes, bytes / length_of(times[CPU_PEAK_MEMORY]));
    }
}

static Status run_peak_plan(Bench *bench, const Plan *plan, Threads *threads, double *flops) {
    PlanExecutor *executor;
    status_return_if_failed(plan_executor_create(bench->arena, plan, threads, &executor));
    measure_plan(plan, executor, bench->settings->peak_rounds, flops, &bench->result->peak.bytes);
    plan_executor_destroy(executor);
    return STATUS_FINE;
}

static bool multiplies_bf16(const Program *program) {
    for (size_t k = 0; k < program->kernels.count; k++) {
        const Kernel *kernel = program->kernels.items[k];
        bool contraction =
            kernel->kind == KERNEL_CONTRACT || kernel->kind == KERNEL_CONTRACT_WEIGHT;
        if (contraction && kernel->contraction.bf16)
            return true;
    }
    return false;
}

/* The contractions are products of tiles, by instructions for them. */
static bool multiplies_tiles(const Bench *bench) {
    const BenchResult *result = bench->result;
    bool bf16 = result->given ? multiplies_bf16(result->given)
                              : bench->settings->run.precision == PRECISION_BF16;
    return bf16 && cpu_tiles_fast(result->target.tiles);
}

/* The best of some rounds: of multiply-adds in fp32, or by tiles. */
static Status measure_flops(Bench *bench, Threads *threads, bool tiles, double *flops) {
    CpuModule *module = NULL;
    Plan *plan;
    Status status = cpu_peak(bench->arena, &bench->result->target, tiles, &module, &plan);
    if (status_fine(status))
        status = run_peak_plan(bench, plan, threads, flops);
    cpu_module_destroy(module);
    return status;
}

static Status measure_peak(Bench *bench) {
    BenchPeak *peak = &bench->result->peak;
    Threads *threads = NULL;
    bench->progress(bench->context, "measuring the machine");
    status_return_if_failed(
        cpu_target(bench->arena, NULL, bench->settings->run.cpu, false, &bench->result->target));
    Status status = threads_create(bench->arena, bench->settings->run.threads, &threads);
    if (status_fine(status))
        status = measure_flops(bench, threads, false, &peak->flops);
    if (status_fine(status) && multiplies_tiles(bench))
        status = measure_flops(bench, threads, true, &peak->tile_flops);
    threads_destroy(threads);
    return status;
}

/* ---- Resident memory ------------------------------------------------------------------------- */

/* Forgets the peak so far, so that measuring the machine does not count (proc(5), clear_refs). */
static bool reset_resident_peak(void) {
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return false;
    bool fine = fputs("5", file) >= 0;
    return fclose(file) == 0 && fine;
}

/* VmHWM of proc(5), in bytes; 0 if the system does not say. */
static int64_t resident_peak(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long long kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lld kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

/* ---- Inputs ---------------------------------------------------------------------------------- */

static SyntheticFill fill_of(const Bench *bench) {
    return (SyntheticFill){.arena = bench->arena,
                           .graph = bench->graph,
                           .options = &bench->settings->pass,
                           .seed = bench->settings->seed,
                           .receivers = {synthetic_to_executor(bench->result->executor)}};
}

static Status set_inputs(const Bench *bench, uint32_t step) {
    SyntheticFill fill = fill_of(bench);
    status_return_if_failed(synthetic_fill_inputs(&fill, step));
    return synthetic_fill_scalars(&fill, step);
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static double loss_of(const Bench *bench) {
    Executor *executor = bench->result->executor;
    ExecutorTensor loss = executor->operations->output(executor, "loss");
    return loss.data ? loss.data[0] : (double)NAN;
}

static Status warm_up(Bench *bench) {
    for (int i = 0; i < bench->settings->warm_up; i++) {
        bench->progress(bench->context, arena_format(bench->arena, "warm-up step %d of %d", i + 1,
                                                     bench->settings->warm_up));
        status_return_if_failed(set_inputs(bench, (uint32_t)i));
        plan_executor_run(bench->compiled->executor);
    }
    return STATUS_FINE;
}

static Status time_steps(Bench *bench) {
    BenchResult *result = bench->result;
    for (int i = 0; i < result->step_count; i++) {
        bench->progress(bench->context,
                        arena_format(bench->arena, "step %d of %d", i + 1, result->step_count));
        status_return_if_failed(set_inputs(bench, (uint32_t)(bench->settings->warm_up + i)));
        TimeSpan *step = &result->steps[i];
        step->begin = clock_seconds();
        plan_executor_profile(bench->compiled->executor,
                              result->launches + (ptrdiff_t)i * result->launch_count);
        step->end = clock_seconds();
        result->step_seconds[i] = length_of(*step);
    }
    qsort(result->step_seconds, (size_t)result->step_count, sizeof(double), by_size);
    return STATUS_FINE;
}

/* ---- Kernels --------------------------------------------------------------------------------- */

/* The sum of a kernel's launches in each step, then the median over the steps. */
static double median_seconds(const Bench *bench, int first, int count) {
    const BenchResult *result = bench->result;
    int steps = result->step_count;
    double *sums = arena_new_array(bench->arena, double, (size_t)steps);
    for (int s = 0; s < steps; s++)
        for (int i = first; i < first + count; i++)
            sums[s] += length_of(result->launches[(ptrdiff_t)s * result->launch_count + i]);
    qsort(sums, (size_t)steps, sizeof *sums, by_size);
    return 0.5 * (sums[(steps - 1) / 2] + sums[steps / 2]);
}

/* Pretraining adds densify and decoder under names of their own, the optimizer an update; what has
 * a place in the .cnn file is the encoder, as are the maps of its visible positions; the loss is
 * left. */
static BenchPart part_of(const char *name, bool in_model) {
    static const struct {
        const char *prefix;
        BenchPart part;
    } prefixes[] = {
        {"densify.", BENCH_DENSIFY},     {"densify_", BENCH_DENSIFY},
        {"mask_tokens.", BENCH_DENSIFY}, {"dense_decoder.", BENCH_DECODER},
        {"update", BENCH_UPDATE},        {"commit.", BENCH_UPDATE},
        {"gradients.", BENCH_UPDATE},    {"output.", BENCH_UPDATE},
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (text_starts_with(name, prefixes[i].prefix) &&
            !(in_model && prefixes[i].part == BENCH_UPDATE))
            return prefixes[i].part;
    return in_model ? BENCH_ENCODER : BENCH_LOSS;
}

static BenchPart part_of_kernel(const Kernel *kernel) {
    return part_of(kernel->name, kernel->kind == KERNEL_POSITION_MAP || kernel->location.file);
}

/* As if no cell was hidden. */
static int64_t dense_multiply_adds(const Bench *bench, const Kernel *kernel) {
    Program dense = *bench->compiled->program;
    if (dense.geometry.keep > 0)
        dense.geometry.keep = graph_cells(bench->graph);
    return cpu_multiply_adds(&dense, kernel, &bench->result->target);
}

/* Launches stand in the order of the kernels, all stages of one together; kernels that have nothing
 * to do have none. */
static void collect_kernels(Bench *bench) {
    BenchResult *result = bench->result;
    const Program *program = bench->compiled->program;
    const Plan *plan = bench->compiled->plan;
    result->kernels = arena_new_array(bench->arena, BenchKernel, program->kernels.count + 1);
    int next = 0;
    for (size_t i = 0; i < program->kernels.count; i++) {
        const Kernel *kernel = program->kernels.items[i];
        BenchKernel row = {.kernel = kernel,
                           .first_launch = next,
                           .part = part_of_kernel(kernel),
                           .traffic = kernel_traffic(program, kernel),
                           .layer = label_layer(bench->arena, program, kernel->name)};
        for (; next < plan->launch_count && plan->launches[next].kernel == kernel->name; next++) {
            row.contract |= plan->launches[next].contract;
            row.multiply_adds += plan->launches[next].multiply_adds;
            row.bytes += plan->launches[next].bytes;
        }
        row.launch_count = next - row.first_launch;
        if (row.launch_count > 0)
            row.multiply_adds_dense = dense_multiply_adds(bench, kernel);
        double peak = cpu_multiplies_tiles(program, kernel, &result->target)
                          ? result->peak.tile_flops
                          : result->peak.flops;
        row.arithmetic_seconds = 2 * (double)row.multiply_adds / peak;
        row.seconds = median_seconds(bench, row.first_launch, row.launch_count);
        result->kernels[result->kernel_count++] = row;
    }
    invariant(next == plan->launch_count, "launch %d belongs to no kernel", next);
}

/* ---- All ------------------------------------------------------------------------------------- */

static void count_needed(const Graph *graph, BenchResult *result) {
    graph_each(graph, node) {
        int64_t needed = report_macs(graph, node);
        if (needed == 0)
            continue;
        result->part_needed[part_of(node->results[0].name, node->location.file)] += needed;
        result->multiply_adds_needed += needed;
    }
}

static Status compile(Bench *bench) {
    BenchResult *result = bench->result;
    bench->progress(bench->context, "compiling");
    double start = clock_seconds();
    const ExecutorOptions *run = &bench->settings->run;
    if (result->given)
        status_return_if_failed(executor_create_of_program(bench->arena, bench->graph,
                                                           result->given, run, &result->executor));
    else
        status_return_if_failed(
            executor_compiled.create(bench->arena, bench->graph, run, &result->executor));
    result->compile_seconds = result->passes_seconds + clock_seconds() - start;
    bench->compiled = executor_compiled_program(result->executor);
    result->program = bench->compiled->program;
    result->code = bench->compiled->statistics;
    result->peak_bytes = plan_executor_bytes(bench->compiled->executor);
    result->scratch_lower_bound = bench->compiled->memory.scratch_lower_bound;
    return STATUS_FINE;
}

static Status measure(Bench *bench) {
    BenchResult *result = bench->result;
    size_t steps = (size_t)result->step_count;
    result->launch_count = bench->compiled->plan->launch_count;
    result->launches =
        arena_new_array(bench->arena, TimeSpan, (size_t)result->launch_count * steps + 1);
    result->steps = arena_new_array(bench->arena, TimeSpan, steps);
    result->step_seconds = arena_new_array(bench->arena, double, steps);
    SyntheticFill fill = fill_of(bench);
    status_return_if_failed(synthetic_fill_params(&fill));
    status_return_if_failed(warm_up(bench));
    status_return_if_failed(time_steps(bench));
    collect_kernels(bench);
    result->loss = loss_of(bench);
    return STATUS_FINE;
}

bool bench_passes(Arena *arena, const Graph *graph, const PassOptions *options,
                  Diagnostics *diagnostics, BenchResult *result) {
    double start = clock_seconds();
    Graph *rewritten = graph_copy(graph, arena);
    bool fine = passes_run(rewritten, options, NULL, diagnostics, NULL, NULL);
    *result = (BenchResult){.graph = rewritten, .passes_seconds = clock_seconds() - start};
    return fine;
}

bool bench_program(ProgramBuild *build, Diagnostics *diagnostics, BenchResult *result) {
    double start = clock_seconds();
    if (!program_passes_run(build, NULL, diagnostics, NULL, NULL))
        return false;
    *result = (BenchResult){.given = build->program,
                            .graph = program_interface(build->arena, build->program),
                            .passes_seconds = clock_seconds() - start};
    return true;
}

Status bench_run(Arena *arena, const BenchSettings *settings, BenchProgress *progress,
                 void *context, BenchResult *result) {
    Bench bench = {.arena = arena,
                   .settings = settings,
                   .graph = result->graph,
                   .progress = progress,
                   .context = context,
                   .result = result};
    result->threads = settings->run.threads;
    result->step_count = settings->steps;
    result->multiply_adds_needed = result->given ? -1 : 0;
    if (!result->given)
        count_needed(result->graph, result);
    status_return_if_failed(measure_peak(&bench));
    bool counts = reset_resident_peak();
    status_return_if_failed(compile(&bench));
    Status status = measure(&bench);
    result->resident_peak_bytes = counts ? resident_peak() : 0;
    status_return_if_failed(status);
    progress(context, "measuring triads");
    return bench_measure_triads(arena, bench.compiled->threads, settings->peak_rounds, result);
}

void bench_close(BenchResult *result) {
    if (result->executor)
        result->executor->operations->destroy(result->executor);
}
