/* The suites of the tests of what a run keeps on the disk. */
#ifndef SPARKC_TESTS_UNIT_STORE_SUITES_H
#define SPARKC_TESTS_UNIT_STORE_SUITES_H

#include <CUnit/CUnit.h>

extern CU_TestInfo store_file_tests[];
extern CU_TestInfo store_checkpoint_tests[];
extern CU_TestInfo store_damage_tests[];
extern CU_TestInfo store_kill_tests[];
extern CU_TestInfo store_log_tests[];
extern CU_TestInfo store_events_tests[];
extern CU_TestInfo store_lock_tests[];

#endif
