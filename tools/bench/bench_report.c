#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "ir/kernel_names.h"
#include "tools/bench/bench.h"

/* Some kernels together. */
typedef struct Sum {
    const char *name;
    int kernels;
    double seconds, arithmetic_seconds, triad_seconds, cold_triad_seconds;
    int64_t multiply_adds, multiply_adds_dense, bytes;
} Sum;

static const char *const part_names[] = {[BENCH_ENCODER] = "encoder",
                                         [BENCH_DENSIFY] = "densify",
                                         [BENCH_DECODER] = "decoder",
                                         [BENCH_LOSS] = "loss",
                                         [BENCH_UPDATE] = "update"};

const char *bench_part_name(BenchPart part) {
    return part_names[part];
}

static void add_to(Sum *sum, const BenchKernel *kernel) {
    sum->kernels++;
    sum->seconds += kernel->seconds;
    sum->arithmetic_seconds += kernel->arithmetic_seconds;
    sum->triad_seconds += kernel->triad_seconds;
    sum->cold_triad_seconds += kernel->cold_triad_seconds;
    sum->multiply_adds += kernel->multiply_adds;
    sum->multiply_adds_dense += kernel->multiply_adds_dense;
    sum->bytes += kernel->bytes;
}

static Sum sum_kernel(const BenchKernel *kernel) {
    Sum sum = {.name = kernel->kernel->name};
    add_to(&sum, kernel);
    return sum;
}

static Sum sum_part(const BenchResult *result, BenchPart part) {
    Sum sum = {.name = part_names[part]};
    for (size_t i = 0; i < result->kernel_count; i++)
        if (result->kernels[i].part == part)
            add_to(&sum, &result->kernels[i]);
    return sum;
}

static Sum sum_kind(const BenchResult *result, KernelKind kind) {
    Sum sum = {.name = kernel_kind_name(kind)};
    for (size_t i = 0; i < result->kernel_count; i++)
        if (result->kernels[i].kernel->kind == kind)
            add_to(&sum, &result->kernels[i]);
    return sum;
}

static Sum sum_contracts(const BenchResult *result) {
    Sum sum = {.name = "contracts"};
    for (size_t i = 0; i < result->kernel_count; i++)
        if (result->kernels[i].contract)
            add_to(&sum, &result->kernels[i]);
    return sum;
}

static Sum sum_all(const BenchResult *result) {
    Sum sum = {.name = "all kernels"};
    for (size_t i = 0; i < result->kernel_count; i++)
        add_to(&sum, &result->kernels[i]);
    return sum;
}

static double median_step(const BenchResult *result) {
    int n = result->step_count;
    return 0.5 * (result->step_seconds[(n - 1) / 2] + result->step_seconds[n / 2]);
}

/* 0 where nothing was done or no time passed. */
static double over(double amount, double seconds) {
    return seconds > 0 ? amount / seconds : 0;
}

/* The share of the multiply-adds of whole pictures that hidden cells save. */
static double skipped_share(int64_t executed, int64_t dense) {
    return dense > 0 ? 1 - (double)executed / (double)dense : 0;
}

static double bytes_share(const BenchResult *result, const Sum *sum) {
    return over((double)sum->bytes, sum->seconds) / result->peak.bytes;
}

/* ---- Text ------------------------------------------------------------------------------------ */

static void print_header(const char *what, const char *kind, const char *last) {
    printf("%-36s %-15s %10s %6s %9s %6s %8s %6s %s\n", what, kind, "ms", "step", "GFLOP/s", "peak",
           "GB/s", "memory", last);
}

/* Without an end of the line. */
static void print_row(const BenchResult *result, const char *kind, const Sum *sum) {
    double step = median_step(result);
    printf("%-36s %-15s %10.3f %5.1f%% %9.2f %5.1f%% %8.2f %5.1f%%", sum->name, kind,
           1e3 * sum->seconds, 100 * over(sum->seconds, step),
           2e-9 * over((double)sum->multiply_adds, sum->seconds),
           100 * over(sum->arithmetic_seconds, sum->seconds),
           1e-9 * over((double)sum->bytes, sum->seconds), 100 * bytes_share(result, sum));
}

