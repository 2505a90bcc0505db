/* Tensors of a run between memory and files. */
#ifndef SPARKC_TOOLS_TRAIN_RUN_TENSORS_H
#define SPARKC_TOOLS_TRAIN_RUN_TENSORS_H

#include <stdio.h>

#include "tools/train/pretrain.h"

/* Saves a checkpoint of the run's state; `loss` judges which one is the best. */
Status run_tensors_save(const PretrainRun *run, double loss);

/* Goes back to the newest checkpoint whose sum is right; a newer one that is damaged costs a
 * warning on stderr. Fails if none is left. */
Status run_tensors_restore(PretrainRun *run);

/* Fills memory from a file of weights, and says on `out` what the file lacks and what in it was not
 * used. */
Status run_tensors_initialise(Arena *arena, const char *path, const TrainingMemory *memory,
                              FILE *out);

/* The newest sound checkpoint of a run's folder, or a failure. */
Status run_tensors_newest(Arena *arena, const char *folder, const char **path);

#endif
