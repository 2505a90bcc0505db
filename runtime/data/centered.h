/* A whole picture as a network's input, without chance: for looking at what a network does, not for
 * training it. */
#ifndef SPARKC_RUNTIME_DATA_CENTERED_H
#define SPARKC_RUNTIME_DATA_CENTERED_H

#include "runtime/data/augment.h"
#include "runtime/data/source.h"

/* What pictures become. */
typedef struct CenteredShape {
    int height, width, channels;
} CenteredShape;

/* The largest centred part of a picture with the proportions width : height, at least 1 x 1. */
ResizeBox centered_box(const Image *image, int width, int height);

/* Reads and decodes a sample; its largest centred part of the shape's proportions is resized
 * (bicubic) and scaled into `output`: height x width x channels. `arena` holds what lies between.
 * The failure is a reason without the sample's name. */
Status centered_load(Arena *arena, const SourceSample *sample, CenteredShape shape,
                     const AugmentScale *scale, float *output);

#endif