static void print_sum(const BenchResult *result, Sum sum) {
    char count[24];
    if (sum.kernels == 0)
        return;
    snprintf(count, sizeof count, "%d kernels", sum.kernels);
    print_row(result, count, &sum);
    if (sum.multiply_adds_dense > 0)
        printf(" %5.1f%%", 100 * skipped_share(sum.multiply_adds, sum.multiply_adds_dense));
    putchar('\n');
}

static void print_triad(const BenchResult *result, KernelKind kind) {
    Sum sum = sum_kind(result, kind);
    if (sum.kernels > 0)
        printf("%s: %.1f %% of the triad (%.1f %% on memory not just used)\n", sum.name,
               100 * over(sum.triad_seconds, sum.seconds),
               100 * over(sum.cold_triad_seconds, sum.seconds));
}

static void print_totals(const BenchResult *result) {
    const Geometry *geometry = &result->graph->geometry;
    double step = median_step(result);
    Sum all = sum_all(result), contracts = sum_contracts(result);
    printf("%s: batch %" PRId64 ", ", result->graph->network, geometry->batch);
    if (geometry->keep)
        printf("%" PRId64 " of %" PRId64 " cells visible", geometry->keep,
               graph_cells(result->graph));
    else
        printf("whole pictures");
    printf(", %d threads, %s\n", result->threads, result->target.cpu);
    printf("machine: %.1f GFLOP/s", 1e-9 * result->peak.flops);
    if (result->peak.tile_flops > 0)
        printf(", %.1f of bf16 tiles", 1e-9 * result->peak.tile_flops);
    printf(", %.1f GB/s\n", 1e-9 * result->peak.bytes);
    printf("step: %.4f s (%.4f to %.4f of %d), %.3f images/s", step, result->step_seconds[0],
           result->step_seconds[result->step_count - 1], result->step_count,
           (double)geometry->batch / step);
    printf(isnan(result->loss) ? "\n" : ", loss %g\n", result->loss);
    printf("multiply-adds: ");
    if (result->multiply_adds_needed >= 0)
        printf("%.3f G needed, ", 1e-9 * (double)result->multiply_adds_needed);
    printf("%.3f G executed", 1e-9 * (double)all.multiply_adds);
    if (result->multiply_adds_needed > 0)
        printf(" (%+.1f %%)", 100 * over((double)(all.multiply_adds - result->multiply_adds_needed),
                                         (double)result->multiply_adds_needed));
    printf(", %.1f %% of whole pictures skipped\n",
           100 * skipped_share(all.multiply_adds, all.multiply_adds_dense));
    printf("contracts: %.1f %% of the peak\n",
           100 * over(contracts.arithmetic_seconds, contracts.seconds));
    print_triad(result, KERNEL_MAP);
    print_triad(result, KERNEL_REDUCE);
    printf("memory: %.1f MB planned, %.1f MB resident at most\n", 1e-6 * (double)result->peak_bytes,
           1e-6 * (double)result->resident_peak_bytes);
    printf("code: %.2f s, %d kernels, %d distinct, %d of them contracts, %d from the cache\n",
           result->compile_seconds, result->code.kernels, result->code.distinct_kernels,
           result->code.distinct_contracts, result->code.cache_hits);
    if (result->code.tuned > 0)
        printf("tuned: %d contractions have other choices than the defaults\n", result->code.tuned);
    putchar('\n');
}

