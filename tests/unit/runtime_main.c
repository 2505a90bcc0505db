#include "tests/unit/harness.h"
#include "tests/unit/runtime_suites.h"

CU_SuiteInfo harness_suites[] = {
    {"safetensors", NULL, NULL, NULL, NULL, runtime_safetensors_tests},
    {"weights", NULL, NULL, NULL, NULL, runtime_weights_tests},
    {"schedule", NULL, NULL, NULL, NULL, runtime_schedule_tests},
    {"threads", NULL, NULL, NULL, NULL, runtime_threads_tests},
    {"executor", NULL, NULL, NULL, NULL, runtime_executor_tests},
    CU_SUITE_INFO_NULL,
};
