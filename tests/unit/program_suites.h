/* The suites of the tests of the passes of programs, one per file. */
#ifndef SPARKC_TESTS_UNIT_PROGRAM_SUITES_H
#define SPARKC_TESTS_UNIT_PROGRAM_SUITES_H

#include "tests/unit/harness.h"

extern CU_TestInfo program_accepts_tests[];
extern CU_TestInfo program_results_tests[];
extern CU_TestInfo program_stages_tests[];
extern CU_TestInfo program_work_tests[];

#endif
