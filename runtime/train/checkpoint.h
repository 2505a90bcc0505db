/* The checkpoints of a run: RUN/checkpoints/step-00000120.safetensors, and beside each the encoder
 * alone under its bare names, step-00000120.encoder.safetensors.
 *
 * A checkpoint is written whole or not at all (safetensors_write). Its metadata have the update
 * "sparkc.step", the loss "sparkc.loss" and "sparkc.sha256", a sum of all that it holds: tensors
 * with names, types and shapes, and the other metadata (runtime/train/checkpoint_sum.h). The
 * encoder's file has these three as well. The newest K and the best are kept. */
#ifndef SPARKC_RUNTIME_TRAIN_CHECKPOINT_H
#define SPARKC_RUNTIME_TRAIN_CHECKPOINT_H

#include "runtime/safetensors.h"

/* What is written in a checkpoint; all borrowed. */
typedef struct CheckpointContents {
    int64_t step;                           /* updates so far: names the file */
    double loss;                            /* judges which one is best; NaN: unknown */
    const SafetensorsItem *items, *encoder; /* the state; the encoder under bare names */
    size_t item_count, encoder_count;       /* no encoder: no file of it */
    const SafetensorsPair *metadata; /* keys beginning with "sparkc." but not sha256, step, loss */
    size_t metadata_count;
} CheckpointContents;

/* Writes both files into `folder`, which is made if it is missing, the encoder first; then removes
 * all but the newest `keep` (at least 1) and the best, which is the one of the least finite loss,
 * the newer of equals. A checkpoint is removed with its encoder. Those of later steps are void, as
 * a run that goes on from an older checkpoint makes them again: they are removed too. Files that
 * are no checkpoints of sparkc's, or have a damaged header, are neither counted nor removed.
 *
 * A failure to write leaves older checkpoints alone; after a failure to remove, the new one is
 * there. Memory for a file's header is taken and given back, but for the message of a failure. */
Status checkpoint_write(Arena *arena, const char *folder, const CheckpointContents *contents,
                        int keep);

typedef struct CheckpointFile {
    const char *path;
    int64_t step;
} CheckpointFile;

/* The checkpoints of a folder by step, newest first, judged by their names alone; a missing folder
 * has none. Temporary files of a run that was killed are not listed. */
Status checkpoint_list(Arena *arena, const char *folder, CheckpointFile **files, size_t *count);

/* The file of the encoder alone that stands beside a checkpoint, which may be missing. */
const char *checkpoint_encoder_path(Arena *arena, const char *path);

/* Opens a checkpoint after checking its sum, which reads all of it in pieces: a damaged or foreign
 * file is a failure that says so. The caller closes it. */
Status checkpoint_open(Arena *arena, const char *path, Safetensors **file);

/* Removes what killed writers left in `folder`: temporary files, and encoders newer than the newest
 * checkpoint. For the run's only writer (runtime/train/run_folder.h). */
void checkpoint_clean(const char *folder);

#endif
