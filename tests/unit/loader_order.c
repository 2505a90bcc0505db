/* The order of an epoch. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/order.h"
#include "tests/unit/loader_suites.h"

enum { MOST = 1000 };

static bool is_permutation(const uint64_t *order, uint64_t count) {
    bool seen[MOST] = {false};
    for (uint64_t i = 0; i < count; i++) {
        if (order[i] >= count || seen[order[i]])
            return false;
        seen[order[i]] = true;
    }
    return true;
}

static void visits_each_sample_once(void) {
    static const uint64_t counts[] = {0, 1, 2, 3, 64, 999, MOST};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (uint32_t epoch = 0; epoch < 20; epoch++) {
            uint64_t order[MOST];
            order_shuffle(5, epoch, counts[i], order);
            CU_ASSERT(is_permutation(order, counts[i]));
        }
    }
}

static void depends_on_seed_and_epoch_alone(void) {
    uint64_t first[MOST], again[MOST], other_epoch[MOST], other_seed[MOST];
    order_shuffle(1, 2, MOST, first);
    order_shuffle(1, 2, MOST, again);
    order_shuffle(1, 3, MOST, other_epoch);
    order_shuffle(2, 2, MOST, other_seed);
    CU_ASSERT(memcmp(first, again, sizeof first) == 0);
    CU_ASSERT(memcmp(first, other_epoch, sizeof first) != 0);
    CU_ASSERT(memcmp(first, other_seed, sizeof first) != 0);
}

/* Each sample is as often in each place, within 5 standard deviations. */
static void prefers_no_sample(void) {
    enum { COUNT = 5, EPOCHS = 20000 };
    int hits[COUNT][COUNT] = {{0}};
    const double share = 1 / (double)COUNT, mean = share * (double)EPOCHS;
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint64_t order[COUNT];
        order_shuffle(9, epoch, COUNT, order);
        for (int place = 0; place < COUNT; place++)
            hits[place][order[place]]++;
    }
    for (int i = 0; i < COUNT * COUNT; i++)
        CU_ASSERT(fabs(hits[i / COUNT][i % COUNT] - mean) < 5 * sqrt(mean * (1 - share)));
}

CU_TestInfo loader_order_tests[] = {
    {"visits each sample once", visits_each_sample_once},
    {"depends on seed and epoch alone", depends_on_seed_and_epoch_alone},
    {"prefers no sample", prefers_no_sample},
    CU_TEST_INFO_NULL,
};
