#include <CUnit/CUnit.h>
#include <math.h>

#include "runtime/train/schedule.h"
#include "tests/unit/runtime_suites.h"

static const Schedule schedule = {
    .peak_lr = 2, .weight_decay = 0.04, .weight_decay_end = 0.2, .warmup = 10, .total = 101};

static void starts_peaks_and_ends(void) {
    CU_ASSERT_DOUBLE_EQUAL(schedule_lr(&schedule, 0), 0.01, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_lr(&schedule, 5), 0.01 + 1.99 / 2, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_lr(&schedule, 10), 2, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_lr(&schedule, 55), 0.002 + 1.998 / 2, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_lr(&schedule, 100), 0.002, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_weight_decay(&schedule, 0), 0.04, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_weight_decay(&schedule, 50), 0.12, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_weight_decay(&schedule, 100), 0.2, 1e-15);
}

static void stays_finite_in_the_shortest_runs(void) {
    static const Schedule runs[] = {
        {1, 0.04, 0.2, 0, 1}, {1, 0.04, 0.2, 1, 1}, {1, 0.04, 0.2, 5, 6}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (int64_t k = 0; k < runs[i].total; k++) {
            CU_ASSERT_TRUE(isfinite(schedule_lr(&runs[i], k)));
            CU_ASSERT_TRUE(isfinite(schedule_weight_decay(&runs[i], k)));
        }
    CU_ASSERT_EQUAL(schedule_lr(&runs[0], 0), 1);
}

static void rounds_halves_to_even(void) {
    CU_ASSERT_EQUAL(schedule_warmup(2.5), 2);
    CU_ASSERT_EQUAL(schedule_warmup(3.5), 4);
    CU_ASSERT_EQUAL(schedule_warmup(2.6), 3);
}

static void scales_the_peak_by_the_batch(void) {
    CU_ASSERT_EQUAL(schedule_peak_lr(2e-4, 4096), 3.2e-3);
    CU_ASSERT_EQUAL(schedule_peak_lr(2e-4, 256), 2e-4);
}

static void corrects_the_bias_of_moments(void) {
    CU_ASSERT_DOUBLE_EQUAL(schedule_bias_correction(0.9, 1), 0.1, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(schedule_bias_correction(0.9, 3), 1 - 0.9 * 0.9 * 0.9, 1e-15);
}

CU_TestInfo runtime_schedule_tests[] = {
    {"starts, peaks and ends", starts_peaks_and_ends},
    {"stays finite in the shortest runs", stays_finite_in_the_shortest_runs},
    {"rounds halves to even", rounds_halves_to_even},
    {"scales the peak by the batch", scales_the_peak_by_the_batch},
    {"corrects the bias of moments", corrects_the_bias_of_moments},
    CU_TEST_INFO_NULL,
};
