/* window: one channel at a time, the source unpacked to double. */
#include <math.h>
#include <string.h>

#include "ir/interpret/kernel_run.h"
#include "ir/kernel_names.h"

/* A window kernel with its sources unpacked. */
typedef struct Windowed {
    const Run *run;
    const Kernel *kernel;
    const Window *window;
    const double *a;  /* [image][row][channel] of taps.source */
    const double *b;  /* the same of the window's b */
    const double *by; /* what a maximum is looked for in, rows of taps.source: a or b */
    int64_t source_rows, rows;
} Windowed;

/* Where a row of the source begins in what is unpacked. */
static int64_t source_begin(const Windowed *windowed, int64_t image, int64_t row) {
    return (image * windowed->source_rows + row) * windowed->kernel->channels;
}

static const double *source_row(const Windowed *windowed, int64_t image, int64_t row) {
    return windowed->a + source_begin(windowed, image, row);
}

static int64_t weight_element(const Window *window, int64_t tap, int64_t channel) {
    return window->weight.base + window->taps.taps[tap].weight * window->weight.tap_stride +
           channel * window->weight.out_stride;
}

static double tap_weight(const Windowed *windowed, int64_t tap, int64_t channel) {
    const Window *window = windowed->window;
    return kernel_run_load(windowed->run, window->weight.buffer,
                           weight_element(window, tap, channel));
}

/* The divisor of pooled position `index`: the positions of its window inside the picture of
 * `extent`, widened by the padding with count_pad. */
static double pool_divisor(const Window *window, const Space *picture, const int64_t *index) {
    double divisor = 1;
    for (int d = 0; d < picture->rank; d++) {
        int64_t wide = window->count_pad ? window->pool_pad[d] : 0, extent = picture->extent[d];
        int64_t begin = index[d] * window->pool_stride[d] - window->pool_pad[d];
        int64_t end = begin + window->pool_kernel[d];
        begin = begin < -wide ? -wide : begin;
        end = end > extent + wide ? extent + wide : end;
        divisor *= (double)(end - begin);
    }
    return divisor;
}

/* The divisor of the pooled position that a tap of average_grad reads. */
static double tap_divisor(const Windowed *windowed, const Tap *tap, const Row *row) {
    const TapSet *taps = &windowed->window->taps;
    int64_t index[TYPE_MAX_SPACE];
    for (int d = 0; d < taps->source.rank; d++)
        index[d] = row->position[d] / taps->step[d] * taps->scale[d] + tap->offset[d];
    return pool_divisor(windowed->window, &windowed->kernel->space, index);
}

/* acc[c] += a[row, c] * factor(t, r, c) for each tap that is a row. */
static void sum_taps(const Windowed *windowed, const Row *row, double *acc) {
    const Window *window = windowed->window;
    for (int t = 0; t < window->taps.tap_count; t++) {
        const Tap *tap = &window->taps.taps[t];
        int64_t from = kernel_run_tap_row(windowed->run, &window->taps, tap, row);
        if (from < 0)
            continue;
        const double *a = source_row(windowed, row->image, from);
        double divisor = window->kind == WINDOW_AVERAGE_GRAD ? tap_divisor(windowed, tap, row) : 1;
        for (int64_t c = 0; c < windowed->kernel->channels; c++)
            acc[c] += window->kind == WINDOW_WEIGHTED ? a[c] * tap_weight(windowed, t, c)
                                                      : a[c] / divisor;
    }
    for (int64_t c = 0; window->kind == WINDOW_AVERAGE && c < windowed->kernel->channels; c++)
        acc[c] /= pool_divisor(window, &window->taps.source, row->position);
}

/* The first tap, in order, whose value is the maximum: NaN counts as larger than all else, the last
 * of several as the largest (as in PyTorch); outside taps take no part. Gives its row, HIDDEN
 * (value 0), or OUTSIDE if all are (value -infinity). */
