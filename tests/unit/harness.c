#include "tests/unit/harness.h"

#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

double harness_peak_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * (double)usage.ru_maxrss;
}

int main(void) {
    if (CU_initialize_registry() != CUE_SUCCESS ||
        CU_register_suites(harness_suites) != CUE_SUCCESS) {
        fprintf(stderr, "cannot register the suites: %s\n", CU_get_error_msg());
        return 1;
    }
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    bool fine = CU_get_number_of_tests_run() > 0 && CU_get_number_of_failure_records() == 0;
    CU_cleanup_registry();
    return fine ? 0 : 1;
}
