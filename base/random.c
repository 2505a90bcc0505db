#include "base/random.h"

#include <math.h>

RandomBlock random_block(RandomBlock counter, uint32_t key0, uint32_t key1) {
    const int rounds = 10;
    RandomBlock c = counter;
    for (int round = 0; round < rounds; round++) {
        uint64_t a = UINT64_C(0xD2511F53) * c.word[0], b = UINT64_C(0xCD9E8D57) * c.word[2];
        c = (RandomBlock){{(uint32_t)(b >> 32) ^ c.word[1] ^ key0, (uint32_t)b,
                           (uint32_t)(a >> 32) ^ c.word[3] ^ key1, (uint32_t)a}};
        key0 += UINT32_C(0x9E3779B9);
        key1 += UINT32_C(0xBB67AE85);
    }
    return c;
}

uint32_t random_word(uint32_t seed, uint32_t stream, uint32_t step, uint64_t index) {
    RandomBlock counter = {{(uint32_t)index, (uint32_t)(index >> 32), step, 0}};
    return random_block(counter, seed, stream).word[0];
}

uint32_t random_threshold(double rate) {
    return (uint32_t)floor(rate * 0x1p32);
}

bool random_keeps(uint32_t seed, uint32_t stream, uint32_t step, uint64_t index, double rate) {
    return random_word(seed, stream, step, index) >= random_threshold(rate);
}
