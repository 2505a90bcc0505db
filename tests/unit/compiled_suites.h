/* The suites of the test program for compiled code. */
#ifndef SPARKC_TESTS_UNIT_COMPILED_SUITES_H
#define SPARKC_TESTS_UNIT_COMPILED_SUITES_H

#include "tests/unit/harness.h"

extern CU_TestInfo compiled_accumulate_tests[], compiled_expression_tests[], compiled_ops_tests[],
    compiled_plans_tests[], compiled_split_tests[];

#endif
