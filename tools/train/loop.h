/* The loop of a training run: batches, updates, log, checkpoints, signals. What is trained, and
 * what is looked at on the way, is the caller's. */
#ifndef SPARKC_TOOLS_TRAIN_LOOP_H
#define SPARKC_TOOLS_TRAIN_LOOP_H

#include <jansson.h>

#include "runtime/data/loader.h"
#include "runtime/train/events.h"
#include "runtime/train/schedule.h"
#include "tools/train/run_tensors.h"
#include "tools/train/trainer.h"

/* What happens when loss or gradients are not finite. */
typedef enum NonfinitePolicy {
    NONFINITE_STOP, /* the run ends, its last sound state is saved */
    NONFINITE_SKIP  /* the batch is left out; after 10 in a row the run ends */
} NonfinitePolicy;

/* An update is done, its epoch's records are written and a checkpoint, if one is due. */
typedef struct LoopMoment {
    int64_t updates; /* so far */
    bool epoch;      /* it was the last of an epoch */
    bool last;       /* it was the last of all */
} LoopMoment;

typedef struct Loop Loop;

/* What the caller sets; borrowed. */
typedef struct LoopOptions {
    Arena *arena; /* of the run: messages and what lasts */
    const char *folder;
    const char *network; /* its name */
    Trainer *trainer;
    RunState *state;
    const Source *source;
    LoaderOptions loader; /* batch: images of a micro-batch */
    Schedule schedule;
    int64_t batch;       /* images of an update */
    int64_t epoch_steps; /* updates of an epoch */
    NonfinitePolicy nonfinite;
    double checkpoint_minutes; /* between checkpoints; one is taken after each epoch, too */
    int keep;                  /* checkpoints, beside the best */
    bool terminal;             /* stderr is one */
    void *context;             /* of the functions, which may be NULL */
    /* The trainer has the images of `batch`, and is about to compute with them. */
    void (*fill)(void *context, const LoaderBatch *batch);
    /* `arena` is the update's; what the function logs has its number. */
    Status (*look)(void *context, Loop *loop, Arena *arena, LoopMoment moment);
} LoopOptions;

/* Trains to the end, or until SIGINT or SIGTERM, which set *stopped after a last checkpoint. */
Status loop_run(const LoopOptions *options, bool *stopped);

/* For `look`: a line of the log; a number or a picture (PNG) for TensorBoard. */
Status loop_log(Loop *loop, const char *kind, json_t *fields);
Status loop_scalar(Loop *loop, const char *name, double value);
Status loop_picture(Loop *loop, const char *name, const Image *picture, const uint8_t *png,
                    size_t length);

/* For `look`: the line of progress goes, so that something else can be written on stderr. */
void loop_clear(const Loop *loop);

#endif
