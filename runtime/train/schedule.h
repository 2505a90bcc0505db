/* Learning rate, weight decay and bias correction by iteration, in closed form and in double
 * (reference README, "Schedule"). The host computes them and hands them to a step as named scalars.
 */
#ifndef SPARKC_RUNTIME_TRAIN_SCHEDULE_H
#define SPARKC_RUNTIME_TRAIN_SCHEDULE_H

#include <stdint.h>

typedef struct Schedule {
    double peak_lr;                        /* learning rate at the end of the warm-up */
    double weight_decay, weight_decay_end; /* of the decaying segments, first and last iteration */
    int64_t warmup;                        /* iterations of warm-up */
    int64_t total;                         /* iterations in all, at least 1 */
} Schedule;

/* The peak for a global batch: base_lr * batch / 256. */
double schedule_peak_lr(double base_lr, int64_t global_batch);

/* A number of warm-up iterations as a whole number, halves to even. */
int64_t schedule_warmup(double iterations);

/* The learning rate of iteration k = 0 .. total - 1: linear from 0.005 of the peak during the
 * warm-up, then a half cosine down to 0.001 of it. */
double schedule_lr(const Schedule *schedule, int64_t iteration);

/* The weight decay of iteration k: a half cosine from the first to the last value. */
double schedule_weight_decay(const Schedule *schedule, int64_t iteration);

/* 1 - beta^step for step = 1, 2, ..: what a moment's bias is divided by. */
double schedule_bias_correction(double beta, int64_t step);

#endif
