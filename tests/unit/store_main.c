#include "tests/unit/harness.h"
#include "tests/unit/store_suites.h"

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("file", store_file_tests),
    HARNESS_SUITE("checkpoint", store_checkpoint_tests),
    HARNESS_SUITE("damage", store_damage_tests),
    HARNESS_SUITE("kill", store_kill_tests),
    HARNESS_SUITE("log", store_log_tests),
    HARNESS_SUITE("events", store_events_tests),
    HARNESS_SUITE("lock", store_lock_tests),
    CU_SUITE_INFO_NULL,
};
