#include "runtime/train/schedule.h"

#include <math.h>

static const double start_share = 0.005, end_share = 0.001; /* of the peak learning rate */

double schedule_peak_lr(double base_lr, int64_t global_batch) {
    return base_lr * (double)global_batch / 256;
}

int64_t schedule_warmup(double iterations) {
    return (int64_t)nearbyint(iterations);
}

/* 1 at `done` = 0, 0 at `done` = `all`; 1 where there is no way to go. */
static double half_cosine(int64_t done, int64_t all) {
    double share = all > 0 ? (double)done / (double)all : 0;
    return 0.5 + 0.5 * cos(M_PI * share);
}

double schedule_lr(const Schedule *schedule, int64_t iteration) {
    double peak = schedule->peak_lr;
    if (iteration < schedule->warmup)
        return start_share * peak +
               (1 - start_share) * peak * (double)iteration / (double)schedule->warmup;
    return end_share * peak +
           (1 - end_share) * peak *
               half_cosine(iteration - schedule->warmup, schedule->total - 1 - schedule->warmup);
}

double schedule_weight_decay(const Schedule *schedule, int64_t iteration) {
    double end = schedule->weight_decay_end;
    return end + (schedule->weight_decay - end) * half_cosine(iteration, schedule->total - 1);
}

double schedule_bias_correction(double beta, int64_t step) {
    return 1 - pow(beta, (double)step);
}
