/* Timing of a compiled program: what `sparkc bench` measures, and how it is shown. */
#ifndef SPARKC_TOOLS_BENCH_BENCH_H
#define SPARKC_TOOLS_BENCH_BENCH_H

#include <jansson.h>

#include "codegen/cpu/cpu.h"
#include "ir/kernel_footprint.h"
#include "passes/passes.h"
#include "passes/program.h"
#include "runtime/executor.h"
#include "tools/execute/executor.h"

typedef struct BenchSettings {
    PassOptions pass;
    ExecutorOptions run;
    int peak_rounds;    /* of measuring the machine; the best counts */
    int warm_up, steps; /* before timing, timed */
    uint32_t seed;      /* of weights, pictures and cells */
} BenchSettings;

/* What the machine can do with these threads and this CPU's instructions. */
typedef struct BenchPeak {
    double flops, bytes;   /* per second: multiply-adds of fp32; what is read from memory */
    double tile_flops;     /* of products of bf16 by instructions for them; 0: there are none */
    double launch_seconds; /* of a launch that does next to nothing */
} BenchPeak;

/* The parts of a step. */
typedef enum BenchPart {
    BENCH_ENCODER,
    BENCH_DENSIFY,
    BENCH_DECODER,
    BENCH_LOSS,
    BENCH_UPDATE
} BenchPart;
enum { BENCH_PARTS = BENCH_UPDATE + 1 };

/* What a kernel cannot be faster than: its multiply-adds at the arithmetic peak, its bytes at the
 * speed of memory (maps and reductions: of a triad), its launches. The slowest bounds it. */
typedef enum BenchBound { BENCH_BY_ARITHMETIC, BENCH_BY_MEMORY, BENCH_BY_LAUNCH } BenchBound;

/* One kernel over all timed steps. */
typedef struct BenchKernel {
    const Kernel *kernel;
    const char *layer; /* the layer whose work it is, or what the kernel's name starts with */
    BenchPart part;
    bool contract;
    int first_launch, launch_count;
    double seconds;                             /* median of the timed steps */
    double arithmetic_seconds;                  /* of its multiply-adds at their peak */
    double triad_seconds, cold_triad_seconds;   /* of a stream of the same size and mix, on memory
                                                   just used and not; 0: not a map or reduction */
    int64_t multiply_adds, multiply_adds_dense; /* executed; the same with all cells visible */
    int64_t bytes;                              /* of the traffic, where it has launches */
    KernelTraffic traffic;
} BenchKernel;

typedef struct BenchResult {
    Graph *graph;   /* after all passes, or the interface of `given` */
    Program *given; /* the program was read from a text; NULL: it is made of the graph */
    Executor *executor;
    const Program *program;
    CpuTarget target;
    CpuStatistics code;
    BenchPeak peak;
    int threads;
    int step_count;
    double *step_seconds; /* ascending */
    TimeSpan *steps;      /* in the order they ran */
    int launch_count;
    TimeSpan *launches; /* of all steps, one after the other */
    double compile_seconds, passes_seconds;
    double loss;                             /* of the last step; NaN where the entry has none */
    int64_t multiply_adds_needed;            /* -1: unknown, there was no graph */
    int64_t part_needed[BENCH_PARTS];        /* the same by part */
    int stream_count;                        /* distinct triads that were measured */
    int64_t peak_bytes, scratch_lower_bound; /* regions and workspace; the least scratch possible */
    int64_t resident_peak_bytes;             /* of the process; 0: unknown */
    size_t kernel_count;
    BenchKernel *kernels; /* in the order they run */
} BenchResult;

/* Called before each phase and step, for progress; `text` says what begins. */
typedef void BenchProgress(void *context, const char *text);

/* Runs the passes over a copy of `graph`, which is as the front end made it. False after their
 * reports. */
bool bench_passes(Arena *arena, const Graph *graph, const PassOptions *options,
                  Diagnostics *diagnostics, BenchResult *result);

/* The same for a program that was read from a text, at any stage. */
bool bench_program(ProgramBuild *build, Diagnostics *diagnostics, BenchResult *result);

/* Compiles what the passes made and measures it. */
Status bench_run(Arena *arena, const BenchSettings *settings, BenchProgress *progress,
                 void *context, BenchResult *result);

/* The stream that stands for kernels which read and write so many bytes: the smallest mix nearest
 * to theirs, the size to a quarter of an octave. */
CpuStream bench_stream_of(int64_t read, int64_t written);

/* Measures the triads of all maps and reductions, and what a launch costs. */
Status bench_measure_triads(Arena *arena, Threads *threads, int rounds, BenchResult *result);

/* What bounds a kernel, and the seconds that it takes at least. */
BenchBound bench_bound(const BenchResult *result, const BenchKernel *kernel, double *seconds);
const char *bench_bound_name(BenchBound bound);

/* Contracts of one shape together. */
typedef struct BenchShape {
    const Kernel *kernel; /* the first of them */
    int64_t rows, terms;  /* of the result; of each of its sums */
    int kernels;
    double seconds, arithmetic_seconds, bound_seconds;
    double share; /* of the arithmetic peak */
    int64_t multiply_adds;
    BenchBound bound;
    const char *reason; /* what is known to keep it from the peak */
} BenchShape;

/* The shapes of all contracts, the slowest first. */
BenchShape *bench_shapes(Arena *arena, const BenchResult *result, size_t *count);

/* A share of the arithmetic peak below which a shape of contracts is listed. */
extern const double bench_low_share;

void bench_print_shapes(const BenchResult *result);
json_t *bench_shapes_json(const BenchResult *result);

/* Frees what stands behind a result. */
void bench_close(BenchResult *result);

/* The result as text: totals, by part, by kind, and the `top` slowest kernels. */
void bench_print(const BenchResult *result, int top);
json_t *bench_json(const BenchResult *result);

/* The timed steps as trace events, as chrome://tracing and Perfetto read them: a span per step, in
 * it one per kernel, in that one per launch where it has several. Microseconds from the first step.
 */
json_t *bench_trace_json(const BenchResult *result);

/* A name as JSON: bytes that are not UTF-8 as \xNN. */
json_t *bench_name_json(const char *name);

/* The word of a part. */
const char *bench_part_name(BenchPart part);

#endif
