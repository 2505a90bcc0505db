#include "tools/probe/probe_linear.h"

#include <lbfgs.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/fatal.h"

enum {
    SLICES = 16, /* parts of the rows that are summed apart: as many for any number of threads */
    GROUP = 8,   /* rows that use a class's weights while these are in the cache */
    TENTH = 10,  /* one of so many rows is held out */
    ITERATIONS = 500,
    PAST = 10
};

static const double penalties[] = {1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5};
enum { PENALTIES = sizeof penalties / sizeof *penalties, MIDDLE = 2 };

static const double coarse = 1e-3, fine = 1e-5; /* tolerances: to choose, to stay */

/* ---- Standardising --------------------------------------------------------------------------- */

static void find_moments(const Features *train, double *mean, double *scale) {
    double count = (double)train->count;
    for (size_t row = 0; row < train->count; row++)
        for (size_t i = 0; i < train->width; i++)
            mean[i] += (double)train->values[row * train->stride + i] / count;
    for (size_t row = 0; row < train->count; row++) {
        for (size_t i = 0; i < train->width; i++) {
            double difference = (double)train->values[row * train->stride + i] - mean[i];
            scale[i] += difference * difference / count;
        }
    }
    for (size_t i = 0; i < train->width; i++)
        scale[i] = scale[i] > 1e-12 * mean[i] * mean[i] ? 1 / sqrt(scale[i]) : 0;
}

static Features standardised(Arena *arena, const Features *features, const double *mean,
                             const double *scale) {
    Features made = features_create(arena, features->count, features->width + 1);
    memcpy(made.classes, features->classes, made.count * sizeof *made.classes);
    for (size_t row = 0; row < made.count; row++) {
        const float *from = features->values + row * features->stride;
        float *to = made.values + row * made.stride;
        for (size_t i = 0; i < features->width; i++)
            to[i] = (float)(((double)from[i] - mean[i]) * scale[i]);
        to[features->width] = 1;
    }
    return made;
}

void linear_standardise(Arena *arena, const Features *train, const Features *test,
                        Features *train_result, Features *test_result) {
    double *mean = arena_new_array(arena, double, train->width);
    double *scale = arena_new_array(arena, double, train->width);
    find_moments(train, mean, scale);
    *train_result = standardised(arena, train, mean, scale);
    *test_result = standardised(arena, test, mean, scale);
}

/* ---- The loss and its gradient --------------------------------------------------------------- */

typedef struct Slice {
    double loss;
    size_t right;
    float *logits;   /* [GROUP][classes]; then what the gradient is made of */
    float *gradient; /* [classes][stride]; NULL: only judged */
} Slice;

typedef struct Fit {
    const Features *features;
    LinearRows rows;
    size_t class_count, weight_count;
    double l2;
    Threads *threads;
    float *weights; /* rounded */
    Slice slices[SLICES];
} Fit;

static Fit begin_fit(Arena *arena, Threads *threads, const Features *features, LinearRows rows,
                     size_t class_count, bool gradient) {
    Fit fit = {.features = features, .rows = rows, .class_count = class_count, .threads = threads};
    fit.weight_count = class_count * features->stride;
    fit.weights = arena_new_array(arena, float, fit.weight_count);
    for (int i = 0; i < SLICES; i++) {
        fit.slices[i].logits = arena_new_array(arena, float, GROUP *class_count);
        if (gradient)
            fit.slices[i].gradient = arena_new_array(arena, float, fit.weight_count);
    }
    return fit;
}

/* The cross-entropy of a row; its logits become probabilities less the truth. */
static double judge_row(float *logits, size_t class_count, uint32_t truth, size_t *right) {
    size_t best = 0;
    for (size_t k = 1; k < class_count; k++)
        best = logits[k] > logits[best] ? k : best;
    double largest = (double)logits[best], own = (double)logits[truth] - largest, sum = 0;
    for (size_t k = 0; k < class_count; k++) {
        double value = exp((double)logits[k] - largest);
        logits[k] = (float)value;
        sum += value;
    }
    for (size_t k = 0; k < class_count; k++)
        logits[k] = (float)((double)logits[k] / sum);
    logits[truth] -= 1;
    *right += best == truth;
    return log(sum) - own;
}

static void add_gradient(float *gradient, const float *values, float factor, size_t stride) {
    for (size_t i = 0; i < stride; i++)
        gradient[i] += factor * values[i];
}

