/* Pictures of what a pretrained network makes of masked images: rows of images, in columns the
 * original, what the network sees, and the original completed by what it predicts. */
#ifndef SPARKC_TOOLS_TRAIN_RECONSTRUCTION_H
#define SPARKC_TOOLS_TRAIN_RECONSTRUCTION_H

#include "passes/passes.h"
#include "runtime/data/image.h"
#include "runtime/data/source.h"
#include "runtime/train/tensors.h"
#include "tools/execute/executor.h"

typedef struct Reconstruction Reconstruction;

/* Compiles the reconstruction of pass->batch images in evaluation mode (running statistics).
 * Mistakes of the network's are reported in `diagnostics`. */
Status reconstruction_create(Arena *arena, const Graph *network, const PassOptions *pass,
                             const ExecutorOptions *options, Diagnostics *diagnostics,
                             Reconstruction **reconstruction);
void reconstruction_destroy(Reconstruction *reconstruction);

/* Parameters and running statistics, to be filled before it runs. */
const TrainingMemory *reconstruction_memory(const Reconstruction *reconstruction);

/* The visible cells of each image: drawn by a seed; or the same for all, `list` of as many cells as
 * the network keeps, ascending. */
void reconstruction_mask(const Reconstruction *reconstruction, uint32_t seed);
void reconstruction_set_mask(const Reconstruction *reconstruction, const int32_t *list);

/* Runs and draws the picture into the arena; the loss is over hidden cells. The network predicts
 * each cell in units of the cell's own deviation from its own mean: the picture takes both from the
 * original, as the official pictures do. Small images are magnified by a whole number. */
Status reconstruction_draw(Arena *arena, const Reconstruction *reconstruction, const double *mean,
                           const double *deviation, Image *picture, double *loss);

/* Fills the images with pictures spread evenly over a source: each one's largest centred part of
 * the images' proportions, resized. Bad pictures are passed over; where a source has too few good
 * ones they come again. Fails if there is none. */
Status reconstruction_load(Arena *arena, const Source *source, const double *mean,
                           const double *deviation, const Reconstruction *reconstruction);

#endif