static int slower_first(const void *a, const void *b) {
    const BenchKernel *x = *(const BenchKernel *const *)a, *y = *(const BenchKernel *const *)b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static void print_kernel(const BenchResult *result, const BenchKernel *kernel) {
    double least;
    BenchBound bound = bench_bound(result, kernel, &least);
    Sum sum = sum_kernel(kernel);
    print_row(result, kernel_kind_name(kernel->kernel->kind), &sum);
    if (kernel->triad_seconds > 0)
        printf(" %5.1f%%", 100 * over(kernel->triad_seconds, kernel->seconds));
    else
        printf("      -");
    printf(" %-10s %5.1f%%\n", bench_bound_name(bound), 100 * over(least, kernel->seconds));
}

static void print_slowest(const BenchResult *result, int top) {
    const BenchKernel **order = calloc(result->kernel_count + 1, sizeof *order);
    if (!order)
        return;
    for (size_t i = 0; i < result->kernel_count; i++)
        order[i] = &result->kernels[i];
    qsort(order, result->kernel_count, sizeof *order, slower_first);
    for (size_t i = 0; i < result->kernel_count && i < (size_t)top; i++)
        print_kernel(result, order[i]);
    free(order);
}

void bench_print(const BenchResult *result, int top) {
    print_totals(result);
    print_header("part", "", "skipped");
    for (int part = 0; part < BENCH_PARTS; part++)
        print_sum(result, sum_part(result, (BenchPart)part));
    print_sum(result, sum_all(result));
    putchar('\n');
    print_header("kind", "", "skipped");
    for (int kind = 0; kind < KERNEL_KINDS; kind++)
        print_sum(result, sum_kind(result, (KernelKind)kind));
    putchar('\n');
    bench_print_shapes(result);
    putchar('\n');
    print_header("slowest kernels", "kind", "triad bound       of it");
    print_slowest(result, top);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *rates_json(const BenchResult *result, const Sum *sum) {
    return json_pack("{s:f, s:I, s:I, s:f, s:f}", "seconds", sum->seconds, "flops",
                     (json_int_t)(2 * sum->multiply_adds), "bytes", (json_int_t)sum->bytes,
                     "share_of_peak", over(sum->arithmetic_seconds, sum->seconds),
                     "share_of_memory", bytes_share(result, sum));
}

static json_t *sum_json(const BenchResult *result, Sum sum) {
    json_t *json = rates_json(result, &sum);
    json_object_set_new(json, "name", json_string(sum.name));
    json_object_set_new(json, "kernels", json_integer(sum.kernels));
    json_object_set_new(json, "flops_dense",
                        json_integer((json_int_t)(2 * sum.multiply_adds_dense)));
    json_object_set_new(json, "skipped_share",
                        json_real(skipped_share(sum.multiply_adds, sum.multiply_adds_dense)));
    return json;
}

json_t *bench_name_json(const char *name) {
    Arena *arena = arena_create();
    Text text = text_create(arena);
    text_append_escaped(&text, name);
    json_t *json = json_string(text.data);
    arena_destroy(arena);
    return json;
}

static void set_limits(const BenchResult *result, const BenchKernel *kernel, json_t *json) {
    double least;
    BenchBound bound = bench_bound(result, kernel, &least);
    json_t *limits = json_pack(
        "{s:I, s:I, s:I, s:s, s:f}", "flops_dense", (json_int_t)(2 * kernel->multiply_adds_dense),
        "bytes_read", (json_int_t)kernel->traffic.read, "bytes_written",
        (json_int_t)kernel->traffic.written, "bound", bench_bound_name(bound), "share_of_bound",
        over(least, kernel->seconds));
    json_object_update(json, limits);
    json_decref(limits);
    if (kernel->triad_seconds <= 0)
        return;
    json_object_set_new(json, "share_of_triad",
                        json_real(over(kernel->triad_seconds, kernel->seconds)));
    json_object_set_new(json, "share_of_cold_triad",
                        json_real(over(kernel->cold_triad_seconds, kernel->seconds)));
}

static json_t *kernel_json(const BenchResult *result, const BenchKernel *kernel) {
    Sum sum = sum_kernel(kernel);
    json_t *json = rates_json(result, &sum);
    json_object_set_new(json, "name", bench_name_json(kernel->kernel->name));
    json_object_set_new(json, "layer", bench_name_json(kernel->layer));
    json_object_set_new(json, "part", json_string(part_names[kernel->part]));
    json_object_set_new(json, "kind", json_string(kernel_kind_name(kernel->kernel->kind)));
    set_limits(result, kernel, json);
    return json;
}

static json_t *kernels_json(const BenchResult *result) {
    json_t *list = json_array();
    for (size_t i = 0; i < result->kernel_count; i++)
        json_array_append_new(list, kernel_json(result, &result->kernels[i]));
    return list;
}

static json_t *parts_json(const BenchResult *result) {
    json_t *list = json_array();
    for (int part = 0; part < BENCH_PARTS; part++) {
        json_t *sum = sum_json(result, sum_part(result, (BenchPart)part));
        json_t *needed =
            result->given ? json_null() : json_integer((json_int_t)(2 * result->part_needed[part]));
        json_object_set_new(sum, "flops_needed", needed);
        json_array_append_new(list, sum);
    }
    return list;
}

static json_t *kinds_json(const BenchResult *result) {
    json_t *list = json_array();
    for (int kind = 0; kind < KERNEL_KINDS; kind++)
        json_array_append_new(list, sum_json(result, sum_kind(result, (KernelKind)kind)));
    return list;
}

static json_t *machine_json(const BenchResult *result) {
    const BenchPeak *peak = &result->peak;
    return json_pack("{s:s, s:s, s:i, s:f, s:f, s:f, s:f}", "cpu", result->target.cpu, "features",
                     result->target.features, "threads", result->threads, "flops_per_second",
                     peak->flops, "tile_flops_per_second", peak->tile_flops, "bytes_per_second",
                     peak->bytes, "launch_seconds", peak->launch_seconds);
}

/* Of all kernels of a kind together: weighted by the time that they take. */
static void add_triad(const BenchResult *result, json_t *json, KernelKind kind, const char *warm,
                      const char *cold) {
    Sum sum = sum_kind(result, kind);
    json_object_set_new(json, warm, json_real(over(sum.triad_seconds, sum.seconds)));
    json_object_set_new(json, cold, json_real(over(sum.cold_triad_seconds, sum.seconds)));
}

static void add_triads(const BenchResult *result, json_t *json) {
    add_triad(result, json, KERNEL_MAP, "map_share_of_triad", "map_share_of_cold_triad");
    add_triad(result, json, KERNEL_REDUCE, "reduce_share_of_triad", "reduce_share_of_cold_triad");
    json_object_set_new(json, "triads", json_integer(result->stream_count));
}

static void add_work(const BenchResult *result, json_t *json) {
    Sum contracts = sum_contracts(result);
    json_object_set_new(json, "multiply_adds_needed",
                        result->multiply_adds_needed >= 0
                            ? json_integer((json_int_t)result->multiply_adds_needed)
                            : json_null());
    json_object_set_new(json, "multiply_adds_executed",
                        json_integer((json_int_t)sum_all(result).multiply_adds));
    json_object_set_new(json, "contract_share_of_peak",
                        json_real(over(contracts.arithmetic_seconds, contracts.seconds)));
    json_object_set_new(json, "multiply_adds_dense",
                        json_integer((json_int_t)sum_all(result).multiply_adds_dense));
    add_triads(result, json);
    json_object_set_new(json, "contract_shapes", bench_shapes_json(result));
    json_object_set_new(json, "parts", parts_json(result));
    json_object_set_new(json, "kinds", kinds_json(result));
    json_object_set_new(json, "kernel_list", kernels_json(result));
}

json_t *bench_json(const BenchResult *result) {
    double batch = (double)result->graph->geometry.batch;
    json_t *json = json_pack(
        "{s:o, s:I, s:o, s:f, s:i, s:f, s:f, s:f, s:f, s:I, s:I, s:f, s:i, s:i, s:i, s:i, s:i}",
        "network", bench_name_json(result->graph->network), "batch",
        (json_int_t)result->graph->geometry.batch, "machine", machine_json(result),
        "images_per_second", batch / median_step(result), "steps", result->step_count,
        "step_seconds", median_step(result), "step_seconds_min", result->step_seconds[0],
        "step_seconds_max", result->step_seconds[result->step_count - 1], "encoder_seconds",
        sum_part(result, BENCH_ENCODER).seconds, "peak_bytes", (json_int_t)result->peak_bytes,
        "scratch_lower_bound", (json_int_t)result->scratch_lower_bound, "compile_seconds",
        result->compile_seconds, "kernels", result->code.kernels, "distinct_kernels",
        result->code.distinct_kernels, "distinct_contracts", result->code.distinct_contracts,
        "cache_hits", result->code.cache_hits, "tuned_contractions", result->code.tuned);
    json_object_set_new(json, "resident_peak_bytes",
                        result->resident_peak_bytes
                            ? json_integer((json_int_t)result->resident_peak_bytes)
                            : json_null());
    json_object_set_new(json, "loss", isnan(result->loss) ? json_null() : json_real(result->loss));
    add_work(result, json);
    return json;
}
