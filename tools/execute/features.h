/* What a network makes of labelled pictures, features or logits: a row for each. */
#ifndef SPARKC_TOOLS_EXECUTE_FEATURES_H
#define SPARKC_TOOLS_EXECUTE_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* Floats that are summed side by side: sums have one order on every processor. */
enum { FEATURE_LANES = 16 };

/* A row per picture; rows are `stride` floats apart, a multiple of FEATURE_LANES, zeros behind the
 * first `width`. */
typedef struct Features {
    size_t count, width, stride;
    float *values;     /* [count][stride] */
    uint32_t *classes; /* [count] */
} Features;

/* Rows of zeros and of class 0. */
static inline Features features_create(Arena *arena, size_t count, size_t width) {
    size_t stride = (width + FEATURE_LANES - 1) / FEATURE_LANES * FEATURE_LANES;
    return (Features){count, width, stride, arena_alloc(arena, count, stride * sizeof(float)),
                      arena_new_array(arena, uint32_t, count)};
}

/* The inner product of two rows, `stride` a multiple of FEATURE_LANES. */
static inline float features_dot(const float *a, const float *b, size_t stride) {
    float sums[FEATURE_LANES] = {0}, sum = 0;
    for (size_t i = 0; i < stride; i += FEATURE_LANES)
        for (size_t lane = 0; lane < FEATURE_LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    for (size_t lane = 0; lane < FEATURE_LANES; lane++)
        sum += sums[lane];
    return sum;
}

#endif
