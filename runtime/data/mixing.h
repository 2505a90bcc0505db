/* Mixing of a batch's pictures and their targets while a classifier is trained: mixup (Zhang et
 * al., arXiv 1710.09412), CutMix (Yun et al., arXiv 1905.04899) and label smoothing. One choice for
 * the whole batch; a picture's partner is its mirror image in the order of the batch. */
#ifndef SPARKC_RUNTIME_DATA_MIXING_H
#define SPARKC_RUNTIME_DATA_MIXING_H

#include <stddef.h>

#include "runtime/data/resize.h"

enum { MIXING_MOST_ALPHA = 4 };

typedef struct MixingOptions {
    double mixup, cutmix; /* alpha of each one's Beta(alpha, alpha), 0 to MIXING_MOST_ALPHA; 0: off.
                             With both on, half of the batches have one each */
    double smoothing;     /* share of a target that is spread over all classes, 0 to 1 */
} MixingOptions;

/* A choice for a batch. */
typedef struct MixingChoice {
    double share;  /* of a picture's own in its target */
    ResizeBox box; /* CutMix: what comes from the partner; of width 0: the whole picture is blended
                      by the share */
} MixingChoice;

/* The shape of a batch of pictures, NHWC. */
typedef struct MixingShape {
    int batch, height, width, channels;
} MixingShape;

/* Draws for the batch of a step: a function of (options, shape, seed, step). */
MixingChoice mixing_choose(const MixingOptions *options, MixingShape shape, uint32_t seed,
                           uint32_t step);

/* Mixes the pictures in place. */
void mixing_pictures(MixingChoice choice, MixingShape shape, float *pictures);

/* Writes targets, batch x class_count, of pictures of these classes: of a class's own part
 * 1 - smoothing stays with it, the rest is spread evenly. */
void mixing_targets(MixingChoice choice, double smoothing, int batch, const uint32_t *classes,
                    size_t class_count, float *targets);

#endif
