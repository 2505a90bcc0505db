#include "tests/unit/autodiff_suites.h"
#include "tests/unit/harness.h"

CU_SuiteInfo harness_suites[] = {
    {.pName = "expand", .pTests = expand_tests},
    {.pName = "autodiff", .pTests = autodiff_tests},
    {.pName = "gradients against central differences", .pTests = gradient_tests},
    CU_SUITE_INFO_NULL,
};