static int64_t first_maximum(const Windowed *windowed, const Row *row, int64_t channel,
                             double *best) {
    const TapSet *taps = &windowed->window->taps;
    int64_t best_row = KERNEL_OUTSIDE;
    *best = -INFINITY;
    for (int t = 0; t < taps->tap_count; t++) {
        int64_t from = kernel_run_tap_row(windowed->run, taps, &taps->taps[t], row);
        if (from == KERNEL_OUTSIDE)
            continue;
        double value =
            from < 0 ? 0 : windowed->by[source_begin(windowed, row->image, from) + channel];
        if (best_row == KERNEL_OUTSIDE || value > *best || isnan(value)) {
            *best = value;
            best_row = from;
        }
    }
    return best_row;
}

static void max_taps(const Windowed *windowed, const Row *row, double *acc) {
    for (int64_t c = 0; c < windowed->kernel->channels; c++) {
        int64_t from = first_maximum(windowed, row, c, &acc[c]);
        if (windowed->window->kind == WINDOW_MAX_BY && from != KERNEL_OUTSIDE)
            acc[c] = from < 0 ? 0 : source_row(windowed, row->image, from)[c];
    }
}

/* The one or two positions of the small map that position p of the large one lies between, and the
 * share of the second (PyTorch, align_corners = false). */
static double bilinear_between(int64_t p, int64_t factor, int64_t extent, int64_t *low,
                               int64_t *high) {
    double place = ((double)p + 0.5) / (double)factor - 0.5;
    if (place < 0)
        place = 0;
    *low = (int64_t)place;
    *high = *low + 1 < extent ? *low + 1 : *low;
    return place - (double)*low;
}

/* The weight of small position `small` in large position `large`: a product over directions. */
static double bilinear_weight(const Window *window, const Space *small_space, const int64_t *large,
                              const int64_t *small) {
    double weight = 1;
    for (int d = 0; d < small_space->rank; d++) {
        int64_t low, high;
        double share =
            bilinear_between(large[d], window->factor[d], small_space->extent[d], &low, &high);
        weight *= (small[d] == low ? 1 - share : 0) + (small[d] == high ? share : 0);
    }
    return weight;
}

/* acc += weight * a over the box of `space` from `begin` to `end` (inclusive, cut at the map). */
static void add_box(const Windowed *windowed, const Row *row, const int64_t *begin,
                    const int64_t *end, double *acc) {
    const Window *window = windowed->window;
    const Space *source = &window->taps.source;
    bool up = window->kind == WINDOW_BILINEAR;
    int64_t place[TYPE_MAX_SPACE] = {0}, count = 1;
    for (int d = 0; d < source->rank; d++)
        count *= end[d] - begin[d] + 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i;
        for (int d = source->rank - 1; d >= 0; d--) {
            place[d] = begin[d] + rest % (end[d] - begin[d] + 1);
            rest /= end[d] - begin[d] + 1;
        }
        int64_t from = kernel_run_row_at(windowed->run, source, row->image, place);
        if (from < 0)
            continue;
        double weight =
            up ? bilinear_weight(window, source, row->position, place)
               : bilinear_weight(window, &windowed->kernel->space, place, row->position);
        const double *a = source_row(windowed, row->image, from);
        for (int64_t c = 0; c < windowed->kernel->channels && weight != 0; c++)
            acc[c] += weight * a[c];
    }
}

/* Upsampling reads between two small positions; its transpose the large positions around factor *
 * p. */
static void bilinear(const Windowed *windowed, const Row *row, double *acc) {
    const Window *window = windowed->window;
    int64_t begin[TYPE_MAX_SPACE], end[TYPE_MAX_SPACE];
    for (int d = 0; d < window->taps.source.rank; d++) {
        int64_t factor = window->factor[d], p = row->position[d];
        if (window->kind == WINDOW_BILINEAR) {
            bilinear_between(p, factor, window->taps.source.extent[d], &begin[d], &end[d]);
        } else {
            begin[d] = (p - 1) * factor;
            end[d] = (p + 2) * factor - 1;
        }
    }
    add_box(windowed, row, begin, end, acc);
}

