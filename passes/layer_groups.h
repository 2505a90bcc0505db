/* Layer groups: which learning rate of a layer-wise decay a parameter has. A fine-tuned network's
 * first layers are kept close to what pretraining left, its last ones move freely: the rate of
 * group i is multiplied by decay^(last - i).
 *
 * Groups follow one another through the network: the stem, the blocks of each level (what ends at a
 * feature) a few at a time, the head. A block is a stretch of the network that forks and joins
 * again, as residual connections and gates do; what stands in a row before a block (a downsampling
 * layer) belongs to it, what stands behind a level's last block to that one. Where nothing forks in
 * a level each convolution begins a block. The stem is what stands before the first level's first
 * fork.
 *
 * Of a level's n blocks, n up to 3 make one group, 4 or 5 groups of 2, others groups of 4 where 4
 * divides n, else groups of 3; the last group of a level may be smaller. These are the groups of
 * the official fine-tuning for its ResNets (50 to 200 layers) and ConvNeXts. */
#ifndef SPARKC_PASSES_LAYER_GROUPS_H
#define SPARKC_PASSES_LAYER_GROUPS_H

#include "ir/graph.h"

/* The group of each segment, by index, in `arena`; *count: the number of groups. A segment that no
 * op reads is in group 0, one of the part head in the last. Needs the outputs feature.<i>, if there
 * are any. */
int *layer_groups(Graph *graph, Arena *arena, int *count);

/* Multiplies each segment's lr_scale by decay^(last group - its group). */
void layer_groups_scale(Graph *graph, double decay);

#endif
