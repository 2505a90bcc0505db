#include "tests/unit/program_suites.h"

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("accepts", program_accepts_tests),
    HARNESS_SUITE("results", program_results_tests),
    HARNESS_SUITE("stages", program_stages_tests),
    HARNESS_SUITE("work", program_work_tests),
    CU_SUITE_INFO_NULL,
};
