/* Small networks, built as the front end would. */
#ifndef SPARKC_TESTS_SUPPORT_NETWORK_H
#define SPARKC_TESTS_SUPPORT_NETWORK_H

#include "ir/builder.h"

typedef struct SmallNetwork {
    int levels; /* features, of stride 2, 4, .. unless first_stride says otherwise */
    int64_t batch, channels, height, width;
    int64_t first_stride; /* of the largest feature: 2 or 4; 0: 2 */
    bool batch_norm;      /* else layer norms */
    bool head;            /* global mean and a linear layer, 5 logits */
} SmallNetwork;

/* Level i is conv 3x3 stride 2 (16 channels at stride 2, twice as many at each further one), norm,
 * relu, with the names conv<i> and norm<i>; what stands before the first feature counts as levels
 * too. The head is fc. */
Graph *small_network(Arena *arena, const SmallNetwork *options);

#endif
