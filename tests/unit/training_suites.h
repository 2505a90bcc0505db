/* The suites of the tests of training. */
#ifndef SPARKC_TESTS_UNIT_TRAINING_SUITES_H
#define SPARKC_TESTS_UNIT_TRAINING_SUITES_H

#include <CUnit/CUnit.h>

extern CU_TestInfo training_finetune_tests[], training_settings_tests[], training_steps_tests[],
    training_tensors_tests[];

/* Around the tests of tensors: the folder that they write into. */
int training_make_folder(void);
int training_remove_folder(void);

#endif
