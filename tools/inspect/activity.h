/* Which positions of a network's maps a mask leaves active: when whole maps are convolved, and when
 * the visible cells only are. */
#ifndef SPARKC_TOOLS_INSPECT_ACTIVITY_H
#define SPARKC_TOOLS_INSPECT_ACTIVITY_H

#include "ir/graph.h"

typedef struct ActivityMap {
    const char *name; /* "image", "feature.0", .. */
    int64_t stride;   /* image extent / extent */
    int space;
    int64_t extent[TYPE_MAX_SPACE];
    const bool *dense, *ours; /* a position each, row-major */
    double dense_share, our_share;
} ActivityMap;

/* The image and the features, from large to small, under a mask of `keep` visible cells, numbers of
 * cells in row-major order.
 *
 * `ours`: the positions of visible cells. `dense`: the image's visible pixels, and what they reach
 * when every layer works on whole maps: a window's result is active if a position that one of its
 * taps reads is; a value per image if any position is, and added to a map it makes all of the map
 * active. Pointwise layers and norms keep the positions; a product is active where its factors are.
 * Parameters (biases) make nothing active.
 *
 * The graph is the front end's, has at least one feature, and its scratch marks are used. */
const ActivityMap *activity_of(Graph *graph, Arena *arena, const int32_t *cells, int64_t keep,
                               size_t *count);

#endif
