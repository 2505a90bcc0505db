/* The suites of the tests of what feeds a training: order, loader, fingerprint, masks. */
#ifndef SPARKC_TESTS_UNIT_LOADER_SUITES_H
#define SPARKC_TESTS_UNIT_LOADER_SUITES_H

#include <CUnit/CUnit.h>

extern CU_TestInfo loader_bad_tests[], loader_batches_tests[], loader_fingerprint_tests[],
    loader_life_tests[], loader_mask_tests[], loader_order_tests[];

#endif
