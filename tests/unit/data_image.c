/* Decoding: kinds of JPEG and PNG, orientation, limits, files cut short. */
#include <string.h>

#include "tests/unit/data_suites.h"

#define SEEDS "tests/fuzz/corpus/image/"

static const char *const seeds[] = {
    "alpha.png",      "baseline.jpg",    "cmyk.jpg",   "exif.jpg",    "grey-alpha.png",
    "grey.jpg",       "grey16.png",      "rgb.png",    "restart.jpg", "palette.png",
    "interlaced.png", "progressive.jpg", "one-bit.png"};

enum { SEED_COUNT = sizeof seeds / sizeof *seeds };

static Image seed_image(Arena *arena, const char *name, int channels) {
    return data_read_image(arena, arena_format(arena, SEEDS "%s", name), channels);
}

static size_t byte_count(const Image *image) {
    return (size_t)image->width * (size_t)image->height * (size_t)image->channels;
}

/* The mean distance of two pictures' bytes; 256 for pictures of different sizes. */
static double distance(const Image *a, const Image *b) {
    double sum = 0;
    if (a->width != b->width || a->height != b->height || a->channels != b->channels)
        return 256;
    for (size_t i = 0; i < byte_count(a); i++)
        sum +=
            a->pixels[i] > b->pixels[i] ? a->pixels[i] - b->pixels[i] : b->pixels[i] - a->pixels[i];
    return sum / (double)byte_count(a);
}

static void decodes_every_kind_to_every_channel_count(void) {
    static const int channels[] = {1, 3, 4};
    for (size_t i = 0; i < SEED_COUNT * 3; i++) {
        Arena *arena = arena_create();
        Image image = seed_image(arena, seeds[i / 3], channels[i % 3]);
        bool turned =
            strcmp(seeds[i / 3], "exif.jpg") == 0 || strcmp(seeds[i / 3], "alpha.png") == 0;
        bool small = strcmp(seeds[i / 3], "interlaced.png") == 0;
        CU_ASSERT_EQUAL(image.channels, channels[i % 3]);
        CU_ASSERT_EQUAL(image.width, small ? 8 : turned ? 17 : 19);
        CU_ASSERT_EQUAL(image.height, small ? 8 : turned ? 19 : 17);
        arena_destroy(arena);
    }
}

/* What lossy kinds may differ by follows from their quality; kinds that were mixed up differ by
 * more than 60. */
static void kinds_of_one_picture_agree(void) {
    static const struct {
        const char *name;
        double most;
    } cases[] = {{"baseline.jpg", 40},   {"progressive.jpg", 40}, {"restart.jpg", 40},
                 {"subsampled.jpg", 25}, {"cmyk.jpg", 40},        {"palette.png", 25}};
    Arena *arena = arena_create();
    Image expected = seed_image(arena, "rgb.png", 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Image image = seed_image(arena, cases[i].name, 3);
        CU_ASSERT(distance(&image, &expected) < cases[i].most);
        for (size_t byte = 0; byte < byte_count(&image); byte++)
            image.pixels[byte] = (uint8_t)(255 - image.pixels[byte]);
        CU_ASSERT(distance(&image, &expected) > 60);
    }
    Image baseline = seed_image(arena, "baseline.jpg", 3);
    Image progressive = seed_image(arena, "progressive.jpg", 3);
    CU_ASSERT_EQUAL(distance(&baseline, &progressive), 0);
    arena_destroy(arena);
}

static void makes_grey_of_colors(void) {
    Arena *arena = arena_create();
    Image color = seed_image(arena, "rgb.png", 3), grey = seed_image(arena, "rgb.png", 1);
    for (size_t i = 0; i < byte_count(&grey); i++) {
        const uint8_t *rgb = color.pixels + 3 * i;
        double expected = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        CU_ASSERT_DOUBLE_EQUAL(grey.pixels[i], expected, 0.51);
    }
    Image deep = seed_image(arena, "grey16.png", 1);
    CU_ASSERT_EQUAL(distance(&deep, &grey), 0);
    arena_destroy(arena);
}

