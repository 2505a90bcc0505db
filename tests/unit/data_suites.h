/* The suites of the tests of runtime/data, and what they share. */
#ifndef SPARKC_TESTS_UNIT_DATA_SUITES_H
#define SPARKC_TESTS_UNIT_DATA_SUITES_H

#include <CUnit/CUnit.h>

#include "runtime/data/image.h"

extern CU_TestInfo data_augment_tests[], data_image_tests[], data_labels_tests[],
    data_mixing_tests[], data_picture_tests[], data_resize_tests[], data_source_tests[],
    data_unpack_tests[];

/* A file of the source tree; a missing one ends the program. */
uint8_t *data_read_file(Arena *arena, const char *path, size_t *length);

/* The same, decoded within the default limits; a failure ends the program. */
Image data_read_image(Arena *arena, const char *path, int channels);

#endif
