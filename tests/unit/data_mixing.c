/* Mixup, CutMix and smoothed targets: recorded ones, and what holds of all. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "runtime/data/mixing.h"
#include "runtime/safetensors.h"
#include "tests/unit/data_suites.h"

enum { SEED = 3 };

static const MixingShape shape = {4, 24, 32, 3};

static bool same(MixingChoice a, MixingChoice b) {
    return a.share == b.share && a.box.x == b.box.x && a.box.y == b.box.y &&
           a.box.width == b.box.width && a.box.height == b.box.height;
}

/* ---- Recorded -------------------------------------------------------------------------------- */

/* A tensor of a file, as float; maps [n, c, h, w] in the order [n, h, w, c]. */
static float *read_tensor(Arena *arena, const Safetensors *file, const char *name) {
    const SafetensorsTensor *tensor = safetensors_find(file, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
    double *values = arena_new_array(arena, double, tensor->count);
    float *moved = arena_new_array(arena, float, tensor->count);
    CU_ASSERT_PTR_NULL_FATAL(safetensors_read(arena, file, tensor, values).message);
    size_t channels = tensor->rank == 4 ? (size_t)tensor->shape[1] : 1;
    size_t images = tensor->rank == 4 ? (size_t)tensor->shape[0] : tensor->count;
    size_t positions = tensor->count / images / channels;
    for (size_t i = 0; i < tensor->count; i++) {
        size_t position = i % positions, channel = i / positions % channels;
        size_t image = i / positions / channels;
        moved[(image * positions + position) * channels + channel] = (float)values[i];
    }
    return moved;
}

static const char *recorded_path(Arena *arena) {
    const char *shared = getenv("SPARKC_SHARED"), *root = getenv("SPARKC_SOURCE");
    if (!shared)
        shared = arena_format(arena, "%s/../shared", root ? root : ".");
    return arena_format(arena, "%s/reference/finetune-step/input.safetensors", shared);
}

/* A batch blended with itself in reverse, 0.7 to 0.3; smoothing 0.1. */
static void check_recorded(Arena *arena, const Safetensors *file) {
    enum { BATCH = 4, SIDE = 64, CLASSES = 10, PIXELS = BATCH * SIDE * SIDE * 3 };
    const MixingChoice choice = {.share = 0.7};
    float *pictures = read_tensor(arena, file, "raw"), *mixed = read_tensor(arena, file, "image");
    const float *label = read_tensor(arena, file, "label");
    const float *target = read_tensor(arena, file, "target");
    float targets[BATCH * CLASSES];
    uint32_t classes[BATCH];
    double worst = 0;
    for (int i = 0; i < BATCH; i++)
        classes[i] = (uint32_t)label[i];
    mixing_pictures(choice, (MixingShape){BATCH, SIDE, SIDE, 3}, pictures);
    mixing_targets(choice, 0.1, BATCH, classes, CLASSES, targets);
    for (int i = 0; i < PIXELS; i++)
        worst = fmax(worst, fabs((double)pictures[i] - (double)mixed[i]));
    CU_ASSERT(worst < 1e-6);
    for (int i = 0; i < BATCH * CLASSES; i++)
        CU_ASSERT_DOUBLE_EQUAL(targets[i], target[i], 1e-7);
}

static void blends_as_recorded(void) {
    Arena *arena = arena_create();
    Safetensors *file;
    const char *path = recorded_path(arena);
    if (access(path, R_OK) != 0) {
        printf("skipped: %s is not there ", path);
        arena_destroy(arena);
        return;
    }
    CU_ASSERT_PTR_NULL_FATAL(safetensors_open(arena, path, &file).message);
    check_recorded(arena, file);
    safetensors_close(file);
    arena_destroy(arena);
}

/* ---- Choices --------------------------------------------------------------------------------- */

static void depends_on_seed_and_step_alone(void) {
    const MixingOptions options = {0.8, 1, 0.1};
    int differ = 0;
    for (uint32_t step = 0; step < 50; step++) {
        MixingChoice choice = mixing_choose(&options, shape, SEED, step);
        CU_ASSERT(same(choice, mixing_choose(&options, shape, SEED, step)));
        differ += !same(choice, mixing_choose(&options, shape, SEED + 1, step));
        differ += !same(choice, mixing_choose(&options, shape, SEED, step + 1));
    }
    CU_ASSERT_EQUAL(differ, 100);
}

static void nothing_is_drawn_at_0(void) {
    const MixingOptions options = {0, 0, 0.1};
    float pictures[2 * 6], before[2 * 6];
    for (int i = 0; i < 12; i++)
        pictures[i] = before[i] = (float)i;
    for (uint32_t step = 0; step < 100; step++) {
        MixingChoice choice = mixing_choose(&options, (MixingShape){2, 2, 3, 1}, SEED, step);
        CU_ASSERT(choice.share == 1 && choice.box.width == 0);
        mixing_pictures(choice, (MixingShape){2, 2, 3, 1}, pictures);
    }
    CU_ASSERT_EQUAL(memcmp(pictures, before, sizeof before), 0);
}

/* Beta(alpha, alpha): mean 1/2, variance 1 / (4 (2 alpha + 1)), and of (share - 1/2)^2 a variance
 * of at most 1/16; the allowed difference is 5 deviations of what is measured. */
static void shares_are_beta(void) {
    static const double alphas[] = {0.1, 0.8, 1, 4};
    const double draws = 20000;
    for (size_t k = 0; k < sizeof alphas / sizeof *alphas; k++) {
        const MixingOptions options = {alphas[k], 0, 0};
        double sum = 0, square = 0, variance = 1 / (4 * (2 * alphas[k] + 1));
        int outside = 0;
        for (uint32_t step = 0; (double)step < draws; step++) {
            double share = mixing_choose(&options, shape, SEED, step).share;
            outside += !(share >= 0 && share <= 1);
            sum += share;
            square += (share - 0.5) * (share - 0.5);
        }
        CU_ASSERT_EQUAL(outside, 0);
        CU_ASSERT_DOUBLE_EQUAL(sum / draws, 0.5, 5 * sqrt(variance / draws));
        CU_ASSERT_DOUBLE_EQUAL(square / draws, variance, 5 * 0.25 * sqrt(variance / draws));
    }
}

/* Nearly always one picture or the other, and drawn at once. */
static void smallest_alphas_end(void) {
    static const double alphas[] = {1e-3, 1e-9, 1e-300};
    for (size_t k = 0; k < sizeof alphas / sizeof *alphas; k++) {
        const MixingOptions options = {alphas[k], 0, 0};
        int ends = 0, ones = 0;
        for (uint32_t step = 0; step < 1000; step++) {
            double share = mixing_choose(&options, shape, SEED, step).share;
            ends += share < 1e-6 || share > 1 - 1e-6;
            ones += share > 0.5;
        }
        CU_ASSERT(ends > 950);
        CU_ASSERT(ones > 400 && ones < 600);
    }
}

static void boxes_are_the_rest_of_the_share(void) {
    const MixingOptions options = {0, 1, 0};
    int cuts = 0;
    for (uint32_t step = 0; step < 2000; step++) {
        MixingChoice choice = mixing_choose(&options, shape, SEED, step);
        ResizeBox box = choice.box;
        if (choice.share == 1)
            continue;
        cuts++;
        CU_ASSERT(box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0);
        CU_ASSERT(box.x + box.width <= shape.width && box.y + box.height <= shape.height);
        CU_ASSERT_DOUBLE_EQUAL(choice.share, 1 - box.width * box.height / (24.0 * 32), 1e-12);
    }
    CU_ASSERT(cuts > 1800);
}

static void each_has_half_of_the_batches(void) {
    const MixingOptions options = {0.8, 1, 0};
    int cuts = 0, blends = 0;
    for (uint32_t step = 0; step < 4000; step++) {
        MixingChoice choice = mixing_choose(&options, shape, SEED, step);
        cuts += choice.box.width > 0;
        blends += choice.box.width == 0 && choice.share < 1;
    }
    CU_ASSERT_DOUBLE_EQUAL(blends, 2000, 160); /* 5 deviations */
    CU_ASSERT(cuts > 1700 && cuts + blends > 3850);
}

/* ---- Pictures and targets -------------------------------------------------------------------- */

enum { PLACES = 4 * 5 * 2 };

static void set_pictures(float *pictures) {
    for (int i = 0; i < 5 * PLACES; i++)
        pictures[i] = (float)(1 + i);
}

/* Five pictures of 4 x 5 x 2: the box is the partner's, the rest its own. */
static void boxes_come_from_the_partner(void) {
    const MixingChoice choice = {0.7, {1, 2, 3, 2}};
    float pictures[5 * PLACES], before[5 * PLACES];
    set_pictures(pictures);
    set_pictures(before);
    mixing_pictures(choice, (MixingShape){5, 4, 5, 2}, pictures);
    for (int i = 0; i < 5 * PLACES; i++) {
        int image = i / PLACES, y = i / 10 % 4, x = i / 2 % 5;
        bool inside = x >= 1 && x < 4 && y >= 2;
        int from = inside ? (4 - image) * PLACES + i % PLACES : i;
        CU_ASSERT_EQUAL(pictures[i], before[from]);
    }
}

static void middle_of_an_odd_batch_stays(void) {
    const MixingChoice choice = {.share = 0.25};
    float pictures[5 * PLACES], before[5 * PLACES];
    set_pictures(pictures);
    set_pictures(before);
    mixing_pictures(choice, (MixingShape){5, 4, 5, 2}, pictures);
    for (int i = 0; i < 5 * PLACES; i++) {
        int partner = (4 - i / PLACES) * PLACES + i % PLACES;
        CU_ASSERT_DOUBLE_EQUAL(pictures[i],
                               0.25 * (double)before[i] + 0.75 * (double)before[partner], 1e-4);
    }
    CU_ASSERT_EQUAL(memcmp(pictures + 2 * PLACES, before + 2 * PLACES, PLACES * sizeof(float)), 0);
}

static void targets_sum_to_1(void) {
    static const uint32_t classes[] = {0, 6, 2, 6, 3};
    float targets[5 * 7];
    for (int k = 0; k <= 10; k++) {
        MixingChoice choice = {.share = k / 10.0};
        mixing_targets(choice, 0.05 * k, 5, classes, 7, targets);
        for (int i = 0; i < 5; i++) {
            double sum = 0;
            for (int c = 0; c < 7; c++)
                sum += (double)targets[i * 7 + c];
            CU_ASSERT_DOUBLE_EQUAL(sum, 1, 1e-6);
        }
        CU_ASSERT_DOUBLE_EQUAL(targets[2 * 7 + 2], 1 - 0.05 * k * 6 / 7, 1e-6); /* the middle */
    }
}

CU_TestInfo data_mixing_tests[] = {
    {"blends as recorded", blends_as_recorded},
    {"depends on seed and step alone", depends_on_seed_and_step_alone},
    {"nothing is drawn at 0", nothing_is_drawn_at_0},
    {"shares follow Beta(alpha, alpha)", shares_are_beta},
    {"the smallest alphas are drawn at once", smallest_alphas_end},
    {"boxes are what the share leaves, within the picture", boxes_are_the_rest_of_the_share},
    {"with both on each has half of the batches", each_has_half_of_the_batches},
    {"a box comes from the partner", boxes_come_from_the_partner},
    {"the middle picture of an odd batch stays", middle_of_an_odd_batch_stays},
    {"targets sum to 1", targets_sum_to_1},
    CU_TEST_INFO_NULL,
};
