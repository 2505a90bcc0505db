#include <stdlib.h>

#include "base/fatal.h"
#include "base/text.h"
#include "tests/unit/data_suites.h"
#include "tests/unit/harness.h"

CU_SuiteInfo harness_suites[] = {
    HARNESS_SUITE("image", data_image_tests),
    HARNESS_SUITE("resize", data_resize_tests),
    HARNESS_SUITE("augment", data_augment_tests),
    HARNESS_SUITE("picture", data_picture_tests),
    HARNESS_SUITE("source", data_source_tests),
    HARNESS_SUITE("unpack", data_unpack_tests),
    HARNESS_SUITE("labels", data_labels_tests),
    HARNESS_SUITE("mixing", data_mixing_tests),
    CU_SUITE_INFO_NULL,
};

uint8_t *data_read_file(Arena *arena, const char *path, size_t *length) {
    const char *root = getenv("SPARKC_SOURCE"), *error;
    char *name = arena_format(arena, "%s/%s", root ? root : ".", path);
    char *bytes = text_read_file(arena, name, (size_t)1 << 24, length, &error);
    invariant(bytes, "%s: %s", name, error);
    return (uint8_t *)bytes;
}

Image data_read_image(Arena *arena, const char *path, int channels) {
    size_t length;
    Image image;
    uint8_t *bytes = data_read_file(arena, path, &length);
    Status status = image_decode(arena, bytes, length, channels, &image_default_limits, &image);
    invariant(status_fine(status), "%s: %s", path, status.message);
    return image;
}
