#include "tests/unit/interpret_suites.h"

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("activation", interpret_activation_tests),
    HARNESS_SUITE("composite", interpret_composite_tests),
    HARNESS_SUITE("contraction", interpret_contraction_tests),
    HARNESS_SUITE("engine", interpret_engine_tests),
    HARNESS_SUITE("mask", interpret_mask_tests),
    HARNESS_SUITE("move", interpret_move_tests),
    HARNESS_SUITE("pointwise", interpret_pointwise_tests),
    HARNESS_SUITE("reduce", interpret_reduce_tests),
    HARNESS_SUITE("window", interpret_window_tests),
    CU_SUITE_INFO_NULL,
};
