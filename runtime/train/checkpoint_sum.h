/* The sum of a checkpoint: SHA-256, as 64 hexadecimal digits, of
 *
 *     its description   a line per pair of metadata but sparkc.sha256, "metadata KEY: VALUE", and
 *                       per tensor, "tensor NAME: F32 [2,3]"; sorted by their bytes, each with a
 *                       line end
 *     its data          all tensors' bytes in the order of the file
 */
#ifndef SPARKC_RUNTIME_TRAIN_CHECKPOINT_SUM_H
#define SPARKC_RUNTIME_TRAIN_CHECKPOINT_SUM_H

#include "runtime/safetensors.h"

#define CHECKPOINT_SUM_KEY "sparkc.sha256"

typedef struct CheckpointSum {
    char text[65];
} CheckpointSum;

/* The sum of what is to be written. */
CheckpointSum checkpoint_sum_of_items(const SafetensorsItem *items, size_t count,
                                      const SafetensorsPair *metadata, size_t metadata_count);

/* The sum of an open file, read in pieces. */
Status checkpoint_sum_of_file(Arena *arena, const Safetensors *file, CheckpointSum *sum);

#endif