static void keeps_alpha_only_where_it_is_wanted(void) {
    Arena *arena = arena_create();
    Image with = seed_image(arena, "alpha.png", 4), without = seed_image(arena, "alpha.png", 3);
    Image grey = seed_image(arena, "alpha.png", 1), opaque = seed_image(arena, "rgb.png", 4);
    Image palette = seed_image(arena, "palette.png", 4);
    size_t transparent = 0;
    for (size_t i = 0; i < byte_count(&grey); i++) {
        CU_ASSERT_EQUAL(with.pixels[4 * i + 3], grey.pixels[i]);
        CU_ASSERT_EQUAL(memcmp(with.pixels + 4 * i, without.pixels + 3 * i, 3), 0);
        CU_ASSERT_EQUAL(opaque.pixels[4 * i + 3], 255);
        transparent += palette.pixels[4 * i + 3] == 0;
    }
    CU_ASSERT(transparent > 0 && transparent < byte_count(&grey));
    arena_destroy(arena);
}

static void puts_interlaced_rows_in_place(void) {
    Arena *arena = arena_create();
    Image image = seed_image(arena, "interlaced.png", 1);
    for (uint8_t x = 0; x < 8; x++)
        CU_ASSERT_EQUAL(image.pixels[8 + x], x);
    for (uint8_t x = 0; x < 4; x++)
        CU_ASSERT_EQUAL(image.pixels[16 + 2 * x], x);
    CU_ASSERT_EQUAL(image.pixels[2], 0);
    CU_ASSERT_EQUAL(image.pixels[6], 1);
    arena_destroy(arena);
}

/* The byte that holds the orientation in exif.jpg: entry 0x112 of type 3, count 1. */
static uint8_t *orientation_byte(uint8_t *bytes, size_t length) {
    static const uint8_t big[] = {1, 0x12, 0, 3, 0, 0, 0, 1, 0};
    static const uint8_t little[] = {0x12, 1, 3, 0, 1, 0, 0, 0};
    uint8_t *found = memmem(bytes, length, big, sizeof big);
    if (found)
        return found + sizeof big;
    found = memmem(bytes, length, little, sizeof little);
    return found ? found + sizeof little : NULL;
}

/* Where the corners of the stored picture come to lie, by orientation 1..8: which of the stored
 * corners (0 top left, 1 top right, 2 bottom left, 3 bottom right) is top left, which top right. */
static void turns_pictures_upright(void) {
    static const int top_left[] = {0, 1, 3, 2, 0, 2, 3, 1}, top_right[] = {1, 0, 2, 3, 2, 0, 1, 3};
    Arena *arena = arena_create();
    size_t length;
    uint8_t *bytes = data_read_file(arena, SEEDS "exif.jpg", &length);
    uint8_t *byte = orientation_byte(bytes, length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(byte);
    Image stored, image;
    *byte = 1;
    Status status = image_decode(arena, bytes, length, 3, &image_default_limits, &stored);
    CU_ASSERT_FATAL(status_fine(status));
    size_t last = byte_count(&stored) - 3, row = (size_t)stored.width * 3;
    const uint8_t *corners[] = {stored.pixels, stored.pixels + row - 3,
                                stored.pixels + last - row + 3, stored.pixels + last};
    for (uint8_t orientation = 1; orientation <= 8; orientation++) {
        *byte = orientation;
        status = image_decode(arena, bytes, length, 3, &image_default_limits, &image);
        CU_ASSERT_FATAL(status_fine(status));
        CU_ASSERT_EQUAL(image.width, orientation < 5 ? stored.width : stored.height);
        CU_ASSERT_EQUAL(image.height, orientation < 5 ? stored.height : stored.width);
        const uint8_t *right = image.pixels + (image.width - 1) * 3;
        CU_ASSERT_EQUAL(memcmp(image.pixels, corners[top_left[orientation - 1]], 3), 0);
        CU_ASSERT_EQUAL(memcmp(right, corners[top_right[orientation - 1]], 3), 0);
    }
    *byte = 9;
    status = image_decode(arena, bytes, length, 3, &image_default_limits, &image);
    CU_ASSERT(status_fine(status));
    CU_ASSERT_EQUAL(distance(&image, &stored), 0);
    arena_destroy(arena);
}

static void refuses_what_is_cut_short(void) {
    for (size_t i = 0; i < SEED_COUNT; i++) {
        Arena *arena = arena_create();
        size_t length, accepted = 0;
        uint8_t *bytes = data_read_file(arena, arena_format(arena, SEEDS "%s", seeds[i]), &length);
        for (size_t cut = 0; cut < length; cut++) {
            Image image;
            uint8_t *part = arena_alloc(arena, cut, 1);
            memcpy(part, bytes, cut);
            accepted +=
                status_fine(image_decode(arena, part, cut, 3, &image_default_limits, &image));
        }
        CU_ASSERT_EQUAL(accepted, 0);
        arena_destroy(arena);
    }
}

/* The message that a picture is refused with; "" if it is not. */
static const char *refusal(Arena *arena, const char *name, ImageLimits limits) {
    size_t length;
    Image image;
    uint8_t *bytes = data_read_file(arena, arena_format(arena, SEEDS "%s", name), &length);
    Status status = image_decode(arena, bytes, length, 3, &limits, &image);
    return status_fine(status) ? "" : status.message;
}

static void keeps_within_limits(void) {
    Arena *arena = arena_create();
    ImageLimits pixels = image_default_limits, scans = pixels, work = pixels;
    pixels.pixels = 19 * 17 - 1;
    scans.scans = 3;
    work.scan_pixels = 19 * 17 * 2;
    CU_ASSERT_STRING_EQUAL(refusal(arena, "baseline.jpg", pixels),
                           "the header says 19 x 17 pixels; at most 322 are read");
    CU_ASSERT_STRING_EQUAL(refusal(arena, "rgb.png", pixels),
                           "the header says 19 x 17 pixels; at most 322 are read");
    CU_ASSERT_STRING_EQUAL(refusal(arena, "progressive.jpg", scans),
                           "the JPEG has more than 3 scans, the most for its size");
    CU_ASSERT_STRING_EQUAL(refusal(arena, "progressive.jpg", work),
                           "the JPEG has more than 2 scans, the most for its size");
    CU_ASSERT_STRING_EQUAL(refusal(arena, "baseline.jpg", scans), "");
    arena_destroy(arena);
}

static void stops_when_it_is_told(void) {
    static const char *const names[] = {"baseline.jpg", "progressive.jpg", "rgb.png"};
    Arena *arena = arena_create();
    atomic_bool stop = true;
    ImageLimits limits = image_default_limits;
    limits.stop = &stop;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        atomic_store(&stop, true);
        CU_ASSERT_STRING_EQUAL(refusal(arena, names[i], limits), "decoding was stopped");
        atomic_store(&stop, false);
        CU_ASSERT_STRING_EQUAL(refusal(arena, names[i], limits), "");
    }
    arena_destroy(arena);
}

