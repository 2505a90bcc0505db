/* A small state to write in checkpoints, whose values follow from its step. */
#ifndef SPARKC_TESTS_UNIT_STORE_STATE_H
#define SPARKC_TESTS_UNIT_STORE_STATE_H

#include "runtime/train/checkpoint.h"

enum { STATE_WEIGHTS = 6 };

/* Writes the checkpoint of a step: weights of step + 0, 1, .. and a moment; an encoder. */
Status state_write(Arena *arena, const char *folder, int64_t step, double loss, int keep);

/* The same with so many bytes more in a tensor of their own. */
Status state_write_padded(Arena *arena, const char *folder, int64_t step, double loss, int keep,
                          size_t padding);

/* Opens the checkpoint of a path and looks at all of it: fails if anything is not as written. */
Status state_check(Arena *arena, const char *path, int64_t step);

#endif