static void do_group(const Fit *fit, Slice *slice, const uint32_t *rows, size_t count) {
    size_t stride = fit->features->stride, classes = fit->class_count;
    const float *values[GROUP];
    for (size_t i = 0; i < count; i++)
        values[i] = fit->features->values + rows[i] * stride;
    for (size_t k = 0; k < classes; k++)
        for (size_t i = 0; i < count; i++)
            slice->logits[i * classes + k] =
                features_dot(fit->weights + k * stride, values[i], stride);
    for (size_t i = 0; i < count; i++)
        slice->loss += judge_row(slice->logits + i * classes, classes,
                                 fit->features->classes[rows[i]], &slice->right);
    for (size_t k = 0; slice->gradient && k < classes; k++)
        for (size_t i = 0; i < count; i++)
            add_gradient(slice->gradient + k * stride, values[i], slice->logits[i * classes + k],
                         stride);
}

static void do_slice(void *context, int64_t chunk, int thread) {
    (void)thread;
    Fit *fit = context;
    Slice *slice = &fit->slices[chunk];
    size_t part = (size_t)chunk, first = part * fit->rows.count / SLICES;
    size_t end = (part + 1) * fit->rows.count / SLICES;
    slice->loss = 0;
    slice->right = 0;
    if (slice->gradient)
        memset(slice->gradient, 0, fit->weight_count * sizeof *slice->gradient);
    for (size_t row = first; row < end; row += GROUP)
        do_group(fit, slice, fit->rows.items + row, end - row < GROUP ? end - row : GROUP);
}

static void run_slices(Fit *fit, const double *weights) {
    for (size_t i = 0; i < fit->weight_count; i++)
        fit->weights[i] = (float)weights[i];
    threads_run(fit->threads, do_slice, fit, SLICES);
}

/* The penalty on the weights but those of the ones, and its gradient. */
static double add_penalty(const Fit *fit, const double *weights, double *gradient) {
    size_t stride = fit->features->stride, width = fit->features->width - 1;
    double sum = 0;
    for (size_t k = 0; k < fit->class_count; k++) {
        for (size_t i = k * stride; i < k * stride + width; i++) {
            sum += weights[i] * weights[i];
            gradient[i] += fit->l2 * weights[i];
        }
    }
    return fit->l2 / 2 * sum;
}

static lbfgsfloatval_t evaluate(void *context, const lbfgsfloatval_t *weights,
                                lbfgsfloatval_t *gradient, const int count,
                                const lbfgsfloatval_t step) {
    (void)step;
    Fit *fit = context;
    double loss = 0, rows = (double)fit->rows.count;
    run_slices(fit, weights);
    memset(gradient, 0, (size_t)count * sizeof *gradient);
    for (int s = 0; s < SLICES; s++) {
        loss += fit->slices[s].loss;
        for (size_t i = 0; i < fit->weight_count; i++)
            gradient[i] += (double)fit->slices[s].gradient[i];
    }
    for (size_t i = 0; i < fit->weight_count; i++)
        gradient[i] /= rows;
    return loss / rows + add_penalty(fit, weights, gradient);
}

/* ---- Fitting --------------------------------------------------------------------------------- */

/* Where rounding hides any further progress the search ends as well as by its tolerance. */
static Status judge_end(Arena *arena, int code) {
    switch (code) {
    case LBFGS_SUCCESS:
    case LBFGS_STOP:
    case LBFGS_ALREADY_MINIMIZED:
    case LBFGSERR_MAXIMUMITERATION:
    case LBFGSERR_ROUNDING_ERROR:
    case LBFGSERR_MAXIMUMLINESEARCH:
    case LBFGSERR_MINIMUMSTEP:
    case LBFGSERR_MAXIMUMSTEP:
    case LBFGSERR_WIDTHTOOSMALL:
    case LBFGSERR_INCREASEGRADIENT:
    case LBFGSERR_OUTOFINTERVAL:
    case LBFGSERR_INCORRECT_TMINMAX:
        return STATUS_FINE;
    case LBFGSERR_OUTOFMEMORY:
        return status_failure(arena, "the linear probe: out of memory");
    default:
        invariant(false, "L-BFGS ended with %d", code);
        return STATUS_FINE;
    }
}

Status linear_fit(Arena *arena, Threads *threads, const Features *features, LinearRows rows,
                  size_t class_count, double l2, double tolerance, double *weights, double *loss) {
    lbfgs_parameter_t parameters;
    size_t count = class_count * features->stride;
    if (count > INT_MAX)
        return status_failure(arena, "the linear probe: %zu classes of %zu features are too many",
                              class_count, features->width);
    lbfgsfloatval_t *values = lbfgs_malloc((int)count);
    if (!values)
        return status_failure(arena, "the linear probe: out of memory");
    Arena *scratch = arena_create();
    Fit fit = begin_fit(scratch, threads, features, rows, class_count, true);
    fit.l2 = l2;
    memcpy(values, weights, count * sizeof *values);
    lbfgs_parameter_init(&parameters);
    parameters.past = PAST;
    parameters.delta = tolerance;
    parameters.epsilon = tolerance;
    parameters.max_iterations = ITERATIONS;
    int code = lbfgs((int)count, values, loss, evaluate, NULL, &fit, &parameters);
    memcpy(weights, values, count * sizeof *values);
    lbfgs_free(values);
    arena_destroy(scratch);
    return judge_end(arena, code);
}

