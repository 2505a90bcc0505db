/* Crops and flips as drawn, and the values that a network gets. */
#include <math.h>
#include <string.h>

#include "runtime/data/augment.h"
#include "tests/unit/data_suites.h"

static AugmentChoice choose(uint32_t seed, uint32_t epoch, uint64_t index, int width, int height) {
    return augment_choose(&augment_pretraining_options, seed, epoch, index, width, height);
}

static bool equal(AugmentChoice a, AugmentChoice b) {
    return a.flip == b.flip && a.box.x == b.box.x && a.box.y == b.box.y &&
           a.box.width == b.box.width && a.box.height == b.box.height;
}

static void depends_on_seed_epoch_and_sample_alone(void) {
    AugmentChoice first = choose(1, 2, 3, 500, 333);
    CU_ASSERT(equal(first, choose(1, 2, 3, 500, 333)));
    CU_ASSERT_FALSE(equal(first, choose(2, 2, 3, 500, 333)));
    CU_ASSERT_FALSE(equal(first, choose(1, 3, 3, 500, 333)));
    CU_ASSERT_FALSE(equal(first, choose(1, 2, 4, 500, 333)));
    CU_ASSERT_FALSE(equal(first, choose(1, 2, 3 + (UINT64_C(1) << 32), 500, 333)));
}

static void crops_lie_within_the_picture(void) {
    static const int sides[][2] = {{1, 1},    {1, 2},     {2, 1}, {4000, 3},
                                   {3, 4000}, {224, 224}, {7, 5}, {1, 65500}};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        int width = sides[i][0], height = sides[i][1], outside = 0;
        for (uint64_t index = 0; index < 500; index++) {
            ResizeBox box = choose(7, 0, index, width, height).box;
            outside += box.x < 0 || box.y < 0 || box.width < 1 || box.height < 1 ||
                       box.width > width - box.x || box.height > height - box.y;
        }
        CU_ASSERT_EQUAL(outside, 0);
    }
}

/* Of a large square picture: no rounding to speak of, and most first tries fit. */
static void draws_what_the_options_say(void) {
    const int side = 1000;
    const double draws = 4000;
    double area_sum = 0, log_ratio_sum = 0, left = 0, room = 0;
    int flips = 0, outside = 0;
    for (uint64_t index = 0; (double)index < draws; index++) {
        AugmentChoice choice = choose(3, 1, index, side, side);
        double width = choice.box.width, height = choice.box.height;
        double area = width * height / side / side, ratio = width / height;
        outside += area < 0.668 || area > 1.001 || ratio < 0.747 || ratio > 1.337;
        area_sum += area;
        log_ratio_sum += log(ratio);
        left += choice.box.x;
        room += side - width;
        flips += choice.flip;
    }
    CU_ASSERT_EQUAL(outside, 0);
    CU_ASSERT(area_sum / draws > 0.75 && area_sum / draws < 0.84);
    CU_ASSERT_DOUBLE_EQUAL(log_ratio_sum / draws, 0, 0.01);
    CU_ASSERT_DOUBLE_EQUAL(left / room, 0.5, 0.02);
    CU_ASSERT_DOUBLE_EQUAL((double)flips / draws, 0.5, 0.03);
}

/* 4000 x 3 has no crop that fits: torchvision takes the centre, 4 x 3. */
static void falls_back_to_the_centre(void) {
    ResizeBox wide = choose(1, 1, 1, 4000, 3).box, tall = choose(1, 1, 1, 3, 4000).box;
    CU_ASSERT(wide.x == 1998 && wide.y == 0 && wide.width == 4 && wide.height == 3);
    CU_ASSERT(tall.x == 0 && tall.y == 1998 && tall.width == 3 && tall.height == 4);
}

static void scales_and_flips(void) {
    static const double mean[] = {0.5, 0.25, 0.125}, deviation[] = {0.5, 0.25, 2};
    uint8_t pixels[] = {0, 51, 255, 255, 102, 0};
    Image image = {2, 1, 3, pixels};
    AugmentScale scale = augment_scale(3, mean, deviation);
    float plain[6], flipped[6];
    Arena *arena = arena_create();
    augment_apply(arena, &image, (AugmentChoice){{0, 0, 2, 1}, false}, &scale, 1, 2, plain);
    augment_apply(arena, &image, (AugmentChoice){{0, 0, 2, 1}, true}, &scale, 1, 2, flipped);
    static const float expected[] = {-1, (51.0f / 255 - 0.25f) / 0.25f,  0.4375f,
                                     1,  (102.0f / 255 - 0.25f) / 0.25f, -0.0625f};
    for (int i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(plain[i], expected[i]);
        CU_ASSERT_EQUAL(flipped[i], expected[(i + 3) % 6]);
    }
    arena_destroy(arena);
}

CU_TestInfo data_augment_tests[] = {
    {"depends on seed, epoch and sample alone", depends_on_seed_epoch_and_sample_alone},
    {"crops lie within the picture", crops_lie_within_the_picture},
    {"draws what the options say", draws_what_the_options_say},
    {"falls back to the centre", falls_back_to_the_centre},
    {"scales and flips", scales_and_flips},
    CU_TEST_INFO_NULL,
};
