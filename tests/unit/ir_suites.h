/* The suites of the tests of the graph IR, one per file. */
#ifndef SPARKC_TESTS_UNIT_IR_SUITES_H
#define SPARKC_TESTS_UNIT_IR_SUITES_H

#include "tests/unit/harness.h"

extern CU_TestInfo ir_type[];
extern CU_TestInfo ir_graph[];
extern CU_TestInfo ir_builder[];
extern CU_TestInfo ir_rules[];
extern CU_TestInfo ir_verify[];

#endif
