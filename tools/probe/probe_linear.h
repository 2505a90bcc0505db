/* A linear classifier on frozen features: multinomial logistic regression. */
#ifndef SPARKC_TOOLS_PROBE_PROBE_LINEAR_H
#define SPARKC_TOOLS_PROBE_PROBE_LINEAR_H

#include "base/status.h"
#include "runtime/threads.h"
#include "tools/execute/features.h"

/* Rows of a set that count. */
typedef struct LinearRows {
    const uint32_t *items;
    size_t count;
} LinearRows;

/* Features with mean 0 and deviation 1 over the training rows, and a column of ones behind them, so
 * that `width` is one more than before; a feature that is the same everywhere becomes 0. Sums are
 * taken in double and in order. */
void linear_standardise(Arena *arena, const Features *train, const Features *test,
                        Features *train_result, Features *test_result);

/* Minimises the mean cross-entropy over the rows plus l2 / 2 times the squares of all weights but
 * those of the last column, by L-BFGS from `weights` [class_count][stride] on, which are then the
 * optimum. Stops when ten iterations have gained less than the share `tolerance` of the loss, or
 * after 500. *loss is the value reached. Results do not depend on the number of threads. Fails if
 * the weights are too many. */
Status linear_fit(Arena *arena, Threads *threads, const Features *features, LinearRows rows,
                  size_t class_count, double l2, double tolerance, double *weights, double *loss);

/* The share of rows whose class has the largest logit, the first of equals. */
double linear_accuracy(Threads *threads, const Features *features, LinearRows rows,
                       size_t class_count, const double *weights);

typedef struct LinearResult {
    double accuracy;       /* on the test rows */
    double train_accuracy; /* on the training rows */
    double l2;             /* chosen */
    double held_out;       /* the accuracy that it was chosen by; NaN: too few rows to choose */
} LinearResult;

/* Standardises, chooses l2 of 1, 0.1 .. 1e-5 by the accuracy on a tenth of the training rows (each
 * tenth of the rows sorted by class; the larger of equals), and fits on all of them. */
Status linear_probe(Arena *arena, Threads *threads, const Features *train, const Features *test,
                    size_t class_count, LinearResult *result);

#endif
