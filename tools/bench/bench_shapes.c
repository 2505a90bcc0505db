/* Contracts by shape: which are far from the arithmetic peak, and what is known of why. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/integer.h"
#include "base/text.h"
#include "ir/kernel_names.h"
#include "tools/bench/bench.h"

/* Half of what contracts shall reach together. */
const double bench_low_share = 0.325;

/* ---- What bounds a kernel ------------------------------------------------------------------ */

const char *bench_bound_name(BenchBound bound) {
    static const char *const names[] = {[BENCH_BY_ARITHMETIC] = "arithmetic",
                                        [BENCH_BY_MEMORY] = "memory",
                                        [BENCH_BY_LAUNCH] = "launch"};
    return names[bound];
}

BenchBound bench_bound(const BenchResult *result, const BenchKernel *kernel, double *seconds) {
    double arithmetic = kernel->arithmetic_seconds;
    double memory = kernel->triad_seconds > 0 ? kernel->triad_seconds
                                              : (double)kernel->bytes / result->peak.bytes;
    double launch = kernel->launch_count * result->peak.launch_seconds;
    *seconds = fmax(arithmetic, fmax(memory, launch));
    if (launch >= arithmetic && launch >= memory)
        return BENCH_BY_LAUNCH;
    return memory > arithmetic ? BENCH_BY_MEMORY : BENCH_BY_ARITHMETIC;
}

/* ---- Shapes -------------------------------------------------------------------------------- */

static int64_t rows_of(const BenchResult *result, const Kernel *kernel) {
    return kernel_rows(result->program, kernel) *
           space_images(&result->program->geometry, &kernel->space);
}

static bool same_shape(const BenchResult *result, const Kernel *a, const Kernel *b) {
    const Contraction *x = &a->contraction, *y = &b->contraction;
    return a->kind == b->kind && rows_of(result, a) == rows_of(result, b) && x->in == y->in &&
           x->out == y->out && x->groups == y->groups && x->bf16 == y->bf16 &&
           x->taps.tap_count == y->taps.tap_count && !x->prologue == !y->prologue &&
           a->space.kind == b->space.kind && x->taps.source.kind == y->taps.source.kind;
}

static BenchShape *shape_of(BenchShape *shapes, size_t *count, const BenchResult *result,
                            const Kernel *kernel) {
    for (size_t i = 0; i < *count; i++)
        if (same_shape(result, shapes[i].kernel, kernel))
            return &shapes[i];
    const Contraction *contraction = &kernel->contraction;
    int64_t per_group = contraction->in / contraction->groups, rows = rows_of(result, kernel);
    shapes[*count] = (BenchShape){.kernel = kernel,
                                  .rows = rows,
                                  .terms = kernel->kind == KERNEL_CONTRACT_WEIGHT
                                               ? rows
                                               : per_group * contraction->taps.tap_count};
    return &shapes[(*count)++];
}

static void append_reason(Text *text, const char *reason) {
    text_append(text, "%s%s", text->length > 0 ? "; " : "", reason);
}

/* The facts of a shape that cost time beside its multiply-adds. */
static const char *reason_of(Arena *arena, const BenchResult *result, const BenchShape *shape) {
    const int64_t few_terms = 128;
    const double few_launches = 20;
    const Contraction *contraction = &shape->kernel->contraction;
    const int64_t lanes = result->target.lanes, columns = contraction->out / contraction->groups;
    const int64_t padded = integer_round_up(columns, lanes);
    const int taps = contraction->taps.tap_count;
    double arithmetic = shape->arithmetic_seconds / shape->kernels;
    Text text = text_create(arena);
    if (shape->bound == BENCH_BY_MEMORY && shape->bound_seconds > 0.5 * shape->seconds)
        append_reason(&text, "its maps move slower than it multiplies");
    if (arithmetic < few_launches * result->peak.launch_seconds)
        append_reason(&text, "little work for a launch");
    if (padded * 4 > columns * 5)
        append_reason(&text, arena_format(arena, "%" PRId64 " columns in vectors of %" PRId64,
                                          columns, lanes));
    if (shape->terms < few_terms)
        append_reason(&text, arena_format(arena, "sums of %" PRId64 " terms", shape->terms));
    if (contraction->prologue && taps > 1)
        append_reason(
            &text, arena_format(arena, "a map of its input is computed at each of %d taps", taps));
    if (contraction->taps.source.kind == SPACE_MASKED && taps > 1)
        append_reason(&text, "rows are found through the mask");
    return text.length > 0 ? text.data : "none of the known reasons";
}

