/* The suites of the kernel IR's tests, one per file. */
#ifndef SPARKC_TESTS_UNIT_KERNEL_SUITES_H
#define SPARKC_TESTS_UNIT_KERNEL_SUITES_H

#include "tests/unit/harness.h"

extern CU_TestInfo kernel_expression_tests[];
extern CU_TestInfo kernel_interpret_tests[];
extern CU_TestInfo kernel_lowered_tests[];
extern CU_TestInfo kernel_text_tests[];
extern CU_TestInfo kernel_traffic_tests[];
extern CU_TestInfo kernel_verify_tests[];
extern CU_TestInfo kernel_window_tests[];

#endif
