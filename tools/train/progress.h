/* What a training tells on stderr while it runs. */
#ifndef SPARKC_TOOLS_TRAIN_PROGRESS_H
#define SPARKC_TOOLS_TRAIN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
    bool terminal;           /* a line that is written over; else a line now and then */
    int64_t total;           /* updates of the run */
    int64_t epoch_steps;     /* updates of an epoch */
    int64_t batch;           /* images of an update */
    double shown;            /* when it was last shown, clock seconds */
    double rate;             /* seconds per update, a moving average; 0 at first */
    double waited, computed; /* seconds of this process */
    int64_t counted;         /* updates of this process */
} Progress;

/* An update is done: it took `seconds`, of which `waited` for data. */
void progress_update(Progress *progress, int64_t updates, double seconds, double waited,
                     double loss, double lr);

/* Removes the line, so that something else can be written. */
void progress_clear(const Progress *progress);

/* Images per second by the moving average; share of the time spent waiting for data. */
double progress_images_per_second(const Progress *progress);
double progress_data_wait(const Progress *progress);

/* "1 h 05 min", "3 min 20 s", "12 s". */
void progress_duration(double seconds, char text[32]);

#endif
