/* The suites of the runtime's unit tests. */
#ifndef SPARKC_TESTS_UNIT_RUNTIME_SUITES_H
#define SPARKC_TESTS_UNIT_RUNTIME_SUITES_H

#include <CUnit/CUnit.h>

extern CU_TestInfo runtime_safetensors_tests[];
extern CU_TestInfo runtime_weights_tests[];
extern CU_TestInfo runtime_schedule_tests[];
extern CU_TestInfo runtime_threads_tests[];
extern CU_TestInfo runtime_executor_tests[];

#endif
