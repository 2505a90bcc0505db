/* Features of labelled pictures: what the probes judge. */
#ifndef SPARKC_TOOLS_PROBE_PROBE_FEATURES_H
#define SPARKC_TOOLS_PROBE_PROBE_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* Floats that are summed side by side: sums have one order on every processor. */
enum { PROBE_LANES = 16 };

/* A row per picture; rows are `stride` floats apart, a multiple of PROBE_LANES, zeros behind the
 * first `width`. */
typedef struct ProbeFeatures {
    size_t count, width, stride;
    float *values;     /* [count][stride] */
    uint32_t *classes; /* [count] */
} ProbeFeatures;

/* Rows of zeros and of class 0. */
static inline ProbeFeatures probe_features(Arena *arena, size_t count, size_t width) {
    size_t stride = (width + PROBE_LANES - 1) / PROBE_LANES * PROBE_LANES;
    return (ProbeFeatures){count, width, stride, arena_alloc(arena, count, stride * sizeof(float)),
                           arena_new_array(arena, uint32_t, count)};
}

/* The inner product of two rows, `stride` a multiple of PROBE_LANES. */
static inline float probe_dot(const float *a, const float *b, size_t stride) {
    float sums[PROBE_LANES] = {0}, sum = 0;
    for (size_t i = 0; i < stride; i += PROBE_LANES)
        for (size_t lane = 0; lane < PROBE_LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    for (size_t lane = 0; lane < PROBE_LANES; lane++)
        sum += sums[lane];
    return sum;
}

#endif
