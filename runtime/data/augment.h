/* From a decoded picture to a network's input: torchvision's RandomResizedCrop (bicubic), a flip,
 * and normalisation. What is drawn depends on (seed, epoch, sample) alone. */
#ifndef SPARKC_RUNTIME_DATA_AUGMENT_H
#define SPARKC_RUNTIME_DATA_AUGMENT_H

#include <stdbool.h>

#include "runtime/data/resize.h"

typedef struct AugmentOptions {
    double least_area, most_area;   /* of the crop, as shares of the picture; 0.67 and 1 in SparK */
    double least_ratio, most_ratio; /* width / height of the crop; 3/4 and 4/3 */
    double flip;                    /* probability of a horizontal flip, 0.5 */
} AugmentOptions;

extern const AugmentOptions augment_pretraining_options;

typedef struct AugmentChoice {
    ResizeBox box; /* within the picture, not empty */
    bool flip;     /* after resizing */
} AugmentChoice;

/* Draws for sample `index` in an epoch. Ten tries: an area and a ratio (uniform in its logarithm)
 * give sides rounded to even on ties; the first crop that fits is placed at random. Else the
 * largest centred crop whose ratio is allowed, at least 1 x 1. */
AugmentChoice augment_choose(const AugmentOptions *options, uint32_t seed, uint32_t epoch,
                             uint64_t index, int width, int height);

/* The value of every byte in every channel: (byte / 255 - mean) / deviation, in f32 as PyTorch's
 * ToTensor and Normalize compute it. */
typedef struct AugmentScale {
    float values[4][256];
} AugmentScale;

/* For up to 4 channels; deviations are not 0. */
AugmentScale augment_scale(int channels, const double *mean, const double *deviation);

/* The chosen part of a picture, resized to height x width, flipped and scaled, into `output`:
 * height x width x channels, one picture of an NHWC batch. `arena` holds what lies between. */
void augment_apply(Arena *arena, const Image *image, AugmentChoice choice,
                   const AugmentScale *scale, int height, int width, float *output);

#endif
