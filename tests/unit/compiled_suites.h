/* The suites of the test program for compiled code. */
#ifndef SPARKC_TESTS_COMPILED_SUITES_H
#define SPARKC_TESTS_COMPILED_SUITES_H

#include "tests/unit/harness.h"

extern CU_TestInfo compiled_expression_tests[];

#endif