static int slower_first(const void *a, const void *b) {
    const BenchShape *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

BenchShape *bench_shapes(Arena *arena, const BenchResult *result, size_t *count) {
    BenchShape *shapes = arena_new_array(arena, BenchShape, result->kernel_count + 1);
    *count = 0;
    for (size_t i = 0; i < result->kernel_count; i++) {
        const BenchKernel *kernel = &result->kernels[i];
        double bound_seconds;
        if (!kernel->contract)
            continue;
        BenchShape *shape = shape_of(shapes, count, result, kernel->kernel);
        shape->bound = bench_bound(result, kernel, &bound_seconds);
        shape->bound_seconds += bound_seconds;
        shape->kernels++;
        shape->seconds += kernel->seconds;
        shape->arithmetic_seconds += kernel->arithmetic_seconds;
        shape->multiply_adds += kernel->multiply_adds;
    }
    for (size_t i = 0; i < *count; i++) {
        BenchShape *shape = &shapes[i];
        shape->share = shape->seconds > 0 ? shape->arithmetic_seconds / shape->seconds : 0;
        shape->reason = reason_of(arena, result, shape);
    }
    qsort(shapes, *count, sizeof *shapes, slower_first);
    return shapes;
}

/* ---- Text and JSON ------------------------------------------------------------------------- */

static void print_shape(const BenchShape *shape) {
    const Contraction *contraction = &shape->kernel->contraction;
    printf("%-15s %9" PRId64 " %5" PRId64 " %5" PRId64 " %4d %6" PRId64
           " %3d %9.3f %5.1f%% %-10s %5.1f%% %s\n",
           kernel_kind_name(shape->kernel->kind), shape->rows, contraction->in, contraction->out,
           contraction->taps.tap_count, contraction->groups, shape->kernels, 1e3 * shape->seconds,
           100 * shape->share, bench_bound_name(shape->bound),
           shape->seconds > 0 ? 100 * shape->bound_seconds / shape->seconds : 0, shape->reason);
}

void bench_print_shapes(const BenchResult *result) {
    Arena *arena = arena_create();
    size_t count, low = 0;
    BenchShape *shapes = bench_shapes(arena, result, &count);
    for (size_t i = 0; i < count; i++)
        low += shapes[i].share < bench_low_share;
    printf("contracts below %.1f %% of the peak: %zu of %zu shapes\n", 100 * bench_low_share, low,
           count);
    if (low > 0)
        printf("%-15s %9s %5s %5s %4s %6s %3s %9s %6s %-10s %6s %s\n", "kind", "rows", "in", "out",
               "taps", "groups", "n", "ms", "peak", "bound", "of it", "known reasons");
    for (size_t i = 0; i < count; i++)
        if (shapes[i].share < bench_low_share)
            print_shape(&shapes[i]);
    arena_destroy(arena);
}

json_t *bench_shapes_json(const BenchResult *result) {
    Arena *arena = arena_create();
    json_t *list = json_array();
    size_t count;
    BenchShape *shapes = bench_shapes(arena, result, &count);
    for (size_t i = 0; i < count; i++) {
        const BenchShape *shape = &shapes[i];
        const Contraction *contraction = &shape->kernel->contraction;
        json_array_append_new(
            list,
            json_pack("{s:s, s:o, s:I, s:I, s:I, s:i, s:I, s:b, s:i, s:f, s:I, s:f, s:s, s:f, s:s}",
                      "kind", kernel_kind_name(shape->kernel->kind), "first",
                      bench_name_json(shape->kernel->name), "rows", (json_int_t)shape->rows, "in",
                      (json_int_t)contraction->in, "out", (json_int_t)contraction->out, "taps",
                      contraction->taps.tap_count, "groups", (json_int_t)contraction->groups,
                      "bf16", contraction->bf16, "kernels", shape->kernels, "seconds",
                      shape->seconds, "flops", (json_int_t)(2 * shape->multiply_adds),
                      "share_of_peak", shape->share, "bound", bench_bound_name(shape->bound),
                      "bound_seconds", shape->bound_seconds, "reason", shape->reason));
    }
    arena_destroy(arena);
    return list;
}
