#include "tests/unit/compiled_suites.h"

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("accumulated gradients", compiled_accumulate_tests),
    HARNESS_SUITE("scalar operations", compiled_expression_tests),
    HARNESS_SUITE("ops", compiled_ops_tests),
    HARNESS_SUITE("plans", compiled_plans_tests),
    HARNESS_SUITE("split convolutions", compiled_split_tests),
    CU_SUITE_INFO_NULL,
};
