#include "tests/unit/ir_suites.h"

#define SUITE(tests)                                                                               \
    { #tests, NULL, NULL, NULL, NULL, tests }

CU_SuiteInfo harness_suites[] = {
    SUITE(ir_type),  SUITE(ir_graph),  SUITE(ir_builder),
    SUITE(ir_rules), SUITE(ir_verify), CU_SUITE_INFO_NULL,
};
