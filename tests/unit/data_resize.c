/* Resizing, against what PIL made of the same picture (tests/data/make_fixtures.py). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/resize.h"
#include "tests/unit/data_suites.h"

static void check_case(Arena *arena, int number, const int *row) {
    Image image = data_read_image(arena, "tests/data/resize.png", row[6]);
    Image expected =
        data_read_image(arena, arena_format(arena, "tests/data/resize-%d.png", number), row[6]);
    ResizeBox box = {row[0], row[1], row[2], row[3]};
    Image result = resize_bicubic(arena, &image, box, row[4], row[5]);
    CU_ASSERT_FATAL(result.width == expected.width && result.height == expected.height);
    size_t bytes = (size_t)row[4] * (size_t)row[5] * (size_t)row[6], different = 0;
    for (size_t i = 0; i < bytes; i++)
        different += result.pixels[i] != expected.pixels[i];
    CU_ASSERT_EQUAL(different, 0);
    if (different > 0)
        printf("case %d: %zu of %zu bytes differ\n", number, different, bytes);
}

static void equals_pil(void) {
    Arena *arena = arena_create();
    size_t length;
    int number = 0, row[7];
    const char *line = (const char *)data_read_file(arena, "tests/data/resize.tsv", &length);
    while ((line = strchr(line, '\n')) && line[1]) {
        line++;
        CU_ASSERT_EQUAL_FATAL(sscanf(line, "%d %d %d %d %d %d %d", row, row + 1, row + 2, row + 3,
                                     row + 4, row + 5, row + 6),
                              7);
        check_case(arena, number++, row);
    }
    CU_ASSERT_EQUAL(number, 9);
    arena_destroy(arena);
}

static void survives_extreme_shapes(void) {
    static const int sides[][4] = {
        {1, 1, 32, 32}, {4000, 3, 16, 16}, {3, 4000, 16, 16}, {1, 500, 3, 1}, {2, 2, 1, 700}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        Arena *arena = arena_create();
        size_t bytes = (size_t)sides[i][0] * (size_t)sides[i][1] * 4;
        Image image = {sides[i][0], sides[i][1], 4, arena_alloc(arena, bytes, 1)};
        memset(image.pixels, 77, bytes);
        ResizeBox box = {0, 0, image.width, image.height};
        Image result = resize_bicubic(arena, &image, box, sides[i][2], sides[i][3]);
        size_t wrong = 0;
        for (size_t j = 0; j < (size_t)sides[i][2] * (size_t)sides[i][3] * 4; j++)
            wrong += result.pixels[j] != 77;
        CU_ASSERT_EQUAL(wrong, 0);
        arena_destroy(arena);
    }
}

CU_TestInfo data_resize_tests[] = {
    {"equals PIL", equals_pil},
    {"survives extreme shapes", survives_extreme_shapes},
    CU_TEST_INFO_NULL,
};
