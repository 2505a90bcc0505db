/* The suites of the passes, one file each. */
#ifndef SPARKC_TESTS_UNIT_PASSES_SUITES_H
#define SPARKC_TESTS_UNIT_PASSES_SUITES_H

#include <CUnit/CUnit.h>

extern CU_TestInfo passes_optimizer_tests[];
extern CU_TestInfo passes_pipeline_tests[];
extern CU_TestInfo passes_pretraining_tests[];
extern CU_TestInfo passes_simplify_tests[];
extern CU_TestInfo passes_traps_tests[];

#endif