/* The header of a picture claims far more pixels than its bytes can hold. */
static void refuses_pixels_that_the_file_cannot_hold(void) {
    Arena *arena = arena_create();
    size_t length;
    Image image;
    uint8_t *bytes = data_read_file(arena, SEEDS "baseline.jpg", &length);
    static const uint8_t frame[] = {0xff, 0xc0, 0, 17, 8};
    uint8_t *size = memmem(bytes, length, frame, sizeof frame);
    CU_ASSERT_PTR_NOT_NULL_FATAL(size);
    memcpy(size + sizeof frame, (const uint8_t[]){0x27, 0x10, 0x27, 0x10}, 4);
    Status status = image_decode(arena, bytes, length, 3, &image_default_limits, &image);
    CU_ASSERT_STRING_EQUAL(status.message,
                           "the header says 10000 x 10000 pixels; the file is too short");
    arena_destroy(arena);
}

static void names_what_is_no_picture(void) {
    static const struct {
        const char *bytes, *message;
    } cases[] = {{"", "the file is empty"},
                 {"hello, world", "neither JPEG nor PNG"},
                 {"GIF89a......", "a GIF picture; only JPEG and PNG are read"},
                 {"RIFF....WEBPVP8 ", "a WebP picture; only JPEG and PNG are read"}};
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Image image;
        size_t length = strlen(cases[i].bytes);
        Status status =
            image_decode(arena, cases[i].bytes, length, 3, &image_default_limits, &image);
        CU_ASSERT_FALSE_FATAL(status_fine(status));
        CU_ASSERT_STRING_EQUAL(status.message, cases[i].message);
    }
    arena_destroy(arena);
}

CU_TestInfo data_image_tests[] = {
    {"decodes every kind to every channel count", decodes_every_kind_to_every_channel_count},
    {"kinds of one picture agree", kinds_of_one_picture_agree},
    {"makes grey of colours", makes_grey_of_colors},
    {"keeps alpha only where it is wanted", keeps_alpha_only_where_it_is_wanted},
    {"puts interlaced rows in place", puts_interlaced_rows_in_place},
    {"turns pictures upright", turns_pictures_upright},
    {"refuses what is cut short", refuses_what_is_cut_short},
    {"keeps within limits", keeps_within_limits},
    {"stops when it is told", stops_when_it_is_told},
    {"refuses pixels that the file cannot hold", refuses_pixels_that_the_file_cannot_hold},
    {"names what is no picture", names_what_is_no_picture},
    CU_TEST_INFO_NULL,
};
