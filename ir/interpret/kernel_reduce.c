/* reduce: sums in double; moments by Welford's recurrence in double. */
#include "ir/interpret/kernel_run.h"
#include "ir/kernel_footprint.h"

/* What one result has gathered: of a sum `mean` is the sum, of moments count, mean and squared
 * distances. */
typedef struct Gathered {
    double count, mean, m2;
} Gathered;

/* The patch x patch square, row-major, that a position is in. */
static int64_t square_of(const Kernel *kernel, const int64_t *position) {
    int64_t square = 0;
    for (int d = 0; d < kernel->space.rank; d++)
        square = square * (kernel->space.extent[d] / kernel->reduction.patch) +
                 position[d] / kernel->reduction.patch;
    return square;
}

/* The result that an element belongs to. */
static int64_t result_of(const Run *run, const ReductionShape *shape, const Row *row,
                         int64_t channel) {
    const Kernel *kernel = run->kernel;
    switch (kernel->reduction.over) {
    case OVER_BATCH:
        return channel;
    case OVER_IMAGE:
        return row->image * shape->channels + channel;
    case OVER_ROW:
        return (row->image * shape->rows + row->row) * shape->channels +
               channel / (kernel->channels / shape->channels);
    case OVER_CELL:
        return row->image * shape->rows + square_of(kernel, row->position);
    case OVER_SEGMENT:
        return kernel_run_segment(run->program, channel);
    default:
        return 0;
    }
}

/* One more group of `weight` equally weighted terms with this mean. */
static void gather(Gathered *gathered, double weight, double mean, double m2) {
    gathered->count += weight;
    double distance = mean - gathered->mean;
    gathered->mean += distance * weight / gathered->count;
    gathered->m2 += m2 + weight * distance * (mean - gathered->mean);
}

static void gather_element(const Run *run, const Evaluation *evaluation, Gathered *gathered,
                           int64_t stride) {
    const Reduction *reduction = &run->kernel->reduction;
    if (reduction->kind == REDUCE_MOMENTS)
        gather(gathered, 1, kernel_run_value(evaluation, 0), 0);
    else if (reduction->kind == REDUCE_MERGE)
        gather(gathered, (double)reduction->merge_count, kernel_run_value(evaluation, 0),
               kernel_run_value(evaluation, 1));
    for (int i = 0; reduction->kind == REDUCE_SUM && i < evaluation->expression->value_count; i++)
        gathered[i * stride].mean += kernel_run_value(evaluation, i);
}

/* Sums: output i is the sum of value i. Moments: mean, then m2. */
static double result_value(const Reduction *reduction, const Gathered *gathered, int64_t stride,
                           int output) {
    if (reduction->kind == REDUCE_SUM)
        return gathered[output * stride].mean;
    return output == 0 ? gathered->mean : gathered->m2;
}

static void store_results(const Run *run, const ReductionShape *shape, const Gathered *gathered,
                          int64_t count) {
    const Kernel *kernel = run->kernel;
    for (int64_t i = 0; i < count; i++)
        for (int output = 0; output < kernel->output_count; output++) {
            const View *view = &kernel->outputs[output];
            int64_t channel = i % shape->channels, row = i / shape->channels % shape->rows,
                    image = i / shape->channels / shape->rows;
            kernel_run_store(run, view->buffer, kernel_run_element(view, image, row, channel),
                             result_value(&kernel->reduction, &gathered[i], count, output));
        }
}

void kernel_run_reduce(const Run *run) {
    const Kernel *kernel = run->kernel;
    ReductionShape shape = kernel_reduction_shape(run->program, kernel);
    int64_t count = shape.images * shape.rows * shape.channels;
    Gathered *gathered =
        arena_new_array(run->arena, Gathered, (size_t)(count * kernel->expression->value_count));
    Evaluation evaluation = kernel_run_own_evaluation(run);
    for (Walk walk = kernel_run_walk(run, &kernel->space, NULL); kernel_run_next(&walk);)
        for (int64_t c = 0; c < kernel->channels; c++) {
            kernel_run_evaluate(&evaluation, &walk.row, c, 0);
            gather_element(run, &evaluation, &gathered[result_of(run, &shape, &walk.row, c)],
                           count);
        }
    store_results(run, &shape, gathered, count);
}
