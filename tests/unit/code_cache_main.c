#include "tests/unit/code_cache_fixture.h"

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("entries", code_cache_entry_tests),
    HARNESS_SUITE("folders", code_cache_folder_tests),
    HARNESS_SUITE("compiling", code_cache_compile_tests),
    CU_SUITE_INFO_NULL,
};
