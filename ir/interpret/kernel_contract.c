/* contract and contract_weight: all operands are first unpacked to double. */
#include <string.h>

#include "ir/interpret/kernel_run.h"

/* What is multiplied, as the contraction wants it: `count` numbers, rounded in place. */
static double *multiplied(const Run *run, double *numbers, int64_t count) {
    for (int64_t i = 0; run->kernel->contraction.bf16 && i < count; i++)
        numbers[i] = kernel_run_round_to_bf16(numbers[i]);
    return numbers;
}

static int64_t matrix_count(const Run *run, const Space *space, int64_t channels) {
    const Geometry *geometry = &run->program->geometry;
    return space_rows(geometry, space) * space_images(geometry, space) * channels;
}

/* a as [image][row][in], after the prologue. */
static double *source_matrix(const Run *run) {
    const Contraction *contraction = &run->kernel->contraction;
    const Space *space = &contraction->taps.source;
    int64_t count = matrix_count(run, space, contraction->in);
    if (!contraction->prologue)
        return multiplied(run, kernel_run_matrix(run, space, &contraction->a, contraction->in),
                          count);
    Evaluation evaluation =
        kernel_run_evaluation(run, contraction->prologue, space, contraction->in,
                              contraction->prologue_operands, contraction->prologue_operand_count);
    Walk walk = kernel_run_walk(run, space, NULL);
    double *matrix = kernel_run_numbers(run, count), *next = matrix;
    while (kernel_run_next(&walk))
        for (int64_t c = 0; c < contraction->in; c++) {
            int64_t element = kernel_run_element(&contraction->a, walk.row.image, walk.row.row, c);
            evaluation.operands[0].value.f =
                (float)kernel_run_load(run, contraction->a.buffer, element);
            kernel_run_evaluate(&evaluation, &walk.row, c, 1);
            *next++ = kernel_run_value(&evaluation, 0);
        }
    return multiplied(run, matrix, count);
}

/* The extents of the weight as it is unpacked: [tap][group][ci][co], channels within their group.
 */
typedef struct WeightShape {
    int64_t taps, groups, in, out;
} WeightShape;

static WeightShape weight_shape(const Contraction *contraction) {
    return (WeightShape){contraction->taps.tap_count, contraction->groups,
                         contraction->in / contraction->groups,
                         contraction->out / contraction->groups};
}

/* The element of the stored weight at index i of the unpacked one. */
static int64_t weight_element(const Contraction *contraction, const WeightShape *shape, int64_t i) {
    const WeightView *view = &contraction->weight;
    int64_t co = i % shape->out, ci = i / shape->out % shape->in,
            group = i / shape->out / shape->in % shape->groups,
            tap = i / shape->out / shape->in / shape->groups;
    return view->base + contraction->taps.taps[tap].weight * view->tap_stride +
           group * view->group_stride + ci * view->in_stride + co * view->out_stride;
}

static int64_t weight_count(const WeightShape *shape) {
    return shape->taps * shape->groups * shape->in * shape->out;
}

static double *weight_matrix(const Run *run, const WeightShape *shape) {
    const Contraction *contraction = &run->kernel->contraction;
    double *weight = kernel_run_numbers(run, weight_count(shape));
    for (int64_t i = 0; i < weight_count(shape); i++)
        weight[i] =
            kernel_run_load(run, contraction->weight.buffer, weight_element(contraction, shape, i));
    return multiplied(run, weight, weight_count(shape));
}

/* The row of a matrix over the source that tap t reads; NULL: none. */
static const double *tap_source(const Run *run, const double *a, int64_t t, const Row *row) {
    const Contraction *contraction = &run->kernel->contraction;
    const Space *source = &contraction->taps.source;
    int64_t from = kernel_run_tap_row(run, &contraction->taps, &contraction->taps.taps[t], row);
    if (from < 0)
        return NULL;
    return a + (row->image * space_rows(&run->program->geometry, source) + from) * contraction->in;
}

/* acc[group][co] += a[group][ci] * w[group][ci][co] */
static void add_tap(const WeightShape *shape, const double *a, const double *weight, double *acc) {
    for (int64_t g = 0; g < shape->groups; g++, acc += shape->out)
        for (int64_t ci = 0; ci < shape->in; ci++, weight += shape->out) {
            double factor = *a++;
            for (int64_t co = 0; co < shape->out; co++)
                acc[co] += factor * weight[co];
        }
}

void kernel_run_contract(const Run *run) {
    const Kernel *kernel = run->kernel;
    const Contraction *contraction = &kernel->contraction;
    WeightShape shape = weight_shape(contraction);
    const double *a = source_matrix(run), *weight = weight_matrix(run, &shape);
    double *acc = kernel_run_numbers(run, contraction->out);
    int64_t per_tap = shape.groups * shape.in * shape.out;
    Evaluation evaluation = kernel_run_own_evaluation(run);
    for (Walk walk = kernel_run_walk(run, &kernel->space, &contraction->taps);
         kernel_run_next(&walk);) {
        memset(acc, 0, (size_t)contraction->out * sizeof *acc);
        for (int64_t t = 0; t < shape.taps; t++) {
            const double *source = tap_source(run, a, t, &walk.row);
            if (source)
                add_tap(&shape, source, weight + t * per_tap, acc);
        }
        for (int64_t c = 0; c < contraction->out; c++)
            kernel_run_finish(&evaluation, &walk.row, c, acc[c]);
    }
}

/* w[group][ci][co] += a[group][ci] * b[group][co] */
static void add_outer(const WeightShape *shape, const double *a, const double *b, double *weight) {
    for (int64_t g = 0; g < shape->groups; g++, b += shape->out)
        for (int64_t ci = 0; ci < shape->in; ci++, weight += shape->out) {
            double factor = *a++;
            for (int64_t co = 0; co < shape->out; co++)
                weight[co] += factor * b[co];
        }
}

void kernel_run_contract_weight(const Run *run) {
    const Kernel *kernel = run->kernel;
    const Contraction *contraction = &kernel->contraction;
    WeightShape shape = weight_shape(contraction);
    const double *a = source_matrix(run);
    const double *b =
        multiplied(run, kernel_run_matrix(run, &kernel->space, &contraction->b, contraction->out),
                   matrix_count(run, &kernel->space, contraction->out));
    double *weight = kernel_run_numbers(run, weight_count(&shape));
    int64_t per_tap = shape.groups * shape.in * shape.out;
    int64_t rows = space_rows(&run->program->geometry, &kernel->space);
    for (Walk walk = kernel_run_walk(run, &kernel->space, &contraction->taps);
         kernel_run_next(&walk);) {
        const double *b_row = b + (walk.row.image * rows + walk.row.row) * contraction->out;
        for (int64_t t = 0; t < shape.taps; t++) {
            const double *source = tap_source(run, a, t, &walk.row);
            if (source)
                add_outer(&shape, source, b_row, weight + t * per_tap);
        }
    }
    for (int64_t i = 0; i < weight_count(&shape); i++)
        kernel_run_store(run, contraction->weight.buffer, weight_element(contraction, &shape, i),
                         weight[i]);
}
