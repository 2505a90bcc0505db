/* What maps and reductions are compared with: streams that move as many bytes with the same mix of
 * reads and writes. A stream stands for all kernels of about its size (a quarter of an octave) and
 * mix; each runs twice in every round, and the median of the rounds counts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench.h"

static const int64_t smallest = 4096; /* bytes: below, a launch costs more than what it moves */
static const double sizes_per_octave = 4;

typedef struct Triad {
    Arena *arena;
    BenchResult *result;
    VECTOR(CpuStream) streams; /* the first is the smallest one: what a launch costs */
    double *cold, *warm;       /* seconds of each */
} Triad;

/* ---- Which --------------------------------------------------------------------------------- */

static bool has_triad(const BenchKernel *kernel) {
    KernelKind kind = kernel->kernel->kind;
    return (kind == KERNEL_MAP || kind == KERNEL_REDUCE) && kernel->launch_count > 0;
}

/* The smallest numbers of arrays whose share of reads is nearest. */
static CpuStream nearest_mix(double read_share) {
    CpuStream best = {1, 0, 0};
    double least = 2;
    for (int arrays = 1; arrays <= 2 * CPU_STREAM_ARRAYS; arrays++) {
        for (int reads = 0; reads <= CPU_STREAM_ARRAYS && reads <= arrays; reads++) {
            double error = fabs((double)reads / arrays - read_share);
            if (arrays - reads <= CPU_STREAM_ARRAYS && error < least - 1e-9) {
                best = (CpuStream){reads, arrays - reads, 0};
                least = error;
            }
        }
    }
    return best;
}

CpuStream bench_stream_of(int64_t read, int64_t written) {
    double bytes = (double)read + (double)written;
    CpuStream stream = nearest_mix((double)read / fmax(bytes, 1));
    double octaves = log2(fmax(bytes, (double)smallest));
    stream.bytes = (int64_t)exp2(round(sizes_per_octave * octaves) / sizes_per_octave);
    return stream;
}

static size_t find_stream(Triad *triad, CpuStream stream) {
    size_t i = 0;
    for (; i < triad->streams.count; i++) {
        const CpuStream *known = &triad->streams.items[i];
        if (known->reads == stream.reads && known->writes == stream.writes &&
            known->bytes == stream.bytes)
            return i;
    }
    vector_push(triad->arena, &triad->streams, stream);
    return i;
}

static size_t stream_of_kernel(Triad *triad, const BenchKernel *kernel) {
    return find_stream(triad, bench_stream_of(kernel->traffic.read, kernel->traffic.written));
}

/* ---- How fast ------------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of one launch over the rounds. */
static double median_seconds(const Triad *triad, const TimeSpan *times, int rounds, size_t launch) {
    size_t launches = 2 * triad->streams.count;
    double *seconds = arena_new_array(triad->arena, double, (size_t)rounds);
    for (int i = 0; i < rounds; i++) {
        const TimeSpan *span = &times[(size_t)i * launches + launch];
        seconds[i] = span->end - span->begin;
    }
    qsort(seconds, (size_t)rounds, sizeof *seconds, by_size);
    return 0.5 * (seconds[(rounds - 1) / 2] + seconds[rounds / 2]);
}

static void run_rounds(Triad *triad, const Plan *plan, PlanExecutor *executor, int rounds) {
    size_t count = triad->streams.count, launches = 2 * count;
    TimeSpan *times = arena_new_array(triad->arena, TimeSpan, launches * (size_t)rounds);
    memset(plan_executor_region(executor, PLAN_SCRATCH), 0,
           (size_t)plan->region_bytes[PLAN_SCRATCH]);
    for (int i = 0; i < rounds; i++)
        plan_executor_profile(executor, times + (size_t)i * launches);
    triad->cold = arena_new_array(triad->arena, double, count);
    triad->warm = arena_new_array(triad->arena, double, count);
    for (size_t i = 0; i < count; i++) {
        triad->cold[i] = median_seconds(triad, times, rounds, 2 * i);
        triad->warm[i] = median_seconds(triad, times, rounds, 2 * i + 1);
    }
}

static Status measure(Triad *triad, Threads *threads, int rounds) {
    CpuModule *module = NULL;
    Plan *plan;
    PlanExecutor *executor;
    Status status = cpu_streams(triad->arena, &triad->result->target, triad->streams.items,
                                triad->streams.count, &module, &plan);
    if (status_fine(status))
        status = plan_executor_create(triad->arena, plan, threads, &executor);
    if (status_fine(status)) {
        run_rounds(triad, plan, executor, rounds);
        plan_executor_destroy(executor);
    }
    cpu_module_destroy(module);
    return status;
}

/* The streams' sizes are rounded, the kernels' are not. */
static void set_kernel(Triad *triad, BenchKernel *kernel) {
    size_t i = stream_of_kernel(triad, kernel);
    double bytes = (double)kernel->traffic.read + (double)kernel->traffic.written;
    double scale = bytes > (double)smallest ? bytes / (double)triad->streams.items[i].bytes : 1;
    kernel->triad_seconds = scale * triad->warm[i];
    kernel->cold_triad_seconds = scale * triad->cold[i];
}

Status bench_measure_triads(Arena *arena, Threads *threads, int rounds, BenchResult *result) {
    Triad triad = {.arena = arena, .result = result};
    find_stream(&triad, (CpuStream){1, 0, smallest});
    for (size_t i = 0; i < result->kernel_count; i++)
        if (has_triad(&result->kernels[i]))
            stream_of_kernel(&triad, &result->kernels[i]);
    status_return_if_failed(measure(&triad, threads, rounds));
    result->peak.launch_seconds = triad.warm[0];
    result->stream_count = (int)triad.streams.count;
    for (size_t i = 0; i < result->kernel_count; i++)
        if (has_triad(&result->kernels[i]))
            set_kernel(&triad, &result->kernels[i]);
    return STATUS_FINE;
}
