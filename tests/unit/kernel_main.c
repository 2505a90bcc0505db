#include "tests/unit/kernel_suites.h"

#define SUITE(tests)                                                                               \
    { #tests, NULL, NULL, NULL, NULL, tests }

CU_SuiteInfo harness_suites[] = {
    SUITE(kernel_expression_tests),
    SUITE(kernel_interpret_tests),
    SUITE(kernel_lowered_tests),
    SUITE(kernel_text_tests),
    SUITE(kernel_traffic_tests),
    SUITE(kernel_verify_tests),
    SUITE(kernel_window_tests),
    CU_SUITE_INFO_NULL,
};
