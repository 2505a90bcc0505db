/* The suites of the interpreter's tests, one per file. */
#ifndef SPARKC_TESTS_UNIT_INTERPRET_SUITES_H
#define SPARKC_TESTS_UNIT_INTERPRET_SUITES_H

#include "tests/unit/harness.h"

extern CU_TestInfo interpret_activation_tests[];
extern CU_TestInfo interpret_composite_tests[];
extern CU_TestInfo interpret_contraction_tests[];
extern CU_TestInfo interpret_engine_tests[];
extern CU_TestInfo interpret_mask_tests[];
extern CU_TestInfo interpret_move_tests[];
extern CU_TestInfo interpret_pointwise_tests[];
extern CU_TestInfo interpret_reduce_tests[];
extern CU_TestInfo interpret_window_tests[];

#endif
