#include "tools/train/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"

static const double terminal_seconds = 0.2, quiet_seconds = 30; /* between lines */
enum { ESTIMATE_AFTER = 3 };                                    /* updates */

void progress_duration(double seconds, char text[32]) {
    int64_t whole = (int64_t)fmin(fmax(nearbyint(seconds), 0), 1e12);
    int64_t hours = whole / 3600, minutes = whole / 60 % 60;
    if (hours)
        snprintf(text, 32, "%" PRId64 " h %02" PRId64 " min", hours, minutes);
    else if (minutes)
        snprintf(text, 32, "%" PRId64 " min %02" PRId64 " s", minutes, whole % 60);
    else
        snprintf(text, 32, "%" PRId64 " s", whole);
}

double progress_images_per_second(const Progress *progress) {
    return progress->rate > 0 ? (double)progress->batch / progress->rate : 0;
}

double progress_data_wait(const Progress *progress) {
    double all = progress->waited + progress->computed;
    return all > 0 ? progress->waited / all : 0;
}

void progress_clear(const Progress *progress) {
    if (progress->terminal)
        fputs("\r\033[K", stderr);
}

static void show(Progress *progress, int64_t updates, double loss, double lr) {
    char left[32];
    progress_duration(progress->rate * (double)(progress->total - updates), left);
    progress_clear(progress);
    fprintf(stderr,
            "epoch %" PRId64 "/%" PRId64 "  update %" PRId64 "/%" PRId64
            "  loss %.4f  lr %.2e  %.1f images/s  data wait %.1f %%  %s left%s",
            (updates - 1) / progress->epoch_steps + 1,
            (progress->total + progress->epoch_steps - 1) / progress->epoch_steps, updates,
            progress->total, loss, lr, progress_images_per_second(progress),
            100 * progress_data_wait(progress), left, progress->terminal ? "" : "\n");
    fflush(stderr);
}

static void tell_estimate(const Progress *progress, int64_t updates) {
    char epoch[32], all[32];
    progress_duration(progress->rate * (double)progress->epoch_steps, epoch);
    progress_duration(progress->rate * (double)(progress->total - updates), all);
    progress_clear(progress);
    fprintf(stderr, "time      about %s per epoch, %s in all\n", epoch, all);
}

void progress_update(Progress *progress, int64_t updates, double seconds, double waited,
                     double loss, double lr) {
    static const double smoothing = 0.05;
    double now = clock_seconds();
    double share = progress->rate > 0 ? smoothing : 1;
    progress->rate += share * (seconds - progress->rate);
    progress->waited += waited;
    progress->computed += seconds - waited;
    bool due = now - progress->shown >= (progress->terminal ? terminal_seconds : quiet_seconds);
    if (++progress->counted == ESTIMATE_AFTER)
        tell_estimate(progress, updates);
    if (!due && updates < progress->total)
        return;
    progress->shown = now;
    show(progress, updates, loss, lr);
}