double linear_accuracy(Threads *threads, const Features *features, LinearRows rows,
                       size_t class_count, const double *weights) {
    Arena *scratch = arena_create();
    Fit fit = begin_fit(scratch, threads, features, rows, class_count, false);
    size_t right = 0;
    run_slices(&fit, weights);
    for (int i = 0; i < SLICES; i++)
        right += fit.slices[i].right;
    arena_destroy(scratch);
    return (double)right / (double)rows.count;
}

/* ---- The probe ------------------------------------------------------------------------------- */

static LinearRows all_rows(Arena *arena, size_t count) {
    uint32_t *items = arena_new_array(arena, uint32_t, count);
    for (size_t i = 0; i < count; i++)
        items[i] = (uint32_t)i;
    return (LinearRows){items, count};
}

/* The rows sorted by class, in their order within each. */
static uint32_t *rows_by_class(Arena *arena, const Features *features, size_t class_count) {
    size_t *next = arena_new_array(arena, size_t, class_count + 1);
    uint32_t *sorted = arena_new_array(arena, uint32_t, features->count);
    for (size_t i = 0; i < features->count; i++)
        next[features->classes[i] + 1]++;
    for (size_t k = 0; k < class_count; k++)
        next[k + 1] += next[k];
    for (size_t i = 0; i < features->count; i++)
        sorted[next[features->classes[i]]++] = (uint32_t)i;
    return sorted;
}

/* Each tenth row is held out. */
static void split_rows(Arena *arena, const Features *features, size_t class_count, LinearRows *used,
                       LinearRows *held_out) {
    const uint32_t *sorted = rows_by_class(arena, features, class_count);
    uint32_t *most = arena_new_array(arena, uint32_t, features->count);
    uint32_t *tenth = arena_new_array(arena, uint32_t, features->count);
    *used = (LinearRows){most, 0};
    *held_out = (LinearRows){tenth, 0};
    for (size_t i = 0; i < features->count; i++) {
        if (i % TENTH == TENTH / 2)
            tenth[held_out->count++] = sorted[i];
        else
            most[used->count++] = sorted[i];
    }
}

/* Each fit goes on from the one with a larger penalty. */
static Status choose_penalty(Arena *arena, Threads *threads, const Features *train,
                             size_t class_count, double *weights, LinearResult *result) {
    LinearRows used, held_out;
    double loss;
    size_t bytes = class_count * train->stride * sizeof *weights;
    double *trial = arena_alloc(arena, class_count, train->stride * sizeof *trial);
    result->l2 = penalties[MIDDLE];
    result->held_out = NAN;
    split_rows(arena, train, class_count, &used, &held_out);
    if (held_out.count == 0 || used.count == 0)
        return STATUS_FINE;
    for (int i = 0; i < PENALTIES; i++) {
        status_return_if_failed(linear_fit(arena, threads, train, used, class_count, penalties[i],
                                           coarse, trial, &loss));
        double accuracy = linear_accuracy(threads, train, held_out, class_count, trial);
        if (accuracy <= result->held_out)
            continue;
        result->held_out = accuracy;
        result->l2 = penalties[i];
        memcpy(weights, trial, bytes);
    }
    return STATUS_FINE;
}

static Status probe(Arena *arena, Threads *threads, const Features *train, const Features *test,
                    size_t class_count, LinearResult *result) {
    Features standard_train, standard_test;
    double loss;
    linear_standardise(arena, train, test, &standard_train, &standard_test);
    double *weights = arena_alloc(arena, class_count, standard_train.stride * sizeof *weights);
    LinearRows rows = all_rows(arena, train->count), test_rows = all_rows(arena, test->count);
    status_return_if_failed(
        choose_penalty(arena, threads, &standard_train, class_count, weights, result));
    status_return_if_failed(linear_fit(arena, threads, &standard_train, rows, class_count,
                                       result->l2, fine, weights, &loss));
    result->train_accuracy = linear_accuracy(threads, &standard_train, rows, class_count, weights);
    result->accuracy = linear_accuracy(threads, &standard_test, test_rows, class_count, weights);
    return STATUS_FINE;
}

Status linear_probe(Arena *arena, Threads *threads, const Features *train, const Features *test,
                    size_t class_count, LinearResult *result) {
    Arena *scratch = arena_create();
    Status status = probe(scratch, threads, train, test, class_count, result);
    if (!status_fine(status))
        status = status_failure(arena, "%s", status.message);
    arena_destroy(scratch);
    return status;
}
