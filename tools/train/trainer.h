/* Training in memory: compiled programs over one set of parameters and states, fed batch by batch.
 * Knows no data and no files. */
#ifndef SPARKC_TOOLS_TRAIN_TRAINER_H
#define SPARKC_TOOLS_TRAIN_TRAINER_H

#include "base/diagnostics.h"
#include "passes/passes.h"
#include "runtime/train/tensors.h"
#include "tools/execute/executor.h"

typedef enum TrainerTask {
    TRAINER_PRETRAIN, /* reconstruction behind masks */
    TRAINER_FINETUNE  /* classification of whole pictures; one micro-batch per update */
} TrainerTask;

typedef struct TrainerOptions {
    TrainerTask task;
    PassOptions pass; /* batch: images of a micro-batch; the entry is the trainer's own choice */
    ExecutorOptions run;
    int64_t
        micro_batches; /* per update; their gradients are averaged. Batch norm sees each alone */
    uint32_t seed;     /* of initial values, cells, dropout and drop path */
    bool no_bias_correction; /* moments are taken as they are, from the first step on */
    double ema_decay;        /* of fine-tuning: share of the old average of the weights, 0 to 1 */
} TrainerOptions;

/* What the host sets in a step. */
typedef struct TrainerRates {
    double lr, weight_decay;
} TrainerRates;

typedef struct TrainerResult {
    double loss;      /* of the micro-batch */
    double grad_norm; /* before clipping, of the whole update */
    bool ok;          /* false: loss or norm is not finite, and nothing has changed */
} TrainerResult;

/* What a training costs. */
typedef struct TrainerCosts {
    int64_t parameters; /* elements */
    int64_t bytes;      /* of all regions and workspaces */
    int64_t kernels;
    double compile_seconds;
    int cache_hits;
    char code[65]; /* a hash of the functions as they are by default: programs of equal code compute
                      equal bits */
    char plan[65]; /* of those that run: with the tuned choices */
} TrainerCosts;

typedef struct Trainer Trainer;

/* Compiles the training of `network` (as the front end made it) and gives parameters and states
 * their initial values. Mistakes of the network's are reported in `diagnostics`. */
Status trainer_create(Arena *arena, const Graph *network, const TrainerOptions *options,
                      Diagnostics *diagnostics, Trainer **trainer);
void trainer_destroy(Trainer *trainer);

TrainerCosts trainer_costs(const Trainer *trainer);

/* Parameters and states, for reading and writing between updates. */
const TrainingMemory *trainer_memory(const Trainer *trainer);

/* Where the images of the next micro-batch go: batch x height x width x channels, normalised. */
float *trainer_images(const Trainer *trainer);

/* Of fine-tuning: where the targets of the next batch go, batch x classes, shares that sum to 1;
 * NULL in pretraining. */
float *trainer_targets(const Trainer *trainer);

/* Of fine-tuning: the moving averages of parameters and running statistics in place of these; no
 * further states. */
const TrainingMemory *trainer_average(const Trainer *trainer);

/* Of fine-tuning: the averages begin anew, as what parameters and running statistics are. */
void trainer_start_average(Trainer *trainer);

/* Number of updates and, within one, of micro-batches done. Set when a run is resumed. */
int64_t trainer_updates(const Trainer *trainer);
void trainer_set_updates(Trainer *trainer, int64_t updates);

/* Computes one micro-batch of the images given, with cells drawn for it; the last one of an update
 * also moves parameters and states. *updated says whether that happened. A result that is not ok
 * leaves everything as it was: the same micro-batch is next. */
TrainerResult trainer_step(Trainer *trainer, const TrainerRates *rates, bool *updated);

/* After a step that was not ok: names the first value that is not finite, in a sentence; NULL if
 * none is found. */
const char *trainer_blame(Arena *arena, const Trainer *trainer);

#endif
