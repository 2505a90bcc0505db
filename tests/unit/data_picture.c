/* Pictures that a run writes: tiles in their places, bytes of a network's input, PNG and back. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/data/picture.h"
#include "tests/unit/data_suites.h"

/* A picture whose bytes all differ from their neighbours. */
static Image noisy_image(Arena *arena, int width, int height, int channels) {
    size_t count = (size_t)width * (size_t)height * (size_t)channels;
    Image image = {width, height, channels, arena_new_array(arena, uint8_t, count)};
    for (size_t i = 0; i < count; i++)
        image.pixels[i] = (uint8_t)(i * 89 + i / 7);
    return image;
}

static void comes_back_from_png_with_every_channel_count(void) {
    static const int channels[] = {1, 3, 4};
    for (int i = 0; i < 3; i++) {
        Arena *arena = arena_create();
        Image image = noisy_image(arena, 37, 11, channels[i]), again;
        const uint8_t *png;
        size_t length;
        CU_ASSERT_TRUE_FATAL(status_fine(picture_encode(arena, &image, &png, &length)));
        CU_ASSERT_EQUAL(image_format(png, length), IMAGE_FORMAT_PNG);
        CU_ASSERT_TRUE_FATAL(status_fine(
            image_decode(arena, png, length, channels[i], &image_default_limits, &again)));
        CU_ASSERT_EQUAL_FATAL(again.width, 37);
        CU_ASSERT_EQUAL_FATAL(again.height, 11);
        CU_ASSERT_EQUAL(memcmp(again.pixels, image.pixels, (size_t)(37 * 11 * channels[i])), 0);
        arena_destroy(arena);
    }
}

static void puts_tiles_in_their_places(void) {
    Arena *arena = arena_create();
    Image canvas;
    static const uint8_t tile[] = {1, 2, 3, 4, 5, 6};
    CU_ASSERT_TRUE_FATAL(status_fine(picture_canvas(arena, 2, 3, 3, 2, 1, &canvas)));
    CU_ASSERT_EQUAL_FATAL(canvas.width, 3 * 3 + 2 * PICTURE_GAP);
    CU_ASSERT_EQUAL_FATAL(canvas.height, 2 * 2 + PICTURE_GAP);
    picture_put(&canvas, 1, 2, 3, 2, tile);
    int left = 2 * (3 + PICTURE_GAP), top = 2 + PICTURE_GAP;
    for (int y = 0; y < canvas.height; y++) {
        for (int x = 0; x < canvas.width; x++) {
            bool inside = x >= left && y >= top;
            CU_ASSERT_EQUAL(canvas.pixels[y * canvas.width + x],
                            inside ? tile[(y - top) * 3 + x - left] : 255);
        }
    }
    arena_destroy(arena);
}

static void turns_network_input_into_bytes(void) {
    static const double mean[] = {0.5, 0.25}, deviation[] = {0.25, 0.5};
    /* 0.5 + v / 4 and 0.25 + v / 2, pixel after pixel. */
    static const float values[] = {0,   0,   2,        1.5f,      -2.01f, -100,
                                   NAN, NAN, INFINITY, -INFINITY, 1,      -0.5f};
    static const uint8_t expected[] = {128, 64, 255, 255, 0, 0, 0, 0, 255, 0, 191, 0};
    uint8_t bytes[12];
    picture_bytes(values, 6, 2, mean, deviation, bytes);
    for (int i = 0; i < 12; i++)
        CU_ASSERT_EQUAL(bytes[i], expected[i]);
}

/* What the loader makes of a byte comes back as that byte. */
static void undoes_the_normalisation_of_every_byte(void) {
    const double mean = 0.485, deviation = 0.229;
    for (int byte = 0; byte < 256; byte++) {
        float value = ((float)byte / 255.0f - (float)mean) / (float)deviation;
        uint8_t again;
        picture_bytes(&value, 1, 1, &mean, &deviation, &again);
        CU_ASSERT_EQUAL(again, byte);
    }
}

static void refuses_what_is_too_large(void) {
    Arena *arena = arena_create();
    Image canvas;
    Status status = picture_canvas(arena, 2, 1, 1 << 26, 1, 1, &canvas);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "too large"));
    CU_ASSERT_FALSE(
        status_fine(picture_canvas(arena, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, 4, &canvas)));
    CU_ASSERT_TRUE(status_fine(picture_canvas(arena, 1, 1, 1 << 14, 1 << 13, 1, &canvas)));
    arena_destroy(arena);
}

static void refuses_other_channels(void) {
    Arena *arena = arena_create();
    Image canvas, image = noisy_image(arena, 4, 4, 2);
    const uint8_t *png;
    size_t length;
    CU_ASSERT_FALSE(status_fine(picture_canvas(arena, 1, 1, 4, 4, 2, &canvas)));
    CU_ASSERT_FALSE(status_fine(picture_encode(arena, &image, &png, &length)));
    arena_destroy(arena);
}

static void says_what_libpng_refuses(void) {
    Arena *arena = arena_create();
    Image image = {.width = 0, .height = 4, .channels = 1};
    const uint8_t *png;
    size_t length;
    Status status = picture_encode(arena, &image, &png, &length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(status.message);
    CU_ASSERT_PTR_NOT_NULL(strstr(status.message, "PNG"));
    arena_destroy(arena);
}

static void writes_a_file_or_says_why_not(void) {
    Arena *arena = arena_create();
    char folder[] = "/tmp/sparkc-picture-XXXXXX";
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    const char *path = arena_format(arena, "%s/a.png", folder), *error;
    Image image = noisy_image(arena, 5, 3, 3), again;
    size_t length;
    CU_ASSERT_TRUE(status_fine(picture_write(arena, &image, path)));
    char *bytes = text_read_file(arena, path, 1 << 20, &length, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    CU_ASSERT_TRUE_FATAL(
        status_fine(image_decode(arena, bytes, length, 3, &image_default_limits, &again)));
    CU_ASSERT_EQUAL(memcmp(again.pixels, image.pixels, 5 * 3 * 3), 0);
    CU_ASSERT_FALSE(
        status_fine(picture_write(arena, &image, arena_format(arena, "%s/no/a.png", folder))));
    unlink(path);
    rmdir(folder);
    arena_destroy(arena);
}

CU_TestInfo data_picture_tests[] = {
    {"comes back from PNG with every channel count", comes_back_from_png_with_every_channel_count},
    {"puts tiles in their places", puts_tiles_in_their_places},
    {"turns network input into bytes", turns_network_input_into_bytes},
    {"undoes the normalisation of every byte", undoes_the_normalisation_of_every_byte},
    {"refuses what is too large", refuses_what_is_too_large},
    {"refuses other channels", refuses_other_channels},
    {"says what libpng refuses", says_what_libpng_refuses},
    {"writes a file or says why not", writes_a_file_or_says_why_not},
    CU_TEST_INFO_NULL,
};
