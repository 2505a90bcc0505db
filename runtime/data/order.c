#include "runtime/data/order.h"

#include "base/random.h"

/* The key's second word, apart from the streams that layers draw from, which are small, and from
 * that of augmentation. */
enum { STREAM = 0x6f726472 };

/* In 0 .. limit - 1; of 2^64 words no number gets more than one more than another. */
static uint64_t below(RandomBlock block, uint64_t limit) {
    uint64_t word = (uint64_t)block.word[1] << 32 | block.word[0];
    return (uint64_t)((unsigned __int128)word * limit >> 64);
}

void order_shuffle(uint32_t seed, uint32_t epoch, uint64_t count, uint64_t *order) {
    for (uint64_t i = 0; i < count; i++)
        order[i] = i;
    for (uint64_t i = 0; i < count; i++) {
        RandomBlock counter = {{(uint32_t)i, (uint32_t)(i >> 32), epoch, 0}};
        uint64_t other = i + below(random_block(counter, seed, STREAM), count - i);
        uint64_t sample = order[other];
        order[other] = order[i];
        order[i] = sample;
    }
}
