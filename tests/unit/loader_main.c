#include "tests/unit/harness.h"
#include "tests/unit/loader_suites.h"

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("order", loader_order_tests),
    HARNESS_SUITE("batches", loader_batches_tests),
    HARNESS_SUITE("bad pictures", loader_bad_tests),
    HARNESS_SUITE("life", loader_life_tests),
    HARNESS_SUITE("fingerprint", loader_fingerprint_tests),
    HARNESS_SUITE("mask", loader_mask_tests),
    CU_SUITE_INFO_NULL,
};
