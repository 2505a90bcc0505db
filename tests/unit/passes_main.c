#include "tests/unit/harness.h"
#include "tests/unit/passes_suites.h"

CU_SuiteInfo harness_suites[] = {
    {.pName = "optimizer", .pTests = passes_optimizer_tests},
    {.pName = "pipeline", .pTests = passes_pipeline_tests},
    {.pName = "pretraining", .pTests = passes_pretraining_tests},
    {.pName = "simplify", .pTests = passes_simplify_tests},
    {.pName = "traps", .pTests = passes_traps_tests},
    CU_SUITE_INFO_NULL,
};
