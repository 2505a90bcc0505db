/* The order in which an epoch visits samples. */
#ifndef SPARKC_RUNTIME_DATA_ORDER_H
#define SPARKC_RUNTIME_DATA_ORDER_H

#include <stdint.h>

/* Fills order[0 .. count - 1] with a permutation of 0 .. count - 1, a function of (seed, epoch,
 * count) alone: a shuffle of Fisher and Yates. */
void order_shuffle(uint32_t seed, uint32_t epoch, uint64_t count, uint64_t *order);

#endif
