#include "tests/unit/harness.h"
#include "tests/unit/training_suites.h"

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("settings", training_settings_tests),
    HARNESS_SUITE("settings of a fine-tuning", training_finetune_tests),
    HARNESS_SUITE("steps", training_steps_tests),
    {"tensors", training_make_folder, training_remove_folder, NULL, NULL, training_tensors_tests},
    CU_SUITE_INFO_NULL,
};
