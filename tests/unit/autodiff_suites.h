/* The suites of expanding and differentiating, one file each. */
#ifndef SPARKC_TESTS_UNIT_AUTODIFF_SUITES_H
#define SPARKC_TESTS_UNIT_AUTODIFF_SUITES_H

#include <CUnit/CUnit.h>

extern CU_TestInfo autodiff_tests[];
extern CU_TestInfo expand_tests[];
extern CU_TestInfo gradient_tests[];

#endif
