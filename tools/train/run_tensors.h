/* Tensors of a run between memory and files. */
#ifndef SPARKC_TOOLS_TRAIN_RUN_TENSORS_H
#define SPARKC_TOOLS_TRAIN_RUN_TENSORS_H

#include <stdio.h>

#include "runtime/data/loader.h"
#include "runtime/train/tensors.h"

/* Where a run stands, between updates: what a checkpoint keeps beside the tensors. */
typedef struct RunState {
    int64_t updates;
    LoaderPosition position; /* of the next batch */
    int64_t refused;         /* batches that were not finite */
    double seconds;          /* of computing */
    double loss_sum;         /* over the updates of this epoch */
    int64_t loss_count;
} RunState;

/* Saves a checkpoint in the run's `folder`; `loss` judges which one is the best, NaN: unknown; so
 * many as `keep` stay beside it. The messages of failures live in `arena`. */
Status run_tensors_save(Arena *arena, const char *folder, const char *network,
                        const TrainingMemory *memory, const RunState *state, double loss, int keep);

/* Goes back to the newest checkpoint whose sum is right; a newer one that is damaged costs a
 * warning on stderr. Fails if none is left. */
Status run_tensors_restore(Arena *arena, const char *folder, const TrainingMemory *memory,
                           RunState *state);

/* Fills memory from a file of weights, and says on `out` what the file lacks and what in it was not
 * used. */
Status run_tensors_initialise(Arena *arena, const char *path, const TrainingMemory *memory,
                              FILE *out);

/* The newest sound checkpoint of a run's folder, or a failure. */
Status run_tensors_newest(Arena *arena, const char *folder, const char **path);

#endif
