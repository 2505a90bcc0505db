/* Random networks in the language, for tests: any seed gives a legal one. */
#ifndef SPARKC_TESTS_SUPPORT_RANDOM_NETWORK_H
#define SPARKC_TESTS_SUPPORT_RANDOM_NETWORK_H

#include <stdint.h>

#include "base/arena.h"

/* The text of a `.cnn` file with one network: 2 to 4 levels; plain, grouped, depthwise, dilated and
 * strided convolutions, both pools, every norm and activation, residual and dense connections,
 * gates, chunks and shuffles; images of 1 to 4 channels, few cells high and wide, rarely square. */
char *random_network(Arena *arena, uint32_t seed);

#endif
