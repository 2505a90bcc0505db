/* Counter-based random numbers: a number is a function of its place alone (Philox-4x32-10, Salmon
 * et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). u32 arithmetic only, so that every
 * target computes the same; no state. */
#ifndef SPARKC_BASE_RANDOM_H
#define SPARKC_BASE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct RandomBlock {
    uint32_t word[4];
} RandomBlock;

/* The block of a counter under a key: ten rounds of
 *     (hi0, lo0) = 0xD2511F53 * c0; (hi1, lo1) = 0xCD9E8D57 * c2      (64-bit products)
 *     c = (hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0)
 * with k0 += 0x9E3779B9, k1 += 0xBB67AE85 (modulo 2^32) between rounds. */
RandomBlock random_block(RandomBlock counter, uint32_t key0, uint32_t key1);

/* The word drawn for element `index` of a value in step `step`: word 0 of the block of counter
 * (index low, index high, step, 0) under the key (seed, stream). The index is row-major over the
 * value's logical extents (batch, space.., channels), whatever its storage. Streams keep the draws
 * of different layers apart. */
uint32_t random_word(uint32_t seed, uint32_t stream, uint32_t step, uint64_t index);

/* The words below this number drop an element: floor(rate * 2^32). The rate is in [0, 1). */
uint32_t random_threshold(double rate);

/* Whether dropout keeps an element: random_word >= random_threshold. */
bool random_keeps(uint32_t seed, uint32_t stream, uint32_t step, uint64_t index, double rate);

#endif