static void run_values(const Windowed *windowed) {
    const Run *run = windowed->run;
    const Kernel *kernel = windowed->kernel;
    double *acc = kernel_run_numbers(run, kernel->channels);
    Evaluation evaluation = kernel_run_own_evaluation(run);
    for (Walk walk = kernel_run_walk(run, &kernel->space, &windowed->window->taps);
         kernel_run_next(&walk);) {
        memset(acc, 0, (size_t)kernel->channels * sizeof *acc);
        switch (windowed->window->kind) {
        case WINDOW_MAX:
        case WINDOW_MAX_BY:
            max_taps(windowed, &walk.row, acc);
            break;
        case WINDOW_BILINEAR:
        case WINDOW_BILINEAR_GRAD:
            bilinear(windowed, &walk.row, acc);
            break;
        default:
            sum_taps(windowed, &walk.row, acc);
        }
        for (int64_t c = 0; c < kernel->channels; c++)
            kernel_run_finish(&evaluation, &walk.row, c, acc[c]);
    }
}

static const double *b_row(const Windowed *windowed, const Row *row) {
    return windowed->b + (row->image * windowed->rows + row->row) * windowed->kernel->channels;
}

static void run_weight_grad(const Windowed *windowed) {
    const Run *run = windowed->run;
    const Window *window = windowed->window;
    int64_t channels = windowed->kernel->channels;
    double *weight = kernel_run_numbers(run, window->taps.tap_count * channels);
    for (Walk walk = kernel_run_walk(run, &windowed->kernel->space, &window->taps);
         kernel_run_next(&walk);) {
        const double *b = b_row(windowed, &walk.row);
        for (int t = 0; t < window->taps.tap_count; t++) {
            int64_t from = kernel_run_tap_row(run, &window->taps, &window->taps.taps[t], &walk.row);
            for (int64_t c = 0; from >= 0 && c < channels; c++)
                weight[t * channels + c] += source_row(windowed, walk.row.image, from)[c] * b[c];
        }
    }
    for (int64_t i = 0; i < window->taps.tap_count * channels; i++)
        kernel_run_store(run, window->weight.buffer,
                         weight_element(window, i / channels, i % channels), weight[i]);
}

static void run_max_grad(const Windowed *windowed) {
    const Run *run = windowed->run;
    const TapSet *taps = &windowed->window->taps;
    const View *output = &windowed->kernel->outputs[0];
    int64_t channels = windowed->kernel->channels;
    int64_t images = space_images(&run->program->geometry, &taps->source);
    double *sums = kernel_run_numbers(run, images * windowed->source_rows * channels);
    for (Walk walk = kernel_run_walk(run, &windowed->kernel->space, taps); kernel_run_next(&walk);)
        for (int64_t c = 0; c < channels; c++) {
            double best;
            int64_t best_row = first_maximum(windowed, &walk.row, c, &best);
            if (best_row >= 0)
                sums[(walk.row.image * windowed->source_rows + best_row) * channels + c] +=
                    b_row(windowed, &walk.row)[c];
        }
    for (Walk walk = kernel_run_walk(run, &taps->source, NULL); kernel_run_next(&walk);)
        for (int64_t c = 0; c < channels; c++)
            kernel_run_store(
                run, output->buffer, kernel_run_element(output, walk.row.image, walk.row.row, c),
                sums[(walk.row.image * windowed->source_rows + walk.row.row) * channels + c]);
}

void kernel_run_window(const Run *run) {
    const Kernel *kernel = run->kernel;
    const Window *window = &kernel->window;
    const Geometry *geometry = &run->program->geometry;
    Windowed windowed = {
        .run = run,
        .kernel = kernel,
        .window = window,
        .a = kernel_run_matrix(run, &window->taps.source, &window->a, kernel->channels),
        .source_rows = space_rows(geometry, &window->taps.source),
        .rows = space_rows(geometry, &kernel->space)};
    if (kernel_window_has_b(window->kind))
        windowed.b =
            kernel_run_matrix(run, kernel_window_b_space(kernel), &window->b, kernel->channels);
    windowed.by = window->kind == WINDOW_MAX_BY ? windowed.b : windowed.a;
    if (window->kind == WINDOW_WEIGHT_GRAD)
        run_weight_grad(&windowed);
    else if (window->kind == WINDOW_MAX_GRAD)
        run_max_grad(&windowed);
    else
        run_values(&windowed);
}
